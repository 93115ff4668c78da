"""PUBLISH: its flags, its topic name, what answers it and how many may be on their way (section 3.3).

Its properties are in ``test_3_03_publish_properties.py``, what it leaves behind
at a broker in ``test_3_03_publish_retain.py``.
"""

from collections.abc import Callable
from itertools import permutations

import pytest

from telex.engine.options import Options
from telex.wire.packets import (
    ConnAck,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    UnsubAck,
    Unsubscribe,
)
from telex.wire.properties import Properties
from tests.conformance.marks import each_version, edge, mqtt
from tests.conformance.words import ends, keeping
from tests.engine.world import Client, World

MALFORMED = 0x81
PROTOCOL_ERROR = 0x82
NOT_THIS_NAME = 0x90
TOO_MANY = 0x93
NOT_THIS_ALIAS = 0x94

with_acknowledgement = pytest.mark.parametrize("qos", [1, 2])
every_qos = pytest.mark.parametrize("qos", [0, 1, 2])


def publish_bytes(first: int, topic: str, version: int) -> bytes:
    """A PUBLISH with the payload ``x``: its first byte, its topic field in hex, in v5 no properties."""
    body = bytes.fromhex(topic) + (b"\x00x" if version == 5 else b"x")
    return bytes([first, len(body)]) + body


# DUP (section 3.3.1.1)


@edge("S1")
@mqtt("MQTT-3.3.1-1")
@mqtt("MQTT-3.3.1-1", v3=True)
@with_acknowledgement
@each_version
def test_what_was_not_acknowledged_comes_again_with_dup_and_its_id(world: World, version: int, qos: int) -> None:
    sub = world.client("sub", acknowledges=False, **keeping(version)).subscribes("a", qos=2)
    world.client("pub").publishes("a", b"x", qos)
    (first,) = sub.messages
    assert not first.dup
    sub = sub.drops().returns()
    assert sub.got == [Publish("a", b"x", qos, dup=True, packet_id=first.packet_id)]
    sub = sub.drops().returns(acknowledges=True)
    assert sub.messages == [Publish("a", b"x", qos, dup=True, packet_id=first.packet_id)]
    assert sub.drops().returns().got == []


@mqtt("MQTT-3.3.1-2")
@mqtt("MQTT-3.3.1-2", v3=True)
@each_version
def test_dup_is_0_at_qos_0_however_the_message_came(world: World, version: int) -> None:
    sub = world.client("sub", version=version).subscribes("a")
    world.client("pub", version=version).sends(Publish("a", b"x", 1, dup=True, packet_id=7))
    assert sub.got == [Publish("a", b"x")]


@mqtt("MQTT-3.3.1-2")
@mqtt("MQTT-3.3.1-2", v3=True)
@each_version
def test_dup_at_qos_0_closes_the_connection(world: World, version: int) -> None:
    sub = world.client("sub", version=version).subscribes("a")
    pub = world.client("pub", version=version)
    assert ends(pub.sends_bytes(publish_bytes(0x38, "0001 61", version)), MALFORMED, PROTOCOL_ERROR)
    assert sub.got == []


@mqtt("MQTT-3.3.1-3")
@mqtt("MQTT-3.3.1-3", v3=True)
@with_acknowledgement
@each_version
def test_dup_is_not_passed_on(world: World, version: int, qos: int) -> None:
    sub = world.client("sub", version=version).subscribes("a", qos=2)
    pub = world.client("pub", version=version).sends(Publish("a", b"x", qos, dup=True, packet_id=7))
    if qos == 2:
        pub.sends(PubRel(7))  # until then a broker may keep it (section 4.3.3)
    assert [(message.payload, message.dup) for message in sub.messages] == [(b"x", False)]


