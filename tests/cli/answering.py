"""A program that answers requests on ask/#, for tests. Its argument is the broker's port."""

import sys

from paho.mqtt.client import CallbackAPIVersion, Client, MQTTMessage, MQTTv5
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


def answer(client: Client, _data: object, message: MQTTMessage) -> None:
    """Publish ``re:`` and the request where it wants to have it."""
    asked = message.properties
    if asked is None or not hasattr(asked, "ResponseTopic"):
        return
    properties = Properties(PacketTypes.PUBLISH)
    if hasattr(asked, "CorrelationData"):
        properties.CorrelationData = asked.CorrelationData
    client.publish(asked.ResponseTopic, b"re:" + message.payload, qos=message.qos, properties=properties)


client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
client.on_message = answer
client.on_connect = lambda client, *_: client.subscribe("ask/#", 2)
client.on_subscribe = lambda *_: print("ready", flush=True)
client.connect("127.0.0.1", int(sys.argv[1]))
client.loop_forever()
