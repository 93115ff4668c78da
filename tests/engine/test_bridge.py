"""What goes over a bridge, under which name and how; how its connection begins, is kept and ends."""

from typing import Any

import pytest

from telex.codes import MQTT_3_1, MQTT_3_1_1, MQTT_5, NEVER_EXPIRES
from telex.engine.bridge import BridgeOptions, BridgeTopic, _Sender
from telex.engine.hops import HOPS, IDENTITY
from telex.engine.message import Message
from telex.engine.options import Options
from telex.engine.permissions import Grant
from telex.wire.packets import (
    Connect,
    Disconnect,
    PingReq,
    Publish,
    Subscribe,
    SubscriptionRequest,
    Unsubscribe,
    Will,
)
from telex.wire.properties import Properties
from tests.engine.bridging import Broker, Link, Network, retained_of
from tests.engine.world import ClosedGate, Granted, OneRule, World

STATE = "$SYS/broker/connection/home.bridge/state"
VERSIONS = [MQTT_3_1, MQTT_3_1_1, MQTT_5]


def connect_of(link: Link) -> Connect:
    packet = link.packets("out")[0]
    assert isinstance(packet, Connect)
    return packet


# Topics


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_messages_go_out_and_come_in(home: Broker, cloud: Broker, qos: int, version: int) -> None:
    home.bridges(cloud, BridgeTopic("up/#", "out", qos), BridgeTopic("down/#", "in", qos), version=version)
    here, there = home.client("here").subscribes("#", qos=2), cloud.client("there").subscribes("#", qos=2)
    for topic in ("up/x", "down/x", "else"):
        home.client("pub-here").publishes(topic, b"from here", qos=2)
        cloud.client("pub-there").publishes(topic, b"from there", qos=2)
    assert [(each.topic, each.payload, each.qos) for each in there.messages] == [
        ("up/x", b"from here", qos),
        ("up/x", b"from there", 2),
        ("down/x", b"from there", 2),
        ("else", b"from there", 2),
    ]
    assert [(each.topic, each.payload, each.qos) for each in here.messages] == [
        ("up/x", b"from here", 2),
        ("down/x", b"from here", 2),
        ("down/x", b"from there", qos),
        ("else", b"from here", 2),
    ]


@pytest.mark.parametrize(
    ("pattern", "local", "remote", "here", "there"),
    [
        ("pattern", "L/", "R/", "L/pattern", "R/pattern"),
        ("pattern", "L/", "", "L/pattern", "pattern"),
        ("pattern", "", "R/", "pattern", "R/pattern"),
        ("pattern", "", "", "pattern", "pattern"),
        ("", "local", "remote", "local", "remote"),
        ("#", "local/topic/", "remote/topic/", "local/topic/a/b", "remote/topic/a/b"),
        ("#", "", "R/", "a", "R/a"),
        ("+/x/#", "L/", "R/", "L/a/x", "R/a/x"),
        ("a", "L", "R", "La", "Ra"),
        ("#", "L/", "R/", "L", "R"),  # ``L/#`` is for ``L`` as well
        ("#", "L/", "R/", "L/", "R/"),
        ("/#", "L", "R", "L", "R"),
        ("/#", "L", "R", "L/a", "R/a"),
    ],
)
@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5])
def test_topics_have_other_names_at_the_other_end(  # the table of mosquitto.conf(5)
    home: Broker, cloud: Broker, pattern: str, local: str, remote: str, here: str, there: str, version: int
) -> None:
    link = home.bridges(cloud, BridgeTopic(pattern, "both", 1, local, remote), version=version)
    local_sub, remote_sub = home.client("sub").subscribes(here), cloud.client("sub").subscribes(there)
    home.publishes(Message(here, b"up", 1))
    assert remote_sub.topics == [there]
    remote_sub.takes()
    local_sub.takes()
    cloud.publishes(Message(there, b"down", 1))
    assert local_sub.topics == [here]
    assert link.reasons == []


@pytest.mark.parametrize(("local", "remote", "way"), [("L/", "", "out"), ("", "R/", "in")])
def test_what_has_no_name_at_the_other_end_goes_nowhere(
    home: Broker, cloud: Broker, local: str, remote: str, way: str
) -> None:
    """``L/#`` is for ``L`` as well, of which nothing is left without ``L/``."""
    link = home.bridges(cloud, BridgeTopic("#", way, 1, local, remote), notifications=False)
    subs = [broker.client("sub").subscribes("#") for broker in (home, cloud)]
    source = home if way == "out" else cloud
    source.publishes(Message("L" if way == "out" else "R", b"x", 1))
    assert [len(sub.got) for sub in subs] == ([1, 0] if way == "out" else [0, 1])
    assert link.bridge.waiting == 0


def test_the_remote_s_own_topics_can_come_under_another_name(home: Broker, cloud: Broker) -> None:
    """The example of mosquitto.conf(5)."""
    home.bridges(cloud, BridgeTopic("clients/total", "in", 0, "test/mosquitto/org/", "$SYS/broker/"))
    sub = home.client("sub").subscribes("test/#")
    cloud.publishes(Message("$SYS/broker/clients/total", b"7", 2, retain=True))
    assert [(each.topic, each.payload, each.qos) for each in sub.messages] == [
        ("test/mosquitto/org/clients/total", b"7", 0)
    ]


def test_what_the_remote_refuses_is_counted_and_stops_nothing(home: Broker, cloud: Broker) -> None:
    link = home.bridges(cloud, BridgeTopic("#", "out", 2, "", "$SYS/"), BridgeTopic("a", "out", 2))
    for qos in (1, 2):
        home.publishes(Message("x", b"", qos))
    assert link.bridge.rejected == 2
    assert link.bridge.waiting == 0
    assert link.is_open


