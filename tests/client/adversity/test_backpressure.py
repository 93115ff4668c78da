"""What is bounded: memory while publishing, queues while receiving. And what never waits: the keep-alive."""

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

import telex
from telex.wire.packets import ConnAck, Connect
from tests.client.adversity.brokers import Lasting
from tests.client.adversity.peers import SECONDS, Hand, playing, witness
from tests.client.adversity.proxy import TO_CLIENT, Proxy

MANY = 100_000
MOST_UNFINISHED = 10_000  # messages that the client itself has begun and not done
MOST_BYTES = 16 * 1024 * 1024  # kernels on loopback take some megabytes in both directions
KEEP_ALIVE = 1
LONG = 3 * KEEP_ALIVE
SOON = telex.Reconnect(first=0.02, most=0.1)
TELEX = str(Path(telex.__file__).parent / "*")


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another task of this test does."""
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


class Allocated:
    """What Telex's files have allocated since then."""

    def __init__(self) -> None:
        gc.collect()
        self._before = self._size()

    def size(self) -> int:
        return self._size() - self._before

    def _size(self) -> int:
        snapshot = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, TELEX)])
        return sum(trace.size for trace in snapshot.traces)


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


# Publishing


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_a_hundred_thousand_gathered_publishes_are_let_in_by_and_by(telex_broker: Lasting, qos: int) -> None:
    """They all are done, and at no time has the client begun more of them than it may."""
    most = 0
    is_done = asyncio.Event()

    async def watch(client: telex.Client) -> None:
        nonlocal most
        while not is_done.is_set():
            most = max(most, client._connection.unfinished)
            await asyncio.sleep(0)

    payload = bytes(100)
    async with telex.Client(telex_broker.address) as client:
        watching = asyncio.create_task(watch(client))
        async with asyncio.timeout(60):
            codes = await asyncio.gather(*(client.publish("flood", payload, qos=qos) for _ in range(MANY)))
        is_done.set()
        await watching
        assert client._connection.unfinished == 0
    assert len(codes) == MANY
    assert all(code < 0x80 for code in codes)
    assert most <= MOST_UNFINISHED
    assert most > 0 or qos == 0  # it was watched


