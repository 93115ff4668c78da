"""The client on asyncio, over TCP, against a server that the test plays by hand."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from telex.client.aio import Client, Version
from telex.client.connection import Publication
from telex.client.reconnect import Reconnect
from telex.codes import MQTT_3_1_1, MQTT_5
from telex.errors import NotConnected, ProtocolError, Refused, Timeout
from telex.wire.decode import Decoder
from telex.wire.encode import encode
from telex.wire.packets import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    UnsubAck,
    Unsubscribe,
)
from telex.wire.properties import Properties
from tests.conformance.marks import each_version, edge, mqtt

SECONDS = 20.0
SOON = Reconnect(0.01, 0.02)


class Server:
    """The server's hand on one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, version: int) -> None:
        self._reader = reader
        self._writer = writer
        self._version = version
        self._decoder = Decoder(version=version)

    async def gets(self) -> Packet | None:
        """The next packet that the client sends; None when it has closed the connection."""
        while (packet := self._decoder.next_packet()) is None:
            data = await self._reader.read(65_536)
            if not data:
                return None
            self._decoder.receive(data)
        return packet

    def sends(self, *packets: Packet) -> None:
        self.sends_bytes(b"".join(encode(packet, self._version) for packet in packets))

    def sends_bytes(self, data: bytes) -> None:
        self._writer.write(data)

    def closes(self) -> None:
        self._writer.close()


Script = Callable[[Server], Awaitable[None]]

NAMES: dict[int, Version] = {MQTT_3_1_1: "3.1.1", MQTT_5: "5"}


@asynccontextmanager
async def playing(script: Script, version: int = MQTT_5) -> AsyncIterator[str]:
    """A server that follows a script on its one connection. Gives its address."""
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(Server(reader, writer, version))
            ended.set_result(None)
        except BaseException as error:
            ended.set_exception(error)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        async with asyncio.timeout(SECONDS):
            yield f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            await ended
    finally:
        server.close()
        await server.wait_closed()


def once(address: str, version: int = MQTT_5, **options: Any) -> Client:
    """A client that does not come back."""
    return Client(address, client_id="c", version=NAMES[version], reconnect=None, **options)


def is_connect(packet: Packet | None, version: int = MQTT_5) -> Connect:
    assert isinstance(packet, Connect)
    assert (packet.client_id, packet.version) == ("c", version)
    return packet


def goodbye(version: int = MQTT_5) -> Disconnect:
    """What a client says whose session ends with it."""
    return Disconnect(0, Properties(session_expiry_interval=0)) if version == MQTT_5 else Disconnect()


@mqtt("MQTT-4.2-1")
@mqtt("MQTT-7.1.2-1", "MQTT-7.0.0-2", v3=True)
@each_version
async def test_a_client_speaks_mqtt_over_tcp_and_nothing_else(version: int) -> None:
    async def script(server: Server) -> None:
        is_connect(await server.gets(), version)
        server.sends(ConnAck())
        assert await server.gets() == Subscribe(1, [SubscriptionRequest("a", 1)])
        server.sends(SubAck(1, [1]), Publish("a", b"x", 1, packet_id=7))
        assert await server.gets() == PubAck(7)
        assert await server.gets() == Publish("b", b"y", 1, packet_id=2)
        server.sends(PubAck(2))
        assert await server.gets() == Unsubscribe(3, ["a"])
        server.sends(UnsubAck(3, [0] if version == MQTT_5 else []))
        assert await server.gets() == goodbye(version)
        assert await server.gets() is None  # and it closes the connection [MQTT-3.14.4-2]

    async with playing(script, version) as address, once(address, version) as client:
        assert (client.version, client.is_connected) == (NAMES[version], True)
        async with client.subscribe("a", qos=1) as messages:
            assert messages.reason_codes == [1]
            assert (await messages.next()).payload == b"x"
            assert await client.publish("b", b"y", qos=1) == 0


@edge("M1")
@each_version
async def test_a_server_that_says_nothing_is_not_waited_for(version: int) -> None:
    async def script(server: Server) -> None:
        is_connect(await server.gets(), version)
        assert await server.gets() is None

    async with playing(script, version) as address:
        with pytest.raises(Timeout, match=r"no answer from mqtt://127\.0\.0\.1:\d+ within 0\.1 s"):
            await once(address, version, connect_timeout=0.1).__aenter__()


@mqtt("MQTT-3.1.2-20")
@mqtt("MQTT-3.1.2-23", v3=True)
@edge("A1")
@each_version
async def test_a_keep_alive_of_1_second_is_kept(version: int) -> None:
    async def script(server: Server) -> None:
        loop = asyncio.get_running_loop()
        assert is_connect(await server.gets(), version).keep_alive == 1
        server.sends(ConnAck())
        before = loop.time()
        assert await server.gets() == PingReq()
        assert loop.time() - before < 1.5  # what servers allow; the client itself aims at less than 1

    async with playing(script, version) as address, once(address, version, keep_alive=1) as client:
        await client.wait_closed()


