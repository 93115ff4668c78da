"""The will of a CONNECT (sections 3.1.2.5 to 3.1.2.7, 3.1.3.2 to 3.1.3.4)."""

import socket
import struct
import time

import pytest

from telex.engine.options import Options
from telex.engine.permissions import Permissions
from telex.wire.packets import (
    ConnAck,
    Publish,
    Will,
)
from telex.wire.properties import Properties
from tests.conformance.conftest import MakeWorld
from tests.conformance.connects import (
    CLEAN,
    ID,
    WILL,
    WILL_RETAIN,
    Refusing,
    assert_turned_away,
    connect,
    watching,
    will_fields,
)
from tests.conformance.marks import each_version, edge, mqtt
from tests.conformance.sockets import SECONDS, SocketClient
from tests.conformance.words import kept
from tests.engine.world import Client, OneRule, World


def waiting(delay: int, payload: bytes = b"lost", **properties: object) -> Will:
    """A will that waits so many seconds."""
    return Will("w", payload, properties=Properties(will_delay_interval=delay, **properties))  # type: ignore[arg-type]


class Only(Permissions):
    """Publishing is allowed to one topic."""

    def __init__(self, topic: str) -> None:
        super().__init__()
        self.topic = topic

    def may_publish(self, topic: str) -> bool:
        return topic == self.topic


# The will


@edge("W1")
@mqtt("MQTT-3.1.2-7", "MQTT-3.1.2-8")
@mqtt("MQTT-3.1.2-8", v3=True)
@each_version
def test_the_will_is_published_when_the_connection_is_lost(world: World, version: int) -> None:
    watcher = watching(world)
    client = world.client("c", version=version, will=Will("w", b"lost"))
    assert watcher.got == []
    client.drops()
    assert watcher.got == [Publish("w", b"lost")]


@edge("W1")
@mqtt("MQTT-3.1.2-8")
@mqtt("MQTT-3.1.2-8", v3=True)
@each_version
def test_the_will_is_published_when_the_connection_is_reset(world: World, version: int) -> None:
    watcher = watching(world)
    resets(world.client("c", version=version, will=Will("w", b"lost")))
    deadline = time.monotonic() + SECONDS
    while not watcher.payloads and time.monotonic() < deadline:
        world.flush()
    assert watcher.payloads == [b"lost"]


def resets(client: Client) -> None:
    """Lose the connection by an RST, where there is a socket to do so."""
    if isinstance(client, SocketClient):
        client._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.hangs_up()
    else:
        client.drops()


@edge("W1")
@mqtt("MQTT-3.1.2-8", "MQTT-3.1.2-22")
@mqtt("MQTT-3.1.2-8", "MQTT-3.1.2-24", v3=True)
@each_version
def test_the_will_of_a_client_that_fell_silent_is_published(engine: World, version: int) -> None:
    watcher = watching(engine)
    client = engine.client("c", version=version, keep_alive=10, will=Will("w", b"lost"))
    engine.advance(14)
    assert watcher.got == []
    engine.advance(2)
    assert watcher.payloads == [b"lost"]
    assert not client.is_connected


@edge("W1")
@mqtt("MQTT-3.1.2-8")
@mqtt("MQTT-3.1.2-8", v3=True)
@each_version
def test_the_will_of_a_client_that_broke_a_rule_is_published(world: World, version: int) -> None:
    watcher = watching(world)
    client = world.client("c", version=version, will=Will("w", b"lost"))
    assert not client.sends_bytes(bytes.fromhex("8000")).is_connected
    assert watcher.payloads == [b"lost"]


@edge("W1")
@mqtt("MQTT-3.1.2-8")
def test_a_disconnect_with_will_publishes_the_will(world: World) -> None:
    watcher = watching(world)
    world.client("c", will=Will("w", b"lost")).disconnects(0x04)
    assert watcher.payloads == [b"lost"]


@mqtt("MQTT-3.1.2-8")
@pytest.mark.parametrize("reason_code", [0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99])
def test_a_disconnect_with_an_error_publishes_the_will(world: World, reason_code: int) -> None:
    watcher = watching(world)
    world.client("c", will=Will("w", b"lost")).disconnects(reason_code)
    assert watcher.payloads == [b"lost"]


@edge("W1")
@mqtt("MQTT-3.1.2-8", "MQTT-3.1.2-10")
@mqtt("MQTT-3.1.2-8", "MQTT-3.1.2-10", v3=True)
@pytest.mark.parametrize("is_kept", [False, True])
@each_version
def test_a_normal_disconnect_withdraws_the_will(world: World, version: int, is_kept: bool) -> None:
    watcher = watching(world)
    come = kept if is_kept else lambda world, name, version, **said: world.client(name, version=version, **said)
    come(world, "c", version, will=Will("w", b"lost")).disconnects()
    kept(world, "c", version).drops()  # nor later
    world.client("c", version=version).drops()
    assert watcher.got == []


