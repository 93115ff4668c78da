"""A link that is cut at each boundary of a small conversation, and the promise of each QoS that is kept all the same.

Nothing in the client's program knows of it: no conversation has a line for reconnection.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

import pytest

import telex
from telex.wire.decode import Decoder
from telex.wire.packets import Publish
from tests.client.adversity.brokers import Lasting
from tests.client.adversity.peers import SECONDS, Witness, witness
from tests.client.adversity.proxy import TO_BROKER, TO_CLIENT, Cut, Direction, How, Proxy
from tests.conformance.marks import edge, mqtt

Version = Literal["5", "3.1.1"]

PAYLOADS: Final = [b"0", b"1", b"2"]
END: Final = b"end"
AT_ONCE: Final = 12
"""Conversations that go on beside each other."""

each_version = pytest.mark.parametrize("version", ["5", "3.1.1"])
each_qos = pytest.mark.parametrize("qos", [0, 1, 2])


@dataclass(frozen=True)
class Talk:
    """One conversation: with whom, about what, and where it is cut."""

    broker: Lasting
    version: Version
    qos: Literal[0, 1, 2]
    name: str
    somebody: Witness
    cuts: tuple[Cut, ...] = ()
    keep_alive: int = 60

    @property
    def topic(self) -> str:
        return f"cuts/{self.name}"

    def client(self, proxy: Proxy) -> telex.Client:
        """The default session in v5; one that is kept in 3.1.1, where no other outlives a connection."""
        arguments: dict[str, Any] = {}
        if self.version == "3.1.1":
            arguments = {"client_id": self.name, "session_expiry_interval": math.inf}
        return telex.Client(
            proxy.address,
            version=self.version,
            keep_alive=self.keep_alive,
            connect_timeout=float(self.keep_alive),
            reconnect=telex.Reconnect(first=0.01, most=0.05),
            **arguments,
        )


Conversation = Callable[[Talk], Awaitable[Proxy]]


async def publishing(talk: Talk) -> Proxy:
    """The client publishes, and a witness with an unbroken connection sees what comes of it."""
    async with Proxy(talk.broker.port, *talk.cuts) as proxy:
        async with talk.client(proxy) as client:
            await asyncio.gather(*(client.publish(talk.topic, payload, qos=talk.qos) for payload in PAYLOADS))
            await client.publish(talk.topic, END, qos=max(talk.qos, 1))
        await proxy.until(lambda: proxy.waiting_cuts == [])
    got = talk.somebody.payloads
    await talk.somebody.until(lambda: END in got(talk.topic))
    if talk.qos == 2:
        assert got(talk.topic) == [*PAYLOADS, END]
    elif talk.qos == 1:
        assert list(dict.fromkeys(got(talk.topic))) == [*PAYLOADS, END]
    else:
        careless = [payload for payload in got(talk.topic) if payload != END]
        assert careless == [payload for payload in PAYLOADS if payload in careless]
        if is_clean(talk):
            assert careless == [payload for payload in passed(proxy, TO_BROKER) if payload != END]
    return proxy


async def subscribing(talk: Talk) -> Proxy:
    """The client iterates, and a witness with an unbroken connection publishes."""
    got: list[bytes] = []
    async with Proxy(talk.broker.port, *talk.cuts) as proxy:
        async with talk.client(proxy) as client:
            async with client.subscribe(talk.topic, qos=talk.qos) as messages:
                for payload in PAYLOADS:
                    await talk.somebody.publish(talk.topic, payload)
                async with ending(talk):
                    async for message in messages:
                        got.append(message.payload)
                        if message.payload == END:
                            break
                if talk.qos > 0:  # to the end of all exchanges, so that each run has as many packets
                    last = ("PUBACK", "PUBCOMP")[talk.qos - 1]
                    await proxy.until(lambda: proxy.count(last) > len(PAYLOADS))
        await proxy.until(lambda: proxy.waiting_cuts == [])
    if talk.qos == 2:
        assert got == [*PAYLOADS, END]
    elif talk.qos == 1:
        assert list(dict.fromkeys(got)) == [*PAYLOADS, END]
    else:
        assert got == [payload for payload in [*PAYLOADS, END] if payload in got]
        if is_clean(talk):
            assert got == passed(proxy, TO_CLIENT)[: len(got)]
    return proxy


@asynccontextmanager
async def ending(talk: Talk) -> AsyncIterator[None]:
    """Publish the last word; at QoS 0 it may be lost, so it is said until somebody hears it."""

    is_heard = talk.qos > 0

    async def repeat() -> None:
        while not is_heard:
            await talk.somebody.publish(talk.topic, END)
            await asyncio.sleep(0.2)

    if talk.qos > 0:
        await talk.somebody.publish(talk.topic, END)
    repeating = asyncio.create_task(repeat())
    try:
        yield
    finally:
        is_heard = True
        await repeating


def is_clean(talk: Talk) -> bool:
    """Whether what passed the proxy has arrived: a reset may overtake it."""
    return all(cut.how is not How.RST for cut in talk.cuts)


def passed(proxy: Proxy, direction: Direction) -> list[bytes]:
    """The payloads that went that way."""
    payloads = []
    version = next(each.data for each in proxy.passed if each.name == "CONNECT")[8]
    for each in proxy.passed:
        if each.direction == direction and each.name == "PUBLISH":
            decoder = Decoder(version=version)
            decoder.receive(each.data)
            packet = decoder.next_packet()
            assert isinstance(packet, Publish)
            payloads.append(packet.payload)
    return payloads


CONVERSATIONS: Final[dict[str, Conversation]] = {"publishing": publishing, "subscribing": subscribing}
each_conversation = pytest.mark.parametrize("kind", CONVERSATIONS)


class Matrix:
    """The same conversation, cut at each of its boundaries.

    Args:
        prefix: of its topics and client ids; sessions of 3.1.1 outlive the test.
    """

    def __init__(self, kind: str, broker: Lasting, version: str, qos: int, somebody: Witness, prefix: str) -> None:
        self._converse = CONVERSATIONS[kind]
        self._prefix = f"{prefix}/{kind}/{broker.kind}/{version}/{qos}"
        self._whole = Talk(broker, version, qos, f"{self._prefix}/whole", somebody)  # type: ignore[arg-type]

    async def boundaries(self, *hows: How) -> list[Cut]:
        """Where the conversation can be cut: it is held once as a whole."""
        async with asyncio.timeout(SECONDS):
            proxy = await self._converse(self._whole)
        names = {direction: proxy.names(direction) for direction in Direction}
        assert names[TO_BROKER][0] == "CONNECT"
        assert names[TO_BROKER][-1] == "DISCONNECT"
        assert names[TO_CLIENT][0] == "CONNACK"
        return [
            Cut(direction, number, after, how)
            for direction in Direction
            for number in range(1, len(names[direction]) + 1)
            for after in (False, True)
            for how in hows
        ]

    async def cut(self, cut: Cut, turns: asyncio.Semaphore, keep_alive: int = 60) -> str | None:
        """Hold the conversation with one cut, and say what was wrong then."""
        whole = self._whole
        name = f"{self._prefix}/{cut}".replace(" ", "-")
        talk = Talk(whole.broker, whole.version, whole.qos, name, whole.somebody, (cut,), keep_alive)
        async with turns:
            try:
                async with asyncio.timeout(SECONDS):
                    await self._converse(talk)
            except (Exception, asyncio.CancelledError) as error:
                return f"{self._prefix}: {cut}: {type(error).__name__} {error}"
        return None


@mqtt("MQTT-4.4.0-1", "MQTT-4.3.1-1", "MQTT-4.3.2-1", "MQTT-4.3.3-1", "MQTT-4.6.0-1", "MQTT-4.1.0-1")
@edge("S1", "S2", "S3", "S4", "S7")
@each_version
@each_qos
@each_conversation
async def test_each_qos_keeps_its_promise_wherever_the_link_is_cut(
    each_broker: Lasting, version: str, qos: int, kind: str, request: pytest.FixtureRequest
) -> None:
    loop = "uvloop" if "uvloop" in request.node.name else "asyncio"
    async with witness(each_broker.port, "cuts/#") as somebody:
        matrix = Matrix(kind, each_broker, version, qos, somebody, loop)
        cuts = await matrix.boundaries(How.FIN, How.RST)
        turns = asyncio.Semaphore(AT_ONCE)
        said = await asyncio.gather(*(matrix.cut(cut, turns) for cut in cuts))
    assert "\n".join(each for each in said if each is not None) == ""


@edge("A1", "T1")
@each_version
async def test_each_qos_keeps_its_promise_wherever_the_link_becomes_a_black_hole(
    each_broker: Lasting, version: str, request: pytest.FixtureRequest
) -> None:
    loop = "uvloop" if "uvloop" in request.node.name else "asyncio"
    turns = asyncio.Semaphore(1_000)  # they wait for their keep-alive most of the time
    async with witness(each_broker.port, "cuts/#") as somebody:
        todo = []
        for kind in CONVERSATIONS:
            for qos in range(3):
                matrix = Matrix(kind, each_broker, version, qos, somebody, f"{loop}/stall")
                todo += [(matrix, cut) for cut in await matrix.boundaries(How.STALL)]
        said = await asyncio.gather(*(matrix.cut(cut, turns, keep_alive=1) for matrix, cut in todo))
    assert "\n".join(each for each in said if each is not None) == ""
