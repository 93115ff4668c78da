"""What outlives the process: brokers on one directory, one after the other, and clients over real sockets.

Each story is told twice: of a broker that stops, and of one that is cut off from
the world in the middle of it.
"""

import asyncio
import logging
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import telex
from telex.codes import ReasonCode
from telex.server.stores.sqlite import StoreError
from telex.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    UnsubAck,
    Unsubscribe,
    Will,
)
from telex.wire.properties import Properties
from tests.processes import run
from tests.shell.lives import ENDINGS, Lives, Wall
from tests.shell.raw import RawClient, connected, open_socket

FOR_EVER = 0xFFFF_FFFF

endings = pytest.mark.parametrize("ending", ENDINGS)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    return Wall(monkeypatch)


def keeper(client_id: str = "keeper", *, version: int = 5, expiry: int = FOR_EVER, will: Will | None = None) -> Connect:
    """A CONNECT for a session that is kept."""
    properties = Properties(session_expiry_interval=expiry) if version == 5 else None
    return Connect(client_id, version=version, clean_start=False, properties=properties, will=will)


async def publish(client: RawClient, *packets: Publish) -> None:
    """Publish, and wait until all is acknowledged."""
    await client.send(*packets)
    due = {packet.packet_id for packet in packets}
    while due:
        answer = await client.receive()
        assert isinstance(answer, PubAck | PubRec | PubComp), answer
        assert answer.reason_code < 0x80
        if isinstance(answer, PubRec):
            await client.send(PubRel(answer.packet_id))
        else:
            due.remove(answer.packet_id)


async def payloads(client: RawClient, count: int) -> list[bytes]:
    """The payloads of the next messages, each acknowledged at once."""
    found = []
    while len(found) < count:
        packet = await client.receive()
        if isinstance(packet, Publish):
            found.append(packet.payload)
            if packet.qos == 1:
                await client.send(PubAck(packet.packet_id))
            elif packet.qos == 2:
                await client.send(PubRec(packet.packet_id))
        else:
            assert isinstance(packet, PubRel), packet
            await client.send(PubComp(packet.packet_id))
    return found


async def has_nothing_more(client: RawClient, broker: telex.Broker) -> None:
    """Nothing is on its way to a client, from memory or from the store."""
    while any(session.queue.stored for session in broker.engine.sessions.values() if session.client is not None):
        await asyncio.sleep(0)
    await client.send(PingReq())
    assert await client.receive() == PingResp()


async def is_away(broker: telex.Broker, client_id: str) -> None:
    """Until the broker has noticed that a client has gone."""
    while broker.engine.sessions[client_id].client is not None:
        await asyncio.sleep(0)


# What is there again


@endings
@pytest.mark.parametrize("version", [3, 4, 5])
async def test_a_session_is_present_with_its_subscriptions(tmp_path: Path, ending: str, version: int) -> None:
    async with Lives(tmp_path, ending) as lives:
        async with connected(lives.port, keeper(version=version)) as client:
            assert not client.connack.session_present
            await client.send(
                Subscribe(
                    1, [SubscriptionRequest("a/+", 1), SubscriptionRequest("b/#", 2), SubscriptionRequest("c", 0)]
                )
            )
            assert await client.receive() == SubAck(1, [1, 2, 0])
            await client.send(Unsubscribe(2, ["c"]))
            assert await client.receive() == UnsubAck(2, [0] if version == 5 else [])
        await lives.next()
        async with connected(lives.port, keeper(version=version)) as client, connected(lives.port) as pub:
            assert client.connack.session_present == (version > 3)  # 3.1 has no word for it
            await publish(
                pub,
                Publish("a/1", b"1", 1, packet_id=1),
                Publish("c", b"lost", 1, packet_id=2),
                Publish("b/1/2", b"2", 2, packet_id=3),
            )
            assert await payloads(client, 2) == [b"1", b"2"]


