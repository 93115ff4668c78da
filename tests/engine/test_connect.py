"""How a client comes in, or is sent away (sections 3.1 and 3.2)."""

import pytest

from telex.codes import MAX_PACKET_ID, ReasonCode
from telex.engine.options import Options
from telex.wire.encode import encode
from telex.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    Will,
)
from telex.wire.packets import SubscriptionRequest as Request
from telex.wire.properties import Properties
from tests.engine.world import ClosedGate, LateGate, World

VERSIONS = pytest.mark.parametrize("version", [3, 4, 5])


@VERSIONS
def test_the_first_answer_is_a_connack(world: World, version: int) -> None:  # [MQTT-3.1.4-5] [MQTT-3.2.0-1]
    client = world.knocks("c", version=version).sends(PingReq())
    assert [type(packet) for packet in client.got] == [ConnAck, PingResp]
    assert client.connack is not None
    assert client.connack.reason_code == 0


def test_connack_tells_a_v5_client_our_limits() -> None:  # section 3.2.2.3
    world = World(Options(receive_maximum=7, topic_alias_maximum=3, maximum_packet_size=1_000))
    client = world.client("c")
    assert client.said == Properties(receive_maximum=7, topic_alias_maximum=3, maximum_packet_size=1_000)


def test_connack_leaves_out_a_receive_maximum_that_limits_nothing() -> None:  # section 3.2.2.3.3
    client = World(Options(receive_maximum=MAX_PACKET_ID)).client("c")
    assert client.said.receive_maximum is None


@pytest.mark.parametrize("version", [3, 4])
def test_a_v3_connack_has_no_properties(world: World, version: int) -> None:  # v3 section 3.2
    assert world.client("c", version=version).connack == ConnAck(0)


def test_a_client_without_an_id_gets_one(world: World) -> None:  # [MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.2.2-16]
    one, other = world.client(""), world.client("")
    assert one.said.assigned_client_identifier is not None
    assert other.said.assigned_client_identifier is not None
    assert one.said.assigned_client_identifier != other.said.assigned_client_identifier
    one.subscribes("a")
    other.publishes("a", b"x")
    assert one.payloads == [b"x"]


def test_an_assigned_id_is_as_good_as_an_own_one(world: World) -> None:  # [MQTT-3.1.3-7]
    assigned = world.client("", session_expiry=60).subscribes("a", qos=1).drops().said.assigned_client_identifier
    assert assigned is not None
    world.client("pub").publishes("a", b"x", qos=1)
    again = world.client(assigned, clean_start=False)
    assert again.payloads == [b"x"]
    assert again.said.assigned_client_identifier is None


def test_a_v5_client_without_an_id_may_ask_for_its_session(world: World) -> None:  # [MQTT-3.1.3-6]
    assert world.client("", clean_start=False).said.assigned_client_identifier == "nameless-1"


def test_a_v311_client_without_an_id_may_come_with_a_clean_session(world: World) -> None:  # v3 [MQTT-3.1.3-6]
    client = world.client("", version=4).subscribes("a")
    world.client("pub").publishes("a", b"x")
    assert client.payloads == [b"x"]


def test_a_v311_client_without_an_id_cannot_keep_a_session(world: World) -> None:  # v3 [MQTT-3.1.3-7] [MQTT-3.1.3-8]
    client = world.knocks("", version=4, clean_start=False)
    assert client.got == [ConnAck(2)]
    assert not client.is_connected


def test_a_v31_client_needs_an_id(world: World) -> None:  # MQTT 3.1 section 3.1: 1 to 23 characters
    client = world.knocks("", version=3)
    assert client.got == [ConnAck(2)]
    assert not client.is_connected


@pytest.mark.parametrize(("version", "code"), [(4, 2), (5, 0x85)])
def test_a_broker_may_insist_on_client_ids(version: int, code: int) -> None:  # [MQTT-3.1.3-8]
    client = World(Options(allow_empty_client_id=False)).knocks("", version=version)
    assert client.got == [ConnAck(code)]
    assert not client.is_connected


@pytest.mark.parametrize(
    "client_id", ["0123456789abcdefghijklm", "nopqrstuvwxyzABCDEFGHIJ", "KLMNOPQRSTUVWXYZ", "äöü/+#" * 50]
)
@VERSIONS
def test_client_ids_may_be_anything(world: World, client_id: str, version: int) -> None:  # [MQTT-3.1.3-5]
    client = world.client(client_id, version=version).subscribes("a")
    world.client("pub").publishes("a", b"x")
    assert client.payloads == [b"x"]