@pytest.mark.parametrize(
    ("pattern", "local", "remote"),
    [
        ("", "local", ""),
        ("", "", "remote"),
        ("", "", ""),
        ("a/#/b", "", ""),
        ("a", "+/", ""),
        ("a", "", "#/"),
        ("$share/g/a", "", ""),
    ],
)
def test_topics_that_cannot_be_are_refused(pattern: str, local: str, remote: str) -> None:
    with pytest.raises(ValueError, match=r"topic|prefix"):
        BridgeTopic(pattern, "out", 0, local, remote)


def test_words_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="the direction is 'up', expected one of out, in, both"):
        BridgeTopic("a", "up")
    with pytest.raises(ValueError, match="the QoS is 3, expected 0, 1 or 2"):
        BridgeTopic("a", "out", 3)
    with pytest.raises(ValueError, match="the version is 6, expected 3, 4 or 5"):
        BridgeOptions(remote_client_id="x", topics=[], version=6)
    with pytest.raises(ValueError, match="the client id at the remote end is empty"):
        BridgeOptions(remote_client_id="", topics=[])


def test_where_several_lines_fit_a_topic_the_first_one_decides(home: Broker, cloud: Broker) -> None:
    home.bridges(cloud, BridgeTopic("a/b", "out", 0, "", "first/"), BridgeTopic("a/#", "out", 1, "", "second/"))
    sub = cloud.client("sub").subscribes("#", qos=1)
    home.publishes(Message("a/b", b"1", 1))
    home.publishes(Message("a/c", b"2", 1))
    assert sub.topics == ["first/a/b", "second/a/c"]


def test_a_name_that_is_too_long_at_the_other_end_goes_nowhere(home: Broker, cloud: Broker) -> None:
    link = home.bridges(cloud, BridgeTopic("#", "both", 1, "", "prefix/"))
    home.publishes(Message("x" * 65_530, b"", 1))
    home.publishes(Message("x", b"", 1))
    assert [each.topic for each in link.packets("out") if isinstance(each, Publish)][1:] == ["prefix/x"]
    assert link.bridge.waiting == 0


def test_many_names_are_not_remembered_for_ever(home: Broker, cloud: Broker) -> None:
    link = home.bridges(cloud, BridgeTopic("#", "out", 0, "", "r/"))
    for number in range(10_050):
        home.engine.publish(Message(f"t/{number}"), None, home.now)
    assert len(link.bridge.outward._known) <= 10_000


def test_what_came_by_a_subscription_that_the_remote_still_has_is_taken_in_and_no_more(
    home: Broker, cloud: Broker
) -> None:
    link = home.bridges(cloud, BridgeTopic("a/#", "in", 2))
    there = cloud.engine.sessions["home.bridge"]
    cloud.engine.subscribe(there, SubscriptionRequest("old/#", 2), 2, 0)
    here = home.client("here").subscribes("#", qos=2)
    for qos in (0, 1, 2):
        cloud.client("pub").publishes("old/x", b"", qos=qos)
        cloud.client("pub").publishes("a/x", b"", qos=qos)
    assert here.topics == ["a/x"] * 3
    assert link.bridge.filtered == 3
    assert link.reasons == []


# Filters


@pytest.mark.parametrize("way", ["out", "in"])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_large_payloads_do_not_go_by_a_line_that_says_so(home: Broker, cloud: Broker, way: str, qos: int) -> None:
    link = home.bridges(cloud, BridgeTopic("#", way, qos, maximum_payload_size=5))
    source, target = (home, cloud) if way == "out" else (cloud, home)
    sub = target.client("sub").subscribes("#", qos=2)
    publisher = source.client("pub")
    for payload in (b"12345", b"123456", b""):
        publisher.publishes("a", payload, qos=qos)
    assert sub.payloads == [b"12345", b""]
    assert link.bridge.filtered == 1
    assert link.bridge.waiting == 0


@pytest.mark.parametrize("way", ["out", "in"])
def test_a_line_may_let_through_so_many_messages_a_second(
    network: Network, home: Broker, cloud: Broker, way: str
) -> None:
    link = home.bridges(cloud, BridgeTopic("#", way, 1, messages_per_second=2.0))
    source, target = (home, cloud) if way == "out" else (cloud, home)
    sub = target.client("sub").subscribes("#", qos=1)
    publisher = source.client("pub")
    for number in range(5):
        publisher.publishes("a", b"%d" % number, qos=1)
    network.advances(1)
    for number in range(5, 10):
        publisher.publishes("a", b"%d" % number, qos=1)
    assert sub.payloads == [b"0", b"1", b"5", b"6"]
    assert link.bridge.filtered == 6


def test_a_line_may_be_slower_than_one_message_a_second(network: Network, home: Broker, cloud: Broker) -> None:
    home.bridges(cloud, BridgeTopic("#", "out", 1, messages_per_second=0.1))
    sub = cloud.client("sub").subscribes("#", qos=1)
    for number in range(30):
        home.publishes(Message("a", b"%d" % number, 1))
        network.advances(1)
    assert sub.payloads == [b"0", b"10", b"20"]


# Retained messages


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5])
def test_retained_messages_are_retained_at_the_other_end(home: Broker, cloud: Broker, version: int) -> None:
    home.publishes(Message("a/1", b"before", 1, retain=True))
    link = home.bridges(cloud, BridgeTopic("a/#", "out", 1), version=version)
    home.publishes(Message("a/2", b"after", 1, retain=True))
    home.publishes(Message("a/3", b"fleeting", 1))
    assert [retained_of(cloud, f"a/{number}") for number in (1, 2, 3)] == [b"before", b"after", None]
    home.publishes(Message("a/1", b"", 1, retain=True))
    assert retained_of(cloud, "a/1") is None
    assert link.reasons == []


def test_retained_messages_of_the_remote_are_retained_here(home: Broker, cloud: Broker) -> None:
    cloud.publishes(Message("a/1", b"before", 1, retain=True))
    home.bridges(cloud, BridgeTopic("a/#", "in", 1))
    cloud.publishes(Message("a/2", b"after", 1, retain=True))
    assert retained_of(home, "a/1") == b"before"
    assert retained_of(home, "a/2") == b"after"


