"""How often a message arrives: QoS 0, 1 and 2, in both directions (sections 4.3, 4.4, 4.6 and 4.9)."""

import pytest

from telex.codes import MAX_PACKET_ID, ReasonCode
from telex.engine.options import Options
from telex.wire.packets import (
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
)
from telex.wire.properties import Properties
from tests.engine.world import Client, World

VERSIONS = pytest.mark.parametrize("version", [3, 4, 5])

# From the client to the broker


@VERSIONS
def test_qos0_is_not_acknowledged(world: World, version: int) -> None:  # [MQTT-3.3.4-1] [MQTT-4.3.1-1]
    sub = world.client("sub").subscribes("a", qos=2)
    pub = world.client("pub", version=version).sends(Publish("a", b"x"))
    assert pub.got == []
    assert sub.got == [Publish("a", b"x")]


@VERSIONS
def test_qos1_is_acknowledged_with_its_id(world: World, version: int) -> None:  # [MQTT-4.3.2-4] [MQTT-2.2.1-5]
    sub = world.client("sub").subscribes("a", qos=2)
    pub = world.client("pub", version=version).sends(Publish("a", b"x", qos=1, packet_id=7))
    assert pub.got == [PubAck(7)]
    assert sub.payloads == [b"x"]


def test_a_qos1_id_that_was_acknowledged_means_a_new_message(world: World) -> None:  # [MQTT-4.3.2-5]
    sub = world.client("sub").subscribes("a", qos=1)
    pub = world.client("pub").sends(Publish("a", b"x", qos=1, packet_id=7))
    pub.sends(Publish("a", b"x", qos=1, packet_id=7, dup=True))
    assert pub.got == [PubAck(7), PubAck(7)]
    assert sub.payloads == [b"x", b"x"]


@VERSIONS
def test_qos2_goes_in_four_steps(world: World, version: int) -> None:  # [MQTT-4.3.3-8] [MQTT-4.3.3-11]
    sub = world.client("sub").subscribes("a", qos=2)
    pub = world.client("pub", version=version).sends(Publish("a", b"x", qos=2, packet_id=7))
    assert pub.takes() == [PubRec(7)]
    assert pub.sends(PubRel(7)).takes() == [PubComp(7)]
    assert sub.payloads == [b"x"]


def test_a_repeated_qos2_publish_is_delivered_once(world: World) -> None:  # [MQTT-4.3.3-10], S3
    sub = world.client("sub").subscribes("a/#", qos=2)
    pub = world.client("pub")
    pub.sends(Publish("a/b", b"x", qos=2, packet_id=7))
    pub.sends(Publish("a/b", b"x", qos=2, packet_id=7, dup=True))
    assert pub.got == [PubRec(7), PubRec(7)]
    assert sub.payloads == [b"x"]


@pytest.mark.parametrize("version", [4, 5])
def test_a_repeated_qos2_publish_is_delivered_once_over_a_reconnect(world: World, version: int) -> None:
    # [MQTT-4.3.3-10], S3
    sub = world.client("sub").subscribes("a", qos=2)
    expiry = 60 if version == 5 else None
    pub = world.client("pub", version=version, clean_start=False, session_expiry=expiry)
    pub.sends(Publish("a", b"x", qos=2, packet_id=7)).drops()
    pub = pub.returns().sends(Publish("a", b"x", qos=2, packet_id=7, dup=True))
    assert pub.takes() == [PubRec(7)]
    assert pub.sends(PubRel(7)).got == [PubComp(7)]
    assert sub.payloads == [b"x"]


def test_a_repeat_is_known_by_its_id_and_not_by_its_dup_flag(world: World) -> None:  # [MQTT-4.3.3-10]
    sub = world.client("sub").subscribes("a", qos=2)
    world.client("pub").sends(*[Publish("a", b"x", qos=2, packet_id=7)] * 3)
    assert sub.payloads == [b"x"]


def test_a_new_session_does_not_know_the_ids_of_the_old_one(world: World) -> None:  # [MQTT-3.1.2-4]
    sub = world.client("sub").subscribes("a", qos=2)
    pub = world.client("pub", session_expiry=60).sends(Publish("a", b"1", qos=2, packet_id=7)).drops()
    pub.returns(clean_start=True).sends(Publish("a", b"2", qos=2, packet_id=7))
    assert sub.payloads == [b"1", b"2"]


