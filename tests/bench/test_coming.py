"""Clients that come and go, that subscribe again and again, and that are only there; real brokers and played ones."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from telex.bench import coming, files, plain, retained
from telex.bench.coming import Churning, Coming, Idle
from telex.bench.counts import Counts
from telex.bench.plan import Plan
from telex.bench.processes import Alone, Share
from telex.client.address import parse_address
from telex.client.aio import Client
from telex.client.dialing import Dialer
from telex.client.tls import ClientTls
from telex.errors import NotConnected, Refused, Timeout
from telex.wire.decode import Decoder
from telex.wire.encode import encode
from telex.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
)
from telex.wire.properties import Properties
from tests.bench.conftest import NewPlan
from tests.certificates import Authority
from tests.interop.serving import serving
from tests.processes import SECONDS, Server, free_port

Answer = Callable[[int, Packet], Packet | bytes | None]
"""What a played broker says to a packet on its connection of that number, the first of which is 1; None: it closes it.
Empty: it says nothing."""


@dataclass
class Broker:
    """A broker that is played, on the test's own loop."""

    port: int = 0
    got: list[Packet] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def count(self, kind: type[Packet]) -> int:
        return sum(isinstance(each, kind) for each in self.got)


def obliging(number: int, packet: Packet) -> Packet | bytes | None:
    """What any broker says."""
    match packet:
        case Connect():
            return ConnAck()
        case Subscribe():
            return SubAck(packet.packet_id, [each.qos for each in packet.requests])
        case Unsubscribe():
            return UnsubAck(packet.packet_id)
        case PingReq():
            return PingResp()
    return None


@asynccontextmanager
async def played(answer: Answer = obliging) -> AsyncIterator[Broker]:
    broker = Broker()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        broker.writers.append(writer)
        number = len(broker.writers)
        decoder = Decoder()
        version = 4
        try:
            while data := await reader.read(65_536):
                decoder.receive(data)
                while (packet := decoder.next_packet()) is not None:
                    broker.got.append(packet)
                    if isinstance(packet, Connect):
                        version = packet.version
                    said = answer(number, packet)
                    if said is None:
                        return
                    writer.write(said if isinstance(said, bytes) else encode(said, version))
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    broker.port = server.sockets[0].getsockname()[1]
    try:
        yield broker
    finally:
        server.close()
        for writer in broker.writers:
            writer.transport.abort()
        await asyncio.sleep(0)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not is_so():
            await asyncio.sleep(0.005)


def has_let_in(counts: Counts, count: int) -> bool:
    return counts.connected >= count


def share_of(plan: Plan) -> Share:
    return Alone(plan).share


def coming_of(plan: Plan) -> tuple[Coming, Counts]:
    counts = Counts()
    return Coming(plan, share_of(plan), counts), counts


def churning_of(plan: Plan) -> tuple[Churning, Counts]:
    counts = Counts()
    return Churning(plan, share_of(plan), counts), counts


