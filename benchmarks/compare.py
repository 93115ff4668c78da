"""Compare Telex with other MQTT brokers on this machine: ``python benchmarks/compare.py``.

Runs each scenario against each broker in turn, several rounds, and prints the medians, what they are in
relation to Mosquitto in the same run, and whether Telex reached its targets. Linux only: the load
generator, load.c, waits with epoll.

Knows scenarios, figures and tables. How a broker is run is in brokers.py, how load is made in load.c, and
what is asked of a broker that was killed in restart.py.
"""

import argparse
import json
import os
import platform
import re
import resource
import select
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import restart
from brokers import (
    BROKERS,
    REPOSITORY,
    Broker,
    BrokerFailed,
    Missing,
    Over,
    Program,
    Queues,
    Server,
    file_system_of,
    last_line,
    running,
    running_on,
)

_REFERENCE: Final = "mosquitto"
_BUSY: Final = 0.9  # of a core: from here on the load generator, not the broker, may set the figure
_NOISE: Final = 0.1  # cores that other programs may use before the figures are called unsure
_OPENING_SECONDS: Final = 60  # for all connections of a scenario
_SETTLING_SECONDS: Final = 1.0  # before memory is read: for timers and a garbage collector
_SPARE_SECONDS: Final = 60  # that a load may take beyond what its options add up to
_FILLING_SECONDS: Final = 600  # that a load may take that has no time but a number of messages
_COMMITTING_SECONDS: Final = 1.0  # to see how many commits a second the disk can do


# What is measured


@dataclass(frozen=True)
class Column:
    """One figure of a scenario."""

    title: str
    field: str = "value"
    """Where it is in the load generator's result."""
    lower_is_better: bool = False
    is_compared: bool = True
    """Whether it says more as a multiple of Mosquitto's."""


@dataclass(frozen=True)
class Scenario:
    """One run of the load generator, and the figures that it gives."""

    name: str
    load: str
    columns: tuple[Column, ...]
    table: str = "speed"
    """In which of the tables it is."""
    queues: Queues = Queues.SHORT
    """What the broker has to hold."""
    over: Over = Over.TCP
    """By what its clients come in."""


def _beside_a_frozen_one(qos: str) -> tuple[Column, ...]:
    return (
        Column(f"{qos}, alone", "alone"),
        Column(f"{qos}, beside a frozen one"),
        Column(f"{qos}, share kept", "share", is_compared=False),
        Column(f"{qos}, MiB more", "grown_mib", lower_is_better=True, is_compared=False),
    )


_PAIRS_500: Final = "flood --publishers 500 --subscribers 500 --qos 1 --window 1"

