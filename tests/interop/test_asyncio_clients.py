"""aiomqtt and gmqtt of PyPI as clients of Telex."""

import asyncio

import aiomqtt
import gmqtt
import pytest

import telex
from tests.processes import SECONDS


@pytest.mark.parametrize("version", list(aiomqtt.ProtocolVersion), ids=lambda version: version.name)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_aiomqtt_publishes_and_subscribes(version: aiomqtt.ProtocolVersion, qos: int) -> None:
    async def story() -> list[tuple[str, object, int]]:
        got = []
        async with telex.Broker(port=0) as broker, asyncio.timeout(SECONDS):
            async with aiomqtt.Client("127.0.0.1", broker.port, protocol=version) as client:
                await client.subscribe("house/+/temp", qos=2)
                await client.publish("house/kitchen/temp", b"21.5", qos=qos)
                await client.publish("house/hall/temp", b"19.0", qos=qos)
                async for message in client.messages:
                    got.append((str(message.topic), message.payload, message.qos))
                    if len(got) == 2:
                        break
        return got

    assert asyncio.run(story()) == [("house/kitchen/temp", b"21.5", qos), ("house/hall/temp", b"19.0", qos)]


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_gmqtt_publishes_and_subscribes(version: int, qos: int) -> None:
    async def story() -> tuple[str, bytes, int]:
        got: asyncio.Queue[tuple[str, bytes, int]] = asyncio.Queue()
        subscribed = asyncio.Event()

        async def on_message(client: object, topic: str, payload: bytes, qos: int, properties: object) -> int:
            got.put_nowait((topic, payload, qos))
            return 0

        async with telex.Broker(port=0) as broker, asyncio.timeout(SECONDS):
            client = gmqtt.Client("gmqtt-client")
            client.on_message = on_message
            client.on_subscribe = lambda *arguments: subscribed.set()
            await client.connect("127.0.0.1", broker.port, version=version)
            client.subscribe("house/#", qos=2)
            await subscribed.wait()
            client.publish("house/kitchen", b"21.5", qos=qos)
            message = await got.get()
            await client.disconnect()
        return message

    assert asyncio.run(story()) == ("house/kitchen", b"21.5", qos)
