"""Functions that are called with messages, and what happens when one fails. The server is played by the test."""

import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from telex.client.aio import Client
from telex.client.message import Message
from telex.errors import NotConnected, Refused
from telex.wire.packets import ConnAck, PubAck, Publish, SubAck, Subscribe, SubscriptionRequest
from telex.wire.properties import Properties
from tests.client.table import SECONDS, Table, nothing_is_left, turns


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0)


async def test_a_handler_gets_each_message_with_its_levels() -> None:
    table = Table()
    app = Client(table)
    seen: list[tuple[str, int, bytes]] = []

    @app.on("home/{room}/{number}", qos=1)
    async def heard(room: str, number: int, message: Message) -> None:
        seen.append((room, number, message.payload))

    async with app:
        assert (await table.side.gets(Subscribe)).requests == [SubscriptionRequest("home/+/+", 1)]
        table.side.sends(Publish("home/kitchen/1", b"x"), Publish("home/hall/2", b"y", 1, packet_id=1))
        await until(lambda: len(seen) == 2)
        assert seen == [("kitchen", 1, b"x"), ("hall", 2, b"y")]
    await nothing_is_left()


async def test_entering_waits_until_all_are_granted() -> None:
    table = Table(is_obliging=False)
    app = Client(table)
    app.on("a")(nobody)
    app.on("b")(nobody)
    entering = asyncio.create_task(app.__aenter__())
    side = await table.connection(1)
    packet = await side.gets(Subscribe)
    assert packet.requests == [SubscriptionRequest("a"), SubscriptionRequest("b")]
    await turns()
    assert not entering.done()
    side.sends(SubAck(packet.packet_id, [0, 0]))
    await entering
    await app.close()
    await nothing_is_left()


async def nobody(message: Message) -> None:
    raise AssertionError(f"{message} came")


async def test_a_refused_handler_is_raised_on_entering() -> None:
    table = Table(is_obliging=False)
    app = Client(table)
    app.on("a")(nobody)
    app.on("b")(nobody)
    entering = asyncio.create_task(app.__aenter__())
    side = await table.connection(1)
    packet = await side.gets(Subscribe)
    side.is_obliging = True
    side.sends(SubAck(packet.packet_id, [0x87, 0x87]))
    with pytest.raises(Refused, match=r"the broker refuses the subscription to '[ab]': 0x87 not authorized"):
        await entering
    await nothing_is_left()


async def test_a_refused_connection_is_told_once_however_many_handlers_there_are() -> None:
    app = Client(Table(ConnAck(0x87)))
    for name in "abc":
        app.on(name)(nobody)
    with pytest.raises(Refused, match="not authorized"):
        await app.__aenter__()
    await nothing_is_left()


async def test_whoever_stops_waiting_for_the_broker_leaves_nothing() -> None:
    app = Client(Table(*[OSError("away")] * 100))
    app.on("a")(nobody)
    entering = asyncio.create_task(app.__aenter__())
    await turns()
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    await nothing_is_left()


# At once


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_so_many_messages_are_worked_on_at_once(concurrency: int) -> None:
    table = Table()
    app = Client(table)
    gate = asyncio.Event()
    now, most, done = 0, 0, 0

    @app.on("a", concurrency=concurrency)
    async def slow() -> None:
        nonlocal now, most, done
        now += 1
        most = max(most, now)
        await gate.wait()
        now -= 1
        done += 1

    async with app:
        table.side.sends(*[Publish("a")] * 10)
        await turns()
        assert now == concurrency
        gate.set()
        await until(lambda: done == 10)
        assert most == concurrency


async def test_a_slow_handler_does_not_stop_the_others() -> None:
    table = Table()
    app = Client(table)
    seen: list[str] = []
    app.on("slow")(forever)

    @app.on("{name}")
    async def quick(name: str) -> None:
        seen.append(name)

    async with app:
        table.side.sends(Publish("slow"), Publish("a"), Publish("b"))
        await until(lambda: seen[-2:] == ["a", "b"])


async def forever(message: Message) -> None:
    await asyncio.Event().wait()


async def test_a_plain_function_runs_in_a_thread() -> None:
    table = Table()
    app = Client(table)
    seen: list[threading.Thread] = []

    @app.on("a")
    def heard() -> None:
        seen.append(threading.current_thread())

    async with app:
        table.side.sends(Publish("a"))
        await until(lambda: bool(seen))
        assert seen[0] is not threading.main_thread()


async def test_a_function_that_returns_a_coroutine_is_awaited() -> None:
    table = Table()
    app = Client(table)
    seen: list[bytes] = []

    def decorated(function: Callable[[Message], Awaitable[None]]) -> Callable[[Message], Awaitable[None]]:
        @functools.wraps(function)
        def wrapper(message: Message) -> Awaitable[None]:
            return function(message)

        return wrapper

    @app.on("a")
    @decorated
    async def heard(message: Message) -> None:
        seen.append(message.payload)

    async with app:
        table.side.sends(Publish("a", b"x"))
        await until(lambda: seen == [b"x"])


