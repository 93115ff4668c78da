"""Whether a bridge is connected is told at both ends, also when it is cut or its broker is gone."""

import asyncio
from pathlib import Path
from typing import Final

import pytest

from tests.bridges.brokers import (
    PAIRS,
    VERSIONS,
    bridge_to,
    broker_at,
    is_open,
    line,
    mosquitto_at,
    telex_at,
    witness,
)
from tests.client.adversity.proxy import How, Proxy
from tests.processes import free_port

STATE: Final = "$SYS/broker/connection/bridge/state"
TOPIC: Final = line("up", "out", 1)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kinds", PAIRS, ids="-".join)
async def test_both_ends_are_told_when_it_comes_and_when_it_is_lost(
    kinds: tuple[str, str], version: str, tmp_path: Path
) -> None:
    home_kind, remote_kind = kinds
    async with broker_at(remote_kind, tmp_path) as remote, Proxy(remote) as proxy, witness(remote, STATE) as there:
        bridge = bridge_to(proxy.port, TOPIC, version=version)
        async with broker_at(home_kind, tmp_path, bridge) as home, witness(home, STATE) as here:
            await here.hears(STATE, b"1")
            await there.hears(STATE, b"1")
            async with witness(remote, STATE) as late, witness(home, STATE) as late_here:
                assert [(each.payload, each.retain) for each in await late.gets()] == [(b"1", True)]
                assert [(each.payload, each.retain) for each in await late_here.gets()] == [(b"1", True)]
            here.messages.clear()
            there.messages.clear()
            proxy.bar(How.RST)
            await here.hears(STATE, b"0")
            await there.hears(STATE, b"0")  # its will
            async with witness(remote, STATE) as late, witness(home, STATE) as late_here:
                assert [(each.payload, each.retain) for each in await late.gets()] == [(b"0", True)]
                assert [(each.payload, each.retain) for each in await late_here.gets()] == [(b"0", True)]
            if home_kind == "telex":  # Mosquitto waits for some seconds
                proxy.restore()
                await here.hears(STATE, b"1")
                await there.hears(STATE, b"1")


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_broker_that_stops_says_so(version: str) -> None:
    async with telex_at() as remote, witness(remote.port, STATE) as there:
        async with telex_at(bridge_to(remote.port, TOPIC, version=version)):
            await there.hears(STATE, b"1")
        await there.hears(STATE, b"0")
        assert there.payloads()[-1] == b"0"


async def test_before_it_is_there_the_first_time_it_is_not() -> None:
    async with telex_at(bridge_to(free_port(), TOPIC)) as home, witness(home.port, STATE) as here:
        assert [each.payload for each in await here.gets()] == [b"0"]


async def test_here_alone() -> None:
    async with telex_at() as remote:
        bridge = bridge_to(remote.port, TOPIC, notifications_local_only=True)
        async with (
            telex_at(bridge) as home,
            witness(home.port, STATE) as here,
            witness(remote.port, "$SYS/#", "#") as there,
        ):
            await here.hears(STATE, b"1")
            await here.client.publish("up", b"last", qos=1)
            await there.hears("up", b"last")
            assert there.story == [("up", b"last")]


async def test_nowhere() -> None:
    async with telex_at() as remote, Proxy(remote.port) as proxy:
        bridge = bridge_to(proxy.port, TOPIC, notifications=False)
        async with (
            telex_at(bridge) as home,
            witness(home.port, "$SYS/#", "#") as here,
            witness(remote.port, "$SYS/#", "#") as there,
        ):
            await is_open(home)
            proxy.cut_now(How.RST)
            await here.client.publish("up", b"last", qos=1)
            await there.hears("up", b"last")
            await here.hears("up", b"last")
            assert here.story == there.story == [("up", b"last")]


async def test_at_a_topic_of_its_own() -> None:
    async with telex_at() as remote, Proxy(remote.port) as proxy:
        bridge = bridge_to(proxy.port, TOPIC, notification_topic="bridges/cloud")
        async with (
            telex_at(bridge) as home,
            witness(home.port, "$SYS/#", "#") as here,
            witness(remote.port, "$SYS/#", "#") as there,
        ):
            await there.hears("bridges/cloud", b"1")
            await here.hears("bridges/cloud", b"1")
            proxy.bar(How.RST)
            await there.hears("bridges/cloud", b"0")
            await here.hears("bridges/cloud", b"0")
            assert {each.topic for each in (*here.messages, *there.messages)} == {"bridges/cloud"}


def test_mosquitto_that_ends_leaves_word_with_telex(tmp_path: Path) -> None:
    async def tell() -> None:
        async with telex_at() as remote, witness(remote.port, STATE) as there:
            with mosquitto_at(tmp_path, bridge_to(remote.port, TOPIC, version="3.1.1")):
                await there.hears(STATE, b"1")
            await there.hears(STATE, b"0")

    asyncio.run(tell())
