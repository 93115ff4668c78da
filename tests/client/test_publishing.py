"""What a client publishes: order, room, cancellation, loss, and the outbox. The server is played by the test."""

import asyncio
import logging
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from telex.client.aio import Client
from telex.client.outbox import Outbox
from telex.client.reconnect import Reconnect
from telex.errors import NotConnected, Refused
from telex.wire.packets import ConnAck, Disconnect, PubAck, PubComp, Publish, PubRec, PubRel, Subscribe
from telex.wire.properties import Properties
from tests.client.table import SECONDS, SILENCE, Side, Table, nothing_is_left, turns

SOON = Reconnect(first=0.001, most=0.002)


def payloads(side: Side) -> list[bytes]:
    """What has been published, in order."""
    return [packet.payload for packet in side.all(Publish)]


async def published(side: Side, number: int) -> None:
    """Wait until so many publications have come."""
    async with asyncio.timeout(SECONDS):
        while len(side.all(Publish)) < number:
            await asyncio.sleep(0)


# Order and room


async def test_all_of_one_turn_leave_in_the_order_of_the_calls() -> None:
    table = Table()
    async with Client(table) as client:
        await asyncio.gather(*[client.publish("a", str(number), qos=number % 3) for number in range(30)])
        assert payloads(table.side) == [b"%d" % number for number in range(30)]


async def test_without_a_connection_they_wait_in_their_order() -> None:
    table = Table()
    async with Client(table, reconnect=SOON) as client:
        table.answers.append(SILENCE)
        table.side.ends()
        tasks = [asyncio.create_task(client.publish("a", str(number), qos=number % 3)) for number in range(30)]
        side = await table.connection(2)
        await turns()
        assert not any(task.done() for task in tasks)
        side.sends(ConnAck())
        await asyncio.gather(*tasks)
        assert payloads(side) == [b"%d" % number for number in range(30)]


async def test_a_server_that_does_not_keep_up_makes_publishers_wait() -> None:
    table = Table()
    async with Client(table) as client:
        table.side.stalls()
        tasks = [asyncio.create_task(client.publish("a", str(number))) for number in range(3)]
        await turns()
        assert not any(task.done() for task in tasks)
        table.side.flows()
        await asyncio.gather(*tasks)
        await turns()
        assert payloads(table.side) == [b"0", b"1", b"2"]


async def test_no_more_than_some_thousand_are_on_their_way() -> None:
    table = Table(is_obliging=False)
    async with Client(table) as client:
        tasks = [asyncio.create_task(client.publish("a", b"x", qos=1)) for _ in range(10_000)]
        await turns(100)
        assert len(table.side.all(Publish)) == 4_096
        table.side.is_obliging = True
        for packet in table.side.all(Publish):
            table.side.sends(PubAck(packet.packet_id))
        await asyncio.gather(*tasks)
        assert len(table.side.all(Publish)) == 10_000


async def test_the_servers_receive_maximum_and_ours_are_kept() -> None:
    for most, allowed in ((3, 5), (5, 3)):
        table = Table(ConnAck(properties=Properties(receive_maximum=allowed)), is_obliging=False)
        async with Client(table, most_in_flight=most) as client:
            tasks = [asyncio.create_task(client.publish("a", b"x", qos=1)) for _ in range(10)]
            await turns()
            assert len(table.side.all(Publish)) == 3
            for number in range(10):
                await published(table.side, number + 1)
                table.side.sends(PubAck(table.side.all(Publish)[number].packet_id))
            await asyncio.gather(*tasks)


async def test_a_refusal_reaches_its_publisher_alone() -> None:
    table = Table(is_obliging=False)
    async with Client(table) as client:
        good, bad, unheard = [asyncio.create_task(client.publish(topic, b"", qos=1)) for topic in "abc"]
        await turns()
        table.side.sends(PubAck(2, 0x87), PubAck(1), PubAck(3, 0x10))
        assert await good == 0
        assert await unheard == 0x10
        with pytest.raises(Refused, match="the broker refuses the message to 'b': 0x87 not authorized") as info:
            await bad
        assert info.value.reason_code == 0x87