@pytest.fixture(params=["plain", "dialled"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """By plain sockets, and by the dialer's streams, as where there is no epoll."""
    if request.param == "dialled":
        monkeypatch.setattr(coming, "HAS_EPOLL", False)
    elif not plain.HAS_EPOLL:
        pytest.skip("there is no epoll here")
    name: str = request.param
    return name


# connect


@pytest.mark.parametrize("version", [3, 5])
async def test_clients_come_and_go(broker: Server, new_plan: NewPlan, way: str, version: int) -> None:
    guests, counts = coming_of(new_plan(broker.port, "connect", publishers=4, version=version))
    await guests.come()
    guests.start()
    await until(lambda: counts.connected >= 20)
    await guests.stop()
    await guests.stop()  # once more, as at the end of a run
    assert counts.latency.count == counts.connected
    assert counts.latency.least > 0
    assert counts.refused == 0
    assert guests.complaints == []


async def test_who_goes_says_goodbye_and_lets_the_broker_close(new_plan: NewPlan, way: str) -> None:
    async with played() as broker:
        guests, counts = coming_of(new_plan(broker.port, "connect", publishers=2))
        await guests.come()
        guests.start()
        await until(lambda: counts.connected >= 6)
        await guests.stop()
        assert broker.count(Disconnect) == broker.count(Connect) == counts.connected + 1  # and the one that looked
        ids = {each.client_id for each in broker.got if isinstance(each, Connect)}
        assert len(ids) == 5  # two that come, two that go meanwhile


async def test_as_many_come_at_a_time_as_are_asked_for(new_plan: NewPlan) -> None:
    def answer(number: int, packet: Packet) -> Packet | bytes | None:
        return obliging(number, packet) if number == 1 else b""

    async with played(answer) as broker:
        guests, _ = coming_of(new_plan(broker.port, "connect", publishers=3))
        await guests.come()
        guests.start()
        await until(lambda: broker.count(Connect) == 4)
        await asyncio.sleep(0.05)  # for one more, which must not come
        assert broker.count(Connect) == 4
        for writer in broker.writers[1:]:
            writer.close()
        await guests.stop()


async def test_an_answer_may_come_in_pieces(new_plan: NewPlan) -> None:
    def answer(number: int, packet: Packet) -> Packet | bytes | None:
        if number > 1 and isinstance(packet, Connect):
            whole = encode(ConnAck(properties=Properties(reason_string="come in")), 5)
            writer = broker.writers[number - 1]
            for start in range(len(whole)):
                asyncio.get_running_loop().call_later(0.002 * start, writer.write, whole[start : start + 1])
            return b""
        return obliging(number, packet)

    async with played(answer) as broker:
        guests, counts = coming_of(new_plan(broker.port, "connect", version=5))
        await guests.come()
        guests.start()
        await until(lambda: counts.connected >= 2)
        await guests.stop()
    assert guests.complaints == []


async def test_a_rate_is_kept_and_counts_from_when_it_was_due() -> None:
    begun: list[int] = []

    class Worker:
        def begin(self, since: int) -> None:
            begun.append(since)

    work = coming._Work(1_000.0, 1)
    first, second = Worker(), Worker()
    work.start([first, second])
    await until(lambda: len(begun) == 1)
    await asyncio.sleep(0.02)  # there is no room for another, which was due long ago
    assert len(begun) == 1
    work.is_free(first)
    work.finished()
    assert [each - begun[0] for each in begun] == [0, 1_000_000]
    work.stop()
    work.finished()
    assert len(begun) == 2


async def test_connections_come_at_a_rate(broker: Server, new_plan: NewPlan) -> None:
    guests, counts = coming_of(new_plan(broker.port, "connect", publishers=5, rate=400.0))
    await guests.come()
    loop = asyncio.get_running_loop()
    began = loop.time()
    guests.start()
    await until(lambda: counts.connected >= 40)
    assert counts.connected <= (loop.time() - began) * 400.0 + 1
    await guests.stop()
    assert guests.complaints == []


async def test_nobody_listens(new_plan: NewPlan) -> None:
    guests, _ = coming_of(new_plan(free_port(), "connect"))
    with pytest.raises(ConnectionRefusedError, match="nothing listens there"):
        await guests.come()
    await guests.stop()


async def test_a_broker_that_refuses_everybody_is_an_error(new_plan: NewPlan) -> None:
    async with played(lambda number, packet: ConnAck(5)) as broker:
        guests, _ = coming_of(new_plan(broker.port, "connect"))
        with pytest.raises(Refused, match="not authorised"):
            await guests.come()
        await guests.stop()


async def test_a_broker_that_hangs_is_an_error(new_plan: NewPlan) -> None:
    async with played(lambda number, packet: b"") as broker:
        guests, _ = coming_of(new_plan(broker.port, "connect", patience=0.1))
        with pytest.raises(Timeout, match="no answer"):
            await guests.come()
        await guests.stop()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (ConnAck(5), "not authorised"),
        (None, "the connection was closed"),
        (b"\x20\x02\x00\x00\x20\x02\x00\x00", ""),  # twice: the second one is for nobody
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the broker breaks a rule"),
    ],
    ids=["refused", "closed", "twice", "no MQTT"],
)
async def test_why_connections_are_refused_is_told(
    new_plan: NewPlan, way: str, said: Packet | bytes | None, why: str
) -> None:
    def answer(number: int, packet: Packet) -> Packet | bytes | None:
        return obliging(number, packet) if number == 1 or isinstance(packet, Disconnect) else said

    async with played(answer) as broker:
        guests, counts = coming_of(new_plan(broker.port, "connect"))
        await guests.come()
        guests.start()
        await until(lambda: counts.refused + counts.connected >= 2)
        await guests.stop()
    if not why:
        assert counts.refused == 0
        return
    assert counts.connected == 0
    (complaint,) = guests.complaints
    assert complaint.startswith(f"a connection was not accepted, {counts.refused} times: ")
    if said is not None or way == "plain":  # a dialer says more
        assert why in complaint or way == "dialled"


