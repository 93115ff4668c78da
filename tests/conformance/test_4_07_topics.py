"""Topic names and topic filters: which are valid, and which match (section 4.7)."""

import pytest

from telex.wire.packets import Disconnect, Publish, SubAck, Subscribe, SubscriptionRequest, Unsubscribe
from tests.conformance.marks import each_version, edge, mqtt
from tests.engine.world import Client, World


def text(data: str | bytes) -> bytes:
    """A string behind its length (section 1.5.4)."""
    data = data.encode() if isinstance(data, str) else data
    return len(data).to_bytes(2, "big") + data


def packet(first: int, rest: bytes) -> bytes:
    """A packet shorter than 128 bytes."""
    return bytes([first, len(rest)]) + rest


def publish(topic: str | bytes, version: int) -> bytes:
    """PUBLISH at QoS 0."""
    return packet(0x30, text(topic) + (b"\0" if version == 5 else b"") + b"x")


def subscribe(topic_filter: str | bytes, version: int) -> bytes:
    """SUBSCRIBE at QoS 0."""
    return packet(0x82, b"\0\x01" + (b"\0" if version == 5 else b"") + text(topic_filter) + b"\0")


def unsubscribe(topic_filter: str | bytes, version: int) -> bytes:
    """UNSUBSCRIBE."""
    return packet(0xA2, b"\0\x01" + (b"\0" if version == 5 else b"") + text(topic_filter))


def is_refused(client: Client) -> bool:
    """Whether its SUBSCRIBE was refused: the text leaves it open whether by SUBACK or by closing the connection."""
    if not client.is_connected:
        return True
    (answer,) = client.got
    return isinstance(answer, SubAck) and all(code >= 0x80 for code in answer.reason_codes)


# Wildcards

NAMES = ["a/#", "a/+", "#", "+", "a+b", "a#", "+/a", "a/+/b"]


@mqtt("MQTT-4.7.0-1", "MQTT-3.3.2-2")
@mqtt("MQTT-4.7.1-1", "MQTT-3.3.2-2", v3=True)
@each_version
@pytest.mark.parametrize("topic", NAMES)
def test_a_topic_name_with_a_wildcard_ends_the_connection(world: World, topic: str, version: int) -> None:
    watcher = world.client("watcher").subscribes("#")
    pub = world.client("pub", version=version).sends_bytes(publish(topic, version))
    assert not pub.is_connected
    assert watcher.got == []


@mqtt("MQTT-4.7.0-1")
@mqtt("MQTT-4.7.1-1", v3=True)
@each_version
@pytest.mark.parametrize("topic", ["a/#", "+"])
def test_a_will_with_a_wildcard_is_refused(world: World, topic: str, version: int) -> None:
    watcher = world.client("watcher").subscribes("#")
    head = bytes.fromhex("0004 4d515454") + bytes([version]) + b"\x06\0\0"  # flags: will, Clean Start
    no_properties = b"\0" if version == 5 else b""
    rest = head + no_properties + text("c") + no_properties + text(topic) + text("x")
    assert not world.stranger(version=version).sends_bytes(packet(0x10, rest)).is_connected
    assert watcher.got == []


@mqtt("MQTT-4.7.1-1")
@mqtt("MQTT-4.7.1-2", v3=True)
@each_version
@pytest.mark.parametrize("topic_filter", ["a#", "a/#/b", "#/a", "##", "a/##", "a/b#", "#a", "+#", "#/"])
def test_a_hash_stands_alone_or_after_a_slash_and_last(world: World, topic_filter: str, version: int) -> None:
    assert is_refused(world.client("c", version=version).sends_bytes(subscribe(topic_filter, version)))


