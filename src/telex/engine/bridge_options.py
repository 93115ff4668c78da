"""How a bridge is to behave: what people say of it, checked.

Knows no message and no session; ``bridge.py`` does what is said here, ``passages.py`` leads messages
as the topics say.
"""

from typing import Final

from telex import topics
from telex.codes import MAX_PACKET_ID, MQTT_3_1, MQTT_3_1_1, MQTT_5, NEVER_EXPIRES

DIRECTIONS: Final = ("out", "in", "both")
VERSIONS: Final = (MQTT_3_1, MQTT_3_1_1, MQTT_5)


class BridgeTopic:
    """What goes over a bridge, and which way.

    Args:
        pattern: a topic filter, below the prefixes; empty: the prefixes are one topic each.
        direction: ``out`` to the remote, ``in`` from it, or ``both``.
        qos: the highest that is used.
        local_prefix: stands in front of the topics here, in place of
        remote_prefix: what stands in front of them there.
        maximum_payload_size: bytes; what has more does not go this way. 0: any.
        messages_per_second: what comes faster does not go this way, each way counted by
            itself; one second's worth may come at once. 0: any.

    Where several fit a topic, the first one decides.

    Raises:
        ValueError: something that cannot be.
    """

    def __init__(
        self,
        pattern: str,
        direction: str = "out",
        qos: int = 0,
        local_prefix: str = "",
        remote_prefix: str = "",
        *,
        maximum_payload_size: int = 0,
        messages_per_second: float = 0.0,
    ) -> None:
        if direction not in DIRECTIONS:
            raise ValueError(f"the direction is {direction!r}, expected one of {', '.join(DIRECTIONS)}")
        if not 0 <= qos <= 2:
            raise ValueError(f"the QoS is {qos}, expected 0, 1 or 2")
        if not pattern and not (local_prefix and remote_prefix):
            raise ValueError("a topic without a pattern needs both prefixes: they are its names here and there")
        for prefix in (local_prefix, remote_prefix):
            if topics.has_wildcard(prefix):
                raise ValueError(f"the prefix {topics.shown(prefix)} has a wildcard; that belongs into the pattern")
        self.local_filter = local_prefix + pattern
        self.remote_filter = remote_prefix + pattern
        for topic_filter in (self.local_filter, self.remote_filter):
            topics.check_filter(topic_filter)
            if topics.is_shared(topic_filter):
                raise ValueError(f"topic filter {topics.shown(topic_filter)}: a bridge has no shared subscriptions")
        self.direction = direction
        self.qos = qos
        self.local_prefix = local_prefix
        self.remote_prefix = remote_prefix
        self.maximum_payload_size = maximum_payload_size
        self.messages_per_second = messages_per_second

    @property
    def is_out(self) -> bool:
        """Whether messages of here go there."""
        return self.direction != "in"

    @property
    def is_in(self) -> bool:
        """Whether messages of there come here."""
        return self.direction != "out"


class BridgeOptions:
    """How a bridge behaves at both of its ends. Times are in seconds, sizes in bytes.

    Raises:
        ValueError: something that cannot be.
    """

    def __init__(
        self,
        *,
        remote_client_id: str,
        topics: list[BridgeTopic],
        local_client_id: str = "",
        version: int = MQTT_5,
        user_name: str | None = None,
        password: bytes | None = None,
        local_user: str = "",
        keep_alive: int = 60,
        connect_timeout: int = 20,
        clean_start: bool = False,
        local_clean_start: bool = False,
        session_expiry_interval: int = NEVER_EXPIRES,
        try_private: bool = True,
        attempt_unsubscribe: bool = True,
        outgoing_retain: bool = True,
        notifications: bool = True,
        notifications_local_only: bool = False,
        notification_topic: str = "",
        is_lazy: bool = False,
        threshold: int = 10,
        idle_timeout: float = 60.0,
        maximum_packet_size: int = 0,
        topic_alias_maximum: int = 10,
        receive_maximum: int = MAX_PACKET_ID,
        max_hops: int = 8,
        max_queued_messages: int = 1_000_000,
        max_queued_bytes: int = 1024 * 1024 * 1024,
    ) -> None:
        if version not in VERSIONS:
            raise ValueError(f"the version is {version}, expected 3, 4 or 5")
        if not remote_client_id:
            raise ValueError("the client id at the remote end is empty")
        self.remote_client_id = remote_client_id
        self.local_client_id = local_client_id or f"local.{remote_client_id}"
        self.topics = topics
        self.version = version
        self.user_name = user_name
        self.password = password
        self.local_user = local_user  # of the session here, for people
        self.keep_alive = keep_alive
        self.connect_timeout = connect_timeout  # from the network connection to CONNACK
        self.clean_start = clean_start  # the remote forgets us when the connection ends
        self.local_clean_start = local_clean_start  # and so does this end
        self.session_expiry_interval = session_expiry_interval  # at the remote, for v5
        self.try_private = try_private  # say that we are a bridge, to a v3 remote
        self.attempt_unsubscribe = attempt_unsubscribe  # from what only goes out
        self.outgoing_retain = outgoing_retain
        self.notifications = notifications
        self.notifications_local_only = notifications_local_only
        self.notification_topic = notification_topic or f"$SYS/broker/connection/{remote_client_id}/state"
        self.is_lazy = is_lazy  # connects when so many messages wait, and
        self.threshold = threshold
        self.idle_timeout = idle_timeout  # leaves when for so long there were none
        self.maximum_packet_size = maximum_packet_size  # of what we send, if the remote takes as much; 0: any
        self.topic_alias_maximum = topic_alias_maximum  # at each end
        self.receive_maximum = receive_maximum  # that the remote may have in flight
        self.max_hops = max_hops  # brokers that a message may have passed before; 0: nobody counts
        # That wait for the remote, in place of what the broker's options allow a client: what does not fit into
        # max_queue_memory is on disk. Of QoS 0, which a lazy one keeps in memory, no more than those options say.
        self.max_queued_messages = max_queued_messages
        self.max_queued_bytes = max_queued_bytes  # of their payloads
