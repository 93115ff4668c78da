"""MQTT in a WebSocket, as paho offers it (RFC 6455; MQTT 5, section 6).

Knows the handshake with its headers, and a socket that takes and brings frames in parts. Knows no way to a server and
no frame's inside: those are in ``sockets.py`` and ``streams/frames.py``.
"""

import os
import socket
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha1
from typing import Final

from telex.paho.nonblocking import pending_of, receive, send
from telex.streams import frames

WebSocketHeaders = Callable[[dict[str, str]], dict[str, str]] | dict[str, str]

_KEY_SUFFIX: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_MOST_HEAD: Final = 16_384  # bytes of an answer's head

_NO: Final = "WebSocket handshake error"
"""How each refusal begins. It and what follows it up to a colon are as in paho: programs look for them."""

_QUIET_CLOSURES: Final = (0, frames.NORMAL_CLOSURE, 1001)  # that are no error: nothing said, done, going away


class WebsocketConnectionError(ConnectionError):
    """There is no WebSocket, or it is one no longer: why."""


class WebSocket:
    """A connection whose bytes go in frames. It offers what a socket does that does not block.

    Args:
        sock: the connection, when the handshake is over.
        ready: what came behind the answer.
    """

    def __init__(self, sock: socket.socket, ready: bytes = b"") -> None:
        # Under this name programs look for the socket within, to set its options.
        self._socket = sock
        self._reader = frames.FrameReader(of_server=True)
        self._ready = self._reader.receive(ready)  # payload that nobody has fetched yet
        self._lock = threading.Lock()  # whoever publishes writes, and so does whoever reads: answers to Pings
        self._rest = memoryview(b"")  # of a frame, that did not leave at once
        self._promised = 0  # bytes of payload in that frame, of which the caller still has to be told
        self._pong: bytes | None = None  # the payload of an answer that is due
        self._has_said_close = False

    def recv(self, size: int, /) -> bytes:
        """Payload that has come, not more than so many bytes; none: the peer has ended the WebSocket.

        Raises:
            BlockingIOError: there is none, though parts of a frame may have come.
            WebsocketConnectionError: the peer has ended it for a reason, or broken the rules.
        """
        if not self._ready and not self._reader.is_over:
            self._answer()
            data = receive(self._socket, size)
            if not data:
                return b""
            self._ready = self._reader.receive(data)
        self._answer()
        if self._ready:
            payload, self._ready = self._ready[:size], self._ready[size:]
            return payload
        if not self._reader.is_over:
            raise BlockingIOError
        self._check_end()
        return b""

    def send(self, data: bytes | bytearray | memoryview, /) -> int:
        """Send bytes as one message, if they are not very many; how many of them have left.

        Raises:
            BlockingIOError: the frame has not left, or only a part of it. The next call must begin with the same bytes.
            WebsocketConnectionError: the WebSocket has been ended.
        """
        with self._lock:
            if not self._promised:
                self._flush()
                if self._has_said_close:
                    raise WebsocketConnectionError("the WebSocket is closed")
                payload = bytes(data[: frames.LONGEST_MESSAGE])
                self._rest = memoryview(frames.masked_message(payload, os.urandom(4)))
                self._promised = len(payload)
            self._flush()
            sent, self._promised = self._promised, 0
            return sent

    def close(self) -> None:
        """End it: say Close, if the socket takes that now, and wait for nothing."""
        with self._lock, suppress(OSError):
            self._flush()
            self._say_close(frames.NORMAL_CLOSURE)
        self._socket.close()

    def fileno(self) -> int:
        """The socket's descriptor; -1 when it is closed."""
        return self._socket.fileno()

    def pending(self) -> int:
        """How much there is to be read, be it that it is over, that ``select`` does not see."""
        return len(self._ready) + self._reader.is_over + pending_of(self._socket)

    def setblocking(self, flag: bool, /) -> None:
        """Whether calls wait."""
        self._socket.setblocking(flag)

    def _answer(self) -> None:
        """Say what a Ping or a Close that came wants to hear, unless the peer does not read."""
        reader = self._reader
        if reader.ping is None and self._pong is None and not reader.is_over:
            return
        # A connection that is broken is noticed by whoever reads, behind what came on it.
        with self._lock, suppress(OSError):
            if reader.ping is not None:
                self._pong, reader.ping = reader.ping, None
            self._flush()
            if reader.is_over:
                self._say_close(reader.close_code)

    def _say_close(self, code: int) -> None:
        if not self._has_said_close:
            self._has_said_close = True
            self._rest = memoryview(frames.masked_close(code, os.urandom(4)))
            self._flush()

    def _flush(self) -> None:
        """Send what waits: the frame that has begun, then an answer to a Ping.

        Raises:
            BlockingIOError: not all of it has left.
        """
        self._push()
        if self._pong is not None and not self._has_said_close:
            self._rest = memoryview(frames.masked_pong(self._pong, os.urandom(4)))
            self._pong = None
            self._push()

    def _push(self) -> None:
        while self._rest:
            self._rest = self._rest[send(self._socket, self._rest) :]

    def _check_end(self) -> None:
        reader = self._reader
        if reader.fault:
            raise WebsocketConnectionError(f"WebSocket: {reader.fault}")
        if reader.close_code not in _QUIET_CLOSURES:
            raise WebsocketConnectionError(f"the peer closed the WebSocket with code {reader.close_code}")


