"""The properties of PUBLISH: what travels with a message, counts down, stands for a topic (section 3.3.2.3)."""

from collections.abc import Callable
from typing import Any

import pytest

from telex.engine.options import Options
from telex.wire.packets import PubAck, Publish, Will
from telex.wire.properties import Properties
from tests.conformance.marks import edge, mqtt
from tests.conformance.words import ends
from tests.engine.world import Client, World

MALFORMED = 0x81
PROTOCOL_ERROR = 0x82
NOT_THIS_NAME = 0x90
NOT_THIS_ALIAS = 0x94

every_qos = pytest.mark.parametrize("qos", [0, 1, 2])
every_way = pytest.mark.parametrize("way", ["live", "retained", "waiting", "repeated", "will"])


# What travels with a message


def forwarded(world: World, way: str, **said: Any) -> Properties | None:
    """The properties that a subscriber gets of a message that was published with those."""
    properties = Properties(**said)
    sub = world.client("sub", session_expiry=60, acknowledges=way != "repeated")
    if way == "will":
        sub.subscribes("a", qos=1)
        world.client("pub", will=Will("a", b"x", qos=1, properties=properties)).drops()
    elif way == "retained":
        world.client("pub").publishes("a", b"x", 1, retain=True, properties=properties)
        sub.subscribes("a", qos=1)
    else:
        sub.subscribes("a", qos=1)
        if way == "waiting":
            sub.drops()
        world.client("pub").publishes("a", b"x", 1, properties=properties)
        if way != "live":
            sub = (sub.drops() if way == "repeated" else sub).returns()
    (message,) = sub.messages
    return message.properties


@mqtt("MQTT-3.3.2-4")
@pytest.mark.parametrize("indicator", [0, 1])
@every_way
def test_the_payload_format_indicator_is_forwarded(world: World, way: str, indicator: int) -> None:
    assert forwarded(world, way, payload_format_indicator=indicator) == Properties(payload_format_indicator=indicator)


@mqtt("MQTT-3.3.2-15")
@pytest.mark.parametrize("topic", ["a", "/ä/ö/", "$SYS/𝄞", "x" * 10_000])
@every_way
def test_the_response_topic_is_forwarded(world: World, way: str, topic: str) -> None:
    assert forwarded(world, way, response_topic=topic) == Properties(response_topic=topic)


@mqtt("MQTT-3.3.2-16")
@pytest.mark.parametrize("data", [b"", b"\0", bytes(range(256)) * 50], ids=["empty", "zero", "long"])
@every_way
def test_correlation_data_are_forwarded(world: World, way: str, data: bytes) -> None:
    assert forwarded(world, way, correlation_data=data) == Properties(correlation_data=data)


@mqtt("MQTT-3.3.2-17", "MQTT-3.3.2-18")
@every_way
def test_user_properties_are_forwarded_all_and_in_order(world: World, way: str) -> None:
    pairs = (("b", "1"), ("a", "2"), ("", ""), ("b", "0"), ("B", "ä𝄞"), ("b", "1"), ("a", "x" * 1_000))
    assert forwarded(world, way, user_properties=pairs) == Properties(user_properties=pairs)


@mqtt("MQTT-3.3.2-20")
@pytest.mark.parametrize("content_type", ["", "text/plain; charset=utf-8", "ä\ufeff𝄞"])
@every_way
def test_the_content_type_is_forwarded(world: World, way: str, content_type: str) -> None:
    assert forwarded(world, way, content_type=content_type) == Properties(content_type=content_type)


