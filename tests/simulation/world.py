"""A broker, its clients' links, and a clock moved by hand.

Knows what the shell knows: it hands bytes to connections, empties outboxes that
may leave, closes what the broker closes, and ticks once a second. Knows no
chance: what happens when is the simulation's business. All that happens is told
to the referee.
"""

import math
from collections import deque
from collections.abc import Iterator

from telex.engine.connection import Connection
from telex.engine.engine import Engine
from telex.engine.options import Options
from telex.engine.outbox import Outbox
from telex.engine.records import Record
from telex.engine.seams import Gate, Journal, Observer
from telex.wire.decode import Decoder
from telex.wire.packets import ConnAck, Connect, Packet, PubAck, PubComp, Publish, PubRec, PubRel, SubAck, UnsubAck
from tests.simulation.history import (
    BrokerGot,
    BrokerLost,
    BrokerWrote,
    ClientWrote,
    Event,
    History,
    Moved,
    Opened,
    Settled,
    Ticked,
    line,
)
from tests.simulation.referee import Fault, Referee

Parcel = tuple[Packet, bytes]
"""A packet and its bytes."""

_PROMISES = (PubAck, PubRec, PubRel, PubComp, UnsubAck)


class LateJournal(Journal):
    """A journal that has committed what ``World.commit`` says."""

    def append(self, record: Record) -> None:
        self.appended += 1


class Link:
    """A connection between a client and the broker: two queues of packets that are under way."""

    def __init__(self, number: int, version: int) -> None:
        self.number = number
        self.version = version
        self.up: deque[Parcel] = deque()  # to the broker
        self.down: deque[Parcel] = deque()  # to the client
        self.is_client_here = True
        self.is_broker_here = True
        self.ends_up = False  # after what is under way to the broker, the connection ends for it
        self.ends_down = False  # and the same for the client
        self.is_read = True  # the client's machine takes what the broker sends
        self.unsent: list[Parcel] = []  # in the broker's outbox
        self.needs = 0  # the position in the journal that what is in the outbox promises


