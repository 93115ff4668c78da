"""What is said while nothing can be stored, and what happens when the disk has room again (seams.py).

Nothing is acknowledged that is not stored, QoS 0 goes on, and nobody needs to
do anything when it works again.
"""

import pytest

from telex.codes import ReasonCode
from telex.engine.message import Message
from telex.engine.options import Options
from telex.wire.packets import (
    ConnAck,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
    Will,
)
from telex.wire.packets import SubscriptionRequest as Request
from tests.engine.world import Client, Ledger, World


@pytest.fixture
def world() -> World:
    """A broker whose disk is fast, until it is full."""
    return World(journal=Ledger())


@pytest.fixture
def slow() -> World:
    """A broker whose disk is slow, until it is full."""
    return World(journal=Ledger(is_slow=True))


def keeper(world: World, name: str = "sub", **manners: object) -> Client:
    """A client that keeps its session, subscribed to ``a``."""
    manners = {"version": 5, **manners}
    if manners["version"] == 5:
        manners = {"session_expiry": 60, **manners}
    return world.client(name, **{"clean_start": False, **manners}).subscribes("a", qos=2)


# Messages from v5 clients


@pytest.mark.parametrize("session_expiry", [None, 60])
@pytest.mark.parametrize("retain", [False, True])
def test_a_v5_publisher_is_told(world: World, session_expiry: int | None, retain: bool) -> None:  # 0x97 quota exceeded
    sub = world.client("sub").subscribes("a", qos=2)
    pub = world.client("pub", session_expiry=session_expiry)
    world.fails()
    pub.sends(Publish("a", b"x", 1, retain=retain, packet_id=1), Publish("a", b"x", 2, retain=retain, packet_id=2))
    assert pub.got == [PubAck(1, 0x97), PubRec(2, 0x97)]
    assert pub.reasons == ["the broker cannot store it now"] * 2
    assert sub.got == []
    assert world.engine.retained.count == 0
    world.recovers()
    assert (sub.got, pub.is_connected) == ([], True)


def test_what_was_refused_may_be_sent_again(world: World) -> None:  # [MQTT-4.3.3-9]: the exchange is over
    sub = keeper(world)
    pub = world.client("pub", session_expiry=60)
    world.fails()
    pub.sends(Publish("a", b"x", 1, packet_id=1), Publish("a", b"x", 2, packet_id=2))
    world.recovers()
    pub.takes()
    pub.publishes("a", b"y", qos=1).sends(Publish("a", b"z", 2, packet_id=2), PubRel(2))
    assert pub.got == [PubRec(2), PubComp(2)]
    assert sub.payloads == [b"y", b"z"]


def test_a_refusal_makes_room_for_another() -> None:  # section 4.9
    world = World(Options(receive_maximum=1), journal=Ledger())
    pub = world.client("pub")
    world.fails()
    for packet_id in range(1, 20):
        pub.sends(Publish("a", b"x", 1 + packet_id % 2, packet_id=packet_id))
    assert pub.is_connected
    assert len(pub.got) == 19


def test_what_it_may_not_publish_is_refused_for_that(world: World) -> None:  # [MQTT-3.3.5-2]
    pub = world.client("pub")
    world.fails()
    pub.sends(Publish("$SYS/x", b"x", 1, packet_id=1))
    assert pub.got == [PubAck(1, 0x87)]


# Messages from v3 clients


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("qos", [1, 2])
def test_a_v3_publisher_gets_no_answer(world: World, version: int, qos: int) -> None:  # v3 has no word but yes
    sub = world.client("sub").subscribes("a", qos=2)
    pub = world.client("pub", version=version)
    world.fails()
    pub.sends(Publish("a", b"x", qos, packet_id=7))
    world.advance(5)
    assert (pub.got, sub.got, pub.is_connected) == ([], [], True)


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("qos", [1, 2])
def test_it_is_asked_to_send_again_when_that_can_be_stored(world: World, version: int, qos: int) -> None:
    # [MQTT-4.4.0-1]: by the end of its connection, since it repeats on the next one
    sub = keeper(world)
    pub = keeper(world, "pub", version=version)
    world.fails()
    pub.sends(Publish("a", b"x", qos, packet_id=7))
    world.recovers()
    assert not pub.is_connected
    assert pub.got == []
    pub = pub.returns()
    pub.sends(Publish("a", b"x", qos, dup=True, packet_id=7))
    assert (PubAck(7) if qos == 1 else PubRec(7)) in pub.got
    assert sub.payloads == [b"x"]