async def test_who_gets_no_answer_gives_up_and_comes_again(new_plan: NewPlan, way: str) -> None:
    def answer(number: int, packet: Packet) -> Packet | bytes | None:
        return b"" if number == 2 else obliging(number, packet)

    async with played(answer) as broker:
        guests, counts = coming_of(new_plan(broker.port, "connect", patience=0.1))
        await guests.come()
        guests.start()
        await until(lambda: counts.refused == 1 and counts.connected >= 1)
        await guests.stop()
    assert guests.complaints == ["a connection was not accepted: no answer within 0.1 s"]


async def test_what_is_never_answered_is_told_of_at_the_end(new_plan: NewPlan, way: str) -> None:
    def answer(number: int, packet: Packet) -> Packet | bytes | None:
        return b"" if number > 3 else obliging(number, packet)

    async with played(answer) as broker:
        guests, counts = coming_of(new_plan(broker.port, "connect", publishers=2, patience=0.2))
        await guests.come()
        guests.start()
        await until(lambda: counts.connected == 2)
        await guests.stop()
    assert guests.complaints == ["a connection was not accepted, 2 times: no answer within 0.2 s"]


async def test_a_broker_that_goes_away_is_not_asked_a_million_times(new_plan: NewPlan) -> None:
    async with played() as broker:
        guests, counts = coming_of(new_plan(broker.port, "connect"))
        await guests.come()
        guests.start()
        await until(lambda: counts.connected >= 1)
    await until(lambda: counts.refused >= 3)
    assert counts.refused < 50
    await guests.stop()
    assert any("no connection" in each for each in guests.complaints)


async def test_a_broker_that_does_not_close_is_left_all_the_same(
    new_plan: NewPlan, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coming, "_GOODBYE_SECONDS", 0.05)

    def answer(number: int, packet: Packet) -> Packet | bytes | None:
        return b"" if isinstance(packet, Disconnect) else obliging(number, packet)

    async with played(answer) as broker:
        guests, counts = coming_of(new_plan(broker.port, "connect"))
        await guests.come()
        guests.start()
        await until(lambda: counts.connected >= 3)  # of two that take turns
        await guests.stop()
    assert guests.complaints == []
    assert counts.refused == 0


async def test_all_ways_are_gone(tmp_path: Path, new_plan: NewPlan) -> None:
    authority = Authority(tmp_path)
    server = authority.server()
    listeners = ""
    for protocol in ("mqtt", "websocket"):
        listeners += f'[[listeners]]\nhost = "127.0.0.1"\nport = 0\nprotocol = "{protocol}"\n'
        listeners += f'[listeners.tls]\ncertificate = "{server.certificate}"\nkey = "{server.key}"\n'
    tls = ClientTls(ca_file=authority.path)
    with serving(tmp_path, listeners) as broker:
        for scheme, port in zip(("mqtts", "wss"), broker.ports, strict=True):
            dialer = Dialer(parse_address(f"{scheme}://127.0.0.1:{port}"), tls=tls)
            plan = new_plan(0, "connect", dialer=dialer, publishers=2, idle=3, patience=SECONDS)
            guests, counts = coming_of(plan)
            idle = Idle(plan, share_of(plan))
            await idle.come()
            assert idle.connected == 3
            await guests.come()
            guests.start()
            await until(partial(has_let_in, counts, 4))
            await guests.stop()
            await idle.leave()
            assert guests.complaints == idle.complaints == []


