"""Nothing grows without a bound: queues, their memory, outboxes, retained messages, sessions, subscriptions.

What does not fit is dropped by a stated policy, counted, and told of once. When
all is over no memory is in use. (The older stories of queues and outboxes are in
``test_limits.py``.)
"""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telex.codes import NEVER_EXPIRES
from telex.engine import records
from telex.engine.engine import Engine
from telex.engine.message import Message
from telex.engine.options import Options
from telex.engine.session import Session
from telex.wire.packets import ConnAck, Packet, PubAck, PubComp, Publish, PubRec, PubRel, SubAck, Subscribe, Will
from telex.wire.packets import SubscriptionRequest as Request
from tests.engine.world import Client, Ledger, World

KIB = 1024


def limited(**limits: Any) -> World:
    """A broker with limits, whose disk gives back what it keeps, three messages at a time."""
    return World(Options(**limits), journal=Ledger(page=3))


def keeper(world: World, name: str = "sub", **manners: Any) -> Client:
    """A client that keeps its session for a minute, subscribed to ``a``."""
    return world.client(name, **{"session_expiry": 60, **manners}).subscribes("a", qos=2)


def session_of(world: World, name: str = "sub") -> Session:
    """What is remembered for a client."""
    return world.engine.sessions[name]


def says(world: World, *payloads: bytes | int, qos: int = 1, topic: str = "a", **options: Any) -> None:
    """The broker itself publishes; of a number, its digits."""
    for payload in payloads:
        data = payload if isinstance(payload, bytes) else b"%d" % payload
        world.publishes(Message(topic, data, qos, **options))


def numbers(client: Client) -> list[int]:
    """What a client got, as numbers."""
    return [int(payload) for payload in client.payloads]


def drops(world: World) -> list[str]:
    """What the observer was told of messages that were dropped."""
    return [line for line in world.diary.lines if " misses " in line]


def check_accounts(engine: Engine) -> None:
    """What is added up where things happen comes to what is there."""
    memory = 0
    for session in engine.sessions.values():
        waiting = [each for each in session.queue.waiting or () if each.packet_id == 0]
        size = sum(len(each.message.payload) for each in waiting)
        assert session.queue.bytes == size + session.queue.stored_bytes
        assert session.queue.stored >= 0
        assert session.message_count == len(waiting) + session.queue.stored + len(session.sender.in_flight)
        for each in (*waiting, *session.sender.in_flight.values()):
            memory += 600 + len(each.message.payload)
    assert engine.surroundings.memory == memory


# A queue that is full


@pytest.mark.parametrize("qos", [1, 2])
def test_the_newest_are_dropped_by_default(qos: int) -> None:  # pain 9
    world = limited(max_queued_messages=3)
    sub = keeper(world).drops()
    says(world, *range(7), qos=qos)
    assert (session_of(world).dropped, world.engine.stats.publish_dropped) == (4, 4)
    assert numbers(sub.returns()) == [0, 1, 2]


@pytest.mark.parametrize("qos", [1, 2])
def test_the_oldest_are_dropped_where_it_says_so(qos: int) -> None:  # pain 9
    world = limited(max_queued_messages=3, queue_drops="oldest")
    sub = keeper(world).drops()
    says(world, *range(7), qos=qos)
    check_accounts(world.engine)
    assert (session_of(world).dropped, world.engine.stats.publish_dropped) == (4, 4)
    assert numbers(sub.returns()) == [4, 5, 6]


def test_what_is_dropped_is_written_off() -> None:  # records.py: it must not come back after a restart
    world = limited(max_queued_messages=2, queue_drops="oldest")
    sub = keeper(world).drops()
    says(world, *range(5))
    assert world.ledger.lines[-3:] == ["Done sub #2", "Queued sub #5 a", "Done sub #3"]
    world.restarts()
    assert numbers(sub.returns()) == [3, 4]


@pytest.mark.parametrize(("policy", "expected"), [("newest", [0, 1]), ("oldest", [4, 5])])
def test_a_session_that_is_not_kept_has_a_queue_too(policy: str, expected: list[int]) -> None:  # [MQTT-3.3.4-9]
    world = limited(max_queued_messages=2, max_inflight_messages=1, queue_drops=policy)
    sub = world.client("sub", acknowledges=False).subscribes("a", qos=1)
    says(world, 9, *range(6))
    for packet_id in (1, 2, 3):
        sub.sends(PubAck(packet_id))
    assert numbers(sub) == [9, *expected]
    check_accounts(world.engine)


@pytest.mark.parametrize(("policy", "expected"), [("newest", [3, 4, 5]), ("oldest", [6, 7, 8])])
def test_what_was_in_flight_before_stands_in_front_and_stays(policy: str, expected: list[int]) -> None:  # S7
    world = limited(max_queued_messages=3, max_inflight_messages=3, queue_drops=policy)
    sub = keeper(world, acknowledges=False)
    says(world, 0, 1, 2)
    # It takes one at a time now, and so the other two wait to be repeated, in front of what waits.
    sub = sub.drops().returns(receive_maximum=1)
    says(world, *range(3, 9))
    assert numbers(sub) == [0]
    check_accounts(world.engine)
    for packet_id in (1, 2, 3, 4, 5, 6):
        sub.sends(PubAck(packet_id))
    assert numbers(sub) == [0, 1, 2, *expected]
    assert [message.dup for message in sub.messages] == [True] * 3 + [False] * 3
    check_accounts(world.engine)


