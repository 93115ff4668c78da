"""SUBSCRIBE and UNSUBSCRIBE, their options and their answers (sections 3.8 to 3.11 and 3.3.4)."""

import pytest

from telex.engine.message import Message
from telex.engine.options import Options
from telex.wire.packets import (
    PingReq,
    PingResp,
    PubAck,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
)
from telex.wire.packets import SubscriptionRequest as Request
from telex.wire.properties import Properties
from tests.engine.world import World

VERSIONS = pytest.mark.parametrize("version", [3, 4, 5])


@VERSIONS
def test_suback_says_what_was_granted_filter_by_filter(world: World, version: int) -> None:
    # [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-6] [MQTT-3.8.4-7] [MQTT-3.9.3-1] [MQTT-2.2.1-6]
    requests = [Request("a", 2), Request("b/#", 0), Request("+", 1)]
    sub = world.client("sub", version=version).sends(Subscribe(0x1234, requests))
    assert sub.got == [SubAck(0x1234, [2, 0, 1])]


def test_a_subscription_works_before_its_suback_has_left(world: World) -> None:  # S9, section 3.8.4
    sub = world.client("sub").freezes().sends(Subscribe(1, [Request("a")]))
    world.client("pub").publishes("a", b"x")
    assert sub.thaws().got == [SubAck(1, [0]), Publish("a", b"x")]


def test_the_granted_qos_is_what_the_broker_supports() -> None:  # [MQTT-3.2.2-10] [MQTT-3.8.4-7]
    world = World(Options(maximum_qos=1))
    sub = world.client("sub").sends(Subscribe(1, [Request("a", 0), Request("b", 1), Request("c", 2)]))
    assert sub.got == [SubAck(1, [0, 1, 1])]


@VERSIONS
def test_an_identical_filter_replaces_the_subscription(world: World, version: int) -> None:  # [MQTT-3.8.4-3], K5
    sub = world.client("sub", version=version).subscribes("a/+", qos=2).subscribes("a/+", qos=0)
    world.client("pub").publishes("a/b", b"x", qos=2)
    assert sub.got == [Publish("a/b", b"x")]
    assert world.engine.subscriptions.count == 1


def test_replacing_replaces_every_option(world: World) -> None:  # [MQTT-3.8.4-3]
    client = world.client("c").subscribes("a", no_local=True, retain_as_published=True, identifier=5)
    client.subscribes("a")
    client.publishes("a", b"x", retain=True)
    assert client.got == [Publish("a", b"x")]
    client.subscribes("a", no_local=True, retain_handling=2).publishes("a", b"y")
    assert client.payloads == [b"x"]


def test_replacing_loses_nothing(world: World) -> None:  # [MQTT-3.8.4-4]
    sub = world.client("sub", receive_maximum=1, acknowledges=False).subscribes("a", qos=1)
    pub = world.client("pub")
    for number in range(3):
        pub.publishes("a", b"%d" % number, qos=1)
    sub.subscribes("a", qos=1).sends(PubAck(1)).sends(PubAck(2))
    assert sub.payloads == [b"0", b"1", b"2"]


def test_many_filters_are_as_good_as_many_packets(world: World) -> None:  # [MQTT-3.8.4-5]
    sub = world.client("sub").sends(Subscribe(1, [Request("a", 2), Request("a", 1), Request("a", 0)]))
    assert sub.takes() == [SubAck(1, [2, 1, 0])]
    world.client("pub").publishes("a", b"x", qos=2)
    assert sub.got == [Publish("a", b"x")]


# Overlap


@VERSIONS
def test_overlapping_subscriptions_deliver_once_at_the_highest_qos(world: World, version: int) -> None:
    # [MQTT-3.3.4-2], K5
    sub = world.client("sub", version=version, acknowledges=False)
    sub.subscribes("a/b", qos=0).subscribes("a/+", qos=2).subscribes("#", qos=1)
    world.client("pub").publishes("a/b", b"x", qos=2)
    assert sub.got == [Publish("a/b", b"x", qos=2, packet_id=1)]


def test_overlapping_subscriptions_give_all_their_identifiers(world: World) -> None:
    # [MQTT-3.3.4-3] [MQTT-3.3.4-4], K5
    sub = world.client("sub").subscribes("a/b", identifier=1).subscribes("a/+", identifier=2)
    sub.subscribes("#", identifier=268_435_455).subscribes("+/b").subscribes("c", identifier=4)
    world.client("pub").publishes("a/b", b"x").publishes("a/c", b"y").publishes("d", b"z")
    identifiers = [set(message.properties.subscription_identifiers) for message in sub.messages if message.properties]
    assert identifiers == [{1, 2, 268_435_455}, {2, 268_435_455}, {268_435_455}]


