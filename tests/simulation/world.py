"""A broker, its clients' links, and a clock moved by hand.

Knows what the shell knows: it hands bytes to connections, ends each turn with a
commit, empties outboxes, closes what the broker closes, and ticks once a second.
It can end the broker's process, and begin another one with what its store has.
Knows no chance: what happens when is the simulation's business. All that happens
is told to the referee.
"""

import math
from collections import deque
from collections.abc import Iterator

from telex.engine.connection import Connection
from telex.engine.engine import Engine
from telex.engine.options import Options
from telex.engine.outbox import Outbox
from telex.engine.restore import Restoration
from telex.engine.seams import Gate, Journal, Observer
from telex.engine.visit import Visit
from telex.wire.decode import Decoder
from telex.wire.packets import Packet, Publish
from tests.simulation.history import (
    BrokerGot,
    BrokerLost,
    BrokerSent,
    BrokerWrote,
    ClientWrote,
    Committed,
    Crashed,
    Event,
    Failing,
    History,
    Moved,
    Opened,
    Recovered,
    Settled,
    Ticked,
    line,
)
from tests.simulation.knowledge import differences
from tests.simulation.ledger import Fault
from tests.simulation.referee import Referee
from tests.simulation.store import TurnJournal

Parcel = tuple[Packet, bytes]
"""A packet and its bytes."""


class Link:
    """A connection between a client and the broker: two queues of packets that are under way."""

    def __init__(self, number: int, version: int, engine: Engine, address: str, now: float) -> None:
        self.number = number
        self.version = version
        self.connection = Connection(engine, self, Visit(address), now)
        self.up: deque[Parcel] = deque()  # to the broker
        self.down: deque[Parcel] = deque()  # to the client
        self.is_client_here = True
        self.is_broker_here = True
        self.ends_up = False  # after what is under way to the broker, the connection ends for it
        self.ends_down = False  # and the same for the client
        self.is_read = True  # the client's machine takes what the broker sends
        self.unsent: list[Parcel] = []  # in the broker's outbox
        self.has_news = False  # the broker wrote something, or something was committed, since the outbox was emptied
        self._frames: list[bytes] = []  # of the outbox, when they were seen last
        self._held: list[bytes] = []
        self._seen = 0  # how many there were
        self._seen_held = 0

    def see_written(self) -> list[bytes]:
        """What the broker has written since the last time; each is one packet.

        What is held comes last, for it could be overtaken; but a CONNACK comes first.
        """
        outbox = self.connection.outbox
        frames, held = outbox.frames, _held(outbox)
        new = frames[self._seen :] if frames is self._frames else frames
        new_held = held[self._seen_held :] if held is self._held else held
        connack = new_held[:1] if outbox.is_opening and len(new_held) == len(held) else []
        self._see_frames()
        return connack + new + new_held[len(connack) :]

    @property
    def has_unseen(self) -> bool:
        """Whether there is something that ``see_written`` has not seen."""
        frames, held = self.connection.outbox.frames, _held(self.connection.outbox)
        new = len(frames) - (self._seen if frames is self._frames else 0)
        return new > 0 or len(held) > (self._seen_held if held is self._held else 0)

    def see_released(self) -> None:
        """Some of what was held is so no more."""
        self._see_frames()
        self.has_news = True

    def _see_frames(self) -> None:
        outbox = self.connection.outbox
        self._frames, self._held = outbox.frames, _held(outbox)
        self._seen, self._seen_held = len(self._frames), len(self._held)

    def take(self, now: float) -> list[Parcel]:
        """Empty the broker's outbox."""
        left: list[Parcel] = []
        if self.connection.outbox.has_leaving:
            for frame in split(self.connection.take(now)):
                index = next((index for index, each in enumerate(self.unsent) if each[1] == frame), -1)
                if index < 0:
                    raise Fault(f"the outbox of link {self.number} gave {frame!r}, and {self.unsent} were written")
                left.append(self.unsent.pop(index))
        return left


def _held(outbox: Outbox) -> list[bytes]:
    return [] if outbox._held is None else outbox._held.frames


