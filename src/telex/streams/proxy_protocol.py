"""The PROXY protocol, versions 1 and 2: what a proxy says of the client before the client's own bytes.

Its text is HAProxy's ``proxy-protocol.txt``. Knows the header's bytes. Knows no socket: who reads asks
``HeaderReader.wanted`` how many bytes it may take, so that nothing of what follows is taken along.
"""

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address
from typing import Final

_V1_START: Final = b"PROXY "
_V1_LONGEST: Final = 107  # with its line end: section 2.1
_V1_SHORTEST: Final = len(b"PROXY UNKNOWN\r\n")
_V2_START: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_FIXED: Final = 16  # signature, version and command, family, length
_V2_LONGEST: Final = 4096  # what may follow the fixed part; proxies send some hundred bytes

_LOCAL: Final = 0
_PROXY: Final = 1
_IPV4: Final = 1
_IPV6: Final = 2
_UNIX: Final = 3
_STREAM: Final = 1

_TLV_CRC32C: Final = 0x03
_TLV_SSL: Final = 0x20
_TLV_SSL_VERSION: Final = 0x21
_CLIENT_SSL: Final = 0x01  # the client came by TLS


class BadHeader(ValueError):
    """What came is no header of the PROXY protocol: what was seen, and what was expected."""


@dataclass(frozen=True, slots=True)
class Proxied:
    """What a proxy says of a client."""

    host: str = ""  # its IP address; empty: it came to the proxy by a Unix socket
    port: int = 0
    is_local: bool = False  # the connection is the proxy's own, or it does not know: the socket's address counts
    is_tls: bool = False  # the client came to the proxy by TLS
    tls_version: str = ""  # such as TLSv1.3; empty if the proxy does not say

    @property
    def address(self) -> str:
        """Where the client is, for people."""
        if not self.host:
            return "unix"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class HeaderReader:
    """Reads one header.

    Args:
        version: the only one that is accepted, ``1`` or ``2``; ``any``: either.
    """

    def __init__(self, version: str) -> None:
        self._starts = {"1": (_V1_START,), "2": (_V2_START,), "any": (_V1_START, _V2_START)}[version]
        self._seen = bytearray()
        self.proxied: Proxied | None = None
        """What the header says, when it was read whole; then nothing more is wanted."""
        self.wanted = _V1_SHORTEST  # no header of either version is shorter
        """How many bytes may be read at most before the next call."""

    def receive(self, data: bytes) -> None:
        """Bytes came, ``wanted`` at most.

        Raises:
            BadHeader: this is no header, or not of a version that is accepted.
        """
        seen = self._seen
        seen += data
        if not any(start.startswith(seen[: len(start)]) for start in self._starts):
            raise BadHeader(f"it begins with {bytes(seen[:12])!r}, which is not the PROXY protocol{self._expected()}")
        if seen[:1] == _V1_START[:1]:
            self._receive_v1(seen)
        else:
            self._receive_v2(seen)

    def _expected(self) -> str:
        return "" if len(self._starts) > 1 else f" version {1 if self._starts == (_V1_START,) else 2}"

    def _receive_v1(self, seen: bytearray) -> None:
        if seen.endswith(b"\r\n"):
            self.proxied = _read_v1(bytes(seen[:-2]))
            self.wanted = 0
        elif len(seen) >= _V1_LONGEST:
            raise BadHeader(f"version 1: no line end within {_V1_LONGEST} bytes")
        else:
            self.wanted = max(1, _V1_SHORTEST - len(seen))  # then byte by byte: nobody says how long the line is

    def _receive_v2(self, seen: bytearray) -> None:
        if len(seen) < _V2_FIXED:
            self.wanted = _V2_FIXED - len(seen)
            return
        length = int.from_bytes(seen[14:16], "big")
        if length > _V2_LONGEST:
            raise BadHeader(f"version 2: it announces {length} bytes; at most {_V2_LONGEST} are read")
        self.wanted = _V2_FIXED + length - len(seen)
        if self.wanted == 0:
            self.proxied = _read_v2(bytes(seen))


