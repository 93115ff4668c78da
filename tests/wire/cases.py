"""One table of packets and of what is none: bytes, versions, what they mean, the statement that says so.

The bytes come from the specification, never from our own encoder. Decode,
encode and byte-at-a-time tests read this same table.
"""

from typing import Final

from telex.codes import ReasonCode
from telex.wire.packets import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    UnsubAck,
    Unsubscribe,
    Will,
)
from telex.wire.properties import Properties

ALL: Final = (3, 4, 5)
V3: Final = (3, 4)
V4: Final = (4,)
V5: Final = (5,)

MALFORMED: Final = ReasonCode.MALFORMED_PACKET
PROTOCOL: Final = ReasonCode.PROTOCOL_ERROR
UNSUPPORTED: Final = ReasonCode.UNSUPPORTED_PROTOCOL_VERSION
BAD_NAME: Final = ReasonCode.TOPIC_NAME_INVALID
BAD_ALIAS: Final = ReasonCode.TOPIC_ALIAS_INVALID


class Case:
    """One row: these bytes, in these versions, are this packet or this error.

    ``canonical`` is False for a form that we read but never write: an optional
    field spelled out, properties in another order.
    """

    def __init__(
        self,
        name: str,
        versions: tuple[int, ...],
        data: str,
        expected: Packet | ReasonCode,
        *tags: str,
        canonical: bool = True,
    ) -> None:
        self.name = name
        self.versions = versions
        self.data = bytes.fromhex(data)
        self.expected = expected
        self.tags = tags  # statements or sections of the MQTT 5 text, "v3 ..." of the 3.1.1 text
        self.canonical = canonical

    @property
    def is_valid(self) -> bool:
        """Whether the bytes are a packet."""
        return not isinstance(self.expected, ReasonCode)

    def opening_version(self, version: int) -> int:
        """What a decoder may know before it reads this case: nothing, before a CONNECT."""
        return 0 if self.data[0] >> 4 == 1 else version


def variable(value: int) -> str:
    """A Variable Byte Integer in hex, by the pseudocode of section 1.5.5."""
    digits = ""
    while True:
        value, low = divmod(value, 128)
        digits += f"{low | 0x80 if value else low:02x}"
        if not value:
            return digits


def framed(first: str, *body: str) -> str:
    """A first byte, the remaining length, and a body; all in hex."""
    data = bytes.fromhex("".join(body))
    return f"{first} {variable(len(data))} {data.hex(' ')}"


def counted(data: str) -> str:
    """Hex bytes behind a variable byte integer: a property length and its properties."""
    return f"{variable(len(bytes.fromhex(data)))} {data}"


def lengthy(data: str) -> str:
    """Hex bytes behind a length of two bytes: a string or binary data."""
    return f"{len(bytes.fromhex(data)):04x} {data}"


MQTT: Final = "00 04 4d 51 54 54"
MQISDP: Final = "00 06 4d 51 49 73 64 70"

# --- Section 3.1 ---

