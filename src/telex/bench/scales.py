"""Where values stand on an axis, and which of them are written there: 1, 2 and 5 and their tens.

Knows numbers. Knows no picture.
"""

import math
from collections.abc import Sequence
from typing import Final, Protocol

_STEPS: Final = (1.0, 2.0, 5.0, 10.0)
_NOTHING: Final = 1e-9  # of a step: how far a sum of steps may be off


class Scale(Protocol):
    """An axis from one value to another, in parts of its length."""

    def place(self, value: float) -> float:
        """Where a value stands: 0 at the axis's beginning, 1 at its end."""

    def ticks(self) -> list[float]:
        """The values to write there, from the least."""


class Linear:
    """Equal steps for equal differences, from 0 or less to what is given or somewhat more.

    Args:
        most: the largest value.
        count: how many steps there may be.
        exact: the axis ends with the largest value, rather than with a tick.
    """

    def __init__(self, most: float, count: int = 5, *, exact: bool = False) -> None:
        most = most if most > 0.0 else 1.0
        self._step = _step(most / count)
        self.end = most if exact else math.ceil(most / self._step - _NOTHING) * self._step

    def place(self, value: float) -> float:
        """Where a value stands."""
        return value / self.end

    def ticks(self) -> list[float]:
        """The values to write there."""
        return [number * self._step for number in range(math.floor(self.end / self._step + _NOTHING) + 1)]


class Logarithmic:
    """Equal steps for equal ratios.

    Args:
        least: the smallest value, above 0.
        most: the largest value.
        count: how many ticks there may be.
        exact: the axis begins and ends with these values, rather than with a tick of 1, 2 or 5.
    """

    def __init__(self, least: float, most: float, count: int = 10, *, exact: bool = False) -> None:
        self._count = count
        self.begin = least if exact else _below(least)
        self.end = most if exact else _above(most)
        if self.end <= self.begin * (1.0 + _NOTHING):  # one value: it stands in the middle
            self.begin, self.end = self.begin / 2.0, self.end * 2.0

    def place(self, value: float) -> float:
        """Where a value stands."""
        return math.log(value / self.begin) / math.log(self.end / self.begin)

    def ticks(self) -> list[float]:
        """The values to write there: 1, 2 and 5 of each power of ten, or 1 alone, or that of every other one."""
        first, last = math.floor(math.log10(self.begin)), math.ceil(math.log10(self.end))
        for digits, stride in (((1, 2, 5), 1), ((1,), 1), ((1,), 2), ((1,), 3), ((1,), 6)):
            found = [
                digit * 10.0**power
                for power in range(first, last + 1)
                if power % stride == 0
                for digit in digits
                if self.begin * (1 - _NOTHING) <= digit * 10.0**power <= self.end * (1 + _NOTHING)
            ]
            if len(found) <= self._count:
                break
        return found


class Nines:
    """Percentiles, where each nine takes as much room as the one before it: 90, 99, 99.9.

    Args:
        count: of the values that the percentiles are of; no percentile says more than that.
    """

    def __init__(self, count: int) -> None:
        self._nines = max(math.log10(max(count, 1)), 1.0)
        self.end = 100.0 - 100.0 / 10.0**self._nines

    def place(self, value: float) -> float:
        """Where a percentile stands."""
        return min(-math.log10(max(1.0 - value / 100.0, 1e-12)) / self._nines, 1.0)

    def ticks(self) -> list[float]:
        """The percentiles to write there."""
        return [0.0, 50.0, *(100.0 - 100.0 / 10.0**nines for nines in range(1, math.floor(self._nines + _NOTHING) + 1))]

    def steps(self, count: int) -> list[float]:
        """Percentiles that are equally far from each other on the axis."""
        return [100.0 - 100.0 / 10.0 ** (self._nines * number / count) for number in range(count + 1)]


def pushed_apart(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places that are at least a gap from each other, as near to the wanted ones as can be, in their order.

    Args:
        wanted: where each would like to be.
        gap: between two neighbours; less if there is no room.
        low: the least place.
        high: the largest place.
    """
    count = len(wanted)
    if count == 0:
        return []
    gap = min(gap, (high - low) / max(count - 1, 1))
    order = sorted(range(count), key=lambda index: wanted[index])
    # Neighbours that are too near are a block, which stands around the mean of what its members wanted.
    blocks: list[tuple[float, int]] = []  # where its first one stands, and how many there are
    for index in order:
        start, size = min(max(wanted[index], low), high), 1
        while blocks and blocks[-1][0] + blocks[-1][1] * gap > start:
            before, members = blocks.pop()
            start = (before * members + (start - members * gap) * size) / (members + size)
            size += members
            start = min(max(start, low), high - (size - 1) * gap)
        blocks.append((start, size))
    places = [0.0] * count
    positions = [start + number * gap for start, size in blocks for number in range(size)]
    for index, position in zip(order, positions, strict=True):
        places[index] = position
    return places


def _step(least: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in _STEPS if step * power >= least * (1 - _NOTHING))


def _above(value: float) -> float:
    return _step(value)


def _below(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in reversed(_STEPS) if step * power <= value * (1 + _NOTHING))
