"""Settings from the environment: ``TELEX_LIMITS__MAX_QUEUED_MESSAGES=5000``, over what a file says.

A name is that of the setting in capitals, with two underscores for each step
inwards and numbers for positions in lists. A secret may stand in a file of its
own, as containers have it: its name ends with ``_FILE`` then.
"""

import tomllib
from collections.abc import Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import inspect as shapes

from telex.server.config import Config, ConfigError
from telex.server.toml import (
    LIMITS,
    Place,
    below,
    convert,
    names_at,
    nearest,
    problems,
    read_text,
    shape_at,
    written,
)

PREFIX: Final = "TELEX_"

NOT_SETTINGS: Final = frozenset({"TELEX_COMPILE", "TELEX_PAGE"})
"""Variables of that prefix that others read: the build."""


def with_environment(config: Config, environment: Mapping[str, str], directory: Path | None = None) -> Config:
    """A description changed as the environment says; relative paths in it are below the current directory.

    Raises:
        ConfigError: a variable names no setting, or has a value that the setting cannot have.
    """
    settings = {name: value for name, value in environment.items() if _is_setting(name)}
    if not settings:
        return config
    data: Any = msgspec.to_builtins(config, builtin_types=(datetime, date, time))
    from_where: dict[Place, str] = {}
    # Sorted, so that the listeners that they add come in their order.
    for name, value in sorted(settings.items(), key=lambda setting: _in_order(setting[0])):
        place = _place(name)
        if name.endswith("_FILE") and _is_secret(_place(name.removesuffix("_FILE"))):
            place = _place(name.removesuffix("_FILE"))
            try:
                value = read_text(value).rstrip("\r\n")
            except ConfigError as error:
                raise ConfigError(f"{name}: {error}") from None
        if shape_at(place) is None or (place[0] == "limits" and place[-1] not in names_at(("limits",))):
            raise ConfigError(f"{name}: there is no such setting{_advice(place)}")
        _put(data, place, _meant(name, value, place), name)
        from_where[place] = name

    def refuse(place: Place, message: str) -> ConfigError:
        found = [name for at, name in from_where.items() if at[: len(place)] == place or place[: len(at)] == at]
        where = found[0] if found else "the environment"
        return ConfigError(f"{where}: {written(place)}: {message}" if place else f"{where}: {message}")

    changed = below(convert(data, refuse), directory or Path.cwd())
    known = set(problems(config))
    for place, message in problems(changed):
        if (place, message) not in known:
            raise refuse(place, message)
    return changed


def _is_setting(name: str) -> bool:
    return name.startswith(PREFIX) and name not in NOT_SETTINGS


def _in_order(name: str) -> list[tuple[int, str]]:
    return [(int(step), "") if step.isdecimal() else (-1, step) for step in name.split("__")]


def _place(name: str) -> Place:
    steps = name.removeprefix(PREFIX).lower().split("__")
    place: list[str | int] = []
    for step in steps:
        # The names of headers have hyphens, which those of variables cannot have.
        in_headers = place[-1:] in (["headers"], ["websocket_headers"])
        place.append(int(step) if step.isdecimal() else step.replace("_", "-") if in_headers else step)
    return tuple(place)


def _advice(place: Place) -> str:
    """Which name may have been meant: the first step that leads nowhere is the wrong one."""
    for index in range(len(place)):
        if shape_at(place[: index + 1]) is None or place[:index] == ("limits",):
            near = nearest(str(place[index]), names_at(place[:index]))
            if not near:
                return ""
            meant = [*place[:index], near.removeprefix("; did you mean ").removesuffix("?"), *place[index + 1 :]]
            return f"; did you mean {PREFIX}{'__'.join(str(step).upper() for step in meant)}?"
    return ""


def _is_secret(place: Place) -> bool:
    """Whether a setting is a secret: a password, a key, or what a web service is told of us."""
    if shape_at(place) is None:
        return False
    if place[0] == "bridges" and place[-1] in ("password", "psk", "proxy"):
        return True
    return place[-1] == "key_password" or place[-2:-1] in (("headers",), ("websocket_headers",))


def _meant(name: str, value: str, place: Place) -> object:
    """The value that a text means where it stands: the text itself, or what TOML makes of it."""
    shape = shape_at(place)
    if isinstance(shape, shapes.StrType | shapes.LiteralType) or isinstance(_limit(place), str):
        return value
    if isinstance(shape, shapes.ListType) and not value.lstrip().startswith("["):
        return [word.strip() for word in value.split(",") if word.strip()]
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        if isinstance(shape, shapes.ListType | shapes.DictType | shapes.StructType):
            raise ConfigError(f"{name}: expected a value as TOML writes it") from None
        return value  # a text: if another thing is wanted there, its conversion says so


def _limit(place: Place) -> object:
    return LIMITS.get(str(place[1])) if place[0] == "limits" and len(place) == 2 else None


def _put(data: Any, place: Place, value: object, name: str) -> None:
    """Set a value in plain tables and lists; tables that are not there yet begin empty, a list grows at its end."""
    for step, following in zip(place, (*place[1:], None), strict=True):
        if isinstance(step, int) and step > len(data):
            raise ConfigError(f"{name}: there are only {len(data)} before it; the next is number {len(data)}")
        if isinstance(step, int) and step == len(data):
            data.append(None)
        if following is None:
            data[step] = value
        else:
            inner = data[step] if isinstance(step, int) else data.get(step)
            if inner is None:
                inner = data[step] = [] if isinstance(following, int) else {}
            data = inner