CONNECT_CASES: Final = [
    Case(
        "the shortest CONNECT of MQTT 3.1",
        (3,),
        "10 0f 00 06 4d 51 49 73 64 70 03 02 00 3c 00 01 63",
        Connect("c", version=3, keep_alive=60),
        "MQTT 3.1 section 3.1",
    ),
    Case(
        "the shortest CONNECT of MQTT 3.1.1",
        V4,
        "10 0d 00 04 4d 51 54 54 04 02 00 3c 00 01 63",
        Connect("c", version=4, keep_alive=60),
        "v3 MQTT-3.1.2-1",
    ),
    Case(
        "the shortest CONNECT of MQTT 5",
        V5,
        "10 0e 00 04 4d 51 54 54 05 02 00 3c 00 00 01 63",
        Connect("c", version=5, keep_alive=60),
        "MQTT-3.1.2-1",
        "MQTT-2.2.2-1",
    ),
    Case(
        "CONNECT with an empty client id",
        V4,
        "10 0c 00 04 4d 51 54 54 04 02 00 00 00 00",
        Connect("", version=4, keep_alive=0),
        "v3 MQTT-3.1.3-6",
    ),
    Case(
        "CONNECT with an empty client id in v5",
        V5,
        "10 0d 00 04 4d 51 54 54 05 02 00 00 00 00 00",
        Connect("", version=5, keep_alive=0),
        "MQTT-3.1.3-6",
    ),
    Case(
        "CONNECT that resumes a session, with the longest keep alive",
        V4,
        "10 0d 00 04 4d 51 54 54 04 00 ff ff 00 01 63",
        Connect("c", version=4, clean_start=False, keep_alive=65_535),
        "v3 MQTT-3.1.2-4",
    ),
    Case(
        "the text's example of a CONNECT header in v3.1.1, with all that it announces",
        V4,
        "10 1e 00 04 4d 51 54 54 04 ce 00 0a 00 01 63 00 03 77 2f 74 00 03 62 79 65 00 01 75 00 02 70 77",
        Connect("c", version=4, keep_alive=10, will=Will("w/t", b"bye", qos=1), user_name="u", password=b"pw"),
        "v3 MQTT-3.1.3-1",
        "v3 MQTT-3.1.2-9",
        "v3 MQTT-3.1.2-19",
        "v3 MQTT-3.1.2-21",
    ),
    Case(
        "the text's example of a CONNECT header in v5, with all that it announces",
        V5,
        "10 25 00 04 4d 51 54 54 05 ce 00 0a 05 11 00 00 00 0a"
        "00 01 63 00 00 03 77 2f 74 00 03 62 79 65 00 01 75 00 02 70 77",
        Connect(
            "c",
            version=5,
            keep_alive=10,
            will=Will("w/t", b"bye", qos=1),
            user_name="u",
            password=b"pw",
            properties=Properties(session_expiry_interval=10),
        ),
        "MQTT-3.1.3-1",
        "MQTT-3.1.2-9",
        "MQTT-3.1.2-17",
        "MQTT-3.1.2-19",
    ),
    Case(
        "CONNECT of MQTT 3.1 with all its fields",
        (3,),
        "10 20 00 06 4d 51 49 73 64 70 03 ee 00 0a 00 01 63 00 03 77 2f 74 00 03 62 79 65 00 01 75 00 02 70 77",
        Connect(
            "c",
            version=3,
            keep_alive=10,
            will=Will("w/t", b"bye", qos=1, retain=True),
            user_name="u",
            password=b"pw",
        ),
        "MQTT 3.1 section 3.1",
    ),
    Case(
        "CONNECT with a user name and no password",
        V4,
        "10 10 00 04 4d 51 54 54 04 82 00 3c 00 01 63 00 01 75",
        Connect("c", version=4, user_name="u"),
        "v3 MQTT-3.1.2-20",
    ),
    Case(
        "CONNECT with an empty user name and an empty password",
        V4,
        "10 11 00 04 4d 51 54 54 04 c2 00 3c 00 01 63 00 00 00 00",
        Connect("c", version=4, user_name="", password=b""),
        "v3 MQTT-3.1.2-19",
        "v3 MQTT-3.1.2-21",
    ),
    Case(
        "CONNECT with a password and no user name in v5",
        V5,
        "10 11 00 04 4d 51 54 54 05 42 00 3c 00 00 01 63 00 01 70",
        Connect("c", version=5, password=b"p"),
        "section 3.1.2.9",
    ),
    Case(
        "CONNECT with a password that is not text",
        V4,
        "10 13 00 04 4d 51 54 54 04 c2 00 3c 00 01 63 00 01 75 00 01 ff",
        Connect("c", version=4, user_name="u", password=b"\xff"),
        "section 3.1.3.6",
    ),
    Case(
        "CONNECT with a retained will of QoS 2 and no payload",
        V5,
        "10 14 00 04 4d 51 54 54 05 36 00 3c 00 00 01 63 00 00 01 77 00 00",
        Connect("c", version=5, will=Will("w", b"", qos=2, retain=True)),
        "MQTT-3.1.2-12",
        "MQTT-3.1.2-15",
    ),
    Case(
        "CONNECT with a will payload that is not text",
        V4,
        "10 13 00 04 4d 51 54 54 04 06 00 3c 00 01 63 00 01 77 00 01 00",
        Connect("c", version=4, will=Will("w", b"\0")),
        "section 3.1.3.4",
    ),
    Case(
        "CONNECT of a bridge in v3.1",
        (3,),
        "10 0f 00 06 4d 51 49 73 64 70 83 02 00 3c 00 01 63",
        Connect("c", version=3, is_bridge=True),
        "Mosquitto's bridges",
    ),
    Case(
        "CONNECT of a bridge in v3.1.1",
        V4,
        "10 0d 00 04 4d 51 54 54 84 02 00 3c 00 01 63",
        Connect("c", version=4, is_bridge=True),
        "Mosquitto's bridges",
    ),
    Case(
        "CONNECT of a bridge in v5 does not exist",
        V5,
        "10 0e 00 04 4d 51 54 54 85 02 00 3c 00 00 01 63",
        UNSUPPORTED,
        "MQTT-3.1.2-2",
    ),
    Case(
        "CONNECT with another protocol name",
        V4,
        "10 0d 00 04 4d 51 54 58 04 02 00 3c 00 01 63",
        UNSUPPORTED,
        "MQTT-3.1.2-1",
    ),
    Case(
        "CONNECT with a protocol name in small letters",
        V5,
        "10 0e 00 04 6d 71 74 74 05 02 00 3c 00 00 01 63",
        UNSUPPORTED,
        "MQTT-3.1.2-1",
    ),
    Case(
        "CONNECT with an empty protocol name",
        V4,
        "10 09 00 00 04 02 00 3c 00 01 63",
        UNSUPPORTED,
        "MQTT-3.1.2-1",
    ),
    Case("CONNECT with a protocol name that is not UTF-8", V4, "10 05 00 02 ff ff 04", MALFORMED, "MQTT-1.5.4-1"),
    Case("CONNECT of MQIsdp with level 4", (3,), framed("10", MQISDP, "04 02 00 3c 00 01 63"), UNSUPPORTED),
    Case("CONNECT of MQIsdp with level 5", (3,), framed("10", MQISDP, "05 02 00 3c 00 00 01 63"), UNSUPPORTED),
    Case("CONNECT of MQTT with level 3", V4, framed("10", MQTT, "03 02 00 3c 00 01 63"), UNSUPPORTED, "MQTT-3.1.2-2"),
    Case("CONNECT of MQTT with level 0", V4, framed("10", MQTT, "00 02 00 3c 00 01 63"), UNSUPPORTED, "MQTT-3.1.2-2"),
    Case(
        "CONNECT of MQTT with level 6", V5, framed("10", MQTT, "06 02 00 3c 00 00 01 63"), UNSUPPORTED, "MQTT-3.1.2-2"
    ),
    Case("CONNECT of a level to come, of which we know no more", V5, framed("10", MQTT, "06"), UNSUPPORTED),
    Case(
        "CONNECT with its reserved flag set", V4, framed("10", MQTT, "04 03 00 3c 00 01 63"), MALFORMED, "MQTT-3.1.2-3"
    ),
    Case("CONNECT with its reserved flag set in v3.1", (3,), framed("10", MQISDP, "03 03 00 3c 00 01 63"), MALFORMED),
    Case(
        "CONNECT with its reserved flag set in v5",
        V5,
        framed("10", MQTT, "05 03 00 3c 00 00 01 63"),
        MALFORMED,
        "MQTT-3.1.2-3",
    ),
    Case(
        "CONNECT with a will QoS of 3",
        V5,
        framed("10", MQTT, "05 1e 00 3c 00 00 01 63 00 00 01 77 00 00"),
        MALFORMED,
        "MQTT-3.1.2-12",
    ),
    Case(
        "CONNECT with a will QoS of 3 in v3.1.1",
        V4,
        framed("10", MQTT, "04 1e 00 3c 00 01 63 00 01 77 00 00"),
        MALFORMED,
        "v3 MQTT-3.1.2-14",
    ),
    Case(
        "CONNECT with a will QoS and no will",
        V5,
        framed("10", MQTT, "05 0a 00 3c 00 00 01 63"),
        MALFORMED,
        "MQTT-3.1.2-11",
    ),
    Case(
        "CONNECT with a will QoS and no will in v3.1.1",
        V4,
        framed("10", MQTT, "04 12 00 3c 00 01 63"),
        MALFORMED,
        "v3 MQTT-3.1.2-13",
    ),
    Case(
        "CONNECT with a will retain and no will",
        V5,
        framed("10", MQTT, "05 22 00 3c 00 00 01 63"),
        MALFORMED,
        "MQTT-3.1.2-13",
    ),
    Case(
        "CONNECT with a will retain and no will in v3.1.1",
        V4,
        framed("10", MQTT, "04 22 00 3c 00 01 63"),
        MALFORMED,
        "v3 MQTT-3.1.2-15",
    ),
    Case(
        "CONNECT with a password and no user name in v3.1.1",
        V4,
        framed("10", MQTT, "04 42 00 3c 00 01 63 00 01 70"),
        MALFORMED,
        "v3 MQTT-3.1.2-22",
    ),
    Case(
        "CONNECT with a password and no user name in v3.1",
        (3,),
        framed("10", MQISDP, "03 42 00 3c 00 01 63 00 01 70"),
        MALFORMED,
    ),
    Case(
        "CONNECT with a wildcard in its will topic",
        V5,
        framed("10", MQTT, "05 06 00 3c 00 00 01 63 00 00 03 77 2f 23 00 00"),
        BAD_NAME,
        "MQTT-4.7.0-1",
    ),
    Case(
        "CONNECT with a wildcard in its will topic in v3.1.1",
        V4,
        framed("10", MQTT, "04 06 00 3c 00 01 63 00 01 2b 00 00"),
        BAD_NAME,
        "v3 MQTT-4.7.1-1",
    ),
    Case(
        "CONNECT with an empty will topic",
        V5,
        framed("10", MQTT, "05 06 00 3c 00 00 01 63 00 00 00 00 00"),
        BAD_NAME,
        "MQTT-4.7.3-1",
    ),
    Case(
        "CONNECT with a user name behind the last field it announces",
        V4,
        framed("10", MQTT, "04 02 00 3c 00 01 63 00 01 75"),
        MALFORMED,
        "v3 MQTT-3.1.2-18",
    ),
    Case(
        "CONNECT with a user name that its flags deny",
        V5,
        framed("10", MQTT, "05 02 00 3c 00 00 01 63 00 01 75"),
        MALFORMED,
        "MQTT-3.1.2-16",
    ),
    Case(
        "CONNECT with a password that its flags deny",
        V5,
        framed("10", MQTT, "05 82 00 3c 00 00 01 63 00 01 75 00 01 70"),
        MALFORMED,
        "MQTT-3.1.2-18",
    ),
    Case(
        "CONNECT with a will that its flags deny",
        V4,
        framed("10", MQTT, "04 02 00 3c 00 01 63 00 01 77 00 01 78"),
        MALFORMED,
        "v3 MQTT-3.1.2-11",
    ),
    Case(
        "CONNECT with authentication data and no method",
        V5,
        framed("10", MQTT, "05 02 00 3c 04 16 00 01 64 00 01 63"),
        PROTOCOL,
        "section 3.1.2.11.10",
    ),
    Case(
        "CONNECT with properties in another order than ours",
        V5,
        framed("10", MQTT, "05 02 00 3c 08 21 00 05 11 00 00 00 0a 00 01 63"),
        Connect("c", properties=Properties(session_expiry_interval=10, receive_maximum=5)),
        "section 2.2.2.2: there is no significance in the order",
        canonical=False,
    ),
    Case(
        "CONNECT with user properties around another one",
        V5,
        framed("10", MQTT, "05 02 00 3c 11 26 00 01 61 00 01 31 21 00 05 26 00 01 61 00 01 32 00 01 63"),
        Connect("c", properties=Properties(receive_maximum=5, user_properties=(("a", "1"), ("a", "2")))),
        "section 3.1.2.11.8",
        canonical=False,
    ),
]

# Where a CONNECT can end too early: at each field that its flags announce (section 3.1.3).
_WHOLE_CONNECT: Final = "05 ce 00 0a 00 00 01 63 00 00 01 77 00 01 78 00 01 75 00 01 70"
CONNECT_CASES += [
    Case(f"CONNECT that ends {where}", V5, framed("10", MQTT, _WHOLE_CONNECT[: count * 3]), MALFORMED, *tags)
    for where, count, tags in (
        ("before its version", 0, ()),
        ("before its flags", 1, ()),
        ("before its keep alive", 2, ()),
        ("inside its keep alive", 3, ()),
        ("before its property length", 4, ("MQTT-2.2.2-1",)),
        ("before its client id", 5, ("MQTT-3.1.3-3",)),
        ("inside the length of its client id", 6, ("MQTT-3.1.3-3",)),
        ("inside its client id", 7, ("MQTT-3.1.3-3",)),
        ("before its will properties", 8, ("MQTT-3.1.2-9",)),
        ("before its will topic", 9, ("MQTT-3.1.2-9",)),
        ("inside its will topic", 11, ("MQTT-3.1.2-9",)),
        ("before its will payload", 12, ("MQTT-3.1.2-9",)),
        ("inside its will payload", 14, ("MQTT-3.1.2-9",)),
        ("before its user name", 15, ("MQTT-3.1.2-17",)),
        ("inside its user name", 17, ("MQTT-3.1.2-17",)),
        ("before its password", 18, ("MQTT-3.1.2-19",)),
        ("inside its password", 20, ("MQTT-3.1.2-19",)),
    )
]
CONNECT_CASES += [
    Case("CONNECT without a body", V4, "10 00", MALFORMED, "MQTT-3.1.4-1"),
    Case("CONNECT that ends inside its protocol name", V4, framed("10", "00 04 4d 51"), MALFORMED, "MQTT-3.1.4-1"),
    Case("CONNECT that ends before its client id in v3.1.1", V4, framed("10", MQTT, "04 02 00 3c"), MALFORMED),
    Case(
        "CONNECT that ends before its will payload in v3.1.1",
        V4,
        framed("10", MQTT, "04 06 00 3c 00 01 63 00 01 77"),
        MALFORMED,
        "v3 MQTT-3.1.2-9",
    ),
    Case(
        "CONNECT that ends before its user name in v3.1.1",
        V4,
        framed("10", MQTT, "04 82 00 3c 00 01 63"),
        MALFORMED,
        "v3 MQTT-3.1.2-19",
    ),
    Case(
        "CONNECT that ends before its password in v3.1.1",
        V4,
        framed("10", MQTT, "04 c2 00 3c 00 01 63 00 01 75"),
        MALFORMED,
        "v3 MQTT-3.1.2-21",
    ),
]

