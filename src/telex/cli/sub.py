"""``telex sub``: print the messages of one or more topics."""

import argparse
import asyncio
import random
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from telex import topics
from telex.cli import colours, flags, formats
from telex.cli.loop import first_over
from telex.cli.main import number
from telex.cli.output import Output
from telex.codes import reason_text
from telex.errors import Refused

if TYPE_CHECKING:  # the client is loaded when there is something to do
    from telex.client.aio import Client
    from telex.client.message import Message
    from telex.client.subscription import Subscription

TIMED_OUT: Final = flags.TIMED_OUT
"""The exit code after ``-W`` seconds, as mosquitto_sub has it."""


_HANDLING: Final = {"always": 0, "new": 1, "never": 2}  # of retained messages (section 3.8.3.1)

_QUEUE: Final = 10_000
"""Messages that may wait here while those before them are written."""

_BLOCK: Final = 262_144  # bytes that are gathered before they are written

_FEW: Final = 20
"""Below this, no more messages are asked for at once than are to be printed: the others stay with the broker."""


class Sink(Protocol):
    """Where messages go."""

    async def take(self, messages: "list[Message]") -> None:
        """Show them."""

    async def run(self) -> None:
        """What is to be done beside that, until it is cancelled."""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    options = parsed(arguments)
    if options.watch and not colours.is_terminal(sys.stdout):
        return flags.fail(options, "-w draws on a terminal, and standard output is none; leave out -w, or try --json")
    try:
        sink = _sink(options)
    except (ValueError, ImportError) as error:
        return flags.fail(options, str(error))
    return flags.run(options, lambda: first_over(_connected(options, sink), _beside(sink), timeout=options.timeout))


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The flags, checked.

    Raises:
        SystemExit: they cannot be, or ask for nothing but a text.
    """
    parser = flags.parser("sub", "Subscribe and print messages.", epilog=f"{formats.HELP}\n")
    parser.properties_for = ("connect", "subscribe", "unsubscribe", "disconnect", "will")
    _add_flags(parser)
    formats.add_flags(parser)
    options: argparse.Namespace = parser.parse_args(arguments)
    if options.url_topic is not None:
        options.topic.insert(0, options.url_topic)
    formats.check(options, parser)
    _check(options, parser)
    return options


def _add_flags(parser: flags.FlagParser) -> None:
    what = parser.add_argument_group("what is subscribed to")
    what.add_argument("-t", "--topic", action="append", default=[], help="a topic filter; may be given again")
    what.add_argument(
        *("-U", "--unsubscribe"),
        action="append",
        default=[],
        metavar="TOPIC",
        help="unsubscribe from this before, in a session that was kept (-c); may be given again",
    )
    what.add_argument(
        "--retain-as-published", action="store_true", help="messages say whether they were retained (MQTT 5)"
    )
    what.add_argument(
        "--retain-handling", choices=_HANDLING, help="when retained messages come (always); before MQTT 5 always"
    )
    which = parser.add_argument_group("which messages are printed")
    which.add_argument("-T", "--filter-out", action="append", default=[], metavar="TOPIC", help="not those of this one")
    which.add_argument("-R", "--no-retained", action="store_true", help="no retained ones")
    which.add_argument("--retained-only", action="store_true", help="retained ones; ends with the first that is not")
    which.add_argument(
        "--remove-retained",
        action="store_true",
        help="have the broker forget the retained ones that are printed; -T keeps some",
    )
    which.add_argument("--random-filter", type=_percentage, metavar="PERCENT", help="so many of them, chosen at random")
    end = parser.add_argument_group("when it ends (else with Ctrl-C)")
    end.add_argument("-C", "--count", type=number(1, 1 << 62), metavar="COUNT", help="after so many messages")
    end.add_argument("-W", "--timeout", type=flags.limit, metavar="SECONDS", help="after so long, with exit code 27")
    end.add_argument("-E", "--exit-after-subscribe", action="store_true", help="when the broker has subscribed us")
    other = parser.add_argument_group("in place of messages")
    other.add_argument("--message-rate", action="store_true", help="print each second how many came: N msgs/s")
    other.add_argument("-w", "--watch", action="store_true", help="a table of topics that is kept up to date")


def _percentage(text: str) -> float:
    """A type for argparse: from 0.1 to 100."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.1 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentage from 0.1 to 100")
    return value


def _check(options: argparse.Namespace, parser: flags.FlagParser) -> None:
    if not options.topic:
        parser.error("-t TOPIC is needed: what to subscribe to")
    try:
        for each in (*options.topic, *options.unsubscribe, *options.filter_out):
            topics.check_filter(each)
    except ValueError as error:
        parser.error(str(error))
    if options.no_retained and options.retained_only:
        parser.error("-R prints no retained messages and --retained-only no others; give one of them")
    for flag, given in (("-w", options.watch), ("--message-rate", options.message_rate)):
        if given and (options.output_format is not None or options.json or options.payload_format):
            parser.error(f"{flag} prints no messages; leave out -F, --json and --format")
    if options.watch and options.message_rate:
        parser.error("-w and --message-rate both say what is printed; give one of them")
    if options.watch and options.debug:
        parser.error("-w takes the whole terminal; leave out -d")
    if options.version != "5" and options.retain_as_published:
        parser.error("--retain-as-published is of MQTT 5; give -V 5 too")
    if options.version != "5" and options.retain_handling not in (None, "always"):
        parser.error(f"--retain-handling {options.retain_handling} is of MQTT 5; give -V 5 too")


# Where messages go


def _sink(options: argparse.Namespace) -> Sink:
    if options.watch:
        from telex.cli.watch import Watch

        return Watch()
    output = Output()
    if options.message_rate:
        return _Rate(output)
    to_terminal = colours.is_terminal(sys.stdout)
    return _Printer(output, formats.printer(options, to_terminal, partial(flags.warn, options)))


