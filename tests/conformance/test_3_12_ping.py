"""PINGREQ and PINGRESP (sections 3.12 and 3.13)."""

import pytest

from telex.wire.packets import Disconnect, PingReq, PingResp
from tests.conformance.marks import each_version, mqtt
from tests.engine.world import World

MALFORMED = 0x81


@mqtt("MQTT-3.12.4-1")
@mqtt("MQTT-3.12.4-1", v3=True)
@each_version
def test_pingreq_is_answered(world: World, version: int) -> None:
    client = world.client("c", version=version)
    assert client.sends(PingReq()).takes() == [PingResp()]
    assert client.sends(PingReq(), PingReq()).takes() == [PingResp(), PingResp()]


@mqtt("MQTT-3.12.4-1")
@mqtt("MQTT-3.12.4-1", v3=True)
@each_version
def test_pingreq_keeps_a_quiet_client_alive(engine: World, version: int) -> None:
    client = engine.client("c", version=version, keep_alive=10)
    for _ in range(10):
        engine.advance(10)
        assert client.sends(PingReq()).takes() == [PingResp()]


# Sections 3.12.1 and 3.12.2: it has neither a variable header nor a payload.
@mqtt("MQTT-2.1.3-1", "MQTT-4.13.1-1")
@mqtt("MQTT-2.2.2-2", "MQTT-4.8.0-1", v3=True)
@each_version
@pytest.mark.parametrize("data", ["c1 00", "c8 00", "c0 01 00", "c0 02 00 01"])
def test_a_pingreq_is_two_bytes_and_no_others(world: World, version: int, data: str) -> None:
    client = world.client("c", version=version).sends_bytes(bytes.fromhex(data))
    assert not client.is_connected
    assert client.got in ([], [Disconnect(MALFORMED)])
