"""Compare Telex's client with other MQTT clients on this machine: ``python benchmarks/clients.py``.

One process publishes and one subscribes, each with the same library in the way that its documentation shows, at
the same broker, Mosquitto. Prints the medians of some rounds, what they are in relation to the other libraries in
the same run, and whether Telex reached its targets. Linux only: it reads the processor clocks of other processes.

Knows libraries, scenarios, figures and tables. How a broker is run is in brokers.py; how figures are told is in
compare.py. The processes that publish, subscribe and hold clients are this program, too, with ``--role``.
"""

import argparse
import asyncio
import gc
import importlib.metadata
import json
import mmap
import os
import platform
import re
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final, NoReturn

from brokers import (
    BROKERS,
    REPOSITORY,
    Broker,
    BrokerFailed,
    Missing,
    Program,
    Queues,
    Server,
    last_line,
    running,
)
from compare import choose
from figures import Outcome, Results, rounded, table, times
from machine import allow_open_files

_HOST: Final = "127.0.0.1"
_TOPIC: Final = "bench/clients"
_PAYLOAD: Final = b"x" * 64

_BLOCK: Final = 500  # messages that are published before anyone looks whether there is room for more
_WINDOW: Final = 5000  # messages that a publisher may be ahead of its subscriber
_PAUSE: Final = 0.001  # seconds between two looks whether there is room again
_IN_FLIGHT: Final = 1000  # acknowledgements that a publisher may wait for; Mosquitto allows as many
_AT_ONCE: Final = 100  # publishes of aiomqtt that wait at once: with fewer, or with more, it is slower

_WARM_UP_SECONDS: Final = 1.0
_READY_SECONDS: Final = 20.0  # that a client has to connect, to subscribe, or to bring its first message
_STILL_SECONDS: Final = 3.0  # without a message, before those that did not come are called lost
_END_SECONDS: Final = 20.0  # that a process has to end when it is asked to
_HOLD_SECONDS: Final = 180.0  # to connect all idle clients, and to let go of them
_SETTLING_SECONDS: Final = 1.0  # before memory is read
_MOST_LINES_WITH_IDS: Final = 50_000  # mosquitto_pub 2.0.11 loses nearly all if there are more lines than packet ids
_MOST_WITH_SELECT: Final = 300  # clients of paho-mqtt in a process: it selects, by numbers below 1024, three for each
_COMMAND_SECONDS: Final = 120.0  # that a command may take
_NOISE: Final = 0.1  # cores that other programs may use before the figures are called unsure


# What is measured


@dataclass(frozen=True)
class Scenario:
    """What is measured in one go, and the titles of the figures that it gives."""

    name: str
    titles: tuple[str, ...]
    qos: int = 0


def _end_to_end(qos: int) -> Scenario:
    names = ("messages/s", "CPU publishing", "CPU subscribing", "CPU both", "CPU broker")
    return Scenario(f"qos{qos}", tuple(f"QoS {qos}, {name}" for name in names), qos)


END_TO_END: Final = (_end_to_end(0), _end_to_end(1))
MEMORY: Final = Scenario("memory", ("KiB per client, RSS", "KiB per client, traced"))
START: Final = Scenario("start", ("ms until pub -m has ended", "ms of processor time"))
LINES: Final = (
    Scenario("lines0", ("QoS 0, lines/s", "QoS 0, CPU s per 100,000"), 0),
    Scenario("lines1", ("QoS 1, lines/s", "QoS 1, CPU s per 100,000"), 1),
)
COMMANDS: Final = (START, *LINES)
SCENARIOS: Final = (*END_TO_END, MEMORY, *COMMANDS)


@dataclass(frozen=True)
class Target:
    """What Telex shall reach."""

    title: str
    limit: float
    of: str = ""
    """As a multiple of the figure of this library; empty: the figure itself, which may be no more."""
    by: str = "telex"
    """Which of Telex's libraries shall."""


TARGETS: Final = (
    Target("QoS 0, messages/s", 10, "paho"),
    Target("QoS 0, messages/s", 30, "aiomqtt"),
    Target("QoS 0, messages/s", 1, "gmqtt"),
    Target("QoS 1, messages/s", 10, "paho"),
    Target("QoS 1, messages/s", 20, "aiomqtt"),
    Target("QoS 1, messages/s", 1, "gmqtt"),
    Target("KiB per client, RSS", 50),
    Target("QoS 0, messages/s", 3, "paho", by="telex-paho"),
    Target("QoS 1, messages/s", 5, "paho", by="telex-paho"),
)
_PEERS: Final = ("paho", "aiomqtt", "gmqtt")


# How two processes know of each other


