"""What ``counts.py`` counts: scenes of a broker and of a client, without a socket.

Knows the engine, what stands between it and a stream, the client's core and the packets. Knows no clock and no chance,
so that the same Telex does the same each time. It runs in a process of its own, within Valgrind, and tells it where
begins and ends what counts.

A scene plays beside strangers: clients that are connected and have nothing to do with it.
"""

import asyncio
import ctypes
import gc
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Any, Final

from telex.client.connection import ClientConnection
from telex.codes import MQTT_3_1_1, MQTT_5
from telex.engine.connection import Connection
from telex.engine.engine import Engine
from telex.engine.options import Options
from telex.engine.seams import Gate, GatheringJournal, Observer
from telex.engine.visit import Visit
from telex.server.clock import Clock
from telex.server.handler import ClientHandler, EndHandler
from telex.server.stores.changes import Changes
from telex.streams.tcp import TcpStream
from telex.wire.decode import Decoder
from telex.wire.encode import encode
from telex.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    Subscribe,
    SubscriptionRequest,
    Unsubscribe,
    Will,
)
from telex.wire.properties import Properties

WORLDS: Final = (1_000, 10_000)
"""How many strangers there are."""

_WARM: Final = 3  # rounds before those that count: what is remembered is remembered then
_ROUNDS: Final = 10  # that count
_ALL: Final = _WARM + _ROUNDS
_AT_ONCE: Final = 20  # messages in one read
_TOPIC: Final = "house/kitchen/temperature"
_PAYLOAD: Final = b"x" * 64
_PROPERTIES: Final = Properties(
    payload_format_indicator=1,
    message_expiry_interval=60,
    content_type="text/plain",
    user_properties=(("unit", "°C"),),
)

Round = Callable[[], object]
"""One round of a scene: always the same number of operations."""


class Disk(GatheringJournal):
    """Makes the rows of each turn's records, as a store does, and has them safe at once."""

    def commit(self) -> None:
        """A turn is over."""
        if self.gathered:
            changes = Changes()
            changes.add(self.take_gathered())
            changes.session_rows()
            changes.message_rows()
            changes.in_flight_rows(0)
            changes.retained_rows()
            self.committed = self.appended


class World:
    """An engine, the turns of its loop, and its strangers."""

    def __init__(self) -> None:
        self.now = 1_000.0  # seconds
        self.journal = Disk()
        self.engine = Engine(Options(), lambda: "nameless", journal=self.journal, gate=Gate(), observer=Observer())
        self.strangers: list[Client] = []
        # Messages have had numbers before: CPython makes small ones once, and others when they are needed.
        self.engine.surroundings.last_message = 1_000

    def pass_by(self) -> None:
        """Have more topics come by than the broker remembers: a new one takes the place of another from now on."""
        talker = self.client("talker")
        for number in range(11_000):
            talker.sends(Publish(f"talk/{number}", _PAYLOAD))
        talker.vanishes()

    def fill(self, strangers: int) -> None:
        """Let strangers come until there are so many.

        Each has a topic, one in ten a filter with wildcards and a retained message as well; one in two speaks v5, and
        has a session that is kept.
        """
        for number in range(len(self.strangers), strangers):
            client_id = f"stranger-{number}"
            stranger = self.client_v5(client_id, session_expiry=3_600) if number % 2 else self.client(client_id)
            stranger.subscribes(f"strangers/{number}/news")
            if number % 10 == 0:
                stranger.subscribes(f"strangers/{number}/+/events/#")
                stranger.sends(Publish(f"states/{number % 100}/{number}", _PAYLOAD, retain=True))
            stranger.sends(Publish(f"strangers/{number}/news", _PAYLOAD))
            self.strangers.append(stranger)

    def client(self, client_id: str) -> "Client":
        """A client that speaks 3.1.1, with a clean session."""
        return Client(self, Connect(client_id, version=MQTT_3_1_1, keep_alive=0))

    def client_v5(self, client_id: str, *, session_expiry: int = 0, aliases: int = 0) -> "Client":
        """A client that speaks 5, takes so many topic aliases, and finds its session if there is one."""
        properties = Properties(session_expiry_interval=session_expiry, topic_alias_maximum=aliases)
        return Client(self, Connect(client_id, clean_start=False, keep_alive=0, properties=properties))

    def turn(self) -> None:
        """End a turn: commit, let leave what may leave, then what waited for the commit."""
        self.journal.commit()
        self._empty()
        engine = self.engine
        if engine.holding:
            engine.committed()
            self._empty()

    def _empty(self) -> None:
        engine = self.engine
        while engine.ready:
            for outbox in engine.take_ready():
                client = outbox.stream
                assert isinstance(client, Client)
                client.connection.take(self.now)


