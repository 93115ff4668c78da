"""The engine against a model so naive that it can be read at a glance: lists, and one filter against one name.

Clients of all versions connect, take over, subscribe, publish, hold back their
acknowledgements, vanish, return, expire and leave wills. After each step every
client has got exactly what the model says: the same messages, and in the same
order where the specification asks for one (section 4.6).
"""

from collections import defaultdict

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from telex.codes import NEVER_EXPIRES
from telex.topics import matches
from telex.wire.packets import PubAck, PubComp, Publish, PubRec, PubRel, Will
from telex.wire.properties import Properties
from tests.engine.world import Client, Ledger, World

NAMES = st.sampled_from(["ann", "bob", "cyd", "dan"])
TOPICS = st.sampled_from(["a", "a/b", "a/b/c", "b", "/", "$x/a", "w/ann"])
FILTERS = st.sampled_from(["a", "a/b", "a/+", "a/#", "+", "#", "+/b", "+/+/c", "/", "$x/+", "$x/#", "w/+"])
QOS = st.integers(0, 2)
MESSAGES = st.tuples(  # topic, QoS, retain, whether it is empty, seconds that it lasts
    TOPICS, QOS, st.booleans(), st.sampled_from([False, False, False, True]), st.sampled_from([None, None, 2, 5])
)
WHO = st.integers(0, 11)  # of those who are connected; 12 can be shared out among 1, 2, 3 and 4
Seen = tuple[str, bytes, int, bool, bool, int | None]  # topic, payload, QoS, RETAIN, DUP, seconds left


class Sent:
    """A message as one receiver gets it."""

    def __init__(self, topic: str, payload: bytes, qos: int, retain: bool, expires_at: float | None) -> None:
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.expires_at = expires_at
        self.dup = False
        self.packet_id = 0  # once it is known
        self.is_released = False  # the receiver has said PUBREC

    def seen(self, version: int, now: float) -> Seen:
        """What the receiver sees of it, if it leaves now."""
        left = None if self.expires_at is None or version != 5 else max(int(self.expires_at - now), 0)
        return self.topic, self.payload, self.qos, self.retain, self.dup, left


class ModelSession:
    """What a client id remembers, as lists."""

    def __init__(self) -> None:
        self.subscriptions: dict[str, tuple[int, bool, bool]] = {}  # QoS, no local, retain as published
        self.waiting: list[Sent] = []
        self.unacknowledged: list[Sent] = []
        self.expected: list[tuple[Sent, Seen]] = []  # what its client must have got since the last look
        self.expected_pubrels: list[int] = []
        self.client: Client | None = None
        self.expiry = 0
        self.ends_at: float | None = None
        self.will: Will | None = None
        self.will_at: float | None = None