def test_an_id_means_a_new_message_after_pubcomp(world: World) -> None:  # [MQTT-4.3.3-12]
    sub = world.client("sub").subscribes("a", qos=2)
    pub = world.client("pub")
    for payload in (b"1", b"2"):
        pub.sends(Publish("a", payload, qos=2, packet_id=7), PubRel(7))
    assert pub.got == [PubRec(7), PubComp(7)] * 2
    assert sub.payloads == [b"1", b"2"]


@VERSIONS
def test_a_pubrel_that_comes_again_after_a_reconnect_is_answered(world: World, version: int) -> None:  # S4
    expiry = 60 if version == 5 else None
    pub = world.client("pub", version=version, clean_start=False, session_expiry=expiry)
    pub.sends(Publish("a", b"x", qos=2, packet_id=7)).drops()
    assert pub.returns().sends(PubRel(7)).got == [PubComp(7)]


def test_a_pubrel_of_an_unknown_id_is_answered_as_such(world: World) -> None:  # [MQTT-4.3.3-11], section 3.7.2.1, S4
    client = world.client("c").sends(PubRel(9))
    assert client.got == [PubComp(9, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND)]
    assert client.is_connected


@pytest.mark.parametrize("version", [3, 4])
def test_a_v3_pubrel_of_an_unknown_id_is_answered(world: World, version: int) -> None:  # v3 [MQTT-4.3.3-2]
    assert world.client("c", version=version).sends(PubRel(9)).got == [PubComp(9)]


@pytest.mark.parametrize("packet_id", [1, 255, 256, 257, 0x1234, MAX_PACKET_ID])
def test_ids_of_two_bytes_come_back_as_they_went(world: World, packet_id: int) -> None:  # [MQTT-2.2.1-5], P2
    pub = world.client("pub").sends(Publish("a", b"x", qos=1, packet_id=packet_id))
    pub.sends(Publish("a", b"x", qos=2, packet_id=packet_id), PubRel(packet_id))
    acks = [PubAck(packet_id, 0x10), PubRec(packet_id, 0x10), PubComp(packet_id)]  # nobody subscribed
    assert pub.got == acks


def test_acknowledgements_come_in_the_order_of_the_messages(world: World) -> None:  # [MQTT-4.6.0-2] [MQTT-4.6.0-3]
    pub = world.client("pub", version=4)
    pub.sends(*[Publish("a", b"x", qos=1 + number % 2, packet_id=number) for number in (5, 2, 9, 4, 7)])
    assert pub.got == [PubRec(5), PubAck(2), PubRec(9), PubAck(4), PubRec(7)]


@VERSIONS
def test_a_dup_flag_is_not_passed_on(world: World, version: int) -> None:  # [MQTT-3.3.1-3]
    sub = world.client("sub", version=version).subscribes("a", qos=2)
    world.client("pub").sends(Publish("a", b"x", qos=1, packet_id=7, dup=True))
    assert sub.got == [Publish("a", b"x", qos=1, packet_id=1)]


def test_a_v5_publisher_is_told_that_nobody_subscribed(world: World) -> None:  # [MQTT-3.4.2-1] [MQTT-3.5.2-1]
    pub = world.client("pub").sends(Publish("a", b"x", qos=1, packet_id=1), Publish("a", b"x", qos=2, packet_id=2))
    assert pub.takes() == [PubAck(1, 0x10), PubRec(2, 0x10)]
    assert pub.sends(PubRel(2)).got == [PubComp(2)]


def test_a_v3_publisher_is_told_yes_in_any_case(world: World) -> None:  # v3 section 3.4
    pub = world.client("pub", version=4)
    pub.sends(Publish("a", b"x", qos=1, packet_id=1), Publish("a", b"x", qos=2, packet_id=2))
    assert pub.got == [PubAck(1), PubRec(2)]


# The broker's own receive maximum


