"""The PUBLISH packets of one publisher, and thousands of them in a row.

A payload begins with who sent it, its number and when; the rest is filler. Packets of a ring are made once: what
leaves is a piece of it, and what arrives is compared with one. Times are in each so-many-th of them only.
"""

from typing import Final

from telex.codes import MQTT_5, PUBLISH
from telex.wire.encode import publish_head

STAMP: Final = 16
"""Bytes of what a payload begins with: four of the sender, four of the number, eight of the time.

The time is in nanoseconds of this machine's monotonic clock; 0: nobody wants to know.
"""

_FILLER: Final = b"the quick brown fox jumps over the lazy dog, "


class Form:
    """What is alike in all messages of one publisher.

    Args:
        key: who sends, as payloads say it.
        topics: in UTF-8; they are used by turns.
        size: bytes of a payload, 16 or more.
        qos: of each.
        retain: whether they are retained.
        version: of the protocol.
        properties: what each has, encoded, without their length (MQTT 5).
        aliases: so many of the topics, from the first, have topic aliases (MQTT 5).
    """

    def __init__(
        self,
        key: int,
        topics: list[bytes],
        size: int,
        *,
        qos: int,
        retain: bool,
        version: int,
        properties: bytes = b"",
        aliases: int = 0,
    ) -> None:
        self.key = key.to_bytes(4, "big")
        self.topics = topics
        self.size = size
        self.qos = qos
        self.aliases = aliases
        self._first = PUBLISH << 4 | qos << 1 | retain
        self._version = version
        self._properties = properties
        self._filler = (_FILLER * (size // len(_FILLER) + 1))[: size - STAMP]
        self._heads = [self._head(index, False) for index in range(len(topics))]  # up to the packet id
        self._middles = [self._middle(index) for index in range(len(topics))]  # from there to the payload

    def _middle(self, index: int) -> bytes:
        if self._version != MQTT_5:
            return b""
        said = self._properties
        if index < self.aliases:
            said = b"\x23" + (index + 1).to_bytes(2, "big") + said  # Topic Alias (section 3.3.2.3.4)
        return _variable(len(said)) + said

    def _head(self, index: int, introduces: bool) -> bytes:
        topic = b"" if index < self.aliases and not introduces else self.topics[index]
        return publish_head(self._first, topic, (2 if self.qos else 0) + len(self._middle(index)) + self.size)

    def largest(self) -> int:
        """Bytes of the largest packet."""
        last = [len(self._head(index, True)) + len(self._middle(index)) for index in range(len(self.topics))]
        return max(last) + self.size + (2 if self.qos else 0)

    def packet(self, number: int, place: int, packet_id: int, time: int, introduces: bool = False) -> bytes:
        """One PUBLISH.

        Args:
            number: of the message; says which topic it has.
            place: the number as the payload says it.
            packet_id: at QoS 1 and 2.
            time: that it carries.
            introduces: whether it says the topic's name beside its alias.
        """
        index = number % len(self.topics)
        head = self._head(index, True) if introduces else self._heads[index]
        stamp = self.key + place.to_bytes(4, "big") + time.to_bytes(8, "big")
        if self.qos:
            return b"".join((head, packet_id.to_bytes(2, "big"), self._middles[index], stamp, self._filler))
        return b"".join((head, self._middles[index], stamp, self._filler))


class Ring:
    """The packets of a publisher with the numbers from 0, one behind the other; behind the last comes the first again.

    Args:
        form: of each. At QoS 1 and 2 the packet id is the number and one.
        length: how many there are.
        every: each so-many-th, from the first, carries the time: it is not alike each time it comes round.
    """

    def __init__(self, form: Form, length: int, every: int) -> None:
        self.length = length
        self.every = every
        self.size = form.size
        self.offsets = [0]
        parts: list[bytes] = []
        end = 0
        for place in range(length):
            packet = form.packet(place, place, place + 1, 0)
            parts.append(packet)
            end += len(packet)
            self.offsets.append(end)
        self.plain = b"".join(parts)
        """All of it, without times."""
        self.is_even = all(end == self.offsets[1] * index for index, end in enumerate(self.offsets))
        """Whether all packets have the same size."""


def _variable(value: int) -> bytes:
    """A Variable Byte Integer: what properties take is far from its largest (section 1.5.5)."""
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
