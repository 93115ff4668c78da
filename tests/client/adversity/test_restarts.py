"""Brokers that restart, or are not there yet: programs go on, and at QoS 1 nothing is lost."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import telex
from tests.client.adversity.brokers import Lasting
from tests.client.adversity.peers import SECONDS, witness
from tests.client.adversity.proxy import How, Proxy
from tests.conformance.marks import edge

RESTARTS = 20
SOON = telex.Reconnect(first=0.02, most=0.1)


async def until(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Wait for what another task of this test does."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


@edge("S6", "S7")
async def test_an_iterator_outlives_twenty_restarts_of_the_broker(each_mortal_broker: Lasting) -> None:
    broker = each_mortal_broker
    broker.start()
    published: list[bytes] = []
    got: list[bytes] = []
    connected: list[telex.Connected] = []
    lost: list[telex.Lost] = []
    is_enough = False

    publisher = telex.Client(broker.address, reconnect=SOON)
    subscriber = telex.Client(broker.address, reconnect=SOON)
    subscriber.on_connected(connected.append)
    subscriber.on_lost(lost.append)

    async def publish() -> None:
        while not is_enough:
            published.append(b"%d" % len(published))
            assert await publisher.publish("count", published[-1], qos=1) < 0x80
        published.append(b"end")
        assert await publisher.publish("count", b"end", qos=1) < 0x80

    async def iterate(messages: telex.Subscription) -> None:
        async for message in messages:
            got.append(message.payload)
            if message.payload == b"end":
                return

    async with publisher, subscriber, subscriber.subscribe("count", qos=1) as messages:
        publishing = asyncio.create_task(publish())
        iterating = asyncio.create_task(iterate(messages))
        for _ in range(RESTARTS):
            seen = len(got)
            await until(lambda seen=seen: len(got) >= seen + 3 or publishing.done() or iterating.done())  # type: ignore[misc]
            await asyncio.to_thread(broker.crash)
            await asyncio.to_thread(broker.start)
        seen = len(got)
        await until(lambda: len(got) >= seen + 3)
        is_enough = True
        async with asyncio.timeout(SECONDS):
            await publishing
            await iterating

    assert list(dict.fromkeys(got)) == published
    assert [event.first_time for event in connected] == [True] + [False] * (len(connected) - 1)
    assert len(connected) == RESTARTS + 1
    assert all(event.session_present for event in connected[1:])
    assert sum(1 for event in lost if event.retry_in is not None) >= RESTARTS


async def test_the_broker_need_not_be_there_at_the_start(each_mortal_broker: Lasting) -> None:
    broker = each_mortal_broker
    async with Proxy(broker.port) as proxy:
        client = telex.Client(proxy.address, reconnect=SOON)
        lost: list[telex.Lost] = []
        client.on_lost(lost.append)
        entering = asyncio.create_task(client.__aenter__())
        async with asyncio.timeout(SECONDS):
            await proxy.until(lambda: proxy.connections >= 3)  # it tries again and again
            assert not entering.done()
            assert not client.is_connected
            await asyncio.to_thread(broker.start)
            assert await entering is client
        assert client.is_connected
        async with client.subscribe("early", qos=1) as messages:
            assert await client.publish("early", b"bird", qos=1) < 0x80
            assert (await messages.next(timeout=SECONDS)).payload == b"bird"
        await client.close()


async def test_a_client_that_may_not_retry_says_so_at_once() -> None:
    async with Proxy(1) as proxy:  # nobody listens on port 1
        client = telex.Client(proxy.address, version="5", reconnect=None)
        try:
            async with asyncio.timeout(SECONDS), client:
                raise AssertionError("it is connected")
        except (telex.NotConnected, OSError):
            pass
        assert proxy.connections == 1


async def test_subscriptions_are_made_again_when_the_broker_has_forgotten_the_session(tmp_path: Path) -> None:
    async with telex.Broker(port=0, sys_interval=0) as first, telex.Broker(port=0, sys_interval=0) as second:
        async with Proxy(first.port) as proxy:
            connected: list[telex.Connected] = []
            client = telex.Client(proxy.address, reconnect=SOON)
            client.on_connected(connected.append)
            async with client, client.subscribe("again/+", "and/again", qos=1) as messages:
                proxy.target = second.port  # another broker, which knows nothing of us
                proxy.cut_now(How.RST)
                await until(lambda: len(connected) == 2)
                assert not connected[1].session_present
                await until(lambda: proxy.count("SUBACK") >= 2)
                async with witness(second.port) as somebody:
                    await somebody.publish("again/x", b"1")
                    await somebody.publish("and/again", b"2")
                async with asyncio.timeout(SECONDS):
                    assert [(await messages.next()).payload for _ in range(2)] == [b"1", b"2"]


async def test_attempts_are_spread_so_that_a_broker_can_come_back() -> None:
    """Waits grow up to their limit, and no two clients wait the same time."""
    waits: list[list[float]] = []
    async with Proxy(1) as proxy:
        for _ in range(4):
            lost: list[telex.Lost] = []
            client = telex.Client(proxy.address, reconnect=telex.Reconnect(first=0.01, most=0.08))
            client.on_lost(lost.append)
            entering = asyncio.create_task(client.__aenter__())
            await until(lambda lost=lost: len(lost) >= 8)  # type: ignore[misc]
            entering.cancel()
            await asyncio.gather(entering, return_exceptions=True)
            await client.close()
            waits.append([event.retry_in for event in lost if event.retry_in is not None])
    assert all(0 < wait <= 0.08 for each in waits for wait in each)
    assert max(wait for each in waits for wait in each[4:]) > 0.02  # they have grown
    assert len({each[7] for each in waits}) == 4  # jitter
