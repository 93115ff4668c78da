"""One table of what a client must not send, or need not: the bytes, when they come, what is answered, who says so.

The bytes are written by hand from the specification, never by our own encoder;
only the answers, and what was said before, are packets. Knows no engine and no
socket: ``test_engine.py`` and ``test_socket.py`` read this same table.
"""

from dataclasses import dataclass
from typing import Final

from telex.codes import MQTT_5, ReasonCode
from telex.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    UnsubAck,
    Will,
)
from telex.wire.properties import Properties
from tests.wire.cases import (
    ALL,
    BAD_ALIAS,
    BAD_NAME,
    CASES,
    MALFORMED,
    MQISDP,
    MQTT,
    PROTOCOL,
    UNSUPPORTED,
    V3,
    V4,
    V5,
    Case,
    counted,
    framed,
    lengthy,
    variable,
)

TOO_LARGE: Final = ReasonCode.PACKET_TOO_LARGE
TOO_MANY: Final = ReasonCode.RECEIVE_MAXIMUM_EXCEEDED
BAD_METHOD: Final = ReasonCode.BAD_AUTHENTICATION_METHOD
BAD_CLIENT_ID: Final = ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
BAD_FILTER: Final = ReasonCode.TOPIC_FILTER_INVALID
FORBIDDEN: Final = ReasonCode.NOT_AUTHORIZED
NOBODY: Final = ReasonCode.NO_MATCHING_SUBSCRIBERS
NOT_FOUND: Final = ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
NO_SUBSCRIPTION: Final = ReasonCode.NO_SUBSCRIPTION_EXISTED

KEEP_ALIVE: Final = 60
"""Seconds; of every client here."""

# --- What is answered ---


@dataclass(frozen=True)
class Answer:
    """What comes back: packets, then an end or none."""

    before: tuple[Packet, ...] = ()  # in every version, also if the end follows
    last: tuple[Packet, ...] = ()  # what tells a v5 client that this is the end
    last_before_v5: tuple[Packet, ...] = ()
    ends: bool = True
    reason_code: int = 0  # that our log names; 0: none
    is_whole: bool = True  # False: the broker still waits for the rest of a packet

    def packets(self, version: int) -> list[Packet]:
        """All that a client of this version gets."""
        return [*self.before, *(self.last if version == MQTT_5 else self.last_before_v5)]


def ends(reason_code: int, *before: Packet) -> Answer:
    """DISCONNECT with this code for a v5 client, a close without a word for others (section 4.13)."""
    return Answer(before, (Disconnect(reason_code),), reason_code=reason_code)


def refused(reason_code: int, return_code: int = 0) -> Answer:
    """CONNACK with this code for a v5 client; before v5 with the return code, or without a word (v3 [MQTT-3.1.4-1])."""
    older = (ConnAck(return_code),) if return_code else ()
    return Answer((), (ConnAck(reason_code),), older, reason_code=reason_code)


def closes(reason_code: int = 0, *before: Packet) -> Answer:
    """A close without a word, to whatever version."""
    return Answer(before, reason_code=reason_code)


def goes_on(*packets: Packet) -> Answer:
    """These answers, and the connection stands."""
    return Answer(packets, ends=False)


WAITS: Final = Answer(ends=False, is_whole=False)
"""Nothing: a packet has begun, and until its end comes the client may be in the middle of a write."""

# --- What was said before ---


class State:
    """What a client has said before it says a row's bytes, and how many packets that was worth in answers."""

    def __init__(
        self,
        name: str,
        *packets: Packet,
        answers: int = 0,
        is_connected: bool = True,
        properties: Properties | None = None,
        will: Will | None = None,
    ) -> None:
        self.name = name
        self.packets = packets
        self.answers = answers  # without CONNACK
        self.is_connected = is_connected
        self.properties = properties  # of CONNECT, in v5
        self.will = will

    def connect(self, client_id: str, version: int) -> Connect:
        """The CONNECT that came first."""
        return Connect(
            client_id,
            version=version,
            keep_alive=KEEP_ALIVE,
            will=self.will,
            properties=self.properties if version == MQTT_5 else None,
        )


def _gets(qos: int) -> tuple[Packet, ...]:
    """A client that sends itself a message, and so has got one with packet id 1."""
    return Subscribe(1, [SubscriptionRequest("own/t", qos)]), Publish("own/t", b"x", qos=2, packet_id=9), PubRel(9)


NOTHING_SAID: Final = State("has said nothing", is_connected=False)
CONNECTED: Final = State("is connected")
SUBSCRIBED: Final = State("has a subscription", Subscribe(1, [SubscriptionRequest("own/#", 2)]), answers=1)
OWES_PUBREL: Final = State("has a QoS 2 message in flight to us", Publish("own/t", b"x", qos=2, packet_id=7), answers=1)
OWES_PUBACK: Final = State("has a QoS 1 message in flight from us", *_gets(1), answers=4)
OWES_PUBREC: Final = State("has a QoS 2 message in flight from us", *_gets(2), answers=4)
OWES_PUBCOMP: Final = State("has got our PUBREL", *_gets(2), PubRec(1), answers=5)
HAS_ALIAS: Final = State(
    "has given topic alias 1 a topic", Publish("own/t", b"x", properties=Properties(topic_alias=1))
)
IS_KEPT: Final = State("has a session for a minute", properties=Properties(session_expiry_interval=60))
IS_NARROW: Final = State("takes 40 bytes at most", properties=Properties(maximum_packet_size=40))
HAS_WILL: Final = State("has a will", will=Will("own/will", b"lost", qos=2))


class Row:
    """These bytes, said in this state, in each of these versions, get this answer.

    ``published`` is how many messages of topic ``t`` others get by them.
    ``cut`` is False where the answer holds for one read only.
    """

    def __init__(
        self,
        name: str,
        versions: tuple[int, ...],
        state: State,
        data: str,
        answer: Answer,
        *tags: str,
        published: int = 0,
        cut: bool = True,
    ) -> None:
        self.name = name
        self.versions = versions
        self.state = state
        self.data = bytes.fromhex(data)
        self.answer = answer
        self.tags = tags  # statements or sections of the MQTT 5 text, "v3 ..." of the 3.1.1 text
        self.published = published
        self.cut = cut


# --- Before CONNECT (section 3.1) ---

NO_CONNECT: Final = [
    Row(f"{what} first", V4, NOTHING_SAID, data, closes(PROTOCOL), "MQTT-3.1.0-1", "v3 MQTT-3.1.0-1")
    for what, data in (
        ("packet type 0", "00 00"),
        ("CONNACK", "20 02 00 00"),
        ("PUBLISH", "30 04 00 01 74 78"),
        ("PUBLISH of QoS 1", "32 06 00 01 74 00 01 78"),
        ("PUBLISH of QoS 2", "34 06 00 01 74 00 01 78"),
        ("PUBLISH of v5", "30 05 00 01 74 00 78"),
        ("PUBACK", "40 02 00 01"),
        ("PUBREC", "50 02 00 01"),
        ("PUBREL", "62 02 00 01"),
        ("PUBCOMP", "70 02 00 01"),
        ("SUBSCRIBE", "82 06 00 01 00 01 66 00"),
        ("SUBACK", "90 03 00 01 00"),
        ("UNSUBSCRIBE", "a2 05 00 01 00 01 66"),
        ("UNSUBACK", "b0 02 00 01"),
        ("PINGREQ", "c0 00"),
        ("PINGRESP", "d0 00"),
        ("DISCONNECT", "e0 00"),
        ("AUTH", "f0 00"),
        ("AUTH that goes on", "f0 06 18 04 15 00 01 6d"),
        ("CONNECT with flag 1", "11 0d 00 04 4d 51 54 54 04 02 00 3c 00 01 63"),
        ("CONNECT with all flags", "1f 0d 00 04 4d 51 54 54 04 02 00 3c 00 01 63"),
        ("HTTP", "47 45 54 20 2f 20 48 54 54 50 2f 31 2e 31 0d 0a 0d 0a"),
        ("TLS", "16 03 01 00 05 01 00 00 01 03"),
        ("SSH", "53 53 48 2d 32 2e 30 2d 78 0d 0a"),
        ("an empty line", "0d 0a 0d 0a"),
        ("nothing but ones", "ff ff ff ff ff ff ff ff"),
    )
]

UNFINISHED_CONNECT: Final = [
    Row("nothing at all", V4, NOTHING_SAID, "", WAITS, "section 3.1.4"),
    Row("the first byte of CONNECT and no more", V4, NOTHING_SAID, "10", WAITS, "section 3.1.4"),
    Row("CONNECT that ends inside its remaining length", V4, NOTHING_SAID, "10 80", WAITS, "section 2.1.4"),
    Row("CONNECT of which only the fixed header comes", V4, NOTHING_SAID, "10 0d", WAITS, "section 3.1.4"),
    Row("CONNECT of which half comes", V4, NOTHING_SAID, "10 0d 00 04 4d 51 54 54 04", WAITS, "section 3.1.4"),
    Row(
        "CONNECT of which all but a byte comes",
        V5,
        NOTHING_SAID,
        "10 0e 00 04 4d 51 54 54 05 02 00 3c 00 00 01",
        WAITS,
        "section 3.1.4",
    ),
    Row(
        "CONNECT that announces a byte more than comes",
        V4,
        NOTHING_SAID,
        "10 0e 00 04 4d 51 54 54 04 02 00 3c 00 01 63",
        WAITS,
        "section 2.1.4",
    ),
    Row("CONNECT of 256 MiB", V4, NOTHING_SAID, "10 ff ff ff 7f", closes(TOO_LARGE), "section 3.1.2.11.4"),
    Row("CONNECT of two million bytes", V4, NOTHING_SAID, "10 fd 88 7a", closes(TOO_LARGE), "section 3.1.2.11.4"),
    Row(
        "CONNECT with a length of five bytes", V4, NOTHING_SAID, "10 8d 80 80 80 00", closes(MALFORMED), "MQTT-1.5.5-1"
    ),
    Row("CONNECT with a length of ones", V4, NOTHING_SAID, "10 ff ff ff ff", closes(MALFORMED), "section 1.5.5"),
    Row(
        "CONNECT with its length in too many bytes",
        V4,
        NOTHING_SAID,
        "10 8d 00 00 04 4d 51 54 54 04 02 00 3c 00 01 63",
        closes(MALFORMED),
        "MQTT-1.5.5-1",
    ),
]

CONNECT_OF_UNKNOWN: Final = [
    Row(f"CONNECT {what}", V4, NOTHING_SAID, data, refused(UNSUPPORTED, 1), *tags)
    for what, data, *tags in (
        ("of MQTT with level 0", framed("10", MQTT, "00 02 00 3c 00 01 63"), "v3 MQTT-3.1.2-2"),
        ("of MQTT with level 1", framed("10", MQTT, "01 02 00 3c 00 01 63"), "v3 MQTT-3.1.2-2"),
        ("of MQTT with level 3", framed("10", MQTT, "03 02 00 3c 00 01 63"), "v3 MQTT-3.1.2-2"),
        ("of MQTT with level 6", framed("10", MQTT, "06 02 00 3c 00 00 01 63"), "MQTT-3.1.2-2"),
        ("of MQTT with level 255", framed("10", MQTT, "ff 02 00 3c 00 00 01 63"), "MQTT-3.1.2-2"),
        ("of a level to come, and nothing else that we know", framed("10", MQTT, "07 de ad be ef"), "MQTT-3.1.2-2"),
        ("of a level to come that ends behind it", framed("10", MQTT, "07"), "MQTT-3.1.2-2"),
        ("of a bridge in v5", framed("10", MQTT, "85 02 00 3c 00 00 01 63"), "MQTT-3.1.2-2"),
        ("of MQIsdp with level 4", framed("10", MQISDP, "04 02 00 3c 00 01 63"), "v3 MQTT-3.1.2-1"),
        ("of MQIsdp with level 5", framed("10", MQISDP, "05 02 00 3c 00 00 01 63"), "MQTT-3.1.2-1"),
        ("of mqtt in small letters", framed("10", "00 04 6d 71 74 74 04 02 00 3c 00 01 63"), "v3 MQTT-3.1.2-1"),
        (
            "of mqtt in small letters with level 5",
            framed("10", "00 04 6d 71 74 74 05 02 00 3c 00 00 01 63"),
            "MQTT-3.1.2-1",
        ),
        ("of MQTX", framed("10", "00 04 4d 51 54 58 04 02 00 3c 00 01 63"), "v3 MQTT-3.1.2-1"),
        ("of MQT", framed("10", "00 03 4d 51 54 04 02 00 3c 00 01 63"), "v3 MQTT-3.1.2-1"),
        ("of MQTT and a space", framed("10", "00 05 4d 51 54 54 20 04 02 00 3c 00 01 63"), "v3 MQTT-3.1.2-1"),
        ("of MQTT behind a BOM", framed("10", "00 07 ef bb bf 4d 51 54 54 04 02 00 3c 00 01 63"), "MQTT-1.5.4-3"),
        ("of no name", framed("10", "00 00 04 02 00 3c 00 01 63"), "v3 MQTT-3.1.2-1"),
        ("of MQTT-SN", framed("10", "00 07 4d 51 54 54 2d 53 4e 01 02 00 3c 00 01 63"), "v3 MQTT-3.1.2-1"),
    )
]

