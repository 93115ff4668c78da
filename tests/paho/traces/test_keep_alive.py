"""Keeping a connection alive, and noticing that it is dead. The clock goes on by hand, but for the last programs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client
import pytest

from telex.wire.packets import ConnAck, Connect, PingReq, PingResp, Publish
from telex.wire.properties import Properties
from tests.paho.traces.played import PlayedBroker
from tests.paho.traces.programs import EVERY, PROTOCOLS, USUAL, V3, V5, program
from tests.paho.traces.trace import Trace


class Clock:
    """The monotonic clock, and what was added to it."""

    def __init__(self) -> None:
        self._real = time.monotonic
        self._added = 0.0

    def now(self) -> float:
        """What both libraries read."""
        return self._real() + self._added

    def goes_on(self, seconds: float) -> None:
        """Time passes."""
        self._added += seconds


@contextmanager
def _clock() -> Iterator[Clock]:
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paho.mqtt.client, "time_func", clock.now)
        patch.setattr(time, "monotonic", clock.now)
        yield clock


@program(PROTOCOLS)
def test_a_silent_connection_is_asked_about(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    with _clock() as clock:
        client, link = trace.connected(broker, keepalive=10)
        clock.goes_on(5)
        trace.calls(client.loop_misc)
        for _ in range(3):
            clock.goes_on(11)
            trace.calls(client.loop_misc)
            link.gets(PingReq)
            link.sends(PingResp(), Publish("a"))
            trace.loops(client, until="on_message")


@program(V3)
def test_the_question_comes_before_the_time_is_over(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(
        "PINGREQ leaves after 0.75 keep-alives, so that it is never late",
        "- program: asked after 8 s: False",
        "+ program: asked after 8 s: True",
    )
    with _clock() as clock:
        client, link = trace.connected(broker, keepalive=10)
        clock.goes_on(8)
        client.loop_misc()
        if not trace.is_paho:
            link.gets(PingReq)
        trace.tell(f"asked after 8 s: {'PingReq()' in link.written}")
        clock.goes_on(2.5)
        client.loop_misc()
        if trace.is_paho:
            link.gets(PingReq)


def _told_once(trace: Trace, lane: str = "program") -> None:
    """Declare that paho tells of a dead broker twice."""
    told = trace.disconnected(141, "Keep alive timeout")
    if trace.api == 1:
        told = f"on_disconnect(client, 'mine', MQTTErrorCode.MQTT_ERR_KEEPALIVE{', None' if trace.is_v5 else ''})"
    trace.differs("the end of a connection is told once", f"- {lane}: {told}")


@program(EVERY)
def test_a_broker_that_does_not_answer_is_dead(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    _told_once(trace)
    with _clock() as clock:
        client, link = trace.connected(broker, keepalive=10)
        clock.goes_on(11)
        trace.calls(client.loop_misc)
        link.gets(PingReq)
        clock.goes_on(11)
        trace.calls(client.loop_misc)
        trace.calls(client.is_connected)
        trace.calls(client.socket)
        trace.calls(client.loop_misc)
        link.is_over()


@program(PROTOCOLS)
def test_a_broker_that_does_not_answer_ends_loop(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    _told_once(trace)
    with _clock() as clock:
        client, link = trace.connected(broker, keepalive=10)
        clock.goes_on(11)
        trace.calls(client.loop, 0.01)
        link.gets(PingReq)
        clock.goes_on(11)
        trace.calls(client.loop, 0.01)
        trace.calls(client.reconnect)
        broker.opens()
        trace.loops(client, until="on_connect")


@program(PROTOCOLS)
def test_what_is_sent_alone_does_not_show_that_the_broker_lives(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    with _clock() as clock:
        client, link = trace.connected(broker, keepalive=10)
        for _ in range(2):
            clock.goes_on(6)
            trace.calls(client.publish, "a", b"x")
            link.gets(Publish)
        trace.calls(client.loop_misc)
        link.gets(PingReq)


@program(PROTOCOLS)
def test_what_comes_alone_does_not_show_that_we_live(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    with _clock() as clock:
        client, link = trace.connected(broker, keepalive=10)
        for _ in range(2):
            clock.goes_on(6)
            link.sends(Publish("a"))
            if trace.is_paho or "PingReq()" not in link.written:
                trace.loops(client, until="on_message")
        client.loop_misc()
        link.gets(PingReq)


@program(PROTOCOLS)
def test_without_a_keep_alive_nothing_is_asked(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    with _clock() as clock:
        client, link = trace.connected(broker, keepalive=0)
        for _ in range(3):
            clock.goes_on(100_000)
            trace.calls(client.loop_misc)
            trace.calls(client.loop, 0)
        trace.calls(client.publish, "end")
        link.gets(Publish)


@program(V5)
def test_the_server_may_say_how_often_it_is_asked(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    with _clock() as clock:
        client, link = trace.connected(broker, ConnAck(properties=Properties(server_keep_alive=5)), keepalive=60)
        trace.reads(client, "keepalive")
        clock.goes_on(6)
        trace.calls(client.loop_misc)
        link.gets(PingReq)
        trace.calls(client.reconnect)
        broker.accepts().gets(Connect)


@program(USUAL)
def test_a_broker_that_does_not_say_connack_is_given_up(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(
        "the connection is gone, and so it is said here as it is elsewhere",
        "- program: loop_misc() -> MQTTErrorCode.MQTT_ERR_SUCCESS",  # it has closed the socket
        "+ program: loop_misc() -> MQTTErrorCode.MQTT_ERR_CONN_LOST",
    )
    with _clock() as clock:
        client = trace.watches(trace.client())
        client.connect(*broker.address, 10)
        link = broker.accepts()
        link.gets(Connect)
        trace.calls(client.loop_misc)
        clock.goes_on(11)
        trace.calls(client.loop_misc)
        link.is_over()
        trace.calls(client.is_connected)
        trace.calls(client.socket)


@program(V3)
def test_a_loop_asks_by_itself(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    client.connect(*broker.address, 1)
    client.loop_start()
    link = broker.opens()
    for _ in range(2):
        link.gets(PingReq)
        link.sends(PingResp())
    trace.waits("on_connect")
    client.disconnect()
    link.is_over()
    client.loop_stop()


@program(V3)
def test_a_loop_notices_a_dead_broker_by_itself_and_comes_again(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    _told_once(trace, "paho-mqtt-client-c")
    client = trace.watches(trace.client())
    client.reconnect_delay_set(0, 0)
    client.connect(*broker.address, 1)
    client.loop_start()
    link = broker.opens()
    link.gets(PingReq)
    again = broker.opens()
    trace.waits("on_connect", 2)
    client.disconnect()
    again.is_over()
    client.loop_stop()
