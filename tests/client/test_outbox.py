"""The outbox on disk: what was put waits there in order, whatever happens to the program, the disk and the file."""

import asyncio
import logging
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from telex.client.outbox import Outbox, OutboxMessage
from telex.errors import OutboxFull
from telex.flow import Delivery, Sender
from telex.wire.properties import Properties

SECONDS = 20.0
"""How long anything may take before its test fails."""

PAGE = 500
"""More messages than this are not in memory at a time."""


class Clock:
    """A wall clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.db"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@asynccontextmanager
async def at_work(path: Path, client_id: str = "c", **arguments: Any) -> AsyncIterator[Outbox]:
    """An outbox with nothing in flight, from its opening to its end."""
    outbox = Outbox(path, **arguments)
    async with asyncio.timeout(SECONDS):
        assert await outbox.open(client_id) == []
        try:
            yield outbox
        finally:
            await outbox.close()


async def puts(outbox: Outbox, *payloads: bytes, qos: int = 1) -> list[int]:
    """Put these at the same time."""
    return await asyncio.gather(*[outbox.put("a", payload, qos, False) for payload in payloads])


async def taken(outbox: Outbox, how_many: int) -> list[OutboxMessage]:
    """The next messages."""
    return [await anext(outbox) for _ in range(how_many)]


def payloads_of(messages: list[OutboxMessage]) -> list[bytes]:
    return [message.payload for message in messages]


async def left_in(path: Path, client_id: str = "c") -> list[bytes]:
    """All that waits in the file of an outbox that is closed; none of it was in flight."""
    async with at_work(path, client_id) as outbox:
        return payloads_of(await taken(outbox, outbox.waiting))


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    """What people find who look into the file."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def change(path: Path, *statements: str) -> None:
    """Meddle with the file of an outbox that is closed."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


# What goes in comes out


async def test_what_was_put_is_given_back_whole_and_in_order(path: Path, clock: Clock) -> None:
    said = Properties(
        content_type="text/plain",
        response_topic="r/é",
        correlation_data=b"\0\1",
        user_properties=(("a", "1"), ("a", "2")),
        payload_format_indicator=1,
    )
    async with at_work(path, clock=clock) as outbox:
        first = await outbox.put("home/é", b"\0\xff", 1, True, said)
        second = await outbox.put("b", b"", 2, False)
        assert first < second
        assert (outbox.waiting, outbox.waiting_bytes > 0) == (2, True)
        for _ in range(2):  # from memory, and from the file
            one, two = await taken(outbox, 2)
            assert (one.topic, one.payload, one.qos, one.retain, one.properties) == ("home/é", b"\0\xff", 1, True, said)
            assert (two.topic, two.payload, two.qos, two.retain, two.properties) == ("b", b"", 2, False, None)
            assert [each.number for each in (one, two)] == [first, second]
            assert not one.packet_id
            await outbox.close()
            assert await outbox.open("c") == []


async def test_messages_put_at_the_same_time_share_a_commit_and_keep_their_order(path: Path) -> None:
    async with at_work(path) as outbox:
        commits = 0

        def on_committed() -> None:
            nonlocal commits
            commits += 1

        await outbox.close()
        await outbox.open("c", on_committed)
        expected = [b"%d" % number for number in range(400)]
        numbers = await puts(outbox, *expected)
        assert numbers == sorted(numbers)
        assert commits <= 3
        assert payloads_of(await taken(outbox, 400)) == expected


async def test_what_waits_is_read_page_by_page_behind_what_was_put_before(path: Path) -> None:
    expected = [b"%d" % number for number in range(3 * PAGE + 7)]
    async with at_work(path) as outbox:
        await puts(outbox, *expected[:-1])
        found = payloads_of(await taken(outbox, PAGE + 3))
        await puts(outbox, expected[-1])
        found += payloads_of(await taken(outbox, len(expected) - len(found)))
        assert found == expected
        assert outbox.take() is None
    assert await left_in(path) == expected  # nothing was done with it


async def test_large_messages_come_in_small_pages(path: Path) -> None:
    async with at_work(path) as outbox:
        expected = [bytes([number]) * 400_000 for number in range(12)]
        await puts(outbox, *expected)
        await outbox.close()
        await outbox.open("c")
        assert payloads_of(await taken(outbox, 12)) == expected


async def test_whoever_iterates_waits_for_more_until_the_end(path: Path) -> None:
    async with at_work(path) as outbox:
        found: list[bytes] = []

        async def pump() -> None:
            async for message in outbox:
                found.append(message.payload)
                outbox.done(message.number)

        task = asyncio.create_task(pump())
        for number in range(5):
            await outbox.put("a", b"%d" % number, 1, False)
        await asyncio.sleep(0)
        await outbox.close()
        await task
    assert found == [b"0", b"1", b"2", b"3", b"4"]
    assert await left_in(path) == []


async def test_what_is_done_is_gone_and_the_rest_keeps_its_order(path: Path) -> None:
    async with at_work(path) as outbox:
        await puts(outbox, b"1", b"2", b"3", b"4")
        for message in await taken(outbox, 4):
            if message.payload in (b"1", b"3"):
                outbox.done(message.number)
                outbox.done(message.number)  # twice is once
        assert outbox.waiting == 2
    assert await left_in(path) == [b"2", b"4"]


async def test_qos_0_waits_only_if_asked(path: Path) -> None:
    async with at_work(path) as outbox:
        assert not outbox.keeps(0)
        with pytest.raises(ValueError, match="keep_qos0"):
            await outbox.put("a", b"x", 0, False)
    async with at_work(path, keep_qos0=True) as outbox:
        assert outbox.keeps(0)
        await outbox.put("a", b"x", 0, False)
        (message,) = await taken(outbox, 1)
        await outbox.settled(outbox.done(message.number))  # before it leaves: it leaves once, or never
        assert rows(path, "SELECT count(*) FROM messages") == [(0,)]


@pytest.mark.parametrize(
    ("topic", "qos", "properties", "match"),
    [
        ("a/#", 1, None, "filters only"),
        ("", 1, None, "empty"),
        ("a", 3, None, "QoS is 3"),
        ("a", 1, Properties(topic_alias=1), "topic alias"),
        ("a", 1, Properties(subscription_identifiers=(1,)), "subscription identifier"),
        ("a", 1, Properties(receive_maximum=1), "receive_maximum"),
        ("a", 1, Properties(response_topic="a/+"), "filters only"),
    ],
)
def test_what_could_never_be_sent_does_not_come_in(
    path: Path, topic: str, qos: int, properties: Properties | None, match: str
) -> None:
    async def story() -> None:
        async with at_work(path) as outbox:
            with pytest.raises(ValueError, match=match):
                await outbox.put(topic, b"x", qos, False, properties)
            assert (outbox.waiting, outbox.waiting_bytes) == (0, 0)

    asyncio.run(story())


async def test_a_put_that_is_cancelled_before_it_began_is_not_stored(path: Path) -> None:
    async with at_work(path) as outbox:
        task = asyncio.create_task(outbox.put("a", b"never", 1, False))
        asyncio.get_running_loop().call_soon(task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        await outbox.put("a", b"later", 1, False)
        assert outbox.waiting == 1
    assert await left_in(path) == [b"later"]


async def test_what_is_put_while_it_closes_is_stored(path: Path) -> None:
    async with at_work(path) as outbox:
        tasks = [asyncio.create_task(outbox.put("a", b"%d" % number, 1, False)) for number in range(20)]
        await asyncio.sleep(0)
        await outbox.close()
        await asyncio.gather(*tasks)
        with pytest.raises(ValueError, match="not open"):
            await outbox.put("a", b"x", 1, False)
        with pytest.raises(OSError, match="closed"):
            await outbox.settled(1_000)
    assert await left_in(path) == [b"%d" % number for number in range(20)]


async def test_a_million_messages_take_no_memory(path: Path) -> None:
    """They are written behind the outbox's back: what counts is how they are read."""
    async with at_work(path) as outbox:
        await outbox.put("a", b"first", 1, False)
    change(
        path,
        """INSERT INTO messages SELECT value, 'home/temp/room', zeroblob(40), 1, 0, NULL, 1.0, NULL
           FROM (WITH RECURSIVE n(value) AS (SELECT 2 UNION ALL SELECT value + 1 FROM n WHERE value < 1000000)
                 SELECT value FROM n)""",
    )
    async with at_work(path, most_messages=2_000_000, most_bytes=2**30) as outbox:
        assert outbox.waiting == 1_000_000
        tracemalloc.start()
        try:
            last = 0
            for message in await taken(outbox, 5 * PAGE):
                assert message.number == last + 1
                last = message.number
                outbox.done(last)
            assert await outbox.put("a", b"last", 1, False) == 1_000_001
            assert tracemalloc.get_traced_memory()[1] < 4_000_000
        finally:
            tracemalloc.stop()
        assert outbox.waiting == 1_000_001 - 5 * PAGE


