"""Enhanced authentication, the client's side (section 4.12): AUTH goes to and fro."""

import pytest

from telex.client.connection import ClientConnection
from telex.errors import NotConnected
from telex.wire.encode import encode
from telex.wire.packets import Auth, ConnAck, Connect, Disconnect, Packet, PingReq, Publish, SubscriptionRequest
from telex.wire.properties import Properties
from tests.client.link import Link
from tests.conformance.marks import mqtt


def says(data: bytes | None = None, method: str | None = "riddle") -> Properties:
    """What CONNECT, AUTH and CONNACK say of an authentication."""
    return Properties(authentication_method=method, authentication_data=data)


def knocking() -> Link:
    """A client that has sent a CONNECT with an authentication method."""
    link = Link(Connect("c", properties=says(b"first")))
    link.client.opened(0.0)
    assert link.sent() == [link.client.connect]
    return link


def let_in() -> Link:
    """A client whose authentication went well."""
    link = knocking()
    link.gets(ConnAck(properties=says(b"welcome")))
    return link


def bytes_of(packet: Packet) -> str:
    return encode(packet, 5).hex()


CHALLENGE = Auth(0x18, says(b"more?"))


@mqtt("MQTT-4.12.0-3", "MQTT-4.12.0-5", "MQTT-3.15.2-1")
def test_a_challenge_is_handed_out_and_its_answer_sent() -> None:
    link = Link(Connect("c", properties=says(b"\1\2")))
    link.client.opened(0.0)
    assert link.wrote() == "101c 0004 4d515454 05 02 003c 0e 15 0006 726964646c65 16 0002 0102 000163".replace(" ", "")
    for question, answer in ((b"more?", b"ok"), (b"and?", None), (b"so?", b"")):
        assert link.gets(Auth(0x18, says(question))) == [Auth(0x18, says(question))]
        assert link.wrote() == ""
        link.client.authenticate(answer)
        assert link.sent() == [Auth(0x18, says(answer))]
    welcome = ConnAck(properties=says(b"server-final"))
    assert link.gets(welcome) == [welcome]
    assert link.client.is_open


@mqtt("MQTT-3.15.2-1", "MQTT-3.15.2-2", "MQTT-3.15.2-3")
def test_auth_has_a_code_of_its_own_and_neither_reason_string_nor_user_properties() -> None:
    link = knocking()
    link.gets(CHALLENGE)
    link.client.authenticate(b"\7")
    assert link.wrote() == "f00f 18 0d 15 0006 726964646c65 16 0001 07".replace(" ", "")
    link.gets(ConnAck(properties=Properties(authentication_method="riddle", maximum_packet_size=17)))
    link.client.reauthenticate(b"\7")
    assert link.wrote() == "f00f 19 0d 15 0006 726964646c65 16 0001 07".replace(" ", "")
    link.gets(CHALLENGE)
    with pytest.raises(ValueError, match="a packet of 18 bytes: the server takes 17 at most"):  # [MQTT-3.2.2-15]
        link.client.authenticate(b"\7\7")
    link.client.authenticate(b"\7")  # there is still one to answer
    assert len(link.sent()) == 1


@mqtt("MQTT-3.1.2-30")
def test_until_connack_the_client_sends_nothing_but_auth_and_disconnect() -> None:
    link = knocking()
    link.gets(CHALLENGE)
    for ask in (
        lambda: link.client.publish("a", b""),
        lambda: link.client.subscribe([SubscriptionRequest("a")]),
        lambda: link.client.unsubscribe(["a"]),
        link.client.reauthenticate,
    ):
        with pytest.raises(NotConnected):
            ask()
    link.client.tick(1e9)
    assert link.sent() == []
    link.client.disconnect(0x87)  # the server failed to prove who it is
    assert link.sent() == [Disconnect(0x87)]
    assert link.client.is_closing


@mqtt("MQTT-3.1.2-30")
def test_what_is_in_flight_waits_for_connack_too() -> None:
    link = Link(Connect("c", clean_start=False, properties=says()))
    link.open(ConnAck(properties=says()))
    link.client.publish("a", b"x", qos=1)
    link.client.take(0.0)
    link.client.lost()
    link.client.opened(0.0)
    link.client.take(0.0)
    link.gets(CHALLENGE)
    link.client.authenticate()
    assert link.sent() == [Auth(0x18, says())]
    link.gets(ConnAck(session_present=True, properties=says()))
    assert link.sent() == [Publish("a", b"x", 1, dup=True, packet_id=1)]


@mqtt("MQTT-4.12.0-7")
def test_without_a_method_the_client_sends_no_auth() -> None:
    link = Link()
    link.client.opened(0.0)
    link.client.take(0.0)
    with pytest.raises(ValueError, match="none waits for an answer"):
        link.client.authenticate(b"x")
    link.gets(ConnAck())
    with pytest.raises(ValueError, match="none waits for an answer"):
        link.client.authenticate(b"x")
    with pytest.raises(ValueError, match="needs a CONNECT with an authentication method"):
        link.client.reauthenticate(b"x")
    assert link.sent() == []


def test_authentication_data_without_a_method_is_refused() -> None:  # section 3.1.2.11.10
    with pytest.raises(ValueError, match="needs an authentication method"):
        ClientConnection(Connect("c", properties=says(b"x", method=None)))