@mqtt("MQTT-4.8.0-1", v3=True)
@mqtt("MQTT-4.13.2-1")
@each_version
async def test_a_server_that_breaks_a_rule_is_left(version: int) -> None:
    async def script(server: Server) -> None:
        is_connect(await server.gets(), version)
        server.sends(ConnAck())
        assert isinstance(await server.gets(), Subscribe)
        server.sends(PingReq())
        if version == MQTT_5:
            assert await server.gets() == Disconnect(0x82)
        assert await server.gets() is None

    async with playing(script, version) as address, once(address, version) as client:
        with pytest.raises(ProtocolError, match="a server may not send PingReq"):
            await client.subscribe("a").__aenter__()
        with pytest.raises(ProtocolError, match="a server may not send PingReq"):
            await client.publish("a")  # and there is no way to go on


@mqtt("MQTT-3.2.2-4")
@each_version
async def test_a_session_that_cannot_be_is_no_success(version: int) -> None:
    async def script(server: Server) -> None:
        is_connect(await server.gets(), version)
        server.sends(ConnAck(session_present=True))
        if version == MQTT_5:
            assert await server.gets() == Disconnect(0x82)
        assert await server.gets() is None

    async with playing(script, version) as address:
        with pytest.raises(ProtocolError, match="we asked for a clean start"):
            await once(address, version).__aenter__()


@mqtt("MQTT-4.8.0-2", v3=True)
@each_version
async def test_trouble_with_a_packet_ends_its_connection(version: int) -> None:
    class Troubled(Client):
        def happened(self, events: list[Packet | Publication]) -> None:
            raise MemoryError("no room for a packet")

    async def script(server: Server) -> None:
        is_connect(await server.gets(), version)
        server.sends(ConnAck())
        assert await server.gets() is None

    loop = asyncio.get_running_loop()
    told: list[object] = []
    handler = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
    async with playing(script, version) as address:
        with pytest.raises(NotConnected, match="the connection broke: no room for a packet"):
            await Troubled(address, client_id="c", version=NAMES[version], reconnect=None).__aenter__()
    loop.set_exception_handler(handler)
    assert len(told) == 1


# Which server to use instead (section 4.11)


async def test_which_server_to_use_instead_is_told() -> None:
    elsewhere = Properties(server_reference="b.example:1883")

    async def script(server: Server) -> None:
        is_connect(await server.gets())
        server.sends(ConnAck(0x9C, properties=elsewhere))

    async with playing(script) as address:
        with pytest.raises(Refused, match="it names another server: b") as caught:
            await once(address).__aenter__()
        assert caught.value.reason_code == 0x9C

    async def let_in(server: Server) -> None:
        is_connect(await server.gets())
        server.sends(ConnAck(), Disconnect(0x9D, elsewhere))

    async with playing(let_in) as address, once(address) as client:
        with pytest.raises(NotConnected, match="it names another server: b"):
            await client.publish("a", qos=1)


@pytest.mark.parametrize("reason_code", [0x9C, 0x9D])
@pytest.mark.parametrize("is_let_in", [True, False])
async def test_a_client_that_may_come_back_goes_to_the_server_that_is_named(reason_code: int, is_let_in: bool) -> None:
    async def there(server: Server) -> None:
        is_connect(await server.gets())
        server.sends(ConnAck())
        assert isinstance(await server.gets(), Publish)
        assert await server.gets() == goodbye()

    async with playing(there) as other:

        async def here(server: Server) -> None:
            is_connect(await server.gets())
            named = Properties(server_reference=other.removeprefix("mqtt://"))
            if is_let_in:
                server.sends(ConnAck(), Disconnect(reason_code, named))
            else:
                server.sends(ConnAck(reason_code, properties=named))

        async with playing(here) as address, Client(address, client_id="c", reconnect=SOON) as client:
            while not client.is_connected:  # it may be on its way
                await client.wait_connected()
            await client.publish("a", b"x" if is_let_in else b"y")


# Enhanced authentication (section 4.12)


class Riddler:
    """Answers with the challenge backwards, but not for everybody."""

    def __init__(self, first: bytes | None = None) -> None:
        self.first = first
        self.last: list[bytes] = []

    method = "riddle"

    def begin(self) -> bytes | None:
        return self.first

    def answer(self, challenge: bytes) -> bytes:
        if challenge == b"evil":
            raise Refused(0x87, "this is not our broker")
        return challenge[::-1]

    def finish(self, data: bytes) -> None:
        self.last.append(data)
        if data == b"forged":
            raise Refused(0x87, "the broker does not know us")


