"""One client's connection: its bytes turned into calls of the engine (chapters 3 and 4).

Knows the rules that a client has to obey and the answers that it gets. Knows no
socket and no clock: bytes and the time are arguments, answers gather in the
outbox.
"""

from typing import Final

from telex import topics
from telex.codes import (
    MAX_PACKET_BYTES,
    MAX_PACKET_ID,
    MQTT_3_1,
    MQTT_3_1_1,
    MQTT_5,
    ReasonCode,
    connect_return_code,
    reason_name,
    reason_text,
)
from telex.engine import hops
from telex.engine.crossing import Crossing
from telex.engine.end import BROKER_TAKES, End
from telex.engine.engine import Engine, message_of
from telex.engine.login import Login
from telex.engine.message import Message
from telex.engine.options import Options
from telex.engine.outbox import BelowMountPoint
from telex.engine.permissions import DENIED, Grant, Permissions, publishing
from telex.engine.samples import REQUEST as SAMPLE_REQUEST
from telex.engine.samples import period_of
from telex.engine.session import Session, Subscription
from telex.engine.visit import Visit
from telex.errors import ProtocolError
from telex.wire.data import MAX_STRING_BYTES
from telex.wire.encode import (
    PINGRESP_BYTES,
    encode,
)
from telex.wire.packets import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
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
from telex.wire.reasons import CONNACK_REFUSALS, DISCONNECT_CODES, nearest

_SUCCESS: Final = 0
_NO_MATCHING_SUBSCRIBERS: Final = 0x10
_CONTINUE: Final = 0x18
_NOT_AUTHORIZED: Final = 0x87
_QUOTA_EXCEEDED: Final = 0x97
_IMPLEMENTATION_SPECIFIC_ERROR: Final = 0x83
_LONGEST_REASON: Final = 500  # characters of a Reason String: a SUBSCRIBE may be refused for a thousand reasons


