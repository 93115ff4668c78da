"""A server for WebSockets that repeats what it gets, and a client that says exactly what a test wants it to say."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from telex.server.config import Listener
from telex.server.web.server import WebServer
from telex.streams.stream import Handler, Stream

SECONDS = 10.0
"""How long anything may take before its test fails."""

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, section 1.3

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Echo:
    """Sends back what comes, and remembers what happened."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.reads: list[bytes] = []
        self.was_writable = 0
        self.reason: str | None = None
        self.over = asyncio.Event()

    @property
    def bytes_received(self) -> bytes:
        return b"".join(self.reads)

    def received(self, data: bytes) -> None:
        self.reads.append(data)
        self.stream.write(data)

    def writable(self) -> None:
        self.was_writable += 1

    def lost(self, reason: str) -> None:
        assert self.reason is None
        self.reason = reason
        self.over.set()


class Serving:
    """A server on a free port."""

    def __init__(self, listener: Listener, handler: Callable[[Stream], Any] = Echo, **options: Any) -> None:
        self.handlers: list[Any] = []
        self._new_handler = handler
        self.server = WebServer(listener, self._opened, **options)
        self.port = 0

    def _opened(self, stream: Stream) -> Handler:
        handler: Handler = self._new_handler(stream)
        self.handlers.append(handler)
        return handler


@asynccontextmanager
async def serving(
    listener: Listener | None = None,
    handler: Callable[[Stream], Any] = Echo,
    *,
    tls: ssl.SSLContext | None = None,
    **options: Any,
) -> AsyncIterator[Serving]:
    """A server; at the end nothing of it is left."""
    serving = Serving(listener or Listener(protocol="websocket"), handler, **options)
    await serving.server.start()
    door = await asyncio.get_running_loop().create_server(serving.server.factory, "127.0.0.1", 0, ssl=tls)
    serving.port = door.sockets[0].getsockname()[1]
    try:
        yield serving
    finally:
        door.close()
        await serving.server.stop()
        for handler_ in serving.handlers:
            handler_.stream.abort()
            await asyncio.wait_for(handler_.over.wait(), SECONDS)
        assert serving.server.websocket_count == 0
        await until(lambda: serving.server.connection_count == 0)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.001)


def masked(key: bytes, payload: bytes) -> bytes:
    """One byte after the other, as section 5.3 has it."""
    return bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))


def frame(payload: bytes, opcode: int = BINARY, *, fin: bool = True, key: bytes = b"\x12\x9a\x00\xff") -> bytes:
    """A client's frame."""
    length = len(payload)
    if length < 126:
        head = bytes([0x80 | length])
    elif length < 65_536:
        head = b"\xfe" + length.to_bytes(2, "big")
    else:
        head = b"\xff" + length.to_bytes(8, "big")
    return bytes([(0x80 if fin else 0) | opcode]) + head + key + masked(key, payload)


def request(path: str = "/mqtt", **changes: str | None) -> bytes:
    """A handshake; headers are named with ``_`` for ``-``, and None leaves one out."""
    headers: dict[str, str | None] = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY.decode(),
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "mqtt",
    }
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Peer:
    """A client's end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> bytes:
        """The head of an HTTP response."""
        async with asyncio.timeout(SECONDS):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def shakes_hands(self, path: str = "/mqtt", **changes: str | None) -> bytes:
        self.send(request(path, **changes))
        head = await self.head()
        assert head.startswith(b"HTTP/1.1 101 "), head
        return head

    async def frame(self) -> tuple[int, bytes]:
        """The next frame's opcode and payload; it is whole, and not masked."""
        async with asyncio.timeout(SECONDS):
            first, second = await self.reader.readexactly(2)
            assert first & 0xF0 == 0x80
            assert second < 0x80
            length = second
            if length == 126:
                length = int.from_bytes(await self.reader.readexactly(2), "big")
            elif length == 127:
                length = int.from_bytes(await self.reader.readexactly(8), "big")
            return first & 0x0F, await self.reader.readexactly(length)

    async def payload(self, length: int) -> bytes:
        """So many bytes out of binary frames, which end there."""
        found = b""
        while len(found) < length:
            opcode, payload = await self.frame()
            assert opcode == BINARY
            found += payload
        assert len(found) == length
        return found

    async def end(self) -> bytes:
        """What comes until the server has closed the connection."""
        async with asyncio.timeout(SECONDS):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""


@asynccontextmanager
async def peer(port: int, *, receive_buffer: int = 0) -> AsyncIterator[Peer]:
    """A connection on which nothing was said yet."""
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=connection)
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
