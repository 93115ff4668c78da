"""Small charts of text: columns of blocks that are filled from below.

Knows numbers. Knows no screen and no colour.
"""

from collections.abc import Sequence
from typing import Final

BLOCKS: Final = " ▁▂▃▄▅▆▇█"
ASCII: Final = " .:-=+*#@"
"""In place of blocks, where these cannot be printed."""

_LEVELS: Final = len(BLOCKS) - 1


def columns(points: Sequence[tuple[float, float, float]], count: int, begin: float, end: float) -> list[float | None]:
    """The mean of a rate in each column of a chart; None where nothing is known.

    Args:
        points: from when, to when, and the rate in between; in their order.
        count: of the columns.
        begin: the time where the first one begins.
        end: the time where the last one ends.
    """
    width = (end - begin) / count
    amounts = [0.0] * count
    known = [0.0] * count  # seconds of which something is known
    for since, until, rate in points:
        first = max(int((since - begin) // width), 0)
        last = min(int((until - begin) // width), count - 1)
        for index in range(first, last + 1):
            left = begin + index * width
            seconds = min(until, left + width) - max(since, left)
            if seconds > 0:
                amounts[index] += rate * seconds
                known[index] += seconds
    return [amount / seconds if seconds else None for amount, seconds in zip(amounts, known, strict=True)]


def drawn(values: Sequence[float | None], height: int = 1, *, blocks: str = BLOCKS) -> list[str]:
    """The lines of a chart, from above. What is known and next to nothing has a thin line, what is unknown has none.

    Args:
        values: one for each column; none is below 0.
        height: lines.
        blocks: nine characters, from empty to full.
    """
    most = max((value for value in values if value is not None), default=0.0)
    full = height * _LEVELS
    filled = []
    for value in values:
        if value is None:
            filled.append(0)
        else:
            filled.append(max(round(value / most * full), 1) if most > 0 else 1)
    return [
        "".join(blocks[min(max(level - line * _LEVELS, 0), _LEVELS)] for level in filled)
        for line in range(height - 1, -1, -1)
    ]
