"""Those who speak a byte at a time, or begin what never ends: their time is limited, whatever it is that they speak."""

import ssl
import struct
from base64 import b64encode
from pathlib import Path
from typing import Any, Final

import pytest

from tests.certificates import Authority
from tests.hostile import attack
from tests.hostile.siege import Steady, Watch, attackers, besieged, mirror, sources

pytestmark = pytest.mark.alone

DESCRIPTION: Final = """
[[listeners]]
host = "127.0.0.1"
port = 0
[[listeners]]
host = "127.0.0.1"
port = 0
tls = {{ certificate = "{certificate}", key = "{key}" }}
[[listeners]]
host = "127.0.0.1"
port = 0
protocol = "websocket"
[[listeners]]
host = "127.0.0.1"
port = 0
proxy_protocol = "any"
[access]
password_file = "{{passwords}}"
[protection]
max_connections_per_address = 100
tls_handshake_timeout = 2
[limits]
connect_timeout = 2
"""
MQTT, TLS, WEBSOCKET, PROXY = range(4)

MANY: Final = 50  # of each kind

CONNECT: Final = attack.connect_bytes("slow", "slow", "x" * 1_000)
FRAME_OF_4_EIB: Final = struct.pack("!BBQ4s", 0x82, 0xFF, 1 << 62, b"mask")
HEADERS: Final = b"X-And-So-On: and so on\r\n" * 100


def slowly(port: int, start: str, words: bytes, pause: float = 0.1, chunk: int = 1) -> dict[str, Any]:
    """The order to do so."""
    return {
        "attack": "trickle",
        "port": port,
        "count": MANY,
        "sources": sources(10, 2),
        "start": start,
        "words": b64encode(words).decode(),
        "pause": pause,
        "chunk": chunk,
    }


def test_whatever_comes_slowly_or_without_end_has_little_time(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.server()
    description = DESCRIPTION.format(certificate=server.certificate, key=server.key)
    trust = ssl.create_default_context(cafile=str(authority.path))
    with (
        besieged(tmp_path, description) as broker,
        attackers() as enemy,
        mirror() as glass,
        Steady(broker.port) as steady,
        Steady(broker.ports[TLS], tls=trust, client_id="steady too") as steady_by_tls,
    ):
        enemy.do(attack.hold, port=broker.ports[WEBSOCKET], count=1, sources=["127.1.0.1"], words="an upgrade")
        enemy.do(attack.let_go)  # what aiohttp loads with the first of them stays
        watches = [Watch(each, glass) for each in (steady, steady_by_tls)]
        for watch in watches:
            watch.rests()
        before = broker.state()
        mqtt, tls, websocket, proxy = broker.ports
        orders = [
            slowly(mqtt, "nothing", CONNECT),
            slowly(tls, "nothing", attack.client_hello()),
            slowly(websocket, "nothing", attack.UPGRADE),
            slowly(websocket, "half an upgrade", HEADERS, chunk=len(HEADERS)),
            slowly(websocket, "an upgrade", FRAME_OF_4_EIB),
            slowly(websocket, "an upgrade", struct.pack("!BBH4s", 0x82, 0xFE, len(CONNECT), b"\0\0\0\0") + CONNECT),
            slowly(proxy, "nothing", b"PROXY TCP6 " + b":" * 90),
        ]
        enemy.begin(attack.together, orders=orders)
        while not enemy.are_done():
            for watch in watches:
                watch.endures(lambda: True, 25)
        assert enemy.result() == {str(number): {"closed": MANY} for number in range(len(orders))}
        for watch in watches:
            watch.rests()
        broker.has_let_go_of_all(before)
        for watch in watches:
            watch.holds()
    told = broker.lines("refused ")
    for reason in (
        "no CONNECT came in time",
        "TLS: it did not finish the handshake in time",
        "PROXY: no whole PROXY header came in time",
        "expected CONNECT first",  # in the frame of 4 EiB, which is read as it comes
    ):
        assert any(reason in line for line in told), reason
    assert len(told) <= 10 * 3 * 22, "a few lines for each address and kind"
