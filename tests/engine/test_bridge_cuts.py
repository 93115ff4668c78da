"""QoS 1 and 2 over a bridge keep their promise, wherever its link is cut and whichever end dies.

Each story is told once for every packet that crosses the link: there it is cut, or there one
of the two brokers dies with what is on its disk. Then the bridge connects again, and all that was
acknowledged has come: at QoS 2 once, at QoS 1 at least once.
"""

from collections.abc import Callable
from typing import Any

import pytest

from telex.codes import MQTT_3_1, MQTT_3_1_1, MQTT_5
from telex.engine.bridge import BridgeTopic
from telex.engine.options import Options
from telex.wire.packets import PubComp, Publish, PubRec, PubRel, Subscribe, SubscriptionRequest
from tests.engine.bridging import Broker, Link, Network
from tests.engine.world import Client, Ledger

COUNT = 4
PAYLOADS = [f"{number}".encode() for number in range(COUNT)]

Stage = tuple[Link, Broker, Broker]
"""A bridge, the broker where messages are published, and the one where they are wanted."""


def staged(way: str, qos: int, version: int = MQTT_5, **words: Any) -> Stage:
    network = Network()
    home, cloud = network.broker("home"), network.broker("cloud")
    link = home.bridges(cloud, BridgeTopic("a/#", way, qos), version=version, **words)
    return (link, home, cloud) if way == "out" else (link, cloud, home)


def subscriber(broker: Broker, qos: int) -> Client:
    return broker.client("sub", clean_start=False, session_expiry=3_600).subscribes("#", qos=qos)


def got(broker: Broker, before: Client) -> list[bytes]:
    """All that the subscriber has got by now, whether or not its broker died meanwhile."""
    if before.is_connected:
        return before.payloads
    after = before.returns()
    return before.payloads + after.payloads


def packets_of_a_quiet_day(way: str, qos: int, version: int) -> int:
    """How many packets cross the link when nothing goes wrong."""
    link, source, _ = staged(way, qos, version)
    link.packets("out")
    link.packets("in")
    publish_all(source, qos)
    return len(link.packets("out")) + len(link.packets("in"))


def publish_all(source: Broker, qos: int) -> None:
    publisher = source.client("pub")
    for payload in PAYLOADS:
        publisher.publishes("a/b", payload, qos=qos)


def tell(way: str, qos: int, version: int, cut: int, then: Callable[[Stage], None]) -> list[bytes]:
    """Publish while the link is to be cut; then something happens; then it connects again."""
    link, source, target = staged(way, qos, version)
    sub = subscriber(target, qos)
    link.is_cut_after(cut)
    publish_all(source, qos)
    link.is_cut()
    then((link, source, target))
    link.connects()
    assert link.is_open
    assert link.bridge.waiting == 0
    assert all(not session.receiver.owned for session in target.engine.sessions.values()), "an exchange hangs"
    return got(target, sub)


def check(found: list[bytes], qos: int) -> None:
    if qos == 2:
        assert found == PAYLOADS
    else:
        assert sorted(set(found)) == PAYLOADS
        assert [each for index, each in enumerate(found) if each not in found[:index]] == PAYLOADS, "out of order"


STORIES = [
    (way, qos, version, cut)
    for way in ("out", "in")
    for qos in (1, 2)
    for version in (MQTT_3_1, MQTT_3_1_1, MQTT_5)
    for cut in range(packets_of_a_quiet_day(way, qos, version) + 1)
]


@pytest.mark.parametrize(("way", "qos", "version", "cut"), STORIES)
def test_a_link_may_be_cut_at_every_packet(way: str, qos: int, version: int, cut: int) -> None:  # S1 S2 S3 S7
    check(tell(way, qos, version, cut, lambda stage: None), qos)


@pytest.mark.parametrize(("way", "qos", "version", "cut"), STORIES)
def test_the_broker_of_the_bridge_may_die_at_every_packet(way: str, qos: int, version: int, cut: int) -> None:
    check(tell(way, qos, version, cut, lambda stage: stage[0].home.restarts()), qos)


@pytest.mark.parametrize(("way", "qos", "version", "cut"), STORIES)
def test_the_remote_broker_may_die_at_every_packet(way: str, qos: int, version: int, cut: int) -> None:
    check(tell(way, qos, version, cut, lambda stage: stage[0].remote.restarts()), qos)


