"""What is written down for the day after a crash, and which answers wait for it (ARCHITECTURE.md, Four rules).

Two laws: what was acknowledged is on disk, and who replays the records has the
same broker again. The second is in ``test_restore.py``.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telex.codes import NEVER_EXPIRES, ReasonCode
from telex.engine import records
from telex.engine.message import Message
from telex.engine.options import Options
from telex.engine.seams import GatheringJournal, Journal
from telex.wire.packets import (
    ConnAck,
    Connect,
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
from telex.wire.properties import Properties
from tests.engine.world import Client, Ledger, World


@pytest.fixture
def ledger() -> Ledger:
    """A journal that remembers, on a disk that is fast."""
    return Ledger()


@pytest.fixture
def world(ledger: Ledger) -> World:
    """A broker whose disk has written each turn as soon as it is over; see ``slow``."""
    return World(journal=ledger)


@pytest.fixture
def slow() -> World:
    """A broker whose disk has written nothing until ``World.commits``."""
    return World(journal=Ledger(is_slow=True))


def keeper(world: World, **manners: object) -> Client:
    """A client that keeps its session for a minute, subscribed to ``a``."""
    sub = world.client("sub", session_expiry=60, **manners).subscribes("a", qos=2)
    world.ledger.takes()
    return sub


def kept(slow: World, name: str, **manners: object) -> Client:
    """The same where the disk is slow, with a subscription to the topic of its own name, and all of it written."""
    client = slow.knocks(name, session_expiry=60, **manners).sends(Subscribe(1, [Request(name, 2)]))
    slow.commits()
    assert [type(packet) for packet in client.takes()] == [ConnAck, SubAck]
    slow.ledger.takes()
    return client


def returns(client: Client) -> Client:
    """It comes back, and its CONNACK waits with all that follows."""
    return client.world.knocks(client.name, **{**vars(client.manners), "clean_start": False})


# What makes no record


def test_sessions_that_are_not_kept_make_none(world: World, ledger: Ledger) -> None:  # records.py
    for version in (3, 4, 5):
        sub = world.client(f"v{version}", version=version).subscribes("a", "$share/g/a", qos=2)
        for qos in (0, 1, 2):
            sub.publishes("a", b"x", qos=qos)
        sub.unsubscribes("a").drops()
    assert ledger.lines == []


def test_qos0_makes_none(world: World, ledger: Ledger) -> None:  # records.py
    sub = keeper(world)
    world.client("pub").publishes("a", b"x")
    sub.drops()
    ledger.takes()
    world.client("pub").publishes("a", b"x")
    assert ledger.lines == []


def test_what_is_denied_makes_none(world: World, ledger: Ledger) -> None:  # records.py
    sub = keeper(world)
    sub.sends(Publish("$SYS/x", b"x", 1, packet_id=1), Subscribe(2, [Request("bad#")]), Unsubscribe(3, ["never was"]))
    sub.sends(Publish("$SYS/x", b"x", 2, packet_id=4), PubRel(4))
    assert ledger.lines == []


# Sessions


def test_a_session_is_kept_until_it_ends(world: World, ledger: Ledger) -> None:  # [MQTT-3.1.2-23] [MQTT-4.1.0-2]
    sub = world.client("sub", session_expiry=60)
    assert ledger.takes() == ["SessionKept sub 60"]
    sub.drops()
    assert ledger.takes() == ["SessionLeft sub until 1060"]
    world.advance(59)
    assert ledger.lines == []
    world.advance(2)
    assert ledger.lines == ["SessionEnded sub"]


@pytest.mark.parametrize("version", [3, 4])
def test_a_v3_session_is_kept_for_thirty_days(world: World, ledger: Ledger, version: int) -> None:  # v3 [MQTT-3.1.2-4]
    world.client("sub", version=version, clean_start=False).drops()
    world.advance(100)
    assert ledger.lines == ["SessionKept sub 2592000", "SessionLeft sub until 2.593e+06"]


def test_a_session_that_never_ends_is_left_without_an_end(world: World, ledger: Ledger) -> None:
    # section 3.1.2.11.2
    world.client("sub", session_expiry=NEVER_EXPIRES).drops()
    assert ledger.lines == [f"SessionKept sub {NEVER_EXPIRES}", "SessionLeft sub"]


def test_who_comes_back_is_written_down(world: World, ledger: Ledger) -> None:
    # records.py: while its client is connected a session cannot end
    sub = keeper(world)
    for _ in range(2):
        sub = sub.drops().returns()
    world.client("sub", clean_start=False, session_expiry=60)  # takes over
    assert ledger.lines == ["SessionLeft sub until 1060", "SessionKept sub 60"] * 3


def test_a_new_time_is_written_down(world: World, ledger: Ledger) -> None:  # sections 3.1.2.11.2 and 3.14.2.2.2
    sub = keeper(world).drops().returns(session_expiry=30)
    sub.disconnects(session_expiry=90)
    assert ledger.lines == [
        "SessionLeft sub until 1060",
        "SessionKept sub 30",
        "SessionKept sub 90",
        "SessionLeft sub until 1090",
    ]


def test_disconnect_may_end_a_session(world: World, ledger: Ledger) -> None:  # section 3.14.2.2.2
    keeper(world).disconnects(session_expiry=0)
    assert ledger.lines == ["SessionKept sub 0", "SessionEnded sub"]


def test_a_clean_start_ends_a_session_and_begins_one(world: World, ledger: Ledger) -> None:  # [MQTT-3.1.2-4]
    keeper(world).drops()
    ledger.takes()
    world.client("sub", session_expiry=60)
    one, other = [record for record in ledger.records if isinstance(record, records.SessionKept | records.SessionEnded)]
    assert ledger.takes() == ["SessionEnded sub", "SessionKept sub 60"]
    assert one.session != other.session  # so that nobody takes what was the one's for the other's
    world.client("sub").drops()
    assert ledger.lines == ["SessionLeft sub until 1060", "SessionEnded sub"]


def test_a_connection_that_keeps_nothing_ends_the_kept_session_when_it_ends(world: World, ledger: Ledger) -> None:
    # section 3.1.2.11.2
    sub = keeper(world).drops()
    ledger.takes()
    sub = sub.returns(session_expiry=None)
    assert sub.session_present
    assert ledger.takes() == ["SessionKept sub 0"]
    sub.drops()
    assert ledger.lines == ["SessionEnded sub"]


def test_what_such_a_connection_does_is_written_down(world: World, ledger: Ledger) -> None:
    # records.py: until its session is over it is a kept one
    sub = keeper(world, acknowledges=False)
    world.client("pub").publishes("a", b"1", qos=1)
    sub = sub.drops().returns(session_expiry=None)
    ledger.takes()
    sub.sends(PubAck(1)).subscribes("b", qos=1)
    assert ledger.lines == ["Done sub #1", "Subscribed sub b qos 1"]


def test_no_record_follows_the_end_of_a_session(world: World, ledger: Ledger) -> None:
    # records.py: all that belonged to it is over with it
    sub = keeper(world, acknowledges=False)
    world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=2)
    sub.sends(Publish("b", b"x", 2, packet_id=7)).drops()
    world.client("pub").publishes("a", b"3", qos=1).publishes("a", b"4", qos=2)
    ledger.takes()
    world.client("sub").drops()
    assert ledger.lines == ["SessionEnded sub"]


# Subscriptions


def test_subscriptions_are_written_down(world: World, ledger: Ledger) -> None:  # [MQTT-3.8.4-3] [MQTT-3.10.4-1]
    sub = world.client("sub", session_expiry=60)
    ledger.takes()
    sub.subscribes("a/#", qos=1).subscribes("a/#", qos=2).unsubscribes("a/#")
    assert ledger.lines == ["Subscribed sub a/# qos 1", "Subscribed sub a/# qos 2", "Unsubscribed sub a/#"]


def test_a_subscription_is_written_down_with_its_options(world: World, ledger: Ledger) -> None:  # section 3.8.3.1
    sub = world.client("sub", session_expiry=60)
    sub.subscribes("a", qos=1, no_local=True, retain_as_published=True, identifier=268_435_455).subscribes("b")
    full, plain = [record for record in ledger.records if isinstance(record, records.Subscribed)]
    assert (full.no_local, full.retain_as_published, full.identifier) == (True, True, 268_435_455)
    assert (plain.no_local, plain.retain_as_published, plain.identifier) == (False, False, 0)


# Messages to a client


@pytest.mark.parametrize(
    ("qos", "lines"),
    [
        (1, ["Queued sub #1 a", "Sent sub #1 as 1", "Done sub #1"]),
        (2, ["Queued sub #1 a", "Sent sub #1 as 1", "Released sub #1 as 1", "Done sub #1"]),
    ],
)
def test_a_message_to_a_client_makes_its_way_in_records(
    world: World, ledger: Ledger, qos: int, lines: list[str]
) -> None:  # section 4.3
    keeper(world)
    world.client("pub").publishes("a", b"x", qos=qos)
    assert ledger.lines == lines


def test_a_message_waits_in_the_journal(world: World, ledger: Ledger) -> None:  # [MQTT-4.5.0-1], S6
    sub = keeper(world).drops()
    ledger.takes()
    world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=2)
    assert ledger.takes() == ["Queued sub #1 a", "Queued sub #2 a"]
    sub.returns()
    assert ledger.lines == [
        "SessionKept sub 60",
        "Sent sub #1 as 1",
        "Sent sub #2 as 2",
        "Done sub #1",
        "Released sub #2 as 2",
        "Done sub #2",
    ]


def test_what_waits_for_the_quota_is_written_down_too(world: World, ledger: Ledger) -> None:  # [MQTT-3.3.4-9]
    sub = keeper(world, receive_maximum=1, acknowledges=False)
    world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=1)
    assert ledger.takes() == ["Queued sub #1 a", "Sent sub #1 as 1", "Queued sub #2 a"]
    sub.sends(PubAck(1))
    assert ledger.lines == ["Done sub #1", "Sent sub #2 as 2"]


def test_a_repeat_is_nothing_new(world: World, ledger: Ledger) -> None:  # [MQTT-4.4.0-1]
    sub = keeper(world, acknowledges=False)
    world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=2)
    sub.sends(PubRec(2))
    ledger.takes()
    sub = sub.drops().returns()
    sub.sends(PubRec(2))
    assert ledger.lines == ["SessionLeft sub until 1060", "SessionKept sub 60"]


@pytest.mark.parametrize("refusal", [PubAck(1, 0x97), PubRec(1, 0x97)])
def test_a_message_that_is_refused_is_done(world: World, ledger: Ledger, refusal: Packet) -> None:  # [MQTT-4.4.0-2]
    sub = keeper(world, acknowledges=False)
    world.client("pub").publishes("a", b"x", qos=1 if isinstance(refusal, PubAck) else 2)
    sub.sends(refusal)
    assert ledger.lines[2:] == ["Done sub #1"]


def test_a_message_that_is_too_large_is_done(world: World, ledger: Ledger) -> None:  # [MQTT-3.1.2-25]
    sub = keeper(world, maximum_packet_size=50)
    world.client("pub").publishes("a", b"x" * 100, qos=1)
    assert ledger.takes() == ["Queued sub #1 a", "Done sub #1"]
    sub.drops()
    world.client("pub").publishes("a", b"x" * 100, qos=1)
    ledger.takes()
    sub.returns()
    assert ledger.lines == ["SessionKept sub 60", "Done sub #2"]


def test_a_message_that_expired_is_done(world: World, ledger: Ledger) -> None:  # [MQTT-3.3.2-5]
    sub = keeper(world).drops()
    world.client("pub").publishes("a", b"x", qos=1, properties=Properties(message_expiry_interval=5))
    world.advance(10)
    ledger.takes()
    sub.returns()
    assert ledger.lines == ["SessionKept sub 60", "Done sub #1"]


def test_a_message_that_is_dropped_was_never_written(ledger: Ledger) -> None:  # pain 9
    world = World(Options(max_queued_messages=1), journal=ledger)
    keeper(world).drops()
    ledger.takes()
    world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=1)
    assert ledger.lines == ["Queued sub #1 a"]


def test_each_receiver_has_its_own_record_of_the_same_message(world: World, ledger: Ledger) -> None:  # records.py
    for name in ("s1", "s2"):
        world.client(name, session_expiry=60).subscribes("a", qos=1).drops()
    world.client("passing").subscribes("a", qos=1)
    ledger.takes()
    world.client("pub").publishes("a", b"x", qos=1).publishes("a", b"y", qos=1)
    assert ledger.lines == ["Queued s1 #1 a", "Queued s2 #2 a", "Queued s1 #3 a", "Queued s2 #4 a"]
    one, other = [record for record in ledger.records if isinstance(record, records.Queued)][:2]
    assert one.message is other.message  # a store writes it once


def test_a_queued_message_is_written_down_with_what_is_the_receivers_own(world: World, ledger: Ledger) -> None:
    # sections 3.3.1.3 and 3.3.4
    sub = world.client("sub", session_expiry=60).subscribes("a", qos=2, retain_as_published=True, identifier=5)
    sub.drops()
    world.client("pub").publishes("a", b"x", qos=1, retain=True)
    (queued,) = [record for record in ledger.records if isinstance(record, records.Queued)]
    assert (queued.first, queued.extra, queued.shared) == (0x30 | 1 << 1 | 1, b"\x0b\x05", "")
    assert (queued.message.topic, queued.message.payload) == ("a", b"x")


def test_what_came_by_a_shared_subscription_is_written_down_as_such(world: World, ledger: Ledger) -> None:  # H1
    world.client("sub", session_expiry=60).subscribes("$share/g/+", qos=1).drops()
    world.client("pub").publishes("a", b"x", qos=1)
    (queued,) = [record for record in ledger.records if isinstance(record, records.Queued)]
    assert queued.shared == "$share/g/+"


def test_what_another_member_gets_is_written_down(world: World, ledger: Ledger) -> None:  # section 4.8.2, H1
    one = world.client("one", session_expiry=60).subscribes("$share/g/a", qos=1).drops()
    world.client("pub").publishes("a", b"x", qos=1)
    world.client("two", session_expiry=60).subscribes("$share/g/a", qos=1).drops()
    ledger.takes()
    one.returns(clean_start=True, session_expiry=None)
    assert ledger.lines == ["SessionEnded one", "Queued two #2 a"]


# Messages from a client


def test_an_owned_id_is_written_down_and_forgotten(world: World, ledger: Ledger) -> None:  # [MQTT-4.3.3-10]
    pub = world.client("pub", session_expiry=60)
    ledger.takes()
    pub.sends(*[Publish("b", b"x", 2, packet_id=7)] * 3)
    assert ledger.takes() == ["Owned pub 7"]
    pub.sends(PubRel(7), PubRel(7))
    assert ledger.lines == ["Disowned pub 7"]


def test_an_owned_id_stands_before_what_it_brings(world: World, ledger: Ledger) -> None:  # records.py: in order
    keeper(world).drops()
    pub = world.client("pub", session_expiry=60)
    ledger.takes()
    pub.sends(Publish("a", b"x", 2, retain=True, packet_id=7))
    assert ledger.lines == ["Owned pub 7", "Retain a", "Queued sub #1 a"]


# Retained messages


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_retained_messages_are_written_down(world: World, ledger: Ledger, qos: int) -> None:
    # [MQTT-3.3.1-5] [MQTT-3.3.1-6]
    pub = world.client("pub")
    pub.publishes("a", b"1", qos=qos, retain=True).publishes("a", b"2", qos=qos, retain=True)
    pub.publishes("a", b"", qos=qos, retain=True).publishes("a", b"", qos=qos, retain=True)
    assert ledger.lines == ["Retain a", "Retain a", "Unretain a"]


def test_a_retained_message_is_written_down_with_all_it_has(world: World, ledger: Ledger) -> None:  # R4
    said = Properties(message_expiry_interval=10, content_type="text")
    world.client("pub").publishes("a", b"x", qos=2, retain=True, properties=said)
    (record,) = ledger.records
    assert isinstance(record, records.Retain)
    message = record.message
    assert (message.topic, message.payload, message.qos, message.retain) == ("a", b"x", 2, True)
    assert (message.properties, message.expires_at) == (Properties(content_type="text"), world.now + 10)
    assert message.publisher_id == "pub"  # for No Local


def test_a_retained_message_that_expired_is_retained_no_more(world: World, ledger: Ledger) -> None:  # R4
    world.client("pub").publishes("a", b"x", retain=True, properties=Properties(message_expiry_interval=10))
    ledger.takes()
    world.advance(9)
    assert ledger.lines == []
    world.advance(1)
    assert ledger.lines == ["Unretain a"]


# Wills


@pytest.mark.parametrize("session_expiry", [None, 60])
def test_a_will_is_written_down_whoever_leaves_it(world: World, ledger: Ledger, session_expiry: int | None) -> None:
    # [MQTT-3.1.2-7]: who is killed with us was lost, too
    world.client("c", session_expiry=session_expiry, will=Will("w", b"x"))
    assert ledger.takes()[0] == "Willed c w"
    world.client("c", session_expiry=session_expiry, will=Will("v", b"x")).disconnects()
    # Of the first connection, which was taken over from, the will is published.
    wills = [line for line in ledger.lines if "illed" in line]
    assert wills == ["Unwilled c", "Willed c v", "Unwilled c"]


def test_a_retained_will_is_written_down(world: World, ledger: Ledger) -> None:  # [MQTT-3.1.2-15]
    world.client("c", will=Will("w", b"x", retain=True)).drops()
    assert ledger.lines == ["Willed c w", "Unwilled c", "Retain w"]


def test_when_a_will_falls_due_is_written_down(world: World, ledger: Ledger) -> None:  # section 3.1.3.2.2
    late = Will("w", b"x", properties=Properties(will_delay_interval=20))
    client = world.client("c", session_expiry=60, will=late).drops()
    assert ledger.takes() == ["Willed c w", "SessionKept c 60", "SessionLeft c until 1060, will at 1020"]
    client = client.returns(will=None)
    assert ledger.takes() == ["Unwilled c", "SessionKept c 60"]
    client.drops().returns(will=late).drops()
    ledger.takes()
    world.advance(25)
    assert ledger.lines == ["Unwilled c"]


# Which answers wait for the disk


def committed(world: World, client: Client) -> list[Packet]:
    """What a client gets when the disk has written; before, it must have got nothing."""
    assert client.got == []
    world.commits()
    return client.takes()


def test_puback_waits_for_what_it_promises(slow: World) -> None:  # pain 1, [MQTT-4.3.2-4]
    kept(slow, "sub").drops()
    pub = slow.client("pub", version=4)
    pub.sends(Publish("sub", b"x", 1, packet_id=7))
    assert committed(slow, pub) == [PubAck(7)]


def test_puback_waits_also_while_the_receiver_is_there(slow: World) -> None:  # pain 1: it may have gone a moment ago
    sub = kept(slow, "sub", acknowledges=False)
    pub = slow.client("pub").sends(Publish("sub", b"x", 1, packet_id=7))
    assert sub.payloads == [b"x"]  # it need not wait: it is repeated if it is lost
    assert committed(slow, pub) == [PubAck(7)]


def test_puback_of_a_retained_message_waits(slow: World) -> None:  # pain 1
    pub = slow.client("pub", version=4).sends(Publish("a", b"x", 1, retain=True, packet_id=7))
    assert committed(slow, pub) == [PubAck(7)]


def test_puback_for_a_retained_message_that_another_cleared_waits(slow: World) -> None:
    # Promise: what is retained is never older than what was acknowledged.
    slow.client("one").publishes("a", b"x", retain=True)
    slow.commits()
    slow.client("one").sends(Publish("a", b"", 1, retain=True, packet_id=7))
    two = slow.client("two").sends(Publish("a", b"", 1, retain=True, packet_id=8))
    assert committed(slow, two) == [PubAck(8, 0x10)]


def test_pubrec_and_pubcomp_wait(slow: World) -> None:  # pain 1, [MQTT-4.3.3-8]
    pub = kept(slow, "pub")
    pub.sends(Publish("a", b"x", 2, packet_id=7))
    assert committed(slow, pub) == [PubRec(7, 0x10)]
    pub.sends(PubRel(7))
    assert committed(slow, pub) == [PubComp(7)]


def test_a_pubrec_for_a_repeat_waits_like_the_first_one(slow: World) -> None:  # [MQTT-4.3.3-10]
    pub = kept(slow, "pub").sends(Publish("a", b"x", 2, packet_id=7)).drops()
    pub = returns(pub).sends(Publish("a", b"x", 2, packet_id=7, dup=True))
    assert committed(slow, pub)[1:] == [PubRec(7)]


@pytest.mark.parametrize("version", [4, 5])
def test_a_pubcomp_for_an_id_that_was_given_up_a_moment_ago_waits(slow: World, version: int) -> None:
    # [MQTT-4.3.3-12]: otherwise the client's next message with this id would be taken for a repeat after a crash
    pub = slow.knocks("pub", version=version, clean_start=False, session_expiry=60 if version == 5 else None)
    pub.sends(Publish("a", b"x", 2, packet_id=7))
    slow.commits()
    pub = returns(pub.sends(PubRel(7)).drops()).sends(PubRel(7))
    assert [type(packet) for packet in committed(slow, pub)] == [ConnAck, PubComp]


def test_pubrel_waits(slow: World) -> None:
    # [MQTT-4.3.3-6]: a PUBLISH must not follow a PUBREL, not after a crash either
    sub = kept(slow, "sub", acknowledges=False)
    slow.publishes(Message("sub", b"x", 2))
    slow.commits()
    assert sub.takes() == [Publish("sub", b"x", 2, packet_id=1)]
    sub.sends(PubRec(1))
    assert committed(slow, sub) == [PubRel(1)]


def test_a_pubrel_that_comes_again_waits_like_the_first_one(slow: World) -> None:  # [MQTT-4.4.0-1]
    sub = kept(slow, "sub", acknowledges=False)
    slow.publishes(Message("sub", b"x", 2))
    slow.commits()
    sub = returns(sub.sends(PubRec(1)).drops())
    assert committed(slow, sub)[1:] == [PubRel(1)]


def test_suback_and_unsuback_wait(slow: World) -> None:  # promise: an acknowledged subscription survives
    sub = kept(slow, "sub")
    sub.sends(Subscribe(1, [Request("a", 2)]))
    assert committed(slow, sub) == [SubAck(1, [2])]
    sub.sends(Unsubscribe(2, ["a"]))
    assert committed(slow, sub) == [UnsubAck(2, [0])]


def test_an_unsuback_for_what_was_dropped_a_moment_ago_waits(slow: World) -> None:  # [MQTT-3.10.4-1]
    sub = kept(slow, "sub").sends(Unsubscribe(2, ["sub"])).drops()
    sub = returns(sub).sends(Unsubscribe(3, ["sub"]))
    assert committed(slow, sub)[1:] == [UnsubAck(3, [0x11])]


def test_the_connack_of_a_new_session_waits(slow: World) -> None:  # promise: an acknowledged session survives
    client = slow.knocks("c", session_expiry=60)
    (connack,) = committed(slow, client)
    assert connack is client.connack


def test_the_connack_of_who_comes_back_waits(slow: World) -> None:
    # section 3.1.2.11.2: the session must not end, nor its will be sent, as if its client were still away
    sub = returns(kept(slow, "sub").drops())
    assert [type(packet) for packet in committed(slow, sub)] == [ConnAck]
    assert sub.session_present


def test_the_connack_of_a_session_that_is_not_kept_leaves_at_once(slow: World) -> None:  # seams.py
    kept(slow, "other").sends(Subscribe(2, [Request("a")]))
    assert not slow.client("c").session_present
    assert not slow.client("c", clean_start=False, version=5).session_present


def test_a_session_that_was_not_promised_yet_is_not_promised_by_coming_back(slow: World) -> None:  # seams.py
    slow.knocks("c", session_expiry=60).drops()
    client = slow.knocks("c", clean_start=False, session_expiry=60)
    (connack,) = committed(slow, client)
    assert isinstance(connack, ConnAck)
    assert connack.session_present


def test_the_connack_with_a_new_time_waits(slow: World) -> None:  # section 3.1.2.11.2
    kept(slow, "sub").drops()
    sub = slow.knocks("sub", clean_start=False, session_expiry=50)
    assert [type(packet) for packet in committed(slow, sub)] == [ConnAck]


@pytest.mark.parametrize("session_expiry", [None, 60])
def test_the_connack_of_a_clean_start_waits_for_the_end_of_the_old_session(
    slow: World, session_expiry: int | None
) -> None:  # [MQTT-3.1.2-4]: what it ended must not come back
    kept(slow, "sub").drops()
    sub = slow.knocks("sub", session_expiry=session_expiry)
    assert [type(packet) for packet in committed(slow, sub)] == [ConnAck]


def test_a_second_clean_start_waits_for_the_end_of_the_old_session(slow: World) -> None:  # [MQTT-3.1.2-4]
    kept(slow, "sub").drops()
    slow.knocks("sub").drops()
    sub = slow.knocks("sub")
    assert [type(packet) for packet in committed(slow, sub)] == [ConnAck]


def test_a_qos2_publish_waits_for_its_id(slow: World) -> None:
    # Promise: "a QoS 2 message is delivered once, across crashes". Who has sent an id that nobody remembers will
    # give it to another message, which the client then takes for a repeat [MQTT-4.3.3-10] [MQTT-2.2.1-4].
    sub = kept(slow, "sub", acknowledges=False)
    slow.publishes(Message("sub", b"x", 2))
    assert committed(slow, sub) == [Publish("sub", b"x", 2, packet_id=1)]


def test_a_qos2_publish_that_waited_in_the_queue_waits_for_its_id(slow: World) -> None:  # [MQTT-2.2.1-4]
    sub = kept(slow, "sub", acknowledges=False).drops()
    slow.publishes(Message("sub", b"x", 2))
    slow.commits()
    assert committed(slow, returns(sub))[1:] == [Publish("sub", b"x", 2, packet_id=1)]


def test_one_commit_serves_everybody(slow: World) -> None:  # ARCHITECTURE.md: a loop turn is a commit
    pubs = [slow.client(f"p{number}", version=4) for number in range(5)]
    for pub in pubs:
        pub.sends(Publish("a", b"x", 1, retain=True, packet_id=7))
    assert [pub.got for pub in pubs] == [[]] * 5
    slow.commits()
    assert [pub.got for pub in pubs] == [[PubAck(7)]] * 5


def test_each_answer_leaves_with_the_commit_of_its_own_record(slow: World) -> None:  # seams.py
    pub = slow.client("pub", version=4).sends(Publish("a", b"x", 1, retain=True, packet_id=7))
    position = slow.journal.appended
    pub.sends(Publish("a", b"y", 1, retain=True, packet_id=8))
    slow.journal.committed = position
    slow.engine.committed()
    slow.flush()
    assert pub.takes() == [PubAck(7)]
    assert committed(slow, pub) == [PubAck(8)]


# What leaves at once


@pytest.mark.parametrize("version", [3, 4, 5])
def test_what_promises_nothing_leaves_at_once(slow: World, version: int) -> None:  # pain 1: only what must wait waits
    live = slow.client("live").subscribes("a", qos=2)
    client = slow.client("c", version=version).subscribes("b", qos=2)
    for qos in (0, 1, 2):
        client.publishes("a", b"live", qos=qos).publishes("nobody", b"x", qos=qos)
    client.unsubscribes("b")
    assert live.payloads == [b"live"] * 3
    assert slow.ledger.everything == []


def test_a_refusal_promises_nothing(slow: World) -> None:  # [MQTT-4.3.3-9]
    pub = kept(slow, "pub")
    pub.sends(Publish("$SYS/x", b"x", 1, packet_id=1), Publish("$SYS/x", b"x", 2, packet_id=2))
    assert pub.got == [PubAck(1, 0x87), PubRec(2, 0x87)]


def test_qos0_does_not_wait(slow: World) -> None:  # ARCHITECTURE.md, Seams
    sub = slow.client("sub").subscribes("a")
    slow.client("pub").sends(Publish("a", b"x", retain=True), Publish("a", b"y"))
    assert sub.payloads == [b"x", b"y"]


@pytest.mark.parametrize("qos", [1, 2])
def test_a_session_that_is_not_kept_gets_messages_at_once(slow: World, qos: int) -> None:  # records.py
    sub = slow.client("sub").subscribes("a", qos=2)
    slow.publishes(Message("a", b"x", qos))
    assert sub.payloads == [b"x"]


def test_a_journal_that_forgets_lets_nothing_wait() -> None:  # seams.py
    world = World(journal=Journal())
    sub = world.client("sub", session_expiry=60).subscribes("a", qos=2)
    pub = world.client("pub", session_expiry=60).publishes("a", b"x", qos=2, retain=True)
    assert sub.payloads == [b"x"]
    assert pub.got == []
    assert (world.journal.appended, world.journal.committed) == (0, 0)


def test_a_relaxed_journal_lets_nothing_wait() -> None:  # promise: relaxed acknowledges at once
    journal = GatheringJournal(is_relaxed=True)
    world = World(journal=journal)
    sub = world.client("sub", session_expiry=60).subscribes("a", qos=2)
    world.client("pub", session_expiry=60).publishes("a", b"x", qos=2, retain=True)
    assert sub.payloads == [b"x"]
    assert journal.appended == len(journal.gathered) > 0


# What overtakes what waits


@pytest.fixture
def waiting(slow: World) -> Client:
    """A client that is connected for as long as it wants, and waits for a PUBACK with id 7; subscribed to ``b``."""
    slow.client("ear").subscribes("a")
    client = slow.client("c").subscribes("b", qos=2)
    return client.sends(Publish("a", b"x", 1, retain=True, packet_id=7))


def test_pingresp_overtakes(slow: World, waiting: Client) -> None:  # A1: a slow disk ends no connection
    waiting.sends(PingReq())
    assert waiting.takes() == [PingResp()]
    assert committed(slow, waiting) == [PubAck(7)]


def test_qos0_overtakes(slow: World, waiting: Client) -> None:  # ARCHITECTURE.md: QoS 0 never waits
    waiting.sends(Publish("b", b"1"))
    slow.publishes(Message("b", b"2"))
    assert waiting.payloads == [b"1", b"2"]
    waiting.takes()
    assert committed(slow, waiting) == [PubAck(7)]


@pytest.mark.parametrize(
    ("packet", "answer"),
    [
        (Publish("nobody", b"x", 1, packet_id=8), PubAck(8, 0x10)),
        (Publish("nobody", b"x", 2, packet_id=8), PubRec(8, 0x10)),
        (Publish("$SYS/x", b"x", 1, packet_id=8), PubAck(8, 0x87)),
        (Publish("$SYS/x", b"x", 2, packet_id=8), PubRec(8, 0x87)),
        (PubRel(8), PubComp(8, 0x92)),
        (PubRec(8), PubRel(8, 0x92)),
        (Subscribe(8, [Request("c", 1)]), SubAck(8, [1])),
        (Subscribe(8, [Request("bad#", 1)]), SubAck(8, [0x8F])),
        (Unsubscribe(8, ["b"]), UnsubAck(8, [0])),
        (Unsubscribe(8, ["c"]), UnsubAck(8, [0x11])),
    ],
    ids=repr,
)
def test_no_other_answer_overtakes(slow: World, waiting: Client, packet: Packet, answer: Packet) -> None:
    # [MQTT-4.6.0-2] [MQTT-4.6.0-3]: acknowledgements keep their order
    waiting.sends(packet)
    assert committed(slow, waiting) == [PubAck(7), answer]


@pytest.mark.parametrize("qos", [1, 2])
def test_a_message_above_qos0_does_not_overtake(slow: World, waiting: Client, qos: int) -> None:  # outbox.py
    slow.publishes(Message("b", b"x", qos))
    assert committed(slow, waiting)[:2] == [PubAck(7), Publish("b", b"x", qos, packet_id=1)]


def test_a_pubrel_does_not_overtake(slow: World) -> None:  # [MQTT-4.6.0-4]
    client = slow.client("c", acknowledges=False).subscribes("b", qos=2)
    slow.publishes(Message("b", b"x", 2))
    client.takes()
    client.sends(Publish("a", b"x", 1, retain=True, packet_id=7), PubRec(1))
    assert committed(slow, client) == [PubAck(7, 0x10), PubRel(1)]


def test_messages_and_answers_keep_their_order(slow: World) -> None:  # [MQTT-4.6.0-2] [MQTT-4.6.0-5]
    client = slow.client("c", acknowledges=False).subscribes("b", qos=2)
    for number in range(1, 4):
        client.sends(Publish("a", b"x", 1, retain=True, packet_id=10 + number))
        slow.publishes(Message("b", b"%d" % number, 1))
        client.sends(Subscribe(20 + number, [Request("c", 1)]), PingReq())
    assert client.takes() == [PingResp()] * 3
    assert [packet.packet_id for packet in committed(slow, client)] == [  # type: ignore[attr-defined]
        *(11, 1, 21),
        *(12, 2, 22),
        *(13, 3, 23),
    ]


def test_a_disconnect_does_not_overtake(slow: World, waiting: Client) -> None:  # pain 1: the last words
    waiting.sends_bytes(b"\x00\x00")
    assert waiting.is_connected  # as far as it knows
    assert committed(slow, waiting) == [PubAck(7), Disconnect(ReasonCode.MALFORMED_PACKET)]
    assert not waiting.is_connected


def test_who_is_taken_over_from_gets_its_answers_first(slow: World, waiting: Client) -> None:  # T1
    other = slow.client("c")
    assert other.is_connected
    assert committed(slow, waiting) == [PubAck(7), Disconnect(ReasonCode.SESSION_TAKEN_OVER)]
    assert not waiting.is_connected


def test_who_leaves_gets_nothing_more(slow: World, waiting: Client) -> None:  # [MQTT-3.14.4-1]
    waiting.disconnects()
    slow.commits()
    assert waiting.got == []
    assert slow.engine.holding == []


def test_one_who_waits_holds_up_nobody_else(slow: World, waiting: Client) -> None:  # outbox.py
    other = slow.client("other").subscribes("b", qos=1)
    slow.publishes(Message("b", b"x", 1))
    assert other.payloads == [b"x"]


def test_what_waits_for_a_message_waits_no_longer_than_for_that(slow: World, waiting: Client) -> None:  # outbox.py
    position = slow.journal.appended
    waiting.sends(Subscribe(8, [Request("c", 1)]))
    kept(slow, "another")  # commits
    assert waiting.takes() == [PubAck(7), SubAck(8, [1])]
    assert slow.journal.committed > position


# While a CONNACK waits


def test_nothing_overtakes_a_connack(slow: World) -> None:  # [MQTT-3.2.0-1]
    client = slow.knocks("c", session_expiry=60)
    client.sends(
        PingReq(),
        Subscribe(1, [Request("a", 1)]),
        Publish("a", b"0"),
        Publish("a", b"1", 1, packet_id=2),
        PingReq(),
    )
    connack, *rest = committed(slow, client)
    assert isinstance(connack, ConnAck)
    free = [PingResp(), Publish("a", b"0"), PingResp()]  # what may overtake the others, and may be overtaken
    assert [packet for packet in rest if packet in free] == free
    assert [packet for packet in rest if packet not in free] == [
        SubAck(1, [1]),
        Publish("a", b"1", 1, packet_id=1),
        PubAck(2),
    ]


def test_qos0_that_came_while_a_connack_waited_leaves_with_it_and_before_later_qos0(slow: World) -> None:
    # [MQTT-4.6.0-5]: it must not be held with what is behind CONNACK, when later QoS 0 is not
    sub = slow.knocks("sub", session_expiry=60).sends(Subscribe(1, [Request("a", 1)]))
    of_connack = slow.journal.appended - 1
    slow.publishes(Message("a", b"1", 1))
    slow.publishes(Message("a", b"2", 0))
    slow.journal.committed = of_connack
    slow.engine.committed()
    slow.flush()
    slow.publishes(Message("a", b"3", 0))
    assert [type(packet) for packet in sub.got] == [ConnAck, Publish, Publish]
    assert sub.payloads == [b"2", b"3"]
    slow.commits()
    assert sub.payloads == [b"2", b"3", b"1"]


def test_what_waited_in_a_session_does_not_overtake_its_connack(slow: World) -> None:  # [MQTT-3.2.0-1]
    kept(slow, "sub").drops()
    slow.publishes(Message("sub", b"x", 1))
    slow.commits()
    sub = slow.knocks("sub", clean_start=False, session_expiry=50)
    slow.publishes(Message("sub", b"y", 0))
    connack, *rest = committed(slow, sub)
    assert isinstance(connack, ConnAck)
    assert sorted(rest, key=lambda message: message.payload) == [  # type: ignore[attr-defined]
        Publish("sub", b"x", 1, packet_id=1),
        Publish("sub", b"y"),
    ]


def test_when_the_connack_has_left_qos0_overtakes_again(slow: World) -> None:  # outbox.py
    sub = slow.knocks("sub", session_expiry=60).sends(Subscribe(1, [Request("a", 1)]))
    position = slow.journal.appended - 1
    slow.journal.committed = position  # of the CONNACK, and not of the SUBACK
    slow.engine.committed()
    slow.flush()
    assert [type(packet) for packet in sub.takes()] == [ConnAck]
    slow.publishes(Message("a", b"x", 0))
    assert sub.takes() == [Publish("a", b"x")]
    assert committed(slow, sub) == [SubAck(1, [1])]


def test_an_error_before_the_connack_has_left_is_told_behind_it(slow: World) -> None:  # [MQTT-3.14.0-1]
    client = slow.knocks("c", session_expiry=60).sends(Connect("c"))
    assert [type(packet) for packet in committed(slow, client)] == [ConnAck, Disconnect]
    assert not client.is_connected


# Aliases


def aliased(topic: str, payload: bytes, alias: int, qos: int = 0, packet_id: int = 0) -> Publish:
    """A message with a topic alias."""
    return Publish(topic, payload, qos, packet_id=packet_id, properties=Properties(topic_alias=alias))


def test_what_waits_gives_no_alias(slow: World) -> None:  # section 3.3.2.3.4: what overtakes it could not use it
    client = slow.client("c", topic_alias_maximum=5).subscribes("#", qos=1)
    client.sends(Publish("$a", b"x", 1, retain=True, packet_id=7))  # nobody gets it
    slow.publishes(Message("t", b"1", 1))
    slow.publishes(Message("t", b"2", 0))
    slow.publishes(Message("t", b"3", 1))
    assert client.takes() == [aliased("t", b"2", 1)]
    assert committed(slow, client) == [
        PubAck(7, 0x10),
        Publish("t", b"1", 1, packet_id=1),  # it was there before the alias
        aliased("", b"3", 1, 1, packet_id=2),
    ]
    slow.publishes(Message("u", b"4", 1))
    assert client.got == [aliased("u", b"4", 2, 1, packet_id=3)]


def test_what_waits_uses_an_alias_that_was_given(slow: World) -> None:  # section 3.3.2.3.4
    client = slow.client("c", topic_alias_maximum=5).subscribes("#", qos=1)
    slow.publishes(Message("t", b"1", 1))
    client.takes()
    client.sends(Publish("$a", b"x", 1, retain=True, packet_id=7))  # nobody gets it
    slow.publishes(Message("t", b"2", 1))
    assert committed(slow, client) == [PubAck(7, 0x10), aliased("", b"2", 1, 1, packet_id=2)]


def test_no_alias_is_given_while_the_connack_waits(slow: World) -> None:  # section 3.3.2.3.4
    client = slow.knocks("c", session_expiry=60, topic_alias_maximum=5).sends(Subscribe(1, [Request("t", 1)]))
    slow.publishes(Message("t", b"0", 0))
    slow.publishes(Message("t", b"1", 1))
    slow.commits()
    assert sorted(client.messages, key=lambda message: message.qos) == [
        Publish("t", b"0"),
        Publish("t", b"1", 1, packet_id=1),
    ]
    slow.publishes(Message("t", b"2", 0))
    assert client.messages[-1] == aliased("t", b"2", 1)


# A QoS 2 message goes on when its id is stored


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_qos2_message_goes_on_when_its_id_is_stored(slow: World, qos: int) -> None:
    # Promise: "a QoS 2 message is delivered once, across crashes": its sender will send it again to who forgot it.
    sub = slow.client("sub", acknowledges=False).subscribes("a", qos=qos)
    pub = kept(slow, "pub").sends(Publish("a", b"x", 2, packet_id=7))
    assert sub.got == []
    assert committed(slow, pub) == [PubRec(7)]
    assert sub.got == [Publish("a", b"x", qos, packet_id=1 if qos else 0)]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_it_goes_on_at_once_from_a_session_that_is_not_kept(slow: World, qos: int) -> None:
    # [MQTT-4.1.0-2]: nobody will send it again to a session that is gone
    sub = slow.client("sub").subscribes("a", qos=qos)
    slow.client("pub").sends(Publish("a", b"x", 2, packet_id=7))
    assert sub.payloads == [b"x"]


@pytest.mark.parametrize("qos", [0, 1])
def test_messages_below_qos2_go_on_at_once(slow: World, qos: int) -> None:  # [MQTT-4.3.2-5]: they may come again
    sub = slow.client("sub").subscribes("a", qos=2)
    kept(slow, "pub").sends(Publish("a", b"x", qos, packet_id=7 * qos))
    assert sub.payloads == [b"x"]


def test_qos0_messages_overtake_it(slow: World) -> None:  # ARCHITECTURE.md: QoS 0 never waits
    sub = slow.client("sub").subscribes("a", qos=2)
    kept(slow, "pub").sends(Publish("a", b"waits", 2, packet_id=7), Publish("a", b"does not"))
    assert sub.payloads == [b"does not"]
    slow.commits()
    assert sub.payloads == [b"does not", b"waits"]


def test_messages_above_qos0_keep_their_order_behind_it(slow: World) -> None:  # [MQTT-4.6.0-5] [MQTT-4.6.0-6]
    sub = slow.client("sub").subscribes("a", qos=1)
    pub = kept(slow, "pub")
    pub.sends(Publish("a", b"1", 2, packet_id=7), Publish("a", b"2", 1, packet_id=8))
    assert sub.payloads == []
    slow.commits()
    assert sub.payloads == [b"1", b"2"]


def test_qos2_messages_that_are_delivered_at_qos0_keep_their_order(slow: World) -> None:  # [MQTT-4.6.0-6]
    sub = slow.client("sub").subscribes("a")
    pub = kept(slow, "pub")
    for number in range(3):
        pub.sends(Publish("a", b"%d" % number, 2, packet_id=7 + number))
    assert sub.payloads == []
    slow.commits()
    assert sub.payloads == [b"0", b"1", b"2"]


def test_it_waits_also_where_it_is_retained(slow: World) -> None:  # promise: delivered once
    kept(slow, "pub").sends(Publish("a", b"x", 2, retain=True, packet_id=7))
    late = slow.client("late").sends(Subscribe(1, [Request("a", 0)]))
    assert late.payloads == []
    slow.commits()
    assert late.payloads == [b"x"]
    assert slow.client("later").subscribes("a").payloads == [b"x"]


def test_it_waits_also_in_a_queue(slow: World) -> None:  # promise: delivered once
    sub = kept(slow, "sub").drops()
    pub = kept(slow, "pub").sends(Publish("sub", b"x", 2, packet_id=7))
    sub = returns(sub)
    assert committed(slow, pub) == [PubRec(7)]
    assert sub.payloads == [b"x"]


# How many a client has in flight to us


def test_who_waits_for_our_acknowledgements_is_never_sent_away() -> None:  # [MQTT-3.3.4-7]
    world = World(Options(receive_maximum=2), journal=Ledger(is_slow=True))
    pub = world.client("pub")
    for number in range(1, 20, 2):
        for packet_id in (number, number + 1):
            pub.sends(Publish("a", b"x", 1, retain=True, packet_id=packet_id), PingReq())
        assert pub.takes() == [PingResp()] * 2  # its bytes have left, the acknowledgements have not
        assert committed(world, pub) == [PubAck(number, 0x10), PubAck(number + 1, 0x10)]


@pytest.mark.parametrize("qos", [1, 2])
def test_who_does_not_wait_for_them_is_sent_away(qos: int) -> None:  # [MQTT-3.3.4-7]
    world = World(Options(receive_maximum=2), journal=Ledger(is_slow=True))
    pub = world.client("pub")
    for packet_id in (1, 2, 3):
        assert not pub.connection.is_closed
        pub.sends(Publish("a", b"x", qos, retain=True, packet_id=packet_id), PingReq())
    assert pub.connection.is_closed
    world.commits()
    assert pub.got[-1] == Disconnect(ReasonCode.RECEIVE_MAXIMUM_EXCEEDED)


def test_a_pubcomp_that_waits_is_not_known_yet() -> None:  # section 4.9
    world = World(Options(receive_maximum=1), journal=Ledger(is_slow=True))
    pub = kept(world, "pub").sends(Publish("a", b"x", 2, packet_id=1))
    world.commits()
    pub.sends(PubRel(1), PingReq())
    pub.sends(Publish("a", b"x", 1, packet_id=2))
    assert pub.connection.is_closed


def test_a_pubcomp_for_an_earlier_connections_message_takes_no_quota() -> None:
    # section 4.9: each connection begins with its whole quota
    world = World(Options(receive_maximum=1), journal=Ledger(is_slow=True))
    pub = kept(world, "pub").sends(Publish("a", b"x", 2, packet_id=1))
    pub = returns(pub.drops())
    world.commits()
    pub.takes()
    pub.sends(PubRel(1), PingReq())
    pub.sends(Publish("a", b"x", 1, packet_id=2))
    assert not pub.connection.is_closed
    assert pub.takes() == [PingResp()]
    assert committed(world, pub) == [PubComp(1), PubAck(2, 0x10)]


def test_a_pubcomp_for_an_unknown_id_takes_no_quota() -> None:  # section 4.9
    world = World(Options(receive_maximum=1), journal=Ledger(is_slow=True))
    pub = kept(world, "pub")
    pub.sends(Subscribe(1, [Request("b", 1)]), PubRel(9), PingReq())
    pub.sends(Publish("a", b"x", 1, packet_id=2))
    assert not pub.connection.is_closed


class Obedient:
    """A client that keeps to our Receive Maximum, and to nothing else."""

    def __init__(self, world: World, receive_maximum: int) -> None:
        self.world = world
        self.receive_maximum = receive_maximum
        self.owned: list[int] = []  # ids that PUBREC has come for
        self.unanswered: dict[int, int] = {}  # id -> QoS, of this connection and of earlier ones
        self.returns()

    def returns(self) -> None:
        """On a new connection, with its whole quota (section 4.9)."""
        self.client = self.world.knocks("c", clean_start=False, session_expiry=60)
        self.quota = self.receive_maximum
        self.seen = 0

    def listens(self) -> None:
        """Read what has come."""
        for packet in self.client.got[self.seen :]:
            if isinstance(packet, PubAck | PubComp) or (isinstance(packet, PubRec) and packet.reason_code >= 0x80):
                self.unanswered.pop(packet.packet_id, None)
                self.quota = min(self.quota + 1, self.receive_maximum)
                if packet.packet_id in self.owned:
                    self.owned.remove(packet.packet_id)
            elif isinstance(packet, PubRec) and packet.packet_id not in self.owned:
                self.owned.append(packet.packet_id)
        self.seen = len(self.client.got)

    def publishes(self, qos: int, topic: str) -> None:
        """Publish, if the quota allows it; with an id that is free."""
        self.listens()
        if self.quota > 0:
            self.quota -= 1
            packet_id = next(number for number in range(1, 100) if number not in self.unanswered)
            self.unanswered[packet_id] = qos
            self.client.sends(Publish(topic, b"x", qos, retain=True, packet_id=packet_id))

    def releases(self) -> None:
        """Go on with what is ours by now."""
        self.listens()
        for packet_id in self.owned:
            self.client.sends(PubRel(packet_id))


@settings(deadline=None, max_examples=300)
@given(
    receive_maximum=st.integers(1, 3),
    acts=st.lists(
        st.sampled_from(["1", "2", "refused 1", "refused 2", "releases", "commits", "pings", "subscribes", "returns"])
        | st.sampled_from(["an unknown PUBREL"]),
        max_size=30,
    ),
)
def test_who_obeys_is_never_sent_away(receive_maximum: int, acts: list[str]) -> None:  # section 4.9
    world = World(Options(receive_maximum=receive_maximum), journal=Ledger(is_slow=True))
    obedient = Obedient(world, receive_maximum)
    world.commits()
    for act in acts:
        client = obedient.client
        if act in ("1", "2"):
            obedient.publishes(int(act), "a")
        elif act.startswith("refused"):
            obedient.publishes(int(act[-1]), "$SYS/x")
        elif act == "releases":
            obedient.releases()
        elif act == "commits":
            world.commits()
        elif act == "pings":
            client.sends(PingReq())
        elif act == "subscribes":
            client.sends(Subscribe(999, [Request("s", 1)]))
        elif act == "an unknown PUBREL":
            client.sends(PubRel(999))
        else:
            client.drops()
            obedient.returns()
        assert not obedient.client.connection.is_closed, f"after {act}"


# A journal that gathers


def test_what_gathered_in_a_turn_is_taken_in_one_piece() -> None:  # seams.py
    journal = GatheringJournal()
    first, second = records.SessionEnded(1), records.SessionEnded(2)
    journal.append(first)
    journal.append(second)
    assert (journal.appended, journal.committed) == (2, 0)
    assert journal.take_gathered() == [first, second]
    assert journal.take_gathered() == []
    assert (journal.appended, journal.committed) == (2, 0)


def test_a_relaxed_one_counts_as_committed_what_it_has_gathered() -> None:  # seams.py
    journal = GatheringJournal(is_relaxed=True)
    journal.append(records.SessionEnded(1))
    assert (journal.appended, journal.committed) == (1, 1)
    assert len(journal.gathered) == 1


def test_it_is_behind_when_too_many_records_wait_to_be_written() -> None:  # memory is bounded
    journal = GatheringJournal()
    for number in range(50_000):
        journal.append(records.Done(number))
    assert not journal.is_behind
    journal.append(records.Done(50_000))
    assert journal.is_behind
    journal.take_gathered()
    assert not journal.is_behind


def test_it_is_behind_when_too_many_bytes_wait_to_be_written() -> None:  # memory is bounded
    journal = GatheringJournal()
    message = Message("a", bytes(1024 * 1024), 1)
    for number in range(17):
        assert not journal.is_behind
        journal.append(records.Queued(number, 1, message, 0x32, b"", ""))
    assert journal.is_behind
    journal.take_gathered()
    assert (journal.is_behind, journal.gathered_bytes) == (False, 0)


def test_a_journal_that_forgets_is_never_behind_and_gives_nothing_back() -> None:  # seams.py
    journal = Journal()
    journal.append(records.Done(1))
    journal.commit()
    assert (journal.appended, journal.committed, journal.is_behind, journal.gives_back) == (0, 0, False, False)
    with pytest.raises(NotImplementedError):
        journal.fetch("c", 1, 0)


@pytest.mark.parametrize("qos", [1, 2])
def test_what_was_just_sent_may_vanish_before_it_is_written(qos: int) -> None:  # seams.py: PUBACK may come at once
    journal = GatheringJournal()
    message = Message("a", b"x", qos)
    journal.append(records.Queued(5, 1, message, 0x30 | qos << 1, b"", ""))
    assert not journal.may_vanish  # nobody is there to acknowledge it
    journal.append(records.Sent(5, 1, qos))
    assert journal.may_vanish is (qos == 1)  # PUBREC does not end it
    journal.append(records.Done(5))
    assert not journal.may_vanish


def test_what_was_queued_before_cannot_vanish() -> None:  # seams.py
    journal = GatheringJournal()
    journal.append(records.Queued(5, 1, Message("a", b"x", 1), 0x32, b"", ""))
    journal.append(records.Sent(4, 1, 1))
    assert not journal.may_vanish
    journal.append(records.Sent(5, 2, 1))
    journal.append(records.Done(4))
    assert journal.may_vanish
    journal.take_gathered()
    assert not journal.may_vanish
