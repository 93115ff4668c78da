"""A broker that is played: it does what a test says, in a thread of its own.

It knows enough of MQTT for a run. What becomes of a message that came, its subclasses or ``deliver`` decide.
"""

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from telex import topics
from telex.codes import MQTT_5
from telex.wire.decode import Decoder
from telex.wire.encode import encode
from telex.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
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
)
from telex.wire.properties import Properties

SECONDS = 20.0

Deliver = Callable[[int, Publish], list[Publish]]
"""What becomes of a message: how many there were before it, and what it is. What is delivered in its place."""


def as_it_is(number: int, message: Publish) -> list[Publish]:
    return [message]


class Client:
    """One connection, as the broker sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.version = 4
        self.connect = Connect()
        self.filters: dict[str, int] = {}
        self.packet_id = 0

    def send(self, *packets: Packet) -> None:
        self.writer.write(b"".join(encode(each, self.version) for each in packets))


class Played:
    """Listens as long as it is entered.

    Args:
        deliver: what becomes of each message.
        connack: what each CONNECT gets; None: nothing.
        grants: what each filter gets; None: what was asked for.
        ignores: packet types that get no answer.
        leaves_after: so many messages, all connections are closed.
        acknowledges: with this reason code (MQTT 5).
    """

    def __init__(
        self,
        deliver: Deliver = as_it_is,
        *,
        connack: Callable[[Connect], ConnAck | None] = lambda connect: ConnAck(),
        grants: int | None = None,
        ignores: tuple[type[Packet], ...] = (),
        leaves_after: int = 0,
        acknowledges: int = 0,
    ) -> None:
        self.port = 0
        self.got: list[Packet] = []
        """All that came but messages and their acknowledgements, in its order."""
        self._deliver = deliver
        self._connack = connack
        self._grants = grants
        self._ignores = ignores
        self._leaves_after = leaves_after
        self._acknowledges = acknowledges
        self._clients: list[Client] = []
        self._serving: set[asyncio.Task[Any]] = set()
        self._count = 0  # messages
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)
        self._is_listening = threading.Event()
        self._stop: asyncio.Event

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._is_listening.wait(SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(SECONDS)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._listen())

    async def _listen(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._is_listening.set()
        await self._stop.wait()
        server.close()
        for client in self._clients:
            client.writer.transport.abort()
        if self._serving:
            await asyncio.wait(self._serving, timeout=SECONDS)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Client(reader, writer)
        self._clients.append(client)
        task = asyncio.current_task()
        assert task is not None  # this one
        self._serving.add(task)
        decoder = Decoder()
        try:
            while data := await reader.read(65_536):
                decoder.receive(data)
                while (packet := decoder.next_packet()) is not None:
                    self._came(client, packet)
        except OSError:
            pass
        finally:
            self._clients.remove(client)
            self._serving.discard(task)
            writer.transport.abort()

    def _came(self, client: Client, packet: Packet) -> None:
        if not isinstance(packet, Publish | PubAck | PubRec | PubRel | PubComp):
            self.got.append(packet)
        if isinstance(packet, self._ignores):
            return
        if isinstance(packet, Connect):
            client.version = packet.version
            client.connect = packet
            answer = self._connack(packet)
            if answer is not None:
                client.send(answer)
        elif isinstance(packet, Subscribe):
            for each in packet.requests:
                client.filters[each.topic_filter] = each.qos
            codes = [each.qos if self._grants is None else self._grants for each in packet.requests]
            client.send(SubAck(packet.packet_id, codes))
        elif isinstance(packet, Publish):
            self._publish(client, packet)
        elif isinstance(packet, PubRec):
            client.send(PubRel(packet.packet_id))
        elif isinstance(packet, PubRel):
            client.send(PubComp(packet.packet_id))
        elif isinstance(packet, PingReq):
            client.send(PingResp())

    def _publish(self, client: Client, packet: Publish) -> None:
        code = self._acknowledges if client.version == MQTT_5 else 0
        if packet.qos == 1:
            client.send(PubAck(packet.packet_id, code))
        elif packet.qos == 2:
            client.send(PubRec(packet.packet_id, code))
        if code < 0x80:
            for each in self._deliver(self._count, packet):
                self._route(each)
        self._count += 1
        if self._leaves_after and self._count >= self._leaves_after:
            for other in self._clients:
                if other.version == MQTT_5:
                    other.send(Disconnect(0x8B))
                other.writer.close()

    def _route(self, message: Publish) -> None:
        for client in self._clients:
            for topic_filter, granted in client.filters.items():
                if topics.matches(topic_filter, message.topic):
                    qos = min(granted, message.qos)
                    client.packet_id = client.packet_id % 65_535 + 1
                    client.send(Publish(message.topic, message.payload, qos, packet_id=client.packet_id if qos else 0))
                    break


def limits(**said: int) -> Callable[[Connect], ConnAck]:
    """A CONNACK that says what the broker can do."""
    return lambda connect: ConnAck(properties=Properties(**said))  # type: ignore[arg-type]