# --- Section 3.2 ---

CONNACK_CASES: Final = [
    Case("CONNACK", V3, "20 02 00 00", ConnAck(), "v3 MQTT-3.2.0-1"),
    Case("CONNACK in v5", V5, "20 03 00 00 00", ConnAck(), "MQTT-3.2.0-1"),
    Case("CONNACK with a session", V3, "20 02 01 00", ConnAck(session_present=True), "v3 MQTT-3.2.2-2"),
    Case("CONNACK with a session in v5", V5, "20 03 01 00 00", ConnAck(session_present=True), "MQTT-3.2.2-3"),
    Case("CONNACK that refuses a client id", V3, "20 02 00 02", ConnAck(2), "v3 MQTT-3.1.3-9"),
    Case("CONNACK that refuses the version", V3, "20 02 00 01", ConnAck(1), "v3 MQTT-3.1.2-2"),
    Case("CONNACK that refuses a user in v5", V5, "20 03 00 86 00", ConnAck(0x86), "MQTT-3.2.2-8"),
    Case(
        "CONNACK with many properties",
        V5,
        "20 17 00 00 14 22 00 05 12 00 02 69 64 13 00 1e 25 00 21 00 0a 24 01 2a 00",  # as Mosquitto orders them
        ConnAck(
            properties=Properties(
                assigned_client_identifier="id",
                server_keep_alive=30,
                receive_maximum=10,
                topic_alias_maximum=5,
                maximum_qos=1,
                retain_available=0,
                shared_subscription_available=0,
            )
        ),
        "MQTT-3.1.3-7",
        "MQTT-3.2.2-21",
    ),
    Case(
        "CONNACK without properties in v5, from a server that knows v5's codes and little more",
        V5,
        "20 02 00 84",
        ConnAck(0x84),
        "MQTT-3.1.2-2",
        canonical=False,
    ),
    Case("CONNACK with a reserved flag set", ALL, "20 03 02 00 00", MALFORMED, "MQTT-3.2.2-1"),
    Case("CONNACK with its highest flag set", V3, "20 02 80 00", MALFORMED, "MQTT-3.2.2-1"),
    Case("CONNACK with all flags set", V5, "20 03 ff 00 00", MALFORMED, "MQTT-3.2.2-1"),
    Case("CONNACK with return code 6", V3, "20 02 00 06", MALFORMED, "v3 section 3.2.2.3"),
    Case("CONNACK without a body", ALL, "20 00", MALFORMED),
    Case("CONNACK without a code", ALL, "20 01 00", MALFORMED),
    Case("CONNACK with a byte behind its end", V3, "20 03 00 00 00", MALFORMED),
    Case("CONNACK with a byte behind its end in v5", V5, "20 04 00 00 00 00", MALFORMED),
]

# --- Section 3.3 ---

PUBLISH_CASES: Final = [
    Case("PUBLISH", V3, "30 07 00 03 61 2f 62 68 69", Publish("a/b", b"hi"), "MQTT-3.3.2-1", "MQTT-2.2.1-2"),
    Case("PUBLISH in v5", V5, "30 08 00 03 61 2f 62 00 68 69", Publish("a/b", b"hi"), "MQTT-3.3.2-1"),
    Case("PUBLISH without payload", V3, "30 05 00 03 61 2f 62", Publish("a/b"), "section 3.3.3"),
    Case("PUBLISH without payload in v5", V5, "30 06 00 03 61 2f 62 00", Publish("a/b"), "section 3.3.3"),
    Case(
        "PUBLISH that clears a retained message",
        V3,
        "31 05 00 03 61 2f 62",
        Publish("a/b", retain=True),
        "v3 MQTT-3.3.1-10",
    ),
    Case(
        "the text's example of a PUBLISH, topic a/b and packet id 10",
        V3,
        "32 07 00 03 61 2f 62 00 0a",
        Publish("a/b", qos=1, packet_id=10),
        "section 3.3.2.3",
    ),
    Case(
        "the text's example of a PUBLISH in v5, topic a/b and packet id 10",
        V5,
        "32 08 00 03 61 2f 62 00 0a 00",
        Publish("a/b", qos=1, packet_id=10),
        "section 3.3.2.4",
    ),
    Case(
        "PUBLISH with a packet id of two different bytes",
        V3,
        "34 08 00 01 74 12 34 78 79 7a",
        Publish("t", b"xyz", qos=2, packet_id=0x1234),
        "section 1.5.2",
    ),
    Case(
        "PUBLISH with the largest packet id",
        V5,
        "32 06 00 01 74 ff ff 00",
        Publish("t", qos=1, packet_id=65_535),
        "section 2.2.1",
    ),
    Case(
        "PUBLISH with all flags that go together",
        V3,
        "3d 05 00 01 74 00 01",
        Publish("t", qos=2, dup=True, retain=True, packet_id=1),
        "MQTT-3.3.1-1",
    ),
    Case(
        "PUBLISH sent again at QoS 1",
        V5,
        "3a 06 00 01 74 00 01 00",
        Publish("t", qos=1, dup=True, packet_id=1),
        "MQTT-3.3.1-1",
    ),
    Case("PUBLISH of one slash", V3, "30 03 00 01 2f", Publish("/"), "section 4.7.1.1"),
    Case("PUBLISH to a topic with a space", V3, "30 05 00 03 61 20 62", Publish("a b"), "section 4.7.3"),
    Case(
        "PUBLISH to the text's example of a string, A and U+2A6D4",
        V3,
        "30 07 00 05 41 f0 aa 9b 94",
        Publish("A\U0002a6d4"),
        "section 1.5.4",
    ),
    Case("PUBLISH with a BOM in its topic", V3, "30 05 00 03 ef bb bf", Publish("\ufeff"), "MQTT-1.5.4-3"),
    Case(
        "PUBLISH with a BOM inside its topic",
        V5,
        "30 08 00 05 61 ef bb bf 62 00",
        Publish("a\ufeffb"),
        "MQTT-1.5.4-3",
    ),
    Case("PUBLISH of every byte as payload", V3, "30 07 00 01 74 00 ff fe c0", Publish("t", b"\x00\xff\xfe\xc0")),
    Case(
        "PUBLISH whose payload looks like properties",
        V3,
        "30 05 00 01 74 00 00",
        Publish("t", b"\0\0"),
        "v3 section 3.3.3",
    ),
    Case(
        "PUBLISH of a length with two bytes",
        V3,
        "30 80 01 00 01 74" + "78" * 125,
        Publish("t", b"x" * 125),
        "MQTT-1.5.5-1",
    ),
    Case(
        "PUBLISH of the largest length with one byte",
        V3,
        "30 7f 00 01 74" + "78" * 124,
        Publish("t", b"x" * 124),
        "MQTT-1.5.5-1",
    ),
    Case(
        "PUBLISH of a length with three bytes",
        V3,
        "30 80 80 01 00 01 74" + "78" * 16_381,
        Publish("t", b"x" * 16_381),
        "MQTT-1.5.5-1",
    ),
    Case(
        "PUBLISH with every property that it may have",
        V5,
        "30 31 00 01 74 2c 01 01 02 00 00 00 3c 03 00 02 74 74 08 00 03 72 2f 74 09 00 02 00 ff"
        "0b 01 0b 80 01 23 00 05 26 00 01 62 00 01 31 26 00 01 61 00 00 70",
        Publish(
            "t",
            b"p",
            properties=Properties(
                payload_format_indicator=1,
                message_expiry_interval=60,
                content_type="tt",
                response_topic="r/t",
                correlation_data=b"\x00\xff",
                subscription_identifiers=(1, 128),
                topic_alias=5,
                user_properties=(("b", "1"), ("a", "")),
            ),
        ),
        "MQTT-3.3.2-18",
        "MQTT-3.3.4-4",
    ),
    Case(
        "PUBLISH with a topic alias in place of its topic",
        V5,
        "30 07 00 00 03 23 00 01 70",
        Publish("", b"p", properties=Properties(topic_alias=1)),
        "section 3.3.2.3.4",
    ),
    Case(
        "PUBLISH with the largest topic alias",
        V5,
        "30 07 00 01 74 03 23 ff ff",
        Publish("t", properties=Properties(topic_alias=65_535)),
        "section 3.3.2.3.4",
    ),
    Case(
        "PUBLISH with the largest subscription identifier",
        V5,
        "30 09 00 01 74 05 0b ff ff ff 7f",
        Publish("t", properties=Properties(subscription_identifiers=(268_435_455,))),
        "section 3.3.2.3.8",
    ),
    Case(
        "PUBLISH with subscription identifiers on both sides of another property",
        V5,
        "30 0b 00 01 74 07 0b 02 23 00 01 0b 01",
        Publish("t", properties=Properties(subscription_identifiers=(2, 1), topic_alias=1)),
        "MQTT-3.3.4-4",
        canonical=False,
    ),
    Case("PUBLISH with QoS 3", V3, "36 05 00 01 74 00 01", MALFORMED, "MQTT-3.3.1-4"),
    Case("PUBLISH with QoS 3 in v5", V5, "36 06 00 01 74 00 01 00", MALFORMED, "MQTT-3.3.1-4"),
    Case("PUBLISH with QoS 3, DUP and RETAIN", V3, "3f 05 00 01 74 00 01", MALFORMED, "MQTT-3.3.1-4"),
    Case("PUBLISH with DUP at QoS 0", V3, "38 03 00 01 74", MALFORMED, "MQTT-3.3.1-2"),
    Case("PUBLISH with DUP at QoS 0 in v5", V5, "39 04 00 01 74 00", MALFORMED, "MQTT-3.3.1-2"),
    Case("PUBLISH with packet id 0 at QoS 1", V3, "32 05 00 01 74 00 00", PROTOCOL, "v3 MQTT-2.3.1-1"),
    Case("PUBLISH with packet id 0 at QoS 2", V5, "34 06 00 01 74 00 00 00", PROTOCOL, "MQTT-2.2.1-3"),
    Case("PUBLISH with # in its topic", V3, "30 05 00 03 61 2f 23", BAD_NAME, "MQTT-3.3.2-2"),
    Case("PUBLISH with + in its topic", V5, "30 06 00 03 2b 2f 61 00", BAD_NAME, "MQTT-3.3.2-2"),
    Case("PUBLISH with + inside a level", V3, "30 05 00 03 61 2b 62", BAD_NAME, "MQTT-3.3.2-2"),
    Case("PUBLISH with an empty topic", V3, "30 03 00 00 70", PROTOCOL, "v3 MQTT-4.7.3-1"),
    Case("PUBLISH with neither topic nor alias", V5, "30 03 00 00 00", PROTOCOL, "MQTT-4.7.3-1"),
    Case(
        "PUBLISH with an empty topic and a property that is no alias",
        V5,
        "30 05 00 00 02 01 00",
        PROTOCOL,
        "MQTT-4.7.3-1",
    ),
    Case("PUBLISH with topic alias 0", V5, "30 07 00 01 74 03 23 00 00", BAD_ALIAS, "MQTT-3.3.2-8"),
    Case("PUBLISH of an empty topic and nothing else", V3, "30 02 00 00", PROTOCOL, "v3 MQTT-4.7.3-1"),
    Case("PUBLISH of an empty topic and nothing else in v5", V5, "30 02 00 00", MALFORMED, "MQTT-2.2.2-1"),
    Case("PUBLISH without a body", ALL, "30 00", MALFORMED, "MQTT-3.3.2-1"),
    Case("PUBLISH that ends inside the length of its topic", ALL, "30 01 00", MALFORMED, "MQTT-3.3.2-1"),
    Case("PUBLISH that ends inside its topic", ALL, "30 04 00 03 61 2f", MALFORMED, "MQTT-3.3.2-1"),
    Case("PUBLISH of the longest topic that did not come", ALL, "30 03 ff ff 61", MALFORMED, "MQTT-3.3.2-1"),
    Case("PUBLISH that ends before its packet id", ALL, "32 03 00 01 74", MALFORMED, "MQTT-2.2.1-3"),
    Case("PUBLISH that ends inside its packet id", ALL, "34 04 00 01 74 00", MALFORMED, "MQTT-2.2.1-3"),
    Case("PUBLISH that ends before its property length", V5, "30 03 00 01 74", MALFORMED, "MQTT-2.2.2-1"),
    Case("PUBLISH of QoS 1 that ends before its property length", V5, "32 05 00 01 74 00 01", MALFORMED),
    Case("PUBLISH with # in its response topic", V5, "30 0a 00 01 74 06 08 00 03 61 2f 23", PROTOCOL, "MQTT-3.3.2-14"),
    Case("PUBLISH with + in its response topic", V5, "30 08 00 01 74 04 08 00 01 2b", PROTOCOL, "MQTT-3.3.2-14"),
    Case("PUBLISH with an empty response topic", V5, "30 07 00 01 74 03 08 00 00", PROTOCOL, "MQTT-4.7.3-1"),
]

