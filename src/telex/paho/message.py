"""What callbacks and calls give: messages, how far a publication has come, and what numbers mean in words.

Knows no connection.
"""

import threading
import time
from typing import Any, Final, NamedTuple

from telex.paho.enums import MessageState, MQTTErrorCode
from telex.paho.names import (
    CONNACK_ACCEPTED,
    CONNACK_REFUSED_BAD_USERNAME_PASSWORD,
    CONNACK_REFUSED_IDENTIFIER_REJECTED,
    CONNACK_REFUSED_NOT_AUTHORIZED,
    CONNACK_REFUSED_PROTOCOL_VERSION,
    CONNACK_REFUSED_SERVER_UNAVAILABLE,
    MQTT_ERR_AGAIN,
    MQTT_ERR_KEEPALIVE,
    MQTT_ERR_PROTOCOL,
    MQTT_ERR_QUEUE_SIZE,
    MQTT_ERR_SUCCESS,
    mqtt_ms_invalid,
    mqtt_ms_wait_for_pubrel,
)
from telex.paho.packettypes import PacketTypes
from telex.paho.properties import Properties, from_wire
from telex.paho.reasoncodes import ReasonCode
from telex.wire.packets import Publish

# Programs show these texts, and some compare them: they are paho's.
_ERRORS: Final[dict[int, str]] = {
    MQTTErrorCode.MQTT_ERR_SUCCESS: "No error.",
    MQTTErrorCode.MQTT_ERR_NOMEM: "Out of memory.",
    MQTTErrorCode.MQTT_ERR_PROTOCOL: "A network protocol error occurred when communicating with the broker.",
    MQTTErrorCode.MQTT_ERR_INVAL: "Invalid function arguments provided.",
    MQTTErrorCode.MQTT_ERR_NO_CONN: "The client is not currently connected.",
    MQTTErrorCode.MQTT_ERR_CONN_REFUSED: "The connection was refused.",
    MQTTErrorCode.MQTT_ERR_NOT_FOUND: "Message not found (internal error).",
    MQTTErrorCode.MQTT_ERR_CONN_LOST: "The connection was lost.",
    MQTTErrorCode.MQTT_ERR_TLS: "A TLS error occurred.",
    MQTTErrorCode.MQTT_ERR_PAYLOAD_SIZE: "Payload too large.",
    MQTTErrorCode.MQTT_ERR_NOT_SUPPORTED: "This feature is not supported.",
    MQTTErrorCode.MQTT_ERR_AUTH: "Authorisation failed.",
    MQTTErrorCode.MQTT_ERR_ACL_DENIED: "Access denied by ACL.",
    MQTTErrorCode.MQTT_ERR_ERRNO: "Error defined by errno.",
    MQTTErrorCode.MQTT_ERR_QUEUE_SIZE: "Message queue full.",
    MQTTErrorCode.MQTT_ERR_KEEPALIVE: "Client or broker did not communicate in the keepalive interval.",
}
_ANSWERS: Final[dict[int, str]] = {
    CONNACK_ACCEPTED: "Connection Accepted.",
    CONNACK_REFUSED_PROTOCOL_VERSION: "Connection Refused: unacceptable protocol version.",
    CONNACK_REFUSED_IDENTIFIER_REJECTED: "Connection Refused: identifier rejected.",
    CONNACK_REFUSED_SERVER_UNAVAILABLE: "Connection Refused: broker unavailable.",
    CONNACK_REFUSED_BAD_USERNAME_PASSWORD: "Connection Refused: bad user name or password.",
    CONNACK_REFUSED_NOT_AUTHORIZED: "Connection Refused: not authorised.",
}
_REASONS: Final[dict[int, str]] = {
    CONNACK_ACCEPTED: "Success",
    CONNACK_REFUSED_PROTOCOL_VERSION: "Unsupported protocol version",
    CONNACK_REFUSED_IDENTIFIER_REJECTED: "Client identifier not valid",
    CONNACK_REFUSED_SERVER_UNAVAILABLE: "Server unavailable",
    CONNACK_REFUSED_BAD_USERNAME_PASSWORD: "Bad user name or password",
    CONNACK_REFUSED_NOT_AUTHORIZED: "Not authorized",
}
_ENDS: Final[dict[int, str]] = {
    MQTT_ERR_SUCCESS: "Normal disconnection",
    MQTT_ERR_KEEPALIVE: "Keep alive timeout",
    MQTT_ERR_PROTOCOL: "Protocol error",
}


