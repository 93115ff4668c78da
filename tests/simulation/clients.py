"""Two kinds of clients: one written for this simulation alone, and the client core of Telex.

Both know what a client knows: their own state, and the link that they have. They
know nothing of the broker but the packets that reach them, and nothing of chance.
What they forget and what they keep when a link is lost is section 4.1 and 4.4.
"""

from abc import ABC, abstractmethod
from collections import deque

from telex.client.connection import ClientConnection, Publication
from telex.codes import MAX_PACKET_ID
from telex.errors import Timeout
from telex.wire.encode import encode
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
)
from telex.wire.properties import Properties
from tests.simulation.history import AppDone, AppGot, AppPublishes, ClientGot, ClientLost, Restarted
from tests.simulation.world import Link, Parcel, World

_QUOTA_EXCEEDED = 0x97


class Client(ABC):
    """What the simulation asks of either kind."""

    def __init__(self, world: World, name: str, client_id: str, version: int) -> None:
        self.world = world
        self.name = name
        self.client_id = client_id
        self.version = version
        self.link: Link | None = None
        self.connect = Connect(client_id, version=version)  # the last one
        self.topic_filters: list[str] = []  # that it has subscribed to at some time
        self.share = ""  # the only Shared Subscription that it has, or none
        self.is_ready = False  # CONNACK has come
        self.has_forgotten = False  # it restarted, and no CONNACK has come since: it must start clean
        self._session = 0  # the number of the session that it goes on with

    def opens(self, connect: Connect) -> None:
        """Make a connection; one that is there is given up."""
        self.loses_link()
        self.connect = connect
        self.link = self.world.open(self.name, self.version)
        self._begin(connect)

    def loses_link(self) -> None:
        """Notice that the link is gone, or give it up."""
        link = self.link
        if link is not None:
            self.link = None
            self.is_ready = False
            self.world.tell(ClientLost(link.number))
            self.world.leave(link)
            self._lost()

    def gets(self, parcel: Parcel) -> None:
        """A packet has come."""
        link = self.link
        assert link is not None
        packet = parcel[0]
        if isinstance(packet, ConnAck) and packet.reason_code == 0 and self._mistakes_session(packet, link):
            self.world.history.counts["would have mistaken a new session for its own"] += 1
            self.has_forgotten = True
            self.loses_link()
            return
        self.world.tell(ClientGot(link.number, *parcel))
        self._got(*parcel)

    def _mistakes_session(self, packet: ConnAck, link: Link) -> bool:
        """Whether the broker has another session than the one that this client goes on with.

        That is so when its session was over, and the CONNACK that said so was lost:
        the next one says that a session is present. MQTT has no word for this. The
        client would take new messages for repeats, so that ours starts clean.
        """
        known, self._session = self._session, self.world.referee.session_of(link.number)
        return packet.session_present and known != self._session

    def restarts(self) -> None:
        """Forget everything; there must be no link."""
        self.world.tell(Restarted(self.name))
        self.has_forgotten = True
        self._restart()

    def _send(self, packet: Packet) -> None:
        assert self.link is not None
        if isinstance(packet, Publish) and packet.dup:
            self.world.history.counts["repeated by a plain client"] += 1
        self.world.write(self.link, packet, encode(packet, self.version))

    def _tell_app(self, packet: Publish, topic: str) -> None:
        assert self.link is not None
        self.world.history.counts[f"received at QoS {packet.qos}"] += 1
        self.world.tell(AppGot(self.link.number, topic, packet.payload, packet.qos))

    @property
    @abstractmethod
    def unfinished(self) -> int:
        """How many messages of its application are not done."""

    @abstractmethod
    def publishes(
        self, number: int, topic: str, payload: bytes, qos: int, retain: bool, properties: Properties | None
    ) -> None:
        """Take a message from the application, which calls it ``number``."""

    @abstractmethod
    def subscribes(self, requests: list[SubscriptionRequest], identifier: int | None) -> None:
        """Subscribe."""

    @abstractmethod
    def unsubscribes(self, topic_filters: list[str]) -> None:
        """Unsubscribe."""

    @abstractmethod
    def disconnects(self, reason_code: int, expiry_interval: int | None) -> None:
        """Say DISCONNECT; the link is to be given up then."""

    @abstractmethod
    def ticks(self, now: float) -> None:
        """A second has begun."""

    @abstractmethod
    def answers(self, count: int) -> bool:
        """Send some of the acknowledgements that are owed: whether there were any."""

    @abstractmethod
    def _begin(self, connect: Connect) -> None: ...

    @abstractmethod
    def _lost(self) -> None: ...

    @abstractmethod
    def _got(self, packet: Packet, frame: bytes) -> None: ...

    @abstractmethod
    def _restart(self) -> None: ...


