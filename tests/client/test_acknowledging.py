"""A client that says itself when a message is acknowledged, sans-I/O; and what it keeps of others' in flight."""

from telex.client.connection import Publication
from telex.codes import MAX_PACKET_ID
from telex.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    SubscriptionRequest,
)
from telex.wire.properties import Properties
from tests.client.link import Link, persistent
from tests.conformance.marks import each_version, edge, mqtt


def deliberate(*, version: int = 5, receive_maximum: int | None = None) -> Link:
    """A client with a kept session, that acknowledges nothing by itself."""
    said = Properties(session_expiry_interval=3600, receive_maximum=receive_maximum) if version == 5 else None
    connect = Connect("c", version=version, clean_start=False, properties=said)
    return Link(connect, acknowledges_at_once=False).open()


def message(packet_id: int, qos: int = 1, *, dup: bool = False) -> Publish:
    return Publish("a", b"%d" % packet_id, qos, dup=dup, packet_id=packet_id)


def told(link: Link, *packets: Publish) -> list[Publish]:
    """The messages that the client gives out when these come."""
    events = link.gets(*packets)
    messages = [event for event in events if isinstance(event, Publish)]
    assert messages == events
    return messages


# When the user says so, and in the order in which they came


@mqtt("MQTT-4.3.2-4", "MQTT-4.3.3-8")
@mqtt("MQTT-4.3.3-2", v3=True)
@each_version
def test_a_message_is_acknowledged_when_its_user_says_so_and_once(version: int) -> None:
    link = deliberate(version=version)
    first, second, third = told(link, message(1), message(2, qos=2), Publish("a", b"at most once"))
    assert link.sent() == []
    link.client.acknowledge(third)  # nothing is to be said of it
    assert link.sent() == []
    link.client.acknowledge(first)
    link.client.acknowledge(second)
    assert link.sent() == [PubAck(1), PubRec(2)]
    link.client.acknowledge(first)
    link.client.acknowledge(second)
    assert link.sent() == []
    assert link.gets(PubRel(2)) == []
    assert link.sent() == [PubComp(2)]


@mqtt("MQTT-4.6.0-2", "MQTT-4.6.0-3")
@mqtt("MQTT-4.6.0-2", "MQTT-4.6.0-3", v3=True)
@each_version
def test_acknowledgements_leave_in_the_order_of_the_messages(version: int) -> None:
    link = deliberate(version=version)
    came = told(link, message(3), message(1, qos=2), message(2), message(4, qos=2))
    link.client.acknowledge(came[2])
    link.client.acknowledge(came[1])
    assert link.sent() == []
    link.client.acknowledge(came[0])
    assert link.sent() == [PubAck(3), PubRec(1), PubAck(2)]
    link.client.acknowledge(came[3])
    assert link.sent() == [PubRec(4)]


def test_a_server_that_sends_more_than_it_was_told_is_borne_with() -> None:
    """Mosquitto 2.0 does, when acknowledgements are slow; to end the connection would bring the same again."""
    link = deliberate(receive_maximum=2)
    came = told(link, message(1), message(2, qos=2), message(3), message(4, qos=2))
    for each in reversed(came):
        link.client.acknowledge(each)
    assert link.sent() == [PubAck(1), PubRec(2), PubAck(3), PubRec(4)]


# Servers that repeat


@each_version
def test_an_impatient_server_that_repeats_a_message_of_qos_1_gets_one_answer(version: int) -> None:
    link = deliberate(version=version)
    [first] = told(link, message(1))
    assert told(link, message(1, dup=True), message(1, dup=True)) == []
    link.client.acknowledge(first)
    assert link.sent() == [PubAck(1)]
    [again] = told(link, message(1))  # the id is free: this is another message
    link.client.acknowledge(again)
    assert link.sent() == [PubAck(1)]


