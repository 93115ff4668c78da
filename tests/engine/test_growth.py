"""What grows with what: the broker's work for one thing, among few others and among many.

Work is counted in steps of the interpreter, which are the same each time, and
no time is measured. The compiled core has none that could be counted: there, the
stories that tell it by what is kept, and what is not, must do.
"""

import gc
import sys
from collections.abc import Callable, Iterator
from itertools import count
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telex.engine import subscriptions as compiled_or_not
from telex.engine.deadlines import Deadlines, Timed
from telex.engine.engine import Engine
from telex.engine.message import Message
from telex.engine.options import Options
from telex.engine.permissions import EVERYTHING, Permissions
from telex.engine.retained import Retained
from telex.engine.routes import Route, Routes
from telex.engine.seams import Gate, Journal, Observer
from telex.engine.session import Session, Subscription
from telex.topics import matches, split_shared
from tests.engine.world import World

FEW = 100
MANY = 2_000

counted = pytest.mark.skipif(
    not compiled_or_not.__file__.endswith(".py"), reason="compiled code has no steps that could be counted"
)


def steps(work: Callable[[], object]) -> int:
    """How many steps of the interpreter some work takes."""
    taken = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal taken
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode":
            taken += 1
        return trace

    former = sys.gettrace()
    gc.disable()  # it has callbacks, which would be counted
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(former)
        gc.enable()
    return taken


class Broker:
    """An engine and its sessions, whose clients are away."""

    def __init__(self) -> None:
        self._names: Iterator[int] = count()
        self.engine = Engine(Options(), self._name, journal=Journal(), gate=Gate(), observer=Observer())
        self.subscriptions = self.engine.subscriptions

    def _name(self) -> str:
        return f"client {next(self._names)}"

    def session(self, *filters: str, qos: int = 1) -> Session:
        """Somebody with these subscriptions."""
        session = self.engine.new_session(self._name())
        for each in filters:
            self.subscribe(session, each, qos)
        return session

    def subscribe(self, session: Session, topic_filter: str, qos: int = 1) -> None:
        """Give a session a subscription."""
        subscription = Subscription(session, topic_filter, qos)
        session.subscriptions[topic_filter] = subscription
        self.subscriptions.add(subscription)

    def strangers(self, pattern: str, number: int) -> None:
        """Somebody with so many subscriptions, of which each is another."""
        self.session(*[pattern.format(each) for each in range(number)])

    def uses(self, pattern: str, number: int) -> list[Route]:
        """Routes to so many topics, as publishing to them makes them or finds them."""
        return [self.subscriptions.route(pattern.format(each)) for each in range(number)]

    def publish(self, topic: str) -> None:
        """The broker itself says something."""
        self.engine.publish(Message(topic, b"x"), None, 0.0)


# Publishing

STRANGERS = [
    "home/x{}",
    "home/x{}/temperature",
    "home/+/x{}",
    "home/x{}/+",
    "home/x{}/#",
    "x{}/#",
    "+/x{}/+",
    "+/+/x{}/#",
    "$share/group/home/x{}",
    "$share/group{}/home/+/x",
    "home/kitchen/temperature/x{}/+",
    "home/kitchen/x{}",
    "/".join(["home", *["+"] * 10, "x{}"]),
]


@counted
@pytest.mark.parametrize("pattern", STRANGERS)
def test_a_publish_does_not_cost_more_where_others_subscribed_to_something_else(pattern: str) -> None:
    def first_and_again(number: int) -> tuple[int, int]:
        broker = Broker()
        broker.session("home/kitchen/temperature", "home/+/temperature")
        broker.strangers(pattern, number)
        first = steps(lambda: broker.publish("home/kitchen/temperature"))
        return first, steps(lambda: broker.publish("home/kitchen/temperature"))

    first, again = first_and_again(FEW)
    assert again < first
    assert first_and_again(MANY) == (first, again)


@counted
def test_a_publish_to_a_topic_that_is_known_does_not_grow_with_its_levels() -> None:
    broker = Broker()
    broker.session("#")
    deep = "/".join("abcdefghijklmnopqrst")
    assert steps(lambda: broker.publish(deep)) > steps(lambda: broker.publish("a"))
    assert steps(lambda: broker.publish(deep)) == steps(lambda: broker.publish("a"))


# Subscribing


