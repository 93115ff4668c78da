"""Clients that come and go, that subscribe again and again, or that are only there.

Knows CONNECT, SUBSCRIBE, UNSUBSCRIBE, PINGREQ and DISCONNECT, and what is answered to them. Knows no messages. There
may be ten thousand clients in a process, and thousands of connections a second, so each is one object without a task of
its own.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, Protocol

from telex.bench.alarm import Alarm
from telex.bench.counts import Counts
from telex.bench.link import Link
from telex.bench.plain import HAS_EPOLL, Sockets, words
from telex.bench.plan import Plan
from telex.bench.processes import Share
from telex.client.connection import farewell, refusal
from telex.client.dialing import Dialer
from telex.codes import MQTT_5, reason_text
from telex.errors import MqttError, ProtocolError
from telex.streams.stream import ClientStream
from telex.wire.decode import Decoder
from telex.wire.encode import PINGREQ_BYTES, PINGRESP_BYTES, encode
from telex.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    UnsubAck,
    Unsubscribe,
)

_AT_ONCE: Final = 100
"""How many may be on their way in at a time: brokers let a hundred wait for ``accept``."""

_MOST_FILTERS: Final = 100  # in one SUBSCRIBE, which is then some kilobytes
_MOST_KNOWN: Final = 1_000  # different answers whose bytes are remembered
_PACKET_ID: Final = 1  # of each request: there is one at a time
_LOOK_SECONDS: Final = 0.25  # between two looks at who takes too long, and two turns of the wheel
_GOODBYE_SECONDS: Final = 1.0
"""How long a broker may take to close a connection after DISCONNECT, before we do."""

_REST_SECONDS: Final = 0.1
"""How long a place stays empty when its client was refused: a broker that is gone would be asked a million times."""

_PING_PART: Final = 0.75  # of the keep alive; a broker waits for one and a half of it [MQTT-3.1.2-22]


# The way in


class Way(Protocol):
    """What a client needs of its stream."""

    def write(self, data: bytes) -> None:
        """Send bytes; they wait here if the peer is slow."""

    def abort(self) -> None:
        """End it now."""


class Answer(NamedTuple):
    """What a packet from the broker says."""

    kind: type[Packet]
    why_not: str = ""
    """Why not, if it is a no."""

    keep_alive: int | None = None
    """What a CONNACK says of it."""


class Answers:
    """Reads what a broker answers. What came before, byte for byte, is not read again."""

    def __init__(self, version: int) -> None:
        self._version = version
        self.known: dict[bytes, Answer] = {}

    def decoder(self) -> Decoder:
        """For an answer that is not known."""
        return Decoder(version=self._version)

    def read(self, decoder: Decoder, data: bytes) -> list[Answer]:
        """Take in bytes; the answers that are whole now.

        Raises:
            ProtocolError: they are not MQTT.
        """
        is_fresh = not decoder.is_inside_packet
        decoder.receive(data)
        found: list[Answer] = []
        while (packet := decoder.next_packet()) is not None:
            found.append(self._meaning(packet))
        if is_fresh and len(found) == 1 and not decoder.is_inside_packet and len(self.known) < _MOST_KNOWN:
            self.known[data] = found[0]
        return found

    def _meaning(self, packet: Packet) -> Answer:
        if isinstance(packet, ConnAck):
            if packet.reason_code != 0:
                return Answer(ConnAck, refusal(packet, self._version))
            return Answer(ConnAck, "", packet.properties.server_keep_alive if packet.properties else None)
        if isinstance(packet, SubAck | UnsubAck):
            refused = [code for code in packet.reason_codes if code >= 0x80]
            return Answer(type(packet), self._why_not(refused[0]) if refused else "")
        if isinstance(packet, Disconnect):
            return Answer(Disconnect, farewell(packet))
        return Answer(type(packet))

    def _why_not(self, code: int) -> str:
        return reason_text(code) if self._version == MQTT_5 else f"return code 0x{code:02X}"


class Entrance:
    """The way to the broker, for all clients of a process.

    Where nothing but TCP lies between they have plain sockets, otherwise the streams that the dialer gives.
    """

    def __init__(self, dialer: Dialer, patience: float) -> None:
        self._dialer = dialer
        self._patience = patience
        self._sockets: Sockets | None = None
        self._dialling: dict[_Client, asyncio.Task[None]] = {}

    async def find(self, connect: Connect) -> None:
        """Go in once, and out again: whatever is wrong with the way is said in words.

        Raises:
            OSError: there is no connection.
            MqttError: the broker does not let us in, or it is none.
        """
        link = await Link.open(self._dialer, connect, timeout=self._patience)
        host = link.host
        link.leave()
        if self._dialer.is_plain and HAS_EPOLL:
            self._sockets = Sockets(host, self._dialer.address.port)

    def let_in(self, client: "_Client", first: bytes) -> None:
        """Begin to connect a client, whose CONNECT it is. It is told when there is a stream, or none."""
        loop = asyncio.get_running_loop()
        if self._sockets is None:
            self._dialling[client] = loop.create_task(self._dial(client, first))
            return
        try:
            client.opened(self._sockets.open(client, first))
        except OSError as error:
            loop.call_soon(client.lost, f"no connection: {words(error)}")

    def give_up(self, client: "_Client") -> None:
        """A client wants no connection any more, and has none yet."""
        task = self._dialling.get(client)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """Nobody comes in any more; who is in, is put out."""
        tasks = list(self._dialling.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._sockets is not None:
            self._sockets.close()
            self._sockets = None

    async def _dial(self, client: "_Client", first: bytes) -> None:
        def opened(stream: ClientStream) -> "_Client":
            client.opened(stream)
            stream.write(first)
            return client

        try:
            await self._dialer.open(opened)
        except (OSError, MqttError) as error:
            client.lost(str(error))
        except asyncio.CancelledError:
            client.lost(f"no connection within {self._patience:g} s")
            raise
        finally:
            del self._dialling[client]


class Complaints:
    """What went wrong, how often: many clients fail for the same reason."""

    def __init__(self) -> None:
        self._reasons: Counter[tuple[str, str]] = Counter()

    def note(self, what: str, reason: str, times: int = 1) -> None:
        """It went wrong for one more client, or for some."""
        self._reasons[what, reason] += times

    def sentences(self) -> list[str]:
        """What to say of it, the most frequent first."""
        return [
            f"{what}{f', {times:,} times' if times > 1 else ''}: {reason}"
            for (what, reason), times in self._reasons.most_common()
        ]


class _Owner(Protocol):
    """Whose clients these are."""

    answers: Answers


class _Client:
    """One client, as the ``streams.stream.Handler`` of its stream; it may have one after the other."""

    __slots__ = ("_decoder", "_fault", "_is_connected", "_is_leaving", "_is_open", "_stream", "_time", "owner")

    def __init__(self, owner: _Owner) -> None:
        self.owner = owner
        self._stream: Way | None = None
        self._decoder: Decoder | None = None  # of a packet that has not come whole yet
        self._fault = ""  # why we ended it
        self._time = 0  # since when somebody must wait for it, in nanoseconds
        self._is_open = False  # it has a connection, or is about to
        self._is_connected = False  # it has its CONNACK
        self._is_leaving = False

    def let_in(self, entrance: Entrance, connect: bytes, now: int) -> None:
        """Connect."""
        self._stream = None
        self._decoder = None
        self._fault = ""
        self._time = now
        self._is_open = True
        self._is_connected = False
        self._is_leaving = False
        entrance.let_in(self, connect)

    def leave(self, now: int) -> None:
        """Say goodbye, and wait for the broker to close the connection: so it has read that, and has the work of it.

        Whoever closes first has to remember the ports for a while, of which there are some 28,000.
        """
        assert self._stream is not None  # nobody leaves who is not in
        self._is_leaving = True
        self._time = now
        self._stream.write(DISCONNECT)

    def end(self, fault: str, entrance: Entrance) -> None:
        """End it, whatever it is at."""
        if not self._is_open:
            return
        self._fault = self._fault or fault
        if self._stream is None:
            entrance.give_up(self)
        else:
            self._stream.abort()

    @property
    def is_open(self) -> bool:
        """Whether it has a connection, or is about to."""
        return self._is_open

    def has_waited(self, now: int, seconds: float) -> bool:
        """Whether it is late: with its goodbye, or with an answer for so many seconds."""
        limit = _GOODBYE_SECONDS if self._is_leaving else seconds
        return self._is_open and self._time != 0 and now - self._time > limit * 1e9

    # What the stream calls

    def opened(self, stream: Way) -> None:
        """There is a connection."""
        self._stream = stream

    def received(self, data: bytes) -> None:
        """Bytes came."""
        answer = self.owner.answers.known.get(data) if self._decoder is None else None
        if answer is not None:
            self._told(answer)
        else:
            self._decode(data)

    def writable(self) -> None:
        """The broker reads again; we have said little."""

    def lost(self, reason: str) -> None:
        """The connection is over."""
        if not self._is_open:
            return
        self._is_open = False
        self._decoder = None
        self._stream = None
        self._over("" if self._is_leaving else self._fault or reason)

    # What each kind of client does

    def _answered(self, answer: Answer) -> None:
        """The broker says something, and it is no refusal."""

    def _over(self, fault: str) -> None:
        """The connection is over; empty: as it should be."""

    # What happens within

    def _decode(self, data: bytes) -> None:
        answers = self.owner.answers
        decoder = self._decoder or answers.decoder()
        try:
            found = answers.read(decoder, data)
        except ProtocolError as error:
            self._fail(f"the broker breaks a rule: {error}")
            return
        self._decoder = decoder if decoder.is_inside_packet else None
        for answer in found:
            self._told(answer)

    def _told(self, answer: Answer) -> None:
        if self._is_leaving or self._fault:
            return
        if answer.why_not:
            self._fail(answer.why_not)
            return
        if answer.kind is ConnAck:
            self._is_connected = True
        self._answered(answer)

    def _fail(self, fault: str) -> None:
        self._fault = fault
        assert self._stream is not None  # what failed came by it
        self._stream.abort()


DISCONNECT: Final = encode(Disconnect(), 4)
"""The same in all versions, if it says nothing of why."""


def connect_of(plan: Plan, share: Share, role: str, number: int | str) -> Connect:
    """The CONNECT of one of these clients. Another run's have other names."""
    return Connect(
        f"{plan.prefix[:8]}-{share.token:03x}-{role}{number}",
        version=plan.version,
        keep_alive=plan.keep_alive,
        user_name=plan.user,
        password=plan.password,
    )


