"""PUBREC (section 3.5)."""

from collections.abc import Callable

import pytest

from telex.engine.options import Options
from telex.engine.permissions import Permissions
from telex.wire.packets import Disconnect, PubAck, PubComp, Publish, PubRec, PubRel
from tests.conformance.marks import each_version, edge, mqtt
from tests.engine.world import OneRule, World

REFUSALS = [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]


class NoSecrets(Permissions):
    """Nobody may publish to ``secret``."""

    def may_publish(self, topic: str) -> bool:
        return not topic.startswith("secret")


@mqtt("MQTT-3.5.2-1")
@each_version
def test_pubrec_carries_the_id_and_one_of_its_codes(world: World, version: int) -> None:
    client = world.client("c", version=version)
    for packet_id in (1, 255, 256, 0x1234, 65_535):
        client.sends(Publish("nobody/wants/this", b"x", 2, packet_id=packet_id))
        assert client.takes() in ([PubRec(packet_id)], [PubRec(packet_id, 0x10)])  # 0x10: there is no subscriber
        assert client.sends(PubRel(packet_id)).takes() == [PubComp(packet_id)]


@mqtt("MQTT-3.5.2-1")
def test_pubrec_says_that_a_message_was_not_authorized(make_world: Callable[..., World]) -> None:
    world = make_world(gate=OneRule(NoSecrets()))
    sub = world.client("sub").subscribes("#")
    client = world.client("c").sends(Publish("secret", b"x", 2, packet_id=7), Publish("open", b"y", 2, packet_id=8))
    assert client.got == [PubRec(7, 0x87), PubRec(8)]
    assert sub.payloads == [b"y"]


def test_a_v3_client_gets_pubrec_for_what_was_not_authorized(make_world: Callable[..., World]) -> None:
    # v3 [MQTT-3.3.5-2]: a positive acknowledgement or the end of the connection, there is no other answer
    world = make_world(gate=OneRule(NoSecrets()))
    sub = world.client("sub", version=4).subscribes("#")
    client = world.client("c", version=4).sends(Publish("secret", b"x", 2, packet_id=7), PubRel(7))
    assert client.got == [PubRec(7), PubComp(7)]
    assert sub.got == []


@mqtt("MQTT-3.5.2-1")
@pytest.mark.parametrize("code", ["01", "02", "11", "81", "8f", "92", "93", "ff"])
def test_a_pubrec_with_any_other_code_closes_the_connection(engine: World, code: str) -> None:
    # What a receiver makes of such a code is not said: here it is malformed, others let it pass.
    sub = engine.client("sub", acknowledges=False).subscribes("a", qos=2)
    engine.client("pub").publishes("a", b"x", 2)
    sub.sends_bytes(bytes.fromhex("5003") + sub.messages[0].packet_id.to_bytes(2, "big") + bytes.fromhex(code))
    assert not sub.is_connected
    assert sub.got[1:] == [Disconnect(0x81)]


@pytest.mark.parametrize(
    "rest",
    ["", "00", "0000", "10", "10 00", "00 09 1f0006 72656173 6f6e", "00 07 26 0001 61 0001 62"],
    ids=["id", "code", "no properties", "0x10", "0x10 and no properties", "reason string", "user property"],
)
def test_every_form_of_pubrec_is_answered_by_pubrel(world: World, rest: str) -> None:
    # Sections 3.5.2.1 and 3.5.2.2.
    sub = world.client("sub", acknowledges=False).subscribes("a", qos=2)
    world.client("pub").publishes("a", b"x", 2)
    packet_id = sub.messages[0].packet_id
    body = packet_id.to_bytes(2, "big") + bytes.fromhex(rest)
    assert sub.sends_bytes(bytes([0x50, len(body)]) + body).got[1:] == [PubRel(packet_id)]


# A refusal, of what a client got


@edge("S5")
@pytest.mark.parametrize("reason_code", REFUSALS)
def test_a_refusal_by_the_client_ends_the_exchange(world: World, reason_code: int) -> None:
    # Section 4.3.3: no PUBREL follows, and nothing comes again.
    sub = world.client("sub", session_expiry=60, acknowledges=False).subscribes("a", qos=2)
    world.client("pub").publishes("a", b"x", 2)
    packet_id = sub.messages[0].packet_id
    sub.takes()
    assert sub.sends(PubRec(packet_id, reason_code)).takes() == []
    assert sub.drops().returns().got == []


