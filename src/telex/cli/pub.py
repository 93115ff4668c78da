"""``telex pub``: publish a message once or many times, or one for each line of standard input."""

import argparse
import asyncio
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from telex import topics
from telex.cli import flags, payloads
from telex.cli.loop import TimeIsUp
from telex.cli.main import number
from telex.errors import Refused

if TYPE_CHECKING:
    from telex.client.aio import Client

MORE: Final = 1 << 62
"""More messages than anybody sends."""

_CHUNK: Final = 1 << 18
"""Bytes of standard input that are read at once; a pipe gives less."""

_CHUNKS_AHEAD: Final = 2
"""Pieces of the input that may wait while the broker is slower than it."""

_MANY: Final = 1_000
"""Messages for which it pays to load uvloop."""

_PROGRESS_SECONDS: Final = 0.2


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    options = parsed(arguments)
    try:
        payload = None if options.stdin_line else payloads.given(options)
    except ValueError as error:
        return flags.fail(options, str(error))
    work = _Publishing(options, payload)
    many = options.stdin_line or (options.repeat or 1) > _MANY
    return flags.run(options, work.run, fast=many)


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The flags, checked.

    Raises:
        SystemExit: they cannot be, or ask for nothing but a text.
    """
    parser = flags.parser("pub", "Publish messages.", usage="-t TOPIC {-m TEXT | -f FILE | -n | -s | -l} [FLAGS]")
    parser.properties_for = ("connect", "publish", "disconnect", "will")
    parser.add_argument("-t", "--topic", help="the topic")
    parser.add_argument(
        "-r", "--retain", action="store_true", help="the broker keeps the message for later subscribers"
    )
    what = payloads.add_flags(parser)
    what.add_argument("-l", "--stdin-line", action="store_true", help="a message for each line of standard input")
    parser.add_argument("--repeat", type=number(1, MORE), metavar="COUNT", help="publish it so many times")
    parser.add_argument("--repeat-delay", type=flags.seconds, metavar="SECONDS", help="with --repeat: wait in between")
    parser.add_argument("--count", type=number(1, MORE), help="with -l: end after so many lines")
    parser.add_argument(
        "--timeout", type=flags.limit, metavar="SECONDS", help="end after so many seconds at most, with code 27"
    )
    parser.add_argument("--json", action="store_true", help="print at the end, as a line of JSON, what was published")
    options: argparse.Namespace = parser.parse_args(arguments)
    if options.topic is None:
        parser.error("-t TOPIC is needed: where to publish")
    payloads.check(options, parser, *(["-l"] if options.stdin_line else []))
    if options.count is not None and not options.stdin_line:
        parser.error("--count is for the lines of -l; give --repeat to publish a message so many times")
    if options.repeat is not None and options.stdin_line:
        parser.error("--repeat is for one message, and -l sends each line; leave it out")
    if options.repeat_delay is not None and options.repeat is None:
        parser.error("--repeat-delay is for --repeat COUNT")
    try:
        topics.check_name(options.topic)
    except ValueError as error:
        sys.exit(flags.fail(options, str(error)))
    return options


class _Publishing:
    """One run of the command."""

    def __init__(self, options: argparse.Namespace, payload: bytes | None) -> None:
        self._options = options
        self._payload = payload  # None: each line is one
        self._settings: dict[str, Any] = {
            "qos": options.qos,
            "retain": options.retain,
            **flags.message_properties(options),
        }
        self._lines = 0  # of the input that were read
        self._messages = 0  # that were handed to the client
        self._bytes = 0  # in their payloads
        self._error: str | None = None

    async def run(self) -> int:
        """Publish; returns the exit code."""
        began = time.monotonic()
        limit = asyncio.timeout(self._options.timeout)
        try:
            async with limit:
                return await self._publish()
        except BaseException as error:
            self._error = str(error) or type(error).__name__
            if isinstance(error, TimeoutError) and limit.expired():
                self._error = "Timed out"
                raise TimeIsUp from None
            raise
        finally:
            if self._options.json:
                self._tell(time.monotonic() - began)

    async def _publish(self) -> int:
        options = self._options
        # One message that is lost with its connection is a failure to be told; a stream of them goes on.
        comes_back = options.stdin_line or options.repeat is not None
        async with flags.client(options, comes_back=comes_back) as client:
            code = 0
            try:
                if self._payload is None:
                    await self._publish_lines(client)
                else:
                    await self._publish_again(client, self._payload)
            except Refused as error:
                self._error = str(error)
                code = flags.fail(options, self._error, error.reason_code)
            await flags.close(client, options)
            return code

    def _tell(self, seconds: float) -> None:
        import json

        options = self._options
        told = {
            "topic": options.topic,
            "qos": options.qos,
            "retain": options.retain,
            "messages": self._messages,
            "bytes": self._bytes,
            "seconds": round(seconds, 6),
            "error": self._error,
        }
        print(json.dumps(told, ensure_ascii=False), flush=True)

    # One message

    async def _publish_again(self, client: "Client", payload: bytes) -> None:
        options = self._options
        count = options.repeat or 1
        if count == 1 or options.repeat_delay:
            for index in range(count):
                if index > 0:
                    await asyncio.sleep(options.repeat_delay)
                self._count(payload)
                await client.publish(options.topic, payload, **self._settings)
        else:
            await client.publish_many(self._repeated(payload, count), **self._settings)

    def _repeated(self, payload: bytes, count: int) -> Iterator[tuple[str, bytes]]:
        for _ in range(count):
            self._count(payload)
            yield self._options.topic, payload

    def _count(self, payload: bytes) -> None:
        self._messages += 1
        self._bytes += len(payload)

    # Lines

    async def _publish_lines(self, client: "Client") -> None:
        progress = asyncio.create_task(self._show_progress()) if _is_watched() else None
        try:
            await client.publish_many(self._read_lines(client), **self._settings)
        finally:
            if progress is not None:
                progress.cancel()
                sys.stderr.write(_CLEARED)
                sys.stderr.flush()

    async def _read_lines(self, client: "Client") -> AsyncIterator[tuple[str, bytes]]:
        """Topic and payload for each line, as they come."""
        topic, last = self._options.topic, self._options.count or MORE
        read = None if self._options.written_format is None else payloads.READERS[self._options.written_format]
        async for lines in _lines(client):
            for line in lines[: last - self._lines]:
                self._lines += 1
                try:
                    payload = line if read is None else read(line)
                except ValueError as error:
                    raise ValueError(f"line {self._lines:,}: {error}") from None
                self._messages += 1
                self._bytes += len(payload)
                yield topic, payload
            if self._lines == last:
                return

    async def _show_progress(self) -> None:
        began = before = time.monotonic()
        messages = 0
        while True:
            await asyncio.sleep(_PROGRESS_SECONDS)
            now = time.monotonic()
            rate = (self._messages - messages) / (now - before)
            before, messages = now, self._messages
            text = f"{messages:,} messages, {self._bytes:,} bytes in {now - began:.1f} s; {rate:,.0f} messages/s"
            sys.stderr.write(f"{_CLEARED}{text}\r")
            sys.stderr.flush()


_CLEARED: Final = "\r\x1b[K"


def _is_watched() -> bool:
    """Whether somebody looks on while a program or a file gives the lines."""
    return sys.stderr.isatty() and not sys.stdin.isatty()


# Standard input


async def _lines(client: "Client") -> AsyncIterator[list[bytes]]:
    """The lines of standard input, as many at once as have come, until its end.

    Raises:
        MqttError: the client has ended.
        ValueError: a line that is too long for a message.
    """
    chunks: asyncio.Queue[bytes] = asyncio.Queue(_CHUNKS_AHEAD)
    # A daemon: nothing can end a thread that waits for somebody to type.
    threading.Thread(target=_read_input, args=(asyncio.get_running_loop(), chunks), daemon=True).start()
    ended = asyncio.create_task(client.wait_closed())
    begun: list[bytes] = []  # of a line whose end has not come
    try:
        while chunk := await _next_chunk(chunks, ended, client):
            first, *rest = chunk.split(b"\n")
            begun.append(first)
            if rest:
                yield [_line(b"".join(begun)), *map(_line, rest[:-1])]
                begun = [rest[-1]]
            elif sum(map(len, begun)) > payloads.MAX_BYTES:
                raise ValueError(f"a line of the input is too long: a message has {payloads.MAX_BYTES:,} bytes at most")
        if last := b"".join(begun):
            yield [_line(last)]
    finally:
        ended.cancel()


def _line(line: bytes) -> bytes:
    """What is in a line, without what is its end on this system besides the line feed."""
    return line.removesuffix(b"\r") if sys.platform == "win32" else line


def _read_input(loop: asyncio.AbstractEventLoop, chunks: "asyncio.Queue[bytes]") -> None:
    """Hand standard input over as it comes; an empty chunk is its end."""
    with suppress(RuntimeError, CancelledError):  # the loop has ended before the input
        while True:
            chunk = os.read(sys.stdin.fileno(), _CHUNK)
            asyncio.run_coroutine_threadsafe(chunks.put(chunk), loop).result()
            if not chunk:
                return


async def _next_chunk(chunks: "asyncio.Queue[bytes]", ended: "asyncio.Task[None]", client: "Client") -> bytes:
    """The next piece of the input, unless the client ends before it comes."""
    if not chunks.empty():
        return chunks.get_nowait()
    chunk = asyncio.create_task(chunks.get())
    try:
        await asyncio.wait({chunk, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not chunk.done():
            await client.wait_connected()  # raises what ended it
        return await chunk
    finally:
        chunk.cancel()
