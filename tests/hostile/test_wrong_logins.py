"""Guessing passwords and tokens, as fast as it goes: good clients are served, guessers are banned, nothing is left."""

import re
from pathlib import Path

import pytest

from tests.hostile import attack
from tests.hostile.siege import PASSWORD, USER, Steady, Watch, attackers, besieged, mirror, sources

pytestmark = pytest.mark.alone

DESCRIPTION = """
[[listeners]]
host = "127.0.0.1"
port = 0
[access]
password_file = "{passwords}"
[protection]
max_connections_per_address = 300
ban_after = 5
ban_seconds = 60
[limits]
connect_timeout = 3
"""


ANY_TOKEN = """
allow_anonymous = true
[[access.jwt]]
keys = "{secret}"
algorithms = ["HS256"]
"""


def test_a_thousand_wrong_logins_from_one_address(tmp_path: Path) -> None:
    guesser = ["127.1.0.1"]
    with besieged(tmp_path, DESCRIPTION) as broker, attackers() as enemy, mirror() as glass:
        with Steady(broker.port) as steady:
            watch = Watch(steady, glass)
            before = broker.state()
            for turn in range(2):
                watch.rests()
                names = [f"user{turn}-{number}" for number in range(500)]
                enemy.begin(
                    attack.log_in, port=broker.port, count=500, sources=guesser, users=names, password="a guess"
                )
                watch.endures(enemy.are_done)
                assert set(enemy.result()) <= {"0x05", "closed", "ConnectionResetError"}
            watch.rests()
            broker.has_let_go_of_all(before)
            steady.is_alone()
            watch.holds()
            # The right password is of no use there for a while, and elsewhere it is.
            right = {"port": broker.port, "count": 1, "users": [USER], "password": PASSWORD}
            assert "0x00" not in enemy.do(attack.log_in, sources=guesser, **right)
            assert enemy.do(attack.log_in, sources=["127.1.0.2"], **right) == {"0x00": 1}
    assert len(broker.lines('unknown (0x87 not authorized)"')) <= 20
    assert len(broker.lines("banned address=127.1.0.1 ")) == 1
    assert 'reason="its address is banned after failed logins"' in broker.lines("turned away")[0]
    assert len(broker.lines()) < 100, "one line for each of a thousand would fill the disk one day"
    assert broker.lines("a guess") == []


def test_wrong_logins_from_hundreds_of_addresses(tmp_path: Path) -> None:
    """No ban helps: each has a free try, and each try costs a hash."""
    with besieged(tmp_path, DESCRIPTION) as broker, attackers() as enemy, mirror() as glass:
        with Steady(broker.port) as steady:
            watch = Watch(steady, glass)
            watch.rests(1_000)
            before = broker.state()
            enemy.begin(
                attack.log_in,
                port=broker.port,
                count=200,
                sources=sources(200, 1),
                users=[USER],
                password="a guess",
                at_once=200,
            )
            watch.endures(lambda: bool(broker.lines("refused ")))
            with Steady(broker.port, client_id="another") as other:  # whose password was right a moment ago
                other.goes_round()
                assert not enemy.are_done(), "it had to wait behind them all"
            watch.endures(enemy.are_done)
            assert set(enemy.result()) <= {"0x05", "closed"}
            watch.rests()
            broker.has_let_go_of_all(before)
            steady.is_alone()
            watch.holds()
    told = broker.lines("refused ")
    assert any("wrong password" in line for line in told)
    assert all(re.search("wrong password|login took too long", line) for line in told)


def test_tokens_that_are_garbage(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a secret of at least thirty-two bytes, to be sure")
    description = DESCRIPTION.replace(
        'password_file = "{passwords}"',
        ANY_TOKEN.format(secret=tmp_path / "secret"),
    ).replace("ban_after = 5", "ban_after = 0")
    with besieged(tmp_path, description) as broker, attackers() as enemy, mirror() as glass:
        with Steady(broker.port, is_known=False) as steady:
            watch = Watch(steady, glass)
            before = broker.state()
            header = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
            for token in (f"{header}.e30.AAAA", f"{header}." + "A" * 60_000 + ".AAAA", "." * 60_000):
                watch.rests()
                enemy.begin(
                    attack.log_in, port=broker.port, count=250, sources=sources(5, 1), users=["token"], password=token
                )
                watch.endures(enemy.are_done)
                assert set(enemy.result()) <= {"0x05", "closed"}
            watch.rests()
            broker.has_let_go_of_all(before)
            steady.is_alone()
            watch.holds()
    assert broker.lines("AAAA") == []
    assert len(broker.lines()) < 5 * 50
