"""UNSUBSCRIBE: its bytes, and what it ends (section 3.10)."""

import pytest

from telex.wire.packets import (
    PingReq,
    PingResp,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Subscribe,
    UnsubAck,
    Unsubscribe,
)
from telex.wire.packets import SubscriptionRequest as Request
from tests.conformance.marks import each_version, edge, mqtt
from tests.conformance.words import ends, keeping
from tests.engine.world import World

MALFORMED = 0x81
PROTOCOL_ERROR = 0x82
NONE_EXISTED = 0x11


def unsuback(version: int, packet_id: int, *reason_codes: int) -> UnsubAck:
    """The UNSUBACK that says this; before v5 it has no codes."""
    return UnsubAck(packet_id, list(reason_codes) if version == 5 else [])


def unsubscribe_bytes(version: int, *, first: int = 0xA2, topic_filters: str = "00 01 61") -> bytes:
    """An UNSUBSCRIBE with packet id 1: its first byte, its topic filters in hex, in v5 no properties."""
    head = "00 01 00" if version == 5 else "00 01"
    body = bytes.fromhex(head + topic_filters)
    return bytes([first, len(body)]) + body


# Its bytes


@mqtt("MQTT-3.10.1-1")
@mqtt("MQTT-3.10.1-1", v3=True)
@each_version
@pytest.mark.parametrize("first", [0xA0, 0xA1, 0xA3, 0xA6, 0xAA, 0xAF])
def test_flags_of_unsubscribe_that_are_not_0010_are_malformed(world: World, version: int, first: int) -> None:
    client = world.client("c", version=version).subscribes("a").sends_bytes(unsubscribe_bytes(version, first=first))
    assert ends(client, MALFORMED)
    assert not any(isinstance(packet, UnsubAck) for packet in client.got)


# v3 [MQTT-3.10.3-1]
@mqtt("MQTT-3.10.3-1")
@each_version
@pytest.mark.parametrize(
    "topic_filters",
    [
        pytest.param("00 01 ff", id="no UTF-8"),
        pytest.param("00 02 c0 af", id="an overlong slash"),
        pytest.param("00 03 ed a0 80", id="a surrogate"),
        pytest.param("00 03 61 00 62", id="a null character"),
        pytest.param("00 01 61 00 01 ff", id="the second is no UTF-8"),
    ],
)
def test_filters_must_be_utf8(world: World, version: int, topic_filters: str) -> None:
    client = world.client("c", version=version)
    client.sends_bytes(unsubscribe_bytes(version, topic_filters=topic_filters))
    assert ends(client, MALFORMED)


@mqtt("MQTT-3.10.3-2")
@mqtt("MQTT-3.10.3-2", v3=True)
@edge("K3")
@each_version
def test_an_unsubscribe_without_a_filter_is_a_protocol_error(world: World, version: int) -> None:
    client = world.client("c", version=version).sends_bytes(unsubscribe_bytes(version, topic_filters=""))
    assert ends(client, PROTOCOL_ERROR)
    assert not any(isinstance(packet, UnsubAck) for packet in client.got)


@mqtt("MQTT-4.13.1-1")
@mqtt("MQTT-4.8.0-1", v3=True)
@each_version
@pytest.mark.parametrize("topic_filters", ["00 05 61", "00", "00 01 61 00"])
def test_a_filter_that_does_not_come_whole_is_malformed(world: World, version: int, topic_filters: str) -> None:
    client = world.client("c", version=version)
    client.sends_bytes(unsubscribe_bytes(version, topic_filters=topic_filters))
    assert ends(client, MALFORMED)


# Its answer


@mqtt("MQTT-3.10.4-4", "MQTT-3.10.4-5")
@mqtt("MQTT-3.10.4-4", v3=True)
@each_version
@pytest.mark.parametrize("packet_id", [1, 0x1234, 65_535])
def test_unsubscribe_is_answered_by_an_unsuback_with_its_packet_id(world: World, version: int, packet_id: int) -> None:
    client = world.client("c", version=version).subscribes("a").sends(Unsubscribe(packet_id, ["a"]))
    assert client.takes() == [unsuback(version, packet_id, 0)]


@mqtt("MQTT-3.10.4-5")
@mqtt("MQTT-3.10.4-5", v3=True)
@each_version
def test_the_answer_comes_even_if_nothing_was_dropped(world: World, version: int) -> None:
    client = world.client("c", version=version).sends(Unsubscribe(7, ["a", "b/#"]))
    assert client.takes() == [unsuback(version, 7, NONE_EXISTED, NONE_EXISTED)]


@mqtt("MQTT-3.10.4-6")
@mqtt("MQTT-3.10.4-6", v3=True)
@each_version
def test_many_filters_are_as_good_as_many_packets(world: World, version: int) -> None:
    client = world.client("c", version=version).subscribes("a", "b/+", "c/#", "d")
    client.sends(Unsubscribe(7, ["a", "c/#", "x", "a", "b/+"]))
    assert client.takes() == [unsuback(version, 7, 0, 0, NONE_EXISTED, NONE_EXISTED, 0)]
    pub = world.client("pub")
    for topic in ("a", "b/1", "c/1", "d"):
        pub.publishes(topic, b"x")
    assert client.topics == ["d"]


# What it ends


