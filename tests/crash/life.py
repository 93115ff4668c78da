"""One life of a data directory: a broker under load that is killed round after round.

Knows when the broker is killed and who plays; what everybody is owed is the
referee's business. Intentions come from a seed; what the system makes of them differs
from run to run, so that a seed that failed may have to be run more than once.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from tests.crash.actors import (
    PUBLISHERS,
    Absentee,
    Actor,
    Changer,
    Cleaner,
    Keeper,
    Looker,
    Mayfly,
    PromptReader,
    Publisher,
    Reader,
    Testator,
    Visitor,
)
from tests.crash.client import Client, Surroundings
from tests.crash.process import BrokerProcess
from tests.crash.referee import Referee

SETTLES_EVERY = 25
"""Rounds after which everybody comes, and all must be done."""

_ENOUGH_FAULTS = 20
_LONGEST_ROUND = 0.8  # seconds, if nothing else ends it
_KINDS = ("ConnAck", "PubAck", "PubRec", "PubRel", "PubComp", "Publish", "SubAck", "UnsubAck")


@dataclass
class Result:
    """How a life went."""

    rounds: int
    counts: Counter[str]
    faults: list[str]
    story: list[str]  # what the client went through last that the first fault is about


class Life(Surroundings):
    """A broker, its clients, and who kills it.

    Args:
        seed: of all intentions.
        qos: of most messages.
        directory: for the data and the log.
        arguments: more of them for ``telex serve``.
    """

    def __init__(self, seed: int, qos: int, directory: Path, arguments: Sequence[str] = ()) -> None:
        self.broker = BrokerProcess(directory, arguments)
        super().__init__(self.broker.port, Referee(monotonic))
        self._chance = random.Random(f"{seed} {qos}")
        self._seed = f"{seed} {qos}"
        self._qos = qos
        self._start_seconds = 0.3  # that a start takes; it is measured
        self._killed = asyncio.Event()
        self._how = ""  # it was killed
        self._timers: list[asyncio.TimerHandle] = []  # that will kill it
        self._testator = Testator(self, qos=qos)
        self._looker = Looker(self)
        self._actors = self._cast()

    def _cast(self) -> list[Actor]:
        qos = max(self._qos, 1)
        publishers: list[Actor] = [
            self._actor(Publisher, name, version) for name, version in zip(PUBLISHERS, (5, 4, 5), strict=True)
        ]
        everything = {"load/#": qos}
        return [
            *publishers,
            self._actor(Keeper, "kay", 4),
            self._actor(PromptReader, "prompt", 5, {"load/+/+": qos}, topic_alias_maximum=5),
            self._actor(Reader, "reader", 4, everything),
            self._actor(Reader, "narrow", 5, {"load/ann/#": 1, "load/bob/#": 2, "load/cid/#": 0}, receive_maximum=10),
            self._actor(PromptReader, "watcher", 5, {"kept/#": qos, "wills/#": qos}),
            self._actor(Visitor, "visitor", 5, everything),
            self._actor(Visitor, "caller", 4, {"load/bob/+": qos}),
            self._actor(Absentee, "absent", 5, everything),
            self._actor(Absentee, "away", 4, {"load/cid/#": 2}),
            self._actor(Changer, "changer", 5),
            self._actor(Changer, "turner", 4),
            self._actor(Cleaner, "cleaner", 5, everything),
            self._actor(Cleaner, "washer", 4, everything),
            self._actor(Mayfly, "mayfly", 5, everything, expiry_interval=1),
            self._actor(Mayfly, "dayfly", 5, everything, expiry_interval=2),
        ]

    def _actor(
        self, kind: type[Actor], name: str, version: int, wanted: dict[str, int] | None = None, **manners: Any
    ) -> Actor:
        client = Client(self, name, version, **manners)
        client.wanted = wanted or {}
        return kind(self, client, self._seed, qos=self._qos)

    async def lives(self, rounds: int) -> Result:
        """Live so many rounds, or until a rule is broken."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.referee.fault("", f"{context}"))
        done = 0
        try:
            while done < rounds and not self.referee.faults:
                done += 1
                await self._round(f"round {done}")
                if done == rounds or done % SETTLES_EVERY == 0:
                    await self._settle(f"after round {done}")
        finally:
            await self.broker.close()
            for client in self._clients:
                client.aborts()
            await asyncio.gather(*(client.ended() for client in self._clients))
        return Result(done, self.referee.counts, self.referee.faults[:_ENOUGH_FAULTS], self.referee.story)

    @property
    def _clients(self) -> list[Client]:
        guests = (self._testator.client, self._looker.client)
        return [*(actor.client for actor in self._actors), *(each for each in guests if each is not None)]

    # A round

    async def _round(self, chapter: str) -> None:
        """Start the broker, let everybody play, kill it."""
        referee = self.referee
        referee.chapter = chapter
        if self._chance.random() < 0.2:
            await self._kills_starts()
        if not await self._starts():
            return
        tasks = [asyncio.create_task(actor.plays()) for actor in self._actors]
        tasks += [asyncio.create_task(self._testator.plays()), asyncio.create_task(self._looker.looks())]
        kills = asyncio.create_task(self._kills())
        dies = asyncio.create_task(self.broker.ended())
        await asyncio.wait([kills, dies], return_when=asyncio.FIRST_COMPLETED)
        if self.is_up:
            referee.fault("", "the broker has ended by itself")
            self.is_up = False
        referee.chapter = f"{chapter}, {self._how}"
        await self._buries(*await dies)
        for task in (kills, *tasks):
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
        self._testator.dies()

    async def _kills_starts(self) -> None:
        """Kill it before it is ready, a few times."""
        for _ in range(self._chance.randrange(1, 4)):
            self._killed.clear()
            self.broker.spawn(*self._settings())
            await asyncio.sleep(self._chance.uniform(0, 1.1) * self._start_seconds)
            self._kill("killed while it started")
            await self._buries(*await self.broker.ended())

    async def _starts(self) -> bool:
        """Start it and wait until it is ready."""
        began = monotonic()
        self._killed.clear()
        self._how = ""
        self.broker.spawn(*self._settings())
        if not await self.broker.is_ready():
            code, said = await self.broker.ended()
            self.referee.fault("", f"the broker did not start: exit code {code}: {said}")
            return False
        self._start_seconds = monotonic() - began
        self.referee.started()
        self.is_up = True
        return True

    def _settings(self) -> list[str]:
        """Limits that differ from life to life, so that messages wait in memory, in the store alone, or in flight."""
        return [
            "max_queued_messages=100000000",
            "max_queued_bytes=100000000000",
            f"max_queue_memory={self._chance.choice((1, 100_000, 64_000_000))}",
            f"max_inflight_messages={self._chance.choice((10, 100, 1_000))}",
        ]

    async def _buries(self, returncode: int, said: str) -> None:
        """The process is gone: everybody reads what still comes, and notices."""
        self.referee.counts[self._how] += 1
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if said:
            self.referee.fault("", f"the broker said: {said}")
        if returncode not in (0, -9):
            self.referee.fault("", f"the broker ended with exit code {returncode}")
        await asyncio.gather(*(client.ended() for client in self._clients))

    # How it is killed

    async def _kills(self) -> None:
        """Choose a moment, and kill it then."""
        chance = self._chance
        way = chance.random()
        if way < 0.4:
            await self._dies_within(chance.uniform(0, _LONGEST_ROUND), "killed under load")
        elif way < 0.8:
            kind, count = chance.choice(_KINDS), int(chance.choice((2, 10, 100, 500)) ** chance.random())
            self._kill_at(kind, count)
            await self._dies_within(_LONGEST_ROUND, "killed under load")
        else:
            if not await self._is_killed_within(chance.uniform(0, _LONGEST_ROUND)):
                self.is_up = False
                self._how = "stopped"
                self.broker.terminate()
            await self._dies_within(chance.choice((0.02, 0.1, 10.0)) * chance.random(), "killed while it stopped")

    async def _dies_within(self, seconds: float, how: str) -> None:
        if not await self._is_killed_within(seconds):
            self._kill(how)

    async def _is_killed_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._killed.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def _kill_at(self, kind: str, count: int) -> None:
        """Kill it as soon as so many packets of a kind have come."""
        left = count

        def count_down(name: str) -> None:
            nonlocal left
            left -= name == kind
            if left == 0:
                self._kill(f"killed with a {kind}")

        self.on_packet = count_down

    def on_clean_start(self) -> None:
        """Sometimes that is the moment."""
        if self.is_up and self._chance.random() < 0.5:
            delay = self._chance.uniform(0, 0.02)
            loop = asyncio.get_running_loop()
            self._timers.append(loop.call_later(delay, self._kill, "killed after a clean start"))

    def _kill(self, how: str) -> None:
        if not self._killed.is_set():
            self.is_up = False
            self.broker.kill()
            self._how = how
            self._killed.set()
            self.on_packet = lambda kind: None

    # The end

    async def _settle(self, chapter: str) -> None:
        """Everybody comes, and nobody is disturbed: all must be done. Then nothing may come again."""
        referee = self.referee
        referee.chapter = f"{chapter}, when all had come"
        if referee.faults or not await self._starts():
            return
        publishers = [actor for actor in self._actors if isinstance(actor, Publisher)]
        await asyncio.gather(*(actor.settles() for actor in publishers))
        await asyncio.gather(*(actor.settles() for actor in self._actors), self._looker.looks())
        await asyncio.gather(*(actor.settles() for actor in self._actors))
        referee.rests()
        await self._stops()
        referee.chapter = f"{chapter}, when all was done"
        if referee.faults or not await self._starts():
            return
        referee.is_at_rest = True
        await asyncio.gather(*(actor.returns() for actor in self._actors), self._looker.looks())
        await asyncio.gather(*(actor.returns() for actor in self._actors))
        referee.is_at_rest = False
        self._kill("killed at rest")
        await self._buries(*await self.broker.ended())

    async def _stops(self) -> None:
        """Let it end in order."""
        self.is_up = False
        self._how = "stopped"
        self.broker.terminate()
        code, said = await self.broker.ended()
        if code != 0:
            self.referee.fault("", f"the broker stopped with exit code {code}")
        await self._buries(code, said)
