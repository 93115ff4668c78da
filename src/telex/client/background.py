"""An event loop in a thread of its own: how other threads ask it for something, and how it has something done by them.

Knows threads, and one loop. Knows no MQTT. No lock is held while code of others runs.
"""

import asyncio
import functools
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from typing import Any, Final, Generic, TypeVar

from telex.errors import NotConnected, Timeout

R = TypeVar("R")
T = TypeVar("T")

_STEP: Final = 0.5 if sys.platform == "win32" else None
"""In steps of how many seconds to wait. On Windows, Ctrl-C is heard only between two waits."""

_forks = 0  # from the process that imported this to the one that we are in


def _forked() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class Deadline:
    """When the time that a caller gave is over."""

    __slots__ = ("_end",)

    def __init__(self, timeout: float | None) -> None:
        self._end = None if timeout is None else time.monotonic() + timeout

    @property
    def left(self) -> float | None:
        """Seconds, not less than 0; None: for ever."""
        return None if self._end is None else max(self._end - time.monotonic(), 0.0)

    def wait(self, condition: threading.Condition, is_true: Callable[[], bool]) -> bool:
        """Wait until something is true; False: it took too long. Ctrl-C is heard meanwhile."""
        while True:
            left = self.left
            if condition.wait_for(is_true, _step(left)):
                return True
            if left == 0.0:
                return False


def _step(left: float | None) -> float | None:
    return left if _STEP is None or (left is not None and left < _STEP) else _STEP


def closed() -> NotConnected:
    """Why nothing goes any more."""
    return NotConnected("the client was closed")


class Answer(Generic[T]):
    """What something that was asked of the loop comes to."""

    __slots__ = ("_error", "_is_there", "_result", "is_done", "task")

    def __init__(self) -> None:
        self.is_done = False
        self.task: asyncio.Task[None] | None = None  # that works on it; for the loop's thread only
        self._result: T
        self._error: BaseException | None = None
        self._is_there = threading.Condition(threading.Lock())

    def succeed(self, result: T) -> None:
        """Say what it came to."""
        with self._is_there:
            if not self.is_done:
                self._result = result
                self.is_done = True
                self._is_there.notify_all()

    def fail(self, error: BaseException) -> None:
        """Say why it did not come to anything."""
        with self._is_there:
            if not self.is_done:
                self._error = error
                self.is_done = True
                self._is_there.notify_all()

    def wait(self, deadline: Deadline) -> bool:
        """Wait until it is there; False: it took too long."""
        with self._is_there:
            return deadline.wait(self._is_there, lambda: self.is_done)

    def take(self) -> T:
        """The result, which must be there. Raises what went wrong."""
        if self._error is not None:
            raise self._error
        return self._result


