"""Retained messages (sections 3.3.1.3 and 3.8.3.1)."""

import pytest

from telex.engine.deadlines import Deadlines
from telex.engine.message import Message
from telex.engine.options import Options
from telex.engine.retained import Retained
from telex.wire.packets import Publish, SubAck, Subscribe, SubscriptionRequest
from telex.wire.properties import Properties
from tests.engine.world import World

VERSIONS = pytest.mark.parametrize("version", [3, 4, 5])


@VERSIONS
def test_who_subscribes_later_gets_the_last_retained_message(world: World, version: int) -> None:
    # [MQTT-3.3.1-5] [MQTT-3.3.1-9], v3 [MQTT-3.3.1-6]
    world.client("pub").publishes("a", b"1", retain=True).publishes("a", b"2", retain=True)
    sub = world.client("sub", version=version).subscribes("a")
    assert sub.got == [Publish("a", b"2", retain=True)]


@pytest.mark.parametrize("stored", [3, 4, 5])
@pytest.mark.parametrize("read", [3, 4, 5])
def test_who_stored_it_does_not_matter(world: World, stored: int, read: int) -> None:  # R5
    world.client("pub", version=stored).publishes("a", b"x", qos=1, retain=True).disconnects()
    sub = world.client("sub", version=read, acknowledges=False).subscribes("a", qos=1)
    assert sub.got == [Publish("a", b"x", qos=1, retain=True, packet_id=1)]


def test_a_message_that_is_not_retained_changes_nothing(world: World) -> None:  # [MQTT-3.3.1-8]
    pub = world.client("pub").publishes("a", b"kept", retain=True)
    pub.publishes("a", b"live").publishes("a", b"").publishes("b", b"live")
    assert world.client("sub").subscribes("#").payloads == [b"kept"]


@pytest.mark.parametrize("retained", [0, 1, 2])
@pytest.mark.parametrize("granted", [0, 1, 2])
def test_a_retained_message_comes_at_the_lower_qos(world: World, retained: int, granted: int) -> None:
    # [MQTT-3.8.4-8]
    world.client("pub").publishes("a", b"x", qos=retained, retain=True)
    sub = world.client("sub", acknowledges=False).subscribes("a", qos=granted)
    assert [message.qos for message in sub.messages] == [min(retained, granted)]


@VERSIONS
def test_an_empty_retained_message_clears_and_is_passed_on(world: World, version: int) -> None:
    # [MQTT-3.3.1-6] [MQTT-3.3.1-7], v3 [MQTT-3.3.1-10] [MQTT-3.3.1-11], R1
    sub = world.client("sub", version=version).subscribes("a")
    pub = world.client("pub", version=version).publishes("a", b"x", retain=True).publishes("a", b"", retain=True)
    assert sub.got == [Publish("a", b"x"), Publish("a", b"")]
    assert world.client("late").subscribes("a").got == []
    assert world.engine.retained.count == 0
    assert pub.is_connected


def test_an_empty_retained_message_is_passed_on_where_there_was_none(world: World) -> None:  # [MQTT-3.3.1-6], R1
    sub = world.client("sub").subscribes("a", retain_as_published=True)
    world.client("pub").publishes("a", b"", retain=True)
    assert sub.got == [Publish("a", b"", retain=True)]
    assert world.engine.retained.count == 0


def test_clearing_one_topic_leaves_its_neighbours(world: World) -> None:  # [MQTT-3.3.1-6]
    pub = world.client("pub")
    topics = ["a", "a/b", "a/b/c", "a/b/d", "a/", "/a", "/", "b"]
    for topic in topics:
        pub.publishes(topic, topic.encode(), retain=True)
    for number, topic in enumerate(topics):
        pub.publishes(topic, b"", retain=True)
        left = world.client("sub").subscribes("#").topics
        assert sorted(left) == sorted(topics[number + 1 :])


# RETAIN as receivers see it


