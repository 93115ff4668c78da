"""The session of a bridge at this end: whose it is, what it may hold, and what becomes of it."""

from typing import Any

import pytest

from telex.codes import MQTT_3_1, MQTT_3_1_1, MQTT_5, ReasonCode
from telex.engine.bridge import Bridge, BridgeOptions, BridgeTopic
from telex.engine.hops import HOPS, IDENTITY, said
from telex.engine.message import Message
from telex.engine.options import Options
from telex.wire.packets import ConnAck, Disconnect, Publish, Subscribe, Will
from telex.wire.properties import Properties
from tests.engine.bridging import Broker, Link, Network, retained_of
from tests.engine.world import Client, Ledger, Manners

LOCAL = "local.home.bridge"


def options(*topics: BridgeTopic, **words: Any) -> BridgeOptions:
    words.setdefault("remote_client_id", "home.bridge")
    return BridgeOptions(topics=list(topics), **words)


def goes_on_as(link: Link, *topics: BridgeTopic, **words: Any) -> None:
    """A reload says something else of the bridge."""
    link.options = options(*topics, **words)
    link.bridge.change(link.options, link.home.now)
    link.home.flush()


def listener(broker: Broker, qos: int = 2) -> Client:
    return broker.client("sub").subscribes("#", qos=qos)


# Whose it is


@pytest.mark.parametrize(("version", "code"), [(MQTT_3_1, 2), (MQTT_3_1_1, 2), (MQTT_5, 0x85)])
@pytest.mark.parametrize("connects", [False, True])
@pytest.mark.parametrize("is_clean", [False, True])
def test_nobody_else_comes_with_a_bridge_s_client_id(
    home: Broker, cloud: Broker, version: int, code: int, connects: bool, is_clean: bool
) -> None:
    link = home.bridges(cloud, BridgeTopic("a", "out", 1), connects=connects, local_clean_start=is_clean)
    home.publishes(Message("a", b"x", 1))
    for clean_start in (False, True):
        assert home.knocks(LOCAL, version=version, clean_start=clean_start).got == [ConnAck(code)]
    assert "that of a bridge" in home.diary.reasons[-1]
    assert link.is_open == connects
    sub = listener(cloud)
    if not connects:
        link.connects()
    home.publishes(Message("a", b"y", 1))
    assert sub.payloads == ([b"x", b"y"] if not connects and not is_clean else [b"y"])


def test_a_restart_does_not_make_it_anybody_s(home: Broker, cloud: Broker) -> None:
    home.bridges(cloud, BridgeTopic("a", "out", 1), connects=False)
    home.restarts()
    assert home.knocks(LOCAL).got == [ConnAck(0x85)]


def test_it_is_given_to_nobody_without_a_client_id(home: Broker, cloud: Broker) -> None:
    home.bridges(cloud, BridgeTopic("a", "out", 1), connects=False, local_client_id="nameless-home-1")
    home.bridges(cloud, BridgeTopic("a", "out", 1), connects=False, local_client_id="nameless-home-2", is_lazy=True)
    connack = home.client("").connack
    assert connack is not None
    assert connack.properties is not None
    assert connack.properties.assigned_client_identifier == "nameless-home-3"


def test_a_client_that_is_there_goes_when_a_bridge_comes(home: Broker, cloud: Broker) -> None:
    client = home.client(LOCAL, session_expiry=3_600).subscribes("#", qos=1)
    client.manners = Manners(acknowledges=False)
    home.publishes(Message("a", b"the client's", 1))
    link = home.bridges(cloud, BridgeTopic("a", "out", 1), connects=False)
    assert isinstance(client.got[-1], Disconnect)
    assert client.got[-1].reason_code == ReasonCode.ADMINISTRATIVE_ACTION
    sub = listener(cloud)
    link.connects()
    home.publishes(Message("a", b"the bridge's", 1))
    assert sub.payloads == [b"the bridge's"]


def test_a_bridge_that_is_removed_gives_its_client_id_back(home: Broker, cloud: Broker) -> None:
    link = home.bridges(cloud, BridgeTopic("a", "out", 1))
    link.bridge.remove(home.now)
    home.client(LOCAL)
    assert home.engine.crossings == {}


