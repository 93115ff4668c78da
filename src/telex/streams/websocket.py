"""WebSocket, on a transport whose opening handshake is over (RFC 6455; MQTT 5, section 6)."""

import asyncio
from collections.abc import Callable
from typing import Final

from telex.streams import frames
from telex.streams.stream import Handler
from telex.streams.tcp import NOBODY, Arrival

_HIGH_WATER: Final = 65_536
"""Bytes that may wait for a peer that does not read; with more, it does not keep up."""

_LINGER_SECONDS: Final = 5.0
"""How long a peer may take to read the rest and to answer our Close."""

_FAULT_SECONDS: Final = 1.0
"""How long a peer that broke the rules may take to read why."""


_EMPTY_SECONDS: Final = 10.0
"""In such a time a peer may send ..."""

_MOST_EMPTY: Final = 65_536
"""... so many bytes of Pings and frames without payload: whoever limits what clients bring sees payload alone."""

_HEAD: Final = 8
"""Bytes of a frame's head that each byte of payload allows."""


class WebSocketStream(asyncio.Protocol):
    """One connection.

    Args:
        transport: what the handshake came by; nothing but frames follows in either direction.
        arrival: who is at the other end.
        new_handler: makes who uses the stream.
        on_gone: is called when it is over.
        unmask: see ``FrameReader``.
    """

    # There may be very many of us, most of them idle.
    __slots__ = (
        "_arrival",
        "_empty",
        "_empty_until",
        "_handler",
        "_is_closing",
        "_on_gone",
        "_reader",
        "_timer",
        "_transport",
        "address",
        "host",
        "identity",
        "is_writable",
        "via_tls",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        arrival: Arrival,
        new_handler: "Callable[[WebSocketStream], Handler]",
        on_gone: "Callable[[WebSocketStream], None]",
        unmask: frames.Unmask = frames.unmask,
    ) -> None:
        self.address = arrival.address
        self.host = arrival.host
        self.identity = arrival.identity
        self.via_tls = arrival.via_tls
        self.is_writable = True
        self._arrival = arrival
        self._on_gone = on_gone
        self._transport = transport
        self._reader = frames.FrameReader(unmask)
        self._empty = 0  # bytes without payload, less what the payload that came with them allows
        self._empty_until = 0.0  # the loop's time when they are forgotten
        self._is_closing = False  # our Close has left
        self._timer: asyncio.TimerHandle | None = None  # until it is over in any case
        transport.set_write_buffer_limits(_HIGH_WATER)
        self._handler: Handler = new_handler(self)

    # What asyncio calls

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        reader = self._reader
        payload = reader.receive(data)
        self._empty += len(data) - (1 + _HEAD) * len(payload)
        if self._empty > _MOST_EMPTY:
            self._empty_out()
        elif self._empty < 0:
            self._empty = 0
        if payload and not self._is_closing:
            self._handler.received(payload)
        if reader.ping is not None:
            self._answer_ping()
        if reader.is_over:
            self._end()

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
        self._arrival.gone()
        self._on_gone(self)
        self._handler.lost(self._reason(exc))
        self._handler = NOBODY  # without a circle both are gone at once

    # What the handler calls

    def write(self, data: bytes) -> None:
        """Send bytes, as one message; they wait here if the peer is slow."""
        if not self._is_closing:
            self._transport.write(frames.messages(data))

    def close(self) -> None:
        """End it when what was written has left and the peer has answered our Close; after five seconds in any case."""
        if self._is_closing or self._transport.is_closing():
            return
        self._send_close(frames.NORMAL_CLOSURE)
        self._transport.resume_reading()  # or its answer would not be seen
        self._abort_after(_LINGER_SECONDS)

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

    # What the server calls

    def ping(self) -> None:
        """Let those between us and the peer see that the connection is in use."""
        if self.is_writable and not self._is_closing:
            self._transport.write(frames.ping())

    # What happens within

    def _answer_ping(self) -> None:
        """Unless the peer does not read: then it waits here, and a Ping that comes meanwhile takes its place."""
        payload = self._reader.ping
        if payload is not None and self.is_writable and not self._is_closing:
            self._reader.ping = None
            self._transport.write(frames.pong(payload))

    def _empty_out(self) -> None:
        """There are many bytes without payload: that is the end, if they came fast."""
        now = asyncio.get_running_loop().time()
        if now < self._empty_until and not self._reader.is_over:
            self._reader.refuse(frames.POLICY_VIOLATION, "it sends almost nothing but Pings and frames without payload")
        self._empty = 0
        self._empty_until = now + _EMPTY_SECONDS

    def _end(self) -> None:
        """The peer has said Close, or what cannot be read."""
        reader = self._reader
        if self._transport.is_closing():
            return
        if not reader.fault:
            if not self._is_closing:
                self._send_close(reader.close_code)
            self._transport.close()  # the server is first to close the connection (7.1.1)
            self._abort_after(_LINGER_SECONDS)
        elif not self._is_closing:
            self._send_close(reader.close_code)
            # Not closed at once: if more of the same is under way, the kernel would answer that with a reset, and our
            # Close would be lost.
            self._transport.resume_reading()
            self._abort_after(_FAULT_SECONDS)

    def _send_close(self, code: int) -> None:
        self._is_closing = True
        self._transport.write(frames.close(code))

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
