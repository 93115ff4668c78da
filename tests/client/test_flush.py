"""``Client.flush``: it returns when the broker has all that was published, and not before. The broker is a real one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import telex
from tests.client.adversity.proxy import TO_BROKER, Cut, How, Proxy

SECONDS = 10.0
SOON = telex.Reconnect(first=0.001, most=0.002)
QOS = [0, 1, 2]
ACKNOWLEDGED = [1, 2]


@asynccontextmanager
async def a_broker() -> AsyncIterator[str]:
    """A broker's address."""
    async with telex.Broker(port=0) as broker:
        yield f"mqtt://127.0.0.1:{broker.port}"


@asynccontextmanager
async def a_way() -> AsyncIterator[Proxy]:
    """A way to a broker that a test can bar."""
    async with telex.Broker(port=0) as broker:
        assert broker.port is not None
        async with Proxy(broker.port) as proxy:
            yield proxy


@asynccontextmanager
async def listening(address: str, topic_filter: str) -> AsyncIterator[telex.Subscription]:
    """What the broker sends on."""
    async with telex.Client(address) as client, client.subscribe(topic_filter, qos=2) as messages:
        yield messages


async def texts(messages: telex.Subscription, number: int) -> list[str]:
    """The next messages."""
    return [(await messages.next(timeout=SECONDS)).text for _ in range(number)]


async def turns() -> None:
    """Let everything happen that can happen now."""
    for _ in range(10):
        await asyncio.sleep(0)


# There and at once


async def test_with_nothing_published_there_is_nothing_to_wait_for() -> None:
    async with a_broker() as address, telex.Client(address) as client, asyncio.timeout(SECONDS):
        await client.flush()
        await client.flush(timeout=0)


async def test_before_the_client_is_in_use_that_is_a_slip() -> None:
    with pytest.raises(telex.NotConnected, match="not in use"):
        await telex.Client().flush()


@pytest.mark.parametrize("qos", QOS)
async def test_the_broker_has_what_was_published_before(qos: int) -> None:
    async with a_broker() as address, listening(address, "a") as messages, telex.Client(address) as client:
        tasks = [asyncio.create_task(client.publish("a", number, qos=qos)) for number in range(100)]
        await asyncio.sleep(0)  # they have begun
        await client.flush(timeout=SECONDS)
        assert all(task.done() for task in tasks)
        assert await asyncio.gather(*tasks) == [telex.ReasonCode.SUCCESS] * 100
        assert await texts(messages, 100) == [str(number) for number in range(100)]


@pytest.mark.parametrize("qos", ACKNOWLEDGED)
async def test_also_what_nobody_waits_for_any_more(qos: int) -> None:
    async with a_broker() as address, listening(address, "a") as messages, telex.Client(address) as client:
        task = asyncio.create_task(client.publish("a", "left", qos=qos))
        await asyncio.sleep(0)
        task.cancel()
        await client.flush(timeout=SECONDS)
        assert await texts(messages, 1) == ["left"]


@pytest.mark.parametrize("qos", QOS)
async def test_also_a_stream(qos: int) -> None:
    async with a_broker() as address, telex.Client(address) as client:
        stream = asyncio.create_task(client.publish_many([("a", number) for number in range(1_000)], qos=qos))
        await asyncio.sleep(0)
        await client.flush(timeout=SECONDS)
        assert await asyncio.wait_for(stream, SECONDS) == 1_000


@pytest.mark.parametrize("qos", ACKNOWLEDGED)
async def test_it_waits_for_no_less_than_the_last_acknowledgement(qos: int) -> None:
    async with a_way() as way, telex.Client(way.address) as client:
        way.bar(How.STALL)  # it is written, and nobody has it
        task = asyncio.create_task(client.publish("a", b"", qos=qos))
        await asyncio.sleep(0)
        with pytest.raises(telex.Timeout, match="not all that was published is with the broker within 0 s"):
            await client.flush(timeout=0)
        assert not task.done()
        task.cancel()


async def test_any_number_may_wait() -> None:
    async with a_broker() as address, telex.Client(address) as client:
        task = asyncio.create_task(client.publish("a", b"", qos=2))
        await asyncio.sleep(0)
        await asyncio.gather(*[client.flush(timeout=SECONDS) for _ in range(10)])
        assert task.done()


