"""Retained messages that are forgotten after a time that the broker sets (``retained_expiry``)."""

import pytest

from telex.engine.message import Message
from telex.engine.options import Options
from telex.wire.packets import Publish, Will
from telex.wire.properties import Properties
from tests.conformance.marks import edge
from tests.engine.replaying import Snapshot, check_turn, restored
from tests.engine.world import Client, Ledger, World

LIFE = 100  # seconds

VERSIONS = pytest.mark.parametrize("version", [3, 4, 5])
EACH_QOS = pytest.mark.parametrize("qos", [0, 1, 2])


@pytest.fixture
def world() -> World:
    return World(Options(retained_expiry=LIFE), journal=Ledger())


def expiry(seconds: int) -> Properties:
    """A Message Expiry Interval."""
    return Properties(message_expiry_interval=seconds)


def left(client: Client) -> list[int | None]:
    """The Message Expiry Interval of each message that a client got; None: it has none."""
    return [None if each.properties is None else each.properties.message_expiry_interval for each in client.messages]


@VERSIONS
@EACH_QOS
def test_a_retained_message_is_forgotten_in_time(world: World, version: int, qos: int) -> None:
    world.client("pub", version=version).publishes("a", b"x", qos=qos, retain=True)
    world.advance(LIFE - 1)
    assert world.client("early", version=version).subscribes("a").payloads == [b"x"]
    world.advance(1)
    assert world.client("late", version=version).subscribes("a").payloads == []
    assert world.engine.retained.count == 0
    assert world.engine.retained.bytes == 0


def test_it_is_forgotten_although_nobody_asks(world: World) -> None:
    world.client("pub").publishes("a", b"x", retain=True)
    world.advance(LIFE + 1)
    assert world.engine.retained.count == 0
    assert world.ledger.takes() == ["Retain a", "Unretain a"]


@pytest.mark.parametrize("stored", [3, 4, 5])
def test_a_v5_subscriber_is_told_what_is_left(world: World, stored: int) -> None:  # [MQTT-3.3.2-6]
    world.client("pub", version=stored).publishes("a", b"x", retain=True)
    world.advance(30)
    assert left(world.client("sub").subscribes("a")) == [LIFE - 30]


@pytest.mark.parametrize("version", [3, 4])
def test_a_v3_subscriber_gets_it_plain(world: World, version: int) -> None:
    world.client("pub").publishes("a", b"x", retain=True)
    sub = world.client("sub", version=version).subscribes("a")
    assert sub.got == [Publish("a", b"x", retain=True)]


@VERSIONS
@EACH_QOS
@pytest.mark.parametrize("retain_as_published", [False, True])
def test_who_listens_sees_no_expiry_that_the_publisher_did_not_give(
    world: World, version: int, qos: int, retain_as_published: bool
) -> None:
    sub = world.client("sub").subscribes("a", qos=qos, retain_as_published=retain_as_published)
    world.client("pub", version=version).publishes("a", b"x", qos=qos, retain=True)
    assert left(sub) == [None]
    assert [(each.payload, each.qos, each.retain) for each in sub.messages] == [(b"x", qos, retain_as_published)]


def test_a_message_that_is_not_retained_has_no_end(world: World) -> None:
    sub = world.client("sub", session_expiry=1_000).subscribes("a", qos=1).drops()
    world.client("pub").publishes("a", b"x", qos=1)
    world.advance(LIFE * 2)
    again = sub.returns()
    assert (again.payloads, left(again)) == ([b"x"], [None])


def test_a_live_message_that_waits_outlives_what_is_retained_of_it(world: World) -> None:
    sub = world.client("sub", session_expiry=1_000).subscribes("a", qos=1).drops()
    world.client("pub").publishes("a", b"x", qos=1, retain=True)
    world.advance(LIFE * 2)
    assert world.engine.retained.count == 0
    assert sub.returns().payloads == [b"x"]


