"""A session: what a client id remembers, connected or not (section 4.1).

Knows its subscriptions and the messages on their way to its client. Knows no
other session; ``engine.py`` knows them all.
"""

import math
from collections import deque
from collections.abc import Callable
from typing import Final

from telex import topics
from telex.codes import MQTT_5, NEVER_EXPIRES, PropertyId
from telex.engine import records
from telex.engine.deadlines import Timed
from telex.engine.message import PUBLISH_FIRST, Message
from telex.engine.options import Options
from telex.engine.outbox import Outbox
from telex.engine.permissions import EVERYTHING, Permissions
from telex.engine.seams import Client, Journal, Observer
from telex.engine.stats import Stats
from telex.flow import Delivery, Receiver, Sender
from telex.wire.data import ONE_BYTE, encode_variable
from telex.wire.encode import PUBREL_FIRST, encode_acknowledgement
from telex.wire.packets import Will

_DUP: Final = 0x08
_NO_LIMIT: Final = 1 << 60
_NEVER: Final = math.inf
_IDENTIFIER_PROPERTY: Final = ONE_BYTE[PropertyId.SUBSCRIPTION_IDENTIFIER.value]


class Surroundings:
    """What every session of one engine shares."""

    def __init__(
        self,
        options: Options,
        stats: Stats,
        journal: Journal,
        observer: Observer,
        on_due: "Callable[[Session, float], None]",
    ) -> None:
        self.options = options
        self.stats = stats
        self.journal = journal
        self.observer = observer
        self.on_due = on_due  # called when a session's will or its end has come


class Subscription:
    """A session's wish to get what matches a filter (section 4.7, section 3.8.3.1)."""

    def __init__(
        self,
        session: "Session",
        topic_filter: str,
        qos: int,
        *,
        no_local: bool = False,
        retain_as_published: bool = False,
        identifiers: tuple[int, ...] = (),
    ) -> None:
        self.session = session
        self.topic_filter = topic_filter  # as the client wrote it, with $share and group
        self.qos = qos  # the maximum that was granted
        self.no_local = no_local
        self.retain_as_published = retain_as_published
        self.is_shared = topics.is_shared(topic_filter)
        self.identifiers = identifiers
        self.extra = b"".join(  # the identifiers as PUBLISH carries them [MQTT-3.3.4-3]
            [_IDENTIFIER_PROPERTY + encode_variable(each, "subscription identifier") for each in identifiers]
        )


def merged(subscriptions: list[Subscription]) -> Subscription:
    """Overlapping subscriptions of one session as one: a message is delivered once.

    At the highest QoS [MQTT-3.3.4-2], with all subscription identifiers [MQTT-3.3.4-4].
    """
    if len(subscriptions) == 1:
        return subscriptions[0]
    return Subscription(
        subscriptions[0].session,
        subscriptions[0].topic_filter,
        max(each.qos for each in subscriptions),
        retain_as_published=any(each.retain_as_published for each in subscriptions),
        identifiers=tuple(number for each in subscriptions for number in each.identifiers),
    )


class Outgoing(Delivery):
    """A message of QoS 1 or 2 on its way to the client of a session."""

    def __init__(self, message: Message, qos: int, first: int, subscription: Subscription | None, extra: bytes) -> None:
        super().__init__(qos)
        self.message = message
        self.first = first  # first byte of its PUBLISH, without DUP
        self.extra = extra  # encoded properties that are the subscription's own
        self.shared = subscription  # the Shared Subscription that it came by, or None
        self.number = 0  # among the messages of a kept session, for its records