# churn


@pytest.mark.parametrize("version", [4, 5])
async def test_clients_subscribe_and_unsubscribe(broker: Server, new_plan: NewPlan, version: int) -> None:
    clients, counts = churning_of(new_plan(broker.port, "churn", publishers=3, version=version, qos=1))
    await clients.come()
    assert clients.connected == 3
    clients.start()
    await until(lambda: counts.unsubscribed >= 12)
    await clients.stop()
    await clients.stop()  # once more, as at the end of a run
    assert counts.latency.count == counts.subscribed + counts.unsubscribed
    assert 0 <= counts.subscribed - counts.unsubscribed <= 3
    assert clients.connected == 0
    assert clients.complaints == []


async def test_each_has_a_topic_of_its_own(new_plan: NewPlan) -> None:
    async with played() as broker:
        clients, counts = churning_of(new_plan(broker.port, "churn", publishers=3, rate=300.0))
        await clients.come()
        clients.start()
        await until(lambda: counts.unsubscribed >= 6)
        await clients.stop()
        asked = {each.requests[0].topic_filter for each in broker.got if isinstance(each, Subscribe)}
        given = {each.topic_filters[0] for each in broker.got if isinstance(each, Unsubscribe)}
    assert asked == given == {"bench/churn/0", "bench/churn/1", "bench/churn/2"}


async def test_a_refused_subscription_ends_its_client(new_plan: NewPlan) -> None:
    def answer(number: int, packet: Packet) -> Packet | bytes | None:
        return SubAck(packet.packet_id, [0x80]) if isinstance(packet, Subscribe) else obliging(number, packet)

    async with played(answer) as broker:
        clients, counts = churning_of(new_plan(broker.port, "churn"))
        await clients.come()
        clients.start()
        await until(lambda: clients.connected == 0)
        await clients.stop()
    assert counts.subscribed == 0
    assert clients.complaints == ["a client was lost: return code 0x80"]


async def test_a_request_without_an_answer_ends_its_client(new_plan: NewPlan) -> None:
    def answer(number: int, packet: Packet) -> Packet | bytes | None:
        return b"" if isinstance(packet, Unsubscribe) else obliging(number, packet)

    async with played(answer) as broker:
        clients, counts = churning_of(new_plan(broker.port, "churn", patience=0.1))
        await clients.come()
        clients.start()
        await until(lambda: clients.connected == 0)
        await clients.stop()
    assert (counts.subscribed, counts.unsubscribed) == (1, 0)
    assert clients.complaints == ["a client was lost: no answer within 0.1 s"]


# idle


async def test_idle_clients_have_their_subscriptions(broker: Server, new_plan: NewPlan, way: str) -> None:
    plan = new_plan(broker.port, "sub", idle=5, subscriptions=130, idle_filter="{prefix}/+/{}", version=5)
    idle = Idle(plan, share_of(plan))
    await idle.come()
    assert idle.connected == 5
    async with Client(f"mqtt://127.0.0.1:{broker.port}") as client, client.subscribe("$SYS/#") as figures:
        async for message in figures:
            if message.topic == "$SYS/broker/subscriptions/count" and int(message.payload) >= 5 * 130:
                break
    await idle.leave()
    assert idle.connected == 0
    assert idle.complaints == []


async def test_each_idle_subscription_has_a_number(new_plan: NewPlan) -> None:
    async with played() as broker:
        plan = new_plan(broker.port, "sub", idle=2, subscriptions=2, idle_filter="$share/g/{prefix}/{}/#", qos=1)
        idle = Idle(plan, share_of(plan))
        await idle.come()
        asked = [request for each in broker.got if isinstance(each, Subscribe) for request in each.requests]
        await idle.leave()
    assert sorted(each.topic_filter for each in asked) == [f"$share/g/bench/{number}/#" for number in range(4)]
    assert {each.qos for each in asked} == {1}


