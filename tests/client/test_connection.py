"""The client's end, sans-I/O, against a server that the test plays by hand."""

import pytest

from telex.client.connection import ClientConnection, NotTaken, refusal
from telex.errors import NotConnected, ProtocolError, Timeout
from telex.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PingResp,
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
)
from telex.wire.properties import Properties
from tests.client.link import Link


def test_connect_is_the_first_packet_and_connack_opens() -> None:  # [MQTT-3.1.0-1]
    link = Link()
    with pytest.raises(NotConnected):
        link.client.publish("a", b"x")
    link.open()
    assert link.client.is_open


def test_a_refusal_is_told() -> None:
    link = Link(Connect("c", version=4))
    link.client.opened(0.0)
    assert link.gets(ConnAck(5)) == [ConnAck(5)]
    assert (link.client.is_open, link.client.is_closing) == (False, True)
    assert refusal(ConnAck(5), 4) == "not authorised"
    assert refusal(ConnAck(0x87), 5) == "0x87 not authorized"


def test_anything_before_connack_is_an_error() -> None:  # [MQTT-3.2.0-1]
    link = Link()
    link.client.opened(0.0)
    with pytest.raises(ProtocolError, match="expected CONNACK first, got PingResp"):
        link.gets(PingResp())
    assert link.client.is_closing


def test_a_session_that_cannot_be_is_an_error() -> None:  # [MQTT-3.2.2-4]
    link = Link()
    link.client.opened(0.0)
    with pytest.raises(ProtocolError, match="we asked for a clean start"):
        link.gets(ConnAck(session_present=True))


def test_an_assigned_client_id_is_ours() -> None:
    link = Link(Connect("")).open(ConnAck(properties=Properties(assigned_client_identifier="auto-1")))
    assert link.client.client_id == "auto-1"


def test_a_message_of_qos_0_is_done_when_it_is_sent() -> None:
    link = Link().open()
    publication = link.client.publish("a", b"x", retain=True)
    assert link.sent() == [Publish("a", b"x", retain=True)]
    assert publication.is_done
    assert link.client.take_events() == []  # nobody has to be told


def test_a_message_of_qos_1_is_done_when_it_is_acknowledged() -> None:  # [MQTT-4.3.2-3]
    link = Link().open()
    publication = link.client.publish("a", b"x", qos=1)
    assert link.sent() == [Publish("a", b"x", qos=1, packet_id=1)]
    assert not publication.is_done
    assert link.gets(PubAck(1)) == [publication]
    assert publication.is_done
    assert link.client.unfinished == 0


def test_a_message_of_qos_2_is_done_when_it_is_completed() -> None:  # [MQTT-4.3.3-4]
    link = Link().open()
    publication = link.client.publish("a", b"x", qos=2)
    assert link.sent() == [Publish("a", b"x", qos=2, packet_id=1)]
    assert link.gets(PubRec(1)) == []
    assert link.sent() == [PubRel(1)]
    assert link.gets(PubComp(1)) == [publication]


@pytest.mark.parametrize("answer", [PubAck, PubRec])
def test_a_refused_message_is_done_with_its_reason(answer: type[PubAck | PubRec]) -> None:  # [MQTT-4.4.0-2]
    link = Link().open()
    publication = link.client.publish("a", b"x", qos=1 if answer is PubAck else 2)
    assert link.gets(answer(1, 0x87)) == [publication]
    assert publication.reason_code == 0x87
    assert link.client.unfinished == 0


def test_the_servers_receive_maximum_is_honoured() -> None:  # [MQTT-3.3.4-7]
    link = Link().open(ConnAck(properties=Properties(receive_maximum=2)))
    for number in range(4):
        link.client.publish("a", b"%d" % number, qos=1)
    assert link.sent() == [Publish("a", b"%d" % number, qos=1, packet_id=number + 1) for number in range(2)]
    link.gets(PubAck(1))
    assert link.sent() == [Publish("a", b"2", qos=1, packet_id=3)]
    link.client.subscribe([SubscriptionRequest("b")])  # [MQTT-3.3.4-8]
    assert link.sent() == [Subscribe(4, [SubscriptionRequest("b")])]


@pytest.mark.parametrize(
    ("limits", "qos", "retain", "payload", "said"),
    [
        (Properties(maximum_qos=1), 2, False, b"", "QoS 2: the server takes 1 at most"),
        (Properties(retain_available=0), 0, True, b"", "does not take retained messages"),
        (Properties(maximum_packet_size=20), 0, False, bytes(20), "the server takes 20 at most"),
    ],
)
def test_what_the_server_does_not_take_is_not_sent(
    limits: Properties, qos: int, retain: bool, payload: bytes, said: str
) -> None:  # [MQTT-3.2.2-11] [MQTT-3.2.2-14] [MQTT-3.2.2-15]
    link = Link().open(ConnAck(properties=limits))
    with pytest.raises(ValueError, match=said):
        link.client.publish("a", payload, qos=qos, retain=retain)
    assert link.sent() == []
    assert link.client.unfinished == 0