@mqtt("MQTT-3.3.1-3")
@mqtt("MQTT-3.3.1-3", v3=True)
@with_acknowledgement
@each_version
def test_dup_says_that_it_comes_again_although_it_came_only_once(world: World, version: int, qos: int) -> None:
    sub = world.client("sub", acknowledges=False, **keeping(version)).subscribes("a", qos=2)
    world.client("pub", version=version).publishes("a", b"x", qos)
    assert [message.dup for message in sub.drops().returns().messages] == [True]


# QoS (section 3.3.1.2)


@mqtt("MQTT-3.3.1-4")
@mqtt("MQTT-3.3.1-4", v3=True)
@pytest.mark.parametrize("first", [0x36, 0x37, 0x3E, 0x3F])
@each_version
def test_qos_3_closes_the_connection(world: World, version: int, first: int) -> None:
    sub = world.client("sub", version=version).subscribes("a", qos=2)
    pub = world.client("pub", version=version)
    assert ends(pub.sends_bytes(publish_bytes(first, "0001 61 0007", version)), MALFORMED)
    assert sub.got == []


@mqtt("MQTT-3.3.4-1")
@each_version
def test_the_qos_decides_what_answers(world: World, version: int) -> None:  # in 3.1.1 table 3.4
    world.client("sub", version=version).subscribes("a")
    pub = world.client("pub", version=version)
    assert pub.sends(Publish("a", b"x")).takes() == []
    assert pub.sends(Publish("a", b"x", 1, packet_id=7)).takes() == [PubAck(7)]
    assert pub.sends(Publish("a", b"x", 2, packet_id=7)).takes() == [PubRec(7)]
    assert pub.sends(PubRel(7)).takes() == [PubComp(7)]


# The topic name (section 3.3.2.1)


@mqtt("MQTT-3.3.2-1")
@mqtt("MQTT-3.3.2-1", v3=True)
@pytest.mark.parametrize(
    "topic",
    ["", "00", "0005 61", "0001 ff", "0002 c328", "0003 eda080", "0004 f8888080", "0003 610062"],
    ids=["none", "half a length", "cut short", "no UTF-8", "half a character", "surrogate", "too long", "U+0000"],
)
@each_version
def test_a_topic_name_that_is_no_string_closes_the_connection(world: World, version: int, topic: str) -> None:
    sub = world.client("sub", version=version).subscribes("#")
    data = bytes.fromhex(topic)
    if topic.startswith("0005") or len(data) < 2:
        data = bytes([0x30, len(data)]) + data
    else:
        data = publish_bytes(0x30, topic, version)
    assert ends(world.client("pub", version=version).sends_bytes(data), MALFORMED)
    assert sub.got == []


@mqtt("MQTT-3.3.2-1", "MQTT-4.7.3-1")
@mqtt("MQTT-3.3.2-1", "MQTT-4.7.3-1", v3=True)
@each_version
def test_a_topic_name_without_characters_closes_the_connection(world: World, version: int) -> None:
    pub = world.client("pub", version=version).sends_bytes(publish_bytes(0x30, "0000", version))
    assert ends(pub, MALFORMED, PROTOCOL_ERROR, NOT_THIS_NAME)


@mqtt("MQTT-3.3.2-1")
@mqtt("MQTT-3.3.2-1", v3=True)
@pytest.mark.parametrize("topic", ["a", "/", "//", " ", "ä/ö", "\ufeffa", "𝄞", "a\U0010fffdb", "x" * 65_535])
@each_version
def test_every_string_is_a_topic_name_to_the_byte(world: World, version: int, topic: str) -> None:
    sub = world.client("sub", version=version).subscribes("#")
    world.client("pub", version=version).publishes(topic, b"x")
    assert sub.topics == [topic]