class _Looking:
    """Looks, several times a second, at who takes too long."""

    def __init__(self, seconds: float, entrance: Entrance) -> None:
        self._seconds = seconds
        self._entrance = entrance
        self._timer: asyncio.TimerHandle | None = None
        self.clients: Sequence[_Client] | set[_Client] = ()

    def start(self, clients: "Sequence[_Client] | set[_Client]") -> None:
        """Look at these."""
        self.clients = clients
        self._later()

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        now = time.monotonic_ns()
        for client in [each for each in self.clients if each.has_waited(now, self._seconds)]:
            client.end(f"no answer within {self._seconds:g} s", self._entrance)
        self._later()


# Work that is done again and again


class _Worker(Protocol):
    """Who does one piece of work after the other."""

    def begin(self, since: int) -> None:
        """Begin the next one, which was due then."""


class _Work:
    """Pieces of work, at a fixed rate or one behind the other, and who is free to do the next.

    Args:
        rate: pieces a second; 0: as many as there is room for.
        room: how many may be at it at a time.
    """

    def __init__(self, rate: float, room: int) -> None:
        self._between = 1e9 / rate if rate else 0.0
        self._room = room
        self._free: deque[_Worker] = deque()
        self._alarm: Alarm | None = None
        self._start = 0
        self._begun = 0  # pieces of work
        self._is_over = True

    def start(self, workers: Sequence[_Worker]) -> None:
        """Begin."""
        self._is_over = False
        self._start = time.monotonic_ns()
        self._free = deque(workers)
        if self._between:
            self._alarm = Alarm(self._go_on)
        self._go_on()

    def finished(self) -> None:
        """A piece of work is finished; who has done it has still to clear up."""
        self._room += 1
        self._go_on()

    def is_free(self, worker: _Worker) -> None:
        """It can do another piece."""
        self._free.append(worker)
        self._go_on()

    def stop(self) -> None:
        """Nothing more is begun."""
        self._is_over = True
        if self._alarm is not None:
            self._alarm.close()
            self._alarm = None

    def _go_on(self) -> None:
        """Begin what is due, as far as there is room and somebody free. Its time counts from when it was due."""
        if self._is_over:
            return
        now = time.monotonic_ns()
        while self._room and self._free:
            due = now
            if self._alarm is not None:
                due = self._start + int(self._begun * self._between)
                if due > now:
                    self._alarm.set(due)
                    return
            self._begun += 1
            self._room -= 1
            self._free.popleft().begin(due)


