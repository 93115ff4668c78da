"""SyncClient: the client for programs without asyncio, on a thread of its own.

Knows a ``Client`` that lives in a ``Background``, and what is handed over to it and
taken from it many at a time, so that a message does not cost a change of threads.
"""

import asyncio
import atexit
import functools
import inspect
import logging
import signal
import threading
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, Protocol, Self, TypeVar

from telex import codes, topics
from telex.client.aio import C, Client, L, Version, _properties
from telex.client.background import Answer, Background, Conveyor, Deadline, Workers
from telex.client.handlers import F
from telex.client.message import Message
from telex.client.payloads import UserProperties, encode_payload, user_property_pairs
from telex.client.publishing import refused
from telex.client.subscription import Subscription, WhenFull
from telex.codes import ReasonCode
from telex.errors import MqttError, NotConnected, Refused, Timeout
from telex.wire.packets import Publish
from telex.wire.properties import Properties, encode_property_list

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_MOST_HANDED: Final = 4_096
"""Publications that threads may have handed over and the loop's thread has not taken yet."""
_MOST_HANDED_BYTES: Final = 1_048_576
"""And their payloads."""

_LARGEST_HANDED: Final = 65_536
"""Bytes of a PUBLISH that is handed over without waiting; a larger one costs more than the way to the loop and back."""

_HEAD: Final = 16
"""Bytes of a PUBLISH at QoS 0 besides topic, properties and payload, at most."""

_LAST_SECONDS: Final = 5.0
"""How long a broker that does not keep up may hold up the end."""

_BRINGING_SECONDS: Final = 1.0
"""How long the client's thread may take to bring a message that is there."""

_EXIT_SECONDS: Final = 2.0
"""How long a client that nobody closed may hold up the end of the program."""

_log: Final = logging.getLogger("telex.client")

_Handed = tuple[str, bytes, bool, Properties | None]
"""A publication at QoS 0: its topic, its payload, RETAIN, its properties."""
_Encoded = tuple[str, bytes, Properties | None]
"""One of many: its topic, its payload, its properties."""


# Subscriptions


