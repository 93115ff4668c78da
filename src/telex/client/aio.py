"""Client: MQTT on asyncio, from one line to a service that never gives up."""

import asyncio
import errno
import logging
import math
import os
import random
import secrets
import signal
import ssl
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from contextlib import suppress
from inspect import isawaitable
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar

from telex import topics
from telex.client.address import Address, parse_address
from telex.client.authentication import Authenticator
from telex.client.connection import ClientConnection, Publication, farewell, refusal
from telex.client.dialing import Dialer
from telex.client.forgetting import forget_session
from telex.client.handlers import F, Handlers, OnError
from telex.client.inbox import NO_LIMIT, Inbox
from telex.client.link import Link
from telex.client.message import Message
from telex.client.outbox import Outbox
from telex.client.payloads import Codec, Codecs, UserProperties, encode_payload, user_property_pairs
from telex.client.publishing import Publisher, closed, refused
from telex.client.reconnect import Reconnect, Waits
from telex.client.requests import Requests
from telex.client.subscription import Subscription, WhenFull
from telex.client.tls import ClientTls
from telex.client.will import Will
from telex.codes import MAX_PACKET_ID, MQTT_3_1, MQTT_3_1_1, MQTT_5, ReasonCode
from telex.errors import MqttError, NotConnected, Refused, Timeout, Untrusted
from telex.streams.stream import ClientStream
from telex.wire.encode import encode
from telex.wire.packets import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    Publish,
    SubAck,
    SubscriptionRequest,
    UnsubAck,
)
from telex.wire.properties import Properties

C = TypeVar("C", bound="Callable[[Connected], object]")
L = TypeVar("L", bound="Callable[[Lost], object]")
Tap = Callable[[bytes, bool], None]
"""Sees all bytes: True, that leave, or False, that come; none when a network connection begins."""

Version = Literal["5", "3.1.1", "3.1"]

_VERSIONS: Final[dict[str, int]] = {"5": MQTT_5, "3.1.1": MQTT_3_1_1, "3.1": MQTT_3_1}
_NAMES: Final[dict[int, Version]] = {MQTT_5: "5", MQTT_3_1_1: "3.1.1", MQTT_3_1: "3.1"}

_LIFE: Final = 300
"""Seconds for which a broker keeps the session of a client that did not ask for more, when its connection is lost."""

_NEVER: Final = 0xFFFF_FFFF
"""The Session Expiry Interval that means never (section 3.1.2.11.2)."""

_OVERFULL: Final = 4
"""By how many times its limit a queue is overfull with messages of QoS 0, while we must read since we wait for an
answer, before they are dropped."""

_RECONNECT: Final = Reconnect()

_MOST_REFERENCES: Final = 5
"""Servers that name another one, one after the other ..."""

_STEADY: Final = 1.0
"""... before one of them has kept us for so many seconds."""

# Refusals that may be over soon (section 3.2.2.2, v3 section 3.2.2.3).
_TEMPORARY_V5: Final = frozenset(
    (
        ReasonCode.UNSPECIFIED_ERROR,
        ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR,
        ReasonCode.SERVER_UNAVAILABLE,
        ReasonCode.SERVER_BUSY,
        ReasonCode.QUOTA_EXCEEDED,
        ReasonCode.CONNECTION_RATE_EXCEEDED,
    )
)
# DISCONNECTs for a packet that the broker does not take: sent again, it would end the next connection, too.
_FAULTS_OF_A_PACKET: Final = frozenset(
    (
        ReasonCode.NOT_AUTHORIZED,
        ReasonCode.TOPIC_NAME_INVALID,
        ReasonCode.PACKET_TOO_LARGE,
        ReasonCode.PAYLOAD_FORMAT_INVALID,
        ReasonCode.RETAIN_NOT_SUPPORTED,
        ReasonCode.QOS_NOT_SUPPORTED,
    )
)
_UNAVAILABLE_V3: Final = 3
_OTHER_VERSION_V3: Final = 1
_SUCCESS: Final = ReasonCode.SUCCESS
_ELSEWHERE: Final = (ReasonCode.USE_ANOTHER_SERVER, ReasonCode.SERVER_MOVED)

_log: Final = logging.getLogger("telex.client")


class Connected:
    """A connection is there: for the first time, or again."""

    __slots__ = ("client_id", "first_time", "session_present", "version")

    def __init__(self, *, client_id: str, version: Version, session_present: bool, first_time: bool) -> None:
        self.client_id = client_id
        self.version = version
        self.session_present = session_present  # the broker has kept what it knew of us
        self.first_time = first_time

    def __repr__(self) -> str:
        return f"Connected({self.client_id!r}, session_present={self.session_present}, first_time={self.first_time})"


class Lost:
    """The connection is gone, or could not be made."""

    __slots__ = ("reason", "retry_in")

    def __init__(self, *, reason: str, retry_in: float | None) -> None:
        self.reason = reason  # for people
        self.retry_in = retry_in  # seconds; None: it is over

    def __repr__(self) -> str:
        return f"Lost({self.reason!r}, retry_in={self.retry_in})"


