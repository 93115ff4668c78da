"""The remote end of a bridge, which says what a test says, and nothing by itself."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from telex.codes import MQTT_5
from telex.server.bridge_status import BridgeStatus
from telex.server.broker import Broker
from telex.wire.packets import ConnAck, Connect
from telex.wire.properties import Properties
from tests.shell.raw import SECONDS, RawClient

Kind = TypeVar("Kind")


class Guest(RawClient):
    """A connection of a bridge."""

    connect: Connect

    async def accept(self, properties: Properties | None = None, *, session_present: bool = False) -> None:
        """Say CONNACK to its CONNECT."""
        said = properties if properties is not None or self.version != MQTT_5 else Properties()
        await self.send(ConnAck(0, session_present=session_present, properties=said))

    async def refuse(self, reason_code: int) -> None:
        """Say no to its CONNECT, and go."""
        await self.send(ConnAck(reason_code, properties=Properties() if self.version == MQTT_5 else None))
        await self.leave()

    async def leave(self) -> None:
        """Close the connection."""
        self.writer.close()

    async def gets(self, kind: type[Kind]) -> Kind:
        """The next packet of a kind; others before it are passed over."""
        while not isinstance(packet := await self.receive(), kind):
            assert packet is not None, f"the bridge has left, and sent no {kind.__name__}"
        return packet


class Remote:
    """Where bridges connect to."""

    def __init__(self) -> None:
        self.port = 0
        self._came: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self.writers: list[asyncio.StreamWriter] = []

    @property
    def address(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def came(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection is there."""
        self.writers.append(writer)
        self._came.put_nowait((reader, writer))

    async def guest(self) -> Guest:
        """The next one that says CONNECT; others were given up before they could."""
        async with asyncio.timeout(SECONDS):
            while True:
                guest = Guest(*await self._came.get(), 0)
                packet = await guest.receive()
                if packet is not None:
                    break
        assert isinstance(packet, Connect)
        guest.connect = packet
        guest.version = packet.version
        return guest


@asynccontextmanager
async def listening(tls: ssl.SSLContext | None = None) -> AsyncIterator[Remote]:
    """One that listens."""
    remote = Remote()
    server = await asyncio.start_server(remote.came, "127.0.0.1", 0, ssl=tls)
    remote.port = server.sockets[0].getsockname()[1]
    try:
        yield remote
    finally:
        server.close()
        for writer in remote.writers:
            writer.transport.abort()
        await server.wait_closed()


def status(broker: Broker, name: str = "bridge") -> BridgeStatus:
    """How a bridge of a broker is."""
    [found] = [each for each in broker.bridges.statuses() if each.name == name]
    return found


async def until(is_so: Callable[[], object]) -> None:
    """Wait until something is so; the loop works meanwhile."""
    async with asyncio.timeout(SECONDS):
        while not is_so():
            await asyncio.sleep(0.001)
