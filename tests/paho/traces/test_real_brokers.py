"""Programs on real brokers: Telex, and Debian's Mosquitto. All that they say passes a relay that writes it down."""

from typing import Any

import pytest

from telex.wire.packets import Connect
from tests.paho.traces.played import PlayedBroker
from tests.paho.traces.programs import EVERY, PROTOCOLS, Program, World, compare
from tests.paho.traces.trace import Trace
from tests.processes import Server


@pytest.fixture(params=["broker", "debian_mosquitto"], ids=["telex", "mosquitto"])
def server(request: pytest.FixtureRequest) -> Server:
    """A real broker."""
    found: Server = request.getfixturevalue(request.param)
    return found


def _compare(program: Program, world: World, server: Server) -> None:
    compare(program, world, lambda: PlayedBroker(upstream=("127.0.0.1", server.port)))


def _life(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client("traces"))
    client.message_callback_add("traces/special/+", trace.watcher("special"))
    trace.calls(client.connect, *broker.address)
    trace.loops(client, until="on_connect")
    link = broker.accepts()
    sender = trace.watches(trace.client("sender"))
    sender.connect(*broker.address)
    trace.loops(sender, until="on_connect")

    trace.calls(client.subscribe, [("traces/#", 2), ("other", 1)])
    trace.loops(client, until="on_subscribe")
    for qos in (0, 1, 2):
        trace.calls(sender.publish, f"traces/{qos}", f"at QoS {qos}", qos)
        trace.loops(sender, until="on_publish")
        trace.loops(client, until="on_message")
    trace.loops_until(client, lambda: "PubComp(packet_id=2)" in link.written)  # paho is there already
    trace.calls(sender.publish, "traces/special/x", b"\x00\xff")
    trace.loops(client, until="special")
    trace.calls(sender.publish, "traces/kept", "kept", 1, True)
    trace.loops(sender, until="on_publish", times=2)
    trace.loops(client, until="on_message")
    trace.calls(client.unsubscribe, "traces/#")
    trace.loops(client, until="on_unsubscribe")
    trace.calls(client.subscribe, "traces/kept")
    trace.loops(client, until="on_subscribe")
    trace.loops(client, until="on_message")
    trace.calls(sender.publish, "traces/kept", None, 1, True)
    trace.loops(sender, until="on_publish")
    trace.loops(client, until="on_message")
    trace.calls(client.disconnect)
    link.is_over()


@pytest.mark.parametrize("world", EVERY, ids=str)
def test_a_life_with_messages_of_each_qos(server: Server, world: World) -> None:
    _compare(_life, world, server)


def _threads(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client("traces")
    trace.watches(client, on_connect=lambda *_: client.subscribe("traces/#", 1))
    client.connect(*broker.address)
    client.loop_start()
    trace.waits("on_subscribe")
    info = trace.calls(client.publish, "traces/a", "x", 1)
    trace.calls(info.wait_for_publish, 10)
    trace.waits("on_message")
    trace.waits("on_publish")
    client.disconnect()
    broker.accepts().is_over()
    client.loop_stop()


@pytest.mark.parametrize("world", PROTOCOLS, ids=str)
def test_a_life_in_a_thread(server: Server, world: World) -> None:
    _compare(_threads, world, server)


def _session(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    if trace.is_v5:
        properties = mqtt.Properties(mqtt.PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 60
        client, named = trace.client("traces"), {"clean_start": False, "properties": properties}
    else:
        client, named = trace.client("traces", clean_session=False), {}
    sender = trace.client("sender")
    trace.watches(client)
    trace.watches(sender, "on_connect", "on_publish")
    trace.calls(client.connect, *broker.address, **named)
    trace.loops(client, until="on_connect")
    trace.calls(client.subscribe, "traces/session", 2)
    trace.loops(client, until="on_subscribe")
    trace.calls(client.disconnect)
    broker.accepts().is_over()
    trace.calls(sender.connect, *broker.address)
    trace.loops(sender, until="on_connect")
    for qos in (1, 2):
        trace.calls(sender.publish, "traces/session", f"while it was away, {qos}", qos)
        trace.loops(sender, until="on_publish")
    trace.calls(client.reconnect)
    trace.loops(client, until="on_message", times=2)
    again = broker.links[2]
    trace.loops_until(
        client, lambda: any(line.startswith("PubComp") for line in again.written)
    )  # paho is there already
    trace.calls(client.unsubscribe, "traces/session")
    trace.loops(client, until="on_unsubscribe")
    trace.calls(client.disconnect)
    for _ in range(2):
        link = broker.accepts()
    link.is_over()
    # The session is not to be there when the other library comes.
    last = trace.client("traces")
    trace.watches(last, "on_connect")
    last.connect(*broker.address)
    trace.loops(last, until="on_connect")
    last.disconnect()
    broker.accepts().is_over()


@pytest.mark.parametrize("world", PROTOCOLS, ids=str)
def test_a_session_outlives_its_connection(server: Server, world: World) -> None:
    _compare(_session, world, server)


def _will(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    listener = trace.watches(trace.client("listener"), "on_connect", "on_message", "on_subscribe")
    listener.connect(*broker.address)
    trace.loops(listener, until="on_connect")
    trace.calls(listener.subscribe, "traces/will", 1)
    trace.loops(listener, until="on_subscribe")
    broker.accepts()
    client = trace.watches(trace.client("traces"), "on_connect")
    trace.calls(client.will_set, "traces/will", "gone", 1)
    client.connect(*broker.address)
    trace.loops(client, until="on_connect")
    link = broker.accepts()
    link.gets(Connect)
    link.resets()
    trace.loops(listener, until="on_message")


@pytest.mark.parametrize("world", PROTOCOLS, ids=str)
def test_a_will_is_published(server: Server, world: World) -> None:
    _compare(_will, world, server)