@endings
async def test_subscriptions_have_their_options_again(tmp_path: Path, ending: str) -> None:
    async with Lives(tmp_path, ending) as lives:
        async with connected(lives.port, keeper()) as client:
            await client.send(
                Subscribe(
                    1,
                    [
                        SubscriptionRequest("own", 1, no_local=True),
                        SubscriptionRequest("kept", 2, retain_as_published=True),
                        SubscriptionRequest("plain", 2),
                        SubscriptionRequest("$share/group/shared", 1),
                    ],
                    Properties(subscription_identifiers=(300,)),
                )
            )
            assert await client.receive() == SubAck(1, [1, 2, 2, 1])
        await lives.next()
        async with connected(lives.port, keeper()) as client, connected(lives.port) as pub:
            await client.send(Publish("own", b"own", 1, packet_id=1))
            assert await client.receive() == PubAck(1)
            for packet_id, topic in enumerate(("own", "kept", "plain", "shared"), 1):
                await publish(pub, Publish(topic, b"x", 1, retain=topic != "shared", packet_id=packet_id))
            packets = [await client.receive() for _ in range(4)]
            said = Properties(subscription_identifiers=(300,))
            assert packets == [
                Publish("own", b"x", 1, packet_id=1, properties=said),
                Publish("kept", b"x", 1, retain=True, packet_id=2, properties=said),
                Publish("plain", b"x", 1, packet_id=3, properties=said),
                Publish("shared", b"x", 1, packet_id=4, properties=said),
            ]


@endings
@pytest.mark.parametrize("version", [4, 5])
async def test_what_was_in_flight_comes_again_under_its_packet_id(tmp_path: Path, ending: str, version: int) -> None:
    """PUBREL for what the client has taken, then the others with DUP, in order [MQTT-4.4.0-1]."""
    async with Lives(tmp_path, ending) as lives:
        async with connected(lives.port, keeper(version=version)) as client, connected(lives.port) as pub:
            await client.subscribe("a", qos=2)
            sent = [Publish("a", b"%d" % number, 1 + number % 2, packet_id=number) for number in range(1, 9)]
            await publish(pub, *sent)
            for number in range(1, 9):
                assert await client.receive() == Publish("a", b"%d" % number, 1 + number % 2, packet_id=number)
            await client.send(PubRec(5), PubRec(3), PubAck(4), PubRec(1), PubComp(1))
            assert [await client.receive() for _ in range(3)] == [PubRel(5), PubRel(3), PubRel(1)]
            await has_nothing_more(client, lives.broker)
        await lives.stored()
        await lives.next()
        async with connected(lives.port, keeper(version=version)) as client, connected(lives.port) as pub:
            assert [await client.receive() for _ in range(2)] == [PubRel(5), PubRel(3)]
            for number in (2, 6, 7, 8):
                expected = Publish("a", b"%d" % number, 1 + number % 2, dup=True, packet_id=number)
                assert await client.receive() == expected
            await client.send(PubComp(5), PubComp(3), PubAck(2), PubAck(6), PubAck(8), PubRec(7))
            assert await client.receive() == PubRel(7)
            await client.send(PubComp(7))
            await has_nothing_more(client, lives.broker)
            await publish(pub, Publish("a", b"new", 1, packet_id=1))
            packet = await client.receive()
            assert isinstance(packet, Publish)
            assert (packet.payload, packet.dup) == (b"new", False)
        await lives.stored()
        await lives.next()
        async with connected(lives.port, keeper(version=version)) as client:
            again = await client.receive()
            assert isinstance(again, Publish)
            assert (again.payload, again.dup, again.packet_id) == (b"new", True, packet.packet_id)
            await has_nothing_more(client, lives.broker)


@endings
@pytest.mark.parametrize("memory", [1, 1 << 26])
async def test_what_waited_comes_in_order(tmp_path: Path, ending: str, memory: int) -> None:
    """Whether it waited in memory or in the store alone; and what comes then stands behind it."""
    options = telex.Options(max_queue_memory=memory, max_inflight_messages=7)
    expected = [b"%d" % number for number in range(1, 801)]
    async with Lives(tmp_path, ending, options=options) as lives:
        async with connected(lives.port, keeper()) as client:
            await client.subscribe("a/#", qos=2)
        await is_away(lives.broker, "keeper")
        for first in (1, 301, 601):
            async with connected(lives.port) as pub:
                numbers = range(first, min(first + 300, 801))
                packets = [Publish("a/b", b"%d" % number, 1 + number % 2, packet_id=number) for number in numbers]
                await publish(pub, *packets)
            await lives.next()
        async with connected(lives.port, keeper()) as client:
            found = await payloads(client, 350)
        assert found == expected[:350]
        await is_away(lives.broker, "keeper")
        await lives.next()
        async with connected(lives.port, keeper()) as client, connected(lives.port) as pub:
            await publish(pub, Publish("a/b", b"last", 1, packet_id=1))
            found = await payloads(client, 1)
            first = int(found[0])
            assert first <= 351  # what was not acknowledged any more may come again
            rest = await payloads(client, 800 - first + 1)
            assert found + rest == [*expected[first - 1 :], b"last"]
            await client.send(PingReq())
            while (packet := await client.receive()) != PingResp():
                assert isinstance(packet, PubRel)


