"""PUBACK (section 3.4)."""

from collections.abc import Callable

import pytest

from telex.engine.permissions import Permissions
from telex.wire.packets import Disconnect, PubAck, Publish
from tests.conformance.marks import each_version, edge, mqtt
from tests.engine.world import OneRule, World


class NoSecrets(Permissions):
    """Nobody may publish to ``secret``."""

    def may_publish(self, topic: str) -> bool:
        return not topic.startswith("secret")


@mqtt("MQTT-3.4.2-1")
@each_version
def test_puback_carries_the_id_and_one_of_its_codes(world: World, version: int) -> None:
    client = world.client("c", version=version)
    for packet_id in (1, 255, 256, 0x1234, 65_535):
        client.sends(Publish("nobody/wants/this", b"x", 1, packet_id=packet_id))
        assert client.takes() in ([PubAck(packet_id)], [PubAck(packet_id, 0x10)])  # 0x10: there is no subscriber
    client.subscribes("a")
    client.sends(Publish("a", b"x", 1, packet_id=7))
    assert client.got == [Publish("a", b"x"), PubAck(7)] or client.got == [PubAck(7), Publish("a", b"x")]


@mqtt("MQTT-3.4.2-1")
def test_puback_says_that_a_message_was_not_authorized(make_world: Callable[..., World]) -> None:
    world = make_world(gate=OneRule(NoSecrets()))
    sub = world.client("sub").subscribes("#")
    client = world.client("c").sends(Publish("secret", b"x", 1, packet_id=7), Publish("open", b"y", 1, packet_id=8))
    assert client.got == [PubAck(7, 0x87), PubAck(8)]
    assert sub.payloads == [b"y"]


def test_a_v3_client_gets_puback_for_what_was_not_authorized(make_world: Callable[..., World]) -> None:
    # v3 [MQTT-3.3.5-2]: a positive acknowledgement or the end of the connection, there is no other answer
    world = make_world(gate=OneRule(NoSecrets()))
    sub = world.client("sub", version=4).subscribes("#")
    client = world.client("c", version=4).sends(Publish("secret", b"x", 1, packet_id=7))
    assert client.got == [PubAck(7)]
    assert sub.got == []


@mqtt("MQTT-3.4.2-1")
@pytest.mark.parametrize("code", ["01", "04", "11", "81", "82", "8f", "92", "93", "ff"])
def test_a_puback_with_any_other_code_closes_the_connection(engine: World, code: str) -> None:
    # What a receiver makes of such a code is not said: here it is malformed, others let it pass.
    sub = engine.client("sub", acknowledges=False).subscribes("a", qos=1)
    engine.client("pub").publishes("a", b"x", 1)
    sub.sends_bytes(bytes.fromhex("4003") + sub.messages[0].packet_id.to_bytes(2, "big") + bytes.fromhex(code))
    assert not sub.is_connected
    assert sub.got[1:] == [Disconnect(0x81)]


@pytest.mark.parametrize(
    "rest",
    ["", "00", "0000", "10", "80", "87 00", "97 09 1f0006 72656173 6f6e", "00 07 26 0001 61 0001 62"],
    ids=["id", "code", "no properties", "0x10", "0x80", "0x87", "reason string", "user property"],
)
def test_every_form_of_puback_ends_the_exchange(world: World, rest: str) -> None:  # sections 3.4.2.1 and 3.4.2.2
    sub = world.client("sub", session_expiry=60, receive_maximum=1, acknowledges=False).subscribes("a", qos=1)
    world.client("pub").publishes("a", b"1", 1).publishes("a", b"2", 1)
    packet_id = sub.messages[0].packet_id
    body = packet_id.to_bytes(2, "big") + bytes.fromhex(rest)
    sub.in_flight.remove(packet_id)  # what is sent in bytes must be told the strict client
    sub.sends_bytes(bytes([0x40, len(body)]) + body)
    assert sub.payloads == [b"1", b"2"]
    assert sub.drops().returns().payloads == [b"2"]


@edge("Z1")
@mqtt("MQTT-3.4.2-2", "MQTT-3.4.2-3")
def test_no_puback_is_larger_than_its_client_takes(world: World) -> None:
    topic = "nobody/wants/this/" + "x" * 1_000
    client = world.client("c", maximum_packet_size=30)  # it checks what it gets
    for name in (topic, f"$SYS/{topic}", "$SYS/broker/version"):
        client.sends(Publish(name, b"x", 1, packet_id=7))
        assert [type(packet) for packet in client.takes()] == [PubAck]


@edge("Z1")
@mqtt("MQTT-3.4.2-2", "MQTT-3.4.2-3")
def test_puback_sheds_its_reason_to_fit(make_world: Callable[..., World]) -> None:
    world = make_world(gate=OneRule(NoSecrets()))
    secret = Publish("secret", b"x", 1, packet_id=7)
    client = world.client("c").sends(secret)
    assert client.got == [PubAck(7, 0x87)]
    assert len(client.reasons) == 1
    size = client.sizes[-1]
    exact = world.client("exact", maximum_packet_size=size).sends(secret)
    smaller = world.client("smaller", maximum_packet_size=size - 1).sends(secret)
    assert exact.got == smaller.got == [PubAck(7, 0x87)]
    assert (len(exact.reasons), len(smaller.reasons)) == (1, 0)
