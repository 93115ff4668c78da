"""Message ordering: of each publisher, on each topic, at each QoS, also over reconnects (section 4.6)."""

import pytest

from telex.wire.packets import PubAck, PubComp, Publish, PubRec, PubRel
from tests.conformance.marks import each_version, edge, mqtt
from tests.conformance.words import kept
from tests.engine.world import Client, World

each_qos = pytest.mark.parametrize("qos", [0, 1, 2])


def numbers(first: int, last: int) -> list[bytes]:
    """Payloads: ``first`` to ``last``."""
    return [b"%d" % number for number in range(first, last + 1)]


def publishes(pub: Client, first: int, last: int, qos: int, topic: str = "a") -> None:
    """Publish ``first`` to ``last``."""
    for payload in numbers(first, last):
        pub.publishes(topic, payload, qos=qos)


# While the subscriber is connected


@mqtt("MQTT-4.6.0-5")
@mqtt("MQTT-4.6.0-6", v3=True)
@each_version
@each_qos
def test_messages_come_in_the_order_in_which_they_were_published(world: World, qos: int, version: int) -> None:
    sub = world.client("sub", version=version).subscribes("a", qos=2)
    publishes(world.client("pub", version=version), 1, 40, qos)
    assert sub.payloads == numbers(1, 40)


@mqtt("MQTT-4.6.0-6")
@mqtt("MQTT-4.6.0-5", v3=True)
@each_version
@each_qos
@pytest.mark.parametrize("topic", ["a/b/c", "/", "a//b", "Grüße/世界", "a/$b", "queue/a"])
def test_every_topic_is_ordered(world: World, topic: str, qos: int, version: int) -> None:
    exact = world.client("exact", version=version).subscribes(topic, qos=2)
    wild = world.client("wild", version=version).subscribes("#", qos=2)
    publishes(world.client("pub", version=version), 1, 10, qos, topic)
    assert exact.payloads == wild.payloads == numbers(1, 10)


@mqtt("MQTT-4.6.0-5")
@mqtt("MQTT-4.6.0-6", v3=True)
@each_version
@each_qos
def test_each_publishers_order_holds_on_each_topic(world: World, qos: int, version: int) -> None:
    sub = world.client("sub", version=version).subscribes("a/#", qos=2)
    pubs = [world.client(name, version=version) for name in ("p", "q")]
    for number in range(1, 11):
        for pub in pubs:
            for topic in ("a/b", "a/c"):
                pub.publishes(topic, b"%s %d" % (pub.name.encode(), number), qos=qos)
    for name in (b"p", b"q"):
        for topic in ("a/b", "a/c"):
            of_both = [each.payload.split() for each in sub.messages if each.topic == topic]
            assert [number for publisher, number in of_both if publisher == name] == numbers(1, 10)


@mqtt("MQTT-4.6.0-5")
@mqtt("MQTT-4.6.0-6", v3=True)
@each_version
@each_qos
def test_messages_of_one_write_keep_their_order(world: World, qos: int, version: int) -> None:
    sub = world.client("sub").subscribes("a", qos=2)
    pub = world.client("pub", version=version)
    pub.sends(*[Publish("a", b"%d" % each, qos, packet_id=each if qos else 0) for each in range(1, 11)])
    if qos == 2:
        pub.sends(*[PubRel(each) for each in range(1, 11)])
    assert sub.payloads == numbers(1, 10)


@mqtt("MQTT-4.6.0-5")
@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("receive_maximum", [1, 3])
def test_a_small_receive_maximum_changes_no_order(world: World, receive_maximum: int, qos: int) -> None:
    sub = world.client("sub", receive_maximum=receive_maximum).subscribes("a", qos=2)
    publishes(world.client("pub"), 1, 40, qos)
    assert sub.payloads == numbers(1, 40)