@endings
async def test_a_message_has_all_its_properties_again(tmp_path: Path, ending: str) -> None:
    said = Properties(
        payload_format_indicator=1,
        content_type="text/plain",
        response_topic="answers/ä",
        correlation_data=b"\x00\xff",
        user_properties=(("name", "value"), ("name", "another")),
    )
    async with Lives(tmp_path, ending) as lives:
        async with connected(lives.port, keeper()) as client, connected(lives.port) as pub:
            await client.subscribe("waits", qos=2)
            await client.send(PingReq())
            assert await client.receive() == PingResp()
            client.writer.close()
            await is_away(lives.broker, "keeper")
            await publish(
                pub,
                Publish("waits", b"\x00\xff", 2, packet_id=1, properties=said),
                Publish("stays/ä", b"\x00\xff", 1, retain=True, packet_id=2, properties=said),
            )
        await lives.next()
        async with connected(lives.port, keeper()) as client:
            assert await client.receive() == Publish("waits", b"\x00\xff", 2, packet_id=1, properties=said)
            await client.send(Subscribe(1, [SubscriptionRequest("stays/#", 1)]))
            assert await client.receive() == SubAck(1, [1])
            expected = Publish("stays/ä", b"\x00\xff", 1, retain=True, packet_id=2, properties=said)
            assert await client.receive() == expected


@endings
async def test_a_packet_id_that_came_in_is_known_again(tmp_path: Path, ending: str) -> None:  # [MQTT-4.3.3-10]
    """So that a QoS 2 message goes on once, however often its sender has to try."""
    async with Lives(tmp_path, ending) as lives:
        async with connected(lives.port, keeper("sub")) as sub, connected(lives.port, keeper("pub")) as pub:
            await sub.subscribe("a", qos=0)
            await pub.send(Publish("a", b"once", 2, packet_id=7), Publish("a", b"done", 2, packet_id=8))
            assert [await pub.receive() for _ in range(2)] == [PubRec(7), PubRec(8)]
            await pub.send(PubRel(8))
            assert await pub.receive() == PubComp(8)
            assert await payloads(sub, 2) == [b"once", b"done"]
        await lives.stored()
        await lives.next()
        async with connected(lives.port, keeper("sub")) as sub, connected(lives.port, keeper("pub")) as pub:
            await pub.send(Publish("a", b"once", 2, dup=True, packet_id=7), PubRel(7))
            assert [await pub.receive() for _ in range(2)] == [PubRec(7), PubComp(7)]
            await publish(pub, Publish("a", b"new", 2, packet_id=8))
            assert await payloads(sub, 1) == [b"new"]
        await lives.next()
        async with connected(lives.port, keeper("sub")) as sub, connected(lives.port, keeper("pub")) as pub:
            await publish(pub, Publish("a", b"another", 2, packet_id=7))
            assert await payloads(sub, 1) == [b"another"]


