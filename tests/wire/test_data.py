"""The data representations by themselves (section 1.5): integers, strings, and where a field ends."""

from collections.abc import Callable

import pytest

from telex.codes import ReasonCode
from telex.errors import ProtocolError
from telex.wire.data import (
    ONE_BYTE,
    Reader,
    decode_text,
    encode_binary,
    encode_four,
    encode_string,
    encode_two,
    encode_variable,
)
from tests.wire.cases import ILL_TEXT, WELL_TEXT

# Table 1-1: the smallest and the largest number of each size.
VARIABLE = {
    0: "00",
    127: "7f",
    128: "80 01",
    16_383: "ff 7f",
    16_384: "80 80 01",
    2_097_151: "ff ff 7f",
    2_097_152: "80 80 80 01",
    268_435_455: "ff ff ff 7f",
    321: "c1 02",  # 65 + 2 * 128, the example of v3 section 2.2.3
}


def reader(data: str) -> Reader:
    """A reader of these bytes, with others on both sides that are not its own."""
    own = bytes.fromhex(data)
    return Reader(b"\x01\x02" + own + b"\x03\x04", 2, 2 + len(own))


@pytest.mark.parametrize(("value", "data"), VARIABLE.items())
def test_a_variable_byte_integer_is_written_in_the_fewest_bytes(value: int, data: str) -> None:  # [MQTT-1.5.5-1]
    assert encode_variable(value, "length").hex(" ") == data


@pytest.mark.parametrize(("value", "data"), VARIABLE.items())
def test_a_variable_byte_integer_is_read_back(value: int, data: str) -> None:  # [MQTT-1.5.5-1]
    fields = reader(data)
    assert fields.variable_byte_integer("length") == value
    assert not fields.has_more


@pytest.mark.parametrize("data", ["80 00", "ff 00", "80 80 00", "80 80 80 00", "81 80 00"])
def test_a_variable_byte_integer_with_bytes_to_spare_is_malformed(data: str) -> None:  # [MQTT-1.5.5-1]
    with pytest.raises(ProtocolError, match="must use the fewest bytes") as caught:
        reader(data).variable_byte_integer("length")
    assert caught.value.reason_code is ReasonCode.MALFORMED_PACKET


@pytest.mark.parametrize("data", ["80 80 80 80 01", "ff ff ff ff", "80 80 80 80 00"])
def test_a_variable_byte_integer_has_at_most_four_bytes(data: str) -> None:  # section 1.5.5
    with pytest.raises(ProtocolError, match="at most four bytes") as caught:
        reader(data).variable_byte_integer("length")
    assert caught.value.reason_code is ReasonCode.MALFORMED_PACKET


@pytest.mark.parametrize("value", [-1, 268_435_456, 2**32])
def test_what_a_variable_byte_integer_cannot_say_is_refused(value: int) -> None:  # section 1.5.5
    with pytest.raises(ValueError, match=r"length is .*, expected 0 to 268,435,455"):
        encode_variable(value, "length")


def test_integers_are_written_high_byte_first() -> None:  # section 1.5.2
    assert encode_two(0x1234, "packet id").hex(" ") == "12 34"
    assert encode_four(0x12345678, "interval").hex(" ") == "12 34 56 78"
    assert encode_two(0, "packet id") + encode_two(65_535, "packet id") == b"\0\0\xff\xff"
    assert encode_four(0, "interval") + encode_four(2**32 - 1, "interval") == b"\0\0\0\0\xff\xff\xff\xff"


def test_integers_are_read_high_byte_first() -> None:  # section 1.5.3
    fields = reader("12 34 12 34 56 78 ff ff ff ff 9a")
    assert fields.two_byte_integer("packet id") == 0x1234
    assert fields.four_byte_integer("interval") == 0x12345678
    assert fields.four_byte_integer("interval") == 4_294_967_295
    assert fields.byte("flags") == 0x9A
    assert not fields.has_more


@pytest.mark.parametrize(
    ("write", "value"), [(encode_two, -1), (encode_two, 65_536), (encode_four, -1), (encode_four, 2**32)]
)
def test_what_an_integer_cannot_say_is_refused(write: Callable[[int, str], bytes], value: int) -> None:  # section 1.5.2
    with pytest.raises(ValueError, match=f"keep alive is {value}, expected 0 to"):
        write(value, "keep alive")


