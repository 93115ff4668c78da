"""What comes back after the process has ended: replaying the records gives an equal broker (restore.py).

First the law, for whatever clients do and for every moment at which a turn was
over. Then the stories, each of them of one thing that comes back.
"""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telex.codes import NEVER_EXPIRES
from telex.engine import records
from telex.engine.engine import Engine
from telex.engine.message import Message
from telex.engine.options import Options
from telex.wire.packets import (
    Disconnect,
    Packet,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    UnsubAck,
    Unsubscribe,
    Will,
)
from telex.wire.properties import Properties
from tests.engine.babble import some_packets
from tests.engine.replaying import Snapshot, check_turn, restored, without_wills
from tests.engine.world import Client, Ledger, World, restore

SUBSCRIBE = Subscribe(1, [SubscriptionRequest("a", 2)])
TIGHT = Options(receive_maximum=2, max_inflight_messages=2, max_queued_messages=3, maximum_session_expiry=8)


# The law


class Witness(Ledger):
    """A ledger that looks at its engine whenever a turn is over."""

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None
        self.snapshots: list[Snapshot] = []

    def commit(self) -> None:
        before = len(self.turns)
        super().commit()
        if self.world is not None and len(self.turns) > before:
            self.snapshots.append(Snapshot(self.world.engine, len(self.everything), self.world.now))


def check_wills(world: World) -> None:
    """When a broker comes back, it publishes the wills of those who were connected, and keeps those that wait."""
    now = world.now
    sessions = world.engine.sessions
    there = [each for each in sessions.values() if each.client is not None and each.will is not None]
    # Those who have kept sessions go first, in the order in which these began.
    there.sort(key=lambda session: (not session.number, session.number))
    expected = restored(world.options, without_wills(world.ledger.everything), now)
    delayed = {
        each.client_id: (each.will, each.will_at or now + each.will_delay)
        for each in sessions.values()
        if each.is_kept and each.will is not None and (each.client is None or each.will_delay)
    }
    for session in there:
        will = session.will
        if will is not None and session.client_id not in delayed:
            message = Message(will.topic, will.payload, will.qos, will.retain)
            expected.publish(message, expected.sessions.get(session.client_id), now)
    engine = restored(world.options, world.ledger.everything, now)
    assert {each.client_id: (each.will, each.will_at) for each in engine.sessions.values() if each.will} == delayed
    assert told(engine) == told(expected)
    assert {each.topic: each.payload for each in engine.retained.all()} == {
        each.topic: each.payload for each in expected.retained.all()
    }


def told(engine: Engine) -> dict[str, list[tuple[str, bytes]]]:
    """What waits for whom."""
    return {
        session.client_id: [(each.message.topic, each.message.payload) for each in session.queue.waiting or ()]
        for session in engine.sessions.values()
    }


