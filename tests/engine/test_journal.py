"""What is written down for the day after a crash, and which answers wait for it (ARCHITECTURE.md, Four rules).

The two laws: what was acknowledged is on disk, and who replays the records has
the same sessions and retained messages again.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telex.codes import NEVER_EXPIRES
from telex.engine import records
from telex.engine.engine import Engine
from telex.engine.message import Message
from telex.engine.options import Options
from telex.engine.records import Record
from telex.wire.encode import encode
from telex.wire.packets import (
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
from tests.engine.babble import some_packets
from tests.engine.world import Client, Ledger, World


@pytest.fixture
def ledger() -> Ledger:
    """A journal that remembers."""
    return Ledger()


@pytest.fixture
def world(ledger: Ledger) -> World:
    """A broker that keeps a journal on a disk that is always fast enough; see ``slow``."""
    ledger.committed = 1 << 40
    return World(journal=ledger)


@pytest.fixture
def slow(ledger: Ledger) -> World:
    """A broker whose disk has written nothing until ``World.commits``."""
    ledger.committed = 0
    return World(journal=ledger)


def keeper(world: World, **manners: object) -> Client:
    """A client that keeps its session for a minute, subscribed to ``a``."""
    sub = world.client("sub", session_expiry=60, **manners).subscribes("a", qos=2)
    assert isinstance(world.journal, Ledger)
    world.journal.takes()
    return sub


# What makes no record


def test_sessions_that_are_not_kept_make_none(world: World, ledger: Ledger) -> None:  # records.py
    subs = [world.client(f"v{version}", version=version, will=Will("a", b"x", qos=1)) for version in (3, 4, 5)]
    for sub in subs:
        sub.subscribes("a", "$share/g/a", qos=2)
        for qos in (0, 1, 2):
            sub.publishes("a", b"x", qos=qos)
        sub.unsubscribes("a").drops()
    assert ledger.lines == []


def test_qos0_makes_none(world: World, ledger: Ledger) -> None:  # records.py
    sub = keeper(world)
    world.client("pub").publishes("a", b"x")
    sub.drops()
    world.client("pub").publishes("a", b"x")
    assert ledger.lines == []


def test_a_connection_that_changes_nothing_makes_none(world: World, ledger: Ledger) -> None:  # records.py
    sub = keeper(world)
    for _ in range(3):
        sub = sub.drops().returns()
    world.client("sub", clean_start=False, session_expiry=60)  # takes over
    assert ledger.lines == []


def test_what_is_denied_makes_none(world: World, ledger: Ledger) -> None:  # records.py
    sub = keeper(world)
    sub.sends(Publish("$SYS/x", b"x", 1, packet_id=1), Subscribe(2, [Request("bad#")]), Unsubscribe(3, ["never was"]))
    assert ledger.lines == []


# Sessions


def test_a_session_is_kept_until_it_ends(world: World, ledger: Ledger) -> None:  # [MQTT-3.1.2-23] [MQTT-4.1.0-2]
    sub = world.client("sub", session_expiry=60)
    assert ledger.takes() == ["SessionKept sub 60"]
    sub.drops()
    world.advance(59)
    assert ledger.lines == []
    world.advance(2)
    assert ledger.lines == ["SessionEnded sub"]


@pytest.mark.parametrize("version", [3, 4])
def test_a_v3_session_is_kept_for_ever(world: World, ledger: Ledger, version: int) -> None:  # v3 [MQTT-3.1.2-4]
    world.client("sub", version=version, clean_start=False).drops()
    world.advance(100_000)
    assert ledger.lines == [f"SessionKept sub {NEVER_EXPIRES}"]


def test_a_new_time_is_written_down(world: World, ledger: Ledger) -> None:  # sections 3.1.2.11.2 and 3.14.2.2.2
    sub = keeper(world).drops().returns(session_expiry=30)
    sub.disconnects(session_expiry=90)
    assert ledger.lines == ["SessionKept sub 30", "SessionKept sub 90"]


def test_disconnect_may_end_a_session(world: World, ledger: Ledger) -> None:  # section 3.14.2.2.2
    keeper(world).disconnects(session_expiry=0)
    assert ledger.lines == ["SessionEnded sub"]


def test_a_clean_start_ends_a_session_and_begins_one(world: World, ledger: Ledger) -> None:  # [MQTT-3.1.2-4]
    keeper(world)
    world.client("sub", session_expiry=60)
    assert ledger.takes() == ["SessionEnded sub", "SessionKept sub 60"]
    world.client("sub")
    assert ledger.lines == ["SessionEnded sub"]


def test_a_connection_that_keeps_nothing_ends_the_kept_session(world: World, ledger: Ledger) -> None:  # records.py
    sub = keeper(world).drops().returns(session_expiry=None)
    assert ledger.takes() == ["SessionEnded sub"]
    sub.drops()
    assert ledger.lines == []


def test_no_record_follows_the_end_of_a_session(world: World, ledger: Ledger) -> None:
    # records.py: sessions that end with their connection make none
    sub = keeper(world, acknowledges=False)
    world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=2)
    sub.drops()
    world.client("pub").publishes("a", b"3", qos=1).publishes("a", b"4", qos=2)
    ledger.takes()
    sub = sub.returns(session_expiry=None, acknowledges=True)
    assert sub.payloads == [b"1", b"2", b"3", b"4"]
    sub.drops()
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
        (2, ["Queued sub #1 a", "Sent sub #1 as 1", "Released sub 1", "Done sub #1"]),
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
    world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=2)
    assert ledger.takes() == ["Queued sub #1 a", "Queued sub #2 a"]
    sub.returns()
    assert ledger.lines == [
        "Sent sub #1 as 1",
        "Sent sub #2 as 2",
        "Done sub #1",
        "Released sub 2",
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
    sub.drops().returns()
    assert ledger.lines == []


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
    sub.returns()
    assert ledger.lines == ["Queued sub #2 a", "Done sub #2"]


def test_a_message_that_expired_is_done(world: World, ledger: Ledger) -> None:  # [MQTT-3.3.2-5]
    sub = keeper(world).drops()
    world.client("pub").publishes("a", b"x", qos=1, properties=Properties(message_expiry_interval=5))
    world.advance(10)
    sub.returns()
    assert ledger.lines == ["Queued sub #1 a", "Done sub #1"]


def test_a_message_that_is_dropped_was_never_written(ledger: Ledger) -> None:  # pain 9
    ledger.committed = 1 << 40
    world = World(Options(max_queued_messages=1), journal=ledger)
    keeper(world).drops()
    world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=1)
    assert ledger.lines == ["Queued sub #1 a"]


def test_each_receiver_has_its_own_record_and_its_own_count(world: World, ledger: Ledger) -> None:  # records.py
    for name in ("s1", "s2"):
        world.client(name, session_expiry=60).subscribes("a", qos=1).drops()
    world.client("passing").subscribes("a", qos=1)
    ledger.takes()
    world.client("pub").publishes("a", b"x", qos=1).publishes("a", b"y", qos=1)
    assert sorted(ledger.lines) == ["Queued s1 #1 a", "Queued s1 #2 a", "Queued s2 #1 a", "Queued s2 #2 a"]
    one, other = [record for record in ledger.records if isinstance(record, records.Queued)][:2]
    assert one.message is other.message  # a store writes it once


def test_a_queued_message_is_written_down_with_what_is_the_receivers_own(world: World, ledger: Ledger) -> None:
    # sections 3.3.1.3 and 3.3.4
    sub = world.client("sub", session_expiry=60).subscribes("a", qos=2, retain_as_published=True, identifier=5)
    sub.drops()
    world.client("pub").publishes("a", b"x", qos=1, retain=True)
    (queued,) = [record for record in ledger.records if isinstance(record, records.Queued)]
    assert (queued.first, queued.extra) == (0x30 | 1 << 1 | 1, b"\x0b\x05")
    assert (queued.message.topic, queued.message.payload) == ("a", b"x")


def test_what_another_member_gets_is_written_down(world: World, ledger: Ledger) -> None:  # section 4.8.2, H1
    one = world.client("one", session_expiry=60).subscribes("$share/g/a", qos=1).drops()
    world.client("pub").publishes("a", b"x", qos=1)
    world.client("two", session_expiry=60).subscribes("$share/g/a", qos=1).drops()
    ledger.takes()
    one.returns(clean_start=True, session_expiry=None)
    assert ledger.lines == ["SessionEnded one", "Queued two #1 a"]


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


def test_a_refused_id_is_disowned(world: World, ledger: Ledger) -> None:  # [MQTT-4.3.3-9]
    pub = world.client("pub", session_expiry=60)
    ledger.takes()
    pub.sends(Publish("$SYS/x", b"x", 2, packet_id=7))
    assert ledger.lines == ["Owned pub 7", "Disowned pub 7"]


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


def test_a_retained_will_is_written_down(world: World, ledger: Ledger) -> None:  # [MQTT-3.1.2-15]
    world.client("c", will=Will("w", b"x", retain=True)).drops()
    assert ledger.lines == ["Retain w"]


# Which answers wait for the disk


def committed(world: World, client: Client) -> list[Packet]:
    """What a client gets when the disk has written; before, it must have got nothing."""
    assert client.got == []
    world.commits()
    return client.takes()


def test_puback_waits_for_what_it_promises(slow: World) -> None:  # pain 1, [MQTT-4.3.2-4]
    sub = slow.knocks("sub", session_expiry=60).sends(Subscribe(1, [Request("a", 1)]))
    slow.commits()
    sub.drops()
    pub = slow.client("pub", version=4)
    pub.sends(Publish("a", b"x", 1, packet_id=7))
    assert committed(slow, pub) == [PubAck(7)]


def test_puback_of_a_retained_message_waits(slow: World) -> None:  # pain 1
    pub = slow.client("pub", version=4).sends(Publish("a", b"x", 1, retain=True, packet_id=7))
    assert committed(slow, pub) == [PubAck(7)]


def test_pubrec_and_pubcomp_wait(slow: World) -> None:  # pain 1, [MQTT-4.3.3-8]
    pub = slow.knocks("pub", session_expiry=60)
    slow.commits()
    pub.takes()
    pub.sends(Publish("a", b"x", 2, packet_id=7))
    assert committed(slow, pub) == [PubRec(7, 0x10)]
    pub.sends(PubRel(7))
    assert committed(slow, pub) == [PubComp(7)]


def test_a_pubrec_for_a_repeat_waits_like_the_first_one(slow: World) -> None:  # [MQTT-4.3.3-10]
    pub = slow.knocks("pub", session_expiry=60)
    slow.commits()
    pub.takes()
    pub.sends(Publish("a", b"x", 2, packet_id=7)).drops()
    pub = slow.knocks("pub", clean_start=False, session_expiry=60)
    pub.sends(Publish("a", b"x", 2, packet_id=7, dup=True))
    assert committed(slow, pub)[1:] == [PubRec(7)]


def test_pubrel_waits(
    slow: World,
) -> None:  # [MQTT-4.3.3-6]: a PUBLISH must not follow a PUBREL, not after a crash either
    sub = slow.knocks("sub", session_expiry=60, acknowledges=False).sends(Subscribe(1, [Request("a", 2)]))
    slow.commits()
    slow.publishes(Message("a", b"x", 2))
    slow.commits()
    assert sub.takes()[-1] == Publish("a", b"x", 2, packet_id=1)
    sub.sends(PubRec(1))
    assert committed(slow, sub) == [PubRel(1)]


def test_suback_and_unsuback_wait(slow: World) -> None:  # promise: an acknowledged subscription survives
    sub = slow.knocks("sub", session_expiry=60)
    slow.commits()
    sub.takes()
    sub.sends(Subscribe(1, [Request("a", 2)]))
    assert committed(slow, sub) == [SubAck(1, [2])]
    sub.sends(Unsubscribe(2, ["a"]))
    assert committed(slow, sub) == [UnsubAck(2, [0])]


def test_connack_waits(slow: World) -> None:  # promise: an acknowledged session survives
    client = slow.knocks("c", session_expiry=60)
    (connack,) = committed(slow, client)
    assert connack is client.connack


def test_a_qos2_publish_waits_for_its_id(slow: World) -> None:
    # Promise: "a QoS 2 message is delivered once, across crashes". Who has sent an id that nobody remembers will
    # give it to another message, which the client then takes for a repeat [MQTT-4.3.3-10] [MQTT-2.2.1-4].
    sub = slow.knocks("sub", session_expiry=60, acknowledges=False).sends(Subscribe(1, [Request("a", 2)]))
    slow.commits()
    sub.takes()
    slow.publishes(Message("a", b"x", 2))
    assert committed(slow, sub) == [Publish("a", b"x", 2, packet_id=1)]


def test_qos0_does_not_wait(slow: World) -> None:  # ARCHITECTURE.md, Seams
    sub = slow.client("sub").subscribes("a")
    slow.client("pub").sends(Publish("a", b"x", retain=True), Publish("a", b"y"))
    assert sub.payloads == [b"x", b"y"]


def test_who_promises_nothing_waits_for_nothing(slow: World) -> None:  # ARCHITECTURE.md
    sub = slow.client("sub").subscribes("a", qos=1)
    pub = slow.client("pub").publishes("a", b"x", qos=1).publishes("a", b"y", qos=2)
    assert sub.payloads == [b"x", b"y"]
    assert pub.sends(PingReq()).got == [PingResp()]


def test_nothing_overtakes_what_waits(slow: World) -> None:  # [MQTT-4.6.0-5], section 4.6
    client = slow.client("c", version=4).subscribes("b")
    client.sends(Publish("a", b"x", 1, retain=True, packet_id=7), PingReq(), Publish("b", b"y"))
    assert committed(slow, client) == [PubAck(7), PingResp(), Publish("b", b"y")]


def test_the_last_words_wait_too(slow: World) -> None:  # pain 1
    pub = slow.client("pub").sends(Publish("a", b"x", 1, retain=True, packet_id=7))
    pub.sends_bytes(b"\x00\x00")
    assert pub.is_connected  # as far as it knows
    assert [type(packet).__name__ for packet in committed(slow, pub)] == ["PubAck", "Disconnect"]
    assert not pub.is_connected


def test_one_commit_serves_everybody(slow: World) -> None:  # ARCHITECTURE.md: a loop turn is a commit
    pubs = [slow.client(f"p{number}", version=4) for number in range(5)]
    for pub in pubs:
        pub.sends(Publish("a", b"x", 1, retain=True, packet_id=7))
    assert [pub.got for pub in pubs] == [[]] * 5
    slow.commits()
    assert [pub.got for pub in pubs] == [[PubAck(7)]] * 5


# Replaying


class Replayed:
    """A session as its records tell it."""

    def __init__(self, expiry_interval: int) -> None:
        self.expiry_interval = expiry_interval
        self.subscriptions: dict[str, tuple[int, bool, bool, int]] = {}
        self.messages: dict[int, tuple[Message, int, bytes]] = {}  # by number
        self.in_flight: dict[int, int] = {}  # packet id -> number, in the order of sending
        self.released: list[int] = []  # packet ids, in the order of their PUBRECs
        self.owned: set[int] = set()


def replay(ledger: Ledger) -> tuple[dict[str, Replayed], dict[str, Message]]:
    """The sessions and retained messages that records tell of. Each must make sense where it stands."""
    sessions: dict[str, Replayed] = {}
    retained: dict[str, Message] = {}
    for record in ledger.records:
        if isinstance(record, records.SessionKept):
            if record.client_id in sessions:
                sessions[record.client_id].expiry_interval = record.expiry_interval
            else:
                sessions[record.client_id] = Replayed(record.expiry_interval)
        elif isinstance(record, records.SessionEnded):
            del sessions[record.client_id]
        elif isinstance(record, records.Retain):
            retained[record.message.topic] = record.message
        elif isinstance(record, records.Unretain):
            del retained[record.topic]
        else:
            _replay_in_session(sessions, record)
    return sessions, retained


def _replay_in_session(sessions: dict[str, Replayed], record: Record) -> None:
    session = sessions[record.client_id]  # type: ignore[attr-defined]
    if isinstance(record, records.Subscribed):
        options = (record.qos, record.no_local, record.retain_as_published, record.identifier)
        session.subscriptions[record.topic_filter] = options
    elif isinstance(record, records.Unsubscribed):
        del session.subscriptions[record.topic_filter]
    elif isinstance(record, records.Queued):
        assert record.number not in session.messages
        session.messages[record.number] = (record.message, record.first, record.extra)
    elif isinstance(record, records.Sent):
        assert record.packet_id not in session.in_flight
        assert record.number in session.messages
        session.in_flight[record.packet_id] = record.number
    elif isinstance(record, records.Released):
        assert record.packet_id in session.in_flight
        if record.packet_id not in session.released:  # a PUBREC may come again
            session.released.append(record.packet_id)
    elif isinstance(record, records.Done):
        del session.messages[record.number]
        for packet_id in [each for each, number in session.in_flight.items() if number == record.number]:
            del session.in_flight[packet_id]
            if packet_id in session.released:
                session.released.remove(packet_id)
    elif isinstance(record, records.Owned):
        assert record.packet_id not in session.owned
        session.owned.add(record.packet_id)
    else:
        assert isinstance(record, records.Disowned)
        session.owned.remove(record.packet_id)


def assert_replayed(engine: Engine, ledger: Ledger, now: float) -> None:
    """Whoever replays the records knows what the engine knows."""
    sessions, retained = replay(ledger)
    assert set(sessions) == {name for name, session in engine.sessions.items() if session.is_kept}
    for name, known in sessions.items():
        session = engine.sessions[name]
        assert known.expiry_interval == session.expiry_interval
        assert known.subscriptions == {
            each.topic_filter: (each.qos, each.no_local, each.retain_as_published, sum(each.identifiers))
            for each in session.subscriptions.values()
        }
        in_flight = session.sender.in_flight
        assert list(known.released) == [packet_id for packet_id, each in in_flight.items() if each.is_released]
        unreleased = [packet_id for packet_id in known.in_flight if packet_id not in known.released]
        assert unreleased == [packet_id for packet_id, each in in_flight.items() if not each.is_released]
        waiting = [each for each in session.waiting or () if each.packet_id == 0]
        everything = {each.number: (each.message, each.first, each.extra) for each in (*in_flight.values(), *waiting)}
        assert known.messages == everything
        assert sorted(each.number for each in waiting) == [each.number for each in waiting]
        assert known.owned == set(session.receiver.owned)
    alive = {topic: message for topic, message in retained.items() if not message.is_expired(now)}
    assert alive == {
        message.topic: message for each in ("#", "$SYS/#") for message in engine.retained.matching(each, now)
    }


@settings(deadline=None, max_examples=200)
@given(
    sent=st.lists(
        st.tuples(st.integers(0, 2), st.booleans(), st.booleans(), st.sampled_from([3, 8]), some_packets()), max_size=8
    )
)
def test_who_replays_the_records_knows_what_the_broker_knew(
    sent: list[tuple[int, bool, bool, int, list[Packet]]],
) -> None:  # STYLE.md: replaying the records rebuilds an equal broker
    ledger = Ledger()
    ledger.committed = 1 << 40
    world = World(Options(receive_maximum=2, max_inflight_messages=2, max_queued_messages=3), journal=ledger)
    for who, acknowledges, clean_start, expiry, packets in sent:
        client = world.client(
            f"c{who}",
            clean_start=clean_start,
            session_expiry=expiry,
            acknowledges=acknowledges,
            will=Will("a", b"will", qos=1, retain=True),
        )
        assert_replayed(world.engine, ledger, world.now)
        for packet in packets:
            if client.is_connected:
                client.sends_bytes(encode(packet, 5))
        assert_replayed(world.engine, ledger, world.now)
        world.advance(1)
        assert_replayed(world.engine, ledger, world.now)
    world.advance(20)
