"""Connections that break, at each phase, and what becomes of messages."""

import threading
from collections.abc import Callable
from typing import Any

from telex.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
)
from telex.wire.properties import Properties
from tests.paho.traces.played import SECONDS, Link, PlayedBroker
from tests.paho.traces.programs import EVERY, PROTOCOLS, USUAL, V3, V5, World, program
from tests.paho.traces.trace import Trace

KEPT = [World(4, 2), World(5, 2)]
"""Versions that say whether a session is present."""


def _kept(trace: Trace, broker: PlayedBroker) -> tuple[Any, Link]:
    """A client whose session outlives its connections."""
    if trace.is_v5:
        properties = trace.mqtt.Properties(trace.mqtt.PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600
        client = trace.watches(trace.client())
        client.connect(*broker.address, clean_start=False, properties=properties)
    else:
        client = trace.watches(trace.client(clean_session=False))
        client.connect(*broker.address)
    link = broker.opens()
    trace.loops(client, until="on_connect")
    return client, link


def _again(trace: Trace, broker: PlayedBroker, client: Any, *, session: bool) -> Link:
    """The next connection of a client."""
    trace.calls(client.reconnect)
    link = broker.opens(ConnAck(session_present=session))
    trace.loops(client, until="on_connect")
    return link


# Phases of a connection


@program(EVERY)
def test_a_connection_is_lost_before_connack(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    trace.calls(client.connect, *broker.address)
    link = broker.accepts()
    link.gets(Connect)
    link.closes()
    trace.loops_to_the_end(client)
    trace.calls(client.is_connected)
    _again(trace, broker, client, session=False)


@program(PROTOCOLS)
def test_a_connection_is_reset_before_connack(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    trace.calls(client.connect, *broker.address)
    link = broker.accepts()
    link.gets(Connect)
    link.resets()
    trace.loops_to_the_end(client)


@program(PROTOCOLS)
def test_a_connection_is_lost_within_a_packet(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    whole = b"\x30\x08\x00\x01aabcde" if not trace.is_v5 else b"\x30\x09\x00\x01a\x00abcde"
    for length in (1, 2, 3, 5, len(whole) - 1):
        client, link = trace.connected(broker)
        link.sends_bytes(whole[:length])
        link.closes()
        trace.loops_to_the_end(client)


@program(PROTOCOLS)
def test_a_connection_is_lost_within_connack(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    for length in (1, 2, 3):
        client = trace.watches(trace.client())
        client.connect(*broker.address)
        link = broker.accepts()
        link.gets(Connect)
        link.sends_bytes(b"\x20\x03\x00\x00\x00"[:length] if trace.is_v5 else b"\x20\x02\x00\x00"[:length])
        link.closes()
        trace.loops_to_the_end(client)


@program(PROTOCOLS)
def test_what_came_before_the_end_is_still_received(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    link.sends(Publish("a", b"1"), Publish("a", b"2"), Publish("a", b"3"))
    link.closes()
    trace.loops(client, until="on_message", times=3)
    trace.loops_to_the_end(client)


@program(PROTOCOLS)
def test_the_first_bytes_of_a_packet_do_not_reach_the_next_connection(
    mqtt: Any, broker: PlayedBroker, trace: Trace
) -> None:
    client, link = trace.connected(broker)
    link.sends_bytes(b"\x30\x7f\x00\x01a")
    link.closes()
    trace.loops_to_the_end(client)
    again = _again(trace, broker, client, session=False)
    again.sends(Publish("a", b"whole"))
    trace.loops(client, until="on_message")


@program(PROTOCOLS)
def test_packets_come_byte_by_byte(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    client.connect(*broker.address)
    link = broker.accepts()
    link.gets(Connect)
    connack = b"\x20\x03\x00\x00\x00" if trace.is_v5 else b"\x20\x02\x00\x00"
    publish = b"\x30\x05\x00\x01a\x00x" if trace.is_v5 else b"\x30\x04\x00\x01ax"
    for byte in connack:
        link.sends_bytes(bytes([byte]))
        trace.calls(client.loop, 0.01)
    trace.loops(client, until="on_connect")
    for byte in publish:
        link.sends_bytes(bytes([byte]))
        trace.calls(client.loop, 0.01)
    trace.loops(client, until="on_message")


# Messages to the broker

Step = Callable[[Any, Link, Trace], None]


def _not_answered(client: Any, link: Link, trace: Trace) -> None:
    """The PUBLISH packets have left, nothing came."""


def _received(client: Any, link: Link, trace: Trace) -> None:
    """PUBREC came, PUBREL has left."""
    link.sends(PubRec(2))
    trace.gets(client, link, PubRel)


def _declare_new(trace: Trace, *publications: str) -> None:
    """Declare how these PUBLISH packets are sent again: ``topic='a', payload=b'1', qos=1,`` and the packet id."""
    for publication in publications:
        said, packet_id = publication.rsplit(" ", 1)
        trace.differs(
            "what a new session is sent is not sent again: DUP is not set",
            f"- connection 2: Publish({said} dup=True, packet_id={packet_id})",
            f"+ connection 2: Publish({said} packet_id={packet_id})",
        )


def _in_flight(trace: Trace, broker: PlayedBroker, client: Any, link: Link, step: Step, *, session: bool) -> None:
    infos = [trace.calls(client.publish, f"a/{qos}", str(qos), qos) for qos in (1, 2, 0)]
    for _ in infos:
        link.gets(Publish)
    step(client, link, trace)
    link.closes()
    trace.loops_to_the_end(client)
    for info in infos:
        trace.calls(info.is_published)
    again = _again(trace, broker, client, session=session)
    kinds = {type(again.gets(Packet)) for _ in range(2)}
    again.sends(PubAck(1))
    trace.loops(client, until="on_publish", times=2)
    if PubRel not in kinds:
        again.sends(PubRec(2))
        trace.gets(client, again, PubRel)
    again.sends(PubComp(2))
    trace.loops(client, until="on_publish")
    for info in infos:
        trace.calls(info.is_published)


@program(KEPT)
def test_a_kept_session_completes_what_was_not_answered(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = _kept(trace, broker)
    _in_flight(trace, broker, client, link, _not_answered, session=True)


@program(KEPT)
def test_a_kept_session_completes_what_was_received(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(
        "what was received already is released first",
        "- connection 2: PubRel(packet_id=2)",
        "+ connection 2: PubRel(packet_id=2)",
    )
    client, link = _kept(trace, broker)
    _in_flight(trace, broker, client, link, _received, session=True)


@program(KEPT)
def test_where_the_session_is_gone_all_is_sent_again(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    _declare_new(trace, "topic='a/1', payload=b'1', qos=1, 1", "topic='a/2', payload=b'2', qos=2, 2")
    client, link = _kept(trace, broker)
    _in_flight(trace, broker, client, link, _not_answered, session=False)


@program(PROTOCOLS)
def test_with_a_clean_session_all_is_sent_again(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    _declare_new(trace, "topic='a/1', payload=b'1', qos=1, 1", "topic='a/2', payload=b'2', qos=2, 2")
    client, link = trace.connected(broker)
    _in_flight(trace, broker, client, link, _not_answered, session=False)


@program(PROTOCOLS)
def test_with_a_clean_session_what_was_received_is_sent_again(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    _declare_new(trace, "topic='a/1', payload=b'1', qos=1, 1")
    if trace.is_v5:  # where paho asks for a clean start the first time only
        trace.differs(
            "a server that has no session has not got the message either",
            "+ connection 2: Publish(topic='a/2', payload=b'2', qos=2, packet_id=2)",
        )
    else:
        _declare_new(trace, "topic='a/2', payload=b'2', qos=2, 2")
    client, link = trace.connected(broker)
    _in_flight(trace, broker, client, link, _received, session=False)


@program(PROTOCOLS)
def test_what_is_published_meanwhile_is_sent_behind_the_rest(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    _declare_new(trace, "topic='a', payload=b'1', qos=1, 1")
    client, link = trace.connected(broker)
    trace.calls(client.publish, "a", b"1", 1)
    link.gets(Publish)
    link.closes()
    trace.loops_to_the_end(client)
    for qos in (1, 2, 0):
        trace.calls(client.publish, "b", b"2", qos)
    again = _again(trace, broker, client, session=False)
    for _ in range(3):
        again.gets(Publish)
    trace.calls(client.publish, "c", b"3", 1)
    again.gets(Publish)


@program(PROTOCOLS)
def test_what_did_not_fit_in_flight_follows_after_a_reconnection(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    _declare_new(trace, "topic='a', payload=b'0', qos=1, 1", "topic='a', payload=b'1', qos=1, 2")
    trace.differs(
        "rc says that there is no connection, however many messages are unfinished",
        "- program: publish('a', '4', 1) -> MQTTMessageInfo(rc=MQTTErrorCode.MQTT_ERR_SUCCESS, mid=5)",
        "+ program: publish('a', '4', 1) -> MQTTMessageInfo(rc=MQTTErrorCode.MQTT_ERR_NO_CONN, mid=5)",
    )
    client = trace.watches(trace.client())
    client.max_inflight_messages_set(2)
    client.connect(*broker.address)
    link = broker.opens()
    trace.loops(client, until="on_connect")
    for number in range(4):
        trace.calls(client.publish, "a", str(number), 1)
    link.gets(Publish)
    link.gets(Publish)
    link.closes()
    trace.loops_to_the_end(client)
    trace.calls(client.publish, "a", "4", 1)
    again = _again(trace, broker, client, session=False)
    for number in range(1, 6):
        assert again.gets(Publish).packet_id == number
        again.sends(PubAck(number))
        trace.loops(client, until="on_publish")


@program(V3)
def test_qos_0_that_was_not_written_is_lost(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    client.on_publish = None
    link.stalls()
    info = client.publish("a", bytes(20 << 20))
    trace.calls(info.is_published)
    trace.calls(client.reconnect)
    trace.reads(info, "rc")
    trace.calls(info.is_published)
    trace.calls(info.wait_for_publish, 1)
    link.flows()
    broker.opens()
    trace.loops(client, until="on_connect")


# Messages from the broker

AT_PUBLISH = "a message is handed out when its first PUBLISH comes, not at PUBREL"


@program(KEPT)
def test_a_message_that_was_not_released_is_received_once(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(
        AT_PUBLISH,
        f"- program: {trace.message('a', b'x', 2, mid=9, dup=True)}",
        f"+ program: {trace.message('a', b'x', 2, mid=9)}",
    )
    client, link = _kept(trace, broker)
    link.sends(Publish("a", b"x", 2, packet_id=9))
    trace.gets(client, link, PubRec)
    link.closes()
    trace.loops_to_the_end(client)
    again = _again(trace, broker, client, session=True)
    again.sends(Publish("a", b"x", 2, dup=True, packet_id=9))
    trace.gets(client, again, PubRec)
    again.sends(PubRel(9))
    trace.gets(client, again, PubComp)


@program(KEPT)
def test_a_message_is_released_on_another_connection(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(
        AT_PUBLISH,
        f"- program: {trace.message('a', b'x', 2, mid=9)}",
        f"+ program: {trace.message('a', b'x', 2, mid=9)}",
    )
    client, link = _kept(trace, broker)
    link.sends(Publish("a", b"x", 2, packet_id=9))
    trace.gets(client, link, PubRec)
    link.closes()
    trace.loops_to_the_end(client)
    again = _again(trace, broker, client, session=True)
    again.sends(PubRel(9))
    trace.gets(client, again, PubComp)


@program(KEPT)
def test_where_the_session_is_gone_a_packet_id_is_a_new_message(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(AT_PUBLISH, f"+ program: {trace.message('a', b'old', 2, mid=9)}")
    client, link = _kept(trace, broker)
    link.sends(Publish("a", b"old", 2, packet_id=9))
    trace.gets(client, link, PubRec)
    link.closes()
    trace.loops_to_the_end(client)
    again = _again(trace, broker, client, session=False)
    again.sends(Publish("a", b"new", 2, packet_id=9))
    trace.gets(client, again, PubRec)
    again.sends(PubRel(9))
    trace.gets(client, again, PubComp)


@program(KEPT)
def test_what_was_not_acknowledged_comes_again(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = _kept(trace, broker)
    client.manual_ack_set(True)
    link.sends(Publish("a", b"x", 1, packet_id=9))
    trace.loops(client, until="on_message")
    link.closes()
    trace.loops_to_the_end(client)
    trace.calls(client.ack, 9, 1)
    again = _again(trace, broker, client, session=True)
    again.sends(Publish("a", b"x", 1, dup=True, packet_id=9))
    trace.loops(client, until="on_message")
    trace.calls(client.ack, 9, 1)
    again.gets(PubAck)


# By itself


@program(EVERY)
def test_loop_forever_connects_again(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    trace.calls(client.reconnect_delay_set, 0, 0)

    def leave(*_: Any) -> None:
        client.disconnect()

    trace.watches(client, on_message=leave)
    client.connect(*broker.address)

    def script() -> None:
        broker.opens().closes()
        broker.opens().resets()
        broker.opens().sends(Publish("end"))

    played = threading.Thread(target=script)
    played.start()
    trace.calls(client.loop_forever)
    played.join(SECONDS)


@program(PROTOCOLS)
def test_a_thread_connects_again_and_completes_what_it_began(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    _declare_new(trace, "topic='b', payload=b'x', qos=1, 2")
    client = trace.client()
    client.reconnect_delay_set(0, 0)
    trace.watches(client, on_connect=lambda *_: trace.calls(client.subscribe, "a", 1))
    client.connect(*broker.address)
    trace.calls(client.loop_start)
    link = broker.opens()
    link.gets(Subscribe)
    link.sends(SubAck(1, [1]))
    trace.waits("on_subscribe")
    info = trace.calls(client.publish, "b", b"x", 1)
    link.gets(Publish)
    link.closes()
    again = broker.opens()
    again.gets(Subscribe)
    again.gets(Publish)
    again.sends(SubAck(3, [1]), PubAck(2))
    trace.waits("on_publish")
    trace.calls(info.wait_for_publish, SECONDS)
    client.disconnect()
    again.is_over()
    client.loop_stop()


@program(USUAL)
def test_a_broker_that_is_away_for_a_while(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    client.reconnect_delay_set(0, 0)

    def start(*_: Any) -> None:
        if trace.counts("on_connect_fail") == 2:
            broker.starts()

    trace.watches(client, on_connect_fail=start)
    client.connect(*broker.address)
    client.loop_start()
    link = broker.opens()
    trace.waits("on_connect")
    broker.stops()
    link.closes()
    again = broker.opens()
    trace.waits("on_connect")
    client.disconnect()
    again.is_over()
    client.loop_stop()


@program(V3)
def test_disconnect_ends_attempts_to_connect_again(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    trace.watches(client, on_connect_fail=lambda *_: trace.calls(client.disconnect))
    client.reconnect_delay_set(0, 0)
    client.connect(*broker.address)
    link = broker.opens()
    broker.stops()
    link.closes()
    trace.calls(client.loop_forever)
    trace.calls(client.is_connected)


@program(V3)
def test_disconnect_within_on_disconnect_ends_the_loop(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(
        "disconnect() is the program's word, also within on_disconnect",
        "- program: on_pre_connect(client, 'mine')",
        "- program: on_socket_open(client, 'mine', an open socket)",
        f"- program: {trace.connected_text()}",
        f"- program: {trace.disconnected(0, 'Normal disconnection')}",
        "- program: on_socket_close(client, 'mine', an open socket)",
        "- program: loop_forever() -> MQTTErrorCode.MQTT_ERR_NO_CONN",
        "- connection 2: Connect(client_id='c', version=4, clean_start=True, keep_alive=60)",
        "- connection 2: Disconnect()",
        "+ program: loop_forever() -> MQTTErrorCode.MQTT_ERR_CONN_LOST",
    )
    client = trace.client()
    client.reconnect_delay_set(0, 0)

    def give_up(*_: Any) -> None:
        if trace.counts("on_disconnect") == 0:
            trace.calls(client.disconnect)

    def leave(*_: Any) -> None:
        if trace.counts("on_connect") == 1:
            client.disconnect()

    trace.watches(client, on_disconnect=give_up, on_connect=leave)
    client.connect(*broker.address)

    def script() -> None:
        broker.opens().closes()
        if trace.is_paho:
            broker.opens()

    played = threading.Thread(target=script)
    played.start()
    trace.calls(client.loop_forever)
    played.join(SECONDS)


@program(V3)
def test_reconnect_within_on_disconnect(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()

    def again(*_: Any) -> None:
        if trace.counts("on_disconnect") == 0:
            trace.calls(client.reconnect)

    # Not on_socket_open and on_socket_close: with these paho waits for ever for itself.
    trace.watches(client, "on_connect", on_disconnect=again)
    client.connect(*broker.address)
    broker.opens().closes()
    trace.loops_to_the_end(client)
    trace.calls(client.socket)
    link = broker.accepts()
    trace.gets(client, link, Connect)
    link.sends(ConnAck())
    trace.loops(client, until="on_connect", times=2)


# A server that says goodbye (MQTT 5)


@program([world for world in EVERY if world.protocol == 5])
def test_a_server_says_why_it_ends_a_connection(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    if trace.api == 1:
        trace.differs(
            "reason 0 is none, however a packet says that: section 3.14.2.1",
            "- program: on_disconnect(client 4, 'mine', ReasonCode(14, 0, 'Normal disconnection'), None)",
            "+ program: on_disconnect(client 4, 'mine', None, None)",
        )
        taken = "on_disconnect(client 3, 'mine', ReasonCode(14, 142, 'Session taken over')"
        trace.differs(
            "and so are no properties",
            f"- program: {taken}, Properties(14, {{}}))",
            f"+ program: {taken}, None)",
        )
    said = Properties(reason_string="enough", server_reference="b.example", user_properties=(("a", "b"),))
    for packet in (b"\xe0\x00", b"\xe0\x01\x8b", b"\xe0\x02\x8e\x00", b"\xe0\x01\x00", b"\xe0\x01\x04"):
        client, link = trace.connected(broker)
        link.sends_bytes(packet)
        trace.loops_to_the_end(client)
        trace.calls(client.is_connected)
        trace.differs(
            "is_connected() is False after any end of a connection",
            "- program: is_connected() -> True",
            "+ program: is_connected() -> False",
        )
    client, link = trace.connected(broker)
    link.sends(Disconnect(0x9C, said))
    trace.loops_to_the_end(client)
    _again(trace, broker, client, session=False)


@program(V5)
def test_after_a_goodbye_the_loop_connects_again(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    client.reconnect_delay_set(0, 0)
    trace.watches(client, on_message=lambda *_: client.disconnect())
    client.connect(*broker.address)

    def script() -> None:
        link = broker.opens()
        link.sends_bytes(b"\xe0\x01\x8b")
        link.is_over()
        broker.opens().sends(Publish("end"))

    played = threading.Thread(target=script)
    played.start()
    trace.calls(client.loop_forever)
    played.join(SECONDS)


@program(V3)
def test_before_v5_a_server_has_no_goodbye(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    link.sends_bytes(b"\xe0\x00")
    trace.loops_to_the_end(client)
