"""What a client id remembers, and for how long (sections 3.1.2.4, 3.1.2.11.2 and 4.1)."""

import pytest

from telex.codes import NEVER_EXPIRES, ReasonCode
from telex.engine.options import Options
from telex.wire.packets import Disconnect, Publish
from telex.wire.properties import Properties
from tests.engine.world import World


def test_a_new_session_is_not_present(world: World) -> None:  # [MQTT-3.1.2-6] [MQTT-3.2.2-3]
    assert not world.client("c", clean_start=False, session_expiry=60).session_present
    assert not world.client("d", clean_start=False, version=4).session_present


def test_a_kept_session_is_present_when_its_client_returns(world: World) -> None:  # [MQTT-3.1.2-5] [MQTT-3.2.2-3]
    for client in (world.client("c", session_expiry=60), world.client("d", clean_start=False, version=4)):
        assert client.drops().returns().session_present


@pytest.mark.parametrize("version", [4, 5])
def test_a_clean_start_begins_anew(world: World, version: int) -> None:  # [MQTT-3.1.2-4] [MQTT-3.2.2-2]
    expiry = 60 if version == 5 else None
    old = world.client("c", version=version, clean_start=False, session_expiry=expiry).subscribes("a", qos=1)
    old.drops()
    world.client("pub").publishes("a", b"waits", qos=1)
    new = old.returns(clean_start=True)
    assert not new.session_present
    world.client("pub").publishes("a", b"x", qos=1)
    assert new.got == []


def test_a_clean_v3_session_ends_with_its_connection(world: World) -> None:  # v3 [MQTT-3.1.2-6]
    old = world.client("c", version=4).subscribes("a", qos=1).drops()
    new = old.returns()
    assert not new.session_present
    world.client("pub").publishes("a", b"x", qos=1)
    assert new.got == []


def test_a_v31_client_is_not_told_of_its_session_but_has_it(
    world: World,
) -> None:  # MQTT 3.1 section 3.2: a reserved byte
    new = world.client("c", version=3, clean_start=False).subscribes("a").drops().returns()
    assert not new.session_present
    world.client("pub").publishes("a", b"x")
    assert new.payloads == [b"x"]


def test_subscriptions_outlive_the_connection(world: World) -> None:  # [MQTT-3.1.2-23]
    new = world.client("c", session_expiry=60).subscribes("a", "b/+", qos=2).drops().returns()
    world.client("pub").publishes("a", b"1", qos=1).publishes("b/c", b"2", qos=2)
    assert new.payloads == [b"1", b"2"]


@pytest.mark.parametrize("qos", [1, 2])
def test_what_is_acknowledged_while_the_client_is_away_waits_for_it(world: World, qos: int) -> None:
    # [MQTT-4.5.0-1], v3 [MQTT-3.1.2-5], S6
    sub = world.client("sub", session_expiry=60).subscribes("a", qos=2).drops()
    world.client("pub").publishes("a", b"1", qos=qos).publishes("a", b"2", qos=qos)
    assert sub.returns().payloads == [b"1", b"2"]


def test_qos0_does_not_wait(world: World) -> None:  # section 4.1
    sub = world.client("sub", session_expiry=60).subscribes("a", qos=2).drops()
    world.client("pub").publishes("a", b"gone")
    assert sub.returns().got == []


def test_qos_counts_that_the_subscription_was_granted(world: World) -> None:  # [MQTT-3.8.4-8]
    sub = world.client("sub", session_expiry=60).subscribes("a", qos=0).drops()
    world.client("pub").publishes("a", b"gone", qos=2)
    assert sub.returns().got == []


def test_what_waited_comes_once(world: World) -> None:  # [MQTT-4.4.0-1]
    sub = world.client("sub", session_expiry=60).subscribes("a", qos=1).drops()
    world.client("pub").publishes("a", b"x", qos=1)
    again = sub.returns()
    assert again.payloads == [b"x"]
    assert again.drops().returns().got == []


