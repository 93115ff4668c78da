"""The overview of a broker: the screen, the lines and the JSON. Time is moved by hand."""

import json
import re
from io import StringIO

import pytest
from rich.console import Console

from telex.cli import charts
from telex.cli.busiest import Busiest
from telex.cli.overview import NOTHING_TOLD, Overview, shown_bytes, shown_rate, shown_time
from telex.cli.sys_figures import LOADS, MINUTES, PREFIX, Figures

NOW = 1_290.0
"""Half an hour of uptime, and five minutes of figures."""


def tell(figures: Figures, now: float, **told: object) -> None:
    for name, value in told.items():
        figures.take(f"{PREFIX}{name}", str(value).encode(), now, retained=False)


def full(busiest: Busiest | None = None) -> Overview:
    """A broker that tells all that Mosquitto and Telex tell."""
    figures = Figures()
    counted = ("publish/messages/received", "publish/messages/sent", "bytes/received", "bytes/sent")
    for step in range(30):
        now = 1000.0 + 10 * step
        tell(figures, now, uptime=f"{1510 + 10 * step} seconds")
        tell(figures, now, **{name: 1000 * step * (index + 1) for index, name in enumerate(counted)})
        tell(figures, now, **{"publish/messages/dropped": max(step - 28, 0) * 20})
    tell(figures, NOW, **{"clients/connected": 12, "clients/total": 1_500, "subscriptions/count": 40})
    tell(figures, NOW, **{"retained messages/count": 1_204, "heap/current": 32_100_000, "heap/maximum": 34_000_000})
    tell(figures, NOW, **{"packet/out/count": 3, "packet/out/bytes": 210, "store/messages/count": 1_300})
    tell(figures, NOW, **{"store/messages/bytes": 70_000, "version": "telex version 1.0", "store/state": "ok"})
    tell(figures, NOW, **{"connection/north/state": 1, "connection/south/state": 0, "connections/socket/count": 14})
    tell(figures, NOW, **{"connections/refused/count": 7})
    tell(
        figures, NOW, **{f"load/{name}/{minutes}min": f"{minutes}.50" for name in LOADS.values() for minutes in MINUTES}
    )
    return Overview("localhost:1883", figures, busiest, "home/#" if busiest else "")


def busy() -> Busiest:
    found = Busiest(0.0)
    for second in range(1, 11):
        for number in range(40):
            for _ in range(40 - number):
                found.take(f"home/room{number}/temperature", 4)
        found.fade(float(second))
    return found


def drawn(overview: Overview, width: int = 80, height: int = 24, **flags: str) -> list[str]:
    console = Console(file=StringIO(), force_terminal=True, width=width, height=height, no_color=True)
    with console.capture() as capture:
        console.print(overview.screen(NOW + 1, width, height, **flags), end="")
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", capture.get()).split("\n")]


# Numbers


def test_numbers_are_short() -> None:
    assert [shown_bytes(count) for count in (0, 999, 1_000, 99_940, 123_456, 5e6, 999_600_000, 1e12, 5e15)] == [
        *("0 B", "999 B", "1.0 kB", "99.9 kB", "123 kB", "5.0 MB", "1.0 GB", "1.0 TB", "5,000.0 TB")
    ]
    assert [shown_rate("messages_sent", rate) for rate in (0, 0.04, 9.94, 99.9, 99.96, 12_345.6)] == [
        *("0.0/s", "0.0/s", "9.9/s", "99.9/s", "100/s", "12,346/s")
    ]
    assert shown_rate("bytes_sent", 2_000) == "2.0 kB/s"
    assert [shown_time(seconds) for seconds in (0, 59.9, 61, 3_600, 90_061, 86_400)] == [
        *("0 s", "59 s", "1 min 1 s", "1 h 0 min", "1 d 1 h", "1 d 0 h")
    ]


# The screen


