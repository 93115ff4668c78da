"""The overview of a broker: as a screen, as lines of text, and as JSON.

Knows figures, topics and widths. Knows no connection and no keys.
"""

import json
import textwrap
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from telex.cli import charts, colours
from telex.cli.busiest import Busiest, Busy
from telex.cli.sys_figures import COUNTERS, GAUGES, HISTORY_SECONDS, LOADS, MINUTES, PREFIX, Figures

if TYPE_CHECKING:  # loaded when it is drawn
    from rich.text import Text

NOTHING_TOLD: Final = (
    f"nothing comes below {PREFIX}: this broker has no $SYS with Mosquitto's names, tells it rarely, "
    "or does not let this user read it"
)

MOST_BUSIEST: Final = 10
"""Topics that are printed where no screen has an end."""

_BACK_SECONDS: Final = 10.0  # for which it is told that the connection is there again
_KEYS: Final = "q: end"

_NAME: Final = 14  # columns of the names of rates
_RATE: Final = 12
_CHART: Final = 16  # the fewest columns of a chart that says anything
_MOST_WIDTH: Final = 120  # columns; what is wider is hard to read
_FEWEST_TOPICS: Final = 5  # lines that topics get before charts grow higher

_LABELS: Final = {
    "messages_received": "messages in",
    "messages_sent": "messages out",
    "bytes_received": "bytes in",
    "bytes_sent": "bytes out",
    "packets_received": "packets in",
    "packets_sent": "packets out",
    "dropped": "dropped",
    "connections": "connections",
    "sockets": "sockets",
}
_STYLES: Final = {
    "messages_received": "cyan",
    "messages_sent": "green",
    "bytes_received": "cyan",
    "bytes_sent": "green",
    "dropped": "red",
}
_MESSAGES: Final = (("messages_received", "packets_received"), ("messages_sent", "packets_sent"))


class Field(NamedTuple):
    """Something that is told in a few words."""

    label: str
    text: str
    is_bad: bool = False


def shown_bytes(count: float) -> str:
    """So many bytes, in a unit in which three digits tell it."""
    size = count
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 99.95 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"


def shown_rate(name: str, rate: float) -> str:
    """So much a second, or messages or bytes, as the name of a figure says."""
    if name.startswith("bytes"):
        return f"{shown_bytes(rate)}/s"
    return f"{rate:,.0f}/s" if rate >= 99.95 else f"{rate:.1f}/s"


def shown_time(seconds: float) -> str:
    """A time that has passed, in its two largest units."""
    parts: list[str] = []
    left = int(seconds)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}")
        if len(parts) == 2:
            break
    return " ".join(parts) or "0 s"


