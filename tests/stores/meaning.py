"""What records come to, told plainly: the other side of the comparison with a store."""

from telex.engine import records
from telex.engine.message import Message
from telex.engine.records import Queued, Record
from telex.wire.properties import Properties


class Meaning:
    """What records come to, whatever way they say it. Two of them are equal if a broker would know the same."""

    def __init__(self, told: list[Record]) -> None:
        self.sessions: dict[int, list[object]] = {}
        self.subscriptions: dict[tuple[int, str], tuple[object, ...]] = {}
        self.wills: dict[str, tuple[object, ...]] = {}
        self.queued: dict[int, Queued] = {}  # by number, in order
        self.sent: dict[int, int] = {}  # number -> packet id; what is released comes last, in its order
        self.released: set[int] = set()
        self.owned: set[tuple[int, int]] = set()
        self.retained: dict[str, tuple[object, ...]] = {}
        for record in told:
            self.tell(record)

    def tell(self, record: Record) -> None:
        if isinstance(record, records.Queued):
            self.queued[record.number] = record
        elif isinstance(record, records.Sent):
            self.sent[record.number] = record.packet_id
        elif isinstance(record, records.Released):
            self.sent[record.number] = self.sent.pop(record.number)
            self.released.add(record.number)
        elif isinstance(record, records.Done):
            self.done(record.number)
        elif isinstance(record, records.Owned):
            self.owned.add((record.session, record.packet_id))
        elif isinstance(record, records.Disowned):
            self.owned.remove((record.session, record.packet_id))
        elif isinstance(record, records.Retain):
            self.retained[record.message.topic] = (*in_words(record.message), record.message.publisher_id)
        elif isinstance(record, records.Unretain):
            self.retained.pop(record.topic, None)
        elif isinstance(record, records.Willed):
            will = record.will
            self.wills[record.client_id] = (will.topic, will.payload, will.qos, will.retain, said_in(will.properties))
        elif isinstance(record, records.Unwilled):
            self.wills.pop(record.client_id, None)
        elif isinstance(record, records.Subscribed):
            options = (record.qos, record.no_local, record.retain_as_published, record.identifier)
            self.subscriptions[record.session, record.topic_filter] = options
        elif isinstance(record, records.Unsubscribed):
            self.subscriptions.pop((record.session, record.topic_filter), None)
        elif isinstance(record, records.SessionKept):
            self.sessions[record.session] = [record.client_id, record.expiry_interval]
        elif isinstance(record, records.SessionLeft):
            self.sessions[record.session][2:] = [record.ends_at, record.will_at]
        else:
            assert isinstance(record, records.SessionEnded)
            self.end(record.session)

    def done(self, number: int) -> None:
        del self.queued[number]
        self.sent.pop(number, None)
        self.released.discard(number)

    def end(self, session: int) -> None:
        del self.sessions[session]
        for number in [each.number for each in self.queued.values() if each.session == session]:
            self.done(number)
        self.owned = {each for each in self.owned if each[0] != session}
        self.subscriptions = {key: value for key, value in self.subscriptions.items() if key[0] != session}

    def of_session(self, session: int) -> list[Queued]:
        """The messages of a session, in order."""
        return [each for each in self.queued.values() if each.session == session]

    def said(self) -> dict[str, object]:
        """All of it, to be compared."""
        return {
            "sessions": self.sessions,
            "subscriptions": self.subscriptions,
            "wills": self.wills,
            "messages": {
                session: [
                    (each.number, in_words(each.message), each.first, each.extra, each.shared)
                    for each in sorted(self.of_session(session), key=lambda each: each.number)
                ]
                for session in self.sessions
            },
            "in flight": sorted((number, packet_id) for number, packet_id in self.sent.items()),
            "released": {
                session: [
                    number for number in self.sent if number in self.released and self.queued[number].session == session
                ]
                for session in self.sessions
            },
            "owned": self.owned,
            "retained": self.retained,
        }


def in_words(message: Message) -> tuple[object, ...]:
    """All of a message that outlives the process."""
    properties = said_in(message.properties)
    return message.topic, message.payload, message.qos, message.retain, properties, message.expires_at


def said_in(properties: Properties | None) -> str:
    """What properties say; none at all say as much as none among them."""
    return repr(properties or Properties())
