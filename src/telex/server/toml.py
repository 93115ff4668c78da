"""A description of a broker as telex.toml: reading it, checking it, writing it.

Knows the text of such a file: where each of its names stands, and which names
there are. Opens no other file than that: whether certificates and passwords
are there is for those to say who use them.
"""

import difflib
import ipaddress
import logging
import math
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, time
from logging.handlers import SysLogHandler
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct, structs
from msgspec import inspect as shapes

from telex.engine.options import Options
from telex.server import bridging
from telex.server.access import rules
from telex.server.config import (
    Access,
    Bridge,
    BridgeTls,
    Config,
    ConfigError,
    Http,
    Jwt,
    Listener,
    Log,
    Plugin,
    Psk,
    Tls,
    Web,
)

Place = tuple[str | int, ...]
"""Where something stands in a description: names, and positions in lists."""

Warn = Callable[[str], None]
"""Who is told of what was read and is not used."""

LOG_TYPES: Final = (
    "error",
    "warning",
    "notice",
    "information",
    "debug",
    "subscribe",
    "unsubscribe",
    "internal",
    "websockets",
    "all",
    "none",
)
"""Mosquitto's words for what may be logged."""

HIDDEN: Final = "(hidden)"
"""What stands in the place of a secret that is not shown."""

_PATHS: Final[Mapping[type[Struct], tuple[str, ...]]] = {
    Config: ("data", "pid_file"),
    Listener: ("path", "http_directory"),
    Tls: ("certificate", "key", "client_ca", "crl"),
    Psk: ("file",),
    Access: ("password_file", "acl_file"),
    Jwt: ("keys",),
    Web: ("certificate", "key"),
    BridgeTls: ("ca_file", "ca_path", "certificate", "key"),
}
"""The fields that are paths. Keys of a JWT may be an address instead; ``Log.to`` has paths behind ``file:``."""

_SECRETS: Final[Mapping[type[Struct], tuple[str, ...]]] = {
    Tls: ("key_password",),
    Bridge: ("password",),
    BridgeTls: ("key_password", "psk"),
}
_TABLES_OF_SECRETS: Final[Mapping[type[Struct], tuple[str, ...]]] = {
    Http: ("headers",),
    Plugin: ("options",),
    Bridge: ("websocket_headers",),
}
"""What is hidden from people: values, and whole tables of them."""

_HOST_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")

_ADDRESSES: Final = ("http://", "https://")

LIMITS: Final = {
    name: getattr(Options(), name)
    for name in dir(Options())
    if not name.startswith("_") and name not in ("client_id_prefix", "mount_point")  # which are each listener's own
}
"""The limits of docs/limits.md, with what they are if nothing is said."""

_SHAPE: Final = shapes.type_info(Config)
_WORDS: Final = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
}
_log = logging.getLogger("telex")


# Reading


def read_toml(path: str | os.PathLike[str], *, lenient: bool = False, warn: Warn = _log.warning) -> Config:
    """The broker that a telex.toml describes; its relative paths are below the directory of the file.

    ``lenient`` warns of names that it does not know, and goes on without them.

    Raises:
        ConfigError: the file cannot be read, or does not describe a broker; with the line, if it can be found.
    """
    file = os.fspath(path)
    text = read_text(file)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said, _, at = str(error).partition(" (at ")
        line = re.match(r"line (\d+)", at)
        where = f"{file}:{line[1] if line else max(1, len(text.splitlines()))}"  # else at the end of the document
        raise ConfigError(f"{where}: this is no TOML: {said[:1].lower()}{said[1:]}") from None
    lines = _lines(text)

    def refuse(place: Place, message: str) -> ConfigError:
        return ConfigError(_said(file, lines, place, message))

    for place, message in list(_unknown(data, _SHAPE)):
        if not lenient:
            raise refuse(place, message)
        warn(_said(file, lines, place, f"{message}; it is ignored"))
        _remove(data, place)
    config = convert(data, refuse)
    for place, message in problems(config):
        raise refuse(place, message)
    return below(config, Path(file).absolute().parent)


