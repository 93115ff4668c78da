"""WebSocket at the client's end: the handshake and frames without a socket, and the stream against servers."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telex.errors import NotConnected
from telex.streams import framed, frames
from telex.streams.frames import FrameReader
from telex.streams.websocket_client import Handshake, WebSocketClientStream, check_headers
from tests.web.peers import ACCEPT, BINARY, CLOSE, KEY, PING, PONG, SECONDS, TEXT, Echo, masked, serving, until

NONCE = b"the sample nonce"  # RFC 6455, section 1.3
YES = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
)
MASK = b"\x12\x9a\x00\xff"
LENGTHS = [0, 1, 2, 3, 4, 5, 125, 126, 127, 65_535, 65_536, 70_001]


def frame(payload: bytes, opcode: int = BINARY, *, fin: bool = True) -> bytes:
    """A server's frame."""
    length = len(payload)
    if length < 126:
        head = bytes([length])
    elif length < 65_536:
        head = b"\x7e" + length.to_bytes(2, "big")
    else:
        head = b"\x7f" + length.to_bytes(8, "big")
    return bytes([(0x80 if fin else 0) | opcode]) + head + payload


def handshake(path: str = "/mqtt", **headers: str) -> Handshake:
    return Handshake("b.example:80", "b.example", path, headers, NONCE)


# The handshake


def test_a_client_asks_for_a_websocket_of_mqtt() -> None:  # [MQTT-6.0.0-3], RFC 6455, section 4.1
    head, *lines = handshake("/a?b=c").request.decode().split("\r\n")
    assert head == "GET /a?b=c HTTP/1.1"
    assert lines == [
        "Host: b.example",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY.decode()}",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: mqtt",
        "",
        "",
    ]


