"""What chapters 1 and 2 ask of a client: text, numbers, flags, packet ids and property lengths."""

from collections.abc import Callable

import pytest

from telex.client.connection import ClientConnection
from telex.codes import MQTT_5
from telex.errors import ProtocolError
from telex.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
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
from tests.client.link import Link
from tests.conformance.marks import each_version, edge, mqtt

# Text (v5 section 1.5.4, v3 section 1.5.3)

SPOKEN: list[tuple[str, Callable[[Link, str], object]]] = [
    ("topic name", lambda link, text: link.client.publish(text, b"x")),
    ("filter to subscribe", lambda link, text: link.client.subscribe([SubscriptionRequest(text)])),
    ("filter to unsubscribe", lambda link, text: link.client.unsubscribe([text])),
    ("client id", lambda link, text: ClientConnection(Connect(text, version=link.version))),
    ("user name", lambda link, text: ClientConnection(Connect("c", version=link.version, user_name=text))),
    ("will topic", lambda link, text: ClientConnection(Connect("c", version=link.version, will=Will(text)))),
]
SPOKEN_IN_5: list[tuple[str, Callable[[Link, str], object]]] = [
    ("response topic", lambda link, text: link.client.publish("a", b"x", properties=Properties(response_topic=text))),
    ("content type", lambda link, text: link.client.publish("a", b"x", properties=Properties(content_type=text))),
]
SPEAKERS = [
    pytest.param(version, say, id=f"v{version}-{what}")
    for version in (4, 5)
    for what, say in (SPOKEN + SPOKEN_IN_5 if version == MQTT_5 else SPOKEN)
]


@mqtt("MQTT-1.5.4-1", "MQTT-3.3.2-13", "MQTT-3.3.2-19")
@mqtt("MQTT-1.4.0-1", v3=True)
@edge("K4")
@pytest.mark.parametrize(("version", "say"), SPEAKERS)
def test_a_client_says_no_surrogates(version: int, say: Callable[[Link, str], object]) -> None:
    link = Link(version=version).open()
    with pytest.raises(ValueError, match="surrogate"):
        say(link, "a\ud800")
    assert link.wrote() == ""


@mqtt("MQTT-1.5.4-2", "MQTT-4.7.3-2")
@mqtt("MQTT-1.4.0-2", "MQTT-4.7.3-2", v3=True)
@edge("K4")
@pytest.mark.parametrize(("version", "say"), SPEAKERS)
def test_a_client_says_no_null_character(version: int, say: Callable[[Link, str], object]) -> None:
    link = Link(version=version).open()
    with pytest.raises(ValueError, match="null character"):
        say(link, "a\0b")
    assert link.wrote() == ""


@mqtt("MQTT-1.5.4-1")
@mqtt("MQTT-1.4.0-1", v3=True)
@edge("K4")
@each_version
@pytest.mark.parametrize("text", ["eda080", "edbfbf", "c08061", "ff6162", "61e282"])
def test_a_client_closes_on_text_that_is_not_utf8(version: int, text: str) -> None:
    link = Link(version=version).open()
    link.closes_at("30 05 0003" + text if version == 4 else "30 06 0003" + text + "00", 0x81, match="not UTF-8")


@mqtt("MQTT-1.5.4-2")
@mqtt("MQTT-1.4.0-2", v3=True)
@edge("K4")
@each_version
def test_a_client_closes_on_a_null_character(version: int) -> None:
    link = Link(version=version).open()
    link.closes_at("30 05 0003 610062" if version == 4 else "30 06 0003 610062 00", 0x81, match="null character")


@mqtt("MQTT-1.5.4-3")
@mqtt("MQTT-1.4.0-3", v3=True)
@edge("K4")
@each_version
def test_a_client_keeps_a_byte_order_mark(version: int) -> None:
    link = Link(version=version).open()
    frame = "3006 0004 efbbbf61" if version == 4 else "3007 0004 efbbbf61 00"
    assert link.hears(frame) == [Publish("\ufeffa")]
    link.client.publish("\ufeffa", b"")
    assert link.wrote() == frame.replace(" ", "")