def test_what_was_in_flight_stays_also_while_its_client_is_away() -> None:  # S7
    world = limited(max_queued_messages=2, max_inflight_messages=2, queue_drops="oldest")
    sub = keeper(world, acknowledges=False)
    says(world, *range(2))
    sub = sub.drops().returns(receive_maximum=1).drops()
    says(world, *range(2, 7))
    assert numbers(sub.returns(receive_maximum=None, acknowledges=True)) == [0, 1, 5, 6]


@pytest.mark.parametrize(("policy", "expected"), [("newest", [0, 1, 2]), ("oldest", [2, 3, 4])])
def test_bytes_are_limited_too(policy: str, expected: list[int]) -> None:  # memory is bounded
    world = limited(max_queued_bytes=300, queue_drops=policy)
    sub = keeper(world).drops()
    says(world, *[b"%0100d" % number for number in range(5)])
    assert session_of(world).queue.bytes == 300
    check_accounts(world.engine)
    assert numbers(sub.returns()) == expected
    assert session_of(world).queue.bytes == 0


@pytest.mark.parametrize("policy", ["newest", "oldest"])
def test_a_message_larger_than_the_whole_queue_is_dropped(policy: str) -> None:  # max_queued_bytes
    world = limited(max_queued_bytes=100, queue_drops=policy)
    sub = keeper(world).drops()
    says(world, b"x" * 101)
    assert session_of(world).dropped == 1
    assert session_of(world).message_count == 0
    says(world, 7)
    assert numbers(sub.returns()) == [7]


def test_a_message_as_large_as_the_queue_is_taken() -> None:  # max_queued_bytes
    world = limited(max_queued_bytes=100)
    sub = keeper(world).drops()
    says(world, b"x" * 100, b"y")
    assert sub.returns().payloads == [b"x" * 100]


def test_empty_messages_take_no_bytes() -> None:  # max_queued_bytes
    world = limited(max_queued_bytes=1)
    sub = keeper(world).drops()
    says(world, *[b""] * 50)
    assert sub.returns().payloads == [b""] * 50


@pytest.mark.parametrize("policy", ["newest", "oldest"])
def test_what_has_expired_makes_room_first(policy: str) -> None:  # [MQTT-3.3.2-5]
    world = limited(max_queued_messages=3, queue_drops=policy)
    sub = keeper(world).drops()
    says(world, 0)
    says(world, 1, 2, expires_at=world.now + 5)
    world.advance(10)
    says(world, 3, 4)
    assert session_of(world).dropped == 0
    check_accounts(world.engine)
    assert numbers(sub.returns()) == [0, 3, 4]


def test_what_has_expired_makes_room_for_bytes() -> None:  # [MQTT-3.3.2-5]
    world = limited(max_queued_bytes=200)
    sub = keeper(world).drops()
    says(world, b"x" * 150, expires_at=world.now + 5)
    world.advance(10)
    says(world, b"y" * 100)
    assert sub.returns().payloads == [b"y" * 100]


def test_retained_messages_may_wait_beside_the_queue() -> None:  # [MQTT-3.3.1-9]: they are there already
    world = limited(max_queued_messages=2, max_inflight_messages=1)
    for number in range(6):
        says(world, number, topic=f"r/{number}", retain=True)
    sub = world.client("sub").subscribes("r/+", qos=1)
    assert sorted(numbers(sub)) == list(range(6))


def test_each_session_counts_its_own_drops() -> None:  # pain 9
    world = limited(max_queued_messages=2)
    for name, topic in (("one", "a"), ("two", "b")):
        world.client(name, session_expiry=60).subscribes(topic, qos=1).drops()
    says(world, *range(5))
    says(world, *range(3), topic="b")
    assert (session_of(world, "one").dropped, session_of(world, "two").dropped) == (3, 1)
    assert world.engine.stats.publish_dropped == 4


@pytest.mark.parametrize("policy", ["newest", "oldest"])
def test_the_first_of_a_row_is_told_with_client_and_topic(policy: str) -> None:  # pain 9: drops are not silent
    world = limited(max_queued_messages=2, queue_drops=policy)
    sub = world.client("sub", session_expiry=60).subscribes("a", "b", qos=1).drops()
    says(world, 0, topic="b")
    says(world, *range(9))
    assert drops(world) == ["sub misses a" if policy == "newest" else "sub misses b"]
    assert world.diary.reasons[-1] == "as much waits for it as max_queued_messages and max_queued_bytes allow"
    sub.returns().drops()
    says(world, *range(9), topic="b")
    assert len(drops(world)) == 2


# Memory for all queues together


def spilling(**limits: Any) -> World:
    """A broker in whose memory some 10 short messages may wait."""
    return limited(max_queue_memory=10 * 601, **limits)


