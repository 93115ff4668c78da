"""A remote that does not read: memory stays bounded, nothing above QoS 0 is lost, and nobody else waits for it."""

import asyncio
from typing import Final

from telex.wire.packets import ConnAck, Connect, PubAck, Publish, Subscribe, UnsubAck, Unsubscribe
from tests.bridges.brokers import address_of, bridge_to, is_open, line, status, telex_at, until, witness
from tests.client.adversity.peers import Hand, playing

OUTBOX: Final = 200_000
COUNT: Final = 300
"""Messages of QoS 1."""

CARELESS: Final = 2_000
"""Messages of QoS 0, of 10 kB each: more than all sockets of this machine hold."""


class Remote:
    """It answers, and then reads nothing until it is told to."""

    def __init__(self) -> None:
        self.may_read = asyncio.Event()
        self.got: list[Publish] = []

    async def play(self, hand: Hand, number: int) -> None:
        """One connection."""
        connect = await hand.gets()
        assert isinstance(connect, Connect)
        await hand.sends(ConnAck())
        await self.may_read.wait()
        while (packet := await hand.gets()) is not None:
            if isinstance(packet, Publish):
                self.got.append(packet)
                if packet.qos:
                    await hand.sends(PubAck(packet.packet_id))
            elif isinstance(packet, Unsubscribe):
                await hand.sends(UnsubAck(packet.packet_id, [0]))
            else:
                assert not isinstance(packet, Subscribe)


async def test_a_remote_that_does_not_read_holds_nobody_up_and_loses_nothing() -> None:
    remote = Remote()
    async with playing(remote.play) as played, telex_at() as good:
        slow = bridge_to(0, line("a/#", "out", 1), name="slow", client_id="slow", addresses=[played.address])
        quick = bridge_to(0, line("a/#", "out", 1), name="quick", client_id="quick", addresses=[address_of(good.port)])
        async with (
            telex_at(slow, quick, limits={"max_outbox_bytes": OUTBOX}) as home,
            witness(home.port, "a/#") as here,
            witness(good.port, "a/#") as there,
        ):
            await is_open(home, "slow")
            await is_open(home, "quick")
            outbox = home.engine.sessions["local.slow"].outbox
            assert outbox is not None  # it is connected
            most = 0
            for number in range(COUNT):
                await here.client.publish("a/kept", b"%d" % number, qos=1)
                for _ in range(CARELESS // COUNT + 1):
                    await here.client.publish("a/careless", bytes(10_000))
                most = max(most, outbox.size)
            # Others have all of it.
            await here.hears("a/kept", b"%d" % (COUNT - 1))
            await there.hears("a/kept", b"%d" % (COUNT - 1))
            wanted = [b"%d" % number for number in range(COUNT)]
            assert here.payloads("a/kept") == there.payloads("a/kept") == wanted
            assert here.payloads("a/careless") == there.payloads("a/careless")
            assert len(here.payloads("a/careless")) >= CARELESS
            # What the slow one has not read is there, but for what nobody promised.
            assert status(home, "slow").state == "open"
            assert status(home, "slow").queued + status(home, "slow").in_flight == COUNT
            assert most < OUTBOX + 20_000
            remote.may_read.set()
            await until(lambda: status(home, "slow").queued + status(home, "slow").in_flight == 0)
            assert [each.payload for each in remote.got if each.qos] == wanted
            assert sum(each.topic == "a/careless" for each in remote.got) < len(here.payloads("a/careless"))
            assert status(home, "slow").connections == 1
