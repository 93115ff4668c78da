"""Packets to bytes: every valid row of the case table, and what the encoder refuses."""

import pytest

from telex.codes import MAX_REMAINING_LENGTH
from telex.wire.encode import (
    PINGREQ_BYTES,
    PINGRESP_BYTES,
    PUBACK_FIRST,
    PUBCOMP_FIRST,
    PUBREC_FIRST,
    PUBREL_FIRST,
    encode,
    encode_acknowledgement,
    publish_head,
)
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
from tests.wire.cases import Case
from tests.wire.reading import VALID, each, read

LONG = "x" * 65_536  # a byte too long for a string
SAID = Properties(reason_string="no", user_properties=(("k", "v"),))


# --- The table ---


@each([case for case in VALID if case.canonical])
def test_a_packet_is_written_as_the_text_writes_it(case: Case, version: int) -> None:  # the row's own tags
    assert isinstance(case.expected, Packet)
    assert encode(case.expected, version).hex(" ") == case.data.hex(" ")


@each([case for case in VALID if not case.canonical])
def test_a_packet_with_two_forms_is_written_in_the_shorter(case: Case, version: int) -> None:  # the row's own tags
    assert isinstance(case.expected, Packet)
    data = encode(case.expected, version)
    assert data != case.data
    assert read([data], case.opening_version(version)) == ([case.expected], None)