async def test_a_broker_that_does_not_read_is_not_written_to_without_end() -> None:
    """At QoS 0, too, to publish is to wait for room: what has returned is in the kernel, or nearly so."""
    may_read = asyncio.Event()
    seen = 0

    async def script(hand: Hand, connection: int) -> None:
        nonlocal seen
        assert isinstance(await hand.gets(), Connect)
        await hand.sends(ConnAck())
        await may_read.wait()
        while await hand.gets() is not None:
            seen += 1

    payload = bytes(1_000)
    count = 50_000
    async with playing(script) as server, telex.Client(server.address) as client:
        tasks = [asyncio.create_task(client.publish("flood", payload)) for _ in range(count)]
        done = -1
        while (now_done := sum(1 for task in tasks if task.done())) > done:  # until it does not go on
            done = now_done
            await asyncio.sleep(0.1)
        assert 0 < done * len(payload) < MOST_BYTES
        may_read.set()
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(*tasks)
        await until(lambda: seen == count)


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("qos", [0, 1])
async def test_a_stream_of_a_hundred_thousand_needs_no_memory_to_speak_of(telex_broker: Lasting, qos: int) -> None:
    """While it lasts, and behind it."""
    sizes: list[int] = []
    count = MANY // 4  # tracing is slow

    def stream() -> Iterator[tuple[str, bytes]]:
        for i in range(count):
            if i % (count // 8) == count // 16:
                sizes.append(allocated.size())
            yield "flood", b"%100d" % i

    async with telex.Client(telex_broker.address) as client:
        await client.publish_many([("flood", b"first")] * 100, qos=qos)
        allocated = Allocated()
        async with asyncio.timeout(SECONDS * 2):
            assert await client.publish_many(stream(), qos=qos) == count
        gc.collect()
        left = allocated.size()
    assert max(sizes) < 8 * 1024 * 1024
    assert max(sizes[4:]) < max(sizes[:4]) + 1024 * 1024  # it does not grow
    assert left < 256 * 1024


@pytest.mark.usefixtures("traced")
async def test_gathered_publishes_leave_nothing_behind(telex_broker: Lasting) -> None:
    async with telex.Client(telex_broker.address) as client:
        await asyncio.gather(*(client.publish("flood", bytes(100), qos=1) for _ in range(1_000)))
        allocated = Allocated()
        await asyncio.gather(*(client.publish("flood", b"%100d" % i, qos=1) for i in range(20_000)))
        gc.collect()
        assert allocated.size() < 256 * 1024


async def test_publishes_that_wait_do_not_keep_answers_from_being_read(telex_broker: Lasting) -> None:
    """A hundred publishes at once starve nobody: a subscription and a request go through meanwhile."""
    async with telex.Client(telex_broker.address) as client:
        flood = asyncio.gather(*(client.publish("flood", bytes(1_000), qos=2) for _ in range(20_000)))
        async with asyncio.timeout(SECONDS), client.subscribe("meanwhile") as messages:
            await client.publish("meanwhile", b"x")
            assert (await messages.next()).payload == b"x"
            assert not flood.done()
        await flood


# Slow handlers


async def steady(broker: Lasting, work: Callable[[telex.Client], Awaitable[None]]) -> None:
    """Something slow happens while messages come non-stop: the connection is there all the time."""
    lost: list[telex.Lost] = []
    async with Proxy(broker.port) as proxy, witness(broker.port) as somebody:
        client = telex.Client(proxy.address, keep_alive=KEEP_ALIVE, reconnect=SOON, will=telex.Will("slow/will", b"x"))
        client.on_lost(lost.append)

        async def flood() -> None:
            while True:
                await somebody.publish_carelessly("slow/flood", bytes(1_000))
                await somebody.publish("slow/one-by-one", b"x")
                await asyncio.sleep(0.002)

        flooding = asyncio.create_task(flood())
        async with asyncio.timeout(SECONDS):
            await work(client)
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)
        assert proxy.connections == 1
        assert lost == []


async def slow_coroutine(client: telex.Client) -> None:
    done = asyncio.Event()

    @client.on("slow/#", qos=1, queue=5)
    async def handler(message: telex.Message) -> None:
        await asyncio.sleep(LONG)
        done.set()

    async with client:
        await done.wait()
        assert client.is_connected


async def slow_function(client: telex.Client) -> None:
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    @client.on("slow/#", qos=1, queue=5)
    def handler(message: telex.Message) -> None:
        time.sleep(LONG)
        loop.call_soon_threadsafe(done.set)

    async with client:
        await done.wait()
        assert client.is_connected


async def slow_iteration(client: telex.Client) -> None:
    async with client, client.subscribe("slow/#", qos=1, queue=1) as messages:
        for _ in range(3):
            await messages.next()
        await asyncio.sleep(LONG)
        assert client.is_connected
        for _ in range(100):
            await messages.next()
        assert await client.publish("t", b"x", qos=2) < 0x80


async def slow_at_qos_0(client: telex.Client) -> None:
    async with client, client.subscribe("slow/flood", queue=1) as messages:
        await messages.next()
        await asyncio.sleep(LONG)
        assert client.is_connected
        for _ in range(100):
            await messages.next()
        assert await client.publish("t", b"x", qos=2) < 0x80


async def test_whoever_takes_three_keep_alives_for_a_message_keeps_the_connection(each_broker: Lasting) -> None:
    works = (slow_coroutine, slow_function, slow_iteration, slow_at_qos_0)
    await asyncio.gather(*(steady(each_broker, work) for work in works))


# Queues


