"""How costs grow: the same small load, beside ever more clients, subscriptions, bytes, retained messages and levels.

Costs are processor time of the broker for each message, so it does not matter how fast the load is. Knows plans and
what should come of them; how growth is named is in growth.py.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from brokers import Broker, BrokerFailed, Program, Queues, Server, running
from figures import Column, Outcome
from measure import Bench
from plain import NotKept, Plain, publish
from scenarios import BENCH, Scenario, plan_of

BROKERS: Final = ("telex-compiled", "mosquitto")
"""Whose curves are drawn."""

_TENS: Final = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
_FILTERS_OF_ONE: Final = 5_000  # that one client has: Telex allows 10,000, unless it is told otherwise
_ON_THEIR_WAY: Final = 4 << 20  # bytes of payloads: less than any broker drops
_QUICK: Final = 150_000
_FOUND: Final = 10  # retained messages that one look finds
_LOOKS_AT_ONCE: Final = 50  # between two looks at the clock
_PAYLOAD: Final = b"x" * 64


@dataclass(frozen=True)
class Line:
    """A figure along a curve."""

    title: str
    """What it is; it stands in tables, so it is of one curve alone."""
    field: str
    """What it is called in what was measured."""
    unit: str
    expected: str
    """How it should grow."""
    chart: str
    """Which picture it is in; lines of several curves may share one."""
    name: str = ""
    """In that picture, behind the broker's name; empty where it is the only one."""


@dataclass(frozen=True)
class Curve:
    """A row of measurements, each with more of something than the one before."""

    name: str
    grows: str
    """What there is ever more of."""
    points: tuple[int, ...]
    plan: Callable[[int], dict[str, Any]]
    lines: tuple[Line, ...]
    queues: Queues = Queues.SHORT
    retains: bool = False
    """Whether so many messages are retained before each measurement; the broker stays the same one then."""