SCENARIOS: Final = (
    Scenario("qos0", "flood", (Column("QoS 0, 1 to 1"),)),
    Scenario("qos0-pairs", "flood --publishers 10 --subscribers 10", (Column("QoS 0, 10 pairs"),)),
    Scenario("qos0-out", "flood --shape out --subscribers 100", (Column("QoS 0, 1 to 100"),)),
    Scenario("qos0-in", "flood --shape in --publishers 500 --window 20", (Column("QoS 0, 500 to 1"),)),
    Scenario("qos1", "flood --qos 1", (Column("QoS 1, 1 to 1"),)),
    Scenario("qos1-pairs", "flood --qos 1 --publishers 10 --subscribers 10", (Column("QoS 1, 10 pairs"),)),
    Scenario("qos1-500", _PAIRS_500, (Column("QoS 1, 500 pairs, 1 in flight"),)),
    Scenario("connect", "connect", (Column("connections/s"),)),
    Scenario(
        "latency",
        "latency",
        (
            Column("round trip p50, µs", "p50", lower_is_better=True),
            Column("round trip p99, µs", "p99", lower_is_better=True),
        ),
    ),
    Scenario("idle", "idle", (Column("KiB per idle client", "kib", lower_is_better=True),)),
    Scenario(
        "absent",
        "flood --qos 1 --absent 1",
        (Column("QoS 1 to an absent session, acknowledged"),),
        table="kept",
        queues=Queues.LONG,
    ),
    Scenario(
        "absent-in",
        "flood --qos 1 --absent 1 --shape in --publishers 10",
        (Column("the same, from 10 publishers"),),
        table="kept",
        queues=Queues.LONG,
    ),
    Scenario("kept", "flood --qos 1 --keep 1", (Column("QoS 1, 1 to 1, kept session"),), table="kept"),
    Scenario(
        "restart",
        f"flood --qos 1 --absent 1 --collect 0 --id {restart.CLIENT_ID} --messages {restart.QUEUED}",
        (
            Column("restart, s", "restart", lower_is_better=True, is_compared=False),
            Column("MiB after the restart", "mib", lower_is_better=True, is_compared=False),
        ),
        table="kept",
        queues=Queues.LONG,
    ),
    Scenario("frozen", "flood --frozen 1", _beside_a_frozen_one("QoS 0"), table="frozen", queues=Queues.BOUNDED),
    Scenario(
        "frozen-qos1",
        "flood --qos 1 --frozen 1 --frozen-qos 1",
        _beside_a_frozen_one("QoS 1"),
        table="frozen",
        queues=Queues.BOUNDED,
    ),
    # The first is that of "speed" once more: what is compared with it shall have been measured within the same minute.
    Scenario("tcp", "flood", (Column("TCP, QoS 0"),), table="doors"),
    Scenario("ws", "flood", (Column("WebSocket, QoS 0"),), table="doors", over=Over.WS),
    Scenario("ws-packets", "flood --per-packet 1", (Column("a message each, QoS 0"),), table="doors", over=Over.WS),
    Scenario("tls", "flood", (Column("TLS, QoS 0"),), table="doors", over=Over.TLS),
    Scenario("tls-qos1", "flood --qos 1", (Column("TLS, QoS 1"),), table="doors", over=Over.TLS),
    Scenario("tcp-out", "flood --shape out --subscribers 100", (Column("TCP, QoS 0, 1 to 100"),), table="doors"),
)


@dataclass(frozen=True)
class Target:
    """What Telex shall reach."""

    broker: str
    column: str
    limit: float
    """As a multiple of another figure in the same run; of columns that are not compared, as it is."""
    of_broker: str = _REFERENCE
    of_column: str = ""
    """Whose figure, and which; empty: that of the same column."""


# Twice what Telex lets wait in one outbox, 16 MiB, as that counts the bytes of packets and not what holds them.
_FROZEN_MIB: Final = 32

TARGETS: Final = (
    Target("telex-compiled", "QoS 0, 1 to 1", 4),
    Target("telex-compiled", "QoS 0, 10 pairs", 8),
    Target("telex-compiled", "QoS 0, 1 to 100", 20),
    Target("telex-compiled", "QoS 1, 1 to 1", 4),
    Target("telex-compiled", "QoS 1, 500 pairs, 1 in flight", 1),
    Target("telex-compiled", "round trip p50, µs", 1.1),  # no worse; a tenth is what noise makes of equal
    Target("telex-compiled", "KiB per idle client", 0.7),
    Target("telex-interpreted", "QoS 0, 1 to 1", 2),
    Target("telex-strict", "QoS 1 to an absent session, acknowledged", 1.3),
    Target("telex-strict", "QoS 1, 1 to 1, kept session", 2),
    Target("telex-strict", "restart, s", 5),
    Target("telex-strict", "QoS 0, share kept", 0.9),
    Target("telex-strict", "QoS 1, share kept", 0.9),
    Target("telex-strict", "QoS 0, MiB more", _FROZEN_MIB),
    Target("telex-strict", "QoS 1, MiB more", _FROZEN_MIB),
    Target("telex-rules", "TCP, QoS 0", 0.9, "telex-compiled"),
    Target("telex-rules", "TCP, QoS 0, 1 to 100", 0.9, "telex-compiled"),
    Target("telex-compiled", "TLS, QoS 0", 1),
    Target("telex-compiled", "TLS, QoS 1", 1),
    Target("telex-compiled", "WebSocket, QoS 0", 0.5, "telex-compiled", "TCP, QoS 0"),
)

