"""Who must be looked at when.

A wheel of whole seconds: MQTT counts its time-outs in seconds, and setting,
moving and dropping a deadline costs one look-up, for any number of clients.
"""

import math
from collections import deque

from mypy_extensions import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class Timed:
    """Something that wants to be looked at at a time."""

    def __init__(self) -> None:
        self.due = 0  # the second in which we are looked at; 0: never

    def on_due(self, now: float) -> None:
        """Look at it: its time has come. It may set a new deadline."""


class Deadlines:
    """For each second to come, who is due in it."""

    def __init__(self) -> None:
        # Who is due in a second, in the order in which they were set, so that the same story always goes the same way.
        self._due: dict[int, dict[Timed, None]] = {}
        self._done = 0  # all seconds up to this one have come
        self._late: deque[tuple[Timed, int]] = deque()  # who was due in one of them, and has not been looked at yet

    def set(self, who: Timed, when: float) -> None:
        """Look at ``who`` in the first whole second that is not before ``when``."""
        self.drop(who)
        second = math.ceil(when)
        if second <= self._done:
            second = self._done + 1
        who.due = second
        others = self._due.get(second)
        if others is None:
            self._due[second] = {who: None}
        else:
            others[who] = None

    def drop(self, who: Timed) -> None:
        """Look at ``who`` no more."""
        others = self._due.get(who.due)
        if others is not None:
            others.pop(who, None)
            if not others:
                del self._due[who.due]
        who.due = 0

    def tick(self, now: float, most: int = -1) -> bool:
        """Look at all whose second has come; with ``most``, at so many of them. Whether that was all.

        Thousands may be due in the same second: if they came together, for example.
        """
        second = int(now)
        if second - self._done > len(self._due):  # the first time, or after a long sleep
            come = sorted(each for each in self._due if each <= second)
        else:
            come = list(range(self._done + 1, second + 1))
        self._done = max(self._done, second)
        for each in come:
            self._late.extend([(who, each) for who in self._due.pop(each, {})])
        while self._late:
            if most == 0:
                return False
            most -= 1
            who, due = self._late.popleft()
            if who.due == due:  # another one due now may have dropped or moved it
                who.due = 0
                who.on_due(now)
        return True

    def __len__(self) -> int:
        return sum(len(who) for who in self._due.values()) + len(self._late)
