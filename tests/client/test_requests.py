"""Requests and their answers. The server is played by the test."""

import asyncio

import pytest

from telex.client.aio import Client
from telex.client.message import Message
from telex.client.reconnect import Reconnect
from telex.client.subscription import WhenFull
from telex.errors import NotConnected, Refused, Timeout
from telex.wire.packets import ConnAck, PubAck, Publish, SubAck, Subscribe, SubscriptionRequest
from telex.wire.properties import Properties
from tests.client.table import SECONDS, Side, Table, nothing_is_left, turns

SOON = Reconnect(first=0.001, most=0.002)


async def asked(side: Side) -> tuple[Publish, Properties]:
    """The next request that comes."""
    packet = await side.gets(Publish)
    assert packet.properties is not None
    return packet, packet.properties


def answer(said: Properties, payload: bytes) -> Publish:
    assert said.response_topic is not None
    return Publish(said.response_topic, payload, properties=Properties(correlation_data=said.correlation_data))


async def test_an_answer_finds_its_request_whatever_the_order() -> None:
    table = Table()
    async with Client(table) as client:
        tasks = [asyncio.create_task(client.request("svc", str(number))) for number in range(3)]
        requests = [await asked(table.side) for _ in range(3)]
        for packet, said in reversed(requests):
            table.side.sends(answer(said, b"re " + packet.payload))
        assert [(await task).payload for task in tasks] == [b"re 0", b"re 1", b"re 2"]
        assert len(table.side.all(Subscribe)) == 1
    await nothing_is_left()


async def test_the_response_topic_is_subscribed_to_before_anything_is_asked() -> None:
    table = Table(is_obliging=False)
    async with Client(table) as client:
        task = asyncio.create_task(client.request("svc", timeout=SECONDS))
        packet = await table.side.gets(Subscribe)
        await turns()
        assert table.side.all(Publish) == []
        table.side.sends(SubAck(packet.packet_id, [2]))
        _, said = await asked(table.side)
        assert packet.requests == [SubscriptionRequest(said.response_topic or "", 2)]
        table.side.sends(answer(said, b"x"))
        assert (await task).payload == b"x"


@pytest.mark.parametrize(
    ("qos", "when_full", "manual_ack", "expected"),
    [
        (0, "wait", False, 2),
        (1, "wait", False, 0),
        (2, "drop_oldest", False, 2),
        (1, "drop_newest", True, 0),
    ],
)
async def test_answers_come_at_qos_0_to_whom_may_hold_up_others(
    qos: int, when_full: WhenFull, manual_ack: bool, expected: int
) -> None:
    """What waits for the one who asks may take all of Receive Maximum, and then no answer could come above QoS 0."""
    table = Table()
    async with Client(table) as client:
        for _ in range(2):  # the subscription to the answers itself holds up nobody
            task = asyncio.create_task(client.request("svc", timeout=SECONDS))
            _, said = await asked(table.side)
            table.side.sends(answer(said, b"x"))
            assert (await task).payload == b"x"
        async with client.subscribe("data", qos=qos, when_full=when_full, manual_ack=manual_ack):
            task = asyncio.create_task(client.request("svc", timeout=SECONDS))
            _, said = await asked(table.side)
            table.side.sends(answer(said, b"x"))
            assert (await task).payload == b"x"
        granted = {each.topic_filter: each.qos for packet in table.side.all(Subscribe) for each in packet.requests}
        assert granted.pop("data") == qos
        assert granted.pop(said.response_topic or "") == expected
        assert set(granted.values()) == ({2} if expected == 0 else set())


@pytest.mark.parametrize(
    ("information", "start"), [(None, "reply/"), ("answers/to/c", "answers/to/c/"), ("answers/", "answers/")]
)
async def test_answers_come_where_the_broker_wants_them(information: str | None, start: str) -> None:
    table = Table(ConnAck(properties=Properties(response_information=information)))
    async with Client(table, request_response_information=True) as client:
        assert table.side.connect is not None
        assert table.side.connect.properties is not None
        assert table.side.connect.properties.request_response_information == 1
        task = asyncio.create_task(client.request("svc"))
        _, said = await asked(table.side)
        assert said.response_topic is not None
        assert said.response_topic.startswith(start)
        table.side.sends(answer(said, b""))
        await task


async def test_a_response_topic_that_is_given_is_used() -> None:
    table = Table()
    async with Client(table) as client:
        task = asyncio.create_task(client.request("svc", response_topic="mine/here"))
        _, said = await asked(table.side)
        assert said.response_topic == "mine/here"
        table.side.sends(answer(said, b"x"))
        assert (await task).payload == b"x"
        for topic in ("", "a/#"):
            with pytest.raises(ValueError, match="topic name"):
                await client.request("svc", response_topic=topic)
            with pytest.raises(ValueError, match="topic name"):
                await client.request(topic)


async def test_what_a_request_says_goes_with_it() -> None:
    table = Table()
    async with Client(table) as client:
        task = asyncio.create_task(
            client.request("svc", {"x": 1}, qos=1, message_expiry_interval=5, user_properties={"k": "v"})
        )
        packet, said = await asked(table.side)
        assert (packet.qos, packet.payload) == (1, b'{"x":1}')
        assert (said.content_type, said.message_expiry_interval) == ("application/json", 5)
        assert said.user_properties == (("k", "v"),)
        table.side.sends(answer(said, b""))
        await task


