"""The law: replaying the records rebuilds an equal broker, whenever the old one ended."""

import pytest

from telex.engine import records
from telex.engine.records import Record
from tests.simulation.simulation import Failure, Simulation
from tests.simulation.store import TurnJournal

SEEDS = (2, 18, 39, 44)
"""Of lives that make every kind of record between them."""

KINDS = [kind for kind in Record.__subclasses__() if kind is not records.Stored]  # that one a store makes itself


def recorded(kinds: set[type[Record]], simulation: Simulation) -> None:
    """Note which kinds of records a life has made that is over."""
    journal = simulation.world.journal
    if isinstance(journal, TurnJournal):
        kinds.update(map(type, journal.store.records))


@pytest.mark.parametrize("seed", SEEDS)
def test_after_every_turn_the_records_rebuild_an_equal_engine(seed: int) -> None:
    simulation = Simulation(seed, steps=300)
    simulation.world.checks_law = True
    simulation.run()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_life_goes_on_after_a_crash_at_any_turn(seed: int) -> None:
    turn = 0
    while True:
        turn += 1
        simulation = Simulation(seed, steps=250, crash_after=turn)
        simulation.run()
        if not simulation.counts["crashed"]:  # so many turns there are not
            break
    assert turn > 20


def test_these_lives_make_every_kind_of_record() -> None:
    kinds: set[type[Record]] = set()
    for seed in SEEDS:
        simulation = Simulation(seed, steps=300)
        simulation.run()
        recorded(kinds, simulation)
    assert kinds == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_law_notices_a_record_that_is_not_made(kind: type[Record], monkeypatch: pytest.MonkeyPatch) -> None:
    append = TurnJournal.append

    def append_others(self: TurnJournal, record: Record) -> None:
        if type(record) is not kind:
            append(self, record)

    monkeypatch.setattr(TurnJournal, "append", append_others)
    with pytest.raises(Failure):
        _live_by_the_law()


def _live_by_the_law() -> None:
    for seed in SEEDS:
        simulation = Simulation(seed, steps=300)
        simulation.world.checks_law = True
        simulation.run()
