"""Where ``telex serve`` keeps what must outlive it, and how its limits are set, as a person meets it."""

import asyncio
import re
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from telex.cli import serve
from telex.server.toml import LIMITS
from telex.wire.packets import Connect
from telex.wire.properties import Properties
from tests.processes import Server, lines_until, run, running, serve_command, telex_command
from tests.shell.raw import connected


def telex_run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    done = run(*telex_command(*arguments))
    return done.returncode, done.stdout, done.stderr


@contextmanager
def serving(*arguments: str) -> Iterator[Server]:
    """``telex serve`` on a free port, with nothing else said than this."""
    with running(*serve_command("-p", "0", "-q", *arguments)) as process:
        banner = lines_until(process, "stop  ")
        found = re.search(r"mqtt://\S+:(\d+)", banner)
        assert found is not None
        yield Server(int(found[1]), process, banner)


def place_of(server: Server) -> str:
    """Where the banner says that data is."""
    found = re.search(r"^  data +(.+)$", server.banner, re.MULTILINE)
    assert found is not None
    return found[1]


def retains(server: Server, payload: str) -> None:
    assert telex_run("pub", "-p", str(server.port), "-t", "kept", "-m", payload, "-r", "-q", "1")[0] == 0


def has_retained(server: Server) -> str | None:
    """What ``retains`` left; None: nothing. What comes then is retained in any case."""
    command = ("sub", "-p", str(server.port), "-t", "kept", "-t", "$SYS/broker/version", "-C", "1", "-v")
    code, out, _ = telex_run(*command)
    assert code == 0
    topic, _, payload = out.rstrip("\n").partition(" ")
    return payload if topic == "kept" else None


# Where


@pytest.mark.parametrize("durability", [[], ["--durability", "strict"], ["--durability", "relaxed"]])
def test_what_is_kept_is_there_at_the_next_start(tmp_path: Path, durability: list[str]) -> None:
    data = tmp_path / "new" / "place"
    with serving("--data", str(data), *durability) as server:
        assert place_of(server) == str(data)
        retains(server, "21.5")
    with serving("--data", str(data), *durability) as server:
        assert has_retained(server) == "21.5"


def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    with serving("--data", str(tmp_path)) as server:
        for number in range(3):
            retains(server, str(number))
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(10)
    with serving("--data", str(tmp_path)) as server:
        assert has_retained(server) == "2"


def test_a_service_keeps_it_in_the_directory_that_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd's StateDirectory=: the first, if there are many."""
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path / 'telex'}:{tmp_path / 'another'}")
    with serving() as server:
        assert place_of(server) == str(tmp_path / "telex")
        retains(server, "21.5")
    assert [each.name for each in tmp_path.iterdir()] == ["telex"]
    with serving() as server:
        assert has_retained(server) == "21.5"


def test_in_memory_nothing_is_kept_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STATE_DIRECTORY", "XDG_DATA_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    for _ in range(2):
        with serving("--memory") as server:
            assert place_of(server) == "in memory: it ends with the broker"
            assert has_retained(server) is None
            retains(server, "21.5")
    assert telex_run("demo", "-p", "0", "--no-http", "--seconds", "0.1")[0] == 0
    assert list(tmp_path.iterdir()) == []


def as_user(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr("telex.cli.serve.os.geteuid", lambda: number)
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)


@pytest.mark.skipif(sys.platform != "linux", reason="the conventions of Linux")
def test_the_default_is_where_the_platform_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_user(monkeypatch, 0)
    assert serve.data_directory() == Path("/var/lib/telex")
    as_user(monkeypatch, 1_000)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert serve.data_directory() == tmp_path / ".local" / "share" / "telex"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert serve.data_directory() == tmp_path / "data" / "telex"
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    assert serve.data_directory() == tmp_path / "state"
    assert list(tmp_path.iterdir()) == []  # to ask is not to make