class _Printer:
    """Writes messages in blocks: what has come is one, so that the last message never waits for the next."""

    def __init__(self, output: Output, printer: formats.Printer) -> None:
        self._output = output
        self._printer = printer

    async def take(self, messages: "list[Message]") -> None:
        printer = self._printer
        lines: list[bytes] = []
        size = 0
        for message in messages:
            line = printer(message)
            lines.append(line)
            size += len(line)
            if size > _BLOCK:
                await self._output.write(b"".join(lines))
                lines.clear()
                size = 0
        if size:
            await self._output.write(b"".join(lines))

    async def run(self) -> None:
        await self._output.gone()
        raise BrokenPipeError


class _Rate:
    """Prints each second how many messages came."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._count = 0

    async def take(self, messages: "list[Message]") -> None:
        self._count += len(messages)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while True:
            await asyncio.sleep(1.0)
            now = loop.time()
            count, self._count = self._count, 0
            await self._output.write(f"{count / (now - begun):.0f} msgs/s\n".encode())
            begun = now


# What is done


async def _beside(sink: Sink) -> int:
    await sink.run()
    return 0


async def _connected(options: argparse.Namespace, sink: Sink) -> int:
    changes = {}
    if options.count is not None and options.count < _FEW and _may_say_how_many(options):
        changes["receive_maximum"] = options.count
    async with flags.client(options, **changes) as client:
        try:
            return await _subscribed(client, options, sink)
        finally:
            # Within the subscription's life: what a kept session is subscribed to, it stays subscribed to.
            await flags.close(client, options)


def _may_say_how_many(options: argparse.Namespace) -> bool:
    said = options.properties.connect
    return options.max_inflight is None and (said is None or said.receive_maximum is None)


async def _subscribed(client: "Client", options: argparse.Namespace, sink: Sink) -> int:
    if options.unsubscribe:
        said = options.properties.unsubscribe
        await client.unsubscribe(*options.unsubscribe, user_properties=() if said is None else said.user_properties)
    handling = options.retain_handling or ("never" if options.no_retained and client.version == "5" else "always")
    said = options.properties.subscribe
    subscription = client.subscribe(
        *options.topic,
        qos=options.qos,
        retain_as_published=options.retain_as_published,
        retain_handling=_HANDLING[handling],
        queue=_QUEUE,
        manual_ack=True,  # what was not printed, the broker has to send again
        everything=True,
        partly=True,
    )
    identifiers: tuple[int, ...] = ()
    if said is not None:
        subscription.properties = said
        identifiers = said.subscription_identifiers
    try:
        await subscription.__aenter__()
    except Refused:
        return flags.fail(options, "All subscription requests were denied.")
    for request, code in zip(subscription.requests, subscription.reason_codes, strict=True):
        if code >= 0x80:
            name = topics.shown(request.topic_filter)
            flags.warn(options, f"the broker refuses the subscription to {name}: {reason_text(code)}")
    if not options.exit_after_subscribe:
        await _Work(client, options, sink, identifiers).go_on(subscription)
    return 0


class _Work:
    """Takes messages, and decides which are shown and when it is enough."""

    def __init__(self, client: "Client", options: argparse.Namespace, sink: Sink, identifiers: tuple[int, ...]) -> None:
        self._client = client
        self._options = options
        self._sink = sink
        self._identifiers = identifiers  # that -D gave the subscription; the client may have others for itself
        self._left: int | None = options.count  # messages until it is enough
        self._is_over = False
        self._passes = _passes(options)

    async def go_on(self, subscription: "Subscription") -> None:
        """Until it is enough.

        Raises:
            MqttError: the connection is gone for good.
        """
        while not self._is_over:
            messages = [await subscription.next(), *subscription.take()]
            chosen = self._chosen(messages)
            await self._sink.take(self._at_random(chosen))
            if self._options.remove_retained:
                await self._remove(chosen)
            for message in messages:
                if message.qos:
                    message.ack()

    def _chosen(self, messages: "list[Message]") -> "list[Message]":
        """Those that count; the list that is given keeps those that were looked at."""
        passes = self._passes
        chosen: list[Message] = []
        for index, message in enumerate(messages):
            if self._options.retained_only and not message.retain:
                self._is_over = True
                del messages[index:]
                break
            properties = message.properties
            if properties is not None and properties.subscription_identifiers != self._identifiers:
                properties.subscription_identifiers = self._identifiers
            if passes is not None and not passes(message):
                continue
            chosen.append(message)
            if self._left is not None:
                self._left -= 1
                if self._left == 0:
                    self._is_over = True
                    del messages[index + 1 :]  # they are not ours: a kept session gives them to the next one
                    break
        return chosen

    def _at_random(self, messages: "list[Message]") -> "list[Message]":
        percentage = self._options.random_filter
        if percentage is None:
            return messages
        return [message for message in messages if random.random() * 100 < percentage]

    async def _remove(self, messages: "list[Message]") -> None:
        """Have the broker forget what it retained. An empty message takes its place, and is none."""
        retained = [(message.topic, b"") for message in messages if message.retain and message.payload]
        if retained:
            try:
                await self._client.publish_many(retained, qos=1, retain=True)
            except Refused as error:
                flags.warn(self._options, str(error))


def _passes(options: argparse.Namespace) -> "Callable[[Message], bool] | None":
    """Whether a message is printed; None: all are."""
    out: list[str] = options.filter_out
    no_retained: bool = options.no_retained
    if not out and not no_retained:
        return None

    def passes(message: "Message") -> bool:
        if no_retained and message.retain:
            return False
        return not any(topics.matches(each, message.topic) for each in out)

    return passes
