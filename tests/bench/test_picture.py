"""Pictures: what is in them, that it can be read, and that nothing lies on anything else."""

import re
from itertools import combinations
from typing import Any
from xml.etree import ElementTree

import pytest

from telex.bench import picture
from telex.bench.histogram import Histogram
from telex.bench.result import Result, Tally
from telex.bench.scales import Linear, Logarithmic, Nines, pushed_apart

SVG = "{http://www.w3.org/2000/svg}"
BROKERS = ("Telex, compiled", "Telex, interpreted", "Mosquitto (C)", "NATS (Go)", "aedes (Node.js)", "amqtt (Python)")
GROUPS = ("QoS 0, 1 to 1", "QoS 0, 1 to 100", "QoS 1, 500 pairs, one message in flight at a time")


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def boxes(svg: str) -> list[tuple[str, float, float, float, float]]:
    """Each text, and where it is at most: left, top, right, bottom."""
    found = []
    for element in ElementTree.fromstring(svg).iter(f"{SVG}text"):
        text, kind = element.text or "", element.get("class", "").split()
        size = picture._TITLE_SIZE if "title" in kind else picture._SIZE
        wide = picture.width_of(text, size, bold="title" in kind or "bold" in kind)
        x, y = float(element.get("x", "")), float(element.get("y", ""))
        left = x - wide if "end" in kind else x - wide / 2 if "mid" in kind else x
        found.append((text, left, y - 0.75 * size, left + wide, y + 0.2 * size))
    return found


def readable(svg: str) -> None:
    """No text is cut off, and none lies on another."""
    height = float(ElementTree.fromstring(svg).get("height", ""))
    found = boxes(svg)
    for text, left, top, right, bottom in found:
        assert left >= 0, text
        assert right <= picture.WIDTH, text
        assert top >= 0, text
        assert bottom <= height, text
    for one, other in combinations(found, 2):
        apart = one[3] <= other[1] or other[3] <= one[1] or one[4] <= other[2] or other[4] <= one[2]
        assert apart, f"{one[0]!r} lies on {other[0]!r}"


def a_run(seconds: int = 5, **changes: Any) -> Result:
    latency = Histogram()
    for microseconds in range(80, 10_080):
        latency.record(microseconds)
    tallies = [Tally(seconds=1.0, sent=1_000 + number, received=900 + number) for number in range(seconds)]
    measured = Tally(seconds=float(seconds), sent=1_000 * seconds, received=900 * seconds, latency=latency)
    return Result(**{"kind": "pairs", "measured": measured, "by_second": tallies, **changes})


# Bars


def some_bars() -> str:
    series = {name: [3.6e6 / (index + 1), 23.3e6 / (index + 1), None] for index, name in enumerate(BROKERS)}
    return picture.bars("Beside other brokers", GROUPS, series, "messages a second, of 64 bytes each", note="A note.")


def test_bars_show_each_figure_beside_its_bar() -> None:
    svg = some_bars()
    readable(svg)
    found = texts(svg)
    assert found.count("none") == len(BROKERS)
    for name in ("3.60 M", "1.80 M", "23.3 M", "Telex, compiled", "QoS 0, 1 to 1", "A note."):
        assert name in found
    assert {"QoS 1, 500 pairs, one", "message in flight at a"} <= set(found)  # a heading that is too long for a line


def test_bars_are_as_long_as_their_figures() -> None:
    svg = picture.bars("t", ["a", "b"], {"x": [100, 50], "y": [0, 0.001]}, "u")
    lengths = [
        float(found[1]) + float(found[2])
        for element in ElementTree.fromstring(svg).iter(f"{SVG}path")
        if (found := re.match(r"M[\d.]+,[\d.]+h([\d.]+)a([\d.]+),", element.get("d", ""))) is not None
    ]
    longest, nothing, half, thinnest = lengths
    assert half == pytest.approx(longest / 2, abs=0.2)
    assert nothing == 0
    assert thinnest == picture._THINNEST


