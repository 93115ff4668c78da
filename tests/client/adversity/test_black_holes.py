"""A link that takes bytes and brings none is noticed within 1.5 keep-alives, whatever is published meanwhile."""

import asyncio
import random
from collections.abc import Callable, Iterator

import pytest

import telex
from telex.errors import Timeout
from telex.wire.packets import ConnAck, Connect, PingReq, PingResp, PubAck, Publish
from telex.wire.properties import Properties
from tests.client.adversity.brokers import Lasting
from tests.client.adversity.peers import SECONDS, witness
from tests.client.adversity.proxy import TO_BROKER, How, Proxy
from tests.client.link import Link
from tests.conformance.marks import edge, mqtt

each_keep_alive = pytest.mark.parametrize("keep_alive", [1, 2, 5, 60, 600])
each_version = pytest.mark.parametrize("version", [4, 5], ids=["v3.1.1", "v5"])


def quiet(link: Link) -> None:
    """Say nothing."""


def chatter(link: Link) -> None:
    """Publish at QoS 0."""
    link.client.publish("t", b"x")


def insist(link: Link) -> None:
    """Publish at QoS 1; nobody will acknowledge it."""
    link.client.publish("t", b"x", qos=1)


each_occupation = pytest.mark.parametrize("occupy", [quiet, chatter, insist], ids=lambda each: each.__name__)


def ticks(link: Link, *, seconds: float) -> Iterator[float]:
    """Moments at which the client is asked to tick, each no later than it wants."""
    end = link.now + seconds
    while link.now < end:
        link.now += link.client.tick_seconds
        yield link.now


def hear_nothing(link: Link, occupy: Callable[[Link], None]) -> None:
    """Go on for ever while nothing comes."""
    for now in ticks(link, seconds=10_000):
        link.client.tick(now)
        occupy(link)
        link.sent()


@edge("A1")
@each_version
@each_keep_alive
@each_occupation
def test_a_black_hole_is_noticed_in_time(version: int, keep_alive: int, occupy: Callable[[Link], None]) -> None:
    # Wherever between two ticks the last byte comes.
    for part in (0.0, 0.01, 0.5, 0.99):
        link = Link(Connect("c", version=version, keep_alive=keep_alive)).open()
        for _ in ticks(link, seconds=keep_alive * 5):
            link.client.tick(link.now)
            occupy(link)
            for packet in link.sent():
                if isinstance(packet, PingReq):
                    link.gets(PingResp())
                elif isinstance(packet, Publish) and packet.qos == 1:
                    link.gets(PubAck(packet.packet_id))
        link.client.tick(link.now)
        last_heard = link.now + part * link.client.tick_seconds
        link.gets(Publish("last", b"word"))
        with pytest.raises(Timeout):
            hear_nothing(link, occupy)
        assert link.now - last_heard <= keep_alive * 1.5


@edge("A1")
@each_version
@each_keep_alive
@each_occupation
def test_a_live_link_is_never_taken_for_a_black_hole(
    version: int, keep_alive: int, occupy: Callable[[Link], None]
) -> None:
    """Also if each answer takes a quarter of the keep-alive, and ticks come late now and then."""
    chance = random.Random(keep_alive)
    link = Link(Connect("c", version=version, keep_alive=keep_alive)).open()
    answers: list[float] = []
    for _ in ticks(link, seconds=keep_alive * 20):
        link.now += chance.choice((0.0, 0.0, link.client.tick_seconds))
        while answers and answers[0] <= link.now:
            answers.pop(0)
            link.gets(PingResp())
        link.client.tick(link.now)
        occupy(link)
        answers += [link.now + keep_alive / 4 for packet in link.sent() if isinstance(packet, PingReq)]


@mqtt("MQTT-3.1.2-20")
@mqtt("MQTT-3.1.2-23", v3=True)
@edge("A1")
@each_version
@each_keep_alive
def test_whoever_only_listens_is_heard_within_each_keep_alive(version: int, keep_alive: int) -> None:
    """What comes is no reason to be silent: a server counts what it gets."""
    link = Link(Connect("c", version=version, keep_alive=keep_alive)).open()
    last_sent = link.now
    for _ in ticks(link, seconds=keep_alive * 20):
        link.gets(Publish("t", b"x"))
        link.client.tick(link.now)
        for packet in link.sent():
            assert packet == PingReq()
            link.gets(PingResp())
            assert link.now - last_sent <= keep_alive
            last_sent = link.now
    assert link.now - last_sent <= keep_alive


