"""Whether a message takes as few instructions as it did: benchmarks/counts.py and its record."""

import pytest

from benchmarks import counted, counts
from telex import version
from tests.processes import find

HERE = counts.Environment("CPython 3.11.7 on x86_64", "by GCC 12.2.0, the core by mypyc 2.4.1")
NEWER = counts.Environment("CPython 3.11.9 on x86_64", "by GCC 14.2.0, the core by mypyc 2.5.0")
ELSEWHERE = counts.Environment("CPython 3.13.1 on x86_64", "by GCC 12.2.0, the core by mypyc 2.4.1")
RECORD: counts.Record = {HERE: {"QoS 0, 1 to 1": [4_000, 4_000], "CONNECT, DISCONNECT": [70_000, 71_000]}}


def found(qos_0: int, connect: int = 70_000) -> dict[str, list[int]]:
    return {"QoS 0, 1 to 1": [qos_0, qos_0], "CONNECT, DISCONNECT": [connect, connect]}


if version.COMPILED:  # what is counted is the compiled core

    @pytest.mark.timeout(300)
    def test_nothing_takes_more_instructions_than_recorded_and_strangers_cost_nothing() -> None:
        find("valgrind")
        here = counts.environment()
        record = counts.read(counts.RECORD.read_text())
        counted_here = counts.count()
        words, is_well = counts.report(counted_here, record, here)
        if not is_well:
            pytest.fail(words, pytrace=False)
        if counts.compared(counted_here, record, here).recorded is None:
            pytest.skip(words)

    def test_the_core_says_what_made_it() -> None:
        assert "by mypyc " in counts.environment().tools


@pytest.mark.parametrize("scene", counted.SCENES, ids=lambda scene: scene.name)
def test_a_scene_comes_as_it_should_and_leaves_nothing_behind(scene: counted.Scene) -> None:
    world = counted.World()
    world.fill(10)
    engine = world.engine
    marks: list[bytes] = []
    scene.play(world, lambda: None, marks.append)
    assert marks == [f"{10 * scene.operations} {scene.name}".encode()]
    assert (len(engine.sessions), engine.retained.count) == (10, 1)


def test_the_record_is_as_the_tool_writes_it_and_has_all_scenes() -> None:
    text = counts.RECORD.read_text()
    record = counts.read(text)
    assert counts.written(record) == text
    assert record
    for table in record.values():
        assert list(table) == [scene.name for scene in counted.SCENES]


def test_what_is_written_reads_back() -> None:
    record = RECORD | {NEWER: found(1_234_567)}
    assert counts.read(counts.written(record)) == record


def test_more_by_a_twentieth_fails_and_says_how_much_and_what_to_do() -> None:
    words, is_well = counts.report(found(4_240), RECORD, HERE)
    assert not is_well
    assert "QoS 0, 1 to 1: 4,000 instructions are recorded, it takes 4,240 (+6.0%)" in words
    assert "counts.py --update --all" in words
    assert "CONNECT" not in words


def test_a_little_more_is_well() -> None:
    assert counts.report(found(4_190), RECORD, HERE) == ("", True)


def test_much_less_is_to_be_recorded() -> None:
    words, is_well = counts.report(found(3_000), RECORD, HERE)
    assert not is_well
    assert "`make counts`" in words
    assert "QoS 0, 1 to 1: 4,000 instructions are recorded, it takes 3,000 (-25.0%)" in words


def test_what_is_new_is_to_be_recorded() -> None:
    words, is_well = counts.report(found(4_000) | {"QoS 3": [1, 1]}, RECORD, HERE)
    assert not is_well
    assert "QoS 3: is not recorded" in words


def test_what_grows_with_the_number_of_strangers_fails_wherever_it_runs() -> None:
    words, is_well = counts.report({"QoS 0, 1 to 1": [4_000, 8_000]}, RECORD, ELSEWHERE)
    assert not is_well
    assert "QoS 0, 1 to 1: 4,000 instructions beside 1,000 strangers, 8,000 beside 10,000 (+100.0%)" in words


def test_with_other_compilers_only_much_more_fails() -> None:
    words, is_well = counts.report(found(4_500), RECORD, NEWER)
    assert is_well
    assert f"Compared with what was recorded for {HERE}" in words
    assert counts.report(found(2_000), RECORD, NEWER)[1]
    assert not counts.report(found(4_700), RECORD, NEWER)[1]


def test_with_another_python_there_is_no_record() -> None:
    words, is_well = counts.report(found(40_000), RECORD, ELSEWHERE)
    assert is_well
    assert words == f"There is no record for {ELSEWHERE}; `make counts` makes one."


def test_an_update_records_what_has_become_less_and_nothing_else() -> None:
    record = counts.updated(RECORD, HERE, found(3_900, 75_000) | {"QoS 3": [1, 1]}, all_of_it=False)
    assert record == {HERE: found(3_900) | {"CONNECT, DISCONNECT": [70_000, 71_000], "QoS 3": [1, 1]}}


def test_an_update_of_all_records_what_was_found() -> None:
    assert counts.updated(RECORD, HERE, found(3_900, 75_000), all_of_it=True) == {HERE: found(3_900, 75_000)}


def test_an_update_leaves_other_environments_alone_and_drops_scenes_that_are_no_more() -> None:
    record = RECORD | {NEWER: found(1)}
    kept = counts.updated(record, HERE, {"QoS 0, 1 to 1": [3_000, 3_000]}, all_of_it=False)
    assert kept == {HERE: {"QoS 0, 1 to 1": [3_000, 3_000]}, NEWER: found(1)}
