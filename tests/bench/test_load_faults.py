"""Brokers that lose, repeat, turn round, refuse, leave or say nothing: what came of it says so."""

import random
import signal
import threading

import pytest

from telex.bench.result import Progress, Result, Tally
from telex.bench.run import run
from telex.errors import Refused, Timeout
from telex.wire.packets import ConnAck, Connect, Disconnect, PingReq, Publish, PubRel, Subscribe
from telex.wire.properties import Properties
from tests.bench.conftest import NewPlan
from tests.bench.played import Played, limits
from tests.processes import free_port

FEW = {"window": 20, "seconds": 0.1, "patience": 0.3}


def test_a_message_that_is_lost_is_missed(new_plan: NewPlan) -> None:
    def lose(number: int, message: Publish) -> list[Publish]:
        return [] if number in (10, 11, 25) else [message]

    with Played(lose) as broker:
        result = run(new_plan(broker.port, **FEW))
    assert (result.lost, result.duplicated, result.misordered) == (3, 0, 0)
    assert not result.is_good


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_the_run_goes_on_though_half_of_all_messages_are_lost(new_plan: NewPlan, qos: int) -> None:
    chance = random.Random(1)
    lost = 0

    def lose(number: int, message: Publish) -> list[Publish]:
        nonlocal lost
        is_lost = chance.random() < 0.5
        lost += is_lost
        return [] if is_lost else [message]

    with Played(lose) as broker:
        result = run(new_plan(broker.port, qos=qos, **FEW))
    assert result.lost == lost > 0
    assert result.misordered == result.duplicated == 0


def test_when_all_that_is_on_its_way_is_lost_the_run_is_over(new_plan: NewPlan) -> None:
    with Played(lambda number, message: [message] if number < 30 else []) as broker:
        result = run(new_plan(broker.port, window=20, seconds=0.5, patience=0.3))
    assert result.lost == 20  # as many as may be on their way


def test_a_message_that_comes_twice_is_counted(new_plan: NewPlan) -> None:
    def repeat(number: int, message: Publish) -> list[Publish]:
        return [message] * (2 if number in (3, 30) else 1)

    with Played(repeat) as broker:
        result = run(new_plan(broker.port, **FEW))
    assert (result.lost, result.duplicated, result.misordered) == (0, 2, 0)


def test_messages_that_change_places_are_counted(new_plan: NewPlan) -> None:
    held: list[Publish] = []

    def turn_round(number: int, message: Publish) -> list[Publish]:
        if number == 5:
            held.append(message)
            return []
        return [message, held.pop()] if number == 7 else [message]

    with Played(turn_round) as broker:
        result = run(new_plan(broker.port, **FEW))
    assert (result.lost, result.duplicated, result.misordered) == (0, 0, 1)


def test_who_never_acknowledges_has_lost_it(new_plan: NewPlan) -> None:
    with Played(ignores=(PubRel,)) as broker:
        result = run(new_plan(broker.port, "pub", qos=2, **FEW))
    assert result.lost == 20
    assert result.measured.acknowledged == 0


def test_a_message_that_is_refused_is_told_of(new_plan: NewPlan) -> None:
    with Played(acknowledges=0x97) as broker:
        result = run(new_plan(broker.port, "pub", qos=1, version=5, **FEW))
    assert len(result.complaints) == 1
    assert result.complaints[0].startswith("the broker refused ")


def test_messages_of_others_are_told_of(new_plan: NewPlan) -> None:
    other = Publish("bench/0/0", b"y" * 64)
    with Played(lambda number, message: [other, message] if number == 4 else [message]) as broker:
        result = run(new_plan(broker.port, **FEW))
    assert result.complaints == ["messages of somebody else came, 1 of them: others use 'bench' too"]
    assert result.lost == 0


