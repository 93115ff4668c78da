"""One measurement: a broker is started afresh, a load generator does its work, and what came of it becomes figures.

Knows both load generators by what they are told and what they say. Knows no table.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

import restart
from brokers import Broker, BrokerFailed, Program, Server, environment, last_line, running, running_on
from figures import Outcome
from machine import core_count, others_cpu_seconds
from plain import NotKept
from scenarios import BENCH, LOAD, Scenario, plan_of
from telex.bench.plan import Plan
from telex.bench.result import Result
from telex.bench.run import run
from telex.errors import MqttError

_OPENING_SECONDS: Final = 60  # for all connections of a scenario
_SPARE_SECONDS: Final = 60  # that a load may take beyond what its options add up to
_SPARE_BENCH_SECONDS: Final = 240  # that telex bench may take for what comes before and behind, and what is slow
_FILLING_SECONDS: Final = 600  # that a load may take that has no time but a number of messages
_IDLE: Final = 10  # times as long as messages, since idle clients speak seldom
_FEW: Final = 10  # connections on a side, from which more than one process of the load generator has something to do

RATE_NOT_REACHED: Final = "rate not reached"
"""For a cell: what of latency there is then says how long a queue has become, and nothing else."""

_KEPT_UP: Final = 0.98  # of a rate, which is then reached
_NOT_LEFT: Final = "the rate was not reached"  # in a complaint of telex bench
_COUNTED: Final = ("rate", "connections", "cpu_us", "p50")  # figures of which there is none without a count
_IMPORTS: Final = 5  # of which the median is taken


@dataclass(frozen=True)
class Bench:
    """What all measurements have in common."""

    load: Path | None
    """load.c, compiled; None: what takes it is left out."""
    build: Path
    seconds: float
    warm_up: float
    clients: int
    """How many are idle."""
    load_cores: set[int] | None
    broker_cores: set[int] | None

    def cores_for(self, broker: Broker) -> set[int] | None:
        """Where a broker runs; None: where the system wants."""
        return None if broker.has_worker_threads and core_count() <= 2 else self.broker_cores

    def measure(
        self, broker: Broker, program: Program, scenario: Scenario, by: str, *, maximum: float | None = None
    ) -> Outcome:
        """Start the broker afresh, run the scenario once, stop the broker.

        Args:
            broker: which one it is.
            program: how it is started.
            scenario: what it is asked.
            by: the load generator.
            maximum: messages a second, where the scenario is a share of that.
        """
        if scenario.name == "import":
            return _time_import(broker, program, scenario)
        try:
            with running(broker, program, self.cores_for(broker), self.build, scenario.queues, scenario.over) as server:
                if scenario.name == "start":
                    return judge(broker, scenario, server, {"ok": True, "ready": server.ready_seconds}, 0.0, "")
                if by == BENCH:
                    words = dict(scenario.plan or {})
                    if scenario.name == "idle":
                        words |= {"idle": self.clients - 1, "seconds": _IDLE * self.seconds}  # and one subscriber
                    rate = 0.0 if maximum is None else scenario.share * maximum
                    plan = plan_of(words, server, seconds=self.seconds, warm_up=self.warm_up, rate=rate)
                    return self.carry_out(broker, scenario, server, plan)
                if scenario.name == "restart":
                    return self._restart(broker, server, scenario)
                return replace(self._make_load(broker, server, scenario), by=LOAD)
        except BrokerFailed as failure:
            return Outcome(broker.name, scenario.name, {}, "failed", str(failure), by=by)

    # telex bench

    def carry_out(self, broker: Broker, scenario: Scenario, server: Server, plan: Plan) -> Outcome:
        """Have telex bench do what a plan asks, in this process and in those that it starts."""
        if self.load_cores and max(plan.publishers, plan.subscribers) >= _FEW:
            plan = replace(plan, processes=len(self.load_cores))
        before, began = others_cpu_seconds(server), time.monotonic()
        try:
            with running_on(self.load_cores):
                result = _run_in_time(plan)
        except (MqttError, OSError) as error:
            words = "; ".join(filter(None, (str(error) or type(error).__name__, server.last_words())))
            return Outcome(broker.name, scenario.name, {}, "failed", words, by=BENCH)
        others = (others_cpu_seconds(server) - before) / (time.monotonic() - began)
        figures = figures_of(result, plan)
        problem = problem_in(result, plan)
        if not problem and not count_of(result) and scenario.columns[0].field in _COUNTED:
            problem = "nothing arrived while it was measured"
        said: dict[str, Any] = {"ok": not problem, **figures}
        if problem:
            said |= {
                "problem": problem,
                "missing": result.lost,
                "expected": result.lost + result.measured.received,
            }
        outcome = judge(broker, scenario, server, said, others, "")
        return replace(outcome, by=BENCH, more=figures, cpu_us=figures.get("cpu_us", 0.0))

    # load.c

    def _make_load(self, broker: Broker, server: Server, scenario: Scenario) -> Outcome:
        before, began = others_cpu_seconds(server), time.monotonic()
        result, errors = self._run(scenario.load, server, 2 * (_OPENING_SECONDS + self.seconds) + _SPARE_SECONDS)
        others = (others_cpu_seconds(server) - before) / (time.monotonic() - began)
        result["rate"] = result["connections"] = result.get("value", 0.0)
        outcome = judge(broker, scenario, server, result, others, errors)
        cpu_us = 1e6 * outcome.broker_cpu / result["rate"] if result["rate"] else 0.0
        return replace(outcome, cpu_us=cpu_us)

    def _restart(self, broker: Broker, server: Server, scenario: Scenario) -> Outcome:
        """Fill the broker, kill it, see how long it takes to be back, and whether it kept everything."""
        filled, errors = self._run(scenario.load, server, _FILLING_SECONDS)
        if not filled.get("ok"):
            return judge(broker, scenario, server, filled, 0.0, errors)
        try:
            restart.retain(server)
            server.kill()
            seconds = restart.seconds_until_ready(server)
            mib = server.memory_kib() / 1024
            # With patience: NATS sends what the client before did not acknowledge only after 30 seconds.
            collect = f"collect --id {restart.CLIENT_ID} --messages {restart.QUEUED} --patience 40"
            result, errors = self._run(collect, server, _FILLING_SECONDS)
            retained = restart.count_retained(server)
        except (NotKept, OSError) as error:
            return judge(broker, scenario, server, {"problem": str(error)}, 0.0, "")
        if result.get("ok") and retained < restart.RETAINED:
            lost = {"missing": restart.RETAINED - retained, "expected": restart.RETAINED}
            result = {"problem": "lost", **lost}
        return judge(broker, scenario, server, {**result, "restart": seconds, "mib": mib}, 0.0, errors)

    def _run(self, load: str, server: Server, timeout: float) -> tuple[dict[str, Any], str]:
        """Run load.c: its result, and what it said of errors."""
        with self._start(load, server) as process:
            try:
                printed, errors = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                printed, errors = process.communicate()
        return last_json(printed), errors

    def _start(self, load: str, server: Server) -> subprocess.Popen[str]:
        assert self.load is not None  # nobody chose load.c otherwise
        options = {
            "--port": server.port,
            "--watch": ",".join(map(str, server.pids)),
            "--seconds": self.seconds,
            "--warmup": self.warm_up,
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


def _run_in_time(plan: Plan) -> Result:
    """As ``run``; but whatever happens it ends, as by Ctrl-C, when it has taken minutes longer than it should.

    Raises:
        TimeoutError: it had to.
        KeyboardInterrupt: somebody has pressed Ctrl-C.
    """
    limit = plan.warm_up + plan.seconds + _SPARE_BENCH_SECONDS
    timer = threading.Timer(limit, os.kill, (os.getpid(), signal.SIGINT))
    timer.daemon = True
    timer.start()
    try:
        result = run(plan)
        had_to_end = not timer.is_alive()
    finally:
        timer.cancel()
    if result.interrupted and not had_to_end:
        raise KeyboardInterrupt
    if had_to_end:
        raise TimeoutError(f"telex bench had not ended after {limit:.0f} s")
    return result


# What telex bench's result says in figures


def figures_of(result: Result, plan: Plan) -> dict[str, float]:
    """The figures of a run, by the names that columns use; those that it does not give are not there."""
    measured = result.measured
    seconds = measured.seconds or 1.0
    count = count_of(result)
    figures = {"rate": count / seconds, "load_cpu": result.own_cpu_seconds / seconds}
    if plan.kind == "connect":
        figures["connections"] = measured.connected / seconds
    if plan.kind == "churn":
        figures["subscriptions"] = measured.subscribed / seconds
    if measured.latency.count:
        for name, percent in (("p50", 50), ("p90", 90), ("p99", 99), ("p999", 99.9)):
            figures[name] = measured.latency.percentile(percent)
    if result.watched is not None:
        watched, clients = result.watched, plan.idle + plan.publishers + plan.subscribers
        figures["broker_cpu"] = watched.cpu_seconds / seconds
        figures["cpu_percent"] = 100 * watched.cpu_seconds / seconds
        figures["mib"] = watched.memory_after / (1 << 20)
        figures["grown_mib"] = (watched.memory_after - watched.memory_before) / (1 << 20)
        figures["kib"] = (watched.memory_after - watched.memory_before) / 1024 / clients
        if count:
            figures["cpu_us"] = 1e6 * watched.cpu_seconds / count
    return figures


def count_of(result: Result) -> int:
    """How many of what a run is about there were: messages, connections, or subscriptions."""
    measured = result.measured
    if result.kind == "connect":
        return measured.connected
    if result.kind == "churn":
        return measured.subscribed
    if result.kind == "pub":
        return measured.acknowledged or measured.sent  # at QoS 0 nobody acknowledges
    return measured.received


def problem_in(result: Result, plan: Plan) -> str:
    """In a word, as load.c says it, or in a sentence; nothing, if there is none."""
    measured = result.measured
    if result.lost:
        return "lost"
    if result.duplicated:
        return "duplicates"
    if result.misordered:
        return "out of order"
    if plan.rate and measured.sent < _KEPT_UP * plan.rate * measured.seconds:
        return RATE_NOT_REACHED
    # Of a rate that was reached, some messages may have been due at the very end.
    others = [each for each in result.complaints if _NOT_LEFT not in each]
    return "; ".join(others)


def judge(
    broker: Broker, scenario: Scenario, server: Server, result: dict[str, Any], others: float, errors: str
) -> Outcome:
    """Turn what a load generator said into figures, or into a problem with its reason."""
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
    if said == RATE_NOT_REACHED:
        return said, ""
    reason = "nothing moved any more" if said == "stalled" else said
    problem = said if said in ("duplicates", "out of order", "stalled") else "failed"
    return problem, f"{reason}; {last_words}".removesuffix("; ")


def last_json(printed: str) -> dict[str, Any]:
    """The load generator's result, which is the last line that it printed; empty if that is none."""
    try:
        result = json.loads(last_line(printed))
    except ValueError:
        return {}
    return result if isinstance(result, dict) else {}


# What takes no load


def _time_import(broker: Broker, program: Program, scenario: Scenario) -> Outcome:
    """Milliseconds that ``import telex`` adds to a Python that does nothing else."""
    bare, whole = (
        median(_seconds_of(["-c", code], program.python_path) for _ in range(_IMPORTS))
        for code in ("pass", "import telex")
    )
    return Outcome(broker.name, scenario.name, {scenario.columns[0].title: 1000 * max(0.0, whole - bare)})


def _seconds_of(words: list[str], python_path: str | None) -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, *words], check=True, timeout=30, env=environment(python_path), cwd="/")
    return time.monotonic() - began
