"""PUBCOMP (section 3.7)."""

import pytest

from telex.wire.packets import Disconnect, PubComp, Publish, PubRec, PubRel
from tests.conformance.marks import each_version, edge, mqtt
from tests.engine.world import World


@mqtt("MQTT-3.7.2-1")
@each_version
def test_pubcomp_carries_the_id_and_one_of_its_codes(world: World, version: int) -> None:
    client = world.client("c", version=version)
    for packet_id in (1, 255, 256, 0x1234, 65_535):
        client.sends(Publish("a", b"x", 2, packet_id=packet_id)).takes()
        assert client.sends(PubRel(packet_id)).takes() == [PubComp(packet_id)]
        client.sends(PubRel(packet_id))  # nobody knows it any more
        assert client.takes() in ([PubComp(packet_id)], [PubComp(packet_id, 0x92)])


@mqtt("MQTT-3.7.2-1")
def test_pubcomp_says_that_an_id_is_not_known(engine: World) -> None:
    client = engine.client("c").sends(PubRel(4_660))
    assert client.got == [PubComp(4_660, 0x92)]
    assert len(client.reasons) == 1


@mqtt("MQTT-3.7.2-1")
@pytest.mark.parametrize("code", ["01", "10", "80", "81", "87", "91", "93", "ff"])
def test_a_pubcomp_with_any_other_code_closes_the_connection(engine: World, code: str) -> None:
    # What a receiver makes of such a code is not said: here it is malformed, others let it pass.
    sub = engine.client("sub", acknowledges=False).subscribes("a", qos=2)
    engine.client("pub").publishes("a", b"x", 2)
    packet_id = sub.messages[0].packet_id
    sub.sends(PubRec(packet_id)).takes()
    sub.sends_bytes(bytes.fromhex("7003") + packet_id.to_bytes(2, "big") + bytes.fromhex(code))
    assert not sub.is_connected
    assert sub.got == [Disconnect(0x81)]


@pytest.mark.parametrize(
    "rest",
    ["", "00", "0000", "92", "92 00", "00 09 1f0006 72656173 6f6e", "00 07 26 0001 61 0001 62"],
    ids=["id", "code", "no properties", "0x92", "0x92 and no properties", "reason string", "user property"],
)
def test_every_form_of_pubcomp_ends_the_exchange(world: World, rest: str) -> None:  # sections 3.7.2.1 and 3.7.2.2
    sub = world.client("sub", session_expiry=60, receive_maximum=1, acknowledges=False).subscribes("a", qos=2)
    world.client("pub").publishes("a", b"1", 2).publishes("a", b"2", 2)
    packet_id = sub.messages[0].packet_id
    sub.sends(PubRec(packet_id))
    assert sub.payloads == [b"1"]
    body = packet_id.to_bytes(2, "big") + bytes.fromhex(rest)
    sub.in_flight.remove(packet_id)  # what is sent in bytes must be told the strict client
    sub.sends_bytes(bytes([0x70, len(body)]) + body)
    assert sub.payloads == [b"1", b"2"]
    assert sub.drops().returns().payloads == [b"2"]


@edge("Z1")
@mqtt("MQTT-3.7.2-2", "MQTT-3.7.2-3")
def test_no_pubcomp_is_larger_than_its_client_takes(world: World) -> None:
    client = world.client("c", maximum_packet_size=30)  # it checks what it gets
    for packet_id in (1, 4_660, 65_535):
        client.sends(PubRel(packet_id))
        assert client.takes() in ([PubComp(packet_id)], [PubComp(packet_id, 0x92)])


@edge("Z1")
@mqtt("MQTT-3.7.2-2", "MQTT-3.7.2-3")
def test_pubcomp_sheds_its_reason_to_fit(engine: World) -> None:
    size = engine.client("c").sends(PubRel(7)).sizes[-1]
    exact = engine.client("exact", maximum_packet_size=size).sends(PubRel(7))
    smaller = engine.client("smaller", maximum_packet_size=size - 1).sends(PubRel(7))
    assert exact.got == smaller.got == [PubComp(7, 0x92)]
    assert (len(exact.reasons), len(smaller.reasons)) == (1, 0)