@mqtt("MQTT-3.3.2-2")
@mqtt("MQTT-3.3.2-2", v3=True)
@pytest.mark.parametrize("topic", ["0001 23", "0001 2b", "0003 612f23", "0003 612f2b", "0002 6123", "0005 612f2b2f62"])
@each_version
def test_a_topic_name_with_wildcards_closes_the_connection(world: World, version: int, topic: str) -> None:
    sub = world.client("sub", version=version).subscribes("#")
    pub = world.client("pub", version=version).sends_bytes(publish_bytes(0x30, topic, version))
    # No code is named; 0x90 is for names that are not malformed, so that all three can be argued for.
    assert ends(pub, MALFORMED, PROTOCOL_ERROR, NOT_THIS_NAME)
    assert sub.got == []


@mqtt("MQTT-3.3.2-3")
@pytest.mark.parametrize(
    ("topic_filter", "matching"),
    [
        ("a", ["a"]),
        ("a/b", ["a/b"]),
        ("+", ["a", "b", "A"]),
        ("a/+", ["a/b", "a/"]),
        ("+/b", ["a/b", "/b"]),
        ("a/#", ["a", "a/b", "a/b/c", "a/"]),
        ("+/+", ["a/b", "a/", "/b"]),
        ("/+", ["/b"]),
        ("#", ["a", "b", "A", "a/b", "a/b/c", "a/", "/b"]),
    ],
)
@each_version
def test_what_comes_matches_the_filter(world: World, version: int, topic_filter: str, matching: list[str]) -> None:
    # v3 [MQTT-3.3.2-3]
    sub = world.client("sub", version=version).subscribes(topic_filter)
    pub = world.client("pub", version=version)
    for topic in ("a", "b", "A", "a/b", "a/b/c", "a/", "/b"):
        pub.publishes(topic, topic.encode())
    assert sub.topics == matching
    assert sub.payloads == [topic.encode() for topic in matching]


@edge("K5")
@pytest.mark.parametrize("topic", [".", "a.c", "a*", "(a|b)", "[a-z]", "a\\d", "^a$", "a?", "a{1}", "%", "_"])
@each_version
def test_characters_of_patterns_stand_for_themselves(world: World, version: int, topic: str) -> None:
    sub = world.client("sub", version=version).subscribes(topic)
    pub = world.client("pub", version=version)
    for other in ("a", "abc", "aa", "a1", "b", topic, "x"):
        pub.publishes(other, b"x")
    assert sub.topics == [topic]


# Overlapping subscriptions (section 3.3.4)

OVERLAPPING = (("a/b", 0, 10), ("a/#", 2, 20), ("+/b", 1, 30), ("#", 1, None))


def overlaps(world: World, version: int, order: tuple[tuple[str, int, int | None], ...]) -> Client:
    """A client that has these subscriptions: filter, QoS and identifier."""
    sub = world.client("sub", version=version)
    for topic_filter, qos, identifier in order:
        sub.subscribes(topic_filter, qos=qos, identifier=identifier if version == 5 else None)
    return sub


@edge("K5")
@mqtt("MQTT-3.3.4-2")
@every_qos
@each_version
def test_overlapping_subscriptions_bring_the_highest_qos(world: World, version: int, qos: int) -> None:
    # v3 [MQTT-3.3.5-1]; both texts allow further copies
    pub = world.client("pub", version=version)
    for order in permutations(OVERLAPPING):
        sub = overlaps(world, version, order)
        pub.publishes("a/b", b"x", qos)
        assert max(message.qos for message in sub.messages) == qos


@edge("K5")
@mqtt("MQTT-3.3.4-3", "MQTT-3.3.4-4")
@every_qos
def test_overlapping_subscriptions_bring_all_their_identifiers(world: World, qos: int) -> None:
    pub = world.client("pub")
    for order in permutations(OVERLAPPING):
        sub = overlaps(world, 5, order)
        for topic, expected in (("a/b", [10, 20, 30]), ("a/c", [20]), ("b/c", [])):
            pub.publishes(topic, b"x", qos)
            said = [message.properties.subscription_identifiers for message in sub.messages if message.properties]
            assert sorted(sum(said, ())) == expected
            sub.takes()


