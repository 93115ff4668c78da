"""A temperature sensor that loses no reading: a will, an outbox on disk, and nothing to do for reconnection.

::

    telex serve                                   # in a terminal
    telex sub -t 'home/#' -v                      # in another one
    python examples/sensor.py --room kitchen      # in a third one; Ctrl-C ends it

Stop the broker for a while: what is measured meanwhile waits in ``sensor-kitchen.db``, and leaves in its order when
the broker is back, or when this program is started again. ``home/kitchen/status`` says whether the sensor is there.
"""

import argparse
import asyncio
import contextlib
import math
import random
import time

import telex


def measure() -> float:
    """The temperature in degrees: here a curve that takes ten minutes, and some noise."""
    return round(20 + 2 * math.sin(time.time() / 600 * math.tau) + random.gauss(0, 0.1), 2)


async def main(url: str, room: str, *, every: float, count: int) -> None:
    """Publish a reading every so many seconds; ``count`` of them, or until Ctrl-C if that is 0."""
    status = f"home/{room}/status"
    sensor = telex.Client(
        url,
        client_id=f"sensor-{room}",
        will=telex.Will(status, "offline", retain=True),
        outbox=f"sensor-{room}.db",
    )

    @sensor.on_connected
    async def connected(event: telex.Connected) -> None:
        await sensor.publish(status, "online", retain=True)  # at QoS 0, which does not wait in the outbox

    @sensor.on_lost
    def lost(event: telex.Lost) -> None:
        print(f"no connection, readings wait on disk: {event.reason}")

    async with sensor:  # with an outbox, this does not wait for the broker
        try:
            sent = 0
            while not count or sent < count:
                # Returns when the reading is on the disk; the client sees to the rest.
                await sensor.publish(f"home/{room}/temperature", {"celsius": measure(), "at": time.time()}, qos=1)
                sent += 1
                await asyncio.sleep(every)
            with contextlib.suppress(telex.Timeout):  # what the broker does not have by then leaves in the next run
                await sensor.flush(timeout=1)
        finally:
            # A farewell after which the broker publishes the will all the same: "offline".
            await sensor.close(telex.ReasonCode.DISCONNECT_WITH_WILL_MESSAGE)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A simulated temperature sensor.")
    parser.add_argument("--url", default="mqtt://localhost", help="the broker (%(default)s)")
    parser.add_argument("--room", default="kitchen", help="where it is (%(default)s)")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two readings (%(default)s)")
    parser.add_argument("--count", type=int, default=0, help="end after so many readings")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(given.url, given.room, every=given.every, count=given.count))
