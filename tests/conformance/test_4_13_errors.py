"""What a broker does with malformed packets and protocol errors (section 4.13; in 3.1.1, section 4.8)."""

from typing import Any

import pytest

from telex.engine.options import Options
from telex.engine.permissions import Permissions
from telex.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
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
from tests.conformance.conftest import MakeWorld
from tests.conformance.marks import each_version, edge, mqtt
from tests.conformance.words import ends
from tests.engine.world import ClosedGate, OneRule, World

MALFORMED = 0x81
PROTOCOL_ERROR = 0x82
NOT_AUTHORIZED = 0x87
KEEP_ALIVE_TIMEOUT = 0x8D
NAME_INVALID = 0x90
TOO_MANY = 0x93
ALIAS_INVALID = 0x94
TOO_LARGE = 0x95
QUOTA_EXCEEDED = 0x97
NO_RETAIN = 0x9A
QOS_NOT_SUPPORTED = 0x9B

WILL = Will("will", b"lost", qos=1)

NOT_A_CLIENTS = [ConnAck(), SubAck(1, [0]), UnsubAck(1, [0]), PingResp()]


# What the texts of both versions forbid: the bytes in 3.1.1, the bytes in 5, and what 5 calls it.
WRONG = {
    "QoS 3": ("36 05 00 01 61 00 01", "36 06 00 01 61 00 01 00", MALFORMED),
    "a topic name with a wildcard": ("30 03 00 01 23", "30 04 00 01 23 00", NAME_INVALID),
    "a topic name that is no UTF-8": ("30 03 00 01 ff", "30 04 00 01 ff 00", MALFORMED),
    "a topic name with a null character": ("30 03 00 01 00", "30 04 00 01 00 00", MALFORMED),
    "PUBLISH that is cut short": ("30 02 00 01", "30 02 00 01", MALFORMED),
    "PUBLISH with packet id 0": ("32 05 00 01 61 00 00", "32 06 00 01 61 00 00 00", PROTOCOL_ERROR),
    "flags of PUBREL": ("60 02 00 01", "60 02 00 01", MALFORMED),
    "PUBACK that is cut short": ("40 01 00", "40 01 00", MALFORMED),
    "flags of SUBSCRIBE": ("80 06 00 01 00 01 61 00", "80 07 00 01 00 00 01 61 00", MALFORMED),
    "SUBSCRIBE without a filter": ("82 02 00 01", "82 03 00 01 00", PROTOCOL_ERROR),
    "SUBSCRIBE with packet id 0": ("82 06 00 00 00 01 61 00", "82 07 00 00 00 00 01 61 00", PROTOCOL_ERROR),
    "UNSUBSCRIBE without a filter": ("a2 02 00 01", "a2 03 00 01 00", PROTOCOL_ERROR),
    "flags of DISCONNECT": ("e1 00", "e1 00", MALFORMED),
    "a packet type that does not exist": ("00 00", "00 00", MALFORMED),
    "a length of five bytes": ("30 ff ff ff ff 01", "30 ff ff ff ff 01", MALFORMED),
}


@mqtt("MQTT-4.8.0-1", v3=True)
@pytest.mark.parametrize("what", WRONG)
def test_before_v5_a_violation_ends_the_connection_and_nothing_is_said(world: World, what: str) -> None:
    watcher = world.client("watcher").subscribes("will")
    client = world.client("c", version=4, will=WILL).sends_bytes(bytes.fromhex(WRONG[what][0]))
    assert not client.is_connected
    assert client.got == []
    assert watcher.payloads == [b"lost"]


@mqtt("MQTT-4.13.1-1", "MQTT-4.13.2-1")
@pytest.mark.parametrize("what", WRONG)
def test_in_v5_a_violation_ends_the_connection(world: World, what: str) -> None:
    # Whether it is malformed or a protocol error is not always said; the other test is strict for Telex.
    watcher = world.client("watcher").subscribes("will")
    client = world.client("c", will=WILL).sends_bytes(bytes.fromhex(WRONG[what][1]))
    assert ends(client, MALFORMED, PROTOCOL_ERROR, WRONG[what][2])
    assert client.got == [packet for packet in client.got if isinstance(packet, Disconnect)]
    assert watcher.payloads == [b"lost"]


@mqtt("MQTT-4.13.1-1", "MQTT-4.13.2-1")
@pytest.mark.parametrize("what", WRONG)
def test_and_telex_says_why(engine: World, what: str) -> None:
    client = engine.client("c").sends_bytes(bytes.fromhex(WRONG[what][1]))
    assert client.got == [Disconnect(WRONG[what][2])]
    assert len(client.reasons) == 1
    assert not client.is_connected


@mqtt("MQTT-2.1.3-1", "MQTT-4.13.1-1")
@mqtt("MQTT-2.2.2-2", "MQTT-4.8.0-1", v3=True)
@each_version
@pytest.mark.parametrize("data", ["41 02 00 01", "48 02 00 01", "52 02 00 01", "7f 02 00 01"])
def test_acknowledgements_too_must_have_their_flags(world: World, version: int, data: str) -> None:
    assert ends(world.client("c", version=version).sends_bytes(bytes.fromhex(data)), MALFORMED)