def test_retain_may_be_left_out_of_what_goes_out(home: Broker, cloud: Broker) -> None:
    home.publishes(Message("a/1", b"before", 1, retain=True))
    home.publishes(Message("a/0", b"before", 0, retain=True))
    link = home.bridges(cloud, BridgeTopic("a/#", "out", 1), outgoing_retain=False)
    sub = cloud.client("sub").subscribes("a/#")
    for qos in (0, 1):
        home.publishes(Message("a/2", b"after", qos, retain=True))
    assert sub.payloads == [b"after"] * 2
    link.is_cut().connects()  # it is not said again either
    assert sub.payloads == [b"after"] * 2
    assert [retained_of(cloud, f"a/{number}") for number in range(3)] == [None] * 3
    link.is_cut()  # and its will comes
    assert retained_of(cloud, STATE) is None  # all that goes out
    assert retained_of(home, STATE) == b"0"


def test_a_remote_without_retained_messages_gets_them_as_others(network: Network, home: Broker) -> None:
    cloud = network.broker("cloud", Options(retain_available=False))
    link = home.bridges(cloud, BridgeTopic("a/#", "out", 1))
    assert link.reasons == ["the remote refused us: 0x9A retain not supported: the will is to be retained"]
    assert link.goes_again == [True]
    link.connects()
    assert link.is_open
    sub = cloud.client("sub").subscribes("a/#")
    for qos in (0, 1, 2):
        home.publishes(Message("a/b", b"x", qos, retain=True))
    assert [(each.payload, each.retain) for each in sub.messages] == [(b"x", False)] * 3
    assert link.is_open


def test_what_is_retained_at_qos_0_comes_again_after_an_absence(home: Broker, cloud: Broker) -> None:
    """Nothing waits at QoS 0: without this, the remote would have the old state until the next change."""
    link = home.bridges(cloud, BridgeTopic("a/#", "out", 1))
    for qos in (0, 1):
        home.publishes(Message(f"a/{qos}", b"old", qos, retain=True))
    sub = cloud.client("sub").subscribes("a/#", qos=1)
    sub.takes()
    link.is_cut()
    for qos in (0, 1):
        home.publishes(Message(f"a/{qos}", b"new", qos, retain=True))
    link.connects()
    assert sorted((each.topic, each.payload) for each in sub.messages) == [("a/0", b"new"), ("a/1", b"new")]


def test_what_waits_is_not_sent_as_a_retained_message_too(home: Broker, cloud: Broker) -> None:
    link = home.bridges(cloud, BridgeTopic("a/#", "out", 1), version=MQTT_3_1_1, connects=False)
    sub = cloud.client("sub").subscribes("a/#", qos=1)
    home.publishes(Message("a/b", b"x", 1, retain=True))
    link.connects()
    assert sub.payloads == [b"x"]


def test_a_retained_message_of_the_remote_is_not_sent_back(home: Broker, cloud: Broker) -> None:
    cloud.publishes(Message("a/b", b"x", 1, retain=True))
    link = home.bridges(cloud, BridgeTopic("#", "both", 1), version=MQTT_3_1_1, notifications=False)
    link.is_cut()
    link.packets("out")
    cloud.engine.end_session(cloud.engine.sessions["home.bridge"], cloud.now)
    link.connects()
    assert not [each for each in link.packets("out") if isinstance(each, Publish)]


# What the remote takes


@pytest.mark.parametrize("most", [0, 1])
def test_a_remote_that_takes_less_gets_less(network: Network, home: Broker, most: int) -> None:
    cloud = network.broker("cloud", Options(maximum_qos=most))
    link = home.bridges(cloud, BridgeTopic("#", "both", 2), connects=False, notifications=False)
    for qos in (0, 1, 2):
        home.publishes(Message("a", b"waited %d" % qos, qos))
    link.connects()
    for qos in (0, 1, 2):
        home.publishes(Message("a", b"live %d" % qos, qos))
    sent = [(each.payload, each.qos) for each in link.packets("out") if isinstance(each, Publish)]
    assert sent == [(b"waited %d" % qos, min(qos, most)) for qos in (1, 2)] + [
        (b"live %d" % qos, min(qos, most)) for qos in (0, 1, 2)
    ]
    assert link.bridge.waiting == 0
    assert link.reasons == []


@pytest.mark.parametrize("most", [0, 1])
@pytest.mark.parametrize("cut", range(4))
def test_a_remote_may_take_less_than_the_last_time(network: Network, home: Broker, most: int, cut: int) -> None:
    cloud = network.broker("cloud")
    link = home.bridges(cloud, BridgeTopic("#", "out", 2), notifications=False)
    sub = cloud.client("sub").subscribes("a", qos=2)
    link.is_cut_after(cut)
    home.publishes(Message("a", b"x", 2))
    home.publishes(Message("a", b"y", 2))
    link.is_cut()
    cloud.options = Options(maximum_qos=most)
    cloud.engine.change_options(cloud.options)
    link.connects()
    assert {*sub.payloads} == {b"x", b"y"}
    assert link.bridge.waiting == 0
    assert link.is_open


def test_a_will_of_a_qos_that_the_remote_does_not_take_is_tried_with_less(network: Network, home: Broker) -> None:
    cloud = network.broker("cloud", Options(maximum_qos=0))
    link = home.bridges(cloud, BridgeTopic("#", "out", 2))
    assert link.goes_again == [True]
    link.connects()
    assert link.is_open
    link.is_cut()
    assert retained_of(cloud, STATE) == b"0"


def test_a_message_that_is_too_large_for_the_remote_does_not_stop_the_others(network: Network, home: Broker) -> None:
    cloud = network.broker("cloud", Options(maximum_packet_size=400))
    link = home.bridges(cloud, BridgeTopic("a", "out", 1))
    sub = cloud.client("sub").subscribes("a", qos=1)
    for payload in (b"1", b"x" * 400, b"2"):
        home.publishes(Message("a", payload, 1))
    assert sub.payloads == [b"1", b"2"]
    assert link.reasons == []