def test_nobody_else_is_sent_away(world: World) -> None:  # seams.py
    asked = world.client("asked", version=4)
    others = [world.client(f"v{version}", version=version).subscribes("a", qos=1) for version in (3, 4, 5)]
    world.fails()
    asked.sends(Publish("a", b"x", 1, packet_id=7))
    for client in others:
        client.sends(Publish("b", b"x"), PingReq())
    others[-1].sends(Publish("b", b"x", 1, packet_id=8))
    world.recovers()
    assert not asked.is_connected
    assert all(client.is_connected for client in others)
    assert world.engine.unanswered == {}


def test_who_went_by_itself_is_not_waited_for(world: World) -> None:  # nothing leaks
    pub = world.client("pub", version=4)
    world.fails()
    pub.sends(Publish("a", b"x", 1, packet_id=7)).drops()
    assert world.engine.unanswered == {}
    world.recovers()
    assert world.client("pub", version=4).is_connected


def test_a_repeat_of_what_is_ours_is_answered_when_it_can_be(slow: World) -> None:  # [MQTT-4.3.3-10]
    pub = slow.knocks("pub", version=4, clean_start=False)
    slow.commits()
    pub.takes()
    pub.sends(Publish("a", b"x", 2, packet_id=7))
    slow.fails()
    pub.sends(Publish("a", b"x", 2, dup=True, packet_id=7))
    assert pub.got == []
    slow.recovers()
    assert pub.got == [PubRec(7), PubRec(7)]
    assert pub.is_connected


# What goes on


@pytest.mark.parametrize("version", [3, 4, 5])
def test_qos0_goes_on(world: World, version: int) -> None:  # QoS 0 goes on
    sub = world.client("sub", version=version).subscribes("a")
    kept = keeper(world, "kept")
    pub = world.client("pub", version=version)
    world.fails()
    pub.publishes("a", b"1").publishes("a", b"2", retain=True)
    pub.sends(PingReq())
    assert sub.payloads == kept.payloads == [b"1", b"2"]
    assert pub.got == [PingResp()]
    assert world.client("late").subscribes("a").payloads == [b"2"]


def test_what_was_stored_is_still_delivered(world: World) -> None:  # seams.py: that promises nothing new
    sub = keeper(world).drops()
    world.client("pub").publishes("a", b"x", qos=1)
    world.fails()
    sub = sub.returns()
    assert sub.session_present
    assert sub.payloads == [b"x"]
    world.recovers()
    assert sub.drops().returns().payloads == []


def test_a_session_that_is_not_kept_may_subscribe(world: World) -> None:  # that promises nothing
    world.fails()
    client = world.client("c").subscribes("a", qos=2).unsubscribes("a")
    assert client.is_connected


# Subscriptions


@pytest.mark.parametrize(("version", "code"), [(4, 0x80), (5, 0x97)])
def test_a_subscription_that_cannot_be_stored_is_refused(world: World, version: int, code: int) -> None:
    client = keeper(world, version=version)
    world.fails()
    client.sends(Subscribe(1, [Request("b", 1), Request("a", 0)]))
    assert client.got == [SubAck(1, [code, code])]
    world.publishes(Message("b", b"x"))
    world.publishes(Message("a", b"y"))
    assert client.payloads == [b"y"]  # the former subscription stands
    world.recovers()
    client.takes()
    client.subscribes("b", qos=1)


