"""Bytes that wait to leave, by themselves: order, bounds, aliases, closing, and what waits for the journal."""

import pytest

from telex.codes import ReasonCode
from telex.engine.message import Message
from telex.engine.outbox import Outbox
from telex.engine.stats import Stats
from telex.engine.visit import Visit
from telex.errors import ProtocolError
from telex.flow import Receiver
from telex.wire.decode import Decoder
from telex.wire.encode import PINGRESP_BYTES, encode
from telex.wire.packets import ConnAck, Packet, PingResp, PubAck, PubComp, Publish, PubRec, PubRel, SubAck
from telex.wire.properties import Properties

PUBLISH = 0x30


def outbox_of(version: int = 5, *, max_bytes: int = 1_000) -> Outbox:
    """An outbox whose client has said which version it speaks."""
    outbox = Outbox([], [], Stats(), max_bytes, "the stream", Visit("sub.test"))
    outbox.version = version
    return outbox


def publish_numbered(outbox: Outbox, message: Message, first: int, packet_id: int, after: int = 0) -> None:
    """As a session does it."""
    encoding = outbox.encoding(message, first, b"", 0.0, gives_alias=after == 0)
    assert encoding is not None
    outbox.publish_numbered(message, encoding, packet_id, after)


def read(data: bytes, version: int = 5) -> list[Packet]:
    """The packets that bytes are."""
    decoder = Decoder(version=version)
    decoder.receive(data)
    packets = []
    while (packet := decoder.next_packet()) is not None:
        packets.append(packet)
    return packets


def test_it_is_ready_once_however_much_there_is() -> None:  # ARCHITECTURE.md: a loop turn is a write
    outbox = outbox_of()
    assert outbox.ready == []
    for _ in range(3):
        outbox.append(PINGRESP_BYTES)
        outbox.publish(Message("a"), PUBLISH, b"", 0.0)
    assert outbox.ready == [outbox]
    assert read(outbox.take()) == [PingResp(), Publish("a")] * 3


def test_it_is_ready_again_after_it_was_emptied() -> None:  # outbox.py
    outbox = outbox_of()
    outbox.append(PINGRESP_BYTES)
    outbox.take()
    outbox.ready.clear()
    publish_numbered(outbox, Message("a", b"x", 1), PUBLISH | 2, 7)
    assert outbox.ready == [outbox]


def test_its_size_is_that_of_what_waits() -> None:  # outbox.py
    outbox = outbox_of()
    outbox.append(PINGRESP_BYTES)
    outbox.publish(Message("a", b"12345"), PUBLISH, b"", 0.0)
    assert outbox.size == 2 + 2 + 2 + 1 + 1 + 5
    assert len(outbox.take()) == 13
    assert outbox.size == 0
    assert outbox.take() == b""


def test_bytes_count_as_sent_when_they_are_taken() -> None:  # $SYS/broker/bytes/sent
    outbox = outbox_of()
    outbox.append(PINGRESP_BYTES)
    assert (outbox.stats.bytes_sent, outbox.stats.packets_sent) == (0, 1)
    outbox.take()
    assert outbox.stats.bytes_sent == 2


def test_qos0_is_dropped_when_too_much_waits() -> None:  # pain 9
    outbox = outbox_of(max_bytes=10)
    said = [outbox.publish(Message("a", b"x"), PUBLISH, b"", 0.0) for _ in range(4)]
    assert said == [True, True, False, False]
    outbox.take()
    assert outbox.publish(Message("a", b"x"), PUBLISH, b"", 0.0)


def test_what_is_no_qos0_is_never_dropped() -> None:  # [MQTT-4.3.2-2]: the session bounds it
    outbox = outbox_of(max_bytes=1)
    for number in range(1, 10):
        publish_numbered(outbox, Message("a", b"x", 1), PUBLISH | 2, number)
    assert len(read(outbox.take())) == 9


def test_who_asks_on_without_reading_the_answers_is_trouble() -> None:  # memory is bounded for each client
    outbox = outbox_of(max_bytes=10)
    publish_numbered(outbox, Message("a", bytes(1_000), 1), PUBLISH | 2, 1)  # no answer: it does not count
    for _ in range(1024):
        outbox.append(PINGRESP_BYTES * 512)
    assert outbox.trouble is None
    outbox.append(PINGRESP_BYTES * 6)
    assert outbox.trouble is not None
    assert outbox.trouble.reason_code is ReasonCode.QUOTA_EXCEEDED
    assert outbox.trouble.text == "1,048,588 bytes of answers wait, and the client asks for more without reading them"