def test_a_bridge_may_change_its_client_id(home: Broker, cloud: Broker) -> None:
    link = home.bridges(cloud, BridgeTopic("a", "out", 1))
    goes_on_as(link, BridgeTopic("a", "out", 1), local_client_id="other")
    assert home.knocks("other").got == [ConnAck(0x85)]
    home.client(LOCAL)
    link.connects()
    sub = listener(cloud)
    home.publishes(Message("a", b"x", 1))
    assert sub.payloads == [b"x"]


# When somebody ends it


@pytest.mark.parametrize("connects", [False, True])
@pytest.mark.parametrize("words", [{}, {"is_lazy": True, "local_clean_start": True}])
def test_a_session_that_somebody_ends_begins_anew(
    home: Broker, cloud: Broker, connects: bool, words: dict[str, Any]
) -> None:
    link = home.bridges(cloud, BridgeTopic("a", "both", 2), connects=connects, **words)
    if not connects:
        home.publishes(Message("a", b"lost", 2))
    session = link.session
    if session.client is not None:
        session.client.disconnect(ReasonCode.ADMINISTRATIVE_ACTION, "somebody says so", home.now)
    if home.engine.sessions.get(LOCAL) is session:
        home.engine.end_session(session, home.now)
    home.flush()
    assert not link.is_open
    assert link.session is not session
    home.publishes(Message("a", b"x", 2))
    sub = listener(cloud)
    link.connects()
    assert sub.payloads == [b"x"]
    home.client("here").subscribes("a", qos=2)
    cloud.client("pub").publishes("a", b"y", qos=2)
    home.publishes(Message("a", b"z", 2))
    assert sub.payloads == [b"x", b"y", b"z"]
    home.restarts()
    assert (LOCAL in home.engine.sessions) is True  # the bridge begins with the process
    assert link.bridge.waiting == 0


def test_a_client_of_the_broker_that_is_sent_away_comes_again(home: Broker, cloud: Broker) -> None:
    link = home.bridges(cloud, BridgeTopic("a", "out", 1))
    link.connection.disconnect(ReasonCode.ADMINISTRATIVE_ACTION, "an operator said so", home.now)
    home.flush()
    assert link.reasons == ["an operator said so"]
    home.publishes(Message("a", b"x", 1))
    sub = listener(cloud)
    link.connects()
    assert sub.payloads == [b"x"]


# What it may hold


def test_a_bridge_holds_more_than_a_client_may(network: Network, cloud: Broker) -> None:
    home = network.broker("home", Options(max_queued_messages=10, max_queued_bytes=100))
    link = home.bridges(cloud, BridgeTopic("a", "out", 1), connects=False)
    away = home.client("away", session_expiry=3_600).subscribes("a", qos=1).drops()
    payloads = [b"%9d" % number for number in range(300)]
    for payload in payloads:
        home.publishes(Message("a", payload, 1))
    assert link.bridge.waiting == 300
    assert home.engine.sessions["away"].message_count == 10
    home.restarts()
    assert link.bridge.waiting == 300
    sub = listener(cloud)
    link.connects()
    assert sub.payloads == payloads
    assert away.returns().payloads == payloads[:10]


@pytest.mark.parametrize("words", [{"max_queued_messages": 5}, {"max_queued_bytes": 5}])
@pytest.mark.parametrize(("drops", "kept"), [("newest", b"01234"), ("oldest", b"56789")])
def test_what_a_bridge_holds_is_limited(
    network: Network, cloud: Broker, words: dict[str, int], drops: str, kept: bytes
) -> None:
    home = network.broker("home", Options(queue_drops=drops))
    link = home.bridges(cloud, BridgeTopic("a", "out", 1), connects=False, **words)
    for number in range(10):
        home.publishes(Message("a", b"%d" % number, 1))
    assert link.bridge.waiting == 5
    sub = listener(cloud)
    link.connects()
    assert b"".join(sub.payloads) == kept


def test_the_limits_may_change(home: Broker, cloud: Broker) -> None:
    link = home.bridges(cloud, BridgeTopic("a", "out", 1), connects=False, max_queued_messages=2)
    for most in (2, 4):
        goes_on_as(link, BridgeTopic("a", "out", 1), max_queued_messages=most)
        for _ in range(10):
            home.publishes(Message("a", b"", 1))
        assert link.bridge.waiting == most