@pytest.mark.parametrize(
    ("policy", "kept"), [("drop_oldest", [7, 8, 9]), ("drop_newest", [0, 1, 2])], ids=["drop_oldest", "drop_newest"]
)
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_a_full_queue_drops_what_its_policy_says_and_counts_it(
    telex_broker: Lasting, policy: str, kept: list[int], qos: int, caplog: pytest.LogCaptureFixture
) -> None:
    topic = f"queue/{policy}/{qos}"
    async with witness(telex_broker.port) as somebody, telex.Client(telex_broker.address) as client:
        async with client.subscribe(topic, qos=qos, queue=3, when_full=policy) as messages:  # type: ignore[arg-type]
            for i in range(10):
                await somebody.publish(topic, b"%d" % i)
            await until(lambda: messages.waiting + messages.dropped == 10)
            assert (messages.waiting, messages.dropped) == (3, 7)
            assert [int((await messages.next()).payload) for _ in range(3)] == kept
            await somebody.publish(topic, b"10")  # it goes on, and what was dropped is acknowledged
            assert (await messages.next(timeout=SECONDS)).payload == b"10"
    assert len([record for record in caplog.records if topic in record.getMessage()]) == 1  # the first is told


@pytest.mark.parametrize("qos", [1, 2])
async def test_a_queue_that_waits_loses_nothing_and_takes_in_no_more_than_it_said(
    each_broker: Lasting, qos: int
) -> None:
    topic = f"queue/wait/{qos}"
    count = 500
    async with witness(each_broker.port) as somebody:
        async with telex.Client(each_broker.address, receive_maximum=20) as client:
            async with client.subscribe(topic, qos=qos, queue=5) as messages:
                most = 0
                got = []
                for i in range(count):
                    await somebody.publish(topic, b"%d" % i)
                await until(lambda: messages.waiting >= 5)
                for _ in range(count):
                    most = max(most, messages.waiting)
                    got.append(int((await messages.next(timeout=SECONDS)).payload))
                    await asyncio.sleep(0)
                assert got == list(range(count))
                assert messages.dropped == 0
                # Mosquitto 2.0.11 sends two messages for each acknowledgement, whatever Receive Maximum says.
                assert most <= 5 + 20 or each_broker.kind == "mosquitto"


async def test_at_qos_0_a_queue_that_waits_leaves_the_rest_unread(telex_broker: Lasting) -> None:
    """Nothing that the broker has sent is lost, and not much of it is here."""
    topic = "queue/unread"
    async with Proxy(telex_broker.port) as proxy, witness(telex_broker.port) as somebody:
        async with telex.Client(proxy.address) as client:
            async with client.subscribe(topic, queue=100) as messages:
                for i in range(30_000):
                    await somebody.publish_carelessly(topic, b"%1000d" % i)
                await until(lambda: messages.waiting >= 100)
                most = 0
                got = []
                while not got or got[-1] != 29_999:
                    try:
                        got.append(int((await messages.next(timeout=1)).payload))
                    except telex.Timeout:
                        break  # the broker has dropped the last one
                    most = max(most, messages.waiting)
                assert messages.dropped == 0
        passed = [
            int(each.data[-1000:]) for each in proxy.passed if each.direction == TO_CLIENT and each.name == "PUBLISH"
        ]
    assert got == passed
    assert len(got) >= 1_000
    assert most <= 100 + 1_000  # what one read brings, at 1,000 bytes each


