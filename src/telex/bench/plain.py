"""Plain TCP for very many connections, as cheap as Python can have it.

Knows sockets, and one epoll object for all of them, which the loop watches in their place: a loop's own transports cost
more than all that the kernel does for a connection that is made and closed again, and several KiB each. Knows no MQTT,
no names and no other way than TCP: ``client/dialing.py`` does, and says in words what is wrong with one. So whoever
comes here has gone that way once.
"""

import asyncio
import errno
import os
import select
import socket
from typing import Any, Final

from telex.streams.stream import Handler

_MOST_EVENTS: Final = 1_000  # in one turn of the loop, which has others to see to
_READ_BYTES: Final = 4_096  # answers are small; what is more comes in the next turn

HAS_EPOLL: Final = hasattr(select, "epoll")
"""Whether there is any of this here: on Linux."""


class PlainStream:
    """One connection: of a ``streams.stream.ClientStream`` what clients need that say little."""

    __slots__ = ("_handler", "_socket", "_sockets", "_waiting")

    def __init__(self, sockets: "Sockets", made: socket.socket, handler: Handler, waiting: bytes) -> None:
        self._sockets = sockets
        self._socket = made
        self._handler = handler
        self._waiting = waiting  # what the socket has not taken

    @property
    def is_open(self) -> bool:
        """Whether it is not over."""
        return self._socket.fileno() >= 0

    def write(self, data: bytes) -> None:
        """Send bytes; they wait here if the peer is slow."""
        if self._waiting:
            self._waiting += data
            return
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:  # broken, or closed; reading says so, if nobody knows yet
            return
        if sent < len(data):
            self._waiting = data[sent:]
            self._sockets.epoll.modify(self._socket, select.EPOLLIN | select.EPOLLOUT)

    def abort(self) -> None:
        """End it now. The handler is told in the next turn of the loop."""
        if self._close():
            asyncio.get_running_loop().call_soon(self._handler.lost, "the connection was ended here")

    def happened(self, events: int) -> None:
        """The kernel has something for us. It may be about a connection that had the same number before."""
        if self._waiting and not self._flush():
            return
        if events == select.EPOLLOUT:
            return
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(f"the connection broke: {words(error)}")
            return
        if data:
            self._handler.received(data)
        else:
            self._end("the connection was closed")

    def _flush(self) -> bool:
        """Send what waits; False: there is nothing more to be done, for now or for ever."""
        try:
            sent = self._socket.send(self._waiting)
        except BlockingIOError:
            return True
        except OSError as error:
            self._end(f"no connection: {words(error)}" if self._is_new() else f"the connection broke: {words(error)}")
            return False
        self._waiting = self._waiting[sent:]
        if not self._waiting:
            self._sockets.epoll.modify(self._socket, select.EPOLLIN)
        return True

    def _is_new(self) -> bool:
        """Whether it never was there."""
        try:
            self._socket.getpeername()
        except OSError:
            return True
        return False

    def _end(self, reason: str) -> None:
        if self._close():
            self._handler.lost(reason)

    def _close(self) -> bool:
        """Close the socket, which takes it out of epoll; False: it is closed."""
        number = self._socket.fileno()
        if number < 0:
            return False
        del self._sockets.streams[number]
        self._socket.close()
        return True


class Sockets:
    """All plain connections of a process to one address.

    Args:
        host: the broker's IP address.
        port: where it listens.
    """

    def __init__(self, host: str, port: int) -> None:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0]
        self._family = found[0]
        self._kind = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
        self._address: Any = found[4]
        self.epoll = select.epoll()
        self.streams: dict[int, PlainStream] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.epoll.fileno(), self._turn)

    def open(self, handler: Handler, first: bytes) -> PlainStream:
        """Begin to connect, and send the first bytes as soon as that can be. Here, that often is at once.

        Raises:
            OSError: it cannot even begin.
        """
        made = socket.socket(self._family, self._kind)
        error = made.connect_ex(self._address)
        if error not in (0, errno.EINPROGRESS):
            made.close()
            raise OSError(error, os.strerror(error))
        events = select.EPOLLIN
        try:
            sent = made.send(first)
        except BlockingIOError:
            sent = 0
        except OSError:
            made.close()
            raise
        if sent < len(first):
            events |= select.EPOLLOUT
        stream = PlainStream(self, made, handler, first[sent:])
        number = made.fileno()
        self.streams[number] = stream
        self.epoll.register(number, events)
        return stream

    def close(self) -> None:
        """Close all that is left; nobody is told."""
        self._loop.remove_reader(self.epoll.fileno())
        for stream in list(self.streams.values()):
            stream._close()
        self.epoll.close()

    def _turn(self) -> None:
        streams = self.streams
        for number, events in self.epoll.poll(0, _MOST_EVENTS):
            stream = streams.get(number)
            if stream is not None:  # otherwise it was closed in this turn
                stream.happened(events)


def words(error: OSError) -> str:
    """What an error of the system means, without its number."""
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine has no local port left for one more connection to the broker"
    if error.errno == errno.EMFILE:
        return "this process may not open more files"
    return (error.strerror or str(error)).lower()
