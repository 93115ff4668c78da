"""A broker, its clients, and a clock that moves by hand: the words in which the stories of this folder are told.

::

    world = World()
    sub = world.client("sub").subscribes("a/#", qos=1)
    world.client("pub").publishes("a/b", b"x", qos=1)
    assert sub.payloads == [b"x"]

No loop, no sleep, no socket. World does what the shell does: it hands bytes to
the connections, ends each turn with a commit, empties the outboxes that are
ready, closes what the broker closes, and ticks once a second. Whatever a story
is about, its clients are strict: they fail the test if the broker breaks a rule
that needs no story (see ``Client._check``).
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

from telex import topics
from telex.codes import MAX_PACKET_BYTES, MAX_PACKET_ID, MQTT_5
from telex.engine import records, seams
from telex.engine.connection import Connection
from telex.engine.engine import Engine
from telex.engine.message import Message
from telex.engine.options import Options
from telex.engine.permissions import ALLOWED, EVERYTHING, Grant, Permissions
from telex.engine.records import Queued, Record
from telex.engine.restore import Restoration
from telex.engine.seams import Control, Gate, GatheringJournal, Journal, Observer
from telex.engine.visit import Visit
from telex.wire.decode import Decoder
from telex.wire.encode import encode
from telex.wire.packets import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
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


@dataclass(frozen=True)
class Manners:
    """How a client comes, and how it behaves then. Times are in seconds, sizes in bytes."""

    version: int = MQTT_5
    clean_start: bool = True
    keep_alive: int = 0
    will: Will | None = None
    user_name: str | None = None
    password: bytes | None = None
    session_expiry: int | None = None  # v5; a v3 client keeps its session by clean_start=False
    receive_maximum: int | None = None
    maximum_packet_size: int | None = None
    topic_alias_maximum: int | None = None
    request_problem_information: int | None = None
    request_response_information: int | None = None
    authentication_method: str | None = None
    authentication_data: bytes | None = None
    acknowledges: bool = True  # what it receives, at once

    def connect(self, client_id: str) -> Connect:
        """The CONNECT that says all this."""
        properties: Properties | None = Properties(
            session_expiry_interval=self.session_expiry,
            receive_maximum=self.receive_maximum,
            maximum_packet_size=self.maximum_packet_size,
            topic_alias_maximum=self.topic_alias_maximum,
            request_problem_information=self.request_problem_information,
            request_response_information=self.request_response_information,
            authentication_method=self.authentication_method,
            authentication_data=self.authentication_data,
        )
        if properties == Properties():
            properties = None
        assert properties is None or self.version == MQTT_5, "these are properties, which a v3 client does not have"
        return Connect(
            client_id,
            version=self.version,
            clean_start=self.clean_start,
            keep_alive=self.keep_alive,
            will=self.will,
            user_name=self.user_name,
            password=self.password,
            properties=properties,
        )


class World:
    """One engine and all who talk to it.

    Args:
        options: the limits of the broker.
        gate: who may come in; everybody, by default. See ``LateGate``, ``ClosedGate``.
        journal: where records go; nowhere, by default. See ``Ledger``.
        control: who gets what is published to ``$CONTROL/...``; nobody, by default.

    Who comes while ``listener`` is set has those limits; otherwise the broker's.

    A turn of the loop is as short as can be: one read of one client, one tick.
    """

    def __init__(
        self,
        options: Options | None = None,
        *,
        gate: Gate | None = None,
        journal: Journal | None = None,
        control: Control | None = None,
    ):
        self.now = 1_000.0  # seconds
        self.options = options or Options()
        self.gate = gate or Gate()
        self.journal = journal or Journal()
        self.control = control
        self.listener: Options | None = None
        self.diary = Diary()
        self._nameless = 0
        self.everybody: list[Client] = []  # who ever came to this broker
        self._begin()

    def _begin(self) -> None:
        """With an engine that knows nothing yet."""
        self.engine = Engine(
            self.options,
            self._new_client_id,
            journal=self.journal,
            gate=self.gate,
            observer=self.diary,
            control=self.control,
        )

    def client(self, name: str, **manners: Any) -> "Client":
        """A client that is connected. For the keywords see ``Manners``; the CONNACK is at ``connack``."""
        client = self.knocks(name, **manners)
        connack = client.got.pop(0) if client.got else None
        assert isinstance(connack, ConnAck), f"{name} got {connack} in place of a CONNACK"
        assert connack.reason_code == 0, f"{name} was refused: {connack}"
        return client

    def knocks(self, name: str, **manners: Any) -> "Client":
        """A client that has sent its CONNECT. What the broker says to that is in ``got``."""
        client = self.new_client(name, Manners(**manners))
        client.sends(client.manners.connect(name))
        return client

    def stranger(self, *, version: int = MQTT_5) -> "Client":
        """Somebody who has connected a socket and said nothing yet."""
        return self.new_client("stranger", Manners(version=version))

    def new_client(self, name: str, manners: Manners) -> "Client":
        """Somebody with a socket, of the kind that this world has."""
        client = Client(self, name, manners)
        self.everybody.append(client)
        return client

    def advance(self, seconds: float) -> None:
        """Let time pass; the engine ticks on every full second on the way."""
        then = self.now + seconds
        for second in range(math.floor(self.now) + 1, math.floor(then) + 1):
            self.now = float(second)
            self.engine.tick(self.now)
            self.flush()
        self.now = then

    def flush(self) -> None:
        """End a turn of the shell's loop: commit what it brought, let leave what may leave, and the answers to it."""
        self._commit()
        while self.engine.ready or self._has_read:
            for outbox in self.engine.take_ready():
                client = outbox.stream
                assert isinstance(client, Client)
                client.empty_outbox()
            self._commit()

    def _commit(self) -> None:
        self.journal.commit()
        if not (isinstance(self.journal, Ledger) and self.journal.is_slow):
            self._come_forward()

    @property
    def _has_read(self) -> bool:
        """Whether a fast disk has messages for sessions that asked for them."""
        return isinstance(self.journal, Ledger) and not self.journal.is_slow and self.journal.has_pages

    def _come_forward(self) -> None:
        """The journal tells what it has written and read meanwhile."""
        self.engine.committed()
        if isinstance(self.journal, Ledger):
            for client_id, session, found in self.journal.takes_pages():
                self.engine.fetched(client_id, session, found, self.now)

    @property
    def ledger(self) -> "Ledger":
        """The journal of those worlds that have one which remembers."""
        assert isinstance(self.journal, Ledger)
        return self.journal

    def commits(self, turns: int | None = None) -> None:
        """All records so far are on disk, or so many more turns, and what was asked for is read.

        What waited for that leaves.
        """
        self.ledger.writes(turns)
        self._come_forward()
        self.flush()

    def fails(self) -> None:
        """The disk is full: from now on nothing can be written."""
        self.ledger.is_failing = True
        for outbox in self.engine.holding[:]:
            if outbox.is_closing:
                outbox.forget_held()
                self.engine.ready.append(outbox)
        self.flush()

    def recovers(self) -> None:
        """The disk has room again, and has written all so far."""
        self.ledger.is_failing = False
        self.ledger.writes()
        self.engine.recovered(self.now)
        self._come_forward()
        self.flush()

    def restarts(self, *, after: float = 0.0) -> None:
        """Kill the broker, and begin again some seconds later with what is on disk.

        Nobody can say a word, and nobody is connected any more; clients may return.
        """
        kept = self.ledger.is_opened_again()
        for client in self.everybody:
            client.is_connected = False
        self.everybody.clear()
        self.now += after
        self._begin()
        restore(self.engine, kept, self.now)
        self.flush()

    def admits(self, name: str, permissions: Permissions = EVERYTHING) -> None:
        """A ``LateGate`` lets in the client that knocked."""
        self._knocker(name).admit(permissions, self.now)
        self.flush()

    def refuses(self, name: str, reason_code: int) -> None:
        """A ``LateGate`` sends away the client that knocked."""
        self._knocker(name).refuse(reason_code, "the gate says no", self.now)
        self.flush()

    def publishes(self, message: Message) -> None:
        """The broker itself publishes."""
        self.engine.publish(message, None, self.now)
        self.flush()

    def _knocker(self, name: str) -> seams.Client:
        assert isinstance(self.gate, LateGate)
        return self.gate.asked.pop(name)

    def _new_client_id(self) -> str:
        self._nameless += 1
        return f"nameless-{self._nameless}"


