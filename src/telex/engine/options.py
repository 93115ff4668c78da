"""What a broker allows and how long it remembers."""

from typing import Final

from telex import codes, topics
from telex.codes import NEVER_EXPIRES

_ANY: Final = 1 << 40

LARGEST_PACKET_LIMIT: Final = 256_000_000
"""Below what the wire can say, so that a packet that came in can leave with some bytes of properties more."""


QUEUE_DROPS: Final = ("newest", "oldest")
DENIED_PUBLISHES: Final = ("drop", "disconnect")


class Options:
    """The limits of a broker. Sizes are in bytes, times in seconds.

    Raises:
        ValueError: a limit that MQTT cannot say.
    """

    def __init__(
        self,
        *,
        maximum_packet_size: int = 2_000_000,
        maximum_connect_size: int = 256 * 1024,
        maximum_payload_size: int = LARGEST_PACKET_LIMIT,
        receive_maximum: int = 1_000,
        maximum_qos: int = 2,
        retain_available: bool = True,
        topic_alias_maximum: int = 100,
        topic_alias_maximum_out: int = 100,
        maximum_keep_alive: int = 0,
        maximum_session_expiry: int = NEVER_EXPIRES,
        v3_session_expiry: int = 30 * 24 * 3_600,
        connect_timeout: int = 10,
        max_sessions: int = 100_000,
        max_subscriptions: int = 10_000,
        max_topic_levels: int = 200,
        max_inflight_messages: int = 1_000,
        max_queued_messages: int = 1_000,
        max_queued_bytes: int = 64 * 1024 * 1024,
        queue_drops: str = "newest",
        max_queue_memory: int = 64 * 1024 * 1024,
        max_outbox_bytes: int = 16 * 1024 * 1024,
        max_retained_messages: int = 100_000,
        max_retained_bytes: int = 256 * 1024 * 1024,
        retained_expiry: int = NEVER_EXPIRES,
        allow_empty_client_id: bool = True,
        client_id_prefix: str = "",
        wildcard_subscription_available: bool = True,
        shared_subscription_available: bool = True,
        subscription_identifier_available: bool = True,
        response_information: str = "",
        mount_point: str = "",
        v3_denied_publish: str = "drop",
    ) -> None:
        _check("maximum_packet_size", maximum_packet_size, 20, LARGEST_PACKET_LIMIT)
        _check("maximum_connect_size", maximum_connect_size, 20, LARGEST_PACKET_LIMIT)
        _check("maximum_payload_size", maximum_payload_size, 0, LARGEST_PACKET_LIMIT)
        _check("receive_maximum", receive_maximum, 1, codes.MAX_PACKET_ID)
        _check("maximum_qos", maximum_qos, 0, 2)
        _check("topic_alias_maximum", topic_alias_maximum, 0, 65_535)
        _check("topic_alias_maximum_out", topic_alias_maximum_out, 0, 65_535)
        _check("maximum_keep_alive", maximum_keep_alive, 0, 65_535)
        _check("maximum_session_expiry", maximum_session_expiry, 0, NEVER_EXPIRES)
        _check("v3_session_expiry", v3_session_expiry, 0, NEVER_EXPIRES)
        _check("connect_timeout", connect_timeout, 1, 3_600)
        _check("max_sessions", max_sessions, 1, _ANY)
        _check("max_subscriptions", max_subscriptions, 1, _ANY)
        _check("max_topic_levels", max_topic_levels, 1, 65_536)
        _check("max_inflight_messages", max_inflight_messages, 1, codes.MAX_PACKET_ID)
        _check("max_queued_messages", max_queued_messages, 1, _ANY)
        _check("max_queued_bytes", max_queued_bytes, 1, _ANY)
        if topics.has_wildcard(mount_point) or "\0" in mount_point:
            raise ValueError(f"mount_point is {mount_point!r}, expected the beginning of a topic, without + and #")
        _check_word("queue_drops", queue_drops, QUEUE_DROPS)
        _check_word("v3_denied_publish", v3_denied_publish, DENIED_PUBLISHES)
        _check("max_queue_memory", max_queue_memory, 1, _ANY)
        _check("max_outbox_bytes", max_outbox_bytes, 1, _ANY)
        _check("max_retained_messages", max_retained_messages, 1, _ANY)
        _check("max_retained_bytes", max_retained_bytes, 1, _ANY)
        _check("retained_expiry", retained_expiry, 1, NEVER_EXPIRES)
        self.maximum_packet_size = maximum_packet_size  # the largest packet that a client may send
        self.maximum_connect_size = maximum_connect_size  # the largest CONNECT: who sends it is a stranger yet
        self.maximum_payload_size = maximum_payload_size  # of a PUBLISH; a larger one is refused, and no more
        self.receive_maximum = receive_maximum  # messages above QoS 0 that a client may have in flight to us
        self.maximum_qos = maximum_qos
        self.retain_available = retain_available
        self.topic_alias_maximum = topic_alias_maximum  # that a client may use
        self.topic_alias_maximum_out = topic_alias_maximum_out  # that we use, if the client takes them
        self.maximum_keep_alive = maximum_keep_alive  # 0: any, also none
        self.maximum_session_expiry = maximum_session_expiry  # for any kept session
        self.v3_session_expiry = v3_session_expiry  # of v3 clients, which cannot say how long their sessions are kept
        self.connect_timeout = connect_timeout  # from the connection to the CONNECT
        self.max_sessions = max_sessions  # of clients that are connected or come back; others are refused
        self.max_subscriptions = max_subscriptions  # of one session; others are refused
        self.max_topic_levels = max_topic_levels  # of filters, and of topics whose message is retained
        self.max_inflight_messages = max_inflight_messages  # to a client, if it does not ask for less
        self.max_queued_messages = max_queued_messages  # that wait for one session; then some are dropped
        self.max_queued_bytes = max_queued_bytes  # of their payloads, the same
        self.queue_drops = queue_drops  # the newest: what comes to a queue that is full; or the oldest
        # Of all messages above QoS 0 that are on their way: what waits for kept sessions beyond it is on disk alone.
        self.max_queue_memory = max_queue_memory
        # That wait for one client's socket: beyond it QoS 0 is dropped, QoS 1 and 2 wait in the session.
        self.max_outbox_bytes = max_outbox_bytes
        self.max_retained_messages = max_retained_messages  # others are refused
        self.max_retained_bytes = max_retained_bytes  # of their payloads, the same
        self.retained_expiry = retained_expiry  # after which a retained message is forgotten
        self.allow_empty_client_id = allow_empty_client_id
        self.client_id_prefix = client_id_prefix  # of the client ids that we give, in front of something unique
        self.wildcard_subscription_available = wildcard_subscription_available
        self.shared_subscription_available = shared_subscription_available
        self.subscription_identifier_available = subscription_identifier_available
        self.response_information = response_information  # for who asks, with its client id for %c; empty: none
        self.mount_point = mount_point  # stands in front of all topics and filters of clients, who do not know it
        # What becomes of a v3 client that publishes what it may not: its message is dropped, or it is disconnected.
        self.v3_denied_publish = v3_denied_publish


def _check(name: str, value: int, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise ValueError(f"{name} is {value:,}, expected {lowest:,} to {highest:,}")


def _check_word(name: str, value: str, words: tuple[str, ...]) -> None:
    if value not in words:
        raise ValueError(f"{name} is {value!r}, expected one of {', '.join(words)}")