class World:
    """One engine, or one after the other, and the links to it.

    Args:
        options: the limits of the broker.
        referee: who judges what happens.
        journal: where records go.
        commits_at_once: what a turn has recorded is safe at its end; otherwise ``commit`` says when.
        is_verbose: print each event.
    """

    def __init__(
        self,
        options: Options,
        referee: Referee,
        journal: Journal,
        *,
        commits_at_once: bool = False,
        is_verbose: bool = False,
    ) -> None:
        self.now = 1_000.0
        self.referee = referee
        self.history = History()
        self.journal = journal
        self.turn = 0  # how many there were
        self.links: dict[int, Link] = {}
        self.connections: dict[int, Connection] = {}  # those that the broker has not closed, by number of the link
        self.options = options
        self.engine = self._new_engine()
        self.checks_law = False  # at the end of each turn
        self._commits_at_once = commits_at_once
        self._is_verbose = is_verbose
        self._link_count = 0
        self._dropped = 0
        self._done_until = self.now  # what was due by then is done
        self._unsent: dict[int, Link] = {}  # whose outboxes something waits in
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
        link = Link(self._link_count, version, self.engine, f"{actor}.test", self.now)
        self.links[link.number] = link
        self.connections[link.number] = link.connection
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
        if 0 < cut_at < len(data):
            link.connection.receive(data[:cut_at], self.now)
            link.connection.receive(data[cut_at:], self.now)
        else:
            link.connection.receive(data, self.now)
        self._end_turn()

    def carry_half(self, link: Link) -> None:
        """Let a part of a packet reach the broker; the rest will not come."""
        frame = link.up[0][1]
        link.connection.receive(frame[: len(frame) // 2], self.now)
        self._end_turn()

    def lose(self, link: Link) -> None:
        """The broker notices that a connection is gone."""
        link.up.clear()
        if link.is_broker_here:
            self.tell(BrokerLost(link.number))
            link.connection.closed(self.now)
            self._end_turn()

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
            self.engine.tick(self.now)
            self._done_until = self.now
            there = len(self.connections)
            self._end_turn()
            self.history.counts["ended by a time-out"] += there - len(self.connections)
            yield self.now
        if then != self.now:
            self.now = then
            self.tell(Moved(self.now))

    # The end of a turn

    def _end_turn(self) -> None:
        self._settle()
        self.flush()

    def _settle(self) -> None:
        """See what the broker has done: that was a turn, and is recorded as a whole or not at all."""
        self._watch_outboxes()
        for link in self._unsent.values():
            for frame in link.see_written():
                packet = self._decoded(link, frame)
                if isinstance(packet, Publish) and packet.dup:
                    self.history.counts["repeated by the broker"] += 1
                link.unsent.append((packet, frame))
                link.has_news = True
                self.tell(BrokerWrote(link.number, packet, frame))
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
        self.turn += 1
        self.journal.commit()
        if self.checks_law:
            self.check_law()
        if self._commits_at_once:
            self._commit(self.pending)

    def _watch_outboxes(self) -> None:
        for outbox in (*self.engine.take_ready(), *self.engine.holding):
            link = outbox.stream
            assert isinstance(link, Link)
            self._unsent[link.number] = link

    def flush(self) -> None:
        """Let leave what may leave."""
        self._watch_outboxes()
        while sum(self._flush_link(link) for link in list(self._unsent.values())):
            pass  # what waited in sessions has followed

    def _flush_link(self, link: Link) -> bool:
        """Empty an outbox, if its client reads: whether there was something in it."""
        if not link.is_read and link.is_broker_here and link.is_client_here:
            return False
        outbox = link.connection.outbox
        position = self.journal.appended
        left = link.take(self.now)
        if link.is_client_here and (left or link.has_news):
            self.tell(BrokerSent(link.number, tuple([frame for _, frame in left])))
            if not link.ends_down:
                link.down.extend(left)
        link.has_news = False
        is_empty = not outbox.frames and not outbox.is_holding
        if is_empty:
            del self._unsent[link.number]
        if is_empty and outbox.is_closing:
            link.ends_down = True
        if link.has_unseen or self.journal.appended != position:  # something followed: that is a turn of its own
            self._settle()
        return bool(left)

    # The journal

    @property
    def pending(self) -> int:
        """How many turns have recorded something that is not safe."""
        return len(self.journal.pending) if isinstance(self.journal, TurnJournal) else 0

    def commit(self, count: int) -> None:
        """What the first turns have recorded that are not safe becomes so."""
        self._commit(count)
        self.flush()

    def _commit(self, count: int) -> None:
        journal = self.journal
        if count == 0 or journal.is_failing:
            return
        assert isinstance(journal, TurnJournal)  # otherwise nothing is pending
        self._write(journal, count)
        self._tell_engine_of_commit()

    def _write(self, journal: TurnJournal, count: int) -> None:
        journal.write(count)
        if not journal.is_relaxed:
            journal.committed = journal.written
            self.tell(Committed(journal.safe_turn))

    def _tell_engine_of_commit(self) -> None:
        holding = [outbox.stream for outbox in self.engine.holding]
        self.engine.committed()
        for link in holding:
            assert isinstance(link, Link)
            link.see_released()

    def answer_fetch(self) -> bool:
        """Give the broker what it wanted from its store first: whether there was something that can be given now."""
        answer = self.journal.answer() if isinstance(self.journal, TurnJournal) else None
        if answer is None:
            return False
        self.engine.fetched(*answer, self.now)
        self._end_turn()
        return True

    def fail(self) -> None:
        """From now on nothing can be written."""
        self.journal.is_failing = True
        self.tell(Failing())
        for outbox in self.engine.holding[:]:
            if outbox.is_closing:  # nobody knows when it could leave
                outbox.forget_held()
                self.engine.ready.append(outbox)
        self.flush()

    def recover(self, count: int) -> None:
        """It can be again, and what the first turns have recorded that are not safe is."""
        journal = self.journal
        journal.is_failing = False
        self.tell(Recovered())
        if count:
            assert isinstance(journal, TurnJournal)
            self._write(journal, count)
        self.engine.recovered(self.now)
        self._settle()
        self._tell_engine_of_commit()
        self.flush()

    # A crash

    def crash(self, count: int, *, is_folded: bool) -> None:
        """The broker's process ends, and another begins with what is safe.

        Args:
            count: so many turns that were not safe have become so, and nobody was told.
            is_folded: the store gives back what its records come to, not all of them.
        """
        journal = self.journal
        assert isinstance(journal, TurnJournal)
        journal.write(count)
        self.tell(Crashed(journal.safe_turn))
        for link in list(self.links.values()):
            link.is_broker_here = False
            link.ends_down = True
            link.up.clear()
            self._forget(link)
        self.connections.clear()
        self._unsent.clear()
        self._dropped = 0
        self.journal = journal.successor()
        self.engine = self._new_engine()
        restoration = Restoration(self.engine)
        for record in journal.store.folded() if is_folded else journal.store.records:
            restoration.apply(record)
        restoration.finish(self.now)
        self._done_until = self.now
        self._end_turn()

    def check_law(self) -> None:
        """The law: who replays the records has an engine that is equal to the one that made them.

        Raises:
            Fault: it is not.
        """
        journal = self.journal
        assert isinstance(journal, TurnJournal)
        found = differences(self.engine, journal.all_records(), self.options, self._done_until)
        if found:
            raise Fault(f"replaying the records gives another engine: {'; '.join(found)}")

    def _new_engine(self) -> Engine:
        return Engine(self.options, self._no_client_id, journal=self.journal, gate=Gate(), observer=Observer())

    def _no_client_id(self) -> str:
        raise AssertionError("every client here has a client id")

    # Bytes

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
    routes = [topic for topic, route in subscriptions._routes.known.items() if route.is_heard]
    found = {
        "sessions": list(engine.sessions),
        "outboxes that are ready": engine.ready,
        "outboxes that hold something": [outbox for outbox in engine.holding if outbox.is_holding],
        "clients without an answer": list(engine.unanswered),
        "memory of messages on their way": engine.surroundings.memory,
        "subscriptions by their counter": subscriptions.count,
        "shared subscriptions by their counter": subscriptions.shared_count,
        "exact filters": list(subscriptions._exact),
        "levels of filters": list(subscriptions._root.children),
        "subscribers of the root": subscriptions._root.subscribers,
        "filters with wildcards by their counter": subscriptions._wildcards,
        "routes to somebody": routes,
        "retained messages by their counter": retained.count,
        "bytes of retained messages": retained.bytes,
        "levels of retained messages": [] if retained.is_empty else ["some"],
        "deadlines": len(engine.deadlines),
        "seconds with deadlines": list(engine.deadlines._due),
        "clients by their counter": engine.stats.clients_connected,
        "sockets by their counter": engine.stats.sockets_open,
    }
    return [f"{name}: {value!r}" for name, value in found.items() if value]
