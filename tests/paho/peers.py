"""Who is at the other end of a connection that blocks: a thread for each door, and proxies on a loop in a thread."""

import asyncio
import select
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha1

from telex.paho.nonblocking import SocketLike, pending_of, receive
from tests.client.proxies import Proxy, serving

SECONDS = 10.0
"""How long anything may take before its test fails."""

Speak = Callable[[socket.socket], None]


@dataclass
class Door:
    """Where somebody listens, and what was seen there."""

    port: int
    clients: list[tuple[str, int]] = field(default_factory=list)
    """Where they came from."""
    names: list[str | None] = field(default_factory=list)
    """That TLS was asked for."""
    heads: list[str] = field(default_factory=list)
    """Requests for a WebSocket."""


def echo(sock: socket.socket) -> None:
    """Say everything again."""
    while data := sock.recv(65_536):
        sock.sendall(data)


@contextmanager
def listening(
    speak: Speak = echo, *, tls: ssl.SSLContext | None = None, family: int = socket.AF_INET, host: str = "127.0.0.1"
) -> Iterator[Door]:
    """Somebody who speaks to one client after the other, until the block ends."""
    with socket.create_server((host, 0), family=family) as listener:
        door = Door(listener.getsockname()[1])
        with serving_on(listener, door, speak, tls):
            yield door


@contextmanager
def serving_on(
    listener: socket.socket, door: Door, speak: Speak = echo, tls: ssl.SSLContext | None = None
) -> Iterator[Door]:
    """The same on a socket that somebody else has opened."""

    def secured(sock: socket.socket) -> socket.socket:
        if tls is None:
            return sock
        tls.sni_callback = lambda _sock, name, _context: door.names.append(name)
        return tls.wrap_socket(sock, server_side=True)

    def serve() -> None:
        while True:
            try:
                sock, address = listener.accept()
            except OSError:  # the block has ended
                return
            if isinstance(address, tuple):
                door.clients.append(address[:2])
            sock.settimeout(SECONDS)
            with sock, suppress(OSError):  # a client that goes away, or does not trust us
                with secured(sock) as sock:
                    speak(sock)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield door
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # which ends accept
        listener.close()
        thread.join(SECONDS)
        assert not thread.is_alive()


def websocket(door: Callable[[], Door], speak: Speak, *more: str, accept: str = "") -> Speak:
    """Say yes to a WebSocket, and speak in it.

    Args:
        door: where the request is to be found afterwards.
        speak: what comes next.
        more: further lines of the answer.
        accept: in place of the right key.
    """

    def answer(sock: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            data = sock.recv(4096)
            if not data:
                return
            head += data
        door().heads.append(head.decode())
        key = next(line[19:] for line in head.decode().split("\r\n") if line.startswith("Sec-WebSocket-Key: "))
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept or accept_key(key)}",
            *more,
        ]
        sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        speak(sock)

    return answer


def accept_key(key: str) -> str:
    """What RFC 6455 wants a server to make of a client's key (section 4.2.2)."""
    return b64encode(sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()


@contextmanager
def proxying(proxy: Proxy, protocol: str) -> Iterator[Proxy]:
    """Run a proxy, for those who block, that speaks ``socks4``, ``socks5`` or ``http``."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    context = serving(proxy, protocol)
    try:
        asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(SECONDS)
        try:
            yield proxy
            asyncio.run_coroutine_threadsafe(_left(proxy), loop).result(SECONDS)
        finally:
            asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(SECONDS)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(SECONDS)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _left(proxy: Proxy) -> None:
    """Wait until nobody is connected to a proxy; its clients have gone already."""
    while proxy.open:
        await asyncio.sleep(0.001)


def read(sock: SocketLike, size: int) -> bytes:
    """Read so many bytes of a connection that does not block."""
    data = b""
    while len(data) < size:
        data += read_some(sock, size - len(data))
    return data


def read_some(sock: SocketLike, size: int = 65_536) -> bytes:
    """Wait until there is something, or the end."""
    while True:
        try:
            return receive(sock, size)
        except BlockingIOError:
            assert pending_of(sock) or select.select([sock], [], [], SECONDS)[0], "nothing came"
