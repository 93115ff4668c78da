"""What the broker keeps for whoever looks: rates, events, log lines, bans."""

import logging

import pytest

from telex.server.bans import MOST, Ban, Bans
from telex.server.events import MOST_EVENTS, MOST_LINES, Events, LogTail
from telex.server.log import Event
from telex.server.rates import MOST_LOOKS, Rates, RatesOfMany


def test_a_rate_is_that_of_the_last_seconds() -> None:
    rates = Rates()
    assert rates.of(2) == [0.0, 0.0]
    for second in range(20):
        rates.look(float(second), (second * 10, 1_000 if second >= 10 else 0))
    assert rates.of(2) == [10.0, 0.0]


def test_rates_of_many_begin_with_the_mean_and_go_on_from_look_to_look() -> None:
    rates = RatesOfMany()
    assert rates.look("a", 110.0, 100.0, (50, 0)) == [5.0, 0.0]
    assert rates.look("a", 110.5, 100.0, (60, 0)) == [5.0, 0.0], "two looks within a second are one"
    assert rates.look("a", 112.0, 100.0, (60, 8)) == [5.0, 4.0]
    assert rates.look("a", 113.0, 112.5, (3, 0)) == [3.0, 0.0], "it has come back, and counts anew"
    rates.look("b", 113.0, 100.0, (1, 1))
    for number in range(MOST_LOOKS - 1):
        rates.look(number, 114.0, 100.0, (1, 1))
    assert rates.count == MOST_LOOKS
    assert rates.look("b", 115.0, 105.0, (21, 1)) == [10.0, 0.0], "it was looked at lately"
    assert rates.look("a", 115.0, 112.5, (10, 0)) == [4.0, 0.0], "nobody has looked at it for longest"


def test_the_same_again_and_again_is_one_event() -> None:
    events = Events()
    for now in (0.0, 5.0, 14.0, 30.0):
        events.add("denied", now, client_id="a", why="publish x", rule="rule 1")
    events.add("denied", 31.0, client_id="b", why="publish x", rule="rule 1")
    assert [(each.at, each.count, each.client_id) for each in events.all()] == [
        (31.0, 1, "b"),
        (30.0, 1, "a"),
        (14.0, 3, "a"),
    ]


def test_events_are_bounded_in_number_and_size() -> None:
    events = Events()
    for number in range(MOST_EVENTS + 5):
        events.add("refused", number * 60.0, client_id="x" * 70_000, why=f"{number}")
    assert len(events.all()) == MOST_EVENTS
    assert all(len(each.client_id) < 400 for each in events.all())
    assert [each.number for each in events.all()] == list(range(MOST_EVENTS + 5, 5, -1))


def test_what_strangers_do_pushes_out_nothing_else() -> None:
    events = Events()
    events.add("connected", 0.0, client_id="a", why="")
    for number in range(MOST_EVENTS * 2):
        events.add("refused" if number % 2 else "denied", 1.0, address=f"{number}", why="")
    events.add("disconnected", 2.0, client_id="a", why="")
    kinds = [each.kind for each in events.all()]
    assert (kinds[0], kinds[-1], len(kinds)) == ("disconnected", "connected", MOST_EVENTS + 2)


def test_lines_of_the_log_are_bounded_and_harmless() -> None:
    tail = LogTail()
    logger = logging.Logger("test")
    logger.addHandler(tail)
    for number in range(MOST_LINES + 5):
        logger.info("line %d", number)
    logger.warning(Event("refused", {"client": "a\nb"}))
    logger.error("%s", "x" * 70_000)
    lines = tail.lines(logging.INFO)
    assert len(lines) == MOST_LINES
    assert len(lines[0].text) == 2_000
    assert lines[1].text == 'refused client="a\\nb"'
    assert [line.level for line in tail.lines(logging.WARNING)] == ["error", "warning"]


# Bans


def ban(until: float = 100.0, **about: str) -> Ban:
    return Ban(about.get("address", ""), about.get("client_id", ""), about.get("user", ""), until, "because")


def test_a_ban_is_about_who_fits_all_of_it() -> None:
    bans = Bans(lambda host: host)
    bans.add(ban(address="192.0.2.1", user="bob"), 0.0)
    assert bans.about("192.0.2.1", "", "bob", 50.0) is not None
    assert bans.about("192.0.2.1", "", "ann", 50.0) is None
    assert bans.about("192.0.2.2", "", "bob", 50.0) is None
    assert bans.about("", "", "bob", 50.0) is None
    assert bans.about("192.0.2.1", "", "bob", 100.0) is None, "it is over"
    assert list(bans.all(100.0)) == []
    assert bans.add(ban(until=200.0, client_id="a", user="bob"), 100.0)
    assert bans.about("192.0.2.1", "a", "bob", 150.0) is not None
    assert bans.about("192.0.2.1", "a", "", 150.0) is None
    assert bans.about("192.0.2.1", "", "bob", 150.0) is None


def test_there_are_no_more_bans_than_there_is_room() -> None:
    bans = Bans(lambda host: host)
    for number in range(MOST):
        assert bans.add(ban(until=50.0 if number else 10.0, user=f"{number}"), 0.0)
    assert not bans.add(ban(user="one more"), 5.0)
    assert bans.add(ban(user="one more"), 10.0), "one has ended"


def test_a_ban_that_failed_logins_began_is_enforced_where_they_are_counted() -> None:
    lifted = []
    bans = Bans(lambda host: host)
    automatic = Ban("192.0.2.1", "", "bob", 100.0, "failed logins", lambda: lifted.append("bob"))
    bans.replace(automatic)
    again = Ban("192.0.2.1", "", "bob", 200.0, "failed logins", lambda: lifted.append("bob again"))
    bans.replace(again)
    assert list(bans.all(0.0)) == [again]
    assert bans.about("192.0.2.1", "", "bob", 50.0) is None
    assert bans.remove(again.id, 50.0)
    assert lifted == ["bob again"]
    assert not bans.remove(again.id, 50.0)


def test_bans_that_somebody_says_have_room_whatever_failed_logins_began() -> None:
    bans = Bans(lambda host: host)
    for number in range(MOST + 5):
        bans.replace(Ban("192.0.2.1", "", f"{number}", 100.0, "failed logins", lambda: None))
    assert [each.user for each in bans.all(0.0)][:: MOST - 1] == ["5", f"{MOST + 4}"], "the oldest are not listed"
    assert bans.add(ban(user="bob"), 0.0)
    assert bans.about("", "", "bob", 0.0) is not None
    assert len(list(bans.all(0.0))) == MOST


@pytest.mark.parametrize("until", [10.0, 5.0])
def test_a_ban_that_is_over_cannot_be_lifted(until: float) -> None:
    bans = Bans(lambda host: host)
    over = ban(until=until, user="bob")
    bans.add(over, 0.0)
    assert not bans.remove(over.id, 10.0)
