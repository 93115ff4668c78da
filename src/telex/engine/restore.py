"""From records to an engine: what a broker knew comes back after its process ended.

Knows what each record means for an engine that has just begun. Knows no store:
any that gives back the records in their order will do, and so will one that
gives back fewer, as long as they come to the same.
"""

from telex.engine import records
from telex.engine.engine import Engine
from telex.engine.queue import Outgoing
from telex.engine.session import Session, Subscription
from telex.wire.packets import Will


class _Returning:
    """A session that comes back, while its records are read."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.waiting: dict[int, Outgoing] = {}  # by number, in order
        self.left: records.SessionLeft | None = None  # None: its client was connected to the end


class Restoration:
    """Gives an engine that nobody has used yet what another one knew.

    ``apply`` each record in order, then ``finish``.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._returning: dict[int, _Returning] = {}  # by number of the session
        self._on_their_way: dict[int, tuple[_Returning, Outgoing]] = {}  # by number of the message
        self._wills: dict[str, Will] = {}  # by client id

    def apply(self, record: records.Record) -> None:
        """Take in the next record. What belongs to a session that is not there is passed over."""
        if isinstance(record, records.Queued):
            self._queued(record)
        elif isinstance(record, records.Sent | records.Released | records.Done):
            self._went_on(record)
        elif isinstance(record, records.Retain):
            self._engine.retained.store(record.message)
        elif isinstance(record, records.Unretain):
            self._engine.retained.remove(record.topic)
        elif isinstance(record, records.SessionKept):
            self._kept(record)
        elif isinstance(record, records.Willed):
            self._wills[record.client_id] = record.will
        elif isinstance(record, records.Unwilled):
            self._wills.pop(record.client_id, None)
        elif isinstance(
            record,
            records.SessionLeft
            | records.SessionEnded
            | records.Subscribed
            | records.Unsubscribed
            | records.Stored
            | records.Owned
            | records.Disowned,
        ):
            returning = self._returning.get(record.session)
            if returning is not None:
                self._of_session(returning, record)

    def finish(self, now: float) -> None:
        """All records were applied; the clients of all sessions are away now, and what fell due meanwhile happens."""
        engine = self._engine
        for returning in self._returning.values():
            self._finish_messages(returning)
        for client_id, will in self._wills.items():
            session = engine.sessions.get(client_id)
            if session is None:
                session = engine.new_session(client_id)  # it would have ended with its connection, and does so now
            engine.restore_will(session, will)
        left = {returning.session.client_id: returning.left for returning in self._returning.values()}
        for session in list(engine.sessions.values()):
            record = left.get(session.client_id)
            if record is None or not session.is_kept:
                engine.leave_session(session, now)
            else:
                session.ends_at = record.ends_at
                session.will_at = record.will_at
                engine.session_due(session, now)

    def _kept(self, record: records.SessionKept) -> None:
        engine = self._engine
        returning = self._returning.get(record.session)
        if returning is None:
            session = engine.new_session(record.client_id)
            session.number = session.queue.session = record.session
            engine.last_session = max(engine.last_session, record.session)
            returning = self._returning[record.session] = _Returning(session)
        returning.session.expiry_interval = record.expiry_interval
        returning.left = None

    def _of_session(self, returning: _Returning, record: records.Record) -> None:
        engine = self._engine
        session = returning.session
        if isinstance(record, records.Subscribed):
            subscription = Subscription(
                session,
                record.topic_filter,
                record.qos,
                no_local=record.no_local,
                retain_as_published=record.retain_as_published,
                identifiers=(record.identifier,) if record.identifier else (),
            )
            session.subscriptions[record.topic_filter] = subscription
            engine.subscriptions.add(subscription)
        elif isinstance(record, records.Unsubscribed):
            former = session.subscriptions.pop(record.topic_filter, None)
            if former is not None:
                engine.subscriptions.remove(former)
        elif isinstance(record, records.Owned):
            session.receiver.owned[record.packet_id] = None
        elif isinstance(record, records.Disowned):
            session.receiver.owned.pop(record.packet_id, None)
        elif isinstance(record, records.Stored):
            session.queue.found_in_store(record.count, record.size)
            engine.surroundings.last_message = max(engine.surroundings.last_message, record.last)
        elif isinstance(record, records.SessionLeft):
            returning.left = record
        else:
            self._ended(returning)

    def _ended(self, returning: _Returning) -> None:
        session = returning.session
        for subscription in session.subscriptions.values():
            self._engine.subscriptions.remove(subscription)
        for number in returning.waiting:
            del self._on_their_way[number]
        for outgoing in session.sender.in_flight.values():
            del self._on_their_way[outgoing.number]
        del self._returning[session.number]
        if self._engine.sessions.get(session.client_id) is session:  # another may have begun in the same turn
            del self._engine.sessions[session.client_id]

    def _queued(self, record: records.Queued) -> None:
        surroundings = self._engine.surroundings
        surroundings.last_message = max(surroundings.last_message, record.number)
        returning = self._returning.get(record.session)
        if returning is not None:
            outgoing = Outgoing(record.message, record.first, record.extra, record.shared)
            outgoing.number = record.number
            returning.waiting[record.number] = outgoing
            self._on_their_way[record.number] = (returning, outgoing)

    def _went_on(self, record: "records.Sent | records.Released | records.Done") -> None:
        found = self._on_their_way.get(record.number)
        if found is None:
            return
        returning, outgoing = found
        in_flight = returning.session.sender.in_flight
        if isinstance(record, records.Sent):
            outgoing.packet_id = record.packet_id
            in_flight[record.packet_id] = outgoing
            del returning.waiting[record.number]
        elif isinstance(record, records.Released):
            outgoing.is_released = True
            del in_flight[outgoing.packet_id]  # to the end: in the order of their PUBRECs [MQTT-4.6.0-4]
            in_flight[outgoing.packet_id] = outgoing
        else:
            del self._on_their_way[record.number]
            if outgoing.packet_id:
                del in_flight[outgoing.packet_id]
            else:
                del returning.waiting[record.number]

    def _finish_messages(self, returning: _Returning) -> None:
        session = returning.session
        for outgoing in session.sender.in_flight.values():
            session.restored(outgoing)
        for outgoing in returning.waiting.values():
            session.restored(outgoing)
