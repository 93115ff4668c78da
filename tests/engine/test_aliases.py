"""Topic aliases, in both directions (section 3.3.2.3.4)."""

import pytest

from telex.codes import ReasonCode
from telex.engine.options import Options
from telex.wire.packets import Disconnect, PubAck, Publish, PubRec
from telex.wire.properties import Properties
from tests.engine.world import World


def aliased(topic: str, payload: bytes, alias: int, qos: int = 0, *, packet_id: int = 0, dup: bool = False) -> Publish:
    """A PUBLISH with a topic alias; an empty topic is what the alias stands for."""
    return Publish(topic, payload, qos, packet_id=packet_id, dup=dup, properties=Properties(topic_alias=alias))


# From the client to the broker


def test_an_alias_stands_for_its_topic(world: World) -> None:  # section 3.3.2.3.4
    sub = world.client("sub").subscribes("#")
    world.client("pub").sends(aliased("a/b", b"1", 5), aliased("", b"2", 5), Publish("c", b"3"), aliased("", b"4", 5))
    assert sub.got == [Publish("a/b", b"1"), Publish("a/b", b"2"), Publish("c", b"3"), Publish("a/b", b"4")]


def test_an_alias_may_be_given_another_topic(world: World) -> None:  # section 3.3.2.3.4
    sub = world.client("sub").subscribes("#")
    world.client("pub").sends(aliased("a", b"1", 5), aliased("b", b"2", 5), aliased("", b"3", 5))
    assert sub.topics == ["a", "b", "b"]


def test_two_aliases_may_have_one_topic(world: World) -> None:  # section 3.3.2.3.4
    sub = world.client("sub").subscribes("#")
    world.client("pub").sends(aliased("a", b"1", 1), aliased("a", b"2", 2), aliased("", b"3", 1), aliased("", b"4", 2))
    assert sub.payloads == [b"1", b"2", b"3", b"4"]


def test_every_alias_up_to_the_maximum_is_accepted() -> None:  # [MQTT-3.3.2-12]
    world = World(Options(topic_alias_maximum=65_535))
    sub = world.client("sub").subscribes("#")
    world.client("pub").sends(*[aliased("a", b"x", alias) for alias in (1, 255, 256, 65_535)])
    assert len(sub.got) == 4


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_an_alias_works_at_every_qos(world: World, qos: int) -> None:  # section 3.3.2.3.4
    sub = world.client("sub").subscribes("#", qos=qos)
    pub = world.client("pub").sends(aliased("a", b"1", 1), aliased("", b"2", 1, qos, packet_id=7 if qos else 0))
    assert sub.payloads == [b"1", b"2"]
    assert pub.got == ([], [PubAck(7)], [PubRec(7)])[qos]


@pytest.mark.parametrize("version", [3, 4, 5])
def test_an_alias_is_between_two_and_does_not_travel(world: World, version: int) -> None:  # section 3.3.2.3.4
    sub = world.client("sub", version=version).subscribes("#")
    world.client("pub").sends(aliased("a", b"1", 5), aliased("", b"2", 5))
    assert [(message.topic, message.properties) for message in sub.messages] == [("a", None)] * 2


def test_an_alias_does_not_travel_with_a_retained_message(world: World) -> None:  # section 3.3.2.3.4
    world.client("pub").sends(Publish("a", b"x", retain=True, properties=Properties(topic_alias=5)))
    assert world.client("sub").subscribes("a").got == [Publish("a", b"x", retain=True)]


@pytest.mark.parametrize(("maximum", "alias"), [(3, 4), (3, 65_535), (0, 1)])
def test_an_alias_that_is_too_large_closes_the_connection(maximum: int, alias: int) -> None:
    # [MQTT-3.3.2-9] [MQTT-3.2.2-17] [MQTT-3.2.2-18], L1
    world = World(Options(topic_alias_maximum=maximum))
    pub = world.client("pub").sends(aliased("a", b"x", alias))
    assert pub.got == [Disconnect(ReasonCode.TOPIC_ALIAS_INVALID)]
    assert not pub.is_connected


def test_alias_0_closes_the_connection(world: World) -> None:  # [MQTT-3.3.2-8], L1
    pub = world.client("pub").sends_bytes(bytes.fromhex("30 07 00 01 61 03 23 00 00"))
    assert pub.got == [Disconnect(ReasonCode.TOPIC_ALIAS_INVALID)]


def test_an_unknown_alias_closes_the_connection(world: World) -> None:  # section 3.3.2.3.4, L1
    pub = world.client("pub").sends(aliased("a", b"x", 1), aliased("", b"y", 2))
    assert pub.got == [Disconnect(ReasonCode.PROTOCOL_ERROR)]
    assert not pub.is_connected


def test_aliases_do_not_outlive_the_connection(world: World) -> None:  # [MQTT-3.3.2-7], L1
    pub = world.client("pub", session_expiry=60).sends(aliased("a", b"x", 1)).drops().returns()
    pub.sends(aliased("", b"y", 1))
    assert pub.got == [Disconnect(ReasonCode.PROTOCOL_ERROR)]


def test_aliases_are_each_clients_own(world: World) -> None:  # section 3.3.2.3.4
    sub = world.client("sub").subscribes("#")
    one, other = world.client("c"), world.client("d")
    one.sends(aliased("a", b"", 1))
    other.sends(aliased("b", b"", 1))
    one.sends(aliased("", b"", 1))
    assert sub.topics == ["a", "b", "a"]


# From the broker to the client


