"""A WebSocket that takes and brings frames in parts, and the answers that are no yes to one."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import pytest

from telex.paho.websocket import WebSocket, WebsocketConnectionError, open_websocket
from telex.streams import frames
from tests.paho.peers import SECONDS, accept_key, echo, listening, read, websocket

BINARY, CLOSE, PING, PONG = 0x82, 0x88, 0x89, 0x8A


class Frame(NamedTuple):
    """What a client has sent."""

    first: int
    payload: bytes


class Line:
    """A WebSocket, and the server's end of its connection. Nothing waits: what one end has written, the other has."""

    def __init__(self) -> None:
        self.ours, self.server = socket.socketpair()
        self.ours.setblocking(False)
        self.server.setblocking(False)
        self.websocket = WebSocket(self.ours)
        self.heard = b""

    def says(self, data: bytes) -> None:
        self.server.sendall(data)

    def hears(self) -> list[Frame]:
        """The whole frames that have come to the server since it was asked last."""
        with suppress(BlockingIOError):
            while data := self.server.recv(1_000_000):
                self.heard += data
        found = []
        while frame := self._next_frame():
            found.append(frame)
        return found

    def _next_frame(self) -> Frame | None:
        data = self.heard
        if len(data) < 2:
            return None
        assert data[1] & 0x80, "a client masks"
        length, start = data[1] & 0x7F, 2
        if length >= 126:
            start += 2 if length == 126 else 8
            length = int.from_bytes(data[2:start], "big")
        end = start + 4 + length
        if len(data) < end:
            return None
        payload = bytearray(data[start + 4 : end])
        frames.unmask(data[start : start + 4], payload)
        self.heard = data[end:]
        return Frame(data[0], bytes(payload))

    def fill(self, data: bytes) -> None:
        """Write that again and again, until a part of it has to wait."""
        self.ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with suppress(BlockingIOError):
            while True:
                self.websocket.send(data)

    def repeats(self, data: bytes) -> tuple[int, list[Frame]]:
        """Write that until it is taken, while the server reads; how much of it was, and what the server got."""
        found: list[Frame] = []
        for _ in range(1000):
            found += self.hears()
            with suppress(BlockingIOError):
                taken = self.websocket.send(data)
                return taken, found + self.hears()
        raise AssertionError("the WebSocket does not take it")

    def close(self) -> None:
        self.websocket.close()
        self.server.close()


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    line.close()


# Reading


def test_payload_comes_without_its_frame(line: Line) -> None:
    line.says(frames.messages(b"abc"))
    assert line.websocket.recv(100) == b"abc"
    with pytest.raises(BlockingIOError):
        line.websocket.recv(100)


def test_messages_that_came_together_are_one_read(line: Line) -> None:
    line.says(frames.messages(b"abc") + frames.messages(b"def"))
    assert line.websocket.recv(100) == b"abcdef"


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 70_000])
def test_a_frame_of_any_length_may_come_in_parts(line: Line, size: int) -> None:
    payload = bytes(index & 0xFF for index in range(size))
    message = frames.messages(payload)
    got = b""
    step = 1 if size < 1000 else 9973
    for start in range(0, len(message), step):
        line.says(message[start : start + step])
        with suppress(BlockingIOError):
            got += line.websocket.recv(65_536)
    assert got == payload


def test_a_message_may_come_in_several_frames_with_a_ping_between(line: Line) -> None:
    line.says(b"\x02\x02ab" + b"\x89\x01p" + b"\x00\x00" + b"\x80\x02cd")
    assert line.websocket.recv(100) == b"abcd"
    assert line.hears() == [Frame(PONG, b"p")]


def test_no_more_is_read_than_was_asked_for(line: Line) -> None:
    line.says(frames.messages(b"abcdef"))
    with pytest.raises(BlockingIOError):
        line.websocket.recv(2)  # the frame's head
    assert [line.websocket.recv(size) for size in (1, 2, 100)] == [b"a", b"bc", b"def"]


def test_what_came_behind_the_answer_is_pending() -> None:
    ours, server = socket.socketpair()
    with ours, server:
        websocket = WebSocket(ours, frames.messages(b"abc"))
        assert websocket.pending() == 3
        assert websocket.recv(2) == b"ab"
        assert websocket.pending() == 1
        assert websocket.recv(2) == b"c"
        assert websocket.pending() == 0