class SyncSubscription:
    """What ``SyncClient.subscribe`` gives: a context in which messages come, and an iterator over them.

    ::

        with client.subscribe("home/temp/+") as messages:
            for message in messages:
                print(message.topic, message.text)

    As ``Subscription``; several threads may take messages out of it. They come from the
    client's thread some at a time: with ``when_full="wait"`` all that are in the queue,
    otherwise no more than an eighth of it, so that what is dropped is what should be.
    """

    def __init__(
        self,
        background: Background,
        subscription: Subscription,
        timeout: float | None,
        open_ones: "set[SyncSubscription]",
    ) -> None:
        self._background = background
        self._subscription = subscription
        self._timeout = timeout
        self._open_ones = open_ones  # the loop's
        self._most = subscription.limit if subscription.when_full == "wait" else max(1, subscription.limit >> 3)
        self._arrived = threading.Condition()
        self._messages: deque[Message] = deque()  # taken from the queue, for whoever asks
        self._is_fetching = False
        self._is_over = False
        self._error: MqttError | None = None  # what ended it

    def __repr__(self) -> str:
        return f"Sync{self._subscription!r}"

    # What its user calls

    def __enter__(self) -> Self:
        self._background.call(self._join, self._timeout, repr(self._subscription))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        background = self._background
        if background.is_inherited or background.is_over:
            return
        with suppress(NotConnected):  # the client was closed meanwhile
            background.call(self._leave, None, repr(self._subscription))

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        message = self._next(None)
        if message is None:
            if self._error is not None:
                raise self._error
            raise StopIteration
        return message

    def next(self, timeout: float | None = None) -> Message:
        """The next message.

        Args:
            timeout: seconds to wait for it at most.

        Raises:
            Timeout: none came in time.
            NotConnected: the subscription is over, and its queue is empty.
        """
        message = self._next(timeout)
        if message is None:
            raise self._error or NotConnected("the subscription is over")
        return message

    def take(self) -> list[Message]:
        """All messages that are in the queue; none if it is empty, without waiting for any."""
        background = self._background
        background.check()
        if not self._is_over:
            with suppress(NotConnected):  # it is over now, and what was left has been brought here
                background.call(self._fill, None, repr(self._subscription))
        with self._arrived:
            messages = list(self._messages)
            self._messages.clear()
        return messages

    @property
    def waiting(self) -> int:
        """Messages in the queue."""
        return len(self._messages) + self._subscription.waiting

    @property
    def dropped(self) -> int:
        """Messages that found no room."""
        return self._subscription.dropped

    @property
    def reason_codes(self) -> list[int]:
        """The broker's answer for each filter: the granted QoS."""
        return self._subscription.reason_codes

    @property
    def reason(self) -> str:
        """Why the broker refuses one, in its words, if it has any."""
        return self._subscription.reason

    def _next(self, timeout: float | None) -> Message | None:
        """The next message; None when it is over."""
        self._background.check()
        deadline = Deadline(timeout)
        with self._arrived:
            is_there = self._subscription.waiting > 0  # then it is given out with ``timeout=0`` too
            while not self._messages:
                if self._is_over:
                    return None
                if not self._is_fetching:
                    self._fetch_soon()
                if deadline.wait(self._arrived, self._has_news):
                    continue
                if not is_there or not Deadline(_BRINGING_SECONDS).wait(self._arrived, self._has_news):
                    filters = ", ".join(topics.shown(each.topic_filter) for each in self._subscription.requests)
                    raise Timeout(f"no message for {filters} within {timeout:g} s")
                is_there = False  # another thread may have taken it
            return self._messages.popleft()

    def _fetch_soon(self) -> None:
        self._is_fetching = True
        try:
            self._background.post(self._begin_fetching)
        except BaseException:  # Ctrl-C: whoever comes next does it
            self._is_fetching = False
            raise

    def _has_news(self) -> bool:
        return bool(self._messages) or self._is_over or not self._is_fetching

    # On the loop's thread

    async def _join(self) -> None:
        await self._subscription.__aenter__()
        self._open_ones.add(self)

    async def _leave(self) -> None:
        await self._subscription.__aexit__(None, None, None)
        await self.finish()

    async def finish(self) -> None:
        """For the client's end: bring over what is left, and say that no more will come."""
        subscription = self._subscription
        self._open_ones.discard(self)
        subscription.end(None)
        left = [self._carried(message) for message in subscription.take()]
        error = None
        try:
            await subscription.__anext__()
        except StopAsyncIteration:
            pass
        except MqttError as problem:
            error = problem
        with self._arrived:
            self._messages.extend(left)
            self._error = self._error or error
            self._is_over = True
            self._arrived.notify_all()

    def _begin_fetching(self) -> None:
        if self._subscription.waiting > 0:
            self._deliver([])
        else:
            asyncio.get_running_loop().create_task(self._fetch(), name="telex fetch")

    async def _fetch(self) -> None:
        try:
            message = await self._subscription.__anext__()
        except (StopAsyncIteration, MqttError):
            await self.finish()
        else:
            self._deliver([self._carried(message)])

    async def _fill(self) -> None:
        messages = [self._carried(message) for message in self._subscription.take()]
        with self._arrived:
            self._messages.extend(messages)
            self._arrived.notify_all()

    def _deliver(self, messages: list[Message]) -> None:
        subscription = self._subscription
        more = min(subscription.waiting, self._most - len(messages))
        messages += [self._carried(subscription._take()) for _ in range(more)]
        with self._arrived:
            self._messages.extend(messages)
            self._is_fetching = False
            self._arrived.notify_all()

    def _carried(self, message: Message) -> Message:
        return _carried(message, self._background)


def _carried(message: Message, background: Background) -> Message:
    """A message that leaves the loop's thread: its acknowledgement goes back there."""
    acknowledge = message._acknowledge
    if acknowledge is not None:

        def across(packet: Publish) -> None:
            background.post(lambda: acknowledge(packet))

        message._acknowledge = across  # nobody else has it yet
    return message


def _put_all(
    messages: Iterator[_Encoded], belt: Conveyor[_Encoded], answer: Answer[int], deadline: Deadline
) -> Exception | None:
    """Put all on the belt, until there is no time left, or the answer is there already. What ``messages`` raises."""
    while not answer.is_done:
        try:
            message = next(messages)
        except StopIteration:
            return None
        except Exception as error:
            return error
        try:
            if not belt.put(message, len(message[1]), deadline):
                return None
        except NotConnected:  # nobody takes any more: the answer says why
            return None
    return None


