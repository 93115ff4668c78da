"""What happened lately: who came, went and was refused; and the last lines of the log. For whoever looks.

Knows how much is kept. What is worth an event is for those to say who see it.
"""

import logging
from collections import deque
from typing import Final

from telex.server.log import Event, clipped, printable

MOST_EVENTS: Final = 500
"""Of those that strangers can bring about, and of all others."""

MOST_LINES: Final = 1_000
_SAME_SECONDS: Final = 10.0  # within which the same happening again is counted, and makes no other event
_LONGEST_LINE: Final = 2_000  # characters

_OF_STRANGERS: Final = ("refused", "denied")
KINDS: Final = ("connected", "disconnected", "refused", "denied", "banned", "takeover")


class Happening:
    """Something that happened, once or a few times in a row."""

    __slots__ = ("address", "at", "client_id", "count", "kind", "number", "rule", "user", "why")

    def __init__(
        self, number: int, at: float, kind: str, client_id: str, user: str, address: str, why: str, rule: str
    ) -> None:
        self.number = number  # counts up
        self.at = at  # seconds since 1970, the last time
        self.kind = kind
        self.client_id = client_id
        self.user = user
        self.address = address
        self.why = why
        self.rule = rule
        self.count = 1


class Events:
    """The last of what happened. What strangers can bring about pushes out nothing else."""

    def __init__(self) -> None:
        self._events: deque[Happening] = deque(maxlen=MOST_EVENTS)
        self._of_strangers: deque[Happening] = deque(maxlen=MOST_EVENTS)
        self._number = 0
        self._last: Happening | None = None

    def add(
        self, kind: str, now: float, *, client_id: str = "", user: str = "", address: str = "", why: str, rule: str = ""
    ) -> None:
        """Something happened."""
        client_id, user, why, rule = clipped(client_id), clipped(user), clipped(why), clipped(rule)
        last = self._last
        if last is not None and now - last.at < _SAME_SECONDS:
            same = (last.kind, last.client_id, last.user, last.address, last.why, last.rule)
            if same == (kind, client_id, user, address, why, rule):
                last.count += 1
                last.at = now
                return
        self._number += 1
        self._last = Happening(self._number, now, kind, client_id, user, address, why, rule)
        (self._of_strangers if kind in _OF_STRANGERS else self._events).append(self._last)

    def all(self) -> list[Happening]:
        """The newest first."""
        return sorted([*self._events, *self._of_strangers], key=lambda event: event.number, reverse=True)


class Line:
    """A line of the log."""

    __slots__ = ("at", "level", "number", "text")

    def __init__(self, number: int, at: float, level: str, text: str) -> None:
        self.number = number  # counts up
        self.at = at  # seconds since 1970
        self.level = level
        self.text = text


class LogTail(logging.Handler):
    """Keeps the last lines of the log, as far as they are of interest by their level."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[Line] = deque(maxlen=MOST_LINES)
        self._number = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line. May be called in any thread; ``logging`` sees to it that it is one at a time."""
        try:
            text = str(record.msg) if isinstance(record.msg, Event) else printable(record.getMessage())
        except Exception:
            self.handleError(record)
            return
        self._number += 1
        self._lines.append(Line(self._number, record.created, record.levelname.lower(), text[:_LONGEST_LINE]))

    def lines(self, level: int) -> list[Line]:
        """The newest first, from this level of ``logging`` on."""
        self.acquire()
        try:
            found = list(reversed(self._lines))
        finally:
            self.release()
        numbers = logging.getLevelNamesMapping()
        return [line for line in found if numbers.get(line.level.upper(), logging.ERROR) >= level]
