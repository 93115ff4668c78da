"""All bridges of one broker: begun, changed and ended, each without touching the others."""

import asyncio
import logging
from collections.abc import Coroutine
from pathlib import Path

from telex.engine.message import Message
from telex.server.bridge_status import BridgeStatus
from telex.server.bridges.handler import BridgeHandler
from telex.server.bridges.keeping import KeptBridge
from telex.server.bridges.names import Names
from telex.server.bridges.plan import Plan
from telex.server.config import ConfigError
from telex.server.handler import House

logger = logging.getLogger("telex")


class Bridges:
    """Those of a broker that runs.

    Args:
        house: the broker.
        data: the directory for what outlives the process; None: nothing does.
    """

    def __init__(self, house: House, data: Path | None) -> None:
        self._house = house
        self._data = data
        self._names = Names(None)
        self._kept: dict[str, KeptBridge] = {}  # by name, in the order of the description
        self._handlers: set[BridgeHandler] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._last: asyncio.Future[None] | None = None  # who waits until the last handler has gone

    def gather(self, plans: list[Plan]) -> None:
        """Keep what goes out, from now on: nothing that comes before ``dial`` shall be missed.

        Raises:
            ConfigError: what outlives the process cannot be read or written.
        """
        self._names = Names(self._data)
        now = self._house.clock.now()
        self._kept = {}  # if the last start failed, there are some
        self._end_others(plans, now)
        self._names.keep(_sessions(plans))
        self._take_name(plans)
        self._kept = {plan.bridge.name: KeptBridge(self._house, plan, self) for plan in plans}
        for each in self._kept.values():
            self._gather(each, now)

    def dial(self) -> None:
        """Connect them."""
        for each in self._kept.values():
            each.dial()

    def change(self, plans: list[Plan]) -> None:
        """Go on with other descriptions: what is the same in both is not touched."""
        now = self._house.clock.now()
        former = self._kept
        self._remember(_sessions(plans) | _of_all(former))  # of those that go, too, until they have gone
        self._take_name(plans)
        stays = {plan.bridge.name for plan in plans if plan.bridge.name in former} - _contested(plans, former)
        for name, each in former.items():
            if name not in stays:
                each.remove(now)
        self._kept = {
            (name := plan.bridge.name): former[name] if name in stays else KeptBridge(self._house, plan, self)
            for plan in plans
        }
        for plan in plans:
            each = self._kept[plan.bridge.name]
            if plan.bridge.name in stays:
                each.change(plan, now)
            else:
                self._gather(each, now)
                each.dial()
        self._remember(_of_all(self._kept))
        self._house.flush_soon()

    def leave(self) -> None:
        """Take leave of all remotes; what waits is kept."""
        now = self._house.clock.now()
        for each in self._kept.values():
            each.stop("the broker stops", now)

    async def end(self, seconds: float) -> None:
        """Wait until the last bytes have left, so long at the most."""
        if self._tasks:  # what they have half begun is closed when they are over
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
        if self._handlers:
            self._last = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._last], timeout=seconds)
            for handler in list(self._handlers):
                handler.stream.abort()
            await self._last
            self._last = None
        self._kept = {}

    def tick(self, now: float) -> None:
        """Once a second."""
        for handler in self._handlers:
            handler.tick(now)

    def statuses(self) -> list[BridgeStatus]:
        """How each is, in the order of the description."""
        now = self._house.clock.now()
        return [each.status(now) for each in self._kept.values()]

    # What each of them asks for

    def begin(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """A task for this work; all of them are over before ``end`` is."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def came(self, handler: BridgeHandler) -> None:
        """A stream is there."""
        self._handlers.add(handler)

    def gone(self, handler: BridgeHandler) -> None:
        """A stream has left nothing behind."""
        self._handlers.discard(handler)
        if not self._handlers and self._last is not None and not self._last.done():
            self._last.set_result(None)

    def heard(self, plan: Plan) -> None:
        """A remote has heard of what it is to carry."""
        try:
            self._names.heard(plan.options.local_client_id, plan.bridge.topics)
        except ConfigError as error:
            logger.warning("%s; if topics are taken from bridge %s, its remote may not know", error, plan.bridge.name)

    # Names

    def _gather(self, each: KeptBridge, now: float) -> None:
        each.gather(now, self._names.topics(each.plan.options.local_client_id))

    def _end_others(self, plans: list[Plan], now: float) -> None:
        """End what bridges have left here that are not described any more: nobody else would."""
        engine = self._house.engine
        wanted = _sessions(plans)
        for client_id, topic in self._names.sessions.items():
            session = engine.sessions.get(client_id)
            if client_id not in wanted and session is not None:
                engine.end_session(session, now)
            if topic and topic not in wanted.values():
                engine.publish(Message(topic, b"", 1, retain=True), None, now)

    def _take_name(self, plans: list[Plan]) -> None:
        if plans:
            self._house.engine.hops.change_name(self._names.name)

    def _remember(self, sessions: dict[str, str]) -> None:
        try:
            self._names.keep(sessions)
        except ConfigError as error:  # that would not be worth to undo a reload
            logger.warning("%s; sessions of bridges that are taken out while the broker is down may stay", error)


def _sessions(plans: list[Plan]) -> dict[str, str]:
    """Client id -> the topic of the bridge's state; empty: it has none."""
    return {client_id: topic for plan in plans for client_id, topic in plan.session.items()}


def _of_all(bridges: dict[str, KeptBridge]) -> dict[str, str]:
    """The same of bridges that are there."""
    return {client_id: topic for each in bridges.values() for client_id, topic in each.sessions.items()}


def _contested(plans: list[Plan], bridges: dict[str, KeptBridge]) -> set[str]:
    """The names of bridges of which one is to have the session here that another one has now: both begin anew."""
    found: set[str] = set()
    for plan in plans:
        for other, each in bridges.items():
            if other != plan.bridge.name and plan.options.local_client_id in each.sessions:
                found |= {plan.bridge.name, other}
    return found
