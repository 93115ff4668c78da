"""What chapter 3 asks of a client, packet by packet."""

import pytest

from telex.client.connection import ClientConnection, Publication, farewell, refusal
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
    Will,
)
from telex.wire.properties import Properties
from tests.client.link import Link, limited, persistent
from tests.conformance.marks import each_version, edge, mqtt


def connect_bytes(connect: Connect) -> str:
    """The CONNECT with which a client begins."""
    link = Link(connect)
    link.client.opened(0.0)
    return link.wrote()


def hexadecimal(text: str) -> str:
    return text.replace(" ", "")


# CONNECT (section 3.1)


@mqtt("MQTT-3.1.0-1", "MQTT-3.1.2-1")
@mqtt("MQTT-3.1.0-1", v3=True)
@each_version
def test_the_first_packet_is_connect_with_the_protocol_s_name(version: int) -> None:
    link = Link(version=version)
    for ask in (lambda: link.client.publish("a", b""), lambda: link.client.subscribe([SubscriptionRequest("a")])):
        with pytest.raises(NotConnected):
            ask()
    assert link.wrote() == ""
    link.client.opened(0.0)
    expected = "100d 0004 4d515454 04 02 003c 0001 63" if version == 4 else "100e 0004 4d515454 05 02 003c 00 0001 63"
    assert link.wrote() == hexadecimal(expected)
    link.gets(ConnAck())
    link.client.publish("a", b"")
    link.client.lost()  # what had not left is gone with its connection
    link.client.opened(0.0)
    assert link.wrote() == hexadecimal(expected)


@mqtt("MQTT-3.1.2-4", "MQTT-3.2.2-5")
@mqtt("MQTT-3.1.2-6", v3=True)
@each_version
def test_a_clean_start_throws_the_old_session_away(version: int) -> None:
    link = Link(version=version).open()
    link.client.publish("a", b"1", qos=1)
    link.gets(Publish("a", b"x", 2, packet_id=7))  # and its PUBREL never comes
    link.reopen(ConnAck())
    # No DUP, and no id of before: to the new session it is a new message.
    assert link.sent() == [Publish("a", b"1", 1, packet_id=2)]
    # Nor does the id 7 mean a repeat any more.
    assert link.gets(Publish("a", b"y", 2, packet_id=7)) == [Publish("a", b"y", 2, packet_id=7)]
    assert link.sent() == [PubRec(7)]


@mqtt("MQTT-3.1.2-23", "MQTT-4.1.0-1")
@mqtt("MQTT-3.1.2-4", "MQTT-4.1.0-2", v3=True)
@each_version
def test_a_session_is_kept_over_the_end_of_its_connection(version: int) -> None:
    link = persistent(version).open()
    publication = link.client.publish("a", b"1", qos=2)
    link.gets(Publish("a", b"x", 2, packet_id=7))
    link.reopen()
    assert link.sent() == [Publish("a", b"1", 2, dup=True, packet_id=1)]
    assert link.gets(Publish("a", b"x", 2, dup=True, packet_id=7)) == []  # it came before
    assert link.sent() == [PubRec(7)]
    assert link.gets(PubRel(7), PubRec(1), PubComp(1)) == [publication]
    assert link.sent() == [PubComp(7), PubRel(1)]


# The flags: user name, password, will RETAIN, will QoS (two bits), will, clean start, reserved.
FLAGS = [
    (Connect("c"), "02", ""),
    (Connect("c", clean_start=False), "00", ""),
    (Connect("c", user_name="u", password=b"p"), "c2", "000175 000170"),
    (Connect("c", user_name="u"), "82", "000175"),
    (Connect("c", user_name="", password=b""), "c2", "0000 0000"),
    (Connect("c", will=Will("w")), "06", "{} 000177 0000"),
    (Connect("c", will=Will("w", b"hi", qos=1)), "0e", "{} 000177 00026869"),
    (Connect("c", will=Will("w", b"hi", qos=2, retain=True)), "36", "{} 000177 00026869"),
    (Connect("c", will=Will("w", b"hi"), user_name="u", password=b"p"), "c6", "{} 000177 00026869 000175 000170"),
]


@mqtt("MQTT-3.1.2-9", "MQTT-3.1.2-11", "MQTT-3.1.2-12", "MQTT-3.1.2-13", "MQTT-3.1.2-16", "MQTT-3.1.2-17")
@mqtt("MQTT-3.1.2-18", "MQTT-3.1.2-19", "MQTT-3.1.3-1", "MQTT-3.1.3-3")
@mqtt("MQTT-3.1.2-9", "MQTT-3.1.2-11", "MQTT-3.1.2-13", "MQTT-3.1.2-14", "MQTT-3.1.2-15", "MQTT-3.1.2-18", v3=True)
@mqtt("MQTT-3.1.2-19", "MQTT-3.1.2-20", "MQTT-3.1.2-21", "MQTT-3.1.3-1", "MQTT-3.1.3-3", v3=True)
@each_version
@pytest.mark.parametrize(("connect", "flags", "behind_the_client_id"), FLAGS)
def test_the_flags_say_what_the_payload_holds_in_its_order(
    version: int, connect: Connect, flags: str, behind_the_client_id: str
) -> None:
    connect = Connect(
        "c",
        version=version,
        clean_start=connect.clean_start,
        will=connect.will,
        user_name=connect.user_name,
        password=connect.password,
    )
    # The property lengths, of CONNECT and of its will, are there in version 5 only.
    no_properties = "" if version == 4 else "00"
    body = f"0004 4d515454 0{version} {flags} 003c {no_properties} 000163" + behind_the_client_id.format(no_properties)
    body = hexadecimal(body)
    assert connect_bytes(connect) == f"10{len(body) // 2:02x}" + body