def test_more_than_the_receive_maximum_closes_the_connection() -> None:  # section 3.3.4, P3
    world = World(Options(receive_maximum=2))
    pub = world.client("pub").sends(*[Publish("a", b"x", qos=2, packet_id=number) for number in (1, 2, 3)])
    assert pub.got == [PubRec(1, 0x10), PubRec(2, 0x10), Disconnect(ReasonCode.RECEIVE_MAXIMUM_EXCEEDED)]
    assert not pub.is_connected


def test_a_receive_maximum_of_one_works() -> None:  # P3
    world = World(Options(receive_maximum=1))
    sub = world.client("sub").subscribes("a", qos=2)
    pub = world.client("pub")
    for number in range(1, 50):
        pub.sends(Publish("a", b"%d" % number, qos=2, packet_id=number), PubRel(number))
    assert sub.payloads == [b"%d" % number for number in range(1, 50)]


def test_a_repeat_does_not_count_twice() -> None:  # [MQTT-4.3.3-10]
    world = World(Options(receive_maximum=1))
    pub = world.client("pub").sends(*[Publish("a", b"x", qos=2, packet_id=7)] * 3)
    assert pub.is_connected


def test_qos1_messages_are_in_flight_until_their_pubacks_have_left() -> None:  # [MQTT-3.3.4-7]
    world = World(Options(receive_maximum=10))
    pub = world.client("pub")
    for _ in range(3):
        pub.sends(*[Publish("a", b"x", qos=1, packet_id=number) for number in range(1, 11)])
    assert pub.takes() == [PubAck(number, 0x10) for number in range(1, 11)] * 3
    pub.sends(*[Publish("a", b"x", qos=1, packet_id=number) for number in range(1, 12)])  # before any PUBACK came
    assert pub.got[-1] == Disconnect(ReasonCode.RECEIVE_MAXIMUM_EXCEEDED)


def test_messages_of_both_kinds_are_in_flight_together() -> None:  # [MQTT-3.3.4-7]
    world = World(Options(receive_maximum=2))
    pub = world.client("pub").sends(Publish("a", qos=2, packet_id=1), Publish("a", qos=1, packet_id=2))
    assert pub.takes() == [PubRec(1, 0x10), PubAck(2, 0x10)]
    pub.sends(PubRel(1), Publish("a", qos=1, packet_id=2))
    assert pub.takes() == [PubComp(1), PubAck(2, 0x10)]
    pub.sends(Publish("a", qos=1, packet_id=1), Publish("a", qos=2, packet_id=2), Publish("a", qos=2, packet_id=3))
    assert pub.got[-1] == Disconnect(ReasonCode.RECEIVE_MAXIMUM_EXCEEDED)


def test_the_pubrel_of_an_earlier_connection_takes_no_quota() -> None:  # [MQTT-3.3.4-7], P3
    world = World(Options(receive_maximum=1))
    pub = world.client("pub", session_expiry=60).sends(Publish("a", qos=2, packet_id=1)).drops().returns()
    pub.sends(PubRel(1), Publish("a", qos=1, packet_id=1))
    assert pub.got == [PubComp(1), PubAck(1, 0x10)]


def test_what_was_refused_as_one_too_many_is_not_owned() -> None:  # [MQTT-4.3.3-10]
    world = World(Options(receive_maximum=1))
    sub = world.client("sub").subscribes("a", qos=2)
    pub = world.client("pub", session_expiry=60)
    pub.sends(Publish("a", b"1", qos=1, packet_id=1), Publish("a", b"2", qos=2, packet_id=2))
    assert pub.got == [PubAck(1), Disconnect(ReasonCode.RECEIVE_MAXIMUM_EXCEEDED)]
    pub.returns().sends(Publish("a", b"2", qos=2, packet_id=2, dup=True))
    assert sub.payloads == [b"1", b"2"]


def test_a_v3_client_does_not_know_our_receive_maximum() -> None:
    world = World(Options(receive_maximum=1))
    pub = world.client("pub", version=4).sends(*[Publish("a", qos=1, packet_id=number) for number in range(1, 100)])
    assert pub.is_connected


