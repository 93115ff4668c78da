"""The broker: listeners, the loop's turn, timers, start and stop (step six: Leave).

Knows sockets and time. What a packet means is the engine's business.
"""

import asyncio
import logging
import uuid
from contextlib import suppress
from pathlib import Path
from time import monotonic, time
from types import TracebackType
from typing import Final, Self

from telex import version
from telex.codes import MQTT_5, ReasonCode
from telex.engine.connection import Connection
from telex.engine.engine import Engine
from telex.engine.options import Options
from telex.engine.records import Queued
from telex.engine.restore import Restoration
from telex.engine.seams import Gate, Journal
from telex.engine.visit import Visit
from telex.server.log import LogObserver
from telex.server.stores.sqlite import SqliteJournal
from telex.server.sys_topics import SysTopics
from telex.streams.stream import Stream
from telex.streams.tcp import TcpStream, shown_address

logger = logging.getLogger("telex")

_BACKLOG: Final = 1024  # connections that the kernel holds for us while we are busy
_STOP_SECONDS: Final = 5.0  # that clients have to take their last bytes when the broker stops


class Broker:
    """An MQTT broker in this process.

    ::

        async with telex.Broker(port=0) as broker:
            ...  # clients reach it at 127.0.0.1, port broker.port

    Args:
        host: the address to listen on; the default is this machine only.
        port: the TCP port; 0 takes a free one, which ``port`` then tells.
        options: limits.
        sys_interval: seconds between two updates of ``$SYS``; 0 for no ``$SYS``.
        gate: who may come in (``telex.engine.seams.Gate``); everybody, by default.
        data: the directory that keeps what must outlive the process: kept sessions and their messages,
            retained messages, wills. None: it is kept in memory, and ends with the process.
        durability: what an acknowledgement means: ``strict``, that it is on disk; ``relaxed``, that it
            will be within a second (docs/durability.md).
        journal: another place for what must outlive the process (``telex.engine.seams.Journal``), in place of ``data``.

    Raises:
        ValueError: there is no such durability.
        OSError: from ``start``, if the address cannot be listened on.
        StoreError: from ``start``, if the directory cannot be used.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 1883,
        options: Options | None = None,
        sys_interval: int = 10,
        gate: Gate | None = None,
        data: str | Path | None = None,
        durability: str = "strict",
        journal: Journal | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self._clock = Clock()
        self._sys_interval = sys_interval
        self._options = options or Options()
        self._gate = gate or Gate()
        if data is not None and journal is not None:
            raise ValueError("data and journal are two places for the same: give one of them")
        self.data = None if data is None else Path(data)
        self._durability = durability
        self._store: SqliteJournal | None = None
        if self.data is not None:
            self._store = SqliteJournal(self.data, durability=durability)
        self._begin(self._store or journal or Journal())
        self._server: asyncio.Server | None = None
        self._tick_timer: asyncio.TimerHandle | None = None
        self._handlers: set[ClientHandler] = set()
        self._all_gone = asyncio.Event()
        self._is_stopping = False
        self._flush_is_due = False
        self._held_up: list[ClientHandler] = []  # whose clients wait for the journal before they may bring more

    def _begin(self, journal: Journal) -> None:
        """With an engine that knows nothing yet."""
        self.engine = Engine(
            self._options,
            lambda: f"auto-{uuid.uuid4()}",
            journal=journal,
            gate=self._gate,
            observer=LogObserver(),
            on_ready=self.flush_soon,
        )
        self._sys_topics = SysTopics(self.engine, f"telex version {version.__version__}", self._clock.now())

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; clients can come when this returns."""
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._is_stopping = False
        store = self._store
        if store is not None:
            self._restore(store)
        try:
            self._server = await loop.create_server(
                lambda: TcpStream(self.opened), self.host, self.port, backlog=_BACKLOG
            )
        except BaseException:
            self._close_store()
            raise
        self.port = self._server.sockets[0].getsockname()[1]
        if self._sys_interval:
            now = self._clock.now()
            self._told_interval = int(now) // self._sys_interval
            self._sys_topics.publish(now)
        self._schedule_tick()

    async def stop(self) -> None:
        """Tell every client that we go, and end; after some five seconds at the latest."""
        if self._server is None:
            return
        if self._store is not None:
            with suppress(TimeoutError):  # who waits for an acknowledgement gets it
                await asyncio.wait_for(self._store.settled(), _STOP_SECONDS)
        server, self._server = self._server, None
        self._is_stopping = True
        server.close()
        if self._tick_timer is not None:
            self._tick_timer.cancel()
        now = self._clock.now()
        for handler in list(self._handlers):
            handler.connection.disconnect(ReasonCode.SERVER_SHUTTING_DOWN, "the broker stops", now)
        self.flush()
        if self._handlers:
            self._all_gone.clear()
            try:
                await asyncio.wait_for(self._all_gone.wait(), _STOP_SECONDS)
            except TimeoutError:
                for handler in list(self._handlers):
                    handler.stream.abort()
                await self._all_gone.wait()
        await server.wait_closed()
        self._close_store()

    @property
    def addresses(self) -> list[str]:
        """The addresses that the broker listens on, for people."""
        if self._server is None:
            return []
        return [shown_address(each.getsockname()) for each in self._server.sockets]

    # A turn of the loop

    def flush_soon(self) -> None:
        """Do at the end of this turn of the loop what is done once a turn: one commit, one write for each client."""
        if not self._flush_is_due:
            self._flush_is_due = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Commit what the turn brought, and write what may leave from the outboxes, each in one piece."""
        self._flush_is_due = False
        self.engine.journal.commit()
        for outbox in self.engine.take_ready():
            handler = outbox.stream
            assert isinstance(handler, ClientHandler)  # we gave it to the outbox
            try:
                handler.flush()
            except Exception:
                logger.exception("a fault of ours ended the connection of %s", handler.stream.address)
                handler.stream.abort()  # one connection's fault costs no other its bytes

    # The journal

    def _restore(self, store: SqliteJournal) -> None:
        """Begin where the last process ended."""
        store.open()
        try:
            restoration = Restoration(self.engine)
            for record in store.load():
                restoration.apply(record)
            restoration.finish(self._clock.now())
        except Exception as error:  # what SQLite's own check does not see shows in many ways
            if not store.is_damage(error):
                raise store.refusal(error) from error
            logger.debug("why the store is damaged", exc_info=True)
            store.put_aside(repr(error))
            store.take_gathered()
            self._begin(store)
        store.start(self.on_committed, self._on_fetched, self._on_failing, self._on_recovered)
        if self.engine.sessions or self.engine.retained.count:
            logger.info(
                "restored sessions=%d retained=%d store=%s",
                len(self.engine.sessions),
                self.engine.retained.count,
                store.path,
            )

    def _close_store(self) -> None:
        """Write what is left; another start begins with what the store has then."""
        if self._store is not None and self.data is not None:
            self._store.close()
            self._store = SqliteJournal(self.data, durability=self._durability)
            self._begin(self._store)

    def on_committed(self) -> None:
        """The journal has come forward: what waited for it may leave, and who was held up may go on."""
        self.engine.committed()
        held_up = self._held_up
        self._held_up = []
        for handler in held_up:
            handler.go_on()
        self.flush_soon()

    def _on_fetched(self, client_id: str, session: int, found: list[Queued]) -> None:
        self.engine.fetched(client_id, session, found, self._clock.now())

    def _on_failing(self, reason: str) -> None:
        logger.error(
            "CANNOT STORE: %s: %s; QoS 1 and 2 are not acknowledged until it works again", self._store_path, reason
        )
        self._sys_topics.publish_state(self._clock.now())
        now = self._clock.now()
        for outbox in self.engine.holding[:]:
            handler = outbox.stream
            assert isinstance(handler, ClientHandler)  # we gave it to the outbox
            if outbox.is_closing:  # its client is to go, and nobody knows when it could be told anything
                outbox.forget_held()
                self.engine.ready.append(outbox)
            elif handler.connection.version == MQTT_5 and outbox.is_holding_answers:
                # What it sends from now on is refused, and a refusal may not overtake these answers [MQTT-4.6.0-2]: it
                # shall come again, and send what was not answered.
                handler.connection.disconnect(ReasonCode.QUOTA_EXCEEDED, "the broker cannot store now", now)

    def _on_recovered(self) -> None:
        logger.warning("stores again: %s", self._store_path)
        now = self._clock.now()
        self._sys_topics.publish_state(now)
        self.engine.recovered(now)

    @property
    def _store_path(self) -> Path:
        assert self._store is not None  # it called us
        return self._store.path

    def hold_up(self, handler: "ClientHandler") -> None:
        """Take no more from a client until the journal has come forward."""
        self._held_up.append(handler)

    def _schedule_tick(self) -> None:
        now = self._clock.now()
        self._next_second = int(now) + 1
        self._tick_timer = self._loop.call_later(self._next_second - now, self._tick)

    def _tick(self) -> None:
        """Once a second, on the second."""
        now = max(self._clock.now(), float(self._next_second))  # a timer may come a little early
        self._schedule_tick()  # first: whatever fails below, time goes on
        self.engine.tick(now)
        if self._sys_interval and int(now) // self._sys_interval > self._told_interval:
            self._told_interval = int(now) // self._sys_interval  # told at multiples of the interval
            self._sys_topics.publish(now)
        self.flush_soon()

    # Connections

    @property
    def connection_count(self) -> int:
        """How many connections there are, with a CONNECT or without."""
        return len(self._handlers)

    def opened(self, stream: Stream) -> "ClientHandler":
        """A stream is there: the handler that it is to call."""
        handler = ClientHandler(self, stream, self._clock)
        self._handlers.add(handler)
        if self._is_stopping:  # it came in the same turn of the loop
            stream.abort()
        return handler

    def gone(self, handler: "ClientHandler") -> None:
        """A connection has left nothing behind."""
        self._handlers.discard(handler)
        if not self._handlers:
            self._all_gone.set()


class Clock:
    """The engine's time: wall time at the start, then seconds that never go back or leap."""

    __slots__ = ("_offset",)

    def __init__(self) -> None:
        self._offset = time() - monotonic()

    def now(self) -> float:
        """Seconds since 1970, by a monotonic clock."""
        return monotonic() + self._offset