def test_nothing_is_added_when_it_closes() -> None:  # [MQTT-3.14.4-1]
    outbox = outbox_of()
    outbox.append(PINGRESP_BYTES)
    outbox.close()
    outbox.append(PINGRESP_BYTES)
    publish_numbered(outbox, Message("a", b"x", 1), PUBLISH | 2, 1)
    assert not outbox.publish(Message("a"), PUBLISH, b"", 0.0)
    assert read(outbox.take()) == [PingResp()]
    assert outbox.is_closing
    assert outbox.stats.packets_sent == 1


def test_it_is_ready_when_it_closes_although_it_is_empty() -> None:  # [MQTT-3.14.4-2]
    outbox = outbox_of()
    outbox.close()
    outbox.close()
    assert outbox.ready == [outbox]


@pytest.mark.parametrize("version", [3, 4, 5])
def test_a_message_leaves_in_the_words_of_the_version(version: int) -> None:  # section 3.3
    outbox = outbox_of(version)
    message = Message("a", b"x", 2, False, Properties(content_type="text"))
    outbox.publish(message, PUBLISH, b"", 0.0)
    publish_numbered(outbox, message, PUBLISH | 4, 0x1234)
    said = Properties(content_type="text") if version == 5 else None
    assert read(outbox.take(), version) == [
        Publish("a", b"x", properties=said),
        Publish("a", b"x", 2, packet_id=0x1234, properties=said),
    ]


def test_receivers_get_the_same_bytes_object() -> None:  # ARCHITECTURE.md: a message is encoded at most once
    message = Message("a", b"x" * 100)
    outboxes = [outbox_of(version) for version in (4, 4, 4, 5, 5, 5)]
    for outbox in outboxes:
        outbox.publish(message, PUBLISH, b"", 0.0)
    frames = [outbox.frames[0] for outbox in outboxes]
    assert len({id(frame) for frame in frames}) == 2


@pytest.mark.parametrize("first", [PUBLISH, PUBLISH | 1])
def test_a_message_that_is_too_large_is_not_added(first: int) -> None:  # [MQTT-3.1.2-24]
    outbox = outbox_of()
    outbox.maximum_packet_size = 16
    assert outbox.publish(Message("a", b"x" * 10), first, b"", 0.0)
    assert not outbox.publish(Message("a", b"x" * 11), first, b"", 0.0)
    assert outbox.size == 16


@pytest.mark.parametrize("size", [17, 18, 19])
def test_it_knows_what_fits(size: int) -> None:  # [MQTT-3.1.2-24]
    outbox = outbox_of()
    outbox.maximum_packet_size = 18
    message = Message("a", b"x" * (size - 8), 1)
    encoding = outbox.encoding(message, PUBLISH | 2, b"", 0.0, gives_alias=True)
    if size > 18:
        assert encoding is None
    else:
        assert encoding is not None
        assert encoding.size == size


def test_everything_fits_a_client_that_named_no_limit() -> None:  # section 3.1.2.11.4
    message = Message("a", b"x" * 1_000_000, 1)
    assert outbox_of().encoding(message, PUBLISH | 2, b"", 0.0, gives_alias=True) is not None


def test_aliases_begin_when_the_client_takes_them() -> None:  # [MQTT-3.1.2-27]
    outbox = outbox_of()
    message = Message("a/b", b"x")
    outbox.publish(message, PUBLISH, b"", 0.0)
    outbox.alias_maximum = 1
    for topic in ("a/b", "c", "a/b"):
        outbox.publish(Message(topic, b"x"), PUBLISH, b"", 0.0)
    assert read(outbox.take()) == [
        Publish("a/b", b"x"),
        Publish("a/b", b"x", properties=Properties(topic_alias=1)),
        Publish("c", b"x"),
        Publish("", b"x", properties=Properties(topic_alias=1)),
    ]