_COLUMNS: Final = {column.title: column for scenario in SCENARIOS for column in scenario.columns}


@dataclass(frozen=True)
class Outcome:
    """What one scenario, run once against one broker, gave."""

    broker: str
    scenario: str
    figures: dict[str, float]
    """By the title of the column; empty if there is a problem."""
    problem: str = ""
    """For a cell: ``failed``, ``lost 3%``, ``stalled``."""
    detail: str = ""
    """For the notes: what the load generator and the broker said."""
    load_cpu: float = 0.0
    """The share of a core that the load generator used."""
    broker_cpu: float = 0.0
    """The cores that the broker used."""
    others_cpu: float = 0.0
    """The cores that all other programs used meanwhile."""


# Measuring


@dataclass(frozen=True)
class Bench:
    """What all runs have in common."""

    load: Path
    build: Path
    seconds: float
    clients: int
    load_cores: set[int] | None
    broker_cores: set[int] | None

    def measure(self, broker: Broker, program: Program, scenario: Scenario) -> Outcome:
        """Start the broker afresh, run the scenario once, stop the broker."""
        cores = None if broker.has_worker_threads and core_count() <= 2 else self.broker_cores
        try:
            with running(broker, program, cores, self.build, scenario.queues, scenario.over) as server:
                if scenario.name == "idle":
                    return self._hold_idle_clients(broker, server, scenario)
                if scenario.name == "restart":
                    return self._restart(broker, server, scenario)
                return self._make_load(broker, server, scenario)
        except BrokerFailed as failure:
            return Outcome(broker.name, scenario.name, {}, "failed", str(failure))

    def _make_load(self, broker: Broker, server: Server, scenario: Scenario) -> Outcome:
        before, began = others_cpu_seconds(server), time.monotonic()
        result, errors = self._run(scenario.load, server, 2 * (_OPENING_SECONDS + self.seconds) + _SPARE_SECONDS)
        others = (others_cpu_seconds(server) - before) / (time.monotonic() - began)
        return _judge(broker, scenario, server, result, others, errors)

    def _restart(self, broker: Broker, server: Server, scenario: Scenario) -> Outcome:
        """Fill the broker, kill it, see how long it takes to be back, and whether it kept everything."""
        filled, errors = self._run(scenario.load, server, _FILLING_SECONDS)
        if not filled.get("ok"):
            return _judge(broker, scenario, server, filled, 0.0, errors)
        try:
            restart.retain(server)
            server.kill()
            seconds = restart.seconds_until_ready(server)
            mib = server.memory_kib() / 1024
            # With patience: NATS sends what the client before did not acknowledge only after 30 seconds.
            collect = f"collect --id {restart.CLIENT_ID} --messages {restart.QUEUED} --patience 40"
            result, errors = self._run(collect, server, _FILLING_SECONDS)
            retained = restart.count_retained(server)
        except (restart.NotKept, OSError) as error:
            return _judge(broker, scenario, server, {"problem": str(error)}, 0.0, "")
        if result.get("ok") and retained < restart.RETAINED:
            lost = {"missing": restart.RETAINED - retained, "expected": restart.RETAINED}
            result = {"problem": "lost", **lost}
        return _judge(broker, scenario, server, {**result, "restart": seconds, "mib": mib}, 0.0, errors)

    def _run(self, load: str, server: Server, timeout: float) -> tuple[dict[str, Any], str]:
        """Run the load generator: its result, and what it said of errors."""
        with self._start(load, server) as process:
            try:
                printed, errors = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                printed, errors = process.communicate()
        return last_json(printed), errors

    def _hold_idle_clients(self, broker: Broker, server: Server, scenario: Scenario) -> Outcome:
        time.sleep(_SETTLING_SECONDS)
        before = server.memory_kib()
        with self._start(scenario.load, server) as process:
            assert process.stdout is not None  # we asked for a pipe
            readable, _, _ = select.select([process.stdout], [], [], _OPENING_SECONDS + _SPARE_SECONDS)
            holding = last_json(process.stdout.readline()) if readable else {}
            time.sleep(_SETTLING_SECONDS)
            after = server.memory_kib()
            try:
                printed, errors = process.communicate("\n", timeout=_SPARE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                printed, errors = process.communicate()
        result = last_json(printed) or holding
        count = int(result.get("clients", 0))
        if result.get("ok") and count:
            result["kib"] = (after - before) / count
            if count < self.clients:
                result["detail"] = f"only {count:,} of {self.clients:,} clients within {_OPENING_SECONDS} s"
        return _judge(broker, scenario, server, result, 0.0, errors)

    def _start(self, load: str, server: Server) -> subprocess.Popen[str]:
        options = {
            "--port": server.port,
            "--watch": ",".join(map(str, server.pids)),
            "--seconds": self.seconds,
            "--clients": self.clients,
            "--opening": _OPENING_SECONDS,
            "--over": server.over.value,
        }
        if server.login is not None:
            options |= {"--user": server.login.user, "--password": server.login.password}
        words = [word for name, value in options.items() for word in (name, str(value))]
        with running_on(self.load_cores):
            return subprocess.Popen(
                [str(self.load), *load.split(), *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )


def others_cpu_seconds(*servers: Server) -> float:
    """Processor seconds used on this machine so far, but by the brokers, their loads and ourselves."""
    with open("/proc/stat") as file:
        ticks = [int(word) for word in file.readline().split()[1:9]]
    used = (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")  # neither idle nor waiting for a disk
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        used -= usage.ru_utime + usage.ru_stime
    return used - sum(server.cpu_seconds() for server in servers)


def _judge(
    broker: Broker, scenario: Scenario, server: Server, result: dict[str, Any], others: float, errors: str
) -> Outcome:
    """Turn the load generator's result into figures, or into a problem with its reason."""
    figures = {column.title: float(result[column.field]) for column in scenario.columns if column.field in result}
    problem, detail = "", str(result.get("detail", ""))
    if not result.get("ok") or len(figures) < len(scenario.columns):
        figures = {}
        problem, detail = problem_of(result, errors, server.last_words())
    return Outcome(
        broker.name,
        scenario.name,
        figures,
        problem,
        detail,
        float(result.get("load_cpu", 0.0)),
        float(result.get("broker_cpu", 0.0)),
        max(0.0, others),
    )


def problem_of(result: dict[str, Any], errors: str, last_words: str) -> tuple[str, str]:
    """What went wrong, for a cell; and for the notes, what the load generator and the broker said of it."""
    said = str(result.get("problem", "")) or last_line(errors) or "the load generator gave no result"
    if said == "lost":
        share = result["missing"] / max(result["expected"], 1)
        problem = f"lost {share:.1%}" if share >= 0.001 else "lost <0.1%" if share else "lost acks"
        return problem, f"{result['missing']:,} of {result['expected']:,} messages did not arrive"
    reason = "nothing moved any more" if said == "stalled" else said
    problem = said if said in ("duplicates", "stalled") else "failed"
    return problem, f"{reason}; {last_words}".removesuffix("; ")


def last_json(printed: str) -> dict[str, Any]:
    """The load generator's result, which is the last line that it printed; empty if that is none."""
    try:
        result = json.loads(last_line(printed))
    except ValueError:
        return {}
    return result if isinstance(result, dict) else {}


# The results and what is said of them


class Results:
    """All outcomes of a run."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self.outcomes = outcomes

    def of(self, broker: str, scenario: str) -> list[Outcome]:
        """The outcomes of all rounds."""
        return [each for each in self.outcomes if (each.broker, each.scenario) == (broker, scenario)]

    def figure(self, broker: str, column: str) -> float | None:
        """The median of the rounds that gave a figure."""
        figures = [each.figures[column] for each in self.outcomes if each.broker == broker and column in each.figures]
        return median(figures) if figures else None

    def multiple(self, broker: str, column: str, of_broker: str = _REFERENCE, of_column: str = "") -> float | None:
        """The figure as a multiple of another one in this run; by default, of Mosquitto's."""
        own, other = self.figure(broker, column), self.figure(of_broker, of_column or column)
        return None if own is None or not other else own / other

    def cell(self, broker: str, scenario: Scenario, column: Column) -> str:
        """The figure and its multiple; or what went wrong, and in how many rounds."""
        outcomes = self.of(broker, scenario.name)
        bad = [each for each in outcomes if each.problem]
        figure = self.figure(broker, column.title)
        multiple = self.multiple(broker, column.title) if column.is_compared else None
        if not outcomes:
            return "-"
        if figure is None:
            return bad[0].problem
        text = rounded(figure) + ("*" if self._load_was_busy(broker, scenario) else "")
        if multiple is not None:
            text += f" ({times(multiple)})"
        return text + (f", {bad[0].problem} in {len(bad)} of {len(outcomes)}" if bad else "")

    def _load_was_busy(self, broker: str, scenario: Scenario) -> bool:
        return median(each.load_cpu for each in self.of(broker, scenario.name)) >= _BUSY

    def shares(self, broker: str, scenario: str) -> str:
        """How busy the load generator and the broker were."""
        good = [each for each in self.of(broker, scenario) if not each.problem]
        if not good:
            return "-"
        return f"{median(each.load_cpu for each in good):.0%} / {median(each.broker_cpu for each in good):.0%}"

    def per_cpu_second(self, broker: str, scenario: str, column: str) -> str:
        """The figure for each second of processor time that the broker used."""
        good = [each for each in self.of(broker, scenario) if column in each.figures and each.broker_cpu > 0]
        return rounded(median(each.figures[column] / each.broker_cpu for each in good)) if good else "-"

    def notes(self) -> list[str]:
        """What the figures do not say: reasons, and doubts."""
        notes = [f"{each.broker}, {each.scenario}: {each.detail}" for each in self.outcomes if each.detail]
        loads = [each for each in self.outcomes if each.scenario not in ("idle", "restart")]
        others = median([each.others_cpu for each in loads] or [0.0])
        if others > _NOISE:
            notes.append(
                f"Other programs used {others:.1f} of {core_count()} cores meanwhile: take these figures as rough."
            )
        return list(dict.fromkeys(notes))  # each once


_LEGENDS: Final = {
    "speed": "Messages that arrived per second, unless the head says otherwise; payload 64 bytes. In brackets: as a"
    " multiple of Mosquitto's figure in this run. Of round trips and memory, less is better.",
    "kept": "Kept sessions (Clean Session 0): messages per second that the broker acknowledged for a session whose"
    " client is away, or that arrived at one whose client is there. Restart: killed with"
    f" {restart.QUEUED:,} messages queued and {restart.RETAINED:,} retained, the seconds from its start to the CONNACK"
    " that finds the session, and VmRSS then; only brokers that promise it. Telex, strict, and NATS store what they"
    " acknowledge; Telex, relaxed, stores it within a second; the others keep it in memory.",
    "doors": "By which door clients come in, and what it costs to ask who may do what: messages that arrived per"
    " second, 1 to 1 unless the head says otherwise. TLS 1.3, TLS_AES_256_GCM_SHA384, EC P-256. WebSocket: one message"
    " for all that a client writes at a time; or one for each packet, as mqtt.js does. With rules: a password file,"
    " fifty rules, and at Telex all limits on, too high to be reached.",
    "frozen": "Messages per second that arrive from 1 publisher at 1 subscriber, first alone and then beside a second"
    " subscriber that does not read; which share of the rate is left, and by how much VmRSS has grown.",
}


def rounded(figure: float) -> str:
    """Three significant digits: ``412,000``, ``28.4``."""
    return f"{float(f'{figure:.3g}'):,.0f}" if abs(figure) >= 100 else f"{figure:.3g}"


def times(multiple: float) -> str:
    """Two significant digits: ``1.8x``, ``0.35x``, ``15x``."""
    return f"{float(f'{multiple:.2g}'):g}x"


def table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns line up; the first row is its head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def report(results: Results, brokers: Sequence[Broker], scenarios: Sequence[Scenario]) -> str:
    """The tables, and what is to be said of them."""
    parts, cells = [], []
    for name, legend in _LEGENDS.items():
        within = [each for each in scenarios if each.table == name]
        rows = [
            [broker.title, *(results.cell(broker.name, each, column) for each in within for column in each.columns)]
            for broker in brokers
        ]
        rows = [row for row in rows if any(cell != "-" for cell in row[1:])]
        if rows:
            parts += [table([["", *(column.title for each in within for column in each.columns)], *rows]), legend]
            cells += rows
    if any("*" in cell for row in cells for cell in row):
        parts.append(f"*: the load generator was busy {_BUSY:.0%} of the time or more; it may have set the limit.")
    if notes := results.notes():
        parts.append("\n".join(f"- {note}" for note in notes))
    parts.append("Targets; x: as multiples of another figure in this run, Mosquitto's if none is named:")
    parts.append(table([["", "target", "this run", "reached"], *targets(results)]))
    if loads := [each for each in scenarios if each.name not in ("idle", "latency", "restart")]:
        shares = [[broker.title, *(results.shares(broker.name, each.name) for each in loads)] for broker in brokers]
        parts.append("How busy the load generator / the broker was (100% is one core):")
        parts.append(table([["", *(each.columns[0].title for each in loads)], *shares]))
    if doors := [each for each in scenarios if each.table == "doors"]:
        columns = [(each.name, column.title) for each in doors for column in each.columns]
        rows = [
            [broker.title, *(results.per_cpu_second(broker.name, name, title) for name, title in columns)]
            for broker in brokers
        ]
        parts.append(
            "By which door, per second of processor time that the broker used; whatever else is busy on the machine"
            " touches this less:"
        )
        rows = [row for row in rows if any(cell != "-" for cell in row[1:])]
        parts.append(table([["", *(title for _, title in columns)], *rows]))
    return "\n\n".join(parts) + "\n"


def targets(results: Results) -> list[list[str]]:
    """Each target, what this run gave, and whether that reaches it."""
    titles = {broker.name: broker.title for broker in BROKERS}
    rows = []
    for target in TARGETS:
        column = _COLUMNS[target.column]
        if column.is_compared:
            reached, unit = results.multiple(target.broker, target.column, target.of_broker, target.of_column), "x"
        else:
            reached, unit = results.figure(target.broker, target.column), ""
        wanted = f"at {'most' if column.lower_is_better else 'least'} {target.limit:.2g}{unit}"
        if target.of_column:
            wanted += f" of {target.of_column}"
        elif target.of_broker != _REFERENCE:
            wanted += f" of {titles[target.of_broker]}"
        name = f"{titles[target.broker]}: {target.column}"
        if reached is None:
            rows.append([name, wanted, "-", "not measured"])
        else:
            is_reached = reached <= target.limit if column.lower_is_better else reached >= target.limit
            rows.append([name, wanted, f"{reached:.3g}{unit}", "yes" if is_reached else "no"])
    return rows


def machine(
    programs: dict[str, Program], options: argparse.Namespace, began: float, pins: bool, commits: Sequence[float]
) -> list[str]:
    """Where and how it was measured."""
    with open("/proc/cpuinfo") as file:
        models = re.findall(r"model name\s*:\s*(.*)", file.read())
    versions = dict.fromkeys(program.version for program in programs.values())
    placed = "load generator and brokers on cores of their own" if pins else "the system chose the cores"
    return [
        f"Machine: {core_count()} cores, {models[0] if models else platform.machine()}, Linux {platform.release()}",
        f"Python {platform.python_version()}; " + "; ".join(versions),
        f"Median of {options.rounds} x {options.seconds:g} s for each figure; {placed};"
        f" {time.strftime('%Y-%m-%d')}, {(time.monotonic() - began) / 60:.0f} min in all",
        f"Data directories on {file_system_of(options.build.resolve())}: SQLite does"
        f" {' and '.join(map(rounded, commits))} commits a second of one row each, before and after all this (WAL,"
        " synchronous=FULL)",
        "Command: " + shlex.join(["python", "benchmarks/compare.py", *sys.argv[1:]]),
    ]


def commits_per_second(directory: Path) -> float:
    """How fast the disk is at what a store needs of it: commits of one row, each of which waits for the disk."""
    with (
        tempfile.TemporaryDirectory(prefix="commits-", dir=directory) as name,
        closing(sqlite3.connect(Path(name) / "rows.db", isolation_level=None)) as database,
    ):
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY, payload BLOB)")
        count, began = 0, time.monotonic()
        while (elapsed := time.monotonic() - began) < _COMMITTING_SECONDS:
            database.execute("INSERT INTO rows (payload) VALUES (?)", (b"x" * 64,))
            count += 1
    return count / elapsed


def core_count() -> int:
    """The cores that this program may use."""
    return len(os.sched_getaffinity(0))


# The command


def compile_load(build: Path) -> tuple[Path, bool]:
    """Compile load.c with the C compiler that is here; and whether it can do TLS, which takes OpenSSL's headers.

    Raises:
        SystemExit: if there is none, or if it fails.
    """
    candidates = [os.environ.get("CC", ""), "cc", "gcc", "clang"]
    compiler = next((found for name in candidates if name and (found := shutil.which(name))), None)
    if compiler is None:
        sys.exit("compare: no C compiler was found (cc, gcc, clang; or name one in CC); Debian: apt install gcc")
    load = build / "load"
    command = [compiler, "-O2", "-o", str(load), str(Path(__file__).resolve().parent / "load.c")]
    libraries = ["-lssl", "-lcrypto"]
    if subprocess.run([*command, *libraries], capture_output=True, timeout=120).returncode == 0:
        return load, True
    subprocess.run([*command, "-DNO_TLS"], check=True, timeout=120)
    return load, False


def choose(wanted: str | None, known: Sequence[str], what: str) -> list[str]:
    """The names in a list with commas, in the order in which we know them.

    Raises:
        SystemExit: if one is not known.
    """
    if wanted is None:
        return list(known)
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    for name in names:
        if name not in known:
            sys.exit(f"compare: no {what} is called {name!r}; there are: {', '.join(known)}")
    return [name for name in known if name in names]


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Compare Telex with other MQTT brokers on this machine.")
    names = ", ".join(broker.name for broker in BROKERS)
    parser.add_argument("--brokers", metavar="A,B", help=f"which of: {names} (all that are found)")
    names = ", ".join(scenario.name for scenario in SCENARIOS)
    parser.add_argument("--scenarios", metavar="A,B", help=f"which of: {names} (all)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement, after a second of warm-up (3)")
    parser.add_argument("--rounds", type=int, default=3, help="of all measurements; the medians are printed (3)")
    parser.add_argument("--clients", type=int, default=10_000, help="idle clients whose memory is measured (10,000)")
    parser.add_argument("--install", action="store_true", help="install the brokers that pip and npm can install")
    parser.add_argument("--no-pin", action="store_true", help="let the system choose the cores")
    parser.add_argument(
        "--build", type=Path, default=REPOSITORY / "build" / "bench", help="where to build (build/bench)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single outcome there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write what is printed there, too")
    options = parser.parse_args()
    if options.seconds <= 0 or options.rounds < 1 or options.clients < 1:
        parser.error("--seconds, --rounds and --clients must be positive")
    return options


def allow_open_files(clients: int) -> int:
    """Raise the limit of open files, which brokers inherit; returns how many clients it allows."""
    needed = clients + 500
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        with suppress(ValueError, OSError):  # only root may go beyond the hard limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, max(hard, needed)))
            return clients
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(clients, max(soft, hard) - 500)


def find_brokers(names: Sequence[str], build: Path, install: bool) -> tuple[dict[str, Program], dict[str, str]]:
    """The programs by the names of their brokers; and for those not found, by title, why and what to do."""
    programs, missing = {}, {}
    for broker in BROKERS:
        if broker.name not in names:
            continue
        found = broker.find(build)
        if isinstance(found, Missing) and install and broker.install:
            print(f"Installing {broker.title} ...", file=sys.stderr)
            broker.install(build)
            found = broker.find(build)
        if isinstance(found, Missing):
            missing[broker.title] = f"not found: {found.why}. To install it: {broker.how_to_install}"
        else:
            programs[broker.name] = found
    return programs, missing


def main() -> int:
    """Run the comparison; returns the exit code: 0, unless nothing could be measured."""
    options, began = read_options(), time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that brokers are stopped
    build: Path = options.build.resolve()
    build.mkdir(parents=True, exist_ok=True)
    (build / ".gitignore").write_text("*\n")
    names = choose(options.brokers, [broker.name for broker in BROKERS], "broker")
    scenario_names = choose(options.scenarios, [scenario.name for scenario in SCENARIOS], "scenario")
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in scenario_names]
    clients = allow_open_files(options.clients)
    if clients < options.clients:
        print(f"The limit of open files allows only {clients:,} idle clients.", file=sys.stderr)
    programs, missing = find_brokers(names, build, options.install)
    for title, why in missing.items():
        print(f"{title}: {why}", file=sys.stderr)
    brokers = [broker for broker in BROKERS if broker.name in programs]
    if not brokers or clients < 1:
        return 1
    cores = sorted(os.sched_getaffinity(0))
    pins = len(cores) > 1 and not options.no_pin
    load, has_tls = compile_load(build)
    if not has_tls:
        missing["Everything over TLS"] = "left out: no OpenSSL headers to compile with (Debian: apt install libssl-dev)"
        print(f"Everything over TLS: {missing['Everything over TLS']}", file=sys.stderr)
        scenarios = [scenario for scenario in scenarios if scenario.over is not Over.TLS]
    bench = Bench(
        load,
        build,
        options.seconds,
        clients,
        {cores[-1]} if pins else None,
        set(cores[:-1]) if pins else None,
    )
    pairs = [
        (scenario, broker)
        for scenario in scenarios
        for broker in brokers
        if is_measured(broker, scenario, asked=options.brokers is not None)
    ]
    commits = [commits_per_second(build)]
    outcomes = run_all(bench, pairs, programs, options.rounds)
    commits.append(commits_per_second(build))
    results = Results(outcomes)
    facts = [f"{title}: {why}" for title, why in missing.items()]
    facts += machine(programs, options, began, pins, commits)
    text = report(results, brokers, scenarios) + "\n" + "\n".join(f"- {fact}" for fact in facts) + "\n"
    print(text)
    if options.markdown:
        options.markdown.write_text(text)
    if options.json:
        options.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1) + "\n")
    return 0 if any(outcome.figures for outcome in outcomes) else 1


