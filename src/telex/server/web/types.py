"""What the API takes and gives, as JSON: its description is made of these, and so are its answers.

What is not as it stands here is refused with 400; what is, and makes no sense, with 422. A field says in a comment
what is not plain from its name; times are those of RFC 3339, in UTC.
"""

from datetime import datetime
from typing import Annotated, Generic, Literal, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType, field

Topic = Annotated[str, Meta(min_length=1, max_length=65_535, description="A topic name: no + and no #.")]
Filter = Annotated[str, Meta(min_length=1, description="A topic filter, as of SUBSCRIBE.")]
Age = Annotated[
    str, Meta(pattern=r"^[0-9]{1,9}[smhdw]?$", description="Seconds, or with a unit: 90s, 15m, 12h, 7d, 4w.")
]
Seconds = Annotated[int, Meta(ge=1, le=10 * 365 * 86_400)]
Qos = Annotated[int, Meta(ge=0, le=2)]
Name = Annotated[str, Meta(max_length=65_535)]
Named = Annotated[str, Meta(min_length=1, max_length=65_535)]
Token = Annotated[str, Meta(description="The `next` of the page before.")]
Limit = Annotated[int, Meta(ge=1, le=1_000, description="How many items at most.")]

Item = TypeVar("Item")


class Page(Struct, Generic[Item]):
    """A part of a list."""

    items: list[Item]
    next: str | None  # what to give as `after` for the next page; null: there is none


class Query(Struct, forbid_unknown_fields=True, kw_only=True):
    """Nothing may be asked for besides."""


class Paged(Query):
    """Which part of a list."""

    limit: Limit = 100
    after: Token | None = None


# Logging in


class Credentials(Struct, forbid_unknown_fields=True):
    """Who logs in."""

    user: Named
    password: Name


class Place(Struct):
    """Where MQTT is."""

    path: str
    client_id_prefix: str | UnsetType = UNSET  # what client ids have to begin with; not there: anything


class Me(Struct):
    """Who asks."""

    user: str | None
    administrator: bool
    token: str | None  # for the header X-Telex-Token, with a cookie; null: it is not needed
    mqtt: Place


# The broker


class ListenerInfo(Struct):
    """Where clients come in."""

    address: str
    protocol: str
    tls: bool
    clients: int


class TotalRates(Struct):
    """How fast counters grow, over the last five seconds."""

    messages_received_per_second: float
    messages_sent_per_second: float
    bytes_received_per_second: float
    bytes_sent_per_second: float
    dropped_per_second: float
    connections_per_second: float


class Latency(Struct):
    """How long the broker took from the first bytes of a turn to its last, in seconds; null: it was idle."""

    median: float | None
    p99: float | None


class Statistics(Struct):
    """Counters since the start, and what there is now."""

    clients: int
    sessions: int
    subscriptions: int
    shared_subscriptions: int
    retained: int
    retained_bytes: int
    connections: int  # that were accepted
    messages_received: int
    messages_sent: int
    bytes_received: int
    bytes_sent: int
    dropped: int
    refused: int  # connections that were turned away before their first byte
    bans: int
    rates: TotalRates
    latency: Latency


class QueueInfo(Struct):
    """What is on its way to clients at QoS 1 and 2, connected or not."""

    messages: int
    bytes: int


class BrokerInfo(Struct):
    """The broker."""

    name: str
    version: str
    compiled: bool
    started: datetime
    uptime: int  # seconds
    store: Literal["ok", "failing", "memory"]
    listeners: list[ListenerInfo]
    limits: dict[str, bool | int | str]
    statistics: Statistics
    memory: int | None  # bytes of the process; null: the system does not tell
    queue: QueueInfo


# Messages