def test_beyond_the_memory_messages_wait_in_the_store_alone() -> None:  # the offline queue
    world = spilling()
    sub = keeper(world).drops()
    says(world, *[b"%d" % (number % 10) for number in range(40)])
    session = session_of(world)
    assert (session.queue.stored, session.queue.stored_bytes, session.queue.bytes) == (30, 30, 40)
    assert session.message_count == 40
    assert world.engine.surroundings.memory == 10 * 601
    assert world.engine.stats.publish_dropped == 0
    sub = sub.returns()
    assert numbers(sub) == [number % 10 for number in range(40)]
    assert (session.queue.stored, session.queue.stored_bytes, session.queue.bytes, session.message_count) == (
        0,
        0,
        0,
        0,
    )
    assert world.engine.surroundings.memory == 0


@pytest.mark.parametrize("qos", [1, 2])
def test_they_come_in_pages_and_in_order(qos: int) -> None:  # [MQTT-4.6.0-5] [MQTT-4.6.0-6]
    world = spilling(max_inflight_messages=2)
    sub = keeper(world).drops()
    says(world, *range(40), qos=qos)
    assert numbers(sub.returns()) == list(range(40))
    assert len(world.ledger.fetches) >= 10


def test_no_more_is_fetched_than_what_its_client_takes() -> None:  # memory is bounded
    world = World(
        Options(max_queue_memory=1, max_inflight_messages=1, max_queued_messages=5_000), journal=Ledger(page=50)
    )
    sub = keeper(world, acknowledges=False).drops()
    says(world, *range(2_000))
    assert world.engine.surroundings.memory == 0
    sub = sub.returns()
    session = session_of(world)
    assert session.message_count == 2_000
    assert 200 <= 2_000 - session.queue.stored <= 300
    for packet_id in range(1, 500):
        sub.sends(PubAck(packet_id))
    assert numbers(sub) == list(range(500))
    assert 200 <= 2_000 - 499 - session.queue.stored <= 300


def test_large_messages_are_fetched_a_few_at_a_time() -> None:  # memory is bounded
    world = limited(max_queue_memory=1, max_inflight_messages=1)
    sub = keeper(world, acknowledges=False).drops()
    says(world, *[b"%-100000d" % number for number in range(60)])
    sub = sub.returns()
    for packet_id in range(1, 61):
        assert world.engine.surroundings.memory < KIB * KIB + 5 * 101_000
        sub.sends(PubAck(packet_id))
    assert numbers(sub) == list(range(60))


def test_what_comes_while_something_waits_in_the_store_waits_behind_it() -> None:  # [MQTT-4.6.0-6]
    world = spilling(max_inflight_messages=1)
    sub = keeper(world, acknowledges=False).drops()
    says(world, *range(20))
    sub = sub.returns()
    says(world, *range(20, 25))
    assert session_of(world).message_count == 25
    for packet_id in range(1, 26):
        sub.sends(PubAck(packet_id))
    assert numbers(sub) == list(range(25))


def test_when_the_store_is_empty_messages_wait_in_memory_again() -> None:  # session.py
    world = spilling()
    sub = keeper(world).drops()
    says(world, *range(15))
    sub = sub.returns().drops()
    says(world, 1)
    assert (session_of(world).queue.stored, session_of(world).message_count) == (0, 1)
    says(world, 2)
    assert numbers(sub.returns()) == [1, 2]


def test_a_session_of_its_own_memory_is_not_touched_by_a_full_one() -> None:  # [MQTT-4.6.0-6]
    world = spilling()
    full = keeper(world, "full").drops()
    other = world.client("other", session_expiry=60).subscribes("b", qos=1)
    says(world, *range(30))
    says(world, 1, topic="b")
    assert numbers(other) == [1]  # who is there gets what is not to wait
    other.drops()
    says(world, 2, 3, topic="b")
    assert session_of(world, "other").queue.stored == 2
    assert numbers(other.returns()) == [2, 3]
    assert numbers(full.returns()) == list(range(30))


def test_messages_that_come_during_a_fetch_are_not_lost_and_keep_their_order() -> None:  # Journal.fetch
    world = World(Options(max_queue_memory=1, max_queued_messages=100), journal=Ledger(is_slow=True, page=3))
    sub = slow_keeper(world).drops()
    says(world, *range(7))
    world.commits()
    sub = world.knocks("sub", clean_start=False, session_expiry=60)
    for number in range(7, 20):
        says(world, number)  # while the store reads
        world.commits()
    for _ in range(10):
        world.commits()
    assert numbers(sub) == list(range(20))
    assert (session_of(world).queue.stored, session_of(world).message_count) == (0, 0)


def slow_keeper(world: World) -> Client:
    """A client that keeps its session for a minute, subscribed to ``a``, where the disk is slow."""
    client = world.knocks("sub", session_expiry=60, acknowledges=False).sends(Subscribe(1, [Request("a", 2)]))
    world.commits()
    assert [type(packet) for packet in client.takes()] == [ConnAck, SubAck]
    return client


def test_one_fetch_is_under_way_at_a_time() -> None:  # session.py
    world = World(Options(max_queue_memory=1), journal=Ledger(is_slow=True, page=3))
    sub = slow_keeper(world).drops()
    says(world, *range(9))
    world.commits()
    sub = world.knocks("sub", clean_start=False, session_expiry=60)
    says(world, *range(9, 12))
    sub.drops()
    world.knocks("sub", clean_start=False, session_expiry=60)
    assert len(world.ledger.fetches) == 1