@mqtt("MQTT-1.5.7-1")
@pytest.mark.parametrize("pair", [("a\0", "b"), ("a", "\0b"), ("a\ud800", "b"), ("a", "\udfff")])
def test_a_client_says_no_pair_that_is_not_two_strings(pair: tuple[str, str]) -> None:
    link = Link().open()
    with pytest.raises(ValueError, match=r"null character|surrogate"):
        link.client.publish("a", b"x", properties=Properties(user_properties=(pair,)))
    assert link.wrote() == ""


@mqtt("MQTT-1.5.7-1")
@edge("K4")
@pytest.mark.parametrize("pair", ["0001 00 0001 62", "0001 61 0001 00", "0001 ff 0001 62", "0001 61 0001 ff"])
def test_a_client_closes_on_a_pair_that_is_not_two_strings(pair: str) -> None:
    Link().open().closes_at("300b 0001 61 07 26" + pair, 0x81)


# Numbers (v5 section 1.5.5)


@mqtt("MQTT-1.5.5-1")
@pytest.mark.parametrize(
    ("payload", "length"),
    [(123, "7f"), (124, "8001"), (16_379, "ff7f"), (16_380, "808001"), (2_097_147, "ffff7f"), (2_097_148, "80808001")],
)
def test_a_client_writes_lengths_in_the_fewest_bytes(payload: int, length: str) -> None:
    link = Link().open()
    link.client.publish("a", bytes(payload))  # what goes with it: two bytes of length, the name, no properties
    assert link.wrote()[:16].startswith("30" + length + "000161")


@mqtt("MQTT-1.5.5-1")
@pytest.mark.parametrize("data", ["30 84 00 0001 61 00", "30 05 0001 61 80 00"])
def test_a_client_closes_on_lengths_in_more_bytes_than_they_need(data: str) -> None:
    Link().open().closes_at(data, 0x81, match="fewest bytes")


# The fixed header (section 2.1.3, v3 section 2.2.2)


@mqtt("MQTT-2.1.3-1", "MQTT-3.6.1-1", "MQTT-3.8.1-1", "MQTT-3.10.1-1")
@mqtt("MQTT-2.2.2-1", "MQTT-3.10.1-1", v3=True)
@each_version
def test_a_client_sets_the_reserved_flags_as_the_table_says(version: int) -> None:
    link = Link(version=version)
    link.client.opened(0.0)
    assert link.wrote()[:2] == "10"
    link.gets(ConnAck())
    link.client.subscribe([SubscriptionRequest("a")])
    assert link.wrote()[:2] == "82"
    link.client.unsubscribe(["a"])
    assert link.wrote()[:2] == "a2"
    link.gets(Publish("a", b"", 1, packet_id=1))
    assert link.wrote()[:2] == "40"
    link.gets(Publish("a", b"", 2, packet_id=1))
    assert link.wrote()[:2] == "50"
    link.gets(PubRel(1))
    assert link.wrote()[:2] == "70"
    publication = link.client.publish("a", b"", qos=2)
    assert link.wrote()[:2] == "34"
    link.gets(PubRec(publication.packet_id))
    assert link.wrote()[:2] == "62"
    link.client.tick(link.now + 60)
    assert link.wrote() == "c000"
    link.client.disconnect()
    assert link.wrote() == "e000"


WRONG_FLAGS = (
    "21020000",  # CONNACK
    "41020001",  # PUBACK
    "52020001",  # PUBREC
    "60020001",  # PUBREL
    "6a020001",
    "71020001",  # PUBCOMP
    "9203000100",  # SUBACK
    "b8020001",  # UNSUBACK
    "d100",  # PINGRESP
    "e100",  # DISCONNECT
    "f100",  # AUTH
    "0000",  # a packet that does not exist
)


@mqtt("MQTT-2.1.3-1", "MQTT-3.6.1-1", "MQTT-3.14.1-1", "MQTT-3.15.1-1")
@mqtt("MQTT-2.2.2-1", "MQTT-2.2.2-2", v3=True)
@each_version
@pytest.mark.parametrize("data", WRONG_FLAGS)
def test_a_client_closes_on_other_flags(version: int, data: str) -> None:
    Link(version=version).open().closes_at(data, 0x81)


