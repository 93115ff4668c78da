"""SUBACK: its codes, their order, and what it must not be too large for (section 3.9)."""

import pytest

from telex.engine.permissions import Permissions
from telex.wire.packets import SubAck, Subscribe
from telex.wire.packets import SubscriptionRequest as Request
from tests.conformance.conftest import MakeWorld
from tests.conformance.marks import each_version, mqtt
from tests.engine.world import OneRule, World

NOT_AUTHORIZED = 0x87
NOT_FOR_V3 = 0x80


class NoSecrets(Permissions):
    """Allows everything but to hear secrets."""

    def may_subscribe(self, topic_filter: str) -> bool:
        return not topic_filter.startswith("secret")


@mqtt("MQTT-3.9.3-1", "MQTT-3.8.4-6", "MQTT-3.8.4-7")
@mqtt("MQTT-3.9.3-1", "MQTT-3.8.4-5", v3=True)
@each_version
def test_codes_stand_in_the_order_of_the_filters(world: World, version: int) -> None:
    requests = [Request("a", 2), Request("b/#", 0), Request("+", 1), Request("a/b", 0), Request("c", 2)]
    client = world.client("c", version=version).sends(Subscribe(7, requests))
    assert client.takes() == [SubAck(7, [2, 0, 1, 0, 2])]
    assert client.sends(Subscribe(8, requests[::-1])).takes() == [SubAck(8, [2, 0, 1, 0, 2])]


@mqtt("MQTT-3.8.4-6", "MQTT-3.9.3-1")
@mqtt("MQTT-3.8.4-5", "MQTT-3.9.3-1", v3=True)
@each_version
def test_the_same_filter_twice_has_two_codes(world: World, version: int) -> None:
    client = world.client("c", version=version).sends(Subscribe(7, [Request("a", 1), Request("a", 2)]))
    assert client.takes() == [SubAck(7, [1, 2])]


@mqtt("MQTT-3.8.4-7", "MQTT-3.9.3-1", "MQTT-3.9.3-2")
def test_a_refusal_stands_at_the_place_of_its_filter(make_world: MakeWorld) -> None:
    world = make_world(gate=OneRule(NoSecrets()))
    requests = [Request("a", 1), Request("secret", 1), Request("b", 2), Request("secret/#", 0)]
    client = world.client("c").sends(Subscribe(1, requests))
    assert client.takes() == [SubAck(1, [1, NOT_AUTHORIZED, 2, NOT_AUTHORIZED])]
    world.client("pub").publishes("a", b"x").publishes("secret", b"y").publishes("secret/z", b"y")
    assert client.payloads == [b"x"]


@mqtt("MQTT-3.8.4-5", "MQTT-3.9.3-1", "MQTT-3.9.3-2", v3=True)
def test_before_v5_there_is_one_code_for_a_refusal(make_world: MakeWorld) -> None:
    world = make_world(gate=OneRule(NoSecrets()))
    client = world.client("c", version=4).sends(Subscribe(1, [Request("a", 1), Request("secret", 2), Request("b", 0)]))
    assert client.takes() == [SubAck(1, [1, NOT_FOR_V3, 0])]
    world.client("pub").publishes("a", b"x").publishes("secret", b"y")
    assert client.payloads == [b"x"]


@mqtt("MQTT-3.9.3-2")
@mqtt("MQTT-3.9.3-2", v3=True)
@each_version
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_suback_has_a_byte_for_each_filter_and_no_more(world: World, version: int, qos: int) -> None:
    # The client's decoder refuses every code that is not in the table of section 3.9.3.
    requests = [Request(f"a/{number}", qos) for number in range(200)]
    client = world.client("c", version=version).sends(Subscribe(1, requests))
    assert client.got == [SubAck(1, [qos] * 200)]
    properties = 1 if version == 5 else 0  # the byte of their length, which is zero
    assert client.sizes[-1] == 3 + 2 + properties + 200


@mqtt("MQTT-3.9.2-1", "MQTT-3.9.2-2")
def test_a_suback_fits_a_client_that_takes_small_packets_only(make_world: MakeWorld) -> None:
    world = make_world(gate=OneRule(NoSecrets()))
    topic_filter = f"secret/{'x' * 100}"
    client = world.client("c", maximum_packet_size=60).sends(Subscribe(1, [Request(topic_filter)]))
    assert client.got == [SubAck(1, [NOT_AUTHORIZED])]  # whose sizes the client checks
    assert client.reasons == []
    other = world.client("d", maximum_packet_size=1_000).sends(Subscribe(1, [Request(topic_filter)]))
    assert other.got == [SubAck(1, [NOT_AUTHORIZED])]
    assert len(other.reasons) == 1


@mqtt("MQTT-3.9.2-1", "MQTT-3.9.2-2")
def test_so_does_a_suback_that_grants(world: World) -> None:
    # 30 bytes, or CONNACK would not fit.
    client = world.client("c", maximum_packet_size=30).sends(Subscribe(1, [Request("a"), Request("b", 2)]))
    assert client.got == [SubAck(1, [0, 2])]
    assert client.sizes[-1] <= 30