# Before its level is read nobody knows in what words to answer.
CONNECT_CUT: Final = [
    Row(f"CONNECT {what}", V4, NOTHING_SAID, data, closes(MALFORMED), "MQTT-3.1.4-1", "v3 MQTT-3.1.4-1")
    for what, data in (
        ("without a body", "10 00"),
        ("that ends inside the length of its protocol name", "10 01 00"),
        ("that ends before its protocol name", "10 02 00 04"),
        ("that ends inside its protocol name", "10 04 00 04 4d 51"),
        ("that ends before its level", framed("10", MQTT)),
        ("whose protocol name claims all that follows", framed("10", "ff ff 4d 51 54 54 04 02 00 3c 00 01 63")),
        ("whose protocol name is not UTF-8", framed("10", "00 04 4d 51 54 ff 04 02 00 3c 00 01 63")),
        ("whose protocol name holds U+0000", framed("10", "00 05 4d 51 54 54 00 04 02 00 3c 00 01 63")),
        ("whose protocol name holds a surrogate", framed("10", "00 03 ed a0 80 04 02 00 3c 00 01 63")),
    )
]

# Where a CONNECT ends too early, by what its flags announce (section 3.1.3).
_V5_BODY: Final = "ce 00 0a 00 00 01 63 00 00 01 77 00 01 78 00 01 75 00 01 70"
CONNECT_CUT += [
    Row(
        f"CONNECT of v5 that ends {where}",
        V5,
        NOTHING_SAID,
        framed("10", MQTT, "05", _V5_BODY[: count * 3]),
        refused(MALFORMED),
        *tags,
    )
    for where, count, tags in (
        ("before its flags", 0, ("MQTT-3.1.4-1",)),
        ("before its keep alive", 1, ("MQTT-3.1.4-1",)),
        ("inside its keep alive", 2, ("MQTT-3.1.4-1",)),
        ("before its property length", 3, ("MQTT-2.2.2-1",)),
        ("before its client id", 4, ("MQTT-3.1.3-3",)),
        ("inside the length of its client id", 5, ("MQTT-3.1.3-3",)),
        ("inside its client id", 6, ("MQTT-3.1.3-3",)),
        ("before its will properties", 7, ("MQTT-3.1.2-9",)),
        ("before its will topic", 8, ("MQTT-3.1.2-9",)),
        ("inside its will topic", 10, ("MQTT-3.1.2-9",)),
        ("before its will payload", 11, ("MQTT-3.1.2-9",)),
        ("inside its will payload", 13, ("MQTT-3.1.2-9",)),
        ("before its user name", 14, ("MQTT-3.1.2-17",)),
        ("inside its user name", 16, ("MQTT-3.1.2-17",)),
        ("before its password", 17, ("MQTT-3.1.2-19",)),
        ("inside its password", 19, ("MQTT-3.1.2-19",)),
    )
]
_V4_BODY: Final = "ce 00 0a 00 01 63 00 01 77 00 01 78 00 01 75 00 01 70"
CONNECT_CUT += [
    Row(
        f"CONNECT of v3.1.1 that ends {where}",
        V4,
        NOTHING_SAID,
        framed("10", MQTT, "04", _V4_BODY[: count * 3]),
        closes(MALFORMED),
        *tags,
    )
    for where, count, tags in (
        ("before its flags", 0, ("v3 MQTT-3.1.4-1",)),
        ("inside its keep alive", 2, ("v3 MQTT-3.1.4-1",)),
        ("before its client id", 3, ("v3 MQTT-3.1.3-3",)),
        ("inside its client id", 5, ("v3 MQTT-3.1.3-3",)),
        ("before its will topic", 6, ("v3 MQTT-3.1.2-9",)),
        ("before its will message", 9, ("v3 MQTT-3.1.2-9",)),
        ("inside its will message", 11, ("v3 MQTT-3.1.2-9",)),
        ("before its user name", 12, ("v3 MQTT-3.1.2-19",)),
        ("before its password", 15, ("v3 MQTT-3.1.2-21",)),
    )
]

# Flags, and fields that the flags deny. In v3 such a CONNECT gets no word (v3 [MQTT-3.1.4-1]).
CONNECT_FLAGS: Final = [
    Row(f"CONNECT of v5 {what}", V5, NOTHING_SAID, framed("10", MQTT, "05", body), refused(reason_code), *tags)
    for what, body, reason_code, *tags in (
        ("with its reserved flag", "03 00 3c 00 00 01 63", MALFORMED, "MQTT-3.1.2-3"),
        ("with all its flags", "ff 00 3c 00 00 01 63 00 00 01 77 00 00 00 00 00 00", MALFORMED, "MQTT-3.1.2-3"),
        ("with a will QoS of 3", "1e 00 3c 00 00 01 63 00 00 01 77 00 00", MALFORMED, "MQTT-3.1.2-12"),
        ("with a will QoS of 1 and no will", "0a 00 3c 00 00 01 63", MALFORMED, "MQTT-3.1.2-11"),
        ("with a will QoS of 2 and no will", "12 00 3c 00 00 01 63", MALFORMED, "MQTT-3.1.2-11"),
        ("with a will QoS of 3 and no will", "1a 00 3c 00 00 01 63", MALFORMED, "MQTT-3.1.2-11"),
        ("with will retain and no will", "22 00 3c 00 00 01 63", MALFORMED, "MQTT-3.1.2-13"),
        ("with a byte behind its end", "02 00 3c 00 00 01 63 00", MALFORMED, "MQTT-3.1.3-1"),
        ("with a user name that its flags deny", "02 00 3c 00 00 01 63 00 01 75", MALFORMED, "MQTT-3.1.2-16"),
        ("with a password that its flags deny", "82 00 3c 00 00 01 63 00 01 75 00 01 70", MALFORMED, "MQTT-3.1.2-18"),
        ("with a will that its flags deny", "02 00 3c 00 00 01 63 00 00 01 77 00 00", MALFORMED, "MQTT-3.1.3-1"),
        ("with the properties of v3.1.1: none", "02 00 3c 00 01 63", MALFORMED, "MQTT-2.2.2-1"),
        ("with # in its will topic", "06 00 3c 00 00 01 63 00 00 03 77 2f 23 00 00", BAD_NAME, "MQTT-4.7.0-1"),
        ("with + in its will topic", "06 00 3c 00 00 01 63 00 00 01 2b 00 00", BAD_NAME, "MQTT-4.7.0-1"),
        ("with an empty will topic", "06 00 3c 00 00 01 63 00 00 00 00 00", BAD_NAME, "MQTT-4.7.3-1"),
        (
            "with a will for $SYS",
            "06 00 3c 00 00 01 63 00 00 06 24 53 59 53 2f 78 00 00",
            FORBIDDEN,
            "MQTT-3.1.4-2",
            "section 4.7.2",
        ),
    )
]
CONNECT_FLAGS += [
    Row(f"CONNECT of v3.1.1 {what}", V4, NOTHING_SAID, framed("10", MQTT, "04", body), closes(reason_code), *tags)
    for what, body, reason_code, *tags in (
        ("with its reserved flag", "03 00 3c 00 01 63", MALFORMED, "v3 MQTT-3.1.2-3"),
        ("with a will QoS of 3", "1e 00 3c 00 01 63 00 01 77 00 00", MALFORMED, "v3 MQTT-3.1.2-14"),
        ("with a will QoS of 1 and no will", "0a 00 3c 00 01 63", MALFORMED, "v3 MQTT-3.1.2-13"),
        ("with a will QoS of 2 and no will", "12 00 3c 00 01 63", MALFORMED, "v3 MQTT-3.1.2-13"),
        ("with will retain and no will", "22 00 3c 00 01 63", MALFORMED, "v3 MQTT-3.1.2-15"),
        ("with a password and no user name", "42 00 3c 00 01 63 00 01 70", MALFORMED, "v3 MQTT-3.1.2-22"),
        ("with a byte behind its end", "02 00 3c 00 01 63 00", MALFORMED, "v3 MQTT-3.1.3-1"),
        ("with a user name that its flags deny", "02 00 3c 00 01 63 00 01 75", MALFORMED, "v3 MQTT-3.1.2-18"),
        ("with a password that its flags deny", "82 00 3c 00 01 63 00 01 75 00 01 70", MALFORMED, "v3 MQTT-3.1.2-20"),
        ("with a will that its flags deny", "02 00 3c 00 01 63 00 01 77 00 00", MALFORMED, "v3 MQTT-3.1.2-11"),
        ("with the properties of v5", "02 00 3c 00 00 01 63", MALFORMED, "v3 MQTT-3.1.3-1"),
        ("with # in its will topic", "06 00 3c 00 01 63 00 01 23 00 00", BAD_NAME, "v3 MQTT-4.7.1-1"),
        ("with an empty will topic", "06 00 3c 00 01 63 00 00 00 00", BAD_NAME, "v3 MQTT-4.7.3-1"),
    )
]
CONNECT_FLAGS += [
    Row(f"CONNECT of v3.1 {what}", (3,), NOTHING_SAID, framed("10", MQISDP, "03", body), closes(MALFORMED), tag)
    for what, body, tag in (
        ("with its reserved flag", "03 00 3c 00 01 63", "v3 MQTT-3.1.2-3"),
        ("with a will QoS of 3", "1e 00 3c 00 01 63 00 01 77 00 00", "v3 MQTT-3.1.2-14"),
        ("with a password and no user name", "42 00 3c 00 01 63 00 01 70", "MQTT 3.1 section 3.1"),
        ("with a byte behind its end", "02 00 3c 00 01 63 00", "MQTT 3.1 section 3.1"),
        ("that ends before its client id", "02 00 3c", "MQTT 3.1 section 3.1"),
    )
]
CONNECT_FLAGS += [
    Row(
        "CONNECT of v3.1.1 without a client id that wants its session kept",
        V4,
        NOTHING_SAID,
        framed("10", MQTT, "04 00 00 3c 00 00"),
        refused(BAD_CLIENT_ID, 2),
        "v3 MQTT-3.1.3-8",
    ),
    Row(
        "CONNECT of v3.1 without a client id",
        (3,),
        NOTHING_SAID,
        framed("10", MQISDP, "03 02 00 3c 00 00"),
        refused(BAD_CLIENT_ID, 2),
        "MQTT 3.1 section 3.1",
    ),
    Row(
        "CONNECT of v3.1.1 with a will for $SYS",
        V4,
        NOTHING_SAID,
        framed("10", MQTT, "04 06 00 3c 00 01 63 00 06 24 53 59 53 2f 78 00 00"),
        refused(FORBIDDEN, 5),
        "v3 section 3.1.4",
    ),
]


def _v5_connect(properties: str) -> str:
    return framed("10", MQTT, "05 02 00 3c", counted(properties), "00 01 63")


def _v5_will(properties: str) -> str:
    return framed("10", MQTT, "05 06 00 3c 00 00 01 63", counted(properties), "00 01 77 00 01 78")


