"""What happened in a life, in order: events, and how they are shown.

Knows what can be seen from outside: which packet a client or the broker wrote,
which one reached it, what an application was told. Knows no rule: those are the
referee's.
"""

import hashlib
from collections import Counter
from typing import NamedTuple

from telex.wire.packets import Packet


class Moved(NamedTuple):
    """The clock stands at ``now`` from here on."""

    now: float


class Ticked(NamedTuple):
    """The broker is told that a second has begun: it does what is due by ``now``."""

    now: float


class Opened(NamedTuple):
    """A client has a new connection. Links are numbered; ``actor`` is who uses this one."""

    link: int
    actor: str
    version: int


class ClientWrote(NamedTuple):
    """A client wrote a packet."""

    link: int
    packet: Packet
    frame: bytes


class BrokerGot(NamedTuple):
    """A packet reached the broker."""

    link: int
    packet: Packet
    frame: bytes


class BrokerWrote(NamedTuple):
    """The broker wrote a packet; it may never leave."""

    link: int
    packet: Packet
    frame: bytes


class BrokerSent(NamedTuple):
    """Of what the broker wrote, these packets have left, and no other may leave now."""

    link: int
    frames: tuple[bytes, ...]


class ClientGot(NamedTuple):
    """A packet reached a client."""

    link: int
    packet: Packet
    frame: bytes


class BrokerLost(NamedTuple):
    """The broker is told that a connection is gone."""

    link: int


class ClientLost(NamedTuple):
    """A client gives a connection up, or notices that it is gone."""

    link: int


class Settled(NamedTuple):
    """The broker has done all that the last event asked for: that was a turn.

    ``dropped`` is by how much its drop counter went up; ``closed`` are the links
    whose connections it holds to be over since then.
    """

    dropped: int
    closed: tuple[int, ...]


class Committed(NamedTuple):
    """All turns up to this one are safe, and the broker knows it. Turns are counted from 1, over all crashes."""

    turn: int


class Failing(NamedTuple):
    """From now on nothing can be committed."""


class Recovered(NamedTuple):
    """It can again."""


class Crashed(NamedTuple):
    """The broker's process ended, and another begins with what is safe: all turns up to this one."""

    turn: int


class AppPublishes(NamedTuple):
    """An application gives its client a message of QoS 1 or 2; ``number`` is what it calls it."""

    actor: str
    number: int
    payload: bytes
    qos: int


class AppDone(NamedTuple):
    """A client tells its application that a message went well, or did not."""

    actor: str
    number: int
    reason_code: int


class AppGot(NamedTuple):
    """A client gives its application a message."""

    link: int
    topic: str
    payload: bytes
    qos: int


class Restarted(NamedTuple):
    """A client has forgotten everything that it knew."""

    actor: str


class Rested(NamedTuple):
    """Everybody is connected, and nothing moves any more."""


class Over(NamedTuple):
    """Everybody is gone, and the time of every session is over."""


PacketEvent = ClientWrote | BrokerGot | BrokerWrote | ClientGot
Event = (
    PacketEvent
    | Moved
    | Ticked
    | Opened
    | BrokerSent
    | BrokerLost
    | ClientLost
    | Settled
    | Committed
    | Failing
    | Recovered
    | Crashed
    | AppPublishes
    | AppDone
    | AppGot
    | Restarted
    | Rested
    | Over
)
_ARROWS = {ClientWrote: ">", BrokerGot: ">>>", BrokerWrote: "<", ClientGot: "<<<"}


class History:
    """The events of one life. ``counts`` is how often each kind of thing happened."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.counts: Counter[str] = Counter()

    @property
    def digest(self) -> str:
        """Equal for equal histories, in every process."""
        summary = hashlib.blake2b(digest_size=8)
        for event in self.events:
            if isinstance(event, PacketEvent):
                summary.update(f"{type(event).__name__} {event.link} ".encode() + event.frame)
            else:
                summary.update(repr(event).encode())
        return summary.hexdigest()


def line(event: Event) -> str:
    """An event for people. ``>`` left a client, ``>>>`` reached the broker; ``<`` and ``<<<`` the other way."""
    if isinstance(event, PacketEvent):
        return f"  link {event.link:<3} {_ARROWS[type(event)]:<3} {_shown(event.packet)}"
    if isinstance(event, Moved | Ticked):
        return f"{event.now:10.2f} {type(event).__name__.lower()}"
    if isinstance(event, Settled):
        closed = f", closed {', '.join(map(str, event.closed))}" if event.closed else ""
        return f"           settled{f', dropped {event.dropped}' if event.dropped else ''}{closed}"
    if isinstance(event, BrokerSent):
        return f"  link {event.link:<3} sent {len(event.frames)}"
    said = ", ".join(f"{name} {value!r}" for name, value in event._asdict().items())
    return f"  {type(event).__name__}: {said}"


def _shown(packet: Packet) -> str:
    """A packet without what it does not say."""
    said = []
    for field in type(packet).fields:
        value = getattr(packet, field)
        if value not in (None, 0, b"", ""):
            said.append(f"{field}={value!r}")
    return f"{type(packet).__name__}({', '.join(said)})"
