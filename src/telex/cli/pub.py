"""``telex pub``: publish one message, or one for each line of standard input."""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence

from telex.cli import flags
from telex.cli.loop import run_loop
from telex.cli.main import fail
from telex.client.aio import AsyncClient
from telex.codes import reason_text
from telex.errors import MqttError


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = flags.parser("pub", "Publish messages.")
    parser.add_argument("-t", "--topic", required=True, help="the topic")
    parser.add_argument(
        "-r", "--retain", action="store_true", help="the broker keeps the message for later subscribers"
    )
    payload = parser.add_mutually_exclusive_group(required=True)
    payload.add_argument("-m", "--message", help="the payload")
    payload.add_argument("-n", "--null-message", action="store_true", help="an empty payload")
    payload.add_argument("-l", "--stdin-line", action="store_true", help="a message for each line of standard input")
    options = parser.parse_args(arguments)
    try:
        return run_loop(_publish(options))
    except ValueError as error:
        return fail(str(error))
    except (OSError, MqttError) as error:
        return fail(*flags.failure(error, options))


async def _publish(options: argparse.Namespace) -> int:
    client = AsyncClient(flags.connect_packet(options))
    await client.connect(options.host, options.port)
    unanswered: set[asyncio.Future[int]] = set()
    refused: list[int] = []

    def answered(future: "asyncio.Future[int]") -> None:
        unanswered.discard(future)
        if not future.cancelled() and future.exception() is None and future.result() >= 0x80:
            refused.append(future.result())

    try:
        async for payload in _payloads(options):
            future = client.publish(options.topic, payload, qos=options.qos, retain=options.retain)
            unanswered.add(future)
            future.add_done_callback(answered)
            await client.drain()
        if unanswered:
            await asyncio.gather(*unanswered)
    finally:
        await client.close()
    if refused:
        return fail(f"the broker refused {len(refused):,} message(s): {reason_text(refused[0])}", refused[0])
    return 0


async def _payloads(options: argparse.Namespace) -> AsyncIterator[bytes]:
    if not options.stdin_line:
        # As the shell gave it, also where it is no text.
        yield b"" if options.null_message else os.fsencode(options.message)
        return
    loop = asyncio.get_running_loop()
    # Read in a thread, so that the connection lives while nobody types.
    while line := await loop.run_in_executor(None, sys.stdin.buffer.readline):
        yield line.rstrip(b"\r\n")
