"""Which event loop the commands run on, and what ends them."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

_TERMINATED: Final = 143  # as shells say it: ended by SIGTERM

T = TypeVar("T")


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """``asyncio.run``, on uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


def stop_event() -> asyncio.Event:
    """An event that Ctrl-C and SIGTERM set from now on, instead of ending the process."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows: the handler runs between two steps of the interpreter
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    return stop


def on_signal(name: str, call: Callable[[], None]) -> None:
    """Call something at a signal from now on, on systems that have it."""
    number = getattr(signal, name, None)
    if number is not None:
        asyncio.get_running_loop().add_signal_handler(number, call)


class TimeIsUp(Exception):
    """``-W`` or ``--timeout``: it is to end now, with code 27."""


async def first_over(*works: Coroutine[Any, Any, int], timeout: float | None) -> int:
    """Run these until one of them is over; returns its exit code, and that of SIGTERM if that ends it.

    Raises:
        TimeIsUp: none was over in so many seconds.
    """
    main = asyncio.current_task()
    assert main is not None  # we are in it
    is_terminated = False

    def terminate() -> None:
        nonlocal is_terminated
        is_terminated = True
        main.cancel()

    on_signal("SIGTERM", terminate)  # so that the broker is told, and does not publish a will
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                return task.result()
        raise TimeIsUp
    except asyncio.CancelledError:
        if is_terminated:
            return _TERMINATED
        raise
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
