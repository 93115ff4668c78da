"""What may be published, and what comes out again: codecs, content types, and errors that say what was found."""

import array
import contextlib
import dataclasses
import datetime
import enum
import math
import subprocess
import sys
from typing import Annotated, Any, Literal, TypedDict
from uuid import UUID

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from telex.client.payloads import (
    STANDARD,
    Codecs,
    JsonCodec,
    MessagePackCodec,
    PayloadError,
    convert_text,
    decode_payload,
    encode_payload,
    quoted,
    user_property_pairs,
)

law = settings(max_examples=500, deadline=None, derandomize=True)


@dataclasses.dataclass
class Reading:
    celsius: float
    room: str = ""


class Typed(TypedDict):
    celsius: float


class Light(enum.Enum):
    ON = "ON"
    OFF = "OFF"


class Level(enum.IntEnum):
    LOW = 1


class Shouting:
    """A codec of the user's: text in capitals."""

    content_type = "application/x-shout"

    def encode(self, value: object) -> bytes:
        return str(value).upper().encode()

    def decode(self, payload: bytes, type: type[Any]) -> Any:
        return type(payload.decode().lower())


def encoded(value: object, content_type: str | None = None, codecs: Codecs = STANDARD) -> tuple[bytes, str | None]:
    return encode_payload(value, "t", content_type=content_type, codecs=codecs)


def decoded(payload: bytes, wanted: Any, content_type: str | None = None, codecs: Codecs = STANDARD) -> Any:
    return decode_payload(payload, wanted, "t", content_type=content_type, codecs=codecs)


# --- What may be published ---


@pytest.mark.parametrize(
    ("value", "payload", "content_type"),
    [
        (b"\x00\xff", b"\x00\xff", None),
        (bytearray(b"ab"), b"ab", None),
        (memoryview(b"abcd")[::2], b"ac", None),
        (array.array("B", [1, 2]), b"\x01\x02", None),
        ("grün", b"gr\xc3\xbcn", None),
        ("", b"", None),
        (None, b"", None),
        (24, b"24", None),
        (-1, b"-1", None),
        (2**70, b"1180591620717411303424", None),
        (24.2, b"24.2", None),
        (math.inf, b"inf", None),
        (True, b"true", None),
        (False, b"false", None),
        (Level.LOW, b"1", None),
        (Light.ON, b'"ON"', "application/json"),
        ({"a": [1, None]}, b'{"a":[1,null]}', "application/json"),
        ([1, 2], b"[1,2]", "application/json"),
        (Reading(24.2, "attic"), b'{"celsius":24.2,"room":"attic"}', "application/json"),
        (datetime.date(2026, 1, 2), b'"2026-01-02"', "application/json"),
    ],
)
def test_bytes_text_and_numbers_go_as_they_are_and_all_else_as_json(
    value: object, payload: bytes, content_type: str | None
) -> None:
    assert encoded(value) == (payload, content_type)
    assert type(encoded(value)[0]) is bytes


def test_bytes_are_not_copied() -> None:
    payload = bytes(1000)
    assert encoded(payload)[0] is payload
    assert decoded(payload, bytes) is payload


@pytest.mark.parametrize(
    ("value", "content_type", "payload"),
    [
        (b"\x81", "application/msgpack", b"\x81"),
        (24, "application/msgpack", b"\x18"),
        ("on", "application/msgpack", b"\xa2on"),
        ({"a": 1}, "application/x-msgpack", b"\x81\xa1a\x01"),
        ({"a": 1}, "application/json; charset=utf-8", b'{"a":1}'),
        ({"a": 1}, "Application/JSON", b'{"a":1}'),
        ([{"n": "t"}], "application/senml+json", b'[{"n":"t"}]'),
        ('{"written": "already"}', "application/json", b'{"written": "already"}'),
        (True, "application/json", b"true"),
        (24.2, "text/plain", b"24.2"),
        (24.2, "text/plain; charset=utf-8", b"24.2"),
        ("a,b", "text/csv", b"a,b"),
        ("<a/>", "application/xml", b"<a/>"),
        (None, "application/json", b""),
    ],
)
def test_the_content_type_picks_the_codec_and_is_kept(value: object, content_type: str, payload: bytes) -> None:
    assert encoded(value, content_type) == (payload, content_type)


