"""The engine: all sessions, and the way of a message between them (chapter 4).

Knows no bytes and no socket: ``connection.py`` turns one client's bytes into
calls of these methods. ``now`` is seconds on a clock that the caller keeps; it
never goes back.
"""

from collections.abc import Callable

from telex import topics
from telex.codes import NEVER_EXPIRES, ReasonCode
from telex.engine import records
from telex.engine.crossing import Crossing
from telex.engine.deadlines import Deadlines
from telex.engine.hops import Hops
from telex.engine.message import Message
from telex.engine.options import Options
from telex.engine.outbox import Outbox
from telex.engine.permissions import Permissions, is_reserved, publishing, receiving
from telex.engine.queue import Outgoing
from telex.engine.retained import Retained
from telex.engine.routes import Route
from telex.engine.seams import Client, Control, Gate, Journal, Observer
from telex.engine.session import Session, Subscription
from telex.engine.stats import Stats
from telex.engine.subscriptions import Subscriptions
from telex.engine.surroundings import Surroundings
from telex.wire.packets import SubscriptionRequest, Will
from telex.wire.properties import Properties


def message_of(
    topic: str, payload: bytes, qos: int, retain: bool, properties: Properties | None, now: float
) -> Message:
    """The message of a PUBLISH or a will, with what belongs to the packet alone taken off.

    ``properties`` become the message's own. DUP is the packet's, and not told [MQTT-3.3.1-3].
    """
    if properties is None:
        return Message(topic, payload, qos, retain)
    expires_at: float | None = None
    if properties.message_expiry_interval is not None:
        expires_at = now + properties.message_expiry_interval
        properties.message_expiry_interval = None
    properties.topic_alias = None
    properties.will_delay_interval = None
    return Message(topic, payload, qos, retain, properties, expires_at)


