"""``kill -9`` of either broker, under load in both directions: what was acknowledged is there, and at QoS 2 once."""

import asyncio
from pathlib import Path
from typing import Any, Final

import pytest

import telex
from tests.bridges.brokers import READY, Witness, bridge_to, line, says_ready, witness
from tests.bridges.lasting import Lasting, lasting

KILLS: Final = 3
BETWEEN: Final = 150
"""Messages that are acknowledged in each direction between two kills."""
AHEAD: Final = 100

KEPT: Final[dict[str, Any]] = {"session_expiry_interval": 3_600.0, "keep_alive": 0}


class Load:
    """Somebody who publishes without a pause, but no more than ``AHEAD`` messages ahead of somebody else.

    Args:
        client: who.
        topic: where.
        qos: of each message.
        news: of all that is acknowledged to either.
    """

    def __init__(self, client: telex.Client, topic: str, qos: int, news: asyncio.Condition) -> None:
        self.client = client
        self.topic = topic
        self.published = 0
        self.acknowledged = 0
        self._qos = qos
        self._news = news
        self._is_over = False

    async def run(self, other: "Load") -> None:
        """Publish until it is over, twenty at a time; then all is acknowledged."""
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(self._publish(other))

    async def _publish(self, other: "Load") -> None:
        while not self._is_over:
            payload = b"%d" % self.published
            self.published += 1
            await self.client.publish(self.topic, payload, qos=self._qos)
            self.acknowledged += 1
            async with self._news:
                self._news.notify_all()
                await self._news.wait_for(lambda: self._is_over or self.acknowledged < other.acknowledged + AHEAD)

    async def ends(self) -> None:
        """What is begun is finished."""
        self._is_over = True
        async with self._news:
            self._news.notify_all()


async def tell(victim: Lasting, here: Witness, there: Witness, qos: int) -> None:
    """Kill a broker again and again; then see what came."""
    news = asyncio.Condition()
    up, down = Load(here.client, "up/x", qos, news), Load(there.client, "down/x", qos, news)

    async def enough(count: int) -> None:
        async with news:
            await news.wait_for(lambda: min(up.acknowledged, down.acknowledged) >= count)

    running = [asyncio.create_task(up.run(down)), asyncio.create_task(down.run(up))]
    for number in range(1, KILLS + 1):
        await enough(number * BETWEEN)
        victim.end()
        await asyncio.to_thread(victim.start)
    await up.ends()
    await down.ends()
    await asyncio.gather(*running)
    for load, target in ((up, there), (down, here)):
        await target.until(lambda each=target, load=load: len(set(each.payloads(load.topic))) == load.published)  # type: ignore[misc]
        await load.client.publish(load.topic, b"last", qos=qos)
        await target.hears(load.topic, b"last")
        found = target.payloads(load.topic)[:-1]
        wanted = {b"%d" % number for number in range(load.published)}
        assert set(found) == wanted, f"lost: {wanted - set(found)}"
        if qos == 2:
            assert len(found) == len(wanted), f"twice: {sorted(each for each in wanted if found.count(each) > 1)}"


# Mosquitto itself does not promise to survive that; nor does its bridge ask for a session that lasts with MQTT 5.
CASES: Final = [
    ("telex", "telex", "home", "5.0", 1),
    ("telex", "telex", "home", "5.0", 2),
    ("telex", "telex", "home", "3.1.1", 2),
    ("telex", "telex", "remote", "5.0", 1),
    ("telex", "telex", "remote", "5.0", 2),
    ("telex", "telex", "remote", "3.1.1", 2),
    ("telex", "mosquitto", "home", "5.0", 2),
    ("mosquitto", "telex", "remote", "3.1.1", 2),
]


@pytest.mark.parametrize(("home_kind", "remote_kind", "victim", "version", "qos"), CASES)
def test_a_broker_is_killed_under_load(
    home_kind: str, remote_kind: str, victim: str, version: str, qos: int, tmp_path: Path
) -> None:
    topics = (line("up/#", "out", qos), line("down/#", "in", qos), READY)

    async def both() -> None:
        with (
            lasting(remote_kind, tmp_path / "remote") as remote,
            lasting(home_kind, tmp_path / "home", bridge_to(remote.port, *topics, version=version)) as home,
        ):
            async with (
                witness(home.port, "down/#", "ready", client_id="here", **KEPT) as here,
                witness(remote.port, "up/#", client_id="there", **KEPT) as there,
            ):
                await says_ready(remote.port)
                await here.hears("ready", b"yes")
                await tell({"home": home, "remote": remote}[victim], here, there, qos)

    asyncio.run(both())