@mqtt("MQTT-3.1.2-9", "MQTT-3.1.3-1")
def test_will_properties_come_in_front_of_the_will_topic() -> None:
    connect = Connect("c", will=Will("w", b"hi", properties=Properties(will_delay_interval=5)))
    assert connect_bytes(connect) == hexadecimal(
        "101b 0004 4d515454 05 06 003c 00 000163 05 18 00000005 000177 00026869"
    )


@mqtt("MQTT-3.1.2-12")
@mqtt("MQTT-3.1.2-14", v3=True)
@each_version
def test_a_will_of_qos_3_is_refused(version: int) -> None:
    with pytest.raises(ValueError, match="will QoS 3, expected 0, 1 or 2"):
        ClientConnection(Connect("c", version=version, will=Will("w", qos=3)))


@mqtt("MQTT-3.1.2-18")
@mqtt("MQTT-3.1.2-22", v3=True)
def test_a_password_needs_a_user_name_before_version_5() -> None:
    with pytest.raises(ValueError, match="a password needs a user name"):
        ClientConnection(Connect("c", version=4, password=b"p"))
    assert connect_bytes(Connect("c", password=b"p")) == hexadecimal("1011 0004 4d515454 05 42 003c 00 000163 000170")


@mqtt("MQTT-3.1.3-4", "MQTT-3.1.3-11", "MQTT-3.1.3-12")
@mqtt("MQTT-3.1.3-4", "MQTT-3.1.3-10", "MQTT-3.1.3-11", v3=True)
@each_version
def test_client_id_will_topic_and_user_name_are_utf8(version: int) -> None:
    written = connect_bytes(Connect("é", version=version, will=Will("ü"), user_name="ñ"))
    will = "0002c3bc 0000" if version == 4 else "00 0002c3bc 0000"
    assert written.endswith(hexadecimal("0002c3a9" + will + "0002c3b1"))
    for wrong in (Connect("\ud800", version=version), Connect("c", version=version, user_name="\ud800")):
        with pytest.raises(ValueError, match="surrogate"):
            ClientConnection(wrong)
    with pytest.raises(ValueError, match="surrogate"):
        ClientConnection(Connect("c", version=version, will=Will("\ud800")))


@mqtt("MQTT-3.1.3-3")
@mqtt("MQTT-3.1.3-3", v3=True)
@each_version
def test_a_client_id_is_there_also_if_it_is_empty(version: int) -> None:
    assert connect_bytes(Connect("", version=version)).endswith(
        hexadecimal("02 003c 0000" if version == 4 else "02 003c 00 0000")
    )


@mqtt("MQTT-3.1.3-7", v3=True)
def test_before_version_5_a_client_without_an_id_asks_for_a_clean_session() -> None:
    with pytest.raises(ValueError, match="must ask for a clean session"):
        ClientConnection(Connect("", version=4, clean_start=False))
    ClientConnection(Connect("", version=5, clean_start=False))


@mqtt("MQTT-3.1.3-2")
def test_a_client_comes_back_under_the_id_that_the_server_gave_it() -> None:
    properties = Properties(session_expiry_interval=60)
    link = Link(Connect("", clean_start=False, properties=properties))
    link.open(ConnAck(properties=Properties(assigned_client_identifier="auto-1")))
    publication = link.client.publish("a", b"x", qos=1)
    link.client.take(0.0)
    link.client.lost()
    link.client.opened(0.0)
    assert link.client.client_id == "auto-1"
    assert link.sent() == [Connect("auto-1", clean_start=False, properties=properties)]
    link.gets(ConnAck(session_present=True))
    assert link.sent() == [Publish("a", b"x", 1, dup=True, packet_id=1)]
    assert link.gets(PubAck(1)) == [publication]


@mqtt("MQTT-3.1.3-2", v3=True)
@each_version
def test_a_client_keeps_its_id(version: int) -> None:
    link = persistent(version)
    for connack in (ConnAck(), ConnAck(session_present=True), ConnAck()):
        link.client.opened(0.0)
        [connect] = link.sent()
        assert isinstance(connect, Connect)
        assert connect.client_id == link.client.client_id == "c"
        link.gets(connack)
        link.client.lost()


# Keep alive (section 3.1.2.10)


@mqtt("MQTT-3.1.2-20")
@mqtt("MQTT-3.1.2-23", v3=True)
@edge("A1")
@pytest.mark.parametrize("keep_alive", [1, 2, 5, 60, 65_535])
@each_version
def test_a_client_is_never_silent_for_longer_than_the_keep_alive(version: int, keep_alive: int) -> None:
    link = Link(Connect("c", version=version, keep_alive=keep_alive)).open()
    was_sent_at = 0.0
    pings = 0
    while pings < 3:
        link.now += link.client.tick_seconds
        link.client.tick(link.now)
        if link.sent() == [PingReq()]:
            assert link.now - was_sent_at <= keep_alive
            was_sent_at = link.now
            pings += 1
            link.gets(PingResp())
    assert was_sent_at >= 3 * 0.75 * keep_alive  # nor is it a chatterbox