@edge("W1")
@mqtt("MQTT-3.1.2-10")
def test_a_normal_disconnect_withdraws_a_will_that_would_wait(engine: World) -> None:
    watcher = watching(engine)
    engine.client("c", session_expiry=100, will=waiting(5)).disconnects()
    engine.advance(1_000)
    assert watcher.got == []


@mqtt("MQTT-3.1.2-10")
@mqtt("MQTT-3.1.2-10", v3=True)
@each_version
def test_the_will_is_published_once(world: World, version: int) -> None:
    watcher = watching(world)
    client = kept(world, "c", version, will=Will("w", b"lost")).drops()
    assert watcher.payloads == [b"lost"]
    client.returns(will=None).drops().returns(will=None).drops()
    world.client("c", version=version).drops()
    assert watcher.payloads == [b"lost"]


@mqtt("MQTT-3.1.2-7")
@mqtt("MQTT-3.1.2-8", "MQTT-3.1.2-10", v3=True)
@each_version
def test_each_connection_has_its_own_will(world: World, version: int) -> None:
    watcher = watching(world)
    client = kept(world, "c", version, will=Will("w", b"1")).disconnects()
    client = client.returns(will=Will("w", b"2")).drops()
    client.returns(will=Will("w", b"3")).disconnects()
    assert watcher.payloads == [b"2"]


@mqtt("MQTT-3.1.2-12", v3=True)
@each_version
def test_a_client_without_a_will_leaves_nothing(world: World, version: int) -> None:
    watcher = world.client("watcher").subscribes("#")
    world.client("c", version=version).drops()
    kept(world, "d", version).drops()
    assert watcher.got == []


@mqtt("MQTT-3.1.2-8", v3=True)
@each_version
def test_the_will_of_a_client_that_was_refused_is_not_published(make_world: MakeWorld, version: int) -> None:
    world = make_world(gate=Refusing("c"))
    watcher = watching(world)
    client = world.knocks("c", version=version, will=Will("w", b"lost"))
    assert not client.is_connected
    assert watcher.got == []


# What the will is


@mqtt("MQTT-3.1.2-9")
@mqtt("MQTT-3.1.2-9", v3=True)
@pytest.mark.parametrize("missing", range(1, 7))
@each_version
def test_a_will_that_is_not_there_whole_is_malformed(world: World, version: int, missing: int) -> None:
    payload = (ID + will_fields(version, b"w", b"x"))[:-missing]
    assert_turned_away(world.stranger(version=version).sends_bytes(connect(version, CLEAN | WILL, payload)))


@mqtt("MQTT-3.1.2-9")
@mqtt("MQTT-3.1.2-9", v3=True)
@each_version
def test_a_will_may_be_empty(world: World, version: int) -> None:  # section 3.1.3.4
    watcher = watching(world)
    data = connect(version, CLEAN | WILL | 0x08, ID, will_fields(version, b"w", b""))
    client = world.stranger(version=version).sends_bytes(data)
    assert client.is_connected
    client.drops()
    assert [(message.payload, message.qos) for message in watcher.messages] == [(b"", 1)]


@mqtt("MQTT-3.1.2-11", "MQTT-3.1.2-13")
@mqtt("MQTT-3.1.2-11", "MQTT-3.1.2-13", "MQTT-3.1.2-15", v3=True)
@pytest.mark.parametrize("flags", [0x08, 0x10, 0x18, WILL_RETAIN, WILL_RETAIN | 0x08])
@each_version
def test_will_qos_or_will_retain_without_a_will_is_malformed(world: World, version: int, flags: int) -> None:
    assert_turned_away(world.stranger(version=version).sends_bytes(connect(version, CLEAN | flags, ID)))


@mqtt("MQTT-3.1.2-11", v3=True)
@mqtt("MQTT-3.1.4-1")
@each_version
def test_a_will_without_its_flag_is_malformed(world: World, version: int) -> None:
    data = connect(version, CLEAN, ID, will_fields(version))
    assert_turned_away(world.stranger(version=version).sends_bytes(data))


@mqtt("MQTT-3.1.2-12")
@mqtt("MQTT-3.1.2-9", "MQTT-3.1.2-14", v3=True)
@pytest.mark.parametrize("qos", [0, 1, 2])
@each_version
def test_the_will_has_the_qos_that_was_asked_for(world: World, version: int, qos: int) -> None:
    watcher = watching(world)
    world.client("c", version=version, will=Will("w", b"lost", qos=qos)).drops()
    assert [message.qos for message in watcher.messages] == [qos]


