"""A subscriber that does not read costs only itself: a bounded outbox, and what waits for it in its session."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

import telex
from telex.wire.packets import Connect, PubAck, PubComp, Publish, PubRec, PubRel
from telex.wire.properties import Properties
from tests.shell.raw import RawClient, connected

PAYLOAD: Final = 20_000  # bytes
OUTBOX: Final = 100_000
LARGEST: Final = PAYLOAD + 100  # a PUBLISH
MEMORY: Final = 1_000_000
PAGES: Final = 2 * (1024 * 1024 + LARGEST)
"""What comes back from the disk at a time: a page that is being sent, and the next one."""
KEPT: Final = Properties(session_expiry_interval=600)
DROPPED: Final = "$SYS/broker/publish/messages/dropped"


def payload(number: int) -> bytes:
    return b"%d " % number + bytes(PAYLOAD)


def number_of(packet: Publish) -> int:
    return int(packet.payload.split()[0])


@asynccontextmanager
async def freezing(broker: telex.Broker, qos: int) -> AsyncIterator[RawClient]:
    """A client that subscribes and then does not read."""
    connect = Connect("frozen", clean_start=False, properties=KEPT)
    async with connected(broker.port, connect, receive_buffer=65_536) as frozen:
        await frozen.subscribe("flood", qos)
        yield frozen


async def reads(client: RawClient, count: int) -> AsyncIterator[Publish]:
    """The next messages, each acknowledged when the next one is asked for."""
    while count:
        packet = await client.receive()
        if isinstance(packet, PubRel):
            await client.send(PubComp(packet.packet_id))
            continue
        assert isinstance(packet, Publish), packet
        count -= 1
        yield packet
        if packet.qos == 1:
            await client.send(PubAck(packet.packet_id))
        elif packet.qos == 2:
            await client.send(PubRec(packet.packet_id))


async def floods(broker: telex.Broker, numbers: range, qos_of: Callable[[int], int], check: Callable[[], None]) -> None:
    """Publish to everybody, and see that a client that reads gets all of it meanwhile."""
    async with connected(broker.port, Connect("good")) as good, connected(broker.port, Connect("pub")) as pub:
        await good.subscribe("flood", 2)
        for number in numbers:
            qos = qos_of(number)
            packet_id = number if qos else 0
            await pub.send(Publish("flood", payload(number), qos, packet_id=packet_id))
            if qos == 1:
                assert await pub.receive() == PubAck(packet_id)
            elif qos == 2:
                assert await pub.receive() == PubRec(packet_id)
                await pub.send(PubRel(packet_id))
                assert await pub.receive() == PubComp(packet_id)
            async for packet in reads(good, 1):
                assert (number_of(packet), packet.qos) == (number, qos)
            check()


def outbox_is_bounded(broker: telex.Broker) -> Callable[[], None]:
    """What is to be true of the frozen client's outbox at any time."""
    session = broker.engine.sessions["frozen"]

    def check() -> None:
        assert session.outbox is not None
        assert session.outbox.size <= OUTBOX + LARGEST
        stream = session.outbox.stream.stream  # type: ignore[attr-defined]
        assert stream._transport.get_write_buffer_size() <= OUTBOX + LARGEST

    return check


async def test_qos0_beyond_the_bound_is_dropped_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    options = telex.Options(max_outbox_bytes=OUTBOX)
    async with telex.Broker(port=0, options=options, sys_interval=1) as broker:
        async with freezing(broker, qos=0) as frozen, connected(broker.port) as watcher:
            await watcher.subscribe(DROPPED)
            await floods(broker, range(1, 601), lambda number: 0, outbox_is_bounded(broker))
            dropped = broker.engine.stats.publish_dropped
            assert 300 < dropped < 600
            assert broker.engine.sessions["frozen"].dropped == dropped
            while True:
                packet = await watcher.receive()
                assert isinstance(packet, Publish)
                if packet.payload == b"%d" % dropped:
                    break
            warnings = [each for each in caplog.messages if each.startswith("dropping")]
            assert warnings == [
                'dropping client=frozen topic=flood reason="it reads too slowly, or the message is too large for it"'
            ]
            found = [number_of(packet) async for packet in reads(frozen, 600 - dropped)]
            assert found == list(range(1, 600 - dropped + 1))
            await floods(broker, range(601, 603), lambda number: 0, lambda: None)  # now it reads
            assert [number_of(packet) async for packet in reads(frozen, 2)] == [601, 602]
            assert broker.engine.stats.publish_dropped == dropped


