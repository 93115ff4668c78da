"""The client on asyncio, over TCP, against a server that the test plays by hand."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from telex.client import aio
from telex.client.aio import AsyncClient
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
)
from telex.wire.properties import Properties
from tests.conformance.marks import each_version, edge, mqtt


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
Story = Callable[[int], Awaitable[None]]


def play(script: Script, story: Story, version: int = 5) -> None:
    """Run a client's story, which gets a port, against a server that follows a script."""

    async def main() -> None:
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
            await story(server.sockets[0].getsockname()[1])
            await ended
        finally:
            server.close()
            await server.wait_closed()

    asyncio.run(asyncio.wait_for(main(), 20))


@mqtt("MQTT-4.2-1")
@mqtt("MQTT-7.1.2-1", "MQTT-7.0.0-2", v3=True)
@each_version
def test_a_client_speaks_mqtt_over_tcp_and_nothing_else(version: int) -> None:
    async def script(server: Server) -> None:
        assert await server.gets() == Connect("c", version=version)
        server.sends(ConnAck())
        assert await server.gets() == Subscribe(1, [SubscriptionRequest("a", 1)])
        server.sends(SubAck(1, [1]), Publish("a", b"x", 1, packet_id=7))
        assert await server.gets() == PubAck(7)
        assert await server.gets() == Publish("b", b"y", 1, packet_id=2)
        server.sends(PubAck(2))
        assert await server.gets() == Disconnect()
        assert await server.gets() is None  # and it closes the connection [MQTT-3.14.4-2]

    async def story(port: int) -> None:
        client = AsyncClient(Connect("c", version=version))
        assert await client.connect("127.0.0.1", port) == ConnAck()
        assert await client.subscribe([SubscriptionRequest("a", 1)]) == [1]
        assert (await client.next_message()).payload == b"x"
        assert await client.publish("b", b"y", qos=1) == 0
        await client.close()

    play(script, story, version)


@edge("M1")
@each_version
def test_a_server_that_says_nothing_is_not_waited_for(version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aio, "_CONNECT_SECONDS", 0.1)

    async def script(server: Server) -> None:
        assert await server.gets() == Connect("c", version=version)
        assert await server.gets() == Disconnect()
        assert await server.gets() is None

    async def story(port: int) -> None:
        client = AsyncClient(Connect("c", version=version))
        with pytest.raises(Timeout, match=f"no answer from 127.0.0.1, port {port}, within 0 s"):
            await client.connect("127.0.0.1", port)

    play(script, story, version)


@mqtt("MQTT-3.1.2-20")
@mqtt("MQTT-3.1.2-23", v3=True)
@edge("A1")
@each_version
def test_a_keep_alive_of_1_second_is_kept(version: int) -> None:
    async def script(server: Server) -> None:
        loop = asyncio.get_running_loop()
        assert await server.gets() == Connect("c", version=version, keep_alive=1)
        server.sends(ConnAck())
        before = loop.time()
        assert await server.gets() == PingReq()
        assert loop.time() - before < 1.5  # what servers allow; the client itself aims at less than 1

    async def story(port: int) -> None:
        client = AsyncClient(Connect("c", version=version, keep_alive=1))
        await client.connect("127.0.0.1", port)
        await client.wait_closed()

    play(script, story, version)


@mqtt("MQTT-4.8.0-1", v3=True)
@mqtt("MQTT-4.13.2-1")
@each_version
def test_a_server_that_breaks_a_rule_is_left(version: int) -> None:
    async def script(server: Server) -> None:
        await server.gets()
        server.sends(ConnAck())
        server.sends(PingReq())
        if version == 5:
            assert await server.gets() == Disconnect(0x82)
        assert await server.gets() is None

    async def story(port: int) -> None:
        client = AsyncClient(Connect("c", version=version))
        await client.connect("127.0.0.1", port)
        with pytest.raises(ProtocolError, match="a server may not send PingReq"):
            await client.next_message()

    play(script, story, version)


@mqtt("MQTT-3.2.2-4")
@each_version
def test_a_session_that_cannot_be_is_no_success(version: int) -> None:
    async def script(server: Server) -> None:
        await server.gets()
        server.sends(ConnAck(session_present=True))
        if version == 5:
            assert await server.gets() == Disconnect(0x82)
        assert await server.gets() is None

    async def story(port: int) -> None:
        with pytest.raises(ProtocolError, match="we asked for a clean start"):
            await AsyncClient(Connect("c", version=version)).connect("127.0.0.1", port)

    play(script, story, version)