@pytest.mark.parametrize(("given", "live", "kept"), [(50, 50, 50), (LIFE, LIFE, LIFE), (500, 500, LIFE)])
@edge("R4")
def test_the_shorter_time_holds_for_what_is_retained(world: World, given: int, live: int, kept: int) -> None:
    sub = world.client("sub").subscribes("a")
    world.client("pub").publishes("a", b"x", retain=True, properties=expiry(given))
    assert left(sub) == [live]
    assert left(world.client("new").subscribes("a")) == [kept]
    world.advance(kept)
    assert world.client("late").subscribes("a").payloads == []


def test_other_properties_stay(world: World) -> None:  # [MQTT-3.3.2-17]
    said = Properties(content_type="text", user_properties=(("k", "v"),), response_topic="r", correlation_data=b"c")
    sub = world.client("sub").subscribes("a")
    world.client("pub").publishes("a", b"x", retain=True, properties=said)
    (live,) = sub.messages
    (stored,) = world.client("new").subscribes("a").messages
    assert stored.properties is not None
    assert stored.properties.message_expiry_interval == LIFE
    stored.properties.message_expiry_interval = None
    assert live.properties == stored.properties
    assert stored.properties.content_type == "text"
    assert stored.properties.correlation_data == b"c"


def test_a_new_message_begins_a_new_life(world: World) -> None:
    pub = world.client("pub").publishes("a", b"1", retain=True)
    world.advance(60)
    pub.publishes("a", b"2", retain=True)
    world.advance(60)
    sub = world.client("sub").subscribes("a")
    assert (sub.payloads, left(sub)) == ([b"2"], [LIFE - 60])
    world.advance(40)
    assert world.engine.retained.count == 0


def test_a_message_that_was_cleared_does_not_end_its_successor(world: World) -> None:
    pub = world.client("pub").publishes("a", b"1", retain=True)
    world.advance(99)
    pub.publishes("a", b"", retain=True).publishes("a", b"2", retain=True)
    world.advance(50)
    assert world.client("sub").subscribes("a").payloads == [b"2"]


def test_to_be_read_makes_it_no_younger(world: World) -> None:
    world.client("pub").publishes("a", b"x", retain=True)
    sub = world.client("sub")
    for _ in range(4):
        world.advance(20)
        sub.subscribes("a")
    assert left(sub) == [80, 60, 40, 20]


def test_a_will_is_retained_as_long_as_other_messages(world: World) -> None:
    sub = world.client("sub").subscribes("w")
    world.client("c", will=Will("w", b"x", retain=True)).drops()
    assert left(sub) == [None]
    assert left(world.client("new").subscribes("w")) == [LIFE]
    world.advance(LIFE)
    assert world.engine.retained.count == 0


@edge("R4")
def test_a_retained_message_that_waits_for_a_client_is_not_sent_late(world: World) -> None:  # [MQTT-3.3.2-5]
    world.client("pub").publishes("a", b"1", qos=1, retain=True).publishes("b", b"2", qos=1, retain=True)
    sub = world.client("sub", session_expiry=1_000, receive_maximum=1, acknowledges=False)
    sub.subscribes("a", qos=1).subscribes("b", qos=1)
    assert sub.payloads == [b"1"]
    sub.drops()
    world.advance(LIFE)
    assert sub.returns(acknowledges=True).payloads == [b"1"]  # in flight since before; the other one is over


def test_it_makes_room_for_others_when_it_is_forgotten() -> None:
    world = World(Options(retained_expiry=LIFE, max_retained_messages=1))
    pub = world.client("pub").publishes("a", b"x", retain=True).publishes("b", b"x", retain=True)
    assert world.client("sub").subscribes("#").topics == ["a"]
    world.advance(LIFE)
    pub.publishes("b", b"x", retain=True)
    assert world.client("sub").subscribes("#").topics == ["b"]


def test_no_local_still_knows_who_published_it(world: World) -> None:  # [MQTT-3.8.3-3]
    client = world.client("c").publishes("a", b"x", retain=True).subscribes("a", no_local=True)
    assert client.payloads == []
    assert world.client("other").subscribes("a", no_local=True).payloads == [b"x"]


