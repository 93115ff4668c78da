"""Between one stream and our end of the connection on it: bytes in, bytes out, and when reading has to wait.

Knows streams and the engine's ends of connections. Whose they are is the broker's business.
"""

import asyncio
from typing import Final, Protocol

from telex.codes import ReasonCode
from telex.engine.connection import Connection
from telex.engine.end import End
from telex.engine.engine import Engine
from telex.engine.visit import Visit
from telex.server.clock import Clock
from telex.server.guard import DISCONNECT, Meter
from telex.server.reception import Entrance
from telex.streams.stream import Stream

_FOR_LOGIN: Final = 1
_FOR_JOURNAL: Final = 2
_FOR_RATE: Final = 4


class House(Protocol):
    """What a handler asks of its broker."""

    engine: Engine
    clock: Clock

    def flush_soon(self) -> None:
        """Do at the end of this turn of the loop what is done once a turn."""

    def taken(self, size: int) -> None:
        """So many bytes came: do at the end of this turn what is done once a turn, or now if it was much."""

    def hold_up(self, handler: "EndHandler") -> None:
        """Call ``go_on`` when the journal has come forward."""

    def gone(self, handler: "ClientHandler") -> None:
        """A connection of a client has left nothing behind."""


class EndHandler:
    """Uses one stream for one connection. Reading may have to wait for several things at a time: each has its bit.

    Args:
        house: the broker.
        stream: how bytes come and go.
    """

    __slots__ = ("_clock", "_house", "_journal", "_waits", "connection", "stream")

    connection: End

    def __init__(self, house: House, stream: Stream) -> None:
        self._house = house
        self._journal = house.engine.journal
        self._clock = house.clock
        self._waits = 0
        self.stream = stream

    def received(self, data: bytes) -> None:
        """Bytes came."""
        before = self._journal.appended
        self.connection.receive(data, self._clock.now())
        if self._journal.appended > before:
            self._keep_pace()
        self._house.taken(len(data))

    def _keep_pace(self) -> None:
        """What came was recorded: take no more until the journal has come forward, if it is behind."""
        if self._journal.is_behind:
            self._wait(_FOR_JOURNAL)
            self._house.hold_up(self)

    def _wait(self, reason: int) -> None:
        if not self._waits:
            self.stream.pause_reading()
        self._waits |= reason

    def _go_on(self, reason: int) -> None:
        if self._waits & reason:
            self._waits &= ~reason
            if not self._waits:
                self.stream.resume_reading()

    def go_on(self) -> None:
        """The journal has come forward: more may come."""
        self._go_on(_FOR_JOURNAL)

    def writable(self) -> None:
        """The peer reads again: what gathered meanwhile can leave."""
        self.flush()

    def flush(self) -> None:
        """Write what waits for the peer, if it keeps up with reading."""
        outbox = self.connection.outbox
        if self._waits & _FOR_LOGIN and not self.connection.is_waiting:
            self._go_on(_FOR_LOGIN)
        if self.stream.is_writable and outbox.has_leaving:
            before = self._journal.appended
            self.stream.write(self.connection.take(self._clock.now()))
            if outbox.frames or self._journal.appended != before:  # more followed from the session
                self._house.flush_soon()
        if outbox.is_closing and not outbox.is_holding:
            self.stream.close()

    def lost(self, reason: str) -> None:
        """The stream is over."""
        try:
            self.connection.closed(self._clock.now(), reason)
        finally:  # whatever went wrong: a stop waits for those who are there
            self.connection.outbox.stream = None  # without a circle it is gone at once, and leaves nothing to look for
            self._house.flush_soon()
            self._is_gone()

    def _is_gone(self) -> None:
        """Nothing is left of the connection."""
        raise NotImplementedError


class ClientHandler(EndHandler):
    """Of a client.

    Args:
        house: the broker.
        stream: how bytes come and go.
        entrance: where it came in; None: by none of our listeners.
    """

    __slots__ = ("meter",)

    connection: Connection

    def __init__(
        self,
        house: House,
        stream: Stream,
        entrance: Entrance | None,
    ) -> None:
        super().__init__(house, stream)
        self.meter: Meter | None = None  # of what it brings; None: as much as it likes
        name, options = ("", None) if entrance is None else (entrance.name, entrance.options)
        visit = Visit(stream.address, stream.host, name, stream.identity)
        self.connection = Connection(house.engine, self, visit, house.clock.now(), options)

    def received(self, data: bytes) -> None:
        """Bytes came from the client."""
        connection = self.connection
        before = self._journal.appended
        now = self._clock.now()
        if self.meter is None:
            connection.receive(data, now)
        else:
            self._receive_measured(self.meter, data, now)
        if connection.is_waiting:  # for its login: what it sends meanwhile stays in the kernel
            if connection.decoder.is_inside_packet:  # until then we read, to hear whether it leaves
                self._wait(_FOR_LOGIN)
        elif self._journal.appended > before:
            self._keep_pace()
        self._house.taken(len(data))

    def _receive_measured(self, meter: Meter, data: bytes, now: float) -> None:
        """Take bytes in, and see whether they were too many."""
        visit = self.connection.visit
        before = visit.publish_received
        self.connection.receive(data, now)
        pause = meter.received(len(data), visit.publish_received - before, now)
        if pause == DISCONNECT:
            text = "it goes on to bring more than it may"
            self.connection.disconnect(ReasonCode.MESSAGE_RATE_TOO_HIGH, text, now)
        elif pause > 0:
            self._wait(_FOR_RATE)
            asyncio.get_running_loop().call_later(pause, self._go_on, _FOR_RATE)

    def _is_gone(self) -> None:
        self._house.gone(self)
