"""The link of a bridge is cut at every packet, in both directions: nothing is lost, and at QoS 2 nothing comes twice.

``tests/engine/test_bridge_cuts.py`` tells the same without sockets, of every packet and every death. Here the link is a
TCP proxy that knows where packets end. In each round it makes way for a new connection, and for so many of its packets.
"""

import asyncio
from pathlib import Path
from typing import Final

import pytest

from tests.bridges.brokers import VERSIONS, Witness, bridge_to, broker_at, line, telex_at, witness
from tests.bridges.brokers import until as until_so
from tests.client.adversity.proxy import TO_BROKER, TO_CLIENT, Cut, Direction, How, Proxy

COUNT: Final = 3
"""Messages in each direction and round."""

# CONNECT, UNSUBSCRIBE of what goes out and SUBSCRIBE of what comes in, its state, and what QoS 2 takes both ways.
PACKETS: Final = 4 + 4 * COUNT
"""What crosses in each direction at QoS 2 when nothing goes wrong; no fewer, as each round begins with a connection."""


class Knife(Proxy):
    """A proxy that is told of cuts while it runs."""

    def begin_anew(self, direction: Direction, number: int, how: How) -> None:
        """Cut what is there; and the next connection, when so many more packets went in a direction."""
        self.cut_now(how)
        self.waiting_cuts.append(Cut(direction, self._counts[direction] + number, True, how))


async def publish(near: Witness, far: Witness, first: int, qos: int) -> None:
    """The messages of a round, in both directions at a time."""
    for number in range(first, first + COUNT):
        await asyncio.gather(
            near.client.publish("up/x", b"%d" % number, qos=qos), far.client.publish("down/x", b"%d" % number, qos=qos)
        )


def check(found: list[bytes], count: int, qos: int) -> None:
    wanted = [b"%d" % number for number in range(count)]
    if qos == 1:  # the first of each, in order
        found = list(dict.fromkeys(found))
    assert found == wanted


async def cut_everywhere(
    knife: Knife, here: Witness, there: Witness, qos: int, cuts: list[tuple[Direction, int]]
) -> None:
    """Round after round; in the end all that was published has come."""
    count = 0
    for index, (direction, number) in enumerate(cuts):
        knife.begin_anew(direction, number, (How.FIN, How.RST)[index % 2])
        await publish(here, there, count, qos)
        count += COUNT
        await until_so(lambda: not knife.waiting_cuts)
    await here.until(lambda: len(set(here.payloads())) == count)
    await there.until(lambda: len(set(there.payloads())) == count)
    # What is published now goes behind all that is on its way.
    await publish(here, there, count, qos)
    count += COUNT
    await here.hears("down/x", b"%d" % (count - 1))
    await there.hears("up/x", b"%d" % (count - 1))
    check(here.payloads(), count, qos)
    check(there.payloads(), count, qos)


def everywhere(qos: int) -> list[tuple[Direction, int]]:
    """After each packet of a connection, in each direction."""
    most = PACKETS if qos == 2 else 4 + 2 * COUNT
    return [(direction, number) for number in range(1, most + 1) for direction in (TO_BROKER, TO_CLIENT)]


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("remote_kind", ["telex", "mosquitto"])
async def test_telexs_bridge_is_cut_after_each_packet(remote_kind: str, version: str, qos: int, tmp_path: Path) -> None:
    topics = (line("up/#", "out", qos), line("down/#", "in", qos))
    async with broker_at(remote_kind, tmp_path) as remote, Knife(remote) as knife:
        bridge = bridge_to(knife.port, *topics, version=version)
        async with (
            telex_at(bridge) as home,
            witness(home.port, "down/#") as here,
            witness(remote, "up/#") as there,
        ):
            await until_so(lambda: "SUBACK" in knife.names(TO_CLIENT))
            await cut_everywhere(knife, here, there, qos, everywhere(qos))


def test_mosquittos_bridge_is_cut_amid_its_messages(tmp_path: Path) -> None:
    """It waits for some seconds before it comes back: one cut. With MQTT 5 it would ask for no session that lasts."""

    async def tell() -> None:
        topics = (line("up/#", "out", 2), line("down/#", "in", 2))
        async with telex_at() as remote, Knife(remote.port, Cut(TO_CLIENT, 9, True, How.RST)) as knife:
            async with (
                broker_at("mosquitto", tmp_path, bridge_to(knife.port, *topics, version="3.1.1")) as home,
                witness(home, "down/#") as here,
                witness(remote.port, "up/#") as there,
            ):
                await until_so(lambda: "SUBACK" in knife.names(TO_CLIENT))
                await publish(here, there, 0, 2)
                await until_so(lambda: not knife.waiting_cuts)
                await publish(here, there, COUNT, 2)
                await here.hears("down/x", b"%d" % (2 * COUNT - 1))
                await there.hears("up/x", b"%d" % (2 * COUNT - 1))
                check(here.payloads(), 2 * COUNT, 2)
                check(there.payloads(), 2 * COUNT, 2)

    asyncio.run(tell())
