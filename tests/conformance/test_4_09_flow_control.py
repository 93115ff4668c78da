"""Flow control: Receive Maximum and the send quota, in both directions (section 4.9). MQTT 5 only."""

import pytest

from telex.codes import MAX_PACKET_ID
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
)
from tests.conformance.conftest import MakeWorld
from tests.conformance.marks import edge, mqtt
from tests.engine.world import Client, World

each_qos = pytest.mark.parametrize("qos", [1, 2])


def slow(world: World, receive_maximum: int | None, **manners: object) -> Client:
    """A client that is subscribed to ``a`` and acknowledges nothing of itself."""
    client = world.client("slow", receive_maximum=receive_maximum, acknowledges=False, **manners)
    return client.subscribes("a", qos=2)


def publishes(world: World, first: int, last: int, qos: int) -> None:
    """Somebody publishes these numbers."""
    pub = world.client("pub")
    for number in range(first, last + 1):
        pub.publishes("a", b"%d" % number, qos=qos)
    pub.disconnects()


def acknowledges(client: Client, message: Publish) -> None:
    """Go through the whole exchange of one message."""
    if message.qos == 1:
        client.sends(PubAck(message.packet_id))
    else:
        client.sends(PubRec(message.packet_id)).sends(PubComp(message.packet_id))


# The broker as sender


@edge("P3")
@mqtt("MQTT-4.9.0-1", "MQTT-4.9.0-2", "MQTT-3.3.4-9")
@each_qos
@pytest.mark.parametrize("receive_maximum", [1, 2, 5])
def test_no_more_than_the_receive_maximum_is_in_flight(world: World, receive_maximum: int, qos: int) -> None:
    sub = slow(world, receive_maximum)
    publishes(world, 1, receive_maximum + 4, qos)
    assert 1 <= len(sub.messages) <= receive_maximum  # a broker may set itself a smaller quota
    assert sub.payloads == [b"%d" % number for number in range(1, len(sub.messages) + 1)]


@mqtt("MQTT-4.9.0-1")
@each_qos
def test_the_quota_is_not_zero_without_a_receive_maximum(world: World, qos: int) -> None:
    sub = slow(world, None)
    publishes(world, 1, 5, qos)
    assert len(sub.messages) >= 1


@mqtt("MQTT-4.9.0-1")
@each_qos
def test_the_whole_receive_maximum_is_used(engine: World, qos: int) -> None:
    sub = slow(engine, 5)
    publishes(engine, 1, 9, qos)
    assert len(sub.messages) == 5


@edge("P3")
@mqtt("MQTT-4.9.0-2", "MQTT-3.3.4-9")
@each_qos
def test_each_end_of_an_exchange_lets_one_message_more_come(world: World, qos: int) -> None:
    sub = slow(world, 1)
    publishes(world, 1, 6, qos)
    for number in range(1, 7):
        assert sub.payloads == [b"%d" % number]
        (message,) = sub.messages
        sub.takes()
        acknowledges(sub, message)
    assert sub.messages == []


@edge("P3")
@mqtt("MQTT-4.9.0-2", "MQTT-3.3.4-9")
@each_qos
def test_never_more_than_the_quota_leaves_while_messages_wait(world: World, qos: int) -> None:
    sub = slow(world, 3)
    publishes(world, 1, 12, qos)
    done = 0
    while done < len(sub.messages):
        assert len(sub.messages) - done <= 3
        acknowledges(sub, sub.messages[done])
        done += 1
    assert sub.payloads == [b"%d" % number for number in range(1, 13)]


@mqtt("MQTT-4.9.0-2")
def test_a_pubrec_lets_nothing_more_come_but_a_pubcomp_does(world: World) -> None:
    sub = slow(world, 1)
    publishes(world, 1, 2, 2)
    (message,) = sub.messages
    sub.takes()
    assert sub.sends(PubRec(message.packet_id)).takes() == [PubRel(message.packet_id)]
    assert sub.sends(PubComp(message.packet_id)).payloads == [b"2"]


@edge("S5")
@mqtt("MQTT-4.9.0-2")
def test_a_pubrec_of_0x80_or_above_lets_one_message_more_come(world: World) -> None:
    sub = slow(world, 1)
    publishes(world, 1, 2, 2)
    (message,) = sub.messages
    sub.takes()
    assert sub.sends(PubRec(message.packet_id, 0x97)).payloads == [b"2"]


@mqtt("MQTT-4.9.0-2", "MQTT-3.3.4-9")
def test_acknowledgements_of_unknown_ids_let_nothing_more_come(world: World) -> None:
    sub = slow(world, 1)
    publishes(world, 1, 3, 1)
    (message,) = sub.messages
    sub.takes()
    unknown = message.packet_id + 1
    sub.sends(PubAck(unknown), PubComp(unknown))
    assert sub.messages == []
    assert sub.sends(PubAck(message.packet_id)).payloads == [b"2"]
    sub.takes()
    assert sub.sends(PubAck(message.packet_id)).messages == []  # once more for the first


