"""A broker that connects to others is a client, too (v3 chapter 7): what a client has to obey, told of a bridge.

All stories here happen in memory; the remote broker is Telex, which ends a connection where a client breaks a rule.
"""

from typing import Any

import pytest

from telex.codes import MQTT_3_1_1
from telex.engine.bridge import BridgeTopic
from telex.engine.message import Message
from telex.engine.options import Options
from telex.wire.packets import (
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PubAck,
    Publish,
    PubRec,
    PubRel,
    Subscribe,
    SubscriptionRequest,
    Unsubscribe,
)
from tests.conformance.marks import each_version, mqtt
from tests.engine.bridging import Broker, Link, Network
from tests.engine.world import Client


class Pair:
    """Two brokers, of which one has a bridge to the other."""

    def __init__(self, remote: Options | None = None, *, qos: int = 2, **words: Any) -> None:
        network = self.network = Network()
        self.home: Broker = network.broker("home")
        self.cloud: Broker = network.broker("cloud", remote)
        topics = [BridgeTopic("up/#", "out", qos), BridgeTopic("down/#", "in", qos)]
        self.link: Link = self.home.bridges(self.cloud, *topics, connects=False, **words)
        self.connects = self.link.connects

    def publishes(self, count: int = 3, *, qos: int = 2) -> "Pair":
        """Somebody publishes at each end."""
        for number in range(count):
            self.home.publishes(Message("up/x", b"%d" % number, qos))
            self.cloud.publishes(Message("down/x", b"%d" % number, qos))
        return self

    def listener(self) -> Client:
        """Somebody at the remote end, who wants everything."""
        return self.cloud.client("sub").subscribes("#", qos=2)

    def said(self) -> list[Packet]:
        """What the bridge has said since it was asked last; the remote took nothing for a breach of the protocol."""
        assert not [reason for reason in self.link.reasons if "MQTT-" in reason]
        return self.link.packets("out")


def publishes_among(packets: list[Packet]) -> list[Publish]:
    """Those that are not the bridge's own word of itself."""
    return [each for each in packets if isinstance(each, Publish) and each.qos > 0]


@each_version
@mqtt("MQTT-7.0.0-1", "MQTT-3.1.0-1", "MQTT-3.14.4-1", "MQTT-3.14.4-2", v3=True)
@mqtt("MQTT-3.1.0-1")
def test_a_bridge_begins_and_ends_as_clients_do(version: int) -> None:
    pair = Pair(version=version)
    pair.connects()
    pair.publishes()
    pair.link.bridge.stop("the broker stops", pair.home.now)
    pair.home.flush()
    packets = pair.said()
    assert [index for index, each in enumerate(packets) if isinstance(each, Connect)] == [0]
    assert isinstance(packets[-1], Disconnect)
    assert pair.link.near is not None
    assert not pair.link.near.is_connected


@each_version
@mqtt("MQTT-2.2.1-3")
@mqtt("MQTT-7.0.0-1", "MQTT-2.3.1-2", "MQTT-2.3.1-3", v3=True)
def test_a_bridge_uses_no_packet_id_twice_at_a_time(version: int) -> None:
    pair = Pair(version=version)
    pair.home.publishes(Message("up/x", b"early", 2))
    pair.link.is_held_after(2)  # CONNECT and CONNACK
    pair.connects()
    pair.publishes()
    pair.link.goes_on()
    packets = pair.said()
    asked = [each.packet_id for each in packets if isinstance(each, Subscribe | Unsubscribe)]
    sent = [each.packet_id for each in publishes_among(packets)]
    assert len(asked) == 2
    assert len(sent) == 4
    assert len({*asked, *sent}) == 6
    assert 0 not in {*asked, *sent}


@each_version
@mqtt("MQTT-3.1.2-20")
@mqtt("MQTT-7.0.0-1", "MQTT-3.1.2-23", v3=True)
@pytest.mark.parametrize("keep_alive", [1, 2, 3, 5, 60])
def test_a_bridge_is_never_silent_for_longer_than_its_keep_alive(version: int, keep_alive: int) -> None:
    pair = Pair(version=version, keep_alive=keep_alive)
    for broker in pair.network.brokers:
        broker.advance(0.6)  # what is due is looked at at full seconds
    pair.connects()
    pair.said()
    pings = []
    for second in range(1, 200):
        pair.network.advances(1)
        if [each for each in pair.said() if isinstance(each, PingReq)]:
            pings.append(second)
    assert pair.link.is_open
    assert all(later - earlier <= keep_alive for earlier, later in zip([0, *pings], pings, strict=False))