class Connection(End):
    """One connection, from its first byte to its last.

    Args:
        engine: whose sessions it opens.
        stream: what the shell wants to find at the outbox.
        visit: where the client comes from; what it says and does is noted there.
        now: the time.
        options: the limits of those who come in where it does; None: the engine's.
    """

    def __init__(
        self, engine: Engine, stream: object, visit: Visit, now: float, options: Options | None = None
    ) -> None:
        if options is None:
            options = engine.options
        largest = min(options.maximum_connect_size, options.maximum_packet_size)
        super().__init__(engine, stream, visit, now, options, largest=largest)
        self._mount_point = options.mount_point
        self.connect: Connect | None = None  # until it is admitted or refused
        self._is_unanswered = False  # it sent what could not be stored, and no answer could say so
        self._may_keep = False  # CONNECT asked for a session that outlives the connection
        self._is_bridge = False  # it said so in v3, which has no other word for what its subscriptions are to be
        self._peer = ""  # the broker whose bridge the client is; empty: it is none
        self._login: Login | None = None  # that goes on: the first one, or an authentication again
        self._identity: Connect | None = None  # who authenticates by a method, as its CONNECT said
        engine.stats.sockets_opened += 1
        engine.stats.sockets_open += 1
        engine.deadlines.set(self, now + options.connect_timeout)

    # Bytes and time

    def closed(self, now: float, reason: str = "the client closed it") -> None:
        """The connection is gone, without a word of the client."""
        self.outbox.forget_held()  # nobody is there to hear it
        if not self.is_closed:
            self._end(reason, with_will=True, now=now)

    def on_due(self, now: float) -> None:
        """The time for CONNECT or for the next packet is over, unless one came meanwhile."""
        if self.session is None:
            reason = "no CONNECT came in time" if self.connect is None else "login took too long"
            self.engine.observer.refused(self.visit, reason)
            self._end(reason, now=now)
        elif now - self.last_received >= self.keep_alive * 1.5:  # [MQTT-3.1.2-22]
            self.disconnect(
                ReasonCode.KEEP_ALIVE_TIMEOUT, f"nothing came for one and a half times {self.keep_alive} s", now
            )
        else:
            self._watch_keep_alive()

    @property
    def is_waiting(self) -> bool:
        """Whether the gate still decides about the CONNECT; no use to read on until it has."""
        login = self._login
        return login is not None and login.is_due and self.session is None

    def _watch_keep_alive(self) -> None:
        self.engine.deadlines.set(self, self.last_received + self.keep_alive * 1.5)

    def _handle(self, packet: Packet, now: float) -> None:
        session = self.session
        if session is None:
            self._handle_before_connack(packet, now)
        elif isinstance(packet, Publish):
            self._on_publish(session, packet, now)
        elif isinstance(packet, PubAck):
            session.on_puback(packet.packet_id, now)
        elif isinstance(packet, PubRec):
            self._on_pubrec(session, packet, now)
        elif isinstance(packet, PubRel):
            self._on_pubrel(session, packet)
        elif isinstance(packet, PubComp):
            session.on_pubcomp(packet.packet_id, now)
        elif isinstance(packet, PingReq):
            self.outbox.append(PINGRESP_BYTES)  # [MQTT-3.12.4-1]
        elif isinstance(packet, Subscribe):
            self._on_subscribe(session, packet, now)
        elif isinstance(packet, Unsubscribe):
            self._on_unsubscribe(session, packet)
        elif isinstance(packet, Disconnect):
            self._on_disconnect(session, packet, now)
        elif isinstance(packet, Connect):  # [MQTT-3.1.0-2]
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "a second CONNECT on one connection [MQTT-3.1.0-2]")
        elif isinstance(packet, Auth):
            self._on_auth(packet, now)
        else:
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"a client may not send {type(packet).__name__}")

    def _handle_before_connack(self, packet: Packet, now: float) -> None:
        if self.connect is None:  # the decoder made sure that it is a CONNECT [MQTT-3.1.0-1]
            assert isinstance(packet, Connect)
            self._on_connect(packet, now)
        elif isinstance(packet, Auth):
            self._on_auth(packet, now)
        elif isinstance(packet, Disconnect):
            self.engine.observer.refused(self.visit, "it gave up its authentication")
            self._end("the client disconnected", now=now)
        else:
            raise ProtocolError(
                ReasonCode.PROTOCOL_ERROR, f"{type(packet).__name__} during an authentication [MQTT-3.1.2-30]"
            )

    # The end of a connection

    def disconnect(self, reason_code: int, text: str, now: float, server_reference: str = "") -> None:
        """End the connection from our side; a v5 client is told why (section 3.14)."""
        self._leave(reason_code, text, text, now, server_reference)

    def _leave(self, reason_code: int, text: str, told: str, now: float, server_reference: str = "") -> None:
        """End the connection: the one place where that becomes a CONNACK or a DISCONNECT.

        ``text`` is for our log, ``told`` for the client. Whatever it may be told, closed
        it is [MQTT-3.2.2-7] [MQTT-4.13.2-1].
        """
        if self.is_closed:
            return
        reason = f"{text} ({reason_text(reason_code)})"
        knows_connack = True
        if self.engine.journal.is_failing:  # nobody knows when what is held could leave
            knows_connack = not self.outbox.is_opening
            self.outbox.forget_held()
        said = Properties(server_reference=server_reference) if server_reference else None
        if self.session is not None:  # [MQTT-3.14.0-1]
            if self.version == MQTT_5 and knows_connack:  # and no expiry [MQTT-3.14.2-2]
                packet = Disconnect(nearest(reason_code, DISCONNECT_CODES), said)
                self._append_in_order(self._in_words(packet, told))  # the last of all
        else:  # without Session Present [MQTT-3.2.2-6]
            self._refuse_in_connack(nearest(reason_code, CONNACK_REFUSALS), said, told)
            self.engine.observer.refused(self.visit, reason)
        self._end(reason, with_will=True, now=now)
        self._answered_late()

    def _refuse_in_connack(self, reason_code: int, said: Properties | None, told: str) -> None:
        if self.version == MQTT_5:
            self.outbox.append(self._in_words(ConnAck(reason_code, properties=said), told))
        elif self.version:  # otherwise it has said nothing yet, and there is nothing to answer
            return_code = connect_return_code(reason_code)
            if return_code is not None:  # v3 [MQTT-3.2.2-6]
                self.outbox.append(encode(ConnAck(return_code), self.version))

    def _fail(self, error: ProtocolError, now: float) -> None:
        """The client broke a rule, and that is the end [MQTT-4.13.1-1]."""
        if self.session is not None or self.connect is not None:
            # 0x84, of a second CONNECT, is 0x82 then [MQTT-3.1.0-2].
            reason_code = nearest(error.reason_code, DISCONNECT_CODES)
            self._leave(reason_code, error.text, error.text, now)
        elif self.decoder.version == MQTT_5 or error.reason_code == ReasonCode.UNSUPPORTED_PROTOCOL_VERSION:
            # The CONNECT is wrong, and says in which words to answer [MQTT-3.1.4-1] v3 [MQTT-3.1.2-2].
            self.version = self.decoder.version or MQTT_3_1_1
            self._wants_reasons = False  # nobody knows how much it takes [MQTT-3.2.2-19]
            self._leave(error.reason_code, error.text, "", now)
        else:  # no word to who did not send a valid CONNECT v3 [MQTT-3.1.4-1]
            self.engine.observer.refused(self.visit, str(error))
            self._end(str(error), now=now)

    def _end(self, reason: str, *, now: float, with_will: bool = True) -> None:
        self.connect = None
        self._identity = None
        self._end_login()
        if self._is_unanswered:
            self.engine.unanswered.pop(self, None)
        self.engine.stats.sockets_open -= 1
        super()._end(reason, now=now, with_will=with_will)

    def _left(self, reason: str, now: float) -> None:
        self.engine.observer.disconnected(self.visit, reason, now)

    def _end_login(self) -> None:
        login = self._login
        if login is not None:
            self._login = None
            login.over()

    # CONNECT

    def _on_connect(self, packet: Connect, now: float) -> None:
        self.version = packet.version
        self.connect = packet
        self._is_bridge = packet.is_bridge
        self.decoder.maximum_packet_size = self.options.maximum_packet_size
        visit = self.visit
        visit.version = packet.version
        visit.client_id = packet.client_id
        visit.user = packet.user_name or ""
        visit.keep_alive = packet.keep_alive
        visit.clean_start = packet.clean_start
        if not packet.client_id:
            visit.given_id = self.engine.assign_client_id(self.options.client_id_prefix)
        outbox = self.outbox
        outbox.version = packet.version
        said = packet.properties if packet.properties is not None else Properties()
        if packet.version == MQTT_5:
            outbox.maximum_packet_size = said.maximum_packet_size or MAX_PACKET_BYTES
            self._wants_reasons = said.request_problem_information != 0  # [MQTT-3.1.2-29]
            self._peer = hops.said(said, hops.BRIDGE)
        options = self.options
        will = packet.will
        said_of_will = ""
        if will is not None:
            will.topic = self._mount_point + will.topic
            said_of_will = self._too_long(will.topic) if will.retain else _longer_than_a_string(will.topic)
        if not packet.client_id and not self._may_be_nameless(packet):  # v3 [MQTT-3.1.3-8] [MQTT-3.1.3-9]
            # [MQTT-3.1.3-8]
            self.disconnect(ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, "the CONNECT has no client id", now)
        elif will is not None and will.qos > options.maximum_qos:  # [MQTT-3.2.2-12]
            self.disconnect(ReasonCode.QOS_NOT_SUPPORTED, f"the will has QoS {will.qos}", now)
        elif said_of_will:
            self.disconnect(ReasonCode.TOPIC_NAME_INVALID, f"the topic of its will: {said_of_will}", now)
        elif will is not None and len(will.payload) > options.maximum_payload_size:
            text = f"the will has {len(will.payload):,} bytes, we take {options.maximum_payload_size:,}"
            self.disconnect(ReasonCode.PACKET_TOO_LARGE, text, now)
        elif will is not None and will.retain and not options.retain_available:  # [MQTT-3.2.2-13]
            self.disconnect(ReasonCode.RETAIN_NOT_SUPPORTED, "the will is to be retained", now)
        elif said.authentication_method is not None:
            self._identity = packet
            self._authenticate(packet, said.authentication_data or b"", now)
        else:
            login = Login(self)
            self._login = login
            self.engine.gate.login(login, packet, self.visit, now)

    def _may_be_nameless(self, packet: Connect) -> bool:
        if packet.version == MQTT_3_1 or not self.options.allow_empty_client_id:
            return False
        return packet.version == MQTT_5 or packet.clean_start  # v3 [MQTT-3.1.3-7]

    def refuse(self, reason_code: int, text: str, now: float, server_reference: str = "") -> None:
        """The gate says no: the client gets the code and the code's name, the text is for our log.

        [MQTT-3.1.4-2] [MQTT-4.12.0-4] [MQTT-4.12.1-2]
        """
        self._leave(reason_code, text, reason_name(reason_code), now, server_reference)

    def admit(self, permissions: Permissions, now: float, data: bytes = b"") -> None:
        """The gate says yes: open the client's session, answer CONNACK, go on where the session stood."""
        if self.session is not None:
            self._admit_again(self.session, permissions, data, now)
            return
        packet = self.connect
        assert packet is not None  # Login waited for this answer
        will = packet.will
        if will is not None and not _is_granted(publishing(permissions, will.topic), will.qos, will.retain):
            self._denied("publish", will.topic, publishing(permissions, will.topic))
            text = f"no permission to publish its will to {topics.shown(will.topic)}"
            self.disconnect(_NOT_AUTHORIZED, text, now)
            return
        said = packet.properties if packet.properties is not None else Properties()
        options = self.options
        # No id is refused, whatever its characters [MQTT-3.1.3-5].
        client_id = packet.client_id or self.visit.given_id  # [MQTT-3.1.3-6]
        outbox = self.outbox
        if self._mount_point:
            outbox.outlook = BelowMountPoint(self._mount_point)
        outbox.alias_maximum = min(said.topic_alias_maximum or 0, options.topic_alias_maximum_out)  # [MQTT-3.1.2-27]
        self.keep_alive = packet.keep_alive  # [MQTT-3.2.2-22]
        wished_expiry = self._wished_expiry(packet)
        expiry = min(wished_expiry, options.maximum_session_expiry)
        self._may_keep = wished_expiry > 0
        properties = self._limits(packet, client_id, expiry if expiry != wished_expiry else None)
        if properties is not None and said.authentication_method is not None:  # [MQTT-4.12.0-5] [MQTT-4.12.0-6]
            properties.authentication_method = said.authentication_method
            properties.authentication_data = data or None
        if len(encode(ConnAck(properties=properties), packet.version)) > outbox.maximum_packet_size:
            text = f"CONNACK is larger than the {outbox.maximum_packet_size} bytes that it takes"
            self.disconnect(ReasonCode.PACKET_TOO_LARGE, text, now)
            return
        if not self._has_room_for(client_id, is_kept=expiry > 0, is_new=packet.clean_start, now=now):
            return
        self.connect = None
        self._end_login()
        if self._identity is not None:
            self._identity = _known(packet, client_id)
        session, is_present = self.engine.open_session(
            client_id,
            self,
            outbox,
            clean_start=packet.clean_start,
            expiry_interval=expiry,
            receive_maximum=min(
                said.receive_maximum or (BROKER_TAKES if self._is_bridge and self.version != MQTT_5 else MAX_PACKET_ID),
                options.max_inflight_messages,
            ),
            allowed=options.receive_maximum,
            permissions=permissions,
            will=packet.will,
            now=now,
        )
        self.session = session
        session.user = self.visit.user
        session.crossing = Crossing(self.engine.hops, self._peer) if self._peer else None
        self.visit.client_id = client_id
        self.visit.keep_alive = self.keep_alive
        # v3.1 has no session present flag, its byte is reserved.
        is_present = is_present and packet.version != MQTT_3_1  # [MQTT-3.2.2-2] [MQTT-3.2.2-3]
        connack = encode(ConnAck(session_present=is_present, properties=properties), packet.version)
        after = outbox.in_order(session.promised_at, self.engine.journal.committed)
        # The first packet but for AUTH, and the only CONNACK [MQTT-3.1.4-5] [MQTT-3.2.0-1] [MQTT-3.2.0-2].
        outbox.open(connack, after)
        self.engine.deadlines.drop(self)
        self.last_received = now  # the client is not to blame for the time that its login took
        if self.keep_alive:
            self._watch_keep_alive()
        self.engine.observer.connected(self.visit, packet)
        session.send_waiting(now)
        self._go_on(now)

    def _has_room_for(self, client_id: str, *, is_kept: bool, is_new: bool, now: float) -> bool:
        """Whether the client can have its session; otherwise it is sent away."""
        engine = self.engine
        if client_id in engine.crossings:
            text = "the client id is that of a bridge, whose session is nobody else's"
            self.disconnect(ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, text, now)
            return False
        session = engine.sessions.get(client_id)
        if session is None and len(engine.sessions) >= self.options.max_sessions:
            text = f"there are {len(engine.sessions):,} sessions, as many as max_sessions allows"
            self.disconnect(ReasonCode.QUOTA_EXCEEDED, text, now)
            return False
        if not engine.journal.is_failing:
            return True
        begins = is_kept and (is_new or session is None or not session.is_kept)
        ends = engine.is_ending(client_id) or (is_new and session is not None and session.number > 0)
        if begins or ends:
            text = "the beginning or the end of its session could not be stored"
            self.disconnect(ReasonCode.SERVER_UNAVAILABLE, text, now)
            return False
        return True

    def _wished_expiry(self, packet: Connect) -> int:
        """For how long a client wants its session to outlive the connection (section 3.1.2.11.2)."""
        if packet.version != MQTT_5:  # v3 [MQTT-3.1.2-4] [MQTT-3.1.2-6]
            return 0 if packet.clean_start else self.options.v3_session_expiry
        if packet.properties is None:
            return 0
        return packet.properties.session_expiry_interval or 0

    def _go_on(self, now: float) -> None:
        """After an answer of a gate that took its time: packets may have come meanwhile."""
        if not self._is_receiving:
            trouble = self.outbox.trouble
            if trouble is not None:  # the answer is larger than the client takes
                self._fail(trouble, now)
            else:
                self._handle_packets(now)
            self._answered_late()

    def _answered_late(self) -> None:
        """What answers a gate that took its time leaves by itself: no bytes came that would bring it along."""
        if not self._is_receiving:
            self.engine.on_ready()

    def _limits(self, packet: Connect, client_id: str, expiry: int | None) -> Properties | None:
        """What CONNACK tells a v5 client of our limits, where they differ from the defaults (section 3.2.2.3)."""
        if packet.version != MQTT_5:
            return None
        options = self.options
        properties = Properties(
            session_expiry_interval=expiry,
            topic_alias_maximum=options.topic_alias_maximum,
            maximum_packet_size=options.maximum_packet_size,
        )
        if options.receive_maximum < MAX_PACKET_ID:
            properties.receive_maximum = options.receive_maximum
        if options.maximum_qos < 2:  # [MQTT-3.2.2-9]
            properties.maximum_qos = options.maximum_qos
        if not options.retain_available:
            properties.retain_available = 0
        if not options.wildcard_subscription_available:
            properties.wildcard_subscription_available = 0
        if not options.subscription_identifier_available:
            properties.subscription_identifier_available = 0
        if not options.shared_subscription_available:
            properties.shared_subscription_available = 0
        if not packet.client_id:  # [MQTT-3.1.3-7] [MQTT-3.2.2-16]
            properties.assigned_client_identifier = client_id
        asked = packet.properties is not None and packet.properties.request_response_information == 1
        if asked and options.response_information:  # [MQTT-3.1.2-28]
            information = options.response_information.replace("%c", client_id)
            if len(information.encode()) <= MAX_STRING_BYTES:  # a client id may have as many by itself
                properties.response_information = information
        longest = options.maximum_keep_alive
        if longest and (self.keep_alive == 0 or self.keep_alive > longest):
            # [MQTT-3.2.2-21]; a v3 client cannot be told, so it keeps its own.
            self.keep_alive = longest
            properties.server_keep_alive = longest
        return properties

    # AUTH (section 4.12)

    def _authenticate(self, identity: Connect, data: bytes, now: float) -> None:
        """Begin an exchange by the method that CONNECT named."""
        login = Login(self)
        exchange = self.engine.gate.exchange(login, identity, self.visit)
        if exchange is None:  # [MQTT-4.12.0-1]
            method = "" if identity.properties is None else identity.properties.authentication_method or ""
            text = f"no such authentication method: {topics.shown(method)}"
            self.disconnect(ReasonCode.BAD_AUTHENTICATION_METHOD, text, now)
            return
        login.exchange = exchange
        self._login = login
        exchange.receive(data, now)

    def _on_auth(self, packet: Auth, now: float) -> None:
        identity = self._identity
        if identity is None or identity.properties is None:  # [MQTT-4.12.0-7]
            raise ProtocolError(
                ReasonCode.PROTOCOL_ERROR, "AUTH from a client whose CONNECT named no method [MQTT-4.12.0-7]"
            )
        said = packet.properties if packet.properties is not None else Properties()
        if said.authentication_method != identity.properties.authentication_method:  # [MQTT-4.12.1-1]
            method = topics.shown(said.authentication_method or "")
            raise ProtocolError(
                ReasonCode.PROTOCOL_ERROR, f"AUTH with method {method}, CONNECT named another [MQTT-4.12.0-5]"
            )
        data = said.authentication_data or b""
        login = self._login
        if packet.reason_code == ReasonCode.RE_AUTHENTICATE and login is None:
            self._authenticate(identity, data, now)
            return
        exchange = None if login is None else login.exchange
        if login is None or exchange is None or login.is_due or packet.reason_code != _CONTINUE:  # [MQTT-4.12.0-3]
            raise ProtocolError(
                ReasonCode.PROTOCOL_ERROR, f"AUTH {reason_text(packet.reason_code)}, which nobody waits for"
            )
        login.is_due = True
        exchange.receive(data, now)

    def challenge(self, data: bytes, now: float) -> None:
        """Ask the client for the next word of its authentication [MQTT-4.12.0-2]."""
        self.outbox.append(self._auth(_CONTINUE, data))
        self._go_on(now)

    def _admit_again(self, session: Session, permissions: Permissions, data: bytes, now: float) -> None:
        """A re-authentication went well: the client stays, with what it may do now (section 4.12.1)."""
        self._end_login()
        self.engine.change_permissions(session, permissions)
        self.outbox.append(self._auth(_SUCCESS, data))
        self._go_on(now)

    def _auth(self, reason_code: int, data: bytes) -> bytes:
        """An AUTH with the method of the CONNECT [MQTT-4.12.0-5].

        It has no Reason String and no User Properties [MQTT-3.15.2-2] [MQTT-3.15.2-3].
        """
        identity = self._identity
        assert identity is not None  # there is an exchange
        assert identity.properties is not None
        method = identity.properties.authentication_method
        return encode(
            Auth(reason_code, Properties(authentication_method=method, authentication_data=data or None)), MQTT_5
        )

    # PUBLISH

    def _on_publish(self, session: Session, packet: Publish, now: float) -> None:
        stats = self.engine.stats
        stats.publish_received += 1
        self.visit.publish_received += 1
        stats.publish_bytes_received += len(packet.payload)
        qos = packet.qos
        properties = packet.properties
        topic = packet.topic
        if properties is not None:
            topic = self._check_properties(topic, properties)
        if qos > 0 or packet.retain:
            self._check_capabilities(qos, packet.retain)
        if self._mount_point:
            topic = self._mount_point + topic
            text = _longer_than_a_string(topic)
            if text:
                raise ProtocolError(ReasonCode.TOPIC_NAME_INVALID, text)
        if packet.retain:
            text = self._too_long(topic)
            if text:
                raise ProtocolError(ReasonCode.TOPIC_NAME_INVALID, text)
        message = message_of(topic, packet.payload, qos, packet.retain, properties, now)
        if packet.frame and not self._mount_point:
            message.came_as(packet.frame, self.version)
        if qos > 0:
            self._on_acknowledged_publish(session, packet.packet_id, message, now)
        else:
            grant = publishing(session.permissions, topic)
            if not _is_granted(grant, 0, packet.retain):
                self._denied_v3("publish", topic, grant, now)
            elif len(packet.payload) <= self.options.maximum_payload_size:
                self._pass_on(message, session, now)
            else:
                stats.publish_dropped += 1

    def _refusal_to_publish(self, session: Session, message: Message) -> tuple[int, str]:
        """Why a PUBLISH of QoS 1 or 2 is refused, as a reason code and in words; 0 if it is not."""
        grant = publishing(session.permissions, message.topic)
        if not _is_granted(grant, message.qos, message.retain):
            self._denied("publish", message.topic, grant)
            return _NOT_AUTHORIZED, f"no permission to publish to {topics.shown(message.topic)}"
        if len(message.payload) > self.options.maximum_payload_size:
            text = f"a payload of {len(message.payload):,} bytes, we take {self.options.maximum_payload_size:,}"
            return _QUOTA_EXCEEDED, text
        if self.engine.journal.is_failing:
            return _QUOTA_EXCEEDED, "the broker cannot store it now"
        if message.retain and self.version == MQTT_5 and not self.engine.may_retain(message):
            return _QUOTA_EXCEEDED, "the broker retains as much as it may"
        return _SUCCESS, ""

    def _denied_v3(self, action: str, topic: str, grant: Grant, now: float) -> None:
        """A client may not do what it did, and its version or QoS has no word for that."""
        self._denied(action, topic, grant)
        if self.version != MQTT_5 and self.options.v3_denied_publish == "disconnect":
            self.disconnect(_NOT_AUTHORIZED, f"no permission to publish to {topics.shown(topic)}", now)

    def _leaves_unanswered(self, reason_code: int, text: str, now: float) -> bool:
        """Whether a v3 PUBLISH that is refused gets no answer: v3 has no other word than yes."""
        if reason_code == _NOT_AUTHORIZED and self.options.v3_denied_publish == "disconnect":
            self.disconnect(_NOT_AUTHORIZED, text, now)
            return True
        if reason_code == _QUOTA_EXCEEDED and self.engine.journal.is_failing:
            # It shall send it again, on its next connection: it is told to come by the end of this one.
            self._is_unanswered = True
            self.engine.unanswered[self] = None
            return True
        return False

    def _check_properties(self, topic: str, properties: Properties) -> str:
        """Check what a client may not say with a PUBLISH, and resolve its topic alias: the topic."""
        if properties.subscription_identifiers:  # [MQTT-3.3.4-6]
            raise ProtocolError(
                ReasonCode.PROTOCOL_ERROR, "a client may not send a subscription identifier [MQTT-3.3.4-6]"
            )
        alias = properties.topic_alias
        return topic if alias is None else self._resolve_alias(topic, alias, self.options.topic_alias_maximum)

    def _check_capabilities(self, qos: int, retain: bool) -> None:
        options = self.options
        if qos > options.maximum_qos:  # [MQTT-3.2.2-11]
            raise ProtocolError(
                ReasonCode.QOS_NOT_SUPPORTED, f"QoS {qos}, we allowed {options.maximum_qos} [MQTT-3.2.2-11]"
            )
        if retain and not options.retain_available:  # [MQTT-3.2.2-14]
            raise ProtocolError(ReasonCode.RETAIN_NOT_SUPPORTED, "a retained message, we said no [MQTT-3.2.2-14]")

    # SUBSCRIBE and UNSUBSCRIBE

    def _on_subscribe(self, session: Session, packet: Subscribe, now: float) -> None:
        identifier = 0
        if packet.properties is not None and packet.properties.subscription_identifiers:
            identifier = packet.properties.subscription_identifiers[0]
            if not self.options.subscription_identifier_available:
                raise ProtocolError(
                    ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED,
                    "a subscription identifier, we said no (section 3.2.2.3.12)",
                )
        wish = None if packet.properties is None else dict(packet.properties.user_properties).get(SAMPLE_REQUEST)
        before = self.engine.journal.appended
        reason_codes: list[int] = []
        refusals: list[str] = []
        wanting: list[Subscription] = []  # retained messages
        for request in packet.requests:  # as if they came one by one [MQTT-3.8.4-5]
            if self._is_bridge:
                request.no_local = not topics.is_shared(request.topic_filter)
                request.retain_as_published = True
            reason_code, text = self._malformed(request)
            grant = DENIED
            if reason_code < 0x80:
                request.topic_filter = self._mounted(request.topic_filter)
                _, topic_filter = topics.split_shared(request.topic_filter)
                grant = session.permissions.grant_subscribe(topic_filter)
                reason_code, text = self._refusal(session, request, grant)
            period = 0.0
            if reason_code < 0x80 and wish is not None:
                try:
                    period = _sample_period(session, request, wish)
                except ValueError as error:
                    reason_code, text = _IMPLEMENTATION_SPECIFIC_ERROR, str(error)
            if reason_code < 0x80:
                qos = min(request.qos, grant.max_qos, self.options.maximum_qos)  # [MQTT-3.2.2-10]
                subscription, is_new = self.engine.subscribe(
                    session, request, 0 if period > 0 else qos, identifier, period
                )
                reason_code = subscription.qos  # [MQTT-3.8.4-7]
                if grant.may_retain and _wants_retained(subscription, request, is_new=is_new):
                    wanting.append(subscription)
            else:
                refusals.append(text)
            reason_codes.append(reason_code)  # one for each, in their order [MQTT-3.8.4-6] [MQTT-3.9.3-1]
        # [MQTT-2.2.1-6] [MQTT-3.8.4-1] [MQTT-3.8.4-2]
        answer = SubAck(packet.packet_id, self._subscribe_codes(packet, reason_codes))
        if refusals and self.version == MQTT_5:
            self._promise(self._in_words(answer, "; ".join(refusals)), before)
        else:
            self._promise(encode(answer, self.version), before)
        for subscription in wanting:
            self.engine.send_retained(subscription, now)

    def _mounted(self, topic_filter: str) -> str:
        """A filter as the engine knows it."""
        mount_point = self._mount_point
        if not mount_point:
            return topic_filter
        if not topics.is_shared(topic_filter):
            return mount_point + topic_filter
        _, below = topics.split_shared(topic_filter)
        return topic_filter.removesuffix(below) + mount_point + below

    def _too_long(self, topic: str) -> str:
        """Why a filter, or a topic to be retained, takes more memory than we give; empty: it does not."""
        text = super()._too_long(topic)
        return _longer_than_a_string(topic) if not text and self._mount_point else text

    def _malformed(self, request: SubscriptionRequest) -> tuple[int, str]:
        """Why nobody could subscribe like that, as a reason code and in words; 0 if it is well."""
        try:
            topics.check_filter(request.topic_filter)
        except ValueError as error:
            if self.version != MQTT_5:  # v3 [MQTT-4.8.0-1]
                raise ProtocolError(ReasonCode.PROTOCOL_ERROR, str(error)) from None
            return ReasonCode.TOPIC_FILTER_INVALID, str(error)
        text = self._too_long(self._mounted(request.topic_filter))
        if text:
            if self.version != MQTT_5:
                raise ProtocolError(ReasonCode.TOPIC_FILTER_INVALID, text)
            return ReasonCode.TOPIC_FILTER_INVALID, text
        if request.no_local and topics.is_shared(request.topic_filter):  # [MQTT-3.8.3-4]
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "No Local on a Shared Subscription [MQTT-3.8.3-4]")
        return _SUCCESS, ""

    def _refusal(self, session: Session, request: SubscriptionRequest, grant: Grant) -> tuple[int, str]:
        """Why a subscription is refused, as a reason code and in words; 0 if it is not."""
        _, topic_filter = topics.split_shared(request.topic_filter)
        options = self.options
        if not options.wildcard_subscription_available and topics.has_wildcard(topic_filter):
            return self._unavailable(ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED, request)
        if not options.shared_subscription_available and topics.is_shared(request.topic_filter):
            return self._unavailable(ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED, request)
        if grant.max_qos < 0:
            self._denied("subscribe", topic_filter, grant)
            return _NOT_AUTHORIZED, f"no permission to subscribe to {topics.shown(topic_filter)}"
        most = options.max_subscriptions
        if len(session.subscriptions) >= most and request.topic_filter not in session.subscriptions:
            return _QUOTA_EXCEEDED, f"it has {most:,} subscriptions already"
        if session.number and self.engine.journal.is_failing:
            return _QUOTA_EXCEEDED, "the broker cannot store the subscription now"
        return _SUCCESS, ""

    def _unavailable(self, reason_code: ReasonCode, request: SubscriptionRequest) -> tuple[int, str]:
        """A v5 client was told in CONNACK that we do not offer this (sections 3.2.2.3.11 and 3.2.2.3.13)."""
        text = f"topic filter {topics.shown(request.topic_filter)}, we said no"
        if self.version == MQTT_5:
            raise ProtocolError(reason_code, text)
        return reason_code, text

    def _subscribe_codes(self, packet: Subscribe, reason_codes: list[int]) -> list[int]:
        """The codes as the client's version says them: v3.1.1 knows one failure, v3.1 none."""
        if self.version == MQTT_5:
            return reason_codes
        if self.version == MQTT_3_1:
            return [
                request.qos if code >= 0x80 else code
                for request, code in zip(packet.requests, reason_codes, strict=True)
            ]
        return [min(code, 0x80) for code in reason_codes]  # v3 [MQTT-3.9.3-2]

    def _on_unsubscribe(self, session: Session, packet: Unsubscribe) -> None:
        before = self.engine.journal.appended
        reason_codes: list[int] = []
        for topic_filter in packet.topic_filters:  # as if they came one by one [MQTT-3.10.4-6]
            existed = self.engine.unsubscribe(session, self._mounted(topic_filter))
            reason_codes.append(_SUCCESS if existed else ReasonCode.NO_SUBSCRIPTION_EXISTED.value)  # [MQTT-3.11.3-1]
        # No Reason String, no User Properties [MQTT-3.11.2-1] [MQTT-3.11.2-2].
        # [MQTT-2.2.1-6] [MQTT-3.10.4-4] [MQTT-3.10.4-5]
        # What did not exist may have been dropped a moment ago, so that a kept session always waits.
        self._promise(encode(UnsubAck(packet.packet_id, reason_codes), self.version), -1 if session.number else before)

    # DISCONNECT

    def _on_disconnect(self, session: Session, packet: Disconnect, now: float) -> None:
        if packet.properties is not None and packet.properties.session_expiry_interval is not None:
            expiry = packet.properties.session_expiry_interval
            if expiry > 0 and not self._may_keep:
                raise ProtocolError(
                    ReasonCode.PROTOCOL_ERROR,
                    "DISCONNECT may not keep a session that was not kept (section 3.14.2.2.2)",
                )
            self.engine.change_expiry(session, min(expiry, self.options.maximum_session_expiry))
        is_normal = packet.reason_code == _SUCCESS
        text = "the client disconnected" if is_normal else f"the client left: {reason_text(packet.reason_code)}"
        self._end(text, with_will=not is_normal, now=now)  # [MQTT-3.14.4-3]