class _Visitor(_Client):
    """One who comes and goes."""

    __slots__ = ("_coming", "_connect", "_since")

    def __init__(self, coming: "Coming", connect: bytes) -> None:
        super().__init__(coming)
        self._coming = coming
        self._connect = connect
        self._since = 0  # when it was to begin

    def begin(self, since: int) -> None:
        """Come, and go again."""
        self._since = since
        self.let_in(self._coming.entrance, self._connect, time.monotonic_ns())

    def _answered(self, answer: Answer) -> None:
        if answer.kind is ConnAck:
            now = time.monotonic_ns()
            counts = self._coming.counts
            counts.connected += 1
            counts.latency.record((now - self._since) / 1e3)
            self.leave(now)
            self._coming.came()

    def _over(self, fault: str) -> None:
        self._coming.left(self, fault)


class Coming:
    """``connect``: clients that connect and leave; as many come at a time as the share has publishers.

    What is counted is CONNACKs, and microseconds from the beginning of the connection, or from when it was due.

    Args:
        plan: what is asked.
        share: what of it is this process's own.
        counts: where it is counted.
    """

    def __init__(self, plan: Plan, share: Share, counts: Counts) -> None:
        self.answers = Answers(plan.version)
        self.entrance = Entrance(plan.dialer, plan.patience)
        self.counts = counts
        self._plan = plan
        self._share = share
        self._complaints = Complaints()
        # While some come, as many others may not be gone yet.
        self._visitors = [
            _Visitor(self, encode(connect_of(plan, share, role, number), plan.version))
            for role in ("c", "d")
            for number in share.publishers
        ]
        self._work = _work_of(plan, share)
        self._looking = _Looking(plan.patience, self.entrance)
        self._changed = asyncio.Event()  # somebody is gone

    @property
    def connected(self) -> int:
        """How many stay: nobody."""
        return 0

    @property
    def complaints(self) -> list[str]:
        """What went wrong, each a sentence."""
        return self._complaints.sentences()

    async def come(self) -> None:
        """See whether one can come in at all.

        Raises:
            OSError: there is no connection.
            MqttError: the broker does not let us in, or it is none.
        """
        await self.entrance.find(connect_of(self._plan, self._share, "f", self._share.number))

    def start(self) -> None:
        """Begin."""
        self._work.start(self._visitors)
        self._looking.start(self._visitors)

    async def stop(self) -> None:
        """Nobody comes any more; wait for those who do and for those who go, as long as for any answer.

        May be called more than once.
        """
        self._work.stop()
        while any(visitor.is_open for visitor in self._visitors):
            self._changed.clear()
            await self._changed.wait()
        self._looking.stop()
        await self.entrance.close()

    def came(self) -> None:
        """A connection was accepted, and its client goes."""
        self._work.finished()

    def left(self, visitor: _Visitor, fault: str) -> None:
        """A connection is over; empty: as it should be."""
        self._changed.set()
        if not fault:
            self._work.is_free(visitor)
        else:
            self.counts.refused += 1
            self._complaints.note("a connection was not accepted", fault)
            asyncio.get_running_loop().call_later(_REST_SECONDS, self._rested, visitor)

    def _rested(self, visitor: _Visitor) -> None:
        self._work.is_free(visitor)
        self._work.finished()


