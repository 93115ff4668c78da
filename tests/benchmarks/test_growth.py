"""How growth is named, shown with costs that are made up."""

import math

import pytest

from growth import growth_of

TENS = [10.0**power for power in range(6)]


def wobbling(costs: list[float]) -> list[tuple[float, float]]:
    """Costs as they are measured: a few parts in a hundred off, by turns."""
    return [(x, y * off) for x, y, off in zip(TENS, costs, (1.04, 0.97, 1.0, 1.03, 0.96, 1.02), strict=True)]


def test_what_stays_as_it_is_is_flat() -> None:
    growth = growth_of(wobbling([2.0] * 6))
    assert growth.name == "flat"
    assert abs(growth.slope) < 0.02
    assert growth.fixed == pytest.approx(2.0, rel=0.05)


def test_what_becomes_less_does_not_grow() -> None:
    assert growth_of(wobbling([9.0, 5.0, 3.0, 2.0, 2.0, 2.0])).name == "flat"


def test_a_point_that_stands_out_is_no_growth() -> None:
    assert growth_of(wobbling([0.5, 0.5, 1.0, 0.5, 0.5, 0.5])).name == "flat"


def test_what_grows_with_each_tenfold_is_logarithmic() -> None:
    growth = growth_of(wobbling([1.0 + 0.5 * math.log10(x) for x in TENS]))
    assert growth.name == "logarithmic"
    assert growth.rate == pytest.approx(0.5, rel=0.1)


def test_what_grows_with_each_one_is_linear_however_large_its_fixed_part() -> None:
    for fixed in (0.001, 1.0, 1000.0):
        growth = growth_of(wobbling([fixed + 0.02 * x for x in TENS]))
        assert growth.name == "linear"
        assert growth.rate == pytest.approx(0.02, rel=0.1)
    assert growth_of([(x, 0.02 * x) for x in TENS]).slope == pytest.approx(1.0)


def test_what_grows_with_the_square_is_more_than_linear() -> None:
    assert growth_of(wobbling([1.0 + 1e-4 * x * x for x in TENS])).name == "more than linear"


def test_the_name_comes_with_the_slope() -> None:
    assert growth_of([(x, 3.0) for x in TENS]).said == "flat (slope 0.00)"
    assert growth_of([(x, 3.0 - 1e-9 * x) for x in TENS]).said == "flat (slope 0.00)"  # and not -0.00


@pytest.mark.parametrize("points", [[(1.0, 1.0), (2.0, 2.0)], [(0.0, 1.0), (1.0, 1.0), (2.0, 1.0)]])
def test_two_points_or_a_size_of_0_have_no_growth(points: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match=r"three points|above 0"):
        growth_of(points)