@mqtt("MQTT-4.6.0-5")
@pytest.mark.parametrize("qos", [1, 2])
def test_acknowledgements_in_another_order_change_no_order(world: World, qos: int) -> None:
    sub = world.client("sub", receive_maximum=3, acknowledges=False).subscribes("a", qos=2)
    publishes(world.client("pub"), 1, 12, qos)
    done = 0
    while done < len(sub.messages):
        last_first = reversed([message.packet_id for message in sub.messages[done:]])
        done = len(sub.messages)
        for packet_id in last_first:
            sub.sends(PubAck(packet_id)) if qos == 1 else sub.sends(PubRec(packet_id), PubComp(packet_id))
    assert sub.payloads == numbers(1, 12)


# Over reconnects of the subscriber


@mqtt("MQTT-4.6.0-5", "MQTT-4.6.0-6")
@mqtt("MQTT-4.6.0-5", "MQTT-4.6.0-6", v3=True)
@each_version
@each_qos
def test_the_order_holds_over_a_reconnect_of_the_subscriber(world: World, qos: int, version: int) -> None:
    sub = kept(world, "sub", version).subscribes("a", qos=2)
    pub = world.client("pub", version=version)
    publishes(pub, 1, 5, qos)
    before = sub.payloads
    sub.drops()
    publishes(pub, 6, 10, qos)
    sub = sub.returns()
    publishes(pub, 11, 15, qos)
    after = sub.payloads
    if qos == 0:  # which may wait for a client that is away, but need not
        after = [payload for payload in after if payload not in numbers(6, 10)]
        assert before + after == numbers(1, 5) + numbers(11, 15)
    else:
        assert before + after == numbers(1, 15)


@edge("S7")
@mqtt("MQTT-4.6.0-5")
@mqtt("MQTT-4.6.0-6", v3=True)
@each_version
@pytest.mark.parametrize("qos", [1, 2])
def test_what_is_in_flight_goes_first_with_dup_then_what_was_queued_then_what_is_new(
    world: World, qos: int, version: int
) -> None:
    sub = kept(world, "sub", version, acknowledges=False).subscribes("a", qos=2)
    pub = world.client("pub", version=version)
    publishes(pub, 1, 4, qos)
    ids = [message.packet_id for message in sub.messages]
    sub.drops()
    publishes(pub, 5, 8, qos)
    sub = sub.returns()
    publishes(pub, 9, 12, qos)
    assert sub.payloads == numbers(1, 12)
    assert [message.dup for message in sub.messages] == [True] * 4 + [False] * 8
    assert [message.packet_id for message in sub.messages[:4]] == ids


@edge("S7")
@mqtt("MQTT-4.6.0-5")
@mqtt("MQTT-4.6.0-6", v3=True)
@each_version
def test_repeats_keep_their_first_order_whatever_was_acknowledged_in_between(world: World, version: int) -> None:
    sub = kept(world, "sub", version, acknowledges=False).subscribes("a", qos=1)
    pub = world.client("pub")
    publishes(pub, 1, 7, 1)
    ids = [message.packet_id for message in sub.messages]
    sub.sends(PubAck(ids[4]), PubAck(ids[0]), PubAck(ids[2])).drops()
    publishes(pub, 8, 9, 1)
    sub = sub.returns()
    assert sub.payloads == [b"2", b"4", b"6", b"7", b"8", b"9"]


@edge("S7")
@mqtt("MQTT-4.6.0-5")
@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("receive_maximum", [1, 2, 5])
def test_the_order_holds_however_often_and_wherever_the_connection_is_cut(
    world: World, receive_maximum: int, qos: int
) -> None:
    sub = kept(world, "sub", 5, receive_maximum=receive_maximum, acknowledges=False).subscribes("a", qos=2)
    pub = world.client("pub")
    publishes(pub, 1, 4, qos)
    for done in range(8):  # one message more is acknowledged on each connection
        assert sub.payloads == numbers(done + 1, min(done + receive_maximum, done + 4))
        packet_id = sub.messages[0].packet_id
        sub.takes()
        sub.sends(PubAck(packet_id)) if qos == 1 else sub.sends(PubRec(packet_id), PubComp(packet_id))
        sub.drops()
        publishes(pub, done + 5, done + 5, qos)
        sub = sub.returns()