def test_the_screen_shows_all_that_is_told() -> None:
    lines = drawn(full(), 100, 40)
    text = "\n".join(lines)
    assert re.fullmatch(r"localhost:1883  telex version 1\.0 +up 30 min 1 s", lines[0])
    assert lines[1] == "clients 12   sessions 1,500   subscriptions 40   retained 1,204"
    for told in (
        *("dropped 20 in all", "waiting to be sent 3, 210 B", "stored 1,300, 70.0 kB", "store ok"),
        *("memory 32.1 MB, at most 34.0 MB", "bridges 1 of 2 connected", "sockets 14", "refused 7 in all"),
    ):
        assert told in text
    assert re.search(r"^messages in +100/s +█+$", text, re.MULTILINE)
    assert re.search(r"^bytes out +400 B/s +█+$", text, re.MULTILINE)
    assert re.search(r"^dropped +2\.0/s +▁+█+$", text, re.MULTILINE)
    assert re.search(r"most +2\.0/s", text)
    assert re.search(r"^a minute +1 min +5 min +15 min$", text, re.MULTILINE)
    assert re.search(r"^messages in +1\.5 +5\.5 +15\.5$", text, re.MULTILINE)
    assert re.search(r"^bytes out +2 B +6 B +16 B$", text, re.MULTILINE)
    assert re.search(r"^connections +1\.5 ", text, re.MULTILINE)
    assert lines[-1] == "q: end"
    assert len(lines) == 40


def test_what_is_not_told_is_left_out() -> None:
    figures = Figures()
    tell(figures, NOW, **{"clients/connected": 2})
    lines = drawn(Overview("broker:1883", figures))
    assert [line for line in lines if line] == ["broker:1883", "clients 2", "q: end"]


def test_packets_are_shown_where_messages_are_not_told() -> None:
    figures = Figures()
    tell(figures, NOW - 10, **{"uptime": 10, "messages/sent": 0})
    tell(figures, NOW, **{"uptime": 20, "messages/sent": 50, "load/messages/sent/1min": 300})
    text = "\n".join(drawn(Overview("broker:1883", figures)))
    assert re.search(r"^packets out +5\.0/s", text, re.MULTILINE)
    assert re.search(r"^packets out +300$", text, re.MULTILINE)
    assert "messages" not in text


@pytest.mark.parametrize("width", [20, 40, 60, 79, 80, 100, 300])
@pytest.mark.parametrize("height", [1, 2, 5, 10, 24, 50])
def test_the_screen_finds_room_in_every_terminal(width: int, height: int) -> None:
    for busiest in (None, busy()):
        overview = full(busiest)
        overview.warning = "a sentence that is longer than narrow terminals are wide, so that it has to be wrapped"
        lines = drawn(overview, width, height)
        assert len(lines) == height
        assert all(len(line) <= width for line in lines)
        assert lines[-1] == "q: end"


def test_nothing_is_cut_off_at_60_columns() -> None:
    overview = full(busy())
    lost = "the broker has closed the connection without a word; trying again in 1.5 s"
    overview.lost(lost, NOW)
    lines = drawn(overview, 60, 40)
    text = " ".join(lines)
    assert "…" not in text
    assert lost in re.sub(r" +", " ", text)
    for told in ("memory 32.1 MB, at most 34.0 MB", "retained 1,204", "up 30 min 1 s", "the last 5 minutes"):
        assert told in text
    assert sum("█" in line for line in lines) >= 5


def test_topics_get_what_room_there_is() -> None:
    lines = drawn(full(busy()), 80, 40)
    [title] = [index for index, line in enumerate(lines) if line.startswith("40 topics of home/#: 820/s")]
    shown = lines[title + 1 : -1]
    assert re.fullmatch(r"home/room0/temperature +40\.0/s +160 B/s", shown[0])
    assert len(shown) >= 5
    assert [line.split()[0] for line in shown] == [f"home/room{number}/temperature" for number in range(len(shown))]


def test_a_topic_gives_no_orders_to_a_terminal() -> None:
    found = Busiest(0.0)
    found.take("home/\x1b[2J\n日本" + "語" * 200, 1)
    found.fade(1.0)
    overview = Overview("a", Figures(), found, "#")
    tell(overview.figures, NOW, version="\x1b[31mbroker\n")
    for line in (*drawn(overview, 60), *overview.lines(NOW, "now")):
        assert "\x1b" not in line
    assert "home/\\x1b[2J\\n日本語" in "\n".join(overview.lines(NOW, "now"))


def test_there_are_charts_without_blocks() -> None:
    text = "\n".join(drawn(full(), 80, 24, blocks=charts.ASCII))
    assert text.isascii()
    assert "@@@@" in text