def test_subscriptions_are_answered_by_their_packet_id() -> None:
    link = Link().open()
    first = link.client.subscribe([SubscriptionRequest("a", 1)])
    second = link.client.unsubscribe(["b"])
    assert link.sent() == [Subscribe(first, [SubscriptionRequest("a", 1)]), Unsubscribe(second, ["b"])]
    assert link.gets(UnsubAck(second, [0]), SubAck(first, [1])) == [UnsubAck(second, [0]), SubAck(first, [1])]
    assert link.gets(SubAck(77, [0])) == []  # nobody waits for it
    with pytest.raises(ValueError, match="must be the last level"):
        link.client.subscribe([SubscriptionRequest("a/#/b")])


def test_messages_that_come_are_acknowledged_as_their_qos_wants() -> None:  # [MQTT-3.3.4-1]
    link = Link().open()
    zero, one, two = (
        Publish("a", b"0"),
        Publish("a", b"1", qos=1, packet_id=5),
        Publish("a", b"2", qos=2, packet_id=6),
    )
    assert link.gets(zero, one, two) == [zero, one, two]
    assert link.sent() == [PubAck(5), PubRec(6)]
    assert link.gets(Publish("a", b"2", qos=2, packet_id=6, dup=True)) == []  # [MQTT-4.3.3-10]
    assert link.sent() == [PubRec(6)]
    link.gets(PubRel(6))
    assert link.sent() == [PubComp(6)]
    link.gets(PubRel(6))
    assert link.sent() == [PubComp(6, 0x92)]


def test_after_a_cut_what_was_in_flight_is_completed() -> None:  # [MQTT-4.4.0-1]
    link = Link(Connect("c", clean_start=False)).open()
    link.client.publish("a", b"1", qos=1)
    link.client.publish("a", b"2", qos=2)
    link.client.publish("a", b"3", qos=2)
    link.gets(PubRec(3))
    link.client.lost()
    link.open(ConnAck(session_present=True))
    assert link.sent() == [
        PubRel(3),
        Publish("a", b"1", qos=1, packet_id=1, dup=True),
        Publish("a", b"2", qos=2, packet_id=2, dup=True),
    ]
    link.gets(PubAck(1), PubRec(2), PubComp(2), PubComp(3))
    assert link.client.unfinished == 0


def test_if_the_server_forgot_the_session_what_was_in_flight_is_sent_as_new() -> None:  # [MQTT-3.2.2-5]
    link = Link(Connect("c", clean_start=False)).open()
    first = link.client.publish("a", b"1", qos=1)
    taken = link.client.publish("a", b"2", qos=2)
    link.sent()
    link.gets(PubRec(2))
    link.client.lost()
    link.client.opened(link.now)
    link.sent()
    assert link.gets(ConnAck()) == [ConnAck(), taken]  # the server owned it before it forgot us
    assert link.sent() == [Publish("a", b"1", qos=1, packet_id=3)]
    assert link.gets(PubAck(3)) == [first]


def test_a_silent_client_pings_and_a_silent_server_is_noticed() -> None:  # [MQTT-3.1.2-20]
    link = Link(Connect("c", keep_alive=10)).open()
    link.ticks(7.4)
    assert link.sent() == []
    link.ticks(0.1)
    assert link.sent() == [PingReq()]
    link.gets(PingResp())
    link.ticks(0.5)
    assert link.sent() == []
    link.ticks(7.5)
    assert link.sent() == [PingReq()]
    link.ticks(4.9)
    with pytest.raises(Timeout, match=r"did not answer a PINGREQ within 5 s"):
        link.ticks(0.1)


def test_the_servers_keep_alive_counts() -> None:  # [MQTT-3.1.2-21]
    link = Link(Connect("c", keep_alive=100)).open(ConnAck(properties=Properties(server_keep_alive=10)))
    link.ticks(7.5)
    assert link.sent() == [PingReq()]


def test_a_client_that_only_listens_pings_since_the_server_wants_a_packet_now_and_then() -> None:  # [MQTT-3.1.2-20]
    link = Link(Connect("c", keep_alive=10)).open()
    for _ in range(7):
        link.gets(Publish("a"))
        link.ticks(1.0)
    assert link.sent() == []
    link.gets(Publish("a"))
    link.ticks(0.5)
    assert link.sent() == [PingReq()]