def test_headers_of_the_user_are_sent_along_and_a_host_takes_the_place_of_ours() -> None:
    request = handshake(Authorization="Bearer x", HOST="other.example", Origin="http://müller").request
    assert b"\r\nAuthorization: Bearer x\r\n" in request
    assert b"\r\nOrigin: http://m\xfcller\r\n" in request
    assert request.lower().count(b"host:") == 1
    assert b"\r\nHost: other.example\r\n" in request


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("", "x", "'' is no name of a header"),
        ("a b", "x", "'a b' is no name"),
        ("a:", "x", "'a:' is no name"),
        ("ä", "x", "'ä' is no name"),
        ("Upgrade", "x", "Upgrade is for the handshake itself"),
        ("connection", "x", "connection is for the handshake itself"),
        ("Sec-WebSocket-Protocol", "x", "is for the handshake itself"),
        ("X", "a\r\nY: b", "a control character"),
        ("X", "\x00", "a control character"),
        ("X", "\x7f", "a control character"),
        ("X", "€", "characters that HTTP cannot send"),
    ],
)
def test_headers_that_cannot_be_sent_are_refused(name: str, value: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        check_headers({name: value})


@pytest.mark.parametrize("at_a_time", [1, 7, 1_000])
def test_a_yes_is_read_and_what_stands_behind_it_is_given_back(at_a_time: int) -> None:
    asked = handshake()
    data = YES + b"\x82\x02hi"
    for start in range(0, len(data), at_a_time):
        rest = asked.receive(data[start : start + at_a_time])
        if rest is not None:
            assert rest + data[start + at_a_time :] == b"\x82\x02hi"
            return
        assert start + at_a_time < len(YES)
    pytest.fail("the answer was not seen")


def test_headers_of_the_answer_may_be_written_in_any_way() -> None:  # RFC 6455, section 4.1
    answer = (
        b"HTTP/1.1 101 Web Socket Protocol Handshake\r\nUPGRADE: WebSocket\r\nconnection:  keep-alive, Upgrade\r\n"
        b"sec-websocket-accept:" + ACCEPT + b" \r\nSEC-WEBSOCKET-PROTOCOL: mqtt\r\nServer: x\r\n\r\n"
    )
    assert handshake().receive(answer) == b""


NO = {
    "TLS that does not understand": (b"\x15\x03\x01\x00\x02\x02\x46", "speaks TLS: use wss://"),
    "MQTT": (b"\x20\x02\x00\x00", "does not answer in HTTP: it may speak MQTT without WebSocket"),
    "a part of MQTT": (b"\x20", "does not answer in HTTP"),
    "something else": (b"HTTQ", "does not answer in HTTP"),
    "a head that does not end": (b"HTTP/1.1 101 x\r\n" + b"x: y\r\n" * 3000, "a head of HTTP that does not end"),
    "a redirect": (
        b"HTTP/1.1 301 Moved Permanently\r\nLocation: wss://c.example/x\r\n\r\n",
        "sends WebSockets at /mqtt to wss://c.example/x (301 Moved Permanently): use that address",
    ),
    "a redirect to nowhere": (b"HTTP/1.1 307 Temporary Redirect\r\n\r\n", "sends WebSockets at /mqtt elsewhere (307"),
    "a login": (b"HTTP/1.1 401 Unauthorized\r\n\r\n", "(401 Unauthorized): it may want a login or an Origin"),
    "a refusal": (b"HTTP/1.0 403 Forbidden\r\n\r\n", "refuses a WebSocket at /mqtt (403 Forbidden)"),
    "another path": (b"HTTP/1.1 404 Not Found\r\n\r\nNo.", "without a WebSocket at /mqtt (404 Not Found): check path"),
    "a page": (b"HTTP/1.1 200 OK\r\n\r\n<html>", "is a web server without a WebSocket at /mqtt (200 OK)"),
    "no broker behind it": (
        b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
        "does not reach the broker behind it (502 Bad Gateway)",
    ),
    "another key": (YES.replace(ACCEPT, b"AAAA"), "not as RFC 6455 wants it"),
    "no key": (YES.replace(b"Accept", b"Exempt"), "not as RFC 6455 wants it"),
    "no upgrade": (YES.replace(b"Upgrade: websocket\r\n", b""), "not as RFC 6455 wants it"),
    "another upgrade": (YES.replace(b"Upgrade: websocket", b"Upgrade: h2c"), "not as RFC 6455 wants it"),
    "no connection": (YES.replace(b"Connection: Upgrade\r\n", b""), "not as RFC 6455 wants it"),
    "an extension": (YES[:-2] + b"Sec-WebSocket-Extensions: x\r\n\r\n", "not as RFC 6455 wants it"),
    "HTTP 1.0": (YES.replace(b"HTTP/1.1", b"HTTP/1.0"), "not as RFC 6455 wants it"),
    "no sub-protocol [MQTT-6.0.0-4]": (
        YES.replace(b"Sec-WebSocket-Protocol: mqtt\r\n", b""),
        "not for MQTT: it does not take the sub-protocol 'mqtt'",
    ),
    "another sub-protocol": (YES.replace(b": mqtt", b": chat"), "not for MQTT"),
}


@pytest.mark.parametrize(("answer", "says"), NO.values(), ids=NO)
def test_each_no_has_its_sentence(answer: bytes, says: str) -> None:
    with pytest.raises(NotConnected, match=re.escape(says)) as raised:
        handshake().receive(answer)
    assert "\n" not in str(raised.value)


@given(st.binary(max_size=300), st.sampled_from([b"", b"HTTP/1.1 101 ", YES[:-2], YES]))
def test_any_answer_is_a_yes_or_a_no_or_not_whole(data: bytes, start: bytes) -> None:
    try:
        rest = handshake().receive(start + data)
    except NotConnected:
        return
    assert rest is None or (start + data).endswith(b"\r\n\r\n" + rest)


# Frames


def test_the_example_of_the_rfc_is_written() -> None:  # section 5.7, "Hello", here as binary
    key = bytes.fromhex("37fa213d")
    assert frames.masked_message(b"Hello", key) == bytes.fromhex("82 85 37 fa 21 3d 7f 9f 4d 51 58")
    assert frames.masked_pong(b"Hello", key) == bytes.fromhex("8a 85 37 fa 21 3d 7f 9f 4d 51 58")
    assert frames.masked_close(1000, b"\0\0\0\0") == b"\x88\x82\0\0\0\0\x03\xe8"
    assert frames.masked_close(0, key) == b"\x88\x80" + key


@pytest.mark.parametrize("length", LENGTHS)
def test_a_message_of_any_length_is_masked_as_the_rfc_says(length: int) -> None:
    payload = bytes(index % 251 for index in range(length))
    sent = frames.masked_message(payload, MASK)
    head = sent[: len(sent) - length - 4]
    assert sent == head + MASK + masked(MASK, payload)
    assert len(head) == (2 if length < 126 else 4 if length < 65_536 else 10)  # the shortest
    assert FrameReader().receive(sent) == payload


@given(st.lists(st.binary(max_size=300), max_size=10), st.binary(min_size=4, max_size=4))
def test_a_server_reads_what_a_client_writes(messages: list[bytes], key: bytes) -> None:
    sent = b"".join(frames.masked_message(message, key) for message in messages)
    reader = FrameReader()
    assert reader.receive(sent + frames.masked_pong(b"x", key) + frames.masked_close(1000, key)) == b"".join(messages)
    assert (reader.is_over, reader.close_code, reader.fault) == (True, 1000, "")


@given(st.lists(st.binary(max_size=70_000), max_size=5), st.lists(st.integers(0, 80_000), max_size=20))
def test_a_client_reads_what_a_server_writes_however_it_is_cut(messages: list[bytes], cuts: list[int]) -> None:
    sent = b"".join(frames.messages(message) + frames.ping() for message in messages)
    places = sorted({0, len(sent), *(cut for cut in cuts if cut < len(sent))})
    reader = FrameReader(of_server=True)
    assert b"".join(reader.receive(sent[start:end]) for start, end in pairwise(places)) == b"".join(messages)
    assert not reader.is_over
    assert reader.ping == (b"" if messages else None)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_servers_frame_of_any_length_is_read_as_it_comes(length: int) -> None:
    payload = bytes(index % 251 for index in range(length))
    reader = FrameReader(of_server=True)
    assert (
        b"".join(reader.receive(frame(payload)[index : index + 1]) for index in range(len(frame(payload)))) == payload
    )
    assert reader.receive(frame(b"a", fin=False) + frame(b"b", 0) + frame(b"p", PING)) == b"ab"
    assert reader.ping == b"p"


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        (frames.masked_message(b"x", MASK), 1002, "a frame is masked (5.1)"),
        (frames.masked_pong(b"x", MASK), 1002, "a frame is masked (5.1)"),
        (frame(b"x", TEXT), 1003, "a text frame came"),
        (frame(b"x", 3), 1002, "no opcode 0x3"),
        (b"\xc2\x00", 1002, "reserved bits"),
        (frame(b"x", 0), 1002, "did not begin"),
        (b"\x82\x7e\x00\x01", 1002, "the shortest way"),
        (b"\x89\x7e\x00\x7e" + bytes(126), 1002, "longer than 125"),
        (frame(b"x", CLOSE), 1002, "no code"),
    ],
)
def test_what_a_server_may_not_send_ends_it(data: bytes, code: int, says: str) -> None:
    reader = FrameReader(of_server=True)
    assert reader.receive(frame(b"before") + data + frame(b"after")) == b"before"
    assert (reader.is_over, reader.close_code) == (True, code)
    assert says in reader.fault