class Client:
    """A client at the broker. What it gets, it forgets."""

    def __init__(self, world: World, connect: Connect) -> None:
        self.world = world
        self.version = connect.version
        self._hello = encode(connect, connect.version)
        self._goodbye = encode(Disconnect(), connect.version)
        self.comes()

    def comes(self) -> None:
        """Open a connection."""
        self.visit = Visit("192.0.2.1:50000", "192.0.2.1")
        self.connection = Connection(self.world.engine, self, self.visit, self.world.now)
        self.says(self._hello)
        self.world.turn()
        assert self.connection.session is not None

    def says(self, data: bytes) -> None:
        """Send bytes in one piece."""
        self.connection.receive(data, self.world.now)

    def sends(self, packet: Packet) -> None:
        """Send one packet, in a turn of its own."""
        self.says(encode(packet, self.version))
        self.world.turn()

    def subscribes(self, topic_filter: str, qos: int = 0) -> None:
        """Subscribe to one filter."""
        self.sends(Subscribe(1, [SubscriptionRequest(topic_filter, qos)]))

    def leaves(self) -> None:
        """Say goodbye; a session that is kept stays."""
        self.says(self._goodbye)
        self.world.turn()
        assert self.connection.is_closed

    def vanishes(self) -> None:
        """Leave nothing behind."""
        if self.version == MQTT_5:
            self.sends(Disconnect(0, Properties(session_expiry_interval=0)))
        else:
            self.leaves()


# Messages of QoS 0


