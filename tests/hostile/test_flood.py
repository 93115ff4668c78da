"""Too much of what is allowed, and of what is not: messages, connections, denials.

How long others wait behind a flood of small messages is not asserted: what one read brings is taken in in one go,
which is what makes a broker fast, and uvloop may read two megabytes of a client before it turns to another.
Interpreted, with rules to ask for each new topic, that may take more than a second.
"""

from pathlib import Path

import pytest

from tests.hostile import attack
from tests.hostile.siege import Steady, Watch, attackers, besieged, mirror, sources

pytestmark = pytest.mark.alone

DESCRIPTION = """
[[listeners]]
host = "127.0.0.1"
port = 0
[access]
password_file = "{{passwords}}"
allow_anonymous = true
{access}
[protection]
{protection}
"""
RULES = """
[[access.rules]]
allow = ["publish", "subscribe", "receive"]
topics = ["own/#", "$SYS/#"]
"""


def test_publishing_to_a_million_topics_that_are_denied(tmp_path: Path) -> None:
    with (
        besieged(tmp_path, DESCRIPTION.format(access=RULES, protection="")) as broker,
        attackers() as enemy,
        Steady(broker.port) as steady,
    ):
        before = broker.state()
        flood = {"port": broker.port, "clients": 2, "sources": ["127.1.0.1"], "size": 10, "count": 500_000}
        enemy.begin(attack.flood, topic="secret/{}", **flood)
        steady.goes_on(enemy.are_done)
        assert enemy.result() == {"closed": 2, "sent": 1_000_000}
        broker.has_let_go_of_all(before, kib=10_000)  # ten bytes for each topic
        steady.is_alone()
    told = broker.lines("denied ")
    assert all("client=flood-" in line and "action=publish topic=secret/" in line for line in told)
    assert 2 <= len(told) <= 20, "one in ten seconds for each client, however slow the machine"


@pytest.mark.parametrize("protection", ["messages_per_second = 500", "bytes_per_second_per_address = 40_000"])
def test_faster_than_the_rate_allows(tmp_path: Path, protection: str) -> None:
    with (
        besieged(tmp_path, DESCRIPTION.format(access="", protection=f"patience = 0.5\n{protection}")) as broker,
        attackers() as enemy,
        Steady(broker.port) as steady,
    ):
        before = broker.state()
        enemy.begin(
            attack.flood, port=broker.port, clients=4, sources=["127.1.0.1"], topic="much", size=20, count=200_000
        )
        steady.goes_on(enemy.are_done)
        result = enemy.result()
        assert result.pop("sent") < 4 * 200_000
        assert result == {"0x96": 4}
        broker.has_let_go_of_all(before)
        steady.is_alone()
    told = broker.lines("disconnected client=flood-")
    assert len(told) == 4
    assert all("message rate too high" in line for line in told)


def test_ten_thousand_come_and_leave(tmp_path: Path) -> None:
    with (
        besieged(tmp_path, DESCRIPTION.format(access="", protection="")) as broker,
        attackers() as enemy,
        mirror() as glass,
        Steady(broker.port) as steady,
    ):
        visits = {"port": broker.port, "sources": sources(50, 1)}
        enemy.do(attack.come_and_leave, count=1_000, says_goodbye=True, **visits)
        watch = Watch(steady, glass)
        before = broker.state()
        for says_goodbye in (True, False):
            watch.rests()
            enemy.begin(attack.come_and_leave, count=5_000, says_goodbye=says_goodbye, **visits)
            watch.endures(enemy.are_done)
            assert enemy.result() == {"0x00": 5_000}
        watch.rests()
        broker.has_let_go_of_all(before, kib=5_000)  # half a KiB for each would be a leak
        steady.is_alone()
        watch.holds()


def test_more_connections_than_files(tmp_path: Path) -> None:
    with (
        besieged(tmp_path, DESCRIPTION.format(access="", protection=""), files=100) as broker,
        attackers() as enemy,
        Steady(broker.port) as steady,
    ):
        before = broker.state()
        enemy.do(attack.hold, port=broker.port, count=1_000, sources=["127.1.0.1"], words="nothing")
        broker.waits_for_line("takes no connections in ")
        for _ in range(200):
            steady.goes_round()
        enemy.do(attack.let_go)
        broker.has_let_go_of_all(before)
        assert enemy.do(
            attack.come_and_leave, port=broker.port, count=50, sources=["127.1.0.1"], says_goodbye=True
        ) == {"0x00": 50}
        steady.is_alone()
    told = broker.lines("takes no connections in ")
    assert len(told) == 1
    assert "ulimit -n" in told[0]