class Life:
    """What clients do with a broker, sensible or not. Each of the methods is one act; there are three clients."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.clients: dict[int, Client] = {}  # by number; they may be gone
        self.count = 0  # of messages

    def who(self, number: int) -> Client | None:
        """The client, if it is there."""
        client = self.clients.get(number)
        return client if client is not None and client.is_connected else None

    def connects(
        self, number: int, clean_start: bool, acknowledges: bool, expiry: int, topic: str, delay: int | None
    ) -> None:
        will: Will | None = None
        if topic:
            said = None if delay is None else Properties(will_delay_interval=delay)
            will = Will(topic, b"w%d" % number, qos=number, retain=delay is None, properties=said)
        self.clients[number] = self.world.client(
            f"c{number}",
            clean_start=clean_start,
            acknowledges=acknowledges,
            session_expiry=expiry,
            receive_maximum=2,
            will=will,
        )

    def publishes(self, number: int, topic: str, qos: int, retain: bool, expiry: int | None) -> None:
        client = self.who(number)
        if client is not None:
            said = None if expiry is None else Properties(message_expiry_interval=expiry)
            self.count += 1
            packet_id = 1 + self.count % 4 if qos else 0
            client.sends(Publish(topic, b"%d" % (self.count % 3), qos, retain, packet_id=packet_id, properties=said))

    def subscribes(self, number: int, topic_filter: str, qos: int, no_local: bool, identifier: int) -> None:
        client = self.who(number)
        if client is not None:
            request = SubscriptionRequest(topic_filter, qos, no_local=no_local and "$" not in topic_filter)
            said = Properties(subscription_identifiers=(identifier,)) if identifier else None
            client.sends(Subscribe(9, [request], said))

    def unsubscribes(self, number: int, topic_filter: str) -> None:
        client = self.who(number)
        if client is not None:
            client.sends(Unsubscribe(9, [topic_filter]))

    def acknowledges(self, number: int, which: int, refuses: bool) -> None:
        """Take one step with a message that came here, or with an id that never did."""
        client = self.who(number)
        if client is None:
            return
        session = self.world.engine.sessions[client.name]
        in_flight = [*session.sender.in_flight.values()]
        if which < len(in_flight):
            outgoing = in_flight[which]
            code = 0x97 if refuses else 0
            if outgoing.qos == 1:
                client.sends(PubAck(outgoing.packet_id, code))
            else:
                step = PubComp(outgoing.packet_id) if outgoing.is_released else PubRec(outgoing.packet_id, code)
                client.sends(step)

    def releases(self, number: int, which: int) -> None:
        """Give up an id that is owned here, or one that nobody knows."""
        client = self.who(number)
        if client is not None:
            owned = [*self.world.engine.sessions[client.name].receiver.owned]
            client.sends(PubRel(owned[which] if which < len(owned) else 99))

    def babbles(self, number: int, packets: list[Packet]) -> None:
        for packet in packets:
            client = self.who(number)
            if client is not None:
                client.sends(packet)

    def leaves(self, number: int, expiry: int | None) -> None:
        """With a DISCONNECT, if it says for how long it goes; or without a word."""
        client = self.who(number)
        if client is not None and expiry is not None:
            client.sends(Disconnect(0, Properties(session_expiry_interval=expiry)))
        elif client is not None:
            client.drops()

    def advances(self, seconds: int) -> None:
        self.world.advance(seconds)


def an_act(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """A method of ``Life`` and what it is called with."""
    return st.tuples(st.just(name), *arguments)


WHO = st.integers(0, 2)
QOS = st.integers(0, 2)
TOPICS = st.sampled_from(["a", "b", "a/b"])
FILTERS = st.sampled_from(["a", "b", "#", "a/+", "$share/g/#", "$share/g/a"])
PUBLISHES = an_act("publishes", WHO, TOPICS, st.sampled_from([0, 1, 2, 2]), st.booleans(), st.sampled_from([None, 3]))
ACKNOWLEDGES = an_act("acknowledges", WHO, st.integers(0, 1), st.sampled_from([False, False, True]))
ACTS = st.one_of(
    an_act(
        "connects",
        WHO,
        st.sampled_from([False, False, True]),
        st.sampled_from([False, False, True]),
        st.sampled_from([0, 3, 8, 8]),
        st.sampled_from(["", "", "a", "b"]),
        st.sampled_from([None, 0, 2]),
    ),
    an_act("subscribes", WHO, FILTERS, QOS, st.booleans(), st.integers(0, 2)),
    an_act("unsubscribes", WHO, FILTERS),
    PUBLISHES,
    PUBLISHES,
    PUBLISHES,
    ACKNOWLEDGES,
    ACKNOWLEDGES,
    an_act("releases", WHO, st.integers(0, 1)),
    an_act("babbles", WHO, some_packets()),
    an_act("leaves", WHO, st.sampled_from([None, None, 0, 5])),
    an_act("advances", st.integers(1, 5)),
)


def begins(world: World) -> Life:
    """A broker with three clients, two of whom keep sessions, each with what it wants to hear."""
    life = Life(world)
    for number, expiry in ((0, 8), (1, 8), (2, 0)):
        life.connects(number, True, number == 2, expiry, "", None)
        life.subscribes(number, "#", 2, False, number)
    return life


@settings(deadline=None, max_examples=400)
@given(acts=st.lists(ACTS, max_size=25))
def test_who_replays_the_records_knows_what_the_broker_knew(acts: list[Any]) -> None:  # STYLE.md: the law
    witness = Witness()
    world = witness.world = World(TIGHT, journal=witness)
    life = begins(world)
    for name, *arguments in acts:
        getattr(life, name)(*arguments)
    for snapshot in witness.snapshots:
        check_turn(world.options, witness.everything[: snapshot.count], snapshot)
    check_wills(world)


@settings(deadline=None, max_examples=100)
@given(acts=st.lists(ACTS, max_size=15))
def test_who_restarts_twice_knows_as_much(acts: list[Any]) -> None:  # restore.py
    world = World(TIGHT, journal=Ledger())
    life = begins(world)
    for name, *arguments in acts:
        getattr(life, name)(*arguments)
    world.restarts()
    first = Snapshot(world.engine, 0, world.now)
    world.restarts()
    second = Snapshot(world.engine, 0, world.now)
    assert (second.sessions, second.retained, second.last_numbers) == (
        first.sessions,
        first.retained,
        first.last_numbers,
    )


@settings(deadline=None, max_examples=100)
@given(acts=st.lists(ACTS, max_size=15))
def test_when_all_sessions_are_over_no_memory_is_in_use(acts: list[Any]) -> None:  # promise: memory is bounded
    world = World(TIGHT, journal=Ledger())
    life = begins(world)
    for name, *arguments in acts:
        getattr(life, name)(*arguments)
    for engine_of_before in (True, False):
        if not engine_of_before:
            world.restarts()
        for number in (0, 1, 2):
            life.connects(number, True, True, 0, "", None)
        for number in (0, 1, 2):
            life.leaves(number, None)
        assert world.engine.sessions == {}
        assert world.engine.surroundings.memory == 0


PROMISES = st.one_of(
    st.tuples(st.sampled_from(["publishes"]), st.sampled_from([1, 1, 2, 2, 0]), st.booleans(), st.booleans()),
    st.sampled_from(["releases", "drops", "subscribes", "unsubscribes"]),
    st.integers(0, 3),  # so many more turns are on disk
)


@settings(deadline=None, max_examples=300)
@given(acts=st.lists(PROMISES, min_size=3, max_size=30))
def test_what_was_acknowledged_is_there_after_a_kill(acts: list[Any]) -> None:  # promise: acknowledged means on disk
    world = World(journal=Ledger(is_slow=True))
    world.knocks("sub", session_expiry=60).sends(SUBSCRIBE)
    world.commits()
    world.everybody[0].drops()
    hopeful = Hopeful(world)
    for act in acts:
        hopeful.does(act)
    world.restarts()
    hopeful.check()


class Hopeful:
    """A client that remembers what it was promised."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.count = 0
        self.was_here = False  # CONNACK has come
        self.sent: dict[int, tuple[int, bool]] = {}  # packet id -> number of the message, whether it was retained
        self.acknowledged: list[int] = []  # numbers
        self.retained = 0  # the last number that was acknowledged as retained; those of empty messages are negative
        self.cleared = 0  # the last number of an empty message
        self.owned: set[int] = set()  # packet ids that PUBREC came for, and that PUBREL was not sent for
        self.free: set[int] = set()  # packet ids that PUBCOMP came for
        self.asked = 0  # how often it has subscribed or unsubscribed
        self.subscribed: bool | None = False  # to ``s``; None: it has asked, and does not know
        self.comes()

    def comes(self) -> None:
        self.client = self.world.knocks("pub", clean_start=False, session_expiry=60)

    def does(self, act: Any) -> None:
        if isinstance(act, int):
            self.world.commits(act)
        elif isinstance(act, tuple):
            self.publishes(*act[1:])
        elif act == "releases":
            for packet_id in sorted(self.owned):
                self.client.sends(PubRel(packet_id))
            self.owned.clear()
        elif act == "drops":
            self.client.drops()
            self.comes()
        else:
            self.subscribed = None
            self.asked += 1
            if act == "subscribes":
                self.client.sends(Subscribe(self.asked, [SubscriptionRequest("s", 1)]))
            else:
                self.client.sends(Unsubscribe(self.asked, ["s"]))
        self.listens()

    def publishes(self, qos: int, retain: bool, is_empty: bool) -> None:
        self.count += 1
        packet_id = 1_000 + self.count if qos else 0
        payload = b"%d" % self.count
        if retain and is_empty:
            payload = b""
            self.cleared = self.count
        if qos:
            self.sent[packet_id] = self.count if payload else -self.count, retain
        self.client.sends(Publish("a", payload, qos, retain, packet_id=packet_id))

    def listens(self) -> None:
        for packet in self.client.takes():
            if isinstance(packet, PubAck | PubRec):
                number, retain = self.sent[packet.packet_id]
                self.acknowledged.append(abs(number))
                self.retained = number if retain else self.retained
                if isinstance(packet, PubRec):
                    self.owned.add(packet.packet_id)
            elif isinstance(packet, PubComp):
                self.free.add(packet.packet_id)
            elif isinstance(packet, SubAck | UnsubAck):
                if packet.packet_id == self.asked:
                    self.subscribed = isinstance(packet, SubAck)
            else:
                self.was_here = True

    def check(self) -> None:
        engine = self.world.engine
        waiting = [each.message for each in engine.sessions["sub"].queue.waiting or ()]
        numbers = [int(message.payload) for message in waiting if message.payload]
        assert numbers == sorted(numbers)
        empty = {abs(number) for number, _ in self.sent.values() if number < 0}
        assert set(self.acknowledged) - empty <= set(numbers)
        assert len(waiting) >= len(self.acknowledged)
        if not self.was_here:
            return
        session = engine.sessions["pub"]
        assert self.owned <= set(session.receiver.owned)
        assert not self.free & set(session.receiver.owned)
        if self.subscribed is not None:
            assert ("s" in session.subscriptions) is self.subscribed
        retained = [int(message.payload) for message in engine.retained.all()]
        assert all(number >= abs(self.retained) for number in retained)  # never older than what was acknowledged
        assert retained or self.retained <= 0 or self.cleared > self.retained


