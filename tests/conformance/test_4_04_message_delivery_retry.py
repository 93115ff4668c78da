"""Message delivery retry: what comes again when a session is resumed, and only then (section 4.4)."""

import pytest

from telex.wire.packets import (
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
)
from tests.conformance.marks import each_version, edge, mqtt
from tests.engine.world import Client, World


def subscribed(world: World, version: int = 5, **manners: object) -> Client:
    """A client that keeps its session, is subscribed to ``a``, and acknowledges nothing of itself."""
    expiry = 60 if version == 5 else None
    sub = world.client("sub", version=version, clean_start=False, session_expiry=expiry, acknowledges=False, **manners)
    return sub.subscribes("a", qos=2)


def kinds(*packets: Packet) -> list[tuple[str, int]]:
    """Packets as their kinds and ids."""
    return [(type(packet).__name__, getattr(packet, "packet_id", 0)) for packet in packets]


@edge("S1")
@mqtt("MQTT-4.4.0-1", "MQTT-3.3.1-1")
@mqtt("MQTT-4.4.0-1", "MQTT-3.3.1-1", v3=True)
@each_version
@pytest.mark.parametrize("qos", [1, 2])
def test_an_unacknowledged_publish_comes_again_with_its_id_and_dup(world: World, qos: int, version: int) -> None:
    sub = subscribed(world, version)
    world.client("pub").publishes("a", b"x", qos=qos)
    (first,) = sub.messages
    assert not first.dup
    sub = sub.drops().returns()
    assert sub.session_present
    assert sub.got == [Publish("a", b"x", qos, dup=True, packet_id=first.packet_id)]


@edge("S1", "S2", "S7")
@mqtt("MQTT-4.4.0-1", "MQTT-3.3.1-1", "MQTT-4.6.0-1")
@mqtt("MQTT-4.4.0-1", "MQTT-3.3.1-1", v3=True)
@each_version
def test_what_is_unacknowledged_comes_again_also_from_a_broker_that_was_killed(engine: World, version: int) -> None:
    sub = subscribed(engine, version)
    pub = engine.client("pub")
    for qos, payload in ((1, b"1"), (2, b"2"), (2, b"3"), (1, b"4")):
        pub.publishes("a", payload, qos=qos)
    first = {message.payload: message.packet_id for message in sub.messages}
    sub.sends(PubRec(first[b"3"]))
    engine.restarts()
    engine.client("pub").publishes("a", b"5", qos=1)
    sub = sub.returns()
    assert sub.got[0] == PubRel(first[b"3"])
    assert [(message.payload, message.dup) for message in sub.messages] == [
        (b"1", True),
        (b"2", True),
        (b"4", True),
        (b"5", False),
    ]
    assert all(first.get(message.payload) == message.packet_id for message in sub.messages[:3])
    assert sub.messages[3].packet_id not in first.values()


@edge("S2")
@mqtt("MQTT-4.4.0-1")
@mqtt("MQTT-4.4.0-1", v3=True)
@each_version
def test_an_unacknowledged_pubrel_comes_again_with_its_id(world: World, version: int) -> None:
    sub = subscribed(world, version)
    world.client("pub").publishes("a", b"x", qos=2)
    (message,) = sub.messages
    sub = sub.sends(PubRec(message.packet_id)).drops().returns()
    assert sub.got == [PubRel(message.packet_id)]


@edge("S1")
@mqtt("MQTT-4.4.0-1")
@mqtt("MQTT-4.4.0-1", v3=True)
@each_version
def test_what_is_unacknowledged_comes_again_with_each_resume(world: World, version: int) -> None:
    sub = subscribed(world, version)
    world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=2).publishes("a", b"3", qos=2)
    one, two, three = (message.packet_id for message in sub.messages)
    sub.sends(PubRec(three))
    for _ in range(4):
        sub = sub.drops().returns()
        assert sorted(kinds(*sub.got)) == [("PubRel", three), *sorted([("Publish", one), ("Publish", two)])]
        assert all(message.dup for message in sub.messages)


@mqtt("MQTT-4.4.0-1")
@mqtt("MQTT-4.4.0-1", v3=True)
@each_version
def test_what_is_acknowledged_does_not_come_again(world: World, version: int) -> None:
    sub = subscribed(world, version)
    world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=2).publishes("a", b"0", qos=0)
    one, two, _ = (message.packet_id for message in sub.messages)
    sub.sends(PubAck(one), PubRec(two), PubComp(two))
    assert sub.drops().returns().got == []


@edge("S1", "S2")
@mqtt("MQTT-4.4.0-1", "MQTT-4.3.3-6")
@mqtt("MQTT-4.4.0-1", v3=True)
@each_version
def test_a_delivery_goes_on_wherever_the_connection_is_cut(world: World, version: int) -> None:
    sub = subscribed(world, version)
    world.client("pub").publishes("a", b"x", qos=2)
    (message,) = sub.messages
    number = message.packet_id
    again = Publish("a", b"x", 2, dup=True, packet_id=number)
    sub = sub.drops().returns()
    assert sub.got == [again]
    sub = sub.drops().returns()
    assert sub.takes() == [again]
    assert sub.sends(PubRec(number)).got == [PubRel(number)]
    sub = sub.drops().returns()
    assert sub.takes() == [PubRel(number)]
    assert sub.sends(PubRec(number)).takes() == [PubRel(number)]  # the client may not know that it said so before
    sub = sub.drops().returns()
    assert sub.takes() == [PubRel(number)]
    assert sub.sends(PubComp(number)).drops().returns().got == []


