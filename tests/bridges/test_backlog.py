"""A remote that is away for long: all that was published meanwhile comes in order, from disk."""

import asyncio
import signal
from pathlib import Path
from typing import Final

from tests.bridges.brokers import Witness, bridge_to, line, witness
from tests.bridges.lasting import lasting

COUNT: Final = 100_000
MINUTE: Final = 60.0


def test_a_hundred_thousand_messages_come_in_order(tmp_path: Path) -> None:
    """Three processes, so that two cores have something to do."""

    async def publish(here: Witness) -> None:
        assert await here.client.publish_many((("up/x", b"%d" % number) for number in range(COUNT)), qos=1) == COUNT

    async def tell() -> None:
        with (
            lasting("telex", tmp_path / "remote") as remote,
            lasting("telex", tmp_path / "home", bridge_to(remote.port, line("up/#", "out", 1))) as home,
        ):
            async with (
                witness(home.port, "$SYS/broker/connection/#") as here,
                witness(remote.port, "up/#", client_id="there", session_expiry_interval=3_600.0) as there,
            ):
                await here.until(lambda: here.payloads()[-1:] == [b"1"])
                remote.end(signal.SIGTERM)
                await here.until(lambda: here.payloads()[-1:] == [b"0"])
                await publish(here)
                assert there.messages == []
                await asyncio.to_thread(remote.start)
                await there.until(lambda: len(there.messages) >= COUNT, MINUTE)
                await here.client.publish("up/x", b"last", qos=1)
                await there.hears("up/x", b"last")
                assert there.payloads() == [*(b"%d" % number for number in range(COUNT)), b"last"]

    asyncio.run(tell())