@pytest.mark.parametrize("retain_as_published", [False, True])
def test_retain_is_set_for_a_new_subscription(world: World, retain_as_published: bool) -> None:
    # v3 [MQTT-3.3.1-8], section 3.3.1.3, R2
    world.client("pub").publishes("a", b"x", retain=True)
    sub = world.client("sub").subscribes("a", retain_as_published=retain_as_published)
    assert sub.got == [Publish("a", b"x", retain=True)]


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_retain_is_not_set_for_an_established_subscription(world: World, version: int, qos: int) -> None:
    # [MQTT-3.3.1-12], v3 [MQTT-3.3.1-9], R2
    sub = world.client("sub", version=version, acknowledges=False).subscribes("a", qos=2)
    world.client("pub").publishes("a", b"x", qos=qos, retain=True)
    assert [message.retain for message in sub.messages] == [False]


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("retain", [False, True])
def test_retain_as_published_means_what_it_says(world: World, retain: bool, qos: int) -> None:  # [MQTT-3.3.1-13]
    sub = world.client("sub", acknowledges=False).subscribes("a", qos=2, retain_as_published=True)
    world.client("pub").publishes("a", b"x", qos=qos, retain=retain)
    assert [message.retain for message in sub.messages] == [retain]


@pytest.mark.parametrize("retain_as_published", [False, True])
def test_retain_is_remembered_with_what_waits(world: World, retain_as_published: bool) -> None:
    # [MQTT-3.3.1-12] [MQTT-3.3.1-13]
    sub = world.client("sub", session_expiry=60).subscribes("a", qos=1, retain_as_published=retain_as_published)
    sub.drops()
    world.client("pub").publishes("a", b"x", qos=1, retain=True)
    assert [message.retain for message in sub.returns().messages] == [retain_as_published]


# Retain handling


def test_handling_0_sends_them_each_time(world: World) -> None:  # [MQTT-3.3.1-9] [MQTT-3.8.4-4], R3
    world.client("pub").publishes("a", b"x", retain=True)
    sub = world.client("sub").subscribes("a").subscribes("a").subscribes("a", qos=1)
    assert sub.payloads == [b"x"] * 3


@pytest.mark.parametrize("version", [3, 4])
def test_a_v3_client_gets_them_each_time(world: World, version: int) -> None:  # v3 [MQTT-3.8.4-3]
    world.client("pub").publishes("a", b"x", retain=True)
    sub = world.client("sub", version=version).subscribes("a").subscribes("a")
    assert sub.payloads == [b"x", b"x"]


def test_handling_1_sends_them_for_new_subscriptions(world: World) -> None:  # [MQTT-3.3.1-10], R3
    world.client("pub").publishes("a", b"x", retain=True)
    sub = world.client("sub").subscribes("a", retain_handling=1)
    assert sub.payloads == [b"x"]
    sub.subscribes("a", retain_handling=1).subscribes("a", qos=1, retain_handling=1)
    assert sub.payloads == [b"x"]
    sub.subscribes("+", retain_handling=1)  # another filter is another subscription
    assert sub.payloads == [b"x"] * 2
    sub.unsubscribes("a").subscribes("a", retain_handling=1)
    assert sub.payloads == [b"x"] * 3


def test_handling_1_knows_the_subscriptions_of_a_kept_session(world: World) -> None:  # [MQTT-3.3.1-10]
    world.client("pub").publishes("a", b"x", retain=True)
    sub = world.client("sub", session_expiry=60).subscribes("a", retain_handling=1).drops().returns()
    assert sub.subscribes("a", retain_handling=1).got == []


def test_handling_2_sends_none(world: World) -> None:  # [MQTT-3.3.1-11], R3
    world.client("pub").publishes("a", b"x", retain=True)
    assert world.client("sub").subscribes("a", retain_handling=2).got == []


def test_a_returning_client_gets_none_without_a_subscribe(world: World) -> None:  # section 3.3.1.3, T4
    world.client("pub").publishes("a", b"x", retain=True)
    assert world.client("sub", session_expiry=60).subscribes("a").drops().returns().got == []