def test_a_subscription_that_is_dropped_is_dropped_at_once_and_said_so_later(world: World) -> None:
    # promise: nothing is acknowledged that is not stored
    client = keeper(world)
    world.fails()
    client.sends(Unsubscribe(1, ["a"]))
    world.publishes(Message("a", b"x"))
    assert client.got == []
    world.recovers()
    assert client.got == [UnsubAck(1, [0])]


# Sessions


@pytest.mark.parametrize(("version", "code"), [(3, 3), (4, 3), (5, 0x88)])
def test_a_new_session_that_cannot_be_stored_is_refused(world: World, version: int, code: int) -> None:
    world.fails()
    client = world.knocks("new", version=version, clean_start=False, session_expiry=60 if version == 5 else None)
    assert client.got == [ConnAck(code)]
    assert not client.is_connected
    assert world.engine.sessions == {}


@pytest.mark.parametrize("version", [3, 4, 5])
def test_a_client_that_keeps_nothing_comes_in(world: World, version: int) -> None:
    world.fails()
    assert world.client("c", version=version).is_connected


def test_who_has_a_session_comes_back_to_it(world: World) -> None:  # it is stored
    client = keeper(world)
    world.fails()
    assert client.drops().returns().session_present
    assert client.returns().session_present  # takes over


def test_a_clean_start_that_cannot_be_stored_is_refused(world: World) -> None:
    client = keeper(world).drops()
    world.fails()
    refused = world.knocks("sub", session_expiry=60)
    assert refused.got == [ConnAck(0x88)]
    assert client.returns().session_present  # nothing has happened


def test_a_clean_start_that_would_end_a_kept_session_is_refused(world: World) -> None:
    # [MQTT-3.1.2-4]: what it was told is gone must not come back
    keeper(world).drops()
    world.fails()
    client = world.knocks("sub")
    assert [packet.reason_code for packet in client.got if isinstance(packet, ConnAck)] == [0x88]
    world.recovers()
    assert not world.client("sub").session_present


def test_a_session_that_was_never_stored_is_not_promised(slow: World) -> None:
    # promise: nothing is acknowledged that is not stored
    slow.knocks("sub", session_expiry=60).drops()
    slow.fails()
    client = slow.knocks("sub", clean_start=False, session_expiry=60)
    assert client.got == []
    slow.recovers()
    assert client.session_present


# What waited when it began


def test_what_waited_waits_until_it_works_again(slow: World) -> None:  # promise: nothing is acknowledged ...
    pub = slow.client("pub").sends(Publish("a", b"x", 1, retain=True, packet_id=7))
    slow.fails()
    slow.advance(100)
    assert pub.got == []
    pub.sends(PingReq())
    assert pub.takes() == [PingResp()]
    slow.recovers()
    assert pub.got == [PubAck(7, 0x10)]


def test_a_refusal_does_not_overtake_what_waited(slow: World) -> None:  # [MQTT-4.6.0-2]
    pub = slow.client("pub").sends(Publish("a", b"x", 1, retain=True, packet_id=7))
    slow.fails()
    pub.sends(Publish("a", b"y", 1, packet_id=8))
    slow.recovers()
    assert pub.got == [PubAck(7, 0x10), PubAck(8, 0x97)]


@pytest.mark.parametrize("version", [4, 5])
def test_who_is_sent_away_is_not_kept_waiting(slow: World, version: int) -> None:
    # nobody knows when it could be told
    pub = slow.client("pub", version=version).sends(Publish("a", b"x", 1, retain=True, packet_id=7))
    slow.fails()
    pub.sends_bytes(b"\x00\x00")
    assert not pub.is_connected
    assert pub.got == ([Disconnect(ReasonCode.MALFORMED_PACKET)] if version == 5 else [])


def test_who_was_to_go_already_goes(slow: World) -> None:
    pub = slow.client("pub").sends(Publish("a", b"x", 1, retain=True, packet_id=7))
    pub.sends_bytes(b"\x00\x00")
    assert pub.is_connected
    slow.fails()
    assert not pub.is_connected
    assert pub.got == []  # it will send again, and so it must not hear that it need not