# Sessions and subscriptions


@pytest.fixture
def world() -> World:
    """A broker whose disk has written each turn as soon as it is over."""
    return World(journal=Ledger())


@pytest.fixture
def slow() -> World:
    """A broker whose disk has written nothing until ``World.commits``."""
    return World(journal=Ledger(is_slow=True))


def keeper(world: World, *topic_filters: str, **manners: Any) -> Client:
    """A client that keeps its session for a minute, subscribed."""
    return world.client("sub", **{"session_expiry": 60, **manners}).subscribes(*(topic_filters or ("a",)), qos=2)


def test_a_kept_session_is_there_again(world: World) -> None:  # [MQTT-3.1.2-23]
    sub = keeper(world)
    world.restarts()
    assert not sub.is_connected
    assert sub.returns().session_present


@pytest.mark.parametrize("version", [3, 4])
def test_a_v3_session_is_there_again(world: World, version: int) -> None:  # v3 [MQTT-3.1.2-4]
    sub = keeper(world, version=version, clean_start=False, session_expiry=None)
    world.restarts(after=86_400)
    sub = sub.returns()
    world.client("pub").publishes("a", b"x", qos=2)
    assert sub.session_present is (version == 4)
    assert sub.payloads == [b"x"]


def test_a_session_that_is_not_kept_is_gone(world: World) -> None:  # [MQTT-4.1.0-2]
    sub = world.client("sub").subscribes("a", qos=1)
    world.restarts()
    assert world.engine.sessions == {}
    assert not sub.returns().session_present


