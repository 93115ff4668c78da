"""Retained messages: what PUBLISH leaves behind at a broker, and who gets it (section 3.3.1.3)."""

from collections.abc import Callable

import pytest

from telex.engine.options import Options
from telex.wire.packets import ConnAck, Disconnect, Publish, SubAck, Subscribe, SubscriptionRequest, Will
from telex.wire.properties import Properties
from tests.conformance.marks import each_version, edge, mqtt
from tests.conformance.words import keeping
from tests.engine.world import World

every_qos = pytest.mark.parametrize("qos", [0, 1, 2])


# What is stored


@mqtt("MQTT-3.3.1-5", "MQTT-3.3.1-9")
@mqtt("MQTT-3.3.1-5", "MQTT-3.3.1-6", v3=True)
@every_qos
@each_version
def test_the_last_retained_message_of_each_topic_awaits_new_subscriptions(world: World, version: int, qos: int) -> None:
    pub = world.client("pub", version=version)
    for topic, payload in (("a", b"1"), ("a/b", b"2"), ("a", b"3"), ("c", b"4")):
        pub.publishes(topic, payload, qos, retain=True)
    pub.disconnects()
    sub = world.client("sub", version=version).subscribes("a/#", qos=2)
    assert sorted(zip(sub.topics, sub.payloads, strict=True)) == [("a", b"3"), ("a/b", b"2")]
    assert world.client("other", version=version).subscribes("c").payloads == [b"4"]


@mqtt("MQTT-3.3.1-5")
@mqtt("MQTT-3.3.1-5", v3=True)
@pytest.mark.parametrize("retained", [0, 1, 2])
@pytest.mark.parametrize("granted", [0, 1, 2])
@each_version
def test_a_retained_message_keeps_its_qos(world: World, version: int, retained: int, granted: int) -> None:
    world.client("pub", version=version).publishes("a", b"x", retained, retain=True)
    sub = world.client("sub", version=version).subscribes("a", qos=granted)
    assert [message.qos for message in sub.messages] == [min(retained, granted)]


@mqtt("MQTT-3.3.1-5")
@mqtt("MQTT-3.3.1-7", v3=True)
@pytest.mark.parametrize("before", [1, 2])
@each_version
def test_a_retained_message_of_qos_0_takes_the_place_of_any_other(world: World, version: int, before: int) -> None:
    pub = world.client("pub", version=version)
    pub.publishes("a", b"old", before, retain=True).publishes("a", b"new", 0, retain=True)
    sub = world.client("sub", version=version).subscribes("a", qos=2)
    # 3.1.1 lets a server keep nothing of QoS 0, but not the old message.
    assert sub.payloads == [b"new"] or (version == 4 and sub.payloads == [])


@edge("R1")
@mqtt("MQTT-3.3.1-6", "MQTT-3.3.1-7")
@mqtt("MQTT-3.3.1-10", "MQTT-3.3.1-11", v3=True)
@every_qos
@each_version
def test_an_empty_retained_message_clears_and_is_forwarded(world: World, version: int, qos: int) -> None:
    sub = world.client("sub", version=version).subscribes("a")
    pub = world.client("pub", version=version).publishes("a", b"x", qos, retain=True)
    pub.publishes("b", b"stays", qos, retain=True).publishes("a", b"", qos, retain=True)
    assert sub.got == [Publish("a", b"x"), Publish("a", b"")]
    assert world.client("late", version=version).subscribes("#").payloads == [b"stays"]


@edge("R1")
@mqtt("MQTT-3.3.1-6", "MQTT-3.3.1-7")
@mqtt("MQTT-3.3.1-10", "MQTT-3.3.1-11", v3=True)
@each_version
def test_an_empty_retained_message_where_nothing_was_is_forwarded_and_not_stored(world: World, version: int) -> None:
    sub = world.client("sub", version=version).subscribes("a")
    world.client("pub", version=version).publishes("a", b"", 1, retain=True)
    assert sub.got == [Publish("a", b"")]
    assert world.client("late", version=version).subscribes("a").got == []


@edge("R1")
@mqtt("MQTT-3.3.1-8")
@mqtt("MQTT-3.3.1-12", v3=True)
@every_qos
@each_version
def test_a_message_without_retain_is_not_stored_and_changes_nothing(world: World, version: int, qos: int) -> None:
    pub = world.client("pub", version=version).publishes("a", b"kept", retain=True)
    sub = world.client("sub", version=version).subscribes("#", qos=0)
    assert sub.takes() == [Publish("a", b"kept", retain=True)]
    pub.publishes("a", b"live", qos).publishes("a", b"", qos).publishes("b", b"live", qos)
    assert sub.payloads == [b"live", b"", b"live"]  # one without payload is like any other
    assert world.client("late", version=version).subscribes("#").payloads == [b"kept"]


# RETAIN as a subscriber sees it