class Outgoing:
    """A message of QoS 1 or 2 on its way from a plain client."""

    def __init__(self, number: int, packet: Publish) -> None:
        self.number = number
        self.packet = packet
        self.is_released = False  # PUBREC has come


class PlainClient(Client):
    """A client in the plainest words, whose acknowledgements leave when ``answers`` says so."""

    def __init__(
        self,
        world: World,
        name: str,
        client_id: str,
        version: int,
        *,
        is_prompt: bool = False,
        refuses: bool = False,
    ) -> None:
        super().__init__(world, name, client_id, version)
        self.is_prompt = is_prompt  # acknowledges at once
        self.refuses = refuses  # does not want every message
        self._outgoing: dict[int, Outgoing] = {}  # by packet id, in the order of sending; released ones: of PUBRECs
        self._waiting: deque[Outgoing] = deque()  # not sent on this connection yet
        self._owned: set[int] = set()  # packet ids of QoS 2 messages that the application has
        self._last_id = 0
        # Of one connection:
        self._requests: set[int] = set()
        self._answers: deque[Packet] = deque()  # acknowledgements that are owed
        self._aliases: dict[int, str] = {}
        self._own_aliases: dict[str, int] = {}
        self._alias_maximum = 0
        self._quota = 0
        self._counted: set[int] = set()  # packet ids that count against the quota
        self._last_sent = 0.0

    @property
    def unfinished(self) -> int:
        return len(self._outgoing) + sum(1 for each in self._waiting if each.packet.packet_id == 0)

    def _begin(self, connect: Connect) -> None:
        self._send(connect)

    def _send(self, packet: Packet) -> None:
        self._last_sent = self.world.now
        super()._send(packet)

    def _lost(self) -> None:
        self._requests.clear()
        self._answers.clear()
        self._aliases.clear()
        self._own_aliases.clear()
        self._counted.clear()

    def _restart(self) -> None:
        self._outgoing.clear()
        self._waiting.clear()
        self._owned.clear()

    def publishes(
        self, number: int, topic: str, payload: bytes, qos: int, retain: bool, properties: Properties | None
    ) -> None:
        packet = Publish(topic, payload, qos, retain, properties=properties)
        if qos == 0:
            self._publish(packet)
        else:
            self.world.tell(AppPublishes(self.name, number, payload, qos))
            self._waiting.append(Outgoing(number, packet))
            self._send_waiting()

    def _publish(self, packet: Publish, *, dup: bool = False) -> None:
        """Send a message, with a topic alias where the server takes one."""
        topic, properties = packet.topic, packet.properties
        if self._alias_maximum and topic in self._own_aliases:
            properties = self._with_alias(properties, self._own_aliases[topic])
            topic = ""
        elif len(self._own_aliases) < min(self._alias_maximum, 2):
            alias = len(self._own_aliases) + 1
            self._own_aliases[topic] = alias
            properties = self._with_alias(properties, alias)
        self._send(Publish(topic, packet.payload, packet.qos, packet.retain, dup, packet.packet_id, properties))

    def _with_alias(self, properties: Properties | None, alias: int) -> Properties:
        self.world.history.counts["topic alias of a client"] += 1
        said = properties or Properties()
        return Properties(
            message_expiry_interval=said.message_expiry_interval,
            user_properties=said.user_properties,
            topic_alias=alias,
        )

    def _send_waiting(self) -> None:
        while self._waiting and self.is_ready:
            outgoing = self._waiting[0]
            packet = outgoing.packet
            if outgoing.is_released:
                self._send(PubRel(packet.packet_id))
            elif len(self._counted) < self._quota:
                is_repeat = packet.packet_id > 0
                if not is_repeat:
                    packet.packet_id = self._next_id()
                    self._outgoing[packet.packet_id] = outgoing
                self._counted.add(packet.packet_id)
                self._publish(packet, dup=is_repeat)
            else:
                return
            self._waiting.popleft()

    def _next_id(self) -> int:
        """Ids come again soon, so that what is late may meet a new owner."""
        most = 20 if len(self._outgoing) + len(self._requests) < 15 else MAX_PACKET_ID
        while True:
            self._last_id = self._last_id % most + 1
            if self._last_id not in self._outgoing and self._last_id not in self._requests:
                return self._last_id

    def subscribes(self, requests: list[SubscriptionRequest], identifier: int | None) -> None:
        packet_id = self._next_id()
        self._requests.add(packet_id)
        properties = None if identifier is None else Properties(subscription_identifiers=(identifier,))
        self._send(Subscribe(packet_id, requests, properties))

    def unsubscribes(self, topic_filters: list[str]) -> None:
        packet_id = self._next_id()
        self._requests.add(packet_id)
        self._send(Unsubscribe(packet_id, topic_filters))

    def disconnects(self, reason_code: int, expiry_interval: int | None) -> None:
        properties = None
        if self.version == 5 and expiry_interval is not None:
            properties = Properties(session_expiry_interval=expiry_interval)
        self._send(Disconnect(reason_code, properties))

    def ticks(self, now: float) -> None:
        keep_alive = self.connect.keep_alive
        if self.is_ready and keep_alive and now - self._last_sent >= keep_alive / 2:
            self._send(PingReq())

    def answers(self, count: int) -> bool:
        answers = self._answers
        had_any = bool(answers)
        while answers and count > 0:
            count -= 1
            self._send(answers.popleft())
        return had_any

    def _got(self, packet: Packet, frame: bytes) -> None:
        if isinstance(packet, Publish):
            self._got_publish(packet)
        elif isinstance(packet, PubAck):
            self._finished(packet.packet_id, packet.reason_code)
        elif isinstance(packet, PubComp):  # where it says that the id is not known, an earlier one was lost
            self._finished(packet.packet_id, 0)
        elif isinstance(packet, PubRec):
            self._got_pubrec(packet)
        elif isinstance(packet, PubRel):
            self._owned.discard(packet.packet_id)
            self._answers.append(PubComp(packet.packet_id))
        elif isinstance(packet, SubAck | UnsubAck):
            self._requests.discard(packet.packet_id)
        elif isinstance(packet, ConnAck):
            self._got_connack(packet)
        elif isinstance(packet, Disconnect):
            self.is_ready = False
        else:
            assert isinstance(packet, PingResp), f"{self.name} got {packet}"
        if self.is_prompt:
            self.answers(len(self._answers))

    def _got_connack(self, packet: ConnAck) -> None:
        if packet.reason_code != 0:  # the server closes the connection
            return
        said = packet.properties or Properties()
        self._quota = MAX_PACKET_ID if said.receive_maximum is None else said.receive_maximum
        self._alias_maximum = said.topic_alias_maximum or 0
        unsent = [each for each in self._waiting if each.packet.packet_id == 0]
        again = list(self._outgoing.values())
        if not packet.session_present:  # [MQTT-3.2.2-5]
            self._owned.clear()
            self._outgoing.clear()
            for each in again:
                if each.is_released:
                    self.world.tell(AppDone(self.name, each.number, 0))
                each.packet.packet_id = 0
            again = [each for each in again if not each.is_released]
        else:
            again.sort(key=lambda each: not each.is_released)
        self._waiting = deque(again + unsent)
        self.is_ready = True
        self.has_forgotten = False
        self._send_waiting()

    def _got_publish(self, packet: Publish) -> None:
        topic = packet.topic
        alias = None if packet.properties is None else packet.properties.topic_alias
        if alias is not None:
            self.world.history.counts["topic alias of the broker"] += 1
            if topic:
                self._aliases[alias] = topic
            topic = self._aliases[alias]
        if self.refuses and packet.qos > 0 and packet.payload.rstrip(b".").endswith(b"7"):
            self.world.history.counts["refused by a client"] += 1
            kind = PubAck if packet.qos == 1 else PubRec
            self._answers.append(kind(packet.packet_id, _QUOTA_EXCEEDED))
            return
        if packet.qos == 2:
            self._answers.append(PubRec(packet.packet_id))
            if packet.packet_id in self._owned:
                return
            self._owned.add(packet.packet_id)
        elif packet.qos == 1:
            self._answers.append(PubAck(packet.packet_id))
        self._tell_app(packet, topic)

    def _got_pubrec(self, packet: PubRec) -> None:
        outgoing = self._outgoing.get(packet.packet_id)
        if packet.reason_code >= 0x80:
            self._finished(packet.packet_id, packet.reason_code)
        elif outgoing is not None:
            if not outgoing.is_released:
                outgoing.is_released = True
                del self._outgoing[packet.packet_id]  # to the end: PUBRELs keep the order of PUBRECs [MQTT-4.6.0-4]
                self._outgoing[packet.packet_id] = outgoing
            self._answers.append(PubRel(packet.packet_id))
        else:
            raise AssertionError(f"{self.name} got {packet} for nothing")

    def _finished(self, packet_id: int, reason_code: int) -> None:
        outgoing = self._outgoing.pop(packet_id)
        self._counted.discard(packet_id)
        self.world.tell(AppDone(self.name, outgoing.number, reason_code))
        self._send_waiting()


