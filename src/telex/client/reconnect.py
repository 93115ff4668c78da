"""When to try again: later each time, and not all clients of a broker at once.

Knows numbers. Knows no clock and no randomness: those are given to it.
"""

from typing import Final

_STEADY: Final = 2
"""A connection that held for so many times the last wait was a good one."""


class Reconnect:
    """How a client comes back. Times are seconds.

    Args:
        first: the longest wait before the first new attempt. Each that fails doubles it.
        most: no wait is longer.
        at_start: whether the first connection, too, is tried again and again while the
            broker is not there; otherwise that raises.

    Raises:
        ValueError: times that are not 0 < first <= most.
    """

    __slots__ = ("at_start", "first", "most")

    def __init__(self, first: float = 0.5, most: float = 60.0, *, at_start: bool = True) -> None:
        if not 0 < first <= most:
            raise ValueError(f"Reconnect(first={first!r}, most={most!r}): expected 0 < first <= most, in seconds")
        self.first = first
        self.most = most
        self.at_start = at_start


class Waits:
    """The waits of one client."""

    def __init__(self, reconnect: Reconnect) -> None:
        self._reconnect = reconnect
        self._longest = 0.0  # that the last wait could have been; 0: all is well

    def next(self, chance: float) -> float:
        """How long to wait now; ``chance`` is anything from 0 to 1.

        Half of it is chance: when a broker comes back, its clients do not come all at once.
        """
        reconnect = self._reconnect
        self._longest = min(max(self._longest * 2, reconnect.first), reconnect.most)
        return self._longest * (0.5 + 0.5 * chance)

    def held(self, seconds: float) -> None:
        """A connection has held for so long: was it a good one, the next wait is a short one again.

        One that ends as soon as it is there is not: two clients with one client id would fight for ever.
        """
        if seconds >= max(self._longest * _STEADY, self._reconnect.first):
            self._longest = 0.0
