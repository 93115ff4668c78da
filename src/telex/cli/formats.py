"""What ``telex sub`` and ``telex rr`` print of a message: formats, compiled once into functions.

Knows a message and the bytes that are written for it. Knows no terminal and no
connection.
"""

import argparse
import base64
import re
import struct
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from telex.cli import colours, json_text
from telex.cli.main import Parser
from telex.client.message import Message
from telex.wire.properties import Properties

Printer = Callable[[Message], bytes]
"""What is to be written for a message, end of line included."""

Complain = Callable[[str], None]
"""Gets one sentence when a message cannot be shown as it should be."""

Payload = Callable[[Message], str]
"""A message's payload as text.

Raises:
    ValueError: it is not what it should be; the sentence has no topic.
"""

_Piece = Callable[[Message, int], bytes]
"""What a part of a format writes for a message, and for the time at which it came: nanoseconds since 1970."""

PAYLOAD_FORMATS: Final = ("text", "json", "hex", "base64", "msgpack", "auto")

MOST_WIDTH: Final = 10_000
"""The widest field of a format: a slip of the finger must not fill the memory."""

_PATTERN: Final = re.compile(
    r"%(?P<left>-?+)(?P<zero>0?+)(?P<width>[0-9]*+)(?P<precision>\.[0-9]*+)?+"
    r"(?P<separator>(?![\w%@\\-])[ -~](?=[xX]))?(?P<code>.)"
    r"|@(?P<time>.)|\\(?P<escape>.)|(?P<literal>[^%@\\]+)",
    re.DOTALL | re.ASCII,
)
_KINDS: Final = {"%": "format", "@": "format", "\\": "escape"}
_ESCAPES: Final = {"\\": "\\", "0": "\0", "a": "\a", "e": "\x1b", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}

HELP: Final = """\
formats (-F), as mosquitto_sub has them:
  %t topic      %p payload    %x %X payload in hex   %l its length  %q QoS  %r retained  %m packet id
  %I time in ISO 8601         %U time in seconds since 1970, with nanoseconds   @X one of strftime's %X   @N nanoseconds
  %j JSON, the payload as a string                   %J JSON, the payload as JSON
  %f %d payload as a float or double, in the order of bytes of this machine
  %A topic alias  %C content type  %D correlation data  %E expiry interval  %F payload format  %P user properties
  %R response topic  %S subscription identifier      %% @@ \\\\ themselves         \\0 \\a \\e \\n \\r \\t \\v
  %-20t fills up at the right, %020p with zeros, %.5t cuts off; %:x puts a sign between bytes
%j and %J have retain as true or false and user properties as a list of objects, as mosquitto_sub 2.1 has them (2.0
has 1 or 0, and one object). Invalid UTF-8 becomes U+FFFD there, so that they always are JSON.
"""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say how messages are printed."""
    how = parser.add_argument_group("what is printed")
    how.add_argument("-v", "--verbose", action="store_true", help="print the topic in front of the payload")
    how.add_argument("-N", dest="no_newline", action="store_true", help="print no end of line after a message")
    how.add_argument("-F", dest="output_format", metavar="FORMAT", help="print so: see the formats below")
    how.add_argument("--pretty", action="store_true", help="with %%j and %%J: JSON over several lines")
    how.add_argument(
        "--json",
        action="store_true",
        help="print a line of JSON for each message: topic, payload, format (json, text or base64: what payload is), "
        "time, qos, retain, properties",
    )
    how.add_argument(
        "--format",
        dest="payload_format",
        choices=PAYLOAD_FORMATS,
        help="print payloads so: text (control characters written out), json (over several lines), hex, base64, "
        "msgpack (as JSON), auto (JSON if it is that, text if it can be printed, else a hex dump). Without it they "
        "are written as they are, on a terminal as text",
    )


def check(options: argparse.Namespace, parser: Parser) -> None:
    """End with a sentence if flags of ``add_flags`` contradict each other."""
    if options.output_format is not None and options.json:
        parser.error("-F and --json both say what is printed; give one of them")
    for flag, given in (("-F", options.output_format is not None), ("--json", options.json)):
        if given and options.payload_format is not None:
            parser.error(f"{flag} says already how payloads are printed; leave out --format")


def printer(options: argparse.Namespace, to_terminal: bool = False, complain: Complain = lambda text: None) -> Printer:
    """What is to be written for each message, as the flags say.

    Args:
        options: the flags.
        to_terminal: somebody looks at it: control characters are written out, and
            there are colours unless the environment says otherwise.
        complain: gets one sentence when a message cannot be shown so.

    Raises:
        ValueError: a wrong -F.
    """
    end = b"" if options.no_newline else b"\n"
    if options.output_format is not None:
        return compile_format(options.output_format, end, pretty=options.pretty, complain=complain)
    if options.json:
        return json_line(end)
    coloured = to_terminal and colours.wants_colours()
    name = options.payload_format or ("text" if to_terminal else None)
    if name is None:
        return _as_it_is(options.verbose, end)
    return _as_text(PAYLOADS[name](coloured), name, options.verbose, end, coloured, complain)


def _as_it_is(verbose: bool, end: bytes) -> Printer:
    """mosquitto_sub's own ways: of an empty payload it prints nothing, or "(null)" behind the topic."""
    if not verbose:
        return lambda message: message.payload + end if message.payload else b""

    def with_topic(message: Message) -> bytes:
        if message.payload:
            return b"%b %b%b" % (message.topic.encode(), message.payload, end)
        return b"%b (null)\n" % message.topic.encode() if end else b""

    return with_topic