@endings
async def test_retained_messages_are_as_they_were_acknowledged_last(tmp_path: Path, ending: str) -> None:
    async with Lives(tmp_path, ending) as lives:
        async with connected(lives.port) as pub:
            for packet_id, (topic, payload) in enumerate(
                [("r/same", b"1"), ("r/new", b"1"), ("r/gone", b"1"), ("r/new", b"2"), ("r/gone", b"")], 1
            ):
                await publish(pub, Publish(topic, payload, 1 + packet_id % 2, retain=True, packet_id=packet_id))
            await pub.send(Publish("r/qos0", b"0", retain=True), PingReq())
            assert await pub.receive() == PingResp()
            await publish(pub, Publish("last", b"x", 1, packet_id=9, retain=True))  # now that is stored, too
        await lives.next()
        assert lives.broker.engine.retained.count == 4
        async with connected(lives.port) as sub:
            await sub.send(Subscribe(1, [SubscriptionRequest("r/#", 0)]))
            assert await sub.receive() == SubAck(1, [0])
            found = [await sub.receive() for _ in range(3)]
            assert sorted((each.topic, each.payload, each.retain) for each in found if isinstance(each, Publish)) == [
                ("r/new", b"2", True),
                ("r/qos0", b"0", True),
                ("r/same", b"1", True),
            ]
            await has_nothing_more(sub, lives.broker)


@endings
async def test_what_ended_stays_away(tmp_path: Path, ending: str) -> None:
    async with Lives(tmp_path, ending) as lives:
        async with connected(lives.port, keeper("a")) as client:
            await client.subscribe("a", qos=1)
        async with connected(lives.port, Connect("a")) as client:  # a clean start, and no more
            assert not client.connack.session_present
        async with connected(lives.port, keeper("b")) as client:
            await client.send(Disconnect(properties=Properties(session_expiry_interval=0)))
            assert await client.receive() is None
        async with connected(lives.port, keeper("c", version=4)) as client:
            await client.subscribe("a", qos=1)
        async with connected(lives.port, Connect("c", version=4)) as client:
            assert not client.connack.session_present
        async with connected(lives.port, keeper("last")):
            pass
        await lives.stored()
        await lives.next()
        assert list(lives.broker.engine.sessions) == ["last"]
        assert lives.broker.engine.subscriptions.count == 0


@endings
async def test_a_session_that_was_never_kept_leaves_nothing(tmp_path: Path, ending: str) -> None:
    async with Lives(tmp_path, ending) as lives:
        async with connected(lives.port, Connect("c", version=4)) as client:
            await client.subscribe("a", qos=2)
            await publish(client, Publish("b", b"x", 2, packet_id=1))
            await lives.next()
        assert lives.broker.engine.sessions == {}
        assert lives.broker.engine.subscriptions.count == 0


@endings
async def test_many_lives_add_up(tmp_path: Path, ending: str) -> None:
    async with Lives(tmp_path, ending) as lives:
        async with connected(lives.port, keeper()) as client:
            await client.subscribe("a", qos=1)
        for number in range(1, 11):
            async with connected(lives.port) as pub:
                await publish(pub, Publish("a", b"%d" % number, 1, packet_id=number))
            await lives.next()
        async with connected(lives.port, keeper()) as client:
            assert await payloads(client, 10) == [b"%d" % number for number in range(1, 11)]


# Time goes on


@endings
async def test_a_message_goes_on_getting_old(tmp_path: Path, ending: str, wall: Wall) -> None:  # [MQTT-3.3.2-6]
    def lasting(topic: str, seconds: int, packet_id: int) -> Publish:
        properties = Properties(message_expiry_interval=seconds)
        return Publish(topic, b"%d" % seconds, 1, packet_id=packet_id, retain=topic == "r", properties=properties)

    async with Lives(tmp_path, ending) as lives:
        async with connected(lives.port, keeper()) as client:
            await client.subscribe("a", qos=1)
        await is_away(lives.broker, "keeper")
        async with connected(lives.port) as pub:
            await publish(pub, lasting("a", 100, 1), lasting("a", 1_000, 2), lasting("r", 1_000, 3))
        wall.advance(400)
        await lives.next()
        async with connected(lives.port, keeper()) as client:
            waited = await client.receive()
            await client.send(Subscribe(1, [SubscriptionRequest("r", 1)]))
            assert await client.receive() == SubAck(1, [1])
            retained = await client.receive()
            for packet in (waited, retained):
                assert isinstance(packet, Publish)
                assert packet.payload == b"1000"
                assert packet.properties is not None
                assert packet.properties.message_expiry_interval in range(500, 601)
            await has_nothing_more(client, lives.broker)
        wall.advance(700)
        await lives.next()
        async with connected(lives.port) as client:
            await client.subscribe("r")
            await has_nothing_more(client, lives.broker)
        while lives.broker.engine.retained.count:
            await asyncio.sleep(0.01)
        await lives.stored()
        await lives.next()
        assert lives.broker.engine.retained.count == 0


