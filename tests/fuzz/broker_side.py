"""The laws of a broker's connection: whatever a client says, it is answered in valid packets and nobody else notices.

Input: the version; the state in which the client begins; then acts (``script.py``):
what the client says, what happens meanwhile.
"""

from collections import Counter
from collections.abc import Callable

from telex.codes import MAX_PACKET_BYTES, MQTT_5
from telex.engine.engine import Engine
from telex.engine.message import Message
from telex.engine.options import Options
from telex.engine.permissions import EVERYTHING
from telex.engine.seams import Client as Knocker
from telex.engine.seams import Exchange, Gate
from telex.engine.visit import Visit
from telex.errors import ProtocolError
from telex.wire.decode import Decoder
from telex.wire.encode import encode
from telex.wire.packets import (
    ConnAck,
    Connect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    UnsubAck,
    Unsubscribe,
    Will,
)
from telex.wire.properties import Properties
from tests.engine.replaying import Snapshot, check_turn
from tests.engine.world import Client, Ledger, Manners, World
from tests.fuzz.script import FRAMED, PIECE, Script

VERSIONS = (5, 4, 3)
NAME = "c"
WITNESS = "the witness of it all"
SAFE = "safe/and/sound"

OPTIONS = {
    "maximum_packet_size": 2_000,
    "receive_maximum": 4,
    "topic_alias_maximum": 3,
    "maximum_keep_alive": 100,
    "maximum_session_expiry": 30,
    "max_inflight_messages": 3,
    "max_queued_messages": 4,
    "max_queued_bytes": 500,
    "max_queue_memory": 5_000,
    "max_outbox_bytes": 4_000,
    "max_subscriptions": 8,
    "max_retained_messages": 5,
}


ANSWERS: dict[type[Packet], type[Packet]] = {
    PubRel: PubComp,
    Subscribe: SubAck,
    Unsubscribe: UnsubAck,
    PingReq: PingResp,
}
"""What each packet of a client is answered with; PUBLISH has its own by QoS."""


class Riddle(Exchange):
    """Challenges until it hears ``ok`` or ``no``."""

    def __init__(self, client: Knocker) -> None:
        self.client = client

    def receive(self, data: bytes, now: float) -> None:
        if data == b"ok":
            self.client.admit(EVERYTHING, now, b"in")
        elif data == b"no":
            self.client.refuse(0x87, "it says no", now)
        else:
            self.client.challenge(b"?", now)


class RiddleGate(Gate):
    """Admits everybody, and knows the authentication method ``m``."""

    def exchange(self, client: Knocker, packet: Connect, visit: Visit) -> Exchange | None:
        assert packet.properties is not None
        return Riddle(client) if packet.properties.authentication_method == "m" else None


class Stranger(Client):
    """A client that says any bytes, and holds what it gets against what it said."""

    def __init__(self, world: World, version: int) -> None:
        self._said = Decoder(OPTIONS["maximum_packet_size"])
        self._understood = True  # what it says is packets so far
        self._has_heard = False
        self._has_come = False
        self._acknowledged_early: set[int] = set()  # ids in the same read as what they answer
        self._answered = 0  # of what it got
        self._expected: Counter[type[Packet]] = Counter()  # how many answers of each kind
        super().__init__(world, NAME, Manners(version=version, acknowledges=False))

    def says(self, data: bytes) -> None:
        """Say this, if anybody listens."""
        self.world.flush()
        if self.is_connected:
            self._note(data)
            self.connection.receive(data, self.world.now)
            self.world.flush()

    def says_packets(self, *packets: Packet) -> None:
        self.says(b"".join(encode(packet, self.manners.version) for packet in packets))

    def _note(self, data: bytes) -> None:
        """Read along what is said: the broker is bound by it."""
        if not self._understood:
            return
        try:
            self._said.receive(data)
            while (packet := self._said.next_packet()) is not None:
                self._note_packet(packet)
        except ProtocolError:
            self._understood = False

    def _note_packet(self, packet: Packet) -> None:
        answer = ANSWERS.get(type(packet))
        if isinstance(packet, Publish) and packet.qos:
            answer = PubAck if packet.qos == 1 else PubRec
        if answer is not None:
            self._expected[answer] += 1
        if isinstance(packet, Connect):
            if not self._has_come:  # a second one is an error, and its limits are none
                self.manners = manners_of(packet)
            self._has_come = True
        elif isinstance(packet, PubAck | PubComp) or (isinstance(packet, PubRec) and packet.reason_code >= 0x80):
            if packet.packet_id in self.in_flight:
                self.in_flight.discard(packet.packet_id)
            else:
                self._acknowledged_early.add(packet.packet_id)

    def check_answers(self) -> None:
        """Who broke no rule has an answer to everything."""
        if self.is_connected and not self.is_frozen and self._understood:
            heard = Counter(type(packet) for packet in self.got if type(packet) in self._expected)
            assert heard == self._expected

    def hears(self, data: bytes) -> None:
        if not self._has_heard:
            self._has_heard = True
            self._decoder = Decoder(version=4 if data[:2] == b"\x20\x02" else MQTT_5)  # a CONNACK of v3 has two bytes
        super().hears(data)

    def _check(self, packet: Packet) -> None:
        if isinstance(packet, ConnAck):
            assert self.sizes[-1] <= (self.manners.maximum_packet_size or MAX_PACKET_BYTES), "[MQTT-3.1.2-24]"
        super()._check(packet)
        if isinstance(packet, Publish) and packet.packet_id in self._acknowledged_early:
            self._acknowledged_early.discard(packet.packet_id)
            self.in_flight.discard(packet.packet_id)

    def acknowledges_all(self) -> None:
        """Answer, as it should, what has come and was not answered yet."""
        came, self._answered = self.got[self._answered :], len(self.got)
        for packet in came:
            if isinstance(packet, Publish) and packet.qos == 1:
                self.says_packets(PubAck(packet.packet_id))
            elif isinstance(packet, Publish) and packet.qos == 2:
                self.says_packets(PubRec(packet.packet_id))
            elif isinstance(packet, PubRel):
                self.says_packets(PubComp(packet.packet_id))