async def test_whoever_waits_no_longer_holds_up_nobody() -> None:
    async with a_broker() as address, telex.Client(address) as client:
        task = asyncio.create_task(client.publish("a", b"", qos=2))
        await asyncio.sleep(0)
        flushes = [asyncio.create_task(client.flush()) for _ in range(2)]
        await asyncio.sleep(0)
        flushes[0].cancel()
        await asyncio.wait_for(flushes[1], SECONDS)
        assert task.done()
        assert flushes[0].cancelled()


async def test_what_is_published_later_is_not_waited_for() -> None:
    async with a_broker() as address, telex.Client(address) as client:
        is_over = False

        async def publish_on() -> None:
            while not is_over:
                await client.publish("a", b"", qos=1)

        publishing = [asyncio.create_task(publish_on()) for _ in range(4)]
        await asyncio.sleep(0)
        try:
            await client.flush(timeout=SECONDS)
        finally:
            is_over = True
            await asyncio.gather(*publishing)


# Without a connection


@pytest.mark.parametrize("qos", QOS)
async def test_without_a_connection_it_waits_for_the_next_one(qos: int) -> None:
    async with a_way() as way, listening(f"mqtt://127.0.0.1:{way.target}", "a") as messages:
        async with telex.Client(way.address, reconnect=SOON) as client:
            lost = asyncio.Event()
            client.on_lost(lambda event: lost.set())
            way.bar(How.FIN)
            await asyncio.wait_for(lost.wait(), SECONDS)
            task = asyncio.create_task(client.publish("a", "later", qos=qos))
            await asyncio.sleep(0)
            with pytest.raises(telex.Timeout):
                await client.flush(timeout=0)
            flush = asyncio.create_task(client.flush())
            await turns()
            assert not flush.done()
            way.restore()
            await asyncio.wait_for(flush, SECONDS)
            assert task.done()
            assert await texts(messages, 1) == ["later"]


@pytest.mark.parametrize("qos", ACKNOWLEDGED)
async def test_it_lives_on_while_the_connection_is_lost(qos: int) -> None:
    async with a_way() as way, listening(f"mqtt://127.0.0.1:{way.target}", "a") as messages:
        way.waiting_cuts.append(Cut(TO_BROKER, 2, after=False, how=How.RST))  # the PUBLISH
        async with telex.Client(way.address, reconnect=SOON) as client:
            task = asyncio.create_task(client.publish("a", "twice sent", qos=qos))
            await asyncio.sleep(0)
            await client.flush(timeout=SECONDS)
            assert task.done()
            assert way.connections == 2
            assert await texts(messages, 1) == ["twice sent"]


async def test_without_a_connection_and_with_nothing_to_send_it_waits_for_nothing() -> None:
    async with a_way() as way, telex.Client(way.address, reconnect=SOON) as client:
        lost = asyncio.Event()
        client.on_lost(lambda event: lost.set())
        way.bar(How.FIN)
        await asyncio.wait_for(lost.wait(), SECONDS)
        await client.flush(timeout=0)


# The end


@pytest.mark.parametrize("qos", QOS)
async def test_a_client_that_is_closed_meanwhile_says_so(qos: int) -> None:
    async with a_way() as way:
        client = await telex.Client(way.address, reconnect=SOON).__aenter__()
        lost = asyncio.Event()
        client.on_lost(lambda event: lost.set())
        way.bar(How.FIN)
        await asyncio.wait_for(lost.wait(), SECONDS)
        task = asyncio.create_task(client.publish("a", b"", qos=qos))
        await asyncio.sleep(0)
        flush = asyncio.create_task(client.flush())
        await asyncio.sleep(0)
        await asyncio.wait_for(client.close(), SECONDS)
        for result in await asyncio.gather(task, flush, return_exceptions=True):
            assert isinstance(result, telex.NotConnected), result
            assert "the client was closed" in str(result)


async def test_so_does_one_that_has_no_way_to_go_on() -> None:
    async with a_way() as way, telex.Client(way.address, reconnect=None) as client:
        way.waiting_cuts.append(Cut(TO_BROKER, 2, after=False, how=How.FIN))  # the PUBLISH
        task = asyncio.create_task(client.publish("a", b"", qos=1))
        await asyncio.sleep(0)
        with pytest.raises(telex.NotConnected):
            await client.flush(timeout=SECONDS)
        with pytest.raises(telex.NotConnected):
            await task


# With an outbox