def read_text(path: str) -> str:
    """The text of a file.

    Raises:
        ConfigError: it cannot be read, or is no text.
    """
    try:
        return Path(path).read_bytes().decode()
    except OSError as error:
        raise ConfigError(f"{path}: it cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: this is no text in UTF-8 (byte {error.start})") from None


def convert(data: object, refuse: Callable[[Place, str], ConfigError]) -> Config:
    """What plain tables, lists and values come to; names are known to be right.

    Raises:
        ConfigError: what ``refuse`` makes of the first place that is wrong, and why it is.
    """
    try:
        return msgspec.convert(data, Config)
    except msgspec.ValidationError as error:
        said, _, at = str(error).partition(" - at `$")
        place = _parsed(at.rstrip("`"))
        missing = re.search(r"missing required field `(\w+)`", said)
        if missing:
            raise refuse(place, f"{missing[1]} is missing") from None
        found = _value_at(data, place)
        words = _literals(shape_at(place))
        if words and isinstance(found, str | int):
            advice = nearest(str(found), words)
            raise refuse(place, f"it is {found!r}, expected one of {', '.join(words)}{advice}") from None
        raise refuse(place, _in_words(said)) from None


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: which one may have been meant; empty if none is near."""
    near = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""


def written(place: Place) -> str:
    """A place as people write it: ``listeners[1].tls.key``."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def shape_at(place: Place) -> shapes.Type | None:
    """What may stand at a place; None if there is no such place."""
    shape: shapes.Type | None = _SHAPE
    for step in place:
        shape = _bare(shape)
        if isinstance(shape, shapes.StructType) and isinstance(step, str):
            shape = next((field.type for field in shape.fields if field.name == step), None)
        elif isinstance(shape, shapes.ListType) and isinstance(step, int):
            shape = shape.item_type
        elif isinstance(shape, shapes.DictType) and isinstance(step, str):
            shape = shape.value_type
        else:
            return None
    return _bare(shape)


def names_at(place: Place) -> list[str]:
    """The names that may stand in the table at a place."""
    shape = shape_at(place)
    if place == ("limits",):
        return list(LIMITS)
    return [field.name for field in shape.fields] if isinstance(shape, shapes.StructType) else []


def below(config: Config, directory: Path) -> Config:
    """The same description with each relative path below a directory."""
    moved: Config = _moved(config, directory)
    return moved


def _moved(part: Any, directory: Path) -> Any:
    if isinstance(part, list):
        return [_moved(item, directory) for item in part]
    if not isinstance(part, Struct):
        return part
    changes: dict[str, Any] = {}
    for name in part.__struct_fields__:
        value = getattr(part, name)
        if name in _PATHS.get(type(part), ()) and value and not value.startswith(_ADDRESSES):
            changes[name] = str(directory / value)
        elif isinstance(part, Log) and name == "to":
            changes[name] = [_log_path(destination, directory) for destination in part.to]
        else:
            changes[name] = _moved(value, directory)
    return structs.replace(part, **changes)


def _log_path(destination: str, directory: Path) -> str:
    return f"file:{directory / destination[5:]}" if destination.startswith("file:") else destination


def _bare(shape: shapes.Type | None) -> shapes.Type | None:
    """A type without the None that may stand in its place."""
    if isinstance(shape, shapes.UnionType):
        kinds = [kind for kind in shape.types if not isinstance(kind, shapes.NoneType)]
        return kinds[0] if len(kinds) == 1 else shape
    return shape


def _literals(shape: shapes.Type | None) -> list[str]:
    return [str(value) for value in shape.values] if isinstance(shape, shapes.LiteralType) else []


