"""Times in places: percentiles are those of the sorted times, to one part in a hundred."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telex.bench.histogram import Histogram

TIMES = st.lists(st.floats(min_value=0.0, max_value=1e9, allow_nan=False), min_size=1, max_size=200)


def of(times: list[float]) -> Histogram:
    histogram = Histogram()
    for each in times:
        histogram.record(each)
    return histogram


@given(TIMES, st.sampled_from([0.0, 1.0, 50.0, 90.0, 99.0, 99.9, 100.0]))
def test_a_percentile_is_that_of_the_sorted_times(times: list[float], percent: float) -> None:
    exact = sorted(times)[max(1, math.ceil(len(times) * percent / 100)) - 1]
    assert of(times).percentile(percent) == pytest.approx(exact, rel=0.01, abs=0.125)


@given(TIMES)
def test_least_most_count_and_mean_are_exact(times: list[float]) -> None:
    histogram = of(times)
    assert (histogram.least, histogram.most, histogram.count) == (min(times), max(times), len(times))
    assert histogram.mean == pytest.approx(math.fsum(times) / len(times))


@given(TIMES, TIMES)
def test_two_are_added_to_what_one_would_have_counted(some: list[float], others: list[float]) -> None:
    added = of(some)
    added.add(of(others))
    whole = of(some + others)
    assert added.counts == whole.counts
    assert (added.count, added.least, added.most) == (whole.count, whole.least, whole.most)
    assert added.sum == pytest.approx(whole.sum)


@given(TIMES)
def test_it_goes_through_json(times: list[float]) -> None:
    histogram = of(times)
    assert Histogram.from_json(histogram.to_json()).to_json() == histogram.to_json()


def test_one_that_has_counted_nothing_says_zero() -> None:
    nothing = Histogram()
    nothing.add(Histogram())
    assert (nothing.percentile(99), nothing.mean, nothing.count) == (0.0, 0.0, 0)


def test_times_below_zero_are_zero() -> None:
    assert of([-5.0]).most == 0.0


def test_several_times_are_recorded_at_once() -> None:
    histogram = Histogram()
    histogram.record(10.0, 5)
    assert (histogram.count, histogram.mean) == (5, 10.0)
