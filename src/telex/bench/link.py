"""One connection of the load: MQTT on whatever stream, with as little between the two as can be.

Knows the packets that begin and end a connection, and those that keep it alive. What a message is, and what is
answered to it, a ``Reader`` knows; without one nothing is expected but answers to what was asked.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol, Self, cast

from telex import topics
from telex.client.connection import farewell, refusal
from telex.client.dialing import Dialer
from telex.codes import MAX_PACKET_BYTES, MQTT_5, ReasonCode, reason_text
from telex.errors import NotConnected, ProtocolError, Refused, Timeout
from telex.streams.stream import ClientStream
from telex.wire.decode import Decoder
from telex.wire.encode import PINGREQ_BYTES, encode
from telex.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingResp,
    SubAck,
    Subscribe,
    SubscriptionRequest,
)
from telex.wire.properties import Properties

_TICK: Final = 0.25  # seconds between two looks at who has been silent
_PARTS: Final = 3
"""Into how many parts a keep alive is cut: at the end of one in which nothing left, a PINGREQ does."""

_MOST_FILTERS: Final = 100  # in one SUBSCRIBE, which is then some kilobytes


class Reader(Protocol):
    """Who takes in what a connection brings, from its first byte."""

    others: list[bytes]
    """Whole packets that are neither messages nor of their hand-shakes: whoever calls takes them out."""

    def receive(self, data: bytes) -> bytes:
        """Take in bytes, however they are cut; what is to be written at once in answer.

        Raises:
            ProtocolError: they are not MQTT.
        """


class KeepAlives:
    """One timer for all connections of a process: who has not written for a while sends PINGREQ."""

    def __init__(self) -> None:
        self._turns: dict[int, list[Link]] = {}  # whom to look at, by turn
        self._turn = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, link: "Link") -> None:
        """Keep a connection alive until it is over."""
        if link.keep_alive <= 0:
            return
        later = self._turn + max(1, int(link.keep_alive / _PARTS / _TICK))
        self._turns.setdefault(later, []).append(link)
        self._tick_later()

    def stop(self) -> None:
        """Nobody is kept alive any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._turns.clear()

    def _tick(self) -> None:
        self._timer = None
        self._turn += 1
        for link in self._turns.pop(self._turn, ()):
            if not link.is_over:
                link.keep()
                self.add(link)
        self._tick_later()

    def _tick_later(self) -> None:
        if self._timer is None and self._turns:
            self._timer = asyncio.get_running_loop().call_later(_TICK, self._tick)


