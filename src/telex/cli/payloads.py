"""Payloads from a command line: what ``-m``, ``-f``, ``-n`` and ``-s`` say, and the format in which it is written.

Knows files and standard input. Knows no broker.
"""

import argparse
import base64
import binascii
import os
import sys
from collections.abc import Callable
from typing import Any, Final

from telex.cli.flags import FlagParser

MAX_BYTES: Final = 268_435_455
"""No PUBLISH is larger (section 1.5.5)."""

Reader = Callable[[bytes], bytes]
"""Turns what somebody wrote into the payload.

Raises:
    ValueError: it is not of that format.
"""


class _OnceAction(argparse.Action):
    """A flag that may be given once: a second one is not in place of the first."""

    def __call__(self, parser: argparse.ArgumentParser, options: argparse.Namespace, values: Any, *_: object) -> None:
        if getattr(options, self.dest) is not None:
            parser.error(f"{self.option_strings[0]} is given twice; one message is sent at once")
        setattr(options, self.dest, values)


def add_flags(parser: FlagParser, *, format_flag: str = "--format") -> argparse._ArgumentGroup:
    """Add the flags that say what is published; the group that they are in is returned."""
    what = parser.add_argument_group("the payload, one of")
    what.add_argument("-m", "--message", action=_OnceAction, metavar="TEXT", help="this text")
    what.add_argument("-f", "--file", action=_OnceAction, metavar="FILE", help="what is in this file")
    what.add_argument("-n", "--null-message", action="store_true", help="nothing")
    what.add_argument("-s", "--stdin-file", action="store_true", help="all of standard input")
    parser.add_argument(
        format_flag,
        dest="written_format",
        choices=READERS,
        help="how it is written: hex and base64 become bytes, json is checked, msgpack is made of JSON, "
        "text has to be UTF-8 (what comes is sent as it is)",
    )
    return what


def check(options: argparse.Namespace, parser: FlagParser, *others: str) -> None:
    """End unless one payload was given, or one of the other flags."""
    given = [flag for flag, is_there in _sources(options).items() if is_there] + list(others)
    if not given:
        parser.error(
            "what is to be sent? Give one of -m, -f, -n and -s" + (", or -l" if parser.command == "pub" else "")
        )
    if len(given) > 1:
        parser.error(f"{given[0]} and {given[1]} both say what is to be sent; give one of them")
    if options.written_format is not None and options.null_message:
        parser.error("-n sends nothing, which has no format")


def _sources(options: argparse.Namespace) -> dict[str, bool]:
    return {
        "-m": options.message is not None,
        "-f": options.file is not None,
        "-n": options.null_message,
        "-s": options.stdin_file,
    }


def given(options: argparse.Namespace) -> bytes:
    """The payload that the flags name.

    Raises:
        ValueError: it cannot be read, or is not of the format.
    """
    if options.null_message:
        return b""
    where = "-m"
    if options.message is not None:
        written = os.fsencode(options.message)  # as the shell gave it, also where it is no text
    elif options.file is not None:
        where = options.file
        written = _file(options.file)
    else:
        where = "standard input"
        written = sys.stdin.buffer.read(MAX_BYTES + 1)
        if not written:
            raise ValueError("standard input is empty; -n sends an empty message")
    if len(written) > MAX_BYTES:
        raise ValueError(f"{where}: a message has {MAX_BYTES:,} bytes at most")
    if options.written_format is None:
        return written
    try:
        return READERS[options.written_format](written)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _file(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None


def _json(written: bytes) -> bytes:
    _value(written)
    return written


def _value(written: bytes) -> object:
    import msgspec

    try:
        return msgspec.json.decode(written)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"{_shown(written)} is not JSON: {error}") from None


def _hex(written: bytes) -> bytes:
    try:
        return bytes.fromhex(written.decode("ascii"))
    except ValueError:
        raise ValueError(f"{_shown(written)} is not hexadecimal, expected two digits a byte") from None


def _base64(written: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(written.split()), validate=True)
    except binascii.Error as error:
        raise ValueError(f"{_shown(written)} is not base64: {error}") from None


def _message_pack(written: bytes) -> bytes:
    value = _value(written)
    import msgspec

    try:
        return msgspec.msgpack.encode(value)
    except (OverflowError, msgspec.ValidationError) as error:
        raise ValueError(f"{_shown(written)} cannot be MessagePack: {error}") from None


def _text(written: bytes) -> bytes:
    try:
        written.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{_shown(written)} is not UTF-8: byte {error.start + 1} cannot be there") from None
    return written


READERS: Final[dict[str, Reader]] = {
    "text": _text,
    "json": _json,
    "hex": _hex,
    "base64": _base64,
    "msgpack": _message_pack,
}


def _shown(written: bytes) -> str:
    """What somebody wrote, short and harmless."""
    text = repr(written[:40])[1:]
    return text if len(written) <= 40 else f"{text}..."
