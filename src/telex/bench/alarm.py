"""A time at which the loop is to wake up, to some microseconds.

Event loops count their timers in milliseconds. Where messages are due much more often than that, and where their times
are looked at, Linux's timers wake it up instead.
"""

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable
from typing import Final

_MONOTONIC: Final = 1  # CLOCK_MONOTONIC
_FLAGS: Final = os.O_NONBLOCK | os.O_CLOEXEC if sys.platform == "linux" else 0  # TFD_NONBLOCK, TFD_CLOEXEC
_ABSOLUTE: Final = 1  # TFD_TIMER_ABSTIME


class _Time(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Setting(ctypes.Structure):
    _fields_ = (("interval", _Time), ("value", _Time))


class Alarm:
    """Wakes the loop up and calls somebody.

    Args:
        call: who is called each time.
    """

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._file = -1
        self._setting = _Setting()
        self._at_setting = ctypes.byref(self._setting)
        if sys.platform == "linux":
            self._library = ctypes.CDLL(None, use_errno=True)
            self._file = self._library.timerfd_create(_MONOTONIC, _FLAGS)
        if self._file >= 0:
            self._loop.add_reader(self._file, self._woken)

    def set(self, at: int) -> None:
        """Call at this time, in nanoseconds of the monotonic clock, in place of an earlier one."""
        if self._file >= 0:
            self._setting.value.seconds, self._setting.value.nanoseconds = divmod(at, 1_000_000_000)
            self._library.timerfd_settime(self._file, _ABSOLUTE, self._at_setting, None)
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(max(0, at - time.monotonic_ns()) / 1e9, self._call)

    def close(self) -> None:
        """Call nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._file >= 0:
            self._loop.remove_reader(self._file)
            os.close(self._file)
            self._file = -1

    def _woken(self) -> None:
        try:
            os.read(self._file, 8)
        except BlockingIOError:  # it was set anew meanwhile
            return
        self._call()