# The stream


class Silent(Echo):
    """Remembers what comes, and says nothing."""

    def received(self, data: bytes) -> None:
        self.reads.append(data)


class Server(asyncio.Protocol):
    """A server's end that says exactly what a test wants it to say."""

    def __init__(self) -> None:
        self.seen = b""
        self.is_lost = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.seen += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True

    async def gets(self, length: int) -> bytes:
        """So many bytes; the handshake's request was taken away."""
        await until(lambda: len(self.seen) >= length)
        found, self.seen = self.seen[:length], self.seen[length:]
        return found


@asynccontextmanager
async def pair(answer: bytes = YES, handler: Any = Silent) -> AsyncIterator[tuple[WebSocketClientStream, Server]]:
    """A client's stream and a server's end; nobody waited for the stream to be open."""
    loop = asyncio.get_running_loop()
    ends: list[Server] = []
    door = await loop.create_server(lambda: ends.append(Server()) or ends[-1], "127.0.0.1", 0)
    stream = WebSocketClientStream(handshake(), handler)
    await loop.create_connection(lambda: stream, *door.sockets[0].getsockname())
    await until(lambda: bool(ends) and ends[0].seen.endswith(b"\r\n\r\n"))
    assert ends[0].seen == handshake().request
    ends[0].seen = b""
    ends[0].transport.write(answer)
    try:
        yield stream, ends[0]
    finally:
        door.close()
        stream.abort()
        ends[0].transport.abort()
        await until(lambda: ends[0].is_lost)


