"""Peers that say nothing, or are gone without a word, cost nothing but their memory."""

import asyncio
import selectors
import socket

import telex
from telex.wire.packets import Publish
from tests.conformance.marks import edge
from tests.shell.raw import connected


class CountingSelector(selectors.DefaultSelector):
    """Counts how often the loop wakes up."""

    count = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.count += 1
        return super().select(timeout)


@edge("M4")
def test_silent_peers_do_not_wake_the_broker() -> None:
    selector = CountingSelector()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        assert runner.run(wakings_of_a_second(selector)) < 20


async def wakings_of_a_second(selector: CountingSelector) -> int:
    """How often the loop wakes up from one update of ``$SYS`` to the next, with all kinds of silent peers."""
    async with telex.Broker(port=0, sys_interval=1) as broker:
        peers = [socket.create_connection(("127.0.0.1", broker.port)) for _ in range(4)]
        peers[1].sendall(b"\x10\x0d\x00\x04MQ")  # half a CONNECT
        peers[2].shutdown(socket.SHUT_WR)  # gone, as far as it can be seen
        peers[3].sendall(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01c")
        async with connected(broker.port) as listener:
            await listener.subscribe("$SYS/broker/uptime")
            counts = []
            while len(counts) < 3:
                if isinstance(await listener.receive(), Publish):
                    counts.append(selector.count)
        for peer in peers:
            peer.close()
    return counts[2] - counts[1]
