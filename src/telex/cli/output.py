"""Standard output for a program that must not stop: who reads slowly makes it wait, not its event loop.

Knows bytes and a file descriptor. Knows no message.
"""

import asyncio
import os
import select
import stat
import sys
from typing import Final

_AT_ONCE: Final = 4096
"""What a pipe that is writable takes without blocking: PIPE_BUF of Linux; POSIX promises it for each pipe."""


class Output:
    """Standard output, or another descriptor.

    Args:
        descriptor: of what is written to.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = sys.stdout.fileno() if descriptor is None else descriptor
        self._never_blocks = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        self._poll: select.poll | None = None
        if hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(self._descriptor, select.POLLOUT)

    async def write(self, data: bytes) -> None:
        """Write all of it, however long its reader takes.

        Raises:
            BrokenPipeError: nobody reads it any more.
        """
        if self._never_blocks:
            self._write(data, len(data))
        elif self._poll is None:  # Windows: a thread may block
            await asyncio.to_thread(self._write, data, len(data))
        else:
            position = 0
            while position < len(data):
                if not self._poll.poll(0):
                    await self._room()
                position += os.write(self._descriptor, data[position : position + _AT_ONCE])

    async def gone(self) -> None:
        """Wait until nobody reads it any more: the other end of the pipe was closed.

        Where that cannot be known, for ever.

        Only a write would tell otherwise, and there may be nothing to write for hours.
        """
        loop = asyncio.get_running_loop()
        gone: asyncio.Future[None] = loop.create_future()
        epoll = _errors_of(self._descriptor)
        if epoll is None:
            await gone
            return
        try:
            loop.add_reader(epoll.fileno(), _set, gone)
            await gone
        finally:
            loop.remove_reader(epoll.fileno())
            epoll.close()

    def _write(self, data: bytes, size: int) -> None:
        position = 0
        while position < size:
            position += os.write(self._descriptor, data[position:] if position else data)

    async def _room(self) -> None:
        loop = asyncio.get_running_loop()
        room: asyncio.Future[None] = loop.create_future()
        loop.add_writer(self._descriptor, _set, room)
        try:
            await room
        finally:
            loop.remove_writer(self._descriptor)


def _errors_of(descriptor: int) -> "select.epoll | None":
    """What is readable when the descriptor has an error; None where there is no such thing: other systems, files."""
    if sys.platform != "linux":
        return None
    epoll = select.epoll()
    try:
        epoll.register(descriptor, 0)  # errors are always told
    except PermissionError:
        epoll.close()
        return None
    return epoll


def _set(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