async def test_no_answer_in_time() -> None:
    table = Table()
    async with Client(table) as client:
        with pytest.raises(Timeout, match=r"no answer to the request on 'svc' within 0\.01 s"):
            await client.request("svc", timeout=0.01)
        _, said = await asked(table.side)
        table.side.sends(answer(said, b"late"))
        await turns()
        task = asyncio.create_task(client.request("svc"))
        _, said = await asked(table.side)
        table.side.sends(answer(said, b"in time"))
        assert (await task).payload == b"in time"


async def test_time_runs_while_there_is_no_connection() -> None:
    table = Table()
    async with Client(table, reconnect=SOON) as client:
        table.answers.extend([OSError("away")] * 10_000)
        table.side.ends()
        await turns()
        with pytest.raises(Timeout):
            await client.request("svc", timeout=0.02)


async def test_a_cancelled_request_leaves_nothing_behind() -> None:
    table = Table()
    async with Client(table) as client:
        task = asyncio.create_task(client.request("svc", qos=1))
        _, said = await asked(table.side)
        task.cancel()
        await turns()
        assert task.cancelled()
        table.side.sends(answer(said, b"late"))
        await turns()
    await nothing_is_left()


async def test_one_that_is_cancelled_before_it_could_ask_does_not_disturb_the_next() -> None:
    table = Table(is_obliging=False)
    async with Client(table) as client:
        first = asyncio.create_task(client.request("svc"))
        packet = await table.side.gets(Subscribe)
        first.cancel()
        second = asyncio.create_task(client.request("svc"))
        await turns()
        table.side.sends(SubAck(packet.packet_id, [2]))
        _, said = await asked(table.side)
        table.side.sends(answer(said, b"x"))
        assert (await second).payload == b"x"


async def test_nobody_is_there_to_answer() -> None:
    table = Table()
    async with Client(table) as client:
        task = asyncio.create_task(client.request("svc", qos=1))
        await turns(3)
        table.side.is_obliging = False
        packet, _ = await asked(table.side)
        table.side.sends(PubAck(packet.packet_id, 0x10))
        with pytest.raises(Refused, match="nobody has subscribed to 'svc', so nobody answers"):
            await task


async def test_a_refused_response_topic_is_told_and_tried_anew() -> None:
    table = Table(is_obliging=False)
    async with Client(table) as client:
        tasks = [asyncio.create_task(client.request("svc")) for _ in range(2)]
        packet = await table.side.gets(Subscribe)
        table.side.is_obliging = True
        table.side.sends(SubAck(packet.packet_id, [0x87]))
        for task in tasks:
            with pytest.raises(Refused, match="not authorized"):
                await task
        again = asyncio.create_task(client.request("svc"))
        _, said = await asked(table.side)
        table.side.sends(answer(said, b"x"))
        assert (await again).payload == b"x"


async def test_before_mqtt_5_there_are_none() -> None:
    async with Client(Table(), version="3.1.1") as client:
        with pytest.raises(ValueError, match=r"request\(\) needs MQTT 5, and the broker speaks 3\.1\.1"):
            await client.request("svc")


async def test_an_answer_may_come_after_the_session_was_lost() -> None:
    table = Table()
    async with Client(table, reconnect=SOON) as client:
        task = asyncio.create_task(client.request("svc"))
        _, said = await asked(table.side)
        table.side.ends()
        side = await table.connection(2)
        packet = await side.gets(Subscribe)
        assert packet.requests[0].topic_filter == said.response_topic
        side.sends(answer(said, b"x"))
        assert (await task).payload == b"x"


async def test_foreign_answers_meet_nobody() -> None:
    table = Table()
    async with Client(table) as client:
        task = asyncio.create_task(client.request("svc"))
        _, said = await asked(table.side)
        assert said.response_topic is not None
        for data in (None, b"", b"other"):
            table.side.sends(Publish(said.response_topic, b"foreign", properties=Properties(correlation_data=data)))
        await turns()
        assert not task.done()
        table.side.sends(answer(said, b"x"), answer(said, b"twice"))
        assert (await task).payload == b"x"


@pytest.mark.parametrize("qos", [0, 1])
async def test_whoever_waits_when_the_client_is_closed_is_told(qos: int) -> None:
    table = Table(is_obliging=False)
    async with Client(table) as client:
        tasks = [asyncio.create_task(client.request("svc", qos=qos))]
        packet = await table.side.gets(Subscribe)
        table.side.sends(SubAck(packet.packet_id, [2]))
        await asked(table.side)
        tasks.append(asyncio.create_task(client.request("svc", response_topic="never/granted")))
        await turns()
    for task in tasks:
        with pytest.raises(NotConnected):
            await task
    del tasks, task
    await nothing_is_left()


async def test_a_request_in_the_midst_of_a_flood_is_answered() -> None:
    table = Table()
    app = Client(table)
    got: list[bytes] = []

    @app.on("flood", queue=1)
    async def heard(message: Message) -> None:
        got.append((await app.request("svc")).payload)

    async with app:
        table.side.sends(*[Publish("flood")] * 4)
        await turns()
        for number in range(4):
            _, said = await asked(table.side)
            table.side.sends(answer(said, b"%d" % number))
        async with asyncio.timeout(SECONDS):
            while len(got) < 4:
                await asyncio.sleep(0)
        assert got == [b"0", b"1", b"2", b"3"]
