"""A live table of all topics, in the terminal.

::

    telex serve                                   # in a terminal
    python examples/sensor.py                     # in another one
    python examples/dashboard.py 'home/#'         # in a third one; Ctrl-C ends it

The table is drawn four times a second, however many messages come: the handler only notes them.
"""

import argparse
import asyncio
import contextlib
import time

from rich.live import Live
from rich.table import Table

import telex


class Row:
    """What is known of a topic."""

    def __init__(self) -> None:
        self.count = 0
        self.last = ""
        self.at = 0.0


def table(rows: dict[str, Row], state: str) -> Table:
    """The rows as they are now."""
    drawn = Table(title=state, title_justify="left")
    for name in ("topic", "payload"):
        drawn.add_column(name, overflow="fold")
    for name in ("messages", "seconds ago"):
        drawn.add_column(name, justify="right")
    for topic, row in sorted(rows.items()):
        drawn.add_row(topic, row.last, f"{row.count:,}", f"{time.monotonic() - row.at:.1f}")
    return drawn


async def main(url: str, topic_filter: str, *, count: int) -> None:
    """Show what comes, until so many messages have come, or until Ctrl-C if that is 0."""
    rows: dict[str, Row] = {}
    app = telex.Client(url)
    state = f"connecting to {url}"

    # A screen wants the newest: what there is no time for may go.
    @app.on(topic_filter, when_full="drop_oldest")
    async def note(message: telex.Message) -> None:
        row = rows.setdefault(message.topic, Row())
        row.count += 1
        row.last = message.payload.decode(errors="replace")
        row.at = time.monotonic()

    @app.on_connected
    def connected(event: telex.Connected) -> None:
        nonlocal state
        state = f"{topic_filter} at {url}"

    @app.on_lost
    def lost(event: telex.Lost) -> None:
        nonlocal state
        state = f"connection lost, {'coming back' if event.retry_in else 'for good'}: {event.reason}"

    async with app:
        with Live(auto_refresh=False) as live:
            is_over = False
            while not is_over:
                is_over = count > 0 and sum(row.count for row in rows.values()) >= count
                live.update(table(rows, state), refresh=True)
                await asyncio.sleep(0.25)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A live table of topics.")
    parser.add_argument("filter", nargs="?", default="#", help="which topics (%(default)s)")
    parser.add_argument("--url", default="mqtt://localhost", help="the broker (%(default)s)")
    parser.add_argument("--count", type=int, default=0, help="end after so many messages")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(given.url, given.filter, count=given.count))
