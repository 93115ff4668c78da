"""The proxy itself: what it passes, what it cuts, and exactly where."""

import asyncio

import pytest

from telex.wire.encode import encode
from telex.wire.packets import ConnAck, Connect, PingReq, PingResp, PubAck, Publish, SubAck, Subscribe
from telex.wire.packets import SubscriptionRequest as Request
from tests.client.adversity.brokers import Lasting
from tests.client.adversity.peers import witness
from tests.client.adversity.proxy import TO_BROKER, TO_CLIENT, Boundaries, Cut, Direction, How, Proxy
from tests.shell.raw import RawClient, connected, open_socket

each_how = pytest.mark.parametrize("how", How, ids=lambda how: how.value)


def cut(direction: Direction, number: int, side: str, how: How) -> Cut:
    return Cut(direction, number, side == "after", how)


async def is_reset(client: RawClient) -> bool:
    """Whether the connection ends with RST, and not with FIN."""
    try:
        while await client.receive() is not None:
            pass
    except ConnectionResetError:
        return True
    return False


def test_packets_end_where_their_lengths_say_however_they_come() -> None:
    packets = [
        encode(packet, 5)
        for packet in (PingReq(), Connect("c"), Publish("t", bytes(127)), Publish("t", bytes(200)), PubAck(7))
    ]
    packets.append(encode(Publish("t", bytes(20_000)), 5))
    stream = b"".join(packets)
    for size in (1, 2, 3, 100, len(stream)):
        boundaries = Boundaries()
        found = []
        for start in range(0, len(stream), size):
            found += boundaries.packets(stream[start : start + size])
        assert found == packets


def test_what_is_no_packet_is_noticed() -> None:
    with pytest.raises(ValueError, match="no packet begins with 30ffffffff"):
        Boundaries().packets(b"\x30\xff\xff\xff\xff\xff")


async def test_without_a_cut_everything_goes_through(telex_broker: Lasting) -> None:
    async with Proxy(telex_broker.port) as proxy, connected(proxy.port) as client:
        await client.subscribe("through", qos=1)
        await client.send(Publish("through", bytes(100_000), 1, packet_id=1))
        assert {type(await client.receive()), type(await client.receive())} == {PubAck, Publish}
        assert proxy.names(TO_BROKER) == ["CONNECT", "SUBSCRIBE", "PUBLISH"]
        assert sorted(proxy.names(TO_CLIENT)) == ["CONNACK", "PUBACK", "PUBLISH", "SUBACK"]
        assert proxy.connections == 1
        assert proxy.count("PUBLISH") == 2


async def test_the_end_of_a_client_goes_through_too(telex_broker: Lasting) -> None:
    async with Proxy(telex_broker.port) as proxy:
        async with open_socket(proxy.port) as client:
            client.writer.write_eof()
            assert await client.receive() is None  # the broker has closed its side


@each_how
@pytest.mark.parametrize("side", ["before", "after"])
async def test_a_cut_to_the_broker_is_exact(telex_broker: Lasting, how: How, side: str) -> None:
    topic = f"exact/{how.name}/{side}"
    async with witness(telex_broker.port, topic) as somebody:
        async with Proxy(telex_broker.port, cut(TO_BROKER, 3, side, how)) as proxy:
            async with connected(proxy.port) as client:
                # One write with all three: the boundary lies within it.
                await client.send(*(Publish(topic, payload) for payload in (b"1", b"2", b"3")))
                await proxy.until(lambda: proxy.waiting_cuts == [])
                await somebody.publish(topic, b"later")
                await somebody.until(lambda: b"later" in somebody.payloads(topic))
                passed = [each.data[-1:] for each in proxy.passed if each.name == "PUBLISH"]
                assert passed == ([b"1", b"2"] if side == "after" else [b"1"])
                if how is not How.RST:  # bytes that a reset overtakes may be lost
                    assert somebody.payloads(topic) == [*passed, b"later"]


@each_how
@pytest.mark.parametrize("side", ["before", "after"])
async def test_a_cut_to_the_client_is_exact(telex_broker: Lasting, how: How, side: str) -> None:
    async with Proxy(telex_broker.port, cut(TO_CLIENT, 2, side, how)) as proxy:
        async with connected(proxy.port) as client:
            await client.send(Subscribe(1, [Request("t")]), PingReq(), PingReq())
            await proxy.until(lambda: proxy.waiting_cuts == [])
            assert proxy.names(TO_CLIENT) == (["CONNACK", "SUBACK"] if side == "after" else ["CONNACK"])
            if how is How.RST:
                assert await is_reset(client)
                return
            if side == "after":
                assert await client.receive() == SubAck(1, [0])
            if how is How.FIN:
                assert await client.receive() is None
            else:
                await client.send(PingReq())  # it is taken, and goes nowhere
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await client.receive()
            assert proxy.names(TO_BROKER)[:2] == ["CONNECT", "SUBSCRIBE"]


async def test_a_black_hole_hides_the_end_of_the_broker_too(telex_broker: Lasting) -> None:
    async with Proxy(telex_broker.port) as proxy:
        async with connected(proxy.port, Connect("hidden")) as client:
            proxy.cut_now(How.STALL)
            async with connected(telex_broker.port, Connect("hidden")):  # the broker closes the old connection
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await client.receive()


async def test_packets_are_counted_over_all_connections(telex_broker: Lasting) -> None:
    async with Proxy(
        telex_broker.port, cut(TO_BROKER, 2, "before", How.FIN), cut(TO_BROKER, 4, "after", How.FIN)
    ) as proxy:
        async with connected(proxy.port) as client:
            await client.send(PingReq())
            assert await client.receive() is None
        async with connected(proxy.port) as client:
            await client.send(PingReq(), PingReq())
            await proxy.until(lambda: proxy.waiting_cuts == [])
        assert proxy.names(TO_BROKER) == ["CONNECT", "CONNECT", "PINGREQ"]
        assert {each.connection for each in proxy.passed} == {1, 2}


@each_how
async def test_a_barred_way_is_barred_until_it_is_restored(telex_broker: Lasting, how: How) -> None:
    async with Proxy(telex_broker.port) as proxy:
        proxy.bar(how)
        async with open_socket(proxy.port) as client:
            if how is How.RST:
                assert await is_reset(client)
            elif how is How.FIN:
                assert await client.receive() is None
            else:
                await client.send(Connect())
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await client.receive()
        assert proxy.passed == []
        proxy.restore()
        async with connected(proxy.port) as client:
            await client.send(PingReq())
            assert await client.receive() == PingResp()


async def test_a_broker_that_is_not_there_looks_that_way(telex_broker: Lasting) -> None:
    async with Proxy(1) as proxy:  # nobody listens on port 1
        async with open_socket(proxy.port) as client:
            assert await is_reset(client)
        proxy.target = telex_broker.port
        async with connected(proxy.port) as client:
            assert isinstance(client.connack, ConnAck)