class Background:
    """The loop's thread. It is a daemon: the end of the program does not wait for it."""

    def __init__(self) -> None:
        self.error: BaseException | None = None  # what the thread ended with
        self.is_over = False
        self._posted: deque[Callable[[], object]] = deque()
        self._is_awake = False  # the loop has been told to look at what was posted
        self._waiting: set[Answer[Any]] = set()
        self._ident = 0  # of the thread
        self._forks = _forks
        self._thread = threading.Thread(target=self._run, name="telex client", daemon=True)
        self._live: Callable[[], Coroutine[Any, Any, None]]
        self._loop: asyncio.AbstractEventLoop

    def start(self, live: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin; the thread ends when ``live`` does."""
        self._live = live
        self._forks = _forks
        self._loop = asyncio.new_event_loop()
        self._thread.start()

    @property
    def is_inherited(self) -> bool:
        """Whether this process is a fork of the one that has the thread."""
        return self._forks != _forks

    def check(self) -> None:
        """Refuse callers who would wait for ever.

        Raises:
            NotConnected: this process has no such thread.
            ValueError: the caller is that thread.
        """
        if self._forks != _forks:
            raise NotConnected(
                "this process is a fork of the one that this client is connected in; make a client in each process"
            )
        if threading.get_ident() == self._ident:
            raise ValueError(
                "this is the client's own thread, and to wait here for the client would be to wait for ever; "
                "do that in a handler, or in a thread of your own"
            )

    def post(self, function: Callable[[], object]) -> None:
        """Have something done on the loop's thread soon, in order. What is posted too late is not done."""
        self._posted.append(function)
        if not self._is_awake:
            self._is_awake = True
            try:
                self._loop.call_soon_threadsafe(self._do_posted)
            except RuntimeError:  # the loop is closed
                self._posted.clear()
            except BaseException:  # Ctrl-C: whoever posts next tells it
                self._is_awake = False
                raise

    def call(self, begin: Callable[[], Coroutine[Any, Any, T]], timeout: float | None, what: str) -> T:
        """Do something on the loop, and wait for it.

        Raises:
            Timeout: it took too long, and was given up. ``what`` says in the error what that was.
            NotConnected: the loop came to its end.
        """
        return self.result(self.ask(begin), Deadline(timeout), what, timeout)

    def ask(self, begin: Callable[[], Coroutine[Any, Any, T]]) -> Answer[T]:
        """Have something done on the loop; ``result`` or ``give_up`` must follow."""
        self.check()
        answer: Answer[T] = Answer()
        self._waiting.add(answer)
        if self.is_over:  # asked for behind ``add``: ``_run`` looks at who waits after it has said so
            answer.fail(closed())
        self.post(lambda: self._begin(begin, answer))
        return answer

    def result(self, answer: Answer[T], deadline: Deadline, what: str, timeout: float | None) -> T:
        """What ``ask`` came to. Raises as ``call``."""
        try:
            if not answer.wait(deadline):
                raise Timeout(f"{what}: not done within {timeout:g} s")
            return answer.take()
        finally:
            self.give_up(answer)

    def give_up(self, answer: Answer[Any]) -> None:
        """Nobody waits for it any longer. Does nothing when it is done."""
        self._waiting.discard(answer)
        if not answer.is_done:
            answer.fail(closed())
            self.post(lambda: None if answer.task is None else answer.task.cancel())

    def join(self, deadline: Deadline) -> bool:
        """Wait for the thread's end; False: it took too long."""
        while self._thread.is_alive():
            left = deadline.left
            self._thread.join(_step(left))
            if left == 0.0:
                return not self._thread.is_alive()
        return True

    # On the loop's thread

    def _run(self) -> None:
        self._ident = threading.get_ident()
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                try:
                    runner.run(self._live())
                finally:
                    self.is_over = True  # what is asked for from now on is not begun
        except BaseException as error:  # for whoever closes
            self.error = error
        finally:
            self.is_over = True
            for answer in list(self._waiting):
                answer.fail(closed())

    def _do_posted(self) -> None:
        self._is_awake = False  # first: what is posted from now on wakes us again
        posted = self._posted
        while posted:
            posted.popleft()()

    def _begin(self, begin: Callable[[], Coroutine[Any, Any, T]], answer: Answer[T]) -> None:
        if not answer.is_done and not self.is_over:
            answer.task = self._loop.create_task(_work(begin, answer), name="telex call")


async def _work(begin: Callable[[], Coroutine[Any, Any, T]], answer: Answer[T]) -> None:
    try:
        result = await begin()
    except asyncio.CancelledError:
        answer.fail(closed())
        raise
    except Exception as error:
        answer.fail(error)
    else:
        answer.succeed(result)


class Conveyor(Generic[T]):
    """A way to the loop for many small things: threads put them on, the loop takes all that are there at once.

    Args:
        background: the loop's thread.
        most: how many there may be.
        most_size: and how large they may be together.
    """

    def __init__(self, background: Background, *, most: int, most_size: int) -> None:
        self._background = background
        self._most = most
        self._most_size = most_size
        self._room = threading.Condition()  # reentrant: a signal's handler may come while its thread is here
        self._things: list[T] = []
        self._size = 0
        self._is_over = False
        self._taker: asyncio.Future[None] | None = None  # the loop waits for things

    def put(self, thing: T, size: int, deadline: Deadline) -> bool:
        """Put something on; waits only while there is no room. False: it took too long.

        Raises:
            NotConnected: nobody takes anything any more.
        """
        is_first = False
        try:
            with self._room:
                if not self._has_room() and not deadline.wait(self._room, self._has_room):
                    return False
                if self._is_over:
                    raise closed()
                self._size += size
                self._things.append(thing)
                is_first = len(self._things) == 1
        finally:  # after a Ctrl-C too: nobody else would wake it
            if is_first:
                self._background.post(self._wake)
        return True

    def _has_room(self) -> bool:
        return self._is_over or (len(self._things) < self._most and self._size < self._most_size)

    # On the loop's thread

    def append(self, thing: T) -> bool:
        """Put something on, behind all else, without waiting; False if there is nothing before it."""
        with self._room:
            if self._is_over or (self._taker is not None and not self._things):
                return False
            self._things.append(thing)
        self._wake()
        return True

    async def take(self) -> list[T]:
        """All that is there, as soon as there is something; nothing when it is over."""
        while True:
            with self._room:
                if self._things or self._is_over:
                    things, self._things = self._things, []
                    self._size = 0
                    self._room.notify_all()
                    return things
                self._taker = taker = asyncio.get_running_loop().create_future()
            try:
                await taker
            finally:
                self._taker = None

    def end(self) -> None:
        """Take no more than what is there."""
        with self._room:
            self._is_over = True
            self._room.notify_all()
        self._wake()

    def _wake(self) -> None:
        if self._taker is not None and not self._taker.done():
            self._taker.set_result(None)


class Workers:
    """Daemon threads for functions that may wait: as many as are at work at once. Used on the loop's thread."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._idle = 0
        self._threads = 0

    async def run(self, function: Callable[[], R]) -> R:
        """Call a function in a thread, and wait for it. Cancelled, it lets the thread go on alone."""
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()

        def work() -> None:
            result: Any = None
            failure: Exception | None = None
            try:
                result = function()
            except StopIteration as error:  # no future takes one
                failure = RuntimeError(f"raised {error!r}")
                failure.__cause__ = error
            except Exception as error:
                failure = error
            except BaseException as error:  # SystemExit: it is not this thread that it would end
                failure = RuntimeError(f"raised {error!r}")
                failure.__cause__ = error
            self._background.post(functools.partial(self._done, done, result, failure))

        if self._idle > 0:
            self._idle -= 1
        else:
            self._threads += 1
            threading.Thread(target=self._serve, name=f"telex handler {self._threads}", daemon=True).start()
        self._work.put(work)
        return await done

    def stop(self) -> None:
        """Let the threads end, each when it is done."""
        for _ in range(self._threads):
            self._work.put(None)

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            work()
            del work  # nothing of it is kept while we wait

    def _done(self, done: "asyncio.Future[Any]", result: object, failure: Exception | None) -> None:
        self._idle += 1
        if done.done():  # it was given up
            return
        if failure is None:
            done.set_result(result)
        else:
            done.set_exception(failure)
