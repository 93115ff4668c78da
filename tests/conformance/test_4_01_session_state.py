"""Session State: what a client id remembers, how long, and who may go on with it (section 4.1; take-over, 3.1.4)."""

import pytest

from telex.wire.packets import Disconnect, PubAck, PubComp, Publish, PubRec, PubRel, Will
from telex.wire.properties import Properties
from tests.conformance.marks import each_version, edge, mqtt
from tests.conformance.words import kept
from tests.engine.world import World

TAKEN_OVER = Disconnect(0x8E)


# As long as the connection is open


@mqtt("MQTT-4.1.0-1")
@mqtt("MQTT-4.1.0-2", v3=True)
@each_version
def test_a_subscription_lasts_as_long_as_its_connection(engine: World, version: int) -> None:
    sub = engine.client("sub", version=version).subscribes("a", qos=2)
    engine.advance(1_000_000)
    engine.client("pub").publishes("a", b"x", qos=2)
    assert sub.payloads == [b"x"]


@mqtt("MQTT-4.1.0-1")
def test_the_session_expiry_interval_does_not_run_while_the_connection_is_open(engine: World) -> None:
    sub = engine.client("sub", session_expiry=1).subscribes("a", qos=2)
    engine.advance(1_000)
    engine.client("pub").publishes("a", b"x", qos=2)
    assert sub.payloads == [b"x"]
    assert sub.drops().returns().session_present


@mqtt("MQTT-4.1.0-1")
@mqtt("MQTT-4.1.0-2", v3=True)
@each_version
def test_exchanges_last_as_long_as_their_connection(engine: World, version: int) -> None:
    sub = engine.client("sub", version=version, acknowledges=False).subscribes("a", qos=2)
    pub = engine.client("pub", version=version).sends(Publish("a", b"x", 2, packet_id=7))
    assert pub.takes() == [PubRec(7)]
    (message,) = sub.messages
    sub.takes()
    engine.advance(1_000_000)
    assert pub.sends(Publish("a", b"x", 2, packet_id=7, dup=True), PubRel(7)).takes() == [PubRec(7), PubComp(7)]
    assert sub.sends(PubRec(message.packet_id)).takes() == [PubRel(message.packet_id)]


@mqtt("MQTT-4.1.0-1")
@mqtt("MQTT-4.1.0-2", v3=True)
@each_version
def test_the_comings_and_goings_of_others_take_nothing_away(world: World, version: int) -> None:
    sub = world.client("sub", version=version).subscribes("a", qos=1)
    for _ in range(3):
        world.client("other", version=version).subscribes("a").unsubscribes("a").disconnects()
        world.client("pub", version=version).publishes("a", b"x", qos=1).drops()
    assert sub.payloads == [b"x", b"x", b"x"]


# What is kept when the connection is closed


@mqtt("MQTT-4.1.0-1")
@each_version
def test_a_kept_session_has_all_its_parts_when_its_client_returns(world: World, version: int) -> None:
    other = world.client("other").subscribes("b", qos=2)
    pub = world.client("pub")
    client = kept(world, "c", version, acknowledges=False).subscribes("a", qos=2)
    pub.publishes("a", b"sent", qos=1)
    client.sends(Publish("b", b"owned", 2, packet_id=7)).drops()
    pub.publishes("a", b"waiting", qos=2)
    client = client.returns()
    assert client.session_present
    assert [(message.payload, message.dup) for message in client.messages] == [(b"sent", True), (b"waiting", False)]
    pub.publishes("a", b"live", qos=1)
    assert client.payloads == [b"sent", b"waiting", b"live"]
    client.takes()
    assert client.sends(Publish("b", b"owned", 2, packet_id=7, dup=True), PubRel(7)).got == [PubRec(7), PubComp(7)]
    assert other.payloads == [b"owned"]


@each_version
def test_a_kept_session_is_kept_after_disconnect_as_after_a_loss(world: World, version: int) -> None:
    # Section 4.1: the connection may end in either way.
    client = kept(world, "c", version).subscribes("a", qos=1).disconnects()
    world.client("pub").publishes("a", b"x", qos=1)
    client = client.returns()
    assert client.session_present
    assert client.payloads == [b"x"]


