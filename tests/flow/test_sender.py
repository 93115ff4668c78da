"""The sending half by itself: ids, quota, order, and acknowledgements that fit nothing."""

import pytest

from telex.codes import MAX_PACKET_ID
from telex.flow import Sender
from tests.flow.link import Parcel


def sender_of(*kinds: int, receive_maximum: int = MAX_PACKET_ID) -> tuple[Sender[Parcel], list[Parcel]]:
    """A Sender that has sent a parcel of each of these QoS, and the parcels."""
    sender: Sender[Parcel] = Sender(receive_maximum)
    parcels = [Parcel(qos, f"m{number}") for number, qos in enumerate(kinds)]
    for parcel in parcels:
        sender.send(parcel)
    return sender, parcels


def send_one(sender: Sender[Parcel], qos: int = 1) -> int:
    """Send another parcel; its packet id."""
    parcel = Parcel(qos, "one more")
    sender.send(parcel)
    return parcel.packet_id


# --- Packet ids ---


def test_a_delivery_has_no_packet_id_before_it_is_sent() -> None:  # [MQTT-4.3.2-1]
    parcel = Parcel(1, "m")
    assert (parcel.qos, parcel.packet_id, parcel.is_released) == (1, 0, False)


def test_each_delivery_gets_an_id_that_no_other_has() -> None:  # [MQTT-2.2.1-3] [MQTT-4.3.3-1]
    sender, parcels = sender_of(1, 2, 1, 2)
    assert [parcel.packet_id for parcel in parcels] == [1, 2, 3, 4]
    assert list(sender.in_flight.values()) == parcels


def test_an_id_rests_before_it_is_used_again() -> None:  # [MQTT-2.2.1-3]
    sender, _ = sender_of(1)
    for expected in range(2, 1_000):
        sender.on_puback(expected - 1)
        assert send_one(sender) == expected


def test_ids_begin_again_at_1_and_pass_over_those_in_use() -> None:  # [MQTT-2.2.1-3]
    sender, _ = sender_of(1, 2, 1, 2, 1)  # 1 and 3 are acknowledged, 2, 4 and 5 stay
    sender.on_puback(1)
    sender.on_puback(3)
    for expected in range(6, MAX_PACKET_ID + 1):
        assert send_one(sender) == expected
        sender.on_puback(expected)
    assert [send_one(sender) for _ in range(4)] == [1, 3, 6, 7]


def test_all_65535_ids_can_be_in_flight_and_no_more() -> None:  # [MQTT-2.2.1-3]
    sender: Sender[Parcel] = Sender()
    ids = set()
    while sender.can_send:
        ids.add(send_one(sender))
    assert ids == set(range(1, 65_536))
    assert len(sender.in_flight) == 65_535
    assert sender.quota == 0


@pytest.mark.parametrize("freed", [1, 300, 65_535])
def test_the_last_free_id_is_found(freed: int) -> None:  # [MQTT-2.2.1-3]
    sender, _ = sender_of(*([1] * MAX_PACKET_ID))
    sender.on_puback(freed)
    assert sender.can_send
    assert sender.next_packet_id() == freed
    assert send_one(sender) == freed
    assert not sender.can_send


def test_without_a_free_id_a_fresh_quota_is_of_no_use() -> None:  # [MQTT-2.2.1-3]
    sender, _ = sender_of(*([2] * MAX_PACKET_ID))
    for packet_id in range(1, MAX_PACKET_ID + 1):
        sender.on_pubrec(packet_id, 0)
    sender.resume(MAX_PACKET_ID)
    assert sender.quota == MAX_PACKET_ID
    assert not sender.can_send
    sender.on_pubcomp(7)
    assert sender.can_send
    assert send_one(sender) == 7


# --- Quota ---


def test_each_publish_takes_quota_until_there_is_none() -> None:  # [MQTT-4.9.0-2]
    sender: Sender[Parcel] = Sender(3)
    for left in (2, 1, 0):
        assert sender.can_send
        send_one(sender)
        assert sender.quota == left
    assert not sender.can_send


