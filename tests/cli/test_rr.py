"""``telex rr``: a request, and the response that it prints, compared with Debian's mosquitto_rr."""

import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from telex.cli import rr
from telex.wire.packets import Publish, Subscribe
from tests.cli.test_flags import listening
from tests.processes import SECONDS, Server, find, run, running, telex_command

_ANSWERS = Path(__file__).parent / "answering.py"


@pytest.fixture(autouse=True)
def no_options_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


@contextmanager
def responder(port: int) -> Iterator[None]:
    """A program that answers what comes on ``ask/#`` with ``re:`` and what it was."""
    with running(sys.executable, str(_ANSWERS), str(port)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield


def telex_rr(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    done = run(*telex_command("rr", *arguments), stdin=stdin)
    return done.returncode, done.stdout, done.stderr


# Requests and responses


def test_a_response_is_printed(debian_mosquitto: Server, tmp_path: Path) -> None:
    port = str(debian_mosquitto.port)
    (tmp_path / "file").write_text("from a file")
    with responder(debian_mosquitto.port):
        request = ["-p", port, "-t", "ask/a", "-e", "answers"]
        assert telex_rr(*request, "-m", "x") == (0, "re:x\n", "")
        assert telex_rr(*request, "-m", "x", "-q", "2", "-v") == (0, "answers re:x\n", "")
        assert telex_rr(*request, "-n", "-N") == (0, "re:", "")
        assert telex_rr(*request, "-s", stdin="a\nb") == (0, "re:a\nb\n", "")
        assert telex_rr(*request, "-f", str(tmp_path / "file")) == (0, "re:from a file\n", "")
        assert telex_rr(*request, "-m", "00ff", "--request-format", "hex", "-F", "%x") == (0, "72653a00ff\n", "")
        assert telex_rr("-L", f"mqtt://127.0.0.1:{port}/ask/a", "-e", "answers", "-m", "x") == (0, "re:x\n", "")


def test_without_a_response_topic_it_has_one_of_its_own(debian_mosquitto: Server) -> None:
    with responder(debian_mosquitto.port):
        request = ["-p", str(debian_mosquitto.port), "-t", "ask/a", "-m", "x", "-W", "10"]
        assert telex_rr(*request) == (0, "re:x\n", "")
        code, out, _ = telex_rr(*request, "-q", "1", "-F", "%t")
        assert code == 0
        assert re.fullmatch(r"\S+/\S+\n", out)


def test_before_mqtt_5_a_response_is_what_comes_on_the_topic(debian_mosquitto: Server) -> None:
    request = ["-p", str(debian_mosquitto.port), "-t", "same", "-e", "same", "-m", "x", "-V", "311", "-q", "1"]
    assert telex_rr(*request) == (0, "x\n", "")


def test_correlation_data_and_other_properties_go_with_the_request(debian_mosquitto: Server) -> None:
    with responder(debian_mosquitto.port):
        request = ["-p", str(debian_mosquitto.port), "-t", "ask/a", "-e", "answers", "-m", "x"]
        said = ["-D", "publish", "correlation-data", "me", "-D", "publish", "user-property", "a", "b"]
        assert telex_rr(*request, *said, "-F", "%D %p") == (0, "me re:x\n", "")


def test_a_retained_message_is_no_response_if_that_is_said(broker: Server) -> None:
    port = str(broker.port)
    assert run(*telex_command("pub", "-p", port, "-t", "answers", "-m", "old", "-r")).returncode == 0
    request = ["-p", port, "-t", "ask/a", "-e", "answers", "-m", "x", "-W", "10"]
    with responder(broker.port):
        assert telex_rr(*request) == (0, "old\n", "")
        assert telex_rr(*request, "-R") == (0, "re:x\n", "")
        assert telex_rr(*request, "-R", "-V", "311", "-W", "0.5")[0] == 27  # our responder cannot know where to answer
        assert telex_rr(*request, "--retain-handling", "never") == (0, "re:x\n", "")
    assert telex_rr(*request, "--retain-as-published", "-F", "%r %p") == (0, "1 old\n", "")
    assert run(*telex_command("pub", "-p", port, "-t", "answers", "-n", "-r")).returncode == 0


def test_what_nobody_answers_ends_with_code_27(debian_mosquitto: Server) -> None:
    request = ["-p", str(debian_mosquitto.port), "-t", "silence", "-m", "x", "-W", "1"]
    assert telex_rr(*request, "-e", "answers") == (27, "", "telex: Timed out\n")
    assert telex_rr(*request) == (27, "", "telex: Timed out\n")
    theirs = run(find("mosquitto_rr"), *request, "-e", "answers")
    assert theirs.returncode == 27


def test_it_says_how_long_it_took(debian_mosquitto: Server) -> None:
    request = ["-p", str(debian_mosquitto.port), "-t", "same", "-e", "same", "-m", "x", "--latency"]
    code, out, err = telex_rr(*request)
    assert (code, out) == (0, "x\n")
    assert re.fullmatch(r"telex: the response took \d+\.\d{3} ms\n", err)


def test_a_connection_that_is_lost_is_told_at_once() -> None:
    with listening(answers=False) as peer:
        request = ["-h", "127.0.0.1", "-p", str(peer.port), "-t", "a", "-e", "b", "-m", "x"]
        with running(*telex_command("rr", *request)) as process:
            peer.until_quiet()
            peer.hang_up()
            assert process.wait(SECONDS) == 1
            assert process.stderr is not None
            assert process.stderr.read().count("\n") == 1


# As mosquitto_rr


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["-v"],
        ["-N"],
        ["-q", "2"],
        ["-V", "311"],
        ["-V", "31", "-i", "me"],
        ["-F", "%t %p %q %r %l %x"],
        ["-D", "publish", "user-property", "a", "b", "-D", "subscribe", "user-property", "c", "d"],
        ["-D", "publish", "content-type", "text/plain", "-F", "%C %P"],
        ["--retain-as-published"],
        ["-W", "5"],
        ["-n"],
        ["-m", "y"],
        ["-e", "a/#"],
        ["-t", "a/#"],
        ["-W", "0"],
        ["-F", "%Q"],
        ["-l"],
        ["-r"],
        ["-C", "1"],
        ["-D", "publish", "response-topic", "z"],
        ["-c"],
        ["-k", "1"],
    ],
)
def test_mosquitto_rr_prints_the_same_and_ends_with_the_same_code(debian_mosquitto: Server, flags: list[str]) -> None:
    request = ["-p", str(debian_mosquitto.port), "-t", "same", "-e", "same"]
    words = [*request, *([] if "-n" in flags else ["-m", "x"]), *flags]
    theirs = run(find("mosquitto_rr"), *words)
    ours = run(*telex_command("rr", *words))
    assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout)