@pytest.mark.parametrize("version", [4, 5])
def test_a_broker_that_leaves_ends_the_run(new_plan: NewPlan, version: int) -> None:
    with Played(leaves_after=100) as broker:
        result = run(new_plan(broker.port, version=version, window=20, seconds=30.0))
    assert result.measured.seconds < 20
    why = "the broker ends the connection" if version == 5 else "the connection was closed"
    assert [each for each in result.complaints if why in each]


def test_a_subscriber_that_is_lost_holds_nobody_up(new_plan: NewPlan) -> None:
    def leave(number: int, message: Publish) -> list[Publish]:
        if number == 40:
            gone = next(each for each in broker._clients if each.filters)
            gone.writer.transport.abort()
            gone.filters.clear()
        return [message]

    with Played(leave) as broker:
        result = run(new_plan(broker.port, "fanout", subscribers=2, **FEW))
    assert len(result.complaints) == 1
    assert result.complaints[0].startswith("a client lost the connection: ")
    assert result.lost > 0
    assert result.measured.sent > 60


# Coming in


def test_nobody_is_there(new_plan: NewPlan) -> None:
    with pytest.raises(ConnectionRefusedError, match="nothing listens there"):
        run(new_plan(free_port()))


@pytest.mark.parametrize("version", [4, 5])
def test_who_is_refused_hears_why(new_plan: NewPlan, version: int) -> None:
    code = 5 if version == 4 else 0x87
    with Played(connack=lambda connect: ConnAck(code)) as broker, pytest.raises(Refused, match="author") as caught:
        run(new_plan(broker.port, version=version))
    assert caught.value.reason_code == code


def test_a_broker_that_never_answers(new_plan: NewPlan) -> None:
    with Played(connack=lambda connect: None) as broker, pytest.raises(Timeout, match=r"within 0\.2 s"):
        run(new_plan(broker.port, patience=0.2))


def test_a_subscription_that_is_not_answered(new_plan: NewPlan) -> None:
    with Played(ignores=(Subscribe,)) as broker, pytest.raises(Timeout, match="SUBSCRIBE"):
        run(new_plan(broker.port, patience=0.2))


@pytest.mark.parametrize(("grants", "why"), [(0x80, "refuses the subscription"), (0, "grants QoS 0")])
def test_a_subscription_that_is_refused_or_cut_down(new_plan: NewPlan, grants: int, why: str) -> None:
    with Played(grants=grants) as broker, pytest.raises(Refused, match=why):
        run(new_plan(broker.port, qos=1))


def test_some_are_refused_and_the_others_go_on(new_plan: NewPlan) -> None:
    def answer(connect: Connect) -> ConnAck:
        return ConnAck(3 if connect.client_id.endswith("s1") else 0)

    with Played(connack=answer) as broker:
        result = run(new_plan(broker.port, publishers=3, **FEW))
    assert result.complaints == [
        "a client could not connect: the broker refused the connection: it is not available now"
    ]
    assert result.connected == 4  # nobody publishes for whom there is no subscriber
    assert result.measured.received > 0
    assert result.lost == 0


@pytest.mark.parametrize(
    ("said", "asked", "why"),
    [
        ({"maximum_qos": 1}, {"qos": 2}, "no messages of QoS 2"),
        ({"retain_available": 0}, {"retain": True}, "no retained messages"),
        ({}, {"alias": True}, "no topic aliases"),
        ({"maximum_packet_size": 100}, {"size": 100}, "packets of 100 bytes at most, and these have 114"),
    ],
)
def test_what_the_broker_does_not_take_is_said_beforehand(
    new_plan: NewPlan, said: dict[str, int], asked: dict[str, object], why: str
) -> None:
    with Played(connack=limits(**said)) as broker, pytest.raises(Refused, match=why):
        run(new_plan(broker.port, version=5, **asked))


def test_no_more_are_in_flight_than_the_broker_takes(new_plan: NewPlan) -> None:
    with Played(connack=limits(receive_maximum=3), ignores=(PubRel,)) as broker:
        result = run(new_plan(broker.port, "pub", version=5, qos=2, **FEW))
        assert result.lost == 3
        result = run(new_plan(broker.port, "pub", version=5, qos=2, rate=1_000.0, seconds=0.1, patience=0.3))
    assert result.lost == 3
    assert any("the rate was not reached" in each for each in result.complaints)


