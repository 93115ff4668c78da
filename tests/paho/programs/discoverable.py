"""A sensor and a switch for Home Assistant, as the documentation of ha-mqtt-discoverable makes them."""

import sys
import threading
from typing import Any

from ha_mqtt_discoverable import Settings
from ha_mqtt_discoverable.sensors import Sensor, SensorInfo, Switch, SwitchInfo

settings = Settings.MQTT(host="127.0.0.1", port=int(sys.argv[1]))
is_made = threading.Event()  # the first order may come while the switch is being made
switched_off = threading.Event()


def on_command(client: Any, userdata: Any, message: Any) -> None:
    payload = message.payload.decode()
    print("command", message.topic, payload, flush=True)
    assert is_made.wait(60)
    if payload == "ON":
        switch.on()
    else:
        switch.off()
        switched_off.set()


temperature = Sensor(Settings(mqtt=settings, entity=SensorInfo(name="temperature", unit_of_measurement="°C")))
temperature.set_state(21.5)
switch = Switch(Settings(mqtt=settings, entity=SwitchInfo(name="pump")), on_command)
is_made.set()
switch.write_config()
assert switched_off.wait(60)
for each in (temperature, switch):
    each.mqtt_client.loop_stop()
    each.mqtt_client.disconnect()