class World:
    """One engine, and the links to it.

    Args:
        options: the limits of the broker.
        journal: where records go.
        is_verbose: print each event.
    """

    def __init__(self, options: Options, referee: Referee, journal: Journal, *, is_verbose: bool = False) -> None:
        self.now = 1_000.0
        self.referee = referee
        self.history = History()
        self.journal = journal
        self.links: dict[int, Link] = {}
        self.connections: dict[int, Connection] = {}  # those that the broker has not closed, by number of the link
        self.engine = Engine(options, self._no_client_id, journal=journal, gate=Gate(), observer=Observer())
        self._is_verbose = is_verbose
        self._link_count = 0
        self._dropped = 0
        self._unsent: dict[int, tuple[Link, Outbox]] = {}  # outboxes that something waits in
        self._decoders = {version: Decoder(version=version) for version in (4, 5)}
        self.tell(Moved(self.now))

    def tell(self, event: Event) -> None:
        """Something has happened."""
        self.history.events.append(event)
        if self._is_verbose:
            print(line(event))
        self.referee.see(event)

    # Links

    def open(self, actor: str, version: int) -> Link:
        """A client makes a new connection."""
        self._link_count += 1
        link = Link(self._link_count, version)
        self.links[link.number] = link
        self.connections[link.number] = Connection(self.engine, link, f"{actor}.test", self.now)
        self.tell(Opened(link.number, actor, version))
        return link

    def write(self, link: Link, packet: Packet, frame: bytes) -> None:
        """A client writes a packet."""
        self.tell(ClientWrote(link.number, packet, frame))
        if link.is_broker_here:
            link.up.append((packet, frame))

    def carry_up(self, link: Link, count: int = 1, cut_at: int = 0) -> None:
        """Let packets reach the broker in one piece, or in two that are cut at a byte."""
        parcels = [link.up.popleft() for _ in range(min(count, len(link.up)))]
        data = b"".join([frame for _, frame in parcels])
        for packet, frame in parcels:
            self.tell(BrokerGot(link.number, packet, frame))
        before = self.journal.appended
        connection = self.connections[link.number]
        if 0 < cut_at < len(data):
            connection.receive(data[:cut_at], self.now)
            connection.receive(data[cut_at:], self.now)
        else:
            connection.receive(data, self.now)
        is_plain = len(parcels) == 1 and not isinstance(parcels[0][0], Connect)
        self._settle(before, link if is_plain else None)

    def carry_half(self, link: Link) -> None:
        """Let a part of a packet reach the broker; the rest will not come."""
        frame = link.up[0][1]
        self.connections[link.number].receive(frame[: len(frame) // 2], self.now)
        self._settle(self.journal.appended)

    def lose(self, link: Link) -> None:
        """The broker notices that a connection is gone."""
        link.up.clear()
        if link.is_broker_here:
            self.tell(BrokerLost(link.number))
            before = self.journal.appended
            self.connections[link.number].closed(self.now)
            self._settle(before)

    def leave(self, link: Link) -> None:
        """The client knows the link no more."""
        link.is_client_here = False
        link.down.clear()
        self._forget(link)

    def _forget(self, link: Link) -> None:
        if not link.is_client_here and not link.is_broker_here:
            self.links.pop(link.number, None)

    # Time

    def advance(self, seconds: float) -> Iterator[float]:
        """Let time pass. The broker ticks on every full second on the way, which is given to the caller then."""
        then = self.now + seconds
        for second in range(math.floor(self.now) + 1, math.floor(then) + 1):
            self.now = float(second)
            self.tell(Ticked(self.now))
            before = self.journal.appended
            self.engine.tick(self.now)
            there = len(self.connections)
            self._settle(before)
            self.history.counts["ended by a time-out"] += there - len(self.connections)
            yield self.now
        if then != self.now:
            self.now = then
            self.tell(Moved(self.now))

    # What the broker has written

    def commit(self) -> None:
        """All records so far are safe; what waited for that leaves."""
        self.journal.committed = self.journal.appended
        self.flush()

    def flush(self) -> None:
        """Let leave what may leave."""
        for number, (link, outbox) in list(self._unsent.items()):
            if outbox.after > self.journal.committed or (
                not link.is_read and link.is_broker_here and link.is_client_here
            ):
                continue
            if link.needs > self.journal.committed:
                raise Fault(f"an answer on link {number} left before its record was committed")
            del self._unsent[number]
            size = len(outbox.take())
            if size != sum([len(frame) for _, frame in link.unsent]):
                raise Fault(f"the outbox of link {number} gave {size} bytes, and {link.unsent} were written")
            if link.is_client_here and not link.ends_down:
                link.down.extend(link.unsent)
            link.unsent.clear()
            link.needs = 0
            if outbox.is_closing:
                link.ends_down = True

    def _settle(self, before: int, link: Link | None = None) -> None:
        """See what the broker has done: ``link`` brought one packet and no CONNECT, the journal stood at ``before``."""
        for outbox in self.engine.take_ready():
            of = outbox.stream
            assert isinstance(of, Link)
            self._unsent[of.number] = of, outbox
        for other, outbox in list(self._unsent.values()):
            frames = outbox.frames
            for frame in frames[len(other.unsent) :]:  # each is one packet
                packet = self._decoded(other, frame)
                if isinstance(packet, Publish) and packet.dup:
                    self.history.counts["repeated by the broker"] += 1
                other.unsent.append((packet, frame))
                self._note_promise(other, packet, before, link)
                self.tell(BrokerWrote(other.number, packet, frame))
        closed = [number for number, connection in self.connections.items() if connection.is_closed]
        for number in closed:
            del self.connections[number]
            gone = self.links[number]
            gone.is_broker_here = False
            gone.up.clear()
        dropped = self.engine.stats.publish_dropped - self._dropped
        self._dropped += dropped
        self.tell(Settled(dropped, tuple(closed)))
        for number in closed:
            self._forget(self.links[number])
        self.flush()

    def _note_promise(self, other: Link, packet: Packet, before: int, link: Link | None) -> None:
        """What answers a packet may not leave before all that the packet caused is safe."""
        if isinstance(packet, ConnAck):  # it promises what earlier connections of the session have done
            other.needs = max(other.needs, before)
        elif other is link and self.journal.appended > before:
            if isinstance(packet, _PROMISES):
                other.needs = self.journal.appended
            elif isinstance(packet, SubAck):  # records of retained messages come after it
                other.needs = max(other.needs, before + 1)

    def _decoded(self, link: Link, frame: bytes) -> Packet:
        decoder = self._decoders[link.version]
        decoder.receive(frame)
        packet = decoder.next_packet()
        if packet is None or decoder.is_inside_packet:
            raise Fault(f"the broker wrote {frame!r} on link {link.number}, which is no packet")
        return packet

    def decoded(self, link: Link, data: bytes) -> Iterator[Parcel]:
        """The packets that bytes of a client consist of."""
        for frame in split(data):
            yield self._decoded(link, frame), frame

    def _no_client_id(self) -> str:
        raise AssertionError("every client here has a client id")


def split(data: bytes) -> Iterator[bytes]:
    """The packets that bytes consist of, by their fixed headers (section 2.1)."""
    start = 0
    while start < len(data):
        length, shift, position = 0, 0, start + 1
        while True:
            byte = data[position]
            position += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        yield data[start : position + length]
        start = position + length


def leftovers(engine: Engine) -> list[str]:
    """What an engine still remembers when everybody is gone; what topics match nobody may be remembered."""
    subscriptions = engine.subscriptions
    retained = engine.retained
    routes = [topic for topic, route in subscriptions._routes.items() if route.subscriptions or route.groups]
    found = {
        "sessions": list(engine.sessions),
        "outboxes that are ready": engine.ready,
        "subscriptions by their counter": subscriptions.count,
        "shared subscriptions by their counter": subscriptions.shared_count,
        "exact filters": list(subscriptions._exact),
        "levels of filters": list(subscriptions._root.children),
        "subscribers of the root": subscriptions._root.subscribers,
        "filters with wildcards by their counter": subscriptions._wildcards,
        "routes to somebody": routes,
        "retained messages by their counter": retained.count,
        "bytes of retained messages": retained.payload_bytes,
        "levels of retained messages": list(retained._root.children),
        "deadlines": len(engine.deadlines),
        "seconds with deadlines": list(engine.deadlines._due),
        "clients by their counter": engine.stats.clients_connected,
        "sockets by their counter": engine.stats.sockets_open,
    }
    return [f"{name}: {value!r}" for name, value in found.items() if value]
