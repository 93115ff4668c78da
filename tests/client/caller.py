"""Who uses a stream that a dialer has opened: says CONNECT, and remembers what comes of it."""

import asyncio

from telex.client.connection import ClientConnection
from telex.client.dialing import Dialer
from telex.streams.stream import Stream
from telex.wire.packets import ConnAck, Connect

SECONDS = 10.0
"""How long anything may take before its test fails."""


class Caller:
    """One client that logs in."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.connection = ClientConnection(Connect("caller"))
        self.connack: asyncio.Future[ConnAck] = asyncio.get_running_loop().create_future()
        self.reason: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.connection.opened(0.0)
        stream.write(self.connection.take(0.0))

    def received(self, data: bytes) -> None:
        self.connection.receive(data)
        for event in self.connection.take_events():
            if isinstance(event, ConnAck):
                self.connack.set_result(event)

    def writable(self) -> None:
        pass

    def lost(self, reason: str) -> None:
        self.reason.set_result(reason)


class Phone:
    """Calls, and hangs up at the end of its block: then nothing is open."""

    def __init__(self, dialer: Dialer) -> None:
        self.dialer = dialer
        self.callers: list[Caller] = []

    def answered(self, stream: Stream) -> Caller:
        self.callers.append(Caller(stream))
        return self.callers[-1]

    async def calls(self) -> Caller:
        """A connection, without any answer yet."""
        async with asyncio.timeout(SECONDS):
            stream = await self.dialer.open(self.answered)
        assert self.callers[-1].stream is stream
        return self.callers[-1]

    async def gets_through(self) -> Caller:
        """A connection whose CONNECT was accepted."""
        caller = await self.calls()
        async with asyncio.timeout(SECONDS):
            assert (await caller.connack).reason_code == 0
        return caller

    async def hears_the_end(self) -> str:
        """Why a connection ended that was opened."""
        caller = await self.calls()
        async with asyncio.timeout(SECONDS):
            return await caller.reason

    async def __aenter__(self) -> "Phone":
        return self

    async def __aexit__(self, *_: object) -> None:
        for caller in self.callers:
            caller.stream.abort()
            async with asyncio.timeout(SECONDS):
                await caller.reason