# --- Sections 3.4 to 3.7 ---

ACKNOWLEDGEMENT_CASES: Final = [
    Case("PUBACK", ALL, "40 02 00 01", PubAck(1), "MQTT-2.2.1-5", "section 3.4.2.1"),
    Case("PUBREC", ALL, "50 02 00 01", PubRec(1), "MQTT-2.2.1-5", "section 3.5.2.1"),
    Case("PUBREL", ALL, "62 02 00 01", PubRel(1), "MQTT-2.2.1-5", "MQTT-3.6.1-1"),
    Case("PUBCOMP", ALL, "70 02 00 01", PubComp(1), "MQTT-2.2.1-5", "section 3.7.2.1"),
    Case("PUBACK of a packet id of two different bytes", ALL, "40 02 12 34", PubAck(0x1234), "section 1.5.2"),
    Case("PUBREC of the largest packet id", ALL, "50 02 ff ff", PubRec(65_535), "section 2.2.1"),
    Case("PUBREL of packet id 256", ALL, "62 02 01 00", PubRel(256), "section 1.5.2"),
    Case("PUBCOMP of packet id 255", ALL, "70 02 00 ff", PubComp(255), "section 1.5.2"),
    Case("PUBACK that refuses", V5, "40 03 00 01 87", PubAck(1, 0x87), "MQTT-3.4.2-1"),
    Case("PUBREC that refuses", V5, "50 03 00 01 97", PubRec(1, 0x97), "MQTT-3.5.2-1"),
    Case("PUBREL that knows no such id", V5, "62 03 00 01 92", PubRel(1, 0x92), "MQTT-3.6.2-1"),
    Case("PUBCOMP that knows no such id", V5, "70 03 00 01 92", PubComp(1, 0x92), "MQTT-3.7.2-1"),
    Case(
        "PUBACK with a reason in words",
        V5,
        "40 09 00 01 99 05 1f 00 02 6e 6f",
        PubAck(1, 0x99, Properties(reason_string="no")),
        "MQTT-3.4.2-1",
    ),
    Case("PUBACK that spells out its success", V5, "40 03 00 01 00", PubAck(1), "section 3.4.2.1", canonical=False),
    Case("PUBREC that spells out its success", V5, "50 03 00 01 00", PubRec(1), "section 3.5.2.1", canonical=False),
    Case("PUBREL that spells out its success", V5, "62 03 00 01 00", PubRel(1), "section 3.6.2.1", canonical=False),
    Case("PUBCOMP that spells out its success", V5, "70 03 00 01 00", PubComp(1), "section 3.7.2.1", canonical=False),
    Case(
        "PUBACK that spells out its success and that it has no properties",
        V5,
        "40 04 00 01 00 00",
        PubAck(1),
        "section 3.4.2.2.1",
        canonical=False,
    ),
    Case(
        "PUBREC that spells out that it has no properties",
        V5,
        "50 04 00 01 10 00",
        PubRec(1, 0x10),
        "section 3.5.2.2.1",
        canonical=False,
    ),
    Case(
        "PUBREL that spells out that it has no properties",
        V5,
        "62 04 00 01 92 00",
        PubRel(1, 0x92),
        "section 3.6.2.2.1",
        canonical=False,
    ),
    Case(
        "PUBCOMP that spells out that it has no properties",
        V5,
        "70 04 00 01 92 00",
        PubComp(1, 0x92),
        "section 3.7.2.2.1",
        canonical=False,
    ),
    Case("PUBREL sent again in v3.1", (3,), "6a 02 00 01", PubRel(1), "MQTT 3.1 section 2.1", canonical=False),
    Case("PUBREL with DUP since v3.1.1", (4, 5), "6a 02 00 01", MALFORMED, "MQTT-3.6.1-1"),
    Case("PUBREL without its reserved flag", ALL, "60 02 00 01", MALFORMED, "MQTT-3.6.1-1"),
]
for _name, _first in (("PUBACK", "40"), ("PUBREC", "50"), ("PUBREL", "62"), ("PUBCOMP", "70")):
    ACKNOWLEDGEMENT_CASES += [
        Case(f"{_name} of packet id 0", ALL, f"{_first} 02 00 00", PROTOCOL, "MQTT-2.2.1-3"),
        Case(f"{_name} of packet id 0 with a code", V5, f"{_first} 03 00 00 00", PROTOCOL, "MQTT-2.2.1-3"),
        Case(f"{_name} without a body", ALL, f"{_first} 00", MALFORMED),
        Case(f"{_name} that ends inside its packet id", ALL, f"{_first} 01 00", MALFORMED),
        Case(f"{_name} with a byte behind its packet id", V3, f"{_first} 03 00 01 00", MALFORMED),
        Case(f"{_name} with a byte behind its properties", V5, f"{_first} 05 00 01 00 00 00", MALFORMED),
        Case(f"{_name} with properties that did not come", V5, f"{_first} 04 00 01 00 01", MALFORMED),
    ]