def _as_text(payload: Payload, name: str, verbose: bool, end: bytes, coloured: bool, complain: Complain) -> Printer:
    """Topic and payload; a payload of several lines has the topic on a line of its own."""

    def printed(message: Message) -> bytes:
        if not message.payload:
            text = "(null)" if verbose and end else ""
        else:
            try:
                text = payload(message)
            except ValueError as error:
                complain(f"topic {colours.in_one_line(message.topic)}: the payload is not {name} ({error})")
                return b""
        if not text:
            return b""
        if verbose:
            topic = colours.in_one_line(message.topic)
            between = "\n" if "\n" in text else " "
            text = f"{colours.painted(topic, colours.TOPIC) if coloured else topic}{between}{text}"
        return text.encode(errors="replace") + end

    return printed


# Payloads


def _text(message: Message) -> str:
    return colours.harmless(message.payload.decode(errors="replace"))


def _hex(message: Message) -> str:
    return message.payload.hex()


def _base64(message: Message) -> str:
    return base64.b64encode(message.payload).decode()


def _json(coloured: bool) -> Payload:
    def payload(message: Message) -> str:
        text = message.payload.decode()
        if not json_text.is_json(text):
            raise ValueError("as JSON it breaks off or has something that does not belong there")
        return json_text.indented(text, coloured=coloured)

    return payload


def _msgpack(coloured: bool) -> Payload:
    def payload(message: Message) -> str:
        import msgspec

        value = msgspec.msgpack.decode(message.payload)
        return json_text.indented(msgspec.json.encode(value, enc_hook=_extension).decode(), coloured=coloured)

    return payload


def _extension(value: object) -> object:
    """What MessagePack has and JSON has not: a value of an application's own type."""
    return {"type": getattr(value, "code", None), "data": bytes(getattr(value, "data", b""))}


def _auto(coloured: bool) -> Payload:
    def payload(message: Message) -> str:
        text = printable(message.payload)
        if text is None:
            return hex_dump(message.payload)
        return json_text.indented(text, coloured=coloured) if json_text.is_container(text) else text

    return payload


PAYLOADS: Final[dict[str, Callable[[bool], Payload]]] = {
    "text": lambda coloured: _text,
    "json": _json,
    "hex": lambda coloured: _hex,
    "base64": lambda coloured: _base64,
    "msgpack": _msgpack,
    "auto": _auto,
}
"""How payloads are shown, by the name of the format; the argument is whether in colours."""


