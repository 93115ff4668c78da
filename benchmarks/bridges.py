"""Compare Telex's bridge with Mosquitto's on this machine: ``python benchmarks/bridges.py``.

Two brokers, the first of which has a bridge to the second; a publisher is at one and a subscriber at the other.
Prints the medians of some rounds, what they are in relation to Mosquitto's bridge to another Mosquitto in the same
run, how busy each process was, and whether Telex reached its targets. Linux only, as compare.py is.

Knows pairs of brokers, scenarios and tables. How a broker is run and told of its bridge is in brokers.py, how load is
made in load.c, and how figures are told in figures.py.
"""

import argparse
import json
import os
import platform
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Final, Self

from brokers import BROKERS, REPOSITORY, Bridge, Broker, BrokerFailed, Program, Server, running, running_on
from compare import choose, find_brokers
from figures import Outcome, Results, rounded, table, times
from machine import compile_load, core_count, others_cpu_seconds
from measure import last_json, problem_of

_OPENING_SECONDS: Final = 20  # for the two connections of the load generator
_SPARE_SECONDS: Final = 60  # that a load may take beyond what its options add up to
_BRIDGE_SECONDS: Final = 20.0  # that a bridge has to connect, and to carry its first message
_ASKING_SECONDS: Final = 0.05  # after which the next first message is sent
_BUSY: Final = 0.9  # of a core: from here on the load generator may set the figure

_STATES: Final = "$SYS/broker/connection/+/state"
_FIRST: Final = "bench/first"  # within what the bridge carries; the load generator is at bench/0


# What is measured


@dataclass(frozen=True)
class Pair:
    """A broker that has a bridge, and the one to which it leads."""

    name: str
    title: str
    local: str
    remote: str
    version: str = "3.1.1"
    """Of MQTT, that the bridge speaks."""
    is_usual: bool = True
    """Whether it is measured unless others were asked for by name."""


PAIRS: Final = (
    Pair("telex", "Telex to Telex", "telex-memory", "telex-memory"),
    Pair("telex-5", "Telex to Telex, MQTT 5", "telex-memory", "telex-memory", version="5.0"),
    Pair("mosquitto", "Mosquitto to Mosquitto", "mosquitto", "mosquitto"),
    Pair("telex-mosquitto", "Telex to Mosquitto", "telex-memory", "mosquitto"),
    Pair("mosquitto-telex", "Mosquitto to Telex", "mosquitto", "telex-memory"),
    Pair(
        "telex-interpreted",
        "Telex to Telex, interpreted",
        "telex-interpreted",
        "telex-interpreted",
        is_usual=False,
    ),
)

_REFERENCE: Final = "mosquitto"


@dataclass(frozen=True)
class Scenario:
    """A direction, as the broker with the bridge sees it, and the QoS on all legs."""

    name: str
    title: str
    direction: str
    qos: int
    window: int
    """Messages that the publisher may be ahead of the subscriber."""


# With larger windows Mosquitto's bridge is no faster. With 1000, at QoS 0, it is idle for a fifth of the time: its last
# messages wait for the other end's TCP acknowledgements. At QoS 1 there are PUBACKs, and a thousand may be in flight.
SCENARIOS: Final = (
    Scenario("out-qos0", "out, QoS 0", "out", 0, 4000),
    Scenario("in-qos0", "in, QoS 0", "in", 0, 4000),
    Scenario("out-qos1", "out, QoS 1", "out", 1, 1000),
    Scenario("in-qos1", "in, QoS 1", "in", 1, 1000),
)

_TARGET: Final = 3.0
"""What the figures of these pairs shall be, as multiples of Mosquitto's bridge to Mosquitto, in each scenario."""
_TARGET_PAIRS: Final = ("telex", "telex-5")


@dataclass(frozen=True)
class Crossed(Outcome):
    """What one scenario, run once with one pair, gave; ``broker`` is the name of the pair."""

    local_cpu: float = 0.0
    """The cores that the broker with the bridge used."""
    remote_cpu: float = 0.0
    """The cores that the other one used."""


