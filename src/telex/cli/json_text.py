"""JSON as text: checked, then laid out anew token by token, so that no number loses a digit and no name is dropped.

Knows the grammar of JSON through Python's own parser. Knows no message.
"""

import json
import re
from collections.abc import Iterator
from typing import Final, NoReturn

from telex.cli import colours

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)

quote: Final = json.JSONEncoder(ensure_ascii=False).encode
"""A ``str`` as a JSON string; only what must be escaped is."""


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")  # Python reads NaN and Infinity, others do not


_decoder: Final = json.JSONDecoder(strict=False, parse_constant=_refuse, parse_int=len, parse_float=len)
"""Numbers are not made: only their text is wanted, and it may have any number of digits."""


def is_json(text: str) -> bool:
    """Whether it is one JSON value."""
    try:
        _decoder.decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def is_container(text: str) -> bool:
    """Whether it is a JSON object or array: something that is easier to read when it is laid out."""
    return text.lstrip()[:1] in ("{", "[") and is_json(text)


def in_one_line(text: str) -> str:
    """Valid JSON without white space between its tokens."""
    return "".join(_TOKEN.findall(text))


def indented(text: str, *, coloured: bool = False) -> str:
    """Valid JSON over several lines, for people to read. Strings are harmless to a terminal.

    Args:
        text: the JSON.
        coloured: names, strings, numbers and words in colours of their own.
    """
    return "".join(_indented(text, coloured))


def _indented(text: str, coloured: bool) -> Iterator[str]:
    depth = 0
    before = ""
    tokens = _TOKEN.findall(text)
    for index, token in enumerate(tokens):
        if token in ("}", "]"):
            depth -= 1
            if before not in ("{", "["):
                yield "\n" + "  " * depth
            yield token
        else:
            if before in ("{", "[", ","):
                yield "\n" + "  " * depth
            if token in ("{", "["):
                depth += 1
                yield token
            elif token == ":":
                yield ": "
            elif token == ",":
                yield ","
            else:
                is_name = index + 1 < len(tokens) and tokens[index + 1] == ":"
                shown = colours.in_one_line(token)
                yield colours.painted(shown, _colour(token, is_name)) if coloured else shown
        before = token


def _colour(token: str, is_name: bool) -> str:
    if token[0] == '"':
        return colours.NAME if is_name else colours.TEXT
    return colours.WORD if token in ("true", "false", "null") else colours.NUMBER


def as_mosquitto(text: str) -> str | None:
    """A JSON value as mosquitto_sub writes it: escapes only where they must be, short numbers. None: it is no JSON.

    Integers keep all their digits: mosquitto_sub makes 1.7e+15 of a time in microseconds.
    """
    text = text.removeprefix("\ufeff")
    if not is_json(text):
        return None
    tokens = _TOKEN.findall(text)
    for index, token in enumerate(tokens):
        if token[0] == '"':
            if "\\" in token or not token.isprintable():
                value = json.loads(token, strict=False)
                if not _is_text(value):
                    return None
                tokens[index] = quote(value)
        elif token[0] in "-0123456789" and not token.lstrip("-").isdigit():
            tokens[index] = _short(float(token))
    return "".join(tokens)


def _is_text(value: str) -> bool:
    """Whether it can be written: an escape may name half of a character."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _short(value: float) -> str:
    if value in (float("inf"), float("-inf")):
        return "null"
    text = f"{value:.15g}"
    return text if float(text) == value else f"{value:.17g}"


def indented_as_mosquitto(text: str) -> str:
    """Valid JSON as ``mosquitto_sub --pretty`` lays it out: tabs, and arrays within a line."""
    return "".join(_indented_as_mosquitto(text))


def _indented_as_mosquitto(text: str) -> Iterator[str]:
    within: list[str] = []  # the brackets that are open
    before = ""
    for token in _TOKEN.findall(text):
        if before == "{" and token != "}":
            yield "\t" * len(within)
        if token in ("{", "["):
            within.append(token)
            yield "{\n" if token == "{" else "["
        elif token == "}":
            within.pop()
            yield ("" if before == "{" else "\n") + "\t" * len(within) + "}"
        elif token == "]":
            within.pop()
            yield "]"
        elif token == ":":
            yield ":\t"
        elif token == ",":
            yield ", " if within[-1] == "[" else ",\n" + "\t" * len(within)
        else:
            yield token
        before = token