# Who stays


class _Resident(_Client):
    """One who stays, and has subscriptions."""

    __slots__ = ("_house", "_is_asked", "_left", "number")

    def __init__(self, house: "_House", number: int) -> None:
        super().__init__(house)
        self._house = house
        self._is_asked = False  # it has sent PINGREQ, and nothing came since
        self._left = house.packets_of(number)  # that it has to send before it is settled
        self.number = number

    @property
    def is_settled(self) -> bool:
        """Whether it is in, and has all its subscriptions."""
        return self._is_connected and self._left is None

    def received(self, data: bytes) -> None:
        """Bytes came."""
        self._is_asked = False
        if data != PINGRESP_BYTES:
            super().received(data)

    def ping(self) -> None:
        """Ask whether the broker is there."""
        if not self.is_settled or self._is_leaving or self._stream is None:
            return
        if self._is_asked:
            self._fail("the broker does not answer PINGREQ")
            return
        self._is_asked = True
        self._stream.write(PINGREQ_BYTES)

    def _answered(self, answer: Answer) -> None:
        if self._left is None:
            self._did(answer)
            return
        if answer.kind is ConnAck:
            self._house.heard(answer)
        elif answer.kind is not SubAck:
            return
        packet = next(self._left, None)
        if packet is None:
            self._left = None
            self._time = 0
            self._house.settled(self)
        else:
            assert self._stream is not None  # the answer came by it
            self._time = time.monotonic_ns()
            self._stream.write(packet)

    def _did(self, answer: Answer) -> None:
        """The broker says something, to one who is settled."""

    def _over(self, fault: str) -> None:
        self._house.gone(self, fault)