def test_a_session_that_was_over_stays_over(world: World) -> None:  # [MQTT-4.1.0-2]
    keeper(world).drops()
    world.client("sub").drops()  # a clean start
    keeper(world).disconnects(session_expiry=0)
    world.restarts()
    assert world.engine.sessions == {}


def test_a_session_that_its_client_did_not_want_to_keep_any_more_is_gone(world: World) -> None:
    # section 3.1.2.11.2: its connection ended with the process
    sub = keeper(world).drops().returns(session_expiry=None)
    assert sub.session_present
    world.restarts()
    assert world.engine.sessions == {}


def test_a_session_that_was_not_written_is_gone(slow: World) -> None:  # its CONNACK had not left
    client = slow.knocks("c", session_expiry=60)
    slow.restarts()
    assert client.got == []
    assert slow.engine.sessions == {}


def test_two_sessions_of_one_client_id_are_not_mixed_up(world: World) -> None:  # records.py: sessions have numbers
    keeper(world, "old").drops()
    world.client("pub").publishes("old", b"x", qos=1)
    sub = keeper(world, "new")
    world.restarts()
    sub = sub.returns()
    world.client("pub").publishes("old", b"y", qos=1).publishes("new", b"z", qos=1)
    assert sub.payloads == [b"z"]


def test_sessions_that_begin_later_have_new_numbers(world: World) -> None:  # records.py
    keeper(world).drops()
    world.restarts()
    world.client("other", session_expiry=60)
    numbers = {record.session for record in world.ledger.everything if isinstance(record, records.SessionKept)}
    assert len(numbers) == 2


def test_subscriptions_come_back_with_their_options(world: World) -> None:  # section 3.8.3.1
    sub = world.client("sub", session_expiry=60)
    sub.subscribes("a/+", qos=1, retain_as_published=True, identifier=7).subscribes("b", qos=1, no_local=True)
    sub.subscribes("c", qos=2).subscribes("c", qos=0).subscribes("d", qos=1).unsubscribes("d")
    world.restarts()
    sub = sub.returns()
    pub = world.client("pub")
    sub.publishes("b", b"own", qos=1)
    for topic in ("a/x", "b", "c", "d"):
        pub.publishes(topic, b"x", qos=2, retain=True)
    assert [(each.topic, each.qos, each.retain) for each in sub.messages] == [
        ("a/x", 1, True),
        ("b", 1, False),
        ("c", 0, False),
    ]
    said = sub.messages[0].properties
    assert said is not None
    assert said.subscription_identifiers == (7,)


def test_a_subscription_may_be_replaced_and_dropped(world: World) -> None:  # [MQTT-3.8.4-3] [MQTT-3.10.4-1]
    sub = keeper(world, "a", "b")
    world.restarts()
    sub = sub.returns().subscribes("a", qos=0).unsubscribes("b")
    world.restarts()
    sub = sub.returns()
    world.client("pub").publishes("a", b"x", qos=1).publishes("b", b"y", qos=1)
    assert [(each.topic, each.qos) for each in sub.messages] == [("a", 0)]


def test_members_of_a_group_come_back(world: World) -> None:  # section 4.8.2
    for name in ("one", "two"):
        world.client(name, session_expiry=60).subscribes("$share/g/a", qos=1)
    world.restarts()
    one, two = (world.client(name, clean_start=False, session_expiry=60) for name in ("one", "two"))
    pub = world.client("pub")
    for number in range(4):
        pub.publishes("a", b"%d" % number, qos=1)
    assert (len(one.payloads), len(two.payloads)) == (2, 2)


def test_what_came_by_a_shared_subscription_goes_to_another_member_at_last(world: World) -> None:  # H1
    world.client("one", session_expiry=60, acknowledges=False).subscribes("$share/g/a", qos=1)
    pub = world.client("pub").publishes("a", b"in flight", qos=1)
    world.engine.sessions["one"].client.disconnect(0x8B, "for the story", world.now)  # type: ignore[union-attr]
    world.flush()
    pub.publishes("a", b"waits", qos=1)
    world.restarts()
    two = world.client("two").subscribes("$share/g/a", qos=1)
    world.client("one").drops()  # a clean start
    assert two.payloads == [b"in flight", b"waits"]


# Messages on their way to a client


def test_what_was_acknowledged_while_its_subscriber_was_away_arrives(world: World) -> None:  # S6
    sub = keeper(world).drops()
    world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=2).publishes("a", b"0")
    world.restarts(after=30)
    sub = sub.returns()
    assert [(each.payload, each.qos, each.dup) for each in sub.messages] == [(b"1", 1, False), (b"2", 2, False)]