def test_the_size_of_what_is_sent_may_be_limited_here(home: Broker, cloud: Broker) -> None:
    link = home.bridges(cloud, BridgeTopic("a", "out", 1), version=MQTT_3_1_1, maximum_packet_size=100)
    sub = cloud.client("sub").subscribes("a", qos=1)
    for payload in (b"1", b"x" * 100, b"2"):
        home.publishes(Message("a", payload, 1))
    assert sub.payloads == [b"1", b"2"]
    assert link.reasons == []


def test_the_remote_is_not_given_more_than_it_takes_at_a_time(network: Network, home: Broker) -> None:
    cloud = network.broker("cloud", Options(receive_maximum=3))  # it would end the connection [MQTT-3.3.4-7]
    link = home.bridges(cloud, BridgeTopic("a", "out", 2), connects=False)
    sub = cloud.client("sub").subscribes("a", qos=2)
    for number in range(20):
        home.publishes(Message("a", b"%d" % number, 2))
    link.connects()
    assert sub.payloads == [b"%d" % number for number in range(20)]
    assert link.reasons == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("way", ["out", "in"])
def test_a_broker_that_cannot_say_what_it_takes_gets_what_mosquitto_takes(
    home: Broker, cloud: Broker, version: int, qos: int, way: str
) -> None:
    """Mosquitto takes 20 messages of QoS 2 in flight by default, and ends the connection at one more."""
    link = home.bridges(cloud, BridgeTopic("a", way, qos), connects=False, version=version, notifications=False)
    source, target = (home, cloud) if way == "out" else (cloud, home)
    link.connects()
    sub = target.client("sub").subscribes("a", qos=2)
    link.packets(way)
    link.is_held_after(0)
    for number in range(30):
        source.publishes(Message("a", b"%d" % number, qos))
    (session,) = [each for each in source.engine.sessions.values() if "bridge" in each.client_id]
    is_limited = version != MQTT_5 and (qos == 2 or way == "in")
    assert len(session.sender.in_flight) == (20 if is_limited else 30)
    link.goes_on()
    assert sub.payloads == [b"%d" % number for number in range(30)]


def test_topic_aliases_are_used_both_ways(home: Broker, cloud: Broker) -> None:
    link = home.bridges(cloud, BridgeTopic("#", "both", 1), topic_alias_maximum=1, notifications=False)
    here, there = home.client("here").subscribes("#"), cloud.client("there").subscribes("#")
    for topic in ("a", "a", "b"):
        home.client("pub").publishes(topic, b"up")
        cloud.client("pub").publishes(topic, b"down")
    for way in ("out", "in"):
        assert [each.topic for each in link.packets(way) if isinstance(each, Publish)] == ["a", "", "b"]
    assert here.topics == there.topics == ["a", "a", "a", "a", "b", "b"]


# CONNECT and CONNACK


def test_a_v5_connect_says_who_we_are_and_what_we_take(home: Broker, cloud: Broker) -> None:
    link = home.bridges(
        cloud, BridgeTopic("a", "in"), user_name="me", password=b"secret", keep_alive=30, receive_maximum=7
    )
    packet = connect_of(link)
    assert packet == Connect(
        "home.bridge",
        version=5,
        clean_start=False,
        keep_alive=30,
        will=Will(STATE, b"0", qos=1, retain=True),
        user_name="me",
        password=b"secret",
        properties=Properties(
            session_expiry_interval=NEVER_EXPIRES,
            maximum_packet_size=2_000_000,
            topic_alias_maximum=10,
            receive_maximum=7,
            user_properties=(("telex.bridge", "home"),),
        ),
    )


@pytest.mark.parametrize("version", [MQTT_3_1, MQTT_3_1_1])
def test_a_v3_connect_says_by_a_bit_of_its_version_that_we_are_a_bridge(
    home: Broker, cloud: Broker, version: int
) -> None:
    link = home.bridges(cloud, BridgeTopic("a", "in"), version=version, connects=False)
    link.leads_nowhere = True
    link.connects()
    name = b"\x00\x06MQIsdp" if version == MQTT_3_1 else b"\x00\x04MQTT"
    assert link.said[0][2:].startswith(name + bytes((version | 0x80,)))


@pytest.mark.parametrize("way", ["CONNACK", "silence"])
def test_a_remote_that_does_not_like_the_bit_is_tried_without_it(home: Broker, way: str) -> None:
    link = bridge_to_nowhere(home, version=MQTT_3_1_1)
    assert said_version(link) == 0x84
    if way == "CONNACK":
        hears(link, b"\x20\x02\x00\x01")
    else:
        link.connection.closed(home.now)
    assert link.goes_again == [True]
    assert said_version(link) == 0x04
    if way == "silence":  # that was not the reason
        link.connection.closed(home.now)
        assert link.goes_again == [True, False]
        assert said_version(link) == 0x84


def test_a_remote_that_took_the_bit_once_is_not_tried_without_it(home: Broker, cloud: Broker) -> None:
    link = home.bridges(cloud, BridgeTopic("a", "in"), version=MQTT_3_1_1)
    link.is_cut()
    link.leads_nowhere = True
    assert said_version(link) == 0x84
    link.connection.closed(home.now)
    assert said_version(link) == 0x84


