"""``telex pub``: what it publishes, in which formats, how fast it begins, and how it ends."""

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
from contextlib import closing, suppress
from pathlib import Path

import msgspec
import pytest

from telex.wire.packets import Publish
from tests.cli.test_flags import listening
from tests.processes import SECONDS, Server, lines_until, run, running, serve_command, telex, telex_command


@pytest.fixture(autouse=True)
def no_options_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def pub(*arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
    """Exit code, standard output, standard error of ``telex pub``."""
    done = subprocess.run(
        telex_command("pub", *arguments), input=stdin, capture_output=True, timeout=SECONDS, check=False
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def published(*arguments: str, stdin: bytes = b"") -> list[Publish]:
    """What ``telex pub`` publishes."""
    with listening() as peer:
        done = pub("-h", "127.0.0.1", "-p", str(peer.port), "-t", "a", *arguments, stdin=stdin)
        assert done == (0, "", "")
    return [packet for packet in peer.visits[0] if isinstance(packet, Publish)]


def payloads(*arguments: str, stdin: bytes = b"") -> list[bytes]:
    """The payloads of what ``telex pub`` publishes."""
    return [packet.payload for packet in published(*arguments, stdin=stdin)]


# Payloads


def test_a_payload_is_a_text_a_file_nothing_or_standard_input(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"\0\xff\n")
    assert payloads("-m", "21.5") == [b"21.5"]
    assert payloads("-m", "") == [b""]
    assert payloads("-m", "--") == [b"--"]
    assert payloads("-n") == [b""]
    assert payloads("-f", str(file)) == [b"\0\xff\n"]
    assert payloads("-s", stdin=b"a\nb\r\n\xff") == [b"a\nb\r\n\xff"]
    file.write_bytes(b"")
    assert payloads("-f", str(file)) == [b""]


def test_a_text_is_sent_as_the_shell_gave_it() -> None:
    with listening() as peer:
        command: list[str | bytes] = [*telex_command("pub", "-h", "127.0.0.1", "-p", str(peer.port), "-t", "a", "-m")]
        subprocess.run([*command, b"\xff\xfe"], timeout=SECONDS, check=True)
    assert [each.payload for each in peer.visits[0] if isinstance(each, Publish)] == [b"\xff\xfe"]


def test_each_line_is_a_message_and_nothing_of_it_is_lost() -> None:
    assert payloads("-l", stdin=b"a\r\nb\n\n c \n\xff\nd") == [b"a\r", b"b", b"", b" c ", b"\xff", b"d"]
    assert payloads("-l", stdin=b"a\n") == [b"a"]
    assert payloads("-l", stdin=b"") == []
    long = b"x" * 1_000_000
    assert payloads("-l", stdin=b"%b\n%b" % (long, long)) == [long, long]


def test_lines_end_where_count_says() -> None:
    assert payloads("-l", "--count", "2", stdin=b"a\nb\nc\n") == [b"a", b"b"]
    assert payloads("-l", "--count", "3", stdin=b"a\nb\n") == [b"a", b"b"]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_every_line_arrives_in_its_order(qos: int) -> None:
    count = 20_000
    sent = b"".join(b"%d\n" % number for number in range(count))
    assert payloads("-l", "-q", str(qos), "-V", "5", stdin=sent) == [b"%d" % number for number in range(count)]


def test_a_message_may_be_repeated() -> None:
    assert payloads("-m", "x", "--repeat", "3") == [b"x"] * 3
    assert payloads("-m", "x", "--repeat", "2500", "-q", "1") == [b"x"] * 2_500
    assert payloads("-m", "x", "--repeat", "2", "--repeat-delay", "0.05") == [b"x"] * 2


@pytest.mark.parametrize(
    ("name", "written", "payload"),
    [
        ("text", "grün", "grün".encode()),
        ("json", '{"a": [1, 2.50]}', b'{"a": [1, 2.50]}'),
        ("hex", "00 ffAB", b"\0\xff\xab"),
        ("hex", "", b""),
        ("base64", "AP+r", b"\0\xff\xab"),
        ("base64", "AP \nc=", b"\0\xf7"),
        ("msgpack", '{"a": [1, null]}', msgspec.msgpack.encode({"a": [1, None]})),
    ],
)
def test_a_payload_may_be_written_in_a_format(tmp_path: Path, name: str, written: str, payload: bytes) -> None:
    assert payloads("--format", name, "-m", written) == [payload]
    file = tmp_path / "file"
    file.write_text(written)
    assert payloads("--format", name, "-f", str(file)) == [payload]
    if "\n" not in written and written:
        assert payloads("--format", name, "-l", stdin=f"{written}\n{written}\n".encode()) == [payload, payload]


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        (["--format", "json", "-m", "{"], b"", "-m: '{' is not JSON: "),
        (["--format", "msgpack", "-m", "nope"], b"", "-m: 'nope' is not JSON: "),
        (["--format", "hex", "-m", "abc"], b"", "-m: 'abc' is not hexadecimal, expected two digits a byte"),
        (["--format", "hex", "-m", "0x41"], b"", "-m: '0x41' is not hexadecimal"),
        (["--format", "base64", "-m", "A"], b"", "-m: 'A' is not base64: "),
        (["--format", "base64", "-m", "A*=="], b"", "-m: 'A*==' is not base64: "),
        (["--format", "text", "-s"], b"ab\xff", "standard input: 'ab\\xff' is not UTF-8: byte 3 cannot be there"),
        (["--format", "text", "-n"], b"", "-n sends nothing, which has no format"),
        (["--format", "yaml", "-m", "x"], b"", "argument --format: invalid choice: 'yaml'"),
        (["-f", "/nowhere"], b"", "cannot read /nowhere: No such file or directory"),
        (["-f", "/"], b"", "cannot read /: Is a directory"),
        (["-s"], b"", "standard input is empty; -n sends an empty message"),
        (["-l", "--repeat", "2"], b"", "--repeat is for one message, and -l sends each line; leave it out"),
        (["-m", "x", "--repeat-delay", "1"], b"", "--repeat-delay is for --repeat COUNT"),
        (["-m", "x", "--repeat", "2", "--repeat-delay", "x"], b"", "'x' is not a time in seconds"),
        (["-m", "x", "--count", "2"], b"", "--count is for the lines of -l; give --repeat"),
        (["-m", "x", "--timeout", "0"], b"", "'0' is no time to wait"),
    ],
)
def test_what_cannot_be_published_is_one_line(arguments: list[str], stdin: bytes, said: str) -> None:
    code, out, err = pub("-t", "a", *arguments, stdin=stdin)
    assert (code, out) == (1, "")
    assert err.startswith("telex: ")
    assert said in err
    assert err.count("\n") == 1