@mqtt("MQTT-4.9.0-2")
def test_both_qos_share_one_quota(world: World) -> None:
    sub = slow(world, 2)
    pub = world.client("pub")
    for number in range(6):
        pub.publishes("a", b"%d" % number, qos=1 + number % 2)
    assert 1 <= len(sub.messages) <= 2


@edge("P3")
@mqtt("MQTT-4.9.0-1")
@each_qos
def test_the_quota_is_fresh_on_each_connection(world: World, qos: int) -> None:
    # "The send quota and Receive Maximum value are not preserved across Network Connections"
    sub = slow(world, 2, session_expiry=60)
    publishes(world, 1, 3, qos)
    for _ in range(3):
        sub = sub.drops().returns()
        assert 1 <= len(sub.messages) <= 2
        assert all(message.dup for message in sub.messages)
    seen: list[bytes] = []
    while sub.messages:
        message = sub.messages[0]
        seen.append(message.payload)
        sub.got.remove(message)
        acknowledges(sub, message)
    assert seen == [b"1", b"2", b"3"]


@edge("P3")
@mqtt("MQTT-4.9.0-1", "MQTT-3.3.4-9")
@each_qos
def test_a_new_connection_may_bring_a_smaller_receive_maximum(world: World, qos: int) -> None:
    sub = slow(world, 5, session_expiry=60)
    publishes(world, 1, 5, qos)
    sub = sub.drops().returns(receive_maximum=1)
    for number in range(1, 6):
        assert sub.payloads == [b"%d" % number]
        (message,) = sub.messages
        sub.takes()
        acknowledges(sub, message)


@edge("P3")
@mqtt("MQTT-4.9.0-1", "MQTT-3.3.4-9")
def test_the_end_of_an_old_exchange_is_no_quota_of_the_new_connection(world: World) -> None:
    # "The send quota is not incremented if it is already equal to the initial send quota."
    sub = slow(world, 2, session_expiry=60)
    publishes(world, 1, 2, 2)
    first, second = (message.packet_id for message in sub.messages)
    sub = sub.sends(PubRec(first), PubRec(second)).drops().returns()
    sub.sends(PubComp(first), PubComp(second))
    publishes(world, 3, 7, 1)
    assert 1 <= len(sub.messages) <= 2


@edge("P3")
@each_qos
def test_a_new_connection_may_bring_a_larger_receive_maximum(engine: World, qos: int) -> None:
    sub = slow(engine, 1, session_expiry=60)
    publishes(engine, 1, 9, qos)
    assert sub.drops().returns(receive_maximum=6).payloads == [b"%d" % number for number in range(1, 7)]


@edge("P3")
@mqtt("MQTT-4.9.0-3", "MQTT-3.3.4-10")
def test_everything_else_goes_on_while_the_quota_is_zero(world: World) -> None:
    sub = slow(world, 1)
    publishes(world, 1, 2, 1)
    assert sub.payloads == [b"1"]
    sub.takes()
    other = world.client("other").subscribes("b", qos=2)
    assert sub.sends(PingReq()).takes() == [PingResp()]
    assert sub.sends(Publish("b", b"x", 1, packet_id=3)).takes() == [PubAck(3)]
    assert sub.sends(Publish("b", b"y", 2, packet_id=4)).takes() == [PubRec(4)]
    assert sub.sends(PubRel(4)).takes() == [PubComp(4)]
    assert sub.subscribes("c").unsubscribes("c").takes() == []
    assert other.payloads == [b"x", b"y"]


@edge("P3")
@mqtt("MQTT-4.9.0-3", "MQTT-3.3.4-10")
def test_qos0_goes_on_while_the_quota_is_zero(world: World) -> None:
    sub = slow(world, 1)
    publishes(world, 1, 2, 1)
    world.client("pub").publishes("a", b"0")
    assert sub.payloads == [b"1", b"0"]


@mqtt("MQTT-4.9.0-3", "MQTT-3.3.4-10")
def test_pubrel_does_not_wait_for_quota(world: World) -> None:
    sub = slow(world, 2, session_expiry=60)
    publishes(world, 1, 2, 2)
    first, second = (message.packet_id for message in sub.messages)
    sub.takes()
    assert sub.sends(PubRec(second), PubRec(first)).takes() == [PubRel(second), PubRel(first)]
    sub = sub.drops().returns(receive_maximum=1)
    assert sorted(packet.packet_id for packet in sub.got if isinstance(packet, PubRel)) == sorted([first, second])


# The broker as receiver


@edge("P3")
@mqtt("MQTT-4.9.0-1")
def test_a_receive_maximum_of_zero_is_an_error(world: World) -> None:
    stranger = world.stranger().sends_bytes(bytes.fromhex("10 11 0004 4d515454 05 02 0000 03 21 0000 0001 63"))
    assert not stranger.is_connected
    assert all(isinstance(packet, ConnAck) and packet.reason_code == 0x82 for packet in stranger.got)