# What is forgotten, and when


@mqtt("MQTT-4.1.0-2")
@pytest.mark.parametrize(("seconds", "is_present"), [(9, True), (11, False)])
def test_a_session_is_forgotten_when_its_expiry_interval_has_passed(
    engine: World, seconds: int, is_present: bool
) -> None:
    client = engine.client("c", session_expiry=10, acknowledges=False).subscribes("a", qos=2)
    pub = engine.client("pub").publishes("a", b"sent", qos=1)
    client.drops()
    pub.publishes("a", b"waiting", qos=1)
    engine.advance(seconds)
    client = client.returns()
    assert client.session_present is is_present
    assert client.payloads == ([b"sent", b"waiting"] if is_present else [])
    client.takes()
    pub.publishes("a", b"live", qos=1)
    assert client.payloads == ([b"live"] if is_present else [])


@mqtt("MQTT-4.1.0-2")
def test_the_interval_begins_anew_with_each_close(engine: World) -> None:
    client = engine.client("c", session_expiry=10).drops()
    for _ in range(5):
        engine.advance(9)
        client = client.returns()
        assert client.session_present
        client.drops()
    engine.advance(11)
    assert not client.returns().session_present


@mqtt("MQTT-4.1.0-2")
@pytest.mark.parametrize("expiry", [None, 0])
def test_a_session_without_an_expiry_interval_ends_with_its_connection(world: World, expiry: int | None) -> None:
    other = world.client("other").subscribes("b", qos=2)
    client = world.client("c", session_expiry=expiry, acknowledges=False).subscribes("a", qos=2)
    pub = world.client("pub").publishes("a", b"sent", qos=1)
    client.sends(Publish("b", b"owned", 2, packet_id=7)).drops()
    pub.publishes("a", b"missed", qos=1)
    client = client.returns()
    assert not client.session_present
    pub.publishes("a", b"live", qos=1)
    assert client.got == []
    client.sends(Publish("b", b"a new one", 2, packet_id=7), PubRel(7))
    assert other.payloads[-1:] == [b"a new one"]


@mqtt("MQTT-4.1.0-2")
def test_a_session_may_be_ended_by_its_last_word(world: World) -> None:
    client = world.client("c", session_expiry=60).subscribes("a", qos=1).disconnects(session_expiry=0)
    pub = world.client("pub").publishes("a", b"missed", qos=1)
    client = client.returns()
    assert not client.session_present
    pub.publishes("a", b"live", qos=1)
    assert client.got == []


# A second connection of the same client


@edge("T1")
@mqtt("MQTT-3.1.4-3")
def test_a_connection_that_is_taken_over_is_told_and_closed(world: World) -> None:
    old = world.client("c")
    new = world.client("c")
    assert old.got == [TAKEN_OVER]
    assert not old.is_connected
    assert new.is_connected


@edge("T1")
@mqtt("MQTT-3.1.4-2", v3=True)
def test_a_v3_connection_that_is_taken_over_is_closed_without_a_word(world: World) -> None:
    old = world.client("c", version=4)
    new = world.client("c", version=4)
    assert old.got == []
    assert not old.is_connected
    assert new.is_connected


@edge("T1")
@each_version
def test_the_old_connection_is_closed_before_the_new_one_is_let_in(engine: World, version: int) -> None:
    engine.client("c", version=version)
    engine.client("c", version=version)
    address = "c.test"
    assert engine.diary.lines == [
        f"c connected from {address}",
        f"c disconnected from {address}",
        f"c connected from {address}",
    ]


@edge("T1")
@each_version
def test_an_old_connection_that_does_not_read_holds_up_nobody(engine: World, version: int) -> None:
    old = engine.client("c", version=version).freezes()
    new = engine.client("c", version=version).subscribes("a")
    engine.client("pub").publishes("a", b"x")
    assert new.payloads == [b"x"]
    assert old.thaws().got == ([TAKEN_OVER] if version == 5 else [])