async def test_what_cannot_be_published_uses_nothing_up() -> None:
    table = Table(ConnAck(properties=Properties(maximum_packet_size=100, maximum_qos=1, retain_available=0)))
    async with Client(table) as client:
        for topic, payload, options, match in (
            ("a/+", b"", {}, "a/+"),
            ("", b"", {}, "topic"),
            ("a", bytes(200), {}, "the server takes 100 at most"),
            ("a", b"", {"qos": 2}, "the server takes 1 at most"),
            ("a", b"", {"retain": True}, "does not take retained messages"),
            ("a", b"", {"qos": 3}, "QoS is 3, expected 0, 1 or 2"),
            ("a", b"", {"topic_alias": 1}, "topic alias 1: the server takes none"),
        ):
            with pytest.raises(ValueError, match=match.replace("+", r"\+")):
                await client.publish(topic, payload, **options)
        assert await client.publish("a", b"good", qos=1) == 0
        assert table.side.all(Publish) == [Publish("a", b"good", 1, packet_id=1)]


async def test_what_was_waiting_and_the_server_does_not_take_is_told_to_its_publisher() -> None:
    table = Table()
    async with Client(table, reconnect=SOON) as client:
        table.answers.append(ConnAck(properties=Properties(maximum_packet_size=100)))
        table.side.ends()
        bad, good = [asyncio.create_task(client.publish("a", bytes(size), qos=1)) for size in (200, 10)]
        assert await good == 0
        with pytest.raises(ValueError, match="the server takes 100 at most"):
            await bad


# Cancellation


async def test_a_publish_that_is_cancelled_while_it_waits_is_not_sent() -> None:
    table = Table()
    async with Client(table) as client:
        table.side.stalls()
        first, second = [asyncio.create_task(client.publish("a", text)) for text in ("1", "2")]
        await turns()
        first.cancel()
        await turns()
        table.side.flows()
        await second
        await turns()
        assert payloads(table.side) == [b"2"]


async def test_one_that_is_cancelled_in_flight_is_completed_all_the_same() -> None:
    table = Table(is_obliging=False)
    async with Client(table) as client:
        task = asyncio.create_task(client.publish("a", b"x", qos=2))
        await turns()
        task.cancel()
        await turns()
        assert task.cancelled()
        table.side.sends(PubRec(1))
        assert await table.side.gets(PubRel) == PubRel(1)
        table.side.sends(PubComp(1))
        table.side.is_obliging = True
        assert await client.publish("a", b"y", qos=2) == 0


async def test_giving_up_again_and_again_while_the_broker_is_away_needs_no_memory() -> None:
    table = Table()
    async with Client(table) as client:
        table.side.stalls()
        tracemalloc.start()
        try:
            for _ in range(100):
                tasks = [asyncio.create_task(client.publish("a", bytes(100_000), qos=1)) for _ in range(10)]
                await turns(2)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                del tasks, task
            now, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert now < 10_000_000  # of 100 MB
        table.side.flows()


async def test_whoever_waits_behind_a_stream_that_does_not_use_its_turn_is_not_forgotten() -> None:
    table = Table()
    async with Client(table) as client:
        table.side.stalls()
        stream = asyncio.create_task(client.publish_many([("a", b"never")]))
        await turns()
        behind = asyncio.create_task(client.publish("b", b"x"))
        await turns()
        table.side.flows()  # the stream has its turn ...
        stream.cancel()  # ... and is cancelled
        async with asyncio.timeout(SECONDS):
            await behind
        await turns()
        assert payloads(table.side) == [b"x"]


# Streams


async def numbers(number: int) -> AsyncIterator[tuple[str, object]]:
    for index in range(number):
        yield "a", index
        if index % 10 == 0:
            await asyncio.sleep(0)


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_a_stream_arrives_in_its_order(qos: int) -> None:
    table = Table()
    async with Client(table) as client:
        assert await client.publish_many((("a", index) for index in range(1_000)), qos=qos) == 1_000
        assert await client.publish_many(numbers(1_000), qos=qos) == 1_000
        await turns()
        assert payloads(table.side) == [b"%d" % index for index in range(1_000)] * 2
        assert await client.publish_many([], qos=qos) == 0