@edge("K5")
@mqtt("MQTT-3.3.4-2", "MQTT-3.3.4-4")
@every_qos
@each_version
def test_overlapping_subscriptions_bring_one_copy(engine: World, version: int, qos: int) -> None:
    pub = engine.client("pub", version=version)
    for order in permutations(OVERLAPPING):
        sub = overlaps(engine, version, order)
        pub.publishes("a/b", b"x", qos)
        (message,) = sub.messages
        assert message.qos == qos
        if version == 5:
            assert message.properties is not None
            assert sorted(message.properties.subscription_identifiers) == [10, 20, 30]


@edge("K5")
@mqtt("MQTT-3.3.4-3")
def test_subscribing_again_replaces_qos_and_identifier(world: World) -> None:
    sub = world.client("sub").subscribes("a", qos=0, identifier=1).subscribes("a", qos=2, identifier=268_435_455)
    pub = world.client("pub").publishes("a", b"x", 2)
    assert [(message.qos, message.properties) for message in sub.messages] == [
        (2, Properties(subscription_identifiers=(268_435_455,)))
    ]
    sub.takes()
    sub.subscribes("a", qos=1)
    pub.publishes("a", b"y", 2)
    assert [(message.qos, message.properties) for message in sub.messages] == [(1, None)]


@edge("K5")
@each_version
def test_subscribing_again_brings_no_second_copy(world: World, version: int) -> None:
    sub = world.client("sub", version=version).subscribes("a").subscribes("a").subscribes("a", qos=1)
    world.client("pub", version=version).publishes("a", b"x", 1)
    assert sub.payloads == [b"x"]
    sub.unsubscribes("a")
    world.client("pub", version=version).publishes("a", b"y", 1)
    assert sub.payloads == [b"x"]


@mqtt("MQTT-3.3.4-6")
@every_qos
def test_a_client_that_sends_a_subscription_identifier_is_disconnected(world: World, qos: int) -> None:
    sub = world.client("sub").subscribes("a")
    said = Properties(subscription_identifiers=(1,))
    pub = world.client("pub").sends(Publish("a", b"x", qos, packet_id=7 if qos else 0, properties=said))
    assert ends(pub, PROTOCOL_ERROR)
    assert sub.got == []


# Receive Maximum, from the broker to the client (section 3.3.4)


@edge("P3")
@mqtt("MQTT-3.3.4-9")
@pytest.mark.parametrize("receive_maximum", [1, 2, 10])
@with_acknowledgement
def test_no_more_messages_are_in_flight_than_the_client_takes(world: World, qos: int, receive_maximum: int) -> None:
    sub = world.client("sub", receive_maximum=receive_maximum, acknowledges=False).subscribes("a", qos=2)
    pub = world.client("pub")
    payloads = [b"%d" % number for number in range(receive_maximum + 3)]
    for payload in payloads:
        pub.publishes("a", payload, qos)
    for done in range(3):
        assert sub.payloads == payloads[: receive_maximum + done]
        packet_id = sub.messages[done].packet_id
        if qos == 1:
            sub.sends(PubAck(packet_id))
        else:
            sub.sends(PubRec(packet_id))
            assert sub.payloads == payloads[: receive_maximum + done]  # it is in flight until PUBCOMP
            sub.sends(PubComp(packet_id))
    assert sub.payloads == payloads


@edge("P3")
@mqtt("MQTT-3.3.4-9")
def test_a_receive_maximum_of_1_is_enough_for_everything(world: World) -> None:
    sub = world.client("sub", receive_maximum=1).subscribes("a", qos=2)
    pub = world.client("pub")
    for number in range(12):
        pub.publishes("a", b"%d" % number, 1 + number % 2)
    assert sub.payloads == [b"%d" % number for number in range(12)]


