"""A mount point: clients of a listener see a part of all topics, and do not know it (Mosquitto's ``mount_point``)."""

from typing import Any

import pytest

from telex.codes import ReasonCode
from telex.engine.options import Options
from telex.engine.permissions import Permissions
from telex.wire.packets import Publish, SubAck, Subscribe, SubscriptionRequest, UnsubAck, Unsubscribe, Will
from telex.wire.properties import Properties
from tests.engine.world import Client, OneRule, World


def mounted(world: World, name: str, *, at: str = "house/", **manners: Any) -> Client:
    """A client that comes in by a listener with a mount point."""
    world.listener = Options(mount_point=at)
    client = world.client(name, **manners)
    world.listener = None
    return client


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("version", [3, 4, 5])
def test_what_they_publish_stands_below_it(world: World, qos: int, version: int) -> None:
    outside = world.client("outside").subscribes("#", qos=2)
    mounted(world, "inside", version=version).publishes("a/b", b"x", qos=qos)
    assert outside.topics == ["house/a/b"]
    assert outside.payloads == [b"x"]


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("version", [4, 5])
def test_they_get_what_stands_below_it_and_do_not_see_it(world: World, qos: int, version: int) -> None:
    inside = mounted(world, "inside", version=version).subscribes("#", qos=2)
    outside = world.client("outside", version=version)
    outside.publishes("house/a", b"below", qos=qos).publishes("other/a", b"elsewhere", qos=qos)
    assert (inside.topics, inside.payloads) == (["a"], [b"below"])


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("retain", [False, True])
def test_it_is_taken_off_once_though_a_topic_begins_with_it_twice(world: World, qos: int, retain: bool) -> None:
    inside = mounted(world, "inside").subscribes("#", qos=2, retain_as_published=True)
    properties = Properties(content_type="text")
    world.client("outside").publishes("house/house/a", b"x", qos=qos, retain=retain, properties=properties)
    assert inside.topics == ["house/a"]


def test_both_sides_get_each_their_own_name_of_one_message(world: World) -> None:
    inside = mounted(world, "inside").subscribes("a/+")
    outside = world.client("outside").subscribes("house/#")
    other = mounted(world, "other", at="house/a/").subscribes("b")
    mounted(world, "pub").publishes("a/b", b"1", qos=1).publishes("a/b", b"2")
    assert inside.topics == ["a/b"] * 2
    assert outside.topics == ["house/a/b"] * 2
    assert other.topics == ["b"] * 2


def test_retained_messages_too(world: World) -> None:
    mounted(world, "pub").publishes("a", b"x", qos=1, retain=True)
    assert world.client("outside").subscribes("house/a").topics == ["house/a"]
    assert mounted(world, "inside").subscribes("a").topics == ["a"]


def test_wills_too(world: World) -> None:
    outside = world.client("outside").subscribes("#")
    mounted(world, "inside", will=Will("gone", b"x")).drops()
    assert outside.topics == ["house/gone"]


def test_shared_subscriptions_too(world: World) -> None:
    inside = mounted(world, "inside").subscribes("$share/g/a/#")
    world.client("outside").publishes("house/a/b", b"x")
    assert inside.topics == ["a/b"]
    inside.sends(Unsubscribe(2, ["$share/g/a/#"]))
    assert inside.got[-1] == UnsubAck(2, [0])


def test_topic_aliases_name_what_the_client_sees(world: World) -> None:
    inside = mounted(world, "inside", topic_alias_maximum=5).subscribes("a")
    pub = mounted(world, "pub")
    pub.sends(Publish("a", b"1", properties=Properties(topic_alias=3)))
    pub.sends(Publish("", b"2", properties=Properties(topic_alias=3)))
    assert inside.topics == ["a", "a"]


def test_unsubscribing_names_the_same_filter(world: World) -> None:
    inside = mounted(world, "inside").subscribes("a")
    inside.sends(Unsubscribe(2, ["a", "house/a"]))
    assert inside.got[-1] == UnsubAck(2, [0, ReasonCode.NO_SUBSCRIPTION_EXISTED])


def test_a_filter_that_is_none_does_not_become_one(world: World) -> None:  # [MQTT-4.7.3-1]
    inside = mounted(world, "inside")
    inside.sends(Subscribe(1, [SubscriptionRequest("a/#/b", 0)]))
    assert inside.got == [SubAck(1, [ReasonCode.TOPIC_FILTER_INVALID])]


def test_permissions_are_about_the_whole_topic() -> None:  # as Mosquitto's
    class Below(Permissions):
        def may_publish(self, topic: str) -> bool:
            return topic == "house/a"

        def may_subscribe(self, topic_filter: str) -> bool:
            return topic_filter == "house/a"

    world = World(gate=OneRule(Below()))
    inside = mounted(world, "inside").subscribes("a", qos=1)
    inside.publishes("a", b"x", qos=1)
    assert inside.payloads == [b"x"]


@pytest.mark.parametrize("mount_point", ["a/+/", "#", "a\0"])
def test_a_mount_point_is_the_beginning_of_a_topic(mount_point: str) -> None:
    with pytest.raises(ValueError, match="mount_point"):
        Options(mount_point=mount_point)