@mqtt("MQTT-3.3.2-4", "MQTT-3.3.2-15", "MQTT-3.3.2-16", "MQTT-3.3.2-17", "MQTT-3.3.2-18", "MQTT-3.3.2-20")
@every_qos
def test_all_subscribers_get_all_properties(world: World, qos: int) -> None:
    subs = [world.client(f"sub{granted}").subscribes("a", qos=granted) for granted in (0, 1, 2)]
    older = world.client("older", version=4).subscribes("a")
    said: dict[str, Any] = {
        "payload_format_indicator": 1,
        "content_type": "text",
        "response_topic": "r",
        "correlation_data": b"1",
        "user_properties": (("b", "1"), ("a", "2")),
    }
    world.client("pub").publishes("a", b"x", qos, properties=Properties(**said))
    for sub in subs:
        assert [message.properties for message in sub.messages] == [Properties(**said)]
    assert older.got == [Publish("a", b"x")]


@mqtt("MQTT-3.3.2-13")
@pytest.mark.parametrize("text", ["08 0001 ff", "08 0002 c328", "08 0003 eda080", "08 0001 00", "08 0002 61"])
def test_a_response_topic_that_is_no_string_closes_the_connection(world: World, text: str) -> None:
    sub = world.client("sub").subscribes("#")
    assert ends(world.client("pub").sends_bytes(with_properties(text)), MALFORMED)
    assert sub.got == []


@mqtt("MQTT-3.3.2-14")
@pytest.mark.parametrize("text", ["08 0001 23", "08 0001 2b", "08 0003 612f23", "08 0004 2b2f2b61"])
def test_a_response_topic_with_wildcards_closes_the_connection(world: World, text: str) -> None:
    sub = world.client("sub").subscribes("#")
    # No code is named; 0x90 is for names that are not malformed, so that all three can be argued for.
    assert ends(world.client("pub").sends_bytes(with_properties(text)), MALFORMED, PROTOCOL_ERROR, NOT_THIS_NAME)
    assert sub.got == []


@mqtt("MQTT-3.3.2-19")
@pytest.mark.parametrize("text", ["03 0001 ff", "03 0002 c328", "03 0003 eda080", "03 0001 00", "03 0002 61"])
def test_a_content_type_that_is_no_string_closes_the_connection(world: World, text: str) -> None:
    sub = world.client("sub").subscribes("#")
    assert ends(world.client("pub").sends_bytes(with_properties(text)), MALFORMED)
    assert sub.got == []


def with_properties(listed: str) -> bytes:
    """A PUBLISH to ``a`` with the payload ``x`` and with properties in hex."""
    properties = bytes.fromhex(listed)
    body = b"\x00\x01a" + bytes([len(properties)]) + properties + b"x"
    return bytes([0x30, len(body)]) + body


@pytest.mark.parametrize(
    "listed",
    [
        "01 00 01 00",
        "02 00000001 02 00000001",
        "03 0000 03 0000",
        "08 0001 61 08 0001 61",
        "09 0000 09 0000",
        "23 0001 23 0001",
    ],
)
def test_a_property_said_twice_closes_the_connection(world: World, listed: str) -> None:
    # Sections 3.3.2.3.2 to 3.3.2.3.9: each of these is a Protocol Error.
    sub = world.client("sub").subscribes("a")
    assert ends(world.client("pub").sends_bytes(with_properties(listed)), MALFORMED, PROTOCOL_ERROR)
    assert sub.got == []


# Message Expiry Interval (section 3.3.2.3.3)


def left(message: Publish) -> int | None:
    """What is left of a message's time, in seconds."""
    return None if message.properties is None else message.properties.message_expiry_interval


def expiring(seconds: int) -> Properties:
    return Properties(message_expiry_interval=seconds)


@edge("R4")
@mqtt("MQTT-3.3.2-6")
@every_way
def test_a_message_that_does_not_wait_keeps_its_time(world: World, way: str) -> None:
    properties = forwarded(world, way, message_expiry_interval=100)
    assert properties is not None
    assert properties.message_expiry_interval in range(95, 101)  # on a socket a moment may pass
    assert properties == expiring(properties.message_expiry_interval)