def test_what_a_lazy_bridge_keeps_at_qos_0_takes_memory_like_all_else(network: Network, cloud: Broker) -> None:
    home = network.broker("home", Options(max_queue_memory=50_000))
    link = home.bridges(cloud, BridgeTopic("a", "out", 0), connects=False, is_lazy=True)
    for _ in range(100):
        home.publishes(Message("a", bytes(5_000)))
    assert link.bridge.waiting == 8
    assert home.engine.surroundings.memory <= 50_000
    link.connects()
    assert home.engine.surroundings.memory == 0
    link.is_cut()
    home.publishes(Message("a"))
    link.bridge.remove(home.now)
    assert home.engine.surroundings.memory == 0


def test_what_a_lazy_bridge_keeps_at_qos_0_expires_and_goes_with_its_topic(
    network: Network, home: Broker, cloud: Broker
) -> None:
    link = home.bridges(cloud, BridgeTopic("#", "out"), connects=False, is_lazy=True)
    pub = home.client("pub")
    pub.publishes("a", b"late", properties=Properties(message_expiry_interval=5))
    pub.publishes("a", b"in time", properties=Properties(message_expiry_interval=50))
    pub.publishes("b", b"gone")
    network.advances(6)
    goes_on_as(link, BridgeTopic("a", "out", 0, "", "x/"), is_lazy=True)
    sub = listener(cloud)
    link.connects()
    assert [(each.topic, each.payload) for each in sub.messages] == [("x/a", b"in time")]


# When it is to be kept, and when not


def test_a_session_that_is_to_be_kept_from_now_on_outlives_its_connection(home: Broker, cloud: Broker) -> None:
    link = home.bridges(cloud, BridgeTopic("a", "out", 1), local_clean_start=True)
    goes_on_as(link, BridgeTopic("a", "out", 1))
    assert link.is_open
    link.is_cut()
    home.publishes(Message("a", b"x", 1))
    home.restarts()
    home.publishes(Message("a", b"y", 1))
    sub = listener(cloud)
    link.connects()
    assert sub.payloads == [b"x", b"y"]


@pytest.mark.parametrize("connects", [False, True])
def test_a_session_that_is_to_be_kept_no_more_ends_with_its_connection(
    home: Broker, cloud: Broker, connects: bool
) -> None:
    link = home.bridges(cloud, BridgeTopic("a", "out", 1), connects=connects)
    goes_on_as(link, BridgeTopic("a", "out", 1), local_clean_start=True)
    link.is_cut()
    assert link.bridge.session is None
    home.publishes(Message("a", b"lost", 1))
    sub = listener(cloud)
    link.connects()
    home.publishes(Message("a", b"x", 1))
    assert sub.payloads == [b"x"]


def test_a_lazy_bridge_loses_nothing_by_a_change(home: Broker, cloud: Broker) -> None:
    words = {"is_lazy": True, "local_clean_start": True}
    link = home.bridges(cloud, BridgeTopic("a", "out", 1), connects=False, **words)
    home.publishes(Message("a", b"x", 1))
    goes_on_as(link, BridgeTopic("a", "out", 1), BridgeTopic("b", "out", 1), threshold=3, **words)
    home.publishes(Message("b", b"y", 1))
    sub = listener(cloud)
    link.connects()
    assert sub.payloads == [b"x", b"y"]


@pytest.mark.parametrize("is_open", [False, True])
def test_what_is_retained_gets_its_new_name(home: Broker, cloud: Broker, is_open: bool) -> None:
    home.publishes(Message("up/x", b"up", 1, retain=True))
    cloud.publishes(Message("down/x", b"down", 1, retain=True))
    link = home.bridges(cloud, BridgeTopic("up/#", "out", 1), BridgeTopic("down/#", "in", 1))
    if not is_open:
        link.is_cut()
    goes_on_as(link, BridgeTopic("up/#", "out", 1, "", "r/"), BridgeTopic("down/#", "in", 1, "l/"))
    if not is_open:
        link.connects()
    assert retained_of(cloud, "r/up/x") == b"up"
    assert retained_of(home, "l/down/x") == b"down"
    link.packets("out")
    goes_on_as(link, BridgeTopic("up/#", "out", 1, "", "r/"), BridgeTopic("down/#", "in", 1, "l/"))
    assert [each for each in link.packets("out") if isinstance(each, Subscribe | Publish) and each.packet_id] == []