def printable(payload: bytes) -> str | None:
    """The payload as text, if it is UTF-8 without control characters other than line ends and tabs."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return None
    return text if colours.harmless(text.replace("\r\n", "\n")) == text.replace("\r\n", "\n") else None


def hex_dump(payload: bytes) -> str:
    """Sixteen bytes a line: where, in hex, and as characters."""
    lines = []
    for start in range(0, len(payload), 16):
        row = payload[start : start + 16]
        characters = "".join([chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row])
        lines.append(f"{start:08x}  {row[:8].hex(' '):<23}  {row[8:].hex(' '):<23}  |{characters}|")
    return "\n".join(lines)


# A line of JSON for each message


def json_line(end: bytes = b"\n") -> Printer:
    """A message as one line of JSON, for other programs."""
    now = time.time_ns
    quote = json_text.quote
    asked_at = -1
    date = zone = ""

    def printed(message: Message) -> bytes:
        nonlocal asked_at, date, zone
        second, nanoseconds = divmod(now(), 1_000_000_000)
        if second != asked_at:
            moment = datetime.fromtimestamp(second, UTC).astimezone().isoformat()
            date, zone = moment[:19], moment[19:]
            asked_at = second
        payload, kind = _json_payload(message.payload)
        said = "" if message.properties is None else _json_properties(message.properties)
        line = (
            f'{{"topic":{quote(message.topic)},"payload":{payload},"format":"{kind}",'
            f'"time":"{date}.{nanoseconds // 1000:06d}{zone}","qos":{message.qos:d},'
            f'"retain":{"true" if message.retain else "false"}{said}}}'
        )
        return line.encode() + end

    return printed


def _json_payload(payload: bytes) -> tuple[str, str]:
    """The payload as JSON, and what it is."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return f'"{base64.b64encode(payload).decode()}"', "base64"
    if text and json_text.is_json(text):
        return json_text.in_one_line(text), "json"
    return json_text.quote(text), "text"


def _json_properties(properties: Properties) -> str:
    """All that a message says besides, behind a comma; nothing if it says nothing."""
    said: list[tuple[str, str]] = []
    for name in ("payload_format_indicator", "message_expiry_interval", "topic_alias"):
        number = getattr(properties, name)
        if number is not None:
            said.append((name, str(number)))
    for name in ("content_type", "response_topic"):
        text = getattr(properties, name)
        if text is not None:
            said.append((name, json_text.quote(text)))
    if properties.correlation_data is not None:
        data, kind = _json_payload(properties.correlation_data)
        if kind == "base64":
            data = f'{{"base64":{data}}}'
        elif kind == "json":
            data = json_text.quote(properties.correlation_data.decode())
        said.append(("correlation_data", data))
    if properties.subscription_identifiers:
        said.append(("subscription_identifiers", str(list(properties.subscription_identifiers)).replace(" ", "")))
    if properties.user_properties:
        pairs = [f"[{json_text.quote(name)},{json_text.quote(value)}]" for name, value in properties.user_properties]
        said.append(("user_properties", f"[{','.join(pairs)}]"))
    text = ",".join([f'"{name}":{value}' for name, value in said])
    return f',"properties":{{{text}}}' if said else ""


# -F


def compile_format(
    text: str, end: bytes = b"\n", *, pretty: bool = False, complain: Complain = lambda text: None
) -> Printer:
    """A format of mosquitto_sub as a function.

    Widths and precisions count bytes, as they do there.

    Args:
        text: the format.
        end: what is written after it.
        pretty: JSON over several lines.
        complain: gets one sentence when a payload is not what the format says.

    Raises:
        ValueError: the format is wrong; the sentence says where.
    """
    pieces: list[_Piece] = []
    literal = b""
    position = 0
    while position < len(text):
        found = _PATTERN.match(text, position)
        if found is None:
            raise ValueError(f"-F {text!r}: incomplete {_KINDS[text[position]]} specifier at the end")
        position = found.end()
        fixed = _fixed(found, text)
        if fixed is not None:
            literal += fixed
            continue
        if literal:
            pieces.append(_always(literal))
            literal = b""
        if found["time"] is not None:
            pieces.append(_moment(found["time"]))
        else:
            pieces.append(_field(found, text, pretty, complain))
    if literal or end or not pieces:
        pieces.append(_always(literal + end))
    join = b"".join
    now = time.time_ns

    def printed(message: Message) -> bytes:
        when = now()
        return join([piece(message, when) for piece in pieces])

    return printed


def _fixed(found: re.Match[str], text: str) -> bytes | None:
    """What is the same for each message; None for what is not."""
    if found["literal"] is not None:
        return found["literal"].encode(errors="surrogateescape")
    if found["escape"] is not None:
        if found["escape"] not in _ESCAPES:
            raise ValueError(
                f"-F {text!r}: invalid escape specifier {found['escape']!r}; expected one of {' '.join(_ESCAPES)}"
            )
        return _ESCAPES[found["escape"]].encode()
    if found["code"] == "%":
        return b"%"
    return b"@" if found["time"] == "@" else None


