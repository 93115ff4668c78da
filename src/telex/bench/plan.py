"""What is asked of a run: who connects how, what they send to whom, how fast and for how long.

Knows what fits together. Knows no command line and carries nothing out.
"""

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, Literal

from telex.codes import MAX_PACKET_ID

if TYPE_CHECKING:  # the client is loaded when there is something to do
    from telex.client.dialing import Dialer

Kind = Literal["pub", "sub", "pairs", "fanout", "fanin", "latency", "connect", "churn", "mixed"]

KINDS: Final[dict[Kind, str]] = {
    "pub": "publishers alone: how much a broker takes in",
    "sub": "subscribers alone: what arrives of what others publish",
    "pairs": "each publisher has a subscriber of its own",
    "fanout": "one publisher, heard by all subscribers",
    "fanin": "all publishers, heard by one subscriber",
    "latency": "pairs, at a fixed rate: how long a message takes",
    "connect": "clients connect and leave, as fast as the broker lets them",
    "churn": "clients stay, subscribe to a topic and unsubscribe from it, again and again",
    "mixed": "publishers of every QoS and sizes, subscribers with wildcards, and some who come and go",
}

SMALLEST: Final = 16
"""Bytes of the smallest payload: who sent it, its number and when."""

LARGEST: Final = 16 * 1024 * 1024

MOST_PUBLISHERS: Final = 1 << 20

WINDOWS: Final = (1_000, 500, 20)
"""How many messages a publisher may be ahead of what has arrived, by QoS, unless the plan says it.

Mosquitto 2.0.11 loses messages when more are on their way, as it comes.
"""


MIXED_SIZES: Final = (1, 4, 16)
"""How large the payloads of ``mixed`` are, three publishers each: so many times the plan's size."""

_MOST_AHEAD: Final = 8 * 1024 * 1024
"""Bytes of payload that a publisher may be ahead of what has arrived, unless one message has more."""