@mqtt("MQTT-4.3.3-10")
@edge("S3")
@each_version
def test_a_repeat_of_qos_2_is_not_given_out_and_gets_its_answer_when_the_first_one_does(version: int) -> None:
    link = deliberate(version=version)
    [first] = told(link, message(1, qos=2))
    assert told(link, message(1, qos=2, dup=True)) == []
    assert link.sent() == []
    link.client.acknowledge(first)
    assert link.sent() == [PubRec(1)]
    assert told(link, message(1, qos=2, dup=True)) == []  # our PUBREC may be on its way
    assert link.sent() == [PubRec(1)]


# Another connection


@edge("S1")
@each_version
def test_after_a_cut_a_message_of_qos_1_comes_again_as_another_one(version: int) -> None:
    link = deliberate(version=version)
    [first] = told(link, message(1))
    link.reopen()
    assert link.sent() == []
    link.client.acknowledge(first)  # it is too late: the server will send it again
    assert link.sent() == []
    [again] = told(link, message(1, dup=True))
    assert again is not first
    link.client.acknowledge(first)
    assert link.sent() == []
    link.client.acknowledge(again)
    assert link.sent() == [PubAck(1)]


@mqtt("MQTT-4.3.3-10")
@edge("S3")
@each_version
def test_after_a_cut_a_message_of_qos_2_comes_once_and_is_acknowledged_when_it_is_decided(version: int) -> None:
    link = deliberate(version=version)
    [first] = told(link, message(1, qos=2))
    link.reopen()
    assert told(link, message(1, qos=2, dup=True), message(2)) != []
    assert link.sent() == []
    link.client.acknowledge(first)
    assert link.sent() == [PubRec(1)]
    link.gets(PubRel(1))
    assert link.sent() == [PubComp(1)]


@edge("S3")
@each_version
def test_a_message_of_qos_2_that_was_decided_while_the_link_was_down_is_acknowledged_when_it_comes_again(
    version: int,
) -> None:
    link = deliberate(version=version)
    [first] = told(link, message(1, qos=2))
    link.client.lost()
    link.client.acknowledge(first)
    link.open(ConnAck(session_present=True))
    assert link.sent() == []
    assert told(link, message(1, qos=2, dup=True)) == []
    assert link.sent() == [PubRec(1)]


@edge("S4")
@each_version
def test_a_server_that_lost_our_decision_may_go_on_to_pubrel(version: int) -> None:
    link = deliberate(version=version)
    [first] = told(link, message(1, qos=2))
    link.reopen()
    link.gets(PubRel(1))  # it had our PUBREC of an even earlier connection
    assert link.sent() == [PubComp(1)]
    link.client.acknowledge(first)
    assert link.sent() == []
    [another] = told(link, message(1, qos=2))
    link.client.acknowledge(another)
    assert link.sent() == [PubRec(1)]


@edge("S3")
@each_version
def test_with_a_new_session_nothing_of_the_old_one_is_acknowledged(version: int) -> None:
    link = deliberate(version=version)
    old = told(link, message(1, qos=2), message(2))
    link.reopen(ConnAck(session_present=False))
    new = told(link, message(1, qos=2), message(2))
    for each in old:
        link.client.acknowledge(each)
    assert link.sent() == []
    for each in new:
        link.client.acknowledge(each)
    assert link.sent() == [PubRec(1), PubAck(2)]


def test_on_each_connection_the_order_begins_anew() -> None:
    link = deliberate()
    told(link, message(1), message(2, qos=2))
    link.reopen()
    [again, other] = told(link, message(2, qos=2, dup=True), message(7), message(8))
    link.client.acknowledge(other)
    link.client.acknowledge(again)
    assert link.sent() == []  # the one of QoS 2 came before them, and is not decided


# How much is in flight


def test_no_more_are_in_flight_than_we_want() -> None:
    link = Link(most_in_flight=2).open(ConnAck(properties=Properties(receive_maximum=5)))
    publications = [link.client.publish("a", b"", qos=1) for _ in range(4)]
    assert [packet.packet_id for packet in link.sent() if isinstance(packet, Publish)] == [1, 2]
    assert link.gets(PubAck(1)) == [publications[0]]
    assert [packet.packet_id for packet in link.sent() if isinstance(packet, Publish)] == [3]