# What only the text of v5 knows
@mqtt("MQTT-4.13.1-1", "MQTT-4.13.2-1")
@pytest.mark.parametrize(
    ("data", "reason_code"),
    [
        pytest.param("30 07 00 01 61 03 23 00 00", ALIAS_INVALID, id="topic alias 0"),
        pytest.param("30 07 00 01 61 03 23 ff ff", ALIAS_INVALID, id="a topic alias above the maximum"),
        pytest.param("30 06 00 00 03 23 00 01", PROTOCOL_ERROR, id="a topic alias that nobody defined"),
        pytest.param("30 0a 00 01 61 06 23 00 01 23 00 01", PROTOCOL_ERROR, id="a property twice"),
        pytest.param("30 06 00 01 61 02 0b 01", PROTOCOL_ERROR, id="a subscription identifier in PUBLISH"),
        pytest.param("30 06 00 01 61 02 01 02", PROTOCOL_ERROR, id="payload format 2"),
        pytest.param("30 09 00 01 61 05 11 00 00 00 01", MALFORMED, id="a property of another packet"),
        pytest.param("30 06 00 01 61 02 7e 00", MALFORMED, id="a property that does not exist"),
        pytest.param("30 05 00 01 61 05 01", MALFORMED, id="properties that are cut short"),
        pytest.param("30 08 00 01 61 80 80 80 80 01", MALFORMED, id="a property length of five bytes"),
        pytest.param("40 03 00 01 01", MALFORMED, id="a reason code that PUBACK may not carry"),
        pytest.param("62 03 00 01 10", MALFORMED, id="a reason code that PUBREL may not carry"),
        pytest.param("82 07 00 01 00 00 01 61 03", PROTOCOL_ERROR, id="QoS 3 in SUBSCRIBE"),
        pytest.param("82 07 00 01 00 00 01 61 40", MALFORMED, id="a reserved bit in SUBSCRIBE"),
    ],
)
def test_errors_that_v5_names(engine: World, data: str, reason_code: int) -> None:
    client = engine.client("c").sends_bytes(bytes.fromhex(data))
    assert client.got == [Disconnect(reason_code)]
    assert not client.is_connected


@mqtt("MQTT-4.13.1-1", "MQTT-4.13.2-1")
@mqtt("MQTT-4.8.0-1", v3=True)
@each_version
def test_a_second_connect_ends_the_connection(world: World, version: int) -> None:
    client = world.client("c", version=version).sends(Connect("c", version=version))
    assert ends(client, PROTOCOL_ERROR)
    assert not any(isinstance(packet, ConnAck) for packet in client.got)


@mqtt("MQTT-4.13.1-1", "MQTT-4.13.2-1")
@mqtt("MQTT-4.8.0-1", v3=True)
@each_version
@pytest.mark.parametrize("packet", NOT_A_CLIENTS, ids=lambda packet: type(packet).__name__)
def test_a_client_may_not_send_what_only_servers_send(world: World, version: int, packet: Packet) -> None:
    client = world.client("c", version=version)
    if version == 4 and isinstance(packet, UnsubAck):
        packet = UnsubAck(1)
    assert ends(client.sends(packet), PROTOCOL_ERROR)


# Limits of the broker, and what v5 says of who crosses them


@mqtt("MQTT-4.13.1-1", "MQTT-4.13.2-1")
@pytest.mark.parametrize(
    ("limits", "packets", "reason_code"),
    [
        pytest.param({"maximum_packet_size": 100}, [Publish("a", b"x" * 100)], TOO_LARGE, id="size"),
        pytest.param({"maximum_qos": 1}, [Publish("a", b"x", qos=2, packet_id=1)], QOS_NOT_SUPPORTED, id="QoS"),
        pytest.param({"retain_available": False}, [Publish("a", b"x", retain=True)], NO_RETAIN, id="retain"),
        pytest.param(
            {"receive_maximum": 1},
            [Publish("a", qos=2, packet_id=1), Publish("a", qos=2, packet_id=2)],
            TOO_MANY,
            id="Receive Maximum",
        ),
        pytest.param(
            {"topic_alias_maximum": 1},
            [Publish("a", properties=Properties(topic_alias=2))],
            ALIAS_INVALID,
            id="topic alias",
        ),
    ],
)
def test_who_crosses_a_limit_is_told_which(
    make_world: MakeWorld, limits: dict[str, Any], packets: list[Packet], reason_code: int
) -> None:
    client = make_world(Options(**limits)).client("c").sends(*packets)
    assert not client.is_connected
    assert client.got[-1] == Disconnect(reason_code)


@mqtt("MQTT-4.13.2-1")
def test_who_is_silent_for_too_long_is_told_so(engine: World) -> None:
    client = engine.client("c", keep_alive=10)
    engine.advance(30)
    assert client.got == [Disconnect(KEEP_ALIVE_TIMEOUT)]
    assert not client.is_connected