@pytest.mark.parametrize(("way", "qos", "version", "cut"), STORIES)
def test_both_may_die_at_every_packet(way: str, qos: int, version: int, cut: int) -> None:
    def both(stage: Stage) -> None:
        stage[0].home.restarts()
        stage[0].remote.restarts()

    check(tell(way, qos, version, cut, both), qos)


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5])
@pytest.mark.parametrize("dies", ["nobody", "home", "cloud"])
@pytest.mark.parametrize("way", ["out", "in"])
@pytest.mark.parametrize("cut", range(10))
def test_it_may_be_cut_again_while_it_connects(way: str, dies: str, version: int, cut: int) -> None:
    """At every packet from CONNECT on, when two messages of QoS 2 are on their way since the first cut."""
    again = 0
    is_whole = False
    while not is_whole:
        link, source, target = staged(way, 2, version)
        sub = subscriber(target, 2)
        link.is_cut_after(cut)
        publisher = source.client("pub")
        for payload in PAYLOADS[:2]:
            publisher.publishes("a/b", payload, qos=2)
        link.is_cut()
        link.is_cut_after(again)
        link.connects()
        is_whole = link.is_open
        link.is_cut()
        if dies != "nobody":
            (link.home if dies == "home" else link.remote).restarts()
        link.connects()
        assert link.is_open
        assert link.bridge.waiting == 0
        assert all(not session.receiver.owned for session in target.engine.sessions.values()), "an exchange hangs"
        assert got(target, sub) == PAYLOADS[:2], f"the second time, it was cut after {again} packets"
        again += 1
    assert again > 5  # CONNECT, CONNACK, what it asks for, the answer and its state


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("way", ["out", "in"])
def test_a_link_may_be_cut_again_and_again(way: str, qos: int) -> None:
    link, source, target = staged(way, qos)
    sub = subscriber(target, qos)
    publisher = source.client("pub")
    for number in range(200):
        if number % 3 == 0:
            link.is_cut_after(number % 7)
        publisher.publishes("a/b", b"%d" % number, qos=qos)
        if number % 5 == 0:
            link.is_cut().connects()
    link.is_cut().connects()
    expected = [b"%d" % number for number in range(200)]
    if qos == 2:
        assert sub.payloads == expected
    else:
        assert sorted(set(sub.payloads)) == sorted(expected)


@pytest.mark.parametrize("written", range(25))
def test_what_a_slow_disk_has_not_written_was_not_promised_to_publishers(written: int) -> None:
    """The broker of the bridge dies between what came and what its disk has of it."""
    network = Network()
    home, cloud = network.broker("home", journal=Ledger(is_slow=True, page=50)), network.broker("cloud")
    link = home.bridges(cloud, BridgeTopic("a/#", "out", 2))
    home.commits()
    sub = subscriber(cloud, 2)
    publisher = home.client("pub")
    for number, payload in enumerate(PAYLOADS, 1):
        publisher.sends(Publish("a/b", payload, 2, packet_id=number))
        home.commits(1)
    home.commits(written)
    acknowledged = [payload for number, payload in enumerate(PAYLOADS, 1) if PubRec(number) in publisher.got]
    home.restarts()
    link.connects()
    for _ in range(10):  # each answer may wait for the disk
        home.commits()
    assert [each for each in sub.payloads if each in acknowledged] == acknowledged
    assert len(sub.payloads) == len(set(sub.payloads)), "a message came twice"
    assert link.bridge.waiting == 0


@pytest.mark.parametrize("written", range(25))
def test_what_a_slow_disk_has_not_written_is_still_the_remote_s(written: int) -> None:
    network = Network()
    home, cloud = network.broker("home", journal=Ledger(is_slow=True, page=50)), network.broker("cloud")
    link = home.bridges(cloud, BridgeTopic("a/#", "in", 2))
    home.commits()
    sub = home.knocks("sub", clean_start=False, session_expiry=3_600)
    sub.sends(Subscribe(1, [SubscriptionRequest("#", 2)]))
    home.commits()
    publisher = cloud.client("pub")
    for payload in PAYLOADS:
        publisher.publishes("a/b", payload, qos=2)
        home.commits(1)
    home.commits(written)
    home.restarts()
    link.connects()
    for _ in range(10):  # each answer may wait for the disk
        home.commits()
    again = home.knocks("sub", clean_start=False, session_expiry=3_600)
    home.commits()
    new = [each.payload for each in again.messages if not each.dup]  # a repeat it knows by its packet id
    assert sorted({*sub.payloads, *again.payloads}) == PAYLOADS
    assert not set(sub.payloads) & set(new), "a message came twice"
    assert link.session.receiver.owned == {}


# When one end has forgotten the other


def test_a_remote_that_has_forgotten_the_session_gets_what_is_in_flight_as_new() -> None:
    link, home, cloud = staged("out", 2)
    link.is_cut_after(0)
    publish_all(home, 2)
    link.is_cut()
    cloud.engine.end_session(cloud.engine.sessions["home.bridge"], cloud.now)
    sub = subscriber(cloud, 2)
    link.packets("out")
    link.connects()
    sent = [packet for packet in link.packets("out") if isinstance(packet, Publish) and packet.qos]
    assert [packet.dup for packet in sent] == [False] * COUNT
    assert sub.payloads == PAYLOADS
    assert link.bridge.waiting == 0


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5])
def test_what_a_remote_had_accepted_before_it_forgot_is_not_sent_again(version: int) -> None:
    link, home, cloud = staged("out", 2, version)
    sub = subscriber(cloud, 2)
    link.is_cut_after(2)  # PUBLISH and PUBREC
    home.client("pub").publishes("a/b", b"x", qos=2)
    assert not link.is_open
    assert link.bridge.waiting == 1
    cloud.engine.end_session(cloud.engine.sessions["home.bridge"], cloud.now)
    link.connects()
    assert sub.payloads == [b"x"]
    assert link.bridge.waiting == 0