def test_an_answer_needs_a_challenge() -> None:
    link = knocking()
    with pytest.raises(ValueError, match="none waits for an answer"):
        link.client.authenticate(b"x")
    link.gets(CHALLENGE)
    link.client.authenticate(b"x")
    with pytest.raises(ValueError, match="none waits for an answer"):
        link.client.authenticate(b"x")
    assert len(link.sent()) == 1
    link.gets(CHALLENGE)
    link.client.lost()
    with pytest.raises(NotConnected):
        link.client.authenticate(b"x")


@mqtt("MQTT-4.12.1-1", "MQTT-4.12.0-5")
def test_a_client_authenticates_again_while_all_else_goes_on() -> None:
    link = let_in()
    link.client.reauthenticate(b"first")
    assert link.sent() == [Auth(0x19, says(b"first"))]
    with pytest.raises(ValueError, match="an authentication is going on"):
        link.client.reauthenticate(b"first")
    assert link.gets(CHALLENGE, Publish("a")) == [CHALLENGE, Publish("a")]
    link.client.publish("b", b"")
    link.client.authenticate(b"second")
    assert link.sent() == [Publish("b"), Auth(0x18, says(b"second"))]
    link.ticks(0.0, 60.0)
    assert link.sent() == [PingReq()]
    done = Auth(0x00, says(b"welcome"))
    assert link.gets(done) == [done]
    link.client.reauthenticate()  # and again
    assert link.sent() == [Auth(0x19, says())]


@mqtt("MQTT-4.12.1-2")
def test_a_client_that_is_not_content_says_goodbye() -> None:
    link = let_in()
    link.client.reauthenticate(b"first")
    link.gets(Auth(0x18, says(b"a wrong proof")))
    link.client.take(0.0)
    link.client.disconnect(0x87)
    assert link.sent() == [Disconnect(0x87)]
    assert link.client.is_closing


def test_a_server_that_is_not_content_is_understood() -> None:  # [MQTT-4.12.1-2]
    link = let_in()
    link.client.reauthenticate(b"first")
    assert link.gets(Disconnect(0x87)) == [Disconnect(0x87)]
    assert link.client.is_closing
    with pytest.raises(NotConnected):
        link.client.reauthenticate()
    link = knocking()
    assert link.gets(ConnAck(0x8C)) == [ConnAck(0x8C)]  # [MQTT-4.12.0-1]
    assert link.client.is_closing


def test_each_connection_begins_its_own_authentication() -> None:
    link = let_in()
    link.client.reauthenticate()
    link.client.lost()
    link.client.connect = Connect("c", properties=says(b"a new nonce"))
    link.open(ConnAck(properties=says()))
    link.client.reauthenticate()
    assert link.sent() == [Auth(0x19, says())]


@pytest.mark.parametrize(
    ("packet", "match"),
    [
        (Auth(0x18, says(b"x", method="other")), "with authentication method 'other', expected 'riddle'"),
        (Auth(0x18), "with authentication method None, expected 'riddle'"),
        (Auth(0x00, says()), "AUTH with reason code 0x00"),  # CONNACK is how that is said
        (Auth(0x19, says()), "AUTH with reason code 0x19"),  # only clients say so
        (ConnAck(properties=says(method="other")), "CONNACK with authentication method 'other'"),
        (ConnAck(), "CONNACK with authentication method None"),
    ],
)
def test_before_connack_an_auth_that_does_not_fit_is_an_error(packet: Packet, match: str) -> None:
    link = knocking()  # [MQTT-4.12.0-2] [MQTT-4.12.0-5]
    link.closes_at(bytes_of(packet), 0x82, match=match)
    assert link.client.take_events() == []


@pytest.mark.parametrize("packet", [CHALLENGE, Auth(0x00, says()), Auth(0x19, says())])
def test_after_connack_an_auth_that_we_did_not_ask_for_is_an_error(packet: Packet) -> None:
    let_in().closes_at(bytes_of(packet), 0x82, match="AUTH, and we wait for none")
    Link().open().closes_at(bytes_of(packet), 0x82, match="AUTH, and we wait for none")  # [MQTT-4.12.0-6]


@pytest.mark.parametrize(
    ("packet", "match"),
    [
        (Auth(0x19, says()), "AUTH with reason code 0x19"),
        (Auth(0x00), "with authentication method None"),
        (Auth(0x18, says(method="other")), "with authentication method 'other'"),
    ],
)
def test_in_a_re_authentication_an_auth_that_does_not_fit_is_an_error(packet: Packet, match: str) -> None:
    link = let_in()
    link.client.reauthenticate()
    link.closes_at(bytes_of(packet), 0x82, match=match)


def test_a_second_challenge_before_the_answer_is_an_error() -> None:
    link = knocking()
    link.gets(CHALLENGE)
    link.closes_at(bytes_of(CHALLENGE), 0x82, match="AUTH, and we wait for none")


def test_without_a_method_there_is_no_authentication() -> None:  # [MQTT-4.12.0-6]
    link = Link()
    link.client.opened(0.0)
    link.closes_at(bytes_of(CHALLENGE), 0x82, match="AUTH, and we wait for none")
    link = Link()
    link.client.opened(0.0)
    link.closes_at(
        bytes_of(ConnAck(properties=says())), 0x82, match="with authentication method 'riddle', expected None"
    )


@mqtt("MQTT-3.15.2-1")
def test_auth_with_a_code_of_another_packet_is_an_error() -> None:
    knocking().closes_at("f002 87 00", 0x81, match="which it may not carry")


def test_before_version_5_there_is_no_auth() -> None:
    link = Link(version=4)
    link.client.opened(0.0)
    link.closes_at(bytes_of(CHALLENGE), 0x81, match="packet type 15 does not exist")
