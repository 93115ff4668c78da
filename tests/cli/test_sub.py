"""``telex sub``: beside Debian's mosquitto_sub on one broker, and by itself."""

import asyncio
import json
import os
import pty
import re
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from telex.cli import sub
from telex.cli.output import Output
from tests.processes import (
    SECONDS,
    Server,
    find,
    free_port,
    lines_until,
    run,
    running,
    telex_command,
    wait_for_port,
)


def do(*command: str, stdin: bytes = b"") -> tuple[int, bytes, bytes]:
    """Exit code, standard output, standard error: as bytes."""
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=SECONDS, check=False)
    return done.returncode, done.stdout, done.stderr


def publish(broker: Server, topic: str, payload: bytes, *flags: str) -> None:
    """By Debian's mosquitto_pub, so that only what receives is ours."""
    what = ["-s"] if payload else ["-n"]
    command = [find("mosquitto_pub"), "-p", str(broker.port), "-t", topic, *what, *flags]
    assert do(*command, stdin=payload) == (0, b"", b"")


@contextmanager
def mosquitto_with(*settings: str) -> Iterator[Server]:
    """A Mosquitto with settings of its own."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "mosquitto.conf"
        config.write_text("\n".join([f"listener {port} 127.0.0.1", "log_type error", *settings, ""]))
        with running(find("mosquitto"), "-c", str(config)) as process:
            wait_for_port(port)
            yield Server(port, process)


@pytest.fixture(scope="module")
def roomy() -> Iterator[Server]:
    """A Mosquitto that drops no message, however many wait for a client."""
    with mosquitto_with("allow_anonymous true", "max_queued_messages 0", "max_inflight_messages 100") as broker:
        yield broker


def telex_sub(broker: Server, *flags: str) -> list[str]:
    return telex_command("sub", "-p", str(broker.port), *flags)


def mosquitto_sub(broker: Server, *flags: str) -> list[str]:
    return [find("mosquitto_sub"), "-p", str(broker.port), *flags]


# Beside mosquitto_sub

PROPERTIES = (
    *("-D", "publish", "content-type", "text/plain"),
    *("-D", "publish", "correlation-data", "no 7"),
    *("-D", "publish", "payload-format-indicator", "1"),
    *("-D", "publish", "response-topic", "answers/7"),
    *("-D", "publish", "user-property", "room", "kitchen"),
)

SENT = [
    ("a/text", b"hello", ()),
    ("a/json", b'{"b": [1, 2.5, {}], "a": null}', ()),
    ("a/empty", b"", ()),
    ("a/bytes", b"\x01\xe2\x82\xac\n\t", ()),
    ("a/kept", b"retained", ("-r",)),
    ("b/other", b"filtered out?", ()),
    ("a/properties", b"said more", ("-V", "5", *PROPERTIES)),
    ("a/long", b"x" * 70_000, ()),
    ("a/last", b"the end", ()),
]

EVERY_CODE = "%t|%l|%m|%q|%r|%x|%X|%%|%20t|%-20t|%.3t|%010p|%A|%C|%D|%E|%F|%P|%R|%S|\\t\\a@@|%p"

BESIDE = [
    *([], ["-v"], ["-N"], ["-v", "-N"], ["--quiet"], ["--pretty"]),
    *(["-F", EVERY_CODE], ["-F", EVERY_CODE, "-v", "-N"], ["-F", "%j"], ["-F", "%J"], ["-F", "[%j]", "--pretty"]),
    *(["-F", "%t %J", "--pretty"], ["-F", "@Y@%\\n%t"], ["-V", "5", "-F", EVERY_CODE], ["-V", "5", "-F", "%j"]),
    *(["-V", "5", "-F", "%j", "--pretty"], ["-V", "31", "-v"], ["-q", "2", "-F", "%q %m %t"], ["-q", "1", "-C", "3"]),
    ["-V", "5", "-D", "subscribe", "subscription-identifier", "9", "-F", "%S %t %j"],
    *(["-T", "b/#", "-v", "-C", "8"], ["-T", "a/+", "-v", "-C", "1"], ["-T", "a/json", "-T", "b/+", "-v", "-C", "5"]),
    *(["-t", "c/#", "-v"], ["-W", "100", "-v"], ["--nodelay", "-k", "5"]),
]


def as_of_2_1(output: bytes) -> bytes:
    """What 2.0 prints, with what 2.1 does otherwise; the time is masked."""
    output = re.sub(rb'("tst":\t?")[^"]*"', rb'\1"', output)
    output = re.sub(rb'("retain":\t?)0', rb"\1false", output)
    output = re.sub(rb'("retain":\t?)1', rb"\1true", output)
    return re.sub(rb'("user-properties":\t?)\[?\{\s*([^}]*?)\s*\}\]?', rb"\1{\2}", output)


@pytest.mark.parametrize("flags", BESIDE, ids=" ".join)
def test_both_print_the_same(debian_mosquitto: Server, flags: list[str]) -> None:
    count = [] if "-C" in flags else ["-C", str(len(SENT))]
    commands = {"ours": telex_sub, "theirs": mosquitto_sub}
    for name, command in commands.items():
        session = ["-c", "-i", name, "-q", "1", "-t", "a/#", "-t", "b/#", *flags]
        assert do(*command(debian_mosquitto, *session, "-E"))[0] == 0
    for topic, payload, more in SENT:
        publish(debian_mosquitto, topic, payload, "-q", "1", *more)
    printed = {}
    for name, command in commands.items():
        session = ["-c", "-i", name, "-q", "1", "-t", "a/#", "-t", "b/#"]
        printed[name] = do(*command(debian_mosquitto, *session, *flags, *count))
    publish(debian_mosquitto, "a/kept", b"", "-r")
    for name in commands:
        assert do(*mosquitto_sub(debian_mosquitto, "-i", name, "-t", "a", "-E"))[0] == 0
    assert printed["ours"][0] == printed["theirs"][0] == 0
    assert as_of_2_1(printed["ours"][1]) == as_of_2_1(printed["theirs"][1])
    assert printed["ours"][2].count(b"\n") == printed["theirs"][2].count(b"\n")


RETAINED = [
    *(["-v", "-C", "3"], ["-F", "%r %t %p", "-C", "3"], ["-V", "5", "-F", "%j", "-C", "2"]),
    *(["-v", "--retained-only", "-C", "2"], ["-v", "-T", "r/2", "-C", "2"], ["-R", "-v", "-W", "1"]),
    *(["-N", "-C", "3", "-q", "2"], ["-V", "5", "--retain-as-published", "-F", "%r %q %m", "-C", "3"]),
    *(["-t", "r/1", "-t", "r/3", "-v", "-C", "2"], ["-V", "5", "-R", "-W", "1"]),
]


@pytest.fixture(scope="module")
def retaining(debian_mosquitto: Server) -> Iterator[Server]:
    topics = ("r/1", "r/2", "r/3")
    for topic in topics:
        publish(debian_mosquitto, topic, topic.encode(), "-r", "-q", "1")
    yield debian_mosquitto
    for topic in topics:
        publish(debian_mosquitto, topic, b"", "-r")


@pytest.mark.parametrize("flags", RETAINED, ids=" ".join)
def test_both_print_the_same_of_what_was_retained(retaining: Server, flags: list[str]) -> None:
    topic = [] if "-t" in flags else ["-t", "r/#"]
    code, out, err = do(*telex_sub(retaining, *topic, *flags))
    expected, of_peer, _ = do(*mosquitto_sub(retaining, *topic, *flags))
    assert (code, as_of_2_1(out)) == (expected, as_of_2_1(of_peer))
    assert err == (b"telex: Timed out\n" if code == 27 else b"")


# Which messages


@contextmanager
def live(broker: Server, *flags: str) -> Iterator[subprocess.Popen[str]]:
    """``telex sub`` that has subscribed to ``live`` besides, and has printed what is retained there."""
    publish(broker, "live", b"ready", "-r")
    try:
        with running(*telex_sub(broker, *flags, "-t", "live")) as process:
            lines_until(process, "ready|^live")
            yield process
    finally:
        publish(broker, "live", b"", "-r")


def rest(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, and what it still prints."""
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


