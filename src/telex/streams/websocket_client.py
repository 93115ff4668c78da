"""WebSocket at the client's end: the opening handshake, and the stream behind it (RFC 6455; MQTT 5, section 6)."""

import asyncio
import os
from base64 import b64encode
from collections.abc import Callable, Mapping
from hashlib import sha1
from typing import Final, cast

from telex.errors import NotConnected
from telex.streams import framed, frames
from telex.streams.stream import Handler
from telex.streams.tcp import NOBODY, Arrival

_PROTOCOL: Final = "mqtt"
_KEY_SUFFIX: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_MOST_HEAD: Final = 16_384  # bytes of an answer's head

_OWN: Final = ("upgrade", "connection", "content-length", "transfer-encoding")
"""Headers that are not for users to say, like all that begin with ``sec-websocket-``."""


class Handshake:
    """The opening handshake: what is asked, and whether the answer is a yes.

    Args:
        place: where the server is, for people.
        host: what the Host header says.
        path: what is asked for, with its query.
        headers: further ones; a Host among them takes the place of ours.
        nonce: 16 bytes that nobody can foresee.

    Raises:
        ValueError: a header that cannot be sent.
    """

    def __init__(self, place: str, host: str, path: str, headers: Mapping[str, str], nonce: bytes) -> None:
        self._place = place
        self._path = path
        key = b64encode(nonce)
        self._accept = b64encode(sha1(key + _KEY_SUFFIX, usedforsecurity=False).digest()).decode()
        self._seen = b""
        check_headers(headers)
        others = {name: value for name, value in headers.items() if name.lower() != "host"}
        host = next((value for name, value in headers.items() if name.lower() == "host"), host)
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key.decode()}",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Protocol: {_PROTOCOL}",  # [MQTT-6.0.0-3]
            *(f"{name}: {value}" for name, value in others.items()),
        ]
        self.request = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        """What is to be sent."""

    def receive(self, data: bytes) -> bytes | None:
        """Take in what was read; what stands behind the answer when it is there, which is the first of the frames.

        Raises:
            NotConnected: the answer is a no, or none of WebSocket: what it is, and the remedy.
        """
        seen = self._seen = self._seen + data
        self._check_beginning(seen)
        end = seen.find(b"\r\n\r\n")
        if end < 0:
            if len(seen) > _MOST_HEAD:
                raise NotConnected(f"{self._place} answers with a head of HTTP that does not end: is it a broker?")
            return None
        self._seen = b""
        self._check(seen[:end].decode("latin-1"))
        return seen[end + 4 :]

    def _check_beginning(self, seen: bytes) -> None:
        if b"HTTP/"[: len(seen)] == seen[:5]:
            return
        if seen[:1] in (b"\x15", b"\x16") and seen[1:2] in (b"", b"\x03"):  # an alert, or a handshake, of TLS
            raise NotConnected(f"{self._place} speaks TLS: use wss:// there")
        raise NotConnected(
            f"{self._place} does not answer in HTTP: it may speak MQTT without WebSocket; use mqtt:// there, "
            "or the broker's port for WebSocket"
        )

    def _check(self, head: str) -> None:
        first, *lines = head.split("\r\n")
        version, _, status = first.partition(" ")
        code = status[:3]
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
        if code != "101":
            raise NotConnected(self._about_status(code, status[:200], headers.get("location", "")[:500]))
        if (
            version != "HTTP/1.1"
            or headers.get("upgrade", "").lower() != "websocket"
            or "upgrade" not in [word.strip() for word in headers.get("connection", "").lower().split(",")]
            or headers.get("sec-websocket-accept") != self._accept
            or headers.get("sec-websocket-extensions")
        ):
            raise NotConnected(
                f"{self._place} says 101 to a WebSocket, but not as RFC 6455 wants it (section 4.1): "
                "is there a web server or proxy that is not made for WebSockets?"
            )
        if headers.get("sec-websocket-protocol") != _PROTOCOL:  # [MQTT-6.0.0-4]
            raise NotConnected(
                f"{self._place} has a WebSocket at {self._path} that is not for MQTT: it does not take the "
                f"sub-protocol {_PROTOCOL!r}; check the path"
            )

    def _about_status(self, code: str, status: str, location: str) -> str:
        """What an answer means that is no 101."""
        if code in ("301", "302", "303", "307", "308"):
            where = f" to {location}" if location else " elsewhere"
            return f"{self._place} sends WebSockets at {self._path}{where} ({status}): use that address"
        if code in ("401", "403", "407"):
            return (
                f"{self._place} refuses a WebSocket at {self._path} ({status}): it may want a login or an Origin "
                "among websocket_headers"
            )
        if code in ("502", "503", "504"):
            return f"the web server at {self._place} does not reach the broker behind it ({status}): check its settings"
        return f"{self._place} is a web server without a WebSocket at {self._path} ({status}): check path and port"