class _Wheel:
    """One timer for all: who is in a turn of it sends PINGREQ. All turns have as many."""

    def __init__(self, keep_alive: float) -> None:
        count = max(1, int(keep_alive * _PING_PART / _LOOK_SECONDS))
        self._turns: list[list[_Resident]] = [[] for _ in range(count)]
        self._turn = 0
        self._added = 0
        self._loop = asyncio.get_running_loop()
        self._next = self._loop.time() + _LOOK_SECONDS
        self._timer = self._loop.call_at(self._next, self._go_on)

    def add(self, resident: _Resident) -> None:
        """Keep it alive, from the turn on that has the fewest."""
        self._turns[self._added % len(self._turns)].append(resident)
        self._added += 1

    def stop(self) -> None:
        """Nobody is kept alive any more."""
        self._timer.cancel()

    def _go_on(self) -> None:
        self._turn = (self._turn + 1) % len(self._turns)
        for resident in self._turns[self._turn]:
            resident.ping()
        # A machine that slept has not to make up for it.
        self._next = max(self._next + _LOOK_SECONDS, self._loop.time())
        self._timer = self._loop.call_at(self._next, self._go_on)


class _House:
    """Clients that come in and stay until the end.

    Args:
        plan: what is asked.
        share: what of it is this process's own.
        numbers: of the clients.
    """

    role = ""
    """What their names begin with."""

    what = ""
    """What they are, in complaints."""

    def __init__(self, plan: Plan, share: Share, numbers: range) -> None:
        self.answers = Answers(plan.version)
        self.entrance = Entrance(plan.dialer, plan.patience)
        self.plan = plan
        self.share = share
        self._numbers = numbers
        self._complaints = Complaints()
        self._opening: set[_Client] = set()
        self._residents: set[_Resident] = set()  # who is settled
        self._wheel: _Wheel | None = None
        self._keep_alive = plan.keep_alive
        self._looking = _Looking(plan.patience, self.entrance)
        self._changed = asyncio.Event()  # somebody is in, or done with something, or gone
        self._failed_in_a_row = 0
        self._is_leaving = False

    @property
    def connected(self) -> int:
        """How many are there."""
        return len(self._residents)

    @property
    def complaints(self) -> list[str]:
        """What went wrong, each a sentence."""
        return self._complaints.sentences()

    async def come(self) -> None:
        """Let all come in, some at a time. Who is not let in is complained of.

        Raises:
            OSError: there is no connection.
            MqttError: the broker does not let us in, or it is none.
        """
        if not self._numbers:
            return
        await self.entrance.find(connect_of(self.plan, self.share, "f", self.share.number))
        self._looking.start(self._opening)
        loop = asyncio.get_running_loop()
        rate = self.share.part(self.plan.connect_rate)
        start = loop.time()
        for index, number in enumerate(self._numbers):
            if rate:
                await asyncio.sleep(start + index / rate - loop.time())
            await self._below(_AT_ONCE)
            if self._failed_in_a_row >= _AT_ONCE:
                left = len(self._numbers) - index
                self._complaints.note(f"{self.what} was not let in", "the last hundred were not", left)
                break
            resident = self.new_resident(number)
            self._opening.add(resident)
            connect = encode(connect_of(self.plan, self.share, self.role, number), self.plan.version)
            resident.let_in(self.entrance, connect, time.monotonic_ns())
        await self._below(1)

    async def leave(self) -> None:
        """Let all leave."""
        self._is_leaving = True
        self._looking.stop()
        if self._wheel is not None:
            self._wheel.stop()
        for client in list(self._opening):
            client.end("it is not wanted any more", self.entrance)
        residents = list(self._residents)
        now = time.monotonic_ns()
        for index, resident in enumerate(residents):
            if resident.is_open:  # otherwise it was lost in one of these turns
                resident.leave(now)
            if index % _AT_ONCE == 0:
                await asyncio.sleep(0)
        self._looking.start(residents)
        while any(resident.is_open for resident in residents):
            self._changed.clear()
            await self._changed.wait()
        self._looking.stop()
        await self.entrance.close()

    # What clients call

    def packets_of(self, number: int) -> "Iterator[bytes] | None":
        """What a client sends, one behind the other's answer, until it is settled."""
        return iter(())

    def new_resident(self, number: int) -> _Resident:
        """One more."""
        return _Resident(self, number)

    def heard(self, answer: Answer) -> None:
        """A CONNACK came."""
        if self._wheel is None:
            if answer.keep_alive is not None:  # [MQTT-3.1.2-21]
                self._keep_alive = answer.keep_alive
            if self._keep_alive:
                self._wheel = _Wheel(self._keep_alive)

    def settled(self, resident: _Resident) -> None:
        """It is in, and has all its subscriptions."""
        self._failed_in_a_row = 0
        self._opening.discard(resident)
        self._residents.add(resident)
        if self._wheel is not None:
            self._wheel.add(resident)
        self._changed.set()

    def gone(self, resident: _Resident, fault: str) -> None:
        """It is not there any more; empty: as it should be."""
        is_new = resident in self._opening
        self._opening.discard(resident)
        self._changed.set()
        if not self._is_leaving:
            self._failed_in_a_row += is_new
            self._complaints.note(f"{self.what} was {'not let in' if is_new else 'lost'}", fault)
        self._residents.discard(resident)

    async def _below(self, count: int) -> None:
        """Wait until fewer are on their way in."""
        while len(self._opening) >= count:
            self._changed.clear()
            await self._changed.wait()


