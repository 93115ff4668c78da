"""Retained messages that a broker has during a run: placed before it, and taken away behind it.

They are below a first level of their own, so that no subscriber of the run gets them, whatever its wildcard. Knows
nothing of the run but its plan.
"""

import asyncio
from typing import TYPE_CHECKING, Final

from telex.bench.plan import Plan
from telex.bench.processes import Share

if TYPE_CHECKING:
    from telex.client.aio import Version

_AT_ONCE: Final = 100  # on their way to the broker
_VERSIONS: Final[dict[int, "Version"]] = {3: "3.1", 4: "3.1.1", 5: "5"}


def topic_of(plan: Plan, number: int) -> str:
    """The topic of one of them; it has as many levels as the run's."""
    return "/".join([f"{plan.prefix}-retained", *["-"] * (plan.depth - 2), str(number)])


async def place(plan: Plan, share: Share) -> None:
    """Have the broker retain this process's part of them.

    Raises:
        OSError: there is no connection.
        MqttError: the broker does not let us in, or does not take them.
    """
    await _publish(plan, share, bytes(plan.size))


async def remove(plan: Plan, share: Share) -> None:
    """Have the broker forget them. It raises what ``place`` does."""
    await _publish(plan, share, b"")  # [MQTT-3.3.1-6]


async def _publish(plan: Plan, share: Share, payload: bytes) -> None:
    numbers = share.divided(plan.retained)
    if not numbers:
        return
    # Imported here: few runs want it, and each process of a run would wait for it.
    from telex.client.aio import Client

    client = Client(
        plan.dialer, version=_VERSIONS[plan.version], user=plan.user, password=plan.password, reconnect=None
    )
    async with client:
        for start in range(numbers.start, numbers.stop, _AT_ONCE):
            some = range(start, min(start + _AT_ONCE, numbers.stop))
            await asyncio.gather(*[client.publish(topic_of(plan, each), payload, qos=1, retain=True) for each in some])