def test_a_receive_maximum_of_1_works() -> None:  # [MQTT-4.9.0-2]
    sender: Sender[Parcel] = Sender(1)
    for packet_id in range(1, 10):
        assert send_one(sender) == packet_id
        assert not sender.can_send
        assert sender.on_puback(packet_id) is not None
        assert sender.can_send


def test_a_puback_gives_its_quota_back() -> None:  # section 4.9
    sender, _ = sender_of(1, 1, receive_maximum=2)
    sender.on_puback(1)
    assert sender.quota == 1


def test_a_pubrec_gives_no_quota_back_but_a_pubcomp_does() -> None:  # section 4.9
    sender, _ = sender_of(2, 2, receive_maximum=2)
    sender.on_pubrec(1, 0x00)
    assert sender.quota == 0
    sender.on_pubrec(2, 0x10)  # no matching subscribers is a success too
    assert sender.quota == 0
    sender.on_pubcomp(1)
    assert sender.quota == 1


def test_a_pubrec_that_refuses_gives_quota_and_id_back() -> None:  # section 4.9 [MQTT-4.4.0-2]
    sender, parcels = sender_of(2, receive_maximum=1)
    assert sender.on_pubrec(1, 0x80) is parcels[0]
    assert sender.in_flight == {}
    assert sender.quota == 1
    assert sender.on_pubcomp(1) is None
    assert list(sender.resume(1)) == []


def test_quota_never_rises_above_its_start() -> None:  # section 4.9
    sender, _ = sender_of(2, 2, 1, receive_maximum=3)
    sender.on_pubrec(1, 0)
    sender.on_pubrec(2, 0)
    sender.resume(2)
    for acknowledge in (sender.on_pubcomp, sender.on_puback):
        for packet_id in (1, 2, 3):
            acknowledge(packet_id)
            assert sender.quota == 2


def test_a_pubcomp_of_an_earlier_connection_makes_room_for_nothing() -> None:  # [MQTT-3.3.4-7] [MQTT-3.3.4-9]
    sender, _ = sender_of(2, receive_maximum=2)
    sender.on_pubrec(1, 0)
    sender.resume(2)  # its PUBREL leaves again, without quota
    send_one(sender, 2)
    send_one(sender, 2)
    assert not sender.can_send
    sender.on_pubcomp(1)
    assert not sender.can_send  # two of this connection are unacknowledged still, and the peer takes two


def test_quota_is_fresh_on_each_connection() -> None:  # section 4.9
    sender, _ = sender_of(1, 1, 1, receive_maximum=3)
    sender.resume(10)
    assert (sender.receive_maximum, sender.quota) == (10, 10)
    sender.resume(1)
    assert (sender.receive_maximum, sender.quota) == (1, 1)


def test_what_goes_again_waits_for_quota_too() -> None:  # [MQTT-4.9.0-2]
    sender, _ = sender_of(1, 1, 1, receive_maximum=3)
    again = sender.resume(2)
    while again and sender.can_send_again:
        sender.send_again(again.popleft())
    assert len(again) == 1
    assert not sender.can_send
    sender.on_puback(1)
    assert sender.can_send_again


# --- What goes again after a cut ---


def test_what_was_not_acknowledged_goes_again_in_its_order_with_its_id() -> None:  # [MQTT-4.4.0-1] [MQTT-4.6.0-1]
    sender, parcels = sender_of(1, 2, 1, 2, 1)
    sender.on_puback(3)
    again = list(sender.resume(MAX_PACKET_ID))
    assert again == [parcels[0], parcels[1], parcels[3], parcels[4]]
    assert [parcel.packet_id for parcel in again] == [1, 2, 4, 5]


def test_after_a_pubrec_only_the_pubrel_goes_again() -> None:  # [MQTT-4.3.3-6]
    sender, parcels = sender_of(2, 2)
    assert sender.on_pubrec(1, 0) is parcels[0]
    assert {parcel.packet_id: parcel.is_released for parcel in sender.resume(5)} == {1: True, 2: False}


