"""What must outlive the process: facts, in the order in which they became true.

A store that keeps them, and gives them back in this order, can rebuild the
broker. Only kept sessions and retained messages make records: QoS 0 traffic and
sessions that end with their connection make none.
"""

from telex.engine.message import Message


class Record:
    """A fact."""


class SessionKept(Record):
    """A session outlives its connection; for how many seconds."""

    def __init__(self, client_id: str, expiry_interval: int) -> None:
        self.client_id = client_id
        self.expiry_interval = expiry_interval


class SessionEnded(Record):
    """A session is over, with all that belonged to it."""

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id


class Subscribed(Record):
    """A session has a subscription; a former one with the same filter is replaced."""

    def __init__(
        self,
        client_id: str,
        topic_filter: str,
        qos: int,
        *,
        no_local: bool,
        retain_as_published: bool,
        identifier: int,
    ) -> None:
        self.client_id = client_id
        self.topic_filter = topic_filter
        self.qos = qos
        self.no_local = no_local
        self.retain_as_published = retain_as_published
        self.identifier = identifier  # 0: none


class Unsubscribed(Record):
    """A session has a subscription no more."""

    def __init__(self, client_id: str, topic_filter: str) -> None:
        self.client_id = client_id
        self.topic_filter = topic_filter


class Queued(Record):
    """A message waits for a session; ``number`` counts the session's messages."""

    def __init__(self, client_id: str, number: int, message: Message, first: int, extra: bytes) -> None:
        self.client_id = client_id
        self.number = number
        self.message = message
        self.first = first  # first byte of its PUBLISH: QoS and RETAIN
        self.extra = extra  # encoded properties that are the subscription's own


class Sent(Record):
    """A message that waited is in flight under a packet id."""

    def __init__(self, client_id: str, number: int, packet_id: int) -> None:
        self.client_id = client_id
        self.number = number
        self.packet_id = packet_id


class Released(Record):
    """A QoS 2 message in flight is the client's: only its packet id is still in use."""

    def __init__(self, client_id: str, packet_id: int) -> None:
        self.client_id = client_id
        self.packet_id = packet_id


class Done(Record):
    """A message waits no more and is not in flight: acknowledged, refused, expired or given up."""

    def __init__(self, client_id: str, number: int) -> None:
        self.client_id = client_id
        self.number = number


class Owned(Record):
    """A QoS 2 message came in under a packet id, and its sender must not send it again."""

    def __init__(self, client_id: str, packet_id: int) -> None:
        self.client_id = client_id
        self.packet_id = packet_id


class Disowned(Record):
    """A packet id that came in is free for a new QoS 2 message."""

    def __init__(self, client_id: str, packet_id: int) -> None:
        self.client_id = client_id
        self.packet_id = packet_id


class Retain(Record):
    """A message is its topic's retained message."""

    def __init__(self, message: Message) -> None:
        self.message = message


class Unretain(Record):
    """A topic has no retained message."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