def test_retained_only_ends_with_the_first_live_message(retaining: Server) -> None:
    with live(retaining, "-t", "r/#", "-t", "x", "-v", "--retained-only") as process:
        publish(retaining, "x", b"alive")
        code, out, err = rest(process)
    assert (code, err) == (0, "")
    assert "alive" not in out


def test_remove_retained_has_the_broker_forget_what_was_printed(debian_mosquitto: Server) -> None:
    for topic in ("gone/1", "gone/2", "gone/keep"):
        publish(debian_mosquitto, topic, b"x", "-r")
    flags = ["-t", "gone/#", "-v", "--remove-retained", "-T", "gone/keep", "-C", "2"]
    code, out, err = do(*telex_sub(debian_mosquitto, *flags))
    assert (code, sorted(out.splitlines()), err) == (0, [b"gone/1 x", b"gone/2 x"], b"")
    left = do(*mosquitto_sub(debian_mosquitto, "-t", "gone/#", "-v", "-W", "1"))[1]
    assert left == b"gone/keep x\n"
    publish(debian_mosquitto, "gone/keep", b"", "-r")


@contextmanager
def subscribed(broker: Server, *flags: str) -> Iterator[subprocess.Popen[str]]:
    """``telex sub -d`` whose subscriptions the broker has answered."""
    with running(*telex_sub(broker, *flags, "-d")) as process:
        lines_until(process, "received SUBACK")
        yield process


