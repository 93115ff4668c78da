"""What a broker and its clients owe each other, judged from outside.

Knows the rules of the specification and of durability, and the events of a
history, one after the other. Knows no engine, no client and no chance. Each
broken rule is a ``Fault``.

What the broker owes is computed from what reached it: the sessions, their
subscriptions and wills, the retained messages. Each message that one session is
to get is a ``Delivery``; one that any member of a shared group is to get is an
``Errand``. A delivery is followed by its packet id, over all connections of the
session, until the client owns it.

What a broker has promised must be safe. Its turns are counted; an answer that
promises what a turn has done may not leave before that turn is committed, and
nothing waits without such a reason. Of a turn that was lost in a crash, a ledger
sees only what clients know of it (``see_forgotten``): a new ledger that sees all
turns but those that were lost holds what the broker still owes after the crash.
"""

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from telex.codes import MAX_PACKET_ID, NEVER_EXPIRES
from telex.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    UnsubAck,
    Unsubscribe,
    Will,
)
from telex.wire.properties import Properties
from tests.simulation.history import (
    AppDone,
    AppGot,
    AppPublishes,
    BrokerGot,
    BrokerLost,
    BrokerSent,
    BrokerWrote,
    ClientGot,
    ClientLost,
    ClientWrote,
    Committed,
    Crashed,
    Event,
    Failing,
    Moved,
    Opened,
    Over,
    Recovered,
    Restarted,
    Rested,
    Settled,
    Ticked,
)

BIG = 200
"""Bytes of payload from which on a message may exceed what a client takes; no other packet of a life is that large."""

NO_LIMIT = 1_000_000_000

_NOT_FOUND = 0x92
_UNAVAILABLE = 0x88
_QUOTA_EXCEEDED = 0x97
_OVERHEAD = 600
"""What a message that is on its way takes of ``max_queue_memory`` for each session, besides its payload."""


class Fault(AssertionError):
    """A rule was broken."""


@dataclass(frozen=True)
class Terms:
    """The limits that the broker of a life has."""

    maximum_session_expiry: int = NEVER_EXPIRES  # seconds
    receive_maximum: int = MAX_PACKET_ID
    v3_session_expiry: int = 30 * 24 * 3_600  # seconds
    max_inflight_messages: int = 1_000
    max_queued_messages: int = NO_LIMIT
    max_queued_bytes: int = NO_LIMIT
    drops_oldest: bool = False  # from a queue that is full, or the newest
    max_queue_memory: int = NO_LIMIT  # bytes
    gives_back: bool = False  # the store does, so that what waits for recorded sessions need not take memory
    connect_timeout: int = 10  # seconds
    may_drop_qos0: bool = False  # outboxes are small, and some clients do not read
    commits: bool = False  # there is a store, and the history says when it has committed what

    @property
    def limits_queues(self) -> bool:
        return min(self.max_queued_messages, self.max_queued_bytes, self.max_queue_memory) < NO_LIMIT


@dataclass(eq=False, slots=True)
class Message:
    """A message that the broker has taken, or a will that it has published."""

    publisher: str  # client id
    topic: str
    payload: bytes
    qos: int
    retain: bool
    expires_at: float | None = None
    user_properties: tuple[tuple[str, str], ...] = ()
    owned_at: int = 0  # the turn that recorded that a QoS 2 message is here; 0: nothing was to be recorded

    @property
    def is_big(self) -> bool:
        return len(self.payload) >= BIG

    @property
    def memory(self) -> int:
        said = sum([len(name) + len(value) for name, value in self.user_properties])
        return _OVERHEAD + len(self.payload) + said

    def is_expired(self, now: float) -> bool:
        return self.expires_at is not None and self.expires_at <= now


@dataclass(eq=False, slots=True)
class Subscription:
    """What a session asked for."""

    topic_filter: str
    qos: int
    no_local: bool
    retain_as_published: bool
    identifier: int | None


@dataclass(eq=False, slots=True)
class Delivery:
    """A message that one session is to get."""

    message: Message
    session: "Session"
    qos: int
    retain: bool
    identifiers: list[int]
    index: int  # in the order in which the broker took the messages
    is_ordered: bool  # it is a message for a Non-shared Subscription, and no retained one
    may_be_dropped: bool = False
    meets_limit: bool = False  # as many messages wait already as may
    meets_memory: bool = False  # all messages take as much memory already as they may
    is_written: bool = False
    sent_number: int = 0  # in the order of first sending
    sent_at: int = 0  # the turn in which it was sent first
    release_number: int = 0  # in the order of PUBRECs; 0: none has come
    release_link: int = 0  # by which it came
    released_at: int = 0  # the turn in which it came
    is_given_up: bool = False  # it is more than its client takes now
    link: int = 0  # by which the PUBLISH left last
    taken: int = 0  # how often the application was given it
    is_done: bool = False  # the client owns it
    errand: "Errand | None" = None

    def __str__(self) -> str:
        message = self.message
        return f"{_short(message.payload)} on {message.topic!r} at QoS {self.qos} for {self.session}"


@dataclass(eq=False, slots=True)
class Errand:
    """A message that one member of a shared group is to get."""

    message: Message
    group: "Group"
    candidates: dict["Session", list[Subscription]]  # who may have it, or get it, as they have subscribed
    holder: Delivery | None = None
    may_be_lost: bool = False
    is_over: bool = False

    def __str__(self) -> str:
        return f"{_short(self.message.payload)} on {self.message.topic!r} for {self.group}"


@dataclass(eq=False, slots=True)
class Group:
    """The members of a Shared Subscription."""

    name: str
    topic_filter: str
    members: dict["Session", Subscription] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"the group {self.name} of {self.topic_filter!r}"


@dataclass(eq=False, slots=True)
class Session:
    """What the broker is to remember of a client id."""

    client_id: str
    number: int  # of the event that began it: a client id may have one session after the other
    wire: "Wire | None" = None
    expiry_interval: int = 0
    is_recorded: bool = False  # it was to outlive its connection at one time at least
    recorded_at: int = 0  # since which turn
    changed_at: int = 0  # the turn in which it dropped a subscription last
    ends_at: float | None = None
    will: Will | None = None
    will_at: float | None = None
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    shares: dict[tuple[str, str], list[Subscription]] = field(default_factory=dict)  # all that it had, by group
    owned: dict[int, tuple[bytes, int]] = field(default_factory=dict)  # QoS 2 messages of the client: payload, turn
    disowned_at: dict[int, int] = field(default_factory=dict)  # by packet id: the turn
    published: set[bytes] = field(default_factory=set)  # payloads of QoS 2 that came in
    in_flight: dict[int, Delivery] = field(default_factory=dict)
    owed: dict[Delivery, None] = field(default_factory=dict)  # QoS 1 and 2, not done yet
    pending: dict[tuple[str, bytes, int], deque[Delivery]] = field(default_factory=dict)  # not written yet
    unwritten: int = 0  # of QoS 1 and 2 among these
    unwritten_bytes: int = 0  # of their payloads
    newest: Delivery | None = None  # of QoS 1 and 2
    is_over: bool = False  # more came than may wait
    last_written: "dict[Order, int]" = field(default_factory=dict)
    last_taken: "dict[Order, int]" = field(default_factory=dict)
    had_size_limit: bool = False
    is_ended: bool = False

    def __str__(self) -> str:
        return f"session {self.number} of {self.client_id}"


Order = tuple[str, str, int, bool]
"""Which messages keep an order among themselves."""


class Question(NamedTuple):
    """What the broker has to answer."""

    needs: int = 0  # the turn that must be committed before the answer leaves; 0: the answer promises nothing
    waits: int = 0  # the turn that it may wait for
    is_refused: bool = False  # the answer must be no


@dataclass(eq=False, slots=True)
class Written:
    """A packet that the broker has written, and that has not left."""

    frame: bytes
    packet: Packet
    delivery: Delivery | None
    needs: int = 0  # as in Question
    waits: int = 0

    @property
    def overtakes(self) -> bool:
        """Whether it may leave before others, but for CONNACK."""
        packet = self.packet
        return isinstance(packet, PingResp) or (isinstance(packet, Publish) and packet.qos == 0)