@mqtt("MQTT-4.8.0-2", v3=True)
@each_version
def test_trouble_with_a_packet_ends_its_connection(version: int) -> None:
    class Troubled(AsyncClient):
        def received(self, data: bytes) -> None:
            raise MemoryError("no room for a packet")

    async def script(server: Server) -> None:
        await server.gets()
        server.sends(ConnAck())
        assert await server.gets() is None

    async def story(port: int) -> None:
        told: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
        with pytest.raises(NotConnected, match="the connection broke: no room for a packet"):
            await Troubled(Connect("c", version=version)).connect("127.0.0.1", port)
        assert len(told) == 1

    play(script, story, version)


def test_which_server_to_use_instead_is_told() -> None:  # section 4.11
    elsewhere = Properties(server_reference="b.example:1883")

    async def script(server: Server) -> None:
        await server.gets()
        server.sends(ConnAck(0x9C, properties=elsewhere))
        assert await server.gets() is None

    async def story(port: int) -> None:
        with pytest.raises(Refused, match="it names another server: b") as caught:
            await AsyncClient(Connect("c")).connect("127.0.0.1", port)
        assert caught.value.reason_code == 0x9C

    play(script, story)

    async def let_in(server: Server) -> None:
        await server.gets()
        server.sends(ConnAck(), Disconnect(0x9D, elsewhere))
        assert await server.gets() is None

    async def leave(port: int) -> None:
        client = AsyncClient(Connect("c"))
        await client.connect("127.0.0.1", port)
        with pytest.raises(NotConnected, match="it names another server: b"):
            await client.next_message()

    play(let_in, leave)


# Enhanced authentication (section 4.12)


class Riddler:
    """Answers with the challenge backwards, but not for everybody."""

    def answer(self, challenge: bytes) -> bytes:
        if challenge == b"evil":
            raise Refused(0x87, "this is not our broker")
        return challenge[::-1]


def says(data: bytes | None = None) -> Properties:
    return Properties(authentication_method="riddle", authentication_data=data)


@mqtt("MQTT-4.12.0-3")
def test_an_authenticator_answers_the_server() -> None:
    async def script(server: Server) -> None:
        assert await server.gets() == Connect("c", properties=says(b"first"))
        server.sends(Auth(0x18, says(b"abc")))
        assert await server.gets() == Auth(0x18, says(b"cba"))
        server.sends(Auth(0x18, says()))
        assert await server.gets() == Auth(0x18, says(b""))
        server.sends(ConnAck(properties=says(b"server-final")))
        assert await server.gets() == Disconnect()

    async def story(port: int) -> None:
        client = AsyncClient(Connect("c", properties=says(b"first")), authenticator=Riddler())
        connack = await client.connect("127.0.0.1", port)
        assert connack.properties is not None
        assert connack.properties.authentication_data == b"server-final"
        await client.close()

    play(script, story)


def test_an_authenticator_may_refuse_the_server() -> None:
    async def script(server: Server) -> None:
        await server.gets()
        server.sends(Auth(0x18, says(b"evil")))
        assert await server.gets() == Disconnect(0x80)
        assert await server.gets() is None

    async def story(port: int) -> None:
        client = AsyncClient(Connect("c", properties=says()), authenticator=Riddler())
        with pytest.raises(Refused, match="this is not our broker"):
            await client.connect("127.0.0.1", port)

    play(script, story)


def test_without_an_authenticator_a_challenge_ends_the_connection() -> None:
    async def script(server: Server) -> None:
        await server.gets()
        server.sends(Auth(0x18, says(b"abc")))
        assert await server.gets() == Disconnect(0x80)
        assert await server.gets() is None

    async def story(port: int) -> None:
        with pytest.raises(Refused, match="the broker asks for more than CONNECT said"):
            await AsyncClient(Connect("c", properties=says())).connect("127.0.0.1", port)

    play(script, story)


@pytest.mark.parametrize("decided", [ConnAck(0x87), ConnAck(properties=says())])
def test_a_server_may_decide_before_its_challenge_is_answered(decided: ConnAck) -> None:
    async def script(server: Server) -> None:
        await server.gets()
        server.sends(Auth(0x18, says(b"abc")), decided)  # in one read
        if decided.reason_code == 0:
            assert await server.gets() == Disconnect()
        assert await server.gets() is None

    async def story(port: int) -> None:
        client = AsyncClient(Connect("c", properties=says()), authenticator=Riddler())
        if decided.reason_code == 0:
            assert await client.connect("127.0.0.1", port) == decided
            await client.close()
        else:
            with pytest.raises(Refused, match="0x87 not authorized"):
                await client.connect("127.0.0.1", port)

    play(script, story)
