"""After all clients have gone, nothing of them is left: no task, no file descriptor, no byte."""

import asyncio
import gc
import os
import tracemalloc
from asyncio import base_events, events, timeouts
from itertools import pairwise

import pytest

import telex
from telex.wire.encode import encode
from telex.wire.packets import Connect, Publish, Subscribe, SubscriptionRequest
from tests.shell.raw import connected

CLIENTS = 300
MESSAGES = 20_000


# A timer that was cancelled stays in asyncio's heap until it would have been due: those of the test itself, too.
TIMERS = [tracemalloc.Filter(False, str(module.__file__)) for module in (base_events, events, timeouts)]


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def used_bytes() -> int:
    gc.collect()
    snapshot = tracemalloc.take_snapshot().filter_traces([*TIMERS, tracemalloc.Filter(False, tracemalloc.__file__)])
    return sum(trace.size for trace in snapshot.traces)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts file descriptors in /proc")
async def test_idle_clients_and_messages_leave_nothing_behind() -> None:
    async with telex.Broker(port=0, sys_interval=0) as broker:
        tracemalloc.start()
        await crowd(broker)
        used = [used_bytes()]
        tasks, files = len(asyncio.all_tasks()), open_files()
        for _ in range(4):
            await crowd(broker)
            used.append(used_bytes())
            assert (len(asyncio.all_tasks()), open_files()) == (tasks, files)
        tracemalloc.stop()
        # What is left behind adds up with every crowd: a byte for each message would be 20,000, an object for
        # each client 4,800. A dict or set that finds its size does so once.
        assert min(after - before for before, after in pairwise(used)) < 1_000
        assert_empty(broker)


async def crowd(broker: telex.Broker) -> None:
    """Idle clients come and go, some by a cut; others send messages to each other."""
    received = broker.engine.stats.publish_received
    idle = [await asyncio.open_connection("127.0.0.1", broker.port) for _ in range(CLIENTS)]
    for number, (_, writer) in enumerate(idle):
        writer.write(encode(Connect(f"idle-{number}", version=4 + number % 2), 4 + number % 2))
    async with connected(broker.port) as sub, connected(broker.port) as pub:
        await sub.subscribe("load/#", qos=0)
        block = encode(Publish("load/x", bytes(64)), 5) * 100
        got = 0
        for _ in range(MESSAGES // 100):
            pub.writer.write(block)
            await pub.writer.drain()
            got += len(await sub.reader.read(1 << 20))
        frame = len(block) // 100
        while got < MESSAGES * frame:
            data = await sub.reader.read(1 << 20)
            assert data
            got += len(data)
        while broker.engine.stats.clients_connected < CLIENTS + 2:
            await asyncio.sleep(0.01)
    for reader, writer in idle:
        await reader.readexactly(4)
        writer.close()
        await writer.wait_closed()
    while broker.engine.stats.sockets_open:
        await asyncio.sleep(0.01)
    assert broker.engine.stats.publish_received - received == MESSAGES


def assert_empty(broker: telex.Broker) -> None:
    engine = broker.engine
    assert engine.sessions == {}
    assert engine.ready == []
    assert len(engine.deadlines) == 0
    assert engine.subscriptions.count == 0
    assert engine.retained.count == 0
    assert broker.connection_count == 0


async def test_a_hundred_starts_and_stops_leave_nothing_behind() -> None:
    async def once() -> None:
        async with telex.Broker(port=0) as broker, connected(broker.port, Connect("c", clean_start=False)) as client:
            await client.send(Subscribe(1, [SubscriptionRequest("#", 2)]), Publish("a", b"x", retain=True))

    await once()
    gc.collect()
    tasks, files = len(asyncio.all_tasks()), open_files()
    for _ in range(100):
        await once()
    gc.collect()
    assert (len(asyncio.all_tasks()), open_files()) == (tasks, files)