def test_a_link_that_takes_bytes_and_brings_none_is_noticed_while_we_publish() -> None:
    link = Link(Connect("c", keep_alive=10)).open()
    link.ticks(0.0)

    def publish_until_it_is_noticed() -> None:
        while True:
            link.client.publish("a", b"")
            link.client.take(link.now)
            link.ticks(0.1)

    with pytest.raises(Timeout, match="did not answer a PINGREQ within 5 s"):
        publish_until_it_is_noticed()
    assert 10 <= link.now <= 15


def test_a_server_that_sends_anything_is_alive() -> None:
    link = Link(Connect("c", keep_alive=10)).open()
    for _ in range(5):
        link.ticks(7.5)
        assert link.sent() == [PingReq()]
        link.ticks(4.9)
        link.gets(Publish("a"))  # a slow one: its PINGRESP is behind many messages
        link.ticks(0.0)


def test_while_nothing_is_read_nothing_is_said_of_the_server() -> None:
    link = Link(Connect("c", keep_alive=10)).open()
    pings = 0
    for _ in range(100):
        link.now += 1.0
        link.client.tick(link.now, is_reading=False)
        pings += link.sent().count(PingReq())
    assert pings >= 10  # the server hears of us all the same
    link.ticks(4.9)
    with pytest.raises(Timeout):  # from now on an answer can be expected
        link.ticks(8.0, 5.0)


def test_topic_aliases_are_resolved_on_their_connection() -> None:  # [MQTT-3.3.2-10]
    link = Link(Connect("c", properties=Properties(topic_alias_maximum=2))).open()
    alias = Properties(topic_alias=2)
    [first] = link.gets(Publish("a/b", b"1", properties=alias))
    [second] = link.gets(Publish("", b"2", properties=alias))
    assert isinstance(first, Publish)
    assert isinstance(second, Publish)
    assert (first.topic, second.topic) == ("a/b", "a/b")
    link.client.lost()
    link.open()
    with pytest.raises(ProtocolError, match="never given a topic"):  # [MQTT-3.3.2-7]
        link.gets(Publish("", b"3", properties=alias))
    assert link.sent() == [Disconnect(0x82)]


def test_an_alias_that_we_did_not_allow_is_an_error() -> None:  # [MQTT-3.3.2-11]
    link = Link().open()
    with pytest.raises(ProtocolError, match="topic alias 1, we allowed 0"):
        link.gets(Publish("a", b"1", properties=Properties(topic_alias=1)))
    assert link.sent() == [Disconnect(0x94)]


def test_packets_that_only_clients_send_are_errors() -> None:
    for packet in (Connect("c"), Subscribe(1, [SubscriptionRequest("a")]), PingReq()):
        link = Link().open()
        with pytest.raises(ProtocolError, match=f"a server may not send {type(packet).__name__}"):
            link.gets(packet)


def test_a_goodbye_is_the_last_packet() -> None:  # [MQTT-3.14.4-1]
    link = Link().open()
    link.client.disconnect()
    assert link.sent() == [Disconnect()]
    assert link.client.is_closing
    with pytest.raises(NotConnected):
        link.client.publish("a", b"x")


def test_the_goodbye_of_the_server_is_told() -> None:
    link = Link().open()
    assert link.gets(Disconnect(0x8B)) == [Disconnect(0x8B)]
    assert (link.client.is_open, link.client.is_closing) == (False, True)


# What a client may hand in before a server has let it in


class HoldingLink(Link):
    """A client's end that holds what it is asked for before CONNACK."""

    def __init__(self, connect: Connect | None = None) -> None:
        super().__init__(connect)
        self.client = ClientConnection(connect or Connect("c"), acknowledges_at_once=False, holds=True)
        self.version = self.client.version


def test_what_is_asked_for_before_connack_leaves_behind_it_in_its_order() -> None:
    link = HoldingLink()
    with pytest.raises(NotConnected):
        link.client.publish("a", b"0")
    link.client.opened(0.0)
    link.client.subscribe([SubscriptionRequest("a")])
    link.client.publish("a", b"0")
    link.client.unsubscribe(["a"])
    assert link.client.has_held
    assert link.sent() == [Connect("c")]
    assert link.gets(ConnAck()) == [ConnAck()]
    assert link.sent() == [Subscribe(1, [SubscriptionRequest("a")]), Publish("a", b"0"), Unsubscribe(2, ["a"])]
    assert not link.client.has_held


