"""Which filter gets which message: live, retained and shared (section 4.7)."""

import pytest

from telex.codes import ReasonCode
from telex.engine.message import Message
from telex.engine.options import Options
from telex.topics import matches
from telex.wire.packets import Disconnect, Publish, SubAck, Subscribe
from telex.wire.packets import SubscriptionRequest as Request
from tests.engine.world import World

# (topic filter, topic name, whether it matches): the examples of the text, then the corners.
CASES = [
    ("sport/tennis/player1/#", "sport/tennis/player1", True),
    ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
    ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
    ("sport/#", "sport", True),
    ("#", "a", True),
    ("#", "a/b/c", True),
    ("sport/tennis/+", "sport/tennis/player1", True),
    ("sport/tennis/+", "sport/tennis/player1/ranking", False),
    ("sport/+", "sport", False),
    ("sport/+", "sport/", True),
    ("+/+", "/finance", True),
    ("/+", "/finance", True),
    ("+", "/finance", False),
    ("+/tennis/#", "sport/tennis", True),
    ("+/tennis/#", "sport/tennis/x/y", True),
    ("sport/+/player1", "sport/tennis/player1", True),
    ("sport/+/player1", "sport//player1", True),
    ("sport/+/player1", "sport/player1", False),
    ("+", "a", True),
    ("+/#", "a", True),
    ("+/#", "a/b", True),
    ("+/+/#", "a", False),
    ("#", "/", True),
    ("/#", "/", True),
    ("/#", "a", False),
    ("/", "/", True),
    ("/", "//", False),
    ("+/+", "/", True),
    ("//#", "//", True),
    ("a", "a", True),
    ("a", "A", False),
    ("ACCOUNTS", "Accounts", False),
    ("a", "a/", False),
    ("a", "/a", False),
    ("a/b", "a/b/c", False),
    ("a/b/c", "a/b", False),
    ("a/#", "ab", False),
    ("a/#", "b/a", False),
    ("a b", "a b", True),
    # A dollar in front is seen by nobody who does not ask for it.
    ("#", "$SYS/broker", False),
    ("+", "$SYS", False),
    ("+/broker", "$SYS/broker", False),
    ("+/#", "$SYS/broker", False),
    ("+/+", "$SYS/broker", False),
    ("$SYS/#", "$SYS/broker", True),
    ("$SYS/#", "$SYS", True),
    ("$SYS/+", "$SYS/broker", True),
    ("$SYS/broker", "$SYS/broker", True),
    ("$foo/#", "$foo/bar", True),
    ("#", "$foo", False),
    ("#", "$", False),
    ("$/+", "$/a", True),
    ("a/#", "a/$b", True),
    ("a/+", "a/$b", True),
    ("+/$b", "a/$b", True),
    ("#", "a/$SYS", True),
    ("/#", "/$SYS", True),
    # Nothing is a regular expression, and nothing is normalised.
    ("a.c", "abc", False),
    ("a.c", "a.c", True),
    ("a*", "aaa", False),
    ("(a|b)", "a", False),
    ("[a-z]/+", "a/b", False),
    ("[a-z]/+", "[a-z]/b", True),
    ("^a$", "a", False),
    ("\\d", "1", False),
    ("a?", "a", False),
    ("caf\u00e9", "cafe\u0301", False),
    ("\ufeffa", "a", False),
    ("\ufeffa", "\ufeffa", True),
    ("\u00c5", "\u212b", False),
]
EVERY = pytest.mark.parametrize(("topic_filter", "topic", "is_match"), CASES)


@EVERY
def test_a_live_message_finds_its_subscribers(world: World, topic_filter: str, topic: str, is_match: bool) -> None:
    # [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.2-1] [MQTT-4.7.3-4] [MQTT-3.3.2-3], K1, K5
    sub = world.client("sub").subscribes(topic_filter)
    world.publishes(Message(topic, b"x"))
    assert sub.got == ([Publish(topic, b"x")] if is_match else [])


@EVERY
def test_a_new_subscription_finds_its_retained_messages(
    world: World, topic_filter: str, topic: str, is_match: bool
) -> None:  # [MQTT-3.3.1-9] [MQTT-4.7.2-1], K1
    world.publishes(Message(topic, b"x", retain=True))
    assert world.client("sub").subscribes(topic_filter).payloads == ([b"x"] if is_match else [])


@EVERY
def test_a_shared_subscription_matches_the_same(world: World, topic_filter: str, topic: str, is_match: bool) -> None:
    # [MQTT-4.8.2-1] [MQTT-4.7.2-1], K1
    sub = world.client("sub").subscribes(f"$share/g/{topic_filter}")
    world.publishes(Message(topic, b"x"))
    assert sub.payloads == ([b"x"] if is_match else [])