def test_a_client_that_leaves_during_a_fetch_gets_all_when_it_returns() -> None:  # Journal.fetch
    world = World(Options(max_queue_memory=1), journal=Ledger(is_slow=True, page=3))
    sub = slow_keeper(world).drops()
    says(world, *range(9))
    world.commits()
    sub = world.knocks("sub", clean_start=False, session_expiry=60).drops()
    world.commits()  # the page comes, and nobody is there
    session = session_of(world)
    assert (session.queue.stored, session.message_count) == (6, 9)
    check_accounts(world.engine)
    says(world, 9)
    sub = world.knocks("sub", clean_start=False, session_expiry=60)
    for _ in range(6):
        world.commits()
    assert numbers(sub) == list(range(10))
    check_accounts(world.engine)


def test_a_session_that_ends_during_a_fetch_takes_nothing_with_it() -> None:  # Engine.fetched
    world = World(Options(max_queue_memory=1), journal=Ledger(is_slow=True, page=3))
    slow_keeper(world).drops()
    says(world, *range(9))
    world.commits()
    world.knocks("sub", clean_start=False, session_expiry=60)
    assert world.ledger.has_pages
    anew = world.knocks("sub", session_expiry=60)  # a clean start: another session with the same client id
    world.commits()
    assert anew.payloads == []
    assert (session_of(world).queue.stored, session_of(world).message_count) == (0, 0)
    assert world.engine.surroundings.memory == 0
    world.knocks("sub").drops()
    world.commits()
    assert world.engine.sessions == {}


def test_a_store_that_has_nothing_ends_the_wait() -> None:  # Engine.fetched: "none: there are none"
    world = spilling()
    sub = keeper(world).drops()
    says(world, *range(15))
    session = session_of(world)
    world.engine.fetched("sub", session.number, [], world.now)
    assert (session.queue.stored, session.queue.stored_bytes, session.message_count) == (0, 0, 10)
    check_accounts(world.engine)
    says(world, 15)
    assert numbers(sub.returns()) == [*range(10), 15]


def test_a_session_that_is_not_kept_drops_what_the_memory_does_not_take() -> None:  # max_queue_memory
    world = limited(max_queue_memory=2 * 601, max_inflight_messages=1)
    sub = world.client("sub", acknowledges=False).subscribes("a", qos=1)
    says(world, *range(5))
    assert session_of(world).dropped == 3
    assert drops(world) == ["sub misses a"]
    assert world.diary.reasons[-1] == "as much waits for all clients as max_queue_memory allows"
    sub.sends(PubAck(1), PubAck(2))
    assert numbers(sub) == [0, 1]
    assert world.engine.surroundings.memory == 0


def test_so_does_a_kept_one_where_nothing_is_given_back() -> None:  # telex serve --memory
    world = World(Options(max_queue_memory=3 * 601))
    sub = keeper(world).drops()
    says(world, *range(50))
    assert session_of(world).dropped == 47
    assert drops(world) == ["sub misses a"]  # once, and not 47 times
    assert numbers(sub.returns()) == [0, 1, 2]


def test_the_limits_of_its_queue_hold_for_what_waits_in_the_store() -> None:  # max_queued_messages
    world = spilling(max_queued_messages=25)
    sub = keeper(world).drops()
    says(world, *range(40))
    assert (session_of(world).dropped, session_of(world).message_count) == (15, 25)
    assert numbers(sub.returns()) == list(range(25))


def test_so_do_those_of_its_bytes() -> None:  # max_queued_bytes
    world = limited(max_queue_memory=2_000, max_queued_bytes=1_000)
    sub = keeper(world).drops()
    says(world, *[b"%0100d" % number for number in range(40)])
    assert session_of(world).queue.stored > 0
    assert (session_of(world).dropped, session_of(world).queue.bytes) == (30, 1_000)
    assert numbers(sub.returns()) == list(range(10))


def test_the_oldest_are_dropped_also_from_the_store() -> None:  # queue_drops
    world = spilling(max_queued_messages=25, queue_drops="oldest")
    sub = keeper(world).drops()
    says(world, *range(60))
    session = session_of(world)
    assert (session.dropped, session.message_count) == (35, 25)
    check_accounts(world.engine)
    assert drops(world) == ["sub misses a"]
    assert numbers(sub.returns()) == list(range(35, 60))
    assert world.engine.surroundings.memory == 0


def test_the_oldest_bytes_are_dropped_also_from_the_store() -> None:  # queue_drops
    world = limited(max_queue_memory=1, max_queued_bytes=1_000, queue_drops="oldest")
    sub = keeper(world).drops()
    says(world, *[b"%0100d" % number for number in range(40)])
    check_accounts(world.engine)
    assert session_of(world).queue.bytes == 1_000
    assert numbers(sub.returns()) == list(range(30, 40))


def test_what_is_in_flight_takes_memory_until_it_is_done() -> None:  # Surroundings.memory
    world = limited()
    sub = keeper(world, acknowledges=False)
    says(world, b"x" * 100, qos=1)
    says(world, b"y" * 100, qos=2)
    assert world.engine.surroundings.memory == 2 * 700
    sub.sends(PubAck(1), PubRec(2))
    assert world.engine.surroundings.memory == 700
    sub.sends(PubComp(2))
    assert world.engine.surroundings.memory == 0