def test_a_refused_message_is_not_in_flight() -> None:  # section 4.9: PUBREC of 0x80 or more ends it
    world = World(Options(receive_maximum=1))
    pub = world.client("pub")
    for number in (1, 2, 3):
        pub.sends(Publish("$SYS/mine", b"x", qos=2, packet_id=number))
    assert pub.got == [PubRec(number, ReasonCode.NOT_AUTHORIZED) for number in (1, 2, 3)]


def test_what_an_earlier_connection_left_in_flight_takes_none_of_the_new_quota() -> None:
    # Section 4.9: "The send quota and Receive Maximum value are not preserved across Network Connections", P3
    world = World(Options(receive_maximum=2))
    pub = world.client("pub", session_expiry=60)
    pub.sends(Publish("a", b"1", qos=2, packet_id=1), Publish("a", b"2", qos=2, packet_id=2)).drops()
    pub = pub.returns().sends(Publish("a", b"3", qos=2, packet_id=3), PubRel(1), PubRel(2), PubRel(3))
    assert pub.got == [PubRec(3, 0x10), PubComp(1), PubComp(2), PubComp(3)]


@pytest.mark.parametrize("version", [3, 4])
def test_a_v3_client_is_not_held_to_a_maximum_that_it_cannot_know(version: int) -> None:
    # v3 [MQTT-4.3.3-2]: PUBLISH is answered by PUBREC; Receive Maximum is a word of MQTT 5 (section 3.2.2.3.3)
    world = World(Options(receive_maximum=2))
    pub = world.client("pub", version=version)
    pub.sends(*[Publish("a", b"x", qos=2, packet_id=number) for number in (1, 2, 3)])
    assert pub.got == [PubRec(1), PubRec(2), PubRec(3)]


# From the broker to the client


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("published", [0, 1, 2])
@pytest.mark.parametrize("granted", [0, 1, 2])
def test_a_message_comes_at_the_lower_qos(world: World, published: int, granted: int, version: int) -> None:
    # [MQTT-3.8.4-8], v3 [MQTT-3.8.4-6]
    sub = world.client("sub", version=version, acknowledges=False).subscribes("a", qos=granted)
    world.client("pub").publishes("a", b"x", qos=published)
    qos = min(published, granted)
    assert sub.got == [Publish("a", b"x", qos, packet_id=1 if qos else 0)]


def test_each_message_has_its_own_id(world: World) -> None:  # [MQTT-2.2.1-4]
    sub = world.client("sub", acknowledges=False).subscribes("a", qos=2)
    pub = world.client("pub")
    for number in range(10):
        pub.publishes("a", b"x", qos=1 + number % 2)
    ids = [message.packet_id for message in sub.messages]
    assert len(set(ids)) == 10
    assert 0 not in ids


def test_ids_are_each_clients_own(world: World) -> None:  # section 2.2.1
    subs = [world.client(name, acknowledges=False).subscribes("a", qos=1) for name in "abc"]
    world.client("pub").publishes("a", b"x", qos=1)
    assert [sub.got for sub in subs] == [[Publish("a", b"x", qos=1, packet_id=1)]] * 3


@pytest.mark.parametrize("version", [3, 4, 5])
def test_qos2_to_a_client_goes_in_four_steps(world: World, version: int) -> None:  # [MQTT-4.3.3-2] [MQTT-4.3.3-4]
    sub = world.client("sub", version=version, acknowledges=False).subscribes("a", qos=2)
    world.client("pub").publishes("a", b"x", qos=2)
    assert sub.takes() == [Publish("a", b"x", qos=2, packet_id=1)]
    assert sub.sends(PubRec(1)).takes() == [PubRel(1)]
    assert sub.sends(PubComp(1)).takes() == []


def test_messages_come_in_the_order_in_which_they_were_published(world: World) -> None:  # [MQTT-4.6.0-5]
    sub = world.client("sub", receive_maximum=3).subscribes("a/#", qos=2)
    pub = world.client("pub")
    for number in range(40):
        pub.publishes(f"a/{number % 3}", b"%d" % number, qos=1 + number % 2)
    assert sub.payloads == [b"%d" % number for number in range(40)]


