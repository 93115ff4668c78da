"""A broker that is killed again and again under load keeps what it has acknowledged.

More of it with ``python -m tests.crash``. The seed is a new one each time; a failure prints it.
"""

import pytest

from tests.crash.__main__ import live, main, new_seed, report

ROUNDS = 8


@pytest.mark.parametrize("qos", [1, 2])
def test_nothing_acknowledged_is_lost_and_nothing_owned_comes_twice(qos: int) -> None:
    seed = new_seed()
    result = live(seed, qos, ROUNDS)
    assert not result.faults, f"seed {seed}\n{report(seed, qos, result)}"
    assert result.rounds == ROUNDS
    assert result.counts["acknowledged"] > 0
    assert result.counts["received"] > 0


def test_the_command_prints_the_seed_and_what_happened(capsys: pytest.CaptureFixture[str]) -> None:
    seed = new_seed()
    code = main(["--rounds", "3", "--qos", "0", "--seed", str(seed)])
    printed = capsys.readouterr().out
    assert code == 0, printed
    assert f"3 rounds at QoS 0, seed {seed}" in printed
    assert "3 rounds, 0 faults" in printed


def test_a_broker_that_acknowledges_before_it_stores_is_found_out() -> None:
    result = live(new_seed(), 1, 4 * ROUNDS, ["--durability", "relaxed"])
    assert result.faults
    assert f"again: python -m tests.crash --qos 1 --rounds {result.rounds} --seed 17" in report(17, 1, result)
