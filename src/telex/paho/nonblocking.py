"""What the loop of the client asks of a connection that does not block, be it TCP, TLS, Unix or WebSocket.

Knows reading, writing, and what "not now" means. Knows no way to a broker: ``sockets.py`` does; and no MQTT.
"""

import ssl
from typing import Protocol


class SocketLike(Protocol):
    """What ``Client.socket()`` gives: a ``socket.socket``, an ``ssl.SSLSocket``, or a ``WebSocket``."""

    def recv(self, size: int, /) -> bytes:
        """Bytes that have come, not more than that; none: the peer has ended the connection."""

    def send(self, data: bytes | bytearray | memoryview, /) -> int:
        """Send bytes; how many of them have left."""

    def close(self) -> None:
        """End the connection."""

    def fileno(self) -> int:
        """The descriptor, for ``select`` and its kin; -1 when it is closed."""

    def setblocking(self, flag: bool, /) -> None:
        """Whether calls wait."""


class NeedsReading(BlockingIOError):
    """What was to be written can be when something has been read: TLS has something to say first."""


class NeedsWriting(BlockingIOError):
    """What was to be read can be when the socket takes bytes: TLS has something to say first."""


def receive(sock: SocketLike, size: int) -> bytes:
    """Read what has come; none: the peer has ended the connection.

    Raises:
        BlockingIOError: there is nothing yet. ``NeedsWriting``: there will be when the socket can be written.
        OSError: the connection is broken.
    """
    try:
        return sock.recv(size)
    except ssl.SSLWantReadError:
        raise BlockingIOError from None
    except ssl.SSLWantWriteError:
        raise NeedsWriting from None


def send(sock: SocketLike, data: bytes | bytearray | memoryview) -> int:
    """Send as much as is taken now; how many bytes that was.

    After a ``BlockingIOError`` the next call must begin with the same bytes and bring no fewer: those that come with
    TLS and WebSocket are encrypted or masked already, and wait.

    Raises:
        BlockingIOError: nothing is taken until the socket can be written. ``NeedsReading``: until it was read.
        OSError: the connection is broken.
    """
    try:
        return sock.send(data)
    except ssl.SSLWantWriteError:
        raise BlockingIOError from None
    except ssl.SSLWantReadError:
        raise NeedsReading from None


def pending_of(sock: SocketLike) -> int:
    """How many bytes can be read that ``select`` does not see, since they have left the kernel already."""
    pending = getattr(sock, "pending", None)
    return 0 if pending is None else int(pending())
