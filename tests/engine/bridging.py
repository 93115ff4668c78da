"""Brokers that bridges connect, in the words of ``world.py``: a network of worlds, with one clock, that a hand cuts.

::

    network = Network()
    home, cloud = network.broker("home"), network.broker("cloud")
    link = home.bridges(cloud, BridgeTopic("a/#", "both", 1))
    home.client("pub").publishes("a/b", b"x", qos=1)
    link.is_cut_after(3)  # packets, of either end

A link carries whole packets, one after the other, each in a turn of its own. Both of its
ends are the engine's, and both are strict: what one takes for a breach of the protocol ends
the link with a reason that ``reasons`` tells, and a story that ends it on purpose says so.
"""

from collections import deque
from typing import Any, Self

from telex.codes import MQTT_5
from telex.engine.bridge import Bridge, BridgeConnection, BridgeOptions, BridgeTopic, Keeper
from telex.engine.message import Message
from telex.engine.options import Options
from telex.engine.permissions import EVERYTHING, Permissions
from telex.engine.session import Session
from telex.engine.visit import Visit
from telex.wire.decode import Decoder
from telex.wire.packets import Packet
from tests.engine.world import Client, Ledger, Manners, World, split_packets


class Network:
    """Brokers, and the links between them."""

    def __init__(self) -> None:
        self.brokers: list[Broker] = []
        self.links: list[Link] = []
        self._is_carrying = False

    def broker(self, name: str, options: Options | None = None, **words: Any) -> "Broker":
        """A broker with a disk. For the keywords see ``World``."""
        words.setdefault("journal", Ledger(page=50))
        broker = Broker(self, name, options, **words)
        self.brokers.append(broker)
        return broker

    def carries(self) -> None:
        """Bring all that the links have to where it goes, until nobody says a word."""
        if self._is_carrying:
            return
        self._is_carrying = True
        try:
            while sum(link.carries_one() for link in self.links):
                pass
        finally:
            self._is_carrying = False

    def advances(self, seconds: float) -> None:
        """Let time pass, for all of them."""
        for _ in range(int(seconds)):
            for broker in self.brokers:
                broker.advance(1)


class Broker(World):
    """A world that bridges lead to and from."""

    def __init__(self, network: Network, name: str, options: Options | None = None, **words: Any) -> None:
        self.network = network
        self.name = name
        self.lives = 0
        self.links: list[Link] = []  # of the bridges that are configured here
        super().__init__(options, **words)

    def _begin(self) -> None:
        super()._begin()
        self.engine.hops.change_name(self.name)

    def _new_client_id(self) -> str:
        """One that no other broker gives, in any of its lives."""
        self._nameless += 1
        return f"nameless-{self.name}-{self._nameless}"

    def flush(self) -> None:
        """End a turn, and let the others answer."""
        super().flush()
        self.network.carries()

    def bridges(
        self,
        remote: "Broker",
        *topics: BridgeTopic,
        connects: bool = True,
        permissions: Permissions = EVERYTHING,
        **words: Any,
    ) -> "Link":
        """A bridge from here to another broker. For the keywords see ``BridgeOptions``."""
        words.setdefault("remote_client_id", f"{self.name}.bridge")
        link = Link(self, remote, BridgeOptions(topics=list(topics), **words), permissions)
        self.links.append(link)
        self.network.links.append(link)
        link.begins()
        if connects:
            link.connects()
        return link

    def restarts(self, *, after: float = 0.0) -> None:
        """Kill the broker, and begin again with what is on disk. Its links are cut; it may connect again."""
        links = [each for each in self.network.links if self in (each.home, each.remote)]
        for link in links:
            link.loses(self)
        super().restarts(after=after)
        for link in self.links:
            link.begins()


class _End(Client):
    """One end of a link: what its broker sends is carried to the other."""

    def __init__(self, world: World, link: "Link", name: str, version: int) -> None:
        self.link = link
        super().__init__(world, name, Manners(version=version))
        world.everybody.append(self)

    def hears(self, data: bytes) -> None:
        self.link.takes(self, data)

    def drops(self) -> Self:
        """Its broker closes the connection: the other end hears of it behind all that was said."""
        if self.is_connected:
            self.link.takes(self, b"")
        return super().drops()


class _Near(_End):
    """The end of the broker whose bridge it is."""

    def _opens(self) -> None:
        visit = Visit("remote.test")
        link = self.link
        self.connection = link.bridge.connect(self, visit, self.world.now, link.place)  # type: ignore[assignment]


