"""A result in plain text, for people: what was asked, what came of it, and what to think of that.

Knows which figures belong together, and when a figure says less than it seems to. Knows no terminal.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from telex.bench.numbers import counted, short, shown_size, shown_time, three_digits
from telex.bench.result import Result, Tally

BUSY: Final = 0.9
"""Of a core: from here on the load, and not the broker, may be what sets the figures."""

PERCENTILES: Final = (50, 90, 99, 99.9)

_CROWDED: Final = 1.5
"""Processes a core that want to run before the run begins: from here on, others may be what sets the figures."""

_KEPT_UP: Final = 0.98  # of the rate that was asked for: less is not what was asked for
_LABEL: Final = 14  # characters of what stands in front of a row
_COLUMN: Final = 12

_VERSIONS: Final = {3: "MQTT 3.1", 4: "MQTT 3.1.1", 5: "MQTT 5"}

COUNTS: Final[dict[str, Callable[[Tally], int]]] = {
    "sent": lambda tally: tally.sent,
    "acknowledged": lambda tally: tally.acknowledged,
    "received": lambda tally: tally.received,
    "connected": lambda tally: tally.connected,
    "subscribed": lambda tally: tally.subscribed,
    "unsubscribed": lambda tally: tally.unsubscribed,
}
"""What is counted while it is measured, and told as so much a second."""

_BYTES: Final[dict[str, Callable[[Tally], int]]] = {
    "sent": lambda tally: tally.sent_bytes,
    "received": lambda tally: tally.received_bytes,
}

Tone = Literal["", "title", "faint", "good", "bad", "note"]


class Line(NamedTuple):
    """A line, and how it is meant."""

    text: str
    tone: Tone = ""


def shown(result: Result) -> list[Line]:
    """All of a result."""
    lines = [Line(heading(result), "title"), *(Line(each, "faint") for each in asked(result.described)), Line("")]
    for titles, rows in (_rates(result), _latency(result), _processor(result), _memory(result)):
        if rows:
            lines += [*in_columns(titles, rows), Line("")]
    return lines + verdict(result)


def heading(result: Result) -> str:
    """Which run it is: the command and the broker."""
    broker = result.described.get("broker")
    version = _VERSIONS.get(result.described.get("version", 0))
    where = f" at {broker}" if broker else ""
    return f"telex bench {result.kind}{where}{f', {version}' if version else ''}"


def verdict(result: Result) -> list[Line]:
    """Whether all is well, and what else should be known."""
    lines = [Line(each, "bad") for each in (*_faults(result), *result.complaints)]
    if not lines and (said := _praise(result)):
        lines.append(Line(said, "good"))
    return lines + [Line(each, "note") for each in notes(result)]


def summary(result: Result) -> dict[str, Any]:
    """The figures that programs ask for: rates a second, and latencies in microseconds."""
    measured = result.measured
    told: dict[str, Any] = {
        f"{name}_per_second": round(per_second(count(measured), measured.seconds), 3)
        for name, count in COUNTS.items()
        if count(measured)
    }
    if measured.latency.count:
        told["latency_us"] = {f"p{each}": round(measured.latency.percentile(each), 1) for each in PERCENTILES}
        told["latency_us"]["most"] = round(measured.latency.most, 1)
    told["is_good"] = result.is_good
    return told


def in_columns(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[Line]:
    """Rows of which the first cell is at the left and the others at the right, below their titles."""
    yield Line(_aligned(["", *titles]), "faint")
    for row in rows:
        yield Line(_aligned(row))


def _aligned(cells: Sequence[str]) -> str:
    label, *others = cells
    return (f"{label:{_LABEL}}" + "".join(f"  {each:>{_COLUMN}}" for each in others)).rstrip()


# What was asked


def asked(described: Mapping[str, Any]) -> Iterator[str]:
    """The plan in words, in one line or two."""
    found: Callable[..., Any] = described.get
    who = [counted(found(name), name[:-1]) for name in ("publishers", "subscribers") if found(name)]
    if found("clients"):
        who.append(counted(found("clients"), "client at a time", "clients at a time"))
    if found("idle"):
        each = found("subscriptions", 1)
        filters = f" with {counted(each, 'subscription')} each" if each > 1 else ""
        who.append(f"{counted(found('idle'), 'idle client')}{filters}")
    if "qos" in described:
        who.append(f"QoS {found('qos')}")
    if "size" in described:
        who.append(shown_size(found("size")))
    if "rate" in described:
        who.append(f"{found('rate'):,g} a second" if found("rate") else "as fast as it goes")
    if who:
        yield ", ".join(who)
    how = list(_details(described))
    if how:
        yield ", ".join(how)


def _details(described: Mapping[str, Any]) -> Iterator[str]:
    """What is not as it would be by itself."""
    found: Callable[..., Any] = described.get
    if found("topics", 1) > 1:
        yield f"{found('topics'):,} topics each"
    if found("depth", 3) != 3:
        yield counted(found("depth"), "level")
    if found("wildcard"):
        yield f"wildcard {found('wildcard')}"
    if found("share"):
        yield f"shared group {found('share')}"
    for name, words in (("retain", "retained"), ("alias", "topic aliases"), ("kept", "kept sessions")):
        if found(name):
            yield words
    if found("user_properties"):
        yield counted(found("user_properties"), "User Property", "User Properties")
    if found("retained"):
        yield f"{counted(found('retained'), 'retained message')} there"
    if found("window"):
        yield f"no more than {found('window'):,} ahead"
    if found("processes", 1) > 1:
        yield f"{found('processes')} processes"


# What came of it


def _rates(result: Result) -> tuple[Sequence[str], list[list[str]]]:
    measured = result.measured
    rows = []
    for name, count in COUNTS.items():
        if not count(measured):
            continue
        each = [count(tally) / tally.seconds for tally in result.by_second if tally.seconds > 0.0]
        row = [name, rate_of(count(measured), measured.seconds)]
        row += [_shown_rate(min(each)), _shown_rate(max(each))] if each else ["", ""]
        if name in _BYTES:
            row.append(f"{short(per_second(_BYTES[name](measured), measured.seconds), 'B')}/s")
        rows.append(row)
    titles = ["a second", "least", "most"]
    return ([*titles, "payload"] if any(len(row) > len(titles) + 1 for row in rows) else titles), rows


def _latency(result: Result) -> tuple[Sequence[str], list[list[str]]]:
    latency = result.measured.latency
    titles = [*(f"p{each}" for each in PERCENTILES), "most"]
    if not latency.count:
        return titles, []
    values = [*(latency.percentile(each) for each in PERCENTILES), latency.most]
    return titles, [["latency", *map(shown_time, values)]]


def _processor(result: Result) -> tuple[Sequence[str], list[list[str]]]:
    seconds = result.measured.seconds
    count, what = work_of(result.measured)
    rows = []
    watched = None if result.watched is None else result.watched.cpu_seconds
    for name, used in (("load", result.own_cpu_seconds), ("broker", watched)):
        if used is not None and seconds > 0.0:
            row = [name, f"{used / seconds:.2f} cores"]
            rows.append([*row, shown_time(used / count * 1e6)] if count else row)
    return ["processor", *([f"a {what}"] if count else [])], rows


def _memory(result: Result) -> tuple[Sequence[str], list[list[str]]]:
    watched = result.watched
    if watched is None:
        return [], []
    row = ["broker", short(watched.memory_before, "B"), short(watched.memory_after, "B")]
    each = memory_of_each(result)
    titles = ["memory before", "and then"]
    return ([*titles, "a client"], [[*row, short(max(each, 0.0), "B")]]) if each is not None else (titles, [row])


def memory_of_each(result: Result) -> float | None:
    """Bytes that a client takes; None: none were idle, so that what moved took memory too."""
    if result.watched is None or not result.described.get("idle") or not result.connected:
        return None
    return (result.watched.memory_after - result.watched.memory_before) / result.connected


def work_of(tally: Tally) -> tuple[int, str]:
    """How much was done, and what a piece of it is."""
    if tally.received or tally.sent:
        return tally.received or tally.sent, "message"
    if tally.connected:
        return tally.connected, "connection"
    return tally.subscribed + tally.unsubscribed, "change"


def per_second(count: float, seconds: float) -> float:
    """So much a second; 0 if there was no time."""
    return count / seconds if seconds > 0.0 else 0.0


def rate_of(count: float, seconds: float) -> str:
    """The same in words."""
    return _shown_rate(per_second(count, seconds))


def _shown_rate(rate: float) -> str:
    return three_digits(rate)


# What to think of it


def _faults(result: Result) -> Iterator[str]:
    """What a broker must not do."""
    if result.lost:
        is_answer = not result.measured.received
        yield f"{counted(result.lost, 'message')} {'had no acknowledgement' if is_answer else 'never arrived'}"
    if result.duplicated:
        yield f"{counted(result.duplicated, 'message')} came more than once"
    if result.misordered:
        yield f"{counted(result.misordered, 'message')} came behind a later one"


def _praise(result: Result) -> str:
    measured = result.measured
    if result.interrupted or measured.seconds <= 0.0:
        return ""
    if measured.received:
        is_alone = result.kind == "sub"  # and does not know what was sent before the first and after the last
        return "of what came nothing is missing in between" if is_alone else "every message arrived, once and in order"
    return "every message was acknowledged" if measured.acknowledged else ""


def notes(result: Result) -> list[str]:
    """What should be known before anybody believes the figures."""
    return list(_notes(result))


def _notes(result: Result) -> Iterator[str]:
    measured, asked = result.measured, result.described
    if measured.seconds <= 0.0:
        yield "it ended before anything was measured"
        return
    if result.interrupted:
        wanted = asked.get("seconds")
        yield f"ended early: {measured.seconds:.1f} s were measured" + (f" of {wanted:g} s" if wanted else "")
    if measured.refused:
        yield f"the broker refused {counted(measured.refused, 'connection')}"
    processes = asked.get("processes", 1)
    if result.own_cpu_seconds / measured.seconds > BUSY * processes:
        busy = result.own_cpu_seconds / measured.seconds / processes
        core = "its core" if processes == 1 else f"its {processes} cores"
        yield (
            f"the load was busy for {math.floor(min(busy, 1.0) * 100)} % of {core}: it, and not the broker, may have "
            f"set the figures; --processes {processes * 2} may tell"
        )
    wanted, cores = asked.get("load_average", 0.0), asked.get("cores", 1)
    if wanted > _CROWDED * cores:
        few = counted(cores, "core")
        yield f"{wanted:.1f} processes wanted {few} in the minute before: others may have set the figures"
    rate = asked.get("rate", 0)
    sent = per_second(measured.sent, measured.seconds)
    if rate and measured.sent and sent < rate * _KEPT_UP and not (result.interrupted or result.complaints):
        yield (
            f"{short(rate)} messages a second were to be sent, and {short(sent)} were: broker or load did not keep up. "
            "Latency counts from when a message was due"
        )
    if measured.latency.count and measured.sent and not rate:
        yield "at full speed a message waits behind those before it: telex bench latency tells how long one takes"
    if measured.sent and not measured.received and not measured.acknowledged:
        yield "at QoS 0 nobody tells a publisher what has arrived; telex bench pairs counts it"
    elif not any(count(measured) for count in COUNTS.values()):
        yield "nothing came" if result.kind == "sub" else "nothing happened"
