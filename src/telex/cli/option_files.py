"""The files that hold flags for every call of a command, as mosquitto_pub and its sisters read them.

Knows where they are and how a line is read. Knows no flag.
"""

import os
import sys
from typing import Final, NamedTuple

_OF_MOSQUITTO: Final = ("pub", "sub", "rr")
"""Commands that Mosquitto has too."""


class Line(NamedTuple):
    """One flag of a file, and what stands behind it."""

    path: str
    number: int
    flag: str
    rest: str | None  # None: nothing does

    @property
    def place(self) -> str:
        """Where it is, for an error."""
        return f"{self.path}, line {self.number}"


def candidates(command: str) -> list[str]:
    """The files that may hold flags for ``telex pub`` and so on. The first that is there counts."""
    files = _candidates(command)
    return files if command in _OF_MOSQUITTO else files[:1]


def _candidates(command: str) -> list[str]:
    if sys.platform == "win32":
        home = os.environ.get("USERPROFILE", "")
        settings = os.environ.get("APPDATA", home)
        return [os.path.join(settings, "telex", command), os.path.join(home, f"mosquitto_{command}.conf")]
    folder = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.environ.get("HOME", ""), ".config")
    return [os.path.join(folder, "telex", command), os.path.join(folder, f"mosquitto_{command}")]


def find(command: str) -> str | None:
    """The file that counts; None: there is none."""
    return next((path for path in candidates(command) if os.path.isfile(path)), None)


def read(path: str) -> list[Line]:
    """The flags of a file: one a line, and the rest of the line is its value, blanks within it too.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            text = os.fsdecode(file.read())
    except OSError as error:
        raise ValueError(f"cannot read the options file {path}: {error.strerror}") from None
    lines = []
    for number, line in enumerate(text.split("\n"), 1):
        words = line.rstrip("\r").lstrip(" \t").split(maxsplit=1)
        if words and not words[0].startswith("#"):
            lines.append(Line(path, number, words[0], words[1] if len(words) > 1 else None))
    return lines