# Packet ids (section 2.2.1, v3 section 2.3.1)


@mqtt("MQTT-2.2.1-2")
@mqtt("MQTT-2.3.1-5", v3=True)
@each_version
def test_a_message_of_qos_0_has_no_packet_id(version: int) -> None:
    link = Link(version=version).open()
    frame = "3005 0001 61 6869" if version == 4 else "3006 0001 61 00 6869"
    link.client.publish("a", b"hi")
    assert link.wrote() == frame.replace(" ", "")
    assert link.hears(frame) == [Publish("a", b"hi")]


@mqtt("MQTT-2.2.1-3", "MQTT-4.3.2-1", "MQTT-4.3.3-1")
@mqtt("MQTT-2.3.1-1", "MQTT-2.3.1-2", v3=True)
@edge("P1")
@each_version
def test_all_packets_with_an_id_take_it_from_the_same_numbers(version: int) -> None:
    link = Link(version=version).open()
    request = SubscriptionRequest("a")
    link.client.subscribe([request])
    link.client.publish("a", b"", qos=1)
    link.client.unsubscribe(["a"])
    link.client.publish("a", b"", qos=2)
    assert link.sent() == [
        Subscribe(1, [request]),
        Publish("a", b"", 1, packet_id=2),
        Unsubscribe(3, ["a"]),
        Publish("a", b"", 2, packet_id=4),
    ]


@mqtt("MQTT-2.2.1-3")
@mqtt("MQTT-2.3.1-2", "MQTT-2.3.1-3", v3=True)
@edge("P1")
@each_version
def test_after_65535_comes_1_and_what_is_in_use_is_passed_over(version: int) -> None:
    link = Link(version=version).open()
    link.client.publish("a", b"", qos=1)  # 1
    link.client.subscribe([SubscriptionRequest("a")])  # 2
    link.client.publish("a", b"", qos=2)  # 3, and its PUBREC does not free it
    link.gets(PubRec(3))
    for expected in range(4, 65_536):
        assert link.client.unsubscribe(["a"]) == expected
        link.gets(UnsubAck(expected, [0]))
    assert link.client.unsubscribe(["a"]) == 4  # never 0, nor 1, 2 or 3
    link.gets(PubAck(1), SubAck(2, [0]))
    assert link.client.unsubscribe(["a"]) == 5
    link.gets(PubComp(3))
    assert link.client.publish("a", b"", qos=1).packet_id == 6


@mqtt("MQTT-2.2.1-3")
@edge("P1")
def test_without_a_free_id_requests_are_refused_and_messages_wait() -> None:
    link = Link().open()
    for _ in range(65_535):
        link.client.unsubscribe(["a"])
    with pytest.raises(ValueError, match="all 65,535 packet ids are in use"):
        link.client.subscribe([SubscriptionRequest("a")])
    link.client.take(0.0)
    waiting = link.client.publish("a", b"x", qos=1)
    assert link.sent() == []
    link.gets(UnsubAck(77, [0]))  # its id is free now
    assert link.sent() == [Publish("a", b"x", 1, packet_id=77)]
    assert link.gets(PubAck(77)) == [waiting]


@mqtt("MQTT-2.2.1-3")
@edge("P1")
def test_what_is_refused_uses_no_id() -> None:
    link = Link().open()
    with pytest.raises(ValueError, match="QoS 3"):
        link.client.publish("a", b"", qos=3)
    with pytest.raises(ValueError, match="may not be 2"):
        link.client.publish("a", b"", qos=1, properties=Properties(payload_format_indicator=2))
    with pytest.raises(ValueError, match="needs a topic filter"):
        link.client.subscribe([])
    with pytest.raises(ValueError, match="needs a topic filter"):
        link.client.unsubscribe([])
    assert (link.wrote(), link.client.unfinished) == ("", 0)
    for _ in range(65_535):  # all are there
        link.client.unsubscribe(["a"])


