"""Clients that ask to come in, by any transport, and what a broker needs to know of them."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
from scramp import ScramClient

import telex
from telex.server.access.passwords import make
from telex.server.access.ways import Admitted, Applicant, Denied, Way
from telex.server.config import Access, Config, Listener, Plugin, Tls
from telex.wire.packets import Auth, ConnAck, Connect, Disconnect, Packet
from telex.wire.properties import Properties
from tests.certificates import Authority, Issued
from tests.shell.raw import SECONDS, RawClient

SCRAM = "SCRAM-SHA-256"

Verdict = Admitted | Denied | None


class Porter(Way):
    """A way of logging in that asks the test. In ``Plugin(options={"ask": ...})``."""

    opened = 0
    """How many are open, of all that were made."""

    def __init__(self, ask: Callable[[Applicant], Awaitable[Verdict]], stays: bool = True) -> None:
        self._ask = ask
        self._stays = stays

    async def open(self) -> None:
        Porter.opened += 1

    async def close(self) -> None:
        Porter.opened -= 1

    async def check(self, applicant: Applicant) -> Verdict:
        return await self._ask(applicant)

    def still_admits(self, admitted: Admitted) -> bool:
        return self._stays


def porter(ask: Callable[[Applicant], Awaitable[Verdict]], **options: object) -> Plugin:
    """The description of one."""
    return Plugin(name="tests.shell.knocking:Porter", options={"ask": ask, **options})


def here(port: int = 0, **more: object) -> Listener:
    """A listener on 127.0.0.1."""
    return Listener(host="127.0.0.1", port=port, **more)  # type: ignore[arg-type]


def config(access: Access | None = None, *listeners: Listener, **more: object) -> Config:
    """A broker in memory, with one listener if no others are given."""
    said = {"data": "", "sys_interval": 0, **more}
    return Config(listeners=list(listeners) or [here()], access=access or Access(), **said)  # type: ignore[arg-type]


def ports(broker: telex.Broker) -> list[int]:
    """The TCP ports of its listeners, in order."""
    return [int(address.rpartition(":")[2]) for address in broker.addresses]


def is_there(path: Path | str) -> bool:
    """Whether there is a file, or a socket."""
    return Path(path).exists()


def password_file(path: Path, form: str = "sha512-pbkdf2", **passwords: str) -> str:
    """Write a file with these users; hashed as fast as the form can be."""
    iterations = 4_096 if form == "scram-sha-256" else 1
    path.write_text(
        "".join(f"{user}:{make(said.encode(), form, iterations=iterations).line}\n" for user, said in passwords.items())
    )
    return str(path)


def tls_of(issued: Issued, **more: object) -> Tls:
    """TLS at a listener with this certificate."""
    return Tls(certificate=str(issued.certificate), key=str(issued.key), **more)  # type: ignore[arg-type]


def trusting(authority: Authority, client: Issued | None = None) -> ssl.SSLContext:
    """TLS of a client, with its certificate if it has one."""
    context = ssl.create_default_context(cafile=str(authority.path))
    if client is not None:
        context.load_cert_chain(client.certificate, client.key)
    return context


@asynccontextmanager
async def reached(place: int | str, *, version: int = 5, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawClient]:
    """A connection to a TCP port or a Unix socket, on which nothing was sent yet."""
    if isinstance(place, str):
        reader, writer = await asyncio.open_unix_connection(place)
    else:
        reader, writer = await asyncio.open_connection("127.0.0.1", place, ssl=tls)
    try:
        yield RawClient(reader, writer, version)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@asynccontextmanager
async def inside(
    place: int | str, connect: Connect | None = None, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[RawClient]:
    """A client that was let in."""
    packet = connect or Connect()
    async with reached(place, version=packet.version, tls=tls) as client:
        await client.send(packet)
        connack = await client.receive()
        assert isinstance(connack, ConnAck), connack
        assert connack.reason_code == 0, connack
        client.connack = connack
        yield client


async def knocks(
    place: int | str,
    user: str | None = None,
    password: str | None = None,
    *,
    client_id: str = "",
    version: int = 5,
    tls: ssl.SSLContext | None = None,
) -> int | None:
    """The code with which somebody is answered who asks to come in; None: closed without a word."""
    packet = who(user, password, client_id=client_id, version=version)
    async with reached(place, version=version, tls=tls) as client:
        await client.send(packet)
        return code_of(await client.receive())


def who(user: str | None = None, password: str | None = None, *, client_id: str = "", version: int = 5) -> Connect:
    """The CONNECT of a user."""
    said = None if password is None else password.encode()
    return Connect(client_id, user_name=user, password=said, version=version)


def code_of(packet: Packet | None) -> int | None:
    """The reason code, or return code, of a CONNACK or a DISCONNECT."""
    if packet is None:
        return None
    assert isinstance(packet, ConnAck | Disconnect), packet
    return packet.reason_code


async def knocks_by_scram(
    client: RawClient, user: str, password: str, *, user_name: str | None = None, client_id: str = ""
) -> int | None:
    """The same with SCRAM, which goes on with ``client``."""
    scram = ScramClient([SCRAM], user, password)
    said = Properties(authentication_method=SCRAM, authentication_data=scram.get_client_first().encode())
    await client.send(Connect(client_id, user_name=user_name, properties=said))
    return await ends_scram(client, scram)


async def ends_scram(client: RawClient, scram: ScramClient) -> int | None:
    """Go on behind the client's first message."""
    answer = await client.receive()
    if not isinstance(answer, Auth):
        return code_of(answer)
    assert answer.properties is not None
    assert answer.properties.authentication_data is not None
    scram.set_server_first(answer.properties.authentication_data.decode())
    data = scram.get_client_final().encode()
    await client.send(Auth(0x18, Properties(authentication_method=SCRAM, authentication_data=data)))
    answer = await client.receive()
    if isinstance(answer, Auth):
        return answer.reason_code
    if isinstance(answer, ConnAck) and answer.reason_code == 0:
        assert answer.properties is not None
        assert answer.properties.authentication_data is not None
        scram.set_server_final(answer.properties.authentication_data.decode())
    return code_of(answer)


async def knocks_by_websocket(
    port: int, user: str | None = None, password: str | None = None, *, tls: ssl.SSLContext | None = None
) -> int | None:
    """The same over a WebSocket."""
    from telex.wire.decode import Decoder
    from telex.wire.encode import encode

    url = f"{'http' if tls is None else 'https'}://127.0.0.1:{port}/mqtt"
    async with (
        asyncio.timeout(SECONDS),
        aiohttp.ClientSession() as session,
        session.ws_connect(url, protocols=["mqtt"], ssl=tls if tls is not None else True) as socket,
    ):
        await socket.send_bytes(encode(who(user, password), 5))
        decoder = Decoder(version=5)
        decoder.receive(await socket.receive_bytes())
        return code_of(decoder.next_packet())


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so; the loop works meanwhile."""
    async with asyncio.timeout(SECONDS):
        while not is_so():
            await asyncio.sleep(0.001)