@mqtt("MQTT-4.4.0-1")
@mqtt("MQTT-4.4.0-1", v3=True)
@pytest.mark.parametrize(("before", "after"), [(4, 5), (5, 4)])
def test_the_version_may_change_between_the_connections(world: World, before: int, after: int) -> None:
    sub = subscribed(world, before)
    world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=2)
    one, two = (message.packet_id for message in sub.messages)
    sub.sends(PubRec(two)).drops()
    sub = sub.returns(version=after, session_expiry=60 if after == 5 else None)
    assert sub.session_present
    assert sorted(kinds(*sub.got)) == [("PubRel", two), ("Publish", one)]


@mqtt("MQTT-4.4.0-1")
@mqtt("MQTT-4.4.0-1", v3=True)
@each_version
def test_a_clean_start_gets_nothing_of_what_was_before(world: World, version: int) -> None:
    sub = subscribed(world, version)
    world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=2)
    sub.sends(PubRec(sub.messages[1].packet_id)).drops()
    sub = sub.returns(clean_start=True)
    assert not sub.session_present
    assert sub.got == []


@mqtt("MQTT-4.4.0-1")
def test_nothing_comes_again_while_the_connection_lasts(world: World) -> None:
    sub = subscribed(world)
    pub = world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=2).publishes("a", b"3", qos=2)
    sub.sends(PubRec(sub.messages[2].packet_id)).takes()
    pub.publishes("a", b"4", qos=1).publishes("b", b"5", qos=1)
    assert sub.payloads == [b"4"]
    sub.takes()
    assert sub.sends(PingReq()).takes() == [PingResp()]
    assert sub.subscribes("a", qos=2).unsubscribes("a").takes() == []


@mqtt("MQTT-4.4.0-1")
def test_nothing_comes_again_however_long_the_connection_lasts(engine: World) -> None:
    sub = subscribed(engine)
    engine.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=2).publishes("a", b"3", qos=2)
    sub.sends(PubRec(3)).takes()
    engine.advance(100_000)
    assert sub.got == []


@mqtt("MQTT-4.4.0-2")
@pytest.mark.parametrize("code", [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99])
@pytest.mark.parametrize("qos", [1, 2])
def test_a_refused_message_does_not_come_again(world: World, qos: int, code: int) -> None:
    sub = subscribed(world)
    world.client("pub").publishes("a", b"x", qos=qos)
    number = sub.messages[0].packet_id
    sub.takes()
    sub.sends(PubAck(number, code) if qos == 1 else PubRec(number, code))
    assert sub.got == []  # no PUBREL either
    assert sub.drops().returns().got == []


@edge("S5")
@mqtt("MQTT-4.4.0-2")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_refusal_frees_quota_for_the_next_message(world: World, qos: int) -> None:
    sub = subscribed(world, receive_maximum=1)
    pub = world.client("pub")
    for number in range(4):
        pub.publishes("a", b"%d" % number, qos=qos)
    for number in range(4):
        assert sub.payloads == [b"%d" % number]
        packet_id = sub.messages[0].packet_id
        sub.takes()
        sub.sends(PubAck(packet_id, 0x97) if qos == 1 else PubRec(packet_id, 0x97))
    assert sub.got == []


@edge("S5")
def test_a_refusal_frees_its_id(engine: World) -> None:
    sub = subscribed(engine)
    pub = engine.client("pub").publishes("a", b"x", qos=2)
    number = sub.messages[0].packet_id
    sub.sends(PubRec(number, 0x97)).takes()
    engine.engine.sessions["sub"].sender._last_id = number - 1  # the id is next in turn
    pub.publishes("a", b"y", qos=2)
    assert sub.got == [Publish("a", b"y", 2, packet_id=number)]


@edge("S5")
def test_an_exchange_that_was_refused_is_not_known_any_more(engine: World) -> None:
    sub = subscribed(engine)
    engine.client("pub").publishes("a", b"x", qos=2)
    number = sub.messages[0].packet_id
    sub.sends(PubRec(number, 0x97)).takes()
    assert sub.sends(PubRec(number)).got == [PubRel(number, 0x92)]


@edge("S7")
@mqtt("MQTT-4.4.0-1")
@mqtt("MQTT-4.4.0-1", v3=True)
@each_version
def test_what_was_in_flight_goes_before_what_is_new(world: World, version: int) -> None:
    sub = subscribed(world, version)
    pub = world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=2)
    sub.drops()
    pub.publishes("a", b"3", qos=1).publishes("a", b"4", qos=2)
    sub = sub.returns()
    pub.publishes("a", b"5", qos=1)
    assert [(message.payload, message.dup) for message in sub.messages] == [
        (b"1", True),
        (b"2", True),
        (b"3", False),
        (b"4", False),
        (b"5", False),
    ]
