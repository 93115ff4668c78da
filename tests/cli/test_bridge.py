"""``telex bridge``: how the bridges of a running broker are, as a person meets it."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec import structs

from telex.cli.bridge import _TITLES, shown
from telex.server.bridge_status import BridgeStatus
from tests.processes import SECONDS, free_port, lines_until, run, running, serve_command, telex, telex_command

CLOUD = BridgeStatus(
    name="cloud",
    state="open",
    since=1_000.0,
    address="mqtts://example.org:8883",
    reason="",
    next_attempt=0.0,
    version="5.0",
    tls="TLSv1.3",
    client_id="house7",
    local_client_id="local.house7",
    queued=0,
    in_flight=3,
    delay=0.0123,
    connections=1,
    messages_sent=12_345,
    messages_received=6,
    bytes_sent=1_000_000,
    bytes_received=700,
    filtered=0,
    looped=0,
    rejected=0,
    refused={},
)


@pytest.fixture(autouse=True)
def run_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the brokers of this test say how to reach them, and no others."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    return tmp_path / "run"


def telex_run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    done = run(*telex_command(*arguments))
    return done.returncode, done.stdout, done.stderr


@dataclass
class House:
    """A broker with bridges."""

    port: int
    process: subprocess.Popen[str]

    def list(self, *flags: str) -> tuple[int, str, str]:
        return telex_run("bridge", "list", "--pid", str(self.process.pid), *flags)

    def hears(self, pattern: str) -> None:
        """Read the log until a line matches; the test's time-out ends a wait in vain."""
        assert self.process.stderr is not None
        assert any(re.search(pattern, line) for line in self.process.stderr), f"the broker ended without {pattern!r}"


@contextmanager
def house(folder: Path, bridges: str) -> Iterator[House]:
    """A broker with bridges, until the block ends."""
    folder.mkdir()
    port = free_port()
    listener = f'data = ""\n[[listeners]]\nhost = "127.0.0.1"\nport = {port}\n'
    (folder / "telex.toml").write_text(listener + bridges)
    with running(*serve_command("-c", str(folder / "telex.toml"))) as process:
        lines_until(process, "stop  ")
        yield House(port, process)


def bridge(name: str, port: int, more: str = "") -> str:
    """A section of telex.toml."""
    return (
        f'[[bridges]]\nname = "{name}"\naddresses = ["mqtt://127.0.0.1:{port}"]\nclient_id = "{name}"\n{more}\n'
        'topics = [{ pattern = "a/#", qos = 1 }]\n'
    )


# Against running brokers


def test_each_bridge_has_a_line_in_the_order_of_the_file(tmp_path: Path) -> None:
    nobody = free_port()
    with telex() as remote:
        sections = (
            bridge("north", remote.port),
            bridge("south", nobody, "restart_first = 300.0\nrestart_most = 300.0"),
            bridge("east", remote.port, 'start = "lazy"'),
        )
        with house(tmp_path / "house", "".join(sections)) as here:
            here.hears("bridge not connected bridge=south")
            assert telex_run("pub", "-p", str(here.port), "-t", "a", "-m", "x", "-q", "1")[0] == 0
            code, out, err = here.list()
            assert (code, err) == (0, "")
            lines = out.splitlines()
            assert re.split("  +", lines[0]) == list(_TITLES)
            names = [each.split()[0] for each in lines[1:] if not each.startswith(" ")]
            assert names == ["north", "south", "east"]
            [south] = [each for each in lines if each.startswith("south ")]
            assert re.fullmatch(
                rf"south +not connected +\d+ s +mqtt://127\.0\.0\.1:{nobody} +1 +0 +[0-9.]+ m?s +0 +0", south
            )
            [east] = [each for each in lines if each.startswith("east ")]
            assert re.fullmatch(rf"east +idle +\d+ s +mqtt://127\.0\.0\.1:{remote.port} +1 +0 +[0-9.]+ m?s +0 +0", east)
            below = lines[lines.index(south) + 1 : lines.index(east)]
            assert "nothing listens there" in below[0]
            assert re.fullmatch(r"  it tries again in (4 min \d+ s|5 min|5 min 0 s)", below[1])
            assert len(below) == 2


def test_what_moved_is_told_and_json_tells_all(tmp_path: Path) -> None:
    with telex() as remote, house(tmp_path / "house", bridge("north", remote.port)) as here:
        here.hears("bridge connected bridge=north")
        subscribe = ("sub", "-p", str(remote.port), "-t", "a/#", "-q", "1", "-C", "2", "-d")
        with running(*telex_command(*subscribe)) as subscriber:
            lines_until(subscriber, "SUBACK")
            for text in ("1", "2"):
                assert telex_run("pub", "-p", str(here.port), "-t", "a/b", "-m", text, "-q", "1")[0] == 0
            assert subscriber.wait(SECONDS) == 0
        code, out, _ = here.list()
        assert code == 0
        assert re.fullmatch(
            rf"north  connected  +\d+ s  mqtt://127\.0\.0\.1:{remote.port}  +0 +[01] +[0-9.]+ m?s +2 +0",
            out.splitlines()[1],
        )
        code, out, _ = here.list("--json")
        assert code == 0
        [told] = json.loads(out)
        assert set(told) == set(structs.asdict(CLOUD))
        assert (told["name"], told["state"], told["messages_sent"], told["version"]) == ("north", "open", 2, "5.0")
        assert (told["client_id"], told["local_client_id"]) == ("north", "local.north")


