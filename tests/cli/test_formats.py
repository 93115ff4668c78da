"""What is printed of a message: each format by itself, and beside what Debian's mosquitto_sub prints."""

import json
import re
import struct
import subprocess
import time
from collections.abc import Callable
from datetime import datetime

import pytest

from telex.cli import formats
from telex.cli.main import Parser
from telex.client.message import Message
from telex.wire.packets import Publish
from telex.wire.properties import Properties
from tests.processes import Server, find, run

Peer = Callable[..., bytes]


def message(
    topic: str = "a/b",
    payload: bytes = b"hello",
    *,
    qos: int = 0,
    retain: bool = False,
    packet_id: int = 0,
    properties: Properties | None = None,
) -> Message:
    return Message(Publish(topic, payload, qos=qos, retain=retain, packet_id=packet_id, properties=properties))


def shown(form: str, of: Message | None = None, *, pretty: bool = False) -> str:
    return formats.compile_format(form, b"", pretty=pretty)(of or message()).decode()


def printed(flags: str, of: Message, *, to_terminal: bool = False, complaints: list[str] | None = None) -> bytes:
    parser = Parser()
    formats.add_flags(parser)
    options = parser.parse_args(flags.split())
    formats.check(options, parser)
    return formats.printer(options, to_terminal, [].append if complaints is None else complaints.append)(of)


PROPERTIES = Properties(
    subscription_identifiers=(7,),
    content_type="text/plain; ä",
    correlation_data=b"no 7",
    payload_format_indicator=1,
    response_topic="answers/7",
    user_properties=(("room", "kitchen"), ("floor", 'the "second"')),
)

# -F beside mosquitto_sub


@pytest.fixture
def peer(debian_mosquitto: Server) -> Peer:
    """What mosquitto_sub prints of one message that waits for it, and of a retained one."""
    pub, sub = find("mosquitto_pub"), find("mosquitto_sub")
    port = ["-p", str(debian_mosquitto.port)]

    def prints(
        payload: bytes, *flags: str, topic: str = "a/b", says: tuple[str, ...] = (), retain: bool = False
    ) -> bytes:
        def do(*command: str, stdin: bytes = b"") -> bytes:
            return subprocess.run(command, input=stdin, check=True, timeout=20, stdout=subprocess.PIPE).stdout

        subscribe = [sub, *port, "-t", topic, "-q", "1"]
        if not retain:
            subscribe += ["-c", "-i", "peer"]
            do(*subscribe, *flags, "-E")
        publish = [pub, *port, "-V", "5", "-t", topic, "-q", "1"]
        do(*publish, *says, *(["-s"] if payload else ["-n"]), *(["-r"] if retain else []), stdin=payload)
        seen = do(*subscribe, *flags, "-C", "1", "-W", "10")
        do(*publish, "-n", "-r")
        if not retain:
            do(sub, *port, "-t", topic, "-i", "peer", "-E")  # the session is not kept any longer
        return seen

    return prints


SAYS = (
    *("-D", "publish", "content-type", "text/plain; ä"),
    *("-D", "publish", "correlation-data", "no 7"),
    *("-D", "publish", "payload-format-indicator", "1"),
    *("-D", "publish", "response-topic", "answers/7"),
    *("-D", "publish", "user-property", "room", "kitchen"),
    *("-D", "publish", "user-property", "floor", 'the "second"'),
)

