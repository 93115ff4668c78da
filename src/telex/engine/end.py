"""One end of a connection, whoever said CONNECT: its bytes, its answers, and the exchanges of QoS 1 and 2.

Knows what both ends do alike. Who may send what, and how a connection begins and
ends, is in ``connection.py`` for the clients of this broker, and in ``bridge.py`` where this
broker is a client. Knows no socket and no clock: bytes and the time are arguments,
what is to be sent gathers in the outbox.
"""

from typing import Final

from telex import topics
from telex.codes import MAX_PACKET_BYTES, MQTT_5, ReasonCode
from telex.engine.engine import Engine
from telex.engine.message import Message
from telex.engine.options import Options
from telex.engine.outbox import Outbox
from telex.engine.permissions import Grant
from telex.engine.seams import Client
from telex.engine.session import Session
from telex.engine.visit import Visit
from telex.errors import ProtocolError
from telex.wire.decode import Decoder
from telex.wire.encode import PUBACK_FIRST, PUBCOMP_FIRST, PUBREC_FIRST, PUBREL_FIRST, encode, encode_acknowledgement
from telex.wire.packets import (
    Acknowledgement,
    ConnAck,
    Disconnect,
    Packet,
    PubAck,
    PubComp,
    PubRec,
    PubRel,
    SubAck,
)
from telex.wire.properties import Properties

BROKER_TAKES: Final = 20
"""Messages of QoS 2 in flight that a broker at the other end takes; v3 has no word for it: as by default in Mosquitto.

It would end the connection at one more, and again when the same come again.
"""

_SUCCESS: Final = 0
_NO_MATCHING_SUBSCRIBERS: Final = 0x10
_LONGEST_REASON: Final = 500  # characters of a Reason String: a SUBSCRIBE may be refused for a thousand reasons


