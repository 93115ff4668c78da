"""The packet format: fixed header, packet ids and the place of properties (chapter 2)."""

import pytest

from telex.codes import MAX_PACKET_ID
from telex.wire.packets import (
    ConnAck,
    Disconnect,
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
from tests.conformance.marks import each_version, edge, mqtt
from tests.conformance.words import kept
from tests.engine.world import Client, Manners, World

PACKET_IDS = [1, 0x00FF, 0x0100, 0x1234, MAX_PACKET_ID]

BODIES = {  # packet type: what follows the first byte, by version; right but for the flags
    "PUBACK": (4, "02 0007", "02 0007"),
    "PUBREC": (5, "02 0007", "02 0007"),
    "PUBREL": (6, "02 0007", "02 0007"),
    "PUBCOMP": (7, "02 0007", "02 0007"),
    "SUBSCRIBE": (8, "06 0007 000161 00", "07 0007 00 000161 00"),
    "UNSUBSCRIBE": (10, "05 0007 000161", "06 0007 00 000161"),
    "PINGREQ": (12, "00", "00"),
    "DISCONNECT": (14, "00", "00"),
}
RIGHT_FLAGS = {"PUBREL": 2, "SUBSCRIBE": 2, "UNSUBSCRIBE": 2}


# Flags (section 2.1.3; v3 section 2.2.2)


@mqtt("MQTT-2.1.3-1")
@mqtt("MQTT-2.2.2-1", "MQTT-2.2.2-2", v3=True)
@pytest.mark.parametrize("name", BODIES)
@each_version
def test_wrong_flags_end_the_connection(world: World, version: int, name: str) -> None:
    packet_type, v3, v5 = BODIES[name]
    body = bytes.fromhex(v5 if version == 5 else v3)
    watcher = world.client("watcher").subscribes("w")
    for flags in set(range(16)) - {RIGHT_FLAGS.get(name, 0)}:
        client = world.client("c", version=version, will=Will("w", b"lost"))
        client.sends_bytes(bytes([packet_type << 4 | flags]) + body)
        assert not client.is_connected, f"flags {flags:04b}"
        assert client.got in ([], [Disconnect(0x81)])  # it SHOULD say so, section 4.13.1
        watcher.takes()


@mqtt("MQTT-2.1.3-1")
@mqtt("MQTT-2.2.2-1", "MQTT-2.2.2-2", v3=True)
@each_version
def test_a_connect_with_wrong_flags_is_turned_away(world: World, version: int) -> None:
    body = bytes.fromhex(
        "0e 00044d515454 05 02 0000 00 000163" if version == 5 else "0d 00044d515454 04 02 0000 000163"
    )
    for flags in range(1, 16):
        client = world.stranger(version=version).sends_bytes(bytes([0x10 | flags]) + body)
        assert not client.is_connected, f"flags {flags:04b}"
        assert client.connack is None or client.connack.reason_code == 0x81
    assert world.stranger(version=version).sends_bytes(b"\x10" + body).got[0].reason_code == 0


@mqtt("MQTT-2.1.3-1")
@mqtt("MQTT-2.2.2-2", v3=True)
@each_version
def test_the_right_flags_are_taken(world: World, version: int) -> None:
    client = world.client("c", version=version)
    for name, (packet_type, v3, v5) in BODIES.items():
        if name != "DISCONNECT":
            first = bytes([packet_type << 4 | RIGHT_FLAGS.get(name, 0)])
            client.sends_bytes(first + bytes.fromhex(v5 if version == 5 else v3))
            assert client.is_connected, name
    assert {PubComp, SubAck, UnsubAck} <= {type(packet) for packet in client.got}


@mqtt("MQTT-2.1.3-1")
@mqtt("MQTT-2.2.2-1", v3=True)
@each_version
def test_all_that_the_broker_sends_has_the_flags_of_the_table(world: World, version: int) -> None:
    # The decoder of these clients takes no others.
    client = world.client("c", version=version, acknowledges=False).subscribes("b").unsubscribes("b")
    client.subscribes("a", qos=2).subscribes("b", qos=1)
    client.sends(Publish("b", b"x", 1, packet_id=1), Publish("a", b"y", 2, packet_id=2), PubRel(2), PingReq())
    first, second = client.messages
    client.sends(PubRec(second.packet_id))
    assert {type(packet) for packet in client.got} == {PubAck, PubRec, PubComp, PubRel, Publish, PingResp}
    assert (first.qos, first.dup, first.retain) == (1, False, False)
    assert not client.sends_bytes(bytes.fromhex("8000")).is_connected  # a v5 broker says DISCONNECT, if it likes


@pytest.mark.parametrize(("version", "first"), [(4, 0x00), (4, 0xF0), (5, 0x00)])
def test_a_packet_type_that_is_forbidden_ends_the_connection(world: World, version: int, first: int) -> None:
    # section 2.1.2, v3 section 2.2.1
    client = world.client("c", version=version).sends_bytes(bytes([first, 0]))
    assert not client.is_connected


@pytest.mark.parametrize("first", [0x20, 0x90, 0xB0, 0xD0])
@each_version
def test_a_packet_type_that_only_a_server_sends_ends_the_connection(world: World, version: int, first: int) -> None:
    # section 2.1.2, table 2-1
    body = {0x20: "03 0000 00", 0x90: "04 0007 00 00", 0xB0: "04 0007 00 00", 0xD0: "00"}
    body_v3 = {0x20: "02 0000", 0x90: "03 0007 00", 0xB0: "02 0007", 0xD0: "00"}
    client = world.client("c", version=version)
    client.sends_bytes(bytes([first]) + bytes.fromhex((body if version == 5 else body_v3)[first]))
    assert not client.is_connected
    assert client.got in ([], [Disconnect(0x81)], [Disconnect(0x82)])


# Packet ids (section 2.2.1; v3 section 2.3.1)


@mqtt("MQTT-2.2.1-2")
@mqtt("MQTT-2.3.1-5", v3=True)
@each_version
def test_a_message_of_qos_0_comes_and_goes_without_a_packet_id(world: World, version: int) -> None:
    sub = world.client("sub", version=version).subscribes("a", qos=2)
    v3, v5 = "30 05 000161 0007", "30 06 000161 00 0007"
    world.client("pub", version=version).sends_bytes(bytes.fromhex(v5 if version == 5 else v3))
    assert sub.payloads == [b"\x00\x07"]  # the two bytes where a packet id would be
    assert sub.sizes[-1] == 7 + (version == 5)


@mqtt("MQTT-2.2.1-2")
@mqtt("MQTT-2.3.1-5", v3=True)
@each_version
def test_a_message_that_is_sent_on_at_qos_0_loses_its_packet_id(world: World, version: int) -> None:
    sub = world.client("sub", version=version).subscribes("a")
    pub = world.client("pub", version=version)
    for qos in (0, 1, 2):
        pub.publishes("a", b"xyz", qos)
    assert sub.got == [Publish("a", b"xyz")] * 3
    assert sub.sizes[-3:] == [8 + (version == 5)] * 3


@mqtt("MQTT-2.2.1-3")
@mqtt("MQTT-2.3.1-1", v3=True)
@pytest.mark.parametrize(
    ("v3", "v5"),
    [
        ("32 06 000161 0000 78", "32 07 000161 0000 00 78"),
        ("34 06 000161 0000 78", "34 07 000161 0000 00 78"),
        ("82 06 0000 000161 00", "82 07 0000 00 000161 00"),
        ("a2 05 0000 000161", "a2 06 0000 00 000161"),
    ],
    ids=["PUBLISH of QoS 1", "PUBLISH of QoS 2", "SUBSCRIBE", "UNSUBSCRIBE"],
)
@each_version
def test_a_packet_id_of_0_ends_the_connection(world: World, version: int, v3: str, v5: str) -> None:
    watcher = world.client("watcher").subscribes("a")
    client = world.client("c", version=version).sends_bytes(bytes.fromhex(v5 if version == 5 else v3))
    assert not client.is_connected
    assert client.got in ([], [Disconnect(0x81)], [Disconnect(0x82)])
    assert watcher.got == []


@mqtt("MQTT-2.2.1-4")
@mqtt("MQTT-2.3.1-1", "MQTT-2.3.1-4", v3=True)
@each_version
def test_each_message_in_flight_to_a_client_has_its_own_packet_id(world: World, version: int) -> None:
    sub = world.client("sub", version=version, acknowledges=False).subscribes("a", qos=2)
    pub = world.client("pub", version=version)
    for number in range(10):
        pub.publishes("a", b"%d" % number, qos=1 + number % 2)
    in_flight = {message.packet_id for message in sub.messages}
    assert len(in_flight) == 10
    assert 0 not in in_flight
    done, received = sub.messages[0].packet_id, sub.messages[1].packet_id
    sub.takes()
    sub.sends(PubAck(done), PubRec(received))  # QoS 1 is over, QoS 2 is not
    for number in range(10):
        pub.publishes("a", b"%d" % number, qos=1 + number % 2)
    new = {message.packet_id for message in sub.messages}
    assert len(new) == 10
    assert not new & (in_flight - {done})


@mqtt("MQTT-2.2.1-4")
@mqtt("MQTT-2.3.1-4", v3=True)
@each_version
def test_packet_ids_go_round_and_leave_out_the_one_that_is_in_use(engine: World, version: int) -> None:
    sub = engine.client("sub", version=version, acknowledges=False).subscribes("a", qos=1)
    pub = engine.client("pub", version=version)
    pub.publishes("a", b"held", qos=1)
    (held,) = [message.packet_id for message in sub.messages]
    seen: set[int] = set()
    for _ in range(70):
        sub.takes()
        pub.sends(*[Publish("a", b"x", 1, packet_id=number) for number in range(1, 1_000)])
        packet_ids = [message.packet_id for message in sub.messages]
        sub.sends(*[PubAck(packet_id) for packet_id in packet_ids])
        seen.update(packet_ids)
    assert seen == set(range(1, MAX_PACKET_ID + 1)) - {held}


@mqtt("MQTT-2.2.1-4")
@mqtt("MQTT-2.3.1-4", v3=True)
@pytest.mark.parametrize("qos", [1, 2])
@each_version
def test_a_message_that_is_sent_again_keeps_its_packet_id(world: World, version: int, qos: int) -> None:
    sub = kept(world, "sub", version, acknowledges=False).subscribes("a", qos=2)
    pub = world.client("pub", version=version)
    pub.publishes("a", b"1", qos).publishes("a", b"2", qos)
    first = [(message.payload, message.packet_id) for message in sub.messages]
    sub = sub.drops().returns()
    assert [(message.payload, message.packet_id) for message in sub.messages] == first
    assert all(message.dup for message in sub.messages)
    pub.publishes("a", b"3", qos)
    assert sub.messages[-1].packet_id not in {packet_id for _, packet_id in first}


@mqtt("MQTT-2.2.1-5")
@mqtt("MQTT-2.3.1-6", v3=True)
@pytest.mark.parametrize("packet_id", PACKET_IDS)
@each_version
def test_the_answers_to_a_publish_carry_its_packet_id(world: World, version: int, packet_id: int) -> None:
    world.client("sub", version=version).subscribes("a", qos=2)
    pub = world.client("pub", version=version)
    assert pub.sends(Publish("a", b"x", 1, packet_id=packet_id)).takes() == [PubAck(packet_id)]
    assert pub.sends(Publish("a", b"x", 2, packet_id=packet_id)).takes() == [PubRec(packet_id)]
    assert pub.sends(PubRel(packet_id)).takes() == [PubComp(packet_id)]


@mqtt("MQTT-2.2.1-5")
@mqtt("MQTT-2.3.1-6", v3=True)
@each_version
def test_pubrel_carries_the_packet_id_of_the_publish(world: World, version: int) -> None:
    sub = world.client("sub", version=version, acknowledges=False).subscribes("a", qos=2)
    world.client("pub", version=version).publishes("a", b"1", qos=2).publishes("a", b"2", qos=2)
    first, second = (message.packet_id for message in sub.messages)
    sub.takes()
    assert sub.sends(PubRec(second)).takes() == [PubRel(second)]
    assert sub.sends(PubRec(first)).takes() == [PubRel(first)]


@mqtt("MQTT-2.2.1-6")
@mqtt("MQTT-2.3.1-7", v3=True)
@pytest.mark.parametrize("packet_id", PACKET_IDS)
@each_version
def test_suback_and_unsuback_carry_the_packet_id_that_they_answer(world: World, version: int, packet_id: int) -> None:
    client = world.client("c", version=version)
    assert client.sends(Subscribe(packet_id, [SubscriptionRequest("a", 0)])).takes() == [SubAck(packet_id, [0])]
    codes = [0] if version == 5 else []
    assert client.sends(Unsubscribe(packet_id, ["a"])).takes() == [UnsubAck(packet_id, codes)]


# Properties (section 2.2.2)


@mqtt("MQTT-2.2.2-1")
def test_where_the_broker_has_no_properties_to_say_it_says_so_by_one_byte(world: World) -> None:
    client = world.client("c")
    client.sends(Subscribe(7, [SubscriptionRequest("a", 0)]))
    client.sends(Publish("a", b"xyz"))
    client.sends(Unsubscribe(8, ["a"]))
    assert client.got == [SubAck(7, [0]), Publish("a", b"xyz"), UnsubAck(8, [0])]
    assert client.sizes[-3:] == [2 + 2 + 1 + 1, 2 + 3 + 1 + 3, 2 + 2 + 1 + 1]


@mqtt("MQTT-2.2.2-1")
@pytest.mark.parametrize(
    "data",
    ["30 03 000161", "82 06 0007 000161 01", "a2 05 0007 000161"],
    ids=["PUBLISH", "SUBSCRIBE", "UNSUBSCRIBE"],
)
def test_a_packet_without_a_property_length_ends_the_connection(world: World, data: str) -> None:
    watcher = world.client("watcher").subscribes("#")
    client = world.client("c").sends_bytes(bytes.fromhex(data))
    assert not client.is_connected
    assert client.got in ([], [Disconnect(0x81)], [Disconnect(0x82)])
    assert watcher.got == []


@mqtt("MQTT-2.2.2-1")
def test_a_connect_without_a_property_length_is_turned_away(world: World) -> None:
    # "c" is the client id; read as properties, its length would be none.
    client = world.stranger().sends_bytes(bytes.fromhex("10 0d 00044d515454 05 02 0000 000163"))
    assert not client.is_connected
    assert client.connack is None or client.connack.reason_code in (0x81, 0x82)


# However the bytes come


def conversation(version: int) -> bytes:
    """CONNECT, a subscription to "a" at QoS 2 and a message of each QoS."""
    nothing = b"\x00" if version == 5 else b""
    packets = [
        (0x10, b"\x00\x04MQTT" + bytes([version, 0x02, 0, 0]) + nothing + b"\x00\x04talk"),
        (0x82, b"\x00\x07" + nothing + b"\x00\x01a\x02"),
        (0x30, b"\x00\x01a" + nothing + b"0"),
        (0x32, b"\x00\x01a\x00\x01" + nothing + b"1"),
        (0x34, b"\x00\x01a\x00\x02" + nothing + b"2" * 300),
        (0x62, b"\x00\x02"),
    ]
    return b"".join(
        bytes([first])
        + (bytes([len(body)]) if len(body) < 128 else bytes([len(body) & 127 | 128, len(body) >> 7]))
        + body
        for first, body in packets
    )


def heard(client: Client) -> list[object]:
    """All that came, in an order that is always the same; packet ids of messages are the broker's choice."""
    return [
        *[packet for packet in client.got if not isinstance(packet, Publish | PubRel | ConnAck)],
        *[(message.payload, message.qos) for message in client.messages],
    ]


@edge("M3")
@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
@each_version
def test_packets_are_read_alike_however_they_are_cut_or_joined(world: World, version: int, size: int) -> None:
    data = conversation(version)
    client = world.new_client("talk", Manners(version=version, acknowledges=False))  # it would break into its own word
    for start in range(0, len(data), size):
        client.sends_bytes(data[start : start + size])
    assert heard(client) == [
        SubAck(7, [2]),
        PubAck(1),
        PubRec(2),
        PubComp(2),
        (b"0", 0),
        (b"1", 1),
        (b"2" * 300, 2),
    ]


@edge("M3")
@pytest.mark.parametrize("size", [256 * 1024, 1_500_000])
@pytest.mark.parametrize("qos", [0, 1, 2])
@each_version
def test_large_payloads_pass(world: World, version: int, qos: int, size: int) -> None:
    payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
    client = world.client("c", version=version).subscribes("a", qos=2).publishes("a", payload, qos)
    assert client.payloads == [payload]