def test_retain_handling_says_when_retained_messages_come(retaining: Server) -> None:
    def printed(*flags: str) -> str:
        with subscribed(retaining, "-V", "5", "-t", "r/1", "-t", "after", "-v", *flags) as process:
            publish(retaining, "after", b"all")
            seen = lines_until(process, "^after all")
        return "".join(re.findall(r"^(?:r|after).*\n", seen, re.MULTILINE))

    assert printed("--retain-handling", "never") == "after all\n"
    assert printed("-R") == "after all\n"
    assert printed("--retain-handling", "always") == "r/1 r/1\nafter all\n"
    session = ["--retain-handling", "new", "-c", "-i", "handling"]
    assert printed(*session) == "r/1 r/1\nafter all\n"
    assert printed(*session) == "after all\n"
    assert do(*mosquitto_sub(retaining, "-i", "handling", "-t", "a", "-E"))[0] == 0


def test_a_random_filter_lets_some_through_and_counts_all(roomy: Server) -> None:
    lines = b"".join(b"%d\n" % number for number in range(2_000))
    with live(roomy, "-t", "random", "-C", "2001", "-q", "1") as every:
        with running(*telex_sub(roomy, "-t", "random", "-t", "live", "-q", "1", "-C", "2001",
                                "--random-filter", "40", "-d")) as some:  # fmt: skip
            lines_until(some, "received SUBACK")
            command = [find("mosquitto_pub"), "-p", str(roomy.port), "-t", "random", "-l", "-q", "1"]
            assert do(*command, stdin=lines)[0] == 0
            assert rest(every)[:2] == (0, lines.decode())
            code, out, _ = rest(some)
    numbers = [int(line) for line in out.splitlines() if line.isdigit()]
    assert code == 0
    assert 400 < len(numbers) < 1_200
    assert numbers == sorted(set(numbers))


def test_the_message_rate_is_printed_each_second(debian_mosquitto: Server) -> None:
    with subscribed(debian_mosquitto, "-t", "rate", "--message-rate") as process:
        command = [find("mosquitto_pub"), "-p", str(debian_mosquitto.port), "-t", "rate", "-l"]
        assert do(*command, stdin=b"x\n" * 300)[0] == 0
        seen = lines_until(process, "^[1-9][0-9]* msgs/s$") + lines_until(process, "^0 msgs/s$")
    assert "x\n" not in seen