def test_an_end_of_the_connection_is_an_empty_read(line: Line) -> None:
    line.says(frames.messages(b"abc"))
    line.server.close()
    assert line.websocket.recv(100) == b"abc"
    assert line.websocket.recv(100) == b""


# Pings


def test_a_ping_is_answered(line: Line) -> None:
    line.says(b"\x89\x05hello")
    with pytest.raises(BlockingIOError):
        line.websocket.recv(100)
    assert line.hears() == [Frame(PONG, b"hello")]


def test_a_pong_is_passed_over(line: Line) -> None:
    line.says(b"\x8a\x05hello" + frames.messages(b"abc"))
    assert line.websocket.recv(100) == b"abc"
    assert line.hears() == []


def test_an_answer_to_a_ping_waits_for_the_frame_that_has_begun(line: Line) -> None:
    line.fill(bytes(100_000))
    line.says(b"\x89\x01p")
    with pytest.raises(BlockingIOError):
        line.websocket.recv(100)
    taken, heard = line.repeats(bytes(100_000))
    assert taken == 100_000
    assert set(heard[:-1]) == {Frame(BINARY, bytes(100_000))}
    assert heard[-1] == Frame(PONG, b"p")


def test_only_the_last_of_the_pings_that_could_not_be_answered_is(line: Line) -> None:
    line.fill(bytes(100_000))
    for payload in (b"p", b"q"):
        line.says(b"\x89\x01" + payload)
        with pytest.raises(BlockingIOError):
            line.websocket.recv(100)
    _, heard = line.repeats(bytes(100_000))
    assert [frame for frame in heard if frame.first == PONG] == [Frame(PONG, b"q")]


# Writing


@pytest.mark.parametrize("size", [1, 125, 126, 65_535, 65_536])
def test_a_write_is_one_masked_message(line: Line, size: int) -> None:
    payload = bytes(index & 0xFF for index in range(size))
    taken, heard = line.repeats(payload)
    assert taken == size
    assert heard == [Frame(BINARY, payload)]


def test_each_frame_has_a_key_of_its_own(line: Line) -> None:
    line.websocket.send(bytes(8))
    line.websocket.send(bytes(8))
    sent = line.server.recv(100)
    assert sent[2:6] != sent[16:20]


def test_a_long_write_is_taken_in_parts_that_servers_take(line: Line) -> None:
    data = bytes(frames.LONGEST_MESSAGE + 1)
    taken, heard = line.repeats(data)
    assert taken == frames.LONGEST_MESSAGE
    assert heard == [Frame(BINARY, data[:taken])]
    assert line.websocket.send(data[taken:]) == 1


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_write_takes_all_that_is_like_bytes(line: Line, kind: type) -> None:
    assert line.websocket.send(kind(b"abc")) == 3
    assert line.hears() == [Frame(BINARY, b"abc")]


def test_a_frame_that_has_half_left_is_completed_when_the_caller_has_more_to_write(line: Line) -> None:
    line.fill(b"a" * 100_000)
    taken, heard = line.repeats(b"a" * 100_000 + b"b" * 10)
    assert taken == 100_000
    assert set(heard) == {Frame(BINARY, b"a" * 100_000)}
    assert line.websocket.send(b"b" * 10) == 10
    assert line.hears() == [Frame(BINARY, b"b" * 10)]


# The end


@pytest.mark.parametrize(("code", "said"), [(b"", b""), (b"\x03\xe8", b"\x03\xe8"), (b"\x03\xe9bye", b"\x03\xe9")])
def test_a_close_is_answered_and_then_read_as_the_end(line: Line, code: bytes, said: bytes) -> None:
    line.says(frames.messages(b"abc") + bytes((CLOSE, len(code))) + code)
    assert line.websocket.recv(100) == b"abc"
    assert line.websocket.pending() > 0  # or nobody would look, as long as the server waits
    assert line.websocket.recv(100) == b""
    assert line.hears() == [Frame(CLOSE, said)]


def test_a_close_for_a_reason_is_an_error(line: Line) -> None:
    line.says(bytes((CLOSE, 2)) + (1008).to_bytes(2, "big"))
    with pytest.raises(WebsocketConnectionError, match="closed the WebSocket with code 1008"):
        line.websocket.recv(100)


