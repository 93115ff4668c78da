"""Brokers that are connected by more than one way carry each message once: rings, and two bridges side by side."""

from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import telex
from telex.server.config import Bridge
from tests.bridges.brokers import (
    Witness,
    bridge_to,
    broker_at,
    is_open,
    line,
    status,
    subscribed,
    telex_at,
    until,
    witness,
)
from tests.processes import free_port

COUNT = 20


async def check(witnesses: list[Witness], qos: int) -> None:
    """All publish; each message comes to everybody once."""
    for who, each in enumerate(witnesses):
        await each.client.publish_many([("all/of/us", f"{who} {number}") for number in range(COUNT)], qos=qos)
    total = len(witnesses) * COUNT
    for each in witnesses:
        await each.until(lambda found=each: len(set(found.payloads())) >= total)  # type: ignore[misc]
    # What a broker passes on goes before what its own clients publish later, on each way that leaves it.
    for who, each in enumerate(witnesses):
        await each.client.publish("all/of/us", f"last of {who}", qos=qos)
    for each in witnesses:
        for who in range(len(witnesses)):
            await each.hears("all/of/us", f"last of {who}".encode())
    for each in witnesses:
        counts = Counter(each.payloads())
        assert len(counts) == total + len(witnesses)
        assert set(counts.values()) == {1}, {payload: count for payload, count in counts.items() if count > 1}


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("count", [3, 4])
async def test_a_ring_carries_each_message_once(count: int, qos: int) -> None:
    ports = [free_port() for _ in range(count)]
    async with AsyncExitStack() as stack:
        brokers, witnesses = [], []
        for index, port in enumerate(ports):
            bridge = bridge_to(ports[(index + 1) % count], line("#", "both", qos), client_id=f"from-{index}")
            brokers.append(await stack.enter_async_context(telex_at(bridge, port=port)))
        for broker in brokers:
            await is_open(broker)
        for index, broker in enumerate(brokers):
            await subscribed(broker, f"from-{(index - 1) % count}")
            witnesses.append(await stack.enter_async_context(witness(broker.port)))
        await check(witnesses, qos)
        assert sum(status(broker).looped for broker in brokers) > 0


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_two_bridges_between_the_same_two(qos: int) -> None:
    """Both lead the same way, and share topics."""
    async with telex_at() as remote:
        first = bridge_to(remote.port, line("#", "both", qos), name="first", client_id="first")
        second = bridge_to(remote.port, line("all/#", "both", qos), name="second", client_id="second")
        async with telex_at(first, second) as home:
            for name in ("first", "second"):
                await is_open(home, name)
                await subscribed(remote, name)
            async with witness(home.port) as here, witness(remote.port) as there:
                await check([here, there], qos)


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_two_that_have_a_bridge_to_each_other(qos: int) -> None:
    ports = [free_port(), free_port()]
    bridges: list[Bridge] = [bridge_to(port, line("#", "both", qos), client_id=f"to-{port}") for port in ports]
    async with telex_at(bridges[1], port=ports[0]) as one, telex_at(bridges[0], port=ports[1]) as other:
        await subscribed(other, f"to-{ports[1]}")
        await subscribed(one, f"to-{ports[0]}")
        async with witness(one.port) as here, witness(other.port) as there:
            await check([here, there], qos)


@pytest.mark.parametrize("version", ["3.1.1", "5.0"])
@pytest.mark.parametrize("remote_kind", ["telex", "mosquitto"])
async def test_what_came_over_a_bridge_does_not_go_back(remote_kind: str, version: str, tmp_path: Path) -> None:
    async with broker_at(remote_kind, tmp_path) as remote:
        async with (
            telex_at(bridge_to(remote, line("#", "both", 1), version=version)) as home,
            witness(home.port) as here,
            witness(remote) as there,
        ):
            await there.client.publish("ready", b"yes", qos=1, retain=True)
            await here.hears("ready", b"yes")
            here.messages.clear()
            there.messages.clear()
            await check([here, there], 1)
            # The remote does not even send it: what comes is what its own client published.
            assert (status(home).messages_received, status(home).looped) == (1 + COUNT + 1, 0)


async def test_a_ring_with_a_broker_that_knows_nothing_of_it_comes_to_an_end(tmp_path: Path) -> None:
    """Two Telex and a Mosquitto: it passes on what is written on messages, and takes in each copy."""
    ways = 3
    topic = line("#", "both", 1)
    async with broker_at("mosquitto", tmp_path) as third:
        async with telex_at(bridge_to(third, topic, client_id="one")) as one:
            first = bridge_to(third, topic, name="first", client_id="other")
            second = bridge_to(one.port, topic, name="second", client_id="second")
            async with (
                telex_at(first, second) as other,
                witness(one.port) as a,
                witness(other.port) as b,
                witness(third) as c,
            ):
                for said in ("one is ready", "other is ready"):
                    await c.client.publish("ready", said, qos=1, retain=True)
                    await a.hears("ready", said.encode())
                    await b.hears("ready", said.encode())
                for each in (a, b, c):
                    await each.client.publish("all/of/us", f"from {id(each)}", qos=1)
                for each in (a, b, c):
                    await each.client.publish("all/of/us", f"last of {id(each)}", qos=1)
                for each in (a, b, c):
                    for source in (a, b, c):
                        await each.hears("all/of/us", f"last of {id(source)}".encode())
                for each in (a, b, c):
                    counts = Counter(each.payloads("all/of/us"))
                    assert len(counts) == 6
                    assert max(counts.values()) <= ways


async def test_a_message_passes_no_more_brokers_than_the_description_says() -> None:
    """Four brokers in a row; ``max_hops`` lets it come to the third."""
    ports = [free_port() for _ in range(4)]
    async with AsyncExitStack() as stack:
        brokers: list[telex.Broker] = []
        for index in reversed(range(4)):
            bridges = []
            if index < 3:
                bridges.append(bridge_to(ports[index + 1], line("a/#", "out", 1), client_id=f"{index}", max_hops=2))
            brokers.insert(0, await stack.enter_async_context(telex_at(*bridges, port=ports[index])))
        for broker in brokers[:3]:
            await is_open(broker)
        first, third, fourth = [
            await stack.enter_async_context(witness(brokers[index].port, "a/#")) for index in (0, 2, 3)
        ]
        await first.client.publish("a/b", b"far", qos=1)
        await third.hears("a/b", b"far")
        await until(lambda: status(brokers[2]).looped == 1)
        await third.client.publish("a/b", b"near", qos=1)
        await fourth.hears("a/b", b"near")
        assert fourth.payloads() == [b"near"]