async def test_others_have_their_turn_while_a_stream_goes_on() -> None:
    table = Table()
    async with Client(table) as client:
        stream = asyncio.create_task(client.publish_many([("a", "s")] * 20_000, qos=1))
        await turns(3)
        await client.publish("b", b"other", qos=1)
        assert not stream.done()
        assert await stream == 20_000


async def test_two_streams_share_the_way() -> None:
    table = Table()
    async with Client(table) as client:
        await asyncio.gather(*[client.publish_many([(name, name)] * 5_000, qos=1) for name in "ab"])
        seen = payloads(table.side)
        assert len(seen) == 10_000
        first_half = seen[:5_000]
        assert 1_000 < first_half.count(b"a") < 4_000


async def test_what_a_stream_says_goes_with_each_message() -> None:
    table = Table(ConnAck(properties=Properties(topic_alias_maximum=5)))
    async with Client(table) as client:
        await client.publish_many(
            [("a", {"x": 1}), ("b", b"raw")],
            retain=True,
            message_expiry_interval=60,
            response_topic="r",
            correlation_data=b"c",
            payload_format_indicator=1,
            user_properties={"k": "v"},
        )
        one, other = [await table.side.gets(Publish) for _ in range(2)]
        said = Properties(
            message_expiry_interval=60,
            response_topic="r",
            correlation_data=b"c",
            payload_format_indicator=1,
            user_properties=(("k", "v"),),
        )
        assert (other.retain, other.properties) == (True, said)
        said.content_type = "application/json"
        assert one.properties == said


async def test_refusals_in_a_stream_are_counted_and_the_rest_is_published() -> None:
    table = Table(is_obliging=False)
    async with Client(table) as client:
        stream = asyncio.create_task(client.publish_many([(str(number), b"") for number in range(5)], qos=1))
        await published(table.side, 5)
        table.side.sends(*[PubAck(number + 1, 0x87 if number in (1, 3) else 0) for number in range(5)])
        with pytest.raises(
            Refused, match="the broker refuses the message to '1': 0x87 not authorized; 2 of 5 were refu"
        ):
            await stream


async def test_a_slip_in_a_stream_ends_it_when_what_was_before_it_is_done() -> None:
    table = Table()
    async with Client(table) as client:
        with pytest.raises(ValueError, match="are for filters only"):
            await client.publish_many([("a", b"1"), ("a/#", b"2"), ("a", b"3")], qos=1)
        assert payloads(table.side) == [b"1"]


async def test_a_stream_goes_on_after_a_loss() -> None:
    table = Table()
    gate = asyncio.Event()

    async def messages() -> AsyncIterator[tuple[str, object]]:
        yield "a", b"1"
        await gate.wait()
        yield "a", b"2"

    async with Client(table, reconnect=SOON) as client:
        stream = asyncio.create_task(client.publish_many(messages(), qos=1))
        await published(table.side, 1)
        table.side.ends()
        gate.set()
        assert await stream == 2
        assert payloads(table.side)[-1:] == [b"2"]


async def test_a_stream_whose_client_is_closed_says_so() -> None:
    table = Table(is_obliging=False)
    gate = asyncio.Event()

    async def messages() -> AsyncIterator[tuple[str, object]]:
        yield "a", b"1"
        await gate.wait()
        yield "a", b"2"

    async with Client(table) as client:
        going_on = asyncio.create_task(client.publish_many(messages(), qos=1))
        ended = asyncio.create_task(client.publish_many([("a", b"3")], qos=1))
        await published(table.side, 2)
    gate.set()
    async with asyncio.timeout(SECONDS):
        for stream in (going_on, ended):
            with pytest.raises(NotConnected, match="the client was closed"):
                await stream
    await nothing_is_left()


async def test_a_stream_that_is_cancelled_waits_for_nothing() -> None:
    table = Table(is_obliging=False)

    async def messages() -> AsyncIterator[tuple[str, object]]:
        yield "a", b"1"
        await asyncio.Event().wait()

    async with Client(table) as client:
        stream = asyncio.create_task(client.publish_many(messages(), qos=1))
        await published(table.side, 1)
        stream.cancel()
        await turns()
        assert stream.cancelled()