_LEAST_MEETING: Final = (20, 1, 1)
"""How many messages each publisher may be ahead, by QoS, when those of many meet in one subscriber.

What is not acknowledged waits in no queue with a limit: there may be more of it.
"""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run.

    Args:
        kind: what is done.
        dialer: the way to the broker.
        version: of the protocol: 3 (MQTT 3.1), 4 (3.1.1) or 5.
        user: the user name; None: none.
        password: the password; None: none.
        publishers: how many connections publish; in ``connect`` and ``churn``, how many clients are at it at a time.
        subscribers: how many connections subscribe.
        idle: how many more connections do nothing, each with a subscription that nothing matches.
        idle_filter: the filters of each of these, in which ``{}`` stands for a number that no other filter has.
        subscriptions: how many such filters each of these has.
        retained: how many retained messages lie below the prefix while it runs; they are cleared behind it.
        qos: of each PUBLISH and each subscription.
        size: of each payload, in bytes.
        retain: whether messages are retained.
        topics: how many topics each publisher uses, by turns.
        depth: how many levels a topic has. With one or two, each publisher has a single topic, and nobody wildcards.
        prefix: the first level of all topics.
        share: the group of the subscribers' Shared Subscriptions; empty: they share nothing.
        wildcard: what of the subscribers' filters is a wildcard: nothing, the last level (``+``), or all behind the
            first two levels (``#``). Who hears all publishers has one filter then: the level of who publishes is ``+``
            too, and all behind the first level is ``#``.
        alias: whether publishers use topic aliases (MQTT 5).
        user_properties: how many User Properties each message has (MQTT 5).
        kept: whether the subscribers' sessions outlive their connections.
        rate: messages a second of all publishers together; 0: as fast as they arrive.
        window: how many messages each publisher may be ahead of what has arrived; 0: ``WINDOWS``.
        seconds: how long is measured.
        warm_up: seconds before that, which do not count.
        processes: how many processes share the work.
        keep_alive: seconds.
        connect_rate: connections a second while all come in; 0: as fast as they are taken.
        patience: seconds in which nothing moves, after which the run is over.
        watch: the process id of the broker, whose processor time and memory are told; 0: nobody's.

    Raises:
        ValueError: something of it does not fit together.
    """

    kind: Kind
    dialer: "Dialer"
    version: Literal[3, 4, 5] = 4
    user: str | None = None
    password: bytes | None = field(default=None, repr=False)
    publishers: int = 1
    subscribers: int = 1
    idle: int = 0
    idle_filter: str = "{prefix}/idle/{}"
    subscriptions: int = 1
    retained: int = 0
    qos: int = 0
    size: int = 64
    retain: bool = False
    topics: int = 1
    depth: int = 3
    prefix: str = "bench"
    share: str = ""
    wildcard: Literal["", "+", "#"] = ""
    alias: bool = False
    user_properties: int = 0
    kept: bool = False
    rate: float = 0.0
    window: int = 0
    seconds: float = 5.0
    warm_up: float = 1.0
    processes: int = 1
    keep_alive: int = 60
    connect_rate: float = 0.0
    patience: float = 10.0
    watch: int = 0

    def __post_init__(self) -> None:
        """Find what does not fit together."""
        if not SMALLEST <= self.size <= LARGEST:
            raise ValueError(f"a payload has from {SMALLEST} to {LARGEST} bytes, not {self.size}")
        if self.window > MAX_PACKET_ID:
            raise ValueError(f"no more than {MAX_PACKET_ID} messages can be on their way at a time")
        if self.version != 5 and (self.alias or self.user_properties or self.share):
            what = "topic aliases" if self.alias else "User Properties" if self.user_properties else "shared groups"
            raise ValueError(f"there are {what} in MQTT 5 only")
        if self.kind == "latency" and not self.rate:
            raise ValueError("latency is measured at a rate: say how many messages a second")
        if not 0 <= self.qos <= 2:
            raise ValueError(f"QoS {self.qos}, expected 0, 1 or 2")
        if self.depth < 1:
            raise ValueError("a topic has a level at least")
        if self.depth < 3 and (self.topics > 1 or self.wildcard) and self.kind not in ("connect", "churn"):
            raise ValueError("several topics of a publisher, and wildcards, need a third level")
        if self.kind in ("pairs", "latency") and self.subscribers not in (1, self.publishers):
            raise ValueError(f"{self.kind}: each publisher has a subscriber of its own, as many of one as of the other")
        if self.kind == "fanout" and self.publishers != 1:
            raise ValueError("fanout has one publisher; in mixed several are heard by all")
        if self.kind == "fanin" and self.subscribers != 1:
            raise ValueError("fanin has one subscriber; in mixed several hear all")
        if self.publishers >= MOST_PUBLISHERS:
            raise ValueError(f"no more than {MOST_PUBLISHERS:,} publishers can be told apart")

    @property
    def ahead(self) -> int:
        """How many messages each publisher may be ahead of what has arrived."""
        return self.window or _window(self.qos, self.size, self._meeting)

    @property
    def _meeting(self) -> int:
        """How many publishers' messages meet in one subscriber."""
        return self.publishers if self.kind in ("fanin", "mixed") else 1

    # In ``mixed`` publishers differ

    def qos_of(self, publisher: int) -> int:
        """The QoS of what a publisher sends."""
        return publisher % 3 if self.kind == "mixed" else self.qos

    def size_of(self, publisher: int) -> int:
        """Bytes of each of its payloads."""
        if self.kind != "mixed":
            return self.size
        return min(self.size * MIXED_SIZES[publisher // 3 % len(MIXED_SIZES)], LARGEST)

    def ahead_of(self, publisher: int) -> int:
        """How many messages it may be ahead of what has arrived."""
        return self.window or _window(self.qos_of(publisher), self.size_of(publisher), self._meeting)

    def described(self) -> dict[str, Any]:
        """What is asked, in the names of the fields; neither user nor password, nor what is of this machine only."""
        asked = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in _UNTOLD}
        return {**asked, "broker": self.dialer.address.place}


_UNTOLD: Final = ("dialer", "user", "password", "watch", "patience")


def _window(qos: int, size: int, meeting: int) -> int:
    most = min(WINDOWS[qos], max(1, _MOST_AHEAD // size))
    return max(most // meeting, min(most, _LEAST_MEETING[qos]))
