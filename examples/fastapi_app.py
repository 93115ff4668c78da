"""A web API over MQTT: FastAPI and a client in one event loop.

::

    pip install telex fastapi uvicorn
    telex serve                                                              # in a terminal
    uvicorn --app-dir examples fastapi_app:app                               # in another one
    curl -X POST localhost:8000/rooms/kitchen/temperature -d '{"celsius": 21.5}' -H 'Content-Type: application/json'
    curl localhost:8000/rooms

The client connects when the application starts, and closes when it ends. ``MQTT_URL`` names another broker than
``mqtt://localhost``.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

import telex

mqtt = telex.Client(os.environ.get("MQTT_URL", "mqtt://localhost"))
latest: dict[str, float] = {}


class Temperature(BaseModel):
    """A reading."""

    celsius: float


@mqtt.on("home/{room}/temperature")
async def note(room: str, message: telex.Message) -> None:
    """Remember what comes."""
    latest[room] = Temperature.model_validate_json(message.payload).celsius


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
    """Be connected as long as the application runs."""
    async with mqtt:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/rooms/{room}/temperature", status_code=202)
async def publish(room: str, temperature: Temperature) -> dict[str, str]:
    """Publish a reading; the answer comes when the broker has it."""
    try:
        await mqtt.publish(f"home/{room}/temperature", temperature.model_dump(), qos=1)
    except telex.Refused as refused:
        raise HTTPException(403, str(refused)) from None
    except ValueError as error:  # a room with a wildcard in its name
        raise HTTPException(422, str(error)) from None
    except telex.NotConnected as error:
        raise HTTPException(503, str(error)) from None
    return {"state": "published"}


@app.get("/rooms")
async def rooms() -> dict[str, float]:
    """The latest reading of each room."""
    return latest
