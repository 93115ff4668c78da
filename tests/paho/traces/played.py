"""A broker that a test plays: it says what the test says, and writes down what a client sends.

Each connection is a ``Link``. A thread of its own reads it, so a client is never held up; the test takes what came with
``gets`` and answers with ``sends``, in its own thread or in one beside it.
"""

import select
import socket
import struct
import threading
from collections import deque
from contextlib import suppress
from typing import TypeVar

from telex.codes import CONNECT, ReasonCode
from telex.errors import ProtocolError
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
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
)
from tests.paho.traces.values import packet_text

SECONDS = 10.0
"""How long anything may take before its test fails."""

P = TypeVar("P", bound=Packet)
_BRIDGE = 0x80


class Link:
    """One connection: the client's packets, and the broker's hand."""

    def __init__(self, broker: "PlayedBroker", taken: socket.socket) -> None:
        self.written: list[str] = []
        """All that came, as text."""
        self.version = 4
        self.will_oblige = False  # publications and subscriptions are answered as good brokers do
        self._broker = broker
        self._socket = taken
        self._packets: deque[Packet] = deque()
        self._news = threading.Condition()
        self._writing = threading.Lock()
        self._decoder = Decoder()
        self._garbage = bytearray()  # what came behind something that is no MQTT
        self._is_garbage = False
        self._is_over = False
        self._may_read = threading.Event()
        self._may_read.set()
        self._upstream: socket.socket | None = None
        self._relay: threading.Thread | None = None
        self._thread = threading.Thread(target=self._reads, name="played broker")

    def begins(self) -> None:
        """Read what comes, from now on."""
        self._thread.start()

    # What the test calls

    def gets(self, kind: type[P]) -> P:
        """The next packet of the client, which must be one of that kind."""
        with self._news:
            came = self._news.wait_for(lambda: self._packets or self._is_over, SECONDS)
            assert came, f"no {kind.__name__} came"
            assert self._packets, f"the connection ended before {kind.__name__}; it brought {self.written}"
            packet = self._packets.popleft()
        assert isinstance(packet, kind), f"expected {kind.__name__}, got {packet_text(packet)}"
        return packet

    @property
    def has_packet(self) -> bool:
        """Whether ``gets`` has something to give, or the connection is over."""
        with self._news:
            return bool(self._packets) or self._is_over

    def opens(self, connack: ConnAck | None = None) -> "Link":
        """CONNECT comes, CONNACK goes."""
        self.gets(Connect)
        self.sends(connack or ConnAck())
        return self

    def sends(self, *packets: Packet) -> None:
        """In one write."""
        self.sends_bytes(b"".join(encode(packet, self.version) for packet in packets))

    def sends_bytes(self, data: bytes) -> None:
        """In one write, whatever they are."""
        with self._writing:
            self._socket.sendall(data)

    def closes(self) -> None:
        """The broker hangs up, politely: what it sent before is read first."""
        with suppress(OSError):  # the client may have been quicker
            self._socket.shutdown(socket.SHUT_RDWR)

    def resets(self) -> None:
        """The broker dies: the connection is reset."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)  # the reading thread wakes and closes

    def is_over(self) -> None:
        """The client has hung up."""
        with self._news:
            assert self._news.wait_for(lambda: self._is_over, SECONDS), "the client did not hang up"

    def obliges(self) -> "Link":
        """From now on the broker answers publications and subscriptions by itself."""
        self.will_oblige = True
        return self

    def stalls(self) -> None:
        """The broker reads no more, until it ``flows``: sockets fill up."""
        self._may_read.clear()

    def flows(self) -> None:
        """It does again."""
        self._may_read.set()

    # The reading thread

    def _reads(self) -> None:
        try:
            if self._broker.upstream is not None:
                self._upstream = socket.create_connection(self._broker.upstream, SECONDS)
                self._upstream.settimeout(None)
                self._relay = threading.Thread(target=self._relays, args=(self._upstream,), name="played relay")
                self._relay.start()
            while data := self._receive():
                self._take(data)
        except OSError:
            pass  # reset, by either side
        finally:
            if self._upstream is not None and self._relay is not None:
                with suppress(OSError):
                    self._upstream.shutdown(socket.SHUT_WR)
                self._relay.join(SECONDS)  # until the real broker knows of the end, too
            with self._news:
                self._is_over = True
                self._news.notify_all()
            with self._writing:
                self._socket.close()

    def _receive(self) -> bytes:
        select.select([self._socket], [], [])  # reads nothing of what comes while the test lets it stall
        self._may_read.wait(SECONDS)
        return self._socket.recv(65_536)

    def _take(self, data: bytes) -> None:
        if self._upstream is not None:
            self._upstream.sendall(data)
        found: list[Packet] = []
        bridge = " as a bridge" if not self.written and _is_bridge(data) else ""
        try:
            self._decoder.receive(data)
            while not self._is_garbage and (packet := self._decoder.next_packet()) is not None:
                found.append(packet)
        except ProtocolError as error:
            self._is_garbage = True
            self._garbage += f"no MQTT: {ReasonCode(error.reason_code).name}".encode()
        with self._news:
            self.version = self._decoder.version or 4
            self.written.extend(packet_text(packet) + bridge for packet in found)
            self._packets.extend(found)
            self._news.notify_all()
        if self.will_oblige:
            for packet in found:
                self._oblige(packet)

    def _oblige(self, packet: Packet) -> None:
        if isinstance(packet, Publish) and packet.qos > 0:
            self.sends(PubAck(packet.packet_id) if packet.qos == 1 else PubRec(packet.packet_id))
        elif isinstance(packet, PubRec):
            self.sends(PubRel(packet.packet_id))
        elif isinstance(packet, PubRel):
            self.sends(PubComp(packet.packet_id))
        elif isinstance(packet, Subscribe):
            self.sends(SubAck(packet.packet_id, [each.qos for each in packet.requests]))
        elif isinstance(packet, Unsubscribe):
            codes = [0] * len(packet.topic_filters) if self.version == 5 else []
            self.sends(UnsubAck(packet.packet_id, codes))
        elif isinstance(packet, Disconnect):
            self.closes()

    def _relays(self, upstream: socket.socket) -> None:
        """What a real broker answers goes to the client."""
        with upstream, suppress(OSError):
            while data := upstream.recv(65_536):
                self.sends_bytes(data)
            self.closes()

    def finishes(self) -> None:
        """Read what is left, until the client has hung up."""
        self._thread.join(SECONDS)
        if self._thread.is_alive():
            self.closes()
            self._thread.join(SECONDS)
            raise AssertionError("a client did not hang up")

    @property
    def account(self) -> list[str]:
        """All that came, as text."""
        return self.written + ([self._garbage.decode()] if self._is_garbage else [])


def _is_bridge(data: bytes) -> bool:
    """Whether a CONNECT has Mosquitto's sign of a bridge: the top bit of the protocol version."""
    position = 1
    while data[position] & 0x80:  # the remaining length
        position += 1
    name_length = int.from_bytes(data[position + 1 : position + 3], "big")
    return data[0] == CONNECT << 4 and data[position + 3 + name_length] & _BRIDGE != 0


