"""A stream in frames, at either end of a WebSocket whose opening handshake is over (RFC 6455).

Knows what both ends have in common. How an end writes its frames, and how it ends, it says itself.
"""

import asyncio
from abc import abstractmethod
from typing import Final

from telex.streams import frames
from telex.streams.stream import Handler
from telex.streams.tcp import NOBODY

HIGH_WATER: Final = 65_536
"""Bytes that may wait for a peer that does not read; with more, it does not keep up."""

LINGER_SECONDS: Final = 5.0
"""How long a peer may take to read the rest and to answer our Close."""


class FramedStream(asyncio.Protocol):
    """One connection.

    Args:
        reader: takes the peer's frames apart.
    """

    # There may be very many of us, most of them idle.
    __slots__ = (
        "_handler",
        "_is_closing",
        "_reader",
        "_timer",
        "_transport",
        "address",
        "host",
        "identity",
        "is_writable",
        "via_tls",
    )

    _transport: asyncio.Transport

    def __init__(self, reader: frames.FrameReader) -> None:
        self._reader = reader
        self._handler: Handler = NOBODY
        self._is_closing = False  # our Close has left, or may not any more
        self._timer: asyncio.TimerHandle | None = None  # until it is over in any case
        self.address = ""
        self.host = ""
        self.identity = ""
        self.via_tls = ""
        self.is_writable = True

    # What asyncio calls

    def pause_writing(self) -> None:
        """The peer does not keep up."""
        self.is_writable = False

    def resume_writing(self) -> None:
        """The peer keeps up again."""
        self.is_writable = True
        if self._reader.ping is not None:
            self._answer_ping()
        self._handler.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.is_writable = False
        self._is_closing = True
        self._gone(exc)
        self._handler.lost(self._reason(exc))
        self._handler = NOBODY  # without a circle both are gone at once

    # What the handler calls

    def close(self) -> None:
        """End it when what was written has left and the peer has answered our Close; after five seconds in any case."""
        if self._is_closing or self._transport.is_closing():
            return
        self._send_close(frames.NORMAL_CLOSURE)
        self._transport.resume_reading()  # or its answer would not be seen
        self._abort_after(LINGER_SECONDS)

    def abort(self) -> None:
        """End it now."""
        self._transport.abort()

    def pause_reading(self) -> None:
        """Take in nothing for a while."""
        if not self._is_closing and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take in bytes again."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    # What each end does in its own way

    @abstractmethod
    def _pong(self, payload: bytes) -> bytes:
        """The frame that answers a Ping."""

    @abstractmethod
    def _close_frame(self, code: int) -> bytes:
        """The frame that says Close."""

    @abstractmethod
    def _end(self) -> None:
        """The peer has said Close, or what cannot be read."""

    @abstractmethod
    def _gone(self, exc: Exception | None) -> None:
        """The connection is gone; whoever counts it, or waits for it, is to be told."""

    # What happens within

    def _came(self, payload: bytes) -> None:
        """The reader has taken something in; this much of it is for the handler."""
        if payload and not self._is_closing:
            self._handler.received(payload)
        if self._reader.ping is not None:
            self._answer_ping()
        if self._reader.is_over:
            self._end()

    def _answer_ping(self) -> None:
        """Unless the peer does not read: then it waits here, and a Ping that comes meanwhile takes its place."""
        payload = self._reader.ping
        if payload is not None and self.is_writable and not self._is_closing:
            self._reader.ping = None
            self._transport.write(self._pong(payload))

    def _send_close(self, code: int) -> None:
        self._is_closing = True
        self._transport.write(self._close_frame(code))

    def _abort_after(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._transport.abort)

    def _reason(self, exc: Exception | None) -> str:
        """Why it is over."""
        reader = self._reader
        if reader.fault:
            return f"WebSocket: {reader.fault}"
        if reader.close_code not in (0, frames.NORMAL_CLOSURE, 1001):
            return f"the peer closed the WebSocket with code {reader.close_code}"
        return "the connection was closed" if exc is None else f"the connection broke: {exc}"