class CoreClient(Client):
    """The client core of Telex."""

    def __init__(self, world: World, name: str, client_id: str, version: int) -> None:
        super().__init__(world, name, client_id, version)
        self._core: ClientConnection | None = None  # None: it has just started
        self._numbers: dict[Publication, int] = {}  # of what is not done

    @property
    def unfinished(self) -> int:
        return len(self._numbers)

    @property
    def core(self) -> ClientConnection:
        """The state machine."""
        assert self._core is not None  # it has opened a connection
        return self._core

    def _begin(self, connect: Connect) -> None:
        if self._core is None:
            self._core = ClientConnection(connect)
        self._core.connect = connect
        self._core.opened(self.world.now)
        self._work()

    def _lost(self) -> None:
        self.core.lost()

    def _restart(self) -> None:
        self._core = None
        self._numbers.clear()

    def _got(self, packet: Packet, frame: bytes) -> None:
        self.core.receive(frame)
        self._work()

    def gets_half(self, frame: bytes) -> None:
        """A part of a packet has come."""
        self.core.receive(frame[: len(frame) // 2])

    def publishes(
        self, number: int, topic: str, payload: bytes, qos: int, retain: bool, properties: Properties | None
    ) -> None:
        if qos > 0:
            self.world.tell(AppPublishes(self.name, number, payload, qos))
        publication = self.core.publish(topic, payload, qos=qos, retain=retain, properties=properties)
        if qos > 0:
            self._numbers[publication] = number
        self._work()

    def subscribes(self, requests: list[SubscriptionRequest], identifier: int | None) -> None:
        properties = None if identifier is None else Properties(subscription_identifiers=(identifier,))
        self.core.subscribe(requests, properties)
        self._work()

    def unsubscribes(self, topic_filters: list[str]) -> None:
        self.core.unsubscribe(topic_filters)
        self._work()

    def disconnects(self, reason_code: int, expiry_interval: int | None) -> None:
        self.core.disconnect(reason_code)
        self._work()

    def ticks(self, now: float) -> None:
        try:
            self.core.tick(now)
        except Timeout:
            self.world.history.counts["a client waited in vain for PINGRESP"] += 1
            self.loses_link()
        else:
            self._work()

    def answers(self, count: int) -> bool:
        return False  # it answers at once

    def _work(self) -> None:
        """Hand out what happened, send what is to be sent."""
        for event in self.core.take_events():
            if isinstance(event, Publish):
                self._tell_app(event, event.topic)
            elif isinstance(event, Publication):
                number = self._numbers.pop(event, None)
                if number is not None:
                    self.world.tell(AppDone(self.name, number, event.reason_code))
            elif isinstance(event, ConnAck):
                if event.reason_code == 0:  # otherwise the server closes the connection
                    self.is_ready = True
                    self.has_forgotten = False
            elif isinstance(event, Disconnect):
                self.is_ready = False
        link = self.link
        assert link is not None
        data = self.core.take(self.world.now)
        if data:
            for packet, frame in self.world.decoded(link, data):
                if isinstance(packet, Publish) and packet.dup:
                    self.world.history.counts["repeated by the client core"] += 1
                self.world.write(link, packet, frame)
