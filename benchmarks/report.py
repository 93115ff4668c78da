"""The tables and charts of docs/performance.md and docs/sizing.md, from what was measured.

A document is people's, but for what is between ``<!-- made by make bench: NAME -->`` and ``<!-- end of NAME -->``:
that is made anew. Knows figures and documents. Measures nothing.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from brokers import BROKERS, REPOSITORY, Broker
from curves import BROKERS as CURVE_BROKERS
from curves import CURVES, Curve, Line
from figures import BUSY, REFERENCE, Outcome, Results, rounded, table, times
from growth import Growth, growth_of
from scenarios import BENCH, COLUMNS, LOAD, SCENARIO_OF, SCENARIOS, TARGETS, Scenario
from sizing import BROKER, Costs, NotMeasured, cost_table, fleet_table
from telex.bench import picture

DOCUMENTS: Final = (REPOSITORY / "docs" / "performance.md", REPOSITORY / "docs" / "sizing.md")
IMAGES: Final = REPOSITORY / "docs" / "images"

_TITLES: Final = {broker.name: broker.title for broker in BROKERS}
_AHEAD: Final = 1.05  # from which multiple another broker is called ahead

_FOR_CLIENTS: Final = ("connect", "idle", "start", "import")
_CHARTED: Final = ("qos0", "qos0-pairs", "qos0-out", "qos0-in", "qos1", "kept", "qos2")
_PICTURES: Final = {
    "idle": ("A message beside clients that do nothing", "clients"),
    "idle-memory": ("By how much memory grows with clients that do nothing", "clients"),
    "work": ("A message from one of many clients", "clients that publish"),
    "subscriptions": ("A message beside subscriptions that do not match", "subscriptions"),
    "subscriptions-memory": ("By how much memory grows with subscriptions", "subscriptions"),
    "churn": ("SUBSCRIBE and UNSUBSCRIBE beside other subscriptions", "subscriptions"),
    "payload": ("A message with a larger payload", "bytes"),
    "retained": ("A message beside retained ones", "retained messages"),
    "look": ("SUBSCRIBE that finds ten retained messages, and UNSUBSCRIBE", "retained messages"),
    "retained-memory": ("By how much memory grows with retained messages", "retained messages"),
    "depth": ("A message with a deeper topic", "levels"),
}


@dataclass(frozen=True)
class Report:
    """All that is made of a run: sections of documents by their names, and pictures by those of their files."""

    sections: dict[str, str]
    pictures: dict[str, str]


def report(outcomes: Sequence[Outcome], facts: Sequence[str]) -> Report:
    """Make all tables and charts.

    Args:
        outcomes: of all rounds.
        facts: of the machine, versions and the command, each a line.
    """
    results = Results(outcomes)
    pictures = _charts(results)
    sections = {
        "throughput": _speed(results, pictures),
        "clients": _clients(results, pictures),
        "targets": table([["", "target", "this run", "reached"], *targets(results)]),
        "ahead": _ahead(results),
        "latency": _latency(results, pictures),
        "cpu": _cpu(results, pictures),
        "kept": _with_brokers(results, "kept"),
        "frozen": _with_brokers(results, "frozen"),
        "doors": _with_brokers(results, "doors"),
        "growth": _growths(results, pictures),
        "busy": _busy(results),
        "facts": "\n".join(f"- {fact}" for fact in [*results.notes(without=_QUIET_ONES), *facts]),
    }
    try:
        costs = Costs.of(results)
        sections |= {"costs": cost_table(costs), "fleets": fleet_table(costs)}
    except NotMeasured as missing:
        sections |= {"costs": f"Not measured: {missing}.", "fleets": "Not measured."}
    return Report(sections, pictures)


_QUIET_ONES: Final = ("start", "import", "restart")  # which make hardly any load


def write(made: Report, documents: Sequence[Path] = DOCUMENTS, images: Path = IMAGES) -> None:
    """Put the sections into the documents, and the pictures beside them.

    Raises:
        OSError: it cannot be done.
        ValueError: a document has a section that there is none of, or one without its end.
    """
    for document in documents:
        document.write_text(with_sections(document.read_text(), made.sections))
    for name, drawn in made.pictures.items():
        (images / name).write_text(drawn)


def with_sections(text: str, sections: dict[str, str]) -> str:
    """A document with what is between its marks made anew.

    Raises:
        ValueError: it has a section that there is none of, or one without its end.
    """
    begun = re.findall(r"^<!-- made by make bench: ([\w-]+) -->$", text, re.MULTILINE)
    for name in begun:
        if name not in sections:
            raise ValueError(f"the document wants {name!r}; there are: {', '.join(sections)}")
        begin, end = f"<!-- made by make bench: {name} -->\n", f"<!-- end of {name} -->\n"
        head, _, rest = text.partition(begin)
        old, found, tail = rest.partition(end)
        if not found or "<!-- made by" in old:
            raise ValueError(f"the section {name!r} has no line {end.strip()!r}")
        text = f"{head}{begin}\n{sections[name]}\n\n{end}{tail}"
    return text


# Tables


def _shown(results: Results, scenarios: Sequence[Scenario]) -> list[Broker]:
    """The brokers of which something was measured."""
    return [broker for broker in BROKERS if any(results.of(broker.name, each.name) for each in scenarios)]


def _rows(results: Results, scenarios: Sequence[Scenario]) -> str:
    """A table with a row for each figure and a column for each broker."""
    brokers = _shown(results, scenarios)
    if not brokers:
        return "Not measured."
    rows = [["", *(broker.title for broker in brokers)]]
    for scenario in scenarios:
        for column in scenario.columns:
            cells = [results.cell(broker.name, scenario.name, column) for broker in brokers]
            if any(cell != "-" for cell in cells):
                rows.append([column.title, *cells])
    text = table(rows)
    if "*" in text:
        text += f"\n\n\\*: the load generator was busy {BUSY:.0%} of the time or more; it may have set the limit."
    if "†" in text:
        text += f"\n\n†: by {LOAD}, which got more through than {BENCH}."
    return text


def _with_brokers(results: Results, name: str) -> str:
    return _rows(results, [each for each in SCENARIOS if each.table == name])


def _speed(results: Results, pictures: dict[str, str]) -> str:
    text = _rows(results, [each for each in SCENARIOS if each.table == "speed" and each.name not in _FOR_CLIENTS])
    return _with_pictures(text, pictures, throughput="How many times as much as Mosquitto")


def _clients(results: Results, pictures: dict[str, str]) -> str:
    text = _rows(results, [each for each in SCENARIOS if each.name in _FOR_CLIENTS])
    return _with_pictures(text, pictures, memory="Memory for an idle client")


def _latency(results: Results, pictures: dict[str, str]) -> str:
    text = _rows(results, [each for each in SCENARIOS if each.table == "latency"])
    words = {f"latency{qos}": f"The 99th percentile at QoS {qos}" for qos in (0, 1)}
    return _with_pictures(text, pictures, **words)


def _cpu(results: Results, pictures: dict[str, str]) -> str:
    """Microseconds of each broker for each message, whoever sent it."""
    scenarios = [each for each in SCENARIOS if each.table == "speed" and "rate" in [c.field for c in each.columns]]
    scenarios += [each for each in SCENARIOS if each.table == "costs" and each.columns[0].field == "rate"]
    brokers = _shown(results, scenarios)
    rows = [["", *(broker.title for broker in brokers)]]
    for scenario in scenarios:
        cells = []
        other = _cpu_us(results, REFERENCE, scenario)
        for broker in brokers:
            cost = _cpu_us(results, broker.name, scenario)
            multiple = f" ({times(cost / other)})" if cost and other else ""
            cells.append("-" if cost is None else f"{rounded(cost)}{multiple}")
        if any(cell != "-" for cell in cells):
            rows.append([scenario.columns[0].title, *cells])
    return (
        _with_pictures(table(rows), pictures, cpu="Processor time for a message") if len(rows) > 1 else "Not measured."
    )


def _cpu_us(results: Results, broker: str, scenario: Scenario) -> float | None:
    """Of the run whose figure is told."""
    return results.cpu_us(broker, scenario.name, results.best_by(broker, scenario.columns[0].title))


def targets(results: Results) -> list[list[str]]:
    """Each target, what this run gave, and whether that reaches it."""
    rows = []
    for target in TARGETS:
        column = COLUMNS[target.column]
        if column.is_compared:
            reached, unit = results.multiple(target.broker, target.column, target.of_broker, target.of_column), "x"
        else:
            reached, unit = results.figure(target.broker, target.column), ""
        wanted = f"at {'most' if column.lower_is_better else 'least'} {target.limit:.3g}{unit}"
        if target.of_column:
            wanted += f" of {target.of_column}"
        elif target.of_broker != REFERENCE:
            wanted += f" of {_TITLES[target.of_broker]}"
        name = f"{_TITLES[target.broker]}: {target.column}"
        if reached is None:
            rows.append([name, wanted, "-", "not measured"])
        else:
            is_reached = reached <= target.limit if column.lower_is_better else reached >= target.limit
            rows.append([name, wanted, f"{reached:.3g}{unit}", "yes" if is_reached else "no"])
    return rows


# Parts of other figures, the same over other doors, and bounds that a broker keeps or not.
_NO_CONTEST: Final = ("costs", "doors", "frozen")


def _ahead(results: Results) -> str:
    """Where another broker does better than Telex, compiled, in this run."""
    rows = [["", "Telex, compiled", "ahead", "its figure", "that is"]]
    for title, column in COLUMNS.items():
        own = results.figure(BROKER, title, lower_is_better=column.lower_is_better)
        scenario = SCENARIO_OF[title]
        if own is None or scenario.table in _NO_CONTEST or (scenario.share and not scenario.of_reference):
            continue
        for broker in BROKERS:
            other = results.figure(broker.name, title, lower_is_better=column.lower_is_better)
            if broker.name.startswith("telex") or other is None:
                continue
            more, less = (own, other) if column.lower_is_better else (other, own)
            if more >= _AHEAD * less and more > 0:
                by = f"{times(more / less)} " if less > 0 else ""
                better = by + ("less" if column.lower_is_better else "as much")
                rows.append([title, rounded(own), broker.title, rounded(other), better])
    rows += _ahead_on_curves(results)
    return table(rows) if len(rows) > 1 else "Nowhere, in this run."


def _ahead_on_curves(results: Results) -> list[list[str]]:
    """Where Mosquitto needs less, at the point of each curve where it is furthest ahead."""
    rows = []
    for curve in CURVES:
        for line in curve.lines:
            ours = dict(_points(results, BROKER, curve, line))
            theirs = dict(_points(results, REFERENCE, curve, line))
            leads = [(ours[at] / theirs[at], at) for at in ours if at in theirs]
            # Of memory, few of anything say nothing: what grows then is what the load itself takes.
            lead, at = max(leads[-1:] if "MiB" in line.unit else leads, default=(0.0, 0.0))
            if lead >= _AHEAD:
                what = f"{line.title}, {line.unit}, at {at:,.0f}"
                rows.append([what, rounded(ours[at]), _TITLES[REFERENCE], rounded(theirs[at]), f"{times(lead)} less"])
    return rows


def _busy(results: Results) -> str:
    scenarios = [each for each in SCENARIOS if each.table in ("speed", "latency") and each.ways != ("",)]
    brokers = _shown(results, scenarios)
    rows = [["load generator / broker", "by", *(broker.title for broker in brokers)]]
    for scenario in scenarios:
        for by in scenario.ways:
            cells = [results.shares(broker.name, scenario.name, by) for broker in brokers]
            if any(cell != "-" for cell in cells):
                rows.append([_name_of(scenario), by, *cells])
    return table(rows) if len(rows) > 1 else "Not measured."


def _name_of(scenario: Scenario) -> str:
    return scenario.columns[0].title.partition(": p50")[0]


# Curves


def growths(results: Results, curve: Curve, line: Line) -> dict[str, Growth]:
    """How a figure grows, by the names of the brokers of which there are points enough."""
    found = {}
    for broker in CURVE_BROKERS:
        points = _points(results, broker, curve, line)
        if len(points) >= 3:
            found[broker] = growth_of(points)
    return found


def _points(results: Results, broker: str, curve: Curve, line: Line) -> list[tuple[float, float]]:
    """The medians of all rounds, from the left; a line that was not measured, or is 0, has no point."""
    each_at: dict[float, list[float]] = {}
    for each in results.of(broker, curve.name):
        if each.figures.get(line.title, 0.0) > 0:
            each_at.setdefault(each.at, []).append(each.figures[line.title])
    return [(at, sorted(found)[len(found) // 2]) for at, found in sorted(each_at.items())]


def _growths(results: Results, pictures: dict[str, str]) -> str:
    """A table of all curves with their names, and the pictures with what they show."""
    rows = [["", "expected", *(_TITLES[broker] for broker in CURVE_BROKERS), "as expected"]]
    parts = []
    for chart, (title, _) in _PICTURES.items():
        for curve, line in _lines_of(chart):
            found = growths(results, curve, line)
            if not found:
                continue
            cells = []
            for broker in CURVE_BROKERS:
                points = _points(results, broker, curve, line)
                ends = f": {rounded(points[0][1])} to {rounded(points[-1][1])} {line.unit}" if points else ""
                cells.append(f"{found[broker].said}{ends}" if broker in found else "-")
            ours = found.get(BROKER)
            as_expected = "-" if ours is None else "yes" if _no_worse(ours.name, line.expected) else "no"
            rows.append([line.title, line.expected, *cells, as_expected])
        parts.append(_with_pictures("", pictures, **{chart: title}))
    return "\n\n".join([table(rows), *filter(None, parts)]) if len(rows) > 1 else "Not measured."


_ORDER: Final = ("flat", "logarithmic", "linear", "more than linear")


def _no_worse(name: str, expected: str) -> bool:
    return _ORDER.index(name) <= _ORDER.index(expected)


def _lines_of(chart: str) -> list[tuple[Curve, Line]]:
    return [(curve, line) for curve in CURVES for line in curve.lines if line.chart == chart]


# Pictures


def _with_pictures(text: str, pictures: dict[str, str], **words: str) -> str:
    """A text and, below it, those pictures that there are; ``words`` say by their names what they show."""
    there = [
        f"![{each}](images/performance-{name}.svg)"
        for name, each in words.items()
        if f"performance-{name}.svg" in pictures
    ]
    return "\n\n".join(filter(None, [text, *there]))


def _charts(results: Results) -> dict[str, str]:
    """All that there are figures for, by their file names."""
    made = {
        "performance-throughput.svg": _throughput_bars(results),
        "performance-cpu.svg": _cpu_bars(results),
        "performance-memory.svg": _memory_bars(results),
    }
    for qos in (0, 1):
        made[f"performance-latency{qos}.svg"] = _latency_lines(results, qos)
    for chart in _PICTURES:
        made[f"performance-{chart}.svg"] = _curve_lines(results, chart)
    return {name: drawn for name, drawn in made.items() if drawn}


def _throughput_bars(results: Results) -> str:
    columns = [each.columns[0].title for each in SCENARIOS if each.name in _CHARTED]
    title = "How many times as much as Mosquitto"
    return _bars(
        title,
        columns,
        lambda broker: [results.multiple(broker, column) for column in columns] if broker != REFERENCE else [],
        "times Mosquitto's messages a second",
    )


def _cpu_bars(results: Results) -> str:
    scenarios = [each for each in SCENARIOS if each.name in _CHARTED]
    return _bars(
        "Processor time of the broker for a message that arrives: less is better",
        [each.columns[0].title for each in scenarios],
        lambda broker: [_cpu_us(results, broker, each) for each in scenarios],
        "µs",
    )


def _memory_bars(results: Results) -> str:
    column = "KiB per idle client"
    return _bars(
        "Memory for an idle client: less is better",
        ["one subscription each"],
        lambda broker: [results.figure(broker, column, lower_is_better=True)],
        "KiB",
    )


def _bars(title: str, groups: Sequence[str], figures: Callable[[str], list[float | None]], unit: str) -> str:
    """Of all brokers of which there is a figure; nothing, if there is none."""
    every = {broker.title: figures(broker.name) for broker in BROKERS if "speed" in broker.tables}
    series = {title: found for title, found in every.items() if any(figure is not None for figure in found)}
    # What is below 0 is noise about nothing: memory that a broker gave back meanwhile.
    shown = {title: [None if each is None else max(0.0, each) for each in found] for title, found in series.items()}
    return picture.bars(title, groups, shown, unit) if shown else ""


def _latency_lines(results: Results, qos: int) -> str:
    scenarios = [
        each
        for each in SCENARIOS
        if each.table == "latency" and not each.of_reference and each.share_of.startswith(f"qos{qos}")
    ]
    series = {}
    for broker in BROKERS:
        points = [
            (100 * each.share, results.figure(broker.name, each.columns[1].title, lower_is_better=True))
            for each in scenarios
        ]
        if any(y is not None for _, y in points):
            series[broker.title] = points
    if not series:
        return ""
    return picture.lines(
        f"99% of messages took no longer: QoS {qos}, ten pairs",
        "percent of the broker's own maximum",
        "µs from the send that was due to the arrival",
        series,
        logarithmic_y=True,
    )


def _curve_lines(results: Results, chart: str) -> str:
    title, what = _PICTURES[chart]
    series, said, unit = {}, [], ""
    for broker in CURVE_BROKERS:
        for curve, line in _lines_of(chart):
            points = _points(results, broker, curve, line)
            if not points:
                continue
            name = _TITLES[broker] + (f", {line.name}" if line.name else "")
            series[name], unit = list[tuple[float, float | None]](points), line.unit
            if len(points) >= 3:
                said.append(f"{name}: {growth_of(points).said}")
    if not series:
        return ""
    return picture.lines(title, what, unit, series, logarithmic_y=True, note="; ".join(said))