def test_nor_than_the_server_wants() -> None:
    link = Link(most_in_flight=100).open(ConnAck(properties=Properties(receive_maximum=1)))
    for _ in range(2):
        link.client.publish("a", b"", qos=1)
    assert link.sent() == [Publish("a", b"", 1, packet_id=1)]


# What outlives the program


class Diary:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def sent(self, publication: Publication) -> None:
        self.lines.append(f"sent {publication.payload.decode()} as {publication.packet_id}")

    def released(self, publication: Publication) -> None:
        self.lines.append(f"released {publication.payload.decode()}")

    def forgotten(self) -> None:
        self.lines.append("forgotten")


def test_a_journal_is_told_of_what_had_to_wait_and_of_what_the_server_owns() -> None:
    diary = Diary()
    link = persistent(journal=diary).open(ConnAck(properties=Properties(receive_maximum=1)))
    assert diary.lines == ["forgotten"]
    diary.lines.clear()
    first = link.client.publish("a", b"first", qos=2)
    link.client.publish("a", b"second", qos=1)
    assert first.packet_id == 1  # whoever publishes sees that by itself
    assert diary.lines == []
    link.gets(PubRec(1))
    assert diary.lines == ["released first"]
    link.gets(PubComp(1))
    assert diary.lines == ["released first", "sent second as 2"]
    link.reopen()
    assert diary.lines == ["released first", "sent second as 2"]  # a repeat is nothing new
    link.reopen(ConnAck())
    assert diary.lines[2:] == ["forgotten", "sent second as 3"]


@edge("S1", "S2", "S7")
@each_version
def test_what_an_earlier_program_had_in_flight_is_completed_first(version: int) -> None:
    said = Properties(session_expiry_interval=3600) if version == 5 else None
    link = Link(Connect("c", version=version, clean_start=False, properties=said))
    restored = []
    for packet_id, qos, is_released in ((9, 1, False), (4, 2, True), (5, 2, False)):
        publication = Publication("a", b"%d" % packet_id, qos, False, None)
        publication.packet_id, publication.is_released = packet_id, is_released
        restored.append(publication)
    link.client.restore(restored)
    link.open(ConnAck(session_present=True))
    new = link.client.publish("a", b"new", qos=1)
    assert link.sent() == [
        PubRel(4),  # it needs no room at the server
        Publish("a", b"9", 1, dup=True, packet_id=9),
        Publish("a", b"5", 2, dup=True, packet_id=5),
        Publish("a", b"new", 1, packet_id=new.packet_id),
    ]
    assert new.packet_id not in (9, 4, 5)
    assert link.gets(PubAck(9), PubComp(4)) == restored[:2]


@edge("P1")
def test_a_publication_takes_no_id_of_a_subscription_that_waits() -> None:
    link = Link().open()
    assert link.client.subscribe([SubscriptionRequest("a")]) == 1
    link.client.publish("a", b"", qos=1)
    link.gets(SubAck(1, [0]))
    assert [packet.packet_id for packet in link.sent() if isinstance(packet, Publish)] == [2]
    assert MAX_PACKET_ID == 65_535


# The goodbye


def test_a_goodbye_may_say_more() -> None:
    link = Link().open()
    said = Properties(session_expiry_interval=0, reason_string="maintenance")
    link.client.disconnect(0x04, said)
    assert link.sent() == [Disconnect(0x04, said)]
    assert link.client.is_closing


def test_before_mqtt_5_a_goodbye_says_nothing() -> None:
    link = Link(version=4).open()
    link.client.disconnect(0x04, Properties(reason_string="maintenance"))
    assert link.wrote() == "e000"


def test_another_connection_may_speak_another_version() -> None:
    link = Link().open(ConnAck())
    link.client.lost()
    link.client.connect = Connect("c", version=4)
    link.version = 4
    link.open()
    assert link.client.version == 4
    link.client.publish("a", b"x", qos=1, properties=Properties(content_type="text"))
    assert link.sent() == [Publish("a", b"x", 1, packet_id=1)]