def test_a_single_series_needs_no_legend() -> None:
    svg = picture.bars("t", ["a"], {"Telex": [1.0]}, "KiB")
    readable(svg)
    assert "Telex" not in texts(svg)
    assert "a: Telex 1.00 KiB." in (ElementTree.fromstring(svg).findtext(f"{SVG}desc") or "")


# Lines


def some_lines(**settings: Any) -> str:
    counts = (1, 10, 100, 1_000, 10_000)
    series = {name: [(x, 200_000.0 + 100 * index) for x in counts] for index, name in enumerate(BROKERS)}
    series["NanoMQ"] = [(x, 3e6) for x in counts[:3]]
    return picture.lines("With more and more clients", "publishers", "messages a second", series, **settings)


@pytest.mark.parametrize("logarithmic_y", [False, True])
def test_each_line_has_its_name_at_its_end(logarithmic_y: bool) -> None:
    svg = some_lines(logarithmic_y=logarithmic_y, note="NanoMQ did not take a thousand.")
    readable(svg)
    found = {text: left for text, left, *_ in boxes(svg)}
    ticks = [found[name] for name in ("1", "10", "100", "1,000", "10,000")]
    assert ticks == sorted(ticks)
    assert all(found[name] > ticks[-1] for name in (*BROKERS, "NanoMQ"))


def test_a_line_has_a_gap_where_nothing_is_known() -> None:
    svg = picture.lines("t", "x", "y", {"a": [(1, 5.0), (2, 5.0), (4, None), (8, 5.0), (16, 5.0)]})
    ways = [
        each.get("d", "") for each in ElementTree.fromstring(svg).iter(f"{SVG}path") if each.get("class") == "line k0"
    ]
    assert [way.count(",") for way in ways] == [2, 2]


def test_one_point_is_a_picture_too() -> None:
    readable(picture.lines("t", "x", "y", {"a": [(1, 0.0)]}))
    readable(picture.lines("t", "x", "y", {"a": [(7, 3.0)]}, logarithmic_y=True))


# A run


@pytest.mark.parametrize("seconds", [1, 5, 90])
def test_a_run_is_its_seconds_and_its_latencies(seconds: int) -> None:
    svg = picture.of_run(a_run(seconds), "telex bench pairs at localhost:1883")
    readable(svg)
    assert {"messages a second", "latency", "sent", "received", "99 %", "99.9 %", "10 ms"} <= set(texts(svg))
    words = ElementTree.fromstring(svg).findtext(f"{SVG}desc") or ""
    assert "sent: 1.00 k a second" in words
    assert "50.0 %: 5.0" in words


def test_connections_are_shown_as_such() -> None:
    tally = Tally(seconds=1.0, connected=5_000)
    svg = picture.of_run(Result(kind="connect", measured=tally, by_second=[tally]))
    readable(svg)
    assert "connected" in texts(svg)
    assert "latency" not in texts(svg)
    assert "messages a second" not in texts(svg)


# All of them


@pytest.mark.parametrize("svg", [some_bars(), some_lines(), picture.of_run(a_run())], ids=["bars", "lines", "run"])
def test_a_picture_stands_alone(svg: str) -> None:
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title")
    assert root.findtext(f"{SVG}desc")
    assert "@media(prefers-color-scheme:dark)" in (root.findtext(f"{SVG}style") or "")
    assert not re.search(r"href|url\(|<script|@import", svg)