def test_an_identifier_that_several_subscriptions_have_comes_for_each(world: World) -> None:  # section 3.3.4
    sub = world.client("sub").subscribes("a/b", "a/+", identifier=7)
    world.client("pub").publishes("a/b", b"x")
    assert sub.messages[0].properties is not None
    assert set(sub.messages[0].properties.subscription_identifiers) == {7}


def test_overlapping_subscriptions_keep_retain_if_one_of_them_wants_it(world: World) -> None:  # [MQTT-3.3.1-13]
    sub = world.client("sub").subscribes("a", retain_as_published=True).subscribes("#")
    world.client("pub").publishes("a", b"x", retain=True)
    assert [message.retain for message in sub.messages] == [True]


def test_two_clients_with_the_same_filter_get_one_each(world: World) -> None:  # section 4.5
    subs = [world.client(name).subscribes("a/#") for name in "abc"]
    world.client("pub").publishes("a/b", b"x")
    assert [sub.payloads for sub in subs] == [[b"x"]] * 3


# No Local


def test_no_local_keeps_a_clients_own_messages_from_it(world: World) -> None:  # [MQTT-3.8.3-3]
    client = world.client("c").subscribes("a", no_local=True)
    other = world.client("d").subscribes("a", no_local=True)
    client.publishes("a", b"x")
    assert client.got == []
    assert other.payloads == [b"x"]


def test_without_no_local_a_client_hears_itself(world: World) -> None:  # section 3.8.3.1
    client = world.client("c", version=4).subscribes("a").publishes("a", b"x")
    assert client.payloads == [b"x"]


def test_no_local_counts_for_its_own_subscription_only(world: World) -> None:  # [MQTT-3.8.3-3] [MQTT-3.3.4-4]
    client = world.client("c", acknowledges=False)
    client.subscribes("a", qos=2, no_local=True, identifier=1)
    client.subscribes("#", qos=1, identifier=2)
    client.publishes("a", b"own", qos=2)
    world.client("pub").publishes("a", b"other", qos=2)
    own, other = client.messages
    assert (own.payload, own.qos) == (b"own", 1)
    assert own.properties == Properties(subscription_identifiers=(2,))
    assert (other.payload, other.qos) == (b"other", 2)
    assert other.properties is not None
    assert set(other.properties.subscription_identifiers) == {1, 2}


def test_no_local_goes_by_the_client_id(world: World) -> None:  # [MQTT-3.8.3-3]
    client = world.client("c", session_expiry=60).subscribes("a", no_local=True).drops().returns()
    client.publishes("a", b"x")
    assert client.got == []


def test_no_local_lets_retained_messages_of_others_through(world: World) -> None:  # [MQTT-3.3.1-9]
    world.client("other").publishes("a", b"x", retain=True)
    assert world.client("c").subscribes("a", no_local=True).payloads == [b"x"]


def test_no_local_keeps_a_clients_own_retained_messages_from_it(world: World) -> None:  # [MQTT-3.8.3-3]
    client = world.client("c").publishes("a", b"x", retain=True)
    assert client.subscribes("a", no_local=True).got == []


# UNSUBSCRIBE


@VERSIONS
def test_unsubscribe_ends_a_subscription(world: World, version: int) -> None:  # [MQTT-3.10.4-1] [MQTT-3.10.4-2]
    sub = world.client("sub", version=version).subscribes("a", "a/#", "+").unsubscribes("a/#", "+")
    world.client("pub").publishes("a", b"1").publishes("b", b"2").publishes("a/b", b"3")
    assert sub.payloads == [b"1"]


def test_unsuback_says_filter_by_filter_what_was_there(world: World) -> None:
    # [MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-3.10.4-6] [MQTT-3.11.3-1] [MQTT-3.11.3-2]
    sub = world.client("sub").subscribes("a", "c")
    sub.sends(Unsubscribe(0x1234, ["a", "b", "c", "a"]))
    assert sub.got == [UnsubAck(0x1234, [0, 0x11, 0, 0x11])]


@pytest.mark.parametrize("version", [3, 4])
def test_a_v3_unsuback_says_nothing_but_done(world: World, version: int) -> None:
    # v3 [MQTT-3.10.4-4] [MQTT-3.10.4-5]
    assert world.client("sub", version=version).sends(Unsubscribe(7, ["a", "b"])).got == [UnsubAck(7)]


@pytest.mark.parametrize("topic_filter", ["a/+", "a/", "A/#", "a", "#", "$share/g/a/#"])
def test_a_filter_is_dropped_by_its_own_name_only(world: World, topic_filter: str) -> None:  # [MQTT-3.10.4-1]
    sub = world.client("sub").subscribes("a/#").sends(Unsubscribe(1, [topic_filter]))
    assert sub.takes() == [UnsubAck(1, [0x11])]
    world.client("pub").publishes("a/b", b"x")
    assert sub.payloads == [b"x"]