@pytest.mark.parametrize("answer_qos", [1, 2])
async def test_a_flood_at_qos_0_into_a_handler_that_publishes_itself_is_no_dead_lock(
    each_broker: Lasting, answer_qos: int
) -> None:
    topic = f"flood/{answer_qos}/{each_broker.kind}"
    app = telex.Client(each_broker.address)
    handled = 0
    heard = asyncio.Event()

    @app.on(f"{topic}/in", queue=10)
    async def handler(message: telex.Message) -> None:
        nonlocal handled
        await app.publish(f"{topic}/out", message.payload, qos=answer_qos)
        handled += 1

    @app.on(f"{topic}/end", qos=1)
    async def end(message: telex.Message) -> None:
        heard.set()

    async with witness(each_broker.port, f"{topic}/out") as somebody, app:
        for i in range(5_000):
            await somebody.publish_carelessly(f"{topic}/in", b"%100d" % i)
        await somebody.publish(f"{topic}/end", b"")
        async with asyncio.timeout(SECONDS):
            await heard.wait()
        assert await app.publish("t", b"x", qos=2) < 0x80
        await until(lambda: len(somebody.messages) >= handled > 0)
        answers = [int(message.payload) for message in somebody.messages]
    assert answers == sorted(set(answers))  # in order, and none twice


async def test_a_flood_at_qos_1_into_a_handler_that_asks_others_is_no_dead_lock(each_broker: Lasting) -> None:
    """What waits for the handler takes all of Receive Maximum, and the reply comes at QoS 1, too."""
    topic = f"asking/{each_broker.kind}"
    count = 200
    replies: list[int] = []
    service = telex.Client(each_broker.address)

    @service.responds(f"{topic}/service", qos=1)
    async def serve(message: telex.Message) -> int:
        return int(message.payload) * 2

    app = telex.Client(each_broker.address, receive_maximum=10)

    @app.on(f"{topic}/in", qos=1, queue=5)
    async def handler(message: telex.Message) -> None:
        reply = await app.request(f"{topic}/service", message.payload, qos=1, timeout=2)
        replies.append(int(reply.payload))

    async with service, app, witness(each_broker.port) as somebody:
        await asyncio.gather(*(somebody.publish(f"{topic}/in", b"%d" % i) for i in range(count)))
        await until(lambda: len(replies) == count)
    assert sorted(replies) == [2 * i for i in range(count)]


async def test_a_handler_may_subscribe_in_the_midst_of_a_flood(telex_broker: Lasting) -> None:
    app = telex.Client(telex_broker.address)
    subscribed = asyncio.Event()

    @app.on("midst/in", queue=2)
    async def handler(message: telex.Message) -> None:
        async with app.subscribe("midst/other", qos=1) as messages:
            await app.publish("midst/other", b"x", qos=1)
            assert (await messages.next(timeout=SECONDS)).payload == b"x"
        subscribed.set()

    async with app, witness(telex_broker.port) as somebody:
        for _ in range(3_000):
            await somebody.publish_carelessly("midst/in", bytes(1_000))
        async with asyncio.timeout(SECONDS):
            await subscribed.wait()


# Handlers that fail (pain 5)


async def test_a_handler_that_raises_on_the_third_of_five_handles_five(
    telex_broker: Lasting, caplog: pytest.LogCaptureFixture
) -> None:
    app = telex.Client(telex_broker.address)
    handled: list[bytes] = []

    @app.on("fails/{number}", qos=1)
    async def handler(number: int, message: telex.Message) -> None:
        handled.append(message.payload)
        if number == 3:
            raise RuntimeError("the third")

    async with Proxy(telex_broker.port), witness(telex_broker.port) as somebody, app:
        for number in range(1, 6):
            await somebody.publish(f"fails/{number}", b"%d" % number)
        await until(lambda: len(handled) == 5)
        assert app.is_connected
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert "fails/3" in errors[0].getMessage()
    assert errors[0].exc_info is not None
    assert str(errors[0].exc_info[1]) == "the third"


async def test_or_its_exception_reaches_the_program(telex_broker: Lasting) -> None:
    app = telex.Client(telex_broker.address, on_error="raise")

    @app.on("raises", qos=1)
    async def handler(message: telex.Message) -> None:
        raise RuntimeError("it goes up")

    async def program() -> None:
        async with asyncio.timeout(SECONDS), app:
            await app.publish("raises", b"", qos=1)
            await app.wait_closed()

    with pytest.raises(RuntimeError, match="it goes up"):
        await program()