async def opened(stream: WebSocketClientStream) -> Any:
    """Who uses it."""
    async with asyncio.timeout(SECONDS):
        await stream.opened
    return stream._handler


async def over(handler: Any) -> str:
    """Why it is over."""
    async with asyncio.timeout(SECONDS):
        await handler.over.wait()
    reason: str = handler.reason
    return reason


async def test_bytes_go_to_our_own_server_and_back_whatever_their_length() -> None:
    async with serving() as server:
        stream = WebSocketClientStream(handshake(), Silent)
        await asyncio.get_running_loop().create_connection(lambda: stream, "127.0.0.1", server.port)
        mine = await opened(stream)
        assert stream.address == f"127.0.0.1:{server.port}"
        for length in (1, 125, 126, 65_536, frames.LONGEST_MESSAGE, 3 * frames.LONGEST_MESSAGE + 7):
            payload = bytes(index % 251 for index in range(length))
            mine.reads.clear()
            stream.write(payload)
            await until(lambda length=length: len(mine.bytes_received) >= length)
            assert mine.bytes_received == payload
        stream.close()
        assert await over(mine) == "the connection was closed"
        assert await over(server.handlers[0]) == "the connection was closed"


async def test_every_message_has_a_mask_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    masks = iter([b"aaaa", b"bbbb", b"cccc", b"dddd"])
    async with pair() as (stream, server):
        await opened(stream)
        monkeypatch.setattr("os.urandom", lambda size: next(masks))
        stream.write(b"one")
        stream.write(b"x" * (frames.LONGEST_MESSAGE + 3))
        assert await server.gets(9) == frames.masked_message(b"one", b"aaaa")
        assert (await server.gets(frames.LONGEST_MESSAGE + 14))[:14] == b"\x82\xff" + (262_144).to_bytes(
            8, "big"
        ) + b"bbbb"
        assert await server.gets(9) == frames.masked_message(b"xxx", b"cccc")


async def test_what_stands_behind_the_answer_is_there_when_the_handler_is() -> None:
    async with pair(YES + frame(b"early ") + frame(b"bird")) as (stream, _):
        mine = await opened(stream)
        assert mine.reads == [b"early bird"]


async def test_the_handler_may_write_as_soon_as_it_is_made() -> None:
    class Eager(Silent):
        def __init__(self, stream: Any) -> None:
            super().__init__(stream)
            stream.write(b"first")

    async with pair(handler=Eager) as (stream, server):
        await opened(stream)
        assert FrameReader().receive(await server.gets(11)) == b"first"


async def test_a_ping_is_answered_and_nobody_hears_of_it() -> None:
    async with pair() as (stream, server):
        mine = await opened(stream)
        server.transport.write(frame(b"there?", PING) + frame(b"unasked", PONG) + frame(b"x"))
        answer = await server.gets(12)
        assert answer[:2] == b"\x8a\x86"
        assert masked(answer[2:6], answer[6:]) == b"there?"
        await until(lambda: mine.reads == [b"x"])


async def test_a_close_of_the_server_is_answered_and_the_server_hangs_up_first() -> None:
    async with pair() as (stream, server):
        mine = await opened(stream)
        server.transport.write(frame(b"last") + frame((1001).to_bytes(2, "big") + b"bye", CLOSE))
        answer = await server.gets(8)
        assert answer[:2] == b"\x88\x82"
        assert masked(answer[2:6], answer[6:]) == (1001).to_bytes(2, "big")
        assert mine.reads == [b"last"]
        stream.write(b"too late")
        server.transport.close()
        assert await over(mine) == "the connection was closed"
        assert server.seen == b""


async def test_a_close_of_ours_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async with pair() as (stream, server):
        mine = await opened(stream)
        stream.write(b"bye")
        stream.close()
        stream.close()
        stream.write(b"too late")
        assert FrameReader().receive(await server.gets(9)) == b"bye"
        assert (await server.gets(8))[:2] == b"\x88\x82"
        assert not mine.over.is_set()
        server.transport.write(frame(b"ignored") + frame((1000).to_bytes(2, "big"), CLOSE))
        server.transport.close()
        assert await over(mine) == "the connection was closed"
        assert mine.reads == []
        assert server.seen == b""