@pytest.mark.parametrize("answer", [b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00"])
def test_a_remote_that_does_not_speak_v5_is_tried_with_v3(home: Broker, answer: bytes) -> None:
    link = bridge_to_nowhere(home)
    assert said_version(link) == 5
    hears(link, answer)
    assert link.goes_again == [True]
    assert said_version(link) == 0x84
    hears(link, b"\x20\x02\x00\x01")
    assert link.goes_again == [True, True]
    assert said_version(link) == 0x04
    hears(link, b"\x20\x02\x00\x01")
    assert link.goes_again == [True, True, False]


def test_a_refusal_says_why(home: Broker, network: Network) -> None:
    cloud = network.broker("cloud", gate=ClosedGate(0x86))
    link = home.bridges(cloud, BridgeTopic("a", "in"))
    assert link.reasons == ["the remote refused us: 0x86 bad user name or password: bad user name or password"]
    assert link.goes_again == [False]
    old = home.bridges(cloud, BridgeTopic("a", "in"), version=MQTT_3_1_1, remote_client_id="old")
    assert old.reasons == ["the remote refused us: wrong user name or password"]
    assert retained_of(home, STATE) == b"0"


def test_a_connack_has_to_come_first_and_in_time(home: Broker) -> None:
    link = bridge_to_nowhere(home, connect_timeout=5)
    said_version(link)
    hears(link, b"\xd0\x00")
    assert len(link.reasons) == 1
    assert "expected CONNACK, got PingResp" in link.reasons[0]
    said_version(link)
    home.advance(4)
    assert len(link.reasons) == 1
    home.advance(2)
    assert link.reasons[1:] == ["no CONNACK came within 5 s"]
    assert link.bridge.state == "closed"


def test_the_remote_is_asked_for_what_comes_in_and_for_nothing_else(home: Broker, cloud: Broker) -> None:
    link = home.bridges(
        cloud, BridgeTopic("a", "in", 1), BridgeTopic("b", "both", 2, "", "r/"), BridgeTopic("c", "out", 1, "", "r/")
    )
    packets = link.packets("out")
    assert [each.requests for each in packets if isinstance(each, Subscribe)] == [
        [SubscriptionRequest("a", 1, no_local=True, retain_as_published=True)],
        [SubscriptionRequest("r/b", 2, no_local=True, retain_as_published=True)],
    ]
    assert [each.topic_filters for each in packets if isinstance(each, Unsubscribe)] == [["r/c"]]


def test_unsubscribing_may_be_left_out(home: Broker, cloud: Broker) -> None:
    link = home.bridges(cloud, BridgeTopic("c", "out", 1), attempt_unsubscribe=False)
    assert not [each for each in link.packets("out") if isinstance(each, Unsubscribe)]


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5])
def test_a_filter_that_the_remote_refuses_is_told(network: Network, home: Broker, version: int) -> None:
    rules = Granted(subscribe={"secret/#": Grant(-1)})
    cloud = network.broker("cloud", gate=OneRule(rules))
    link = home.bridges(cloud, BridgeTopic("secret/#", "in"), BridgeTopic("open/#", "in"), version=version)
    assert [topic_filter for topic_filter, _ in link.refusals] == ["secret/#"]
    sub = home.client("sub").subscribes("#")
    cloud.publishes(Message("secret/x"))
    cloud.publishes(Message("open/x"))
    assert sub.topics == ["open/x"]


def test_a_remote_without_wildcards_is_not_asked_for_them(network: Network, home: Broker) -> None:
    cloud = network.broker("cloud", Options(wildcard_subscription_available=False))
    link = home.bridges(cloud, BridgeTopic("a/#", "in", 1), BridgeTopic("b", "in", 1))
    assert link.refusals == [("a/#", "the remote takes no subscription with a wildcard")]
    assert link.is_open
    sub = home.client("sub").subscribes("#")
    cloud.publishes(Message("b", b"x", 1))
    assert sub.payloads == [b"x"]


def test_a_filter_that_the_remote_has_no_room_for_is_told(network: Network, home: Broker) -> None:  # [MQTT-3.2.2-15]
    cloud = network.broker("cloud", Options(maximum_packet_size=200))
    asked, dropped = "a" * 300, "b" * 300
    link = home.bridges(cloud, BridgeTopic(asked, "in", 1), BridgeTopic(dropped, "out", 1), BridgeTopic("b", "in", 1))
    assert [topic_filter for topic_filter, _ in link.refusals] == [dropped, asked]
    assert link.is_open
    sub = home.client("sub").subscribes("#")
    cloud.publishes(Message("b", b"x", 1))
    assert sub.payloads == [b"x"]


def test_a_bridge_does_at_this_end_what_its_permissions_say(home: Broker, cloud: Broker) -> None:
    rules = Granted(publish={"closed/#": Grant(-1)}, subscribe={"private/#": Grant(-1)})
    link = home.bridges(
        cloud,
        BridgeTopic("closed/#", "in", 2),
        BridgeTopic("private/#", "out", 2),
        BridgeTopic("open/#", "both", 2),
        permissions=rules,
    )
    here, there = home.client("here").subscribes("#", qos=2), cloud.client("there").subscribes("#", qos=2)
    for qos in (0, 1, 2):
        for topic in ("closed/x", "open/x"):
            cloud.client("pub").publishes(topic, b"down", qos=qos)
        home.client("pub").publishes("private/x", b"up", qos=qos)
    assert here.topics == ["open/x", "private/x"] * 3
    assert "private/x" not in there.topics
    assert link.refusals[0][0] == "private/#"
    assert link.reasons == []


def test_nobody_speaks_for_this_broker(home: Broker, cloud: Broker) -> None:
    home.bridges(cloud, BridgeTopic("$SYS/#", "in", 1), BridgeTopic("$CONTROL/#", "in", 1))
    here = home.client("here").subscribes("$SYS/#")
    here.takes()
    cloud.publishes(Message("$SYS/broker/uptime", b"1", 1))
    assert here.payloads == []


# Keep-alive


def test_a_quiet_link_is_asked_whether_it_is_there(network: Network, home: Broker, cloud: Broker) -> None:
    link = home.bridges(cloud, BridgeTopic("#", "both", 1), keep_alive=20)
    network.advances(120)
    assert link.is_open
    pings = [each for each in link.packets("out") if isinstance(each, PingReq)]
    assert 6 <= len(pings) <= 8


