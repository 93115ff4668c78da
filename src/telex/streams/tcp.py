"""TCP and Unix sockets, with TLS or without, by asyncio's transports."""

import asyncio
import socket
from collections.abc import Callable
from typing import Final, cast

from telex.streams.stream import Handler

_LINGER_SECONDS: Final = 5.0
"""How long a peer that does not read may hold up the end of its stream."""


_QUICK_ACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)
_UNIX: Final[int | None] = getattr(socket, "AF_UNIX", None)


class Arrival:
    """One connection that comes in: who is at the other end, and whom to tell when it is over.

    Whatever protocol asyncio calls for it, calls ``opened`` and ``gone``. This one is for connections that nobody
    counts; a listener has its own kind.
    """

    __slots__ = ("address", "host", "identity", "via_tls")

    def __init__(self) -> None:
        self.address = ""
        self.host = ""
        self.identity = ""
        self.via_tls = ""

    def opened(self, transport: asyncio.BaseTransport) -> bool:
        """It is open: what a stream says of its peer is known now. False: it was refused and is closed."""
        name = transport.get_extra_info("peername")
        self.address = shown_address(name)
        self.host = host_of(name)
        session = transport.get_extra_info("ssl_object")
        if session is not None:
            self.via_tls = session.version() or ""
        return True

    def gone(self) -> None:
        """It is over. May be called more than once."""


class TcpStream(asyncio.Protocol):
    """One connection; ``new_handler`` makes who uses it, when it is open."""

    # There may be very many of us, most of them idle.
    __slots__ = (
        "_abort_timer",
        "_arrival",
        "_handler",
        "_new_handler",
        "_transport",
        "address",
        "host",
        "identity",
        "is_writable",
        "via_tls",
    )

    def __init__(self, new_handler: "Callable[[TcpStream], Handler]", arrival: Arrival | None = None) -> None:
        self._new_handler = new_handler
        self._arrival = arrival or Arrival()
        self.address = ""
        self.host = ""
        self.identity = ""
        self.via_tls = ""
        self.is_writable = True
        self._abort_timer: asyncio.TimerHandle | None = None

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self._transport = cast(asyncio.Transport, transport)
        arrival = self._arrival
        if not arrival.opened(transport):
            self._handler: Handler = NOBODY
            return
        self.address = arrival.address
        self.host = arrival.host
        self.identity = arrival.identity
        self.via_tls = arrival.via_tls
        try:
            self._handler = self._new_handler(self)
        except BaseException:  # a fault of ours: asyncio would leave the connection open, with nobody to read it
            self._handler = Nobody()
            arrival.gone()
            self._transport.abort()
            raise

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self._handler.received(data)

    def pause_writing(self) -> None:
        """The peer does not keep up."""
        self.is_writable = False

    def resume_writing(self) -> None:
        """The peer keeps up again."""
        self.is_writable = True
        self._handler.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        if self._abort_timer is not None:
            self._abort_timer.cancel()
            self._abort_timer = None
        self.is_writable = False
        self._arrival.gone()
        self._handler.lost("the connection was closed" if exc is None else f"the connection broke: {exc}")
        self._handler = NOBODY  # without a circle both are gone at once

    # What the handler calls

    def write(self, data: bytes) -> None:
        """Send bytes; they wait here if the peer is slow."""
        self._transport.write(data)

    def close(self) -> None:
        """End it when what was written has left, after five seconds at the latest."""
        if self._abort_timer is None and not self._transport.is_closing():
            self._transport.close()
            self._abort_timer = asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._transport.abort)

    def abort(self) -> None:
        """End it now."""
        self._transport.abort()

    @property
    def unsent(self) -> int:
        """Bytes that were written and wait here."""
        return self._transport.get_write_buffer_size()

    def acknowledge_now(self) -> None:
        """Have the kernel tell the peer at once what has come, where it can be asked to (Linux).

        Otherwise it waits some 40 ms for something that is to be sent, and a peer with Nagle's algorithm waits for that
        before it sends the end of what it has.
        """
        sock = self._transport.get_extra_info("socket")
        if _QUICK_ACK is not None and sock is not None and sock.family != _UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)

    def pause_reading(self) -> None:
        """Take in nothing for a while."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take in bytes again."""
        if not self._transport.is_closing():
            self._transport.resume_reading()


class Nobody:
    """Who uses a stream that was refused."""

    __slots__ = ()

    def received(self, data: bytes) -> None:
        """Nobody reads it."""

    def writable(self) -> None:
        """Nobody writes."""

    def lost(self, reason: str) -> None:
        """Nobody misses it."""


NOBODY: Final = Nobody()


def host_of(name: object) -> str:
    """The IP address alone in a socket's address; empty for Unix sockets."""
    return str(name[0]) if isinstance(name, tuple) else ""


def shown_address(name: object) -> str:
    """A socket's address for people: ``192.0.2.1:50000``, ``[2001:db8::1]:50000``, ``/run/x.sock``."""
    if isinstance(name, tuple):
        host, port = name[0], name[1]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return str(name) if name else "a local socket"