def test_a_string_stands_behind_its_length_in_bytes() -> None:  # section 1.5.4
    assert encode_string("A\U0002a6d4", "topic").hex(" ") == "00 05 41 f0 aa 9b 94"
    assert encode_string("", "topic") == b"\0\0"
    assert reader("00 05 41 f0 aa 9b 94").string("topic") == "A\U0002a6d4"


def test_the_longest_string_and_no_longer_one_is_written() -> None:  # section 1.5.4
    assert encode_string("x" * 65_535, "topic") == b"\xff\xff" + b"x" * 65_535
    assert encode_string("\u20ac" * 21_845, "topic")[:2] == b"\xff\xff"  # three bytes each
    with pytest.raises(ValueError, match=r"topic has 65,538 bytes, at most 65,535 fit"):
        encode_string("\u20ac" * 21_846, "topic")
    with pytest.raises(ValueError, match=r"password has 65,536 bytes, at most 65,535 fit"):
        encode_binary(b"x" * 65_536, "password")


@pytest.mark.parametrize("text", ["\0", "a\0b", "a\0"])
def test_a_null_character_is_not_written(text: str) -> None:  # [MQTT-1.5.4-2]
    with pytest.raises(ValueError, match=r"topic holds the null character U\+0000 \[MQTT-1\.5\.4-2\]"):
        encode_string(text, "topic")


@pytest.mark.parametrize("text", ["\ud800", "a\udfff", "\ud801\udc00"])
def test_a_surrogate_is_not_written(text: str) -> None:  # [MQTT-1.5.4-1]
    with pytest.raises(ValueError, match=r"topic holds a surrogate.*\[MQTT-1\.5\.4-1\]"):
        encode_string(text, "topic")


@pytest.mark.parametrize("what", ILL_TEXT)
def test_ill_formed_text_is_malformed(what: str) -> None:  # [MQTT-1.5.4-1] [MQTT-1.5.4-2]
    data, tag = ILL_TEXT[what]
    with pytest.raises(ProtocolError, match=rf"topic .*{tag}") as caught:
        decode_text(bytes.fromhex(data), "topic")
    assert caught.value.reason_code is ReasonCode.MALFORMED_PACKET


@pytest.mark.parametrize("what", WELL_TEXT)
def test_well_formed_text_is_kept_as_it_is(what: str) -> None:  # [MQTT-1.5.4-3]
    data, text = WELL_TEXT[what]
    assert decode_text(bytes.fromhex(data), "topic") == text
    assert encode_string(text, "topic")[2:] == bytes.fromhex(data)


@pytest.mark.parametrize(
    ("data", "take", "needed", "left"),
    [
        ("", lambda fields: fields.byte("it"), 1, 0),
        ("01", lambda fields: fields.two_byte_integer("it"), 2, 1),
        ("01 02 03", lambda fields: fields.four_byte_integer("it"), 4, 3),
        ("", lambda fields: fields.variable_byte_integer("it"), 1, 0),
        ("80", lambda fields: fields.variable_byte_integer("it"), 1, 0),
        ("00", lambda fields: fields.binary("it"), 2, 1),
        ("00 05 61 62", lambda fields: fields.binary("it"), 5, 2),
        ("00 01", lambda fields: fields.string("it"), 1, 0),
    ],
    ids=["byte", "two", "four", "variable", "rest of a variable", "length", "binary", "string"],
)
def test_a_field_does_not_reach_beyond_its_end(  # section 4.13
    data: str, take: Callable[[Reader], object], needed: int, left: int
) -> None:
    with pytest.raises(ProtocolError, match=f"it needs {needed} more bytes, the packet has {left} left") as caught:
        take(reader(data))
    assert caught.value.reason_code is ReasonCode.MALFORMED_PACKET


def test_the_rest_ends_where_the_packet_ends() -> None:  # section 3.3.3
    fields = reader("00 01 61 62 63")
    assert fields.binary("topic") == b"a"
    assert fields.rest() == b"bc"
    assert fields.rest() == b""
    fields.finish("PUBLISH")
    assert not fields.has_more


def test_what_stands_behind_the_last_field_is_malformed() -> None:  # section 4.13
    fields = reader("01 02 03")
    assert fields.byte("flags") == 1
    with pytest.raises(ProtocolError, match="PINGREQ has 2 bytes behind its last field") as caught:
        fields.finish("PINGREQ")
    assert caught.value.reason_code is ReasonCode.MALFORMED_PACKET


def test_every_single_byte_is_there_once() -> None:  # section 1.5.1
    assert b"".join(ONE_BYTE) == bytes(range(256))
