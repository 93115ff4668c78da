"""SyncClient: the same calls, blocking."""

from typing import assert_type

import telex


def publishes() -> None:
    with telex.SyncClient("mqtts://user:secret@broker.example", client_id="c", version="5") as client:
        assert_type(client, telex.SyncClient)
        assert_type(client.publish("t", 24.2, qos=1, timeout=5), telex.ReasonCode)
        assert_type(client.publish_many([("t", 1)]), int)
        assert_type(client.is_connected, bool)
        client.publish("t", b"x", 1)  # refused


def subscribes(client: telex.SyncClient) -> None:
    with client.subscribe("a/+", qos=1) as messages:
        assert_type(messages, telex.SyncSubscription)
        for message in messages:
            assert_type(message, telex.Message)
        assert_type(messages.next(timeout=5), telex.Message)


def asks(client: telex.SyncClient) -> None:
    reply = client.request("device/7/reboot", timeout=5)
    assert_type(reply, telex.Message)


async def is_not_for_coroutines(client: telex.SyncClient) -> None:
    await client.publish("t")  # refused
    async with client:  # refused
        pass


def is_refused() -> None:
    telex.SyncClient(version="4")  # refused
    telex.SyncClient(port=1883)  # refused