# Limits


async def test_a_full_outbox_refuses_and_says_what_to_do(path: Path) -> None:
    async with at_work(path, most_messages=2) as outbox:
        await puts(outbox, b"1", b"2")
        with pytest.raises(
            OutboxFull, match=r"2 messages wait in it, most_messages allows 2; .*or allow more"
        ) as caught:
            await outbox.put("a", b"3", 1, False)
        assert str(path) in str(caught.value)
        (message,) = await taken(outbox, 1)
        with pytest.raises(OutboxFull):  # it is on its way, and not done
            await outbox.put("a", b"3", 1, False)
        outbox.done(message.number)
        await outbox.put("a", b"4", 1, False)
        assert (outbox.waiting, outbox.dropped) == (2, 0)
    assert await left_in(path) == [b"2", b"4"]


async def test_bytes_count_too(path: Path) -> None:
    async with at_work(path, most_bytes=100) as outbox:
        with pytest.raises(OutboxFull, match="no room for 101 bytes: it holds 0, most_bytes allows 100"):
            await outbox.put("a", b"x" * 100, 1, False)
        await outbox.put("a", b"x" * 60, 1, False)
        with pytest.raises(OutboxFull, match="no room for 41 bytes: it holds 61"):
            await outbox.put("a", b"x" * 40, 1, False)
        await outbox.put("a", b"x" * 38, 1, False)
        assert outbox.waiting_bytes == 100
    async with at_work(path) as outbox:
        assert outbox.waiting_bytes == 100


