"""Thousands of connections that begin and do not go on: nobody else notices, and nothing is left of them."""

import ssl
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.hostile import attack
from tests.hostile.siege import Steady, Watch, attackers, besieged, mirror, sources

pytestmark = pytest.mark.alone

PLAIN = """
[[listeners]]
host = "127.0.0.1"
port = 0
[access]
password_file = "{passwords}"
[protection]
max_connections = 10_000
max_connections_per_address = 100
ban_after = 5
[limits]
connect_timeout = 5
"""


def test_five_thousand_half_open_connections(tmp_path: Path) -> None:
    with besieged(tmp_path, PLAIN) as broker, attackers() as enemy, mirror() as glass:
        with Steady(broker.port) as steady:
            watch = Watch(steady, glass)
            watch.rests()
            before = broker.state()
            for words in ("nothing", "half a CONNECT"):
                enemy.begin(attack.hold, port=broker.port, count=2_500, sources=sources(50, 1), words=words)
                watch.endures(enemy.are_done)
                assert enemy.result() == {"open": 2_500}
            assert broker.state().files > before.files + 2_500  # a slow machine may have closed some already
            enemy.begin(attack.wait_until_closed)
            watch.endures(enemy.are_done)
            assert enemy.result() == {"closed": 5_000}
            watch.rests()
            broker.has_let_go_of_all(before)
            steady.is_alone()
            watch.holds()
    told = broker.lines("refused ")
    assert 'reason="no CONNECT came in time"' in told[0]
    assert len(told) <= 50 * 22, "a few lines for each address, not one for each connection"


def test_one_address_has_no_more_connections_than_it_may(tmp_path: Path) -> None:
    with besieged(tmp_path, PLAIN) as broker, attackers() as enemy:
        with Steady(broker.port) as steady:
            before = broker.state()
            enemy.do(attack.hold, port=broker.port, count=1_000, sources=["127.1.0.1"], words="nothing")
            assert broker.state().files <= before.files + 100
            steady.goes_round()
            assert enemy.do(attack.let_go) == {"closed": 1_000}
            broker.has_let_go_of_all(before)
            steady.is_alone()
    told = broker.lines("turned away")
    assert "address=127.1.0.1 " in told[0]
    assert 'reason="max_connections_per_address exceeded"' in told[0]
    assert len(told) <= 4


def test_tls_handshakes_that_stall(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.server()
    description = f"""
[[listeners]]
host = "127.0.0.1"
port = 0
tls = {{ certificate = "{server.certificate}", key = "{server.key}" }}
[access]
password_file = "{{passwords}}"
[protection]
max_connections_per_address = 100
tls_handshake_timeout = 2
"""
    with besieged(tmp_path, description) as broker, attackers() as enemy, mirror() as glass:
        port = broker.port
        with Steady(port, tls=ssl.create_default_context(cafile=str(authority.path))) as steady:
            watch = Watch(steady, glass)
            watch.rests()
            before = broker.state()
            for words, count in (("nothing", 1_000), ("half a ClientHello", 500), ("ClientHello", 500)):
                enemy.begin(attack.hold, port=port, count=count, sources=sources(50, 1), words=words)
                watch.endures(enemy.are_done)
                assert enemy.result() == {"open": count}
            enemy.begin(attack.wait_until_closed)
            watch.endures(enemy.are_done)
            assert enemy.result() == {"closed": 2_000}
            watch.rests()
            broker.has_let_go_of_all(before)
            steady.is_alone()
            watch.holds()
    told = broker.lines("refused ")
    assert 'reason="TLS: it did not finish the handshake in time"' in told[0]
    assert len(told) <= 50 * 5


def test_websockets_that_are_never_opened_or_say_nothing(tmp_path: Path) -> None:
    description = """
[[listeners]]
host = "127.0.0.1"
port = 0
[[listeners]]
host = "127.0.0.1"
port = 0
protocol = "websocket"
[access]
password_file = "{passwords}"
[protection]
max_connections_per_address = 100
tls_handshake_timeout = 2
[limits]
connect_timeout = 2
"""
    with besieged(tmp_path, description) as broker, attackers() as enemy, mirror() as glass:
        with Steady(broker.port) as steady:
            watch = Watch(steady, glass)
            enemy.do(attack.hold, port=broker.ports[1], count=1, sources=["127.1.0.1"], words="an upgrade")
            enemy.do(attack.let_go)  # what aiohttp loads with the first of them stays
            watch.rests()
            before = broker.state()
            for words, count in (("nothing", 1_000), ("half an upgrade", 500), ("an upgrade", 500)):
                enemy.begin(attack.hold, port=broker.ports[1], count=count, sources=sources(50, 1), words=words)
                watch.endures(enemy.are_done)
                assert enemy.result() == {"open": count}
            enemy.begin(attack.wait_until_closed)
            watch.endures(enemy.are_done)
            assert enemy.result() == {"closed": 2_000}
            watch.rests()
            broker.has_let_go_of_all(before)
            steady.is_alone()
            watch.holds()