@edge("T2")
@each_version
def test_the_late_end_of_the_old_connection_touches_nothing_of_the_new_one(engine: World, version: int) -> None:
    watcher = engine.client("watcher").subscribes("w")
    old = kept(engine, "c", version, will=Will("w", b"old")).subscribes("a", qos=1).freezes()
    new = kept(engine, "c", version, will=Will("w", b"new"))
    assert watcher.payloads == [b"old"]
    watcher.takes()
    old.thaws()
    old.drops()  # only now its socket is gone
    assert new.is_connected
    assert watcher.got == []
    engine.client("pub").publishes("a", b"x", qos=1)
    assert new.payloads == [b"x"]
    new.drops()
    assert watcher.payloads == [b"new"]


@edge("T2")
@each_version
def test_the_new_connection_has_the_subscriptions_and_its_own_will(world: World, version: int) -> None:
    watcher = world.client("watcher").subscribes("w")
    old = kept(world, "c", version, will=Will("w", b"old")).subscribes("a", qos=1)
    new = kept(world, "c", version, will=Will("w", b"new"))
    assert not old.is_connected
    world.client("pub").publishes("a", b"x", qos=1)
    assert new.payloads == [b"x"]
    watcher.takes()
    new.drops()
    assert watcher.payloads == [b"new"]
    world.client("pub").publishes("a", b"y", qos=1)
    assert new.returns().payloads == [b"y"]


@edge("T2")
@each_version
def test_a_take_over_goes_on_with_what_is_in_flight(world: World, version: int) -> None:
    old = kept(world, "c", version, acknowledges=False).subscribes("a", qos=2)
    world.client("pub").publishes("a", b"x", qos=1)
    (first,) = old.messages
    new = kept(world, "c", version, acknowledges=False)
    assert new.got == [Publish("a", b"x", 1, dup=True, packet_id=first.packet_id)]
    assert new.sends(PubAck(first.packet_id)).drops().returns().got == []


@edge("T3")
@mqtt("MQTT-3.1.2-8", v3=True)
@pytest.mark.parametrize("clean", [False, True])
def test_an_old_v3_will_is_published(world: World, clean: bool) -> None:
    watcher = world.client("watcher").subscribes("w")
    world.client("c", version=4, clean_start=clean, will=Will("w", b"lost"))
    world.client("c", version=4, clean_start=clean)
    assert watcher.payloads == [b"lost"]


WILLS = pytest.mark.parametrize(
    ("expiry", "delay", "clean_start", "is_published"),
    [
        pytest.param(60, 0, False, True, id="does not wait"),
        pytest.param(60, 10, False, False, id="waits, and the session goes on"),
        pytest.param(60, 10, True, True, id="waits, but the session ends"),
        pytest.param(0, 10, False, True, id="waits, but the session ended with its connection"),
        pytest.param(0, 0, True, True, id="neither waits nor goes on"),
    ],
)


@edge("T3")
@mqtt("MQTT-3.1.2-8", "MQTT-3.1.3-9")
@WILLS
def test_an_old_v5_will_is_published_unless_it_waits_and_the_session_goes_on(
    world: World, expiry: int, delay: int, clean_start: bool, is_published: bool
) -> None:
    watcher = world.client("watcher").subscribes("w")
    will = Will("w", b"lost", properties=Properties(will_delay_interval=delay))
    world.client("c", session_expiry=expiry, will=will)
    world.client("c", session_expiry=expiry, clean_start=clean_start)
    assert watcher.payloads == ([b"lost"] if is_published else [])


@edge("T3")
@mqtt("MQTT-3.1.2-10", "MQTT-3.1.3-9")
@WILLS
def test_an_old_v5_will_is_never_published_later(
    engine: World, expiry: int, delay: int, clean_start: bool, is_published: bool
) -> None:
    watcher = engine.client("watcher").subscribes("w")
    will = Will("w", b"lost", properties=Properties(will_delay_interval=delay))
    engine.client("c", session_expiry=expiry, will=will)
    engine.client("c", session_expiry=expiry, clean_start=clean_start)
    engine.advance(100)
    assert len(watcher.payloads) == is_published