@endings
async def test_a_session_goes_on_towards_its_end(tmp_path: Path, ending: str, wall: Wall) -> None:  # [MQTT-3.1.2-23]
    options = telex.Options(v3_session_expiry=1_000)
    async with Lives(tmp_path, ending, options=options) as lives:
        for connect in (keeper("short", expiry=100), keeper("long", expiry=2_000), keeper("v3", version=4)):
            async with connected(lives.port, connect):
                pass
            await is_away(lives.broker, connect.client_id)
        async with connected(lives.port, keeper("ever")):
            pass
        wall.advance(600)
        await lives.stored()
        await lives.next()
        assert sorted(lives.broker.engine.sessions) == ["ever", "long", "v3"]
        async with connected(lives.port, keeper("long", expiry=2_000)) as client:  # from now on again
            assert client.connack.session_present
        await is_away(lives.broker, "long")
        wall.advance(600)
        await lives.stored()
        await lives.next()
        assert sorted(lives.broker.engine.sessions) == ["ever", "long"]
        wall.advance(1_000)
        await lives.stored()
        await lives.next()
        assert sorted(lives.broker.engine.sessions) == ["ever", "long"]
        wall.advance(1_000)
        await lives.stored()
        await lives.next()
        assert sorted(lives.broker.engine.sessions) == ["ever"]
        async with connected(lives.port, keeper("long")) as client:
            assert not client.connack.session_present


@endings
async def test_a_client_that_was_there_to_the_end_has_all_its_time(tmp_path: Path, ending: str, wall: Wall) -> None:
    """Nobody was there to see it go: its time begins with the broker's."""
    async with Lives(tmp_path, ending) as lives:
        async with connected(lives.port, keeper(expiry=100)):
            await lives.stored()
            await lives.next()
            session = lives.broker.engine.sessions["keeper"]
            now = session.ends_at - 100
            wall.advance(60)
            await lives.stored()
            await lives.next()
            assert lives.broker.engine.sessions["keeper"].ends_at == pytest.approx(now + 100)
        wall.advance(60)
        await lives.stored()
        await lives.next()
        assert lives.broker.engine.sessions == {}


def will(delay: int, payload: bytes = b"gone") -> Will:
    properties = Properties(will_delay_interval=delay) if delay else None
    return Will("wills", payload, qos=1, properties=properties)


@endings
async def test_a_will_that_fell_due_meanwhile_is_published(tmp_path: Path, ending: str, wall: Wall) -> None:
    async with Lives(tmp_path, ending) as lives:
        async with connected(lives.port, keeper("sub")) as sub:
            await sub.subscribe("wills", qos=1)
        for name, delay in (("soon", 100), ("later", 1_000), ("back", 100)):
            async with connected(lives.port, keeper(name, will=will(delay, name.encode()))):
                pass
            await is_away(lives.broker, name)
        async with connected(lives.port, keeper("back")) as back:
            await back.send(Disconnect())
            assert await back.receive() is None
        wall.advance(500)
        await lives.stored()
        await lives.next()
        async with connected(lives.port, keeper("sub")) as sub:
            assert await payloads(sub, 1) == [b"soon"]
            await has_nothing_more(sub, lives.broker)
        await is_away(lives.broker, "sub")
        await lives.stored()
        await lives.next()
        wall.advance(499)
        await lives.stored()
        await lives.next()
        async with connected(lives.port, keeper("sub")) as sub:
            assert await payloads(sub, 1) == [b"later"]  # within a second or so, by itself
            await has_nothing_more(sub, lives.broker)
        wall.advance(10_000)
        await lives.stored()
        await lives.next()
        async with connected(lives.port, keeper("sub")) as sub:
            await has_nothing_more(sub, lives.broker)  # each of them once