async def test_a_handler_may_be_added_while_the_client_runs() -> None:
    table = Table()
    seen: list[bytes] = []
    async with Client(table) as app:

        @app.on("late")
        async def heard(message: Message) -> None:
            seen.append(message.payload)

        await table.side.gets(Subscribe)
        await turns()
        table.side.sends(Publish("late", b"x"))
        await until(lambda: seen == [b"x"])
    await nothing_is_left()


async def test_one_that_is_added_late_and_refused_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    table = Table(is_obliging=False)
    async with Client(table) as app:
        app.on("late")(nobody)
        packet = await table.side.gets(Subscribe)
        table.side.is_obliging = True
        table.side.sends(SubAck(packet.packet_id, [0x87]))
        await until(lambda: "0x87" in caplog.text)
    assert "the broker refuses the subscription to 'late'" in caplog.text


# Failures


def failing(app: Client, error: BaseException, **options: Any) -> list[bytes]:
    """A handler that fails with b"bad", and what it has seen."""
    seen: list[bytes] = []

    @app.on("a", **options)
    async def heard(message: Message) -> None:
        seen.append(message.payload)
        if message.payload == b"bad":
            raise error

    return seen


async def entered(app: Client, table: Table, catches: type[BaseException] = ZeroDivisionError) -> None:
    """A program in which the app is used, and waits while a bad message comes."""
    async with app:
        table.side.sends(Publish("a", b"bad"))
        with suppress(catches):
            await asyncio.Event().wait()