class Link:
    """One connection, as the ``streams.stream.Handler`` of its stream. Made by ``open``."""

    __slots__ = (
        "_connack",
        "_decoder",
        "_error",
        "_has_heard",
        "_has_written",
        "_is_leaving",
        "_over",
        "_reader",
        "_stream",
        "_unanswered",
        "_waiting",
        "has_room",
        "is_over",
        "keep_alive",
        "on_lost",
        "server",
        "touched",
        "version",
    )

    def __init__(self, stream: ClientStream, connect: Connect, reader: Reader | None = None) -> None:
        self._stream = stream
        self._reader = reader
        self._decoder: Decoder | None = None if reader is not None else Decoder(version=connect.version)
        loop = asyncio.get_running_loop()
        self._connack: asyncio.Future[ConnAck] | None = loop.create_future()  # None: it has come
        self._waiting: dict[int, asyncio.Future[Packet]] = {}  # by packet id: SUBACK
        self._over: asyncio.Future[None] | None = None  # somebody waits for the end
        self._error: Exception | None = None  # what ended it
        self._has_heard = False  # since the last look
        self._unanswered = 0  # parts of the keep alive that have begun since a PINGREQ left, while nothing came
        self._has_written = True  # since the last look
        self._is_leaving = False
        self.is_over = False
        """Nothing comes or goes any more."""
        self.version = connect.version
        self.keep_alive = connect.keep_alive
        """Seconds; the broker may have said others [MQTT-3.1.2-21]."""
        self.server = Properties()
        """What CONNACK said of the broker."""
        self.touched: Callable[[], None] | None = None
        """Called when the reader has taken something in."""
        self.has_room: Callable[[], None] | None = None
        """Called when the broker reads again, after it did not."""
        self.on_lost: Callable[[Exception], None] | None = None
        """Called when the connection ends and nobody here has ended it."""
        stream.write(encode(connect, connect.version))

    @classmethod
    async def open(
        cls,
        dialer: Dialer,
        connect: Connect,
        *,
        timeout: float,
        reader: Reader | None = None,
        keep_alives: KeepAlives | None = None,
    ) -> Self:
        """Dial, send CONNECT and wait for CONNACK.

        Args:
            dialer: the way to the broker.
            connect: who comes.
            timeout: seconds that all of it may take.
            reader: takes in what comes; None: nothing but answers is expected.
            keep_alives: sends PINGREQ when it is time; None: nobody does.

        Raises:
            OSError: there is no connection.
            Refused: the broker does not let us in.
            Timeout: it does not answer in time.
            MqttError: it is no broker, or closes the connection.
        """
        links: list[Self] = []

        def opened(stream: ClientStream) -> Link:
            links.append(cls(stream, connect, reader))
            return links[0]

        try:
            async with asyncio.timeout(timeout):
                await dialer.open(opened)
                link = links[0]
                assert link._connack is not None  # nobody else takes it away
                connack = await link._connack
        except TimeoutError:
            _abort(links)
            raise Timeout(f"no answer from {dialer.address} within {timeout:g} s") from None
        except BaseException:
            _abort(links)
            raise
        link._connack = None
        if connack.reason_code != 0:
            link.abort()
            raise Refused(connack.reason_code, f"the broker refused the connection: {refusal(connack, link.version)}")
        if connack.properties is not None:
            link.server = connack.properties
            if link.server.server_keep_alive is not None:  # [MQTT-3.1.2-21]
                link.keep_alive = link.server.server_keep_alive
        if link.is_over:
            raise link.ended
        if keep_alives is not None:
            keep_alives.add(link)
        return link

    # What its owner calls

    @property
    def is_writable(self) -> bool:
        """Whether the broker keeps up with what is written."""
        return self._stream.is_writable

    @property
    def unsent(self) -> int:
        """Bytes that were written and wait here."""
        return self._stream.unsent

    @property
    def host(self) -> str:
        """The IP address that the broker was found at; empty for Unix sockets."""
        return self._stream.host

    @property
    def ended(self) -> Exception:
        """What ended it, when it is over."""
        return self._error or NotConnected("the connection was closed")

    @property
    def most_in_flight(self) -> int:
        """How many messages above QoS 0 the broker takes at a time (Receive Maximum)."""
        return self.server.receive_maximum or 65_535

    @property
    def largest_packet(self) -> int:
        """Bytes of the largest packet that the broker takes (Maximum Packet Size)."""
        return self.server.maximum_packet_size or MAX_PACKET_BYTES

    def use(self, reader: Reader) -> None:
        """Have somebody take in what comes from now on, where nobody but us was expected to."""
        self._reader = reader
        self._decoder = None

    def write(self, data: bytes | memoryview) -> None:
        """Send bytes; they wait here if the broker is slow. TCP and TLS take a view of them as well."""
        self._has_written = True
        self._stream.write(cast(bytes, data))

    async def subscribe(self, filters: Sequence[str], qos: int, *, timeout: float) -> None:
        """Subscribe, and wait for the answers.

        Args:
            filters: the topic filters; a hundred of them go into one packet.
            qos: the highest at which messages shall come.
            timeout: seconds that each answer may take.

        Raises:
            Refused: the broker refuses a filter, or grants less than that QoS.
            Timeout: it does not answer in time.
            NotConnected: the connection is lost.
        """
        for start in range(0, len(filters), _MOST_FILTERS):
            some = filters[start : start + _MOST_FILTERS]
            requests = [SubscriptionRequest(each, qos) for each in some]
            packet_id = self._free_id()
            answer = await self._ask(packet_id, Subscribe(packet_id, requests), "SUBSCRIBE", timeout)
            if not isinstance(answer, SubAck) or len(answer.reason_codes) != len(some):
                raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"{len(some)} filters were answered by {answer}")
            for topic_filter, code in zip(some, answer.reason_codes, strict=True):
                shown = topics.shown(topic_filter)
                if code >= 0x80:
                    why = reason_text(code) if self.version == MQTT_5 else f"return code 0x{code:02X}"
                    raise Refused(code, f"the broker refuses the subscription to {shown}: {why}")
                if code != qos:
                    raise Refused(code, f"the broker grants QoS {code} for {shown}, and QoS {qos} was asked for")

    def leave(self, *, forgets: bool = False) -> None:
        """Say DISCONNECT, and close when that has left.

        Args:
            forgets: whether the broker is to forget a session that it would keep (MQTT 5).
        """
        if self._is_leaving or self.is_over:
            return
        self._is_leaving = True
        properties = Properties(session_expiry_interval=0) if forgets else None
        self._stream.write(encode(Disconnect(properties=properties), self.version))
        self._stream.close()

    def abort(self) -> None:
        """End it now, without a word."""
        self._is_leaving = True
        if not self.is_over:
            self._stream.abort()

    async def gone(self) -> None:
        """Wait until it is over."""
        if not self.is_over:
            if self._over is None:
                self._over = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._over)

    def keep(self) -> None:
        """A part of the keep alive is over: send PINGREQ, if nothing has left since the last look."""
        if self._has_heard:
            self._unanswered = 0
        elif self._unanswered:
            self._unanswered += 1
            if self._unanswered > _PARTS:
                self._fail(Timeout("the broker does not answer PINGREQ"))
                return
        if not self._has_written:
            self._unanswered = self._unanswered or 1
            self._stream.write(PINGREQ_BYTES)
        self._has_written = False
        self._has_heard = False

    # What the stream calls

    def received(self, data: bytes) -> None:
        """Bytes came."""
        self._has_heard = True
        reader = self._reader
        try:
            if reader is None:
                self._decode(data)
                return
            answer = reader.receive(data)
            if answer:
                self._has_written = True
                self._stream.write(answer)
            if reader.others:
                others = b"".join(reader.others)
                reader.others.clear()
                self._decode(others)
        except ProtocolError as error:
            self._fail(error)
            return
        if self.touched is not None:
            self.touched()

    def writable(self) -> None:
        """The broker reads again."""
        if self.has_room is not None:
            self.has_room()

    def lost(self, reason: str) -> None:
        """The stream is over."""
        self.is_over = True
        if self._error is None:
            self._error = NotConnected(reason)
        for waiting in [self._connack, *self._waiting.values()]:
            if waiting is not None and not waiting.done():
                waiting.set_exception(self._error)
                waiting.exception()  # it was looked at, whoever waits
        if self._over is not None and not self._over.done():
            self._over.set_result(None)
        if not self._is_leaving and self.on_lost is not None:
            self.on_lost(self._error)
        self.touched = self.has_room = self.on_lost = None  # without circles all is gone at once

    # What happens within

    def _decode(self, data: bytes) -> None:
        decoder = self._decoder
        if decoder is None:  # the reader gives whole packets only
            decoder = Decoder(version=self.version)
        decoder.receive(data)
        while (packet := decoder.next_packet()) is not None:
            self._came(packet)

    def _came(self, packet: Packet) -> None:
        if isinstance(packet, ConnAck):
            if self._connack is None or self._connack.done():
                raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "a second CONNACK")
            self._connack.set_result(packet)
        elif isinstance(packet, SubAck):
            waiting = self._waiting.pop(packet.packet_id, None)
            if waiting is None:
                raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"{packet} answers nothing that was asked")
            if not waiting.done():
                waiting.set_result(packet)
        elif isinstance(packet, Disconnect):
            self._fail(Refused(packet.reason_code, f"the broker ends the connection: {farewell(packet)}"))
        elif not isinstance(packet, PingResp):
            raise ProtocolError(ReasonCode.PROTOCOL_ERROR, f"{packet} where nothing of that kind was expected")

    def _fail(self, error: Exception) -> None:
        """It is over by a fault."""
        if self._error is None:
            self._error = error
        self._stream.abort()

    def _free_id(self) -> int:
        """A packet id that no request uses. Those of publications are below: see ``Sender``."""
        packet_id = 65_535
        while packet_id in self._waiting:
            packet_id -= 1
        return packet_id

    async def _ask(self, packet_id: int, packet: Packet, what: str, timeout: float) -> Packet:
        if self.is_over:
            raise self.ended
        waiting: asyncio.Future[Packet] = asyncio.get_running_loop().create_future()
        self._waiting[packet_id] = waiting
        self.write(encode(packet, self.version))
        try:
            async with asyncio.timeout(timeout):
                return await waiting
        except TimeoutError:
            raise Timeout(f"the broker does not answer {what} within {timeout:g} s") from None
        finally:
            self._waiting.pop(packet_id, None)


def _abort(links: Sequence[Link]) -> None:
    for link in links:
        link.abort()