@edge("P3")
@mqtt("MQTT-3.3.4-7")
def test_a_client_that_exceeds_the_brokers_receive_maximum_is_disconnected(world: World) -> None:
    # Section 3.3.4: the Server uses DISCONNECT with 0x93; the message that is too much gets no PUBREC.
    watcher = world.client("watcher").subscribes("a", qos=0)
    pub = world.client("pub")
    allowed = pub.said.receive_maximum or MAX_PACKET_ID
    pub.sends(*[Publish("a", b"x", 2, packet_id=number) for number in range(1, allowed + 1)])
    assert pub.takes() == [PubRec(number) for number in range(1, allowed + 1)]
    pub.sends(Publish("a", b"one too many", 2, packet_id=allowed + 1))
    assert pub.got == [Disconnect(0x93)]
    assert not pub.is_connected
    assert b"one too many" not in watcher.payloads


@edge("P3")
@mqtt("MQTT-3.3.4-7")
@pytest.mark.parametrize("receive_maximum", [1, 2, 20])
def test_a_broker_says_its_receive_maximum_and_means_it(make_world: MakeWorld, receive_maximum: int) -> None:
    world = make_world(Options(receive_maximum=receive_maximum))
    world.client("watcher").subscribes("a", qos=0)
    pub = world.client("pub")
    assert pub.said.receive_maximum == receive_maximum
    pub.sends(*[Publish("a", b"x", 2, packet_id=number) for number in range(1, receive_maximum + 2)])
    assert pub.got == [*[PubRec(number) for number in range(1, receive_maximum + 1)], Disconnect(0x93)]


@edge("P3")
@each_qos
def test_a_receive_maximum_of_one_is_enough_for_everything(make_world: MakeWorld, qos: int) -> None:
    world = make_world(Options(receive_maximum=1))
    sub = world.client("sub", receive_maximum=1).subscribes("a", qos=2)
    pub = world.client("pub")
    for number in range(30):
        pub.publishes("a", b"%d" % number, qos=qos)
    assert sub.payloads == [b"%d" % number for number in range(30)]


@edge("P3")
@mqtt("MQTT-4.3.3-10")
def test_a_repeat_counts_once(make_world: MakeWorld) -> None:
    world = make_world(Options(receive_maximum=1))
    world.client("watcher").subscribes("a", qos=0)
    pub = world.client("pub").sends(*[Publish("a", b"x", 2, packet_id=7)] * 3)
    assert pub.got == [PubRec(7)] * 3
    assert pub.is_connected


@edge("P3")
def test_a_clients_quota_is_fresh_on_each_connection(make_world: MakeWorld) -> None:
    world = make_world(Options(receive_maximum=2))
    sub = world.client("sub").subscribes("a", qos=2)
    pub = world.client("pub", session_expiry=60)
    pub = pub.sends(*[Publish("a", b"%d" % each, 2, packet_id=each) for each in (1, 2)]).drops().returns()
    pub.sends(*[Publish("a", b"%d" % each, 2, packet_id=each) for each in (3, 4)])
    assert pub.got == [PubRec(3), PubRec(4)]
    pub.sends(*[PubRel(each) for each in (1, 2, 3, 4)])
    assert sub.payloads == [b"1", b"2", b"3", b"4"]


@edge("P3")
def test_a_message_that_was_refused_is_not_in_flight(make_world: MakeWorld) -> None:
    world = make_world(Options(receive_maximum=1))
    pub = world.client("pub")
    for number in (1, 2, 3):
        assert pub.sends(Publish("$SYS/mine", b"x", 2, packet_id=number)).takes() == [PubRec(number, 0x87)]


@edge("P3")
@mqtt("MQTT-3.3.4-7")
def test_qos1_counts_until_its_puback_can_have_been_heard(make_world: MakeWorld) -> None:
    world = make_world(Options(receive_maximum=2))
    sub = world.client("sub").subscribes("a")
    pub = world.client("pub")
    for _ in range(5):
        pub.sends(Publish("a", b"x", 1, packet_id=1), Publish("a", b"x", 1, packet_id=2))
        assert pub.takes() == [PubAck(1), PubAck(2)]
    pub.sends(*[Publish("a", b"y", 1, packet_id=number) for number in (1, 2, 3)])  # all at once, before any answer
    assert pub.got[-1:] == [Disconnect(0x93)]
    assert sub.payloads.count(b"y") == 2


@edge("P3")
def test_a_v3_client_is_not_held_to_a_maximum_that_it_cannot_know(make_world: MakeWorld) -> None:
    world = make_world(Options(receive_maximum=2))
    pub = world.client("pub", version=4).sends(*[Publish("a", b"x", 2, packet_id=each) for each in (1, 2, 3)])
    assert pub.got == [PubRec(1), PubRec(2), PubRec(3)]