# --- Sections 3.8 to 3.11 ---

SUBSCRIBE_CASES: Final = [
    Case(
        "the text's example of a SUBSCRIBE, a/b at QoS 1 and c/d at QoS 2",
        V3,
        "82 0e 00 0a 00 03 61 2f 62 01 00 03 63 2f 64 02",
        Subscribe(10, [SubscriptionRequest("a/b", 1), SubscriptionRequest("c/d", 2)]),
        "v3 section 3.8.3",
    ),
    Case(
        "the text's example of a SUBSCRIBE in v5, a/b at QoS 1 and c/d at QoS 2",
        V5,
        "82 0f 00 0a 00 00 03 61 2f 62 01 00 03 63 2f 64 02",
        Subscribe(10, [SubscriptionRequest("a/b", 1), SubscriptionRequest("c/d", 2)]),
        "MQTT-3.8.3-1",
    ),
    Case(
        "SUBSCRIBE with every option",
        V5,
        "82 11 00 01 00 00 01 23 2e 00 01 2b 10 00 03 61 2f 62 05",
        Subscribe(
            1,
            [
                SubscriptionRequest("#", 2, no_local=True, retain_as_published=True, retain_handling=2),
                SubscriptionRequest("+", 0, retain_handling=1),
                SubscriptionRequest("a/b", 1, no_local=True),
            ],
        ),
        "MQTT-3.8.3-3",
    ),
    Case(
        "SUBSCRIBE with the largest subscription identifier",
        V5,
        "82 0c 00 01 05 0b ff ff ff 7f 00 01 66 00",
        Subscribe(1, [SubscriptionRequest("f")], Properties(subscription_identifiers=(268_435_455,))),
        "section 3.8.2.1.2",
    ),
    Case(
        "SUBSCRIBE to the same filter twice",
        V3,
        "82 0a 00 01 00 01 66 00 00 01 66 01",
        Subscribe(1, [SubscriptionRequest("f", 0), SubscriptionRequest("f", 1)]),
        "v3 MQTT-3.8.4-4",
    ),
    Case(
        "SUBSCRIBE with an empty filter, which is refused where filters are checked one by one",
        V3,
        "82 05 00 01 00 00 00",
        Subscribe(1, [SubscriptionRequest("")]),
        "MQTT-4.7.3-1",
    ),
    Case(
        "SUBSCRIBE sent again in v3.1",
        (3,),
        "8a 06 00 01 00 01 66 00",
        Subscribe(1, [SubscriptionRequest("f")]),
        "MQTT 3.1 section 2.1",
        canonical=False,
    ),
    Case("SUBSCRIBE with DUP since v3.1.1", V4, "8a 06 00 01 00 01 66 00", MALFORMED, "MQTT-3.8.1-1"),
    Case("SUBSCRIBE without its reserved flag", V4, "80 06 00 01 00 01 66 00", MALFORMED, "MQTT-3.8.1-1"),
    Case("SUBSCRIBE without its reserved flag in v5", V5, "80 07 00 01 00 00 01 66 00", MALFORMED, "MQTT-3.8.1-1"),
    Case("SUBSCRIBE with packet id 0", V3, "82 06 00 00 00 01 66 00", PROTOCOL, "v3 MQTT-2.3.1-1"),
    Case("SUBSCRIBE with packet id 0 in v5", V5, "82 07 00 00 00 00 01 66 00", PROTOCOL, "MQTT-2.2.1-3"),
    Case("SUBSCRIBE without filters", V3, "82 02 00 01", PROTOCOL, "MQTT-3.8.3-2"),
    Case("SUBSCRIBE without filters in v5", V5, "82 03 00 01 00", PROTOCOL, "MQTT-3.8.3-2"),
    Case("SUBSCRIBE without a body", ALL, "82 00", MALFORMED),
    Case("SUBSCRIBE that ends inside its packet id", ALL, "82 01 00", MALFORMED),
    Case("SUBSCRIBE that ends before its property length", V5, "82 02 00 01", MALFORMED, "MQTT-2.2.2-1"),
    Case("SUBSCRIBE that ends inside the length of a filter", V3, "82 03 00 01 00", MALFORMED, "MQTT-3.8.3-1"),
    Case("SUBSCRIBE that ends inside a filter", V3, "82 05 00 01 00 02 66", MALFORMED, "MQTT-3.8.3-1"),
    Case("SUBSCRIBE that ends before its options", V3, "82 05 00 01 00 01 66", MALFORMED, "MQTT-3.8.3-2"),
    Case("SUBSCRIBE that ends before its options in v5", V5, "82 06 00 01 00 00 01 66", MALFORMED, "MQTT-3.8.3-2"),
    Case("SUBSCRIBE that ends in its second filter", V3, "82 08 00 01 00 01 66 00 00 01", MALFORMED, "MQTT-3.8.3-1"),
    Case("SUBSCRIBE with QoS 3", V3, "82 06 00 01 00 01 66 03", PROTOCOL, "v3 section 3.8.3"),
    Case("SUBSCRIBE with QoS 3 in v5", V5, "82 07 00 01 00 00 01 66 03", PROTOCOL, "section 3.8.3.1"),
    Case("SUBSCRIBE with retain handling 3", V5, "82 07 00 01 00 00 01 66 30", PROTOCOL, "section 3.8.3.1"),
]
SUBSCRIBE_CASES += [
    Case(f"SUBSCRIBE with option {bit:02x} in v5", V5, f"82 07 00 01 00 00 01 66 {bit:02x}", MALFORMED, "MQTT-3.8.3-5")
    for bit in (0x40, 0x80, 0xC0)
]
SUBSCRIBE_CASES += [
    Case(f"SUBSCRIBE with option {bit:02x} in v3", V3, f"82 06 00 01 00 01 66 {bit:02x}", MALFORMED, "v3 section 3.8.3")
    for bit in (0x04, 0x08, 0x10, 0x20, 0x40, 0x80)
]

SUBACK_CASES: Final = [
    Case(
        "the text's example of a SUBACK: QoS 0, QoS 2, failure",
        V3,
        "90 05 00 0a 00 02 80",
        SubAck(10, [0, 2, 0x80]),
        "v3 MQTT-3.9.3-1",
    ),
    Case(
        "SUBACK with many reason codes",
        V5,
        "90 07 00 0a 00 00 02 87 a2",
        SubAck(10, [0, 2, 0x87, 0xA2]),
        "MQTT-3.9.3-1",
    ),
    Case(
        "SUBACK with a reason in words",
        V5,
        "90 09 00 0a 05 1f 00 02 6e 6f 8f",
        SubAck(10, [0x8F], Properties(reason_string="no")),
        "MQTT-3.9.3-2",
    ),
    Case("SUBACK with packet id 0", V3, "90 03 00 00 00", PROTOCOL, "MQTT-2.2.1-6"),
    Case("SUBACK without codes", V3, "90 02 00 01", MALFORMED, "v3 MQTT-3.8.4-5"),
    Case("SUBACK without codes in v5", V5, "90 03 00 01 00", MALFORMED, "MQTT-3.8.4-6"),
    Case("SUBACK without properties in v5", V5, "90 02 00 01", MALFORMED, "MQTT-2.2.2-1"),
    Case("SUBACK without a body", ALL, "90 00", MALFORMED),
    Case("SUBACK that ends inside its packet id", ALL, "90 01 00", MALFORMED),
    Case("SUBACK with one wrong code behind a right one", V3, "90 04 00 01 00 03", MALFORMED, "v3 MQTT-3.9.3-2"),
]