def test_names_cannot_break_it() -> None:
    name = 'a<b>&"c\x00\x1b\ud800'
    for svg in (
        picture.bars(name, [name], {name: [1], "b": [2]}, name),
        picture.lines(name, name, name, {name: [(1, 1)]}),
    ):
        readable(svg)
        assert 'a<b>&"c\ufffd\ufffd\ufffd' in texts(svg)
        svg.encode()


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        picture.bars("t", ["a"], {}, "u")
    with pytest.raises(ValueError, match="one figure for each group"):
        picture.bars("t", ["a"], {"x": [1, 2]}, "u")
    with pytest.raises(ValueError, match="below 0"):
        picture.bars("t", ["a"], {"x": [-1]}, "u")
    with pytest.raises(ValueError, match="no place for 0"):
        picture.lines("t", "x", "y", {"a": [(0, 1)]})
    with pytest.raises(ValueError, match="no place for 0"):
        picture.lines("t", "x", "y", {"a": [(1, 0)]}, logarithmic_y=True)
    with pytest.raises(ValueError, match="at least one point"):
        picture.lines("t", "x", "y", {"a": [(1, None)]})
    with pytest.raises(ValueError, match="no more than 9"):
        picture.lines("t", "x", "y", {str(number): [(1, 1)] for number in range(10)})
    with pytest.raises(ValueError, match="nothing was measured"):
        picture.of_run(Result(kind="pairs"))


def luminance(colour: str) -> float:
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    red, green, blue = (each / 12.92 if each <= 0.03928 else ((each + 0.055) / 1.055) ** 2.4 for each in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(("scheme", "series"), [("light", picture._LIGHT), ("dark", picture._DARK)])
def test_every_colour_can_be_read(scheme: str, series: tuple[str, ...]) -> None:
    assert len(series) == picture.MOST_SERIES
    ground, _, _, text, soft = picture._GROUNDS[scheme]
    for colour in (*series, text, soft):
        light, dark = sorted((luminance(ground), luminance(colour)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, colour


# Scales


@pytest.mark.parametrize(
    ("most", "ticks"),
    [
        (1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (23.3, [0, 5, 10, 15, 20, 25]),
        (99_000, [0, 2e4, 4e4, 6e4, 8e4, 1e5]),
        (0, None),
    ],
)
def test_ticks_are_round_numbers(most: float, ticks: list[float] | None) -> None:
    assert Linear(most).ticks() == pytest.approx(ticks or [0, 0.2, 0.4, 0.6, 0.8, 1])


def test_logarithmic_ticks_are_1_2_and_5_and_fewer_if_there_are_many() -> None:
    assert Logarithmic(3, 180).ticks() == pytest.approx([2, 5, 10, 20, 50, 100, 200])
    assert Logarithmic(1, 10_000).ticks() == pytest.approx([1, 10, 100, 1_000, 10_000])
    assert len(Logarithmic(1e-9, 1e12).ticks()) <= 10
    scale = Logarithmic(1, 100, exact=True)
    assert [scale.place(value) for value in (1, 10, 100)] == pytest.approx([0, 0.5, 1])


def test_each_nine_takes_as_much_room_as_the_one_before() -> None:
    scale = Nines(10_000)
    assert [scale.place(each) for each in (0, 90, 99, 99.9, 99.99, 100)] == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1])
    assert scale.ticks() == pytest.approx([0, 50, 90, 99, 99.9, 99.99])
    assert scale.steps(4) == pytest.approx([0, 90, 99, 99.9, 99.99])


@pytest.mark.parametrize(
    ("wanted", "places"),
    [
        ([10, 50, 90], [10, 50, 90]),
        ([50, 50], [45, 55]),
        ([55, 50, 52], [62.333, 42.333, 52.333]),
        ([98, 99, 100], [80, 90, 100]),
        ([0, 1, 2, 50], [0, 10, 20, 50]),
        ([], []),
    ],
)
def test_names_are_pushed_apart_in_their_order(wanted: list[float], places: list[float]) -> None:
    assert pushed_apart(wanted, 10, 0, 100) == pytest.approx(places, abs=0.01)


def test_where_there_is_no_room_names_are_nearer() -> None:
    assert pushed_apart([5] * 11, 50, 0, 100) == pytest.approx([number * 10 for number in range(11)])
