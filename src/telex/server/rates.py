"""How fast counters grow, from looks at them: nobody counts anything for that.

Knows numbers and times. Knows nobody who counts.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Final

from telex.engine.stats import Stats

_SAMPLES: Final = 6  # a second apart: five seconds, so that a burst does not look like a flood
_SHORTEST: Final = 1.0  # seconds between two looks that make a rate

MOST_LOOKS: Final = 10_000
"""That are remembered: of whom nobody has looked at for longest, the next look is a first one."""


class Rates:
    """Rates of a few counters that somebody looks at once a second."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, tuple[int, ...]]] = deque(maxlen=_SAMPLES)

    def look(self, now: float, counters: tuple[int, ...]) -> None:
        """The counters now."""
        self._samples.append((now, counters))

    def of(self, count: int) -> list[float]:
        """For each of so many counters, how much it grew in a second lately."""
        if len(self._samples) < 2:
            return [0.0] * count
        (then, first), (now, last) = self._samples[0], self._samples[-1]
        seconds = max(now - then, _SHORTEST)
        return [(new - old) / seconds for old, new in zip(first, last, strict=True)]


class _Look:
    __slots__ = ("at", "counters", "rates")

    def __init__(self, at: float, counters: tuple[int, ...], rates: list[float]) -> None:
        self.at = at
        self.counters = counters
        self.rates = rates


class RatesOfMany:
    """Rates of the counters of many, each since the look before at it; at the first look since it began."""

    def __init__(self) -> None:
        self._looks: OrderedDict[Hashable, _Look] = OrderedDict()

    def look(self, key: Hashable, now: float, began_at: float, counters: tuple[int, ...]) -> list[float]:
        """Look at one of them: for each counter, how much it grew in a second lately."""
        known = self._looks.get(key)
        if known is not None and any(new < old for old, new in zip(known.counters, counters, strict=True)):
            known = None  # it began anew
        if known is None:
            seconds = max(now - began_at, _SHORTEST)
            known = self._looks[key] = _Look(now, counters, [each / seconds for each in counters])
        elif now - known.at >= _SHORTEST:
            seconds = now - known.at
            known.rates = [(new - old) / seconds for old, new in zip(known.counters, counters, strict=True)]
            known.at = now
            known.counters = counters
        self._looks.move_to_end(key)
        if len(self._looks) > MOST_LOOKS:
            self._looks.popitem(last=False)
        return known.rates

    @property
    def count(self) -> int:
        """How many are remembered."""
        return len(self._looks)


COUNTERS: Final = (
    "messages_received",
    "messages_sent",
    "bytes_received",
    "bytes_sent",
    "dropped",
    "connections",
)
"""What rates of the whole broker are told of."""


def counters_of(stats: Stats) -> tuple[int, ...]:
    """What rates are told of, in the order of ``COUNTERS``."""
    return (
        stats.publish_received,
        stats.publish_sent,
        stats.bytes_received,
        stats.bytes_sent,
        stats.publish_dropped,
        stats.connections_opened,
    )


class Totals:
    """What the connections of one listener brought and got that are over."""

    __slots__ = ("bytes_received", "bytes_sent", "connections", "messages_received", "messages_sent")

    def __init__(self) -> None:
        self.connections = 0  # all that were accepted, also those that are not over
        self.messages_received = 0
        self.messages_sent = 0
        self.bytes_received = 0
        self.bytes_sent = 0