def _unknown(data: object, shape: shapes.Type | None, place: Place = ()) -> Iterator[tuple[Place, str]]:
    shape = _bare(shape)
    if isinstance(shape, shapes.StructType) and isinstance(data, dict):
        kinds = {field.name: field.type for field in shape.fields}
        for name, value in data.items():
            if name not in kinds:
                yield (*place, name), f"there is no such name{nearest(name, kinds)}"
            else:
                yield from _unknown(value, kinds[name], (*place, name))
    elif isinstance(shape, shapes.ListType) and isinstance(data, list):
        for index, item in enumerate(data):
            yield from _unknown(item, shape.item_type, (*place, index))
    elif place == ("limits",) and isinstance(data, dict):
        for name in data:
            if name not in LIMITS:
                yield ("limits", name), f"there is no such limit{nearest(name, LIMITS)}"


def _remove(data: Any, place: Place) -> None:
    for step in place[:-1]:
        data = data[step]
    del data[place[-1]]


def _value_at(data: Any, place: Place) -> object:
    for step in place:
        data = data[step]
    return data


def _parsed(path: str) -> Place:
    """A place as msgspec writes it: ``.listeners[0].tls``; behind a key of any name, ``[...]``, it tells no more."""
    steps: list[str | int] = []
    for name, index in re.findall(r"\.(\w+)|\[([\d.]+)\]", path):
        if index == "...":
            break
        steps.append(int(index) if index else name)
    return tuple(steps)


def _in_words(said: str) -> str:
    """A sentence of msgspec's in the words of people."""

    def word(match: re.Match[str]) -> str:
        kinds = [kind for kind in match[1].split(" | ") if kind != "null"]
        return " or ".join(_WORDS.get(kind, kind) for kind in kinds)

    said = re.sub(r"`([^`]+)`", word, said).replace(", got ", ", found ")
    return said[:1].lower() + said[1:]


def _said(file: str, lines: Mapping[Place, int], place: Place, message: str) -> str:
    """A line about a place in a file; the line of what is around it, if it has none of its own."""
    around = (*place, 0) if (*place, 0) in lines else place
    while around and around not in lines:
        around = around[:-1]
    where = f"{file}:{lines[around]}" if around else file
    return f"{where}: {written(place)}: {message}" if place else f"{where}: {message}"


_NAME: Final = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_NAMES: Final = rf"{_NAME}(?:\s*\.\s*{_NAME})*"
_HEADER: Final = re.compile(rf"\s*(\[\[?)\s*({_NAMES})\s*\]")
_KEY: Final = re.compile(rf"\s*({_NAMES})\s*=")
_QUOTED: Final = re.compile(r""""(?:\\.|[^"\\])*"|'[^']*'|#.*""")


def _lines(text: str) -> dict[Place, int]:
    """On which line each table and each name of a TOML file stands. What is inside of inline tables is not found."""
    lines: dict[Place, int] = {}
    counts: dict[Place, int] = {}
    table: Place = ()
    inside_text = ""
    depth = 0  # of brackets that are open at the beginning of the line

    def place_of(names: str, start: Place = ()) -> Place:
        for name in re.findall(_NAME, names):
            start = (*start, name.strip("\"'"))
            if start in counts:
                start = (*start, counts[start] - 1)
        return start

    for number, line in enumerate(text.splitlines(), 1):
        if inside_text:
            if inside_text in line:
                inside_text = ""
            continue
        header = _HEADER.match(line) if depth == 0 else None
        key = _KEY.match(line) if depth == 0 else None
        if header is not None:
            *parents, last = re.findall(_NAME, header[2])
            table = (*place_of(".".join(parents)), last.strip("\"'"))
            if header[1] == "[[":
                counts[table] = counts.get(table, 0) + 1
                table = (*table, counts[table] - 1)
            lines.setdefault(table, number)
            continue
        if key is not None:
            lines.setdefault(place_of(key[1], table), number)
        for quotes in ('"""', "'''"):
            if line.count(quotes) % 2:
                inside_text = quotes
                break
        else:
            rest = _QUOTED.sub("", line)
            depth = max(0, depth + rest.count("[") + rest.count("{") - rest.count("]") - rest.count("}"))
    return lines


# Checking


def check(config: Config) -> None:
    """Whether the parts of a description fit together, as far as that can be said without opening a file.

    Raises:
        ConfigError: the first of its problems.
    """
    for place, message in problems(config):
        raise ConfigError(f"{written(place)}: {message}")