@pytest.mark.parametrize("version", ["311", "5"])
def test_mosquitto_rr_sends_the_same(version: str) -> None:
    with listening(answers=False) as peer:
        request = ["-h", "127.0.0.1", "-p", str(peer.port), "-t", "a", "-e", "b", "-m", "x", "-W", "1", "-V", version]
        for command in ([find("mosquitto_rr"), *request], telex_command("rr", *request)):
            assert run(*command).returncode == 27
    theirs, ours = [
        [meaning(packet) for packet in packets if isinstance(packet, Subscribe | Publish)] for packets in peer.visits
    ]
    assert ours == theirs
    assert len(ours) == 2


def meaning(packet: Subscribe | Publish) -> tuple[object, ...]:
    """A packet without what each client numbers by itself."""
    if isinstance(packet, Subscribe):
        return tuple(packet.requests)
    return packet.topic, packet.payload, packet.qos, packet.properties


# What is refused


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["-m", "x"], "-t TOPIC is needed: where to send the request"),
        (["-t", "a", "-e", "b"], "what is to be sent? Give one of -m, -f, -n and -s;"),
        (["-t", "a", "-m", "x", "-V", "311"], "-e TOPIC is needed before MQTT 5: where the response comes"),
        (["-t", "a", "-m", "x", "-R"], "-R is for a response topic that you know: -e TOPIC"),
        (["-t", "a", "-m", "x", "-D", "subscribe", "user-property", "a", "b"], "-D subscribe is for a response topic"),
        (
            ["-t", "a", "-m", "x", "-D", "publish", "correlation-data", "x"],
            "-D publish correlation-data needs a response topic that you know: -e TOPIC",
        ),
        (
            ["-t", "a", "-e", "b", "-m", "x", "-D", "subscribe", "subscription-identifier", "5"],
            "the client numbers its subscriptions by itself",
        ),
        (["-t", "a", "-e", "b", "-m", "x", "-D", "publish", "response-topic", "c"], "give -e TOPIC instead"),
        (["-t", "a", "-e", "b", "-m", "x", "-V", "311", "--retain-as-published"], "--retain-as-published needs MQTT 5"),
        (["-t", "a", "-e", "b", "-m", "x", "-V", "311", "--retain-handling", "new"], "--retain-handling needs MQTT 5"),
        (["-t", "a", "-e", "b", "-m", "x", "-V", "311", "-M", "5"], "it cannot be told that before MQTT 5: -V 5"),
        (["-t", "a", "-e", "b", "-m", "x", "-D", "unsubscribe", "user-property", "a", "b"], "telex rr sends no UNSUB"),
        (["-t", "a", "-e", "b", "-m", "{", "--request-format", "json"], "-m: '{' is not JSON: "),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    capsys: pytest.CaptureFixture[str], flags: list[str], said: str
) -> None:
    try:
        code: object = rr.run(flags)
    except SystemExit as ended:
        code = ended.code
    assert code == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1


def test_its_help_tells_of_formats(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        rr.run(["--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "-e, --response-topic" in out or "-e RESPONSE_TOPIC" in out
    assert "%t topic" in out


def test_the_time_is_up_also_for_a_broker_that_answers_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(SECONDS)
        request = ["-h", "127.0.0.1", "-p", str(server.getsockname()[1]), "-t", "a", "-e", "b", "-m", "x", "-W", "1"]
        with running(*telex_command("rr", *request)) as process:
            client, _ = server.accept()
            with client:
                client.settimeout(SECONDS)
                assert client.recv(65_536)[0] == 0x10  # CONNECT
                client.sendall(b"\x20\x03\0\0\0")
                assert process.wait(SECONDS) == 27
                assert process.stderr is not None
                assert process.stderr.read() == "telex: Timed out\n"
