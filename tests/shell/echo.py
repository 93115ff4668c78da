"""A door with nothing behind it but an echo, and a guard that remembers who came and went."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from telex.server.config import Listener
from telex.server.doors import Door
from telex.streams.stream import Stream

SECONDS = 10.0
"""How long anything may take before its test fails."""


@dataclass
class Guard:
    """Lets everybody in, unless ``answer`` says otherwise."""

    answer: Callable[[str], float | None] = lambda host: 0.0
    came: list[str] = field(default_factory=list)
    went: list[str] = field(default_factory=list)

    def comes(self, host: str, listener: str, now: float) -> float | None:
        answer = self.answer(host)
        if answer is not None:
            self.came.append(host)
        return answer

    def goes(self, host: str, listener: str, now: float) -> None:
        self.went.append(host)


class Echo:
    """Sends back what comes."""

    def __init__(self, house: "House", stream: Stream) -> None:
        self.house = house
        self.stream = stream
        house.here.append(self)

    def received(self, data: bytes) -> None:
        self.stream.write(data)

    def writable(self) -> None:
        pass

    def lost(self, reason: str) -> None:
        self.house.here.remove(self)
        self.house.lost.append(reason)


@dataclass
class House:
    """What is behind the door."""

    guard: Guard = field(default_factory=Guard)
    here: list[Echo] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def opened(self, stream: Stream) -> Echo:
        return Echo(self, stream)

    def door(self, listener: Listener, *, handshake_timeout: float = SECONDS) -> Door:
        return Door(listener, self.opened, guard=self.guard, handshake_timeout=handshake_timeout, now=time.time)

    async def is_empty(self) -> None:
        """Wait until everybody who came has gone."""
        async with asyncio.timeout(SECONDS):
            while self.here or len(self.guard.went) < len(self.guard.came):
                await asyncio.sleep(0.001)
        assert sorted(self.guard.went) == sorted(self.guard.came)


@asynccontextmanager
async def open_door(
    listener: Listener, house: House | None = None, *, handshake_timeout: float = SECONDS
) -> AsyncIterator[tuple[Door, House]]:
    """An open door; at the end it is closed, and nobody is left on the way in."""
    house = house or House()
    door = house.door(listener, handshake_timeout=handshake_timeout)
    await door.open()
    try:
        yield door, house
    finally:
        door.close()
        await door.wait_closed()
        for each in list(house.here):
            each.stream.abort()
        await house.is_empty()


async def said(caplog: pytest.LogCaptureFixture, word: str, level: int = logging.WARNING) -> str:
    """The one line of the log that says why somebody was refused; wait for it."""
    async with asyncio.timeout(SECONDS):
        while not (lines := [each.getMessage() for each in caplog.records if each.levelno >= level]):
            await asyncio.sleep(0.001)
    assert len(lines) == 1, lines
    assert word in lines[0]
    return lines[0]