@edge("P3")
@mqtt("MQTT-3.3.4-9")
@with_acknowledgement
def test_each_connection_has_a_receive_maximum_of_its_own(world: World, qos: int) -> None:
    sub = world.client("sub", session_expiry=60, receive_maximum=2, acknowledges=False).subscribes("a", qos=2)
    pub = world.client("pub")
    for payload in (b"1", b"2", b"3", b"4", b"5"):
        pub.publishes("a", payload, qos)
    assert sub.payloads == [b"1", b"2"]
    sub = sub.drops().returns(receive_maximum=3)
    assert [(message.payload, message.dup) for message in sub.messages] == [(b"1", True), (b"2", True), (b"3", False)]
    sub = sub.drops().returns(receive_maximum=1)
    assert sub.payloads == [b"1"]
    sub = sub.drops().returns(receive_maximum=None)
    assert sub.payloads == [b"1", b"2", b"3", b"4", b"5"]


@edge("P3")
@mqtt("MQTT-3.3.4-9")
def test_qos_0_does_not_count(world: World) -> None:
    sub = world.client("sub", receive_maximum=1, acknowledges=False).subscribes("a", qos=1)
    world.client("pub").publishes("a", b"1", 1).publishes("a", b"2", 1).publishes("a", b"3").publishes("a", b"4")
    assert sub.payloads == [b"1", b"3", b"4"]


@mqtt("MQTT-3.3.4-10")
@with_acknowledgement
def test_whatever_is_no_publish_does_not_wait_for_the_receive_maximum(world: World, qos: int) -> None:
    sub = world.client("sub", receive_maximum=1, acknowledges=False).subscribes("a", qos=2)
    world.client("pub").publishes("a", b"1", qos).publishes("a", b"2", qos)
    assert sub.payloads == [b"1"]
    packet_id = sub.messages[0].packet_id
    sub.takes()
    assert sub.sends(PingReq()).takes() == [PingResp()]
    assert sub.sends(Subscribe(5, [SubscriptionRequest("b", 1)])).takes() == [SubAck(5, [1])]
    assert sub.sends(Unsubscribe(6, ["b"])).takes() == [UnsubAck(6, [0])]
    assert sub.sends(Publish("a", b"3", 1, packet_id=7)).takes() == [PubAck(7)]
    assert sub.sends(Publish("a", b"4", 2, packet_id=8)).takes() == [PubRec(8)]
    assert sub.sends(PubRel(8)).takes() == [PubComp(8)]
    if qos == 2:
        assert sub.sends(PubRec(packet_id)).takes() == [PubRel(packet_id)]


# Receive Maximum, from the client to the broker (section 3.3.4)


def allowed(client: Client) -> int:
    """How many messages above QoS 0 the broker takes at a time."""
    return (
        65_535
        if client.connack is None or client.connack.properties is None
        else (client.connack.properties.receive_maximum or 65_535)
    )


@edge("P3")
@mqtt("MQTT-3.3.4-7")
def test_one_message_above_the_brokers_receive_maximum_is_one_too_many(world: World) -> None:
    pub = world.client("pub")
    count = allowed(pub)
    if count == 65_535:
        pytest.skip("there are not enough packet ids to exceed it")
    pub.sends(*[Publish("a", b"x", 2, packet_id=number) for number in range(1, count + 1)])
    assert [type(packet) for packet in pub.takes()] == [PubRec] * count
    pub.sends(Publish("a", b"x", 2, packet_id=count + 1))
    assert ends(pub, TOO_MANY)
    assert not [packet for packet in pub.got if isinstance(packet, PubRec)]  # and not PUBREC


@edge("P3")
@mqtt("MQTT-3.3.4-7")
def test_what_was_completed_makes_room_for_the_next(world: World) -> None:
    pub = world.client("pub")
    count = min(allowed(pub), 100)
    for number in range(1, 2 * count + 1):
        pub.sends(Publish("a", b"x", 2, packet_id=number), PubRel(number))
        pub.sends(Publish("a", b"x", 1, packet_id=number))
    assert pub.is_connected
    assert len([packet for packet in pub.got if isinstance(packet, PubComp)]) == 2 * count


