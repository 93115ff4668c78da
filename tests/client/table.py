"""A table between a client and a server that the test plays by hand: no socket, no sleep.

The client gets ``Table`` in place of its way to a broker. What the server does not
answer by itself, the test does.
"""

import asyncio
import gc
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from telex.client.address import parse_address
from telex.client.dialing import Dialer
from telex.client.subscription import Subscription
from telex.codes import MQTT_5
from telex.streams.stream import ClientStream, Handler
from telex.wire.decode import Decoder
from telex.wire.encode import encode
from telex.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
)

SECONDS = 10.0
"""How long anything may take before its test fails."""

P = TypeVar("P", bound=Packet)
SILENCE = object()
"""For ``Table.answers``: CONNECT gets no answer."""
HANG_UP = object()
"""For ``Table.answers``: the connection is closed without a word."""


class Side(ClientStream):
    """The client's stream on one connection, and the server's hand on it."""

    def __init__(self, table: "Table") -> None:
        self.address = self.host = self.identity = self.via_tls = ""
        self.is_writable = True
        self.is_obliging = table.is_obliging  # subscriptions and publications are answered as good servers do
        self.is_open = True
        self.got: list[Packet] = []  # all that came
        self.connect: Connect | None = None
        self._table = table
        self._decoder = Decoder()
        self._news = asyncio.Event()
        self._taken = 0  # packets that the test has taken
        self._is_reading = True
        self._unread: deque[bytes] = deque()
        self._handler: Handler | None = None

    # What the client calls

    def write(self, data: bytes) -> None:
        assert self.is_open
        self._decoder.receive(data)
        while (packet := self._decoder.next_packet()) is not None:
            self.got.append(packet)
            self._news.set()
            if isinstance(packet, Connect):
                self.connect = packet
                self._table.answer(self, packet)
            elif isinstance(packet, Disconnect):
                asyncio.get_running_loop().call_soon(self.ends)
            elif self.is_obliging:
                asyncio.get_running_loop().call_soon(self.oblige, packet)

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        asyncio.get_running_loop().call_soon(self.ends)

    def pause_reading(self) -> None:
        self._is_reading = False

    def resume_reading(self) -> None:
        self._is_reading = True
        asyncio.get_running_loop().call_soon(self._bring)

    @property
    def unsent(self) -> int:
        return 0

    def acknowledge_now(self) -> None:
        pass

    # What the test calls

    @property
    def version(self) -> int:
        return self._decoder.version

    @property
    def is_read(self) -> bool:
        """Whether the client reads."""
        return self._is_reading

    def sends(self, *packets: Packet) -> None:
        """In one read."""
        self.sends_bytes(b"".join(encode(packet, self.version) for packet in packets))
        last = packets[-1]
        if isinstance(last, Disconnect) or (isinstance(last, ConnAck) and last.reason_code != 0):
            asyncio.get_running_loop().call_soon(self.ends)

    def sends_bytes(self, data: bytes) -> None:
        self._unread.append(data)
        self._bring()

    def ends(self, reason: str = "the connection was closed") -> None:
        """The connection is gone."""
        if self.is_open:
            self.is_open = False
            self.is_writable = False
            self._news.set()
            assert self._handler is not None
            self._handler.lost(reason)

    def stalls(self) -> None:
        """The server takes no more bytes."""
        self.is_writable = False

    def flows(self) -> None:
        """It does again."""
        self.is_writable = True
        assert self._handler is not None
        self._handler.writable()

    async def gets(self, kind: type[P]) -> P:
        """The next packet of a kind; what comes before it is left out."""
        async with asyncio.timeout(SECONDS):
            while True:
                while self._taken < len(self.got):
                    packet = self.got[self._taken]
                    self._taken += 1
                    if isinstance(packet, kind):
                        return packet
                assert self.is_open, f"the connection ended before {kind.__name__}"
                self._news.clear()
                await self._news.wait()

    async def is_over(self) -> None:
        """Wait until the client has closed it."""
        async with asyncio.timeout(SECONDS):
            while self.is_open:
                self._news.clear()
                await self._news.wait()

    def all(self, kind: type[P]) -> list[P]:
        """All packets of a kind so far."""
        return [packet for packet in self.got if isinstance(packet, kind)]

    def oblige(self, packet: Packet) -> None:
        """Answer as a good server does."""
        if not self.is_open:
            return
        if isinstance(packet, Subscribe):
            self.sends(SubAck(packet.packet_id, [request.qos for request in packet.requests]))
        elif isinstance(packet, Unsubscribe):
            codes = [0] * len(packet.topic_filters) if self.version == MQTT_5 else None
            self.sends(UnsubAck(packet.packet_id, codes))
        elif isinstance(packet, Publish) and packet.qos > 0:
            self.sends(PubAck(packet.packet_id) if packet.qos == 1 else PubRec(packet.packet_id))
        elif isinstance(packet, PubRel):
            self.sends(PubComp(packet.packet_id))

    # What happens within

    def attach(self, handler: Handler) -> None:
        self._handler = handler
        self._bring()

    def _bring(self) -> None:
        while self._handler is not None and self._unread and self._is_reading and self.is_open:
            self._handler.received(self._unread.popleft())


