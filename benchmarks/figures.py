"""What measurements gave, and how figures are told: medians of rounds, multiples of Mosquitto's, tables.

Knows no broker, no scenario, and nothing of how anything is measured.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any, Final

REFERENCE: Final = "mosquitto"
"""The broker of whose figures others are multiples."""

BUSY: Final = 0.9
"""Of a core: from here on the load generator, not the broker, may set the figure."""

_NOISE: Final = 0.1  # cores that other programs may use before the figures are called unsure


@dataclass(frozen=True)
class Column:
    """One figure of a scenario."""

    title: str
    field: str = "rate"
    """What it is called in what the load generator says."""
    lower_is_better: bool = False
    is_compared: bool = True
    """Whether it says more as a multiple of Mosquitto's."""


@dataclass(frozen=True)
class Outcome:
    """What one scenario, run once against one broker, gave."""

    broker: str
    scenario: str
    figures: dict[str, float]
    """By the title of the column; empty if there is a problem."""
    problem: str = ""
    """For a cell: ``failed``, ``lost 3%``, ``stalled``."""
    detail: str = ""
    """For the notes: what the load generator and the broker said."""
    load_cpu: float = 0.0
    """The share of a core that the load generator used."""
    broker_cpu: float = 0.0
    """The cores that the broker used."""
    others_cpu: float = 0.0
    """The cores that all other programs used meanwhile."""
    by: str = ""
    """Which load generator it was, where there is more than one."""
    at: float = 0.0
    """Where on a curve it is."""
    cpu_us: float = 0.0
    """Microseconds of processor time that the broker used for each of what was counted; 0: not known."""
    more: dict[str, float] = field(default_factory=dict)
    """What else was measured."""

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "Outcome":
        """One that was kept.

        Raises:
            TypeError: it is none.
        """
        return cls(**found)


class Results:
    """All outcomes of a run.

    Where two load generators were at work, a broker's figure is the better one: each says how much it took at least.
    """

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self.outcomes = outcomes

    def of(self, broker: str, scenario: str, by: str | None = None) -> list[Outcome]:
        """The outcomes of all rounds; of one load generator or of any."""
        return [
            each
            for each in self.outcomes
            if (each.broker, each.scenario) == (broker, scenario) and by in (None, each.by)
        ]

    def best_by(self, broker: str, column: str, *, lower_is_better: bool = False) -> str:
        """Whose figure it is."""
        medians = self._medians(broker, column)
        if not medians:
            return ""
        return (min if lower_is_better else max)(medians, key=lambda by: medians[by])

    def figure(self, broker: str, column: str, *, lower_is_better: bool = False) -> float | None:
        """The median of the rounds that gave a figure."""
        medians = self._medians(broker, column)
        if not medians:
            return None
        return (min if lower_is_better else max)(medians.values())

    def _medians(self, broker: str, column: str) -> dict[str, float]:
        found: dict[str, list[float]] = {}
        for each in self.outcomes:
            if each.broker == broker and column in each.figures:
                found.setdefault(each.by, []).append(each.figures[column])
        return {by: median(figures) for by, figures in found.items()}

    def multiple(self, broker: str, column: str, of_broker: str = REFERENCE, of_column: str = "") -> float | None:
        """The figure as a multiple of another one in this run; by default, of Mosquitto's."""
        own, other = self.figure(broker, column), self.figure(of_broker, of_column or column)
        if own is None or other is None:
            return None
        if not other:
            return 1.0 if not own else None  # of nothing there is no multiple
        return own / other

    def cell(self, broker: str, scenario: str, column: Column) -> str:
        """The figure and its multiple; or what went wrong, and in how many rounds."""
        by = self.best_by(broker, column.title, lower_is_better=column.lower_is_better)
        outcomes = self.of(broker, scenario, by or None)
        bad = [each for each in outcomes if each.problem]
        figure = self.figure(broker, column.title, lower_is_better=column.lower_is_better)
        multiple = self.multiple(broker, column.title) if column.is_compared else None
        if not outcomes:
            return "-"
        if figure is None:
            return bad[0].problem if bad else "-"
        # Where two load generators were at work, which of them it was.
        text = rounded(figure) + ("†" if by == "load.c" and len(self._ways(broker, scenario)) > 1 else "")
        text += "*" if median(each.load_cpu for each in outcomes) >= BUSY else ""
        if multiple is not None:
            text += f" ({times(multiple)})"
        return text + (f", {bad[0].problem} in {len(bad)} of {len(outcomes)}" if bad else "")

    def _ways(self, broker: str, scenario: str) -> set[str]:
        return {each.by for each in self.of(broker, scenario)}

    def shares(self, broker: str, scenario: str, by: str | None = None) -> str:
        """How busy the load generator and the broker were."""
        good = [each for each in self.of(broker, scenario, by) if not each.problem]
        if not good:
            return "-"
        return f"{median(each.load_cpu for each in good):.0%} / {median(each.broker_cpu for each in good):.0%}"

    def cpu_us(self, broker: str, scenario: str, by: str | None = None) -> float | None:
        """Microseconds of the broker's processor time for each of what was counted."""
        good = [each.cpu_us for each in self.of(broker, scenario, by) if not each.problem and each.cpu_us > 0]
        return median(good) if good else None

    def notes(self, *, without: Iterable[str] = ()) -> list[str]:
        """What the figures do not say: reasons, and doubts; of the noise, ``without`` some scenarios."""
        notes = [f"{each.broker}, {each.scenario}: {each.detail}" for each in self.outcomes if each.detail]
        loads = [each for each in self.outcomes if each.scenario not in without]
        others = median([each.others_cpu for each in loads] or [0.0])
        if others > _NOISE:
            notes.append(f"Other programs used {others:.1f} cores meanwhile: take these figures as rough.")
        return list(dict.fromkeys(notes))  # each once


def medians(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """One outcome in place of all rounds of the same, with what tables need; what failed each time stays as it is."""
    rounds: dict[tuple[str, str, str, float], list[Outcome]] = {}
    for each in outcomes:
        rounds.setdefault((each.scenario, each.broker, each.by, each.at), []).append(each)
    return [_median_of(group) for group in rounds.values()]


def _median_of(group: Sequence[Outcome]) -> Outcome:
    good = [each for each in group if not each.problem]
    if not good:
        return group[0]
    bad = len(group) - len(good)
    detail = "; ".join(dict.fromkeys(each.detail for each in group if each.detail))
    first = good[0]
    return replace(
        first,
        figures={name: _short(median(each.figures[name] for each in good)) for name in first.figures},
        detail=f"{bad} of {len(group)} rounds gave no figure: {detail}" if bad else detail,
        load_cpu=_short(median(each.load_cpu for each in good)),
        broker_cpu=_short(median(each.broker_cpu for each in good)),
        others_cpu=_short(median(each.others_cpu for each in good)),
        cpu_us=_short(median(each.cpu_us for each in good)),
        more={},
    )


def _short(figure: float) -> float:
    """Five digits: what is kept is read by people too."""
    return float(f"{figure:.5g}")


def rounded(figure: float) -> str:
    """Three significant digits: ``412,000``, ``28.4``."""
    return f"{float(f'{figure:.3g}'):,.0f}" if abs(figure) >= 100 else f"{figure:.3g}"


def times(multiple: float) -> str:
    """Two significant digits: ``1.8x``, ``0.35x``, ``15x``."""
    return f"{float(f'{multiple:.2g}'):g}x"


def table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns line up; the first row is its head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
