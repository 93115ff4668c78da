"""DISCONNECT: its bytes, what a client ends with it, and what a broker says (section 3.14)."""

import pytest

from telex.engine.permissions import EVERYTHING
from telex.engine.seams import Client as Knocker
from telex.engine.seams import Gate
from telex.engine.visit import Visit
from telex.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PubAck,
    Publish,
    Subscribe,
    SubscriptionRequest,
    Unsubscribe,
    Will,
)
from telex.wire.properties import Properties
from tests.conformance.conftest import MakeWorld
from tests.conformance.marks import each_version, edge, mqtt
from tests.conformance.words import ends
from tests.engine.world import ClosedGate, World

MALFORMED = 0x81
PROTOCOL_ERROR = 0x82
NOT_AUTHORIZED = 0x87
TAKEN_OVER = 0x8E
USE_ANOTHER_SERVER = 0x9C

MALFORMED_SUBSCRIBE = bytes.fromhex("82 07 00 01 00 00 01 61 40")  # a reserved bit among its options

WILL = Will("will", b"lost", qos=1)


# Not before CONNACK


@mqtt("MQTT-3.14.0-1")
@pytest.mark.parametrize(
    "packet",
    [Subscribe(1, [SubscriptionRequest("a")]), Publish("a", b"x"), PingReq(), PubAck(1), Disconnect()],
    ids=lambda packet: type(packet).__name__,
)
def test_who_never_said_connect_gets_no_disconnect(world: World, packet: Packet) -> None:
    stranger = world.stranger().sends(packet)
    assert not stranger.is_connected
    assert stranger.got == []


@mqtt("MQTT-3.14.0-1")
@pytest.mark.parametrize(
    "data",
    [
        pytest.param("10 0e 00 04 4d 51 54 54 05 03 00 3c 00 00 01 63", id="reserved flag"),
        pytest.param("10 0e 00 04 4d 51 54 54 05 02 00 3c 00 00 01 ff", id="client id that is no UTF-8"),
        pytest.param("10 11 00 04 4d 51 54 54 05 02 00 3c 03 21 00 00 00 01 63", id="Receive Maximum 0"),
    ],
)
def test_a_connect_that_is_wrong_gets_a_connack_or_nothing(world: World, data: str) -> None:
    stranger = world.stranger().sends_bytes(bytes.fromhex(data))
    assert not stranger.is_connected
    assert not any(isinstance(packet, Disconnect) for packet in stranger.got)


@mqtt("MQTT-3.14.0-1")
def test_a_client_that_is_refused_gets_no_disconnect(make_world: MakeWorld) -> None:
    client = make_world(gate=ClosedGate(NOT_AUTHORIZED)).knocks("c")
    assert not client.is_connected
    assert client.got == [ConnAck(NOT_AUTHORIZED)]


@mqtt("MQTT-3.14.0-1")
def test_who_is_silent_is_sent_away_without_a_word(engine: World) -> None:
    stranger = engine.stranger()
    engine.advance(60)
    assert not stranger.is_connected
    assert stranger.got == []


class SlammedGate(Gate):
    """Ends each connection while it is asked about it."""

    def login(self, client: Knocker, packet: Connect, visit: Visit, now: float) -> None:
        client.disconnect(USE_ANOTHER_SERVER, "go away", now)


@mqtt("MQTT-3.14.0-1")
def test_a_client_that_is_not_in_yet_gets_no_disconnect(make_world: MakeWorld) -> None:
    client = make_world(gate=SlammedGate()).knocks("c")
    assert not client.is_connected
    assert client.got == [ConnAck(USE_ANOTHER_SERVER)]


# Its bytes


@mqtt("MQTT-3.14.1-1")
@mqtt("MQTT-3.14.1-1", v3=True)
@each_version
@pytest.mark.parametrize("data", ["e1 00", "e2 00", "e4 00", "e8 00", "ef 00"])
def test_flags_of_disconnect_that_are_not_zero_are_malformed(world: World, version: int, data: str) -> None:
    watcher = world.client("watcher").subscribes("will")
    client = world.client("c", version=version, will=WILL).sends_bytes(bytes.fromhex(data))
    assert ends(client, MALFORMED)
    assert watcher.payloads == [b"lost"]  # it was no DISCONNECT, and the will is published