@pytest.mark.parametrize(
    ("value", "content_type", "sentence"),
    [
        (
            object(),
            None,
            "topic 't': a payload of type object cannot be encoded, expected bytes, text, a number, None or what JSON "
            "can say (Encoding objects of type object is unsupported)",
        ),
        (
            {"a": 1},
            "application/cbor",
            "topic 't': a payload of type dict under content type 'application/cbor' cannot be encoded, expected "
            "bytes, text or what its codec can say (there is no codec for it)",
        ),
        (24, "application/cbor", "there is no codec for it"),  # b"24" would be a lie: 2 is -19 in CBOR
        ({"a": 1}, "text/plain", "there is no codec for it"),
        ("\ud800", None, "surrogates not allowed"),
        ({"a": "\ud800"}, None, "surrogates not allowed"),
        (2**70, "application/msgpack", "can't serialize ints"),
        pytest.param(10**5000, None, "Exceeds the limit", id="5,000 digits"),
    ],
)
def test_what_cannot_be_encoded_says_the_topic_what_was_found_and_what_was_expected(
    value: object, content_type: str | None, sentence: str
) -> None:
    with pytest.raises(PayloadError) as refused:
        encoded(value, content_type)
    assert isinstance(refused.value, ValueError)
    assert refused.value.topic == "t"
    assert sentence in str(refused.value)
    assert str(refused.value).startswith("topic 't': a payload of type ")


def test_a_value_that_holds_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    for content_type in (None, "application/msgpack"):
        with pytest.raises(PayloadError, match="recursion"):
            encoded(endless, content_type)


# --- What comes out ---


@pytest.mark.parametrize(
    ("payload", "wanted", "content_type", "value"),
    [
        (b"24.2", float, None, 24.2),
        (b" 24.2\r\n", float, None, 24.2),
        (b".5", float, None, 0.5),
        (b"-inf", float, None, -math.inf),
        (b"007", int, None, 7),
        (b"true", bool, None, True),
        (b"False", bool, None, False),
        (b"hello ", str, None, "hello "),
        (b'"hello"', str, None, '"hello"'),
        (b'"hello"', str, "application/json", "hello"),
        (b"\xa2on", str, "application/msgpack", "on"),
        (b"\xa2on", bytes, "application/msgpack", b"\xa2on"),
        (b"ON", Light, None, Light.ON),
        (b'"ON"', Light, None, Light.ON),
        (b"ON\n", Literal["ON", "OFF"], None, "ON"),
        (b"2026-01-02", datetime.date, None, datetime.date(2026, 1, 2)),
        (b"12345678-1234-5678-1234-567812345678", UUID, None, UUID("12345678-1234-5678-1234-567812345678")),
        (b'{"celsius": 24.2}', Reading, None, Reading(24.2)),
        (b'{"celsius": 24.2}', Typed, None, {"celsius": 24.2}),
        (b'{"celsius": 24.2}', Any, None, {"celsius": 24.2}),
        (b'{"celsius": 24.2}', dict[str, float], "application/json; charset=utf-8", {"celsius": 24.2}),
        (b"\x81\xa7celsius\x01", Reading, "application/vnd.msgpack", Reading(1.0)),
        (b"24", int, "text/plain", 24),
        (b"24", int | None, None, 24),
        (b"", int | None, None, None),
        (b"", Reading | None, "application/msgpack", None),
        (b"", Reading | None, "application/json", None),
        (b"", str, None, ""),
        (b"", str | None, None, None),
        (b'"x"', str | None, None, '"x"'),
        (b"[1]", Annotated[list[int], msgspec.Meta(min_length=1)], None, [1]),
    ],
)
def test_a_payload_is_read_as_the_type_that_is_asked_for(
    payload: bytes, wanted: Any, content_type: str | None, value: object
) -> None:
    read = decoded(payload, wanted, content_type)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("payload", "wanted", "content_type", "sentence"),
    [
        (
            b'{"celsius": "hot"}',
            Reading,
            None,
            """topic 't': the payload is b'{"celsius": "hot"}', expected Reading """
            "(Expected `float`, got `str` - at `$.celsius`)",
        ),
        (b"warm", float, None, "topic 't': the payload is b'warm', expected float (could not convert"),
        (b"1_0", float, None, "(not a number)"),
        (b"1_0", int, None, "(not an integer)"),
        (b"2.5", int, None, "(not an integer)"),
        (b"\xff", str, None, "expected str ('utf-8' codec can't decode byte 0xff"),
        (b"\xff", float, None, "expected float ('utf-8'"),
        (b'"\xff"', Any, None, "expected Any ('utf-8'"),
        (b"ON", Any, None, "JSON is malformed"),
        (b'{"celsius', Any, None, "truncated"),
        (b"", Reading, None, "the payload is b'', expected Reading (Expected `object`, got `null`)"),
        (b"DIM", Light, None, "expected Light (JSON is malformed"),
        (b"5", list[int], None, "expected list[int] (Expected `array`, got `int`)"),
        (b"\xa1\xff", str, "application/msgpack", "under content type 'application/msgpack', expected str ('utf-8'"),
        (b"{}", dict, "application/cbor", "under content type 'application/cbor', expected dict (there is no codec"),
        (b"{}", Reading, "text/plain", "expected Reading (Expected `object`, got `str`)"),
        (b"{}", Light | None, None, "Light"),
    ],
)
def test_what_cannot_be_decoded_says_the_topic_what_was_found_and_what_was_expected(
    payload: bytes, wanted: Any, content_type: str | None, sentence: str
) -> None:
    with pytest.raises(PayloadError) as refused:
        decoded(payload, wanted, content_type)
    assert sentence in str(refused.value)
    assert str(refused.value).startswith("topic 't': the payload is ")
    assert "\n" not in str(refused.value)