# --- What an older version cannot say is left out ---


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize(
    ("packet", "data"),
    [
        (ConnAck(2, properties=SAID), "20 02 00 02"),
        (Publish("t", b"p", properties=Properties(topic_alias=1, content_type="c")), "30 04 00 01 74 70"),
        (PubAck(1, 0x87, SAID), "40 02 00 01"),
        (PubRec(1, 0x87, SAID), "50 02 00 01"),
        (PubRel(1, 0x92, SAID), "62 02 00 01"),
        (PubComp(1, 0x92, SAID), "70 02 00 01"),
        (
            Subscribe(
                1, [SubscriptionRequest("f", 1, no_local=True, retain_as_published=True, retain_handling=2)], SAID
            ),
            "82 06 00 01 00 01 66 01",
        ),
        (SubAck(1, [0x80], SAID), "90 03 00 01 80"),
        (Unsubscribe(1, ["f"], SAID), "a2 05 00 01 00 01 66"),
        (UnsubAck(1, [0x11], SAID), "b0 02 00 01"),
        (Disconnect(4, SAID), "e0 00"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Packet) else "",
)
def test_before_v5_there_are_no_properties_and_no_reasons(packet: Packet, data: str, version: int) -> None:
    # v3 chapter 3
    assert encode(packet, version).hex(" ") == data


def test_before_v5_a_connect_and_its_will_have_no_properties() -> None:  # v3 section 3.1.3
    will = Will("w", b"x", properties=Properties(will_delay_interval=5))
    packet = Connect("c", version=4, will=will, properties=Properties(receive_maximum=5))
    assert encode(packet, 4).hex(" ") == "10 13 00 04 4d 51 54 54 04 06 00 3c 00 01 63 00 01 77 00 01 78"


def test_a_connect_is_written_in_the_version_that_it_asks_for() -> None:  # [MQTT-3.1.2-2]
    assert encode(Connect("c", version=4), 5) == encode(Connect("c", version=4), 4)


def test_a_qos_0_publish_has_no_packet_id() -> None:  # [MQTT-2.2.1-2]
    assert encode(Publish("t", b"p", qos=0, packet_id=7), 4).hex(" ") == "30 04 00 01 74 70"


def test_properties_that_say_nothing_are_a_length_of_zero() -> None:  # [MQTT-2.2.2-1]
    assert encode(Publish("t", properties=Properties()), 5).hex(" ") == "30 04 00 01 74 00"
    assert encode(PubAck(1, 0, Properties()), 5).hex(" ") == "40 04 00 01 00 00"
    assert encode(Disconnect(0, Properties()), 5).hex(" ") == "e0 02 00 00"


# --- What cannot be written is the caller's slip ---


@pytest.mark.parametrize(
    ("packet", "what"),
    [
        (Publish("a/#"), r"topic name 'a/#'.*MQTT-3\.3\.2-2"),
        (Publish("+"), r"topic name '\+'.*MQTT-3\.3\.2-2"),
        (Publish("a\0b"), r"topic name.*null character"),
        (Publish("\ud800"), r"topic name.*surrogate"),
        (Publish(LONG), r"topic name.*65,536 bytes"),
        (Publish(""), r"topic name.*topic alias"),
        (Publish("", properties=Properties(content_type="c")), r"topic name.*topic alias"),
        (Publish("t", qos=3, packet_id=1), r"QoS 3, expected 0, 1 or 2"),
        (Publish("t", qos=-1), r"QoS -1, expected 0, 1 or 2"),
        (Publish("t", qos=1), r"packet id 0.*MQTT-2\.2\.1-3"),
        (Publish("t", qos=2, packet_id=65_536), r"packet id is 65536, expected 0 to 65,535"),
        (Publish("t", qos=1, packet_id=-1), r"packet id is -1"),
        (PubAck(0), r"packet id 0"),
        (PubRec(65_536), r"packet id is 65536"),
        (PubRel(0), r"packet id 0"),
        (PubComp(-1), r"packet id is -1"),
        (Subscribe(0, [SubscriptionRequest("f")]), r"packet id 0"),
        (Subscribe(1, [SubscriptionRequest("f", 3)]), r"QoS 3"),
        (Subscribe(1, [SubscriptionRequest("f", -1)]), r"QoS -1"),
        (Subscribe(1, [SubscriptionRequest("f", retain_handling=3)]), r"retain handling 3"),
        (Subscribe(1, [SubscriptionRequest("a\0b")]), r"topic filter.*null character"),
        (Subscribe(1, [SubscriptionRequest("\udfff")]), r"topic filter.*surrogate"),
        (Subscribe(1, [SubscriptionRequest(LONG)]), r"topic filter has 65,536 bytes"),
        (SubAck(0, [0]), r"packet id 0"),
        (Unsubscribe(0, ["f"]), r"packet id 0"),
        (Unsubscribe(1, ["\0"]), r"topic filter.*null character"),
        (UnsubAck(65_536, [0]), r"packet id is 65536"),
        (Connect("a\0"), r"client id.*null character"),
        (Connect("\ud800"), r"client id.*surrogate"),
        (Connect(LONG), r"client id has 65,536 bytes"),
        (Connect(keep_alive=65_536), r"keep alive is 65536"),
        (Connect(keep_alive=-1), r"keep alive is -1"),
        (Connect(user_name="\0"), r"user name.*null character"),
        (Connect(password=LONG.encode()), r"password has 65,536 bytes"),
        (Connect(version=4, password=b"p"), r"password needs a user name.*v3 \[MQTT-3\.1\.2-22\]"),
        (Connect(version=3, password=b"p"), r"password needs a user name.*v3 \[MQTT-3\.1\.2-22\]"),
        (Connect(will=Will("w/#")), r"topic name 'w/#'"),
        (Connect(will=Will("")), r"topic name is empty"),
        (Connect(will=Will("w", qos=3)), r"will QoS 3"),
        (Connect(will=Will("w", LONG.encode())), r"will payload has 65,536 bytes"),
    ],
    ids=lambda value: "" if isinstance(value, Packet) else str(value),
)
def test_a_field_that_does_not_fit_is_refused_by_its_name(packet: Packet, what: str) -> None:  # section 1.5
    version = packet.version if isinstance(packet, Connect) else 5
    with pytest.raises(ValueError, match=what):
        encode(packet, version)


@pytest.mark.parametrize(
    ("properties", "what"),
    [
        (Properties(payload_format_indicator=2), "payload_format_indicator may not be 2"),
        (Properties(message_expiry_interval=2**32), "message_expiry_interval may not be 4294967296"),
        (Properties(message_expiry_interval=-1), "message_expiry_interval may not be -1"),
        (Properties(content_type="\0"), "content_type.*null character"),
        (Properties(response_topic=LONG), "response_topic has 65,536 bytes"),
        (Properties(correlation_data=LONG.encode()), "correlation_data has 65,536 bytes"),
        (Properties(subscription_identifiers=(0,)), "subscription_identifiers may not hold 0"),
        (Properties(subscription_identifiers=(1, 268_435_456)), "subscription_identifiers is 268,435,456"),
        (Properties(server_keep_alive=65_536), "server_keep_alive is 65536"),
        (Properties(receive_maximum=0), "receive_maximum may not be 0"),
        (Properties(topic_alias=0), "topic_alias may not be 0"),
        (Properties(topic_alias=65_536), "topic_alias is 65536"),
        (Properties(maximum_qos=2), "maximum_qos may not be 2"),
        (Properties(maximum_packet_size=0), "maximum_packet_size may not be 0"),
        (Properties(user_properties=(("k", "\ud800"),)), "user_properties.*surrogate"),
        (Properties(user_properties=((LONG, ""),)), "user_properties has 65,536 bytes"),
    ],
    ids=lambda value: "" if isinstance(value, Properties) else str(value),
)
def test_a_property_that_does_not_fit_is_refused(properties: Properties, what: str) -> None:  # section 2.2.2.2
    of_connack = any(name in what for name in ("server_keep_alive", "receive_maximum", "maximum_"))
    packet = ConnAck(properties=properties) if of_connack else Publish("t", properties=properties)
    with pytest.raises(ValueError, match=what):
        encode(packet, 5)


def test_a_property_of_another_data_type_is_a_slip() -> None:  # section 2.2.2.2
    with pytest.raises(TypeError, match=r"content_type|str"):  # compiled, Properties refuses it by itself
        encode(Publish("t", properties=Properties(content_type=1.5)), 5)


@pytest.mark.parametrize("version", [3, 4])
def test_a_topic_alias_is_no_topic_before_v5(version: int) -> None:  # v3 [MQTT-4.7.3-1]
    with pytest.raises(ValueError, match="topic name"):
        encode(Publish("", properties=Properties(topic_alias=1)), version)


@pytest.mark.parametrize("version", [3, 4])
def test_there_is_no_auth_before_v5(version: int) -> None:  # section 3.15
    with pytest.raises(TypeError, match=f"Auth is no packet of protocol version {version}"):
        encode(Auth(), version)


def test_a_part_of_a_packet_is_no_packet() -> None:  # section 2.1.2
    with pytest.raises(TypeError, match="Will is no packet of protocol version 5"):
        encode(Will("w"), 5)


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(Publish("t", dup=True), id="DUP at QoS 0 [MQTT-3.3.1-2]"),
        pytest.param(Subscribe(1, []), id="SUBSCRIBE without filters [MQTT-3.8.3-2]"),
        pytest.param(Unsubscribe(1, []), id="UNSUBSCRIBE without filters [MQTT-3.10.3-2]"),
        pytest.param(SubAck(1, []), id="SUBACK without codes [MQTT-3.8.4-6]"),
        pytest.param(UnsubAck(1, []), id="UNSUBACK without codes [MQTT-3.11.3-2]"),
        pytest.param(Publish("t", properties=Properties(response_topic="#")), id="response topic # [MQTT-3.3.2-14]"),
        pytest.param(PubAck(1, 300), id="a reason code of 300 [MQTT-3.4.2-1]"),
        pytest.param(SubAck(1, [-1]), id="a reason code of -1, written as 255 [MQTT-3.9.3-2]"),
        pytest.param(Disconnect(0x10), id="a reason code of another packet (section 3.14.2.1)"),
        pytest.param(PubAck(1, 0, Properties(topic_alias=1)), id="a property of another packet (section 2.2.2.2)"),
        pytest.param(Connect(version=256), id="a version of two bytes"),
        pytest.param(
            Subscribe(1, [SubscriptionRequest("f")], Properties(subscription_identifiers=(1, 2))),
            id="SUBSCRIBE with two subscription identifiers (section 3.8.2.1.2)",
        ),
    ],
)
def test_what_every_peer_must_refuse_is_not_written(packet: Packet) -> None:  # section 4.13
    with pytest.raises(ValueError, match=r"MQTT-|section|never sent again|expected"):
        encode(packet, 5)


