"""The receiving half by itself: a QoS 2 message is taken once, and not more of them than allowed."""

import pytest

from telex.codes import ReasonCode
from telex.errors import ProtocolError
from telex.flow import Receiver


def test_a_message_is_taken_once_until_it_is_released() -> None:  # [MQTT-4.3.3-10]
    receiver = Receiver()
    assert [receiver.accept(7) for _ in range(4)] == [True, False, False, False]
    assert set(receiver.owned) == {7}


def test_after_its_release_an_id_means_a_new_message() -> None:  # [MQTT-4.3.3-12]
    receiver = Receiver()
    for _ in range(3):
        assert receiver.accept(7)
        assert receiver.release(7)
    assert receiver.owned == {}


def test_a_release_of_what_is_not_owned_is_told_apart() -> None:  # [MQTT-4.3.3-11]
    receiver = Receiver()
    assert not receiver.release(7)
    receiver.accept(7)
    assert not receiver.release(8)
    assert receiver.release(7)
    assert not receiver.release(7)


def test_each_id_is_a_message_by_itself() -> None:  # [MQTT-2.2.1-3]
    receiver = Receiver()
    assert all(receiver.accept(packet_id) for packet_id in range(1, 65_536))
    assert not any(receiver.accept(packet_id) for packet_id in (1, 255, 256, 65_535))
    assert set(receiver.owned) == set(range(1, 65_536))


@pytest.mark.parametrize("receive_maximum", [1, 2, 20])
def test_one_message_more_than_allowed_is_too_many(receive_maximum: int) -> None:  # section 4.9
    receiver = Receiver(receive_maximum)
    for packet_id in range(1, receive_maximum + 1):
        assert receiver.accept(packet_id)
    with pytest.raises(
        ProtocolError, match=f"^{receive_maximum + 1} messages .* we allowed {receive_maximum} "
    ) as caught:
        receiver.accept(receive_maximum + 1)
    assert caught.value.reason_code is ReasonCode.RECEIVE_MAXIMUM_EXCEEDED
    assert set(receiver.owned) == set(range(1, receive_maximum + 1))


def test_a_repeat_is_not_one_message_more() -> None:  # [MQTT-4.3.3-10]
    receiver = Receiver(1)
    assert receiver.accept(7)
    assert not receiver.accept(7)


def test_a_release_makes_room() -> None:  # section 4.9
    receiver = Receiver(1)
    for packet_id in range(1, 50):
        assert receiver.accept(packet_id)
        assert receiver.release(packet_id)
        receiver.acknowledged()


def test_a_release_makes_no_room_before_pubcomp_has_left() -> None:  # section 4.9
    receiver = Receiver(1)
    receiver.accept(7)
    receiver.release(7)
    with pytest.raises(ProtocolError):
        receiver.accept(7)
    receiver.acknowledged()
    assert receiver.accept(7)


def test_qos_1_counts_until_puback_has_left() -> None:  # section 4.9
    receiver = Receiver(2)
    receiver.accept(7)
    receiver.accept_at_once()
    with pytest.raises(ProtocolError, match="3 messages in flight, we allowed 2"):
        receiver.accept_at_once()
    receiver.acknowledged()
    receiver.accept_at_once()


def test_what_an_earlier_connection_left_counts_no_more() -> None:  # section 4.9
    receiver = Receiver(1)
    receiver.accept(7)
    receiver.resume(1)
    receiver.release(7)
    receiver.accept_at_once()
    receiver.resume(1)
    receiver.accept_at_once()


def test_an_acknowledgement_that_waits_makes_no_room() -> None:  # section 4.9: the peer cannot know of it
    receiver = Receiver(3)
    for _ in range(3):
        receiver.accept_at_once()
    receiver.acknowledged(waiting=2)
    receiver.accept_at_once()
    with pytest.raises(ProtocolError, match="4 messages in flight, we allowed 3"):
        receiver.accept_at_once()
    receiver.acknowledged(waiting=1)
    receiver.accept_at_once()
    receiver.accept_at_once()
    with pytest.raises(ProtocolError):
        receiver.accept_at_once()


def test_what_waits_may_leave_without_anything_new() -> None:  # section 4.9
    receiver = Receiver(2)
    receiver.accept_at_once()
    receiver.accept_at_once()
    receiver.acknowledged(waiting=2)
    receiver.acknowledged(waiting=2)
    with pytest.raises(ProtocolError):
        receiver.accept_at_once()
    receiver.acknowledged()
    receiver.accept_at_once()
    receiver.accept_at_once()


def test_a_pubcomp_for_an_unknown_id_makes_room_as_any_does() -> None:
    # section 4.9: the peer counts each PUBCOMP that it gets
    receiver = Receiver(1)
    receiver.accept(7)
    assert not receiver.release(8)
    receiver.acknowledged()
    assert receiver.accept(9)


def test_there_is_never_more_room_than_allowed() -> None:  # section 4.9
    receiver = Receiver(1)
    for packet_id in range(5):
        receiver.release(packet_id)
    receiver.acknowledged()
    receiver.accept_at_once()
    with pytest.raises(ProtocolError):
        receiver.accept_at_once()


def test_a_pubcomp_for_an_earlier_connections_message_takes_no_room() -> None:  # section 4.9
    receiver = Receiver(1)
    receiver.accept(7)
    receiver.resume(1)
    assert receiver.owns(7)
    receiver.release(7)
    receiver.acknowledged(waiting=1)  # its PUBCOMP has not left
    receiver.accept_at_once()
    with pytest.raises(ProtocolError):
        receiver.accept_at_once()


def test_who_begins_anew_has_all_the_room() -> None:  # section 4.9
    receiver = Receiver(1)
    receiver.accept(7)
    receiver.forget()
    assert not receiver.owns(7)
    assert receiver.accept(7)