@edge("R2")
@mqtt("MQTT-3.3.1-8", v3=True)
@pytest.mark.parametrize("retain_as_published", [False, True])
@every_qos
@each_version
def test_retain_is_1_for_a_new_subscription(
    world: World, version: int, qos: int, retain_as_published: bool
) -> None:  # in 5.0 section 3.3.1.3, without a number
    world.client("pub", version=version).publishes("a", b"x", qos, retain=True)
    asked = retain_as_published and version == 5
    sub = world.client("sub", version=version).subscribes("a", qos=2, retain_as_published=asked)
    assert [message.retain for message in sub.messages] == [True]


@edge("R2")
@mqtt("MQTT-3.3.1-12")
@mqtt("MQTT-3.3.1-9", v3=True)
@pytest.mark.parametrize("retain", [False, True])
@every_qos
@each_version
def test_retain_is_0_for_a_subscription_that_was_there(world: World, version: int, qos: int, retain: bool) -> None:
    sub = world.client("sub", version=version).subscribes("a", qos=2)
    world.client("pub", version=version).publishes("a", b"x", qos, retain=retain)
    assert [message.retain for message in sub.messages] == [False]


@edge("R2")
@mqtt("MQTT-3.3.1-13")
@pytest.mark.parametrize("retain", [False, True])
@every_qos
def test_retain_as_published_leaves_retain_as_it_was(world: World, qos: int, retain: bool) -> None:
    sub = world.client("sub").subscribes("a", qos=2, retain_as_published=True)
    world.client("pub").publishes("a", b"x", qos, retain=retain)
    assert [message.retain for message in sub.messages] == [retain]


@edge("R2")
@mqtt("MQTT-3.3.1-12", "MQTT-3.3.1-13")
@mqtt("MQTT-3.3.1-9", v3=True)
@pytest.mark.parametrize("retain_as_published", [False, True])
@each_version
def test_retain_of_what_waited_is_as_its_subscription_asked(
    world: World, version: int, retain_as_published: bool
) -> None:
    asked = retain_as_published and version == 5
    sub = world.client("sub", **keeping(version)).subscribes("a", qos=1, retain_as_published=asked).drops()
    world.client("pub", version=version).publishes("a", b"1", 1, retain=True).publishes("a", b"2", 1)
    assert [(message.payload, message.retain) for message in sub.returns().messages] == [(b"1", asked), (b"2", False)]


# Retain Handling


@edge("R3")
@mqtt("MQTT-3.3.1-9")
@mqtt("MQTT-3.3.1-6", v3=True)
@each_version
def test_handling_0_sends_them_with_each_subscribe(world: World, version: int) -> None:
    world.client("pub", version=version).publishes("a", b"x", retain=True)
    sub = world.client("sub", version=version).subscribes("a").subscribes("a").subscribes("a", qos=1)
    assert sub.payloads == [b"x"] * 3
    assert sub.unsubscribes("a").subscribes("a").payloads == [b"x"] * 4


@edge("R3")
@mqtt("MQTT-3.3.1-10")
def test_handling_1_sends_them_if_the_subscription_is_new(world: World) -> None:
    world.client("pub").publishes("a", b"x", retain=True)
    sub = world.client("sub").subscribes("a", retain_handling=1)
    assert sub.payloads == [b"x"]
    sub.subscribes("a", retain_handling=1).subscribes("a", qos=1, retain_handling=1)
    assert sub.payloads == [b"x"]
    sub.subscribes("+", retain_handling=1)  # another filter is another subscription
    assert sub.payloads == [b"x"] * 2


@edge("R3")
@mqtt("MQTT-3.3.1-10")
def test_handling_1_sends_them_again_after_unsubscribe(world: World) -> None:
    world.client("pub").publishes("a", b"x", retain=True)
    sub = world.client("sub").subscribes("a", retain_handling=1).unsubscribes("a")
    sub.takes()
    assert sub.subscribes("a", retain_handling=1).payloads == [b"x"]


@edge("R3")
@mqtt("MQTT-3.3.1-10")
def test_handling_1_knows_the_subscriptions_of_a_session_that_goes_on(world: World) -> None:
    world.client("pub").publishes("a", b"x", retain=True)
    sub = world.client("sub", session_expiry=60).subscribes("a", retain_handling=2).drops().returns()
    assert sub.subscribes("a", retain_handling=1).got == []
    sub = sub.drops().returns(clean_start=True)
    assert sub.subscribes("a", retain_handling=1).payloads == [b"x"]


@edge("R3")
@mqtt("MQTT-3.3.1-11")
def test_handling_2_sends_none(world: World) -> None:
    pub = world.client("pub").publishes("a", b"x", retain=True)
    sub = world.client("sub").subscribes("a", retain_handling=2).subscribes("a", retain_handling=2)
    assert sub.got == []
    assert sub.unsubscribes("a").subscribes("a", retain_handling=2).got == []
    pub.publishes("a", b"live", retain=True)
    assert sub.payloads == [b"live"]