class Board:
    """Numbers that all processes of one measurement see: a file in memory that they share, a page long."""

    _RECEIVED, _SENT, _IS_READY, _SHALL_STOP, _SHALL_END = range(5)

    def __init__(self, path: str) -> None:
        with open(path, "r+b") as file:
            self._numbers = memoryview(mmap.mmap(file.fileno(), mmap.PAGESIZE)).cast("Q")

    @property
    def received(self) -> int:
        """Messages that the subscriber saw."""
        return self._numbers[self._RECEIVED]

    @property
    def sent(self) -> int:
        """Messages that the publisher has published, in whole blocks."""
        return self._numbers[self._SENT]

    @property
    def is_ready(self) -> bool:
        """Whether the broker has granted the subscription."""
        return self._numbers[self._IS_READY] > 0

    def ready(self) -> None:
        """The broker has granted the subscription."""
        self._numbers[self._IS_READY] = 1

    def stop(self) -> None:
        """Let the publisher come to its end."""
        self._numbers[self._SHALL_STOP] = 1

    def end(self) -> None:
        """Let the subscriber come to its end."""
        self._numbers[self._SHALL_END] = 1

    @property
    def shall_stop(self) -> bool:
        """Whether nothing more is to be published."""
        return self._numbers[self._SHALL_STOP] > 0

    @property
    def shall_end(self) -> bool:
        """Whether no message is waited for any more."""
        return self._numbers[self._SHALL_END] > 0

    @property
    def has_room(self) -> bool:
        """Whether a block may be published."""
        numbers = self._numbers
        return numbers[self._SENT] - numbers[self._RECEIVED] <= _WINDOW - _BLOCK

    def published(self) -> None:
        """A block was published."""
        self._numbers[self._SENT] += _BLOCK

    def counter(self) -> "Callable[[str, bytes], None]":
        """What a subscriber calls for each message, with its topic and its payload.

        The topic is compared so that every library has to have made it; some do so when they are asked only.
        """
        numbers, position, size = self._numbers, self._RECEIVED, len(_PAYLOAD)

        def count(topic: str, payload: bytes) -> None:
            if topic != _TOPIC or len(payload) != size:
                raise ValueError(f"a message that nobody published: {topic} {payload!r}")
            numbers[position] += 1

        return count

    # Turns to publish, for programs with threads and for those with asyncio

    def turns(self) -> Iterator[None]:
        """A turn for each block, when there is room for it."""
        while not self.shall_stop:
            if self.has_room:
                yield
                self.published()
            else:
                time.sleep(_PAUSE)

    async def turns_async(self) -> AsyncIterator[None]:
        """The same; between two turns the event loop has one, too."""
        while not self.shall_stop:
            if self.has_room:
                yield
                self.published()
                await asyncio.sleep(0)
            else:
                await asyncio.sleep(_PAUSE)

    async def wait_end(self) -> None:
        """Wait until no message is waited for any more."""
        while not self.shall_end:  # noqa: ASYNC110 - another process tells
            await asyncio.sleep(0.05)


# How each library is used


async def _until_end(board: Board, consume: Coroutine[Any, Any, None]) -> None:
    """Let messages come until it is over; what fails meanwhile is raised."""
    consuming = asyncio.create_task(consume)
    ending = asyncio.create_task(board.wait_end())
    await asyncio.wait([consuming, ending], return_when=asyncio.FIRST_COMPLETED)
    if not ending.done():
        ending.cancel()
        await consuming
        raise RuntimeError("the library says that there are no more messages")
    consuming.cancel()
    await asyncio.wait([consuming])


async def publish_with_telex(port: int, board: Board, qos: int) -> None:
    """``publish_many``, for all of it."""
    import telex

    async def messages() -> AsyncIterator[tuple[str, object]]:
        async for _ in board.turns_async():
            for _ in range(_BLOCK):
                yield _TOPIC, _PAYLOAD

    async with telex.Client(f"mqtt://{_HOST}:{port}") as client:
        await client.publish_many(messages(), qos=qos)


async def publish_with_telex_singly(port: int, board: Board, qos: int) -> None:
    """``await publish`` for each message; at QoS 1 many wait for their acknowledgement at once."""
    import telex

    async with telex.Client(f"mqtt://{_HOST}:{port}") as client:
        async for _ in board.turns_async():
            if qos == 0:
                for _ in range(_BLOCK):
                    await client.publish(_TOPIC, _PAYLOAD)
            else:
                await asyncio.gather(*(client.publish(_TOPIC, _PAYLOAD, qos=qos) for _ in range(_BLOCK)))


async def subscribe_with_telex(port: int, board: Board, qos: int) -> None:
    """``async for`` over a subscription."""
    import telex

    count = board.counter()

    async def consume(messages: Any) -> None:
        async for message in messages:
            count(message.topic, message.payload)

    async with telex.Client(f"mqtt://{_HOST}:{port}") as client, client.subscribe(_TOPIC, qos=qos) as messages:
        board.ready()
        await _until_end(board, consume(messages))


@asynccontextmanager
async def hold_with_telex(port: int, count: int) -> AsyncIterator[None]:
    """Connected clients that do nothing."""
    import telex

    async with AsyncExitStack() as stack:
        for _ in range(count):
            await stack.enter_async_context(telex.Client(f"mqtt://{_HOST}:{port}"))
        yield


def _paho() -> Any:
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    client = Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(_IN_FLIGHT)
    return client


def publish_with_paho(port: int, board: Board, qos: int) -> None:
    """``loop_start``, ``publish``, and ``wait_for_publish`` for the last."""
    client = _paho()
    client.connect(_HOST, port)
    client.loop_start()
    for _ in board.turns():
        for _ in range(_BLOCK):
            published = client.publish(_TOPIC, _PAYLOAD, qos=qos)
    published.wait_for_publish(_END_SECONDS)
    client.disconnect()
    client.loop_stop()


def subscribe_with_paho(port: int, board: Board, qos: int) -> None:
    """``loop_start`` and ``on_message``."""
    count = board.counter()
    client = _paho()
    client.on_connect = lambda client, *_: client.subscribe(_TOPIC, qos=qos)
    client.on_subscribe = lambda *_: board.ready()
    client.on_message = lambda _client, _data, message: count(message.topic, message.payload)
    client.connect(_HOST, port)
    client.loop_start()
    while not board.shall_end:
        time.sleep(0.05)
    client.disconnect()
    client.loop_stop()


