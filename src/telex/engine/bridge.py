"""A bridge: one session of ours whose client is another broker, and the connection to it, as its client.

As a client it obeys what clients have to obey (v3 [MQTT-7.0.0-1]).

MQTT's sessions are symmetrical: what a broker's session does towards a client, a
client's session does towards a broker. So a bridge is a ``Session`` like any other,
with subscriptions to what goes out, a queue for what waits, the store behind it and
its packet ids in flight; only its connection goes the other way: we say CONNECT.

What the shell does with it::

    bridge = Bridge(engine, options, keeper, permissions)   # once for each bridge that is configured
    bridge.start(now)                 # what goes out is gathered, connected or not, and its client id is nobody else's
    ...
    connection = bridge.connect(stream, visit, now, place)  # somebody is there: CONNECT is in its outbox
    connection.receive(data, now)     # bytes came
    data = connection.take(now)       # its outbox is in ``engine.ready``, with ``stream`` at it: write this
    connection.wrote(now)             # some bytes left a socket that was full, or we did not read for a while
    connection.closed(now, reason)    # the network connection is gone
    ...
    bridge.stop(text, now)            # take leave of the remote, if it is there; what waits is kept
    bridge.change(options, now)       # a reload: go on like this, see there
    bridge.remove(now)                # it is configured no more: its session is forgotten

``receive``, ``take``, ``closed``, ``outbox``, ``visit``, ``is_closed`` and ``disconnect`` are as those of
``connection.Connection``: close the network connection when ``outbox.is_closing`` and
nothing is held, read on only as the journal keeps up. Time-outs (CONNACK, keep-alive,
idleness) come by ``Engine.tick``.

What the shell is told is in ``Keeper``: ``opened``, ``closed``, ``wanted``, ``refused``. When it connects,
where to, how often and what it logs is its own business. So is who may do what: a bridge may do what its
``permissions`` say, and by default everything. What it shows is ``state``, ``waiting``, ``delay``,
``filtered``, ``looped`` and ``rejected`` of the bridge, the ``visit`` of its connection, and what its session says.

What is told to others, all in here: the state ``1`` or ``0``, retained, at both ends or here alone, with
a will for the remote end; what the remote does not take (MQTT 5, the bridge bit, a retained will) is
tried without when it has said no: then ``closed`` says that the next attempt may come at once. A
QoS or a RETAIN that CONNACK excludes is left out of what is sent.

**When one end forgets.** The remote keeps its session if we do not ask for a clean one.
If CONNACK says that it has none, or we asked for a clean one, what is in flight begins
anew: QoS 1 and 2 are published again, without DUP, but for what is released: that the remote had
accepted with PUBREC, and it is not sent a second time. The ids of QoS 2 messages that
we own are free then. If it is we who have forgotten, the remote may still own ids of
ours, and would take a new message under one of them for a repeat: the first time that an id is
used for QoS 2, a PUBREL goes in front. MQTT 3.1 has no word for either; there DUP tells a
repeat from a new message. Of several places, each may be another broker: with the ``place`` that accepts us now
and not the last time, all begins anew as with one that has forgotten. Then, and only then, what was on its way
at QoS 2 may come twice, either way. Nobody knows where a process was connected that is gone: this one
takes its first place for the same.

**Its session** is there from ``start`` on, or from CONNACK on if it is not kept. Nobody else can have it: a client
that comes with its client id is refused. If somebody ends it, another begins at once.

**Loops.** What the remote sends does not go back to it: the local subscriptions are No Local, and
so are those at the remote, which a v3 remote understands by the bridge bit of CONNECT. Beyond two
brokers see ``hops.py``.
"""

from collections import deque
from typing import Final

from mypy_extensions import mypyc_attr

from telex import topics
from telex.codes import (
    MAX_PACKET_BYTES,
    MAX_PACKET_ID,
    MQTT_3_1,
    MQTT_3_1_1,
    MQTT_5,
    NEVER_EXPIRES,
    ReasonCode,
    reason_text,
)
from telex.engine import hops
from telex.engine.bridge_options import BridgeOptions, BridgeTopic
from telex.engine.crossing import Crossing
from telex.engine.end import BROKER_TAKES, End
from telex.engine.engine import Engine, message_of
from telex.engine.message import Message
from telex.engine.passages import Line, Passage, Passages, Renaming, filters_of, names_of
from telex.engine.permissions import EVERYTHING, Permissions, publishing
from telex.engine.queue import Outgoing, memory_of
from telex.engine.session import Session, Subscription
from telex.engine.visit import Visit
from telex.errors import ProtocolError
from telex.flow import Sender
from telex.wire.encode import PINGREQ_BYTES, encode
from telex.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
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
from telex.wire.reasons import nearest

__all__ = ["Bridge", "BridgeConnection", "BridgeOptions", "BridgeTopic", "Keeper"]  # what the shell needs

_UNACCEPTABLE_VERSION: Final = 1  # the return code of v3
_RETURN_CODES: Final = (
    "",
    "it does not speak this protocol version",
    "it does not accept this client id",
    "it is not available now",
    "wrong user name or password",
    "not authorised",
)

