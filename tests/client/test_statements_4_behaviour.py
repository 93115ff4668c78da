"""What chapter 4 asks of a client: delivery, sessions, order, topics; ``test_authentication.py`` has section 4.12."""

import pytest

from telex.wire.packets import ConnAck, PubAck, PubComp, Publish, PubRec, PubRel, SubscriptionRequest
from telex.wire.properties import Properties
from tests.client.link import Link, persistent
from tests.conformance.marks import each_version, edge, mqtt

# QoS (section 4.3)


@mqtt("MQTT-4.3.1-1")
@each_version
def test_qos_0_is_sent_once_and_then_over(version: int) -> None:
    link = persistent(version).open()
    publication = link.client.publish("a", b"x")
    assert link.sent() == [Publish("a", b"x", qos=0, dup=False)]
    assert publication.is_done
    link.reopen()
    assert link.sent() == []


@mqtt("MQTT-4.3.2-1", "MQTT-4.3.2-2", "MQTT-4.3.2-3")
@edge("S1")
@each_version
def test_qos_1_is_unacknowledged_until_puback(version: int) -> None:
    link = persistent(version).open()
    publication = link.client.publish("a", b"x", qos=1)
    assert link.wrote() == ("3206 0001 61 0001 78" if version == 4 else "3207 0001 61 0001 00 78").replace(" ", "")
    for _ in range(2):
        link.gets(PubRec(1), PubComp(1))  # those are for others
        assert not publication.is_done
        link.reopen()
        assert link.sent() == [Publish("a", b"x", 1, dup=True, packet_id=1)]
    assert link.gets(PubAck(1)) == [publication]
    link.reopen()
    assert link.sent() == []
    assert link.client.publish("a", b"y", qos=1).packet_id == 2  # 1 rests for as long as it can


@mqtt("MQTT-4.3.2-4", "MQTT-4.3.2-5")
@each_version
def test_qos_1_with_an_id_that_was_acknowledged_is_a_new_message(version: int) -> None:
    link = Link(version=version).open()
    for payload, dup in ((b"1", False), (b"2", True), (b"2", False)):
        message = Publish("a", payload, 1, dup=dup, packet_id=0x1234)
        assert link.gets(message) == [message]
        assert link.wrote() == "40021234"


@mqtt("MQTT-4.3.3-1", "MQTT-4.3.3-2", "MQTT-4.3.3-3", "MQTT-4.3.3-4", "MQTT-4.3.3-5", "MQTT-4.3.3-6")
@mqtt("MQTT-4.3.3-1", v3=True)
@edge("S2")
@each_version
def test_qos_2_is_sent_until_pubrec_and_released_until_pubcomp(version: int) -> None:
    link = persistent(version).open()
    publication = link.client.publish("a", b"x", qos=2)
    assert link.wrote() == ("3406 0001 61 0001 78" if version == 4 else "3407 0001 61 0001 00 78").replace(" ", "")
    for _ in range(2):
        link.gets(PubAck(1), PubComp(1))  # those are for others
        assert not publication.is_done
        link.reopen()
        assert link.sent() == [Publish("a", b"x", 2, dup=True, packet_id=1)]
    link.gets(PubRec(1))
    assert link.wrote() == "62020001"
    for _ in range(2):
        link.gets(PubAck(1))
        assert not publication.is_done
        link.reopen()
        assert link.wrote() == "62020001"  # and its PUBLISH is never sent again
        link.gets(PubRec(1))
        assert link.wrote() == "62020001"
    assert link.gets(PubComp(1)) == [publication]
    link.reopen()
    assert link.sent() == []


@mqtt("MQTT-4.3.3-7")
@edge("S8")
def test_qos_2_that_was_sent_does_not_expire() -> None:
    link = persistent().open()
    expiry = Properties(message_expiry_interval=1)
    publication = link.client.publish("a", b"x", qos=2, properties=expiry)
    link.client.take(0.0)
    link.now = 3000.0
    link.reopen()
    assert link.sent() == [Publish("a", b"x", 2, dup=True, packet_id=1, properties=expiry)]
    link.gets(PubRec(1))
    link.now = 6000.0
    link.reopen()
    assert link.sent() == [PubRel(1)]
    assert link.gets(PubComp(1)) == [publication]


@mqtt("MQTT-4.3.3-8", "MQTT-4.3.3-10", "MQTT-4.3.3-11", "MQTT-4.3.3-12")
@mqtt("MQTT-4.3.3-2", v3=True)
@edge("S3", "S4")
@each_version
def test_qos_2_comes_once_however_often_it_is_sent(version: int) -> None:
    link = persistent(version).open()
    message = Publish("a", b"x", 2, packet_id=0x1234)
    repeat = Publish("a", b"x", 2, dup=True, packet_id=0x1234)
    assert link.gets(message, repeat) == [message]
    assert link.wrote() == "50021234" * 2
    link.reopen()
    assert link.gets(repeat) == []
    assert link.wrote() == "50021234"
    link.reopen()
    link.gets(PubRel(0x1234))
    assert link.wrote() == "70021234"
    link.reopen()
    link.gets(PubRel(0x1234))  # our PUBCOMP was lost
    assert link.wrote() == ("70021234" if version == 4 else "7003123492")
    assert link.gets(message) == [message]  # the id is free: this is another message
    assert link.wrote() == "50021234"