@mqtt("MQTT-3.1.2-12")
@mqtt("MQTT-3.1.2-14", v3=True)
@each_version
def test_a_will_of_qos_3_is_malformed(world: World, version: int) -> None:
    data = connect(version, CLEAN | WILL | 0x18, ID, will_fields(version))
    assert_turned_away(world.stranger(version=version).sends_bytes(data))


@mqtt("MQTT-3.1.2-14")
@mqtt("MQTT-3.1.2-16", v3=True)
@each_version
def test_a_will_is_not_retained_unless_it_says_so(world: World, version: int) -> None:
    watcher = watching(world)
    world.client("c", version=version, will=Will("w", b"lost")).drops()
    assert [message.retain for message in watcher.messages] == [False]
    assert world.client("late", version=version).subscribes("w").got == []


@mqtt("MQTT-3.1.2-15")
@mqtt("MQTT-3.1.2-9", "MQTT-3.1.2-17", v3=True)
@each_version
def test_a_will_may_be_retained(world: World, version: int) -> None:
    watcher = watching(world)
    world.client("c", version=version, will=Will("w", b"lost", retain=True)).drops()
    assert watcher.payloads == [b"lost"]
    assert world.client("late", version=version).subscribes("w").got == [Publish("w", b"lost", retain=True)]


def test_the_will_keeps_its_properties_and_their_order(world: World) -> None:  # MQTT-3.1.3-10, section 3.1.3.2
    said = Properties(
        payload_format_indicator=1,
        content_type="text/plain",
        response_topic="r",
        correlation_data=b"\x00",
        user_properties=(("b", "1"), ("a", "2"), ("b", "0")),
    )
    watcher = watching(world)
    world.client("c", will=Will("w", b"lost", properties=said)).drops()
    assert watcher.got == [Publish("w", b"lost", properties=said)]


# Will Delay Interval


@edge("W2")
@mqtt("MQTT-3.1.2-8")
def test_a_will_waits_as_long_as_it_was_told(engine: World) -> None:
    watcher = watching(engine)
    engine.client("c", session_expiry=100, will=waiting(10)).drops()
    engine.advance(9)
    assert watcher.got == []
    engine.advance(2)
    assert watcher.got == [Publish("w", b"lost")]  # without its delay, which is the broker's business
    engine.advance(1_000)
    assert watcher.payloads == [b"lost"]


@edge("W2")
@mqtt("MQTT-3.1.3-9", "MQTT-3.1.2-8")
def test_who_is_back_in_time_has_no_will_published(engine: World) -> None:
    watcher = watching(engine)
    client = engine.client("c", session_expiry=100, will=waiting(10)).drops()
    engine.advance(9)
    client.returns(will=None)
    engine.advance(1_000)
    assert watcher.got == []


@edge("W2")
@mqtt("MQTT-3.1.3-9")
def test_who_is_back_at_once_has_no_will_published(world: World) -> None:
    watcher = watching(world)
    client = world.client("c", session_expiry=100, will=waiting(60)).drops()
    client = client.returns(will=None)
    client.disconnects()
    world.client("c").disconnects()  # the session ends, and has no will any more
    assert watcher.got == []


@edge("W2")
@mqtt("MQTT-3.1.3-9")
def test_a_delayed_will_makes_way_for_that_of_the_next_connection(engine: World) -> None:
    watcher = watching(engine)
    client = engine.client("c", session_expiry=100, will=waiting(10, b"old")).drops()
    engine.advance(5)
    client.returns(will=waiting(10, b"new")).drops()
    engine.advance(9)
    assert watcher.got == []
    engine.advance(2)
    assert watcher.payloads == [b"new"]


@edge("W2")
@mqtt("MQTT-3.1.2-8")
@pytest.mark.parametrize("delay", [20, 0xFFFFFFFF])
def test_the_end_of_the_session_cuts_the_delay_short(engine: World, delay: int) -> None:
    watcher = watching(engine)
    engine.client("c", session_expiry=10, will=waiting(delay)).drops()
    engine.advance(9)
    assert watcher.got == []
    engine.advance(2)
    assert watcher.payloads == [b"lost"]
    assert not engine.client("c", clean_start=False).session_present
    engine.advance(1_000)
    assert watcher.payloads == [b"lost"]


@edge("W2")
@mqtt("MQTT-3.1.2-8")
@pytest.mark.parametrize("expiry", [None, 0])
def test_without_a_session_to_go_on_with_a_will_waits_for_nothing(world: World, expiry: int | None) -> None:
    watcher = watching(world)
    world.client("c", session_expiry=expiry, will=waiting(60)).drops()
    assert watcher.payloads == [b"lost"]


@edge("W2")
@mqtt("MQTT-3.1.2-8")
def test_a_clean_start_ends_the_wait(world: World) -> None:
    watcher = watching(world)
    world.client("c", session_expiry=100, will=waiting(60)).drops()
    assert watcher.got == []
    world.client("c")
    assert watcher.payloads == [b"lost"]


