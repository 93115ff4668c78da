"""What goes over a bridge, and what does not: each direction, QoS and prefix, in each version, between Telex and
Debian's Mosquitto in both roles."""

from collections import defaultdict
from pathlib import Path
from typing import Literal

import pytest

from telex.server.config import BridgeTopic
from tests.bridges.brokers import (
    KINDS,
    PAIRS,
    VERSIONS,
    Witness,
    bridge_to,
    bridged,
    broker_at,
    is_open,
    line,
    status,
    telex_at,
    until,
    witness,
)
from tests.client.adversity.proxy import How, Proxy
from tests.processes import free_port

WAYS: tuple[Literal["out", "in", "both"], ...] = ("out", "in", "both")
PREFIXES = {"plain": ("", ""), "here": ("L/", ""), "there": ("", "R/"), "two": ("L/of/", "R/")}
COUNT = 3

Crossing = tuple[BridgeTopic, str, str]
"""A line of the bridge, a topic of it here, and the same topic there."""

Told = dict[tuple[str, int], list[bytes]]
"""Payloads in order, by topic and the QoS with which they came."""


def crossings() -> list[Crossing]:
    """A line for each direction, QoS and way to rename."""
    found: list[Crossing] = []
    for way in WAYS:
        for qos in range(3):
            for name, (local, remote) in PREFIXES.items():
                pattern = f"{name}/{way}/{qos}"
                said = line(f"{pattern}/#", way, qos, local_prefix=local, remote_prefix=remote)
                found.append((said, f"{local}{pattern}/a/b", f"{remote}{pattern}/a/b"))
            one = (f"here/alone/{way}/{qos}", f"there/alone/{way}/{qos}")
            found.append((line("", way, qos, local_prefix=one[0], remote_prefix=one[1]), *one))
    return found


def told(witness: Witness) -> Told:
    found: Told = defaultdict(list)
    for message in witness.messages:
        found[(message.topic, message.qos)].append(message.payload)
    return found


async def publish(witness: Witness, topics: list[str]) -> None:
    """Publish to each topic at each QoS, and say in the payload at which."""
    for qos in range(3):
        messages = [(topic, f"{topic} {qos} {number}") for topic in topics for number in range(COUNT)]
        await witness.client.publish_many(messages, qos=qos)


def expected(topics: dict[str, tuple[str, int]]) -> Told:
    """What comes of it.

    Args:
        topics: where each was published, and as which topic and with which highest QoS it comes.
    """
    found: Told = defaultdict(list)
    for published, (topic, most) in topics.items():
        for qos in range(3):
            found[(topic, min(qos, most))] += [f"{published} {qos} {number}".encode() for number in range(COUNT)]
    return found


async def settled(near: Witness, at_near: Told, far: Witness, at_far: Told) -> None:
    """Wait until all that is expected came, and then what is published last: nothing more is on its way."""
    await near.gets(sum(map(len, at_near.values())))
    await far.gets(sum(map(len, at_far.values())))
    await near.client.publish("last", b"of all", qos=2)
    await far.hears("last", b"of all")
    for told_of in (at_near, at_far):
        told_of[("last", 2)] = [b"of all"]


def other_than(wanted: Told, witness: Witness) -> dict[tuple[str, int], tuple[list[bytes], list[bytes]]]:
    """Where something else came: what, and what is right."""
    found = told(witness)
    return {each: (found[each], wanted[each]) for each in {*found, *wanted} if found[each] != wanted[each]}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kinds", PAIRS, ids="-".join)
async def test_messages_go_the_ways_that_the_topics_say(kinds: tuple[str, str], version: str, tmp_path: Path) -> None:
    ways = crossings()
    last = line("last", "both", 2)
    async with bridged(kinds, tmp_path, *(each for each, _, _ in ways), last, version=version) as (here, there):
        at_home = expected({local: (local, 2) for _, local, _ in ways})
        at_remote = expected({local: (remote, said.qos) for said, local, remote in ways if said.direction != "in"})
        await publish(here, [local for _, local, _ in ways])
        await settled(here, at_home, there, at_remote)
        assert (other_than(at_home, here), other_than(at_remote, there)) == ({}, {})
        here.messages.clear()
        there.messages.clear()

        at_remote = expected({remote: (remote, 2) for _, _, remote in ways})
        at_home = expected({remote: (local, said.qos) for said, local, remote in ways if said.direction != "out"})
        await publish(there, [remote for _, _, remote in ways])
        await settled(there, at_remote, here, at_home)
        assert (other_than(at_remote, there), other_than(at_home, here)) == ({}, {})


