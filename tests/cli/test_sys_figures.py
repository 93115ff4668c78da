"""What a broker tells under ``$SYS/broker/``, and the rates that come of it. Time is moved by hand."""

import itertools

import pytest

from telex.cli import sys_figures
from telex.cli.sys_figures import COUNTERS, GAUGES, HISTORY_SECONDS, LOADS, PREFIX, Figures


class Broker:
    """A broker that tells its figures at some times."""

    def __init__(self) -> None:
        self.figures = Figures()
        self.now = 1000.0

    def tells(self, others: dict[str, object] | None = None, *, retained: bool = False, **told: object) -> None:
        """At once. ``sent`` stands for publish/messages/sent, and so on; others have their own names."""
        for name, value in (told | (others or {})).items():
            self.figures.take(f"{PREFIX}{NAMES.get(name, name)}", str(value).encode(), self.now, retained=retained)

    def rate(self, name: str) -> float | None:
        """When it has told all that it tells at that time."""
        return self.figures.rate(name, self.now + 1)


NAMES = {
    "sent": "publish/messages/sent",
    "received": "publish/messages/received",
    "bytes_sent": "bytes/sent",
    "dropped": "publish/messages/dropped",
    "clients": "clients/connected",
}


@pytest.fixture
def broker() -> Broker:
    return Broker()


def test_what_is_not_told_is_not_there(broker: Broker) -> None:
    figures = broker.figures
    assert all(figures.value(name) is None for name in (*GAUGES, *COUNTERS))
    assert all(figures.rate(name, broker.now) is None for name in COUNTERS)
    assert all(figures.load(name, 1) is None for name in LOADS)
    assert (figures.version, figures.uptime(0), figures.interval(), figures.last_at) == (None, None, None, None)
    assert figures.settled(broker.now) == 0
    assert not figures.is_late(broker.now + 1000)


def test_values_are_those_told_last_and_the_first_name_counts(broker: Broker) -> None:
    broker.tells({"clients/active": 5, "messages/stored": 9, "retained messages/count": 3, "version": "telex 1"})
    assert (broker.figures.value("clients"), broker.figures.value("stored")) == (5, 9)
    broker.tells({"clients/connected": 6, "clients/active": 7})
    assert broker.figures.value("clients") == 6
    assert (broker.figures.value("retained"), broker.figures.version) == (3, "telex 1")


@pytest.mark.parametrize("payload", ["", "many", "-5", "nan", "inf", "1e9", "12abc", "0x10", "1_000", "9" * 21, "१२"])
def test_what_is_no_number_says_nothing(broker: Broker, payload: str) -> None:
    broker.tells(clients=payload, sent=payload, uptime=payload)
    assert broker.figures.value("clients") is None
    assert broker.figures.uptime(broker.now) is None
    assert broker.figures.last_at is None


def test_topics_that_nobody_knows_say_nothing(broker: Broker) -> None:
    broker.tells({"log/N": "New client", "heap/free": 5, "load/nothing/1min": 3, "connection/x": 1})
    broker.figures.take("home/temp", b"21", broker.now, retained=False)
    assert broker.figures.last_at is None
    assert broker.figures.bridges == {}


def test_a_rate_is_the_difference_over_the_interval(broker: Broker) -> None:
    broker.tells(uptime="100 seconds", sent=1000, clients=4)
    broker.now += 10.02  # when it arrives; the broker's own clock agrees within a second
    broker.tells(uptime="110 seconds", sent=1501)
    assert broker.rate("messages_sent") == pytest.approx(50, abs=0.1)
    assert broker.figures.interval() == pytest.approx(10.02)
    assert broker.figures.rate("messages_received", broker.now + 1) is None


def test_a_message_that_was_held_up_does_not_bend_the_rate(broker: Broker) -> None:
    """The broker's uptime is right within a second."""
    broker.tells(uptime="100 seconds", sent=0)
    broker.now += 17
    broker.tells(uptime="110 seconds", sent=1100)
    assert broker.rate("messages_sent") == 100.0
    broker.now += 3
    broker.tells(uptime="120 seconds", sent=2000)
    assert broker.rate("messages_sent") == 100.0


def test_what_is_not_told_again_has_not_grown(broker: Broker) -> None:
    broker.tells(uptime=1, sent=10, dropped=5)
    for second in range(2, 5):
        broker.now += 1
        broker.tells(uptime=second, sent=10 * second)
    assert (broker.rate("messages_sent"), broker.rate("dropped")) == (10, 0)


def test_all_that_is_told_at_one_time_is_one_tick(broker: Broker) -> None:
    """However slowly it arrives: a broker tells each topic once."""
    broker.tells(uptime=10, sent=100, bytes_sent=1000)
    broker.now += 10
    broker.tells(uptime=20, sent=200)
    broker.now += 0.8  # the network stalls
    broker.tells(bytes_sent=2000)
    assert broker.figures.settled(broker.now + 1) == 2
    assert (broker.rate("messages_sent"), broker.rate("bytes_sent")) == (10, 100)


def test_a_tick_that_is_not_complete_is_not_shown(broker: Broker) -> None:
    broker.tells(uptime=10, sent=100, bytes_sent=1000)
    broker.now += 10
    broker.tells(uptime=20, sent=200, bytes_sent=2000)
    broker.now += 10
    broker.tells(uptime=30, sent=400)
    assert broker.figures.rate("messages_sent", broker.now + 0.1) == 10
    assert broker.figures.rate("bytes_sent", broker.now + 0.1) == 100
    assert broker.figures.settled(broker.now + 0.1) == 2
    assert broker.figures.rate("bytes_sent", broker.now + 0.4) == 0
    assert broker.figures.settled(broker.now + 0.4) == 3