def test_nothing_is_written_behind_a_close(line: Line) -> None:
    line.says(b"\x88\x00")
    assert line.websocket.recv(100) == b""
    with pytest.raises(WebsocketConnectionError, match="the WebSocket is closed"):
        line.websocket.send(b"abc")
    line.websocket.close()
    assert line.hears() == [Frame(CLOSE, b"")]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"\x82\x83\0\0\0\0abc", "a frame is masked"),
        (b"\x81\x03abc", "a text frame came"),
        (b"\xc2\x03abc", "reserved bits"),
        (b"\x80\x03abc", "continues a message that did not begin"),
    ],
)
def test_what_is_no_websocket_is_an_error(line: Line, data: bytes, fault: str) -> None:
    line.says(data)
    with pytest.raises(WebsocketConnectionError, match=fault):
        line.websocket.recv(100)
    assert [frame.first for frame in line.hears()] == [CLOSE]


def test_closing_says_so_and_closes_the_socket(line: Line) -> None:
    assert line.websocket.fileno() == line.ours.fileno()
    line.websocket.close()
    line.websocket.close()
    assert line.websocket.fileno() == -1
    assert line.hears() == [Frame(CLOSE, (1000).to_bytes(2, "big"))]


def test_closing_does_not_wait_for_a_peer_that_does_not_read(line: Line) -> None:
    line.fill(bytes(100_000))
    line.websocket.close()
    assert line.websocket.fileno() == -1


def test_a_broken_connection_is_an_error(line: Line) -> None:
    line.server.close()
    with pytest.raises(BrokenPipeError):
        line.websocket.send(b"abc")


# The handshake


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n", ", connection not upgraded: .* '404 Not Found'"),
        (b"HTTP/1.1 200 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", ", connection not upgraded"),
        (b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: close\r\n\r\n", ", connection not upgraded"),
        (b"HTTP/1.1 101 Yes\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", ", connection not upgraded"),
        (b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "no Sec-WebSocket-Accept"),
        (
            b"HTTP/1.1 101 Yes\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
            b"Sec-WebSocket-Accept: abc\r\n\r\n",
            ", invalid secret key",
        ),
        (b"\x15\x03\x01\x00\x02\x02\x16", "does not answer in HTTP"),
        (b"HTTP/1.1 101 Yes\r\nX: " + b"x" * 17_000, "does not end"),
        (b"HTTP/1.1 101 Yes\r\n", "has closed the connection"),
        (b"", "has closed the connection"),
    ],
)
def test_an_answer_that_is_no_yes_is_an_error(answer: bytes, words: str) -> None:
    ours, server = socket.socketpair()
    with ours:
        with server:
            server.sendall(answer)
            server.shutdown(socket.SHUT_WR)
            with pytest.raises(WebsocketConnectionError, match=f"^WebSocket handshake error.*{words}"):
                open_websocket(ours, "there", "/mqtt", None, timeout=SECONDS)


def test_extensions_that_were_not_asked_for_are_an_error() -> None:
    with listening(websocket(lambda: door, echo, "Sec-WebSocket-Extensions: permessage-deflate")) as door:
        with socket.create_connection(("127.0.0.1", door.port)) as sock:
            with pytest.raises(WebsocketConnectionError, match="wants extensions"):
                open_websocket(sock, "there", "/mqtt", None, timeout=SECONDS)


@pytest.mark.parametrize("more", [(), ("Sec-WebSocket-Protocol: mqtt",), ("Sec-WebSocket-Protocol: chat",)])
def test_a_server_may_name_any_sub_protocol_or_none(more: tuple[str, ...]) -> None:
    with listening(websocket(lambda: door, echo, *more)) as door:
        with socket.create_connection(("127.0.0.1", door.port)) as sock:
            assert open_websocket(sock, "there", "/mqtt", None, timeout=SECONDS).fileno() == sock.fileno()


def test_frames_may_come_with_the_answer() -> None:
    def answers_at_once(sock: socket.socket) -> None:
        head = sock.recv(4096).decode()
        key = head.partition("Sec-WebSocket-Key: ")[2].partition("\r\n")[0]
        answer = "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        sock.sendall(f"{answer}{accept_key(key)}\r\n\r\n".encode() + frames.messages(b"abc"))

    with listening(answers_at_once) as door, socket.create_connection(("127.0.0.1", door.port)) as sock:
        assert read(open_websocket(sock, "there", "/mqtt", None, timeout=SECONDS), 3) == b"abc"