def test_a_remote_that_is_only_listened_to_hears_of_us_in_time(network: Network, home: Broker, cloud: Broker) -> None:
    link = home.bridges(cloud, BridgeTopic("#", "both", 0), keep_alive=20)
    for _ in range(60):  # what comes in is no sign of us
        cloud.publishes(Message("a"))
        network.advances(1)
    assert link.is_open
    for _ in range(60):
        home.publishes(Message("a"))
        network.advances(1)
    assert link.is_open


def test_a_remote_that_does_not_answer_is_given_up(home: Broker) -> None:
    link = bridge_to_nowhere(home, keep_alive=20)
    said_version(link)
    hears(link, b"\x20\x03\x00\x00\x00")
    assert link.is_open
    home.advance(24)
    assert link.is_open
    home.advance(5)
    assert not link.is_open
    assert link.reasons == ["no answer to a PINGREQ within 10 s"]


def test_a_remote_that_takes_what_is_written_is_not_given_up(home: Broker) -> None:
    link = bridge_to_nowhere(home, keep_alive=20)
    said_version(link)
    hears(link, b"\x20\x03\x00\x00\x00")
    for _ in range(20):
        home.advance(5)
        link.connection.wrote(home.now)
    assert link.is_open
    home.advance(25)
    assert not link.is_open


def test_the_remote_may_say_how_long_it_waits(network: Network, home: Broker) -> None:
    cloud = network.broker("cloud", Options(maximum_keep_alive=5))
    link = home.bridges(cloud, BridgeTopic("a", "in"), keep_alive=0)
    network.advances(60)
    assert link.is_open
    assert link.connection.visit.keep_alive == 5


# What others are told


@pytest.mark.parametrize("version", VERSIONS)
def test_the_state_is_told_at_both_ends(home: Broker, cloud: Broker, version: int) -> None:
    link = home.bridges(cloud, BridgeTopic("a", "out"), version=version, connects=False)
    assert (retained_of(home, STATE), retained_of(cloud, STATE)) == (b"0", None)
    link.connects()
    assert (retained_of(home, STATE), retained_of(cloud, STATE)) == (b"1", b"1")
    link.is_cut()
    assert (retained_of(home, STATE), retained_of(cloud, STATE)) == (b"0", b"0")
    link.connects()
    link.bridge.stop("the broker stops", home.now)
    home.flush()
    assert (retained_of(home, STATE), retained_of(cloud, STATE)) == (b"0", b"0")
    assert link.reasons == ["the remote closed it", "the broker stops"]
    assert [each for each in link.packets("out") if isinstance(each, Disconnect)] == [Disconnect(0)]


def test_the_state_may_be_told_here_alone_elsewhere_or_not_at_all(home: Broker, cloud: Broker) -> None:
    home.bridges(cloud, BridgeTopic("a", "out"), notifications_local_only=True)
    assert (retained_of(home, STATE), retained_of(cloud, STATE)) == (b"1", None)
    home.bridges(cloud, BridgeTopic("a", "out"), remote_client_id="other", notification_topic="bridges/other")
    assert (retained_of(home, "bridges/other"), retained_of(cloud, "bridges/other")) == (b"1", b"1")
    link = home.bridges(cloud, BridgeTopic("a", "out"), remote_client_id="silent", notifications=False)
    assert retained_of(home, "$SYS/broker/connection/silent/state") is None
    assert connect_of(link).will is None


# How it lives


def test_a_session_keeps_what_waits_and_what_it_subscribed_to(home: Broker, cloud: Broker) -> None:
    link = home.bridges(cloud, BridgeTopic("a/#", "out", 1), connects=False, local_client_id="mine", local_user="me")
    home.publishes(Message("a/b", b"x", 1))
    home.restarts(after=1_000_000.0)
    home.publishes(Message("a/b", b"y", 1))
    sub = cloud.client("sub").subscribes("#", qos=1)
    cloud.now = home.now
    link.connects()
    assert sub.payloads == [b"x", b"y"]
    assert home.engine.sessions["mine"].user == "me"


def test_a_clean_end_here_keeps_nothing_while_it_is_away(home: Broker, cloud: Broker) -> None:
    link = home.bridges(cloud, BridgeTopic("a/#", "out", 1), local_clean_start=True)
    sub = cloud.client("sub").subscribes("#", qos=1)
    link.is_cut()
    assert link.bridge.session is None
    home.publishes(Message("a/b", b"lost", 1))
    link.connects()
    home.publishes(Message("a/b", b"x", 1))
    assert sub.payloads == [b"x"]
    assert not [each for each in home.ledger.lines if "local.home.bridge" in each]


def test_a_clean_start_there_lets_the_remote_forget(home: Broker, cloud: Broker) -> None:
    link = home.bridges(cloud, BridgeTopic("a/#", "in", 1), clean_start=True)
    link.is_cut()
    assert "home.bridge" not in cloud.engine.sessions
    cloud.publishes(Message("a/b", b"lost", 1))
    sub = home.client("sub").subscribes("#", qos=1)
    link.connects()
    cloud.publishes(Message("a/b", b"x", 1))
    assert sub.payloads == [b"x"]


def test_a_lazy_bridge_wants_to_connect_when_enough_waits_and_leaves_when_nothing_comes(
    network: Network, home: Broker, cloud: Broker
) -> None:
    link = home.bridges(cloud, BridgeTopic("#", "out", 1), connects=False, is_lazy=True, threshold=3, idle_timeout=8.0)
    sub = cloud.client("sub").subscribes("a", qos=1)
    for qos in (0, 1):
        home.publishes(Message("a", b"%d" % qos, qos))
    assert (link.wanted_count, link.bridge.waiting) == (0, 2)
    for qos in (0, 1):
        home.publishes(Message("a", b"%d" % qos, qos))
    assert link.wanted_count == 2  # with each one more: nobody may have come
    link.connects()
    assert sorted(sub.payloads) == [b"0", b"0", b"1", b"1"]
    network.advances(7)
    assert link.is_open
    home.publishes(Message("a", b"more"))
    network.advances(7)
    assert link.is_open
    network.advances(5)
    assert not link.is_open
    assert link.reasons == ["no messages for 8 s"]
    assert retained_of(cloud, STATE) == b"0"
    for _ in range(3):
        home.publishes(Message("a"))
    assert link.wanted_count == 3


