"""A device that Home Assistant finds by itself: a thermometer and a switch.

::

    telex serve                                   # in a terminal
    telex sub -t 'homeassistant/#' -t 'plug/#' -v # in another one
    python examples/discovery.py                  # in a third one; Ctrl-C ends it
    telex pub -t plug/plug1/switch/set -m ON      # in a fourth one

Home Assistant listens to ``homeassistant/+/+/config``. What is retained there tells it where the device says its state,
where it listens for commands, and where to see whether it is there: on ``plug/plug1/available``, where the broker says
``offline`` when the device is gone.
"""

import argparse
import asyncio
import contextlib
import random

import telex


class Plug:
    """A plug with a switch and a thermometer."""

    def __init__(self, url: str, name: str) -> None:
        self.name = name
        self.topic = f"plug/{name}"
        self.is_on = False
        self.client = telex.Client(
            url, client_id=name, will=telex.Will(f"{self.topic}/available", "offline", qos=1, retain=True)
        )
        self.client.on_connected(self.announce)
        self.client.on(f"{self.topic}/switch/set", qos=1)(self.command)
        self.client.on("homeassistant/status")(self.home_assistant)

    async def announce(self, event: telex.Connected) -> None:
        """Say what we are and how we are: when we connect, and each time that we come back."""
        await self.discover()
        await self.client.publish(f"{self.topic}/available", "online", qos=1, retain=True)
        await self.say_state()

    async def discover(self) -> None:
        """Tell Home Assistant of both; the messages are its own format."""
        common = {
            "availability_topic": f"{self.topic}/available",
            "device": {"identifiers": [self.name], "name": f"Plug {self.name}", "manufacturer": "Telex"},
        }
        thermometer = {
            **common,
            "name": "Temperature",
            "unique_id": f"{self.name}_temperature",
            "device_class": "temperature",
            "unit_of_measurement": "°C",
            "state_topic": f"{self.topic}/temperature",
        }
        switch = {
            **common,
            "name": "Switch",
            "unique_id": f"{self.name}_switch",
            "state_topic": f"{self.topic}/switch",
            "command_topic": f"{self.topic}/switch/set",
        }
        publish = self.client.publish
        await publish(f"homeassistant/sensor/{self.name}/config", thermometer, qos=1, retain=True)
        await publish(f"homeassistant/switch/{self.name}/config", switch, qos=1, retain=True)

    async def say_state(self) -> None:
        """Say whether the switch is on."""
        await self.client.publish(f"{self.topic}/switch", "ON" if self.is_on else "OFF", qos=1, retain=True)

    async def command(self, message: telex.Message) -> None:
        """Do as we are told, and say what came of it."""
        if message.text not in ("ON", "OFF"):
            print(f"not a command: {message}")
            return
        self.is_on = message.text == "ON"
        print(f"switched {message.text}")
        await self.say_state()

    async def home_assistant(self, message: telex.Message) -> None:
        """Home Assistant has started anew: it asks to be told again."""
        if message.text == "online":
            await self.discover()

    async def run(self, *, every: float, count: int) -> None:
        """Measure every so many seconds, ``count`` times, or until Ctrl-C if that is 0."""
        async with self.client:
            try:
                measured = 0
                while not count or measured < count:
                    await self.client.publish(f"{self.topic}/temperature", round(random.gauss(24, 0.5), 1))
                    measured += 1
                    await asyncio.sleep(every)
            finally:
                # A farewell after which the broker publishes the will all the same: "offline".
                await self.client.close(telex.ReasonCode.DISCONNECT_WITH_WILL_MESSAGE)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A plug for Home Assistant.")
    parser.add_argument("--url", default="mqtt://localhost", help="the broker (%(default)s)")
    parser.add_argument("--name", default="plug1", help="of the device (%(default)s)")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two readings (%(default)s)")
    parser.add_argument("--count", type=int, default=0, help="end after so many readings")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(Plug(given.url, given.name).run(every=given.every, count=given.count))
