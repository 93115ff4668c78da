"""Which topics are busiest: messages a second of each, smoothed, and the most of them at the top.

Knows topics, sizes, and times that are given to it. Knows no message and no screen.
"""

import heapq
import math
from typing import Final

MOST_TOPICS: Final = 100_000
"""Topics that are kept. When there is no room, those that have fallen silent go first."""

MOST_CHARACTERS: Final = 64 << 20
"""Characters of topics that are kept: names may have 65,535 each."""

SMOOTHED: Final = 10.0
"""Seconds over which a rate is smoothed: what was before weighs less and less."""

_SILENT: Final = 0.01  # of a message; what has come lately weighs less than this


class Row:
    """A topic. Its weights are counts that fade away."""

    __slots__ = ("bytes_weight", "messages", "topic", "weight")

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.messages = 0  # so far
        self.weight = 0.0  # of the messages
        self.bytes_weight = 0.0  # of their payloads


class Busy:
    """A topic and its rates, as of a moment."""

    __slots__ = ("bytes_rate", "messages", "rate", "topic")

    def __init__(self, topic: str, *, messages: int, rate: float, bytes_rate: float) -> None:
        self.topic = topic
        self.messages = messages
        self.rate = rate  # messages a second
        self.bytes_rate = bytes_rate  # bytes of payload a second


class Busiest:
    """All topics of which something came.

    Args:
        now: the time, in seconds; from then on it is counted.
        most: topics that are kept.
    """

    def __init__(self, now: float, most: int = MOST_TOPICS) -> None:
        self.total = Row("")  # of all messages
        self.unkept = 0  # messages of topics that found no room
        self._most = most
        self._rows: dict[str, Row] = {}
        self._characters = 0
        self._seconds = 0.0  # that have passed, and fade away as the counts do
        self._faded_at = now

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, topic: str, size: int) -> None:
        """A message came; it counts from the next ``fade`` on."""
        self._count(self.total, size)
        row = self._rows.get(topic)
        if row is None:
            if len(self._rows) >= self._most or self._characters + len(topic) > MOST_CHARACTERS:
                self.unkept += 1
                return
            row = self._rows[topic] = Row(topic)
            self._characters += len(topic)
        self._count(row, size)

    def fade(self, now: float) -> None:
        """Time has passed: call it about once a second, before the rates are looked at."""
        passed = now - self._faded_at
        factor = math.exp(-passed / SMOOTHED)
        self._faded_at = now
        self._seconds = (self._seconds + passed) * factor
        for row in (self.total, *self._rows.values()):
            row.weight *= factor
            row.bytes_weight *= factor
        if len(self._rows) >= self._most or self._characters > MOST_CHARACTERS >> 1:
            self._drop_silent()

    def top(self, count: int) -> list[Busy]:
        """The busiest ones, and no more than so many; those that are silent are not among them."""
        found = heapq.nlargest(count, self._rows.values(), key=lambda row: (row.weight, row.messages))
        return [self._busy(row) for row in found if row.weight >= _SILENT]

    def all(self) -> Busy:
        """All of them together."""
        return self._busy(self.total)

    @staticmethod
    def _count(row: Row, size: int) -> None:
        row.messages += 1
        row.weight += 1.0
        row.bytes_weight += size

    def _busy(self, row: Row) -> Busy:
        seconds = self._seconds or math.inf  # at the very beginning nothing is known
        return Busy(row.topic, messages=row.messages, rate=row.weight / seconds, bytes_rate=row.bytes_weight / seconds)

    def _drop_silent(self) -> None:
        for topic, row in list(self._rows.items()):
            if row.weight < _SILENT:
                del self._rows[topic]
                self._characters -= len(topic)