class End(Client):
    """Our end of one connection, from its first byte to its last.

    Args:
        engine: whose sessions they are.
        stream: what the shell wants to find at the outbox.
        visit: how people see the connection; what is said and done is noted there.
        now: the time.
        options: the limits of who is at the other end.
        largest: bytes of the largest packet that we take to begin with.
        version: of the protocol, if it is known; otherwise (0) a CONNECT will say it.
    """

    def __init__(
        self,
        engine: Engine,
        stream: object,
        visit: Visit,
        now: float,
        options: Options,
        *,
        largest: int = MAX_PACKET_BYTES,
        version: int = 0,
    ) -> None:
        super().__init__()
        self.engine = engine
        self.options = options
        self.visit = visit
        visit.began_at = now
        self.outbox = Outbox(engine.ready, engine.holding, engine.stats, options.max_outbox_bytes, stream, visit)
        self.decoder = Decoder(largest, version=version)
        self.session: Session | None = None  # None before the connection is accepted, and after its end
        self.version = version
        self.keep_alive = 0  # seconds; 0: no time-out
        self.last_received = now  # when the last whole packet came
        self.is_closed = False
        self._is_receiving = False
        self._aliases: dict[int, str] | None = None  # topic aliases of the other end
        self._wants_reasons = True  # the other end takes a Reason String, in v5

    # Bytes and time

    def receive(self, data: bytes, now: float) -> None:
        """Take in bytes as they come. What they ask for is done when this returns."""
        if self.is_closed:
            return
        self.engine.stats.bytes_received += len(data)
        self.visit.bytes_received += len(data)
        self.decoder.receive(data)
        self._handle_packets(now)

    def take(self, now: float) -> bytes:
        """All that may leave, as one piece; what waited in the session for room in the outbox follows."""
        data = self.outbox.take()
        session = self.session
        if session is not None:
            if not session.queue.is_empty:
                session.send_waiting(now)
            if session.samples is not None:
                session.samples.flush(now)
        return data

    def closed(self, now: float, reason: str) -> None:
        """The network connection is gone, without a word of the other end."""
        raise NotImplementedError

    @property
    def is_waiting(self) -> bool:
        """Whether somebody has to decide before more packets are looked at; no use to read on until then."""
        return False

    def _handle_packets(self, now: float) -> None:
        self._is_receiving = True
        try:
            while not self.is_closed and not self.is_waiting:
                packet = self.decoder.next_packet()
                if packet is None:
                    break
                self.last_received = now
                self.engine.stats.packets_received += 1
                self._handle(packet, now)
                trouble = self.outbox.trouble
                if trouble is not None and not self.is_closed:
                    raise trouble
        except ProtocolError as error:
            self._fail(error, now)
        finally:
            self._is_receiving = False

    def _handle(self, packet: Packet, now: float) -> None:
        raise NotImplementedError

    def _fail(self, error: ProtocolError, now: float) -> None:
        """The other end broke a rule, and that is the end [MQTT-4.13.1-1]."""
        raise NotImplementedError

    def _end(self, reason: str, *, now: float, with_will: bool = True) -> None:
        self.is_closed = True
        self.engine.deadlines.drop(self)
        if self.engine.journal.is_failing:
            self.outbox.forget_held()  # nobody knows when it could leave
        self.outbox.close()
        session = self.session
        if session is not None:
            self.session = None
            self._left(reason, now)
            self.engine.close_session(session, with_will=with_will, now=now)

    def _left(self, reason: str, now: float) -> None:
        """The connection of a session is over: tell who wants to know."""
        raise NotImplementedError

    # Answers

    def _promise(self, frame: bytes, before: int = -1) -> None:
        """Answer with what may only leave when all that was recorded by now is safe.

        ``before`` is the journal's position when the question came: if no record was
        written since, the answer promises none.
        """
        journal = self.engine.journal
        after = 0 if journal.appended == before else journal.appended
        self.outbox.append(frame, self.outbox.in_order(after, journal.committed))

    def _append_in_order(self, frame: bytes) -> None:
        """Add what promises no record, and may not overtake what does."""
        self.outbox.append(frame, self.outbox.in_order(0, 0))

    def _in_words(self, packet: ConnAck | Disconnect | SubAck | Acknowledgement, text: str) -> bytes:
        """A refusal as v5 writes it, with the Reason String if the other end wants one [MQTT-3.1.2-29] and it fits.

        [MQTT-3.2.2-19] [MQTT-3.4.2-2] [MQTT-3.5.2-2] [MQTT-3.6.2-2] [MQTT-3.7.2-2] [MQTT-3.9.2-1] [MQTT-3.14.2-3]

        Answers of ours have no User Properties: [MQTT-3.2.2-20] [MQTT-3.4.2-3] [MQTT-3.5.2-3] [MQTT-3.6.2-3]
        [MQTT-3.7.2-3] [MQTT-3.9.2-2] [MQTT-3.14.2-4]
        """
        plain = encode(packet, MQTT_5)
        if not self._wants_reasons:
            return plain
        if packet.properties is None:
            packet.properties = Properties()
        packet.properties.reason_string = text[:_LONGEST_REASON]
        worded = encode(packet, MQTT_5)
        return worded if len(worded) <= self.outbox.maximum_packet_size else plain

    # What comes in

    def _resolve_alias(self, topic: str, alias: int, most: int) -> str:
        """The topic of a PUBLISH with a topic alias, of ``most`` that we have allowed."""
        if alias > most:  # [MQTT-3.3.2-9]
            raise ProtocolError(
                ReasonCode.TOPIC_ALIAS_INVALID, f"topic alias {alias}, we allowed 1 to {most} [MQTT-3.3.2-9]"
            )
        if self._aliases is None:
            self._aliases = {}  # new with each connection [MQTT-3.3.2-7]
        if topic:
            self._aliases[alias] = topic  # [MQTT-3.3.2-12]
            return topic
        known = self._aliases.get(alias)
        if known is None:
            raise ProtocolError(
                ReasonCode.PROTOCOL_ERROR, f"topic alias {alias} was never given a topic (section 3.3.2.3.4)"
            )
        return known

    def _on_acknowledged_publish(self, session: Session, packet_id: int, message: Message, now: float) -> None:
        """Take in a PUBLISH of QoS 1 or 2, and answer it."""
        journal = self.engine.journal
        # To clear what somebody else has just cleared records nothing, and promises that it is gone.
        before = -1 if message.retain else journal.appended
        first = PUBACK_FIRST if message.qos == 1 else PUBREC_FIRST
        if message.qos == 2 and session.receiver.owns(packet_id):  # a repeat [MQTT-4.3.3-10]
            self._promise(encode_acknowledgement(PUBREC_FIRST, packet_id))
            return
        reason_code, text = self._refusal_to_publish(session, message)
        if reason_code >= 0x80:
            if self.version == MQTT_5:  # the exchange is over [MQTT-4.3.3-9]
                session.receiver.accept_at_once()
                self._append_in_order(self._in_words(_first_answer(message.qos, packet_id, reason_code), text))
                return
            if self._leaves_unanswered(reason_code, text, now):
                return
        if message.qos == 1:
            session.receiver.accept_at_once()
        else:
            session.own(packet_id)
            if session.number:
                message.after = journal.appended  # it goes on when its id is safe: so it never goes on twice
        if reason_code < 0x80 and not self._pass_on(message, session, now):
            reason_code = _NO_MATCHING_SUBSCRIBERS
        # By its packet id [MQTT-2.2.1-5] [MQTT-3.3.4-1] [MQTT-4.3.2-4] [MQTT-4.3.3-8].
        if reason_code == _NO_MATCHING_SUBSCRIBERS and self.version == MQTT_5:
            self._promise(encode(_first_answer(message.qos, packet_id, reason_code), MQTT_5), before)
        else:
            self._promise(encode_acknowledgement(first, packet_id), before)

    def _refusal_to_publish(self, session: Session, message: Message) -> tuple[int, str]:
        """Why a PUBLISH of QoS 1 or 2 is refused, as a reason code and in words; 0 if it is not."""
        raise NotImplementedError

    def _leaves_unanswered(self, reason_code: int, text: str, now: float) -> bool:
        """Whether a v3 PUBLISH that is refused gets no answer: v3 has no other word than yes."""
        return False

    def _pass_on(self, message: Message, session: Session, now: float) -> bool:
        """Bring a message that came to all that subscribed, but for what has been here: whether there was anyone."""
        properties = message.properties
        if properties is not None and properties.user_properties and self.engine.hops.is_repeat(message):
            return True
        return self.engine.publish(message, session, now)

    def _denied(self, action: str, topic: str, grant: Grant) -> None:
        self.engine.observer.denied(self.visit, action, topic, grant.rule)

    def _too_long(self, topic: str) -> str:
        """Why a filter, or a topic to be retained, takes more memory than we give; empty: it does not."""
        most = self.options.max_topic_levels
        count = topic.count("/") + 1
        if count > most:
            return f"{topics.shown(topic)} has {count:,} levels, we take {most:,}"
        return ""

    def _on_pubrel(self, session: Session, packet: PubRel) -> None:
        if session.disown(packet.packet_id) or self.version != MQTT_5:  # [MQTT-4.3.3-11]
            self._promise(encode_acknowledgement(PUBCOMP_FIRST, packet.packet_id))
        else:
            self._answer_unknown(PubComp(packet.packet_id, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND))

    def _on_pubrec(self, session: Session, packet: PubRec, now: float) -> None:
        is_known = session.on_pubrec(packet.packet_id, packet.reason_code, now)
        if packet.reason_code >= 0x80:  # the exchange is over [MQTT-4.4.0-2]
            return
        if is_known or self.version != MQTT_5:  # [MQTT-4.3.3-4]
            self._promise(encode_acknowledgement(PUBREL_FIRST, packet.packet_id))
        else:
            self._answer_unknown(PubRel(packet.packet_id, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND))

    def _answer_unknown(self, answer: Acknowledgement) -> None:
        """Say that an id is not in use; it may have been a moment ago, so that this must be safe like any answer."""
        self._promise(self._in_words(answer, f"packet id {answer.packet_id} is not in use"))


def _first_answer(qos: int, packet_id: int, reason_code: int) -> Acknowledgement:
    """What a PUBLISH of QoS 1 or 2 gets as its first answer."""
    return PubAck(packet_id, reason_code) if qos == 1 else PubRec(packet_id, reason_code)