def test_what_is_held_does_not_outlive_its_connection() -> None:
    link = HoldingLink()
    link.client.opened(0.0)
    link.client.publish("a", b"0")
    link.client.lost()
    assert not link.client.has_held
    link.open()
    assert link.sent() == []


def test_a_message_above_qos_0_waits_for_any_connection_and_for_its_go() -> None:
    link = HoldingLink()
    link.client.publish("a", b"1", qos=1, packet_id=7)
    link.open()
    assert link.sent() == []
    link.client.go_on()
    assert link.sent() == [Publish("a", b"1", qos=1, packet_id=7)]


def test_a_message_keeps_its_own_packet_id_in_a_new_session() -> None:
    link = HoldingLink().open()
    link.client.go_on()
    link.client.publish("a", b"1", qos=1, packet_id=5)
    link.client.publish("b", b"2", qos=2, packet_id=3)
    link.sent()
    link.reopen(ConnAck())
    link.client.go_on()
    assert link.sent() == [Publish("a", b"1", qos=1, packet_id=5), Publish("b", b"2", qos=2, packet_id=3)]


def test_a_packet_id_that_was_not_needed_can_be_given_back() -> None:
    client = HoldingLink().client
    for packet_id in (client.next_packet_id(), client.next_packet_id()):
        client.give_back(packet_id)
    assert client.next_packet_id() == 2
    client.give_back(1)
    assert client.next_packet_id() == 3


def test_before_mqtt_5_a_session_that_cannot_be_is_none() -> None:
    link = HoldingLink(Connect("c", version=4)).open()
    link.client.publish("a", b"1", qos=1, packet_id=1)
    link.sent()
    link.reopen(ConnAck(session_present=True))
    link.client.go_on()
    assert link.sent() == [Publish("a", b"1", qos=1, packet_id=1)]


def test_packet_ids_in_use_are_not_given_twice() -> None:  # [MQTT-2.2.1-3]
    link = HoldingLink()
    link.client.publish("a", b"1", qos=1, packet_id=1)
    link.client.opened(0.0)
    link.client.subscribe([SubscriptionRequest("a")], packet_id=2)
    assert [link.client.next_packet_id() for _ in range(2)] == [3, 4]
    with pytest.raises(ValueError, match="packet id 1 is in use"):
        link.client.publish("a", b"2", qos=1, packet_id=1)
    with pytest.raises(ValueError, match="packet id 2 is in use"):
        link.client.unsubscribe(["a"], packet_id=2)


def test_all_packet_ids_can_be_in_use() -> None:
    link = HoldingLink()
    for _ in range(65_535):
        link.client.publish("a", b"", qos=1, packet_id=link.client.next_packet_id())
    with pytest.raises(ValueError, match="all 65,535 packet ids are in use"):
        link.client.next_packet_id()
    link.open(ConnAck(properties=Properties(receive_maximum=1)))
    link.client.go_on()
    assert link.sent() == [Publish("a", b"", qos=1, packet_id=1)]
    assert len(link.gets(PubAck(1))) == 1
    assert link.sent() == [Publish("a", b"", qos=1, packet_id=2)]
    assert link.client.next_packet_id() == 1


def test_what_is_held_and_this_server_does_not_take_is_answered_for_it() -> None:  # [MQTT-3.2.2-15]
    link = HoldingLink()
    link.client.opened(0.0)
    large = link.client.publish("a", bytes(100))
    link.client.subscribe([SubscriptionRequest("a" * 50), SubscriptionRequest("b")])
    link.client.unsubscribe(["a" * 50])
    retained = link.client.publish("a", b"", retain=True)
    link.sent()
    limits = Properties(maximum_packet_size=50, retain_available=0)
    events = link.gets(ConnAck(properties=limits))
    assert events == [ConnAck(properties=limits), large, SubAck(1, [0x80, 0x80]), UnsubAck(2, [0x80]), retained]
    assert (large.reason_code, retained.reason_code) == (0x95, 0x9A)
    assert link.sent() == []


def test_what_the_server_does_not_take_has_its_reason_code() -> None:
    link = HoldingLink().open(ConnAck(properties=Properties(maximum_qos=0, wildcard_subscription_available=0)))
    with pytest.raises(NotTaken) as refusal:
        link.client.publish("a", b"", qos=1)
    assert refusal.value.reason_code == 0x9B
    with pytest.raises(NotTaken) as refusal:
        link.client.subscribe([SubscriptionRequest("#")])
    assert refusal.value.reason_code == 0xA2


