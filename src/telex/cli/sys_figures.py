"""What a broker tells of itself under ``$SYS/broker/``, by Mosquitto's names (2.0 and 2.1), and rates that come of it.

Knows topics, numbers, and times that are given to it. Knows no connection, no clock and no screen. What a broker does
not tell is not there: nothing is 0 that was not told.
"""

import math
import re
from collections import deque
from typing import Final

PREFIX: Final = "$SYS/broker/"

FILTER: Final = f"{PREFIX}#"

GAUGES: Final = {
    "clients": ("clients/connected", "clients/active"),
    "sessions": ("clients/total",),
    "sessions_maximum": ("clients/maximum",),
    "sessions_expired": ("clients/expired",),
    "sockets": ("connections/socket/count",),
    "subscriptions": ("subscriptions/count", "messages/subscriptions/count"),
    "shared_subscriptions": ("shared_subscriptions/count",),
    "retained": ("retained messages/count", "messages/retained/count"),
    "stored": ("store/messages/count", "messages/stored"),
    "stored_bytes": ("store/messages/bytes",),
    "queued": ("packet/out/count",),
    "queued_bytes": ("packet/out/bytes",),
    "memory": ("heap/current",),
    "memory_maximum": ("heap/maximum",),
}
"""How much there is now: our names, and the topics that tell it. The first of these that a broker tells counts.

Those with ``messages/`` in front are amqtt's.
"""

COUNTERS: Final = {
    "messages_received": ("publish/messages/received", "messages/publish/received"),
    "messages_sent": ("publish/messages/sent", "messages/publish/sent"),
    "bytes_received": ("bytes/received", "load/bytes/received"),
    "bytes_sent": ("bytes/sent", "load/bytes/sent"),
    "dropped": ("publish/messages/dropped",),
    "packets_received": ("messages/received",),
    "packets_sent": ("messages/sent",),
    "refused": ("connections/refused/count",),
}
"""How much there was since the broker's start: only the difference of two says something."""

LOADS: Final = {
    "messages_received": "publish/received",
    "messages_sent": "publish/sent",
    "bytes_received": "bytes/received",
    "bytes_sent": "bytes/sent",
    "dropped": "publish/dropped",
    "packets_received": "messages/received",
    "packets_sent": "messages/sent",
    "connections": "connections",
    "sockets": "sockets",
}
"""What happens in a minute, averaged by the broker: our names, and what stands behind ``load/``."""

MINUTES: Final = (1, 5, 15)

HISTORY_SECONDS: Final = 300.0
"""For how long rates are kept."""

_MOST_TICKS: Final = 1_000  # that are kept, however short they are
_MOST_BRIDGES: Final = 1_000
_MOST_CHARACTERS: Final = 80  # of a text that a broker tells

SETTLED_SECONDS: Final = 0.3
"""When a broker has told nothing for so long, it has told all that it tells at one time."""

_ROUGH_SECONDS: Final = 5.0
"""A time that was measured in whole seconds has to be so long, or its error is no longer small."""

_LONGEST_WAIT: Final = 2.5  # intervals; a broker that tells nothing for longer does not keep to it

_NUMBER: Final = re.compile(rb"\d{1,20}(?:\.\d{1,20})?(?= |$)")  # "17 seconds" is one
_BRIDGE: Final = re.compile(r"connection/(.+)/state")


def _numbers() -> set[str]:
    """All whose payload is a number, without their prefix."""
    found = {"uptime"} | {f"load/{name}/{minutes}min" for name in LOADS.values() for minutes in MINUTES}
    for table in (GAUGES, COUNTERS):
        found |= {topic for topics in table.values() for topic in topics}
    return found


_NUMBERS: Final = _numbers()
_COUNTED: Final = {topic for topics in COUNTERS.values() for topic in topics}