class Table(Dialer):
    """The way to the server.

    ``answers`` has what the server says to each CONNECT, one after the other: a ConnAck, bytes, an exception (there is
    no connection), SILENCE or HANG_UP. When it is empty: a ConnAck that remembers nobody.
    """

    def __init__(self, *answers: Any, name: str = "mqtt://table", is_obliging: bool = True) -> None:
        super().__init__(parse_address(name))
        self.answers = deque(answers)
        self.is_obliging = is_obliging
        self.sides: list[Side] = []
        self.attempts = 0
        self.others: dict[str, Table] = {}  # by server reference
        self._arrived = asyncio.Event()

    async def open(self, new_handler: Callable[[ClientStream], Handler]) -> ClientStream:
        self.attempts += 1
        await asyncio.sleep(0)
        if self.answers and isinstance(self.answers[0], Exception):
            raise self.answers.popleft()
        side = Side(self)
        self.sides.append(side)
        side.attach(new_handler(side))
        self._arrived.set()
        return side

    def redirected(self, reference: str) -> "Dialer":
        if reference not in self.others:
            return super().redirected(reference)
        return self.others[reference]

    def answer(self, side: Side, connect: Connect) -> None:
        """The server's answer to CONNECT."""
        answer = self.answers.popleft() if self.answers else ConnAck()
        loop = asyncio.get_running_loop()
        if isinstance(answer, bytes):
            loop.call_soon(side.sends_bytes, answer)
            if answer[3] != 0:  # CONNACK says no
                loop.call_soon(side.ends)
        elif answer is HANG_UP:
            loop.call_soon(side.ends)
        elif answer is not SILENCE:
            loop.call_soon(side.sends, answer)

    @property
    def side(self) -> Side:
        """The server's hand on the last connection."""
        return self.sides[-1]

    async def connection(self, number: int) -> Side:
        """The server's hand on a connection, counted from 1, when it is there."""
        async with asyncio.timeout(SECONDS):
            while len(self.sides) < number:
                self._arrived.clear()
                await self._arrived.wait()
        return self.sides[number - 1]


async def turns(number: int = 10) -> None:
    """Let everything happen that can happen now."""
    for _ in range(number):
        await asyncio.sleep(0)


def rest_of(subscription: Subscription) -> list[bytes]:
    """The payloads that wait in a subscription."""
    return [message.payload for message in subscription.take()]


async def nothing_is_left() -> None:
    """No task but ours is there, and no future has an exception that nobody looked at: that fails the test."""
    await turns()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert others == set(), others
    gc.collect()