@mqtt("MQTT-4.7.1-1")
@mqtt("MQTT-4.7.1-2", v3=True)
@each_version
@pytest.mark.parametrize(
    ("topic_filter", "topic", "is_match"),
    [
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("sport/#", "sport/", True),
        ("sport/#", "sports", False),
        ("sport/#", "a/sport", False),
        ("#", "a", True),
        ("#", "/", True),
        ("#", "a/b/c", True),
        ("/#", "a", False),
        ("/#", "/a", True),
        ("sport/tennis/#", "sport/tennis", True),
        ("sport/tennis/#", "sport", False),
    ],
)
def test_a_hash_matches_its_parent_and_all_levels_below(
    world: World, topic_filter: str, topic: str, is_match: bool, version: int
) -> None:
    sub = world.client("sub", version=version).subscribes(topic_filter)
    world.client("pub", version=version).publishes(topic, b"x")
    assert sub.got == ([Publish(topic, b"x")] if is_match else [])


@mqtt("MQTT-4.7.1-2")
@mqtt("MQTT-4.7.1-3", v3=True)
@each_version
@pytest.mark.parametrize("topic_filter", ["sport+", "+sport", "a/+b", "a/b+/c", "++", "a/++/b", "+a/#"])
def test_a_plus_fills_its_level(world: World, topic_filter: str, version: int) -> None:
    assert is_refused(world.client("c", version=version).sends_bytes(subscribe(topic_filter, version)))


@mqtt("MQTT-4.7.1-2")
@mqtt("MQTT-4.7.1-3", v3=True)
@each_version
@pytest.mark.parametrize(
    ("topic_filter", "topic", "is_match"),
    [
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+", "sport", True),
        ("+", "/finance", False),
        ("/+", "/finance", True),
        ("+/+", "/finance", True),
        ("+/tennis/#", "sport/tennis", True),
        ("+/tennis/#", "sport/tennis/x/y", True),
        ("sport/+/player1", "sport/tennis/player1", True),
        ("sport/+/player1", "sport//player1", True),
        ("sport/+/player1", "sport/player1", False),
        ("+/+/#", "a", False),
        ("+/+", "/", True),
    ],
)
def test_a_plus_matches_one_level_at_any_place(
    world: World, topic_filter: str, topic: str, is_match: bool, version: int
) -> None:
    sub = world.client("sub", version=version).subscribes(topic_filter)
    world.client("pub", version=version).publishes(topic, b"x")
    assert sub.got == ([Publish(topic, b"x")] if is_match else [])


@pytest.mark.parametrize("topic_filter", ["", "a#", "a/+b"])
def test_a_v5_client_is_told_which_of_its_filters_is_invalid(engine: World, topic_filter: str) -> None:
    # Section 3.9.3 has a code for it, so the connection lives on.
    requests = [SubscriptionRequest("a"), SubscriptionRequest(topic_filter), SubscriptionRequest("b", 1)]
    client = engine.client("c").sends(Subscribe(1, requests))
    assert client.got == [SubAck(1, [0, 0x8F, 1])]
    assert client.is_connected


@pytest.mark.parametrize("topic_filter", ["", "a#", "a/+b"])
def test_a_v3_client_with_an_invalid_filter_is_disconnected(engine: World, topic_filter: str) -> None:
    # SUBACK 0x80 says that a valid request was not granted; what breaks a rule ends the connection, v3 section 4.8.
    client = engine.client("c", version=4).sends(Subscribe(1, [SubscriptionRequest(topic_filter)]))
    assert client.got == []
    assert not client.is_connected


# Topics beginning with $


@edge("K1")
@mqtt("MQTT-4.7.2-1")
@mqtt("MQTT-4.7.2-1", v3=True)
@each_version
@pytest.mark.parametrize("topic_filter", ["#", "+/#", "+", "+/b", "+/+"])
@pytest.mark.parametrize("topic", ["$a", "$a/b"])
def test_a_wildcard_in_front_matches_no_topic_with_a_dollar(
    world: World, topic_filter: str, topic: str, version: int
) -> None:
    sub = world.client("sub", version=version).subscribes(topic_filter, qos=1)
    pub = world.client("pub", version=version).publishes(topic, b"x", qos=1)
    assert sub.got == []
    pub.publishes("a" if topic_filter in ("#", "+", "+/#") else "a/b", b"y", qos=1)
    assert sub.payloads == [b"y"]