def test_unsubscribing_comes_before(debian_mosquitto: Server) -> None:
    session = ["-c", "-i", "leaver", "-q", "1"]
    assert do(*telex_sub(debian_mosquitto, *session, "-t", "leave/1", "-t", "leave/2", "-E"))[0] == 0
    assert do(*telex_sub(debian_mosquitto, *session, "-t", "leave/3", "-U", "leave/1", "-E"))[0] == 0
    for number in "123":
        publish(debian_mosquitto, f"leave/{number}", number.encode(), "-q", "1")
    # What an earlier run has subscribed to is printed too, as mosquitto_sub does it.
    assert do(*telex_sub(debian_mosquitto, *session, "-t", "leave/3", "-C", "2")) == (0, b"2\n3\n", b"")
    assert do(*mosquitto_sub(debian_mosquitto, "-i", "leaver", "-t", "a", "-E"))[0] == 0


@pytest.mark.parametrize("version", ["311", "5"])
def test_what_was_not_printed_stays_with_the_broker(debian_mosquitto: Server, version: str) -> None:
    session = ["-V", version, "-c", "-i", "patient", "-q", "1", "-t", "stay"]
    assert do(*telex_sub(debian_mosquitto, *session, "-E"))[0] == 0
    for number in range(50):
        publish(debian_mosquitto, "stay", b"%d" % number, "-q", "1")
    assert do(*telex_sub(debian_mosquitto, *session, "-C", "1")) == (0, b"0\n", b"")
    assert do(*telex_sub(debian_mosquitto, *session, "-C", "30"))[1].split() == [b"%d" % each for each in range(1, 31)]
    assert do(*telex_sub(debian_mosquitto, *session, "-C", "19"))[1].split() == [b"%d" % each for each in range(31, 50)]
    assert do(*mosquitto_sub(debian_mosquitto, "-i", "patient", "-t", "a", "-E"))[0] == 0


@pytest.mark.parametrize("version", ["311", "5"])
@pytest.mark.parametrize("of", ["broker", "debian_mosquitto"])
def test_overlapping_filters_give_a_message_once(version: str, of: str, request: pytest.FixtureRequest) -> None:
    server: Server = request.getfixturevalue(of)
    flags = ["-V", version, "-t", "over/#", "-t", "over/+", "-t", "over/a", "-t", "over/a", "-v", "-F", "%t|%S"]
    with live(server, *flags) as process:
        publish(server, "over/a", b"x")
        publish(server, "over/end", b"x")
        assert lines_until(process, "over/end") == "over/a|\nover/end|\n"


# How it ends


def test_the_time_is_up_while_there_is_no_answer_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = str(silent.getsockname()[1])
        done = do(*telex_command("sub", "-p", port, "-t", "a", "-W", "0.5"))
    assert done == (27, b"", b"telex: Timed out\n")


def test_quiet_says_nothing_and_ends_the_same(broker: Server) -> None:
    assert do(*telex_sub(broker, "-t", "a", "-W", "0.3", "--quiet")) == (27, b"", b"")
    assert do(*telex_command("sub", "-p", str(free_port()), "-t", "a", "--quiet"))[0::2] == (1, b"")


def test_a_refused_connection_has_the_code_of_the_broker() -> None:
    with mosquitto_with("allow_anonymous false") as broker:
        for version, code in (("31", 5), ("311", 5), ("5", 0x87)):
            flags = ["-V", version, "-t", "a"]
            assert do(*mosquitto_sub(broker, *flags))[0] == code
            ours, out, err = do(*telex_sub(broker, *flags))
            assert (ours, out, err.count(b"\n")) == (code, b"", 1)