@edge("S5")
@mqtt("MQTT-3.3.4-9")
def test_a_refusal_by_the_client_frees_the_quota(world: World) -> None:
    sub = world.client("sub", receive_maximum=1, acknowledges=False).subscribes("a", qos=2)
    pub = world.client("pub")
    for number in range(5):
        pub.publishes("a", b"%d" % number, 2)
    for number in range(5):
        assert sub.payloads == [b"%d" % number]
        packet_id = sub.messages[0].packet_id
        sub.takes()
        sub.sends(PubRec(packet_id, 0x97))
    assert sub.got == []


@edge("S5")
def test_a_refusal_by_the_client_frees_the_packet_id(engine: World) -> None:
    sub = engine.client("sub", acknowledges=False).subscribes("a", qos=2)
    pub = engine.client("pub")
    for _ in range(65_535 + 10):  # more than there are ids
        pub.sends(Publish("a", b"x", 2, packet_id=1), PubRel(1))
        sub.sends(PubRec(sub.messages[0].packet_id, 0x80))
        sub.takes()
        pub.takes()
    assert pub.publishes("a", b"y", 2).is_connected
    assert sub.payloads == [b"y"]


# A refusal, of what a client sent


@edge("S5")
def test_a_refusal_by_the_broker_frees_the_packet_id(make_world: Callable[..., World]) -> None:
    world = make_world(gate=OneRule(NoSecrets()))
    sub = world.client("sub").subscribes("#", qos=2)
    client = world.client("c").sends(Publish("secret", b"1", 2, packet_id=7))
    client.sends(Publish("secret", b"2", 2, packet_id=7), Publish("open", b"3", 2, packet_id=7), PubRel(7))
    assert client.got == [PubRec(7, 0x87), PubRec(7, 0x87), PubRec(7), PubComp(7)]  # each is a new message
    assert sub.payloads == [b"3"]


@edge("S5", "P3")
@mqtt("MQTT-3.3.4-7")
def test_a_refusal_by_the_broker_frees_the_quota(make_world: Callable[..., World]) -> None:
    client = make_world(Options(receive_maximum=2), gate=OneRule(NoSecrets())).client("c")
    for packet_id in range(1, 10):
        client.sends(Publish("secret", b"x", 2, packet_id=packet_id))
    client.sends(Publish("open", b"x", 2, packet_id=20), Publish("open", b"x", 2, packet_id=21))
    assert client.is_connected
    assert client.got[:9] == [PubRec(packet_id, 0x87) for packet_id in range(1, 10)]
    assert client.sends(Publish("open", b"x", 2, packet_id=22)).got[-1] == Disconnect(0x93)


def test_a_pubrec_for_a_message_of_qos_1_does_not_acknowledge_it(world: World) -> None:  # section 4.3.2
    sub = world.client("sub", session_expiry=60, receive_maximum=1, acknowledges=False).subscribes("a", qos=1)
    world.client("pub").publishes("a", b"1", 1).publishes("a", b"2", 1)
    packet_id = sub.messages[0].packet_id
    sub.sends(PubRec(packet_id))
    assert sub.payloads == [b"1"]
    if sub.is_connected:  # it may be taken for a Protocol Error
        assert sub.sends(PubAck(packet_id)).payloads == [b"1", b"2"]


# Sizes


@edge("Z1")
@mqtt("MQTT-3.5.2-2", "MQTT-3.5.2-3")
def test_no_pubrec_is_larger_than_its_client_takes(world: World) -> None:
    topic = "nobody/wants/this/" + "x" * 1_000
    client = world.client("c", maximum_packet_size=30)  # it checks what it gets
    for packet_id, name in enumerate((topic, f"$SYS/{topic}", "$SYS/broker/version"), 1):
        client.sends(Publish(name, b"x", 2, packet_id=packet_id))
        assert [type(packet) for packet in client.takes()] == [PubRec]


@edge("Z1")
@mqtt("MQTT-3.5.2-2", "MQTT-3.5.2-3")
def test_pubrec_sheds_its_reason_to_fit(make_world: Callable[..., World]) -> None:
    world = make_world(gate=OneRule(NoSecrets()))
    secret = Publish("secret", b"x", 2, packet_id=7)
    client = world.client("c").sends(secret)
    assert client.got == [PubRec(7, 0x87)]
    assert len(client.reasons) == 1
    size = client.sizes[-1]
    exact = world.client("exact", maximum_packet_size=size).sends(secret)
    smaller = world.client("smaller", maximum_packet_size=size - 1).sends(secret)
    assert exact.got == smaller.got == [PubRec(7, 0x87)]
    assert (len(exact.reasons), len(smaller.reasons)) == (1, 0)