@asynccontextmanager
async def hold_with_paho(port: int, count: int) -> AsyncIterator[None]:
    """Connected clients that do nothing, each on its thread."""
    clients = [_paho() for _ in range(count)]
    for client in clients:
        client.connect(_HOST, port)
        client.loop_start()
    while not all(client.is_connected() for client in clients):  # noqa: ASYNC110 - their threads know of no loop
        await asyncio.sleep(0.05)
    yield
    for client in clients:
        client.disconnect()
    for client in clients:
        client.loop_stop()


async def publish_with_aiomqtt(port: int, board: Board, qos: int) -> None:
    """``await publish`` for each message; at QoS 1 many wait for their acknowledgement at once."""
    import aiomqtt

    async with aiomqtt.Client(_HOST, port, max_inflight_messages=_IN_FLIGHT) as client:
        client.pending_calls_threshold = _AT_ONCE  # of more it would warn
        async for _ in board.turns_async():
            if qos == 0:
                for _ in range(_BLOCK):
                    await client.publish(_TOPIC, _PAYLOAD)
            else:
                for _ in range(_BLOCK // _AT_ONCE):
                    await asyncio.gather(*(client.publish(_TOPIC, _PAYLOAD, qos=qos) for _ in range(_AT_ONCE)))


async def subscribe_with_aiomqtt(port: int, board: Board, qos: int) -> None:
    """``async for`` over the client's messages."""
    import aiomqtt

    count = board.counter()

    async def consume(client: Any) -> None:
        async for message in client.messages:
            count(message.topic.value, message.payload)

    async with aiomqtt.Client(_HOST, port) as client:
        await client.subscribe(_TOPIC, qos=qos)
        board.ready()
        await _until_end(board, consume(client))


@asynccontextmanager
async def hold_with_aiomqtt(port: int, count: int) -> AsyncIterator[None]:
    """Connected clients that do nothing."""
    import aiomqtt

    async with AsyncExitStack() as stack:
        for _ in range(count):
            await stack.enter_async_context(aiomqtt.Client(_HOST, port))
        yield


async def publish_with_gmqtt(port: int, board: Board, qos: int) -> None:
    """``publish``, which waits for nothing; when too many are in flight it fails, and is called again."""
    import gmqtt
    import gmqtt.storage

    in_flight = gmqtt.storage.PersistentStorage()
    client = gmqtt.Client("", persistent_storage=in_flight)
    await client.connect(_HOST, port)
    async for _ in board.turns_async():
        for _ in range(_BLOCK):
            while True:
                try:
                    client.publish(_TOPIC, _PAYLOAD, qos=qos)
                    break
                except OverflowError:
                    await asyncio.sleep(0)
    await in_flight.wait_empty()  # what is in flight when it disconnects may be lost
    await client.disconnect()


async def subscribe_with_gmqtt(port: int, board: Board, qos: int) -> None:
    """``on_message``."""
    import gmqtt

    count = board.counter()

    def on_message(_client: Any, topic: str, payload: bytes, _qos: int, _properties: Any) -> int:
        count(topic, payload)
        return 0

    client = gmqtt.Client("")
    client.on_connect = lambda client, *_: client.subscribe(_TOPIC, qos=qos)
    client.on_subscribe = lambda *_: board.ready()
    client.on_message = on_message
    await client.connect(_HOST, port)
    await board.wait_end()
    await client.disconnect()


@asynccontextmanager
async def hold_with_gmqtt(port: int, count: int) -> AsyncIterator[None]:
    """Connected clients that do nothing."""
    import gmqtt

    clients = [gmqtt.Client("") for _ in range(count)]
    for client in clients:
        await client.connect(_HOST, port)
    yield
    for client in clients:
        await client.disconnect()


@dataclass(frozen=True)
class Library:
    """A client library, or one way to use it."""

    name: str
    title: str
    package: str
    """What pip calls it."""
    publish: Callable[[int, Board, int], Awaitable[None] | None]
    subscribe: Callable[[int, Board, int], Awaitable[None] | None]
    hold: Callable[[int, int], AbstractAsyncContextManager[None]] | None
    """None: another row says it already."""
    broker: str = ""
    """Telex alone: which of the brokers in brokers.py is the same installation."""
    most_held: int = 1_000_000
    """Idle clients that it can have in one process."""
    has_uvloop: bool = True
    """On uvloop; else on the loop that asyncio has itself, or on none."""
    under: tuple[str, ...] = ()
    """Words for Python, before the name of this program."""


LIBRARIES: Final = (
    Library(
        "telex",
        "Telex, compiled",
        "telex",
        publish_with_telex,
        subscribe_with_telex,
        hold_with_telex,
        broker="telex-compiled",
    ),
    Library(
        "telex-single",
        "Telex, compiled, one by one",
        "telex",
        publish_with_telex_singly,
        subscribe_with_telex,
        None,
        broker="telex-compiled",
    ),
    Library(
        "telex-asyncio",
        "Telex, compiled, asyncio's loop",
        "telex",
        publish_with_telex,
        subscribe_with_telex,
        hold_with_telex,
        broker="telex-compiled",
        has_uvloop=False,
    ),
    Library(
        "telex-interpreted",
        "Telex, interpreted",
        "telex",
        publish_with_telex,
        subscribe_with_telex,
        hold_with_telex,
        broker="telex-interpreted",
    ),
    Library(
        "telex-paho",
        "paho's program, under telex.paho",
        "telex",
        publish_with_paho,
        subscribe_with_paho,
        hold_with_paho,
        broker="telex-compiled",
        most_held=_MOST_WITH_SELECT,
        has_uvloop=False,
        under=("-m", "telex.paho"),
    ),
    Library(
        "paho",
        "paho-mqtt",
        "paho-mqtt",
        publish_with_paho,
        subscribe_with_paho,
        hold_with_paho,
        most_held=_MOST_WITH_SELECT,
        has_uvloop=False,
    ),
    Library("aiomqtt", "aiomqtt", "aiomqtt", publish_with_aiomqtt, subscribe_with_aiomqtt, hold_with_aiomqtt),
    Library("gmqtt", "gmqtt", "gmqtt", publish_with_gmqtt, subscribe_with_gmqtt, hold_with_gmqtt),
)
_MOSQUITTO_PUB: Final = "mosquitto_pub"
_PYTHON: Final = "python"
_TITLES: Final = {
    **{library.name: library.title for library in LIBRARIES},
    _MOSQUITTO_PUB: "mosquitto_pub (C)",
    _PYTHON: "Python that does nothing",
}


# The processes that publish, subscribe and hold clients


def play(options: argparse.Namespace) -> int:
    """Be one of these processes."""
    library = next(each for each in LIBRARIES if each.name == options.library)
    if options.role == "hold":
        assert library.hold is not None  # nobody asks otherwise
        _run(library, _hold(library.hold, options.port, options.clients, options.traced))
        return 0
    use = library.publish if options.role == "publish" else library.subscribe
    doing = use(options.port, Board(options.board), options.qos)
    if doing is not None:
        _run(library, doing)
    return 0


def _run(library: Library, doing: Awaitable[None]) -> None:
    async def main() -> None:
        await doing

    if library.has_uvloop:
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())


