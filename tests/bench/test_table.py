"""A result as text: what is told, and what is said of figures that say less than they seem to."""

from typing import Any

import pytest

from telex.bench import table
from telex.bench.histogram import Histogram
from telex.bench.numbers import counted, round_number, round_time, short, shown_size, shown_time, three_digits
from telex.bench.progress_line import shown as progress_shown
from telex.bench.result import Progress, Result, Tally, Watched

ASKED = {
    "broker": "localhost:1883",
    "version": 4,
    "publishers": 10,
    "subscribers": 1,
    "qos": 1,
    "size": 1024,
    "rate": 5_000.0,
    "seconds": 2.0,
    "processes": 1,
}


def times(*microseconds: float) -> Histogram:
    made = Histogram()
    for each in microseconds:
        made.record(each)
    return made


def a_tally(received: int = 5_000, seconds: float = 1.0, **changes: Any) -> Tally:
    counts = {"sent": received, "sent_bytes": received * 1_024, "acknowledged": received}
    return Tally(**{"seconds": seconds, **counts, "received": received, "received_bytes": received * 1_024, **changes})


def a_result(**changes: Any) -> Result:
    made = {
        "kind": "pairs",
        "described": ASKED,
        "measured": a_tally(10_000, 2.0, latency=times(80, 90, 100, 5_000)),
        "by_second": [a_tally(4_000), a_tally(6_000)],
        "own_cpu_seconds": 1.0,
    }
    return Result(**{**made, **changes})


def text(result: Result) -> str:
    return "\n".join(line.text for line in table.shown(result))


def toned(result: Result, tone: str) -> list[str]:
    return [line.text for line in table.verdict(result) if line.tone == tone]


def test_all_of_a_run_is_told() -> None:
    watched = Watched(cpu_seconds=0.5, memory_before=40_000_000, memory_after=41_000_000)
    assert text(a_result(watched=watched)) == (
        """\
telex bench pairs at localhost:1883, MQTT 3.1.1
10 publishers, 1 subscriber, QoS 1, 1k, 5,000 a second

                    a second         least          most       payload
sent                   5,000         4,000         6,000     5.12 MB/s
acknowledged           5,000         4,000         6,000
received               5,000         4,000         6,000     5.12 MB/s

                         p50           p90           p99         p99.9          most
latency              90.2 µs       5.00 ms       5.00 ms       5.00 ms       5.00 ms

                   processor     a message
load              0.50 cores        100 µs
broker            0.25 cores       50.0 µs

                memory before      and then
broker               40.0 MB       41.0 MB

every message arrived, once and in order"""
    )


def test_what_is_not_as_always_has_a_line_of_its_own() -> None:
    changes = {
        "rate": 1_000.0,
        "topics": 5,
        "depth": 4,
        "wildcard": "#",
        "share": "group",
        "retain": True,
        "alias": True,
        "kept": True,
        "user_properties": 1,
        "retained": 1_000,
        "window": 50,
        "processes": 2,
        "idle": 1_000,
        "subscriptions": 3,
    }
    first, second = list(table.asked({**ASKED, **changes}))
    assert (
        first == "10 publishers, 1 subscriber, 1,000 idle clients with 3 subscriptions each, QoS 1, 1k, 1,000 a second"
    )
    assert second == (
        "5 topics each, 4 levels, wildcard #, shared group group, retained, topic aliases, kept sessions, "
        "1 User Property, 1,000 retained messages there, no more than 50 ahead, 2 processes"
    )


def test_memory_is_told_of_each_client_where_some_are_idle() -> None:
    watched = Watched(memory_before=40_000_000, memory_after=43_000_000)
    told = text(a_result(watched=watched, connected=1_000, described={**ASKED, "idle": 998}))
    assert "3.00 kB" in told
    assert "a client" in told
    assert table.memory_of_each(a_result(watched=watched, connected=1_000)) is None
    assert table.memory_of_each(a_result(connected=1_000, described={**ASKED, "idle": 998})) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lost": 1}, "1 message never arrived"),
        (
            {"lost": 2_000, "measured": a_tally(received=0, sent=5, acknowledged=5)},
            "2,000 messages had no acknowledgement",
        ),
        ({"duplicated": 3}, "3 messages came more than once"),
        ({"misordered": 4}, "4 messages came behind a later one"),
        ({"complaints": ["the broker closed a connection"]}, "the broker closed a connection"),
    ],
)
def test_what_a_broker_must_not_do_is_said(changes: dict[str, Any], said: str) -> None:
    result = a_result(**changes)
    assert toned(result, "bad") == [said]
    assert toned(result, "good") == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"interrupted": True}, "ended early: 2.0 s were measured of 2 s"),
        ({"measured": Tally(), "by_second": []}, "it ended before anything was measured"),
        ({"measured": Tally(seconds=2.0), "by_second": []}, "nothing happened"),
        ({"kind": "sub", "measured": Tally(seconds=2.0), "by_second": []}, "nothing came"),
        ({"measured": a_tally(10_000, 2.0, refused=1)}, "the broker refused 1 connection"),
        (
            {"own_cpu_seconds": 1.95},
            "the load was busy for 97 % of its core: it, and not the broker, may have set the figures; "
            "--processes 2 may tell",
        ),
        (
            {"own_cpu_seconds": 3.9, "described": {**ASKED, "processes": 2}},
            "the load was busy for 97 % of its 2 cores: it, and not the broker, may have set the figures; "
            "--processes 4 may tell",
        ),
        (
            {"described": {**ASKED, "load_average": 6.04, "cores": 2}},
            "6.0 processes wanted 2 cores in the minute before: others may have set the figures",
        ),
        (
            {"described": {**ASKED, "rate": 6_000.0}},
            "6.00 k messages a second were to be sent, and 5.00 k were: broker or load did not keep up. "
            "Latency counts from when a message was due",
        ),
        (
            {"described": {**ASKED, "rate": 0.0}},
            "at full speed a message waits behind those before it: telex bench latency tells how long one takes",
        ),
        (
            {"described": {**ASKED, "rate": 0.0}, "measured": Tally(seconds=2.0, sent=5)},
            "at QoS 0 nobody tells a publisher what has arrived; telex bench pairs counts it",
        ),
    ],
)
def test_what_should_be_known_is_said(changes: dict[str, Any], said: str) -> None:
    assert toned(a_result(**changes), "note") == [said]