@endings
@pytest.mark.parametrize("is_kept", [True, False])
async def test_the_will_of_a_client_that_was_there_to_the_end_is_published(
    tmp_path: Path, ending: str, is_kept: bool
) -> None:
    async with Lives(tmp_path, ending) as lives:
        async with connected(lives.port, keeper("sub")) as sub:
            await sub.subscribe("wills", qos=1)
        await is_away(lives.broker, "sub")
        connect = keeper("testator", will=will(0)) if is_kept else Connect("testator", will=will(0))
        async with connected(lives.port, connect) as testator:
            await testator.subscribe("anything", qos=1)
            await publish(testator, Publish("b", b"x", 1, packet_id=1, retain=True))  # so that all is stored
            await lives.stored()
            await lives.next()
            async with connected(lives.port, keeper("sub")) as sub:
                assert await payloads(sub, 1) == [b"gone"]
                await has_nothing_more(sub, lives.broker)
        assert ("testator" in lives.broker.engine.sessions) == is_kept
        await lives.stored()
        await lives.next()
        async with connected(lives.port, keeper("sub")) as sub:
            await has_nothing_more(sub, lives.broker)


@endings
async def test_the_will_of_a_client_that_took_leave_is_not_published(tmp_path: Path, ending: str) -> None:
    async with Lives(tmp_path, ending) as lives:
        async with connected(lives.port, keeper("sub")) as sub:
            await sub.subscribe("wills", qos=1)
        async with connected(lives.port, keeper("testator", will=will(0))) as testator:
            await testator.send(Disconnect())
            assert await testator.receive() is None
        async with connected(lives.port) as pub:
            await publish(pub, Publish("b", b"x", 1, packet_id=1, retain=True))
        await lives.stored()
        await lives.next()
        async with connected(lives.port, keeper("sub")) as sub:
            await has_nothing_more(sub, lives.broker)


# The start and the stop


async def test_a_broker_may_start_again(tmp_path: Path) -> None:
    """The same object: it knows what the store knows, and nothing twice."""
    broker = telex.Broker(port=0, data=tmp_path, sys_interval=1)
    for number in range(1, 4):
        async with broker:
            async with connected(broker.port, keeper()) as client, connected(broker.port) as pub:
                assert client.connack.session_present == (number > 1)
                if number == 1:
                    await client.subscribe("a", qos=1)
                else:
                    assert await payloads(client, 1) == [b"%d" % (number - 1)]
                await has_nothing_more(client, broker)
                client.writer.close()
                await is_away(broker, "keeper")
                await publish(pub, Publish("a", b"%d" % number, 1, packet_id=1))
            assert list(broker.engine.sessions["keeper"].subscriptions) == ["a"]
            assert broker.engine.subscriptions.count == 1


async def test_a_broker_in_memory_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    for _ in range(2):
        async with telex.Broker(port=0) as broker:
            async with connected(broker.port, keeper()) as client:
                assert not client.connack.session_present
                await client.send(Subscribe(1, [SubscriptionRequest("$SYS/broker/store/state", 0)]))
                assert await client.receive() == SubAck(1, [0])
                assert await client.receive() == Publish("$SYS/broker/store/state", b"memory", retain=True)
    assert files_in(tmp_path) == []


def files_in(directory: Path) -> list[str]:
    return [each.name for each in directory.iterdir()]


async def test_the_log_tells_what_came_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "telex")
    async with Lives(tmp_path, "stops") as lives:
        for name in ("a", "b"):
            async with connected(lives.port, keeper(name)):
                pass
        async with connected(lives.port) as pub:
            await publish(pub, Publish("r", b"x", 1, packet_id=1, retain=True))
        assert not [each for each in caplog.messages if each.startswith("restored")]
        await lives.next()
        found = [each for each in caplog.messages if each.startswith("restored")]
        assert found == [f"restored sessions=2 retained=1 store={lives.data / 'telex.db'}"]


