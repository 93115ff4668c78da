"""A disk that takes nothing any more: nobody is promised what is not stored, and all goes on when there is room again.

The broker is a process of its own, which may not write to any file from a
moment on. That is what a full disk looks like to it.
"""

import asyncio
import re
import resource
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest

import telex
from telex.codes import ReasonCode
from telex.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionRequest,
)
from telex.wire.properties import Properties
from tests import processes
from tests.processes import Server
from tests.shell.raw import RawClient, connected, open_socket

STATE = "$SYS/broker/store/state"

needs_prlimit = pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="Linux can limit a process that is running")


class Disk:
    """What a process may write."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)

    def is_full(self) -> None:
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (0, self._limits[1]))

    def has_room(self) -> None:
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, self._limits)


@contextmanager
def serving(directory: Path) -> Iterator[Server]:
    """A broker on that directory."""
    with processes.telex("--data", str(directory), "--sys-interval", "1") as server:
        yield server


def keeper(client_id: str, version: int = 5) -> Connect:
    properties = Properties(session_expiry_interval=600) if version == 5 else None
    return Connect(client_id, version=version, clean_start=False, properties=properties)


async def keeper_was_here(port: int) -> None:
    """``keeper`` has subscribed to ``b`` and left, and the store knows it: nothing of it meets the full disk."""
    async with connected(port, keeper("keeper")) as client:
        await client.subscribe("b", qos=1)
        await client.send(Disconnect())
        assert await client.receive() is None
    async with connected(port) as after:
        await after.send(Publish("after", b"what was recorded before", 1, retain=True, packet_id=1))
        assert await after.receive() == PubAck(1, ReasonCode.NO_MATCHING_SUBSCRIBERS)


async def is_told(watcher: RawClient, value: bytes, topic: str = STATE) -> None:
    """Until ``$SYS`` says so."""
    while True:
        packet = await watcher.receive()
        assert isinstance(packet, Publish)
        if (packet.topic, packet.payload) == (topic, value):
            return


async def is_silent(client: RawClient) -> None:
    """Nothing comes but the answer to a PINGREQ, which overtakes what waits."""
    await client.send(PingReq())
    assert await client.receive() == PingResp()


async def delivered(port: int) -> list[bytes]:
    """All messages that wait for ``keeper``, acknowledged."""
    found: list[bytes] = []
    async with connected(port, keeper("keeper")) as client, connected(port) as pub:
        assert client.connack.session_present
        await pub.send(Publish("b", b"the last one", 1, packet_id=1))  # it stands behind all others
        while (packet := await client.receive()) is not None:
            if isinstance(packet, Publish):
                if packet.payload == b"the last one":
                    break
                found.append(packet.payload)
                await client.send(PubAck(packet.packet_id) if packet.qos == 1 else PubRec(packet.packet_id))
            else:
                assert isinstance(packet, PubRel)
    return found


def told(server: Server) -> list[str]:
    """What the log says, after the end of a broker, without times and levels."""
    assert server.process.stderr is not None
    return [line.split(" ", 2)[2] for line in server.process.stderr.read().splitlines()]


@needs_prlimit
def test_nothing_is_acknowledged_that_is_not_stored(tmp_path: Path) -> None:
    acknowledged: list[bytes] = []
    with serving(tmp_path) as server:
        asyncio.run(through_a_full_disk(server, acknowledged))
        server.process.kill()
        server.process.wait()
        lines = told(server)
    with serving(tmp_path) as server:
        assert asyncio.run(delivered(server.port)) == acknowledged
    store = re.escape(str(tmp_path / "telex.db"))
    of_the_store = [line for line in lines if not line.startswith("refused")]
    assert len(of_the_store) == 2
    assert re.fullmatch(
        f"CANNOT STORE: {store}: .+; QoS 1 and 2 are not acknowledged until it works again", of_the_store[0]
    )
    assert re.fullmatch(f"stores again: {store}", of_the_store[1])


async def through_a_full_disk(server: Server, acknowledged: list[bytes]) -> None:
    disk = Disk(server.process.pid)
    port = server.port
    async with AsyncExitStack() as stack:

        async def comes(connect: Connect) -> RawClient:
            return await stack.enter_async_context(connected(port, connect))

        async with connected(port, keeper("keeper")) as client:
            await client.send(Subscribe(1, [SubscriptionRequest("a", 2), SubscriptionRequest("b", 2)]))
            assert await client.receive() == SubAck(1, [2, 2])
        watcher = await comes(Connect("watcher"))
        await watcher.send(Subscribe(1, [SubscriptionRequest(STATE, 0), SubscriptionRequest("$SYS/broker/uptime", 0)]))
        assert await watcher.receive() == SubAck(1, [0, 0])
        await is_told(watcher, b"ok")
        listener = await comes(Connect("listener", version=4))
        await listener.subscribe("a")
        first, newer = await comes(Connect("first")), await comes(Connect("newer"))
        patient = await comes(Connect("patient", version=4))
        older = [await comes(Connect(f"older-{version}", version=version)) for version in (3, 4)]
        known = await comes(keeper("known"))
        known_before_5 = await comes(keeper("known before 5", version=4))

        async def publishes(client: RawClient, packet: Publish) -> None:
            """And is told that it is stored."""
            await client.send(packet)
            answer = PubAck(packet.packet_id) if packet.qos == 1 else PubRec(packet.packet_id)
            assert await client.receive() == answer
            acknowledged.append(packet.payload)

        await publishes(first, Publish("b", b"before", 1, packet_id=1))
        await publishes(known, Publish("b", b"half-way", 2, packet_id=1))

        disk.is_full()
        await patient.send(Publish("b", b"too much", 1, packet_id=2))
        await is_told(watcher, b"failing")
        await known.send(PubRel(1))
        for client in (patient, known):
            await is_silent(client)  # what is on its way to the disk is neither stored nor lost
        # MQTT 5 has a word for it.
        await newer.send(Publish("b", b"refused", 1, packet_id=1), Publish("b", b"refused", 2, packet_id=2))
        assert await newer.receive() == PubAck(1, ReasonCode.QUOTA_EXCEEDED)
        assert await newer.receive() == PubRec(2, ReasonCode.QUOTA_EXCEEDED)
        # Before, there is none.
        for qos, client in enumerate(older, 1):
            await client.send(Publish("b", b"unanswered", qos, packet_id=9))
            await is_silent(client)
        # QoS 0 goes on.
        for number, client in enumerate((first, newer, *older)):
            await client.send(Publish("a", b"%d" % number))
            assert await listener.receive() == Publish("a", b"%d" % number)
        # So do those who are here, and those who keep nothing.
        async with connected(port, keeper("keeper")) as client:
            assert client.connack.session_present
        async with connected(port, Connect("another", version=4)) as client:
            await client.subscribe("a", qos=1)
        # What cannot be kept is not promised.
        await known.send(Subscribe(2, [SubscriptionRequest("a", 1)]))
        await is_silent(known)  # it waits behind the PUBCOMP
        await known_before_5.send(Subscribe(2, [SubscriptionRequest("a", 1)]))
        assert await known_before_5.receive() == SubAck(2, [0x80])
        for connect, reason in ((keeper("new"), ReasonCode.SERVER_UNAVAILABLE), (keeper("new", version=4), 3)):
            async with open_socket(port, connect.version) as client:
                await client.send(connect)
                assert await client.receive() == ConnAck(reason)
                assert await client.receive() is None
        for _ in range(3):  # seconds, so that it has been tried again
            packet = await watcher.receive()
            assert isinstance(packet, Publish)
            assert packet.topic == "$SYS/broker/uptime"

        disk.has_room()
        await is_told(watcher, b"ok")
        assert await patient.receive() == PubAck(2)
        acknowledged.append(b"too much")
        assert await known.receive() == PubComp(1)
        assert await known.receive() == SubAck(2, [ReasonCode.QUOTA_EXCEEDED])
        for qos, client in enumerate(older, 1):
            assert await client.receive() is None  # it has to send again what was not acknowledged
            again = await comes(Connect(f"again-{qos}", version=4))
            await publishes(again, Publish("b", b"again %d" % qos, qos, dup=True, packet_id=9))
        await publishes(newer, Publish("b", b"after 1", 1, packet_id=1))
        await publishes(newer, Publish("b", b"after 2", 2, packet_id=2))
        async with connected(port, keeper("new")) as client:
            assert not client.connack.session_present


@needs_prlimit
def test_a_disk_may_fill_up_again_and_again(tmp_path: Path) -> None:
    acknowledged: list[bytes] = []

    async def story(server: Server) -> None:
        disk = Disk(server.process.pid)
        await keeper_was_here(server.port)
        async with connected(server.port, Connect("pub", version=4)) as pub, connected(server.port) as watcher:
            await watcher.subscribe(STATE)
            await is_told(watcher, b"ok")
            for number in range(1, 3):
                disk.is_full()
                await pub.send(Publish("b", b"%d" % number, 1, packet_id=1))
                await is_told(watcher, b"failing")
                disk.has_room()
                await is_told(watcher, b"ok")
                assert await pub.receive() == PubAck(1)
                acknowledged.append(b"%d" % number)

    with serving(tmp_path) as server:
        asyncio.run(story(server))
        server.process.kill()
        server.process.wait()
        words = [" ".join(line.split()[:2]) for line in told(server)]
    assert words == ["CANNOT STORE:", "stores again:"] * 2
    with serving(tmp_path) as server:
        assert asyncio.run(delivered(server.port)) == acknowledged


@needs_prlimit
def test_whose_answer_hangs_in_the_air_is_asked_to_come_again(tmp_path: Path) -> None:
    """What a v5 client sends then is refused, and no refusal may overtake an answer that waits [MQTT-4.6.0-2]."""

    async def story(server: Server) -> None:
        disk = Disk(server.process.pid)
        await keeper_was_here(server.port)
        async with connected(server.port) as watcher:
            await watcher.subscribe(STATE)
            await is_told(watcher, b"ok")
            disk.is_full()
            async with connected(server.port) as pub:
                await pub.send(Publish("b", b"x", 1, packet_id=1))
                assert await pub.receive() == Disconnect(ReasonCode.QUOTA_EXCEEDED)
                assert await pub.receive() is None
            async with connected(server.port) as pub:
                await pub.send(Publish("b", b"x", 1, dup=True, packet_id=1))
                assert await pub.receive() == PubAck(1, ReasonCode.QUOTA_EXCEEDED)
                disk.has_room()
                await is_told(watcher, b"failing")
                await is_told(watcher, b"ok")
                await pub.send(Publish("b", b"x", 1, dup=True, packet_id=1))
                assert await pub.receive() == PubAck(1)

    with serving(tmp_path) as server:
        asyncio.run(story(server))
        assert asyncio.run(delivered(server.port)) == [b"x", b"x"]  # at least once: it was asked to


@needs_prlimit
def test_a_broker_that_ends_while_the_disk_is_full_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    async def story(server: Server) -> None:
        await keeper_was_here(server.port)
        async with connected(server.port, Connect("pub", version=4)) as pub, connected(server.port) as watcher:
            await watcher.subscribe(STATE)
            await is_told(watcher, b"ok")
            await pub.send(Publish("b", b"stored", 1, packet_id=1))
            assert await pub.receive() == PubAck(1)
            Disk(server.process.pid).is_full()
            await pub.send(Publish("b", b"not stored", 1, packet_id=2))
            await is_told(watcher, b"failing")
            server.process.terminate()
            assert await watcher.receive() == Disconnect(ReasonCode.SERVER_SHUTTING_DOWN)
            assert await pub.receive() is None  # no PUBACK

    with serving(tmp_path) as server:
        asyncio.run(story(server))
        assert server.process.wait(10) == 0
        words = [" ".join(line.split()[:3]) for line in told(server)]
    assert words == ["CANNOT STORE: " + str(tmp_path / "telex.db:"), "what was not"]
    with serving(tmp_path) as server:
        assert asyncio.run(delivered(server.port)) == [b"stored"]


@needs_prlimit
def test_relaxed_stops_acknowledging_when_it_knows(tmp_path: Path) -> None:
    """What was acknowledged within the last second may be lost if the process ends now: that was the bargain."""

    async def story(server: Server) -> None:
        disk = Disk(server.process.pid)
        async with connected(server.port) as pub, connected(server.port) as watcher:
            await watcher.subscribe(STATE)
            await is_told(watcher, b"ok")
            disk.is_full()
            await pub.send(Publish("b", b"1", 1, packet_id=1))
            assert await pub.receive() == PubAck(1)
            await is_told(watcher, b"failing")
            await pub.send(Publish("b", b"2", 1, packet_id=2))
            assert await pub.receive() == PubAck(2, ReasonCode.QUOTA_EXCEEDED)
            disk.has_room()
            await is_told(watcher, b"ok")
            await pub.send(Publish("b", b"3", 1, packet_id=3))
            assert await pub.receive() == PubAck(3)
        assert await delivered(server.port) == [b"1", b"3"]

    arguments = ("--data", str(tmp_path), "--sys-interval", "1", "--durability", "relaxed")
    with serving(tmp_path) as server:  # strict, so that the relaxed one begins with nothing that waits to be stored
        asyncio.run(keeper_was_here(server.port))
    with processes.telex(*arguments) as server:
        asyncio.run(story(server))


async def test_a_full_store_is_as_good_as_a_full_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The same within one process: SQLite's own limit."""
    async with telex.Broker(port=0, data=tmp_path, sys_interval=0) as broker:
        async with connected(broker.port, keeper("keeper")) as client:
            await client.subscribe("b", qos=1)
        database = broker.engine.journal._connection
        (pages,) = database.execute("PRAGMA page_count").fetchone()
        database.execute(f"PRAGMA max_page_count = {pages}")
        payload = bytes(10_000)
        async with connected(broker.port, Connect("pub", version=4)) as pub, connected(broker.port) as newer:
            await pub.send(Publish("b", payload, 1, packet_id=1))
            while not broker.engine.journal.is_failing:
                await asyncio.sleep(0)
            await newer.send(Publish("b", payload, 1, packet_id=1))
            assert await newer.receive() == PubAck(1, ReasonCode.QUOTA_EXCEEDED)
            database.execute("PRAGMA max_page_count = 1073741823")
            assert await pub.receive() == PubAck(1)
            await newer.send(Publish("b", payload, 1, packet_id=2))
            assert await newer.receive() == PubAck(2)
        assert await delivered(broker.port) == [payload] * 2
    words = [" ".join(line.split()[:2]) for line in caplog.messages]
    assert words == ["CANNOT STORE:", "stores again:"]