FORMS = [
    *("%A", "%C", "%D", "%E", "%F", "%P", "%R", "%S", "%t", "%p", "%q", "%r", "%l", "%m", "%x", "%X", "%%", "@@"),
    *("%3p", "%-3p", "%10p", "%-10p", "%010p", "%-010p", "%.3p", "%10.3p", "%.p", "%0p"),
    *("%x|%X", "%4x", "%5x", "%-5x", "%20x", "%-20x", "%020X", "%-020X", "%1x", "%.3x"),
    *("%8t", "%-8t", "%08t", "%.2t", "%.0t", "%5.1t", "%-5.1t|", "%2t"),
    *("%5l", "%-5l|", "%05l", "%-05l|", "%8.5l", "%5q", "%05r", "%-5r|", "%5m", "%-5m|", "%05m", "%.3m"),
    *("%5A", "%-5A|", "%05A", "%5E", "%05E", "%3F", "%03F", "%-3F|", "%5S", "%05S", "%-5S|"),
    *("%20C", "%-20C|", "%.3C", "%6.3C", "%020C", "%20D", "%.2D", "%20P", "%20R", "%-20R|", "%.3R", "%020R"),
    *("%5%", "%.2%", "%0%", "a\\\\b", "\\a\\e\\r\\t\\v\\0.", "@t@%@n", "@Q@0@-d@ ", "%t: %p @@ %%", "é%té"),
]


def by_form(output: bytes) -> dict[str, bytes]:
    return dict(zip(FORMS, output.split(b"\x1e"), strict=True))


def test_every_code_writes_what_mosquitto_sub_writes(peer: Peer) -> None:
    form = "\x1e".join(FORMS)
    flags = ("-V", "5", "-D", "subscribe", "subscription-identifier", "7", "-F", form)
    of_peer = peer(b"hello", *flags, says=SAYS, retain=True)
    ours = formats.compile_format(form)(message(qos=1, retain=True, packet_id=1, properties=PROPERTIES))
    assert by_form(ours) == by_form(of_peer)


@pytest.mark.parametrize("payload", [b"", b"h", b"\x00\xff\n caf\xc3\xa9 \xe9"])
def test_every_code_writes_what_mosquitto_sub_writes_of_a_bare_message(peer: Peer, payload: bytes) -> None:
    form = "\x1e".join(FORMS)
    ours = formats.compile_format(form)(message(payload=payload, qos=1, packet_id=1))
    assert by_form(ours) == by_form(peer(payload, "-F", form))