def test_nothing_is_sent_again_while_the_connection_lasts(world: World) -> None:  # [MQTT-4.4.0-1]
    sub = world.client("sub", acknowledges=False).subscribes("a", qos=2)
    world.client("pub").publishes("a", b"x", qos=1).publishes("a", b"y", qos=2)
    world.advance(10_000)
    assert len(sub.got) == 2


# Resuming


@pytest.mark.parametrize("version", [3, 4, 5])
def test_qos1_without_a_puback_comes_again(world: World, version: int) -> None:
    # [MQTT-4.3.2-3] [MQTT-4.4.0-1] [MQTT-3.3.1-1], S1
    sub = keeper(world, version=version)
    world.client("pub").publishes("a", b"x", qos=1)
    assert sub.drops().takes() == [Publish("a", b"x", qos=1, packet_id=1)]
    sub = sub.returns()
    assert sub.takes() == [Publish("a", b"x", qos=1, packet_id=1, dup=True)]
    assert sub.sends(PubAck(1)).drops().returns().got == []


@pytest.mark.parametrize("version", [3, 4, 5])
def test_qos2_without_a_pubrec_comes_again(world: World, version: int) -> None:
    # [MQTT-4.3.3-3] [MQTT-4.4.0-1] [MQTT-3.3.1-1], S1
    sub = keeper(world, version=version)
    world.client("pub").publishes("a", b"x", qos=2)
    sub = sub.drops().returns()
    assert sub.got == [Publish("a", b"x", qos=2, packet_id=1, dup=True)]


@pytest.mark.parametrize("version", [3, 4, 5])
def test_pubrel_without_a_pubcomp_comes_again(world: World, version: int) -> None:
    # [MQTT-4.3.3-5] [MQTT-4.3.3-6] [MQTT-4.4.0-1], S2
    sub = keeper(world, version=version)
    world.client("pub").publishes("a", b"x", qos=2)
    assert sub.sends(PubRec(1)).drops().got[-1] == PubRel(1)
    sub = sub.returns()
    assert sub.takes() == [PubRel(1)]
    assert sub.sends(PubComp(1)).drops().returns().got == []


def test_what_was_sent_comes_again_each_time(world: World) -> None:  # [MQTT-4.4.0-1]
    sub = keeper(world)
    world.client("pub").publishes("a", b"x", qos=1)
    for _ in range(5):
        sub = sub.drops().returns()
        assert sub.got == [Publish("a", b"x", qos=1, packet_id=1, dup=True)]


def test_a_session_that_was_not_kept_sends_nothing_again(world: World) -> None:  # [MQTT-4.1.0-2]
    sub = world.client("sub", acknowledges=False).subscribes("a", qos=1)
    world.client("pub").publishes("a", b"x", qos=1)
    assert sub.drops().returns().got == []


def test_repeats_come_in_the_first_order_and_before_new_messages(world: World) -> None:  # [MQTT-4.6.0-1], S7
    sub = keeper(world)
    pub = world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=2).publishes("a", b"3", qos=1)
    sub.drops()
    pub.publishes("a", b"4", qos=1).publishes("a", b"5", qos=2)
    sub = sub.returns()
    pub.publishes("a", b"6", qos=1)
    assert [(message.payload, message.packet_id, message.dup) for message in sub.messages] == [
        (b"1", 1, True),
        (b"2", 2, True),
        (b"3", 3, True),
        (b"4", 4, False),
        (b"5", 5, False),
        (b"6", 6, False),
    ]


def test_repeats_keep_their_order_when_some_were_acknowledged(world: World) -> None:  # [MQTT-4.6.0-1]
    sub = keeper(world)
    pub = world.client("pub")
    for number in range(1, 7):
        pub.publishes("a", b"%d" % number, qos=1)
    sub.sends(PubAck(5), PubAck(1), PubAck(3)).drops()
    sub = sub.returns()
    assert sub.payloads == [b"2", b"4", b"6"]
    assert [message.packet_id for message in sub.messages] == [2, 4, 6]