def test_a_retained_message_counts_for_each_queue_too() -> None:  # it stays there when another has taken its place
    world = limited()
    for name in ("s1", "s2"):
        keeper(world, name).drops()
    says(world, b"x" * 5_000, retain=True)
    assert world.engine.surroundings.memory == 2 * 5_600


def test_a_session_that_ends_gives_its_memory_back() -> None:  # Surroundings.memory
    world = spilling(max_inflight_messages=2)
    sub = keeper(world, acknowledges=False)
    says(world, *range(20))
    sub.drops()
    assert world.engine.surroundings.memory > 0
    world.advance(61)
    assert world.engine.surroundings.memory == 0


@pytest.mark.parametrize("page", [0, 3])
def test_what_is_too_large_for_its_client_takes_no_memory(page: int) -> None:  # [MQTT-3.1.2-25]
    world = World(Options(max_queue_memory=1_500), journal=Ledger(page=page))
    sub = keeper(world).drops()
    says(world, b"x" * 200, b"y", b"z" * 200)
    sub = sub.returns(maximum_packet_size=100)
    assert sub.payloads == [b"y"]
    assert session_of(world).dropped == 2
    assert world.engine.surroundings.memory == 0
    check_accounts(world.engine)


SAYS = st.tuples(  # how many, QoS, bytes, seconds that they last
    st.integers(1, 6), st.integers(1, 2), st.sampled_from([3, 3, 3, 50, 300]), st.sampled_from([None] * 7 + [2])
)


@settings(deadline=None, max_examples=400)
@given(
    policy=st.sampled_from(["newest", "oldest"]),
    page=st.sampled_from([0, 1, 2, 3]),
    room=st.integers(1, 8),
    memory=st.sampled_from([1, 1_300, 3_000]),
    is_slow=st.booleans(),
    acts=st.lists(
        st.one_of(
            SAYS,
            SAYS,
            st.sampled_from(
                ["commits", "drops", "returns", "acknowledges", "acknowledges", "freezes", "thaws", "waits"]
            ),
        ),
        min_size=5,
        max_size=40,
    ),
)
def test_whatever_happens_the_accounts_are_right_and_the_order_holds(
    policy: str, page: int, room: int, memory: int, is_slow: bool, acts: list[Any]
) -> None:  # promise: memory is bounded
    options = Options(
        max_queued_messages=room,
        max_queued_bytes=500,
        queue_drops=policy,
        max_queue_memory=memory,
        max_inflight_messages=2,
        max_outbox_bytes=100,
        maximum_packet_size=1_000,
    )
    world = World(options, journal=Ledger(is_slow=is_slow, page=page))
    witness = Witness(world, slow_keeper(world) if is_slow else keeper(world, acknowledges=False))
    for act in acts:
        witness.sees(act)
        check_accounts(world.engine)
        session = session_of(world)
        waiting = session.message_count - len(session.sender.in_flight)
        # While the store is asked for the oldest, to drop them, some more may be there.
        assert waiting <= room or (session.queue.stored and policy == "oldest")
    witness.sees("returns")
    for _ in range(100):
        witness.sees("acknowledges")
        world.commits()
    session = session_of(world)
    assert (session.message_count, world.engine.surroundings.memory) == (0, 0)
    assert witness.heard == sorted(witness.heard)
    if all(act[3] is None for act in acts if isinstance(act, tuple)):
        assert len(witness.heard) + session.dropped == witness.count
    queued = {each.number for each in world.ledger.everything if isinstance(each, records.Queued)}
    assert queued == {each.number for each in world.ledger.everything if isinstance(each, records.Done)}


class Witness:
    """A client that comes and goes, reads or does not, and remembers which messages it heard, in order."""

    def __init__(self, world: World, client: Client) -> None:
        self.world = world
        self.client = client
        self.heard: list[int] = []  # each of them once
        self.count = 0  # of messages that there were for it
        self._unanswered: list[Packet] = []  # that came on this connection

    def sees(self, act: Any) -> None:
        """Live through one thing."""
        client = self.client
        if isinstance(act, tuple):
            self._is_told(*act)
        elif act == "commits":
            self.world.commits()
        elif act == "waits":
            self.world.advance(1)
        elif act == "returns":
            if client.is_connected:
                client.drops()
            self._unanswered.clear()
            self.client = self.world.knocks("sub", clean_start=False, session_expiry=60, acknowledges=False)
        elif client.is_connected:
            if act == "drops":
                client.drops()
            elif act == "freezes":
                client.freezes()
            else:
                client.thaws()
            if act == "acknowledges":
                self._answers()
        self._listens()

    def _is_told(self, count: int, qos: int, size: int, expiry: int | None) -> None:
        expires_at = None if expiry is None else self.world.now + expiry
        for _ in range(count):
            self.count += 1
            self.world.publishes(Message("a", b"%0*d" % (size, self.count), qos, expires_at=expires_at))

    def _listens(self) -> None:
        for packet in self.client.takes():
            if isinstance(packet, Publish):
                number = int(packet.payload)
                if not packet.dup or number not in self.heard:
                    self.heard.append(number)
                self._unanswered.append(packet)
            elif isinstance(packet, PubRel):
                self._unanswered.append(packet)

    def _answers(self) -> None:
        self._listens()
        unanswered, self._unanswered = self._unanswered, []
        for packet in unanswered:
            if isinstance(packet, PubRel):
                self.client.sends(PubComp(packet.packet_id))
            elif isinstance(packet, Publish):
                answer = PubAck if packet.qos == 1 else PubRec
                self.client.sends(answer(packet.packet_id))