class Session(Timed):
    """What is remembered for a client id. ``outbox`` is None while its client is away."""

    def __init__(self, client_id: str, surroundings: Surroundings) -> None:
        super().__init__()
        self.client_id = client_id
        self.surroundings = surroundings
        self.journal = surroundings.journal
        self.expiry_interval = 0  # seconds that it outlives its connection; NEVER_EXPIRES: for ever
        self.permissions: Permissions = EVERYTHING  # of the client's last login
        self.client: Client | None = None
        self.outbox: Outbox | None = None
        self.subscriptions: dict[str, Subscription] = {}  # by filter as the client wrote it
        self.sender: Sender[Outgoing] = Sender()
        self.receiver = Receiver()
        self.waiting: deque[Outgoing] | None = None  # what cannot be sent now, in order; None: nothing
        self.ends_at = 0.0  # when its time is over; 0: while it is connected, or never
        self.will: Will | None = None
        self.will_delay = 0  # seconds between the loss of the connection and the will
        self.will_at = 0.0  # when the will falls due; 0: not yet
        self._repeats = 0  # how many of those that wait are in flight since an earlier connection
        self._first_expiry = _NEVER  # no message that waits expires before
        self._numbered = 0
        self._is_dropping = False

    @property
    def is_kept(self) -> bool:
        """Whether it outlives its connection [MQTT-3.1.2-23]."""
        return self.expiry_interval > 0

    def deliver(self, message: Message, subscription: Subscription, now: float) -> None:
        """Send a message that matched, now or when the client can take it.

        At the lower of its QoS and the granted one [MQTT-3.8.4-8] [MQTT-4.8.2-3]; RETAIN stays
        only if the subscription asks for it [MQTT-3.3.1-12] [MQTT-3.3.1-13].
        """
        qos = message.qos
        if qos > subscription.qos:
            qos = subscription.qos
        first = PUBLISH_FIRST | qos << 1
        if message.retain and subscription.retain_as_published:
            first |= 1
        if qos == 0:
            self._deliver_at_once(message, first, subscription, now)
        else:
            self._deliver_safely(message, first, subscription, self.surroundings.options.max_queued_messages, now)

    def deliver_retained(self, message: Message, subscription: Subscription, count: int, now: float) -> None:
        """Send one of ``count`` retained messages for a new subscription; RETAIN is set (v3 [MQTT-3.3.1-8]).

        They are there already and no more than they are, so all of them may wait
        [MQTT-3.3.1-9] beside what waits otherwise.
        """
        qos = min(message.qos, subscription.qos)
        first = PUBLISH_FIRST | qos << 1 | 1
        if qos == 0:
            self._deliver_at_once(message, first, subscription, now)
        else:
            room = self.surroundings.options.max_queued_messages + count
            self._deliver_safely(message, first, subscription, room, now)

    def _deliver_at_once(self, message: Message, first: int, subscription: Subscription, now: float) -> None:
        """QoS 0: now or never, and never with DUP [MQTT-4.3.1-1]."""
        outbox = self.outbox
        if outbox is None:
            return
        if outbox.publish(message, first, subscription.extra, now):
            self._is_dropping = False
        else:
            self._dropped("it reads too slowly, or the message is too large for it")

    def _deliver_safely(self, message: Message, first: int, subscription: Subscription, room: int, now: float) -> None:
        """QoS 1 and 2: now, or as one of ``room`` that wait."""
        outgoing = Outgoing(
            message,
            first >> 1 & 3,
            first,
            subscription if subscription.is_shared else None,
            subscription.extra,
        )
        waiting = self.waiting
        if self.outbox is not None and waiting is None and self.sender.can_send:
            if self.expiry_interval > 0:
                self._queued(outgoing)
            self._send(outgoing, now)
        elif self._has_room(room, now):
            self._queued(outgoing)
            self._wait(outgoing)
            self._is_dropping = False
        else:
            self._dropped(f"{room:,} messages wait for it already")

    def _has_room(self, room: int, now: float) -> bool:
        """Whether fewer than ``room`` messages wait; those that have expired make room [MQTT-3.3.2-5]."""
        waiting = self.waiting
        if waiting is None or len(waiting) - self._repeats < room:
            return True
        if now < self._first_expiry:
            return False
        self.waiting = None
        self._first_expiry = _NEVER
        left = 0
        for outgoing in waiting:
            if outgoing.packet_id == 0 and outgoing.message.is_expired(now):
                self._done(outgoing)
            else:
                self._wait(outgoing)
                left += 1
        return left - self._repeats < room

    def _wait(self, outgoing: Outgoing) -> None:
        if self.waiting is None:
            self.waiting = deque()
        self.waiting.append(outgoing)
        expires_at = outgoing.message.expires_at
        if expires_at is not None and expires_at < self._first_expiry:
            self._first_expiry = expires_at

    def _send(self, outgoing: Outgoing, now: float) -> None:
        outbox = self.outbox
        assert outbox is not None  # callers send only while there is a client
        encoding = outbox.encoding(outgoing.message, outgoing.first, outgoing.extra, now)
        if encoding is None:
            # As if it had been sent and acknowledged [MQTT-3.1.2-25].
            self._done(outgoing)
            self._dropped("the message is too large for it")
            return
        self.sender.send(outgoing)  # its first byte is without DUP [MQTT-4.3.2-2] [MQTT-4.3.3-2]
        outbox.publish_numbered(outgoing.message, encoding, outgoing.packet_id)
        if outgoing.number:
            self.journal.append(records.Sent(self.client_id, outgoing.number, outgoing.packet_id))
            if outgoing.qos == 2:
                # After a crash the id must still mean this message: the client would take another for a repeat.
                outbox.after = self.journal.appended

    def send_waiting(self, now: float) -> None:
        """Send of what waits as much as the client takes now, in order [MQTT-4.6.0-5] [MQTT-4.6.0-6]."""
        waiting = self.waiting
        if waiting is None or self.outbox is None:
            return
        sender = self.sender
        while waiting:
            outgoing = waiting[0]
            if outgoing.packet_id > 0:  # in flight since an earlier connection, never to expire [MQTT-4.3.3-7]
                if not outgoing.is_released and not sender.can_send_again:
                    return
                waiting.popleft()
                self._repeats -= 1
                self._send_again(outgoing, now)
            elif outgoing.message.is_expired(now):  # [MQTT-3.3.2-5]
                waiting.popleft()
                self._done(outgoing)
            elif sender.can_send:
                waiting.popleft()
                self._send(outgoing, now)
            else:
                return
        self.waiting = None
        self._first_expiry = _NEVER

    def _send_again(self, outgoing: Outgoing, now: float) -> None:
        """Repeat what the client has not acknowledged, under its old id [MQTT-4.4.0-1]."""
        outbox = self.outbox
        assert outbox is not None  # send_waiting made sure
        if self.sender.in_flight.get(outgoing.packet_id) is not outgoing:
            return  # acknowledged after all, while it waited for its turn
        if outgoing.is_released:
            outbox.append(encode_acknowledgement(PUBREL_FIRST, outgoing.packet_id))
            return
        encoding = outbox.encoding(outgoing.message, outgoing.first | _DUP, outgoing.extra, now)
        if encoding is not None:
            self.sender.send_again(outgoing)  # [MQTT-3.3.1-1]
            outbox.publish_numbered(outgoing.message, encoding, outgoing.packet_id)
        else:  # this time the client takes smaller packets only
            del self.sender.in_flight[outgoing.packet_id]
            self._done(outgoing)
            self._dropped("the message is too large for it")

    def on_puback(self, packet_id: int, now: float) -> None:
        """The client owns a QoS 1 message, or refused it; then it goes to nobody else [MQTT-4.8.2-6].

        An id that nobody waits for is ignored.
        """
        outgoing = self.sender.on_puback(packet_id)
        if outgoing is not None:
            self._done(outgoing)
            if self.waiting is not None:
                self.send_waiting(now)

    def on_pubrec(self, packet_id: int, reason_code: int, now: float) -> bool:
        """The client owns a QoS 2 message, or refused it [MQTT-4.8.2-6]: whether the id was known."""
        known = self.sender.in_flight.get(packet_id)
        is_repeat = known is not None and known.is_released
        outgoing = self.sender.on_pubrec(packet_id, reason_code)
        if outgoing is None:
            return False
        if outgoing.is_released:
            if outgoing.number and not is_repeat:
                self.journal.append(records.Released(self.client_id, packet_id))
        else:
            self._done(outgoing)
            self.send_waiting(now)
        return True

    def on_pubcomp(self, packet_id: int, now: float) -> None:
        """The exchange of a QoS 2 message is over. An id that nobody waits for is ignored."""
        outgoing = self.sender.on_pubcomp(packet_id)
        if outgoing is not None:
            self._done(outgoing)
            if self.waiting is not None:
                self.send_waiting(now)

    def own(self, packet_id: int) -> bool:
        """Take in a QoS 2 PUBLISH from the client: whether it comes for the first time."""
        first_time = self.receiver.accept(packet_id)
        if first_time and self.expiry_interval > 0:
            self.journal.append(records.Owned(self.client_id, packet_id))
        return first_time

    def disown(self, packet_id: int) -> bool:
        """Take in a PUBREL from the client: whether the id was owned."""
        was_owned = self.receiver.release(packet_id)
        if was_owned and self.expiry_interval > 0:
            self.journal.append(records.Disowned(self.client_id, packet_id))
        return was_owned

    def opened(self, client: Client, outbox: Outbox, receive_maximum: int) -> None:
        """A connection of the client begins; what is in flight goes first (S7: in front of what waits)."""
        self.client = client
        self.outbox = outbox
        # A v3 client cannot be told how many it may have in flight.
        allowed = self.surroundings.options.receive_maximum if outbox.version == MQTT_5 else _NO_LIMIT
        self.receiver.resume(allowed)
        outbox.receiver = self.receiver
        again = self.sender.resume(receive_maximum)
        self._repeats = len(again)
        if self.waiting is not None:
            again.extend(outgoing for outgoing in self.waiting if outgoing.packet_id == 0)
        self.waiting = again if again else None

    def closed(self) -> None:
        """The connection of the client is over."""
        self.client = None
        self.outbox = None
        self._is_dropping = False

    def on_due(self, now: float) -> None:
        """Its will or its end has come."""
        self.surroundings.on_due(self, now)

    def expires_at(self, now: float) -> float:
        """When the session ends if its client left now and does not come back; 0: never."""
        return 0.0 if self.expiry_interval == NEVER_EXPIRES else now + self.expiry_interval

    def undelivered_shared(self) -> list[Outgoing]:
        """What came by Shared Subscriptions and may go to another member when this session ends.

        Not a QoS 2 message in flight: nobody knows whether this client took it [MQTT-4.8.2-4].
        """
        outgoings = [each for each in self.sender.in_flight.values() if each.qos == 1]
        if self.waiting is not None:
            outgoings.extend(each for each in self.waiting if each.packet_id == 0)
        return [each for each in outgoings if each.shared is not None]

    def forget_records(self) -> None:
        """The session is not kept any more: nothing of it is recorded from now on."""
        for outgoing in self.sender.in_flight.values():
            outgoing.number = 0
        if self.waiting is not None:
            for outgoing in self.waiting:
                outgoing.number = 0

    @property
    def message_count(self) -> int:
        """Messages that wait or are in flight."""
        count = len(self.sender.in_flight)
        if self.waiting is not None:
            count += sum(1 for each in self.waiting if each.packet_id == 0)
        return count

    def _queued(self, outgoing: Outgoing) -> None:
        if self.expiry_interval > 0:
            self._numbered += 1
            outgoing.number = self._numbered
            self.journal.append(
                records.Queued(self.client_id, outgoing.number, outgoing.message, outgoing.first, outgoing.extra)
            )

    def _done(self, outgoing: Outgoing) -> None:
        if outgoing.number:
            self.journal.append(records.Done(self.client_id, outgoing.number))

    def _dropped(self, reason: str) -> None:
        self.surroundings.stats.publish_dropped += 1
        if not self._is_dropping:
            self._is_dropping = True
            self.surroundings.observer.dropping(self.client_id, reason)
