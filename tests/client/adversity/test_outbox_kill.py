"""Programs that are killed with messages in their outbox, and those that come after them."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import telex
from telex.client.outbox import Outbox
from telex.errors import OutboxFull
from tests.client.adversity.brokers import Lasting
from tests.client.adversity.peers import SECONDS, Witness, witness
from tests.client.adversity.proxy import How, Proxy

MESSAGES: Final = 1_000

PROGRAM = """\
import asyncio, sys
import telex

address, path, name, qos, first, end = sys.argv[1:]

async def main() -> None:
    reconnect = telex.Reconnect(first=0.01, most=0.05)
    async with telex.Client(
        address, client_id=name, session_expiry_interval=3600, outbox=path, reconnect=reconnect
    ) as client:
        topic = f"killed/{name}"
        await asyncio.gather(*(client.publish(topic, str(i), qos=int(qos)) for i in range(int(first), int(end))))
        print("stored", flush=True)
        await asyncio.sleep(3600)

asyncio.run(main())
"""


class Program:
    """A program that publishes numbers into its outbox, and goes on until it is killed."""

    def __init__(self, address: str, path: Path, name: str, qos: int, first: int, end: int) -> None:
        words = [address, str(path), name, str(qos), str(first), str(end)]
        self._process = subprocess.Popen([sys.executable, "-c", PROGRAM, *words], stdout=subprocess.PIPE, text=True)

    async def has_stored(self) -> None:
        """Wait until all its messages are on the disk."""
        assert self._process.stdout is not None
        async with asyncio.timeout(SECONDS):
            assert await asyncio.to_thread(self._process.stdout.readline) == "stored\n"

    def kill(self) -> None:
        """End it so that it can do nothing more."""
        assert self._process.poll() is None, "it ended by itself"
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait(SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()


def check(got: list[bytes], count: int, qos: int) -> None:
    """All of them, in order; at QoS 1 some may have come again."""
    numbers = [int(payload) for payload in got]
    if qos == 2:
        assert numbers == list(range(count))
    else:
        assert list(dict.fromkeys(numbers)) == list(range(count))


async def delivered(somebody: Witness, topic: str, last: int) -> None:
    await somebody.until(lambda: b"%d" % last in somebody.payloads(topic))


async def emptied(outbox: Outbox) -> None:
    """Wait until the broker has all that was in it."""
    async with asyncio.timeout(SECONDS):
        while outbox.waiting:
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("qos", [1, 2])
async def test_what_was_published_without_a_broker_is_delivered_by_the_next_program(
    each_broker: Lasting, qos: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    name = f"offline-{request.node.name.replace('[', '-').rstrip(']')}"
    topic = f"killed/{name}"
    path = tmp_path / "out.db"
    with Program("mqtt://127.0.0.1:1", path, name, qos, 0, MESSAGES) as program:  # nobody listens on port 1
        await program.has_stored()
        program.kill()
    outbox = Outbox(path)
    async with witness(each_broker.port, topic) as somebody:
        async with telex.Client(
            each_broker.address, client_id=name, session_expiry_interval=3600, outbox=outbox
        ) as client:
            await client.publish(topic, str(MESSAGES), qos=qos)  # behind all others
            await delivered(somebody, topic, MESSAGES)
            await emptied(outbox)
        check(somebody.payloads(topic), MESSAGES + 1, qos)


@pytest.mark.parametrize("qos", [1, 2])
async def test_programs_that_are_killed_while_they_deliver_lose_nothing(
    each_broker: Lasting, qos: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Again and again, in the midst of it, each at another packet."""
    name = f"midst-{request.node.name.replace('[', '-').rstrip(']')}"
    topic = f"killed/{name}"
    path = tmp_path / "out.db"
    published = 0
    async with witness(each_broker.port, topic) as somebody, Proxy(each_broker.port) as proxy:
        for kind in ("PUBLISH", "PUBREL" if qos == 2 else "PUBACK", "PUBCOMP" if qos == 2 else "PUBLISH"):
            seen = proxy.count(kind)
            with Program(proxy.address, path, name, qos, published, published + MESSAGES // 4) as program:
                await program.has_stored()
                published += MESSAGES // 4
                async with asyncio.timeout(SECONDS):
                    await proxy.until(lambda kind=kind, seen=seen: proxy.count(kind) > seen + 17)  # type: ignore[misc]
                program.kill()
        outbox = Outbox(path)
        async with telex.Client(proxy.address, client_id=name, session_expiry_interval=3600, outbox=outbox) as client:
            await client.publish(topic, str(published), qos=qos)
            await delivered(somebody, topic, published)
            await emptied(outbox)
        check(somebody.payloads(topic), published + 1, qos)


async def test_what_finds_no_room_offline_is_dropped_from_the_oldest_and_counted(
    telex_broker: Lasting, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    topic = "killed/dropped"
    async with Proxy(1) as proxy, witness(telex_broker.port, topic) as somebody:
        outbox = Outbox(tmp_path / "out.db", most_messages=100, when_full="drop_oldest")
        async with telex.Client(proxy.address, client_id="dropped", outbox=outbox) as client:
            for i in range(150):
                await client.publish(topic, str(i), qos=1)
            assert (outbox.waiting, outbox.dropped) == (100, 50)
        again = Outbox(tmp_path / "out.db", most_messages=100, when_full="drop_oldest")
        async with telex.Client(telex_broker.address, client_id="dropped", outbox=again):
            assert again.dropped == 50
            await delivered(somebody, topic, 149)
            await emptied(again)
        got = [int(payload) for payload in somebody.payloads(topic)]
        assert len(got) == 100
        assert got == sorted(got)
        assert got[1:] == list(range(51, 150))  # the first may be one that was handed out before there was no room
    assert len([record for record in caplog.records if "drop" in record.getMessage()]) == 1


async def test_or_it_is_refused_and_nothing_that_was_accepted_is_lost(telex_broker: Lasting, tmp_path: Path) -> None:
    topic = "killed/refused"
    async with Proxy(1) as proxy, witness(telex_broker.port, topic) as somebody:
        outbox = Outbox(tmp_path / "out.db", most_messages=100)
        reconnect = telex.Reconnect(first=0.01, most=0.05)
        async with telex.Client(proxy.address, client_id="refused", outbox=outbox, reconnect=reconnect) as client:
            results = await asyncio.gather(
                *(client.publish(topic, str(i), qos=2) for i in range(150)), return_exceptions=True
            )
            assert [type(result) for result in results[100:]] == [OutboxFull] * 50
            assert not any(isinstance(result, BaseException) for result in results[:100])
            proxy.target = telex_broker.port
            await delivered(somebody, topic, 99)
            await emptied(outbox)
            await client.publish(topic, "100", qos=2)  # there is room again
            await delivered(somebody, topic, 100)
        check(somebody.payloads(topic), 101, 2)


async def test_an_outbox_takes_in_while_the_link_comes_and_goes(each_broker: Lasting, tmp_path: Path) -> None:
    """Publishing never waits for the broker, and the order is that of publishing, across all connections."""
    topic = f"killed/shaky/{id(tmp_path)}"
    outbox = Outbox(tmp_path / "out.db")

    async def shake(proxy: Proxy) -> None:
        for how in (How.RST, How.FIN) * 5:
            seen = proxy.count("PUBLISH")
            await proxy.until(lambda seen=seen: proxy.count("PUBLISH") > seen + 20)  # type: ignore[misc]
            proxy.bar(how)
            await asyncio.sleep(0.01)
            proxy.restore()

    async with witness(each_broker.port, topic) as somebody, Proxy(each_broker.port) as proxy:
        reconnect = telex.Reconnect(first=0.01, most=0.05)
        name = f"shaky{id(tmp_path)}"
        async with telex.Client(proxy.address, client_id=name, outbox=outbox, reconnect=reconnect) as client:
            shaking = asyncio.create_task(shake(proxy))
            sent = 0
            async with asyncio.timeout(SECONDS):
                while not shaking.done():
                    await client.publish(topic, str(sent), qos=2)
                    sent += 1
                await shaking
                await client.publish(topic, str(sent), qos=2)
            await delivered(somebody, topic, sent)
            await emptied(outbox)
        check(somebody.payloads(topic), sent + 1, 2)