@dataclass(eq=False, slots=True)
class Wire:
    """A connection, seen from both of its ends."""

    number: int
    actor: str
    version: int
    opened_at: float
    # The broker's end
    is_open: bool = True  # for the broker
    was_closed: bool = False  # and the broker has said so
    session: Session | None = None
    session_present: bool = False
    has_connack: bool = False
    is_over: bool = False  # the broker wrote DISCONNECT
    has_been_told: bool = False  # and that left
    keep_alive: int = 0
    last_received: float = 0.0
    receive_maximum: int = MAX_PACKET_ID
    maximum_packet_size: int | None = None
    alias_maximum: int = 0
    may_keep: bool = False
    aliases: dict[int, str] = field(default_factory=dict)  # of the broker
    client_aliases: dict[int, str] = field(default_factory=dict)
    unacknowledged: set[int] = field(default_factory=set)
    questions: defaultdict[tuple[type[Packet], int], deque[Question]] = field(
        default_factory=lambda: defaultdict(deque)
    )
    last_sent_number: int = 0
    last_release_number: int = 0
    written: list[Written] = field(default_factory=list)  # by the broker, and still there
    down: deque[tuple[bytes, Delivery | None]] = field(default_factory=deque)  # on the way to the client
    # The client's end
    is_here: bool = True  # for the client
    has_left: bool = False  # the client wrote DISCONNECT
    server_receive_maximum: int = MAX_PACKET_ID
    client_unacknowledged: set[int] = field(default_factory=set)
    client_questions: defaultdict[tuple[type[Packet], int], int] = field(default_factory=lambda: defaultdict(int))
    arrived: Delivery | None = None  # what came last, until the application has it
    up: deque[bytes] = field(default_factory=deque)  # written by the client


@dataclass(eq=False, slots=True)
class Exchange:
    """What a client uses a packet id for."""

    kind: type[Packet]
    payload: bytes = b""
    qos: int = 0
    link: int = 0
    is_released: bool = False


@dataclass(eq=False, slots=True)
class Publication:
    """A message that an application gave to its client."""

    number: int
    payload: bytes
    qos: int
    is_done: bool = False


@dataclass(eq=False, slots=True)
class Actor:
    """A client, with all the connections that it has one after the other."""

    name: str
    in_use: dict[int, Exchange] = field(default_factory=dict)  # by packet id
    publications: dict[int, Publication] = field(default_factory=dict)
    taken_by_broker: set[bytes] = field(default_factory=set)  # payloads
    taken_in_vain: set[bytes] = field(default_factory=set)  # and forgotten; what was promised of them was judged before
    refused_by_broker: set[bytes] = field(default_factory=set)


