"""PUBREL (section 3.6)."""

import pytest

from telex.wire.packets import Disconnect, PubComp, Publish, PubRec, PubRel
from tests.conformance.marks import each_version, edge, mqtt
from tests.engine.world import World


@mqtt("MQTT-3.6.1-1")
@pytest.mark.parametrize("flags", [flags for flags in range(16) if flags != 2])
@each_version
def test_pubrel_with_other_flags_than_0010_closes_the_connection(world: World, version: int, flags: int) -> None:
    client = world.client("c", version=version).sends(Publish("a", b"x", 2, packet_id=7))
    client.takes()
    client.sends_bytes(bytes([0x60 | flags, 0x02, 0x00, 0x07]))
    assert not client.is_connected
    assert client.got in ([], [Disconnect(0x81)])


@mqtt("MQTT-3.6.1-1", "MQTT-3.6.2-1")
@each_version
def test_the_brokers_pubrel_has_the_flags_0010_and_carries_the_id(world: World, version: int) -> None:
    sub = world.client("sub", version=version, acknowledges=False).subscribes("a", qos=2)
    world.client("pub", version=version).publishes("a", b"1", 2).publishes("a", b"2", 2)
    for message in sub.messages:
        sub.takes()
        assert sub.sends(PubRec(message.packet_id)).got == [PubRel(message.packet_id)]  # the decoder sees to the flags
        assert sub.sizes[-1] in (4, 5, 6)  # in v5 code and property length may follow
        sub.sends(PubComp(message.packet_id))


@pytest.mark.parametrize(
    "rest",
    ["", "00", "0000", "92", "92 00", "00 09 1f0006 72656173 6f6e", "00 07 26 0001 61 0001 62"],
    ids=["id", "code", "no properties", "0x92", "0x92 and no properties", "reason string", "user property"],
)
def test_every_form_of_pubrel_is_answered_by_pubcomp(world: World, rest: str) -> None:
    # Sections 3.6.2.1 and 3.6.2.2.
    sub = world.client("sub").subscribes("a", qos=2)
    client = world.client("c").sends(Publish("a", b"x", 2, packet_id=0x1234))
    client.takes()
    body = bytes.fromhex("1234" + rest)
    assert client.sends_bytes(bytes([0x62, len(body)]) + body).got == [PubComp(0x1234)]
    assert sub.payloads == [b"x"]


@mqtt("MQTT-3.6.2-1")
@pytest.mark.parametrize("code", ["01", "10", "80", "81", "87", "91", "93", "ff"])
def test_a_pubrel_with_any_other_code_closes_the_connection(engine: World, code: str) -> None:
    # What a receiver makes of such a code is not said: here it is malformed, others let it pass.
    client = engine.client("c").sends(Publish("a", b"x", 2, packet_id=7))
    client.takes()
    client.sends_bytes(bytes.fromhex("6203 0007" + code))
    assert not client.is_connected
    assert client.got == [Disconnect(0x81)]


@mqtt("MQTT-3.6.2-1")
def test_pubrel_says_that_an_id_is_not_known(engine: World) -> None:
    # A server may ignore such a PUBREC, too; but if it answers, this is the code.
    client = engine.client("c").sends(PubRec(4_660))
    assert client.got == [PubRel(4_660, 0x92)]
    assert len(client.reasons) == 1


@edge("Z1")
@mqtt("MQTT-3.6.2-1", "MQTT-3.6.2-2", "MQTT-3.6.2-3")
def test_no_pubrel_is_larger_than_its_client_takes(world: World) -> None:
    client = world.client("c", maximum_packet_size=30).subscribes("a", qos=2)  # it checks what it gets
    world.client("pub").publishes("a", b"x", 2)
    assert client.payloads == [b"x"]
    assert [type(packet) for packet in client.takes()] == [Publish, PubRel]
    client.sends(PubRec(4_660))
    assert client.got in ([], [PubRel(4_660)], [PubRel(4_660, 0x92)])


@edge("Z1")
@mqtt("MQTT-3.6.2-2", "MQTT-3.6.2-3")
def test_pubrel_sheds_its_reason_to_fit(engine: World) -> None:
    size = engine.client("c").sends(PubRec(7)).sizes[-1]
    exact = engine.client("exact", maximum_packet_size=size).sends(PubRec(7))
    smaller = engine.client("smaller", maximum_packet_size=size - 1).sends(PubRec(7))
    assert exact.got == smaller.got == [PubRel(7, 0x92)]
    assert (len(exact.reasons), len(smaller.reasons)) == (1, 0)
