"""What a client publishes: return values, packets, acknowledgements, limits."""

import threading
from typing import Any

from telex.wire.packets import ConnAck, Connect, Disconnect, PubAck, PubComp, Publish, PubRec, PubRel, Subscribe
from telex.wire.properties import Properties
from tests.paho.traces.played import SECONDS, PlayedBroker
from tests.paho.traces.programs import APIS_OF_V5, EVERY, PROTOCOLS, USUAL, V3, V5, program
from tests.paho.traces.trace import Trace


@program(EVERY)
def test_a_message_of_each_qos_is_published(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    none = trace.calls(client.publish, "a/b", b"zero")
    link.gets(Publish)
    one = trace.calls(client.publish, "a/b", b"one", 1)
    link.gets(Publish)
    two = trace.calls(client.publish, "a/b", b"two", qos=2, retain=True)
    link.gets(Publish)
    for info in (none, one, two):
        trace.calls(info.is_published)
    link.sends(PubAck(2))
    trace.loops(client, until="on_publish", times=2)
    trace.calls(one.is_published)
    trace.calls(one.wait_for_publish)
    link.sends(PubRec(3))
    trace.gets(client, link, PubRel)
    trace.calls(two.is_published)
    link.sends(PubComp(3))
    trace.loops(client, until="on_publish")
    trace.calls(two.is_published)
    trace.calls(client.disconnect)


@program(PROTOCOLS)
def test_payloads_of_each_type_become_bytes(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    for payload in (
        None,
        "",
        "text",
        "Größe €",
        b"",
        b"\x00\xff",
        bytearray(b"array"),
        0,
        -17,
        2**70,
        3.25,
        1e100,
        True,
        float("nan"),
    ):
        trace.calls(client.publish, "a", payload)
        link.gets(Publish)
    for payload in ([1], (1,), {"a": 1}, object(), {1}, memoryview(b"x"), 1j):
        trace.calls(client.publish, "a", payload)
    trace.calls(client.publish, "a", b"the next mid")
    link.gets(Publish)


@program(PROTOCOLS)
def test_topics_that_cannot_be_published_are_refused(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    for topic in ("None", "7", "b'a'", "['a']") if trace.is_v5 else ("b'a'", "['a']"):
        trace.differs(
            "a topic that is no string is a TypeError, which says so",
            f"- program: publish({topic}) raises AttributeError",
            f"+ program: publish({topic}) raises TypeError",
        )
    client, link = trace.connected(broker)
    for topic in ("a/+", "a/#", "#", "+", "a+b", "x" * 65_536, "ü" * 40_000):
        trace.calls(client.publish, topic[:70] if len(topic) < 65_000 else topic)
    for topic in (None, 7, b"a", ["a"]):
        trace.calls(client.publish, topic)
    trace.calls(client.publish, "x" * 65_535)
    link.gets(Publish)
    for topic in ("/", " ", "a//b", "/a/", "$SYS/x", "ü€𝄞"):
        trace.calls(client.publish, topic)
        link.gets(Publish)


@program([world for world in PROTOCOLS if world.protocol < 5])
def test_before_v5_a_topic_is_not_empty(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, _ = trace.connected(broker)
    trace.calls(client.publish, "")
    trace.calls(client.publish, "", b"x", 1)


@program(USUAL)
def test_a_qos_that_does_not_exist_is_refused(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    for qos in (-1, 3, 128, "1", None):
        trace.calls(client.publish, "a", b"x", qos)
    trace.calls(client.publish, "a", b"x", 1)  # none of them has used a mid
    link.gets(Publish)


@program(USUAL)
def test_calls_name_their_arguments(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    trace.calls(client.publish, topic="a", payload="x", qos=1, retain=True, properties=None)
    link.gets(Publish)
    trace.calls(client.subscribe, topic="a", qos=1, options=None, properties=None)
    link.gets(Subscribe)
    trace.calls(client.publish)
    trace.calls(client.publish, "a", message="x")
    trace.calls(client.subscribe)
    trace.calls(client.disconnect, reasoncode=None, properties=None)


@program(APIS_OF_V5)
def test_a_publication_has_properties(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    properties = mqtt.Properties(mqtt.PacketTypes.PUBLISH)
    properties.PayloadFormatIndicator = 1
    properties.MessageExpiryInterval = 70
    properties.ContentType = "text/plain"
    properties.ResponseTopic = "answers/1"
    properties.CorrelationData = b"\x01\x02"
    properties.UserProperty = ("k", "v")
    properties.UserProperty = ("k", "w")
    client, link = trace.connected(broker)
    for qos in (0, 1, 2):
        trace.calls(client.publish, "a", b"x", qos, False, properties)
        link.gets(Publish)


@program(APIS_OF_V5)
def test_an_acknowledgement_says_how_it_went(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    said = Properties(reason_string="nobody listens", user_properties=(("a", "b"),))
    trace.calls(client.publish, "a", b"x", 1)
    link.gets(Publish)
    link.sends(PubAck(1, 0x10, said))
    trace.loops(client, until="on_publish")
    info = trace.calls(client.publish, "a", b"x", 1)
    link.gets(Publish)
    link.sends(PubAck(2, 0x87))
    trace.loops(client, until="on_publish")
    trace.calls(info.is_published)
    trace.calls(info.wait_for_publish, 1)


@program(APIS_OF_V5)
def test_pubcomp_says_how_it_went(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    trace.calls(client.publish, "a", b"x", 2)
    link.gets(Publish)
    link.sends(PubRec(1, 0x10, Properties(reason_string="nobody listens")))
    trace.gets(client, link, PubRel)
    link.sends(PubComp(1, 0x92, Properties(reason_string="what was that?")))
    trace.loops(client, until="on_publish")


# Mids


@program(PROTOCOLS)
def test_one_counter_gives_all_mids(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    link.obliges()
    trace.calls(client.publish, "a", b"0", 0)
    trace.calls(client.publish, "a", b"1", 1)
    trace.calls(client.subscribe, "a")
    trace.calls(client.publish, "a", b"2", 2)
    trace.calls(client.unsubscribe, "a")
    trace.calls(client.publish, "a", b"0", 0)
    trace.calls(client.publish, "a", b"1", 1)
    trace.loops(client, until="on_publish", times=5)
    trace.calls(client.reconnect)
    again = broker.opens()
    trace.loops(client, until="on_connect")
    trace.calls(client.publish, "a", b"0", 0)
    trace.calls(client.subscribe, "a")
    again.gets(Publish)


@program(V3)
def test_a_mid_is_used_up_where_nothing_is_sent(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    trace.calls(client.publish, "a", b"0")
    trace.calls(client.subscribe, "a")
    trace.calls(client.unsubscribe, "a")
    trace.calls(client.publish, "a", b"0")
    client.connect(*broker.address)
    link = broker.opens()
    trace.loops(client, until="on_connect")
    trace.calls(client.publish, "a", b"0")
    trace.calls(client.subscribe, "a")
    link.gets(Publish)


@program(V3)
def test_after_mid_65535_comes_1(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    client.on_publish = None
    for _ in range(65_534):
        client.publish("a")
    trace.calls(client.publish, "last", b"x", 1)
    trace.calls(client.publish, "first", b"x", 1)
    while link.gets(Publish).topic != "first":
        pass
    link.written[:] = [each for each in link.written if "topic='a'" not in each]


# Publishing without a connection


@program(EVERY)
def test_without_a_connection_only_what_is_above_qos_0_is_kept(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    infos = [trace.calls(client.publish, f"a/{qos}", b"x", qos) for qos in (0, 1, 2, 1)]
    for info in infos:
        trace.calls(info.is_published)
        trace.calls(info.wait_for_publish, 0.01)
    client.connect(*broker.address)
    broker.opens().obliges()
    trace.loops(client, until="on_publish", times=3)
    for info in infos:
        trace.reads(info, "rc", "mid")
        trace.calls(info.is_published)


@program(EVERY)
def test_without_a_loop_what_is_published_waits_for_connack(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    client.connect(*broker.address)
    link = broker.opens()  # its answer is there, nobody has read it yet
    infos = [trace.calls(client.publish, "a", b"x", qos) for qos in (0, 1, 2)]
    trace.calls(client.subscribe, "a")
    for _ in infos:
        link.gets(Publish)
    link.gets(Subscribe)
    trace.loops(client, until="on_connect")
    link.sends(PubAck(2), PubRec(3))
    trace.gets(client, link, PubRel)
    link.sends(PubComp(3))
    trace.loops(client, until="on_publish", times=3)


@program(USUAL)
def test_in_a_loop_of_others_nothing_leaves_before_connack(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    connected = trace.connected_text()
    trace.differs(
        "nothing but CONNECT leaves before CONNACK",
        "- program: after loop_write: is_published() is True",
        f"- program: {connected}",
        "+ program: after loop_write: is_published() is False",
        f"+ program: {connected}",
    )
    client = trace.watches(trace.client())
    client.on_socket_register_write = lambda *_: None
    client.connect(*broker.address)
    client.loop_write()
    link = broker.accepts()
    link.gets(Connect)
    info = trace.calls(client.publish, "a", b"x")
    client.loop_write()
    trace.tell(f"after loop_write: is_published() is {info.is_published()}")
    assert trace.is_paho or link.written == link.written[:1]
    link.sends(ConnAck())
    trace.loops(client, until="on_connect")
    trace.loops(client, until="on_publish")
    link.gets(Publish)


# MQTTMessageInfo


@program(USUAL)
def test_what_publish_returns_is_a_pair_too(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    info = trace.calls(client.publish, "a", b"x", 1)
    code, mid = info
    trace.tell(f"{trace.text(code)}, {mid}")
    trace.tell(trace.text(list(info)))
    trace.tell(trace.text(tuple(info)))
    for index in (0, 1, 2, -1, "0"):
        trace.calls(info.__getitem__, index)
    trace.tell(f"text {info}")
    trace.calls(info.next)
    trace.calls(iter, info)
    trace.calls(info.next)
    trace.calls(info.next)
    trace.calls(info.next)
    trace.reads(info, "rc", "mid")
    trace.calls(len, info)
    link.gets(Publish)


@program(USUAL)
def test_waiting_for_a_publication_may_end_without_one(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    info = trace.calls(client.publish, "a", b"x", 1)
    link.gets(Publish)
    for timeout in (0, 0.02, -1):
        trace.calls(info.wait_for_publish, timeout)
        trace.calls(info.is_published)
    link.sends(PubAck(1))
    trace.loops(client, until="on_publish")
    for timeout in (None, 0, 5):
        trace.calls(info.wait_for_publish, timeout)
    trace.calls(info.is_published)


@program(V3)
def test_an_info_of_its_own_says_what_its_rc_says(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    info = mqtt.MQTTMessageInfo(17)
    for code in mqtt.MQTTErrorCode:
        info.rc = code
        trace.tell(trace.text(info))
        trace.calls(info.is_published)
        trace.calls(info.wait_for_publish, 0)


@program(PROTOCOLS)
def test_a_thread_waits_for_its_publication(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    client.connect(*broker.address)
    client.loop_start()
    link = broker.opens()
    trace.waits("on_connect")
    link.obliges()
    infos = [trace.calls(client.publish, "a", b"x", qos) for qos in (0, 1, 2)]
    for info in infos:
        trace.calls(info.wait_for_publish, SECONDS)
    for info in infos:
        trace.calls(info.is_published)
    trace.waits("on_publish", 3)
    client.disconnect()
    client.loop_stop()


# Limits


@program(PROTOCOLS)
def test_no_more_messages_are_in_flight_than_allowed(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    trace.calls(client.max_inflight_messages_set, 2)
    client.connect(*broker.address)
    link = broker.opens()
    trace.loops(client, until="on_connect")
    for number in range(5):
        trace.calls(client.publish, "a", str(number), 1 + number % 2)
    trace.calls(client.publish, "a", b"overtakes", 0)
    first, second = link.gets(Publish), link.gets(Publish)
    link.gets(Publish)
    link.sends(PubAck(first.packet_id))
    trace.loops(client, until="on_publish", times=2)
    link.gets(Publish)
    link.sends(PubRec(second.packet_id))
    trace.gets(client, link, PubRel)
    link.sends(PubComp(second.packet_id))
    trace.loops(client, until="on_publish")
    link.gets(Publish)
    link.obliges()
    link.sends(PubAck(3), PubRec(4))
    trace.loops(client, until="on_publish", times=3)


@program(PROTOCOLS)
def test_0_in_flight_is_as_many_as_there_are(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    trace.calls(client.max_inflight_messages_set, 0)
    client.connect(*broker.address)
    link = broker.opens()
    trace.loops(client, until="on_connect")
    for number in range(25):
        trace.calls(client.publish, "a", str(number), 1)
    for _ in range(25):
        link.gets(Publish)


@program(PROTOCOLS)
def test_20_are_in_flight_unless_told_otherwise(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    for number in range(22):
        trace.calls(client.publish, "a", str(number), 1)
    for _ in range(20):
        link.gets(Publish)
    trace.calls(client.publish, "a", "not counted", 0)
    assert link.gets(Publish).payload == b"not counted"
    link.sends(PubAck(1))
    trace.loops(client, until="on_publish", times=2)
    link.gets(Publish)


@program(PROTOCOLS)
def test_a_full_queue_takes_no_message(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    trace.calls(client.max_queued_messages_set, 2)
    infos = [trace.calls(client.publish, "a", str(number), 1) for number in range(3)]
    trace.calls(infos[2].is_published)
    trace.calls(infos[2].wait_for_publish)
    client.connect(*broker.address)
    link = broker.opens()
    trace.loops(client, until="on_connect")
    infos.append(trace.calls(client.publish, "a", "in vain", 2))
    trace.calls(infos[3].is_published)
    trace.calls(client.publish, "a", "no queue for this", 0)
    for _ in range(3):
        link.gets(Publish)
    link.obliges()
    link.sends(PubAck(1), PubAck(2))
    trace.loops(client, until="on_publish", times=3)
    trace.calls(client.publish, "a", "there is room", 2)
    trace.loops(client, until="on_publish")


@program(PROTOCOLS)
def test_queue_and_flight_are_limited_together(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    client.max_inflight_messages_set(1)
    client.max_queued_messages_set(3)
    client.connect(*broker.address)
    link = broker.opens()
    trace.loops(client, until="on_connect")
    for number in range(5):
        trace.calls(client.publish, "a", str(number), 1)
    for mid in (1, 2, 3):
        assert link.gets(Publish).packet_id == mid
        link.sends(PubAck(mid))
        trace.loops(client, until="on_publish")


# From where it is published


@program(EVERY)
def test_callbacks_publish_and_subscribe(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    told = []

    def start(*_: Any) -> None:
        trace.calls(client.subscribe, "in/#", 1)
        trace.calls(client.publish, "hello", b"x", 0)
        trace.calls(client.publish, "hello", b"x", 1)

    def answer(_client: Any, _userdata: Any, message: Any) -> None:
        told.append(trace.calls(client.publish, "out", message.payload, message.qos))

    def leave(*_: Any) -> None:
        trace.calls(client.unsubscribe, "in/#")

    trace.watches(client, on_connect=start, on_message=answer, on_subscribe=leave)
    client.connect(*broker.address)
    link = broker.opens()
    trace.loops(client, until="on_connect")
    link.gets(Subscribe)
    link.sends_bytes(bytes.fromhex("90 04 0001 00 01" if trace.is_v5 else "90 03 0001 01"))
    trace.loops(client, until="on_subscribe")
    link.sends(Publish("in/0", b"0", 0), Publish("in/1", b"1", 1, packet_id=9))
    trace.loops(client, until="on_message", times=2)
    link.sends(PubAck(3), PubAck(6))
    trace.loops(client, until="on_publish", times=4)


@program(PROTOCOLS)
def test_disconnect_in_a_callback_ends_the_loop(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()

    def leave(*_: Any) -> None:
        trace.calls(client.publish, "last", b"words")
        trace.calls(client.disconnect)

    trace.watches(client, on_message=leave)
    client.connect(*broker.address)
    link = broker.opens()
    link.sends(Publish("a", b"x"))
    trace.calls(client.loop_forever)
    link.gets(Publish)
    link.gets(Disconnect)
    trace.calls(client.is_connected)


@program(PROTOCOLS)
def test_several_threads_publish_at_once(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.connect(*broker.address)
    client.loop_start()
    link = broker.opens().obliges()
    assert connected.wait(SECONDS)
    mids: list[int] = []

    def publish(qos: int) -> None:
        for number in range(30):
            info = client.publish(f"from/{qos}", str(number), qos)
            info.wait_for_publish(SECONDS)
            mids.append(info.mid)
            assert info.is_published()

    threads = [threading.Thread(target=publish, args=(qos,)) for qos in (0, 1, 2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(SECONDS)
    client.disconnect()
    client.loop_stop()
    link.is_over()
    trace.tell(f"mids {sorted(mids)}")
    numbers: dict[str, list[bytes]] = {}
    while link._packets:
        packet = link._packets.popleft()
        if isinstance(packet, Publish):
            numbers.setdefault(packet.topic, []).append(packet.payload)
    for topic in sorted(numbers):
        trace.tell(f"{topic}: {numbers[topic]}")
    link.written.clear()  # each thread's order is told above; that between threads is by chance


@program(USUAL)
def test_messages_that_were_not_acknowledged_can_be_dropped(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    trace.calls(client.drop_out_messages)
    trace.calls(client.publish, "a", b"1", 1)
    trace.calls(client.publish, "b", b"2", 2)
    trace.calls(client.drop_out_messages)
    client.connect(*broker.address)
    link = broker.opens()
    trace.loops(client, until="on_connect")
    trace.calls(client.publish, "c", b"3", 1)
    link.gets(Publish)
    trace.calls(client.drop_out_messages)
    link.sends(PubAck(3), Publish("end"))
    trace.loops(client, until="on_message")
    trace.calls(client.publish, "d", b"4", 1)
    link.gets(Publish)


def _alias(mqtt: Any, number: int) -> Any:
    properties = mqtt.Properties(mqtt.PacketTypes.PUBLISH)
    properties.TopicAlias = number
    return properties


@program(V5)
def test_a_topic_alias_stands_for_a_topic(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(
        "above QoS 0 the topic is spelled out, since the message may be sent again on another connection",
        "- connection 1: Publish(payload=b'3', qos=1, packet_id=3, topic_alias=1)",
        "+ connection 1: Publish(topic='a/b', payload=b'3', qos=1, packet_id=3)",
    )
    client, link = trace.connected(broker, ConnAck(properties=Properties(topic_alias_maximum=5)))
    trace.calls(client.publish, "a/b", b"1", 0, False, _alias(mqtt, 1))
    trace.calls(client.publish, "", b"2", 0, False, _alias(mqtt, 1))
    trace.calls(client.publish, "", b"3", 1, False, _alias(mqtt, 1))
    for _ in range(3):
        link.gets(Publish)


@program([world for world in PROTOCOLS if world.protocol < 5])
def test_before_v5_properties_are_not_sent(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    properties = mqtt.Properties(mqtt.PacketTypes.PUBLISH)
    properties.ContentType = "text"
    client = trace.watches(trace.client())
    trace.calls(client.will_set, "will", "gone", 0, False, mqtt.Properties(mqtt.PacketTypes.WILLMESSAGE))
    client.connect(*broker.address)
    link = broker.opens()
    trace.loops(client, until="on_connect")
    trace.calls(client.publish, "a", b"x", 0, False, properties)
    trace.calls(client.publish, "a", b"x", 1, False, "no properties")
    trace.calls(client.subscribe, "a", 1, None, properties)
    trace.calls(client.unsubscribe, "a", properties)
    trace.calls(client.disconnect, None, properties)
    link.gets(Publish)


@program(V5)
def test_what_is_no_properties_is_refused(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    published = "publish('a', b'the next mid', 1) -> MQTTMessageInfo(rc=MQTTErrorCode.MQTT_ERR_SUCCESS, mid=%d)"
    packet = "Publish(topic='a', payload=b'the next mid', qos=1, packet_id=%d)"
    trace.differs(
        "a call that raises uses up no mid",
        f"- program: {published % 4}",
        f"+ program: {published % 1}",
        f"- connection 1: {packet % 4}",
        f"+ connection 1: {packet % 1}",
    )
    client, link = trace.connected(broker)
    for wrong in ("text", {"ContentType": "text"}, 7):
        trace.calls(client.publish, "a", b"x", 0, False, wrong)
        trace.calls(client.subscribe, "a", 0, None, wrong)
        trace.calls(client.unsubscribe, "a", wrong)
    trace.calls(client.publish, "a", b"the next mid", 1)
    link.gets(Publish)


@program(PROTOCOLS)
def test_each_publication_brings_the_next(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    for qos in (0, 1, 2):
        client = trace.client()

        def go_on(client: Any, _userdata: Any, mid: int, *_: Any, qos: int = qos) -> None:
            if mid < 6:
                trace.calls(client.publish, "a", str(mid), qos)
            else:
                trace.calls(client.disconnect)

        trace.watches(client, on_publish=go_on)
        client.connect(*broker.address)
        link = broker.opens().obliges()
        trace.loops(client, until="on_connect")
        trace.calls(client.publish, "a", "first", qos)
        trace.loops(client, until="on_publish", times=6)
        trace.loops_until(client, lambda client=client: client.socket() is None)
        link.is_over()


@program(USUAL)
def test_each_publication_brings_the_next_in_a_thread(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.client()

    def go_on(client: Any, _userdata: Any, mid: int, *_: Any) -> None:
        if mid < 6:
            trace.calls(client.publish, "a", str(mid), mid % 3)
        else:
            trace.calls(client.disconnect)

    trace.watches(client, on_connect=lambda *_: client.publish("a", "first"), on_publish=go_on)
    client.connect(*broker.address)
    client.loop_start()
    link = broker.accepts().obliges().opens()
    link.is_over()
    client.loop_stop()
