"""WebSocket frames at either end (RFC 6455, section 5).

Knows frames and nothing else: no handshake, no socket, no clock, no randomness, no extensions. What a peer sends is
one stream of bytes for MQTT, wherever messages and frames begin and end [MQTT-6.0.0-2]. So nothing is gathered here:
payload goes on as it comes, and a frame may be of any length.
"""

from collections.abc import Callable
from typing import Final

# Close codes (section 7.4.1).
NORMAL_CLOSURE: Final = 1000
PROTOCOL_ERROR: Final = 1002
UNSUPPORTED_DATA: Final = 1003
INVALID_DATA: Final = 1007
POLICY_VIOLATION: Final = 1008

_CONTINUATION: Final = 0x0
_TEXT: Final = 0x1
_BINARY: Final = 0x2
_CLOSE: Final = 0x8
_PING: Final = 0x9
_PONG: Final = 0xA
_CONTROL: Final = 0x8  # the bit that all control frames have

_FIN: Final = 0x80
_RESERVED: Final = 0x70
_MASKED: Final = 0x80
_WHOLE_MESSAGE: Final = _FIN | _BINARY
_LONGEST_CONTROL: Final = 125  # bytes of payload (section 5.5)

Unmask = Callable[[bytes, bytearray], None]
"""What undoes, in place, what a client's key of four bytes did to its payload; and what does it: both are the same."""

LONGEST_MESSAGE: Final = 262_144
"""Bytes of payload that leave in one message. Many clients take none above 1 MiB unless they are told to."""


def unmask(key: bytes, data: bytearray) -> None:
    """Undo what a client did to its payload, or do it (section 5.3)."""
    length = len(data)
    keys = int.from_bytes((key * ((length >> 2) + 1))[:length], "little")
    data[:] = (int.from_bytes(data, "little") ^ keys).to_bytes(length, "little")


class FrameReader:
    """What one peer's frames say.

    Args:
        unmask: does what ``unmask`` of this module does. One that is written in C takes much less time.
        of_server: the peer is a server, whose frames are not masked; those of a client are (section 5.1).
    """

    def __init__(self, unmask: Unmask = unmask, *, of_server: bool = False) -> None:
        self._unmask = unmask
        self._key_size = 0 if of_server else 4
        self._flip = _MASKED if of_server else 0  # makes the bit of masked frames say: as it should be
        self.is_over = False
        """A Close came, or something that is no WebSocket: nothing is read any more."""
        self.close_code = 0
        """What the peer's Close says, or what ours is to say of the ``fault``; 0: its Close says nothing."""
        self.fault = ""
        """What the peer did wrong; empty: nothing."""
        self.ping: bytes | None = None
        """Payload of the last Ping. Whoever answers it sets it to None; those before it need no answer (5.5.3)."""
        self._rest = b""  # the beginning of a frame's head, or of a control frame
        self._left = 0  # bytes of a data frame's payload that are still to come
        self._key = b""  # that the next of them are masked with
        self._is_within = False  # a message: a frame that continues it must follow

    def receive(self, data: bytes) -> bytes:
        """Take in what was read; all payload that is in it, in one piece."""
        if self.is_over:
            return b""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        end = len(data)
        position = 0
        key_size = self._key_size
        flip = self._flip
        found: list[bytes | bytearray] = []
        if self._left:
            position = self._take(data, 0, self._left, self._key, found)
        while end - position >= 2:
            first = data[position]
            second = data[position + 1] ^ flip
            if first != _WHOLE_MESSAGE or second < _MASKED or self._is_within:
                self._check(first, second)
                if self.is_over:
                    break
            length = second & 0x7F
            start = position + 2 + key_size
            if length >= 126:
                start += 2 if length == 126 else 8
                if start > end:
                    break
                length = self._long_length(data[position + 2 : start - key_size])
                if self.is_over:
                    break
            elif start > end:
                break
            key = data[start - key_size : start]
            if first & _CONTROL:
                if start + length > end:
                    break
                position = start + length
                payload = bytearray(data[start:position])
                if key_size:
                    self._unmask(key, payload)
                self._on_control(first & 0x0F, bytes(payload))
                if self.is_over:
                    break
            else:
                self._is_within = first < _FIN
                position = self._take(data, start, length, key, found)
        if position < end and not self.is_over:
            self._rest = data[position:]
        return b"".join(found)

    def _take(self, data: bytes, start: int, length: int, key: bytes, found: list[bytes | bytearray]) -> int:
        """Take as much of a frame's payload as has come; the position behind it."""
        stop = start + length
        end = len(data)
        if stop > end:
            self._left = stop - end
            stop = end
            length = stop - start
            turn = length & 3
            self._key = key[turn:] + key[:turn]
        else:
            self._left = 0
        if self._key_size:
            payload = bytearray(data[start:stop])
            self._unmask(key, payload)
            found.append(payload)
        else:
            found.append(data[start:stop])
        return stop

    def _check(self, first: int, second: int) -> None:
        """Whether a frame may begin like that, here."""
        opcode = first & 0x0F
        if first & _RESERVED:
            self.refuse(PROTOCOL_ERROR, "a frame has reserved bits set, and no extension was agreed on (5.2)")
        elif second < _MASKED:
            self.refuse(PROTOCOL_ERROR, "a frame is " + ("masked (5.1)" if self._flip else "not masked (5.1)"))
        elif opcode & _CONTROL:
            if opcode > _PONG:
                self.refuse(PROTOCOL_ERROR, f"there is no opcode 0x{opcode:X} (5.2)")
            elif first < _FIN or second & 0x7F > _LONGEST_CONTROL:
                self.refuse(PROTOCOL_ERROR, "a control frame is fragmented, or longer than 125 bytes (5.5)")
        elif opcode == _TEXT:
            self.refuse(UNSUPPORTED_DATA, "a text frame came; MQTT is in binary frames [MQTT-6.0.0-1]")
        elif opcode > _BINARY:
            self.refuse(PROTOCOL_ERROR, f"there is no opcode 0x{opcode:X} (5.2)")
        elif self._is_within and opcode != _CONTINUATION:
            self.refuse(PROTOCOL_ERROR, "a message began before the one before it had ended (5.4)")
        elif not self._is_within and opcode == _CONTINUATION:
            self.refuse(PROTOCOL_ERROR, "a frame continues a message that did not begin (5.4)")

    def _long_length(self, field: bytes) -> int:
        """A length of two or eight bytes."""
        length = int.from_bytes(field, "big")
        if length >= 1 << 63 or length < (126 if len(field) == 2 else 65_536):
            self.refuse(PROTOCOL_ERROR, "the length of a frame is not written in the shortest way (5.2)")
        return length

    def _on_control(self, opcode: int, payload: bytes) -> None:
        if opcode == _PING:
            self.ping = payload
        elif opcode == _CLOSE:
            if not payload:
                self.is_over = True
                return
            code = int.from_bytes(payload[:2], "big")
            if len(payload) == 1 or not _may_be_sent(code):
                self.refuse(PROTOCOL_ERROR, "a Close has no code that may be sent (7.4)")
                return
            try:
                payload[2:].decode()
            except UnicodeDecodeError:
                self.refuse(INVALID_DATA, "the reason in a Close is not UTF-8 (5.5.1)")
                return
            self.is_over = True
            self.close_code = code
        # A Pong needs nothing: that its sender is there was seen by whoever counts what comes (5.5.3).

    def refuse(self, close_code: int, fault: str) -> None:
        """Read nothing any more, for something that the peer did wrong."""
        self.is_over = True
        self.close_code = close_code
        self.fault = fault