# Together with other things


def test_they_carry_the_subscription_identifier(world: World) -> None:  # [MQTT-3.3.4-3], R3
    world.client("pub").publishes("a", b"x", retain=True)
    sub = world.client("sub").subscribes("#", identifier=77)
    assert sub.messages[0].properties == Properties(subscription_identifiers=(77,))


def test_they_carry_the_properties_that_they_came_with(world: World) -> None:  # [MQTT-3.3.2-17] [MQTT-3.3.2-20]
    said = Properties(content_type="text", response_topic="r", user_properties=(("b", "1"), ("a", "2"), ("b", "1")))
    world.client("pub").publishes("a", b"x", retain=True, properties=said)
    first = Properties(content_type="text", response_topic="r", user_properties=(("b", "1"), ("a", "2"), ("b", "1")))
    assert world.client("sub").subscribes("a").messages[0].properties == first


def test_shared_subscriptions_get_none(world: World) -> None:  # section 4.8.2, R3
    world.client("pub").publishes("a", b"x", retain=True)
    assert world.client("sub").subscribes("$share/g/a").got == []


def test_each_filter_of_a_subscribe_asks_for_its_own(world: World) -> None:  # [MQTT-3.8.4-5]
    world.client("pub").publishes("a", b"a", retain=True).publishes("b", b"b", retain=True)
    sub = world.client("sub").subscribes("a", "+", "c")
    assert sorted(sub.payloads) == [b"a", b"a", b"b"]


def test_they_come_behind_the_suback(world: World) -> None:  # [MQTT-3.8.4-1]: permitted before it, expected after it
    world.client("pub").publishes("a", b"x", retain=True)
    sub = world.client("sub").sends(Subscribe(1, [SubscriptionRequest("a")]))
    assert sub.got == [SubAck(1, [0]), Publish("a", b"x", retain=True)]


@pytest.mark.parametrize("qos", [1, 2])
def test_they_respect_the_receive_maximum(world: World, qos: int) -> None:  # [MQTT-3.3.4-9]
    pub = world.client("pub")
    for number in range(10):
        pub.publishes(f"a/{number}", b"%d" % number, qos=qos, retain=True)
    sub = world.client("sub", receive_maximum=2).subscribes("a/#", qos=qos)
    assert sorted(sub.payloads) == [b"%d" % number for number in range(10)]


def test_the_broker_may_retain_its_own(world: World) -> None:  # section 4.7.2
    world.publishes(Message("$SYS/broker/version", b"x", 2, True))
    assert world.client("sub").subscribes("$SYS/#").payloads == [b"x"]


def test_a_broker_that_retains_nothing_does_not_retain_its_own() -> None:  # section 3.2.2.3.5
    world = World(Options(retain_available=False))
    sub = world.client("sub").subscribes("$SYS/#")
    world.publishes(Message("$SYS/broker/version", b"x", 2, True))
    assert sub.payloads == [b"x"]
    assert world.engine.retained.count == 0


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_all_of_them_come_however_many_may_wait(qos: int) -> None:  # [MQTT-3.3.1-9]
    world = World(Options(max_inflight_messages=2, max_queued_messages=2))
    pub = world.client("pub")
    for number in range(10):
        pub.publishes(f"a/{number}", b"%d" % number, qos=qos, retain=True)
    sub = world.client("sub").subscribes("a/#", qos=qos)
    assert sorted(sub.payloads) == [b"%d" % number for number in range(10)]


@pytest.mark.parametrize("publisher", ["drops", "disconnects"])
def test_they_outlive_their_publisher(world: World, publisher: str) -> None:  # section 4.1: no part of a session
    pub = world.client("pub").publishes("a", b"x", retain=True)
    if publisher == "drops":
        pub.drops()
    else:
        pub.disconnects()
    assert world.client("sub").subscribes("a").payloads == [b"x"]


# retained.py by itself