def points_for(curve: Curve, *, clients: int, is_quick: bool) -> tuple[int, ...]:
    """Where a curve is measured: as far as the limit of open files goes; quickly, at three points that take no time."""
    points = tuple(n for n in curve.points if curve.name not in ("beside-idle", "work") or n <= clients)
    if not is_quick:
        return points
    few = tuple(n for n in points if n <= _QUICK)
    return few[0], few[len(few) // 2], few[-1]


def _one_pair(**more: Any) -> dict[str, Any]:
    return {"kind": "pairs", "publishers": 1, "subscribers": 1, **more}


def _beside(count: int, held: str) -> dict[str, Any]:
    """Subscriptions that match nothing, of a few clients that do nothing else."""
    idle = -(-count // _FILTERS_OF_ONE)
    return {"idle": idle, "subscriptions": count // idle, "idle_filter": held}


# Each kind of filter begins as the topics do that are published to, so that it has to be told from them.
_HELD: Final = {
    "plain": "{prefix}/held/{}",
    "+": "{prefix}/held/{}/+",
    "#": "{prefix}/held/{}/#",
    "shared": "$share/group/{prefix}/held/{}",
}


def _of_subscriptions() -> Iterator[Curve]:
    for kind, held in _HELD.items():
        label = {"+": "with +", "#": "with #"}.get(kind, kind)

        def publishing(count: int, held: str = held) -> dict[str, Any]:
            return _one_pair(topics=100, version=5, **_beside(count, held))

        def coming(count: int, held: str = held) -> dict[str, Any]:
            return {"kind": "churn", "publishers": 1, "version": 5, **_beside(count, held)}

        grows = f"subscriptions that do not match, {label}"
        yield Curve(
            f"subscriptions-{kind}",
            grows,
            _TENS[:6],
            publishing,
            (
                Line(f"a message beside {grows}", "cpu_us", "µs of CPU", "flat", "subscriptions", label),
                Line(f"memory with {grows}", "grown_mib", "MiB more", "linear", "subscriptions-memory", label),
            ),
        )
        yield Curve(
            f"churn-{kind}",
            grows,
            _TENS[:6],
            coming,
            (Line(f"SUBSCRIBE and UNSUBSCRIBE beside {grows}", "cpu_us", "µs of CPU", "flat", "churn", label),),
        )


CURVES: Final = (
    Curve(
        "beside-idle",
        "clients that do nothing, each with a subscription",
        _TENS[:5],
        lambda count: _one_pair(idle=count),
        (
            Line("a message beside idle clients", "cpu_us", "µs of CPU", "flat", "idle"),
            Line("memory with idle clients", "grown_mib", "MiB more", "linear", "idle-memory"),
        ),
    ),
    Curve(
        "work",
        "clients that publish, together 10,000 messages a second",
        _TENS[:5],
        lambda count: {"kind": "fanin", "publishers": count, "rate": 10_000.0},
        (Line("a message from one of many", "cpu_us", "µs of CPU", "flat", "work"),),
    ),
    *_of_subscriptions(),
    Curve(
        "payload",
        "bytes of each payload",
        (16, 128, 1_024, 16_384, 131_072, 1_048_576),
        lambda count: _one_pair(size=count, window=max(4, min(1_000, _ON_THEIR_WAY // count))),
        (Line("a message with a larger payload", "cpu_us", "µs of CPU", "linear", "payload"),),
    ),
    Curve(
        "retained",
        "retained messages",
        _TENS,
        lambda _: _one_pair(),
        (
            Line("a message beside retained ones", "cpu_us", "µs of CPU", "flat", "retained"),
            Line("a look that finds ten retained messages", "look_us", "µs of CPU", "flat", "look"),
            Line("memory with retained messages", "grown_mib", "MiB more", "linear", "retained-memory"),
        ),
        queues=Queues.LONG,
        retains=True,
    ),
    Curve(
        "depth",
        "levels of the topic",
        (1, 2, 3, 5, 10, 20),
        lambda count: _one_pair(depth=count),
        (Line("a message with a deeper topic", "cpu_us", "µs of CPU", "flat", "depth", "plain"),),
    ),
    Curve(
        "depth-wildcard",
        "levels of the topic",
        (3, 5, 10, 20),
        lambda count: _one_pair(depth=count, wildcard="#", topics=100),
        (Line("a message with a deeper topic, to a filter with #", "cpu_us", "µs of CPU", "flat", "depth", "with #"),),
    ),
)


def measure_curve(
    bench: Bench, broker: Broker, program: Program, curve: Curve, points: Sequence[int]
) -> Iterator[Outcome]:
    """Measure a curve from left to right; what fails at one point is told, and the next one is tried."""
    if curve.retains:
        yield from _beside_retained(bench, broker, program, curve, points)
        return
    for count in points:
        try:
            with running(broker, program, bench.cores_for(broker), bench.build, curve.queues) as server:
                yield _measure(bench, broker, server, curve, count, {})
        except BrokerFailed as failure:
            yield Outcome(broker.name, curve.name, {}, "failed", str(failure), by=BENCH, at=count)


def _measure(
    bench: Bench, broker: Broker, server: Server, curve: Curve, count: int, besides: dict[str, float]
) -> Outcome:
    """One point; ``besides`` is what was measured in another way."""
    words = curve.plan(count)
    # What has to come in first takes its time: 100,000 subscriptions, or 10,000 clients. So all else is warm by then.
    plan = plan_of({"patience": 60.0, **words}, server, seconds=bench.seconds, warm_up=bench.warm_up / 2)
    wanted = [line for line in curve.lines if line.field not in besides]
    columns = tuple(Column(line.title, line.field) for line in wanted)
    outcome = bench.carry_out(broker, Scenario(curve.name, columns, words), server, plan)
    if outcome.problem:
        return replace(outcome, at=count)
    more = {line.title: besides[line.field] for line in curve.lines if line.field in besides}
    return replace(outcome, at=count, figures={**outcome.figures, **more})


def _beside_retained(
    bench: Bench, broker: Broker, program: Program, curve: Curve, points: Sequence[int]
) -> Iterator[Outcome]:
    count = points[0]
    try:
        with running(broker, program, bench.cores_for(broker), bench.build, curve.queues) as server:
            there, before = 0, server.memory_kib()
            for count in points:
                with Plain(server, "retains") as client:
                    client.retain([topic_of(number) for number in range(there, count)], _PAYLOAD)
                there = count
                besides = {
                    "grown_mib": max(0.0, (server.memory_kib() - before) / 1024),
                    # With fewer there are not ten to be found.
                    "look_us": _look(bench, server, count) if count >= _FOUND else 0.0,
                }
                yield _measure(bench, broker, server, curve, count, besides)
    except (BrokerFailed, NotKept, OSError) as failure:
        yield Outcome(broker.name, curve.name, {}, "failed", str(failure), by=BENCH, at=count)


def _look(bench: Bench, server: Server, count: int) -> float:
    """Microseconds of processor time for SUBSCRIBE, ten retained messages, and UNSUBSCRIBE."""
    groups = count // _FOUND
    looks, began, used = 0, time.monotonic(), server.cpu_seconds()
    with Plain(server, "looks") as client:
        while time.monotonic() - began < bench.seconds:
            for number in range(looks, looks + _LOOKS_AT_ONCE):
                group = number * 7919 % groups  # not one after the other: what was just read may be faster
                found = [topic_of(each) for each in range(group * _FOUND, group * _FOUND + _FOUND)]
                client.look(b"held/%06d/+" % group, sum(len(publish(topic, _PAYLOAD)) for topic in found))
            looks += _LOOKS_AT_ONCE
    return 1e6 * (server.cpu_seconds() - used) / looks


def topic_of(number: int) -> bytes:
    """Of a retained message: ten of them share all levels but the last."""
    return b"held/%06d/%d" % (number // _FOUND, number % _FOUND)