def error_string(mqtt_errno: MQTTErrorCode | int) -> str:
    """What an ``MQTTErrorCode`` means, for people."""
    return _ERRORS.get(mqtt_errno, "Unknown error.")


def connack_string(connack_code: int | ReasonCode) -> str:
    """What a CONNACK answers, for people: by its return code, or by its reason code."""
    if isinstance(connack_code, ReasonCode):
        return str(connack_code)
    return _ANSWERS.get(connack_code, "Connection Refused: unknown reason.")


def convert_connack_rc_to_reason_code(connack_code: int) -> ReasonCode:
    """The reason code of MQTT 5 for what an older CONNACK returns. Their numbers differ, so compare names."""
    return ReasonCode(PacketTypes.CONNACK, _REASONS.get(connack_code, "Unspecified error"))


def convert_disconnect_error_code_to_reason_code(rc: MQTTErrorCode) -> ReasonCode:
    """The reason code of MQTT 5 for how a connection ended. Their numbers differ, so compare names."""
    return ReasonCode(PacketTypes.DISCONNECT, _ENDS.get(rc, "Unspecified error"))


class ConnectFlags(NamedTuple):
    """What CONNACK says besides its reason code."""

    session_present: bool
    """Whether the broker has kept the session of this client."""


class DisconnectFlags(NamedTuple):
    """Who ended a connection."""

    is_disconnect_packet_from_server: bool
    """Whether the broker sent a DISCONNECT: then the reason code is the broker's own."""


class MQTTMessageInfo:
    """How far a message has come that ``Client.publish`` took. It can be unpacked: ``rc, mid = info``.

    Args:
        mid: its message id.
    """

    __slots__ = ("_condition", "_iterpos", "_published", "mid", "rc")

    def __init__(self, mid: int) -> None:
        self.mid = mid
        self.rc = MQTT_ERR_SUCCESS  # may change until the message is published
        self._published = False
        self._condition: threading.Condition | None = None  # made by the first who waits: most are not waited for
        self._iterpos = 0

    def __str__(self) -> str:
        return str((self.rc, self.mid))

    def __iter__(self) -> "MQTTMessageInfo":
        self._iterpos = 0
        return self

    def __next__(self) -> MQTTErrorCode | int:
        return self.next()

    def next(self) -> MQTTErrorCode | int:
        """First ``rc``, then ``mid``.

        Raises:
            StopIteration: that was all.
        """
        position = self._iterpos
        if position > 1:
            raise StopIteration
        self._iterpos = position + 1
        return self[position]

    def __getitem__(self, index: int) -> MQTTErrorCode | int:
        if index == 0:
            return self.rc
        if index == 1:
            return self.mid
        raise IndexError("index out of range")

    def _set_as_published(self) -> None:
        # In this order: who waits has put its condition there before it looks whether this is True.
        self._published = True
        condition = self._condition
        if condition is not None:
            with condition:
                condition.notify_all()

    def _check(self) -> None:
        if self.rc == MQTT_ERR_QUEUE_SIZE:
            raise ValueError("Message is not queued due to ERR_QUEUE_SIZE")
        if self.rc > MQTT_ERR_SUCCESS:
            raise RuntimeError(f"Message publish failed: {error_string(self.rc)}")

    def wait_for_publish(self, timeout: float | None = None) -> None:
        """Wait until the message is published, or that many seconds; ``is_published`` tells which.

        Raises:
            ValueError: it was not taken, since the queue was full.
            RuntimeError: it is not going to be published, or nobody knows whether it was.
        """
        if self.rc != MQTT_ERR_AGAIN:
            self._check()
        if not self._published:
            self._wait(timeout)
        if self.rc > MQTT_ERR_SUCCESS:
            raise RuntimeError(f"Message publish failed: {error_string(self.rc)}")

    def _wait(self, timeout: float | None) -> None:
        with _making:
            if self._condition is None:
                self._condition = threading.Condition()
            condition = self._condition
        until = None if timeout is None else time.monotonic() + timeout
        with condition:
            while not self._published:
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    return
                condition.wait(left)

    def is_published(self) -> bool:
        """Whether the message is published: at QoS 0 it has left, above the broker has it.

        Raises:
            ValueError, RuntimeError: as from ``wait_for_publish``.
        """
        if self.rc != MQTT_ERR_AGAIN:
            self._check()
        return self._published


