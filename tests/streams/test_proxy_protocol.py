"""The PROXY protocol: what a header says, read without one byte of what follows."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telex.streams.proxy_protocol import BadHeader, HeaderReader, Proxied, plain_host

V2 = b"\r\n\r\n\0\r\nQUIT\n"
IPV4 = bytes([192, 0, 2, 1, 198, 51, 100, 7]) + (50_000).to_bytes(2, "big") + (1883).to_bytes(2, "big")
IPV6 = bytes.fromhex("20010db8" + 11 * "00" + "01" + "20010db8" + 11 * "00" + "02") + b"\xc3\x50\x07\x5b"
MAPPED = bytes(10) + b"\xff\xff" + bytes([192, 0, 2, 1]) + bytes(16) + b"\xc3\x50\x07\x5b"


def v2(command: int = 0x21, family: int = 0x11, body: bytes = IPV4) -> bytes:
    return V2 + bytes([command, family]) + len(body).to_bytes(2, "big") + body


def tlv(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + len(value).to_bytes(2, "big") + value


def by_tls(version: bytes = b"TLSv1.3", flags: int = 0x01) -> bytes:
    """What a proxy adds whose client came by TLS."""
    inner = tlv(0x21, version) + tlv(0x22, b"alice") + tlv(0x23, b"TLS_AES_256_GCM_SHA384")
    return tlv(0x20, bytes([flags]) + bytes(4) + inner)


def crc32c(data: bytes) -> int:
    """Another way to the same: polynomial division, bit by bit, on the reflected polynomial."""
    value = 0xFFFFFFFF
    for byte in data:
        for bit in range(8):
            is_odd = (value ^ byte >> bit) & 1
            value = value >> 1 ^ 0x82F63B78 * is_odd
    return value ^ 0xFFFFFFFF


def with_checksum(body: bytes) -> bytes:
    header = v2(body=body + tlv(0x03, bytes(4)))
    return header[:-4] + crc32c(header).to_bytes(4, "big")


def read(stream: bytes, version: str = "any", at_a_time: int = 1_000_000) -> tuple[Proxied | None, bytes]:
    """What the header says, and what is left of the stream."""
    reader = HeaderReader(version)
    while reader.wanted and stream:
        taken = min(reader.wanted, at_a_time)
        reader.receive(stream[:taken])
        stream = stream[taken:]
    return reader.proxied, stream


HEADERS = {
    "v1 of IPv4": (b"PROXY TCP4 192.0.2.1 198.51.100.7 50000 1883\r\n", Proxied("192.0.2.1", 50_000)),
    "v1 of IPv6": (b"PROXY TCP6 2001:db8::1 2001:db8::2 50000 1883\r\n", Proxied("2001:db8::1", 50_000)),
    "v1 of IPv4 in IPv6": (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", Proxied("192.0.2.1", 1)),
    "v1 that does not know": (b"PROXY UNKNOWN\r\n", Proxied(is_local=True)),
    "v1 that does not know, and says much": (b"PROXY UNKNOWN ffff:f...f:ffff 65535 x\r\n", Proxied(is_local=True)),
    "v2 of IPv4": (v2(), Proxied("192.0.2.1", 50_000)),
    "v2 of IPv6": (v2(family=0x21, body=IPV6), Proxied("2001:db8::1", 50_000)),
    "v2 of IPv4 in IPv6": (v2(family=0x21, body=MAPPED), Proxied("192.0.2.1", 50_000)),
    "v2 of a Unix socket": (v2(family=0x31, body=b"/run/x".ljust(216, b"\0")), Proxied()),
    "v2 that does not know": (v2(family=0x00, body=b""), Proxied(is_local=True)),
    "v2 that speaks for itself": (v2(command=0x20, family=0x00, body=b""), Proxied(is_local=True)),
    "v2 that speaks for itself, with addresses": (v2(command=0x20), Proxied(is_local=True)),
    "v2 with something else": (v2(body=IPV4 + tlv(0x01, b"h2") + tlv(0x04, bytes(9))), Proxied("192.0.2.1", 50_000)),
    "v2 by TLS": (v2(body=IPV4 + by_tls()), Proxied("192.0.2.1", 50_000, is_tls=True, tls_version="TLSv1.3")),
    "v2 by TLS of the far side alone": (v2(body=IPV4 + by_tls(flags=0)), Proxied("192.0.2.1", 50_000)),
    "v2 by TLS without a version": (
        v2(body=IPV4 + tlv(0x20, b"\1\0\0\0\0")),
        Proxied("192.0.2.1", 50_000, is_tls=True),
    ),
    "v2 by TLS with an ugly version": (v2(body=IPV4 + by_tls(b"a\nb")), Proxied("192.0.2.1", 50_000, is_tls=True)),
    "v2 with a checksum": (with_checksum(IPV4), Proxied("192.0.2.1", 50_000)),
}


@pytest.mark.parametrize("at_a_time", [1, 2, 7, 1_000_000])
@pytest.mark.parametrize(("header", "proxied"), HEADERS.values(), ids=HEADERS)
def test_a_header_is_read_and_nothing_else(header: bytes, proxied: Proxied, at_a_time: int) -> None:
    assert read(header + b"\x10\x0e\r\nrest", at_a_time=at_a_time) == (proxied, b"\x10\x0e\r\nrest")


@pytest.mark.parametrize(("header", "proxied"), HEADERS.values(), ids=HEADERS)
def test_one_version_can_be_asked_for(header: bytes, proxied: Proxied) -> None:
    version = "1" if header.startswith(b"PROXY") else "2"
    assert read(header, version)[0] == proxied
    other = "2" if version == "1" else "1"
    with pytest.raises(BadHeader, match=f"not the PROXY protocol version {other}"):
        read(header, other)


@pytest.mark.parametrize(
    ("stream", "says"),
    [
        (b"\x10\x0e\0\4MQTT\4\2\0\0\0\2id", "not the PROXY protocol"),
        (b"GET / HTTP/1.1\r\n\r\n", "not the PROXY protocol"),
        (b"PROXY\tTCP4 ", "not the PROXY protocol"),
        (b"PROXY TCP4 192.0.2.1 198.51.100.7 50000\r\n", "expected PROXY TCP4"),
        (b"PROXY UDP4 192.0.2.1 198.51.100.7 50000 1883\r\n", "expected PROXY TCP4"),
        (b"PROXY TCP4 192.0.2.1 198.51.100.7 50000 1883 x\r\n", "expected PROXY TCP4"),
        (b"PROXY TCP4 2001:db8::1 198.51.100.7 50000 1883\r\n", "two addresses of TCP4"),
        (b"PROXY TCP6 192.0.2.1 198.51.100.7 50000 1883\r\n", "two addresses of TCP6"),
        (b"PROXY TCP4 192.0.2.\xff 198.51.100.7 50000 1883\r\n", "two addresses of TCP4"),
        (b"PROXY TCP4 192.0.2.1 198.51.100.7 65536 1883\r\n", "two ports"),
        (b"PROXY TCP4 192.0.2.1 198.51.100.7 -1 1883\r\n", "two ports"),
        (b"PROXY TCP4 192.0.2.1 198.51.100.7 1 000001883\r\n", "two ports"),
        (b"PROXY UNKNOWN" + 200 * b" ", "no line end within 107 bytes"),
        (v2(command=0x11), "expected command"),
        (v2(command=0x22), "expected command"),
        (v2(family=0x12), "no family and transport"),  # UDP
        (v2(family=0x41), "no family and transport"),
        (v2(body=IPV4[:11]), "its addresses take 12 bytes, and it has 11"),
        (v2(family=0x21), "its addresses take 36 bytes"),
        (V2 + b"\x21\x11\xff\xff", "announces 65535 bytes"),
        (v2(body=IPV4 + b"\x20"), "cut off"),
        (v2(body=IPV4 + b"\x20\0\x09\1"), "cut off"),
        (v2(body=IPV4 + tlv(0x20, b"\1")), "about TLS is cut off"),
        (v2(body=IPV4 + tlv(0x20, b"\1\0\0\0\0\x21\0\x09x")), "cut off"),
        (with_checksum(IPV4)[:-1] + b"\0", "checksum is wrong"),
        (v2(body=IPV4 + tlv(0x03, b"\0")), "checksum has not four bytes"),
    ],
)
def test_what_is_no_header_is_refused_with_what_was_seen(stream: bytes, says: str) -> None:
    for at_a_time in (1, 1_000_000):
        with pytest.raises(BadHeader, match=says):
            read(stream, at_a_time=at_a_time)


def test_what_is_no_header_is_refused_by_its_first_byte() -> None:
    reader = HeaderReader("any")
    with pytest.raises(BadHeader):
        reader.receive(b"\x10")


@given(st.binary(max_size=300), st.sampled_from([b"", V2, b"PROXY ", v2()[:16]]), st.sampled_from(["1", "2", "any"]))
def test_any_bytes_are_a_header_or_refused(data: bytes, start: bytes, version: str) -> None:
    with suppress(BadHeader):
        read(start + data, version, at_a_time=50)


def test_an_address_is_shown_as_usual() -> None:
    assert Proxied("192.0.2.1", 5).address == "192.0.2.1:5"
    assert Proxied("2001:db8::1", 5).address == "[2001:db8::1]:5"
    assert Proxied().address == "unix"


def test_ipv4_in_ipv6_is_ipv4() -> None:
    assert plain_host("::ffff:192.0.2.1") == "192.0.2.1"
    assert plain_host("2001:db8::1") == "2001:db8::1"
    assert plain_host("") == ""