# What a server sends


def messages(data: bytes) -> bytes:
    """Binary messages with these bytes, as they leave: one, if it does not become too long for many clients."""
    length = len(data)
    if length < 126:
        return bytes((_WHOLE_MESSAGE, length)) + data
    if length < 65_536:
        return b"\x82\x7e" + length.to_bytes(2, "big") + data
    if length <= LONGEST_MESSAGE:
        return b"\x82\x7f" + length.to_bytes(8, "big") + data
    return b"".join([messages(data[start : start + LONGEST_MESSAGE]) for start in range(0, length, LONGEST_MESSAGE)])


def ping() -> bytes:
    """A Ping, as it leaves."""
    return b"\x89\x00"


def pong(payload: bytes) -> bytes:
    """The answer to a Ping with that payload, as it leaves."""
    return bytes((_FIN | _PONG, len(payload))) + payload


def close(code: int) -> bytes:
    """A Close, as it leaves. Code 0: it says nothing."""
    return b"\x88\x02" + code.to_bytes(2, "big") if code else b"\x88\x00"


# What a client sends: masked, each frame with a key of four bytes that nobody can foresee (section 5.3)


def masked_message(data: bytes, key: bytes) -> bytes:
    """A binary message with these bytes, as it leaves. Many servers take none longer than ``LONGEST_MESSAGE``."""
    return _masked_frame(_WHOLE_MESSAGE, data, key)


def masked_pong(payload: bytes, key: bytes) -> bytes:
    """The answer to a Ping with that payload, as it leaves."""
    return _masked_frame(_FIN | _PONG, payload, key)


def masked_close(code: int, key: bytes) -> bytes:
    """A Close, as it leaves. Code 0: it says nothing."""
    return _masked_frame(_FIN | _CLOSE, code.to_bytes(2, "big") if code else b"", key)


def _masked_frame(first: int, payload: bytes, key: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        head = bytes((first, _MASKED | length))
    elif length < 65_536:
        head = bytes((first, _MASKED | 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((first, _MASKED | 127)) + length.to_bytes(8, "big")
    masked = bytearray(payload)
    unmask(key, masked)
    return head + key + masked


def _may_be_sent(code: int) -> bool:
    """Whether a Close may say that: 1004 to 1006 and 1015 are for those who never got one."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