@EVERY
def test_one_filter_against_one_name_says_the_same(topic_filter: str, topic: str, is_match: bool) -> None:
    # section 4.7
    assert matches(topic_filter, topic) == is_match


@EVERY
def test_others_that_are_there_change_nothing(world: World, topic_filter: str, topic: str, is_match: bool) -> None:
    # section 4.7.3: each filter by itself
    sub = world.client("sub").subscribes(topic_filter)
    others = world.client("others")
    for number, (each, _, _) in enumerate(CASES):
        if each != topic_filter:
            others.subscribes(each)
            if number % 2:
                others.unsubscribes(each)
    world.publishes(Message(topic, b"x"))
    assert sub.payloads == ([b"x"] if is_match else [])


# What is no filter, and what is no name

BAD_FILTERS = ["", "a#", "a/#/b", "#/a", "a+", "a/+b", "a/b+/c", "##", "a/##", "$share", "$share/", "$share/g"]
BAD_FILTERS += ["$share/g/", "$share//a", "$share/g+/a", "$share/#/a", "$share/g/a#", "$share/g/a/#/b"]


@pytest.mark.parametrize("topic_filter", BAD_FILTERS)
def test_a_v5_client_is_told_which_filter_is_none(world: World, topic_filter: str) -> None:
    # [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.8.2-1] [MQTT-4.8.2-2] [MQTT-3.8.4-6], K3
    sub = world.client("sub").sends(Subscribe(1, [Request("a"), Request(topic_filter), Request("b", 1)]))
    assert sub.takes() == [SubAck(1, [0, ReasonCode.TOPIC_FILTER_INVALID, 1])]
    world.publishes(Message("a", b"a"))
    world.publishes(Message("b", b"b"))
    assert sub.payloads == [b"a", b"b"]
    assert world.engine.subscriptions.count == 2


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("topic_filter", BAD_FILTERS)
def test_a_v3_client_that_sends_a_bad_filter_is_disconnected(world: World, topic_filter: str, version: int) -> None:
    # v3 [MQTT-4.7.1-2] [MQTT-4.7.1-3] [MQTT-4.7.3-1] [MQTT-4.8.0-1]
    sub = world.client("sub", version=version).sends(Subscribe(1, [Request(topic_filter)]))
    assert sub.got == []
    assert not sub.is_connected


@pytest.mark.parametrize("topic", ["a/#", "a/+", "#", "+", "a+b", "a#"])
@pytest.mark.parametrize("version", [4, 5])
def test_a_name_with_a_wildcard_closes_the_connection(world: World, topic: str, version: int) -> None:
    # [MQTT-3.3.2-2] [MQTT-4.7.0-1], v3 [MQTT-3.3.2-2], K2
    sub = world.client("sub").subscribes("#")
    name = topic.encode()
    body = len(name).to_bytes(2, "big") + name + (b"\0" if version == 5 else b"")
    pub = world.client("pub", version=version).sends_bytes(bytes([0x30, len(body)]) + body)
    assert pub.got == ([Disconnect(ReasonCode.TOPIC_NAME_INVALID)] if version == 5 else [])
    assert not pub.is_connected
    assert sub.got == []


@pytest.mark.parametrize("topic", ["$foo", "$", "$/a", "$share", "$share/g/a", "$SYSTEM", "$queue/a"])
def test_a_client_may_publish_to_a_name_with_a_dollar(world: World, topic: str) -> None:  # section 4.7.2, K2
    world.client("sub").subscribes("$foo")
    pub = world.client("pub").publishes(topic, b"x", qos=1)
    assert pub.is_connected


@pytest.mark.parametrize("topic", ["a" * 65_535, "/" * 65_535, "\u20ac" * 21_845])
def test_the_longest_names_go_through(topic: str) -> None:  # [MQTT-4.7.3-3]
    world = World(Options(max_topic_levels=65_536))
    sub = world.client("sub").subscribes("#", topic)
    world.client("pub").publishes(topic, b"x")
    assert sub.topics == [topic]


def test_both_wildcards_and_a_dollar_filter_get_what_is_theirs(world: World) -> None:  # [MQTT-4.7.2-1], K1
    sub = world.client("sub").subscribes("#", "$SYS/#")
    world.publishes(Message("$SYS/broker", b"sys"))
    world.publishes(Message("a", b"a"))
    assert sub.payloads == [b"sys", b"a"]