class PublishProperties(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Properties of MQTT 5 that travel with a message."""

    content_type: Name | None = None
    response_topic: Topic | None = None
    correlation_data: Name | None = None  # base64
    message_expiry_interval: Annotated[int, Meta(ge=0, le=0xFFFFFFFF)] | None = None  # seconds
    payload_format_indicator: Annotated[int, Meta(ge=0, le=1)] | None = None
    user_properties: Annotated[list[tuple[Name, Name]], Meta(max_length=1_000)] = field(default_factory=list)


class PublishRequest(Struct, forbid_unknown_fields=True, kw_only=True):
    """A message to publish; its payload is text or base64, or empty without both."""

    topic: Topic
    payload: str | None = None
    payload_base64: str | None = None
    qos: Qos = 0
    retain: bool = False
    properties: PublishProperties = field(default_factory=PublishProperties)


class Published(Struct):
    """What became of it, in the words of MQTT 5: 0, or 16 if nobody subscribed."""

    reason_code: int
    reason: str


class Publisher(Struct):
    """Who published a message."""

    client_id: str | None  # null: it came by this API
    user: str | None


class RetainedItem(Struct, kw_only=True):
    """A retained message. Who published it is told to administrators."""

    topic: str
    size: int  # bytes of its payload
    qos: int
    published: datetime | None  # null: nobody wrote that down
    publisher: Publisher | None  # null: the broker itself, or who asks is no administrator
    expires: datetime | None  # null: never


class RetainedMessage(RetainedItem, kw_only=True):
    """The same with what it says."""

    payload: str | None  # null: it is no text in UTF-8
    payload_base64: str
    properties: PublishProperties


class RetainedQuery(Paged):
    """Which retained messages."""

    filter: Filter = "#"
    older_than: Age | None = None


class RetainedDelete(Query):
    """Which retained messages to delete."""

    filter: Filter
    older_than: Age | None = None
    dry_run: bool = False


class Deleted(Struct):
    """How many there were, and how many are gone: those that its user may clear."""

    matched: int
    removed: int


# Clients and sessions


class ClientRates(Struct):
    """How fast counters grow, since somebody looked before; at first, since it connected."""

    messages_received_per_second: float
    messages_sent_per_second: float
    bytes_received_per_second: float
    bytes_sent_per_second: float


class ClientInfo(Struct, kw_only=True):
    """A client that is connected, or a bridge: with its client id here, and the address of the remote broker."""

    client_id: str
    bridge: str | None  # its name; null: it is a client
    user: str | None  # of a bridge: whose rights it has here
    address: str
    listener: str  # empty: it is a bridge
    protocol: str
    version: str
    tls: str | None  # its version; null: none
    connected: datetime
    keep_alive: int
    clean_start: bool
    session_expiry: int | None  # seconds; null: for ever
    subscriptions: int
    queued: int
    in_flight: int
    messages_received: int
    messages_sent: int
    bytes_received: int
    bytes_sent: int
    rates: ClientRates
    will_topic: str | None


class Disconnection(Query):
    """Whether the client may come back."""

    ban: Seconds | None = None  # for which its client id is banned


class SessionInfo(Struct, kw_only=True):
    """What is remembered of a client, connected or not."""

    client_id: str
    connected: bool
    bridge: str | None  # whose it is; null: a client's
    user: str | None  # null: nobody, or it is away
    session_expiry: int | None  # seconds that it outlives its connection; null: for ever
    ends: datetime | None  # null: not as things are
    subscriptions: int
    queued: int
    in_flight: int
    dropped: int
    will_topic: str | None


class SubscriptionOptions(Struct):
    """What MQTT 5 lets a subscription say besides."""

    no_local: bool
    retain_as_published: bool
    identifier: int | None


class SubscriptionInfo(Struct):
    """A subscription."""

    client_id: str
    filter: str  # without $share and its group
    qos: int
    options: SubscriptionOptions
    share: str | None  # the group of a shared one


class SubscriptionQuery(Paged):
    """Which subscriptions: those that lie within a filter, or those of one client."""

    filter: Filter = "#"
    client_id: Annotated[str, Meta(min_length=1)] | None = None


# Bridges


class BridgeInfo(Struct, kw_only=True):
    """A bridge. Counters begin with the broker's start."""

    name: str
    state: Literal["open", "connecting", "waiting", "idle", "ended"]
    since: datetime  # when that state began
    address: str  # where it is connected, or has tried last
    reason: str | None  # why the last connection or attempt ended; null: none has
    next_attempt: datetime | None  # when it tries again; null: not by time
    version: str  # of the protocol
    tls: str | None  # its version; null: none, or no connection
    client_id: str  # at the remote broker
    local_client_id: str  # of its session here
    queued: int  # messages that wait here for the remote broker
    in_flight: int
    delay: float  # seconds from the arrival of a message here to the remote broker's word that it has it
    connections: int
    messages_received: int  # from the remote broker
    messages_sent: int
    bytes_received: int
    bytes_sent: int
    rates: ClientRates
    filtered: int  # messages that a filter held back
    looped: int  # messages that had been here, or had passed too many brokers
    rejected: int  # messages that the remote broker did not take
    refused: dict[str, str]  # topic filters that it may not subscribe to here or there, and why


# Bans, events, log


class BanInfo(Struct, kw_only=True):
    """A ban."""

    id: str
    address: str | None
    client_id: str | None
    user: str | None
    until: datetime
    why: str
    automatic: bool  # failed logins began it


class BanRequest(Struct, forbid_unknown_fields=True, kw_only=True):
    """A ban to begin: about all that it names together, and it names one at least."""

    address: Annotated[str, Meta(max_length=100)] | None = None
    client_id: Named | None = None
    user: Named | None = None
    seconds: Seconds = 3_600
    why: Annotated[str, Meta(max_length=300)] = ""


class EventInfo(Struct, kw_only=True):
    """Something that happened."""

    time: datetime
    kind: Literal["connected", "disconnected", "refused", "denied", "banned", "takeover"]
    client_id: str | None
    user: str | None
    address: str | None
    why: str
    rule: str | None
    count: int  # how often in a row


class EventQuery(Paged):
    """Which events; the newest come first."""

    kind: Literal["connected", "disconnected", "refused", "denied", "banned", "takeover"] | None = None


class LineInfo(Struct):
    """A line of the log."""

    time: datetime
    level: str
    text: str


class LineQuery(Paged):
    """Which lines of the log: from a level on; the newest come first."""

    level: Literal["debug", "info", "warning", "error"] = "debug"
