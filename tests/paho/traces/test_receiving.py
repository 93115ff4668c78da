"""What a client is sent: messages, who gets them, and when they are acknowledged."""

from typing import Any

from telex.wire.packets import ConnAck, PubAck, PubComp, Publish, PubRec, PubRel
from telex.wire.properties import Properties
from tests.paho.traces.played import Link, PlayedBroker
from tests.paho.traces.programs import APIS_OF_V5, EVERY, PROTOCOLS, USUAL, V3, V5, program
from tests.paho.traces.trace import Trace


def _sends_qos_2(client: Any, link: Link, trace: Trace, message: Publish) -> None:
    """A message and all that belongs to it."""
    link.sends(message)
    trace.gets(client, link, PubRec)
    link.sends(PubRel(message.packet_id))
    trace.gets(client, link, PubComp)


@program(EVERY)
def test_messages_of_each_qos_are_received(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    link.sends(Publish("a/b", b"zero"))
    trace.loops(client, until="on_message")
    link.sends(Publish("ü/€", b"\x00one\xff", 1, packet_id=65_535))
    trace.loops(client, until="on_message")
    link.gets(PubAck)
    _sends_qos_2(client, link, trace, Publish("a/b", b"two", 2, packet_id=1))
    link.sends(Publish("/", b"", retain=True), Publish("a", b"", 1, True, True, 7))
    trace.loops(client, until="on_message", times=3)
    link.gets(PubAck)


@program(V3)
def test_a_message_has_more_fields(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()

    def look(_client: Any, _userdata: Any, message: Any) -> None:
        trace.reads(message, "topic", "payload", "qos", "retain", "dup", "mid", "state", "info", "properties")
        trace.tell(f"timestamp {type(message.timestamp).__name__}, {message.timestamp > 0}")
        trace.calls(message.info.is_published)
        trace.writes(message, "topic", b"another")
        trace.writes(message, "payload", b"another")
        trace.writes(message, "unheard_of", 1)

    trace.watches(client, on_message=look)
    client.connect(*broker.address)
    link = broker.opens()
    link.sends(Publish("a", b"x"), Publish("a", b"y", 1, packet_id=5))
    trace.loops(client, until="on_message", times=2)


@program(V3)
def test_messages_are_equal_by_their_mids(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    one, other, third = mqtt.MQTTMessage(1, b"a"), mqtt.MQTTMessage(1, b"b"), mqtt.MQTTMessage(2, b"a")
    trace.tell(f"{one == other}, {one != other}, {one == third}, {one != third}, {one == 1}, {one != 1}")
    trace.tell(trace.text(mqtt.MQTTMessage()))
    trace.reads(mqtt.MQTTMessage(3, b"\xff"), "mid", "topic", "state", "timestamp", "info")
    trace.calls(hash, one)
    trace.calls(vars, one)


@program(APIS_OF_V5)
def test_a_message_has_properties(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    said = Properties(
        payload_format_indicator=1,
        message_expiry_interval=9,
        content_type="text",
        response_topic="r",
        correlation_data=b"\x00\xff",
        subscription_identifiers=(1, 2, 268_435_455),
        user_properties=(("a", "1"), ("a", "2")),
    )
    link.sends(Publish("a", b"x", 0, properties=said), Publish("a", b"x", 1, packet_id=3, properties=said))
    trace.loops(client, until="on_message", times=2)
    link.sends(Publish("a", b"x", 0))
    trace.loops(client, until="on_message")


@program(PROTOCOLS)
def test_large_messages_come_whole(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    payload = bytes(range(256)) * 4096  # 1 MiB
    told: list[bool] = []
    client.on_message = lambda _client, _userdata, message: told.append(message.payload == payload)
    sender = trace.thread(link.sends, Publish("large", payload), name="sender")
    trace.loops_until(client, lambda: bool(told))
    sender.ends()
    trace.lanes.pop("sender")
    trace.tell(f"{told}")
    info = client.publish("large", payload)
    trace.loops_until(client, lambda: link.has_packet)
    trace.tell(f"{link.gets(Publish).payload == payload}")
    trace.calls(info.is_published)


# Topic callbacks


@program(PROTOCOLS)
def test_topic_callbacks_come_before_on_message(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    for topic in ("a/b", "a/+", "a/#", "#", "+/b", "b/#", "$SYS/#", "+/+/c", "/+"):
        trace.calls(client.message_callback_add, topic, trace.watcher(f"callback of {topic}"))
    client.connect(*broker.address)
    link = broker.opens()
    topics = ("a/b", "a", "a/c", "b", "b/b", "$SYS/up", "x/y/c", "/x", "a/b/c/d", "z")
    link.sends(*[Publish(topic, topic.encode()) for topic in topics], Publish("end/b"))
    trace.loops(client, until="callback of +/b", times=3)
    trace.calls(client.message_callback_remove, "#")
    trace.calls(client.message_callback_remove, "never/there")
    link.sends(*[Publish(topic) for topic in topics], Publish("end"))
    trace.loops(client, until="on_message", times=2)


@program(V3)
def test_a_topic_callback_may_be_replaced_and_removed(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    trace.calls(client.message_callback_add, "a", trace.watcher("first"))
    trace.calls(client.message_callback_add, "a", trace.watcher("second"))
    link.sends(Publish("a"))
    trace.loops(client, until="second")
    trace.calls(client.message_callback_remove, "a")
    trace.calls(client.message_callback_remove, "a")
    link.sends(Publish("a"))
    trace.loops(client, until="on_message")
    trace.calls(client.message_callback_add, None, trace.watcher("x"))
    trace.calls(client.message_callback_add, "a", None)
    trace.calls(client.message_callback_add, 7, trace.watcher("x"))
    trace.calls(client.message_callback_remove, None)
    trace.calls(client.message_callback_remove, 7)
    trace.calls(client.message_callback_add, "", trace.watcher("empty"))
    trace.calls(client.message_callback_add, "a/#/b", trace.watcher("no filter"))
    link.sends(Publish("a/x/b"), Publish("a"))
    trace.loops(client, until="on_message", times=2)


@program(V3)
def test_topic_callbacks_alone_are_enough(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    client.message_callback_add("a", trace.watcher("a"))
    client.connect(*broker.address)
    link = broker.opens()
    link.sends(Publish("b", b"nobody's", 1, packet_id=4), Publish("a", b"x", 1, packet_id=5))
    trace.loops(client, until="a")
    link.gets(PubAck)
    link.gets(PubAck)


@program(V3)
def test_callbacks_change_callbacks(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()

    def change(*_: Any) -> None:
        client.message_callback_add("a", trace.watcher("of a"))
        client.on_message = trace.watcher("another on_message")

    trace.watches(client, on_message=change)
    client.connect(*broker.address)
    link = broker.opens()
    link.sends(Publish("a"), Publish("a"), Publish("b"))
    trace.loops(client, until="another on_message")


# Acknowledgements


@program(PROTOCOLS)
def test_a_message_is_acknowledged_after_its_callback(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    trace.watches(client, on_message=lambda *_: client.publish("before", b""))
    client.connect(*broker.address)
    link = broker.opens()
    link.sends(Publish("a", b"x", 1, packet_id=3))
    trace.loops(client, until="on_message")
    link.gets(Publish)
    link.gets(PubAck)


@program(PROTOCOLS)
def test_messages_are_acknowledged_by_hand(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client(manual_ack=True))
    client.connect(*broker.address)
    link = broker.opens()
    link.sends(Publish("a", b"0"), Publish("a", b"1", 1, packet_id=3), Publish("a", b"2", 1, packet_id=4))
    trace.loops(client, until="on_message", times=3)
    trace.calls(client.ack, 0, 0)
    trace.calls(client.ack, 3, 1)
    link.gets(PubAck)
    trace.calls(client.ack, 4, 1)
    link.gets(PubAck)
    trace.calls(client.publish, "end")
    link.gets(Publish)


@program(PROTOCOLS)
def test_qos_2_is_acknowledged_by_hand(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client(manual_ack=True))
    client.connect(*broker.address)
    link = broker.opens()
    link.sends(Publish("a", b"2", 2, packet_id=5))
    if trace.is_paho:
        trace.gets(client, link, PubRec)
        link.sends(PubRel(5))
        trace.loops(client, until="on_message")
        trace.calls(client.ack, 5, 2)
    else:
        trace.loops(client, until="on_message")
        trace.calls(client.ack, 5, 2)
        link.gets(PubRec)
        link.sends(PubRel(5))
    trace.gets(client, link, PubComp)


@program(PROTOCOLS)
def test_manual_ack_can_be_switched(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    trace.calls(client.ack, 1, 1)  # nothing, as long as it is off
    link.sends(Publish("a", b"1", 1, packet_id=3))
    trace.loops(client, until="on_message")
    link.gets(PubAck)
    trace.calls(client.manual_ack_set, True)
    link.sends(Publish("a", b"1", 1, packet_id=4))
    trace.loops(client, until="on_message")
    trace.calls(client.manual_ack_set, False)
    trace.calls(client.ack, 4, 1)
    trace.calls(client.manual_ack_set, True)
    trace.calls(client.ack, 4, 1)
    link.gets(PubAck)
    trace.calls(client.disconnect)
    trace.calls(client.ack, 4, 1)


@program(PROTOCOLS)
def test_a_callback_acknowledges_by_hand(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client(manual_ack=True)
    trace.watches(client, on_message=lambda _c, _u, message: trace.calls(client.ack, message.mid, message.qos))
    client.connect(*broker.address)
    link = broker.opens()
    link.sends(Publish("a", b"1", 1, packet_id=3))
    trace.loops(client, until="on_message")
    trace.gets(client, link, PubAck)


@program(PROTOCOLS)
def test_another_thread_acknowledges(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client(manual_ack=True))
    client.connect(*broker.address)
    client.loop_start()
    link = broker.opens()
    link.sends(Publish("a", b"1", 1, packet_id=3))
    trace.waits("on_message")
    trace.calls(client.ack, 3, 1)
    link.gets(PubAck)
    client.disconnect()
    client.loop_stop()


@program(PROTOCOLS)
def test_a_repeated_qos_2_message_is_received_once(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(
        "a message is handed out when its first PUBLISH comes, not at PUBREL",
        f"- program: {trace.message('a', b'2', 2, mid=5, dup=True)}",
        f"+ program: {trace.message('a', b'2', 2, mid=5)}",
    )
    client, link = trace.connected(broker)
    link.sends(Publish("a", b"2", 2, packet_id=5))
    trace.gets(client, link, PubRec)
    link.sends(Publish("a", b"2", 2, dup=True, packet_id=5))
    trace.gets(client, link, PubRec)
    link.sends(PubRel(5))
    trace.gets(client, link, PubComp)
    link.sends(Publish("a", b"another", 2, packet_id=5))
    trace.gets(client, link, PubRec)
    link.sends(PubRel(5))
    trace.gets(client, link, PubComp)


@program(APIS_OF_V5)
def test_a_server_uses_a_topic_alias(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    said = "'TopicAlias': 2"
    trace.differs(
        "a topic alias is replaced by what it stands for",
        f"- program: {trace.message('', b'2', said=said)}",
        f"+ program: {trace.message('a/b', b'2', said=said)}",
    )
    properties = mqtt.Properties(mqtt.PacketTypes.CONNECT)
    properties.TopicAliasMaximum = 3
    client = trace.watches(trace.client())
    client.connect(*broker.address, properties=properties)
    link = broker.opens()
    link.sends(
        Publish("a/b", b"1", properties=Properties(topic_alias=2)),
        Publish("", b"2", properties=Properties(topic_alias=2)),
    )
    trace.loops(client, until="on_message", times=2)


@program(USUAL)
def test_a_topic_that_is_no_utf_8_raises_where_it_is_read(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    unreadable = trace.message("?", b"payload").replace("'?'", "UnicodeDecodeError")
    trace.differs(
        "a topic that is no UTF-8 ends the connection: [MQTT-1.5.4-1]",
        f"- program: {unreadable}",
        f"- program: {trace.message('end')}",
        *trace.faulted(129),
    )
    client, link = trace.connected(broker)
    body = b"\x00\x02\xff\xfe" + (b"\x00" if trace.is_v5 else b"") + b"payload"
    link.sends_bytes(bytes([0x30, len(body)]) + body)
    link.sends(Publish("end"))
    trace.loops_until(client, lambda: trace.counts("on_message") == 2 or client.socket() is None)


@program(V5)
def test_what_a_server_forbids_it_may_do(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker, ConnAck(properties=Properties(maximum_qos=0, retain_available=0)))
    link.sends(Publish("a", b"x", retain=True))
    trace.loops(client, until="on_message")