def test_topics_may_have_changed_while_the_broker_was_down(home: Broker, cloud: Broker) -> None:
    home.publishes(Message("up/x", b"up", 1, retain=True))
    former = [BridgeTopic("up/#", "out", 1), BridgeTopic("down/#", "in", 1), BridgeTopic("gone/#", "in", 1)]
    link = home.bridges(cloud, *former)
    home.links.clear()  # so that the story says when it begins
    home.restarts()
    link.bridge = Bridge(
        home.engine, options(BridgeTopic("up/#", "out", 1, "", "r/"), BridgeTopic("down/#", "in", 1)), link
    )
    link.bridge.start(home.now, former)
    link.connects()
    assert retained_of(cloud, "r/up/x") == b"up"
    assert list(cloud.engine.sessions["home.bridge"].subscriptions) == ["down/#"]
    link.packets("out")
    link.is_cut().connects()  # once is enough
    assert not [each for each in link.packets("out") if isinstance(each, Publish) and each.qos]


@pytest.mark.parametrize("at", [1, 2])
def test_topics_may_change_while_it_is_connecting(home: Broker, cloud: Broker, at: int) -> None:
    """Its CONNECT is on its way, or CONNACK is, when a reload comes."""
    link = home.bridges(cloud, BridgeTopic("old", "both", 1), connects=False)
    home.publishes(Message("old", b"x", 1))
    link.is_held_after(at - 1)
    link.connects()
    assert link.bridge.state == "connecting"
    goes_on_as(link, BridgeTopic("new", "both", 1))
    link.goes_on()
    assert link.is_open
    assert link.bridge.waiting == 0
    sub, here = listener(cloud), listener(home)
    for broker in (home, cloud):
        for topic in ("old", "new"):
            broker.client("pub").publishes(topic, broker.name.encode(), qos=1)
    assert [(each.topic, each.payload) for each in sub.messages if each.payload == b"home"] == [("new", b"home")]
    assert [(each.topic, each.payload) for each in here.messages if each.payload == b"cloud"] == [("new", b"cloud")]


# What comes before anybody knows that it is a bridge's


def test_a_will_that_falls_due_at_a_restart_goes_out_like_any_message(home: Broker, cloud: Broker) -> None:
    link = home.bridges(cloud, BridgeTopic("wills/#", "out", 1, "", "home/"))
    sub = listener(cloud)
    home.client("lost", will=Will("wills/lost", b"gone", qos=1))
    home.restarts()
    link.connects()
    (message,) = sub.messages
    assert (message.topic, message.payload) == ("home/wills/lost", b"gone")
    assert said(message.properties, HOPS) == "home"
    assert said(message.properties, IDENTITY)


def test_what_waits_for_the_bridge_of_another_broker_says_where_it_was(home: Broker, cloud: Broker) -> None:
    """Also what came between a restart and the return of the other broker, which says who it is in CONNECT alone."""
    link = home.bridges(cloud, BridgeTopic("a", "in", 1))
    link.is_cut()
    cloud.restarts()
    cloud.publishes(Message("a", b"x", 1))
    link.packets("in")
    link.connects()
    (message,) = [each for each in link.packets("in") if isinstance(each, Publish) and each.topic == "a"]
    assert said(message.properties, HOPS) == "cloud"
    assert message.properties is not None
    assert [name for name, _ in message.properties.user_properties] == [HOPS, IDENTITY]


# Two brokers at the places of one


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5])
@pytest.mark.parametrize("cut", range(7))
def test_another_broker_gets_what_was_on_its_way_to_the_first_as_new(
    network: Network, home: Broker, cloud: Broker, version: int, cut: int
) -> None:
    other = network.broker("other")
    link = home.bridges(cloud, BridgeTopic("a", "both", 2), connects=False, version=version)
    stale = {"a": cloud, "b": other}
    for link.place, link.remote in stale.items():  # each has known us, and owns ids that no other knows of
        link.connects()
        link.is_cut()
    for broker in stale.values():
        session = broker.engine.sessions["home.bridge"]
        for packet_id in range(1, 50):
            session.own(packet_id)
        broker.flush()
    subs = [listener(broker) for broker in stale.values()]
    link.place, link.remote = "a", cloud
    link.connects()
    link.is_cut_after(cut)
    home.publishes(Message("a", b"x", 2))
    link.is_cut()
    was_accepted = link.bridge.waiting == 0 or any(each.is_released for each in link.session.sender.in_flight.values())
    assert subs[0].payloads == [b"x"] or not was_accepted
    link.place, link.remote = "b", other
    link.connects()
    home.publishes(Message("a", b"y", 2))
    assert link.bridge.waiting == 0
    assert subs[1].payloads == ([b"y"] if was_accepted else [b"x", b"y"])  # it is not everybody's
    link.is_cut()
    link.place, link.remote = "a", cloud
    link.connects()
    home.publishes(Message("a", b"z", 2))
    assert subs[0].payloads[-1] == b"z"  # the second one's ids are not the first one's
    assert link.bridge.waiting == 0