class ClientHandler:
    """Between one stream and the engine's connection."""

    __slots__ = ("_broker", "_is_reading_paused", "_journal", "_now", "connection", "stream")

    def __init__(self, broker: Broker, stream: Stream, clock: Clock) -> None:
        self._broker = broker
        self._journal = broker.engine.journal
        self._now = clock.now
        self.stream = stream
        self.connection = Connection(broker.engine, self, Visit(stream.address), clock.now())
        self._is_reading_paused = False

    def received(self, data: bytes) -> None:
        """Bytes came from the client."""
        connection = self.connection
        journal = self._journal
        before = journal.appended
        connection.receive(data, self._now())
        if connection.is_waiting:  # for its login: what it sends meanwhile stays in the kernel
            self.stream.pause_reading()
            self._is_reading_paused = True
        elif journal.appended > before and journal.is_behind:
            self.stream.pause_reading()
            self._broker.hold_up(self)
        self._broker.flush_soon()

    def go_on(self) -> None:
        """The journal has come forward: the client may bring more."""
        if not self._is_reading_paused:
            self.stream.resume_reading()

    def writable(self) -> None:
        """The client reads again: what gathered meanwhile can leave."""
        self.flush()

    def flush(self) -> None:
        """Write what waits for the client, if it keeps up with reading."""
        outbox = self.connection.outbox
        if self._is_reading_paused and not self.connection.is_waiting:
            self._is_reading_paused = False
            self.stream.resume_reading()
        if self.stream.is_writable and outbox.has_leaving:
            before = self._journal.appended
            self.stream.write(self.connection.take(self._now()))
            if outbox.frames or self._journal.appended != before:  # more followed from the session
                self._broker.flush_soon()
        if outbox.is_closing and not outbox.is_holding:
            self.stream.close()

    def lost(self, reason: str) -> None:
        """The client is gone."""
        self.connection.closed(self._now(), reason)
        self._broker.flush_soon()
        self._broker.gone(self)
