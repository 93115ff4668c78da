"""WebSocket as a stream: framing, closing, back-pressure, and MQTT clients of others that come in by it."""

import asyncio
import gc
import json
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

import telex
from telex.server.config import Access, Config, Listener, Tls
from telex.streams.stream import Stream
from telex.wire.decode import Decoder
from telex.wire.encode import encode
from telex.wire.packets import ConnAck, Connect, Packet, Publish, SubAck, Subscribe, SubscriptionRequest
from tests.certificates import Authority, Issued
from tests.interop.visits import node_path
from tests.processes import find, free_port
from tests.web.peers import BINARY, CLOSE, PING, PONG, SECONDS, TEXT, Echo, Peer, frame, peer, serving, until

CONTINUATION = 0


class Silent(Echo):
    """Remembers what comes, and says nothing."""

    def received(self, data: bytes) -> None:
        self.reads.append(data)


@asynccontextmanager
async def upgraded(handler: type[Echo] = Echo, **options: Any) -> AsyncIterator[tuple[Peer, Any]]:
    """A client whose handshake is over, and who uses its stream at the server."""
    async with serving(handler=handler) as server, peer(server.port, **options) as client:
        await client.shakes_hands()
        yield client, server.handlers[0]


# Framing


@pytest.mark.edge("M3")
@pytest.mark.mqtt("MQTT-6.0.0-2")
@pytest.mark.mqtt("MQTT-6.0.0-2", v3=True)
async def test_bytes_come_through_in_frames_of_one_byte() -> None:  # [MQTT-6.0.0-2]
    async with upgraded() as (client, handler):
        text = b"one byte in each frame"
        client.send(b"".join(frame(text[index : index + 1]) for index in range(len(text))))
        assert await client.payload(len(text)) == text
        assert handler.bytes_received == text


async def test_bytes_come_through_one_at_a_time() -> None:
    async with upgraded() as (client, _):
        client.writer.transport.get_extra_info("socket").setsockopt(6, 1, 1)  # TCP_NODELAY
        for byte in frame(b"slow"):
            client.send(bytes([byte]))
            await asyncio.sleep(0)
        assert await client.payload(4) == b"slow"


async def test_all_messages_that_one_read_brought_are_one_call_and_one_write_is_one_message() -> None:
    async with upgraded() as (client, handler):
        client.send(b"".join(frame(b"message %d;" % number) for number in range(10)))
        text = b"".join(b"message %d;" % number for number in range(10))
        assert await client.frame() == (BINARY, text)
        assert handler.reads == [text]


@pytest.mark.edge("M3")
async def test_a_payload_of_a_megabyte_comes_through_in_fragments_and_whole() -> None:
    payload = bytes(range(256)) * 4096
    async with upgraded() as (client, _):
        client.send(frame(payload))
        assert await client.payload(len(payload)) == payload
        client.send(frame(payload[:100], fin=False) + frame(payload[100:70_000], CONTINUATION, fin=False))
        client.send(frame(b"", PING) + frame(payload[70_000:], CONTINUATION))
        found = b""
        pongs = 0
        while len(found) < len(payload):
            opcode, piece = await client.frame()
            pongs += opcode == PONG
            found += piece if opcode == BINARY else b""
        assert found == payload
        assert pongs == 1


async def test_a_ping_is_answered_with_its_payload() -> None:
    async with upgraded() as (client, handler):
        client.send(frame(b"x" * 125, PING))
        assert await client.frame() == (PONG, b"x" * 125)
        client.send(frame(b"unasked", PONG) + frame(b"y"))
        assert await client.payload(1) == b"y"
        assert handler.reads == [b"y"]


async def test_the_server_pings_so_that_proxies_do_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telex.server.web.server._PING_SECONDS", 1)
    async with upgraded() as (client, _):
        for _ in range(2):
            assert await client.frame() == (PING, b"")
        client.send(frame(b"", PONG) + frame(b"ok"))
        assert await client.payload(2) == b"ok"


# Closing


async def test_a_close_is_answered_and_the_server_ends_the_connection() -> None:  # section 5.5.1
    async with upgraded() as (client, handler):
        client.send(frame(b"last") + frame(b"\x03\xe8bye", CLOSE))
        assert await client.payload(4) == b"last"
        assert await client.frame() == (CLOSE, b"\x03\xe8")
        assert await client.end() == b""
        await asyncio.wait_for(handler.over.wait(), SECONDS)
        assert handler.reason == "the connection was closed"


async def test_another_close_code_is_told() -> None:
    async with upgraded() as (client, handler):
        client.send(frame(b"\x03\xf3", CLOSE))
        await client.end()
        await asyncio.wait_for(handler.over.wait(), SECONDS)
        assert handler.reason == "the peer closed the WebSocket with code 1011"