def manners_of(packet: Connect) -> Manners:
    """What a CONNECT tells the broker of its client."""
    said = packet.properties or Properties()
    return Manners(
        version=packet.version,
        receive_maximum=said.receive_maximum,
        maximum_packet_size=said.maximum_packet_size,
        topic_alias_maximum=said.topic_alias_maximum,
        request_problem_information=said.request_problem_information,
        authentication_method=said.authentication_method,
        acknowledges=False,
    )


# States in which a client begins


def nothing_said(scene: "Scene") -> None:
    """A socket."""


def connected(scene: "Scene") -> None:
    """CONNACK has come."""
    scene.connects()


def subscribed(scene: "Scene") -> None:
    """Subscriptions of all kinds."""
    scene.connects(topic_alias_maximum=2)
    requests = [SubscriptionRequest(each, 2) for each in ("t", "a/+", "#", "$share/g/t", "$share/g/a/#")]
    scene.stranger.says_packets(Subscribe(1, requests, Properties(subscription_identifiers=(7,))))


def in_flight(scene: "Scene") -> None:
    """Messages in flight in both directions, and more that wait."""
    scene.connects()
    scene.stranger.says_packets(Subscribe(1, [SubscriptionRequest("t", 2)]))
    for qos in (1, 2, 2, 1):
        scene.witness.publishes("t", b"waits", qos=qos)
    scene.stranger.says_packets(PubRec(2), Publish("t", b"x", qos=2, packet_id=7))


def with_will(scene: "Scene") -> None:
    """A will that waits, retained."""
    scene.connects(
        will=Will("t", b"will", qos=1, retain=True, properties=Properties(will_delay_interval=3)), session_expiry=9
    )


def resumed(scene: "Scene") -> None:
    """A session that was kept, with messages from before."""
    scene.connects(session_expiry=20)
    in_flight_of(scene)
    scene.stranger.drops()
    scene.witness.publishes("t", b"while away", qos=2)
    scene.comes_back()


def in_flight_of(scene: "Scene") -> None:
    scene.stranger.says_packets(Subscribe(1, [SubscriptionRequest("t", 2), SubscriptionRequest("$share/g/s", 1)]))
    for qos in (1, 2):
        scene.witness.publishes("t", b"waits", qos=qos)
    scene.stranger.says_packets(PubRec(2), Publish("s", b"x", qos=2, packet_id=7))


def narrow(scene: "Scene") -> None:
    """A client that takes little: small packets, one at a time."""
    scene.connects(maximum_packet_size=40, receive_maximum=1, topic_alias_maximum=1)
    scene.stranger.says_packets(Subscribe(1, [SubscriptionRequest("t", 2)]))


def authenticating(scene: "Scene") -> None:
    """A v5 client whom the broker has asked something."""
    if scene.version == MQTT_5:
        scene.connects(authentication_method="m", authentication_data=b"hm")


STATES: tuple[Callable[["Scene"], None], ...] = (
    nothing_said,
    connected,
    subscribed,
    in_flight,
    with_will,
    resumed,
    narrow,
    authenticating,
)


