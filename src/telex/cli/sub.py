"""``telex sub``: print the messages of one or more topics."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import Final

from telex.cli import flags
from telex.cli.loop import run_loop
from telex.cli.main import fail, number
from telex.client.aio import AsyncClient
from telex.errors import MqttError, NotConnected, Timeout
from telex.wire.packets import Publish, SubscriptionRequest

TIMED_OUT: Final = 27
"""The exit code after ``-W`` seconds, as mosquitto_sub has it."""

_RETRY_SECONDS: Final = 1.0


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = flags.parser("sub", "Subscribe and print messages.")
    parser.add_argument("-t", "--topic", action="append", required=True, help="a topic filter; may be given again")
    parser.add_argument("-v", "--verbose", action="store_true", help="print the topic in front of the payload")
    parser.add_argument("-C", "--count", type=number(1, 1 << 62), help="exit after so many messages")
    parser.add_argument("-W", "--timeout", type=number(1, 1 << 31), help="exit after so many seconds, with code 27")
    options = parser.parse_args(arguments)
    try:
        return run_loop(_within(options))
    except ValueError as error:
        return fail(str(error))
    except BrokenPipeError:  # `telex sub | head`
        raise
    except (OSError, MqttError) as error:
        return fail(*flags.failure(error, options))


async def _within(options: argparse.Namespace) -> int:
    try:
        async with asyncio.timeout(options.timeout):
            return await _subscribe(options)
    except TimeoutError:
        return fail("Timed out", TIMED_OUT)


async def _subscribe(options: argparse.Namespace) -> int:
    """Print what comes; a connection that is lost is made again, the first one is not."""
    printed = 0
    is_first = True
    while True:
        client = AsyncClient(flags.connect_packet(options))
        try:
            await client.connect(options.host, options.port)
            is_first = False
            granted = await client.subscribe([SubscriptionRequest(each, options.qos) for each in options.topic])
            if all(code >= 0x80 for code in granted):
                return fail("All subscription requests were denied.")
            while options.count is None or printed < options.count:
                _print(await client.next_message(), with_topic=options.verbose)
                printed += 1
            return 0
        except (NotConnected, Timeout, OSError) as error:
            if is_first or isinstance(error, BrokenPipeError):
                raise
            fail(f"{error}; trying again")
            await asyncio.sleep(_RETRY_SECONDS)
        finally:
            await client.close()


def _print(message: Publish, *, with_topic: bool) -> None:
    out = sys.stdout.buffer
    if with_topic:
        out.write(message.topic.encode() + b" ")
    out.write(message.payload if message.payload or not with_topic else b"(null)")
    out.write(b"\n")
    out.flush()  # line by line, for whoever reads us through a pipe
