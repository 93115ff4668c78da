"""Two runs beside each other: the figures of both, and what one is of the other.

Knows whether more is better. Knows no file.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from telex.bench.numbers import short, shown_time, three_digits
from telex.bench.result import Result
from telex.bench.table import COUNTS, PERCENTILES, Line, in_columns, memory_of_each, per_second, work_of

CHANCE: Final = 0.1
"""What two runs of the same may differ by."""

_NOT_ASKED: Final = ("broker", "load_average", "cores")  # of what is told of a plan: where it was, not what


class Figure(NamedTuple):
    """One figure of two runs."""

    label: str
    before: float
    now: float
    told: Callable[[float], str]
    more_is_better: bool

    @property
    def ratio(self) -> float | None:
        """What it is now as a part of what it was; None: it was nothing."""
        return self.now / self.before if self.before > 0.0 else None


def compared(before: Result, now: Result) -> list[Line]:
    """A table of both, and what was asked differently.

    Raises:
        ValueError: they are of different kinds, so that nothing can be compared.
    """
    check(before, now.kind)
    rows = []
    for figure in figures(before, now):
        ratio = figure.ratio
        row = [figure.label, figure.told(figure.before), figure.told(figure.now)]
        rows.append([*row, "" if ratio is None else f"{ratio:.2f}x", _judged(figure)])
    lines = [
        Line("beside the run that was saved", "title"),
        *in_columns(["before", "now", "ratio", ""], rows),
        Line(""),
    ]
    lines += [Line(each, "note") for each in _asked_differently(before.described, now.described)]
    lines.append(Line("one run beside one run: less than a tenth may be chance", "note"))
    return lines


def check(before: Result, kind: str) -> None:
    """Find out whether a run of that kind can stand beside this one.

    Raises:
        ValueError: it cannot.
    """
    if before.kind != kind:
        raise ValueError(f"it holds a run of telex bench {before.kind}, which cannot be compared with {kind}")


def figures(before: Result, now: Result) -> Iterator[Figure]:
    """All that both of them have."""
    old, new = before.measured, now.measured
    for name, count in COUNTS.items():
        if count(old) and count(new):
            yield Figure(
                f"{name}/s",
                per_second(count(old), old.seconds),
                per_second(count(new), new.seconds),
                three_digits,
                True,
            )
    if old.latency.count and new.latency.count:
        for each in PERCENTILES:
            yield Figure(
                f"latency p{each}", old.latency.percentile(each), new.latency.percentile(each), shown_time, False
            )
        yield Figure("latency most", old.latency.most, new.latency.most, shown_time, False)
    yield from _costs(before, now)
    for name, label in (("lost", "lost"), ("duplicated", "came again"), ("misordered", "out of order")):
        if getattr(before, name) or getattr(now, name):
            yield Figure(label, getattr(before, name), getattr(now, name), lambda count: f"{count:,.0f}", False)


def _costs(before: Result, now: Result) -> Iterator[Figure]:
    (old, what), (new, _) = work_of(before.measured), work_of(now.measured)
    if old and new:
        was, is_now = (each.own_cpu_seconds / count * 1e6 for each, count in ((before, old), (now, new)))
        yield Figure(f"load/{what}", was, is_now, shown_time, False)
        if before.watched is not None and now.watched is not None:
            was, is_now = (
                watched.cpu_seconds / count * 1e6 for watched, count in ((before.watched, old), (now.watched, new))
            )
            yield Figure(f"broker/{what}", was, is_now, shown_time, False)
    if before.watched is not None and now.watched is not None:
        yield Figure(
            "memory then", before.watched.memory_after, now.watched.memory_after, lambda count: short(count, "B"), False
        )
    each = (memory_of_each(before), memory_of_each(now))
    if each[0] is not None and each[1] is not None:
        yield Figure("memory/client", each[0], each[1], lambda count: short(count, "B"), False)


def _judged(figure: Figure) -> str:
    """What to think of it: nothing, where it may be chance."""
    if figure.now == figure.before:
        return ""
    if figure.before > 0.0 and abs(figure.now / figure.before - 1.0) < CHANCE:
        return ""
    return "better" if (figure.now > figure.before) is figure.more_is_better else "worse"


def _asked_differently(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name) and name not in _NOT_ASKED:
            flag = name.replace("_", "-")
            yield f"asked differently: {flag} was {_value(before.get(name))} before, and is {_value(now.get(name))} now"


def _value(value: Any) -> str:
    if value is None or value == "":
        return "not said"
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else f"{value}"
