"""Clients that break a rule: what they are told, and that nobody else notices (section 4.13)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telex.codes import MQTT_5, ReasonCode
from telex.engine.options import Options
from telex.wire.encode import encode
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
from tests.engine.babble import some_packets
from tests.engine.world import World

PROTOCOL = ReasonCode.PROTOCOL_ERROR
MALFORMED = ReasonCode.MALFORMED_PACKET
VERSIONS = pytest.mark.parametrize("version", [3, 4, 5])


def ends(version: int, reason_code: ReasonCode) -> list[Packet]:
    """The last that a client of this version hears when it breaks a rule."""
    return [Disconnect(reason_code)] if version == MQTT_5 else []


@VERSIONS
def test_a_second_connect_closes_the_connection(world: World, version: int) -> None:
    # [MQTT-3.1.0-2], v3 [MQTT-3.1.0-2], M1
    client = world.client("c", version=version).sends(Connect("c", version=version))
    assert client.got == ends(version, PROTOCOL)
    assert not client.is_connected


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("10 0e 00 04 4d 51 54 54 06 02 00 3c 00 00 01 63", id="a version that does not exist"),
        pytest.param("10 0e 00 04 4d 51 54 58 05 02 00 3c 00 00 01 63", id="the name of another protocol"),
        pytest.param("10 0f 00 06 4d 51 49 73 64 70 03 02 00 3c 00 01 63", id="MQTT 3.1"),
        pytest.param("10 0d 00 04 4d 51 54 54 04 02 00 3c 00 01 63", id="MQTT 3.1.1"),
    ],
)
def test_a_second_connect_is_a_protocol_error_whatever_it_says(world: World, data: str) -> None:
    # [MQTT-3.1.0-2]; DISCONNECT has no code for an unsupported version (section 3.14.2.1)
    client = world.client("c").sends_bytes(bytes.fromhex(data))
    assert client.got == [Disconnect(PROTOCOL)]


@pytest.mark.parametrize(
    "packet",
    [
        ConnAck(0),
        Publish("a", b"x"),
        Publish("a", b"x", qos=2, packet_id=1),
        PubAck(1),
        PubRec(1),
        PubRel(1),
        PubComp(1),
        Subscribe(1, [SubscriptionRequest("a")]),
        SubAck(1, [0]),
        Unsubscribe(1, ["a"]),
        UnsubAck(1, [0]),
        PingReq(),
        PingResp(),
        Disconnect(),
        Auth(),
    ],
    ids=lambda packet: type(packet).__name__,
)
def test_any_packet_before_connect_closes_the_connection(world: World, packet: Packet) -> None:
    # [MQTT-3.1.0-1] [MQTT-3.14.0-1], M1
    stranger = world.stranger().sends(packet)
    assert stranger.got == []
    assert not stranger.is_connected
    assert world.engine.sessions == {}


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00", b"\x00\x00", b"\xff" * 9, b"\x11\x00"]
)
def test_what_is_no_mqtt_is_closed_without_a_word(world: World, data: bytes) -> None:  # v3 [MQTT-3.1.4-1]
    stranger = world.stranger().sends_bytes(data)
    assert stranger.got == []
    assert not stranger.is_connected


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("10 0e 00 04 4d 51 54 54 04 02 00 3c 00 02 61 00", id="client id with U+0000"),
        pytest.param("10 0f 00 04 4d 51 54 54 04 02 00 3c 00 03 ed a0 80", id="client id with a surrogate"),
        pytest.param("10 0d 00 04 4d 51 54 54 04 02 00 3c 00 01 ff", id="client id that is no UTF-8"),
        pytest.param("10 12 00 04 4d 51 54 54 04 06 00 3c 00 01 63 00 01 23 00 00", id="will topic with a wildcard"),
        pytest.param("10 11 00 04 4d 51 54 54 04 06 00 3c 00 01 63 00 00 00 00", id="empty will topic"),
        pytest.param("10 10 00 04 4d 51 54 54 04 82 00 3c 00 01 63 00 01 00", id="user name with U+0000"),
    ],
)
def test_a_connect_with_a_bad_string_is_closed_without_a_word(world: World, data: str) -> None:
    # [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-3.1.3-4] [MQTT-3.1.3-11] [MQTT-3.1.3-12], v3 [MQTT-3.1.4-1], K4
    stranger = world.stranger(version=4).sends_bytes(bytes.fromhex(data))
    assert stranger.got == []
    assert not stranger.is_connected


@pytest.mark.parametrize(
    "packet", [ConnAck(0), SubAck(1, [0]), UnsubAck(1, [0]), PingResp()], ids=lambda packet: type(packet).__name__
)
@VERSIONS
def test_what_only_a_server_sends_closes_the_connection(world: World, packet: Packet, version: int) -> None:
    # section 2.1.2, table 2-1
    client = world.client("c", version=version).sends(packet)
    assert client.got == ends(version, PROTOCOL)
    assert not client.is_connected


def test_auth_without_a_method_closes_the_connection(world: World) -> None:  # [MQTT-4.12.0-7]
    client = world.client("c").sends(Auth(ReasonCode.RE_AUTHENTICATE, Properties(authentication_method="x")))
    assert client.got == [Disconnect(PROTOCOL)]


@pytest.mark.parametrize("version", [3, 4])
def test_auth_is_no_packet_of_v3(world: World, version: int) -> None:  # v3 [MQTT-2.2.2-2]
    assert not world.client("c", version=version).sends_bytes(b"\xf0\x00").is_connected


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ("32 06 00 01 61 00 00 00", "PUBLISH QoS 1"),
        ("34 06 00 01 61 00 00 00", "PUBLISH QoS 2"),
        ("40 02 00 00", "PUBACK"),
        ("50 02 00 00", "PUBREC"),
        ("62 02 00 00", "PUBREL"),
        ("70 02 00 00", "PUBCOMP"),
        ("82 07 00 00 00 00 01 61 00", "SUBSCRIBE"),
        ("a2 06 00 00 00 00 01 61", "UNSUBSCRIBE"),
    ],
)
def test_packet_id_0_closes_the_connection(world: World, data: str, what: str) -> None:  # [MQTT-2.2.1-3], P2
    client = world.client("c").sends_bytes(bytes.fromhex(data))
    assert client.got == [Disconnect(PROTOCOL)], what
    assert any("packet id 0" in reason for reason in world.diary.reasons)


@pytest.mark.parametrize(
    ("data", "reason_code", "what"),
    [
        ("82 03 00 01 00", PROTOCOL, "SUBSCRIBE without a filter [MQTT-3.8.3-2]"),
        ("a2 03 00 01 00", PROTOCOL, "UNSUBSCRIBE without a filter [MQTT-3.10.3-2]"),
        ("82 07 00 01 00 00 01 61 03", PROTOCOL, "SUBSCRIBE at QoS 3 (section 3.8.3.1)"),
        ("82 07 00 01 00 00 01 61 30", PROTOCOL, "SUBSCRIBE with retain handling 3 (section 3.8.3.1)"),
        ("82 07 00 01 00 00 01 61 40", MALFORMED, "SUBSCRIBE with a reserved bit [MQTT-3.8.3-5]"),
        ("80 07 00 01 00 00 01 61 00", MALFORMED, "SUBSCRIBE with flags 0 [MQTT-3.8.1-1]"),
        ("a0 06 00 01 00 00 01 61", MALFORMED, "UNSUBSCRIBE with flags 0 [MQTT-3.10.1-1]"),
        ("60 02 00 01", MALFORMED, "PUBREL with flags 0 [MQTT-3.6.1-1]"),
        ("e1 00", MALFORMED, "DISCONNECT with flags 1 [MQTT-3.14.1-1]"),
        ("c8 00", MALFORMED, "PINGREQ with flags 8 [MQTT-2.1.3-1]"),
        ("c0 01 00", MALFORMED, "PINGREQ with a body (section 3.12)"),
        ("36 06 00 01 61 00 01 00", MALFORMED, "PUBLISH at QoS 3 [MQTT-3.3.1-4]"),
        ("38 04 00 01 61 00", MALFORMED, "DUP at QoS 0 [MQTT-3.3.1-2]"),
        ("30 04 00 01 ff 00", MALFORMED, "a topic that is no UTF-8 [MQTT-1.5.4-1]"),
        ("30 06 00 03 ed a0 80 00", MALFORMED, "a topic with a surrogate [MQTT-1.5.4-1]"),
        ("30 04 00 01 00 00", MALFORMED, "a topic with U+0000 [MQTT-1.5.4-2]"),
        ("30 03 00 00 00", PROTOCOL, "neither topic nor alias (section 3.3.2.1)"),
        ("30 02 00 05", MALFORMED, "a topic that is cut short (section 1.5.4)"),
        ("30 06 00 01 61 02 0b 05", PROTOCOL, "PUBLISH with a subscription identifier [MQTT-3.3.4-6]"),
        ("00 00", MALFORMED, "packet type 0 (section 2.1.2)"),
        ("30 ff ff ff ff 01", MALFORMED, "a remaining length of five bytes (section 1.5.5)"),
        ("e0 06 00 05 11 00 00 00", MALFORMED, "DISCONNECT with a property that is cut short"),
        ("40 03 00 01 93", MALFORMED, "PUBACK with a reason code of another packet [MQTT-3.4.2-1]"),
    ],
)
def test_a_broken_rule_closes_the_connection_with_its_code(
    world: World, data: str, reason_code: ReasonCode, what: str
) -> None:  # [MQTT-4.13.1-1] [MQTT-4.13.2-1]
    client = world.client("c").sends_bytes(bytes.fromhex(data))
    assert client.got == [Disconnect(reason_code)], what
    assert not client.is_connected


def test_a_qos_that_we_do_not_support_closes_the_connection() -> None:  # [MQTT-3.2.2-11]
    client = World(Options(maximum_qos=1)).client("c").sends(Publish("a", b"x", qos=2, packet_id=1))
    assert client.got == [Disconnect(ReasonCode.QOS_NOT_SUPPORTED)]


def test_a_retained_message_where_we_retain_nothing_closes_the_connection() -> None:  # [MQTT-3.2.2-14]
    world = World(Options(retain_available=False))
    client = world.client("c").sends(Publish("a", b"x", retain=True))
    assert client.got == [Disconnect(ReasonCode.RETAIN_NOT_SUPPORTED)]
    assert world.engine.retained.count == 0


def test_nothing_is_read_after_an_error(world: World) -> None:  # section 4.13
    sub = world.client("sub").subscribes("#")
    bad = world.client("bad")
    bad.sends_bytes(encode(Publish("a", b"1"), 5) + b"\x00\x00" + encode(Publish("a", b"2"), 5))
    bad.connection.receive(encode(Publish("a", b"3"), 5), world.now)
    world.flush()
    assert sub.payloads == [b"1"]


def test_nothing_is_read_after_disconnect(world: World) -> None:  # [MQTT-3.14.4-1]
    sub = world.client("sub").subscribes("#")
    world.client("c", will=Will("w", b"lost")).sends(Publish("a", b"1"), Disconnect(), Publish("a", b"2"), PingReq())
    assert sub.payloads == [b"1"]


def test_one_bad_peer_costs_its_own_connection_only(world: World) -> None:  # M2
    good = world.client("good", session_expiry=60).subscribes("a", qos=2)
    for number, data in enumerate([b"\x00\x00", b"\xf0\x00", b"\x30\x00", b"\x90\x03\x00\x01\x00", b"\x10\x00"] * 5):
        bad = world.client(f"bad-{number}").subscribes("a", qos=2).sends_bytes(data)
        assert not bad.is_connected
    world.client("pub").publishes("a", b"x", qos=2)
    assert good.payloads == [b"x"]
    assert len(world.engine.sessions) == 2


def test_the_reason_is_for_our_log(world: World) -> None:  # errors.py: the peer gets the code only
    world.client("c").sends_bytes(b"\x00\x00")
    assert "0x81" in world.diary.reasons[0]
    assert "packet type 0" in world.diary.reasons[0]


def test_the_observer_hears_of_each_end_once(world: World) -> None:  # pain 24
    client = world.client("c").sends_bytes(b"\x00\x00")
    client.drops()
    world.client("c").disconnects().drops()
    assert [line for line in world.diary.lines if "disconnected" in line] == ["c disconnected from c.test"] * 2


# Whatever comes


@settings(deadline=None, max_examples=200)
@given(sent=st.lists(st.tuples(st.integers(0, 2), st.booleans(), some_packets()), max_size=8), cut=st.integers(1, 99))
def test_whatever_packets_come_the_engine_stands(sent: list[tuple[int, bool, list[Packet]]], cut: int) -> None:
    # M2: clients come, say anything in pieces of any size, are closed or leave; nobody else is disturbed
    world = World(Options(receive_maximum=2, max_inflight_messages=2, max_queued_messages=3))
    witness = world.client("witness", version=4).subscribes("safe")
    for who, acknowledges, packets in sent:
        client = world.client(
            f"c{who}", clean_start=False, session_expiry=5, acknowledges=acknowledges, will=Will("a", b"will", qos=1)
        )
        data = b"".join(encode(packet, 5) for packet in packets)
        size = len(data) + 1 if acknowledges else cut  # else its acknowledgements would come inside its packets
        for start in range(0, len(data), size):
            if client.is_connected:
                client.sends_bytes(data[start : start + size])
        world.advance(1)
    witness.publishes("safe", b"and sound")
    assert witness.payloads == [b"and sound"]


@settings(deadline=None, max_examples=200)
@given(data=st.lists(st.binary(max_size=20), max_size=10), version=st.sampled_from([3, 4, 5]))
def test_whatever_bytes_come_the_engine_stands(data: list[bytes], version: int) -> None:  # M2
    world = World()
    client = world.client("c", version=version)
    for piece in data:
        if client.is_connected:
            client.sends_bytes(piece)
    assert len(world.engine.sessions) == client.is_connected
