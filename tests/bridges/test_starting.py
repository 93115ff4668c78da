"""When a bridge connects: at once, once, or when there is enough to carry; and how long it waits when it is lost."""

import asyncio
from itertools import pairwise
from typing import Final

from tests.bridges.brokers import bridge_to, is_open, line, status, telex_at, until, witness
from tests.client.adversity.proxy import How, Proxy
from tests.processes import free_port

THRESHOLD: Final = 5


async def test_a_lazy_one_connects_when_enough_waits_and_leaves_when_nothing_comes() -> None:
    async with telex_at() as remote:
        topics = (line("up", "out", 2), line("down", "in", 1))
        words = {"start": "lazy", "threshold": THRESHOLD, "idle_timeout": 1.0}
        async with (
            telex_at(bridge_to(remote.port, *topics, **words)) as home,
            witness(home.port, "down") as here,
            witness(remote.port, "up") as there,
        ):
            assert status(home).state == "idle"
            for connections, qos in ((1, 0), (2, 2)):
                for number in range(THRESHOLD - 1):
                    await here.client.publish("up", b"%d" % number, qos=qos)
                await here.client.publish("elsewhere", qos=1)  # behind all of them
                assert (status(home).state, status(home).queued) == ("idle", THRESHOLD - 1)
                assert remote.connection_count == 1
                await here.client.publish("up", b"enough", qos=qos)
                await there.gets(connections * THRESHOLD)
                assert status(home).connections == connections
                await until(lambda: status(home).state == "idle")
                await until(lambda: remote.connection_count == 1)
                assert status(home).queued == 0
                await there.client.publish("down", b"meanwhile", qos=1)  # the next connection brings it
                assert len(here.messages) == connections - 1
            wanted = [b"%d" % number for number in range(THRESHOLD - 1)] + [b"enough"]
            assert there.payloads() == wanted + wanted
            assert here.payloads() == [b"meanwhile"]


async def test_one_that_is_started_once_does_not_come_back() -> None:
    port = free_port()
    topic = line("up", "out", 1)
    once = bridge_to(port, topic, name="once", client_id="once", start="once")
    again = bridge_to(port, topic, name="again", client_id="again")
    async with telex_at(port=port) as remote, telex_at(once, again) as home:
        await is_open(home, "once")
        await is_open(home, "again")
        await remote.stop()
        await until(lambda: status(home, "once").state == "ended")
        async with telex_at(port=port) as remote_again:
            await is_open(home, "again")
            assert status(home, "once").state == "ended"
            assert status(home, "once").connections == 1
            assert [each.client_id for each in remote_again.visits] == ["again"]


async def test_one_that_is_started_once_and_finds_nobody_is_over() -> None:
    async with telex_at(bridge_to(free_port(), line("up", "out", 1), start="once")) as home:
        await until(lambda: status(home).state == "ended")
        assert status(home).connections == 0
        assert status(home).reason


async def test_waits_are_between_the_shortest_and_the_longest() -> None:
    first, most = 0.05, 0.15
    bridge = bridge_to(free_port(), line("up", "out", 1), restart_first=first, restart_most=most)
    waits: set[float] = set()
    async with telex_at(bridge) as home:

        def waits_again() -> bool:
            found = status(home)
            if found.state == "waiting" and found.next_attempt:
                waits.add(found.next_attempt)
                assert found.next_attempt - home.now() <= most
            return len(waits) == 8

        began = home.now()
        await until(waits_again)
    attempts = [began, *sorted(waits)]
    # From one planned attempt to the next one there is a wait, and the attempt itself: it was refused at once.
    # Loops count milliseconds.
    assert all(round(later - earlier, 2) >= first for earlier, later in pairwise(attempts))


async def test_after_a_good_connection_the_wait_is_a_short_one_again() -> None:
    """Waits may grow up to ten minutes, three times with each; the first one is up to three times the shortest."""
    first = 0.03
    async with telex_at() as remote, Proxy(remote.port) as proxy:
        words = {"restart_first": first, "restart_most": 600.0}
        async with telex_at(bridge_to(proxy.port, line("up", "out", 1), **words)) as home:
            for count in range(1, 12):
                await until(lambda count=count: (status(home).state, status(home).connections) == ("open", count))  # type: ignore[misc]
                proxy.cut_now(How.RST)
                await until(lambda: status(home).state == "waiting")
                assert status(home).next_attempt - home.now() <= 3 * first


async def test_a_connection_that_holds_not_long_enough_is_none() -> None:
    """With ``restart_stable`` waits go on growing: each is up to three times as long as the one before."""
    async with telex_at() as remote, Proxy(remote.port) as proxy:
        words = {"restart_first": 0.001, "restart_most": 1_000.0, "restart_stable": 1_000.0}
        async with telex_at(bridge_to(proxy.port, line("up", "out", 1), **words)) as home:

            async def cut() -> None:
                while True:
                    await is_open(home)
                    proxy.cut_now(How.RST)
                    await until(lambda: status(home).state != "open")

            cutting = asyncio.create_task(cut())
            await until(lambda: status(home).next_attempt - home.now() > 0.2)
            cutting.cancel()
