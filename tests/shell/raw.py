"""A client that sends and reads packets over a real socket, and nothing by itself."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from telex.wire.decode import Decoder
from telex.wire.encode import encode
from telex.wire.packets import ConnAck, Connect, Packet, SubAck, Subscribe, SubscriptionRequest
from tests.engine.world import take_reason

SECONDS = 10.0
"""How long anything may take before its test fails."""


class RawClient:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, version: int) -> None:
        self.reader = reader
        self.writer = writer
        self.version = version
        self.decoder = Decoder(version=version)
        self.connack = ConnAck()  # what the broker said to the CONNECT

    async def send(self, *packets: Packet) -> None:
        self.writer.write(b"".join(encode(packet, self.version) for packet in packets))
        await self.writer.drain()

    async def receive(self) -> Packet | None:
        """The next packet, without its Reason String; None if the broker has closed the connection."""
        async with asyncio.timeout(SECONDS):
            while (packet := self.decoder.next_packet()) is None:
                data = await self.reader.read(65_536)
                if not data:
                    return None
                self.decoder.receive(data)
        take_reason(packet)
        return packet

    async def subscribe(self, topic_filter: str, qos: int = 0) -> None:
        await self.send(Subscribe(1, [SubscriptionRequest(topic_filter, qos)]))
        assert await self.receive() == SubAck(1, [qos])


@asynccontextmanager
async def open_socket(port: int, version: int = 5, *, receive_buffer: int = 0) -> AsyncIterator[RawClient]:
    """A connection on which nothing was sent yet.

    With a small ``receive_buffer``, in bytes, the broker soon notices that nobody reads.
    """
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=connection)
    try:
        yield RawClient(reader, writer, version)
    finally:
        writer.close()
        with suppress(ConnectionError):  # the broker was first
            await writer.wait_closed()


@asynccontextmanager
async def connected(port: int, connect: Connect | None = None, *, receive_buffer: int = 0) -> AsyncIterator[RawClient]:
    """A connection whose CONNECT was accepted."""
    packet = connect or Connect()
    async with open_socket(port, packet.version, receive_buffer=receive_buffer) as client:
        await client.send(packet)
        connack = await client.receive()
        assert isinstance(connack, ConnAck)
        assert connack.reason_code == 0
        client.connack = connack
        yield client