def test_pubrels_go_again_in_the_order_of_their_pubrecs() -> None:  # [MQTT-4.6.0-4]
    sender, _ = sender_of(2, 2, 2, 2)
    for packet_id in (3, 1, 4):
        sender.on_pubrec(packet_id, 0)
    released = [parcel.packet_id for parcel in sender.resume(5) if parcel.is_released]
    assert released == [3, 1, 4]


def test_a_pubrel_does_not_wait_for_the_quota_of_a_publish() -> None:  # [MQTT-3.3.4-8] [MQTT-3.3.4-10]
    sender, _ = sender_of(2, 2, 2)
    sender.on_pubrec(1, 0)
    again, left = sender.resume(1), []
    while again and (again[0].is_released or sender.can_send_again):
        if not again[0].is_released:
            sender.send_again(again[0])
        left.append(again.popleft().packet_id)
    assert sorted(left) == [1, 2]


def test_a_pubrec_that_comes_again_changes_no_order_and_no_quota() -> None:  # [MQTT-4.3.3-4] [MQTT-4.6.0-4]
    sender, parcels = sender_of(2, 2)
    sender.on_pubrec(1, 0)
    sender.on_pubrec(2, 0)
    quota = sender.quota
    assert sender.on_pubrec(1, 0) is parcels[0]
    assert list(sender.in_flight) == [1, 2]
    assert sender.quota == quota


def test_nothing_goes_again_when_all_is_acknowledged() -> None:  # [MQTT-4.4.0-2]
    sender, _ = sender_of(1, 2, 2)
    sender.on_puback(1)
    sender.on_pubrec(2, 0)
    sender.on_pubcomp(2)
    sender.on_pubrec(3, 0x97)
    assert list(sender.resume(5)) == []


def test_a_second_cut_sends_the_same_again() -> None:  # [MQTT-4.4.0-1]
    sender, parcels = sender_of(1, 2)
    for parcel in sender.resume(5):
        sender.send_again(parcel)
    assert list(sender.resume(5)) == parcels
    assert send_one(sender) == 3


# --- Acknowledgements that fit nothing ---


@pytest.mark.parametrize("packet_id", [0, 9, 65_535, 65_536])
def test_an_acknowledgement_of_an_unknown_id_meets_nobody(packet_id: int) -> None:  # [MQTT-2.2.1-5]
    sender, _ = sender_of(1, 2, receive_maximum=5)
    assert sender.on_puback(packet_id) is None
    assert sender.on_pubrec(packet_id, 0) is None
    assert sender.on_pubrec(packet_id, 0x80) is None
    assert sender.on_pubcomp(packet_id) is None
    assert list(sender.in_flight) == [1, 2]
    assert sender.quota == 3


def test_an_acknowledgement_of_the_wrong_kind_meets_nobody() -> None:  # [MQTT-4.3.2-3] [MQTT-4.3.3-3] [MQTT-4.3.3-5]
    sender, _ = sender_of(1, 2, receive_maximum=5)
    assert sender.on_puback(2) is None
    assert sender.on_pubrec(1, 0) is None
    assert sender.on_pubrec(1, 0x87) is None
    assert sender.on_pubcomp(1) is None
    assert sender.on_pubcomp(2) is None  # no PUBREC came yet
    assert list(sender.in_flight) == [1, 2]
    assert sender.quota == 3


def test_an_acknowledgement_that_comes_twice_counts_once() -> None:  # section 4.9
    sender, parcels = sender_of(1, 2, 1, receive_maximum=5)
    assert sender.on_puback(1) is parcels[0]
    assert sender.on_puback(1) is None
    sender.on_pubrec(2, 0)
    assert sender.on_pubcomp(2) is parcels[1]
    assert sender.on_pubcomp(2) is None
    assert sender.quota == 4


def test_a_refusal_behind_a_pubrel_ends_nothing() -> None:  # [MQTT-4.3.3-5]
    sender, _ = sender_of(2, receive_maximum=5)
    sender.on_pubrec(1, 0)
    sender.on_pubrec(1, 0x80)
    assert list(sender.in_flight) == [1]
    assert sender.quota == 4
    assert sender.on_pubcomp(1) is not None
