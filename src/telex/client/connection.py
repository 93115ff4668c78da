"""A client's end of MQTT, sans-I/O: what it may send, what comes back, what is in flight.

Knows the rules of the client's side (chapters 3 and 4). Knows no socket and no
clock. Its state outlives the network connection, as a session does: after
``lost`` and another ``opened`` it completes what it had begun.
"""

from collections import deque
from typing import Final, Protocol

from telex import topics
from telex.codes import MAX_PACKET_BYTES, MAX_PACKET_ID, MQTT_3_1, MQTT_5, ReasonCode, reason_text
from telex.errors import NotConnected, ProtocolError, Refused
from telex.errors import Timeout as TimedOut
from telex.flow import Delivery, Receiver, Sender
from telex.wire.decode import Decoder
from telex.wire.encode import (
    PINGREQ_BYTES,
    PUBACK_FIRST,
    PUBCOMP_FIRST,
    PUBREC_FIRST,
    PUBREL_FIRST,
    encode,
    encode_acknowledgement,
)
from telex.wire.packets import (
    Acknowledgement,
    Auth,
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
)
from telex.wire.properties import Properties
from telex.wire.reasons import DISCONNECT_CODES, nearest

_LARGEST_ANSWER: Final = 5
"""Bytes of the largest packet that we cannot leave out: a PUBREL or PUBCOMP with a reason code."""

# Of the keep-alive time. All together, a link that takes bytes and brings none is noticed within 1.45 times of it, and
# a server is never left without a packet for longer than it [MQTT-3.1.2-20].
_QUIET: Final = 0.75  # so long nothing may be sent, or nothing come, before we ask
_ANSWER: Final = 0.5  # and so long the answer may take
_TICK: Final = 0.05
_NEVER: Final = -1.0

# Whose turn it is in an authentication that goes by AUTH packets (section 4.12).
_NOBODYS: Final = 0
_OURS: Final = 1
_SERVERS: Final = 2


class Publication(Delivery):
    """A message that this client publishes. It is done when ``is_done``; ``reason_code`` then says how it went."""

    def __init__(self, topic: str, payload: bytes, qos: int, retain: bool, properties: Properties | None) -> None:
        super().__init__(qos)
        self.topic = topic
        self.payload = payload
        self.retain = retain
        self.properties = properties
        self.size = 0  # bytes of its PUBLISH, known when it was written for the first time
        self.is_done = False
        self.reason_code = 0  # of PUBACK or PUBREC; 0x80 and above: the server refused it
        self.answer: Acknowledgement | None = None  # the PUBACK, PUBREC or PUBCOMP by which it is done
        self.own_id = 0  # the packet id that the caller has given it, in any session; 0: none
        self.frame = b""  # its PUBLISH, if it is known while it waits
        self.is_dropped = False  # nobody wants to know of it any more
        self.tag: object = None  # the caller's


class NotTaken(ValueError):
    """What the server has said that it does not take. ``reason_code`` says what."""

    def __init__(self, reason_code: int, text: str) -> None:
        super().__init__(text)
        self.reason_code = reason_code


class _ClientSender(Sender[Publication]):
    """A Sender whose packet ids are shared with SUBSCRIBE and UNSUBSCRIBE (section 2.2.1)."""

    def __init__(self) -> None:
        super().__init__()
        # Ids of SUBSCRIBE (True) and UNSUBSCRIBE packets that wait for their answer.
        self.requests: dict[int, bool] = {}
        self.own: set[int] = set()  # ids that callers gave to publications that are not in flight

    @property
    def used(self) -> int:
        """How many packet ids are in use."""
        return len(self.in_flight) + len(self.requests) + len(self.own)

    def give_back(self, packet_id: int) -> None:
        """The next id shall be this one, if the last one was."""
        if self._last_id == packet_id:
            self._last_id = packet_id - 1

    def is_used(self, packet_id: int) -> bool:
        """Whether a publication or a request has this id."""
        return packet_id in self.in_flight or packet_id in self.requests or packet_id in self.own

    def send(self, delivery: Publication) -> None:
        """As ``Sender.send``; the id is the publication's own, if it has one."""
        if delivery.own_id == 0:
            super().send(delivery)
            return
        self.own.discard(delivery.own_id)
        delivery.packet_id = delivery.own_id
        self.in_flight[delivery.own_id] = delivery
        self._take_quota(delivery)

    def peek_packet_id(self) -> int:
        """The id that the next ``send`` will give. There must be one."""
        last_id = self._last_id
        packet_id = self.next_packet_id()
        self._last_id = last_id
        return packet_id

    def next_packet_id(self) -> int:
        """An id that neither a publication nor a request uses."""
        packet_id = super().next_packet_id()
        while packet_id in self.requests or packet_id in self.own:
            packet_id = super().next_packet_id()
        return packet_id


class Journal(Protocol):
    """Who keeps what must outlive the program."""

    def sent(self, publication: Publication) -> None:
        """A publication that had to wait has its packet id, and its PUBLISH is about to leave."""

    def released(self, publication: Publication) -> None:
        """The server owns it: its PUBREL is about to leave."""

    def forgotten(self) -> None:
        """The server knows nothing of what was in flight; what is sent from now on is new."""


class _Held:
    """A packet that waits for CONNACK."""

    def __init__(self, frame: bytes, request: Packet | None, publication: Publication | None) -> None:
        self.frame = frame
        self.request = request  # SUBSCRIBE or UNSUBSCRIBE
        self.publication = publication  # of QoS 0


