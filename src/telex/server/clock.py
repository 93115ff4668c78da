"""The broker's time."""

from time import monotonic, time


class Clock:
    """The engine's time: wall time at the start, then seconds that never go back or leap."""

    __slots__ = ("_offset",)

    def __init__(self) -> None:
        self._offset = time() - monotonic()

    def now(self) -> float:
        """Seconds since 1970, by a monotonic clock."""
        return monotonic() + self._offset