async def test_the_oldest_go_if_so_asked_and_are_counted(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with at_work(path, most_messages=3, when_full="drop_oldest") as outbox:
        for number in range(10):
            await outbox.put("a", b"%d" % number, 1, False)
        assert (outbox.waiting, outbox.dropped) == (3, 7)
        await puts(outbox, *[b"%d" % number for number in range(10, 20)])
        assert (outbox.waiting, outbox.dropped) == (3, 17)
    assert [record.getMessage() for record in caplog.records] == [
        f"outbox {path} is full: its oldest messages are dropped, and counted"
    ]
    assert rows(path, "SELECT dropped, expired FROM outbox") == [(17, 0)]
    async with at_work(path) as outbox:
        assert outbox.dropped == 17
    assert await left_in(path) == [b"17", b"18", b"19"]


async def test_the_oldest_go_also_when_they_are_in_the_file_only(path: Path) -> None:
    async with at_work(path, most_messages=4 * PAGE) as outbox:
        await puts(outbox, *[b"%d" % number for number in range(4 * PAGE)])
    async with at_work(path, most_messages=PAGE, when_full="drop_oldest") as outbox:
        assert outbox.waiting == 4 * PAGE
        await outbox.put("a", b"new", 1, False)
        assert (outbox.waiting, outbox.dropped) == (PAGE, 3 * PAGE + 1)
        found = payloads_of(await taken(outbox, PAGE))
        assert found == [b"%d" % number for number in range(3 * PAGE + 1, 4 * PAGE)] + [b"new"]


async def test_what_is_on_its_way_is_never_dropped(path: Path) -> None:
    async with at_work(path, most_messages=2, when_full="drop_oldest") as outbox:
        await puts(outbox, b"1", b"2")
        (first,) = await taken(outbox, 1)
        await puts(outbox, b"3")
        assert outbox.dropped == 1
        (third,) = await taken(outbox, 1)
        assert third.payload == b"3"
        with pytest.raises(OutboxFull, match="2 messages wait"):
            await outbox.put("a", b"4", 1, False)
        outbox.done(first.number)
        await outbox.put("a", b"5", 1, False)
    assert await left_in(path) == [b"3", b"5"]


async def test_puts_that_look_for_room_stay_in_order(path: Path, clock: Clock) -> None:
    async with at_work(path, most_messages=3, clock=clock) as outbox:
        soon = Properties(message_expiry_interval=10)
        for _ in range(3):
            await outbox.put("a", b"old", 1, False, soon)
        clock.now += 11
        await puts(outbox, b"1", b"2", b"3")
        assert (outbox.waiting, outbox.expired) == (3, 3)
        assert payloads_of(await taken(outbox, 3)) == [b"1", b"2", b"3"]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"most_messages": 0}, "most_messages is 0, expected 1 or more"),
        ({"most_bytes": 0}, "most_bytes is 0, expected 1 or more"),
        ({"most_seconds": 0}, "most_seconds is 0, expected more than 0, or None"),
        ({"most_seconds": float("nan")}, "most_seconds is nan"),
        ({"when_full": "explode"}, "when_full is 'explode', expected 'refuse' or 'drop_oldest'"),
        ({"path": ""}, "path is empty"),
    ],
)
def test_limits_that_let_nothing_in_are_refused(arguments: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Outbox(**{"path": "out.db", **arguments})


# Expiry


async def test_what_waits_too_long_does_not_leave(path: Path, clock: Clock) -> None:
    async with at_work(path, most_seconds=60, clock=clock) as outbox:
        await outbox.put("a", b"its own", 1, False, Properties(message_expiry_interval=10))
        await outbox.put("a", b"the outbox's", 1, False, Properties(message_expiry_interval=100))
        await outbox.put("a", b"the outbox's too", 1, False)
        clock.now += 59
        await outbox.put("a", b"new", 1, False)
        clock.now += 1
        (message,) = await taken(outbox, 1)
        assert message.payload == b"new"
        assert (outbox.waiting, outbox.expired, outbox.dropped) == (1, 3, 0)
    assert rows(path, "SELECT dropped, expired FROM outbox") == [(0, 3)]
    async with at_work(path, clock=clock) as outbox:
        assert (outbox.waiting, outbox.expired) == (1, 3)
        clock.now += 60
        assert outbox.take() is None
        await outbox.put("a", b"newer", 1, False)
        assert payloads_of(await taken(outbox, 1)) == [b"newer"]
        assert outbox.expired == 4


async def test_the_time_that_it_waited_is_taken_off_the_expiry_interval(path: Path, clock: Clock) -> None:
    said = Properties(message_expiry_interval=100, content_type="x")
    async with at_work(path, clock=clock) as outbox:
        await asyncio.gather(*[outbox.put("a", b"x", qos, False, said) for qos in (1, 1, 2)])
        clock.now += 9.5
        first = await anext(outbox)
        assert first.properties == Properties(message_expiry_interval=91, content_type="x")  # [MQTT-3.3.2-6]
        clock.now += 20
        second = await anext(outbox)
        assert second.properties == Properties(message_expiry_interval=71, content_type="x")
        third = await anext(outbox)
        await outbox.settled(outbox.sent(third.number, 7))
    assert said.message_expiry_interval == 100
    clock.now += 1_000
    outbox = Outbox(path, clock=clock)
    (again,) = await outbox.open("c")  # a broker that owns its id waits for its end
    assert again.properties == Properties(message_expiry_interval=1, content_type="x")
    assert outbox.take() is None
    await outbox.close()


async def test_a_clock_that_is_set_back_prolongs_nothing(path: Path, clock: Clock) -> None:
    async with at_work(path, clock=clock) as outbox:
        await outbox.put("a", b"x", 1, False, Properties(message_expiry_interval=100))
        clock.now -= 10_000
        (message,) = await taken(outbox, 1)
        assert message.properties == Properties(message_expiry_interval=100)


async def test_what_has_expired_makes_room(path: Path, clock: Clock) -> None:
    """Wherever it stands: on its way, in memory, or in the file only."""
    many = 3 * PAGE
    async with at_work(path, most_messages=many, clock=clock) as outbox:
        for start in range(0, many, PAGE):
            soon = Properties(message_expiry_interval=10 + start)
            await asyncio.gather(*[outbox.put("a", b"%d" % start, 1, False, soon) for _ in range(PAGE)])
        on_its_way = await taken(outbox, 2)
        clock.now += 10 + PAGE  # the last page is not too old
        await outbox.put("a", b"new", 1, False)
        assert (outbox.waiting, outbox.expired) == (2 + PAGE + 1, 2 * PAGE - 2)
        outbox.done(on_its_way[0].number)
        found = payloads_of(await taken(outbox, PAGE + 1))
        assert found == [b"%d" % (2 * PAGE)] * PAGE + [b"new"]
        assert outbox.expired == 2 * PAGE - 2


async def test_a_full_outbox_in_which_nothing_expired_refuses_at_once(path: Path, clock: Clock) -> None:
    async with at_work(path, most_messages=2, most_seconds=60, clock=clock) as outbox:
        await puts(outbox, b"1", b"2")
        (_, _) = await taken(outbox, 2)
        clock.now += 100
        for _ in range(2):  # they are on their way: that they are old makes no room
            with pytest.raises(OutboxFull):
                await outbox.put("a", b"3", 1, False)
        assert (outbox.waiting, outbox.expired) == (2, 0)


# Packet ids


async def test_what_was_in_flight_comes_back_with_its_packet_ids(path: Path) -> None:
    async with at_work(path) as outbox:
        await puts(outbox, *[b"%d" % number for number in range(1, 7)], qos=2)
        one, two, three, four, five = await taken(outbox, 5)
        for message, packet_id in ((one, 65_535), (two, 1), (three, 2), (four, 3), (five, 4)):
            outbox.sent(message.number, packet_id)
        outbox.released(four.number)
        outbox.released(two.number)  # [MQTT-4.6.0-4]: in the order of their PUBRECs
        outbox.done(three.number)
        await outbox.settled(outbox.sent(five.number, 2))
    assert rows(path, "SELECT packet_id, released IS NOT NULL FROM in_flight ORDER BY number") == [
        (65_535, 0),
        (1, 1),
        (3, 1),
        (2, 0),
    ]
    for _ in range(2):  # to be asked once more changes nothing
        outbox = Outbox(path)
        restored = await outbox.open("c")
        assert [(each.payload, each.packet_id, each.is_released) for each in restored] == [
            (b"1", 65_535, False),
            (b"5", 2, False),
            (b"4", 3, True),
            (b"2", 1, True),
        ]
        (sixth,) = await taken(outbox, 1)
        assert (sixth.payload, sixth.packet_id, outbox.waiting) == (b"6", 0, 5)
        await outbox.close()
    outbox = Outbox(path)
    restored = await outbox.open("c")
    outbox.released(restored[0].number)
    for message in restored[1:]:
        outbox.done(message.number)
    await outbox.close()
    restored = await outbox.open("c")
    assert [(each.payload, each.packet_id, each.is_released) for each in restored] == [(b"1", 65_535, True)]
    await outbox.close()


async def test_what_was_said_is_on_the_disk_when_it_is_settled(path: Path) -> None:
    async with at_work(path) as outbox:
        (number,) = await puts(outbox, b"1", qos=2)
        assert rows(path, "SELECT number, topic, CAST(payload AS TEXT), qos FROM messages") == [(number, "a", "1", 2)]
        await taken(outbox, 1)
        position = outbox.sent(number, 5)
        assert outbox.committed < position
        await outbox.settled(position)
        assert outbox.committed >= position
        assert rows(path, "SELECT * FROM in_flight") == [(number, 5, None)]
        await outbox.settled(outbox.released(number))
        assert rows(path, "SELECT packet_id, released IS NULL FROM in_flight") == [(5, 0)]
        await outbox.settled(outbox.done(number))
        assert rows(path, "SELECT * FROM in_flight") == []
        assert rows(path, "SELECT * FROM messages") == []


async def test_a_callback_tells_whoever_holds_back_bytes(path: Path) -> None:
    outbox = Outbox(path)
    told: asyncio.Queue[int] = asyncio.Queue()
    async with asyncio.timeout(SECONDS):
        await outbox.open("c", lambda: told.put_nowait(outbox.committed))
        await puts(outbox, b"1", b"2", qos=2)
        first, second = await taken(outbox, 2)
        outbox.sent(first.number, 1)
        position = outbox.sent(second.number, 2)
        while await told.get() < position:
            pass
        assert rows(path, "SELECT packet_id FROM in_flight") == [(1,), (2,)]
        await outbox.close()


async def test_a_message_that_is_acknowledged_soon_leaves_no_trace_of_its_packet_id(path: Path) -> None:
    """Nor does it take a commit of its own: what nobody waits for is written with what comes next, or soon."""
    async with at_work(path) as outbox:
        (number,) = await puts(outbox, b"1")
        await taken(outbox, 1)
        outbox.sent(number, 5)
        position = outbox.done(number)
        assert outbox.committed < position
        while outbox.committed < position:  # it is written by itself
            await asyncio.sleep(0.01)
        assert rows(path, "SELECT * FROM in_flight") == []


async def test_a_session_that_is_gone_takes_the_packet_ids_with_it(path: Path) -> None:
    async with at_work(path) as outbox:
        await puts(outbox, b"1", b"2", b"3", qos=2)
        for packet_id, message in enumerate(await taken(outbox, 3), 1):
            outbox.sent(message.number, packet_id)
            if packet_id == 3:
                outbox.released(message.number)
    outbox = Outbox(path)
    first, second, third = await outbox.open("c")
    await outbox.settled(outbox.forget())
    assert rows(path, "SELECT * FROM in_flight") == []
    outbox.done(third.number)  # the connection says so too
    assert outbox.waiting == 2
    outbox.sent(first.number, 2)  # ids that others had before
    await outbox.settled(outbox.sent(second.number, 1))
    assert outbox.take() is None  # nothing is handed out twice
    await outbox.close()
    restored = await outbox.open("c")
    assert [(each.payload, each.packet_id) for each in restored] == [(b"1", 2), (b"2", 1)]
    await outbox.close()


@pytest.mark.parametrize("other", ["d", ""])
def test_packet_ids_are_those_of_one_client_id(path: Path, caplog: pytest.LogCaptureFixture, other: str) -> None:
    async def story() -> None:
        async with at_work(path) as outbox:
            await puts(outbox, b"1", b"2", b"3", qos=2)
            first, second, _ = await taken(outbox, 3)
            outbox.sent(first.number, 1)
            outbox.released(first.number)
            outbox.sent(second.number, 2)
        assert await left_in(path, other) == [b"2", b"3"]
        assert await left_in(path, "c") == [b"2", b"3"]

    asyncio.run(story())
    assert [record.getMessage() for record in caplog.records] == [
        f"outbox {path} was that of client 'c', and is that of {other!r} now: of 2 messages in flight then, the broker "
        "had 1, and the others are sent as new ones, perhaps for the second time"
    ]


async def test_a_client_without_an_id_of_its_own_has_no_packet_ids_to_come_back_to(path: Path) -> None:
    async with at_work(path, "") as outbox:
        await puts(outbox, b"1", qos=2)
        (message,) = await taken(outbox, 1)
        outbox.sent(message.number, 1)
    assert await left_in(path, "") == [b"1"]


async def test_an_old_message_of_qos_1_that_was_in_flight_expires(path: Path, clock: Clock) -> None:
    async with at_work(path, most_seconds=60, clock=clock) as outbox:
        await puts(outbox, b"1")
        (message,) = await taken(outbox, 1)
        outbox.sent(message.number, 1)
    clock.now += 60
    async with at_work(path, clock=clock) as outbox:  # it gives nothing back
        assert (outbox.waiting, outbox.expired) == (0, 1)
    assert rows(path, "SELECT count(*) FROM messages") == [(0,)]


async def test_only_what_was_handed_out_can_be_sent(path: Path) -> None:
    async with at_work(path) as outbox:
        (number,) = await puts(outbox, b"1")
        with pytest.raises(ValueError, match="was not handed out"):
            outbox.sent(number, 1)
        with pytest.raises(ValueError, match="was not handed out"):
            outbox.released(number)
        await taken(outbox, 1)
        outbox.done(number)
        with pytest.raises(ValueError, match="was not handed out"):
            outbox.sent(number, 1)


# One program, and the right file


async def test_one_program_at_a_time(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    async with at_work(path) as outbox:
        link.symlink_to(path)
        for other in (path, link):
            with pytest.raises(OSError, match=f"another program uses outbox {path}: stop it, or choose another file"):
                await Outbox(other).open("c")
        program = (
            "import asyncio, sys\n"
            "from telex.client.outbox import Outbox\n"
            "try: asyncio.run(Outbox(sys.argv[1]).open('c'))\n"
            "except OSError as error: print(error)\n"
        )
        printed = await asyncio.to_thread(python, program, str(path))
        assert printed == f"another program uses outbox {path}: stop it, or choose another file for this one\n"
        await outbox.put("a", b"still here", 1, False)
    assert await left_in(path) == [b"still here"]


async def test_who_meddles_with_the_file_is_waited_for_but_not_for_ever(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with at_work(path) as outbox:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            waits = asyncio.create_task(outbox.put("a", b"1", 1, False))
            await asyncio.sleep(0.1)
            assert not waits.done()
            connection.execute("COMMIT")
            await waits
    monkeypatch.setattr("telex.client.outbox._BUSY_SECONDS", 0.0)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(OSError, match=f"another program has locked outbox {path}"):
            await Outbox(path).open("another client id")
    assert await left_in(path) == [b"1"]


async def test_an_outbox_is_opened_once(path: Path) -> None:
    async with at_work(path) as outbox:
        with pytest.raises(ValueError, match="open already"):
            await outbox.open("c")
        await outbox.close()
        await outbox.close()


@pytest.mark.parametrize("content", [b"hello, I am a letter\n" * 10, b"x"])
def test_a_file_that_is_no_outbox_is_not_touched(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{path} is not an outbox: it was not changed; choose another file"):
        asyncio.run(Outbox(path).open("c"))
    assert path.read_bytes() == content


def test_the_database_of_another_program_is_not_touched(path: Path) -> None:
    change(path, "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
    content = path.read_bytes()
    with pytest.raises(ValueError, match="is not an outbox"):
        asyncio.run(Outbox(path).open("c"))
    assert path.read_bytes() == content


def test_an_outbox_of_a_newer_version_is_not_touched(path: Path) -> None:
    async def story() -> None:
        async with at_work(path) as outbox:
            await puts(outbox, b"1")
        change(path, "PRAGMA user_version = 99", "CREATE TABLE news (a)")
        with pytest.raises(
            ValueError, match=r"written by a newer Telex \(schema 99, this one knows up to 1\): install"
        ):
            await Outbox(path).open("c")
        change(path, "PRAGMA user_version = 1", "DROP TABLE news")
        assert await left_in(path) == [b"1"]

    asyncio.run(story())


def test_places_where_nothing_can_be_written_are_named(tmp_path: Path) -> None:
    async def opened(path: Path) -> None:
        await Outbox(path).open("c")

    with pytest.raises(OSError, match=f"outbox {tmp_path} is a directory: name a file in it"):
        asyncio.run(opened(tmp_path))
    with pytest.raises(OSError, match=f"the directory {tmp_path}/nowhere does not exist; make it first"):
        asyncio.run(opened(tmp_path / "nowhere" / "out.db"))


def test_a_file_that_may_not_be_written_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.touch()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(
        PermissionError, match=f"outbox {path} cannot be written: Permission denied; give it to this user"
    ):
        asyncio.run(Outbox(path).open("c"))


async def test_what_waits_is_for_its_owner_only(path: Path) -> None:
    async with at_work(path) as outbox:
        await puts(outbox, b"1")
        modes = {each.name: each.stat().st_mode & 0o777 for each in path.parent.iterdir()}
    assert modes == dict.fromkeys(["out.db", "out.db-lock", "out.db-shm", "out.db-wal"], 0o600)
    assert {each.name for each in path.parent.iterdir()} == {"out.db", "out.db-lock"}


async def test_each_commit_waits_for_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be seen without pulling the plug: that SQLite is told to."""
    connect = sqlite3.connect
    made: list[sqlite3.Connection] = []

    def remembered(file: Path, **arguments: Any) -> sqlite3.Connection:
        made.append(connect(file, check_same_thread=False, **arguments))
        return made[-1]

    monkeypatch.setattr(sqlite3, "connect", remembered)
    async with at_work(path):
        _, database = made
        assert database.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_a_program_without_an_outbox_does_not_load_sqlite(path: Path) -> None:
    program = "import sys; import telex.client.outbox; print('sqlite3' in sys.modules)"
    assert await asyncio.to_thread(python, program) == "False\n"


def test_an_outbox_that_nobody_closed_lets_go_of_its_file_when_it_finds_its_loop_gone(path: Path) -> None:
    outbox = Outbox(path)
    may_go_on = threading.Event()
    write = outbox._file._write

    def write_late(*arguments: Any) -> None:
        assert may_go_on.wait(SECONDS)
        write(*arguments)

    async def forgetful() -> None:
        await outbox.open("c")
        outbox._file._write = write_late  # type: ignore[method-assign, assignment]
        task = asyncio.create_task(outbox.put("a", b"1", 1, False))
        while not outbox._is_busy:
            await asyncio.sleep(0)
        task.cancel()

    asyncio.run(forgetful())
    may_go_on.set()
    outbox._thread.join(SECONDS)
    assert asyncio.run(left_in(path)) == [b"1"]


# Damage


def content_of(path: Path) -> bytes:
    return path.read_bytes()


def overwrite(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def aside(path: Path) -> Path:
    """The damaged file, under its new name."""
    (found,) = [each for each in path.parent.iterdir() if each.name.startswith("out.db.bad-")]
    return found


async def fill(path: Path, count: int, size: int = 1_000) -> None:
    async with at_work(path) as outbox:
        await puts(outbox, *[b"%0*d" % (size, number) for number in range(count)])


async def test_a_damaged_outbox_is_put_aside_and_a_new_one_begins(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await fill(path, 100)
    content = bytearray(content_of(path))
    content[8_192:40_000] = random.Random(1).randbytes(40_000 - 8_192)
    overwrite(path, bytes(content))
    async with at_work(path) as outbox:
        assert outbox.waiting == 0
        await puts(outbox, b"new")
    assert await left_in(path) == [b"new"]
    assert content_of(aside(path)) == content
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    said = record.getMessage()
    assert said.startswith(f"DAMAGED OUTBOX: {path} (")
    assert said.endswith(f"; it is kept as {aside(path)}, what waited in it is not sent; a new one begins")


@pytest.mark.parametrize("length", [512, 100_000])
async def test_what_is_left_of_a_file_is_put_aside(path: Path, length: int, caplog: pytest.LogCaptureFixture) -> None:
    await fill(path, 200)
    content = content_of(path)[:length]
    overwrite(path, bytes(content))
    assert await left_in(path) == []
    assert content_of(aside(path)) == content
    assert "DAMAGED OUTBOX" in caplog.text


async def test_a_file_of_zeros_is_put_aside(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """So some file systems leave it behind when the power fails."""
    overwrite(path, bytes(8_192))
    assert await left_in(path) == []
    assert content_of(aside(path)) == bytes(8_192)
    assert "it is full of zeros" in caplog.text


async def test_files_that_are_damaged_in_one_second_have_different_names(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "strftime", lambda _: "20260101T000000")
    for _ in range(3):
        overwrite(path, bytes(8_192))
        assert await left_in(path) == []
    assert {each.name for each in path.parent.iterdir()} == {
        "out.db",
        "out.db-lock",
        "out.db.bad-20260101T000000",
        "out.db.bad-20260101T000000-2",
        "out.db.bad-20260101T000000-3",
    }


async def test_a_damaged_file_that_cannot_be_put_aside_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overwrite(path, bytes(8_192))

    def fails(self: Path, target: Path) -> Path:
        raise OSError("no")

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OSError, match=f"outbox {path} is damaged .*, and cannot be put aside: no; choose another file"):
        await Outbox(path).open("c")
    assert content_of(path) == bytes(8_192)


@pytest.mark.parametrize("damage", ["properties = x'05ff'", "topic = CAST(x'ff' AS TEXT)", "qos = 7", "topic = 'a/#'"])
def test_a_damaged_row_costs_itself_only(path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with at_work(path) as outbox:
            numbers = await puts(outbox, b"1", b"2", b"3", b"4", qos=2)
            (first,) = await taken(outbox, 1)
            outbox.sent(first.number, 1)
        change(path, *[f"UPDATE messages SET {damage} WHERE number = {number}" for number in numbers[::2]])
        async with at_work(path) as outbox:
            assert payloads_of(await taken(outbox, 2)) == [b"2", b"4"]
            assert (outbox.waiting, outbox.waiting_bytes) == (2, 4)
        said = [record.getMessage() for record in caplog.records]
        assert said == [
            f"DAMAGED OUTBOX: {path}: message {number} cannot be read and is left out; it stays in the file"
            for number in numbers[::2]
        ]
        assert rows(path, "SELECT count(*) FROM messages") == [(4,)]

    asyncio.run(story())


async def test_damage_that_comes_to_light_while_it_is_read_is_told(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await fill(path, 8_000)
    async with at_work(path) as outbox:
        with path.open("r+b") as file:
            file.seek(3_000_000)
            file.write(random.Random(1).randbytes(1_000_000))
        found = 0

        async def reads_on() -> None:
            nonlocal found
            async for _ in outbox:
                found += 1

        with pytest.raises(OSError, match=f"outbox {path} is damaged: .*; start the program again"):
            await reads_on()
        assert 1_000 < found < 4_000
    assert "it is put aside when it is opened again" in caplog.text
    assert await left_in(path) == []
    assert aside(path).stat().st_size > 8_000_000


# A full disk

HAS_LIMITS = pytest.mark.skipif(sys.platform != "linux", reason="a limit of file sizes stands for a full disk")


@HAS_LIMITS
def test_a_full_disk_refuses_what_is_new_and_loses_nothing(path: Path) -> None:
    printed = python(
        "from tests.client.test_outbox import *; asyncio.run(through_a_full_disk(Path(sys.argv[1])))", path
    )
    assert printed.splitlines()[-1] == "all is well"
    assert rows(path, "SELECT CAST(payload AS TEXT) FROM messages ORDER BY number") == [("3",), ("later",)]
    assert rows(path, "SELECT packet_id, released IS NOT NULL FROM in_flight") == [(3, 1)]


async def through_a_full_disk(path: Path) -> None:
    """In a program of its own: nothing of it may write to any file for a while."""
    told: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("telex").addHandler(handler)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with at_work(path) as outbox:
        await puts(outbox, b"1", b"2", b"3", qos=2)
        first, second, third = await taken(outbox, 3)
        await outbox.settled(outbox.sent(third.number, 3))
        waiting = outbox.waiting, outbox.waiting_bytes
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))  # the disk is full
        for _ in range(2):
            with pytest.raises(
                OSError, match=f"outbox {path} cannot store a message: .*; make room on its disk"
            ) as caught:
                await outbox.put("a", b"too much", 1, False)
            assert caught.value.errno is not None
            assert (outbox.waiting, outbox.waiting_bytes) == waiting
        assert not told
        outbox.done(first.number)
        outbox.done(second.number)
        position = outbox.released(third.number)
        settled = asyncio.create_task(outbox.settled(position))
        while not outbox.is_failing:
            await asyncio.sleep(0.01)
        with pytest.raises(OSError, match="cannot store"):
            await outbox.put("a", b"too much", 1, False)
        assert not settled.done()
        assert len(told) == 1
        assert told[0].startswith(f"CANNOT STORE: outbox {path}: ")
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)  # there is room again
        await settled
        assert not outbox.is_failing
        assert told[1:] == [f"stores again: outbox {path}"]
        await outbox.put("a", b"later", 1, False)
    print("all is well")


@HAS_LIMITS
def test_who_closes_while_the_disk_is_full_is_told_what_that_means(path: Path) -> None:
    program = "from tests.client.test_outbox import *; asyncio.run(closed_on_a_full_disk(Path(sys.argv[1])))"
    printed = python(program, path)
    assert printed.splitlines() == [
        f"outbox {path} could not be written at its end: what was acknowledged last may be sent again",
        f"outbox {path} was closed before it could be written",
        "cannot store",
    ]
    assert asyncio.run(left_in(path)) == [b"1"]


async def closed_on_a_full_disk(path: Path) -> None:
    handler = logging.Handler()
    handler.emit = lambda record: record.getMessage().startswith("CANNOT") or print(record.getMessage())  # type: ignore
    logging.getLogger("telex").addHandler(handler)
    async with at_work(path) as outbox:
        await puts(outbox, b"1")
        (message,) = await taken(outbox, 1)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        waits = asyncio.create_task(outbox.settled(outbox.done(message.number)))
        while not outbox.is_failing:
            await asyncio.sleep(0.01)
        late = asyncio.create_task(outbox.put("a", b"2", 1, False))
        await asyncio.sleep(0)
        await outbox.close()
        for task, words in ((waits, None), (late, "cannot store")):
            try:
                await task
            except OSError as error:
                print(words if words is not None and words in str(error) else error)
    os._exit(0)  # without a word more


async def test_room_for_what_the_oldest_leave_is_made_after_the_newest_is_stored(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A put that fails must not have cost an older message its place."""
    async with at_work(path, most_messages=2, when_full="drop_oldest") as outbox:
        await puts(outbox, b"1", b"2")

        def fails(*_: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(outbox._file, "_write", fails)
        with pytest.raises(OSError, match="database or disk is full"):
            await outbox.put("a", b"3", 1, False)
        monkeypatch.undo()
        assert (outbox.waiting, outbox.dropped) == (2, 0)
    assert await left_in(path) == [b"1", b"2"]


# kill -9


def python(program: str, *arguments: object) -> str:
    """What a program prints that runs to its end."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=SECONDS * 2, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def environment() -> dict[str, str]:
    """For a program that imports what this one can."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(each or os.getcwd() for each in sys.path)}


class Copy(Delivery):
    """A message that a client sends, at QoS 1 or 2."""

    def __init__(self, message: OutboxMessage) -> None:
        super().__init__(message.qos)
        self.number = message.number
        self.payload = message.payload.decode()


class Life:
    """A client with an outbox, whose packets are lines: from one start to its end, which may be sudden."""

    def __init__(self, path: str, name: str, which: str) -> None:
        self._outbox = Outbox(path)
        self._name = name
        self._is_last = which == "last"
        self._sender: Sender[Copy] = Sender(20)
        self._room = asyncio.Event()
        self._write = self._outbox._file._write
        self._outbox._file._write = self._write_slowly  # type: ignore[method-assign, assignment]
        self._chance = random.Random(name)

    def _write_slowly(self, *arguments: Any) -> None:
        """As an old disk does it: so the end comes while something is written, or is about to be."""
        time.sleep(self._chance.choice([0.0, 0.002, 0.01]))
        self._write(*arguments)

    def _says(self, *words: object) -> None:
        os.write(1, (" ".join(map(str, words)) + "\n").encode())  # whole, or not at all

    async def lives(self) -> None:
        for message in await self._outbox.open("c"):
            copy = Copy(message)
            copy.packet_id, copy.is_released = message.packet_id, message.is_released
            self._sender.in_flight[copy.packet_id] = copy
        for copy in self._sender.resume(20):
            if copy.is_released:
                self._says("PUBREL", copy.packet_id)
            else:
                self._sender.send_again(copy)
                self._says("PUBLISH", copy.packet_id, copy.qos, copy.payload)
        self._tasks = [asyncio.create_task(self._reads()), asyncio.create_task(self._sends())]
        if not self._is_last:
            self._tasks.append(asyncio.create_task(self._puts()))
        elif self._outbox.waiting == 0:
            self._says("EMPTY")
        await asyncio.gather(*self._tasks)

    async def _puts(self) -> None:
        """A few at a time, for ever."""
        for number in count(0, 5):
            names = [f"{self._name}.{each}" for each in range(number, number + 5)]
            for name in names:
                self._says("PUT", name)
            puts = [self._outbox.put("a", name.encode(), 1 + int(name[-1]) % 2, False) for name in names]
            for name, put in zip(names, [asyncio.ensure_future(each) for each in puts], strict=True):
                await put
                self._says("STORED", name)

    async def _sends(self) -> None:
        async for message in self._outbox:
            while not self._sender.can_send:
                self._room.clear()
                await self._room.wait()
            copy = Copy(message)
            self._sender.send(copy)
            position = self._outbox.sent(copy.number, copy.packet_id)
            if copy.qos == 2:
                await self._outbox.settled(position)
            self._says("PUBLISH", copy.packet_id, copy.qos, copy.payload)

    async def _reads(self) -> None:
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            await self._gets(line.decode().split())

    async def _gets(self, words: list[str]) -> None:
        packet_id = int(words[1])
        if words[0] == "PUBREC":
            copy = self._sender.on_pubrec(packet_id, 0)
            if copy is not None:
                await self._outbox.settled(self._outbox.released(copy.number))
            self._says("PUBREL", packet_id)
            return
        copy = self._sender.on_puback(packet_id) if words[0] == "PUBACK" else self._sender.on_pubcomp(packet_id)
        if copy is not None:
            self._outbox.done(copy.number)
            self._room.set()
            if self._is_last and self._outbox.waiting == 0:
                self._says("EMPTY")


class Broker:
    """The other side of all these lives: it keeps the session."""

    def __init__(self) -> None:
        self.put: list[str] = []
        self.stored: list[str] = []
        self.got: list[tuple[int, str]] = []  # QoS and payload
        self.owned: set[str] = set()  # packet ids
        self.is_empty = False
        self.repeats = 0

    def takes(self, line: str) -> str:
        """The answer to a packet."""
        words = line.split()
        if words[0] == "PUT":
            self.put.append(words[1])
        elif words[0] == "STORED":
            self.stored.append(words[1])
        elif words[0] == "EMPTY":
            self.is_empty = True
        elif words[0] == "PUBREL":
            self.owned.discard(words[1])
            return f"PUBCOMP {words[1]}\n"
        else:
            assert words[0] == "PUBLISH", line
            _, packet_id, qos, payload = words
            if packet_id in self.owned:  # the very same message, or one is lost
                assert qos == "2"
                self.repeats += 1
            else:
                self.got.append((int(qos), payload))
                if qos == "2":
                    self.owned.add(packet_id)
            return f"PUBACK {packet_id}\n" if qos == "1" else f"PUBREC {packet_id}\n"
        return ""


def test_nothing_is_lost_and_nothing_of_qos_2_comes_twice_however_often_it_is_killed(path: Path) -> None:
    seed = random.randrange(1_000_000)
    chance = random.Random(seed)
    broker = Broker()
    lives = 12
    for life in range(lives):
        live(path, f"{life}", broker, lines=chance.choice([1, 5, 20, 100, 400]) + chance.randrange(20))
    live(path, f"{lives}", broker, lines=None)
    assert broker.is_empty, f"seed {seed}"
    got = [payload for _, payload in broker.got]
    assert set(broker.stored) <= set(got), f"seed {seed}: lost"
    assert set(got) <= set(broker.put), f"seed {seed}: made up"
    assert len(broker.stored) > 100, f"seed {seed}"
    twice = [
        payload for payload, times in Counter(payload for qos, payload in broker.got if qos == 2).items() if times > 1
    ]
    assert not twice, f"seed {seed}: {twice} of QoS 2 came twice"
    first = list(dict.fromkeys(got))
    in_order = [payload for payload in broker.put if payload in set(got)]
    assert first == in_order, f"seed {seed}: out of order"


def live(path: Path, name: str, broker: Broker, lines: int | None) -> None:
    """One life, which is ended after so many lines, or when nothing waits any more."""
    program = "import sys; from tests.client.test_outbox import *; asyncio.run(Life(*sys.argv[1:]).lives())"
    command = [sys.executable, "-c", program, str(path), name, "last" if lines is None else "more"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment(), text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            for number, line in enumerate(process.stdout):
                answer = broker.takes(line)
                process.stdin.write(answer)
                process.stdin.flush()
                if broker.is_empty or number == lines:
                    break
            else:
                raise AssertionError(f"it ended by itself: {process.stderr.read()}")
        finally:
            process.kill()
        for line in process.stdout:  # it left before the end: the answer does not arrive
            broker.takes(line)
        assert process.wait(SECONDS) == -signal.SIGKILL
