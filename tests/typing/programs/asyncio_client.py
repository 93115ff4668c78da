"""Client on asyncio: what its calls take and give."""

import math
import ssl
from typing import Literal, assert_type

import telex


def can_be_made() -> None:
    telex.Client()
    telex.Client("mqtt://localhost", client_id="c", session_expiry_interval=math.inf, keep_alive=10)
    telex.Client("mqtts://broker.example", user="u", password=b"secret", tls=ssl.create_default_context())
    telex.Client("mqtts://broker.example", tls=telex.ClientTls(ca_file="ca.pem"))
    telex.Client(version="3.1.1", reconnect=None, outbox="out.db")
    telex.Client(will=telex.Will("status", "gone", qos=1, will_delay_interval=5, user_properties={"a": "1"}))
    telex.Client(user_properties=[("a", "1"), ("a", "2")], reconnect=telex.Reconnect(most=10))


def cannot_be_made() -> None:
    telex.Client(version="4")  # refused
    telex.Client(1883)  # refused
    telex.Client("mqtt://localhost", "client id")  # refused
    telex.Client(port=1883)  # refused
    telex.Client(on_error="ignore")  # refused
    telex.Client(user_properties={"a": 1})  # refused
    telex.Will("status", "gone", 1)  # refused


async def publishes(client: telex.Client) -> None:
    code = await client.publish("home/temp/room1", 24.2, qos=1, retain=True)
    assert_type(code, telex.ReasonCode)
    await client.publish("t", b"bytes", content_type="application/octet-stream", user_properties={"a": "1"})
    await client.publish("t", {"celsius": 24.2})
    await client.publish("t", None)
    await client.publish("t")
    count = await client.publish_many([("t", 1), ("t", "two")], qos=1)
    assert_type(count, int)
    await client.publish(b"t", b"x")  # refused
    await client.publish("t", b"x", 1)  # refused
    await client.publish("t", b"x", ttl=5)  # refused


async def subscribes(client: telex.Client) -> None:
    async with client.subscribe("a/+", "b/#", qos=2, queue=10, when_full="drop_oldest", manual_ack=True) as messages:
        assert_type(messages, telex.Subscription)
        assert_type(messages.dropped, int)
        assert_type(messages.waiting, int)
        async for message in messages:
            assert_type(message, telex.Message)
        assert_type(await messages.next(timeout=5), telex.Message)
    client.subscribe("a", when_full="drop")  # refused
    client.subscribe(["a", "b"])  # refused
    for _ in client.subscribe("a"):  # refused
        pass


async def asks(client: telex.Client) -> None:
    reply = await client.request("device/7/reboot", timeout=5)
    assert_type(reply, telex.Message)
    assert_type(reply.decode(int), int)


async def lives() -> None:
    async with telex.Client("mqtt://localhost") as client:
        assert_type(client, telex.Client)
        assert_type(client.is_connected, bool)
        assert_type(client.client_id, str)
        assert_type(client.version, Literal["5", "3.1.1", "3.1"])
        assert_type(client.server.maximum_qos, int | None)
        await client.wait_connected()
        await client.close()
    with telex.Client():  # refused
        pass


async def fails(client: telex.Client) -> None:
    try:
        await client.publish("t", qos=1)
    except telex.Refused as refused:
        assert_type(refused.reason_code, int)
    except (telex.NotConnected, telex.Timeout, telex.Untrusted, telex.OutboxFull) as error:
        base: telex.MqttError = error
        print(base)
