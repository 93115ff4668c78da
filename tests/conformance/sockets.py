"""The world of ``tests/engine/world.py`` over real sockets: the same words, a broker behind TCP.

Knows how to tell that a broker has done all that it was asked for: after each
step every client sends PINGREQ and reads until PINGRESP, again and again until
nobody heard anything new. So a story may say what did *not* come, without a
sleep. Knows nothing of the broker but its address.
"""

import asyncio
import socket
import threading
from contextlib import suppress
from typing import Any, Self

from telex.engine.options import Options
from telex.engine.seams import Gate
from telex.server.broker import Broker
from telex.wire.packets import ConnAck, Connect, Disconnect, Packet, PingResp, Publish, Will
from tests.engine.world import Client, Manners, World

SECONDS = 5.0
"""How long a broker may take for any answer before the test fails."""

_PINGREQ = b"\xc0\x00"


class BrokerThread:
    """Telex behind a socket, with an event loop of its own."""

    def __init__(self, options: Options | None, gate: Gate | None) -> None:
        self._loop = asyncio.new_event_loop()
        self._broker = Broker(port=0, options=options, gate=gate, sys_interval=0)
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._run(self._broker.start())

    @property
    def address(self) -> tuple[str, int]:
        return self._broker.host, self._broker.port

    def stop(self) -> None:
        self._run(self._broker.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(SECONDS)


class SocketWorld(World):
    """A broker behind an address, and all who talk to it in one test.

    Time passes by itself here, so a story that moves the clock, looks into the
    engine or lets clients freeze is for ``World`` alone.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__()
        self.address = address
        self.clients: list[SocketClient] = []
        self.client_ids: set[tuple[str, int]] = set()  # that may have left a session behind, with their versions
        self.retained: set[str] = set()  # topics that may have a retained message
        self._is_settling = False

    def new_client(self, name: str, manners: Manners) -> "SocketClient":
        client = SocketClient(self, name, manners)
        self.clients.append(client)
        return client

    def flush(self) -> None:
        """Wait until the broker has done all that was asked, and everybody has heard of it."""
        if self._is_settling:
            return
        self._is_settling = True
        try:
            for _ in range(10_000):
                heard = [client.listens() for client in self.clients]
                if not any(heard):
                    return
            raise AssertionError("the broker and its clients talk for ever")
        finally:
            self._is_settling = False

    def advance(self, seconds: float) -> None:
        raise AssertionError("time passes by itself on a real socket: ask for the fixture `engine` in place of `world`")

    def closes(self) -> None:
        """Leave nothing behind at the broker: it may be another's, and others of these tests come after."""
        for client in self.clients:
            client.hangs_up()
        self.clients.clear()
        for client_id, version in sorted(self.client_ids):
            if client_id:
                self._visit(client_id, version)
        if self.retained:
            self._visit("conformance-cleaner", 4, *[Publish(topic, retain=True) for topic in sorted(self.retained)])

    def _visit(self, client_id: str, version: int, *packets: Packet) -> None:
        client = SocketClient(self, client_id, Manners(version=version))
        client.sends(Connect(client_id, version=version), *packets)
        while not isinstance(client.reads(), ConnAck | None):
            pass
        if packets and client.is_open:
            client.pings()
        client.hangs_up()


class SocketClient(Client):
    """One connection over TCP. It reads only when the world settles, or somebody looks at what it got."""

    world: SocketWorld
    _awaits_answer = False  # it has no CONNACK, and has sent something

    def _opens(self) -> None:
        self.is_open = True  # the socket; ``is_connected`` looks first
        self._socket = socket.create_connection(self.world.address, timeout=SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._bytes = b""  # of a packet that has not come whole
        self._has_left = False  # it said DISCONNECT
        self._pings = 0  # PINGREQs of the story that were not answered yet

    # What a story looks at

    @property
    def got(self) -> list[Packet]:
        self._look()
        return self._got

    @got.setter
    def got(self, packets: list[Packet]) -> None:
        self._got = packets

    @property
    def is_connected(self) -> bool:
        self._look()
        return self.is_open

    @is_connected.setter
    def is_connected(self, value: bool) -> None:
        self.is_open = value

    @property
    def connack(self) -> ConnAck | None:
        self._look()
        return self._connack

    @connack.setter
    def connack(self, packet: ConnAck | None) -> None:
        self._connack = packet

    def _look(self) -> None:
        """Before CONNACK an answer is waited for only here: half a CONNECT gets none."""
        if self._awaits_answer:
            self.reads()
            self.world.flush()

    # What it does

    def sends(self, *packets: Packet) -> Self:
        for packet in packets:
            self._remember(packet)
        return super().sends(*packets)

    def sends_bytes(self, data: bytes) -> Self:
        assert self.is_open, f"{self.name} has no connection any more; it got {self._got}"
        self._pings += count_pings(data)
        self._transmit(data)
        if self._connack is None:
            self._awaits_answer = True
        self.listens()  # first of all: what it said has reached the broker
        self.world.flush()
        return self

    def drops(self) -> Self:
        if self.is_open:
            self._socket.shutdown(socket.SHUT_WR)
            while self.is_open:  # that the broker closes too says that it has noticed
                self.reads()
            self.world.flush()
        return self

    def empty_outbox(self) -> None:
        raise AssertionError("a real socket is not emptied by hand: ask for the fixture `engine` in place of `world`")

    def _remember(self, packet: Packet) -> None:
        """Note what this leaves behind at the broker."""
        message: Publish | Will | None = None
        if isinstance(packet, Connect):
            self.world.client_ids.add((packet.client_id, packet.version))
            message = packet.will
        elif isinstance(packet, Publish):
            message = packet
        elif isinstance(packet, Disconnect):
            self._has_left = True
        if message is not None and message.retain and message.topic:
            self.world.retained.add(message.topic)

    # The wire

    def _transmit(self, data: bytes) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # it has closed; what it said is still to be read
            self._socket.sendall(data)

    def listens(self) -> bool:
        """Read all that the broker has for us by now: whether there was anything."""
        if not self.is_open or self._connack is None:
            return False
        before = len(self.sizes)
        if self._has_left:
            while self.is_open:
                self.reads()
            return True
        self.pings()
        return len(self.sizes) > before or not self.is_open

    def pings(self) -> None:
        """Send PINGREQ and read until its PINGRESP, which is no part of the story."""
        self._transmit(_PINGREQ)
        self._pings += 1
        while self._pings > 0 and self.is_open:
            packet = self.reads()
            if isinstance(packet, PingResp):
                self._pings -= 1
                if self._pings == 0:
                    self._got.pop()
                    self.sizes.pop()

    def reads(self) -> Packet | None:
        """The next packet; None if the broker has closed the connection."""
        self._awaits_answer = False
        while True:
            size = whole_packet(self._bytes)
            if size:
                data, self._bytes = self._bytes[:size], self._bytes[size:]
                self.hears(data)
                return self._got[-1]
            try:
                data = self._socket.recv(1 << 16)
            except ConnectionResetError:
                data = b""
            except TimeoutError:
                raise AssertionError(f"{self.name} waited {SECONDS} s; it got {self._got} so far") from None
            if not data:
                self.hangs_up()
                return None
            self._bytes += data

    def hangs_up(self) -> None:
        """Close the socket."""
        self.is_open = False
        self._socket.close()


def whole_packet(data: bytes) -> int:
    """The size of the packet that the bytes begin with, or 0 if it has not come whole (section 2.1)."""
    length, shift, position = 0, 0, 1
    while position < len(data):
        byte = data[position]
        position += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return position + length if position + length <= len(data) else 0
    return 0


def count_pings(data: bytes) -> int:
    """How many PINGREQ packets are among the bytes."""
    count = 0
    while size := whole_packet(data):
        count += data[:size] == _PINGREQ
        data = data[size:]
    return count
