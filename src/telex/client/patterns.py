"""Topic filters whose levels have names: ``home/temp/{room}``.

Knows one pattern and one topic at a time. Knows no function that gets the levels
(``binding.py``) and no types: a level is text.
"""

import keyword
import re
from typing import Final

from telex import topics
from telex.topics import shown

_TOKEN: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[^{}]+|[{}]")


class Pattern:
    """A topic filter in which levels may have names.

    ``{room}`` is one level, ``{rest:#}``, as the last level, all that follow, with
    their slashes; as with ``#`` there may be none, which gives ``""``. ``+`` and
    ``#`` are levels without a name, ``{{`` and ``}}`` are braces. A pattern may
    begin with ``$share/GROUP/``: its messages come on topics without that.

    Raises:
        ValueError: a name that is no name or is there twice, braces that are not
            a whole level, or what cannot be a topic filter.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.names: tuple[str, ...] = ()  # in their order
        group, rest = topics.split_shared(text)
        if "{" in group or "}" in group:
            raise self._refusal("a share name has no names in it")
        levels = [self._read(level) for level in rest.split("/")]
        self.names = tuple(name for _, name in levels if name)
        for name in self.names:
            if self.names.count(name) > 1:
                raise self._refusal(f"the name {name!r} is there twice")
        own = "/".join(level for level, _ in levels)
        self.topic_filter = text[: len(text) - len(rest)] + own  # what is subscribed to
        try:
            topics.check_filter(self.topic_filter)
        except ValueError as error:
            raise ValueError(f"pattern {shown(text)}: {error}") from None
        self._topic = None if topics.has_wildcard(own) else own  # the only one that it matches
        self._match = re.compile(_expression(levels), re.DOTALL).fullmatch

    def match(self, topic: str) -> dict[str, str] | None:
        """The levels that have names, as the topic has them; None if it is not one of this pattern's."""
        if self._topic is not None:
            return {} if topic == self._topic else None
        found = self._match(topic)
        return None if found is None else found.groupdict("")

    def _read(self, level: str) -> tuple[str, str]:
        """A level as the filter has it, and its name; empty if it has none."""
        literal = ""
        for token in _TOKEN.finditer(level):
            text: str = token[0]
            if token[1] is not None:
                if text != level:
                    raise self._refusal(f"{shown(text)} must be a whole level; braces themselves are {{{{ and }}}}")
                return self._read_name(token[1])
            if text in ("{", "}"):
                raise self._refusal(f"a single {text!r}; expected {{name}} as a whole level, or {text * 2!r}")
            literal += text[0] if text in ("{{", "}}") else text
        return literal, ""

    def _read_name(self, inside: str) -> tuple[str, str]:
        name, colon, form = inside.partition(":")
        if not name:
            raise self._refusal("braces without a name; a level without a name is '+'")
        if not name.isidentifier() or keyword.iskeyword(name):
            raise self._refusal(f"{shown(name)} cannot be the name of a parameter")
        if colon and form != "#":
            raise self._refusal(
                f"found {{{inside}}}, expected {{{name}}}, or {{{name}:#}} as the last level; "
                "types stand in the annotations of the function"
            )
        return "#" if colon else "+", name

    def _refusal(self, text: str) -> ValueError:
        return ValueError(f"pattern {shown(self.text)}: {text}")

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"


def _expression(levels: list[tuple[str, str]]) -> str:
    """The regular expression for whole topics. It never looks back further than a slash."""
    # A wildcard in front never matches a topic that begins with $ [MQTT-4.7.2-1].
    expression = r"(?!\$)" if levels[0][0] in ("+", "#") else ""
    for index, (level, name) in enumerate(levels):
        if level not in ("+", "#"):
            part = re.escape(level)
        else:
            part = "[^/]*" if level == "+" else ".*"
            if name:
                part = f"(?P<{name}>{part})"
        if index:
            part = f"(?:/{part})?" if level == "#" else f"/{part}"  # a/# matches a
        expression += part
    return expression
