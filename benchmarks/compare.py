"""Compare Telex with other MQTT brokers on this machine: ``python benchmarks/compare.py``.

Runs each scenario against each broker in turn, some rounds, then the curves, and prints the medians, what they are in
relation to Mosquitto in the same run, whether Telex reached its targets, and where others are ahead. Linux only: load.c
waits with epoll, and /proc tells what brokers use.

Knows the order in which things are measured, and the command line. What is measured is in scenarios.py and curves.py,
how in measure.py, and what is said of it in report.py.
"""

import argparse
import json
import os
import platform
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from brokers import BROKERS, REPOSITORY, Broker, Missing, Over, Program
from curves import BROKERS as CURVE_BROKERS
from curves import CURVES, Curve, measure_curve, points_for
from figures import Outcome, medians, rounded
from machine import (
    allow_open_files,
    commits_per_second,
    compile_load,
    said_of_disk,
    said_of_machine,
)
from measure import Bench
from report import Report, report, write
from scenarios import BENCH, LOAD, SCENARIOS, Scenario, is_measured, maximum_of
from sizing import RECORD

_HEADINGS: Final = {
    "throughput": "Messages that arrived per second; in brackets: as a multiple of Mosquitto's figure in this run",
    "clients": "Clients; of memory, processor time and starts, less is better",
    "latency": "Latency in microseconds",
    "cpu": "Microseconds of the broker's processor time for each message",
    "kept": "Kept sessions, and a restart",
    "frozen": "Beside a subscriber that does not read",
    "doors": "By which door, and with rules",
    "growth": "How costs grow",
    "targets": "Targets; x: as multiples of another figure in this run, Mosquitto's if none is named",
    "ahead": "Where another broker is ahead",
    "busy": "How busy the load generator / the broker was (100% is one core)",
    "facts": "Where and how",
}

_WARM_UP: Final = 1.0
_QUICK: Final = {"seconds": 0.4, "warm_up": 0.2, "clients": 1_000}
_QUICK_BROKERS: Final = "telex-compiled,mosquitto"
_OF_A_RUN: Final = ("Median of ", "Command: ", "What else ")  # facts that are not of the machine
_SLOW: Final = ("restart", "absent-in")  # left out where it is to be quick


@dataclass
class Run:
    """All that is measured, in its order, and what came of it so far."""

    bench: Bench
    programs: dict[str, Program]
    outcomes: list[Outcome] = field(default_factory=list)

    def scenarios(self, pairs: Sequence[tuple[Scenario, Broker]], rounds: int, *, is_quick: bool) -> None:
        """The brokers take turns within each scenario: a noisy minute hits all alike."""
        for number in range(rounds):
            for scenario, broker in pairs:
                for by in scenario.ways[:1] if is_quick else scenario.ways:
                    if by == LOAD and self.bench.load is None:
                        continue
                    maximum = maximum_of(self.outcomes, broker.name, scenario) if scenario.share else None
                    if scenario.share and maximum is None:
                        why = f"{scenario.share_of} gave no maximum"
                        self._add(Outcome(broker.name, scenario.name, {}, "no maximum", why, by=by), number)
                        continue
                    try:
                        outcome = self.bench.measure(broker, self.programs[broker.name], scenario, by, maximum=maximum)
                    except Exception as error:  # a run of an hour does not end because of one of its measurements
                        outcome = _failed(broker, scenario.name, error, by)
                    self._add(outcome, number)

    def curves(self, pairs: Sequence[tuple[Curve, Broker]], clients: int, *, is_quick: bool) -> None:
        """Each curve once, from left to right."""
        for curve, broker in pairs:
            points = points_for(curve, clients=clients, is_quick=is_quick)
            try:
                for outcome in measure_curve(self.bench, broker, self.programs[broker.name], curve, points):
                    self._add(outcome)
            except Exception as error:
                self._add(_failed(broker, curve.name, error, BENCH))

    def _add(self, outcome: Outcome, number: int = 0) -> None:
        self.outcomes.append(outcome)
        said = ", ".join(f"{title}: {rounded(figure)}" for title, figure in outcome.figures.items())
        at = f" at {outcome.at:,.0f}" if outcome.at else ""
        print(
            f"round {number + 1}  {outcome.broker:18} {said or f'{outcome.scenario}: {outcome.problem}'}{at}"
            + (f"  [{outcome.by}]" if outcome.by else "")
            + (f"  ({outcome.detail})" if outcome.detail else ""),
            file=sys.stderr,
            flush=True,
        )


def _failed(broker: Broker, name: str, error: Exception, by: str) -> Outcome:
    return Outcome(broker.name, name, {}, "failed", f"{type(error).__name__}: {error}", by=by)


def choose(wanted: str | None, known: Sequence[str], what: str) -> list[str]:
    """The names in a list with commas, in the order in which we know them; ``none``: no name at all.

    Raises:
        SystemExit: if one is not known.
    """
    if wanted is None:
        return list(known)
    names = [] if wanted == "none" else [name.strip() for name in wanted.split(",") if name.strip()]
    for name in names:
        if name not in known:
            sys.exit(f"No {what} is called {name!r}; there are: {', '.join(known)}")
    return [name for name in known if name in names]


