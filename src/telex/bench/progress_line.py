"""How far a run is: one line on a terminal, which the next one takes the place of.

Knows what is worth seeing while it runs. Knows no broker.
"""

import os
from typing import Final, TextIO

from telex.bench.numbers import short, shown_time
from telex.bench.result import Progress
from telex.bench.table import COUNTS, per_second

_CLEARED: Final = "\r\x1b[K"
_COLUMNS: Final = 80  # where nobody knows


class ProgressLine:
    """Draws the line.

    Args:
        stream: the terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, progress: Progress) -> None:
        """Draw it anew."""
        # In the last column, some terminals begin another line.
        self._stream.write(f"{_CLEARED}{shown(progress, self._columns() - 1)}")
        self._stream.flush()

    def clear(self) -> None:
        """Leave nothing behind."""
        self._stream.write(_CLEARED)
        self._stream.flush()

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or _COLUMNS
        except (OSError, ValueError):  # it is none, or closed
            return _COLUMNS


def shown(progress: Progress, width: int) -> str:
    """All of it in a line, what matters most in front; what does not fit is left out.

    Args:
        progress: how far it is.
        width: characters that there is room for.
    """
    last = progress.last
    of_seconds = f" of {progress.of_seconds:.0f}" if progress.of_seconds else ""
    line = f"{progress.phase}, {progress.seconds:.0f}{of_seconds} s"
    is_complete = not progress.of_connections or progress.connected == progress.of_connections
    parts = [f"{progress.connected:,}{'' if is_complete else f' of {progress.of_connections:,}'} connected"]
    for name, count in COUNTS.items():
        is_told = name != ("connected" if progress.phase == "connecting" else "acknowledged" if last.received else "")
        if count(last) and is_told:
            parts.append(f"{name} {short(per_second(count(last), last.seconds))}/s")
    if last.latency.count:
        parts += [f"p{percent} {shown_time(last.latency.percentile(percent))}" for percent in (50, 99)]
    for part in parts:
        if len(line) + len(part) + 2 > width:
            break
        line += f"  {part}"
    return line