@mqtt("MQTT-3.10.4-1", "MQTT-3.10.4-2")
@mqtt("MQTT-3.10.4-1", "MQTT-3.10.4-2", v3=True)
@each_version
@pytest.mark.parametrize("topic_filter", ["a/b", "a/+", "a/#", "#", "+/b", "$share/g/a/b", "$share/g/a/#"])
def test_a_subscription_ends(world: World, version: int, topic_filter: str) -> None:
    sub = world.client("sub", version=version).subscribes(topic_filter, qos=1)
    pub = world.client("pub").publishes("a/b", b"before", 1)
    sub.unsubscribes(topic_filter)
    for qos in (0, 1, 2):
        pub.publishes("a/b", b"after", qos)
    assert sub.payloads == [b"before"]


@mqtt("MQTT-3.10.4-1")
@mqtt("MQTT-3.10.4-1", v3=True)
@each_version
@pytest.mark.parametrize("topic_filter", ["a/+", "a/", "/a/#", "A/#", "a", "#", "a/b", "a/#/", "$share/g/a/#"])
def test_a_filter_is_dropped_by_its_own_name_only(world: World, version: int, topic_filter: str) -> None:
    # `a/#/` is no filter, which a broker may also refuse to read; the others match much the same.
    sub = world.client("sub", version=version).subscribes("a/#").sends(Unsubscribe(1, [topic_filter]))
    if topic_filter == "a/#/" and ends(sub, MALFORMED):
        return
    assert sub.takes() == [unsuback(version, 1, NONE_EXISTED)]
    world.client("pub").publishes("a/b", b"x")
    assert sub.payloads == [b"x"]


@mqtt("MQTT-3.10.4-1")
@mqtt("MQTT-3.10.4-1", v3=True)
@each_version
def test_characters_that_look_alike_are_not_the_same(world: World, version: int) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    sub = world.client("sub", version=version).subscribes(composed).sends(Unsubscribe(1, [decomposed]))
    assert sub.takes() == [unsuback(version, 1, NONE_EXISTED)]
    world.client("pub").publishes(composed, b"x")
    assert sub.payloads == [b"x"]


@mqtt("MQTT-3.10.4-1")
@mqtt("MQTT-3.10.4-1", v3=True)
@each_version
def test_only_the_clients_own_subscription_ends(world: World, version: int) -> None:
    one = world.client("c", version=version).subscribes("a", "#")
    other = world.client("d", version=version).subscribes("a", "#")
    one.unsubscribes("a", "#")
    world.client("pub").publishes("a", b"x")
    assert one.got == []
    assert set(other.payloads) == {b"x"}


@mqtt("MQTT-3.10.4-1")
@mqtt("MQTT-3.10.4-1", v3=True)
@each_version
def test_a_subscription_that_overlaps_stays(world: World, version: int) -> None:
    sub = world.client("sub", version=version).subscribes("a/b", qos=2).subscribes("a/#", qos=1)
    sub.unsubscribes("a/b")
    world.client("pub").publishes("a/b", b"x", qos=2)
    assert [(message.payload, message.qos) for message in sub.messages] == [(b"x", 1)]


@mqtt("MQTT-3.10.4-1", "MQTT-3.10.4-2")
@mqtt("MQTT-3.10.4-1", "MQTT-3.10.4-2", v3=True)
@each_version
def test_a_subscription_of_a_kept_session_ends_for_good(world: World, version: int) -> None:
    sub = world.client("sub", **keeping(version)).subscribes("a", "b", qos=1).unsubscribes("a").drops()
    world.client("pub").publishes("a", b"1", qos=1).publishes("b", b"2", qos=1)
    assert sub.returns().payloads == [b"2"]


@mqtt("MQTT-3.10.4-2")
@mqtt("MQTT-3.10.4-2", v3=True)
@each_version
def test_it_parts_the_messages_before_it_from_those_after_it(world: World, version: int) -> None:
    client = world.client("c", version=version).subscribes("a")
    client.sends(Publish("a", b"1"), Unsubscribe(1, ["a"]), Publish("a", b"2"), Subscribe(2, [Request("a")]))
    client.sends(Publish("a", b"3"), PingReq())
    assert client.payloads == [b"1", b"3"]
    assert client.got[-1] == PingResp()


# What was on its way


@mqtt("MQTT-3.10.4-3")
@mqtt("MQTT-3.10.4-3", v3=True)
@each_version
def test_a_qos2_exchange_goes_on_to_its_end(world: World, version: int) -> None:
    sub = world.client("sub", version=version, acknowledges=False).subscribes("a", qos=2)
    world.client("pub").publishes("a", b"x", qos=2)
    packet_id = sub.messages[0].packet_id
    sub.unsubscribes("a")
    assert sub.sends(PubRec(packet_id)).got[-1] == PubRel(packet_id)
    assert sub.sends(PubComp(packet_id), PingReq()).got[-1] == PingResp()


@mqtt("MQTT-3.10.4-3")
@mqtt("MQTT-3.10.4-3", v3=True)
@each_version
def test_what_was_sent_before_is_sent_again_after_a_cut(world: World, version: int) -> None:
    sub = world.client("sub", **keeping(version), acknowledges=False).subscribes("a", qos=2)
    world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=2)
    first, second = sub.messages
    again = sub.unsubscribes("a").drops().returns()
    assert again.payloads == [b"1", b"2"]
    assert [message.packet_id for message in again.messages] == [first.packet_id, second.packet_id]
    assert all(message.dup for message in again.messages)
