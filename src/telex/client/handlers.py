"""Handlers: functions that are called with messages, and what happens when one fails.

Knows patterns, functions and the tasks that call them. Knows of the client what
``App`` says. A handler's exception never touches the connection.
"""

import asyncio
import inspect
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, Literal, Protocol, TypeVar

from telex import topics
from telex.client.binding import Binding, LevelError, bind
from telex.client.message import Message
from telex.client.patterns import Pattern
from telex.client.payloads import UserProperties
from telex.client.subscription import Subscription, WhenFull
from telex.codes import ReasonCode
from telex.errors import MqttError, Refused

OnError = Literal["log", "stop", "raise"]
F = TypeVar("F", bound=Callable[..., Any])

_log: Final = logging.getLogger("telex.client")


class App(Protocol):
    """The client whose handlers they are."""

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
        user_properties: UserProperties = (),
    ) -> Subscription:
        """Subscribe."""

    async def publish(
        self,
        topic: str,
        payload: object = b"",
        *,
        qos: int = 0,
        content_type: str | None = None,
        correlation_data: bytes | None = None,
    ) -> ReasonCode:
        """Publish."""

    def fail(self, error: BaseException, on_error: OnError) -> None:
        """A handler has failed, and the client is to end."""


class _Route:
    """A pattern, its function, and how the function is called."""

    def __init__(
        self,
        function: Callable[..., Any],
        binding: Binding,
        *,
        concurrency: int,
        on_error: OnError,
        answers: bool,
        options: dict[str, Any],
    ) -> None:
        self.function = function
        self.binding = binding
        self.concurrency = concurrency
        self.on_error = on_error
        self.answers = answers  # what the function returns is published
        self.options = options  # of its subscription
        self.is_coroutine = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - an object may have a coroutine for its call
        )

    async def call(self, message: Message) -> object:
        """The function's result; None if the message is not for it."""
        arguments = self.binding(message)
        if arguments is None:
            return None
        if self.is_coroutine:
            result = self.function(**arguments)
        else:
            result = await asyncio.to_thread(self._call_in_thread, arguments)
        return await result if inspect.isawaitable(result) else result

    def _call_in_thread(self, arguments: dict[str, object]) -> object:
        try:
            return self.function(**arguments)
        except StopIteration as error:  # no future takes it
            raise RuntimeError(f"the handler raised {error!r}") from error


class Handlers:
    """All handlers of one client."""

    def __init__(self, app: App, on_error: OnError) -> None:
        self._app = app
        self._on_error = on_error
        self._routes: list[_Route] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_running = False
        self._starting: list[asyncio.Task[None]] = []
        self._is_awaited = False

    def on(self, pattern: str, *, on_error: OnError | None, concurrency: int, **options: Any) -> Callable[[F], F]:
        """As ``Client.on``; ``options`` are those of its subscription."""
        return self._decorator(pattern, on_error, concurrency, options, answers=False)

    def responds(self, pattern: str, *, on_error: OnError | None, concurrency: int, **options: Any) -> Callable[[F], F]:
        """As ``Client.responds``."""
        return self._decorator(pattern, on_error, concurrency, options, answers=True)

    def start(self) -> None:
        """Subscribe for all of them, and call them."""
        self._is_running = True
        self._starting = [self._spawn(self._start(route)) for route in self._routes]
        for task, route in zip(self._starting, self._routes, strict=True):
            task.add_done_callback(partial(self._started, route))

    async def granted(self) -> None:
        """Wait until the broker has granted the subscriptions of all that there were at the start.

        Raises:
            Refused: one that it has not granted.
        """
        self._is_awaited = True
        await asyncio.gather(*self._starting)

    async def started(self) -> None:
        """Wait until the broker has answered for all that there were at the start, however."""
        if self._starting:
            await asyncio.wait(self._starting)

    def _started(self, route: _Route, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._is_awaited and isinstance(error, Exception):
            self._failed(error, route, topics.shown(route.binding.pattern.topic_filter))

    async def stop(self) -> None:
        """Call no more of them, and cancel those that are being called, but for the one that asks for this."""
        self._is_running = False
        current = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not current]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()

    def _decorator(
        self, pattern: str, on_error: OnError | None, concurrency: int, options: dict[str, Any], *, answers: bool
    ) -> Callable[[F], F]:
        parsed = Pattern(pattern)
        if on_error not in (None, "log", "stop", "raise"):
            raise ValueError(f"on_error {on_error!r}: expected 'log', 'stop' or 'raise'")
        if concurrency < 1:
            raise ValueError(f"concurrency is {concurrency!r}, expected 1 or more")
        self._app.subscribe(parsed.topic_filter, **options)  # whether that can be asked for is found out now

        def decorate(function: F) -> F:
            route = _Route(
                function,
                bind(function, parsed),
                concurrency=concurrency,
                on_error=on_error or self._on_error,
                answers=answers,
                options=options,
            )
            self._routes.append(route)
            if self._is_running:
                self._spawn(self._start_late(route))
            return function

        return decorate

    async def _start_late(self, route: _Route) -> None:
        try:
            await self._start(route)
        except (MqttError, ValueError) as error:
            self._failed(error, route, topics.shown(route.binding.pattern.topic_filter))

    async def _start(self, route: _Route) -> None:
        subscription = self._app.subscribe(route.binding.pattern.topic_filter, **route.options)
        await subscription.__aenter__()
        for _ in range(route.concurrency):
            self._spawn(self._work(route, subscription))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work, name="telex handler")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _work(self, route: _Route, subscription: Subscription) -> None:
        """Call a function with one message after the other."""
        try:
            async for message in subscription:
                try:
                    result = await route.call(message)
                    if route.answers and message.response_topic:
                        await self._answer(message, message.response_topic, result)
                    if not self._is_running:  # it has swallowed that it was cancelled
                        return
                except LevelError as error:
                    _log.warning("not handled: %s", error)
                except asyncio.CancelledError as error:
                    current = asyncio.current_task()
                    if current is not None and current.cancelling():
                        raise
                    self._failed(error, route, topics.shown(message.topic))  # of what it waited for
                except Exception as error:  # whatever a handler does, the others live
                    self._failed(error, route, topics.shown(message.topic))
                    if not self._is_running:
                        return
        except MqttError:
            return  # the client has ended, and tells its owner why

    async def _answer(self, message: Message, response_topic: str, result: object) -> None:
        try:
            await self._app.publish(response_topic, result, qos=message.qos, correlation_data=message.correlation_data)
        except Refused as error:  # whoever asks chooses where the answer goes, and shall not stop us by that
            _log.error("an answer to topic %s: %s", topics.shown(message.topic), error)

    def _failed(self, error: BaseException, route: _Route, where: str) -> None:
        name = getattr(route.function, "__qualname__", repr(route.function))
        _log.error("handler %s failed with a message on topic %s", name, where, exc_info=error)
        if route.on_error != "log":
            self._app.fail(error, route.on_error)
