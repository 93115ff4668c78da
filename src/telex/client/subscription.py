"""Subscription: a bounded queue of messages, and what happens when nobody takes them out.

Knows messages that come and the tasks that wait for them. Knows no connection:
what is to be asked of the broker, its ``Desk`` asks.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Final, Literal, Protocol, Self

from telex import topics
from telex.client.message import Message
from telex.client.payloads import Codecs
from telex.codes import reason_text
from telex.errors import MqttError, NotConnected, Refused, Timeout
from telex.wire.packets import Publish, SubscriptionRequest
from telex.wire.properties import Properties

WhenFull = Literal["wait", "drop_oldest", "drop_newest"]

_log: Final = logging.getLogger("telex.client")


class Desk(Protocol):
    """Where a subscription is registered while it is in use."""

    async def join(self, subscription: "Subscription") -> None:
        """Have the broker send what the subscription asks for; its ``reason_codes`` are known then."""

    async def leave(self, subscription: "Subscription", *, waits: bool = True) -> None:
        """Ask the broker for no more of it, unless others want the same; and wait for its answer, or do not."""

    def emptied(self) -> None:
        """A queue that was full has room again."""


class Held:
    """A message above QoS 0 that is acknowledged when all who hold it have let go."""

    __slots__ = ("_acknowledge", "_give_up", "holders", "packet")

    def __init__(
        self, packet: Publish, acknowledge: Callable[[Publish], None], give_up: Callable[[Publish], None]
    ) -> None:
        self.packet = packet
        self.holders = 0
        self._acknowledge = acknowledge
        self._give_up = give_up

    def release(self) -> None:
        """One of them lets go."""
        self.holders -= 1
        if self.holders == 0:
            self._acknowledge(self.packet)

    def give_up(self) -> None:
        """One of them will never acknowledge it."""
        self._give_up(self.packet)


def _nothing(packet: Publish) -> None:
    """At QoS 0 there is nothing to acknowledge."""


class Subscription:
    """What ``Client.subscribe`` gives: a context in which messages come, and an iterator over them.

    ::

        async with client.subscribe("home/temp/+") as messages:
            async for message in messages:
                print(message.topic, message.text)

    It lives on while the client reconnects. Several tasks may take messages out of it,
    each message goes to one of them. After the context, or when the client is closed,
    what is in the queue is still given out; then the iteration ends.

    Raises:
        Refused: on entering the context, if the broker refuses one of the filters.
    """

    __slots__ = (
        "_codecs",
        "_desk",
        "_error",
        "_is_joined",
        "_is_over",
        "_partly",
        "_queue",
        "_waiters",
        "dropped",
        "everything",
        "keep",
        "limit",
        "manual_ack",
        "properties",
        "reason",
        "reason_codes",
        "requests",
        "when_full",
    )

    def __init__(
        self,
        desk: Desk,
        requests: list[SubscriptionRequest],
        *,
        limit: int,
        when_full: WhenFull,
        manual_ack: bool,
        everything: bool,
        keep: bool,
        partly: bool,
        properties: Properties | None,
        codecs: Codecs,
    ) -> None:
        self.requests = requests  # one for each filter
        self.limit = limit  # messages in the queue; with one more it is full
        self.when_full = when_full
        self.manual_ack = manual_ack
        self.everything = everything  # also what nobody has subscribed to
        self.keep = keep  # the broker has it on, when it is left
        self._partly = partly  # one granted filter is enough
        self.properties = properties  # user properties of its SUBSCRIBE
        self.reason_codes: list[int] = []  # one for each filter: the granted QoS
        self.reason = ""  # why the broker refuses one, in its words, if it has any
        self.dropped = 0  # messages that found no room
        self._desk = desk
        self._codecs = codecs
        self._queue: deque[Publish | Held] = deque()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._is_joined = False
        self._is_over = False
        self._error: MqttError | None = None  # what ended it

    def __repr__(self) -> str:
        filters = ", ".join(topics.shown(each.topic_filter) for each in self.requests)
        return f"Subscription({filters}, waiting={self.waiting}, dropped={self.dropped})"

    # What its user calls

    async def __aenter__(self) -> Self:
        if self._is_joined:
            raise ValueError(f"{self!r} is in use already; call subscribe() once more for another one")
        self._is_joined = True
        try:
            await self._desk.join(self)
        except BaseException:
            await self._desk.leave(self, waits=False)
            self._let_go()
            raise
        refused = [index for index, code in enumerate(self.reason_codes) if code >= 0x80]
        if refused and not (self._partly and len(refused) < len(self.requests)):
            await self._desk.leave(self)
            self._let_go()
            code = self.reason_codes[refused[0]]
            topic_filter = topics.shown(self.requests[refused[0]].topic_filter)
            why = f"{reason_text(code)} ({self.reason})" if self.reason else reason_text(code)
            raise Refused(code, f"the broker refuses the subscription to {topic_filter}: {why}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._desk.leave(self)
        finally:
            self._let_go()
            self.end(None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        while not self._queue:
            if self._is_over:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            await self._arrival()
        return self._take()

    async def next(self, timeout: float | None = None) -> Message:
        """The next message.

        Args:
            timeout: seconds to wait for it at most.

        Raises:
            Timeout: none came in time.
            NotConnected: the subscription is over, and its queue is empty.
        """
        try:
            async with asyncio.timeout(timeout):
                return await self.__anext__()
        except TimeoutError:
            filters = ", ".join(topics.shown(each.topic_filter) for each in self.requests)
            raise Timeout(f"no message for {filters} within {timeout:g} s") from None
        except StopAsyncIteration:
            raise NotConnected("the subscription is over") from None

    def take(self) -> list[Message]:
        """All messages that are in the queue; none if it is empty, without waiting for any."""
        return [self._take() for _ in range(len(self._queue))]

    @property
    def waiting(self) -> int:
        """Messages in the queue."""
        return len(self._queue)

    # What the desk calls

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another message."""
        return len(self._queue) >= self.limit

    @property
    def may_hold_up(self) -> bool:
        """Whether messages may wait here for their acknowledgement."""
        may_come = self.everything or any(request.qos > 0 for request in self.requests)
        return may_come and (self.manual_ack or self.when_full == "wait")

    def put(self, item: Publish | Held) -> None:
        """A message came."""
        self._queue.append(item)
        if self._waiters:
            self._wake()

    def put_full(self, item: Publish | Held, most: int) -> None:
        """A message came, and the queue is full.

        Args:
            item: the message.
            most: how many messages at QoS 0 are taken in all the same where it is to wait.
        """
        if self.when_full == "wait":
            if isinstance(item, Held) or len(self._queue) < most:
                self.put(item)
                return
            self._drop(item)
        elif self.when_full == "drop_newest":
            self._drop(item)
        else:
            self._drop(self._queue.popleft())
            self.put(item)

    def end(self, error: MqttError | None) -> None:
        """Nothing will come any more: because of an error, or for good reason."""
        if not self._is_over:
            self._is_over = True
            self._error = error
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    # What happens within

    def _take(self) -> Message:
        item = self._queue.popleft()
        if len(self._queue) == self.limit >> 1:
            self._desk.emptied()
        if isinstance(item, Publish):
            return Message(item, self._codecs, _nothing if self.manual_ack else None)
        if self.manual_ack:
            return Message(item.packet, self._codecs, lambda _: item.release())
        item.release()
        return Message(item.packet, self._codecs)

    def _let_go(self) -> None:
        """What is still in the queue holds up no acknowledgement any more.

        What was to be acknowledged by hand is not acknowledged: the broker keeps it.
        """
        for index, item in enumerate(self._queue):
            if isinstance(item, Held):
                if self.manual_ack:
                    item.give_up()
                else:
                    item.release()
                self._queue[index] = item.packet

    async def _arrival(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except BaseException:
            if not waiter.done() or waiter.cancelled():
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
            elif self._queue:  # cancelled after it was woken: somebody else may have the message
                self._wake()
            raise

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _drop(self, item: Publish | Held) -> None:
        packet = item
        if isinstance(item, Held):
            item.release()
            packet = item.packet
        assert isinstance(packet, Publish)
        if self.dropped == 0:
            _log.warning(
                "topic %s: the queue of %d messages is full, the first is dropped (%s); "
                "the rest is counted in Subscription.dropped",
                topics.shown(packet.topic),
                self.limit,
                self.when_full,
            )
        self.dropped += 1
