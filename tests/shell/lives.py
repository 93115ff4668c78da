"""Brokers that use a directory one after the other: what the one knew, the next one has to know."""

import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pytest

import telex
from telex.server.stores.sqlite import SqliteJournal

ENDINGS: Final = ("stops", "crashes")


class Lives:
    """A broker, and those that come after it. ``broker`` is the one that is there now.

    Args:
        directory: where there is room for what the brokers keep.
        ending: how each of them ends. One that ``stops`` takes leave of its clients. One
            that ``crashes`` is cut off from the world: the next one has the files as they
            were in that moment, and what happens to the old one later is not seen any more.
        arguments: for ``telex.Broker``.
    """

    def __init__(self, directory: Path, ending: str, **arguments: Any) -> None:
        assert ending in ENDINGS
        self._directory = directory
        self._ending = ending
        self._arguments = {"port": 0, "sys_interval": 0} | arguments
        self._former: list[telex.Broker] = []
        self.broker = self._new()

    def _new(self) -> telex.Broker:
        return telex.Broker(data=self.data, **self._arguments)

    @property
    def data(self) -> Path:
        """The directory of the broker that is there now."""
        return self._directory / f"life-{len(self._former)}"

    @property
    def port(self) -> int:
        """Where the broker listens that is there now."""
        return self.broker.port

    async def __aenter__(self) -> Self:
        await self.broker.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for broker in (*self._former, self.broker):
            await broker.stop()

    async def stored(self) -> None:
        """Until the store has what nobody was promised: that a client has gone, that it has acknowledged."""
        journal = self.broker.engine.journal
        assert isinstance(journal, SqliteJournal)
        await journal.settled()

    async def next(self) -> None:
        """The broker ends, and another one begins."""
        former = self.data
        if self._ending == "stops":
            await self.broker.stop()
        self._former.append(self.broker)
        shutil.copytree(former, self.data)
        self.broker = self._new()
        await self.broker.start()


class Wall:
    """The clock on the wall, for brokers that are made from now on; it can be put forward.

    Args:
        monkeypatch: gives the broker's shell another ``time``.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ahead = 0.0
        now = time.time
        monkeypatch.setattr("telex.server.clock.time", lambda: now() + self._ahead)

    def advance(self, seconds: float) -> None:
        self._ahead += seconds