# A client that does not read


def frozen(world: World, name: str = "slow", *, qos: int = 1, **manners: Any) -> Client:
    """A client that is connected and does not read, subscribed to ``a``."""
    return world.client(name, session_expiry=60, **manners).subscribes("a", qos=qos).freezes()


def test_qos0_beyond_the_outbox_is_dropped_and_counted() -> None:  # a slow subscriber costs only itself
    world = limited(max_outbox_bytes=KIB)
    slow = frozen(world)
    says(world, *range(1_000), qos=0)
    dropped = session_of(world, "slow").dropped
    assert dropped == world.engine.stats.publish_dropped > 700
    assert drops(world) == ["slow misses a"]
    assert slow.connection.outbox.size < KIB + 20
    assert numbers(slow.thaws()) == list(range(1_000 - dropped))


@pytest.mark.parametrize("qos", [1, 2])
def test_qos_1_and_2_wait_in_the_session(qos: int) -> None:  # a slow subscriber costs only itself
    world = limited(max_outbox_bytes=KIB)
    slow = frozen(world, qos=qos)
    says(world, *range(1_000), qos=qos)
    assert slow.connection.outbox.size < KIB + 20
    assert session_of(world, "slow").message_count == 1_000
    assert world.engine.stats.publish_dropped == 0
    assert numbers(slow.thaws()) == list(range(1_000))
    assert session_of(world, "slow").message_count == 0


def test_they_follow_as_the_client_reads_although_it_acknowledges_nothing() -> None:  # Connection.take
    world = limited(max_outbox_bytes=100, max_inflight_messages=500)
    slow = frozen(world, acknowledges=False)
    says(world, *range(300))
    assert len(session_of(world, "slow").sender.in_flight) < 20
    assert numbers(slow.thaws()) == list(range(300))


def test_what_waited_for_a_client_that_does_not_read_fills_its_outbox_and_no_more() -> None:
    # a slow subscriber costs only itself
    world = limited(max_outbox_bytes=KIB)
    sub = keeper(world).drops()
    says(world, *range(1_000))
    slow = world.new_client("sub", replace(sub.manners, clean_start=False)).freezes()
    slow.sends(slow.manners.connect("sub"))
    assert slow.connection.outbox.size < KIB + 20
    assert numbers(slow.thaws()) == list(range(1_000))


def test_what_waits_for_room_in_the_outbox_is_bounded_like_any_queue() -> None:  # max_queued_messages
    world = limited(max_outbox_bytes=100, max_queued_messages=5)
    slow = frozen(world)
    says(world, *range(100))
    session = session_of(world, "slow")
    in_flight = len(session.sender.in_flight)
    assert session.message_count == in_flight + 5
    assert session.dropped == 100 - in_flight - 5
    assert numbers(slow.thaws()) == list(range(in_flight + 5))


def test_what_waits_for_room_in_the_outbox_may_wait_in_the_store() -> None:  # max_queue_memory
    world = limited(max_outbox_bytes=100, max_queue_memory=20 * 602)
    slow = frozen(world)
    says(world, *range(100))
    assert session_of(world, "slow").queue.stored > 50
    assert numbers(slow.thaws()) == list(range(100))
    assert world.engine.surroundings.memory == 0


def test_nobody_else_is_affected() -> None:  # a slow subscriber costs only itself
    world = limited(max_outbox_bytes=KIB, max_queued_messages=10)
    frozen(world)
    fast = world.client("fast").subscribes("a", qos=1)
    pub = world.client("pub")
    for number in range(300):
        pub.publishes("a", b"%d" % number, qos=number % 2)
    assert numbers(fast) == list(range(300))
    assert session_of(world, "fast").dropped == 0


def test_qos0_and_qos1_are_told_of_apart() -> None:  # seams.py: the first of a row
    world = limited(max_outbox_bytes=100, max_queued_messages=3)
    frozen(world)
    for number in range(100):
        says(world, number, qos=number % 2)
    assert drops(world) == ["slow misses a"] * 2
    assert len(set(world.diary.reasons[-2:])) == 2


def test_a_client_that_reads_again_is_told_of_again() -> None:  # seams.py: the first of a row
    world = limited(max_outbox_bytes=100)
    slow = frozen(world)
    for row in (1, 2):
        says(world, *range(100), qos=0)
        assert len(drops(world)) == row
        slow.thaws()
        says(world, 1, qos=0)
        slow.freezes()


# Retained messages


