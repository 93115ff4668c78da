"""What a client is told when it is refused: code, words, where else to go; and what can be switched off."""

import pytest

from telex.codes import ReasonCode
from telex.engine.options import Options
from telex.engine.permissions import EVERYTHING
from telex.wire.packets import (
    ConnAck,
    Disconnect,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionRequest,
)
from telex.wire.properties import Properties
from tests.engine.world import ClosedGate, LateGate, World


def test_every_refusal_says_why_in_words(world: World) -> None:  # sections 3.4.2.2.2 to 3.14.2.2.3
    client = world.client("c")
    client.sends(
        Publish("$SYS/mine", qos=1, packet_id=1),
        Publish("$SYS/mine", qos=2, packet_id=2),
        PubRel(3),
        PubRec(4),
        Subscribe(5, [SubscriptionRequest("a/#/b"), SubscriptionRequest("a"), SubscriptionRequest("b+")]),
        Publish("a", qos=1, packet_id=6, properties=Properties(topic_alias=101)),
    )
    assert client.got == [
        PubAck(1, ReasonCode.NOT_AUTHORIZED),
        PubRec(2, ReasonCode.NOT_AUTHORIZED),
        PubComp(3, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND),
        PubRel(4, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND),
        SubAck(5, [ReasonCode.TOPIC_FILTER_INVALID, 0, ReasonCode.TOPIC_FILTER_INVALID]),
        Disconnect(ReasonCode.TOPIC_ALIAS_INVALID),
    ]
    assert client.reasons == [
        "no permission to publish to '$SYS/mine'",
        "no permission to publish to '$SYS/mine'",
        "packet id 3 is not in use",
        "packet id 4 is not in use",
        "topic filter 'a/#/b': '#' must be the last level [MQTT-4.7.1-1]; "
        "topic filter 'b+': '+' must stand alone in its level [MQTT-4.7.1-2]",
        "topic alias 101, we allowed 1 to 100 [MQTT-3.3.2-9]",
    ]


def test_who_wants_no_words_gets_none(world: World) -> None:  # [MQTT-3.1.2-29]
    client = world.client("c", request_problem_information=0)
    client.sends(Publish("$SYS/mine", qos=1, packet_id=1), PubRel(3), Publish("a", retain=True, qos=2, packet_id=0x10))
    world.client("c")
    assert client.reasons == []
    refused = World(gate=ClosedGate(ReasonCode.BANNED)).knocks("c", request_problem_information=0)
    assert refused.got == [ConnAck(ReasonCode.BANNED)]
    assert refused.reasons == []


def test_words_that_do_not_fit_are_left_out(world: World) -> None:  # [MQTT-3.4.2-2] [MQTT-3.14.2-3], Z1
    client = world.client("c", maximum_packet_size=50)
    topic = "$SYS/" + "x" * 40
    client.sends(Publish("$SYS/x", qos=1, packet_id=1), Publish(topic, qos=1, packet_id=2))
    assert client.got == [PubAck(1, ReasonCode.NOT_AUTHORIZED), PubAck(2, ReasonCode.NOT_AUTHORIZED)]
    assert client.reasons == ["no permission to publish to '$SYS/x'"]


def test_words_have_an_end(world: World) -> None:
    client = world.client("c").sends(Subscribe(1, [SubscriptionRequest("+x" * 30_000)] * 9))
    assert [len(each) for each in client.reasons] == [500]


def test_what_a_gate_says_is_for_our_log_only() -> None:
    world = World(gate=LateGate())
    client = world.knocks("c")
    world.refuses("c", ReasonCode.BAD_USER_NAME_OR_PASSWORD)
    assert client.reasons == ["bad user name or password"]
    assert world.diary.reasons == ["the gate says no (0x86 bad user name or password)"]


def test_a_refused_client_may_be_sent_to_another_server() -> None:  # section 4.11
    gate = LateGate()
    world = World(gate=gate)
    client = world.knocks("c")
    gate.asked["c"].refuse(ReasonCode.USE_ANOTHER_SERVER, "full", world.now, "b.test:1883")
    world.flush()
    assert client.got == [ConnAck(ReasonCode.USE_ANOTHER_SERVER, properties=Properties(server_reference="b.test:1883"))]


def test_a_connected_client_may_be_sent_to_another_server() -> None:  # section 4.11
    gate = LateGate()
    world = World(gate=gate)
    client = world.knocks("c")
    handle = gate.asked["c"]
    world.admits("c")
    handle.disconnect(ReasonCode.SERVER_MOVED, "we moved", world.now, "b.test:1883")
    world.flush()
    assert client.got[1:] == [Disconnect(ReasonCode.SERVER_MOVED, Properties(server_reference="b.test:1883"))]
    assert client.reasons == ["we moved"]


@pytest.mark.parametrize("reason_code", [*ReasonCode, 5])
@pytest.mark.parametrize("version", [3, 4, 5])
def test_a_gate_may_refuse_with_any_code(reason_code: int, version: int) -> None:  # [MQTT-3.2.2-8]
    world = World(gate=LateGate())
    client = world.knocks("c", version=version)
    world.refuses("c", reason_code)
    assert all(packet.reason_code != 0 for packet in client.got if isinstance(packet, ConnAck))
    assert len(client.got) == 1 or version < 5
    assert not client.is_connected