def test_an_uptime_that_has_not_changed_is_not_told(broker: Broker) -> None:
    """With an interval of a second, whole seconds may be the same twice."""
    broker.tells(uptime=1, sent=10)
    broker.now += 0.98
    broker.tells(sent=20)
    assert broker.rate("messages_sent") == pytest.approx(10, rel=0.03)
    broker.now += 1.01
    broker.tells(uptime=3, sent=30)
    assert broker.rate("messages_sent") == pytest.approx(10, rel=0.03)


def test_what_was_retained_is_of_nobody_knows_when(broker: Broker) -> None:
    broker.tells(retained=True, uptime=100, sent=1000)
    broker.now += 0.2  # the next tick comes right after we have come
    broker.tells(uptime=101, sent=1100)
    assert broker.rate("messages_sent") is None
    broker.now += 1
    broker.tells(uptime=102, sent=1200)
    assert broker.rate("messages_sent") == 100


def test_the_brokers_uptime_says_how_old_it_was(broker: Broker) -> None:
    broker.tells(retained=True, uptime=100, sent=1000)
    broker.now += 0.2
    broker.tells(uptime=110, sent=1500)
    assert broker.rate("messages_sent") == 50


def test_a_broker_without_uptime_has_rates_too(broker: Broker) -> None:
    """As those with other names: amqtt's, here."""
    broker.tells({"load/bytes/received": 1000, "messages/publish/sent": 10, "messages/subscriptions/count": 7})
    broker.now += 20
    broker.tells({"load/bytes/received": 3000, "messages/publish/sent": 30, "messages/subscriptions/count": 8})
    assert (broker.rate("bytes_received"), broker.rate("messages_sent")) == (100, 1)
    assert broker.figures.value("subscriptions") == 8


def test_a_broker_that_was_started_anew_begins_anew(broker: Broker) -> None:
    broker.tells(uptime=1000, sent=5000, bytes_sent=100)
    broker.now += 10
    broker.tells(uptime=3, sent=7000, bytes_sent=200)
    assert broker.rate("messages_sent") is None
    broker.now += 10
    broker.tells(uptime=13, sent=7100, bytes_sent=200)
    assert broker.rate("messages_sent") == 10
    broker.now += 10
    broker.tells(sent=50)  # without an uptime: less than before
    assert broker.figures.history("messages_sent", broker.now + 1)[-1][2] == 10


def test_after_a_new_connection_only_what_is_told_anew_is_there(broker: Broker) -> None:
    broker.tells({"store/state": "ok", "connection/b/state": 1, "version": "1"}, uptime=100, sent=1000, clients=7)
    broker.now += 10
    broker.tells(uptime=110, sent=1100)
    broker.figures.connected()
    assert broker.figures.value("clients") == 7  # until something comes
    broker.now += 30
    broker.tells(retained=True, version="2", uptime=140, sent=4100)
    figures = broker.figures
    assert (figures.value("clients"), figures.store, figures.bridges, figures.version) == (None, None, {}, "2")
    assert broker.rate("messages_sent") == 100  # over what was missed
    broker.now += 10
    broker.tells(uptime=150, sent=4200)
    assert broker.rate("messages_sent") == 10


def test_after_a_new_connection_the_same_broker_may_be_another_one(broker: Broker) -> None:
    broker.tells(uptime=100, sent=1000)
    broker.figures.connected()
    broker.figures.connected()
    broker.now += 30
    broker.tells(retained=True, uptime=2, sent=10)
    assert broker.rate("messages_sent") is None
    broker.now += 10
    broker.tells(uptime=12, sent=110)
    assert broker.rate("messages_sent") == 10


def test_the_history_has_what_is_known_and_forgets(broker: Broker) -> None:
    broker.tells(uptime=0, sent=0)
    for number in range(1, 61):
        broker.now += 10
        broker.tells(uptime=10 * number, sent=number * number)
    history = broker.figures.history("messages_sent", broker.now + 1)
    assert history[-1] == (broker.now - 10, broker.now, 11.9)
    assert history[0][1] >= broker.now - HISTORY_SECONDS
    assert len(history) == HISTORY_SECONDS / 10 + 1
    assert all(before[1] == after[0] for before, after in itertools.pairwise(history))


def test_there_is_an_end_to_what_is_kept(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(2000):
        broker.now += 0.001
        broker.tells(sent=number)
    assert len(broker.figures.history("messages_sent", broker.now + 1)) <= 1000
    assert broker.figures.settled(broker.now + 1) == 2000
    monkeypatch.setattr(sys_figures, "_MOST_BRIDGES", 2)
    broker.tells({f"connection/{name}/state": 1 for name in "abc"})
    assert broker.figures.bridges == {"a": True, "b": True}
    broker.tells({"connection/a/state": 0, "version": "x" * 1000})
    assert broker.figures.bridges["a"] is False
    assert len(broker.figures.version or "") == 80


def test_the_uptime_goes_on_between_two_ticks(broker: Broker) -> None:
    broker.tells(uptime="3600 seconds")
    assert broker.figures.uptime(broker.now + 7) == 3607


def test_a_broker_is_late_when_it_does_not_keep_to_its_interval(broker: Broker) -> None:
    broker.tells(uptime=10, sent=1)
    assert not broker.figures.is_late(broker.now + 100)  # nobody knows its interval
    broker.now += 10
    broker.tells(uptime=20, sent=2)
    assert not broker.figures.is_late(broker.now + 24)
    assert broker.figures.is_late(broker.now + 26)