class Client:
    """A client of one broker. It connects, and comes back, by itself.

    ::

        async with telex.Client("mqtt://localhost") as client:
            await client.publish("home/temp/room1", 24.2, qos=1)

    What is subscribed to lives on while the connection is lost and made again, and what is
    being published above QoS 0 is completed. It belongs to one event loop, that of
    ``async with`` or ``run``; for threads there is ``SyncClient``.

    Args:
        address: ``mqtt://``, ``mqtts://``, ``ws://``, ``wss://`` or ``unix://``; user and password may stand in it.
        client_id: who we are to the broker. Empty: it chooses a name.
        user: in place of the address's.
        password: in place of the address's.
        version: the version of MQTT. None: 5, and 3.1.1 with a broker that does not speak 5.
        keep_alive: seconds without a sign of life, after 1.5 times of which each side gives the other up; 0: never.
        session_expiry_interval: seconds for which the broker keeps the session after the client
            has closed, ``math.inf`` for ever; needs a client id. None: the session lives as long as this client.
        clean_start: True: begin without what a kept session knows.
        will: what the broker publishes if it loses us.
        tls: certificates, where the system's are not enough.
        proxy: ``socks5h://``, ``socks5://``, ``socks4://`` or ``http://``.
        bind: the local address to connect from.
        websocket_headers: headers to send with the opening of a WebSocket.
        connect_timeout: seconds for one attempt, from the first packet to the broker's answer.
        reconnect: how to come back. None: one attempt, and the end when it fails or is lost.
        outbox: a file in which publications wait until the broker has them.
        receive_maximum: messages above QoS 0 that the broker may have on the way to us.
        maximum_packet_size: of a packet to us, in bytes.
        topic_alias_maximum: topic aliases that the broker may use.
        most_in_flight: messages above QoS 0 that we have on the way to it, if it does not take fewer.
        request_response_information: ask the broker under which topic replies are wanted.
        request_problem_information: whether the broker may give reasons in words.
        user_properties: to say when connecting.
        authenticator: for brokers that ask for more than a password.
        codecs: for payloads of your own content types.
        on_error: what happens when a handler fails: ``log`` it, ``stop`` the client, or ``raise``
            out of ``run`` or ``async with``.

    Raises:
        ValueError: an address, a name or a number that cannot be.
    """

    def __init__(
        self,
        address: str | Address | Dialer = "mqtt://localhost",
        *,
        client_id: str = "",
        user: str | None = None,
        password: str | bytes | None = None,
        version: Version | None = None,
        keep_alive: int = 60,
        session_expiry_interval: float | None = None,
        clean_start: bool | None = None,
        will: Will | None = None,
        tls: ClientTls | ssl.SSLContext | None = None,
        proxy: str | None = None,
        bind: str = "",
        websocket_headers: Mapping[str, str] | None = None,
        connect_timeout: float = 10.0,
        reconnect: Reconnect | None = _RECONNECT,
        outbox: Outbox | str | None = None,
        receive_maximum: int | None = 1000,
        maximum_packet_size: int | None = None,
        topic_alias_maximum: int | None = None,
        most_in_flight: int = MAX_PACKET_ID,
        request_response_information: bool = False,
        request_problem_information: bool = True,
        user_properties: UserProperties = (),
        authenticator: Authenticator | None = None,
        codecs: Iterable[Codec] = (),
        on_error: OnError = "log",
    ) -> None:
        if version is not None and version not in _VERSIONS:
            raise ValueError(f"version {version!r}: expected '5', '3.1.1' or '3.1'")
        if session_expiry_interval is not None and not client_id:
            raise ValueError("session_expiry_interval needs a client_id: it is the session's name")
        if authenticator is not None and version not in (None, "5"):
            raise ValueError(f"an authenticator needs MQTT 5, and version is {version!r}")
        if not connect_timeout > 0:
            raise ValueError(f"connect_timeout is {connect_timeout!r}, expected more than 0 seconds")
        if most_in_flight < 1:
            raise ValueError(f"most_in_flight is {most_in_flight!r}, expected 1 or more")
        if on_error not in ("log", "stop", "raise"):
            raise ValueError(f"on_error {on_error!r}: expected 'log', 'stop' or 'raise'")
        self._dialer = _dialer(address, tls=tls, proxy=proxy, bind=bind, websocket_headers=websocket_headers)
        self._home = self._dialer  # where we go when a server that another one named is not there
        self._codecs = Codecs(codecs)
        self._wanted_version = version
        self._wanted_id = client_id
        self._user = self._dialer.address.user if user is None else user
        self._password = _password(self._dialer.address.password if password is None else password)
        self._keep_alive = keep_alive
        self._session_expiry_interval = session_expiry_interval
        self._clean_start = clean_start
        self._will = None if will is None else will.packet(self._codecs)
        self._connect_timeout = connect_timeout
        self._reconnect = reconnect
        self._authenticator = authenticator
        self._outbox = Outbox(outbox) if isinstance(outbox, str) else outbox
        self._properties = Properties(
            receive_maximum=receive_maximum,
            maximum_packet_size=maximum_packet_size,
            topic_alias_maximum=topic_alias_maximum,
            request_response_information=1 if request_response_information else None,
            request_problem_information=None if request_problem_information else 0,
            user_properties=user_property_pairs(user_properties),
        )
        self._most_in_flight = most_in_flight
        self._tap: Tap | None = None
        self._handlers = Handlers(self, on_error)
        self._when_connected: list[Callable[[Connected], object]] = []
        self._when_lost: list[Callable[[Lost], object]] = []
        self._speaks = MQTT_5 if version is None else _VERSIONS[version]
        self._begin()

    def _begin(self) -> None:
        """Be as before the first connection."""
        self._connection = ClientConnection(
            self._connect_packet(is_first=True, authenticates=False),
            acknowledges_at_once=False,
            most_in_flight=self._most_in_flight,
        )
        self._inbox = Inbox(
            self._connection,
            soon=self._soon,
            resume=self._resume,
            first_identifier=random.randrange(1, 1 << 27) if self._keeps_session else 1,
        )
        self._publisher = Publisher(self._connection, self._outbox, self.read_on)
        self._connection.journal = None if self._outbox is None else self._publisher
        self._requests = Requests(self)
        self._link: Link | None = None
        self._task: asyncio.Task[None] | None = None  # that connects, again and again
        self._owner: asyncio.Task[Any] | None = None  # in whose ``async with`` we are
        self._waits = Waits(self._reconnect or _RECONNECT)
        self._connack: asyncio.Future[ConnAck] | None = None  # of the attempt that is going on
        self._over: asyncio.Future[Exception] | None = None  # of the connection: why it ended
        self._ready: asyncio.Future[None] | None = None  # the first connection is there
        self._is_connected = asyncio.Event()
        self._is_closed = asyncio.Event()
        self._is_closing = False
        self._has_wiped = False  # a session of before MQTT 5 is forgotten, as it was to be
        self._was_connected = False
        self._farewell: Disconnect | None = None
        self._failed_authentication: MqttError | None = None
        self._was_opened = False  # this attempt came as far as MQTT
        self._references = 0  # servers that named another one, one after the other
        self._met_full_queue = False
        self._raised: BaseException | None = None  # of a handler, for our owner
        self._has_cancelled = False  # and we have cancelled it
        self._tasks: set[asyncio.Task[Any]] = set()  # of those who are told of events

    # The connection

    def __repr__(self) -> str:
        state = "connected" if self.is_connected else "not connected"
        return f"Client({str(self._dialer.address)!r}, client_id={self.client_id!r}, {state})"

    @property
    def is_connected(self) -> bool:
        """Whether the broker has let us in, and the connection is there."""
        return self._is_connected.is_set()

    @property
    def client_id(self) -> str:
        """Who we are to the broker: it may have chosen the name."""
        return self._connection.client_id

    @property
    def version(self) -> Version:
        """The version of MQTT that is spoken, or tried."""
        return _NAMES[self._speaks]

    @property
    def server(self) -> Properties:
        """What the broker has said of itself in CONNACK; empty while there is no connection."""
        return self._connection.server

    @property
    def unclaimed(self) -> int:
        """Messages that came so far and that no subscription wanted."""
        return self._inbox.unclaimed

    async def __aenter__(self) -> Self:
        if self._task is not None and not self._is_closed.is_set():
            raise ValueError("this client is in use already; make another one for another connection")
        self._begin()
        self._owner = asyncio.current_task()
        loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        try:
            await self._publisher.open_outbox(self._wanted_id)
            self._handlers.start()
            self._task = loop.create_task(self._supervise(), name="telex client")
            if self._outbox is None:
                await self._ready
                await self._handlers.granted()
        except BaseException:
            await self.close()
            self._raise_instead()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
        self._raise_instead()

    def _raise_instead(self) -> None:
        """Raise what a handler has failed with, if that is why our owner was cancelled."""
        if self._raised is not None:
            if self._has_cancelled and self._owner is not None:
                self._owner.uncancel()
            raise self._raised from None

    async def wait_connected(self) -> None:
        """Wait until there is a connection.

        Raises:
            MqttError: there will be none.
        """
        while not self.is_connected:
            self._check_started()
            if self._publisher.failure is not None:
                raise self._publisher.failure
            waits = [asyncio.ensure_future(event.wait()) for event in (self._is_connected, self._is_closed)]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in waits:
                    each.cancel()

    async def wait_closed(self) -> None:
        """Wait until the client is closed, by ``close`` or since there is no way to go on."""
        await self._is_closed.wait()

    async def close(
        self,
        reason_code: int = 0,
        *,
        session_expiry_interval: float | None = None,
        reason_string: str | None = None,
        user_properties: UserProperties = (),
    ) -> None:
        """Take leave of the broker, and end. What is published at QoS 0 has left; what is not acknowledged is given up.

        Args:
            reason_code: 0, or 0x04: the broker is to publish the will all the same.
            session_expiry_interval: seconds, in place of those of the constructor.
            reason_string: for the broker's log.
            user_properties: to say with it.

        Raises:
            ValueError: a reason code that DISCONNECT may not carry.
        """
        if self._task is None or self._is_closing:
            if self._task is None:
                await self._publisher.close_outbox()
                self._end(closed())
            else:
                await self._is_closed.wait()
            return
        expiry = _seconds(session_expiry_interval)
        if expiry is None and not self._keeps_session:
            expiry = 0
        said = Properties(
            session_expiry_interval=expiry if self._speaks == MQTT_5 else None,
            reason_string=reason_string,
            user_properties=user_property_pairs(user_properties),
        )
        encode(Disconnect(reason_code, said), MQTT_5)  # what cannot be said is found out before anything ends
        self._is_closing = True
        try:
            await self._handlers.stop()
            await self._stop_tasks()
            await self._publisher.stop_outbox()
            if self._link is not None and self._speaks != MQTT_5 and reason_code != 0:
                self._link.flush()
                self._link.leave()  # before MQTT 5 the will is published if no DISCONNECT comes (v3 section 3.14.4)
            elif self._link is not None and self._connection.is_open:
                self._connection.disconnect(reason_code, None if said == Properties() else said)
                self._link.flush()
            else:
                self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            await self._publisher.close_outbox()
        except asyncio.CancelledError:  # whoever waited for it has no more time
            self._task.cancel()
            if self._link is not None:
                self._link.abort()
            raise
        finally:
            self._end(closed())

    async def _stop_tasks(self) -> None:
        """Those who are told of events are told of no more; but not whoever asks for this."""
        current = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not current]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def run(self) -> None:
        """Run the handlers until Ctrl-C or SIGTERM, or until there is no way to go on.

        Raises:
            MqttError: why there is none.
            Exception: what a handler raised, with ``on_error="raise"``.
        """
        try:
            import uvloop
        except ImportError:
            asyncio.run(self._run())
        else:
            uvloop.run(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(number, stop.set)
            except NotImplementedError:  # Windows: the handler runs between two steps of the interpreter
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
        stopping = asyncio.ensure_future(stop.wait())
        main = asyncio.ensure_future(self._run_open())
        try:
            await asyncio.wait((stopping, main), return_when=asyncio.FIRST_COMPLETED)
            if main.done():
                main.result()
            else:
                main.cancel()
                await asyncio.gather(main, return_exceptions=True)
        finally:
            stopping.cancel()
            for number in (signal.SIGINT, signal.SIGTERM):
                with suppress(NotImplementedError):  # otherwise uvloop would go on to swallow Ctrl-C
                    loop.remove_signal_handler(number)

    async def _run_open(self) -> None:
        async with self:
            await self._is_closed.wait()
            if self._publisher.failure is not None and not self._is_closing:
                raise self._publisher.failure

    # What is published

    async def publish(
        self,
        topic: str,
        payload: object = b"",
        *,
        qos: int = 0,
        retain: bool = False,
        content_type: str | None = None,
        message_expiry_interval: int | None = None,
        response_topic: str | None = None,
        correlation_data: bytes | None = None,
        payload_format_indicator: int | None = None,
        user_properties: UserProperties = (),
        topic_alias: int | None = None,
    ) -> ReasonCode:
        """Publish a message. Returns when it is written (QoS 0) or acknowledged (1 and 2), or in the outbox.

        Without a connection it waits for the next one, in its turn. Written means: it
        leaves with all else that is published in this turn of the event loop.

        Args:
            topic: where.
            payload: bytes, text, a number, None (empty), or what the codec of the content type can say; without
                one, JSON.
            qos: 0: at most once, 1: at least once, 2: exactly once.
            retain: the broker keeps it for later subscribers; an empty one makes it forget.
            content_type: what the payload is.
            message_expiry_interval: seconds for which it is worth something.
            response_topic: where an answer is expected; ``request`` does that by itself.
            correlation_data: what the answer has to repeat.
            payload_format_indicator: 1: the payload is UTF-8 text.
            user_properties: names and values.
            topic_alias: a number that stands for the topic, up to the broker's maximum.

        Returns:
            The broker's reason code: SUCCESS, or NO_MATCHING_SUBSCRIBERS if it says so.

        Raises:
            ValueError: what cannot be published, or what this broker does not take (too large, its QoS, retained).
            Refused: the broker's answer; its ``reason_code`` says why.
            NotConnected: the client is closed, or was closed before it was done.
        """
        data, content_type = encode_payload(payload, topic, content_type=content_type, codecs=self._codecs)
        properties = _properties(
            content_type,
            message_expiry_interval,
            response_topic,
            correlation_data,
            payload_format_indicator,
            user_properties,
            topic_alias,
        )
        self._check_started()
        self._check_qos(qos)
        if qos > 0:
            self.read_on()
        reason_code = await self._publisher.publish(topic, data, qos, retain, properties)
        return _SUCCESS if reason_code == 0 else ReasonCode(reason_code)

    async def publish_many(
        self,
        messages: Iterable[tuple[str, object]] | AsyncIterable[tuple[str, object]],
        *,
        qos: int = 0,
        retain: bool = False,
        content_type: str | None = None,
        message_expiry_interval: int | None = None,
        response_topic: str | None = None,
        correlation_data: bytes | None = None,
        payload_format_indicator: int | None = None,
        user_properties: UserProperties = (),
        topic_alias: int | None = None,
    ) -> int:
        """Publish a stream of messages, as fast as the broker takes them. Memory stays flat.

        Args:
            messages: topics and payloads, from any iterable, asynchronous or not.
            qos: of all of them, as is the rest.
            retain: as in ``publish``, as is what is not named here.
            content_type: as in ``publish``.
            message_expiry_interval: as in ``publish``.
            response_topic: as in ``publish``.
            correlation_data: as in ``publish``.
            payload_format_indicator: as in ``publish``.
            user_properties: as in ``publish``.
            topic_alias: as in ``publish``.

        Returns:
            How many there were; all are written (QoS 0) or acknowledged.

        Raises:
            Refused: the broker has refused some; the others are published.
            ValueError: one that cannot be published. Those before it are, and those behind it are not taken.
            NotConnected: the client was closed.
        """
        self._check_started()
        self._check_qos(qos)
        said = (
            message_expiry_interval,
            response_topic,
            correlation_data,
            payload_format_indicator,
            user_property_pairs(user_properties),
            topic_alias,
        )
        known = {content_type: _properties(content_type, *said)}  # by what payloads turn out to be
        stream = self._publisher.stream(qos)

        def start(topic: str, payload: object) -> None:
            data, found = encode_payload(payload, topic, content_type=content_type, codecs=self._codecs)
            if found not in known:
                known[found] = _properties(found, *said)
            stream.start(topic, data, retain, known[found])

        try:
            if isinstance(messages, AsyncIterable):
                async for topic, payload in messages:
                    if stream.must_wait:
                        await stream.room()
                    start(topic, payload)
            else:
                for topic, payload in messages:
                    if stream.must_wait:
                        await stream.room()
                    start(topic, payload)
        except Exception:
            await stream.finish()  # those before it
            raise
        await stream.finish()
        if stream.first_refused is not None:
            error = refused(stream.first_refused.topic, stream.first_refused.reason_code)
            raise Refused(error.reason_code, f"{error}; {stream.refused:,} of {stream.sent:,} were refused")
        return stream.sent

    async def flush(self, *, timeout: float | None = None) -> None:
        """Wait until the broker has all that was published so far, that of the outbox too.

        Raises:
            Timeout: it does not have it in time. Nothing is given up.
            NotConnected: the client was closed.
        """
        self._check_started()
        try:
            async with asyncio.timeout(timeout):
                await self._publisher.flush()
        except TimeoutError:
            raise Timeout(f"not all that was published is with the broker within {timeout:g} s") from None

    def _check_qos(self, qos: int) -> None:
        if qos not in (0, 1, 2):
            raise ValueError(f"QoS is {qos!r}, expected 0, 1 or 2")

    # What is subscribed to

    def subscribe(
        self,
        *filters: str,
        qos: int = 0,
        no_local: bool = False,
        retain_as_published: bool = False,
        retain_handling: int = 0,
        queue: int = 1000,
        when_full: WhenFull = "wait",
        manual_ack: bool = False,
        everything: bool = False,
        partly: bool = False,
        keep: bool = False,
        user_properties: UserProperties = (),
    ) -> Subscription:
        """Messages of some topics, for ``async with``.

        Args:
            filters: topic filters, such as ``home/+/temp`` or ``home/#``; shared ones begin with ``$share/GROUP/``.
            qos: the highest that messages come with.
            no_local: not what this client publishes itself.
            retain_as_published: messages say whether they were published as retained.
            retain_handling: 0: retained messages come; 1: only if the broker did not have the subscription; 2: none.
            queue: messages that may wait here to be taken out.
            when_full: ``wait``: at QoS 1 and 2 the broker gets no acknowledgement until there is room, and sends no
                more than ``receive_maximum``; at QoS 0 nothing is read meanwhile. Or ``drop_oldest`` or
                ``drop_newest``.
            manual_ack: messages above QoS 0 are acknowledged by ``message.ack()``.
            everything: also what comes for no subscription of this client: a kept session may have some of its own.
            keep: leave the subscription to the broker when the context ends: with a kept session, messages wait there
                until the program comes back. ``unsubscribe`` ends it.
            partly: it is enough if the broker grants one of the filters; ``reason_codes`` tells.
            user_properties: to say when subscribing.

        Raises:
            ValueError: what cannot be subscribed to.
        """
        if not filters:
            raise ValueError("subscribe() needs a topic filter, such as 'home/#'")
        for topic_filter in filters:
            topics.check_filter(topic_filter)
            if no_local and topics.is_shared(topic_filter):
                raise ValueError(
                    f"topic filter {topics.shown(topic_filter)}: No Local is not for shared ones [MQTT-3.8.3-4]"
                )
        self._check_qos(qos)
        if retain_handling not in (0, 1, 2):
            raise ValueError(f"retain_handling is {retain_handling!r}, expected 0, 1 or 2")
        if queue < 1:
            raise ValueError(f"queue is {queue!r}, expected 1 or more")
        if keep and not self._keeps_session:
            raise ValueError("keep=True needs session_expiry_interval: the subscription stays with the kept session")
        if when_full not in ("wait", "drop_oldest", "drop_newest"):
            raise ValueError(f"when_full is {when_full!r}, expected 'wait', 'drop_oldest' or 'drop_newest'")
        requests = [
            SubscriptionRequest(
                topic_filter,
                qos,
                no_local=no_local,
                retain_as_published=retain_as_published,
                retain_handling=retain_handling,
            )
            for topic_filter in dict.fromkeys(filters)
        ]
        pairs = user_property_pairs(user_properties)
        return Subscription(
            self,
            requests,
            limit=queue,
            when_full=when_full,
            manual_ack=manual_ack,
            everything=everything,
            partly=partly,
            keep=keep,
            properties=Properties(user_properties=pairs) if pairs else None,
            codecs=self._codecs,
        )

    async def unsubscribe(self, *filters: str, user_properties: UserProperties = ()) -> list[int]:
        """Ask the broker for no more of filters that a kept session has; those of ``subscribe`` end by themselves.

        Returns:
            The broker's reason codes; before MQTT 5 it has none.

        Raises:
            ValueError: an invalid filter, or one that a subscription of this client uses.
            NotConnected: the connection was lost before the answer.
        """
        self._check_started()
        pairs = user_property_pairs(user_properties)
        await self.wait_connected()
        self.read_on()
        return await self._inbox.unsubscribe(list(filters), Properties(user_properties=pairs) if pairs else None)

    async def join(self, subscription: Subscription) -> None:
        """For subscriptions: have the broker send what it asks for."""
        self._check_started()
        if self._publisher.failure is not None:
            raise self._publisher.failure
        self.read_on()
        await self._inbox.join(subscription)

    async def leave(self, subscription: Subscription, *, waits: bool = True) -> None:
        """For subscriptions: ask the broker for no more of it."""
        self.read_on()
        await self._inbox.leave(subscription, waits=waits)

    def emptied(self) -> None:
        """For subscriptions: a queue that was full has room again."""
        self._inbox.emptied()

    # Requests and responses

    async def request(
        self,
        topic: str,
        payload: object = b"",
        *,
        timeout: float | None = None,
        qos: int = 0,
        content_type: str | None = None,
        message_expiry_interval: int | None = None,
        response_topic: str | None = None,
        user_properties: UserProperties = (),
    ) -> Message:
        """Publish a request, and wait for the answer (section 4.10). MQTT 5 only.

        Args:
            topic: where somebody answers.
            payload: as in ``publish``, as is what is not named here.
            timeout: seconds to wait for the answer at most.
            qos: of the request, and the highest that the answer comes with.
            content_type: as in ``publish``.
            message_expiry_interval: as in ``publish``.
            response_topic: where the answer is to come; None: a topic of this client alone.
            user_properties: as in ``publish``.

        Raises:
            Timeout: no answer came in time.
            Refused: the broker says that nobody is there, or that it may not be.
            ValueError: the broker does not speak MQTT 5; otherwise as from ``publish``.
            NotConnected: the client was closed.
        """
        self._check_started()
        self.read_on()
        return await self._requests.request(
            topic,
            payload,
            timeout=timeout,
            qos=qos,
            content_type=content_type,
            message_expiry_interval=message_expiry_interval,
            response_topic=response_topic,
            user_properties=user_properties,
        )

    # Handlers

    def on(
        self,
        pattern: str,
        *,
        qos: int = 0,
        concurrency: int = 1,
        queue: int = 1000,
        when_full: WhenFull = "wait",
        manual_ack: bool = False,
        no_local: bool = False,
        retain_as_published: bool = False,
        retain_handling: int = 0,
        user_properties: UserProperties = (),
        on_error: OnError | None = None,
    ) -> Callable[[F], F]:
        """Have a function called with each message of some topics, as long as the client is in use.

        ``{room}`` in the pattern is an argument of the function, of the type that it names there; ``{rest:#}`` is all
        levels that follow. A function that is no coroutine runs in a thread.

        Args:
            pattern: a topic filter with names in place of wildcards.
            qos: as in ``subscribe``, as is what is not named here.
            concurrency: messages that it works on at once; with more than one they may overtake each other.
            queue: as in ``subscribe``.
            when_full: as in ``subscribe``.
            manual_ack: as in ``subscribe``.
            no_local: as in ``subscribe``.
            retain_as_published: as in ``subscribe``.
            retain_handling: as in ``subscribe``.
            user_properties: as in ``subscribe``.
            on_error: in place of the client's.

        Raises:
            ValueError: a pattern, or a function, that cannot be.
            TypeError: parameters that the pattern does not name.
        """
        return self._handlers.on(
            pattern,
            on_error=on_error,
            concurrency=concurrency,
            qos=qos,
            queue=queue,
            when_full=when_full,
            manual_ack=manual_ack,
            no_local=no_local,
            retain_as_published=retain_as_published,
            retain_handling=retain_handling,
            user_properties=user_properties,
        )

    def responds(
        self,
        pattern: str,
        *,
        qos: int = 0,
        concurrency: int = 1,
        queue: int = 1000,
        when_full: WhenFull = "wait",
        on_error: OnError | None = None,
    ) -> Callable[[F], F]:
        """Have a function called with each request of some topics; what it returns is the answer.

        As ``on``. A request that names no response topic is handled, and its answer goes nowhere.
        """
        return self._handlers.responds(
            pattern, on_error=on_error, concurrency=concurrency, qos=qos, queue=queue, when_full=when_full
        )

    def on_connected(self, function: C) -> C:
        """Have a function called with a ``Connected`` when a connection is there, for the first time or again.

        The first time, the handlers are subscribed by then.
        """
        self._when_connected.append(function)
        return function

    def on_lost(self, function: L) -> L:
        """Have a function called with a ``Lost`` when the connection is gone, and when an attempt fails."""
        self._when_lost.append(function)
        return function

    def fail(self, error: BaseException, on_error: OnError) -> None:
        """For handlers: one has failed, and the client is to end."""
        if self._is_closing:
            return
        if on_error == "raise":
            if self._raised is None:
                self._raised = error
                if self._owner is not None:
                    self._has_cancelled = self._owner.cancel()
        else:
            self._watch(asyncio.get_running_loop().create_task(self.close()))

    # Authentication

    def reauthenticate(self) -> None:
        """Prove once more who we are, with the authenticator (section 4.12.1). If that fails, the connection ends.

        Raises:
            ValueError: there is no authenticator, or an authentication is going on.
            NotConnected: there is no connection.
        """
        if self._authenticator is None:
            raise ValueError("reauthenticate() needs an authenticator")
        self._connection.reauthenticate(self._authenticator.begin())
        self._soon()

    def _on_auth(self, packet: Auth) -> None:
        """The broker's step."""
        authenticator = self._authenticator
        data = b"" if packet.properties is None else packet.properties.authentication_data or b""
        try:
            if authenticator is None:
                raise Refused(ReasonCode.BAD_AUTHENTICATION_METHOD, "the broker asks for more than CONNECT said")
            if packet.reason_code == ReasonCode.SUCCESS:
                authenticator.finish(data)
            elif self._connection.awaits_answer:
                self._connection.authenticate(authenticator.answer(data))
        except (Refused, ValueError) as error:  # ValueError: the answer is too long for a packet, or for the broker
            self._refuse(error if isinstance(error, Refused) else NotConnected(f"the authentication failed: {error}"))

    def _refuse(self, error: MqttError) -> None:
        """End the connection, since the broker is not who it should be."""
        self._failed_authentication = error
        self._connection.disconnect(ReasonCode.UNSPECIFIED_ERROR)
        self._soon()

    # What the link calls

    def happened(self, events: list[Packet | Publication]) -> None:
        """For the link: what came."""
        publisher, inbox = self._publisher, self._inbox
        most = _OVERFULL if self.awaits_answers else NO_LIMIT
        for event in events:
            if isinstance(event, Publish):
                if inbox.deliver(event, most):
                    self._met_full_queue = True
            elif isinstance(event, Publication):
                publisher.done(event)
            elif isinstance(event, SubAck):
                inbox.subscribed(event)
            elif isinstance(event, UnsubAck):
                inbox.unsubscribed(event)
            elif isinstance(event, ConnAck):
                self._on_connack(event)
            elif isinstance(event, Auth):
                self._on_auth(event)
            elif isinstance(event, Disconnect):
                self._farewell = event
        publisher.admit()
        if self._met_full_queue and not self.awaits_answers:
            self._met_full_queue = False
            if self._link is not None and inbox.wants_pause:
                self._link.pause_reading()

    @property
    def must_hold(self) -> bool:
        """For the link: whether what is to leave must wait for the disk."""
        return self._publisher.must_hold

    def has_room(self) -> None:
        """For the link: there is room for more."""
        self._publisher.admit()

    def ended(self, link: Link, error: MqttError | None, reason: str) -> None:
        """For the link: it is over."""
        was_connected = self._is_connected.is_set()
        self._is_connected.clear()
        self._link = None
        self._publisher.link = None
        self._inbox.lost()
        cause = self._failed_authentication or error
        if cause is None and self._farewell is not None:
            text = f"the broker ended the connection: {farewell(self._farewell)}"
            if self._farewell.reason_code == ReasonCode.SESSION_TAKEN_OVER:
                text += "; another client has the same client id"
                cause = Refused(ReasonCode.SESSION_TAKEN_OVER, text)
            else:
                cause = NotConnected(text)
                if self._farewell.reason_code in _FAULTS_OF_A_PACKET and was_connected:
                    self._publisher.ended(self._farewell.reason_code)
        elif cause is None and was_connected and self._speaks != MQTT_5 and _is_closed_by_peer(reason):
            self._publisher.ended()
        cause = cause or NotConnected(reason)
        if self._connack is not None and not self._connack.done():
            self._connack.set_exception(cause)
            self._connack.exception()  # it was looked at, whoever waits
        if self._over is not None and not self._over.done():
            self._over.set_result(cause)

    @property
    def awaits_answers(self) -> bool:
        """For the link: whether something is asked of the broker."""
        return self._publisher.awaits_answers or self._inbox.awaits_answers or self._requests.awaits_answers

    def _soon(self) -> None:
        if self._link is not None:
            self._link.soon()

    def _resume(self) -> None:
        if self._link is not None:
            self._link.resume_reading()

    @property
    def subscriptions(self) -> list[Subscription]:
        """For requests: all subscriptions that are in use."""
        return self._inbox.subscriptions

    def read_on(self) -> None:
        """For what is asked of the broker: its answer is behind what was not read."""
        if self._link is not None and not self._link.is_reading:
            self._met_full_queue = True  # looked at again when the answer is there
            self._link.resume_reading()

    # Connecting, again and again

    def _check_started(self) -> None:
        if self._ready is None:
            raise NotConnected("the client is not in use: publish and subscribe within `async with client:`")

    @property
    def _keeps_session(self) -> bool:
        return self._session_expiry_interval is not None

    def _connect_packet(self, *, is_first: bool, wipes: bool = False, authenticates: bool = True) -> Connect:
        """The CONNECT of the next connection; with ``wipes``, of one before it that has the session forgotten."""
        version = self._speaks
        client_id = self._wanted_id
        if not is_first:
            client_id = self._connection.client_id or client_id
        if not client_id and version == MQTT_3_1:  # it has no clients without an id, nor any over 23 bytes
            client_id = f"telex-{secrets.token_hex(8)}"
        if version == MQTT_5:
            # Without an id the session is a new one in any case. Mosquitto does not write to disk one of Clean Start 1.
            clean_start = is_first and client_id != "" and (self._clean_start or not self._keeps_session)
        else:
            clean_start = not self._keeps_session or wipes
        properties = self._properties.copy()
        properties.session_expiry_interval = _seconds(self._session_expiry_interval) if self._keeps_session else _LIFE
        authenticator = self._authenticator
        if authenticator is not None and authenticates:
            properties.authentication_method = authenticator.method
            properties.authentication_data = authenticator.begin()
        return Connect(
            client_id,
            version=version,
            clean_start=clean_start,
            keep_alive=self._keep_alive,
            will=self._will,
            user_name=self._user,
            password=self._password,
            properties=properties,
        )

    async def _supervise(self) -> None:
        """Connect, and come back whenever the connection is lost, until there is no way to go on."""
        try:
            while not self._is_closing:
                why = await self._connect_once()
                if self._is_closing:
                    return
                wait = self._next_wait(why)
                self._tell_lost(why, wait)
                if wait is None:
                    self._end(_mqtt_error(str(why), why))
                    return
                await asyncio.sleep(wait)
        except Exception as error:  # what is no fault of the network: a file that is gone, or one of ours
            self._end(_mqtt_error(f"the client failed: {error}", error))
            raise

    async def _connect_once(self) -> Exception:
        """One connection, from its beginning to its end: why it ended, or could not begin."""
        loop = asyncio.get_running_loop()
        self._connection.connect = self._connect_packet(is_first=not self._was_connected)
        self._farewell = None
        self._failed_authentication = None
        self._was_opened = False
        self._connack = loop.create_future()
        self._over = loop.create_future()
        began = loop.time()
        try:
            async with asyncio.timeout(self._connect_timeout):
                if self._clean_start and self._keeps_session and self._speaks != MQTT_5 and not self._has_wiped:
                    wiping = self._connect_packet(is_first=True, wipes=True)
                    self._has_wiped = (await forget_session(self._dialer, wiping)).reason_code == 0
                await self._dialer.open(self._opened)
                connack = await self._connack
        except TimeoutError:
            await self._abort()
            return Timeout(f"no answer from {self._dialer.address} within {self._connect_timeout:g} s")
        except (OSError, MqttError) as error:
            await self._abort()
            return error
        except asyncio.CancelledError:
            await self._abort()
            raise
        if connack.reason_code != 0:
            await self._over
            return Refused(
                connack.reason_code, f"the broker refused the connection: {refusal(connack, self._connection.version)}"
            )
        why = await self._over
        held = loop.time() - began
        self._waits.held(held)
        if held >= _STEADY:
            self._references = 0
        return why

    def _opened(self, stream: ClientStream) -> Link:
        """A network connection is there: MQTT begins."""
        self._was_opened = True
        if self._tap is not None:
            self._tap(b"", True)
        self._link = Link(self._connection, self, stream, self._tap)
        return self._link

    async def _abort(self) -> None:
        """End what was begun of a connection."""
        link = self._link
        if link is not None and self._over is not None:
            link.abort()
            await self._over

    def _on_connack(self, packet: ConnAck) -> None:
        """The broker's answer. What came behind it in the same read is handled after this."""
        connack = self._connack
        assert connack is not None  # there is a connection
        if packet.reason_code == 0 and self._authenticator is not None and packet.properties is not None:
            try:
                self._authenticator.finish(packet.properties.authentication_data or b"")
            except Refused as error:
                self._refuse(error)
                return
        if packet.reason_code == 0:
            self._on_connected(packet)
        if not connack.done():
            connack.set_result(packet)

    def _on_connected(self, packet: ConnAck) -> None:
        first_time = not self._was_connected
        self._was_connected = True
        self._publisher.link = self._link
        self._inbox.connected(
            session_present=packet.session_present,
            first_time=first_time,
            receive_maximum=self._properties.receive_maximum,
            may_be_kept=self._speaks == MQTT_3_1 and self._keeps_session,
        )
        self._is_connected.set()
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)
        if not first_time:
            _log.info("connected to %s again", self._dialer.address)
        event = Connected(
            client_id=self.client_id,
            version=self.version,
            session_present=packet.session_present,
            first_time=first_time,
        )
        for function in self._when_connected:
            self._tell(function, event)

    def _next_wait(self, error: Exception) -> float | None:
        """How long to wait after a connection that ended, or did not begin; None: that was the last one."""
        if self._speaks_otherwise(error):
            return 0.0
        if self._goes_elsewhere(error):
            return 0.0
        if self._reconnect is None or (not self._was_connected and not self._reconnect.at_start):
            return None
        if isinstance(error, Refused):
            if error.reason_code == ReasonCode.SESSION_TAKEN_OVER:
                return None
            if not self._was_connected and not self._is_temporary(error.reason_code):
                return None
        if isinstance(error, Untrusted) and not self._was_connected:
            return None
        return self._waits.next(random.random())

    def _is_temporary(self, reason_code: int) -> bool:
        return reason_code in _TEMPORARY_V5 if self._speaks == MQTT_5 else reason_code == _UNAVAILABLE_V3

    def _speaks_otherwise(self, error: Exception) -> bool:
        """Whether the broker may speak 3.1.1 where it does not speak 5, and that is tried now."""
        if self._wanted_version is not None or self._was_connected or self._authenticator is not None:
            return False
        says_so = isinstance(error, Refused) and error.reason_code in (
            _OTHER_VERSION_V3,
            ReasonCode.UNSUPPORTED_PROTOCOL_VERSION,
        )
        # Some close the connection without a word.
        is_silent = type(error) is NotConnected and self._was_opened and self._farewell is None
        if self._speaks != MQTT_5:
            if is_silent:  # it was not that: next time, 5 again
                self._speaks = MQTT_5
            return False
        if says_so:
            _log.info("%s does not speak MQTT 5; going on with 3.1.1", self._dialer.address)
        if says_so or is_silent:
            self._speaks = MQTT_3_1_1
            return True
        return False

    def _goes_elsewhere(self, error: Exception) -> bool:
        """Whether the broker has named another server, and we go there (section 4.11)."""
        packet: ConnAck | Disconnect | None = self._farewell
        if self._connack is not None and _succeeded(self._connack) and packet is None:
            packet = self._connack.result()
        reference = None if packet is None or packet.properties is None else packet.properties.server_reference
        if packet is None or packet.reason_code not in _ELSEWHERE or not reference or self._reconnect is None:
            if self._dialer is not self._home and not self._is_connected.is_set():
                self._dialer = self._home  # where we were sent did not help
            return False
        self._references += 1
        if self._references > _MOST_REFERENCES:
            _log.error(
                "%s names another server, the %dth in a row: not going there", self._dialer.address, self._references
            )
            return False
        try:
            self._dialer = self._dialer.redirected(reference)
        except ValueError as problem:
            _log.error("the broker names another server in a way that cannot be followed: %s", problem)
            return False
        if packet.reason_code == ReasonCode.SERVER_MOVED:
            self._home = self._dialer
        _log.info("the broker names another server: going to %s", self._dialer.address)
        return True

    def _tell_lost(self, error: Exception, wait: float | None) -> None:
        if wait == 0.0:
            return
        if wait is not None:
            what = "lost the connection to" if self._was_connected else "cannot connect to"
            _log.warning("%s %s: %s; trying again in %.1f s", what, self._dialer.address, error, wait)
        event = Lost(reason=str(error), retry_in=wait)
        for function in self._when_lost:
            self._tell(function, event)

    def _tell(self, function: Callable[[Any], object], event: Connected | Lost) -> None:
        """Tell somebody of an event; what goes wrong there is logged."""

        async def tell() -> None:
            try:
                if isinstance(event, Connected) and event.first_time:
                    await self._handlers.started()
                result = function(event)
                if isawaitable(result):
                    await result
            except Exception:
                _log.exception("%s failed with %r", getattr(function, "__qualname__", function), event)

        self._watch(asyncio.get_running_loop().create_task(tell(), name="telex event"))

    def _watch(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _end(self, error: MqttError) -> None:
        """There will be no other connection."""
        if self._is_closed.is_set():
            return
        self._publisher.closed(error)
        self._inbox.closed(error)
        self._requests.closed(error)
        for subscription in self._inbox.subscriptions:
            subscription.end(None if self._is_closing else error)
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(error)
            self._ready.exception()  # it was looked at, whoever waits
        self._is_closed.set()


def _dialer(
    address: str | Address | Dialer,
    *,
    tls: ClientTls | ssl.SSLContext | None,
    proxy: str | None,
    bind: str,
    websocket_headers: Mapping[str, str] | None,
) -> Dialer:
    if isinstance(address, Dialer):
        return address
    parsed = parse_address(address) if isinstance(address, str) else address
    return Dialer(parsed, tls=tls, proxy=proxy, bind=bind, websocket_headers=websocket_headers)


def _properties(
    content_type: str | None,
    message_expiry_interval: int | None,
    response_topic: str | None,
    correlation_data: bytes | None,
    payload_format_indicator: int | None,
    user_properties: UserProperties,
    topic_alias: int | None,
) -> Properties | None:
    """What a publication says besides; None if nothing."""
    if (
        content_type is None
        and message_expiry_interval is None
        and response_topic is None
        and correlation_data is None
        and payload_format_indicator is None
        and not user_properties
        and topic_alias is None
    ):
        return None
    return Properties(
        content_type=content_type,
        message_expiry_interval=message_expiry_interval,
        response_topic=response_topic,
        correlation_data=correlation_data,
        payload_format_indicator=payload_format_indicator,
        user_properties=user_property_pairs(user_properties),
        topic_alias=topic_alias,
    )


def _password(password: str | bytes | None) -> bytes | None:
    return password.encode() if isinstance(password, str) else password


def _seconds(interval: float | None) -> int | None:
    """A Session Expiry Interval as the wire has it."""
    if interval is None:
        return None
    if not interval >= 0:
        raise ValueError(f"session_expiry_interval is {interval!r}, expected seconds from 0 to math.inf")
    return _NEVER if interval >= _NEVER else math.ceil(interval)


def _mqtt_error(text: str, error: Exception) -> MqttError:
    """An error as callers know it; what it was before is its cause."""
    if isinstance(error, MqttError):
        return error
    ours = NotConnected(text)
    ours.__cause__ = error
    return ours


def _is_closed_by_peer(reason: str) -> bool:
    """Whether a stream ended since the other side closed it, with bytes of ours unread or without; not the network."""
    ends = (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED)
    return reason == "the connection was closed" or any(os.strerror(each) in reason for each in ends)


def _succeeded(future: "asyncio.Future[ConnAck]") -> bool:
    return future.done() and not future.cancelled() and future.exception() is None