@pytest.mark.mqtt("MQTT-6.0.0-1")
@pytest.mark.mqtt("MQTT-6.0.0-1", v3=True)
async def test_a_text_frame_is_refused_and_the_connection_is_closed() -> None:  # [MQTT-6.0.0-1]
    async with upgraded() as (client, handler):
        client.send(frame(b"before") + frame(b"text", TEXT) + frame(b"after"))
        assert await client.payload(6) == b"before"
        assert await client.frame() == (CLOSE, (1003).to_bytes(2, "big"))
        client.send(frame(b"much more of it" * 10_000, TEXT))
        assert await client.end() == b""
        await asyncio.wait_for(handler.over.wait(), SECONDS)
        assert handler.reads == [b"before"]
        assert "MQTT-6.0.0-1" in handler.reason


async def test_what_is_no_frame_is_refused() -> None:
    async with upgraded() as (client, handler):
        client.send(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00")  # MQTT without WebSocket
        assert await client.frame() == (CLOSE, (1002).to_bytes(2, "big"))
        assert await client.end() == b""
        await asyncio.wait_for(handler.over.wait(), SECONDS)
        assert handler.reads == []


async def test_a_stream_that_is_closed_here_sends_what_was_written_and_waits_for_the_answer() -> None:
    async with upgraded(Silent) as (client, handler):
        handler.stream.pause_reading()
        handler.stream.write(b"the last")
        handler.stream.close()
        handler.stream.close()
        handler.stream.write(b"too late")
        handler.stream.pause_reading()
        assert await client.payload(8) == b"the last"
        assert await client.frame() == (CLOSE, b"\x03\xe8")
        client.send(frame(b"crossed it") + frame(b"\x03\xe8", CLOSE))
        assert await client.end() == b""
        await asyncio.wait_for(handler.over.wait(), SECONDS)
        assert handler.reads == []


@pytest.mark.parametrize("cut", [False, True])
async def test_a_close_that_nobody_answers_is_given_up(monkeypatch: pytest.MonkeyPatch, cut: bool) -> None:
    monkeypatch.setattr("telex.streams.framed.LINGER_SECONDS", 0.05)
    async with upgraded(Silent) as (_client, handler):
        handler.stream.write(b"x" * (10_000_000 if cut else 10))  # which nobody reads
        handler.stream.close()
        await asyncio.wait_for(handler.over.wait(), SECONDS)


async def test_an_abort_ends_it_now() -> None:
    async with upgraded() as (client, handler):
        handler.stream.abort()
        assert await client.end() == b""
        await asyncio.wait_for(handler.over.wait(), SECONDS)
        assert not handler.stream.is_writable


async def test_a_connection_that_is_cut_is_lost() -> None:
    async with upgraded() as (client, handler):
        client.writer.transport.abort()
        await asyncio.wait_for(handler.over.wait(), SECONDS)
        assert handler.reason is not None


# Back-pressure


async def test_a_peer_that_does_not_read_makes_the_stream_not_writable() -> None:
    block = bytes(16_384)
    async with upgraded(Silent, receive_buffer=16_384) as (client, handler):
        client.writer.transport.pause_reading()
        written = 0
        while handler.stream.is_writable:
            handler.stream.write(block)
            written += len(block)
            await asyncio.sleep(0)
        waiting = handler.stream._transport.get_write_buffer_size()
        assert 65_536 <= waiting < 65_536 + 2 * len(block)
        client.send(frame(b"1", PING) + frame(b"2", PING) + frame(b"still heard"))
        await until(lambda: bool(handler.reads))
        handler.stream.ping()
        assert handler.stream._transport.get_write_buffer_size() <= waiting  # neither Pong nor Ping joined the queue
        client.writer.transport.resume_reading()
        found, pongs = 0, []
        while found < written or not pongs:
            opcode, payload = await client.frame()
            if opcode == PONG:
                pongs.append(payload)
            else:
                found += len(payload)
        assert pongs == [b"2"]
        assert found == written
        assert handler.was_writable == 1


async def test_what_a_paused_stream_is_sent_waits_in_the_kernel() -> None:
    async with upgraded() as (client, handler):
        handler.stream.pause_reading()
        block = frame(bytes(100_000))
        for _ in range(200):
            client.send(block)
        transport = client.writer.transport
        await until(lambda: transport.get_write_buffer_size() > 1_000_000)
        assert len(handler.reads) <= 2  # one may have been on its way
        handler.stream.resume_reading()
        found = 0
        while found < 20_000_000:
            found += len((await client.frame())[1])
        assert found == 20_000_000


# Many


async def test_a_thousand_websockets_leave_nothing_behind() -> None:
    async with serving() as server:
        tasks = len(asyncio.all_tasks())
        for _ in range(10):
            async with asyncio.timeout(SECONDS):
                connections = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(100)]
            clients = [Peer(*connection) for connection in connections]
            for client in clients:
                await client.shakes_hands()
                client.send(frame(b"hi"))
            for number, client in enumerate(clients):
                assert await client.payload(2) == b"hi"
                if number % 3 == 0:
                    client.send(frame(b"", CLOSE))
                elif number % 3 == 1:
                    client.writer.transport.abort()
                client.writer.close()
            await until(lambda: server.server.websocket_count == 0)
        assert len(server.handlers) == 1000
        assert all(handler.reason is not None for handler in server.handlers)
        assert server.server.connection_count == 0
        assert server.server._ping_timer is None
        await until(lambda: len(asyncio.all_tasks()) == tasks)
        server.handlers.clear()
        del clients, connections, client
        await asyncio.sleep(0)
        gc.collect()
        left = [type(thing).__name__ for thing in gc.get_objects() if type(thing).__name__ in _OURS]
        assert left == []