class Tick:
    """One time at which a broker tells what has changed.

    Args:
        at: when its first message came.
        is_live: whether it came when it was told: what is retained was told some time before, nobody knows when.
        before: the tick before this one; None: there is none that it could be compared with.
        counted: what the counters were at that time.
    """

    __slots__ = ("_changes", "_counted", "at", "before_uptime", "began_at", "is_live", "told", "uptime", "was_live")

    def __init__(self, at: float, *, is_live: bool, before: "Tick | None", counted: dict[str, float]) -> None:
        self.at = at
        self.is_live = is_live
        self.told: set[str] = set()  # topics
        self.uptime: float | None = None if before is None else before.uptime  # if it is not told again, it is the same
        self.began_at = None if before is None else before.at  # the time that its changes are of begins here
        self.before_uptime = self.uptime
        self.was_live = before is not None and before.is_live
        self._counted = counted
        # Only what has changed is told: what is not told again is as it was.
        self._changes = {} if before is None else dict.fromkeys(counted, 0.0)

    def count(self, topic: str, value: float) -> None:
        """A counter was told."""
        if topic in self._changes:
            self._changes[topic] = value - self._counted[topic]

    @property
    def is_of_another_start(self) -> bool:
        """Whether the broker was started anew since the tick before."""
        if self.uptime is not None and self.before_uptime is not None and self.uptime < self.before_uptime:
            return True
        return any(change < 0 for change in self._changes.values())

    @property
    def seconds(self) -> float | None:
        """How long it was since the tick before, as well as one can know; None: one cannot.

        The messages' arrival is exact, unless the network has held them up; the broker's uptime is its own clock, in
        whole seconds.
        """
        if self.began_at is None or self.is_of_another_start:
            return None
        arrived = self.at - self.began_at
        uptime = None
        if self.uptime is not None and self.before_uptime is not None:
            uptime = self.uptime - self.before_uptime
        if self.is_live and self.was_live:
            seconds = arrived if uptime is None else min(max(arrived, uptime - 1), uptime + 1)
            return seconds if seconds > 0 else None
        return uptime if uptime is not None and uptime >= _ROUGH_SECONDS else None

    def rate(self, topic: str) -> float | None:
        """By how much a counter has grown in a second; None: nobody knows."""
        seconds = self.seconds
        change = self._changes.get(topic)
        return None if seconds is None or change is None else change / seconds