@pytest.mark.parametrize("place", ["memory", "data", "disk alone"])
async def test_qos1_and_qos2_wait_and_arrive_in_order(tmp_path: Path, place: str) -> None:
    """In memory, in memory and on disk, or on disk alone beyond a bound for all."""
    memory = MEMORY if place == "disk alone" else 1 << 26
    options = telex.Options(max_outbox_bytes=OUTBOX, max_queue_memory=memory)
    data = None if place == "memory" else tmp_path
    async with telex.Broker(port=0, options=options, data=data) as broker:
        async with freezing(broker, qos=2) as frozen:
            session = broker.engine.sessions["frozen"]
            is_bounded = outbox_is_bounded(broker)

            def check() -> None:
                is_bounded()
                assert session.queue.bytes - session.queue.stored_bytes <= max(memory, PAGES)

            await floods(broker, range(1, 501), lambda number: 1 + number % 2, check)
            assert session.message_count > 400
            assert (session.queue.stored > 200) == (place == "disk alone")
            found = []
            async for packet in reads(frozen, 500):
                found.append((number_of(packet), packet.qos, packet.dup))
                check()
            assert found == [(number, 1 + number % 2, False) for number in range(1, 501)]
        assert broker.engine.stats.publish_dropped == 0


async def test_messages_of_all_kinds_keep_their_order(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """QoS 0 with holes; QoS 1 and 2 without."""
    options = telex.Options(max_outbox_bytes=OUTBOX, max_queue_memory=MEMORY)
    async with telex.Broker(port=0, options=options, data=tmp_path) as broker:
        async with freezing(broker, qos=2) as frozen:
            await floods(broker, range(1, 451), lambda number: number % 3, outbox_is_bounded(broker))
            dropped = broker.engine.stats.publish_dropped
            assert 0 < dropped <= 150
            assert len([each for each in caplog.messages if each.startswith("dropping")]) == 1
            found: dict[int, list[int]] = {0: [], 1: [], 2: []}
            async for packet in reads(frozen, 450 - dropped):
                found[packet.qos].append(number_of(packet))
            assert found[1] == list(range(1, 451, 3))
            assert found[2] == list(range(2, 451, 3))
            assert found[0] == sorted(found[0])


async def test_in_memory_what_waits_for_all_is_bounded_too(caplog: pytest.LogCaptureFixture) -> None:
    """Without a store there is no other place: what comes then is dropped, for the slow one alone."""
    options = telex.Options(max_outbox_bytes=OUTBOX, max_queue_memory=MEMORY)
    async with telex.Broker(port=0, options=options) as broker:
        async with freezing(broker, qos=1) as frozen:
            session = broker.engine.sessions["frozen"]
            is_bounded = outbox_is_bounded(broker)

            def check() -> None:
                is_bounded()
                assert session.queue.bytes <= MEMORY

            await floods(broker, range(1, 401), lambda number: 1, check)
            dropped = broker.engine.stats.publish_dropped
            assert 100 < dropped < 400
            warnings = [each for each in caplog.messages if each.startswith("dropping")]
            assert warnings == [
                'dropping client=frozen topic=flood reason="as much waits for all clients as max_queue_memory allows"'
            ]
            found = [number_of(packet) async for packet in reads(frozen, 400 - dropped)]
            assert found == sorted(set(found))


@pytest.mark.parametrize("memory", [1, 1 << 26])
async def test_a_queue_may_drop_its_oldest(tmp_path: Path, memory: int) -> None:
    """In memory, or on disk alone: then the oldest have to be fetched to be given up."""
    options = telex.Options(
        max_outbox_bytes=OUTBOX, max_queue_memory=memory, max_queued_messages=50, queue_drops="oldest"
    )
    async with telex.Broker(port=0, options=options, data=tmp_path) as broker:
        connect = Connect("frozen", clean_start=False, properties=KEPT)
        async with connected(broker.port, connect) as client:
            await client.subscribe("flood", 1)
        while broker.engine.sessions["frozen"].client is not None:
            await asyncio.sleep(0)
        await floods(broker, range(1, 301), lambda number: 1, lambda: None)
        async with connected(broker.port, connect) as client:
            session = broker.engine.sessions["frozen"]
            assert [number_of(packet) async for packet in reads(client, 50)] == list(range(251, 301))
            while session.message_count:
                await asyncio.sleep(0)
            assert session.dropped == broker.engine.stats.publish_dropped == 250
            assert session.queue.bytes == 0
        assert broker.engine.surroundings.memory == 0


async def test_a_queue_may_drop_its_newest(tmp_path: Path) -> None:
    options = telex.Options(max_outbox_bytes=OUTBOX, max_queued_bytes=20 * LARGEST)
    async with telex.Broker(port=0, options=options, data=tmp_path) as broker:
        async with freezing(broker, qos=1) as frozen:
            await floods(broker, range(1, 301), lambda number: 1, outbox_is_bounded(broker))
            dropped = broker.engine.stats.publish_dropped
            assert 30 < dropped < 280
            assert broker.engine.sessions["frozen"].dropped == dropped
            found = [number_of(packet) async for packet in reads(frozen, 300 - dropped)]
            assert found == list(range(1, 301 - dropped))
