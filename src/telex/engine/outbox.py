"""Bytes that wait to leave to one client, and what it said of how it takes them.

Knows frames, their order and their size. Knows no socket: the shell takes what
has gathered, once per turn of its loop.
"""

from typing import Final

from telex import codes
from telex.codes import PropertyId
from telex.engine.message import PUBLISH_FIRST, Encoding, Message
from telex.engine.stats import Stats
from telex.wire.data import ONE_BYTE

_ALIAS_PROPERTY: Final = ONE_BYTE[PropertyId.TOPIC_ALIAS.value]


class Outbox:
    """The bytes that wait for one connection.

    Args:
        ready: the engine's list of outboxes that have something to send; we put
            ourselves there with the first frame.
        stream: whatever the shell wants to find again when it empties the outbox.
    """

    def __init__(self, ready: "list[Outbox]", stats: Stats, max_bytes: int, stream: object) -> None:
        self.ready = ready
        self.stats = stats
        self.max_bytes = max_bytes
        self.stream = stream
        self.frames: list[bytes] = []
        self.size = 0  # bytes in frames
        self.after = 0  # the position in the journal that must be committed before the frames may leave
        self.is_closing = False  # nothing is added any more; when all has left, the connection closes
        self.version = 0  # of the protocol; 0 before CONNECT
        self.maximum_packet_size = codes.MAX_PACKET_BYTES  # that the client takes
        self.alias_maximum = 0  # topic aliases that the client takes
        self._aliases: dict[str, bytes] = {}  # topic -> its alias as an encoded property

    def append(self, frame: bytes) -> None:
        """Add one packet that is not a PUBLISH."""
        if self.is_closing:
            return
        if not self.frames:
            self.ready.append(self)
        self.frames.append(frame)
        self.size += len(frame)
        self.stats.packets_sent += 1

    def close(self) -> None:
        """Let what has gathered leave, then close the connection [MQTT-3.14.4-2]."""
        if not self.is_closing:
            self.is_closing = True
            self.ready.append(
                self
            )  # also if it stands there: the shell may have passed it over while its socket was full

    def take(self) -> bytes:
        """All that waits, as one piece; the outbox is empty then."""
        frames = self.frames
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        self.frames = []
        self.size = 0
        self.stats.bytes_sent += len(data)
        return data

    def publish(self, message: Message, first: int, extra: bytes, now: float) -> bool:
        """Add a PUBLISH of QoS 0: False if it was dropped.

        It is dropped if the client reads too slowly, or cannot take a packet of
        that size [MQTT-3.1.2-25].
        """
        if self.size > self.max_bytes or self.is_closing:
            return False
        if self.alias_maximum > 0:
            frame = self._with_alias(message, first, extra, now).whole
        elif first == PUBLISH_FIRST and not extra:
            frame = message.plain(self.version, now)
        else:
            frame = message.encoding(self.version, first, extra, now).whole
        if len(frame) > self.maximum_packet_size:
            return False
        self._append_publish(message, frame)
        return True

    def publish_numbered(self, message: Message, first: int, extra: bytes, packet_id: int, now: float) -> None:
        """Add a PUBLISH of QoS 1 or 2, of which ``fits`` said that it fits."""
        if self.is_closing:
            return
        if self.alias_maximum > 0 and first & 0x08 == 0:  # what is sent again carries its full topic
            encoding = self._with_alias(message, first, extra, now)
        else:
            encoding = message.encoding(self.version, first, extra, now)
        self._append_publish(message, encoding.head + packet_id.to_bytes(2, "big") + encoding.tail)

    def fits(self, message: Message, first: int, extra: bytes, now: float) -> bool:
        """Whether the client takes a packet as large as this message [MQTT-3.1.2-24]."""
        if self.maximum_packet_size == codes.MAX_PACKET_BYTES:
            return True
        encoding = message.encoding(self.version, first, extra, now)
        return encoding.size + (len("\x23\0\0") if self.alias_maximum > 0 else 0) <= self.maximum_packet_size

    def _append_publish(self, message: Message, frame: bytes) -> None:
        if not self.frames:
            self.ready.append(self)
        self.frames.append(frame)
        self.size += len(frame)
        stats = self.stats
        stats.packets_sent += 1
        stats.publish_sent += 1
        stats.publish_bytes_sent += len(message.payload)

    def _with_alias(self, message: Message, first: int, extra: bytes, now: float) -> Encoding:
        """The PUBLISH with a topic alias, while there are any (section 3.3.2.3.4)."""
        alias = self._aliases.get(message.topic)
        if alias is not None:
            return message.encoding(self.version, first, extra + alias, now, has_topic=False)
        number = len(self._aliases) + 1
        if number > self.alias_maximum:  # [MQTT-3.1.2-26]: first come, first served
            return message.encoding(self.version, first, extra, now)
        alias = _ALIAS_PROPERTY + number.to_bytes(2, "big")
        encoding = message.encoding(self.version, first, extra + alias, now)
        if encoding.size > self.maximum_packet_size:
            return message.encoding(self.version, first, extra, now)
        self._aliases[message.topic] = alias
        return encoding