def test_pubrels_come_again_in_the_order_of_their_pubrecs(world: World) -> None:  # [MQTT-4.6.0-4]
    sub = keeper(world)
    pub = world.client("pub")
    for number in range(1, 4):
        pub.publishes("a", b"%d" % number, qos=2)
    sub.sends(PubRec(3), PubRec(1), PubRec(2)).drops()
    assert sub.returns().got == [PubRel(3), PubRel(1), PubRel(2)]


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("last", range(8))
def test_a_link_that_breaks_anywhere_loses_nothing(world: World, qos: int, last: int) -> None:
    # [MQTT-4.3.3-10] [MQTT-4.4.0-1], pain 2: the client's answers get through up to one of them, then all do
    sub = keeper(world)
    pub = world.client("pub")
    for number in range(3):
        pub.publishes("a", b"%d" % number, qos=qos)
    owned: set[int] = set()
    taken: list[bytes] = []

    def answers(client: Client) -> list[Packet]:
        """What an honest client says to what came; it takes each QoS 2 message once."""
        said: list[Packet] = []
        for packet in client.takes():
            if isinstance(packet, Publish):
                if packet.packet_id not in owned:
                    taken.append(packet.payload)
                if packet.qos == 2:
                    owned.add(packet.packet_id)
                said.append(PubRec(packet.packet_id) if packet.qos == 2 else PubAck(packet.packet_id))
            elif isinstance(packet, PubRel):
                owned.discard(packet.packet_id)
                said.append(PubComp(packet.packet_id))
        return said

    sent = 0
    while said := answers(sub):
        if sent + len(said) > last:
            sub.sends(*said[: last - sent]).drops()
            answers(sub)  # the client read what came before the link broke, and its answers are lost
            break
        sent += len(said)
        sub.sends(*said)
    if not sub.is_connected:
        sub = sub.returns()
    pub.publishes("a", b"new", qos=qos)
    while said := answers(sub):
        sub.sends(*said)
    if qos == 2:
        assert taken == [b"0", b"1", b"2", b"new"]
    else:
        assert sorted(set(taken)) == [b"0", b"1", b"2", b"new"]
    assert sub.drops().returns().got == []


# Acknowledgements that are out of the ordinary


@pytest.mark.parametrize("reason_code", [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99])
def test_a_pubrec_that_refuses_ends_the_exchange(world: World, reason_code: int) -> None:  # [MQTT-4.4.0-2], S5
    sub = keeper(world, receive_maximum=1)
    pub = world.client("pub").publishes("a", b"1", qos=2).publishes("a", b"2", qos=2)
    assert sub.takes() == [Publish("a", b"1", qos=2, packet_id=1)]
    sub.sends(PubRec(1, reason_code))
    assert sub.takes() == [Publish("a", b"2", qos=2, packet_id=2)]  # the quota is free, and no PUBREL comes
    sub.sends(PubRec(2, reason_code)).drops()
    sub = sub.returns()
    pub.publishes("a", b"3", qos=1)
    assert sub.payloads == [b"3"]


@pytest.mark.parametrize("reason_code", [0x10, 0x80, 0x97])
def test_a_puback_that_refuses_ends_the_exchange(world: World, reason_code: int) -> None:  # [MQTT-4.4.0-2]
    sub = keeper(world, receive_maximum=1)
    world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=1)
    sub.sends(PubAck(1, reason_code))
    assert sub.payloads == [b"1", b"2"]
    assert sub.sends(PubAck(2, reason_code)).drops().returns().got == []


def test_a_pubrec_that_comes_again_is_answered_again(world: World) -> None:  # [MQTT-4.3.3-4]
    sub = keeper(world)
    world.client("pub").publishes("a", b"x", qos=2)
    sub.takes()
    assert sub.sends(PubRec(1), PubRec(1)).got == [PubRel(1), PubRel(1)]


def test_a_pubrec_of_an_unknown_id_is_answered_as_such(world: World) -> None:  # section 3.6.2.1
    sub = keeper(world).sends(PubRec(9))
    assert sub.got == [PubRel(9, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND)]
    assert sub.is_connected


@pytest.mark.parametrize("packet", [PubAck(9), PubComp(9), PubRec(9, 0x80)])
def test_other_acknowledgements_of_unknown_ids_are_ignored(world: World, packet: Packet) -> None:  # P2
    sub = keeper(world).sends(packet, PingReq())
    assert sub.got == [PingResp()]


