"""A remote with several addresses: which one a bridge goes to, and when it goes back."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import telex
from telex.server.config import Bridge
from tests.bridges.brokers import address_of, bridge_to, line, status, subscribed, telex_at, until, witness
from tests.client.adversity.proxy import How, Proxy
from tests.processes import free_port

NEVER: Final = {"restart_first": 1_000.0, "restart_most": 1_000.0}
TOPICS: Final = (line("up", "out", 1), line("down", "in", 1))


class Remotes:
    """Brokers that come and go, each at an address of its own."""

    def __init__(self, count: int) -> None:
        self.ports = [free_port() for _ in range(count)]
        self.addresses = [address_of(port) for port in self.ports]
        self.brokers: dict[int, telex.Broker] = {}
        self._stacks: dict[int, AsyncExitStack] = {}

    async def comes(self, index: int) -> None:
        stack = self._stacks[index] = AsyncExitStack()
        self.brokers[index] = await stack.enter_async_context(telex_at(port=self.ports[index]))

    async def goes(self, index: int) -> None:
        del self.brokers[index]
        await self._stacks.pop(index).aclose()

    async def close(self) -> None:
        for index in list(self.brokers):
            await self.goes(index)


@asynccontextmanager
async def remotes(count: int, *there: int) -> AsyncIterator[Remotes]:
    """So many of them; some are there."""
    made = Remotes(count)
    try:
        for index in there:
            await made.comes(index)
        yield made
    finally:
        await made.close()


async def is_at(home: telex.Broker, brokers: Remotes, index: int, name: str = "bridge") -> None:
    """Wait until the bridge is open there."""
    address = brokers.addresses[index]
    await until(lambda: (status(home, name).state, status(home, name).address) == ("open", address))


async def test_when_the_first_is_not_there_the_next_is_tried_at_once() -> None:
    async with (
        remotes(3, 2) as all_of_them,
        telex_at(bridge_to(0, *TOPICS, addresses=all_of_them.addresses, **NEVER)) as home,
    ):
        await is_at(home, all_of_them, 2)
        assert status(home).connections == 1


async def test_it_goes_back_to_the_first_as_soon_as_that_is_there() -> None:
    async with (
        remotes(2, 0, 1) as both,
        telex_at(bridge_to(0, *TOPICS, addresses=both.addresses)) as home,
        witness(home.port, "down") as here,
    ):
        await is_at(home, both, 0)
        await both.goes(0)
        await is_at(home, both, 1)
        async with witness(both.ports[1], "up") as there:
            await subscribed(both.brokers[1])
            await here.client.publish("up", b"to the other", qos=1)
            await there.client.publish("down", b"from the other", qos=1)
            await there.hears("up", b"to the other")
            await here.hears("down", b"from the other")
        await both.comes(0)
        await is_at(home, both, 0)
        async with witness(both.ports[0], "up") as there:
            await subscribed(both.brokers[0])
            await here.client.publish("up", b"to the first", qos=1)
            await there.client.publish("down", b"from the first", qos=1)
            await there.hears("up", b"to the first")
            await here.hears("down", b"from the first")
        await until(lambda: both.brokers[1].connection_count == 0)  # it is at one place at a time
        assert here.payloads() == [b"from the other", b"from the first"]


async def test_with_round_robin_it_stays_where_it_is_and_goes_on_to_the_next() -> None:
    def bridge(name: str, *, is_round: bool) -> Bridge:
        return bridge_to(0, *TOPICS, name=name, client_id=name, addresses=both.addresses, round_robin=is_round)

    async with (
        remotes(2, 0, 1) as both,
        telex_at(bridge("bridge", is_round=True), bridge("main", is_round=False)) as home,
        witness(home.port) as here,
    ):
        await is_at(home, both, 0)
        await both.goes(0)
        await is_at(home, both, 1)
        await is_at(home, both, 1, "main")
        await both.comes(0)
        await is_at(home, both, 0, "main")
        assert status(home).address == both.addresses[1]
        assert status(home).connections == 2
        await both.goes(1)
        await is_at(home, both, 0)
        async with witness(both.ports[0], "up") as there:
            await here.client.publish("up", b"round", qos=1)
            await there.hears("up", b"round")


async def test_what_waited_for_one_goes_to_the_next() -> None:
    async with (
        remotes(2) as both,
        telex_at(bridge_to(0, *TOPICS, addresses=both.addresses)) as home,
        witness(home.port) as here,
    ):
        for number in range(50):
            await here.client.publish("up", b"%d" % number, qos=1)
        await until(lambda: status(home).queued == 50)
        await both.comes(1)
        async with witness(both.ports[1], "up") as there:
            await is_at(home, both, 1)
            await until(lambda: status(home).queued + status(home).in_flight == 0)
            await here.client.publish("up", b"last", qos=1)
            await there.hears("up", b"last")


async def test_with_round_robin_a_connection_that_is_lost_is_followed_by_the_next_address() -> None:
    """Also if somebody is still there."""
    async with remotes(2, 0, 1) as both, Proxy(both.ports[0]) as proxy:
        places = [proxy.address, both.addresses[1]]
        async with telex_at(bridge_to(0, *TOPICS, addresses=places, round_robin=True)) as home:
            await until(lambda: (status(home).state, status(home).address) == ("open", places[0]))
            proxy.cut_now(How.RST)
            await is_at(home, both, 1)
            assert (status(home).connections, proxy.connections) == (2, 1)
