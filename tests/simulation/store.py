"""What survives a crash: records that are committed by whole turns, and what they come to.

Knows records. Knows no engine, and not when anything happens: that is the
world's business. ``server/stores`` does the same on a disk; this was written
without looking there.
"""

from collections import deque
from dataclasses import dataclass, field

from telex import codes
from telex.engine import records
from telex.engine.message import Message
from telex.engine.records import Record
from telex.engine.seams import GatheringJournal
from telex.wire.data import Reader
from telex.wire.packets import Will
from telex.wire.properties import WILL, Properties, decode_properties, encode_properties


@dataclass(eq=False)
class KeptMessage:
    """A message that waits for a session, or is in flight to its client."""

    queued: records.Queued
    sent: records.Sent | None = None  # None: it waits
    released: int = 0  # in the order of PUBRECs; 0: none has come


@dataclass(eq=False)
class KeptSession:
    """A session that outlives the process."""

    kept: records.SessionKept
    left: records.SessionLeft | None = None  # None: its client is connected
    subscriptions: dict[str, records.Subscribed] = field(default_factory=dict)
    messages: dict[int, KeptMessage] = field(default_factory=dict)
    owned: set[int] = field(default_factory=set)


class Store:
    """Committed records, as they came and as what they come to."""

    def __init__(self) -> None:
        self.records: list[Record] = []  # all that ever were
        self.sessions: dict[int, KeptSession] = {}  # by number
        self.wills: dict[str, records.Willed] = {}  # by client id
        self.retained: dict[str, records.Retain] = {}  # by topic
        self._receivers: dict[int, KeptSession] = {}  # by number of the message
        self._releases = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing that a broker would have to remember."""
        return not (self.sessions or self.wills or self.retained or self._receivers)

    def add(self, turn: list[Record]) -> None:
        """Commit what one turn has recorded."""
        copies: dict[int, Message] = {}
        for record in turn:
            self._add(_written(record, copies))

    def _add(self, record: Record) -> None:
        self.records.append(record)
        if isinstance(record, records.Queued):
            session = self.sessions[record.session]
            session.messages[record.number] = KeptMessage(record)
            self._receivers[record.number] = session
        elif isinstance(record, records.Sent):
            self._receivers[record.number].messages[record.number].sent = record
        elif isinstance(record, records.Done):
            del self._receivers.pop(record.number).messages[record.number]
        elif isinstance(record, records.Released):
            self._releases += 1
            self._receivers[record.number].messages[record.number].released = self._releases
        elif isinstance(record, records.Owned):
            assert record.packet_id not in self.sessions[record.session].owned, "it is owned already"
            self.sessions[record.session].owned.add(record.packet_id)
        elif isinstance(record, records.Disowned):
            self.sessions[record.session].owned.remove(record.packet_id)
        else:
            self._add_rare(record)

    def _add_rare(self, record: Record) -> None:
        if isinstance(record, records.SessionKept):
            known = self.sessions.get(record.session)
            if known is None:
                self.sessions[record.session] = KeptSession(record)
            else:
                known.kept = record
                known.left = None
        elif isinstance(record, records.SessionLeft):
            self.sessions[record.session].left = record
        elif isinstance(record, records.SessionEnded):
            for number in self.sessions.pop(record.session).messages:
                del self._receivers[number]
        elif isinstance(record, records.Willed):
            self.wills[record.client_id] = record
        elif isinstance(record, records.Unwilled):
            del self.wills[record.client_id]
        elif isinstance(record, records.Retain):
            self.retained[record.message.topic] = record
        elif isinstance(record, records.Unretain):
            del self.retained[record.topic]
        elif isinstance(record, records.Subscribed):
            self.sessions[record.session].subscriptions[record.topic_filter] = record
        elif isinstance(record, records.Unsubscribed):
            del self.sessions[record.session].subscriptions[record.topic_filter]
        else:
            raise TypeError(f"a broker records no {type(record).__name__}")

    def folded(self) -> list[Record]:
        """What a broker needs of all this: what waits for a session is only counted, and can be fetched."""
        found: list[Record] = []
        for number, session in sorted(self.sessions.items()):
            found.append(session.kept)
            if session.left is not None:
                found.append(session.left)
            found.extend(session.subscriptions.values())
            found.extend(records.Owned(number, packet_id) for packet_id in sorted(session.owned))
            in_flight = [(each, each.sent) for each in session.messages.values() if each.sent is not None]
            for each, sent in in_flight:
                found += (each.queued, sent)
            for each, sent in sorted(in_flight, key=lambda each: each[0].released):
                if each.released:
                    found.append(records.Released(sent.number, sent.packet_id))
            waiting = self.waiting(number, 0)
            if waiting:
                size = sum(len(each.message.payload) for each in waiting)
                found.append(records.Stored(number, len(waiting), size, waiting[-1].number))
        found.extend(self.wills.values())
        found.extend(self.retained.values())
        return found

    def waiting(self, session: int, after: int) -> list[records.Queued]:
        """What waits for a session behind the message with number ``after``, and is not in flight."""
        known = self.sessions.get(session)
        if known is None:
            return []
        return [each.queued for number, each in known.messages.items() if number > after and each.sent is None]


class TurnJournal(GatheringJournal):
    """A journal whose turns are committed when the world says so.

    Args:
        store: where to.
        turn: how many turns there have been.
        gives_back: ``fetch`` works.
        page: how many messages it gives at a time.
        is_relaxed: as in ``GatheringJournal``.
    """

    def __init__(self, store: Store, turn: int, *, gives_back: bool, page: int, is_relaxed: bool = False) -> None:
        super().__init__(is_relaxed=is_relaxed)
        self.store = store
        self.turn = turn
        self.gives_back = gives_back
        self.page = page
        self.written = 0  # the position up to which records are in the store
        self.pending: deque[tuple[int, list[Record], int]] = deque()  # turns: number, records, position
        self.asked: deque[tuple[str, int, int, int]] = deque()  # client id, session, after, position of the call

    def commit(self) -> None:
        """A turn is over."""
        self.turn += 1
        if self.gathered:
            self.pending.append((self.turn, self.take_gathered(), self.appended))

    def fetch(self, client_id: str, session: int, after: int) -> None:
        """Ask for what waits in the store alone."""
        assert self.gives_back, "nobody asks a store that does not give back"
        self.asked.append((client_id, session, after, self.appended))

    def write(self, count: int) -> None:
        """Write the first of the turns that are not safe. The broker is not told here."""
        for _ in range(count):
            _, turn, self.written = self.pending.popleft()
            self.store.add(turn)

    def successor(self) -> "TurnJournal":
        """The journal of the next process: what was not safe is lost."""
        return TurnJournal(self.store, self.turn, gives_back=self.gives_back, page=self.page)

    def all_records(self) -> list[Record]:
        """All that were ever made, safe or not."""
        pending = [record for _, turn, _ in self.pending for record in turn]
        return [*self.store.records, *pending, *self.gathered]

    @property
    def safe_turn(self) -> int:
        """All turns up to this one are in the store; those that recorded nothing need not be."""
        return self.pending[0][0] - 1 if self.pending else self.turn

    def answer(self) -> tuple[str, int, list[records.Queued]] | None:
        """The answer to the first ``fetch``, if there can be one now."""
        if self.is_failing or not self.asked or self.asked[0][3] > self.written:
            return None
        client_id, session, after, _ = self.asked.popleft()
        return client_id, session, self.store.waiting(session, after)[: self.page]


# What is written is a copy: what its owner does with it afterwards does not reach the disk.


def _written(record: Record, copies: dict[int, Message]) -> Record:
    if isinstance(record, records.Queued):
        message = _copied(record.message, copies)
        return records.Queued(
            record.number, record.session, message, record.first, bytes(record.extra), str(record.shared)
        )
    if isinstance(record, records.Retain):
        return records.Retain(_copied(record.message, copies))
    if isinstance(record, records.Willed):
        will = record.will
        properties = _reread(will.properties, WILL)
        return records.Willed(
            record.client_id, Will(will.topic, will.payload, qos=will.qos, retain=will.retain, properties=properties)
        )
    return record


def _copied(message: Message, copies: dict[int, Message]) -> Message:
    """The same object for all who get it, as for the engine."""
    copy = copies.get(id(message))
    if copy is None:
        properties = _reread(message.properties, codes.PUBLISH)
        copy = Message(message.topic, message.payload, message.qos, message.retain, properties, message.expires_at)
        copy.publisher_id = message.publisher_id
        copies[id(message)] = copy
    return copy


def _reread(properties: Properties | None, packet_type: int) -> Properties | None:
    if properties is None:
        return None
    data = encode_properties(properties, packet_type)
    return decode_properties(Reader(data, 0, len(data)), packet_type)
