"""Many messages for one who is away: they wait on disk, and come in order.

By hand with a million of them (``-s`` shows the figures)::

    TEST_OFFLINE_MESSAGES=1000000 python -m pytest --timeout 1800 -s tests/shell/test_offline_queue.py
"""

import asyncio
import os
import re
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from telex.wire.encode import encode
from telex.wire.packets import Connect, PubAck, Publish
from tests.processes import telex
from tests.shell.raw import connected

MESSAGES: Final = int(os.environ.get("TEST_OFFLINE_MESSAGES", "20000"))
WINDOW: Final = 500  # messages on their way to the broker, or from it
MOST_KIBIBYTES: Final = 150 * 1024
"""By which the process may grow, whatever waits."""

KEEPER: Final = Connect("keeper", version=4, clean_start=False)
LIMITS: Final = (
    *("--set", f"max_queued_messages={2 * MESSAGES}", "--set", f"max_queued_bytes={200 * MESSAGES}"),
    *("--set", "max_queue_memory=1000000"),
)


def payload(number: int) -> bytes:
    return b"%d " % number + bytes(99 - len(str(number)))


async def fills(port: int, numbers: range) -> None:
    """Publish for the one who is away; all is acknowledged when this returns."""
    async with connected(port, Connect("pub", version=4)) as pub:
        for first in range(numbers.start, numbers.stop, WINDOW):
            some = numbers[first - numbers.start :][:WINDOW]
            await pub.send(*(Publish("queue", payload(number), 1, packet_id=number % 60_000 + 1) for number in some))
            expected = b"".join(encode(PubAck(number % 60_000 + 1), 4) for number in some)
            assert await pub.reader.readexactly(len(expected)) == expected


async def empties(port: int, numbers: range) -> None:
    """Come back, and get all of it in order."""
    async with connected(port, KEEPER) as keeper:
        answers = []
        for number in numbers:
            packet = await keeper.receive()
            assert isinstance(packet, Publish)
            assert (packet.payload, packet.qos) == (payload(number), 1)
            answers.append(PubAck(packet.packet_id))
            if len(answers) == WINDOW or number == numbers[-1]:
                await keeper.send(*answers)
                answers.clear()


def kibibytes(pid: int) -> int:
    """Of memory that a process has, in KiB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1])


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process in /proc")
def test_what_waits_for_one_who_is_away_takes_no_memory(tmp_path: Path) -> None:
    """Neither while it comes, nor after a restart, nor while it is fetched."""

    async def leaves(port: int) -> None:
        async with connected(port, KEEPER) as keeper:
            await keeper.subscribe("queue", qos=1)

    def says(what: str, started_at: float, grown: int) -> None:
        print(f"{what}: {time.monotonic() - started_at:.1f} s, {grown / 1024:.0f} MiB more than at the start")

    half = MESSAGES // 2
    arguments = ("--data", str(tmp_path), *LIMITS)
    with telex(*arguments) as server:
        asyncio.run(leaves(server.port))
        before = kibibytes(server.process.pid)
        now = time.monotonic()
        asyncio.run(fills(server.port, range(1, MESSAGES + 1)))
        grown = kibibytes(server.process.pid) - before
        says(f"queued {MESSAGES:,}", now, grown)
        assert grown < MOST_KIBIBYTES
        now = time.monotonic()
        asyncio.run(empties(server.port, range(1, half + 1)))
        grown = kibibytes(server.process.pid) - before
        says(f"delivered {half:,}", now, grown)
        assert grown < MOST_KIBIBYTES
        server.process.terminate()
        assert server.process.wait(60) == 0
    now = time.monotonic()
    with telex(*arguments) as server:
        grown = kibibytes(server.process.pid) - before
        says(f"started with {MESSAGES - half:,}", now, grown)
        assert grown < MOST_KIBIBYTES
        now = time.monotonic()
        asyncio.run(empties(server.port, range(half + 1, MESSAGES + 1)))
        grown = kibibytes(server.process.pid) - before
        says(f"delivered {MESSAGES - half:,}", now, grown)
        assert grown < MOST_KIBIBYTES