def _read_v1(line: bytes) -> Proxied:
    """``PROXY TCP4 192.0.2.1 192.0.2.2 50000 1883``, without its line end."""
    words = line.split(b" ")
    if words[1] == b"UNKNOWN":  # whatever follows is to be ignored
        return Proxied(is_local=True)
    if words[1] not in (b"TCP4", b"TCP6") or len(words) != 6:
        raise BadHeader(f"version 1: expected PROXY TCP4|TCP6 SOURCE DESTINATION PORT PORT, seen {line!r}")
    kind = IPv4Address if words[1] == b"TCP4" else IPv6Address
    try:
        if b"%" in line:  # a zone: what stands behind it may be anything, and is of the proxy's machine only
            raise AddressValueError
        host = kind(words[2].decode("ascii"))
        kind(words[3].decode("ascii"))
    except (AddressValueError, UnicodeDecodeError):
        raise BadHeader(f"version 1: expected two addresses of {words[1].decode()}, seen {line!r}") from None
    for word in words[4:]:
        if not word.isdigit() or len(word) > 5 or int(word) > 65_535:
            raise BadHeader(f"version 1: expected two ports, seen {line!r}")
    return Proxied(_plain(host), int(words[4]))


def _read_v2(header: bytes) -> Proxied:
    version, command = header[12] >> 4, header[12] & 15
    family, transport = header[13] >> 4, header[13] & 15
    if version != 2 or command not in (_LOCAL, _PROXY):
        raise BadHeader(f"version 2: expected command 0x20 or 0x21, seen 0x{header[12]:02x}")
    if command == _LOCAL:
        return Proxied(is_local=True)
    size = {0: 0, _IPV4: 12, _IPV6: 36, _UNIX: 216}.get(family)
    if size is None or (family and transport != _STREAM):
        raise BadHeader(f"version 2: 0x{header[13]:02x} is no family and transport that clients come by")
    body = header[_V2_FIXED:]
    if len(body) < size:
        raise BadHeader(f"version 2: its addresses take {size} bytes, and it has {len(body)}")
    is_tls, tls_version = _read_tlvs(header, _V2_FIXED + size)
    if family == _IPV4:
        port = int.from_bytes(body[8:10], "big")
        return Proxied(str(IPv4Address(body[:4])), port, False, is_tls, tls_version)
    if family == _IPV6:
        port = int.from_bytes(body[32:34], "big")
        return Proxied(_plain(IPv6Address(body[:16])), port, False, is_tls, tls_version)
    return Proxied(is_local=family == 0, is_tls=is_tls, tls_version=tls_version)


def _read_tlvs(header: bytes, position: int) -> tuple[bool, str]:
    """Whether the client came by TLS, and by which version."""
    is_tls, tls_version = False, ""
    for kind, start, end in _tlvs(header, position):
        if kind == _TLV_CRC32C:
            _check(header, start, end)
        elif kind == _TLV_SSL:
            if end - start < 5:
                raise BadHeader("version 2: its part about TLS is cut off")
            is_tls = bool(header[start] & _CLIENT_SSL)
            for inner, inner_start, inner_end in _tlvs(header[:end], start + 5):
                if inner == _TLV_SSL_VERSION:
                    tls_version = header[inner_start:inner_end].decode("ascii", "replace")
    return is_tls, tls_version if is_tls and tls_version.isprintable() else ""


def _tlvs(data: bytes, position: int) -> list[tuple[int, int, int]]:
    """Type, start and end of each value that stands there."""
    found = []
    while position < len(data):
        end = position + 3 + int.from_bytes(data[position + 1 : position + 3], "big")
        if position + 3 > len(data) or end > len(data):
            raise BadHeader("version 2: one of its values is cut off")
        found.append((data[position], position + 3, end))
        position = end
    return found


def _check(header: bytes, start: int, end: int) -> None:
    """A header with a checksum must be taken only if it is right (section 2.2.3)."""
    if end - start != 4:
        raise BadHeader("version 2: its checksum has not four bytes")
    if _crc32c(header[:start] + bytes(4) + header[end:]) != int.from_bytes(header[start:end], "big"):
        raise BadHeader("version 2: its checksum is wrong")


def _crc32c(data: bytes) -> int:
    """Castagnoli's, as RFC 4960 has it, appendix B."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def _plain(address: IPv4Address | IPv6Address) -> str:
    """An address as everybody writes it; IPv4 that is wrapped into IPv6 is unwrapped."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def plain_host(host: str) -> str:
    """The same for text: ``::ffff:192.0.2.1`` is 192.0.2.1."""
    if ":" not in host:  # IPv4 is written in one way only
        return host
    try:
        return _plain(ip_address(host))
    except ValueError:
        return host
