"""What a function gets of a message: the levels of its topic, typed, and the message itself.

Knows a function's parameters and a pattern's names. Knows nobody who calls the
function (``handlers.py``).
"""

import inspect
from collections.abc import Callable
from typing import Any, Final

from telex.client.message import Message
from telex.client.patterns import Pattern
from telex.client.payloads import convert_text
from telex.topics import shown

_MOST_TOPICS: Final = 1_024
"""Topics whose levels are remembered, for each binding: most messages come on few topics."""
_LONGEST_TOPIC: Final = 256
"""Characters of a topic that is remembered, so that this is 256 KB or so at most and not 64 MB."""

_NAMED: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class LevelError(ValueError):
    """A level of a topic that is not what the function takes there. The message is of no use to that function."""

    def __init__(self, topic: str, name: str, level: str, text: str) -> None:
        super().__init__(text)
        self.topic = topic
        self.name = name  # of the parameter
        self.level = level


class Binding:
    """A pattern and a function that belong together: turns a message into the arguments of a call."""

    def __init__(self, pattern: Pattern, function: str, types: dict[str, Any], message_name: str) -> None:
        self.pattern = pattern
        self._function = function  # its name, for errors
        self._types = types  # of the levels that are not simply text
        self._message_name = message_name  # the parameter that gets the message; empty if none does
        self._remembered: dict[str, dict[str, object]] = {}

    def __call__(self, message: Message) -> dict[str, object] | None:
        """The arguments for a message, by name; None if its topic is not one of the pattern's.

        Raises:
            LevelError: a level cannot be converted.
        """
        topic = message.topic
        levels = self._remembered.get(topic)
        if levels is None:
            levels = self._levels(topic)
            if levels is None:
                return None
        if self._message_name:
            return {**levels, self._message_name: message}
        return levels.copy()

    def _levels(self, topic: str) -> dict[str, object] | None:
        matched = self.pattern.match(topic)
        if matched is None:
            return None
        levels: dict[str, object] = dict(matched)
        for name, wanted in self._types.items():
            try:
                levels[name] = convert_text(matched[name], wanted)
            except ValueError as error:  # msgspec's are too
                level = shown(matched[name])
                raise LevelError(
                    topic,
                    name,
                    matched[name],
                    f"topic {shown(topic)}: {{{name}}} is {level}, "
                    f"{self._function} expects {_shown_type(wanted)} there ({error})",
                ) from error
        if len(topic) <= _LONGEST_TOPIC:
            # What a level is converted to never changes, so that many calls may have it.
            if len(self._remembered) >= _MOST_TOPICS:
                self._remembered.clear()
            self._remembered[topic] = levels
        return levels


def bind(function: Callable[..., object], pattern: Pattern) -> Binding:
    """Bring a function and a pattern together; whether that can work is found out here, once.

    The parameters are the names of the pattern, and at most one for the message:
    one that is annotated ``Message``, or has no annotation and is called
    ``message``. Other parameters need a default, which they keep. Levels are
    ``str`` unless their annotations say otherwise.

    Raises:
        TypeError: the parameters are not the pattern's names, or a level cannot
            be what an annotation says.
    """
    where = _shown_function(function)
    parameters = _parameters(function, where, pattern)
    missing = [name for name in pattern.names if name not in parameters]
    if missing:
        raise TypeError(
            f"{where} has no parameter {missing[0]!r}, which {pattern.text!r} gives it; "
            "write + in place of a level that is not needed"
        )
    types: dict[str, Any] = {}
    message_name = ""
    for name, parameter in parameters.items():
        is_optional = name not in pattern.names and parameter.default is not parameter.empty
        annotation = _annotation(function, parameter, where, must_be_known=not is_optional)
        if name in pattern.names:
            if annotation is Message:
                raise TypeError(f"{where}, parameter {name!r}: {pattern.text!r} has a level here, not the message")
            if annotation not in (parameter.empty, str, Any, object):
                _check_type(annotation, where, name)
                types[name] = annotation
        elif annotation is Message or (name == "message" and annotation is parameter.empty):
            if message_name:
                raise TypeError(f"{where}, parameter {name!r}: {message_name!r} is the message already")
            message_name = name
        elif name == "message":
            raise TypeError(f"{where}, parameter 'message': found {_shown_type(annotation)}, expected telex.Message")
        elif not is_optional:
            names = ", ".join(pattern.names) or "none"
            raise TypeError(
                f"{where}, parameter {name!r}: expected a name of {pattern.text!r} ({names}), "
                "a telex.Message, or a default"
            )
    return Binding(pattern, where, types, message_name)


