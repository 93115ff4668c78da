"""Peers of the client under test that never lose their connection, and a server that a test plays by hand.

They use the codec and nothing of the client.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from telex.wire.decode import Decoder
from telex.wire.encode import encode
from telex.wire.packets import (
    Connect,
    Packet,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionRequest,
)
from tests.shell.raw import RawClient, connected

SECONDS = 20.0
"""How long anything may take before its test fails."""


class Witness:
    """Takes down what a broker delivers, and publishes at QoS 2, each message after the one before.

    Its own connection is never cut: what it sees twice was published twice.
    """

    def __init__(self, client: RawClient) -> None:
        self.messages: list[Publish] = []
        self._client = client
        self._owned: set[int] = set()
        self._answers: dict[int, asyncio.Future[None]] = {}  # by packet id
        self._last_id = 0
        said = client.connack.properties
        most = None if said is None else said.receive_maximum
        self._quota = asyncio.Semaphore(most or 65_535)  # [MQTT-3.3.4-7]
        self._news = asyncio.Condition()

    def payloads(self, topic: str) -> list[bytes]:
        """What came on a topic, in order."""
        return [message.payload for message in self.messages if message.topic == topic]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is true of what came."""
        async with asyncio.timeout(SECONDS), self._news:
            await self._news.wait_for(condition)

    async def subscribe(self, topic_filter: str, qos: int = 2) -> None:
        packet_id = self._next_id()
        await self._ask(packet_id, Subscribe(packet_id, [SubscriptionRequest(topic_filter, qos)]))

    async def publish(self, topic: str, payload: bytes) -> None:
        """Exactly once; afterwards the broker has it."""
        async with self._quota:
            packet_id = self._next_id()
            await self._ask(packet_id, Publish(topic, payload, 2, packet_id=packet_id))
            await self._ask(packet_id, PubRel(packet_id))

    async def publish_carelessly(self, topic: str, payload: bytes) -> None:
        """At QoS 0."""
        await self._client.send(Publish(topic, payload))

    def _next_id(self) -> int:
        self._last_id = self._last_id % 65_535 + 1
        return self._last_id

    async def _ask(self, packet_id: int, question: Packet) -> None:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answers[packet_id] = answer
        await self._client.send(question)
        async with asyncio.timeout(SECONDS):
            await answer

    async def listen(self) -> None:
        """Read and acknowledge whatever comes."""
        while data := await self._client.reader.read(65_536):
            self._client.decoder.receive(data)
            answers: list[Packet] = []
            while (packet := self._client.decoder.next_packet()) is not None:
                answers += self._answer(packet)
            if answers:
                await self._client.send(*answers)
            async with self._news:
                self._news.notify_all()

    def _answer(self, packet: Packet) -> list[Packet]:
        if isinstance(packet, Publish):
            if packet.packet_id not in self._owned:
                self.messages.append(packet)
            if packet.qos == 2:
                self._owned.add(packet.packet_id)
            return [[], [PubAck(packet.packet_id)], [PubRec(packet.packet_id)]][packet.qos]
        if isinstance(packet, PubRel):
            self._owned.discard(packet.packet_id)
            return [PubComp(packet.packet_id)]
        assert isinstance(packet, SubAck | PubRec | PubComp), packet
        answer = self._answers.pop(packet.packet_id)
        if not answer.done():  # nobody waits for it any more
            answer.set_result(None)
        return []


@asynccontextmanager
async def witness(port: int, *topic_filters: str) -> AsyncIterator[Witness]:
    """A witness who sees all that matches the filters."""
    async with connected(port, Connect(keep_alive=0)) as client:
        somebody = Witness(client)
        listening = asyncio.create_task(somebody.listen())
        try:
            for topic_filter in topic_filters:
                await somebody.subscribe(topic_filter)
            yield somebody
        finally:
            listening.cancel()
            (result,) = await asyncio.gather(listening, return_exceptions=True)
    assert isinstance(result, asyncio.CancelledError), result  # it has listened to the end


class Hand:
    """The server's hand on one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = Decoder()  # learns the version from CONNECT

    async def gets(self) -> Packet | None:
        """The next packet that the client sends; None when it has closed the connection."""
        while (packet := self._decoder.next_packet()) is None:
            try:
                data = await self._reader.read(65_536)
            except ConnectionError:
                return None
            if not data:
                return None
            self._decoder.receive(data)
        return packet

    async def sends(self, *packets: Packet) -> None:
        self._writer.write(b"".join(encode(packet, self._decoder.version) for packet in packets))
        await self._writer.drain()


Script = Callable[[Hand, int], Awaitable[None]]
"""What a server does on a connection: it gets the hand, and which connection this is, counted from 1."""


class Played:
    """A server that follows a script on each connection."""

    def __init__(self, port: int) -> None:
        self.address = f"mqtt://127.0.0.1:{port}"
        self.connections = 0
        self.errors: list[Exception] = []


@asynccontextmanager
async def playing(script: Script) -> AsyncIterator[Played]:
    """Such a server, on a free port; what fails in the script fails the test."""
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        task.add_done_callback(lambda _: writer.close())  # also if it was cancelled before it began
        tasks.add(task)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        played.connections += 1
        try:
            await script(Hand(reader, writer), played.connections)
        except ConnectionError:  # the client has gone, as it may
            pass
        except Exception as error:
            played.errors.append(error)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    played = Played(server.sockets[0].getsockname()[1])
    try:
        yield played
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert played.errors == []