class EngineAgainstModel(RuleBasedStateMachine):
    """The rules are what clients do; each does it to the engine and to the model."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(journal=Ledger())
        self.sessions: dict[str, ModelSession] = {}
        self.retained: dict[str, Sent] = {}
        self.count = 0

    @initialize(kept=st.booleans(), topic_filter=FILTERS, qos=QOS)
    def somebody_is_there(self, kept: bool, topic_filter: str, qos: int) -> None:
        for name, version, acknowledges in (("ann", 5, True), ("bob", 4, False), ("cyd", 5, False)):
            self.connects(name, version, not kept, NEVER_EXPIRES, acknowledges, None, None)
        for who in range(3):
            self.subscribes(who, topic_filter, qos, False, False, 0)
            self.subscribes(who, "a/#", 2, False, False, 0)

    # What clients do

    @rule(
        name=NAMES,
        version=st.sampled_from([3, 4, 5]),
        clean_start=st.booleans(),
        expiry=st.sampled_from([0, 3, 10, NEVER_EXPIRES]),
        acknowledges=st.booleans(),
        receive_maximum=st.sampled_from([None, None, 1, 2]),
        will_delay=st.sampled_from([None, None, 0, 4]),
    )
    def connects(
        self,
        name: str,
        version: int,
        clean_start: bool,
        expiry: int,
        acknowledges: bool,
        receive_maximum: int | None,
        will_delay: int | None,
    ) -> None:
        if version != 5:
            expiry = 0 if clean_start else NEVER_EXPIRES
        will = None
        if will_delay is not None:
            properties = Properties(will_delay_interval=will_delay) if version == 5 else None
            will = Will(f"w/{name}", self._payload(), qos=1, properties=properties)
        if name in self.sessions and self.sessions[name].client is not None:
            self._lost(name, with_will=True)  # taken over
        if clean_start and name in self.sessions:
            self._ends(name)
        is_present = name in self.sessions
        if is_present and any(sent.is_released for sent in self.sessions[name].unacknowledged):
            receive_maximum = None  # PUBRELs of an earlier connection and a small quota: a story of test_qos.py
        session = self.sessions.setdefault(name, ModelSession())
        client = self.world.client(
            name,
            version=version,
            clean_start=clean_start,
            session_expiry=expiry if version == 5 else None,
            acknowledges=acknowledges,
            receive_maximum=receive_maximum if version == 5 and acknowledges else None,
            will=will,
        )
        assert client.session_present == (is_present and version != 3)
        session.client, session.expiry, session.ends_at = client, expiry, None
        session.will, session.will_at = will, None
        again = session.unacknowledged
        session.unacknowledged = []
        for sent in again:
            if sent.is_released:
                session.expected_pubrels.append(sent.packet_id)
                if not acknowledges:
                    session.unacknowledged.append(sent)
            else:
                sent.dup = True
                self._sends(session, sent)
        waiting, session.waiting = session.waiting, []
        for sent in waiting:
            if sent.expires_at is None or sent.expires_at > self.world.now:
                self._sends(session, sent)

    @rule(who=WHO, is_polite=st.booleans())
    def leaves(self, who: int, is_polite: bool) -> None:
        name = self._one(who)
        client = self.sessions[name].client if name else None
        if client is None:
            return
        if is_polite:
            client.disconnects()
        else:
            client.drops()
        self._lost(name, with_will=not is_polite)

    @rule(who=WHO, acknowledges=st.booleans(), away=st.integers(0, 2), messages=st.lists(MESSAGES, max_size=3))
    def vanishes_and_returns(
        self, who: int, acknowledges: bool, away: int, messages: list[tuple[str, int, bool, bool, int | None]]
    ) -> None:
        name = self._one(who)
        client = self.sessions[name].client if name else None
        if client is None:
            return
        self.leaves(who, False)
        self.publishes(who, messages)
        self.time_passes(away)
        manners = client.manners
        expiry = NEVER_EXPIRES if manners.session_expiry is None else manners.session_expiry
        self.connects(name, manners.version, False, expiry, acknowledges, None, None)

    @rule(
        who=WHO,
        topic_filter=FILTERS,
        qos=QOS,
        no_local=st.booleans(),
        retain_as_published=st.booleans(),
        retain_handling=QOS,
    )
    def subscribes(
        self,
        who: int,
        topic_filter: str,
        qos: int,
        no_local: bool,
        retain_as_published: bool,
        retain_handling: int,
    ) -> None:
        session = self.sessions.get(self._one(who))
        if session is None or session.client is None:
            return
        if session.client.manners.version != 5:
            no_local, retain_as_published, retain_handling = False, False, 0
        if no_local:
            retain_handling = 2  # what a client gets of its own retained messages is a story by itself
        session.client.subscribes(
            topic_filter,
            qos=qos,
            no_local=no_local,
            retain_as_published=retain_as_published,
            retain_handling=retain_handling,
        )
        is_new = topic_filter not in session.subscriptions
        session.subscriptions[topic_filter] = (qos, no_local, retain_as_published)
        if retain_handling == 0 or (retain_handling == 1 and is_new):
            for topic, kept in self.retained.items():
                if matches(topic_filter, topic):
                    self._sends(session, Sent(topic, kept.payload, min(qos, kept.qos), True, kept.expires_at))

    @rule(who=WHO, topic_filter=FILTERS)
    def unsubscribes(self, who: int, topic_filter: str) -> None:
        session = self.sessions.get(self._one(who))
        if session is None or session.client is None:
            return
        if session.subscriptions.pop(topic_filter, None) is not None:
            session.client.unsubscribes(topic_filter)

    @rule(who=WHO, messages=st.lists(MESSAGES, min_size=1, max_size=6))
    def publishes(self, who: int, messages: list[tuple[str, int, bool, bool, int | None]]) -> None:
        name = self._one(who)
        client = self.sessions[name].client if name else None
        if client is None:
            return
        for topic, qos, retain, is_empty, lasts in messages:
            seconds = lasts if client.manners.version == 5 else None
            payload = b"" if is_empty else self._payload()
            properties = None if seconds is None else Properties(message_expiry_interval=seconds)
            client.publishes(topic, payload, qos, retain=retain, properties=properties)
            expires_at = None if seconds is None else self.world.now + seconds
            self._published(Sent(topic, payload, qos, retain, expires_at), name)

    @rule(who=WHO, how=st.sampled_from(["the first", "all", "half"]))
    def acknowledges(self, who: int, how: str) -> None:
        session = self.sessions.get(self._one(who))
        if session is None or session.client is None or session.client.manners.acknowledges:
            return
        client = session.client
        for sent in session.unacknowledged[: 1 if how == "the first" else None]:
            if sent.qos == 1 and how != "half":
                client.sends(PubAck(sent.packet_id))
                session.unacknowledged.remove(sent)
            elif sent.qos == 2:
                if not sent.is_released:
                    client.sends(PubRec(sent.packet_id))
                    session.expected_pubrels.append(sent.packet_id)
                    sent.is_released = True
                    session.unacknowledged.remove(sent)  # PUBRELs are repeated in the order of their PUBRECs
                    session.unacknowledged.append(sent)
                if how != "half":
                    client.sends(PubComp(sent.packet_id))
                    session.unacknowledged.remove(sent)

    @rule(seconds=st.integers(1, 4))
    def time_passes(self, seconds: int) -> None:
        for _ in range(seconds):
            self.world.advance(1)
            now = self.world.now
            self.retained = {
                topic: kept for topic, kept in self.retained.items() if kept.expires_at is None or kept.expires_at > now
            }
            for name, session in list(self.sessions.items()):
                if session.will_at is not None and session.will_at <= now:
                    self._leaves_its_will(name, session)
                if session.ends_at is not None and session.ends_at <= now:
                    self._ends(name)

    # What the model makes of it

    def _connected(self) -> list[str]:
        return sorted(name for name, session in self.sessions.items() if session.client is not None)

    def _one(self, who: int) -> str:
        """One of those who are connected, or nobody."""
        connected = self._connected()
        return connected[who % len(connected)] if connected else ""

    def _payload(self) -> bytes:
        self.count += 1
        return b"%d" % self.count

    def _published(self, message: Sent, publisher: str) -> None:
        if message.retain and message.payload:
            self.retained[message.topic] = message
        elif message.retain:
            self.retained.pop(message.topic, None)
        for name, session in self.sessions.items():
            found = [
                (qos, retain_as_published)
                for topic_filter, (qos, no_local, retain_as_published) in session.subscriptions.items()
                if matches(topic_filter, message.topic) and not (no_local and name == publisher)
            ]
            if found:
                qos = min(message.qos, max(qos for qos, _ in found))
                retain = message.retain and any(retain_as_published for _, retain_as_published in found)
                sent = Sent(message.topic, message.payload, qos, retain, message.expires_at)
                if session.client is not None:
                    self._sends(session, sent)
                elif qos > 0:
                    session.waiting.append(sent)

    def _sends(self, session: ModelSession, sent: Sent) -> None:
        assert session.client is not None
        session.expected.append((sent, sent.seen(session.client.manners.version, self.world.now)))
        if sent.qos > 0 and not session.client.manners.acknowledges:
            session.unacknowledged.append(sent)

    def _lost(self, name: str, *, with_will: bool) -> None:
        session = self.sessions[name]
        self._look_at(session)
        session.client = None
        if not with_will:
            session.will = None
        now = self.world.now
        if session.expiry == 0:
            self._ends(name)
            return
        session.ends_at = None if session.expiry == NEVER_EXPIRES else now + session.expiry
        if session.will is not None:
            properties = session.will.properties
            session.will_at = now + ((properties.will_delay_interval or 0) if properties is not None else 0)
            if session.will_at == now:
                self._leaves_its_will(name, session)

    def _leaves_its_will(self, name: str, session: ModelSession) -> None:
        will, session.will, session.will_at = session.will, None, None
        assert will is not None
        self._published(Sent(will.topic, will.payload, will.qos, will.retain, None), name)

    def _ends(self, name: str) -> None:
        session = self.sessions.pop(name)
        if session.will is not None:
            self._leaves_its_will(name, session)

    # What must be true after each step

    @invariant()
    def each_client_has_got_what_it_should(self) -> None:
        for session in self.sessions.values():
            if session.client is not None:
                self._look_at(session)

    def _look_at(self, session: ModelSession) -> None:
        client = session.client
        assert client is not None
        expected: dict[tuple[str, int], list[tuple[Sent, Seen]]] = defaultdict(list)
        for sent, seen in session.expected:
            expected[sent.topic, sent.qos].append((sent, seen))
        got: dict[tuple[str, int], list[Publish]] = defaultdict(list)
        pubrels: list[int] = []
        for packet in client.takes():
            if isinstance(packet, Publish):
                got[packet.topic, packet.qos].append(packet)
            elif isinstance(packet, PubRel):
                pubrels.append(packet.packet_id)
            else:
                raise AssertionError(f"{client.name} got {packet}, which it did not ask for")
        assert {key: [_seen(packet) for packet in packets] for key, packets in got.items()} == {
            key: [seen for _, seen in pairs] for key, pairs in expected.items()
        }
        for key, pairs in expected.items():
            for (sent, _), packet in zip(pairs, got[key], strict=True):
                assert sent.packet_id in (0, packet.packet_id)  # a repeat has its old id
                sent.packet_id = packet.packet_id
        if not client.manners.acknowledges:  # else there is one for each QoS 2 message
            assert pubrels == session.expected_pubrels
        session.expected = []
        session.expected_pubrels = []

    @invariant()
    def the_engine_counts_like_the_model(self) -> None:
        engine = self.world.engine
        assert set(engine.sessions) == set(self.sessions)
        assert engine.subscriptions.count == sum(len(session.subscriptions) for session in self.sessions.values())
        assert engine.retained.count == len(self.retained)
        assert engine.stats.clients_connected == engine.stats.sockets_open == len(self._connected())
        for name, session in self.sessions.items():
            assert engine.sessions[name].message_count == len(session.unacknowledged) + len(session.waiting)


def _seen(packet: Publish) -> Seen:
    left = None if packet.properties is None else packet.properties.message_expiry_interval
    return packet.topic, packet.payload, packet.qos, packet.retain, packet.dup, left


def test_each_client_gets_what_the_model_says() -> None:
    # [MQTT-3.3.4-2] [MQTT-3.8.4-8] [MQTT-4.4.0-1] [MQTT-4.5.0-1] [MQTT-4.6.0-5], all at once
    run_state_machine_as_test(
        EngineAgainstModel,
        settings=settings(
            deadline=None, max_examples=250, stateful_step_count=60, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