# Properties that CONNECT does not have, one of each data type among them (section 2.2.2.2).
_NOT_IN_CONNECT: Final = (
    ("a payload format indicator", "01 00"),
    ("a message expiry interval", "02 00 00 00 3c"),
    ("a content type", "03 00 01 74"),
    ("a response topic", "08 00 01 74"),
    ("correlation data", "09 00 01 74"),
    ("a subscription identifier", "0b 01"),
    ("an assigned client identifier", "12 00 01 63"),
    ("a server keep alive", "13 00 3c"),
    ("a will delay interval outside its will", "18 00 00 00 05"),
    ("response information", "1a 00 01 72"),
    ("a server reference", "1c 00 01 73"),
    ("a reason string", "1f 00 01 72"),
    ("a topic alias", "23 00 01"),
    ("a maximum QoS", "24 01"),
    ("retain available", "25 01"),
    ("wildcard subscription available", "28 01"),
    ("subscription identifier available", "29 01"),
    ("shared subscription available", "2a 01"),
    ("property 0", "00 00"),
    ("property 0x04, which does not exist", "04 00"),
    ("property 0x7F, which does not exist", "7f 00"),
    ("property 128, which does not exist", "80 01 00"),
    ("the id of a property in too many bytes", "91 00 00 00 00 0a"),
    ("the id of a property in five bytes", "91 80 80 80 00"),
)
CONNECT_PROPERTIES: Final = [
    Row(f"CONNECT with {what}", V5, NOTHING_SAID, _v5_connect(data), refused(MALFORMED), "section 2.2.2.2")
    for what, data in _NOT_IN_CONNECT
]
CONNECT_PROPERTIES += [
    Row(f"CONNECT with {what}", V5, NOTHING_SAID, _v5_connect(data), refused(reason_code), *tags)
    for what, data, reason_code, *tags in (
        ("two session expiry intervals", "11 00 00 00 05 11 00 00 00 05", PROTOCOL, "section 3.1.2.11.2"),
        ("two receive maximums", "21 00 05 21 00 05", PROTOCOL, "section 3.1.2.11.3"),
        ("a receive maximum of 0", "21 00 00", PROTOCOL, "section 3.1.2.11.3"),
        ("two maximum packet sizes", "27 00 00 01 00 27 00 00 01 00", PROTOCOL, "section 3.1.2.11.4"),
        ("a maximum packet size of 0", "27 00 00 00 00", PROTOCOL, "section 3.1.2.11.4"),
        ("two topic alias maximums", "22 00 05 22 00 05", PROTOCOL, "section 3.1.2.11.5"),
        ("request response information of 2", "19 02", PROTOCOL, "section 3.1.2.11.6"),
        ("request response information twice", "19 00 19 00", PROTOCOL, "section 3.1.2.11.6"),
        ("request problem information of 255", "17 ff", PROTOCOL, "section 3.1.2.11.7"),
        ("request problem information twice", "17 01 17 01", PROTOCOL, "section 3.1.2.11.7"),
        ("two authentication methods", "15 00 01 6d 15 00 01 6d", PROTOCOL, "section 3.1.2.11.9"),
        ("authentication data and no method", "16 00 01 64", PROTOCOL, "section 3.1.2.11.10"),
        ("authentication data twice", "15 00 01 6d 16 00 01 64 16 00 01 64", PROTOCOL, "section 3.1.2.11.10"),
        ("an authentication method that we do not have", "15 00 05 53 43 52 41 4d", BAD_METHOD, "MQTT-4.12.0-1"),
        ("an authentication method and its data", "15 00 01 6d 16 00 02 00 ff", BAD_METHOD, "MQTT-4.12.0-1"),
        ("an empty authentication method", "15 00 00", BAD_METHOD, "MQTT-4.12.0-1"),
        ("half a session expiry interval", "11 00 00", MALFORMED, "section 1.5.3"),
        ("half a receive maximum", "21 00", MALFORMED, "section 1.5.2"),
        ("a property id and no value", "19", MALFORMED, "section 2.2.2.2"),
        ("a user property without a value", "26 00 01 6b", MALFORMED, "section 1.5.7"),
        ("a user property that ends inside its value", "26 00 01 6b 00 05 76", MALFORMED, "section 1.5.7"),
        ("an authentication method that claims what follows", "15 00 05 6d", MALFORMED, "section 1.5.4"),
        ("authentication data that claims 65,535 bytes", "15 00 01 6d 16 ff ff 64", MALFORMED, "section 1.5.6"),
    )
]
CONNECT_PROPERTIES += [
    Row(
        f"CONNECT with a property length {what}",
        V5,
        NOTHING_SAID,
        framed("10", MQTT, "05 02 00 3c", data),
        refused(MALFORMED),
        tag,
    )
    for what, data, tag in (
        ("beyond its end", "7f 00 01 63", "section 2.2.2.1"),
        ("that ends in the middle of a property", "03 11 00 00 00 0a 00 01 63", "section 2.2.2.1"),
        ("that takes in its client id", "04 21 00 05 00 01 63", "section 2.2.2.1"),
        ("of 0 in two bytes", "80 00 00 01 63", "MQTT-1.5.5-1"),
        ("of five bytes", "80 80 80 80 01 00 01 63", "section 1.5.5"),
        ("that does not end", "ff", "section 1.5.5"),
        ("of 0 before properties that come", "00 21 00 05 00 01 63", "MQTT-2.2.2-1"),
    )
]
WILL_PROPERTIES: Final = [
    Row(f"CONNECT with a will with {what}", V5, NOTHING_SAID, _v5_will(data), refused(reason_code), *tags)
    for what, data, reason_code, *tags in (
        ("a payload format indicator of 2", "01 02", PROTOCOL, "section 3.1.3.2.3"),
        ("two payload format indicators", "01 00 01 00", PROTOCOL, "section 3.1.3.2.3"),
        ("two message expiry intervals", "02 00 00 00 05 02 00 00 00 05", PROTOCOL, "section 3.1.3.2.4"),
        ("two content types", "03 00 01 74 03 00 01 74", PROTOCOL, "section 3.1.3.2.5"),
        ("two response topics", "08 00 01 74 08 00 01 74", PROTOCOL, "section 3.1.3.2.6"),
        ("# in its response topic", "08 00 01 23", PROTOCOL, "MQTT-3.3.2-14"),
        ("an empty response topic", "08 00 00", PROTOCOL, "MQTT-4.7.3-1"),
        ("correlation data twice", "09 00 01 74 09 00 01 74", PROTOCOL, "section 3.1.3.2.7"),
        ("two will delay intervals", "18 00 00 00 05 18 00 00 00 05", PROTOCOL, "section 3.1.3.2.2"),
        ("a session expiry interval", "11 00 00 00 05", MALFORMED, "section 2.2.2.2"),
        ("an authentication method", "15 00 01 6d", MALFORMED, "section 2.2.2.2"),
        ("a receive maximum", "21 00 05", MALFORMED, "section 2.2.2.2"),
        ("a topic alias", "23 00 01", MALFORMED, "section 2.2.2.2"),
        ("a subscription identifier", "0b 01", MALFORMED, "section 2.2.2.2"),
        ("property 0x7F, which does not exist", "7f 00", MALFORMED, "section 2.2.2.2"),
        ("half a will delay interval", "18 00 00", MALFORMED, "section 1.5.3"),
        ("a user property without a value", "26 00 01 6b", MALFORMED, "section 1.5.7"),
    )
]

# Odd, and none the worse for it.
_FULL_LENGTH: Final = "61" * 65_535
ODD_CONNECT: Final = [
    Row(f"CONNECT {what}", versions, NOTHING_SAID, data, goes_on(ConnAck()), *tags)
    for what, versions, data, *tags in (
        (
            "with a password and no user name",
            V5,
            framed("10", MQTT, "05 42 00 3c 00 00 01 63 00 01 70"),
            "section 3.1.2.9",
        ),
        ("without a client id", V5, framed("10", MQTT, "05 02 00 3c 00 00 00"), "MQTT-3.1.3-6"),
        ("without a client id in v3.1.1", V4, framed("10", MQTT, "04 02 00 3c 00 00"), "v3 MQTT-3.1.3-6"),
        (
            "with a client id of 65,535 bytes",
            V4,
            framed("10", MQTT, "04 02 00 3c", lengthy(_FULL_LENGTH)),
            "section 1.5.4",
        ),
        (
            "with a client id of 65,535 bytes in v5",
            V5,
            framed("10", MQTT, "05 02 00 3c 00", lengthy(_FULL_LENGTH)),
            "section 1.5.4",
        ),
        (
            "with a user name and a password of 65,535 bytes",
            V4,
            framed("10", MQTT, "04 c2 00 3c 00 01 63", lengthy(_FULL_LENGTH), lengthy("ff" * 65_535)),
            "section 3.1.3.6",
        ),
        (
            "with a will topic of 65,535 bytes",
            V5,
            framed("10", MQTT, "05 06 00 3c 00 00 01 63 00", lengthy(_FULL_LENGTH), "00 00"),
            "MQTT-4.7.3-3",
        ),
        (
            "with a will topic of 30,000 levels",
            V4,
            framed("10", MQTT, "04 06 00 3c 00 01 63", lengthy("61 2f" * 30_000 + "61"), "00 00"),
            "MQTT-4.7.3-3",
        ),
        (
            "with a will payload of 65,535 bytes",
            V4,
            framed("10", MQTT, "04 06 00 3c 00 01 63 00 01 77", lengthy("00" * 65_535)),
            "section 3.1.3.4",
        ),
        ("with 10,000 user properties", V5, _v5_connect("26 00 01 6b 00 01 76" * 10_000), "section 3.1.2.11.8"),
        ("with a will of 10,000 user properties", V5, _v5_will("26 00 01 6b 00 01 76" * 10_000), "section 3.1.3.2.8"),
        ("with an empty user property", V5, _v5_connect("26 00 00 00 00"), "section 3.1.2.11.8"),
        ("with a topic alias maximum of 0", V5, _v5_connect("22 00 00"), "MQTT-3.1.2-27"),
        (
            "with a BOM and a control character in its client id",
            V4,
            framed("10", MQTT, "04 02 00 3c 00 04 ef bb bf 01"),
            "MQTT-1.5.4-3",
        ),
        (
            "with a client id like a topic filter",
            V4,
            framed("10", MQTT, "04 02 00 3c 00 05 2b 2f 23 24 27"),
            "MQTT-3.1.3-4",
        ),
        ("of a bridge in v3.1.1", V4, framed("10", MQTT, "84 02 00 3c 00 01 63"), "Mosquitto's bridges"),
        (
            "of v3.1 with a user name that does not come",
            (3,),
            framed("10", MQISDP, "03 82 00 3c 00 01 63"),
            "MQTT 3.1 section 3.1",
        ),
        ("whose will delay outlasts its session", V5, _v5_will("18 ff ff ff ff"), "section 3.1.3.2.2"),
    )
]
ODD_CONNECT += [
    Row(
        "CONNECT that takes no packet as large as CONNACK",
        V5,
        NOTHING_SAID,
        _v5_connect("27 00 00 00 01"),
        closes(TOO_LARGE),
        "MQTT-3.1.2-24",
    ),
    Row(
        "CONNECT that takes a CONNACK that refuses, and none that admits",
        V5,
        NOTHING_SAID,
        _v5_connect("27 00 00 00 08"),
        refused(TOO_LARGE),
        "MQTT-3.1.2-24",
    ),
    Row(
        "CONNECT and DISCONNECT in one piece",
        V4,
        NOTHING_SAID,
        framed("10", MQTT, "04 02 00 3c 00 01 63") + "e0 00",
        closes(0, ConnAck()),
        "MQTT-3.14.4-2",
    ),
    Row(
        "CONNECT that does not wait for CONNACK",
        V4,
        NOTHING_SAID,
        framed("10", MQTT, "04 02 00 3c 00 01 63") + "30 04 00 01 74 78",
        goes_on(ConnAck()),
        "section 3.1.4",
        published=1,
    ),
    Row(
        "two CONNECTs in one piece",
        V4,
        NOTHING_SAID,
        framed("10", MQTT, "04 02 00 3c 00 01 63") * 2,
        closes(PROTOCOL, ConnAck()),
        "v3 MQTT-3.1.0-2",
    ),
    Row(
        "two CONNECTs in one piece in v5",
        V5,
        NOTHING_SAID,
        framed("10", MQTT, "05 02 00 3c 00 00 01 63") * 2,
        ends(PROTOCOL, ConnAck()),
        "MQTT-3.1.0-2",
    ),
    Row(
        "CONNECT and a packet that does not exist",
        V5,
        NOTHING_SAID,
        framed("10", MQTT, "05 02 00 3c 00 00 01 63") + "00 00",
        ends(MALFORMED, ConnAck()),
        "MQTT-3.14.0-1",
    ),
]

# --- Strings (section 1.5.4) ---