def test_what_waits_is_new_and_not_a_repeat(world: World) -> None:  # [MQTT-3.3.1-1] [MQTT-4.3.2-2]
    sub = world.client("sub", session_expiry=60).subscribes("a", qos=1).drops()
    world.client("pub").publishes("a", b"x", qos=1)
    assert sub.returns().got == [Publish("a", b"x", qos=1, packet_id=1)]


def test_a_session_works_on_after_many_returns(world: World) -> None:  # [MQTT-3.1.2-5]
    sub = world.client("sub", session_expiry=60).subscribes("a", qos=1)
    pub = world.client("pub")
    for number in range(20):
        sub.drops()
        world.advance(59)
        pub.publishes("a", b"%d" % number, qos=1)
        sub = sub.returns()
        assert sub.payloads == [b"%d" % number]


# Its end


def test_a_session_ends_when_its_time_is_over(world: World) -> None:  # [MQTT-4.1.0-2], S10
    sub = world.client("sub", session_expiry=10).subscribes("a", qos=1).drops()
    world.client("pub").publishes("a", b"x", qos=1)
    world.advance(11)
    assert "sub" not in world.engine.sessions
    again = sub.returns()
    assert not again.session_present
    world.client("pub").publishes("a", b"y", qos=1)
    assert again.got == []
    assert world.engine.stats.clients_expired == 1


def test_a_session_lasts_as_long_as_it_was_promised(world: World) -> None:  # [MQTT-3.1.2-23]
    sub = world.client("sub", session_expiry=10).drops()
    world.advance(9.9)
    assert sub.returns().session_present


def test_the_time_begins_anew_with_each_connection(world: World) -> None:  # section 3.1.2.11.2
    sub = world.client("sub", session_expiry=10)
    for _ in range(5):
        sub.drops()
        world.advance(8)
        sub = sub.returns()
        assert sub.session_present


def test_a_session_does_not_end_while_its_client_is_connected(world: World) -> None:  # [MQTT-4.1.0-1]
    sub = world.client("sub", session_expiry=10).subscribes("a", qos=1)
    world.advance(1_000)
    world.client("pub").publishes("a", b"x", qos=1)
    assert sub.payloads == [b"x"]
    sub.drops()
    world.advance(8)
    assert sub.returns().session_present
    world.advance(1_000)
    assert "sub" in world.engine.sessions


@pytest.mark.parametrize("expiry", [None, 0])
def test_a_session_that_asks_for_no_time_ends_at_once(world: World, expiry: int | None) -> None:  # S10
    world.client("c", session_expiry=expiry).subscribes("a").drops()
    assert world.engine.sessions == {}
    assert world.engine.subscriptions.count == 0


def test_a_session_may_last_for_ever() -> None:  # section 3.1.2.11.2, S10
    world = World(Options(v3_session_expiry=NEVER_EXPIRES))
    v5 = world.client("v5", session_expiry=NEVER_EXPIRES).drops()
    v4 = world.client("v4", version=4, clean_start=False).drops()
    world.engine.tick(world.now + 2**33)  # far beyond what four bytes can say
    world.now += 2**33
    assert v5.returns().session_present
    assert v4.returns().session_present


def test_a_session_may_last_long_without_lasting_for_ever(world: World) -> None:  # S10: no timer overflows
    client = world.client("c", session_expiry=NEVER_EXPIRES - 1).drops()
    world.now += NEVER_EXPIRES - 10
    world.engine.tick(world.now)
    assert client.returns().session_present
    client = world.client("c", clean_start=False, session_expiry=NEVER_EXPIRES - 1).drops()
    world.now += NEVER_EXPIRES
    world.engine.tick(world.now)
    assert world.engine.sessions == {}


def test_an_expiry_that_is_too_long_is_cut_and_the_client_is_told() -> None:  # section 3.2.2.3.2, S10
    world = World(Options(maximum_session_expiry=30))
    assert world.client("short", session_expiry=20).said.session_expiry_interval is None
    assert world.client("long", session_expiry=NEVER_EXPIRES).said.session_expiry_interval == 30
    client = world.client("c", session_expiry=60).drops()
    world.advance(29)
    assert client.returns().session_present
    world.client("c", clean_start=False, session_expiry=60).drops()
    world.advance(31)
    assert "c" not in world.engine.sessions