MANY = 100  # more than Mosquitto has in flight


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kinds", [pair for pair in PAIRS if "telex" in pair], ids="-".join)
async def test_many_at_once_come_in_order(kinds: tuple[str, str], version: str, qos: int, tmp_path: Path) -> None:
    """Before MQTT 5 nobody says how much may be in flight: Mosquitto takes 20 messages of QoS 2, and no more."""
    topics = (line("up/#", "out", qos), line("down/#", "in", qos))
    async with bridged(kinds, tmp_path, *topics, version=version) as (here, there):
        wanted = [b"%d" % number for number in range(MANY)]
        await here.client.publish_many([("up/a", payload) for payload in wanted], qos=qos)
        await there.client.publish_many([("down/a", payload) for payload in wanted], qos=qos)
        await there.until(lambda: wanted[-1] in there.payloads("up/a"))
        await here.until(lambda: wanted[-1] in here.payloads("down/a"))
        assert (there.payloads("up/a"), here.payloads("down/a")) == (wanted, wanted)


@pytest.mark.parametrize("kinds", PAIRS, ids="-".join)
async def test_what_mqtt_5_says_of_a_message_goes_along(kinds: tuple[str, str], tmp_path: Path) -> None:
    topics = (line("up", "out", 1), line("down", "in", 1))
    async with bridged(kinds, tmp_path, *topics, version="5.0") as (here, there):
        for source, topic, target in ((here, "up", there), (there, "down", here)):
            await source.client.publish(
                topic,
                "text",
                qos=1,
                content_type="text/plain",
                message_expiry_interval=1_000,
                response_topic="answers/here",
                correlation_data=b"\x00\xff",
                payload_format_indicator=1,
                user_properties=[("a", "1"), ("a", "2")],
            )
            await target.hears(topic, b"text")
            [message] = [each for each in target.messages if each.topic == topic]
            assert message.content_type == "text/plain"
            assert message.message_expiry_interval is not None
            assert 900 < message.message_expiry_interval <= 1_000
            assert message.response_topic == "answers/here"
            assert message.correlation_data == b"\x00\xff"
            assert message.payload_format_indicator == 1
            assert [each for each in message.user_properties if each[0] == "a"] == [("a", "1"), ("a", "2")]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("remote_kind", KINDS)
async def test_what_is_retained_at_one_end_is_retained_at_the_other(
    remote_kind: str, version: str, tmp_path: Path
) -> None:
    port = free_port()
    topics = (line("up/#", "out", 1), line("down/#", "in", 1))
    async with telex_at(bridge_to(port, *topics, version=version)) as home, witness(home.port) as here:
        await here.client.publish("up/before", b"1", qos=1, retain=True)
        async with broker_at(remote_kind, tmp_path, port=port), witness(port) as there:
            await there.hears("up/before", b"1")
            await here.client.publish("up/during", b"2", qos=1, retain=True)
            await there.client.publish("down/during", b"3", qos=1, retain=True)
            await there.hears("up/during", b"2")
            await here.hears("down/during", b"3")
            async with witness(port) as late, witness(home.port) as late_here:
                await late.hears("up/during", b"2")
                await late.hears("up/before", b"1")
                await late_here.hears("down/during", b"3")
                assert {each.topic: each.retain for each in late.messages} == {
                    "up/before": True,
                    "up/during": True,
                    "down/during": True,
                }
            await here.client.publish("up/before", b"", qos=1, retain=True)
            await there.client.publish("down/during", b"", qos=1, retain=True)
            await there.hears("up/before", b"")
            await here.hears("down/during", b"")
            async with witness(port) as late, witness(home.port) as late_here:
                await late.gets()
                await late_here.gets()
                assert late.story == [("up/during", b"2")]
                assert late_here.story == [("up/during", b"2")]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("remote_kind", KINDS)
async def test_a_retained_message_of_qos_0_that_was_missed_comes_with_the_next_connection(
    remote_kind: str, version: str, tmp_path: Path
) -> None:
    async with broker_at(remote_kind, tmp_path) as remote, Proxy(remote) as proxy:
        async with (
            telex_at(bridge_to(proxy.port, line("up/#", "out", 0), version=version)) as home,
            witness(home.port, "nothing") as here,
            witness(remote, "up/#") as there,
        ):
            await is_open(home)
            await here.client.publish("up/a", b"first", retain=True)
            await there.hears("up/a", b"first")
            proxy.bar(How.RST)
            await until(lambda: status(home).state != "open")
            await here.client.publish("up/a", b"second", retain=True)
            await here.client.publish("up/b", b"gone", qos=0)
            await here.client.publish("elsewhere", qos=1)  # behind both
            proxy.restore()
            await there.hears("up/a", b"second")
            assert there.payloads("up/b") == []
