"""SyncClient: the client for threads, against Telex, and against a server that the test plays by hand."""

import inspect
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from telex.client.aio import Client, Connected, Lost
from telex.client.message import Message
from telex.client.payloads import PayloadError
from telex.client.reconnect import Reconnect
from telex.client.subscription import Subscription
from telex.client.sync import SyncClient, SyncSubscription
from telex.codes import ReasonCode
from telex.errors import NotConnected, Refused, Timeout
from telex.wire.decode import Decoder
from telex.wire.encode import encode
from telex.wire.packets import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
)
from telex.wire.properties import Properties
from tests.processes import SECONDS, Server, free_port, lines_until, run, running, telex

SOON = Reconnect(0.01, 0.02)
SOURCE = str(Path(__file__).parents[2] / "src")


class Hand:
    """A server's hand on one connection, in a thread of the test."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._decoder = Decoder(version=5)

    def gets(self) -> Packet | None:
        """The next packet but PINGREQ; None when the client has closed the connection."""
        while True:
            packet = self._decoder.next_packet()
            if packet is None:
                data = self._socket.recv(65_536)
                if not data:
                    return None
                self._decoder.receive(data)
            elif not isinstance(packet, PingReq):
                return packet

    def sends(self, *packets: Packet) -> None:
        self._socket.sendall(b"".join(encode(packet, 5) for packet in packets))

    def lets_in(self, connack: ConnAck | None = None) -> None:
        assert isinstance(self.gets(), Connect)
        self.sends(connack or ConnAck())

    def grants(self) -> None:
        """Grant the subscription that comes now."""
        packet = self.gets()
        assert isinstance(packet, Subscribe)
        self.sends(SubAck(packet.packet_id, [2]))

    def lets_go(self) -> None:
        """The client unsubscribes and takes leave."""
        packet = self.gets()
        assert isinstance(packet, Unsubscribe)
        self.sends(UnsubAck(packet.packet_id, [0]))
        assert isinstance(self.gets(), Disconnect)


@contextmanager
def playing(*scripts: Callable[[Hand], None]) -> Iterator[str]:
    """A server that follows a script on each connection, one after the other. Gives its address."""
    errors: list[BaseException] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(SECONDS)

        def serve() -> None:
            try:
                for script in scripts:
                    connection, _ = listener.accept()
                    connection.settimeout(SECONDS)
                    with connection:
                        script(Hand(connection))
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"mqtt://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            thread.join(SECONDS)
    assert errors == []
    assert not thread.is_alive()


def address(broker: Server) -> str:
    return f"mqtt://127.0.0.1:{broker.port}"


def in_threads(*functions: Callable[[], None]) -> None:
    """Run these at once; what one raises fails the test."""
    errors: list[BaseException] = []

    def guarded(function: Callable[[], None]) -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS * 2)
    assert errors == []
    assert not any(thread.is_alive() for thread in threads)


def client_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "telex client"]


# The face


@pytest.mark.parametrize(("ours", "theirs"), [(SyncClient, Client), (SyncSubscription, Subscription)])
def test_it_has_all_that_the_other_one_has(ours: type, theirs: type) -> None:
    internal = {"join", "leave", "emptied", "fail", "read_on", "subscriptions"}  # of Client
    internal |= {"happened", "must_hold", "has_room", "ended", "awaits_answers"}  # and for its link
    internal |= {
        "limit",
        "manual_ack",
        "everything",
        "properties",
        "requests",
        "when_full",
        "codecs",
    }  # of Subscription
    internal |= {"is_full", "put", "put_full", "end", "keep", "may_hold_up"}
    missing = [name for name in dir(theirs) if not name.startswith("_") and not hasattr(ours, name)]
    assert [name for name in missing if name not in internal] == []


@pytest.mark.parametrize(
    "name",
    [
        "__init__",
        "publish",
        "publish_many",
        "flush",
        "subscribe",
        "unsubscribe",
        "request",
        "on",
        "responds",
        "close",
        "on_connected",
        "on_lost",
        "wait_connected",
        "wait_closed",
        "reauthenticate",
        "run",
    ],
)
def test_its_methods_take_what_those_of_the_other_one_take_and_a_timeout(name: str) -> None:
    def described(function: object) -> list[tuple[str, object, object]]:
        parameters = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
        return [(each.name, each.kind, each.default) for each in parameters if each.name != "timeout"]

    assert described(getattr(SyncClient, name)) == described(getattr(Client, name))


def test_a_message_goes_out_and_comes_back_at_each_qos(broker: Server) -> None:
    with SyncClient(address(broker), client_id="ann") as client:
        assert (client.is_connected, client.client_id, client.version) == (True, "ann", "5")
        with client.subscribe("room/+", "house/#", qos=2) as messages:
            assert messages.reason_codes == [2, 2]
            for qos in (0, 1, 2):
                assert client.publish("room/1", 20.5, qos=qos) == ReasonCode.SUCCESS
                message = messages.next(timeout=SECONDS)
                assert (message.topic, message.decode(float), message.qos) == ("room/1", 20.5, qos)
            client.publish("house/door", {"open": True}, retain=False, user_properties={"by": "ann"})
            message = next(messages)
            assert (message.json(), message.content_type) == ({"open": True}, "application/json")
            assert message.user_properties == (("by", "ann"),)
    assert client_threads() == []


def test_what_a_thread_publishes_keeps_its_order_whatever_its_qos_and_size(broker: Server) -> None:
    with SyncClient(address(broker)) as client, client.subscribe("a", qos=1) as messages:
        sent: list[bytes] = []

        def publish(payload: bytes, qos: int) -> None:
            client.publish("a", payload, qos=qos)
            sent.append(payload)

        for number in range(20):
            for part in range(100):
                publish(b"%d.%d" % (number, part), 0)
            publish(b"%d" % number + bytes(100_000), 0)
            publish(b"%d.last" % number, 1)
        assert client.publish_many([("a", b"x"), ("a", b"y")]) == 2
        got = [messages.next(timeout=SECONDS).payload for _ in range(len(sent) + 2)]
        assert got == [*sent, b"x", b"y"]


def test_many_threads_publish_at_once_and_each_keeps_its_order(broker: Server) -> None:
    with SyncClient(address(broker)) as client, client.subscribe("t/+", qos=2, queue=100_000) as messages:

        def publish(name: int) -> None:
            for number in range(300):
                client.publish(f"t/{name}", number, qos=(name % 3))

        in_threads(*[lambda name=name: publish(name) for name in range(9)])
        got: dict[str, list[int]] = {}
        for _ in range(9 * 300):
            message = messages.next(timeout=SECONDS)
            got.setdefault(message.topic, []).append(message.decode(int))
        assert got == {f"t/{name}": list(range(300)) for name in range(9)}


def test_several_threads_share_a_subscription_and_each_message_goes_to_one(broker: Server) -> None:
    with SyncClient(address(broker)) as client, client.subscribe("a", qos=1) as messages:
        got: list[int] = []

        def consume() -> None:
            while (value := messages.next(timeout=SECONDS).decode(int)) >= 0:
                got.append(value)

        def publish() -> None:
            client.publish_many((("a", number) for number in range(2_000)), qos=1)
            client.publish_many([("a", -1)] * 4, qos=1)

        in_threads(publish, consume, consume, consume, consume)
        assert sorted(got) == list(range(2_000))


def test_one_thread_that_is_busy_keeps_no_message_from_the_others(broker: Server) -> None:
    with SyncClient(address(broker)) as client, client.subscribe("a", qos=1) as messages:
        client.publish_many([("a", number) for number in range(10)], qos=1)
        assert messages.next(timeout=SECONDS).text == "0"  # the others came along with it
        rest: list[str] = []
        in_threads(*[lambda: rest.append(messages.next(timeout=SECONDS).text) for _ in range(9)])
        assert sorted(rest) == [str(number) for number in range(1, 10)]


def test_all_that_waits_can_be_taken_at_once(broker: Server) -> None:
    with SyncClient(address(broker)) as client, client.subscribe("a", qos=1) as messages:
        assert messages.take() == []
        client.publish_many([("a", number) for number in range(10)], qos=1)
        assert messages.next(timeout=SECONDS).text == "0"
        got: list[Message] = []
        while len(got) < 9:
            got += messages.take()
        assert [message.text for message in got] == [str(number) for number in range(1, 10)]
        assert messages.waiting == 0


# Time


def test_every_wait_has_an_end_when_it_is_given_one() -> None:
    def script(hand: Hand) -> None:
        hand.lets_in()
        hand.grants()
        while isinstance(packet := hand.gets(), Publish | Subscribe | Unsubscribe):  # and says nothing
            if isinstance(packet, Unsubscribe):
                hand.sends(UnsubAck(packet.packet_id, [0]))

    with playing(script) as where, SyncClient(where) as client, client.subscribe("a") as messages:
        with pytest.raises(Timeout, match=r"topic 'a': not done within 0.05 s"):
            client.publish("a", qos=1, timeout=0.05)
        with pytest.raises(Timeout, match=r"publish_many\(\): not done within 0.05 s"):
            client.publish_many([("a", b"")], qos=1, timeout=0.05)
        with pytest.raises(Timeout, match=r"flush\(\): not done within 0.05 s"):
            client.flush(timeout=0.05)
        with pytest.raises(Timeout, match=r"no message for 'a' within 0.05 s"):
            messages.next(timeout=0.05)
        with pytest.raises(Timeout, match=r"no message for 'a' within 0 s"):
            messages.next(timeout=0)
        with pytest.raises(Timeout, match=r"no answer to the request on 'a' within 0.05 s"):
            client.request("a", timeout=0.05)
        with pytest.raises(Timeout, match=r"Subscription\('b', waiting=0, dropped=0\): not done within 0.05 s"):
            client.subscribe("b", timeout=0.05).__enter__()
        with pytest.raises(Timeout, match=r"the client's end: not done within 0.05 s"):
            client.wait_closed(timeout=0.05)


def test_a_message_that_comes_after_a_time_out_is_not_lost(broker: Server) -> None:
    with SyncClient(address(broker)) as client, client.subscribe("a", qos=1) as messages:
        for number in range(5):
            with pytest.raises(Timeout):
                messages.next(timeout=0.001)
            client.publish("a", number, qos=1)
            assert messages.next(timeout=SECONDS).decode(int) == number


def test_without_a_connection_a_publication_waits_and_a_time_limit_gives_it_up() -> None:
    is_tried = threading.Event()

    def break_off(hand: Hand) -> None:
        hand.lets_in()

    def come_back(hand: Hand) -> None:
        assert is_tried.wait(SECONDS)
        hand.lets_in()
        assert hand.gets() == Publish("a", b"late", 1, packet_id=1)
        hand.sends(PubAck(1))
        assert isinstance(hand.gets(), Disconnect)

    with playing(break_off, come_back) as where, SyncClient(where, reconnect=SOON) as client:
        while client.is_connected:
            time.sleep(0.001)
        with pytest.raises(Timeout):
            client.publish("a", b"given up", timeout=0.01)
        with pytest.raises(Timeout):
            client.publish("a", b"given up", qos=1, timeout=0.01)
        with pytest.raises(Timeout):
            client.wait_connected(timeout=0.01)
        is_tried.set()
        assert client.publish("a", b"late", qos=1, timeout=SECONDS) == 0
        client.wait_connected(timeout=SECONDS)


def test_what_is_there_is_given_out_by_who_does_not_want_to_wait(broker: Server) -> None:
    with SyncClient(address(broker)) as client, client.subscribe("a") as messages:
        client.publish_many([("a", number) for number in range(3)])
        while messages.waiting < 3:
            time.sleep(0.001)
        assert [messages.next(timeout=0).decode(int) for _ in range(3)] == [0, 1, 2]


# Back-pressure


def test_a_broker_that_does_not_read_holds_up_who_publishes_and_memory_stays_flat() -> None:
    is_over = threading.Event()

    def script(hand: Hand) -> None:
        hand.lets_in()
        assert is_over.wait(SECONDS)  # nothing is read

    with playing(script) as where:
        client = SyncClient(where, reconnect=None).__enter__()
        sizes: list[int] = []

        def publish() -> None:
            while sum(sizes) < 64 * 1024 * 1024:  # more than the buffers of both sockets, and 2 MB of ours
                client.publish("a", bytes(10_000), timeout=0.2)
                sizes.append(10_000)

        with pytest.raises(Timeout, match=r"topic 'a': no room for the message within 0.2 s"):
            publish()
        is_over.set()
        client.wait_closed(timeout=SECONDS)
        client.close()


def test_messages_that_nobody_takes_wait_at_the_broker(broker: Server) -> None:
    with SyncClient(address(broker), receive_maximum=20) as client, client.subscribe("a", qos=1, queue=10) as messages:
        assert client.publish_many((("a", number) for number in range(500)), qos=1) == 500
        assert messages.next(timeout=SECONDS).text == "0"
        assert messages.waiting < 50
        assert [messages.next(timeout=SECONDS).decode(int) for _ in range(499)] == list(range(1, 500))
        assert messages.dropped == 0


@pytest.mark.parametrize("when_full", ["drop_oldest", "drop_newest"])
def test_a_full_queue_drops_what_it_says(broker: Server, when_full: str) -> None:
    with SyncClient(address(broker)) as client, client.subscribe("end") as end:
        with client.subscribe("a", queue=16, when_full=when_full) as messages:  # type: ignore[arg-type]
            client.publish("a", b"first")
            assert messages.next(timeout=SECONDS).text == "first"
            client.publish_many([("a", number) for number in range(100)])
            client.publish("end")
            end.next(timeout=SECONDS)
            got = [message.decode(int) for message in messages.take()]
            assert messages.dropped == 84
            assert got == list(range(84, 100) if when_full == "drop_oldest" else range(16))


def test_a_message_is_acknowledged_by_the_thread_that_says_so() -> None:
    is_unacknowledged, is_acknowledged = threading.Event(), threading.Event()

    def script(hand: Hand) -> None:
        hand.lets_in()
        hand.grants()
        hand.sends(Publish("a", b"1", 1, packet_id=1), Publish("a", b"2", 1, packet_id=2))
        assert hand.gets() == Publish("b", b"not yet")
        is_unacknowledged.set()
        assert hand.gets() == PubAck(1)
        assert hand.gets() == PubAck(2)
        is_acknowledged.set()
        hand.lets_go()

    with playing(script) as where, SyncClient(where) as client:
        with client.subscribe("a", qos=1, manual_ack=True) as messages:
            first, second = messages.next(timeout=SECONDS), messages.next(timeout=SECONDS)
            second.ack()
            client.publish("b", b"not yet")
            assert is_unacknowledged.wait(SECONDS)
            first.ack()
            first.ack()
            assert is_acknowledged.wait(SECONDS)


def test_whoever_wants_to_know_waits_until_the_broker_has_all() -> None:
    may_answer = threading.Event()

    def script(hand: Hand) -> None:
        hand.lets_in()
        assert hand.gets() == Publish("a", b"0")
        assert isinstance(hand.gets(), Publish)
        assert may_answer.wait(SECONDS)
        hand.sends(PubAck(1))
        assert isinstance(hand.gets(), Disconnect)

    with playing(script) as where, SyncClient(where) as client:
        client.publish("a", b"0")
        with pytest.raises(Timeout):
            client.publish("a", b"1", qos=1, timeout=0.05)  # nobody waits for it any more, and it is on its way
        with pytest.raises(Timeout):
            client.flush(timeout=0.05)
        may_answer.set()
        client.flush(timeout=SECONDS)


# publish_many


def test_a_stream_is_read_by_the_thread_that_publishes_it(broker: Server) -> None:
    with SyncClient(address(broker)) as client, client.subscribe("a/#", qos=1, queue=100_000) as messages:
        names: set[str] = set()

        def stream() -> Iterator[tuple[str, object]]:
            for number in range(3_000):
                names.add(threading.current_thread().name)
                if number == 1_000:
                    client.publish("a/within", b"", qos=1)  # it may use the client itself
                yield f"a/{number % 3}", number

        assert client.publish_many(stream(), qos=1, user_properties={"by": "ann"}) == 3_000
        got = [messages.next(timeout=SECONDS) for _ in range(3_001)]
        assert names == {threading.current_thread().name}
        assert [message.decode(int) for message in got if message.topic != "a/within"] == list(range(3_000))
        assert {message.user_properties for message in got} == {(), (("by", "ann"),)}


@pytest.mark.parametrize("qos", [0, 1])
def test_a_payload_that_is_used_again_is_published_as_it_was(broker: Server, qos: int) -> None:
    with SyncClient(address(broker)) as client, client.subscribe("a", qos=qos, queue=10_000) as messages:
        value = {"number": 0}
        raw = bytearray(1)

        def stream() -> Iterator[tuple[str, object]]:
            for number in range(100):
                value["number"] = raw[0] = number
                yield "a", value
                yield "a", raw

        client.publish_many(stream(), qos=qos)
        for number in range(100):
            value["number"] = raw[0] = number
            client.publish("a", value, qos=qos, user_properties=iter([("by", "ann")]))
            client.publish("a", raw, qos=qos)
        for number in [*range(100), *range(100)]:
            said, bare = messages.next(timeout=SECONDS), messages.next(timeout=SECONDS)
            assert (said.json(), said.content_type) == ({"number": number}, "application/json")
            assert (bare.payload, bare.content_type) == (bytes([number]), None)
        assert said.user_properties == (("by", "ann"),)


def test_a_stream_that_fails_has_published_what_came_before(broker: Server) -> None:
    with SyncClient(address(broker)) as client, client.subscribe("a", qos=1) as messages:

        def stream() -> Iterator[tuple[str, object]]:
            yield "a", b"1"
            yield "a", b"2"
            raise KeyError("the sensor is broken")

        with pytest.raises(KeyError, match="the sensor is broken"):
            client.publish_many(stream(), qos=1)
        with pytest.raises(ValueError, match="are for filters only"):
            client.publish_many([("a", b"3"), ("a/#", b""), ("a", b"never")], qos=1)
        assert [messages.next(timeout=SECONDS).text for _ in range(3)] == ["1", "2", "3"]


def test_a_stream_says_what_the_broker_refused() -> None:
    def script(hand: Hand) -> None:
        hand.lets_in()
        for packet_id in range(1, 6):
            assert isinstance(hand.gets(), Publish)
            hand.sends(PubAck(packet_id, 0x87 if packet_id in (2, 4) else 0))
        assert isinstance(hand.gets(), Disconnect)

    with playing(script) as where, SyncClient(where) as client:
        with pytest.raises(
            Refused, match=r"the broker refuses the message to 'a/2': .*; 2 of 5 were refused"
        ) as caught:
            client.publish_many([(f"a/{number}", b"") for number in range(1, 6)], qos=1)
        assert caught.value.reason_code == 0x87


# Handlers


def test_eight_handlers_publish_at_qos_2_while_they_are_called(broker: Server) -> None:
    client = SyncClient(address(broker))

    @client.on("job/{number}", qos=2, concurrency=8)
    def work(number: int, message: Message) -> None:
        client.publish(f"done/{number}", message.payload, qos=2)

    with client, client.subscribe("done/+", qos=2) as done:
        client.publish_many(((f"job/{number}", number) for number in range(400)), qos=2)
        got = [done.next(timeout=SECONDS) for _ in range(400)]
        assert sorted(message.decode(int) for message in got) == list(range(400))
        assert all(message.topic == f"done/{message.text}" for message in got)


def test_a_handler_may_ask_another_handler_of_the_same_client(broker: Server) -> None:
    client = SyncClient(address(broker))

    @client.responds("double/{number}")
    def double(number: int) -> int:
        return 2 * number

    @client.responds("quadruple/{number}")
    def quadruple(number: int) -> int:
        answer = client.request(f"double/{number}", timeout=SECONDS)
        return client.request(f"double/{answer.text}", timeout=SECONDS).decode(int)

    with client:
        assert client.request("quadruple/10", timeout=SECONDS).decode(int) == 40


def test_a_handler_that_waits_for_ever_stops_nobody_else(broker: Server) -> None:
    client = SyncClient(address(broker), keep_alive=1)
    stuck, let_go = threading.Event(), threading.Event()

    @client.on("stuck")
    def wait(message: Message) -> None:
        stuck.set()
        assert let_go.wait(SECONDS)

    with client, client.subscribe("a", qos=1) as messages:
        client.publish("stuck")
        assert stuck.wait(SECONDS)
        client.publish("a", b"goes on", qos=1)
        assert messages.next(timeout=SECONDS).text == "goes on"
    let_go.set()  # and the end did not wait for it


def test_a_handler_that_comes_while_the_client_is_in_use_is_called(broker: Server) -> None:
    called = threading.Event()
    with SyncClient(address(broker)) as client:

        @client.on("late/{name}", qos=1)
        def late(name: str) -> None:
            called.set()

        while not called.wait(0.05):  # the broker grants it meanwhile
            client.publish("late/x", qos=1)


def test_a_handler_that_is_a_coroutine_is_refused() -> None:
    client = SyncClient()

    async def handler(message: Message) -> None: ...

    for decorate in (client.on("a"), client.responds("a"), client.on_connected, client.on_lost):
        with pytest.raises(TypeError, match="handler is a coroutine: SyncClient calls functions"):
            decorate(handler)
    with pytest.raises(ValueError, match="'#'"):
        client.on("a/#/b")
    with pytest.raises(TypeError, match="'number'"):
        client.on("a/{number}")(lambda: None)


def test_a_handler_that_ends_its_thread_is_a_handler_that_failed(
    broker: Server, caplog: pytest.LogCaptureFixture
) -> None:
    client = SyncClient(address(broker))
    calls: list[int] = []

    @client.on("a", qos=1)
    def leave(message: Message) -> None:
        calls.append(message.decode(int))
        if calls == [0]:
            sys.exit(1)
        if calls == [0, 1]:
            raise StopIteration

    with client, client.subscribe("a", qos=1) as messages:
        client.publish_many([("a", 0), ("a", 1), ("a", 2)], qos=1)
        for _ in range(3):
            messages.next(timeout=SECONDS)
        while calls != [0, 1, 2]:
            time.sleep(0.001)
    assert len([record for record in caplog.records if "leave failed" in record.message]) == 2


def test_an_error_of_a_handler_comes_out_of_the_block_where_that_was_asked_for(broker: Server) -> None:
    client = SyncClient(address(broker), on_error="raise")

    @client.on("a")
    def fail(message: Message) -> None:
        raise ZeroDivisionError(message.text)

    def use() -> None:
        with client, client.subscribe("b") as messages:
            client.publish("a", "of mine")
            assert list(messages) == []  # it ends

    with pytest.raises(ZeroDivisionError, match="of mine"):
        use()
    assert client_threads() == []


def test_a_message_of_a_handler_is_acknowledged_where_it_is_said(broker: Server) -> None:
    client = SyncClient(address(broker), receive_maximum=2)
    got: list[int] = []

    @client.on("a", qos=1, manual_ack=True)
    def take(message: Message) -> None:
        got.append(message.decode(int))
        message.ack()

    with client:
        client.publish_many([("a", number) for number in range(50)], qos=1)
        while len(got) < 50:  # with no acknowledgement, there would be two
            time.sleep(0.001)
    assert got == list(range(50))


# Events


def test_events_are_told_in_order_and_whoever_hears_of_them_may_publish() -> None:
    def first(hand: Hand) -> None:
        hand.lets_in()
        assert hand.gets() == Publish("status", b"here", 1, packet_id=1)
        hand.sends(PubAck(1))

    def second(hand: Hand) -> None:
        hand.lets_in(ConnAck(session_present=True))
        assert hand.gets() == Publish("status", b"again", 1, packet_id=2)
        hand.sends(PubAck(2))
        assert isinstance(hand.gets(), Disconnect)

    told: list[str] = []
    is_over = threading.Event()
    with playing(first, second) as where:
        client = SyncClient(where, reconnect=SOON)

        @client.on_connected
        def connected(event: Connected) -> None:
            client.publish("status", "here" if event.first_time else "again", qos=1)
            told.append(f"connected, {event.session_present}")
            if not event.first_time:
                is_over.set()

        @client.on_lost
        def lost(event: Lost) -> None:
            assert event.retry_in is not None
            told.append("lost")

        with client:
            assert is_over.wait(SECONDS)
        assert told == ["connected, False", "lost", "connected, True"]


def test_an_iterator_lives_on_when_the_broker_comes_back() -> None:
    port = free_port()
    got: list[str] = []
    with telex("-p", str(port)):
        client = SyncClient(f"mqtt://127.0.0.1:{port}", reconnect=SOON).__enter__()
        context = client.subscribe("a", qos=1)
        messages = context.__enter__()
        client.publish("a", "1", qos=1)
        got.append(messages.next(timeout=SECONDS).text)
    with pytest.raises(Timeout):
        messages.next(timeout=0.05)
    with telex("-p", str(port)):
        client.publish("a", "2", qos=1, timeout=SECONDS)
        got.append(messages.next(timeout=SECONDS).text)
        context.__exit__(None, None, None)
        client.close()
    assert got == ["1", "2"]


# The beginning and the end


def test_what_was_published_has_left_when_the_client_is_closed(broker: Server) -> None:
    with SyncClient(address(broker)) as listener, listener.subscribe("a", queue=100_000) as messages:
        with SyncClient(address(broker)) as client:
            for number in range(5_000):
                client.publish("a", number)
        assert [messages.next(timeout=SECONDS).decode(int) for _ in range(5_000)] == list(range(5_000))


def test_what_is_in_the_queue_at_the_end_is_still_given_out(broker: Server) -> None:
    client = SyncClient(address(broker)).__enter__()
    messages = client.subscribe("a", qos=1).__enter__()
    others = client.subscribe("b", qos=1).__enter__()
    client.publish_many([(topic, number) for number in range(10) for topic in "ab"], qos=1)
    while others.waiting < 10:
        time.sleep(0.001)
    assert others.next().text == "0"
    others.__exit__(None, None, None)
    client.close()
    assert [message.text for message in messages] == [str(number) for number in range(10)]
    assert [message.text for message in others] == [str(number) for number in range(1, 10)]
    with pytest.raises(NotConnected, match="the subscription is over"):
        messages.next(timeout=0)
    assert (messages.take(), messages.waiting) == ([], 0)
    messages.__exit__(None, None, None)


def test_who_waits_at_the_end_is_told(broker: Server) -> None:
    client = SyncClient(address(broker)).__enter__()
    messages = client.subscribe("a").__enter__()

    def iterate() -> None:
        assert list(messages) == []

    def wait() -> None:
        with pytest.raises(NotConnected, match="the subscription is over"):
            messages.next()

    def ask() -> None:
        client.subscribe("nobody/+").__enter__()
        with pytest.raises(NotConnected, match="the client was closed"):
            client.request("nobody/here")

    def see() -> None:
        client.wait_closed()

    def close() -> None:
        time.sleep(0.05)  # most of the others wait by then; the others are told all the same
        client.close()

    in_threads(iterate, wait, see, close, close)
    assert client_threads() == []


def test_a_client_is_used_within_its_block_and_once(broker: Server) -> None:
    client = SyncClient(address(broker))
    client.close()  # does nothing
    for use in (
        lambda: client.publish("a"),
        lambda: client.publish("a", qos=1),
        lambda: client.publish_many([("a", b"")]),
        lambda: client.subscribe("a").__enter__(),
        lambda: client.request("a"),
        lambda: client.unsubscribe("a"),
        client.flush,
        client.wait_connected,
        client.wait_closed,
        client.reauthenticate,
    ):
        with pytest.raises(NotConnected, match="the client is not in use: publish and subscribe within `with client:`"):
            use()  # type: ignore[no-untyped-call]
    with client:
        with pytest.raises(ValueError, match="this client is in use already"):
            client.__enter__()
        assert client.unsubscribe("never/was") == [0x11]
    client.close()
    client.wait_closed()
    for use in (
        lambda: client.publish("a"),
        lambda: client.publish("a", qos=1),
        lambda: client.publish_many([("a", "")]),
    ):
        with pytest.raises(NotConnected, match="the client was closed"):
            use()
    with pytest.raises(ValueError, match="this client is in use already"):
        client.__enter__()


def test_a_slip_of_the_caller_is_raised_where_it_is_made(broker: Server) -> None:
    with SyncClient(address(broker)) as client:
        with pytest.raises(ValueError, match="are for filters only"):
            client.publish("a/#")
        with pytest.raises(ValueError, match="QoS is 3"):
            client.publish("a", qos=3)
        with pytest.raises(ValueError, match="payload_format_indicator"):
            client.publish("a", payload_format_indicator=7)
        with pytest.raises(PayloadError):
            client.publish("a", object())
        with pytest.raises(ValueError, match="needs a topic filter"):
            client.subscribe()
        with pytest.raises(ValueError, match="QoS is 3"):
            client.publish_many([], qos=3)
        with pytest.raises(ValueError, match="needs an authenticator"):
            client.reauthenticate()


def test_what_the_broker_does_not_take_is_raised_at_qos_0_too() -> None:
    def script(hand: Hand) -> None:
        hand.lets_in(ConnAck(properties=Properties(maximum_packet_size=50, retain_available=0)))
        assert hand.gets() == Publish("a", bytes(40))  # a hand-over would not be safe, and it goes all the same
        assert isinstance(hand.gets(), Disconnect)

    with playing(script) as where, SyncClient(where) as client:
        client.publish("a", bytes(40))
        with pytest.raises(ValueError, match="the server takes 50 at most"):
            client.publish("a", bytes(60))
        with pytest.raises(ValueError, match="retained"):
            client.publish("a", b"", retain=True)
        with pytest.raises(ValueError, match="topic alias 1: the server takes none"):
            client.publish("a", b"", topic_alias=1)


def test_a_broker_that_is_not_there_is_told_at_once_where_that_is_wanted() -> None:
    client = SyncClient(f"mqtt://127.0.0.1:{free_port()}", reconnect=None)
    with pytest.raises(NotConnected, match="nothing listens there"):
        client.__enter__()
    assert client_threads() == []


def test_a_client_that_another_one_replaced_says_so_to_all_who_wait(broker: Server) -> None:
    with SyncClient(address(broker), client_id="twin") as client, client.subscribe("a") as messages:
        with SyncClient(address(broker), client_id="twin"):
            with pytest.raises(Refused, match="another client has the same client id"):
                messages.next(timeout=SECONDS)
            with pytest.raises(Refused) as caught:
                client.publish("a", qos=1)
            assert caught.value.reason_code == ReasonCode.SESSION_TAKEN_OVER
            with pytest.raises(Refused):
                client.publish("a")
            with pytest.raises(Refused):
                list(messages)
            client.wait_closed(timeout=SECONDS)


def test_to_wait_for_the_client_on_its_own_thread_is_an_error_and_no_dead_lock() -> None:
    errors: list[Exception] = []

    class Riddler:
        method = "riddle"

        def begin(self) -> bytes:
            return b"first"

        def answer(self, challenge: bytes) -> bytes:
            for use in (
                lambda: client.publish("a"),
                lambda: client.publish("a", qos=1),
                lambda: client.subscribe("a").__enter__(),
                client.wait_connected,
                client.close,
            ):
                try:
                    use()  # type: ignore[no-untyped-call]
                except Exception as error:
                    errors.append(error)
            return b"second"

        def finish(self, data: bytes) -> None: ...

    def says(data: bytes) -> Properties:
        return Properties(authentication_method="riddle", authentication_data=data)

    def script(hand: Hand) -> None:
        assert isinstance(hand.gets(), Connect)
        hand.sends(Auth(0x18, says(b"?")))
        assert hand.gets() == Auth(0x18, says(b"second"))
        hand.sends(ConnAck(properties=says(b"")))
        assert isinstance(hand.gets(), Disconnect)

    with playing(script) as where:
        client = SyncClient(where, authenticator=Riddler())
        with client:
            pass
    assert [type(error) for error in errors] == [ValueError] * 5
    assert {str(error) for error in errors} == {
        "this is the client's own thread, and to wait here for the client would be to wait for ever; "
        "do that in a handler, or in a thread of your own"
    }


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C as a terminal gives it to a program. What shells start behind ``&`` does not hear it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_a_wait_and_the_client_takes_its_leave() -> None:
    has_begun = threading.Event()

    def script(hand: Hand) -> None:
        hand.lets_in()
        hand.grants()
        hand.sends(Publish("a"))
        hand.lets_go()

    def interrupt() -> None:
        assert has_begun.wait(SECONDS)
        os.kill(os.getpid(), signal.SIGINT)

    def listen(where: str) -> None:
        with SyncClient(where) as client, client.subscribe("a") as messages:
            for _ in messages:
                has_begun.set()

    with playing(script) as where:
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            listen(where)
        thread.join()
    assert client_threads() == []


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_the_wait_for_a_broker_that_is_not_there() -> None:
    client = SyncClient(f"mqtt://127.0.0.1:{free_port()}", reconnect=SOON)
    has_failed = threading.Event()

    @client.on_lost
    def lost(event: Lost) -> None:
        has_failed.set()

    def interrupt() -> None:
        assert has_failed.wait(SECONDS)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        client.__enter__()
    thread.join()
    assert client_threads() == []


# Whole programs


def program(text: str, *arguments: str) -> list[str]:
    """The command line of a program in Python, with Telex as it is imported here."""
    return [sys.executable, "-W", "error", "-c", f"import sys; sys.path.insert(0, {SOURCE!r})\n{text}", *arguments]


SERVICE = """
from telex.client.sync import SyncClient
client = SyncClient(sys.argv[1])