async def test_an_empty_store_has_nothing_to_tell(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What the broker says of itself is not kept."""
    caplog.set_level(logging.INFO, "telex")
    async with Lives(tmp_path, "stops", sys_interval=1) as lives:
        async with connected(lives.port) as sub:
            await sub.subscribe("$SYS/broker/uptime")
            for _ in range(2):  # $SYS was told once more
                packet = await sub.receive()
                assert isinstance(packet, Publish)
        await lives.next()
        assert not [each for each in caplog.messages if each.startswith("restored")]


async def test_a_port_in_use_leaves_the_store_to_others(tmp_path: Path) -> None:
    async with telex.Broker(port=0) as there:
        broker = telex.Broker(port=there.port, data=tmp_path)
        for _ in range(2):
            with pytest.raises(OSError, match="another program listens there"):
                await broker.start()
        async with telex.Broker(port=0, data=tmp_path):
            pass


async def test_a_store_that_is_refused_leaves_the_port_to_others(tmp_path: Path) -> None:
    async with telex.Broker(port=0, data=tmp_path) as there:
        port = there.port
        second = telex.Broker(port=0, data=tmp_path)
        with pytest.raises(StoreError, match="another broker uses"):
            await second.start()
        await second.stop()
    second = telex.Broker(port=port, data=tmp_path)
    async with second:
        assert second.port == port


@pytest.mark.parametrize("durability", ["strict", "relaxed"])
async def test_a_stop_acknowledges_what_came_and_loses_nothing(tmp_path: Path, durability: str) -> None:
    """What the broker has read it has stored and acknowledged by the time that it is gone."""
    broker = telex.Broker(port=0, data=tmp_path, durability=durability, sys_interval=0)
    await broker.start()
    options = {"max_queued_messages": 100_000}
    async with connected(broker.port, keeper()) as client:
        await client.subscribe("a", qos=2)
    await is_away(broker, "keeper")
    async with connected(broker.port, Connect("pub", version=4)) as pub:
        packets = [Publish("a", b"%d" % number, 1, packet_id=number) for number in range(1, 901)]
        await pub.send(*packets)
        while not broker.engine.stats.publish_received:
            await asyncio.sleep(0)
        engine = broker.engine
        await broker.stop()
        acknowledged = []
        while (packet := await pub.receive()) is not None:
            assert isinstance(packet, PubAck)
            acknowledged.append(packet.packet_id)
    assert acknowledged == list(range(1, engine.stats.publish_received + 1))
    async with telex.Broker(port=0, data=tmp_path, options=telex.Options(**options)) as again:
        async with connected(again.port, keeper()) as client:
            found = await payloads(client, len(acknowledged))
            assert found == [b"%d" % number for number in acknowledged]
            await has_nothing_more(client, again)


async def test_a_stop_under_load_ends(tmp_path: Path) -> None:
    """However much keeps coming: what has come by then is what is waited for."""
    broker = telex.Broker(port=0, data=tmp_path, sys_interval=0)
    await broker.start()

    async def floods(name: str) -> list[int]:
        """Publishes as fast as it can, and reads what is acknowledged, until the broker goes."""
        acknowledged = []
        async with connected(broker.port, Connect(name, version=4)) as client:
            reading = asyncio.create_task(reads(client, acknowledged))
            packets = [Publish(f"{name}/{number % 9}", b"x", 1, True, packet_id=number) for number in range(1, 101)]
            try:
                while not reading.done():
                    await client.send(*packets)
                    await asyncio.sleep(0)
            except ConnectionError:
                pass
            await reading
        return acknowledged

    async def reads(client: RawClient, acknowledged: list[int]) -> None:
        try:
            while (packet := await client.receive()) is not None:
                assert isinstance(packet, PubAck)
                acknowledged.append(packet.packet_id)
        except ConnectionError:
            pass

    flood = [asyncio.create_task(floods(f"f{number}")) for number in range(8)]
    while broker.engine.stats.publish_received < 5_000:
        await asyncio.sleep(0)
    await broker.stop()
    assert all(await asyncio.gather(*flood))


async def test_wills_of_those_who_are_sent_away_at_the_stop_are_kept(tmp_path: Path) -> None:
    """They are queued while the store is busy with what came before, and there is no turn after that."""
    async with Lives(tmp_path, "stops") as lives:
        async with connected(lives.port, keeper("sub")) as sub:
            await sub.subscribe("wills", qos=1)
        await is_away(lives.broker, "sub")
        names = [f"testator-{number}" for number in range(50)]
        sockets = [connected(lives.port, Connect(name, will=will(0, name.encode()))) for name in names]
        clients = [await each.__aenter__() for each in sockets]
        await lives.next()
        for each in sockets:
            await each.__aexit__(None, None, None)
        assert len(clients) == 50
        async with connected(lives.port, keeper("sub")) as sub:
            assert sorted(await payloads(sub, 50)) == sorted(name.encode() for name in names)
            await has_nothing_more(sub, lives.broker)


# Acknowledged means on disk


async def test_what_is_acknowledged_is_in_the_files(tmp_path: Path) -> None:
    """In whatever moment they are looked at: never an acknowledgement before that."""
    looks: list[int] = []
    broker = telex.Broker(port=0, data=tmp_path / "data", sys_interval=0)
    async with broker:
        async with connected(broker.port, keeper()) as client:
            await client.subscribe("a", qos=2)
        await is_away(broker, "keeper")
        async with connected(broker.port) as pub:
            for number in range(1, 31):
                await pub.send(Publish("a", b"%d" % number, 1 + number % 2, packet_id=number))
                assert isinstance(await pub.receive(), PubAck | PubRec)
                look = tmp_path / f"look-{number}"
                shutil.copytree(tmp_path / "data", look)
                async with telex.Broker(port=0, data=look, sys_interval=0) as copy:
                    looks.append(copy.engine.sessions["keeper"].message_count)
    assert looks == list(range(1, 31))


async def test_relaxed_acknowledges_at_once_and_stores_soon(tmp_path: Path) -> None:
    lives = Lives(tmp_path, "crashes", durability="relaxed")
    async with lives:
        async with connected(lives.port, keeper()) as client:
            await client.subscribe("a", qos=1)
        await is_away(lives.broker, "keeper")
        journal = lives.broker.engine.journal
        async with connected(lives.port) as pub:
            await publish(pub, *(Publish("a", b"%d" % number, 1, packet_id=number) for number in range(1, 11)))
        assert journal.committed == journal.appended
        while (tmp_path / "life-0" / "telex.db-wal").stat().st_size == 0:
            await asyncio.sleep(0.01)
        await when_stored(lives.broker)
        await lives.next()
        async with connected(lives.port, keeper()) as client:
            assert await payloads(client, 10) == [b"%d" % number for number in range(1, 11)]


async def when_stored(broker: telex.Broker) -> None:
    """Until the journal has written what it has, by itself."""
    told = asyncio.Event()
    journal = broker.engine.journal
    former: Callable[[], None] = journal._on_committed

    def on_committed() -> None:
        told.set()
        former()

    journal._on_committed = on_committed
    await told.wait()


async def test_a_session_is_present_only_if_it_is_stored(tmp_path: Path) -> None:
    """The CONNACK of a kept session is a promise as well."""
    async with Lives(tmp_path, "crashes") as lives:
        for number in range(20):
            async with connected(lives.port, keeper(f"c{number}", version=4 + number % 2)):
                pass
            await lives.next()
            assert len(lives.broker.engine.sessions) == number + 1


async def test_the_store_is_told_to_be_well(tmp_path: Path) -> None:
    async with telex.Broker(port=0, data=tmp_path) as broker, connected(broker.port) as client:
        await client.subscribe("$SYS/broker/store/state")
        assert await client.receive() == Publish("$SYS/broker/store/state", b"ok", retain=True)


async def test_who_may_not_come_in_leaves_nothing(tmp_path: Path) -> None:
    async with Lives(tmp_path, "stops", options=telex.Options(max_sessions=1)) as lives:
        async with connected(lives.port, keeper("first")):
            async with open_socket(lives.port) as client:
                await client.send(keeper("second"))
                assert await client.receive() == ConnAck(ReasonCode.QUOTA_EXCEEDED)
        await lives.next()
        assert list(lives.broker.engine.sessions) == ["first"]


FORGETFUL = """
import asyncio, sys, telex
async def main():
    broker = telex.Broker(port=0, data=sys.argv[1])
    await broker.start()
    raise SystemExit(7)
asyncio.run(main())
"""


def test_a_program_that_forgets_to_stop_its_broker_ends(tmp_path: Path) -> None:
    done = run(sys.executable, "-c", FORGETFUL, str(tmp_path))
    assert (done.returncode, done.stderr) == (7, "")
