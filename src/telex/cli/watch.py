"""``telex sub -w``: a table of topics on the terminal, kept up to date.

``Topics`` knows what came and draws nothing; ``Watch`` draws it, and knows the terminal's size and keys.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from telex.cli import colours
from telex.cli.keys import keys
from telex.client.message import Message

if TYPE_CHECKING:  # loaded when it is drawn
    from rich.console import Console, Group
    from rich.table import Table

MOST_TOPICS: Final = 200_000
"""Topics that are kept. More are counted only."""

MOST_CHARACTERS: Final = 64 << 20
"""Characters of topics that are kept: names may have 65,535 each."""

MOST_SHOWN: Final = 256
"""Bytes of a payload that are kept: no terminal is wider."""

_FRAME_SECONDS: Final = 0.25
_RATE_SECONDS: Final = 1.0  # over which a rate is measured, at least

_AROUND: Final = 3  # lines that are no topics: the title, the names of the columns, the keys

_KEYS: Final = "↑ ↓ PgUp PgDn Home End: scroll   q: end"

# What terminals send for keys, and by how many lines, or how many pages, they scroll.
_LINES: Final = {b"\x1b[A": -1, b"\x1bOA": -1, b"k": -1, b"\x1b[B": 1, b"\x1bOB": 1, b"j": 1}
_PAGES: Final = {b"\x1b[5~": -1, b"b": -1, b"\x1b[6~": 1, b" ": 1}
_HOME: Final = (b"\x1b[H", b"\x1bOH", b"\x1b[1~", b"g")
_END: Final = (b"\x1b[F", b"\x1bOF", b"\x1b[4~", b"G")


class Row:
    """The last message of a topic. Times are seconds."""

    __slots__ = ("at", "count", "counted", "counted_at", "payload", "rate", "retained", "size", "topic")

    def __init__(self, topic: str, now: float) -> None:
        self.topic = topic
        self.payload = b""  # its beginning
        self.size = 0  # of the whole payload
        self.retained = False
        self.at = now  # when it came
        self.count = 0  # messages so far
        self.rate = 0.0  # messages a second, when it was last counted
        self.counted = 0
        self.counted_at = now

    def measure(self, now: float) -> None:
        """Bring the rate up to date."""
        passed = now - self.counted_at
        if passed >= _RATE_SECONDS:
            self.rate = (self.count - self.counted) / passed
            self.counted = self.count
            self.counted_at = now


class Topics:
    """What came, by topic, in the order of their names."""

    def __init__(self, most: int = MOST_TOPICS) -> None:
        self.unkept = 0  # messages of topics that found no room
        self.total = Row("", 0.0)  # of all messages
        self._most = most
        self._characters = 0
        self._rows: dict[str, Row] = {}
        self._sorted: list[str] = []
        self._new: list[str] = []  # not yet in their place

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, messages: list[Message], now: float) -> None:
        """Messages came."""
        rows = self._rows
        if not rows:
            self.total.counted_at = now
        self.total.count += len(messages)
        for message in messages:
            topic = message.topic
            row = rows.get(topic)
            if row is None:
                row = self._add(topic, now)
                if row is None:
                    continue
            payload = message.payload
            row.payload = payload[:MOST_SHOWN]
            row.size = len(payload)
            row.retained = message.retain
            row.at = now
            row.count += 1

    def rows(self, first: int, height: int, now: float) -> list[Row]:
        """Those that are to be seen, with their rates.

        Args:
            first: the place of the first one.
            height: how many.
            now: the time.
        """
        if self._new:
            self._sorted += self._new
            self._sorted.sort()  # nearly sorted already, which takes one pass
            self._new = []
        self.total.measure(now)
        seen = [self._rows[topic] for topic in self._sorted[first : first + height]]
        for row in seen:
            row.measure(now)
        return seen

    def _add(self, topic: str, now: float) -> Row | None:
        if len(self._rows) >= self._most or self._characters + len(topic) > MOST_CHARACTERS:
            self.unkept += 1
            return None
        self._characters += len(topic)
        self._new.append(topic)
        row = self._rows[topic] = Row(topic, now)
        return row


def shown_payload(row: Row) -> str:
    """The beginning of a payload in one line: text, or hex if it is none."""
    data = row.payload
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        if row.size == len(data) or error.start < len(data) - 3:
            return data.hex(" ")
        text = data[: error.start].decode()  # cut within a character
    return colours.in_one_line(text)


def shown_age(seconds: float) -> str:
    """How long ago, in the largest unit that fits."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def shown_rate(rate: float) -> str:
    """Messages a second; nothing for none."""
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s" if rate >= 0.05 else ""