UNSUBSCRIBE_CASES: Final = [
    Case(
        "the text's example of an UNSUBSCRIBE: a/b and c/d",
        V3,
        "a2 0c 00 0a 00 03 61 2f 62 00 03 63 2f 64",
        Unsubscribe(10, ["a/b", "c/d"]),
        "v3 section 3.10.3",
    ),
    Case(
        "the text's example of an UNSUBSCRIBE in v5: a/b and c/d",
        V5,
        "a2 0d 00 0a 00 00 03 61 2f 62 00 03 63 2f 64",
        Unsubscribe(10, ["a/b", "c/d"]),
        "MQTT-3.10.3-1",
    ),
    Case(
        "UNSUBSCRIBE sent again in v3.1",
        (3,),
        "aa 05 00 01 00 01 66",
        Unsubscribe(1, ["f"]),
        "MQTT 3.1 section 2.1",
        canonical=False,
    ),
    Case("UNSUBSCRIBE with DUP since v3.1.1", V4, "aa 05 00 01 00 01 66", MALFORMED, "MQTT-3.10.1-1"),
    Case("UNSUBSCRIBE without its reserved flag", V4, "a0 05 00 01 00 01 66", MALFORMED, "MQTT-3.10.1-1"),
    Case("UNSUBSCRIBE with packet id 0", V3, "a2 05 00 00 00 01 66", PROTOCOL, "v3 MQTT-2.3.1-1"),
    Case("UNSUBSCRIBE with packet id 0 in v5", V5, "a2 06 00 00 00 00 01 66", PROTOCOL, "MQTT-2.2.1-3"),
    Case("UNSUBSCRIBE without filters", V3, "a2 02 00 01", PROTOCOL, "MQTT-3.10.3-2"),
    Case("UNSUBSCRIBE without filters in v5", V5, "a2 03 00 01 00", PROTOCOL, "MQTT-3.10.3-2"),
    Case("UNSUBSCRIBE without a body", ALL, "a2 00", MALFORMED),
    Case("UNSUBSCRIBE that ends inside its packet id", ALL, "a2 01 00", MALFORMED),
    Case("UNSUBSCRIBE that ends before its property length", V5, "a2 02 00 01", MALFORMED, "MQTT-2.2.2-1"),
    Case("UNSUBSCRIBE that ends inside the length of a filter", V3, "a2 03 00 01 00", MALFORMED, "MQTT-3.10.3-1"),
    Case("UNSUBSCRIBE that ends inside a filter", V3, "a2 05 00 01 00 02 66", MALFORMED, "MQTT-3.10.3-1"),
    Case("UNSUBSCRIBE that ends inside a filter in v5", V5, "a2 06 00 01 00 00 02 66", MALFORMED, "MQTT-3.10.3-1"),
    Case("UNSUBSCRIBE with a byte behind its filter", V3, "a2 06 00 01 00 01 66 00", MALFORMED, "MQTT-3.10.3-1"),
]

UNSUBACK_CASES: Final = [
    Case("UNSUBACK", V3, "b0 02 00 0a", UnsubAck(10), "v3 MQTT-3.10.4-4"),
    Case("UNSUBACK in v5", V5, "b0 05 00 0a 00 00 11", UnsubAck(10, [0, 0x11]), "MQTT-3.11.3-1"),
    Case("UNSUBACK with packet id 0", V3, "b0 02 00 00", PROTOCOL, "MQTT-2.2.1-6"),
    Case("UNSUBACK with codes before v5", V3, "b0 03 00 0a 00", MALFORMED, "v3 section 3.11.3: it has no payload"),
    Case("UNSUBACK without codes", V5, "b0 03 00 0a 00", MALFORMED, "MQTT-3.11.3-2"),
    Case("UNSUBACK without properties", V5, "b0 02 00 0a", MALFORMED, "MQTT-2.2.2-1"),
    Case("UNSUBACK without a body", ALL, "b0 00", MALFORMED),
    Case("UNSUBACK that ends inside its packet id", ALL, "b0 01 00", MALFORMED),
]

# --- Sections 3.12 to 3.15 ---

SHORT_CASES: Final = [
    Case("PINGREQ", ALL, "c0 00", PingReq(), "section 3.12"),
    Case("PINGRESP", ALL, "d0 00", PingResp(), "section 3.13"),
    Case("PINGREQ with a body", ALL, "c0 01 00", MALFORMED, "section 3.12"),
    Case("PINGREQ with a body of two bytes", ALL, "c0 02 00 01", MALFORMED, "section 3.12"),
    Case("PINGRESP with a body", ALL, "d0 01 00", MALFORMED, "section 3.13"),
    Case("DISCONNECT", ALL, "e0 00", Disconnect(), "section 3.14"),
    Case("DISCONNECT with a reason before v5", V3, "e0 01 00", MALFORMED, "v3 section 3.14"),
    Case("DISCONNECT with a flag", ALL, "e1 00", MALFORMED, "MQTT-3.14.1-1"),
    Case("DISCONNECT that wants its will sent", V5, "e0 01 04", Disconnect(4), "section 3.14.2.1"),
    Case("DISCONNECT that spells out normality", V5, "e0 01 00", Disconnect(), "section 3.14.2.1", canonical=False),
    Case(
        "DISCONNECT that spells out that it has no properties",
        V5,
        "e0 02 8e 00",
        Disconnect(0x8E),
        "section 3.14.2.2.1",
        canonical=False,
    ),
    Case(
        "DISCONNECT that ends its session",
        V5,
        "e0 07 00 05 11 00 00 00 00",
        Disconnect(0, Properties(session_expiry_interval=0)),
        "section 3.14.2.2.2",
    ),
    Case("DISCONNECT with a byte behind its properties", V5, "e0 03 00 00 00", MALFORMED),
    Case("DISCONNECT with properties that did not come", V5, "e0 02 00 01", MALFORMED),
    Case("AUTH that succeeds", V5, "f0 00", Auth(), "section 3.15.2.1"),
    Case(
        "AUTH that goes on",
        V5,
        "f0 0e 18 0c 15 00 05 53 43 52 41 4d 16 00 01 78",
        Auth(0x18, Properties(authentication_method="SCRAM", authentication_data=b"x")),
        "MQTT-4.12.0-2",
    ),
    Case(
        "AUTH that begins again",
        V5,
        "f0 06 19 04 15 00 01 6d",
        Auth(0x19, Properties(authentication_method="m")),
        "MQTT-4.12.1-1",
    ),
    Case("AUTH that spells out its success", V5, "f0 02 00 00", Auth(), "section 3.15.2.1", canonical=False),
    Case("AUTH with a byte behind its properties", V5, "f0 03 00 00 00", MALFORMED, "section 3.15"),
    Case("AUTH with a flag", V5, "f8 00", MALFORMED, "MQTT-3.15.1-1"),
    Case("AUTH before v5", V3, "f0 00", MALFORMED, "v3 section 2.2.1: packet type 15 is forbidden"),
    Case("AUTH with a body before v5", V3, "f0 02 18 00", MALFORMED, "v3 section 2.2.1: packet type 15 is forbidden"),
    Case("packet type 0", ALL, "00 00", MALFORMED, "section 2.1.2"),
    Case("packet type 0 with flags", ALL, "0f 00", MALFORMED, "section 2.1.2"),
    Case("a remaining length with a byte too many", ALL, "c0 80 00", MALFORMED, "MQTT-1.5.5-1"),
    Case("a remaining length of 1 in four bytes", ALL, "c0 81 80 80 00 00", MALFORMED, "MQTT-1.5.5-1"),
    Case("a remaining length of 5 bytes", ALL, "c0 80 80 80 80 01", MALFORMED, "section 1.5.5"),
    Case("a remaining length that does not end", ALL, "30 ff ff ff ff", MALFORMED, "section 1.5.5"),
]

# --- Section 2.2.2: the properties ---

PROPERTY_ENDS: Final = {
    "CONNECT": ("10", f"{MQTT} 05 02 00 3c", "00 01 63"),
    "WILL": ("10", f"{MQTT} 05 06 00 3c 00 00 01 63", "00 01 77 00 01 78"),
    "CONNACK": ("20", "00 00", ""),
    "PUBLISH": ("30", "00 01 74", "70"),
    "PUBACK": ("40", "00 01 00", ""),
    "PUBREC": ("50", "00 01 00", ""),
    "PUBREL": ("62", "00 01 00", ""),
    "PUBCOMP": ("70", "00 01 00", ""),
    "SUBSCRIBE": ("82", "00 01", "00 01 66 00"),
    "SUBACK": ("90", "00 01", "00"),
    "UNSUBSCRIBE": ("a2", "00 01", "00 01 66"),
    "UNSUBACK": ("b0", "00 01", "00"),
    "DISCONNECT": ("e0", "00", ""),
    "AUTH": ("f0", "00", ""),
}
"""For each packet with properties: its first byte, and what stands before and behind the property length and them."""


