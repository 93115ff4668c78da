"""How long a turn of the loop takes, and how large messages are: measured while somebody looks, and only then.

A turn is the time between the first bytes that came in it and the last ones that left: what the broker itself adds to
the way of a message. Of sizes, sum and number are exact; a turn with many messages counts them all at their mean.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from typing import Final

WATCHED_SECONDS: Final = 300.0  # for which it goes on to measure after a look; Prometheus comes once a minute at least
_LAST: Final = 1_000  # turns of which median and 99th percentile are told

TURN_BOUNDS: Final = (
    *(0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01),
    *(0.025, 0.05, 0.1, 0.25, 1.0),
)
SIZE_BOUNDS: Final = (16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576)


class Histogram:
    """Counts of values up to each bound."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # the last one: those beyond all bounds
        self.sum = 0.0

    def add(self, value: float, count: int, total: float) -> None:
        """So many values of about this size, which are so much together."""
        self.counts[bisect_left(self.bounds, value)] += count
        self.sum += total

    def cumulative(self) -> list[int]:
        """How many were at most each bound; the last one: how many there were."""
        found = []
        so_far = 0
        for count in self.counts:
            so_far += count
            found.append(so_far)
        return found


class Turns:
    """What is measured of turns."""

    def __init__(self) -> None:
        self.is_measuring = False
        self.durations = Histogram(TURN_BOUNDS)
        self.sizes = Histogram(SIZE_BOUNDS)
        self._until = 0.0
        self._began = 0.0
        self._messages = 0  # that had come at the end of the turn before
        self._bytes = 0
        self._last: deque[float] = deque(maxlen=_LAST)

    def watch(self, now: float, messages: int, size: int) -> None:
        """Somebody looks: measure for a while. So many messages have come, of so many bytes."""
        self._until = now + WATCHED_SECONDS
        if not self.is_measuring:
            self.is_measuring = True
            self._messages, self._bytes = messages, size

    def tick(self, now: float) -> None:
        """About once a second: stop when nobody has looked for long."""
        if self.is_measuring and now >= self._until:
            self.is_measuring = False
            self._began = 0.0
            self._last.clear()

    def begin(self, clock: float) -> None:
        """The first bytes of a turn came."""
        self._began = clock

    def end(self, clock: float, messages: int, size: int) -> None:
        """Everything of this turn has left; so many messages have come by now, of so many bytes."""
        if self._began:
            seconds = max(0.0, clock - self._began)
            self._began = 0.0
            self.durations.add(seconds, 1, seconds)
            self._last.append(seconds)
        count, total = messages - self._messages, size - self._bytes
        if count > 0:
            self.sizes.add(total / count, count, total)
        self._messages, self._bytes = messages, size

    def percentile(self, part: float) -> float | None:
        """The duration, in seconds, that such a part of the last turns did not exceed; None: there were none."""
        if not self._last:
            return None
        ordered = sorted(self._last)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
