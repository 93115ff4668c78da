"""``telex rr``: send a request and print the response."""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from telex import topics
from telex.cli import flags, formats, payloads
from telex.cli.loop import TimeIsUp

if TYPE_CHECKING:
    from telex.client.aio import Client
    from telex.client.message import Message

_ONLY_WITH_TOPIC = ("correlation_data", "payload_format_indicator", "topic_alias")
"""What ``Client.request``, which makes the response topic, decides by itself or has no use for."""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    options = parsed(arguments)
    to_terminal = sys.stdout.isatty()
    try:
        printer = formats.printer(options, to_terminal, partial(flags.warn, options))
        work = _Request(options, payloads.given(options), printer)
    except ValueError as error:
        return flags.fail(options, str(error))
    return flags.run(options, work.run, fast=False)


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The flags, checked.

    Raises:
        SystemExit: they cannot be, or ask for nothing but a text.
    """
    parser = flags.parser(
        "rr",
        "Send a request and print the response.",
        usage="-t TOPIC [-e RESPONSE_TOPIC] {-m TEXT | -f FILE | -n | -s} [FLAGS]",
        version="5",
        epilog=f"{formats.HELP}\n",
    )
    parser.properties_for = ("connect", "publish", "subscribe", "disconnect", "will")
    parser.add_argument("-t", "--topic", help="where to send the request")
    parser.add_argument(
        "-e", "--response-topic", help="where the response comes; without it, with MQTT 5, a topic of our own"
    )
    payloads.add_flags(parser, format_flag="--request-format")
    parser.add_argument("-W", "--timeout", type=flags.limit, metavar="SECONDS", help="wait no longer; exit code 27")
    parser.add_argument("-R", "--no-retained", action="store_true", help="a retained message is no response")
    parser.add_argument("--retain-as-published", action="store_true", help="print retain as it was published (MQTT 5)")
    parser.add_argument(
        "--retain-handling",
        choices=("always", "new", "never"),
        help="when retained messages of the response topic come (MQTT 5)",
    )
    parser.add_argument("--latency", action="store_true", help="print on standard error how long it took")
    formats.add_flags(parser)
    options: argparse.Namespace = parser.parse_args(arguments)
    if options.topic is None:
        parser.error("-t TOPIC is needed: where to send the request")
    payloads.check(options, parser)
    formats.check(options, parser)
    _check(options, parser)
    return options


def _check(options: argparse.Namespace, parser: flags.FlagParser) -> None:
    said = options.properties.publish
    if said is not None and said.response_topic is not None:
        parser.error("-D publish response-topic: give -e TOPIC instead")
    asked = options.properties.subscribe
    if asked is not None and asked.subscription_identifiers:
        parser.error("-D subscribe subscription-identifier: the client numbers its subscriptions by itself")
    if options.version != "5":
        for flag in ("--retain-as-published", "--retain-handling"):
            if getattr(options, flag[2:].replace("-", "_")):
                parser.error(f"{flag} needs MQTT 5: -V 5")
        if options.response_topic is None:
            parser.error("-e TOPIC is needed before MQTT 5: where the response comes")
    if options.response_topic is None:
        _check_without_topic(options, parser)
    try:
        topics.check_name(options.topic)
        if options.response_topic is not None:
            topics.check_name(options.response_topic)
    except ValueError as error:
        sys.exit(flags.fail(options, str(error)))


def _check_without_topic(options: argparse.Namespace, parser: flags.FlagParser) -> None:
    for name in flags.message_properties(options):
        if name in _ONLY_WITH_TOPIC:
            parser.error(f"-D publish {name.replace('_', '-')} needs a response topic that you know: -e TOPIC")
    for flag, given in (
        ("-R", options.no_retained),
        ("--retain-as-published", options.retain_as_published),
        ("--retain-handling", options.retain_handling),
        ("-D subscribe", options.properties.subscribe),
    ):
        if given:
            parser.error(f"{flag} is for a response topic that you know: -e TOPIC")


class _Request:
    """One run of the command."""

    def __init__(self, options: argparse.Namespace, payload: bytes, printer: formats.Printer) -> None:
        self._options = options
        self._payload = payload
        self._printer = printer
        self._sent_at = 0.0  # when the request left

    async def run(self) -> int:
        """Ask, and print the answer; returns the exit code."""
        limit = asyncio.timeout(self._options.timeout)
        try:
            async with limit:
                await self._run()
        except TimeoutError:
            if limit.expired():
                raise TimeIsUp from None
            raise
        return 0

    async def _run(self) -> None:
        # A request that is lost with its connection gets no response: better to say so than to wait for it.
        async with flags.client(self._options, comes_back=False) as client:
            if self._options.response_topic is None:
                self._sent_at = time.perf_counter()
                self._print(
                    await client.request(
                        self._options.topic,
                        self._payload,
                        qos=self._options.qos,
                        **flags.message_properties(self._options),
                    )
                )
                await flags.close(client, self._options)
            else:
                await self._ask(client, self._options.response_topic)

    async def _ask(self, client: "Client", response_topic: str) -> None:
        options = self._options
        asked = options.properties.subscribe
        handling = {"always": 0, "new": 1, "never": 2}.get(options.retain_handling, 2 if options.no_retained else 0)
        properties = flags.message_properties(options)
        if options.version == "5":
            properties["response_topic"] = response_topic
        async with client.subscribe(
            response_topic,
            qos=options.qos,
            retain_as_published=options.retain_as_published,
            retain_handling=handling if options.version == "5" else 0,
            user_properties=() if asked is None else asked.user_properties,
        ) as messages:
            self._sent_at = time.perf_counter()
            await client.publish(options.topic, self._payload, qos=options.qos, **properties)
            async for message in messages:
                if not (options.no_retained and message.retain):
                    self._print(message)
                    break
            await flags.close(client, options)

    def _print(self, message: "Message") -> None:
        latency = time.perf_counter() - self._sent_at
        sys.stdout.buffer.write(self._printer(message))
        sys.stdout.buffer.flush()
        if self._options.latency:
            print(f"telex: the response took {latency * 1_000:.3f} ms", file=sys.stderr)