def granting(*codes: int) -> tuple[threading.Thread, int]:
    """A broker for one client, which gets these answers to its subscriptions, and its port."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with server, server.accept()[0] as client:
            client.settimeout(SECONDS)
            client.recv(1000)
            client.sendall(b"\x20\x02\x00\x00")
            packet = client.recv(1000)
            assert packet[0] == 0x82
            client.sendall(bytes([0x90, 2 + len(codes)]) + packet[2:4] + bytes(codes) + b"\x30\x05\x00\x01bhi")
            while packet := client.recv(1000):
                if packet[0] == 0xA2:
                    client.sendall(b"\xb0\x02" + packet[2:4])

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread, server.getsockname()[1]


def test_when_all_subscriptions_are_denied_it_ends() -> None:
    thread, port = granting(0x80, 0x80)
    done = do(*telex_command("sub", "-p", str(port), "-t", "a", "-t", "b"))
    thread.join(SECONDS)
    assert done == (1, b"", b"telex: All subscription requests were denied.\n")


def test_when_some_are_denied_it_names_them_and_goes_on() -> None:
    thread, port = granting(0x80, 0)
    code, out, err = do(*telex_command("sub", "-p", str(port), "-t", "secret", "-t", "b", "-C", "1"))
    thread.join(SECONDS)
    assert (code, out) == (0, b"hi\n")
    assert re.fullmatch(rb"telex: the broker refuses the subscription to 'secret': .*\n", err)


def test_it_ends_when_nobody_reads_any_more(broker: Server) -> None:
    with live(broker, "-t", "a") as process:
        assert process.stdout is not None
        process.stdout.close()  # as `head` does
        assert process.wait(SECONDS) == 1
        assert process.stderr is not None
        assert process.stderr.read() == ""
        process.stdout = None  # so that nobody reads from it any more


def test_sigterm_takes_leave_of_the_broker(broker: Server) -> None:
    with live(broker, "-t", "will/of", "-v") as watcher:
        with live(broker, "--will-topic", "will/of", "--will-payload", "lost") as process:
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) == 143
        publish(broker, "will/of", b"end")
        assert "will/of lost" not in lines_until(watcher, "will/of end")


def test_ctrl_c_ends_it_as_shells_say_it(broker: Server) -> None:
    with live(broker, "-t", "a") as process:
        process.send_signal(signal.SIGINT)
        assert rest(process) == (130, "", "")


# Much


@pytest.mark.parametrize("qos", ["0", "1"])
def test_a_flood_comes_whole_and_in_order(roomy: Server, qos: str) -> None:
    count = 20_000
    lines = "".join(f"line {number}\n" for number in range(count))
    with live(roomy, "-t", "flood", "-q", qos, "-C", str(count + 1)) as process:
        sender = subprocess.Popen(
            [find("mosquitto_pub"), "-p", str(roomy.port), "-t", "flood", "-l", "-q", "1"],
            stdin=subprocess.PIPE,
            text=True,
        )
        with sender:
            sender.communicate(lines, timeout=60)
            out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out == lines


# Standard output


async def test_who_reads_slowly_does_not_stop_the_loop() -> None:
    reading, writing = os.pipe()
    data = os.urandom(3_000_000)
    try:
        output = Output(writing)
        write = asyncio.ensure_future(output.write(data))
        turns = 0
        received = b""
        while len(received) < len(data):
            await asyncio.sleep(0)
            turns += 1
            if turns % 5 == 0:
                received += os.read(reading, 65_536)
        await write
        assert received == data
    finally:
        os.close(reading)
        os.close(writing)


async def test_a_reader_that_goes_is_noticed() -> None:
    reading, writing = os.pipe()
    output = Output(writing)
    gone = asyncio.ensure_future(output.gone())
    await asyncio.sleep(0.05)
    assert not gone.done()
    os.close(reading)
    await asyncio.wait_for(gone, SECONDS)
    with pytest.raises(BrokenPipeError):
        await output.write(b"x")
    os.close(writing)


async def test_a_file_is_written_whole(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    output = Output(descriptor)
    await output.write(b"a" * 100_000)
    await output.write(b"b")
    gone = asyncio.ensure_future(output.gone())
    await asyncio.sleep(0)
    assert not gone.done()
    gone.cancel()
    os.close(descriptor)
    assert (tmp_path / "out").read_bytes() == b"a" * 100_000 + b"b"


# Flags


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("", "-t TOPIC is needed"),
        ("-U a", "-t TOPIC is needed"),
        ("-t a/#/b", "'a/#/b'"),
        ("-t a -T #/a", "'#/a'"),
        ("-t a -U +a", "'+a'"),
        ("-t a -q 3", "3"),
        ("-t a -C 0", "'0'"),
        ("-t a -C -1", "'-1'"),
        ("-t a -W 0", "'0'"),
        ("-t a -W abc", "'abc'"),
        ("-t a --random-filter 0", "'0' is not a percentage from 0.1 to 100"),
        ("-t a --random-filter 100.5", "'100.5' is not a percentage"),
        ("-t a -R --retained-only", "-R prints no retained messages"),
        ("-t a --retain-handling some", "some"),
        ("-t a --retain-as-published", "give -V 5 too"),
        ("-t a --retain-handling never", "give -V 5 too"),
        ("-t a -F %z", "invalid format specifier 'z'"),
        ("-t a -F x%", "incomplete format specifier"),
        ("-t a -w --json", "-w prints no messages"),
        ("-t a --message-rate -F %p", "--message-rate prints no messages"),
        ("-t a -w --message-rate", "give one of them"),
        ("-t a -w -d", "leave out -d"),
        ("-t a -D publish content-type x", "sends no PUBLISH"),
        ("-t a --nonsense", "--nonsense"),
    ],
)
def test_wrong_flags_are_refused_in_one_line(flags: str, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    try:
        code = sub.run(flags.split())
    except SystemExit as exit:
        code = int(str(exit.code))
    captured = capfd.readouterr()
    assert (code, captured.out) == (1, "")
    assert captured.err.startswith("telex: ")
    assert captured.err.count("\n") == 1
    assert said in captured.err


def test_every_flag_of_mosquitto_sub_is_known() -> None:
    theirs = run(find("mosquitto_sub"), "--help").stdout
    known = run(*telex_command("sub", "--help")).stdout
    flags = {*re.findall(r"^ (-{1,2}[\w-]+) :", theirs, re.MULTILINE)} - {"--tls-engine", "--tls-engine-kpass-sha1"}
    assert len(flags) > 40
    of_2_1 = {"--retain-as-published", "--retain-handling", "--message-rate", "--watch", "-w", "--ws", "--no-tls"}
    assert [flag for flag in sorted(flags | of_2_1) if not re.search(rf"(?<![\w-]){flag}(?![\w-])", known)] == []


def test_json_is_a_line_for_each_message(broker: Server) -> None:
    publish(broker, "json/1", b'{"a":\n1}', "-r", "-q", "1", "-V", "5", "-D", "publish", "user-property", "k", "v")
    code, out, _ = do(*telex_sub(broker, "-t", "json/#", "-q", "1", "-V", "5", "--json", "--count", "1"))
    publish(broker, "json/1", b"", "-r")
    line = json.loads(out)
    assert code == 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d", line.pop("time"))
    assert line == {
        "topic": "json/1",
        "payload": {"a": 1},
        "format": "json",
        "qos": 1,
        "retain": True,
        "properties": {"user_properties": [["k", "v"]]},
    }


def test_what_cannot_be_shown_is_told_and_the_rest_printed(broker: Server) -> None:
    publish(broker, "shown/1", b"{", "-r")
    publish(broker, "shown/2", b"[1]", "-r")
    flags = ["-t", "shown/#", "-v", "--format", "json", "-C", "2"]
    code, out, err = do(*telex_sub(broker, *flags))
    for topic in ("shown/1", "shown/2"):
        publish(broker, topic, b"", "-r")
    assert (code, out) == (0, b"shown/2\n[\n  1\n]\n")
    assert err.startswith(b"telex: topic shown/1: the payload is not json (")


def test_on_a_terminal_topics_are_coloured_and_no_message_gives_orders(broker: Server) -> None:
    publish(broker, "shown/terminal", b"\x1b]0;title\x07", "-r")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    environment.pop("NO_COLOR", None)
    command = telex_sub(broker, "-t", "shown/terminal", "-v", "-C", "1")
    done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, env=environment, timeout=SECONDS, check=False)
    seen = os.read(ours, 10_000)
    os.close(ours)
    os.close(theirs)
    publish(broker, "shown/terminal", b"", "-r")
    assert (done.returncode, done.stderr) == (0, b"")
    assert seen == b"\x1b[36mshown/terminal\x1b[0m \\x1b]0;title\\x07\r\n"