async def test_idle_clients_come_at_a_rate(new_plan: NewPlan) -> None:
    async with played() as broker:
        plan = new_plan(broker.port, "sub", idle=3, connect_rate=0.05)
        idle = Idle(plan, share_of(plan))
        task = asyncio.create_task(idle.come())
        await until(lambda: idle.connected == 1)
        assert broker.count(Connect) == 2  # one has looked; the next is due in twenty seconds
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await idle.leave()


async def test_no_more_than_a_hundred_are_on_their_way_in(new_plan: NewPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coming, "_AT_ONCE", 4)

    def answer(number: int, packet: Packet) -> Packet | bytes | None:
        return obliging(number, packet) if number == 1 else b""

    async with played(answer) as broker:
        plan = new_plan(broker.port, "sub", idle=20)
        idle = Idle(plan, share_of(plan))
        task = asyncio.create_task(idle.come())
        await until(lambda: broker.count(Connect) == 5)
        await asyncio.sleep(0.05)  # for one more, which must not come
        assert broker.count(Connect) == 5
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await idle.leave()


async def test_they_are_kept_alive(new_plan: NewPlan) -> None:
    async with played() as broker:
        plan = new_plan(broker.port, "sub", idle=3, keep_alive=1)
        idle = Idle(plan, share_of(plan))
        await idle.come()
        await until(lambda: broker.count(PingReq) >= 6)
        assert idle.connected == 3
        await idle.leave()
    assert idle.complaints == []


async def test_the_wheel_asks_each_once_a_round(new_plan: NewPlan) -> None:
    asked: list[int] = []

    class Resident(coming._Resident):
        def ping(self) -> None:
            asked.append(self.number)

    idle = Idle(new_plan(1, "sub"), Share())
    wheel = coming._Wheel(keep_alive=4.0)  # twelve turns
    for number in range(26):
        wheel.add(Resident(idle, number))
    for _ in range(12):
        before = len(asked)
        wheel._timer.cancel()
        wheel._go_on()
        assert 2 <= len(asked) - before <= 3
    wheel.stop()
    assert sorted(asked) == list(range(26))


async def test_the_broker_says_how_long_a_keep_alive_is(new_plan: NewPlan) -> None:  # [MQTT-3.1.2-21]
    def answer(number: int, packet: Packet) -> Packet | bytes | None:
        if isinstance(packet, Connect):
            return ConnAck(properties=Properties(server_keep_alive=1))
        return obliging(number, packet)

    async with played(answer) as broker:
        plan = new_plan(broker.port, "sub", idle=1, keep_alive=600, version=5)
        idle = Idle(plan, share_of(plan))
        await idle.come()
        await until(lambda: broker.count(PingReq) >= 1)
        await idle.leave()


async def test_a_broker_that_answers_no_pingreq_is_told_of(new_plan: NewPlan) -> None:
    def answer(number: int, packet: Packet) -> Packet | bytes | None:
        return b"" if isinstance(packet, PingReq) else obliging(number, packet)

    async with played(answer) as broker:
        plan = new_plan(broker.port, "sub", idle=2)
        idle = Idle(plan, share_of(plan))
        await idle.come()
        for _ in range(2):
            for resident in list(idle._residents):
                resident.ping()
        await until(lambda: idle.connected == 0)
        await idle.leave()
    assert idle.complaints == ["an idle connection was lost, 2 times: the broker does not answer PINGREQ"]


async def test_lost_ones_are_told_of(new_plan: NewPlan, way: str) -> None:
    async with played() as broker:
        plan = new_plan(broker.port, "sub", idle=3, version=5)
        idle = Idle(plan, share_of(plan))
        await idle.come()
        broker.writers[1].write(encode(Disconnect(0x8B), 5))  # the first one has only looked
        broker.writers[1].close()
        broker.writers[2].close()
        await until(lambda: idle.connected == 1)
        await idle.leave()
    assert len(idle.complaints) == 2
    assert any("shutting down" in each.lower() for each in idle.complaints)