class ClientConnection:
    """The client's end.

    What happens is told by ``take_events``: the packets ConnAck, SubAck, UnsubAck,
    Disconnect and Publish (a message that came) as they are, each Publication above
    QoS 0 that is done, and Auth: with 0x18 it waits for ``authenticate``, with 0x00 what
    ``reauthenticate`` began is done. What is to be sent is given by ``take``.

    Args:
        connect: the CONNECT that opens each network connection. It may be replaced
            before ``opened``: another version, new authentication data, no clean start.
        most_in_flight: publications above QoS 0, if the server does not take fewer.
        journal: is told of what is sent.
        acknowledges_at_once: whether messages above QoS 0 are acknowledged when they
            come; otherwise it waits for ``acknowledge``.
        holds: whether what is asked for before CONNACK is held until then, publications
            above QoS 0 also while there is no network connection; otherwise that raises
            ``NotConnected``. What is unfinished then waits for ``go_on``. Before MQTT 5 a
            session that cannot be there is then passed over, and otherwise an error. What a
            server owned at QoS 2 when it forgot the session is sent again then, and
            otherwise counts as delivered.

    Raises:
        ValueError: a CONNECT that cannot be written, or that no server may accept.
    """

    def __init__(
        self,
        connect: Connect,
        *,
        acknowledges_at_once: bool = True,
        most_in_flight: int = MAX_PACKET_ID,
        journal: Journal | None = None,
        holds: bool = False,
    ) -> None:
        _check_connect(connect)
        self.most_in_flight = most_in_flight  # may be changed before ``opened``
        self.is_bridge = False  # CONNECT says so, by the top bit of its version, as Mosquitto understands it
        self.tells_all = False  # ``take_events`` gives acknowledgements and PingResp, too
        self._holds = holds
        self.waits_to_go_on = False  # CONNACK has come, and ``go_on`` has not been called
        self._held: list[_Held] = []  # what is to leave when CONNACK has come
        self.journal = journal
        self._acknowledges_at_once = acknowledges_at_once
        self.connect = connect
        self.version = connect.version
        self.is_open = False  # CONNACK said yes, and nothing has ended it since
        self.is_closing = False  # when what is written has left, the connection is to be closed
        self._has_network = False  # a network connection is there, and nothing has ended it
        self._sender = _ClientSender()
        self._receiver = Receiver()
        self._waiting: deque[Publication] = deque()  # what the server does not take yet
        self._said = Properties()  # what our CONNECT says of us
        self._limits = Properties()  # what CONNACK said of the server
        self._decoder = Decoder(version=connect.version)
        self._aliases: dict[int, str] = {}
        self._frames: list[bytes] = []
        self._events: list[Packet | Publication] = []
        self._turn = _NOBODYS
        self._keep_alive = connect.keep_alive
        self._last_sent = 0.0
        self._last_heard = 0.0
        self._has_heard = False  # bytes came since the last tick
        self._pinged_at = _NEVER
        self._owed: dict[int, Publish] = {}  # what came on this connection and waits for its acknowledgement
        self._turns: deque[int] = deque()  # its packet ids, as they came
        self._decided: set[int] = set()  # of these, what ``acknowledge`` has named and what must wait for its turn
        self._given_up: set[int] = set()  # of these again, what is not to be acknowledged at all
        self._owed_last = 0  # of what is owed, acknowledgements that are the last ones: at QoS 1
        self._undecided: dict[int, Publish] = {}  # of QoS 2, on whatever connection, what it has not named

    @property
    def server(self) -> Properties:
        """What CONNACK has said of the server, as long as the connection is open."""
        return self._limits

    @property
    def client_id(self) -> str:
        """Who we are: the server may have chosen the name."""
        return self.connect.client_id

    # The network connection

    def opened(self, now: float) -> None:
        """A network connection is there: CONNECT is the first packet [MQTT-3.1.0-1]."""
        if self.connect.version != self.version:
            self.version = self.connect.version
            for each in self._waiting:
                each.frame = b""
        said = self.connect.properties if self.version == MQTT_5 else None
        self._said = said if said is not None else Properties()
        # Who acknowledges in its own time is patient with a server that sends more than it was told, as Mosquitto 2.0
        # does when acknowledgements are slow: to end the connection would bring the same again.
        allowed = self._said.receive_maximum if self._acknowledges_at_once else None
        self._receiver.resume(allowed or MAX_PACKET_ID)
        self._decoder = Decoder(self._said.maximum_packet_size or MAX_PACKET_BYTES, version=self.version)
        self._aliases = {}  # [MQTT-3.3.2-7] (L1)
        self._limits = Properties()  # what an earlier CONNACK said is over (Z1)
        self._sender.requests.clear()  # they are not sent again [MQTT-4.4.0-1]
        self._turn = _NOBODYS if self._said.authentication_method is None else _SERVERS
        self._keep_alive = self.connect.keep_alive
        self._pinged_at = _NEVER
        self._has_heard = False
        self._last_heard = now
        self._has_network = True
        self.is_closing = False
        frame = encode(self.connect, self.version)
        self._frames = [_as_bridge(frame, self.version) if self.is_bridge else frame]
        self._held = []
        self.waits_to_go_on = False
        self._last_sent = now

    def lost(self) -> None:
        """The network connection is gone. What is in flight is kept for the next one [MQTT-3.1.2-23]."""
        self.is_open = False
        self._has_network = False
        self._frames = []
        self._held = []
        self._limits = Properties()
        self._owed.clear()  # the server sends it again
        self._turns.clear()
        self._given_up.clear()
        self._owed_last = 0
        self._decided.clear()

    def receive(self, data: bytes) -> None:
        """Take in bytes as they come.

        Raises:
            ProtocolError: the server broke a rule. A DISCONNECT that says so waits
                to be sent, then the connection is to be closed.
        """
        self._has_heard = True
        self._decoder.receive(data)
        try:
            while not self.is_closing:
                packet = self._decoder.next_packet()
                if packet is None:
                    return
                self._handle(packet)
        except ProtocolError as error:  # [MQTT-4.13.2-1] v3 [MQTT-4.8.0-1]
            reason_code = nearest(error.reason_code, DISCONNECT_CODES)  # 0x84, of a CONNECT from the server, is 0x82
            self._end(Disconnect(reason_code) if self.version == MQTT_5 else None)
            raise

    def tick(self, now: float, *, is_reading: bool = True, is_sending: bool = False) -> None:
        """Keep the connection alive; to be called every ``tick_seconds`` [MQTT-3.1.2-20].

        How long CONNACK may take is the caller's to decide: until then, nothing is sent.

        Args:
            now: seconds on a clock that never goes back.
            is_reading: False if what came meanwhile was left unread: then nothing can be
                said of the server.
            is_sending: True if some bytes of what ``take`` gave have left since the last tick, and
                others still wait: who takes them is there, and cannot have seen our PINGREQ.

        Raises:
            Timeout: nothing came for the keep-alive time, and no answer to a PINGREQ.
        """
        if not self.is_open or self._keep_alive == 0:
            return
        if self._has_heard or not is_reading:
            self._has_heard = False
            self._last_heard = now
            self._pinged_at = _NEVER
        if self._pinged_at != _NEVER:
            if is_sending:
                self._pinged_at = now
            if now - self._pinged_at >= self._keep_alive * _ANSWER:
                raise TimedOut(f"the server did not answer a PINGREQ within {self._keep_alive * _ANSWER:g} s")
        elif now - min(self._last_sent, self._last_heard) >= self._keep_alive * _QUIET:
            self._frames.append(PINGREQ_BYTES)
            self._pinged_at = now

    @property
    def tick_seconds(self) -> float:
        """How often ``tick`` is to be called, so that no PINGREQ comes late (A1)."""
        return min(1.0, self._keep_alive * _TICK) if self._keep_alive > 0 else 1.0

    @property
    def wants_to_send(self) -> bool:
        """Whether ``take`` has something to give, or the connection is to be closed."""
        return bool(self._frames) or self.is_closing

    @property
    def has_frames(self) -> bool:
        """Whether ``take`` has something to give."""
        return bool(self._frames)

    @property
    def awaits_connack(self) -> bool:
        """Whether there is a network connection on which CONNACK is still to come."""
        return self._has_network and not self.is_open

    @property
    def has_held(self) -> bool:
        """Whether something is to leave that waits for CONNACK, or for ``go_on``."""
        return bool(self._held) or (bool(self._waiting) and (self.waits_to_go_on or not self.is_open))

    def take(self, now: float) -> bytes:
        """The bytes that are to be sent."""
        if not self._frames:
            return b""
        data = b"".join(self._frames)
        self._frames = []
        self._receiver.acknowledged(self._owed_last)
        self._last_sent = now
        return data

    def take_events(self) -> list[Packet | Publication]:
        """What has happened since the last time, in order."""
        events = self._events
        self._events = []
        return events

    # What the user wants

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
        packet_id: int = 0,
    ) -> Publication:
        """Publish a message; above QoS 0 it may have to wait until the server takes it.

        Args:
            topic: its topic name; empty if a topic alias stands for it (QoS 0 only).
            payload: what it says.
            qos: 0, 1 or 2.
            retain: whether the server keeps it for those who subscribe later.
            properties: what is said besides.
            packet_id: above QoS 0, one of ``next_packet_id`` that it shall have; 0: any.

        Raises:
            ValueError: what PUBLISH cannot say, what a client may not say in it (a
                subscription identifier, a topic alias that the server does not take), or,
                as ``NotTaken``, what the server has said that it does not take. Nothing
                is sent, and no packet id is used.
            NotConnected: no connection is open.
        """
        if not self.is_open:
            self._check_holds(needs_network=qos == 0)
        if topic or qos > 0 or properties is None or properties.topic_alias is None:
            topics.check_name(topic)
        publication = Publication(topic, payload, qos, retain, properties)
        if properties is not None:
            self._check_properties(properties)
        can_send = qos == 0 or (self.is_open and not self._waiting and (packet_id > 0 or self._can_send_new))
        if packet_id > 0 and qos > 0:
            self._check_own(packet_id)
            publication.own_id = packet_id
            can_send = can_send and self._sender.can_send
        else:
            packet_id = 0 if qos == 0 else (self._sender.peek_packet_id() if can_send else 1)
        frame = self._encode(publication, packet_id, dup=False)
        if properties is not None and properties.topic_alias is not None and qos > 0:  # what is sent later, or again
            publication.properties = _without_alias(properties)
        publication.size = len(frame)
        objection = self._objection(publication)
        if objection is not None:
            raise NotTaken(objection.reason_code, str(objection))
        if qos == 0:  # [MQTT-4.3.1-1]
            publication.is_done = True
            if self.is_open:
                self._frames.append(frame)
            else:
                self._held.append(_Held(frame, None, publication))
        elif can_send:
            self._sender.send(publication)  # with the id that it peeked at
            self._frames.append(frame)
        else:
            self._waiting.append(publication)
            if publication.own_id > 0:
                self._sender.own.add(publication.own_id)
                if publication.properties is properties:  # it has no topic alias in it
                    publication.frame = frame
        return publication

    def next_packet_id(self) -> int:
        """A packet id that nothing uses, for ``publish``, ``subscribe`` and ``unsubscribe``: in turn, from 1 to 65,535.

        Raises:
            ValueError: all are in use.
        """
        return self._free_packet_id()

    def give_back(self, packet_id: int) -> None:
        """Have the last ``next_packet_id`` undone, which nothing uses."""
        self._sender.give_back(packet_id)

    def go_on(self) -> None:
        """Send what is unfinished: CONNACK has come, and who held it back has said what comes before it."""
        self.waits_to_go_on = False
        if self.is_open:
            self._send_waiting()

    def drop(self) -> list[Publication]:
        """Forget all that is unfinished above QoS 0; nothing of it is told or sent any more.

        What the server has got on this connection keeps its packet id until it answers.
        """
        sender = self._sender
        dropped = list(sender.in_flight.values())
        dropped += [each for each in self._waiting if each.packet_id == 0]
        for each in dropped:
            each.is_dropped = True
            sender.own.discard(each.own_id)
            if not each.has_quota:
                sender.in_flight.pop(each.packet_id, None)
        self._waiting.clear()
        return dropped

    def acknowledge(self, packet: Publish) -> None:
        """Acknowledge a message, unless that is done at once: when all that came before it are, in their order.

        What came on an earlier connection comes again if it needs to, at QoS 1 as
        another message; at QoS 2 it does not, and is acknowledged then.
        """
        packet_id = packet.packet_id
        if packet.qos == 2 and self._undecided.get(packet_id) is packet:
            del self._undecided[packet_id]
        owed = self._owed
        if owed.get(packet_id) is not packet:
            return
        self._decided.add(packet_id)
        turns = self._turns
        while turns and turns[0] in self._decided:  # [MQTT-4.6.0-2] [MQTT-4.6.0-3]
            first_id = turns.popleft()
            self._decided.discard(first_id)
            first = owed.pop(first_id)
            if first.qos == 1:
                self._owed_last -= 1
            if first_id in self._given_up:
                self._given_up.discard(first_id)
            else:
                self._acknowledge_now(first)

    def give_up(self, packet: Publish) -> None:
        """Do not acknowledge a message on this connection, and let those behind it not wait for that.

        The server keeps it, and sends it again when the session is resumed.
        """
        if self._owed.get(packet.packet_id) is packet and packet.packet_id not in self._decided:
            self._given_up.add(packet.packet_id)
            undecided = self._undecided.get(packet.packet_id)
            self.acknowledge(packet)
            if undecided is not None:
                self._undecided[packet.packet_id] = undecided

    def disown(self, packet: Publish) -> None:
        """As ``give_up``, and when it comes again it is a new message, at QoS 2 too: nobody has had this one."""
        self.give_up(packet)
        if packet.qos == 2 and self._undecided.get(packet.packet_id) is packet:
            del self._undecided[packet.packet_id]
            self._receiver.owned.pop(packet.packet_id, None)

    @property
    def owed(self) -> int:
        """Messages that came on this connection and wait for their acknowledgement."""
        return len(self._owed)

    def subscribe(
        self, requests: list[SubscriptionRequest], properties: Properties | None = None, *, packet_id: int = 0
    ) -> int:
        """Ask for what matches; the SubAck with the returned packet id is the answer.

        Args:
            requests: topic filters, with their options.
            properties: what is said besides.
            packet_id: one of ``next_packet_id`` that it shall have; 0: any.

        Raises:
            ValueError: an invalid filter, or, as ``NotTaken``, what the server has said that it does not take.
            NotConnected: no connection is open.
        """
        if not self.is_open:
            self._check_holds(needs_network=True)
        for request in requests:
            topics.check_filter(request.topic_filter)
            self._check_server_offers(request)
        has_identifier = properties is not None and properties.subscription_identifiers != ()
        if has_identifier and self._limits.subscription_identifier_available == 0:  # section 3.2.2.3.12
            raise NotTaken(
                ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED, "the server has no subscription identifiers"
            )
        return self._request(Subscribe(self._request_id(packet_id), requests, properties))

    def unsubscribe(self, topic_filters: list[str], properties: Properties | None = None, *, packet_id: int = 0) -> int:
        """Ask for no more; the UnsubAck with the returned packet id is the answer.

        Args:
            topic_filters: as they were subscribed to.
            properties: what is said besides.
            packet_id: one of ``next_packet_id`` that it shall have; 0: any.

        Raises:
            ValueError: an invalid filter, or, as ``NotTaken``, a packet that is too large for the server.
            NotConnected: no connection is open.
        """
        if not self.is_open:
            self._check_holds(needs_network=True)
        for topic_filter in topic_filters:
            topics.check_filter(topic_filter)
        return self._request(Unsubscribe(self._request_id(packet_id), topic_filters, properties))

    def authenticate(self, data: bytes | None = None) -> None:
        """Answer the AUTH 0x18 that ``take_events`` gave, with authentication data (section 4.12).

        Raises:
            ValueError: no AUTH of the server waits for an answer.
            NotConnected: the connection has ended.
        """
        if not self._has_network:
            raise NotConnected("there is no connection to a server")
        if not self.awaits_answer:  # [MQTT-4.12.0-7]
            raise ValueError("authenticate() answers an AUTH of the server, and none waits for an answer")
        self._send_auth(ReasonCode.CONTINUE_AUTHENTICATION, data)  # [MQTT-4.12.0-3]

    @property
    def awaits_answer(self) -> bool:
        """Whether an AUTH of the server waits for ``authenticate``: it may be overtaken by what came behind it."""
        return self._has_network and self._turn == _OURS

    def reauthenticate(self, data: bytes | None = None) -> None:
        """Prove once more who we are, by the method of CONNECT (section 4.12.1).

        Other packets go on as before. The server answers with Auth 0x18, then with
        Auth 0x00, or with Disconnect.

        Raises:
            ValueError: CONNECT named no method, or an authentication is going on.
            NotConnected: no connection is open.
        """
        self._check_open()
        if self._said.authentication_method is None:  # [MQTT-4.12.0-7]
            raise ValueError("reauthenticate() needs a CONNECT with an authentication method [MQTT-4.12.0-7]")
        if self._turn != _NOBODYS:
            raise ValueError("an authentication is going on; wait for its end")
        self._send_auth(ReasonCode.RE_AUTHENTICATE, data)  # [MQTT-4.12.1-1]

    def disconnect(self, reason_code: int = 0, properties: Properties | None = None) -> None:
        """Take leave: nothing is sent after it [MQTT-3.14.4-1], and the connection is to be closed [MQTT-3.14.4-2].

        Raises:
            ValueError: a reason code or properties that DISCONNECT may not carry.
        """
        self._end(Disconnect(reason_code, properties))

    @property
    def first_in_flight(self) -> Publication | None:
        """The publication whose acknowledgement is to come first: the server has not said that it is its own."""
        for publication in self._sender.in_flight.values():
            if not publication.is_released:
                return publication
        return None

    def abandon(self, publication: Publication) -> None:
        """Send a publication that is in flight no more, while there is no connection."""
        self._sender.in_flight.pop(publication.packet_id, None)

    def restore(self, publications: list[Publication]) -> None:
        """Have in flight what an earlier program of this client had, in its order; before the first ``opened``."""
        for publication in publications:
            self._sender.in_flight[publication.packet_id] = publication

    @property
    def unfinished(self) -> int:
        """How many publications wait or are in flight."""
        return len(self._sender.in_flight) + sum(1 for each in self._waiting if each.packet_id == 0)

    def _check_open(self) -> None:
        if not self.is_open:  # [MQTT-3.1.2-30]
            raise NotConnected("there is no connection to a server")

    def _check_holds(self, *, needs_network: bool) -> None:
        if not self._holds or (needs_network and not self._has_network):
            raise NotConnected("there is no connection to a server")

    def _check_own(self, packet_id: int) -> None:
        if self._sender.is_used(packet_id):
            raise ValueError(f"packet id {packet_id} is in use")

    def _end(self, goodbye: Disconnect | None) -> None:
        if goodbye is not None and self._has_network:
            frame = encode(goodbye, self.version)
            if len(frame) <= (self._limits.maximum_packet_size or MAX_PACKET_BYTES):  # [MQTT-3.2.2-15]
                self._frames.append(frame)
        self.is_open = False
        self.is_closing = True
        self._has_network = False

    def _objection(self, publication: Publication) -> Refused | None:
        """Why the server does not take a publication, by what its CONNACK said."""
        limits = self._limits
        if limits.maximum_qos is not None and publication.qos > limits.maximum_qos:  # [MQTT-3.2.2-11]
            return Refused(
                ReasonCode.QOS_NOT_SUPPORTED, f"QoS {publication.qos}: the server takes {limits.maximum_qos} at most"
            )
        if publication.retain and limits.retain_available == 0:  # [MQTT-3.2.2-14]
            return Refused(ReasonCode.RETAIN_NOT_SUPPORTED, "the server does not take retained messages")
        if limits.maximum_packet_size is not None and publication.size > limits.maximum_packet_size:
            return Refused(ReasonCode.PACKET_TOO_LARGE, self._too_large(publication.size))
        return None

    def _too_large(self, size: int) -> str:
        return f"a packet of {size:,} bytes: the server takes {self._limits.maximum_packet_size:,} at most"

    def _check_server_offers(self, request: SubscriptionRequest) -> None:
        """Refuse what CONNACK has said that the server does not have (sections 3.2.2.3.11 and 3.2.2.3.13)."""
        limits = self._limits
        topic_filter = request.topic_filter
        if limits.wildcard_subscription_available == 0 and topics.has_wildcard(topic_filter):
            raise NotTaken(
                ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED,
                f"topic filter {topics.shown(topic_filter)}: the server has no wildcards",
            )
        if self.version == MQTT_5 and topics.is_shared(topic_filter):
            if limits.shared_subscription_available == 0:
                raise NotTaken(
                    ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED,
                    f"topic filter {topics.shown(topic_filter)}: the server has no shared subscriptions",
                )
            if request.no_local:  # [MQTT-3.8.3-4]
                raise ValueError(
                    f"topic filter {topics.shown(topic_filter)}: No Local is not for shared ones [MQTT-3.8.3-4]"
                )

    def _check_properties(self, properties: Properties) -> None:
        """Refuse what a client may not say in PUBLISH."""
        alias = properties.topic_alias
        if alias is not None:  # [MQTT-3.2.2-17] [MQTT-3.2.2-18] [MQTT-3.3.2-8] [MQTT-3.3.2-9]
            allowed = self._limits.topic_alias_maximum or 0
            if not 0 < alias <= allowed:
                raise ValueError(
                    f"topic alias {alias}: the server takes "
                    + (f"1 to {allowed}" if allowed else "none")
                    + " [MQTT-3.2.2-17]"
                )
        if properties.subscription_identifiers:  # [MQTT-3.3.4-6]
            raise ValueError("a client may not send a subscription identifier [MQTT-3.3.4-6]")

    @property
    def _can_send_new(self) -> bool:
        sender = self._sender
        return sender.can_send and sender.used < MAX_PACKET_ID

    def _free_packet_id(self) -> int:
        if self._sender.used >= MAX_PACKET_ID:
            raise ValueError("all 65,535 packet ids are in use; wait for some answers first")
        return self._sender.next_packet_id()

    def _request_id(self, packet_id: int) -> int:
        if packet_id == 0:
            return self._free_packet_id()
        self._check_own(packet_id)
        return packet_id

    def _request(self, packet: Subscribe | Unsubscribe) -> int:
        frame = encode(packet, self.version)
        if self.is_open:
            self._write(frame)
        else:
            self._held.append(_Held(frame, packet, None))
        self._sender.requests[packet.packet_id] = isinstance(
            packet, Subscribe
        )  # not before: what cannot be sent uses no id
        return packet.packet_id

    def _send_auth(self, reason_code: int, data: bytes | None) -> None:
        method = self._said.authentication_method  # [MQTT-4.12.0-5]
        properties = Properties(authentication_method=method, authentication_data=data)
        self._write(encode(Auth(reason_code, properties), self.version))
        self._turn = _SERVERS

    def _write(self, frame: bytes) -> None:
        limit = self._limits.maximum_packet_size
        if limit is not None and len(frame) > limit:  # [MQTT-3.2.2-15]
            raise NotTaken(ReasonCode.PACKET_TOO_LARGE, self._too_large(len(frame)))
        self._frames.append(frame)

    def _send_held(self) -> None:
        """Send what was asked for before CONNACK, in its order; what this server does not take is answered for it."""
        limit = self._limits.maximum_packet_size or MAX_PACKET_BYTES
        held, self._held = self._held, []
        for each in held:
            objection = None if each.publication is None else self._objection(each.publication)
            if each.publication is not None and objection is not None:
                self._done(each.publication, objection.reason_code)
            elif len(each.frame) <= limit:  # [MQTT-3.2.2-15]
                self._frames.append(each.frame)
            elif isinstance(each.request, Subscribe):
                codes = [ReasonCode.UNSPECIFIED_ERROR.value] * len(each.request.requests)
                self._answered(each.request.packet_id, SubAck(each.request.packet_id, codes))
            elif isinstance(each.request, Unsubscribe):
                codes = [ReasonCode.UNSPECIFIED_ERROR.value] * len(each.request.topic_filters)
                self._answered(each.request.packet_id, UnsubAck(each.request.packet_id, codes))

    def _send_waiting(self) -> None:
        """Send of what waits as much as the server takes now [MQTT-3.3.4-7]."""
        if self.waits_to_go_on:
            return
        sender = self._sender
        while self._waiting:
            publication = self._waiting[0]
            if publication.packet_id > 0:  # in flight since an earlier connection [MQTT-4.4.0-1]
                if publication.is_released:
                    self._frames.append(encode_acknowledgement(PUBREL_FIRST, publication.packet_id))
                elif sender.can_send_again:
                    sender.send_again(publication)
                    self._frames.append(self._encode(publication, publication.packet_id, dup=True))
                else:
                    return
            elif self._can_send_new or (publication.own_id > 0 and sender.can_send):
                sender.send(publication)
                self._frames.append(publication.frame or self._encode(publication, publication.packet_id, dup=False))
                publication.frame = b""
                if self.journal is not None:
                    self.journal.sent(publication)
            else:
                return
            self._waiting.popleft()

    def _encode(self, publication: Publication, packet_id: int, *, dup: bool) -> bytes:
        packet = Publish(
            publication.topic,
            publication.payload,
            publication.qos,
            publication.retain,
            dup,  # [MQTT-3.3.1-1]
            packet_id,
            publication.properties,
        )
        return encode(packet, self.version)

    # What the server sends

    def _handle(self, packet: Packet) -> None:
        if isinstance(packet, Auth):
            self._on_auth(packet)
        elif not self.is_open:
            if not isinstance(packet, ConnAck):  # [MQTT-3.2.0-1]
                raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"expected CONNACK first, got {type(packet).__name__}")
            self._on_connack(packet)
        elif isinstance(packet, Publish):
            self._on_publish(packet)
        else:
            if self.tells_all and isinstance(packet, Acknowledgement | PingResp):
                self._events.append(packet)
            self._handle_other(packet)

    def _handle_other(self, packet: Packet) -> None:
        if isinstance(packet, PubAck):
            self._completed(self._sender.on_puback(packet.packet_id), packet)
        elif isinstance(packet, PubRec):
            self._on_pubrec(packet)
        elif isinstance(packet, PubRel):
            self._on_pubrel(packet)
        elif isinstance(packet, PubComp):
            self._completed(self._sender.on_pubcomp(packet.packet_id), packet)
        elif isinstance(packet, SubAck | UnsubAck):
            self._answered(packet.packet_id, packet)
        elif isinstance(packet, PingResp):
            self._pinged_at = _NEVER
        elif isinstance(packet, Disconnect) and self.version == MQTT_5:
            self._events.append(packet)
            self._end(None)
        else:
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"a server may not send {type(packet).__name__}")

    def _on_connack(self, packet: ConnAck) -> None:
        if packet.reason_code != 0:  # [MQTT-4.13.2-1]
            self._events.append(packet)
            self._end(None)
            return
        limits = packet.properties if packet.properties is not None else Properties()
        self._limits = limits  # first of all: they hold for a goodbye too
        # Who does not ask for a clean start says that it has a session, though nothing may be in flight in it.
        is_strange = packet.session_present and self.connect.clean_start
        if is_strange and (self.version == MQTT_5 or not self._holds):  # [MQTT-3.2.2-4]
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "a session is present, and we asked for a clean start")
        self._check_method(packet.properties, "CONNACK")
        if (limits.maximum_packet_size or MAX_PACKET_BYTES) < _LARGEST_ANSWER:
            raise ProtocolError(
                ReasonCode.PACKET_TOO_LARGE,
                f"the server takes {limits.maximum_packet_size} bytes at most, no acknowledgement is that small",
            )
        self._events.append(packet)
        if (
            not packet.session_present or self.connect.clean_start
        ):  # [MQTT-3.2.2-5]: what is not in flight there is sent as new
            self._forget_session()
        if limits.server_keep_alive is not None:  # [MQTT-3.1.2-21] [MQTT-3.2.2-21]
            self._keep_alive = limits.server_keep_alive
        if limits.assigned_client_identifier is not None:
            self.connect = _renamed(self.connect, limits.assigned_client_identifier)
        self._turn = _NOBODYS
        self.is_open = True
        again = self._sender.resume(min(limits.receive_maximum or MAX_PACKET_ID, self.most_in_flight))
        again.extend(each for each in self._waiting if each.packet_id == 0)
        self._waiting = deque(each for each in again if not self._gives_up(each))
        self._send_held()
        self.waits_to_go_on = self._holds
        self._send_waiting()

    def _gives_up(self, publication: Publication) -> bool:
        """Whether a publication is done because this server takes less than the one that it was made for."""
        if publication.is_dropped:
            self._sender.in_flight.pop(publication.packet_id, None)
            return True
        objection = None if publication.is_released else self._objection(publication)
        if objection is None:
            return False
        self._sender.in_flight.pop(publication.packet_id, None)
        self._sender.own.discard(publication.own_id)
        self._done(publication, objection.reason_code)
        return True

    def _forget_session(self) -> None:
        """The server knows nothing of what was in flight: it becomes new, in its old order."""
        waiting = [each for each in self._waiting if each.packet_id == 0]
        unfinished: deque[Publication] = deque()
        for each in self._sender.in_flight.values():
            if each.is_released and not self._holds:  # the server took it before it forgot us
                self._done(each, 0)
            elif not each.is_dropped:
                each.packet_id = 0
                each.is_released = False  # programs for paho count on a second time rather than on none
                if each.own_id > 0:
                    self._sender.own.add(each.own_id)
                unfinished.append(each)
        unfinished.extend(waiting)
        self._waiting = unfinished
        self._sender.in_flight.clear()
        self._receiver.forget()
        self._undecided.clear()
        if self.journal is not None:
            self.journal.forgotten()

    def _on_auth(self, packet: Auth) -> None:
        """The server's step in an authentication: before CONNACK, or in one that ``reauthenticate`` began."""
        if self._turn != _SERVERS:
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "AUTH, and we wait for none [MQTT-4.12.0-6]")
        self._check_method(packet.properties, "AUTH")
        if packet.reason_code == ReasonCode.CONTINUE_AUTHENTICATION:
            self._turn = _OURS
        elif packet.reason_code == ReasonCode.SUCCESS and self.is_open:  # before that, CONNACK is the good answer
            self._turn = _NOBODYS
        else:
            raise ProtocolError(
                ReasonCode.PROTOCOL_ERROR, f"AUTH with reason code 0x{packet.reason_code:02X} [MQTT-4.12.0-2]"
            )
        self._events.append(packet)

    def _check_method(self, properties: Properties | None, what: str) -> None:
        method = None if properties is None else properties.authentication_method
        if method != self._said.authentication_method:  # [MQTT-4.12.0-5] [MQTT-4.12.0-6]
            raise ProtocolError(
                ReasonCode.PROTOCOL_ERROR,
                f"{what} with authentication method {method!r}, expected {self._said.authentication_method!r}",
            )

    def _on_publish(self, packet: Publish) -> None:
        """Hand a message out and acknowledge it, whatever the user makes of it [MQTT-4.5.0-2]."""
        if packet.properties is not None and packet.properties.topic_alias is not None:
            self._resolve_alias(packet, packet.properties.topic_alias)
        if packet.qos == 0:
            self._events.append(packet)
        elif packet.qos == 1:  # [MQTT-4.3.2-4] [MQTT-4.3.2-5]
            if packet.packet_id in self._owed:  # again, before we could answer: some old servers are impatient
                return
            self._receiver.accept_at_once()  # P3
            self._events.append(packet)
            self._owe(packet)
        elif self._receiver.accept(packet.packet_id):  # [MQTT-4.3.3-10]
            self._events.append(packet)
            if not self._acknowledges_at_once:
                self._undecided[packet.packet_id] = packet
            self._owe(packet)
        else:
            known = self._undecided.get(packet.packet_id)
            if known is None:
                self._acknowledge_now(packet)
            else:
                self._owe(known)

    def _owe(self, packet: Publish) -> None:
        if self._acknowledges_at_once:
            self._acknowledge_now(packet)
        elif packet.packet_id not in self._owed:
            self._owed[packet.packet_id] = packet
            self._turns.append(packet.packet_id)
            if packet.qos == 1:
                self._owed_last += 1

    def _acknowledge_now(self, packet: Publish) -> None:
        if not self._has_network:  # a goodbye was the last packet [MQTT-3.14.4-1]
            return
        first = PUBACK_FIRST if packet.qos == 1 else PUBREC_FIRST  # [MQTT-4.6.0-2] [MQTT-4.6.0-3]
        self._frames.append(encode_acknowledgement(first, packet.packet_id))

    def _resolve_alias(self, packet: Publish, alias: int) -> None:
        allowed = self._said.topic_alias_maximum or 0
        if alias > allowed:  # [MQTT-3.3.2-10] [MQTT-3.3.2-11]
            raise ProtocolError(ReasonCode.TOPIC_ALIAS_INVALID, f"topic alias {alias}, we allowed {allowed}")
        if packet.topic:
            self._aliases[alias] = packet.topic
            return
        topic = self._aliases.get(alias)
        if topic is None:
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"topic alias {alias} was never given a topic")
        packet.topic = topic

    def _on_pubrec(self, packet: PubRec) -> None:
        publication = self._sender.on_pubrec(packet.packet_id, packet.reason_code)
        if packet.reason_code >= 0x80:
            if publication is not None and not publication.is_released:
                self._completed(publication, packet)
        elif publication is not None or self.version != MQTT_5:  # [MQTT-4.3.3-4]
            if publication is not None and self.journal is not None:
                self.journal.released(publication)
            self._frames.append(encode_acknowledgement(PUBREL_FIRST, packet.packet_id))
        else:
            self._frames.append(encode(PubRel(packet.packet_id, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND), MQTT_5))

    def _on_pubrel(self, packet: PubRel) -> None:
        self._undecided.pop(packet.packet_id, None)
        if self._receiver.release(packet.packet_id) or self.version != MQTT_5:  # [MQTT-4.3.3-11]
            self._frames.append(encode_acknowledgement(PUBCOMP_FIRST, packet.packet_id))
        else:
            self._frames.append(encode(PubComp(packet.packet_id, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND), MQTT_5))

    def _completed(self, publication: Publication | None, packet: Acknowledgement) -> None:
        if publication is not None:  # otherwise nobody waits for this acknowledgement
            publication.answer = packet
            self._done(publication, 0 if isinstance(packet, PubComp) else packet.reason_code)
            self._send_waiting()

    def _done(self, publication: Publication, reason_code: int) -> None:
        publication.is_done = True
        publication.reason_code = reason_code
        if not publication.is_dropped:
            self._events.append(publication)

    def _answered(self, packet_id: int, packet: Packet) -> None:
        if self._sender.requests.get(packet_id) == isinstance(packet, SubAck):
            del self._sender.requests[packet_id]
            self._events.append(packet)
            self._send_waiting()  # for want of an id, something may wait (P1)


