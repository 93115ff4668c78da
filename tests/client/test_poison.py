"""A message that ends each connection it comes on: before MQTT 5 a broker has no other way to refuse it.

It is given up after five connections, so that those behind it arrive. Losses that have nothing to do with it do not
count: a client that publishes over a bad line gives nothing up. The server is played by the test.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

import telex
from telex.client.aio import Client, Version
from telex.client.link import Link
from telex.client.reconnect import Reconnect
from telex.codes import ReasonCode
from telex.wire.packets import ConnAck, Connect, Disconnect, PubAck, PubComp, Publish, PubRec, PubRel
from tests.client.adversity.peers import Hand, playing
from tests.client.table import SECONDS, Side, Table
from tests.processes import find, free_port, running, wait_for_port

POISON = b"poison"
LOSSES = 5
"""What docs/client.md and docs/limits.md tell."""

SOON = Reconnect(first=0.001, most=0.002)
KEPT = ConnAck(session_present=True)


class Squeamish:
    """A server that takes all messages but one, and closes the connection when that comes."""

    def __init__(self, poison: bytes = POISON) -> None:
        self.taken: list[bytes] = []
        self.times = 0  # that it came
        self._poison = poison

    async def __call__(self, hand: Hand, connection: int) -> None:
        assert isinstance(await hand.gets(), Connect)
        await hand.sends(ConnAck())
        while (packet := await hand.gets()) is not None:
            if isinstance(packet, Publish) and packet.payload == self._poison:
                self.times += 1
                return
            if isinstance(packet, Publish):
                self.taken.append(packet.payload)
                if packet.qos > 0:
                    await hand.sends(PubAck(packet.packet_id) if packet.qos == 1 else PubRec(packet.packet_id))
            elif isinstance(packet, PubRel):
                await hand.sends(PubComp(packet.packet_id))


# Given up


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("spoken", ["3.1.1", "3.1"])
async def test_it_is_refused_after_five_connections(
    qos: int, spoken: Version, caplog: pytest.LogCaptureFixture
) -> None:
    server = Squeamish()
    async with playing(server) as played:
        async with Client(played.address, version=spoken, reconnect=SOON) as client:
            async with asyncio.timeout(SECONDS):
                with pytest.raises(telex.Refused, match="'a' is given up: 5 times in a row") as caught:
                    await client.publish("a", POISON, qos=qos)
                assert caught.value.reason_code == ReasonCode.PACKET_TOO_LARGE
                assert server.times == LOSSES
                assert await client.publish("a", b"next", qos=qos) == 0
    assert server.taken == [b"next"]
    assert (server.times, played.connections) == (LOSSES, LOSSES + 1)
    [error] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert error.name == "telex.client"
    assert "'a'" in error.getMessage()


@pytest.mark.parametrize("reason_code", [ReasonCode.NOT_AUTHORIZED, ReasonCode.PACKET_TOO_LARGE])
async def test_with_mqtt_5_the_broker_may_say_that_it_is_that_message(reason_code: ReasonCode) -> None:
    times = 0

    async def script(hand: Hand, connection: int) -> None:
        nonlocal times
        assert isinstance(await hand.gets(), Connect)
        await hand.sends(ConnAck())
        while isinstance(packet := await hand.gets(), Publish):
            if packet.payload == POISON:
                times += 1
                await hand.sends(Disconnect(reason_code))
                return
            await hand.sends(PubAck(packet.packet_id))

    async with playing(script) as played:
        async with Client(played.address, version="5", reconnect=SOON) as client, asyncio.timeout(SECONDS):
            with pytest.raises(telex.Refused, match="'a' is given up: 5 times in a row") as caught:
                await client.publish("a", POISON, qos=1)
            assert await client.publish("a", b"next", qos=1) == 0
    assert (times, caught.value.reason_code) == (LOSSES, reason_code)


@pytest.mark.parametrize("qos", [1, 2])
async def test_those_before_it_and_behind_it_arrive_once_each(qos: int) -> None:
    server = Squeamish()
    async with playing(server) as played:
        async with Client(played.address, version="3.1.1", reconnect=SOON) as client:
            payloads = [b"1", b"2", POISON, b"3", b"4"]
            async with asyncio.timeout(SECONDS):
                done = await asyncio.gather(
                    *[client.publish("a", payload, qos=qos) for payload in payloads], return_exceptions=True
                )
    assert [type(each) for each in done] == [ReasonCode, ReasonCode, telex.Refused, ReasonCode, ReasonCode]
    assert server.taken == [b"1", b"2", b"3", b"4"]
    assert server.times == (LOSSES if qos == 1 else LOSSES + 1)  # those before it are completed on the second one


async def test_two_of_them_are_given_up_one_after_the_other() -> None:
    server = Squeamish()
    async with playing(server) as played:
        async with Client(played.address, version="3.1.1", reconnect=SOON) as client:
            async with asyncio.timeout(SECONDS):
                payloads = [POISON, b"between", POISON, b"last"]
                done = await asyncio.gather(
                    *[client.publish("a", payload, qos=1) for payload in payloads], return_exceptions=True
                )
    assert [isinstance(each, telex.Refused) for each in done] == [True, False, True, False]
    assert server.taken == [b"between", b"last"]
    assert server.times == 2 * LOSSES


async def test_a_stream_counts_it_and_goes_on() -> None:
    server = Squeamish()
    async with playing(server) as played:
        async with Client(played.address, version="3.1.1", reconnect=SOON) as client:
            async with asyncio.timeout(SECONDS):
                with pytest.raises(telex.Refused, match="1 of 3 were refused"):
                    await client.publish_many([("a", b"1"), ("a", POISON), ("a", b"2")], qos=1)
    assert server.taken == [b"1", b"2"]


async def test_it_is_given_up_though_nobody_waits_for_it_any_more() -> None:
    server = Squeamish()
    async with playing(server) as played:
        async with Client(played.address, version="3.1.1", reconnect=SOON) as client:
            task = asyncio.create_task(client.publish("a", POISON, qos=1))
            await asyncio.sleep(0)
            task.cancel()
            async with asyncio.timeout(SECONDS):
                assert await client.publish("a", b"next", qos=1) == 0
    assert server.taken == [b"next"]


async def test_a_flush_does_not_wait_for_it() -> None:
    async with playing(Squeamish()) as played:
        async with Client(played.address, version="3.1.1", reconnect=SOON) as client:
            task = asyncio.create_task(client.publish("a", POISON, qos=1))
            await asyncio.sleep(0)
            await client.flush(timeout=SECONDS)
            assert isinstance(task.exception(), telex.Refused)


@pytest.mark.parametrize("qos", [1, 2])
async def test_an_outbox_drops_it_and_logs_that(qos: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = Squeamish()
    outbox = telex.Outbox(tmp_path / "out.db")
    async with playing(server) as played:
        box = Client(played.address, client_id="c", outbox=outbox, version="3.1.1", reconnect=SOON)
        async with box as client, asyncio.timeout(SECONDS):
            for payload in (b"1", POISON, b"2"):
                await client.publish("a", payload, qos=qos)
            await client.flush()
            assert outbox.waiting == 0
        again = telex.Outbox(tmp_path / "out.db")  # nor does it come back with the next program
        async with Client(played.address, client_id="c", outbox=again, version="3.1.1", reconnect=SOON) as client:
            async with asyncio.timeout(SECONDS):
                await client.publish("a", b"3", qos=qos)
                await client.flush()
    assert server.taken == [b"1", b"2", b"3"]
    assert server.times == (LOSSES if qos == 1 else LOSSES + 1)  # those before it are completed on the second one
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert any("'a' is given up" in error for error in errors), errors


@pytest.mark.parametrize("size", [100_000, 5_000_000])
async def test_mosquitto_refuses_what_is_too_large_in_no_other_way(size: int, tmp_path: Path) -> None:
    port = free_port()
    config = tmp_path / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_packet_size 50000\nlog_type error\n")
    with running(find("mosquitto"), "-c", str(config)):
        wait_for_port(port)
        async with Client(f"mqtt://127.0.0.1:{port}", version="3.1.1", reconnect=SOON) as client:
            async with asyncio.timeout(SECONDS), client.subscribe("a", qos=1) as messages:
                with pytest.raises(telex.Refused, match="too large"):
                    await client.publish("a", bytes(size), qos=1)
                await client.publish("a", b"next", qos=1)
                assert (await messages.next()).payload == b"next"


# Not given up


async def test_a_line_that_is_cut_after_each_message_costs_none() -> None:
    """There is progress in between."""
    table = Table(is_obliging=False)
    number = 4 * LOSSES
    async with Client(table, version="3.1.1", reconnect=SOON) as client:
        tasks = [asyncio.create_task(client.publish("a", b"x", qos=1)) for _ in range(number)]
        for each in range(1, number + 1):
            side = await table.connection(each)
            side.sends(PubAck((await side.gets(Publish)).packet_id))
            side.ends()
        async with asyncio.timeout(SECONDS):
            assert await asyncio.gather(*tasks) == [0] * number


@pytest.mark.parametrize("qos", [1, 2])
async def test_what_arrives_in_the_end_begins_the_count_anew(qos: int) -> None:
    table = Table(is_obliging=False)
    async with Client(table, version="3.1.1", reconnect=SOON) as client:
        connection = 0
        for _ in range(3):
            task = asyncio.create_task(client.publish("a", b"x", qos=qos))
            for _ in range(LOSSES - 1):
                connection += 1
                side = await table.connection(connection)
                await side.gets(Publish)
                side.ends()
            side = await table.connection(connection + 1)
            packet = await side.gets(Publish)
            side.is_obliging = True
            side.oblige(packet)
            assert await asyncio.wait_for(task, SECONDS) == 0


async def test_what_was_never_sent_is_not_to_blame() -> None:
    table = Table(is_obliging=False)
    async with Client(table, version="3.1.1", reconnect=SOON, most_in_flight=1) as client:
        first = asyncio.create_task(client.publish("a", b"first", qos=1))
        second = asyncio.create_task(client.publish("a", b"second", qos=1))
        for number in range(1, LOSSES + 1):
            side = await table.connection(number)
            assert (await side.gets(Publish)).payload == b"first"
            side.ends()
        with pytest.raises(telex.Refused):
            await asyncio.wait_for(first, SECONDS)
        side = await table.connection(LOSSES + 1)
        side.sends(PubAck((await side.gets(Publish)).packet_id))
        assert await asyncio.wait_for(second, SECONDS) == 0


async def test_what_the_broker_has_taken_is_not_to_blame() -> None:
    """After PUBREC the message is the broker's: that PUBREL is answered is only a question of time."""
    table = Table(ConnAck(), *[KEPT] * 20, is_obliging=False)
    kept = Client(table, client_id="c", session_expiry_interval=60, version="3.1.1", reconnect=SOON)
    async with kept as client:
        task = asyncio.create_task(client.publish("a", b"x", qos=2))
        side = await table.connection(1)
        side.sends(PubRec((await side.gets(Publish)).packet_id))
        for number in range(2, 2 * LOSSES):
            await side.gets(PubRel)
            side.ends()
            side = await table.connection(number)
        side.sends(PubComp((await side.gets(PubRel)).packet_id))
        assert await asyncio.wait_for(task, SECONDS) == 0