@pytest.mark.parametrize("is_clean", [False, True])
def test_what_a_lazy_bridge_keeps_at_qos_0_is_bounded(network: Network, cloud: Broker, is_clean: bool) -> None:
    home = network.broker("home", Options(max_queued_messages=5))
    link = home.bridges(cloud, BridgeTopic("#", "out", 0), connects=False, is_lazy=True, local_clean_start=is_clean)
    for _ in range(20):
        home.publishes(Message("a"))
    assert link.bridge.waiting == 5
    sub = cloud.client("sub").subscribes("a")
    link.connects()
    assert len(sub.payloads) == 5
    assert link.bridge.waiting == 0
    link.is_cut()
    home.publishes(Message("a"))
    assert link.bridge.waiting == 1


def test_how_long_messages_take_is_known(network: Network, home: Broker, cloud: Broker) -> None:
    link = home.bridges(cloud, BridgeTopic("#", "out", 1), connects=False)
    assert link.bridge.delay(home.now) == 0
    home.publishes(Message("a", b"", 1))
    network.advances(30)
    assert link.bridge.delay(home.now) == 30
    link.connects()
    network.advances(30)
    assert link.bridge.delay(home.now) == 30
    home.publishes(Message("a", b"", 1))
    assert link.bridge.delay(home.now) == 0


def test_a_message_that_is_given_up_is_not_waited_for(network: Network, home: Broker, cloud: Broker) -> None:
    link = home.bridges(cloud, BridgeTopic("#", "out", 1), connects=False)
    home.client("pub").publishes("a", b"", 1, properties=Properties(message_expiry_interval=5))
    home.publishes(Message("b", b"", 1))
    network.advances(10)
    link.is_cut_after(2)  # CONNECT and CONNACK
    link.connects()  # what has expired is given up; the other one waits for PUBACK
    assert link.bridge.waiting == 1
    assert link.bridge.delay(home.now) == 0


def test_how_long_messages_take_is_known_when_many_wait(network: Network, cloud: Broker) -> None:
    """The one whose time is taken may lie in the store alone meanwhile, and come back as another object."""
    home = network.broker("home", Options(max_queue_memory=2_000))
    link = home.bridges(cloud, BridgeTopic("#", "out", 1), connects=False)
    for number in range(20):
        home.publishes(Message("a", b"%d" % number, 1))
        if number == 0:
            link.connects().is_cut()
    network.advances(30)
    assert link.session.queue.stored > 0
    assert link.bridge.delay(home.now) == 30
    link.is_cut_after(60)
    link.connects()
    assert link.bridge.delay(home.now) == 30
    network.advances(10)
    assert link.bridge.delay(home.now) == (30 if link.bridge.waiting == 0 else 40)


def test_topics_may_change_while_it_is_connected(home: Broker, cloud: Broker) -> None:
    home.publishes(Message("new/state", b"on", 1, retain=True))
    link = home.bridges(cloud, BridgeTopic("old/#", "both", 1), BridgeTopic("same/#", "both", 1))
    link.packets("out")
    topics = [BridgeTopic("new/#", "both", 1), BridgeTopic("same/#", "both", 1)]
    link.bridge.change(BridgeOptions(remote_client_id="home.bridge", topics=topics), home.now)
    home.flush()
    packets = link.packets("out")
    assert [each.requests[0].topic_filter for each in packets if isinstance(each, Subscribe)] == ["new/#"]
    assert [each.topic_filters for each in packets if isinstance(each, Unsubscribe)] == [["old/#"]]
    assert retained_of(cloud, "new/state") == b"on"
    here, there = home.client("here").subscribes("#"), cloud.client("there").subscribes("#")
    there.takes()
    for topic in ("old/x", "new/x", "same/x"):
        home.publishes(Message(topic, b"up"))
        cloud.publishes(Message(topic, b"down"))
    assert (b"down", "old/x") not in zip(here.payloads, here.topics, strict=True)
    assert [topic for topic, payload in zip(here.topics, here.payloads, strict=True) if payload == b"down"] == [
        "new/x",
        "same/x",
    ]
    assert [topic for topic, payload in zip(there.topics, there.payloads, strict=True) if payload == b"up"] == [
        "new/x",
        "same/x",
    ]
    assert link.opened_count == 1


def test_what_waits_for_a_topic_that_is_gone_is_given_up(home: Broker, cloud: Broker) -> None:
    link = home.bridges(cloud, BridgeTopic("old/#", "out", 1), BridgeTopic("same/#", "out", 1), connects=False)
    home.publishes(Message("old/x", b"x", 1))
    home.publishes(Message("same/x", b"y", 1))
    topics = [BridgeTopic("same/#", "out", 1)]
    link.bridge.change(BridgeOptions(remote_client_id="home.bridge", topics=topics), home.now)
    sub = cloud.client("sub").subscribes("#", qos=1)
    link.connects()
    assert sub.payloads == [b"y"]
    assert link.bridge.waiting == 0


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5])
def test_a_bridge_that_is_removed_leaves_nothing_behind(home: Broker, cloud: Broker, version: int) -> None:
    link = home.bridges(cloud, BridgeTopic("a/#", "both", 1), version=version)
    link.bridge.remove(home.now)
    home.flush()
    assert home.engine.sessions == {}
    assert home.engine.subscriptions.count == 0
    assert retained_of(home, STATE) is None
    assert len(home.engine.deadlines) == 0
    assert ("home.bridge" in cloud.engine.sessions) == (version == MQTT_3_1_1)
    assert retained_of(cloud, STATE) == b"0"
    home.restarts()
    assert "local.home.bridge" in home.engine.sessions  # the story's own words: it is configured again