class Scene:
    """A broker, a client that may say anything, and a witness who must not notice."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.world = World(Options(**OPTIONS), gate=RiddleGate(), journal=Ledger())
        self.witness = self.world.client(WITNESS, version=4).subscribes(SAFE, qos=1)
        self.strangers: list[Stranger] = []
        self.stranger = self.meets()
        self._manners = Manners(version=version)

    def meets(self) -> Stranger:
        """Another socket; whoever speaks next speaks there."""
        self.stranger = Stranger(self.world, self.version)
        self.strangers.append(self.stranger)
        return self.stranger

    def connects(self, *, session_expiry: int | None = None, will: Will | None = None, **limits: object) -> None:
        """Say a valid CONNECT; before v5 without what v5 alone can say, with a session that is kept."""
        if self.version != MQTT_5:
            self._manners = Manners(version=self.version, clean_start=session_expiry is None, will=will)
        else:
            self._manners = Manners(session_expiry=session_expiry, will=will, **limits)  # type: ignore[arg-type]
        self.stranger.says_packets(self._manners.connect(NAME))

    def comes_back(self) -> None:
        """The same client on another connection, to go on with its session; an older one is taken over from."""
        connect = self._manners.connect(NAME)
        connect.clean_start = False
        self.meets().says_packets(connect)

    # What happens

    def act(self, script: Script) -> None:
        """Do the next thing."""
        act = script.byte()
        if act <= PIECE:
            self.stranger.says(script.take(act))
        elif act == FRAMED:
            self.stranger.says(script.framed())
        elif act == 0xC1:
            self.publish(script)
        elif act == 0xC2:
            self.world.advance(1)
        elif act == 0xC3:
            self.world.advance(script.byte() % 128)
        elif act == 0xC4:
            self.lose()
            self.comes_back()
        elif act == 0xC5:
            self.comes_back()
        elif act == 0xC6:
            self.stranger.acknowledges_all()
        elif act == 0xC7:
            self.stranger.is_frozen = not self.stranger.is_frozen
        elif act == 0xC8:
            self.meets()
        elif act == 0xC9:
            self.lose()
        else:
            self.stranger.says(script.rest())

    def publish(self, script: Script) -> None:
        """The witness says something that others may want to hear."""
        how = script.byte()
        topic = ("t", "s", "a/b", "$x/y")[how >> 2 & 3]
        self.witness.publishes(topic, script.take(script.byte()), qos=how % 3, retain=how & 0x80 != 0)

    def lose(self) -> None:
        """The connection is lost."""
        if self.stranger.is_connected:
            self.stranger.drops()

    # The laws

    def check_witness(self) -> None:
        """The other client still gets its messages."""
        assert self.witness.is_connected
        self.witness.takes()
        self.witness.publishes(SAFE, b"still here", qos=1)
        assert b"still here" in self.witness.payloads

    def check_records(self) -> None:
        """Who replays the records knows what the engine knows."""
        everything = self.world.ledger.everything
        snapshot = Snapshot(self.world.engine, len(everything), self.world.now)
        check_turn(self.world.options, everything, snapshot)

    def check_end(self) -> None:
        """When everyone is gone, the engine is as empty as it was."""
        for stranger in self.strangers:
            stranger.is_frozen = False
            stranger.empty_outbox()
            stranger.check_answers()
            if stranger.is_connected:
                stranger.drops()
        self.witness.drops()
        engine = self.world.engine
        self.world.now += 31  # a session lives 30 seconds at most; many fall due at once
        engine.tick(self.world.now)
        self.world.flush()
        for topic in [message.topic for message in engine.retained.all()]:
            self.world.publishes(Message(topic, b"", 0, True))
        assert_empty(engine)


def assert_empty(engine: Engine) -> None:
    """Nothing is remembered of anybody."""
    assert engine.sessions == {}
    assert (engine.ready, engine.holding, engine.unanswered) == ([], [], {})
    assert engine.surroundings.memory == 0
    subscriptions = engine.subscriptions
    assert (subscriptions.count, subscriptions.shared_count) == (0, 0)
    assert subscriptions._exact == {}
    assert subscriptions._root.children == {}
    assert subscriptions._root.subscribers is None
    assert (engine.retained.count, engine.retained.bytes) == (0, 0)
    assert engine.retained.is_empty
    assert len(engine.deadlines) == 0
    assert engine.stats.clients_connected == 0
    assert engine.stats.sockets_open == 0


def connection(data: bytes) -> None:
    """Play a script with one client, then see what is left."""
    script = Script(data)
    scene = Scene(VERSIONS[script.byte() % len(VERSIONS)])
    STATES[script.byte() % len(STATES)](scene)
    while script.goes_on:
        scene.act(script)
    scene.check_witness()
    scene.check_records()
    scene.check_end()
