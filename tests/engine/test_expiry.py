"""Messages that are of no use any more: the Message Expiry Interval (section 3.3.2.3.3)."""

import pytest

from telex.wire.packets import Publish, PubRec, PubRel
from telex.wire.properties import Properties
from tests.engine.world import World


def lasting(seconds: int) -> Properties:
    """The properties of a message that lasts so long."""
    return Properties(message_expiry_interval=seconds)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_message_that_goes_on_at_once_keeps_its_interval(world: World, qos: int) -> None:  # [MQTT-3.3.2-6]
    sub = world.client("sub").subscribes("a", qos=2)
    world.client("pub").publishes("a", b"x", qos=qos, properties=lasting(10))
    assert sub.messages[0].properties == lasting(10)


def test_a_message_without_an_interval_does_not_expire(world: World) -> None:  # section 3.3.2.3.3
    sub = world.client("sub", session_expiry=0xFFFFFFFF).subscribes("a", qos=1).drops()
    world.client("pub").publishes("a", b"x", qos=1)
    world.advance(100_000)
    assert sub.returns().messages[0].properties is None


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("waited", [1, 4, 9])
def test_what_waited_has_less_time_left(world: World, waited: int, qos: int) -> None:  # [MQTT-3.3.2-6], R4
    sub = world.client("sub", session_expiry=60).subscribes("a", qos=2).drops()
    world.client("pub").publishes("a", b"x", qos=qos, properties=lasting(10))
    world.advance(waited)
    assert sub.returns().messages[0].properties == lasting(10 - waited)


@pytest.mark.parametrize("waited", [10, 11, 50])
def test_what_waited_too_long_is_not_sent(world: World, waited: int) -> None:  # [MQTT-3.3.2-5], R4
    sub = world.client("sub", session_expiry=60).subscribes("a", qos=2).drops()
    pub = world.client("pub").publishes("a", b"old", qos=1, properties=lasting(10)).publishes("a", b"1", qos=1)
    pub.publishes("a", b"old", qos=2, properties=lasting(5)).publishes("a", b"2", qos=2, properties=lasting(59))
    world.advance(waited)
    assert sub.returns().payloads == [b"1", b"2"]


def test_what_waits_for_the_quota_expires_too(world: World) -> None:  # [MQTT-3.3.2-5]
    sub = world.client("sub", receive_maximum=1, acknowledges=False).subscribes("a", qos=2)
    pub = world.client("pub").publishes("a", b"1", qos=2)
    pub.publishes("a", b"old", qos=1, properties=lasting(5)).publishes("a", b"2", qos=1, properties=lasting(50))
    world.advance(10)
    sub.sends(PubRec(1, 0x80))
    assert [(message.payload, message.properties) for message in sub.messages] == [(b"1", None), (b"2", lasting(40))]


def test_expired_messages_do_not_block_the_quota(world: World) -> None:  # [MQTT-3.3.2-5]
    sub = world.client("sub", receive_maximum=1, session_expiry=60).subscribes("a", qos=1).drops()
    pub = world.client("pub")
    for number in range(10):
        pub.publishes("a", b"%d" % number, qos=1, properties=lasting(5 if number % 2 else 50))
    world.advance(10)
    assert sub.returns().payloads == [b"0", b"2", b"4", b"6", b"8"]


def test_what_was_sent_does_not_expire(world: World) -> None:  # [MQTT-4.3.3-7], S8
    sub = world.client("sub", session_expiry=60, acknowledges=False).subscribes("a", qos=2)
    world.client("pub").publishes("a", b"1", qos=2, properties=lasting(5)).publishes("a", b"2", qos=1)
    sub.drops()
    world.advance(10)
    sub = sub.returns()
    assert [(message.packet_id, message.payload, message.dup) for message in sub.messages] == [
        (1, b"1", True),
        (2, b"2", True),
    ]
    assert sub.messages[0].properties == lasting(0)


def test_an_exchange_past_pubrec_goes_on_after_the_expiry(world: World) -> None:  # [MQTT-4.3.3-13], S8
    sub = world.client("sub", session_expiry=60, acknowledges=False).subscribes("a", qos=2)
    world.client("pub").publishes("a", b"x", qos=2, properties=lasting(5))
    sub.sends(PubRec(1)).drops()
    world.advance(10)
    assert sub.returns().got == [PubRel(1)]