class PlayedBroker:
    """Listens on a free port of 127.0.0.1.

    Args:
        upstream: a real broker: all goes to it, and comes from it.
    """

    def __init__(self, *, upstream: tuple[str, int] | None = None) -> None:
        self.upstream = upstream
        self.links: list[Link] = []
        self.host = "127.0.0.1"
        self._accepted: deque[Link] = deque()
        self._news = threading.Condition()
        # The port remains its own while it does not listen: a client would come to whoever else got it.
        self._port = socket.socket()
        self._port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._port.bind((self.host, 0))
        self.port: int = self._port.getsockname()[1]
        self._listener: socket.socket | None = None
        self.starts()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, as ``Client.connect`` takes them."""
        return self.host, self.port

    def starts(self) -> None:
        """Listen again, where it did before."""
        listener = socket.create_server((self.host, self.port))
        self._listener = listener
        self._thread = threading.Thread(target=self._serves, args=(listener,), name="played listener")
        self._thread.start()

    def stops(self) -> None:
        """Listen no more; connections that are there stay."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept
            self._thread.join(SECONDS)
            self._listener.close()
            self._listener = None

    def ends(self) -> None:
        """Listen no more, and give the port back."""
        self.stops()
        self._port.close()

    def accepts(self) -> Link:
        """The next connection."""
        with self._news:
            assert self._news.wait_for(lambda: self._accepted, SECONDS), "no client came"
            return self._accepted.popleft()

    def opens(self, connack: ConnAck | None = None) -> Link:
        """A connection, with CONNECT and CONNACK."""
        return self.accepts().opens(connack)

    def _serves(self, listener: socket.socket) -> None:
        while True:
            try:
                taken, _ = listener.accept()
            except OSError:
                return
            taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = Link(self, taken)
            with self._news:
                self.links.append(link)
                self._accepted.append(link)
                self._news.notify_all()
            link.begins()