def test_a_payload_in_an_error_is_cut() -> None:
    with pytest.raises(PayloadError, match=r"expected int") as refused:
        decoded(b"x" * 1_000_000, int)
    assert len(str(refused.value)) < 300
    assert "(1,000,000 bytes)" in str(refused.value)
    assert quoted(b"short") == "b'short'"


@pytest.mark.parametrize(("payload", "content_type"), [(b"[", None), (b"\x91", "application/msgpack")])
def test_a_payload_that_nests_without_end_is_refused(payload: bytes, content_type: str | None) -> None:
    with pytest.raises(PayloadError, match="recursion"):
        decoded(payload * 1_000_000, Any, content_type)


@law
@given(st.binary(), st.sampled_from([None, "", "application/json", "application/msgpack", "text/plain", "x/y"]))
@example(b"\xc1", "application/msgpack")
@example(b"1" * 5000, None)
def test_any_payload_gives_a_value_or_a_payload_error(payload: bytes, content_type: str | None) -> None:
    for wanted in (Any, str, int, float, bool, Reading, Light, list[int], datetime.datetime, str | None, dict):
        with contextlib.suppress(PayloadError):
            decoded(payload, wanted, content_type)


plain = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text()
nested = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@law
@given(plain)
@example("")
def test_what_was_published_is_read_back_by_its_type(value: Any) -> None:
    payload, content_type = encoded(value)
    wanted = type(value) if value is not None else int | None
    assert decoded(payload, wanted, content_type) == value


@law
@given(nested, st.sampled_from(["application/json", "application/msgpack"]))
def test_what_a_codec_wrote_it_reads(value: Any, content_type: str) -> None:
    codec = STANDARD.find(content_type)
    assert codec is not None
    assert codec.decode(codec.encode(value), Any) == value  # type: ignore[arg-type]


@law
@given(st.integers())
def test_any_integer_is_read_with_zeros_before_it(number: int) -> None:
    assert convert_text(f"{'-' if number < 0 else ''}000{abs(number)}", int) == number


# --- Codecs ---


def test_a_codec_of_the_users_is_picked_by_its_content_type() -> None:
    codecs = Codecs([Shouting()])
    assert encoded(["a"], "application/x-shout;volume=11", codecs) == (b"['A']", "application/x-shout;volume=11")
    assert encoded("hello", "application/x-shout", codecs) == (b"HELLO", "application/x-shout")
    assert decoded(b"HELLO", str, "Application/X-Shout", codecs) == "hello"
    assert encoded({"a": 1}, None, codecs) == (b'{"a":1}', "application/json")


def test_a_codec_for_json_takes_the_place_of_ours() -> None:
    ours = JsonCodec(
        encode_hook=lambda value: {"real": value.real, "imag": value.imag} if isinstance(value, complex) else value,
        decode_hook=lambda wanted, value: wanted(**value),
    )
    codecs = Codecs([ours])
    assert encoded(2j, None, codecs) == (b'{"real":0.0,"imag":2.0}', "application/json")
    assert decoded(b'{"real": 1, "imag": 2}', complex, None, codecs) == 1 + 2j
    assert codecs.find("application/problem+json") is ours