def carrier(name: str, properties: Properties | None) -> Packet:
    """The packet that ``PROPERTY_ENDS`` writes, with these properties."""
    packets: dict[str, Packet] = {
        "CONNECT": Connect("c", properties=properties),
        "WILL": Connect("c", will=Will("w", b"x", properties=properties)),
        "CONNACK": ConnAck(properties=properties),
        "PUBLISH": Publish("t", b"p", properties=properties),
        "PUBACK": PubAck(1, properties=properties),
        "PUBREC": PubRec(1, properties=properties),
        "PUBREL": PubRel(1, properties=properties),
        "PUBCOMP": PubComp(1, properties=properties),
        "SUBSCRIBE": Subscribe(1, [SubscriptionRequest("f")], properties),
        "SUBACK": SubAck(1, [0], properties),
        "UNSUBSCRIBE": Unsubscribe(1, ["f"], properties),
        "UNSUBACK": UnsubAck(1, [0], properties),
        "DISCONNECT": Disconnect(properties=properties),
        "AUTH": Auth(properties=properties),
    }
    return packets[name]


def with_properties(name: str, property_bytes: str) -> str:
    """The bytes of a packet with these properties behind their length; all in hex."""
    first, before, behind = PROPERTY_ENDS[name]
    return framed(first, before, counted(property_bytes), behind)