@counted
@pytest.mark.parametrize(
    "pattern", ["home/x{}", "home/+/x{}", "home/x{}/#", "+/x{}/#", "$share/g/x{}", "$share/g/+/x{}"]
)
@pytest.mark.parametrize("known", ["home/{}/y", "{}/y"])
def test_to_subscribe_and_unsubscribe_costs_the_same_among_many(pattern: str, known: str) -> None:
    topic_filter = pattern.format("")

    def comes_and_goes(number: int) -> tuple[int, int]:
        broker = Broker()
        broker.session("home/+/y")
        broker.strangers(pattern, number)
        routes = broker.uses(known, number)
        session = broker.session()
        comes = steps(lambda: broker.subscribe(session, topic_filter))
        goes = steps(lambda: broker.engine.unsubscribe(session, topic_filter))
        assert broker.uses(known, number) == routes, "other routes are the same as before"
        return comes, goes

    assert comes_and_goes(FEW) == comes_and_goes(MANY)


@counted
def test_a_new_filter_costs_the_same_however_many_topics_it_matches() -> None:
    def comes(topics: int) -> int:
        broker = Broker()
        broker.uses("home/{}/y", topics)
        session = broker.session()
        return steps(lambda: broker.subscribe(session, "home/#"))

    assert comes(0) == comes(FEW) == comes(MANY)


@counted
def test_a_change_of_a_filter_costs_the_routes_that_know_of_it_and_that_once() -> None:
    def costs(others: int) -> tuple[int, int, int]:
        broker = Broker()
        broker.session("home/#")
        broker.uses("home/{}/y", 50)
        broker.uses("away/{}/y", others)
        sessions = [broker.session() for _ in range(3)]
        for_all = steps(lambda: broker.subscribe(sessions[0], "home/#"))
        for_none = steps(lambda: broker.subscribe(sessions[1], "home/#"))
        broker.uses("home/{}/y", 5)
        for_some = steps(lambda: broker.engine.unsubscribe(sessions[1], "home/#"))
        return for_all, for_none, for_some

    for_all, for_none, for_some = costs(FEW)
    assert for_none < for_some < for_all / 5
    assert costs(MANY) == (for_all, for_none, for_some)


@counted
def test_what_came_since_a_topic_was_used_last_costs_it_no_more_than_to_be_new() -> None:
    def costs(news: int) -> tuple[int, int]:
        broker = Broker()
        broker.session("home/#")
        broker.publish("home/a")
        broker.strangers("x/{}/+", news)
        return steps(lambda: broker.publish("home/a")), steps(lambda: broker.publish("home/b"))

    (again_0, new_0), (again_3, new_3), (again_few, new_few), again_and_new_many = map(costs, (0, 3, FEW, MANY))
    assert new_0 == new_3 == new_few
    assert again_0 < again_3 < new_few
    assert again_few < 1.5 * new_few
    assert again_and_new_many == (again_few, new_few)


def test_routes_outlive_thousands_of_filters_that_do_not_concern_them() -> None:
    broker = Broker()
    session = broker.session("home/#")
    routes = broker.uses("home/{}", 10) + broker.uses("away/{}", 10)
    for number in range(2_100):
        topic_filter = f"x/{number}/+" if number % 2 else f"+/x{number}/#"
        broker.subscribe(session, topic_filter)
        if number % 10 == 0:
            assert broker.uses("home/{}", 10) + broker.uses("away/{}", 10) == routes
        broker.engine.unsubscribe(session, topic_filter)


def test_a_route_to_many_outlives_more_than_one_to_few() -> None:
    broker = Broker()
    for _ in range(400):
        broker.session("all", "all/+")
    broker.session("few")
    many, few = broker.subscriptions.route("all"), broker.subscriptions.route("few")
    broker.strangers("x/{}/+", 100)
    assert broker.subscriptions.route("all") is many
    assert broker.subscriptions.route("few") is not few
    broker.strangers("y/{}/+", 500)
    assert broker.subscriptions.route("all") is not many
    broker.session("+")
    assert len(broker.subscriptions.route("all").subscriptions) == 401


FILTERS = [
    "a",
    "a/b",
    "+",
    "#",
    "a/+",
    "a/#",
    "+/b",
    "+/+",
    "b/+/a",
    "$share/g/a",
    "$share/g/+/b",
    "$x/#",
    "+/x",
    "a/c",
]
NAMES = ["a", "b", "a/b", "a/c", "b/b", "b/a", "b/a/a", "b/b/a", "$x/b", "$x", "x", *(f"a/{each}" for each in range(9))]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(FILTERS)), max_size=20))
def test_a_subscription_changes_the_routes_that_it_matches_and_no_others(changes: list[tuple[int, str]]) -> None:
    broker = Broker()
    sessions = [broker.session() for _ in range(4)]
    routes = {topic: broker.subscriptions.route(topic) for topic in NAMES}
    for who, topic_filter in changes:
        session = sessions[who]
        if topic_filter in session.subscriptions:
            broker.engine.unsubscribe(session, topic_filter)
        else:
            broker.subscribe(session, topic_filter)
        for topic, before in routes.items():
            route = broker.subscriptions.route(topic)
            is_touched = matches(split_shared(topic_filter)[1], topic)
            assert (route is not before) == is_touched
            routes[topic] = route
            expected = [
                {each.client_id for each in sessions if any(_gets(each, topic, shared=shared))}
                for shared in (False, True)
            ]
            assert sorted(each.session.client_id for each in route.subscriptions) == sorted(expected[0])
            assert {each.client_id for group in route.groups for each in group.members} == expected[1]