class Ledger:
    """Sees one event after the other, and raises the first ``Fault``."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.now = 0.0
        self.turn = 1  # the number of the turn that goes on
        self.committed = 0 if terms.commits else NO_LIMIT  # all turns up to this one are
        self.is_failing = False  # nothing can be committed
        self.sessions: dict[str, Session] = {}
        self.wires: dict[int, Wire] = {}
        self.actors: dict[str, Actor] = {}
        self.retained: dict[str, Message] = {}
        self.groups: dict[tuple[str, str], Group] = {}
        self._index = 0  # of the event
        self._count = 0  # of deliveries, first sendings and releases
        self._ended_at: dict[str, int] = {}  # by client id: the turn in which a recorded session ended last
        self._unanswered: dict[Wire, None] = {}
        self._has_crashed = False
        self._dropped = 0  # messages, by the broker's counter
        self._errands: dict[tuple[str, bytes], list[Errand]] = {}
        self._open_errands: dict[Errand, None] = {}
        self._repeated = {b""}  # payloads that may have been published more than once
        self._had_groups = False
        self._had_size_limit = False  # somebody did
        # Since the broker settled last:
        self._new: list[Delivery] = []
        self._new_errands: list[Errand] = []
        self._run: list[Delivery] = []  # errands that were run at QoS 0
        self._closed: set[int] = set()
        self._leaving: set[int] = set()  # links that end in this second, before or after the others
        self._passed_on = False  # errands went to other members
        self._was_ended = False  # a session that more came for than may wait
        self._was_ambiguous = False  # it is not clear which of two messages was written
        self._late: dict[tuple[Errand, Session], list[Subscription]] = {}  # of sessions that have ended
        self._handlers: dict[type, Callable[[Any], None]] = {
            Moved: self._on_moved,
            Ticked: self._on_ticked,
            Opened: self._on_opened,
            ClientWrote: self._on_client_wrote,
            BrokerGot: self._on_broker_got,
            BrokerWrote: self._on_broker_wrote,
            BrokerSent: self._on_broker_sent,
            ClientGot: self._on_client_got,
            BrokerLost: self._on_broker_lost,
            ClientLost: self._on_client_lost,
            Settled: self._on_settled,
            Committed: self._on_committed,
            Failing: self._on_failing,
            Recovered: self._on_recovered,
            Crashed: self._on_crashed,
            AppPublishes: self._on_app_publishes,
            AppDone: self._on_app_done,
            AppGot: self._on_app_got,
            Restarted: self._on_restarted,
            Rested: self._on_rested,
            Over: self._on_over,
        }
        self._got: dict[type[Packet], Callable[[Wire, Session, Any], None]] = {
            Publish: self._got_publish,
            PubAck: self._got_puback,
            PubRec: self._got_pubrec,
            PubRel: self._got_pubrel,
            PubComp: self._got_pubcomp,
            PingReq: self._got_pingreq,
            Subscribe: self._got_subscribe,
            Unsubscribe: self._got_unsubscribe,
            Disconnect: self._got_disconnect,
        }
        self._forgotten: dict[type, Callable[[Any], None]] = {
            **self._handlers,
            Ticked: self._on_moved,
            BrokerGot: self._on_forgotten_got,
            BrokerWrote: self._on_forgotten_wrote,
            BrokerSent: self._on_forgotten_sent,
            BrokerLost: self._on_forgotten_lost,
            Settled: self._on_forgotten_settled,
            Recovered: self._on_forgotten_recovered,
            Crashed: self._on_forgotten_crash,
            AppDone: self._on_forgotten_done,
        }

    def see(self, event: Event, index: int) -> None:
        """Judge the next event, which is number ``index`` of the history.

        Raises:
            Fault: it breaks a rule.
        """
        # Whoever sees the same history without what was forgotten in it gives everything the same number.
        self._index = index
        self._count = index << 16
        self._handlers[type(event)](event)

    def see_forgotten(self, event: Event) -> None:
        """Take from an event that the broker has forgotten what the clients know of it."""
        self._forgotten[type(event)](event)

    def _next(self) -> int:
        self._count += 1
        return self._count

    # Time

    def _on_moved(self, event: Moved | Ticked) -> None:
        self.now = event.now

    def _on_ticked(self, event: Ticked) -> None:
        """What falls due in one second has no order: wills go first here, so that all who may get them are there."""
        now = self.now = event.now
        silent = [wire for wire in self.wires.values() if wire.is_open and self._is_silent(wire)]
        self._leaving = {wire.number for wire in silent}
        for wire in silent:
            session = wire.session
            if (
                session is not None
                and session.will is not None
                and (not session.expiry_interval or not _delay(session))
            ):
                self._publish_will(session)
        for session in list(self.sessions.values()):
            if any(at is not None and at <= now for at in (session.will_at, session.ends_at)):
                self._publish_will(session)
        for wire in silent:
            self._close(wire, with_will=True)
        self._leaving.clear()
        for session in list(self.sessions.values()):
            if session.ends_at is not None and session.ends_at <= now:
                self._end(session)
        for topic in [topic for topic, message in self.retained.items() if message.is_expired(now)]:
            del self.retained[topic]

    def _is_silent(self, wire: Wire) -> bool:
        """Whether a client has not come, or has said nothing, for too long [MQTT-3.1.2-22]."""
        if wire.session is None:
            return self.now - wire.opened_at >= self.terms.connect_timeout
        return wire.keep_alive > 0 and self.now - wire.last_received >= wire.keep_alive * 1.5

    # Connections

    def _on_opened(self, event: Opened) -> None:
        self.wires[event.link] = Wire(event.link, event.actor, event.version, self.now)
        actor = self.actors.setdefault(event.actor, Actor(event.actor))
        # They are not sent again (section 4.4).
        actor.in_use = {key: each for key, each in actor.in_use.items() if each.kind is Publish}

    def _on_client_lost(self, event: ClientLost) -> None:
        wire = self.wires[event.link]
        wire.is_here = False
        wire.written.clear()
        wire.down.clear()
        self._forget(wire)

    def _on_broker_lost(self, event: BrokerLost) -> None:
        wire = self.wires[event.link]
        wire.up.clear()
        self._close(wire, with_will=True)

    def _close(self, wire: Wire, *, with_will: bool) -> None:
        """A connection is over for the broker."""
        if not wire.is_open:
            return
        wire.is_open = False
        self._closed.add(wire.number)
        self._unanswered.pop(wire, None)
        session = wire.session
        if session is None:
            return
        session.wire = None
        if not with_will:  # [MQTT-3.14.4-3]
            session.will = None
        if not session.expiry_interval:  # [MQTT-4.1.0-2]
            self._end(session)
            return
        if session.expiry_interval != NEVER_EXPIRES:
            session.ends_at = self.now + session.expiry_interval
        if session.will is not None:
            session.will_at = self.now + _delay(session)
            if not _delay(session):
                self._publish_will(session)

    def _forget(self, wire: Wire) -> None:
        if not wire.is_here and not wire.is_open and wire.was_closed:
            self.wires.pop(wire.number, None)

    def _end(self, session: Session) -> None:
        """A session is over; a will that waited is published first [MQTT-3.1.2-8]."""
        session.is_ended = True
        self._was_ended = self._was_ended or session.is_over
        if session.is_recorded:
            self._ended_at[session.client_id] = self.turn
        del self.sessions[session.client_id]
        for topic_filter in list(session.subscriptions):
            self._unsubscribe(session, topic_filter)
        self._publish_will(session)
        for errand in list(self._open_errands):
            self._candidate_ended(errand, session)

    def _candidate_ended(self, errand: Errand, session: Session) -> None:
        """Who had a shared message, or may have had it, is no more: another gets it (section 4.8.2)."""
        subscriptions = errand.candidates.pop(session, None)
        if subscriptions is None:
            return
        self._late[errand, session] = subscriptions
        if errand.message.is_big and session.had_size_limit:
            errand.may_be_lost = True
        holder = errand.holder
        if holder is not None and holder.session is not session:
            return
        if holder is not None and holder.qos == 2:  # [MQTT-4.8.2-5]
            self._errand_over(errand)
            return
        errand.holder = None
        self._passed_on = True
        members = self._members(errand.group)
        for member, subscription in members.items():
            errand.candidates.setdefault(member, []).append(subscription)
        if not any(each.qos for each in members.values()) or any(not each.qos for each in members.values()):
            errand.may_be_lost = True  # nobody is there, or it went to somebody at QoS 0
        if self.terms.limits_queues:
            errand.may_be_lost = True  # to somebody who has too many
            self._note_limits(errand)
        if self.terms.gives_back and (self._has_crashed or self.terms.max_queue_memory < NO_LIMIT):
            errand.may_be_lost = True  # it was in the store alone, and is not passed on from there

    def _errand_over(self, errand: Errand) -> None:
        errand.is_over = True
        self._open_errands.pop(errand, None)

    # What the broker gets

    def _on_broker_got(self, event: BrokerGot) -> None:
        wire = self.wires[event.link]
        if not wire.is_open:
            raise Fault(f"a packet reached link {wire.number} after its end")
        if not wire.up or wire.up.popleft() != event.frame:
            raise Fault(f"{event.packet} was not sent that way")
        wire.last_received = self.now
        packet = event.packet
        if isinstance(packet, Connect):
            self._got_connect(wire, packet)
        else:
            assert wire.session is not None, "clients of a simulation wait for CONNACK"
            self._got[type(packet)](wire, wire.session, packet)

    def _got_connect(self, wire: Wire, packet: Connect) -> None:
        said = packet.properties or Properties()
        wished = self._wished_expiry(packet, said)
        expiry_interval = min(wished, self.terms.maximum_session_expiry)
        if self._cannot_begin(packet, expiry_interval):
            wire.questions[ConnAck, 0].append(Question(is_refused=True))
            self._close(wire, with_will=False)
            return
        other = self.sessions.get(packet.client_id)
        if other is not None and other.wire is not None:  # [MQTT-3.1.4-3]
            self._close(other.wire, with_will=True)
        session = self.sessions.get(packet.client_id)
        if session is not None and packet.clean_start:  # [MQTT-3.1.2-4]
            self._end(session)
            session = None
        wire.session_present = session is not None
        if session is None:
            session = Session(packet.client_id, self._index)
            self.sessions[packet.client_id] = session
        wire.may_keep = wished > 0
        self._set_expiry(session, expiry_interval)
        session.ends_at = None
        session.will = packet.will
        session.will_at = None
        session.wire = wire
        wire.session = session
        wire.keep_alive = packet.keep_alive
        wire.receive_maximum = min(said.receive_maximum or MAX_PACKET_ID, self.terms.max_inflight_messages)
        wire.maximum_packet_size = said.maximum_packet_size
        wire.alias_maximum = said.topic_alias_maximum or 0
        if said.maximum_packet_size is not None:
            session.had_size_limit = self._had_size_limit = True
        # It says that the session is there and its client is back, or that no former one is there. While nothing can be
        # committed a session that is safe already is good enough.
        needs = 0
        if session.is_recorded:
            needs = session.recorded_at if self.is_failing else self.turn
        if not wire.session_present:
            needs = max(needs, self._ended_at.get(packet.client_id, 0))
        wire.questions[ConnAck, 0].append(Question(needs, needs))

    def _wished_expiry(self, packet: Connect, said: Properties) -> int:
        if packet.version == 5:
            return said.session_expiry_interval or 0
        return 0 if packet.clean_start else self.terms.v3_session_expiry

    def _cannot_begin(self, packet: Connect, expiry_interval: int) -> bool:
        """Whether the beginning of a session, or the end of a former one, cannot be recorded."""
        session = self.sessions.get(packet.client_id)
        begins = expiry_interval > 0 and (packet.clean_start or session is None or not session.expiry_interval)
        ends = packet.clean_start and session is not None and session.is_recorded
        is_ending = self._ended_at.get(packet.client_id, 0) > self.committed
        return self.is_failing and (begins or ends or is_ending)

    def _set_expiry(self, session: Session, expiry_interval: int) -> None:
        if session.expiry_interval != expiry_interval:
            session.expiry_interval = expiry_interval
            if not session.is_recorded:
                session.is_recorded = True
                session.recorded_at = self.turn

    def _got_publish(self, wire: Wire, session: Session, packet: Publish) -> None:
        said = packet.properties or Properties()
        topic = packet.topic
        if said.topic_alias is not None:
            if topic:
                wire.client_aliases[said.topic_alias] = topic
            topic = wire.client_aliases[said.topic_alias]
        actor = self.actors[wire.actor]
        key = (PubAck if packet.qos == 1 else PubRec), packet.packet_id
        if packet.qos == 2 and packet.packet_id in session.owned:  # a repeat [MQTT-4.3.3-10]
            known, owned_at = session.owned[packet.packet_id]
            if known != packet.payload:
                raise Fault(f"{wire.actor} used packet id {packet.packet_id} for two messages")
            wire.questions[key].append(Question(owned_at, self.turn))
            return
        if packet.qos > 0 and self.is_failing:
            actor.refused_by_broker.add(packet.payload)
            if wire.version == 5:
                wire.questions[key].append(Question(is_refused=True))
            else:  # there is no word for it
                self._unanswered[wire] = None
            return
        owned_at = 0
        if packet.qos == 2:
            owned_at = self._own(wire, session, packet)
        if packet.payload in actor.taken_by_broker:
            self._repeated.add(packet.payload)
        actor.taken_by_broker.add(packet.payload)
        interval = said.message_expiry_interval
        expires_at = None if interval is None else self.now + interval
        message = Message(
            session.client_id,
            topic,
            packet.payload,
            packet.qos,
            packet.retain,
            expires_at,
            said.user_properties,
            owned_at,
        )
        surely, maybe = self._promised_by(message, session)
        if packet.qos > 0:
            needs = self.turn if surely or owned_at else 0
            wire.questions[key].append(Question(needs, self.turn if maybe or owned_at else 0))

    def _own(self, wire: Wire, session: Session, packet: Publish) -> int:
        """Take in a QoS 2 message: the turn that records that, or 0."""
        owned_at = self.turn if session.is_recorded else 0
        session.owned[packet.packet_id] = packet.payload, owned_at
        if packet.payload:
            if packet.payload in session.published:
                raise Fault(f"{wire.actor} published {_short(packet.payload)} twice at QoS 2 [MQTT-4.3.3-2]")
            session.published.add(packet.payload)
        return owned_at

    def _promised_by(self, message: Message, publisher: Session) -> tuple[bool, bool]:
        """Publish a message: whether that is surely recorded, and whether it may be."""
        deliveries, errands = len(self._new), len(self._new_errands)
        surely = message.retain and (message.payload != b"" or message.topic in self.retained)
        maybe = message.retain
        self._publish(message, publisher)
        for delivery in self._new[deliveries:]:
            if delivery.qos > 0 and delivery.session.is_recorded:
                maybe = True
                may_go = delivery.meets_limit or delivery.meets_memory or _is_too_large(delivery)
                surely = surely or not may_go
        for errand in self._new_errands[errands:]:
            maybe = maybe or any(session.is_recorded for session in errand.candidates)
        return surely, maybe

    def _got_puback(self, wire: Wire, session: Session, packet: PubAck) -> None:
        delivery = session.in_flight.get(packet.packet_id)
        wire.unacknowledged.discard(packet.packet_id)
        if delivery is not None and delivery.qos == 1:
            self._done(session, packet.packet_id, delivery, refused=packet.reason_code >= 0x80)

    def _got_pubrec(self, wire: Wire, session: Session, packet: PubRec) -> None:
        delivery = session.in_flight.get(packet.packet_id)
        if packet.reason_code < 0x80:
            needs = 0
            if delivery is not None and delivery.qos == 2:
                if not delivery.release_number:
                    self._released(delivery, wire)
                needs = delivery.released_at
            wire.questions[PubRel, packet.packet_id].append(Question(needs, self.turn))
        elif delivery is not None and delivery.qos == 2 and not delivery.release_number:
            wire.unacknowledged.discard(packet.packet_id)
            self._done(session, packet.packet_id, delivery, refused=True)

    def _released(self, delivery: Delivery, wire: Wire) -> None:
        delivery.release_number = self._next()
        delivery.release_link = wire.number
        delivery.released_at = self.turn if delivery.session.is_recorded else 0

    def _got_pubrel(self, wire: Wire, session: Session, packet: PubRel) -> None:
        if session.owned.pop(packet.packet_id, None) is not None and session.is_recorded:
            session.disowned_at[packet.packet_id] = self.turn
        needs = session.disowned_at.get(packet.packet_id, 0)
        wire.questions[PubComp, packet.packet_id].append(Question(needs, self.turn))

    def _got_pubcomp(self, wire: Wire, session: Session, packet: PubComp) -> None:
        delivery = session.in_flight.get(packet.packet_id)
        wire.unacknowledged.discard(packet.packet_id)
        if delivery is not None and delivery.release_number:
            self._done(session, packet.packet_id, delivery, refused=delivery.is_given_up)

    def _got_pingreq(self, wire: Wire, session: Session, packet: PingReq) -> None:
        wire.questions[PingResp, 0].append(Question())

    def _got_subscribe(self, wire: Wire, session: Session, packet: Subscribe) -> None:
        question = Question(self.turn, self.turn) if session.is_recorded else Question()
        if session.is_recorded and self.is_failing:
            wire.questions[SubAck, packet.packet_id].append(Question(is_refused=True))
            return
        wire.questions[SubAck, packet.packet_id].append(question)
        said = packet.properties or Properties()
        identifier = said.subscription_identifiers[0] if said.subscription_identifiers else None
        wanted: list[tuple[SubscriptionRequest, Subscription]] = []
        for request in packet.requests:
            is_new = request.topic_filter not in session.subscriptions
            subscription = Subscription(
                request.topic_filter, request.qos, request.no_local, request.retain_as_published, identifier
            )
            session.subscriptions[request.topic_filter] = subscription  # [MQTT-3.8.4-3]
            group_name, topic_filter = split_shared(request.topic_filter)
            if group_name:
                group = self.groups.setdefault((group_name, topic_filter), Group(group_name, topic_filter))
                group.members[session] = subscription
                session.shares.setdefault((group_name, topic_filter), []).append(subscription)
                self._had_groups = True
            elif request.retain_handling == 0 or (request.retain_handling == 1 and is_new):  # [MQTT-3.3.1-10]
                wanted.append((request, subscription))
        for request, subscription in wanted:
            self._send_retained(session, subscription, request.topic_filter)

    def _send_retained(self, session: Session, subscription: Subscription, topic_filter: str) -> None:
        messages = [
            message
            for topic, message in self.retained.items()
            if matches(topic_filter, topic)
            and not message.is_expired(self.now)
            and not (subscription.no_local and message.publisher == session.client_id)  # [MQTT-3.8.3-3]
        ]
        before = len(self._new)
        room = self.terms.max_queued_messages + len(messages)
        for message in messages:
            qos = min(message.qos, subscription.qos)
            self._owe(session, message, qos, True, _identifiers(subscription), is_ordered=False, room=room)
        for delivery in self._new[before:]:  # they have no order: any of them may be the last
            delivery.meets_limit = any(each.meets_limit for each in self._new[before:])
        self._check_memory(self._new[before:])

    def _got_unsubscribe(self, wire: Wire, session: Session, packet: Unsubscribe) -> None:
        for topic_filter in packet.topic_filters:
            if topic_filter in session.subscriptions:
                self._unsubscribe(session, topic_filter)
                session.changed_at = self.turn
        question = Question(session.changed_at, self.turn) if session.is_recorded else Question()
        wire.questions[UnsubAck, packet.packet_id].append(question)

    def _unsubscribe(self, session: Session, topic_filter: str) -> None:
        del session.subscriptions[topic_filter]
        group_name, inner = split_shared(topic_filter)
        if group_name:
            group = self.groups[group_name, inner]
            del group.members[session]
            if not group.members:
                del self.groups[group_name, inner]

    def _got_disconnect(self, wire: Wire, session: Session, packet: Disconnect) -> None:
        if packet.properties is not None and packet.properties.session_expiry_interval is not None:
            assert wire.may_keep or not packet.properties.session_expiry_interval, "clients keep to section 3.14.2.2.2"
            expiry_interval = min(packet.properties.session_expiry_interval, self.terms.maximum_session_expiry)
            self._set_expiry(session, expiry_interval)
        self._close(wire, with_will=packet.reason_code != 0)

    # Messages

    def _publish_will(self, session: Session) -> None:
        will = session.will
        session.will = None  # [MQTT-3.1.2-10]
        session.will_at = None
        if will is not None:
            said = will.properties or Properties()
            interval = said.message_expiry_interval
            expires_at = None if interval is None else self.now + interval
            message = Message(session.client_id, will.topic, will.payload, will.qos, will.retain, expires_at)
            self._publish(message, session)

    def _publish(self, message: Message, publisher: Session) -> None:
        """Find out who is to get a message (sections 3.3.4, 4.7, 4.8)."""
        if message.retain and message.payload:
            self.retained[message.topic] = message  # [MQTT-3.3.1-5]
        elif message.retain:
            self.retained.pop(message.topic, None)  # [MQTT-3.3.1-6]
        before = len(self._new)
        for session in self.sessions.values():
            found = [
                each
                for each in session.subscriptions.values()
                if matches(each.topic_filter, message.topic)
                and not (each.no_local and session is publisher)  # [MQTT-3.8.3-3]
            ]
            if found:
                qos = min(message.qos, max(each.qos for each in found))  # [MQTT-3.3.4-2]
                retain = message.retain and any(each.retain_as_published for each in found)
                identifiers = sorted(each.identifier for each in found if each.identifier is not None)
                self._owe(session, message, qos, retain, identifiers)
        for group in self.groups.values():
            if matches(group.topic_filter, message.topic):
                self._owe_group(group, message)
        self._check_memory(self._new[before:])

    def _owe(
        self,
        session: Session,
        message: Message,
        qos: int,
        retain: bool,
        identifiers: list[int],
        *,
        is_ordered: bool = True,
        room: int = 0,
    ) -> None:
        if qos == 0 and session.wire is None:
            return  # at QoS 0 nothing waits
        delivery = Delivery(message, session, qos, retain, identifiers, self._next(), is_ordered)
        key = message.topic, message.payload, qos
        pending = session.pending.get(key)
        if pending is None:
            session.pending[key] = deque((delivery,))
        else:
            pending.append(delivery)
        if qos > 0:
            if self.terms.limits_queues:
                delivery.meets_limit = self._meets_limit(session, message, room)
                session.is_over = session.is_over or delivery.meets_limit
            session.unwritten += 1
            session.unwritten_bytes += len(message.payload)
            session.owed[delivery] = None
            session.newest = delivery
        self._new.append(delivery)

    def _meets_limit(self, session: Session, message: Message, room: int = 0) -> bool:
        """Whether as many messages may wait for a session as can, without this one.

        ``room`` is for retained messages: so many may wait, of any size.
        """
        waiting = [each for each in self._open_errands if each.holder is None and session in each.candidates]
        if session.unwritten + len(waiting) >= (room or self.terms.max_queued_messages):
            return True
        size = session.unwritten_bytes + sum([len(each.message.payload) for each in waiting])
        return not room and size + len(message.payload) > self.terms.max_queued_bytes

    def _check_memory(self, deliveries: list[Delivery]) -> None:
        """Find out whether all messages may take more memory than they may; these came last, in any order."""
        terms = self.terms
        if terms.max_queue_memory == NO_LIMIT:
            return
        memory = sum([each.message.memory for session in self.sessions.values() for each in session.owed])
        memory += sum([each.message.memory for each in self._open_errands])
        if memory > terms.max_queue_memory:
            for delivery in deliveries:
                delivery.meets_memory = not (delivery.session.is_recorded and terms.gives_back)

    def _note_limits(self, errand: Errand) -> None:
        """A shared message may make too many of what waits for whoever gets it."""
        for session in errand.candidates:
            session.is_over = session.is_over or self._meets_limit(session, errand.message)

    def _owe_group(self, group: Group, message: Message) -> None:
        members = group.members
        connected = {session: each for session, each in members.items() if session.wire is not None}
        if not connected and not (message.qos and any(each.qos for each in members.values())):
            return  # at QoS 0 nothing waits
        stays = any(session.wire.number not in self._leaving for session in connected if session.wire is not None)
        candidates = {session: [each] for session, each in (connected if stays else members).items()}
        errand = Errand(message, group, candidates)
        self._errands.setdefault((message.topic, message.payload), []).append(errand)
        if self.terms.limits_queues:
            self._note_limits(errand)
        self._open_errands[errand] = None
        self._new_errands.append(errand)

    def _done(self, session: Session, packet_id: int, delivery: Delivery, *, refused: bool) -> None:
        """A client owns a message, or does not want it."""
        if not refused and delivery.taken <= 0:
            raise Fault(f"{delivery} was acknowledged, and the application has not got it")
        del session.in_flight[packet_id]
        session.owed.pop(delivery, None)
        delivery.is_done = True
        if delivery.errand is not None and delivery.errand.holder is delivery:
            self._errand_over(delivery.errand)

    # What the broker writes

    def _on_broker_wrote(self, event: BrokerWrote) -> None:
        wire = self.wires[event.link]
        packet = event.packet
        size = wire.maximum_packet_size
        if size is not None and len(event.frame) > size:
            raise Fault(f"{packet} exceeds {size} bytes [MQTT-3.1.2-24]")
        if wire.is_over:
            raise Fault(f"{packet} after DISCONNECT [MQTT-3.14.4-1]")
        delivery: Delivery | None = None
        question = Question()
        if isinstance(packet, ConnAck):
            question = self._wrote_connack(wire, packet)
        else:
            if not wire.has_connack:
                raise Fault(f"{packet} before CONNACK [MQTT-3.2.0-1]")
            if isinstance(packet, Publish):
                delivery = self._wrote_publish(wire, packet)
                question = self._promise_of(packet, delivery)
            elif isinstance(packet, PubRel):
                question = self._wrote_pubrel(wire, packet)
            elif isinstance(packet, Disconnect):
                if wire.version != 5:
                    raise Fault("DISCONNECT to a client that has no such packet")
                wire.is_over = True
            else:
                question = self._wrote_answer(wire, packet)
        if wire.is_here:
            wire.written.append(Written(event.frame, packet, delivery, question.needs, question.waits))

    def _promise_of(self, packet: Publish, delivery: Delivery) -> Question:
        """A QoS 2 message goes on when it is recorded that it is here, and what its packet id means."""
        owned_at = delivery.message.owned_at
        if packet.qos == 2 and delivery.session.is_recorded:
            return Question(max(owned_at, delivery.sent_at), self.turn)
        if packet.payload in self._repeated:  # it may be another that came at another QoS
            return Question(0, self.turn)
        return Question(owned_at, owned_at)

    def _wrote_connack(self, wire: Wire, packet: ConnAck) -> Question:
        if wire.has_connack:
            raise Fault("a second CONNACK [MQTT-3.2.0-2]")
        wire.has_connack = True
        (question,) = wire.questions.pop((ConnAck, 0))
        if question.is_refused:
            if packet.reason_code != (_UNAVAILABLE if wire.version == 5 else 3):
                raise Fault(f"{packet} for a client whose session cannot be stored")
            return question
        if packet.reason_code != 0:
            raise Fault(f"{packet} for a client that may come in")
        said = packet.properties or Properties()
        if wire.version == 5 and (said.receive_maximum or MAX_PACKET_ID) != self.terms.receive_maximum:
            raise Fault(f"{packet}: the broker takes {self.terms.receive_maximum} at a time (section 3.2.2.3.3)")
        if packet.session_present != wire.session_present:
            raise Fault(
                f"{packet} for link {wire.number}, whose session present is {wire.session_present} [MQTT-3.2.2-2]"
            )
        return question

    def _wrote_answer(self, wire: Wire, packet: Packet) -> Question:
        questions = wire.questions[type(packet), getattr(packet, "packet_id", 0)]
        if not questions:
            raise Fault(f"{packet} answers nothing on link {wire.number}")
        question = questions.popleft()
        said: list[int] = []
        if isinstance(packet, SubAck):
            said = packet.reason_codes
        elif isinstance(packet, PubAck | PubRec):
            said = [packet.reason_code]
        no = 0x80 if isinstance(packet, SubAck) and wire.version != 5 else _QUOTA_EXCEEDED
        if any((code == no) != question.is_refused or (code >= 0x80) != question.is_refused for code in said):
            raise Fault(f"{packet}, and {'nothing' if question.is_refused else 'everything'} could be stored")
        return question

    def _wrote_pubrel(self, wire: Wire, packet: PubRel) -> Question:
        session = wire.session
        assert session is not None  # CONNACK was written
        delivery = session.in_flight.get(packet.packet_id)
        questions = wire.questions[PubRel, packet.packet_id]
        answered = questions.popleft() if questions else None
        if packet.reason_code == _NOT_FOUND or delivery is None:
            if answered is None:
                raise Fault(f"{packet} answers nothing on link {wire.number}")
            return answered
        if answered is not None and delivery.release_number > 0:
            return answered
        if _is_too_large(delivery) and not delivery.release_number:  # it cannot go again, and its id must be free
            delivery.is_given_up = True
            self._released(delivery, wire)
            return Question(delivery.released_at, self.turn)
        if delivery.release_number <= 0:
            raise Fault(f"{packet} before PUBREC [MQTT-4.3.3-3]")
        if delivery.release_link == wire.number:  # again, on a new connection
            raise Fault(f"{packet} again on one connection [MQTT-4.4.0-1]")
        if not delivery.is_given_up:
            if delivery.release_number <= wire.last_release_number:
                raise Fault(f"{packet} before that of an earlier PUBREC [MQTT-4.6.0-4]")
            wire.last_release_number = delivery.release_number
        return Question(delivery.released_at, self.turn)

    def _wrote_publish(self, wire: Wire, packet: Publish) -> Delivery:
        session = wire.session
        assert session is not None  # CONNACK was written
        topic = self._resolved(wire, packet)
        if packet.dup:
            delivery = self._wrote_again(wire, session, packet, topic)
        else:
            delivery = self._wrote_first(wire, session, packet, topic)
        self._check_properties(wire, packet, delivery)
        delivery.link = wire.number
        if packet.qos > 0:
            wire.unacknowledged.add(packet.packet_id)
            count, quota = len(wire.unacknowledged), wire.receive_maximum
            if count > quota:
                raise Fault(f"{delivery} is number {count} in flight, {quota} may be [MQTT-3.3.4-9]")
        return delivery

    def _resolved(self, wire: Wire, packet: Publish) -> str:
        alias = None if packet.properties is None else packet.properties.topic_alias
        if alias is None:
            return packet.topic
        if not 0 < alias <= wire.alias_maximum:
            raise Fault(f"{packet}: the client takes {wire.alias_maximum} [MQTT-3.1.2-26]")
        if packet.topic:
            wire.aliases[alias] = packet.topic
        if alias not in wire.aliases:
            raise Fault(f"{packet}: the alias was never given a topic")
        return wire.aliases[alias]

    def _wrote_first(self, wire: Wire, session: Session, packet: Publish, topic: str) -> Delivery:
        delivery = self._pending_of(wire, session, packet, topic) or self._errand_of(wire, session, packet, topic)
        delivery.is_written = True
        if packet.retain != delivery.retain:
            raise Fault(f"{packet}: RETAIN of {delivery} [MQTT-3.3.1-12]")
        if delivery.is_ordered and not self._is_ambiguous(delivery):
            order = _order(delivery)
            if session.last_written.get(order, 0) >= delivery.index:
                raise Fault(f"{delivery} comes after a later one [MQTT-4.6.0-5]")
            session.last_written[order] = delivery.index
        if packet.qos == 0:
            return delivery
        if delivery.message.is_expired(self.now):
            raise Fault(f"{delivery} had expired [MQTT-3.3.2-5]")
        other = session.in_flight.get(packet.packet_id)
        if other is not None and not _is_too_large(other):
            raise Fault(f"packet id {packet.packet_id} for {delivery} is in use for {other} [MQTT-2.2.1-3]")
        for other in session.in_flight.values():
            if other.link != wire.number and not other.release_number and not _is_too_large(other):
                raise Fault(
                    f"{delivery} overtakes {other}, which is in flight since an earlier connection [MQTT-4.6.0-1]"
                )
        delivery.sent_number = self._next()
        delivery.sent_at = self.turn
        session.in_flight[packet.packet_id] = delivery
        return delivery

    def _is_ambiguous(self, delivery: Delivery) -> bool:
        """Whether this may be another delivery of a message that was published again: they have their own order."""
        if delivery.may_be_dropped or _is_too_large(delivery):
            return True
        is_alone = not self._had_groups and not self.terms.limits_queues
        if delivery.qos == 0 and self.terms.commits:
            is_alone = False  # of two that came, the one at QoS 2 waits
        return delivery.message.payload in self._repeated and not is_alone

    def _pending_of(self, wire: Wire, session: Session, packet: Publish, topic: str) -> Delivery | None:
        """The message, if it is one for Non-shared Subscriptions."""
        key = topic, packet.payload, packet.qos
        pending = session.pending.get(key)
        if not pending:
            return None
        fitting = [
            each for each in pending if _fits(wire, packet, each.message, each.retain, each.identifiers, self.now)
        ]
        if fitting:  # published again, the same message may be owed twice
            self._was_ambiguous = self._was_ambiguous or len(fitting) > 1
            found = next((each for each in fitting if not each.may_be_dropped), fitting[0])
        elif (topic, packet.payload) in self._errands:
            return None
        else:
            found = pending[0]  # to say what is wrong with it
        pending.remove(found)
        if not pending:
            del session.pending[key]
        if packet.qos > 0:
            session.unwritten -= 1
            session.unwritten_bytes -= len(packet.payload)
        return found

    def _errand_of(self, wire: Wire, session: Session, packet: Publish, topic: str) -> Delivery:
        """The message, which is one for a group of which this is a member."""
        errands = self._errands.get((topic, packet.payload), [])
        taken: tuple[Errand, Subscription] | None = None
        for errand in errands:
            subscription = self._as_member(errand, wire, session, packet)
            if subscription is None:
                continue
            taken = errand, subscription
            if session.is_ended:  # it was written before that
                errand.may_be_lost = True
                return self._errand_done(errand, session, packet, subscription)
            if errand.holder is None and not errand.is_over:
                errand.holder = self._errand_done(errand, session, packet, subscription)
                return errand.holder
        if taken is not None and packet.payload in self._repeated:  # what went to another may be that of before
            return self._errand_done(taken[0], session, packet, taken[1])
        if packet.payload in self._repeated:
            for errand in errands:
                for each in session.shares.get((errand.group.name, errand.group.topic_filter), []):
                    if self._is_meant(each, errand.message, wire, packet):
                        return self._errand_done(errand, session, packet, each)
        if taken is not None:
            raise Fault(f"{taken[0]} went to two members [MQTT-4.8.2-4]")
        raise Fault(f"{_shown(packet)} for {session}: nobody owes it that, or not again [MQTT-4.3.3-2]")

    def _members(self, group: Group) -> dict[Session, Subscription]:
        """Who is in a group now; it may have been without members, and begun again."""
        now = self.groups.get((group.name, group.topic_filter))
        return {} if now is None else now.members

    def _as_member(self, errand: Errand, wire: Wire, session: Session, packet: Publish) -> Subscription | None:
        """As which member a session may get this message for its group by a packet.

        Which group it is meant for is told by its identifier, or is clear since the session is in no other.
        """
        for each in errand.candidates.get(session) or self._late.get((errand, session), []):
            if self._is_meant(each, errand.message, wire, packet):
                return each
        return None

    def _is_meant(self, subscription: Subscription, message: Message, wire: Wire, packet: Publish) -> bool:
        if min(subscription.qos, message.qos) != packet.qos:
            return False
        retain = message.retain and subscription.retain_as_published
        return _fits(wire, packet, message, retain, _identifiers(subscription), self.now)

    def _may_be_missing(self, errand: Errand) -> bool:
        """Whether it is all right that no member has got a message."""
        message = errand.message
        if errand.may_be_lost or message.is_expired(self.now):
            return True
        if message.is_big and any(each.had_size_limit for each in errand.candidates):
            return True
        if message.payload not in self._repeated:
            return False
        errands = self._errands[message.topic, message.payload]
        key = errand.group.name, errand.group.topic_filter
        return any(each.holder is not None for each in errands if (each.group.name, each.group.topic_filter) == key)

    def _errand_done(self, errand: Errand, session: Session, packet: Publish, subscription: Subscription) -> Delivery:
        retain = errand.message.retain and subscription.retain_as_published
        identifiers = _identifiers(subscription)
        delivery = Delivery(
            errand.message, session, packet.qos, retain, identifiers, self._next(), is_ordered=False, errand=errand
        )
        if packet.qos == 0:
            self._run.append(delivery)
        elif not session.is_ended:
            session.owed[delivery] = None
        return delivery

    def _wrote_again(self, wire: Wire, session: Session, packet: Publish, topic: str) -> Delivery:
        if packet.qos == 0:
            raise Fault(f"{packet}: DUP at QoS 0 [MQTT-3.3.1-2]")
        delivery = session.in_flight.get(packet.packet_id)
        if delivery is None:
            raise Fault(f"{packet}: DUP on link {wire.number}, and it was never sent [MQTT-3.3.1-1]")
        message = delivery.message
        if (topic, packet.payload, packet.qos) != (message.topic, message.payload, delivery.qos):
            raise Fault(f"packet id {packet.packet_id} is in use for {delivery}, and {packet} [MQTT-2.2.1-3]")
        if delivery.link == wire.number:
            raise Fault(f"{delivery} again on one connection [MQTT-4.4.0-1]")
        if delivery.release_number:
            raise Fault(f"{delivery} again after PUBREC [MQTT-4.3.3-6]")
        if packet.retain != delivery.retain:
            raise Fault(f"{packet}: RETAIN of {delivery} has changed")
        if delivery.sent_number <= wire.last_sent_number:
            raise Fault(f"{delivery} again, after one that was sent later [MQTT-4.6.0-1]")
        wire.last_sent_number = delivery.sent_number
        return delivery

    def _check_properties(self, wire: Wire, packet: Publish, delivery: Delivery) -> None:
        if wire.version != 5:
            return
        said = packet.properties or Properties()
        message = delivery.message
        identifiers = sorted(said.subscription_identifiers)
        if identifiers != delivery.identifiers:
            raise Fault(f"{delivery} with identifiers {identifiers}, not {delivery.identifiers} [MQTT-3.3.4-3]")
        if said.user_properties != message.user_properties:
            raise Fault(f"{delivery} with other user properties [MQTT-3.3.2-17]")
        left = said.message_expiry_interval
        if message.expires_at is None:
            if left is not None:
                raise Fault(f"{delivery} expires, and nobody asked for it")
        else:
            expected = max(message.expires_at - self.now, 0)
            if left is None or (abs(left - expected) >= 1 and not self._is_ambiguous(delivery)):
                raise Fault(f"{delivery} has {left} s left, not {expected} [MQTT-3.3.2-6]")

    # What it has not written

    def _on_settled(self, event: Settled) -> None:
        """The broker has done what it was asked for: at QoS 0 that was now or never."""
        closed = set(event.closed)
        if closed != self._closed:
            raise Fault(f"the broker closed links {sorted(closed)}; that was due for {sorted(self._closed)}")
        for number in closed:
            wire = self.wires[number]
            wire.was_closed = True
            self._forget(wire)
        if self._new or event.dropped:
            self._check_drops(event.dropped)
        for errand in self._new_errands:
            self._check_errand(errand, dropped=event.dropped > 0)
        for delivery in self._run:
            if delivery.errand is not None and delivery.errand.holder is delivery:
                self._errand_over(delivery.errand)
        self.turn += 1
        self._new.clear()
        self._new_errands.clear()
        self._run.clear()
        self._closed.clear()
        self._passed_on = False
        self._was_ambiguous = False
        self._was_ended = False
        self._late.clear()

    def _check_drops(self, dropped: int) -> None:
        """The broker may drop what meets a limit, and then its counter says so."""
        terms = self.terms
        flagged: list[Delivery] = []
        # Whether the counter may speak of others than those that are flagged:
        unsure = self._passed_on or self._had_size_limit or self._was_ambiguous or bool(self._new_errands)
        for delivery in self._new:
            if delivery.is_written:
                continue
            session = delivery.session
            if delivery.qos > 0:
                is_over = len(delivery.message.payload) > terms.max_queued_bytes  # by itself
                if delivery.meets_memory or (delivery.meets_limit and (is_over or not terms.drops_oldest)):
                    flagged.append(delivery)
                continue
            self._give_up(delivery)
            unsure = True
            has_left = session.wire is None or session.wire.number in self._closed
            may_be_dropped = terms.may_drop_qos0 and dropped > 0
            if not has_left and not may_be_dropped and not _is_too_large(delivery):
                raise Fault(f"{delivery} was lost, and its client was there")
        if not dropped:
            return
        self._dropped += dropped
        if terms.drops_oldest:
            flagged.extend(self._what_waited_longest())
            unsure = unsure or self._had_groups or self._was_ended
        if not unsure and dropped > len(flagged):
            raise Fault(f"{dropped} messages dropped, and {len(flagged)} met a limit")
        for delivery in flagged:
            if not unsure and len(flagged) == dropped:
                self._give_up(delivery)
            else:
                delivery.may_be_dropped = True

    def _give_up(self, delivery: Delivery) -> None:
        """A message was dropped: nobody owes it any more."""
        session = delivery.session
        key = delivery.message.topic, delivery.message.payload, delivery.qos
        pending = session.pending[key]
        pending.remove(delivery)
        if not pending:
            del session.pending[key]
        if delivery.qos > 0:
            session.unwritten -= 1
            session.unwritten_bytes -= len(delivery.message.payload)
            del session.owed[delivery]

    def _what_waited_longest(self) -> list[Delivery]:
        """What may have been dropped from queues that were full: not the newest, if nothing is newer than it."""
        for errand in self._open_errands:
            errand.may_be_lost = errand.may_be_lost or any(session.is_over for session in errand.candidates)
        found: list[Delivery] = []
        for session in self.sessions.values():
            if session.is_over:
                waiting = [each for each in session.owed if not each.is_written]
                stays = self.terms.max_queued_bytes == NO_LIMIT and not self._had_groups
                if waiting and stays and waiting[-1] is session.newest and waiting[-1].is_ordered:
                    waiting.pop()
                found.extend(waiting)
        return found

    def _check_errand(self, errand: Errand, *, dropped: bool) -> None:
        """What could only go at QoS 0 has gone, or is lost."""
        if errand.is_over or errand.holder is not None:
            return
        if dropped:
            errand.may_be_lost = True
        qos = errand.message.qos
        if any(min(qos, each.qos) for subscriptions in errand.candidates.values() for each in subscriptions):
            return  # it waits for somebody
        gone = any(session.wire is None for session in errand.candidates)
        gone = gone or any(late is errand for late, _ in self._late)
        if not gone and not self._may_be_missing(errand):
            raise Fault(f"{errand} was lost, and members were there")
        self._errand_over(errand)

    # What leaves, and when

    def _on_broker_sent(self, event: BrokerSent) -> None:
        """All that may leave has left; if these are not the first, they have overtaken others."""
        wire = self.wires[event.link]
        written = wire.written
        for frame in event.frames:
            index = next((index for index, each in enumerate(written) if each.frame == frame), -1)
            if index < 0:
                raise Fault(f"{frame!r} left on link {wire.number}, and was never written")
            self._check_overtaking(wire, index)
            leaving = written.pop(index)
            if wire.has_been_told:
                raise Fault(f"{leaving.packet} left on link {wire.number} after DISCONNECT [MQTT-3.14.4-1]")
            wire.has_been_told = isinstance(leaving.packet, Disconnect)
            if leaving.needs > self.committed:
                raise Fault(
                    f"{leaving.packet} left on link {wire.number}, and what it promises is not committed: "
                    f"turn {leaving.needs} of {self.committed}"
                )
            wire.down.append((frame, leaving.delivery))
        if wire.is_open:
            self._check_reasons(wire)

    def _check_overtaking(self, wire: Wire, index: int) -> None:
        if index == 0 or (self.is_failing and not wire.is_open):  # then what waits is given up
            return
        leaving, overtaken = wire.written[index], wire.written[:index]
        if isinstance(overtaken[0].packet, ConnAck):
            raise Fault(f"{leaving.packet} overtakes CONNACK on link {wire.number} [MQTT-3.2.0-1]")
        if not leaving.overtakes and not all(each.overtakes for each in overtaken):
            raise Fault(f"{leaving.packet} overtakes {overtaken[0].packet} on link {wire.number}")

    def _check_reasons(self, wire: Wire) -> None:
        """What still waits has a reason, or stands behind something that has."""
        reason = 0
        for waiting in wire.written:
            is_free = waiting.overtakes and not waiting.waits and not isinstance(wire.written[0].packet, ConnAck)
            reason = max(reason, waiting.waits)
            if is_free or reason <= self.committed:
                raise Fault(f"{waiting.packet} waits on link {wire.number}, and nothing is to be committed for it")

    def _on_committed(self, event: Committed) -> None:
        if self.is_failing:
            raise Fault("something is committed, and nothing can be")
        self.committed = event.turn

    def _on_failing(self, event: Failing) -> None:
        self.is_failing = True

    def _on_recovered(self, event: Recovered) -> None:
        """Who got no answer is to send again, on a new connection."""
        self.is_failing = False
        for wire in list(self._unanswered):
            self._close(wire, with_will=True)

    # A crash

    def _on_crashed(self, event: Crashed) -> None:
        """The broker begins again with what it has recorded. All its clients are away from now on."""
        self.is_failing = False
        self.committed = self.turn - 1
        self._unanswered.clear()
        self._has_crashed = True
        connected = [session for session in self.sessions.values() if session.wire is not None]
        for session in connected:
            session.wire = None
        self._end_wires()
        gone = [session for session in self.sessions.values() if not session.is_recorded]
        for session in gone:
            self._vanish(session)
        now = self.now
        for session in connected:
            if session.is_recorded:
                session.ends_at = now + session.expiry_interval
                session.will_at = None if session.will is None else now + _delay(session)
                if session.expiry_interval == NEVER_EXPIRES:
                    session.ends_at = None
        # What falls due now has no order: wills go first here, as in _on_ticked.
        for session in [*gone, *self.sessions.values()]:
            if not session.is_recorded or any(
                at is not None and at <= now for at in (session.will_at, session.ends_at)
            ):
                self._publish_will(session)
        for session in list(self.sessions.values()):
            if session.ends_at is not None and session.ends_at <= now:
                self._end(session)
        for topic in [topic for topic, message in self.retained.items() if message.is_expired(now)]:
            del self.retained[topic]

    def _end_wires(self) -> None:
        for wire in list(self.wires.values()):
            wire.is_open = False
            wire.was_closed = True
            wire.written.clear()
            wire.up.clear()
            self._forget(wire)

    def _vanish(self, session: Session) -> None:
        """A session is gone of which nothing was recorded: what was on its way to it is lost."""
        session.is_ended = True
        del self.sessions[session.client_id]
        for topic_filter in list(session.subscriptions):
            self._unsubscribe(session, topic_filter)
        for errand in list(self._open_errands):
            if errand.candidates.pop(session, None) is None:
                continue
            errand.may_be_lost = True
            if errand.holder is not None and errand.holder.session is session:
                self._errand_over(errand)

    # What clients know of what the broker has forgotten

    def _on_forgotten_got(self, event: BrokerGot) -> None:
        if isinstance(event.packet, Publish):
            wire = self.wires[event.link]
            self.actors[wire.actor].taken_in_vain.add(event.packet.payload)

    def _on_forgotten_wrote(self, event: BrokerWrote) -> None:
        wire = self.wires[event.link]
        if wire.is_here:
            delivery = _FORGOTTEN if isinstance(event.packet, Publish) else None
            wire.written.append(Written(event.frame, event.packet, delivery))

    def _on_forgotten_sent(self, event: BrokerSent) -> None:
        wire = self.wires[event.link]
        for frame in event.frames:
            index = next(index for index, each in enumerate(wire.written) if each.frame == frame)
            wire.down.append((frame, wire.written.pop(index).delivery))

    def _on_forgotten_lost(self, event: BrokerLost) -> None:
        self.wires[event.link].up.clear()

    def _on_forgotten_settled(self, event: Settled) -> None:
        self.turn += 1
        for number in event.closed:
            wire = self.wires[number]
            wire.is_open = False
            wire.was_closed = True
            self._forget(wire)

    def _on_forgotten_recovered(self, event: Recovered) -> None:
        self.is_failing = False

    def _on_forgotten_crash(self, event: Crashed) -> None:
        self.is_failing = False
        self._end_wires()

    def _on_forgotten_done(self, event: AppDone) -> None:
        self.actors[event.actor].publications[event.number].is_done = True

    # What clients write and get

    def _on_client_wrote(self, event: ClientWrote) -> None:
        wire = self.wires[event.link]
        packet = event.packet
        actor = self.actors[wire.actor]
        if not wire.is_here or wire.has_left:
            raise Fault(f"{wire.actor} sends {packet} after the end [MQTT-3.14.4-1]")
        if isinstance(packet, Publish):
            self._client_published(wire, actor, packet)
        elif isinstance(packet, Subscribe | Unsubscribe):
            self._client_uses(wire, actor, packet.packet_id, Exchange(type(packet), link=wire.number))
        elif isinstance(packet, PubRel):
            exchange = actor.in_use.get(packet.packet_id)
            if packet.reason_code != _NOT_FOUND and (exchange is None or not exchange.is_released):
                raise Fault(f"{wire.actor} sends {packet} before PUBREC [MQTT-4.3.3-3]")
        elif isinstance(packet, PubAck | PubRec | PubComp):
            key = type(packet), packet.packet_id
            if wire.client_questions[key] == 0:
                raise Fault(f"{wire.actor} sends {packet}, which answers nothing")
            wire.client_questions[key] -= 1
        elif isinstance(packet, Disconnect):
            wire.has_left = True
        if wire.is_open:
            wire.up.append(event.frame)

    def _client_uses(self, wire: Wire, actor: Actor, packet_id: int, exchange: Exchange) -> None:
        if not 0 < packet_id <= MAX_PACKET_ID:
            raise Fault(f"{wire.actor} uses packet id {packet_id} [MQTT-2.2.1-3]")
        other = actor.in_use.get(packet_id)
        if other is not None:
            raise Fault(f"{wire.actor} uses packet id {packet_id} for {exchange}, and {other} [MQTT-2.2.1-3]")
        actor.in_use[packet_id] = exchange

    def _client_published(self, wire: Wire, actor: Actor, packet: Publish) -> None:
        if packet.qos == 0:
            if packet.dup:
                raise Fault(f"{wire.actor} sends {packet}: DUP at QoS 0 [MQTT-3.3.1-2]")
            return
        packet_id = packet.packet_id
        if packet.dup:
            exchange = actor.in_use.get(packet_id)
            if (
                exchange is None
                or (exchange.kind, exchange.payload, exchange.qos) != (Publish, packet.payload, packet.qos)
                or exchange.is_released
                or exchange.link == wire.number
            ):
                raise Fault(f"{wire.actor} sends {packet} again, and {packet_id} is for {exchange} [MQTT-3.3.1-1]")
            exchange.link = wire.number
        else:
            self._client_uses(wire, actor, packet_id, Exchange(Publish, packet.payload, packet.qos, wire.number))
        wire.client_unacknowledged.add(packet_id)
        count, quota = len(wire.client_unacknowledged), wire.server_receive_maximum
        if count > quota:
            raise Fault(f"{wire.actor} has {count} in flight, the server takes {quota} [MQTT-3.3.4-7]")

    def _on_client_got(self, event: ClientGot) -> None:
        wire = self.wires[event.link]
        packet = event.packet
        actor = self.actors[wire.actor]
        if not wire.down:
            raise Fault(f"{packet} was never sent")
        frame, delivery = wire.down.popleft()
        if frame != event.frame:
            raise Fault(f"{packet} was not sent that way")
        wire.arrived = delivery
        if isinstance(packet, Publish):
            if packet.qos > 0:
                wire.client_questions[PubAck if packet.qos == 1 else PubRec, packet.packet_id] += 1
        elif isinstance(packet, PubRel):
            wire.client_questions[PubComp, packet.packet_id] += 1
        elif isinstance(packet, ConnAck):
            said = packet.properties or Properties()
            if wire.version == 5:
                wire.server_receive_maximum = said.receive_maximum or MAX_PACKET_ID
            if packet.reason_code == 0 and not packet.session_present:  # [MQTT-3.2.2-5]
                actor.in_use.clear()
        elif isinstance(packet, PubRec) and packet.reason_code < 0x80:
            exchange = actor.in_use.get(packet.packet_id)
            if exchange is not None and exchange.qos == 2:
                exchange.is_released = True
        elif isinstance(packet, PubAck | PubComp | PubRec | SubAck | UnsubAck):
            actor.in_use.pop(packet.packet_id, None)
            if not isinstance(packet, SubAck | UnsubAck):
                wire.client_unacknowledged.discard(packet.packet_id)

    # What applications say and hear

    def _on_app_publishes(self, event: AppPublishes) -> None:
        self.actors[event.actor].publications[event.number] = Publication(event.number, event.payload, event.qos)

    def _on_app_done(self, event: AppDone) -> None:
        actor = self.actors[event.actor]
        publication = actor.publications[event.number]
        payload = _short(publication.payload)
        if publication.is_done:
            raise Fault(f"{event.actor} is told twice that {payload} is done")
        publication.is_done = True
        if publication.payload in actor.taken_in_vain:
            return
        if event.reason_code >= 0x80:
            if publication.payload not in actor.refused_by_broker:
                raise Fault(f"{payload} of {event.actor} was refused: 0x{event.reason_code:02X}")
        elif publication.payload not in actor.taken_by_broker:
            raise Fault(f"{event.actor} is told that {payload} is done, and the broker never got it [MQTT-4.3.2-1]")

    def _on_app_got(self, event: AppGot) -> None:
        wire = self.wires[event.link]
        delivery, wire.arrived = wire.arrived, None
        if delivery is None:
            raise Fault(f"{wire.actor} gives its application {_short(event.payload)}, and nothing came")
        if delivery is _FORGOTTEN:
            return
        message = delivery.message
        if (event.topic, event.payload, event.qos) != (message.topic, message.payload, delivery.qos):
            raise Fault(f"{wire.actor} gives its application {event}, and {delivery} came")
        delivery.taken += 1
        if delivery.qos == 2 and delivery.taken > 1:
            raise Fault(f"{delivery} came to the application twice [MQTT-4.3.3-10]")
        if delivery.taken == 1 and delivery.is_ordered and not self._is_ambiguous(delivery):
            order = _order(delivery)
            if delivery.session.last_taken.get(order, 0) >= delivery.index:
                raise Fault(f"{delivery} came to the application after a later one [MQTT-4.6.0-5]")
            delivery.session.last_taken[order] = delivery.index

    def _on_restarted(self, event: Restarted) -> None:
        actor = self.actors[event.actor]
        actor.in_use.clear()
        actor.publications.clear()

    # The end

    def _on_rested(self, event: Rested) -> None:
        """Everybody had time for everything: nothing may be missing."""
        dropped = 0
        for session in self.sessions.values():
            if session.wire is None:
                raise Fault(f"{session} is alone")
            for delivery in session.owed:
                is_expired = not delivery.is_written and delivery.message.is_expired(self.now)
                if is_expired or _is_too_large(delivery):
                    continue
                if not delivery.may_be_dropped or delivery.is_written:
                    raise Fault(f"{delivery} is lost [MQTT-4.3.{delivery.qos + 1}-1]")
                dropped += 1
        if dropped > self._dropped:
            raise Fault(f"{dropped} messages are lost, and {self._dropped} were dropped")
        for errand in list(self._open_errands):
            if errand.holder is None and not self._may_be_missing(errand):
                raise Fault(f"{errand} is lost")
        for actor in self.actors.values():
            for publication in actor.publications.values():
                if not publication.is_done:
                    raise Fault(f"{actor.name} was never told how {_short(publication.payload)} went")
        for wire in self.wires.values():
            unanswered = [(kind.__name__, packet_id) for (kind, packet_id), asked in wire.questions.items() if asked]
            if wire.is_open and (unanswered or wire.written):
                raise Fault(f"link {wire.number} waits for {unanswered or wire.written}")

    def _on_over(self, event: Over) -> None:
        left = [*map(str, self.sessions.values()), *self.retained, *map(str, self.groups.values())]
        if left:
            raise Fault(f"the simulation itself has left {left}")
        if any(wire.is_open for wire in self.wires.values()):
            raise Fault("connections are left")


_FORGOTTEN = Delivery(Message("", "", b"", 0, False), Session("", 0), 0, False, [], 0, is_ordered=False)
"""What the broker wrote and has forgotten, and clients have got."""


def _is_too_large(delivery: Delivery) -> bool:
    """Whether a message may have been more than its client takes, at one time at least [MQTT-3.1.2-25]."""
    return delivery.message.is_big and delivery.session.had_size_limit


def _order(delivery: Delivery) -> Order:
    """Those of one client, topic and QoS [MQTT-4.6.0-5]; what came at QoS 2 waits for its record, and is overtaken."""
    message = delivery.message
    return message.publisher, message.topic, delivery.qos, message.qos == 2


def _identifiers(subscription: Subscription) -> list[int]:
    return [] if subscription.identifier is None else [subscription.identifier]


def _fits(wire: Wire, packet: Publish, message: Message, retain: bool, identifiers: list[int], now: float) -> bool:
    """Whether a packet says what it should, but for what tells one message from another."""
    if packet.retain != retain or message.is_expired(now):
        return False
    if wire.version != 5:
        return True
    said = packet.properties or Properties()
    left = said.message_expiry_interval
    return (
        sorted(said.subscription_identifiers) == identifiers
        and said.user_properties == message.user_properties
        and (left is None) == (message.expires_at is None)
        and (left is None or message.expires_at is None or abs(left - (message.expires_at - now)) < 1)
    )


def _shown(packet: Publish) -> str:
    return f"{packet.payload.rstrip(b'.')!r} on {packet.topic!r} at QoS {packet.qos}"


def _short(payload: bytes) -> str:
    return repr(payload.rstrip(b"."))


def _delay(session: Session) -> int:
    """Seconds from the loss of the connection to the will (section 3.1.3.2.2)."""
    will = session.will
    if will is None or will.properties is None:
        return 0
    return will.properties.will_delay_interval or 0


@cache
def split_shared(topic_filter: str) -> tuple[str, str]:
    """The group (empty if there is none) and the filter of a subscription (section 4.8.2)."""
    if not topic_filter.startswith("$share/"):
        return "", topic_filter
    _, group_name, inner = topic_filter.split("/", 2)
    return group_name, inner


@cache
def matches(topic_filter: str, topic: str) -> bool:
    """Whether a filter matches a topic name (section 4.7). That of a Shared Subscription matches nothing here."""
    if topic_filter.startswith("$share/") or (topic.startswith("$") and topic_filter[0] in "+#"):
        return False
    wanted, names = topic_filter.split("/"), topic.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index == len(names) or level not in ("+", names[index]):
            return False
    return len(wanted) == len(names)