@edge("R4")
@mqtt("MQTT-3.3.2-5", "MQTT-3.3.2-6")
def test_the_time_of_a_retained_message_counts_down_to_its_end(engine: World) -> None:
    engine.client("pub").publishes("a", b"x", retain=True, properties=expiring(100))
    for seconds, expected in ((0, 100), (10, 90), (89, 1)):
        engine.advance(seconds)
        sub = engine.client("sub").subscribes("a")
        assert [left(message) for message in sub.messages] == [expected]
    engine.advance(1)
    assert engine.client("sub").subscribes("a").got == []
    assert engine.engine.retained.count == 0


@edge("R4")
@mqtt("MQTT-3.3.2-6")
@pytest.mark.parametrize("qos", [1, 2])
def test_the_time_of_a_message_counts_down_while_its_subscriber_is_away(engine: World, qos: int) -> None:
    sub = engine.client("sub", session_expiry=600).subscribes("a", qos=2).drops()
    engine.client("pub").publishes("a", b"x", qos, properties=expiring(100))
    engine.advance(60)
    assert [left(message) for message in sub.returns().messages] == [40]


@edge("R4")
@mqtt("MQTT-3.3.2-5")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_message_that_expired_while_its_subscriber_was_away_never_comes(engine: World, qos: int) -> None:
    sub = engine.client("sub", session_expiry=600).subscribes("a", qos=2).drops()
    pub = engine.client("pub").publishes("a", b"short", qos, properties=expiring(100))
    pub.publishes("a", b"long", qos, properties=expiring(200)).publishes("a", b"for ever", qos)
    engine.advance(100)
    sub = sub.returns()
    assert [(message.payload, left(message)) for message in sub.messages] == [(b"long", 100), (b"for ever", None)]
    assert sub.drops().returns().got == []


@edge("R4")
@mqtt("MQTT-3.3.2-5", "MQTT-3.3.2-6")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_message_expires_while_it_waits_for_the_receive_maximum(engine: World, qos: int) -> None:
    sub = engine.client("sub", receive_maximum=1, acknowledges=False).subscribes("a", qos=1)
    pub = engine.client("pub").publishes("a", b"first", 1)
    pub.publishes("a", b"short", qos, properties=expiring(50)).publishes("a", b"long", qos, properties=expiring(90))
    engine.advance(60)
    sub.sends(PubAck(sub.messages[0].packet_id))
    assert [(message.payload, left(message)) for message in sub.messages] == [(b"first", None), (b"long", 30)]


@edge("R4")
@mqtt("MQTT-3.3.2-6")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_repeat_has_what_is_left_of_its_time(engine: World, qos: int) -> None:
    sub = engine.client("sub", session_expiry=600, acknowledges=False).subscribes("a", qos=2)
    engine.client("pub").publishes("a", b"x", qos, properties=expiring(100))
    assert [left(message) for message in sub.messages] == [100]
    engine.advance(30)
    assert [left(message) for message in sub.drops().returns().messages] == [70]


@edge("R4")
@mqtt("MQTT-3.3.2-5", "MQTT-3.3.2-6")
def test_the_time_counts_down_for_each_subscriber_by_itself(engine: World) -> None:
    early, late = [engine.client(name, session_expiry=600).subscribes("a", qos=1) for name in ("early", "late")]
    live = engine.client("live").subscribes("a", qos=1)
    early.drops()
    late.drops()
    engine.client("pub").publishes("a", b"x", 1, properties=expiring(100))
    assert [left(message) for message in live.messages] == [100]
    engine.advance(99)
    assert [left(message) for message in early.returns().messages] == [1]
    engine.advance(1)
    assert late.returns().got == []


