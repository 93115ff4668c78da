"""Two runs beside each other."""

from typing import Any

import pytest

from telex.bench import comparison
from telex.bench.result import Result, Watched
from tests.bench.test_table import ASKED, a_result, a_tally, times


def lines(before: Result, now: Result) -> list[str]:
    return [line.text for line in comparison.compared(before, now)]


def half_as_fast() -> Result:
    return a_result(measured=a_tally(5_000, 2.0, latency=times(40, 45, 50, 5_100)), own_cpu_seconds=1.0)


def test_both_are_told_with_what_one_is_of_the_other() -> None:
    assert lines(a_result(), half_as_fast()) == [
        "beside the run that was saved",
        "                      before           now         ratio",
        "sent/s                 5,000         2,500         0.50x         worse",
        "acknowledged/s         5,000         2,500         0.50x         worse",
        "received/s             5,000         2,500         0.50x         worse",
        "latency p50          90.2 µs       45.1 µs         0.50x        better",
        "latency p90          5.00 ms       5.10 ms         1.02x",
        "latency p99          5.00 ms       5.10 ms         1.02x",
        "latency p99.9        5.00 ms       5.10 ms         1.02x",
        "latency most         5.00 ms       5.10 ms         1.02x",
        "load/message          100 µs        200 µs         2.00x         worse",
        "",
        "one run beside one run: less than a tenth may be chance",
    ]


def test_a_broker_that_was_watched_both_times_is_compared_too() -> None:
    before = a_result(
        watched=Watched(cpu_seconds=0.5, memory_before=40_000_000, memory_after=43_000_000),
        connected=1_000,
        described={**ASKED, "idle": 998},
    )
    now = a_result(
        watched=Watched(cpu_seconds=0.25, memory_before=40_000_000, memory_after=46_000_000),
        connected=1_000,
        described={**ASKED, "idle": 998},
    )
    told = {figure.label: figure for figure in comparison.figures(before, now)}
    assert told["broker/message"].ratio == 0.5
    assert (told["memory/client"].before, told["memory/client"].now) == (3_000, 6_000)
    assert told["memory then"].told(43_000_000) == "43.0 MB"
    assert "broker/message" not in {figure.label for figure in comparison.figures(a_result(), now)}


def test_losses_are_compared_where_there_are_some() -> None:
    told = lines(a_result(lost=0), a_result(lost=5))
    assert "lost                       0             5                       worse" in told
    assert not [each for each in lines(a_result(), a_result()) if each.startswith(("lost", "came again"))]


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({"size": 64}, {"size": 1_024}, "size was 64 before, and is 1024 now"),
        ({"share": ""}, {"share": "group"}, "share was not said before, and is group now"),
        ({"user_properties": 0}, {}, "user-properties was 0 before, and is not said now"),
        ({"retain": False}, {"retain": True}, "retain was off before, and is on now"),
    ],
)
def test_what_was_asked_differently_is_said(before: dict[str, Any], now: dict[str, Any], said: str) -> None:
    found = lines(a_result(described=before), a_result(described=now))
    assert found[-2] == f"asked differently: {said}"


def test_another_broker_is_not_another_question() -> None:
    found = lines(
        a_result(described={"broker": "a:1883"}), a_result(described={"broker": "b:1883", "load_average": 0.5})
    )
    assert not [each for each in found if each.startswith("asked differently")]


def test_runs_of_two_kinds_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="a run of telex bench pub, which cannot be compared with pairs"):
        comparison.compared(a_result(kind="pub"), a_result())


def test_a_run_is_the_same_when_it_was_saved() -> None:
    result = a_result(watched=Watched(cpu_seconds=0.5), complaints=["a"], lost=2)
    again = Result.from_json(result.to_json())
    assert again.to_json() == result.to_json()
    assert not [figure for figure in comparison.figures(result, again) if figure.before != figure.now]
