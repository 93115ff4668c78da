"""The opening handshake over real sockets: who gets a WebSocket, and what the others are told."""

import asyncio
import logging

import aiohttp
import pytest

from telex.server.config import Listener
from telex.streams.stream import Handler, Stream
from telex.streams.tcp import Arrival
from tests.web.peers import ACCEPT, SECONDS, Peer, frame, peer, request, serving, until


def websocket(**settings: object) -> Listener:
    return Listener(protocol="websocket", **settings)  # type: ignore[arg-type]


async def answer(client: Peer, data: bytes) -> tuple[int, str, str]:
    """Status, head and body of the answer to a request; the connection is closed behind it."""
    client.send(data)
    head, _, body = (await client.end()).decode().partition("\r\n\r\n")
    return int(head.split()[1]), head, body


async def test_a_handshake_is_answered_as_the_rfc_says() -> None:
    async with serving() as server, peer(server.port) as client:
        head = await client.shakes_hands()
        assert b"\r\nSec-WebSocket-Accept: " + ACCEPT + b"\r\n" in head
        assert b"\r\nSec-WebSocket-Protocol: mqtt\r\n" in head
        assert b"\r\nUpgrade: websocket\r\n" in head
        assert b"\r\nConnection: Upgrade\r\n" in head
        assert b"Extensions" not in head


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ("mqtt", "mqtt"),
        ("mqttv3.1", "mqttv3.1"),
        ("mqttv3.1, mqtt", "mqttv3.1"),  # as the client prefers
        ("chat,mqtt", "mqtt"),
        (None, None),  # Mosquitto takes such a client
    ],
)
@pytest.mark.mqtt("MQTT-6.0.0-4")
@pytest.mark.mqtt("MQTT-6.0.0-4", v3=True)
async def test_the_sub_protocol_is_one_of_mqtt_that_the_client_offers(  # [MQTT-6.0.0-3] [MQTT-6.0.0-4]
    offered: str | None, chosen: str | None
) -> None:
    async with serving() as server, peer(server.port) as client:
        head = (await client.shakes_hands(Sec_WebSocket_Protocol=offered)).decode()
        names = [line.split(": ")[1] for line in head.splitlines() if line.startswith("Sec-WebSocket-Protocol")]
        assert names == ([chosen] if chosen else [])
        client.send(frame(b"through"))
        assert await client.payload(7) == b"through"


async def test_sub_protocols_may_stand_in_several_headers() -> None:
    async with serving() as server, peer(server.port) as client:
        client.send(request().replace(b"Protocol: mqtt", b"Protocol: chat\r\nSec-WebSocket-Protocol: mqtt"))
        assert b"\r\nSec-WebSocket-Protocol: mqtt\r\n" in await client.head()


