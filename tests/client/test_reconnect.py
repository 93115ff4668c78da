"""When to try again: numbers in, numbers out."""

import math

import pytest

from telex.client.reconnect import Reconnect, Waits


def test_each_wait_may_be_twice_as_long_as_the_one_before_up_to_the_most() -> None:
    waits = Waits(Reconnect(first=0.5, most=3.0))
    assert [waits.next(1.0) for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_half_of_a_wait_is_chance() -> None:
    waits = Waits(Reconnect(first=8.0, most=8.0))
    assert [waits.next(chance) for chance in (0.0, 0.25, 1.0)] == [4.0, 5.0, 8.0]


def test_after_a_connection_that_held_the_next_wait_is_short_again() -> None:
    waits = Waits(Reconnect(first=1.0, most=60.0))
    for _ in range(4):
        waits.next(1.0)  # 1, 2, 4, 8
    waits.held(16.0)
    assert waits.next(1.0) == 1.0


def test_one_that_ends_as_soon_as_it_is_there_changes_nothing() -> None:  # two clients would fight for one client id
    waits = Waits(Reconnect(first=1.0, most=60.0))
    for _ in range(4):
        waits.next(1.0)
    waits.held(15.9)
    assert waits.next(1.0) == 16.0


def test_the_first_connection_too_must_hold_for_a_while() -> None:
    waits = Waits(Reconnect(first=1.0, most=60.0))
    waits.held(0.1)
    assert waits.next(1.0) == 1.0
    waits.held(0.1)
    assert waits.next(1.0) == 2.0


def test_the_waits_of_many_attempts_are_no_error() -> None:
    waits = Waits(Reconnect(first=0.001, most=math.inf))
    for _ in range(2_000):  # 2.0 ** 1100 would overflow if it were a power of an integer
        last = waits.next(0.0)
    assert last == math.inf


def test_defaults() -> None:
    reconnect = Reconnect()
    assert (reconnect.first, reconnect.most, reconnect.at_start) == (0.5, 60.0, True)


@pytest.mark.parametrize(("first", "most"), [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0), (math.nan, 1.0), (1.0, math.nan)])
def test_times_that_cannot_be(first: float, most: float) -> None:
    with pytest.raises(ValueError, match=r"expected 0 < first <= most, in seconds"):
        Reconnect(first, most)
