"""Which address of a bridge is next, and how long to wait before.

Knows numbers. Knows no clock and no randomness: those are given to it.
"""

from typing import Final

_GROWTH: Final = 3  # how many times the last wait the next one may be
_LONGEST: Final = 3_600.0  # seconds; no wait grows beyond that by being in vain


class Route:
    """The addresses of one remote, by their numbers from 0.

    Args:
        count: how many there are.
        is_round: all are alike, and take turns; otherwise the first one is the main one.
    """

    def __init__(self, count: int, *, is_round: bool) -> None:
        self._count = count
        self._is_round = is_round
        self.current = 0
        self._failures = 0  # in a row

    def failed(self) -> bool:
        """There is nobody at the current address: the next one is. Whether all were tried, and it is time to wait."""
        self._failures += 1
        self.current = (self.current + 1) % self._count
        return self._failures % self._count == 0

    def lost(self) -> None:
        """A connection there is over that was accepted."""
        self._failures = 0
        self.current = (self.current + 1) % self._count if self._is_round else 0

    def accepted(self) -> None:
        """Somebody is there."""
        self._failures = 0

    def returned(self) -> None:
        """It goes on at the first address."""
        self.current = 0

    @property
    def is_beside(self) -> bool:
        """Whether this is a way to make do with, until the main one is there again."""
        return not self._is_round and self.current > 0


class Waits:
    """The waits of one bridge, in seconds.

    Chance decides, between the first and three times the last: so bridges that lost the same remote
    do not come back all at once, and each waits longer the longer nobody is there.

    Args:
        first: no wait is shorter.
        most: no wait is longer.
    """

    def __init__(self, first: float, most: float) -> None:
        self._first = first
        self._longest = self._most = most
        self._last = first

    def next(self, chance: float) -> float:
        """How long to wait now; ``chance`` is anything from 0 to 1."""
        longest = min(self._last * _GROWTH, self._most)
        self._last = self._first + (longest - self._first) * chance
        return self._last

    def held(self) -> None:
        """A connection was a good one: the next wait is a short one again."""
        self._last = self._first
        self._most = self._longest

    def vain(self) -> None:
        """What came after the last wait did harm: the next ones may be twice as long."""
        self._most = max(self._most, min(self._most * 2, _LONGEST))