async def _hold(
    hold: Callable[[int, int], AbstractAsyncContextManager[None]], port: int, count: int, is_traced: bool
) -> None:
    """Print what memory one of many idle clients takes, in KiB. What all share is there before."""
    async with hold(port, 1):
        pass
    await asyncio.sleep(_SETTLING_SECONDS)
    gc.collect()
    if is_traced:
        tracemalloc.start()
    before = _memory(is_traced)
    async with hold(port, count):
        await asyncio.sleep(_SETTLING_SECONDS)
        gc.collect()
        print(json.dumps({"kib": (_memory(is_traced) - before) / count}), flush=True)


def _memory(is_traced: bool) -> float:
    """KiB of this process: those that Python knows to be in use, or those that are resident."""
    if is_traced:
        return tracemalloc.get_traced_memory()[0] / 1024
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE / 1024


# Measuring


@dataclass(frozen=True)
class Sample:
    """What clocks and counters say at one moment; seconds, and messages."""

    now: float
    received: int
    sent: int
    publisher: float
    subscriber: float
    broker: float
    machine: float


@dataclass(frozen=True)
class Bench:
    """What all measurements have in common."""

    build: Path
    seconds: float
    clients: int
    starts: int
    lines: int
    broker: Broker
    program: Program
    installations: dict[str, Program]
    """Of Telex, by the names of brokers."""
    mosquitto_pub: str

    def measure(self, name: str, scenario: Scenario) -> list[Outcome]:
        """Start the broker afresh, measure once, stop the broker."""
        try:
            with running(self.broker, self.program, None, self.build, Queues.LONG) as server:  # it drops nothing
                if scenario in END_TO_END:
                    return [self._end_to_end(_library(name), server, scenario)]
                if scenario is MEMORY:
                    return [self._memory(_library(name), server)]
                if scenario is START:
                    return self._starts(name, server)
                return [self._lines(name, server, scenario)]
        except (BrokerFailed, Failed) as failure:
            return [Outcome(name, scenario.name, {}, "failed", str(failure))]

    # A publisher and a subscriber

    def _end_to_end(self, library: Library, server: Server, scenario: Scenario) -> Outcome:
        with _shared_page() as path:
            board = Board(path)
            words = ["--board", path, "--qos", str(scenario.qos)]
            with self._playing("subscribe", library, server, words) as subscriber:
                subscriber.wait_until(lambda: board.is_ready, "subscribe")
                with self._playing("publish", library, server, words) as publisher:
                    publisher.wait_until(lambda: board.received > 0, "publish what arrives")
                    time.sleep(_WARM_UP_SECONDS)
                    first = _sample(board, publisher, subscriber, server)
                    time.sleep(self.seconds)
                    last = _sample(board, publisher, subscriber, server)
                    board.stop()
                    publisher.wait()
                _wait_for_the_rest(board, subscriber)
                board.end()
                subscriber.wait()
        if board.received != board.sent:
            missing = board.sent - board.received
            problem = "duplicates" if missing < 0 else f"lost {missing:,}"
            return Outcome(library.name, scenario.name, {}, problem, f"{board.received:,} of {board.sent:,} arrived")
        return _judge(library, scenario, first, last)

    @contextmanager
    def _playing(self, role: str, library: Library, server: Server, words: Sequence[str]) -> Iterator["Role"]:
        """Run this program in a role until the block ends."""
        command = [sys.executable, *library.under, __file__, "--role", role, "--library", library.name]
        command += ["--port", str(server.port)]
        with tempfile.TemporaryFile(dir=self.build) as errors:
            process = subprocess.Popen(
                [*command, *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=self._environment(library.broker),
            )
            try:
                yield Role(f"{library.title}, to {role}", process, errors)
            finally:
                if process.poll() is None:
                    process.kill()
                process.communicate()

    def _environment(self, installation: str) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        program = self.installations.get(installation)
        if program is not None and program.python_path is not None:
            environment["PYTHONPATH"] = program.python_path
        return environment

    # Idle clients

    def _memory(self, library: Library, server: Server) -> Outcome:
        figures, count = {}, min(self.clients, library.most_held)
        for title, more in zip(MEMORY.titles, ([], ["--traced"]), strict=True):
            with self._playing("hold", library, server, ["--clients", str(count), *more]) as holder:
                figures[title] = float(json.loads(holder.output())["kib"])
        return Outcome(library.name, MEMORY.name, figures)

    # Commands

    def _command(self, name: str) -> tuple[list[str], dict[str, str]]:
        if name == _PYTHON:
            return [sys.executable, "-c", "pass"], self._environment("")
        if name == _MOSQUITTO_PUB:
            return [self.mosquitto_pub], self._environment("")
        return [sys.executable, "-m", "telex", "pub"], self._environment(_library(name).broker)

    def _starts(self, name: str, server: Server) -> list[Outcome]:
        command, environment = self._command(name)
        if name != _PYTHON:
            command += ["-h", _HOST, "-p", str(server.port), "-t", _TOPIC, "-m", _PAYLOAD.decode()]
        outcomes = []
        for _ in range(self.starts):
            seconds, cpu_seconds = _time(command, environment)
            figures = dict(zip(START.titles, (1000 * seconds, 1000 * cpu_seconds), strict=True))
            outcomes.append(Outcome(name, START.name, figures))
        return outcomes[1:]  # the first finds no compiled bytecode, or has to read files from the disk

    def _lines(self, name: str, server: Server, scenario: Scenario) -> Outcome:
        """Pipe lines into a command; the time until all have arrived."""
        command, environment = self._command(name)
        command += ["-h", _HOST, "-p", str(server.port), "-t", _TOPIC, "-q", str(scenario.qos), "-l"]
        count = self.lines if scenario.qos == 0 else min(self.lines, _MOST_LINES_WITH_IDS)
        with tempfile.TemporaryFile(dir=self.build) as lines, Sink(server.port) as sink:
            lines.write((_PAYLOAD + b"\n") * count)
            lines.seek(0)
            began = time.monotonic()
            _, cpu_seconds = _time(command, environment, lines)
            received = sink.wait_for(count)
            seconds = sink.last - began
        if received != count:
            problem = f"lost {count - received:,}"
            return Outcome(name, scenario.name, {}, problem, f"{received:,} of {count:,} lines arrived")
        return Outcome(
            name,
            scenario.name,
            dict(zip(scenario.titles, (count / seconds, 100_000 * cpu_seconds / count), strict=True)),
        )


class Failed(Exception):
    """A process did not do what it was started for; says what it printed last."""


class Role:
    """A process of ours that plays a role."""

    def __init__(self, title: str, process: "subprocess.Popen[bytes]", errors: IO[bytes]) -> None:
        self._title = title
        self._process = process
        self._errors = errors

    def wait_until(self, happened: Callable[[], bool], what: str) -> None:
        """Wait until something happened that this process shall bring about.

        Raises:
            Failed: it ended, or did not do it in time.
        """
        deadline = time.monotonic() + _READY_SECONDS
        while not happened():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._fail(f"did not {what}")
            time.sleep(0.01)

    def wait(self) -> None:
        """Wait until it has come to its end.

        Raises:
            Failed: it did not, or not well.
        """
        try:
            code = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._fail("did not end")
        if code:
            self._fail(f"ended with code {code}")

    def output(self) -> bytes:
        """What it prints until it ends.

        Raises:
            Failed: it does not end, or not well.
        """
        try:
            printed, _ = self._process.communicate(timeout=_HOLD_SECONDS)
        except subprocess.TimeoutExpired:
            self._fail("did not end")
        if self._process.returncode:
            self._fail(f"ended with code {self._process.returncode}")
        return printed

    def cpu_seconds(self) -> float:
        """The processor time that it used so far.

        Raises:
            Failed: it has ended.
        """
        if self._process.poll() is not None:
            self._fail("ended too early")
        return _cpu_seconds(self._process.pid)

    def _fail(self, what: str) -> NoReturn:
        self._errors.seek(0)
        said = last_line(self._errors.read().decode(errors="replace"))
        raise Failed(f"{self._title}: it {what}" + (f"; {said}" if said else ""))


class Sink:
    """A subscriber at QoS 0 that counts what comes by its bytes: it takes as little of the processor as can be."""

    def __init__(self, port: int) -> None:
        self.last = time.monotonic()
        """When something came for the last time."""
        self._socket = socket.create_connection((_HOST, port), _READY_SECONDS)
        self._socket.sendall(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00")  # CONNECT of MQTT 3.1.1
        topic = len(_TOPIC).to_bytes(2) + _TOPIC.encode()
        self._socket.sendall(bytes((0x82, len(topic) + 3, 0, 1)) + topic + b"\x00")  # SUBSCRIBE, QoS 0
        answers = b""
        while len(answers) < 9:  # CONNACK and SUBACK
            answers += self._socket.recv(9 - len(answers)) or bytes(9)
        if answers != b"\x20\x02\x00\x00\x90\x03\x00\x01\x00":
            raise Failed(f"the broker's answers to a subscriber: {answers.hex(' ')}")
        self._size = 2 + len(topic) + len(_PAYLOAD)
        self._bytes = 0
        self._thread = threading.Thread(target=self._take_in)

    def __enter__(self) -> "Sink":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def wait_for(self, count: int) -> int:
        """Wait for so many messages, or until none has come for a while; how many came."""
        while self._bytes < count * self._size and time.monotonic() - self.last < _STILL_SECONDS:
            time.sleep(0.005)
        return self._bytes // self._size

    def _take_in(self) -> None:
        self._socket.settimeout(None)
        room = bytearray(1 << 20)
        while count := self._socket.recv_into(room):
            self._bytes += count
            self.last = time.monotonic()


@contextmanager
def _shared_page() -> Iterator[str]:
    """A page of memory that is a file for us and for our processes: its path."""
    descriptor = os.memfd_create("board")
    try:
        os.ftruncate(descriptor, mmap.PAGESIZE)
        yield f"/proc/{os.getpid()}/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _library(name: str) -> Library:
    return next(library for library in LIBRARIES if library.name == name)


def _sample(board: Board, publisher: Role, subscriber: Role, server: Server) -> Sample:
    return Sample(
        time.monotonic(),
        board.received,
        board.sent,
        publisher.cpu_seconds(),
        subscriber.cpu_seconds(),
        sum(_cpu_seconds(pid) for pid in server.pids),
        _machine_seconds(),
    )


def _judge(library: Library, scenario: Scenario, first: Sample, last: Sample) -> Outcome:
    seconds = last.now - first.now
    received, sent = last.received - first.received, last.sent - first.sent
    publisher, subscriber = last.publisher - first.publisher, last.subscriber - first.subscriber
    broker = last.broker - first.broker
    if not received or not sent:
        return Outcome(library.name, scenario.name, {}, "stalled", "nothing moved any more")
    publishing, subscribing = 100_000 * publisher / sent, 100_000 * subscriber / received
    figures = (received / seconds, publishing, subscribing, publishing + subscribing, 100_000 * broker / received)
    return Outcome(
        library.name,
        scenario.name,
        dict(zip(scenario.titles, figures, strict=True)),
        load_cpu=(publisher + subscriber) / seconds,
        broker_cpu=broker / seconds,
        others_cpu=max(0.0, (last.machine - first.machine - publisher - subscriber - broker) / seconds),
    )


def _wait_for_the_rest(board: Board, subscriber: Role) -> None:
    """Wait until all that was sent has arrived, or until nothing comes any more."""
    seen, since = board.received, time.monotonic()
    while board.received < board.sent and time.monotonic() - since < _STILL_SECONDS:
        time.sleep(0.05)
        subscriber.cpu_seconds()  # it must be there
        if board.received > seen:
            seen, since = board.received, time.monotonic()


def _time(command: Sequence[str], environment: dict[str, str], stdin: IO[bytes] | None = None) -> tuple[float, float]:
    """Run a command: the seconds until it ended, and those of processor time.

    Raises:
        Failed: it did not end well, or not in time.
    """
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    try:
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            capture_output=True,
            check=True,
            timeout=_COMMAND_SECONDS,
            env=environment,
            cwd=tempfile.gettempdir(),
        )
    except subprocess.CalledProcessError as error:
        raise Failed(f"{shlex.join(command)}: {last_line(error.stderr.decode(errors='replace'))}") from error
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{shlex.join(command)}: has not ended after {_COMMAND_SECONDS:g} s") from error
    ended, after = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _cpu_seconds(pid: int) -> float:
    """The processor time of a process, to the nanosecond: the clock that clock_getcpuclockid(3) names on Linux."""
    return time.clock_gettime((~pid << 3) | 2)


def _machine_seconds() -> float:
    """Processor seconds used on this machine so far."""
    with open("/proc/stat") as file:
        ticks = [int(word) for word in file.readline().split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")  # neither idle nor waiting for a disk


# What is said of the results


def report(results: Results, names: Sequence[str], scenarios: Sequence[Scenario]) -> str:
    """The tables, and what is to be said of them."""
    parts = []
    ends = [each for each in END_TO_END if each in scenarios]
    for each in ends:
        speed, publishing, subscribing, both, broker = each.titles
        rows = [[f"QoS {each.qos}", "messages/s", *_OF_PEERS, "CPU s publishing", "subscribing", "broker", *_OF_PEERS]]
        for name in names:
            rows.append([_TITLES[name], _cell(results, name, each, speed), *_multiples(results, name, speed)])
            rows[-1] += [_cell(results, name, each, title) for title in (publishing, subscribing, broker)]
            rows[-1] += _multiples(results, name, both, is_inverted=True)
        parts.append(table(_filled(rows)))
    if ends:
        parts.append(_LEGEND_ENDS)
    for within, legend in (([MEMORY], _LEGEND_MEMORY), (COMMANDS, _LEGEND_COMMANDS)):
        columns = [(each, title) for each in within if each in scenarios for title in each.titles]
        rows = [["", *(title for _, title in columns)]]
        for name in names:
            rows.append([_TITLES[name], *(_cell(results, name, each, title) for each, title in columns)])
        rows = _filled(rows)
        if len(rows) > 1:
            parts += [table(rows), legend]
    # What other programs used meanwhile is known of what goes from end to end alone.
    if notes := Results([each for each in results.outcomes if each.others_cpu > 0 or each.detail]).notes():
        parts.append("\n".join(f"- {note}" for note in notes))
    parts += ["Targets:", table([["", "", "target", "this run", "reached"], *targets(results)])]
    if ends:
        shares = [[_TITLES[name], *(results.shares(name, each.name) for each in ends)] for name in names]
        parts.append("How busy both clients together / the broker were (100% is one core):")
        parts.append(table(_filled([["", *(f"QoS {each.qos}" for each in ends)], *shares])))
    return "\n\n".join(parts) + "\n"


_OF_PEERS: Final = tuple(f"of {peer}" for peer in _PEERS)
_LEGEND_ENDS: Final = (
    "Messages of 64 bytes that arrived per second, from one process that publishes to one that subscribes; and that as"
    " a multiple of the other libraries' figures in this run. Then, less is better: seconds of processor time for"
    " 100,000 messages, of the process that publishes, of the one that subscribes, and of the broker; and how many"
    " times as much both clients of the other libraries used in this run."
)
_LEGEND_MEMORY: Final = (
    "What one of many idle connected clients in one process takes: resident memory (VmRSS), and what Python itself"
    " knows to be in use (tracemalloc)."
)
_LEGEND_COMMANDS: Final = (
    "From the start of a command to its end, with one message; and lines of 64 bytes from a file at standard input, by"
    " the time from the start of the command until all have arrived, with its processor time for 100,000 of them."
)


def _filled(rows: Sequence[list[str]]) -> list[list[str]]:
    """The head, and the rows that say something."""
    return [rows[0], *(row for row in rows[1:] if any(cell != "-" for cell in row[1:]))]


def _cell(results: Results, name: str, scenario: Scenario, title: str) -> str:
    """The median; or what went wrong, and in how many rounds."""
    outcomes = results.of(name, scenario.name)
    bad = [each for each in outcomes if each.problem]
    figure = results.figure(name, title)
    if not outcomes:
        return "-"
    if figure is None:
        return bad[0].problem
    return rounded(figure) + (f", {bad[0].problem} in {len(bad)} of {len(outcomes)}" if bad else "")


def _multiples(results: Results, name: str, title: str, *, is_inverted: bool = False) -> list[str]:
    """The figure as a multiple of each peer's; inverted: the peers' as multiples of it."""
    multiples = [
        results.multiple(peer, title, name) if is_inverted else results.multiple(name, title, peer) for peer in _PEERS
    ]
    return ["-" if multiple is None or name in _PEERS else times(multiple) for multiple in multiples]


def targets(results: Results) -> list[list[str]]:
    """Each target, what this run gave, and whether that reaches it."""
    rows = []
    for target in TARGETS:
        by = _TITLES[target.by]
        if target.of:
            reached, unit = results.multiple(target.by, target.title, target.of), "x"
            wanted = f"at least {target.limit:g}x of {_TITLES[target.of]}"
        else:
            reached, unit = results.figure(target.by, target.title), ""
            wanted = f"at most {target.limit:g}"
        if reached is None:
            rows.append([by, target.title, wanted, "-", "not measured"])
        else:
            is_reached = reached >= target.limit if target.of else reached <= target.limit
            rows.append([by, target.title, wanted, f"{reached:.3g}{unit}", "yes" if is_reached else "no"])
    return rows


def facts(bench: Bench, names: Sequence[str], missing: dict[str, str], rounds: int, began: float) -> list[str]:
    """Where and how it was measured."""
    with open("/proc/cpuinfo") as file:
        models = re.findall(r"model name\s*:\s*(.*)", file.read())
    telexes = [program.version for program in bench.installations.values()]
    peers = [
        f"{library.package} {importlib.metadata.version(library.package)}"
        for library in LIBRARIES
        if library.name in names and not library.broker
    ]
    return [
        *(f"{title}: {why}" for title, why in missing.items()),
        f"Machine: {len(os.sched_getaffinity(0))} cores, {models[0] if models else platform.machine()},"
        f" Linux {platform.release()}; the system chose the cores",
        f"Python {platform.python_version()}; " + "; ".join(dict.fromkeys([*telexes, *peers, bench.program.version])),
        f"Medians of {rounds} rounds: end to end {bench.seconds:g} s after {_WARM_UP_SECONDS:g} s, at most {_WINDOW:,}"
        f" messages ahead; {bench.clients:,} idle clients ({_MOST_WITH_SELECT} of paho-mqtt, whose select() takes no"
        f" more); {bench.starts} starts of each command; {bench.lines:,} lines, at QoS 1 {_MOST_LINES_WITH_IDS:,} at"
        f" most; {time.strftime('%Y-%m-%d')}, {(time.monotonic() - began) / 60:.0f} min in all",
        "Command: " + shlex.join(["python", "benchmarks/clients.py", *sys.argv[1:]]),
    ]


# The command


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Compare Telex's client with other MQTT clients on this machine.")
    names = ", ".join(library.name for library in LIBRARIES)
    parser.add_argument("--libraries", metavar="A,B", help=f"which of: {names} (all that are found)")
    names = ", ".join(scenario.name for scenario in SCENARIOS)
    parser.add_argument("--scenarios", metavar="A,B", help=f"which of: {names} (all)")
    parser.add_argument(
        "--broker",
        default="mosquitto",
        choices=[broker.name for broker in BROKERS if broker.login is None],
        help="through which all goes (mosquitto)",
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement, after a second of warm-up (3)")
    parser.add_argument("--rounds", type=int, default=5, help="of all measurements; the medians are printed (5)")
    parser.add_argument("--clients", type=int, default=1000, help="idle clients whose memory is measured (1,000)")
    parser.add_argument("--starts", type=int, default=10, help="of each command in each round (10)")
    parser.add_argument("--lines", type=int, default=200_000, help="that are piped into a command (200,000)")
    parser.add_argument(
        "--build", type=Path, default=REPOSITORY / "build" / "bench", help="where to build (build/bench)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single outcome there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write what is printed there, too")
    # For the processes that this program starts.
    parser.add_argument("--role", choices=("publish", "subscribe", "hold"), help=argparse.SUPPRESS)
    parser.add_argument("--library", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--board", help=argparse.SUPPRESS)
    parser.add_argument("--qos", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--traced", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.seconds <= 0 or min(options.rounds, options.clients, options.lines) < 1 or options.starts < 2:
        parser.error("--seconds, --rounds, --clients and --lines must be positive, and --starts at least 2")
    return options


def find_libraries(names: Sequence[str], build: Path) -> tuple[list[str], dict[str, Program], dict[str, str]]:
    """Which are here; Telex's installations by their names as brokers; and for what is not here, why."""
    found: list[str] = []
    installations: dict[str, Program] = {}
    missing: dict[str, str] = {}
    for library in LIBRARIES:
        if library.name not in names:
            continue
        if library.broker:
            broker = next(each for each in BROKERS if each.name == library.broker)
            program = installations.get(broker.name) or broker.find(build)
            if isinstance(program, Missing):
                missing[library.title] = f"not found: {program.why}. To install it: {broker.how_to_install}"
                continue
            installations[broker.name] = program
        else:
            try:
                importlib.metadata.version(library.package)
            except importlib.metadata.PackageNotFoundError:
                missing[library.title] = f"not found. To install it: python -m pip install {library.package}"
                continue
        found.append(library.name)
    return found, installations, missing


def plan(libraries: Sequence[str], scenarios: Sequence[Scenario]) -> list[tuple[str, Scenario]]:
    """Who is measured at what, in turns: a noisy minute hits all alike."""
    installed = [name for name in libraries if _library(name).broker and not _library(name).under]
    commands = {_library(name).broker: name for name in reversed(installed)}
    pairs = []
    for scenario in scenarios:
        if scenario in END_TO_END:
            pairs += [(name, scenario) for name in libraries]
        elif scenario is MEMORY:
            pairs += [(name, scenario) for name in libraries if _library(name).hold is not None]
        else:
            pairs += [(name, scenario) for name in (*reversed(commands.values()), _MOSQUITTO_PUB)]
            if scenario is START:
                pairs.append((_PYTHON, scenario))
    return pairs


def main() -> int:
    """Run the comparison; returns the exit code: 0, unless nothing could be measured."""
    options, began = read_options(), time.monotonic()
    if options.role is not None:
        return play(options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the broker and the clients are stopped
    build: Path = options.build.resolve()
    build.mkdir(parents=True, exist_ok=True)
    (build / ".gitignore").write_text("*\n")
    wanted = choose(options.scenarios, [scenario.name for scenario in SCENARIOS], "scenario")
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in wanted]
    broker = next(broker for broker in BROKERS if broker.name == options.broker)
    program, mosquitto_pub = broker.find(build), shutil.which(_MOSQUITTO_PUB)
    if isinstance(program, Missing):
        sys.exit(f"clients: {program.why}. To install it: {broker.how_to_install}")
    if mosquitto_pub is None:
        sys.exit("clients: no program mosquitto_pub; Debian: apt install mosquitto-clients")
    names, installations, missing = find_libraries(
        choose(options.libraries, [library.name for library in LIBRARIES], "library"), build
    )
    for title, why in missing.items():
        print(f"{title}: {why}", file=sys.stderr)
    clients = allow_open_files(options.clients)
    bench = Bench(
        build,
        options.seconds,
        clients,
        options.starts,
        options.lines,
        broker,
        program,
        installations,
        mosquitto_pub,
    )
    outcomes = run_all(bench, plan(names, scenarios), options.rounds)
    rows = [*names, _MOSQUITTO_PUB, _PYTHON]
    said = report(Results(outcomes), rows, scenarios)
    text = said + "\n" + "\n".join(f"- {fact}" for fact in facts(bench, names, missing, options.rounds, began)) + "\n"
    print(text)
    if options.markdown:
        options.markdown.write_text(text)
    if options.json:
        options.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1) + "\n")
    return 0 if any(outcome.figures for outcome in outcomes) else 1


def run_all(bench: Bench, pairs: Sequence[tuple[str, Scenario]], rounds: int) -> list[Outcome]:
    """All measurements."""
    outcomes: list[Outcome] = []
    for number in range(rounds):
        for name, scenario in pairs:
            measured = bench.measure(name, scenario)
            outcomes += measured
            results = Results(measured)
            figures = [(title, results.figure(name, title)) for title in scenario.titles]
            said = ", ".join(f"{title}: {rounded(figure)}" for title, figure in figures if figure is not None)
            problem = "; ".join(f"{scenario.name}: {each.problem} ({each.detail})" for each in measured if each.problem)
            print(f"round {number + 1}  {name:18} {said or problem}", file=sys.stderr)
    return outcomes


if __name__ == "__main__":
    sys.exit(main())
