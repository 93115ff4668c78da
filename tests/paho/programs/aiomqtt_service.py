"""A service on aiomqtt, written as aiomqtt's documentation has it: a loop that connects again, a will, an iterator."""

import asyncio
import sys

import aiomqtt

STATUS = "service/status"


async def main(port: int) -> None:
    will = aiomqtt.Will(STATUS, "lost", qos=1, retain=True)
    client = aiomqtt.Client("127.0.0.1", port, identifier="service", will=will)
    print("id", client.identifier, flush=True)
    answered = 0
    while True:
        try:
            async with client:
                granted = await client.subscribe("service/orders/+", qos=1)
                await client.publish(STATUS, "here", qos=1, retain=True)
                print("here", [code.value for code in granted], flush=True)
                async for message in client.messages:
                    name = str(message.topic).rpartition("/")[2]
                    await client.publish(f"service/answers/{name}", message.payload, qos=message.qos)
                    answered += 1
                    if answered == 100:  # and the broker has acknowledged all answers
                        print("answered", answered, flush=True)
                    if message.payload == b"end":
                        await client.unsubscribe("service/orders/+")
                        await client.publish(STATUS, "gone", qos=2, retain=True)
                        return
        except aiomqtt.MqttError as error:
            print("lost", error, flush=True)
            await asyncio.sleep(0.05)  # the broker may be away for longer


asyncio.run(main(int(sys.argv[1])))