@pytest.mark.parametrize("qos", ACKNOWLEDGED)
async def test_what_is_in_the_outbox_is_waited_for(qos: int, tmp_path: Path) -> None:
    async with a_broker() as address, listening(address, "a") as messages:
        outbox = telex.Outbox(tmp_path / "out.db")
        async with telex.Client(address, client_id="c", outbox=outbox) as client:
            for number in range(100):
                await client.publish("a", number, qos=qos)
            await client.flush(timeout=SECONDS)
            assert outbox.waiting == 0
        assert await texts(messages, 100) == [str(number) for number in range(100)]


async def test_also_what_waits_there_at_qos_0(tmp_path: Path) -> None:
    async with a_broker() as address, listening(address, "a") as messages:
        outbox = telex.Outbox(tmp_path / "out.db", keep_qos0=True)
        async with telex.Client(address, client_id="c", outbox=outbox) as client:
            for number in range(50):
                await client.publish("a", number)
            await client.flush(timeout=SECONDS)
        assert await texts(messages, 50) == [str(number) for number in range(50)]


async def test_and_what_an_earlier_program_has_left_there(tmp_path: Path) -> None:
    async with a_way() as way, listening(f"mqtt://127.0.0.1:{way.target}", "a") as messages:
        way.bar(How.FIN)
        for number in range(2):
            async with telex.Client(way.address, client_id="c", outbox=str(tmp_path / "out.db")) as client:
                await client.publish("a", number, qos=1)
        way.restore()
        async with telex.Client(way.address, client_id="c", outbox=str(tmp_path / "out.db")) as client:
            await client.flush(timeout=SECONDS)
        assert await texts(messages, 2) == ["0", "1"]


async def test_what_is_not_with_the_broker_in_time_stays_in_the_outbox(tmp_path: Path) -> None:
    async with a_way() as way, listening(f"mqtt://127.0.0.1:{way.target}", "a") as messages:
        way.bar(How.FIN)
        outbox = telex.Outbox(tmp_path / "out.db")
        async with telex.Client(way.address, client_id="c", outbox=outbox, reconnect=SOON) as client:
            await client.publish("a", "kept", qos=1)
            with pytest.raises(telex.Timeout):
                await client.flush(timeout=0.01)
            assert outbox.waiting == 1
            way.restore()
            await client.flush(timeout=SECONDS)
            assert outbox.waiting == 0
        assert await texts(messages, 1) == ["kept"]


async def test_with_an_outbox_too_a_client_that_is_closed_meanwhile_says_so(tmp_path: Path) -> None:
    async with a_way() as way:
        way.bar(How.FIN)
        outbox = telex.Outbox(tmp_path / "out.db")
        async with telex.Client(way.address, client_id="c", outbox=outbox) as client:
            await client.publish("a", "kept", qos=1)
            flush = asyncio.create_task(client.flush())
            await turns()
            assert not flush.done()
        with pytest.raises(telex.NotConnected, match="the client was closed"):
            await asyncio.wait_for(flush, SECONDS)


async def test_what_the_broker_does_not_take_is_not_waited_for(tmp_path: Path) -> None:
    async with a_way() as way:
        way.bar(How.FIN)
        outbox = telex.Outbox(tmp_path / "out.db")
        async with telex.Client(way.address, client_id="c", outbox=outbox, reconnect=SOON) as client:
            await client.publish("a", bytes(3_000_000), qos=1)  # the broker takes two millions
            way.restore()
            await client.flush(timeout=SECONDS)
            assert outbox.waiting == 0


async def test_nor_is_what_has_expired(tmp_path: Path) -> None:
    async with a_way() as way, listening(f"mqtt://127.0.0.1:{way.target}", "a") as messages:
        way.bar(How.FIN)
        now = 0.0
        outbox = telex.Outbox(tmp_path / "out.db", clock=lambda: now)
        async with telex.Client(way.address, client_id="c", outbox=outbox, reconnect=SOON) as client:
            await client.publish("a", "for ever", qos=1)
            await client.publish("a", "news", qos=1, message_expiry_interval=10)
            flush = asyncio.create_task(client.flush())
            await turns()
            now = 20.0
            way.restore()
            await asyncio.wait_for(flush, SECONDS)
            assert (outbox.waiting, outbox.expired) == (0, 1)
            await client.publish("a", "the end", qos=1)
        async with telex.Client(way.address, client_id="c", outbox=str(tmp_path / "out.db")) as client:
            await client.flush(timeout=SECONDS)
        assert await texts(messages, 2) == ["for ever", "the end"]
