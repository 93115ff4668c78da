"""The broker: listeners, the loop's turn, timers, start and stop (step six: Leave).

Knows sockets and time. What a packet means is the engine's business.
"""

import asyncio
import logging
import uuid
from contextlib import suppress
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from telex import version
from telex.codes import MQTT_5, ReasonCode
from telex.engine.connection import Connection
from telex.engine.engine import Engine
from telex.engine.message import Message
from telex.engine.options import Options
from telex.engine.records import Queued
from telex.engine.restore import Restoration
from telex.engine.seams import Gate, Journal
from telex.engine.visit import Visit
from telex.server.access.gate import AccessGate
from telex.server.bans import Ban
from telex.server.bridges.bridges import Bridges
from telex.server.bridges.plan import plans_of
from telex.server.clock import Clock
from telex.server.config import Access, Config, Listener, limits_of
from telex.server.control import BrokerControl
from telex.server.events import Events, LogTail
from telex.server.guard import Counts, Guard
from telex.server.handler import ClientHandler, EndHandler
from telex.server.log import LogObserver, code_of
from telex.server.rates import Rates, RatesOfMany, Totals, counters_of
from telex.server.reception import Entrance, Opened, Reception, load
from telex.server.stores.sqlite import SqliteJournal
from telex.server.sys_topics import SysTopics
from telex.server.turns import Turns
from telex.server.web.resources import memory, most_memory
from telex.streams.stream import Stream
from telex.wire.packets import Connect

if TYPE_CHECKING:
    from telex.server.web.http_port import HttpPort

logger = logging.getLogger("telex")