def test_what_is_dropped_is_neither_sent_again_nor_told() -> None:
    link = HoldingLink().open(ConnAck(properties=Properties(receive_maximum=1)))
    link.client.go_on()
    publications = [link.client.publish("a", b"", qos=1, packet_id=packet_id) for packet_id in (1, 2)]
    assert link.sent() == [Publish("a", b"", qos=1, packet_id=1)]
    assert link.client.drop() == publications
    assert link.client.next_packet_id() == 2
    third = link.client.publish("a", b"3", qos=1, packet_id=3)
    assert link.sent() == []  # the server still has the first one
    assert link.gets(PubAck(1)) == []
    assert link.sent() == [Publish("a", b"3", qos=1, packet_id=3)]
    assert link.gets(PubAck(3)) == [third]


def test_what_is_dropped_without_an_answer_is_forgotten_with_its_connection() -> None:
    link = HoldingLink(Connect("c", clean_start=False)).open()
    link.client.publish("a", b"", qos=2, packet_id=1)
    link.sent()
    link.client.drop()
    link.reopen()
    link.client.go_on()
    assert link.sent() == []
    assert link.client.unfinished == 0


def test_a_message_that_is_disowned_is_a_new_one_when_it_comes_again() -> None:
    link = HoldingLink(Connect("c", clean_start=False)).open()
    first, second = Publish("a", b"1", qos=2, packet_id=1), Publish("a", b"2", qos=1, packet_id=2)
    assert link.gets(first, second) == [first, second]
    [mine, other] = link.gets(Publish("a", b"3", qos=2, packet_id=3), Publish("a", b"4", qos=1, packet_id=4))
    assert isinstance(mine, Publish)
    assert isinstance(other, Publish)
    link.client.disown(mine)
    link.client.acknowledge(other)
    assert link.sent() == []  # the first two have their turn before
    link.reopen()
    again = Publish("a", b"3", qos=2, dup=True, packet_id=3)
    [event] = link.gets(again)
    assert isinstance(event, Publish)
    link.client.acknowledge(event)
    assert link.sent() == [PubRec(3)]


def test_all_that_comes_can_be_told() -> None:
    link = HoldingLink().open()
    link.client.tells_all = True
    link.client.go_on()
    publication = link.client.publish("a", b"", qos=2)
    assert link.gets(PubRec(1), PingResp(), PubComp(1)) == [PubRec(1), PingResp(), PubComp(1), publication]


def test_an_acknowledgement_may_say_more() -> None:
    link = Link().open()
    publication = link.client.publish("a", b"", qos=1)
    said = Properties(reason_string="nobody is there")
    link.gets(PubAck(1, 0x10, said))
    assert publication.answer == PubAck(1, 0x10, said)


@pytest.mark.parametrize(("version", "expected"), [(3, "100f0006 4d5149736470 83"), (4, "100d0004 4d515454 84")])
def test_a_bridge_says_so_by_the_top_bit_of_its_version(version: int, expected: str) -> None:
    link = HoldingLink(Connect("b", version=version))
    link.client.is_bridge = True
    link.client.opened(0.0)
    assert link.wrote().startswith(expected.replace(" ", ""))


def test_behind_a_goodbye_nothing_is_acknowledged() -> None:  # [MQTT-3.14.4-1]
    link = HoldingLink().open()
    [event] = link.gets(Publish("a", b"1", qos=1, packet_id=1))
    assert isinstance(event, Publish)
    link.client.disconnect()
    link.client.acknowledge(event)
    assert link.sent() == [Disconnect()]


def test_an_answer_of_the_wrong_kind_answers_nothing() -> None:
    link = Link().open()
    link.client.subscribe([SubscriptionRequest("a")])
    link.client.unsubscribe(["b"])
    assert link.gets(UnsubAck(1, [0]), SubAck(2, [0])) == []
    assert link.gets(SubAck(1, [0]), UnsubAck(2, [0])) == [SubAck(1, [0]), UnsubAck(2, [0])]


def test_an_answer_is_not_expected_before_the_question_has_left() -> None:
    link = Link(Connect("c", keep_alive=10)).open()
    link.ticks(8.0)
    for _ in range(100):  # a large message is in front of PINGREQ
        link.now += 1.0
        link.client.tick(link.now, is_sending=True)
    assert link.sent() == [PingReq()]
    link.ticks(4.9)
    with pytest.raises(Timeout):
        link.ticks(0.1)


def test_a_message_that_a_server_owned_and_forgot_can_be_sent_again() -> None:
    link = HoldingLink().open()
    link.client.go_on()
    link.client.publish("a", b"1", qos=2, packet_id=1)
    link.gets(PubRec(1))
    link.sent()
    link.reopen(ConnAck())
    link.client.go_on()
    assert link.sent() == [Publish("a", b"1", qos=2, packet_id=1)]
