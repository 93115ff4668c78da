"""A client of few words, for what happens before and behind a load: MQTT 3.1.1 over a plain socket.

Knows the few packets that this takes. Whatever else comes than what it waits for is an error.
"""

import socket
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from brokers import Server

_TIMEOUT: Final = 30.0  # seconds for any one answer
_BLOCK: Final = 500  # PUBLISH packets in one write, and then their PUBACKs

_CONNACK: Final = b"\x20\x02\x00\x00"
_CONNACK_SESSION_PRESENT: Final = b"\x20\x02\x01\x00"
_SUBACK: Final = b"\x90\x03\x00\x01\x00"
_DISCONNECT: Final = b"\xe0\x00"


class NotKept(Exception):
    """What the broker acknowledged is not there; or it did not get as far."""


class Plain:
    """One connection, open until the block ends.

    Args:
        server: where the broker is.
        client_id: whose session it is.
        clean: it is a new one, and ends with the connection.
        timeout: seconds for any one answer.

    Raises:
        NotKept: the broker says no.
        OSError: it is not there.
    """

    def __init__(self, server: Server, client_id: str, *, clean: bool = True, timeout: float = _TIMEOUT) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._socket.sendall(_connect(client_id, clean=clean))
            answer = self._receive(4)
            if answer not in (_CONNACK, _CONNACK_SESSION_PRESENT):
                raise NotKept(f"no CONNACK with code 0 but {answer.hex(' ')}")
        except BaseException:
            self._socket.close()
            raise
        self.session_present = answer == _CONNACK_SESSION_PRESENT
        """Whether the broker has kept it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._socket.sendall(_DISCONNECT)
        finally:
            self._socket.close()

    def retain(self, topics: Sequence[bytes], payload: bytes) -> None:
        """Have the broker retain a message under each of these topics, at QoS 1.

        Raises:
            NotKept: it does not acknowledge one, or not in order.
        """
        for start in range(0, len(topics), _BLOCK):
            block = topics[start : start + _BLOCK]
            self._socket.sendall(b"".join(publish(topic, payload, packet_id=n + 1) for n, topic in enumerate(block)))
            wanted = b"".join(b"\x40\x02" + (packet_id + 1).to_bytes(2) for packet_id in range(len(block)))
            if self._receive(len(wanted)) != wanted:
                raise NotKept("the broker did not acknowledge all that it shall retain, in order")

    def read(self, topic_filter: bytes, most: int, *, quiet: float) -> int:
        """Subscribe at QoS 0, and count the bytes of retained messages, until nothing has come for ``quiet`` seconds.

        Raises:
            NotKept: the broker did not grant it.
        """
        rest = b"\x00\x01" + _text(topic_filter)
        self._socket.sendall(b"\x82" + _length(len(rest) + 1) + rest + b"\x00")
        if self._receive(5) != _SUBACK:
            raise NotKept("the broker did not grant the subscription to what is retained")
        self._socket.settimeout(quiet)
        received = 0
        try:
            while received < most and (part := self._socket.recv(1 << 20)):
                received += len(part)
        except TimeoutError:
            pass
        return received

    def close(self) -> None:
        """Close the connection, without DISCONNECT."""
        self._socket.close()

    def look(self, topic_filter: bytes, expected: int) -> None:
        """Subscribe at QoS 0, read the retained messages that this brings, and unsubscribe.

        Args:
            topic_filter: which ones.
            expected: how many bytes their PUBLISH packets take together, as ``publish`` makes them.

        Raises:
            NotKept: the broker did not grant it, or closed the connection.
            TimeoutError: something is missing.
        """
        rest = b"\x00\x01" + _text(topic_filter)
        self._socket.sendall(b"\x82" + _length(len(rest) + 1) + rest + b"\x00")
        answers = self._receive(5 + expected)
        if _SUBACK not in answers:  # messages may come in front of it (section 3.8.4)
            raise NotKept("the broker did not grant the subscription to what is retained")
        self._socket.sendall(b"\xa2" + _length(len(rest)) + rest)
        if self._receive(4) != b"\xb0\x02\x00\x01":
            raise NotKept("the broker did not answer UNSUBSCRIBE")

    def _receive(self, count: int) -> bytes:
        parts, have = [], 0
        while have < count:
            part = self._socket.recv(count - have)
            if not part:
                raise NotKept("the broker closed a connection")
            parts.append(part)
            have += len(part)
        return b"".join(parts)


def publish(topic: bytes, payload: bytes, *, packet_id: int | None = None) -> bytes:
    """A retained message as we send it, at QoS 1 with a packet id; or as it comes back, at QoS 0 without."""
    rest = _text(topic) + (b"" if packet_id is None else packet_id.to_bytes(2)) + payload
    return bytes((0x31 if packet_id is None else 0x33,)) + _length(len(rest)) + rest


def _connect(client_id: str, *, clean: bool) -> bytes:
    """CONNECT without keep alive."""
    rest = b"\x00\x04MQTT\x04" + (b"\x02" if clean else b"\x00") + b"\x00\x00" + _text(client_id.encode())
    return b"\x10" + _length(len(rest)) + rest


def _text(text: bytes) -> bytes:
    return len(text).to_bytes(2) + text


def _length(number: int) -> bytes:
    """A Variable Byte Integer (MQTT 3.1.1, section 2.2.3)."""
    made = bytearray()
    while number > 127:
        made.append(0x80 | number & 127)
        number >>= 7
    made.append(number)
    return bytes(made)