_RENEW_SECONDS: Final = 10  # between two looks at certificate files
_FIXED: Final = ("data", "durability", "control", "user", "pid_file")  # what no reload changes
_DUE_IN_A_TURN: Final = 50  # clients whose time is over, which takes a millisecond or two
_MUCH: Final = 131_072  # bytes that may come before what is to leave for them leaves
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
        config: a whole description of a broker, in place of all these but ``gate`` and ``journal``.
        opens_web: open the HTTP port also if the description does not ask for it; where that cannot be done,
            ``web_missing`` says why.

    Raises:
        ValueError: there is no such durability.
        OSError: from ``start``, if an address cannot be listened on.
        StoreError: from ``start``, if the directory cannot be used.
        ConfigError: from ``start`` and ``reload``, if the description cannot be used.
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
        config: Config | None = None,
        opens_web: bool = False,
    ) -> None:
        self.clock = Clock()
        if gate is None and config is None:
            gate = Gate()
        if config is None:
            listener = Listener(host=host, port=port, access=Access(allow_anonymous=True))
            config = Config(listeners=[listener], sys_interval=sys_interval, data="" if data is None else str(data))
        self.config = config
        self._given_options = options
        self._options = options or limits_of(config)
        self._guard = Guard(config.protection)
        self.has_own_gate = gate is not None
        self._gate: Gate = AccessGate(self.clock.now, self._guard) if gate is None else gate
        if config.data and journal is not None:
            raise ValueError("data and journal are two places for the same: give one of them")
        self.data = Path(config.data) if config.data else None
        self._durability = durability if data is not None else config.durability
        self._store: SqliteJournal | None = None
        if self.data is not None:
            self._store = SqliteJournal(self.data, durability=self._durability)
        self.events = Events()
        self.log_tail = LogTail()
        self._tail_is_on = False
        self.rates = Rates()
        self.client_rates = RatesOfMany()
        self.turns = Turns()
        self._opens_web = opens_web
        self.started_at = self.clock.now()
        self._witness = Witness(self._gate, self.clock, self.events, self._guard.counts)
        self._guard.on_ban = self._banned
        self._control = BrokerControl(self) if config.control else None
        self._begin(self._store or journal or Journal())
        self._reception = Reception(
            self.opened,
            self._gate if isinstance(self._gate, AccessGate) else None,
            self._guard,
            now=self.clock.now,
            values=lambda: self._sys_topics.values,
            data=self.data,
            http_port=self._make_http_port,
        )
        self._changing = asyncio.Lock()  # start, reload and stop take turns
        self._is_running = False
        self._tick_timer: asyncio.TimerHandle | None = None
        self._handlers: set[ClientHandler] = set()
        self._all_gone = asyncio.Event()
        self._is_stopping = False
        self._flush_is_due = False
        self._taken = 0  # bytes since the last flush
        self._awaiting: list[asyncio.Future[None]] = []  # who asked whether something is stored
        self._held_up: list[EndHandler] = []  # whose peers wait for the journal before they may bring more
        self.bridges = Bridges(self, self.data)

    def _begin(self, journal: Journal) -> None:
        """With an engine that knows nothing yet."""
        self.engine = Engine(
            self._options,
            lambda: str(uuid.uuid4()),
            journal=journal,
            gate=self._gate,
            observer=self._witness,
            control=self._control,
            on_ready=self.flush_soon,
        )
        if isinstance(self._gate, AccessGate):
            self._gate.begin(self.engine)
        words = f"telex version {version.__version__}"
        self._sys_topics = SysTopics(self.engine, words, self.clock.now(), self._told_besides)

    def _told_besides(self) -> dict[str, int]:
        """What ``$SYS`` tells that the engine does not know."""
        told = {
            "connections/refused/count": self._guard.counts.refused,
            "heap/current": memory(),
            "heap/maximum": most_memory(),
        }
        return {name: value for name, value in told.items() if value is not None}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; clients can come when this returns."""
        self._loop = asyncio.get_running_loop()
        self._changing = asyncio.Lock()  # one belongs to one loop
        async with self._changing:
            await self._start()

    async def _start(self) -> None:
        self._is_stopping = False
        plans = plans_of(self.config, self._options)
        store = self._store
        if store is not None:
            self._restore(store)
        try:
            self.bridges.gather(plans)
            await self._reception.change(self.config, self._given_options, opens_web=self._opens_web)
        except BaseException:
            for handler in list(self._handlers):  # they came by those doors that were open already
                handler.stream.abort()
            self._close_store()
            raise
        self._is_running = True
        self.bridges.dial()
        now = self.clock.now()
        self.started_at = now
        self._tail_log()
        self._tell_from(now)
        if self.config.sys_interval:
            self._sys_topics.publish(now)
        self._schedule_tick()

    def _tell_from(self, now: float) -> None:
        """Publish ``$SYS`` at the next multiple of its interval."""
        self._told_interval = int(now) // (self.config.sys_interval or 1)

    async def stop(self) -> None:
        """Tell every client that we go, and end; after some five seconds at the latest."""
        async with self._changing:
            await self._stop()

    async def _stop(self) -> None:
        if not self._is_running:
            return
        self._is_running = False
        if self._store is not None:
            with suppress(TimeoutError):  # who waits for an acknowledgement gets it
                await asyncio.wait_for(self._store.settled(), _STOP_SECONDS)
        self._is_stopping = True
        if isinstance(self._gate, AccessGate):
            await self._gate.close()
        await self._reception.close()
        if self._tick_timer is not None:
            self._tick_timer.cancel()
        now = self.clock.now()
        for handler in list(self._handlers):
            handler.connection.disconnect(ReasonCode.SERVER_SHUTTING_DOWN, "the broker stops", now)
        self.bridges.leave()
        self.flush()
        leaving = asyncio.create_task(self.bridges.end(_STOP_SECONDS))
        if self._handlers:
            self._all_gone.clear()
            try:
                await asyncio.wait_for(self._all_gone.wait(), _STOP_SECONDS)
            except TimeoutError:
                for handler in list(self._handlers):
                    handler.stream.abort()
                await self._all_gone.wait()
        await leaving
        self._tail_log()
        self._close_store()

    async def check(self) -> None:
        """See whether a start would find all that the description names.

        Raises:
            ConfigError: something cannot be used.
        """
        plans_of(self.config, self._options)
        await self._reception.check(self.config)

    async def reload(self, config: Config) -> list[str]:
        """Go on as another description says: all of it, or if anything is wrong with it, as before.

        Clients stay, if they may do all that they do now. What cannot change while the
        broker runs is left as it was, and comes back by its name.

        Raises:
            ConfigError: the description cannot be used.
            OSError: an address cannot be listened on; ``strerror`` says where.
            ValueError: the broker does not run.
        """
        async with self._changing:
            if not self._is_running:
                raise ValueError("the broker does not run, so that it cannot reload anything")
            options = limits_of(config)
            plans = plans_of(config, options)
            try:
                await self._reception.change(config, opens_web=self._opens_web)
            finally:
                self._send_away_strays()
            left = self._go_on_with(config, options)
            self.bridges.change(plans)
            return left

    def _go_on_with(self, config: Config, options: Options) -> list[str]:
        """What the reception has done already, for all else."""
        left = [name for name in _FIXED if getattr(config, name) != getattr(self.config, name)]
        self.config = config
        self._tail_log()
        self._options = options
        self._given_options = None
        self.engine.change_options(options)
        now = self.clock.now()
        self._tell_from(now)
        for handler in self._handlers:
            if handler.connection.visit.listener:
                handler.meter = self._guard.meter(handler.stream.host)
        if isinstance(self._gate, AccessGate):
            self._gate.reconsider(now)
        self.flush_soon()
        return left

    def _send_away_strays(self) -> None:
        """Those who came by a listener that is not there any more."""
        now = self.clock.now()
        for handler in list(self._handlers):
            listener = handler.connection.visit.listener
            if listener and listener not in self._reception.entrances:
                text = "its listener was removed"
                handler.connection.disconnect(ReasonCode.ADMINISTRATIVE_ACTION, text, now)
        self.flush_soon()

    @property
    def addresses(self) -> list[str]:
        """Where clients reach the broker: ``mqtt://127.0.0.1:1883``, ``wss://...``; none, if it does not run."""
        return self._reception.addresses

    def addresses_of(self, listener: Listener) -> list[str]:
        """The same of one of the ``listeners``."""
        return self._reception.addresses_of(listener)

    @property
    def listeners(self) -> list[Listener]:
        """The listeners that are open."""
        return [entrance.listener for entrance in self._reception.listening]

    def port_of(self, listener: Listener) -> int:
        """The TCP port that one of the ``listeners`` has, also if it asked for a free one."""
        return self._reception.port_of(listener)

    @property
    def web_address(self) -> str:
        """Where the page is: ``http://127.0.0.1:8080/``; empty: there is no HTTP port."""
        entrance = self._reception.http_port
        if entrance is None:
            return ""
        scheme, _, place = entrance.door.addresses[0].partition("://")
        return f"{'https' if scheme == 'wss' else 'http'}://{place}/"

    @property
    def web_missing(self) -> str:
        """Why there is no HTTP port, although there was to be one; empty: it is there, or nobody wanted it."""
        return self._reception.missing

    @property
    def plugins(self) -> list[str]:
        """The ways of logging in that are asked, and what decides what clients may do."""
        return self._reception.plugins

    @property
    def host(self) -> str:
        """The address of the first listener."""
        return self.config.listeners[0].host

    @property
    def port(self) -> int:
        """The TCP port of the first listener: while it is open, the one in use."""
        entrances = self._reception.listening
        return entrances[0].door.port if entrances else self.config.listeners[0].port

    def tell(self, topic: str, payload: bytes) -> None:
        """Publish something of the broker's own, at QoS 0."""
        self.engine.publish(Message(topic, payload, 0, retain=False), None, self.clock.now())
        self.flush_soon()

    # What the HTTP port asks

    async def _make_http_port(self, entrance: Entrance, opened: Opened) -> "HttpPort":
        await load("telex.server.web.http_port")
        from telex.server.web.http_port import HttpPort

        return HttpPort(self, entrance.name, entrance.listener, opened)

    def _tail_log(self) -> None:
        """Keep the last lines of the log while somebody may look at them."""
        is_wanted = self._reception.http_port is not None
        if is_wanted and not self._tail_is_on:
            logger.addHandler(self.log_tail)
        elif not is_wanted:
            logger.removeHandler(self.log_tail)
        self._tail_is_on = is_wanted

    def now(self) -> float:
        """The broker's time, in seconds since 1970."""
        return self.clock.now()

    @property
    def guard(self) -> Guard:
        """Who is banned, and how many connections there are."""
        return self._guard

    @property
    def is_ready(self) -> bool:
        """Whether clients can come in, and what they send can be stored."""
        return self._is_running and not self._is_stopping and not self.engine.journal.is_failing

    @property
    def reception(self) -> Reception:
        """The listeners, and who decides there who comes in."""
        return self._reception

    @property
    def listener_totals(self) -> dict[str, Totals]:
        """What connections that are over brought and got, by listener."""
        return self._witness.totals

    @property
    def visits(self) -> list[Visit]:
        """Those of the clients that are connected: what these bring and get is in none of the totals."""
        return list(self._witness.present)

    async def stored(self) -> bool:
        """Wait until all that was recorded so far is as safe as an acknowledgement promises: whether it is."""
        journal = self.engine.journal
        position = journal.appended
        if journal.committed < position:
            self.flush_soon()
            if self._store is not None:
                await self._store.settled()
            while journal.committed < position and not journal.is_failing:
                committed = self._loop.create_future()
                self._awaiting.append(committed)
                await committed
        return journal.committed >= position

    def tls_of(self, connection: Connection) -> str:
        """The version of TLS that a connection has; empty: none."""
        handler = connection.outbox.stream
        return handler.stream.via_tls if isinstance(handler, EndHandler) else ""

    def _banned(self, ban: Ban) -> None:
        self.events.add(
            "banned",
            self.clock.now(),
            client_id=ban.client_id,
            user=ban.user,
            address=ban.address,
            why=ban.why,
        )

    # A turn of the loop

    def flush_soon(self) -> None:
        """Do at the end of this turn of the loop what is done once a turn: one commit, one write for each client."""
        if not self._flush_is_due:
            self._flush_is_due = True
            if self.turns.is_measuring:
                self.turns.begin(monotonic())
            self._loop.call_soon(self.flush)

    def taken(self, size: int) -> None:
        """So many bytes came: do at the end of this turn what is done once a turn, or now if it was much.

        uvloop reads up to 32 times before anybody else has a turn, 8 MB in all: what leaves would wait for the last of
        them, and two brokers with a bridge between them would work by turns.
        """
        self._taken += size
        if not self._flush_is_due:  # asked here too: most of what comes is not the first of its turn
            self.flush_soon()
        if self._taken >= _MUCH:
            self.flush()

    def flush(self) -> None:
        """Commit what the turn brought, and write what may leave from the outboxes, each in one piece."""
        self._flush_is_due = False
        self._taken = 0
        self.engine.journal.commit()
        for outbox in self.engine.take_ready():
            handler = outbox.stream
            if not isinstance(handler, EndHandler):  # it was lost meanwhile
                continue
            try:
                handler.flush()
            except Exception:
                logger.exception("a fault of ours ended the connection of %s", handler.stream.address)
                handler.stream.abort()  # one connection's fault costs no other its bytes
        if self.turns.is_measuring:
            stats = self.engine.stats
            self.turns.end(monotonic(), stats.publish_received, stats.publish_bytes_received)

    # The journal

    def _restore(self, store: SqliteJournal) -> None:
        """Begin where the last process ended."""
        store.open()
        try:
            restoration = Restoration(self.engine)
            for record in store.load():
                restoration.apply(record)
            restoration.finish(self.clock.now())
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
        awaiting, self._awaiting = self._awaiting, []
        for each in awaiting:
            if not each.done():  # otherwise whoever waited has hung up
                each.set_result(None)
        held_up = self._held_up
        self._held_up = []
        for handler in held_up:
            handler.go_on()
        self.flush_soon()

    def _on_fetched(self, client_id: str, session: int, found: list[Queued]) -> None:
        self.engine.fetched(client_id, session, found, self.clock.now())

    def _on_failing(self, reason: str) -> None:
        logger.error(
            "CANNOT STORE: %s: %s; QoS 1 and 2 are not acknowledged until it works again", self._store_path, reason
        )
        self._sys_topics.publish_state(self.clock.now())
        now = self.clock.now()
        for outbox in self.engine.holding[:]:
            handler = outbox.stream
            if not isinstance(handler, EndHandler):  # it was lost meanwhile
                continue
            if outbox.is_closing:  # its client is to go, and nobody knows when it could be told anything
                outbox.forget_held()
                self.engine.ready.append(outbox)
            elif handler.connection.version == MQTT_5 and outbox.is_holding_answers:
                # What it sends from now on is refused, and a refusal may not overtake these answers [MQTT-4.6.0-2]: it
                # shall come again, and send what was not answered.
                handler.connection.disconnect(ReasonCode.QUOTA_EXCEEDED, "the broker cannot store now", now)

    def _on_recovered(self) -> None:
        logger.warning("stores again: %s", self._store_path)
        now = self.clock.now()
        self._sys_topics.publish_state(now)
        self.engine.recovered(now)

    @property
    def _store_path(self) -> Path:
        assert self._store is not None  # it called us
        return self._store.path

    def hold_up(self, handler: EndHandler) -> None:
        """Take no more from a connection until the journal has come forward."""
        self._held_up.append(handler)

    def _schedule_tick(self) -> None:
        now = self.clock.now()
        self._next_second = int(now) + 1
        self._tick_timer = self._loop.call_later(self._next_second - now, self._tick)

    def _tick(self) -> None:
        """Once a second, on the second."""
        now = max(self.clock.now(), float(self._next_second))  # a timer may come a little early
        self._schedule_tick()  # first: whatever fails below, time goes on
        self._look(now)
        self._guard.tick(now)
        self.bridges.tick(now)
        self._witness.tick()
        self.turns.tick(now)
        if self._reception.http_port is not None:
            self.rates.look(now, counters_of(self.engine.stats))
        interval = self.config.sys_interval
        if interval and int(now) // interval > self._told_interval:
            self._told_interval = int(now) // interval  # told at multiples of the interval
            self._sys_topics.publish(now)
        if int(now) % _RENEW_SECONDS == 0:
            self._reception.renew()
        self.flush_soon()

    def _look(self, now: float) -> None:
        """Look at whom it is time for, a few in a turn of the loop: nobody else shall wait for thousands of them."""
        if not self.engine.tick(now, _DUE_IN_A_TURN):
            self._loop.call_soon(self._look, now)
        self.flush_soon()

    # Connections

    @property
    def connection_count(self) -> int:
        """How many connections there are, with a CONNECT or without."""
        return len(self._handlers)

    @property
    def arrival_count(self) -> int:
        """How many connections came by our listeners and are there, also those that are on their way to a stream."""
        return self._guard.open_count

    def opened(self, stream: Stream, entrance: Entrance | None = None, known: object = None) -> ClientHandler:
        """A stream is there, by an entrance or by none of ours: the handler that it is to call.

        ``known`` is what the gate shall know of it before its CONNECT comes.
        """
        handler = ClientHandler(self, stream, entrance)
        handler.connection.visit.login = known
        if entrance is not None:
            handler.meter = self._guard.meter(stream.host)
            self._witness.opened(handler.connection.visit, entrance.door.port)
        self._handlers.add(handler)
        if self._is_stopping:  # it came in the same turn of the loop
            stream.abort()
        return handler

    def gone(self, handler: ClientHandler) -> None:
        """A connection of a client has left nothing behind."""
        if isinstance(self._gate, AccessGate):
            self._gate.lost(handler.connection.visit)
        self._handlers.discard(handler)
        if not self._handlers:
            self._all_gone.set()