@mqtt("MQTT-4.3.3-13")
def test_qos_2_that_has_expired_is_acknowledged_to_the_end() -> None:
    link = persistent().open()
    message = Publish("a", b"x", 2, packet_id=3, properties=Properties(message_expiry_interval=1))
    assert link.gets(message) == [message]
    link.now = 3000.0
    link.reopen()
    assert link.gets(message) == []
    assert link.gets(PubRel(3)) == []
    assert link.sent() == [PubRec(3), PubComp(3)]


# Sending again (section 4.4)


@mqtt("MQTT-4.4.0-1", "MQTT-4.6.0-1")
@mqtt("MQTT-4.4.0-1", "MQTT-4.6.0-1", "MQTT-2.3.1-3", v3=True)
@edge("S1", "S2", "S7")
@each_version
def test_on_resume_what_is_unacknowledged_leaves_again_in_its_order_and_in_front(version: int) -> None:
    link = persistent(version).open()
    for number in range(1, 7):
        link.client.publish("a", b"%d" % number, qos=2 if number in (2, 4, 5) else 1)
    link.gets(PubAck(3), PubRec(5))
    link.client.take(0.0)
    for _ in range(2):
        link.client.lost()
        link.client.opened(0.0)
        link.client.take(0.0)
        link.gets(ConnAck(session_present=True))
        link.client.publish("a", b"new")
        assert link.sent() == [
            PubRel(5),
            Publish("a", b"1", 1, dup=True, packet_id=1),
            Publish("a", b"2", 2, dup=True, packet_id=2),
            Publish("a", b"4", 2, dup=True, packet_id=4),
            Publish("a", b"6", 1, dup=True, packet_id=6),
            Publish("a", b"new"),
        ]
    link.client.publish("a", b"7", qos=1)
    assert link.sent() == [Publish("a", b"7", 1, packet_id=7)]


@mqtt("MQTT-4.4.0-1")
@each_version
def test_nothing_is_sent_again_while_the_connection_lasts(version: int) -> None:
    link = persistent(version).open()
    link.client.publish("a", b"1", qos=1)
    link.client.publish("a", b"2", qos=2)
    released = link.client.publish("a", b"3", qos=2)
    link.client.subscribe([SubscriptionRequest("a")])
    link.gets(PubRec(released.packet_id))
    link.client.take(0.0)
    for _ in range(40):
        link.now += 1.0
        link.client.tick(link.now)
        assert link.sent() == []
    link.reopen()
    assert len(link.sent()) == 3  # nor is a SUBSCRIBE sent again at all


@mqtt("MQTT-4.4.0-2")
@edge("S5")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_refused_message_is_not_sent_again(qos: int) -> None:
    link = persistent().open()
    publication = link.client.publish("a", b"x", qos=qos)
    link.client.take(0.0)
    assert link.gets(PubAck(1, 0x87) if qos == 1 else PubRec(1, 0x87)) == [publication]
    assert publication.reason_code == 0x87
    assert link.sent() == []
    link.reopen()
    assert link.sent() == []


@edge("S5")
def test_a_refusal_of_what_was_accepted_before_changes_nothing() -> None:
    link = persistent().open()
    publication = link.client.publish("a", b"x", qos=2)
    link.gets(PubRec(1))
    assert link.gets(PubRec(1, 0x87)) == []
    assert link.gets(PubComp(1)) == [publication]
    assert publication.reason_code == 0


# Receiving and order (sections 4.5 and 4.6)


@mqtt("MQTT-4.5.0-2")
@mqtt("MQTT-4.5.0-2", v3=True)
@each_version
def test_a_message_that_nobody_asked_for_is_acknowledged_all_the_same(version: int) -> None:
    link = Link(version=version).open()
    link.gets(Publish("never/subscribed", b"", 1, packet_id=1), Publish("never/subscribed", b"", 2, packet_id=2))
    assert link.sent() == [PubAck(1), PubRec(2)]