def says(data: bytes | None = None) -> Properties:
    return Properties(authentication_method="riddle", authentication_data=data)


def first_words(connect: Connect) -> tuple[str | None, bytes | None]:
    assert connect.properties is not None
    return connect.properties.authentication_method, connect.properties.authentication_data


@mqtt("MQTT-4.12.0-3")
async def test_an_authenticator_answers_the_server() -> None:
    async def script(server: Server) -> None:
        assert first_words(is_connect(await server.gets())) == ("riddle", b"first")
        server.sends(Auth(0x18, says(b"abc")))
        assert await server.gets() == Auth(0x18, says(b"cba"))
        server.sends(Auth(0x18, says()))
        assert await server.gets() == Auth(0x18, says(b""))
        server.sends(ConnAck(properties=says(b"server-final")))
        assert await server.gets() == goodbye()

    riddler = Riddler(b"first")
    async with playing(script) as address, once(address, authenticator=riddler):
        assert riddler.last == [b"server-final"]


async def test_an_authenticator_may_refuse_the_server() -> None:
    async def script(server: Server) -> None:
        is_connect(await server.gets())
        server.sends(Auth(0x18, says(b"evil")))
        assert await server.gets() == Disconnect(0x80)

    async with playing(script) as address:
        with pytest.raises(Refused, match="this is not our broker"):
            await once(address, authenticator=Riddler()).__aenter__()


async def test_an_authenticator_has_the_last_word() -> None:
    async def script(server: Server) -> None:
        is_connect(await server.gets())
        server.sends(ConnAck(properties=says(b"forged")))
        assert await server.gets() == Disconnect(0x80)

    async with playing(script) as address:
        client = once(address, authenticator=Riddler())
        with pytest.raises(Refused, match="the broker does not know us"):
            await client.__aenter__()
        assert not client.is_connected


async def test_without_an_authenticator_a_challenge_ends_the_connection() -> None:
    async def script(server: Server) -> None:
        is_connect(await server.gets())
        server.sends(Auth(0x18, says(b"abc")))
        assert await server.gets() == Disconnect(0x82)  # section 4.12: CONNECT named no method

    async with playing(script) as address:
        with pytest.raises(ProtocolError, match="we wait for none"):
            await once(address).__aenter__()


@pytest.mark.parametrize("decided", [ConnAck(0x87), ConnAck(properties=says())])
async def test_a_server_may_decide_before_its_challenge_is_answered(decided: ConnAck) -> None:
    async def script(server: Server) -> None:
        is_connect(await server.gets())
        server.sends(Auth(0x18, says(b"abc")), decided)  # in one read
        if decided.reason_code == 0:
            assert await server.gets() == goodbye()

    async with playing(script) as address:
        client = once(address, authenticator=Riddler())
        if decided.reason_code == 0:
            async with client:
                assert client.is_connected
        else:
            with pytest.raises(Refused, match="0x87 not authorized"):
                await client.__aenter__()


@mqtt("MQTT-4.12.1-1")
async def test_a_client_authenticates_once_more_while_it_is_connected() -> None:
    async def script(server: Server) -> None:
        is_connect(await server.gets())
        server.sends(ConnAck(properties=says(b"welcome")))
        assert await server.gets() == Auth(0x19, says(b"first"))
        server.sends(Auth(0x18, says(b"abc")))
        assert await server.gets() == Auth(0x18, says(b"cba"))
        server.sends(Auth(0x00, says(b"still you")))
        assert await server.gets() == Publish("a")
        server.sends(Publish("a"))
        assert await server.gets() == goodbye()

    riddler = Riddler(b"first")
    async with playing(script) as address, once(address, authenticator=riddler) as client:
        client.reauthenticate()
        with pytest.raises(ValueError, match="an authentication is going on"):
            client.reauthenticate()
        while riddler.last != [b"welcome", b"still you"]:
            await asyncio.sleep(0)
        await client.publish("a")
        while client.unclaimed == 0:
            await asyncio.sleep(0)


@mqtt("MQTT-4.12.1-2")
async def test_a_client_that_is_not_content_any_more_leaves() -> None:
    async def script(server: Server) -> None:
        is_connect(await server.gets())
        server.sends(ConnAck(properties=says()))
        assert isinstance(await server.gets(), Auth)
        server.sends(Auth(0x18, says(b"evil")))
        assert await server.gets() == Disconnect(0x80)

    async with playing(script) as address, once(address, authenticator=Riddler()) as client:
        client.reauthenticate()
        await client.wait_closed()
        with pytest.raises(Refused, match="this is not our broker"):
            await client.publish("a")
