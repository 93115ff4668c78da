"""Bytes that wait to leave to one client, and what it said of how it takes them.

Knows frames, their order and their size, and whom to tell that acknowledgements
leave. Knows no socket: the shell takes what has gathered, once per turn of its loop.
"""

from typing import Final

from telex import codes
from telex.codes import PropertyId, ReasonCode
from telex.engine.message import PUBLISH_FIRST, Encoding, Message
from telex.engine.stats import Stats
from telex.errors import ProtocolError
from telex.flow import Receiver
from telex.wire.data import ONE_BYTE

_ALIAS_PROPERTY: Final = ONE_BYTE[PropertyId.TOPIC_ALIAS.value]

_ANSWERS_OF_A_TURN: Final = 1024 * 1024
"""Bytes of answers that one turn of the loop may well ask for."""


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
        self.trouble: ProtocolError | None = None  # why this client cannot be served any longer
        self.receiver: Receiver | None = None  # of the session, to be told when acknowledgements leave
        self._answers = 0  # bytes in frames that are no PUBLISH
        self.is_closing = False  # nothing is added any more; when all has left, the connection closes
        self.version = 0  # of the protocol; 0 before CONNECT
        self.maximum_packet_size = codes.MAX_PACKET_BYTES  # that the client takes
        self.alias_maximum = 0  # topic aliases that the client takes
        self._aliases: dict[str, bytes] = {}  # topic -> its alias as an encoded property

    def append(self, frame: bytes) -> None:
        """Add one packet that is not a PUBLISH.

        It cannot be left out as a PUBLISH can: if the client takes no packet of
        that size [MQTT-3.1.2-24], or asks on and on without reading the answers,
        ``trouble`` says so, and the connection is to be closed (v3 [MQTT-4.8.0-2]).
        """
        if self.is_closing:
            return
        if len(frame) > self.maximum_packet_size:
            text = f"an answer has {len(frame):,} bytes, the client takes {self.maximum_packet_size:,} at most"
            self.trouble = ProtocolError(ReasonCode.PACKET_TOO_LARGE, text)
            return
        self._answers += len(frame)
        if self._answers > self.max_bytes + _ANSWERS_OF_A_TURN:
            text = f"{self._answers:,} bytes of answers wait, and the client asks for more without reading them"
            self.trouble = ProtocolError(ReasonCode.QUOTA_EXCEEDED, text)
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
            self.receiver = None  # another connection of the session may have come by the time that we are emptied
            self.ready.append(
                self
            )  # also if it stands there: the shell may have passed it over while its socket was full

    def take(self) -> bytes:
        """All that waits, as one piece; the outbox is empty then."""
        frames = self.frames
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        self.frames = []
        self.size = 0
        self._answers = 0
        if self.receiver is not None:
            self.receiver.acknowledged()
        self.stats.bytes_sent += len(data)
        return data

    def publish(self, message: Message, first: int, extra: bytes, now: float) -> bool:
        """Add a PUBLISH of QoS 0: False if it was dropped.

        It is dropped if the client reads too slowly, or cannot take a packet of
        that size [MQTT-3.1.2-25].
        """
        if self.size > self.max_bytes or self.is_closing:
            return False
        if first == PUBLISH_FIRST and not extra and self.alias_maximum == 0:
            frame = message.plain(self.version, now)
            if len(frame) > self.maximum_packet_size:
                return False
        else:
            encoding = self.encoding(message, first, extra, now)
            if encoding is None:
                return False
            frame = encoding.whole
        self._append_publish(message, frame)
        return True

    def publish_numbered(self, message: Message, encoding: Encoding, packet_id: int) -> None:
        """Add a PUBLISH of QoS 1 or 2, as ``encoding`` gave it."""
        if not self.is_closing:
            self._append_publish(message, encoding.head + packet_id.to_bytes(2, "big") + encoding.tail)

    def encoding(self, message: Message, first: int, extra: bytes, now: float) -> Encoding | None:
        """A PUBLISH as this client takes it; None if there is no way that is small enough [MQTT-3.1.2-24].

        ``first`` and ``extra`` are as in ``Message.encoding``. With DUP the topic is
        always spelled out.
        """
        if self.alias_maximum > 0 and first & 0x08 == 0:
            encoding = self._with_alias(message, first, extra, now)
            if encoding is not None and encoding.size <= self.maximum_packet_size:
                return encoding
        encoding = message.encoding(self.version, first, extra, now)
        return encoding if encoding.size <= self.maximum_packet_size else None

    def _append_publish(self, message: Message, frame: bytes) -> None:
        if not self.frames:
            self.ready.append(self)
        self.frames.append(frame)
        self.size += len(frame)
        stats = self.stats
        stats.packets_sent += 1
        stats.publish_sent += 1
        stats.publish_bytes_sent += len(message.payload)

    def _with_alias(self, message: Message, first: int, extra: bytes, now: float) -> Encoding | None:
        """The PUBLISH with a topic alias; None if there is no alias left (section 3.3.2.3.4)."""
        alias = self._aliases.get(message.topic)
        if alias is not None:
            return message.encoding(self.version, first, extra + alias, now, has_topic=False)
        number = len(self._aliases) + 1
        if number > self.alias_maximum:  # [MQTT-3.1.2-26]: first come, first served
            return None
        alias = _ALIAS_PROPERTY + number.to_bytes(2, "big")
        encoding = message.encoding(self.version, first, extra + alias, now)
        if encoding.size <= self.maximum_packet_size:  # otherwise it is not sent, and the client never learns it
            self._aliases[message.topic] = alias
        return encoding
