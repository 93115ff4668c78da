"""What one publisher sends, and what the broker answers to it.

Knows how far ahead it may be, packet ids and acknowledgements. Knows no connection: whoever calls writes what it is
given. Compiled: all messages that leave and all acknowledgements that come pass here.
"""

from collections import deque
from time import monotonic_ns
from typing import Final

from telex.bench.counts import Counts
from telex.bench.ring import Form, Ring
from telex.bench.track import Track
from telex.codes import PUBACK, PUBCOMP, PUBREC, ReasonCode
from telex.errors import ProtocolError
from telex.wire.encode import PUBACK_FIRST, PUBCOMP_FIRST, PUBREC_FIRST, PUBREL_FIRST

NUMBERS: Final = 1 << 32
"""What numbers are modulo to where there is no ring."""

_PACKET_IDS: Final = 60_000
"""How many a publisher uses, from 1. Those behind are for SUBSCRIBE."""

_MOST_AT_ONCE: Final = 128 * 1024
"""Bytes that one write may have, unless a single message has more: so that the broker can begin with the first ones."""

_ROW: Final = 65_535
_rows: dict[int, bytes] = {}


def row_of(first: int) -> bytes:
    """The acknowledgements of all packet ids from 1, one behind the other; ``first`` is one of ``..._FIRST``."""
    row = _rows.get(first)
    if row is None:
        row = _rows[first] = b"".join([bytes((first, 2, each >> 8, each & 0xFF)) for each in range(1, _ROW + 1)])
    return row