def test_a_bridge_that_tells_nothing_takes_nothing_back(home: Broker, cloud: Broker) -> None:
    link = home.bridges(cloud, BridgeTopic("a", "out"), notifications=False)
    home.publishes(Message(STATE, b"somebody else's", 1, retain=True))
    link.bridge.remove(home.now)
    assert retained_of(home, STATE) == b"somebody else's"


def test_what_cannot_be_stored_stays_with_the_remote(home: Broker, cloud: Broker) -> None:
    link = home.bridges(cloud, BridgeTopic("a/#", "in", 2), notifications=False)
    sub = home.client("sub").subscribes("#", qos=2)
    home.fails()
    for qos in (1, 2):
        cloud.publishes(Message("a/b", b"%d" % qos, qos))
    assert link.reasons == ["the broker cannot store what the remote sends"]
    home.recovers()
    link.connects()
    assert sub.payloads == [b"1", b"2"]


def test_a_packet_that_a_server_may_not_send_ends_the_connection(home: Broker) -> None:
    link = bridge_to_nowhere(home)
    said_version(link)
    hears(link, b"\x20\x03\x00\x00\x00" + b"\xc0\x00")
    assert "a server may not send PingReq" in link.reasons[0]
    assert not link.is_open


def test_a_goodbye_of_the_remote_says_why(home: Broker) -> None:
    link = bridge_to_nowhere(home)
    said_version(link)
    hears(link, b"\x20\x03\x00\x00\x00" + b"\xe0\x02\x8b\x00")
    assert link.reasons == ["the remote left: 0x8B server shutting down"]


def test_a_retained_message_with_too_many_levels_is_not_retained_here(network: Network, cloud: Broker) -> None:
    home = network.broker("home", Options(max_topic_levels=3))
    home.bridges(cloud, BridgeTopic("#", "in", 1))
    cloud.publishes(Message("a/b/c/d", b"x", 1, retain=True))
    cloud.publishes(Message("a/b/c", b"x", 1, retain=True))
    assert retained_of(home, "a/b/c/d") is None
    assert retained_of(home, "a/b/c") == b"x"


def test_requests_without_an_answer_are_forgotten_with_their_connection(home: Broker, cloud: Broker) -> None:
    link = home.bridges(cloud, BridgeTopic("a/#", "both", 1), connects=False, notifications=False)
    for _ in range(50):
        link.is_cut_after(2)  # CONNECT and CONNACK
        link.connects()
        link.is_cut()
    link.connects()
    asked = [each for each in link.packets("out") if isinstance(each, Subscribe)]
    assert len(asked) == 1
    assert link.is_open
    assert isinstance(link.session.sender, _Sender)
    assert link.session.sender.requests == {}
    home.publishes(Message("a/b", b"x", 1))
    assert link.bridge.waiting == 0


def test_subscribing_and_publishing_share_packet_ids(home: Broker, cloud: Broker) -> None:  # P1
    lines = [BridgeTopic(f"{number}/#", "both", 1) for number in range(20)]
    link = home.bridges(cloud, *lines, connects=False, notifications=False)
    for number in range(20):
        home.publishes(Message(f"{number}/x", b"", 1))
    link.connects()
    packets = link.packets("out")
    ids = [each.packet_id for each in packets if isinstance(each, Subscribe | Publish)]
    assert len(ids) == len(set(ids)) == 40


def test_messages_leave_packet_ids_for_subscribing(network: Network) -> None:  # P1
    options = Options(max_inflight_messages=65_535, receive_maximum=65_535)
    home, cloud = network.broker("home", options), network.broker("cloud", options)
    link = home.bridges(cloud, BridgeTopic("a", "both", 1))
    assert link.connection.takes_in_flight == 32_768


def test_an_id_that_waits_for_its_answer_is_given_to_nothing_else() -> None:  # P1
    sender = _Sender({})
    sender.requests[5] = "a/#"
    given = [sender.next_packet_id() for _ in range(2 * 65_534)]
    assert sorted(set(given)) == [number for number in range(1, 65_536) if number != 5]
    assert given[:65_534] == given[65_534:]


def test_a_mount_point_is_taken_off_once(world: World) -> None:
    world.listener = Options(mount_point="m/")
    sub = world.client("sub").subscribes("#", retain_as_published=True)
    for retain in (False, True):
        world.publishes(Message("m/m/x", b"", 0, retain))
    assert sub.topics == ["m/x", "m/x"]


def test_properties_cross_unaltered(home: Broker, cloud: Broker) -> None:
    said = Properties(
        payload_format_indicator=1,
        content_type="text/plain",
        response_topic="answers",
        correlation_data=b"7",
        user_properties=(("colour", "red"),),
        message_expiry_interval=60,
    )
    home.bridges(cloud, BridgeTopic("#", "both", 1), notifications=False)
    here, there = home.client("here").subscribes("#"), cloud.client("there").subscribes("#")
    home.client("pub").publishes("a", b"up", qos=1, properties=said.copy())
    (message,) = there.messages
    assert message.properties is not None
    added = message.properties.user_properties[1:]
    assert [name for name, _ in added] == [HOPS, IDENTITY]
    message.properties.user_properties = message.properties.user_properties[:1]
    assert message.properties == said
    assert here.messages[0].properties == said


# A remote that the test is itself


def bridge_to_nowhere(home: Broker, **words: Any) -> Link:
    link = home.bridges(home, BridgeTopic("#", "out", 1), connects=False, notifications=False, **words)
    link.leads_nowhere = True
    return link


def said_version(link: Link) -> int:
    """Open a connection, whose other end is the test: the version that CONNECT says."""
    link.said.clear()
    link.connects()
    (frame,) = [each for each in link.said if each]
    return frame[frame.index(b"MQTT") + 4]


def hears(link: Link, data: bytes) -> None:
    link.connection.receive(data, link.home.now)
    link.home.flush()