# Of the keep-alive time, as in a client: all together, a link that brings nothing is noticed before 1.5 times of it.
_QUIET: Final = 0.75  # so long nothing may be sent, or nothing come, before we ask, but a second less at least
_ANSWER: Final = 0.5  # and so long the answer may take

_MOST_IN_FLIGHT: Final = 32_768  # messages, whatever the remote takes: subscribing needs packet ids, too

# What a client may say in DISCONNECT (section 3.14.2.1).
_CLIENTS_CODES: Final = frozenset((0, 4, *range(0x80, 0x84), 0x90, *range(0x93, 0x9A)))


@mypyc_attr(allow_interpreted_subclasses=True)
class Keeper:
    """Who connects a bridge. This one does nothing."""

    def opened(self, connection: "BridgeConnection", now: float) -> None:
        """The remote has accepted us, and messages go both ways."""

    def closed(self, connection: "BridgeConnection", reason: str, at_once: bool, now: float) -> None:
        """A connection is over, accepted or not. With ``at_once``, the next attempt will say something else."""

    def wanted(self, now: float) -> None:
        """As much waits for a lazy bridge as its threshold says; told again with each message that comes."""

    def refused(self, topic_filter: str, reason: str) -> None:
        """The remote does not let us subscribe to this, or this broker does not: the permissions say no."""


class _WayOut(Crossing):
    """Which messages go over a bridge."""

    def __init__(self, bridge: "Bridge") -> None:
        super().__init__(bridge.engine.hops)
        self._bridge = bridge
        self._kept: deque[tuple[Message, int, bytes]] = deque()  # of QoS 0, with first byte and properties
        self.sample: Outgoing | None = None  # one that is on its way, for the delay
        self.sampled_at = 0.0
        self.delay = 0.0

    def admits(self, message: Message, now: float) -> bool:
        bridge = self._bridge
        passage = bridge.outward.find(message.topic)
        if passage is None:
            return False
        most = bridge.options.max_hops
        if most > 0 and hops.hops_of(message) >= most:
            bridge.looped += 1
            return False
        if not passage.line.admits(message, now):
            bridge.filtered += 1
            return False
        if bridge.options.is_lazy:
            bridge.want(now)
        return True

    def still_admits(self, message: Message) -> bool:
        return self._bridge.outward.find(message.topic) is not None

    def written_on(self, message: Message) -> bytes:
        return super().written_on(message) if self._bridge.options.max_hops > 0 else b""

    def keep(self, message: Message, first: int, extra: bytes) -> None:
        surroundings = self._bridge.engine.surroundings
        options = surroundings.options
        memory = surroundings.memory + memory_of(message)
        if not self._bridge.options.is_lazy or memory > options.max_queue_memory:
            return
        if len(self._kept) < options.max_queued_messages:
            surroundings.memory = memory
            self._kept.append((message, first, extra))

    @property
    def kept_count(self) -> int:
        """How many messages of QoS 0 wait."""
        return len(self._kept)

    def take_kept(self) -> list[tuple[Message, int, bytes]]:
        """These messages, with first byte and properties; they wait no more."""
        kept = list(self._kept)
        self._kept.clear()
        for message, _, _ in kept:
            self._bridge.engine.surroundings.memory -= memory_of(message)
        return kept

    def queued(self, outgoing: Outgoing, now: float) -> None:
        sample = self.sample
        if sample is None or sample.is_over:
            self.sample = outgoing
            self.sampled_at = now

    def done(self, outgoing: Outgoing, now: float) -> None:
        sample = self.sample
        # What waits in the store comes back as another object; messages overtake each other by a moment at most.
        if sample is not None and (outgoing is sample or 0 < sample.number <= outgoing.number):
            self.sample = None
            self.delay = now - self.sampled_at

    def ended(self, now: float) -> None:
        self._bridge.session_ended(now)


class _Sender(Sender[Outgoing]):
    """A Sender whose packet ids are shared with SUBSCRIBE and UNSUBSCRIBE (section 2.2.1)."""

    def __init__(self, in_flight: dict[int, Outgoing]) -> None:
        super().__init__()
        self.in_flight = in_flight
        self.requests: dict[int, str] = {}  # filters that wait for their answer

    @property
    def can_send(self) -> bool:
        """Whether the remote takes another PUBLISH now."""
        return self.quota > 0 and len(self.in_flight) + len(self.requests) < MAX_PACKET_ID

    def next_packet_id(self) -> int:
        """An id that neither a message nor a request uses."""
        packet_id = super().next_packet_id()
        while packet_id in self.requests:
            packet_id = super().next_packet_id()
        return packet_id