ILL_TEXT: Final = (
    ("a slash in two bytes", "c0 af", "MQTT-1.5.4-1"),
    ("a slash in three bytes", "e0 80 af", "MQTT-1.5.4-1"),
    ("a slash in four bytes", "f0 80 80 af", "MQTT-1.5.4-1"),
    ("U+0000 in one byte", "61 00 62", "MQTT-1.5.4-2"),
    ("U+0000 in two bytes", "c0 80", "MQTT-1.5.4-1"),
    ("the first surrogate", "ed a0 80", "MQTT-1.5.4-1"),
    ("the last surrogate", "61 ed bf bf", "MQTT-1.5.4-1"),
    ("a pair of surrogates", "ed a0 bd ed b8 80", "MQTT-1.5.4-1"),
    ("a character beyond U+10FFFF", "f4 90 80 80", "MQTT-1.5.4-1"),
    ("a character of five bytes", "f8 88 80 80 80", "MQTT-1.5.4-1"),
    ("a byte that only continues", "80", "MQTT-1.5.4-1"),
    ("the byte FE", "61 fe", "MQTT-1.5.4-1"),
    ("the byte FF", "ff", "MQTT-1.5.4-1"),
    ("two bytes of which one came", "61 c3", "MQTT-1.5.4-1"),
    ("three bytes of which two came", "e2 82", "MQTT-1.5.4-1"),
    ("four bytes of which three came", "f0 9f 98", "MQTT-1.5.4-1"),
    ("a character cut by another", "e2 61 62", "MQTT-1.5.4-1"),
)
"""Each kind of bytes that is no UTF-8, or no UTF-8 for MQTT."""

_DENIED: Final = {4: closes(MALFORMED), 5: refused(MALFORMED)}
_ENDED: Final = ends(MALFORMED)

# (field, version, state, first byte, what stands before the string and behind it, the answer)
_TEXT_FIELDS: Final = (
    ("the client id", 4, NOTHING_SAID, "10", f"{MQTT} 04 02 00 3c", "", _DENIED[4]),
    ("the will topic", 4, NOTHING_SAID, "10", f"{MQTT} 04 06 00 3c 00 01 63", "00 00", _DENIED[4]),
    ("the user name", 4, NOTHING_SAID, "10", f"{MQTT} 04 82 00 3c 00 01 63", "", _DENIED[4]),
    ("the client id", 5, NOTHING_SAID, "10", f"{MQTT} 05 02 00 3c 00", "", _DENIED[5]),
    ("the will topic", 5, NOTHING_SAID, "10", f"{MQTT} 05 06 00 3c 00 00 01 63 00", "00 00", _DENIED[5]),
    ("the user name", 5, NOTHING_SAID, "10", f"{MQTT} 05 82 00 3c 00 00 01 63", "", _DENIED[5]),
    ("the topic of PUBLISH", 4, CONNECTED, "30", "", "78", _ENDED),
    ("the topic of PUBLISH", 5, CONNECTED, "30", "", "00 78", _ENDED),
    ("the topic of PUBLISH at QoS 2", 5, CONNECTED, "34", "", "00 01 00 78", _ENDED),
    ("a filter of SUBSCRIBE", 4, CONNECTED, "82", "00 01", "00", _ENDED),
    ("a filter of SUBSCRIBE", 5, CONNECTED, "82", "00 01 00", "00", _ENDED),
    ("the second filter of SUBSCRIBE", 5, CONNECTED, "82", "00 01 00 00 01 66 00", "00", _ENDED),
    ("a filter of UNSUBSCRIBE", 4, CONNECTED, "a2", "00 01", "", _ENDED),
    ("a filter of UNSUBSCRIBE", 5, CONNECTED, "a2", "00 01 00", "", _ENDED),
)
TEXT: Final = [
    Row(f"{what} in {field}", (version,), state, framed(first, before, lengthy(data), behind), answer, tag)
    for field, version, state, first, before, behind, answer in _TEXT_FIELDS
    for what, data, tag in ILL_TEXT
]

# Strings in properties: the same kinds in turn, one after the other through the fields.
_CONNECT_FRONT: Final = f"{MQTT} 05 02 00 3c"
_WILL_FRONT: Final = f"{MQTT} 05 06 00 3c 00 00 01 63"
_TEXT_PROPERTIES: Final = (
    ("the authentication method", NOTHING_SAID, "10", _CONNECT_FRONT, "15 {}", "00 01 63", _DENIED[5]),
    (
        "the name of a user property of CONNECT",
        NOTHING_SAID,
        "10",
        _CONNECT_FRONT,
        "26 {} 00 00",
        "00 01 63",
        _DENIED[5],
    ),
    (
        "the value of a user property of CONNECT",
        NOTHING_SAID,
        "10",
        _CONNECT_FRONT,
        "26 00 00 {}",
        "00 01 63",
        _DENIED[5],
    ),
    ("the content type of a will", NOTHING_SAID, "10", _WILL_FRONT, "03 {}", "00 01 77 00 00", _DENIED[5]),
    ("the response topic of a will", NOTHING_SAID, "10", _WILL_FRONT, "08 {}", "00 01 77 00 00", _DENIED[5]),
    (
        "the value of a user property of a will",
        NOTHING_SAID,
        "10",
        _WILL_FRONT,
        "26 00 00 {}",
        "00 01 77 00 00",
        _DENIED[5],
    ),
    ("the content type", CONNECTED, "30", "00 01 74", "03 {}", "78", _ENDED),
    ("the response topic", CONNECTED, "30", "00 01 74", "08 {}", "78", _ENDED),
    ("the name of a user property of PUBLISH", CONNECTED, "30", "00 01 74", "26 {} 00 00", "78", _ENDED),
    ("the value of a user property of PUBLISH", CONNECTED, "30", "00 01 74", "26 00 00 {}", "78", _ENDED),
    ("the reason string of PUBACK", CONNECTED, "40", "00 01 00", "1f {}", "", _ENDED),
    ("the reason string of PUBREC", CONNECTED, "50", "00 01 00", "1f {}", "", _ENDED),
    ("the reason string of PUBREL", CONNECTED, "62", "00 01 00", "1f {}", "", _ENDED),
    ("the reason string of PUBCOMP", CONNECTED, "70", "00 01 00", "1f {}", "", _ENDED),
    ("the name of a user property of SUBSCRIBE", CONNECTED, "82", "00 01", "26 {} 00 00", "00 01 66 00", _ENDED),
    ("the value of a user property of UNSUBSCRIBE", CONNECTED, "a2", "00 01", "26 00 00 {}", "00 01 66", _ENDED),
    ("the reason string of DISCONNECT", CONNECTED, "e0", "00", "1f {}", "", _ENDED),
    ("the server reference of DISCONNECT", CONNECTED, "e0", "00", "1c {}", "", _ENDED),
    ("the value of a user property of DISCONNECT", CONNECTED, "e0", "00", "26 00 00 {}", "", _ENDED),
    ("the authentication method of AUTH", CONNECTED, "f0", "19", "15 {}", "", _ENDED),
)
TEXT += [
    Row(
        f"{what} in {field}",
        V5,
        state,
        framed(first, before, counted(property_.format(lengthy(data))), behind),
        answer,
        tag,
        "MQTT-1.5.7-1",
    )
    for index, (field, state, first, before, property_, behind, answer) in enumerate(_TEXT_PROPERTIES)
    for what, data, tag in (ILL_TEXT[index * 3 % 17], ILL_TEXT[(index * 3 + 5) % 17], ILL_TEXT[(index * 3 + 10) % 17])
]

# --- The fixed header (section 2.1) ---

FIXED_HEADER: Final = [
    Row(f"{what} with flags {flags:x}", ALL, CONNECTED, f"{kind:x}{flags:x} {rest}", ends(MALFORMED), "MQTT-2.1.3-1")
    for what, kind, flags_of, rest in (
        ("CONNECT", 1, (1, 8), "00"),
        ("CONNACK", 2, (2,), "02 00 00"),
        ("PUBACK", 4, (1, 2, 4, 8), "02 00 01"),
        ("PUBREC", 5, (2, 0xF), "02 00 01"),
        ("PUBREL", 6, (0, 1, 3, 6), "02 00 01"),
        ("PUBCOMP", 7, (2, 8), "02 00 01"),
        ("SUBSCRIBE", 8, (0, 1, 6), "07 00 01 00 00 01 66 00"),
        ("UNSUBSCRIBE", 0xA, (0, 3, 6), "06 00 01 00 00 01 66"),
        ("PINGREQ", 0xC, (1, 2, 4, 8, 0xF), "00"),
        ("DISCONNECT", 0xE, (1, 2, 8), "00"),
        ("AUTH", 0xF, (1, 2), "00"),
        ("packet type 0", 0, (0, 2, 0xF), "00"),
    )
    for flags in flags_of
]
FIXED_HEADER += [
    Row(f"{what} with DUP", (4, 5), CONNECTED, data, ends(MALFORMED), tag)
    for what, data, tag in (
        ("PUBREL", "6a 02 00 01", "MQTT-3.6.1-1"),
        ("SUBSCRIBE", "8a 06 00 01 00 01 66 00", "MQTT-3.8.1-1"),
        ("UNSUBSCRIBE", "aa 05 00 01 00 01 66", "MQTT-3.10.1-1"),
    )
]
FIXED_HEADER += [
    Row(f"a remaining length {what}", ALL, CONNECTED, data, ends(reason_code), tag)
    for what, data, reason_code, tag in (
        ("of 0 in two bytes", "c0 80 00", MALFORMED, "MQTT-1.5.5-1"),
        ("of 0 in four bytes", "c0 80 80 80 00", MALFORMED, "MQTT-1.5.5-1"),
        ("of 2 in three bytes", "40 82 80 00 00 01", MALFORMED, "MQTT-1.5.5-1"),
        ("of five bytes", "c0 80 80 80 80 01", MALFORMED, "section 1.5.5"),
        ("that does not end", "30 ff ff ff ff", MALFORMED, "section 1.5.5"),
        ("of 256 MiB", "30 ff ff ff 7f", TOO_LARGE, "section 3.2.2.3.6"),
        ("of a byte more than we allowed", f"30 {variable(1_999_997)}", TOO_LARGE, "MQTT-3.2.2-15"),
        ("of a SUBSCRIBE of 256 MiB", "82 ff ff ff 7f", TOO_LARGE, "MQTT-3.2.2-15"),
        ("of an AUTH of 256 MiB", "f0 ff ff ff 7f", TOO_LARGE, "MQTT-3.2.2-15"),
    )
]
FIXED_HEADER += [
    Row(what, versions, CONNECTED, data, WAITS, "section 2.1.4")
    for what, versions, data in (
        ("a first byte and no more", ALL, "30"),
        ("a remaining length that has not ended", ALL, "30 80"),
        ("PUBLISH of which nothing but its fixed header comes", ALL, "30 05"),
        ("PUBLISH of which its topic comes", ALL, "32 07 00 01 74"),
        ("PUBLISH of the largest size that we allow, which does not come", ALL, f"30 {variable(1_999_996)} 00 01 74"),
        ("PUBLISH that takes in the PINGREQ behind it, and a byte more", V3, "30 06 00 01 74 c0 00"),
        ("SUBSCRIBE of which half comes", ALL, "82 08 00 01 00"),
        ("PUBACK of which half comes", ALL, "40 02 00"),
        ("PINGREQ without its second byte", ALL, "c0"),
        ("DISCONNECT that announces what does not come", V5, "e0 02 00"),
    )
]
FIXED_HEADER += [
    Row("packet type 0 that is announced and not there yet", ALL, CONNECTED, "00 05", ends(MALFORMED), "section 2.1.2"),
    Row("PINGREQ with flags before its body comes", ALL, CONNECTED, "c1 05", ends(MALFORMED), "MQTT-2.1.3-1"),
]

# --- PUBLISH (section 3.3) ---

