"""A fuzzer's bytes as a story: one byte says what happens, those behind it with what.

Knows no MQTT but the fixed header, so that a fuzzer gets past the remaining
length without guessing it.
"""

PIECE = 0xBF
"""Up to this value an act is a piece: so many bytes are said."""

FRAMED = 0xC0
"""A first byte and a body, said with the remaining length that belongs to them."""

REST = 0xFF
"""All that is left is said, in one piece."""


class Script:
    """Takes one thing after the other from the bytes; zeros when they have run out."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    @property
    def goes_on(self) -> bool:
        """Whether any byte is left."""
        return self.position < len(self.data)

    def byte(self) -> int:
        """One byte."""
        if not self.goes_on:
            return 0
        self.position += 1
        return self.data[self.position - 1]

    def take(self, count: int) -> bytes:
        """So many bytes, or all that are left if there are fewer."""
        start = self.position
        self.position = min(start + count, len(self.data))
        return self.data[start : self.position]

    def rest(self) -> bytes:
        """All bytes that are left."""
        return self.take(len(self.data))

    def framed(self) -> bytes:
        """A packet: its first byte, then the length of its body, then the body."""
        first = self.byte()
        body = self.take(self.byte())
        return bytes((first, *remaining_length(len(body)))) + body


def remaining_length(length: int) -> bytes:
    """A body's length as the fixed header says it (section 2.1.4)."""
    return bytes((length,)) if length < 0x80 else bytes((length & 0x7F | 0x80, length >> 7))


def pieces(data: bytes, size: int) -> list[bytes]:
    """Bytes cut into pieces of one size."""
    return [data[start : start + size] for start in range(0, len(data), size)]
