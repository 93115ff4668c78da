"""The publisher of the tutorial that many people begin with: a random temperature, again and again."""

import random
import sys
import time

import paho.mqtt.client as mqtt

BROKER = sys.argv[1]
PORT = int(sys.argv[2])
TOPIC = "home/temp/room1/storeroom"

mqttc = mqtt.Client()
mqttc.connect(BROKER, PORT)
while True:
    value = str(random.uniform(20, 30))
    print("publishing", value, flush=True)
    mqttc.publish(TOPIC, value)
    mqttc.loop(0.1)
    time.sleep(0.1)