@edge("R4")
@mqtt("MQTT-3.3.2-5", "MQTT-3.3.2-6")
@pytest.mark.parametrize("qos", [1, 2])
def test_the_time_of_a_message_counts_down_while_the_broker_is_not_there(engine: World, qos: int) -> None:
    sub = engine.client("sub", session_expiry=600).subscribes("a/+", qos=2).drops()
    pub = engine.client("pub").publishes("a/1", b"short", qos, retain=True, properties=expiring(50))
    pub.publishes("a/2", b"long", qos, retain=True, properties=expiring(100))
    engine.advance(10)
    engine.restarts(after=50)
    engine.advance(10)
    for client in (sub.returns(), engine.client("late").subscribes("a/+", qos=2)):
        assert [(message.payload, left(message)) for message in client.messages] == [(b"long", 30)]
    engine.advance(30)
    assert engine.client("later").subscribes("a/+").got == []
    assert engine.engine.retained.count == 0


@edge("R4")
@mqtt("MQTT-3.3.2-5", "MQTT-3.3.2-6")
def test_a_message_ends_on_time_also_between_two_full_seconds(engine: World) -> None:
    sub = engine.client("sub", session_expiry=600).subscribes("a", qos=1).drops()
    engine.advance(0.5)  # the engine ticks on full seconds only
    engine.client("pub").publishes("a", b"x", 1, retain=True, properties=expiring(10))
    engine.advance(9.9)
    assert engine.client("early").subscribes("a").payloads == [b"x"]
    engine.advance(0.2)
    assert engine.client("late").subscribes("a").got == []
    assert sub.returns().got == []


@edge("R4")
@mqtt("MQTT-3.3.2-5")
def test_a_message_that_takes_the_place_of_an_expiring_one_does_not_expire(engine: World) -> None:
    pub = engine.client("pub").publishes("a", b"short", retain=True, properties=expiring(10))
    pub.publishes("a", b"for ever", retain=True)
    engine.advance(100)
    assert engine.client("sub").subscribes("a").payloads == [b"for ever"]


@edge("R4")
@mqtt("MQTT-3.3.2-5")
def test_a_v3_client_does_not_get_what_expired_either(engine: World) -> None:
    older = engine.client("older", version=4, clean_start=False).subscribes("a", qos=1).drops()
    pub = engine.client("pub").publishes("a", b"short", 1, retain=True, properties=expiring(10))
    pub.publishes("a", b"long", 1, properties=expiring(1_000))
    engine.advance(100)
    assert older.returns().payloads == [b"long"]
    assert engine.client("sub", version=4).subscribes("a").got == []


# Topic Alias, from the client to the broker (section 3.3.2.3.4)


def aliased(topic: str, payload: bytes, alias: int, qos: int = 0, *, packet_id: int = 0) -> Publish:
    """A PUBLISH with a topic alias; an empty topic is what the alias stands for."""
    return Publish(topic, payload, qos, packet_id=packet_id, properties=Properties(topic_alias=alias))


def allowed(client: Client) -> int:
    """How many topic aliases the broker takes from the client."""
    maximum = client.said.topic_alias_maximum
    if not maximum:
        pytest.skip("this broker takes no topic aliases")
    return maximum


@mqtt("MQTT-3.3.2-12")
@every_qos
def test_every_alias_up_to_the_brokers_maximum_is_accepted(world: World, qos: int) -> None:
    sub = world.client("sub").subscribes("#", qos=qos)
    pub = world.client("pub")
    maximum = allowed(pub)
    aliases = sorted({*range(1, min(maximum, 100) + 1), maximum})
    for text in ("{}", ""):
        for alias in aliases:
            pub.sends(aliased(text and f"t/{alias}", b"x", alias, qos, packet_id=alias if qos else 0))
            if qos == 2:
                pub.sends_bytes(bytes([0x62, 2]) + alias.to_bytes(2, "big"))
    assert pub.is_connected
    assert sub.topics == [f"t/{alias}" for alias in aliases] * 2