def test_the_same_place_is_the_same_broker(home: Broker, cloud: Broker) -> None:
    link = home.bridges(cloud, BridgeTopic("a", "out", 2), connects=False)
    link.place = "a"
    link.connects()
    sub = listener(cloud)
    link.is_cut_after(1)
    home.publishes(Message("a", b"x", 2))
    link.packets("out")
    link.connects()
    (sent,) = [each for each in link.packets("out") if isinstance(each, Publish) and each.topic == "a"]
    assert sent.dup
    assert sub.payloads == [b"x"]


# When one of the two has forgotten, and when not


@pytest.mark.parametrize("clean_start", [False, True])
@pytest.mark.parametrize("local_clean_start", [False, True])
@pytest.mark.parametrize("forgets", [False, True])
@pytest.mark.parametrize("dies", ["nobody", "home", "cloud"])
@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5])
@pytest.mark.parametrize("cut", range(8))
def test_whoever_forgets_nothing_new_is_taken_for_a_repeat(
    clean_start: bool, local_clean_start: bool, forgets: bool, dies: str, version: int, cut: int
) -> None:
    network = Network()
    home, cloud = network.broker("home"), network.broker("cloud")
    words = {"clean_start": clean_start, "local_clean_start": local_clean_start, "version": version}
    link = home.bridges(cloud, BridgeTopic("up", "out", 2), BridgeTopic("down", "in", 2), **words)
    link.is_cut_after(cut)
    up, down = home.client("up"), cloud.client("down")
    for number in range(2):
        up.publishes("up", b"%d" % number, qos=2)
        down.publishes("down", b"%d" % number, qos=2)
    link.is_cut()
    session = cloud.engine.sessions.get("home.bridge")
    if forgets and session is not None:
        cloud.engine.end_session(session, cloud.now)
    if dies != "nobody":
        (home if dies == "home" else cloud).restarts()
    subs = [broker.client("sub").subscribes("#", qos=2) for broker in (home, cloud)]
    link.connects()
    home.client("up").publishes("up", b"new", qos=2)
    cloud.client("down").publishes("down", b"new", qos=2)
    assert subs[0].payloads.count(b"new") == subs[1].payloads.count(b"new") == 2
    assert link.bridge.waiting == 0
    assert link.session.receiver.owned == {}
    for sub in subs:
        assert sub.payloads == sorted(sub.payloads, key=lambda each: each == b"new")


def test_a_session_that_cannot_be_there_ends_the_connection(home: Broker) -> None:  # [MQTT-3.2.2-4]
    link = home.bridges(home, BridgeTopic("#", "out", 1), connects=False, notifications=False, clean_start=True)
    link.leads_nowhere = True
    link.connects()
    link.connection.receive(b"\x20\x03\x01\x00\x00", home.now)
    home.flush()
    assert "a session is present" in link.reasons[0]


def test_a_bridge_that_begins_again_with_its_engine_is_the_same(home: Broker, cloud: Broker) -> None:
    """``start`` may come when clients have come already: what they brought meanwhile is there."""
    link = home.bridges(cloud, BridgeTopic("a", "out", 1), connects=False)
    assert isinstance(home.ledger, Ledger)
    home.links.clear()  # so that the story says when it begins
    home.restarts()
    home.publishes(Message("a", b"early", 1))
    link.bridge = Bridge(home.engine, link.options, link)
    link.bridge.start(home.now)
    home.publishes(Message("a", b"late", 1))
    sub = listener(cloud)
    link.connects()
    assert sub.payloads == [b"early", b"late"]
    for message in sub.messages:
        assert said(message.properties, HOPS) == "home"