def _parameters(function: Callable[..., object], where: str, pattern: Pattern) -> dict[str, inspect.Parameter]:
    """The parameters by name; they can all be given by name."""
    if not callable(function):
        raise TypeError(f"expected a function for {pattern.text!r}, found {function!r}")
    try:
        parameters = dict(inspect.signature(function).parameters)
    except Exception as error:  # from Python 3.14 on also an annotation that cannot be read
        raise TypeError(f"{where} does not say what its parameters are; write a function around it ({error})") from None
    for name, parameter in parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
            raise TypeError(
                f"{where}, parameter {stars + name!r}: expected the names of {pattern.text!r} one by one; "
                "a decorator keeps a function's parameters with functools.wraps"
            )
        if parameter.kind not in _NAMED:
            raise TypeError(f"{where}, parameter {name!r}: it cannot be given by name; it stands before the '/'")
    return parameters


def _annotation(
    function: Callable[..., object], parameter: inspect.Parameter, where: str, *, must_be_known: bool
) -> Any:
    """What a parameter is said to be. It may be written as text, as ``from __future__ import annotations`` does."""
    annotation = parameter.annotation
    if not isinstance(annotation, str):
        return annotation
    inner: Any = inspect.unwrap(_innermost(function))
    try:
        return eval(annotation, getattr(inner, "__globals__", {}))
    except Exception as error:
        if parameter.name == "message" or not must_be_known:  # a name for type checkers only
            return parameter.empty
        raise TypeError(
            f"{where}, parameter {parameter.name!r}: cannot read the annotation {annotation!r} ({error})"
        ) from error


def _innermost(function: Any) -> Any:
    """The function in a method, a partial or an object that is called."""
    while True:
        if hasattr(function, "__func__"):
            function = function.__func__
        elif hasattr(function, "func") and hasattr(function, "keywords"):
            function = function.func
        elif not hasattr(function, "__globals__") and not hasattr(function, "__wrapped__"):
            call = inspect.getattr_static(type(function), "__call__", None)
            return call if hasattr(call, "__globals__") else function
        else:
            return function


def _check_type(annotation: Any, where: str, name: str) -> None:
    """Refuse what no text can be read as."""
    if annotation is int or annotation is float:
        return
    import msgspec

    try:
        msgspec.json.Decoder(annotation)  # finds more than type_info does
        shape = msgspec.inspect.type_info(annotation)
    except Exception as error:
        raise TypeError(
            f"{where}, parameter {name!r}: a level cannot be {_shown_type(annotation)} ({error})"
        ) from error
    if not _is_from_text(shape):
        raise TypeError(
            f"{where}, parameter {name!r}: a level cannot be {_shown_type(annotation)}, "
            "expected str, int, float, bool, an Enum, a Literal, UUID, Decimal or a date"
        )


def _is_from_text(shape: Any) -> bool:
    from msgspec import inspect as shapes

    if isinstance(shape, shapes.Metadata):
        return _is_from_text(shape.type)
    if isinstance(shape, shapes.UnionType):
        return all(_is_from_text(each) for each in shape.types)
    return isinstance(
        shape,
        # Not BytesType: msgspec reads text as base64 there.
        shapes.AnyType
        | shapes.NoneType
        | shapes.BoolType
        | shapes.IntType
        | shapes.FloatType
        | shapes.StrType
        | shapes.EnumType
        | shapes.LiteralType
        | shapes.UUIDType
        | shapes.DecimalType
        | shapes.DateTimeType
        | shapes.DateType
        | shapes.TimeType
        | shapes.TimeDeltaType,
    )


def _shown_function(function: Any) -> str:
    name = getattr(_innermost(function), "__qualname__", None)
    return f"{name.rpartition('<locals>.')[2]}()" if name else repr(function)


def _shown_type(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else repr(annotation).replace("typing.", "")