async def test_compression_is_not_agreed_on() -> None:
    async with serving() as server, peer(server.port) as client:
        head = await client.shakes_hands(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits")
        assert b"xtensions" not in head


REFUSALS = {
    "another sub-protocol": ({"Sec_WebSocket_Protocol": "chat"}, 400, "sub-protocol mqtt"),
    "in capital letters": ({"Sec_WebSocket_Protocol": "MQTT"}, 400, "small letters"),
    "an old version": ({"Sec_WebSocket_Version": "8"}, 400, "Sec-WebSocket-Version: 13"),
    "no version": ({"Sec_WebSocket_Version": None}, 400, "Sec-WebSocket-Version: 13"),
    "no key": ({"Sec_WebSocket_Key": None}, 400, "Sec-WebSocket-Key"),
    "a short key": ({"Sec_WebSocket_Key": "YWJj"}, 400, "Sec-WebSocket-Key"),
    "a key that is no Base64": ({"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZ?=="}, 400, "Sec-WebSocket-Key"),
    "Connection: close": ({"Connection": "close"}, 400, "Connection: Upgrade"),
}


@pytest.mark.parametrize(("changes", "status", "words"), REFUSALS.values(), ids=REFUSALS)
async def test_a_wrong_handshake_is_refused_in_words(changes: dict[str, str | None], status: int, words: str) -> None:
    async with serving() as server, peer(server.port) as client:
        seen, head, body = await answer(client, request(**changes))
        assert seen == status
        assert words in body
        assert body.count("\n") == 1
        assert "nosniff" in head
        assert server.handlers == []


async def test_a_handshake_of_http_1_0_or_by_post_or_with_a_body_is_refused() -> None:
    async with serving() as server:
        for wrong in (
            request().replace(b"HTTP/1.1", b"HTTP/1.0"),
            request().replace(b"GET ", b"POST "),
            request(Content_Length="3") + b"abc",
        ):
            async with peer(server.port) as client:
                assert (await answer(client, wrong))[0] == 400


async def test_any_path_will_do_unless_the_listener_has_one() -> None:
    async with serving() as server:
        for path in ("/", "/mqtt", "/a/b?c=d"):
            async with peer(server.port) as client:
                await client.shakes_hands(path)
    async with serving(websocket(websocket_path="/mqtt")) as server:
        async with peer(server.port) as client:
            await client.shakes_hands("/mqtt?token=1")
        async with peer(server.port) as client:
            status, _, body = await answer(client, request("/other"))
            assert status == 404
            assert "/mqtt" in body


async def test_only_origins_of_the_list_come_in() -> None:
    async with serving(websocket(origins=["https://home.example", "http://localhost:8080/"])) as server:
        for origin in ("https://home.example", "HTTPS://Home.Example", "http://localhost:8080"):
            async with peer(server.port) as client:
                await client.shakes_hands(Origin=origin)
        for wrong in ("https://home.example.evil", "http://home.example", "null", None):
            async with peer(server.port) as client:
                status, _, body = await answer(client, request(Origin=wrong))
                assert status == 403
                assert "origins" in body


async def test_a_browser_that_looks_at_the_port_is_told_what_it_is() -> None:
    async with serving() as server, peer(server.port) as client:
        status, head, body = await answer(client, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert status == 426
        assert "\r\nUpgrade: websocket" in head
        assert "WebSocket port of an MQTT broker" in body
        assert "ws://" in body


async def test_a_form_is_not_taken() -> None:
    async with serving() as server, peer(server.port) as client:
        status, head, _ = await answer(client, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na=b")
        assert status == 405
        assert "Allow: GET,HEAD" in head


async def test_what_is_no_http_is_refused_and_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with serving() as server:
        for noise in (b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\r\n\r\n"):
            async with peer(server.port) as client:
                client.send(noise)
                assert (await client.end()).startswith(b"HTTP/1.0 400 ")
    assert caplog.records == []


async def test_a_header_without_end_is_refused() -> None:
    async with serving() as server, peer(server.port) as client:
        client.send(b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000)
        assert b" 400 " in await client.end()


async def test_who_does_not_end_a_request_has_little_time() -> None:
    async with serving(handshake_timeout=0.05) as server, peer(server.port) as silent, peer(server.port) as slow:
        slow.send(b"GET / HTTP/1.1\r\nX-Slow: ")
        assert await silent.end() == b""
        assert await slow.end() == b""
        await until(lambda: server.server.connection_count == 0)


async def test_the_time_of_a_request_ends_with_the_handshake() -> None:
    async with serving(handshake_timeout=0.05) as server, peer(server.port) as early, peer(server.port) as late:
        await early.shakes_hands()
        assert await late.end() == b""  # its time is over, so that of the other one would be
        early.send(frame(b"here"))
        assert await early.payload(4) == b"here"


async def test_frames_that_come_with_the_handshake_are_not_lost() -> None:
    async with serving() as server, peer(server.port) as hasty:
        hasty.send(request() + frame(b"did not ") + frame(b"wait"))
        assert (await hasty.head()).startswith(b"HTTP/1.1 101 ")
        assert await hasty.payload(12) == b"did not wait"


async def test_a_fault_of_ours_ends_the_connection_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fails(stream: Stream) -> Handler:
        raise RuntimeError("no room")

    async with serving(handler=fails) as server, peer(server.port) as client:
        client.send(request())
        await client.end()
        await until(lambda: server.server.connection_count == 0)
    assert "no room" in caplog.text


async def test_who_is_refused_at_the_door_has_no_handshake() -> None:
    class Refused(Arrival):
        def opened(self, transport: asyncio.BaseTransport) -> bool:
            super().opened(transport)
            transport.close()
            return False

    async with serving() as server:
        loop = asyncio.get_running_loop()
        door = await loop.create_server(lambda: server.server.factory(Refused()), "127.0.0.1", 0)
        async with peer(door.sockets[0].getsockname()[1]) as client:
            client.send(request())
            assert await client.end() == b""
        door.close()
        assert server.server.connection_count == 0


async def test_a_stream_says_where_its_peer_is() -> None:
    async with serving() as server, peer(server.port) as client:
        await client.shakes_hands()
        stream = server.handlers[0].stream
        host, port = client.writer.get_extra_info("sockname")
        assert (stream.address, stream.host, stream.identity, stream.via_tls) == (f"{host}:{port}", host, "", "")


async def test_a_stop_ends_what_speaks_http_and_leaves_websockets_alone() -> None:
    async with serving() as server, peer(server.port) as silent, peer(server.port) as client:
        await client.shakes_hands()
        await until(lambda: server.server.connection_count == 1)
        await server.server.stop()
        assert await silent.end() == b""
        client.send(frame(b"still here"))
        assert await client.payload(10) == b"still here"
        async with peer(server.port) as late:  # that the door took in at the last moment
            assert await late.end() == b""


async def test_aiohttps_client_comes_in() -> None:
    async with serving() as server, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{server.port}/mqtt"
        async with session.ws_connect(url, protocols=["mqtt"], compress=15) as client:
            assert client.protocol == "mqtt"
            await client.send_bytes(b"hello")
            message = await client.receive(SECONDS)
            assert message.data == b"hello"
            await client.ping(b"are you there")
            await client.close(code=1000)
            assert client.close_code == 1000
        await asyncio.wait_for(server.handlers[0].over.wait(), SECONDS)
        assert server.handlers[0].reason == "the connection was closed"