async def test_a_slow_stream_reads_its_answers_though_a_queue_is_full() -> None:
    table = Table()
    steps = asyncio.Queue[bytes]()

    async def messages() -> AsyncIterator[tuple[str, object]]:
        while step := await steps.get():
            yield "out", step

    async with Client(table) as client, client.subscribe("in", queue=1) as subscription:
        stream = asyncio.create_task(client.publish_many(messages(), qos=1))
        await turns()
        for number in range(3):
            table.side.sends(Publish("in", b"flood"), Publish("in", b"flood"))
            await turns()
            assert not table.side.is_read  # nobody takes messages out, and nothing else is to come
            steps.put_nowait(b"%d" % number)
            await published(table.side, number + 1)
            await turns()
        steps.put_nowait(b"")
        async with asyncio.timeout(SECONDS):
            assert await stream == 3
        assert subscription.waiting >= 1


# Loss


async def test_nobody_who_waits_for_room_notices_a_goodbye_of_the_broker() -> None:
    table = Table()
    async with Client(table, reconnect=SOON) as client:
        table.side.stalls()
        waiting = [asyncio.create_task(client.publish("a", str(number), qos=number % 3)) for number in range(6)]
        await turns()
        table.side.is_writable = True
        table.side.sends(Disconnect(0x8B))
        late = asyncio.create_task(client.publish("a", "late"))
        many = asyncio.create_task(client.publish_many([("a", "many")] * 3, qos=1))
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(*waiting, late, many)
        assert len(table.sides) == 2
        assert payloads(table.side)[:6] == [b"%d" % number for number in range(6)]


async def test_what_was_in_flight_is_completed_on_the_next_connection() -> None:
    table = Table(is_obliging=False)
    async with Client(table, reconnect=SOON) as client:
        table.answers.append(ConnAck(session_present=True))
        one, two, released = [
            asyncio.create_task(client.publish(topic, b"", qos=qos))
            for topic, qos in (("one", 1), ("two", 2), ("released", 2))
        ]
        await published(table.side, 3)
        table.side.sends(PubRec(3))
        await table.side.gets(PubRel)
        table.side.ends()
        side = await table.connection(2)
        await published(side, 2)
        assert side.got[1:] == [
            PubRel(3),
            Publish("one", b"", 1, dup=True, packet_id=1),
            Publish("two", b"", 2, dup=True, packet_id=2),
        ]
        side.sends(PubAck(1), PubRec(2), PubComp(2), PubComp(3))
        assert [await task for task in (one, two, released)] == [0, 0, 0]


async def test_however_often_the_link_is_cut() -> None:
    table = Table(*[ConnAck()] + [ConnAck(session_present=True)] * 20, is_obliging=False)
    async with Client(table, reconnect=SOON) as client:
        task = asyncio.create_task(client.publish("a", b"x", qos=1))
        for number in range(1, 12):
            side = await table.connection(number)
            await published(side, 1)
            side.ends("the connection broke: no route to host")
        side = await table.connection(12)
        side.sends(PubAck((await side.gets(Publish)).packet_id))
        assert await task == 0


async def test_whoever_waits_when_the_client_is_closed_is_told() -> None:
    table = Table(is_obliging=False)
    async with Client(table) as client:
        in_flight = asyncio.create_task(client.publish("a", b"", qos=1))
        await turns()
        table.side.stalls()
        waiting = [asyncio.create_task(client.publish("a", b"", qos=qos)) for qos in (0, 1)]
        stream = asyncio.create_task(client.publish_many([("a", b"")]))
        await turns()
    for result in await asyncio.gather(in_flight, *waiting, stream, return_exceptions=True):
        assert isinstance(result, NotConnected)
    with pytest.raises(NotConnected, match="the client was closed"):
        await client.publish("a", b"")
    await nothing_is_left()


# The outbox


async def test_what_is_in_the_outbox_leaves_in_its_order(tmp_path: Path) -> None:
    table = Table(OSError("not there"), SILENCE)
    async with Client(table, client_id="c", outbox=str(tmp_path / "out.db"), reconnect=SOON) as client:
        for number in range(50):
            assert await client.publish("a", number, qos=1 + number % 2) == 0
        side = await table.connection(1)
        side.sends(ConnAck())
        await published(side, 50)
        assert payloads(side) == [b"%d" % number for number in range(50)]