@edge("P3")
@mqtt("MQTT-3.3.4-7")
def test_a_repeat_does_not_count_twice(make_world: Callable[..., World]) -> None:
    pub = make_world(Options(receive_maximum=1)).client("pub")
    pub.sends(Publish("a", b"x", 2, packet_id=7), *[Publish("a", b"x", 2, dup=True, packet_id=7)] * 3)
    assert [type(packet) for packet in pub.got] == [PubRec] * 4


@edge("P3")
@mqtt("MQTT-3.3.4-7")
def test_a_broker_that_takes_one_at_a_time_takes_all_of_them(make_world: Callable[..., World]) -> None:
    world = make_world(Options(receive_maximum=1))
    sub = world.client("sub").subscribes("a", qos=2)
    pub = world.client("pub")
    assert pub.said.receive_maximum == 1
    for number in range(10):
        pub.publishes("a", b"%d" % number, 1 + number % 2)
    assert sub.payloads == [b"%d" % number for number in range(10)]
    assert ends(pub.sends(Publish("a", b"x", 2, packet_id=1), Publish("a", b"x", 2, packet_id=2)), TOO_MANY)


@edge("P3")
@mqtt("MQTT-3.3.4-7")
def test_each_connection_may_send_the_brokers_receive_maximum_again(world: World) -> None:
    pub = world.client("pub", session_expiry=60)
    count = min(allowed(pub), 1_000)
    pub.sends(*[Publish("a", b"x", 2, packet_id=number) for number in range(1, count + 1)])
    pub = pub.drops().returns()
    pub.sends(*[Publish("a", b"x", 2, packet_id=1_000 + number) for number in range(1, count + 1)])
    assert [type(packet) for packet in pub.got] == [PubRec] * count


@edge("P3")
@mqtt("MQTT-3.3.4-7")
@with_acknowledgement
def test_the_end_of_an_older_exchange_takes_no_place(make_world: Callable[..., World], qos: int) -> None:
    # The quota of a connection counts the PUBLISH packets that were sent on it (section 4.9).
    pub = make_world(Options(receive_maximum=2)).client("pub", session_expiry=60)
    pub = pub.sends(Publish("a", b"x", 2, packet_id=1), Publish("a", b"x", 2, packet_id=2)).drops().returns()
    more = [Publish("a", b"x", qos, packet_id=number) for number in (3, 4)]
    pub.sends(PubRel(1), PubRel(2), *more)
    assert pub.is_connected
    answer = PubAck if qos == 1 else PubRec
    assert [type(packet) for packet in pub.got] == [PubComp, PubComp, answer, answer]


@edge("P3")
@mqtt("MQTT-3.3.4-7")
def test_a_client_that_reads_no_puback_may_not_send_for_ever(engine: World) -> None:
    pub = engine.client("pub")
    count = allowed(pub)
    pub.freezes().sends(*[Publish("a", b"x", 1, packet_id=number) for number in range(1, count + 1)])
    assert [type(packet) for packet in pub.thaws().takes()] == [PubAck] * count
    pub.freezes().sends(*[Publish("a", b"x", 1, packet_id=number) for number in range(1, count + 2)])
    assert ends(pub.thaws(), TOO_MANY)


@edge("P3")
def test_a_receive_maximum_of_0_is_an_error(world: World) -> None:  # section 3.1.2.11.3
    client = world.stranger()
    client.sends_bytes(bytes.fromhex("1011 00044d515454 05 02 003c 03 210000 0001 63"))
    assert client.got in ([], [ConnAck(MALFORMED)], [ConnAck(PROTOCOL_ERROR)])
    assert not client.is_connected


# Sizes


@edge("M3")
@every_qos
@each_version
def test_large_payloads_pass(world: World, version: int, qos: int) -> None:
    sub = world.client("sub", version=version).subscribes("a", qos=2)
    payload = bytes(range(256)) * 6_000  # 1.5 MB
    world.client("pub", version=version).publishes("a", payload, qos).publishes("a", b"next", qos)
    assert sub.payloads == [payload, b"next"]


