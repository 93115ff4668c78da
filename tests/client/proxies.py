"""Small proxies for tests: SOCKS 4 and 5 (RFC 1928, RFC 1929), and CONNECT of HTTP."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from typing import Any


class Refuses(Exception):
    """The proxy has said no; what it said."""


class Proxy:
    """One proxy, and what it was asked for.

    Args:
        login: the user name and password that it wants; None: nobody has to say one.
        answer: the status that it has for everybody, in place of a way: bytes of the protocol.
        at_a_time: so many bytes of an answer leave at once.
    """

    def __init__(
        self, login: tuple[str, str] | None = None, answer: bytes | None = None, at_a_time: int = 65_536
    ) -> None:
        self.login = login
        self.answer = answer
        self.at_a_time = at_a_time
        self.asked: list[tuple[str, int]] = []
        self.users: list[str] = []
        self.clients: list[str] = []
        """Addresses that clients came from."""
        self.port = 0
        self.open = 0
        """How many connections to the proxy are open."""

    async def socks4(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int]:
        version, command = await reader.readexactly(2)
        assert (version, command) == (4, 1)
        port = int.from_bytes(await reader.readexactly(2), "big")
        address = await reader.readexactly(4)
        self.users.append((await reader.readuntil(b"\0"))[:-1].decode())
        host = str(ip_address(address))
        if address[:3] == bytes(3):  # SOCKS 4a
            host = (await reader.readuntil(b"\0"))[:-1].decode()
        self.asked.append((host, port))
        await self.say(writer, self.answer or b"\0\x5a" + bytes(6))
        return host, port

    async def socks5(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int]:
        version, count = await reader.readexactly(2)
        assert version == 5
        methods = await reader.readexactly(count)
        method = 0 if self.login is None else 2
        if method not in methods:
            await self.say(writer, b"\5\xff")
            raise Refuses
        await self.say(writer, bytes([5, method]))
        if self.login is not None:
            _, length = await reader.readexactly(2)
            user = (await reader.readexactly(length)).decode()
            password = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
            self.users.append(user)
            is_right = (user, password) == self.login
            await self.say(writer, b"\1\0" if is_right else b"\1\1")
            if not is_right:
                raise Refuses
        _, command, _, kind = await reader.readexactly(4)
        assert command == 1
        if kind == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            host = str(ip_address(await reader.readexactly(4 if kind == 1 else 16)))
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.asked.append((host, port))
        await self.say(writer, self.answer or b"\5\0\0\1" + bytes(6))
        return host, port

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int]:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, place, version = head[0].split(" ")
        assert (method, version) == ("CONNECT", "HTTP/1.1")
        assert f"Host: {place}" in head
        host, _, port = place.rpartition(":")
        if self.login is not None:
            wanted = b64encode(":".join(self.login).encode()).decode()
            if f"Proxy-Authorization: Basic {wanted}" not in head:
                await self.say(writer, b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                raise Refuses
            self.users.append(self.login[0])
        self.asked.append((host.strip("[]"), int(port)))
        await self.say(writer, self.answer or b"HTTP/1.1 200 Connection established\r\nX-Proxy: x\r\n\r\n")
        return host.strip("[]"), int(port)

    async def say(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        for start in range(0, len(data), self.at_a_time):
            writer.write(data[start : start + self.at_a_time])
            await writer.drain()
            if len(data) > self.at_a_time:
                await asyncio.sleep(0.001)  # so that it is a read of its own at the other end


Speak = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, tuple[str, int]]]


@asynccontextmanager
async def serving(proxy: Proxy, protocol: str) -> AsyncIterator[Proxy]:
    """Run a proxy that speaks ``socks4``, ``socks5`` or ``http``."""
    speak: Speak = getattr(proxy, protocol)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        proxy.clients.append(writer.get_extra_info("peername")[0])
        proxy.open += 1
        try:
            host, port = await speak(reader, writer)
            if proxy.answer is None:
                await relay(reader, writer, host, port)
        except (Refuses, asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            proxy.open -= 1

    def came(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    door = await asyncio.start_server(came, "127.0.0.1", 0)
    proxy.port = door.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        door.close()
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
    """Pass on what comes in both directions, until one end closes."""
    there, back = await asyncio.open_connection("127.0.0.1" if host.endswith(".example") else host, port)

    async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()

    both = [asyncio.ensure_future(pass_on(reader, back)), asyncio.ensure_future(pass_on(there, writer))]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in both:
            each.cancel()
        back.close()  # first of all: this may be cancelled while it waits
        await asyncio.wait(both)
        with suppress(ConnectionError):
            await back.wait_closed()