def test_the_packet_ids_of_a_remote_that_has_forgotten_are_free() -> None:
    link, cloud, home = staged("in", 2)
    sub = subscriber(home, 2)
    link.is_cut_after(1)  # its PUBLISH with packet id 1
    cloud.client("pub").publishes("a/b", b"first", qos=2)
    cloud.engine.end_session(cloud.engine.sessions["home.bridge"], cloud.now)
    link.connects()
    cloud.client("pub").publishes("a/b", b"second", qos=2)  # with packet id 1 again
    assert sub.payloads == [b"first", b"second"]


def test_a_remote_that_speaks_mqtt_3_1_cannot_say_that_it_has_forgotten() -> None:
    link, cloud, home = staged("in", 2, MQTT_3_1)
    sub = subscriber(home, 2)
    link.is_cut_after(1)
    cloud.client("pub").publishes("a/b", b"first", qos=2)
    cloud.engine.end_session(cloud.engine.sessions["home.bridge"], cloud.now)
    link.connects()
    cloud.client("pub").publishes("a/b", b"second", qos=2)
    assert sub.payloads == [b"first", b"second"]


@pytest.mark.parametrize("version", [MQTT_3_1, MQTT_3_1_1, MQTT_5])
def test_a_bridge_that_has_forgotten_frees_the_packet_ids_that_the_remote_owns(version: int) -> None:
    """Otherwise the remote would take a new message for a repeat of the one that it had before."""
    network = Network()
    home, cloud = network.broker("home"), network.broker("cloud")
    link = home.bridges(cloud, BridgeTopic("a/#", "out", 2), version=version, local_clean_start=True)
    sub = subscriber(cloud, 2)
    link.is_cut_after(2)
    home.client("pub").publishes("a/b", b"first", qos=2)
    home.restarts()
    link.connects()
    assert link.bridge.waiting == 0
    assert list(cloud.engine.sessions["home.bridge"].receiver.owned) == [2]  # id 1 was that of UNSUBSCRIBE
    home.client("pub").publishes("a/b", b"second", qos=2)
    assert sub.payloads == [b"first", b"second"]
    assert link.bridge.waiting == 0


def test_a_packet_id_is_freed_only_once() -> None:
    link, home, _ = staged("out", 2, local_clean_start=True)
    link.is_cut().connects()
    link.packets("out")
    publish_all(home, 2)
    released = [packet.packet_id for packet in link.packets("out") if isinstance(packet, PubRel)]
    assert released == [2, 2, 3, 3, 4, 4, 5, 5]  # before each PUBLISH, and after its PUBREC
    unknown = [each.packet_id for each in link.packets("in") if isinstance(each, PubComp) and each.reason_code == 0x92]
    assert unknown == [2, 3, 4, 5]


# What waits


def test_what_waits_for_an_absent_remote_arrives_in_order() -> None:
    options = Options(max_queued_messages=10_000, max_queue_memory=400_000)
    network = Network()
    home, cloud = network.broker("home", options), network.broker("cloud")
    link = home.bridges(cloud, BridgeTopic("a/#", "out", 1), connects=False)
    sub = subscriber(cloud, 1)
    expected = [b"%d" % number for number in range(3_000)]
    publisher = home.client("pub")
    for payload in expected:
        publisher.publishes("a/b", payload, qos=1)
    assert link.bridge.waiting == 3_000
    assert link.session.queue.stored > 1_000  # in the store alone
    home.restarts()
    assert link.bridge.waiting == 3_000
    link.connects()
    assert sub.payloads == expected
    assert link.bridge.waiting == 0


def test_a_remote_that_is_slow_gets_all_that_was_promised() -> None:
    options = Options(max_queued_messages=10_000, max_outbox_bytes=2_000)
    network = Network()
    home, cloud = network.broker("home", options), network.broker("cloud")
    link = home.bridges(cloud, BridgeTopic("a/#", "out", 1))
    sub = cloud.client("sub").subscribes("#", qos=1)
    publisher = home.client("pub")
    link.freezes()
    for number in range(500):
        publisher.publishes("a/b", b"%d" % number, qos=1)
        publisher.publishes("a/c", b"unpromised")
    assert link.connection.outbox.size < 5_000
    assert link.bridge.waiting == 500
    link.thaws()
    assert [each.payload for each in sub.messages if each.topic == "a/b"] == [b"%d" % number for number in range(500)]
    assert 0 < sub.payloads.count(b"unpromised") < 500
    assert link.bridge.waiting == 0