class Sender:
    """The messages of one publisher.

    Args:
        form: what they look like.
        counts: what is added to.
        ring: the same, as a ring; None: each packet is made when it leaves.
        ahead: how many messages it may be ahead of what arrived, or was acknowledged.
        every: each so-many-th carries its time, unless they have times at which they are due.
        times_answers: whether it is counted how long acknowledgements take, because nobody sees the message arrive.
    """

    def __init__(
        self,
        form: Form,
        counts: Counts,
        ring: Ring | None,
        *,
        ahead: int,
        every: int,
        times_answers: bool = False,
    ) -> None:
        self.form = form
        self.others: list[bytes] = []
        self.ahead = ahead
        self.sent = 0
        self.acknowledged = 0
        self.elsewhere = -1  # what has arrived in other processes; -1: nobody listens there
        self.tracks: list[Track] = []  # of those who listen in this process
        self.due: deque[int] = deque()  # times of messages that should have left
        self.is_stopped = False  # nothing leaves any more
        self._counts = counts
        self._qos = form.qos
        self._size = form.size
        self._every = every
        self._ring = ring
        self._block = bytearray(ring.plain) if ring is not None else bytearray()
        self._view = memoryview(self._block)
        self._period = ring.length if ring is not None else _PACKET_IDS
        self._first_of_ring = form.aliases  # before, each alias has to be introduced
        self._in_flight = bytearray(self._period if form.qos else 0)  # by packet id, from 1
        self._free = bytes(self._period if form.qos else 0)
        self._busy = b"\1" * (self._period if form.qos else 0)
        self._times = [0] * self._period if form.qos and times_answers else []  # of what is in flight; 0: none
        self._next_ack = 0  # place of the packet id whose PUBACK, or PUBREC, should be next
        self._next_comp = 0  # the same of PUBCOMP
        self._rest = b""

    @property
    def modulus(self) -> int:
        """What the numbers in payloads are modulo to."""
        return self._ring.length if self._ring is not None else NUMBERS

    @property
    def is_clear(self) -> bool:
        """Whether the broker has acknowledged all that it must."""
        return self.unacknowledged == 0

    @property
    def unacknowledged(self) -> int:
        """How many messages the broker has not acknowledged, though it must."""
        return self.sent - self.acknowledged if self._qos else 0

    @property
    def done(self) -> int:
        """How many messages are through: acknowledged, and with all who listen."""
        least = self.acknowledged if self._qos else self.sent
        if self.elsewhere >= 0 and self.elsewhere < least:
            least = self.elsewhere
        for track in self.tracks:
            if not track.is_over:
                have = track.next if not track.is_shared else track.got
                if have < least:
                    least = have
        return least

    # What leaves

    def take(self, least: int, now: int) -> bytes | memoryview | None:
        """What may leave now, in a closed loop; None: nothing, or fewer messages than ``least``.

        Args:
            least: how many are worth a write.
            now: the time, in nanoseconds.
        """
        room = self.ahead - (self.sent - self.done)
        if room < least or room <= 0 or self.is_stopped:
            return None
        ring = self._ring
        if ring is None or self.sent < self._first_of_ring:
            return self._make(room, now)
        place = self.sent % ring.length
        count = min(room, ring.length - place)
        offsets = ring.offsets
        start = offsets[place]
        if offsets[place + count] - start > _MOST_AT_ONCE:
            count = max(1, count * _MOST_AT_ONCE // (offsets[place + count] - start))
        if self._qos:
            count = self._reserve(place, count)
            if count == 0:
                return None
        self._stamp(ring, place, place + count, now)
        self._sent(count)
        return self._view[start : offsets[place + count]]

    def take_due(self, most_in_flight: int) -> bytes | None:
        """What was due before now and may leave, each message with its time; None: nothing.

        Args:
            most_in_flight: how many messages the broker takes at a time, above QoS 0.
        """
        parts: list[bytes] = []
        size = 0
        due = self.due
        while due and size < _MOST_AT_ONCE and not self.is_stopped:
            place = self.sent % self._period
            if self._qos and (self.sent - self.acknowledged >= most_in_flight or self._reserve(place, 1) == 0):
                break
            packet = self._packet(place, due.popleft())
            parts.append(packet)
            size += len(packet)
            self._sent(1)
        return b"".join(parts) if parts else None

    def _make(self, room: int, now: int) -> bytes | None:
        parts: list[bytes] = []
        size = 0
        while room > 0 and size < _MOST_AT_ONCE:
            place = self.sent % self._period
            if self._qos and self._reserve(place, 1) == 0:
                break
            packet = self._packet(place, now if self.sent % self._every == 0 else 0)
            parts.append(packet)
            size += len(packet)
            self._sent(1)
            room -= 1
            if self._ring is not None and self.sent == self._first_of_ring:
                break
        return b"".join(parts) if parts else None

    def _packet(self, place: int, time: int) -> bytes:
        introduces = self.sent < self._first_of_ring
        if self._times:
            self._times[place] = time
        if self._ring is not None:
            return self.form.packet(place, place, place + 1, time, introduces)
        return self.form.packet(self.sent, self.sent % NUMBERS, place + 1, time, introduces)

    def _sent(self, count: int) -> None:
        self.sent += count
        self._counts.sent += count
        self._counts.sent_bytes += count * self._size

    def _reserve(self, place: int, count: int) -> int:
        """Take packet ids from there on that are free, in a row; how many."""
        busy = self._in_flight.find(1, place, place + count)
        if busy >= 0:
            count = busy - place
        self._in_flight[place : place + count] = self._busy[:count]
        return count

    def _stamp(self, ring: Ring, place: int, end: int, now: int) -> None:
        time = now.to_bytes(8, "big")
        block = self._block
        every = ring.every
        back = self._size - 8
        place += -place % every
        while place < end:
            at = ring.offsets[place + 1] - back
            block[at : at + 8] = time
            if self._times:
                self._times[place] = now
            place += every

    # What comes

    def receive(self, data: bytes) -> bytes:
        """Take in what the broker says: acknowledgements. What is to be written in answer: PUBREL.

        Raises:
            ProtocolError: it cannot be read, or it acknowledges what is not in flight.
        """
        if self._rest:
            data = self._rest + data
            self._rest = b""
        answers: list[bytes] = []
        position = 0
        end = len(data)
        hopes = self._qos > 0  # for acknowledgements in a row
        while end - position >= 2:
            if hopes:
                taken = self._take_row(data, position, (end - position) // 4, answers)
                if taken:
                    position += taken
                    continue
                hopes = False
            length = data[position + 1]
            start = position + 2
            if length >= 0x80:
                start, length = long_length(data, position + 1)
                if start == 0:
                    break
            stop = start + length
            if stop > end:
                break
            kind = data[position] >> 4
            if kind in (PUBACK, PUBREC, PUBCOMP):
                if length < 2:
                    raise ProtocolError(ReasonCode.MALFORMED_PACKET, "an acknowledgement without packet id")
                packet_id = data[start] << 8 | data[start + 1]
                self._acknowledge(kind, packet_id, data[start + 2] if length > 2 else 0, answers)
                hopes = True
            else:
                self.others.append(data[position:stop])
            position = stop
        if position < end:
            self._rest = data[position:]
        return b"".join(answers)

    def _take_row(self, data: bytes, position: int, most: int, answers: list[bytes]) -> int:
        """Take acknowledgements that come as they should, one behind the other; how many bytes they have."""
        first = data[position]
        if first in (PUBACK_FIRST, PUBREC_FIRST):
            place = self._next_ack
        elif first == PUBCOMP_FIRST:
            place = self._next_comp
        else:
            return 0
        if (first == PUBACK_FIRST) != (self._qos == 1):
            return 0
        count = min(most, self._period - place)
        if count < 2:
            return 0
        row = row_of(first)
        if not data.startswith(row[4 * place : 4 * (place + count)], position):
            count = 4  # perhaps something else comes in between
            if most < count or self._period - place < count:
                return 0
            if not data.startswith(row[4 * place : 4 * (place + count)], position):
                return 0
        if self._in_flight.count(1, place, place + count) != count:
            return 0
        if first == PUBREC_FIRST:
            answers.append(row_of(PUBREL_FIRST)[4 * place : 4 * (place + count)])
        else:
            self._in_flight[place : place + count] = self._free[:count]
            self._count_times(place, place + count)
            self.acknowledged += count
            self._counts.acknowledged += count
        place += count
        if place == self._period:
            place = 0
        if first == PUBCOMP_FIRST:
            self._next_comp = place
        else:
            self._next_ack = place
        return 4 * count

    def _acknowledge(self, kind: int, packet_id: int, code: int, answers: list[bytes]) -> None:
        place = packet_id - 1
        if not 0 <= place < len(self._in_flight) or not self._in_flight[place]:
            raise ProtocolError(
                ReasonCode.PACKET_IDENTIFIER_NOT_FOUND, f"packet id {packet_id} is acknowledged and is not in flight"
            )
        if (kind == PUBACK) != (self._qos == 1):
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"QoS {self._qos} is answered by packet type {kind}")
        after = place + 1 if place + 1 < self._period else 0
        if kind == PUBCOMP:
            self._next_comp = after
        else:
            self._next_ack = after
        if code >= 0x80:
            self._counts.denied += 1
        elif kind == PUBREC:
            answers.append(bytes((PUBREL_FIRST, 2, packet_id >> 8, packet_id & 0xFF)))
            return
        self._in_flight[place] = 0
        self._count_times(place, place + 1)
        self.acknowledged += 1
        self._counts.acknowledged += 1

    def _count_times(self, place: int, end: int) -> None:
        """What has these packet ids is acknowledged: how long has that taken, where it is known when it left?"""
        times = self._times
        if not times:
            return
        now = 0
        while place < end:
            time = times[place]
            if time:
                now = now or monotonic_ns()
                self._counts.latency.record((now - time) / 1000.0)
                times[place] = 0
            place += 1


def long_length(data: bytes, position: int) -> tuple[int, int]:
    """Where a packet's body begins, and its length (section 2.1.4); (0, 0): not all of that has come.

    Raises:
        ProtocolError: it has more than four bytes.
    """
    length = 0
    shift = 0
    while position < len(data):
        byte = data[position]
        position += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return position, length
        shift += 7
        if shift > 21:
            raise ProtocolError(ReasonCode.MALFORMED_PACKET, "remaining length has more than four bytes")
    return 0, 0
