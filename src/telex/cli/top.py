"""``telex top``: the overview of a broker, live on a terminal, or as lines.

Knows which connection is wanted, when something is shown, and when it ends. What is shown, ``overview.py`` knows.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

from telex import topics
from telex.cli import charts, colours, flags
from telex.cli.busiest import Busiest
from telex.cli.keys import keys
from telex.cli.loop import first_over
from telex.cli.output import Output
from telex.cli.overview import NOTHING_TOLD, Overview
from telex.cli.sys_figures import FILTER, SETTLED_SECONDS, Figures
from telex.codes import reason_text
from telex.errors import Refused

if TYPE_CHECKING:  # loaded when there is something to do
    from rich.console import Console

    from telex.client.aio import Client, Connected, Lost
    from telex.client.message import Message
    from telex.client.subscription import Subscription

PATIENCE: Final = 5.0
"""Seconds after which a broker that has told nothing is said to. What it has retained comes at once."""

_ONCE_SECONDS: Final = (
    15.0  # that --once waits for rates: brokers tell each ten seconds, unless they are told otherwise
)
_UNPACED_SECONDS: Final = 10.0  # between two snapshots, where no broker sets the pace
_FRAME_SECONDS: Final = 0.5
_FADE_SECONDS: Final = 1.0
_QUEUE: Final = 100_000  # messages that may wait while a frame is drawn


class Display(Protocol):
    """How the overview is shown."""

    async def run(self) -> int:
        """Show it until it is enough; returns the exit code."""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    options = parsed(arguments)
    options.is_live = not (options.once or options.json) and _is_screen()
    if options.is_live and options.debug:
        return flags.fail(options, "telex top takes the whole terminal; leave out -d, or try --json")
    return flags.run(
        options, lambda: first_over(_connected(options), timeout=options.timeout), fast=bool(options.filters)
    )


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The flags, checked.

    Raises:
        SystemExit: they cannot be, or ask for nothing but a text.
    """
    parser = flags.parser("top", "Show what a broker tells of itself ($SYS), live: who is there and what moves.")
    parser.properties_for = ("connect", "subscribe", "disconnect", "will")
    what = parser.add_argument_group("what is shown")
    what.add_argument(
        *("-t", "--topic"),
        action="append",
        dest="filters",
        metavar="FILTER",
        default=[],
        help="the busiest topics of this filter too, as '#'; may be given again. All their messages come here",
    )
    what.add_argument(
        "--once", action="store_true", help="print it once, with rates as soon as there are some, and end"
    )
    what.add_argument("--json", action="store_true", help="print a line of JSON each time that the broker tells")
    what.add_argument("-W", "--timeout", type=flags.limit, metavar="SECONDS", help="end after so long, with code 27")
    options: argparse.Namespace = parser.parse_args(arguments)
    if options.url_topic is not None:
        options.filters.insert(0, options.url_topic)
    try:
        for each in options.filters:
            topics.check_filter(each)
    except ValueError as error:
        parser.error(str(error))
    said = options.properties.connect
    expiry = options.session_expiry_interval or (said is not None and said.session_expiry_interval)
    if options.disable_clean_session or expiry:
        parser.error(
            "what a broker tells now is of no use later: no session is kept for telex top; leave out -c and -x"
        )
    return options


def _is_screen() -> bool:
    """Whether standard output is a terminal whose cursor moves."""
    if not colours.is_terminal(sys.stdout):
        return False
    return not _console().is_dumb_terminal


def _console() -> "Console":
    from rich.console import Console

    return Console(highlight=False)


# How it is shown