@client.on_connected
def ready(event):
    print("ready", flush=True)

@client.responds("hello/{name}")
def hello(name: str) -> str:
    return f"hello {name}"

client.run()
print("the end", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_service_runs_until_it_is_told_to_end(broker: Server, number: signal.Signals) -> None:
    with running(*program(SERVICE, address(broker))) as process:
        lines_until(process, "ready")
        with SyncClient(address(broker)) as client:
            while True:
                try:
                    assert client.request("hello/ann", timeout=1).text == "hello ann"
                except (Refused, Timeout):  # it subscribes meanwhile
                    continue
                break
        process.send_signal(number)
        output, errors = process.communicate(timeout=SECONDS)
        assert (output, errors, process.returncode) == ("the end\n", "", 0)


def test_a_service_ends_when_a_handler_fails_and_that_is_asked_for(broker: Server) -> None:
    client = SyncClient(address(broker), on_error="raise")

    @client.on("a")
    def fail(message: Message) -> None:
        raise ZeroDivisionError

    @client.on_connected
    def begin(event: Connected) -> None:
        while client.is_connected:
            client.publish("a", qos=1)

    with pytest.raises(ZeroDivisionError):
        client.run()

    stopped = SyncClient(address(broker), on_error="stop")
    stopped.on("a")(fail)

    @stopped.on_connected
    def begin_again(event: Connected) -> None:
        try:
            while stopped.is_connected:
                stopped.publish("a", qos=1)
        except NotConnected:
            return

    stopped.run()


FORGOTTEN = """
import threading
from telex.client.sync import SyncClient
client = SyncClient(sys.argv[1])
called = threading.Event()

@client.on("a")
def wait_for_ever(message):
    called.set()
    threading.Event().wait()

client.__enter__()
messages = client.subscribe("b").__enter__()
threading.Thread(target=list, args=(messages,), daemon=True).start()
client.publish("a")
assert called.wait(20)
for number in range(100):
    client.publish("c", number)
"""


def test_a_program_that_forgets_its_client_comes_to_its_end_and_what_it_published_has_left(broker: Server) -> None:
    with SyncClient(address(broker)) as client, client.subscribe("c") as messages:
        done = run(*program(FORGOTTEN, address(broker)))
        assert done.stderr == ""
        assert done.returncode == 0
        assert [messages.next(timeout=SECONDS).decode(int) for _ in range(100)] == list(range(100))


FORK = """
import os
import warnings
from telex.client.sync import SyncClient
from telex.errors import NotConnected
warnings.simplefilter("ignore")  # Python warns of forks where there are threads, and it is right
unused = SyncClient(sys.argv[1])
with SyncClient(sys.argv[1]) as client, client.subscribe("a", qos=1) as messages:
    child = os.fork()
    if child == 0:
        for use in (
            lambda: client.publish("a"),
            lambda: client.publish("a", qos=1),
            lambda: client.publish_many([("a", b"")]),
            messages.next,
            messages.take,
            client.wait_closed,
        ):
            try:
                use()
            except NotConnected as error:
                print(error)
        with unused:
            unused.publish("a", b"of the child", qos=1)
        sys.exit(7)  # through both blocks, and all that is done at exit
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    client.publish("a", b"of the parent", qos=1)
    print([messages.next(timeout=20).text for _ in range(2)])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only where processes fork")
def test_a_fork_has_no_client_and_its_parent_keeps_its_own(broker: Server) -> None:
    done = run(*program(FORK, address(broker)))
    assert done.stderr == ""
    text = "this process is a fork of the one that this client is connected in; make a client in each process"
    assert sorted(done.stdout.splitlines()) == sorted([*[text] * 6, "['of the child', 'of the parent']"])