class Figures:
    """The figures of one broker. Times are seconds."""

    def __init__(self) -> None:
        self.version: str | None = None
        self.store: str | None = None  # what Telex tells of its store: ok, failing or memory
        self.bridges: dict[str, bool] = {}  # by their names, whether they are connected
        self.last_at: float | None = None  # when something was told last
        self._values: dict[str, float] = {}  # by topic
        self._former: dict[str, float] | None = None  # those of before, while nothing was told since the connection
        self._is_new = False  # the connection
        self._uptime_at = 0.0  # when it was told last
        self._ticks: deque[Tick] = deque(maxlen=_MOST_TICKS)
        self._begun = 0  # ticks so far

    def connected(self) -> None:
        """There is a connection again: all is told anew, and what is not is no more."""
        self._is_new = True

    def take(self, topic: str, payload: bytes, now: float, *, retained: bool) -> None:
        """A message came.

        Args:
            topic: below ``$SYS/broker/``; others say nothing here.
            payload: what is told; what is no number where one belongs says nothing.
            now: the time.
            retained: whether the broker has kept it since it was told.
        """
        name = topic.removeprefix(PREFIX)
        bridge = _BRIDGE.fullmatch(name)
        number = _NUMBER.match(payload) if name in _NUMBERS else None
        if number is None and bridge is None and name not in ("version", "store/state"):
            return
        self._forget()
        self.last_at = now
        if number is not None:
            self._take_number(name, float(number[0]), now, is_live=not retained)
        elif bridge is not None:
            if bridge[1] in self.bridges or len(self.bridges) < _MOST_BRIDGES:
                self.bridges[bridge[1]] = payload == b"1"
        else:
            text = payload[:_MOST_CHARACTERS].decode(errors="replace")
            if name == "version":
                self.version = text
            else:
                self.store = text

    def _forget(self) -> None:
        """With the first message of a connection: not before, so that the last figures stay where they are seen."""
        if self._is_new:
            self._is_new = False
            self.version = self.store = None
            self.bridges.clear()
            if self._former is None:
                self._former = self._values
            self._values = {}

    def _take_number(self, name: str, value: float, now: float, *, is_live: bool) -> None:
        tick = self._ticks[-1] if self._ticks else None
        # A broker tells each topic once: with one that comes again, the next tick has begun.
        if tick is None or self._former is not None or name in tick.told or (is_live and not tick.is_live):
            tick = self._begin_tick(now, is_live=is_live)
        tick.told.add(name)
        self._values[name] = value
        if name == "uptime":
            tick.uptime = value
            self._uptime_at = now
        elif name in _COUNTED:
            tick.count(name, value)

    def _begin_tick(self, now: float, *, is_live: bool) -> Tick:
        values = self._values if self._former is None else self._former
        self._former = None
        counted = {name: value for name, value in values.items() if name in _COUNTED}
        tick = Tick(now, is_live=is_live, before=self._ticks[-1] if self._ticks else None, counted=counted)
        self._ticks.append(tick)
        self._begun += 1
        while len(self._ticks) > 1 and self._ticks[0].at < now - HISTORY_SECONDS:
            self._ticks.popleft()
        return tick

    # What is known

    def value(self, name: str) -> float | None:
        """What a gauge or a counter of the tables above is; None: the broker does not tell."""
        topics = GAUGES.get(name) or COUNTERS[name]
        return next((self._values[topic] for topic in topics if topic in self._values), None)

    def load(self, name: str, minutes: int) -> float | None:
        """How much there was in a minute, averaged over some; None: the broker does not tell."""
        return self._values.get(f"load/{LOADS[name]}/{minutes}min")

    def uptime(self, now: float) -> float | None:
        """For how long the broker has been running: what it has told last, and what has passed since; None: unknown."""
        told = self._values.get("uptime")
        if told is None:
            return None
        return told + max(now - self._uptime_at, 0.0)

    def rate(self, name: str, now: float) -> float | None:
        """What a counter has grown by in a second, lately; None: the broker does not tell, or not yet."""
        for tick in reversed(self._ticks):
            if self._is_settled(tick, now):
                rate = self._rate(tick, name)
                if rate is not None:
                    return rate
        return None

    def history(self, name: str, now: float) -> list[tuple[float, float, float]]:
        """The rates of a counter: from when, to when, and how much a second. What is not known is not there."""
        points = []
        for tick in self._ticks:
            rate = self._rate(tick, name) if self._is_settled(tick, now) else None
            if rate is not None:
                seconds = tick.seconds
                assert seconds is not None  # or there would be no rate
                points.append((tick.at - seconds, tick.at, rate))
        return points

    def interval(self) -> float | None:
        """How long it is from one tick to the next, in seconds; None: not known yet."""
        known = (tick.seconds for tick in reversed(self._ticks) if tick.is_live and tick.was_live)
        return next((seconds for seconds in known if seconds is not None), None)

    def settled(self, now: float) -> int:
        """How many ticks are complete: with each more there is something new."""
        return self._begun - (1 if self._ticks and not self._is_settled(self._ticks[-1], now) else 0)

    def is_late(self, now: float) -> bool:
        """Whether the broker has told nothing for longer than it uses to."""
        interval = self.interval()
        if interval is None or self.last_at is None:
            return False
        return now - self.last_at > max(interval * _LONGEST_WAIT, interval + 2)

    def _is_settled(self, tick: Tick, now: float) -> bool:
        assert self.last_at is not None  # there is a tick
        return tick is not self._ticks[-1] or now - self.last_at >= SETTLED_SECONDS

    def _rate(self, tick: Tick, name: str) -> float | None:
        rates = (tick.rate(topic) for topic in COUNTERS[name] if topic in self._values)
        return next((rate for rate in rates if rate is not None and math.isfinite(rate)), None)