@pytest.mark.parametrize("error", [RuntimeError("no"), asyncio.CancelledError(), TimeoutError(), NotConnected("hm")])
async def test_a_failure_is_logged_and_the_next_message_is_handled(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    table = Table()
    app = Client(table)
    seen = failing(app, error)
    async with app:
        table.side.sends(Publish("a", b"bad"), Publish("a", b"good"))
        await until(lambda: seen == [b"bad", b"good"])
        assert app.is_connected
    assert "failing.<locals>.heard failed with a message on topic 'a'" in caplog.text
    assert type(error).__name__ in caplog.text


async def test_any_failure_in_a_thread_too(caplog: pytest.LogCaptureFixture) -> None:
    table = Table()
    app = Client(table)
    seen: list[bytes] = []

    @app.on("a")
    def heard(message: Message) -> None:
        seen.append(message.payload)
        next(iter([]))  # StopIteration, which no future takes

    async with app:
        table.side.sends(Publish("a", b"1"), Publish("a", b"2"))
        await until(lambda: seen == [b"1", b"2"])
        await until(lambda: caplog.text.count("failed with a message on topic 'a'") == 2)


async def test_a_level_that_is_not_what_the_function_takes_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    table = Table()
    app = Client(table, on_error="raise")
    seen: list[int] = []

    @app.on("a/{number}")
    async def heard(number: int) -> None:
        seen.append(number)

    async with app:
        table.side.sends(Publish("a/x"), Publish("a/2"))
        await until(lambda: seen == [2])
    assert "not handled: topic 'a/x': {number} is 'x', " in caplog.text


async def test_stop_closes_the_client() -> None:
    table = Table()
    app = Client(table, on_error="stop")
    failing(app, RuntimeError("no"))
    async with app:
        table.side.sends(Publish("a", b"bad"))
        async with asyncio.timeout(SECONDS):
            await app.wait_closed()
        with pytest.raises(NotConnected):
            await app.publish("a", b"")
    await nothing_is_left()


async def test_raise_reaches_the_program() -> None:
    table = Table()
    app = Client(table)
    failing(app, RuntimeError("no"), on_error="raise")
    with pytest.raises(RuntimeError, match="no"):
        await entered(app, table)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await nothing_is_left()


async def test_two_that_fail_at_once_cancel_the_program_once() -> None:
    table = Table()
    app = Client(table, on_error="raise")
    failing(app, RuntimeError("no"))
    failing(app, RuntimeError("no"))
    with pytest.raises(RuntimeError, match="no"):
        await entered(app, table)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_failure_before_the_client_is_entered_reaches_the_program_too() -> None:
    table = Table(is_obliging=False)
    app = Client(table, on_error="raise")
    failing(app, RuntimeError("no"))
    app.on("b")(nobody)

    async def play() -> None:
        side = await table.connection(1)
        packet = await side.gets(Subscribe)
        side.sends(SubAck(packet.packet_id, [0, 0]), Publish("a", b"bad", retain=True))

    playing = asyncio.create_task(play())
    with pytest.raises(RuntimeError, match="no"):
        async with app:
            await asyncio.Event().wait()  # it may have been entered meanwhile
    await playing
    await nothing_is_left()


async def test_a_failure_while_the_client_is_closed_does_not_disturb_that() -> None:
    table = Table()
    app = Client(table, on_error="raise")

    @app.on("a")
    async def heard() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("while it ends")

    await app.__aenter__()
    table.side.sends(Publish("a"))
    await turns()
    async with asyncio.timeout(SECONDS):
        await app.close()
    await nothing_is_left()


async def test_a_program_that_catches_its_cancellation_still_gets_the_failure() -> None:
    table = Table()
    app = Client(table, on_error="raise")
    failing(app, RuntimeError("no"))
    with pytest.raises(RuntimeError, match="no"):
        await entered(app, table, catches=asyncio.CancelledError)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@pytest.mark.parametrize("on_error", ["raise", "stop"])
def test_run_ends_as_the_policy_says(on_error: Any) -> None:
    table = Table()
    app = Client(table, on_error=on_error)
    failing(app, RuntimeError("no"))

    @app.on_connected
    async def up(_: object) -> None:
        await table.side.gets(Subscribe)
        await turns()
        table.side.sends(Publish("a", b"bad"))

    if on_error == "raise":
        with pytest.raises(RuntimeError, match="no"):
            app.run()
    else:
        app.run()


def test_run_raises_why_there_is_no_way_to_go_on() -> None:
    table = Table()
    app = Client(table, reconnect=None)

    @app.on_connected
    def up(_: object) -> None:
        table.side.ends("the connection broke: cable")

    with pytest.raises(NotConnected, match="the connection broke: cable"):
        app.run()


async def test_close_within_a_handler() -> None:
    table = Table()
    app = Client(table)
    ended: list[str] = []
    app.on("a")(forever)

    @app.on("a")
    async def heard() -> None:
        await app.close()
        ended.append("closed")

    async with app:
        table.side.sends(Publish("a"))
        async with asyncio.timeout(SECONDS):
            await app.wait_closed()
        await until(lambda: ended == ["closed"])
    await nothing_is_left()


# Answers


async def test_what_a_function_returns_is_the_answer() -> None:
    table = Table()
    app = Client(table)

    @app.responds("svc/{name}", qos=1)
    async def svc(name: str, message: Message) -> object:
        return {"name": name, "got": message.text}

    async with app:
        asked = Properties(response_topic="reply/1", correlation_data=b"c")
        table.side.sends(Publish("svc/x", b"?", 1, packet_id=1, properties=asked))
        assert await table.side.gets(Publish) == Publish(
            "reply/1",
            b'{"name":"x","got":"?"}',
            1,
            packet_id=2,
            properties=Properties(content_type="application/json", correlation_data=b"c"),
        )
        assert table.side.all(PubAck) == [PubAck(1)]


async def test_a_request_without_a_response_topic_is_handled_and_not_answered() -> None:
    table = Table()
    app = Client(table)
    seen: list[bytes] = []

    @app.responds("svc")
    def svc(message: Message) -> str:
        seen.append(message.payload)
        return "answer"

    async with app:
        table.side.sends(Publish("svc", b"1"), Publish("svc", b"2", properties=Properties(correlation_data=b"c")))
        await until(lambda: seen == [b"1", b"2"])
        await turns()
        assert table.side.all(Publish) == []


async def test_an_answer_that_cannot_be_encoded_is_a_failure_and_the_next_one_is_given(
    caplog: pytest.LogCaptureFixture,
) -> None:
    table = Table()
    app = Client(table)

    @app.responds("svc")
    async def svc(message: Message) -> object:
        return object() if message.payload == b"bad" else "fine"

    async with app:
        asked = Properties(response_topic="r")
        table.side.sends(Publish("svc", b"bad", properties=asked), Publish("svc", b"good", properties=asked))
        assert (await table.side.gets(Publish)).payload == b"fine"
    assert "svc failed with a message on topic 'svc'" in caplog.text


async def test_a_response_topic_that_cannot_be_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    # Who asks must not be able to end who answers.
    table = Table()
    app = Client(table, on_error="stop")

    @app.responds("svc")
    async def svc() -> str:
        return "answer"

    async with app:
        for response_topic in ("forbidden", "r"):
            table.side.sends(Publish("svc", b"", 1, packet_id=1, properties=Properties(response_topic=response_topic)))
            table.side.is_obliging = False
            packet = await table.side.gets(Publish)
            table.side.sends(PubAck(packet.packet_id, 0x87 if response_topic == "forbidden" else 0))
            await turns()
        assert app.is_connected
    assert "0x87" in caplog.text


# What cannot be


def test_slips_are_told_where_they_are_made() -> None:
    app = Client(Table())
    with pytest.raises(ValueError, match="on_error 'ignore': expected 'log', 'stop' or 'raise'"):
        app.on("a", on_error="ignore")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="concurrency is 0, expected 1 or more"):
        app.on("a", concurrency=0)
    with pytest.raises(ValueError, match="QoS is 3"):
        app.on("a", qos=3)
    with pytest.raises(ValueError, match="must be a whole level"):
        app.on("a{b}")
    with pytest.raises(TypeError, match=r"nobody\(\) has no parameter 'room'"):
        app.on("a/{room}")(nobody)
