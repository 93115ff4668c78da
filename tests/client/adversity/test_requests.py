"""Requests and their replies: many at a time, out of order, and replies that are late or somebody else's."""

import asyncio
import random

import pytest

import telex
from telex.wire.packets import ConnAck, Connect, PubAck, Publish, SubAck, Subscribe
from telex.wire.properties import Properties
from tests.client.adversity.brokers import Lasting
from tests.client.adversity.peers import SECONDS, Hand, playing
from tests.client.adversity.proxy import How, Proxy

REQUESTS = 1_000
SOON = telex.Reconnect(first=0.01, most=0.05)


async def test_a_thousand_requests_get_each_its_own_reply_whatever_the_order(each_broker: Lasting) -> None:
    """A responder of the test's own collects them all, and answers in a random order, at QoS 1."""
    async with telex.Client(each_broker.address) as service, telex.Client(each_broker.address) as client:
        async with service.subscribe("double/+", qos=1, queue=REQUESTS) as requests:

            async def answer() -> None:
                waiting = [await requests.next(timeout=SECONDS) for _ in range(REQUESTS)]
                random.Random(7).shuffle(waiting)
                for each in waiting:
                    assert each.response_topic is not None
                    doubled = b"%d" % (2 * int(each.payload))
                    await service.publish(each.response_topic, doubled, correlation_data=each.correlation_data, qos=0)

            answering = asyncio.create_task(answer())
            async with asyncio.timeout(SECONDS):
                replies = await asyncio.gather(
                    *(client.request(f"double/{i}", b"%d" % i, qos=1, timeout=SECONDS) for i in range(REQUESTS))
                )
            await answering
    assert [int(reply.payload) for reply in replies] == [2 * i for i in range(REQUESTS)]


async def test_a_thousand_requests_to_a_handler_that_responds(each_broker: Lasting) -> None:
    service = telex.Client(each_broker.address)

    @service.responds("halve/{number}", qos=1, concurrency=50)
    async def halve(number: str, message: telex.Message) -> str:
        await asyncio.sleep(random.random() / 100)  # so that replies come in another order
        return f"{int(number) // 2} {message.text}"

    async with service, telex.Client(each_broker.address) as client, asyncio.timeout(SECONDS):
        replies = await asyncio.gather(
            *(client.request(f"halve/{i}", str(-i), qos=1, timeout=SECONDS) for i in range(REQUESTS))
        )
    assert [reply.text for reply in replies] == [f"{i // 2} {-i}" for i in range(REQUESTS)]


class Asked:
    """A request as a server sees it."""

    def __init__(self, packet: Publish) -> None:
        assert packet.properties is not None
        assert packet.properties.response_topic is not None
        assert packet.properties.correlation_data is not None
        self.topic = packet.properties.response_topic
        self.correlation = packet.properties.correlation_data
        self.payload = packet.payload

    def reply(self, payload: bytes, correlation: bytes | None) -> Publish:
        return Publish(self.topic, payload, properties=Properties(correlation_data=correlation))


async def test_late_and_foreign_replies_are_ignored() -> None:
    asked: list[Asked] = []

    async def script(hand: Hand, connection: int) -> None:
        assert isinstance(await hand.gets(), Connect)
        await hand.sends(ConnAck())
        while (packet := await hand.gets()) is not None:
            if isinstance(packet, Subscribe):
                await hand.sends(SubAck(packet.packet_id, [0] * len(packet.requests)))
            elif isinstance(packet, Publish):
                asked.append(Asked(packet))
                if packet.qos:
                    await hand.sends(PubAck(packet.packet_id))
                if packet.payload == b"second":
                    first, second = asked
                    assert first.correlation != second.correlation
                    await hand.sends(
                        first.reply(b"late", first.correlation),
                        second.reply(b"of nothing", None),
                        second.reply(b"of an empty one", b""),
                        second.reply(b"of somebody else", b"x" + second.correlation),
                        second.reply(b"of a longer one", second.correlation + b"x"),
                        second.reply(b"its own", second.correlation),
                        second.reply(b"once more", second.correlation),
                    )

    async with playing(script) as server, telex.Client(server.address) as client:
        with pytest.raises(telex.Timeout):
            await client.request("service", b"first", timeout=0.05)
        reply = await client.request("service", b"second", timeout=SECONDS)
        assert reply.payload == b"its own"
        assert client.is_connected
        with pytest.raises(telex.Timeout):  # what came once more is nobody's
            await client.request("service", b"third", timeout=0.05)


async def test_a_reply_on_a_topic_that_somebody_else_guessed_is_no_reply(each_broker: Lasting) -> None:
    async with telex.Client(each_broker.address) as service, telex.Client(each_broker.address) as client:
        async with service.subscribe("guess") as requests:
            asking = asyncio.create_task(client.request("guess", b"?", timeout=SECONDS))
            request = await requests.next(timeout=SECONDS)
            assert request.response_topic is not None
            for correlation in (None, b"", b"0", b"1", bytes(8), bytes(16)):
                if correlation != request.correlation_data:
                    await service.publish(request.response_topic, b"forged", correlation_data=correlation, qos=1)
            await service.publish(request.response_topic, b"true", correlation_data=request.correlation_data, qos=1)
            assert (await asking).payload == b"true"


async def test_a_request_outlives_a_cut_link(each_broker: Lasting) -> None:
    """At QoS 1 both ways: the session has the reply, or the request is sent again."""
    async with Proxy(each_broker.port) as proxy:
        async with telex.Client(each_broker.address) as service:
            async with telex.Client(proxy.address, reconnect=SOON) as client:
                async with service.subscribe("patient", qos=1) as requests:
                    asking = asyncio.create_task(client.request("patient", b"?", qos=1, timeout=SECONDS))
                    request = await requests.next(timeout=SECONDS)
                    assert request.response_topic is not None
                    proxy.bar(How.RST)
                    await service.publish(
                        request.response_topic, b"!", qos=1, correlation_data=request.correlation_data
                    )
                    proxy.restore()
                    assert (await asking).payload == b"!"


async def test_cancelled_requests_leave_nothing_behind(telex_broker: Lasting) -> None:
    async with telex.Client(telex_broker.address) as client:
        for _ in range(100):
            asking = asyncio.ensure_future(client.request("nobody", b"?"))
            await asyncio.sleep(0)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        with pytest.raises(telex.Timeout):
            await client.request("nobody", b"?", timeout=0.01)
        assert await client.publish("t", b"x", qos=2) < 0x80


async def test_no_reply_in_3_1_1_is_said_before_anything_is_sent(telex_broker: Lasting) -> None:
    async with Proxy(telex_broker.port) as proxy, telex.Client(proxy.address, version="3.1.1") as client:
        with pytest.raises((ValueError, telex.MqttError), match=r"MQTT 5|5\.0|v5"):
            await client.request("service", b"?", timeout=SECONDS)
        assert proxy.count("PUBLISH") == 0