def test_the_time_is_written_as_mosquitto_sub_writes_it(peer: Peer) -> None:
    form = "%I|%20I|%-30I|%30I|%.4I|%030I|%U|%40U|@Y-@m-@d @H:@M:@S@z @Z @j @s|@N"
    digit = re.compile(rb"[0-9]")
    ours = formats.compile_format(form)(message())
    assert digit.sub(b"0", ours) == digit.sub(b"0", peer(b"hello", "-F", form))


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/St_Johns"])
def test_the_time_is_local(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        moment = datetime.fromtimestamp(1_700_000_000).astimezone()
        monkeypatch.setattr(formats.time, "time_ns", lambda: 1_700_000_000_012_345_678)
        assert shown("%I") == moment.strftime("%Y-%m-%dT%H:%M:%S%z")
        assert shown("@H:@M @z|@N|%U") == moment.strftime("%H:%M %z|012345678|1700000000.012345678")
        assert json.loads(shown("%j"))["tst"] == moment.strftime("%Y-%m-%dT%H:%M:%S.012345Z%z")
        line = json.loads(printed("--json", message()))
        assert line["time"] == moment.replace(microsecond=12345).isoformat()
    finally:
        monkeypatch.undo()
        time.tzset()


def as_of_2_1(line: bytes) -> bytes:
    """What 2.0 prints, with what 2.1 does otherwise; the time is masked."""
    line = re.sub(rb'("tst":\t?")[^"]*"', rb'\1"', line)
    line = re.sub(rb'("retain":\t?)0', rb"\1false", line)
    return re.sub(rb'("retain":\t?)1', rb"\1true", line)


JSON_PAYLOADS = [
    b"",
    b"hello",
    b'say "hi"\\ \x01\x1f\x7f\b\f\n\r\t \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80/',
    b"24.50",
    b" [1, 2.50,-0, 1e5, 1E-7,0.1, 0.1234567890123456, 1e400, -1.0, 2147483648, 1e15] ",
    b'{"b":{}, "a":[], "a":[[],{}], "n":null,"t":true ,"f":false}\n',
    b'[[],[{}],{"a":[{"b":{"c":{}}},[1,[2]]]},"x"]',
    b'"\\u00e4\\/\\n\\u001f\\ud83d\\ude00 \xc3\xa4 \\" \\\\"',
    b'{"\\u0061":"\t"}',
    b"\xef\xbb\xbf{}",
    *(b"1 2", b"nul", b"NaN", b"[1,]", b"{", b'{"a"}', b'"\\ud800"', b"[" * 2_000),
]


@pytest.mark.parametrize("pretty", [False, True])
@pytest.mark.parametrize("code", ["%j", "%J"])
def test_json_is_that_of_mosquitto_sub(peer: Peer, code: str, pretty: bool) -> None:
    flags = ["-F", code, *(["--pretty"] if pretty else [])]
    complaints: list[str] = []
    printer = formats.compile_format(code, pretty=pretty, complain=complaints.append)
    for payload in JSON_PAYLOADS:
        ours = printer(message(payload=payload, qos=1, packet_id=1))
        assert as_of_2_1(ours) == as_of_2_1(peer(payload, *flags)), payload
        assert (ours == b"\n") == bool(complaints), payload
        complaints.clear()


@pytest.mark.parametrize("pretty", [False, True])
def test_json_has_the_properties_of_mosquitto_sub(peer: Peer, pretty: bool) -> None:
    flags = [
        "-V",
        "5",
        "-D",
        "subscribe",
        "subscription-identifier",
        "7",
        "-F",
        "%j",
        *(["--pretty"] if pretty else []),
    ]
    of_peer = as_of_2_1(peer(b"hello", *flags, says=(*SAYS, "-D", "publish", "message-expiry-interval", "1000")))
    properties = PROPERTIES.copy()
    properties.message_expiry_interval = int(json.loads(of_peer)["properties"]["message-expiry-interval"])
    ours = formats.compile_format("%j", pretty=pretty)(message(qos=1, packet_id=1, properties=properties))
    pairs = re.compile(rb'("user-properties":\t?)([\[{].*?[\]}]),\s*"message', re.DOTALL)  # a list since 2.1
    assert as_of_2_1(pairs.sub(rb'\1*,"message', ours)) == pairs.sub(rb'\1*,"message', of_peer)
    assert json.loads(ours)["properties"]["user-properties"] == [{"room": "kitchen"}, {"floor": 'the "second"'}]
    if not pretty:
        assert b'"user-properties":[{"room":"kitchen"},{"floor":"the \\"second\\""}]' in ours


@pytest.mark.parametrize(
    "form", ["%", "x%", "%5", "%-", "%.", "%.2", "@", "\\", "%z", "%-0-5p", "%--5p", "%5.3", "\\q", "\\ ", "%e", "%T"]
)
def test_a_format_that_mosquitto_sub_refuses_is_refused_before_anything_is_printed(form: str, peer: Peer) -> None:
    done = run(find("mosquitto_sub"), "-p", "1", "-t", "a", "-F", form)
    assert done.returncode == 1
    assert "specifier" in done.stderr
    words = re.search(r"(Inv|Inc)\w+ \w+ specifier( '.')?", done.stderr)
    assert words is not None
    with pytest.raises(ValueError, match=f"(?i:{re.escape(words[0])})") as caught:
        formats.compile_format(form)
    assert str(caught.value).startswith(f"-F {form!r}: ")


# Beyond mosquitto_sub 2.0


def test_json_is_json_whatever_the_payload() -> None:
    line = json.loads(shown("%j", message(payload=b'\xff"\x00b')))
    assert line["payload"] == '\ufffd"\x00b'
    line = json.loads(shown("%J", message(payload=b"1700000000000001")))
    assert line["payload"] == 1_700_000_000_000_001


def test_numbers_in_binary_are_shown() -> None:
    assert shown("%f", message(payload=struct.pack("f", 1.5))) == "1.500000"
    assert (
        shown("%.2d|%8.1d|%-8.1d|%08.1d", message(payload=struct.pack("d", -21.25)))
        == "-21.25|   -21.2|-21.2   |-00021.2"
    )
    assert shown("%6f|%06.0f", message(payload=struct.pack("f", float("inf")))) == "   inf|   inf"


def test_what_is_no_number_in_binary_is_told() -> None:
    complaints: list[str] = []
    printer = formats.compile_format("[%f][%5d]", complain=complaints.append)
    assert printer(message(payload=b"12345")) == b"[][     ]\n"
    assert complaints == [
        "topic a/b: 5 bytes are no float, which has 4",
        "topic a/b: 5 bytes are no double, which has 8",
    ]


def test_hex_may_have_a_sign_between_bytes() -> None:
    assert (
        shown("%:x|% X|%-20:x|%20 x|%020:x")
        == "68:65:6c:6c:6f|68 65 6C 6C 6F|68:65               |               68 65|00000000000000068:65"
    )


def test_a_format_cannot_fill_the_memory() -> None:
    with pytest.raises(ValueError, match=r"'%10001p' is wider than 10,000"):
        formats.compile_format("%10001p")


# Without -F


@pytest.mark.parametrize("flags", ["", "-v", "-N", "-v -N", "-v -F %p", "-N -F %t", "--pretty"])
@pytest.mark.parametrize("payload", [b"", b"hello", b"two\nlines\n", b"\x00\xff\x1b[31m"])
def test_messages_are_written_as_mosquitto_sub_writes_them(peer: Peer, flags: str, payload: bytes) -> None:
    assert printed(flags, message(payload=payload)) == peer(payload, *flags.split())


def test_on_a_terminal_no_message_gives_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    bad = message("a\x1b]0;title\x07\n\u202e", b"\x1b[2Jx\n\ty\x9b\xff \xe2\x80\xae")
    assert printed("-v", bad, to_terminal=True).decode() == (
        "a\\x1b]0;title\\x07\\n\\u202e\n\\x1b[2Jx\n\ty\ufffd\ufffd \\u202e\n"
    )
    assert printed("", message(payload=b"\xc2\x9b0m"), to_terminal=True) == b"\\x9b0m\n"


def test_colours_are_for_a_terminal_that_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats.colours, "wants_colours", lambda: True)
    of = message(payload=b'{"a": ["x", 1.50, null]}')
    plain = b'a/b\n{\n  "a": [\n    "x",\n    1.50,\n    null\n  ]\n}\n'
    coloured = printed("-v --format auto", of, to_terminal=True)
    assert coloured != plain
    assert re.sub(rb"\x1b\[[0-9]*m", b"", coloured) == plain
    assert printed("-v --format auto", of) == plain


