"""The paho-mqtt of PyPI as a client of Telex: each version, each QoS, retained messages and wills."""

import queue
from collections.abc import Iterator
from contextlib import contextmanager

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.processes import SECONDS, Server

VERSIONS = {"v3.1": mqtt.MQTTv31, "v3.1.1": mqtt.MQTTv311, "v5": mqtt.MQTTv5}


class Paho:
    """A paho client whose callbacks fill queues."""

    def __init__(self, client_id: str, version: int, **options: object) -> None:
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id, protocol=version, **options)
        self.messages: queue.Queue[mqtt.MQTTMessage] = queue.Queue()
        self.connects: queue.Queue[bool] = queue.Queue()
        self.subscribed: queue.Queue[list[int]] = queue.Queue()
        self.client.on_connect = lambda c, u, flags, reason, p: self.connects.put(flags.session_present)
        self.client.on_message = lambda c, u, message: self.messages.put(message)
        self.client.on_subscribe = lambda c, u, mid, reasons, p: self.subscribed.put([r.value for r in reasons])

    def connect(self, port: int) -> bool:
        """Whether a session was present."""
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        return self.connects.get(timeout=SECONDS)

    def subscribe(self, topic: str, qos: int) -> list[int]:
        self.client.subscribe(topic, qos)
        return self.subscribed.get(timeout=SECONDS)

    def next(self) -> mqtt.MQTTMessage:
        return self.messages.get(timeout=SECONDS)


@contextmanager
def paho(port: int, client_id: str, version: int, **options: object) -> Iterator[Paho]:
    client = Paho(client_id, version, **options)
    client.connect(port)
    try:
        yield client
    finally:
        client.client.disconnect()
        client.client.loop_stop()


@pytest.mark.parametrize("publisher_version", VERSIONS.values(), ids=VERSIONS)
@pytest.mark.parametrize("subscriber_version", VERSIONS.values(), ids=VERSIONS)
def test_messages_of_each_qos_arrive(broker: Server, publisher_version: int, subscriber_version: int) -> None:
    with (
        paho(broker.port, "sub", subscriber_version) as sub,
        paho(broker.port, "pub", publisher_version) as pub,
    ):
        assert sub.subscribe("paho/+", 2) == [2]
        for qos in (0, 1, 2):
            info = pub.client.publish(f"paho/{qos}", f"value {qos}", qos=qos)
            info.wait_for_publish(SECONDS)
            message = sub.next()
            assert (message.topic, message.payload, message.qos) == (f"paho/{qos}", f"value {qos}".encode(), qos)


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
def test_a_retained_message_meets_who_comes_later(broker: Server, version: int) -> None:
    topic = f"paho-retained/{version}"
    with paho(broker.port, "pub", version) as pub:
        pub.client.publish(topic, "kept", qos=1, retain=True).wait_for_publish(SECONDS)
        with paho(broker.port, "sub", version) as sub:
            sub.subscribe(topic, 1)
            message = sub.next()
            assert (message.payload, message.retain) == (b"kept", True)
        pub.client.publish(topic, b"", qos=1, retain=True).wait_for_publish(SECONDS)


@pytest.mark.parametrize("version", [mqtt.MQTTv31, mqtt.MQTTv311])
def test_a_kept_session_gets_what_it_missed(broker: Server, version: int) -> None:
    with paho(broker.port, f"kept-{version}", version, clean_session=False) as sub:
        sub.subscribe("paho-kept/#", 2)
    with paho(broker.port, "pub", version) as pub:
        for number in range(5):
            pub.client.publish("paho-kept/x", str(number), qos=2).wait_for_publish(SECONDS)
    again = Paho(f"kept-{version}", version, clean_session=False)
    # MQTT 3.1 has no way to tell that a session is present.
    assert again.connect(broker.port) is (version == mqtt.MQTTv311)
    assert [again.next().payload for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]
    again.client.disconnect()
    again.client.loop_stop()
    with paho(broker.port, f"kept-{version}", version, clean_session=True):
        pass


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
def test_the_will_of_a_client_that_is_lost_is_published(broker: Server, version: int) -> None:
    with paho(broker.port, "watcher", version) as watcher:
        watcher.subscribe("paho-will/#", 1)
        lost = Paho("lost", version)
        lost.client.will_set("paho-will/lost", "gone", qos=1)
        lost.connect(broker.port)
        lost.client.loop_stop()
        socket = lost.client.socket()
        assert socket is not None
        socket.close()  # no DISCONNECT
        assert watcher.next().payload == b"gone"


def test_the_properties_of_a_message_arrive(broker: Server) -> None:
    properties = Properties(PacketTypes.PUBLISH)
    properties.ContentType = "text/plain"
    properties.ResponseTopic = "paho/answer"
    properties.CorrelationData = b"17"
    properties.UserProperty = [("a", "1"), ("b", "2")]
    properties.MessageExpiryInterval = 100
    with paho(broker.port, "sub", mqtt.MQTTv5) as sub, paho(broker.port, "pub", mqtt.MQTTv5) as pub:
        sub.subscribe("paho-properties", 1)
        pub.client.publish("paho-properties", "x", qos=1, properties=properties).wait_for_publish(SECONDS)
        got = sub.next().properties
        assert got is not None
        assert (got.ContentType, got.ResponseTopic, got.CorrelationData) == ("text/plain", "paho/answer", b"17")
        assert got.UserProperty == [("a", "1"), ("b", "2")]
        assert 98 <= got.MessageExpiryInterval <= 100
