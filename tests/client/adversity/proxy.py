"""A TCP proxy on loopback that cuts, stalls and restores a link exactly at the boundary of an MQTT packet.

Knows where packets begin and end, and their types. Knows nothing of their
contents, and shares no code with what it tests.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Final, Self

TYPES: Final = (
    *("", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE", "SUBACK"),
    *("UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH"),
)


class Direction(Enum):
    """Which way a packet goes."""

    TO_BROKER = "to the broker"
    TO_CLIENT = "to the client"


TO_BROKER: Final = Direction.TO_BROKER
TO_CLIENT: Final = Direction.TO_CLIENT


class How(Enum):
    """What becomes of a connection."""

    FIN = "closed"
    RST = "reset"
    STALL = "stalled"  # a black hole: it takes bytes in both directions, and passes none


@dataclass(frozen=True)
class Cut:
    """Where a connection ends: before or after a packet, counted from 1 over all connections in its direction.

    ``after`` means that the packet passes, and nothing else does, in no direction.
    """

    direction: Direction
    number: int
    after: bool
    how: How

    def __str__(self) -> str:
        side = "after" if self.after else "before"
        return f"{self.how.value} {side} packet {self.number} {self.direction.value}"


@dataclass(frozen=True)
class Passage:
    """A packet that went through."""

    direction: Direction
    data: bytes
    connection: int  # counted from 1

    @property
    def name(self) -> str:
        """The type of the packet, such as PUBLISH."""
        return TYPES[self.data[0] >> 4]


class Boundaries:
    """Bytes as they come are turned into whole packets (section 2.1)."""

    def __init__(self) -> None:
        self._data = bytearray()

    def packets(self, data: bytes) -> list[bytes]:
        """The packets that end in these bytes."""
        self._data += data
        found = []
        while length := self._first_length():
            found.append(bytes(self._data[:length]))
            del self._data[:length]
        return found

    def _first_length(self) -> int:
        """Bytes of the first packet; 0 if it is not whole."""
        remaining = 0
        for i in range(1, 5):  # a length has four bytes at most (section 1.5.5)
            if len(self._data) <= i:
                return 0
            remaining |= (self._data[i] & 0x7F) << 7 * (i - 1)
            if self._data[i] < 0x80:
                whole = 1 + i + remaining
                return whole if len(self._data) >= whole else 0
        raise ValueError(f"no packet begins with {self._data[:5].hex()}")


class _Link:
    """A client's connection, and the one to the broker behind it."""

    def __init__(self, number: int, client: asyncio.StreamWriter, broker: asyncio.StreamWriter | None) -> None:
        self.number = number
        self.writers = [writer for writer in (client, broker) if writer is not None]
        self.is_black = False  # nothing goes through any more, in no direction