def test_a_v3_session_too_ends_when_the_broker_keeps_none_for_ever() -> None:  # pain 8: dead sessions
    world = World(Options(maximum_session_expiry=30))
    client = world.client("c", version=4, clean_start=False).subscribes("a").drops()
    world.advance(31)
    assert world.engine.sessions == {}
    assert not client.returns().session_present


def test_a_new_connection_may_ask_for_another_time(world: World) -> None:  # section 3.1.2.11.2
    client = world.client("c", session_expiry=1_000).drops().returns(session_expiry=5)
    client.drops()
    world.advance(6)
    assert world.engine.sessions == {}


def test_a_connection_that_asks_for_no_time_takes_the_session_and_ends_it(world: World) -> None:  # [MQTT-3.1.2-5]
    old = world.client("c", session_expiry=60).subscribes("a", qos=1).drops()
    world.client("pub").publishes("a", b"x", qos=1)
    new = old.returns(session_expiry=None)
    assert new.session_present
    assert new.payloads == [b"x"]
    new.drops()
    assert "c" not in world.engine.sessions


# DISCONNECT may change it


def test_disconnect_may_shorten_the_time(world: World) -> None:  # section 3.14.2.2.2
    world.client("c", session_expiry=1_000).disconnects(session_expiry=5)
    world.advance(6)
    assert world.engine.sessions == {}


def test_disconnect_may_lengthen_the_time(world: World) -> None:  # section 3.14.2.2.2
    client = world.client("c", session_expiry=5).disconnects(session_expiry=1_000)
    world.advance(999)
    assert client.returns().session_present


def test_disconnect_may_end_the_session(world: World) -> None:  # section 3.14.2.2.2
    world.client("c", session_expiry=1_000).disconnects(session_expiry=0)
    assert world.engine.sessions == {}


def test_disconnect_may_not_exceed_what_the_broker_allows() -> None:  # section 3.2.2.3.2
    world = World(Options(maximum_session_expiry=30))
    world.client("c", session_expiry=10).disconnects(session_expiry=NEVER_EXPIRES)
    world.advance(31)
    assert world.engine.sessions == {}


def test_disconnect_may_not_keep_what_was_not_kept(world: World) -> None:  # section 3.14.2.2.2, S10
    client = world.client("c")
    client.sends(Disconnect(0, Properties(session_expiry_interval=60)))
    assert client.got == [Disconnect(ReasonCode.PROTOCOL_ERROR)]
    assert not client.is_connected
    assert world.engine.sessions == {}


def test_disconnect_without_a_word_of_it_changes_nothing(world: World) -> None:  # section 3.14.2.2.2
    client = world.client("c", session_expiry=60).disconnects()
    world.advance(59)
    assert client.returns().session_present


@pytest.mark.parametrize("version", [3, 4])
def test_a_v3_disconnect_keeps_the_session(world: World, version: int) -> None:  # v3 [MQTT-3.1.2-4]
    client = world.client("c", version=version, clean_start=False).subscribes("a", qos=1).disconnects()
    world.client("pub").publishes("a", b"x", qos=1)
    assert client.returns().payloads == [b"x"]


# Versions


@pytest.mark.parametrize(("before", "after"), [(4, 5), (5, 4), (3, 5), (5, 3)])
def test_a_session_may_be_resumed_in_another_version(world: World, before: int, after: int) -> None:  # [MQTT-3.1.2-5]
    def expiry(version: int) -> int | None:
        return 60 if version == 5 else None

    old = world.client("c", version=before, clean_start=False, session_expiry=expiry(before))
    old.subscribes("a", qos=2, identifier=9 if before == 5 else None).drops()
    pub = world.client("pub").publishes("a", b"1", qos=2, properties=Properties(content_type="text"))
    new = old.returns(version=after, session_expiry=expiry(after))
    pub.publishes("a", b"2", qos=2)
    assert new.payloads == [b"1", b"2"]
    assert all(message.properties is None for message in new.messages) == (after != 5)