def test_what_was_not_acknowledged_need_not_arrive(slow: World) -> None:  # promise: acknowledged means on disk
    slow.knocks("sub", session_expiry=60)
    slow.commits()
    slow.knocks("sub", clean_start=False, session_expiry=60).sends(SUBSCRIBE).drops()
    slow.commits()
    pub = slow.client("pub").sends(Publish("a", b"kept", 1, packet_id=1))
    slow.commits()
    pub.sends(Publish("a", b"lost", 1, packet_id=2))
    assert pub.got == [PubAck(1)]
    slow.restarts()
    sub = slow.knocks("sub", clean_start=False, session_expiry=60)
    slow.commits()
    assert sub.payloads == [b"kept"]


def test_what_was_in_flight_comes_again_with_its_id(world: World) -> None:  # [MQTT-4.4.0-1], S1
    sub = keeper(world, acknowledges=False)
    world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=2).publishes("a", b"3", qos=1)
    world.restarts()
    sub = sub.returns()
    assert sub.got == [
        Publish("a", b"1", 1, dup=True, packet_id=1),
        Publish("a", b"2", 2, dup=True, packet_id=2),
        Publish("a", b"3", 1, dup=True, packet_id=3),
    ]


def test_new_messages_get_ids_that_are_free(world: World) -> None:  # [MQTT-2.2.1-4]
    sub = keeper(world, acknowledges=False)
    pub = world.client("pub")
    for number in range(4):
        pub.publishes("a", b"%d" % number, qos=1)
    sub.sends(PubAck(1), PubAck(3))
    world.restarts()
    sub = sub.returns()
    sub.takes()
    world.client("pub").publishes("a", b"x", qos=1).publishes("a", b"y", qos=1).publishes("a", b"z", qos=1)
    assert [message.packet_id for message in sub.messages] == [1, 3, 5]


def test_what_the_client_owns_already_is_released_again(world: World) -> None:  # [MQTT-4.3.3-6], S2
    sub = keeper(world, acknowledges=False)
    pub = world.client("pub")
    for number in range(1, 5):
        pub.publishes("a", b"%d" % number, qos=2)
    sub.sends(PubRec(3), PubRec(1), PubRec(4))
    sub.sends(PubComp(4))
    world.restarts()
    sub = sub.returns()
    assert sub.got == [
        PubRel(3),  # in the order of their PUBRECs [MQTT-4.6.0-4]
        PubRel(1),
        Publish("a", b"2", 2, dup=True, packet_id=2),
    ]


def test_what_was_in_flight_leaves_before_what_waited(world: World) -> None:  # S7
    sub = keeper(world, acknowledges=False, receive_maximum=2)
    pub = world.client("pub")
    for number in range(1, 6):
        pub.publishes("a", b"%d" % number, qos=1)
    sub.sends(PubAck(1))
    world.restarts()
    world.client("pub").publishes("a", b"6", qos=1)
    sub = sub.returns(receive_maximum=None)
    assert sub.payloads == [b"2", b"3", b"4", b"5", b"6"]
    assert [message.dup for message in sub.messages] == [True, True, False, False, False]


def test_what_is_acknowledged_after_a_restart_is_done(world: World) -> None:  # [MQTT-4.3.2-3]
    sub = keeper(world, acknowledges=False)
    world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=2)
    world.restarts()
    sub = sub.returns()
    sub.sends(PubAck(1), PubRec(2), PubComp(2))
    world.restarts()
    sub = sub.returns()
    assert sub.got == []
    assert world.engine.surroundings.memory == 0


def test_what_was_refused_stays_refused(world: World) -> None:  # [MQTT-4.4.0-2], S5
    sub = keeper(world, acknowledges=False)
    world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=2)
    sub.sends(PubAck(1, 0x97), PubRec(2, 0x97))
    world.restarts()
    assert sub.returns().got == []


def test_a_queue_keeps_its_limit() -> None:  # memory is bounded
    world = World(Options(max_queued_messages=3), journal=Ledger())
    sub = keeper(world).drops()
    world.client("pub").publishes("a", b"1", qos=1).publishes("a", b"2", qos=1)
    world.restarts()
    pub = world.client("pub")
    for payload in (b"3", b"4", b"5"):
        pub.publishes("a", payload, qos=1)
    assert world.engine.sessions["sub"].dropped == 2
    assert sub.returns().payloads == [b"1", b"2", b"3"]


def test_a_message_that_several_wait_for_is_one_in_memory(world: World) -> None:  # a kept payload is there once
    for name in ("s1", "s2", "s3"):
        world.client(name, session_expiry=60).subscribes("a", qos=1).drops()
    world.client("pub").publishes("a", b"x" * 100, qos=1)
    world.restarts()
    messages = {id(each.message) for session in world.engine.sessions.values() for each in session.queue.waiting or ()}
    assert len(messages) == 1


