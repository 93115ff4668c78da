"""When which message is due, at a fixed rate.

Knows numbers and times in nanoseconds, and no clock. Compiled: each message of a fixed rate passes here.
"""

from typing import Final

from telex.bench.sender import Sender

_SHORTEST: Final = 250_000.0
"""Nanoseconds between two times at which something is due. Where the rate has more, several are due at once: to wake up
for each message would cost more than the message."""

_SELDOM: Final = 1_000_000.0  # nanoseconds


class Schedule:
    """The messages of several publishers, by turns.

    Args:
        senders: who sends.
        rate: messages a second, of all of them together.
        start: when the first is due.
    """

    def __init__(self, senders: list[Sender], rate: float, start: int) -> None:
        self._senders = senders
        self._start = start
        self._between = 1e9 / rate
        self._step = max(self._between, _SHORTEST)
        self._count = 0  # messages that were due so far
        self.is_slow = self._between >= _SELDOM
        """Whether messages are due so seldom that it costs little to be awake when they are."""
        self.next = start
        """When something is due again."""

    def advance(self, now: int) -> list[Sender]:
        """Tell senders what is due by now; which of them have something."""
        told: list[Sender] = []
        senders = self._senders
        while self.next <= now:
            due = self.next
            while self.next == due:
                sender = senders[self._count % len(senders)]
                if not sender.due:
                    told.append(sender)
                sender.due.append(due)
                self._count += 1
                self.next = self._time_of(self._count)
        return told

    def _time_of(self, number: int) -> int:
        time = number * self._between
        if self._step > self._between:
            time = -(-time // self._step) * self._step
        return self._start + int(time)