@mqtt("MQTT-3.3.2-12")
def test_a_broker_may_take_65535_of_them(make_world: Callable[..., World]) -> None:
    world = make_world(Options(topic_alias_maximum=65_535))
    sub = world.client("sub").subscribes("#")
    pub = world.client("pub")
    assert pub.said.topic_alias_maximum == 65_535
    for alias in (1, 255, 256, 65_534, 65_535):
        pub.sends(aliased(f"t/{alias}", b"x", alias), aliased("", b"y", alias))
    assert sub.topics == [f"t/{alias}" for alias in (1, 255, 256, 65_534, 65_535) for _ in range(2)]


@edge("L1")
@mqtt("MQTT-3.3.2-8")
@pytest.mark.parametrize("topic", ["0001 61", "0000"], ids=["with a topic", "without"])
def test_alias_0_closes_the_connection(world: World, topic: str) -> None:
    sub = world.client("sub").subscribes("a")
    pub = world.client("pub")
    body = bytes.fromhex(topic + "03 23 0000") + b"x"
    # 0x94 is defined for aliases that are too large, and no code is named for this one.
    assert ends(pub.sends_bytes(bytes([0x30, len(body)]) + body), MALFORMED, PROTOCOL_ERROR, NOT_THIS_ALIAS)
    assert sub.got == []


@edge("L1")
@mqtt("MQTT-3.3.2-9")
@every_qos
def test_an_alias_above_the_brokers_maximum_closes_the_connection(world: World, qos: int) -> None:
    sub = world.client("sub").subscribes("a")
    pub = world.client("pub")
    too_large = (pub.said.topic_alias_maximum or 0) + 1
    if too_large > 65_535:
        pytest.skip("there is no larger alias")
    assert ends(pub.sends(aliased("a", b"x", too_large, qos, packet_id=7 if qos else 0)), NOT_THIS_ALIAS)
    assert sub.got == []


@edge("L1")
@mqtt("MQTT-3.3.2-9")
def test_a_broker_that_takes_no_aliases_closes_the_connection(make_world: Callable[..., World]) -> None:
    pub = make_world(Options(topic_alias_maximum=0)).client("pub")
    assert not pub.said.topic_alias_maximum
    assert ends(pub.sends(aliased("a", b"x", 1)), NOT_THIS_ALIAS)


@edge("L1")
def test_an_alias_that_was_given_no_topic_closes_the_connection(world: World) -> None:  # section 3.3.2.3.4
    sub = world.client("sub").subscribes("#")
    pub = world.client("pub")
    assert allowed(pub) >= 2
    assert ends(pub.sends(aliased("a", b"x", 1), aliased("", b"y", 2)), PROTOCOL_ERROR)
    assert sub.payloads == [b"x"]


@edge("L1")
@mqtt("MQTT-3.3.2-7")
@pytest.mark.parametrize("end", ["drops", "disconnects", "is taken over"])
def test_the_clients_aliases_end_with_their_connection(world: World, end: str) -> None:
    sub = world.client("sub").subscribes("#")
    pub = world.client("pub", session_expiry=60)
    allowed(pub)
    pub.sends(aliased("a", b"x", 1), aliased("", b"y", 1))
    if end == "drops":
        pub.drops()
    elif end == "disconnects":
        pub.disconnects()
    pub = pub.returns()
    assert pub.session_present
    assert ends(pub.sends(aliased("", b"z", 1)), PROTOCOL_ERROR)
    assert sub.payloads == [b"x", b"y"]


@edge("L1")
def test_an_alias_may_be_given_another_topic(world: World) -> None:  # section 3.3.2.3.4
    sub = world.client("sub").subscribes("#")
    pub = world.client("pub")
    allowed(pub)
    pub.sends(
        aliased("a", b"1", 1), aliased("", b"2", 1), aliased("b", b"3", 1), Publish("c", b"4"), aliased("", b"5", 1)
    )
    assert sub.topics == ["a", "a", "b", "c", "b"]


