"""The 15 packets of MQTT (chapter 3), one class each, the same for every version.

Knows what fields a packet has. Knows neither its bytes (``decode.py``,
``encode.py``) nor who may send it. ``properties`` is None where a packet has none,
as all packets before MQTT 5. Reason codes are integers, as they come: those that
the text names are members of ``codes.ReasonCode``.
"""

from typing import ClassVar

from telex.wire.properties import Properties


class Packet:
    """What all packets share: equal fields make equal packets."""

    fields: ClassVar[tuple[str, ...]] = ()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, field) == getattr(other, field) for field in self.fields)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, field) for field in self.fields))

    def __repr__(self) -> str:
        said = ((field, getattr(self, field)) for field in self.fields)
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in said)})"


class Will(Packet):
    """The message that a CONNECT leaves for the case that its client is lost (section 3.1.2.5)."""

    fields: ClassVar[tuple[str, ...]] = ("topic", "payload", "qos", "retain", "properties")

    def __init__(
        self,
        topic: str,
        payload: bytes = b"",
        *,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> None:
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.properties = properties


class Connect(Packet):
    """Client to server: who I am, and what I bring (section 3.1)."""

    fields: ClassVar[tuple[str, ...]] = (
        "client_id",
        "version",
        "clean_start",
        "keep_alive",
        "will",
        "user_name",
        "password",
        "properties",
        "is_bridge",
    )

    def __init__(
        self,
        client_id: str = "",
        *,
        version: int = 5,
        clean_start: bool = True,
        keep_alive: int = 60,
        will: Will | None = None,
        user_name: str | None = None,
        password: bytes | None = None,
        properties: Properties | None = None,
        is_bridge: bool = False,
    ) -> None:
        self.client_id = client_id
        self.version = version  # 3, 4 or 5: MQTT 3.1, 3.1.1, 5.0; any other number is one we do not speak
        self.clean_start = clean_start  # Clean Session in v3
        self.keep_alive = keep_alive  # seconds; 0: no time-out
        self.will = will
        self.user_name = user_name
        self.password = password
        self.properties = properties
        self.is_bridge = is_bridge  # v3: said by the top bit of the protocol version, as Mosquitto does

    def __repr__(self) -> str:
        """Without the password: what is shown may be logged."""
        password = "" if self.password is None else ", password=..."
        return f"Connect({self.client_id!r}, version={self.version}, user_name={self.user_name!r}{password})"


class ConnAck(Packet):
    """Server to client: come in, or why not (section 3.2)."""

    fields: ClassVar[tuple[str, ...]] = ("reason_code", "session_present", "properties")

    def __init__(
        self, reason_code: int = 0, *, session_present: bool = False, properties: Properties | None = None
    ) -> None:
        self.reason_code = reason_code  # a reason code in v5, a return code before
        self.session_present = session_present
        self.properties = properties


class Publish(Packet):
    """Either way: a message (section 3.3)."""

    fields: ClassVar[tuple[str, ...]] = ("topic", "payload", "qos", "retain", "dup", "packet_id", "properties")
    frame = b""
    """The bytes that the packet was read from, if they may be sent on as they are: at QoS 0, without RETAIN, its topic
    spelled out, and with no properties but those that travel with a message."""

    def __init__(
        self,
        topic: str,
        payload: bytes = b"",
        qos: int = 0,
        retain: bool = False,
        dup: bool = False,
        packet_id: int = 0,
        properties: Properties | None = None,
    ) -> None:
        self.topic = topic  # empty if a topic alias stands for it
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.dup = dup
        self.packet_id = packet_id  # 0 at QoS 0
        self.properties = properties


class Acknowledgement(Packet):
    """What PUBACK, PUBREC, PUBREL and PUBCOMP share: a packet id and how it went."""

    fields: ClassVar[tuple[str, ...]] = ("packet_id", "reason_code", "properties")

    def __init__(self, packet_id: int, reason_code: int = 0, properties: Properties | None = None) -> None:
        self.packet_id = packet_id
        self.reason_code = reason_code
        self.properties = properties


class PubAck(Acknowledgement):
    """Receiver to sender: the QoS 1 message is mine now (section 3.4)."""


class PubRec(Acknowledgement):
    """Receiver to sender: the QoS 2 message is mine now (section 3.5)."""


class PubRel(Acknowledgement):
    """Sender to receiver: forget the packet id of the QoS 2 message (section 3.6)."""


class PubComp(Acknowledgement):
    """Receiver to sender: forgotten (section 3.7)."""


class SubscriptionRequest(Packet):
    """One topic filter of a SUBSCRIBE with its options (section 3.8.3.1)."""

    fields: ClassVar[tuple[str, ...]] = ("topic_filter", "qos", "no_local", "retain_as_published", "retain_handling")

    def __init__(
        self,
        topic_filter: str,
        qos: int = 0,
        *,
        no_local: bool = False,
        retain_as_published: bool = False,
        retain_handling: int = 0,
    ) -> None:
        self.topic_filter = topic_filter
        self.qos = qos
        self.no_local = no_local
        self.retain_as_published = retain_as_published
        self.retain_handling = retain_handling  # 0: send retained messages, 1: only if new, 2: do not


class Subscribe(Packet):
    """Client to server: send me what matches (section 3.8)."""

    fields: ClassVar[tuple[str, ...]] = ("packet_id", "requests", "properties")

    def __init__(
        self, packet_id: int, requests: list[SubscriptionRequest], properties: Properties | None = None
    ) -> None:
        self.packet_id = packet_id
        self.requests = requests
        self.properties = properties


class SubAck(Packet):
    """Server to client: one code for each filter, in their order (section 3.9)."""

    fields: ClassVar[tuple[str, ...]] = ("packet_id", "reason_codes", "properties")

    def __init__(self, packet_id: int, reason_codes: list[int], properties: Properties | None = None) -> None:
        self.packet_id = packet_id
        self.reason_codes = reason_codes
        self.properties = properties


class Unsubscribe(Packet):
    """Client to server: no more of these (section 3.10)."""

    fields: ClassVar[tuple[str, ...]] = ("packet_id", "topic_filters", "properties")

    def __init__(self, packet_id: int, topic_filters: list[str], properties: Properties | None = None) -> None:
        self.packet_id = packet_id
        self.topic_filters = topic_filters
        self.properties = properties


class UnsubAck(Packet):
    """Server to client: done; the codes are there in v5 only (section 3.11)."""

    fields: ClassVar[tuple[str, ...]] = ("packet_id", "reason_codes", "properties")

    def __init__(
        self, packet_id: int, reason_codes: list[int] | None = None, properties: Properties | None = None
    ) -> None:
        self.packet_id = packet_id
        self.reason_codes: list[int] = reason_codes if reason_codes is not None else []
        self.properties = properties


class PingReq(Packet):
    """Client to server: are you there? (section 3.12)"""


class PingResp(Packet):
    """Server to client: yes (section 3.13)."""


class Disconnect(Packet):
    """Either way: the last packet, and why (section 3.14). Client to server only, and without a why, before v5."""

    fields: ClassVar[tuple[str, ...]] = ("reason_code", "properties")

    def __init__(self, reason_code: int = 0, properties: Properties | None = None) -> None:
        self.reason_code = reason_code
        self.properties = properties


class Auth(Packet):
    """Either way: a step of an extended authentication (section 3.15). MQTT 5 only."""

    fields: ClassVar[tuple[str, ...]] = ("reason_code", "properties")

    def __init__(self, reason_code: int = 0, properties: Properties | None = None) -> None:
        self.reason_code = reason_code
        self.properties = properties