def test_client_ids_are_compared_character_by_character(world: World) -> None:  # [MQTT-3.1.3-2]
    one, other = world.client("client"), world.client("Client")
    assert one.is_connected
    assert other.is_connected


def test_an_unknown_authentication_method_is_refused(world: World) -> None:  # [MQTT-4.12.0-1]
    client = world.stranger()
    client.sends(Connect("c", properties=Properties(authentication_method="SCRAM-SHA-1")))
    assert client.got == [ConnAck(ReasonCode.BAD_AUTHENTICATION_METHOD)]
    assert not client.is_connected


@pytest.mark.parametrize("wish", [0, 1])
def test_response_information_is_not_returned(world: World, wish: int) -> None:  # [MQTT-3.1.2-28]
    client = world.stranger()
    client.sends(Connect("c", properties=Properties(request_response_information=wish)))
    assert client.said.response_information is None


def test_connack_tells_what_is_not_supported() -> None:  # [MQTT-3.2.2-9]
    client = World(Options(maximum_qos=1, retain_available=False)).client("c")
    assert client.said.maximum_qos == 1
    assert client.said.retain_available == 0


@pytest.mark.parametrize("qos", [1, 2])
def test_a_will_of_a_qos_that_is_not_supported_is_refused(qos: int) -> None:  # [MQTT-3.2.2-12]
    client = World(Options(maximum_qos=0)).knocks("c", will=Will("w", qos=qos))
    assert client.got == [ConnAck(ReasonCode.QOS_NOT_SUPPORTED)]
    assert not client.is_connected


def test_a_retained_will_is_refused_where_nothing_is_retained() -> None:  # [MQTT-3.2.2-13]
    client = World(Options(retain_available=False)).knocks("c", will=Will("w", b"x", retain=True))
    assert client.got == [ConnAck(ReasonCode.RETAIN_NOT_SUPPORTED)]
    assert not client.is_connected


def test_a_v3_client_is_refused_without_a_word_where_no_code_fits() -> None:  # v3 [MQTT-3.2.2-6]
    client = World(Options(maximum_qos=0)).knocks("c", version=4, will=Will("w", qos=1))
    assert client.got == []
    assert not client.is_connected


# The gate


@pytest.mark.parametrize(
    ("version", "reason_code", "told"),
    [
        (5, ReasonCode.BAD_USER_NAME_OR_PASSWORD, 0x86),
        (5, ReasonCode.NOT_AUTHORIZED, 0x87),
        (5, ReasonCode.SERVER_BUSY, 0x89),
        (5, ReasonCode.BANNED, 0x8A),
        (4, ReasonCode.BAD_USER_NAME_OR_PASSWORD, 4),
        (4, ReasonCode.NOT_AUTHORIZED, 5),
        (4, ReasonCode.SERVER_UNAVAILABLE, 3),
        (4, ReasonCode.BANNED, 5),
        (3, ReasonCode.BAD_USER_NAME_OR_PASSWORD, 4),
    ],
)
def test_the_gate_refuses_in_the_words_of_the_version(version: int, reason_code: ReasonCode, told: int) -> None:
    # [MQTT-3.2.2-6] [MQTT-3.2.2-7] [MQTT-3.2.2-8], v3 [MQTT-3.2.2-4] [MQTT-3.2.2-5]
    client = World(gate=ClosedGate(reason_code)).knocks("c", version=version)
    assert client.got == [ConnAck(told)]
    assert not client.is_connected


def test_nothing_of_a_refused_client_is_processed() -> None:  # [MQTT-3.1.4-6]
    world = World(gate=LateGate())
    sub = world.knocks("sub")
    world.admits("sub")
    sub.subscribes("a")
    pub = world.stranger()
    pub.sends(Connect("pub", will=Will("a", b"will")), Publish("a", b"x"))
    world.refuses("pub", ReasonCode.NOT_AUTHORIZED)
    assert pub.got == [ConnAck(ReasonCode.NOT_AUTHORIZED)]
    assert sub.payloads == []


def test_a_gate_may_take_its_time() -> None:  # [MQTT-3.1.4-6]
    world = World(gate=LateGate())
    client = world.knocks("c").sends(Subscribe(1, [Request("a")]))
    client.sends(Publish("a", b"x", qos=1, packet_id=2))
    assert client.got == []
    assert client.connection.is_waiting
    world.admits("c")
    assert not client.connection.is_waiting
    assert client.takes()[1:] == [SubAck(1, [0]), Publish("a", b"x"), PubAck(2)]