@mqtt("MQTT-3.1.2-21")
@edge("A1")
@each_occupation
def test_the_keep_alive_is_the_servers_if_it_names_one(occupy: Callable[[Link], None]) -> None:
    link = Link(Connect("c", keep_alive=600)).open(ConnAck(properties=Properties(server_keep_alive=4)))
    with pytest.raises(Timeout):
        hear_nothing(link, occupy)
    assert link.now <= 4 * 1.5


def test_without_a_keep_alive_nothing_is_noticed_and_nothing_sent() -> None:
    link = Link(Connect("c", keep_alive=0)).open()
    for _ in range(10_000):
        link.now += 10.0
        link.client.tick(link.now)
    assert link.sent() == []


KEEP_ALIVE = 2


@edge("A1", "W1")
async def test_both_sides_notice_and_the_program_goes_on(each_broker: Lasting) -> None:
    """Over a real link: by a client that is quiet, and by one that publishes at QoS 0 non-stop."""
    await asyncio.gather(black_hole(each_broker, busy=False), black_hole(each_broker, busy=True))


async def black_hole(broker: Lasting, *, busy: bool) -> None:
    loop = asyncio.get_running_loop()
    topic = f"hole/{'busy' if busy else 'quiet'}/{broker.kind}/{id(loop)}"
    lost: asyncio.Future[float] = loop.create_future()

    async def publish(client: telex.Client) -> None:
        while True:
            await client.publish(f"{topic}/chatter", b"x")
            await asyncio.sleep(0.01)

    async with witness(broker.port, f"{topic}/will") as somebody, Proxy(broker.port) as proxy:
        client = telex.Client(
            proxy.address,
            keep_alive=KEEP_ALIVE,
            connect_timeout=KEEP_ALIVE,
            will=telex.Will(f"{topic}/will", b"gone"),
            reconnect=telex.Reconnect(first=0.02, most=0.1),
        )

        @client.on_lost
        def _(event: telex.Lost) -> None:
            if not lost.done():
                lost.set_result(loop.time())

        async with client, client.subscribe(f"{topic}/in", qos=2) as messages:
            occupation = asyncio.create_task(publish(client)) if busy else None
            await somebody.publish(f"{topic}/in", b"before")
            assert (await messages.next(timeout=SECONDS)).payload == b"before"
            proxy.bar(How.STALL)
            since = loop.time()
            asked = asyncio.create_task(client.publish(f"{topic}/out", b"kept", qos=2))
            async with asyncio.timeout(SECONDS):
                assert await lost - since <= KEEP_ALIVE * 1.5
            assert not client.is_connected
            await somebody.until(lambda: somebody.payloads(f"{topic}/will") == [b"gone"])
            assert not asked.done()
            proxy.restore()
            async with asyncio.timeout(SECONDS):
                assert await asked < 0x80
            await somebody.publish(f"{topic}/in", b"after")
            assert (await messages.next(timeout=SECONDS)).payload == b"after"
            assert proxy.names(TO_BROKER).count("CONNECT") == 2
            if occupation is not None:
                assert not occupation.done()  # QoS 0 waits for a connection, too
                occupation.cancel()
                await asyncio.gather(occupation, return_exceptions=True)


async def test_a_broker_that_never_answers_connect_is_given_up() -> None:
    """A black hole from the first byte on: there is no keep-alive yet."""
    async with Proxy(1) as proxy:
        proxy.bar(How.STALL)
        client = telex.Client(proxy.address, connect_timeout=0.1, reconnect=telex.Reconnect(first=0.01, most=0.01))
        entering = asyncio.create_task(client.__aenter__())
        async with asyncio.timeout(SECONDS):
            await proxy.until(lambda: proxy.connections >= 3)
        entering.cancel()
        await asyncio.gather(entering, return_exceptions=True)
        await client.close()