# The client


class _Decorator(Protocol):
    """Gives back the function that it gets."""

    def __call__(self, function: F, /) -> F: ...


def _as(
    model: Callable[Concatenate[Any, P], object],
) -> "Callable[[Callable[..., R]], Callable[Concatenate[Any, P], R]]":
    """Give a method the parameters of another one, for people and for type checkers."""

    def decorate(method: Callable[..., R]) -> Callable[Concatenate[Any, P], R]:
        method.__signature__ = inspect.signature(model)  # type: ignore[attr-defined]
        return method

    return decorate


_open: "weakref.WeakSet[SyncClient]" = weakref.WeakSet()
"""Clients that have a thread."""


@atexit.register
def _close_forgotten() -> None:
    for client in list(_open):
        try:
            client.close(timeout=_EXIT_SECONDS)
        except (MqttError, ValueError):
            continue


class SyncClient:
    """A client of one broker, for programs without asyncio. It connects, and comes back, by itself.

    ::

        with telex.SyncClient("mqtt://localhost") as client:
            client.publish("home/temp/room1", 24.2, qos=1)

    As ``Client``, with the same arguments, names and meaning; what that awaits, this waits
    for, and ``timeout=`` says for how many seconds at most: then ``telex.Timeout`` is
    raised. Any number of threads may use it at once. Handlers run in threads of their own,
    and may publish and ask like everybody else.

    Codecs and authenticators are called by the client's own thread too; it is an error to
    wait there for the client. After a fork, only the process that it was connected in may
    use it.

    Raises:
        ValueError: an address, a name or a number that cannot be.
    """

    @_as(Client.__init__)
    def __init__(self, *args: Any, **options: Any) -> None:
        self._client = Client(*args, **options)
        self._background = Background()
        self._workers = Workers(self._background)
        self._handed: Conveyor[_Handed | asyncio.Future[None]] = Conveyor(
            self._background, most=_MOST_HANDED, most_size=_MOST_HANDED_BYTES
        )
        self._subscriptions: set[SyncSubscription] = set()  # those that are in use; the loop's
        self._events = asyncio.Lock()  # they are told one after the other
        self._leaving = asyncio.Event()
        self._living: asyncio.Task[None] | None = None
        self._is_started = False

    # The connection

    @property
    def is_connected(self) -> bool:
        """Whether the broker has let us in, and the connection is there."""
        return self._client.is_connected

    @property
    def client_id(self) -> str:
        """Who we are to the broker: it may have chosen the name."""
        return self._client.client_id

    @property
    def version(self) -> Version:
        """The version of MQTT that is spoken, or tried."""
        return self._client.version

    @property
    def server(self) -> Properties:
        """What the broker has said of itself in CONNACK; empty while there is no connection."""
        return self._client.server

    @property
    def unclaimed(self) -> int:
        """Messages that came so far and that no subscription wanted."""
        return self._client.unclaimed

    def __enter__(self) -> Self:
        background = self._background
        if self._is_started:
            background.check()
            raise ValueError("this client is in use already; make another one for another connection")
        self._is_started = True
        entered: Answer[None] = Answer()
        background.start(lambda: self._live(entered))
        _open.add(self)
        try:
            entered.wait(Deadline(None))
            entered.take()
        except BaseException:
            background.post(self._give_up)
            background.join(Deadline(None))
            _open.discard(self)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        raised, self._background.error = self._background.error, None
        if raised is not None:
            raise raised

    def wait_connected(self, timeout: float | None = None) -> None:
        """Wait until there is a connection.

        Raises:
            MqttError: there will be none.
        """
        self._call(self._client.wait_connected, timeout, "a connection")

    def wait_closed(self, timeout: float | None = None) -> None:
        """Wait until the client is closed, by ``close`` or since there is no way to go on."""
        background = self._background
        if self._is_started and background.is_over:
            background.check()
            return
        self._call(self._client.wait_closed, timeout, "the client's end")

    def close(
        self,
        reason_code: int = 0,
        *,
        session_expiry_interval: float | None = None,
        reason_string: str | None = None,
        user_properties: UserProperties = (),
        timeout: float | None = None,
    ) -> None:
        """Take leave of the broker, and end, as ``Client.close``.

        Handlers that are at work are not waited for: what they publish from then on raises ``NotConnected``.

        Raises:
            ValueError: a reason code that DISCONNECT may not carry.
            Timeout: it took too long; it goes on all the same.
        """
        background = self._background
        _open.discard(self)
        if not self._is_started or background.is_inherited:
            return
        background.check()

        async def leave() -> None:
            try:
                if self.is_connected:
                    await asyncio.wait((self._turn(),), timeout=_LAST_SECONDS)
                await self._client.close(
                    reason_code,
                    session_expiry_interval=session_expiry_interval,
                    reason_string=reason_string,
                    user_properties=user_properties,
                )
            finally:
                self._leaving.set()

        deadline = Deadline(timeout)
        with suppress(NotConnected):  # it is closed
            background.result(background.ask(leave), deadline, "close()", timeout)
        if not background.join(deadline):
            raise Timeout(f"close(): not done within {timeout:g} s")

    def run(self) -> None:
        """Run the handlers until Ctrl-C or SIGTERM, or until there is no way to go on.

        Raises:
            MqttError: why there is none.
            Exception: what a handler raised, with ``on_error="raise"``.
        """
        is_main = threading.current_thread() is threading.main_thread()
        before = signal.signal(signal.SIGTERM, signal.default_int_handler) if is_main else None
        try:
            with self:
                self._wait_for_end()
            failure = self._client._publisher.failure
            if failure is not None and not isinstance(failure, NotConnected):
                raise failure
        except KeyboardInterrupt:
            return
        finally:
            if is_main:
                signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)

    def _wait_for_end(self) -> None:
        with suppress(NotConnected):  # it ended while we asked
            self.wait_closed()

    async def _live(self, entered: Answer[None]) -> None:
        """The client's life, on the loop's thread."""
        self._living = asyncio.current_task()
        sending = asyncio.create_task(self._send_handed(), name="telex handed over")
        try:
            async with self._client:
                entered.succeed(None)
                await self._leaving.wait()
        except BaseException as error:
            if entered.is_done:
                raise
            entered.fail(error)
        finally:
            self._handed.end()
            sending.cancel()
            for subscription in list(self._subscriptions):
                await subscription.finish()
            self._workers.stop()

    async def _send_handed(self) -> None:
        """Publish what is handed over."""
        is_over = False
        while handed := await self._handed.take():
            stream = self._client._publisher.stream(0)
            for each in handed:
                if isinstance(each, asyncio.Future):
                    if not each.done():
                        each.set_result(None)
                    continue
                topic, payload, retain, properties = each
                try:
                    if not is_over and stream.must_wait:
                        await stream.room()
                    if not is_over:
                        stream.start(topic, payload, retain, properties)
                except ValueError as error:  # the broker is another one now
                    _log.error("a message to %s cannot be published any more: %s", topics.shown(topic), error)
                except MqttError as error:
                    is_over = True
                    self._handed.end()
                    _log.warning("messages at QoS 0 that were on their way are lost: %s", error)

    def _turn(self) -> "asyncio.Future[None]":
        """Done when all that has been handed over so far has been written. For the loop's thread."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self._handed.append(turn):
            turn.set_result(None)
        return turn

    def _give_up(self) -> None:
        """Whoever wanted to come in does not wait any longer."""
        if self._living is not None:
            self._living.cancel()

    def _call(self, begin: Callable[[], Coroutine[Any, Any, T]], timeout: float | None, what: str) -> T:
        self._check_started()
        return self._background.call(begin, timeout, what)

    def _call_in_turn(self, begin: Callable[[], Coroutine[Any, Any, T]], timeout: float | None, what: str) -> T:
        """Do something behind all that was handed over before."""

        async def work() -> T:
            await self._turn()
            return await begin()

        return self._call(work, timeout, what)

    def _check_started(self) -> None:
        if not self._is_started:
            raise NotConnected("the client is not in use: publish and subscribe within `with client:`")

    # What is published

    def publish(
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
        timeout: float | None = None,
    ) -> ReasonCode:
        """Publish a message, as ``Client.publish``.

        At QoS 0 it returns when the message is on its way: the client's thread writes it,
        in order, with others. That waits only while there is no connection or no room.

        Raises:
            Timeout: it was not done in time. Whether the broker has it is not known then.
        """
        if user_properties:
            user_properties = user_property_pairs(user_properties)
        said = (
            message_expiry_interval,
            response_topic,
            correlation_data,
            payload_format_indicator,
            user_properties,
            topic_alias,
        )
        self._check_started()
        if qos == 0 and topic_alias is None and self._hand_over(topic, payload, retain, content_type, said, timeout):
            return ReasonCode.SUCCESS
        return self._call_in_turn(
            lambda: self._client.publish(
                topic,
                payload,
                qos=qos,
                retain=retain,
                content_type=content_type,
                message_expiry_interval=message_expiry_interval,
                response_topic=response_topic,
                correlation_data=correlation_data,
                payload_format_indicator=payload_format_indicator,
                user_properties=user_properties,
                topic_alias=topic_alias,
            ),
            timeout,
            f"topic {topics.shown(topic)}",
        )

    def _hand_over(
        self,
        topic: str,
        payload: object,
        retain: bool,
        content_type: str | None,
        said: tuple[int | None, str | None, bytes | None, int | None, UserProperties, int | None],
        timeout: float | None,
    ) -> bool:
        """Hand over a message that the broker takes for sure; False if it may be otherwise."""
        client = self._client
        outbox = client._outbox
        self._background.check()
        if not client.is_connected or (outbox is not None and outbox.keeps(0)):
            return False
        data, content_type = encode_payload(payload, topic, content_type=content_type, codecs=client._codecs)
        topics.check_name(topic)
        properties = _properties(content_type, *said)
        size = _HEAD + 4 * len(topic) + len(data)  # at most: four bytes of UTF-8 for a character
        if properties is not None:
            size += len(encode_property_list(properties, codes.PUBLISH))
        limits = client.server
        if size > min(limits.maximum_packet_size or _LARGEST_HANDED, _LARGEST_HANDED):
            return False
        if retain and limits.retain_available == 0:
            return False
        if not self._handed.put((topic, data, retain, properties), size, Deadline(timeout)):
            raise Timeout(f"topic {topics.shown(topic)}: no room for the message within {timeout:g} s")
        return True

    def publish_many(
        self,
        messages: Iterable[tuple[str, object]],
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
        timeout: float | None = None,
    ) -> int:
        """Publish a stream of messages, as fast as the broker takes them, as ``Client.publish_many``.

        ``messages`` is asked for them by the thread that calls.

        Raises:
            Timeout: it was not done in time; what has not left by then is given up.
        """
        self._check_started()
        client, background = self._client, self._background
        client._check_qos(qos)
        said = (
            message_expiry_interval,
            response_topic,
            correlation_data,
            payload_format_indicator,
            user_property_pairs(user_properties),
            topic_alias,
        )
        known = {content_type: _properties(content_type, *said)}  # by what payloads turn out to be

        def encoded() -> Iterator[_Encoded]:
            for topic, payload in messages:  # now: whoever gives them may use a payload again for the next one
                data, found = encode_payload(payload, topic, content_type=content_type, codecs=client._codecs)
                if found not in known:
                    known[found] = _properties(found, *said)
                yield topic, data, known[found]

        belt: Conveyor[_Encoded] = Conveyor(background, most=_MOST_HANDED, most_size=_MOST_HANDED_BYTES)
        deadline = Deadline(timeout)
        answer = background.ask(lambda: self._publish_all(belt, qos, retain))
        try:
            failure = _put_all(encoded(), belt, answer, deadline)
            background.post(belt.end)
            sent = background.result(answer, deadline, "publish_many()", timeout)
        finally:
            background.give_up(answer)
        if failure is not None:  # those before are published
            raise failure
        return sent

    async def _publish_all(self, belt: Conveyor[_Encoded], qos: int, retain: bool) -> int:
        """Publish what comes on a belt, and wait until that is done."""
        try:
            await self._turn()
            stream = self._client._publisher.stream(qos)
            self._client.read_on()
            try:
                while things := await belt.take():
                    for topic, payload, properties in things:
                        if stream.must_wait:
                            await stream.room()
                        stream.start(topic, payload, retain, properties)
            except Exception:
                await stream.finish()  # those before it
                raise
            await stream.finish()
        finally:
            belt.end()
        if stream.first_refused is not None:
            error = refused(stream.first_refused.topic, stream.first_refused.reason_code)
            raise Refused(error.reason_code, f"{error}; {stream.refused:,} of {stream.sent:,} were refused")
        return stream.sent

    def flush(self, *, timeout: float | None = None) -> None:
        """Wait until the broker has all that was published so far, as ``Client.flush``.

        Raises:
            Timeout: it does not have it in time. Nothing is given up.
        """
        self._call_in_turn(self._client.flush, timeout, "flush()")

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
        timeout: float | None = None,
    ) -> SyncSubscription:
        """Messages of some topics, for ``with``, as ``Client.subscribe``.

        ``timeout`` is for the broker's answer, when the context is entered.
        """
        self._check_started()
        subscription = self._client.subscribe(
            *filters,
            qos=qos,
            no_local=no_local,
            retain_as_published=retain_as_published,
            retain_handling=retain_handling,
            queue=queue,
            when_full=when_full,
            manual_ack=manual_ack,
            everything=everything,
            partly=partly,
            keep=keep,
            user_properties=user_properties,
        )
        return SyncSubscription(self._background, subscription, timeout, self._subscriptions)

    def unsubscribe(
        self, *filters: str, user_properties: UserProperties = (), timeout: float | None = None
    ) -> list[int]:
        """Ask the broker for no more of filters that a kept session has, as ``Client.unsubscribe``."""
        return self._call_in_turn(
            lambda: self._client.unsubscribe(*filters, user_properties=user_properties), timeout, "unsubscribe()"
        )

    # Requests and responses

    @_as(Client.request)
    def request(self, *args: Any, **options: Any) -> Message:
        """Publish a request, and wait for the answer, as ``Client.request``."""
        return self._call_in_turn(lambda: self._client.request(*args, **options), None, "request()")

    # Handlers

    @_as(Client.on)
    def on(self, *args: Any, **options: Any) -> _Decorator:
        """Have a function called with each message of some topics, in a thread, as ``Client.on``.

        Raises:
            ValueError: a pattern that cannot be.
            TypeError: parameters that the pattern does not name, or a coroutine: those are for ``Client``.
        """
        return self._decorator(lambda: self._client.on(*args, **options))

    @_as(Client.responds)
    def responds(self, *args: Any, **options: Any) -> _Decorator:
        """Have a function called with each request of some topics; what it returns is the answer. As ``on``."""
        return self._decorator(lambda: self._client.responds(*args, **options))

    def on_connected(self, function: C) -> C:
        """Have a function called, in a thread, with a ``Connected`` when a connection is there, or there again.

        What happens is told in its order: a function that takes long holds up the next ones.
        """
        self._client.on_connected(self._told(function))
        return function

    def on_lost(self, function: L) -> L:
        """Have a function called with a ``Lost`` when the connection is gone, or an attempt fails; as above."""
        self._client.on_lost(self._told(function))
        return function

    def _decorator(self, make: Callable[[], Callable[[Callable[..., Any]], object]]) -> _Decorator:
        def decorate(function: F) -> F:
            make()(self._in_thread(function))
            return function

        if not self._is_started:
            make()  # whether that can be is found out now
            return decorate

        def decorate_running(function: F) -> F:
            async def work() -> None:
                decorate(function)

            self._call(work, None, "a new handler")
            return function

        return decorate_running

    def _in_thread(self, function: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
        """A handler as ``Client`` calls it."""
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"{function.__qualname__} is a coroutine: SyncClient calls functions, Client coroutines")

        @functools.wraps(function)
        async def call(**arguments: Any) -> Any:
            for name, value in arguments.items():
                if isinstance(value, Message):
                    arguments[name] = _carried(value, self._background)
            return await self._workers.run(functools.partial(function, **arguments))

        return call

    def _told(self, function: Callable[[Any], object]) -> Callable[[object], Coroutine[Any, Any, None]]:
        """A function as ``Client`` tells it of events."""
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"{function.__qualname__} is a coroutine: SyncClient calls functions, Client coroutines")

        @functools.wraps(function)
        async def tell(event: object) -> None:
            async with self._events:
                await self._workers.run(functools.partial(function, event))

        return tell

    # Authentication

    def reauthenticate(self, timeout: float | None = None) -> None:
        """Prove once more who we are, as ``Client.reauthenticate``."""

        async def work() -> None:
            self._client.reauthenticate()

        self._call(work, timeout, "reauthenticate()")