class Overview:
    """What is known of a broker, and how it is shown. Times are seconds.

    Args:
        address: which broker it is, for people.
        figures: what it tells.
        busiest: topics that were subscribed to beside that; None: none were.
        filters: what was subscribed to.
    """

    def __init__(self, address: str, figures: Figures, busiest: Busiest | None = None, filters: str = "") -> None:
        self.figures = figures
        self.busiest = busiest
        self._lost: str | None = None  # why there is no connection now
        self._lost_at = 0.0
        self._back_at: float | None = None  # when there was one again
        self.is_silent = False  # whether the broker has had time enough to tell something
        self.warning: str | None = None  # what else somebody should know
        self._address = colours.in_one_line(address)
        self._filters = colours.in_one_line(filters)

    # The connection

    @property
    def is_lost(self) -> bool:
        """Whether there is no connection now."""
        return self._lost is not None

    def lost(self, why: str, now: float) -> None:
        """The connection is lost, or an attempt to make it again has failed."""
        if self._lost is None:
            self._lost_at = now
        self._lost = why
        self.warning = None

    def connected(self, now: float) -> None:
        """There is a connection, for the first time or again."""
        if self._lost is not None:
            self._lost = None
            self._back_at = now
        self.figures.connected()

    # What is told

    @property
    def version(self) -> str | None:
        """What the broker says that it is."""
        return None if self.figures.version is None else colours.in_one_line(self.figures.version)

    def troubles(self, now: float) -> list[str]:
        """What is not as it should be with the figures, in sentences."""
        found = []
        if self._lost is not None:
            found.append(self._lost)
        elif self._back_at is not None and now - self._back_at < _BACK_SECONDS:
            found.append(f"connected again, after {shown_time(self._back_at - self._lost_at)} without a connection")
        elif self.is_silent and self.figures.last_at is None:
            found.append(NOTHING_TOLD)
        elif self.figures.is_late(now):
            assert self.figures.last_at is not None  # it is late since then
            found.append(f"the broker has told nothing for {shown_time(now - self.figures.last_at)}")
        if self.warning is not None:
            found.append(self.warning)
        return [colours.in_one_line(each) for each in found]

    def counts(self) -> list[Field]:
        """How much there is of what clients make."""
        names = ("clients", "sessions", "subscriptions", "retained")
        return [Field(name, text) for name in names if (text := self._number(name)) is not None]

    def states(self) -> list[Field]:
        """How the broker is: what waits in it, what it has lost, what it takes."""
        figures = self.figures
        found = []
        dropped = self._number("dropped")
        if dropped is not None:
            found.append(Field("dropped", f"{dropped} in all", dropped != "0"))
        refused = self._number("refused")
        if refused is not None:
            found.append(Field("refused", f"{refused} in all"))
        queued = self._amount("queued", "queued_bytes")
        if queued is not None:
            found.append(Field("waiting to be sent", queued))
        stored = self._amount("stored", "stored_bytes")
        if stored is not None:
            found.append(Field("stored", stored))
        memory = figures.value("memory")
        if memory is not None:
            most = figures.value("memory_maximum")
            highest = "" if most is None else f", at most {shown_bytes(most)}"
            found.append(Field("memory", f"{shown_bytes(memory)}{highest}"))
        for name, label in (("sockets", "sockets"), ("sessions_expired", "expired sessions")):
            text = self._number(name)
            if text is not None:
                found.append(Field(label, text))
        if figures.store is not None:
            found.append(Field("store", colours.in_one_line(figures.store), figures.store == "failing"))
        down = [name for name, is_connected in figures.bridges.items() if not is_connected]
        if figures.bridges:
            text = f"{len(figures.bridges) - len(down)} of {len(figures.bridges)} connected"
            found.append(Field("bridges", text, bool(down)))
        return found

    def rated(self) -> list[str]:
        """The names of the counters whose rates are shown: packets where a broker does not tell messages."""
        found = []
        for names in (*_MESSAGES, ("bytes_received",), ("bytes_sent",), ("dropped",)):
            told = [name for name in names if self.figures.value(name) is not None]
            found += told[:1]
        return found

    def loaded(self) -> list[str]:
        """The names of the loads that are shown."""
        connections = (("connections",), ("sockets",))
        found = []
        for names in (*_MESSAGES, ("bytes_received",), ("bytes_sent",), ("dropped",), *connections):
            told = [name for name in names if self.figures.load(name, MINUTES[0]) is not None]
            found += told[:1]
        return found

    def _number(self, name: str) -> str | None:
        value = self.figures.value(name)
        return None if value is None else f"{value:,.0f}"

    def _amount(self, name: str, bytes_name: str) -> str | None:
        count = self._number(name)
        size = self.figures.value(bytes_name)
        if count is None:
            return None
        return count if size is None else f"{count}, {shown_bytes(size)}"

    def _loads(self, name: str) -> list[str]:
        """Those of 1, 5 and 15 minutes, as texts."""
        values = [self.figures.load(name, minutes) for minutes in MINUTES]
        is_size = name.startswith("bytes")
        return [
            "" if value is None else shown_bytes(value) if is_size else f"{value:,.{0 if value >= 99.95 else 1}f}"
            for value in values
        ]

    # As lines

    def lines(self, now: float, time: str) -> list[str]:
        """All of it in plain text.

        Args:
            now: the time by which the figures were taken.
            time: the same, for people.
        """
        figures = self.figures
        uptime = figures.uptime(now)
        fields = [] if self.version is None else [Field("version", self.version)]
        if uptime is not None:
            fields.append(Field("up", shown_time(uptime)))
        fields += [*self.counts(), *self.states()]
        for name in self.rated():
            rate = figures.rate(name, now)
            if rate is not None:
                fields.append(Field("dropped now" if name == "dropped" else _LABELS[name], shown_rate(name, rate)))
        for name in self.loaded():
            loads = " ".join(f"{each:>9}" for each in self._loads(name))
            fields.append(Field(f"{_LABELS[name]}/min", f"{loads}  (1, 5, 15 min)"))
        lines = [f"{time}  {self._address}", *(f"  {each.label:20}{each.text}" for each in fields)]
        if self.busiest is not None:
            lines.append(f"  {self._busiest_title(self.busiest)}")
            lines += [
                f"  {shown_rate('', each.rate):>12} {shown_rate('bytes', each.bytes_rate):>12}"
                f"  {colours.in_one_line(each.topic)}"
                for each in self.busiest.top(MOST_BUSIEST)
            ]
        return lines + [f"  {each}" for each in self.troubles(now)]

    def _busiest_title(self, busiest: Busiest) -> str:
        total = busiest.all()
        topics = "1 topic" if len(busiest) == 1 else f"{len(busiest):,} topics"
        unkept = f"; no room for {busiest.unkept:,} messages of others" if busiest.unkept else ""
        return f"{topics} of {self._filters}: {shown_rate('', total.rate)}{unkept}"

    # As JSON

    def as_json(self, now: float, time: str) -> str:
        """All of it in a line of JSON. What the broker does not tell is not in it.

        Args:
            now: the time by which the figures were taken.
            time: the same, in RFC 3339.
        """
        return json.dumps(_told(self._snapshot(now, time)), ensure_ascii=False)

    def _snapshot(self, now: float, time: str) -> dict[str, Any]:
        figures = self.figures
        uptime = figures.uptime(now)
        interval = figures.interval()
        memory = {"memory": figures.value("memory"), "memory_maximum": figures.value("memory_maximum")}
        statistics: dict[str, Any] = {
            name: _whole(figures.value(name))
            for name in (*GAUGES, *COUNTERS)
            if name not in ("queued", "queued_bytes", *memory)
        }
        statistics["rates"] = {f"{name}_per_second": _rounded(figures.rate(name, now)) for name in COUNTERS}
        snapshot: dict[str, Any] = {
            "time": time,
            "broker": self._address,
            "version": figures.version,
            "uptime": None if uptime is None else int(uptime),
            "interval": _rounded(interval),
            **{name: _whole(value) for name, value in memory.items() if memory["memory"] is not None},
            "queue": {"messages": _whole(figures.value("queued")), "bytes": _whole(figures.value("queued_bytes"))},
            "statistics": statistics,
            "loads": {
                name: {f"{minutes}min": _rounded(figures.load(name, minutes)) for minutes in MINUTES} for name in LOADS
            },
            "store": figures.store,
            "bridges": dict(figures.bridges),
        }
        if self.busiest is not None:
            total = self.busiest.all()
            snapshot["filters"] = self._filters
            snapshot["topics"] = [_busy(each) for each in self.busiest.top(MOST_BUSIEST)]
            snapshot["all_topics"] = {**_busy(total), "topic": None, "count": len(self.busiest)}
        return {**snapshot, "troubles": self.troubles(now)}

    # As a screen

    def screen(self, now: float, width: int, height: int, *, blocks: str = charts.BLOCKS) -> "Text":
        """All of it that finds room.

        Args:
            now: the time.
            width: of the screen, in columns.
            height: of the screen, in lines.
            blocks: of what charts are made.
        """
        from rich.text import Text

        width = min(width, _MOST_WIDTH)
        above = [self._title(now, width), *_flowing(self.counts(), width), *_flowing(self.states(), width)]
        below = [*_wrapped(self.troubles(now), width, "yellow"), Text(_KEYS, style="dim")]
        loads = self._load_table(width)
        rated = self.rated()
        left = height - len(above) - len(below)
        topics = 0 if self.busiest is None else _FEWEST_TOPICS + 2
        wanted = len(loads) + 1 if loads else 0
        if left < len(rated) + 1 + topics + wanted:
            loads = []
            wanted = 0
        if left < len(rated) + 1 + topics:
            topics = 0 if self.busiest is None else max(left - len(rated) - 1, 0)
        high = (left - topics - wanted - 1) // max(len(rated), 1)
        rows = self._chart_table(rated, now, width, min(max(high, 1), 3), blocks)
        parts = [above, *([Text(), *part] for part in (rows, loads) if part)]
        lines = [line for part in parts for line in part]
        if self.busiest is not None:
            lines += self._topic_table(self.busiest, width, height - len(lines) - len(below))
        # What nobody can do without is at the bottom.
        del lines[max(height - len(below), 0) :]
        lines += [Text()] * (height - len(lines) - len(below))
        lines += below[-height:]
        for line in lines:
            line.truncate(width, overflow="ellipsis" if blocks is charts.BLOCKS else "crop")
        shown = Text("\n").join(lines)
        shown.no_wrap = True
        return shown

    def _title(self, now: float, width: int) -> "Text":
        from rich.text import Text

        uptime = self.figures.uptime(now)
        right = "" if uptime is None else f"up {shown_time(uptime)}"
        left = Text(self._address, style="bold")
        if self.version is not None:
            left.append(f"  {self.version}")
        left.truncate(max(width - len(right) - 2, 0), pad=True)
        return left.append(f"  {right}")

    def _chart_table(self, names: list[str], now: float, width: int, height: int, blocks: str) -> "list[Text]":
        from rich.text import Text

        lines = []
        room = width - _NAME - _RATE - 2
        shows_most = room >= _CHART + _RATE + 10
        room -= _RATE + 7 if shows_most else 0
        for name in names:
            figures = self.figures
            rate = figures.rate(name, now)
            style = _STYLES.get(name, "")
            values: list[float | None] = []
            if room >= _CHART:
                values = charts.columns(figures.history(name, now), room, now - HISTORY_SECONDS, now)
            chart = charts.drawn(values, height, blocks=blocks)
            if name == "dropped" and not rate:
                style = "dim"
            for index, line in enumerate(chart):
                is_last = index == len(chart) - 1
                shown = "" if rate is None or not is_last else shown_rate(name, rate)
                text = Text(f"{_LABELS[name] if is_last else '':{_NAME}}")
                text.append(f"{shown:>{_RATE}}  ", style="bold")
                text.append(line, style=style)
                most = max((value for value in values if value is not None), default=None)
                if shows_most and most is not None and index == 0:
                    text.append(f"  most {shown_rate(name, most):>{_RATE}}", style="dim")
                lines.append(text)
        if lines:
            span = f"the last {HISTORY_SECONDS / 60:.0f} minutes"
            head = Text(" " * _NAME + f"{'now':>{_RATE}}  " + (span if room >= _CHART else ""), style="dim")
            lines.insert(0, head)
        return lines

    def _load_table(self, width: int) -> "list[Text]":
        from rich.text import Text

        names = self.loaded()
        if not names:
            return []
        columns = "".join(f"{f'{minutes} min':>{_RATE}}" for minutes in MINUTES)
        lines = [Text(f"{'a minute':{_NAME}}{columns}", style="dim")]
        lines += [
            Text(f"{_LABELS[name]:{_NAME}}" + "".join(f"{each:>{_RATE}}" for each in self._loads(name)))
            for name in names
        ]
        return lines

    def _topic_table(self, busiest: Busiest, width: int, room: int) -> "list[Text]":
        from rich.text import Text

        lines = [Text(), Text(self._busiest_title(busiest), style="bold")]
        for each in busiest.top(max(room - len(lines), 0)):
            topic = Text(colours.in_one_line(each.topic), style="cyan")
            topic.truncate(max(width - 2 * _RATE, 0), overflow="ellipsis", pad=True)
            rates = f"{shown_rate('', each.rate):>{_RATE}}{shown_rate('bytes', each.bytes_rate):>{_RATE}}"
            lines.append(topic.append(rates, style="not cyan"))
        return lines