def test_a_gate_may_answer_when_the_client_has_gone() -> None:  # [MQTT-3.1.2-7]
    world = World(gate=LateGate())
    sub = world.knocks("sub")
    world.admits("sub")
    sub.subscribes("#")
    world.knocks("c", will=Will("w", b"x")).drops()
    world.knocks("d", will=Will("w", b"x")).drops()
    world.admits("c")
    world.refuses("d", ReasonCode.NOT_AUTHORIZED)
    assert sub.payloads == []  # the wills of clients that were never in
    assert list(world.engine.sessions) == ["sub"]


def test_a_refused_newcomer_does_not_disturb_the_client_whose_id_it_has() -> None:  # [MQTT-3.1.4-3]
    world = World(gate=LateGate())
    client = world.knocks("c")
    world.admits("c")
    world.knocks("c")
    world.refuses("c", ReasonCode.BAD_USER_NAME_OR_PASSWORD)
    assert client.is_connected


def test_of_two_newcomers_with_one_id_the_last_to_be_let_in_stays() -> None:  # [MQTT-3.1.4-3]
    world = World(gate=LateGate())
    assert isinstance(world.gate, LateGate)
    one = world.knocks("c")
    world.gate.asked["one"] = world.gate.asked.pop("c")
    other = world.knocks("c")
    world.admits("c")
    assert (one.got, other.is_connected) == ([], True)
    world.admits("one")
    assert one.is_connected
    assert other.got[-1] == Disconnect(ReasonCode.SESSION_TAKEN_OVER)


# Those who never get there


def test_a_connection_without_a_connect_is_closed_in_time() -> None:  # M1, section 3.1
    world = World(Options(connect_timeout=10))
    stranger = world.stranger()
    world.advance(9)
    assert stranger.is_connected
    world.advance(2)
    assert not stranger.is_connected
    assert stranger.got == []


def test_a_connect_that_trickles_in_is_no_excuse() -> None:  # M1
    world = World(Options(connect_timeout=10))
    stranger = world.stranger()
    for byte in encode(Connect("c"), 5)[:11]:
        stranger.sends_bytes(bytes([byte]))
        world.advance(1)
        if not stranger.is_connected:
            break
    assert not stranger.is_connected


def test_a_login_that_takes_too_long_is_given_up() -> None:  # M1
    world = World(Options(connect_timeout=10), gate=LateGate())
    client = world.knocks("c")
    world.advance(11)
    assert not client.is_connected
    world.admits("c")  # too late
    assert client.got == []
    assert world.engine.sessions == {}


def test_a_client_that_came_in_is_left_in_peace() -> None:  # A1
    world = World(Options(connect_timeout=10))
    client = world.client("c")
    world.advance(10_000)
    assert client.is_connected


@VERSIONS
def test_bytes_may_come_one_by_one(world: World, version: int) -> None:  # M3
    client = world.stranger(version=version)
    for byte in encode(Connect("c", version=version), version) + encode(PingReq(), version):
        client.sends_bytes(bytes([byte]))
    assert [type(packet) for packet in client.got] == [ConnAck, PingResp]


def test_a_version_that_we_do_not_speak_is_refused(world: World) -> None:  # v3 [MQTT-3.1.2-2], [MQTT-3.1.2-2]
    stranger = world.stranger(version=4)
    stranger.sends_bytes(bytes.fromhex("10 0e 00 04 4d 51 54 54 06 02 00 3c 00 00 01 63"))
    assert stranger.got == [ConnAck(1)]
    assert not stranger.is_connected


def test_a_connect_that_is_none_gets_no_answer(world: World) -> None:  # v3 [MQTT-3.1.4-1]
    stranger = world.stranger(version=4)
    stranger.sends_bytes(bytes.fromhex("10 0d 00 04 4d 51 54 54 04 03 00 3c 00 01 63"))  # with its reserved flag
    assert stranger.got == []
    assert not stranger.is_connected


def test_an_observer_is_told_who_came_and_who_was_refused() -> None:  # section 3.1.4
    world = World(Options(allow_empty_client_id=False))
    world.client("c").disconnects()
    world.knocks("")
    world.stranger().sends_bytes(b"GET / HTTP/1.1\r\n\r\n")
    assert world.diary.lines == [
        "c connected from c.test",
        "c disconnected from c.test",
        " refused at .test",
        " refused at stranger.test",
    ]
