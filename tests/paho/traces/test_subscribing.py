"""What a client subscribes to, and how the broker answers."""

from typing import Any

from telex.wire.packets import ConnAck, SubAck, Subscribe, UnsubAck, Unsubscribe
from telex.wire.properties import Properties
from tests.paho.traces.played import PlayedBroker
from tests.paho.traces.programs import APIS_OF_V5, EVERY, PROTOCOLS, USUAL, V3, V5, program
from tests.paho.traces.trace import Trace


@program(EVERY)
def test_a_client_subscribes_and_unsubscribes(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    trace.calls(client.subscribe, "a/#", 1)
    link.gets(Subscribe)
    link.sends(SubAck(1, [1]))
    trace.loops(client, until="on_subscribe")
    trace.calls(client.unsubscribe, "a/#")
    link.gets(Unsubscribe)
    link.sends(UnsubAck(2, [0] if trace.is_v5 else []))
    trace.loops(client, until="on_unsubscribe")


@program(EVERY)
def test_several_topics_go_in_one_packet(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    trace.calls(client.subscribe, [("a", 0), ("b/+", 1), ("c/#", 2)])
    link.gets(Subscribe)
    link.sends(SubAck(1, [0, 1, 2]))
    trace.loops(client, until="on_subscribe")
    trace.calls(client.unsubscribe, ["a", "b/+", "c/#"])
    link.gets(Unsubscribe)
    link.sends(UnsubAck(2, [0, 0x11, 0] if trace.is_v5 else []))
    trace.loops(client, until="on_unsubscribe")


@program(EVERY)
def test_a_subscription_may_be_refused(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    trace.calls(client.subscribe, [("a", 2), ("secret", 1)])
    link.gets(Subscribe)
    refusal = 0x87 if trace.is_v5 else 0x80
    if trace.protocol == 3:
        link.sends(SubAck(1, [1, 0]))  # 3.1 has no word for a refusal
    else:
        link.sends(SubAck(1, [1, refusal]))
    trace.loops(client, until="on_subscribe")


@program(APIS_OF_V5)
def test_each_reason_code_is_told(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    codes = [0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2]
    trace.calls(client.subscribe, [(f"a/{code}", 2) for code in codes])
    link.gets(Subscribe)
    link.sends(SubAck(1, codes, Properties(reason_string="as you see", user_properties=(("a", "b"),))))
    trace.loops(client, until="on_subscribe")
    codes = [0, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91]
    trace.calls(client.unsubscribe, [f"a/{code}" for code in codes])
    link.gets(Unsubscribe)
    link.sends(UnsubAck(2, codes, Properties(reason_string="gone", user_properties=(("c", "d"),))))
    trace.loops(client, until="on_unsubscribe")


@program(V5)
def test_a_subscription_has_options(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    options = mqtt.SubscribeOptions(1, True, True, mqtt.SubscribeOptions.RETAIN_DO_NOT_SEND)
    other = mqtt.SubscribeOptions(qos=2, retainHandling=mqtt.SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
    properties = mqtt.Properties(mqtt.PacketTypes.SUBSCRIBE)
    properties.SubscriptionIdentifier = 300
    properties.UserProperty = ("a", "b")
    trace.calls(client.subscribe, "a", options=options, properties=properties)
    trace.calls(client.subscribe, ("b", other))
    trace.calls(client.subscribe, [("c", options), ("d", other)])
    trace.calls(client.subscribe, [("e", 1), ("f", other)])
    trace.calls(client.subscribe, ("g", mqtt.SubscribeOptions(noLocal=True)), properties=properties)
    going = mqtt.Properties(mqtt.PacketTypes.UNSUBSCRIBE)
    going.UserProperty = ("c", "d")
    trace.calls(client.unsubscribe, "a", going)
    trace.calls(client.unsubscribe, ["b", "c"], properties=going)
    for _ in range(5):
        link.gets(Subscribe)
    link.gets(Unsubscribe)
    link.gets(Unsubscribe)


@program(V5)
def test_options_that_v5_does_not_take_are_refused(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    options = mqtt.SubscribeOptions(1)
    trace.calls(client.subscribe, "a", 1, options)
    trace.calls(client.subscribe, "a", 0, 1)
    trace.calls(client.subscribe, ("a", 1))
    trace.calls(client.subscribe, ("a", None))
    trace.calls(client.subscribe, ("a", 1, 2))
    trace.calls(client.subscribe, [("a", 3)])
    trace.calls(client.subscribe, [("a", -1)])
    trace.calls(client.subscribe, [("a", "1")])
    trace.calls(client.subscribe, [("a", None)])
    trace.calls(client.subscribe, "a")
    link.gets(Subscribe)


@program([world for world in PROTOCOLS if world.protocol < 5])
def test_before_v5_a_tuple_is_a_topic_and_a_qos(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    trace.calls(client.subscribe, ("a", 2))
    trace.calls(client.subscribe, ("a", 3))
    trace.calls(client.subscribe, ("", 1))
    trace.calls(client.subscribe, ("a",))
    trace.calls(client.subscribe, ("a", mqtt.SubscribeOptions(1)))
    trace.calls(client.subscribe, [("a", mqtt.SubscribeOptions(1))])
    trace.calls(client.subscribe, "a", options=mqtt.SubscribeOptions(1))  # it is not looked at
    trace.calls(client.subscribe, "a", 1)
    for _ in range(3):
        link.gets(Subscribe)


@program(PROTOCOLS)
def test_topics_that_are_none_cannot_be_subscribed_to(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    raised = {
        "subscribe(b'a')": "AttributeError",
        "subscribe([(7, 1)])": "AttributeError" if trace.is_v5 else "TypeError",
        "unsubscribe(b'a')": "AttributeError",
        "unsubscribe([None])": "TypeError",
        "unsubscribe([7])": "TypeError",
        "unsubscribe([b'a'])": "AttributeError",
    }
    if trace.is_v5:
        raised["subscribe([(None, 1)])"] = "AttributeError"
    for call, error in raised.items():
        trace.differs(
            "a topic that is no string is a ValueError, as the documentation says",
            f"- program: {call} raises {error}",
            f"+ program: {call} raises ValueError",
        )
    client, link = trace.connected(broker)
    for topic in ("", None, 7, [], {}, b"a", (), [("", 1)], [(None, 1)], [(7, 1)], [("a", 3)], ["a"], [("a",)], [None]):
        trace.calls(client.subscribe, topic)
    for qos in (-1, 3, "1", None):
        trace.calls(client.subscribe, "a", qos)
    for topic in ("a#", "a/#/b", "#/a", "a+", "+a", "a/b+/c", "a/b#", "##", "++", "a/+b"):
        trace.calls(client.subscribe, topic)
        trace.calls(client.subscribe, [("good", 0), (topic, 0)])
    trace.calls(client.subscribe, "x" * 65_536)
    for topic in ("", None, 7, {}, b"a", (), [""], [None], [7], [b"a"], ("a", "b")):
        trace.calls(client.unsubscribe, topic)
    trace.calls(client.subscribe, "the next mid")
    link.gets(Subscribe)


@program(PROTOCOLS)
def test_filters_of_each_form_are_subscribed_to(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    for topic in ("#", "+", "/", "+/+", "/#", "a//b", "$SYS/#", " ", "ü/€", "$share/g/a/#"):
        trace.calls(client.subscribe, topic)
        link.gets(Subscribe)
        trace.calls(client.unsubscribe, topic)
        link.gets(Unsubscribe)


@program(USUAL)
def test_an_empty_list_is_nothing_to_unsubscribe_from(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(
        "UNSUBSCRIBE needs a topic filter: [MQTT-3.10.3-2]",
        "- program: unsubscribe([]) -> (MQTTErrorCode.MQTT_ERR_SUCCESS, 1)",
        "- connection 1: no MQTT: PROTOCOL_ERROR",
        "+ program: unsubscribe([]) raises ValueError",
    )
    client, _ = trace.connected(broker)
    trace.calls(client.unsubscribe, [])


@program(USUAL)
def test_unsubscribe_takes_filters_only(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    trace.differs(
        "what subscribe() refuses is refused here too",
        "- program: unsubscribe('a#') -> (MQTTErrorCode.MQTT_ERR_SUCCESS, 1)",
        "- connection 1: Unsubscribe(packet_id=1, topic_filters=['a#'])",
        "+ program: unsubscribe('a#') raises ValueError",
    )
    client, _ = trace.connected(broker)
    trace.calls(client.unsubscribe, "a#")


@program(EVERY)
def test_without_a_connection_nothing_is_subscribed_to(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    trace.calls(client.subscribe, "a")
    trace.calls(client.unsubscribe, "a")
    trace.calls(client.subscribe, "a#")
    client.connect(*broker.address)
    broker.opens()
    trace.loops(client, until="on_connect")
    client.disconnect()
    trace.calls(client.subscribe, "a")
    trace.calls(client.unsubscribe, "a")


@program(PROTOCOLS)
def test_subscriptions_before_connack_are_kept_for_it(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client = trace.watches(trace.client())
    client.connect(*broker.address)
    link = broker.opens()  # its answer is there, nobody has read it yet
    trace.calls(client.subscribe, "a", 1)
    trace.calls(client.unsubscribe, "b")
    trace.loops(client, until="on_connect")
    link.gets(Subscribe)
    link.gets(Unsubscribe)
    link.sends(SubAck(1, [1]), UnsubAck(2, [0] if trace.is_v5 else []))
    trace.loops(client, until="on_unsubscribe")


@program(EVERY)
def test_after_a_reconnection_nothing_is_subscribed_to_again(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    trace.calls(client.subscribe, "a", 1)
    link.gets(Subscribe)
    link.sends(SubAck(1, [1]))
    trace.loops(client, until="on_subscribe")
    trace.calls(client.subscribe, "not answered")
    link.gets(Subscribe)
    link.closes()
    trace.loops_to_the_end(client)
    trace.calls(client.reconnect)
    again = broker.opens()
    trace.loops(client, until="on_connect")
    trace.calls(client.subscribe, "b")
    again.gets(Subscribe)
    again.sends(SubAck(3, [0]))
    trace.loops(client, until="on_subscribe")


@program(EVERY)
def test_answers_come_in_the_order_that_the_broker_likes(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, link = trace.connected(broker)
    for name in ("a", "b"):
        trace.calls(client.subscribe, name, 2)
        trace.calls(client.unsubscribe, name)
    nothing = [0] if trace.is_v5 else []
    link.sends(UnsubAck(4, nothing), SubAck(3, [0]), UnsubAck(2, nothing), SubAck(1, [2]))
    trace.loops(client, until="on_subscribe", times=2)
    for _ in range(2):
        link.gets(Subscribe)
        link.gets(Unsubscribe)
    trace.loops(client, until="on_unsubscribe", times=2)


@program(V3)
def test_a_list_is_not_changed(mqtt: Any, broker: PlayedBroker, trace: Trace) -> None:
    client, _ = trace.connected(broker, ConnAck())
    topics = [("a", 0), ("b", 1)]
    client.subscribe(topics)
    trace.tell(trace.text(topics))