@mqtt("MQTT-3.14.4-3")
@pytest.mark.parametrize("data", ["e0 00", "e0 01 00", "e0 02 00 00"])
def test_a_reason_code_of_zero_may_be_left_out(world: World, data: str) -> None:
    # Section 3.14.2.1: what is left out is 0x00, normal disconnection.
    watcher = world.client("watcher").subscribes("will")
    client = world.client("c", will=WILL).sends_bytes(bytes.fromhex(data))
    assert not client.is_connected
    assert client.got == []
    assert watcher.got == []


@pytest.mark.parametrize("data", ["e0 01 04", "e0 02 04 00"])
def test_properties_may_be_left_out(world: World, data: str) -> None:  # section 3.14.2.2.1
    watcher = world.client("watcher").subscribes("will")
    client = world.client("c", will=WILL).sends_bytes(bytes.fromhex(data))
    assert not client.is_connected
    assert client.got == []
    assert watcher.payloads == [b"lost"]


# Section 2.4: other codes than those of the table are reserved.
@mqtt("MQTT-4.13.1-1")
@pytest.mark.parametrize("data", ["e0 01 01", "e0 01 07", "e0 01 18", "e0 01 7f", "e0 01 ff"])
def test_a_reason_code_that_disconnect_may_not_carry_is_an_error(world: World, data: str) -> None:
    watcher = world.client("watcher").subscribes("will")
    client = world.client("c", will=WILL).sends_bytes(bytes.fromhex(data))
    assert ends(client, MALFORMED, PROTOCOL_ERROR)
    assert watcher.payloads == [b"lost"]


def test_and_telex_says_so(engine: World) -> None:
    client = engine.client("c").sends_bytes(bytes.fromhex("e0 01 07"))
    assert client.got == [Disconnect(MALFORMED)]


@mqtt("MQTT-4.13.1-1")
@pytest.mark.parametrize(
    ("data", "reason_code"),
    [
        pytest.param("e0 03 00 00 00", MALFORMED, id="more than there should be"),
        pytest.param("e0 05 00 05 11 00 00", MALFORMED, id="less than there should be"),
        pytest.param("e0 04 00 02 01 00", MALFORMED, id="a property of PUBLISH"),
        pytest.param("e0 0c 00 0a 11 00 00 00 01 11 00 00 00 01", PROTOCOL_ERROR, id="an expiry said twice"),
    ],
)
def test_a_disconnect_that_is_wrong_is_none(world: World, data: str, reason_code: int) -> None:
    watcher = world.client("watcher").subscribes("will")
    client = world.client("c", session_expiry=60, will=WILL).sends_bytes(bytes.fromhex(data))
    assert ends(client, reason_code)
    assert watcher.payloads == [b"lost"]


# v3 section 3.14: it has neither a variable header nor a payload.
@mqtt("MQTT-4.8.0-1", v3=True)
@pytest.mark.parametrize("data", ["e0 01 00", "e0 02 00 00"])
def test_before_v5_it_is_two_bytes(world: World, data: str) -> None:
    client = world.client("c", version=4).sends_bytes(bytes.fromhex(data))
    assert not client.is_connected
    assert client.got == []


# What a client ends with it


@mqtt("MQTT-3.14.4-3")
@mqtt("MQTT-3.14.4-3", v3=True)
@each_version
def test_a_will_is_dropped_unpublished(world: World, version: int) -> None:
    watcher = world.client("watcher").subscribes("will")
    world.client("c", version=version, will=Will("will", b"lost", retain=True)).disconnects()
    assert watcher.got == []
    assert world.client("late").subscribes("will").got == []


@mqtt("MQTT-3.14.4-3")
def test_a_will_that_would_be_delayed_is_dropped_for_good(engine: World) -> None:
    watcher = engine.client("watcher").subscribes("will")
    will = Will("will", b"lost", properties=Properties(will_delay_interval=10))
    engine.client("c", session_expiry=60, will=will).disconnects()
    engine.advance(100)
    assert watcher.got == []


