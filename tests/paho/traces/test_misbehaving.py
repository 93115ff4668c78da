"""Brokers that do what they may not: garbage, wrong packets, wrong ids, half packets, silence."""

from typing import Any

from telex.wire.packets import (
    ConnAck,
    Connect,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    UnsubAck,
)
from telex.wire.properties import Properties
from tests.paho.traces.played import PlayedBroker
from tests.paho.traces.programs import EVERY, PROTOCOLS, USUAL, V3, V5, program
from tests.paho.traces.trace import Trace

SUCCESS = "ReasonCode(11, 0, 'Success')"


def _says_why(broker: PlayedBroker, trace: Trace, code: int) -> None:
    """Declare that Telex takes leave with a reason, on the last connection."""
    if trace.is_v5:
        trace.differs(
            "in MQTT 5 a client says what was wrong: [MQTT-4.13.1-1]",
            f"+ connection {len(broker.links)}: Disconnect(reason_code={code})",
        )


def _ends(mqtt: Any, broker: PlayedBroker, trace: Trace, data: bytes, code: int = 129) -> None:
    """A broker sends something after CONNACK, and the client ends the connection."""
    client, link = trace.connected(broker)
    _says_why(broker, trace, code)
    link.sends_bytes(data)
    trace.loops_to_the_end(client)
    link.is_over()


def _goes_on(mqtt: Any, broker: PlayedBroker, trace: Trace, data: bytes) -> None:
    """A broker sends something after CONNACK, and the client takes no notice."""
    client, link = trace.connected(broker)
    link.sends_bytes(data)
    link.sends(Publish("end"))
    trace.loops(client, until="on_message")
    trace.calls(client.is_connected)