def never(topic: str) -> None:
    """Nothing expires in this story."""
    raise AssertionError(f"the retained message of {topic} expired")


def test_the_store_counts_messages_and_bytes() -> None:  # section 3.3.1.3
    retained = Retained(Deadlines(), never)
    retained.store(Message("a/b", b"12345"))
    retained.store(Message("a/c", b"123"))
    assert (retained.count, retained.bytes) == (2, 8)
    retained.store(Message("a/b", b"1"))
    assert (retained.count, retained.bytes) == (2, 4)
    assert retained.remove("a/b")
    assert (retained.count, retained.bytes) == (1, 3)
    assert retained.remove("a/c")
    assert (retained.count, retained.bytes) == (0, 0)


@pytest.mark.parametrize("topic", ["x", "a", "a/b/c", "a/", "/a/b", ""])
def test_removing_what_is_not_there_says_so(topic: str) -> None:  # [MQTT-3.3.1-6]
    retained = Retained(Deadlines(), never)
    retained.store(Message("a/b", b"x"))
    assert not retained.remove(topic)
    assert retained.count == 1


def test_the_store_gives_back_one_topic() -> None:  # [MQTT-3.3.1-5]
    retained = Retained(Deadlines(), never)
    message = Message("a/b", b"x", expires_at=5.0)
    retained.store(message)
    assert retained.get("a/b", 4.0) is message
    assert retained.get("a/b", 5.0) is None
    assert retained.get("a", 4.0) is None


def test_an_expired_message_is_forgotten_by_the_clock() -> None:  # [MQTT-3.3.2-5]
    deadlines = Deadlines()
    expired: list[str] = []
    retained = Retained(deadlines, expired.append)
    retained.store(Message("a/b", b"x", expires_at=5.5))
    retained.store(Message("a", b"y"))
    deadlines.tick(5.0)
    assert (retained.count, expired) == (2, [])
    deadlines.tick(6.0)
    assert (retained.count, retained.bytes, len(deadlines)) == (1, 1, 0)
    assert expired == ["a/b"]


def test_a_message_that_replaces_an_expiring_one_does_not_expire() -> None:  # [MQTT-3.3.1-5]
    deadlines = Deadlines()
    retained = Retained(deadlines, never)
    retained.store(Message("a", b"x", expires_at=5.0))
    retained.store(Message("a", b"y"))
    assert len(deadlines) == 0
    deadlines.tick(10.0)
    assert [message.payload for message in retained.matching("#", 10.0)] == [b"y"]


def test_the_store_gives_back_everything() -> None:  # whoever writes a backup needs it
    retained = Retained(Deadlines(), never)
    messages = {topic: Message(topic, b"x") for topic in ("a", "a/b", "$SYS/x", "/", "b/c/d")}
    for message in messages.values():
        retained.store(message)
    assert {message.topic: message for message in retained.all()} == messages


@pytest.mark.parametrize(
    ("topic", "size", "has_room"),
    [("new", 0, True), ("new", 5, True), ("new", 6, False), ("a", 15, True), ("a", 16, False), ("b", 6, False)],
)
def test_the_store_knows_what_it_has_room_for(topic: str, size: int, has_room: bool) -> None:  # memory is bounded
    retained = Retained(Deadlines(), never)
    retained.store(Message("a", b"x" * 10))
    retained.store(Message("b", b""))
    assert retained.has_room(Message(topic, b"x" * size), 3, 15) is has_room


def test_a_full_store_takes_what_stands_in_place_of_another() -> None:  # [MQTT-3.3.1-5]
    retained = Retained(Deadlines(), never)
    retained.store(Message("a/b", b"x" * 10))
    assert retained.has_room(Message("a/b", b"x" * 15), 1, 15)
    assert not retained.has_room(Message("a/b", b"x" * 16), 1, 15)
    assert not retained.has_room(Message("a", b""), 1, 15)
    # What is too large already, since the limits are those of another start, may at least become smaller.
    assert retained.has_room(Message("a/b", b"x" * 10), 1, 5)
