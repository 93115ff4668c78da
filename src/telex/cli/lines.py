"""Ways for bytes, one above the other: TCP, TLS, WebSocket; each wait has a time limit.

Knows no MQTT. For ``telex doctor``, which wants to see what others hide: bytes that came in place of an answer.
"""

import os
import socket
import ssl
import struct
from contextlib import suppress
from time import monotonic
from typing import Final

_MOST_SEEN: Final = 65_536  # bytes of a handshake that are looked at


class Line:
    """A TCP connection. Whatever is waited for in vain for ``seconds`` is a ``TimeoutError``."""

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        self._socket = sock
        self._seconds = seconds
        self._until = 0.0
        self.restart()

    def restart(self) -> None:
        """What comes next may take its time anew."""
        self._until = monotonic() + self._seconds

    def send(self, data: bytes) -> None:
        """Send, or not: if the other end has gone, ``receive`` tells what it said before."""
        self._wait()
        try:
            self._socket.sendall(data)
        except TimeoutError:
            raise
        except OSError:
            return

    def receive(self) -> bytes:
        """What comes next; nothing: the connection is closed."""
        self._wait()
        try:
            return self._socket.recv(65_536)
        except TimeoutError:
            raise
        except OSError:  # a reset, or the network is gone
            return b""

    def close(self) -> None:
        """Let go."""
        self._socket.close()

    def _wait(self) -> None:
        left = self._until - monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)


class TlsLine(Line):
    """TLS above another line."""

    def __init__(self, line: Line, context: ssl.SSLContext, server_name: str) -> None:
        self._line = line
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.seen = b""  # the first bytes that came, as they are on the wire
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)

    def restart(self) -> None:
        """What comes next may take its time anew."""
        self._line.restart()

    def shake_hands(self) -> None:
        """Begin.

        Raises:
            ssl.SSLError: it cannot be; ``seen`` is what came.
        """
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._take_in()
            else:
                self._flush()
                return
            finally:
                with suppress(TimeoutError):  # an alert, too, is to be sent
                    self._flush()

    def send(self, data: bytes) -> None:
        """Send, or not: if the other end has gone, ``receive`` tells what it said before."""
        self.tls.write(data)
        self._flush()

    def receive(self) -> bytes:
        """What comes next; nothing: the connection is closed."""
        while True:
            try:
                return self.tls.read(65_536)
            except ssl.SSLWantReadError:
                self._flush()
                self._take_in()
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                return b""

    def close(self) -> None:
        """Let go."""
        self._line.close()

    def _take_in(self) -> None:
        data = self._line.receive()
        self.seen = (self.seen + data)[:_MOST_SEEN]
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data:
            self._line.send(data)


class WebSocketLine(Line):
    """WebSocket above another line (RFC 6455); its opening was answered with 101."""

    def __init__(self, line: Line, data: bytes) -> None:
        self._line = line
        self._data = data  # what came behind the answer

    def restart(self) -> None:
        """What comes next may take its time anew."""
        self._line.restart()

    def send(self, data: bytes) -> None:
        """Send it as one binary message."""
        size = struct.pack("!B", 0x80 | len(data)) if len(data) < 126 else struct.pack("!BH", 0xFE, len(data))
        mask = os.urandom(4)  # a client's bytes are masked
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
        self._line.send(b"\x82" + size + mask + masked)

    def receive(self) -> bytes:
        """What comes next; nothing: the connection is closed."""
        while True:
            frame = self._next_frame()
            if frame is None:
                data = self._line.receive()
                if not data:
                    return b""
                self._data += data
            elif frame[0] == 8:
                return b""
            elif frame[0] < 8 and frame[1]:  # neither ping nor pong
                return frame[1]

    def close(self) -> None:
        """Let go."""
        self._line.close()

    def _next_frame(self) -> tuple[int, bytes] | None:
        data = self._data
        if len(data) < 2:
            return None
        size = data[1] & 0x7F
        start = {126: 4, 127: 10}.get(size, 2)
        if len(data) < start:
            return None
        if start > 2:
            size = int.from_bytes(data[2:start], "big")
        if len(data) < start + size:
            return None
        self._data = data[start + size :]
        return data[0] & 0x0F, data[start : start + size]
