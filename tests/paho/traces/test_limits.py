"""What a server of MQTT 5 does not take, which paho does not look at; and packet ids that are in use."""

from typing import Any

from telex.wire.packets import ConnAck, PubAck, PubComp, Publish, PubRec, PubRel
from telex.wire.properties import Properties
from tests.paho.traces.played import PlayedBroker
from tests.paho.traces.programs import V3, V5, program
from tests.paho.traces.trace import Trace


@program(V5)
def test_no_more_is_in_flight_than_the_server_takes(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(
        "Receive Maximum is honoured: [MQTT-3.3.4-9]",
        "- program: before an acknowledgement 4 messages have left",
        "+ program: before an acknowledgement 2 messages have left",
    )
    client, link = trace.connected(broker, ConnAck(properties=Properties(receive_maximum=2)))
    for number in range(4):
        trace.calls(client.publish, "a", str(number), 1 + number % 2)
    trace.calls(client.publish, "a", "QoS 0 is not counted")
    expected = 4 if trace.is_paho else 2
    came = [link.gets(Publish) for _ in range(expected + 1)]
    trace.tell(f"before an acknowledgement {sum(each.qos > 0 for each in came)} messages have left")
    link.sends(PubAck(1), PubRec(2))
    trace.loops(client, until="on_publish", times=2)
    link.sends(PubAck(3), PubComp(2))
    trace.loops(client, until="on_publish", times=2)
    link.sends(PubRec(4), PubComp(4))
    trace.loops(client, until="on_publish")
    trace.calls(client.disconnect)
    link.is_over()
    # QoS 0 overtakes what waits, and so the order is not that of paho.
    link.written.sort()


@program(V5)
def test_a_packet_is_not_larger_than_the_server_takes(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    payload = "b" * 50
    trace.differs(
        "Maximum Packet Size is honoured: [MQTT-3.2.2-15]",
        f"- program: publish('a', '{payload}', 1) -> MQTTMessageInfo(rc=MQTTErrorCode.MQTT_ERR_SUCCESS, mid=1)",
        f"- connection 1: Publish(topic='a', payload=b'{payload}', qos=1, packet_id=1)",
        f"+ program: publish('a', '{payload}', 1) -> MQTTMessageInfo(rc=MQTTErrorCode.MQTT_ERR_PAYLOAD_SIZE, mid=1)",
    )
    client, link = trace.connected(broker, ConnAck(properties=Properties(maximum_packet_size=40)))
    trace.calls(client.publish, "a", payload, 1)
    trace.calls(client.publish, "a", "small", 1)
    while link.gets(Publish).payload != b"small":
        pass


@program(V5)
def test_a_qos_that_the_server_does_not_take_is_refused(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(
        "Maximum QoS is honoured: [MQTT-3.2.2-11]",
        "- program: publish('a', 'x', 2) -> MQTTMessageInfo(rc=MQTTErrorCode.MQTT_ERR_SUCCESS, mid=1)",
        "- connection 1: Publish(topic='a', payload=b'x', qos=2, packet_id=1)",
        "+ program: publish('a', 'x', 2) -> MQTTMessageInfo(rc=MQTTErrorCode.MQTT_ERR_NOT_SUPPORTED, mid=1)",
    )
    client, link = trace.connected(broker, ConnAck(properties=Properties(maximum_qos=1)))
    trace.calls(client.publish, "a", "x", 2)
    trace.calls(client.publish, "a", "x", 1)
    while link.gets(Publish).qos != 1:
        pass


@program(V5)
def test_a_server_may_retain_nothing(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(
        "Retain Available is honoured: [MQTT-3.2.2-14]",
        "- program: on_publish(client, 'mine', 1, ReasonCode(4, 0, 'Success'), Properties(4, {}))",
        "- program: publish('a', 'x', 0, True) -> MQTTMessageInfo(rc=MQTTErrorCode.MQTT_ERR_SUCCESS, mid=1)",
        "- connection 1: Publish(topic='a', payload=b'x', retain=True)",
        "+ program: publish('a', 'x', 0, True) -> MQTTMessageInfo(rc=MQTTErrorCode.MQTT_ERR_NOT_SUPPORTED, mid=1)",
    )
    client, link = trace.connected(broker, ConnAck(properties=Properties(retain_available=0)))
    trace.calls(client.publish, "a", "x", 0, True)
    trace.calls(client.publish, "a", "x", 0, False)
    while link.gets(Publish).retain:
        pass


@program(V5)
def test_a_server_may_have_no_wildcards_and_nothing_shared(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    limits = Properties(
        wildcard_subscription_available=0, subscription_identifier_available=0, shared_subscription_available=0
    )
    for mid, topic in ((1, "a/#"), (2, "+"), (3, "$share/g/a")):
        trace.differs(
            "what CONNACK says that there is not is not asked for: section 3.2.2.3",
            f"- program: subscribe('{topic}') -> (MQTTErrorCode.MQTT_ERR_SUCCESS, {mid})",
            f"- connection 1: Subscribe(packet_id={mid}, requests=[SubscriptionRequest(topic_filter='{topic}')])",
            f"+ program: subscribe('{topic}') -> (MQTTErrorCode.MQTT_ERR_NOT_SUPPORTED, None)",
        )
    client, link = trace.connected(broker, ConnAck(properties=limits))
    for topic in ("a/#", "+", "$share/g/a"):
        trace.calls(client.subscribe, topic)
    trace.calls(client.disconnect)
    link.is_over()


@program(V5)
def test_a_name_that_the_server_gave_is_kept(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(
        "an assigned client id is the client's from then on, so that its session can be resumed",
        "- connection 2: Connect(version=5, clean_start=False, keep_alive=60)",
        "+ connection 2: Connect(client_id='named', version=5, clean_start=False, keep_alive=60)",
    )
    client = trace.watches(trace.client(""))
    client.connect(*broker.address)
    broker.opens(ConnAck(properties=Properties(assigned_client_identifier="named")))
    trace.loops(client, until="on_connect")
    trace.calls(client.reconnect)
    broker.opens()
    trace.loops(client, until="on_connect")


@program(V5)
def test_a_refused_message_of_qos_2_is_done(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(
        "PUBREC with 0x80 or more ends a message: [MQTT-4.3.3-4]",
        "- program: is_published() -> False",
        "- connection 1: PubRel(packet_id=1)",
        "+ program: on_publish(client, 'mine', 1, ReasonCode(5, 151, 'Quota exceeded'), Properties(5, {}))",
        "+ program: is_published() -> True",
    )
    client, link = trace.connected(broker)
    info = trace.calls(client.publish, "a", b"x", 2)
    link.gets(Publish)
    link.sends(PubRec(1, 0x97), Publish("end"))
    trace.loops(client, until="on_message")
    trace.calls(info.is_published)
    if trace.is_paho:
        link.gets(PubRel)


@program(V5)
def test_an_alias_is_told_anew_on_each_connection(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(
        "a topic alias is known on its connection only: [MQTT-3.3.2-7]",
        "- connection 2: Publish(payload=b'3', topic_alias=1)",
        "+ connection 2: Publish(topic='a/b', payload=b'3', topic_alias=1)",
    )
    properties = mqtt.Properties(mqtt.PacketTypes.PUBLISH)
    properties.TopicAlias = 1
    takes = ConnAck(properties=Properties(topic_alias_maximum=5))
    client, link = trace.connected(broker, takes)
    trace.calls(client.publish, "a/b", b"1", properties=properties)
    trace.calls(client.publish, "", b"2", properties=properties)
    link.gets(Publish)
    link.gets(Publish)
    trace.calls(client.reconnect)
    again = broker.opens(takes)
    trace.loops(client, until="on_connect")
    trace.calls(client.publish, "", b"3", properties=properties)
    again.gets(Publish)


@program(V3)
def test_acknowledgements_by_hand_go_in_the_order_of_the_messages(
    mqtt: Any, broker: PlayedBroker, trace: Trace
) -> None:
    trace.differs(
        "acknowledgements go in the order of the messages: v3 [MQTT-4.6.0-2]",
        "- connection 1: PubAck(packet_id=3)",
        "+ connection 1: PubAck(packet_id=3)",
    )
    client = trace.watches(trace.client(manual_ack=True))
    client.connect(*broker.address)
    link = broker.opens()
    link.sends(Publish("a", b"1", 1, packet_id=3), Publish("a", b"2", 1, packet_id=4))
    trace.loops(client, until="on_message", times=2)
    trace.calls(client.ack, 4, 1)
    trace.calls(client.ack, 3, 1)
    link.gets(PubAck)
    link.gets(PubAck)


@program(V3)
def test_a_mid_that_is_in_use_is_not_given_again(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(
        "packet ids that are in use are not given twice: [MQTT-2.2.1-3]",
        "- program: publish('second', b'x', 1) -> MQTTMessageInfo(rc=MQTTErrorCode.MQTT_ERR_QUEUE_SIZE, mid=1)",
        "+ program: publish('second', b'x', 1) -> MQTTMessageInfo(rc=MQTTErrorCode.MQTT_ERR_SUCCESS, mid=2)",
        "+ connection 1: Publish(topic='second', payload=b'x', qos=1, packet_id=2)",
    )
    client, link = trace.connected(broker)
    client.on_publish = None
    trace.calls(client.publish, "first", b"x", 1)
    for _ in range(65_534):
        client.publish("a")
    trace.calls(client.publish, "second", b"x", 1)
    client.publish("end")
    while link.gets(Publish).topic != "end":
        pass
    link.written[:] = [each for each in link.written if "topic='a'" not in each]
