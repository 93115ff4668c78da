"""WebSocket at the server's end, on a transport whose opening handshake is over (RFC 6455; MQTT 5, section 6)."""

import asyncio
from collections.abc import Callable
from typing import Final

from telex.streams import framed, frames
from telex.streams.stream import Handler
from telex.streams.tcp import Arrival

_FAULT_SECONDS: Final = 1.0
"""How long a peer that broke the rules may take to read why."""

_EMPTY_SECONDS: Final = 10.0
"""In such a time a peer may send ..."""

_MOST_EMPTY: Final = 65_536
"""... so many bytes of Pings and frames without payload: whoever limits what clients bring sees payload alone."""

_HEAD: Final = 8
"""Bytes of a frame's head that each byte of payload allows."""


class WebSocketStream(framed.FramedStream):
    """One connection, at the server's end.

    Args:
        transport: what the handshake came by; nothing but frames follows in either direction.
        arrival: who is at the other end.
        new_handler: makes who uses the stream.
        on_gone: is called when it is over.
        unmask: see ``FrameReader``.
    """

    __slots__ = ("_arrival", "_empty", "_empty_until", "_on_gone")

    def __init__(
        self,
        transport: asyncio.Transport,
        arrival: Arrival,
        new_handler: "Callable[[WebSocketStream], Handler]",
        on_gone: "Callable[[WebSocketStream], None]",
        unmask: frames.Unmask = frames.unmask,
    ) -> None:
        super().__init__(frames.FrameReader(unmask))
        self.address = arrival.address
        self.host = arrival.host
        self.identity = arrival.identity
        self.via_tls = arrival.via_tls
        self._arrival = arrival
        self._on_gone = on_gone
        self._transport = transport
        self._empty = 0  # bytes without payload, less what the payload that came with them allows
        self._empty_until = 0.0  # the loop's time when they are forgotten
        transport.set_write_buffer_limits(framed.HIGH_WATER)
        self._handler = new_handler(self)

    # What asyncio calls

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        payload = self._reader.receive(data)
        self._empty += len(data) - (1 + _HEAD) * len(payload)
        if self._empty > _MOST_EMPTY:
            self._empty_out()
        elif self._empty < 0:
            self._empty = 0
        self._came(payload)

    # What the handler calls

    def write(self, data: bytes) -> None:
        """Send bytes, as one message; they wait here if the peer is slow."""
        if not self._is_closing:
            self._transport.write(frames.messages(data))

    # What the server calls

    def ping(self) -> None:
        """Let those between us and the peer see that the connection is in use."""
        if self.is_writable and not self._is_closing:
            self._transport.write(frames.ping())

    # What happens within

    def _gone(self, exc: Exception | None) -> None:
        self._arrival.gone()
        self._on_gone(self)

    def _pong(self, payload: bytes) -> bytes:
        return frames.pong(payload)

    def _close_frame(self, code: int) -> bytes:
        return frames.close(code)

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
            self._abort_after(framed.LINGER_SECONDS)
        elif not self._is_closing:
            self._send_close(reader.close_code)
            # Not closed at once: if more of the same is under way, the kernel would answer that with a reset, and our
            # Close would be lost.
            self._transport.resume_reading()
            self._abort_after(_FAULT_SECONDS)
