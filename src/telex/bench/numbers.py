"""Numbers as people read them: three digits and a unit.

Knows no figure by name.
"""

from typing import Final

_PREFIXES: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_TIMES: Final = ((1e6, "s"), (1e3, "ms"), (1.0, "µs"))  # in microseconds
_ENOUGH: Final = 0.9995  # of a unit: what is rounded to 1 is 1


def three_digits(value: float) -> str:
    """A number in three digits, or in as many as it has before the point."""
    if value == 0.0:
        return "0"
    size = abs(value)
    for most, digits in ((0.0995, 3), (0.995, 2), (9.95, 2), (99.5, 1)):
        if size < most:
            return f"{value:.{digits}f}"
    return f"{value:,.0f}"


def short(value: float, unit: str = "") -> str:
    """A number with the letter of its thousands and a unit: ``3.61 M``, ``84 kB``."""
    for size, prefix in _PREFIXES:
        if abs(value) >= size * _ENOUGH:
            return f"{three_digits(value / size)} {prefix}{unit}"
    return f"{three_digits(value)} {unit}".rstrip()


def round_number(value: float, unit: str = "") -> str:
    """A round number, as an axis has it: ``5 M``, ``2.5 kB``."""
    for size, prefix in _PREFIXES:
        if abs(value) >= size * _ENOUGH:
            return f"{value / size:.6g} {prefix}{unit}"
    return f"{value:.6g} {unit}".rstrip()


def round_time(microseconds: float) -> str:
    """A round number of microseconds, as an axis has it."""
    for size, unit in _TIMES[:-1]:
        if microseconds >= size * _ENOUGH:
            return f"{microseconds / size:.6g} {unit}"
    return f"{microseconds:.6g} µs"


def shown_time(microseconds: float) -> str:
    """A time that was measured."""
    for size, unit in _TIMES[:-1]:
        if microseconds >= size * _ENOUGH:
            return f"{three_digits(microseconds / size)} {unit}"
    return f"{three_digits(microseconds)} µs"


def shown_size(count: int) -> str:
    """Bytes as ``--size`` takes them: ``64 B``, ``1k``, ``16M``."""
    for size, letter in ((1024 * 1024, "M"), (1024, "k")):
        if count >= size and count % size == 0:
            return f"{count // size}{letter}"
    return f"{count:,} B"


def counted(count: float, one: str, many: str = "") -> str:
    """So many of something: ``1 message``, ``2,000 messages``."""
    return f"1 {one}" if count == 1 else f"{count:,.0f} {many or one + 's'}"