class Witness(LogObserver):
    """Writes down what happens, and lets the gate know who has left."""

    def __init__(self, gate: Gate, clock: Clock, events: Events, counts: Counts) -> None:
        super().__init__(clock.now)
        self._gate = gate
        self._now = clock.now
        self._events = events
        self._counts = counts
        self.totals: dict[str, Totals] = {}  # by listener
        self.present: set[Visit] = set()  # of clients that are connected

    def connected(self, visit: Visit, packet: Connect) -> None:
        """A client was admitted."""
        super().connected(visit, packet)
        self._totals_of(visit).connections += 1
        self.present.add(visit)
        self._add("connected", visit, "")

    def refused(self, visit: Visit, reason: str) -> None:
        """A client was not."""
        super().refused(visit, reason)
        self._counts.refused_logins += 1
        self._add("refused", visit, reason)

    def denied(self, visit: Visit, action: str, topic: str, rule: str) -> None:
        """A client may not do what it wanted to."""
        super().denied(visit, action, topic, rule)
        self._add("denied", visit, f"{action} {topic}", rule)

    def disconnected(self, visit: Visit, reason: str, now: float) -> None:
        """A connection is over."""
        super().disconnected(visit, reason, now)
        self.present.discard(visit)
        totals = self._totals_of(visit)
        totals.messages_received += visit.publish_received
        totals.messages_sent += visit.publish_sent
        totals.bytes_received += visit.bytes_received
        totals.bytes_sent += visit.bytes_sent
        self._add("takeover" if code_of(reason) == ReasonCode.SESSION_TAKEN_OVER else "disconnected", visit, reason)
        if isinstance(self._gate, AccessGate):
            self._gate.gone(visit)

    def _totals_of(self, visit: Visit) -> Totals:
        totals = self.totals.get(visit.listener)
        if totals is None:
            totals = self.totals[visit.listener] = Totals()
        return totals

    def _add(self, kind: str, visit: Visit, why: str, rule: str = "") -> None:
        self._events.add(
            kind,
            self._now(),
            client_id=visit.client_id,
            user=visit.user,
            address=visit.address,
            why=why,
            rule=rule,
        )
