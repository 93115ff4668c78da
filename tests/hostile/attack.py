"""Who attacks, in a process of its own: it reads what to do, one JSON object a line, and tells what came of each.

Run as a program. Its bytes are written by hand: whoever attacks has no use for our
encoder. It is as polite to the machine as it is rude to the broker: by its nice value
it takes what time others leave, since a real attacker has a machine of its own.
"""

import asyncio
import base64
import json
import os
import random
import resource
import socket
import ssl
import struct
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

NICE: Final = 19
SECONDS: Final = 30.0
AT_ONCE: Final = 100
"""Connections that are being made at a time: as many as a kernel takes for a program that is busy."""

held: list[socket.socket] = []
"""Connections that are there, and say nothing more."""


def counted(data: bytes) -> bytes:
    """Bytes behind their number, as MQTT writes texts."""
    return struct.pack("!H", len(data)) + data


def framed(first: int, body: bytes) -> bytes:
    """A packet."""
    length = bytearray()
    left = len(body)
    while True:
        left, byte = left >> 7, left & 0x7F
        length.append(byte | 0x80 if left else byte)
        if not left:
            return bytes([first]) + bytes(length) + body


def connect_bytes(client_id: str, user: str = "", password: str = "", version: int = 4) -> bytes:
    """A CONNECT."""
    flags = 0x02 | (0x80 if user else 0) | (0x40 if password else 0)
    body = counted(b"MQTT") + bytes([version, flags]) + struct.pack("!H", 60) + (b"\0" if version == 5 else b"")
    body += counted(client_id.encode())
    for text in (user, password):
        if text:
            body += counted(text.encode())
    return framed(0x10, body)


def publish_bytes(topic: str, payload: bytes, version: int = 4) -> bytes:
    """A PUBLISH of QoS 0."""
    return framed(0x30, counted(topic.encode()) + (b"\0" if version == 5 else b"") + payload)


def client_hello() -> bytes:
    """What a TLS client says first."""
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


UPGRADE: Final = (
    b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: mqtt\r\n\r\n"
)

WEBSOCKET_CLOSE: Final = b"\x88\x02"
"""What a Close begins with; a code of two bytes follows."""

FIRST_WORDS: Final[dict[str, Callable[[], bytes]]] = {
    "nothing": lambda: b"",
    "half a CONNECT": lambda: connect_bytes("half")[:9],
    "ClientHello": client_hello,
    "half a ClientHello": lambda: client_hello()[:60],
    "half an upgrade": lambda: UPGRADE[:80],
    "an upgrade": lambda: UPGRADE,
    "half a PROXY header": lambda: b"PROXY TCP4 192.0.2.1",
}
"""What those say who never come to an end."""

# Doing it


async def opened(port: int, source: str = "127.0.0.1") -> socket.socket:
    """A connection from one of the addresses of this machine."""
    loop = asyncio.get_running_loop()
    peer = socket.socket()
    peer.setblocking(False)
    try:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "IP_BIND_ADDRESS_NO_PORT"):
            peer.setsockopt(socket.IPPROTO_IP, socket.IP_BIND_ADDRESS_NO_PORT, 1)
        peer.bind((source, 0))
        async with asyncio.timeout(SECONDS):
            await loop.sock_connect(peer, ("127.0.0.1", port))
    except BaseException:
        peer.close()
        raise
    return peer


@asynccontextmanager
async def visiting(port: int, source: str = "127.0.0.1") -> AsyncIterator[socket.socket]:
    """A connection that is closed in the end."""
    peer = await opened(port, source)
    try:
        yield peer
    finally:
        peer.close()


async def end_of(peer: socket.socket) -> bytes:
    """All that still comes, until the other side closes, or says Close by WebSocket and waits for our answer."""
    loop = asyncio.get_running_loop()
    came = b""
    with suppress(ConnectionError):
        while not came.startswith(WEBSOCKET_CLOSE, -4) and (data := await loop.sock_recv(peer, 65_536)):
            came += data
    return came


async def each_of(count: int, act: Callable[[int], Awaitable[str]], at_once: int = AT_ONCE) -> dict[str, int]:
    """Do something so often, some of them at a time; how often what came of it."""
    results: Counter[str] = Counter()
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            try:
                results[await act(number)] += 1
            except OSError as error:
                results[type(error).__name__] += 1

    await asyncio.gather(*(work() for _ in range(min(count, at_once))))
    return dict(results)


async def said(peer: socket.socket, wanted: int) -> bytes:
    """So many bytes, or those that come before the end."""
    loop = asyncio.get_running_loop()
    came = b""
    while len(came) < wanted:
        data = await loop.sock_recv(peer, wanted - len(came))
        if not data:
            break
        came += data
    return came


async def hold(port: int, count: int, sources: list[str], words: str) -> dict[str, int]:
    """Open connections that say something, or nothing, and then no more."""
    data = FIRST_WORDS[words]()

    async def act(number: int) -> str:
        peer = await opened(port, sources[number % len(sources)])
        held.append(peer)
        if data:
            await asyncio.get_running_loop().sock_sendall(peer, data)
        return "open"

    return await each_of(count, act)


async def wait_until_closed() -> dict[str, int]:
    """Wait until the broker has closed all of those that are held."""
    peers = held[:]
    held.clear()

    async def act(number: int) -> str:
        with peers[number] as peer:
            await end_of(peer)
        return "closed"

    return await each_of(len(peers), act, len(peers))


