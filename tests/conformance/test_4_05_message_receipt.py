"""Message receipt: a message that a broker takes over belongs to all who are subscribed (section 4.5)."""

import pytest

from telex.wire.packets import PubAck, PubComp, Publish, PubRec, PubRel
from tests.conformance.marks import each_version, edge, mqtt
from tests.conformance.words import kept
from tests.engine.world import World


@mqtt("MQTT-4.5.0-1")
@mqtt("MQTT-4.5.0-1", v3=True)
@each_version
@pytest.mark.parametrize("qos", [1, 2])
def test_a_message_goes_to_all_who_subscribed_and_to_nobody_else(world: World, qos: int, version: int) -> None:
    here = world.client("here", version=version).subscribes("a/b", qos=2)
    wild = world.client("wild", version=version).subscribes("x", "a/+", qos=2)
    away = kept(world, "away", version).subscribes("#", qos=2).drops()
    other = world.client("other", version=version).subscribes("b/#", qos=2)
    left = kept(world, "left", version).subscribes("a/b", qos=2).unsubscribes("a/b").drops()
    world.client("pub", version=version).publishes("a/b", b"x", qos=qos)
    assert [client.payloads for client in (here, wild, away.returns())] == [[b"x"]] * 3
    assert [client.payloads for client in (other, left.returns())] == [[], []]


@edge("S6")
@mqtt("MQTT-4.5.0-1")
@mqtt("MQTT-4.5.0-1", v3=True)
@each_version
@pytest.mark.parametrize("qos", [1, 2])
def test_a_message_acknowledged_while_the_subscriber_is_away_waits_for_it(world: World, qos: int, version: int) -> None:
    sub = kept(world, "sub", version).subscribes("a", qos=2).drops()
    pub = world.client("pub", version=version)
    for number in range(10):
        pub.publishes("a", b"%d" % number, qos=qos)
    pub.disconnects()  # what it was promised does not need it any more
    sub = sub.returns()
    assert sub.session_present
    assert sub.payloads == [b"%d" % number for number in range(10)]
    assert {(message.qos, message.dup) for message in sub.messages} == {(qos, False)}
    assert sub.drops().returns().got == []


@edge("S6")
@mqtt("MQTT-4.5.0-1")
@mqtt("MQTT-4.5.0-1", v3=True)
@each_version
@pytest.mark.parametrize("qos", [1, 2])
def test_a_message_acknowledged_while_the_subscriber_is_away_outlives_the_broker(
    engine: World, qos: int, version: int
) -> None:
    sub = kept(engine, "sub", version).subscribes("a", qos=2).drops()
    pub = engine.client("pub", version=version)
    for number in range(10):
        pub.publishes("a", b"%d" % number, qos=qos)
    engine.restarts(after=10)
    sub = sub.returns()
    assert sub.session_present
    assert sub.payloads == [b"%d" % number for number in range(10)]
    assert {(message.qos, message.dup) for message in sub.messages} == {(qos, False)}
    engine.restarts()
    assert sub.returns().got == []


@edge("S6")
@mqtt("MQTT-4.5.0-1")
@mqtt("MQTT-4.5.0-1", v3=True)
@each_version
def test_a_message_waits_over_several_absences(world: World, version: int) -> None:
    sub = kept(world, "sub", version, acknowledges=False).subscribes("a", qos=1).drops()
    pub = world.client("pub")
    for number in range(3):
        pub.publishes("a", b"%d" % number, qos=1)
        sub = sub.returns()
        assert sub.payloads == [b"%d" % each for each in range(number + 1)]
        sub.drops()


@mqtt("MQTT-4.5.0-1")
@mqtt("MQTT-4.5.0-1", v3=True)
@each_version
@pytest.mark.parametrize("qos", [1, 2])
def test_a_message_that_cannot_be_sent_yet_is_not_forgotten(world: World, qos: int, version: int) -> None:
    sub = kept(world, "sub", version, acknowledges=False).subscribes("a", qos=2)
    pub = world.client("pub")
    for number in range(50):
        pub.publishes("a", b"%d" % number, qos=qos)
    seen = []
    while sub.messages:
        seen += sub.payloads
        ids = [message.packet_id for message in sub.messages]
        sub.takes()
        sub.sends(*[PubAck(each) if qos == 1 else PubRec(each) for each in ids])
        if qos == 2:
            sub.sends(*[PubComp(each) for each in ids])
    assert seen == [b"%d" % number for number in range(50)]


@mqtt("MQTT-4.5.0-1")
@mqtt("MQTT-4.5.0-1", v3=True)
@each_version
def test_a_message_goes_to_those_who_are_subscribed_when_it_comes(world: World, version: int) -> None:
    pub = world.client("pub").publishes("a", b"before", qos=1)
    sub = kept(world, "sub", version).subscribes("a", qos=1)
    pub.publishes("a", b"after", qos=1)
    assert sub.payloads == [b"after"]


@mqtt("MQTT-4.5.0-1")
@mqtt("MQTT-4.5.0-1", v3=True)
@each_version
@pytest.mark.parametrize("qos", [1, 2])
def test_what_was_acknowledged_arrives_though_the_publisher_is_gone_at_once(
    world: World, qos: int, version: int
) -> None:
    sub = world.client("sub").subscribes("a", qos=2)
    pub = kept(world, "pub", version).sends(Publish("a", b"x", qos, packet_id=7))
    if qos == 2:
        pub = pub.drops().returns().sends(PubRel(7))
    pub.drops()
    assert sub.payloads == [b"x"]


@mqtt("MQTT-4.5.0-1", "MQTT-4.3.3-8")
@mqtt("MQTT-4.5.0-1", v3=True)
@each_version
def test_pubrec_says_that_the_broker_owns_the_message_whatever_becomes_of_the_publisher(
    world: World, version: int
) -> None:
    sub = world.client("sub").subscribes("a", qos=2)
    pub = world.client("pub", version=version).sends(Publish("a", b"x", 2, packet_id=7))
    assert pub.got == [PubRec(7)]
    pub.drops()  # and its session ends with it
    assert sub.payloads == [b"x"]


@mqtt("MQTT-4.5.0-1")
@mqtt("MQTT-4.5.0-1", v3=True)
@each_version
def test_a_client_gets_its_own_messages_too(world: World, version: int) -> None:
    client = world.client("c", version=version).subscribes("a", qos=1).publishes("a", b"x", qos=1)
    assert client.payloads == [b"x"]
