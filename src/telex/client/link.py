"""One network connection of a client: what comes goes to the protocol at once, what leaves does so once a turn.

Knows a stream and the client's end of the protocol. Knows neither who wants to
publish nor who subscribed: those are told by ``happened`` and ``ended``.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from telex.client.connection import ClientConnection, Publication
from telex.errors import MqttError, ProtocolError, Timeout
from telex.streams.stream import ClientStream
from telex.wire.packets import Packet

_MOST_GATHERED: Final = 65_536
"""Bytes of publications that may gather within one turn of the loop before they are written."""


_GOODBYE_SECONDS: Final = 1.0
"""How long a broker may take to close the connection after our DISCONNECT, before we do."""


class Owner(Protocol):
    """Who is told what a link brings."""

    def happened(self, events: list[Packet | Publication]) -> None:
        """The protocol's events, in order."""

    @property
    def awaits_answers(self) -> bool:
        """Whether acknowledgements and the like are to come."""

    @property
    def must_hold(self) -> bool:
        """Whether what is to leave must wait for the disk."""

    def has_room(self) -> None:
        """What was gathered has left, and the broker keeps up: there is room for more."""

    def ended(self, link: "Link", error: MqttError | None, reason: str) -> None:
        """It is over: by an error, if there was one, and by what the stream says."""


class Link:
    """Uses one stream for one connection, as its ``streams.stream.Handler``."""

    __slots__ = (
        "_asked",
        "_connection",
        "_error",
        "_flush_handle",
        "_gathered",
        "_is_closing",
        "_is_reading",
        "_left",
        "_loop",
        "_owner",
        "_stream",
        "_tap",
        "_timer",
        "_written",
    )

    def __init__(
        self,
        connection: ClientConnection,
        owner: Owner,
        stream: ClientStream,
        tap: Callable[[bytes, bool], None] | None,
    ) -> None:
        self._connection = connection
        self._owner = owner
        self._stream = stream
        self._tap = tap  # sees all bytes: True, that leave, or False, that come
        self._loop = asyncio.get_running_loop()
        self._error: MqttError | None = None  # what ended it
        self._flush_handle: asyncio.Handle | None = None
        self._gathered = 0  # bytes of publications that wait for the end of this turn
        self._is_reading = True
        self._is_closing = False  # our goodbye has left
        self._written = 0  # bytes so far
        self._left = 0  # of these, at the last tick, those that waited here no longer
        self._asked = 0  # of these, those up to our last question whether the broker is there
        connection.opened(self._loop.time())
        self._timer = self._loop.call_later(connection.tick_seconds, self._tick)
        self.flush()

    # What the client asks for

    @property
    def is_writable(self) -> bool:
        """Whether there is room for another publication."""
        return self._gathered < _MOST_GATHERED and self._stream.is_writable

    @property
    def is_reading(self) -> bool:
        """Whether what comes is taken in."""
        return self._is_reading

    @property
    def is_flushed(self) -> bool:
        """Whether all that was gathered is written."""
        return self._gathered == 0

    def gathered(self, size: int) -> None:
        """A publication of about that many bytes is to leave."""
        self._gathered += size
        self.soon()

    def soon(self) -> None:
        """Something is to leave."""
        if self._flush_handle is None:
            self._flush_handle = self._loop.call_soon(self._flush_gathered)

    def flush(self) -> None:
        """Write what is to leave."""
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush_handle = None
        if self._owner.must_hold:  # it is flushed when that is over
            return
        self._gathered = 0
        connection = self._connection
        data = connection.take(self._loop.time())
        if data:
            if self._tap is not None:
                self._tap(data, True)
            self._written += len(data)
            self._stream.write(data)
        if connection.is_closing:
            self._close()

    def _close(self) -> None:
        """Close the stream: after our goodbye, when the broker has closed it, or soon.

        To close while it still sends would reset the connection, and the broker might lose what left before.
        """
        if self._error is not None:
            self._stream.close()
        elif not self._is_closing:
            self._is_closing = True
            self.resume_reading()
            self._timer.cancel()
            self._timer = self._loop.call_later(_GOODBYE_SECONDS, self._stream.close)

    def _flush_gathered(self) -> None:
        self._flush_handle = None
        self.flush()
        if self._stream.is_writable:
            self._owner.has_room()

    def abort(self, error: MqttError | None = None) -> None:
        """End it now."""
        self._error = self._error or error
        self._stream.abort()

    def leave(self) -> None:
        """End it when what was written has left, without a word."""
        self._stream.close()

    def pause_reading(self) -> None:
        """Take in nothing for a while."""
        if self._is_reading:
            self._is_reading = False
            self._stream.pause_reading()

    def resume_reading(self) -> None:
        """Take in what comes again."""
        if not self._is_reading:
            self._is_reading = True
            self._stream.resume_reading()

    # What the stream calls

    def received(self, data: bytes) -> None:
        """Bytes came."""
        if self._is_closing:
            return
        connection = self._connection
        if self._tap is not None:
            self._tap(data, False)
        try:
            connection.receive(data)
        except ProtocolError as error:
            self._error = error
        self._owner.happened(connection.take_events())
        if connection.wants_to_send:
            self.soon()
        elif self._owner.awaits_answers:
            self._stream.acknowledge_now()

    def writable(self) -> None:
        """The broker keeps up again."""
        self._owner.has_room()

    def lost(self, reason: str) -> None:
        """The stream is over."""
        self._timer.cancel()
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush_handle = None
        self._connection.lost()
        self._owner.ended(self, self._error, reason)

    def _tick(self) -> None:
        left = self._written - self._stream.unsent
        # Slow as the link may be, it works: our question is still behind what leaves.
        is_sending = self._left < left < self._asked
        self._left = left
        try:
            self._connection.tick(self._loop.time(), is_reading=self._is_reading, is_sending=is_sending)
        except Timeout as error:
            self.abort(error)
            return
        if self._connection.wants_to_send:
            if self._flush_handle is not None:
                self._flush_handle.cancel()
            self._flush_gathered()
            self._asked = self._written
        self._timer = self._loop.call_later(self._connection.tick_seconds, self._tick)