def test_a_message_comes_back_with_all_that_it_has(world: World) -> None:  # section 3.3.2.3
    said = Properties(
        content_type="text",
        response_topic="r",
        correlation_data=b"c",
        user_properties=(("k", "v"),),
        payload_format_indicator=1,
        message_expiry_interval=100,
    )
    sub = world.client("sub", session_expiry=600).subscribes("a", qos=2, retain_as_published=True, identifier=5).drops()
    world.client("pub").publishes("a", b"x", qos=2, retain=True, properties=said)
    world.restarts(after=40)
    (message,) = sub.returns().messages
    assert (message.topic, message.payload, message.qos, message.retain) == ("a", b"x", 2, True)
    assert message.properties == Properties(
        content_type="text",
        response_topic="r",
        correlation_data=b"c",
        user_properties=(("k", "v"),),
        payload_format_indicator=1,
        message_expiry_interval=60,
        subscription_identifiers=(5,),
    )


# Messages from a client


def test_an_id_that_we_own_is_owned_again(world: World) -> None:  # [MQTT-4.3.3-10], S3
    sub = keeper(world)
    pub = world.client("pub", session_expiry=60).sends(Publish("a", b"x", 2, packet_id=7))
    assert sub.payloads == [b"x"]
    world.restarts()
    sub, pub = sub.returns(), pub.returns()
    pub.sends(Publish("a", b"x", 2, dup=True, packet_id=7), PubRel(7))
    assert pub.got == [PubRec(7), PubComp(7)]
    assert sub.payloads == []
    pub.publishes("a", b"y", qos=2)
    assert sub.payloads == [b"y"]


def test_an_id_that_was_given_up_is_free(world: World) -> None:  # [MQTT-4.3.3-12]
    sub = keeper(world)
    pub = world.client("pub", session_expiry=60).sends(Publish("a", b"x", 2, packet_id=7), PubRel(7))
    world.restarts()
    sub, pub = sub.returns(), pub.returns()
    pub.sends(Publish("a", b"y", 2, packet_id=7))
    assert sub.payloads == [b"y"]


def test_a_qos2_message_is_delivered_once_whenever_we_are_killed() -> None:
    # Promise: "a QoS 2 message is delivered once, across crashes"
    for killed_after in range(8):
        world = World(journal=Ledger(is_slow=True))
        heard = story_of_a_qos2_message(world, killed_after)
        assert heard == [b"x"], f"killed after step {killed_after}"


def story_of_a_qos2_message(world: World, killed_after: int) -> list[bytes]:
    """One message from client to client, with a broker that is killed at one step; what the other client heard."""
    heard: list[bytes] = []
    released: set[int] = set()
    sub = world.knocks("sub", session_expiry=60, acknowledges=False)
    pub = world.knocks("pub", session_expiry=60)
    world.commits()
    sub.sends(SUBSCRIBE)
    world.commits()
    sub.takes()
    pub.takes()
    message: list[Packet] = [Publish("a", b"x", 2, packet_id=7)]  # what the publisher has to send
    seen: set[int] = set()  # packet ids that the subscriber knows
    for step in range(20):
        if pub.is_connected and message:
            pub.sends(message[0])
        if step % 2 == 0:
            world.commits()
        if step == killed_after:
            world.restarts()
            pub = world.knocks("pub", clean_start=False, session_expiry=60)
            sub = world.knocks("sub", clean_start=False, session_expiry=60, acknowledges=False)
        for packet in pub.takes():
            if isinstance(packet, PubRec):
                message = [PubRel(7)]
            elif isinstance(packet, PubComp):
                message = []
        for packet in sub.takes():
            if isinstance(packet, Publish):
                if packet.packet_id not in seen:
                    heard.append(packet.payload)
                    seen.add(packet.packet_id)
                sub.sends(PubRec(packet.packet_id))
            elif isinstance(packet, PubRel):
                seen.discard(packet.packet_id)
                released.add(packet.packet_id)
                sub.sends(PubComp(packet.packet_id))
    world.commits()
    assert message == []
    assert seen == set()
    return heard


# Retained messages


def test_retained_messages_come_back(world: World) -> None:  # [MQTT-3.3.1-5]
    pub = world.client("pub")
    pub.publishes("a", b"old", retain=True).publishes("a", b"new", qos=2, retain=True)
    pub.publishes("b", b"x", qos=1, retain=True, properties=Properties(content_type="text"))
    pub.publishes("c", b"gone", retain=True).publishes("c", b"", retain=True)
    world.restarts()
    assert (world.engine.retained.count, world.engine.retained.bytes) == (2, 8)
    late = world.client("late").subscribes("#", qos=2)
    assert sorted((each.topic, each.payload, each.qos, each.retain) for each in late.messages) == [
        ("a", b"new", 2, True),
        ("b", b"x", 1, True),
    ]
    assert Properties(content_type="text") in [each.properties for each in late.messages]


def test_who_published_a_retained_message_does_not_get_it_with_no_local(world: World) -> None:  # [MQTT-3.8.3-3]
    pub = world.client("pub", session_expiry=60).publishes("a", b"x", retain=True)
    world.restarts()
    assert pub.returns().subscribes("a", no_local=True).payloads == []
    assert world.client("other").subscribes("a", no_local=True).payloads == [b"x"]


# Time


