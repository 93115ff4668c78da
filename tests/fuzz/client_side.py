"""The laws of a client's connection: whatever a server says, it is packets or an MqttError, and the client stays valid.

Input: the version; the state in which the client begins; then acts (``script.py``):
what the server says, what the client's user does meanwhile.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from telex.client.connection import ClientConnection, Publication
from telex.codes import MAX_PACKET_BYTES, MAX_PACKET_ID, MQTT_5
from telex.errors import MqttError, ProtocolError
from telex.wire.decode import Decoder
from telex.wire.encode import encode
from telex.wire.packets import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
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
)
from telex.wire.properties import Properties
from tests.fuzz.script import FRAMED, PIECE, Script

VERSIONS = (5, 4, 3)
SAYS = (Connect, Publish, PubAck, PubRec, PubRel, PubComp, Subscribe, Unsubscribe, PingReq, Disconnect, Auth)
"""What a client may send (section 2.1.2)."""

TELLS = (ConnAck, Publish, SubAck, UnsubAck, Disconnect, Auth, Publication)
"""What it tells its user."""


class Scene:
    """A client, its user, and a server that may say anything."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.now = 0.0
        self.client = ClientConnection(self.connect())
        self._done: list[Publication] = []
        self.opens()

    def connect(self, method: str | None = None) -> Connect:
        """What the client says first."""
        properties: Properties | None = None
        if self.version == MQTT_5:
            properties = Properties(
                receive_maximum=3, topic_alias_maximum=2, maximum_packet_size=2_000, authentication_method=method
            )
        return Connect("c", version=self.version, clean_start=False, keep_alive=10, properties=properties)

    # The network

    def opens(self) -> None:
        """Another connection to the server."""
        self._said: list[Packet] = []
        self._reader = Decoder(version=0)
        self._server = Decoder(version=self.version)
        self._maximum_packet_size = MAX_PACKET_BYTES
        self._receive_maximum = MAX_PACKET_ID
        self._in_flight: set[int] = set()
        self._acknowledged_early: set[int] = set()
        self._owed: Counter[type[Packet]] = Counter()  # acknowledgements, by their kind
        self._connack_came = False
        self.client.opened(self.now)
        self.flush()

    def reopens(self) -> None:
        """The connection is lost, and there is another."""
        self.client.lost()
        self.opens()

    def hears(self, data: bytes) -> None:
        """The server says this; a broken rule ends the connection."""
        self._note(data)
        try:
            self.client.receive(data)
        except MqttError:
            assert self.client.is_closing
        self.flush()
        if self.client.is_closing:
            self.reopens()
        else:
            given = Counter(type(packet) for packet in self._said if type(packet) in self._owed)
            assert given == self._owed, "[MQTT-4.3.2-4] [MQTT-4.3.3-8] [MQTT-4.3.3-11]"

    def hears_packets(self, *packets: Packet) -> None:
        """The server says these."""
        self.hears(b"".join(encode(packet, self.version) for packet in packets))

    def _note(self, data: bytes) -> None:
        """Read along what the server says: the client is bound by it."""
        with suppress(ProtocolError):
            self._server.receive(data)
            while (packet := self._server.next_packet()) is not None:
                if isinstance(packet, ConnAck):
                    self._note_limits(packet)
                elif isinstance(packet, Publish) and packet.qos:
                    self._owed[PubAck if packet.qos == 1 else PubRec] += 1
                elif isinstance(packet, PubRel):
                    self._owed[PubComp] += 1
                elif isinstance(packet, PubAck | PubComp) or (isinstance(packet, PubRec) and packet.reason_code > 0x7F):
                    if packet.packet_id in self._in_flight:
                        self._in_flight.discard(packet.packet_id)
                    else:
                        self._acknowledged_early.add(packet.packet_id)

    def _note_limits(self, packet: ConnAck) -> None:
        if not self._connack_came and packet.properties is not None:
            self._maximum_packet_size = packet.properties.maximum_packet_size or MAX_PACKET_BYTES
            self._receive_maximum = packet.properties.receive_maximum or MAX_PACKET_ID
        self._connack_came = True

    # The laws

    def flush(self) -> None:
        """What the client says is valid, and so is what it tells."""
        self._reader.receive(self.client.take(self.now))
        while (packet := self._reader.next_packet()) is not None:
            self._check(packet)
            self._said.append(packet)
        assert not self._reader.is_inside_packet
        for event in self.client.take_events():
            assert isinstance(event, TELLS), event
            if isinstance(event, Publication):
                assert event.is_done
                assert all(each is not event for each in self._done), "done twice"
                self._done.append(event)
        assert self.client.unfinished >= 0

    def _check(self, packet: Packet) -> None:
        assert isinstance(packet, SAYS), packet
        assert isinstance(packet, Connect) is not bool(self._said), f"{packet} [MQTT-3.1.0-1] [MQTT-3.1.0-2]"
        assert not (self._said and isinstance(self._said[-1], Disconnect)), f"{packet} [MQTT-3.14.4-1]"
        if not isinstance(packet, Connect):
            assert self._connack_came or isinstance(packet, Auth | Disconnect)
            size = len(encode(packet, self.version))
            assert size <= self._maximum_packet_size, f"{packet} [MQTT-3.2.2-15]"
        if isinstance(packet, Publish) and packet.qos:
            if packet.packet_id in self._acknowledged_early:
                self._acknowledged_early.discard(packet.packet_id)
                return
            assert packet.packet_id not in self._in_flight, f"{packet}: id in use [MQTT-2.2.1-3]"
            self._in_flight.add(packet.packet_id)
            assert len(self._in_flight) <= self._receive_maximum, f"{packet} is one too many [MQTT-3.3.4-7]"

    # What happens

    def act(self, script: Script) -> None:
        """Do the next thing."""
        act = script.byte()
        if act <= PIECE:
            self.hears(script.take(act))
        elif act == FRAMED:
            self.hears(script.framed())
        elif 0xC1 <= act <= 0xC6:
            with suppress(ValueError, MqttError):
                self.asks(act, script)
            self.flush()
        elif act == 0xC7:
            self.reopens()
        elif act == 0xC8:
            self.acknowledges()
        elif act == 0xC9:
            self.reopens()
            self.hears_packets(ConnAck(session_present=bool(script.byte() & 1)))
        else:
            self.hears(script.rest())

    def asks(self, act: int, script: Script) -> None:
        """The user wants something."""
        if act == 0xC1:
            how = script.byte()
            self.client.publish("t", script.take(script.byte()), qos=how % 3, retain=how & 0x80 != 0)
        elif act == 0xC2:
            self.client.subscribe([SubscriptionRequest("t/#", 2)])
        elif act == 0xC3:
            self.client.unsubscribe(["t/#"])
        elif act == 0xC4:
            self.client.disconnect()
            self.flush()
            self.reopens()
        elif act == 0xC5:
            how = script.byte()
            says = self.client.reauthenticate if how & 0x80 else self.client.authenticate
            says(script.take(how & 0x0F))
        else:
            self.now += script.byte()
            try:
                self.client.tick(self.now)
            except MqttError:
                self.reopens()

    def acknowledges(self) -> None:
        """The server answers, as it should, the last that was said."""
        last = self._said[-1]
        if isinstance(last, Publish) and last.qos == 1:
            self.hears_packets(PubAck(last.packet_id))
        elif isinstance(last, Publish) and last.qos == 2:
            self.hears_packets(PubRec(last.packet_id))
        elif isinstance(last, PubRel):
            self.hears_packets(PubComp(last.packet_id))
        elif isinstance(last, PubRec):
            self.hears_packets(PubRel(last.packet_id))
        elif isinstance(last, Subscribe):
            self.hears_packets(SubAck(last.packet_id, [2]))
        elif isinstance(last, Unsubscribe):
            self.hears_packets(UnsubAck(last.packet_id, [0]))
        elif isinstance(last, Connect):
            self.hears_packets(ConnAck())


