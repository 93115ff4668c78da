"""The ways to run a client: by hand, for ever, in a thread, and in a loop of others."""

import select
import threading
from typing import Any

from telex.wire.packets import ConnAck, Connect, Disconnect, PubAck, Publish, PubRel, Subscribe
from tests.paho.traces.played import SECONDS, PlayedBroker
from tests.paho.traces.programs import EVERY, PROTOCOLS, USUAL, V3, program
from tests.paho.traces.trace import CALLBACKS, Trace

# loop()


@program(PROTOCOLS)
def test_without_a_connection_no_loop_has_anything_to_do(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    for _ in range(2):
        trace.calls(client.loop)
        trace.calls(client.loop, 0)
        trace.calls(client.loop_read)
        trace.calls(client.loop_write)
        trace.calls(client.loop_misc)
        trace.calls(client.want_write)
        trace.calls(client.socket)
        trace.calls(client.loop_stop)
        client.connect(*broker.address)
        broker.opens()
        trace.loops(client, until="on_connect")
        client.disconnect()


@program(V3)
def test_a_loop_does_not_wait_less_than_nothing(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    trace.calls(client.loop, -1)
    trace.calls(client.loop, 0)
    trace.calls(client.loop, 0.01)
    trace.calls(client.loop, timeout=0)
    link.closes()
    trace.loops_to_the_end(client)
    trace.calls(client.loop, 0)
    trace.calls(client.loop_forever, -1)


@program(PROTOCOLS)
def test_the_end_of_a_connection_is_told_once(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    link.closes()
    trace.loops_to_the_end(client)
    trace.calls(client.loop, 0)
    trace.calls(client.is_connected)
    trace.calls(client.socket)
    trace.calls(client.loop_read)
    trace.calls(client.loop_write)
    trace.calls(client.loop_misc)
    trace.calls(client.disconnect)


@program(PROTOCOLS)
def test_a_reset_connection_is_a_lost_one(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    link.resets()
    trace.loops_to_the_end(client)
    trace.calls(client.loop, 0)


# loop_forever()


@program(EVERY)
def test_loop_forever_ends_with_disconnect(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    trace.watches(client, on_connect=lambda *_: trace.calls(client.disconnect))
    client.connect(*broker.address)
    broker.opens()
    trace.calls(client.loop_forever)
    trace.calls(client.is_connected)
    trace.calls(client.socket)


@program(PROTOCOLS)
def test_loop_forever_ends_with_disconnect_of_another_thread(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    client.connect(*broker.address)

    def run() -> None:
        client.loop_forever()  # what it returns is by chance with paho: the socket is closed under its feet

    forever = trace.thread(run, name="forever")
    link = broker.opens()
    trace.waits("on_connect")
    client.disconnect()
    forever.ends()
    link.gets(Disconnect)
    client.on_socket_close = client.on_disconnect = None


@program(PROTOCOLS)
def test_loop_forever_without_reconnection_ends_with_the_connection(
    mqtt: Any, broker: PlayedBroker, trace: Trace
) -> None:
    client = trace.watches(trace.client(reconnect_on_failure=False))
    client.connect(*broker.address)
    link = broker.opens()
    link.closes()
    trace.calls(client.loop_forever)
    trace.calls(client.is_connected)
    trace.calls(client.loop_forever)  # there is nothing to do


@program(PROTOCOLS)
def test_loop_forever_without_reconnection_ends_with_a_refusal(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client(reconnect_on_failure=False))
    client.connect(*broker.address)
    broker.opens(ConnAck(0x87 if trace.is_v5 else 5))
    trace.calls(client.loop_forever)


@program(PROTOCOLS)
def test_loop_forever_raises_where_nobody_listens_at_first(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    broker.stops()
    client = trace.watches(trace.client())
    trace.calls(client.connect_async, *broker.address)
    trace.calls(client.loop_forever)
    trace.calls(client.is_connected)


@program(PROTOCOLS)
def test_loop_forever_tries_again_if_it_is_told_to(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    broker.stops()
    client = trace.client()
    trace.calls(client.reconnect_delay_set, 0, 0)

    def start(*_: Any) -> None:
        if trace.counts("on_connect_fail") == 2:
            broker.starts()

    trace.watches(client, on_connect_fail=start, on_connect=lambda *_: client.disconnect())
    trace.calls(client.connect_async, *broker.address)
    threading.Thread(target=lambda: broker.opens()).start()
    trace.calls(client.loop_forever, retry_first_connection=True)


@program(PROTOCOLS)
def test_loop_forever_without_connect_ends_at_once(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client(reconnect_on_failure=False))
    trace.calls(client.loop_forever)
    trace.calls(client.disconnect)
    trace.calls(client.loop_forever)


@program(PROTOCOLS)
def test_loop_forever_after_disconnect_ends_at_once(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    client.disconnect()
    link.is_over()
    trace.calls(client.loop_forever)


@program(USUAL)
def test_refused_clients_come_again(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    if trace.is_v5:
        for number in (2, 3):
            connect = f"connection {number}: Connect(client_id='c', version=5, clean_start=%s, keep_alive=60)"
            trace.differs(
                "MQTT_CLEAN_START_FIRST_ONLY is until the first success, as its name says, not until the first answer",
                f"- {connect % False}",
                f"+ {connect % True}",
            )
    client = trace.client()
    client.reconnect_delay_set(0, 0)

    def leave(*_: Any) -> None:
        if trace.counts("on_connect") == 2:
            client.disconnect()

    trace.watches(client, on_connect=leave)
    client.connect(*broker.address)

    def script() -> None:
        broker.opens(ConnAck(0x88 if trace.is_v5 else 3))
        broker.opens(ConnAck(0x97 if trace.is_v5 else 3))
        broker.opens()

    played = threading.Thread(target=script)
    played.start()
    trace.calls(client.loop_forever)
    played.join(SECONDS)


# loop_start()


@program(USUAL)
def test_a_thread_runs_the_loop(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    trace.calls(client.connect, *broker.address)
    trace.calls(client.loop_start)
    link = broker.opens()
    trace.waits("on_connect")
    trace.calls(client.loop_start)
    trace.calls(client.is_connected)
    trace.calls(client.publish, "a", b"x")
    link.gets(Publish)
    trace.waits("on_publish")
    link.sends(Publish("a", b"x"))
    trace.waits("on_message")
    trace.calls(client.loop_stop)
    trace.calls(client.is_connected)
    trace.calls(client.loop_stop)
    trace.calls(client.disconnect)
    link.gets(Disconnect)


@program(PROTOCOLS)
def test_the_thread_has_the_name_of_the_client(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client("näme")
    told: list[tuple[str, bool]] = []

    def look(*_: Any) -> None:
        current = threading.current_thread()
        told.append((current.name, current.daemon))
        client.disconnect()

    trace.watches(client, on_connect=look)
    client.connect(*broker.address)
    client.loop_start()
    link = broker.opens()
    link.is_over()
    client.loop_stop()
    trace.tell(f"{told}")


@program(PROTOCOLS)
def test_loop_start_comes_before_connect_too(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    client.connect_async(*broker.address)
    trace.calls(client.loop_start)
    link = broker.opens()
    trace.waits("on_connect")
    trace.calls(client.subscribe, "a")
    link.gets(Subscribe)
    client.disconnect()
    link.is_over()
    client.loop_stop()


@program(PROTOCOLS)
def test_a_thread_tries_again_where_nobody_listens(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    broker.stops()
    client = trace.client()
    client.reconnect_delay_set(0, 0)

    def start(*_: Any) -> None:
        if trace.counts("on_connect_fail") == 2:
            broker.starts()

    trace.watches(client, on_connect_fail=start)
    client.connect_async(*broker.address)
    trace.calls(client.loop_start)
    link = broker.opens()
    trace.waits("on_connect")
    client.disconnect()
    link.is_over()
    client.loop_stop()


@program(V3)
def test_loop_stop_ends_attempts_to_connect(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    broker.stops()
    client = trace.watches(trace.client())
    client.connect_async(*broker.address)
    trace.calls(client.loop_start)
    trace.waits("on_connect_fail")
    trace.calls(client.loop_stop)
    trace.calls(client.is_connected)


@program(V3)
def test_a_thread_may_be_started_again(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    for _ in range(2):
        client.connect(*broker.address)
        trace.calls(client.loop_start)
        link = broker.opens()
        trace.waits("on_connect")
        trace.calls(client.loop_stop)
        link.sends(Publish("a", b"nobody reads this"))
        if trace.is_paho:
            client._reset_sockets(sockpair_only=True)  # it forgets to close what wakes the thread
        trace.calls(client.loop_start)
        trace.waits("on_message")
        client.disconnect()
        link.is_over()
        client.loop_stop()
        if trace.is_paho:
            client._reset_sockets(sockpair_only=True)


@program(PROTOCOLS)
def test_loop_stop_within_a_callback_ends_the_loop(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    trace.watches(client, on_message=lambda *_: trace.calls(client.loop_stop))
    client.connect(*broker.address)
    client.loop_start()
    thread = next(each for each in threading.enumerate() if each.name.startswith("paho-mqtt-client"))
    link = broker.opens()
    link.sends(Publish("a"))
    thread.join(SECONDS)
    trace.tell(f"{thread.is_alive()}")
    trace.calls(client.is_connected)
    trace.calls(client.loop_stop)


@program(PROTOCOLS)
def test_disconnect_within_a_callback_of_the_thread(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    trace.watches(client, on_message=lambda *_: trace.calls(client.disconnect))
    client.connect(*broker.address)
    client.loop_start()
    thread = next(each for each in threading.enumerate() if each.name.startswith("paho-mqtt-client"))
    link = broker.opens()
    link.sends(Publish("a"))
    thread.join(SECONDS)
    trace.tell(f"{thread.is_alive()}")
    link.gets(Disconnect)


@program(PROTOCOLS)
def test_loop_stop_sends_what_was_published(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    client.connect(*broker.address)
    client.loop_start()
    link = broker.opens().obliges()
    trace.waits("on_connect")
    for qos in (0, 1, 2):
        trace.calls(client.publish, "a", b"x", qos)
    trace.calls(client.loop_stop)
    trace.calls(client.is_connected)
    link.gets(Publish)


# Loops of others


class Loop:
    """A loop as others have it: it watches sockets that it is told of, and calls the client's own methods."""

    def __init__(self, trace: Trace, client: Any) -> None:
        self.trace = trace
        self.client = client
        self.reading: Any = None
        self.writing: Any = None
        trace.watches(
            client,
            *CALLBACKS,
            on_socket_open=self.opened,
            on_socket_close=self.closed,
            on_socket_register_write=self.wants,
            on_socket_unregister_write=self.wants_no_more,
        )

    def opened(self, _client: Any, _userdata: Any, sock: Any) -> None:
        assert self.reading is None
        self.reading = sock

    def closed(self, _client: Any, _userdata: Any, sock: Any) -> None:
        assert self.reading is sock
        self.reading = None

    def wants(self, _client: Any, _userdata: Any, sock: Any) -> None:
        assert self.writing is None
        self.writing = sock

    def wants_no_more(self, _client: Any, _userdata: Any, sock: Any) -> None:
        assert self.writing is sock
        self.writing = None

    def turns(self, until: str, times: int = 1) -> None:
        """Until a callback has come."""
        wanted = self.trace.counts(until) + times
        for _ in range(1000):
            if self.trace.counts(until) >= wanted or self.reading is None:
                return
            writing = [self.writing] if self.writing is not None else []
            readable, writable, _ = select.select([self.reading], writing, [], SECONDS)
            assert readable or writable, f"{until} did not come"
            if writable:
                self.says("loop_write", self.client.loop_write())
            if readable and self.reading is not None:
                self.says("loop_read", self.client.loop_read())
        raise AssertionError(f"{until} did not come")

    def writes(self) -> None:
        """What the client wants to write."""
        if self.writing is not None:
            self.says("loop_write", self.client.loop_write())

    def says(self, name: str, answer: Any) -> None:
        if answer != 0:
            self.trace.tell(f"{name} -> {self.trace.text(answer)}")


@program(EVERY)
def test_a_loop_of_others_runs_a_client(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    loop = Loop(trace, client)
    trace.calls(client.connect, *broker.address)
    trace.calls(client.want_write)
    loop.writes()
    trace.calls(client.want_write)
    link = broker.opens()
    loop.turns("on_connect")
    trace.calls(client.loop_misc)
    trace.calls(client.publish, "a", b"x")
    trace.calls(client.publish, "a", b"x", 1)
    trace.calls(client.want_write)
    loop.turns("on_publish")
    trace.calls(client.want_write)
    link.gets(Publish)
    link.gets(Publish)
    link.sends(PubAck(2))
    loop.turns("on_publish")
    link.sends(Publish("a", b"1", 1, packet_id=3))
    loop.turns("on_message")
    loop.writes()
    link.gets(PubAck)
    trace.calls(client.disconnect)
    loop.writes()
    link.gets(Disconnect)
    trace.calls(client.socket)
    trace.tell(f"{loop.reading}, {loop.writing}")


@program(PROTOCOLS)
def test_a_loop_of_others_hears_of_the_end(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    loop = Loop(trace, client)
    client.connect(*broker.address)
    loop.writes()
    link = broker.opens()
    loop.turns("on_connect")
    link.closes()
    loop.turns("on_disconnect")
    trace.calls(client.socket)
    trace.calls(client.loop_misc)
    trace.tell(f"{loop.reading}, {loop.writing}")
    trace.calls(client.reconnect)
    loop.writes()
    broker.opens()
    loop.turns("on_connect")


@program(USUAL)
def test_without_hooks_calls_write_at_once(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    trace.calls(client.want_write)
    trace.calls(client.publish, "a", b"x")
    trace.calls(client.want_write)
    link.gets(Publish)
    link.sends(Publish("a", b"x", 1, packet_id=4))
    select.select([client.socket()], [], [], SECONDS)
    trace.calls(client.loop_read)
    link.gets(PubAck)
    trace.calls(client.want_write)
    trace.calls(client.loop_write)
    trace.calls(client.loop_misc)


@program(V3)
def test_nothing_to_read_is_no_fault(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, _ = trace.connected(broker)
    trace.calls(client.loop_read)
    trace.calls(client.loop_read, 5)
    trace.calls(client.loop_read, max_packets=1)
    trace.calls(client.loop_write)
    trace.calls(client.loop_misc)


@program(V3)
def test_a_socket_that_takes_no_more_is_waited_for(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    link.stalls()
    client.on_publish = None
    payload = bytes(4 << 20)
    infos = [client.publish("a", payload) for _ in range(5)]
    trace.calls(client.want_write)
    trace.calls(infos[-1].is_published)
    trace.calls(client.loop_write)
    link.flows()
    trace.loops_until(client, lambda: not client.want_write())
    trace.tell(f"{[info.is_published() for info in infos]}")
    for _ in infos:
        link.gets(Publish)


@program(V3)
def test_disconnect_waits_behind_what_is_not_written(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    link.stalls()
    client.on_publish = None
    info = client.publish("a", bytes(20 << 20))
    trace.calls(client.disconnect)
    trace.calls(client.is_connected)
    link.flows()
    trace.loops_to_the_end(client)
    trace.calls(info.is_published)
    link.gets(Publish)
    link.gets(Disconnect)


@program(PROTOCOLS)
def test_callbacks_in_a_loop_of_others_ask_for_writing(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    loop = Loop(trace, client)
    trace.watches(
        client,
        "on_connect",
        on_message=lambda _c, _u, message: trace.calls(client.publish, "answer", message.payload, message.qos),
    )
    client.on_socket_open, client.on_socket_close = loop.opened, loop.closed
    client.connect(*broker.address)
    loop.writes()
    link = broker.opens()
    loop.turns("on_connect")
    for qos in (0, 1):
        link.sends(Publish("a", str(qos).encode(), qos, packet_id=7 * qos))
        loop.turns("on_message")
        trace.tell(f"{loop.writing is not None}")
        loop.writes()
        link.gets(Publish)
    link.gets(PubAck)
    trace.tell(f"{loop.writing}")


@program(V3)
def test_a_loop_of_others_leaves_in_a_callback(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    loop = Loop(trace, client)
    trace.watches(client, on_message=lambda *_: trace.calls(client.disconnect))
    client.on_socket_open, client.on_socket_close = loop.opened, loop.closed
    client.connect(*broker.address)
    loop.writes()
    link = broker.opens()
    link.sends(Publish("a"))
    loop.turns("on_message")
    loop.writes()
    link.gets(Disconnect)
    trace.tell(f"{loop.reading}, {loop.writing}")
    trace.calls(client.is_connected)


@program(PROTOCOLS)
def test_hooks_and_a_thread_go_together(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    client.on_socket_register_write = lambda *_: None
    client.connect(*broker.address)
    client.loop_start()
    link = broker.opens().obliges()
    trace.waits("on_connect")
    for qos in (0, 1, 2):
        trace.calls(client.publish, "a", b"x", qos)
    trace.waits("on_publish", 3)
    client.disconnect()
    link.is_over()
    client.loop_stop()


@program(PROTOCOLS)
def test_messages_wait_for_a_thread_that_connects(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    client.connect_async(*broker.address)
    infos = [trace.calls(client.publish, "a", b"x", qos) for qos in (1, 2)]
    trace.calls(client.subscribe, "a")
    trace.calls(client.loop_start)
    link = broker.accepts().obliges().opens()
    trace.waits("on_publish", 2)
    for info in infos:
        trace.calls(info.is_published)
    client.disconnect()
    link.is_over()
    client.loop_stop()


@program(PROTOCOLS)
def test_a_thread_of_the_program_runs_the_loop(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    trace.watches(client, "on_connect", "on_message", "on_subscribe")

    def run() -> None:
        client.loop_forever()

    client.connect(*broker.address)
    forever = trace.thread(run, name="forever")
    link = broker.opens().obliges()
    trace.waits("on_connect")
    trace.calls(client.subscribe, "a", 1)
    trace.waits("on_subscribe")
    infos = [trace.calls(client.publish, "a", b"x", qos) for qos in (0, 1, 2)]
    for info in infos:
        trace.calls(info.wait_for_publish, SECONDS)
    link.sends(Publish("a", b"x", 1, packet_id=9))
    trace.waits("on_message")
    for kind in (Subscribe, Publish, Publish, Publish, PubRel, PubAck):
        link.gets(kind)
    client.disconnect()
    forever.ends()


def _answers_late(broker: PlayedBroker, trace: Trace) -> None:
    """CONNACK comes when paho has gone already; Telex waits for it."""
    link = broker.accepts()
    link.gets(Connect)
    if not trace.is_paho:
        link.sends(ConnAck())
    link.is_over()


@program(PROTOCOLS)
def test_a_program_publishes_once_and_goes(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    played = threading.Thread(target=_answers_late, args=(broker, trace))
    played.start()
    trace.calls(client.connect, *broker.address)
    trace.calls(client.publish, "a", b"x")
    trace.calls(client.disconnect)
    played.join(SECONDS)
    trace.calls(client.socket)


@program(PROTOCOLS)
def test_a_program_publishes_once_in_a_thread_and_goes(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    trace.watches(client, "on_disconnect")
    played = threading.Thread(target=_answers_late, args=(broker, trace))
    played.start()
    trace.calls(client.connect, *broker.address)
    client.loop_start()
    trace.calls(client.publish, "a", b"x")
    client.disconnect()  # paho says NO_CONN where its thread was quicker
    client.loop_stop()
    played.join(SECONDS)
    trace.waits("on_disconnect")