class Engine:
    """A broker without a network.

    Args:
        options: its limits.
        new_client_id: makes a client id that nobody has, for clients without one.
        journal: where what must outlive the process goes.
        gate: who may come in.
        observer: who is told of rare events.
        control: who gets what is published to ``$CONTROL/...``.
        on_ready: called when outboxes have something to send, although no bytes came and no time passed.
    """

    def __init__(
        self,
        options: Options,
        new_client_id: Callable[[], str],
        *,
        journal: Journal,
        gate: Gate,
        observer: Observer,
        control: Control | None = None,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self.on_ready = on_ready
        self.control = control or Control()
        self.options = options
        self.new_client_id = new_client_id
        self.journal = journal
        self.gate = gate
        self.observer = observer
        self.stats = Stats()
        self.deadlines = Deadlines()
        self.hops = Hops(new_client_id)
        self.sessions: dict[str, Session] = {}
        self.crossings: dict[str, Crossing] = {}  # by client id, of the bridges of ours: nobody may come with these ids
        self.subscriptions = Subscriptions()
        self.retained = Retained(self.deadlines, self._unretained)
        self.ready: list[Outbox] = []  # outboxes that have something to send
        self.holding: list[Outbox] = []  # outboxes where something waits for the journal
        self.unanswered: dict[Client, None] = {}  # v3 clients that sent what could not be stored, and got no answer
        self._ending: dict[str, int] = {}  # client id -> the record of the end of its kept session, if not committed
        self.last_session = 0  # the number that a session was given last in the records
        self._is_dropping_retained = False
        self._on_session_due = self.session_due  # one for all sessions: each mention of a method makes a new object
        self.surroundings = Surroundings(options, self.stats, journal, observer)

    def change_options(self, options: Options) -> None:
        """Go on with other limits. Connections that are there keep what they were told."""
        self.options = options
        self.surroundings.options = options

    def take_ready(self) -> list[Outbox]:
        """The outboxes that have something to send; from now on others gather."""
        ready = self.ready[:]
        self.ready.clear()
        return ready

    def committed(self) -> None:
        """The journal has come forward: what waited for that may leave."""
        position = self.journal.committed
        for client_id in [each for each, at in self._ending.items() if at <= position]:
            del self._ending[client_id]
        holding = self.holding[:]
        self.holding.clear()
        for outbox in holding:
            outbox.committed(position)

    def fetched(self, client_id: str, number: int, found: list[records.Queued], now: float) -> None:
        """The answer to ``Journal.fetch``: the next messages of a session, in order; none: there are none."""
        session = self.sessions.get(client_id)
        if session is not None and session.number == number:  # it may have ended meanwhile
            session.fetched(found, now)

    def recovered(self, now: float) -> None:
        """The journal can write again: who got no answer meanwhile is asked to send again, by its connection's end."""
        unanswered = list(self.unanswered)
        for client in unanswered:
            client.disconnect(ReasonCode.SERVER_BUSY, "what it sent could not be stored; it shall send again", now)

    def tick(self, now: float, most: int = -1) -> bool:
        """Do what falls due by now: time-outs, expiries, delayed wills, ``most`` of it. Whether that was all."""
        return self.deadlines.tick(now, most)

    # Sessions

    def assign_client_id(self, prefix: str = "") -> str:
        """A client id for a client that brings none [MQTT-3.2.2-16]."""
        while True:
            client_id = prefix + self.new_client_id()
            if client_id not in self.sessions and client_id not in self.crossings:  # somebody may have come with it
                return client_id

    def is_ending(self, client_id: str) -> bool:
        """Whether a kept session of the client has ended, and might come back if the process ended now."""
        return client_id in self._ending

    def open_session(
        self,
        client_id: str,
        client: Client,
        outbox: Outbox,
        *,
        clean_start: bool,
        expiry_interval: int,
        receive_maximum: int,
        allowed: int,
        permissions: Permissions,
        will: Will | None,
        now: float,
    ) -> tuple[Session, bool]:
        """Give a connection its session: the one that is there, or a new one; and whether it was there.

        ``receive_maximum`` is what the client takes in flight, ``allowed`` what it may have in flight to us.
        A connection that has it already is taken over from [MQTT-3.1.4-3].
        """
        session = self.sessions.get(client_id)  # [MQTT-3.1.3-2]
        if session is not None and session.client is not None:
            session.client.disconnect(
                ReasonCode.SESSION_TAKEN_OVER, "another connection came with the same client id", now
            )
            session = self.sessions.get(client_id)  # it ended if it was not kept
        if session is not None and clean_start:  # [MQTT-3.1.2-4] [MQTT-3.1.4-4]
            self.end_session(session, now)
            session = None
        is_present = session is not None  # [MQTT-3.1.2-5]
        if session is None:  # [MQTT-3.1.2-6]
            session = self.new_session(client_id)
            session.promised_at = self._ending.get(client_id, 0)  # that the former one does not come back
        self._tell_missed(session)
        self.deadlines.drop(session)
        session.ends_at = 0.0  # not while it is connected [MQTT-4.1.0-1]
        session.will_at = 0.0  # a will that waited is not sent any more [MQTT-3.1.3-9]
        self._set_will(session, will)  # [MQTT-3.1.2-7]
        self.change_permissions(session, permissions)
        session.opened(client, outbox, receive_maximum, allowed)
        self.subscriptions.came_back(session)
        if session.expiry_interval != expiry_interval:
            self.change_expiry(session, expiry_interval)
        elif session.number:
            self._record_kept(session)
        if session.number:
            # Also that its client is back: otherwise it might end, and its will be sent, as if it were not. While
            # nothing can be stored, that it is kept must do.
            session.promised_at = session.kept_at if self.journal.is_failing else self.journal.appended
        self.stats.clients_connected += 1
        self.stats.connections_opened += 1
        return session, is_present

    def change_permissions(self, session: Session, permissions: Permissions) -> bool:
        """Let a session do from now on what these permissions say: whether it lost no subscription by that.

        Subscriptions that it could not make any more are dropped, others may have to do with a lower QoS.
        """
        former = session.permissions
        session.permissions = permissions
        if former.limits_receiving or permissions.limits_receiving:
            self.subscriptions.change_permissions(session)
        has_all = True
        for subscription in list(session.subscriptions.values()):
            _, topic_filter = topics.split_shared(subscription.topic_filter)
            grant = permissions.grant_subscribe(topic_filter)
            if grant.max_qos < 0:
                self.unsubscribe(session, subscription.topic_filter)
                has_all = False
            elif grant.max_qos < subscription.qos:
                self._add_subscription(subscription.at(grant.max_qos))
        return has_all

    def change_expiry(self, session: Session, expiry_interval: int) -> None:
        """Let a session outlive its connection by that many seconds (sections 3.1.2.11.2, 3.14.2.2.2)."""
        if session.expiry_interval == expiry_interval:
            return
        session.expiry_interval = expiry_interval
        if session.number == 0:
            self.last_session += 1
            session.number = session.queue.session = self.last_session
            session.kept_at = self.journal.appended + 1
        self._record_kept(session)

    def _record_kept(self, session: Session) -> None:
        self.journal.append(records.SessionKept(session.number, session.client_id, session.expiry_interval))

    def new_session(self, client_id: str) -> Session:
        """A session for a client that has none."""
        session = self.sessions[client_id] = Session(client_id, self.surroundings, self._on_session_due)
        session.crossing = self.crossings.get(client_id)
        self.stats.clients_maximum = max(self.stats.clients_maximum, len(self.sessions))
        return session

    def restore_will(self, session: Session, will: Will) -> None:
        """Give a session the will that it had before the process ended; it is recorded already."""
        session.is_will_recorded = True
        session.will = will
        session.will_delay = _delay_of(will)

    def _set_will(self, session: Session, will: Will | None) -> None:
        session.will = will
        session.will_delay = 0
        if will is not None:
            session.will_delay = _delay_of(will)
            session.is_will_recorded = True
            self.journal.append(records.Willed(session.client_id, will))
        elif session.is_will_recorded:
            session.is_will_recorded = False
            self.journal.append(records.Unwilled(session.client_id))

    def close_session(self, session: Session, *, with_will: bool, now: float) -> None:
        """A session's connection is over. Without ``with_will`` its will is forgotten [MQTT-3.14.4-3]."""
        session.closed()
        self._tell_missed(session)
        self.stats.clients_connected -= 1
        if not with_will:
            self._set_will(session, None)
        self.leave_session(session, now)

    def _tell_missed(self, session: Session) -> None:
        count = session.take_missed()
        if count > 0:
            self.observer.missed(session.client_id, count, session.dropped)

    def leave_session(self, session: Session, now: float) -> None:
        """The client of a session is away from now on."""
        if not session.is_kept:
            self.end_session(session, now)
            return
        session.ends_at = session.expires_at(now)
        if session.will is not None:
            session.will_at = now + session.will_delay
            if session.will_delay == 0:
                self._publish_will(session, now)
        self.journal.append(records.SessionLeft(session.number, session.ends_at, session.will_at))
        self._wait_for(session)

    def end_session(self, session: Session, now: float) -> None:
        """Forget a session, whose client is away [MQTT-4.1.0-2]; a will that waited is published [MQTT-3.1.2-8]."""
        if session.number:
            self.journal.append(records.SessionEnded(session.number))
            if self.journal.appended > self.journal.committed:
                self._ending[session.client_id] = self.journal.appended
        session.expiry_interval = 0
        self.deadlines.drop(session)
        del self.sessions[session.client_id]
        for subscription in session.subscriptions.values():
            self.subscriptions.remove(subscription)
        session.subscriptions.clear()
        undelivered = session.undelivered_shared()
        session.forget()
        self._publish_will(session, now)
        for outgoing in undelivered:
            self._deliver_to_another(outgoing, now)
        crossing = self.crossings.get(session.client_id)
        if crossing is not None:
            crossing.ended(now)

    def session_due(self, session: Session, now: float) -> None:
        """A session's will or its end has come."""
        if 0 < session.will_at <= now:
            self._publish_will(session, now)
        if 0 < session.ends_at <= now:
            self.stats.clients_expired += 1
            self.end_session(session, now)
        else:
            self._wait_for(session)

    def _wait_for(self, session: Session) -> None:
        times = [time for time in (session.will_at, session.ends_at) if time > 0]
        if times:
            self.deadlines.set(session, min(times))

    def _publish_will(self, session: Session, now: float) -> None:
        will = session.will
        self._set_will(session, None)  # [MQTT-3.1.2-10]
        session.will_at = 0.0
        if will is None:  # v3 [MQTT-3.1.2-12]
            return
        grant = publishing(session.permissions, will.topic)
        if grant.max_qos >= will.qos and (grant.may_retain or not will.retain):  # they may have changed since CONNECT
            # Retained or not as it asks [MQTT-3.1.2-14] [MQTT-3.1.2-15].
            # Its properties are copied: the record of the will may not be written yet.
            properties = None if will.properties is None else will.properties.copy()
            message = message_of(will.topic, will.payload, will.qos, will.retain, properties, now)
            self.publish(message, session, now)
        else:
            reason = "it has no permission any more to publish its will"
            self.observer.dropping(session.client_id, will.topic, reason)

    def _deliver_to_another(self, outgoing: Outgoing, now: float) -> None:
        """Give a message of a session that ended to another member of its group (H1)."""
        if outgoing.message.is_expired(now):
            return
        group = self.subscriptions.group_of(outgoing.shared)
        member = None if group is None else group.choose(outgoing.message)
        if member is not None:
            member.session.deliver(outgoing.message, member, now)

    # Messages

    def publish(self, message: Message, publisher: Session | None, now: float) -> bool:
        """Bring a message to all that subscribed to its topic [MQTT-4.5.0-1]: whether there was anyone.

        ``publisher`` is the session that it came from, None for the broker itself.
        """
        route = self.subscriptions.route(message.topic)
        if route.is_control and publisher is not None:  # orders are for the broker, and for nobody else
            self._receive_control(message, publisher, now)
            return True
        # A client's connection has said whether messages are retained, and kept to that [MQTT-3.3.1-8].
        if message.retain and (publisher is not None or self.options.retain_available):
            if publisher is not None:
                message.publisher_id = publisher.client_id
                message.publisher_user = publisher.user
            self._retain(message, now)
        if route.is_plain:
            for subscription in route.subscriptions:
                subscription.session.deliver(message, subscription, now)
        else:
            self._deliver_by(route, message, publisher, now)
        for sampled in route.sampled:
            sampled.take(message, publisher, now)
        return route.is_heard

    def _deliver_by(self, route: Route, message: Message, publisher: Session | None, now: float) -> None:
        """Bring a message to all that subscribed, each in the way that its subscription asks for."""
        if route.no_local:
            self._deliver_but_local(message, route.subscriptions, publisher, now)
        else:
            for subscription in route.subscriptions:
                subscription.session.deliver(message, subscription, now)
        for group in route.groups:
            member = group.choose(message)
            if member is not None:
                member.session.deliver(message, member, now)

    def _receive_control(self, message: Message, publisher: Session, now: float) -> None:
        def answer(topic: str, payload: bytes, now: float) -> None:
            publisher.deliver(Message(topic, payload, 0, False), Subscription(publisher, topic, 0), now)
            self.on_ready()

        self.control.receive(message.topic, message.payload, answer, now)

    def _deliver_but_local(
        self, message: Message, subscriptions: list[Subscription], publisher: Session | None, now: float
    ) -> None:
        for subscription in subscriptions:
            if subscription.session is not publisher:
                subscription.session.deliver(message, subscription, now)
            else:
                own = self.subscriptions.own_part(message.topic, subscription.session)
                if own is not None:
                    own.session.deliver(message, own, now)

    def may_retain(self, message: Message) -> bool:
        """Whether a message that asks to be retained can be: there is a limit to all of them together.

        What the broker says of itself always is.
        """
        options = self.options
        return (
            not message.payload
            or is_reserved(message.topic)
            or self.retained.has_room(message, options.max_retained_messages, options.max_retained_bytes)
        )

    def _retain(self, message: Message, now: float) -> None:
        if not self.may_retain(message):
            self.stats.publish_dropped += 1
            if not self._is_dropping_retained:
                self._is_dropping_retained = True
                reason = f"{self.retained.count:,} messages of {self.retained.bytes:,} bytes are retained"
                self.observer.dropping(message.publisher_id, message.topic, reason)
        elif message.payload:
            self._is_dropping_retained = False
            message.published_at = now
            if is_reserved(message.topic):
                self.retained.store(message)
            else:
                if self.options.retained_expiry != NEVER_EXPIRES:
                    message = message.expiring(now + self.options.retained_expiry)
                self.retained.store(message)
                self.journal.append(records.Retain(message))
        elif self.retained.remove(message.topic):  # [MQTT-3.3.1-6] [MQTT-3.3.1-7]
            self._unretained(message.topic)

    def _unretained(self, topic: str) -> None:
        if not is_reserved(topic):
            self.journal.append(records.Unretain(topic))

    # Subscriptions

    def subscribe(
        self, session: Session, request: SubscriptionRequest, qos: int, identifier: int, period: float = 0.0
    ) -> tuple[Subscription, bool]:
        """Make a subscription of a valid request, at the QoS granted: it, and whether its filter is new to the session.

        It is in force when this returns. Retained messages are asked for apart
        from it, since they follow SUBACK. With a period, in seconds, it is a sampled one.
        """
        if period > 0:
            session.begin_samples(self.deadlines, period)
        subscription = Subscription(
            session,
            request.topic_filter,
            qos,
            no_local=request.no_local,
            retain_as_published=request.retain_as_published,
            identifiers=(identifier,) if identifier else (),
            is_sampled=period > 0,
        )
        is_new = request.topic_filter not in session.subscriptions
        self._add_subscription(subscription)
        self.observer.subscribed(session.client_id, subscription.topic_filter, subscription.qos)
        return subscription, is_new

    def _add_subscription(self, subscription: Subscription) -> None:
        session = subscription.session
        session.subscriptions[subscription.topic_filter] = subscription  # [MQTT-3.8.4-3]
        self.subscriptions.add(subscription)  # no message comes between the old one and this [MQTT-3.8.4-4]
        if session.number:
            self.journal.append(
                records.Subscribed(
                    session.number,
                    subscription.topic_filter,
                    subscription.qos,
                    no_local=subscription.no_local,
                    retain_as_published=subscription.retain_as_published,
                    identifier=subscription.identifiers[0] if subscription.identifiers else 0,
                )
            )

    def unsubscribe(self, session: Session, topic_filter: str) -> bool:
        """Drop a subscription, whose filter must be the same to the letter [MQTT-3.10.4-1]: whether there was one."""
        subscription = session.subscriptions.pop(topic_filter, None)
        if subscription is None:
            return False
        # No new messages [MQTT-3.10.4-2]; those on their way stay in the session [MQTT-3.10.4-3].
        self.subscriptions.remove(subscription)
        if session.number:
            self.journal.append(records.Unsubscribed(session.number, topic_filter))
        self.observer.unsubscribed(session.client_id, topic_filter)
        return True

    def send_retained(
        self, subscription: Subscription, now: float, is_wanted: Callable[[Message], bool] = lambda message: True
    ) -> None:
        """Send a subscription the retained messages that it matches [MQTT-3.3.1-9], those of them that are wanted."""
        session = subscription.session
        permissions = session.permissions
        messages = [
            each
            for each in self.retained.matching(subscription.topic_filter, now)
            if receiving(permissions, each.topic).may_retain and is_wanted(each)
        ]
        for message in messages:
            limited = subscription.limited(message.topic)
            # [MQTT-3.8.3-3]
            if limited is not None and not (subscription.no_local and message.publisher_id == session.client_id):
                session.deliver_retained(message, limited, len(messages), now)


def _delay_of(will: Will) -> int:
    """Seconds between the loss of the connection and the will."""
    return 0 if will.properties is None else will.properties.will_delay_interval or 0