PUBLISH: Final = [
    Row(f"PUBLISH {what}", versions, CONNECTED, data, ends(reason_code), *tags)
    for what, versions, data, reason_code, *tags in (
        ("with QoS 3", V3, "36 06 00 01 74 00 01 78", MALFORMED, "v3 MQTT-3.3.1-4"),
        ("with QoS 3", V5, "36 07 00 01 74 00 01 00 78", MALFORMED, "MQTT-3.3.1-4"),
        ("with all flags", ALL, "3f 07 00 01 74 00 01 00 78", MALFORMED, "MQTT-3.3.1-4"),
        ("with DUP at QoS 0", V3, "38 04 00 01 74 78", MALFORMED, "v3 MQTT-3.3.1-2"),
        ("with DUP at QoS 0", V5, "38 05 00 01 74 00 78", MALFORMED, "MQTT-3.3.1-2"),
        ("with DUP and RETAIN at QoS 0", ALL, "39 05 00 01 74 00 78", MALFORMED, "MQTT-3.3.1-2"),
        ("with packet id 0 at QoS 1", V3, "32 06 00 01 74 00 00 78", PROTOCOL, "v3 MQTT-2.3.1-1"),
        ("with packet id 0 at QoS 2", V3, "34 06 00 01 74 00 00 78", PROTOCOL, "v3 MQTT-2.3.1-1"),
        ("with packet id 0 at QoS 1", V5, "32 07 00 01 74 00 00 00 78", PROTOCOL, "MQTT-2.2.1-3"),
        ("with packet id 0 at QoS 2", V5, "34 07 00 01 74 00 00 00 78", PROTOCOL, "MQTT-2.2.1-3"),
        ("with # for a topic", V3, "30 04 00 01 23 78", BAD_NAME, "v3 MQTT-3.3.2-2"),
        ("with # for a topic", V5, "30 05 00 01 23 00 78", BAD_NAME, "MQTT-3.3.2-2"),
        ("with # at the end of its topic", V5, "30 07 00 03 74 2f 23 00 78", BAD_NAME, "MQTT-3.3.2-2"),
        ("with + in its topic", V3, "30 06 00 03 74 2f 2b 78", BAD_NAME, "v3 MQTT-3.3.2-2"),
        ("with + inside a level of its topic", V5, "32 09 00 03 61 2b 62 00 01 00 78", BAD_NAME, "MQTT-3.3.2-2"),
        ("with an empty topic", V3, "30 03 00 00 78", PROTOCOL, "v3 MQTT-4.7.3-1"),
        ("with an empty topic at QoS 2", V3, "34 05 00 00 00 01 78", PROTOCOL, "v3 MQTT-4.7.3-1"),
        ("with neither topic nor alias", V5, "30 04 00 00 00 78", PROTOCOL, "section 3.3.2.1"),
        ("without a body", ALL, "30 00", MALFORMED, "MQTT-3.3.2-1"),
        ("that ends inside the length of its topic", ALL, "30 01 00", MALFORMED, "MQTT-3.3.2-1"),
        ("that ends before its topic", ALL, "30 02 00 01", MALFORMED, "MQTT-3.3.2-1"),
        ("that ends inside its topic", ALL, "30 04 00 03 74 2f", MALFORMED, "MQTT-3.3.2-1"),
        ("whose topic claims 65,535 bytes", ALL, "30 04 ff ff 74 78", MALFORMED, "MQTT-3.3.2-1"),
        ("that ends before its packet id", ALL, "32 03 00 01 74", MALFORMED, "MQTT-2.2.1-3"),
        ("that ends inside its packet id", ALL, "34 04 00 01 74 00", MALFORMED, "MQTT-2.2.1-3"),
        ("that ends before its property length", V5, "30 03 00 01 74", MALFORMED, "MQTT-2.2.2-1"),
        ("of QoS 2 that ends before its property length", V5, "34 05 00 01 74 00 01", MALFORMED, "MQTT-2.2.2-1"),
        ("with a property length beyond its end", V5, "30 05 00 01 74 7f 78", MALFORMED, "section 2.2.2.1"),
        ("with a property length of 0 in two bytes", V5, "30 06 00 01 74 80 00 78", MALFORMED, "MQTT-1.5.5-1"),
        ("with a property length of five bytes", V5, "30 09 00 01 74 80 80 80 80 01 78", MALFORMED, "section 1.5.5"),
        ("as v3.1.1 writes it, from a v5 client", V5, "30 04 00 01 74 78", MALFORMED, "MQTT-2.2.2-1"),
        ("whose last property runs into its payload", V5, "30 07 00 01 74 02 23 00 01", MALFORMED, "section 2.2.2.1"),
    )
]


def _publish(properties: str, first: str = "30", packet_id: str = "") -> str:
    return framed(first, "00 01 74", packet_id, counted(properties), "78")


PUBLISH += [
    Row(f"PUBLISH with {what}", V5, CONNECTED, _publish(data), ends(reason_code), *tags)
    for what, data, reason_code, *tags in (
        ("a payload format indicator of 2", "01 02", PROTOCOL, "section 3.3.2.3.2"),
        ("two payload format indicators", "01 01 01 01", PROTOCOL, "section 3.3.2.3.2"),
        ("two message expiry intervals", "02 00 00 00 05 02 00 00 00 05", PROTOCOL, "section 3.3.2.3.3"),
        ("two topic aliases", "23 00 01 23 00 01", PROTOCOL, "section 3.3.2.3.4"),
        ("topic alias 0", "23 00 00", BAD_ALIAS, "MQTT-3.3.2-8"),
        ("a topic alias above our maximum", "23 00 65", BAD_ALIAS, "MQTT-3.3.2-9"),
        ("topic alias 65,535", "23 ff ff", BAD_ALIAS, "MQTT-3.3.2-9"),
        ("two response topics", "08 00 01 72 08 00 01 72", PROTOCOL, "section 3.3.2.3.5"),
        ("# in its response topic", "08 00 03 72 2f 23", PROTOCOL, "MQTT-3.3.2-14"),
        ("+ in its response topic", "08 00 01 2b", PROTOCOL, "MQTT-3.3.2-14"),
        ("an empty response topic", "08 00 00", PROTOCOL, "MQTT-4.7.3-1"),
        ("correlation data twice", "09 00 01 63 09 00 01 63", PROTOCOL, "section 3.3.2.3.6"),
        ("two content types", "03 00 01 74 03 00 01 74", PROTOCOL, "section 3.3.2.3.9"),
        ("a subscription identifier", "0b 05", PROTOCOL, "MQTT-3.3.4-6"),
        ("two subscription identifiers", "0b 05 0b 06", PROTOCOL, "MQTT-3.3.4-6"),
        ("subscription identifier 0", "0b 00", PROTOCOL, "section 3.3.2.3.8"),
        ("a subscription identifier of five bytes", "0b 80 80 80 80 01", MALFORMED, "section 1.5.5"),
        ("a subscription identifier in too many bytes", "0b 85 00", MALFORMED, "MQTT-1.5.5-1"),
        ("a session expiry interval", "11 00 00 00 05", MALFORMED, "section 2.2.2.2"),
        ("an assigned client identifier", "12 00 01 63", MALFORMED, "section 2.2.2.2"),
        ("a server keep alive", "13 00 05", MALFORMED, "section 2.2.2.2"),
        ("an authentication method", "15 00 01 6d", MALFORMED, "section 2.2.2.2"),
        ("authentication data", "16 00 01 64", MALFORMED, "section 2.2.2.2"),
        ("request problem information", "17 00", MALFORMED, "section 2.2.2.2"),
        ("a will delay interval", "18 00 00 00 05", MALFORMED, "section 2.2.2.2"),
        ("request response information", "19 00", MALFORMED, "section 2.2.2.2"),
        ("response information", "1a 00 01 72", MALFORMED, "section 2.2.2.2"),
        ("a server reference", "1c 00 01 73", MALFORMED, "section 2.2.2.2"),
        ("a reason string", "1f 00 01 72", MALFORMED, "section 2.2.2.2"),
        ("a receive maximum", "21 00 05", MALFORMED, "section 2.2.2.2"),
        ("a topic alias maximum", "22 00 05", MALFORMED, "section 2.2.2.2"),
        ("a maximum QoS", "24 01", MALFORMED, "section 2.2.2.2"),
        ("retain available", "25 01", MALFORMED, "section 2.2.2.2"),
        ("a maximum packet size", "27 00 00 01 00", MALFORMED, "section 2.2.2.2"),
        ("wildcard subscription available", "28 01", MALFORMED, "section 2.2.2.2"),
        ("subscription identifier available", "29 01", MALFORMED, "section 2.2.2.2"),
        ("shared subscription available", "2a 01", MALFORMED, "section 2.2.2.2"),
        ("property 0", "00", MALFORMED, "section 2.2.2.2"),
        ("property 0x05, which does not exist", "05 00", MALFORMED, "section 2.2.2.2"),
        ("property 0x7F, which does not exist", "7f 00", MALFORMED, "section 2.2.2.2"),
        ("the id of a property in two bytes", "a3 00 00 01", MALFORMED, "MQTT-1.5.5-1"),
        ("the id of a property in five bytes", "a3 80 80 80 00", MALFORMED, "section 1.5.5"),
        ("half a topic alias", "23 00", MALFORMED, "section 1.5.2"),
        ("half a message expiry interval", "02 00 00 00", MALFORMED, "section 1.5.3"),
        ("no payload format indicator behind its id", "01", MALFORMED, "section 2.2.2.2"),
        ("a content type that claims more than there is", "03 00 05 74", MALFORMED, "section 1.5.4"),
        ("correlation data that claims 65,535 bytes", "09 ff ff 63", MALFORMED, "section 1.5.6"),
        ("a user property without a value", "26 00 01 6b", MALFORMED, "section 1.5.7"),
    )
]
PUBLISH += [
    Row(
        "PUBLISH with a topic alias that was never given a topic",
        V5,
        CONNECTED,
        "30 07 00 00 03 23 00 01 78",
        ends(PROTOCOL),
        "section 3.3.2.3.4",
    ),
    Row(
        "PUBLISH with another topic alias than the one that was given a topic",
        V5,
        HAS_ALIAS,
        "32 09 00 00 00 05 03 23 00 02 78",
        ends(PROTOCOL),
        "section 3.3.2.3.4",
    ),
    Row(
        "PUBLISH with the largest topic alias that we allow, then with one more",
        V5,
        CONNECTED,
        _publish("23 00 64") + "30 07 00 00 03 23 00 65 78",
        ends(BAD_ALIAS),
        "MQTT-3.3.2-12",
        "MQTT-3.3.2-9",
        published=1,
    ),
    Row(
        "QoS 2 messages beyond our Receive Maximum",
        V5,
        CONNECTED,
        "".join(f"34 08 00 02 71 32 {number:04x} 00 78" for number in range(1, 1_002)),
        ends(TOO_MANY, *(PubRec(number, NOBODY) for number in range(1, 1_001))),
        "MQTT-3.3.4-7",
        "section 4.9",
    ),
    Row(
        "QoS 2 messages beyond our Receive Maximum, each of them twice",
        V5,
        OWES_PUBREL,
        "".join(f"3c 08 00 02 71 32 {number:04x} 00 78" for number in range(1_000, 2_000)),
        ends(TOO_MANY, *(PubRec(number, NOBODY) for number in range(1_000, 1_999))),
        "MQTT-3.3.4-7",
        "section 4.9",
    ),
    Row(
        "QoS 1 messages beyond our Receive Maximum, before one was acknowledged",
        V5,
        CONNECTED,
        "".join(f"32 08 00 02 71 31 {number:04x} 00 78" for number in range(1, 1_002)),
        ends(TOO_MANY, *(PubAck(number, NOBODY) for number in range(1, 1_001))),
        "MQTT-3.3.4-7",
        "section 4.9",
        cut=False,
    ),
]

