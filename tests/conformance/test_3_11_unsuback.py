"""UNSUBACK: its codes, their order, and its size (section 3.11)."""

import pytest

from telex.wire.packets import UnsubAck, Unsubscribe
from tests.conformance.marks import each_version, mqtt
from tests.engine.world import World

NONE_EXISTED = 0x11


@mqtt("MQTT-3.11.3-1", "MQTT-3.11.3-2")
def test_codes_stand_in_the_order_of_the_filters(world: World) -> None:
    client = world.client("c").subscribes("a", "c/#", "$share/g/d")
    client.sends(Unsubscribe(0x1234, ["x", "a", "c/+", "c/#", "a", "$share/g/d", "d"]))
    assert client.takes() == [UnsubAck(0x1234, [NONE_EXISTED, 0, NONE_EXISTED, 0, NONE_EXISTED, 0, NONE_EXISTED])]


@mqtt("MQTT-3.11.3-2")
def test_there_is_a_code_for_each_of_many_filters(world: World) -> None:
    # The client's decoder refuses every code that is not in the table of section 3.11.3.
    topic_filters = [f"a/{number}" for number in range(200)]
    client = world.client("c").subscribes(*topic_filters[::2]).sends(Unsubscribe(1, topic_filters))
    assert client.takes() == [UnsubAck(1, [0, NONE_EXISTED] * 100)]
    assert client.sizes[-1] == 3 + 2 + 1 + 200


# v3 section 3.11.3: it has no payload.
@mqtt("MQTT-3.10.4-4", v3=True)
@pytest.mark.parametrize("topic_filters", [["a"], ["a", "b"], ["x"]])
def test_before_v5_it_is_a_packet_id_and_nothing_else(world: World, topic_filters: list[str]) -> None:
    client = world.client("c", version=4).subscribes("a", "b").sends(Unsubscribe(0x1234, topic_filters))
    assert client.takes() == [UnsubAck(0x1234)]
    assert client.sizes[-1] == 4


@mqtt("MQTT-3.11.2-1", "MQTT-3.11.2-2")
def test_it_fits_a_client_that_takes_small_packets_only(world: World) -> None:
    # 30 bytes, or CONNACK would not fit; the client checks the size of whatever comes.
    client = world.client("c", maximum_packet_size=30).sends(Unsubscribe(1, ["x" * 100, "y" * 100]))
    assert client.got == [UnsubAck(1, [NONE_EXISTED, NONE_EXISTED])]
    assert client.sizes[-1] <= 30


@each_version
def test_it_leaves_the_other_subscriptions_where_they_are(world: World, version: int) -> None:
    client = world.client("c", version=version).subscribes("a", "b").unsubscribes("a")
    world.client("pub").publishes("a", b"x").publishes("b", b"y")
    assert client.payloads == [b"y"]
