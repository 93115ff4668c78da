"""What a broker owes its clients although it is killed again and again, judged from outside.

Knows the rules of the specification, what an acknowledgement promises, and what
the clients wrote and got, in order. Knows no process, no socket and no client; it
looks at a clock for one rule only, that of sessions that end. Each broken rule is
a line in ``faults``.

Events are numbered: a *moment* is one such number. One *life* of the broker lasts
from one start to the next.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache

from telex.wire.packets import Publish

LATE = 5.0
"""Seconds after its end by which a session must be gone: the broker counts in whole ones, and may be busy."""

_EARLY = 0.05  # seconds by which its clock may differ from ours
_LINES = 100  # of a client's story that are kept
_SHOWN = 3  # of messages that suffer the same


@dataclass(eq=False, slots=True)
class Message:
    """A message of a publisher, who numbers them from 1."""

    publisher: str
    number: int
    topic: str
    qos: int
    size: int = 0  # bytes of filler
    retain: bool = False
    is_deletion: bool = False  # of the retained message: its payload is empty
    sent_at: int = 0  # the moment of its first PUBLISH; 0: not yet
    written_at: int = 0  # of its last one
    written_in: int = 0  # the life of that
    done_at: int = 0  # of its PUBACK or PUBCOMP; 0: not yet
    resends: int = 0
    position: int = 0  # among all of its topic, if it is retained

    @property
    def payload(self) -> bytes:
        return b"" if self.is_deletion else f"{self.publisher} {self.number} ".encode() + b"." * self.size

    @property
    def may_be_copied(self) -> bool:
        """Whether the broker may rightly have taken it for two messages [MQTT-4.3.2-5]."""
        return self.qos == 1 and self.resends > 0

    def __str__(self) -> str:
        return f"{self.publisher}:{self.number} ({self.topic!r}, QoS {self.qos})"


@dataclass(eq=False, slots=True)
class Arrival:
    """A message that has come to a session."""

    packet_ids: list[int]  # of its copies and their repeats
    link: int  # by which it came last
    life: int  # of that
    moment: int  # of that
    was_unproven: bool = False  # the broker may have been killed before it wrote down that it was sent
    finished_in: int = 0  # the life in which the broker surely got our PUBACK; 0: none
    finished_at: int = 0


@dataclass(eq=False, slots=True)
class Span:
    """One time that a subscription was there, in moments; 0: not yet."""

    asked: int
    held: int = 0  # SUBACK
    leaving: int = 0  # the first UNSUBSCRIBE, or a CONNECT with Clean Start
    gone: int = 0  # UNSUBACK
    attempts: int = 0  # to unsubscribe

    def surely_covers(self, start: int, end: int) -> bool:
        return 0 < self.held < start and (self.leaving == 0 or end < self.leaving)

    def may_cover(self, start: int, end: int) -> bool:
        return self.asked <= end and (self.gone == 0 or start < self.gone)


@dataclass(eq=False, slots=True)
class Subscription:
    """What a session asked for, again and again."""

    topic_filter: str
    qos: int
    spans: list[Span] = field(default_factory=list)

    def surely_covers(self, start: int, end: int) -> bool:
        return any(span.surely_covers(start, end) for span in reversed(self.spans[-3:]))

    def may_cover(self, start: int, end: int) -> bool:
        return any(span.may_cover(start, end) for span in reversed(self.spans))


Order = dict[tuple[str, str, int], int]
"""The highest number that came, by publisher, topic and QoS."""


@dataclass(eq=False, slots=True)
class Session:
    """What the broker is to remember of a client id, and where the exchanges with it stand."""

    name: str
    expiry_interval: int | None = None  # seconds; None: longer than any test
    is_known: bool = False  # a CONNACK has promised it
    is_starting_clean: bool = False
    is_passing: bool = False  # it ends with its connection: in v3, one that started clean
    will_pass: bool = False  # the same, of the session that the last CONNECT asked for
    attempts: int = 0  # to connect since the last CONNACK
    link: int = 0  # the number of its last connection
    is_connected: bool = False
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    owed: dict[Message, None] = field(default_factory=dict)
    arrivals: dict[Message, Arrival] = field(default_factory=dict)
    first_order: Order = field(default_factory=dict)  # of first arrivals
    owned: dict[int, Message] = field(default_factory=dict)  # QoS 2 between PUBLISH and PUBREL, by packet id
    uncompleted: dict[int, int] = field(default_factory=dict)  # PUBREL came by that link, PUBCOMP has not left
    completed: set[int] = field(default_factory=set)  # PUBCOMP has left, and may have been lost
    again: dict[int, Message] = field(default_factory=dict)  # that must come again, since we did not answer
    # Of one connection:
    unanswered: dict[int, Message] = field(default_factory=dict)  # neither PUBACK nor PUBREC has left
    link_order: Order = field(default_factory=dict)
    answered: list[Arrival] = field(default_factory=list)  # by PUBACK
    pinged: list[int] = field(default_factory=list)  # how many were answered before each PINGREQ
    # Of a session that ends:
    left_at: float | None = None  # by the clock; None: its client is there
    left_moment: int = 0  # from which on the broker knew
    surely_left_at: float | None = None  # when that was written down, at the latest
    must_be_over: bool = False  # when its client connected

    def subscription(self, topic: str) -> Subscription | None:
        for each in self.subscriptions.values():
            if matches(each.topic_filter, topic):
                return each  # there is one at most: filters of a session do not overlap here
        return None


class Referee:
    """Sees all that clients write and get."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.faults: list[str] = []
        self.story: list[str] = []  # what the session went through at last that the first fault is about
        self.counts: Counter[str] = Counter()
        self.chapter = ""  # what is going on, for people
        self.moment = 0
        self.life = 0
        self.sessions: dict[str, Session] = {}
        self.is_at_rest = False  # all is said and done: nothing may come any more
        self._stories: defaultdict[str, deque[tuple[object, ...]]] = defaultdict(lambda: deque(maxlen=_LINES))
        self._messages: dict[tuple[str, int], Message] = {}
        self._open: dict[Message, None] = {}  # sent, and not acknowledged
        self._proven = [0]  # by life: what was received before that moment was written down by then
        self._retained: dict[str, list[Message]] = {}
        self._floors: dict[str, int] = {}  # by topic: so many of its first messages are acknowledged

    def fault(self, name: str, text: str, *, cause: str = "") -> None:
        """A rule was broken, in what concerns a client; without a name, all of them. ``cause``: whose story tells."""
        said = f"{name} {text}" if name else text
        if not self.faults:
            self.story = [" ".join(map(str, line)) for line in self._stories[name or cause]]
        self.faults.append(f"{self.chapter}: {said}" if self.chapter else said)

    def _tell(self, name: str, *said: object) -> None:
        """Remember what a client went through, for people."""
        self._stories[name].append((f"moment {self.moment}, life {self.life}:", *said))

    # The broker

    def started(self) -> None:
        """The broker begins a life."""
        self.moment += 1
        self.life += 1
        for name in self.sessions:
            self._tell(name, "the broker has started")
        self._proven.append(0)
        for session in self.sessions.values():
            if session.left_at is not None and session.surely_left_at is None:
                session.left_moment = self.moment  # at the latest: it finds a session whose client is not there

    # Sessions

    def session(self, name: str, expiry_interval: int | None = None) -> Session:
        """The session of a client id."""
        return self.sessions.setdefault(name, Session(name, expiry_interval))

    def connects(self, name: str, *, clean_start: bool = False, is_kept: bool = True) -> None:
        """CONNECT leaves; ``is_kept``: it asks for a session that outlives the connection."""
        self.moment += 1
        self._tell(name, "> CONNECT", "Clean Start" if clean_start else "")
        session = self.session(name)
        session.is_starting_clean = clean_start
        session.will_pass = not is_kept
        session.attempts += 1
        session.must_be_over = self._must_be_over(session)
        session.surely_left_at = None  # it may begin to count anew, though no CONNACK comes
        session.left_moment = 0
        if clean_start:
            for subscription in session.subscriptions.values():
                for span in subscription.spans:
                    span.leaving = span.leaving or self.moment

    def connack(self, name: str, session_present: bool) -> None:
        """The broker has accepted a client."""
        self.moment += 1
        self._tell(name, "< CONNACK", "Session Present" if session_present else "")
        session = self.session(name)
        if session.is_starting_clean:
            if session_present:
                self.fault(name, "started clean, and its session is present")
            session = self._renew(session)
        elif session.is_passing:
            if session_present and session.attempts == 1:
                self.fault(name, "has a session that was to end with its connection")
            session = self._renew(session)
        elif session.is_known and not session_present:
            if not self.may_be_over(session):
                self.fault(name, "has lost its session")
            self.counts["sessions that had ended"] += 1
            session = self._renew(session)
        elif session.is_known and session.must_be_over:
            self.fault(name, "has a session that should have ended")
        session.is_known = True
        session.is_passing = session.will_pass
        session.attempts = 0
        session.is_connected = True
        session.link += 1
        session.left_at = session.surely_left_at = None
        session.left_moment = 0
        unanswered = session.again | session.unanswered
        session.again = {key: each for key, each in unanswered.items() if self._is_in_flight(session, each)}
        self._forget_link(session)
        self.counts["sessions resumed" if session_present else "sessions begun"] += 1

    def forgets(self, name: str) -> None:
        """A client is never seen again, and nobody cares for its session or its messages."""
        self.sessions.pop(name, None)
        for message in [each for each in self._open if each.publisher == name]:
            del self._open[message]

    def _renew(self, session: Session) -> Session:
        new = self.sessions[session.name] = Session(session.name, session.expiry_interval, link=session.link)
        new.will_pass = session.will_pass
        return new

    def _is_in_flight(self, session: Session, message: Message) -> bool:
        """Whether the broker must know that it has sent a message to a client that has not answered."""
        arrival = session.arrivals[message]
        if arrival.life == self.life or self._effective_qos(session, message) == 2:
            return True
        return not self._was_unproven(arrival)

    def _was_unproven(self, arrival: Arrival) -> bool:
        """Whether the broker was killed before it surely wrote down that it had sent a message of QoS 1."""
        return arrival.life < self.life and arrival.moment >= self._proven[arrival.life]

    def _forget_link(self, session: Session) -> None:
        session.unanswered = {}
        session.link_order = {}
        session.answered = []
        session.pinged = []

    def leaves(self, name: str) -> None:
        """DISCONNECT leaves: from now on, at the earliest, the rest of its time is counted."""
        self._tell(name, "> DISCONNECT")
        self.session(name).left_at = self.clock()

    def loses(self, name: str, *, is_noticed: bool = False) -> None:
        """A connection is over; ``is_noticed``: the broker was the one to close it."""
        self.moment += 1
        self._tell(name, "has no connection any more")
        session = self.session(name)
        session.is_connected = False
        if session.left_at is None:
            session.left_at = self.clock()
        if session.expiry_interval is not None:
            session.left_moment = self.moment if is_noticed else 0

    def may_be_over(self, session: Session) -> bool:
        """Whether a session may have ended by now."""
        if session.expiry_interval is None or session.left_at is None:
            return False
        return self.clock() >= session.left_at + session.expiry_interval - _EARLY

    def _must_be_over(self, session: Session) -> bool:
        if session.expiry_interval is None or session.surely_left_at is None:
            return False
        return self.clock() > session.surely_left_at + session.expiry_interval + LATE

    # Subscriptions

    def subscribes(self, name: str, topic_filter: str, qos: int) -> None:
        """SUBSCRIBE leaves; again, if the last one got no answer."""
        self.moment += 1
        self._tell(name, "> SUBSCRIBE", topic_filter)
        subscription = self.session(name).subscriptions.setdefault(topic_filter, Subscription(topic_filter, qos))
        if not subscription.spans or subscription.spans[-1].leaving:
            subscription.spans.append(Span(self.moment))

    def suback(self, name: str, topic_filter: str) -> None:
        """The subscription is there."""
        self.moment += 1
        self._tell(name, "< SUBACK", topic_filter)
        self.counts["SUBACK"] += 1
        span = self.session(name).subscriptions[topic_filter].spans[-1]
        span.held = span.held or self.moment

    def unsubscribes(self, name: str, topic_filter: str) -> None:
        """UNSUBSCRIBE leaves."""
        self.moment += 1
        self._tell(name, "> UNSUBSCRIBE", topic_filter)
        span = self.session(name).subscriptions[topic_filter].spans[-1]
        span.leaving = span.leaving or self.moment
        span.attempts += 1

    def unsuback(self, name: str, topic_filter: str, reason_codes: list[int]) -> None:
        """The subscription is gone. In v5 the code says whether there was one."""
        self.moment += 1
        self._tell(name, "< UNSUBACK", topic_filter)
        self.counts["UNSUBACK"] += 1
        spans = self.session(name).subscriptions[topic_filter].spans
        if spans[-1].held and spans[-1].attempts == 1 and reason_codes not in ([], [0]):
            self.fault(name, f"has lost its subscription to {topic_filter!r}: UNSUBACK {reason_codes}")
        for span in spans:
            span.gone = span.gone or self.moment

    # From publishers

    def writes(self, message: Message) -> None:
        """A PUBLISH leaves; with DUP if it did before."""
        is_repeat = message.sent_at > 0
        self._registers(message)
        self._tell(message.publisher, "> PUBLISH", message, "DUP" if is_repeat else "")
        if is_repeat:
            message.resends += 1
            self.counts["sent again by publishers"] += 1
            return
        self.counts[f"sent at QoS {message.qos}"] += 1
        if message.qos > 0:
            self._open[message] = None
        if message.retain:
            of_topic = self._retained.setdefault(message.topic, [])
            message.position = len(of_topic)
            of_topic.append(message)

    def _registers(self, message: Message) -> None:
        self.moment += 1
        message.written_at = self.moment
        message.written_in = self.life
        message.sent_at = message.sent_at or self.moment
        self._messages[message.publisher, message.number] = message

    def acknowledged(self, message: Message) -> None:
        """PUBACK or PUBCOMP has come."""
        self.moment += 1
        self._tell(message.publisher, "<", "PUBACK" if message.qos == 1 else "PUBCOMP", message)
        self.counts["acknowledged"] += 1
        is_recorded = self._is_owed(message) or message.qos == 2 or message.retain
        if is_recorded and message.written_in == self.life:
            self._prove(message.written_at)
        if message.retain:
            of_topic = self._retained[message.topic]
            floor = self._floors.get(message.topic, 0)
            while floor < len(of_topic) and of_topic[floor].done_at:
                floor += 1
            self._floors[message.topic] = floor

    def _prove(self, moment: int) -> None:
        """All that the broker did before that moment is written down."""
        self._proven[self.life] = max(self._proven[self.life], moment)
        for session in self.sessions.values():
            if session.left_at is not None and session.surely_left_at is None and 0 < session.left_moment < moment:
                session.surely_left_at = self.clock()

    def wills(self, message: Message) -> None:
        """A CONNECT leaves with that will."""
        self._registers(message)
        message.resends += 1  # by the broker itself, if it is killed when it has published it

    def willed(self, message: Message) -> None:
        """The client of a will is lost, which the broker had surely taken."""
        self.moment += 1
        self.counts["wills"] += 1
        message.resends += 1  # by the broker itself, if it is killed again
        self._is_owed(message)

    def _is_owed(self, message: Message) -> bool:
        """From now on the message must come to whoever has subscribed: whether there is anybody."""
        message.done_at = self.moment
        self._open.pop(message, None)
        is_owed = False
        for session in self.sessions.values():
            subscription = session.subscription(message.topic)
            if subscription is None or subscription.qos == 0:
                continue
            if subscription.surely_covers(message.sent_at, message.done_at):
                is_owed = True
                if message not in session.arrivals:
                    session.owed[message] = None
        return is_owed

    # To subscribers

    def receives(self, name: str, packet: Publish) -> None:
        """A PUBLISH has come, its topic spelled out."""
        self.moment += 1
        session = self.session(name)
        message = self._message(name, packet)
        self._tell(name, "< PUBLISH", _shown(packet), message)
        if message is None:
            return
        if self.is_at_rest:
            self.fault(name, f"got {message} after everything was done, as {_shown(packet)}")
        if packet.qos != self._effective_qos(session, message):
            self.fault(name, f"got {message} at QoS {packet.qos}")
        if packet.qos > 0:
            self._receives_numbered(session, packet, message)
        arrival = session.arrivals.get(message)
        is_new = arrival is None
        if arrival is None:
            self._arrives(session, packet, message)
        elif packet.qos == 1:
            self._arrives_again(session, packet, message, arrival)
        elif packet.qos == 0 and not message.may_be_copied:
            self.fault(name, f"got {message} twice")
        self._keeps_order(session, message, packet, is_new=is_new)

    def _message(self, name: str, packet: Publish) -> Message | None:
        """Which message that is."""
        message = self._find(packet.topic, packet.payload)
        if message is None:
            self.fault(name, f"got what nobody has sent: {_shown(packet)} {packet.payload[:50]!r} on {packet.topic!r}")
            return None
        if packet.retain:
            self.fault(name, f"got {message} with RETAIN")
        return message

    def _find(self, topic: str, payload: bytes) -> Message | None:
        publisher, _, rest = payload.decode().partition(" ")
        number = rest.partition(" ")[0]
        message = self._messages.get((publisher, int(number))) if number.isdecimal() else None
        is_whole = message is not None and (message.topic, message.payload) == (topic, payload)
        return message if is_whole else None

    def _effective_qos(self, session: Session, message: Message) -> int:
        subscription = session.subscription(message.topic)
        return message.qos if subscription is None else min(message.qos, subscription.qos)

    def _receives_numbered(self, session: Session, packet: Publish, message: Message) -> None:
        """Judge the use of a packet id [MQTT-2.2.1-4] [MQTT-4.4.0-1]."""
        packet_id = packet.packet_id
        name = session.name
        known = session.unanswered.get(packet_id)
        if known is not None:
            self.fault(name, f"got {message} as {_shown(packet)}, and has not answered {known} with that id")
        if packet_id in session.uncompleted:
            self.fault(name, f"got {message} as {_shown(packet)}, and that id waits for its PUBCOMP")
        known = session.again.pop(packet_id, None) or (session.owned.get(packet_id) if packet.qos == 2 else None)
        if known is not None and known is not message:
            self.fault(name, f"got {message} as {_shown(packet)}, an id that {known} has in flight")
        elif known is not None and not packet.dup:
            self.fault(name, f"got {message} again as {_shown(packet)}, without DUP [MQTT-3.3.1-1]")
        session.unanswered[packet_id] = message
        if packet.qos == 2:
            if packet_id in session.owned:
                self.counts["repeated at QoS 2"] += 1
            elif message in session.arrivals:
                self.fault(name, f"got {message} twice, as {_shown(packet)}; duplicate at QoS 2")
            session.owned[packet_id] = message
            session.completed.discard(packet_id)

    def _arrives(self, session: Session, packet: Publish, message: Message) -> None:
        """It comes for the first time."""
        self.counts["received"] += 1
        session.owed.pop(message, None)
        session.arrivals[message] = Arrival([packet.packet_id], session.link, self.life, self.moment)
        subscription = session.subscription(message.topic)
        if subscription is None or not subscription.may_cover(message.sent_at, message.done_at or self.moment):
            self.fault(session.name, f"got {message}, and had no subscription for it")

    def _arrives_again(self, session: Session, packet: Publish, message: Message, arrival: Arrival) -> None:
        """A repeat at QoS 1 needs a reason: the connection was lost, or the publisher sent it again."""
        self.counts["repeated at QoS 1"] += 1
        if self._was_unproven(arrival):
            arrival.was_unproven = True
        may_be_other = message.may_be_copied or arrival.was_unproven
        said = f"got {message} again as {_shown(packet)}, first as id {arrival.packet_ids[0]}"
        if not may_be_other:
            if arrival.link == session.link:
                self.fault(session.name, f"{said}, on the same connection")
            elif packet.packet_id not in arrival.packet_ids:
                self.fault(session.name, f"{said}: in flight it must keep its id [MQTT-4.4.0-1]")
            elif not packet.dup:
                self.fault(session.name, f"{said}, without DUP [MQTT-3.3.1-1]")
            elif arrival.finished_in == self.life or 0 < arrival.finished_at < self._proven[arrival.finished_in]:
                self.fault(session.name, f"{said}, and its PUBACK was written down")
        elif not packet.dup and not message.may_be_copied:
            self.counts["sent as new, since the crash came before the commit"] += 1
        arrival.packet_ids.append(packet.packet_id)
        arrival.link = session.link
        arrival.life = self.life
        arrival.moment = self.moment
        arrival.finished_in = arrival.finished_at = 0

    def _keeps_order(self, session: Session, message: Message, packet: Publish, *, is_new: bool) -> None:
        """Messages of a publisher on a topic at a QoS come in order [MQTT-4.6.0-5] [MQTT-4.6.0-6]."""
        key = (message.publisher, message.topic, message.qos)
        orders = []
        if not message.may_be_copied:
            orders.append(session.link_order)
        if is_new and not (message.may_be_copied and self._came_before_subscription(session, message)):
            orders.append(session.first_order)
        for order in orders:
            before = order.get(key, 0)
            if message.number < before:
                self.fault(session.name, f"got {message} as {_shown(packet)} behind {before}: order")
                return
            order[key] = message.number

    def _came_before_subscription(self, session: Session, message: Message) -> bool:
        """Whether the broker may have routed a message before the session subscribed: a copy comes in its own turn."""
        subscription = session.subscription(message.topic)
        return subscription is None or not subscription.surely_covers(message.sent_at, message.sent_at)

    def releases(self, name: str, packet_id: int) -> None:
        """A PUBREL has come."""
        self.moment += 1
        self._tell(name, "< PUBREL", packet_id)
        session = self.session(name)
        if packet_id in session.unanswered:
            self.fault(name, f"got PUBREL {packet_id} before its PUBREC left")
        elif packet_id in session.owned:
            del session.owned[packet_id]
        elif packet_id in session.uncompleted:
            if session.uncompleted[packet_id] == session.link:
                self.fault(name, f"got PUBREL {packet_id} twice on one connection")
        elif packet_id in session.completed:
            self.counts["PUBREL again after PUBCOMP"] += 1
        else:
            self.fault(name, f"got PUBREL {packet_id}, which nobody had in flight")
        if self.is_at_rest:
            self.fault(name, f"got PUBREL {packet_id} after everything was done")
        session.uncompleted[packet_id] = session.link

    def answers(self, name: str, packet_id: int) -> None:
        """PUBACK or PUBREC leaves."""
        self._tell(name, "> PUBACK or PUBREC", packet_id)
        session = self.session(name)
        message = session.unanswered.pop(packet_id, None)
        if message is not None and session.owned.get(packet_id) is not message:
            session.answered.append(session.arrivals[message])

    def completes(self, name: str, packet_id: int) -> None:
        """PUBCOMP leaves."""
        self._tell(name, "> PUBCOMP", packet_id)
        session = self.session(name)
        session.uncompleted.pop(packet_id, None)
        session.completed.add(packet_id)

    def pings(self, name: str) -> None:
        """PINGREQ leaves."""
        session = self.session(name)
        session.pinged.append(len(session.answered))

    def pingresp(self, name: str) -> None:
        """PINGRESP has come: what was answered before the PINGREQ has reached the broker."""
        self.moment += 1
        session = self.session(name)
        count = session.pinged.pop(0)
        for arrival in session.answered[:count]:
            arrival.finished_in = self.life
            arrival.finished_at = self.moment
        del session.answered[:count]
        session.pinged = [each - count for each in session.pinged]

    # Retained messages

    def retained_floors(self) -> dict[str, int]:
        """What whoever subscribes now must get at least; for ``judge_retained``."""
        return {topic: self._floors.get(topic, 0) for topic in self._retained}

    def judge_retained(self, floors: dict[str, int], found: dict[str, bytes], *, is_whole: bool) -> None:
        """Judge the first payload that came for each topic; ``is_whole``: no other will come."""
        for topic, payload in found.items():
            message = self._find(topic, payload)
            floor = floors.get(topic, 0)
            if payload == b"":
                if not self._may_be_deleted(topic, floor):
                    self.fault("", f"{topic!r} was deleted, and nobody asked for it")
            elif message is None:
                self.fault("", f"nobody has sent what is retained for {topic!r}: {payload[:50]!r}")
            elif message.position + 1 < floor:
                newer = self._retained[topic][floor - 1]
                self.fault("", f"{message} is retained, and {newer} was acknowledged", cause=newer.publisher)
            self.counts["retained messages looked at"] += 1
        if is_whole:
            for missing in self.missing_retained(floors, found):
                text = f"no message is retained for {missing.topic!r}, and {missing} was acknowledged"
                self.fault("", text, cause=missing.publisher)

    def missing_retained(self, floors: dict[str, int], found: dict[str, bytes]) -> list[Message]:
        """The last acknowledged messages of topics for which some message must be retained, and none was found."""
        return [
            self._retained[topic][floor - 1]
            for topic, floor in floors.items()
            if floor > 0 and topic not in found and not self._may_be_deleted(topic, floor)
        ]

    def _may_be_deleted(self, topic: str, floor: int) -> bool:
        of_topic = self._retained.get(topic, [])
        return floor == 0 or any(each.is_deletion for each in of_topic[floor - 1 :])

    # The end

    def rests(self) -> None:
        """Everybody is connected, and nothing moves any more: all must be done."""
        if self._open:
            self.fault("", f"never acknowledged: {_listed(self._open)}")
        for name, session in self.sessions.items():
            if not session.is_connected:
                continue
            for what, messages in (
                ("was never given, though acknowledged,", session.owed),
                ("was never sent again", session.again.values()),
                ("waits for PUBREL of", session.owned.values()),
                ("did not answer", session.unanswered.values()),
            ):
                if messages:
                    self.fault(name, f"{what} {_listed(messages)}")
            if session.uncompleted:
                self.fault(name, f"waits for PUBREL again of the ids {list(session.uncompleted)[:_SHOWN]}")

    def is_done(self, name: str) -> bool:
        """Whether a session has got all, and every exchange is over."""
        session = self.session(name)
        return not (session.owed or session.again or session.owned or session.unanswered or session.uncompleted)


@cache
def matches(topic_filter: str, topic: str) -> bool:
    """Whether a filter takes a topic (section 4.7), both of the plain kind that is used here."""
    levels = topic.split("/")
    for index, level in enumerate(topic_filter.split("/")):
        if level == "#":
            return True
        if index == len(levels) or level not in ("+", levels[index]):
            return False
    return len(levels) == index + 1


def _shown(packet: Publish) -> str:
    dup = ", DUP" if packet.dup else ""
    return f"id {packet.packet_id}{dup}" if packet.qos else "QoS 0"


def _listed(messages: Iterable[Message]) -> str:
    every = list(messages)
    shown = ", ".join(f"{each} of life {each.written_in}" for each in every[:_SHOWN])
    return f"{shown}{f' and {len(every) - _SHOWN} more' if len(every) > _SHOWN else ''}"