def test_a_dropped_message_takes_no_alias() -> None:  # section 3.3.2.3.4: the client never saw it
    outbox = outbox_of(max_bytes=1)
    outbox.alias_maximum = 5
    outbox.append(PINGRESP_BYTES)
    assert not outbox.publish(Message("a/b", b"x"), PUBLISH, b"", 0.0)
    outbox.take()
    outbox.maximum_packet_size = 10
    assert not outbox.publish(Message("a/b", b"x" * 50), PUBLISH, b"", 0.0)
    outbox.maximum_packet_size = 100
    assert outbox.publish(Message("a/b", b"x"), PUBLISH, b"", 0.0)
    assert read(outbox.take()) == [Publish("a/b", b"x", properties=Properties(topic_alias=1))]


def test_a_repeat_has_its_topic_in_full() -> None:  # L1
    outbox = outbox_of()
    outbox.alias_maximum = 5
    message = Message("a", b"x", 1)
    publish_numbered(outbox, message, PUBLISH | 2, 1)
    publish_numbered(outbox, message, PUBLISH | 2 | 8, 1)
    assert [packet.topic for packet in read(outbox.take()) if isinstance(packet, Publish)] == ["a", "a"]


# What waits for the journal


def ack(packet_id: int, reason_code: int = 0) -> bytes:
    """A PUBACK."""
    return encode(PubAck(packet_id, reason_code), 5)


def test_what_waits_for_the_journal_is_held() -> None:  # outbox.py
    outbox = outbox_of()
    assert not outbox.is_holding
    outbox.append(ack(1), 5)
    assert outbox.is_holding
    assert (outbox.holding, outbox.ready, outbox.frames) == ([outbox], [], [])
    assert outbox.take() == b""


def test_what_is_held_leaves_when_the_journal_has_come_there() -> None:  # outbox.py
    outbox = outbox_of()
    for number in (1, 2, 3):
        outbox.append(ack(number), number)
    engine_takes_holding(outbox)
    outbox.committed(2)
    assert outbox.ready == [outbox]
    assert outbox.is_holding
    assert outbox.holding == [outbox]  # the third still waits
    assert read(outbox.take()) == [PubAck(1), PubAck(2)]
    engine_takes_holding(outbox)
    outbox.ready.clear()
    outbox.committed(3)
    assert (outbox.ready, outbox.holding, outbox.is_holding) == ([outbox], [], False)
    assert read(outbox.take()) == [PubAck(3)]


def engine_takes_holding(outbox: Outbox) -> None:
    """As the engine does before it says how far the journal has come."""
    outbox.holding.clear()


def test_it_is_held_once_however_much_it_holds() -> None:  # the engine asks each of them
    outbox = outbox_of()
    for number in range(1, 5):
        outbox.append(ack(number), number)
    assert outbox.holding == [outbox]


def test_a_commit_that_changes_nothing_changes_nothing() -> None:  # outbox.py
    outbox = outbox_of()
    outbox.committed(10)
    assert (outbox.ready, outbox.holding) == ([], [])
    outbox.append(ack(1), 11)
    engine_takes_holding(outbox)
    outbox.committed(10)
    assert (outbox.ready, outbox.holding, outbox.is_holding) == ([], [outbox], True)


def test_what_stands_behind_what_is_held_does_not_leave_before_it() -> None:  # [MQTT-4.6.0-2]
    outbox = outbox_of()
    outbox.append(ack(1), 9)
    outbox.append(ack(2), outbox.in_order(3, 5))
    outbox.append(ack(3), outbox.in_order(0, 5))
    outbox.committed(8)
    assert read(outbox.take()) == []
    outbox.committed(9)
    assert read(outbox.take()) == [PubAck(1), PubAck(2), PubAck(3)]


def test_it_says_what_a_packet_has_to_wait_for() -> None:  # outbox.py
    outbox = outbox_of()
    assert [outbox.in_order(after, 5) for after in (0, 5, 6)] == [0, 0, 6]
    outbox.append(ack(1), 7)
    assert outbox.in_order(6, 5) == 6
    assert outbox.in_order(5, 5) > 0
    assert outbox.in_order(0, 5) > 0


def test_what_need_not_wait_overtakes() -> None:  # outbox.py
    outbox = outbox_of()
    outbox.append(ack(1), 5)
    outbox.append(PINGRESP_BYTES)
    outbox.publish(Message("a", b"x"), PUBLISH, b"", 0.0)
    publish_numbered(outbox, Message("a", b"y", 1), PUBLISH | 2, 7, after=5)
    assert outbox.ready == [outbox]
    assert read(outbox.take()) == [PingResp(), Publish("a", b"x")]
    outbox.committed(5)
    assert read(outbox.take()) == [PubAck(1), Publish("a", b"y", 1, packet_id=7)]