@mqtt("MQTT-3.1.2-20")
@mqtt("MQTT-3.1.2-23", v3=True)
@each_version
def test_any_packet_puts_the_ping_off(version: int) -> None:
    link = Link(Connect("c", version=version, keep_alive=10)).open()
    for _ in range(9):
        link.gets(Publish("b"))  # the server is there
        link.ticks(7.0)
        link.client.publish("a", b"")
        assert link.sent() == [Publish("a")]
    link.ticks(7.5)
    assert link.sent() == [PingReq()]


@edge("A1")
def test_a_keep_alive_of_0_needs_no_pings() -> None:
    link = Link(Connect("c", keep_alive=0)).open()
    link.client.tick(1e9)
    assert link.sent() == []


@mqtt("MQTT-3.1.2-21", "MQTT-3.2.2-21")
@edge("A1")
def test_the_keep_alive_of_the_server_is_used_in_place_of_ours() -> None:
    link = Link(Connect("c", keep_alive=1000)).open(ConnAck(properties=Properties(server_keep_alive=10)))
    link.ticks(7.5)
    assert link.sent() == [PingReq()]
    with pytest.raises(Timeout, match="within 5 s"):
        link.ticks(5.0)
    link.reopen(ConnAck())  # it says nothing this time: ours is back
    link.ticks(749.0)
    assert link.sent() == []
    link.reopen(ConnAck(properties=Properties(server_keep_alive=0)))
    link.client.tick(1e9)
    assert link.sent() == []


# CONNACK (section 3.2)


@mqtt("MQTT-3.2.2-1")
@each_version
def test_reserved_flags_in_connack_are_an_error(version: int) -> None:
    link = Link(version=version)
    link.client.opened(0.0)
    link.closes_at("2002 02 00" if version == 4 else "2003 02 00 00", 0x81, match="reserved flags")


@mqtt("MQTT-3.2.2-4")
@each_version
def test_a_session_that_we_do_not_have_ends_the_connection(version: int) -> None:
    link = Link(version=version)
    for _ in range(2):  # a clean start has no session the second time either
        link.client.opened(0.0)
        link.closes_at("2002 01 00" if version == 4 else "2003 01 00 00", 0x82, match="we asked for a clean start")
        assert link.client.take_events() == []  # nobody shall take it for a yes
        link.reopen(ConnAck())
        link.client.lost()


@mqtt("MQTT-3.2.2-5")
@each_version
def test_a_session_that_the_server_does_not_have_is_forgotten(version: int) -> None:
    link = persistent(version).open()
    first = link.client.publish("a", b"1", qos=1)
    second = link.client.publish("a", b"2", qos=2)
    owned = link.client.publish("a", b"3", qos=2)
    link.gets(PubRec(3), Publish("a", b"x", 2, packet_id=7))
    link.client.lost()
    link.client.opened(0.0)
    link.client.take(0.0)
    connack = ConnAck()
    assert link.gets(connack) == [connack, owned]  # no PUBREL for it: the server would not know what it is for
    assert link.sent() == [Publish("a", b"1", 1, packet_id=4), Publish("a", b"2", 2, packet_id=5)]
    assert link.gets(Publish("a", b"y", 2, packet_id=7)) == [Publish("a", b"y", 2, packet_id=7)]
    assert link.gets(PubAck(4), PubRec(5), PubComp(5)) == [first, second]


@mqtt("MQTT-4.13.2-1")
@mqtt("MQTT-4.8.0-1", v3=True)
@each_version
def test_a_connack_that_says_no_ends_the_connection(version: int) -> None:
    link = Link(version=version)
    link.client.opened(0.0)
    link.client.take(0.0)
    no = ConnAck(5 if version == 4 else 0x87)
    assert link.gets(no) == [no]
    assert (link.client.is_open, link.client.is_closing) == (False, True)
    link.client.disconnect()
    assert link.sent() == []  # there is no connection to take leave of


def test_a_server_that_names_another_is_understood() -> None:  # section 4.11
    properties = Properties(server_reference="b.example:1883")
    link = Link()
    link.client.opened(0.0)
    [moved] = link.gets(ConnAck(0x9D, properties=properties))
    assert moved == ConnAck(0x9D, properties=properties)
    assert isinstance(moved, ConnAck)
    assert refusal(moved, 5) == "0x9D server moved; it names another server: b.example:1883"
    [use] = Link().open().gets(Disconnect(0x9C, properties))
    assert use == Disconnect(0x9C, properties)
    assert isinstance(use, Disconnect)
    assert farewell(use) == "0x9C use another server; it names another server: b.example:1883"


@mqtt("MQTT-3.2.2-11")
def test_no_message_above_the_servers_maximum_qos_is_sent() -> None:
    link = limited(Properties(maximum_qos=1))
    with pytest.raises(ValueError, match="QoS 2: the server takes 1 at most"):
        link.client.publish("a", b"", qos=2)
    link.client.publish("a", b"", qos=1)
    assert link.sent() == [Publish("a", b"", 1, packet_id=1)]
    link.client.subscribe([SubscriptionRequest("a", 2)])  # that may be asked for all the same [MQTT-3.2.2-10]
    assert link.sent() == [Subscribe(2, [SubscriptionRequest("a", 2)])]


@mqtt("MQTT-3.2.2-14")
def test_no_retained_message_is_sent_to_a_server_that_takes_none() -> None:
    link = limited(Properties(retain_available=0))
    with pytest.raises(ValueError, match="the server does not take retained messages"):
        link.client.publish("a", b"", retain=True)
    link.client.publish("a", b"")
    assert link.sent() == [Publish("a")]