def _longer_than_a_string(topic: str) -> str:
    """Why a topic cannot be sent to anybody, behind its mount point; empty: it can."""
    if 4 * len(topic) <= MAX_STRING_BYTES or len(topic.encode()) <= MAX_STRING_BYTES:
        return ""
    return f"{topics.shown(topic)} is longer than {MAX_STRING_BYTES:,} bytes"


def _is_granted(grant: Grant, qos: int, retain: bool) -> bool:
    return grant.max_qos >= qos and (grant.may_retain or not retain)


def _known(packet: Connect, client_id: str) -> Connect:
    """What is kept of a CONNECT, for a client that may authenticate again: who it is, and none of its secrets."""
    method = None if packet.properties is None else packet.properties.authentication_method
    return Connect(
        client_id,
        keep_alive=packet.keep_alive,
        user_name=packet.user_name,
        properties=Properties(authentication_method=method),
    )


def _sample_period(session: Session, request: SubscriptionRequest, wish: str) -> float:
    """The period, in seconds, of the sampled subscription that a User Property asks for.

    Raises:
        ValueError: it cannot be one.
    """
    if session.number:
        raise ValueError("a sampled subscription ends with its connection: expected a Session Expiry Interval of 0")
    if request.no_local or topics.is_shared(request.topic_filter):
        raise ValueError("a sampled subscription is neither shared nor No Local")
    return period_of(wish)


def _wants_retained(subscription: Subscription, request: SubscriptionRequest, *, is_new: bool) -> bool:
    """Whether a subscription gets retained messages now (section 3.3.1.3); a shared one never does."""
    if subscription.is_shared:
        return False
    # [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11] [MQTT-3.8.4-4]
    return request.retain_handling == 0 or (request.retain_handling == 1 and is_new)
