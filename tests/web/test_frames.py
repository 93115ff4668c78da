"""WebSocket frames, without a socket: RFC 6455 as a table, and what holds for any bytes."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telex.server.web.masks import fastest
from telex.streams import frames
from telex.streams.frames import FrameReader
from tests.web.peers import BINARY, CLOSE, PING, PONG, TEXT, frame, masked

CONTINUATION = 0
LENGTHS = [0, 1, 2, 3, 4, 5, 125, 126, 127, 65_535, 65_536, 70_001]


def byte_by_byte(reader: FrameReader, data: bytes) -> bytes:
    return b"".join(reader.receive(data[index : index + 1]) for index in range(len(data)))


def test_the_example_of_the_rfc_is_read() -> None:  # section 5.7, "Hello", here as binary
    assert FrameReader().receive(bytes.fromhex("82 85 37 fa 21 3d 7f 9f 4d 51 58")) == b"Hello"


@pytest.mark.parametrize("length", LENGTHS)
def test_a_frame_of_any_length_is_read(length: int) -> None:
    payload = bytes(index % 251 for index in range(length))
    assert FrameReader().receive(frame(payload)) == payload
    assert FrameReader(fastest()).receive(frame(payload)) == payload


@pytest.mark.parametrize("length", LENGTHS)
def test_what_is_sent_has_the_shortest_head(length: int) -> None:
    payload = bytes(length)
    head = frames.messages(payload)[: -length or None]
    assert head[0] == 0x82
    assert len(head) == (2 if length < 126 else 4 if length < 65_536 else 10)
    assert int.from_bytes(head[1:] if len(head) == 2 else head[2:], "big") == length


def test_what_is_very_long_leaves_in_several_messages() -> None:
    payload = bytes(range(256)) * 4096  # 1 MiB
    sent = frames.messages(payload)
    assert sent.startswith(b"\x82\x7f" + (262_144).to_bytes(8, "big"))
    assert len(sent) == len(payload) + 4 * 10


def test_all_messages_of_a_read_come_in_one_piece() -> None:
    assert FrameReader().receive(frame(b"one") + frame(b"") + frame(b"two") + frame(b"three")) == b"onetwothree"


def test_a_payload_goes_on_as_it_comes() -> None:
    reader = FrameReader()
    whole = frame(b"abcdefghij")
    assert reader.receive(whole[:9]) == b"abc"
    assert reader.receive(whole[9:10]) == b"d"
    assert reader.receive(whole[10:] + frame(b"xyz")) == b"efghijxyz"


def test_fragments_are_one_stream_with_control_frames_between_them() -> None:  # section 5.4
    reader = FrameReader()
    data = (
        frame(b"ab", fin=False)
        + frame(b"between", PING)
        + frame(b"", CONTINUATION, fin=False)
        + frame(b"unasked", PONG)
        + frame(b"cd", CONTINUATION)
        + frame(b"ef")
    )
    assert reader.receive(data) == b"abcdef"
    assert reader.ping == b"between"
    assert not reader.is_over
    assert byte_by_byte(FrameReader(), data) == b"abcdef"


def test_the_last_ping_is_the_one_to_answer() -> None:  # section 5.5.3
    reader = FrameReader()
    reader.receive(frame(b"1", PING) + frame(b"x" * 125, PING))
    assert reader.ping == b"x" * 125
    assert frames.pong(reader.ping) == b"\x8a\x7d" + b"x" * 125


@pytest.mark.parametrize(
    ("payload", "code"),
    [(b"", 0), (b"\x03\xe8", 1000), (b"\x03\xe9gone \xc3\xa4way", 1001), (b"\x0b\xb8", 3000), (b"\x13\x87", 4999)],
)
def test_a_close_is_read_and_nothing_behind_it(payload: bytes, code: int) -> None:
    reader = FrameReader()
    assert reader.receive(frame(b"last") + frame(payload, CLOSE) + frame(b"more")) == b"last"
    assert reader.is_over
    assert reader.close_code == code
    assert reader.fault == ""
    assert reader.receive(frame(b"still more")) == b""
    assert frames.close(code) == (b"\x88\x02" + code.to_bytes(2, "big") if code else b"\x88\x00")


BAD = {
    "text [MQTT-6.0.0-1]": (frame(b"x", TEXT), 1003, "MQTT-6.0.0-1"),
    "text that is fragmented": (frame(b"x", TEXT, fin=False), 1003, "MQTT-6.0.0-1"),
    "not masked": (b"\x82\x01x", 1002, "not masked"),
    "a ping that is not masked": (b"\x89\x00", 1002, "not masked"),
    "RSV1, as of compression": (b"\xc2\x81abcd\x00", 1002, "reserved"),
    "RSV2": (b"\xa2\x81abcd\x00", 1002, "reserved"),
    "RSV3": (b"\x92\x81abcd\x00", 1002, "reserved"),
    "opcode 3": (frame(b"", 3), 1002, "0x3"),
    "opcode 7": (frame(b"", 7), 1002, "0x7"),
    "opcode 11": (frame(b"", 11), 1002, "0xB"),
    "opcode 15": (frame(b"", 15), 1002, "0xF"),
    "continues nothing": (frame(b"", CONTINUATION), 1002, "did not begin"),
    "continues nothing any more": (frame(b"", fin=False) + frame(b"", 0) + frame(b"", 0), 1002, "did not begin"),
    "begins within": (frame(b"", fin=False) + frame(b""), 1002, "had ended"),
    "a ping of 126 bytes": (frame(b"x" * 126, PING), 1002, "125"),
    "a ping in fragments": (frame(b"", PING, fin=False), 1002, "fragmented"),
    "a close in fragments": (frame(b"", CLOSE, fin=False), 1002, "fragmented"),
    "two bytes for 125": (b"\x82\xfe\x00\x7dabcd", 1002, "shortest"),
    "eight bytes for 65,535": (b"\x82\xff" + (65_535).to_bytes(8, "big") + b"abcd", 1002, "shortest"),
    "more than 63 bits": (b"\x82\xff\x80" + bytes(7) + b"abcd", 1002, "shortest"),
    "a close of one byte": (frame(b"\x03", CLOSE), 1002, "code"),
    "a close with 999": (frame((999).to_bytes(2, "big"), CLOSE), 1002, "code"),
    "a close with 1005": (frame((1005).to_bytes(2, "big"), CLOSE), 1002, "code"),
    "a close with 1006": (frame((1006).to_bytes(2, "big"), CLOSE), 1002, "code"),
    "a close with 1015": (frame((1015).to_bytes(2, "big"), CLOSE), 1002, "code"),
    "a close with 2999": (frame((2999).to_bytes(2, "big"), CLOSE), 1002, "code"),
    "a close with 5000": (frame((5000).to_bytes(2, "big"), CLOSE), 1002, "code"),
    "a close that is not UTF-8": (frame(b"\x03\xe8\xff", CLOSE), 1007, "UTF-8"),
}


@pytest.mark.parametrize(("data", "code", "word"), BAD.values(), ids=BAD)
def test_what_breaks_the_rules_ends_it(data: bytes, code: int, word: str) -> None:
    for read in (FrameReader.receive, byte_by_byte):
        reader = FrameReader()
        assert read(reader, frame(b"before") + data + frame(b"after")) == b"before"
        assert reader.is_over
        assert reader.close_code == code
        assert word in reader.fault


pieces = st.lists(
    st.one_of(
        st.tuples(st.just(BINARY), st.lists(st.binary(max_size=300), min_size=1, max_size=4)),
        st.tuples(st.sampled_from([PING, PONG]), st.lists(st.binary(max_size=125), min_size=1, max_size=1)),
    ),
    max_size=12,
)


@given(pieces, st.binary(min_size=4, max_size=4), st.lists(st.integers(0, 5000), max_size=20))
def test_however_it_is_framed_and_read_the_stream_is_the_same(
    parts: list[tuple[int, list[bytes]]], key: bytes, cuts: list[int]
) -> None:
    sent, expected = b"", b""
    for opcode, fragments in parts:
        for number, fragment in enumerate(fragments):
            is_last = number == len(fragments) - 1
            sent += frame(fragment, opcode if number == 0 else CONTINUATION, fin=is_last, key=key)
        if opcode == BINARY:
            expected += b"".join(fragments)
    reader = FrameReader()
    places = sorted({0, len(sent), *(cut for cut in cuts if cut < len(sent))})
    found = b"".join(reader.receive(sent[start:end]) for start, end in pairwise(places))
    assert not reader.is_over
    assert found == expected


@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([data for data, _, _ in BAD.values()])), max_size=6))
def test_any_bytes_give_payload_or_a_fault_and_the_same_however_they_are_read(parts: list[bytes]) -> None:
    data = b"".join(parts)
    one, many = FrameReader(), FrameReader()
    assert one.receive(data) == byte_by_byte(many, data)
    assert (one.is_over, one.close_code, one.fault, one.ping) == (many.is_over, many.close_code, many.fault, many.ping)
    assert bool(one.fault) <= one.is_over


@given(st.binary(min_size=4, max_size=4), st.binary(max_size=2000))
def test_every_way_to_unmask_is_that_of_the_rfc(key: bytes, data: bytes) -> None:  # section 5.3
    for unmask in (frames.unmask, fastest()):
        found = bytearray(data)
        unmask(key, found)
        assert found == masked(key, data)