def test_a_client_that_asks_for_none_gets_none(world: World) -> None:  # [MQTT-3.1.2-27]
    for maximum in (None, 0):
        sub = world.client("sub", topic_alias_maximum=maximum).subscribes("a")
        world.client("pub").publishes("a", b"1").publishes("a", b"2")
        assert sub.got == [Publish("a", b"1"), Publish("a", b"2")]


def test_a_topic_is_spelled_out_once(world: World) -> None:  # section 3.3.2.3.4
    sub = world.client("sub", topic_alias_maximum=10).subscribes("#")
    pub = world.client("pub")
    for topic in ("a/b", "c", "a/b", "c", "a/b"):
        pub.publishes(topic, b"x")
    assert sub.got == [
        aliased("a/b", b"x", 1),
        aliased("c", b"x", 2),
        aliased("", b"x", 1),
        aliased("", b"x", 2),
        aliased("", b"x", 1),
    ]


def test_no_more_aliases_than_the_client_takes(world: World) -> None:  # [MQTT-3.1.2-26] [MQTT-3.3.2-11]
    sub = world.client("sub", topic_alias_maximum=2).subscribes("#")
    pub = world.client("pub")
    for number in range(100):
        pub.publishes(f"t/{number % 5}", b"x")
    assert sub.topics == [f"t/{number % 5}" for number in range(100)]
    assert {message.properties.topic_alias for message in sub.messages if message.properties} == {1, 2}


def test_no_more_aliases_than_the_broker_wants() -> None:  # memory is bounded
    world = World(Options(topic_alias_maximum_out=3))
    sub = world.client("sub", topic_alias_maximum=65_535).subscribes("#")
    pub = world.client("pub")
    for number in range(10):
        pub.publishes(f"t/{number}", b"x")
    assert sub.topics == [f"t/{number}" for number in range(10)]
    assert {message.properties.topic_alias for message in sub.messages if message.properties} == {1, 2, 3}


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_aliases_go_together_with_everything(world: World, qos: int) -> None:  # section 3.3.2.3
    sub = world.client("sub", topic_alias_maximum=1).subscribes("#", qos=qos, identifier=9, retain_as_published=True)
    pub = world.client("pub")
    for _ in range(2):
        said = Properties(content_type="text", message_expiry_interval=7)
        pub.publishes("a", b"x", qos=qos, retain=True, properties=said)
    expected = Properties(content_type="text", message_expiry_interval=7, subscription_identifiers=(9,), topic_alias=1)
    assert [message.properties for message in sub.messages] == [expected] * 2
    assert [message.topic for message in sub.messages] == ["a", ""]
    assert [message.retain for message in sub.messages] == [True] * 2


def test_others_get_the_topic_in_full(world: World) -> None:  # section 3.3.2.3.4: mappings are a connection's own
    one = world.client("c", topic_alias_maximum=5).subscribes("#")
    two = world.client("d").subscribes("#")
    three = world.client("e", topic_alias_maximum=5).subscribes("b")
    four = world.client("f", version=4).subscribes("#")
    world.client("pub").publishes("a", b"1").publishes("b", b"2").publishes("b", b"3")
    assert one.topics == two.topics == four.topics == ["a", "b", "b"]
    assert two.got == four.got == [Publish("a", b"1"), Publish("b", b"2"), Publish("b", b"3")]
    assert three.got == [aliased("b", b"2", 1), aliased("", b"3", 1)]


def test_the_brokers_aliases_do_not_outlive_the_connection(world: World) -> None:  # [MQTT-3.3.2-7], L1
    sub = world.client("sub", topic_alias_maximum=5, session_expiry=60).subscribes("a")
    pub = world.client("pub").publishes("a", b"x")
    sub = sub.drops().returns()
    pub.publishes("a", b"y")
    assert sub.got == [aliased("a", b"y", 1)]
    sub = sub.drops().returns(topic_alias_maximum=None)
    pub.publishes("a", b"z")
    assert sub.got == [Publish("a", b"z")]


@pytest.mark.parametrize("qos", [1, 2])
def test_a_repeat_carries_the_topic_in_full(world: World, qos: int) -> None:  # [MQTT-3.3.2-7], L1
    sub = world.client("sub", topic_alias_maximum=5, session_expiry=60, acknowledges=False).subscribes("a", qos=2)
    # What may wait for a disk gives no alias, and so no QoS 2 message of a kept session does: it uses one.
    pub = world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=qos)
    assert [message.topic for message in sub.messages] == ["a", ""]
    sub = sub.drops().returns()
    assert [(message.topic, message.payload, message.dup) for message in sub.messages] == [
        ("a", b"1", True),
        ("a", b"2", True),
    ]
    pub.publishes("a", b"3", qos=qos)
    assert sub.topics == ["a", "a", "a"]


def test_what_waited_gets_the_aliases_of_the_connection_that_it_leaves_on(world: World) -> None:  # [MQTT-3.3.2-7]
    sub = world.client("sub", topic_alias_maximum=5, session_expiry=60).subscribes("a", qos=1).drops()
    world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=1)
    sub = sub.returns()
    assert sub.got == [aliased("a", b"1", 1, 1, packet_id=1), aliased("", b"2", 1, 1, packet_id=2)]


def test_a_v3_client_that_returns_to_a_v5_session_gets_no_alias(world: World) -> None:  # [MQTT-3.1.2-27]
    sub = world.client("sub", topic_alias_maximum=5, session_expiry=60).subscribes("a", qos=1)
    pub = world.client("pub").publishes("a", b"1", qos=1)
    sub = sub.drops().returns(version=4, topic_alias_maximum=None, session_expiry=None)
    pub.publishes("a", b"2", qos=1)
    assert sub.got == [Publish("a", b"2", qos=1, packet_id=2)]
