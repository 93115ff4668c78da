"""What has come of one publisher: whether it is all there, once, and in order.

Knows numbers. Knows no bytes and no connection. Compiled: each message that does not come in a row passes here.
"""

from bisect import bisect_right

from telex.bench.ring import Ring


class Track:
    """What one subscriber, or a group of them, has of one publisher.

    A number on the wire is that of a message modulo something, which is more than twice what can be on its way: so what
    is behind and what is ahead can be told apart.

    Args:
        publisher: its number.
        modulus: what numbers are modulo to.
        is_shared: whether it is a group's, to whose members messages need not come in order.
        is_loose: whether it begins somewhere, and nothing is lost: of a subscriber that comes and goes.
        ring: what the publisher's bytes look like when they arrive; None: nobody knows.
    """

    def __init__(
        self, publisher: int, modulus: int, *, is_shared: bool = False, is_loose: bool = False, ring: Ring | None = None
    ) -> None:
        self.publisher = publisher
        self.modulus = modulus
        self.ring = ring
        self.place = 0  # of the next message on the wire
        self.next = 0  # the number behind the highest that came
        self.got = 0  # messages, without repeats
        self.duplicated = 0
        self.misordered = 0
        self.is_moved = False  # something came since somebody looked
        self.is_over = False  # nobody is there any more to whom something could come
        self.is_loose = is_loose
        self.is_shared = is_shared
        self._is_begun = not is_loose
        self._starts: list[int] = []  # of gaps: what has not come, though something behind it has
        self._ends: list[int] = []

    def note(self, place: int) -> None:
        """A message came."""
        if place == self.place and self._is_begun:
            self.next += 1
            self.got += 1
            self.place = place + 1 if place + 1 < self.modulus else 0
        elif self._is_begun:
            self._note_elsewhere(place)
        else:
            self._is_begun = True
            self.next = place + 1
            self.got += 1
            self.place = self.next % self.modulus

    def note_row(self, count: int) -> None:
        """So many came, each where it should."""
        self.next += count
        self.got += count
        self.place = (self.place + count) % self.modulus

    def _note_elsewhere(self, place: int) -> None:
        skipped = (place - self.place) % self.modulus
        if skipped <= self.modulus // 2:
            if not self.is_loose:
                self._starts.append(self.next)
                self._ends.append(self.next + skipped)
            self.next += skipped + 1
            self.got += 1
            self.place = (place + 1) % self.modulus
            return
        number = self.next - (self.modulus - skipped)
        if self.is_loose:  # what it has missed is not written down
            self.misordered += 1
        elif not self._close_gap(number):
            self.duplicated += 1
        else:
            self.got += 1
            if not self.is_shared:
                self.misordered += 1

    def _close_gap(self, number: int) -> bool:
        """Whether it was missing; it is no longer."""
        index = bisect_right(self._starts, number) - 1
        if index < 0 or number >= self._ends[index]:
            return False
        start, end = self._starts[index], self._ends[index]
        if start == number:
            self._starts[index] = number + 1
        else:
            self._ends[index] = number
            if number + 1 < end:
                self._starts.insert(index + 1, number + 1)
                self._ends.insert(index + 1, end)
        if self._starts[index] == self._ends[index]:
            del self._starts[index]
            del self._ends[index]
        return True
