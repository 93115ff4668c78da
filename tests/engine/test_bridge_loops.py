"""Bridges make no loops: what came from the remote does not go back, and a ring carries each message once."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from telex.codes import MQTT_3_1, MQTT_3_1_1, MQTT_5
from telex.engine.bridge import BridgeTopic
from telex.engine.hops import BRIDGE, HOPS, IDENTITY, Hops, has_passed, hops_of, said
from telex.engine.message import Message
from telex.wire.packets import Publish
from telex.wire.properties import Properties
from tests.engine.bridging import Broker, Link, Network, retained_of
from tests.engine.world import World

EVERYTHING = BridgeTopic("#", "both", 2)


def ring(network: Network, count: int, **words: Any) -> tuple[list[Broker], list[Link]]:
    """So many brokers, each with a bridge to the next."""
    brokers = [network.broker(f"broker-{number}") for number in range(count)]
    words.setdefault("notifications", False)
    links = [
        broker.bridges(brokers[(number + 1) % count], EVERYTHING, **words) for number, broker in enumerate(brokers)
    ]
    return brokers, links


def hops_in(packet: Publish) -> list[str]:
    assert packet.properties is not None
    return [value for name, value in packet.properties.user_properties if name == HOPS]


def publishes_of(link: Link) -> int:
    return sum(isinstance(packet, Publish) for _, packet in link.carried)


# Two brokers


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_what_came_from_the_remote_does_not_go_back(qos: int) -> None:
    network = Network()
    home, cloud = network.broker("home"), network.broker("cloud")
    link = home.bridges(cloud, EVERYTHING, notifications=False)
    here, there = home.client("here").subscribes("#", qos=2), cloud.client("there").subscribes("#", qos=2)
    home.client("pub").publishes("a", b"up", qos=qos)
    cloud.client("pub").publishes("a", b"down", qos=qos)
    assert here.payloads == there.payloads == [b"up", b"down"]
    assert publishes_of(link) == 2


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_two_bridges_between_two_brokers_carry_a_message_once_each_way(qos: int) -> None:
    network = Network()
    one, two = network.broker("one"), network.broker("two")
    one.bridges(two, EVERYTHING, notifications=False)
    two.bridges(one, EVERYTHING, notifications=False)
    subs = [broker.client("sub").subscribes("#", qos=2) for broker in (one, two)]
    for broker in (one, two):
        broker.client("pub").publishes("a", broker.name.encode(), qos=qos)
    assert [sorted(sub.payloads) for sub in subs] == [[b"one", b"two"]] * 2


def test_topics_that_would_grow_with_each_round_come_home_no_more() -> None:
    network = Network()
    home, cloud = network.broker("home"), network.broker("cloud")
    home.bridges(cloud, BridgeTopic("#", "out", 1, "", "there/"), notifications=False)
    cloud.bridges(home, BridgeTopic("#", "out", 1, "", "back/"), notifications=False)
    here, there = home.client("here").subscribes("#", qos=1), cloud.client("there").subscribes("#", qos=1)
    home.client("pub").publishes("a", b"x", qos=1)
    assert here.topics == ["a"]
    assert there.topics == ["there/a"]


# Rings


@pytest.mark.parametrize("count", [3, 4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_ring_brings_each_message_to_each_broker_once(count: int, qos: int) -> None:
    network = Network()
    brokers, links = ring(network, count)
    subs = [broker.client("sub").subscribes("#", qos=2) for broker in brokers]
    expected = []
    for number, broker in enumerate(brokers * 3):
        payload = b"%d" % number
        expected.append(payload)
        broker.client("pub").publishes("a", payload, qos=qos)
    for sub in subs:
        assert sub.payloads == expected
    assert all(link.is_open and link.bridge.waiting == 0 for link in links)


@pytest.mark.parametrize("cut", range(0, 40, 3))
def test_a_ring_whose_links_are_cut_brings_each_message_once_all_the_same(cut: int) -> None:
    network = Network()
    brokers, links = ring(network, 3)
    subs = [broker.client("sub").subscribes("#", qos=2) for broker in brokers]
    links[cut % 3].is_cut_after(cut)
    expected = []
    for number, broker in enumerate(brokers * 4):
        payload = b"%d" % number
        expected.append(payload)
        broker.client("pub").publishes("a", payload, qos=2)
    for link in links:
        link.is_cut().connects()
    for sub in subs:
        assert sorted(sub.payloads) == sorted(expected)


@pytest.mark.parametrize("dying", [0, 1, 2])
def test_a_ring_heals_when_a_broker_was_away(dying: int) -> None:
    network = Network()
    brokers, links = ring(network, 3)
    others = [broker for broker in brokers if broker is not brokers[dying]]
    subs = [broker.client("sub", clean_start=False, session_expiry=3_600).subscribes("#", qos=2) for broker in brokers]
    others[0].client("pub").publishes("a", b"before", qos=2)
    brokers[dying].restarts()
    others[0].client("pub").publishes("a", b"meanwhile", qos=2)
    for link in links:
        link.is_cut().connects()
    others[1].client("pub").publishes("a", b"after", qos=2)
    got = [sub.payloads if sub.is_connected else sub.payloads + sub.returns().payloads for sub in subs]
    assert got == [[b"before", b"meanwhile", b"after"]] * 3


def test_retained_messages_go_round_once() -> None:
    network = Network()
    brokers, links = ring(network, 3)
    subs = [broker.client("sub").subscribes("#", qos=1) for broker in brokers]
    brokers[1].client("pub").publishes("a", b"x", qos=1, retain=True)
    for link in links:
        link.is_cut().connects()
    assert [sub.payloads for sub in subs] == [[b"x"]] * 3


def test_a_line_of_brokers_passes_messages_on_as_far_as_hops_allow() -> None:
    network = Network()
    brokers = [network.broker(f"broker-{number}") for number in range(6)]
    for former, broker in pairwise(brokers):
        former.bridges(broker, EVERYTHING, max_hops=3, notifications=False)
    subs = [broker.client("sub").subscribes("#", qos=1) for broker in brokers]
    brokers[0].client("pub").publishes("a", b"x", qos=1)
    assert [len(sub.payloads) for sub in subs] == [1, 1, 1, 1, 0, 0]
    assert [hops_in(sub.messages[0]) for sub in subs[1:4]] == [
        ["broker-0"],
        ["broker-0", "broker-1"],
        ["broker-0", "broker-1", "broker-2"],
    ]


def test_what_has_passed_too_many_brokers_is_not_taken_in() -> None:
    network = Network()
    home, cloud = network.broker("home"), network.broker("cloud")
    link = home.bridges(cloud, EVERYTHING, max_hops=2, notifications=False)
    here = home.client("here").subscribes("#", qos=1)
    for count in (1, 2):
        passed = Properties(user_properties=tuple((HOPS, f"far-{number}") for number in range(count)))
        cloud.client("pub").publishes("a", b"%d" % count, qos=1, properties=passed)
    assert here.payloads == [b"1"]  # the cloud has added itself
    assert link.bridge.looped == 1


def test_what_is_known_already_counts_for_no_limit() -> None:
    """Two ways lead here; what comes the second time does not use up what the second may carry."""
    network = Network()
    home, cloud = network.broker("home"), network.broker("cloud")
    first = home.bridges(cloud, BridgeTopic("a/#", "in", 1, messages_per_second=1), remote_client_id="first")
    second = home.bridges(cloud, BridgeTopic("#", "in", 1, messages_per_second=1), remote_client_id="second")
    sub = home.client("sub").subscribes("#")
    cloud.publishes(Message("a/b", b"twice", 1))
    assert first.bridge.looped + second.bridge.looped == 1
    cloud.publishes(Message("b", b"by the second", 1))
    assert sub.payloads == [b"twice", b"by the second"]
    cloud.publishes(Message("a/b", b"too fast", 1))
    assert len(sub.payloads) == 2


def test_hops_may_be_left_out() -> None:
    network = Network()
    home, cloud = network.broker("home"), network.broker("cloud")
    home.bridges(cloud, EVERYTHING, max_hops=0, notifications=False)
    here, there = home.client("here").subscribes("#", qos=1), cloud.client("there").subscribes("#", qos=1)
    for broker in (home, cloud):
        broker.client("pub").publishes("a", b"x", qos=1)
    for sub in (here, there):
        assert [message.properties for message in sub.messages] == [None, None]


def test_the_remote_writes_on_what_it_sends_where_a_bridge_says_what_it_is() -> None:
    network = Network()
    home, cloud = network.broker("home"), network.broker("cloud")
    home.bridges(cloud, EVERYTHING, notifications=False)
    here = home.client("here").subscribes("#", qos=1)
    cloud.client("pub").publishes("a", b"x", qos=1)
    assert hops_in(here.messages[0]) == ["cloud"]


def test_what_two_ways_bring_under_two_names_is_two_messages() -> None:
    network = Network()
    source, target = network.broker("source"), network.broker("target")
    for name in ("left", "right"):
        source.bridges(target, BridgeTopic("#", "out", 1, "", f"{name}/"), remote_client_id=name, notifications=False)
    sub = target.client("sub").subscribes("#", qos=1)
    source.client("pub").publishes("a", b"x", qos=1)
    assert sorted(sub.topics) == ["left/a", "right/a"]


def test_what_came_at_qos_0_does_not_stand_for_what_comes_with_a_promise() -> None:
    network = Network()
    source, target = network.broker("source"), network.broker("target")
    for name, qos in (("fast", 0), ("safe", 1)):
        source.bridges(target, BridgeTopic("#", "out", qos), remote_client_id=name, notifications=False)
    away = target.client("away", clean_start=False, session_expiry=3_600).subscribes("#", qos=1).disconnects()
    source.client("pub").publishes("a", b"x", qos=1)
    assert away.returns().payloads == [b"x"]


def test_a_client_s_own_word_of_a_way_is_believed_and_passed_on(world: World) -> None:
    """Another broker in between may speak as a client: what it passes on has its way written on it."""
    world.engine.hops.change_name("here")
    sub = world.client("sub").subscribes("#", qos=2)
    pub = world.client("pub")
    been_here = Properties(user_properties=((HOPS, "there"), (HOPS, "here"), (IDENTITY, "life.1")))
    new = Properties(user_properties=((HOPS, "there"), (IDENTITY, "life.2")))
    for qos in (0, 1, 2):
        pub.publishes("a", b"been here", qos=qos, properties=been_here.copy())
    pub.publishes("a", b"new", qos=2, properties=new.copy())
    pub.publishes("a", b"again", qos=1, properties=new.copy())
    assert sub.payloads == [b"new"]
    assert sub.messages[0].properties == new


# What is written


def named(name: str) -> Hops:
    hops = Hops(names(name))
    hops.change_name(name)
    return hops


def names(name: str) -> Callable[[], str]:
    count = iter(range(1, 100))
    return lambda: f"{name}-{next(count)}"


def carried(message: Message, hops: Hops) -> Message:
    """The message as the next broker gets it."""
    written = hops.written_on(message)
    before = () if message.properties is None else message.properties.user_properties
    return Message(
        message.topic, message.payload, message.qos, properties=Properties(user_properties=(*before, *pairs(written)))
    )


def pairs(encoded: bytes) -> list[tuple[str, str]]:
    found: list[str] = []
    while encoded:
        if len(found) % 2 == 0:
            assert encoded[0] == 0x26
            encoded = encoded[1:]
        size = int.from_bytes(encoded[:2], "big")
        found.append(encoded[2 : 2 + size].decode())
        encoded = encoded[2 + size :]
    return list(zip(found[::2], found[1::2], strict=True))


def test_each_broker_adds_its_name_and_the_first_one_an_identity() -> None:
    one, two = named("one"), named("two")
    message = Message("a", b"x", 1)
    first = carried(message, one)
    second = carried(first, two)
    assert first.properties is not None
    assert second.properties is not None
    assert first.properties.user_properties == ((HOPS, "one"), (IDENTITY, "one-1.1"))
    assert second.properties.user_properties == ((HOPS, "one"), (IDENTITY, "one-1.1"), (HOPS, "two"))
    assert [hops_of(each) for each in (message, first, second)] == [0, 1, 2]
    assert [has_passed(second, name) for name in ("one", "two", "three")] == [True, True, False]
    assert said(second.properties, IDENTITY) == "one-1.1"
    assert said(second.properties, BRIDGE) == said(None, BRIDGE) == ""


def test_a_message_has_the_same_identity_wherever_it_goes_and_no_other_has_it() -> None:
    hops = named("one")
    message, other = Message("a"), Message("a")
    assert hops.written_on(message) == hops.written_on(message)
    assert hops.written_on(message) != hops.written_on(other)


def test_a_broker_without_a_name_gives_itself_one() -> None:
    hops = Hops(names("nameless"))
    assert hops.name == hops.name == "nameless-1"
    other = Hops(names("other"))
    assert pairs(other.written_on(Message("a"))) == [(HOPS, "other-1"), (IDENTITY, "other-2.1")]


def test_a_repeat_is_known_by_its_identity_and_its_topic() -> None:
    source, target = named("source"), named("target")
    message = carried(Message("a", b"x", 1), source)
    assert [target.is_repeat(message) for _ in range(3)] == [False, True, True]
    elsewhere = Message("b", b"x", 1, properties=message.properties)
    assert not target.is_repeat(elsewhere)
    assert not target.is_repeat(Message("a", b"x", 1))
    assert source.is_repeat(message)


def test_a_repeat_is_forgotten_after_many_others() -> None:
    source, target = named("source"), named("target")
    first = carried(Message("a", b"", 1), source)
    assert not target.is_repeat(first)
    for number in range(100_000):
        properties = Properties(user_properties=((IDENTITY, f"life.{number}"),))
        assert not target.is_repeat(Message("a", b"", 1, properties=properties))
        if number == 60_000:
            assert target.is_repeat(first)
    assert not target.is_repeat(first)


def identified(identity: str, topic: str = "a", qos: int = 1) -> Message:
    return Message(topic, b"", qos, properties=Properties(user_properties=((IDENTITY, identity),)))


@pytest.mark.parametrize("identity", ["life.7", "life.007", "life.\u0667", "life.1_0", "7", ".7", "life.", "l" * 300])
def test_any_identity_will_do(identity: str) -> None:
    """Those of others need not be made like ours."""
    hops = named("one")
    others = ["life.1", "life.70", "life.+7", "life. 7", "other.7", "life.0", "life.10", "life.\u00b2", "9" * 30]
    for other in others:
        assert not hops.is_repeat(identified(other))
    for topic in ("a", "b", "c"):
        assert not hops.is_repeat(identified(identity, topic, 0))
        assert hops.is_repeat(identified(identity, topic, 0))
        assert not hops.is_repeat(identified(identity, topic, 2))  # it comes with a promise now
        for qos in (0, 1, 2):
            assert hops.is_repeat(identified(identity, topic, qos))
    assert all(hops.is_repeat(identified(other)) for other in others)


def test_long_identities_are_remembered_in_place_of_several() -> None:
    hops = named("one")
    first = identified("x.1")
    assert not hops.is_repeat(first)
    for number in range(1_000):
        assert not hops.is_repeat(identified(f"{'x' * 60_000}.{number}", "y" * 40_000))
    assert not hops.is_repeat(first)


def test_identities_are_counted_on() -> None:
    hops = named("one")
    found = [said(carried(Message("a"), hops).properties, IDENTITY) for _ in range(1_001)]
    assert found == [f"one-1.{number}" for number in range(1, 1_002)]
    hops.change_name("two")
    assert pairs(hops.written_on(Message("a"))) == [(HOPS, "two"), (IDENTITY, "one-1.1002")]


# Before MQTT 5


@pytest.mark.parametrize("version", [MQTT_3_1, MQTT_5])
def test_a_client_that_is_no_bridge_gets_nothing_added(world: World, version: int) -> None:
    sub = world.client("sub", version=version).subscribes("#")
    world.client("pub").publishes("a", b"x")
    assert sub.messages[0].properties is None


@pytest.mark.parametrize("version", [MQTT_3_1, MQTT_3_1_1])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_v3_bridge_does_not_get_back_what_it_sent(version: int, qos: int) -> None:
    network = Network()
    home, cloud = network.broker("home"), network.broker("cloud")
    link = home.bridges(cloud, EVERYTHING, version=version, notifications=False)
    here, there = home.client("here").subscribes("#", qos=2), cloud.client("there").subscribes("#", qos=2)
    home.client("pub").publishes("a", b"up", qos=qos)
    cloud.client("pub").publishes("a", b"down", qos=qos)
    assert here.payloads == there.payloads == [b"up", b"down"]
    assert publishes_of(link) == 2


@pytest.mark.parametrize("version", [MQTT_3_1, MQTT_3_1_1])
def test_a_v3_bridge_learns_what_is_to_be_retained(version: int) -> None:
    network = Network()
    home, cloud = network.broker("home"), network.broker("cloud")
    home.bridges(cloud, EVERYTHING, version=version, notifications=False)
    cloud.client("pub").publishes("a", b"x", retain=True)
    cloud.client("pub").publishes("b", b"x")
    assert retained_of(home, "a") == b"x"
    assert retained_of(home, "b") is None