async def test_who_is_not_let_in_is_told_of_and_after_a_hundred_nobody_tries(
    new_plan: NewPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coming, "_AT_ONCE", 4)

    def answer(number: int, packet: Packet) -> Packet | bytes | None:
        return ConnAck(3) if number > 4 and isinstance(packet, Connect) else obliging(number, packet)

    async with played(answer) as broker:
        plan = new_plan(broker.port, "sub", idle=50)
        idle = Idle(plan, share_of(plan))
        await idle.come()
        assert idle.connected == 3
        await idle.leave()
    told = dict(each.rsplit(": ", 1) for each in idle.complaints)
    assert sorted(told.values()) == ["it is not available now", "the last hundred were not"]


async def test_coming_in_can_be_cancelled(new_plan: NewPlan, way: str) -> None:
    async with played(lambda number, packet: obliging(number, packet) if number == 1 else b"") as broker:
        plan = new_plan(broker.port, "sub", idle=3)
        idle = Idle(plan, share_of(plan))
        task = asyncio.create_task(idle.come())
        await until(lambda: broker.count(Connect) == 4)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await idle.leave()


# What they stand on


@pytest.mark.skipif(not plain.HAS_EPOLL, reason="there is no epoll here")
async def test_a_plain_stream_sends_all_of_it() -> None:
    came = bytearray()
    may_read = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await may_read.wait()
        while data := await reader.read(1 << 20):
            came.extend(data)
            if len(came) == len(first) + len(second):
                writer.write(b"all")
        writer.close()

    first, second = bytes(range(256)) * 40_000, b"and more" * 100_000
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    sockets = plain.Sockets("127.0.0.1", server.sockets[0].getsockname()[1])
    handler = Recorder()
    stream = sockets.open(handler, first)
    stream.write(second)
    may_read.set()
    await until(lambda: handler.came == b"all")
    assert bytes(came) == first + second
    stream.abort()
    assert not stream.is_open
    await until(lambda: handler.reasons == ["the connection was ended here"])
    stream.write(b"nobody hears that")
    stream.abort()
    await asyncio.sleep(0)
    assert len(handler.reasons) == 1
    sockets.close()
    server.close()


@dataclass
class Recorder:
    came: bytes = b""
    reasons: list[str] = field(default_factory=list)

    def received(self, data: bytes) -> None:
        self.came += data

    def writable(self) -> None:
        raise AssertionError("nobody waits for that")

    def lost(self, reason: str) -> None:
        self.reasons.append(reason)


def test_the_system_is_asked_for_more_files(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    asked: list[Any] = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 20_000))
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: asked.append(limits))
    files.allow(100)
    assert asked == []
    files.allow(10_000)
    assert asked == [(10_064, 20_000)]
    with pytest.raises(OSError, match=r"30,000 connections are too many .* may open 20,000 files"):
        files.allow(30_000)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, resource.RLIM_INFINITY))
    files.allow(30_000)
    assert asked[-1] == (30_064, resource.RLIM_INFINITY)


# Retained messages


@pytest.mark.parametrize("version", [4, 5])
async def test_retained_messages_are_placed_and_removed(broker: Server, new_plan: NewPlan, version: int) -> None:
    plan = new_plan(broker.port, "pub", retained=120, version=version, size=20)
    await retained.place(plan, share_of(plan))
    assert await kept(broker.port) == [bytes(20)] * 120
    await retained.remove(plan, share_of(plan))
    assert await kept(broker.port) == []


async def kept(port: int) -> list[bytes]:
    """The retained messages of a run, up to one that says that these were all."""
    found: list[bytes] = []
    async with Client(f"mqtt://127.0.0.1:{port}") as client:
        async with client.subscribe("bench-retained/#", qos=1) as messages:
            await client.publish("bench-retained/end", b"end", qos=1)
            async for message in messages:
                if message.payload == b"end":
                    break
                found.append(message.payload)
    return found


async def test_a_broker_that_does_not_retain_is_an_error(new_plan: NewPlan) -> None:
    async with played(lambda number, packet: ConnAck(5)) as broker:
        plan = new_plan(broker.port, "pub", retained=1)
        with pytest.raises((Refused, NotConnected), match="not authorised"):
            await retained.place(plan, share_of(plan))