async def test_nothing_of_qos_2_leaves_before_its_packet_id_is_on_the_disk(tmp_path: Path) -> None:
    table = Table()
    outbox = Outbox(str(tmp_path / "out.db"))
    async with Client(table, client_id="c", outbox=outbox) as client:
        await client.publish("a", b"x", qos=2)
        await published(table.side, 1)
        (packet,) = table.side.all(Publish)
        assert outbox.committed > 0
        assert packet.packet_id > 0
        await table.side.gets(PubRel)


async def test_a_refusal_of_what_is_in_the_outbox_is_logged_and_done(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = Table(is_obliging=False)
    path = str(tmp_path / "out.db")
    with caplog.at_level(logging.ERROR, "telex.client"):
        async with Client(table, client_id="c", outbox=path) as client:
            await client.publish("forbidden", b"x", qos=1)
            side = await table.connection(1)
            packet = await side.gets(Publish)
            side.sends(PubAck(packet.packet_id, 0x87))
            await turns()
    assert "the broker refuses a message of the outbox, on topic 'forbidden': 0x87 not authorized" in caplog.text
    again = Table()
    async with Client(again, client_id="c", outbox=path) as client:
        await client.wait_connected()
        await client.publish("a", b"next", qos=1)
        await published(again.side, 1)
        assert payloads(again.side) == [b"next"]


async def test_qos_0_in_the_outbox_survives_a_program_that_never_had_a_connection(tmp_path: Path) -> None:
    path = str(tmp_path / "out.db")
    away = Table(*[OSError("not there")] * 1000)
    async with Client(away, client_id="c", outbox=Outbox(path, keep_qos0=True), reconnect=SOON) as client:
        for number in range(3):
            await client.publish("a", number)
        await asyncio.wait_for(asyncio.shield(asyncio.create_task(attempts(away, 5))), SECONDS)
    table = Table()
    async with Client(table, client_id="c", outbox=Outbox(path, keep_qos0=True)):
        side = await table.connection(1)
        await published(side, 3)
        assert payloads(side) == [b"0", b"1", b"2"]


async def attempts(table: Table, number: int) -> None:
    while table.attempts < number:
        await asyncio.sleep(0)


async def test_the_outbox_goes_on_after_a_goodbye_of_the_broker(tmp_path: Path) -> None:
    table = Table()
    async with Client(table, client_id="c", outbox=str(tmp_path / "out.db"), reconnect=SOON) as client:
        await client.wait_connected()
        await client.publish("a", b"1", qos=1)
        await published(table.side, 1)
        await turns()
        side = table.side
        side.sends(Disconnect(0x8B))
        for number in (2, 3, 4):
            await client.publish("a", number, qos=1)
        other = await table.connection(2)
        await published(other, 3)
        assert payloads(other)[-3:] == [b"2", b"3", b"4"]


async def test_a_stream_into_the_outbox_is_done_when_it_is_stored(tmp_path: Path) -> None:
    table = Table(*[OSError("not there")] * 1000)
    path = str(tmp_path / "out.db")
    async with Client(table, client_id="c", outbox=path, reconnect=SOON) as client:
        assert await client.publish_many((("a", number) for number in range(1_000)), qos=1) == 1_000
    again = Table()
    async with Client(again, client_id="c", outbox=path):
        side = await again.connection(1)
        await published(side, 1_000)
        assert payloads(side) == [b"%d" % number for number in range(1_000)]


async def test_what_the_server_does_not_take_leaves_the_outbox(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = Table(ConnAck(properties=Properties(maximum_packet_size=100)))
    async with Client(table, client_id="c", outbox=str(tmp_path / "out.db")) as client:
        await client.publish("a", bytes(200), qos=1)
        await client.publish("a", b"small", qos=1)
        side = await table.connection(1)
        await published(side, 1)
        assert payloads(side) == [b"small"]
    assert "a message of the outbox cannot be sent and is dropped" in caplog.text


async def test_a_subscription_overtakes_nothing_that_was_published_before_it() -> None:
    table = Table()
    async with Client(table) as client:
        publishing = asyncio.create_task(client.publish("a", b"x", qos=1))
        await turns(1)
        async with client.subscribe("a"):
            await publishing
        assert [type(packet) for packet in table.side.got[1:3]] == [Publish, Subscribe]