# States in which a client begins


def waiting(scene: Scene) -> None:
    """CONNECT has left."""


def connected(scene: Scene) -> None:
    """CONNACK has come."""
    scene.hears_packets(ConnAck())


def limited(scene: Scene) -> None:
    """A server that takes little."""
    said = Properties(receive_maximum=1, maximum_packet_size=30, maximum_qos=1, retain_available=0)
    scene.hears_packets(ConnAck(properties=said if scene.version == MQTT_5 else None))


def asking(scene: Scene) -> None:
    """Requests that wait for their answers."""
    connected(scene)
    scene.client.subscribe([SubscriptionRequest("t", 1)])
    scene.client.unsubscribe(["t"])
    scene.flush()


def in_flight(scene: Scene) -> None:
    """Messages in flight in both directions, and more that wait."""
    said = Properties(receive_maximum=3)
    scene.hears_packets(ConnAck(properties=said if scene.version == MQTT_5 else None))
    for qos in (1, 2, 2, 1, 2):
        scene.client.publish("t", b"x", qos=qos)
    scene.flush()
    scene.hears_packets(PubRec(2), Publish("t", b"x", qos=2, packet_id=7))


def resumed(scene: Scene) -> None:
    """The same, on another connection."""
    in_flight(scene)
    scene.reopens()
    scene.hears_packets(ConnAck(session_present=True))


def lost(scene: Scene) -> None:
    """The same, before CONNACK says whether the session is there."""
    in_flight(scene)
    scene.reopens()


def authenticating(scene: Scene) -> None:
    """A server that asks a v5 client something, before CONNACK."""
    if scene.version == MQTT_5:
        scene.client.connect = scene.connect("m")
        scene.reopens()
        scene.hears_packets(Auth(0x18, Properties(authentication_method="m", authentication_data=b"?")))


def authenticated(scene: Scene) -> None:
    """The same, after its answer and CONNACK."""
    authenticating(scene)
    if scene.version == MQTT_5:
        scene.client.authenticate(b"ok")
        scene.flush()
        scene.hears_packets(ConnAck(properties=Properties(authentication_method="m")))


STATES: tuple[Callable[[Scene], None], ...] = (
    waiting,
    connected,
    limited,
    asking,
    in_flight,
    resumed,
    lost,
    authenticating,
    authenticated,
)


def client(data: bytes) -> None:
    """Play a script with one server."""
    script = Script(data)
    scene = Scene(VERSIONS[script.byte() % len(VERSIONS)])
    STATES[script.byte() % len(STATES)](scene)
    while script.goes_on:
        scene.act(script)
    scene.flush()