@mqtt("MQTT-3.2.2-15")
@edge("Z1")
def test_no_packet_above_the_servers_maximum_packet_size_is_sent() -> None:
    link = limited(Properties(maximum_packet_size=20))
    with pytest.raises(ValueError, match="a packet of 21 bytes: the server takes 20 at most"):
        link.client.publish("a", bytes(15))  # 2 bytes fixed header, 3 name, 1 property length
    with pytest.raises(ValueError, match="a packet of 21 bytes"):
        link.client.publish("a", bytes(13), qos=1)  # and 2 packet id
    with pytest.raises(ValueError, match="a packet of 21 bytes"):
        link.client.subscribe([SubscriptionRequest("a" * 13)])  # 2, 2 packet id, 1, then 2 and the filter, 1 options
    with pytest.raises(ValueError, match="a packet of 21 bytes"):
        link.client.unsubscribe(["a" * 14])
    assert (link.wrote(), link.client.unfinished) == ("", 0)
    link.client.publish("a", bytes(14))
    link.client.publish("a", bytes(12), qos=1)
    link.client.subscribe([SubscriptionRequest("a" * 12)])
    link.client.unsubscribe(["a" * 13])
    frames = link.wrote()
    assert len(frames) == 4 * 40
    assert [frames[at : at + 4] for at in range(0, 160, 40)] == ["3012", "3212", "8212", "a212"]


@edge("Z1")
def test_the_limits_of_an_earlier_connack_are_forgotten() -> None:
    nothing = Properties(
        maximum_qos=0,
        retain_available=0,
        maximum_packet_size=8,
        receive_maximum=1,
        wildcard_subscription_available=0,
        shared_subscription_available=0,
        subscription_identifier_available=0,
    )
    link = persistent().open(ConnAck(properties=nothing)).reopen()
    for _ in range(2):
        link.client.publish("a", bytes(100), qos=2, retain=True)
    link.client.subscribe([SubscriptionRequest("$share/g/#")], Properties(subscription_identifiers=(1,)))
    assert len(link.sent()) == 3


@mqtt("MQTT-3.2.2-11", "MQTT-3.2.2-14", "MQTT-3.2.2-15")
@edge("Z1")
@pytest.mark.parametrize("session_present", [True, False])
@pytest.mark.parametrize(
    ("limits", "reason_code"),
    [
        (Properties(maximum_qos=0), 0x9B),
        (Properties(retain_available=0), 0x9A),
        (Properties(maximum_packet_size=10), 0x95),
    ],
)
def test_what_waited_for_a_server_that_takes_less_now_is_given_up(
    limits: Properties, reason_code: int, session_present: bool
) -> None:
    link = persistent().open(ConnAck(properties=Properties(receive_maximum=1)))
    was_sent = link.client.publish("a", bytes(10), qos=1, retain=True)
    waits = link.client.publish("a", bytes(10), qos=1, retain=True)
    link.client.take(0.0)
    link.client.lost()
    link.client.opened(0.0)
    link.client.take(0.0)
    connack = ConnAck(session_present=session_present, properties=limits)
    assert link.gets(connack) == [connack, was_sent, waits]
    assert (was_sent.reason_code, waits.reason_code) == (reason_code, reason_code)
    assert (link.wrote(), link.client.unfinished) == ("", 0)


@mqtt("MQTT-3.2.2-17", "MQTT-3.2.2-18", "MQTT-3.3.2-8", "MQTT-3.3.2-9")
@pytest.mark.parametrize(
    ("maximum", "alias"), [(None, 0), (None, 1), (None, 65_535), (0, 0), (0, 1), (5, 0), (5, 6), (5, 65_535)]
)
def test_no_topic_alias_is_sent_that_the_server_does_not_take(maximum: int | None, alias: int) -> None:
    link = limited(Properties(topic_alias_maximum=maximum))
    takes = "1 to 5" if maximum else "none"
    with pytest.raises(ValueError, match=f"topic alias {alias}: the server takes {takes}"):
        link.client.publish("a", b"", properties=Properties(topic_alias=alias))
    for _ in range(3):
        link.client.publish("a/b", b"")  # nor is one made up
    assert link.sent() == [Publish("a/b")] * 3


@mqtt("MQTT-3.2.2-17", "MQTT-3.3.2-9")
@edge("L1")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_topic_alias_within_the_servers_maximum_goes_along_with_its_topic(qos: int) -> None:
    link = limited(Properties(topic_alias_maximum=5, receive_maximum=1))
    said = Properties(topic_alias=5, content_type="x")
    link.client.publish("a", b"", qos=qos, properties=said)
    assert link.sent() == [Publish("a", b"", qos, packet_id=min(qos, 1), properties=said)]


@edge("L1")
@pytest.mark.parametrize("qos", [1, 2])
def test_what_is_sent_later_or_again_has_no_topic_alias(qos: int) -> None:
    link = persistent().open(ConnAck(properties=Properties(topic_alias_maximum=5, receive_maximum=1)))
    said, rest = Properties(topic_alias=5, content_type="x"), Properties(content_type="x")
    link.client.publish("a", b"1", qos=qos, properties=said)
    link.client.publish("a", b"2", qos=qos, properties=said)  # it waits
    assert link.sent() == [Publish("a", b"1", qos, packet_id=1, properties=said)]
    link.reopen(ConnAck(session_present=True))  # and this time the server takes none
    assert link.sent() == [
        Publish("a", b"1", qos, dup=True, packet_id=1, properties=rest),
        Publish("a", b"2", qos, packet_id=2, properties=rest),
    ]
    assert said.topic_alias == 5  # the caller's own