class Lines:
    """Prints a snapshot each time that the broker has told something, as text or as JSON.

    Args:
        overview: what is known.
        options: the flags.
        clock: gives the time in seconds.
    """

    def __init__(self, overview: Overview, options: argparse.Namespace, clock: Callable[[], float]) -> None:
        self._overview = overview
        self._options = options
        self._clock = clock
        self._output = Output()
        self._told = 0  # ticks that were printed
        self._printed_at = clock()

    async def run(self) -> int:
        """Print until nobody reads it any more; with ``--once``, once."""
        gone = asyncio.ensure_future(self._output.gone())
        printing = asyncio.ensure_future(self._print())
        try:
            await asyncio.wait((gone, printing), return_when=asyncio.FIRST_COMPLETED)
            if printing.done():
                return printing.result()
            raise BrokenPipeError
        finally:
            for task in (gone, printing):
                task.cancel()
            await asyncio.gather(gone, printing, return_exceptions=True)

    async def _print(self) -> int:
        began = self._clock()
        was_silent = False
        while True:
            await asyncio.sleep(SETTLED_SECONDS / 2)
            now = self._clock()
            overview = self._overview
            is_silent = overview.is_silent and overview.figures.last_at is None
            if is_silent and not was_silent and self._options.once and overview.busiest is None:
                return flags.fail(self._options, NOTHING_TOLD)
            if is_silent and not was_silent:
                flags.warn(self._options, NOTHING_TOLD)
                was_silent = True
            if self._is_time_once(now - began) if self._options.once else self._is_time(now):
                await self._output.write(self._snapshot(now).encode(errors="replace"))
                if self._options.once:
                    return 0

    def _is_time(self, now: float) -> bool:
        """Whether there is something new, or the broker has told nothing new for too long."""
        figures = self._overview.figures
        settled = figures.settled(now)
        is_known = self._overview.busiest is not None or figures.last_at is not None
        is_paced = figures.interval() is not None and not figures.is_late(now)
        is_long_ago = now - self._printed_at >= _UNPACED_SECONDS
        is_time = settled > self._told or (is_known and is_long_ago and not is_paced)
        if is_time:
            self._told = settled
            self._printed_at = now
        return is_time

    def _is_time_once(self, passed: float) -> bool:
        """Whether all is there that comes soon."""
        now = self._clock()
        figures = self._overview.figures
        if figures.last_at is None:
            return self._overview.busiest is not None and passed >= _UNPACED_SECONDS
        if passed >= _ONCE_SECONDS:
            return True
        rated = self._overview.rated()
        return bool(rated) and all(figures.rate(name, now) is not None for name in rated)

    def _snapshot(self, now: float) -> str:
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if self._options.json:
            return f"{self._overview.as_json(now, time)}\n"
        lines = self._overview.lines(now, time)
        return "".join(f"{line}\n" for line in (lines if self._options.once else [*lines, ""]))


class Screen:
    """Draws the overview on the terminal until ``q`` is typed.

    Args:
        overview: what is known.
        events: when something happens that is to be seen at once, and what time it is.
    """

    def __init__(self, overview: Overview, events: "_Events") -> None:
        self._overview = overview
        self._events = events
        self._console = _console()
        self._is_over = False
        self._blocks = charts.BLOCKS
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # a topic may have characters that this terminal has not
        try:
            charts.BLOCKS.encode(self._console.encoding)
        except (UnicodeEncodeError, LookupError):
            self._blocks = charts.ASCII

    async def run(self) -> int:
        """Draw until it is enough."""
        from rich.live import Live

        with (
            Live(console=self._console, screen=True, auto_refresh=False, transient=True) as live,
            keys(self.typed),
        ):
            while not self._is_over:
                self._events.happened.clear()
                size = self._console.size
                frame = self._overview.screen(self._events.clock(), size.width, size.height, blocks=self._blocks)
                live.update(frame, refresh=True)
                with suppress(TimeoutError):  # not wait_for(): Python 3.11's may swallow that we are cancelled
                    async with asyncio.timeout(_FRAME_SECONDS):
                        await self._events.happened.wait()
        return 0

    def typed(self, data: bytes) -> None:
        """Keys were typed."""
        if b"q" in data.lower():
            self._is_over = True
        self._events.happened.set()