class Client:
    """One connection of a client, with both ends of its socket.

    ``sends`` says what it is given. ``subscribes``, ``unsubscribes`` and ``publishes`` are
    polite: they wait for the answer, check it, and take it out of ``got``.
    """

    def __init__(self, world: World, name: str, manners: Manners) -> None:
        self.world = world
        self.name = name
        self.manners = manners
        self.got: list[Packet] = []  # all that came, but for the CONNACK of ``World.client``
        self.sizes: list[int] = []  # of each packet that came, in bytes
        self.connack: ConnAck | None = None
        self.is_connected = True
        self.is_frozen = False  # it does not read
        self.in_flight: set[int] = set()  # packet ids of what it got here and has not acknowledged to the end
        self._topics: list[str] = []  # of the messages in ``got``, also where an alias stood for it
        self._aliases: dict[int, str] = {}
        self._packet_id = 1_000  # so that it does not get in the way of a story's own
        self._decoder = Decoder(version=manners.version)
        self.reasons: list[str] = []  # what the broker said in words; ``got`` has the packets without
        self._opens()

    def _opens(self) -> None:
        world = self.world
        self.connection = Connection(world.engine, self, Visit(f"{self.name}.test"), world.now, world.listener)

    # What it got

    @property
    def visit(self) -> Visit:
        """How people see its connection."""
        return self.connection.visit

    @property
    def messages(self) -> list[Publish]:
        """The messages among what it got."""
        return [packet for packet in self.got if isinstance(packet, Publish)]

    @property
    def payloads(self) -> list[bytes]:
        """What the messages said."""
        return [message.payload for message in self.messages]

    @property
    def topics(self) -> list[str]:
        """What the messages were about."""
        return list(self._topics)

    @property
    def session_present(self) -> bool:
        """Whether the CONNACK said that the session was there."""
        assert self.connack is not None, "no CONNACK came"
        return self.connack.session_present

    @property
    def said(self) -> Properties:
        """The properties of the CONNACK."""
        assert self.connack is not None, "no CONNACK came"
        assert self.connack.properties is not None, "the CONNACK has no properties"
        return self.connack.properties

    def takes(self) -> list[Packet]:
        """What it has got since it took last; ``got`` is empty then."""
        taken = self.got
        self.got = []
        self._topics = []
        return taken

    # What it does

    def sends(self, *packets: Packet) -> Self:
        """Send packets, all in one piece."""
        return self.sends_bytes(b"".join(self._encoded(packet) for packet in packets))

    def sends_bytes(self, data: bytes) -> Self:
        """Send bytes, whatever they are."""
        assert self.is_connected, f"{self.name} has no connection any more; it got {self.got}"
        self._transmit(data)
        self.world.flush()
        return self

    def subscribes(
        self,
        *topic_filters: str,
        qos: int = 0,
        no_local: bool = False,
        retain_as_published: bool = False,
        retain_handling: int = 0,
        identifier: int | None = None,
    ) -> Self:
        """Subscribe to each of the filters, which must be granted as they are asked for."""
        requests = [
            SubscriptionRequest(
                each,
                qos,
                no_local=no_local,
                retain_as_published=retain_as_published,
                retain_handling=retain_handling,
            )
            for each in topic_filters
        ]
        properties = None if identifier is None else Properties(subscription_identifiers=(identifier,))
        packet_id = self._next_packet_id()
        self.sends(Subscribe(packet_id, requests, properties))
        return self._expects(SubAck(packet_id, [qos] * len(requests)))

    def unsubscribes(self, *topic_filters: str) -> Self:
        """Drop subscriptions, which must have been there."""
        packet_id = self._next_packet_id()
        self.sends(Unsubscribe(packet_id, list(topic_filters)))
        reason_codes = [0] * len(topic_filters) if self.manners.version == MQTT_5 else []
        return self._expects(UnsubAck(packet_id, reason_codes))

    def publishes(
        self,
        topic: str,
        payload: bytes = b"",
        qos: int = 0,
        *,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> Self:
        """Publish, and go through the whole exchange that the QoS asks for."""
        packet_id = self._next_packet_id() if qos else 0
        self.sends(Publish(topic, payload, qos, retain, packet_id=packet_id, properties=properties))
        if qos == 1:
            self._expects_any(PubAck(packet_id), PubAck(packet_id, 0x10))
        elif qos == 2:
            self._expects_any(PubRec(packet_id), PubRec(packet_id, 0x10))
            self.sends(PubRel(packet_id))
            self._expects(PubComp(packet_id))
        return self

    def disconnects(self, reason_code: int = 0, *, session_expiry: int | None = None) -> Self:
        """Say DISCONNECT, and close."""
        properties = None if session_expiry is None else Properties(session_expiry_interval=session_expiry)
        return self.sends(Disconnect(reason_code, properties)).drops()

    def drops(self) -> Self:
        """Lose the connection without a word."""
        self.is_connected = False
        self.connection.closed(self.world.now)
        self.world.flush()
        return self

    def returns(self, **changes: Any) -> "Client":
        """Connect again and go on with the session: as before, but for these changes."""
        manners = replace(self.manners, **{"clean_start": False, **changes})
        return self.world.client(self.name, **{field: getattr(manners, field) for field in vars(manners)})

    def freezes(self) -> Self:
        """Read no more, so that the broker's bytes stay in the outbox."""
        self.is_frozen = True
        return self

    def thaws(self) -> Self:
        """Read again, first of all what has gathered."""
        self.is_frozen = False
        self.empty_outbox()
        self.world.flush()
        return self

    # The broker's end of the socket

    def empty_outbox(self) -> None:
        """Take what waits for this client over the wire, and close if the broker closes."""
        outbox = self.connection.outbox
        if self.is_frozen:
            return
        data = self.connection.take(self.world.now)
        if not self.is_connected:
            return  # nobody is there to read it
        for each in split_packets(data):
            self.hears(each)
        if outbox.is_closing and not outbox.is_holding:
            self.drops()

    def hears(self, data: bytes) -> None:
        """Take in one whole packet."""
        self._decoder.receive(data)
        packet = self._decoder.next_packet()
        assert packet is not None, f"half a packet: {data.hex()}"
        self.sizes.append(len(data))
        self._note_reason(packet)
        self._check(packet)
        self.got.append(packet)
        if self.manners.acknowledges:
            self._acknowledge(packet)

    def _note_reason(self, packet: Packet) -> None:
        reason = take_reason(packet)
        if reason is not None:
            assert self.manners.request_problem_information != 0, f"{packet} [MQTT-3.1.2-29]"
            self.reasons.append(reason)

    def _check(self, packet: Packet) -> None:
        """What holds for everything that a broker sends."""
        if isinstance(packet, ConnAck):
            assert self.connack is None, "a second CONNACK [MQTT-3.2.0-2]"
            self.connack = packet
            return
        if isinstance(packet, Auth):
            assert self.manners.authentication_method is not None, f"{packet} [MQTT-4.12.0-6]"
            return
        assert self.connack is not None, f"{packet} before CONNACK [MQTT-3.2.0-1]"
        assert self.connack.reason_code == 0, f"{packet} after a refusal [MQTT-3.2.2-7]"
        assert not (self.got and isinstance(self.got[-1], Disconnect)), f"{packet} after DISCONNECT [MQTT-3.14.4-1]"
        assert self.sizes[-1] <= (self.manners.maximum_packet_size or MAX_PACKET_BYTES), f"{packet} [MQTT-3.1.2-24]"
        if isinstance(packet, Publish):
            self._topics.append(self._topic(packet))
            if packet.qos > 0:
                assert packet.dup or packet.packet_id not in self.in_flight, f"{packet}: id in use [MQTT-2.2.1-4]"
                self.in_flight.add(packet.packet_id)
                quota = self.manners.receive_maximum or MAX_PACKET_ID
                assert len(self.in_flight) <= quota, f"{packet} is one too many [MQTT-3.3.4-9]"

    def _topic(self, packet: Publish) -> str:
        alias = None if packet.properties is None else packet.properties.topic_alias
        if alias is None:
            return packet.topic
        assert alias <= (self.manners.topic_alias_maximum or 0), f"{packet} [MQTT-3.1.2-26]"
        if packet.topic:
            self._aliases[alias] = packet.topic
        return self._aliases[alias]

    def _acknowledge(self, packet: Packet) -> None:
        answer: Packet
        if isinstance(packet, Publish) and packet.qos == 1:
            answer = PubAck(packet.packet_id)
        elif isinstance(packet, Publish) and packet.qos == 2:
            answer = PubRec(packet.packet_id)
        elif isinstance(packet, PubRel):
            answer = PubComp(packet.packet_id)
        else:
            return
        self._transmit(self._encoded(answer))

    def _transmit(self, data: bytes) -> None:
        self.connection.receive(data, self.world.now)
        self.world.journal.commit()  # the smallest turn that there can be

    def _encoded(self, packet: Packet) -> bytes:
        if isinstance(packet, PubAck | PubComp) or (isinstance(packet, PubRec) and packet.reason_code >= 0x80):
            self.in_flight.discard(packet.packet_id)
        return encode(packet, self.manners.version)

    def _expects(self, answer: Packet) -> Self:
        return self._expects_any(answer)

    def _expects_any(self, *answers: Packet) -> Self:
        for answer in answers:
            if answer in self.got:
                self.got.remove(answer)
                return self
        raise AssertionError(f"{self.name} got {self.got}, expected {answers[0]} among it")

    def _next_packet_id(self) -> int:
        self._packet_id += 1
        return self._packet_id


def take_reason(packet: Packet) -> str | None:
    """Take out of a packet what it says in words: what matters to a story is the code."""
    properties = getattr(packet, "properties", None)
    if properties is None or properties.reason_string is None:
        return None
    reason: str = properties.reason_string
    properties.reason_string = None
    if properties == Properties():
        packet.properties = None  # type: ignore[attr-defined]
    return reason


def split_packets(data: bytes) -> Iterator[bytes]:
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


class LateGate(Gate):
    """Answers when ``World.admits`` or ``World.refuses`` says so."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: dict[str, seams.Client] = {}  # who knocked, by client id

    def login(self, client: seams.Client, packet: Connect, visit: Visit, now: float) -> None:
        self.asked[packet.client_id] = client


class ClosedGate(Gate):
    """Lets nobody in, and says why."""

    def __init__(self, reason_code: int) -> None:
        super().__init__()
        self.reason_code = reason_code

    def login(self, client: seams.Client, packet: Connect, visit: Visit, now: float) -> None:
        client.refuse(self.reason_code, "the gate is closed", now)


class OneRule(Gate):
    """Lets everybody in, with the same permissions."""

    def __init__(self, permissions: Permissions) -> None:
        super().__init__()
        self.permissions = permissions

    def login(self, client: seams.Client, packet: Connect, visit: Visit, now: float) -> None:
        client.admit(self.permissions, now)


class ByName(Gate):
    """Lets everybody in, with the permissions that stand beside the client id; others may do everything."""

    def __init__(self, **permissions: Permissions) -> None:
        super().__init__()
        self.permissions = permissions

    def login(self, client: seams.Client, packet: Connect, visit: Visit, now: float) -> None:
        client.admit(self.permissions.get(packet.client_id, EVERYTHING), now)


Grants = dict[str, Grant]
"""What is granted, by filter; the first that fits decides, and what fits none is allowed."""


class Granted(Permissions):
    """What some filters say, for each of the three questions; for a filter that is asked about as if it were a name."""

    def __init__(
        self, *, publish: Grants | None = None, subscribe: Grants | None = None, receive: Grants | None = None
    ) -> None:
        super().__init__()
        self.limits_receiving = receive is not None
        self._grants = {"publish": publish or {}, "subscribe": subscribe or {}, "receive": receive or {}}
        self.asked: list[str] = []

    def _granted(self, question: str, topic: str) -> Grant:
        self.asked.append(f"{question} {topic}")
        for topic_filter, grant in self._grants[question].items():
            if topics.matches(topic_filter, topic):
                return grant
        return ALLOWED

    def grant_publish(self, topic: str) -> Grant:
        return self._granted("publish", topic)

    def grant_subscribe(self, topic_filter: str) -> Grant:
        return self._granted("subscribe", topic_filter)

    def grant_receive(self, topic: str) -> Grant:
        return self._granted("receive", topic)


class Diary(Observer):
    """Writes down what an observer is told: one line each, reasons left out."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.reasons: list[str] = []  # of what ended, was refused or dropped
        self.denials: list[tuple[Visit, str, str, str]] = []  # who, what, of which topic, and the rule

    def connected(self, visit: Visit, packet: Connect) -> None:
        self.lines.append(f"{visit.client_id} connected from {visit.address}")

    def refused(self, visit: Visit, reason: str) -> None:
        self.lines.append(f"{visit.client_id} refused at {visit.address}")
        self.reasons.append(reason)

    def disconnected(self, visit: Visit, reason: str, now: float) -> None:
        self.lines.append(f"{visit.client_id} disconnected from {visit.address}")
        self.reasons.append(reason)

    def denied(self, visit: Visit, action: str, topic: str, rule: str) -> None:
        self.denials.append((visit, action, topic, rule))
        self.lines.append(f"{visit.client_id} may not {action} {topic}")

    def subscribed(self, client_id: str, topic_filter: str, qos: int) -> None:
        self.lines.append(f"{client_id} subscribed {topic_filter} qos {qos}")

    def unsubscribed(self, client_id: str, topic_filter: str) -> None:
        self.lines.append(f"{client_id} unsubscribed {topic_filter}")

    def dropping(self, client_id: str, topic: str, reason: str) -> None:
        self.lines.append(f"{client_id} misses {topic}")
        self.reasons.append(reason)


Page = tuple[str, int, list[Queued]]
"""Client id, number of the session, and messages that it waits for."""


class Ledger(GatheringJournal):
    """A journal that remembers.

    Args:
        is_slow: it has written what ``World.commits`` says; otherwise what it got in a turn, as soon as that is over.
        page: how many messages it gives back at a time; 0: it gives back none, so that all must wait in memory.
    """

    def __init__(self, *, is_slow: bool = False, page: int = 0) -> None:
        super().__init__()
        self.is_slow = is_slow
        self.page = page
        self.gives_back = page > 0
        self.everything: list[Record] = []
        self.turns: list[int] = []  # how many records there were at the end of each turn that brought some
        self.written = 0  # how many of them are on disk
        self.fetches: list[tuple[str, int, int]] = []  # what was asked for: client id, session, after
        self._pages: list[Page] = []  # answers that were not given yet
        self._taken = 0
        self._names: dict[int, str] = {}  # client id by number of the session
        self._of: dict[int, int] = {}  # number of the session by number of the message

    def append(self, record: Record) -> None:
        super().append(record)
        self.everything.append(record)
        if isinstance(record, records.SessionKept):
            self._names[record.session] = record.client_id
        elif isinstance(record, records.Queued):
            self._of[record.number] = record.session

    def commit(self) -> None:
        self.take_gathered()
        if len(self.everything) > (self.turns[-1] if self.turns else 0):
            self.turns.append(len(self.everything))
        if not self.is_slow and not self.is_failing:
            self.writes()

    def writes(self, turns: int | None = None) -> None:
        """All so far is on disk; or so many more turns."""
        if turns is None:
            self.written = len(self.everything)
        else:
            ahead = [turn for turn in self.turns if turn > self.written]
            self.written = [self.written, *ahead][: turns + 1][-1]
        self.committed = self.appended - (len(self.everything) - self.written)

    def is_opened_again(self) -> list[Record]:
        """What is on disk, after the process has ended; the rest was never there."""
        self.is_failing = False
        self.takes()
        del self.everything[self.written :]
        self._taken = self.written
        self.turns = [turn for turn in self.turns if turn <= self.written]
        self.take_gathered()
        self.takes_pages()
        return self.everything[:]

    def fetch(self, client_id: str, session: int, after: int) -> None:
        self.fetches.append((client_id, session, after))
        waiting: dict[int, records.Queued] = {}
        for record in self.everything:
            if isinstance(record, records.Queued):
                if record.session == session and record.number > after:
                    waiting[record.number] = record
            elif isinstance(record, records.Sent | records.Done):
                waiting.pop(record.number, None)
        self._pages.append((client_id, session, list(waiting.values())[: self.page]))

    @property
    def has_pages(self) -> bool:
        """Whether something that was asked for is read."""
        return bool(self._pages)

    def takes_pages(self) -> list[Page]:
        """The answers to what was asked for since the last time."""
        pages = self._pages
        self._pages = []
        return pages

    @property
    def records(self) -> list[Record]:
        """The records since the last ``takes``."""
        return self.everything[self._taken :]

    @property
    def lines(self) -> list[str]:
        """These records, one line each."""
        return [self._line(record) for record in self.records]

    def takes(self) -> list[str]:
        """The lines since it was asked last."""
        lines = self.lines
        self._taken = len(self.everything)
        return lines

    def _line(self, record: Record) -> str:
        """A record for people, with client ids in place of numbers: ``Queued sub #1 a/b``."""
        name = type(record).__name__
        if isinstance(record, records.Retain):
            return f"{name} {record.message.topic}"
        if isinstance(record, records.Unretain):
            return f"{name} {record.topic}"
        if isinstance(record, records.Willed):
            return f"{name} {record.client_id} {record.will.topic}"
        if isinstance(record, records.Unwilled):
            return f"{name} {record.client_id}"
        if isinstance(record, records.Sent | records.Released):
            return f"{name} {self._names[self._of[record.number]]} #{record.number} as {record.packet_id}"
        if isinstance(record, records.Done):
            return f"{name} {self._names[self._of[record.number]]} #{record.number}"
        return f"{name} {self._line_of_session(record)}"

    def _line_of_session(self, record: Any) -> str:
        who = self._names[record.session]
        if isinstance(record, records.SessionKept):
            return f"{who} {record.expiry_interval}"
        if isinstance(record, records.SessionEnded):
            return who
        if isinstance(record, records.SessionLeft):
            ends = f" until {record.ends_at:g}" if record.ends_at else ""
            will = f", will at {record.will_at:g}" if record.will_at else ""
            return f"{who}{ends}{will}"
        if isinstance(record, records.Subscribed):
            return f"{who} {record.topic_filter} qos {record.qos}"
        if isinstance(record, records.Unsubscribed):
            return f"{who} {record.topic_filter}"
        if isinstance(record, records.Queued):
            return f"{who} #{record.number} {record.message.topic}"
        assert isinstance(record, records.Owned | records.Disowned), f"a record that this test does not know: {record}"
        return f"{who} {record.packet_id}"


def restore(engine: Engine, kept: Iterable[Record], now: float) -> None:
    """Give an engine that has just begun what records tell."""
    restoration = Restoration(engine)
    for record in kept:
        restoration.apply(record)
    restoration.finish(now)