class Idle(_House):
    """Clients with subscriptions that nothing matches. They cost the broker memory, and a PINGREQ now and then."""

    role = "i"
    what = "an idle connection"

    def __init__(self, plan: Plan, share: Share) -> None:
        super().__init__(plan, share, share.idle)

    def packets_of(self, number: int) -> Iterator[bytes]:
        """SUBSCRIBEs with all its filters."""
        plan = self.plan
        first = number * plan.subscriptions
        for start in range(0, plan.subscriptions, _MOST_FILTERS):
            some = range(first + start, first + min(start + _MOST_FILTERS, plan.subscriptions))
            filters = [plan.idle_filter.format(each, prefix=plan.prefix) for each in some]
            requests = [SubscriptionRequest(each, plan.qos) for each in filters]
            yield encode(Subscribe(_PACKET_ID, requests), plan.version)


class _Churner(_Resident):
    """One who subscribes, and unsubscribes."""

    __slots__ = ("_churning", "_since", "_subscribe", "_unsubscribe")

    def __init__(self, churning: "Churning", number: int) -> None:
        super().__init__(churning, number)
        plan = churning.plan
        topic_filter = f"{plan.prefix}/churn/{number}"
        self._churning = churning
        self._subscribe = encode(Subscribe(_PACKET_ID, [SubscriptionRequest(topic_filter, plan.qos)]), plan.version)
        self._unsubscribe = encode(Unsubscribe(_PACKET_ID, [topic_filter]), plan.version)
        self._since = 0  # when the request was made, or was due

    @property
    def is_at_it(self) -> bool:
        """Whether it waits for an answer."""
        return self._is_open and self._time != 0

    def begin(self, since: int) -> None:
        """Subscribe, and unsubscribe."""
        if self._stream is not None and not self._is_leaving:
            self._since = since
            self._time = time.monotonic_ns()
            self._stream.write(self._subscribe)

    def _did(self, answer: Answer) -> None:
        if answer.kind not in (SubAck, UnsubAck):
            return
        now = time.monotonic_ns()
        counts = self._churning.counts
        counts.latency.record((now - self._since) / 1e3)
        if answer.kind is SubAck:
            assert self._stream is not None  # the answer came by it
            counts.subscribed += 1
            self._since = self._time = now
            self._stream.write(self._unsubscribe)
        else:
            counts.unsubscribed += 1
            self._time = 0
            self._churning.done(self)