@pytest.mark.parametrize(
    ("limits", "topic_filter", "properties", "said"),
    [
        (Properties(wildcard_subscription_available=0), "a/+", None, "'a/[+]': the server has no wildcards"),
        (Properties(wildcard_subscription_available=0), "#", None, "'#': the server has no wildcards"),
        (Properties(shared_subscription_available=0), "$share/g/a", None, "the server has no shared subscriptions"),
        (
            Properties(subscription_identifier_available=0),
            "a",
            Properties(subscription_identifiers=(1,)),
            "the server has no subscription identifiers",
        ),
    ],
)
def test_no_subscription_of_a_kind_that_the_server_does_not_have_is_asked_for(
    limits: Properties, topic_filter: str, properties: Properties | None, said: str
) -> None:  # sections 3.2.2.3.11 to 3.2.2.3.13
    link = limited(limits)
    with pytest.raises(ValueError, match=said):
        link.client.subscribe([SubscriptionRequest("b"), SubscriptionRequest(topic_filter)], properties)
    assert link.wrote() == ""
    link.client.subscribe([SubscriptionRequest("b")])
    assert len(link.sent()) == 1


# PUBLISH (section 3.3)


@mqtt("MQTT-3.3.1-1", "MQTT-3.3.1-2")
@mqtt("MQTT-3.3.1-1", "MQTT-3.3.1-2", "MQTT-2.3.1-3", v3=True)
@each_version
def test_dup_is_set_on_repeats_and_on_nothing_else(version: int) -> None:
    link = persistent(version).open()
    link.gets(Publish("a", b"", 1, dup=True, packet_id=9))  # what comes with DUP changes nothing
    link.client.take(0.0)
    for qos in (0, 1, 2):
        link.client.publish("a", b"", qos=qos)
    assert link.sent() == [Publish("a"), Publish("a", b"", 1, packet_id=1), Publish("a", b"", 2, packet_id=2)]
    for _ in range(2):
        link.reopen()
        assert link.sent() == [Publish("a", b"", 1, dup=True, packet_id=1), Publish("a", b"", 2, dup=True, packet_id=2)]


@mqtt("MQTT-3.3.1-4")
@mqtt("MQTT-3.3.1-4", v3=True)
@each_version
def test_qos_3_is_neither_sent_nor_taken(version: int) -> None:
    link = Link(version=version).open()
    with pytest.raises(ValueError, match="QoS 3, expected 0, 1 or 2"):
        link.client.publish("a", b"", qos=3)
    assert (link.wrote(), link.client.unfinished) == ("", 0)
    link.closes_at("3606 0001 61 0001 00", 0x81, match="both QoS bits")


@mqtt("MQTT-3.3.2-1")
@mqtt("MQTT-3.3.2-1", v3=True)
@each_version
def test_a_message_begins_with_its_topic_in_utf8(version: int) -> None:
    link = Link(version=version).open()
    link.client.publish("é/ü", b"x")
    name = "0005 c3a9 2f c3bc"
    assert link.wrote() == hexadecimal(f"3008 {name} 78" if version == 4 else f"3009 {name} 00 78")
    with pytest.raises(ValueError, match="topic name is empty"):
        link.client.publish("", b"x")


@mqtt("MQTT-3.3.2-2", "MQTT-4.7.0-1")
@mqtt("MQTT-3.3.2-2", "MQTT-4.7.1-1", v3=True)
@each_version
@pytest.mark.parametrize("topic", ["#", "+", "a/#", "a/+/b", "a+", "#a"])
def test_a_topic_name_with_wildcards_is_neither_sent_nor_taken(version: int, topic: str) -> None:
    link = Link(version=version).open()
    with pytest.raises(ValueError, match=r"'\+' and '#' are for filters only"):
        link.client.publish(topic, b"")
    assert link.wrote() == ""
    with pytest.raises(ValueError, match=r"'\+' and '#' are for filters only"):
        ClientConnection(Connect("c", version=version, will=Will(topic)))
    size = len(topic)
    frame = f"30{size + 2:02x} 00{size:02x}" if version == 4 else f"30{size + 3:02x} 00{size:02x}"
    link.closes_at(frame + topic.encode().hex() + ("" if version == 4 else "00"), 0x90)


@mqtt("MQTT-3.3.2-7")
@edge("L1")
def test_topic_aliases_end_with_their_connection() -> None:
    link = Link(Connect("c", properties=Properties(topic_alias_maximum=2))).open()
    assert link.hears("3007 0001 61 03 23 0001") == [Publish("a", properties=Properties(topic_alias=1))]
    assert link.hears("3006 0000 03 23 0001") == [Publish("a", properties=Properties(topic_alias=1))]
    link.reopen(ConnAck())
    link.closes_at("3006 0000 03 23 0001", 0x82, match="topic alias 1 was never given a topic")