@mqtt("MQTT-3.1.2-21", "MQTT-3.2.2-21")
@pytest.mark.parametrize("keep_alive", [1, 2, 9])
def test_a_bridge_keeps_to_the_keep_alive_of_the_server(keep_alive: int) -> None:
    pair = Pair(Options(maximum_keep_alive=keep_alive), keep_alive=60)
    pair.connects()
    pair.said()
    pair.network.advances(50)
    assert pair.link.is_open
    assert len([each for each in pair.said() if isinstance(each, PingReq)]) >= 50 // keep_alive - 1


@mqtt("MQTT-3.2.2-11")
@pytest.mark.parametrize("most", [0, 1])
def test_a_bridge_publishes_at_no_qos_above_the_servers(most: int) -> None:
    pair = Pair(Options(maximum_qos=most))
    pair.publishes()
    pair.connects()  # its will is tried with less
    if not pair.link.is_open:
        pair.connects()
    pair.publishes()
    assert {each.qos for each in pair.said() if isinstance(each, Publish)} <= {0, most}
    assert pair.link.is_open


@mqtt("MQTT-3.2.2-14")
def test_a_bridge_retains_nothing_where_nothing_is_retained() -> None:
    pair = Pair(Options(retain_available=False))
    pair.home.publishes(Message("up/x", b"old", 1, retain=True))
    pair.connects()
    pair.connects()  # its will was to be retained
    pair.home.publishes(Message("up/x", b"new", 1, retain=True))
    assert pair.link.is_open
    packets = [each for each in pair.said() if isinstance(each, Publish)]
    assert {b"old", b"new"} <= {each.payload for each in packets}
    assert not [each for each in packets if each.retain]


@mqtt("MQTT-3.2.2-15")
@pytest.mark.parametrize(("most", "count"), [(220, 2), (300, 3)])
@pytest.mark.parametrize("is_ours", [False, True])
def test_a_bridge_sends_no_packet_that_the_server_does_not_take(most: int, count: int, is_ours: bool) -> None:
    """Or that is larger than it is to send."""
    remote = Options() if is_ours else Options(maximum_packet_size=most)
    pair = Pair(remote, notification_topic="bridges/home", maximum_packet_size=most if is_ours else 0)
    pair.connects()
    for size in (1, 100, 180, 300):
        pair.home.publishes(Message("up/x", bytes(size), 1))
    assert pair.link.is_open
    assert pair.link.bridge.waiting == 0
    assert len(publishes_among(pair.said())) == count


@mqtt("MQTT-3.2.2-15")
def test_a_bridge_that_can_tell_nothing_in_so_few_bytes_tells_nothing() -> None:
    pair = Pair(maximum_packet_size=40, notification_topic="bridges/" + "x" * 50)
    pair.connects()
    assert pair.link.is_open
    assert not [each for each in pair.said() if isinstance(each, Publish)]


@mqtt("MQTT-3.2.2-17", "MQTT-3.2.2-18")
@pytest.mark.parametrize("most", [0, 2])
def test_a_bridge_uses_no_topic_alias_above_the_servers(most: int) -> None:
    pair = Pair(Options(topic_alias_maximum=most), qos=0)
    pair.connects()
    for _ in range(2):
        for number in range(4):
            pair.home.publishes(Message(f"up/{number}", b"x"))
    aliases = set()
    for each in pair.said():
        if isinstance(each, Publish) and each.properties is not None and each.properties.topic_alias is not None:
            aliases.add(each.properties.topic_alias)
    assert aliases == set(range(1, most + 1))


@mqtt("MQTT-3.3.2-10")
def test_a_bridge_accepts_the_topic_aliases_that_it_has_allowed() -> None:
    pair = Pair(Options(topic_alias_maximum_out=100), topic_alias_maximum=3)
    pair.connects()
    sub = pair.home.client("sub").subscribes("#")
    for _ in range(2):
        for number in range(5):
            pair.cloud.publishes(Message(f"down/{number}", b"x", 1))
    came = [each for each in pair.link.packets("in") if isinstance(each, Publish)]
    assert len([each for each in came if not each.topic]) == 3
    assert sub.topics == 2 * [f"down/{number}" for number in range(5)]


@mqtt("MQTT-3.3.4-6")
def test_a_bridge_sends_no_subscription_identifiers() -> None:
    pair = Pair()
    pair.connects()
    pair.publishes()
    assert all(each.properties is not None for each in publishes_among(pair.said()))
    assert not [each for each in publishes_among(pair.said()) if each.properties.subscription_identifiers]  # type: ignore[union-attr]


