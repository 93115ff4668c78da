"""Which event loop the commands run on."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

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