async def test_a_server_that_does_not_answer_our_close_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framed, "LINGER_SECONDS", 0.01)
    async with pair() as (stream, server):
        mine = await opened(stream)
        stream.pause_reading()
        stream.close()
        await over(mine)
        await until(lambda: server.is_lost)


@pytest.mark.parametrize(
    ("data", "code", "reason"),
    [
        (frame(b"x", TEXT), 1003, "WebSocket: a text frame came; MQTT is in binary frames [MQTT-6.0.0-1]"),
        (frames.masked_message(b"x", MASK), 1002, "WebSocket: a frame is masked (5.1)"),
        (frame((1008).to_bytes(2, "big"), CLOSE), 1008, "the peer closed the WebSocket with code 1008"),
    ],
)
async def test_the_end_of_the_stream_says_what_the_server_did(data: bytes, code: int, reason: str) -> None:
    async with pair() as (stream, server):
        mine = await opened(stream)
        server.transport.write(data)
        answer = await server.gets(8)
        assert masked(answer[2:6], answer[6:]) == code.to_bytes(2, "big")
        server.transport.close()
        assert await over(mine) == reason


async def test_a_connection_that_breaks_says_so() -> None:
    async with pair() as (stream, server):
        mine = await opened(stream)
        server.transport.abort()
        assert (await over(mine)).startswith("the connection ")
        assert not stream.is_writable


async def test_a_peer_that_does_not_read_is_told_and_so_is_its_return() -> None:
    async with pair() as (stream, server):
        mine = await opened(stream)
        server.transport.pause_reading()
        written = 0
        while stream.is_writable:
            stream.write(bytes(200_000))
            written += 200_000
            await asyncio.sleep(0)
        server.transport.write(frame(b"1", PING) + frame(b"2", PING) + frame(b"seen"))
        await until(lambda: mine.reads == [b"seen"])
        assert mine.was_writable == 0
        server.transport.resume_reading()
        await until(lambda: mine.was_writable == 1)
        assert stream.is_writable
        reader = FrameReader()
        await until(lambda: len(server.seen) > written)
        payload = reader.receive(server.seen)
        assert payload == bytes(written)
        await until(lambda: server.seen[-7:-5] == b"\x8a\x81")  # one answer, to the last Ping
        assert masked(server.seen[-5:-1], server.seen[-1:]) == b"2"


async def test_reading_may_pause() -> None:
    async with pair() as (stream, server):
        mine = await opened(stream)
        stream.pause_reading()
        server.transport.write(frame(b"x" * 1000))
        stream.write(b"marker")
        await server.gets(12)  # whatever the server has written before has left
        assert mine.reads == []
        stream.resume_reading()
        await until(lambda: mine.bytes_received == b"x" * 1000)


# What does not become a stream


async def test_a_no_ends_the_connection() -> None:
    async with pair(b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nNo.") as (stream, server):
        with pytest.raises(NotConnected, match="404 Not Found"):
            await opened(stream)
        await until(lambda: server.is_lost)


async def test_a_connection_that_ends_before_the_answer_is_an_os_error() -> None:
    async with pair(b"HTTP/1.1 101 Switch") as (stream, server):
        server.transport.close()
        with pytest.raises(ConnectionResetError, match="the connection was closed"):
            await opened(stream)


async def test_a_handler_that_cannot_be_made_ends_the_connection() -> None:
    def cannot(stream: WebSocketClientStream) -> Any:
        raise RuntimeError("no handler")

    async with pair(handler=cannot) as (stream, server):
        with pytest.raises(RuntimeError, match="no handler"):
            await opened(stream)
        await until(lambda: server.is_lost)


async def test_a_stream_may_be_given_up_at_any_point() -> None:
    WebSocketClientStream(handshake(), Silent).give_up()  # nothing has begun
    async with pair(b"HTTP/1.1 1") as (stream, server):
        stream.give_up()
        await until(lambda: server.is_lost)
        with pytest.raises(ConnectionResetError):
            await opened(stream)