def open_websocket(
    sock: socket.socket, host: str, path: str, headers: WebSocketHeaders | None, *, timeout: float
) -> WebSocket:
    """Make a WebSocket of a connection, and wait until the server has said yes.

    Args:
        sock: the connection; it stays open when this fails.
        host: what the Host header says: the port, too, unless it is the usual one.
        path: what is asked for.
        headers: further ones, which take the place of ours with the same name; or what makes all of them of ours.
        timeout: seconds for it.

    Raises:
        WebsocketConnectionError: the answer is a no, or there is none.
        OSError: the connection is broken; ``TimeoutError``: time is up.
        ValueError: a header, or the path, would end its line.
    """
    key = b64encode(os.urandom(16))
    scheme = "https" if isinstance(sock, ssl.SSLSocket) else "http"
    # The names are as paho writes them: whoever gets them in a function looks for them.
    ours = {
        "Host": host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Origin": f"{scheme}://{host}",
        "Sec-WebSocket-Key": key.decode(),
        "Sec-Websocket-Version": "13",
        "Sec-Websocket-Protocol": "mqtt",  # [MQTT-6.0.0-3]
    }
    every = headers(ours) if callable(headers) else ours | (headers or {})
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in every.items())]
    for line in lines:
        if "\r" in line or "\n" in line:
            raise ValueError(f"there is the end of a line within {line!r}, which is a part of a WebSocket's request")
    until = time.monotonic() + timeout
    sock.settimeout(timeout)
    try:
        sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        head, rest = _read_head(sock, until)
    except (ConnectionResetError, BrokenPipeError) as error:
        raise WebsocketConnectionError(f"{_NO}: the server has closed the connection") from error
    _check(head, key)
    return WebSocket(sock, rest)


def _read_head(sock: socket.socket, until: float) -> tuple[str, bytes]:
    """The answer's head, and what came behind it: the first frames."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        if len(seen) > _MOST_HEAD:
            raise WebsocketConnectionError(f"{_NO}: the head of the answer does not end")
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        sock.settimeout(left)
        data = sock.recv(4096)
        if not data:
            raise WebsocketConnectionError(f"{_NO}: the server has closed the connection")
        seen += data
        if not b"HTTP/".startswith(seen[:5]):
            raise WebsocketConnectionError(f"{_NO}: the server does not answer in HTTP, but {seen[:40]!r}")
    head, _, rest = seen.partition(b"\r\n\r\n")
    return head.decode("latin-1"), rest


def _check(head: str, key: bytes) -> None:
    """Whether an answer is a yes (section 4.1).

    Which sub-protocol the server names does not count, as with paho: some that speak MQTT name another, or none.
    """
    first, *lines = head.split("\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    status = first.partition(" ")[2]
    if (
        not status.startswith("101")
        or "upgrade" not in headers.get("connection", "").lower()
        or headers.get("upgrade", "").lower() != "websocket"
    ):
        raise WebsocketConnectionError(f"{_NO}, connection not upgraded: the server says {status[:200]!r}")
    if "sec-websocket-accept" not in headers:
        raise WebsocketConnectionError(f"{_NO}: the answer has no Sec-WebSocket-Accept")
    expected = b64encode(sha1(key + _KEY_SUFFIX, usedforsecurity=False).digest()).decode()
    if headers["sec-websocket-accept"] != expected:
        raise WebsocketConnectionError(f"{_NO}, invalid secret key: it is not made of ours")
    if headers.get("sec-websocket-extensions"):
        raise WebsocketConnectionError(f"{_NO}: the server wants extensions that were not asked for")
