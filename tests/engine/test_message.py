"""A message and its encodings, by themselves: made once, and right for each receiver."""

import pytest

from telex.engine.engine import message_of
from telex.engine.message import PUBLISH_FIRST, Message
from telex.wire.decode import Decoder
from telex.wire.encode import encode
from telex.wire.packets import Publish
from telex.wire.properties import Properties


def read(data: bytes, version: int) -> Publish:
    """The one packet that bytes are."""
    decoder = Decoder(version=version)
    decoder.receive(data)
    packet = decoder.next_packet()
    assert isinstance(packet, Publish)
    assert decoder.next_packet() is None
    return packet


def whole(message: Message, version: int, first: int, extra: bytes = b"", now: float = 0.0) -> bytes:
    """A PUBLISH as it leaves, with packet id 7 if it has one."""
    encoding = message.encoding(version, first, extra, now)
    packet_id = b"\x00\x07" if first & 6 else b""
    data = encoding.head + packet_id + encoding.tail
    assert encoding.size == len(data)
    assert encoding.whole == (b"" if first & 6 else data)
    return data


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("size", [0, 1, 100, 121, 122, 123, 124, 125, 126, 200, 16_380, 20_000])
def test_an_encoding_is_what_the_encoder_writes(size: int, retain: bool, qos: int, version: int) -> None:
    # section 3.3: lengths of one, two and three bytes
    message = Message("a/ü", b"x" * size, 2, True)
    packet = Publish("a/ü", b"x" * size, qos, retain, packet_id=7 if qos else 0)
    assert whole(message, version, PUBLISH_FIRST | qos << 1 | retain) == encode(packet, version)


@pytest.mark.parametrize("size", range(100, 140))
def test_properties_of_any_length_are_framed_right(size: int) -> None:  # section 2.2.2.1: one or two bytes of length
    said = Properties(content_type="x" * size)
    message = Message("a", b"payload", 1, False, said)
    for first in (PUBLISH_FIRST, PUBLISH_FIRST | 2):
        packet = read(whole(message, 5, first), 5)
        assert (packet.topic, packet.payload, packet.properties) == ("a", b"payload", said)


def test_an_encoding_is_made_once_for_alike_receivers() -> None:  # ARCHITECTURE.md: encoded at most once
    message = Message("a", b"x", 1)
    for version in (4, 5):
        first = message.encoding(version, PUBLISH_FIRST | 2, b"", 0.0)
        assert message.encoding(version, PUBLISH_FIRST | 2, b"", 9.0) is first
        assert message.plain(version, 0.0) is message.plain(version, 9.0)


def test_versions_31_and_311_share_their_bytes() -> None:  # MQTT 3.1 section 3.3, v3 section 3.3
    message = Message("a", b"x")
    assert message.plain(3, 0.0) is message.plain(4, 0.0)


def test_receivers_that_differ_do_not_get_each_others_bytes() -> None:  # message.py
    message = Message("a", b"x", 2, True, Properties(content_type="t"))
    wanted = [
        (version, PUBLISH_FIRST | qos << 1 | flags, extra)
        for version in (3, 4, 5)
        for qos in (0, 1, 2)
        for flags in ((0, 1) if qos == 0 else (0, 1, 8, 9))
        for extra in (b"", b"\x0b\x05", b"\x0b\x06")
    ]
    for version, first, extra in wanted * 2:
        packet = read(whole(message, version, first, extra), version)
        assert (packet.qos, packet.retain, packet.dup) == (first >> 1 & 3, first & 1 == 1, first & 8 == 8)
        identifiers = packet.properties.subscription_identifiers if packet.properties is not None else ()
        assert identifiers == ((extra[1],) if extra and version == 5 else ())
    assert read(message.plain(5, 0.0), 5) == Publish("a", b"x", properties=Properties(content_type="t"))
    assert read(message.plain(4, 0.0), 4) == Publish("a", b"x")