@edge("W2")
@mqtt("MQTT-3.1.2-8")
def test_a_disconnect_that_ends_the_session_ends_the_wait(world: World) -> None:
    watcher = watching(world)
    world.client("c", session_expiry=100, will=waiting(60)).disconnects(0x04, session_expiry=0)
    assert watcher.payloads == [b"lost"]


@edge("W2")
def test_a_will_that_waits_expires_only_after_it_is_published(engine: World) -> None:  # section 3.1.3.2.4
    watcher = watching(engine)
    engine.client("c", session_expiry=100, will=waiting(10, message_expiry_interval=3)).drops()
    engine.advance(12)
    assert [message.properties for message in watcher.messages] == [Properties(message_expiry_interval=3)]


# A will that is checked


@edge("W3")
@mqtt("MQTT-3.1.4-2")
@each_version
def test_a_will_that_may_not_be_published_is_refused(make_world: MakeWorld, version: int) -> None:
    world = make_world(gate=OneRule(Only("allowed")))
    client = world.knocks("c", version=version, will=Will("forbidden", b"x"))
    assert client.got == [ConnAck(0x87 if version == 5 else 5)]
    assert not client.is_connected
    assert world.client("d", version=version, will=Will("allowed", b"x")).is_connected


@edge("W3")
@mqtt("MQTT-3.1.3-11", "MQTT-3.1.4-1")
@mqtt("MQTT-3.1.3-10", "MQTT-3.1.4-1", v3=True)
@pytest.mark.parametrize("topic", [b"\xff", b"a\xed\xa0\x80", b"a\x00", b"\xc0\x80", b"", b"a/#", b"+/a", b"#"])
@each_version
def test_a_will_topic_that_is_none_is_turned_away(world: World, version: int, topic: bytes) -> None:
    data = connect(version, CLEAN | WILL, ID, will_fields(version, topic))
    client = world.stranger(version=version).sends_bytes(data)
    assert_turned_away(client)


@edge("W3")
def test_a_will_as_large_as_a_packet_may_be_is_published(make_world: MakeWorld) -> None:
    world = make_world(Options(maximum_packet_size=1_000))
    watcher = watching(world)
    will = Will("w", bytes(1_000 - 3 - 11 - 3 - 1 - 3 - 2))  # fixed header, up to properties, id, none, topic, length
    world.client("c", will=will).drops()
    assert watcher.payloads == [will.payload]
    client = world.knocks("c", will=Will("w", will.payload + b"x"))
    assert not client.is_connected
    assert client.got in ([], [ConnAck(0x95)])


@edge("W3")
@pytest.mark.parametrize("topic", ["$SYS/broker/uptime", "$SYS/a"])
def test_a_will_does_not_speak_for_the_broker(engine: World, topic: str) -> None:
    assert engine.knocks("c", will=Will(topic, b"x")).got == [ConnAck(0x87)]


# A will and the end of the broker


@edge("W3")
@mqtt("MQTT-3.1.2-7", "MQTT-3.1.2-8")
@mqtt("MQTT-3.1.2-8", v3=True)
@each_version
@pytest.mark.parametrize("keeps", [False, True])
def test_a_will_outlives_the_broker(engine: World, keeps: bool, version: int) -> None:
    watcher = kept(engine, "watcher").subscribes("w", qos=1)
    will = Will("w", b"lost", qos=1, retain=True)
    if keeps:
        kept(engine, "c", version, will=will)
    else:
        engine.client("c", version=version, will=will)
    engine.client("left well", version=version, will=Will("w", b"withdrawn", qos=1)).disconnects()
    engine.restarts(after=5)
    assert watcher.returns().payloads == [b"lost"]
    assert engine.client("late").subscribes("w").payloads == [b"lost"]
    engine.restarts()
    assert watcher.returns().payloads == []  # it was published once


@edge("W2", "W3")
@mqtt("MQTT-3.1.2-8", "MQTT-3.1.3-9")
def test_a_will_that_waits_falls_due_while_the_broker_is_not_there(engine: World) -> None:
    watcher = engine.client("watcher", session_expiry=600).subscribes("w", qos=1)

    def leaves(name: str, delay: int) -> None:
        will = Will("w", name.encode(), qos=1, properties=Properties(will_delay_interval=delay))
        engine.client(name, clean_start=False, session_expiry=600, will=will).drops()

    leaves("gone", 20)
    leaves("here", 20)
    engine.client("here", clean_start=False, session_expiry=600)  # comes back, and takes its will back
    engine.advance(10)
    leaves("late", 100)
    engine.restarts(after=15)
    watcher = watcher.returns()
    assert watcher.payloads == [b"gone"]
    engine.advance(84)
    assert watcher.payloads == [b"gone"]
    engine.advance(2)
    assert watcher.payloads == [b"gone", b"late"]
