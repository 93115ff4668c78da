"""Many threads and one client: publishing and waiting, also from within handlers, without a dead-lock."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

import telex
from telex.wire.packets import Publish
from tests.client.adversity.brokers import Lasting
from tests.client.adversity.peers import SECONDS, witness
from tests.client.adversity.proxy import How, Proxy

THREADS = 8
MESSAGES = 40  # of each thread


@contextmanager
def threads(count: int, work: Callable[[int], None]) -> Iterator[None]:
    """Run the same in many threads at once until the block ends, and raise what went wrong in any."""
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    # They are daemons: if they hang, the test fails, and does not hang with them.
    running = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in running:
        thread.start()
    yield
    for thread in running:
        thread.join(SECONDS)
    assert errors == []
    assert [thread.name for thread in running if thread.is_alive()] == []


def test_eight_threads_publish_at_qos_2_and_wait(each_broker: Lasting) -> None:
    with telex.SyncClient(each_broker.address) as client, telex.SyncClient(each_broker.address) as other:
        with other.subscribe("threads/#", qos=2) as messages:

            def work(number: int) -> None:
                for i in range(MESSAGES):
                    assert client.publish(f"threads/{number}", b"%d" % i, qos=2, timeout=SECONDS) < 0x80

            with threads(THREADS, work):
                got = [messages.next(timeout=SECONDS) for _ in range(THREADS * MESSAGES)]
            for number in range(THREADS):
                mine = [int(message.payload) for message in got if message.topic == f"threads/{number}"]
                assert mine == list(range(MESSAGES))
            assert messages.waiting == 0


def test_handlers_publish_at_qos_2_and_wait_while_threads_do(each_broker: Lasting) -> None:
    """Each message that a thread publishes is answered by a handler, at QoS 2 and in a thread of its own."""
    client = telex.SyncClient(each_broker.address)
    handled: list[tuple[int, int]] = []

    @client.on("ask/{number}", qos=2, concurrency=THREADS)
    def answer(number: int, message: telex.Message) -> None:
        assert client.publish(f"answer/{number}", message.payload, qos=2, timeout=SECONDS) < 0x80
        handled.append((number, int(message.payload)))

    with client, telex.SyncClient(each_broker.address) as other, other.subscribe("answer/+", qos=2) as messages:

        def work(number: int) -> None:
            for i in range(MESSAGES):
                assert client.publish(f"ask/{number}", b"%d" % i, qos=2, timeout=SECONDS) < 0x80

        with threads(THREADS, work):
            got = [messages.next(timeout=SECONDS) for _ in range(THREADS * MESSAGES)]
        expected = sorted((number, i) for number in range(THREADS) for i in range(MESSAGES))
        assert sorted((int(message.topic[len("answer/") :]), int(message.payload)) for message in got) == expected
        assert messages.waiting == 0
    assert sorted(handled) == expected


def test_a_handler_waits_for_the_answer_of_another_one_of_the_same_client(telex_broker: Lasting) -> None:
    """More of them at once than a pool has threads, all waiting for those that have not begun."""
    client = telex.SyncClient(telex_broker.address)
    count = 100
    done = threading.Semaphore(0)

    @client.responds("inner/{number}", concurrency=count)
    def inner(number: int) -> int:
        return number * 2

    @client.on("outer/{number}", qos=1, concurrency=count)
    def outer(number: int) -> None:
        assert client.request(f"inner/{number}", timeout=SECONDS).decode(int) == number * 2
        done.release()

    with client:
        for number in range(count):
            client.publish(f"outer/{number}", qos=1, timeout=SECONDS)
        for _ in range(count):
            assert done.acquire(timeout=SECONDS)


def test_a_sync_client_waits_within_the_handler_of_an_async_one(telex_broker: Lasting) -> None:
    app = telex.Client(telex_broker.address)
    got: list[int] = []

    with telex.SyncClient(telex_broker.address) as client:

        @app.on("into/{number}", qos=2, concurrency=THREADS)
        def handler(number: int) -> None:
            client.publish(f"out/{number}", b"%d" % number, qos=2, timeout=SECONDS)

        async def main() -> None:
            async with witness(telex_broker.port, "out/+") as somebody, app:
                for number in range(50):
                    await somebody.publish(f"into/{number}", b"")
                await somebody.until(lambda: len(somebody.messages) >= 50)
                got.extend(sorted(int(message.payload) for message in somebody.messages))

        asyncio.run(main())
    assert got == list(range(50))


def test_a_coroutine_which_would_have_to_wait_for_the_loop_that_it_stands_in_is_refused() -> None:
    client = telex.SyncClient("mqtt://127.0.0.1:1")

    async def handler(message: telex.Message) -> None: ...

    with pytest.raises(TypeError, match="SyncClient calls functions"):
        client.on("block/me")(handler)


def test_publishing_when_connected_and_waiting_for_it_works_or_is_refused_at_once(telex_broker: Lasting) -> None:
    client = telex.SyncClient(telex_broker.address)
    told = threading.Event()
    said: list[str] = []

    @client.on_connected
    def connected(event: telex.Connected) -> None:
        try:
            client.publish("hello", b"x", qos=1, timeout=SECONDS)
        except Exception as error:
            said.append(type(error).__name__)
        told.set()

    with client:
        assert told.wait(SECONDS / 2)
        assert client.publish("out", b"x", qos=1, timeout=SECONDS) < 0x80
    assert "Timeout" not in said


def test_threads_go_on_while_the_link_is_cut_again_and_again(telex_broker: Lasting) -> None:
    """QoS 2, exactly once, from eight threads through a link that does not hold."""

    async def main() -> list[Publish]:
        async with Proxy(telex_broker.port) as proxy, witness(telex_broker.port, "shaky/#") as somebody:
            working = asyncio.create_task(asyncio.to_thread(publish, proxy.address))
            for hundreds in range(1, 4):
                await proxy.until(lambda most=hundreds * 100: proxy.count("PUBREC") >= most)  # type: ignore[misc]
                proxy.cut_now(How.RST)
            await working
            await somebody.until(lambda: len(somebody.messages) >= THREADS * MESSAGES)
            return somebody.messages

    def publish(address: str) -> None:
        reconnect = telex.Reconnect(first=0.01, most=0.05)
        with telex.SyncClient(address, reconnect=reconnect) as client:

            def work(number: int) -> None:
                for i in range(MESSAGES):
                    client.publish(f"shaky/{number}", b"%d" % i, qos=2, timeout=SECONDS)

            with threads(THREADS, work):
                pass

    got = asyncio.run(asyncio.wait_for(main(), SECONDS * 2))
    for number in range(THREADS):
        mine = [int(message.payload) for message in got if message.topic == f"shaky/{number}"]
        assert mine == list(range(MESSAGES))


def test_closing_while_threads_wait_wakes_them(telex_broker: Lasting) -> None:
    """None of them hangs, whatever it waits for."""
    client = telex.SyncClient(telex_broker.address)
    began = threading.Barrier(4)

    def publish_for_ever() -> None:
        while True:
            client.publish("t", b"x", qos=2)

    def publishing(number: int) -> None:
        began.wait(SECONDS)
        with pytest.raises(telex.MqttError):
            publish_for_ever()

    with client:
        subscription = client.subscribe("quiet/#")
        with subscription as messages:

            def iterating(number: int) -> None:
                began.wait(SECONDS)
                with suppress(telex.MqttError):
                    assert list(messages) == []

            def requesting(number: int) -> None:
                began.wait(SECONDS)
                with pytest.raises(telex.MqttError):
                    client.request("nobody", b"?")

            work = [publishing, iterating, requesting]
            with threads(3, lambda number: work[number](number)):
                began.wait(SECONDS)
                client.close()
