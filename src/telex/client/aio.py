"""A client on asyncio: what the commands use to talk to a broker."""

import asyncio
from typing import Any, Final, Protocol

from telex.client.connection import ClientConnection, Publication, farewell, refusal
from telex.codes import MQTT_5, ReasonCode
from telex.errors import MqttError, NotConnected, Refused, Timeout
from telex.streams.tcp import TcpStream
from telex.wire.packets import Auth, ConnAck, Connect, Disconnect, Publish, SubAck, SubscriptionRequest, UnsubAck
from telex.wire.properties import Properties

_CONNECT_SECONDS: Final = 10.0
"""For the network connection and CONNACK together: a broker that says nothing is not waited for (M1)."""


class Authenticator(Protocol):
    """What we know of an authentication method (section 4.12). Its first words are in the CONNECT."""

    def answer(self, challenge: bytes) -> bytes:
        """What to say to the authentication data of the broker's AUTH; empty if there is none.

        Raises:
            Refused: the broker is not who it should be. The connection ends.
        """


class AsyncClient:
    """One connection to a broker.

    Args:
        connect: the CONNECT with which it comes.
        authenticator: answers the broker's AUTH, if the CONNECT names an authentication
            method of more than one step. What the broker says at its end is in the
            ConnAck that ``connect`` returns.

    Raises:
        ValueError: a CONNECT that cannot be written, or that no broker may accept.
    """

    def __init__(self, connect: Connect, *, authenticator: Authenticator | None = None) -> None:
        self._connection = ClientConnection(connect)
        self._authenticator = authenticator
        self._loop = asyncio.get_running_loop()
        self._stream: TcpStream | None = None
        self._messages: asyncio.Queue[Publish | None] = asyncio.Queue()  # None: no more will come
        self._connack: asyncio.Future[ConnAck] = self._loop.create_future()
        self._answers: dict[int, asyncio.Future[SubAck | UnsubAck]] = {}
        self._publications: dict[Publication, asyncio.Future[int]] = {}
        self._gone = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._failure: MqttError | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def connect(self, host: str, port: int) -> ConnAck:
        """Connect and wait for the broker's answer.

        Raises:
            OSError: the broker is not there, or its name does not resolve.
            Refused: it does not let us in.
            NotConnected: it closed the connection without an answer.
            Timeout: it does not answer.
        """
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await self._loop.create_connection(lambda: TcpStream(self._opened), host, port)
                connack = await self._connack
        except TimeoutError:
            await self.close()
            raise Timeout(f"no answer from {host}, port {port}, within {_CONNECT_SECONDS:.0f} s") from None
        if connack.reason_code != 0:
            await self.close()
            version = self._connection.version
            raise Refused(connack.reason_code, f"the broker refused the connection: {refusal(connack, version)}")
        return connack

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> "asyncio.Future[int]":
        """Publish a message. The future is done when it is sent (QoS 0) or acknowledged, with the reason code.

        Raises:
            ValueError: an invalid topic, or what the broker has said that it does not take.
            NotConnected: the connection is gone.
        """
        self._check()
        publication = self._connection.publish(topic, payload, qos=qos, retain=retain, properties=properties)
        future: asyncio.Future[int] = self._loop.create_future()
        self._publications[publication] = future
        self._work()
        return future

    async def drain(self) -> None:
        """Wait until the broker keeps up with what was published.

        Raises:
            NotConnected: the connection is gone.
        """
        await self._writable.wait()
        self._check()

    async def wait_closed(self) -> None:
        """Wait until the connection is gone."""
        await self._gone.wait()

    async def subscribe(self, requests: list[SubscriptionRequest]) -> list[int]:
        """Subscribe: the granted QoS, or the refusal (0x80 and above), for each request.

        Raises:
            ValueError: an invalid filter.
            NotConnected: the connection is gone.
        """
        self._check()
        packet_id = self._connection.subscribe(requests)
        future: asyncio.Future[SubAck | UnsubAck] = self._loop.create_future()
        self._answers[packet_id] = future
        self._work()
        return (await future).reason_codes

    async def next_message(self) -> Publish:
        """The next message that came, in order.

        Raises:
            NotConnected: the connection is gone and all that had come was given out.
        """
        message = await self._messages.get()
        if message is None:
            self._messages.put_nowait(None)  # for whoever asks again
            self._check()
            raise NotConnected("the connection was closed")
        return message

    async def close(self) -> None:
        """Take leave of the broker and close the connection."""
        self._connection.disconnect()
        self._work()
        if self._stream is not None:
            await self._gone.wait()

    # What the stream calls

    def _opened(self, stream: TcpStream) -> "AsyncClient":
        self._stream = stream
        self._connection.opened(self._loop.time())
        self._work()
        self._timer = self._loop.call_later(self._connection.tick_seconds, self._tick)
        return self

    def received(self, data: bytes) -> None:
        """Bytes came from the broker."""
        try:
            self._connection.receive(data)
        except MqttError as error:
            self._failure = error
        self._work()

    def writable(self) -> None:
        """The broker keeps up again."""
        self._writable.set()

    def lost(self, reason: str) -> None:
        """The connection is gone: nobody waits any longer."""
        self._connection.lost()
        if self._timer is not None:
            self._timer.cancel()
        error = self._failure or NotConnected(reason)
        self._failure = error
        self._fail_waiting(error)
        self._writable.set()
        self._messages.put_nowait(None)
        self._gone.set()

    def _fail_waiting(self, error: MqttError) -> None:
        for waiting in ([self._connack], self._answers.values(), self._publications.values()):
            for future in waiting:
                _fail(future, error)
        self._answers.clear()
        self._publications.clear()

    def _tick(self) -> None:
        try:
            self._connection.tick(self._loop.time())
        except Timeout as error:
            self._failure = error
            if self._stream is not None:
                self._stream.abort()
            return
        self._work()
        self._timer = self._loop.call_later(self._connection.tick_seconds, self._tick)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        """Hand out what happened and send what is to be sent."""
        for event in self._connection.take_events():
            if isinstance(event, Publish):
                self._messages.put_nowait(event)
            elif isinstance(event, Publication):
                future = self._publications.pop(event, None)
                if future is not None and not future.done():
                    future.set_result(event.reason_code)
            elif isinstance(event, ConnAck):
                if not self._connack.done():
                    self._connack.set_result(event)
            elif isinstance(event, SubAck | UnsubAck):
                answer = self._answers.pop(event.packet_id, None)
                if answer is not None and not answer.done():
                    answer.set_result(event)
            elif isinstance(event, Auth):
                if self._connection.awaits_answer:
                    self._answer(event)
            elif isinstance(event, Disconnect) and self._connection.version == MQTT_5:
                self._failure = NotConnected(f"the broker ended the connection: {farewell(event)}")
        stream = self._stream
        if stream is None:
            return
        data = self._connection.take(self._loop.time())
        if data:
            stream.write(data)
            if not stream.is_writable:
                self._writable.clear()
        if self._connection.is_closing:
            stream.close()

    def _answer(self, challenge: Auth) -> None:
        data = None if challenge.properties is None else challenge.properties.authentication_data
        try:
            if self._authenticator is None:
                raise Refused(ReasonCode.BAD_AUTHENTICATION_METHOD, "the broker asks for more than CONNECT said")
            self._connection.authenticate(self._authenticator.answer(data or b""))
        except (Refused, ValueError) as error:  # ValueError: the answer is too long for a packet, or for the broker
            self._failure = error if isinstance(error, Refused) else NotConnected(f"the authentication failed: {error}")
            self._connection.disconnect(ReasonCode.UNSPECIFIED_ERROR)


def _fail(future: "asyncio.Future[Any]", error: MqttError) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # it was looked at: asyncio need not complain if nobody waits for it
