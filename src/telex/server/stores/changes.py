"""What the records of some turns come to: the rows that a store has to write for them.

A message that was queued and acknowledged in the meantime leaves nothing to
write. Knows no database.
"""

from typing import Final

from telex import codes
from telex.engine import records
from telex.engine.message import Message
from telex.wire.packets import Will
from telex.wire.properties import Properties, encode_properties

PACKET_IDS: Final = 1 << 16
"""The key of an owned packet id is its session's number times this, and the id."""


class Changes:
    """Rows to be written and rows to be deleted. Empty, until records are added.

    Rows of sessions that ended may still be among those to be written: ``ended``
    is for the end of the transaction.
    """

    def __init__(self) -> None:
        self.queued: dict[int, records.Queued] = {}  # by number: new rows
        self.sent: dict[int, int] = {}  # number -> packet id: new rows
        self.released: dict[int, int] = {}  # number -> packet id: replaced rows, in order
        self.done: list[int] = []  # numbers of rows that are there
        self.owned: dict[int, None] = {}  # keys of new rows
        self.disowned: dict[int, None] = {}  # keys of rows that are there
        self.sessions: dict[int, records.SessionKept] = {}  # new or replaced rows; their clients are connected
        self.left: dict[int, records.SessionLeft] = {}  # to be changed after that
        self.ended: list[int] = []  # sessions that are over with all that is theirs
        self.subscriptions: dict[tuple[int, str], records.Subscribed | None] = {}  # None: deleted
        self.wills: dict[str, Will | None] = {}  # by client id; None: deleted
        self.retained: dict[str, Message | None] = {}  # by topic; None: deleted

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        rows = (self.queued, self.sent, self.released, self.done, self.owned, self.disowned)
        rare = (self.sessions, self.left, self.ended, self.subscriptions, self.wills, self.retained)
        return not any(rows) and not any(rare)

    def add(self, gathered: list[records.Record]) -> None:
        """Take in records, in their order."""
        for record in gathered:
            if isinstance(record, records.Queued):
                self.queued[record.number] = record
            elif isinstance(record, records.Sent):
                self.sent[record.number] = record.packet_id
            elif isinstance(record, records.Done):
                self._done(record.number)
            elif isinstance(record, records.Released):
                self.released[record.number] = record.packet_id
            elif isinstance(record, records.Owned):
                self._owned(record.session * PACKET_IDS + record.packet_id)
            elif isinstance(record, records.Disowned):
                self._disowned(record.session * PACKET_IDS + record.packet_id)
            elif isinstance(record, records.Retain):
                self.retained[record.message.topic] = record.message
            elif isinstance(record, records.Unretain):
                self.retained[record.topic] = None
            else:
                self._add_rare(record)

    def _done(self, number: int) -> None:
        self.sent.pop(number, 0)
        self.released.pop(number, 0)
        if self.queued.pop(number, None) is None:
            self.done.append(number)

    def _owned(self, key: int) -> None:
        if key in self.disowned:
            del self.disowned[key]
        else:
            self.owned[key] = None

    def _disowned(self, key: int) -> None:
        if key in self.owned:
            del self.owned[key]
        else:
            self.disowned[key] = None

    def _add_rare(self, record: records.Record) -> None:
        if isinstance(record, records.SessionKept):
            self.sessions[record.session] = record
            self.left.pop(record.session, None)
        elif isinstance(record, records.SessionLeft):
            self.left[record.session] = record
        elif isinstance(record, records.SessionEnded):
            self.sessions.pop(record.session, None)
            self.left.pop(record.session, None)
            self.ended.append(record.session)
        elif isinstance(record, records.Subscribed):
            self.subscriptions[record.session, record.topic_filter] = record
        elif isinstance(record, records.Unsubscribed):
            self.subscriptions[record.session, record.topic_filter] = None
        elif isinstance(record, records.Willed):
            self.wills[record.client_id] = record.will
        elif isinstance(record, records.Unwilled):
            self.wills[record.client_id] = None
        else:
            raise TypeError(f"{type(record).__name__} is no record that a store writes")

    # As values, one row behind the other, in the order of the columns

    def session_rows(self) -> list[object]:
        """Rows of ``sessions``."""
        rows: list[object] = []
        for kept in self.sessions.values():
            rows.extend((kept.session, kept.client_id, kept.expiry_interval, None, None))
        return rows

    def message_rows(self) -> "NewMessages":
        """Rows of ``queue`` and ``messages``: a message is one object for all who wait for it."""
        new = NewMessages()
        receivers: dict[int, list[records.Queued]] = {}
        for queued in self.queued.values():
            known = receivers.get(id(queued.message))
            if known is None:
                receivers[id(queued.message)] = [queued]
            else:
                known.append(queued)
        for group in receivers.values():
            if len(group) == 1:
                new.add_one(group[0])
            else:
                new.add(group)
        return new

    def in_flight_rows(self, releases: int) -> list[object]:
        """Rows of ``in_flight``; ``releases`` is the highest order of what was released so far."""
        rows: list[object] = []
        for number, packet_id in self.sent.items():
            if number not in self.released:
                rows.extend((number, packet_id, None))
        for number, packet_id in self.released.items():
            releases += 1
            rows.extend((number, packet_id, releases))
        return rows

    def retained_rows(self) -> tuple[list[object], list[str]]:
        """Rows of ``retained``, and the topics of those that are gone."""
        rows: list[object] = []
        gone: list[str] = []
        for topic, message in self.retained.items():
            if message is None:
                gone.append(topic)
            else:
                rows.extend((topic, message.payload, message.qos, listed(message.properties, codes.PUBLISH)))
                rows.extend((message.expires_at, message.publisher_id, message.publisher_user, message.published_at))
        return rows, gone


class NewMessages:
    """Values of new rows of ``queue`` and ``messages``; what most rows lack has statements of its own, for speed."""

    def __init__(self) -> None:
        self.plain: list[object] = []  # of queue: number, session, first, topic, payload, flags
        self.full: list[object] = []  # of queue: the same, and extra, shared, properties, expires_at
        self.messages: list[
            object
        ] = []  # for several sessions: id, receivers, topic, payload, flags, properties, expires_at
        self.of_messages: list[object] = []  # of queue: number, session, first, message, extra, shared

    def add_one(self, queued: records.Queued) -> None:
        """A message that waits for one session is in its row."""
        message = queued.message
        row = (queued.number, queued.session, queued.first, message.topic, message.payload, _flags(message))
        if queued.extra or queued.shared or message.properties is not None or message.expires_at is not None:
            self.full.extend(row)
            properties = listed(message.properties, codes.PUBLISH)
            self.full.extend((queued.extra or None, queued.shared or None, properties, message.expires_at))
        else:
            self.plain.extend(row)

    def add(self, group: list[records.Queued]) -> None:
        """A message that waits for several sessions is stored once, beside their rows."""
        message = group[0].message
        identifier = group[0].number  # no other message can have it
        self.messages.extend((identifier, len(group), message.topic, message.payload, _flags(message)))
        self.messages.extend((listed(message.properties, codes.PUBLISH), message.expires_at))
        for each in group:
            self.of_messages.extend((each.number, each.session, each.first, identifier))
            self.of_messages.extend((each.extra or None, each.shared or None))


def _flags(message: Message) -> int:
    return message.qos << 1 | (1 if message.retain else 0)


def listed(properties: Properties | None, packet_type: int) -> bytes | None:
    """Properties as a packet of that type carries them."""
    return None if properties is None else encode_properties(properties, packet_type)
