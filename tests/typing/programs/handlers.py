"""Handlers: a decorator leaves a function what it was."""

from collections.abc import Awaitable, Callable
from typing import assert_type

import telex

app = telex.Client("mqtt://localhost")


@app.on("home/temp/{room}", qos=1, concurrency=4, when_full="drop_oldest", on_error="stop")
async def temperature(room: str, message: telex.Message) -> None:
    assert_type(message, telex.Message)


@app.on("home/{floor}/{rest:#}")
def in_a_thread(floor: int, rest: str) -> int:
    return floor + len(rest)


@app.responds("svc/{name}")
async def service(name: str, message: telex.Message) -> dict[str, str]:
    return {name: message.text}


@app.on_connected
def connected(event: telex.Connected) -> None:
    assert_type(event.session_present, bool)
    assert_type(event.first_time, bool)
    assert_type(event.client_id, str)


@app.on_lost
async def lost(event: telex.Lost) -> None:
    assert_type(event.reason, str)
    assert_type(event.retry_in, float | None)


async def can_be_called_as_before(message: telex.Message) -> None:
    assert_type(await temperature("attic", message), None)
    assert_type(in_a_thread(1, "a/b"), int)
    assert_type(await service("clock", message), dict[str, str])
    await temperature(5, message)  # refused
    kept: Callable[[str, telex.Message], Awaitable[None]] = temperature
    print(kept)


def is_refused() -> None:
    app.on(5)  # refused
    app.on("a", qos="1")  # refused
    app.on("a", on_error="ignore")  # refused
    app.on("a")(5)  # refused

    @app.on_lost  # refused
    def takes_the_other_event(event: telex.Connected) -> None: ...


app.run()