ODD_PUBLISH: Final = [
    Row(f"PUBLISH {what}", versions, state, data, goes_on(*answers), tag, published=published)
    for what, versions, state, data, answers, tag, published in (
        ("to $SYS", V3, CONNECTED, "30 09 00 06 24 53 59 53 2f 78 78", (), "v3 section 4.7.2", 0),
        (
            "to $SYS at QoS 1",
            V3,
            CONNECTED,
            "32 0b 00 06 24 53 59 53 2f 78 00 05 78",
            (PubAck(5),),
            "v3 section 3.3.5",
            0,
        ),
        (
            "to $SYS at QoS 1",
            V5,
            CONNECTED,
            "32 0c 00 06 24 53 59 53 2f 78 00 05 00 78",
            (PubAck(5, FORBIDDEN),),
            "section 3.4.2.1",
            0,
        ),
        (
            "to $SYS at QoS 2",
            V5,
            CONNECTED,
            "34 0c 00 06 24 53 59 53 2f 78 00 05 00 78",
            (PubRec(5, FORBIDDEN),),
            "section 3.5.2.1",
            0,
        ),
        ("to $SYS, retained", V5, CONNECTED, "31 0a 00 06 24 53 59 53 2f 78 00 78", (), "section 4.7.2", 0),
        ("to $share", V5, CONNECTED, "30 0c 00 08 24 73 68 61 72 65 2f 74 00 78", (), "section 4.8.2", 0),
        ("to one dollar", V4, CONNECTED, "30 04 00 01 24 78", (), "section 4.7.2", 0),
        ("to one slash", V4, CONNECTED, "30 04 00 01 2f 78", (), "section 4.7.1.1", 0),
        ("to a control character", V5, CONNECTED, "30 05 00 01 01 00 78", (), "section 1.5.4", 0),
        ("to U+FFFF, which is no character", V5, CONNECTED, "30 07 00 03 ef bf bf 00 78", (), "section 1.5.4", 0),
        (
            "of 30,000 levels",
            V4,
            CONNECTED,
            framed("30", lengthy("61 2f" * 30_000 + "61"), "78"),
            (),
            "MQTT-4.7.3-3",
            0,
        ),
        (
            "of 200 levels, retained and cleared",
            V5,
            CONNECTED,
            framed("31", lengthy("61 2f" * 199 + "61"), "00 78") + framed("31", lengthy("61 2f" * 199 + "61"), "00"),
            (),
            "MQTT-4.7.3-3",
            0,
        ),
        (
            "of slashes only, 65,535 of them",
            V5,
            CONNECTED,
            framed("30", lengthy("2f" * 65_535), "00 78"),
            (),
            "MQTT-4.7.3-3",
            0,
        ),
        (
            "with 10,000 user properties",
            V5,
            CONNECTED,
            _publish("26 00 01 6b 00 01 76" * 10_000),
            (),
            "section 3.3.2.3.7",
            1,
        ),
        (
            "with a content type of 65,535 bytes",
            V5,
            CONNECTED,
            _publish("03" + lengthy(_FULL_LENGTH)),
            (),
            "section 3.3.2.3.9",
            1,
        ),
        (
            "with correlation data of 65,535 bytes",
            V5,
            CONNECTED,
            _publish("09" + lengthy("00" * 65_535)),
            (),
            "section 3.3.2.3.6",
            1,
        ),
        (
            "that says it is text and is not",
            V5,
            CONNECTED,
            framed("32", "00 01 74 00 05", counted("01 01"), "ff"),
            (PubAck(5),),
            "section 3.3.2.3.2",
            1,
        ),
        ("that expires at once", V5, CONNECTED, _publish("02 00 00 00 00"), (), "section 3.3.2.3.3", 1),
        (
            "with an alias for its topic",
            V5,
            HAS_ALIAS,
            "32 09 00 00 00 05 03 23 00 01 78",
            (PubAck(5, NOBODY),),
            "section 3.3.2.3.4",
            0,
        ),
        ("with its alias given another topic", V5, HAS_ALIAS, _publish("23 00 01"), (), "section 3.3.2.3.4", 1),
        ("of QoS 2 that comes again", V3, OWES_PUBREL, "3c 06 00 01 74 00 07 78", (PubRec(7),), "MQTT-4.3.3-10", 0),
        (
            "of QoS 2 that comes again without DUP",
            V5,
            OWES_PUBREL,
            "34 07 00 01 74 00 07 00 78",
            (PubRec(7),),
            "MQTT-4.3.3-10",
            0,
        ),
        (
            "of QoS 1 that comes again for the first time",
            V5,
            CONNECTED,
            "3a 07 00 01 74 00 07 00 78",
            (PubAck(7),),
            "MQTT-4.3.2-5",
            1,
        ),
        (
            "of QoS 1 under the id of a QoS 2 message",
            V3,
            OWES_PUBREL,
            "32 06 00 01 74 00 07 78",
            (PubAck(7),),
            "MQTT-2.2.1-3",
            1,
        ),
        ("of nothing, and not retained", V4, CONNECTED, "30 03 00 01 74", (), "section 3.3.3", 1),
        ("whose payload looks like a packet", V4, CONNECTED, "30 05 00 01 74 e0 00", (), "section 3.3.3", 1),
    )
]

# --- PUBACK, PUBREC, PUBREL, PUBCOMP (sections 3.4 to 3.7) ---

ACKNOWLEDGEMENTS: Final = [
    Row(f"{name} {what}", versions, CONNECTED, data.format(first), ends(reason_code), tag)
    for name, first, wrong_code in (
        ("PUBACK", "40", "93"),
        ("PUBREC", "50", "92"),
        ("PUBREL", "62", "10"),
        ("PUBCOMP", "70", "80"),
    )
    for what, versions, data, reason_code, tag in (
        ("of packet id 0", ALL, "{} 02 00 00", PROTOCOL, "MQTT-2.2.1-3"),
        ("of packet id 0 with a code", V5, "{} 03 00 00 00", PROTOCOL, "MQTT-2.2.1-3"),
        ("without a body", ALL, "{} 00", MALFORMED, "section 3.4.2"),
        ("that ends inside its packet id", ALL, "{} 01 00", MALFORMED, "section 3.4.2"),
        ("with a byte behind its packet id", V3, "{} 03 00 01 00", MALFORMED, "v3 section 3.4.2"),
        ("with a byte behind its properties", V5, "{} 05 00 01 00 00 00", MALFORMED, "section 3.4.2.2.1"),
        ("with a property length beyond its end", V5, "{} 04 00 01 00 05", MALFORMED, "section 3.4.2.2.1"),
        ("with a property length of 0 in two bytes", V5, "{} 05 00 01 00 80 00", MALFORMED, "MQTT-1.5.5-1"),
        ("with reason code 01", V5, "{} 03 00 01 01", MALFORMED, "MQTT-3.4.2-1"),
        ("with reason code FF", V5, "{} 03 00 01 ff", MALFORMED, "MQTT-3.4.2-1"),
        ("with a code of another packet", V5, "{} 03 00 01 " + wrong_code, MALFORMED, "MQTT-3.4.2-1"),
        ("with two reason strings", V5, "{} 0c 00 01 00 08 1f 00 01 72 1f 00 01 72", PROTOCOL, "section 3.4.2.2.2"),
        ("with a server reference", V5, "{} 08 00 01 00 04 1c 00 01 73", MALFORMED, "section 2.2.2.2"),
        ("with a topic alias", V5, "{} 07 00 01 00 03 23 00 01", MALFORMED, "section 2.2.2.2"),
        ("with property 0x7F, which does not exist", V5, "{} 06 00 01 00 02 7f 00", MALFORMED, "section 2.2.2.2"),
        ("with a reason string that is cut short", V5, "{} 08 00 01 00 04 1f 00 05 72", MALFORMED, "section 1.5.4"),
    )
]
ODD_ACKNOWLEDGEMENTS: Final = [
    Row(f"{what}", versions, state, data, goes_on(*answers), tag)
    for what, versions, state, data, answers, tag in (
        ("PUBACK of an id that was never sent", ALL, CONNECTED, "40 02 00 05", (), "section 4.3.2"),
        ("PUBACK of the largest id", ALL, CONNECTED, "40 02 ff ff", (), "section 4.3.2"),
        ("PUBACK that refuses what was never sent", V5, CONNECTED, "40 03 00 05 80", (), "section 4.3.2"),
        (
            "PUBREC of an id that was never sent",
            V5,
            CONNECTED,
            "50 02 00 05",
            (PubRel(5, NOT_FOUND),),
            "section 3.6.2.1",
        ),
        ("PUBREC of an id that was never sent", V3, CONNECTED, "50 02 00 05", (PubRel(5),), "v3 MQTT-4.3.3-1"),
        ("PUBREC that refuses what was never sent", V5, CONNECTED, "50 03 00 05 80", (), "MQTT-4.3.3-4"),
        (
            "PUBREL of an id that was never received",
            V5,
            CONNECTED,
            "62 02 00 05",
            (PubComp(5, NOT_FOUND),),
            "section 3.7.2.1",
        ),
        ("PUBREL of an id that was never received", V3, CONNECTED, "62 02 00 05", (PubComp(5),), "v3 MQTT-4.3.3-2"),
        ("PUBREL that knows no such id", V5, CONNECTED, "62 03 00 05 92", (PubComp(5, NOT_FOUND),), "MQTT-4.3.3-11"),
        ("PUBCOMP of an id that was never released", ALL, CONNECTED, "70 02 00 05", (), "section 4.3.3"),
        ("PUBACK twice", ALL, OWES_PUBACK, "40 02 00 01 40 02 00 01", (), "section 4.3.2"),
        ("PUBACK that refuses", V5, OWES_PUBACK, "40 03 00 01 97", (), "MQTT-4.4.0-2"),
        ("PUBACK of a QoS 2 message", ALL, OWES_PUBREC, "40 02 00 01", (), "section 4.3.3"),
        ("PUBREC of a QoS 1 message", V5, OWES_PUBACK, "50 02 00 01", (PubRel(1, NOT_FOUND),), "section 4.3.2"),
        ("PUBREC of a QoS 1 message", V3, OWES_PUBACK, "50 02 00 01", (PubRel(1),), "v3 section 4.3.2"),
        ("PUBCOMP before PUBREC", ALL, OWES_PUBREC, "70 02 00 01", (), "section 4.3.3"),
        ("PUBREC twice", ALL, OWES_PUBREC, "50 02 00 01 50 02 00 01", (PubRel(1), PubRel(1)), "MQTT-4.3.3-4"),
        (
            "PUBREC that refuses, then one that does not",
            V5,
            OWES_PUBREC,
            "50 03 00 01 97 50 02 00 01",
            (PubRel(1, NOT_FOUND),),
            "MQTT-4.3.3-4",
        ),
        ("PUBREC that refuses what was released", V5, OWES_PUBCOMP, "50 03 00 01 97", (), "MQTT-4.3.3-4"),
        ("PUBACK in place of PUBCOMP", ALL, OWES_PUBCOMP, "40 02 00 01", (), "section 4.3.3"),
        ("PUBCOMP twice", ALL, OWES_PUBCOMP, "70 02 00 01 70 02 00 01", (), "section 4.3.3"),
        ("PUBREL in place of PUBCOMP", V5, OWES_PUBCOMP, "62 02 00 01", (PubComp(1, NOT_FOUND),), "MQTT-4.3.3-11"),
        (
            "PUBREL twice",
            V5,
            OWES_PUBREL,
            "62 02 00 07 62 02 00 07",
            (PubComp(7), PubComp(7, NOT_FOUND)),
            "MQTT-4.3.3-11",
        ),
        ("PUBREL twice", V3, OWES_PUBREL, "62 02 00 07 62 02 00 07", (PubComp(7), PubComp(7)), "v3 MQTT-4.3.3-2"),
        ("PUBREL sent again in v3.1", (3,), OWES_PUBREL, "6a 02 00 07", (PubComp(7),), "MQTT 3.1 section 2.1"),
    )
]

# --- SUBSCRIBE (section 3.8) ---