def test_no_more_messages_are_retained_than_allowed() -> None:  # max_retained_messages
    world = limited(max_retained_messages=3)
    pub = world.client("pub")
    for number in range(3):
        pub.publishes(f"t/{number}", b"x", qos=1, retain=True)
    pub.sends(Publish("t/3", b"x", 1, retain=True, packet_id=1), Publish("t/3", b"x", 2, retain=True, packet_id=2))
    assert pub.takes() == [PubAck(1, 0x97), PubRec(2, 0x97)]
    assert pub.reasons[0] == "the broker retains as much as it may"
    assert world.engine.retained.count == 3
    pub.publishes("t/0", b"", qos=1, retain=True).publishes("t/3", b"x", qos=1, retain=True)
    assert world.engine.retained.count == 3


def test_no_more_bytes_are_retained_than_allowed() -> None:  # max_retained_bytes
    world = limited(max_retained_bytes=100)
    pub = world.client("pub").publishes("a", b"x" * 60, qos=1, retain=True)
    pub.sends(Publish("b", b"x" * 41, 1, retain=True, packet_id=1))
    assert pub.takes() == [PubAck(1, 0x97)]
    pub.publishes("b", b"x" * 40, qos=1, retain=True).publishes("b", b"", qos=1, retain=True)
    pub.publishes("a", b"y" * 100, qos=1, retain=True)
    pub.sends(Publish("a", b"z" * 101, 1, retain=True, packet_id=2))
    assert pub.takes() == [PubAck(2, 0x97)]
    assert [each.payload for each in world.engine.retained.all()] == [b"y" * 100]


def test_what_is_refused_goes_nowhere() -> None:  # max_retained_messages: it is a refusal, and not a half
    world = limited(max_retained_messages=1)
    sub = world.client("sub").subscribes("#", qos=2)
    pub = world.client("pub").publishes("a", b"x", qos=1, retain=True)
    pub.sends(Publish("b", b"x", 1, retain=True, packet_id=1), Publish("b", b"x", 2, retain=True, packet_id=2))
    assert sub.topics == ["a"]
    assert world.engine.stats.publish_dropped == 0  # its publisher knows
    assert drops(world) == []


@pytest.mark.parametrize(("version", "qos"), [(3, 1), (4, 0), (4, 1), (4, 2), (5, 0)])
def test_what_cannot_be_refused_is_delivered_and_not_retained(version: int, qos: int) -> None:
    # max_retained_messages: counted, and told of once
    world = limited(max_retained_messages=1)
    sub = world.client("sub").subscribes("#", qos=2)
    pub = world.client("pub", version=version).publishes("a", b"x", retain=True)
    for _ in range(5):
        pub.publishes("b", b"x", qos=qos, retain=True)
    assert sub.topics == ["a"] + ["b"] * 5
    assert [each.topic for each in world.engine.retained.all()] == ["a"]
    assert world.engine.stats.publish_dropped == 5
    assert drops(world) == ["pub misses b"]
    assert world.ledger.lines.count("Retain b") == 0


def test_the_former_message_stays_where_a_larger_one_is_not_taken() -> None:  # max_retained_bytes
    world = limited(max_retained_bytes=10)
    pub = world.client("pub").publishes("a", b"x", retain=True).publishes("a", b"y" * 11, retain=True)
    assert world.client("late").subscribes("a").payloads == [b"x"]
    pub.publishes("a", b"", retain=True)
    assert (world.engine.retained.count, world.engine.retained.bytes) == (0, 0)


def test_a_will_that_cannot_be_retained_is_delivered() -> None:  # R5: limits hold for wills, too
    world = limited(max_retained_messages=1)
    sub = world.client("sub").subscribes("#")
    world.client("pub", will=Will("w", b"lost", retain=True)).publishes("a", b"x", retain=True).drops()
    assert sub.payloads == [b"x", b"lost"]
    assert [each.topic for each in world.engine.retained.all()] == ["a"]


def test_each_row_of_messages_that_are_not_retained_is_told_of() -> None:  # seams.py: the first of a row
    world = limited(max_retained_messages=1)
    pub = world.client("pub").publishes("a", b"x", retain=True)
    for row in (1, 2):
        for _ in range(3):
            pub.publishes("b", b"x", retain=True)
        assert len(drops(world)) == row
        pub.publishes("a", b"y", retain=True)


# Sessions


def refusal(world: World, name: str, **manners: Any) -> int:
    """The code that a client is refused with; 0 if it is not."""
    client = world.knocks(name, **manners)
    connack = client.got[0]
    assert isinstance(connack, ConnAck)
    assert client.is_connected is (connack.reason_code == 0)
    return connack.reason_code


@pytest.mark.parametrize(("version", "code"), [(3, 3), (4, 3), (5, 0x97)])
def test_no_more_sessions_begin_than_allowed(version: int, code: int) -> None:  # max_sessions
    world = limited(max_sessions=2)
    away = world.client("away", session_expiry=60).drops()
    here = world.client("here")
    assert refusal(world, "new", version=version) == code
    assert world.diary.reasons[-1].startswith("there are 2 sessions, as many as max_sessions allows")
    away.returns()
    here.drops()
    assert refusal(world, "new", version=version) == 0
    assert len(world.engine.sessions) == 2


def test_whoever_has_a_session_gets_it() -> None:  # max_sessions
    world = limited(max_sessions=1)
    assert refusal(world, "c", session_expiry=60) == 0
    assert refusal(world, "c", session_expiry=60) == 0  # takes over, with a clean start
    assert refusal(world, "c", clean_start=False) == 0
    assert refusal(world, "d") == 0x97
    assert refusal(world, "") == 0x97