def test_messagepack_has_hooks_too() -> None:
    codec = MessagePackCodec(encode_hook=str, decode_hook=lambda wanted, value: wanted(value))
    codecs = Codecs([codec])
    assert encoded(2j, "application/msgpack", codecs)[0] == b"\xa22j"
    assert decoded(b"\xa22j", complex, "application/msgpack", codecs) == 2j


@pytest.mark.parametrize("failure", [KeyError("x"), TypeError("not\nthis"), RuntimeError()])
def test_whatever_a_codec_raises_is_a_payload_error_with_its_cause(failure: Exception) -> None:
    class Broken:
        content_type = "x/broken"

        def encode(self, value: object) -> bytes:
            raise failure

        def decode(self, payload: bytes, type: type[Any]) -> Any:
            raise failure

    codecs = Codecs([Broken()])
    with pytest.raises(PayloadError) as refused:
        encoded(1, "x/broken", codecs)
    assert refused.value.__cause__ is failure
    with pytest.raises(PayloadError) as refused:
        decoded(b"", int, "x/broken", codecs)
    assert refused.value.__cause__ is failure
    assert "\n" not in str(refused.value)


def test_what_a_codec_makes_must_be_bytes() -> None:
    class Lax(Shouting):
        made: object = bytearray(b"x")

        def encode(self, value: object) -> bytes:
            return self.made  # type: ignore[return-value]

    lax = Lax()
    assert encoded(1, lax.content_type, Codecs([lax])) == (b"x", lax.content_type)
    lax.made = "x"
    with pytest.raises(PayloadError, match="the codec made a str in place of bytes"):
        encoded(1, lax.content_type, Codecs([lax]))


@pytest.mark.parametrize(
    ("codec", "error", "text"),
    [
        (JsonCodec, TypeError, r"codec JsonCodec is a class, expected an object of it: JsonCodec\(\)"),
        (object(), TypeError, "a object is no codec: it has no content_type"),
        ("application/json", TypeError, "a str is no codec"),
    ],
)
def test_what_is_no_codec_is_refused(codec: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Codecs([codec])


@pytest.mark.parametrize("content_type", ["", "text/x; charset=utf-8", None])
def test_a_codec_without_a_good_content_type_is_refused(content_type: Any) -> None:
    codec = Shouting()
    codec.content_type = content_type
    with pytest.raises((TypeError, ValueError), match="codec Shouting: content_type is"):
        Codecs([codec])


def test_decoders_are_remembered_for_a_limited_number_of_types() -> None:
    codec = JsonCodec()
    for number in range(1000):
        assert codec.decode(b"[5]", list[Annotated[int, msgspec.Meta(ge=-number)]]) == [5]
    assert len(codec._decoders) <= 128
    unhashable: Any = Annotated[int, []]
    assert codec.decode(b"5", unhashable) == 5


# --- User properties, and start-up ---


@pytest.mark.parametrize(
    ("given_as", "pairs"),
    [
        ({"a": "1", "b": "2"}, (("a", "1"), ("b", "2"))),
        ([("a", "1"), ("a", "2")], (("a", "1"), ("a", "2"))),
        ([["a", "1"]], (("a", "1"),)),
        ((), ()),
        ((pair for pair in [("a", "1")]), (("a", "1"),)),
    ],
)
def test_user_properties_are_a_mapping_or_pairs(given_as: Any, pairs: object) -> None:
    assert user_property_pairs(given_as) == pairs


@pytest.mark.parametrize("slip", ["ab", {"a": 1}, [("a",)], [("a", "b", "c")], ["ab"], 5, None], ids=repr)
def test_other_user_properties_are_refused(slip: Any) -> None:
    with pytest.raises(TypeError, match=r"expected (a mapping or )?pairs of str"):
        user_property_pairs(slip)


def test_msgspec_is_not_loaded_before_json_is_used() -> None:
    program = """
import sys
from telex.client.payloads import encode_payload, decode_payload
from telex.client.message import Message
from telex.client.binding import bind
encode_payload("24.2", "t"), encode_payload(24.2, "t"), decode_payload(b"24.2", float, "t")
assert "msgspec" not in sys.modules
encode_payload([1], "t")
assert "msgspec" in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