def problems(config: Config) -> Iterator[tuple[Place, str]]:
    """What is wrong with a description: where, and why."""
    yield from _limits_problems(config.limits)
    if not config.listeners:
        yield ("listeners",), "there is none, so nobody could come in"
    for index, listener in enumerate(config.listeners):
        place = ("listeners", index)
        for inside, message in _listener_problems(listener):
            yield (*place, *inside), message
        for before in range(index):
            if _collide(listener, config.listeners[before]):
                yield place, f"it wants the same address and port as listeners[{before}]"
    for inside, message in _access_problems(config.access):
        yield ("access", *inside), message
    for inside, message in _web_problems(config):
        yield ("web", *inside), message
    for inside, message in bridging.problems(config.bridges):
        yield ("bridges", *inside), message
    for inside, message in _log_problems(config.log):
        yield ("log", *inside), message


def _limits_problems(limits: Mapping[str, bool | int | str]) -> Iterator[tuple[Place, str]]:
    for name, value in limits.items():
        if name not in LIMITS:
            yield ("limits", name), f"there is no such limit{nearest(name, LIMITS)}"
        elif type(value) is not type(LIMITS[name]):
            expected = _WORDS[type(LIMITS[name]).__name__]
            yield ("limits", name), f"expected {expected}, found {_WORDS[type(value).__name__]}"
        else:
            message = _refusal_of(name, value)
            if message:
                yield ("limits", name), message


def _refusal_of(name: str, value: Any) -> str:
    """Why a limit cannot have a value; empty if it can."""
    try:
        Options(**{name: value})
    except ValueError as error:
        return str(error).replace(f"{name} is", "it is", 1)
    return ""


def _listener_problems(listener: Listener) -> Iterator[tuple[Place, str]]:
    if listener.path:
        for name in ("host", "interface", "family"):
            if getattr(listener, name):
                yield (name,), "a listener with a path is a Unix socket, which has none"
    if listener.tls is not None and listener.psk is not None:
        yield ("psk",), "a listener has either tls or psk; give each a listener of its own"
    if listener.tls is not None:
        for inside, message in _tls_problems(listener.tls):
            yield ("tls", *inside), message
    if listener.proxy_requires_tls and listener.proxy_protocol != "2":
        yield ("proxy_requires_tls",), "only version 2 of the PROXY protocol can tell that the client came by TLS"
    if listener.trusted_proxies and not listener.proxy_protocol:
        yield ("trusted_proxies",), "it needs proxy_protocol"
    for index, address in enumerate(listener.trusted_proxies):
        if not _is_network(address):
            yield ("trusted_proxies", index), f"{address!r} is no address and no network like 192.0.2.0/24"
    if listener.protocol != "websocket":
        for name in ("origins", "websocket_path"):
            if getattr(listener, name):
                yield (name,), 'it needs protocol = "websocket"'
    if listener.protocol == "mqtt" and listener.http_directory:
        yield ("http_directory",), 'it needs protocol = "websocket" or "http_api"'
    if not listener.versions:
        yield ("versions",), "the list is empty, so no client could come in"
    if any(character in listener.mount_point for character in "+#\0"):
        yield ("mount_point",), f"{listener.mount_point!r} has a wildcard; it is put in front of topics"
    for name in structs.asdict(listener.limits):
        value = getattr(listener.limits, name)
        if value is not None:
            message = _refusal_of(name, value)
            if message:
                yield ("limits", name), message
    if listener.access is not None:
        for inside, message in _access_problems(listener.access):
            yield ("access", *inside), message


def _tls_problems(tls: Tls) -> Iterator[tuple[Place, str]]:
    if tls.client_certificates == "no":
        for name in ("user_from", "crl"):
            if getattr(tls, name):
                yield (name,), 'it needs client_certificates = "required" or "optional"'
    elif not tls.client_ca:
        yield ("client_certificates",), "it needs client_ca: who may have signed them"