@contextmanager
def _told_on_screen(overview: Overview) -> Iterator[None]:
    """What the client has to say stands on the screen, and not across it."""

    def take(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING and not overview.is_lost:
            overview.warning = record.getMessage()
        return False

    log = logging.getLogger("telex.client")
    log.addFilter(take)
    try:
        yield
    finally:
        log.removeFilter(take)


# What is done


async def _connected(options: argparse.Namespace) -> int:
    clock = asyncio.get_running_loop().time
    busiest = Busiest(clock()) if options.filters else None
    overview = Overview(_address(options), Figures(), busiest, " ".join(options.filters))
    events = _Events(options, overview, clock)
    client = flags.client(options)
    client.on_lost(events.lost)
    client.on_connected(events.connected)
    async with client:
        return await _subscribed(client, options, overview, events)


def _address(options: argparse.Namespace) -> str:
    from telex.client.address import join

    if options.unix is not None:
        return str(options.unix)
    return str(options.host) if options.port is None else join(options.host, options.port)


class _Events:
    """Has the overview say how the connection is."""

    def __init__(self, options: argparse.Namespace, overview: Overview, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.happened = asyncio.Event()  # something that is to be seen at once
        self._options = options
        self._overview = overview

    def lost(self, event: "Lost") -> None:
        again = "" if event.retry_in is None else f"; trying again in {event.retry_in:.1f} s"
        self._overview.lost(f"{event.reason}{again}", self.clock())
        self.happened.set()

    def connected(self, event: "Connected") -> None:
        self._overview.connected(self.clock())
        self.happened.set()
        if not event.first_time and not self._options.is_live:
            flags.warn(self._options, "connected again")


async def _subscribed(client: "Client", options: argparse.Namespace, overview: Overview, events: _Events) -> int:
    async with AsyncExitStack() as subscriptions:
        try:
            work = await _subscribe(client, options, overview, subscriptions, events.clock)
            if not work:
                return 1
            return await _show(options, overview, events, work)
        finally:
            # Within the subscriptions' life, which ends with it: a broker that answers no more does not hold us up.
            await flags.close(client, options)


async def _subscribe(
    client: "Client",
    options: argparse.Namespace,
    overview: Overview,
    subscriptions: AsyncExitStack,
    clock: Callable[[], float],
) -> "list[Coroutine[Any, Any, NoReturn]]":
    """Subscribe to all that is wanted; gives what is to be done with it. Nothing, if the broker refuses all."""
    work: list[Coroutine[Any, Any, NoReturn]] = []
    subscription = _subscription(client, options, [FILTER])
    try:
        await subscriptions.enter_async_context(subscription)
    except Refused as error:
        if not options.filters:
            flags.fail(options, f"{error}; without it, -t FILTER shows the busiest topics of a filter")
            return []
        _warn(options, overview, str(error))
    else:
        work += [_read(subscription, _figures_taker(overview.figures, clock)), _lose_patience(overview)]
    if overview.busiest is None:
        return work
    subscription = _subscription(client, options, options.filters)
    try:
        await subscriptions.enter_async_context(subscription)
    except Refused as error:
        if not work:
            flags.fail(options, "All subscription requests were denied.")
            return []
        _warn(options, overview, str(error))
        return work
    for request, code in zip(subscription.requests, subscription.reason_codes, strict=True):
        if code >= 0x80:
            name = topics.shown(request.topic_filter)
            _warn(options, overview, f"the broker refuses the subscription to {name}: {reason_text(code)}")
    return [*work, _read(subscription, _busiest_taker(overview.busiest)), _fade(overview.busiest, clock)]


def _subscription(client: "Client", options: argparse.Namespace, filters: list[str]) -> "Subscription":
    is_sys = filters == [FILTER]
    subscription = client.subscribe(
        *filters,
        qos=options.qos,
        retain_handling=0 if is_sys or client.version != "5" else 2,  # what is retained is not what moves
        queue=_QUEUE,
        when_full="drop_oldest",  # a broker that is looked at is not to wait for who looks
        partly=True,
    )
    if options.properties.subscribe is not None:
        subscription.properties = options.properties.subscribe
    return subscription


def _warn(options: argparse.Namespace, overview: Overview, text: str) -> None:
    overview.warning = text
    if not options.is_live:
        flags.warn(options, text)


async def _show(
    options: argparse.Namespace,
    overview: Overview,
    events: _Events,
    work: "list[Coroutine[Any, Any, NoReturn]]",
) -> int:
    """Show what comes until it is enough.

    Raises:
        MqttError: the connection is gone for good.
    """
    display: Display = Screen(overview, events) if options.is_live else Lines(overview, options, events.clock)
    tasks: list[asyncio.Future[int]] = [asyncio.ensure_future(each) for each in (display.run(), *work)]
    try:
        with _told_on_screen(overview) if options.is_live else nullcontext():
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return next(task for task in tasks if task.done()).result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read(subscription: "Subscription", take: "Callable[[Message], None]") -> NoReturn:
    """Take messages for ever.

    Raises:
        MqttError: the connection is gone for good.
    """
    while True:
        take(await subscription.next())
        for message in subscription.take():
            take(message)


def _figures_taker(figures: Figures, clock: Callable[[], float]) -> "Callable[[Message], None]":
    def take(message: "Message") -> None:
        figures.take(message.topic, message.payload, clock(), retained=message.retain)

    return take


def _busiest_taker(busiest: Busiest) -> "Callable[[Message], None]":
    def take(message: "Message") -> None:
        if not message.retain:  # what is retained is not what moves
            busiest.take(message.topic, len(message.payload))

    return take


async def _lose_patience(overview: Overview) -> NoReturn:
    await asyncio.sleep(PATIENCE)
    overview.is_silent = True
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


async def _fade(busiest: Busiest, clock: Callable[[], float]) -> NoReturn:
    while True:
        await asyncio.sleep(_FADE_SECONDS)
        busiest.fade(clock())