def test_an_acknowledgement_of_the_wrong_kind_ends_nothing(world: World) -> None:  # [MQTT-4.3.2-3] [MQTT-4.3.3-3]
    sub = keeper(world)
    world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=2)
    sub.sends(PubComp(1), PubAck(2), PubComp(2)).drops()
    assert sub.returns().payloads == [b"1", b"2"]


def test_a_puback_that_comes_twice_acknowledges_once(world: World) -> None:  # section 4.9: the quota stays honest
    sub = keeper(world, receive_maximum=1)
    pub = world.client("pub").publishes("a", b"1", qos=1)
    sub.sends(PubAck(1), PubAck(1), PubAck(1))
    pub.publishes("a", b"2", qos=1).publishes("a", b"3", qos=1)
    assert sub.payloads == [b"1", b"2"]


# The client's receive maximum


@pytest.mark.parametrize("qos", [1, 2])
def test_no_more_than_the_receive_maximum_is_in_flight(world: World, qos: int) -> None:  # [MQTT-3.3.4-9], P3
    sub = world.client("sub", receive_maximum=3, acknowledges=False).subscribes("a", qos=2)
    pub = world.client("pub")
    for number in range(1, 8):
        pub.publishes("a", b"%d" % number, qos=qos)
    assert sub.payloads == [b"1", b"2", b"3"]
    ack = PubAck(2) if qos == 1 else PubRec(2)
    sub.sends(ack)
    if qos == 2:
        assert len(sub.payloads) == 3  # PUBREC frees nothing, PUBCOMP does
        sub.sends(PubComp(2))
    assert sub.payloads == [b"1", b"2", b"3", b"4"]


def test_a_receive_maximum_of_one_is_enough_for_everything(world: World) -> None:  # P3
    sub = world.client("sub", receive_maximum=1).subscribes("a", qos=2)
    pub = world.client("pub")
    for number in range(60):
        pub.publishes("a", b"%d" % number, qos=number % 3)
    assert sub.payloads == [b"%d" % number for number in range(60)]


def test_the_broker_may_have_a_receive_maximum_of_its_own_for_all() -> None:  # [MQTT-4.9.0-1]
    world = World(Options(max_inflight_messages=2))
    subs = [world.client(f"v{version}", version=version, acknowledges=False) for version in (3, 4, 5)]
    for sub in subs:
        sub.subscribes("a", qos=1)
    pub = world.client("pub")
    for number in range(5):
        pub.publishes("a", b"%d" % number, qos=1)
    assert [sub.payloads for sub in subs] == [[b"0", b"1"]] * 3


def test_other_packets_do_not_wait_for_the_quota(world: World) -> None:  # [MQTT-3.3.4-10] [MQTT-4.9.0-3]
    sub = world.client("sub", receive_maximum=1, acknowledges=False).subscribes("a", qos=2)
    pub = world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"waits", qos=1).publishes("a", b"0")
    sub.sends(PingReq(), Publish("b", qos=2, packet_id=3), PubRel(3)).subscribes("c")
    assert sub.payloads == [b"1", b"0"]
    assert sub.got[2:] == [PingResp(), PubRec(3, 0x10), PubComp(3)]
    assert pub.is_connected


def test_the_quota_is_fresh_on_each_connection(world: World) -> None:  # section 4.9, P3
    sub = keeper(world, receive_maximum=2)
    pub = world.client("pub")
    for number in range(1, 5):
        pub.publishes("a", b"%d" % number, qos=1)
    for _ in range(3):
        sub = sub.drops().returns()
        assert [(message.packet_id, message.dup) for message in sub.messages] == [(1, True), (2, True)]
    sub.sends(PubAck(1), PubAck(2))
    assert [(message.packet_id, message.dup) for message in sub.messages[2:]] == [(3, False), (4, False)]


