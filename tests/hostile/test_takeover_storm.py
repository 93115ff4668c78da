"""Clients with the same client id that throw each other out: told once, slowed down, and felt by nobody else."""

from pathlib import Path

import pytest

from tests.hostile import attack
from tests.hostile.siege import Steady, Watch, attackers, besieged, mirror

pytestmark = pytest.mark.alone

DESCRIPTION = """
[[listeners]]
host = "127.0.0.1"
port = 0
[access]
password_file = "{{passwords}}"
allow_anonymous = true
[protection]
takeovers = {takeovers}
takeover_delay = 0.5
"""


@pytest.mark.parametrize("takeovers", [3, 0])
def test_a_takeover_storm(tmp_path: Path, takeovers: int) -> None:
    with (
        besieged(tmp_path, DESCRIPTION.format(takeovers=takeovers)) as broker,
        attackers() as enemy,
        mirror() as glass,
        Steady(broker.port) as steady,
    ):
        watch = Watch(steady, glass)
        before = broker.state()
        taken = 0
        for _ in range(2):
            watch.rests()
            enemy.begin(
                attack.chase, port=broker.port, seconds=1.2, sources=["127.1.0.1", "127.2.0.1"], client_id="twin",
                at_once=10,
            )  # fmt: skip
            watch.endures(enemy.are_done)
            assert set(enemy.result()) <= {"0x00", "closed"}
            taken += enemy.result()["0x00"]
        watch.rests()
        broker.has_let_go_of_all(before)
        steady.is_alone()
        watch.holds()
    told = broker.lines("takeover storm ")
    if takeovers:
        assert len(told) == 1
        assert "client=twin" in told[0]
        assert " address=127." in told[0]
        assert " other=127." in told[0]
        assert taken <= 4 + 10 * (2 * 3 + 2), "each of ten waits half a second"
    else:
        assert told == []
        assert taken > 50