def test_qos0_that_has_to_wait_waits() -> None:  # a QoS 2 message on its way on
    outbox = outbox_of()
    assert outbox.publish(Message("a", b"x"), PUBLISH, b"", 0.0, 5)
    assert outbox.publish(Message("a", b"y"), PUBLISH, b"", 0.0)
    assert read(outbox.take()) == [Publish("a", b"y")]
    outbox.committed(5)
    assert read(outbox.take()) == [Publish("a", b"x")]


def test_nothing_overtakes_while_it_opens() -> None:  # [MQTT-3.2.0-1]
    outbox = outbox_of()
    outbox.append(encode(ConnAck(), 5), 5)
    outbox.is_opening = True
    outbox.append(PINGRESP_BYTES)
    outbox.publish(Message("a", b"x"), PUBLISH, b"", 0.0)
    outbox.append(ack(1), 9)
    assert not outbox.has_leaving
    assert outbox.take() == b""
    assert outbox.ready == []
    outbox.committed(5)
    assert outbox.ready == [outbox]
    assert outbox.has_leaving
    assert not outbox.is_opening
    assert read(outbox.take()) == [ConnAck(), PingResp(), Publish("a", b"x")]
    outbox.append(PINGRESP_BYTES)
    assert read(outbox.take()) == [PingResp()]
    outbox.committed(9)
    assert read(outbox.take()) == [PubAck(1)]


def test_what_waited_for_connack_alone_leaves_with_it() -> None:  # [MQTT-4.6.0-5]: later QoS 0 will not wait either
    outbox = outbox_of()
    outbox.append(encode(ConnAck(), 5), 5)
    outbox.is_opening = True
    publish_numbered(outbox, Message("a", b"1", 2), PUBLISH | 4, 7, after=9)
    outbox.publish(Message("a", b"2"), PUBLISH, b"", 0.0)
    outbox.committed(5)
    outbox.publish(Message("a", b"3"), PUBLISH, b"", 0.0)
    assert read(outbox.take()) == [ConnAck(), Publish("a", b"2"), Publish("a", b"3")]
    outbox.committed(9)
    assert read(outbox.take()) == [Publish("a", b"1", 2, packet_id=7)]


def test_what_is_held_counts_as_waiting() -> None:  # memory is bounded
    outbox = outbox_of(max_bytes=10)
    outbox.append(ack(1), 5)
    outbox.append(PINGRESP_BYTES)
    assert outbox.size == 6
    outbox.take()
    assert (outbox.size, outbox.has_room) == (4, True)
    publish_numbered(outbox, Message("a", b"12345", 1), PUBLISH | 2, 7, after=5)
    assert not outbox.has_room
    assert not outbox.publish(Message("a", b"x"), PUBLISH, b"", 0.0)
    outbox.committed(5)
    assert not outbox.has_room  # it has not left
    outbox.take()
    assert (outbox.size, outbox.has_room) == (0, True)


def test_answers_that_are_held_count_as_answers() -> None:  # memory is bounded for each client
    outbox = outbox_of(max_bytes=10)
    for number in range(1, 200_001):
        outbox.append(ack(number % 65_535 + 1), 5)
        outbox.take()
    assert outbox.trouble is None
    for _ in range(70_000):
        outbox.append(ack(1), 5)
        outbox.take()
    assert outbox.trouble is not None
    assert outbox.trouble.reason_code is ReasonCode.QUOTA_EXCEEDED


def test_messages_that_are_held_are_no_answers() -> None:  # what waits is ours
    outbox = outbox_of(max_bytes=10)
    publish_numbered(outbox, Message("a", bytes(3_000_000), 1), PUBLISH | 2, 7, after=5)
    outbox.take()
    outbox.append(PINGRESP_BYTES)
    assert outbox.trouble is None


def test_what_is_held_counts_as_sent_when_it_leaves() -> None:  # $SYS/broker/bytes/sent
    outbox = outbox_of()
    outbox.append(ack(1), 5)
    outbox.take()
    assert outbox.stats.bytes_sent == 0
    outbox.committed(5)
    outbox.take()
    assert outbox.stats.bytes_sent == 4