@pytest.mark.parametrize("reason_code", [*ReasonCode, 5])
def test_a_client_may_be_disconnected_with_any_code(reason_code: int) -> None:  # section 3.14.2.1
    gate = LateGate()
    world = World(gate=gate)
    client = world.knocks("c")
    handle = gate.asked["c"]
    world.admits("c")
    handle.disconnect(reason_code, "go", world.now)
    world.flush()
    assert isinstance(client.got[-1], Disconnect)
    assert not client.is_connected


def test_a_code_that_a_packet_may_not_carry_gives_way_to_the_nearest() -> None:
    world = World(gate=ClosedGate(ReasonCode.ADMINISTRATIVE_ACTION))
    assert world.knocks("c").got == [ConnAck(ReasonCode.NOT_AUTHORIZED)]
    assert world.diary.reasons == ["the gate is closed (0x98 administrative action)"]


def test_only_the_first_answer_of_a_gate_counts() -> None:
    gate = LateGate()
    world = World(gate=gate)
    client = world.knocks("c")
    handle = gate.asked["c"]
    with pytest.raises(ValueError, match="CONNECT named none"):
        handle.challenge(b"", world.now)
    world.admits("c")
    handle.refuse(ReasonCode.BANNED, "too late", world.now)
    handle.admit(EVERYTHING, world.now)
    handle.challenge(b"", world.now)
    world.flush()
    assert len(client.takes()) == 1
    assert client.is_connected


def test_response_information_that_does_not_fit_is_left_out() -> None:
    world = World(Options(response_information="r/%c/"))
    client = world.client("c" * 65_535, request_response_information=1)
    assert client.said.response_information is None


OFF = {
    "wildcard_subscription_available": (ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED, "a/#", None),
    "shared_subscription_available": (ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED, "$share/g/a", None),
    "subscription_identifier_available": (ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED, "a", 7),
}


@pytest.mark.parametrize("option", OFF)
def test_what_is_switched_off_is_told_and_refused(option: str) -> None:  # sections 3.2.2.3.11 to 3.2.2.3.13
    reason_code, topic_filter, identifier = OFF[option]
    world = World(Options(**{option: False}))
    client = world.client("c")
    assert getattr(client.said, option) == 0
    properties = Properties(subscription_identifiers=(identifier,)) if identifier else None
    client.sends(Subscribe(1, [SubscriptionRequest(topic_filter)], properties))
    assert client.got == [Disconnect(reason_code)]
    for other, (_, allowed, number) in OFF.items():
        if other != option:
            world.client("d").subscribes(allowed, identifier=number)


@pytest.mark.parametrize("option", ["wildcard_subscription_available", "shared_subscription_available"])
def test_a_v3_client_is_refused_that_subscription_only(option: str) -> None:  # v3 section 3.9.3
    _, topic_filter, _ = OFF[option]
    client = World(Options(**{option: False})).client("c", version=4)
    client.sends(Subscribe(1, [SubscriptionRequest(topic_filter), SubscriptionRequest("a")]))
    assert client.got == [SubAck(1, [0x80, 0])]


def test_response_information_is_for_who_asks() -> None:  # [MQTT-3.1.2-28]
    world = World(Options(response_information="responses/%c"))
    assert world.client("c", request_response_information=1).said.response_information == "responses/c"
    assert world.client("c", request_response_information=0).said.response_information is None
    assert world.client("c").said.response_information is None
    assert World().client("c", request_response_information=1).said.response_information is None


@pytest.mark.parametrize(
    ("connect", "reason_code"),
    [
        ("10 0d 00 04 4d 51 54 54 05 03 00 3c 00 00 00", ReasonCode.MALFORMED_PACKET),  # the reserved flag
        ("10 10 00 04 4d 51 54 54 05 02 00 3c 03 21 00 00 00 00", ReasonCode.PROTOCOL_ERROR),  # Receive Maximum 0
        ("10 13 00 04 4d 51 54 54 05 06 00 3c 00 00 00 00 00 01 23 00 00", ReasonCode.TOPIC_NAME_INVALID),  # will
    ],
)
def test_a_v5_connect_that_is_wrong_is_answered(world: World, connect: str, reason_code: int) -> None:
    # Section 3.1.4: "MAY send a CONNACK packet with a Reason Code of 0x80 or greater"
    client = world.stranger().sends_bytes(bytes.fromhex(connect))
    assert client.got == [ConnAck(reason_code)]
    assert client.reasons == []  # nobody knows how large a CONNACK it takes [MQTT-3.2.2-19]
    assert not client.is_connected


def test_who_has_said_nothing_gets_no_answer(world: World) -> None:  # [MQTT-3.14.0-1] [MQTT-3.2.0-1]
    client = world.stranger()
    client.connection.disconnect(ReasonCode.SERVER_SHUTTING_DOWN, "the broker stops", world.now)
    world.flush()
    assert client.got == []
    assert not client.is_connected
