"""A session: what a client id remembers, connected or not (section 4.1).

Knows its subscriptions and the messages in flight to its client; what has to
wait is in its ``queue``. Knows no other session; ``engine.py`` knows them all.
"""

from collections.abc import Callable
from typing import Final

from telex import topics
from telex.codes import MAX_PACKET_ID, MQTT_5, NEVER_EXPIRES, PropertyId
from telex.engine import records
from telex.engine.crossing import Crossing
from telex.engine.deadlines import Deadlines, Timed
from telex.engine.message import PUBLISH_FIRST, Message
from telex.engine.outbox import Outbox
from telex.engine.permissions import EVERYTHING, Permissions, receiving
from telex.engine.queue import Outgoing, Queue
from telex.engine.samples import Samples
from telex.engine.seams import Client
from telex.engine.surroundings import Surroundings
from telex.flow import Receiver, Sender
from telex.wire.data import ONE_BYTE, encode_variable
from telex.wire.encode import PUBREL_FIRST, encode_acknowledgement
from telex.wire.packets import Will

_DUP: Final = 0x08
_NO_LIMIT: Final = 1 << 60
# Why a client does not get a message.
_NOT_TAKEN: Final = "it reads too slowly, or the message is too large for it"
_TOO_LARGE: Final = "the message is too large for it"
_NOT_ALLOWED: Final = "it may not receive this topic any more"
_QUEUE_FULL: Final = "as much waits for it as max_queued_messages and max_queued_bytes allow"
_MEMORY_FULL: Final = "as much waits for all clients as max_queue_memory allows"

_IDENTIFIER_PROPERTY: Final = ONE_BYTE[PropertyId.SUBSCRIPTION_IDENTIFIER.value]


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
        is_sampled: bool = False,
    ) -> None:
        self.session = session
        self.topic_filter = topic_filter  # as the client wrote it, with $share and group
        self.qos = qos  # the maximum that was granted
        self.no_local = no_local
        self.retain_as_published = retain_as_published
        self.is_shared = topics.is_shared(topic_filter)
        self.is_sampled = is_sampled  # its messages go into the session's ``samples``
        self.identifiers = identifiers
        self.extra = b"".join(  # the identifiers as PUBLISH carries them [MQTT-3.3.4-3]
            [_IDENTIFIER_PROPERTY + encode_variable(each, "subscription identifier") for each in identifiers]
        )

    def limited(self, topic: str) -> "Subscription | None":
        """The same as far as its client may receive a topic; None: it may not."""
        permissions = self.session.permissions
        if not permissions.limits_receiving:
            return self
        grant = receiving(permissions, topic)
        if grant.max_qos >= self.qos:
            return self
        return None if grant.max_qos < 0 else self.at(grant.max_qos)

    def at(self, qos: int) -> "Subscription":
        """The same with another QoS."""
        return Subscription(
            self.session,
            self.topic_filter,
            qos,
            no_local=self.no_local,
            retain_as_published=self.retain_as_published,
            identifiers=self.identifiers,
            is_sampled=self.is_sampled,
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
        is_sampled=subscriptions[0].is_sampled,  # of sampled ones and others, nobody makes one
    )


