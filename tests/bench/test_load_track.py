"""What has come of one publisher: lost, twice and out of order are told apart, with numbers modulo something."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telex.bench.track import Track

MODULUS = 50  # fewer than 25 are on their way at a time


def fed(numbers: list[int], **how: bool) -> Track:
    track = Track(0, MODULUS, **how)
    for each in numbers:
        track.note(each % MODULUS)
    return track


def test_all_in_their_order() -> None:
    track = fed(list(range(120)))
    assert (track.got, track.next, track.duplicated, track.misordered) == (120, 120, 0, 0)


@pytest.mark.parametrize(
    ("numbers", "got", "behind", "duplicated", "misordered"),
    [
        ([0, 1, 3, 4], 4, 5, 0, 0),  # 2 is lost
        ([0, 1, 3, 2, 4], 5, 5, 0, 1),  # 2 is late
        ([0, 1, 1, 2], 3, 3, 1, 0),
        ([0, 1, 2, 0, 1, 2], 3, 3, 3, 0),
        ([5, 0, 2, 4, 2], 4, 6, 1, 3),  # 2 comes once more
        ([5, 3, 2, 4, 1, 0], 6, 6, 0, 5),
    ],
)
def test_what_is_not_in_order(numbers: list[int], got: int, behind: int, duplicated: int, misordered: int) -> None:
    track = fed(numbers)
    assert (track.got, track.next, track.duplicated, track.misordered) == (got, behind, duplicated, misordered)


@given(st.integers(0, 120), st.lists(st.integers(0, 23), min_size=1, max_size=24), st.data())
def test_it_counts_as_a_set_does(first: int, window: list[int], data: st.DataObject) -> None:
    """Whatever of a window comes, in whatever order."""
    track = fed(list(range(first)))
    came = data.draw(st.permutations([first + each for each in window]))
    for each in came:
        track.note(each % MODULUS)
    assert track.got == first + len(set(came))
    assert track.duplicated == len(came) - len(set(came))
    assert track.next == max(came) + 1


def test_rows_count_as_their_messages_do() -> None:
    track = fed([0, 1])
    track.note_row(40)
    track.note(42)
    track.note(43)
    assert (track.got, track.next, track.duplicated) == (44, 44, 0)


def test_members_of_a_group_get_theirs_in_any_order() -> None:
    track = fed([1, 0, 3, 2, 3], is_shared=True)
    assert (track.got, track.duplicated, track.misordered) == (4, 1, 0)


def test_who_comes_later_begins_anywhere_and_misses_nothing() -> None:
    track = fed([17, 18, 30, 31], is_loose=True)
    assert (track.got, track.next, track.misordered) == (4, 32, 0)
    track.note(20)
    assert track.misordered == 1
