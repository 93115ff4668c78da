"""Which address of a bridge is next, and how long it waits."""

import pytest

from telex.server.bridges.route import Route, Waits


def test_one_address_is_tried_again_after_a_wait() -> None:
    route = Route(1, is_round=False)
    assert route.failed()
    assert route.current == 0
    assert not route.is_beside


@pytest.mark.parametrize("is_round", [False, True])
def test_all_addresses_are_tried_before_it_waits(is_round: bool) -> None:
    route = Route(3, is_round=is_round)
    tried = []
    for _ in range(6):
        tried.append(route.current)
        assert route.failed() == (len(tried) % 3 == 0)
    assert tried == [0, 1, 2, 0, 1, 2]


def test_a_lost_connection_goes_to_the_main_address() -> None:
    route = Route(3, is_round=False)
    route.failed()
    route.accepted()
    assert route.is_beside
    route.lost()
    assert route.current == 0


def test_all_alike_take_turns() -> None:
    route = Route(3, is_round=True)
    places = []
    for _ in range(4):
        route.accepted()
        places.append(route.current)
        assert not route.is_beside
        route.lost()
    assert places == [0, 1, 2, 0]


def test_after_a_connection_all_addresses_are_tried_anew() -> None:
    route = Route(2, is_round=True)
    route.failed()
    route.accepted()
    route.lost()
    assert not route.failed()  # the other one is tried at once


def test_it_goes_back() -> None:
    route = Route(2, is_round=False)
    route.failed()
    route.returned()
    assert route.current == 0
    assert not route.is_beside


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_waits_grow_between_their_limits(chance: float) -> None:
    waits = Waits(5.0, 30.0)
    found = [waits.next(chance) for _ in range(10)]
    assert all(5.0 <= each <= 30.0 for each in found)
    assert found == sorted(found)
    if chance == 1.0:
        assert found[:3] == [15.0, 30.0, 30.0]
    if chance == 0.0:
        assert found == [5.0] * 10


def test_chance_parts_two_bridges() -> None:
    assert Waits(5.0, 30.0).next(0.2) != Waits(5.0, 30.0).next(0.7)


def test_equal_limits_are_one_wait() -> None:
    waits = Waits(7.0, 7.0)
    assert [waits.next(0.3), waits.next(0.9)] == [7.0, 7.0]


def test_waits_that_were_in_vain_may_be_longer_than_the_longest_but_not_for_ever() -> None:
    waits = Waits(1.0, 2.0)
    found = []
    for _ in range(20):
        waits.vain()
        found.append(waits.next(1.0))
    assert found[:4] == [3.0, 8.0, 16.0, 32.0]
    assert found[-1] == 3_600.0
    waits.held()
    assert [waits.next(1.0), waits.next(1.0)] == [2.0, 2.0]
    day = Waits(1.0, 86_400.0)
    day.vain()  # what people ask for is not cut short
    assert [day.next(1.0) for _ in range(12)][-1] == 86_400.0


def test_a_good_connection_makes_waits_short_again() -> None:
    waits = Waits(1.0, 60.0)
    for _ in range(5):
        waits.next(1.0)
    waits.held()
    assert waits.next(1.0) == 3.0