def test_a_new_connection_may_have_a_smaller_receive_maximum(world: World) -> None:  # [MQTT-3.3.4-9]
    sub = keeper(world)
    pub = world.client("pub")
    for number in range(1, 6):
        pub.publishes("a", b"%d" % number, qos=1)
    sub = sub.drops().returns(receive_maximum=2)
    assert sub.payloads == [b"1", b"2"]
    for number in range(1, 6):
        sub.sends(PubAck(number))
    assert [(message.payload, message.packet_id, message.dup) for message in sub.messages] == [
        (b"%d" % number, number, True) for number in range(1, 6)
    ]


def test_pubrels_do_not_wait_for_a_smaller_receive_maximum(world: World) -> None:  # [MQTT-3.3.4-10] [MQTT-4.4.0-1]
    sub = keeper(world)
    pub = world.client("pub")
    for number in (1, 2, 3):
        pub.publishes("a", b"%d" % number, qos=2)
    sub.sends(PubRec(1)).drops()
    sub = sub.returns(receive_maximum=1)
    assert sub.payloads == [b"2"]
    assert PubRel(1) in sub.got


def test_the_end_of_an_old_exchange_frees_no_quota_of_the_new_connection(world: World) -> None:  # [MQTT-3.3.4-9]
    sub = keeper(world)
    pub = world.client("pub").publishes("a", b"1", qos=2).publishes("a", b"2", qos=2)
    sub.sends(PubRec(1)).drops()
    sub = sub.returns(receive_maximum=1)
    assert sub.payloads == [b"2"]
    pub.publishes("a", b"3", qos=2)
    sub.sends(PubComp(1))  # its PUBLISH came on the old connection
    assert sub.payloads == [b"2"]  # which is one PUBLISH that is not acknowledged, and one is what we may send


def test_the_quota_never_exceeds_the_receive_maximum(world: World) -> None:  # section 4.9
    sub = keeper(world, receive_maximum=2)
    pub = world.client("pub").publishes("a", b"1", qos=2).publishes("a", b"2", qos=2)
    sub.sends(PubRec(1), PubRec(2)).drops()
    sub = sub.returns().sends(PubComp(1), PubComp(2))  # whose PUBLISH packets took nothing of this quota
    for number in range(3, 8):
        pub.publishes("a", b"%d" % number, qos=1)
    assert sub.payloads == [b"3", b"4"]


def test_ids_in_use_are_skipped_and_all_of_them_are_used() -> None:  # [MQTT-2.2.1-4], P1
    world = World(Options(max_inflight_messages=MAX_PACKET_ID))
    sub = world.client("sub", version=4, acknowledges=False).subscribes("a", qos=1)
    world.client("pub", version=4).sends(*[Publish("a", qos=1, packet_id=1)] * (MAX_PACKET_ID + 2))
    assert [message.packet_id for message in sub.messages] == list(range(1, MAX_PACKET_ID + 1))
    sub.takes()
    sub.sends(PubAck(300))
    assert [message.packet_id for message in sub.messages] == [300]
    sub.sends(PubAck(MAX_PACKET_ID))
    assert [message.packet_id for message in sub.messages] == [300, MAX_PACKET_ID]


# What a message carries on its second way


def test_a_repeat_says_what_the_first_one_said(world: World) -> None:  # [MQTT-3.3.1-1], section 3.3.2.3
    said = Properties(content_type="text", user_properties=(("k", "v"),))
    sub = keeper(world, subscription=False).subscribes("a", qos=1, retain_as_published=True, identifier=5)
    world.client("pub").publishes("a", b"x", qos=1, retain=True, properties=said)
    first = sub.messages[0]
    sub = sub.drops().returns()
    again = sub.messages[0]
    first.dup = True
    assert again == first
    assert again.retain
    assert again.properties == Properties(
        content_type="text", user_properties=(("k", "v"),), subscription_identifiers=(5,)
    )


def keeper(world: World, *, version: int = 5, receive_maximum: int | None = None, subscription: bool = True) -> Client:
    """A client that keeps its session, subscribed to ``a``, and acknowledges nothing of itself."""
    expiry = 60 if version == 5 else None
    sub = world.client(
        "sub",
        version=version,
        clean_start=False,
        session_expiry=expiry,
        receive_maximum=receive_maximum,
        acknowledges=False,
    )
    return sub.subscribes("a", qos=2) if subscription else sub