@mqtt("MQTT-3.14.4-3")
@mqtt("MQTT-3.14.4-3", v3=True)
@each_version
def test_the_will_of_the_next_connection_is_another(world: World, version: int) -> None:
    watcher = world.client("watcher").subscribes("will/+")
    first = world.client("c", version=version, clean_start=False, will=Will("will/1", b"x")).disconnects()
    second = first.returns(will=Will("will/2", b"x"))
    assert watcher.topics == []
    second.drops()
    assert watcher.topics == ["will/2"]


@mqtt("MQTT-3.1.2-8")
@edge("W1")
def test_a_client_may_leave_and_have_its_will_published(world: World) -> None:
    watcher = world.client("watcher").subscribes("will")
    client = world.client("c", will=WILL).sends(Disconnect(0x04))
    assert not client.is_connected
    assert client.got == []
    assert watcher.payloads == [b"lost"]


@mqtt("MQTT-3.1.2-8")
@edge("W1")
@pytest.mark.parametrize("reason_code", [0x80, 0x81, 0x83, 0x98])
def test_a_client_that_leaves_for_an_error_has_its_will_published(world: World, reason_code: int) -> None:
    watcher = world.client("watcher").subscribes("will")
    client = world.client("c", will=WILL).sends(Disconnect(reason_code))
    assert not client.is_connected
    assert client.got == []
    assert watcher.payloads == [b"lost"]


@each_version
def test_what_comes_behind_it_is_not_read(world: World, version: int) -> None:
    # v3 [MQTT-3.14.4-2] forbids the client to send it.
    other = world.client("other").subscribes("a")
    client = world.client("c", version=version).sends(Disconnect(), Publish("a", b"x"), PingReq())
    assert client.got == []
    assert not client.is_connected  # section 3.14.4: the server should close, if the client has not
    assert other.got == []


def test_it_may_shorten_a_session_to_nothing(world: World) -> None:  # section 3.14.2.2.2
    client = world.client("c", session_expiry=60).subscribes("a", qos=1).disconnects(session_expiry=0)
    world.client("pub").publishes("a", b"x", qos=1)
    again = client.returns()
    assert not again.session_present
    assert again.got == []


@pytest.mark.parametrize(("expiry", "is_there"), [(5, False), (100, True), (0xFFFFFFFF, True)])
def test_it_may_change_how_long_a_session_lasts(engine: World, expiry: int, is_there: bool) -> None:
    # Section 3.14.2.2.2
    client = engine.client("c", session_expiry=10).disconnects(session_expiry=expiry)
    engine.advance(50)
    assert client.returns().session_present is is_there


@pytest.mark.parametrize("expiry", [1, 60, 0xFFFFFFFF])
def test_it_may_not_keep_a_session_that_was_not_kept(world: World, expiry: int) -> None:
    # Section 3.14.2.2.2 names the code, with which the server SHOULD answer.
    watcher = world.client("watcher").subscribes("will")
    client = world.client("c", will=WILL)
    client.sends(Disconnect(0, Properties(session_expiry_interval=expiry)))
    assert ends(client, PROTOCOL_ERROR)
    assert watcher.payloads == [b"lost"]
    assert not world.client("c", clean_start=False).session_present


# What a broker says


@mqtt("MQTT-3.14.2-2", "MQTT-3.14.4-2")
@pytest.mark.parametrize("session_expiry", [None, 60, 0xFFFFFFFF])
def test_a_brokers_disconnect_has_no_session_expiry(world: World, session_expiry: int | None) -> None:
    client = world.client("c", session_expiry=session_expiry).sends_bytes(MALFORMED_SUBSCRIBE)
    assert not client.is_connected
    assert client.got == [Disconnect(MALFORMED)]


@mqtt("MQTT-3.14.2-2")
@mqtt("MQTT-3.1.4-3")
@edge("T1")
@pytest.mark.parametrize("session_expiry", [None, 60])
def test_nor_has_that_of_a_client_that_is_taken_over(world: World, session_expiry: int | None) -> None:
    old = world.client("c", session_expiry=session_expiry)
    world.client("c", session_expiry=session_expiry, clean_start=False)
    assert not old.is_connected
    assert old.got == [Disconnect(TAKEN_OVER)]