@mqtt("MQTT-3.3.2-10")
@edge("L1")
@pytest.mark.parametrize("maximum", [1, 5, 65_535])
def test_every_topic_alias_up_to_our_maximum_is_taken(maximum: int) -> None:
    link = Link(Connect("c", properties=Properties(topic_alias_maximum=maximum))).open()
    for alias in range(1, maximum + 1, max(1, maximum // 100)):
        properties = Properties(topic_alias=alias)
        link.gets(Publish(f"t/{alias}", properties=properties))
        assert link.gets(Publish("", properties=properties)) == [Publish(f"t/{alias}", properties=properties)]
    link.gets(Publish("again", properties=Properties(topic_alias=1)))  # it may be given another topic
    assert link.gets(Publish("", properties=Properties(topic_alias=1)))[0].topic == "again"  # type: ignore[union-attr]


@edge("L1")
@pytest.mark.parametrize(("maximum", "alias"), [(None, 1), (0, 1), (5, 6), (5, 0)])
def test_other_topic_aliases_are_errors(maximum: int | None, alias: int) -> None:
    said = None if maximum is None else Properties(topic_alias_maximum=maximum)
    link = Link(Connect("c", properties=said)).open()
    link.closes_at(f"3007 0001 61 03 23 {alias:04x}", 0x94)


@mqtt("MQTT-3.3.2-13", "MQTT-3.3.2-14", "MQTT-3.3.2-19")
def test_response_topic_and_content_type_are_utf8_and_the_topic_has_no_wildcards() -> None:
    link = Link().open()
    link.client.publish("a", b"", properties=Properties(response_topic="é", content_type="ü"))
    assert link.wrote() == hexadecimal("300e 0001 61 0a 03 0002 c3bc 08 0002 c3a9")
    for topic in ("a/#", "+"):
        with pytest.raises(ValueError, match="are for filters only"):
            link.client.publish("a", b"", qos=1, properties=Properties(response_topic=topic))
        with pytest.raises(ValueError, match="are for filters only"):
            ClientConnection(Connect("c", will=Will("w", properties=Properties(response_topic=topic))))
    assert (link.wrote(), link.client.unfinished) == ("", 0)
    link.closes_at("3008 0001 61 04 08 0001 23", 0x82, match="response topic")


@mqtt("MQTT-3.3.4-1", "MQTT-4.3.2-4", "MQTT-4.3.3-8")
@each_version
def test_the_qos_of_a_message_decides_what_answers_it(version: int) -> None:
    link = Link(version=version).open()
    link.gets(Publish("a", b"", 0))
    assert link.wrote() == ""
    link.gets(Publish("a", b"", 1, packet_id=5))
    assert link.wrote() == "40020005"
    link.gets(Publish("a", b"", 2, packet_id=6))
    assert link.wrote() == "50020006"


@mqtt("MQTT-3.3.4-6")
def test_a_message_with_a_subscription_identifier_is_refused() -> None:
    link = Link().open()
    with pytest.raises(ValueError, match="a client may not send a subscription identifier"):
        link.client.publish("a", b"", properties=Properties(subscription_identifiers=(1,)))
    assert link.wrote() == ""


@mqtt("MQTT-3.3.4-7", "MQTT-4.9.0-1", "MQTT-4.9.0-2")
@edge("P3")
@pytest.mark.parametrize("maximum", [1, 2, 10])
@pytest.mark.parametrize("qos", [1, 2])
def test_no_more_messages_are_in_flight_than_the_server_allows(qos: int, maximum: int) -> None:
    link = limited(Properties(receive_maximum=maximum))
    publications = [link.client.publish("a", b"%d" % number, qos=qos) for number in range(12)]
    waiting = ids_of_sent(link, maximum)
    done: list[Publication] = []
    while waiting:
        packet_id = waiting.pop(0)
        if qos == 2:
            link.gets(PubRec(packet_id))
            assert link.sent() == [PubRel(packet_id)]  # that frees nothing yet
        done += link.gets(PubAck(packet_id) if qos == 1 else PubComp(packet_id))  # type: ignore[arg-type]
        waiting += ids_of_sent(link, 1)
    assert done == publications  # in their order, and none was lost


def ids_of_sent(link: Link, most: int) -> list[int]:
    """The ids of the messages that were sent, which may not be more than so many."""
    packets = link.sent()
    assert len(packets) <= most
    assert all(isinstance(packet, Publish) for packet in packets)
    return [packet.packet_id for packet in packets]  # type: ignore[attr-defined]


@mqtt("MQTT-3.3.4-7", "MQTT-4.4.0-2")
@edge("P3", "S5")
def test_a_refusal_frees_the_place_of_its_message() -> None:
    link = limited(Properties(receive_maximum=1))
    refused = link.client.publish("a", b"1", qos=2)
    link.client.publish("a", b"2", qos=2)
    assert link.sent() == [Publish("a", b"1", 2, packet_id=1)]
    assert link.gets(PubRec(1, 0x97)) == [refused]
    assert link.sent() == [Publish("a", b"2", 2, packet_id=2)]  # and no PUBREL


@mqtt("MQTT-3.3.4-8", "MQTT-4.9.0-3")
@edge("P3")
def test_all_other_packets_go_on_when_no_more_messages_may_leave() -> None:
    link = limited(Properties(receive_maximum=1))
    link.client.publish("a", b"1", qos=2)
    link.client.publish("a", b"2", qos=1)
    assert link.sent() == [Publish("a", b"1", 2, packet_id=1)]
    link.client.publish("a", b"3")
    link.client.subscribe([SubscriptionRequest("b")])
    assert link.sent() == [Publish("a", b"3"), Subscribe(2, [SubscriptionRequest("b")])]
    link.gets(Publish("b", b"", 1, packet_id=8), Publish("b", b"", 2, packet_id=9), PubRel(9), SubAck(2, [0]))
    assert link.sent() == [PubAck(8), PubRec(9), PubComp(9)]
    link.now = 60.0
    link.client.tick(link.now)
    assert link.sent() == [PingReq()]
    link.gets(PubRec(1))
    assert link.sent() == [PubRel(1)]
    link.client.disconnect()
    assert link.sent() == [Disconnect()]


@mqtt("MQTT-4.9.0-1", "MQTT-4.9.0-2")
@edge("P3")
def test_the_quota_is_fresh_on_each_connection() -> None:
    link = persistent().open(ConnAck(properties=Properties(receive_maximum=3)))
    for number in range(4):
        link.client.publish("a", b"%d" % number, qos=1 if number else 2)
    link.gets(PubRec(1))
    link.reopen(ConnAck(session_present=True, properties=Properties(receive_maximum=1)))
    # The PUBREL needs no quota, and gives none back: its PUBLISH left on another connection.
    assert link.sent() == [PubRel(1), Publish("a", b"1", 1, dup=True, packet_id=2)]
    link.gets(PubComp(1))
    assert link.sent() == []
    link.gets(PubAck(2))
    assert link.sent() == [Publish("a", b"2", 1, dup=True, packet_id=3)]
    link.reopen()
    assert len(link.sent()) == 2


def receives_at_most(maximum: int) -> Link:
    """A client that has told the server how many messages it takes at a time."""
    properties = Properties(receive_maximum=maximum, session_expiry_interval=60)
    return Link(Connect("c", clean_start=False, properties=properties)).open()


@edge("P3")
@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("maximum", [1, 3])
def test_one_message_more_than_we_allowed_is_an_error(maximum: int, qos: int) -> None:
    link = receives_at_most(maximum)
    messages = [Publish("a", b"", qos, packet_id=number + 1) for number in range(maximum + 1)]
    with pytest.raises(ProtocolError, match=f"{maximum + 1} messages in flight, we allowed {maximum}"):
        link.gets(*messages)  # in one read, so that no PUBACK can have reached the server before the last
    assert link.client.take_events() == messages[:-1]
    answers = [PubAck(each.packet_id) if qos == 1 else PubRec(each.packet_id) for each in messages[:-1]]
    assert link.sent() == [*answers, Disconnect(0x93)]


@edge("P3")
def test_a_receive_maximum_of_1_works() -> None:
    link = receives_at_most(1)
    for packet_id in range(1, 4):
        link.gets(Publish("a", b"", 1, packet_id=packet_id))
        assert link.sent() == [PubAck(packet_id)]
        link.gets(Publish("a", b"", 2, packet_id=packet_id), Publish("a", b"", 2, dup=True, packet_id=packet_id))
        assert link.sent() == [PubRec(packet_id)] * 2  # a repeat is no second message
        link.gets(PubRel(packet_id))
        assert link.sent() == [PubComp(packet_id)]
    link.gets(Publish("a", b"", 2, packet_id=9))
    link.reopen()
    link.gets(PubRel(9), Publish("a", b"", 1, packet_id=1))  # what is left of the earlier connection takes no place
    assert link.sent() == [PubComp(9), PubAck(1)]
    with pytest.raises(ProtocolError, match="2 messages in flight, we allowed 1"):
        link.gets(Publish("a", b"", 2, packet_id=1), PubRel(1), Publish("a", b"", 2, packet_id=2))


# PUBACK, PUBREC, PUBREL, PUBCOMP (sections 3.4 to 3.7)


@mqtt("MQTT-3.4.2-1", "MQTT-3.4.2-2", "MQTT-3.4.2-3", "MQTT-3.5.2-1", "MQTT-3.5.2-2", "MQTT-3.5.2-3")
@mqtt("MQTT-3.6.2-1", "MQTT-3.6.2-2", "MQTT-3.6.2-3", "MQTT-3.7.2-1", "MQTT-3.7.2-2", "MQTT-3.7.2-3")
def test_acknowledgements_have_a_code_of_their_own_and_no_properties() -> None:
    link = limited(Properties(maximum_packet_size=8))  # a Reason String or User Property would not fit
    link.gets(Publish("a", b"", 1, packet_id=1), Publish("a", b"", 2, packet_id=2), PubRel(2))
    assert link.wrote() == "40020001" + "50020002" + "70020002"  # 0x00, which is left out
    link.gets(PubRel(3), PubRec(4))
    assert link.wrote() == "7003000392" + "6203000492"  # Packet Identifier not found
    link.client.publish("a", b"", qos=2)
    link.client.take(0.0)
    link.gets(PubRec(1))
    assert link.wrote() == "62020001"


@mqtt("MQTT-3.4.2-1", "MQTT-3.5.2-1", "MQTT-3.6.2-1", "MQTT-3.7.2-1")
@pytest.mark.parametrize("data", ["4003 0001 92", "4003 0001 01", "5003 0001 92", "6203 0001 10", "7003 0001 80"])
def test_acknowledgements_with_a_code_of_another_packet_are_errors(data: str) -> None:
    Link().open().closes_at(data, 0x81, match="which it may not carry")


# SUBSCRIBE and UNSUBSCRIBE (sections 3.8 and 3.10)


@mqtt("MQTT-3.8.1-1", "MQTT-3.8.3-1", "MQTT-3.8.3-2")
@each_version
def test_a_subscription_is_written_as_section_3_8_says(version: int) -> None:
    link = Link(version=version).open()
    everything = SubscriptionRequest("b", 2, no_local=True, retain_as_published=True, retain_handling=2)
    link.client.subscribe([SubscriptionRequest("é/#", 1), everything])
    if version == 4:
        assert link.wrote() == hexadecimal("820d 0001 0004 c3a92f23 01 0001 62 02")
    else:
        assert link.wrote() == hexadecimal("820e 0001 00 0004 c3a92f23 01 0001 62 2e")
    with pytest.raises(ValueError, match="SUBSCRIBE needs a topic filter"):
        link.client.subscribe([])
    assert link.wrote() == ""


@mqtt("MQTT-3.8.3-4")
def test_no_local_on_a_shared_subscription_is_refused() -> None:
    link = Link().open()
    with pytest.raises(ValueError, match="No Local is not for shared ones"):
        link.client.subscribe([SubscriptionRequest("$share/g/a", no_local=True)])
    assert link.wrote() == ""
    link.client.subscribe([SubscriptionRequest("$share/g/a"), SubscriptionRequest("a", no_local=True)])
    assert len(link.sent()) == 1


@mqtt("MQTT-3.10.1-1", "MQTT-3.10.3-1", "MQTT-3.10.3-2")
@mqtt("MQTT-3.10.1-1", "MQTT-3.10.3-2", v3=True)
@edge("K3")
@each_version
def test_an_unsubscription_is_written_as_section_3_10_says(version: int) -> None:
    link = Link(version=version).open()
    link.client.unsubscribe(["é/#", "b"])
    if version == 4:
        assert link.wrote() == hexadecimal("a20b 0001 0004 c3a92f23 0001 62")
    else:
        assert link.wrote() == hexadecimal("a20c 0001 00 0004 c3a92f23 0001 62")
    with pytest.raises(ValueError, match="UNSUBSCRIBE needs a topic filter"):
        link.client.unsubscribe([])
    assert link.wrote() == ""


# DISCONNECT (section 3.14)


@mqtt("MQTT-3.14.2-3", "MQTT-3.14.2-4")
def test_a_goodbye_has_no_properties() -> None:
    link = limited(Properties(maximum_packet_size=8))  # a Reason String or User Property would not fit
    link.closes_at("c000", 0x82)  # says that DISCONNECT is e001 82
    link.reopen(ConnAck(properties=Properties(maximum_packet_size=8)))
    link.client.disconnect(0x04)
    assert link.wrote() == "e00104"


@mqtt("MQTT-3.14.4-1", "MQTT-3.14.4-2")
@mqtt("MQTT-3.14.4-1", "MQTT-3.14.4-2", v3=True)
@each_version
def test_nothing_is_sent_behind_a_goodbye_and_the_connection_is_closed(version: int) -> None:
    link = Link(version=version).open()
    link.client.publish("a", b"1", qos=1)
    link.client.disconnect()
    assert link.sent() == [Publish("a", b"1", 1, packet_id=1), Disconnect()]
    assert link.client.is_closing
    for ask in (
        lambda: link.client.publish("a", b""),
        lambda: link.client.subscribe([SubscriptionRequest("a")]),
        lambda: link.client.unsubscribe(["a"]),
        link.client.reauthenticate,
        link.client.authenticate,
    ):
        with pytest.raises(NotConnected):
            ask()
    link.gets(Publish("a", b"", 1, packet_id=7), PubAck(1))
    link.client.tick(1e9)
    link.client.disconnect()
    assert link.sent() == []


@mqtt("MQTT-3.14.4-1", "MQTT-4.13.2-1")
def test_a_goodbye_that_names_an_error_is_the_last_packet_too() -> None:
    link = Link().open()
    link.closes_at("c000", 0x82)
    link.client.tick(1e9)
    link.client.disconnect()
    assert link.sent() == []


def test_a_code_that_disconnect_may_not_carry_is_refused() -> None:
    link = Link().open()
    with pytest.raises(ValueError, match="Disconnect may not carry reason code 24"):
        link.client.disconnect(0x18)
    assert link.client.is_open


@mqtt("MQTT-4.13.2-1")
@each_version
def test_a_connect_that_comes_from_the_server_is_an_error_like_others(version: int) -> None:
    # The decoder's reason would be 0x84, which no DISCONNECT may carry.
    Link(version=version).open().closes_at("100c 0004 4d515454 09 02 003c 0000", 0x82)


@edge("Z1")
@mqtt("MQTT-3.2.2-15")
@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_a_server_that_takes_no_acknowledgement_is_left(limit: int) -> None:
    client = ClientConnection(Connect("c"))
    client.opened(0.0)
    client.take(0.0)
    with pytest.raises(ProtocolError, match=f"takes {limit} bytes at most"):
        client.receive(bytes.fromhex("20 08 00 00 05 27 00 00 00") + bytes([limit]))
    assert client.is_closing
    assert len(client.take(0.0)) <= limit


@edge("Z1")
@mqtt("MQTT-3.2.2-15")
def test_a_goodbye_is_no_larger_than_the_server_takes() -> None:
    client = ClientConnection(Connect("c"))
    client.opened(0.0)
    client.take(0.0)
    with pytest.raises(ProtocolError, match="a session is present"):
        client.receive(bytes.fromhex("20 08 01 00 05 27 00 00 00 01"))
    assert client.take(0.0) == b""
