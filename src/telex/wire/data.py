"""The data representations that packets are made of (section 1.5).

Knows numbers, strings and where a field ends. Knows no packet.
"""

from typing import Final

from telex.codes import MAX_REMAINING_LENGTH, ReasonCode
from telex.errors import ProtocolError

MAX_STRING_BYTES: Final = 65_535  # what a Two Byte Integer can announce (section 1.5.4)


def malformed(text: str) -> ProtocolError:
    """The error of a packet that cannot be read (section 4.13.1)."""
    return ProtocolError(ReasonCode.MALFORMED_PACKET, text)


def decode_text(data: bytes, what: str) -> str:
    """UTF-8 as MQTT wants it; a BOM is a character like others [MQTT-1.5.4-3].

    Raises:
        ProtocolError: MALFORMED_PACKET, for what is not UTF-8, encodes a
            surrogate [MQTT-1.5.4-1] or holds U+0000 [MQTT-1.5.4-2].
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise malformed(f"{what} is not UTF-8: {error.reason} at byte {error.start} [MQTT-1.5.4-1]") from None
    if "\0" in text:
        raise malformed(f"{what} holds the null character U+0000 [MQTT-1.5.4-2]")
    return text


class Reader:
    """Takes one field after another out of a packet's body.

    Every method raises ``ProtocolError`` MALFORMED_PACKET where the body ends
    before the field does.
    """

    def __init__(self, data: bytes, position: int, end: int) -> None:
        self.data = data
        self.position = position  # of the next byte to be read
        self.end = end  # just behind the last byte that belongs to us

    def _advance(self, count: int, what: str) -> int:
        position = self.position
        if position + count > self.end:
            left = self.end - position
            raise malformed(f"{what} needs {count:,} more bytes, the packet has {left:,} left")
        self.position = position + count
        return position

    def byte(self, what: str) -> int:
        """One byte, 0 to 255."""
        return self.data[self._advance(1, what)]

    def two_byte_integer(self, what: str) -> int:
        """Two bytes, high byte first (section 1.5.2)."""
        position = self._advance(2, what)
        return self.data[position] << 8 | self.data[position + 1]

    def four_byte_integer(self, what: str) -> int:
        """Four bytes, high byte first (section 1.5.3)."""
        position = self._advance(4, what)
        return int.from_bytes(self.data[position : position + 4], "big")

    def variable_byte_integer(self, what: str) -> int:
        """One to four bytes of seven bits, low bits first (section 1.5.5)."""
        byte = self.byte(what)
        if byte < 0x80:  # as nearly all are
            return byte
        value = byte & 0x7F
        shift = 0
        while byte >= 0x80:
            shift += 7
            if shift > 21:
                raise malformed(f"{what}: a variable byte integer has at most four bytes")
            byte = self.byte(what)
            value |= (byte & 0x7F) << shift
        if byte == 0:  # [MQTT-1.5.5-1]
            raise malformed(f"{what}: a variable byte integer must use the fewest bytes [MQTT-1.5.5-1]")
        return value

    def binary(self, what: str) -> bytes:
        """Up to 65,535 bytes behind their length (section 1.5.6)."""
        length = self.two_byte_integer(what)
        position = self._advance(length, what)
        return self.data[position : position + length]

    def string(self, what: str) -> str:
        """A UTF-8 Encoded String (section 1.5.4)."""
        return decode_text(self.binary(what), what)

    def rest(self) -> bytes:
        """All that is left."""
        position = self.position
        self.position = self.end
        return self.data[position : self.end]

    @property
    def has_more(self) -> bool:
        """Whether anything is left to read."""
        return self.position < self.end

    def finish(self, what: str) -> None:
        """Refuse a body that goes on behind its last field."""
        if self.position < self.end:
            raise malformed(f"{what} has {self.end - self.position:,} bytes behind its last field")


def encode_two(value: int, what: str) -> bytes:
    """A Two Byte Integer (section 1.5.2)."""
    if not 0 <= value <= 0xFFFF:
        raise ValueError(f"{what} is {value}, expected 0 to 65,535")
    return value.to_bytes(2, "big")


def encode_four(value: int, what: str) -> bytes:
    """A Four Byte Integer (section 1.5.3)."""
    if not 0 <= value <= 0xFFFFFFFF:
        raise ValueError(f"{what} is {value}, expected 0 to 4,294,967,295")
    return value.to_bytes(4, "big")


def encode_variable(value: int, what: str) -> bytes:
    """A Variable Byte Integer in the fewest bytes [MQTT-1.5.5-1]."""
    if 0 <= value < 0x80:
        return ONE_BYTE[value]
    if 0x80 <= value < 0x4000:
        return ONE_BYTE[value & 0x7F | 0x80] + ONE_BYTE[value >> 7]
    if not 0 <= value <= MAX_REMAINING_LENGTH:
        raise ValueError(f"{what} is {value:,}, expected 0 to 268,435,455")
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def encode_binary(value: bytes, what: str) -> bytes:
    """Bytes behind their length (section 1.5.6)."""
    if len(value) > MAX_STRING_BYTES:
        raise ValueError(f"{what} has {len(value):,} bytes, at most 65,535 fit")
    return len(value).to_bytes(2, "big") + value


def encode_string(value: str, what: str) -> bytes:
    """A UTF-8 Encoded String (section 1.5.4)."""
    if "\0" in value:
        raise ValueError(f"{what} holds the null character U+0000 [MQTT-1.5.4-2]")
    try:
        return encode_binary(value.encode("utf-8"), what)
    except UnicodeEncodeError:
        raise ValueError(f"{what} holds a surrogate, which UTF-8 cannot say [MQTT-1.5.4-1]") from None


ONE_BYTE: Final = tuple(bytes([value]) for value in range(256))
"""Every single byte, made once."""