SHOWN = {
    "text": [
        (b"hello", "hello"),
        (b"a\x00b\xff\ttab", "a\\x00b\ufffd\ttab"),
    ],
    "json": [
        (b'{"b":1.50,"a":[],"a":{}}', '{\n  "b": 1.50,\n  "a": [],\n  "a": {}\n}'),
        (b"12345678901234567890123", "12345678901234567890123"),
    ],
    "hex": [(b"\x00\xffhe", "00ff6865")],
    "base64": [(b"\x00\xffhe", "AP9oZQ==")],
    "msgpack": [
        (b"\x81\xa1b\x93\xc0\xc3\xcb?\xf8" + bytes(6), '{\n  "b": [\n    null,\n    true,\n    1.5\n  ]\n}'),
        (b"\xc4\x02\x00\xff", '"AP8="'),
        (b"\xd4\x05x", '{\n  "type": 5,\n  "data": "eA=="\n}'),
    ],
    "auto": [
        (b"21.50", "21.50"),
        (b'"text"', '"text"'),
        (b"[1]", "[\n  1\n]"),
        (b'{"broken', '{"broken'),
        ("grün\r\n\tüber".encode(), "grün\r\n\tüber"),
        (b"\x1b[0m", "00000000  1b 5b 30 6d                                       |.[0m|"),
        (bytes(range(65, 83)) + b"\x7f",
         "00000000  41 42 43 44 45 46 47 48  49 4a 4b 4c 4d 4e 4f 50  |ABCDEFGHIJKLMNOP|\n"
         "00000010  51 52 7f                                          |QR.|"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "payload", "text"), [(name, *case) for name, cases in SHOWN.items() for case in cases]
)
def test_payloads_are_shown_in_their_format(name: str, payload: bytes, text: str) -> None:
    assert printed(f"--format {name}", message(payload=payload)).decode() == f"{text}\n"


def test_every_format_has_its_cases() -> None:
    assert set(SHOWN) == set(formats.PAYLOAD_FORMATS) == set(formats.PAYLOADS)


@pytest.mark.parametrize(
    ("name", "payload"),
    [("json", b"{"), ("json", b"\xff"), ("json", b"NaN"), ("msgpack", b"\xc1"), ("msgpack", b"\x92\x01")],
)
def test_what_is_not_in_the_format_is_told_and_not_printed(name: str, payload: bytes) -> None:
    complaints: list[str] = []
    assert printed(f"-v --format {name}", message(payload=payload), complaints=complaints) == b""
    assert len(complaints) == 1
    assert complaints[0].startswith(f"topic a/b: the payload is not {name} (")


def test_an_empty_payload_has_no_format() -> None:
    for name in formats.PAYLOAD_FORMATS:
        assert printed(f"--format {name}", message(payload=b"")) == b""
        assert printed(f"-v --format {name}", message(payload=b"")) == b"a/b (null)\n"


# --json


@pytest.mark.parametrize(
    ("payload", "value", "kind"),
    [
        (b"hello", "hello", "text"),
        (b"", "", "text"),
        (b'"hello"', "hello", "json"),
        (b'{"a":\n[1.50]}', {"a": [1.5]}, "json"),
        (b"NaN", "NaN", "text"),
        (b"\x00\xff", "AP8=", "base64"),
        (b"\x00\n\x1b", "\0\n\x1b", "text"),
    ],
)
def test_a_line_of_json_says_what_the_payload_is(payload: bytes, value: object, kind: str) -> None:
    line = printed("--json", message(payload=payload, qos=2, retain=True, packet_id=5))
    assert line.count(b"\n") == 1
    read = json.loads(line)
    assert datetime.fromisoformat(read.pop("time")).utcoffset() is not None
    assert read == {"topic": "a/b", "payload": value, "format": kind, "qos": 2, "retain": True}


def test_a_line_of_json_has_all_properties() -> None:
    properties = PROPERTIES.copy()
    properties.message_expiry_interval = 9
    properties.topic_alias = 3
    read = json.loads(printed("--json", message(properties=properties)))
    assert read["properties"] == {
        "payload_format_indicator": 1,
        "message_expiry_interval": 9,
        "topic_alias": 3,
        "content_type": "text/plain; ä",
        "response_topic": "answers/7",
        "correlation_data": "no 7",
        "subscription_identifiers": [7],
        "user_properties": [["room", "kitchen"], ["floor", 'the "second"']],
    }


def test_correlation_data_is_text_or_base64() -> None:
    for data, value in ((b"12", "12"), (b"\xff", {"base64": "/w=="}), (b"", "")):
        read = json.loads(printed("--json", message(properties=Properties(correlation_data=data))))
        assert read["properties"] == {"correlation_data": value}


# Flags


@pytest.mark.parametrize("flags", ["-F %p --json", "-F %p --format hex", "--json --format auto", "--format xml"])
def test_flags_that_contradict_each_other_are_refused(flags: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        printed(flags, message())
    assert exit.value.code == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_the_help_names_every_code() -> None:
    named = set(re.findall(r"%(\w)\b", formats.HELP)) | {"x", "X"}
    assert named >= {*formats._CODES, "j", "J", "f", "d", "I"}


def test_a_message_that_says_nothing_besides_has_no_properties() -> None:
    assert "properties" not in json.loads(printed("--json", message(properties=Properties())))
    assert "properties" not in json.loads(shown("%j", message(properties=Properties())))