async def losses(table: Table, client: Client, lose: Callable[[Side], None]) -> None:
    """A message that is the first on its way whenever the connection is lost, and arrives at last."""
    task = asyncio.create_task(client.publish("a", b"x", qos=1))
    for number in range(1, 3 * LOSSES):
        side = await table.connection(number)
        await side.gets(Publish)
        lose(side)
    side = await table.connection(3 * LOSSES)
    side.sends(PubAck((await side.gets(Publish)).packet_id))
    assert await asyncio.wait_for(task, SECONDS) == 0


def is_silent(side: Side) -> None:
    """The server gives no sign of life: the link's clock ends the connection so."""
    link = side._handler
    assert isinstance(link, Link)
    link.abort(telex.Timeout("no sign of life from the server"))


def is_unreachable(side: Side) -> None:
    side.ends("the connection broke: [Errno 113] No route to host")


def goes_down(side: Side) -> None:
    side.sends(Disconnect(ReasonCode.SERVER_SHUTTING_DOWN))


async def test_losses_by_time_out_do_not_count() -> None:
    table = Table(is_obliging=False)
    async with Client(table, version="3.1.1", reconnect=SOON) as client:
        await losses(table, client, is_silent)


async def test_losses_of_the_network_do_not_count() -> None:
    table = Table(is_obliging=False)
    async with Client(table, version="3.1.1", reconnect=SOON) as client:
        await losses(table, client, is_unreachable)


@pytest.mark.parametrize("lose", [goes_down, is_silent, is_unreachable, Side.ends])
async def test_with_mqtt_5_a_broker_has_words_and_nothing_is_given_up(lose: Callable[[Side], None]) -> None:
    table = Table(ConnAck(), *[KEPT] * 3 * LOSSES, is_obliging=False)
    async with Client(table, reconnect=SOON) as client:
        await losses(table, client, lose)


async def test_with_mqtt_5_the_outbox_keeps_it(tmp_path: Path) -> None:
    table = Table(ConnAck(), *[KEPT] * 3 * LOSSES, is_obliging=False)
    outbox = telex.Outbox(tmp_path / "out.db")
    box = Client(table, client_id="c", session_expiry_interval=60, outbox=outbox, reconnect=SOON)
    async with box as client:
        await client.publish("a", b"x", qos=1)
        for number in range(1, 2 * LOSSES):
            side = await table.connection(number)
            await side.gets(Publish)
            side.ends()
        assert outbox.waiting == 1
        side = await table.connection(2 * LOSSES)
        side.sends(PubAck((await side.gets(Publish)).packet_id))
        await client.flush(timeout=SECONDS)
        assert outbox.waiting == 0
