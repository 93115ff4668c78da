"""``telex bench``: which flags ask for what, which are refused, and how what came of a run is told."""

import json
import os
import re
import signal
import struct
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree

import pytest

from telex.bench import run as bench_run
from telex.bench.plan import KINDS, Kind, Plan
from telex.bench.result import Progress, Result
from telex.cli import bench
from telex.errors import NotConnected, Refused, Untrusted
from tests.bench.test_table import a_result
from tests.processes import SECONDS, free_port, telex, telex_command

needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")


@pytest.fixture(autouse=True)
def no_options_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def planned(*words: str) -> Plan:
    return bench.planned(bench.parsed(words))


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The line that the command refuses them with."""
    with pytest.raises(SystemExit) as ended:
        sys.exit(bench.run(words))
    assert ended.value.code == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"telex: [^\n]+\n", err)
    return re.sub(r"; see telex bench( \w+)? --help$", "", err.removeprefix("telex: ").removesuffix("\n"))


# What flags ask for


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("pairs", {"publishers": 1, "subscribers": 1, "qos": 0, "size": 64, "version": 4, "rate": 0.0, "watch": 0}),
        ("pairs -c 10", {"publishers": 10, "subscribers": 10}),
        ("latency", {"rate": 1_000.0}),
        ("latency -c 3 --rate 0.5", {"publishers": 3, "subscribers": 3, "rate": 0.5}),
        ("pub", {"publishers": 1, "subscribers": 0}),
        ("pub -c 5", {"publishers": 5, "subscribers": 0}),
        ("pub --publishers 5", {"publishers": 5}),
        ("sub -c 5", {"publishers": 0, "subscribers": 5}),
        ("fanout", {"publishers": 1, "subscribers": 100}),
        ("fanout -c 5", {"publishers": 1, "subscribers": 5}),
        ("fanin -c 5", {"publishers": 5, "subscribers": 1}),
        ("connect -c 5", {"publishers": 5}),
        ("churn --rate 2k", {"publishers": 10, "rate": 2_000.0}),
        ("mixed --publishers 7 --subscribers 3", {"publishers": 7, "subscribers": 3}),
        ("pub -s 1k", {"size": 1_024}),
        ("pub --size 16M", {"size": 16 << 20}),
        ("pub -q 2 -d 60 --warm-up 0", {"qos": 2, "seconds": 60.0, "warm_up": 0.0}),
        ("pub --window 20 --processes 4", {"window": 20, "processes": 4}),
        ("pub -V 5 --alias --user-properties 2 --retain", {"alias": True, "user_properties": 2, "retain": True}),
        ("pub -V 31", {"version": 3}),
        ("pub -V 5", {"version": 5}),
        ("pub --topics 9 --depth 7 --prefix lab", {"topics": 9, "depth": 7, "prefix": "lab"}),
        ("pub -L mqtt://ann:secret@x/lab", {"prefix": "lab", "user": "ann", "password": b"secret"}),
        ("pub -u ann -P secret", {"user": "ann", "password": b"secret"}),
        ("pairs -V 5 --share us --wildcard # --kept", {"share": "us", "wildcard": "#", "kept": True}),
        (
            "pub --idle 5 --subscriptions 2 --idle-filter {prefix}/+/{}",
            {"idle": 5, "subscriptions": 2, "idle_filter": "{prefix}/+/{}"},
        ),
        ("pub --idle 5", {"idle": 5, "subscriptions": 1, "idle_filter": "{prefix}/idle/{}"}),
        ("pub --retained 1000 --connect-rate 50", {"retained": 1_000, "connect_rate": 50.0}),
        ("pub -k 9 --watch 7", {"keep_alive": 9, "watch": 7}),
    ],
)
def test_flags_ask_for_what_they_say(words: str, asked: dict[str, Any]) -> None:
    plan = planned(*words.split())
    assert {name: getattr(plan, name) for name in asked} == asked


@pytest.mark.parametrize(
    ("words", "address"),
    [
        ("-h broker.example -p 1884", "mqtt broker.example 1884"),
        ("-L ws://broker.example", "ws broker.example 80"),
        ("--ws -h broker.example -p 8080", "ws broker.example 8080"),
        ("-L mqtts://broker.example", "mqtts broker.example 8883"),
    ],
)
def test_the_broker_is_where_the_flags_say(words: str, address: str) -> None:
    found = planned("pub", *words.split()).dialer.address
    assert f"{found.scheme} {found.host} {found.port}" == address


def test_a_unix_socket_is_a_broker_too(tmp_path: Path) -> None:
    assert planned("pub", "--unix", str(tmp_path / "s")).dialer.address.path == str(tmp_path / "s")


def test_flags_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "telex").mkdir()
    (tmp_path / "telex" / "bench").write_text("-h broker.example\n-s 1k\n")
    plan = planned("pub", "-s", "128")
    assert (plan.dialer.address.host, plan.size) == ("broker.example", 128)


# What is refused


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", f"the first word says what to measure, as in telex bench pairs: {', '.join(KINDS)}"),
        ("-q 1 pairs", f"the first word says what to measure, as in telex bench pairs: {', '.join(KINDS)}"),
        ("pair", "'pair' is nothing that can be measured; did you mean pairs?"),
        ("xyz", f"'xyz' is nothing that can be measured; there are {', '.join(KINDS)}"),
        (
            "pub -s 15",
            "argument -s/--size: '15' is no size of a payload, expected 16 to 16777216 bytes, as 64, 1k or 16M",
        ),
        (
            "pub -s 17M",
            "argument -s/--size: '17M' is no size of a payload, expected 16 to 16777216 bytes, as 64, 1k or 16M",
        ),
        ("pub --rate 0", "argument --rate: '0' is no number a second, expected one above 0, as 0.5, 1000 or 10k"),
        ("pub --rate 1_0", "argument --rate: '1_0' is no number a second, expected one above 0, as 0.5, 1000 or 10k"),
        ("pub -d 0", "argument -d/--seconds: '0' is no time to wait"),
        ("pub -c 0", "argument -c/--clients: '0' is not a number from 1 to 10000000"),
        ("pub --clients 2 --publishers 2", "-c and --publishers say the same thing; give one of them"),
        ("pub --subscriptions 2", "--subscriptions is about idle clients, and there are none: give --idle COUNT"),
        ("pub --idle-filter a", "--idle-filter is about idle clients, and there are none: give --idle COUNT"),
        ("pub -L mqtt://x/a --prefix b", "the topic of -L and --prefix say the same thing; give one of them"),
        ("pub --prefix a/+", "topic name 'a/+': '+' and '#' are for filters only"),
        ("pub --alias", "--alias is of MQTT 5: give -V 5 too"),
        ("pairs --share us", "--share is of MQTT 5: give -V 5 too"),
        ("pub --topics 2 --depth 2", "--topics and --wildcard need a third level: --depth 3, and not 2"),
        ("pub --size 64 --nope", "there is no flag --nope"),
        ("pub --publisher 5", "there is no flag --publisher; did you mean --publishers?"),
        ("pub --save /nowhere/x", "cannot write /nowhere/x: there is no directory /nowhere"),
        ("pub --svg /", "/ is a directory; give the name of a file"),
        (
            "pub --idle 1 --idle-filter a/{x}",
            "--idle-filter 'a/{x}': {} stands for a number, {prefix} for the prefix, and no other brace may be there",
        ),
        (
            "pub --compare nowhere.json",
            "--compare: cannot read nowhere.json: No such file or directory; telex bench pub --save makes one",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal(capsys, *words.split()).startswith(said)


@pytest.mark.parametrize(
    ("words", "flag", "why"),
    [
        ("mixed -c 5", "-c/--clients", "some publish there and some subscribe; give --publishers and --subscribers"),
        ("mixed -q 1", "-q/--qos", "it has every QoS and several filters by itself; leave it out"),
        (
            "pairs --subscribers 2",
            "--subscribers",
            "each publisher has a subscriber of its own; -c says how many pairs",
        ),
        ("fanout --publishers 2", "--publishers", "there is one publisher; -c says how many subscribers"),
        ("fanin --subscribers 2", "--subscribers", "there is one subscriber; -c says how many publishers"),
        ("connect --publishers 2", "--publishers", "-c says how many clients are at it at a time"),
        ("connect -s 64", "-s/--size", "its clients come and go, and send nothing; leave it out"),
        ("churn --retain", "--retain", "its clients subscribe and unsubscribe, and no message moves; leave it out"),
        ("pub --wildcard +", "--wildcard", "nobody subscribes there; leave it out"),
        ("pub --subscribers 2", "--subscribers", "nobody subscribes there"),
        ("sub --rate 5", "--rate", "nobody publishes there; leave it out"),
        ("sub --publishers 5", "--publishers", "nobody publishes there"),
    ],
)
def test_a_flag_that_a_kind_has_no_use_for_is_refused(
    words: str, flag: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kind, *given = words.split()
    assert refusal(capsys, kind, *given) == f"{flag} is of no use to telex bench {kind}: {why}"


def test_the_help_of_a_kind_has_the_flags_that_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    shown = {}
    for kind in ("", *get_args(Kind)):
        with pytest.raises(SystemExit) as ended:
            bench.parsed([*([kind] if kind else []), "--help"])
        assert ended.value.code == 0
        shown[kind] = capsys.readouterr().out
    assert all(f"\n  {kind} " in shown[""] for kind in KINDS)
    assert "--size" in shown[""]
    assert "--size" in shown["pub"]
    assert "--size" not in shown["connect"]
    assert "(1,000)" in shown["latency"]


# What comes of a run


class Played:
    """In place of a run: gives a result, or raises what it is to raise."""

    def __init__(self, result: Result | Exception | Callable[[], Result]) -> None:
        self._result = result
        self.plans: list[Plan] = []

    def __call__(self, plan: Plan, tell: Callable[[Progress], None] | None = None) -> Result:
        self.plans.append(plan)
        if isinstance(self._result, Exception):
            raise self._result
        return self._result if isinstance(self._result, Result) else self._result()


@pytest.fixture
def plays(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Played]:
    def play(result: Result | Exception | Callable[[], Result]) -> Played:
        made = Played(result)
        monkeypatch.setattr(bench_run, "run", made)
        return made

    return play


def terminated() -> Result:
    """As a run ends that gets SIGTERM: that is a Ctrl-C by then."""
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    return a_result(interrupted=True)


ENDINGS: dict[str, list[tuple[Any, int]]] = {
    "0": [(a_result(), 0)],
    "1": [(a_result(complaints=["a connection was lost"]), 1), (NotConnected("it is gone"), 1), (ValueError("no"), 1)],
    "1 to 5": [(Refused(5, "the broker refused the connection"), 5)],
    "8": [(Untrusted("the certificate is not trusted"), 8)],
    "65": [(a_result(lost=1), 65), (a_result(duplicated=1), 65), (a_result(misordered=1, complaints=["x"]), 65)],
    "128 to 255": [(Refused(0x87, "the broker refused the connection"), 0x87)],
    "130": [(a_result(interrupted=True, lost=1), 130)],
    "143": [(terminated, 143)],
}
"""What happens, and the exit code that tells it."""


@pytest.mark.parametrize(("happens", "code"), [each for group in ENDINGS.values() for each in group])
def test_it_ends_with_a_code_that_says_what_happened(
    happens: Any, code: int, plays: Callable[..., Played], capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    plays(happens)
    assert bench.run(["pairs"]) == code
    out, err = capsys.readouterr()
    if isinstance(happens, Exception):
        assert out == ""
        assert re.fullmatch(r"telex: [^\n]+\n", err)
    else:
        assert out.startswith("telex bench pairs at localhost:1883, MQTT 3.1.1\n")
        assert err == ""
    assert signal.getsignal(signal.SIGTERM) is before


def test_quiet_says_nothing_of_what_went_wrong(
    plays: Callable[..., Played], capsys: pytest.CaptureFixture[str]
) -> None:
    plays(NotConnected("it is gone"))
    assert bench.run(["pairs", "--quiet"]) == 1
    assert capsys.readouterr() == ("", "")


def test_what_was_asked_is_told_as_far_as_the_kind_has_a_use_for_it() -> None:
    def described(*words: str) -> dict[str, Any]:
        options: Namespace = bench.parsed(words)
        return bench.described(options, bench.planned(options))

    pairs = described("pairs", "-c", "3", "-p", "1884", "-u", "ann", "-P", "secret")
    assert (pairs["publishers"], pairs["subscribers"], pairs["broker"]) == (3, 3, "localhost:1884")
    assert not {"user", "password", "clients", "idle_filter", "watch"} & pairs.keys()
    connect = described("connect", "-c", "3")
    assert connect["clients"] == 3
    assert not {"publishers", "subscribers", "qos", "size", "topics"} & connect.keys()
    assert described("pub", "--idle", "5")["subscriptions"] == 1
    assert described("pub", "-L", "wss://x/lab")["broker"] == "wss://x:443"


def test_as_json_it_is_all_that_was_counted(plays: Callable[..., Played], capsys: pytest.CaptureFixture[str]) -> None:
    plays(a_result(lost=2))
    assert bench.run(["pairs", "--json"]) == bench.FAULTY
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["lost"], told["asked"]["qos"]) == ("pairs", 2, 0)
    assert told["summary"]["received_per_second"] == 5_000
    assert Result.from_json(told).measured.latency.count == 4


def test_a_run_that_was_saved_stands_beside_the_next(
    plays: Callable[..., Played], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = str(tmp_path / "before.json")
    plays(a_result())
    assert bench.run(["pairs", "--save", file]) == 0
    assert "beside" not in capsys.readouterr().out
    assert bench.run(["pairs", "-q", "1", "--compare", file]) == 0
    out = capsys.readouterr().out
    assert "\nreceived/s             5,000         5,000         1.00x\n" in out
    assert "\nasked differently: qos was 0 before, and is 1 now\n" in out
    assert bench.run(["pairs", "--compare", file, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["before"]["summary"]["received_per_second"] == 5_000


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is no run that telex bench --save has written"),
        ("[]", "is no run that telex bench --save has written"),
        ('{"telex_bench": 1}', "is no run that telex bench --save has written"),
        ('{"telex_bench": 2}', ": it is of a newer Telex"),
        (
            json.dumps({"telex_bench": 1, **a_result(kind="pub").to_json()}),
            ": it holds a run of telex bench pub, which cannot be compared with pairs",
        ),
    ],
)
def test_what_was_not_saved_by_us_is_not_compared(
    content: str, said: str, plays: Callable[..., Played], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    played = plays(a_result())
    path = tmp_path / "x.json"
    path.write_text(content)
    assert bench.run(["pairs", "--compare", str(path)]) == 1
    assert said in capsys.readouterr().err
    assert played.plans == []  # nobody waits for a run in vain


def test_it_is_drawn(plays: Callable[..., Played], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    plays(a_result())
    path = tmp_path / "run.svg"
    assert bench.run(["pairs", "-s", "1k", "--svg", str(path)]) == 0
    title = ElementTree.fromstring(path.read_text()).findtext("{http://www.w3.org/2000/svg}title")
    assert title == (
        "telex bench pairs at localhost:1883, MQTT 3.1.1, 1 publisher, 1 subscriber, QoS 0, 1k, as fast as it goes"
    )
    plays(Result(kind="pairs"))
    assert bench.run(["pairs", "--svg", str(path)]) == 1
    assert "nothing was measured, so there is nothing to draw" in capsys.readouterr().err


# With a broker


@needs_terminal
def test_a_line_tells_how_far_it_is_until_ctrl_c_ends_it() -> None:
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    with telex() as server:
        command = telex_command(
            "bench", "pairs", "-h", "127.0.0.1", "-p", str(server.port), "--warm-up", "0", "-d", "600"
        )
        environment = {**os.environ, "TERM": "xterm"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True, env=environment) as process:
            os.close(theirs)
            seen = ""
            try:
                while not re.search(
                    r"measuring, \d+ of 600 s  2 connected  sent [\d.]+ [kM]/s  received .*  p99 ", seen
                ):
                    seen += os.read(ours, 65_536).decode()
                process.send_signal(signal.SIGINT)
                out, _ = process.communicate(timeout=SECONDS)
            finally:
                process.kill()
    os.close(ours)
    assert process.returncode == 130
    assert out.startswith("telex bench pairs at 127.0.0.1:")
    assert re.search(r"^ended early: [\d.]+ s were measured of 600 s$", out, re.MULTILINE)


def test_where_nobody_looks_on_nothing_is_told_meanwhile(capsys: pytest.CaptureFixture[str]) -> None:
    with telex() as server:
        flags = ["-h", "127.0.0.1", "-p", str(server.port), "--warm-up", "0", "-d", "0.2"]
        assert bench.run(["pairs", *flags, "-q", "1", "--watch", str(server.process.pid)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "\nevery message arrived, once and in order\n" in out
    assert re.search(r"^broker +[\d.]+ cores ", out, re.MULTILINE)
    assert "\x1b" not in out


def test_where_nobody_answers_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    assert bench.run(["pairs", "-h", "127.0.0.1", "-p", str(port)]) == 1
    assert capsys.readouterr().err == (
        f"telex: no broker answers at 127.0.0.1, port {port}; start one with: telex serve -p {port}\n"
    )
