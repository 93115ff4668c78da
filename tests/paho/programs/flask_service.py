"""A web application with Flask-MQTT, whose client is set up by way of paho's private names."""

import sys
import threading
from typing import Any

from flask import Flask
from flask_mqtt import Mqtt

app = Flask("flask service")
app.config["MQTT_BROKER_URL"] = "127.0.0.1"
app.config["MQTT_BROKER_PORT"] = int(sys.argv[1])
app.config["MQTT_CLIENT_ID"] = "flask-service"
app.config["MQTT_CLEAN_SESSION"] = False
app.config["MQTT_KEEPALIVE"] = 10
app.config["MQTT_LAST_WILL_TOPIC"] = "flask/status"
app.config["MQTT_LAST_WILL_MESSAGE"] = "lost"
mqtt = Mqtt(connect_async=True)
ended = threading.Event()


def say(*words: object) -> None:
    """As print, but two threads cannot mix what they say."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


@mqtt.on_connect()
def connected(client: Any, userdata: Any, flags: Any, code: int) -> None:
    say("connected", code, flags["session present"])
    mqtt.subscribe("flask/#", 1)


@mqtt.on_topic("flask/end")
def end(client: Any, userdata: Any, message: Any) -> None:
    ended.set()


@mqtt.on_message()
def message_came(client: Any, userdata: Any, message: Any) -> None:
    say("got", message.topic, message.payload.decode(), message.qos)
    if message.topic == "flask/question":
        mqtt.publish("flask/answer", message.payload.upper(), 1)


mqtt.init_app(app)
assert ended.wait(60)
say("topics", sorted(mqtt.topics))
mqtt.unsubscribe_all()
mqtt._disconnect()
