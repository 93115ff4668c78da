"""What must outlive the process: facts, in the order in which they became true.

A store that keeps them, and gives them back in this order, can rebuild the
broker (``restore.py``). Only kept sessions, retained messages and wills make
records: QoS 0 traffic and sessions that end with their connection make none.

What happens in one turn of the shell's loop belongs together: a store keeps
all records of a turn, or none. Times are seconds since 1970.
"""

from telex.engine.message import Message
from telex.wire.packets import Will


class Record:
    """A fact."""


class SessionKept(Record):
    """A session outlives its connection, and its client is connected.

    Said when the session begins, when its client comes back, and when its time changes.
    """

    def __init__(self, session: int, client_id: str, expiry_interval: int) -> None:
        self.session = session  # its number, which no other session that is there has
        self.client_id = client_id
        self.expiry_interval = expiry_interval  # seconds; 0: it ends with this connection after all


class SessionLeft(Record):
    """The client of a kept session is away."""

    def __init__(self, session: int, ends_at: float, will_at: float) -> None:
        self.session = session
        self.ends_at = ends_at  # when the session is over; 0: never
        self.will_at = will_at  # when its will falls due; 0: it has none


class SessionEnded(Record):
    """A session is over, with all that belonged to it."""

    def __init__(self, session: int) -> None:
        self.session = session


class Willed(Record):
    """A client has left a will with us, in place of any other. Its session need not be a kept one."""

    def __init__(self, client_id: str, will: Will) -> None:
        self.client_id = client_id
        self.will = will


class Unwilled(Record):
    """A client's will is published, or withdrawn."""

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id


class Subscribed(Record):
    """A session has a subscription; a former one with the same filter is replaced."""

    def __init__(
        self,
        session: int,
        topic_filter: str,
        qos: int,
        *,
        no_local: bool,
        retain_as_published: bool,
        identifier: int,
    ) -> None:
        self.session = session
        self.topic_filter = topic_filter
        self.qos = qos
        self.no_local = no_local
        self.retain_as_published = retain_as_published
        self.identifier = identifier  # 0: none


class Unsubscribed(Record):
    """A session has a subscription no more."""

    def __init__(self, session: int, topic_filter: str) -> None:
        self.session = session
        self.topic_filter = topic_filter


class Queued(Record):
    """A message waits for a session."""

    def __init__(self, number: int, session: int, message: Message, first: int, extra: bytes, shared: str) -> None:
        self.number = number  # counts what waits for any session; later messages have higher ones
        self.session = session
        self.message = message  # the same object for all sessions that it waits for
        self.first = first  # first byte of its PUBLISH: QoS and RETAIN
        self.extra = extra  # encoded properties that are the subscription's own
        self.shared = shared  # the Shared Subscription that it came by; empty: none


class Sent(Record):
    """A message that waited is in flight under a packet id."""

    def __init__(self, number: int, packet_id: int, qos: int = 1) -> None:
        self.number = number
        self.packet_id = packet_id
        self.qos = qos  # 1 or 2


class Released(Record):
    """A QoS 2 message in flight is the client's: only its packet id is still in use."""

    def __init__(self, number: int, packet_id: int) -> None:
        self.number = number
        self.packet_id = packet_id


class Done(Record):
    """A message waits no more and is not in flight: acknowledged, refused, expired or given up."""

    def __init__(self, number: int) -> None:
        self.number = number


class Stored(Record):
    """Messages wait for a session in the store alone. Said by a store that gives back what it keeps."""

    def __init__(self, session: int, count: int, size: int, last: int) -> None:
        self.session = session
        self.count = count
        self.size = size  # bytes of all their payloads
        self.last = last  # the highest number among them


class Owned(Record):
    """A QoS 2 message came in under a packet id, and its sender must not send it again."""

    def __init__(self, session: int, packet_id: int) -> None:
        self.session = session
        self.packet_id = packet_id


class Disowned(Record):
    """A packet id that came in is free for a new QoS 2 message."""

    def __init__(self, session: int, packet_id: int) -> None:
        self.session = session
        self.packet_id = packet_id


class Retain(Record):
    """A message is its topic's retained message."""

    def __init__(self, message: Message) -> None:
        self.message = message


class Unretain(Record):
    """A topic has no retained message."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