def test_a_publisher_finishes_its_exchange_after_the_expiry(world: World) -> None:  # [MQTT-4.3.3-13]
    sub = world.client("sub", session_expiry=60).subscribes("a", qos=2).drops()
    pub = world.client("pub").sends(Publish("a", b"x", qos=2, packet_id=7, properties=lasting(1)))
    world.advance(5)
    pub.sends(Publish("a", b"x", qos=2, packet_id=7, dup=True, properties=lasting(1)), PubRel(7))
    assert [packet.packet_id for packet in pub.got if isinstance(packet, PubRec)] == [7, 7]
    assert sub.returns().got == []


# Retained


def test_a_retained_message_has_less_time_left(world: World) -> None:  # [MQTT-3.3.2-6], R4
    world.client("pub").publishes("a", b"x", retain=True, properties=lasting(10))
    for passed in (0, 3, 6):
        world.advance(3 if passed else 0)
        assert world.client("sub").subscribes("a").messages[0].properties == lasting(10 - passed)


def test_a_retained_message_that_expired_is_gone(world: World) -> None:  # [MQTT-3.3.2-5], R4
    world.client("pub").publishes("a/b", b"old", retain=True, properties=lasting(10)).publishes("a", b"x", retain=True)
    world.advance(10)
    assert world.client("sub").subscribes("#").payloads == [b"x"]
    assert world.engine.retained.count == 1


def test_a_fraction_of_a_second_does_not_matter_to_what_expired(world: World) -> None:  # [MQTT-3.3.2-5]
    world.advance(0.7)
    world.client("pub").publishes("a", b"old", retain=True, properties=lasting(2))
    world.advance(1.5)
    left = world.client("sub").subscribes("a").messages[0].properties
    assert left == lasting(1)  # rounded up: it has not expired yet
    world.advance(0.6)
    assert world.client("sub").subscribes("a").got == []
    world.advance(1)
    assert world.engine.retained.count == 0


def test_a_new_retained_message_has_its_own_time(world: World) -> None:  # [MQTT-3.3.1-5]
    pub = world.client("pub").publishes("a", b"1", retain=True, properties=lasting(5))
    world.advance(4)
    pub.publishes("a", b"2", retain=True, properties=lasting(100))
    world.advance(50)
    assert world.client("sub").subscribes("a").payloads == [b"2"]
    pub.publishes("a", b"3", retain=True)
    world.advance(1_000)
    assert world.client("sub").subscribes("a").payloads == [b"3"]


def test_the_longest_interval_is_no_trouble(world: World) -> None:  # S10: no timer overflows
    sub = world.client("sub", session_expiry=0xFFFFFFFF).subscribes("a", qos=1).drops()
    world.client("pub").publishes("a", b"x", qos=1, retain=True, properties=lasting(0xFFFFFFFF))
    world.advance(1)
    assert sub.returns().messages[0].properties == lasting(0xFFFFFFFE)
    assert world.client("late").subscribes("a").messages[0].properties == lasting(0xFFFFFFFE)


@pytest.mark.parametrize("qos", [1, 2])
def test_a_message_of_no_time_at_all_does_not_wait(world: World, qos: int) -> None:  # [MQTT-3.3.2-5]
    sub = world.client("sub", session_expiry=60).subscribes("a", qos=2).drops()
    world.client("pub").publishes("a", b"x", qos=qos, retain=True, properties=lasting(0))
    assert sub.returns().got == []
    assert world.client("late").subscribes("a").got == []


@pytest.mark.parametrize("version", [3, 4])
def test_a_v3_client_is_not_told_but_spared(world: World, version: int) -> None:  # [MQTT-3.3.2-5]
    sub = world.client("sub", version=version, clean_start=False).subscribes("a", qos=1).drops()
    pub = world.client("pub").publishes("a", b"old", qos=1, properties=lasting(5))
    pub.publishes("a", b"x", qos=1, properties=lasting(50))
    world.advance(10)
    assert sub.returns().got == [Publish("a", b"x", qos=1, packet_id=1)]


def test_each_receiver_is_told_what_is_left_then(world: World) -> None:  # [MQTT-3.3.2-6], R4
    subs = [world.client(name, session_expiry=60).subscribes("a", qos=1).drops() for name in "abc"]
    world.client("pub").publishes("a", b"x", qos=1, properties=lasting(30))
    left = []
    for sub in subs:
        world.advance(5)
        left.append(sub.returns().messages[0].properties)
    assert left == [lasting(25), lasting(20), lasting(15)]