def test_a_session_goes_on_towards_its_end(world: World) -> None:  # section 3.1.2.11.2, S10
    keeper(world).drops()
    world.advance(20)
    world.restarts(after=30)
    world.advance(9)
    assert "sub" in world.engine.sessions
    world.advance(2)
    assert "sub" not in world.engine.sessions
    assert world.engine.stats.clients_expired == 1


def test_a_session_whose_client_was_there_begins_its_time_anew(world: World) -> None:
    # section 3.1.2.11.2: the connection ended with the process, whenever that was
    keeper(world)
    world.advance(50)
    world.restarts(after=50)
    world.advance(59)
    assert "sub" in world.engine.sessions
    world.advance(2)
    assert "sub" not in world.engine.sessions


def test_a_session_whose_end_came_meanwhile_is_over(world: World) -> None:  # section 3.1.2.11.2
    sub = keeper(world).drops()
    world.client("pub").publishes("a", b"x", qos=1)
    world.restarts(after=60)
    assert world.engine.sessions == {}
    assert world.engine.surroundings.memory == 0
    assert world.ledger.lines[-1] == "SessionEnded sub"
    assert not sub.returns().session_present


def test_a_session_that_never_ends_comes_back_after_any_time(world: World) -> None:  # section 3.1.2.11.2
    sub = keeper(world, session_expiry=NEVER_EXPIRES).drops()
    world.restarts(after=2**33)
    assert sub.returns().session_present


def test_a_clock_that_was_set_back_ends_nothing(world: World) -> None:  # times are those of the wall
    sub = keeper(world).drops()
    world.restarts(after=-500)
    assert sub.returns().session_present


@pytest.mark.parametrize("away", [False, True])
def test_a_message_expires_while_we_are_away(world: World, away: bool) -> None:  # [MQTT-3.3.2-5], R4
    sub = world.client("sub", session_expiry=600).subscribes("a", qos=1).drops()
    pub = world.client("pub")
    for seconds in (10, 100):
        said = Properties(message_expiry_interval=seconds)
        pub.publishes("a", b"%d" % seconds, qos=1, properties=said)
        pub.publishes(f"r/{seconds}", b"%d" % seconds, retain=True, properties=said)
    if away:
        world.restarts(after=30)
    else:
        world.restarts()
        world.advance(30)
    sub = sub.returns()
    assert sub.payloads == [b"100"]
    late = world.client("late").subscribes("r/#")
    assert late.payloads == [b"100"]
    for message in (*sub.messages, *late.messages):
        assert message.properties == Properties(message_expiry_interval=70)
    world.advance(1)
    assert world.engine.retained.count == 1


def test_what_was_in_flight_does_not_expire(world: World) -> None:  # [MQTT-4.3.3-7], S8
    sub = keeper(world, acknowledges=False)
    world.client("pub").publishes("a", b"x", qos=2, properties=Properties(message_expiry_interval=5))
    world.restarts(after=30)
    assert sub.returns().payloads == [b"x"]


# Wills


def will(delay: int | None = None, **options: Any) -> Will:
    """A will to ``w``, that comes so many seconds late."""
    properties = None if delay is None else Properties(will_delay_interval=delay)
    return Will("w", b"lost", properties=properties, **options)


@pytest.mark.parametrize("session_expiry", [None, 60])
def test_the_will_of_who_was_connected_is_published(world: World, session_expiry: int | None) -> None:
    # [MQTT-3.1.2-8]: the connection ended, and not by a DISCONNECT
    sub = keeper(world, "w")
    world.client("c", session_expiry=session_expiry, will=will(qos=1, retain=True))
    world.restarts()
    assert sub.returns().payloads == [b"lost"]
    assert world.client("late").subscribes("w").payloads == [b"lost"]
    world.restarts()
    assert sub.returns().payloads == []  # once


def test_the_will_of_who_had_left_well_is_not(world: World) -> None:  # [MQTT-3.14.4-3]
    sub = keeper(world, "w")
    world.client("c", session_expiry=60, will=will()).disconnects()
    world.client("d", will=will()).disconnects()
    world.client("e", session_expiry=60, will=will()).drops().returns(will=None)
    sub.takes()
    world.restarts()
    assert sub.returns().payloads == []


def test_a_will_that_was_published_is_not_published_again(world: World) -> None:  # [MQTT-3.1.2-10]
    sub = keeper(world, "w")
    world.client("c", session_expiry=60, will=will(qos=1)).drops()
    assert sub.takes() == [Publish("w", b"lost", 1, packet_id=1)]
    world.restarts()
    assert sub.returns().payloads == []


def test_a_will_that_waits_waits_on(world: World) -> None:  # section 3.1.3.2.2
    sub = keeper(world, "w", session_expiry=600)
    world.client("c", session_expiry=600, will=will(30, qos=1)).drops()
    world.advance(10)
    world.restarts(after=10)
    sub = sub.returns()
    world.advance(9)
    assert sub.payloads == []
    world.advance(2)
    assert sub.payloads == [b"lost"]


def test_a_will_that_fell_due_meanwhile_is_published(world: World) -> None:  # section 3.1.3.2.2
    sub = keeper(world, "w", session_expiry=600)
    world.client("c", session_expiry=600, will=will(30, qos=1)).drops()
    world.restarts(after=100)
    assert sub.returns().payloads == [b"lost"]
    assert "c" in world.engine.sessions


