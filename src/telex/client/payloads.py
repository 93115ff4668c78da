"""What may be published, and how a payload becomes a value again.

Knows bytes, text, numbers, and codecs by their content type. Knows no packet and
no connection. One rule for both directions: the content type picks the codec;
without one a payload is text or JSON.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol, TypeVar

from telex.topics import shown

T = TypeVar("T")

UserProperties = Mapping[str, str] | Iterable[tuple[str, str]]
"""What people may give as user properties: a mapping, or pairs, whose names may repeat."""

_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_JSON: Final = "application/json"
_SUFFIXES: Final = {"json": _JSON, "msgpack": "application/msgpack"}
"""Whose codec reads ``application/senml+json``, if it has none of its own (RFC 6839)."""
_OTHER_NAMES: Final = {
    "text/json": _JSON,
    "application/x-msgpack": "application/msgpack",
    "application/vnd.msgpack": "application/msgpack",
}
_BYTES: Final = (bytes, bytearray, memoryview)
_NUMBERS: Final = (int, float)  # and bool, which is an int
_MOST_SHOWN: Final = 60  # bytes of a payload in an error
_MOST_DECODERS: Final = 128  # types whose decoder is remembered


class PayloadError(ValueError):
    """A value that cannot be a payload, or a payload that is not what was asked for."""

    def __init__(self, topic: str, text: str) -> None:
        super().__init__(f"topic {shown(topic)}: {text}")
        self.topic = topic


class Codec(Protocol):
    """Turns values into payloads of one content type, and back.

    What it raises reaches the caller as the cause of a PayloadError. Threads may
    use it at the same time.
    """

    @property
    def content_type(self) -> str:
        """The content type that it writes and reads, without parameters."""

    def encode(self, value: object) -> bytes:
        """The payload for a value."""

    def decode(self, payload: bytes, type: type[T]) -> T:
        """The value of a payload, as the type that is asked for. It may be ``typing.Any``."""


class _MsgspecCodec:
    """What JSON and MessagePack share.

    Args:
        encode_hook: turns a value of a class that msgspec does not know into one that it knows.
        decode_hook: turns what was read into a class that msgspec does not know.
    """

    def __init__(
        self,
        *,
        encode_hook: Callable[[object], object] | None = None,
        decode_hook: Callable[[type, object], object] | None = None,
    ) -> None:
        self._encode_hook = encode_hook
        self._decode_hook = decode_hook
        self._decoders: dict[object, Callable[[bytes], Any]] = {}

    def _decoder(self, wanted: object) -> Callable[[bytes], Any]:
        try:
            decode = self._decoders.get(wanted)
        except TypeError:  # no hash: Annotated may hold anything
            return self._make_decoder(wanted)
        if decode is None:
            decode = self._make_decoder(wanted)
            if len(self._decoders) >= _MOST_DECODERS:
                self._decoders.clear()
            self._decoders[wanted] = decode
        return decode

    def _make_decoder(self, wanted: object) -> Callable[[bytes], Any]:
        raise NotImplementedError


class JsonCodec(_MsgspecCodec):
    """JSON (RFC 8259). An empty payload reads as null, for which it stands when None is published."""

    content_type: Final = _JSON

    def encode(self, value: object) -> bytes:
        """A value as JSON."""
        import msgspec

        return msgspec.json.encode(value, enc_hook=self._encode_hook)

    def decode(self, payload: bytes, type: type[T]) -> T:
        """The value of a JSON text."""
        value: T = self._decoder(type)(payload or b"null")
        return value

    def _make_decoder(self, wanted: Any) -> Callable[[bytes], Any]:
        import msgspec

        return msgspec.json.Decoder(wanted, dec_hook=self._decode_hook).decode


class MessagePackCodec(_MsgspecCodec):
    """MessagePack. An empty payload reads as nil, for which it stands when None is published."""

    content_type: Final = "application/msgpack"

    def encode(self, value: object) -> bytes:
        """A value as MessagePack."""
        import msgspec

        return msgspec.msgpack.encode(value, enc_hook=self._encode_hook)

    def decode(self, payload: bytes, type: type[T]) -> T:
        """The value of a MessagePack object."""
        value: T = self._decoder(type)(payload or b"\xc0")
        return value

    def _make_decoder(self, wanted: Any) -> Callable[[bytes], Any]:
        import msgspec

        return msgspec.msgpack.Decoder(wanted, dec_hook=self._decode_hook).decode


class Codecs:
    """Codecs by their content type.

    Args:
        codecs: the user's own. They come before ours: one for ``application/json``
            takes the place of JSON everywhere. Of two for one content type the first counts.

    Raises:
        TypeError: what is not a codec.
        ValueError: a codec whose content type is empty or has parameters.
    """

    def __init__(self, codecs: Iterable[Codec] = ()) -> None:
        self._codecs: dict[str, Codec] = {}
        for codec in (*codecs, JsonCodec(), MessagePackCodec()):
            self._codecs.setdefault(_checked(codec), codec)
        self.json = self._codecs[_JSON]  # for what has no content type

    def find(self, content_type: str) -> Codec | None:
        """The codec for a content type, whose parameters and upper case do not matter; None if there is none."""
        codec = self._codecs.get(content_type)
        if codec is not None:
            return codec
        name = _essence(content_type)
        codec = self._codecs.get(name) or self._codecs.get(_OTHER_NAMES.get(name, ""))
        if codec is None and "+" in name:
            codec = self._codecs.get(_SUFFIXES.get(name.rpartition("+")[2], ""))
        return codec


def _checked(codec: Codec) -> str:
    """The content type of a codec that is one."""
    if isinstance(codec, type):
        raise TypeError(f"codec {codec.__name__} is a class, expected an object of it: {codec.__name__}()")
    for name in ("content_type", "encode", "decode"):
        if not hasattr(codec, name):
            raise TypeError(f"a {type(codec).__name__} is no codec: it has no {name}")
    content_type = codec.content_type
    if not isinstance(content_type, str):
        raise TypeError(f"codec {type(codec).__name__}: content_type is {content_type!r}, expected a str")
    if not content_type or ";" in content_type:
        raise ValueError(
            f"codec {type(codec).__name__}: content_type is {content_type!r}, expected one such as 'application/cbor'"
        )
    return content_type.strip().lower()


def _essence(content_type: str) -> str:
    """A content type without its parameters."""
    return content_type.partition(";")[0].strip().lower()


STANDARD: Final = Codecs()
"""JSON and MessagePack."""


def encode_payload(
    value: object, topic: str, *, content_type: str | None = None, codecs: Codecs = STANDARD
) -> tuple[bytes, str | None]:
    """The payload for a value, and the content type to say with it.

    Bytes and their like leave as they are, None is the empty payload. Text is
    UTF-8; under JSON's content type too, since it is JSON that was written
    already. Numbers are text, True and False are ``true`` and ``false``. All else
    is JSON, and says so. With a content type, its codec writes what is not bytes.

    Raises:
        PayloadError: the value cannot be encoded, or there is no codec for the content type.
    """
    if isinstance(value, bytes):
        return value, content_type
    try:
        return _encode(value, content_type, codecs)
    except Exception as error:
        expected = "bytes, text, a number, None or what JSON can say"
        under = ""
        if content_type:
            under = f" under content type {shown(content_type)}"
            expected = "bytes, text or what its codec can say"
        found = f"a payload of type {type(value).__name__}{under}"
        raise PayloadError(topic, f"{found} cannot be encoded, expected {expected} ({_sentence(error)})") from error


def _encode(value: object, content_type: str | None, codecs: Codecs) -> tuple[bytes, str | None]:
    codec = codecs.find(content_type) if content_type else None
    if isinstance(value, str) and (codec is None or codec is codecs.json):
        return value.encode(), content_type
    if value is None:
        return b"", content_type
    if isinstance(value, _BYTES):
        return bytes(value), content_type
    if codec is None:
        if isinstance(value, _NUMBERS) and (not content_type or _is_text(content_type)):
            return _number(value), content_type
        if content_type:
            raise LookupError("there is no codec for it")
        buffer = _buffer(value)
        if buffer is not None:
            return buffer, None
        codec = codecs.json
    return _checked_bytes(codec.encode(value)), content_type or codec.content_type


def _number(value: float) -> bytes:
    if isinstance(value, bool):
        return b"true" if value else b"false"
    # Not repr(value): enumerations and NumPy's numbers are subclasses that show themselves otherwise.
    return (int.__repr__(value) if isinstance(value, int) else float.__repr__(value)).encode()


def _buffer(value: Any) -> bytes | None:
    """The bytes of an array and its like; None if it has none."""
    try:
        return bytes(memoryview(value))
    except TypeError:
        return None


def _checked_bytes(data: object) -> bytes:
    """What a codec made, if that is bytes."""
    if isinstance(data, _BYTES):
        return bytes(data)
    raise TypeError(f"the codec made a {type(data).__name__} in place of bytes")


def decode_payload(
    payload: bytes, wanted: Any, topic: str, *, content_type: str | None = None, codecs: Codecs = STANDARD
) -> Any:
    """The value of a payload as the type that is wanted.

    ``bytes`` is the payload as it is. Else the content type picks the codec;
    ``text/...`` is text, to be converted. Without one, ``str``, ``int``, ``float``
    and ``bool`` are read from text, all else from JSON, or from text if that
    gives the type and JSON does not (``ON``, a date). An empty payload is None
    where None may be.

    Raises:
        PayloadError: the payload is not that, or nobody knows the content type.
    """
    if wanted is bytes:
        return payload
    try:
        if not content_type:
            return _decode_unnamed(payload, wanted, codecs.json)
        codec = codecs.find(content_type)
        if codec is not None:
            return codec.decode(payload, wanted)
        if not _is_text(content_type):
            raise LookupError("there is no codec for it")
        return convert_text(_text(payload, wanted), wanted)
    except Exception as error:
        under = f" under content type {shown(content_type)}" if content_type else ""
        raise PayloadError(
            topic, f"the payload is {quoted(payload)}{under}, expected {_name(wanted)} ({_sentence(error)})"
        ) from error


def _decode_unnamed(payload: bytes, wanted: Any, json: Codec) -> Any:
    if wanted is str or wanted is int or wanted is float or wanted is bool:
        return convert_text(_text(payload, wanted), wanted)
    if wanted == str | None:
        return payload.decode() or None
    try:
        return json.decode(payload, wanted)
    except Exception:
        if wanted is Any or wanted is object:  # would be any text whatever, half a JSON text too
            raise
        try:
            return convert_text(_text(payload, wanted), wanted)
        except (ValueError, TypeError):
            pass  # what JSON said tells more
        raise


def _text(payload: bytes, wanted: object) -> str:
    """A payload as text; white space around it counts in a str only."""
    text = payload.decode()
    return text if wanted is str else text.strip()


def convert_text(text: str, wanted: Any) -> Any:
    """Text as a value of a type: a level, or a payload.

    Integers may have leading zeros, as levels often do.

    Raises:
        ValueError: the text is not that.
        TypeError: nothing can be read as that type.
    """
    if wanted is str:
        return text
    if wanted is int:
        if _INTEGER.fullmatch(text) is None:
            raise ValueError("not an integer")
        return int(text)
    if wanted is float:
        if not text.isascii() or "_" in text:  # which Python reads, and nobody writes
            raise ValueError("not a number")
        return float(text)
    import msgspec

    return msgspec.convert(text, wanted, strict=False)


def decode_text(payload: bytes, topic: str) -> str:
    """A payload as UTF-8 text.

    Raises:
        PayloadError: it is not that.
    """
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise PayloadError(
            topic, f"the payload is {quoted(payload)}, expected text in UTF-8 ({_sentence(error)})"
        ) from error


def user_property_pairs(user_properties: UserProperties) -> tuple[tuple[str, str], ...]:
    """User properties as packets have them.

    Raises:
        TypeError: what is neither a mapping nor pairs, or has other than text in it.
    """
    pairs: object = user_properties.items() if isinstance(user_properties, Mapping) else user_properties
    if isinstance(pairs, str) or not isinstance(pairs, Iterable):
        raise TypeError(f"user_properties are {pairs!r}, expected a mapping or pairs of str")
    checked = []
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise TypeError(f"user_properties have {pair!r} in them, expected pairs of str")
        checked.append((pair[0], pair[1]))
    return tuple(checked)


def quoted(payload: bytes) -> str:
    """A payload as an error message or a repr shows it: escaped, and short."""
    if len(payload) <= _MOST_SHOWN:
        return repr(payload)
    return f"{payload[:_MOST_SHOWN]!r}... ({len(payload):,} bytes)"


def _is_text(content_type: str) -> bool:
    return _essence(content_type).startswith("text/")


def _name(wanted: Any) -> str:
    return wanted.__name__ if isinstance(wanted, type) else repr(wanted).replace("typing.", "")


def _sentence(error: Exception) -> str:
    """What an exception says, in one line."""
    text = " ".join(str(error).split())
    return f"{text[:300]}..." if len(text) > 300 else text or type(error).__name__
