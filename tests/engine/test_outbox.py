"""Bytes that wait to leave, by themselves: order, bounds, aliases, closing."""

import pytest

from telex.codes import ReasonCode
from telex.engine.message import Message
from telex.engine.outbox import Outbox
from telex.engine.stats import Stats
from telex.wire.decode import Decoder
from telex.wire.encode import PINGRESP_BYTES
from telex.wire.packets import Packet, PingResp, Publish
from telex.wire.properties import Properties

PUBLISH = 0x30


def outbox_of(version: int = 5, *, max_bytes: int = 1_000) -> Outbox:
    """An outbox whose client has said which version it speaks."""
    outbox = Outbox([], Stats(), max_bytes, "the stream")
    outbox.version = version
    return outbox


def publish_numbered(outbox: Outbox, message: Message, first: int, packet_id: int) -> None:
    """As a session does it."""
    encoding = outbox.encoding(message, first, b"", 0.0)
    assert encoding is not None
    outbox.publish_numbered(message, encoding, packet_id)


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
    encoding = outbox.encoding(message, PUBLISH | 2, b"", 0.0)
    if size > 18:
        assert encoding is None
    else:
        assert encoding is not None
        assert encoding.size == size


def test_everything_fits_a_client_that_named_no_limit() -> None:  # section 3.1.2.11.4
    assert outbox_of().encoding(Message("a", b"x" * 1_000_000, 1), PUBLISH | 2, b"", 0.0) is not None


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
