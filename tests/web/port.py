"""A broker with an HTTP port, in this process, and whoever asks there."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from msgspec import structs

import telex
from telex.server.config import Access, Config, Listener, Web
from tests.shell.knocking import password_file

USERS = {"ann": "ann's", "bob": "bob's"}
"""Ann is an administrator."""


class Port:
    """Who asks at the HTTP port of a broker."""

    def __init__(self, broker: telex.Broker, session: aiohttp.ClientSession) -> None:
        self.broker = broker
        self.session = session
        self.url = broker.web_address.rstrip("/")

    @property
    def mqtt(self) -> str:
        """Where MQTT is, by TCP."""
        return self.broker.addresses[0]

    async def ask(
        self, method: str, path: str, *, user: str = "", headers: Mapping[str, str] | None = None, **more: Any
    ) -> "Answer":
        """Make a request; with HTTP Basic, if a user is named."""
        headers = dict(headers or {})
        if user:
            code = b64encode(f"{user}:{USERS.get(user, 'wrong')}".encode()).decode()
            headers["Authorization"] = f"Basic {code}"
        async with self.session.request(
            method, self.url + path, headers=headers, allow_redirects=False, **more
        ) as response:
            return Answer(response.status, response.headers, await response.read(), response.content_type)

    async def get(self, path: str, **more: Any) -> "Answer":
        return await self.ask("GET", path, **more)

    async def api(self, path: str, **more: Any) -> Any:
        """What the API says to a GET that goes well."""
        answer = await self.get(f"/api/v1{path}", **more)
        assert answer.status == 200, answer.text
        return answer.json


class Answer:
    """What came back."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes, content_type: str) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.content_type = content_type

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def description(
    *, access: Access | None = None, web: Web | None = None, listeners: list[Listener] | None = None, **more: Any
) -> Config:
    """A broker on free ports of 127.0.0.1."""
    web = structs.replace(web or Web(), enabled=True, port=0)
    listeners = listeners or [Listener(host="127.0.0.1", port=0)]
    return Config(listeners=listeners, access=access or Access(), web=web, **{"data": "", "sys_interval": 0, **more})


def with_users(folder: Path, **more: Any) -> Access:
    """Who may come in where people log in."""
    return Access(password_file=password_file(folder / "users", **USERS), **more)


@asynccontextmanager
async def port(config: Config | None = None, **more: Any) -> AsyncIterator[Port]:
    """A broker, until the block ends."""
    async with telex.Broker(config=config or description(**more)) as broker:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            yield Port(broker, session)
