"""The subscriber of the tutorial that many people begin with: prints what comes, for ever."""

import sys

import paho.mqtt.client as mqtt

BROKER = sys.argv[1]
PORT = int(sys.argv[2])
TOPIC = sys.argv[3]


def on_connect(client, userdata, flags, rc):
    print("connected with result code", rc, flush=True)
    client.subscribe(TOPIC)


def on_disconnect(client, userdata, rc):
    print("disconnected with result code", rc, flush=True)


def on_message(client, userdata, message):
    print("received", message.topic, message.payload.decode(), flush=True)


mqttc = mqtt.Client()
mqttc.on_connect = on_connect
mqttc.on_disconnect = on_disconnect
mqttc.on_message = on_message
mqttc.connect(BROKER, PORT)
mqttc.loop_forever()
