"""A client id with its state, over one socket after the other.

Written for these tests alone: it keeps to the specification, remembers what a client
must remember across connections (section 4.1), and shows the referee every packet.
Knows neither the broker's process nor why a connection was lost.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from telex.codes import MQTT_5, NEVER_EXPIRES, reason_text
from telex.errors import ProtocolError
from telex.wire.decode import Decoder
from telex.wire.encode import encode
from telex.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    UnsubAck,
    Unsubscribe,
    Will,
)
from telex.wire.properties import Properties
from tests.crash.process import SECONDS
from tests.crash.referee import Message, Referee

_MOST_IDS = 300
"""Packet ids come again soon, so that what the broker wrongly remembers meets a new message."""


class Surroundings:
    """What all clients of a test share."""

    def __init__(self, port: int, referee: Referee) -> None:
        self.port = port
        self.referee = referee
        self.is_up = False  # the broker, as far as we want it to be
        self.on_packet: Callable[[str], None] = lambda kind: None  # is told of each packet that has come

    def on_clean_start(self) -> None:
        """Somebody is about to start clean: a big queue is to be deleted."""


class Link(asyncio.Protocol):
    """One connection."""

    def __init__(self, client: "Client") -> None:
        self.client = client
        self.is_ready = False  # CONNACK has come
        self.is_leaving = False  # we close it
        self.is_made = False
        self.over = asyncio.Event()
        self.reason = ""  # that the broker gave for closing it
        self._decoder = Decoder(version=client.version)
        self._frames: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.is_made = True

    def data_received(self, data: bytes) -> None:
        self._decoder.receive(data)
        try:
            while (packet := self._decoder.next_packet()) is not None:
                self.client.got(self, packet)
        except ProtocolError as error:
            self.client.surroundings.referee.fault(self.client.name, f"cannot read what it got: {error}")
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.over.set()
        self.client.lost(self)

    def send(self, packet: Packet) -> None:
        """Let a packet leave with all others of this turn."""
        if not self._frames:
            asyncio.get_running_loop().call_soon(self._flush)
        self._frames.append(encode(packet, self.client.version))

    def _flush(self) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.write(b"".join(self._frames))
        self._frames = []

    def close(self) -> None:
        """Close it when all has left."""
        self._flush()
        assert self._transport is not None
        self._transport.close()

    def abort(self) -> None:
        """Close it at once."""
        if self._transport is not None:
            self._transport.abort()


class Outgoing:
    """A message of QoS 1 or 2 that we have in flight."""

    def __init__(self, message: Message, packet_id: int) -> None:
        self.message = message
        self.packet_id = packet_id
        self.is_released = False  # PUBREC has come


class Client:
    """A client that never forgets.

    Args:
        expiry_interval: seconds for which its session is kept; None: for ever. For v5.
        receive_maximum: messages that it takes at a time; for v5.
        topic_alias_maximum: for v5.
        patience: answers to PUBLISH and PUBREL that it may hold back.
        retain_handling: of its subscriptions; 2: no retained messages, please.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        name: str,
        version: int,
        *,
        expiry_interval: int | None = None,
        receive_maximum: int | None = None,
        topic_alias_maximum: int = 0,
        patience: int = 0,
        retain_handling: int = 2,
    ) -> None:
        self.surroundings = surroundings
        self.name = name
        self.version = version
        self.expiry_interval = expiry_interval
        self.receive_maximum = receive_maximum
        self.topic_alias_maximum = topic_alias_maximum
        self.patience = patience
        self.retain_handling = retain_handling
        self.window = 20  # messages that it has in flight
        self.wanted: dict[str, int] = {}  # the subscriptions that it is to have: QoS by topic filter
        self.granted: dict[str, bool] = {}  # those that it has: whether it is sure
        self.must_start_clean = False
        self._is_sure_of_session = False
        self._outgoing: dict[int, Outgoing] = {}  # in the order of sending; released ones: of PUBRECs
        self._waiting: deque[Message] = deque()  # not sent yet
        self._last_id = 0
        # Of one connection:
        self._link: Link | None = None
        self._links: list[Link] = []  # that are not closed yet
        self._connack: asyncio.Future[bool] | None = None
        self._replies: dict[int, tuple[str, asyncio.Future[bool]]] = {}  # by packet id: for which filter
        self._pings: deque[asyncio.Future[bool]] = deque()
        self._answers: deque[Packet] = deque()
        self._aliases: dict[int, str] = {}
        self._changed = asyncio.Event()

    # Connections

    @property
    def is_connected(self) -> bool:
        return self._link is not None and self._link.is_ready

    async def connects(self, *, clean_start: bool = False, will: Message | None = None) -> bool:
        """Connect; an older connection is taken over. False if the broker died meanwhile."""
        if (clean_start or self.must_start_clean) and self.version < MQTT_5 and will is None:
            # What starts clean in v3 is not kept: that session is for nothing but to end the one before.
            if not await self._opens(clean_start=True, will=None):
                return False
            await self.disconnects()
            clean_start = False
        return await self._opens(clean_start=clean_start or self.must_start_clean, will=will)

    async def _opens(self, *, clean_start: bool, will: Message | None) -> bool:
        referee = self.surroundings.referee
        if self._link is not None:
            self._leaves(self._link)
        loop = asyncio.get_running_loop()
        link = Link(self)
        self._links.append(link)
        try:
            await loop.create_connection(lambda: link, "127.0.0.1", self.surroundings.port)
        except OSError as error:
            if self.surroundings.is_up:
                referee.fault(self.name, f"cannot connect: {error}")
            return False
        finally:
            if not link.is_made:
                self._links.remove(link)
                link.over.set()
        if link.over.is_set():
            return False
        self._link = link
        self.must_start_clean = clean_start or referee.may_be_over(referee.session(self.name, self.expiry_interval))
        referee.connects(self.name, clean_start=clean_start, is_kept=self.version == MQTT_5 or not clean_start)
        if will is not None:
            referee.wills(will)
        self._connack = loop.create_future()
        link.send(self._connect(clean_start=clean_start, will=will))
        accepted = await self._soon(self._connack, "CONNACK")
        for old in self._links:
            if old is not link:
                old.abort()
        return accepted

    def _connect(self, *, clean_start: bool, will: Message | None) -> Connect:
        kept = NEVER_EXPIRES if self.expiry_interval is None else self.expiry_interval
        return Connect(
            self.name,
            version=self.version,
            clean_start=clean_start,
            keep_alive=0,
            will=None if will is None else Will(will.topic, will.payload, qos=will.qos),
            properties=Properties(
                session_expiry_interval=kept,
                receive_maximum=self.receive_maximum,
                topic_alias_maximum=self.topic_alias_maximum or None,
            ),
        )

    async def disconnects(self) -> None:
        """Say DISCONNECT, and wait until the broker has closed the connection."""
        link = self._link
        if link is not None:
            link.is_leaving = True
            self.surroundings.referee.leaves(self.name)
            link.send(Disconnect())
            await self._soon(link.over.wait(), "the end of its connection")

    def drops(self) -> None:
        """Lose the connection."""
        link = self._link
        if link is not None:
            self._leaves(link)
            link.abort()

    async def ended(self) -> None:
        """Wait until no connection is left."""
        for link in self._links[:]:
            await self._soon(link.over.wait(), "the end of its connection")

    def aborts(self) -> None:
        """Close whatever is open, at the end of a test."""
        for link in self._links:
            link.abort()

    def lost(self, link: Link) -> None:
        """A connection is over."""
        self._links.remove(link)
        if link is self._link:
            if self.surroundings.is_up and not link.is_leaving:
                self.surroundings.referee.fault(self.name, f"was sent away{link.reason}")
            self._leaves(link, is_noticed=True)

    def _leaves(self, link: Link, *, is_noticed: bool = False) -> None:
        """Whatever still comes from it means nothing."""
        self._link = None
        self.surroundings.referee.loses(self.name, is_noticed=is_noticed)
        replies = [*(reply for _, reply in self._replies.values()), *self._pings]
        if self._connack is not None:
            replies.append(self._connack)
        for reply in replies:
            if not reply.done():
                reply.set_result(False)
        self._connack = None
        self._replies.clear()
        self._pings.clear()
        self._answers.clear()
        self._aliases.clear()
        self._changed.set()

    async def _soon(self, awaitable: Awaitable[Any], what: str) -> bool:
        try:
            async with asyncio.timeout(SECONDS):
                return await awaitable is True
        except TimeoutError:
            self.surroundings.referee.fault(self.name, f"waited {SECONDS:.0f} s for {what}")
            self.drops()
            return False

    # What it sends

    def publishes(self, message: Message) -> None:
        """Publish, now or as soon as the window allows."""
        if message.qos == 0:
            if self._link is not None and self._link.is_ready:
                self._publish(message, 0)
        else:
            self._waiting.append(message)
            self._send_waiting()

    @property
    def unfinished(self) -> int:
        """How many of its messages are not acknowledged."""
        return len(self._waiting) + len(self._outgoing)

    async def has_finished(self, most: int = 0) -> bool:
        """Wait until no more than so many messages are not acknowledged: False if the connection is lost before."""
        while self.unfinished > most:
            if not await self.changed():
                return False
        return True

    async def changed(self, seconds: float = SECONDS) -> bool:
        """Wait for something to come: False if the connection is lost, or nothing does."""
        self._changed.clear()
        if not self.is_connected:
            return False
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        return self.is_connected

    def _send_waiting(self) -> None:
        while self._waiting and self.is_connected and len(self._outgoing) < self.window:
            packet_id = self._next_id()
            message = self._waiting.popleft()
            self._outgoing[packet_id] = Outgoing(message, packet_id)
            self._publish(message, packet_id)

    def _publish(self, message: Message, packet_id: int) -> None:
        assert self._link is not None  # callers look first
        dup = message.sent_at > 0
        self.surroundings.referee.writes(message)
        self._link.send(Publish(message.topic, message.payload, message.qos, message.retain, dup, packet_id))

    def _next_id(self) -> int:
        while True:
            self._last_id = self._last_id % _MOST_IDS + 1
            if self._last_id not in self._outgoing and self._last_id not in self._replies:
                return self._last_id

    async def catches_up(self) -> bool:
        """Subscribe to what is wanted, and to nothing else: False if the connection is lost before."""
        for topic_filter, qos in list(self.wanted.items()):
            if not self.granted.get(topic_filter) and not await self._subscribes(topic_filter, qos):
                return False
        for topic_filter in list(self.granted):
            if topic_filter not in self.wanted and not await self._unsubscribes(topic_filter):
                return False
        return True

    async def _subscribes(self, topic_filter: str, qos: int) -> bool:
        request = SubscriptionRequest(topic_filter, qos, retain_handling=self.retain_handling)
        self.surroundings.referee.subscribes(self.name, topic_filter, qos)
        return await self._requests(topic_filter, Subscribe(self._next_id(), [request]))

    async def _unsubscribes(self, topic_filter: str) -> bool:
        self.surroundings.referee.unsubscribes(self.name, topic_filter)
        return await self._requests(topic_filter, Unsubscribe(self._next_id(), [topic_filter]))

    async def _requests(self, topic_filter: str, packet: Subscribe | Unsubscribe) -> bool:
        if self._link is None:
            return False
        self.granted[topic_filter] = False
        reply = asyncio.get_running_loop().create_future()
        self._replies[packet.packet_id] = topic_filter, reply
        self._link.send(packet)
        return await self._soon(reply, f"an answer to {packet}")

    async def pings(self) -> bool:
        """Ask whether the broker is there."""
        link = self._link
        if link is None:
            return False
        reply: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._pings.append(reply)
        self.surroundings.referee.pings(self.name)
        link.send(PingReq())
        return await self._soon(reply, "PINGRESP")

    def gives_answers(self, most: int) -> None:
        """Answer until no more than so many answers are held back."""
        link = self._link
        referee = self.surroundings.referee
        while link is not None and len(self._answers) > most:
            packet = self._answers.popleft()
            if isinstance(packet, PubComp):
                referee.completes(self.name, packet.packet_id)
            elif isinstance(packet, PubAck | PubRec):
                referee.answers(self.name, packet.packet_id)
            link.send(packet)

    # What it gets

    def got(self, link: Link, packet: Packet) -> None:
        """A packet has come."""
        if link is not self._link:
            return  # it was taken over
        if isinstance(packet, Publish):
            self._got_publish(packet)
        elif isinstance(packet, PubRel):
            self.surroundings.referee.releases(self.name, packet.packet_id)
            self._answers.append(PubComp(packet.packet_id))
        elif isinstance(packet, PubAck | PubRec | PubComp):
            self._got_acknowledgement(link, packet)
        elif isinstance(packet, SubAck | UnsubAck):
            self._got_reply(packet)
        elif isinstance(packet, ConnAck):
            self._got_connack(link, packet)
        elif isinstance(packet, PingResp):
            self.surroundings.referee.pingresp(self.name)
            _settle(self._pings.popleft())
        elif isinstance(packet, Disconnect):
            link.reason = f": {reason_text(packet.reason_code)}"
        self.gives_answers(self.patience)
        self._changed.set()
        self.surroundings.on_packet(type(packet).__name__)

    def _got_connack(self, link: Link, packet: ConnAck) -> None:
        if packet.reason_code != 0:
            self.surroundings.referee.fault(self.name, f"got {packet}")
            return
        self.must_start_clean = False
        self.surroundings.referee.connack(self.name, packet.session_present)
        if not packet.session_present:
            self.granted.clear()
        link.is_ready = True
        again = sorted(self._outgoing.values(), key=lambda each: not each.is_released)
        for outgoing in again:
            if outgoing.is_released:
                link.send(PubRel(outgoing.packet_id))
            else:
                self._publish(outgoing.message, outgoing.packet_id)
        self._send_waiting()
        assert self._connack is not None  # it is set with each CONNECT
        _settle(self._connack)

    def _got_publish(self, packet: Publish) -> None:
        alias = None if packet.properties is None else packet.properties.topic_alias
        if alias is not None:
            if packet.topic:
                self._aliases[alias] = packet.topic
            packet.topic = self._aliases.get(alias, "")
        self.surroundings.referee.receives(self.name, packet)
        if packet.qos == 1:
            self._answers.append(PubAck(packet.packet_id))
        elif packet.qos == 2:
            self._answers.append(PubRec(packet.packet_id))

    def _got_acknowledgement(self, link: Link, packet: PubAck | PubRec | PubComp) -> None:
        outgoing = self._outgoing.get(packet.packet_id)
        referee = self.surroundings.referee
        is_known_late = isinstance(packet, PubComp) and packet.reason_code == 0x92  # an earlier one was lost
        if outgoing is None or (packet.reason_code >= 0x80 and not is_known_late):
            referee.fault(self.name, f"got {packet}")
        elif isinstance(packet, PubRec):
            if not outgoing.is_released:
                outgoing.is_released = True
                del self._outgoing[packet.packet_id]  # to the end: PUBRELs are sent again in the order of PUBRECs
                self._outgoing[packet.packet_id] = outgoing
            link.send(PubRel(packet.packet_id))
        elif (outgoing.message.qos == 2) != isinstance(packet, PubComp) or (
            outgoing.message.qos == 2 and not outgoing.is_released
        ):
            referee.fault(self.name, f"got {packet} for {outgoing.message}")
        else:
            del self._outgoing[packet.packet_id]
            referee.acknowledged(outgoing.message)
            self._send_waiting()

    def _got_reply(self, packet: SubAck | UnsubAck) -> None:
        topic_filter, reply = self._replies.pop(packet.packet_id, ("", None))
        referee = self.surroundings.referee
        if reply is None or any(code >= 0x80 for code in packet.reason_codes):
            referee.fault(self.name, f"got {packet}")
            return
        if isinstance(packet, SubAck):
            self.granted[topic_filter] = True
            referee.suback(self.name, topic_filter)
        else:
            del self.granted[topic_filter]
            referee.unsuback(self.name, topic_filter, packet.reason_codes)
        _settle(reply)


def _settle(reply: "asyncio.Future[bool]") -> None:
    if not reply.done():  # its test may have given up
        reply.set_result(True)