def _flowing(fields: list[Field], width: int) -> "list[Text]":
    """Fields beside each other, in as many lines as they need."""
    from rich.text import Text

    lines: list[Text] = []
    for field in fields:
        text = Text(f"{field.label} ", style="dim" if not field.is_bad else "red")
        text.append(field.text, style="not dim bold")
        if lines and lines[-1].cell_len + 3 + text.cell_len <= width:
            lines[-1].append("   ")
            lines[-1].append_text(text)
        else:
            lines.append(Text().append_text(text))
    return lines


def _wrapped(sentences: list[str], width: int, style: str) -> "list[Text]":
    from rich.text import Text

    return [Text(line, style=style) for each in sentences for line in textwrap.wrap(each, max(width, 20))]


def _busy(each: Busy) -> dict[str, Any]:
    return {
        "topic": each.topic,
        "messages": each.messages,
        "messages_per_second": _rounded(each.rate),
        "bytes_per_second": _rounded(each.bytes_rate),
    }


def _whole(value: float | None) -> float | int | None:
    return int(value) if value is not None and value == int(value) else value


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _told(value: dict[str, Any]) -> dict[str, Any]:
    """The same without what is not known."""
    found = {name: _told(each) if isinstance(each, dict) else each for name, each in value.items()}
    return {name: each for name, each in found.items() if each is not None and each != {}}
