"""``telex bridge``: how the bridges of a running broker are."""

import json
import math
import time
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from rich.cells import cell_len

from telex.cli.colours import in_one_line
from telex.cli.main import Parser, fail, number
from telex.cli.order import NoBroker, give_order
from telex.cli.overview import shown_time
from telex.server.bridge_status import BridgeStatus, State

_STATES: Final[dict[State, str]] = {
    "open": "connected",
    "connecting": "connecting",
    "waiting": "not connected",
    "idle": "idle",
    "ended": "ended",
}
_TITLES: Final = ("name", "state", "for", "address", "waiting", "in flight", "delay", "sent", "received")
_FIRST_NUMBER: Final = _TITLES.index("waiting")  # from there on they stand at the right
_INDENT: Final = "  "


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = Parser(prog="telex bridge", description="Look at the bridges of a running broker.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    listing = commands.add_parser(
        "list",
        help="show each bridge: its state, what waits, how long messages take, what moved",
        description="Show the bridges of a running broker in the order of its file: whether they are connected and why "
        "not, what waits for the remote broker and is in flight to it, how long a message takes, what was sent and "
        "received since the broker's start.",
    )
    listing.add_argument("--json", action="store_true", help="all that is known of them, as JSON")
    listing.add_argument("--pid", type=number(1, 1 << 31), help="the broker's process (the only one that runs)")
    options = parser.parse_args(arguments)
    try:
        told = give_order("telex bridge", "bridges", options.pid)
        if options.json:
            print(json.dumps(json.loads(told), indent=2))
            return 0
        statuses = msgspec.json.decode(told, type=list[BridgeStatus])
    except NoBroker as error:
        return fail(str(error))
    except (OSError, ValueError) as error:  # also of msgspec: a broker of another version
        return fail(f"the broker does not tell: {error}")
    for line in shown(statuses, time.time()):
        print(line)
    return 0


def shown(statuses: Sequence[BridgeStatus], now: float) -> Iterator[str]:
    """Bridges as a table, with what is wrong below each.

    Args:
        statuses: how they are.
        now: seconds since 1970.
    """
    if not statuses:
        yield "no bridges are configured"
        return
    rows = [_TITLES, *(_cells(each, now) for each in statuses)]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    yield _aligned(rows[0], widths)
    for status, row in zip(statuses, rows[1:], strict=True):
        yield _aligned(row, widths)
        for sentence in _sentences(status, now):
            yield _INDENT + in_one_line(sentence)


def _cells(status: BridgeStatus, now: float) -> tuple[str, ...]:
    return (
        in_one_line(status.name),
        _STATES[status.state],
        shown_time(max(now - status.since, 0)),
        in_one_line(status.address),
        f"{status.queued:,}",
        f"{status.in_flight:,}",
        _shown_delay(status.delay),
        f"{status.messages_sent:,}",
        f"{status.messages_received:,}",
    )


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    parts: list[str] = []
    for index, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        space = " " * (width - cell_len(cell))
        parts.append(space + cell if index >= _FIRST_NUMBER else cell + space)
    return "  ".join(parts)


def _sentences(status: BridgeStatus, now: float) -> Iterator[str]:
    """What should be known besides."""
    if status.state != "open" and status.reason:
        yield status.reason
    if status.state == "waiting" and status.next_attempt > now:
        yield f"it tries again in {shown_time(math.ceil(status.next_attempt - now))}"
    if status.state == "idle":
        yield "it is lazy: it connects when enough messages wait"
    if status.state == "ended":
        yield "it is started once, and does not come back"
    for topic_filter, why in status.refused.items():
        yield f"may not subscribe to {topic_filter}: {why}"
    if status.rejected:
        yield f"{_messages(status.rejected, 'was', 'were')} not taken by the remote broker"
    if status.filtered:
        yield f"{_messages(status.filtered, 'was', 'were')} held back by filters"
    if status.looped:
        yield f"{_messages(status.looped, 'had', 'had')} been here before, or passed too many brokers"


def _messages(count: int, one: str, many: str) -> str:
    return f"1 message {one}" if count == 1 else f"{count:,} messages {many}"


def _shown_delay(seconds: float) -> str:
    if not seconds:
        return "-"
    if seconds >= 0.9995:
        return shown_time(round(seconds))
    return f"{seconds * 1_000:.1f} ms" if seconds < 0.00995 else f"{seconds * 1_000:.0f} ms"