SUBSCRIBE: Final = [
    Row(f"SUBSCRIBE {what}", versions, CONNECTED, data, ends(reason_code), *tags)
    for what, versions, data, reason_code, *tags in (
        ("with packet id 0", V3, "82 06 00 00 00 01 66 00", PROTOCOL, "v3 MQTT-2.3.1-1"),
        ("with packet id 0", V5, "82 07 00 00 00 00 01 66 00", PROTOCOL, "MQTT-2.2.1-3"),
        ("without filters", V3, "82 02 00 01", PROTOCOL, "v3 MQTT-3.8.3-3"),
        ("without filters", V5, "82 03 00 01 00", PROTOCOL, "MQTT-3.8.3-2"),
        ("without a body", ALL, "82 00", MALFORMED, "section 3.8.2"),
        ("that ends inside its packet id", ALL, "82 01 00", MALFORMED, "section 3.8.2"),
        ("that ends before its property length", V5, "82 02 00 01", MALFORMED, "MQTT-2.2.2-1"),
        ("that ends inside the length of its filter", V3, "82 03 00 01 00", MALFORMED, "MQTT-3.8.3-1"),
        ("that ends inside the length of its filter", V5, "82 04 00 01 00 00", MALFORMED, "MQTT-3.8.3-1"),
        ("that ends inside its filter", V3, "82 05 00 01 00 03 66", MALFORMED, "MQTT-3.8.3-1"),
        ("that ends inside its filter", V5, "82 06 00 01 00 00 03 66", MALFORMED, "MQTT-3.8.3-1"),
        ("that ends before its options", V3, "82 05 00 01 00 01 66", MALFORMED, "v3 MQTT-3.8.3-3"),
        ("that ends before its options", V5, "82 06 00 01 00 00 01 66", MALFORMED, "MQTT-3.8.3-2"),
        ("that ends inside its second filter", V5, "82 0a 00 01 00 00 01 66 00 00 05 66", MALFORMED, "MQTT-3.8.3-1"),
        ("with a byte behind its filter", V5, "82 08 00 01 00 00 01 66 00 00", MALFORMED, "MQTT-3.8.3-1"),
        ("whose filter claims 65,535 bytes", V5, "82 07 00 01 00 ff ff 66 00", MALFORMED, "MQTT-3.8.3-1"),
        ("with QoS 3", V3, "82 06 00 01 00 01 66 03", PROTOCOL, "v3 MQTT-3-8.3-4"),
        ("with QoS 3", V5, "82 07 00 01 00 00 01 66 03", PROTOCOL, "section 3.8.3.1"),
        ("with QoS 3 for its second filter", V5, "82 0b 00 01 00 00 01 66 00 00 01 67 03", PROTOCOL, "section 3.8.3.1"),
        ("with retain handling 3", V5, "82 07 00 01 00 00 01 66 30", PROTOCOL, "section 3.8.3.1"),
        ("with reserved option bit 6", V5, "82 07 00 01 00 00 01 66 40", MALFORMED, "MQTT-3.8.3-5"),
        ("with reserved option bit 7", V5, "82 07 00 01 00 00 01 66 80", MALFORMED, "MQTT-3.8.3-5"),
        ("with all options", V5, "82 07 00 01 00 00 01 66 ff", MALFORMED, "MQTT-3.8.3-5"),
        ("with No Local before v5", V3, "82 06 00 01 00 01 66 04", MALFORMED, "v3 MQTT-3-8.3-4"),
        ("with Retain As Published before v5", V3, "82 06 00 01 00 01 66 08", MALFORMED, "v3 MQTT-3-8.3-4"),
        ("with retain handling before v5", V3, "82 06 00 01 00 01 66 10", MALFORMED, "v3 MQTT-3-8.3-4"),
        ("with option bit 7 before v5", V3, "82 06 00 01 00 01 66 80", MALFORMED, "v3 MQTT-3-8.3-4"),
        (
            "with No Local on a Shared Subscription",
            V5,
            "82 10 00 01 00 00 0a 24 73 68 61 72 65 2f 67 2f 66 04",
            PROTOCOL,
            "MQTT-3.8.3-4",
        ),
        ("as v3.1.1 writes it, from a v5 client", V5, "82 06 00 01 00 01 66 00", MALFORMED, "MQTT-2.2.2-1"),
        ("as v5 writes it, from a v3 client", V3, "82 07 00 01 00 00 01 66 00", MALFORMED, "v3 section 3.8.3"),
        ("with subscription identifier 0", V5, "82 09 00 01 02 0b 00 00 01 66 00", PROTOCOL, "section 3.8.2.1.2"),
        (
            "with two subscription identifiers",
            V5,
            "82 0b 00 01 04 0b 01 0b 02 00 01 66 00",
            PROTOCOL,
            "section 3.8.2.1.2",
        ),
        (
            "with a subscription identifier of five bytes",
            V5,
            "82 0d 00 01 06 0b 80 80 80 80 01 00 01 66 00",
            MALFORMED,
            "section 1.5.5",
        ),
        (
            "with a subscription identifier in too many bytes",
            V5,
            "82 0a 00 01 03 0b 81 00 00 01 66 00",
            MALFORMED,
            "MQTT-1.5.5-1",
        ),
        (
            "with no subscription identifier behind its id",
            V5,
            "82 08 00 01 01 0b 00 01 66 00",
            MALFORMED,
            "section 1.5.5",
        ),
        ("with a topic alias", V5, "82 0a 00 01 03 23 00 01 00 01 66 00", MALFORMED, "section 2.2.2.2"),
        ("with a reason string", V5, "82 0b 00 01 04 1f 00 01 72 00 01 66 00", MALFORMED, "section 2.2.2.2"),
        (
            "with a session expiry interval",
            V5,
            "82 0c 00 01 05 11 00 00 00 05 00 01 66 00",
            MALFORMED,
            "section 2.2.2.2",
        ),
        (
            "with property 0x7F, which does not exist",
            V5,
            "82 09 00 01 02 7f 00 00 01 66 00",
            MALFORMED,
            "section 2.2.2.2",
        ),
        ("with a property length beyond its end", V5, "82 07 00 01 7f 00 01 66 00", MALFORMED, "section 2.2.2.1"),
        (
            "with a property length that takes in its filter",
            V5,
            "82 09 00 01 06 26 00 01 66 00 00",
            PROTOCOL,
            "MQTT-3.8.3-2",
        ),
    )
]

BAD_FILTERS: Final = (
    ("an empty filter", "", "MQTT-4.7.3-1"),
    ("# in the middle", "61 2f 23 2f 62", "MQTT-4.7.1-1"),
    ("# behind a letter", "61 2f 62 23", "MQTT-4.7.1-1"),
    ("two #", "23 23", "MQTT-4.7.1-1"),
    ("# before a slash", "23 2f", "MQTT-4.7.1-1"),
    ("+ behind a letter", "61 2b", "MQTT-4.7.1-2"),
    ("+ before a letter", "2b 61 2f 62", "MQTT-4.7.1-2"),
    ("two + in one level", "61 2f 2b 2b", "MQTT-4.7.1-2"),
    ("+ and # in one level", "2b 23", "MQTT-4.7.1-1"),
)
BAD_SHARES: Final = (
    ("$share alone", "24 73 68 61 72 65", "MQTT-4.8.2-1"),
    ("$share and a slash", "24 73 68 61 72 65 2f", "MQTT-4.8.2-1"),
    ("$share and a group", "24 73 68 61 72 65 2f 67", "MQTT-4.8.2-2"),
    ("$share, a group and an empty filter", "24 73 68 61 72 65 2f 67 2f", "MQTT-4.8.2-2"),
    ("$share and an empty group", "24 73 68 61 72 65 2f 2f 66", "MQTT-4.8.2-1"),
    ("$share and + for a group", "24 73 68 61 72 65 2f 2b 2f 66", "MQTT-4.8.2-2"),
    ("$share and # for a group", "24 73 68 61 72 65 2f 23 2f 66", "MQTT-4.8.2-2"),
    ("$share and + in its group", "24 73 68 61 72 65 2f 67 2b 2f 66", "MQTT-4.8.2-2"),
    ("$share and # inside its filter", "24 73 68 61 72 65 2f 67 2f 23 2f 66", "MQTT-4.7.1-1"),
    ("$share and + behind a letter", "24 73 68 61 72 65 2f 67 2f 66 2b", "MQTT-4.7.1-2"),
)
FILTERS: Final = [
    Row(
        f"SUBSCRIBE to {what}",
        V5,
        CONNECTED,
        framed("82", "00 01 00", lengthy(data), "00"),
        goes_on(SubAck(1, [BAD_FILTER])),
        tag,
        "section 3.9.3",
    )
    for what, data, tag in BAD_FILTERS + BAD_SHARES
]
FILTERS += [
    Row(
        f"SUBSCRIBE to {what}",
        V3,
        CONNECTED,
        framed("82", "00 01", lengthy(data), "00"),
        closes(PROTOCOL),
        f"v3 {tag}",
        "v3 MQTT-4.8.0-1",
    )
    for what, data, tag in BAD_FILTERS
]
FILTERS += [
    Row(
        "SUBSCRIBE to a bad filter between two good ones",
        V5,
        CONNECTED,
        "82 11 00 01 00 00 01 66 02 00 03 23 2f 61 00 00 01 67 01",
        goes_on(SubAck(1, [2, BAD_FILTER, 1])),
        "MQTT-3.9.3-1",
    ),
    Row(
        "SUBSCRIBE to a bad filter between two good ones",
        V3,
        CONNECTED,
        "82 10 00 01 00 01 66 02 00 03 23 2f 61 00 00 01 67 01",
        closes(PROTOCOL),
        "v3 MQTT-4.8.0-1",
    ),
    Row(
        "SUBSCRIBE to the same filter three times",
        V3,
        CONNECTED,
        "82 0e 00 01 00 01 66 00 00 01 66 02 00 01 66 01",
        goes_on(SubAck(1, [0, 2, 1])),
        "v3 MQTT-3.8.4-4",
    ),
    Row(
        "SUBSCRIBE to a filter of 200 levels",
        V5,
        CONNECTED,
        framed("82", "00 01 00", lengthy("2b 2f" * 199 + "23"), "01"),
        goes_on(SubAck(1, [1])),
        "MQTT-4.7.3-3",
    ),
    Row(
        "SUBSCRIBE to a filter of 30,000 levels",
        V5,
        CONNECTED,
        framed("82", "00 01 00", lengthy("2b 2f" * 30_000 + "23"), "01"),
        goes_on(SubAck(1, [BAD_FILTER])),
        "section 3.9.3",
    ),
    Row(
        "SUBSCRIBE to a filter of 201 levels",
        V4,
        CONNECTED,
        framed("82", "00 01", lengthy("2b 2f" * 200 + "23"), "01"),
        closes(BAD_FILTER),
        "v3 MQTT-4.8.0-1",
    ),
    Row(
        "PUBLISH to a topic of 201 levels, to be retained",
        V5,
        CONNECTED,
        framed("31", lengthy("61 2f" * 200 + "61"), "00 78"),
        ends(ReasonCode.TOPIC_NAME_INVALID),
        "section 3.3.2.1",
    ),
    Row(
        "SUBSCRIBE to a filter of 65,535 bytes",
        V4,
        CONNECTED,
        framed("82", "00 01", lengthy(_FULL_LENGTH), "02"),
        goes_on(SubAck(1, [2])),
        "MQTT-4.7.3-3",
    ),
    Row(
        "SUBSCRIBE to 5,000 filters",
        V4,
        CONNECTED,
        framed("82", "00 01", "".join(f"00 06 66 2f {f'{number:04d}'.encode().hex()} 00" for number in range(5_000))),
        goes_on(SubAck(1, [0] * 5_000)),
        "MQTT-3.8.4-5",
    ),
    Row(
        "SUBSCRIBE to more filters than the client takes codes for",
        V5,
        IS_NARROW,
        framed("82", "00 01 00", "00 01 66 00" * 40),
        ends(TOO_LARGE),
        "MQTT-3.1.2-24",
    ),
    Row(
        "SUBSCRIBE to a bad filter of which no word fits into the answer",
        V5,
        IS_NARROW,
        framed("82", "00 01 00", lengthy("23" * 100), "00"),
        goes_on(SubAck(1, [BAD_FILTER])),
        "MQTT-3.9.2-1",
    ),
    Row(
        "a reserved bit, of which no word fits into the answer",
        V5,
        IS_NARROW,
        "82 07 00 01 00 00 01 66 40",
        ends(MALFORMED),
        "MQTT-3.14.2-3",
    ),
    Row(
        "SUBSCRIBE with 10,000 user properties",
        V5,
        CONNECTED,
        framed("82", "00 01", counted("26 00 01 6b 00 01 76" * 10_000), "00 01 66 00"),
        goes_on(SubAck(1, [0])),
        "section 3.8.2.1.3",
    ),
    Row(
        "SUBSCRIBE under the id of a QoS 2 message",
        V5,
        OWES_PUBREL,
        "82 07 00 07 00 00 01 66 00",
        goes_on(SubAck(7, [0])),
        "MQTT-2.2.1-3",
    ),
    Row(
        "SUBSCRIBE to $SYS and its like, to slashes and to spaces",
        V4,
        CONNECTED,
        "82 18 00 01 00 06 24 53 59 53 2f 78 00 00 01 2f 01 00 02 2f 2f 02 00 01 20 00",
        goes_on(SubAck(1, [0, 1, 2, 0])),
        "section 4.7.3",
    ),
]

# --- UNSUBSCRIBE (section 3.10) ---