@edge("K1")
@mqtt("MQTT-4.7.2-1")
@mqtt("MQTT-4.7.2-1", v3=True)
@each_version
@pytest.mark.parametrize("topic_filter", ["#", "+/monitor/Clients"])
def test_a_retained_message_with_a_dollar_is_no_match_either(world: World, topic_filter: str, version: int) -> None:
    world.client("pub", version=version).publishes("$a/monitor/Clients", b"x", retain=True)
    sub = world.client("sub", version=version).subscribes(topic_filter)
    assert [topic for topic in sub.topics if topic.startswith("$")] == []


@mqtt("MQTT-4.7.2-1")
@mqtt("MQTT-4.7.2-1", v3=True)
@each_version
def test_a_dollar_elsewhere_is_a_character_like_others(world: World, version: int) -> None:
    sub = world.client("sub", version=version).subscribes("#")
    world.client("pub", version=version).publishes("a/$b", b"1").publishes("/$a", b"2").publishes("a$", b"3")
    assert sub.payloads == [b"1", b"2", b"3"]


@edge("K1")
@each_version
@pytest.mark.parametrize("topic_filter", ["$foo/#", "$foo/+", "$foo/bar"])
def test_a_filter_with_the_dollar_itself_matches(engine: World, topic_filter: str, version: int) -> None:
    # Section 4.7.2. Whether clients may publish there is a broker's own affair.
    sub = engine.client("sub", version=version).subscribes("#", topic_filter)
    engine.client("pub", version=version).publishes("$foo/bar", b"x").publishes("foo", b"y")
    assert sub.payloads == [b"x", b"y"]


# What all names and filters have to be


@mqtt("MQTT-4.7.3-1")
@mqtt("MQTT-4.7.3-1", v3=True)
@each_version
def test_an_empty_topic_name_ends_the_connection(world: World, version: int) -> None:
    watcher = world.client("watcher").subscribes("#")
    assert not world.client("c", version=version).sends_bytes(publish("", version)).is_connected
    assert watcher.got == []


@mqtt("MQTT-4.7.3-1")
@mqtt("MQTT-4.7.3-1", v3=True)
@each_version
def test_an_empty_filter_is_refused(world: World, version: int) -> None:
    assert is_refused(world.client("c", version=version).sends_bytes(subscribe("", version)))


@mqtt("MQTT-4.7.3-1")
@mqtt("MQTT-4.7.3-1", v3=True)
@each_version
@pytest.mark.parametrize("topic", ["a", "/", " ", "//", "é"])
def test_one_character_is_enough(world: World, topic: str, version: int) -> None:
    sub = world.client("sub", version=version).subscribes(topic)
    world.client("pub", version=version).publishes(topic, b"x")
    assert sub.got == [Publish(topic, b"x")]


@mqtt("MQTT-4.7.3-2", "MQTT-1.5.4-2")
@mqtt("MQTT-4.7.3-2", v3=True)
@each_version
@pytest.mark.parametrize("topic", ["\0", "a\0", "\0a", "a/\0/b"])
def test_a_null_character_in_a_topic_name_ends_the_connection(world: World, topic: str, version: int) -> None:
    watcher = world.client("watcher").subscribes("#")
    assert not world.client("c", version=version).sends_bytes(publish(topic, version)).is_connected
    assert watcher.got == []


@mqtt("MQTT-4.7.3-2", "MQTT-1.5.4-2")
@mqtt("MQTT-4.7.3-2", v3=True)
@each_version
@pytest.mark.parametrize("topic_filter", ["\0", "a\0", "a/\0/#"])
def test_a_null_character_in_a_filter_ends_the_connection(world: World, topic_filter: str, version: int) -> None:
    assert not world.client("c", version=version).sends_bytes(subscribe(topic_filter, version)).is_connected
    assert not world.client("d", version=version).sends_bytes(unsubscribe(topic_filter, version)).is_connected


