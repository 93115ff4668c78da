"""The wheel of seconds, by itself: who is looked at when."""

import pytest

from telex.engine.deadlines import Deadlines, Timed


class Alarm(Timed):
    """Writes down when it rang."""

    def __init__(self) -> None:
        super().__init__()
        self.rang: list[float] = []

    def on_due(self, now: float) -> None:
        self.rang.append(now)


class Snooze(Timed):
    """Wants to be looked at again, each time."""

    def __init__(self, deadlines: Deadlines, after: float) -> None:
        super().__init__()
        self.deadlines = deadlines
        self.after = after
        self.rang: list[float] = []

    def on_due(self, now: float) -> None:
        self.rang.append(now)
        self.deadlines.set(self, now + self.after)


class Bully(Timed):
    """Does something to another when its time has come."""

    def __init__(self, deadlines: Deadlines, victim: Timed, *, later: float | None) -> None:
        super().__init__()
        self.deadlines = deadlines
        self.victim = victim
        self.later = later

    def on_due(self, now: float) -> None:
        if self.later is None:
            self.deadlines.drop(self.victim)
        else:
            self.deadlines.set(self.victim, now + self.later)


class Duelist(Timed):
    """Drops its opponent when it rings first."""

    def __init__(self, deadlines: Deadlines) -> None:
        super().__init__()
        self.deadlines = deadlines
        self.other: Timed = self
        self.has_rung = False

    def on_due(self, now: float) -> None:
        self.has_rung = True
        self.deadlines.drop(self.other)


def run(deadlines: Deadlines, start: int, end: int) -> None:
    """Tick through every second from start to end."""
    for second in range(start, end + 1):
        deadlines.tick(float(second))


@pytest.mark.parametrize(("when", "rings"), [(5.0, 5.0), (4.1, 5.0), (4.999, 5.0), (5.001, 6.0)])
def test_it_rings_in_the_first_second_that_is_not_too_early(when: float, rings: float) -> None:  # [MQTT-3.1.2-22]
    deadlines, alarm = Deadlines(), Alarm()
    run(deadlines, 1, 3)
    deadlines.set(alarm, when)
    run(deadlines, 4, 20)
    assert alarm.rang == [rings]
    assert alarm.due == 0
    assert len(deadlines) == 0


def test_a_new_deadline_replaces_the_old_one() -> None:  # deadlines.py
    deadlines, alarm = Deadlines(), Alarm()
    deadlines.set(alarm, 5)
    deadlines.set(alarm, 9)
    deadlines.set(alarm, 7)
    assert len(deadlines) == 1
    run(deadlines, 1, 20)
    assert alarm.rang == [7]


def test_a_dropped_deadline_does_not_ring() -> None:  # deadlines.py
    deadlines, alarm = Deadlines(), Alarm()
    deadlines.set(alarm, 5)
    deadlines.drop(alarm)
    deadlines.drop(alarm)
    run(deadlines, 1, 20)
    assert alarm.rang == []
    assert deadlines._due == {}


def test_what_is_due_already_rings_with_the_next_second() -> None:  # deadlines.py
    deadlines, alarm = Deadlines(), Alarm()
    deadlines.tick(100.0)
    deadlines.set(alarm, 3)
    deadlines.tick(100.5)
    assert alarm.rang == []
    deadlines.tick(101.0)
    assert alarm.rang == [101]


def test_a_late_tick_forgets_nobody() -> None:  # the machine slept
    deadlines, alarms = Deadlines(), [Alarm() for _ in range(50)]
    for number, alarm in enumerate(alarms):
        deadlines.set(alarm, 1_000 + number * 10)
    deadlines.tick(1.7e9)
    assert [alarm.rang for alarm in alarms] == [[1.7e9]] * 50
    deadlines.tick(1.7e9 + 1)
    assert [len(alarm.rang) for alarm in alarms] == [1] * 50


def test_a_clock_that_starts_late_is_no_trouble() -> None:  # seconds since 1970
    deadlines, alarm = Deadlines(), Alarm()
    deadlines.set(alarm, 1.7e9 + 5)
    for second in range(10):
        deadlines.tick(1.7e9 + second + 0.25)
    assert alarm.rang == [1.7e9 + 5.25]


def test_two_ticks_in_one_second_ring_once() -> None:  # deadlines.py
    deadlines, alarm = Deadlines(), Alarm()
    deadlines.set(alarm, 5)
    for moment in (4.9, 5.0, 5.1, 5.9, 6.0):
        deadlines.tick(moment)
    assert alarm.rang == [5.0]


def test_a_clock_that_goes_back_rings_nobody_twice() -> None:  # deadlines.py
    deadlines, alarm, other = Deadlines(), Alarm(), Alarm()
    deadlines.set(alarm, 5)
    deadlines.set(other, 8)
    for moment in (6.0, 3.0, 7.0, 5.0, 8.0):
        deadlines.tick(moment)
    assert (alarm.rang, other.rang) == ([6.0], [8.0])


def test_it_may_be_set_again_while_it_rings() -> None:  # deadlines.py: "It may set a new deadline"
    deadlines = Deadlines()
    snooze = Snooze(deadlines, 3)
    deadlines.set(snooze, 5)
    run(deadlines, 1, 15)
    assert snooze.rang == [5, 8, 11, 14]


def test_it_may_not_ring_for_ever_in_one_tick() -> None:  # deadlines.py
    deadlines = Deadlines()
    snooze = Snooze(deadlines, 0)
    deadlines.set(snooze, 5)
    run(deadlines, 1, 8)
    assert snooze.rang == [5, 6, 7, 8]


@pytest.mark.parametrize("later", [None, 4])
def test_one_may_drop_or_move_others_that_are_due_with_it(later: float | None) -> None:  # deadlines.py
    deadlines = Deadlines()
    alarms = [Alarm() for _ in range(20)]
    bullies = [Bully(deadlines, alarm, later=later) for alarm in alarms]
    for each in (*bullies, *alarms):
        deadlines.set(each, 5)
    run(deadlines, 1, 20)
    for alarm in alarms:  # those that came before their bully have rung at 5, the others have been spared
        assert alarm.rang in ([[5], []] if later is None else [[5, 9], [9]])
    assert deadlines._due == {}


def test_who_was_dropped_does_not_ring_although_it_was_due() -> None:  # deadlines.py
    deadlines = Deadlines()
    pairs = [(Duelist(deadlines), Duelist(deadlines)) for _ in range(20)]
    for one, other in pairs:
        one.other, other.other = other, one
        deadlines.set(one, 5)
        deadlines.set(other, 5)
    run(deadlines, 1, 10)
    assert [one.has_rung + other.has_rung for one, other in pairs] == [1] * 20


def test_many_share_a_second() -> None:  # deadlines.py
    deadlines, alarms = Deadlines(), [Alarm() for _ in range(1_000)]
    for number, alarm in enumerate(alarms):
        deadlines.set(alarm, 10 + number % 3)
    assert len(deadlines) == 1_000
    run(deadlines, 1, 11)
    assert sum(len(alarm.rang) for alarm in alarms) == 667
    assert len(deadlines) == 333


def test_those_of_one_second_come_in_the_order_in_which_they_were_set() -> None:
    deadlines = Deadlines()
    order: list[int] = []

    class Numbered(Timed):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

        def on_due(self, now: float) -> None:
            order.append(self.number)

    for number in range(1_000):
        deadlines.set(Numbered(number), 5.0 - number % 2 / 2)
    deadlines.tick(5.0)
    assert order == list(range(1_000))
