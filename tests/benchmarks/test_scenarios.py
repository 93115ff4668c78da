"""What is measured fits together; and a tiny measurement of Telex, from its start to its figures."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brokers import BROKERS, Broker, Over, Program, Server
from compare import _in_order as in_order
from curves import BROKERS as CURVE_BROKERS
from curves import CURVES, measure_curve, points_for
from measure import Bench, problem_in, problem_of
from scenarios import BENCH, SCENARIOS, TARGETS, is_measured, plan_of
from telex.bench.result import Result, Tally

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="benchmarks need /proc, and sets of cores")

NAMES = [broker.name for broker in BROKERS]


def some_server(process: "subprocess.Popen[bytes]") -> Server:
    return Server(1883, lambda: process, process, Path(os.devnull), Over.TCP)


@pytest.fixture(name="server")
def _server() -> Server:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return some_server(process)


def test_names_and_titles_are_of_one_thing_each() -> None:
    for names in (
        NAMES,
        [scenario.name for scenario in SCENARIOS] + [curve.name for curve in CURVES],
        [column.title for scenario in SCENARIOS for column in scenario.columns],
        [line.title for curve in CURVES for line in curve.lines],
    ):
        assert len(set(names)) == len(names)


def test_every_scenario_has_a_plan_that_fits_together(server: Server) -> None:
    for scenario in SCENARIOS:
        if scenario.plan is not None:
            rate = 100.0 if scenario.share else 0.0
            plan = plan_of(scenario.plan, server, seconds=1.0, rate=rate)
            assert (plan.dialer.address.port, plan.watch, plan.version) == (1883, server.process.pid, scenario.version)


def test_every_point_of_every_curve_has_a_plan_that_fits_together(server: Server) -> None:
    for curve in CURVES:
        for count in curve.points:
            plan = plan_of(curve.plan(count), server, seconds=1.0)
            if curve.name.startswith(("subscriptions", "churn")):
                assert plan.idle * plan.subscriptions == count
                assert plan.subscriptions <= 10_000  # what Telex allows, as it comes


def test_a_curve_goes_no_further_than_open_files_do_and_is_short_when_it_is_to_be_quick() -> None:
    idle = next(curve for curve in CURVES if curve.name == "beside-idle")
    assert points_for(idle, clients=1_000, is_quick=False) == (1, 10, 100, 1_000)
    assert points_for(idle, clients=10_000, is_quick=True) == (1, 100, 10_000)
    for curve in CURVES:
        assert len(points_for(curve, clients=1_000, is_quick=True)) == 3  # enough for a growth


def test_brokers_are_asked_what_they_can_do() -> None:
    names = {scenario.name: scenario for scenario in SCENARIOS}
    by_name = {broker.name: broker for broker in BROKERS}
    assert not is_measured(by_name["nats"], names["v5"], asked=True)
    assert not is_measured(by_name["nats"], names["tls"], asked=True)
    assert not is_measured(by_name["mosquitto"], names["restart"], asked=True)
    assert is_measured(by_name["aedes"], names["qos2"], asked=False)
    assert not is_measured(by_name["telex-memory"], names["qos2"], asked=False)
    assert is_measured(by_name["telex-memory"], names["qos2"], asked=True)


def test_targets_and_curves_are_of_brokers_that_are_measured_there() -> None:
    by_name = {broker.name: broker for broker in BROKERS}
    scenario_of = {column.title: scenario for scenario in SCENARIOS for column in scenario.columns}
    for target in TARGETS:
        for name in (target.broker, target.of_broker):
            scenario = scenario_of[target.of_column or target.column]
            absolute = not next(each for each in scenario.columns).is_compared
            assert is_measured(by_name[name], scenario, asked=False) or absolute, (name, scenario.name)
    assert set(CURVE_BROKERS) <= set(NAMES)


def test_what_a_share_is_of_is_measured_first() -> None:
    wanted = ["latency1-50"]
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in wanted]
    assert [scenario.name for scenario in in_order(scenarios, wanted)] == ["qos1-pairs", "latency1-50"]


def a_result(**what: Any) -> Result:
    return Result(kind="pairs", measured=Tally(seconds=2.0, sent=200, received=200), **what)


def test_what_went_wrong_in_a_run_is_said_in_a_word(server: Server) -> None:
    plan = plan_of({"kind": "pairs"}, server, seconds=2.0, rate=100.0)
    late = "3 of the messages that were due did not leave: the rate was not reached"
    assert problem_in(a_result(), plan) == ""
    assert problem_in(a_result(complaints=[late]), plan) == ""  # it was, as far as anybody can tell
    assert problem_in(a_result(complaints=[late]), replace(plan, rate=150.0)) == "rate not reached"
    assert problem_in(a_result(lost=1), replace(plan, rate=150.0)) == "lost"
    assert problem_in(a_result(duplicated=1), plan) == "duplicates"
    assert problem_in(a_result(misordered=1), plan) == "out of order"
    assert problem_in(a_result(complaints=["a client lost the connection"]), plan) == "a client lost the connection"


def test_a_problem_becomes_a_word_for_a_cell_and_a_reason_for_the_notes() -> None:
    lost = {"problem": "lost", "missing": 3, "expected": 100}
    assert problem_of(lost, "", "last words") == ("lost 3.0%", "3 of 100 messages did not arrive")
    assert problem_of({"problem": "rate not reached"}, "", "last words") == ("rate not reached", "")
    assert problem_of({"problem": "stalled"}, "", "last words") == ("stalled", "nothing moved any more; last words")
    assert problem_of({"problem": "a client was lost"}, "", "") == ("failed", "a client was lost")


def telex(build: Path) -> tuple[Broker, Program]:
    broker = next(each for each in BROKERS if each.name == "telex-interpreted")
    program = broker.find(build)
    assert isinstance(program, Program), program
    return broker, program


def test_telex_is_measured(tmp_path: Path) -> None:
    """Started, loaded by telex bench, watched, and stopped; and a curve, whose broker stays."""
    broker, program = telex(tmp_path)
    bench = Bench(None, tmp_path, 0.3, 0.1, 10, None, None)
    scenario = next(each for each in SCENARIOS if each.name == "qos1")
    outcome = bench.measure(broker, program, scenario, BENCH)
    assert (outcome.problem, outcome.detail) == ("", "")
    assert outcome.figures["QoS 1, 1 to 1"] == outcome.more["rate"] > 0
    assert outcome.cpu_us > 0
    assert outcome.more["mib"] > 1
    curve = next(each for each in CURVES if each.name == "retained")
    points = list(measure_curve(bench, broker, program, curve, (1, 40)))
    assert [(point.at, point.problem) for point in points] == [(1, ""), (40, "")]
    assert all(set(point.figures) == {line.title for line in curve.lines} for point in points)
    assert not list(tmp_path.glob("running-*"))