# --- The parts that the hot paths put together themselves ---


@pytest.mark.parametrize("packet_id", [1, 255, 256, 0x1234, 65_535])
def test_a_short_acknowledgement_is_the_packet_that_says_success(packet_id: int) -> None:  # section 3.4.2.1
    kinds = ((PUBACK_FIRST, PubAck), (PUBREC_FIRST, PubRec), (PUBREL_FIRST, PubRel), (PUBCOMP_FIRST, PubComp))
    for first, kind in kinds:
        data = encode_acknowledgement(first, packet_id)
        assert data == bytes((first, 2)) + packet_id.to_bytes(2, "big")
        for version in (3, 4, 5):
            assert read([data], version) == ([kind(packet_id)], None)


def test_the_pings_are_written_once() -> None:  # section 3.12
    assert encode(PingReq(), 5) is PINGREQ_BYTES
    assert encode(PingResp(), 3) is PINGRESP_BYTES


@pytest.mark.parametrize("payload", [0, 1, 120, 121, 122, 123, 124, 125, 16_370, 16_380, 16_381, 100_000])
def test_a_publish_is_its_head_and_what_follows(payload: int) -> None:  # section 3.3
    body = b"x" * payload
    for version, between in ((4, b""), (5, b"\0")):
        data = publish_head(0x31, b"a/b", len(between) + payload) + between + body
        assert data == encode(Publish("a/b", body, retain=True), version)


def test_a_head_is_written_for_the_largest_packet_and_no_larger_one() -> None:  # section 2.1.4
    assert publish_head(0x30, b"t", MAX_REMAINING_LENGTH - 3) == b"\x30\xff\xff\xff\x7f\x00\x01t"
    with pytest.raises(ValueError, match="268,435,456 bytes; the wire can say at most 268,435,455"):
        publish_head(0x30, b"t", MAX_REMAINING_LENGTH - 2)
