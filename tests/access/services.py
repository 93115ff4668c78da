"""A web service on loopback that answers as a test wants."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Clock:
    """A clock that moves by hand."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class WebService:
    """What it was asked, and what it answers: ``answer`` may be replaced at any time."""

    def __init__(self) -> None:
        self.asked: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.answer: Answer = says(200)
        self.came = asyncio.Event()  # whenever a question comes
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/door"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.read())
        self.asked.append(request)
        self.came.set()
        return await self.answer(request)

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator["WebService"]:
        """Listen, at the port from before if it is given."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", port, reuse_address=True)
            await site.start()
            self.port = runner.addresses[0][1]
            yield self
        finally:
            await runner.cleanup()


def says(status: int, body: object = b"", **headers: str) -> Answer:
    """Always the same answer; what is not bytes is sent as JSON."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=sent, headers=headers)

    return answer


async def never(request: web.Request) -> web.StreamResponse:
    """Say nothing until the other side has had enough."""
    await asyncio.Event().wait()
    raise AssertionError


async def hangs_up(request: web.Request) -> web.StreamResponse:
    """Close the connection in place of an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def trickles(request: web.Request) -> web.StreamResponse:
    """Begin an answer and never end it."""
    response = web.StreamResponse()
    response.content_length = 100
    await response.prepare(request)
    await response.write(b'{"result":')
    await asyncio.Event().wait()
    raise AssertionError


async def floods(request: web.Request) -> web.StreamResponse:
    """Answer without end."""
    response = web.StreamResponse()
    await response.prepare(request)
    with suppress(ConnectionError):  # the other side has had enough
        while True:
            await response.write(b" " * 65_536)
    return response