@mqtt("MQTT-3.3.4-7", "MQTT-3.3.4-8")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_bridge_has_no_more_in_flight_than_the_server_takes(qos: int) -> None:
    pair = Pair(Options(receive_maximum=2), qos=qos)
    sub = pair.listener()
    pair.publishes(5, qos=qos)
    pair.link.is_held_after(5)  # CONNECT, CONNACK, UNSUBSCRIBE, SUBSCRIBE and its state
    pair.connects()
    assert len(pair.link.session.sender.in_flight) == 2
    pair.network.advances(50)  # all else goes on
    pair.link.goes_on()
    assert [each.payload for each in sub.messages if each.topic == "up/x"] == [b"%d" % number for number in range(5)]
    packets = pair.said()
    assert any(isinstance(each, PingReq) for each in packets)
    assert any(isinstance(each, Subscribe) for each in packets)


@each_version
@mqtt("MQTT-4.5.0-2", "MQTT-4.6.0-2", "MQTT-4.6.0-3")
@mqtt("MQTT-7.0.0-1", "MQTT-4.5.0-2", "MQTT-4.6.0-2", "MQTT-4.6.0-3", v3=True)
def test_a_bridge_acknowledges_in_order_what_it_can_make_no_use_of(version: int) -> None:
    pair = Pair(version=version)
    pair.connects()
    useless = SubscriptionRequest("else", 2)  # it had this before, and the remote still knows of it
    pair.cloud.engine.subscribe(pair.cloud.engine.sessions["home.bridge"], useless, 2, 0)
    for number in range(6):
        pair.cloud.publishes(Message("down/x" if number % 3 else "else", b"", 1 + number % 2))
    came = publishes_among(pair.link.packets("in"))
    said = pair.said()
    assert [each.packet_id for each in said if isinstance(each, PubAck)] == [
        each.packet_id for each in came if each.qos == 1
    ]
    assert [each.packet_id for each in said if isinstance(each, PubRec)] == [
        each.packet_id for each in came if each.qos == 2
    ]
    assert len(came) == 6


@each_version
@mqtt("MQTT-4.6.0-1", "MQTT-4.6.0-4")
@mqtt("MQTT-7.0.0-1", "MQTT-4.6.0-1", "MQTT-4.6.0-4", v3=True)
@pytest.mark.parametrize("qos", [1, 2])
def test_a_bridge_repeats_in_the_order_of_the_first_sending(version: int, qos: int) -> None:
    pair = Pair(version=version, qos=qos)
    pair.connects()
    sub = pair.listener()
    pair.said()
    pair.link.is_held_after(4)
    for number in range(6):
        pair.home.publishes(Message("up/x", b"%d" % number, qos))
    first = [each.packet_id for each in pair.link.session.sender.in_flight.values() if not each.is_released]
    released = [each.packet_id for each in pair.link.session.sender.in_flight.values() if each.is_released]
    pair.link.is_cut()
    pair.said()
    pair.link.goes_on()
    pair.connects()
    packets = pair.said()
    assert [each.packet_id for each in publishes_among(packets) if each.dup] == first
    assert [each.packet_id for each in packets if isinstance(each, PubRel)][: len(released)] == released
    assert list(dict.fromkeys(sub.payloads)) == [b"%d" % number for number in range(6)]


@mqtt("MQTT-3.2.2-5")
def test_a_bridge_that_the_server_has_forgotten_begins_anew() -> None:
    pair = Pair()
    pair.connects()
    sub = pair.listener()
    pair.link.is_cut_after(1)
    pair.publishes(1)
    pair.cloud.engine.end_session(pair.cloud.engine.sessions["home.bridge"], pair.cloud.now)
    pair.said()
    pair.connects()
    assert not [each for each in publishes_among(pair.said()) if each.dup]
    assert sub.payloads.count(b"0") >= 1
    assert pair.link.bridge.waiting == 0


@mqtt("MQTT-3.2.2-4")
@pytest.mark.parametrize("version", [MQTT_3_1_1, 5])
def test_a_bridge_takes_no_session_that_it_did_not_ask_for(version: int) -> None:
    pair = Pair(version=version, clean_start=True)
    pair.link.leads_nowhere = True
    pair.connects()
    pair.link.connection.receive(bytes.fromhex("20 03 01 00 00" if version == 5 else "20 02 01 00"), pair.home.now)
    pair.home.flush()
    assert (pair.link.reasons != []) == (version == 5)  # v3 says nothing of it