class Churning(_House):
    """``churn``: clients that stay; each subscribes to a topic of its own and unsubscribes from it, again and again.

    There are as many as the share has publishers. What is counted is SUBACKs and UNSUBACKs, and microseconds from each
    request, or from when it was due. A rate is that of SUBSCRIBEs.

    Args:
        plan: what is asked.
        share: what of it is this process's own.
        counts: where it is counted.
    """

    role = "s"
    what = "a client"

    def __init__(self, plan: Plan, share: Share, counts: Counts) -> None:
        super().__init__(plan, share, share.publishers)
        self.counts = counts
        self._work = _work_of(plan, share)
        self._churners: list[_Churner] = []

    def new_resident(self, number: int) -> _Resident:
        """One more."""
        churner = _Churner(self, number)
        self._churners.append(churner)
        return churner

    def start(self) -> None:
        """Begin."""
        self._churners = [each for each in self._churners if each.is_settled]
        self._looking.stop()
        self._looking.start(self._churners)
        self._work.start(self._churners)

    async def stop(self) -> None:
        """Wait for what was asked, as long as for any answer, and let all leave. May be called more than once."""
        self._work.stop()
        while any(churner.is_at_it for churner in self._churners):
            self._changed.clear()
            await self._changed.wait()
        await self.leave()

    def done(self, churner: _Churner) -> None:
        """It has subscribed and unsubscribed."""
        self._changed.set()
        self._work.is_free(churner)
        self._work.finished()


def _work_of(plan: Plan, share: Share) -> _Work:
    """The work of the share's publishers, at their part of the plan's rate."""
    count = len(share.publishers)
    return _Work(plan.rate * count / max(plan.publishers, 1), count)
