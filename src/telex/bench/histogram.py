"""Counts of times, each kept to one part in a hundred: a histogram of high dynamic range.

A value's place is its highest bit and the seven bits behind that. So every power of two has 128 places, whatever its
size: percentiles of microseconds and of minutes are equally true, at a few thousand numbers in all.
"""

from typing import Any, Final

_BITS: Final = 7
_PLACES: Final = 1 << _BITS  # for each power of two
_HIGHEST: Final = 1 << 40  # microseconds, twelve days: what is more counts as this


class Histogram:
    """How often which time was seen, in microseconds."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}  # by place
        self.count = 0
        self.sum = 0.0
        self.least = 0.0
        self.most = 0.0

    def record(self, value: float, times: int = 1) -> None:
        """Count a time; what is below 0, by two clocks, is 0."""
        if value < 0.0:
            value = 0.0
        if self.count == 0 or value < self.least:
            self.least = value
        if value > self.most:
            self.most = value
        self.count += times
        self.sum += value * times
        place = _place_of(value)
        self.counts[place] = self.counts.get(place, 0) + times

    def add(self, other: "Histogram") -> None:
        """Have what another one has counted."""
        if other.count == 0:
            return
        self.least = other.least if self.count == 0 else min(self.least, other.least)
        self.most = max(self.most, other.most)
        self.count += other.count
        self.sum += other.sum
        for place, times in other.counts.items():
            self.counts[place] = self.counts.get(place, 0) + times

    @property
    def mean(self) -> float:
        """The mean; 0 if there is nothing."""
        return self.sum / self.count if self.count else 0.0

    def percentile(self, percent: float) -> float:
        """The time that so many percent do not exceed, to one part in a hundred; 0 if there is nothing."""
        if self.count == 0:
            return 0.0
        wanted = max(1, -(-self.count * percent // 100))  # how many of them, rounded up
        seen = 0
        for place in sorted(self.counts):
            seen += self.counts[place]
            if seen >= wanted:
                return min(max(_middle_of(place), self.least), self.most)
        return self.most

    def to_json(self) -> dict[str, Any]:
        """As an object of JSON; places and their counts are pairs."""
        places = [[place, self.counts[place]] for place in sorted(self.counts)]
        return {"count": self.count, "sum": self.sum, "least": self.least, "most": self.most, "places": places}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "Histogram":
        """The reverse."""
        made = cls()
        made.count, made.sum = found["count"], found["sum"]
        made.least, made.most = found["least"], found["most"]
        made.counts = dict(found["places"])
        return made


def _place_of(value: float) -> int:
    """Microseconds are kept in eighths, so that the fastest ones differ too."""
    eighths = min(int(value * 8.0), _HIGHEST)
    power = eighths.bit_length() - _BITS - 1
    return eighths if power <= 0 else power * _PLACES + (eighths >> power)


def _middle_of(place: int) -> float:
    """What is in the middle of a place, in microseconds."""
    if place < 2 * _PLACES:
        return (place + 0.5) / 8.0
    power = place // _PLACES - 1
    low = (place - power * _PLACES) << power
    return (low + (1 << power) / 2) / 8.0