UNSUBSCRIBE: Final = [
    Row(f"UNSUBSCRIBE {what}", versions, SUBSCRIBED, data, ends(reason_code), *tags)
    for what, versions, data, reason_code, *tags in (
        ("with packet id 0", V3, "a2 05 00 00 00 01 66", PROTOCOL, "v3 MQTT-2.3.1-1"),
        ("with packet id 0", V5, "a2 06 00 00 00 00 01 66", PROTOCOL, "MQTT-2.2.1-3"),
        ("without filters", V3, "a2 02 00 01", PROTOCOL, "v3 MQTT-3.10.3-2"),
        ("without filters", V5, "a2 03 00 01 00", PROTOCOL, "MQTT-3.10.3-2"),
        ("without a body", ALL, "a2 00", MALFORMED, "section 3.10.2"),
        ("that ends inside its packet id", ALL, "a2 01 00", MALFORMED, "section 3.10.2"),
        ("that ends before its property length", V5, "a2 02 00 01", MALFORMED, "MQTT-2.2.2-1"),
        ("that ends inside the length of its filter", V3, "a2 03 00 01 00", MALFORMED, "MQTT-3.10.3-1"),
        ("that ends inside its filter", V3, "a2 05 00 01 00 02 66", MALFORMED, "MQTT-3.10.3-1"),
        ("that ends inside its filter", V5, "a2 06 00 01 00 00 02 66", MALFORMED, "MQTT-3.10.3-1"),
        ("with a byte behind its filter", V3, "a2 06 00 01 00 01 66 00", MALFORMED, "MQTT-3.10.3-1"),
        ("with a byte behind its filter", V5, "a2 07 00 01 00 00 01 66 00", MALFORMED, "MQTT-3.10.3-1"),
        ("with a subscription identifier", V5, "a2 08 00 01 02 0b 01 00 01 66", MALFORMED, "section 2.2.2.2"),
        ("with a reason string", V5, "a2 0a 00 01 04 1f 00 01 72 00 01 66", MALFORMED, "section 2.2.2.2"),
        ("with property 0x7F, which does not exist", V5, "a2 08 00 01 02 7f 00 00 01 66", MALFORMED, "section 2.2.2.2"),
        ("with a property length beyond its end", V5, "a2 06 00 01 7f 00 01 66", MALFORMED, "section 2.2.2.1"),
        ("with a user property without a value", V5, "a2 0a 00 01 04 26 00 01 6b 00 01 66", MALFORMED, "section 1.5.7"),
    )
]
UNSUBSCRIBE += [
    Row(
        "UNSUBSCRIBE from what was never subscribed",
        V5,
        SUBSCRIBED,
        "a2 06 00 02 00 00 01 66",
        goes_on(UnsubAck(2, [NO_SUBSCRIPTION])),
        "MQTT-3.10.4-5",
    ),
    Row(
        "UNSUBSCRIBE from what was never subscribed",
        V3,
        SUBSCRIBED,
        "a2 05 00 02 00 01 66",
        goes_on(UnsubAck(2)),
        "v3 MQTT-3.10.4-5",
    ),
    Row(
        "UNSUBSCRIBE from the same filter twice",
        V5,
        SUBSCRIBED,
        "a2 11 00 02 00 00 05 6f 77 6e 2f 23 00 05 6f 77 6e 2f 23",
        goes_on(UnsubAck(2, [0, NO_SUBSCRIPTION])),
        "MQTT-3.10.4-6",
    ),
    Row(
        "UNSUBSCRIBE from a filter that nobody can have",
        V3,
        SUBSCRIBED,
        "a2 09 00 02 00 05 61 2f 23 2f 62",
        goes_on(UnsubAck(2)),
        "v3 MQTT-3.10.4-5",
    ),
    Row(
        "UNSUBSCRIBE from a filter of 30,000 levels",
        V5,
        SUBSCRIBED,
        framed("a2", "00 02 00", lengthy("2b 2f" * 30_000 + "23")),
        goes_on(UnsubAck(2, [NO_SUBSCRIPTION])),
        "MQTT-4.7.3-3",
    ),
]

# --- PINGREQ, DISCONNECT, AUTH, and what a client may not send (sections 3.12 to 3.15) ---

SHORT: Final = [
    Row(what, versions, state, data, ends(reason_code), *tags)
    for what, versions, state, data, reason_code, *tags in (
        ("PINGREQ with a body", ALL, CONNECTED, "c0 01 00", MALFORMED, "section 3.12"),
        ("PINGREQ with a body like an acknowledgement's", ALL, CONNECTED, "c0 02 00 01", MALFORMED, "section 3.12"),
        ("DISCONNECT with a reason code before v5", V3, CONNECTED, "e0 01 00", MALFORMED, "v3 section 3.14"),
        ("DISCONNECT with reason code 01", V5, HAS_WILL, "e0 01 01", MALFORMED, "MQTT-3.14.2-1"),
        ("DISCONNECT with the reason code of CONNACK", V5, HAS_WILL, "e0 01 84", MALFORMED, "MQTT-3.14.2-1"),
        ("DISCONNECT with reason code FF", V5, CONNECTED, "e0 01 ff", MALFORMED, "MQTT-3.14.2-1"),
        (
            "DISCONNECT with a byte behind its properties",
            V5,
            CONNECTED,
            "e0 03 00 00 00",
            MALFORMED,
            "section 3.14.2.2",
        ),
        (
            "DISCONNECT with a property length beyond its end",
            V5,
            CONNECTED,
            "e0 02 00 01",
            MALFORMED,
            "section 3.14.2.2",
        ),
        (
            "DISCONNECT with a property length of 0 in two bytes",
            V5,
            CONNECTED,
            "e0 03 00 80 00",
            MALFORMED,
            "MQTT-1.5.5-1",
        ),
        (
            "DISCONNECT that wants its session kept after all",
            V5,
            CONNECTED,
            "e0 07 00 05 11 00 00 00 05",
            PROTOCOL,
            "section 3.14.2.2.2",
        ),
        (
            "DISCONNECT that wants its session kept for ever after all",
            V5,
            HAS_WILL,
            "e0 07 04 05 11 ff ff ff ff",
            PROTOCOL,
            "section 3.14.2.2.2",
        ),
        (
            "DISCONNECT with two session expiry intervals",
            V5,
            IS_KEPT,
            "e0 0c 00 0a 11 00 00 00 05 11 00 00 00 05",
            PROTOCOL,
            "section 3.14.2.2.2",
        ),
        (
            "DISCONNECT with two reason strings",
            V5,
            CONNECTED,
            "e0 0a 00 08 1f 00 01 72 1f 00 01 72",
            PROTOCOL,
            "section 3.14.2.2.3",
        ),
        ("DISCONNECT with a receive maximum", V5, CONNECTED, "e0 05 00 03 21 00 05", MALFORMED, "section 2.2.2.2"),
        (
            "DISCONNECT with property 0x7F, which does not exist",
            V5,
            CONNECTED,
            "e0 04 00 02 7f 00",
            MALFORMED,
            "section 2.2.2.2",
        ),
        (
            "DISCONNECT with half a session expiry interval",
            V5,
            IS_KEPT,
            "e0 05 00 03 11 00 00",
            MALFORMED,
            "section 1.5.3",
        ),
        ("AUTH before v5", V3, CONNECTED, "f0 00", MALFORMED, "v3 section 2.2.1"),
        ("AUTH with a body before v5", V3, CONNECTED, "f0 06 19 04 15 00 01 6d", MALFORMED, "v3 section 2.2.1"),
        ("AUTH without a body", V5, CONNECTED, "f0 00", PROTOCOL, "MQTT-4.12.0-7"),
        ("AUTH without a method", V5, CONNECTED, "f0 02 18 00", PROTOCOL, "MQTT-4.12.0-7"),
        (
            "AUTH that goes on with what was never begun",
            V5,
            CONNECTED,
            "f0 0a 18 08 15 00 01 6d 16 00 01 78",
            PROTOCOL,
            "MQTT-4.12.0-7",
        ),
        (
            "AUTH that begins again what was never begun",
            V5,
            CONNECTED,
            "f0 06 19 04 15 00 01 6d",
            PROTOCOL,
            "MQTT-4.12.1-1",
        ),
        ("AUTH with reason code 01", V5, CONNECTED, "f0 06 01 04 15 00 01 6d", MALFORMED, "MQTT-3.15.2-1"),
        ("AUTH with two methods", V5, CONNECTED, "f0 0a 19 08 15 00 01 6d 15 00 01 6d", PROTOCOL, "section 3.15.2.2.2"),
        (
            "AUTH with a session expiry interval",
            V5,
            CONNECTED,
            "f0 07 19 05 11 00 00 00 05",
            MALFORMED,
            "section 2.2.2.2",
        ),
        ("AUTH with a byte behind its properties", V5, CONNECTED, "f0 03 00 00 00", MALFORMED, "section 3.15.2"),
        ("CONNACK from a client", V3, CONNECTED, "20 02 00 00", PROTOCOL, "section 2.1.2"),
        ("CONNACK from a client", V5, CONNECTED, "20 03 00 00 00", PROTOCOL, "section 2.1.2"),
        ("SUBACK from a client", V3, SUBSCRIBED, "90 03 00 01 00", PROTOCOL, "section 2.1.2"),
        ("SUBACK from a client", V5, SUBSCRIBED, "90 04 00 01 00 00", PROTOCOL, "section 2.1.2"),
        ("UNSUBACK from a client", V3, SUBSCRIBED, "b0 02 00 01", PROTOCOL, "section 2.1.2"),
        ("UNSUBACK from a client", V5, SUBSCRIBED, "b0 04 00 01 00 00", PROTOCOL, "section 2.1.2"),
        ("PINGRESP from a client", ALL, CONNECTED, "d0 00", PROTOCOL, "section 2.1.2"),
        (
            "a second CONNECT",
            (3,),
            CONNECTED,
            framed("10", MQISDP, "03 02 00 3c 00 01 63"),
            PROTOCOL,
            "v3 MQTT-3.1.0-2",
        ),
        ("a second CONNECT", V4, CONNECTED, framed("10", MQTT, "04 02 00 3c 00 01 63"), PROTOCOL, "v3 MQTT-3.1.0-2"),
        ("a second CONNECT", V5, OWES_PUBREC, framed("10", MQTT, "05 02 00 3c 00 00 01 63"), PROTOCOL, "MQTT-3.1.0-2"),
        (
            "a second CONNECT, of v3.1.1",
            V5,
            HAS_WILL,
            framed("10", MQTT, "04 02 00 3c 00 01 63"),
            PROTOCOL,
            "MQTT-3.1.0-2",
        ),
        (
            "a second CONNECT, of no version that we know",
            V5,
            CONNECTED,
            framed("10", MQTT, "06 02 00 3c 00 00 01 63"),
            PROTOCOL,
            "MQTT-3.1.0-2",
        ),
        (
            "a second CONNECT, of another protocol",
            V5,
            CONNECTED,
            framed("10", "00 04 4d 51 54 58 05 02 00 3c 00 00 01 63"),
            PROTOCOL,
            "MQTT-3.1.0-2",
        ),
        (
            "a second CONNECT without a client id",
            V4,
            CONNECTED,
            framed("10", MQTT, "04 00 00 3c 00 00"),
            PROTOCOL,
            "v3 MQTT-3.1.0-2",
        ),
        ("a second CONNECT without a body", V5, CONNECTED, "10 00", MALFORMED, "section 4.13"),
    )
]
SHORT += [
    Row(what, versions, state, data, closes(), *tags)
    for what, versions, state, data, *tags in (
        ("DISCONNECT and more", V3, SUBSCRIBED, "e0 00 30 04 00 01 74 78 c0 00", "v3 MQTT-3.14.4-2"),
        ("DISCONNECT and more", V5, SUBSCRIBED, "e0 00 30 05 00 01 74 00 78 c0 00", "MQTT-3.14.4-1"),
        ("DISCONNECT and what is no packet", V5, OWES_PUBREL, "e0 00 00 00 ff ff ff ff ff", "MQTT-3.14.4-1"),
        ("DISCONNECT with a code that only a server sends", V5, CONNECTED, "e0 01 8b", "section 3.14.2.1"),
        ("DISCONNECT that spells out normality", V5, HAS_WILL, "e0 02 00 00", "section 3.14.2.1"),
        (
            "DISCONNECT with 10,000 user properties",
            V5,
            CONNECTED,
            framed("e0", "00", counted("26 00 01 6b 00 01 76" * 10_000)),
            "section 3.14.2.2.4",
        ),
        ("DISCONNECT that wants its will sent", V5, HAS_WILL, "e0 01 04", "section 3.14.2.1"),
        (
            "DISCONNECT that ends a session that was to be kept",
            V5,
            IS_KEPT,
            "e0 07 00 05 11 00 00 00 00",
            "section 3.14.2.2.2",
        ),
        (
            "DISCONNECT with an expiry of 0, as before",
            V5,
            CONNECTED,
            "e0 07 00 05 11 00 00 00 00",
            "section 3.14.2.2.2",
        ),
    )
]

ROWS: Final = [
    *NO_CONNECT,
    *UNFINISHED_CONNECT,
    *CONNECT_OF_UNKNOWN,
    *CONNECT_CUT,
    *CONNECT_FLAGS,
    *CONNECT_PROPERTIES,
    *WILL_PROPERTIES,
    *ODD_CONNECT,
    *TEXT,
    *FIXED_HEADER,
    *PUBLISH,
    *ODD_PUBLISH,
    *ACKNOWLEDGEMENTS,
    *ODD_ACKNOWLEDGEMENTS,
    *SUBSCRIBE,
    *FILTERS,
    *UNSUBSCRIBE,
    *SHORT,
]
"""The whole table."""


def _hostile(case: Case) -> Row:
    """What is no packet for a decoder, said by a client."""
    assert isinstance(case.expected, ReasonCode)
    version = case.versions[-1]
    if case.data[0] >> 4 != 1:
        return Row(case.name, case.versions, CONNECTED, case.data.hex(), ends(case.expected), *case.tags)
    if case.expected == UNSUPPORTED:
        answer = refused(UNSUPPORTED, 1)
        version = 4
    elif case.data[2:9] == bytes.fromhex(f"{MQTT} 05"):
        answer = refused(case.expected)
    else:
        answer = closes(case.expected)
    return Row(case.name, (version,), NOTHING_SAID, case.data.hex(), answer, *case.tags)


WIRE_ROWS: Final = [_hostile(case) for case in CASES if not case.is_valid]
"""The rows of ``tests/wire/cases.py`` that are no packet, said to a broker."""