# Codes of 0x80 and above


@mqtt("MQTT-4.13.2-1")
@pytest.mark.parametrize("reason_code", [0x80, 0x83, 0x87, 0x88, 0x89, 0x8A, 0x97, 0x9C, 0x9F])
def test_a_connack_of_0x80_or_above_is_the_end(make_world: MakeWorld, reason_code: int) -> None:
    client = make_world(gate=ClosedGate(reason_code)).knocks("c")
    assert client.got == [ConnAck(reason_code)]
    assert not client.is_connected


@mqtt("MQTT-4.13.2-1")
@pytest.mark.parametrize("reason_code", [0x80, 0x82, 0x93, 0x97])
def test_a_clients_disconnect_of_0x80_or_above_is_the_end(world: World, reason_code: int) -> None:
    client = world.client("c").sends(Disconnect(reason_code))
    assert not client.is_connected
    assert client.got == []


@mqtt("MQTT-4.13.2-1")
def test_the_connection_ends_also_where_nobody_reads_the_disconnect(engine: World) -> None:
    watcher = engine.client("watcher").subscribes("will")
    client = engine.client("c", will=WILL).freezes().sends(Connect("c"))
    assert watcher.payloads == [b"lost"]
    client.connection.receive(b"\xc0\x00", engine.now)  # what it sends from now on is not read
    assert client.thaws().got == [Disconnect(PROTOCOL_ERROR)]
    assert not client.is_connected


class Nothing(Permissions):
    """Allows nothing."""

    def may_publish(self, topic: str) -> bool:
        return False

    def may_subscribe(self, topic_filter: str) -> bool:
        return False


def test_other_packets_say_0x80_and_above_and_the_connection_stays(make_world: MakeWorld) -> None:
    # Section 4.13.2: what they refuse is the one thing that was asked for.
    client = make_world(gate=OneRule(Nothing())).client("c")
    client.sends(Publish("a", qos=1, packet_id=1), Publish("a", qos=2, packet_id=2))
    client.sends(Subscribe(3, [SubscriptionRequest("a")]), PubRel(4), PingReq())
    codes = [(type(packet).__name__, getattr(packet, "reason_code", None)) for packet in client.got]
    assert codes == [
        ("PubAck", NOT_AUTHORIZED),
        ("PubRec", NOT_AUTHORIZED),
        ("SubAck", None),
        ("PubComp", 0x92),
        ("PingResp", None),
    ]
    assert SubAck(3, [NOT_AUTHORIZED]) in client.got
    assert client.is_connected


def test_a_client_too_may_refuse_a_message_and_stay(world: World) -> None:  # section 4.13.2
    client = world.client("c", acknowledges=False).subscribes("a", qos=2)
    world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=2)
    one, two = client.messages
    client.sends(PubAck(one.packet_id, QUOTA_EXCEEDED), PubRec(two.packet_id, QUOTA_EXCEEDED), PingReq())
    assert client.got[2:] == [PingResp()]


# Trouble of the broker's own


@pytest.mark.usefixtures("engine")  # in memory only
@mqtt("MQTT-4.13.2-1")
@mqtt("MQTT-4.8.0-2", v3=True)
@each_version
def test_a_broker_that_has_no_room_for_answers_ends_the_connection(version: int) -> None:
    world = World(Options(max_outbox_bytes=1))
    watcher = world.client("watcher").subscribes("will")
    client = world.client("c", version=version, will=WILL).freezes()
    client.sends_bytes(bytes.fromhex("62 02 00 01") * 270_000)  # PUBREL, each of which has its PUBCOMP
    assert client.connection.is_closed
    assert watcher.payloads == [b"lost"]


# The others


@mqtt("MQTT-4.13.1-1")
@mqtt("MQTT-4.8.0-1", v3=True)
@edge("M2")
@each_version
def test_nobody_else_notices(world: World, version: int) -> None:
    good = world.client("good", version=version).subscribes("a", qos=1)
    for number, (old, new, _) in enumerate(WRONG.values()):
        bad = world.client(f"bad-{number}", version=version)
        bad.sends_bytes(bytes.fromhex(new if version == 5 else old))
        assert not bad.is_connected
    good.publishes("a", b"x", qos=1)
    assert good.payloads == [b"x"]


@mqtt("MQTT-4.13.1-1")
@mqtt("MQTT-4.8.0-1", v3=True)
@each_version
def test_the_session_of_who_broke_a_rule_goes_on(world: World, version: int) -> None:
    manners: dict[str, Any] = {"session_expiry": 60} if version == 5 else {"version": 4, "clean_start": False}
    client = world.client("c", **manners).subscribes("a", qos=1).sends_bytes(bytes.fromhex("e1 00"))
    assert ends(client, MALFORMED)
    world.client("pub").publishes("a", b"x", qos=1)
    again = client.returns()
    assert again.session_present
    assert again.payloads == [b"x"]
