"""Clients that fall silent (section 3.1.2.10)."""

import pytest

from telex.codes import ReasonCode
from telex.engine.options import Options
from telex.wire.encode import encode
from telex.wire.packets import Disconnect, Packet, PingReq, PingResp, PubAck, Publish, Subscribe, SubscriptionRequest
from tests.engine.world import LateGate, World

VERSIONS = pytest.mark.parametrize("version", [3, 4, 5])


@VERSIONS
def test_a_ping_is_answered(world: World, version: int) -> None:  # [MQTT-3.12.4-1]
    assert world.client("c", version=version).sends(PingReq(), PingReq()).got == [PingResp(), PingResp()]


@pytest.mark.parametrize(("version", "told"), [(3, []), (4, []), (5, [Disconnect(ReasonCode.KEEP_ALIVE_TIMEOUT)])])
def test_a_silent_client_is_closed_after_one_and_a_half_times(world: World, version: int, told: list[Packet]) -> None:
    # [MQTT-3.1.2-22], v3 [MQTT-3.1.2-24], A1
    client = world.client("c", version=version, keep_alive=10)
    world.advance(14.9)
    assert client.is_connected
    world.advance(2)
    assert not client.is_connected
    assert client.got == told


@pytest.mark.parametrize("keep_alive", [1, 2, 3, 5, 60, 65_535])
def test_it_is_never_too_early_and_at_most_a_second_late(world: World, keep_alive: int) -> None:  # [MQTT-3.1.2-22], A1
    world.advance(0.3)
    client = world.client("c", keep_alive=keep_alive)
    world.advance(keep_alive * 1.5 - 0.01)
    assert client.is_connected
    world.advance(1.01)
    assert not client.is_connected


@pytest.mark.parametrize("soon", [0.2, 0.5, 0.8, 1.0, 7.9])
def test_the_time_begins_with_the_last_packet(world: World, soon: float) -> None:  # [MQTT-3.1.2-22], A1
    client = world.client("c", keep_alive=10)
    world.advance(soon)
    client.sends(PingReq())
    world.advance(14.99)
    assert client.is_connected
    world.advance(1.01)
    assert not client.is_connected


@pytest.mark.parametrize(
    "packet",
    [
        PingReq(),
        Publish("a", b"x"),
        Publish("a", b"x", qos=1, packet_id=1),
        PubAck(9),
        Subscribe(1, [SubscriptionRequest("a")]),
    ],
    ids=lambda packet: type(packet).__name__,
)
def test_every_packet_is_a_sign_of_life(world: World, packet: Packet) -> None:  # [MQTT-3.1.2-22]
    client = world.client("c", keep_alive=10)
    for _ in range(20):
        world.advance(14)
        client.sends(packet)
    assert client.is_connected
    world.advance(16)
    assert not client.is_connected


def test_half_a_packet_is_no_sign_of_life(world: World) -> None:  # [MQTT-3.1.2-22], A1
    client = world.client("c", keep_alive=10)
    for byte in encode(Publish("a", b"x" * 20), 5):
        if client.is_connected:
            client.sends_bytes(bytes([byte]))
        world.advance(1)
    assert not client.is_connected


def test_what_the_client_gets_is_no_sign_of_life(world: World) -> None:  # [MQTT-3.1.2-22], pain 27
    client = world.client("c", keep_alive=10, acknowledges=False).subscribes("a")
    pub = world.client("pub")
    for _ in range(16):
        pub.publishes("a", b"x")
        world.advance(1)
    assert not client.is_connected


def test_a_keep_alive_of_0_never_ends(world: World) -> None:  # section 3.1.2.10, A1
    client = world.client("c", keep_alive=0)
    world.advance(200_000)
    assert client.is_connected


def test_the_clock_may_stand_still_for_long(world: World) -> None:  # [MQTT-3.1.2-22]: the machine slept
    client = world.client("c", keep_alive=10)
    other = world.client("d", keep_alive=0)
    world.now += 1_000_000
    world.engine.tick(world.now)
    world.flush()
    assert not client.is_connected
    assert other.is_connected


@pytest.mark.parametrize(("wished", "told"), [(0, 30), (31, 30), (65_535, 30), (30, None), (10, None)])
def test_the_broker_may_ask_for_a_shorter_one(wished: int, told: int | None) -> None:
    # [MQTT-3.2.2-21] [MQTT-3.2.2-22] [MQTT-3.1.2-21], A1
    world = World(Options(maximum_keep_alive=30))
    client = world.client("c", keep_alive=wished)
    assert client.said.server_keep_alive == told
    world.advance((told or wished) * 1.5 - 1)
    assert client.is_connected
    world.advance(2)
    assert not client.is_connected


@pytest.mark.parametrize("version", [3, 4])
def test_a_v3_client_cannot_be_told_and_keeps_its_own(version: int) -> None:  # v3 [MQTT-3.1.2-24]
    world = World(Options(maximum_keep_alive=30))
    slow = world.client("slow", version=version, keep_alive=100)
    never = world.client("never", version=version, keep_alive=0)
    world.advance(149)
    assert slow.is_connected
    world.advance(2)
    assert not slow.is_connected
    assert never.is_connected


def test_a_kept_session_survives_the_silence(world: World) -> None:  # [MQTT-3.1.2-22]: "as if the network had failed"
    client = world.client("c", keep_alive=10, session_expiry=60).subscribes("a", qos=1)
    world.advance(16)
    assert not client.is_connected
    world.client("pub").publishes("a", b"x", qos=1)
    assert client.returns().payloads == [b"x"]


def test_what_came_while_the_gate_decided_is_a_sign_of_life() -> None:  # [MQTT-3.1.2-22]
    world = World(Options(connect_timeout=60), gate=LateGate())
    client = world.knocks("c", keep_alive=10)
    world.advance(20)
    client.sends(PingReq())
    world.admits("c")
    world.advance(14)
    assert client.is_connected
    assert client.got[1:] == [PingResp()]


def test_thousands_of_clients_are_watched_each_by_itself(world: World) -> None:  # [MQTT-3.1.2-22]
    clients = [world.client(f"c{number}", version=4, keep_alive=10 + number % 50) for number in range(500)]
    alive = clients[::7]
    for _ in range(12):
        world.advance(9)
        for client in alive:
            client.sends(PingReq())
    assert [client for client in clients if client.is_connected] == alive
    assert world.engine.stats.clients_connected == len(alive)