async def let_go() -> dict[str, int]:
    """Close them ourselves."""
    count = len(held)
    while held:
        held.pop().close()
    return {"closed": count}


async def trickle(
    port: int, count: int, sources: list[str], start: str, words: str, pause: float, chunk: int = 1
) -> dict[str, int]:
    """Say something (in base64) over and over, a few bytes at a time, for as long as the broker listens."""
    loop = asyncio.get_running_loop()
    data = base64.b64decode(words)

    async def act(number: int) -> str:
        async with visiting(port, sources[number % len(sources)]) as peer:
            await loop.sock_sendall(peer, FIRST_WORDS[start]())
            ending = loop.create_task(end_of(peer))
            sent = 0
            with suppress(ConnectionError):
                while not ending.done():
                    await loop.sock_sendall(peer, data[sent : sent + chunk])
                    sent = (sent + chunk) % len(data)
                    await asyncio.wait([ending], timeout=pause)
            await ending
        return "closed"

    return await each_of(count, act, count)


async def together(orders: list[dict[str, Any]]) -> dict[str, Any]:
    """Several attacks at once."""
    results = await asyncio.gather(*(ATTACKS[order.pop("attack")](**order) for order in orders))
    return {str(number): result for number, result in enumerate(results)}


async def log_in(
    port: int, count: int, sources: list[str], users: list[str], password: str, at_once: int = AT_ONCE, version: int = 4
) -> dict[str, int]:
    """CONNECT with a password that may be wrong, and hear what is said to that."""

    async def act(number: int) -> str:
        async with visiting(port, sources[number % len(sources)]) as peer:
            loop = asyncio.get_running_loop()
            user = users[number % len(users)]
            shown = password or base64.b64encode(random.randbytes(200)).decode()
            await loop.sock_sendall(peer, connect_bytes(f"a{number}", user, shown, version))
            answer = await said(peer, 4)
            return f"{answer[3]:#04x}" if len(answer) == 4 else "closed"

    return await each_of(count, act, at_once)


async def come_and_leave(port: int, count: int, sources: list[str], says_goodbye: bool) -> dict[str, int]:
    """Log in, say something, be gone."""

    async def act(number: int) -> str:
        async with visiting(port, sources[number % len(sources)]) as peer:
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(peer, connect_bytes(f"c{random.getrandbits(60)}"))
            answer = await said(peer, 4)
            if len(answer) < 4:
                return "closed"
            await loop.sock_sendall(peer, publish_bytes(f"from/{number}", b"x"))
            if says_goodbye:
                await loop.sock_sendall(peer, b"\xe0\0")
                await end_of(peer)
            return f"{answer[3]:#04x}"

    return await each_of(count, act)


async def chase(port: int, seconds: float, sources: list[str], client_id: str, at_once: int) -> dict[str, int]:
    """Take one client id from each other for so long; who is thrown out comes again."""
    taken: Counter[str] = Counter()

    async def pursue(number: int) -> None:
        while True:
            with suppress(ConnectionError):
                async with visiting(port, sources[number % len(sources)]) as peer:
                    await asyncio.get_running_loop().sock_sendall(peer, connect_bytes(client_id))
                    answer = await said(peer, 4)
                    taken[f"{answer[3]:#04x}" if len(answer) == 4 else "closed"] += 1
                    await end_of(peer)

    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(pursue(number) for number in range(at_once)))
    return dict(taken)


async def flood(
    port: int, clients: int, sources: list[str], topic: str, size: int, count: int, names: list[str] | None = None
) -> dict[str, Any]:
    """Publish as much as goes out, until it is enough or the broker ends it. {} in the topic is a number."""
    loop = asyncio.get_running_loop()
    sent = 0

    async def act(number: int) -> str:
        nonlocal sent
        async with visiting(port, sources[number % len(sources)]) as peer:
            name = names[number] if names else f"flood-{number}"
            await loop.sock_sendall(peer, connect_bytes(name, version=5))
            answer = await said(peer, 2)
            if len(answer) < 2:
                return "closed"
            await said(peer, answer[1])
            ending = loop.create_task(end_of(peer))
            payload = b"x" * size
            begun = 0
            try:
                while begun < count and not ending.done():
                    many = range(begun, min(begun + 200, count))
                    data = b"".join(publish_bytes(topic.format(each), payload, 5) for each in many)
                    sending = loop.create_task(loop.sock_sendall(peer, data))
                    await asyncio.wait([sending, ending], return_when=asyncio.FIRST_COMPLETED)
                    if not sending.done():
                        sending.cancel()
                        break
                    sending.result()
                    begun += len(many)
                    sent += len(many)
                if begun == count:
                    await loop.sock_sendall(peer, b"\xc0\0")  # PINGREQ: its answer says that all was read
                    await asyncio.wait([ending], timeout=0)
                    await loop.sock_sendall(peer, b"\xe0\0")
            except ConnectionError:
                pass
            last = await ending
        found = last.rfind(b"\xe0")
        return f"{last[found + 2]:#04x}" if 0 <= found < len(last) - 2 else "closed"

    ends = await each_of(clients, act, clients)
    return {**ends, "sent": sent}


ATTACKS: Final[dict[str, Callable[..., Awaitable[dict[str, Any]]]]] = {
    each.__name__: each
    for each in (hold, wait_until_closed, let_go, trickle, together, log_in, come_and_leave, chase, flood)
}


async def main() -> None:
    """Do what each line says."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        result = await ATTACKS[order.pop("attack")](**order)
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    os.nice(NICE)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(main())