_OURS = {"WebSocketStream", "FrameReader", "HttpConnection", "RequestHandler"}


# With the broker, and clients of others


@asynccontextmanager
async def brokers(certificate: Issued | None = None) -> AsyncIterator[telex.Broker]:
    """A broker with a listener for WebSockets on a free port."""
    tls = None if certificate is None else Tls(certificate=str(certificate.certificate), key=str(certificate.key))
    listener = Listener(host="127.0.0.1", port=0, protocol="websocket", tls=tls, access=Access(allow_anonymous=True))
    async with telex.Broker(config=Config(listeners=[listener], data="")) as broker:
        yield broker


class Mqtt:
    """MQTT on a peer's WebSocket."""

    def __init__(self, client: Peer) -> None:
        self.client = client
        self.decoder = Decoder(version=5)

    async def receive(self) -> Packet:
        while (packet := self.decoder.next_packet()) is None:
            opcode, payload = await self.client.frame()
            assert opcode == BINARY
            self.decoder.receive(payload)
        return packet


@pytest.mark.edge("M3")
@pytest.mark.mqtt("MQTT-6.0.0-2")
@pytest.mark.mqtt("MQTT-6.0.0-2", v3=True)
async def test_packets_may_be_framed_in_any_way() -> None:  # [MQTT-6.0.0-2]
    async with brokers() as broker, peer(broker.port) as client:
        await client.shakes_hands()
        mqtt = Mqtt(client)
        client.send(b"".join(frame(bytes([byte])) for byte in encode(Connect("framed"), 5)))
        assert isinstance(await mqtt.receive(), ConnAck)
        subscribe = encode(Subscribe(1, [SubscriptionRequest("a/#", 0)]), 5)
        ten = b"".join(encode(Publish(f"a/{number}", b"x" * number), 5) for number in range(10))
        client.send(frame(subscribe[:3], fin=False) + frame(subscribe[3:], CONTINUATION) + frame(ten))
        assert isinstance(await mqtt.receive(), SubAck)
        for number in range(10):
            packet = await mqtt.receive()
            assert isinstance(packet, Publish)
            assert packet.payload == b"x" * number


