"""Two programs with one client id: the first is told, and does not fight for it."""

import asyncio
import sys
from collections.abc import Awaitable

import pytest

import telex
from telex.codes import ReasonCode
from telex.wire.packets import ConnAck, Connect, Disconnect, PubAck, Publish
from tests.client.adversity.brokers import Lasting
from tests.client.adversity.peers import SECONDS, Hand, playing
from tests.client.adversity.proxy import Proxy
from tests.conformance.marks import edge
from tests.processes import run

SOON = telex.Reconnect(first=0.01, most=0.01)


async def refused(waiting: Awaitable[object]) -> None:
    """Whoever waits is told that another client has come with this id."""
    async with asyncio.timeout(SECONDS):
        with pytest.raises(telex.Refused) as caught:
            await waiting
    assert caught.value.reason_code == ReasonCode.SESSION_TAKEN_OVER


@edge("T1")
async def test_a_client_that_is_taken_over_says_so_and_does_not_fight(telex_broker: Lasting) -> None:
    async with Proxy(telex_broker.port) as proxy:
        lost: list[telex.Lost] = []
        first = telex.Client(proxy.address, client_id="twin", reconnect=SOON)
        first.on_lost(lost.append)
        await first.__aenter__()
        messages = first.subscribe("twin/#", qos=1)
        other = first.subscribe("other/#")
        await messages.__aenter__()
        await other.__aenter__()
        waiting = [asyncio.ensure_future(anext(messages)), asyncio.ensure_future(other.next())]
        waiting.append(asyncio.ensure_future(first.request("nobody-answers", b"?")))  # type: ignore[arg-type]
        await proxy.until(lambda: proxy.count("PUBLISH") >= 1)
        async with telex.Client(telex_broker.address, client_id="twin", reconnect=SOON) as second:
            for each in waiting:
                await refused(each)
            await refused(first.publish("t", b"x"))
            await refused(first.publish("t", b"x", qos=2))
            await refused(first.wait_connected())
            assert not first.is_connected
            # Long enough for a few attempts, if there were any.
            for _ in range(10):
                await second.publish("t", b"x", qos=1)
                await asyncio.sleep(0.02)
            assert second.is_connected
        assert proxy.connections == 1
        assert [event.retry_in for event in lost] == [None]
        assert "taken over" in lost[0].reason.lower()
        await first.close()


async def test_what_was_in_flight_when_it_was_taken_over_is_refused_too() -> None:
    async def script(hand: Hand, connection: int) -> None:
        assert isinstance(await hand.gets(), Connect)
        await hand.sends(ConnAck())
        await hand.gets()  # PUBLISH, and nobody acknowledges it
        await hand.sends(Disconnect(ReasonCode.SESSION_TAKEN_OVER))
        while await hand.gets() is not None:
            pass

    async with playing(script) as server:
        client = telex.Client(server.address, client_id="twin", reconnect=SOON)
        await client.__aenter__()
        await refused(asyncio.gather(*(client.publish("t", b"x", qos=1) for _ in range(3))))
        await client.close()
        assert server.connections == 1


PROGRAM = """\
import sys
import telex

app = telex.Client(sys.argv[1], client_id="twin")

@app.on("t")
async def handle(message: telex.Message) -> None: ...

app.run()
"""


async def test_an_app_that_is_taken_over_ends_with_that_error() -> None:
    async def script(hand: Hand, connection: int) -> None:
        assert isinstance(await hand.gets(), Connect)
        await hand.sends(ConnAck(), Disconnect(ReasonCode.SESSION_TAKEN_OVER))
        while await hand.gets() is not None:
            pass

    async with playing(script) as server:
        ended = await asyncio.to_thread(run, sys.executable, "-c", PROGRAM, server.address)
        assert ended.returncode == 1
        assert "Refused" in ended.stderr
        assert server.connections == 1


async def test_another_goodbye_of_the_broker_is_no_reason_to_stay_away() -> None:
    async def script(hand: Hand, connection: int) -> None:
        assert isinstance(await hand.gets(), Connect)
        await hand.sends(ConnAck())
        if connection < 4:
            await hand.sends(Disconnect(ReasonCode.SERVER_SHUTTING_DOWN))
            return  # and it closes the connection [MQTT-4.13.1-1]
        while await hand.gets() is not None:
            pass

    async with playing(script) as server:
        connected = 0
        client = telex.Client(server.address, reconnect=SOON)

        @client.on_connected
        def _(event: telex.Connected) -> None:
            nonlocal connected
            connected += 1

        async with client, asyncio.timeout(SECONDS):
            while connected < 4:
                await asyncio.sleep(0.005)


async def test_nobody_who_publishes_notices_that_the_broker_says_goodbye() -> None:
    """Also between its DISCONNECT and the end of the stream, however long that is."""
    goodbye = asyncio.Event()
    got: list[bytes] = []

    async def script(hand: Hand, connection: int) -> None:
        assert isinstance(await hand.gets(), Connect)
        await hand.sends(ConnAck())
        if connection == 1:
            await goodbye.wait()
            await hand.sends(Disconnect(ReasonCode.SERVER_SHUTTING_DOWN))
        while (packet := await hand.gets()) is not None:
            if isinstance(packet, Publish):
                got.append(packet.payload)
                if packet.qos:
                    await hand.sends(PubAck(packet.packet_id))

    async with playing(script) as server, telex.Client(server.address, reconnect=SOON) as client:
        is_over = False

        async def publish(qos: int) -> list[bytes]:
            sent = []
            while not is_over:
                sent.append(b"%d/%d" % (qos, len(sent)))
                await client.publish("t", sent[-1], qos=qos)
                await asyncio.sleep(0)
            return sent

        async with asyncio.timeout(SECONDS):
            publishing = [asyncio.create_task(publish(qos)) for qos in (0, 1)]
            goodbye.set()
            while server.connections < 2:
                await asyncio.sleep(0)
            is_over = True
            sent = await asyncio.gather(*publishing)
    at_qos_1 = [payload for payload in got if payload.startswith(b"1/")]
    assert list(dict.fromkeys(at_qos_1)) == sent[1]