# Whether a bridge is there


class Client:
    """A client of MQTT 3.1.1, which waits for messages that are short, at QoS 0, on one subscription.

    Each wait ends at the deadline of all, with TimeoutError.
    """

    def __init__(self, server: Server, name: str, deadline: float) -> None:
        """Connect."""
        self._deadline = deadline
        self._received = b""
        self._socket = socket.create_connection(("127.0.0.1", server.port), self._left())
        try:
            text = name.encode()
            rest = b"\x00\x04MQTT\x04\x02\x00\x00" + len(text).to_bytes(2) + text  # clean session, no keep alive
            self._socket.sendall(b"\x10" + len(rest).to_bytes(1) + rest)
            self._expect(b"\x20\x02\x00\x00")
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        """Nothing is left to do."""
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        """Disconnect."""
        with self._socket:
            if kind is None:
                self._socket.sendall(b"\xe0\x00")

    def subscribe(self, pattern: str) -> None:
        """Subscribe at QoS 0."""
        rest = b"\x00\x01" + len(pattern).to_bytes(2) + pattern.encode() + b"\x00"
        self._socket.sendall(b"\x82" + len(rest).to_bytes(1) + rest)
        self._expect(b"\x90\x03\x00\x01\x00")

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 0."""
        rest = len(topic).to_bytes(2) + topic.encode() + payload
        self._socket.sendall(b"\x30" + len(rest).to_bytes(1) + rest)

    def payload(self, patience: float | None = None) -> bytes | None:
        """That of the next message; None if none comes within the patience."""
        self._socket.settimeout(self._left() if patience is None else min(patience, self._left()))
        try:
            self._receive(2)
            rest = self._take(2 + self._received[1])[2:]
        except TimeoutError:
            if patience is None:
                raise
            return None
        return rest[2 + int.from_bytes(rest[:2]) :]

    def _expect(self, answer: bytes) -> None:
        """What is asked first is answered before any message comes."""
        self._socket.settimeout(self._left())
        if (got := self._take(len(answer))) != answer:
            raise BrokerFailed(f"no answer {answer.hex(' ')} but {got.hex(' ')}")

    def _take(self, count: int) -> bytes:
        self._receive(count)
        taken, self._received = self._received[:count], self._received[count:]
        return taken

    def _receive(self, count: int) -> None:
        while len(self._received) < count:
            part = self._socket.recv(count - len(self._received))
            if not part:
                raise BrokerFailed("a broker closed a connection")
            self._received += part

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def wait_for_bridge(local: Server, remote: Server, direction: str) -> None:
    """Return when the bridge is connected, and carries messages.

    The notification tells the one; but it may come before what the bridge subscribes to, there, is subscribed to.

    Raises:
        BrokerFailed: it is not within twenty seconds.
    """
    deadline = time.monotonic() + _BRIDGE_SECONDS
    source, destination = (local, remote) if direction == "out" else (remote, local)
    state = b"none at all"
    try:
        with Client(local, "state", deadline) as client:
            client.subscribe(_STATES)
            while state != b"1":
                state = client.payload() or b""
        with Client(destination, "to", deadline) as receiver, Client(source, "from", deadline) as sender:
            receiver.subscribe(_FIRST)
            while receiver.payload(_ASKING_SECONDS) is None:
                sender.publish(_FIRST, b"first")
    except OSError as error:
        words = f"the state of the bridge was {state.decode()}; {local.last_words()}; {remote.last_words()}"
        raise BrokerFailed(f"{str(error) or 'no message crossed the bridge'}; {words}".rstrip("; ")) from error


# Measuring


@dataclass(frozen=True)
class Cores:
    """Where processes run; None: where the system wants."""

    load: set[int] | None = None
    local: set[int] | None = None
    remote: set[int] | None = None

    @classmethod
    def apart(cls) -> Self:
        """One of its own for each, if there are as many."""
        if core_count() < 3:
            return cls()
        first, second, *_, last = sorted(os.sched_getaffinity(0))
        return cls({last}, {first}, {second})


@dataclass(frozen=True)
class Bench:
    """What all runs have in common."""

    load: Path
    build: Path
    seconds: float
    cores: Cores
    programs: dict[str, Program]
    """By the names of their brokers."""

    def measure(self, pair: Pair, scenario: Scenario) -> Crossed:
        """Start both brokers afresh, run the scenario once, stop them."""
        try:
            with ExitStack() as stack:
                remote = stack.enter_context(self._running(pair.remote, self.cores.remote))
                bridge = Bridge(remote.port, scenario.direction, scenario.qos, pair.version)
                local = stack.enter_context(self._running(pair.local, self.cores.local, bridge))
                wait_for_bridge(local, remote, scenario.direction)
                return self._make_load(pair, scenario, local, remote)
        except BrokerFailed as failure:
            return Crossed(pair.name, scenario.name, {}, "failed", str(failure))

    def _running(
        self, name: str, cores: set[int] | None, bridge: Bridge | None = None
    ) -> AbstractContextManager[Server]:
        return running(_broker(name), self.programs[name], cores, self.build, bridge=bridge)

    def _make_load(self, pair: Pair, scenario: Scenario, local: Server, remote: Server) -> Crossed:
        before, began = others_cpu_seconds(local, remote), time.monotonic()
        result, errors = self._run(scenario, local, remote)
        others = (others_cpu_seconds(local, remote) - before) / (time.monotonic() - began)
        figures, problem, detail = {}, "", ""
        if result.get("ok"):
            figures[scenario.title] = float(result["value"])
        else:
            words = "; ".join(filter(None, (local.last_words(), remote.last_words())))
            problem, detail = problem_of(result, errors, words)
        each = result.get("each_cpu", [])
        return Crossed(
            pair.name,
            scenario.name,
            figures,
            problem,
            detail,
            float(result.get("load_cpu", 0.0)),
            float(result.get("broker_cpu", 0.0)),
            max(0.0, others),
            sum(each[: len(local.pids)]),
            sum(each[len(local.pids) :]),
        )

    def _run(self, scenario: Scenario, local: Server, remote: Server) -> tuple[dict[str, Any], str]:
        """Run the load generator: its result, and what it said of errors."""
        source, destination = (local, remote) if scenario.direction == "out" else (remote, local)
        options = {
            "--port": source.port,
            "--to": destination.port,
            "--watch": ",".join(map(str, [*local.pids, *remote.pids])),
            "--qos": scenario.qos,
            "--window": scenario.window,
            "--seconds": self.seconds,
            "--opening": _OPENING_SECONDS,
        }
        words = [word for name, value in options.items() for word in (name, str(value))]
        with running_on(self.cores.load):
            process = subprocess.Popen(
                [str(self.load), "flood", *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        with process:
            try:
                printed, errors = process.communicate(timeout=2 * _OPENING_SECONDS + self.seconds + _SPARE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                printed, errors = process.communicate()
            except BaseException:  # nothing goes on alone
                process.kill()
                raise
        return last_json(printed), errors


def _broker(name: str) -> Broker:
    return next(broker for broker in BROKERS if broker.name == name)


# What is said of the results


def report(results: Results, pairs: Sequence[Pair], scenarios: Sequence[Scenario]) -> str:
    """The tables, and what is to be said of them."""
    head = ["", *(scenario.title for scenario in scenarios)]

    def rows(cell: Callable[[Results, Pair, Scenario], str]) -> str:
        return table([head, *([pair.title, *(cell(results, pair, each) for each in scenarios)] for pair in pairs)])

    parts = [
        rows(_cell),
        "Messages that arrived per second across one bridge, from 1 publisher to 1 subscriber, the same QoS on all"
        " legs; payload 64 bytes. The first broker has the bridge; out: the publisher is there, and the subscriber"
        " at the other; in: the reverse. In brackets: as a multiple of Mosquitto to Mosquitto in this run.",
    ]
    if any("*" in _cell(results, pair, scenario) for pair in pairs for scenario in scenarios):
        parts.append(f"*: the load generator was busy {_BUSY:.0%} of the time or more; it may have set the limit.")
    if notes := results.notes():
        parts.append("\n".join(f"- {note}" for note in notes))
    parts += ["The least and the most of the rounds:", rows(_spread)]
    parts += ["Target, as a multiple of Mosquitto to Mosquitto in this run:"]
    parts += [table([["", "target", "this run", "reached"], *targets(results, scenarios)])]
    parts += ["How busy the load generator / the broker with the bridge / the other one was (100% is one core):"]
    parts += [rows(_shares)]
    parts += ["Messages per second of processor time that both brokers used together:", rows(_per_cpu_second)]
    return "\n\n".join(parts) + "\n"


def _good(results: Results, pair: Pair, scenario: Scenario) -> list[Crossed]:
    return [each for each in results.of(pair.name, scenario.name) if isinstance(each, Crossed) and not each.problem]


def _cell(results: Results, pair: Pair, scenario: Scenario) -> str:
    """The figure and its multiple; or what went wrong, and in how many rounds."""
    outcomes = results.of(pair.name, scenario.name)
    bad = [each for each in outcomes if each.problem]
    figure = results.figure(pair.name, scenario.title)
    if figure is None:
        return bad[0].problem if bad else "-"
    multiple = results.multiple(pair.name, scenario.title, _REFERENCE)
    text = rounded(figure) + ("*" if median(each.load_cpu for each in outcomes) >= _BUSY else "")
    if multiple is not None:
        text += f" ({times(multiple)})"
    return text + (f", {bad[0].problem} in {len(bad)} of {len(outcomes)}" if bad else "")


def _spread(results: Results, pair: Pair, scenario: Scenario) -> str:
    figures = [each.figures[scenario.title] for each in _good(results, pair, scenario)]
    return f"{rounded(min(figures))} to {rounded(max(figures))}" if figures else "-"


def _shares(results: Results, pair: Pair, scenario: Scenario) -> str:
    good = _good(results, pair, scenario)
    if not good:
        return "-"
    columns = zip(*((each.load_cpu, each.local_cpu, each.remote_cpu) for each in good), strict=True)
    return " / ".join(f"{median(column):.0%}" for column in columns)


def _per_cpu_second(results: Results, pair: Pair, scenario: Scenario) -> str:
    good = [each for each in _good(results, pair, scenario) if each.broker_cpu > 0]
    return rounded(median(each.figures[scenario.title] / each.broker_cpu for each in good)) if good else "-"


def targets(results: Results, scenarios: Sequence[Scenario]) -> list[list[str]]:
    """Each target, what this run gave, and whether that reaches it."""
    rows = []
    for pair in PAIRS:
        for scenario in scenarios if pair.name in _TARGET_PAIRS else ():
            row = [f"{pair.title}: {scenario.title}", f"at least {_TARGET:.2g}x"]
            reached = results.multiple(pair.name, scenario.title, _REFERENCE)
            if reached is None:
                rows.append([*row, "-", "not measured"])
            else:
                rows.append([*row, f"{reached:.3g}x", "yes" if reached >= _TARGET else "no"])
    return rows


def facts(bench: Bench, missing: dict[str, str], rounds: int, began: float) -> list[str]:
    """Where and how it was measured."""
    with open("/proc/cpuinfo") as file:
        models = re.findall(r"model name\s*:\s*(.*)", file.read())
    versions = dict.fromkeys(program.version for program in bench.programs.values())
    placed = "the system chose the cores" if bench.cores == Cores() else "each process on a core of its own"
    return [
        *(f"{title}: {why}" for title, why in missing.items()),
        f"Machine: {core_count()} cores, {models[0] if models else platform.machine()}, Linux {platform.release()}",
        f"Python {platform.python_version()}; " + "; ".join(versions),
        f"Median of {rounds} x {bench.seconds:g} s for each figure; {placed};"
        f" {time.strftime('%Y-%m-%d')}, {(time.monotonic() - began) / 60:.0f} min in all",
        "Command: " + shlex.join(["python", "benchmarks/bridges.py", *sys.argv[1:]]),
    ]


# The command


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Compare Telex's bridge with Mosquitto's on this machine.")
    usual, others = (", ".join(pair.name for pair in PAIRS if pair.is_usual is is_usual) for is_usual in (True, False))
    parser.add_argument("--pairs", metavar="A,B", help=f"which of: {usual} (these), {others}")
    names = ", ".join(scenario.name for scenario in SCENARIOS)
    parser.add_argument("--scenarios", metavar="A,B", help=f"which of: {names} (all)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement, after a second of warm-up (3)")
    parser.add_argument("--rounds", type=int, default=5, help="of all measurements; the medians are printed (5)")
    parser.add_argument("--no-pin", action="store_true", help="let the system choose the cores")
    parser.add_argument(
        "--build", type=Path, default=REPOSITORY / "build" / "bench", help="where to build (build/bench)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single outcome there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write what is printed there, too")
    options = parser.parse_args()
    if options.seconds <= 0 or options.rounds < 1:
        parser.error("--seconds and --rounds must be positive")
    return options


def choose_pairs(wanted: str | None) -> list[Pair]:
    """Those with these names; by default the usual ones."""
    if wanted is None:
        return [pair for pair in PAIRS if pair.is_usual]
    names = choose(wanted, [pair.name for pair in PAIRS], "pair")
    return [pair for pair in PAIRS if pair.name in names]


def main() -> int:
    """Run the comparison; returns the exit code: 0, unless nothing could be measured."""
    options, began = read_options(), time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that brokers are stopped
    build: Path = options.build.resolve()
    build.mkdir(parents=True, exist_ok=True)
    (build / ".gitignore").write_text("*\n")
    wanted = choose(options.scenarios, [scenario.name for scenario in SCENARIOS], "scenario")
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in wanted]
    pairs = choose_pairs(options.pairs)
    programs, missing = find_brokers([name for pair in pairs for name in (pair.local, pair.remote)], build, False)
    for title, why in missing.items():
        print(f"{title}: {why}", file=sys.stderr)
    pairs = [pair for pair in pairs if pair.local in programs and pair.remote in programs]
    if not pairs:
        return 1
    load, _ = compile_load(build)
    cores = Cores() if options.no_pin else Cores.apart()
    bench = Bench(load, build, options.seconds, cores, programs)
    outcomes = run_all(bench, pairs, scenarios, options.rounds)
    said = report(Results(outcomes), pairs, scenarios)
    text = said + "\n" + "\n".join(f"- {fact}" for fact in facts(bench, missing, options.rounds, began)) + "\n"
    print(text)
    if options.markdown:
        options.markdown.write_text(text)
    if options.json:
        options.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1) + "\n")
    return 0 if any(outcome.figures for outcome in outcomes) else 1


def run_all(bench: Bench, pairs: Sequence[Pair], scenarios: Sequence[Scenario], rounds: int) -> list[Crossed]:
    """All measurements. The pairs take turns within each scenario: a noisy minute hits all alike."""
    outcomes: list[Crossed] = []
    for number in range(rounds):
        for scenario in scenarios:
            for pair in pairs:
                outcome = bench.measure(pair, scenario)
                outcomes.append(outcome)
                said = ", ".join(f"{title}: {rounded(figure)}" for title, figure in outcome.figures.items())
                print(
                    f"round {number + 1}  {pair.name:18} {said or f'{scenario.name}: {outcome.problem}'}"
                    + (f"  ({outcome.detail})" if outcome.detail else ""),
                    file=sys.stderr,
                )
    return outcomes


if __name__ == "__main__":
    sys.exit(main())