def check_headers(headers: Mapping[str, str]) -> None:
    """Whether a handshake may have them.

    Raises:
        ValueError: which one may not, and why.
    """
    for name, value in headers.items():
        plain = name.lower()
        if not name or not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"websocket_headers: {name!r} is no name of a header")
        if plain in _OWN or plain.startswith("sec-websocket-"):
            raise ValueError(f"websocket_headers: {name} is for the handshake itself; leave it out")
        try:
            value.encode("latin-1")
        except UnicodeEncodeError:
            raise ValueError(f"websocket_headers: the value of {name} has characters that HTTP cannot send") from None
        if any(character in "\x7f" or (character < " " and character != "\t") for character in value):
            raise ValueError(f"websocket_headers: the value of {name} has a control character in it")


class WebSocketClientStream(framed.FramedStream):
    """One connection of a client: what asyncio calls, from the first byte of the handshake.

    Args:
        handshake: begins it.
        new_handler: makes who uses the stream, when the server has said yes.
    """

    __slots__ = ("_handshake", "_new_handler", "is_begun", "opened")

    def __init__(self, handshake: Handshake, new_handler: "Callable[[WebSocketClientStream], Handler]") -> None:
        super().__init__(frames.FrameReader(of_server=True))
        self._handshake = handshake
        self._new_handler = new_handler
        self.is_begun = False
        """The transport is there."""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when there is a handler. ``NotConnected``: the server says no; ``OSError``: the connection is lost."""

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self._transport = cast(asyncio.Transport, transport)
        self.is_begun = True
        arrival = Arrival()
        arrival.opened(transport)
        self.address = arrival.address
        self.host = arrival.host
        self.via_tls = arrival.via_tls
        if self._is_closing:  # given up
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(framed.HIGH_WATER)
        self._transport.write(self._handshake.request)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._handler is NOBODY:
            rest = self._shake_hands(data)
            if not rest:
                return
            data = rest
        self._came(self._reader.receive(data))

    # What the handler calls

    def write(self, data: bytes) -> None:
        """Send bytes, as one message if they are not very many; they wait here if the peer is slow."""
        if self._is_closing:
            return
        if len(data) <= frames.LONGEST_MESSAGE:
            self._transport.write(frames.masked_message(data, os.urandom(4)))
            return
        for start in range(0, len(data), frames.LONGEST_MESSAGE):
            part = data[start : start + frames.LONGEST_MESSAGE]
            self._transport.write(frames.masked_message(part, os.urandom(4)))

    def give_up(self) -> None:
        """End it now, at whatever point it is; nobody has it yet."""
        self._is_closing = True
        if self.is_begun:
            self._transport.abort()

    @property
    def unsent(self) -> int:
        """Bytes that were written and wait here."""
        return self._transport.get_write_buffer_size()

    def acknowledge_now(self) -> None:
        """There are frames around what comes: nothing is known of the kernel's packets."""

    # What happens within

    def _shake_hands(self, data: bytes) -> bytes | None:
        """What came is of the handshake; what stands behind it, if it is over."""
        if self.opened.done():  # refused, or given up: the connection ends
            return None
        try:
            rest = self._handshake.receive(data)
        except NotConnected as error:
            self._fail(error)
            self._transport.abort()
            return None
        if rest is None:
            return None
        try:
            self._handler = self._new_handler(self)
        except BaseException as error:  # a fault of ours: nobody would read the connection
            self._fail(error)
            self._transport.abort()
            return None
        self.opened.set_result(None)
        return rest

    def _fail(self, error: BaseException) -> None:
        if not self.opened.done():
            self.opened.set_exception(error)
            self.opened.exception()  # it was looked at, whoever waits

    def _gone(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionResetError("the connection was closed"))

    def _pong(self, payload: bytes) -> bytes:
        return frames.masked_pong(payload, os.urandom(4))

    def _close_frame(self, code: int) -> bytes:
        return frames.masked_close(code, os.urandom(4))

    def _end(self) -> None:
        """The peer has said Close, or what cannot be read."""
        if self._transport.is_closing():
            return
        if not self._is_closing:
            self._send_close(self._reader.close_code)
        # The server is first to close the connection (7.1.1). Most do at once; nobody is waited for long.
        self._transport.resume_reading()
        self._abort_after(framed.LINGER_SECONDS)