def test_a_reload_changes_what_is_listed(tmp_path: Path) -> None:
    with telex() as remote, house(tmp_path / "house", "") as here:
        assert here.list() == (0, "no bridges are configured\n", "")
        assert here.list("--json") == (0, "[]\n", "")
        description = tmp_path / "house" / "telex.toml"
        description.write_text(description.read_text() + bridge("north", remote.port))
        assert telex_run("reload", "--pid", str(here.process.pid))[0] == 0
        assert here.list()[1].splitlines()[1].startswith("north ")


# Which broker


def test_the_only_broker_needs_no_name_and_of_several_one_is_named(tmp_path: Path) -> None:
    code, out, err = telex_run("bridge", "list")
    assert (code, out) == (1, "")
    assert err == (
        "telex: no broker of this user runs here; telex bridge has to be run by the user who runs the broker\n"
    )
    with house(tmp_path / "one", "") as one:
        assert telex_run("bridge", "list") == (0, "no bridges are configured\n", "")
        with house(tmp_path / "two", bridge("north", free_port())) as two:
            code, out, err = telex_run("bridge", "list")
            assert (code, out) == (1, "")
            assert "2 brokers run here; say which one: --pid " in err
            assert {str(one.process.pid), str(two.process.pid)} <= set(err.split())
            assert "north" in two.list()[1]
            assert "north" not in one.list()[1]


@pytest.mark.parametrize("arguments", [[], ["show"], ["list", "--pid", "x"], ["list", "cloud"]])
def test_a_wrong_flag_is_one_line(arguments: list[str]) -> None:
    code, out, err = telex_run("bridge", *arguments)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1


# How it is said


def test_columns_stand_below_each_other() -> None:
    away = structs.replace(CLOUD, name="hq", state="waiting", address="ws://hq:80", queued=1_204, delay=75.0)
    assert list(shown([CLOUD, away], 4_661.0)) == [
        "name   state          for        address                   waiting  in flight       delay    sent  received",
        "cloud  connected      1 h 1 min  mqtts://example.org:8883        0          3       12 ms  12,345         6",
        "hq     not connected  1 h 1 min  ws://hq:80                  1,204          3  1 min 15 s  12,345         6",
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reason": "the remote left"}, []),
        ({"state": "waiting", "reason": "no answer", "next_attempt": 104.2}, ["no answer", "it tries again in 5 s"]),
        ({"state": "waiting", "next_attempt": 99.0}, []),
        ({"state": "connecting", "reason": "no answer"}, ["no answer"]),
        ({"state": "idle"}, ["it is lazy: it connects when enough messages wait"]),
        ({"state": "ended", "reason": "gone"}, ["gone", "it is started once, and does not come back"]),
        ({"refused": {"a/#": "not authorized"}}, ["may not subscribe to a/#: not authorized"]),
        ({"rejected": 1}, ["1 message was not taken by the remote broker"]),
        ({"filtered": 2_000}, ["2,000 messages were held back by filters"]),
        ({"looped": 2}, ["2 messages had been here before, or passed too many brokers"]),
    ],
)
def test_what_should_be_known_besides_stands_below(changes: dict[str, object], said: list[str]) -> None:
    status = structs.replace(CLOUD, since=90.0, **changes)
    assert list(shown([status], 100.0))[2:] == [f"  {each}" for each in said]


@pytest.mark.parametrize(
    ("delay", "said"),
    [(0.0, "-"), (0.0004, "0.4 ms"), (0.00999, "10 ms"), (0.25, "250 ms"), (0.9999, "1 s"), (75.4, "1 min 15 s")],
)
def test_a_delay_is_told_as_exactly_as_it_matters(delay: float, said: str) -> None:
    line = list(shown([structs.replace(CLOUD, delay=delay)], 2_000.0))[1]
    assert re.split("  +", line)[-3] == said


def test_a_remote_broker_gives_no_orders_to_the_terminal() -> None:
    status = structs.replace(CLOUD, state="waiting", reason="\x1b[2Jgone\nname", name="a\tb")
    lines = list(shown([status], 2_000.0))
    assert lines[1].startswith("a\\tb ")
    assert lines[2] == "  \\x1b[2Jgone\\nname"


def test_wide_letters_are_counted_by_the_room_that_they_take() -> None:
    first, second = list(shown([structs.replace(CLOUD, name="東京"), CLOUD], 2_000.0))[1:]
    assert first.index("connected") + 2 == second.index("connected") == len("cloud  ")