def test_a_run_as_it_should_be_needs_no_notes() -> None:
    quiet = {**ASKED, "load_average": 1.5, "cores": 1}
    assert [line.tone for line in table.verdict(a_result(described=quiet))] == ["good"]
    alone = a_result(measured=Tally(seconds=2.0, sent=10_000, acknowledged=10_000))
    assert toned(alone, "good") == ["every message was acknowledged"]
    assert toned(a_result(kind="sub"), "good") == ["of what came nothing is missing in between"]
    coming = a_result(measured=Tally(seconds=2.0, connected=50))
    assert table.verdict(coming) == []
    assert toned(a_result(interrupted=True), "good") == []


def test_programs_get_the_figures_too() -> None:
    assert table.summary(a_result()) == {
        "sent_per_second": 5_000.0,
        "acknowledged_per_second": 5_000.0,
        "received_per_second": 5_000.0,
        "latency_us": {"p50": 90.2, "p90": 5_000.0, "p99": 5_000.0, "p99.9": 5_000.0, "most": 5_000.0},
        "is_good": True,
    }
    assert table.summary(Result(kind="connect")) == {"is_good": True}


def test_connections_and_changes_are_counted_as_what_they_are() -> None:
    assert table.work_of(Tally(connected=5)) == (5, "connection")
    assert table.work_of(Tally(subscribed=5, unsubscribed=4)) == (9, "change")
    assert table.work_of(Tally(sent=5, received=500)) == (500, "message")
    assert table.work_of(Tally(sent=5)) == (5, "message")


# Numbers


def test_numbers_have_three_digits() -> None:
    values = (0, 0.0123, 0.123, 1.234, 9.996, 12.34, 99.96, 123.4, 12_345.6)
    assert [three_digits(each) for each in values] == [
        *("0", "0.012", "0.12", "1.23", "10.0", "12.3", "100", "123", "12,346")
    ]
    assert [short(each, "B") for each in (0, 5, 999.7, 84_000, 3_610_000, 2.5e9, 7e12)] == [
        *("0 B", "5.00 B", "1.00 kB", "84.0 kB", "3.61 MB", "2.50 GB", "7.00 TB")
    ]
    assert [round_number(each) for each in (0, 0.2, 5, 2_500, 5e6)] == ["0", "0.2", "5", "2.5 k", "5 M"]


def test_times_and_sizes_have_their_units() -> None:
    assert [shown_time(each) for each in (84.3, 999.7, 1_240, 2_300_000)] == ["84.3 µs", "1.00 ms", "1.24 ms", "2.30 s"]
    assert [round_time(each) for each in (10, 500, 1_000, 2e6)] == ["10 µs", "500 µs", "1 ms", "2 s"]
    assert [shown_size(each) for each in (64, 1_000, 1_024, 16 << 20)] == ["64 B", "1,000 B", "1k", "16M"]
    assert (counted(1, "User Property", "User Properties"), counted(2_000, "message")) == (
        "1 User Property",
        "2,000 messages",
    )


# How far it is


def test_the_line_says_where_it_is() -> None:
    coming = Progress(phase="connecting", seconds=2.0, connected=50, of_connections=1_000, last=Tally(connected=50))
    assert progress_shown(coming, 79) == "connecting, 2 s  50 of 1,000 connected"
    last = Tally(seconds=1.0, sent=5_000, acknowledged=5_000, received=4_900, latency=times(100))
    there = Progress(phase="measuring", seconds=3.0, of_seconds=5.0, connected=20, of_connections=20, last=last)
    line = "measuring, 3 of 5 s  20 connected  sent 5.00 k/s  received 4.90 k/s  p50 100 µs  p99 100 µs"
    assert progress_shown(there, len(line)) == line
    assert progress_shown(there, len(line) - 1) == line.removesuffix("  p99 100 µs")
    assert progress_shown(there, 10) == "measuring, 3 of 5 s"