def _always(text: bytes) -> _Piece:
    return lambda message, when: text


def _moment(letter: str) -> _Piece:
    """A part of the time, as strftime has it."""
    if letter == "N":
        return lambda message, when: b"%09d" % (when % 1_000_000_000)
    return _each_second(f"%{letter}")


def _each_second(form: str) -> _Piece:
    """The local time in a form of strftime's, which is asked once a second."""
    asked_at = -1
    answer = b""

    def piece(message: Message, when: int) -> bytes:
        nonlocal asked_at, answer
        second = when // 1_000_000_000
        if second != asked_at:
            try:
                answer = time.strftime(form, time.localtime(second)).encode(errors="replace")
            except ValueError:  # Windows: a letter that it does not know
                answer = form.encode(errors="replace")
            asked_at = second
        return answer

    return piece


class _Field:
    """How wide a field is, and how it is filled up."""

    def __init__(self, found: re.Match[str], text: str) -> None:
        self.at_left = found["left"] == "-"
        self.width = int(found["width"] or 0)
        self.precision = int(found["precision"][1:] or -1) if found["precision"] else -1  # -1: not said
        self.fill = b"0" if found["zero"] and not self.at_left else b" "
        self.separator = (found["separator"] or "").encode()  # between bytes in hex
        if max(self.width, self.precision) > MOST_WIDTH:
            raise ValueError(f"-F {text!r}: {found[0]!r} is wider than {MOST_WIDTH:,}")

    def filled(self, data: bytes, fill: bytes) -> bytes:
        """Filled up to the width."""
        missing = self.width - len(data)
        if missing <= 0:
            return data
        return data + b" " * missing if self.at_left else fill * missing + data

    def text(self, data: bytes) -> bytes:
        """Text: cut off, filled up with spaces."""
        return self.filled(data[: self.precision] if self.precision >= 0 else data, b" ")

    def number(self, value: int | None) -> bytes:
        """A number; nothing is filled up too."""
        return self.filled(b"" if value is None else b"%d" % value, self.fill)

    def payload(self, data: bytes) -> bytes:
        """A payload: as much as there is room for."""
        return self.filled(data[: self.width] if self.width else data, self.fill)

    def hex(self, data: bytes, upper: bool) -> bytes:
        """A payload in hex.

        Where a width is given, as many bytes as mosquitto_sub has: half of those that ``%p`` would have.
        """
        if self.width:
            data = data[: min(len(data), self.width) // 2]
        text = (data.hex(self.separator) if self.separator else data.hex()).encode()
        return self.filled(text.upper() if upper else text, self.fill)

    def real(self, data: bytes, layout: str) -> bytes:
        """A payload that is a floating-point number in the order of bytes of this machine.

        Raises:
            struct.error: it is of another length.
        """
        value: float = struct.unpack(layout, data)[0]
        digits = self.precision if self.precision >= 0 else 6
        text = f"{value:.{digits}f}".encode()
        if self.fill == b"0" and text[:1] == b"-":  # zeros come behind the sign
            return b"-" + text[1:].rjust(self.width - 1, b"0")
        return self.filled(text, self.fill if value - value == 0.0 else b" ")


def _field(found: re.Match[str], text: str, pretty: bool, complain: Complain) -> _Piece:
    """The function for one ``%`` of a format."""
    code = found["code"]
    make = _CODES.get(code)
    field = _Field(found, text)
    if code in ("j", "J"):
        return _mosquitto_json(code == "J", pretty, complain)
    if code in ("f", "d"):
        return _real(field, code, complain)
    if code == "I":
        moment = _each_second("%Y-%m-%dT%H:%M:%S%z")
        return lambda message, when: field.text(moment(message, when))
    if make is None:
        raise ValueError(f"-F {text!r}: invalid format specifier {code!r}; telex sub --help has them all")
    if code in ("t", "p") and found[0] == f"%{code}":  # the two that nearly everybody asks for
        return _payload if code == "p" else _topic
    return make(field)


def _payload(message: Message, when: int) -> bytes:
    return message.payload


def _topic(message: Message, when: int) -> bytes:
    return message.topic.encode()


def _topic_alias(message: Message) -> int | None:
    return None if message.properties is None else message.properties.topic_alias


def _pairs(message: Message) -> bytes:
    return " ".join([f"{name}:{value}" for name, value in message.user_properties]).encode()


def _response_topic(field: _Field) -> _Piece:
    """Filled up where there is one, and only there."""
    return lambda message, when: field.text(message.response_topic.encode()) if message.response_topic else b""


_CODES: Final[dict[str, Callable[[_Field], _Piece]]] = {
    "A": lambda field: lambda message, when: field.number(_topic_alias(message)),
    "C": lambda field: lambda message, when: field.text((message.content_type or "").encode()),
    "D": lambda field: lambda message, when: message.correlation_data or b"",
    "E": lambda field: lambda message, when: field.number(message.message_expiry_interval),
    "F": lambda field: lambda message, when: field.number(message.payload_format_indicator),
    "P": lambda field: lambda message, when: _pairs(message),
    "R": _response_topic,
    "S": lambda field: lambda message, when: field.number(next(iter(message.subscription_identifiers), None)),
    "U": lambda field: lambda message, when: b"%d.%09d" % divmod(when, 1_000_000_000),
    "X": lambda field: lambda message, when: field.hex(message.payload, True),
    "l": lambda field: lambda message, when: field.number(len(message.payload)),
    "m": lambda field: lambda message, when: field.number(message.packet_id),
    "p": lambda field: lambda message, when: field.payload(message.payload),
    "q": lambda field: lambda message, when: b"%d" % message.qos,
    "r": lambda field: lambda message, when: b"1" if message.retain else b"0",
    "t": lambda field: lambda message, when: field.text(message.topic.encode()),
    "x": lambda field: lambda message, when: field.hex(message.payload, False),
}


def _real(field: _Field, code: str, complain: Complain) -> _Piece:
    size, name = (4, "float") if code == "f" else (8, "double")

    def piece(message: Message, when: int) -> bytes:
        data = message.payload
        if len(data) != size:
            complain(f"topic {colours.in_one_line(message.topic)}: {len(data)} bytes are no {name}, which has {size}")
            return field.filled(b"", b" ")
        return field.real(data, code)

    return piece


def _mosquitto_json(as_value: bool, pretty: bool, complain: Complain) -> _Piece:
    """``%j`` and ``%J``."""
    date = _each_second("%Y-%m-%dT%H:%M:%S.")
    zone = _each_second("Z%z")
    quote = json_text.quote

    def piece(message: Message, when: int) -> bytes:
        payload: str | None = "null"
        if message.payload:
            text = message.payload.decode(errors="replace")
            payload = json_text.as_mosquitto(text) if as_value else quote(text)
            if payload is None:
                complain(f"topic {colours.in_one_line(message.topic)}: the payload is not valid JSON")
                return b""
        moment = f"{date(message, when).decode()}{when // 1000 % 1_000_000:06d}{zone(message, when).decode()}"
        line = (
            f'{{"tst":"{moment}","topic":{quote(message.topic)},"qos":{message.qos:d},'
            f'"retain":{"true" if message.retain else "false"},"payloadlen":{len(message.payload)},'
        )
        if message.qos:
            line += f'"mid":{message.packet_id},'
        if message.properties is not None:
            line += _mosquitto_properties(message.properties)
        line = f'{line}"payload":{payload}}}'
        return (json_text.indented_as_mosquitto(line) if pretty else line).encode()

    return piece


def _mosquitto_properties(properties: Properties) -> str:
    """In the order in which Mosquitto's broker sends what mosquitto_pub was told in that of the alphabet."""
    said: list[str] = []
    said += [f'"subscription-identifier":{number}' for number in properties.subscription_identifiers[:1]]
    for name, value in (
        ("topic-alias", properties.topic_alias),
        ("content-type", properties.content_type),
        ("correlation-data", properties.correlation_data),
        ("payload-format-indicator", properties.payload_format_indicator),
        ("response-topic", properties.response_topic),
    ):
        if isinstance(value, int):
            said.append(f'"{name}":{value}')
        elif value is not None:
            text = value.decode(errors="replace") if isinstance(value, bytes) else value
            said.append(f'"{name}":{json_text.quote(text)}')
    if properties.user_properties:
        pairs = [f"{{{json_text.quote(name)}:{json_text.quote(value)}}}" for name, value in properties.user_properties]
        said.append(f'"user-properties":[{",".join(pairs)}]')
    if properties.message_expiry_interval is not None:
        said.append(f'"message-expiry-interval":{properties.message_expiry_interval}')
    return f'"properties":{{{",".join(said)}}},' if said else ""