# What the broker says of itself


@pytest.mark.parametrize("topic", ["$SYS/broker/uptime", "$SYS/broker/version"])
def test_what_the_broker_says_of_itself_does_not_end(world: World, topic: str) -> None:
    world.publishes(Message(topic, b"x", 0, True))
    world.advance(LIFE * 10)
    sub = world.client("sub").subscribes("$SYS/#")
    assert (sub.topics, left(sub)) == ([topic], [None])
    assert world.ledger.takes() == []


def test_what_a_bridge_says_there_ends_like_other_messages(world: World) -> None:
    world.client("bridge").publishes("$SYS/broker/connection/b/state", b"1", retain=True)
    world.advance(LIFE)
    assert world.client("sub").subscribes("$SYS/#").payloads == []


def test_what_the_broker_publishes_elsewhere_ends_like_other_messages(world: World) -> None:
    world.publishes(Message("a", b"x", 0, True))
    assert left(world.client("sub").subscribes("a")) == [LIFE]
    world.advance(LIFE)
    assert world.engine.retained.count == 0


# A broker without such a time


def test_by_default_nothing_is_forgotten() -> None:
    world = World()
    world.client("pub").publishes("a", b"x", retain=True)
    world.advance(1_000_000)
    sub = world.client("sub").subscribes("a")
    assert (sub.payloads, left(sub)) == ([b"x"], [None])


# After a restart


@edge("R4")
def test_a_restart_makes_it_no_younger(world: World) -> None:
    world.client("pub").publishes("a", b"x", qos=1, retain=True)
    world.advance(30)
    world.restarts(after=30)
    assert left(world.client("sub").subscribes("a")) == [LIFE - 60]
    world.advance(40)
    assert world.engine.retained.count == 0
    assert "Unretain a" in world.ledger.takes()


@edge("R4")
def test_what_ended_while_the_broker_was_away_is_not_there(world: World) -> None:
    world.client("pub").publishes("a", b"x", retain=True).publishes("b", b"x", retain=True, properties=expiry(10))
    world.restarts(after=50)
    assert world.client("sub").subscribes("#").topics == ["a"]
    world.restarts(after=50)
    assert world.client("sub").subscribes("#").topics == []
    world.advance(1)
    assert world.engine.retained.count == 0


def test_another_time_holds_for_what_comes_after_the_restart(world: World) -> None:
    world.client("pub").publishes("old", b"x", retain=True)
    world.options = Options(retained_expiry=LIFE * 10)
    world.restarts()
    world.client("pub").publishes("new", b"x", retain=True)
    sub = world.client("sub").subscribes("old", "new")
    assert dict(zip(sub.topics, left(sub), strict=True)) == {"old": LIFE, "new": LIFE * 10}


def test_the_records_of_a_whole_life_make_an_equal_broker(world: World) -> None:
    pub = world.client("pub", session_expiry=500)
    world.client("c", will=Will("w", b"x", retain=True), session_expiry=500).subscribes("#", qos=1).drops()

    def check() -> None:
        everything = world.ledger.everything[:]
        check_turn(world.options, everything, Snapshot(world.engine, len(everything), world.now))

    for step in range(30):
        topic = f"{step % 4}"
        payload = b"" if step % 7 == 6 else b"%d" % step
        pub.publishes(topic, payload, qos=step % 3, retain=step % 5 != 4, properties=expiry(7 * step + 1))
        check()
        world.advance(9)
        check()


def test_a_restored_message_knows_its_end_to_the_second(world: World) -> None:
    world.client("pub").publishes("a", b"x", retain=True)
    began = world.now
    for later in (0.0, 50.0, LIFE - 1.0):
        engine = restored(world.options, world.ledger.everything[:], began + later)
        message = engine.retained.get("a", began + later)
        assert message is not None
        assert message.expires_at == began + LIFE
    engine = restored(world.options, world.ledger.everything[:], began + LIFE)
    assert engine.retained.get("a", began + LIFE) is None
