"""A second connection with the same client id (section 3.1.4)."""

import pytest

from telex.codes import ReasonCode
from telex.wire.packets import Disconnect, Publish, PubRec, PubRel, Will
from telex.wire.properties import Properties
from tests.engine.world import World

TAKEN_OVER = Disconnect(ReasonCode.SESSION_TAKEN_OVER)


def test_the_old_connection_is_told_and_closed(world: World) -> None:  # [MQTT-3.1.4-3], T1
    old = world.client("c")
    new = world.client("c")
    assert old.got == [TAKEN_OVER]
    assert not old.is_connected
    assert new.is_connected


@pytest.mark.parametrize("version", [3, 4])
def test_an_old_v3_connection_is_closed_without_a_word(world: World, version: int) -> None:  # v3 [MQTT-3.1.4-2]
    old = world.client("c", version=version)
    world.client("c", version=version)
    assert old.got == []
    assert not old.is_connected


@pytest.mark.parametrize(("before", "after"), [(4, 5), (5, 4), (3, 5)])
def test_a_client_may_come_back_in_another_version(world: World, before: int, after: int) -> None:  # [MQTT-3.1.4-3]
    old = world.client("c", version=before)
    new = world.client("c", version=after)
    assert (old.is_connected, new.is_connected) == (False, True)


def test_a_frozen_old_connection_does_not_hold_up_the_new_one(world: World) -> None:  # T1
    old = world.client("c").freezes()
    new = world.client("c").subscribes("a")
    world.client("pub").publishes("a", b"x")
    assert new.payloads == [b"x"]
    assert old.thaws().got == [TAKEN_OVER]


def test_the_new_connection_goes_on_with_a_kept_session(world: World) -> None:  # [MQTT-3.1.2-5]
    world.client("c", session_expiry=60).subscribes("a", qos=1)
    new = world.client("c", clean_start=False, session_expiry=60)
    assert new.session_present
    world.client("pub").publishes("a", b"x", qos=1)
    assert new.payloads == [b"x"]


def test_a_session_that_was_not_kept_ends_with_its_connection(world: World) -> None:  # section 3.1.2.11.2
    world.client("c").subscribes("a")
    new = world.client("c", clean_start=False)
    assert not new.session_present
    world.client("pub").publishes("a", b"x")
    assert new.payloads == []


def test_a_clean_start_throws_away_what_the_old_connection_had(world: World) -> None:  # [MQTT-3.1.2-4]
    world.client("c", session_expiry=60).subscribes("a")
    new = world.client("c", session_expiry=60)
    world.client("pub").publishes("a", b"x")
    assert new.payloads == []


def test_what_the_old_connection_did_not_acknowledge_comes_again(world: World) -> None:  # [MQTT-4.4.0-1]
    world.client("c", session_expiry=60, acknowledges=False).subscribes("a", qos=1)
    world.client("pub").publishes("a", b"x", qos=1)
    new = world.client("c", clean_start=False, session_expiry=60)
    assert new.got == [Publish("a", b"x", qos=1, packet_id=1, dup=True)]


def test_the_late_end_of_the_old_connection_touches_nothing(world: World) -> None:  # T2
    watcher = world.client("watcher").subscribes("w")
    old = world.client("c", session_expiry=60, will=Will("w", b"old")).subscribes("a", qos=1).freezes()
    new = world.client("c", clean_start=False, session_expiry=60, will=Will("w", b"new"))
    assert watcher.takes() == [Publish("w", b"old")]
    old.thaws()  # only now its socket closes
    old.drops()
    old.connection.receive(b"\xc0\x00", world.now)
    assert new.is_connected
    assert watcher.got == []
    world.client("pub").publishes("a", b"x", qos=1)
    assert new.payloads == [b"x"]
    new.drops()
    assert watcher.payloads == [b"new"]


def test_an_old_v3_will_is_published(world: World) -> None:  # v3 [MQTT-3.1.2-8], T3
    watcher = world.client("watcher").subscribes("w")
    world.client("c", version=4, clean_start=False, will=Will("w", b"lost"))
    world.client("c", version=4, clean_start=False)
    assert watcher.payloads == [b"lost"]


@pytest.mark.parametrize(
    ("expiry", "delay", "clean_start", "is_published"),
    [
        (60, 0, False, True),  # the session goes on, but the will does not wait
        (60, 10, False, False),  # the session goes on before the will is due
        (60, 10, True, True),  # the session ends
        (0, 10, False, True),  # the session ended with its connection
        (0, 0, True, True),
    ],
)
def test_an_old_v5_will_is_published_unless_the_session_goes_on_before_it_is_due(
    world: World, expiry: int, delay: int, clean_start: bool, is_published: bool
) -> None:  # [MQTT-3.1.2-8] [MQTT-3.1.3-9], T3
    watcher = world.client("watcher").subscribes("w")
    will = Will("w", b"lost", properties=Properties(will_delay_interval=delay))
    world.client("c", session_expiry=expiry, will=will)
    world.client("c", session_expiry=expiry, clean_start=clean_start)
    assert watcher.payloads == ([b"lost"] if is_published else [])
    world.advance(100)
    assert len(watcher.payloads) == is_published  # and never twice


def test_retained_messages_are_not_sent_again(world: World) -> None:  # T4, section 3.3.1.3
    world.client("pub").publishes("a", b"x", retain=True)
    old = world.client("c", session_expiry=60).subscribes("a")
    assert old.payloads == [b"x"]
    new = world.client("c", clean_start=False, session_expiry=60)
    assert new.got == []


def test_a_qos2_exchange_goes_on_over_a_takeover(world: World) -> None:  # [MQTT-4.3.3-6] [MQTT-4.4.0-1], S2
    old = world.client("c", session_expiry=60, acknowledges=False).subscribes("a", qos=2)
    world.client("pub").publishes("a", b"x", qos=2)
    old.sends(PubRec(1))
    new = world.client("c", clean_start=False, session_expiry=60, acknowledges=False)
    assert new.got == [PubRel(1)]


def test_ten_takeovers_in_a_row_leave_one_client(world: World) -> None:  # T1
    clients = [world.client("c", session_expiry=60, clean_start=False) for _ in range(10)]
    assert [client.is_connected for client in clients] == [False] * 9 + [True]
    assert world.engine.stats.clients_connected == 1
    assert world.engine.stats.sockets_open == 1