def test_what_was_sent_is_delivered_to_the_end(world: World) -> None:  # [MQTT-3.10.4-3]
    sub = world.client("sub", session_expiry=60, acknowledges=False).subscribes("a", qos=2)
    world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=2)
    sub.unsubscribes("a").drops()
    sub = sub.returns()
    assert sub.payloads == [b"1", b"2"]
    assert sub.sends(PubRec(2)).got[2:] == [PubRel(2)]


def test_one_of_two_clients_may_unsubscribe(world: World) -> None:  # [MQTT-3.10.4-1]
    one, other = world.client("c").subscribes("a", "#"), world.client("d").subscribes("a", "#")
    one.unsubscribes("a", "#")
    world.client("pub").publishes("a", b"x")
    assert (one.got, other.payloads) == ([], [b"x"])


def test_an_unsubscribe_between_two_messages_parts_them(world: World) -> None:  # [MQTT-3.10.4-2]
    client = world.client("c").subscribes("a")
    client.sends(Publish("a", b"1"), Unsubscribe(1, ["a"]), Publish("a", b"2"), Subscribe(2, [Request("a")]))
    client.sends(Publish("a", b"3"))
    assert client.payloads == [b"1", b"3"]


# What a topic matches is remembered; it must not be remembered too long.


def test_a_later_subscriber_is_not_overlooked(world: World) -> None:  # [MQTT-4.5.0-1]
    pub = world.client("pub").publishes("a/b", b"nobody hears this")
    subs = []
    for number, topic_filter in enumerate(["a/b", "a/+", "a/#", "#", "+/b", "$share/g/a/b", "$share/g/a/+"]):
        subs.append(world.client(f"sub-{number}").subscribes(topic_filter))
        pub.publishes("a/b", b"x")
    assert [len(sub.payloads) for sub in subs] == [7, 6, 5, 4, 3, 2, 1]


def test_a_former_subscriber_is_not_remembered(world: World) -> None:  # [MQTT-3.10.4-2]
    topic_filters = ["a/b", "a/+", "a/#", "#", "+/b"]
    subs = [world.client(each).subscribes(each) for each in topic_filters]
    pub = world.client("pub")
    for number, sub in enumerate(subs):
        pub.publishes("a/b", b"x")
        if number % 2:
            sub.unsubscribes(topic_filters[number])
        else:
            sub.drops()
    assert [len(sub.payloads) for sub in subs] == [1, 2, 3, 4, 5]


def test_thousands_of_topics_may_be_remembered_and_forgotten(world: World) -> None:  # section 4.5
    sub = world.client("sub", version=4).subscribes("t/+")
    pub = world.client("pub", version=4)
    pub.sends(*[Publish(f"t/{number}", b"x") for number in range(12_000)])
    assert len(sub.got) == 12_000
    other = world.client("other").subscribes("t/5")
    pub.sends(Publish("t/5", b"y"))
    assert other.payloads == [b"y"]


def test_the_broker_counts_subscriptions(world: World) -> None:  # $SYS/broker/subscriptions/count
    subscriptions = world.engine.subscriptions
    one, other = world.client("c").subscribes("a", "#", "$share/g/a"), world.client("d").subscribes("a", "$share/g/a")
    assert (subscriptions.count, subscriptions.shared_count) == (5, 2)
    one.subscribes("a", "$share/g/a", qos=1)
    assert (subscriptions.count, subscriptions.shared_count) == (5, 2)
    one.unsubscribes("a", "$share/g/a")
    assert (subscriptions.count, subscriptions.shared_count) == (3, 1)
    other.drops()
    assert (subscriptions.count, subscriptions.shared_count) == (1, 0)


def test_an_observer_is_told_of_them(world: World) -> None:  # section 3.8.4
    world.client("c").subscribes("a", qos=1).subscribes("a", qos=2).unsubscribes("a").sends(Unsubscribe(1, ["a"]))
    assert world.diary.lines[1:] == ["c subscribed a qos 1", "c subscribed a qos 2", "c unsubscribed a"]


def test_the_broker_itself_is_no_client_and_has_no_local_part(world: World) -> None:  # [MQTT-3.8.3-3]
    sub = world.client("sub").subscribes("a", no_local=True)
    world.publishes(Message("a", b"x"))
    assert sub.payloads == [b"x"]


@VERSIONS
def test_a_client_that_subscribes_to_nothing_gets_nothing(world: World, version: int) -> None:  # section 3.8
    sub = world.client("sub", version=version)
    world.client("pub").publishes("a", b"x", qos=2, retain=True)
    assert sub.sends(PingReq()).got == [PingResp()]
