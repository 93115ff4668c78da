"""Which topics are busiest. Time is moved by hand."""

import pytest

from telex.cli import busiest
from telex.cli.busiest import Busiest


def after(seconds: int, found: Busiest, topics: dict[str, int], *, begin: float = 0.0) -> float:
    """So many messages of each topic come each second; the time when that ends."""
    for second in range(1, seconds + 1):
        for topic, count in topics.items():
            for _ in range(count):
                found.take(topic, 10)
        found.fade(begin + second)
    return begin + seconds


def test_the_busiest_topic_is_first() -> None:
    found = Busiest(0.0)
    after(5, found, {"quiet": 1, "busy": 50, "middle": 7})
    assert [each.topic for each in found.top(10)] == ["busy", "middle", "quiet"]
    assert [each.topic for each in found.top(1)] == ["busy"]
    assert len(found) == 3


@pytest.mark.parametrize("seconds", [1, 3, 60])
def test_a_steady_rate_is_right_from_the_beginning(seconds: int) -> None:
    found = Busiest(0.0)
    after(seconds, found, {"a": 20, "b": 5})
    first, second = found.top(2)
    assert (first.rate, first.bytes_rate) == pytest.approx((20, 200))
    assert first.messages == 20 * seconds
    assert second.rate == pytest.approx(5)
    assert found.all().rate == pytest.approx(25)


def test_a_topic_that_falls_silent_goes_down_and_away() -> None:
    found = Busiest(0.0)
    now = after(30, found, {"before": 100})
    now = after(20, found, {"now": 20}, begin=now)
    assert [each.topic for each in found.top(2)] == ["now", "before"]
    after(120, found, {"now": 20}, begin=now)
    assert [each.topic for each in found.top(2)] == ["now"]


def test_before_any_time_has_passed_no_rate_is_known() -> None:
    found = Busiest(0.0)
    found.take("a", 10)
    assert [(each.rate, each.messages) for each in found.top(1)] == [(0.0, 1)]
    assert found.all().rate == 0.0


def test_there_is_an_end_to_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Busiest(0.0, most=3)
    now = after(10, found, {"a": 1, "b": 1, "c": 1, "d": 1})
    assert (len(found), found.unkept) == (3, 10)
    now = after(120, found, {"a": 1}, begin=now)
    assert len(found) == 1  # those that are silent make room
    after(1, found, {"d": 1}, begin=now)
    assert {each.topic for each in found.top(5)} == {"a", "d"}
    assert found.all().messages == 40 + 120 + 1
    monkeypatch.setattr(busiest, "MOST_CHARACTERS", 100)
    found = Busiest(0.0)
    after(1, found, {"x" * 60: 1, "y" * 60: 1, "z" * 30: 1})
    assert (len(found), found.unkept) == (2, 1)