def test_colours_are_there_unless_nobody_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def raw() -> str:
        console = Console(file=StringIO(), force_terminal=True, color_system="standard", width=80)
        with console.capture() as capture:
            console.print(full(busy()).screen(NOW, 80, 40))
        return capture.get()

    monkeypatch.delenv("NO_COLOR", raising=False)
    colour = re.compile(r"\x1b\[(?:\d+;)*3[0-7]m")
    assert colour.search(raw())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colour.search(raw())


# What is wrong


def test_what_is_wrong_is_told_in_a_sentence() -> None:
    overview = Overview("localhost:1883", Figures())
    assert overview.troubles(NOW) == []
    overview.is_silent = True
    assert overview.troubles(NOW) == [NOTHING_TOLD]
    overview = full()
    overview.is_silent = True
    assert overview.troubles(NOW) == []
    assert overview.troubles(NOW + 60) == ["the broker has told nothing for 1 min 0 s"]
    overview.warning = "the queue is full"
    overview.lost("the connection went", NOW + 50)
    overview.lost("the connection is gone", NOW + 55)
    assert overview.troubles(NOW + 60) == ["the connection is gone"]
    overview.warning = "and something else"
    assert overview.troubles(NOW + 60) == ["the connection is gone", "and something else"]
    assert "the connection is gone" in "\n".join(drawn(overview))
    assert "  the connection is gone" in overview.lines(NOW, "now")
    overview.connected(NOW + 62)
    tell(overview.figures, NOW + 62, uptime=2000)
    overview.warning = None
    assert overview.troubles(NOW + 63) == ["connected again, after 12 s without a connection"]
    assert overview.troubles(NOW + 73) == []


# Lines


def test_lines_tell_one_thing_each() -> None:
    lines = full(busy()).lines(NOW + 1, "2026-01-02T03:04:05Z")
    assert lines[0] == "2026-01-02T03:04:05Z  localhost:1883"
    assert lines[1:5] == [
        "  version             telex version 1.0",
        "  up                  30 min 1 s",
        "  clients             12",
        "  sessions            1,500",
    ]
    assert "  messages in         100/s" in lines
    assert "  dropped             20 in all" in lines
    assert "  dropped now         2.0/s" in lines
    assert "  messages in/min           1.5       5.5      15.5  (1, 5, 15 min)" in lines
    assert "  40 topics of home/#: 820/s" in lines
    assert lines[-10:][0] == "        40.0/s      160 B/s  home/room0/temperature"
    assert len([line for line in lines if "/temperature" in line]) == 10


# JSON


def test_json_has_what_is_told_and_nothing_else() -> None:
    told = json.loads(full(busy()).as_json(NOW + 1, "2026-01-02T03:04:05Z"))
    assert (told["broker"], told["version"], told["uptime"]) == ("localhost:1883", "telex version 1.0", 1801)
    assert (told["memory"], told["memory_maximum"], told["queue"]) == (
        *(32_100_000, 34_000_000),
        {"messages": 3, "bytes": 210},
    )
    assert (told["interval"], told["store"], told["bridges"]) == (10, "ok", {"north": True, "south": False})
    statistics = told["statistics"]
    assert (statistics["clients"], statistics["messages_received"], statistics["dropped"]) == (12, 29_000, 20)
    assert statistics["rates"]["messages_sent_per_second"] == 200
    assert "packets_sent_per_second" not in statistics["rates"]
    assert told["loads"]["connections"] == {"1min": 1.5, "5min": 5.5, "15min": 15.5}
    assert told["topics"][0] == {
        "topic": "home/room0/temperature",
        "messages": 400,
        "messages_per_second": 40.0,
        "bytes_per_second": 160.0,
    }
    assert told["all_topics"]["count"] == 40
    assert told["troubles"] == []

    assert json.loads(Overview("a:1", Figures()).as_json(NOW, "t")) == {
        "time": "t",
        "broker": "a:1",
        "troubles": [],
    }


def test_json_is_one_line_whatever_topics_are_named() -> None:
    found = Busiest(0.0)
    found.take('a"\n\x1b', 1)
    found.fade(1.0)
    text = Overview("a:1", Figures(), found, "#").as_json(NOW, "t")
    assert "\n" not in text
    assert json.loads(text)["topics"][0]["topic"] == 'a"\n\x1b'
