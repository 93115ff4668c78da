"""A client's end of MQTT, sans-I/O: what it may send, what comes back, what is in flight.

Knows the rules of the client's side (chapters 3 and 4). Knows no socket and no
clock. Its state outlives the network connection, as a session does: after
``lost`` and another ``opened`` it completes what it had begun.
"""

from collections import deque
from typing import Final

from telex import topics
from telex.codes import MAX_PACKET_BYTES, MAX_PACKET_ID, MQTT_5, ReasonCode, reason_text
from telex.errors import NotConnected, ProtocolError
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

_NEVER: Final = -1.0


class Publication(Delivery):
    """A message that this client publishes. It is done when ``is_done``; ``reason_code`` then says how it went."""

    def __init__(self, topic: str, payload: bytes, qos: int, retain: bool, properties: Properties | None) -> None:
        super().__init__(qos)
        self.topic = topic
        self.payload = payload
        self.retain = retain
        self.properties = properties
        self.is_done = False
        self.reason_code = 0  # of PUBACK or PUBREC; 0x80 and above: the server refused it


class _ClientSender(Sender[Publication]):
    """A Sender whose packet ids are shared with SUBSCRIBE and UNSUBSCRIBE (section 2.2.1)."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: set[int] = set()  # ids of SUBSCRIBE and UNSUBSCRIBE packets that wait for their answer

    def next_packet_id(self) -> int:
        """An id that neither a publication nor a request uses."""
        packet_id = super().next_packet_id()
        while packet_id in self.requests:
            packet_id = super().next_packet_id()
        return packet_id


class ClientConnection:
    """The client's end.

    What happens is told by ``take_events``: the packets ConnAck, SubAck, UnsubAck,
    Disconnect and Publish (a message that came) as they are, and each Publication
    that is done. What is to be sent is given by ``take``.

    Args:
        connect: the CONNECT that opens each network connection.
    """

    def __init__(self, connect: Connect) -> None:
        self.connect = connect
        self.version = connect.version
        self.client_id = connect.client_id  # the server may assign another
        self.is_open = False  # CONNACK said yes, and nothing has ended it since
        self.is_closing = False  # when what is written has left, the connection is to be closed
        self._sender = _ClientSender()
        self._receiver = Receiver()
        self._waiting: deque[Publication] = deque()  # what the server does not take yet
        self._limits = Properties()  # what CONNACK said of the server
        self._decoder = Decoder(version=connect.version)
        self._aliases: dict[int, str] = {}
        self._frames: list[bytes] = []
        self._events: list[Packet | Publication] = []
        self._has_state = False  # an earlier connection left something to go on with
        self._keep_alive = connect.keep_alive
        self._last_sent = 0.0
        self._pinged_at = _NEVER

    # The network connection

    def opened(self, now: float) -> None:
        """A network connection is there: CONNECT is the first packet [MQTT-3.1.0-1]."""
        said = self.connect.properties
        limit = MAX_PACKET_BYTES
        if said is not None and said.maximum_packet_size is not None:
            limit = said.maximum_packet_size
        asked = None if said is None else said.receive_maximum
        self._receiver.resume(asked or MAX_PACKET_ID)
        self._decoder = Decoder(limit, version=self.version)
        self._aliases = {}  # [MQTT-3.3.2-7]
        self._limits = Properties()
        self._sender.requests.clear()  # they are not sent again (section 4.4)
        self._keep_alive = self.connect.keep_alive
        self._pinged_at = _NEVER
        self.is_closing = False
        self._frames = [encode(self.connect, self.version)]
        self._last_sent = now

    def lost(self) -> None:
        """The network connection is gone. What is in flight is kept for the next one."""
        self.is_open = False
        self._frames = []

    def receive(self, data: bytes) -> None:
        """Take in bytes as they come.

        Raises:
            ProtocolError: the server broke a rule. A DISCONNECT that says so waits
                to be sent, then the connection is to be closed.
        """
        self._decoder.receive(data)
        try:
            while not self.is_closing:
                packet = self._decoder.next_packet()
                if packet is None:
                    return
                self._handle(packet)
        except ProtocolError as error:
            if self.is_open and self.version == MQTT_5:
                self._frames.append(encode(Disconnect(error.reason_code), MQTT_5))
            self.is_open = False
            self.is_closing = True
            raise

    def tick(self, now: float) -> None:
        """Keep the connection alive; to be called about once a second [MQTT-3.1.2-20].

        Raises:
            Timeout: the server did not answer a PINGREQ within the keep-alive time.
        """
        if not self.is_open or self._keep_alive == 0:
            return
        if self._pinged_at != _NEVER:
            if now - self._pinged_at >= self._keep_alive:
                raise TimedOut(f"the server did not answer a PINGREQ within {self._keep_alive} s")
        elif now - self._last_sent >= self._keep_alive * 0.8:  # early enough to be there in time
            self._frames.append(PINGREQ_BYTES)
            self._pinged_at = now

    def take(self, now: float) -> bytes:
        """The bytes that are to be sent."""
        if not self._frames:
            return b""
        data = b"".join(self._frames)
        self._frames = []
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
    ) -> Publication:
        """Publish a message; above QoS 0 it may have to wait until the server takes it.

        Raises:
            ValueError: the topic, or what the server has said that it does not take.
            NotConnected: no connection is open.
        """
        self._check_open()
        topics.check_name(topic)
        self._check_server_takes(topic, payload, qos, retain, properties)
        publication = Publication(topic, payload, qos, retain, properties)
        if qos == 0:
            self._frames.append(encode(Publish(topic, payload, retain=retain, properties=properties), self.version))
            publication.is_done = True
            self._events.append(publication)
        else:
            self._waiting.append(publication)
            self._send_waiting()
        return publication

    def subscribe(self, requests: list[SubscriptionRequest], properties: Properties | None = None) -> int:
        """Ask for what matches; the SubAck with the returned packet id is the answer.

        Raises:
            ValueError: an invalid filter.
            NotConnected: no connection is open.
        """
        self._check_open()
        for request in requests:
            topics.check_filter(request.topic_filter)
        packet_id = self._reserve_packet_id()
        self._frames.append(encode(Subscribe(packet_id, requests, properties), self.version))
        return packet_id

    def unsubscribe(self, topic_filters: list[str], properties: Properties | None = None) -> int:
        """Ask for no more; the UnsubAck with the returned packet id is the answer.

        Raises:
            NotConnected: no connection is open.
        """
        self._check_open()
        packet_id = self._reserve_packet_id()
        self._frames.append(encode(Unsubscribe(packet_id, topic_filters, properties), self.version))
        return packet_id

    def disconnect(self, reason_code: int = 0) -> None:
        """Take leave: nothing is sent after it [MQTT-3.14.4-1], and the connection is to be closed."""
        if self.is_open:
            self._frames.append(encode(Disconnect(reason_code), self.version))
        self.is_open = False
        self.is_closing = True

    @property
    def unfinished(self) -> int:
        """How many publications wait or are in flight."""
        return len(self._sender.in_flight) + sum(1 for each in self._waiting if each.packet_id == 0)

    def _check_open(self) -> None:
        if not self.is_open:
            raise NotConnected("there is no connection to a server")

    def _check_server_takes(
        self, topic: str, payload: bytes, qos: int, retain: bool, properties: Properties | None
    ) -> None:
        limits = self._limits
        if limits.maximum_qos is not None and qos > limits.maximum_qos:  # [MQTT-3.2.2-11]
            raise ValueError(f"QoS {qos}: the server takes {limits.maximum_qos} at most")
        if retain and limits.retain_available == 0:  # [MQTT-3.2.2-14]
            raise ValueError("the server does not take retained messages")
        if limits.maximum_packet_size is not None:  # [MQTT-3.2.2-15]
            packet = Publish(topic, payload, qos, retain, packet_id=1 if qos else 0, properties=properties)
            size = len(encode(packet, self.version))
            if size > limits.maximum_packet_size:
                raise ValueError(f"a packet of {size:,} bytes: the server takes {limits.maximum_packet_size:,} at most")

    def _reserve_packet_id(self) -> int:
        if len(self._sender.requests) + len(self._sender.in_flight) >= MAX_PACKET_ID:
            raise ValueError("all 65,535 packet ids are in use; wait for some answers first")
        packet_id = self._sender.next_packet_id()
        self._sender.requests.add(packet_id)
        return packet_id

    def _send_waiting(self) -> None:
        """Send of what waits as much as the server takes now [MQTT-3.3.4-7]."""
        sender = self._sender
        while self._waiting:
            publication = self._waiting[0]
            if publication.packet_id > 0:  # in flight since an earlier connection [MQTT-4.4.0-1]
                if publication.is_released:
                    self._frames.append(encode_acknowledgement(PUBREL_FIRST, publication.packet_id))
                elif sender.can_send_again:
                    sender.send_again(publication)
                    self._send(publication, dup=True)
                else:
                    return
            elif sender.can_send and len(sender.in_flight) + len(sender.requests) < MAX_PACKET_ID:
                sender.send(publication)
                self._send(publication, dup=False)
            else:
                return
            self._waiting.popleft()

    def _send(self, publication: Publication, *, dup: bool) -> None:
        packet = Publish(
            publication.topic,
            publication.payload,
            publication.qos,
            publication.retain,
            dup,  # [MQTT-3.3.1-1]
            publication.packet_id,
            publication.properties,
        )
        self._frames.append(encode(packet, self.version))

    # What the server sends

    def _handle(self, packet: Packet) -> None:
        if not self.is_open:
            if not isinstance(packet, ConnAck):  # [MQTT-3.2.0-1]
                raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"expected CONNACK first, got {type(packet).__name__}")
            self._on_connack(packet)
        elif isinstance(packet, Publish):
            self._on_publish(packet)
        elif isinstance(packet, PubAck):
            self._completed(self._sender.on_puback(packet.packet_id), packet.reason_code)
        elif isinstance(packet, PubRec):
            self._on_pubrec(packet)
        elif isinstance(packet, PubRel):
            self._on_pubrel(packet)
        elif isinstance(packet, PubComp):
            self._completed(self._sender.on_pubcomp(packet.packet_id), 0)
        elif isinstance(packet, SubAck | UnsubAck):
            self._answered(packet.packet_id, packet)
        elif isinstance(packet, PingResp):
            self._pinged_at = _NEVER
        elif isinstance(packet, Disconnect) and self.version == MQTT_5:
            self.is_open = False
            self.is_closing = True
            self._events.append(packet)
        else:
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"a server may not send {type(packet).__name__}")

    def _on_connack(self, packet: ConnAck) -> None:
        self._events.append(packet)
        if packet.reason_code != 0:
            self.is_closing = True
            return
        if packet.session_present and not self._has_state and self.connect.clean_start:  # [MQTT-3.2.2-4]
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "a session is present, and we asked for a clean start")
        if not packet.session_present:  # [MQTT-3.2.2-5]: what is not in flight there is sent as new
            self._forget_session()
        limits = packet.properties if packet.properties is not None else Properties()
        self._limits = limits
        if limits.server_keep_alive is not None:  # [MQTT-3.2.2-21]
            self._keep_alive = limits.server_keep_alive
        if limits.assigned_client_identifier is not None:
            self.client_id = limits.assigned_client_identifier
        again = self._sender.resume(limits.receive_maximum or MAX_PACKET_ID)
        again.extend(each for each in self._waiting if each.packet_id == 0)
        self._waiting = again
        self._has_state = True
        self.is_open = True
        self._send_waiting()

    def _forget_session(self) -> None:
        """The server knows nothing of what was in flight: it becomes new, in its old order."""
        unfinished = [each for each in self._sender.in_flight.values() if not each.is_released]
        for each in self._sender.in_flight.values():
            if each.is_released:  # the server took it before it forgot us
                each.is_done = True
                self._events.append(each)
        for each in unfinished:
            each.packet_id = 0
        waiting = [each for each in self._waiting if each.packet_id == 0 and each not in unfinished]
        self._waiting = deque(unfinished + waiting)
        self._sender.in_flight.clear()
        self._receiver.forget()

    def _on_publish(self, packet: Publish) -> None:
        if packet.properties is not None and packet.properties.topic_alias is not None:
            self._resolve_alias(packet, packet.properties.topic_alias)
        if packet.qos < 2:
            self._events.append(packet)
            if packet.qos == 1:  # [MQTT-4.3.2-4]
                self._frames.append(encode_acknowledgement(PUBACK_FIRST, packet.packet_id))
        else:
            if self._receiver.accept(packet.packet_id):  # [MQTT-4.3.3-10]
                self._events.append(packet)
            self._frames.append(encode_acknowledgement(PUBREC_FIRST, packet.packet_id))

    def _resolve_alias(self, packet: Publish, alias: int) -> None:
        said = self.connect.properties
        allowed = 0 if said is None else said.topic_alias_maximum or 0
        if alias > allowed:  # [MQTT-3.3.2-11]
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
                self._completed(publication, packet.reason_code)
        elif publication is not None or self.version != MQTT_5:  # [MQTT-4.3.3-4]
            self._frames.append(encode_acknowledgement(PUBREL_FIRST, packet.packet_id))
        else:
            self._frames.append(encode(PubRel(packet.packet_id, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND), MQTT_5))

    def _on_pubrel(self, packet: PubRel) -> None:
        if self._receiver.release(packet.packet_id) or self.version != MQTT_5:  # [MQTT-4.3.3-11]
            self._frames.append(encode_acknowledgement(PUBCOMP_FIRST, packet.packet_id))
        else:
            self._frames.append(encode(PubComp(packet.packet_id, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND), MQTT_5))

    def _completed(self, publication: Publication | None, reason_code: int) -> None:
        if publication is None:  # an acknowledgement that nobody waits for
            return
        publication.is_done = True
        publication.reason_code = reason_code
        self._events.append(publication)
        self._send_waiting()

    def _answered(self, packet_id: int, packet: Packet) -> None:
        if packet_id in self._sender.requests:
            self._sender.requests.discard(packet_id)
            self._events.append(packet)


def refusal(connack: ConnAck, version: int) -> str:
    """Why a CONNACK says no, for people."""
    if version == MQTT_5 and connack.reason_code >= 0x80:
        return reason_text(connack.reason_code)
    return {
        1: "it does not speak this protocol version",
        2: "it does not accept this client id",
        3: "it is not available now",
        4: "wrong user name or password",
        5: "not authorised",
    }.get(connack.reason_code, f"return code {connack.reason_code}")
