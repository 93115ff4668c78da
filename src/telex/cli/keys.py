"""Keys, as they are typed on a terminal."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def keys(typed: Callable[[bytes], None]) -> Iterator[None]:
    """Hear of keys as they are typed, without their echo; not on Windows, nor if standard input is no terminal."""
    try:
        import termios
        import tty
    except ImportError:
        yield
        return
    try:
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
    except (ValueError, AttributeError, OSError, termios.error):
        yield
        return
    loop = asyncio.get_running_loop()

    def readable() -> None:
        data = os.read(descriptor, 1024)
        if data:
            typed(data)
        else:
            loop.remove_reader(descriptor)

    tty.setcbreak(descriptor)  # Ctrl-C still ends it
    loop.add_reader(descriptor, readable)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
