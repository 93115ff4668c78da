"""Waiting for sockets, by what the system has for that.

Knows descriptors and seconds. Reads and writes nothing.
"""

import select
import socket
from typing import Final

from telex.paho.nonblocking import SocketLike

_HAS_POLL: Final = hasattr(select, "poll")


def ready(
    sock: SocketLike, waker: socket.socket | None, *, is_writing: bool, timeout: float
) -> tuple[bool, bool, bool]:
    """Wait until a socket can be read, or written if that is wanted, or somebody wakes us; which of these it is.

    Raises:
        ValueError: the socket is closed.
        OSError: as from ``select``.
    """
    number = sock.fileno()
    alarm = -1 if waker is None else waker.fileno()
    readers = [number] if alarm == -1 else [number, alarm]
    can_read, can_write = _wait(readers, [number] if is_writing else [], timeout)
    return number in can_read, bool(can_write), alarm in can_read


def awake(waker: socket.socket, timeout: float) -> bool:
    """Wait until somebody wakes us, at most that many seconds; whether somebody did."""
    return bool(_wait([waker.fileno()], [], timeout)[0])


def _wait(readers: list[int], writers: list[int], timeout: float) -> tuple[list[int], list[int]]:
    """Which of these descriptors can be read, and which written; what is broken can be read."""
    if not _HAS_POLL:
        can_read, can_write, _ = select.select(readers, writers, [], timeout)
        return can_read, can_write
    # select() knows no descriptors above 1023.
    poll = select.poll()
    for each in readers:
        poll.register(each, select.POLLIN | select.POLLOUT if each in writers else select.POLLIN)
    found = poll.poll(timeout * 1000)
    return (
        [each for each, events in found if events & ~select.POLLOUT],
        [each for each, events in found if events & select.POLLOUT],
    )