@edge("M3")
@pytest.mark.parametrize("boundary", [0x80, 0x4000, 0x20_0000 // 8 * 7])
@each_version
def test_payloads_of_every_length_pass(world: World, version: int, boundary: int) -> None:
    sub = world.client("sub", version=version).subscribes("a")
    payloads = [b"x" * size for size in range(boundary - 8, boundary + 2)]
    world.client("pub", version=version).sends(*[Publish("a", payload) for payload in payloads])
    assert sub.payloads == payloads


@edge("Z1")
@every_qos
def test_who_takes_smaller_packets_only_misses_larger_messages(world: World, qos: int) -> None:
    size = 7 + 93 + (2 if qos else 0)  # header 2, topic 3, packet id 2, property length 1, payload 94
    whole = world.client("whole").subscribes("a", qos=2)
    exact = world.client("exact", maximum_packet_size=size).subscribes("a", qos=2)
    smaller = world.client("smaller", maximum_packet_size=size - 1).subscribes("a", qos=2)
    world.client("pub").publishes("a", b"1", qos).publishes("a", b"x" * 94, qos).publishes("a", b"2", qos)
    assert whole.payloads == [b"1", b"x" * 94, b"2"]
    assert exact.payloads == [b"1", b"x" * 94, b"2"]
    assert max(exact.sizes) == size
    assert smaller.payloads == [b"1", b"2"]
    assert smaller.is_connected


@edge("Z1")
@every_qos
def test_a_message_that_is_too_large_for_somebody_is_counted(engine: World, qos: int) -> None:
    engine.client("sub", maximum_packet_size=50).subscribes("a", qos=2)
    engine.client("other").subscribes("a", qos=2)
    engine.client("pub").publishes("a", b"x" * 50, qos)
    assert engine.engine.stats.publish_dropped == 1
    assert engine.diary.lines.count("sub misses a") == 1


# What a client is told (section 4.13), where it should be told something


@edge("L1")
@pytest.mark.parametrize(
    ("data", "reason_code"),
    [
        ("38 05 0001 61 00 78", MALFORMED),  # DUP at QoS 0
        ("36 07 0001 61 0007 00 78", MALFORMED),  # QoS 3
        ("30 00", MALFORMED),  # no topic name
        ("30 05 0001 ff 00 78", MALFORMED),  # no UTF-8
        ("30 04 0000 00 78", PROTOCOL_ERROR),  # neither a topic name nor an alias
        ("30 05 0001 23 00 78", NOT_THIS_NAME),  # a wildcard
        ("30 08 0001 61 03 080000 78", PROTOCOL_ERROR),  # no name for a response topic
        ("30 09 0001 61 04 08000123 78", PROTOCOL_ERROR),  # nor is this
        ("30 09 0001 61 04 030001ff 78", MALFORMED),  # no UTF-8
        ("30 07 0001 61 02 0b01 78", PROTOCOL_ERROR),  # a subscription identifier
        ("30 08 0001 61 03 230000 78", NOT_THIS_ALIAS),  # alias 0
        ("30 08 0001 61 03 23ffff 78", NOT_THIS_ALIAS),  # alias above the maximum
        ("30 07 0000 03 230001 78", PROTOCOL_ERROR),  # alias without a topic
        ("30 07 0001 61 02 0102 78", PROTOCOL_ERROR),  # a payload format that does not exist
        ("32 07 0001 61 0000 00 78", PROTOCOL_ERROR),  # packet id 0
    ],
)
def test_whoever_is_disconnected_is_told_why(engine: World, data: str, reason_code: int) -> None:
    client = engine.client("c").sends_bytes(bytes.fromhex(data))
    assert client.got == [Disconnect(reason_code)]
    assert len(client.reasons) == 1
    assert not client.is_connected