_making: Final = threading.Lock()
"""Two who wait for one message must not make two conditions."""


class MQTTMessage:
    """A message that came, as callbacks get it. Two are equal if their ids are.

    Args:
        mid: its message id; 0 at QoS 0.
        topic: its topic name, in UTF-8.
    """

    __slots__ = (
        "_info",
        "_packet",
        "_properties",
        "_topic",
        "dup",
        "mid",
        "payload",
        "qos",
        "retain",
        "state",
        "timestamp",
    )

    def __init__(self, mid: int = 0, topic: bytes = b"") -> None:
        self.timestamp = 0.0  # when it came, by time.monotonic()
        self.state: MessageState = mqtt_ms_invalid
        self.dup = False
        self.mid = mid
        self.payload: bytes | bytearray = b""
        self.qos = 0
        self.retain = False
        self._topic: bytes | str = topic
        self._info: MQTTMessageInfo | None = None
        self._properties: Properties | None = None
        self._packet: Publish | None = None  # what it is made of, until its properties are asked for

    def __eq__(self, other: object) -> bool:
        return isinstance(other, self.__class__) and self.mid == other.mid

    @property
    def topic(self) -> str:
        """Its topic name."""
        topic = self._topic
        return topic if isinstance(topic, str) else topic.decode("utf-8")

    @topic.setter
    def topic(self, value: bytes) -> None:
        self._topic = value

    @property
    def info(self) -> MQTTMessageInfo:
        """How far it has come, if it is one that this client publishes."""
        if self._info is None:
            self._info = MQTTMessageInfo(self.mid)
        return self._info

    @info.setter
    def info(self, value: MQTTMessageInfo) -> None:
        self._info = value

    @property
    def properties(self) -> Properties | None:
        """What is said besides; None before MQTT 5."""
        if self._packet is not None:
            self._properties = from_wire(self._packet.properties, PacketTypes.PUBLISH)
            self._packet = None
        return self._properties

    @properties.setter
    def properties(self, value: Properties | None) -> None:
        self._properties = value
        self._packet = None


_new: Final[Any] = MQTTMessage.__new__


def received(packet: Publish, timestamp: float, *, has_properties: bool) -> MQTTMessage:
    """The message of a PUBLISH that came."""
    # Without the constructor, which would set most of it twice: this is on the way of every message.
    message: MQTTMessage = _new(MQTTMessage)
    message.timestamp = timestamp
    message.dup = packet.dup
    message.mid = packet.packet_id
    message.payload = packet.payload
    qos = packet.qos
    message.qos = qos
    message.state = mqtt_ms_wait_for_pubrel if qos == 2 else mqtt_ms_invalid
    message.retain = packet.retain
    message._topic = packet.topic
    message._info = None
    message._properties = None
    message._packet = packet if has_properties else None
    return message