@mqtt("MQTT-4.6.0-2", "MQTT-4.6.0-3")
@mqtt("MQTT-4.6.0-2", "MQTT-4.6.0-3", v3=True)
@each_version
def test_acknowledgements_leave_in_the_order_of_their_messages(version: int) -> None:
    link = Link(version=version).open()
    ids = [9, 3, 7, 1, 8]
    link.gets(*[Publish("a", b"", 1, packet_id=packet_id) for packet_id in ids])
    link.gets(*[Publish("a", b"", 2, packet_id=packet_id) for packet_id in reversed(ids)])
    assert link.sent() == [PubAck(each) for each in ids] + [PubRec(each) for each in reversed(ids)]


@mqtt("MQTT-4.6.0-4")
@mqtt("MQTT-4.6.0-4", v3=True)
@each_version
def test_pubrels_leave_in_the_order_of_their_pubrecs(version: int) -> None:
    link = persistent(version).open()
    for _ in range(5):
        link.client.publish("a", b"", qos=2)
    link.client.take(0.0)
    order = [4, 1, 5, 2]
    link.gets(*[PubRec(each) for each in order])
    assert link.sent() == [PubRel(each) for each in order]
    link.reopen()
    assert link.sent() == [*[PubRel(each) for each in order], Publish("a", b"", 2, dup=True, packet_id=3)]


# Topics (sections 4.7 and 4.8)


@mqtt("MQTT-4.7.1-1", "MQTT-4.7.1-2")
@mqtt("MQTT-4.7.1-2", "MQTT-4.7.1-3", v3=True)
@edge("K3")
@each_version
@pytest.mark.parametrize("topic_filter", ["a/#/b", "a#", "#/", "##", "a/#b", "a+", "+a", "a/b+/c", "++"])
def test_a_wildcard_out_of_its_place_is_refused(version: int, topic_filter: str) -> None:
    link = Link(version=version).open()
    with pytest.raises(ValueError, match=r"must be the last level|must stand alone"):
        link.client.subscribe([SubscriptionRequest(topic_filter)])
    with pytest.raises(ValueError, match=r"must be the last level|must stand alone"):
        link.client.unsubscribe([topic_filter])
    assert link.wrote() == ""


@mqtt("MQTT-4.7.1-1", "MQTT-4.7.1-2")
@mqtt("MQTT-4.7.1-2", "MQTT-4.7.1-3", v3=True)
@each_version
def test_wildcards_in_their_place_are_asked_for(version: int) -> None:
    link = Link(version=version).open()
    for topic_filter in ("#", "a/#", "+", "+/+", "/+", "a/+/b/#", "+/#", "$SYS/#"):
        link.client.subscribe([SubscriptionRequest(topic_filter)])
        link.client.unsubscribe([topic_filter])
    assert len(link.sent()) == 16


@mqtt("MQTT-4.7.3-1")
@mqtt("MQTT-4.7.3-1", v3=True)
@each_version
def test_an_empty_topic_is_refused(version: int) -> None:
    link = Link(version=version).open()
    with pytest.raises(ValueError, match="topic name is empty"):
        link.client.publish("", b"")
    with pytest.raises(ValueError, match="topic filter is empty"):
        link.client.subscribe([SubscriptionRequest("")])
    with pytest.raises(ValueError, match="topic filter is empty"):
        link.client.unsubscribe([""])
    assert link.wrote() == ""
    link.closes_at("3002 0000" if version == 4 else "3003 0000 00", 0x82, match="neither topic name nor topic alias")


@mqtt("MQTT-4.7.3-3")
@mqtt("MQTT-4.7.3-3", v3=True)
@each_version
def test_a_topic_of_more_than_65535_bytes_is_refused(version: int) -> None:
    link = Link(version=version).open()
    longest = "é" * 32_767 + "a"
    link.client.publish(longest, b"")
    link.client.subscribe([SubscriptionRequest(longest)])
    link.client.unsubscribe([longest])
    assert len(link.sent()) == 3
    for ask in (
        lambda: link.client.publish(longest + "a", b""),
        lambda: link.client.subscribe([SubscriptionRequest(longest + "a")]),
        lambda: link.client.unsubscribe([longest + "a"]),
    ):
        with pytest.raises(ValueError, match="65,536 bytes, at most 65,535 are allowed"):
            ask()
    assert link.wrote() == ""


@mqtt("MQTT-4.8.2-1", "MQTT-4.8.2-2")
@pytest.mark.parametrize(
    "topic_filter",
    ["$share", "$share/", "$share/g", "$share//a", "$share/g/", "$share/+/a", "$share/g#/a", "$share/g/#/a"],
)
def test_a_shared_filter_that_is_none_is_refused(topic_filter: str) -> None:
    link = Link().open()
    with pytest.raises(ValueError, match=r"\$share"):
        link.client.subscribe([SubscriptionRequest(topic_filter)])
    assert link.wrote() == ""
    for good in ("$share/g/a", "$share/g//", "$share/g/#", "$share/é/+/a", "$shared/+"):
        link.client.subscribe([SubscriptionRequest(good)])
    assert len(link.sent()) == 5