@pytest.mark.parametrize("place", ["/var/lib/somewhere", "/srv/100%d", "/srv/%(prog)s"])
def test_the_help_tells_the_default(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", place)
    monkeypatch.setenv("COLUMNS", "200")
    code, out, err = telex_run("serve", "--help")
    assert (code, err) == (0, "")
    assert f"({place})" in out


# Why not


def test_a_second_broker_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    with serving("--data", str(tmp_path)) as server:
        retains(server, "21.5")
        assert telex_run("serve", "-p", "0", "--data", str(tmp_path)) == (
            1,
            "",
            f"telex: another broker uses {tmp_path / 'telex.db'}: stop it, or choose another directory for this one: "
            "with --data DIR, or keep nothing: --memory\n",
        )
        assert has_retained(server) == "21.5"
        with serving("--memory"), serving("--data", str(tmp_path / "another")):
            pass


def test_a_directory_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, out, err = telex_run("serve", "-p", "0", "--data", str(tmp_path / "file" / "data"))
    assert (code, out) == (1, "")
    assert re.fullmatch(
        rf"telex: {re.escape(str(tmp_path))}/file/data cannot be written by user \w+: Not a directory; "
        r"give it to that user, or choose another directory: with --data DIR, or keep nothing: --memory\n",
        err,
    )


def test_a_newer_store_is_one_line(tmp_path: Path) -> None:
    with serving("--data", str(tmp_path)):
        pass
    with closing(sqlite3.connect(tmp_path / "telex.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    code, out, err = telex_run("serve", "-p", "0", "--data", str(tmp_path))
    assert (code, out) == (1, "")
    assert f"{tmp_path / 'telex.db'} was written by a newer Telex (schema 99" in err
    assert "install that version again, or choose another directory: with --data DIR" in err
    assert err.count("\n") == 1


def test_a_damaged_store_is_one_loud_line_and_the_broker_starts(tmp_path: Path) -> None:
    (tmp_path / "telex.db").write_bytes(b"no database " * 1_000)
    with serving("--data", str(tmp_path)) as server:
        retains(server, "21.5")
        server.process.terminate()
        assert server.process.wait(10) == 0
        assert server.process.stderr is not None
        err = server.process.stderr.read()
    assert err.count("\n") == 1
    assert f" DAMAGED STORE: {tmp_path / 'telex.db'} (" in err
    (aside,) = tmp_path.glob("telex.db.damaged-*")
    assert str(aside) in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "x", "--memory"], "argument --memory: not allowed with argument --data; see telex serve --help"),
        (["--data"], "argument --data: expected one argument; see telex serve --help"),
        (["--durability", "fast"], "argument --durability: invalid choice: 'fast' (choose from"),
        (["--set"], "argument --set: expected one argument; see telex serve --help"),
        (
            ["--set", "max_queued_message=5"],
            "--set max_queued_message=5: expected NAME=VALUE with the name of a limit; "
            "did you mean max_queued_messages?",
        ),
        (
            ["--set", "colour=blue"],
            "--set colour=blue: expected NAME=VALUE with the name of a limit; docs/limits.md lists them",
        ),
        (["--set", "max_queued_messages"], "--set max_queued_messages: expected NAME=VALUE"),
        (["--set", "=5"], "--set =5: expected NAME=VALUE with the name of a limit"),
        (["--set", ""], "--set : expected NAME=VALUE with the name of a limit"),
        (
            ["--set", "queue_drops_oldest=true"],
            "expected NAME=VALUE with the name of a limit; did you mean queue_drops?",
        ),
        (["--set", "__init__=1"], "expected NAME=VALUE with the name of a limit"),
        (["--set", "max_queued_messages=many"], "--set max_queued_messages=many: expected a whole number"),
        (["--set", "max_queued_messages="], "--set max_queued_messages=: expected a whole number"),
        (["--set", "max_queued_messages=-1"], "--set max_queued_messages=-1: expected a whole number"),
        (["--set", "max_queued_messages=1.5"], "--set max_queued_messages=1.5: expected a whole number"),
        (["--set", "max_queued_messages=²"], "--set max_queued_messages=²: expected a whole number"),
        (["--set", "max_queued_messages=0"], "max_queued_messages is 0, expected 1 to 1,"),
        (["--set", "maximum_qos=3"], "maximum_qos is 3, expected 0 to 2"),
        (["--set", "receive_maximum=5", "--set", "receive_maximum=0"], "receive_maximum is 0, expected 1 to 65,535"),
        (["--set", "retain_available=yes"], "--set retain_available=yes: expected true or false"),
        (["--set", "queue_drops=any"], "queue_drops is 'any', expected one of newest, oldest"),
    ],
)
def test_a_wrong_word_is_one_line_with_the_right_one(tmp_path: Path, arguments: list[str], said: str) -> None:
    place = [] if "--data" in arguments else ["--memory"]
    code, out, err = telex_run("serve", "-p", "0", *place, *arguments)
    assert (code, out) == (1, "")
    assert err.startswith(f"telex: {said}") or said in err
    assert err.count("\n") == 1


def test_the_name_that_is_right_is_not_proposed() -> None:
    _, _, err = telex_run("serve", "-p", "0", "--memory", "--set", "max_queued_messages")
    assert "did you mean max_queued_messages" not in err


# Limits


def test_limits_are_set_by_their_names() -> None:
    async def asks(port: int) -> Properties | None:
        async with connected(port, Connect("c")) as client:
            return client.connack.properties

    limits = ("maximum_qos=1", "retain_available=false", "receive_maximum=20", "topic_alias_maximum=7")
    arguments = [word for limit in (*limits, "receive_maximum=30") for word in ("--set", limit)]
    with serving("--memory", *arguments) as server:
        assert asyncio.run(asks(server.port)) == Properties(
            maximum_qos=1,
            retain_available=0,
            receive_maximum=30,  # the last word
            topic_alias_maximum=7,
            maximum_packet_size=2_000_000,
        )


def test_every_limit_can_be_set() -> None:
    """Each to what it is anyway: then it is known, and of the right kind."""
    assert len(LIMITS) > 20
    texts = [f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in LIMITS.items()]
    assert serve.limits_from(texts) == LIMITS
    assert serve.limits_from([]) == {}


def test_an_equals_sign_may_be_part_of_a_value() -> None:
    assert serve.limits_from(["response_information=a=b"]) == {"response_information": "a=b"}
