"""What one subscriber gets: messages, which it counts, and acknowledges all that one read brought at once.

Knows packets as they lie in what was read, and whose messages they are. Knows no connection. Compiled: all messages
that arrive pass here. Those of a publisher whose ring is known are compared with it, hundreds at a time; only what is
different is looked at one by one.
"""

from time import monotonic_ns
from typing import Final

from telex.bench.counts import Counts
from telex.bench.ring import STAMP, Ring
from telex.bench.sender import long_length, row_of
from telex.bench.track import Track
from telex.codes import MQTT_5, ReasonCode
from telex.errors import ProtocolError
from telex.wire.encode import PUBACK_FIRST, PUBCOMP_FIRST, PUBREC_FIRST

_PUBLISH: Final = 0x30
_PUBREL: Final = 0x62
_MOST_HELD: Final = 4_096
"""Bytes of a message that are kept until the rest comes. Of a larger one the beginning is read, and the rest passed."""

_MOST_SKIPS: Final = 64


class Receiver:
    """Takes in what comes on one connection.

    Args:
        counts: what is added to.
        version: of the protocol.
        tracks: what it has of each publisher, by what payloads say of who sends; None: whatever comes is counted.
    """

    def __init__(self, counts: Counts, version: int, tracks: dict[int, Track] | None) -> None:
        self.others: list[bytes] = []
        self.moved: list[Track] = []
        """Of which publishers something came; whoever looks takes them out and sets ``is_moved`` to False."""
        self.tracks = tracks
        self._counts = counts
        self._is_v5 = version == MQTT_5
        self._rest = b""  # the beginning of a packet
        self._left = 0  # bytes that are to come of a large message
        self._large = 0  # what is to be acknowledged then: packet id << 2 | QoS
        self._large_place = 0
        self._large_time = 0
        self._large_size = 0
        self._large_track: Track | None = None
        self._last_key = -1
        self._last: Track | None = None  # of whom the last message was
        self._skip = 0  # messages until the ring is tried again
        self._skips = 1  # how many that will be the next time
        self._row_first = 0  # acknowledgements that are to leave: of PUBLISH of this kind
        self._row_start = 0  # from this packet id
        self._row_end = 0  # to that, without it
        self._answers: list[bytes] = []
        self._received = 0
        self._bytes = 0
        self._now = 0  # when what is being taken in has come; 0: nobody has asked

    def receive(self, data: bytes) -> bytes:
        """Take in bytes; the acknowledgements of what they brought.

        Raises:
            ProtocolError: they are not MQTT.
        """
        try:
            self._take(data)
        except IndexError:
            raise ProtocolError(ReasonCode.MALFORMED_PACKET, "a PUBLISH ends before its payload begins") from None
        if self._received:
            self._counts.received += self._received
            self._counts.received_bytes += self._bytes
            self._received = self._bytes = 0
        self._now = 0
        if self._row_first:
            self._end_row()
        if not self._answers:
            return b""
        answer = b"".join(self._answers)
        self._answers.clear()
        return answer

    def _take(self, data: bytes) -> None:
        position = 0
        if self._left:
            position = self._pass_large(len(data))
        elif self._rest:
            rest = self._rest
            self._rest = b""
            # Only the packet that was begun is put together, if it ends here: to copy all that came would cost more
            # than to look at it.
            head = rest + data[:_MOST_HELD]
            position = self._packet(head, 0, len(head)) - len(rest) if len(head) < len(data) else 0
            if position <= 0:
                data = rest + data
                position = 0
        end = len(data)
        while end - position >= 2:
            if self._skip:
                self._skip -= 1
            else:
                track = self._last
                if track is not None and track.ring is not None:
                    taken = self._take_row(track, track.ring, data, position, end)
                    if taken:
                        position += taken
                        continue
            stop = self._packet(data, position, end)
            if stop == 0:
                if self._begin_large(data, position, end):
                    return
                break
            position = stop
        if position < end:
            self._rest = data[position:] if position else data

    def _packet(self, data: bytes, position: int, end: int) -> int:
        """Take in one packet; where the next one begins, or 0 if not all of it has come."""
        if end - position < 2:
            return 0
        first = data[position]
        length = data[position + 1]
        start = position + 2
        if length >= 0x80:
            start, length = long_length(data, position + 1)
            if start == 0:
                return 0
        stop = start + length
        if stop > end:
            return 0
        if first & 0xF0 == _PUBLISH:
            self._publish(first, data, start, stop, end)
        elif first == _PUBREL and length >= 2:
            self._answer(PUBCOMP_FIRST, data[start] << 8 | data[start + 1])
        else:
            self.others.append(data[position:stop])
        return stop

    def _begin_large(self, data: bytes, position: int, end: int) -> bool:
        """Whether what has come of a packet is the beginning of a message of which no more has to be kept."""
        if data[position] & 0xF0 != _PUBLISH or end - position <= _MOST_HELD:
            return False
        start, length = long_length(data, position + 1)
        self._publish(data[position], data, start, start + length, end)
        return True

    def _take_row(self, track: Track, ring: Ring, data: bytes, position: int, end: int) -> int:
        """Take messages that are just what the publisher's ring says; how many bytes they have."""
        place = track.place
        every = ring.every
        if place % every == 0:
            return 0
        stop = place + every - place % every
        if stop > ring.length:
            stop = ring.length
        offsets = ring.offsets
        begin = offsets[place]
        size = offsets[stop] - begin
        if size > end - position:
            if not ring.is_even:
                return 0
            count = (end - position) // offsets[1]
            if count == 0:
                return 0
            size = count * offsets[1]
        else:
            count = stop - place
        if not data.startswith(ring.plain[begin : begin + size], position):
            self._skip = self._skips
            if self._skips < _MOST_SKIPS:
                self._skips *= 2
            return 0
        self._skips = 1
        track.note_row(count)
        self._received += count
        self._bytes += count * ring.size
        if not track.is_moved:
            track.is_moved = True
            self.moved.append(track)
        return size

    def _publish(self, first: int, data: bytes, position: int, stop: int, end: int) -> None:
        """One message, of which bytes up to ``end`` have come."""
        position += 2 + (data[position] << 8 | data[position + 1])
        qos = first >> 1 & 3
        packet_id = 0
        if qos:
            packet_id = data[position] << 8 | data[position + 1]
            position += 2
            if packet_id == 0 or qos == 3:
                raise ProtocolError(ReasonCode.MALFORMED_PACKET, f"a PUBLISH with QoS {qos} and packet id {packet_id}")
        if self._is_v5:
            length = data[position]
            position += 1
            if length >= 0x80:
                position, length = long_length(data, position - 1)
            position += length
        size = stop - position
        if size < 0:
            raise IndexError
        track = self._last
        place = time = 0
        if self.tracks is not None:
            track = None
            if size >= STAMP and not first & 1:
                key = data[position] << 24 | data[position + 1] << 16 | data[position + 2] << 8 | data[position + 3]
                if key == self._last_key:
                    track = self._last
                else:
                    track = self.tracks.get(key)
                    if track is not None:
                        self._last = track
                        self._last_key = key
            if track is not None:
                position += 4
                place = data[position] << 24 | data[position + 1] << 16 | data[position + 2] << 8 | data[position + 3]
                position += 4
                if data[position] or data[position + 1] or data[position + 2] or data[position + 3]:
                    time = int.from_bytes(data[position : position + 8], "big")
                else:  # no clock of nanoseconds stays below four seconds for long
                    time = 0
            elif not first & 1:
                self._counts.foreign += 1
        if stop > end:
            self._left = stop - end
            self._large = packet_id << 2 | qos
            self._large_place, self._large_time, self._large_size = place, time, size
            self._large_track = track
        else:
            self._arrived(track, place, time, size, qos, packet_id)

    def _arrived(self, track: Track | None, place: int, time: int, size: int, qos: int, packet_id: int) -> None:
        if track is not None:
            track.note(place)
            if not track.is_moved:
                track.is_moved = True
                self.moved.append(track)
            if time:
                if not self._now:
                    self._now = monotonic_ns()
                self._counts.latency.record((self._now - time) / 1000.0)
        if track is not None or self.tracks is None:
            self._received += 1
            self._bytes += size
        if qos:
            self._answer(PUBACK_FIRST if qos == 1 else PUBREC_FIRST, packet_id)

    def _pass_large(self, length: int) -> int:
        """Pass the rest of a large message, or some of it; where what is behind it begins."""
        if length < self._left:
            self._left -= length
            return length
        position = self._left
        self._left = 0
        track = self._large_track
        self._large_track = None
        self._arrived(track, self._large_place, self._large_time, self._large_size, self._large & 3, self._large >> 2)
        return position

    def _answer(self, first: int, packet_id: int) -> None:
        """An acknowledgement is to leave."""
        if first == self._row_first and packet_id == self._row_end:
            self._row_end += 1
            return
        if self._row_first:
            self._end_row()
        self._row_first = first
        self._row_start = packet_id
        self._row_end = packet_id + 1

    def _end_row(self) -> None:
        row = row_of(self._row_first)
        self._answers.append(row[4 * self._row_start - 4 : 4 * self._row_end - 4])
        self._row_first = 0