class Link(Keeper):
    """A bridge, and what it is connected by."""

    def __init__(self, home: Broker, remote: Broker, options: BridgeOptions, permissions: Permissions) -> None:
        super().__init__()
        self.home = home
        self.remote = remote
        self.options = options
        self.permissions = permissions
        self.near: _Near | None = None
        self.far: _End | None = None
        self.place = ""  # where the remote is
        self.is_slow = False  # the remote does not read
        self.leads_nowhere = False  # there is no remote but the story, which finds in ``said`` what was said to it
        self.said: list[bytes] = []
        self.reasons: list[str] = []  # why connections ended, as the bridge was told
        self.opened_count = 0
        self.wanted_count = 0
        self.refusals: list[tuple[str, str]] = []
        self.goes_again: list[bool] = []  # whether the next attempt may come at once
        self.carried: list[tuple[str, Packet]] = []  # what came across: ``out`` or ``in``, and the packet
        self._left = -1  # packets that come across before the link is cut; negative: no end
        self._held_after = -1  # packets that come across before nothing does for a while; negative: no end
        self._ends: deque[tuple[_End, bytes]] = deque()  # who said what; nothing: it hung up
        self._out = Decoder()
        self._in = Decoder()

    # What it does

    def begins(self) -> None:
        """The bridge is configured."""
        self.bridge = Bridge(self.home.engine, self.options, self, self.permissions)
        self.bridge.start(self.home.now)
        self.home.flush()

    def connects(self) -> Self:
        """A network connection comes about."""
        self.near = _Near(self.home, self, "near", self.bridge.version)
        self.far = None if self.leads_nowhere else _End(self.remote, self, self.home.name, MQTT_5)
        if self.is_slow:
            self.near.freezes()
        self._out = Decoder()
        self._in = Decoder(version=self.bridge.version)
        self.home.flush()
        return self

    def is_cut_after(self, packets: int) -> Self:
        """Be cut when so many more have come across."""
        self._left = packets
        return self

    def is_held_after(self, packets: int) -> Self:
        """Carry nothing any more when so many more have come across, until it goes on."""
        self._held_after = packets
        return self

    def goes_on(self) -> Self:
        """Carry again."""
        self._held_after = -1
        self.home.flush()
        return self

    def is_cut(self) -> Self:
        """Both ends hear at once that the other is gone; what was on its way is lost."""
        near, far = self.near, self.far
        self.near = self.far = None
        self._ends.clear()
        self._left = -1
        for end in (near, far):
            if end is not None and end.is_connected:
                super(_End, end).drops()
        return self

    def freezes(self) -> Self:
        """The remote reads no more."""
        self.is_slow = True
        if self.near is not None:
            self.near.freezes()
        return self

    def thaws(self) -> Self:
        """The remote reads again."""
        self.is_slow = False
        if self.near is not None:
            self.near.thaws()
        return self

    def loses(self, broker: Broker) -> None:
        """One of the two dies, without a word."""
        end = self.near if broker is self.home else self.far
        if end is not None:
            end.is_connected = False
        self.is_cut()

    @property
    def connection(self) -> BridgeConnection:
        """The bridge's end of the connection."""
        assert self.bridge.connection is not None
        return self.bridge.connection

    @property
    def session(self) -> Session:
        """The bridge's session."""
        assert self.bridge.session is not None
        return self.bridge.session

    @property
    def is_open(self) -> bool:
        """Whether messages go over it."""
        return self.bridge.is_open

    def packets(self, way: str) -> list[Packet]:
        """What came across one way, ``out`` or ``in``; from now on other packets gather."""
        found = [packet for each, packet in self.carried if each == way]
        self.carried = [each for each in self.carried if each[0] != way]
        return found

    # What its ends say

    def takes(self, end: _End, data: bytes) -> None:
        """One packet is on its way; or, with none, the end of the connection."""
        self._ends.append((end, data))

    def carries_one(self) -> bool:
        """Bring one packet to the other end: whether there was any."""
        if not self._ends or self._held_after == 0:
            return False
        if self._left == 0:
            self.is_cut()
            return True
        end, data = self._ends.popleft()
        if end is not self.near and end is not self.far:  # of a connection before this one
            return True
        other = self.far if end is self.near else self.near
        if self.leads_nowhere:
            self.said.append(data)
        if other is None or not other.is_connected:
            return True
        if not data:
            super(_End, other).drops()
            return True
        self._left -= 1
        self._held_after -= 1
        self._notes("out" if end is self.near else "in", data)
        other.connection.receive(data, other.world.now)
        other.world.flush()
        return True

    def _notes(self, way: str, data: bytes) -> None:
        decoder = self._out if way == "out" else self._in
        for each in split_packets(data):
            decoder.receive(each)
            packet = decoder.next_packet()
            assert packet is not None
            self.carried.append((way, packet))

    # What the bridge tells

    def opened(self, connection: BridgeConnection, now: float) -> None:
        self.opened_count += 1

    def closed(self, connection: BridgeConnection, reason: str, at_once: bool, now: float) -> None:
        self.reasons.append(reason)
        self.goes_again.append(at_once)

    def wanted(self, now: float) -> None:
        self.wanted_count += 1

    def refused(self, topic_filter: str, reason: str) -> None:
        self.refusals.append((topic_filter, reason))


def retained_of(broker: Broker, topic: str) -> bytes | None:
    """What a broker has retained for a topic."""
    found: list[Message] = broker.engine.retained.matching(topic, broker.now)
    return found[0].payload if found else None