class Property:
    """One row of table 2-4, with an example and with values that the text forbids."""

    def __init__(
        self,
        identifier: str,
        field: str,
        carriers: str,
        data: str,
        value: object,
        *,
        forbidden: tuple[str, ...] = (),
        refusal: ReasonCode = PROTOCOL,
        needs: tuple[str, Properties] | None = None,
    ) -> None:
        self.identifier = identifier  # in hex
        self.field = field  # the attribute of Properties
        self.carriers = tuple(carriers.split())  # names of PROPERTY_ENDS
        self.data = data  # the example, in hex, without the identifier
        self.value = value  # what the example means
        self.forbidden = forbidden  # like data, but with a value that may not be
        self.refusal = refusal  # the answer to these
        self.needs = needs  # another property that must stand in front

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be said twice in some packet."""
        return self.field in ("user_properties", "subscription_identifiers")


_REASON_CARRIERS: Final = "CONNACK PUBACK PUBREC PUBREL PUBCOMP SUBACK UNSUBACK DISCONNECT AUTH"
_EVERYWHERE: Final = " ".join(PROPERTY_ENDS)
_NO_BOOLEAN: Final = ("02", "ff")
_METHOD: Final = ("15 00 01 6d", Properties(authentication_method="m"))

PROPERTIES: Final = [
    Property("01", "payload_format_indicator", "PUBLISH WILL", "01", 1, forbidden=_NO_BOOLEAN),
    Property("02", "message_expiry_interval", "PUBLISH WILL", "01 02 03 04", 0x01020304),
    Property("03", "content_type", "PUBLISH WILL", "00 02 74 74", "tt"),
    Property("08", "response_topic", "PUBLISH WILL", "00 03 72 2f 74", "r/t", forbidden=("00 01 2b", "00 01 23")),
    Property("09", "correlation_data", "PUBLISH WILL", "00 02 00 ff", b"\x00\xff"),
    Property("0b", "subscription_identifiers", "PUBLISH SUBSCRIBE", "80 01", (128,), forbidden=("00",)),
    Property("11", "session_expiry_interval", "CONNECT CONNACK DISCONNECT", "ff ff ff ff", 0xFFFFFFFF),
    Property("12", "assigned_client_identifier", "CONNACK", "00 02 69 64", "id"),
    Property("13", "server_keep_alive", "CONNACK", "00 1e", 30),
    Property("15", "authentication_method", "CONNECT CONNACK AUTH", "00 01 6d", "m"),
    Property("16", "authentication_data", "CONNECT CONNACK AUTH", "00 01 ff", b"\xff", needs=_METHOD),
    Property("17", "request_problem_information", "CONNECT", "00", 0, forbidden=_NO_BOOLEAN),
    Property("18", "will_delay_interval", "WILL", "00 00 00 05", 5),
    Property("19", "request_response_information", "CONNECT", "01", 1, forbidden=_NO_BOOLEAN),
    Property("1a", "response_information", "CONNACK", "00 02 72 2f", "r/"),
    Property("1c", "server_reference", "CONNACK DISCONNECT", "00 01 68", "h"),
    Property("1f", "reason_string", _REASON_CARRIERS, "00 02 6e 6f", "no"),
    Property("21", "receive_maximum", "CONNECT CONNACK", "00 01", 1, forbidden=("00 00",)),
    Property("22", "topic_alias_maximum", "CONNECT CONNACK", "00 00", 0),
    Property("23", "topic_alias", "PUBLISH", "01 00", 256, forbidden=("00 00",), refusal=BAD_ALIAS),
    Property("24", "maximum_qos", "CONNACK", "01", 1, forbidden=_NO_BOOLEAN),
    Property("25", "retain_available", "CONNACK", "00", 0, forbidden=_NO_BOOLEAN),
    Property("26", "user_properties", _EVERYWHERE, "00 01 6b 00 01 76", (("k", "v"),)),
    Property("27", "maximum_packet_size", "CONNECT CONNACK", "00 00 00 01", 1, forbidden=("00 00 00 00",)),
    Property("28", "wildcard_subscription_available", "CONNACK", "00", 0, forbidden=_NO_BOOLEAN),
    Property("29", "subscription_identifier_available", "CONNACK", "01", 1, forbidden=_NO_BOOLEAN),
    Property("2a", "shared_subscription_available", "CONNACK", "00", 0, forbidden=_NO_BOOLEAN),
]


def said(row: Property, value: object) -> Properties:
    """Properties that say this one, and what it needs in front."""
    properties = Properties(authentication_method="m") if row.needs else Properties()
    setattr(properties, row.field, value)
    return properties


def _cases_of_a_property(row: Property) -> list[Case]:
    needed = row.needs[0] if row.needs else ""
    once = f"{needed} {row.identifier} {row.data}"
    cases: list[Case] = []
    for name in PROPERTY_ENDS:
        title = f"{name} with {row.field}"
        if name not in row.carriers:
            data = with_properties(name, f"{row.identifier} {row.data}")
            cases.append(Case(title, V5, data, MALFORMED, "section 2.2.2.2"))
            continue
        cases.append(Case(title, V5, with_properties(name, once), carrier(name, said(row, row.value)), "table 2-4"))
        twice = with_properties(name, f"{once} {row.identifier} {row.data}")
        if row.field == "user_properties" or (row.field, name) == ("subscription_identifiers", "PUBLISH"):
            assert isinstance(row.value, tuple)
            packet = carrier(name, said(row, row.value * 2))
            cases.append(Case(f"{title} said twice", V5, twice, packet, "section 2.2.2.2"))
        else:
            cases.append(Case(f"{title} said twice", V5, twice, PROTOCOL, "section 2.2.2.2"))
        for value in row.forbidden:
            data = with_properties(name, f"{needed} {row.identifier} {value}")
            cases.append(Case(f"{title} of {value}", V5, data, row.refusal, "section 2.2.2.2"))
        for length in range(len(bytes.fromhex(row.data))):
            data = with_properties(name, f"{needed} {row.identifier} {row.data[: length * 3]}")
            cases.append(Case(f"{title} cut after {length} bytes", V5, data, MALFORMED, "section 2.2.2.2"))
    return cases


PROPERTY_CASES: Final = [case for row in PROPERTIES for case in _cases_of_a_property(row)]
for _name, (_first, _before, _behind) in PROPERTY_ENDS.items():
    PROPERTY_CASES += [
        Case(f"{_name} with property 7f", V5, with_properties(_name, "7f 00"), MALFORMED, "section 2.2.2.2"),
        Case(f"{_name} with property 00", V5, with_properties(_name, "00 00"), MALFORMED, "section 2.2.2.2"),
        Case(f"{_name} with property 26 in two bytes", V5, with_properties(_name, "a6 00"), MALFORMED, "MQTT-1.5.5-1"),
        Case(f"{_name} with property 128", V5, with_properties(_name, "80 01 00"), MALFORMED, "section 2.2.2.2"),
        Case(f"{_name} with a property length beyond its end", V5, framed(_first, _before, "7f"), MALFORMED),
        Case(
            f"{_name} with a property length of 0 in two bytes",
            V5,
            framed(_first, _before, "80 00", _behind),
            MALFORMED,
            "MQTT-1.5.5-1",
        ),
        Case(
            f"{_name} with a property length of five bytes",
            V5,
            framed(_first, _before, "80 80 80 80 01", _behind),
            MALFORMED,
            "section 1.5.5",
        ),
    ]
PROPERTY_CASES += [
    Case(
        "CONNECT with receive_maximum of 65,535",
        V5,
        with_properties("CONNECT", "21 ff ff"),
        carrier("CONNECT", Properties(receive_maximum=65_535)),
    ),
    Case(
        "PUBLISH with an empty content type",
        V5,
        with_properties("PUBLISH", "03 00 00"),
        carrier("PUBLISH", Properties(content_type="")),
    ),
    Case(
        "PUBLISH with empty correlation data",
        V5,
        with_properties("PUBLISH", "09 00 00"),
        carrier("PUBLISH", Properties(correlation_data=b"")),
    ),
    Case(
        "PUBLISH with message_expiry_interval of 0",
        V5,
        with_properties("PUBLISH", "02 00 00 00 00"),
        carrier("PUBLISH", Properties(message_expiry_interval=0)),
    ),
    Case(
        "PUBLISH with an empty user property",
        V5,
        with_properties("PUBLISH", "26 00 00 00 00"),
        carrier("PUBLISH", Properties(user_properties=(("", ""),))),
    ),
    Case(
        "PUBLISH with a subscription identifier of five bytes",
        V5,
        with_properties("PUBLISH", "0b 80 80 80 80 01"),
        MALFORMED,
        "section 1.5.5",
    ),
    Case(
        "PUBLISH with a subscription identifier in too many bytes",
        V5,
        with_properties("PUBLISH", "0b 81 00"),
        MALFORMED,
        "MQTT-1.5.5-1",
    ),
    Case(
        "PUBLISH whose last property runs into its payload",
        V5,
        "30 07 00 01 74 02 23 00 01",
        MALFORMED,
        "section 2.2.2.1",
    ),
    Case(
        "PUBLISH whose property length cuts a property off",
        V5,
        "30 08 00 01 74 01 01 01 70 70",
        MALFORMED,
        "section 2.2.2.1",
    ),
]

# --- Section 1.5.4: strings ---

ILL_TEXT: Final = {
    "an encoded surrogate": ("ed a0 80", "MQTT-1.5.4-1"),
    "a surrogate pair": ("ed a0 81 ed b0 80", "MQTT-1.5.4-1"),
    "the last surrogate": ("61 ed bf bf", "MQTT-1.5.4-1"),
    "a null character": ("61 00 62", "MQTT-1.5.4-2"),
    "a null character alone": ("00", "MQTT-1.5.4-2"),
    "a null character in two bytes": ("c0 80", "MQTT-1.5.4-1"),
    "a slash in two bytes": ("c0 af", "MQTT-1.5.4-1"),
    "a character beyond U+10FFFF": ("f4 90 80 80", "MQTT-1.5.4-1"),
    "a byte that UTF-8 never has": ("61 ff", "MQTT-1.5.4-1"),
    "a byte that only continues": ("80", "MQTT-1.5.4-1"),
    "a character cut short": ("61 e2 82", "MQTT-1.5.4-1"),
}
WELL_TEXT: Final = {
    "a BOM": ("ef bb bf", "\ufeff"),
    "the largest character": ("f4 8f bf bf", "\U0010ffff"),
    "the characters around the surrogates": ("ed 9f bf ee 80 80", "\ud7ff\ue000"),
    "a control character": ("01", "\x01"),
    "a letter and its accent": ("65 cc 81", "e\u0301"),
    "dots and dollars": ("2e 2a 24 5e", ".*$^"),
}

_TEXT_ENDS: Final = {
    "the client id": (V4, "10", f"{MQTT} 04 02 00 3c", ""),
    "the will topic": (V4, "10", f"{MQTT} 04 06 00 3c 00 01 63", "00 01 78"),
    "the user name": (V4, "10", f"{MQTT} 04 82 00 3c 00 01 63", ""),
    "the client id in v5": (V5, "10", f"{MQTT} 05 02 00 3c 00", ""),
    "the will topic in v5": (V5, "10", f"{MQTT} 05 06 00 3c 00 00 01 63 00", "00 01 78"),
    "the user name in v5": (V5, "10", f"{MQTT} 05 82 00 3c 00 00 01 63", ""),
    "the topic": (V3, "30", "", "70"),
    "the topic in v5": (V5, "30", "", "00 70"),
    "a filter of SUBSCRIBE": (V3, "82", "00 01", "00"),
    "a filter of SUBSCRIBE in v5": (V5, "82", "00 01 00", "00"),
    "a filter of UNSUBSCRIBE": (V3, "a2", "00 01", ""),
    "a filter of UNSUBSCRIBE in v5": (V5, "a2", "00 01 00", ""),
}


def _text_packet(where: str, text: str) -> Packet:
    version = 5 if where.endswith("v5") else 4
    packets: dict[str, Packet] = {
        "the client id": Connect(text, version=version),
        "the will topic": Connect("c", version=version, will=Will(text, b"x")),
        "the user name": Connect("c", version=version, user_name=text),
        "the topic": Publish(text, b"p"),
        "a filter of SUBSCRIBE": Subscribe(1, [SubscriptionRequest(text)]),
        "a filter of UNSUBSCRIBE": Unsubscribe(1, [text]),
    }
    return packets[where.removesuffix(" in v5")]


TEXT_CASES: Final = [
    Case(f"{what} in {where}", versions, framed(first, before, lengthy(text), behind), MALFORMED, tag)
    for where, (versions, first, before, behind) in _TEXT_ENDS.items()
    for what, (text, tag) in ILL_TEXT.items()
]
TEXT_CASES += [
    Case(
        f"{what} in {where}",
        versions,
        framed(first, before, lengthy(data), behind),
        _text_packet(where, text),
        "MQTT-1.5.4-1",
        "MQTT-1.5.4-3",
    )
    for where, (versions, first, before, behind) in _TEXT_ENDS.items()
    for what, (data, text) in WELL_TEXT.items()
]
# Each property that is text: the same, in one of the packets that may carry it.
TEXT_CASES += [
    Case(
        f"{what} in {row.field} of {row.carriers[0]}",
        V5,
        with_properties(row.carriers[0], f"{row.identifier} {lengthy(text)}"),
        MALFORMED,
        tag,
    )
    for row in PROPERTIES
    if isinstance(row.value, str)
    for what, (text, tag) in ILL_TEXT.items()
]
TEXT_CASES += [
    Case(
        f"{what} in {where} of a user property", V5, with_properties("PUBLISH", f"26 {pair}"), MALFORMED, "MQTT-1.5.7-1"
    )
    for what, (text, _) in ILL_TEXT.items()
    for where, pair in (("the name", f"{lengthy(text)} 00 00"), ("the value", f"00 01 6b {lengthy(text)}"))
]

OLDER_TEXT_CASES: Final = [
    Case(
        "CONNECT of MQTT 3.1 that announces a user name and brings none",
        (3,),
        "10 0f 00 06 4d 51 49 73 64 70 03 82 00 3c 00 01 63",
        Connect("c", version=3),
        "MQTT 3.1 section 3.1: the remaining length takes precedence over the user name flag",
        canonical=False,
    ),
    Case(
        "CONNECT of MQTT 3.1 that announces a password and brings none",
        (3,),
        "10 12 00 06 4d 51 49 73 64 70 03 c2 00 3c 00 01 63 00 01 75",
        Connect("c", version=3, user_name="u"),
        "MQTT 3.1 section 3.1: the remaining length takes precedence over the password flag",
        canonical=False,
    ),
]

CASES: Final = [
    *CONNECT_CASES,
    *CONNACK_CASES,
    *PUBLISH_CASES,
    *ACKNOWLEDGEMENT_CASES,
    *SUBSCRIBE_CASES,
    *SUBACK_CASES,
    *UNSUBSCRIBE_CASES,
    *UNSUBACK_CASES,
    *SHORT_CASES,
    *PROPERTY_CASES,
    *TEXT_CASES,
    *OLDER_TEXT_CASES,
]
"""The whole table."""

# --- Section 2.4: which reason code belongs to which packet ---

_PUBLISH_CODES: Final = "00 10 80 83 87 90 91 97 99"
_DISCONNECT_CODES: Final = "00 04 80 81 82 83 87 89 8b 8c 8d 8e 8f 90 93 94 95 96 97 98 99 9a 9b 9c 9d 9e 9f a0 a1 a2"

REASON_CODES: Final = {
    "CONNACK": ("20 03 00 {} 00", "00 80 81 82 83 84 85 86 87 88 89 8a 8c 90 95 97 99 9a 9b 9c 9d 9f"),
    "PUBACK": ("40 03 00 01 {}", _PUBLISH_CODES),
    "PUBREC": ("50 03 00 01 {}", _PUBLISH_CODES),
    "PUBREL": ("62 03 00 01 {}", "00 92"),
    "PUBCOMP": ("70 03 00 01 {}", "00 92"),
    "SUBACK": ("90 04 00 01 00 {}", "00 01 02 80 83 87 8f 91 97 9e a1 a2"),
    "UNSUBACK": ("b0 04 00 01 00 {}", "00 11 80 83 87 8f 91"),
    "DISCONNECT": ("e0 02 {} 00", _DISCONNECT_CODES),
    "AUTH": ("f0 06 {} 04 15 00 01 6d", "00 18 19"),
}
"""For each v5 packet with a reason code: its bytes around the code, and the codes it may carry (table 2-6)."""

RETURN_CODES: Final = {
    "CONNACK": ("20 02 00 {}", "00 01 02 03 04 05"),
    "SUBACK": ("90 03 00 01 {}", "00 01 02 80"),
}
"""The same before v5 (v3 sections 3.2.2.3 and 3.9.3)."""