class Watch:
    """Draws the topics on the terminal, a few times a second.

    Args:
        console: of rich; None: standard output.
        clock: gives the time in seconds; None: the event loop's.

    Raises:
        ValueError: the terminal cannot be drawn on.
        ImportError: rich is not installed.
    """

    def __init__(self, console: "Console | None" = None, clock: Callable[[], float] | None = None) -> None:
        try:
            from rich.console import Console
        except ImportError:
            raise ImportError("-w needs the package rich; install it with: pip install rich") from None
        self.topics = Topics()
        self._console = Console(highlight=False) if console is None else console
        if not self._console.is_terminal or self._console.is_dumb_terminal:
            raise ValueError("-w draws on a terminal, and this one (TERM) has no cursor that moves; leave out -w")
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._first = 0  # the place of the topic in the first line
        self._wants_frame = asyncio.Event()
        self._is_over = False

    async def take(self, messages: list[Message]) -> None:
        """Messages came; they are seen with the next frame."""
        self.topics.take(messages, self._clock())

    async def run(self) -> None:
        """Draw until ``q`` is typed."""
        from rich.live import Live

        with (
            Live(console=self._console, screen=True, auto_refresh=False, transient=True) as live,
            keys(self.typed),
        ):
            while not self._is_over:
                self._wants_frame.clear()
                live.update(self.frame(), refresh=True)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wants_frame.wait(), _FRAME_SECONDS)

    def typed(self, data: bytes) -> None:
        """Keys were typed."""
        page = self._height
        while data:
            key = data[:1]
            if key == b"\x1b" and len(data) > 1:
                size = 4 if data[3:4] == b"~" else 3
                key = data[:size]
            data = data[len(key) :]
            if key in _LINES:
                self._first += _LINES[key]
            elif key in _PAGES:
                self._first += _PAGES[key] * page
            elif key in _HOME:
                self._first = 0
            elif key in _END:
                self._first = len(self.topics)
            elif key in (b"q", b"Q"):
                self._is_over = True
        self._wants_frame.set()

    @property
    def _height(self) -> int:
        return max(self._console.size.height - _AROUND, 1)

    def frame(self) -> "Group":
        """What is on the screen now."""
        from rich.console import Group
        from rich.text import Text

        now = self._clock()
        height = self._height
        self._first = max(min(self._first, len(self.topics) - height), 0)
        rows = self.topics.rows(self._first, height, now)
        keys = Text(_KEYS, style="dim", no_wrap=True, overflow="ellipsis")
        return Group(self._title(len(rows)), self._table(rows, now), keys)

    def _title(self, seen: int) -> "Table":
        from rich.table import Table
        from rich.text import Text

        topics = self.topics
        title = Table.grid(expand=True, padding=(0, 2))
        for _ in range(2):
            title.add_column(no_wrap=True, overflow="ellipsis")
        which = f", {self._first + 1:,} to {self._first + seen:,}" if seen < len(topics) else ""
        left = f"{len(topics):,} topic{'' if len(topics) == 1 else 's'}{which}"
        if topics.unkept:
            left += f"; no room for {topics.unkept:,} messages of others"
        right = Text(f"{topics.total.count:,} messages  {shown_rate(topics.total.rate)}", justify="right")
        title.add_row(Text(left, style="bold"), right)
        return title

    def _table(self, rows: list[Row], now: float) -> "Table":
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, expand=True, padding=(0, 1), header_style="bold dim", pad_edge=False)
        table.add_column("", width=1)
        table.add_column("topic", ratio=2, no_wrap=True, overflow="ellipsis")
        table.add_column("payload", ratio=3, no_wrap=True, overflow="ellipsis")
        table.add_column("age", width=6, justify="right", no_wrap=True)
        table.add_column("rate", width=10, justify="right", no_wrap=True)
        for row in rows:  # Text: what people publish is no markup
            table.add_row(
                "R" if row.retained else "",
                Text(colours.in_one_line(row.topic), style="cyan"),
                Text(shown_payload(row) if row.size else "(null)", style="" if row.size else "dim"),
                Text(shown_age(now - row.at), style="dim"),
                Text(shown_rate(row.rate)),
            )
        return table
