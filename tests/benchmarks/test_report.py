"""Tables, charts and documents, from figures that are made up."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from compare import keep, laid_onto, read_options, told
from curves import CURVES
from figures import Column, Outcome, Results, medians
from report import DOCUMENTS, IMAGES, report, targets, with_sections
from scenarios import BENCH, LOAD, SCENARIOS, maximum_of
from sizing import RECORD, Costs, Fleet, NotMeasured, cores_for, cost_table, need_of
from sizing import main as sizing_command

BROKERS = ("telex-compiled", "mosquitto")
SETTINGS = {"clients": 10_000, "seconds": 2.0, "rounds": 1}


def outcomes() -> list[Outcome]:
    """A whole run of two brokers, of which one does everything ten times as well as the other."""
    made = []
    for scenario in SCENARIOS:
        for broker in BROKERS:
            for by in scenario.ways:
                good = 10.0 if broker == "telex-compiled" else 1.0
                figures = {
                    column.title: 20.0 / good if column.lower_is_better else 20.0 * good for column in scenario.columns
                }
                more = {"rate": 20.0 * good}
                made.append(Outcome(broker, scenario.name, figures, load_cpu=0.5, by=by, cpu_us=50.0 / good, more=more))
    for curve in CURVES:
        for broker in BROKERS:
            for point in curve.points:
                costs = {line.title: 3.0 if line.expected == "flat" else 3.0 + 0.01 * point for line in curve.lines}
                made.append(Outcome(broker, curve.name, costs, by=BENCH, at=point, cpu_us=3.0))
    return made


def changed(broker: str, scenario: str, by: str, **what: object) -> list[Outcome]:
    return [
        replace(each, **what) if (each.broker, each.scenario, each.by) == (broker, scenario, by) else each  # type: ignore[arg-type]
        for each in outcomes()
    ]


def column_of(name: str) -> Column:
    return next(each for each in SCENARIOS if each.name == name).columns[0]


def test_a_whole_run_fills_every_section_and_every_picture() -> None:
    made = report(outcomes(), ["Machine: a good one"])
    assert "Not measured" not in "".join(made.sections.values())
    assert "- Machine: a good one" in made.sections["facts"]
    assert {"performance-throughput.svg", "performance-churn.svg", "performance-look.svg"} <= set(made.pictures)
    for drawn in made.pictures.values():
        assert ElementTree.fromstring(drawn).tag.endswith("svg")
    for name, section in made.sections.items():
        assert section.strip() in told(made) or name in ("costs", "fleets")  # which are sizing.md's


def test_every_picture_of_a_section_is_made_and_every_one_made_is_shown() -> None:
    made = report(outcomes(), [])
    text = "".join(made.sections.values())
    assert {name for name in made.pictures if f"images/{name}" in text} == set(made.pictures)
    assert text.count("](images/") == len(made.pictures)


def test_a_run_of_nothing_says_so() -> None:
    made = report([], [])
    assert made.sections["throughput"].startswith("Not measured")
    assert made.sections["fleets"] == "Not measured."
    assert not made.pictures


def test_the_better_of_two_load_generators_counts_and_is_named() -> None:
    column = column_of("qos0")
    results = Results(changed("telex-compiled", "qos0", LOAD, figures={column.title: 300.0}))
    assert results.figure("telex-compiled", column.title) == 300.0
    assert results.multiple("telex-compiled", column.title) == 15.0
    assert results.cell("telex-compiled", "qos0", column) == "300† (15x)"
    assert results.cell("mosquitto", "qos0", column) == "20 (1x)"


def test_a_load_generator_that_is_busy_is_told() -> None:
    column = column_of("qos2")
    results = Results(changed("mosquitto", "qos2", BENCH, load_cpu=0.95))
    assert results.cell("mosquitto", "qos2", column) == "20* (1x)"
    assert "may have set the limit" in report(results.outcomes, []).sections["throughput"]


def test_what_was_lost_is_in_the_cell_and_its_reason_in_the_notes() -> None:
    lossy = changed("mosquitto", "qos2", BENCH, figures={}, problem="lost 3.0%", detail="30 of 1,000 messages")
    made = report(lossy, [])
    assert "lost 3.0%" in made.sections["throughput"]
    assert "- mosquitto, qos2: 30 of 1,000 messages" in made.sections["facts"]


def test_a_target_that_is_missed_is_told_as_it_is() -> None:
    column = column_of("qos2")
    rows = {
        row[0]: row for row in targets(Results(changed("telex-compiled", "qos2", BENCH, figures={column.title: 80.0})))
    }
    assert rows["Telex, compiled: QoS 2, 1 to 1"] == ["Telex, compiled: QoS 2, 1 to 1", "at least 6x", "4x", "no"]
    assert rows["Telex, compiled: QoS 1, 1 to 1"][2:] == ["10x", "yes"]
    assert rows["Telex, interpreted: QoS 1, 1 to 1"][2:] == ["-", "not measured"]


def test_where_another_broker_is_ahead_is_said_plainly() -> None:
    assert report(outcomes(), []).sections["ahead"] == "Nowhere, in this run."
    column = column_of("qos2")
    text = report(changed("mosquitto", "qos2", BENCH, figures={column.title: 500.0}), []).sections["ahead"]
    row = text.splitlines()[2]
    assert [cell.strip() for cell in row.split("|")[1:-1]] == [
        *("QoS 2, 1 to 1", "200", "Mosquitto (C)", "500", "2.5x as much")
    ]


def test_where_another_broker_needs_less_at_a_point_of_a_curve_is_said_too() -> None:
    curve = next(each for each in CURVES if each.name == "payload")
    [line] = curve.lines
    cheaper = [
        replace(each, figures={line.title: 1.0})
        if (each.scenario, each.broker, each.at) == (curve.name, "mosquitto", 16_384)
        else each
        for each in outcomes()
    ]
    [row] = report(cheaper, []).sections["ahead"].splitlines()[2:]
    assert "a message with a larger payload, µs of CPU, at 16,384" in row
    assert "| Mosquitto (C) | 1 " in row


def test_a_curve_that_grows_where_it_should_not_is_named() -> None:
    curve = next(each for each in CURVES if each.name == "churn-#")
    [line] = curve.lines
    spoiled = [
        replace(each, figures={line.title: 3.0 + 0.01 * each.at})
        if each.scenario == curve.name and each.broker == "telex-compiled"
        else each
        for each in outcomes()
    ]
    rows = report(spoiled, []).sections["growth"].splitlines()
    [row] = [each for each in rows if each.startswith(f"| {line.title}")]
    assert "| linear (slope" in row
    assert row.split("|")[-2].strip() == "no"
    assert all(each.split("|")[-2].strip() == "yes" for each in rows[2:] if each.startswith("|") and each != row)


def test_a_share_of_a_maximum_is_of_what_telex_bench_got_through() -> None:
    scenario = next(each for each in SCENARIOS if each.name == "latency0-50")
    reference = next(each for each in SCENARIOS if each.name == "latency0-reference")
    assert maximum_of(outcomes(), "telex-compiled", scenario) == 200.0
    assert maximum_of(outcomes(), "telex-compiled", reference) == 20.0
    assert maximum_of([], "telex-compiled", scenario) is None


def test_a_record_has_the_median_of_the_rounds_and_says_which_failed() -> None:
    rounds = [
        *(Outcome("nats", "qos0", {"QoS 0, 1 to 1": figure}, by=BENCH, cpu_us=1.0) for figure in (3.0, 9.0, 4.0)),
        Outcome("nats", "qos0", {}, "stalled", "nothing moved", by=BENCH),
    ]
    [kept] = medians(rounds)
    assert kept.figures == {"QoS 0, 1 to 1": 4.0}
    assert (kept.problem, kept.detail) == ("", "1 of 4 rounds gave no figure: nothing moved")


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    run = {"settings": SETTINGS, "facts": ["a fact"], "outcomes": [asdict(each) for each in outcomes()]}
    keep(run, tmp_path / "run.json")
    found = json.loads((tmp_path / "run.json").read_text())
    assert (found["settings"], found["facts"]) == (SETTINGS, ["a fact"])
    assert [Outcome.from_json(each) for each in found["outcomes"]] == outcomes()


def test_a_scenario_that_is_measured_again_takes_the_place_of_all_it_was() -> None:
    def run(seconds: int, *scenarios: str) -> dict[str, Any]:
        made = [asdict(Outcome(broker, name, {"x": seconds})) for name in scenarios for broker in BROKERS]
        return {"settings": {}, "facts": ["Machine: m", f"Median of 1 x {seconds} s"], "outcomes": made}

    found = laid_onto(run(1, "qos0", "qos2"), run(2, "qos2"))
    assert [(each["scenario"], each["figures"]["x"]) for each in found["outcomes"]] == [
        *[("qos0", 1)] * 2,
        *[("qos2", 2)] * 2,
    ]
    assert found["facts"] == ["Machine: m", "Median of 1 x 2 s", "What else there is, before that: Median of 1 x 1 s"]


# Documents


def test_a_section_is_made_anew_and_the_rest_is_peoples() -> None:
    text = "# Title\n<!-- made by make bench: a -->\nold\n<!-- end of a -->\nProse.\n"
    made = with_sections(text, {"a": "new"})
    assert made == "# Title\n<!-- made by make bench: a -->\n\nnew\n\n<!-- end of a -->\nProse.\n"
    assert with_sections(made, {"a": "new"}) == made


@pytest.mark.parametrize(
    "text",
    [
        "<!-- made by make bench: other -->\n<!-- end of other -->\n",
        "<!-- made by make bench: a -->\nno end\n",
        "<!-- made by make bench: a -->\n<!-- made by make bench: b -->\n<!-- end of b -->\n<!-- end of a -->\n",
    ],
)
def test_marks_that_do_not_fit_are_found(text: str) -> None:
    with pytest.raises(ValueError, match=r"wants 'other'|has no line"):
        with_sections(text, {"a": "new", "b": "new"})


def test_the_documents_have_all_sections_and_show_what_the_record_holds() -> None:
    found = json.loads(RECORD.read_text())
    made = report([Outcome.from_json(each) for each in found["outcomes"]], found["facts"])
    texts = [document.read_text() for document in DOCUMENTS]
    for name in made.sections:
        assert sum(f"<!-- made by make bench: {name} -->" in text for text in texts) == 1, name
    for text in texts:
        assert with_sections(text, made.sections) == text, "python benchmarks/compare.py --from RECORD --docs"
    assert {path.name for path in IMAGES.glob("performance-*.svg")} == set(made.pictures)


# Sizes of machines

COSTS = Costs(
    in0=2.0,
    in1=5.0,
    out0=3.0,
    out1=6.0,
    connect=50.0,
    connect_tls=500.0,
    ping=4.0,
    client=3_000.0,
    client_tls=30_000.0,
    subscription=200.0,
    retained=400.0,
)


def test_costs_come_from_a_run() -> None:
    costs = Costs.of(Results(outcomes()))
    assert (costs.in0, costs.out0, costs.client) == (5.0, 0.0, 2.0 * 1024)
    assert costs.ping == pytest.approx(2.0 * 1e4 / 1_000)  # 2% of a core for 1,000 of them a second
    assert costs.retained == pytest.approx(0.01 * (1 << 20))
    assert "5 µs" in cost_table(costs)


def test_costs_that_were_not_measured_are_missed_by_name() -> None:
    with pytest.raises(NotMeasured, match="in0"):
        Costs.of(Results([each for each in outcomes() if each.scenario != "in0"]))


def test_one_node_has_nothing_to_cross() -> None:
    need = need_of(COSTS, Fleet(title="few", clients=6_000, every=60.0, tls=False))
    assert (need.nodes, need.incoming, need.outgoing) == (1, 100.0, 100.0)
    assert need.cores == pytest.approx(100 * (5.0 + 6.0) / 1e6)  # who speaks once in 60 s sends no PINGREQ
    assert need.memory == pytest.approx((64 << 20) + 6_000 * (3_000 + 4_096))
    assert need.bits == pytest.approx(8 * 200 * 164)
    assert need.back == pytest.approx(6_000 * 50e-6)


def test_a_node_has_no_more_clients_than_come_back_in_time() -> None:
    need = need_of(COSTS, Fleet(title="quiet", clients=1_000_000, every=3_600.0))
    assert need.cores < 0.5
    assert (need.nodes, need.back) == (5, pytest.approx(100.0))  # 500 s by themselves, two minutes at most


def test_clients_that_are_silent_for_long_send_pings() -> None:
    fleet = Fleet(title="meters", clients=60_000, every=600.0, qos=0)
    assert cores_for(COSTS, fleet, 1) == pytest.approx((100 * (2.0 + 3.0) + 1_000 * 4.0) / 1e6)


def test_many_nodes_pay_for_what_crosses_and_none_is_more_than_half_busy() -> None:
    fleet = Fleet(title="many", clients=1_000_000, every=5.0, receivers=2.0)
    need = need_of(COSTS, fleet)
    assert cores_for(COSTS, fleet, 2) == pytest.approx((200_000 * 5 + 400_000 * 6 + 200_000 * 11) / 1e6)
    assert need.cores / need.nodes <= 0.5 < cores_for(COSTS, fleet, need.nodes - 1) / (need.nodes - 1)
    assert need.clients == pytest.approx(1_000_000 / need.nodes)


def test_the_arithmetic_is_a_command_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "run.json"
    keep({"settings": SETTINGS, "facts": [], "outcomes": [asdict(each) for each in outcomes()]}, record)
    words = ["sizing.py", "--clients", "6000", "--every", "60", "--no-tls", "--record", str(record)]
    monkeypatch.setattr("sys.argv", words)
    assert sizing_command() == 0
    [row] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| this fleet")]
    assert [cell.strip() for cell in row.split("|")[2:5]] == ["100", "100", "1"]
    monkeypatch.setattr("sys.argv", [*words[:-1], str(tmp_path / "nothing.json")])
    assert sizing_command() == 1
    assert "nothing.json" in capsys.readouterr().err


def test_the_command_line_knows_a_quick_run() -> None:
    quick, usual = read_options(["--quick"]), read_options([])
    assert (quick.seconds, quick.clients) == (0.4, 1_000)
    assert (usual.seconds, usual.clients, usual.rounds) == (2.0, 10_000, 1)
    assert read_options(["--quick", "--seconds", "1"]).seconds == 1.0