@edge("R3")
@mqtt("MQTT-3.3.1-9", "MQTT-3.3.1-10", "MQTT-3.3.1-11")
def test_each_filter_of_one_subscribe_has_its_own_handling(world: World) -> None:
    pub = world.client("pub")
    for topic in ("a", "b", "c", "d"):
        pub.publishes(topic, topic.encode(), retain=True)
    sub = world.client("sub").subscribes("d", retain_handling=2)
    requests = [
        SubscriptionRequest("a", retain_handling=0),
        SubscriptionRequest("b", retain_handling=1),
        SubscriptionRequest("c", retain_handling=2),
        SubscriptionRequest("d", retain_handling=1),
    ]
    sub.sends(Subscribe(1, requests))
    assert sorted(sub.payloads) == [b"a", b"b"]
    assert [packet for packet in sub.got if isinstance(packet, SubAck)] == [SubAck(1, [0, 0, 0, 0])]


@edge("R3")
@mqtt("MQTT-3.3.4-3")
@every_qos
def test_retained_messages_carry_the_subscription_identifier(world: World, qos: int) -> None:
    world.client("pub").publishes("a", b"x", qos, retain=True)
    sub = world.client("sub").subscribes("#", qos=2, identifier=77)
    assert [message.properties for message in sub.messages] == [Properties(subscription_identifiers=(77,))]


@edge("R3")
@pytest.mark.parametrize("retain_handling", [0, 1])
def test_shared_subscriptions_get_none(world: World, retain_handling: int) -> None:  # section 4.8.2
    pub = world.client("pub").publishes("a", b"x", retain=True)
    sub = world.client("sub").subscribes("$share/g/a", retain_handling=retain_handling)
    assert sub.got == []
    pub.publishes("a", b"live")
    assert sub.payloads == [b"live"]


# Versions and limits


@edge("R5")
@mqtt("MQTT-3.3.1-9")
@mqtt("MQTT-3.3.1-6", v3=True)
@every_qos
@pytest.mark.parametrize(("stored", "read"), [(3, 4), (3, 5), (4, 3), (4, 5), (5, 3), (5, 4)])
def test_who_stored_it_does_not_matter(world: World, stored: int, read: int, qos: int) -> None:
    said = Properties(content_type="text", user_properties=(("a", "b"),)) if stored == 5 else None
    world.client("pub", version=stored).publishes("a", b"x", qos, retain=True, properties=said).disconnects()
    sub = world.client("sub", version=read).subscribes("a", qos=2)
    assert [(m.payload, m.qos, m.retain, m.properties) for m in sub.messages] == [(b"x", qos, True, None)]


@edge("R5")
@every_qos
@each_version
def test_a_will_is_retained_like_any_message(world: World, version: int, qos: int) -> None:  # section 3.1.2.7
    will = Will("a", b"gone", qos=qos, retain=True)
    world.client("c", version=version, will=will).drops()
    assert world.client("sub", version=version).subscribes("a", qos=2).payloads == [b"gone"]
    world.client("c", version=version, will=Will("a", retain=True)).drops()
    assert world.client("late", version=version).subscribes("a").got == []


@edge("R5")
@mqtt("MQTT-3.2.2-13", "MQTT-3.2.2-14")
def test_a_broker_that_retains_nothing_retains_no_will_either(make_world: Callable[..., World]) -> None:
    world = make_world(Options(retain_available=False))
    assert world.knocks("c", will=Will("a", b"x", retain=True)).got == [ConnAck(0x9A)]
    pub = world.client("pub", will=Will("a", b"x"))
    assert pub.said.retain_available == 0
    assert pub.sends(Publish("a", b"x", retain=True)).got == [Disconnect(0x9A)]
    assert world.client("sub").subscribes("a").got == []


@edge("R5")
@mqtt("MQTT-3.2.2-11", "MQTT-3.2.2-12")
@pytest.mark.parametrize("maximum", [0, 1])
def test_a_limit_of_the_qos_holds_for_wills(make_world: Callable[..., World], maximum: int) -> None:
    world = make_world(Options(maximum_qos=maximum))
    assert world.knocks("c", will=Will("a", b"x", qos=maximum + 1)).got == [ConnAck(0x9B)]
    pub = world.client("pub", will=Will("a", b"x", qos=maximum))
    assert pub.said.maximum_qos == maximum
    assert pub.sends(Publish("a", b"x", maximum + 1, packet_id=1)).got == [Disconnect(0x9B)]


@edge("R5")
def test_a_limit_of_the_size_holds_for_wills(make_world: Callable[..., World]) -> None:  # section 3.2.2.3.6
    world = make_world(Options(maximum_packet_size=100))
    client = world.knocks("c", will=Will("a", b"x" * 100, retain=True))
    assert client.got in ([], [ConnAck(0x95)])
    assert not client.is_connected
    assert world.client("d", will=Will("a", b"x" * 50)).is_connected