@mqtt("MQTT-2.2.1-5")
@mqtt("MQTT-2.3.1-6", v3=True)
@edge("P2")
@each_version
def test_acknowledgements_have_the_id_of_their_message(version: int) -> None:
    link = Link(version=version).open()
    link.gets(Publish("a", b"", 1, packet_id=0x0102), Publish("a", b"", 2, packet_id=0x0304), PubRel(0x0304))
    assert link.wrote() == "40020102" + "50020304" + "70020304"
    for _ in range(299):
        link.client.unsubscribe(["a"])
    link.client.publish("a", b"", qos=2)  # 300, 0x012C
    link.client.take(0.0)
    link.hears("5002 012c")
    assert link.wrote() == "6202012c"


@edge("P2")
@each_version
@pytest.mark.parametrize("data", ["4002 0007", "7002 0007"])
def test_acknowledgements_that_nobody_waits_for_are_passed_over(version: int, data: str) -> None:
    link = Link(version=version).open()
    assert link.hears(data) == []
    assert (link.wrote(), link.client.is_open) == ("", True)


@mqtt("MQTT-2.3.1-1", v3=True)
@edge("P2")
@each_version
@pytest.mark.parametrize("data", ["4002 0000", "5002 0000", "6202 0000", "7002 0000", "3206 0001 61 0000 00"])
def test_packet_id_0_is_an_error(version: int, data: str) -> None:
    Link(version=version).open().closes_at(data, 0x82, match="packet id 0")


# Properties (section 2.2.2)


@mqtt("MQTT-2.2.2-1")
def test_without_properties_there_is_a_property_length_of_0() -> None:
    link = Link()
    link.client.opened(0.0)
    assert link.wrote() == "100e 0004 4d515454 05 02 003c 00 0001 63".replace(" ", "")
    link.gets(ConnAck())
    link.client.publish("a", b"")
    assert link.wrote() == "3004 0001 61 00".replace(" ", "")
    link.client.subscribe([SubscriptionRequest("a")])
    assert link.wrote() == "8207 0001 00 0001 61 00".replace(" ", "")
    link.client.unsubscribe(["a"])
    assert link.wrote() == "a206 0002 00 0001 61".replace(" ", "")


@edge("M2")
@pytest.mark.parametrize(
    ("data", "reason_code"),
    [
        ("20 05 00 00 02 7f 00", 0x81),  # a property that does not exist
        ("20 05 00 00 02 01 00", 0x81),  # one that CONNACK may not carry
        ("20 07 00 00 04 24 01 24 01", 0x82),  # one that is said twice
        ("20 06 00 00 03 21 00 00", 0x82),  # Receive Maximum 0 (section 3.2.2.3.3)
        ("20 07 00 00 05 27 00 00 00", 0x81),  # a length that goes beyond the packet
    ],
)
def test_properties_that_a_packet_may_not_have_are_errors(data: str, reason_code: int) -> None:
    link = Link()
    link.client.opened(0.0)
    link.closes_at(data, reason_code)


# The way through a connection


@edge("M3")
@each_version
def test_packets_may_come_in_any_pieces(version: int) -> None:
    link = Link(version=version).open()
    data = bytes.fromhex("3206 0001 61 0001 78" if version == 4 else "3207 0001 61 0001 00 78")
    said: list[object] = []
    for byte in data:
        said += link.hears(f"{byte:02x}")
    assert said == [Publish("a", b"x", 1, packet_id=1)]
    assert link.wrote() == "40020001"
    assert link.hears((data + data).hex()) == [Publish("a", b"x", 1, packet_id=1)] * 2
    assert link.wrote() == "40020001" * 2


@mqtt("MQTT-4.8.0-1", v3=True)
@mqtt("MQTT-4.13.2-1")
@each_version
def test_nothing_is_read_behind_an_error(version: int) -> None:
    link = Link(version=version).open()
    good = "3003 0001 61" if version == 4 else "3004 0001 61 00"
    with pytest.raises(ProtocolError):
        link.hears(good + "c000" + good)  # PINGREQ, which servers may not send
    assert link.client.take_events() == [Publish("a")]
    assert link.sent() == ([] if version == 4 else [Disconnect(0x82)])
    assert link.client.is_closing
    assert link.hears(good) == []
