"""Bytes that wait to leave to one client, and what it said of how it takes them.

Knows frames, their order and their size, which of them have to wait for the
journal, and whom to tell that acknowledgements leave. Knows no socket: the
shell takes what has gathered, once per turn of its loop.
"""

from bisect import bisect_right
from typing import Final

from telex import codes
from telex.codes import PropertyId, ReasonCode
from telex.engine.message import PUBLISH_FIRST, Encoding, Message
from telex.engine.stats import Stats
from telex.engine.visit import Visit
from telex.errors import ProtocolError
from telex.flow import Receiver
from telex.wire.data import ONE_BYTE

_ALIAS_PROPERTY: Final = ONE_BYTE[PropertyId.TOPIC_ALIAS.value]

_ANSWERS_OF_A_TURN: Final = 1024 * 1024
"""Bytes of answers that one turn of the loop may well ask for."""


class _Held:
    """Frames that wait for the journal, in their order."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.after: list[int] = []  # the position that must be committed before each of them may leave, ascending
        self.ends: list[int] = []  # how many exchanges of the client each of them ends
        self.ended = 0  # all these together
        self.answers = 0  # bytes of those that are no PUBLISH

    def append(self, frame: bytes, after: int, ends: int) -> None:
        """Add one; what stands before it goes first."""
        self.after.append(max(after, self.after[-1]) if self.after else after)
        self.frames.append(frame)
        self.ends.append(ends)
        self.ended += ends
        if frame[0] & 0xF0 != PUBLISH_FIRST:
            self.answers += len(frame)

    def take(self, count: int) -> list[bytes]:
        """The first of them; they are held no more."""
        taken = self.frames[:count]
        self.ended -= sum(self.ends[:count])
        self.frames = self.frames[count:]
        self.after = self.after[count:]
        self.ends = self.ends[count:]
        for frame in taken:
            if frame[0] & 0xF0 != PUBLISH_FIRST:
                self.answers -= len(frame)
        return taken


class Outlook:
    """How one client sees topics: the one that stands behind a bridge by other names than ours."""

    def of(self, message: Message) -> Message:
        """A message as the client sees it."""
        raise NotImplementedError


class BelowMountPoint(Outlook):
    """Topics without their beginning, which all that the client sees has in common."""

    def __init__(self, mount_point: str) -> None:
        self.mount_point = mount_point

    def of(self, message: Message) -> Message:
        """A message as the client sees it."""
        return message.below(self.mount_point)


class Outbox:
    """The bytes that wait for one connection.

    What promises a record that is not committed is held; QoS 0 and PINGRESP leave
    meanwhile, and nothing else: above QoS 0 all that waits keeps its order. While
    a CONNACK is held nothing leaves.

    Args:
        ready: the engine's list of outboxes that have something to send; we put
            ourselves there with the first frame.
        holding: the engine's list of outboxes that hold something, likewise.
        stream: whatever the shell wants to find again when it empties the outbox.
        visit: whose bytes they are, to be counted there.
    """

    def __init__(
        self,
        ready: "list[Outbox]",
        holding: "list[Outbox]",
        stats: Stats,
        max_bytes: int,
        stream: object,
        visit: Visit,
    ) -> None:
        self.ready = ready
        self.holding = holding
        self.stats = stats
        self.max_bytes = max_bytes
        self.stream = stream
        self.visit = visit
        self.frames: list[bytes] = []
        self.size = 0  # bytes that wait, held or not
        self.is_opening = False  # CONNACK is held: ``frames`` wait for it
        self.trouble: ProtocolError | None = None  # why this client cannot be served any longer
        self.receiver: Receiver | None = None  # of the session, to be told when acknowledgements leave
        self._held: _Held | None = None  # None: nothing
        self._early = 0  # frames that were there when CONNACK came
        self._ended = 0  # exchanges of the client whose last answer was added, on this connection
        self._answers = 0  # bytes since the outbox was emptied that are no PUBLISH
        self.is_closing = False  # nothing is added any more; when all has left, the connection closes
        self.version = 0  # of the protocol; 0 before CONNECT
        self.maximum_packet_size = codes.MAX_PACKET_BYTES  # that the client takes
        self.maximum_qos = 2  # that the client takes
        self.mask = 0xFF  # of the first byte of a PUBLISH: without RETAIN, if the client takes no retained messages
        self.outlook: Outlook | None = None  # None: the client sees topics as they are
        self.alias_maximum = 0  # topic aliases that the client takes
        self._aliases: dict[str, bytes] | None = None  # topic -> its alias as an encoded property; None: none yet

    @property
    def is_holding(self) -> bool:
        """Whether something waits for the journal: what must not overtake it has to wait too."""
        return self._held is not None

    @property
    def is_holding_answers(self) -> bool:
        """Whether what waits for the journal is not only messages."""
        return self._held is not None and self._held.answers > 0

    def in_order(self, after: int, committed: int) -> int:
        """What a packet above QoS 0 has to wait for: ``after``, if it is not committed, or what is held already.

        In the words of ``append``: 0 if it need not wait.
        """
        if after > committed:
            return after
        return 0 if self._held is None else 1

    @property
    def has_leaving(self) -> bool:
        """Whether something may leave now."""
        return bool(self.frames) and not self.is_opening

    @property
    def has_room(self) -> bool:
        """Whether what waits is below the limit."""
        return self.size <= self.max_bytes

    def append(self, frame: bytes, after: int = 0) -> None:
        """Add one packet that is not a PUBLISH.

        Args:
            frame: the packet.
            after: the position in the journal that must be committed before it may
                leave; 0: it need not wait.

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
        self._add(frame, after)

    def _add(self, frame: bytes, after: int) -> None:
        self.size += len(frame)
        self.stats.packets_sent += 1
        ends = 0
        receiver = self.receiver
        if receiver is not None:
            ends = receiver.ended - self._ended  # what ended since the last frame, ended by this one
            self._ended = receiver.ended
        if after > 0:
            self._hold(frame, after, ends)
        else:
            if not self.frames and not self.is_opening:
                self.ready.append(self)
            self.frames.append(frame)

    def open(self, connack: bytes, after: int) -> None:
        """Add the CONNACK; ``after`` is as in ``append``. AUTH stands before it, and all else comes behind it."""
        self._early = len(self.frames)
        self.append(connack, after)
        self.is_opening = self.is_holding

    def _hold(self, frame: bytes, after: int, ends: int) -> None:
        held = self._held
        if held is None:
            held = self._held = _Held()
            self.holding.append(self)
        held.append(frame, after, ends)

    def committed(self, position: int) -> None:
        """The journal has come to a position: what waited for that may leave."""
        held = self._held
        if held is None:
            return
        count = bisect_right(held.after, position)
        if count > 0:
            leaving = held.take(count)
            if self.is_opening:  # CONNACK is the first of them
                self.is_opening = False
                self.ready.append(self)
                early = self._early
                self.frames = self.frames[:early] + leaving[:1] + self.frames[early:] + leaving[1:]
            else:
                if not self.frames:
                    self.ready.append(self)
                self.frames.extend(leaving)
        if held.frames:
            self.holding.append(self)
        else:
            self._held = None

    def forget_held(self) -> None:
        """Give up what waits for the journal: the client is not told, and so will ask again."""
        self._held = None
        if self.is_opening:
            self.is_opening = False
            self.frames = []  # nothing may come before CONNACK
        self.size = sum([len(frame) for frame in self.frames])

    def close(self) -> None:
        """Let what has gathered leave, then close the connection [MQTT-3.14.4-2]."""
        if not self.is_closing:
            self.is_closing = True
            self.receiver = None  # another connection of the session may have come by the time that we are emptied
            self.ready.append(
                self
            )  # also if it stands there: the shell may have passed it over while its socket was full

    def take(self) -> bytes:
        """All that may leave, as one piece."""
        if self.is_opening:
            return b""
        frames = self.frames
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        self.frames = []
        held = self._held
        self.size = 0 if held is None else self.size - len(data)
        self._answers = 0 if held is None else held.answers
        if self.receiver is not None:
            self.receiver.acknowledged(0 if held is None else held.ended)
        self.stats.bytes_sent += len(data)
        self.visit.bytes_sent += len(data)
        return data

    def publish(self, message: Message, first: int, extra: bytes, now: float, after: int = 0) -> bool:
        """Add a PUBLISH of QoS 0: False if it was dropped. ``after`` is as in ``append``.

        It is dropped if the client reads too slowly, or cannot take a packet of
        that size [MQTT-3.1.2-25].
        """
        if self.size > self.max_bytes or self.is_closing:
            return False
        outlook = self.outlook
        if outlook is not None:
            message = outlook.of(message)
        if first == PUBLISH_FIRST and not extra and self.alias_maximum == 0:
            frame = message.plain(self.version, now)
            if len(frame) > self.maximum_packet_size:
                return False
        else:
            may_leave = after == 0 and not self.is_opening
            encoding = self._encoding(message, first, extra, now, gives_alias=may_leave)
            if encoding is None:
                return False
            frame = encoding.whole
        self._add_publish(message, frame, after)
        return True

    def publish_numbered(self, message: Message, encoding: Encoding, packet_id: int, after: int) -> None:
        """Add a PUBLISH of QoS 1 or 2, as ``encoding`` gave it."""
        if not self.is_closing:
            self._add_publish(message, encoding.head + packet_id.to_bytes(2, "big") + encoding.tail, after)

    def encoding(self, message: Message, first: int, extra: bytes, now: float, *, gives_alias: bool) -> Encoding | None:
        """A PUBLISH as this client takes it; None if there is no way that is small enough [MQTT-3.1.2-24].

        ``first`` and ``extra`` are as in ``Message.encoding``. With DUP the topic is
        always spelled out. ``gives_alias`` is for what may leave at once: what overtakes a
        packet that is held could not use an alias that it gives.
        """
        outlook = self.outlook
        if outlook is not None:
            message = outlook.of(message)
        return self._encoding(message, first, extra, now, gives_alias=gives_alias)

    def _encoding(
        self, message: Message, first: int, extra: bytes, now: float, *, gives_alias: bool
    ) -> Encoding | None:
        """The same for a message as the client sees it."""
        first &= self.mask
        if self.alias_maximum > 0 and first & 0x08 == 0:
            encoding = self._with_alias(message, first, extra, now, gives_alias=gives_alias)
            if encoding is not None and encoding.size <= self.maximum_packet_size:
                return encoding
        encoding = message.encoding(self.version, first, extra, now)
        return encoding if encoding.size <= self.maximum_packet_size else None

    def _add_publish(self, message: Message, frame: bytes, after: int) -> None:
        self._add(frame, after)
        stats = self.stats
        stats.publish_sent += 1
        self.visit.publish_sent += 1
        stats.publish_bytes_sent += len(message.payload)

    def _with_alias(
        self, message: Message, first: int, extra: bytes, now: float, *, gives_alias: bool
    ) -> Encoding | None:
        """The PUBLISH with a topic alias; None if there is no alias left (section 3.3.2.3.4)."""
        aliases = self._aliases
        if aliases is None:
            aliases = self._aliases = {}
        alias = aliases.get(message.topic)
        if alias is not None:
            return message.encoding(self.version, first, extra + alias, now, has_topic=False)
        number = len(aliases) + 1
        if not gives_alias or number > self.alias_maximum:  # [MQTT-3.1.2-26]: first come, first served
            return None
        alias = _ALIAS_PROPERTY + number.to_bytes(2, "big")
        encoding = message.encoding(self.version, first, extra + alias, now)
        if encoding.size <= self.maximum_packet_size:  # otherwise it is not sent, and the client never learns it
            aliases[message.topic] = alias
        return encoding