def test_a_will_is_cut_short_by_the_end_of_its_session(world: World) -> None:  # [MQTT-3.1.2-8], W2
    sub = keeper(world, "w", session_expiry=600)
    world.client("c", session_expiry=20, will=will(500, qos=1)).drops()
    world.restarts(after=25)
    assert sub.returns().payloads == [b"lost"]
    assert "c" not in world.engine.sessions


def test_the_delay_of_who_was_connected_begins_with_the_restart(world: World) -> None:  # section 3.1.3.2.2
    sub = keeper(world, "w", session_expiry=600)
    client = world.client("c", session_expiry=600, will=will(30, qos=1))
    world.advance(50)
    world.restarts(after=50)
    sub = sub.returns()
    world.advance(29)
    assert sub.payloads == []
    world.advance(2)
    assert sub.payloads == [b"lost"]
    assert client.returns().session_present


def test_who_comes_back_in_time_takes_its_will_back(world: World) -> None:  # [MQTT-3.1.3-9], W2
    sub = keeper(world, "w", session_expiry=600)
    client = world.client("c", session_expiry=600, will=will(30, qos=1))
    world.restarts()
    client.returns(will=None)
    sub = sub.returns()
    world.advance(60)
    assert sub.payloads == []


def test_a_will_comes_back_with_all_that_it_has(world: World) -> None:  # section 3.1.3.2
    sub = keeper(world, "w", session_expiry=600)
    said = Properties(
        will_delay_interval=5, message_expiry_interval=40, content_type="text", user_properties=(("k", "v"),)
    )
    world.client("c", session_expiry=600, will=Will("w", b"x", qos=2, retain=True, properties=said)).drops()
    world.restarts(after=20)
    sub = sub.returns()
    kept = Properties(message_expiry_interval=40, content_type="text", user_properties=(("k", "v"),))
    assert sub.messages == [Publish("w", b"x", 2, packet_id=1, properties=kept)]  # its time begins when it is published
    assert world.engine.retained.count == 1


def test_a_will_is_written_off_when_it_is_published_after_a_restart(world: World) -> None:  # records.py
    keeper(world, "w")
    world.client("c", will=will(qos=1))
    world.restarts()
    assert world.ledger.lines == ["SessionLeft sub until 1060", "Unwilled c", "Queued sub #1 w"]


# A store that gives back less


def test_a_store_may_keep_messages_to_itself_until_they_are_wanted() -> None:  # records.py: Stored
    ledger = Ledger(page=2)
    world = World(journal=ledger)
    sub = keeper(world, acknowledges=False, receive_maximum=1)
    pub = world.client("pub")
    for number in range(7):
        pub.publishes("a", b"%d" % number, qos=1)
    (session,) = [each.session for each in ledger.everything if isinstance(each, records.SessionKept)]
    in_flight = [each for each in ledger.everything if isinstance(each, records.Sent)]
    assert len(in_flight) == 1
    waiting = {each.number for each in ledger.everything if isinstance(each, records.Queued)} - {in_flight[0].number}
    kept = [each for each in ledger.everything if not (isinstance(each, records.Queued) and each.number in waiting)]
    kept.append(records.Stored(session, len(waiting), len(waiting), max(waiting)))
    world.restarts()
    world._begin()
    restore(world.engine, kept, world.now)
    restored_session = world.engine.sessions["sub"]
    assert (restored_session.queue.stored, restored_session.queue.bytes, restored_session.message_count) == (6, 6, 7)
    world.publishes(Message("a", b"7", 1))
    assert restored_session.queue.stored == 7  # behind what waits there
    sub = sub.returns(acknowledges=True, receive_maximum=None)
    assert sub.payloads == [b"%d" % number for number in range(8)]
    assert (restored_session.queue.stored, restored_session.queue.bytes, restored_session.message_count) == (0, 0, 0)
    assert world.engine.surroundings.memory == 0


def test_what_belongs_to_a_session_that_is_not_there_is_passed_over() -> None:  # restore.py
    message = Message("a", b"x", 1)
    engine = restored(
        Options(),
        [
            records.Subscribed(9, "a", 1, no_local=False, retain_as_published=False, identifier=0),
            records.Unsubscribed(9, "a"),
            records.Queued(4, 9, message, 0x32, b"", ""),
            records.Sent(4, 1),
            records.Released(4, 1),
            records.Done(4),
            records.Done(5),
            records.Stored(9, 5, 5, 50),
            records.Owned(9, 1),
            records.Disowned(9, 1),
            records.SessionLeft(9, 5.0, 0.0),
            records.SessionEnded(9),
            records.Unwilled("c"),
            records.Unretain("a"),
        ],
        10.0,
    )
    assert engine.sessions == {}
    assert engine.subscriptions.count == 0
    assert engine.surroundings.memory == 0


def test_an_engine_of_no_records_knows_nothing() -> None:  # restore.py
    engine = restored(Options(), [], 10.0)
    assert (engine.sessions, engine.retained.count, len(engine.deadlines)) == ({}, 0, 0)