def serve_paho(port: int, authority: Authority | None) -> list[bytes]:
    """Subscribe and publish with paho, in its own thread; what came."""
    got: list[bytes] = []
    sizes = (0, 1, 125, 126, 65_535, 65_536, 500_000)
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5, transport="websockets")
    if authority is not None:
        client.tls_set(ca_certs=str(authority.path))
    client.on_connect = lambda *_: client.subscribe("big/#", 1)

    def on_subscribe(*_: Any) -> None:
        for size in sizes:
            client.publish(f"big/{size}", bytes(size), 1)

    def on_message(client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:
        got.append(message.payload)
        if len(got) == len(sizes):
            client.disconnect()

    client.on_subscribe = on_subscribe
    client.on_message = on_message
    client.connect("localhost" if authority else "127.0.0.1", port, keepalive=10)
    client.loop_forever()
    assert [len(payload) for payload in got] == list(sizes)
    return got


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
async def test_paho_comes_in(secure: bool, tmp_path: Path) -> None:
    authority = Authority(tmp_path) if secure else None
    async with brokers(authority.server() if authority else None) as broker:
        async with asyncio.timeout(SECONDS * 2):
            await asyncio.to_thread(serve_paho, broker.port, authority)
        await until(lambda: broker.connection_count == 0)


async def test_aiohttps_client_comes_in_by_wss(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with brokers(authority.server()) as broker:
        context = ssl.create_default_context(cafile=str(authority.path))
        async with aiohttp.ClientSession() as session:
            url = f"https://localhost:{broker.port}/anywhere"
            async with session.ws_connect(url, protocols=["mqtt"], ssl=context) as client:
                await client.send_bytes(encode(Connect("secure"), 5))
                decoder = Decoder(version=5)
                decoder.receive((await client.receive(SECONDS)).data)
                connack = decoder.next_packet()
                assert isinstance(connack, ConnAck)
                assert connack.reason_code == 0
        await until(lambda: broker.connection_count == 0)


async def test_a_frozen_subscriber_costs_the_broker_no_memory_and_others_nothing() -> None:
    async with brokers() as broker, peer(broker.port, receive_buffer=16_384) as frozen, peer(broker.port) as reader:
        for client, name in ((frozen, "frozen"), (reader, "reader")):
            await client.shakes_hands()
            client.send(frame(encode(Connect(name), 5) + encode(Subscribe(1, [SubscriptionRequest("flood", 0)]), 5)))
            mqtt = Mqtt(client)
            assert isinstance(await mqtt.receive(), ConnAck)
            assert isinstance(await mqtt.receive(), SubAck)
        frozen.writer.transport.pause_reading()
        publish = encode(Publish("flood", bytes(50_000)), 5)
        for _ in range(200):  # 10 MB
            reader.send(frame(publish))
            assert isinstance(await mqtt.receive(), Publish)
        streams: list[Stream] = [handler.stream for handler in broker._handlers]
        waiting = sorted(stream._transport.get_write_buffer_size() for stream in streams)  # type: ignore[attr-defined]
        assert waiting[0] <= 65_536
        assert waiting[1] < 3_000_000
        assert sorted(stream.is_writable for stream in streams) == [False, True]


NGINX = """
daemon off;
pid {directory}/nginx.pid;
error_log stderr;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location /mqtt {{
            proxy_pass http://127.0.0.1:{behind};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_read_timeout 2s;
        }}
    }}
}}
"""


async def test_nginx_may_stand_in_front_and_does_not_cut_idle_clients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nginx = find("nginx")
    monkeypatch.setattr("telex.server.web.server._PING_SECONDS", 1)
    async with serving() as server:
        port = free_port()
        conf = tmp_path / "nginx.conf"
        conf.write_text(NGINX.format(directory=tmp_path, port=port, behind=server.port))
        process = await asyncio.create_subprocess_exec(
            nginx, "-p", str(tmp_path), "-c", str(conf), stderr=asyncio.subprocess.DEVNULL
        )
        try:
            async with asyncio.timeout(SECONDS):
                while True:
                    try:
                        connection = await asyncio.open_connection("127.0.0.1", port)
                        break
                    except OSError:
                        await asyncio.sleep(0.01)
            client = Peer(*connection)
            await client.shakes_hands()
            for _ in range(3):  # longer than nginx lets a connection be idle
                assert await client.frame() == (PING, b"")
            payload = bytes(range(256)) * 4096
            client.send(frame(payload))
            found = b""
            while len(found) < len(payload):
                opcode, piece = await client.frame()
                found += piece if opcode == BINARY else b""
            assert found == payload
            client.writer.close()
            await asyncio.wait_for(server.handlers[0].over.wait(), SECONDS)
        finally:
            process.terminate()
            await process.wait()


MQTT_JS = """
const mqtt = require("mqtt");
const client = mqtt.connect(process.argv[1], { protocolVersion: 5, rejectUnauthorized: false, reconnectPeriod: 0 });
const sizes = [0, 1, 125, 126, 70000, 500000];
const got = [];
client.on("error", (error) => { console.error(String(error)); process.exit(1); });
client.on("connect", () => client.subscribe("big/#", { qos: 2 }, () => {
  for (const size of sizes) client.publish("big/" + size, Buffer.alloc(size, 7), { qos: 2 });
}));
client.on("message", (topic, payload) => {
  got.push([topic, payload.length, payload.every((byte) => byte === 7)]);
  if (got.length === sizes.length) client.end(false, {}, () => console.log(JSON.stringify(got)));
});
"""


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
async def test_mqtt_js_comes_in(secure: bool, tmp_path: Path) -> None:
    environment = {**os.environ, "NODE_PATH": node_path()}
    authority = Authority(tmp_path) if secure else None
    async with brokers(authority.server() if authority else None) as broker:
        url = f"{'wss' if secure else 'ws'}://localhost:{broker.port}/mqtt".replace("localhost", "127.0.0.1")
        process = await asyncio.create_subprocess_exec(
            *(find("node"), "-e", MQTT_JS, url),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
        )
        try:
            output, errors = await asyncio.wait_for(process.communicate(), SECONDS * 2)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        assert process.returncode == 0, errors.decode()
        assert json.loads(output) == [[f"big/{size}", size, True] for size in (0, 1, 125, 126, 70000, 500000)]