def _gets(session: Session, topic: str, *, shared: bool) -> Iterator[bool]:
    for topic_filter in session.subscriptions:
        group, inner = split_shared(topic_filter)
        yield bool(group) == shared and matches(inner, topic)


# Coming and going


@counted
@pytest.mark.parametrize(
    "pattern", ["home/x{}", "home/+/x{}", "home/x{}/#", "$share/group/home/x{}", "$share/group{}/a"]
)
def test_a_client_that_leaves_costs_what_it_had(pattern: str) -> None:
    def leaves(number: int) -> int:
        broker = Broker()
        broker.strangers(pattern, number)
        broker.uses("home/{}/y", number)
        session = broker.session(pattern.format("a"), pattern.format("b"))
        return steps(lambda: broker.engine.end_session(session, 0.0))

    assert leaves(FEW) == leaves(MANY)


@counted
def test_a_large_group_costs_no_more_than_a_small_one() -> None:
    message = Message("a", b"x", 1)

    def costs(number: int) -> list[int]:
        broker = Broker()
        for _ in range(number):
            broker.session("$share/g/a")
        group = broker.subscriptions.group_of("$share/g/a")
        assert group is not None
        session = broker.session()
        return [
            steps(lambda: broker.subscribe(session, "$share/g/a")),
            steps(lambda: group.choose(message)),
            steps(lambda: group.choose(Message("a", b"x", 0))),
            steps(lambda: broker.subscriptions.came_back(session)),
            steps(lambda: broker.engine.end_session(session, 0.0)),
        ]

    assert costs(FEW) == costs(MANY)


@counted
def test_members_that_are_away_cost_a_message_nothing() -> None:
    def chooses(absent: int) -> int:
        world = World()
        subscriptions = world.engine.subscriptions
        members = [
            world.client(f"c{each}", session_expiry=60).subscribes("$share/g/a", qos=1) for each in range(absent)
        ]
        stays = world.client("stays").subscribes("$share/g/a", qos=1)
        for member in members:
            member.drops()
        for _ in range(2):  # that they are away is seen when their turn comes
            world.publishes(Message("a", b"x", 1))
        assert stays.payloads == [b"x", b"x"]
        group = subscriptions.group_of("$share/g/a")
        assert group is not None
        return steps(lambda: group.choose(Message("a", b"x", 1)))

    assert chooses(2) == chooses(200)


@counted
def test_to_connect_and_to_leave_costs_the_same_among_many() -> None:
    def costs(number: int) -> tuple[int, int]:
        world = World()
        for each in range(number):
            world.client(f"c{each}", keep_alive=60).subscribes(f"home/{each}/#", "home/+", qos=1)
        engine = world.engine
        client = world.client("kept", session_expiry=60).subscribes("home/+", "away/x", qos=1)
        session = engine.sessions["kept"]
        connection, outbox = session.client, session.outbox
        assert connection is not None
        assert outbox is not None
        leaves = steps(lambda: engine.close_session(session, with_will=True, now=world.now))

        def comes() -> None:
            engine.open_session(
                "kept",
                connection,
                outbox,
                clean_start=False,
                expiry_interval=60,
                receive_maximum=10,
                allowed=10,
                permissions=EVERYTHING,
                will=None,
                now=world.now,
            )

        comes_back = steps(comes)
        client.drops()
        return leaves, comes_back

    assert costs(2) == costs(100)


class Limited(Permissions):
    """Those of a client that may not receive everything."""

    def __init__(self) -> None:
        super().__init__()
        self.limits_receiving = True

    def may_receive(self, topic: str) -> bool:
        return topic != "b"


def test_a_client_with_limits_changes_only_what_it_gets() -> None:
    broker = Broker()
    session = broker.session("a", "b", "c/#")
    broker.session("a", "b", "d/+")
    topics = ["a", "b", "c/1", "c/2", "d/1", "e"]
    before = {topic: broker.subscriptions.route(topic) for topic in topics}
    broker.engine.change_permissions(broker.session(), Limited())
    assert {topic: broker.subscriptions.route(topic) for topic in topics} == before
    broker.engine.change_permissions(session, Limited())
    after = {topic: broker.subscriptions.route(topic) for topic in topics}
    assert [topic for topic in topics if after[topic] is before[topic]] == ["d/1", "e"]
    assert [len(after[topic].subscriptions) for topic in topics] == [2, 1, 1, 1, 1, 0]
    broker.engine.change_permissions(session, Permissions())
    assert len(broker.subscriptions.route("b").subscriptions) == 2