def test_an_alias_may_stand_for_the_topic() -> None:  # section 3.3.2.3.4
    message = Message("a/long/topic", b"x", 1)
    alias = b"\x23\x00\x05"
    full = message.encoding(5, PUBLISH_FIRST, alias, 0.0)
    short = message.encoding(5, PUBLISH_FIRST, alias, 0.0, has_topic=False)
    assert read(full.whole, 5) == Publish("a/long/topic", b"x", properties=Properties(topic_alias=5))
    assert read(short.whole, 5) == Publish("", b"x", properties=Properties(topic_alias=5))
    assert short.size == full.size - len("a/long/topic")


@pytest.mark.parametrize("make", ["plain", "encoding"])
@pytest.mark.parametrize(
    ("now", "left"), [(100.0, 10), (100.4, 10), (101.0, 9), (109.0, 1), (109.9, 1), (110.0, 0), (200.0, 0)]
)
def test_each_encoding_says_how_much_time_is_left(now: float, left: int, make: str) -> None:  # [MQTT-3.3.2-6]
    message = Message("a", b"x", 0, False, None, 110.0)
    message.plain(5, 90.0)  # what was said before does not count
    data = message.plain(5, now) if make == "plain" else message.encoding(5, PUBLISH_FIRST, b"", now).whole
    assert read(data, 5).properties == Properties(message_expiry_interval=left)


@pytest.mark.parametrize(("now", "is_expired"), [(0.0, False), (109.9, False), (110.0, True), (111.0, True)])
def test_a_message_knows_when_it_has_expired(now: float, is_expired: bool) -> None:  # [MQTT-3.3.2-5]
    assert Message("a", expires_at=110.0).is_expired(now) == is_expired
    assert not Message("a").is_expired(now)


@pytest.mark.parametrize("version", [4, 5])
def test_the_bytes_that_a_message_came_in_are_sent_on(version: int) -> None:  # ARCHITECTURE.md: encoded at most once
    frame = encode(Publish("a", b"x"), version)
    message = Message("a", b"x")
    message.came_as(frame, version)
    assert message.plain(version, 0.0) is frame
    other = 9 - version
    assert read(message.plain(other, 0.0), other) == Publish("a", b"x")


@pytest.mark.parametrize("qos", [0, 1])
def test_properties_leave_in_the_bytes_and_the_order_in_which_they_came(qos: int) -> None:  # [MQTT-3.3.2-18]
    listed = bytes.fromhex("26 0001 6b 0001 31 03 0001 74 26 0001 6b 0001 32")  # ours is another order
    alias, expiry = bytes.fromhex("23 0005"), bytes.fromhex("02 0000000a")
    written = listed[:7] + alias + listed[7:] + expiry
    body = b"\x00\x01a" + (b"\x00\x07" if qos else b"") + bytes([len(written)]) + written + b"x"
    packet = read(bytes([PUBLISH_FIRST | qos << 1, len(body)]) + body, 5)
    message = message_of(packet.topic, packet.payload, packet.qos, packet.retain, packet.properties, 100.0)
    leaving = listed + bytes.fromhex("02 00000007")
    packet_id = b"\x00\x07" if qos else b""
    frame = whole(message, 5, PUBLISH_FIRST | qos << 1, now=103.0)
    assert frame.endswith(b"\x00\x01a" + packet_id + bytes([len(leaving)]) + leaving + b"x")
    if qos == 0:
        assert message.plain(5, 103.0) == frame


def test_a_message_of_a_packet_keeps_what_is_the_messages_own() -> None:  # section 3.3.2.3
    said = Properties(
        topic_alias=5,
        message_expiry_interval=10,
        will_delay_interval=3,
        content_type="t",
        user_properties=(("k", "v"),),
    )
    message = message_of("a", b"x", 1, True, said, 100.0)
    assert message.properties == Properties(content_type="t", user_properties=(("k", "v"),))
    assert message.expires_at == 110.0
    assert (message.topic, message.payload, message.qos, message.retain) == ("a", b"x", 1, True)


def test_a_message_shows_itself_in_errors() -> None:  # for people
    assert repr(Message("a", b"x", 1)) == "Message('a', b'x', qos=1, retain=False)"
