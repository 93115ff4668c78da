"""``telex pub``: publish one message, or one for each line of standard input."""

import argparse
import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Final

from telex.cli import flags
from telex.cli.loop import run_loop
from telex.cli.main import fail
from telex.client.aio import AsyncClient
from telex.codes import reason_text
from telex.errors import MqttError

_MAX_UNANSWERED: Final = 10_000
"""Messages that may wait for their acknowledgement before more of the input is read."""


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
    failures: list[BaseException] = []

    def answered(future: "asyncio.Future[int]") -> None:
        unanswered.discard(future)
        error = future.exception()
        if error is not None:
            failures.append(error)
        elif future.result() >= 0x80:
            refused.append(future.result())

    try:
        async for payload in _payloads(options, client):
            future = client.publish(options.topic, payload, qos=options.qos, retain=options.retain)
            unanswered.add(future)
            future.add_done_callback(answered)
            await client.drain()
            if len(unanswered) >= _MAX_UNANSWERED:
                await asyncio.wait(unanswered, return_when=asyncio.FIRST_COMPLETED)
        if unanswered:
            await asyncio.wait(unanswered)
    finally:
        await client.close()
    if failures:
        raise failures[0]
    if refused:
        return fail(f"the broker refused {len(refused):,} message(s): {reason_text(refused[0])}", refused[0])
    return 0


async def _payloads(options: argparse.Namespace, client: AsyncClient) -> AsyncIterator[bytes]:
    if not options.stdin_line:
        # As the shell gave it, also where it is no text.
        yield b"" if options.null_message else os.fsencode(options.message)
        return
    chunks: asyncio.Queue[bytes] = asyncio.Queue(maxsize=2)
    # A daemon: nothing can end a thread that waits for somebody to type.
    threading.Thread(target=_read_input, args=(asyncio.get_running_loop(), chunks), daemon=True).start()
    lost = asyncio.create_task(client.wait_closed())
    begun = b""
    try:
        while chunk := await _next_chunk(chunks, lost, client):
            *lines, begun = (begun + chunk).split(b"\n")
            for line in lines:
                yield line.removesuffix(b"\r")
        if begun:
            yield begun.removesuffix(b"\r")
    finally:
        lost.cancel()


def _read_input(loop: asyncio.AbstractEventLoop, chunks: "asyncio.Queue[bytes]") -> None:
    """Hand standard input over as it comes; an empty chunk is its end."""
    with suppress(RuntimeError):  # the loop has ended before the input
        while True:
            chunk = os.read(sys.stdin.fileno(), 65_536)
            asyncio.run_coroutine_threadsafe(chunks.put(chunk), loop).result()
            if not chunk:
                return


async def _next_chunk(chunks: "asyncio.Queue[bytes]", lost: "asyncio.Task[None]", client: AsyncClient) -> bytes:
    """The next piece of the input, unless the connection is lost before it comes."""
    chunk = asyncio.create_task(chunks.get())
    await asyncio.wait({chunk, lost}, return_when=asyncio.FIRST_COMPLETED)
    if not chunk.done():
        chunk.cancel()
        await client.drain()  # raises what ended the connection
    return chunk.result()