@edge("L1")
def test_each_client_has_aliases_of_its_own(world: World) -> None:  # section 3.3.2.3.4
    sub = world.client("sub").subscribes("#")
    one, other = world.client("c"), world.client("d")
    allowed(one)
    one.sends(aliased("a", b"1", 1))
    other.sends(aliased("b", b"2", 1))
    one.sends(aliased("", b"3", 1))
    other.sends(aliased("", b"4", 1))
    assert sub.topics == ["a", "b", "a", "b"]


@edge("L1")
@every_qos
def test_an_alias_is_not_passed_on(world: World, qos: int) -> None:
    # [MQTT-3.1.2-27]: who asked for none gets none
    sub = world.client("sub").subscribes("a", qos=2)
    older = world.client("older", version=4).subscribes("a")
    pub = world.client("pub")
    allowed(pub)
    pub.sends(aliased("a", b"1", 1), aliased("", b"2", 1, qos, packet_id=7 if qos else 0))
    if qos == 2:
        pub.sends_bytes(bytes.fromhex("6202 0007"))
    assert [(message.topic, message.properties) for message in sub.messages] == [("a", None)] * 2
    assert older.got == [Publish("a", b"1"), Publish("a", b"2")]


# Topic Alias, from the broker to the client


@edge("L1")
@mqtt("MQTT-3.3.2-8", "MQTT-3.3.2-11")
@pytest.mark.parametrize("maximum", [None, 0, 1, 2, 65_535])
@every_qos
def test_no_alias_is_above_the_clients_maximum(world: World, qos: int, maximum: int | None) -> None:
    sub = world.client("sub", topic_alias_maximum=maximum).subscribes("#", qos=qos)
    pub = world.client("pub")
    expected = [f"t/{number % 5}" for number in range(20)]
    for topic in expected:
        pub.publishes(topic, b"x", qos)
    assert sub.topics == expected
    said = [message.properties.topic_alias for message in sub.messages if message.properties]
    assert all(1 <= alias <= (maximum or 0) for alias in said if alias is not None)


@mqtt("MQTT-3.3.2-11")
def test_the_brokers_aliases_stand_for_their_topics(engine: World) -> None:
    sub = engine.client("sub", topic_alias_maximum=2).subscribes("#")
    pub = engine.client("pub")
    for topic in ("a", "b", "a", "c", "b"):
        pub.publishes(topic, b"x")
    assert sub.got == [
        aliased("a", b"x", 1),
        aliased("b", b"x", 2),
        aliased("", b"x", 1),
        Publish("c", b"x"),
        aliased("", b"x", 2),
    ]


@edge("L1")
@mqtt("MQTT-3.3.2-7", "MQTT-3.3.2-11")
@every_qos
def test_the_brokers_aliases_end_with_their_connection(world: World, qos: int) -> None:
    sub = world.client("sub", session_expiry=60, topic_alias_maximum=5).subscribes("#", qos=qos)
    pub = world.client("pub").publishes("a", b"1", qos).publishes("a", b"2", qos)
    for maximum in (5, 1, None):
        sub = sub.drops().returns(topic_alias_maximum=maximum)
        pub.publishes("a", b"3", qos).publishes("b", b"4", qos).publishes("a", b"5", qos)
        assert sub.topics == ["a", "b", "a"]


@edge("L1")
@mqtt("MQTT-3.3.2-7")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_repeat_carries_its_topic(world: World, qos: int) -> None:
    sub = world.client("sub", session_expiry=60, topic_alias_maximum=5, acknowledges=False).subscribes("a", qos=2)
    world.client("pub").publishes("a", b"1", qos).publishes("a", b"2", qos)
    assert sub.topics == ["a", "a"]
    sub = sub.drops().returns()
    assert [(message.topic, message.payload, message.dup) for message in sub.messages] == [
        ("a", b"1", True),
        ("a", b"2", True),
    ]
    assert sub.drops().returns(topic_alias_maximum=None).topics == ["a", "a"]