@mqtt("MQTT-4.7.3-3")
@mqtt("MQTT-4.7.3-3", v3=True)
@each_version
@pytest.mark.parametrize("topic", ["a" * 65_535, "€" * 21_845], ids=["of 1-byte characters", "of 3-byte characters"])
def test_names_and_filters_may_have_65535_bytes(world: World, topic: str, version: int) -> None:
    # More cannot be said in a length of two bytes: this is the edge.
    sub = world.client("sub", version=version).subscribes(topic, qos=1)
    world.client("pub", version=version).publishes(topic, b"x", qos=1)
    assert sub.topics == [topic]
    sub.unsubscribes(topic)


each_likeness = pytest.mark.parametrize(
    ("topic_filter", "topic"),
    [
        ("ACCOUNTS", "Accounts"),
        ("a", "a/"),
        ("a", "/a"),
        ("a/b", "a//b"),
        ("a/b", "a/./b"),
        ("b", "a/../b"),
        ("a", "a "),
        ("a b", "a+b".replace("+", "%20")),
        ("caf\u00e9", "cafe\u0301"),  # the same to the eye: composed and decomposed
        ("\u00c5", "\u212b"),  # and canonically equivalent
        ("a", "\ufeffa"),
        ("stra\u00dfe", "strasse"),
        ("a.c", "abc"),
        ("a*", "aaa"),
        ("[a-z]/+", "a/b"),
    ],
)


@mqtt("MQTT-4.7.3-4")
@mqtt("MQTT-4.7.3-4", v3=True)
@each_version
@each_likeness
def test_nothing_is_normalised(world: World, topic_filter: str, topic: str, version: int) -> None:
    sub = world.client("sub", version=version).subscribes(topic_filter)
    itself = world.client("itself", version=version).subscribes(topic)
    pub = world.client("pub", version=version).publishes(topic, b"x")
    assert sub.got == []
    assert itself.got == [Publish(topic, b"x")]
    if "+" not in topic_filter:
        pub.publishes(topic_filter, b"y")
        assert sub.got == [Publish(topic_filter, b"y")]
        assert itself.payloads == [b"x"]


@mqtt("MQTT-4.7.3-4")
@mqtt("MQTT-4.7.3-4", v3=True)
@each_version
@each_likeness
def test_nothing_is_normalised_for_retained_messages(world: World, topic_filter: str, topic: str, version: int) -> None:
    world.client("pub", version=version).publishes(topic, b"x", retain=True)
    assert world.client("sub", version=version).subscribes(topic_filter).got == []
    assert world.client("itself", version=version).subscribes(topic).topics == [topic]


@mqtt("MQTT-4.7.3-4")
@mqtt("MQTT-4.7.3-4", v3=True)
@each_version
@pytest.mark.parametrize("topic", ["\ufffd", "\ue000", "\U0001f4e8/\U000f0000", "\u200b", "A a/\u0301"])
def test_characters_that_a_broker_may_not_know_go_through_as_they_are(world: World, topic: str, version: int) -> None:
    sub = world.client("sub", version=version).subscribes("#", topic)
    world.client("pub", version=version).publishes(topic, b"x")
    assert set(sub.topics) == {topic}


@mqtt("MQTT-4.7.3-4")
@mqtt("MQTT-4.7.3-4", v3=True)
@each_version
def test_only_the_same_filter_unsubscribes(world: World, version: int) -> None:
    sub = world.client("sub", version=version).subscribes("a/+", "caf\u00e9")
    sub.sends(Unsubscribe(1, ["a/#", "A/+", "a/+/", "cafe\u0301"])).takes()
    world.client("pub", version=version).publishes("a/b", b"1").publishes("caf\u00e9", b"2")
    assert sub.payloads == [b"1", b"2"]


@edge("K2")
def test_the_code_for_a_wildcard_in_a_topic_name(engine: World) -> None:
    # Section 3.3.2.1 names no code; 0x90 Topic Name invalid says most.
    client = engine.client("c").sends_bytes(publish("a/+", 5))
    assert client.got == [Disconnect(0x90)]