class Proxy:
    """Stands between clients and the broker at ``port``, on a port of its own.

    Args:
        port: where the broker listens. It may be replaced at any time: new connections go there.
        cuts: what happens to connections, each once.
    """

    def __init__(self, port: int, *cuts: Cut) -> None:
        self.target = port
        self.passed: list[Passage] = []
        self.connections = 0  # those that clients have made so far, also in vain
        self.waiting_cuts = list(cuts)
        self._counts = dict.fromkeys(Direction, 0)
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._new = How.FIN  # how new connections fare while the way is barred
        self._is_barred = False
        self._listener: socket.socket | None = None
        self._watchers: set[tuple[Callable[[], bool], asyncio.Future[None]]] = set()

    async def __aenter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._listener is not None  # since __aenter__
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        for link in self._links:
            _reset(link)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    @property
    def port(self) -> int:
        """Where clients are to connect."""
        assert self._listener is not None  # since __aenter__
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def address(self) -> str:
        """The same as a URL."""
        return f"mqtt://127.0.0.1:{self.port}"

    def names(self, direction: Direction) -> list[str]:
        """The types of all packets that went that way."""
        return [each.name for each in self.passed if each.direction == direction]

    def count(self, name: str) -> int:
        """How many packets of a type have passed."""
        return sum(1 for each in self.passed if each.name == name)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is true of ``passed``, ``connections`` or ``waiting_cuts``."""
        if condition():
            return
        watcher = (condition, asyncio.get_running_loop().create_future())
        self._watchers.add(watcher)
        try:
            await watcher[1]
        finally:
            self._watchers.discard(watcher)

    # What befalls all links

    def cut_now(self, how: How) -> None:
        """All connections that are there end; new ones are welcome."""
        for link in list(self._links):
            self._cut(link, how)

    def bar(self, how: How) -> None:
        """The same, and new connections fare no better until ``restore``."""
        self._new = how
        self._is_barred = True
        self.cut_now(how)

    def restore(self) -> None:
        """New connections go through again. What stalled stays a black hole, as with a router that has forgotten it."""
        self._is_barred = False

    # One link

    def _accept(self, listener: socket.socket) -> None:
        # Not asyncio's own server: what that is about to open when it is closed, it leaves to the garbage collector.
        try:
            client, _ = listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        client.setblocking(False)
        task = asyncio.create_task(self._take_in(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: client.close())  # also if it was cancelled before it began

    async def _take_in(self, client: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=client.detach()))
        try:
            await self._serve(reader, writer)
        finally:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self._look()
        if self._is_barred:
            link = _Link(number, writer, None)
            self._links.add(link)
            self._cut(link, self._new)
            await self._swallow(reader)
        else:
            try:
                broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self.target)
            except OSError:  # the broker is not there: it looks as if we were not either
                link = _Link(number, writer, None)
                _reset(link)
            else:
                link = _Link(number, writer, broker_writer)
                self._links.add(link)
                if self._is_barred:  # meanwhile
                    self._cut(link, self._new)
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pump(link, TO_BROKER, reader, broker_writer))
                    group.create_task(self._pump(link, TO_CLIENT, broker_reader, writer))
        self._links.discard(link)
        for each in link.writers:
            each.close()

    async def _pump(
        self, link: _Link, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        boundaries = Boundaries()
        try:
            while data := await reader.read(65_536):
                if not link.is_black:
                    self._pass(link, direction, boundaries.packets(data), writer)
                    if not link.is_black:
                        await writer.drain()
            if not link.is_black:
                writer.write_eof()
        except OSError:  # one end is gone without a word; so is the other one then
            if not link.is_black:
                link.is_black = True
                _reset(link)
        if link.is_black:
            await self._swallow(reader)

    def _pass(self, link: _Link, direction: Direction, packets: list[bytes], writer: asyncio.StreamWriter) -> None:
        """Send packets on, up to a cut."""
        frames = []
        cut = None
        for packet in packets:
            self._counts[direction] += 1
            cut = self._cut_at(direction, self._counts[direction])
            if cut is None or cut.after:
                frames.append(packet)
                self.passed.append(Passage(direction, packet, link.number))
            if cut is not None:
                break
        if frames:
            writer.write(b"".join(frames))
        if cut is not None:
            self.waiting_cuts.remove(cut)
            self._cut(link, cut.how)
        self._look()

    def _cut_at(self, direction: Direction, number: int) -> Cut | None:
        for cut in self.waiting_cuts:
            if cut.direction == direction and cut.number == number:
                return cut
        return None

    def _cut(self, link: _Link, how: How) -> None:
        link.is_black = True
        if how is How.FIN:
            for writer in link.writers:
                if not writer.is_closing():
                    writer.write_eof()
        elif how is How.RST:
            _reset(link)
        self._look()

    async def _swallow(self, reader: asyncio.StreamReader) -> None:
        """Take in bytes until the other end closes."""
        try:
            while await reader.read(65_536):
                pass
        except OSError:  # it did, with a reset
            pass

    def _look(self) -> None:
        for condition, future in self._watchers:
            if not future.done() and condition():
                future.set_result(None)


def _reset(link: _Link) -> None:
    """End both connections with RST."""
    for writer in link.writers:
        connection = writer.get_extra_info("socket")
        if connection is not None and connection.fileno() >= 0:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