def read_options(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Compare Telex with other MQTT brokers on this machine.")
    parser.add_argument("--brokers", metavar="A,B", help=f"which of: {_names(BROKERS)} (all that are found)")
    parser.add_argument("--scenarios", metavar="A,B", help=f"which of: {_names(SCENARIOS)}; none (all)")
    parser.add_argument("--curves", metavar="A,B", help=f"which of: {_names(CURVES)}; none (all)")
    parser.add_argument("--seconds", type=float, help="of each measurement, after a second of warm-up (2)")
    parser.add_argument("--rounds", type=int, default=1, help="of all scenarios; the medians are told (1)")
    parser.add_argument("--clients", type=int, help="idle clients, and most clients of a curve (10,000)")
    quick = "nearly everything in short, to see that it works: two brokers, one load generator, curves of three points"
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--install", action="store_true", help="install the brokers that pip and npm can install")
    parser.add_argument("--no-pin", action="store_true", help="let the system choose the cores")
    parser.add_argument("--build", type=Path, default=REPOSITORY / "build" / "bench", help="where (build/bench)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every outcome, there (BUILD/outcomes.json)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write what is printed there, too")
    docs = "make docs/performance.md, docs/sizing.md, their charts and the record anew"
    parser.add_argument("--docs", action="store_true", help=docs)
    parser.add_argument("--from", dest="source", type=Path, metavar="FILE", help="measure nothing: take what is there")
    parser.add_argument("--onto", type=Path, metavar="FILE", help="keep of that run what this one does not measure")
    options = parser.parse_args(words)
    usual = _QUICK if options.quick else {"seconds": 2.0, "warm_up": _WARM_UP, "clients": 10_000}
    options.seconds = usual["seconds"] if options.seconds is None else options.seconds
    options.clients = usual["clients"] if options.clients is None else options.clients
    options.warm_up = usual["warm_up"]
    if options.quick and options.brokers is None:
        options.brokers = _QUICK_BROKERS
    if options.quick and options.scenarios is None:
        options.scenarios = ",".join(each.name for each in SCENARIOS if each.name not in _SLOW)
    if options.seconds <= 0 or options.rounds < 1 or options.clients < 10:
        parser.error("--seconds and --rounds must be positive, --clients ten or more")
    return options


def _names(what: Sequence[Broker] | Sequence[Scenario] | Sequence[Curve]) -> str:
    return ", ".join(each.name for each in what)


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


def measure(options: argparse.Namespace, build: Path) -> dict[str, Any]:
    """Measure what the options ask for: settings, facts and outcomes, as they are kept.

    Raises:
        SystemExit: nothing can be measured.
    """
    began = time.monotonic()
    names = choose(options.brokers, [broker.name for broker in BROKERS], "broker")
    wanted = choose(options.scenarios, [scenario.name for scenario in SCENARIOS], "scenario")
    wanted_curves = choose(options.curves, [curve.name for curve in CURVES], "curve")
    clients = allow_open_files(options.clients)
    if clients < options.clients:
        print(f"The limit of open files allows only {clients:,} idle clients.", file=sys.stderr)
    programs, missing = find_brokers(names, build, options.install)
    for title, why in missing.items():
        print(f"{title}: {why}", file=sys.stderr)
    if not programs or clients < 1:
        sys.exit("There is no broker to measure.")
    brokers = [broker for broker in BROKERS if broker.name in programs]
    cores = sorted(os.sched_getaffinity(0))
    pins = len(cores) > 1 and not options.no_pin
    load, has_tls = compile_load(build)
    half = max(1, len(cores) // 2)
    bench = Bench(
        load,
        build,
        options.seconds,
        options.warm_up,
        clients,
        set(cores[half:]) if pins else None,
        set(cores[:half]) if pins else None,
    )
    pairs = [
        (scenario, broker)
        for scenario in _in_order([each for each in SCENARIOS if each.name in wanted], wanted)
        if has_tls or scenario.over is not Over.TLS or not scenario.load
        for broker in brokers
        if is_measured(broker, scenario, asked=options.brokers not in (None, _QUICK_BROKERS))
    ]
    if not has_tls:
        missing["load.c over TLS"] = "left out: no OpenSSL headers to compile with (Debian: apt install libssl-dev)"
    curve_pairs = [
        (curve, broker)
        for curve in CURVES
        if curve.name in wanted_curves
        for broker in brokers
        if broker.name in CURVE_BROKERS
    ]
    _tell_how_long(options, pairs, curve_pairs)
    commits = [commits_per_second(build)]
    run = Run(bench, programs)
    run.scenarios(pairs, options.rounds, is_quick=options.quick)
    run.curves(curve_pairs, clients, is_quick=options.quick)
    commits.append(commits_per_second(build))
    placed = "load generator and brokers on cores of their own" if pins else "the system chose the cores"
    facts = [f"{title}: {why}" for title, why in missing.items()]
    facts += [
        said_of_machine(),
        f"Python {platform.python_version()}; "
        + "; ".join(dict.fromkeys(program.version for program in programs.values())),
        f"Median of {options.rounds} x {options.seconds:g} s for each figure; {placed}; {clients:,} idle clients;"
        f" {time.strftime('%Y-%m-%d')}, {(time.monotonic() - began) / 60:.0f} min in all",
        said_of_disk(build, commits),
        "Command: " + shlex.join(["python", "benchmarks/compare.py", *sys.argv[1:]]),
    ]
    settings = {"clients": clients, "seconds": options.seconds, "rounds": options.rounds}
    return {"settings": settings, "facts": facts, "outcomes": [asdict(outcome) for outcome in run.outcomes]}


def _in_order(scenarios: Sequence[Scenario], wanted: Sequence[str]) -> Iterator[Scenario]:
    """As they stand, but first those whose maximum is asked for and that nobody has named."""
    for needed in dict.fromkeys(each.share_of for each in scenarios if each.share):
        if needed not in wanted:
            yield next(each for each in SCENARIOS if each.name == needed)
    yield from scenarios


def _tell_how_long(
    options: argparse.Namespace,
    pairs: Sequence[tuple[Scenario, Broker]],
    curve_pairs: Sequence[tuple[Curve, Broker]],
) -> None:
    each = options.seconds + options.warm_up
    ways = [1 if options.quick else len(scenario.ways) for scenario, _ in pairs]
    count = sum(ways) * options.rounds
    seconds = sum(number * _lasts(scenario, each) for number, (scenario, _) in zip(ways, pairs, strict=True))
    seconds *= options.rounds
    points = sum(len(points_for(curve, clients=options.clients, is_quick=options.quick)) for curve, _ in curve_pairs)
    seconds += points * (options.seconds + options.warm_up / 2 + _AROUND_POINT)
    print(f"{count + points} measurements, about {seconds / 60:.0f} minutes.", file=sys.stderr)


_IDLE: Final = 8.0  # times as long as others
_AROUND: Final = 1.5  # seconds: a broker's start, and all that connects
_AROUND_POINT: Final = 2.0  # of a curve, where there is more


def _lasts(scenario: Scenario, each: float) -> float:
    """The seconds that a scenario takes with one broker and one load generator, with all around it; roughly."""
    if scenario.name == "restart":
        return 40.0
    if scenario.name == "idle":
        return _IDLE * each + 10.0
    more = 2.0 if scenario.table == "frozen" or not scenario.plan else 1.0
    return more * each + _AROUND


def told(made: Report) -> str:
    """What is printed: all sections, each with its heading."""
    return "\n\n".join(f"{heading}:\n\n{made.sections[name]}" for name, heading in _HEADINGS.items()) + "\n"


def main() -> int:
    """Run the comparison; returns the exit code: 0, unless nothing could be measured."""
    options = read_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that brokers are stopped
    build: Path = options.build.resolve()
    build.mkdir(parents=True, exist_ok=True)
    (build / ".gitignore").write_text("*\n")
    if options.source:
        found = json.loads(options.source.read_text())
    else:
        found = measure(options, build)
        if options.onto:
            found = laid_onto(json.loads(options.onto.read_text()), found)
        keep(found, options.json or build / "outcomes.json")
    outcomes = [Outcome.from_json(each) for each in found["outcomes"]]
    made = report(outcomes, found["facts"])
    print(told(made))
    if options.markdown:
        options.markdown.write_text(told(made))
    if options.docs:
        write(made)
        keep({**found, "outcomes": [asdict(each) for each in medians(outcomes)]}, RECORD)
    return 0 if any(outcome.figures for outcome in outcomes) else 1


def laid_onto(before: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """A run, and of another one what it has not measured: whole scenarios and curves, so that ratios are of one run."""
    anew = {each["scenario"] for each in found["outcomes"]}
    rest = [each for each in before["outcomes"] if each["scenario"] not in anew]
    said = [f"What else there is, before that: {fact}" for fact in before["facts"] if fact.startswith(_OF_A_RUN)]
    return {**found, "facts": [*found["facts"], *said], "outcomes": [*rest, *found["outcomes"]]}


def keep(found: dict[str, Any], file: Path) -> None:
    """Write a run to a file: one line for each outcome, without what is as it comes."""
    bare = asdict(Outcome("", "", {}))
    lines = [
        json.dumps({name: value for name, value in each.items() if name == "figures" or value != bare[name]})
        for each in found["outcomes"]
    ]
    head = ",\n".join(f"{json.dumps(name)}: {json.dumps(found[name])}" for name in ("settings", "facts"))
    file.write_text("{\n" + head + ',\n"outcomes": [\n' + ",\n".join(lines) + "\n]\n}\n")


if __name__ == "__main__":
    sys.exit(main())