def _without_alias(properties: Properties) -> Properties:
    """The same, for another connection or for later: what an alias stands for there is not known now (L1)."""
    other = properties.copy()
    other.topic_alias = None
    return other


def _as_bridge(frame: bytes, version: int) -> bytes:
    """A CONNECT with the top bit of its protocol version set."""
    position = 1
    while frame[position] >= 0x80:  # the remaining length
        position += 1
    position += 1 + 2 + (6 if version == MQTT_3_1 else 4)  # behind the protocol name
    return frame[:position] + bytes((frame[position] | 0x80,)) + frame[position + 1 :]


def _check_connect(connect: Connect) -> None:
    """Refuse what no server may accept."""
    encode(connect, connect.version)
    said = connect.properties if connect.version == MQTT_5 else None
    if connect.version != MQTT_5 and not connect.client_id and not connect.clean_start:
        raise ValueError("a client without an id must ask for a clean session v3 [MQTT-3.1.3-7]")
    if said is not None and said.authentication_data is not None and said.authentication_method is None:
        raise ValueError("authentication data needs an authentication method (section 3.1.2.11.10)")


def _renamed(connect: Connect, client_id: str) -> Connect:
    """The same CONNECT under the name that the server chose: it knows our session by it [MQTT-3.1.3-2]."""
    return Connect(
        client_id,
        version=connect.version,
        clean_start=connect.clean_start,
        keep_alive=connect.keep_alive,
        will=connect.will,
        user_name=connect.user_name,
        password=connect.password,
        properties=connect.properties,
    )


def refusal(connack: ConnAck, version: int) -> str:
    """Why a CONNACK says no, for people."""
    if version == MQTT_5 and connack.reason_code >= 0x80:
        return _with_reference(connack)
    return {
        1: "it does not speak this protocol version",
        2: "it does not accept this client id",
        3: "it is not available now",
        4: "wrong user name or password",
        5: "not authorised",
    }.get(connack.reason_code, f"return code {connack.reason_code}")


def farewell(disconnect: Disconnect) -> str:
    """Why a DISCONNECT of the server says that it is over, for people."""
    return _with_reference(disconnect)


def _with_reference(packet: ConnAck | Disconnect) -> str:
    """The reason, and which server to use instead if this one named another (section 4.11)."""
    text = reason_text(packet.reason_code)
    reference = None if packet.properties is None else packet.properties.server_reference
    return text if reference is None else f"{text}; it names another server: {reference}"