def _access_problems(access: Access) -> Iterator[tuple[Place, str]]:
    if access.scram and not access.password_file:
        yield ("scram",), "it needs password_file"
    for index, jwt in enumerate(access.jwt):
        if not jwt.algorithms:
            yield ("jwt", index, "algorithms"), "the list is empty, so no token would do"
        if "HS256" in jwt.algorithms and len(set(jwt.algorithms)) > 1:
            # A public key is no secret: a token "signed" with it by HS256 would be let in.
            yield ("jwt", index, "algorithms"), "HS256 cannot stand beside others: its key is a secret, theirs is not"
    for index, http in enumerate(access.http):
        if not http.url.startswith(_ADDRESSES):
            yield ("http", index, "url"), "expected http://... or https://..."
    if access.acl_file and access.rules:
        yield ("rules",), "there is an acl_file, too: expected one of them"
    # Tokens, web services and plugins bring groups of their own.
    groups = None if access.jwt or access.http or access.plugins else access.groups
    for index, rule in enumerate(access.rules):
        for inside, message in rules.problems(rule, groups):
            yield ("rules", index, *inside), message


def _web_problems(config: Config) -> Iterator[tuple[Place, str]]:
    web = config.web
    if web.key and not web.certificate:
        yield ("key",), "it needs certificate"
    for index, name in enumerate(web.names):
        if not _HOST_NAME.fullmatch(name):
            yield ("names", index), f"{name!r} is no host name; expected one like broker.example.org, without a port"
    if web.enabled:
        for index, listener in enumerate(config.listeners):
            if _collide(Listener(host=web.host, port=web.port), listener):
                yield ("port",), f"listeners[{index}] wants the same address and port"


def _log_problems(log: Log) -> Iterator[tuple[Place, str]]:
    for index, to in enumerate(log.to):
        if to not in ("stderr", "stdout", "syslog", "topic") and not (to.startswith("file:") and to != "file:"):
            yield ("to", index), f"it is {to!r}, expected stderr, stdout, syslog, topic or file:PATH"
    for index, kind in enumerate(log.types or []):
        if kind not in LOG_TYPES:
            yield ("types", index), f"it is {kind!r}, expected one of {', '.join(LOG_TYPES)}{nearest(kind, LOG_TYPES)}"
    if log.facility not in SysLogHandler.facility_names:
        yield ("facility",), f"syslog has no {log.facility!r}{nearest(log.facility, SysLogHandler.facility_names)}"


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _collide(one: Listener, other: Listener) -> bool:
    """Whether two listeners want the same; a host name is only known to be the same as itself."""
    if one.path or other.path:
        return one.path == other.path
    if one.port != other.port or one.port == 0 or one.interface != other.interface:
        return False
    if one.host == other.host:
        return not one.family or not other.family or one.family == other.family
    wide = {"", "0.0.0.0", "::"}
    if one.host in wide or other.host in wide:
        return bool(_families(one) & _families(other))
    return False


def _families(listener: Listener) -> set[str]:
    if listener.family:
        return {listener.family}
    try:
        return {"ipv4" if ipaddress.ip_address(listener.host).version == 4 else "ipv6"}
    except ValueError:
        return {"ipv4", "ipv6"}


# Writing


def write_toml(config: Config, *, secrets: bool = True, everything: bool = False) -> str:
    """A description as telex.toml: what is not as by default, or ``everything``; without ``secrets`` these are hidden.

    What says that something is absent (None) cannot be written, and is what its absence means.
    """
    shown = config if secrets else without_secrets(config)
    if everything:
        shown = structs.replace(shown, limits={**LIMITS, **shown.limits})
    lines = list(_table(shown, (), everything))
    return "\n".join(lines).strip("\n") + "\n" if lines else ""


def without_secrets(config: Config) -> Config:
    """The same description for people to look at."""
    shown: Config = _hidden(config)
    return shown