class Session(Timed):
    """What is remembered for a client id. ``outbox`` is None while its client is away.

    ``on_due`` is called when its will or its end has come.
    """

    def __init__(self, client_id: str, surroundings: Surroundings, on_due: "Callable[[Session, float], None]") -> None:
        super().__init__()
        self.client_id = client_id
        self.number = 0  # in the records; 0: it was never kept, and makes none
        self.kept_at = 0  # the journal's position when its first record was written
        self.promised_at = 0  # what the journal must have committed before CONNACK says that the session is there
        self.surroundings = surroundings
        self.journal = surroundings.journal
        self._on_due = on_due
        self.expiry_interval = 0  # seconds that it outlives its connection; NEVER_EXPIRES: for ever
        self.permissions: Permissions = EVERYTHING  # of the client's last login
        self.user = ""  # the user name of the client's last login; empty: it had none, or has not been back yet
        self.client: Client | None = None
        self.outbox: Outbox | None = None
        self.subscriptions: dict[str, Subscription] = {}  # by filter as the client wrote it
        self.sender: Sender[Outgoing] = Sender()
        self.receiver = Receiver()
        self.queue = Queue(client_id, surroundings)  # what cannot be sent now
        self.crossing: Crossing | None = None  # None: its client is no bridge
        self.max_queued_messages = 0  # that wait for it; 0: as the options say
        self.max_queued_bytes = 0  # of their payloads; 0: as the options say
        self._doubted: bytearray | None = None  # by QoS 2 packet id, whether its client may own it, for all we know
        self._repeat = _DUP  # of the first byte of what is sent again; 0: to its client it is new
        self.samples: Samples | None = None  # of its sampled subscriptions; None: there were none on this connection
        self.ends_at = 0.0  # when its time is over; 0: while it is connected, or never
        self.will: Will | None = None
        self.is_will_recorded = False
        self.will_delay = 0  # seconds between the loss of the connection and the will
        self.will_at = 0.0  # when the will falls due; 0: not yet
        self.dropped = 0  # messages that its client should have got and did not
        self._told = 0  # of these, how many somebody was told of
        self._is_passing_over = False  # a row of messages of QoS 0 is being dropped
        self._is_dropping = False  # a row of others

    @property
    def is_kept(self) -> bool:
        """Whether it outlives its connection [MQTT-3.1.2-23]."""
        return self.expiry_interval > 0

    def deliver(self, message: Message, subscription: Subscription, now: float) -> None:
        """Send a message that matched, now or when the client can take it.

        At the lower of its QoS and the granted one [MQTT-3.8.4-8] [MQTT-4.8.2-3]; RETAIN stays
        only if the subscription asks for it [MQTT-3.3.1-12] [MQTT-3.3.1-13].
        """
        extra = subscription.extra
        crossing = self.crossing
        if crossing is not None:
            if not crossing.admits(message, now):
                return
            extra = crossing.completed(message, extra)
        qos = message.qos
        if qos > subscription.qos:
            qos = subscription.qos
        first = PUBLISH_FIRST | qos << 1
        if message.retain and subscription.retain_as_published:
            first |= 1
        if qos == 0:
            self._deliver_at_once(message, first, extra, now)
        else:
            shared = subscription.topic_filter if subscription.is_shared else ""
            self._deliver_safely(message, first, extra, shared, now)

    def deliver_retained(self, message: Message, subscription: Subscription, count: int, now: float) -> None:
        """Send one of ``count`` retained messages for a new subscription; RETAIN is set (v3 [MQTT-3.3.1-8]).

        They are there already and no more than they are, so all of them may wait
        [MQTT-3.3.1-9] beside what waits otherwise.
        """
        extra = subscription.extra
        crossing = self.crossing
        if crossing is not None:
            if not crossing.admits(message, now):
                return
            extra += crossing.written_on(message)
        qos = min(message.qos, subscription.qos)
        first = PUBLISH_FIRST | qos << 1 | 1
        if subscription.is_sampled and self.samples is not None:
            self.samples.add_retained(message, first, extra)
        elif qos == 0:
            self._deliver_at_once(message, first, extra, now)
        else:
            self._deliver_safely(message, first, extra, "", now, beside=count)

    @property
    def _room(self) -> int:
        """How many messages may wait."""
        return self.max_queued_messages or self.surroundings.options.max_queued_messages

    @property
    def _most(self) -> int:
        """And how many bytes their payloads may have together."""
        return self.max_queued_bytes or self.surroundings.options.max_queued_bytes

    def _deliver_at_once(self, message: Message, first: int, extra: bytes, now: float) -> None:
        """QoS 0: now or never, and never with DUP [MQTT-4.3.1-1]."""
        outbox = self.outbox
        if outbox is None:
            crossing = self.crossing
            if crossing is not None:
                crossing.keep(message, first, extra)
            return
        after = message.after
        if after > 0 and after <= self.journal.committed:
            after = 0
        if outbox.publish(message, first, extra, now, after):
            self._is_passing_over = False
        else:
            self._pass_over(message)

    def _pass_over(self, message: Message) -> None:
        self._count_dropped()
        if not self._is_passing_over:
            self._is_passing_over = True
            self.surroundings.observer.dropping(self.client_id, message.topic, _NOT_TAKEN)

    def _deliver_safely(
        self, message: Message, first: int, extra: bytes, shared: str, now: float, *, beside: int = 0
    ) -> None:
        """QoS 1 and 2: now, or as one of those that wait; or of so many ``beside`` them, whatever their payloads."""
        outbox = self.outbox
        queue = self.queue
        if outbox is not None and queue.is_empty and self.sender.can_send and outbox.has_room:
            outgoing = self._queued(message, first, extra, shared, now)
            queue.keep(outgoing)
            self._send(outgoing, now)
            return
        room = self._room + beside
        most = _NO_LIMIT if beside else self._most
        has_room = queue.has_room(message, now, room=room, most=most)
        drops_newest = self.surroundings.options.queue_drops == "newest" or len(message.payload) > most
        if not has_room and drops_newest:
            self._dropped(message, _QUEUE_FULL)
            return
        # Retained messages for a new subscription are there already, and none of them may be missing.
        if queue.fits_into_memory(message) or (beside and not queue.stored):
            outgoing = self._queued(message, first, extra, shared, now)
            queue.keep(outgoing)
            queue.append(outgoing)
        elif self.number and self.journal.gives_back:
            queue.leave_in_store(self._queued(message, first, extra, shared, now))
        else:
            self._dropped(message, _MEMORY_FULL)
            return
        if has_room:
            self._is_dropping = False
        else:
            self._drop_oldest(room=room, most=most)

    def _drop_oldest(self, *, room: int, most: int) -> None:
        for message in self.queue.drop_oldest(room=room, most=most):
            self._dropped(message, _QUEUE_FULL)

    def restored(self, outgoing: Outgoing) -> None:
        """A message that was recorded before the process ended is on its way again."""
        self.queue.keep(outgoing)
        if outgoing.packet_id == 0:
            self.queue.append(outgoing)

    def fetched(self, found: list[records.Queued], now: float) -> None:
        """The store has given the next messages that wait there; none: there are none."""
        self.queue.fetched(found)
        if self.surroundings.options.queue_drops == "oldest":
            self._drop_oldest(room=self._room, most=self._most)
        self.send_waiting(now)

    # On the way

    def _send(self, outgoing: Outgoing, now: float) -> None:
        outbox = self.outbox
        assert outbox is not None  # callers send only while there is a client
        message = outgoing.message
        journal = self.journal
        if outgoing.qos > outbox.maximum_qos:
            self._downgrade(outgoing, outbox.maximum_qos)
            if outgoing.qos == 0:
                self._send_unpromised(outgoing, now)
                return
        if self.crossing is not None:
            outgoing.extra = self.crossing.completed(message, outgoing.extra)
        must_be_stored = outgoing.number > 0 and outgoing.qos == 2
        may_leave = not must_be_stored and message.after <= journal.committed and not outbox.is_holding
        encoding = outbox.encoding(message, outgoing.first, outgoing.extra, now, gives_alias=may_leave)
        if encoding is None:
            # As if it had been sent and acknowledged [MQTT-3.1.2-25].
            self.queue.done(outgoing)
            self._dropped(message, _TOO_LARGE)
            return
        self.sender.send(outgoing)  # its first byte is without DUP [MQTT-4.3.2-2] [MQTT-4.3.3-2]
        after = message.after
        if outgoing.number:
            journal.append(records.Sent(outgoing.number, outgoing.packet_id, outgoing.qos))
            if must_be_stored:
                # After a crash the id must still mean this message: the client would take another for a repeat.
                after = journal.appended
        after = outbox.in_order(after, journal.committed)
        if self._doubted is not None:
            self._clear_id(outgoing, after)
        outbox.publish_numbered(message, encoding, outgoing.packet_id, after)

    def _clear_id(self, outgoing: Outgoing, after: int) -> None:
        """Have the client let go of a QoS 2 packet id that it may own: it would take a new message for a repeat."""
        doubted = self._doubted
        if doubted is not None and outgoing.qos == 2 and doubted[outgoing.packet_id]:
            outbox = self.outbox
            assert outbox is not None  # callers send only while there is a client
            doubted[outgoing.packet_id] = 0
            outbox.append(encode_acknowledgement(PUBREL_FIRST, outgoing.packet_id), after)

    def _downgrade(self, outgoing: Outgoing, qos: int) -> None:
        """Send it as the client takes it [MQTT-3.2.2-11]."""
        outgoing.qos = qos
        outgoing.first = outgoing.first & ~0x06 | qos << 1

    def _send_unpromised(self, outgoing: Outgoing, now: float) -> None:
        """Send at QoS 0 what waited in the queue, in its place there."""
        outbox = self.outbox
        assert outbox is not None  # as in ``_send``
        message = outgoing.message
        after = outbox.in_order(message.after, self.journal.committed)
        self.queue.done(outgoing)
        if not outbox.publish(message, outgoing.first, outgoing.extra, now, after):
            self._dropped(message, _TOO_LARGE)

    def send_waiting(self, now: float) -> None:
        """Send of what waits as much as the client takes now, in order [MQTT-4.6.0-5] [MQTT-4.6.0-6]."""
        outbox = self.outbox
        if outbox is None:
            return
        queue = self.queue
        sender = self.sender
        outgoing = queue.first()
        while outgoing is not None and outbox.has_room:
            if outgoing.packet_id > 0:  # in flight since an earlier connection, never to expire [MQTT-4.3.3-7]
                if not outgoing.is_released and not sender.can_send_again:
                    break
                queue.take()
                if outgoing.is_released or self._may_receive(outgoing):
                    self._send_again(outgoing, now)
                else:
                    self._give_up(outgoing, _NOT_ALLOWED)
            elif outgoing.message.is_expired(now):  # [MQTT-3.3.2-5]
                queue.done(queue.take())
            elif not self._may_receive(outgoing):
                queue.done(queue.take())
                self._dropped(outgoing.message, _NOT_ALLOWED)
            elif sender.can_send:
                self._send(queue.take(), now)
            else:
                break
            outgoing = queue.first()
        queue.fetch_if_short()

    def _send_again(self, outgoing: Outgoing, now: float) -> None:
        """Repeat what the client has not acknowledged, under its old id [MQTT-4.4.0-1]."""
        outbox = self.outbox
        assert outbox is not None  # send_waiting made sure
        if self.sender.in_flight.get(outgoing.packet_id) is not outgoing:
            return  # acknowledged after all, while it waited for its turn
        # What the earlier connection could not say any more may still wait for the journal.
        journal = self.journal
        after = journal.appended if outgoing.number and outgoing.qos == 2 else outgoing.message.after
        after = outbox.in_order(after, journal.committed)
        if outgoing.is_released:
            outbox.append(encode_acknowledgement(PUBREL_FIRST, outgoing.packet_id), after)
            return
        if outgoing.qos > outbox.maximum_qos:  # it takes less than on the connection before
            self._downgrade(outgoing, outbox.maximum_qos)
            if outgoing.qos == 0:
                del self.sender.in_flight[outgoing.packet_id]
                self._send_unpromised(outgoing, now)
                return
        if self.crossing is not None:
            outgoing.extra = self.crossing.completed(outgoing.message, outgoing.extra)
        first = outgoing.first | self._repeat
        encoding = outbox.encoding(outgoing.message, first, outgoing.extra, now, gives_alias=False)
        if encoding is not None:
            self.sender.send_again(outgoing)  # [MQTT-3.3.1-1]
            if self._repeat == 0:  # it may be new to somebody who has known us before
                self._clear_id(outgoing, after)
            outbox.publish_numbered(outgoing.message, encoding, outgoing.packet_id, after)
            return
        self._give_up(outgoing, _TOO_LARGE)  # this time the client takes smaller packets only

    def _may_receive(self, outgoing: Outgoing) -> bool:
        """Whether the client may still get a message: it may be another user now, or have lost a right (R6)."""
        crossing = self.crossing
        if crossing is not None and not crossing.still_admits(outgoing.message):
            return False
        return receiving(self.permissions, outgoing.message.topic).max_qos >= 0

    def _give_up(self, outgoing: Outgoing, reason: str) -> None:
        """End the exchange of a message that was in flight and is not sent again."""
        outbox = self.outbox
        assert outbox is not None  # send_waiting made sure
        if self.sender.in_flight.get(outgoing.packet_id) is not outgoing:
            return  # acknowledged after all, while it waited for its turn
        journal = self.journal
        self._dropped(outgoing.message, reason)
        if outgoing.qos == 2:
            # It may own the message, and would take another one with this id for a repeat: it must let go first.
            self._release(outgoing)
            after = outbox.in_order(journal.appended, journal.committed)
            outbox.append(encode_acknowledgement(PUBREL_FIRST, outgoing.packet_id), after)
        else:
            del self.sender.in_flight[outgoing.packet_id]
            self.queue.done(outgoing)

    def on_puback(self, packet_id: int, now: float) -> None:
        """The client owns a QoS 1 message, or refused it; then it goes to nobody else [MQTT-4.8.2-6].

        An id that nobody waits for is ignored.
        """
        outgoing = self.sender.on_puback(packet_id)
        if outgoing is not None:
            self.queue.done(outgoing)
            if self.crossing is not None:
                self.crossing.done(outgoing, now)
            if not self.queue.is_empty:
                self.send_waiting(now)

    def on_pubrec(self, packet_id: int, reason_code: int, now: float) -> bool:
        """The client owns a QoS 2 message, or refused it [MQTT-4.8.2-6]: whether the id was known."""
        outgoing = self.sender.in_flight.get(packet_id)
        if outgoing is None or outgoing.qos != 2:
            return False
        if reason_code < 0x80:
            self._release(outgoing)
        elif not outgoing.is_released:  # what it accepted before it cannot refuse
            self.sender.on_pubrec(packet_id, reason_code)
            self.queue.done(outgoing)
            self.send_waiting(now)
        return True

    def _release(self, outgoing: Outgoing) -> None:
        """Only the packet id of a QoS 2 message is still in use, until PUBCOMP."""
        is_first = not outgoing.is_released
        self.sender.on_pubrec(outgoing.packet_id, 0)
        if outgoing.number and is_first:
            self.journal.append(records.Released(outgoing.number, outgoing.packet_id))

    def on_pubcomp(self, packet_id: int, now: float) -> None:
        """The exchange of a QoS 2 message is over. An id that nobody waits for is ignored."""
        outgoing = self.sender.on_pubcomp(packet_id)
        if outgoing is not None:
            self.queue.done(outgoing)
            if self.crossing is not None:
                self.crossing.done(outgoing, now)
            if not self.queue.is_empty:
                self.send_waiting(now)

    def own(self, packet_id: int) -> None:
        """Take in a QoS 2 PUBLISH from the client, which comes for the first time."""
        self.receiver.accept(packet_id)
        if self.number:
            self.journal.append(records.Owned(self.number, packet_id))

    def disown(self, packet_id: int) -> bool:
        """Take in a PUBREL from the client: whether the id was owned."""
        was_owned = self.receiver.release(packet_id)
        if was_owned and self.number:
            self.journal.append(records.Disowned(self.number, packet_id))
        return was_owned

    def opened(self, client: Client, outbox: Outbox, receive_maximum: int, allowed: int) -> None:
        """A connection of the client begins; what is in flight goes first (S7: in front of what waits)."""
        self.client = client
        self.outbox = outbox
        self._repeat = _DUP
        # A v3 client cannot be told how many it may have in flight.
        self.receiver.resume(allowed if outbox.version == MQTT_5 else _NO_LIMIT)
        outbox.receiver = self.receiver
        self.queue.begin_again(self.sender.resume(receive_maximum))

    def forgotten(self) -> None:
        """The client begins a new session of its own, and knows nothing of this one; ``opened`` came before.

        What is in flight is sent to it as new, but for what it has accepted; its own packet ids are free.
        """
        self._repeat = 0
        for outgoing in [each for each in self.sender.in_flight.values() if each.is_released]:
            del self.sender.in_flight[outgoing.packet_id]
            self.queue.done(outgoing)
        for packet_id in list(self.receiver.owned):
            if self.number:
                self.journal.append(records.Disowned(self.number, packet_id))
        self.receiver.owned = {}

    def doubt_ids(self, *, is_present: bool) -> None:
        """The client may own QoS 2 packet ids that we do not know of, if it has a session: one of us has forgotten.

        The first time that one of them is used, a PUBREL goes in front.
        """
        self._doubted = bytearray(b"\x01") * (MAX_PACKET_ID + 1) if is_present else None

    def send_kept(self, message: Message, first: int, extra: bytes, now: float) -> None:
        """Send a message of QoS 0 that its ``crossing`` has kept."""
        self._deliver_at_once(message, first, extra, now)

    def begin_samples(self, deadlines: Deadlines, period: float) -> None:
        """There is a sampled subscription, of this period in seconds, which is that of all from now on."""
        assert self.outbox is not None  # its client has just subscribed
        if self.samples is None:
            most_bytes = self.surroundings.options.max_outbox_bytes
            self.samples = Samples(
                self.outbox,
                deadlines,
                period,
                most_bytes,
                send=self._deliver_at_once,
                drop=self._pass_over,
                names=self._names_of,
            )
        self.samples.period = period

    def _names_of(self, publisher: object) -> tuple[str, str]:
        """Client id and user name of a publisher, as far as our client may know; empty ones of the broker itself."""
        if publisher is None or not self.permissions.knows_publishers:
            return "", ""
        assert isinstance(publisher, Session)  # so it was given to ``Engine.publish``
        return publisher.client_id, publisher.user

    def closed(self) -> None:
        """The connection of the client is over."""
        self.client = None
        self.outbox = None
        if self.samples is not None:
            self.samples.close()
            self.samples = None
        self._is_passing_over = False
        self._is_dropping = False

    def on_due(self, now: float) -> None:
        """Its will or its end has come."""
        self._on_due(self, now)

    def expires_at(self, now: float) -> float:
        """When the session ends if its client left now and does not come back; 0: never."""
        return 0.0 if self.expiry_interval == NEVER_EXPIRES else now + self.expiry_interval

    def undelivered_shared(self) -> list[Outgoing]:
        """What came by Shared Subscriptions and may go to another member when this session ends.

        Not a QoS 2 message in flight: nobody knows whether this client took it [MQTT-4.8.2-4].
        """
        outgoings = [each for each in self.sender.in_flight.values() if each.qos == 1]
        outgoings.extend(each for each in self.queue.waiting or () if each.packet_id == 0)
        return [each for each in outgoings if each.shared]

    def forget(self) -> None:
        """The session is over: what was on its way takes no memory any more, and makes no records."""
        self.number = 0
        for outgoing in self.sender.in_flight.values():
            outgoing.number = 0
            self.queue.done(outgoing)
        self.sender.in_flight = {}
        self.queue.forget()

    @property
    def message_count(self) -> int:
        """Messages that wait or are in flight."""
        return len(self.sender.in_flight) + self.queue.length

    def _queued(self, message: Message, first: int, extra: bytes, shared: str, now: float) -> Outgoing:
        """A message begins its way: write that down, if the session is a kept one."""
        outgoing = Outgoing(message, first, extra, shared)
        if self.crossing is not None:
            self.crossing.queued(outgoing, now)
        if self.number:
            surroundings = self.surroundings
            surroundings.last_message += 1
            number = outgoing.number = surroundings.last_message
            self.journal.append(
                records.Queued(number, self.number, outgoing.message, outgoing.first, outgoing.extra, outgoing.shared)
            )
        return outgoing

    def take_missed(self) -> int:
        """How many messages were dropped since the last call."""
        missed = self.dropped - self._told
        self._told = self.dropped
        return missed

    def _count_dropped(self) -> None:
        self.dropped += 1
        self.surroundings.stats.publish_dropped += 1

    def _dropped(self, message: Message, reason: str) -> None:
        self._count_dropped()
        if not self._is_dropping:
            self._is_dropping = True
            self.surroundings.observer.dropping(self.client_id, message.topic, reason)