def test_a_line_that_is_not_of_the_format_is_named_and_those_before_it_are_sent(broker: Server) -> None:
    with running(*telex_command("sub", "-p", str(broker.port), "-t", "lines/#", "-t", "ready", "-C", "3")) as sub:
        assert run(*telex_command("pub", "-p", str(broker.port), "-t", "ready", "-m", "go", "-r")).returncode == 0
        lines_until(sub, "go")
        command = ["-p", str(broker.port), "-t", "lines/a", "-l", "--format", "json", "-q", "1"]
        code, out, err = pub(*command, stdin=b'1\n{"a": 2}\n{\n4\n')
        assert (code, out) == (1, "")
        assert err.startswith("telex: line 3: '{' is not JSON: ")
        assert sub.stdout is not None
        assert sub.stdout.read() == '1\n{"a": 2}\n'


def test_properties_go_with_each_message() -> None:
    said = ["-D", "publish", "correlation-data", "x", "-D", "publish", "content-type", "y"]
    for arguments, stdin in ((["-m", "1", "--repeat", "2"], b""), (["-l"], b"1\n1\n")):
        found = published(*said, *arguments, stdin=stdin)
        assert [(each.payload, each.properties.correlation_data) for each in found if each.properties] == [
            (b"1", b"x")
        ] * 2
        assert {each.properties.content_type for each in found if each.properties} == {"y"}


def test_no_more_than_so_many_messages_are_on_their_way() -> None:
    """A broker that holds its answers back sees how many there are."""
    with listening(answers=False) as peer:
        command = telex_command("pub", "-h", "127.0.0.1", "-p", str(peer.port), "-t", "a", "-m", "x", "-q", "1")
        with running(*command, "--repeat", "100", "-M", "7") as process:
            peer.until_quiet()
            assert sum(isinstance(packet, Publish) for packet in peer.visits[0]) == 7
            process.terminate()


# How it ends


def test_it_tells_as_json_what_it_did(broker: Server) -> None:
    command = ["-p", str(broker.port), "-t", "grün", "-l", "-q", "1", "--json"]
    code, out, err = pub(*command, stdin=b"a\nbc\n")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert 0 < told.pop("seconds") < SECONDS
    assert told == {"topic": "grün", "qos": 1, "retain": False, "messages": 2, "bytes": 3, "error": None}
    code, out, err = pub("-p", str(broker.port), "-t", "$SYS/a", "-m", "x", "-q", "1", "-V", "5", "--json")
    assert code == 0x87
    assert json.loads(out)["error"] in err


def test_a_refused_message_is_told_with_its_code(broker: Server) -> None:
    code, out, err = pub("-p", str(broker.port), "-t", "$SYS/a", "-l", "-q", "1", "-V", "5", stdin=b"a\nb\n")
    assert (code, out) == (0x87, "")
    assert re.fullmatch(r"telex: .*0x87 not authorized; 2 of 2 were refused\n", err)