def one_to_one(world: World, *, version: int, properties: Properties | None = None, at_once: int) -> Iterator[Round]:
    """So many messages in one read, and as many reads as make twenty."""
    make = world.client_v5 if version == MQTT_5 else world.client
    subscriber, publisher = make("subscriber"), make("publisher")
    subscriber.subscribes(_TOPIC)
    block = encode(Publish(_TOPIC, _PAYLOAD, properties=properties), version) * at_once
    reads = range(_AT_ONCE // at_once)

    def once() -> None:
        for _ in reads:
            publisher.says(block)
            world.turn()

    yield once
    assert subscriber.visit.publish_sent == _ALL * _AT_ONCE
    subscriber.vanishes()
    publisher.vanishes()


class Transport(asyncio.Transport):
    """Takes what is written, and forgets it."""

    def is_closing(self) -> bool:
        """It stays open."""
        return False

    def write(self, data: object) -> None:
        """Bytes for the client."""


class WorldClock(Clock):
    """The clock of a world."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def now(self) -> float:
        """Seconds."""
        return self._world.now


class House:
    """What handlers have around them in place of a broker."""

    def __init__(self, world: World) -> None:
        self.engine = world.engine
        self.clock: Clock = WorldClock(world)

    def flush_soon(self) -> None:
        """There is something to write."""

    def taken(self, size: int) -> None:
        """So many bytes came."""

    def hold_up(self, handler: EndHandler) -> None:
        """Nobody is held up."""

    def gone(self, handler: ClientHandler) -> None:
        """Nobody is waited for."""

    def flush(self) -> None:
        """Write what may leave."""
        self.engine.journal.commit()
        for outbox in self.engine.take_ready():
            handler = outbox.stream
            if isinstance(handler, EndHandler):
                handler.flush()


def by_streams(world: World) -> Iterator[Round]:
    """One message in each read, by the streams and the handlers that a broker has."""
    house = House(world)
    handlers: list[ClientHandler] = []

    def handler(stream: TcpStream) -> ClientHandler:
        handlers.append(ClientHandler(house, stream, None))
        return handlers[-1]

    def stream(client_id: str) -> TcpStream:
        stream = TcpStream(handler)
        stream.connection_made(Transport())
        stream.data_received(encode(Connect(client_id, version=MQTT_3_1_1, keep_alive=0), MQTT_3_1_1))
        house.flush()
        return stream

    subscriber, publisher = stream("subscriber"), stream("publisher")
    subscriber.data_received(encode(Subscribe(1, [SubscriptionRequest(_TOPIC)]), MQTT_3_1_1))
    message = encode(Publish(_TOPIC, _PAYLOAD), MQTT_3_1_1)

    def once() -> None:
        for _ in range(_AT_ONCE):
            publisher.data_received(message)
            house.flush()

    yield once
    assert handlers[0].connection.visit.publish_sent == _ALL * _AT_ONCE
    subscriber.connection_lost(None)
    publisher.connection_lost(None)
    house.flush()


def by_aliases(world: World) -> Iterator[Round]:
    """Ten topics, for each of which there is a topic alias on both legs."""
    subscriber, publisher = world.client_v5("subscriber", aliases=10), world.client_v5("publisher")
    subscriber.subscribes("house/+/temperature")
    aliases = range(1, 11)
    for alias in aliases:
        publisher.sends(Publish(f"house/{alias}/temperature", properties=Properties(topic_alias=alias)))
    block = b"".join(encode(Publish("", _PAYLOAD, properties=Properties(topic_alias=each)), MQTT_5) for each in aliases)
    block *= _AT_ONCE // len(aliases)

    def once() -> None:
        publisher.says(block)
        world.turn()

    yield once
    assert subscriber.visit.publish_sent == _ALL * _AT_ONCE + len(aliases)
    subscriber.vanishes()
    publisher.vanishes()


def to_a_hundred(world: World) -> Iterator[Round]:
    """A hundred subscribers."""
    publisher = world.client("publisher")
    subscribers = [world.client(f"subscriber-{each}") for each in range(100)]
    for each in subscribers:
        each.subscribes(_TOPIC)
    block = encode(Publish(_TOPIC, _PAYLOAD), MQTT_3_1_1) * _AT_ONCE

    def once() -> None:
        publisher.says(block)
        world.turn()

    yield once
    assert {each.visit.publish_sent for each in subscribers} == {_ALL * _AT_ONCE}
    for each in (*subscribers, publisher):
        each.vanishes()


_NUMBERS: Final = count(100_000)  # of what is to be new in each world


def new_topics(world: World) -> Iterator[Round]:
    """Topics of six levels that nobody has seen, and a filter that matches all of them."""
    subscriber, publisher = world.client("subscriber"), world.client("publisher")
    subscriber.subscribes("plant/+/line/+/#")
    topics = [f"plant/{next(_NUMBERS)}/line/7/motor/speed" for _ in range(_ALL * _AT_ONCE)]
    frames = [encode(Publish(each, _PAYLOAD), MQTT_3_1_1) for each in topics]
    blocks = iter([b"".join(frames[start : start + _AT_ONCE]) for start in range(0, len(frames), _AT_ONCE)])

    def once() -> None:
        publisher.says(next(blocks))
        world.turn()

    yield once
    assert subscriber.visit.publish_sent == _ALL * _AT_ONCE
    subscriber.vanishes()
    publisher.vanishes()


# Messages of QoS 1 and 2


def answers(answer: type[PubAck | PubRec | PubComp]) -> Iterator[bytes]:
    """What a receiver answers in each round: packet ids are given in turn."""
    frames = [encode(answer(each + 1), MQTT_3_1_1) for each in range(_ALL * _AT_ONCE)]
    return iter([b"".join(frames[start : start + _AT_ONCE]) for start in range(0, len(frames), _AT_ONCE)])


def publishes(version: int, qos: int) -> bytes:
    """Twenty messages, with packet ids from 1 on."""
    ids = range(1, _AT_ONCE + 1) if qos else [0] * _AT_ONCE
    return b"".join(encode(Publish(_TOPIC, _PAYLOAD, qos, packet_id=each), version) for each in ids)


def acknowledged(world: World, *, qos: int, session_expiry: int = 0) -> Iterator[Round]:
    """The same QoS on both legs; with ``session_expiry``, sessions that are kept."""
    if session_expiry:
        subscriber = world.client_v5("subscriber", session_expiry=session_expiry)
        publisher = world.client_v5("publisher", session_expiry=session_expiry)
    else:
        subscriber, publisher = world.client("subscriber"), world.client("publisher")
    subscriber.subscribes(_TOPIC, qos)
    block = publishes(publisher.version, qos)
    releases = b"".join(encode(PubRel(each + 1), MQTT_3_1_1) for each in range(_AT_ONCE))
    done, received, completed = answers(PubAck), answers(PubRec), answers(PubComp)

    def once_1() -> None:
        publisher.says(block)
        world.turn()
        subscriber.says(next(done))
        world.turn()

    def once_2() -> None:
        publisher.says(block)
        world.turn()
        publisher.says(releases)
        subscriber.says(next(received))
        world.turn()
        subscriber.says(next(completed))
        world.turn()

    yield once_1 if qos == 1 else once_2
    for each in (subscriber, publisher):
        assert each.connection.session is not None
        assert each.connection.session.queue.is_empty
    assert subscriber.visit.publish_sent == _ALL * _AT_ONCE
    subscriber.vanishes()
    publisher.vanishes()


def fetched(world: World) -> Iterator[Round]:
    """Messages wait for a client that is away, and it comes for them."""
    subscriber, publisher = world.client_v5("subscriber", session_expiry=3_600), world.client_v5("publisher")
    subscriber.subscribes(_TOPIC, 1)
    subscriber.leaves()
    block = publishes(MQTT_5, 1)
    done = answers(PubAck)
    got = 0

    def once() -> None:
        nonlocal got
        publisher.says(block)
        world.turn()
        subscriber.comes()
        subscriber.says(next(done))
        subscriber.leaves()
        got += subscriber.visit.publish_sent

    yield once
    assert got == _ALL * _AT_ONCE
    subscriber.comes()
    assert subscriber.visit.publish_sent == 0
    subscriber.vanishes()
    publisher.vanishes()


# Subscriptions and connections

_TIMES: Final = 5  # in one round


def subscribed(world: World, *, topic_filter: str, retained: int = 0) -> Iterator[Round]:
    """SUBSCRIBE and UNSUBSCRIBE; the filter matches so many retained messages."""
    publisher = world.client("publisher")
    client = world.client_v5("client")
    for each in range(retained):
        publisher.sends(Publish(f"house/{each}/state", _PAYLOAD, retain=True))
    subscribe = encode(Subscribe(1, [SubscriptionRequest(topic_filter, 1)]), MQTT_5)
    unsubscribe = encode(Unsubscribe(2, [topic_filter]), MQTT_5)

    def once() -> None:
        for _ in range(_TIMES):
            client.says(subscribe)
            world.turn()
            client.says(unsubscribe)
            world.turn()

    yield once
    assert client.visit.publish_sent == _ALL * _TIMES * retained
    for each in range(retained):
        publisher.sends(Publish(f"house/{each}/state", retain=True))
    client.vanishes()
    publisher.vanishes()


def connected(world: World, *, connect: Connect, subscriptions: int = 0) -> Iterator[Round]:
    """CONNECT and DISCONNECT; between them, one SUBSCRIBE with so many filters."""
    stats = world.engine.stats
    requests = [SubscriptionRequest(f"house/{each}/+") for each in range(subscriptions)]
    subscribe = encode(Subscribe(1, requests), connect.version) if requests else b""
    client = Client(world, connect)
    client.leaves()
    opened, here = stats.connections_opened, stats.clients_connected

    def once() -> None:
        for _ in range(_TIMES):
            client.comes()
            if subscribe:
                client.says(subscribe)
            client.leaves()

    yield once
    assert (stats.connections_opened, stats.clients_connected) == (opened + _ALL * _TIMES, here)
    client.comes()
    client.vanishes()


def second(world: World) -> Iterator[Round]:
    """A second in which nothing falls due."""

    def once() -> None:
        for _ in range(_TIMES):
            world.now += 1.0
            world.engine.tick(world.now)
            world.turn()

    yield once


# The client's end


def _own_end() -> ClientConnection:
    connection = ClientConnection(Connect("client"))
    connection.opened(0.0)
    connection.take(0.0)
    connection.receive(encode(ConnAck(), MQTT_5))
    connection.take_events()
    return connection


def client_publishes(world: World, *, qos: int) -> Iterator[Round]:
    """What a client publishes, to the end."""
    connection = _own_end()
    acknowledged = answers(PubAck)
    sent = done = 0

    def once() -> None:
        nonlocal sent, done
        for _ in range(_AT_ONCE):
            connection.publish(_TOPIC, _PAYLOAD, qos=qos)
        sent += len(connection.take(0.0))
        if qos:
            connection.receive(next(acknowledged))
            done += len(connection.take_events())

    yield once
    assert sent == _ALL * len(publishes(MQTT_5, qos))
    assert done == _ALL * _AT_ONCE * qos


def client_receives(world: World, *, qos: int) -> Iterator[Round]:
    """What a client gets, acknowledged at once."""
    connection = _own_end()
    block = publishes(MQTT_5, qos)
    got = 0

    def once() -> None:
        nonlocal got
        connection.receive(block)
        got += len(connection.take_events())
        connection.take(0.0)

    yield once
    assert got == _ALL * _AT_ONCE


def decoded(world: World) -> Iterator[Round]:
    """PUBLISH packets with properties, decoded and encoded again."""
    decoder = Decoder(version=MQTT_5)
    publish = encode(Publish(_TOPIC, _PAYLOAD, properties=_PROPERTIES), MQTT_5)
    block = publish * _AT_ONCE
    same = 0

    def once() -> None:
        nonlocal same
        decoder.receive(block)
        while (packet := decoder.next_packet()) is not None:
            same += encode(packet, MQTT_5) == publish

    yield once
    assert same == _ALL * _AT_ONCE


class Scene:
    """One line of the record.

    Args:
        name: in the record.
        operations: that one round brings; of these each is counted.
        make: sets the scene in a world, gives its round, and sees afterwards whether all came as it should. How many
            rounds there are is the same for all.
    """

    def __init__(self, name: str, operations: int, make: Callable[[World], Iterator[Round]]) -> None:
        self.name = name
        self.operations = operations
        self.make = make

    def play(self, world: World, begin: Callable[[], object], end: Callable[[bytes], object]) -> None:
        """Play it; ``begin`` and ``end`` are called around the rounds that count."""
        name = f"{_ROUNDS * self.operations} {self.name}".encode()
        scene = self.make(world)
        once = next(scene)
        for _ in range(_WARM):
            once()
        rounds = range(_ROUNDS)
        begin()
        for _ in rounds:
            once()
        end(name)
        assert next(scene, None) is None


_V3: Final = Connect(
    "client",
    version=MQTT_3_1_1,
    will=Will("house/client/state", b"gone"),
    user_name="user",
    password=b"password",
)
_V5: Final = Connect("client", properties=Properties(receive_maximum=100, topic_alias_maximum=10))
_KEPT: Final = Connect("client", clean_start=False, properties=Properties(session_expiry_interval=3_600))

SCENES: Final = (
    Scene("QoS 0, 1 to 1", _AT_ONCE, partial(one_to_one, version=MQTT_3_1_1, at_once=_AT_ONCE)),
    Scene("QoS 0, 1 to 1, one a read", _AT_ONCE, partial(one_to_one, version=MQTT_3_1_1, at_once=1)),
    Scene("QoS 0, 1 to 1, one a read, streams", _AT_ONCE, by_streams),
    Scene("QoS 0, 1 to 1, v5", _AT_ONCE, partial(one_to_one, version=MQTT_5, at_once=_AT_ONCE)),
    Scene(
        "QoS 0, 1 to 1, v5, properties",
        _AT_ONCE,
        partial(one_to_one, version=MQTT_5, properties=_PROPERTIES, at_once=_AT_ONCE),
    ),
    Scene("QoS 0, 1 to 1, v5, aliases", _AT_ONCE, by_aliases),
    Scene("QoS 0, 1 to 100, each delivery", _AT_ONCE * 100, to_a_hundred),
    Scene("QoS 0, topics never seen", _AT_ONCE, new_topics),
    Scene("QoS 1, 1 to 1", _AT_ONCE, partial(acknowledged, qos=1)),
    Scene("QoS 1, 1 to 1, kept sessions", _AT_ONCE, partial(acknowledged, qos=1, session_expiry=3_600)),
    Scene("QoS 1, fetched by who was away", _AT_ONCE, fetched),
    Scene("QoS 2, 1 to 1", _AT_ONCE, partial(acknowledged, qos=2)),
    Scene("QoS 2, 1 to 1, kept sessions", _AT_ONCE, partial(acknowledged, qos=2, session_expiry=3_600)),
    Scene("SUBSCRIBE, UNSUBSCRIBE", _TIMES, partial(subscribed, topic_filter="house/kitchen/light")),
    Scene("SUBSCRIBE, UNSUBSCRIBE, wildcards", _TIMES, partial(subscribed, topic_filter="house/+/light/#")),
    Scene(
        "SUBSCRIBE, UNSUBSCRIBE, 10 retained", _TIMES, partial(subscribed, topic_filter="house/+/state", retained=10)
    ),
    Scene("CONNECT, DISCONNECT", _TIMES, partial(connected, connect=_V3)),
    Scene("CONNECT, DISCONNECT, v5", _TIMES, partial(connected, connect=_V5)),
    Scene("CONNECT, DISCONNECT, kept session", _TIMES, partial(connected, connect=_KEPT)),
    Scene("CONNECT, 10 subscriptions, DISCONNECT", _TIMES, partial(connected, connect=_V5, subscriptions=10)),
    Scene("a second without events", _TIMES, second),
    Scene("client publishes, QoS 0", _AT_ONCE, partial(client_publishes, qos=0)),
    Scene("client publishes, QoS 1", _AT_ONCE, partial(client_publishes, qos=1)),
    Scene("client receives, QoS 0", _AT_ONCE, partial(client_receives, qos=0)),
    Scene("client receives, QoS 1", _AT_ONCE, partial(client_receives, qos=1)),
    Scene("PUBLISH v5, decoded and encoded", _AT_ONCE, decoded),
)


def main() -> None:
    """Play all scenes, or those that are named, beside few strangers and beside many."""
    library, *names = sys.argv[1:]
    valgrind: Any = ctypes.CDLL(library)
    gc.disable()
    world = World()
    for scene in SCENES:  # a rehearsal: Python changes its bytecode the first times that it runs
        scene.play(world, lambda: None, lambda name: None)
    world.pass_by()
    for strangers in WORLDS:
        world.fill(strangers)
        gc.collect()
        gc.freeze()  # otherwise the next collection looks through all strangers again
        valgrind.on()
        for scene in SCENES:
            if not names or scene.name in names:
                scene.play(world, valgrind.begin, valgrind.end)
        valgrind.off()


if __name__ == "__main__":
    main()
