"""Pictures of results, as SVG that stands alone: no script, no font, no file beside it; for light and dark screens.

Knows shapes, colours and how wide text may be at most. Knows no broker.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from telex.bench.numbers import round_number, round_time, short, shown_time, three_digits
from telex.bench.result import Result, Tally
from telex.bench.scales import Linear, Logarithmic, Nines, Scale, pushed_apart
from telex.bench.table import COUNTS, per_second

Points = Sequence[tuple[float, float | None]]
"""Of a line: x and y. Where y is None, the line has a gap."""

WIDTH: Final = 860
"""Of every picture, in pixels."""

MOST_SERIES: Final = 9
"""That can be told from each other."""

_MARGIN: Final = 24.0
_SIZE: Final = 13.0  # of text
_TITLE_SIZE: Final = 17.0
_TITLE_LINE: Final = 23.0
_LINE: Final = 18.0  # from one line of text to the next
_SWATCH: Final = 18.0  # what a colour of the legend takes, with the space behind it
_BETWEEN: Final = 22.0  # names of the legend
_BAR: Final = 16.0
_BAR_GAP: Final = 3.0
_THINNEST: Final = 1.5  # that is not nothing
_GROUP_GAP: Final = 16.0
_WIDEST_HEADING: Final = 190.0  # of a group of bars; what is longer has more lines
_PLOT_HEIGHT: Final = 300.0
_PAD: Final = 14.0  # between an axis and the first point of a line
_MOST_MARKERS: Final = 30  # on a line; with more of them they hide it
_SMALL_GAP: Final = 2.0  # how far a name may be from its line without one that leads there

# Dark enough on white, and light enough on black, to be read as text: 4.5 to 1 or more.
_LIGHT: Final = (
    *("#0b7285", "#b4540a", "#6741d9", "#2b7a3d", "#c92a2a"),
    *("#1864ab", "#7d5a2c", "#a61e6d", "#55606b"),
)
_DARK: Final = (
    *("#4fc3d9", "#f0a04b", "#b197fc", "#6fd39a", "#ff8a80"),
    *("#74b6f5", "#d3b078", "#f283b6", "#a9b4bf"),
)
_GROUNDS: Final = {
    # ground, edge, grid, text, soft text
    "light": ("#ffffff", "#dde2e7", "#e6eaee", "#1a2027", "#56616c"),
    "dark": ("#14181d", "#2e3641", "#29303a", "#e6eaef", "#9ba7b4"),
}

# Circle, square, diamond and triangle: who sees no colours sees these.
_MARKERS: Final = (
    "M-4.5,0a4.5,4.5 0 1,0 9,0a4.5,4.5 0 1,0 -9,0z",
    "M-4,-4h8v8h-8z",
    "M0,-5.6l5.6,5.6l-5.6,5.6l-5.6,-5.6z",
    "M0,-5.4l5.2,9.2h-10.4z",
)

# What XML 1.0 cannot hold, not even written as a number (section 2.2).
_UNSPEAKABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def bars(
    title: str, groups: Sequence[str], series: Mapping[str, Sequence[float | None]], unit: str, *, note: str = ""
) -> str:
    """Bars that lie beside each other in groups: what several brokers reach at several things.

    Args:
        title: what it is about.
        groups: what was measured, each a heading.
        series: for each broker, its figure in each group; None: there is none.
        unit: of the figures, as ``messages/s``.
        note: a sentence below it.

    Raises:
        ValueError: there is nothing to draw, too much, or a figure too many or below 0.
    """
    _check(series)
    figures = [value for values in series.values() for value in values if value is not None]
    if not groups or not figures or any(len(values) != len(groups) for values in series.values()):
        raise ValueError("bars need groups, and each of the series one figure for each group")
    if min(figures) < 0.0:
        raise ValueError("a bar cannot show a figure below 0")
    words = [f"{group}: {_listed(series, index, unit)}." for index, group in enumerate(groups)]
    sheet = _Sheet(title, " ".join(words), len(series))
    sheet.legend(unit, list(series) if len(series) > 1 else [])
    headings = [_wrapped(group, _WIDEST_HEADING, bold=True) for group in groups]
    left = _MARGIN + max(width_of(line, bold=True) for lines in headings for line in lines) + 12.0
    right = WIDTH - _MARGIN - max(width_of(short(value)) for value in figures) - 10.0
    scale = Linear(max(figures), 6, exact=True)
    top = sheet.height
    bottom = top + _bars_height(headings, len(series))
    for tick in scale.ticks():
        x = left + scale.place(tick) * (right - left)
        sheet.line(x, top, x, bottom, "grid")
        sheet.text(x, bottom + 18.0, round_number(tick), "soft mid")
    y = top
    for index, lines in enumerate(headings):
        high = _group_height(lines, len(series))
        y += _GROUP_GAP / 2.0
        for number, line in enumerate(lines):
            first = y + (high - len(lines) * _LINE) / 2.0 + 13.0
            sheet.text(left - 12.0, first + number * _LINE, line, "bold end")
        at = y + (high - len(series) * (_BAR + _BAR_GAP) + _BAR_GAP) / 2.0
        for number, (name, values) in enumerate(series.items()):
            value = values[index]
            length = max(scale.place(value) * (right - left), _THINNEST) if value else 0.0
            told = "no figure" if value is None else short(value)
            sheet.bar(left, at, length, number, f"{groups[index]}, {name}: {told} {unit}")
            sheet.text(left + length + 6.0, at + 12.5, "none" if value is None else told, "")
            at += _BAR + _BAR_GAP
        y += high + _GROUP_GAP / 2.0
    sheet.line(left, top, left, bottom, "axis")
    sheet.height = bottom + 24.0
    return sheet.done(note)


def lines(
    title: str,
    x_label: str,
    y_label: str,
    series: Mapping[str, Points],
    *,
    logarithmic_y: bool = False,
    note: str = "",
) -> str:
    """Lines over a logarithmic axis, each with its name at its end: how brokers go with ten, a hundred, a thousand.

    Args:
        title: what it is about.
        x_label: what grows.
        y_label: what came of it, with its unit.
        series: for each broker, its points from the left.
        logarithmic_y: the other axis is logarithmic, too.
        note: a sentence below it.

    Raises:
        ValueError: there is nothing to draw, too much, or a value on a logarithmic axis is not above 0.
    """
    _check(series)
    known = [(x, y) for points in series.values() for x, y in points if y is not None]
    if not known:
        raise ValueError("lines need at least one point")
    if min(x for x, _ in known) <= 0.0 or (logarithmic_y and min(y for _, y in known) <= 0.0):
        raise ValueError("a logarithmic axis has no place for 0 and less")
    if min(y for _, y in known) < 0.0:
        raise ValueError("a line cannot show a figure below 0")
    words = [f"{name}: {_pairs_of(points)}." for name, points in series.items()]
    sheet = _Sheet(title, f"{y_label} over {x_label}. {' '.join(words)}", len(series))
    xs, ys = [x for x, _ in known], [y for _, y in known]
    x_scale = Logarithmic(min(xs), max(xs), 10, exact=True)
    y_scale: Scale = Logarithmic(min(ys), max(ys)) if logarithmic_y else Linear(max(ys), 6)
    curves = [_Curve(name, points, number) for number, (name, points) in enumerate(series.items())]
    sheet.plot(curves, _Axis(x_scale, x_label, _grouped), _Axis(y_scale, y_label, round_number))
    return sheet.done(note)


def of_run(result: Result, title: str = "") -> str:
    """A run: what happened in each second, and which part of the latencies was how long.

    Args:
        result: of the run.
        title: what was measured; empty: its kind.

    Raises:
        ValueError: it was so short that there is nothing to draw.
    """
    shown = _activity(result)
    if not shown:
        raise ValueError("nothing was measured, so there is nothing to draw")
    measured = result.measured
    latency = measured.latency
    words = [
        f"{name}: {short(per_second(count(measured), measured.seconds))} a second." for name, count in shown.items()
    ]
    if latency.count:
        told = [f"{three_digits(each)} %: {shown_time(latency.percentile(each))}" for each in (50, 90, 99, 99.9)]
        words.append(f"Latency: {', '.join(told)}, most: {shown_time(latency.most)}.")
    sheet = _Sheet(title or f"telex bench {result.kind}", " ".join(words), len(shown))
    high = 220.0 if latency.count else _PLOT_HEIGHT
    curves = [_Curve(name, _by_second(result, count), number) for number, (name, count) in enumerate(shown.items())]
    ends = [x for curve in curves for x, _ in curve.points]
    ys = [y for curve in curves for _, y in curve.points if y is not None]
    seconds = Linear(max(max(ends), round(max(ends))), 10, exact=True)  # 9.99 are 10, which a tick is to say
    unit = "messages a second" if measured.sent or measured.received else "a second"
    sheet.plot(curves, _Axis(seconds, "seconds", _grouped), _Axis(Linear(max(ys)), unit, round_number), height=high)
    if latency.count:
        sheet.height += 14.0
        nines = Nines(latency.count)
        points = [(percent, latency.percentile(percent)) for percent in nines.steps(120)]
        low, most = max(min(y for _, y in points), 1.0), max(max(y for _, y in points), 1.0)
        wide = most > low * 20.0
        y_scale: Scale = Logarithmic(low, most) if wide else Linear(most)
        points = [(percent, max(value, low)) for percent, value in points]
        sheet.plot(
            [_Curve("", points, 2)],
            _Axis(nines, "percent of all that took no longer", _percent),
            _Axis(y_scale, "latency", round_time),
            height=high,
        )
    return sheet.done()


def width_of(text: str, size: float = _SIZE, *, bold: bool = False) -> float:
    """How wide a text may be at most, in pixels: whichever font a reader has, nothing is cut off."""
    em = 0.0
    for character in text:
        if unicodedata.east_asian_width(character) in "WF":
            em += 1.05
        elif character in "iljI|!.,:;'()[]/\\ tfr":
            em += 0.40
        elif character in "csvxyzk":
            em += 0.58
        elif character in "mwMW%@—…":
            em += 0.98
        else:
            em += 0.76 if character.isupper() else 0.63
    return em * size * (1.09 if bold else 1.0)


# What is drawn on


class _Curve(NamedTuple):
    """One line of a plot."""

    name: str  # empty: it needs none
    points: Points
    number: int  # which colour it has


class _Axis(NamedTuple):
    """One axis of a plot."""

    scale: Scale
    label: str
    told: Callable[[float], str]  # a value in words


class _Sheet:
    """A picture that grows downwards."""

    def __init__(self, title: str, words: str, series: int) -> None:
        self._title = title
        self._words = words
        self._series = max(series, 3)  # the curve of latencies has a colour of its own
        self._parts: list[str] = []
        self.height = _MARGIN
        for line in _wrapped(title, WIDTH - 2 * _MARGIN, _TITLE_SIZE, bold=True):
            self.text(_MARGIN, self.height + 15.0, line, "title")
            self.height += _TITLE_LINE
        self.height += 4.0

    def legend(self, unit: str, names: Sequence[str]) -> None:
        """What is shown, and which colour is whose; over as many lines as it takes."""
        if unit:
            for line in _wrapped(unit, WIDTH - 2 * _MARGIN):
                self.text(_MARGIN, self.height + 12.0, line, "soft")
                self.height += _LINE
            self.height += 4.0
        x = _MARGIN
        for number, name in enumerate(names):
            wide = _SWATCH + width_of(name)
            if x > _MARGIN and x + wide > WIDTH - _MARGIN:
                x = _MARGIN
                self.height += _LINE + 4.0
            self._add(f'<rect class="f{number}" x="{x:.1f}" y="{self.height + 2:.1f}" width="12" height="12" rx="3"/>')
            self.text(x + _SWATCH, self.height + 12.5, name, "")
            x += wide + _BETWEEN
        self.height += (_LINE if names else 0.0) + 12.0

    def plot(self, curves: Sequence[_Curve], x_axis: _Axis, y_axis: _Axis, *, height: float = _PLOT_HEIGHT) -> None:
        """Lines between two axes, with their names at their ends."""
        named = [curve for curve in curves if curve.name]
        y_ticks = [(tick, y_axis.told(tick)) for tick in y_axis.scale.ticks()]
        left = _MARGIN + max(width_of(text) for _, text in y_ticks) + 10.0
        names = max((width_of(curve.name, bold=True) for curve in named), default=0.0)
        right = WIDTH - _MARGIN - (names + 34.0 if named else 16.0)
        for line in _wrapped(y_axis.label, WIDTH - 2 * _MARGIN):
            self.text(_MARGIN, self.height + 12.0, line, "soft")
            self.height += _LINE
        top = self.height + 12.0
        bottom = top + height

        def x_of(value: float) -> float:
            return left + _PAD + x_axis.scale.place(value) * (right - left - 2 * _PAD)

        def y_of(value: float) -> float:
            return bottom - y_axis.scale.place(value) * (bottom - top)

        for tick, text in y_ticks:
            self.line(left, y_of(tick), right, y_of(tick), "grid")
            self.text(left - 10.0, y_of(tick) + 4.5, text, "soft end")
        last = -1000.0
        for tick in x_axis.scale.ticks():
            text = x_axis.told(tick)
            half = width_of(text) / 2.0
            self.line(x_of(tick), bottom, x_of(tick), bottom + 5.0, "axis")
            if x_of(tick) - half >= last + 8.0:
                self.text(x_of(tick), bottom + 20.0, text, "soft mid")
                last = x_of(tick) + half
        self.line(left, bottom, right, bottom, "axis")
        self.height = bottom + 30.0
        for line in _wrapped(x_axis.label, right - left):
            self.text((left + right) / 2.0, self.height + 10.0, line, "soft mid")
            self.height += _LINE
        for curve in reversed(curves):  # the first one lies above the others
            self._curve(curve, x_of, y_of, x_axis.told)
        self._names(named, x_of, y_of, right, top, bottom)

    def _curve(
        self,
        curve: _Curve,
        x_of: Callable[[float], float],
        y_of: Callable[[float], float],
        told: Callable[[float], str],
    ) -> None:
        for stretch in _stretches(curve.points):
            way = "L".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in stretch)
            self._add(f'<path class="line k{curve.number}" d="M{way}"/>')
        if len(curve.points) > _MOST_MARKERS or not curve.name:
            return
        for x, y in curve.points:
            if y is not None:
                words = _escaped(f"{curve.name}, {told(x)}: {short(y)}")
                self._marker(x_of(x), y_of(y), curve.number, f"<title>{words}</title>")

    def _marker(self, x: float, y: float, number: int, inside: str = "") -> None:
        shape = _MARKERS[number % len(_MARKERS)]
        self._add(f'<path class="mark f{number}" transform="translate({x:.1f},{y:.1f})" d="{shape}">{inside}</path>')

    def _names(
        self,
        curves: Sequence[_Curve],
        x_of: Callable[[float], float],
        y_of: Callable[[float], float],
        right: float,
        top: float,
        bottom: float,
    ) -> None:
        ends = [[(x, y) for x, y in curve.points if y is not None][-1:] for curve in curves]
        there = [(curve, x_of(end[0][0]), y_of(end[0][1])) for curve, end in zip(curves, ends, strict=True) if end]
        places = pushed_apart([y for _, _, y in there], _LINE, top, bottom)
        for (curve, x, y), place in zip(there, places, strict=True):
            if abs(place - y) > _SMALL_GAP or right - _PAD - x > _SMALL_GAP:
                self._add(
                    f'<path class="lead k{curve.number}" d="M{x + 7:.1f},{y:.1f}L{max(right, x + 7):.1f},{y:.1f}'
                    f'L{right + 12:.1f},{place:.1f}"/>'
                )
            self._marker(right + 20.0, place, curve.number)
            self.text(right + 30.0, place + 4.5, curve.name, f"bold f{curve.number}")

    def bar(self, x: float, y: float, length: float, number: int, words: str) -> None:
        """A bar from the left, whose end is round."""
        round_ = min(3.0, length)
        straight, down = length - round_, _BAR - 2 * round_
        corner = f"a{round_:.1f},{round_:.1f} 0 0 1"
        way = (
            f"M{x:.1f},{y:.1f}h{straight:.1f}{corner} {round_:.1f},{round_:.1f}v{down:.1f}"
            f"{corner} {-round_:.1f},{round_:.1f}h{-straight:.1f}z"
        )
        self._add(f'<path class="f{number}" d="{way}"><title>{_escaped(words)}</title></path>')

    def text(self, x: float, y: float, text: str, kind: str) -> None:
        """A line of text; ``mid`` and ``end`` say what of it stands at x."""
        named = f' class="{kind}"' if kind else ""
        self._add(f'<text{named} x="{x:.1f}" y="{y:.1f}">{_escaped(text)}</text>')

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """A straight line."""
        self._add(f'<path class="{kind}" d="M{x1:.1f},{y1:.1f}L{x2:.1f},{y2:.1f}"/>')

    def done(self, note: str = "") -> str:
        """The whole document."""
        for line in _wrapped(note, WIDTH - 2 * _MARGIN) if note else ():
            self.text(_MARGIN, self.height + 18.0, line, "soft")
            self.height += _LINE
        height = round(self.height + _MARGIN - 4.0)
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
                f'viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="title words">',
                f'<title id="title">{_escaped(self._title)}</title>',
                f'<desc id="words">{_escaped(self._words)}</desc>',
                f"<style>{_style(self._series)}</style>",
                f'<rect class="ground" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
                *self._parts,
                "</svg>\n",
            ]
        )

    def _add(self, part: str) -> None:
        self._parts.append(part)


def _style(series: int) -> str:
    """How it looks: on a light screen, and on a dark one."""
    fixed = (
        f"text{{font:{_SIZE:.0f}px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}}"
        f".title{{font-size:{_TITLE_SIZE:.0f}px;font-weight:600}}.bold{{font-weight:600}}"
        ".mid{text-anchor:middle}.end{text-anchor:end}"
        ".line{fill:none;stroke-width:2.5;stroke-linejoin:round;stroke-linecap:round}"
        ".lead{fill:none;stroke-width:1;stroke-dasharray:2 3}"
        ".mark{stroke-width:1.5}"
    )
    light, dark = (_colours(_GROUNDS[name], each[:series]) for name, each in (("light", _LIGHT), ("dark", _DARK)))
    return f"{fixed}{light}@media(prefers-color-scheme:dark){{{dark}}}"


def _colours(ground: Sequence[str], series: Sequence[str]) -> str:
    back, edge, grid, text, soft = ground
    each = "".join(f".f{number}{{fill:{colour}}}.k{number}{{stroke:{colour}}}" for number, colour in enumerate(series))
    return (
        f".ground{{fill:{back};stroke:{edge}}}text{{fill:{text}}}.soft{{fill:{soft}}}"
        f".grid{{stroke:{grid}}}.axis{{stroke:{soft}}}.mark{{stroke:{back}}}{each}"
    )


# Words


def _check(series: Mapping[str, object]) -> None:
    if not series:
        raise ValueError("there is nothing to draw")
    if len(series) > MOST_SERIES:
        raise ValueError(f"no more than {MOST_SERIES} can be told from each other, found {len(series)}")


def _escaped(text: str) -> str:
    """Text as XML has it; what that cannot hold is U+FFFD."""
    harmless = _UNSPEAKABLE.sub("\ufffd", text)
    return harmless.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def _wrapped(text: str, widest: float, size: float = _SIZE, *, bold: bool = False) -> list[str]:
    """A text in lines of that width; a word that is longer has a line of its own, and is cut where it is too long."""
    found: list[str] = []
    line = ""
    for word in text.split():
        while width_of(word, size, bold=bold) > widest:
            cut = next(n for n in range(len(word), 0, -1) if n == 1 or width_of(word[:n], size, bold=bold) <= widest)
            found += [*([line] if line else []), word[:cut]]
            line, word = "", word[cut:]
        longer = f"{line} {word}" if line else word
        if line and width_of(longer, size, bold=bold) > widest:
            found.append(line)
            longer = word
        line = longer
    return [*found, line] if line or not found else found


def _listed(series: Mapping[str, Sequence[float | None]], index: int, unit: str) -> str:
    told = []
    for name, values in series.items():
        value = values[index]
        told.append(f"{name} no figure" if value is None else f"{name} {short(value)} {unit}".rstrip())
    return ", ".join(told)


def _pairs_of(points: Points) -> str:
    return ", ".join(f"at {short(x)} {'no figure' if y is None else short(y)}" for x, y in points)


def _grouped(value: float) -> str:
    """A number on an axis that counts something: all its digits."""
    return f"{value:,.0f}" if value >= 1_000.0 else f"{value:.6g}"


def _percent(value: float) -> str:
    """50, 99, 99.9 and so on, to the last nine."""
    return f"{value:.6f}".rstrip("0").rstrip(".") + " %"


def _group_height(heading: Sequence[str], count: int) -> float:
    return max(len(heading) * _LINE, count * (_BAR + _BAR_GAP) - _BAR_GAP)


def _bars_height(headings: Sequence[Sequence[str]], count: int) -> float:
    return sum(_group_height(heading, count) + _GROUP_GAP for heading in headings)


def _stretches(points: Points) -> Iterator[list[tuple[float, float]]]:
    """A line's parts between its gaps."""
    stretch: list[tuple[float, float]] = []
    for x, y in points:
        if y is not None:
            stretch.append((x, y))
        elif stretch:
            yield stretch
            stretch = []
    if stretch:
        yield stretch


# A run


def _activity(result: Result) -> dict[str, Callable[[Tally], int]]:
    """What of a run is worth a line, and how it is found."""
    return {
        name: count
        for name, count in COUNTS.items()
        if any(count(tally) for tally in result.by_second) and (name != "acknowledged" or not result.measured.received)
    }


def _by_second(result: Result, count: Callable[[Tally], int]) -> Points:
    points = []
    passed = 0.0
    for tally in result.by_second:
        passed += tally.seconds
        if tally.seconds > 0.0:
            points.append((passed, count(tally) / tally.seconds))
    return points
