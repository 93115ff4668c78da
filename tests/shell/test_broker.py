"""The broker over real sockets: what only the shell can get wrong."""

import asyncio
import errno
import socket

import pytest

import telex
from telex.codes import ReasonCode
from telex.engine.message import Message
from telex.engine.permissions import Permissions
from telex.engine.records import Record
from telex.engine.seams import Client, Gate, Journal
from telex.engine.visit import Visit
from telex.wire.encode import encode
from telex.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    SubscriptionRequest,
)
from telex.wire.properties import Properties
from tests.shell.raw import connected, open_socket


async def test_a_message_goes_from_one_client_to_another() -> None:
    async with telex.Broker(port=0) as broker, connected(broker.port) as sub, connected(broker.port) as pub:
        await sub.subscribe("a/#", qos=1)
        await pub.send(Publish("a/b", b"x", qos=1, packet_id=1))
        assert await pub.receive() == PubAck(1)
        assert await sub.receive() == Publish("a/b", b"x", qos=1, packet_id=1)


async def test_packets_may_come_byte_by_byte() -> None:  # M3
    async with telex.Broker(port=0) as broker, open_socket(broker.port) as client:
        whole = encode(Connect(), 5) + encode(Subscribe(7, [SubscriptionRequest("a", 0)]), 5) + encode(PingReq(), 5)
        for index in range(len(whole)):
            client.writer.write(whole[index : index + 1])
            await client.writer.drain()
            await asyncio.sleep(0)  # lets the broker read in between
        assert isinstance(await client.receive(), ConnAck)
        assert await client.receive() == SubAck(7, [0])
        assert await client.receive() == PingResp()


async def test_a_payload_may_be_large() -> None:  # M3
    payload = bytes(range(256)) * 4_000
    async with telex.Broker(port=0) as broker, connected(broker.port) as client:
        await client.subscribe("big")
        await client.send(Publish("big", payload))
        message = await client.receive()
        assert isinstance(message, Publish)
        assert message.payload == payload


async def test_when_the_broker_stops_each_client_is_told() -> None:
    broker = telex.Broker(port=0)
    await broker.start()
    async with connected(broker.port) as newer, connected(broker.port, Connect("older", version=4)) as older:
        await broker.stop()
        assert await newer.receive() == Disconnect(ReasonCode.SERVER_SHUTTING_DOWN)
        assert await newer.receive() is None
        assert await older.receive() is None


async def test_messages_that_wait_leave_before_the_broker_stops() -> None:
    broker = telex.Broker(port=0)
    await broker.start()
    async with connected(broker.port) as client:
        await client.subscribe("last")
        broker.engine.publish(Message("last", b"words"), None, 0.0)
        await broker.stop()
        assert await client.receive() == Publish("last", b"words")


async def test_a_client_that_does_not_read_cannot_hold_up_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telex.server.broker._STOP_SECONDS", 0.1)
    broker = telex.Broker(port=0)
    await broker.start()
    frozen = socket.create_connection(("127.0.0.1", broker.port))
    frozen.sendall(encode(Connect("frozen", version=4), 4))
    frozen.sendall(encode(Subscribe(1, [SubscriptionRequest("flood", 0)]), 4))
    while "flood" not in [each for s in broker.engine.sessions.values() for each in s.subscriptions]:
        await asyncio.sleep(0)
    for _ in range(40):  # more than any socket buffer takes
        broker.engine.publish(Message("flood", bytes(400_000)), None, 0.0)
        broker.flush()
    await broker.stop()
    assert broker.engine.stats.clients_connected == 0
    frozen.close()


async def test_the_port_is_free_after_the_stop() -> None:
    async with telex.Broker(port=0) as broker, connected(broker.port):
        port = broker.port
    for _ in range(20):
        async with telex.Broker(port=port) as broker, connected(broker.port):
            assert broker.port == port


async def test_a_port_in_use_is_refused() -> None:
    async with telex.Broker(port=0) as broker:
        with pytest.raises(OSError, match=str(errno.EADDRINUSE)):
            await telex.Broker(port=broker.port).start()


