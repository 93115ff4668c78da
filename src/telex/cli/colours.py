"""Colours for a terminal, and text that cannot give it orders.

Knows escape sequences. Knows nothing of what is printed.
"""

import os
import re
import sys
from typing import Final, TextIO

RESET: Final = "\x1b[0m"
TOPIC: Final = "\x1b[36m"  # cyan
FAINT: Final = "\x1b[2m"
NAME: Final = "\x1b[34m"  # blue: the names in a JSON object
TEXT: Final = "\x1b[32m"  # green
NUMBER: Final = "\x1b[33m"  # yellow
WORD: Final = "\x1b[35m"  # magenta: true, false, null

# All that moves the cursor, changes the title or answers as if it were typed; and what turns the direction of text,
# so that it reads as something else. Line ends and tabs may stay.
_ORDERS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def is_terminal(stream: TextIO) -> bool:
    """Whether somebody looks at it."""
    try:
        return stream.isatty()
    except (ValueError, AttributeError):  # closed, or none at all
        return False


def wants_colours(stream: TextIO | None = None) -> bool:
    """Whether to print in colours: on a terminal that has them, unless ``NO_COLOR`` is set (no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return is_terminal(sys.stdout if stream is None else stream)


def painted(text: str, colour: str) -> str:
    """Text in a colour."""
    return f"{colour}{text}{RESET}"


def harmless(text: str) -> str:
    """Text whose control characters, other than line ends and tabs, are written out: ``\\x1b``.

    A message must not be able to give orders to the terminal of who reads it.
    """
    return text if text.isprintable() else _ORDERS.sub(_written_out, text)


def in_one_line(text: str) -> str:
    """The same, with line ends and tabs written out too."""
    return text if text.isprintable() else harmless(text).replace("\n", "\\n").replace("\t", "\\t")


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