# What is remembered


def test_topics_that_come_once_do_not_take_the_place_of_those_that_come_all_the_time() -> None:
    broker = Broker()
    broker.session("#")
    hot = [f"hot/{each}" for each in range(20)]
    before = [broker.subscriptions.route(topic) for topic in hot]
    for number in range(14_000):
        broker.subscriptions.route(f"once/{number}")
        if number % 1_000 == 0:
            assert [broker.subscriptions.route(topic) for topic in hot] == before
    assert len(broker.subscriptions._routes.known) == 10_000


def test_what_is_remembered_is_bounded_in_bytes_too() -> None:
    broker = Broker()
    everybody = list(broker.session("a").subscriptions.values()) * 131_072  # a mebibyte of places
    routes = Routes()
    for number in range(100):
        routes.remember(Route(f"t/{number}", everybody, [], []), [])
        assert routes.size == sum(each.size for each in routes.known.values()) <= 32 * 1024 * 1024
    assert len(routes.known) == 31
    former = list(routes.known)
    routes.remember(Route("t/large", everybody * 17, [], []), [])
    assert list(routes.known) == former, "what is too large does not push out all others"


def test_a_route_knows_what_it_takes() -> None:
    broker = Broker()
    alone = broker.subscriptions.route("nobody").size
    for _ in range(100):
        broker.session("a", "+", "b", "d")
    own, shared = broker.subscriptions.route("a").size, broker.subscriptions.route("c").size
    assert shared == alone, "the list of the receivers is everybody's"
    assert 100 * 200 < own - alone < 100 * 400, "and these were made of two subscriptions each"


def test_topics_that_the_same_filter_matches_share_a_list_of_receivers() -> None:
    broker = Broker()
    for _ in range(10):
        broker.session("#")
    one, other = broker.uses("t/{}", 2)
    assert one.subscriptions is other.subscriptions
    late = broker.session("#")
    assert broker.uses("t/{}", 1)[0].subscriptions[-1].session is late


# Retained messages


@counted
@pytest.mark.parametrize(
    ("others", "topic_filter", "found"),
    [
        ("a/{}", "z/+", "z/1"),
        ("a/{}/c", "a/+/b", "a/5/b"),
        ("{}/c/d", "+/x/y", "5/x/y"),
        ("a/{}/c", "a/+", "a/v"),
        ("a/{}/c", "+/1/#", "b/1/2"),
        ("a/{}/c", "a/5/+", "a/5/c"),
        ("a/{}/c/d", "a/+/+/s", "a/5/r/s"),
        ("a/{}/c/d", "a/+/r/#", "a/5/r"),
        ("a/{}/c/d", "+/+/r/+", "b/5/r/s"),
        ("{}/a", "+", "v"),
    ],
)
def test_to_look_up_retained_messages_costs_what_is_found(others: str, topic_filter: str, found: str) -> None:
    def costs(number: int) -> list[int]:
        retained = Retained(Deadlines(), lambda topic: None)
        for each in range(number):
            retained.store(Message(others.format(each), b"x", 0, True))
        retained.store(Message(found, b"x", 0, True))
        assert found in [message.topic for message in retained.matching(topic_filter, 0.0)]
        return [
            steps(lambda: retained.store(Message("a/new/one", b"x", 0, True))),
            steps(lambda: retained.matching(topic_filter, 0.0)),
            steps(lambda: retained.remove("a/new/one")),
        ]

    assert costs(FEW) == costs(MANY)


# Time


@counted
def test_a_second_costs_what_is_due_in_it() -> None:
    def costs(number: int) -> list[int]:
        deadlines = Deadlines()
        deadlines.tick(1.0)
        for each in range(number):
            deadlines.set(Timed(), 1_000.0 + each % 50)
        due, moved = Timed(), Timed()
        deadlines.set(due, 3.0)
        return [
            steps(lambda: deadlines.tick(2.0)),
            steps(lambda: deadlines.tick(3.0)),
            steps(lambda: deadlines.set(moved, 1_020.0)),
            steps(lambda: deadlines.set(moved, 1_021.0)),
            steps(lambda: deadlines.drop(moved)),
        ]

    assert costs(FEW) == costs(MANY)


@counted
def test_clients_that_are_idle_cost_nothing_between_their_pings() -> None:
    def costs(number: int) -> int:
        world = World()
        for each in range(number):
            world.client(f"c{each}", keep_alive=1_000)
        return steps(lambda: world.engine.tick(world.now + 1))

    assert costs(2) == costs(200)