def test_who_is_refused_leaves_nothing_behind() -> None:  # max_sessions
    world = limited(max_sessions=1)
    sub = world.client("c").subscribes("w")
    assert refusal(world, "d", session_expiry=60, will=Will("w", b"x")) == 0x97
    assert sub.payloads == []
    assert world.ledger.lines == []


@pytest.mark.parametrize("version", [3, 4])
def test_a_v3_session_ends_after_its_time(version: int) -> None:  # v3_session_expiry
    world = limited(v3_session_expiry=20)
    client = world.client("c", version=version, clean_start=False).drops()
    world.advance(19)
    client = client.returns().drops()
    world.advance(19)
    assert "c" in world.engine.sessions
    world.advance(2)
    assert "c" not in world.engine.sessions
    assert world.engine.stats.clients_expired == 1


def test_the_limit_of_all_sessions_holds_for_v3_too() -> None:  # maximum_session_expiry
    world = limited(v3_session_expiry=1_000, maximum_session_expiry=20)
    world.client("c", version=4, clean_start=False).drops()
    world.advance(21)
    assert world.engine.sessions == {}


def test_v3_sessions_may_be_kept_for_ever_and_not_at_all() -> None:  # v3_session_expiry
    world = limited(v3_session_expiry=NEVER_EXPIRES)
    world.client("c", version=4, clean_start=False).drops()
    world.engine.tick(world.now + 2**33)
    assert "c" in world.engine.sessions
    world = limited(v3_session_expiry=0)
    world.client("c", version=4, clean_start=False).drops()
    assert world.engine.sessions == {}


def test_a_v5_client_says_itself_how_long() -> None:  # section 3.1.2.11.2
    world = limited(v3_session_expiry=5)
    world.client("c", session_expiry=50).drops()
    world.advance(49)
    assert "c" in world.engine.sessions


# Subscriptions


@pytest.mark.parametrize(("version", "code"), [(3, 1), (4, 0x80), (5, 0x97)])
def test_a_session_has_no_more_subscriptions_than_allowed(version: int, code: int) -> None:  # max_subscriptions
    world = limited(max_subscriptions=2)
    client = world.client("c", version=version).subscribes("a", qos=1)
    client.sends(Subscribe(1, [Request("b", 1), Request("c", 1), Request("a", 1)]))
    assert client.takes() == [SubAck(1, [1, code, 1])]  # v3.1 knows no refusal
    says(world, 1, topic="c")
    assert client.payloads == []
    assert world.engine.subscriptions.count == 2
    client.unsubscribes("a")
    client.subscribes("c", qos=1)


def test_others_have_their_own() -> None:  # max_subscriptions
    world = limited(max_subscriptions=1)
    for name in ("one", "two", "three"):
        world.client(name).subscribes("a")
    assert world.engine.subscriptions.count == 3


def test_a_session_that_comes_back_keeps_its_count() -> None:  # max_subscriptions
    world = limited(max_subscriptions=2)
    client = world.client("c", session_expiry=60).subscribes("a", "b")
    world.restarts()
    client = client.returns().sends(Subscribe(1, [Request("c")]))
    assert client.got == [SubAck(1, [0x97])]
    assert client.reasons == ["it has 2 subscriptions already"]


# Options


def test_a_policy_that_there_is_not_is_refused() -> None:  # queue_drops
    assert Options().queue_drops == "newest"
    assert Options(queue_drops="oldest").queue_drops == "oldest"
    with pytest.raises(ValueError, match="queue_drops is 'random', expected one of newest, oldest"):
        Options(queue_drops="random")


def test_every_limit_has_a_default_that_suits_a_small_server() -> None:  # docs/limits.md
    options = Options()
    # Together well below a gigabyte, however many clients there are.
    assert options.max_queue_memory + options.max_retained_bytes < 400 * KIB * KIB
    assert options.max_outbox_bytes <= 16 * KIB * KIB
    assert options.v3_session_expiry == 30 * 86_400


# When all is over


def test_when_all_is_over_nothing_is_left() -> None:  # promise: memory is bounded
    world = spilling(max_inflight_messages=3, max_outbox_bytes=200)
    for name in ("one", "two", "three"):
        keeper(world, name, acknowledges=False)
    slow = frozen(world, acknowledges=False)
    world.client("passing", acknowledges=False).subscribes("a", qos=2)
    for qos in (1, 2, 0) * 10:
        says(world, *range(5), qos=qos)
    check_accounts(world.engine)
    slow.thaws()
    for name in ("one", "two", "three", "slow"):
        client = world.client(name, clean_start=False, session_expiry=60)
        assert session_of(world, name).message_count == 0, name
        client.drops()
        assert (session_of(world, name).queue.bytes, session_of(world, name).queue.stored) == (0, 0)
    world.client("passing").drops()
    assert world.engine.surroundings.memory == 0
    alive = {record.number for record in world.ledger.everything if isinstance(record, records.Queued)}
    done = {record.number for record in world.ledger.everything if isinstance(record, records.Done)}
    assert alive == done