class Bridge:
    """One bridge, as long as it is configured.

    Args:
        engine: the broker at this end.
        options: how it behaves.
        keeper: who connects it.
        permissions: what it may do at this end.
    """

    def __init__(
        self, engine: Engine, options: BridgeOptions, keeper: Keeper, permissions: Permissions = EVERYTHING
    ) -> None:
        self.engine = engine
        self.options = options
        self.keeper = keeper
        self.permissions = permissions
        self.outward = Passages([])
        self.inward = Passages([])
        self.filtered = 0  # messages that a line did not let through
        self.rejected = 0  # messages that the remote did not take
        self.looped = 0  # messages that have been here, or have passed too many brokers
        self.connection: BridgeConnection | None = None  # that is there, accepted or not
        self.is_open = False  # the remote has accepted us
        self._place = ""  # where it did, the last time
        self.way_out = _WayOut(self)
        self._fresh: dict[str, None] = {}  # local filters that the remote got no retained messages for
        self._dropped: dict[str, None] = {}  # remote filters that we had and have no more
        self._known: Session | None = None  # which one had a connection before, in this process
        self._is_version_refused = False
        self._is_private_refused = False
        self._private_worked = False
        self._will_retain = True
        self._will_qos = 1
        self._change_lines()

    # What it shows

    @property
    def state(self) -> str:
        """``open``, ``connecting`` or ``closed``."""
        if self.is_open:
            return "open"
        return "closed" if self.connection is None else "connecting"

    @property
    def session(self) -> Session | None:
        """Its session at this end; None: it is not kept, and there is no connection."""
        return self.engine.sessions.get(self.options.local_client_id)

    @property
    def waiting(self) -> int:
        """Messages that wait for the remote or are in flight to it."""
        session = self.session
        return self.way_out.kept_count + (0 if session is None else session.message_count)

    def delay(self, now: float) -> float:
        """Seconds from the arrival of a message above QoS 0 to the remote's word that it has it, about."""
        way = self.way_out
        sample = way.sample
        if sample is not None and (sample.is_over or self.waiting == 0):
            sample = way.sample = None  # it was given up
        return way.delay if sample is None else max(way.delay, now - way.sampled_at)

    # Its life

    def start(self, now: float, former: list[BridgeTopic] | None = None) -> None:
        """Gather what goes out, from now on; after what was stored is restored. Its client id is nobody else's then.

        ``former`` are the topics that it had when the process before this one ended; None: nobody knows them, and
        they are taken for the same.
        """
        if former is not None:
            self._compare(former)
        session = self.session
        is_foreign = session is not None and session.client is not None
        if session is not None and session.client is not None:
            session.client.disconnect(ReasonCode.ADMINISTRATIVE_ACTION, "its client id is a bridge's now", now)
        session = self.session  # it has ended if it was not kept
        if session is not None and (is_foreign or self.options.local_clean_start):
            self.engine.end_session(session, now)
        self._begin(now)

    def _begin(self, now: float) -> None:
        self.engine.crossings[self.options.local_client_id] = self.way_out
        if self._gathers:
            self._provide_session(now)
        self._tell(b"0", now)

    def connect(self, stream: object, visit: Visit, now: float, place: str = "") -> "BridgeConnection":
        """A network connection to the remote is there: our end of it.

        ``place`` says where the remote is; empty: always at the same place.
        """
        former = self.connection
        if former is not None:
            former.disconnect(0, "another connection takes its place", now)
        self.connection = BridgeConnection(self, stream, visit, now, place)
        return self.connection

    def stop(self, text: str, now: float) -> None:
        """Take leave of the remote; what waits is kept."""
        connection = self.connection
        if connection is not None:
            connection.disconnect(0, text, now)

    def change(self, options: BridgeOptions, now: float) -> None:
        """Go on as other options, and ``permissions``, say: topics and limits at once, all else on the next connection.

        With another client id at this end, its session is forgotten, with what waits in it.
        """
        former = self.options
        if former.local_client_id != options.local_client_id:
            self._forget_session(now)
        if former.notifications and not (
            options.notifications and options.notification_topic == former.notification_topic
        ):
            self._untell(now)
        self.options = options
        if options.version != former.version:
            self._is_version_refused = False
        self._compare(former.topics)
        self._change_lines()
        connection = self.connection
        session = self.session
        if connection is None or session is None or not self.is_open:
            if session is None:
                self.start(now)  # with another client id, perhaps, which a client may have
                return
            if not self._gathers:
                self.engine.end_session(session, now)
            self._begin(now)
            return
        self._provide_session(now)
        self._tell(b"1", now)
        before = filters_of(former.topics, is_out=False)
        after = filters_of(options.topics, is_out=False)
        renamed = _renamed(former.topics, options.topics, is_out=False)
        connection.begin_requests([each for each in after if before.get(each) != after[each] or each in renamed])
        connection.send_retained(session, is_all=False, now=now)

    def _compare(self, former: list[BridgeTopic]) -> None:
        """Note what the remote is to forget of what the topics were, and what it is to have as new."""
        topics = self.options.topics
        after = filters_of(topics, is_out=False)
        for topic_filter in filters_of(former, is_out=False):
            if topic_filter not in after:
                self._dropped[topic_filter] = None
        self._fresh.update(dict.fromkeys(_renamed(former, topics, is_out=True)))

    def remove(self, now: float) -> None:
        """Forget all that was for the remote, and let it forget us, if its version has a word for that."""
        connection = self.connection
        if connection is not None:
            connection.leave_for_good("the bridge was removed", now)
        self._forget_session(now)
        if self.options.notifications:
            self._untell(now)

    # For its connection

    @property
    def version(self) -> int:
        """The protocol version of the next attempt."""
        return MQTT_3_1_1 if self._is_version_refused else self.options.version

    def connect_packet(self) -> Connect:
        """The CONNECT of the next attempt."""
        options = self.options
        will: Will | None = None
        if options.notifications and not options.notifications_local_only:
            retain = self._will_retain and options.outgoing_retain
            will = Will(options.notification_topic, b"0", qos=self._will_qos, retain=retain)
        properties: Properties | None = None
        if self.version == MQTT_5:
            properties = Properties(
                session_expiry_interval=None if options.clean_start else options.session_expiry_interval,
                maximum_packet_size=self.engine.options.maximum_packet_size,
                topic_alias_maximum=options.topic_alias_maximum or None,
            )
            if options.receive_maximum < MAX_PACKET_ID:
                properties.receive_maximum = options.receive_maximum
            if options.max_hops > 0:
                properties.user_properties = ((hops.BRIDGE, self.engine.hops.name),)
        return Connect(
            options.remote_client_id,
            version=self.version,
            clean_start=options.clean_start,
            keep_alive=options.keep_alive,
            will=will,
            user_name=options.user_name,
            password=options.password,
            properties=properties,
            is_bridge=self.is_private,
        )

    @property
    def is_private(self) -> bool:
        """Whether the next CONNECT says by its bridge bit what we are."""
        return self.version != MQTT_5 and self.options.try_private and not self._is_private_refused

    def learn(self, reason_code: int) -> bool:
        """The remote has refused us: whether the next CONNECT says something else."""
        if reason_code in (_UNACCEPTABLE_VERSION, ReasonCode.UNSUPPORTED_PROTOCOL_VERSION):
            if self.is_private:
                self._is_private_refused = True
                return True
            if self.version == MQTT_5:
                self._is_version_refused = True
                return True
        elif reason_code == ReasonCode.RETAIN_NOT_SUPPORTED and self._will_retain:
            self._will_retain = False
            return True
        elif reason_code == ReasonCode.QOS_NOT_SUPPORTED and self._will_qos > 0:
            self._will_qos = 0
            return True
        return False

    def hung_up(self) -> bool:
        """The remote has gone without a CONNACK: whether the next CONNECT says something else."""
        if self._private_worked or self.version == MQTT_5 or not self.options.try_private:
            return False
        self._is_private_refused = not self._is_private_refused  # it may not like the bit, or have had other reasons
        return self._is_private_refused

    def opened(self, connection: "BridgeConnection", *, is_present: bool, now: float) -> Session:
        """The remote has accepted us: the session, which is ours now."""
        self.is_open = True
        if connection.is_private:
            self._private_worked = True
        self._provide_session(now)
        session, _ = self.engine.open_session(
            self.options.local_client_id,
            connection,
            connection.outbox,
            clean_start=False,
            expiry_interval=self._expiry,
            receive_maximum=connection.takes_in_flight,
            allowed=MAX_PACKET_ID,  # Mosquitto 2.0 sends more than it was told, and would do so again
            permissions=self.permissions,
            will=None,
            now=now,
        )
        session.user = self.options.local_user
        sender = session.sender
        assert isinstance(sender, _Sender)  # so it was provided
        sender.requests.clear()  # they are not sent again [MQTT-4.4.0-1]
        is_elsewhere = self._place not in ("", connection.place)
        self._place = connection.place
        if not is_present or is_elsewhere:  # [MQTT-3.2.2-5]
            session.forgotten()
        if session is not self._known or not is_present or is_elsewhere:
            session.doubt_ids(is_present=is_present)
            self._known = session
        self._tell(b"1", now)
        return session

    def closed(self, connection: "BridgeConnection", reason: str, at_once: bool, now: float) -> None:
        """A connection is over."""
        if connection is self.connection:
            self.connection = None
            was_open = self.is_open
            self.is_open = False
            if was_open:
                self._tell(b"0", now)
        self.keeper.closed(connection, reason, at_once, now)

    def session_ended(self, now: float) -> None:
        """Its session is over, by itself or by somebody's order: the next one begins."""
        if self._gathers:
            self._provide_session(now)

    def want(self, now: float) -> None:
        """A message comes: connect, if as many wait as the threshold says."""
        if not self.is_open and self.waiting + 1 >= self.options.threshold:
            self.keeper.wanted(now)

    def take_fresh(self) -> dict[str, None]:
        """The local filters that the remote got no retained messages for; from now on others gather."""
        fresh = self._fresh
        self._fresh = {}
        return fresh

    def take_dropped(self) -> list[str]:
        """The remote filters that we are to unsubscribe from."""
        wanted = filters_of(self.options.topics, is_out=False)
        dropped = self._dropped
        self._dropped = {}
        if self.options.attempt_unsubscribe:
            dropped.update(dict.fromkeys([each.remote_filter for each in self.options.topics if not each.is_in]))
        return [each for each in dropped if each not in wanted]

    # Its session

    @property
    def _gathers(self) -> bool:
        """Whether there is a session while there is no connection."""
        return self.options.is_lazy or not self.options.local_clean_start

    @property
    def _expiry(self) -> int:
        return 0 if self.options.local_clean_start else NEVER_EXPIRES

    def _provide_session(self, now: float) -> Session:
        """The session, with its subscriptions, connected or not."""
        engine = self.engine
        session = self.session
        is_new = session is None
        if session is None:
            session = engine.new_session(self.options.local_client_id)
        sender = session.sender
        if not isinstance(sender, _Sender):
            session.sender = _Sender(sender.in_flight)
        session.crossing = self.way_out
        session.max_queued_messages = self.options.max_queued_messages
        session.max_queued_bytes = self.options.max_queued_bytes
        if session.permissions is not self.permissions:
            engine.change_permissions(session, self.permissions)
        engine.change_expiry(session, self._expiry)
        self._subscribe(session)
        if is_new and session.is_kept:
            engine.leave_session(session, now)
        return session

    def _subscribe(self, session: Session) -> None:
        """Have those subscriptions that the options say, and no others."""
        engine = self.engine
        wanted = filters_of(self.options.topics, is_out=True)
        for topic_filter in list(session.subscriptions):
            if topic_filter not in wanted:
                engine.unsubscribe(session, topic_filter)
                self._fresh.pop(topic_filter, None)
        for topic_filter, qos in wanted.items():
            most = self.permissions.grant_subscribe(topic_filter).max_qos
            if most < 0:
                self.keeper.refused(topic_filter, "it has no permission to subscribe to it here")
                continue
            known = session.subscriptions.get(topic_filter)
            if known is None or known.qos != min(qos, most) or not known.no_local:
                request = SubscriptionRequest(topic_filter, qos, no_local=True, retain_as_published=True)
                engine.subscribe(session, request, min(qos, most), 0)
                if known is None:
                    self._fresh[topic_filter] = None

    def _forget_session(self, now: float) -> None:
        self.engine.crossings.pop(self.options.local_client_id, None)
        session = self.session
        if session is not None:
            if session.client is not None:
                session.client.disconnect(ReasonCode.ADMINISTRATIVE_ACTION, "its bridge was removed", now)
            session = self.session  # it ended if it was not kept
            if session is not None:
                self.engine.end_session(session, now)
        self.way_out.take_kept()

    def _change_lines(self) -> None:
        lines = self.options.topics
        self.outward = Passages([Line(each, is_out=True) for each in lines if each.is_out])
        self.inward = Passages([Line(each, is_out=False) for each in lines if each.is_in])
        connection = self.connection
        if connection is not None:
            connection.outbox.outlook = Renaming(self.outward)

    # What others are told

    def _tell(self, state: bytes, now: float) -> None:
        if self.options.notifications:
            self.engine.publish(Message(self.options.notification_topic, state, 1, retain=True), None, now)

    def _untell(self, now: float) -> None:
        """It has no state any more."""
        self.engine.publish(Message(self.options.notification_topic, b"", 1, retain=True), None, now)