def test_quiet_leaves_the_exit_code_alone(broker: Server) -> None:
    command = ["-p", str(broker.port), "-t", "$SYS/a", "-m", "x", "-q", "1", "-V", "5", "--quiet"]
    assert pub(*command) == (0x87, "", "")
    assert pub("-p", "1", "-t", "a", "-m", "x", "--quiet") == (1, "", "")


def test_its_time_may_be_limited() -> None:
    with listening(answers=False) as peer:
        command = ["-h", "127.0.0.1", "-p", str(peer.port), "-t", "a", "-m", "x", "-q", "1", "--timeout", "0.3"]
        assert pub(*command) == (27, "", "telex: Timed out\n")
        code, out, _ = pub(*command, "--json")
        assert (code, json.loads(out)["error"]) == (27, "Timed out")


def test_input_waits_for_a_broker_that_does_not_read() -> None:
    """However much there is; and when the time is up, nothing else is said."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        flags = ["-h", "127.0.0.1", "-p", str(server.getsockname()[1]), "-t", "a", "-l", "--timeout", "2"]
        with subprocess.Popen(telex_command("pub", *flags), stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            server.settimeout(SECONDS)
            client, _ = server.accept()
            with client:
                client.settimeout(SECONDS)
                assert client.recv(65_536)[0] == 0x10  # CONNECT
                client.sendall(b"\x20\x02\0\0")
                assert process.stdin is not None
                assert process.stderr is not None
                written = 0
                with suppress(BrokenPipeError):
                    while written < 1 << 30:
                        written += process.stdin.write(b"x" * 65_535 + b"\n")
                assert process.wait(SECONDS) == 27
                assert process.stderr.read() == b"telex: Timed out\n"
                assert written < 1 << 26  # what buffers hold, those of the system too


def test_lines_wait_for_a_broker_that_is_gone_and_comes_back() -> None:
    with telex() as server:
        port = str(server.port)
        command = telex_command("pub", "-p", port, "-t", "a", "-l", "-q", "1", "-r")
        kept = telex_command("sub", "-p", port, "-t", "a", "-C", "1")
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stderr is not None
            process.stdin.write("first\n")
            process.stdin.flush()
            assert run(*kept).stdout == "first\n"
            server.process.terminate()
            server.process.wait(SECONDS)
            assert re.match(r"telex: lost the connection .*; trying again in \d", process.stderr.readline())
            process.stdin.write("second\n")
            process.stdin.close()
            with running(*serve_command("-p", port, "-q", "--memory")) as again:
                lines_until(again, "stop  ")
                assert process.wait(SECONDS) == 0
                assert run(*kept).stdout == "second\n"


def test_one_message_does_not_wait_for_a_broker_that_is_gone() -> None:
    with listening(answers=False) as peer:
        command = telex_command("pub", "-h", "127.0.0.1", "-p", str(peer.port), "-t", "a", "-m", "x", "-q", "1")
        with running(*command) as process:
            peer.until_quiet()
            peer.hang_up()
            assert process.wait(SECONDS) == 1
            assert process.stderr is not None
            assert process.stderr.read().count("\n") == 1


def test_ctrl_c_ends_it_in_silence() -> None:
    with listening(answers=False) as peer:
        command = telex_command("pub", "-h", "127.0.0.1", "-p", str(peer.port), "-t", "a", "-m", "x", "-q", "1")
        with running(*command) as process:
            peer.until_quiet()
            process.send_signal(signal.SIGINT)
            assert process.wait(SECONDS) == 130
            assert process.stderr is not None
            assert process.stderr.read() == ""


# The progress line


def test_somebody_who_looks_on_sees_how_far_it_is(broker: Server) -> None:
    ours, theirs = pty.openpty()
    command = telex_command("pub", "-p", str(broker.port), "-t", "a", "-l")
    with closing(os.fdopen(ours, "rb", buffering=0)) as terminal:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=theirs) as process:
            os.close(theirs)
            assert process.stdin is not None
            process.stdin.write(b"x\n" * 1_234)
            process.stdin.flush()
            seen = b""
            while b"1,234 messages, 1,234 bytes in " not in seen:
                assert select.select([terminal], [], [], SECONDS)[0]
                seen += terminal.read(4_096)
            process.stdin.close()
            assert process.wait(SECONDS) == 0
        assert re.search(rb"\r\x1b\[K1,234 messages, 1,234 bytes in \d+\.\d s; [\d,]+ messages/s\r", seen)


def test_a_program_that_reads_its_errors_sees_no_progress() -> None:
    assert published("-l", stdin=b"x\n" * 50_000)