def test_it_closes_when_what_is_held_has_left() -> None:  # [MQTT-3.14.4-2]
    outbox = outbox_of()
    outbox.append(ack(1), 5)
    outbox.close()
    assert outbox.is_closing
    assert outbox.is_holding
    outbox.append(ack(2), 6)  # nothing is added any more
    outbox.ready.clear()
    outbox.committed(6)
    assert outbox.ready == [outbox]
    assert not outbox.is_holding
    assert read(outbox.take()) == [PubAck(1)]


def test_what_is_held_may_be_given_up() -> None:  # the store fails, and nobody knows when it works again
    outbox = outbox_of()
    outbox.append(encode(ConnAck(), 5), 5)
    outbox.is_opening = True
    outbox.append(PINGRESP_BYTES)
    outbox.forget_held()
    outbox.forget_held()
    assert (outbox.is_holding, outbox.is_opening, outbox.size) == (False, False, 0)
    outbox.append(PINGRESP_BYTES)
    outbox.committed(9)
    assert read(outbox.take()) == [PingResp()]


def test_what_waits_gives_no_alias_and_uses_one() -> None:  # section 3.3.2.3.4
    outbox = outbox_of()
    outbox.alias_maximum = 2
    publish_numbered(outbox, Message("a", b"1", 1), PUBLISH | 2, 1, after=5)
    outbox.publish(Message("a", b"2"), PUBLISH, b"", 0.0)
    publish_numbered(outbox, Message("a", b"3", 1), PUBLISH | 2, 2, after=5)
    outbox.publish(Message("b", b"4"), PUBLISH, b"", 0.0, 5)
    assert read(outbox.take()) == [Publish("a", b"2", properties=Properties(topic_alias=1))]
    outbox.committed(5)
    assert read(outbox.take()) == [
        Publish("a", b"1", 1, packet_id=1),
        Publish("", b"3", 1, packet_id=2, properties=Properties(topic_alias=1)),
        Publish("b", b"4"),
    ]


def who_allows_one(outbox: Outbox) -> Receiver:
    """The receiving half of a session whose client may have one message in flight."""
    outbox.receiver = Receiver(1)
    return outbox.receiver


@pytest.mark.parametrize("reason_code", [0, 0x10, 0x97])
def test_an_acknowledgement_that_is_held_makes_no_room(reason_code: int) -> None:  # section 4.9
    outbox = outbox_of()
    receiver = who_allows_one(outbox)
    receiver.accept_at_once()
    outbox.append(ack(1, reason_code), 5)
    outbox.append(PINGRESP_BYTES)
    outbox.take()
    with pytest.raises(ProtocolError, match="2 messages in flight, we allowed 1"):
        receiver.accept_at_once()
    outbox.committed(5)
    with pytest.raises(ProtocolError):  # it has not left
        receiver.accept_at_once()
    outbox.take()
    receiver.accept_at_once()


def test_a_pubrec_that_left_makes_no_room_and_a_pubcomp_that_is_held_neither() -> None:  # section 4.9
    outbox = outbox_of()
    receiver = who_allows_one(outbox)
    receiver.accept(7)
    outbox.append(encode(PubRec(7), 5))
    outbox.take()
    with pytest.raises(ProtocolError):
        receiver.accept_at_once()
    receiver.release(7)
    outbox.append(encode(PubComp(7), 5), 5)
    outbox.append(PINGRESP_BYTES)
    outbox.take()
    with pytest.raises(ProtocolError):
        receiver.accept_at_once()
    outbox.committed(5)
    outbox.take()
    receiver.accept_at_once()


def test_other_answers_that_are_held_take_no_room() -> None:  # section 4.9
    outbox = outbox_of()
    receiver = who_allows_one(outbox)
    receiver.accept_at_once()
    outbox.append(ack(1))
    outbox.append(encode(SubAck(2, [0]), 5), 5)
    outbox.append(encode(PubRel(3), 5), 5)
    outbox.take()
    receiver.accept_at_once()


def test_an_acknowledgement_that_leaves_makes_room_although_others_are_held() -> None:  # section 4.9
    outbox = outbox_of()
    receiver = outbox.receiver = Receiver(2)
    for packet_id, after in ((1, 5), (2, 6)):
        receiver.accept_at_once()
        outbox.append(ack(packet_id), after)
    outbox.committed(5)
    outbox.take()
    receiver.accept_at_once()
    with pytest.raises(ProtocolError):
        receiver.accept_at_once()