@mqtt("MQTT-4.6.0-5")
@each_qos
def test_each_publishers_order_on_each_topic_holds_over_a_reconnect(world: World, qos: int) -> None:
    sub = kept(world, "sub", 5, acknowledges=False).subscribes("a/#", qos=2)
    pubs = [world.client(name) for name in ("p", "q")]
    heard: list[Publish] = []
    for number in range(1, 5):
        for pub in pubs:
            for topic in ("a/b", "a/c"):
                pub.publishes(topic, b"%s %d" % (pub.name.encode(), number), qos=qos)
        if number == 2:
            heard = sub.messages if qos == 0 else []  # else they all come again
            sub = sub.drops().returns()
    heard += sub.messages
    for name in (b"p", b"q"):
        for topic in ("a/b", "a/c"):
            of_both = [each.payload.split() for each in heard if each.topic == topic]
            assert [number for publisher, number in of_both if publisher == name] == numbers(1, 4)


@mqtt("MQTT-4.6.0-6", v3=True)
@each_version
def test_pubrels_leave_in_the_order_of_their_pubrecs(world: World, version: int) -> None:
    # "MUST follow the rules listed above when delivering messages to each of its subscribers": the rule for PUBREL
    sub = kept(world, "sub", version, acknowledges=False).subscribes("a", qos=2)
    publishes(world.client("pub"), 1, 3, 2)
    one, two, three = (message.packet_id for message in sub.messages)
    sub.takes()
    assert sub.sends(PubRec(three), PubRec(one), PubRec(two)).got == [PubRel(three), PubRel(one), PubRel(two)]


@each_version
def test_pubrels_come_again_in_the_order_of_their_pubrecs(engine: World, version: int) -> None:
    # The text does not say it of repeats; it is the same rule.
    sub = kept(engine, "sub", version, acknowledges=False).subscribes("a", qos=2)
    publishes(engine.client("pub"), 1, 3, 2)
    sub.sends(PubRec(3), PubRec(1), PubRec(2))
    assert sub.drops().returns().got == [PubRel(3), PubRel(1), PubRel(2)]


# Over reconnects of the publisher


@mqtt("MQTT-4.6.0-5", "MQTT-4.6.0-6")
@mqtt("MQTT-4.6.0-5", "MQTT-4.6.0-6", v3=True)
@each_version
@each_qos
@pytest.mark.parametrize("clean_start", [False, True])
def test_the_order_holds_over_reconnects_of_the_publisher(
    world: World, qos: int, version: int, clean_start: bool
) -> None:
    sub = world.client("sub", version=version).subscribes("a", qos=2)
    pub = kept(world, "pub", version)
    for number in range(0, 12, 3):
        publishes(pub, number + 1, number + 3, qos)
        pub = pub.drops().returns(clean_start=clean_start)
    assert sub.payloads == numbers(1, 12)


@mqtt("MQTT-4.6.0-5")
@mqtt("MQTT-4.6.0-6", v3=True)
@each_version
def test_what_a_publisher_repeats_after_a_cut_keeps_its_place(world: World, version: int) -> None:
    sub = world.client("sub", version=version).subscribes("a", qos=2)
    pub = kept(world, "pub", version)
    pub.sends(*[Publish("a", b"%d" % each, 2, packet_id=each) for each in (1, 2, 3)], PubRel(1))
    pub = pub.drops().returns()
    pub.sends(PubRel(1), *[Publish("a", b"%d" % each, 2, dup=True, packet_id=each) for each in (2, 3)])
    pub.sends(PubRel(2), PubRel(3), Publish("a", b"4", 2, packet_id=1), PubRel(1))
    assert sub.payloads == numbers(1, 4)