def test_who_has_no_connack_yet_hears_nothing_else(slow: World) -> None:  # [MQTT-3.2.0-1]
    client = slow.knocks("c", session_expiry=60).sends(PingReq())
    slow.fails()
    client.sends_bytes(b"\x00\x00")
    assert not client.is_connected
    assert client.got == []


@pytest.mark.parametrize("version", [4, 5])
def test_a_pubrel_is_answered_when_that_is_stored(world: World, version: int) -> None:  # [MQTT-4.3.3-12]
    pub = keeper(world, "pub", version=version)
    pub.sends(Publish("b", b"x", 2, packet_id=7))
    pub.takes()
    world.fails()
    pub.sends(PubRel(7))
    assert pub.got == []
    again = pub.drops().returns()  # its session is there, and the end of the exchange is not on disk
    again.sends(PubRel(7))
    assert again.got == []
    world.recovers()
    assert [type(packet) for packet in again.got] == [PubComp]


def test_a_qos2_message_to_a_kept_session_waits_for_its_id(world: World) -> None:  # [MQTT-2.2.1-4]
    sub = keeper(world)
    world.fails()
    world.publishes(Message("a", b"x", 2))
    assert sub.got == []
    world.recovers()
    assert sub.payloads == [b"x"]


def test_acknowledgements_of_clients_are_taken(world: World) -> None:  # they cost no promise
    sub = keeper(world, acknowledges=False)
    pub = world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=2)
    world.fails()
    sub.sends(PubAck(1), PubRec(2))
    assert [type(packet) for packet in sub.takes()] == [Publish, Publish]  # PUBREL waits
    world.recovers()
    assert sub.got == [PubRel(2)]
    pub.publishes("a", b"3", qos=1)
    assert sub.payloads == [b"3"]


# Wills, time, and what comes after


def test_a_will_is_published_all_the_same(world: World) -> None:  # [MQTT-3.1.2-8]
    sub = world.client("sub").subscribes("w", qos=1)
    away = keeper(world, "away").subscribes("w", qos=1).drops()
    client = world.client("c", will=Will("w", b"lost", qos=1))
    world.fails()
    client.drops()
    assert sub.payloads == [b"lost"]
    world.recovers()
    assert away.returns().payloads == [b"lost"]


def test_what_happened_meanwhile_is_stored_in_the_end(world: World) -> None:  # records.py
    sub = keeper(world).subscribes("b", qos=1).drops()
    other = keeper(world, "other", acknowledges=False)
    world.client("pub").publishes("a", b"x", qos=1, retain=True)
    world.fails()
    other.sends(PubAck(1))
    other.drops()
    sub = sub.returns()
    sub.sends(Unsubscribe(1, ["b"]))
    world.publishes(Message("a", b"", 0, retain=True))
    world.recovers()
    world.restarts()
    assert world.engine.retained.count == 0
    assert other.returns().payloads == []
    sub = sub.returns()
    assert list(world.engine.sessions["sub"].subscriptions) == ["a"]


def test_what_was_not_stored_when_we_are_killed_was_not_promised(world: World) -> None:
    # promise: nothing is acknowledged that is not stored
    sub = keeper(world)
    pub = keeper(world, "pub", version=4)
    sub.drops()
    world.fails()
    pub.sends(Publish("a", b"x", 1, packet_id=7))
    said: list[Packet] = pub.takes()
    world.restarts()
    assert said == []
    pub = pub.returns()
    pub.sends(Publish("a", b"x", 1, dup=True, packet_id=7))
    assert PubAck(7) in pub.got
    assert sub.returns().payloads == [b"x"]


def test_it_may_fail_again(world: World) -> None:  # it recovers by itself
    sub = keeper(world)
    pub = world.client("pub")
    for _ in range(3):
        world.fails()
        pub.sends(Publish("a", b"x", 1, packet_id=7))
        world.recovers()
        assert pub.takes() == [PubAck(7, 0x97)]
        pub.publishes("a", b"y", qos=1)
    assert sub.payloads == [b"y"] * 3
