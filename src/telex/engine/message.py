"""A message: what was published, and its encodings (section 3.3).

Knows its bytes for each protocol version, and makes them at most once however
many receive it. Knows nobody who sends or receives it.
"""

import math
from typing import Final

from telex import codes
from telex.codes import MQTT_5, PropertyId
from telex.wire.data import ONE_BYTE, encode_variable
from telex.wire.encode import publish_head
from telex.wire.properties import Properties, encode_property_list

PUBLISH_FIRST: Final = 0x30
"""The first byte of a PUBLISH; DUP is 0x08 of it, QoS 0x06, RETAIN 0x01 (section 3.3.1)."""

_EXPIRY_PROPERTY: Final = ONE_BYTE[PropertyId.MESSAGE_EXPIRY_INTERVAL.value]


class Encoding:
    """A PUBLISH without its packet id: ``head``, then two bytes of id if QoS > 0, then ``tail``."""

    def __init__(self, first: int, extra: bytes, has_topic: bool, head: bytes, tail: bytes) -> None:
        self.first = first
        self.extra = extra
        self.has_topic = has_topic
        self.head = head
        self.tail = tail
        self.whole = head + tail if first & 0x06 == 0 else b""  # QoS 0: the frame as it leaves
        self.size = len(head) + len(tail) + (2 if first & 0x06 else 0)


class Message:
    """An application message. Nothing of it changes after it was made.

    ``properties`` are those that travel with the message unaltered (section
    3.3.2.3). Not among them: the expiry, which is ``expires_at`` here, and what
    belongs to one connection, an alias or subscription identifiers.

    [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-20]
    """

    # Defaults here and not in __init__: most messages never need these, and so they cost nothing.
    publisher_id = ""  # client id of who published a retained message; empty if it was the broker itself
    publisher_user = ""  # the user name of who published a retained message; empty if there was none
    published_at = 0.0  # when a message was retained, in seconds since 1970; 0: nobody knows
    after = 0  # what the journal must have committed before it goes on: that a QoS 2 message is here
    crossing = b""  # what is written on it when it leaves by a bridge, as encoded properties; see ``hops.py``
    _weight = -1  # not asked for yet
    _below: "Message | None" = None  # as it is below a mount point
    _mount_point = ""  # which one
    _topic_bytes = b""
    _plain_v3 = b""  # whole PUBLISH packets of QoS 0, not retained, for who adds nothing of its own
    _plain_v5 = b""
    _v3: Encoding | None = None  # the encoding made last: the others will want the same
    _v5: Encoding | None = None
    _property_list: bytes | None = None

    def __init__(
        self,
        topic: str,
        payload: bytes = b"",
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
        expires_at: float | None = None,
    ) -> None:
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.properties = properties
        self.expires_at = expires_at  # seconds on the engine's clock; None: never

    def __repr__(self) -> str:
        return f"Message({self.topic!r}, {self.payload!r}, qos={self.qos}, retain={self.retain})"

    @property
    def weight(self) -> int:
        """What its payload and its properties take, in bytes, for limits."""
        weight = self._weight
        if weight < 0:
            properties = self.properties
            weight = self._weight = len(self.payload) + (0 if properties is None else properties.weight)
        return weight

    def is_expired(self, now: float) -> bool:
        """Whether its Message Expiry Interval has passed [MQTT-3.3.2-5]."""
        return self.expires_at is not None and self.expires_at <= now

    def below(self, mount_point: str) -> "Message":
        """The same message for clients that see only topics which begin so, and see them without that."""
        below = self._below
        if below is None or self._mount_point != mount_point:
            topic = self.topic.removeprefix(mount_point)
            below = Message(topic, self.payload, self.qos, self.retain, self.properties, self.expires_at)
            self._below = below
            self._mount_point = mount_point
        return below

    def expiring(self, at: float) -> "Message":
        """The same message, to be forgotten at a time, if it is not forgotten before."""
        if self.expires_at is not None and self.expires_at <= at:
            return self
        message = Message(self.topic, self.payload, self.qos, self.retain, self.properties, at)
        message.publisher_id = self.publisher_id
        message.publisher_user = self.publisher_user
        message.published_at = self.published_at
        message.after = self.after
        return message

    def came_as(self, frame: bytes, version: int) -> None:
        """Remember the packet that the message was read from: others of its version get the same bytes.

        ``frame`` is of QoS 0 and not retained, and says nothing besides that others may not hear.
        """
        if version == MQTT_5:
            self._plain_v5 = frame
        else:
            self._plain_v3 = frame

    def plain(self, version: int, now: float) -> bytes:
        """The PUBLISH of QoS 0, not retained, for a receiver with no properties of its own."""
        if version != MQTT_5:
            frame = self._plain_v3
            if not frame:
                payload = self.payload
                frame = self._plain_v3 = self._head(PUBLISH_FIRST, True, len(payload)) + payload
            return frame
        frame = self._plain_v5
        if not frame or self.expires_at is not None:
            tail = self._tail(b"", now)
            frame = self._plain_v5 = self._head(PUBLISH_FIRST, True, len(tail)) + tail
        return frame

    def encoding(self, version: int, first: int, extra: bytes, now: float, *, has_topic: bool = True) -> Encoding:
        """The PUBLISH for a receiver.

        Args:
            version: the protocol version of the receiver.
            first: the first byte: DUP, QoS and RETAIN as the receiver gets them.
            extra: encoded properties that are the receiver's own (v5).
            now: for the Message Expiry Interval that is left [MQTT-3.3.2-6].
            has_topic: False if a topic alias among ``extra`` stands for it.
        """
        if version != MQTT_5:
            known = self._v3
            if known is None or known.first != first:
                known = self._encode(first, b"", True, self.payload)
                self._v3 = known
            return known
        known = self._v5
        if (
            known is None
            or known.first != first
            or known.has_topic != has_topic
            or self.expires_at is not None
            or known.extra != extra
        ):
            known = self._encode(first, extra, has_topic, self._tail(extra, now))
            self._v5 = known
        return known

    def _encode(self, first: int, extra: bytes, has_topic: bool, tail: bytes) -> Encoding:
        head = self._head(first, has_topic, len(tail) + 2 if first & 0x06 else len(tail))
        return Encoding(first, extra, has_topic, head, tail)

    def _head(self, first: int, has_topic: bool, body_length: int) -> bytes:
        """Up to the topic name, inclusive."""
        if not has_topic:
            return publish_head(first, b"", body_length)
        topic = self._topic_bytes
        if not topic:
            topic = self.topic.encode()
            self._topic_bytes = topic
        return publish_head(first, topic, body_length)

    def _tail(self, extra: bytes, now: float) -> bytes:
        """What v5 has behind the packet id: properties, with those that are the receiver's own, and payload."""
        listed = self._listed_properties(now) + extra
        return encode_variable(len(listed), "property length") + listed + self.payload

    def _listed_properties(self, now: float) -> bytes:
        listed = self._property_list
        if listed is None:
            properties = self.properties
            if properties is None:
                listed = b""
            elif properties.travelling is not None:
                listed = properties.travelling  # in the order in which they came, too
            else:
                listed = encode_property_list(properties, codes.PUBLISH)
            self._property_list = listed
        if self.expires_at is None:
            return listed
        left = math.ceil(self.expires_at - now)  # [MQTT-3.3.2-6]
        return listed + _EXPIRY_PROPERTY + max(left, 0).to_bytes(4, "big")