@program(EVERY)
def test_garbage_ends_a_connection(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    for data in (b"\x00\x00", b"\xff\xff\xff\xff\xff\xff"):
        _ends(mqtt, broker, trace, data)


@program(PROTOCOLS)
def test_after_an_error_a_client_is_not_connected(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(
        "is_connected() is False after any end of a connection",
        "- program: is_connected() -> True",
        "+ program: is_connected() -> False",
    )
    client, link = trace.connected(broker)
    _says_why(broker, trace, 129)
    link.sends_bytes(b"\x00\x00")
    trace.loops_to_the_end(client)
    trace.calls(client.is_connected)
    link.is_over()
    trace.calls(client.reconnect)
    broker.opens()
    trace.loops(client, until="on_connect")
    trace.calls(client.is_connected)


@program(PROTOCOLS)
def test_garbage_in_place_of_connack_ends_a_connection(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    for data in (b"\x00\x00", b"\x16\x03\x01\x00\x01", b"\x20\xff\xff\xff\xff\x01", b"\x20\x01\x00"):
        client = trace.watches(trace.client())
        client.connect(*broker.address)
        link = broker.accepts()
        link.gets(Connect)
        _says_why(broker, trace, 129)
        link.sends_bytes(data)
        trace.loops_to_the_end(client)
        link.is_over()


@program(PROTOCOLS)
def test_a_remaining_length_has_at_most_four_bytes(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    _ends(mqtt, broker, trace, b"\x30\x80\x80\x80\x80\x01")


@program(PROTOCOLS)
def test_packets_that_only_clients_send_end_a_connection(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    connect = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01x"
    subscribe = b"\x82\x07\x00\x01\x00\x00\x01a\x00" if trace.is_v5 else b"\x82\x06\x00\x01\x00\x01a\x00"
    unsubscribe = b"\xa2\x06\x00\x01\x00\x00\x01a" if trace.is_v5 else b"\xa2\x05\x00\x01\x00\x01a"
    for data in (connect, subscribe, unsubscribe):
        _ends(mqtt, broker, trace, data, 130)


@program(PROTOCOLS)
def test_a_server_that_pings(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(
        "PINGREQ is the client's: section 3.12",
        "- connection 1: PingResp()",
        *trace.faulted(130),
    )
    client, link = trace.connected(broker)
    link.sends_bytes(b"\xc0\x00")
    if trace.is_paho:
        trace.gets(client, link, PingResp)
    else:
        trace.loops_to_the_end(client)


@program(V5)
def test_authentication_that_nobody_began_ends_a_connection(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    _ends(mqtt, broker, trace, b"\xf0\x00", 130)


@program(USUAL)
def test_a_second_connack(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(
        "a second CONNACK is an error: [MQTT-3.2.0-2]",
        f"- program: {trace.connected_text()}",
        f"- program: {trace.message('end')}",
        *trace.faulted(130),
    )
    client, link = trace.connected(broker)
    link.sends(ConnAck(), Publish("end"))
    if trace.is_paho:
        trace.loops(client, until="on_message")
    else:
        trace.loops_to_the_end(client)


@program(PROTOCOLS)
def test_acknowledgements_of_nothing_are_passed_over(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    link.sends(PubAck(77), PubComp(78), Publish("end"))
    trace.loops(client, until="on_message")
    trace.calls(client.publish, "a", b"x", 1)
    link.gets(Publish)
    link.sends(PubAck(2), PubAck(1), PubAck(1), Publish("end"))
    trace.loops(client, until="on_message")


@program(PROTOCOLS)
def test_answers_to_nothing(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    answers = [
        "on_subscribe(client, 'mine', 77, [ReasonCode(9, 0, 'Granted QoS 0')], Properties(9, {}))",
        f"on_unsubscribe(client, 'mine', 78, [{SUCCESS if trace.is_v5 else ''}], Properties(11, {{}}))",
        f"on_unsubscribe(client, 'mine', 1, [{SUCCESS if trace.is_v5 else ''}], Properties(11, {{}}))",
    ]
    trace.differs("answers to what was never asked are passed over", *[f"- program: {each}" for each in answers])
    client, link = trace.connected(broker)
    link.sends(SubAck(77, [0]), UnsubAck(78, [0] if trace.is_v5 else []), Publish("end"))
    trace.loops(client, until="on_message")
    trace.calls(client.subscribe, "a")
    link.gets(Subscribe)
    link.sends(UnsubAck(1, [0] if trace.is_v5 else []), SubAck(1, [0]), Publish("end"))
    trace.loops(client, until="on_message")


@program(USUAL)
def test_pubrec_of_nothing(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    code = ", reason_code=146" if trace.is_v5 else ""
    trace.differs("PUBREC is answered: [MQTT-4.3.3-4]", f"+ connection 1: PubRel(packet_id=77{code})")
    client, link = trace.connected(broker)
    link.sends(PubRec(77), Publish("end"))
    trace.loops(client, until="on_message")


@program(USUAL)
def test_pubrel_of_nothing_is_answered(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    if trace.is_v5:
        trace.differs(
            "the answer says that there is no such message: section 3.7.2.1",
            "- connection 1: PubComp(packet_id=77)",
            "+ connection 1: PubComp(packet_id=77, reason_code=146)",
        )
    client, link = trace.connected(broker)
    link.sends(PubRel(77))
    trace.gets(client, link, PubComp)


@program(USUAL)
def test_the_wrong_acknowledgement(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(
        "PUBACK ends no message of QoS 2",
        "- program: on_publish(client, 'mine', 1, ReasonCode(4, 0, 'Success'), Properties(4, {}))",
    )
    client, link = trace.connected(broker)
    trace.calls(client.publish, "a", b"x", 2)
    link.gets(Publish)
    link.sends(PubAck(1), Publish("end"))
    trace.loops(client, until="on_message")


@program(USUAL)
def test_pubcomp_before_pubrec(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(
        "PUBCOMP ends no message that was not released",
        "- program: on_publish(client, 'mine', 1, ReasonCode(7, 0, 'Success'), Properties(7, {}))",
    )
    client, link = trace.connected(broker)
    trace.calls(client.publish, "a", b"x", 2)
    link.gets(Publish)
    link.sends(PubComp(1), Publish("end"))
    trace.loops(client, until="on_message")


@program(PROTOCOLS)
def test_packets_of_a_wrong_size_end_a_connection(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    for data in (b"\x40\x01\x00", b"\x40\x00", b"\x50\x01\x00", b"\x70\x01\x00", b"\xb0\x01\x00", b"\xd0\x01\x00"):
        _ends(mqtt, broker, trace, data)


@program(PROTOCOLS)
def test_messages_of_a_wrong_form_end_a_connection(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    for data in (
        b"\x30\x00",
        b"\x30\x01\x00",
        b"\x30\x03\x00\x05a",
        b"\x32\x03\x00\x01a",
        b"\x36\x06\x00\x01a\x00\x01\x00",
    ):
        _ends(mqtt, broker, trace, data)


@program([world for world in PROTOCOLS if world.protocol < 5])
def test_a_message_without_a_topic_ends_a_connection(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    _ends(mqtt, broker, trace, b"\x30\x03\x00\x00x")


@program(V5)
def test_properties_of_a_wrong_form_end_a_connection(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    for properties in (b"\x02\x7f\x00", b"\x05\x02\x00", b"\x02\x13\x00\x05", b"\x05"):
        body = b"\x00\x01a" + properties
        _ends(mqtt, broker, trace, bytes([0x30, len(body)]) + body)


@program(V5)
def test_connack_with_properties_of_a_wrong_form(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    for properties in (b"\x02\x7f\x00", b"\x05\x02\x00", b"\x03\x01\x00\x00"):
        client = trace.watches(trace.client())
        client.connect(*broker.address)
        link = broker.accepts()
        link.gets(Connect)
        body = b"\x00\x00" + properties
        _says_why(broker, trace, 129)
        link.sends_bytes(bytes([0x20, len(body)]) + body)
        trace.loops_to_the_end(client)


@program(PROTOCOLS)
def test_messages_before_connack(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(
        "CONNACK comes first: [MQTT-3.2.0-1]",
        f"- program: {trace.message('early')}",
        *trace.faulted(130),
    )
    client = trace.watches(trace.client())
    client.connect(*broker.address)
    link = broker.accepts()
    link.gets(Connect)
    link.sends(Publish("early"))
    if trace.is_paho:
        trace.loops(client, until="on_message")
    else:
        trace.loops_to_the_end(client)


@program(USUAL)
def test_a_session_that_was_not_asked_for_is_present(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    if trace.is_v5:
        trace.differs(
            "in MQTT 5 a client must not go on then: [MQTT-3.2.2-4]",
            f"- program: {trace.connected_text(session=True)}",
            *trace.faulted(130),
        )
    client = trace.watches(trace.client())
    client.connect(*broker.address)
    broker.opens(ConnAck(session_present=True))
    if trace.is_paho or not trace.is_v5:
        trace.loops(client, until="on_connect")
    else:
        trace.loops_to_the_end(client)


@program(V5)
def test_a_topic_alias_that_stands_for_nothing(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    said = "'TopicAlias': 3"
    trace.differs(
        "a server may use no alias that it was not allowed: [MQTT-3.3.2-11]",
        f"- program: {trace.message('', b'x', said=said)}",
        *trace.faulted(148),
    )
    client, link = trace.connected(broker)
    link.sends(Publish("", b"x", properties=Properties(topic_alias=3)))
    if trace.is_paho:
        trace.loops(client, until="on_message")
    else:
        trace.loops_to_the_end(client)


@program(PROTOCOLS)
def test_a_broker_that_closes_at_once(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    client.connect(*broker.address)
    link = broker.accepts()
    link.gets(Connect)
    link.closes()
    trace.loops_to_the_end(client)


@program(V3)
def test_a_broker_that_answers_nothing_is_waited_for(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    client.connect(*broker.address)
    link = broker.accepts()
    link.gets(Connect)
    for _ in range(3):
        trace.calls(client.loop, 0.01)
    trace.calls(client.is_connected)
    trace.calls(client.want_write)


@program(PROTOCOLS)
def test_packets_in_one_write_are_handled_one_by_one(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    client.connect(*broker.address)
    link = broker.accepts()
    link.gets(Connect)
    link.sends(ConnAck(), *[Publish("a", str(number).encode()) for number in range(20)], SubAck(5, [0]))
    trace.loops(client, until="on_message", times=20)


@program(V3)
def test_what_came_behind_garbage_is_lost(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    link.sends_bytes(b"\x30\x04\x00\x01ax" + b"\x00\x00" + b"\x30\x04\x00\x01ay")
    trace.loops_to_the_end(client)


@program(V3)
def test_flags_that_a_packet_may_not_have(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(
        "reserved flags must be as the text has them: v3 [MQTT-2.2.2-2]",
        f"- program: {trace.message('end')}",
        *trace.faulted(129),
    )
    client, link = trace.connected(broker)
    link.sends_bytes(b"\xd1\x00")
    link.sends(Publish("end"))
    if trace.is_paho:
        trace.loops(client, until="on_message")
    else:
        trace.loops_to_the_end(client)


@program(V3)
def test_a_topic_with_wildcards_is_no_topic(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(
        "a topic name has no wildcards: [MQTT-3.3.2-2]",
        f"- program: {trace.message('#', b'x')}",
        *trace.faulted(144),
    )
    client, link = trace.connected(broker)
    link.sends_bytes(b"\x30\x04\x00\x01#x")
    if trace.is_paho:
        trace.loops(client, until="on_message")
    else:
        trace.loops_to_the_end(client)


@program(USUAL)
def test_an_unasked_pingresp_is_passed_over(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    _goes_on(mqtt, broker, trace, b"\xd0\x00")