class BridgeConnection(End):
    """Our end of one connection to the remote.

    Args:
        bridge: whose it is.
        stream: what the shell wants to find at the outbox.
        visit: what is noted of it.
        now: the time.
        place: where the remote is, see ``Bridge.connect``.
    """

    def __init__(self, bridge: Bridge, stream: object, visit: Visit, now: float, place: str) -> None:
        engine = bridge.engine
        packet = bridge.connect_packet()
        # What v5 lets us say, a v3 remote cannot know: it would bring the same again and again.
        largest = engine.options.maximum_packet_size if packet.version == MQTT_5 else MAX_PACKET_BYTES
        super().__init__(engine, stream, visit, now, engine.options, largest=largest, version=packet.version)
        self.bridge = bridge
        self.place = place
        self.is_private = packet.is_bridge
        self.takes_in_flight = 0  # messages above QoS 0 that the remote takes at a time
        self._is_accepted = False
        self._asked_clean = packet.clean_start
        said = packet.properties if packet.properties is not None else Properties()
        self._aliases_allowed = said.topic_alias_maximum or 0
        self._sends_retained = True
        self._takes_wildcards = True  # in what we subscribe to
        self._passage: Passage | None = None  # of the message that comes
        self._last_sent = now
        self._last_heard = now
        self._pinged_at = 0.0  # when PINGREQ left that has no answer; 0: there is none
        self._active_at = now  # when messages were seen to come or go
        self._active_count = 0
        visit.version = packet.version
        visit.client_id = packet.client_id
        visit.user = packet.user_name or ""
        visit.keep_alive = self.keep_alive = packet.keep_alive
        visit.clean_start = packet.clean_start
        self.outbox.version = packet.version
        self.outbox.append(encode(packet, packet.version))  # [MQTT-3.1.0-1]
        engine.deadlines.set(self, now + bridge.options.connect_timeout)

    # Bytes and time

    def receive(self, data: bytes, now: float) -> None:
        """Take in bytes as they come. What they ask for is done when this returns."""
        self._last_heard = now
        super().receive(data, now)

    def take(self, now: float) -> bytes:
        """All that may leave, as one piece; what waited in the session for room in the outbox follows."""
        data = super().take(now)
        if data:
            self._last_sent = now
        return data

    def wrote(self, now: float) -> None:
        """Nothing can be said against the remote: it takes what we write, or we have not read what it says."""
        self._last_heard = now

    def closed(self, now: float, reason: str = "the remote closed it") -> None:
        """The network connection is gone."""
        self.outbox.forget_held()  # nobody is there to hear it
        if not self.is_closed:
            self._finish(reason, now, at_once=not self._is_accepted and self.bridge.hung_up())

    def on_due(self, now: float) -> None:
        """CONNACK should be here, or it is time to ask whether the remote is."""
        if not self._is_accepted:
            text = f"no CONNACK came within {self.bridge.options.connect_timeout} s"
            self._finish(text, now, at_once=self.bridge.hung_up())
            return
        if self._is_idle(now):
            self.disconnect(0, f"no messages for {self.bridge.options.idle_timeout:g} s", now)
            return
        if self.keep_alive:
            if self._last_heard > self._pinged_at:
                self._pinged_at = 0.0
            if self._pinged_at > 0:
                if now - self._pinged_at >= self.keep_alive * _ANSWER:
                    self._finish(f"no answer to a PINGREQ within {self.keep_alive * _ANSWER:g} s", now)
                    return
            elif now - min(self._last_sent, self._last_heard) >= self._quiet:  # [MQTT-3.1.2-20] v3 [MQTT-3.1.2-23]
                self.outbox.append(PINGREQ_BYTES)
                self._pinged_at = now
        self._watch(now)

    def _watch(self, now: float) -> None:
        """Look again when something may be due."""
        times: list[float] = []
        if self.keep_alive:
            if self._pinged_at > 0:
                times.append(self._pinged_at + self.keep_alive * _ANSWER)
            else:
                times.append(min(self._last_sent, self._last_heard) + self._quiet)
        if self.bridge.options.is_lazy:
            times.append(now + self.bridge.options.idle_timeout / 4)
        if times:
            self.engine.deadlines.set(self, max(min(times), now))

    @property
    def _quiet(self) -> float:
        return min(self.keep_alive * _QUIET, self.keep_alive - 1)  # what is due is looked at once a second

    def _is_idle(self, now: float) -> bool:
        options = self.bridge.options
        count = self.visit.publish_sent + self.visit.publish_received
        if count != self._active_count or self.bridge.waiting:
            self._active_count = count
            self._active_at = now
        return options.is_lazy and now - self._active_at >= options.idle_timeout

    # The end

    def disconnect(self, reason_code: int, text: str, now: float, server_reference: str = "") -> None:
        """End the connection from our side; a v5 remote is told why (section 3.14)."""
        if self.is_closed:
            return
        if self._is_accepted:
            if reason_code == 0:
                self._tell(b"0")  # a good end leaves no will behind
                self._append_in_order(encode(Disconnect(0), self.version))
            elif self.version == MQTT_5:
                packet = Disconnect(nearest(reason_code, _CLIENTS_CODES))
                self._append_in_order(self._in_words(packet, text))
        self._finish(text, now)

    def leave_for_good(self, text: str, now: float) -> None:
        """Take leave, and let a v5 remote forget our session."""
        if self._is_accepted and self.version == MQTT_5 and not self._asked_clean and not self.is_closed:
            self._tell(b"0")
            said = Properties(session_expiry_interval=0)
            self._append_in_order(encode(Disconnect(0, said), MQTT_5))
            self._finish(text, now)
        else:
            self.disconnect(0, text, now)

    def _fail(self, error: ProtocolError, now: float) -> None:
        self.disconnect(error.reason_code, str(error), now)

    def _finish(self, reason: str, now: float, *, at_once: bool = False) -> None:
        self._end(reason, now=now)
        self.bridge.closed(self, reason, at_once, now)

    def _left(self, reason: str, now: float) -> None:
        """The keeper is told."""

    # Packets

    def _handle(self, packet: Packet, now: float) -> None:
        session = self.session
        if session is None:
            if not isinstance(packet, ConnAck):  # [MQTT-3.2.0-1]
                raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"expected CONNACK, got {type(packet).__name__}")
            self._on_connack(packet, now)
        elif isinstance(packet, PubAck):
            if packet.reason_code >= 0x80:
                self.bridge.rejected += 1
            session.on_puback(packet.packet_id, now)
        elif isinstance(packet, Publish):
            self._on_publish(session, packet, now)
        elif isinstance(packet, PubRec):
            if packet.reason_code >= 0x80:
                self.bridge.rejected += 1
            self._on_pubrec(session, packet, now)
        elif isinstance(packet, PubComp):
            session.on_pubcomp(packet.packet_id, now)
        elif isinstance(packet, PubRel):
            self._on_pubrel(session, packet)
        elif isinstance(packet, PingResp):
            self._pinged_at = 0.0
        elif isinstance(packet, SubAck | UnsubAck):
            self._on_answer(session, packet, now)
        elif isinstance(packet, Disconnect) and self.version == MQTT_5:
            self._finish(f"the remote left: {_reason_of(packet)}", now)
        else:
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"a server may not send {type(packet).__name__}")

    def _on_connack(self, packet: ConnAck, now: float) -> None:
        bridge = self.bridge
        if packet.reason_code != 0:
            is_v3 = packet.reason_code < 0x80  # also from a remote that does not know v5
            text = _RETURN_CODES[packet.reason_code] if is_v3 else _reason_of(packet)
            self._finish(f"the remote refused us: {text}", now, at_once=bridge.learn(packet.reason_code))
            return
        if packet.session_present and self._asked_clean and self.version == MQTT_5:  # [MQTT-3.2.2-4]
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "a session is present, and we asked for a clean start")
        options = bridge.options
        said = packet.properties if packet.properties is not None else Properties()
        outbox = self.outbox
        most = min(said.maximum_packet_size or MAX_PACKET_BYTES, options.maximum_packet_size or MAX_PACKET_BYTES)
        outbox.maximum_packet_size = most  # [MQTT-3.2.2-15]
        # [MQTT-3.2.2-17] [MQTT-3.2.2-18]
        outbox.alias_maximum = min(said.topic_alias_maximum or 0, options.topic_alias_maximum)
        outbox.maximum_qos = 2 if said.maximum_qos is None else said.maximum_qos  # [MQTT-3.2.2-11]
        self._takes_wildcards = said.wildcard_subscription_available != 0
        self._sends_retained = said.retain_available != 0 and options.outgoing_retain  # [MQTT-3.2.2-14]
        if not self._sends_retained:
            outbox.mask = 0xFE
        outbox.outlook = Renaming(bridge.outward)
        takes = said.receive_maximum or _MOST_IN_FLIGHT
        if self.version != MQTT_5 and any(each.is_out and each.qos == 2 for each in options.topics):
            takes = BROKER_TAKES
        self.takes_in_flight = min(takes, self.options.max_inflight_messages, _MOST_IN_FLIGHT)
        if said.server_keep_alive is not None:  # [MQTT-3.1.2-21]
            self.keep_alive = self.visit.keep_alive = said.server_keep_alive
        # [MQTT-3.3.4-7] is kept by the session's sender.
        # v3.1 does not say it; see ``_on_publish``.
        is_present = (packet.session_present or self.version == MQTT_3_1) and not self._asked_clean
        self._is_accepted = True
        session = bridge.opened(self, is_present=is_present, now=now)
        self.session = session
        self._last_heard = self._active_at = now
        self._watch(now)
        wanted = filters_of(options.topics, is_out=False)
        self.begin_requests(list(wanted))
        self._tell(b"1")
        session.send_waiting(now)
        for message, first, extra in bridge.way_out.take_kept():
            if not message.is_expired(now) and bridge.way_out.still_admits(message):  # [MQTT-3.3.2-5]
                session.send_kept(message, first, extra, now)
        self.send_retained(session, is_all=not is_present, now=now)
        bridge.keeper.opened(self, now)

    def _tell(self, state: bytes) -> None:
        """Tell those at the remote end how we are."""
        options = self.bridge.options
        if options.notifications and not options.notifications_local_only:
            packet = Publish(options.notification_topic, state, 0, self._sends_retained)
            frame = encode(packet, self.version)
            if len(frame) <= self.outbox.maximum_packet_size:  # [MQTT-3.2.2-15]
                self._append_in_order(frame)

    def begin_requests(self, topic_filters: list[str]) -> None:
        """Subscribe to these filters of the remote, and unsubscribe from those that are not wanted."""
        session = self.session
        if session is None:
            return
        sender = session.sender
        assert isinstance(sender, _Sender)  # of a bridge
        for topic_filter in self.bridge.take_dropped():
            self._ask(sender, topic_filter, Unsubscribe(sender.next_packet_id(), [topic_filter]))
        wanted = filters_of(self.bridge.options.topics, is_out=False)
        for topic_filter in topic_filters:
            request = SubscriptionRequest(topic_filter, wanted[topic_filter])
            if self.version == MQTT_5:
                request.no_local = True
                request.retain_as_published = True
            if topics.has_wildcard(topic_filter) and not self._takes_wildcards:  # (section 3.2.2.3.11)
                self.bridge.keeper.refused(topic_filter, "the remote takes no subscription with a wildcard")
                continue
            # One each: some take no more at a time, and none can refuse the others with it.
            self._ask(sender, topic_filter, Subscribe(sender.next_packet_id(), [request]))

    def _ask(self, sender: _Sender, topic_filter: str, packet: Subscribe | Unsubscribe) -> None:
        frame = encode(packet, self.version)
        if len(frame) > self.outbox.maximum_packet_size:  # [MQTT-3.2.2-15]
            self.bridge.keeper.refused(topic_filter, "the remote takes no packet that is so large")
            return
        sender.requests[packet.packet_id] = topic_filter
        self.outbox.append(frame)

    def _on_answer(self, session: Session, packet: SubAck | UnsubAck, now: float) -> None:
        sender = session.sender
        assert isinstance(sender, _Sender)  # of a bridge
        topic_filter = sender.requests.pop(packet.packet_id, None)
        if topic_filter is not None and isinstance(packet, SubAck) and packet.reason_codes[0] >= 0x80:
            self.bridge.keeper.refused(topic_filter, _reason_of_code(packet.reason_codes[0], packet.properties))
        session.send_waiting(now)  # for want of an id, something may wait

    def send_retained(self, session: Session, *, is_all: bool, now: float) -> None:
        """Send retained messages: all, or those of new filters, and what may have been missed at QoS 0."""
        fresh = self.bridge.take_fresh()
        on_their_way: set[tuple[str, bytes]] = set()
        for outgoing in (*session.sender.in_flight.values(), *(session.queue.waiting or ())):
            on_their_way.add((outgoing.message.topic, outgoing.message.payload))
        for subscription in list(session.subscriptions.values()):
            is_whole = is_all or subscription.topic_filter in fresh
            if is_whole or self.outbox.mask == 0xFF:  # without RETAIN, to send it again would be to say it again
                self._send_retained_of(subscription, on_their_way, is_whole=is_whole, now=now)

    def _send_retained_of(
        self, subscription: Subscription, on_their_way: set[tuple[str, bytes]], *, is_whole: bool, now: float
    ) -> None:
        def is_missing(message: Message) -> bool:
            if (message.topic, message.payload) in on_their_way:
                return False
            return is_whole or min(message.qos, subscription.qos) == 0

        self.engine.send_retained(subscription, now, is_missing)

    # PUBLISH

    def _on_publish(self, session: Session, packet: Publish, now: float) -> None:
        stats = self.engine.stats
        stats.publish_received += 1
        self.visit.publish_received += 1
        stats.publish_bytes_received += len(packet.payload)
        properties = packet.properties
        topic = packet.topic
        if properties is not None:
            alias = properties.topic_alias
            if alias is not None:
                topic = self._resolve_alias(topic, alias, self._aliases_allowed)
            properties.subscription_identifiers = ()
        if packet.qos > 0 and self.engine.journal.is_failing:  # the remote keeps it for us
            self.disconnect(ReasonCode.QUOTA_EXCEEDED, "the broker cannot store what the remote sends", now)
            return
        passage = self._passage = self.bridge.inward.find(topic)
        name = topic if passage is None else passage.name
        retain = packet.retain and self.options.retain_available and not self._too_long(name)
        message = message_of(name, packet.payload, packet.qos, retain, properties, now)
        if packet.qos > 0:
            if self.version == MQTT_3_1 and packet.qos == 2 and not packet.dup:
                session.disown(packet.packet_id)  # the remote may have forgotten us, and could not say so
            self._on_acknowledged_publish(session, packet.packet_id, message, now)
            return
        if packet.frame and name == topic:
            message.came_as(packet.frame, self.version)
        if self._refusal_to_publish(session, message)[0] == 0:
            self._pass_on(message, session, now)

    def _refusal_to_publish(self, session: Session, message: Message) -> tuple[int, str]:
        if self._passage is None:
            return 0, ""  # it is not for here: taken in, and no more
        grant = publishing(session.permissions, message.topic)
        if grant.max_qos < message.qos or (message.retain and not grant.may_retain):
            self._denied("publish", message.topic, grant)
            return ReasonCode.NOT_AUTHORIZED.value, f"no permission to publish to {topics.shown(message.topic)}"
        if len(message.payload) > self.options.maximum_payload_size:
            self.engine.stats.publish_dropped += 1
            text = f"a payload of {len(message.payload):,} bytes, we take {self.options.maximum_payload_size:,}"
            return ReasonCode.QUOTA_EXCEEDED.value, text
        return 0, ""

    def _pass_on(self, message: Message, session: Session, now: float) -> bool:
        """Bring a message of the remote to all that subscribed, if it has a way to here and has not been here."""
        bridge = self.bridge
        passage = self._passage
        most = bridge.options.max_hops
        known = self.engine.hops
        if most > 0 and (hops.hops_of(message) > most or known.knows(message)):
            bridge.looped += 1
            return True
        if passage is None or not passage.line.admits(message, now):
            bridge.filtered += 1
            return True
        if most > 0:  # not before: what is held back here may well come another way
            known.remember(message)
        return self.engine.publish(message, session, now)


def _renamed(former: list[BridgeTopic], topics: list[BridgeTopic], *, is_out: bool) -> list[str]:
    """The filters that are still there, for what has other names at the other end now."""
    before = names_of(former, is_out=is_out)
    after = names_of(topics, is_out=is_out)
    return [each for each in after if each in before and before[each] != after[each]]


def _reason_of(packet: ConnAck | Disconnect) -> str:
    """Why the remote says no or goodbye, for people."""
    text = _reason_of_code(packet.reason_code, packet.properties)
    reference = None if packet.properties is None else packet.properties.server_reference
    return text if reference is None else f"{text}; it names another server: {reference}"


def _reason_of_code(reason_code: int, properties: Properties | None) -> str:
    words = None if properties is None else properties.reason_string
    text = reason_text(reason_code)
    return text if not words else f"{text}: {words}"