async def test_an_older_connection_with_the_same_id_is_told_and_closed() -> None:  # [MQTT-3.1.4-3]
    async with telex.Broker(port=0) as broker, connected(broker.port, Connect("me")) as old:
        async with connected(broker.port, Connect("me")) as new:
            assert await old.receive() == Disconnect(ReasonCode.SESSION_TAKEN_OVER)
            assert await old.receive() is None
            await new.send(PingReq())
            assert await new.receive() == PingResp()


async def test_garbage_costs_only_its_own_connection() -> None:
    async with telex.Broker(port=0) as broker, connected(broker.port) as good:
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\x00", b"\xff" * 1_000, b"\x10\xff\xff\xff\x7f"):
            async with open_socket(broker.port) as bad:
                bad.writer.write(garbage)
                assert await bad.reader.read() == b""
        await good.send(PingReq())
        assert await good.receive() == PingResp()


class CountingStream:
    """Counts what the broker writes to it."""

    def __init__(self) -> None:
        self.address = "nowhere"
        self.host = self.identity = self.via_tls = ""
        self.is_writable = True
        self.writes: list[bytes] = []
        self.is_closed = False
        self.is_reading = True

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True


async def turn_of_the_loop() -> None:
    """Until all that is to be done soon is done."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_all_answers_of_a_turn_leave_in_one_write() -> None:
    async with telex.Broker(port=0) as broker:
        stream = CountingStream()
        handler = broker.opened(stream)
        handler.received(encode(Connect("c", version=4), 4))
        handler.received(encode(Subscribe(1, [SubscriptionRequest("a", 0)]), 4))
        for _ in range(100):
            handler.received(encode(Publish("a", b"x"), 4))
        assert stream.writes == []
        await turn_of_the_loop()
        assert len(stream.writes) == 1
        assert stream.writes[0].endswith(encode(Publish("a", b"x"), 4) * 100)
        handler.lost("the test is over")


async def test_what_a_slow_client_does_not_read_waits_and_then_leaves() -> None:
    async with telex.Broker(port=0) as broker:
        stream = CountingStream()
        handler = broker.opened(stream)
        handler.received(encode(Connect("c", version=4), 4))
        handler.received(encode(Subscribe(1, [SubscriptionRequest("a", 0)]), 4))
        await turn_of_the_loop()
        stream.writes.clear()
        stream.is_writable = False
        for number in range(3):
            broker.engine.publish(Message("a", b"%d" % number), None, 0.0)
            broker.flush()
        assert stream.writes == []
        stream.is_writable = True
        handler.writable()
        assert stream.writes == [b"".join(encode(Publish("a", b"%d" % number), 4) for number in range(3))]
        handler.lost("the test is over")


class SlowJournal(Journal):
    """A journal that commits when the test says so."""

    def append(self, record: Record) -> None:
        self.appended += 1


async def test_an_acknowledgement_leaves_when_what_it_promises_is_committed() -> None:
    journal = SlowJournal()
    async with telex.Broker(port=0, journal=journal, sys_interval=0) as broker:
        stream = CountingStream()
        handler = broker.opened(stream)
        handler.received(encode(Connect("kept", clean_start=False, version=4), 4))
        await turn_of_the_loop()
        assert stream.writes == []
        journal.committed = journal.appended
        broker.on_committed()
        await turn_of_the_loop()
        assert stream.writes == [encode(ConnAck(), 4)]
        handler.received(encode(Publish("kept", b"x", qos=1, packet_id=1, retain=True), 4))
        await turn_of_the_loop()
        assert len(stream.writes) == 1
        journal.committed = journal.appended
        broker.on_committed()
        await turn_of_the_loop()
        assert stream.writes[1:] == [encode(PubAck(1), 4)]
        handler.lost("the test is over")


class SlowGate(Gate):
    """A gate that answers when the test says so."""

    def login(self, client: Client, packet: Connect, visit: Visit, now: float) -> None:
        self.client = client
        self.now = now


async def test_what_a_client_sends_before_it_is_admitted_waits() -> None:  # [MQTT-3.1.4-6]
    gate = SlowGate()
    async with telex.Broker(port=0, gate=gate) as broker:
        stream = CountingStream()
        handler = broker.opened(stream)
        handler.received(encode(Connect("c"), 5) + encode(PingReq(), 5))
        await turn_of_the_loop()
        assert stream.writes == []
        assert not stream.is_reading
        gate.client.admit(Permissions(), gate.now)
        await turn_of_the_loop()
        assert stream.is_reading
        assert stream.writes[0].endswith(encode(PingResp(), 5))
        handler.lost("the test is over")


async def test_a_client_that_is_refused_is_told_and_closed() -> None:  # [MQTT-3.2.2-7]
    gate = SlowGate()
    async with telex.Broker(port=0, gate=gate) as broker:
        stream = CountingStream()
        handler = broker.opened(stream)
        handler.received(encode(Connect("c"), 5))
        gate.client.refuse(ReasonCode.BAD_USER_NAME_OR_PASSWORD, "wrong password", gate.now)
        await turn_of_the_loop()
        told = Properties(reason_string="bad user name or password")
        assert stream.writes == [encode(ConnAck(ReasonCode.BAD_USER_NAME_OR_PASSWORD, properties=told), 5)]
        assert stream.is_closed
        handler.lost("the test is over")


async def test_a_slow_reader_does_not_hold_up_the_others() -> None:
    options = telex.Options(max_outbox_bytes=100_000)
    async with telex.Broker(port=0, options=options) as broker:
        frozen = socket.create_connection(("127.0.0.1", broker.port))
        frozen.sendall(encode(Connect("frozen", version=4), 4))
        frozen.sendall(encode(Subscribe(1, [SubscriptionRequest("flood", 0)]), 4))
        async with connected(broker.port) as good, connected(broker.port) as pub:
            await good.subscribe("flood")
            while broker.engine.subscriptions.count < 2:
                await asyncio.sleep(0)
            payload = bytes(50_000)
            for number in range(300):
                await pub.send(Publish("flood", payload + b"%d" % number))
                message = await good.receive()
                assert isinstance(message, Publish)
                assert message.payload.endswith(b"%d" % number)
            session = broker.engine.sessions["frozen"]
            assert session.outbox is not None
            assert session.outbox.size <= 100_000 + 50_100
            assert broker.engine.stats.publish_dropped > 0
        frozen.close()


async def test_the_limits_of_connack_are_those_of_the_options() -> None:
    options = telex.Options(receive_maximum=5, maximum_packet_size=1_000, topic_alias_maximum=3)
    async with telex.Broker(port=0, options=options) as broker, open_socket(broker.port) as client:
        await client.send(Connect("c"))
        assert await client.receive() == ConnAck(
            properties=Properties(receive_maximum=5, maximum_packet_size=1_000, topic_alias_maximum=3)
        )


class BrokenStream(CountingStream):
    """Fails when the broker writes to it."""

    def write(self, data: bytes) -> None:
        raise RuntimeError("no more")


async def test_a_fault_of_one_connection_costs_no_other_its_bytes() -> None:
    async with telex.Broker(port=0) as broker:
        broken, good = BrokenStream(), CountingStream()
        handlers = [broker.opened(broken), broker.opened(good)]
        for handler in handlers:
            handler.received(encode(Connect("", version=4), 4))
        await turn_of_the_loop()
        assert good.writes == [encode(ConnAck(), 4)]
        assert broken.is_closed
        for handler in handlers:
            handler.lost("the test is over")


async def test_who_comes_while_the_broker_stops_is_sent_away() -> None:
    broker = telex.Broker(port=0)
    await broker.start()
    await broker.stop()
    late = CountingStream()
    handler = broker.opened(late)
    assert late.is_closed
    handler.lost("the test is over")


async def test_what_leaves_does_not_wait_for_all_that_comes_in_a_turn() -> None:
    async with telex.Broker(port=0) as broker, connected(broker.port) as sub:
        await sub.subscribe("a")
        broker.turns.watch(broker.now(), 0, 0)
        turns = broker.turns.durations.cumulative()[-1]
        broker.engine.publish(Message("a", b"x", 0, retain=False), None, broker.now())
        (outbox,) = broker.engine.ready
        broker.taken(100_000)
        assert outbox.frames
        broker.taken(31_072)  # no other turn has come: uvloop reads on and on
        assert not outbox.frames
        assert broker.turns.durations.cumulative()[-1] == turns + 1
        assert await sub.receive() == Publish("a", b"x")
        broker.engine.publish(Message("a", b"y", 0, retain=False), None, broker.now())
        broker.taken(131_072)  # a turn that begins with much is measured like others
        assert not outbox.frames
        assert broker.turns.durations.cumulative()[-1] == turns + 2