def test_only_as_many_aliases_are_used_as_the_broker_takes(new_plan: NewPlan) -> None:
    seen: set[tuple[str, int | None]] = set()

    def look(number: int, message: Publish) -> list[Publish]:
        assert message.properties is not None or message.topic
        seen.add((message.topic, message.properties.topic_alias if message.properties else None))
        return []

    with Played(look, connack=limits(topic_alias_maximum=2)) as broker:
        run(new_plan(broker.port, "pub", version=5, alias=True, topics=3, **FEW))
    assert {alias for _, alias in seen} == {1, 2, None}
    assert {topic for topic, alias in seen if alias is None} == {"bench/0/2"}


# While it runs, and behind it


def test_who_is_silent_sends_pingreq_as_often_as_the_broker_wants(new_plan: NewPlan) -> None:
    with Played(connack=limits(server_keep_alive=1)) as broker:
        result = run(new_plan(broker.port, "sub", version=5, seconds=1.2))
        pings = [each for each in broker.got if isinstance(each, PingReq)]
    assert result.is_good
    assert pings


def test_a_broker_that_does_not_answer_pingreq_is_lost(new_plan: NewPlan) -> None:
    with Played(connack=limits(server_keep_alive=1), ignores=(PingReq,)) as broker:
        result = run(new_plan(broker.port, "sub", version=5, seconds=10.0))
    assert result.complaints == ["a client lost the connection: the broker does not answer PINGREQ"]


@pytest.mark.parametrize("version", [3, 4, 5])
def test_kept_sessions_are_ended_behind_the_run(new_plan: NewPlan, version: int) -> None:
    with Played() as broker:
        run(new_plan(broker.port, version=version, kept=True, qos=1, **FEW))
        got = broker.got
    connects = [each for each in got if isinstance(each, Connect) and "-s" in each.client_id]
    if version == 5:
        assert [each.properties for each in connects] == [Properties(session_expiry_interval=3_600)]
        assert Disconnect(0, Properties(session_expiry_interval=0)) in got
    else:
        assert [each.clean_start for each in connects] == [False, True]
    assert {len(each.client_id) <= 23 for each in connects} == {True}


def test_what_was_retained_is_cleared_behind_the_run(new_plan: NewPlan) -> None:
    retained: dict[str, bytes] = {}

    def keep(number: int, message: Publish) -> list[Publish]:
        assert message.retain
        retained[message.topic] = message.payload
        return [message]

    with Played(keep) as broker:
        run(new_plan(broker.port, retain=True, topics=3, **FEW))
    assert retained == {"bench/0/0": b"", "bench/0/1": b"", "bench/0/2": b""}


def test_ctrl_c_ends_it_early(new_plan: NewPlan) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.phase == "measuring":
            signal.raise_signal(signal.SIGINT)

    assert threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    with Played() as broker:
        result = run(new_plan(broker.port, window=20, seconds=60.0), interrupt)
    assert signal.getsignal(signal.SIGINT) is before
    assert result.interrupted
    assert result.is_good
    assert result.measured.received > 0
    assert result.measured.seconds < 30


def test_what_several_processes_found_adds_up_and_goes_through_json() -> None:
    one, other = Result(kind="pairs", complaints=["why"]), Result(kind="pairs", lost=2, complaints=["why", "what"])
    one.measured.sent, other.measured.sent = 5, 7
    other.by_second.append(Tally(seconds=1.0, received=3))
    other.measured.latency.record(4.0)
    one.add(Result.from_json(other.to_json()))
    assert (one.measured.sent, one.measured.latency.count, one.lost) == (12, 1, 2)
    assert one.complaints == ["why", "what"]
    assert [each.received for each in one.by_second] == [3]
    assert Result.from_json(one.to_json()).to_json() == one.to_json()