def is_measured(broker: Broker, scenario: Scenario, *, asked: bool) -> bool:
    """Whether a scenario says something of a broker; ``asked`` if the broker was named by whoever measures."""
    if scenario.name == "restart":
        return broker.survives_sigkill
    return scenario.over in broker.speaks and (asked or scenario.table in broker.tables)


def run_all(
    bench: Bench, pairs: Sequence[tuple[Scenario, Broker]], programs: dict[str, Program], rounds: int
) -> list[Outcome]:
    """All measurements. The brokers take turns within each scenario: a noisy minute hits all alike."""
    outcomes: list[Outcome] = []
    minutes = sum(_lasts(scenario, bench.seconds) for scenario, _ in pairs) * rounds / 60
    print(f"{rounds * len(pairs)} measurements, about {minutes:.0f} minutes.", file=sys.stderr)
    for number in range(rounds):
        for scenario, broker in pairs:
            outcome = bench.measure(broker, programs[broker.name], scenario)
            outcomes.append(outcome)
            said = ", ".join(f"{title}: {rounded(figure)}" for title, figure in outcome.figures.items())
            print(
                f"round {number + 1}  {broker.name:18} {said or f'{scenario.name}: {outcome.problem}'}"
                + (f"  ({outcome.detail})" if outcome.detail else ""),
                file=sys.stderr,
            )
    return outcomes


def _lasts(scenario: Scenario, seconds: float) -> float:
    """The seconds that one measurement takes, with all around it; roughly."""
    if scenario.name == "restart":
        return 60.0
    return 2 * seconds + 4 if scenario.table == "frozen" or scenario.queues is Queues.LONG else seconds + 3


if __name__ == "__main__":
    sys.exit(main())