def _hidden(part: Any) -> Any:
    if isinstance(part, list):
        return [_hidden(item) for item in part]
    if not isinstance(part, Struct):
        return part
    changes: dict[str, Any] = {}
    for name in part.__struct_fields__:
        value = getattr(part, name)
        if name in _SECRETS.get(type(part), ()):
            changes[name] = HIDDEN if value else value
        elif name in _TABLES_OF_SECRETS.get(type(part), ()):
            changes[name] = dict.fromkeys(value, HIDDEN)
        elif isinstance(part, Bridge) and name == "addresses":
            changes[name] = [_hidden_in(url) for url in value]
        elif isinstance(part, Bridge) and name == "proxy":
            changes[name] = re.sub(r"(?<=//).*(?=@)", HIDDEN, value)
        elif isinstance(part, Http | Jwt) and name in ("url", "keys") and value.startswith(_ADDRESSES):
            changes[name] = _hidden_in(value)
        else:
            changes[name] = _hidden(value)
    return structs.replace(part, **changes)


def _hidden_in(url: str) -> str:
    """An address without names and tokens that may stand before its host, and in its query."""
    return re.sub(r"(?<=\?).*", HIDDEN, re.sub(r"(?<=//)[^/?#]*(?=@)", HIDDEN, url))


_COMMENTS: Final[Mapping[Place, str]] = {
    ("listeners",): "A place where clients come in.",
    ("listeners", "tls"): "TLS at this listener.",
    ("listeners", "psk"): "TLS with keys that both ends know, at this listener.",
    ("listeners", "limits"): "What this listener allows less than others.",
    ("listeners", "access"): "Who may come in here, in place of what the broker says.",
    ("access",): "Who may come in, and what they may do.",
    ("access", "rules"): "The first rule that fits decides.",
    ("limits",): "docs/limits.md tells what each of them limits.",
    ("protection",): "Against too much of everything; 0: no limit.",
    ("log",): "What is written down, and where.",
    ("web",): "The HTTP port: the page, its API, MQTT by WebSocket, metrics.",
    ("bridges",): "Another broker, with which this one shares topics.",
    ("bridges", "tls"): "TLS towards that broker.",
    ("data",): "Where sessions, their messages and retained messages are kept; empty: in memory.",
}


def _table(part: Struct, place: Place, everything: bool) -> Iterator[str]:
    """The lines of a table: its values first, then the tables in it."""
    later: list[tuple[str, Any]] = []
    for field in structs.fields(part):
        value = getattr(part, field.name)
        always = everything or (isinstance(part, Listener) and field.name == "port" and not part.path)
        if value is None or (not always and _is_default(field, value)):
            continue
        if isinstance(value, Struct) or (isinstance(value, dict) and value) or _is_list_of_tables(value):
            later.append((field.name, value))
        elif not isinstance(value, dict):
            if value != []:
                yield from _comment((*place, field.name))
            yield f"{field.name} = {_value(value, field.name)}"
    for name, value in later:
        inner = (*place, name)
        title = ".".join(str(step) for step in inner)
        for item in value if isinstance(value, list) else [value]:
            lines = _entries(item) if isinstance(item, dict) else list(_table(item, inner, everything))
            if everything and not lines:
                continue
            yield ""
            yield from _comment(inner)
            yield f"[[{title}]]" if isinstance(value, list) else f"[{title}]"
            yield from lines


def _comment(place: Place) -> Iterator[str]:
    if place in _COMMENTS:
        yield f"# {_COMMENTS[place]}"


def _entries(table: Mapping[str, object]) -> list[str]:
    return [f"{_key(name)} = {_value(value)}" for name, value in table.items()]


def _is_default(field: structs.FieldInfo, value: object) -> bool:
    made = field.default_factory
    return bool(value == (field.default if made is msgspec.NODEFAULT else made()))


def _is_list_of_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Struct)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def _value(value: object, name: str = "") -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"0o{value:03o}" if name == "path_mode" else str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(_entries(value))} }}" if value else "{}"
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    raise TypeError(f"TOML has no {type(value).__name__}")


def _text(value: str) -> str:
    """A string of TOML, which writes control characters as JSON does, and DEL as well."""
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
