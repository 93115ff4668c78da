"""TCP, by asyncio's transports."""

import asyncio
from collections.abc import Callable
from typing import Final, cast

from telex.streams.stream import Handler

_LINGER_SECONDS: Final = 5.0
"""How long a peer that does not read may hold up the end of its stream."""


class TcpStream(asyncio.Protocol):
    """One connection; ``new_handler`` makes who uses it, when it is open."""

    # There may be very many of us, most of them idle.
    __slots__ = ("_abort_timer", "_handler", "_new_handler", "_transport", "address", "is_writable")

    def __init__(self, new_handler: "Callable[[TcpStream], Handler]") -> None:
        self._new_handler = new_handler
        self.address = ""
        self.is_writable = True
        self._abort_timer: asyncio.TimerHandle | None = None

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self._transport = cast(asyncio.Transport, transport)
        self.address = shown_address(transport.get_extra_info("peername"))
        self._handler = self._new_handler(self)

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
        self._handler.lost("the connection was closed" if exc is None else f"the connection broke: {exc}")

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

    def pause_reading(self) -> None:
        """Take in nothing for a while."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take in bytes again."""
        if not self._transport.is_closing():
            self._transport.resume_reading()


def shown_address(name: object) -> str:
    """A socket's address for people: ``192.0.2.1:50000``, ``[2001:db8::1]:50000``, ``/run/x.sock``."""
    if isinstance(name, tuple):
        host, port = name[0], name[1]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return str(name) if name else "a local socket"
