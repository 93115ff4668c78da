"""A message that is too large is one message less, and no loop of disconnections."""

import asyncio
from pathlib import Path

import pytest

import telex
from telex.client.outbox import Outbox
from telex.codes import ReasonCode
from telex.wire.packets import ConnAck, Connect, Packet, PubAck, Publish, SubAck, Subscribe, UnsubAck, Unsubscribe
from telex.wire.properties import Properties
from tests.client.adversity.brokers import Lasting
from tests.client.adversity.peers import SECONDS, Hand, playing, witness
from tests.client.adversity.proxy import Proxy
from tests.conformance.marks import edge

SMALL = b"small"
LIMIT = 200  # of the server, in bytes
BIG = bytes(LIMIT)
SOON = telex.Reconnect(first=0.01, most=0.02)
LIMITED = ConnAck(properties=Properties(maximum_packet_size=LIMIT))


class Limited:
    """A server that takes small packets only, and acknowledges them. It closes the connection on a larger one."""

    def __init__(self) -> None:
        self.published: list[Publish] = []

    async def __call__(self, hand: Hand, connection: int) -> None:
        assert isinstance(await hand.gets(), Connect)
        await hand.sends(LIMITED)
        await self.acknowledge(hand)

    async def acknowledge(self, hand: Hand) -> None:
        packet: Packet | None
        while (packet := await hand.gets()) is not None:
            if isinstance(packet, Publish):
                self.published.append(packet)
                assert len(packet.payload) < LIMIT
                if packet.qos == 1:
                    await hand.sends(PubAck(packet.packet_id))
            elif isinstance(packet, Subscribe):
                await hand.sends(SubAck(packet.packet_id, [0] * len(packet.requests)))
            elif isinstance(packet, Unsubscribe):
                await hand.sends(UnsubAck(packet.packet_id, [0] * len(packet.topic_filters)))

    @property
    def payloads(self) -> list[bytes]:
        return [packet.payload for packet in self.published]

    @property
    def packet_ids(self) -> list[int]:
        return [packet.packet_id for packet in self.published]


@edge("Z1")
@pytest.mark.parametrize("qos", [0, 1])
async def test_a_message_that_is_too_large_is_refused_before_it_is_sent(qos: int) -> None:
    limited = Limited()
    async with playing(limited) as server, telex.Client(server.address, reconnect=SOON) as client:
        async with asyncio.timeout(SECONDS):
            await client.publish("t", SMALL, qos=qos)
            with pytest.raises(ValueError, match=r"2\d\d bytes.*200"):
                await client.publish("t", BIG, qos=qos)
            await client.publish("t", SMALL, qos=qos)
            await client.publish("t", b"last", qos=1)
        assert client.is_connected
    assert limited.payloads == [SMALL, SMALL, b"last"]
    if qos:
        assert limited.packet_ids == [1, 2, 3]  # none is used for what was never sent
    assert server.connections == 1


@edge("Z1")
async def test_so_is_one_that_was_published_before_anybody_knew() -> None:
    """What waits for the connection fails alone when that says its limit."""
    limited = Limited()
    may_answer = asyncio.Event()

    async def script(hand: Hand, connection: int) -> None:
        assert isinstance(await hand.gets(), Connect)
        await may_answer.wait()
        await hand.sends(LIMITED)
        await limited.acknowledge(hand)

    async with playing(script) as server:
        client = telex.Client(server.address, reconnect=SOON)
        entering = asyncio.create_task(client.__aenter__())
        while server.connections == 0:
            await asyncio.sleep(0.001)
        publishing = [asyncio.create_task(client.publish("t", each, qos=1)) for each in (SMALL, BIG, SMALL)]
        await asyncio.sleep(0)
        may_answer.set()
        async with asyncio.timeout(SECONDS):
            await entering
            results = await asyncio.gather(*publishing, return_exceptions=True)
            await client.publish("t", b"last", qos=1)
        assert [isinstance(result, ValueError | telex.Refused) for result in results] == [False, True, False]
        await client.close()
    assert limited.payloads == [SMALL, SMALL, b"last"]
    assert server.connections == 1


@edge("Z1")
async def test_one_in_flight_is_given_up_when_the_server_takes_less_than_before() -> None:
    limited = Limited()

    async def script(hand: Hand, connection: int) -> None:
        assert isinstance(await hand.gets(), Connect)
        if connection == 1:
            await hand.sends(ConnAck())
            packet = await hand.gets()
            assert isinstance(packet, Publish)
            assert packet.payload == BIG
            return  # and it is gone, without an acknowledgement
        await hand.sends(ConnAck(session_present=True, properties=Properties(maximum_packet_size=LIMIT)))
        await limited.acknowledge(hand)

    async with playing(script) as server, telex.Client(server.address, reconnect=SOON) as client:
        async with asyncio.timeout(SECONDS):
            with pytest.raises(telex.Refused) as caught:
                await client.publish("t", BIG, qos=1)
            assert caught.value.reason_code == ReasonCode.PACKET_TOO_LARGE
            await client.publish("t", SMALL, qos=1)
    assert limited.payloads == [SMALL]
    assert server.connections == 2


@edge("Z1")
async def test_one_in_the_outbox_does_not_stand_in_the_way(tmp_path: Path) -> None:
    limited = Limited()
    outbox = Outbox(tmp_path / "out.db")
    async with Proxy(1) as proxy:  # nobody is there yet
        client = telex.Client(proxy.address, client_id="boxed", outbox=outbox, reconnect=SOON)
        async with client, asyncio.timeout(SECONDS):
            for payload in (SMALL, BIG, SMALL, b"last"):
                await client.publish("t", payload, qos=1)
            async with playing(limited) as server:
                proxy.target = int(server.address.rpartition(":")[2])
                while limited.payloads[-1:] != [b"last"] or outbox.waiting:
                    await asyncio.sleep(0.005)
                assert server.connections == 1
                await client.close()
    assert limited.payloads == [SMALL, SMALL, b"last"]


async def test_a_subscription_that_is_too_large_is_refused_and_the_connection_lives() -> None:
    limited = Limited()
    async with playing(limited) as server, telex.Client(server.address, reconnect=SOON) as client:
        with pytest.raises(ValueError, match="200"):
            async with asyncio.timeout(SECONDS), client.subscribe("t" * LIMIT):
                raise AssertionError("it is subscribed")
        async with asyncio.timeout(SECONDS), client.subscribe("t"):
            await client.publish("t", b"last", qos=1)
    assert server.connections == 1


@edge("Z1")
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_a_broker_leaves_out_what_the_client_does_not_take(each_broker: Lasting, qos: int) -> None:
    size = 200
    topic = f"left/out/{qos}"
    async with Proxy(each_broker.port) as proxy, witness(each_broker.port) as somebody:
        async with telex.Client(proxy.address, maximum_packet_size=size, reconnect=SOON) as client:
            async with client.subscribe(topic, qos=qos) as messages:
                for payload in (b"1", bytes(2 * size), b"2"):
                    await somebody.publish(topic, payload)
                assert [(await messages.next(timeout=SECONDS)).payload for _ in range(2)] == [b"1", b"2"]
                assert await client.publish("t", b"x", qos=1) < 0x80
        assert proxy.connections == 1