@mqtt("MQTT-3.14.2-3", "MQTT-3.14.2-4")
def test_a_disconnect_fits_a_client_that_takes_small_packets_only(world: World) -> None:
    # 30 bytes, or CONNACK would not fit; the client checks the size of whatever comes.
    client = world.client("c", maximum_packet_size=30).sends_bytes(MALFORMED_SUBSCRIBE)
    assert not client.is_connected
    assert client.got == [Disconnect(MALFORMED)]
    assert client.sizes[-1] <= 30


@mqtt("MQTT-3.14.2-3", "MQTT-3.14.2-4")
def test_there_are_words_for_those_who_take_them(engine: World) -> None:
    small, large = engine.client("c", maximum_packet_size=30), engine.client("d", maximum_packet_size=1_000)
    for client in (small, large):
        client.sends(Connect())
        assert client.got == [Disconnect(PROTOCOL_ERROR)]
    assert small.reasons == []
    assert large.reasons == ["a second CONNECT on one connection [MQTT-3.1.0-2]"]


@mqtt("MQTT-3.14.4-1", "MQTT-3.14.4-2")
@mqtt("MQTT-4.8.0-1", v3=True)
@each_version
def test_nothing_comes_behind_it(world: World, version: int) -> None:
    other = world.client("other").subscribes("a")
    client = world.client("c", version=version).subscribes("a")
    # PUBLISH with QoS 3, and then what would be answered.
    client.sends_bytes(
        bytes.fromhex("36 06 00 01 61 00 01 00")
        + bytes.fromhex("c0 00")
        + bytes.fromhex("30 04 00 01 61 00")
        + bytes.fromhex("a2 06 00 07 00 00 01 61" if version == 5 else "a2 05 00 07 00 01 61")
    )
    assert ends(client, MALFORMED)
    assert client.got in ([], [Disconnect(MALFORMED)])
    assert other.got == []


@mqtt("MQTT-3.14.4-1", "MQTT-3.14.4-2")
def test_no_message_comes_behind_it(world: World) -> None:
    old = world.client("c", session_expiry=60).subscribes("a", qos=1)
    new = old.returns()
    world.client("pub").publishes("a", b"x", qos=1)
    assert ends(old, TAKEN_OVER)
    assert old.messages == []
    assert new.payloads == [b"x"]


@mqtt("MQTT-3.14.4-1")
def test_what_waited_in_front_of_it_comes_in_front_of_it(engine: World) -> None:
    client = engine.client("c").subscribes("a").freezes()
    engine.client("pub").publishes("a", b"x")
    client.sends(Unsubscribe(7, ["b"]), Connect())
    assert [type(packet).__name__ for packet in client.thaws().got] == ["Publish", "UnsubAck", "Disconnect"]
    assert not client.is_connected


class ElsewhereGate(Gate):
    """Lets everybody in, and sends them on at once."""

    def login(self, client: Knocker, packet: Connect, visit: Visit, now: float) -> None:
        client.admit(EVERYTHING, now)
        client.disconnect(USE_ANOTHER_SERVER, "go on", now, "broker.test:1883")


@mqtt("MQTT-3.14.4-2", "MQTT-4.13.2-1")
def test_it_may_say_where_else_to_go(make_world: MakeWorld) -> None:  # sections 3.14.2.2.5 and 4.11
    client = make_world(gate=ElsewhereGate()).knocks("c")
    assert not client.is_connected
    assert client.got[1:] == [Disconnect(USE_ANOTHER_SERVER, Properties(server_reference="broker.test:1883"))]


@mqtt("MQTT-4.8.0-1", v3=True)
def test_before_v5_a_broker_says_nothing(make_world: MakeWorld) -> None:
    client = make_world(gate=ElsewhereGate()).knocks("c", version=4)
    assert not client.is_connected
    assert client.got == [ConnAck(0)]
