"""A description of a broker as mosquitto.conf, as Mosquitto 2.1 reads it.

Which options there are is in ``mosquitto_options.py``, what a ``connection`` comes
to in ``mosquitto_bridges.py``. What the file does not say is as in Mosquitto, not
as in Telex.
"""

import logging
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from msgspec import Struct, field, structs

from telex.codes import MAX_PACKET_ID, NEVER_EXPIRES
from telex.engine.options import LARGEST_PACKET_LIMIT
from telex.server.config import (
    Access,
    Config,
    ConfigError,
    Listener,
    ListenerLimits,
    Log,
    Protection,
    Psk,
    Tls,
)
from telex.server.mosquitto_bridges import Section
from telex.server.mosquitto_options import NO_OTHER_PLUGINS, OPTIONS, OTHER_NAMES, Option, Said, number
from telex.server.toml import LIMITS, LOG_TYPES, Place, Warn, below, nearest, problems, written

_log = logging.getLogger("telex")

_TOPIC_ALIASES: Final = 10
"""In each direction, where the file says nothing."""

_ANY: Final = 1 << 40
"""As much as Telex can say where Mosquitto has no limit (engine/options.py)."""

_PERIODS: Final = {"h": 3_600, "d": 86_400, "w": 7 * 86_400, "m": 30 * 86_400, "y": 365 * 86_400}
_VERSIONS: Final[Mapping[str, Literal["3.1", "3.1.1", "5.0"]]] = {"3": "3.1", "4": "3.1.1", "5": "5.0"}
_PLUGINS: Final[Mapping[str, tuple[str, ...]]] = {
    "mosquitto_password_file": ("password_file",),
    "mosquitto_acl_file": ("acl_file",),
    "mosquitto_persist_sqlite": ("db_file", "sync", "flush_period", "page_size"),
}
"""Mosquitto's own plugins that are part of Telex, with their options."""

# What opens Mosquitto's default listener, if it stands before the first `listener`; unless it says what holds anyway.
_OPENERS: Final[Mapping[str, object]] = {
    "cafile": None,
    "capath": None,
    "certfile": None,
    "keyfile": None,
    "ciphers": None,
    "tls_version": None,
    "psk_hint": None,
    "crlfile": None,
    "require_certificate": False,
    "use_identity_as_username": False,
    "use_subject_as_username": False,
    "use_username_as_clientid": False,
    "bind_interface": None,
    "socket_domain": None,
    "max_connections": -1,
    "max_qos": 2,
    "protocol": "mqtt",
}
_SECURITY_OPENERS: Final[Mapping[str, object]] = {
    "password_file": None,
    "psk_file": None,
    "allow_zero_length_clientid": True,
}
_NEED_CERTIFICATE: Final[Mapping[str, object]] = {
    "cafile": None,
    "capath": None,
    "crlfile": None,
    "require_certificate": False,
    "use_identity_as_username": False,
    "use_subject_as_username": False,
}
"""What somebody only says who believes that there is TLS; with the value that says nothing."""

_OPTIONS_OF: Final[Mapping[Place, tuple[str, ...]]] = {
    ("mount_point",): ("mount_point",),
    ("proxy_requires_tls",): ("proxy_protocol_v2_require_tls",),
    ("psk",): ("psk_hint",),
    ("interface",): ("bind_interface",),
    ("family",): ("socket_domain",),
}
"""Which line is to blame for what does not fit together at a listener."""


class _Plugin(Struct):
    """A plugin of Mosquitto's that is part of Telex."""

    name: str
    where: str
    options: dict[str, Said] = field(default_factory=dict)


class _Scope(Struct):
    """What was said about logging in: of the broker, or of one listener."""

    said: dict[str, Said] = field(default_factory=dict)
    plugins: list[_Plugin] = field(default_factory=list)


class _Listener(Struct):
    """What was said about a listener."""

    where: str
    host: str = ""
    port: int = 1883
    path: str = ""
    said: dict[str, Said] = field(default_factory=dict)
    scope: _Scope = field(default_factory=_Scope)
    origins: list[str] = field(default_factory=list)

    def get(self, name: str, default: Any = None) -> Any:
        """The value of an option; the default if the file does not have it."""
        return self.said[name].value if name in self.said else default

    def openers(self, openers: Mapping[str, object], scope: Mapping[str, object]) -> list[tuple[str, Said]]:
        """Which options that were said are among those, with another value than the one that says nothing."""
        found = [(name, self.said[name]) for name in openers if name in self.said]
        found = [(name, said) for name, said in found if said.value != openers[name]]
        inside = [(name, self.scope.said[name]) for name in scope if name in self.scope.said]
        return found + [(name, said) for name, said in inside if said.value != scope[name]]


def read_mosquitto_conf(
    path: str | os.PathLike[str],
    *,
    lenient: bool = False,
    warn: Warn = _log.warning,
    environment: Mapping[str, str] | None = None,
) -> Config:
    """The broker that a mosquitto.conf describes. As for Mosquitto, relative paths are below the current directory.

    ``lenient`` warns of options that are unknown or refused, and goes on without them. ``warn`` is told as well of
    options without effect, and of what is seldom meant. ``environment`` may have MOSQUITTO_PERSISTENCE_LOCATION;
    without it, that of the process is asked.

    Raises:
        ConfigError: the file cannot be read, or does not describe a broker; with file and line.
    """
    reader = _Reader(lenient, warn)
    reader.read(os.fspath(path), is_main=True)
    config, listeners = _Builder(reader, os.environ if environment is None else environment).build()
    for place, message in problems(config):
        raise ConfigError(_problem(os.fspath(path), place, message, listeners, reader.sections))
    return below(config, Path.cwd())


def _problem(path: str, place: Place, message: str, listeners: list[_Listener], sections: list[Section]) -> str:
    """What does not fit together, in the words of who wrote lines, not tables."""
    if place[0] == "bridges" and isinstance(place[1], int):
        others = re.compile(r"bridges\[(\d+)\]")
        message = others.sub(lambda match: f"the connection of {sections[int(match[1])].where}", message)
        return sections[place[1]].blamed(place[2:], message)
    message = re.sub(r"listeners\[(\d+)\]", lambda match: f"the listener of {listeners[int(match[1])].where}", message)
    if place[0] != "listeners" or not isinstance(place[1], int):
        return f"{path}: {written(place)}: {message}"
    listener = listeners[place[1]]
    for name in _OPTIONS_OF.get(place[2:3], ()):
        if name in listener.said:
            return f"{listener.said[name].where}: {name}: {message}"
    inside = written(place[2:])
    return f"{listener.where}: {inside}: {message}" if inside else f"{listener.where}: {message}"


class _Reader:
    """Reads lines, and remembers what they say about what."""

    def __init__(self, lenient: bool, warn: Warn) -> None:
        self.lenient = lenient
        self.warn = warn
        self.broker: dict[str, Said] = {}
        self.default = _Listener("")
        self.listeners: list[_Listener] = []
        self.shared = _Scope()  # of the broker, without per_listener_settings
        self.has_default = False  # by `port` or `bind_address`
        self.log_to: list[str] | None = None
        self.log_types: list[str] | None = None
        self.sections: list[Section] = []
        self._current = self.default
        self._section: Section | None = None
        self._plugin: _Plugin | None = None
        self._loaded: dict[str, _Plugin] = {}
        self._security_said = False
        self._where = ""
        self._is_main = True

    def read(self, path: str, *, is_main: bool) -> None:
        """Read a file, and those of its include_dir."""
        try:
            lines = Path(path).read_bytes().split(b"\n")
        except OSError as error:
            raise ConfigError(f"{path}: it cannot be read: {error.strerror or error}") from None
        self._current = self.default  # an included file begins as if it were the only one
        self._section = None
        for index, line in enumerate(lines, 1):
            self._where = f"{path}:{index}"
            self._is_main = is_main
            stripped = line.rstrip(b"\r")
            if stripped and not stripped.startswith(b"#"):
                try:
                    self._line(stripped.decode())
                except UnicodeDecodeError:
                    raise self._refusal("this is no text in UTF-8") from None

    def _refusal(self, message: str) -> ConfigError:
        return ConfigError(f"{self._where}: {message}")

    def _pass_or_refuse(self, message: str) -> None:
        """Refuse what is unknown or impossible; warn of it instead if that is wanted."""
        if not self.lenient:
            raise self._refusal(message)
        self.warn(f"{self._where}: {message}; it is ignored")

    def _line(self, line: str) -> None:
        name, _, rest = line.lstrip(" ").partition(" ")
        rest = rest.strip()
        if not name:
            return
        family = next((start for start in ("plugin_opt_", "auth_opt_") if name.startswith(start)), "")
        if family:
            self._plugin_option(name.removeprefix(family), rest)
        elif name not in OPTIONS or name.endswith("*"):
            self._unknown(name)
        elif OPTIONS[name].scope == "bridge" and self._section is None:
            raise self._refusal(f"{name} belongs to a bridge, and there is no connection above it")
        elif not rest:
            raise self._refusal(f"{name}: nothing stands behind it")
        elif OPTIONS[name].kind == "special":
            _SPECIAL[name](self, name, rest)
        else:
            self._plain(name, rest)

    def _unknown(self, name: str) -> None:
        if name.startswith("#"):
            self._pass_or_refuse("a comment begins with '#' as the first character of its line")
        elif "\t" in name or name.startswith("\ufeff"):
            character = "a tab" if "\t" in name else "a byte order mark"
            self._pass_or_refuse(f"there is {character} in or before an option; Mosquitto knows spaces only")
        else:
            self._pass_or_refuse(f"there is no option {name}{nearest(name, OPTIONS)}")

    def _plain(self, name: str, rest: str) -> None:
        option = OPTIONS[name]
        value: object = rest
        if option.kind == "bool":
            value = self._bool(name, rest)
        elif option.kind == "int":
            value = self._int(name, rest, option.low, option.high)
        elif option.kind == "word":
            value = self._word(name, rest, option.words)
        if option.outcome != "honoured" and value != option.as_telex:
            if option.outcome == "refused":
                self._pass_or_refuse(f"{name} is not supported: {option.note}")
            else:
                self.warn(f"{self._where}: {name} has no effect: {option.note}")
        if option.outcome != "refused":
            self._keep(name, value, option)

    def _keep(self, name: str, value: object, option: Option) -> None:
        said = self._said_of(option)
        kept = OTHER_NAMES.get(name, name)
        if option.kind == "text" and kept in said:
            raise self._refusal(f"{name} was said already, in {said[kept].where}")
        if name == "per_listener_settings" and self._security_said:
            raise self._refusal(f"{name} has to stand before all options that it is about")
        if name == "mount_point" and self._current is self.default:
            raise self._refusal(f"{name} has to stand below a listener")
        if name in ("tls_version", "bridge_tls_version") and value not in ("tlsv1.2", "tlsv1.3"):
            raise self._refusal(f"{name}: expected tlsv1.2 or tlsv1.3; nothing older is offered")
        if self._section is not None and option.scope == "bridge":
            self._section.check(name, self._refusal)
        said[kept] = Said(value, self._where)

    def _said_of(self, option: Option) -> dict[str, Said]:
        if option.scope == "bridge" and self._section is not None:
            return self._section.said
        if option.scope == "listener":
            return self._current.said
        return self._scope().said if option.scope == "security" else self.broker

    def _scope(self) -> _Scope:
        """Where what is said about logging in belongs."""
        self._security_said = True
        by_listener = "per_listener_settings" in self.broker and self.broker["per_listener_settings"].value
        return self._current.scope if by_listener else self.shared

    def _bool(self, name: str, rest: str) -> bool:
        word = rest.split(" ")[0]
        if word not in ("true", "false", "1", "0"):
            raise self._refusal(f"{name}: expected true or false, found {word!r}")
        return word in ("true", "1")

    def _int(self, name: str, rest: str, low: int, high: int) -> int:
        return number(name, rest.split(" ")[0], low, high, self._refusal)

    def _word(self, name: str, rest: str, words: tuple[str, ...]) -> str:
        word = rest.split(" ")[0]
        if word not in words:
            raise self._refusal(f"{name}: expected {' or '.join(words)}, found {word!r}{nearest(word, words)}")
        return word

    # What is more than a name and a value

    def _on_listener(self, name: str, rest: str) -> None:
        port = self._int(name, rest, 0, 65_535)
        address = next(iter(rest.split()[1:2]), "")
        if address.startswith("#"):
            address = ""
        if port == 0 and not address:
            raise self._refusal("listener 0 is a Unix socket: its path has to stand behind the 0")
        host, path = ("", address) if port == 0 else (address, "")
        # Port 1883 of a Unix socket is what a listener has that does not say it.
        self._current = _Listener(self._where, host, port or 1883, path)
        self.listeners.append(self._current)

    def _on_port(self, name: str, rest: str) -> None:
        port = self._int(name, rest, 1, 65_535)
        if self.default.where and "port" in self.broker:
            self.warn(f"{self._where}: port was said already, in {self.broker['port'].where}; this one counts")
        self._open_default("port", port)
        self.default.port = port

    def _on_bind_address(self, name: str, rest: str) -> None:
        if name in self.broker:
            raise self._refusal(f"{name} was said already, in {self.broker[name].where}")
        self._open_default(name, rest)
        self.default.host = rest

    def _open_default(self, name: str, value: object) -> None:
        self.has_default = True
        self.default.where = self.default.where or self._where
        self.broker[name] = Said(value, self._where)

    def _on_include_dir(self, name: str, rest: str) -> None:
        if not self._is_main:
            self.warn(f"{self._where}: {name} counts in the main file only, as in Mosquitto; it is ignored")
            return
        try:
            names = [entry for entry in os.listdir(rest) if entry.endswith(".conf") and entry != ".conf"]
        except OSError as error:
            raise self._refusal(f"{name}: {rest} cannot be read: {error.strerror}") from None
        current, section = self._current, self._section
        for entry in sorted(names, key=lambda entry: (entry.lower(), entry)):
            self.read(os.path.join(rest, entry), is_main=False)
        self._current, self._section = current, section

    def _on_connection(self, name: str, rest: str) -> None:
        bridge = rest.split(" ")[0]
        for section in self.sections:
            if section.name == bridge:
                raise self._refusal(f"{name}: there is a {bridge} already, in {section.where}")
        self._section = Section(bridge, self._where)
        self.sections.append(self._section)

    def _on_bridge(self, name: str, rest: str) -> None:
        assert self._section is not None  # a line of a bridge without one was refused
        self._section.take(name, rest, self._where, self._refusal, self.warn)

    def _on_log_dest(self, name: str, rest: str) -> None:
        word, _, path = rest.partition(" ")
        known = ("stdout", "stderr", "syslog", "topic", "file", "none")
        destinations = self.log_to or []
        if word in ("dlt", "android"):
            self._pass_or_refuse(f"{name} {word} is not supported: expected one of {', '.join(known)}")
            return
        if word not in known:
            raise self._refusal(f"{name}: expected one of {', '.join(known)}, found {word!r}{nearest(word, known)}")
        if word == "file":
            path = path.strip()
            if not path:
                raise self._refusal(f"{name} file: the path of the file is missing")
            if any(to.startswith("file:") for to in destinations):
                raise self._refusal(f"{name} file: there is one already, and there can be only one")
            word = f"file:{path}"
        self.log_to = [] if word == "none" else [*destinations, word] if word not in destinations else destinations

    def _on_log_type(self, name: str, rest: str) -> None:
        word = self._word(name, rest, LOG_TYPES)
        types = self.log_types or []
        self.log_types = [] if word == "none" else [*types, word] if word not in types else types

    def _on_log_facility(self, name: str, rest: str) -> None:
        word = rest.split(" ")[0]
        facility = word if word == "daemon" else f"local{self._int(name, rest, 0, 7)}"
        self.broker[name] = Said(facility, self._where)

    def _on_expiration(self, name: str, rest: str) -> None:
        word = rest.split(" ")[0]
        found = re.fullmatch(r"([0-9]+)([hdwmy])", word)
        if found is None or int(found[1]) == 0:
            raise self._refusal(f"{name}: expected a number and h, d, w, m or y behind it (14d), found {word!r}")
        seconds = int(found[1]) * _PERIODS[found[2]]
        self.broker[name] = Said(min(seconds, NEVER_EXPIRES), self._where)

    def _on_versions(self, name: str, rest: str) -> None:
        versions = [_VERSIONS.get(word, "") for word in re.split(r"[ ,\t]+", rest) if word]
        if "" in versions or not versions:
            raise self._refusal(f"{name}: expected 3, 4 and 5 with commas between them, found {rest!r}")
        self._current.said[name] = Said(versions, self._where)

    def _on_origin(self, name: str, rest: str) -> None:
        self._current.origins.append(rest)
        self._current.said[name] = Said(rest, self._where)

    def _on_plugin(self, name: str, rest: str) -> None:
        scope = self.shared if name == "global_plugin" else self._scope()
        self._plugin = self._made_plugin(rest)
        scope.plugins.append(self._plugin)

    def _on_plugin_load(self, name: str, rest: str) -> None:
        known, _, path = rest.partition(" ")
        if not path.strip():
            raise self._refusal(f"{name}: expected a name and a path")
        if known in self._loaded:
            raise self._refusal(f"{name}: there is a plugin {known} already")
        # Its options stand below plugin_load or below plugin_use: they are of the same plugin.
        self._plugin = self._loaded[known] = self._made_plugin(path.strip())

    def _on_plugin_use(self, name: str, rest: str) -> None:
        known = rest.split(" ")[0]
        if known not in self._loaded:
            raise self._refusal(f"{name}: there is no plugin_load {known} above it")
        self._plugin = self._loaded[known]
        self._scope().plugins.append(self._plugin)

    def _made_plugin(self, path: str) -> _Plugin:
        name = re.split(r"[/\\]", path)[-1].split(".")[0]
        if name not in _PLUGINS:
            # Not let pass either: it may be what keeps strangers out.
            raise self._refusal(f"{path} is not supported: {NO_OTHER_PLUGINS}")
        return _Plugin(name, self._where)

    def _plugin_option(self, name: str, rest: str) -> None:
        if self._plugin is None:
            raise self._refusal(f"{name} is an option of a plugin, and there is none above it")
        known = _PLUGINS[self._plugin.name]
        if name not in known:
            self._pass_or_refuse(f"{self._plugin.name} has no option {name}{nearest(name, known)}")
        elif not rest:
            raise self._refusal(f"plugin_opt_{name}: nothing stands behind it")
        elif name in self._plugin.options:
            raise self._refusal(f"plugin_opt_{name} was said already, in {self._plugin.options[name].where}")
        else:
            if name == "sync":
                self._word("plugin_opt_sync", rest, ("extra", "full", "normal", "off"))
            if name in ("flush_period", "page_size"):
                self.warn(f"{self._where}: plugin_opt_{name} has no effect: Telex has its own ways with SQLite")
            self._plugin.options[name] = Said(rest, self._where)


_SPECIAL: Final[Mapping[str, Callable[[_Reader, str, str], None]]] = {
    "listener": _Reader._on_listener,
    "port": _Reader._on_port,
    "bind_address": _Reader._on_bind_address,
    "include_dir": _Reader._on_include_dir,
    "log_dest": _Reader._on_log_dest,
    "log_type": _Reader._on_log_type,
    "log_facility": _Reader._on_log_facility,
    "persistent_client_expiration": _Reader._on_expiration,
    "accept_protocol_versions": _Reader._on_versions,
    "websockets_origin": _Reader._on_origin,
    "connection": _Reader._on_connection,
    "address": _Reader._on_bridge,
    "addresses": _Reader._on_bridge,
    "topic": _Reader._on_bridge,
    "restart_timeout": _Reader._on_bridge,
    "bridge_tcp_keepalive": _Reader._on_bridge,
    "plugin": _Reader._on_plugin,
    "auth_plugin": _Reader._on_plugin,
    "global_plugin": _Reader._on_plugin,
    "plugin_load": _Reader._on_plugin_load,
    "plugin_use": _Reader._on_plugin_use,
}


class _Builder:
    """Makes a description of a broker of what was said."""

    def __init__(self, reader: _Reader, environment: Mapping[str, str]) -> None:
        self._reader = reader
        self._environment = environment
        self._warn = reader.warn
        self._by_listener: bool = self._get("per_listener_settings", False)
        self._is_local = not reader.listeners and not reader.has_default

    def build(self) -> tuple[Config, list[_Listener]]:
        """The description, and for each of its listeners what was said about it."""
        reader = self._reader
        listeners = list(reader.listeners)
        if self._opens_default():
            listeners.append(reader.default)
        self._warn_of_settings_for_nobody(listeners)
        access = Access(allow_anonymous=False) if self._by_listener else self._access(reader.shared)
        built = [self._listener(listener) for listener in listeners]
        config = Config(
            listeners=built,
            access=access,
            limits={name: value for name, value in self._limits().items() if value != LIMITS[name]},
            protection=Protection(max_connections=max(0, self._get("global_max_connections", 0))),
            log=self._log(),
            bridges=[structs.replace(each.bridge(self._warn), **self._queue_limits()) for each in reader.sections],
            data=self._data(),
            durability=self._durability(),
            sys_interval=self._get("sys_interval", 10),
            control=self._get("enable_control_api", False),
            pid_file=self._get("pid_file", ""),
            user=self._get("user", "mosquitto"),
        )
        return config, listeners

    def _get(self, name: str, default: Any) -> Any:
        said = self._reader.broker.get(name)
        return default if said is None else said.value

    # Listeners

    def _opens_default(self) -> bool:
        """Whether there is the listener that Mosquitto calls the default one."""
        default = self._reader.default
        said = default.openers(_OPENERS, _SECURITY_OPENERS if self._by_listener else {})
        if self._reader.has_default:
            return True
        if self._is_local:
            default.where = said[0][1].where if said else "the default listener"
            # Mosquitto listens on all addresses as soon as something is said about it, and only then.
            default.host = "" if said else "localhost"
            return True
        if said:
            name, first = said[0]
            default.where = first.where
            self._warn(
                f"{first.where}: {name} stands before the first listener, so it is about the default listener, "
                "which is opened on port 1883 as well; if that is not meant, move it below a listener"
            )
        return bool(said)

    def _warn_of_settings_for_nobody(self, listeners: list[_Listener]) -> None:
        default = self._reader.default
        if any(listener is default for listener in listeners):
            return
        said = {**default.said, **(default.scope.said if self._by_listener else {})}
        says_nothing = {**_OPENERS, **_SECURITY_OPENERS}
        for name, found in said.items():
            if name not in says_nothing or found.value != says_nothing[name]:
                self._warn(f"{found.where}: {name} stands before the first listener, so it is about none of them")

    def _listener(self, listener: _Listener) -> Listener:
        self._warn_of_protocol(listener)
        protocol = listener.get("protocol", "mqtt")
        tls, psk = self._tls(listener), self._psk(listener)
        if tls is None and psk is None:
            self._refuse_half_tls(listener)
        prefix = self._scope_of(listener).said.get("auto_id_prefix")
        maximum = listener.get("max_connections", -1)
        return Listener(
            host=listener.host,
            port=listener.port,
            path=listener.path,
            interface=listener.get("bind_interface", ""),
            family=listener.get("socket_domain", ""),
            protocol="websocket" if protocol == "websockets" else protocol,
            tls=tls,
            psk=psk,
            proxy_protocol=str(listener.get("enable_proxy_protocol", "")),  # type: ignore[arg-type]
            proxy_requires_tls=listener.get("proxy_protocol_v2_require_tls", False),
            versions=listener.get("accept_protocol_versions", list(_VERSIONS.values())),
            origins=listener.origins if protocol == "websockets" else [],
            http_directory="" if protocol == "mqtt" else listener.get("http_dir", ""),
            max_connections=maximum if maximum > 0 else None,
            mount_point=listener.get("mount_point", ""),
            client_id_prefix=listener.get("listener_auto_id_prefix", prefix.value if prefix else "auto-"),
            user_name_is_client_id=listener.get("use_username_as_clientid", False),
            limits=self._listener_limits(listener),
            access=self._listener_access(listener),
        )

    def _warn_of_protocol(self, listener: _Listener) -> None:
        protocol = listener.get("protocol", "mqtt")
        for name, protocols in (("http_dir", ("websockets", "http_api")), ("websockets_origin", ("websockets",))):
            if name in listener.said and protocol not in protocols:
                self._warn(f"{listener.said[name].where}: {name} has no effect with protocol {protocol}")

    def _listener_limits(self, listener: _Listener) -> ListenerLimits:
        aliases = listener.get("max_topic_alias", _TOPIC_ALIASES)
        aliases_out = listener.get("max_topic_alias_broker", _TOPIC_ALIASES)
        qos = listener.get("max_qos", 2)
        empty_id = listener.scope.said.get("allow_zero_length_clientid") if self._by_listener else None
        return ListenerLimits(
            maximum_qos=qos if qos != 2 else None,
            topic_alias_maximum=aliases if aliases != _TOPIC_ALIASES else None,
            topic_alias_maximum_out=aliases_out if aliases_out != _TOPIC_ALIASES else None,
            allow_empty_client_id=False if empty_id is not None and not empty_id.value else None,
        )

    def _scope_of(self, listener: _Listener) -> _Scope:
        return listener.scope if self._by_listener else self._reader.shared

    def _listener_access(self, listener: _Listener) -> Access | None:
        anonymous = listener.get("listener_allow_anonymous")
        if not self._by_listener and anonymous is None:
            return None
        access = self._access(self._scope_of(listener))
        return access if anonymous is None else structs.replace(access, allow_anonymous=anonymous)

    def _access(self, scope: _Scope) -> Access:
        said = dict(scope.said)
        for plugin in [*scope.plugins, *(self._reader.shared.plugins if self._by_listener else [])]:
            for name in ("password_file", "acl_file"):
                if plugin.name == f"mosquitto_{name}":
                    if name not in plugin.options:
                        raise ConfigError(f"{plugin.where}: plugin_opt_{name} is missing below it")
                    if name in said:
                        raise ConfigError(f"{plugin.where}: there is a {name} already, in {said[name].where}")
                    said[name] = plugin.options[name]
        prefix = self._get("clientid_prefixes", "")
        # What nobody said of a listener for this machine only: everybody may come in. Mosquitto 2.0 holds the
        # same of a default listener on all addresses, which nobody can want.
        only_here = self._is_local and self._reader.default.host == "localhost"
        return Access(
            allow_anonymous=said["allow_anonymous"].value if "allow_anonymous" in said else only_here,
            password_file=said["password_file"].value if "password_file" in said else "",
            acl_file=said["acl_file"].value if "acl_file" in said else "",
            client_id_prefixes=[prefix] if prefix else [],
        )

    # TLS

    def _tls(self, listener: _Listener) -> Tls | None:
        said = listener.said
        if "certfile" not in said or "keyfile" not in said:
            for name, other in (("certfile", "keyfile"), ("keyfile", "certfile")):
                if name in said:
                    raise ConfigError(f"{said[name].where}: {name} needs a {other} beside it; TLS would be off")
            return None
        required = listener.get("require_certificate", False)
        for name in ("use_identity_as_username", "use_subject_as_username"):
            if listener.get(name) and not required:
                raise ConfigError(f"{said[name].where}: {name} needs require_certificate true; nobody could come in")
        if "cafile" in said and "capath" in said:
            raise ConfigError(
                f"{said['capath'].where}: capath cannot stand beside cafile; put the files into one place"
            )
        if required and "cafile" not in said and "capath" not in said:
            raise ConfigError(f"{said['require_certificate'].where}: require_certificate needs a cafile or capath")
        if "crlfile" in said and not required:
            self._warn(f"{said['crlfile'].where}: crlfile has no effect without require_certificate true")
        is_name = listener.get("use_identity_as_username")
        return Tls(
            certificate=listener.get("certfile"),
            key=listener.get("keyfile"),
            min_version="1.3" if listener.get("tls_version") == "tlsv1.3" else "1.2",
            ciphers=listener.get("ciphers", ""),
            ciphers_1_3=listener.get("ciphers_tls1.3", ""),
            client_certificates="required" if required else "no",
            client_ca=listener.get("cafile") or listener.get("capath", ""),
            user_from="cn" if is_name else "subject" if listener.get("use_subject_as_username") else "",
            crl=listener.get("crlfile", "") if required else "",
            checks_dates=not listener.get("disable_client_cert_date_checks", False),
        )

    def _psk(self, listener: _Listener) -> Psk | None:
        said = listener.said
        file = self._scope_of(listener).said.get("psk_file")
        if "psk_hint" not in said:
            return None
        if file is None:
            raise ConfigError(f"{said['psk_hint'].where}: psk_hint needs a psk_file")
        if listener.get("tls_version") == "tlsv1.3":
            raise ConfigError(f"{said['tls_version'].where}: keys of a psk_file are for TLS 1.2; expected tlsv1.2")
        return Psk(
            file=file.value,
            hint=listener.get("psk_hint"),
            ciphers=listener.get("ciphers", ""),
            user_from_identity=listener.get("use_identity_as_username", False),
        )

    def _refuse_half_tls(self, listener: _Listener) -> None:
        """Refuse what only makes sense with TLS where there is none: somebody believes that the door is locked."""
        for name, found in listener.openers(_NEED_CERTIFICATE, {}):
            raise ConfigError(
                f"{found.where}: {name} needs certfile and keyfile at the same listener; TLS would be off"
            )

    # The broker

    def _limits(self) -> dict[str, int | bool]:
        inflight = self._get("max_inflight_messages", 20)
        inflight = inflight if inflight > 0 else MAX_PACKET_ID
        expiry = self._get("persistent_client_expiration", NEVER_EXPIRES)
        sessions = self._get("global_max_clients", -1)
        empty_id = None if self._by_listener else self._reader.shared.said.get("allow_zero_length_clientid")
        return {
            "maximum_packet_size": self._packet_size(),
            "receive_maximum": inflight,
            "max_inflight_messages": inflight,
            "retain_available": self._get("retain_available", True),
            "maximum_payload_size": self._payload_size(),
            "topic_alias_maximum": _TOPIC_ALIASES,
            "topic_alias_maximum_out": _TOPIC_ALIASES,
            "maximum_keep_alive": self._get("max_keepalive", 0),
            "maximum_session_expiry": expiry,
            "v3_session_expiry": expiry,
            "max_sessions": _or_any(sessions),
            "max_subscriptions": _ANY,
            "max_queued_messages": _or_any(self._get("max_queued_messages", 1_000)),
            "max_queued_bytes": _or_any(self._get("max_queued_bytes", 0)),
            "max_queue_memory": self._queue_memory(),
            "retained_expiry": self._retained_expiry(),
            "max_retained_messages": _ANY,
            "max_retained_bytes": _ANY,
            "allow_empty_client_id": empty_id is None or empty_id.value,
        }

    def _queue_limits(self) -> dict[str, int]:
        """Those that hold for bridges, too; where nothing is said, a bridge may well hold more than in Mosquitto."""
        limits: dict[str, int] = {}
        if "max_queued_messages" in self._reader.broker:
            limits["max_queued_messages"] = _or_any(self._get("max_queued_messages", 0))
        if self._get("max_queued_bytes", 0) > 0:
            limits["max_queued_bytes"] = min(self._get("max_queued_bytes", 0), _ANY)
        return limits

    def _packet_size(self) -> int:
        size: int = self._get("max_packet_size", 2_000_000)
        if size > LARGEST_PACKET_LIMIT:
            where = self._reader.broker["max_packet_size"].where
            self._warn(f"{where}: max_packet_size is {LARGEST_PACKET_LIMIT:,}, the most that Telex can handle")
        return min(size, LARGEST_PACKET_LIMIT)

    def _payload_size(self) -> int:
        size: int = self._get("message_size_limit", 0)
        return min(size, LARGEST_PACKET_LIMIT) if size > 0 else LARGEST_PACKET_LIMIT

    def _retained_expiry(self) -> int:
        minutes: int = self._get("retain_expiry_interval", 0)
        return min(minutes * 60, NEVER_EXPIRES) if minutes > 0 else NEVER_EXPIRES

    def _queue_memory(self) -> int:
        limit: int = self._get("memory_limit", 0)
        if limit > 0:
            where = self._reader.broker["memory_limit"].where
            self._warn(f"{where}: memory_limit is {OPTIONS['memory_limit'].note.partition(': ')[2]}")
            return min(limit, _ANY)
        # What is beyond it waits on disk alone; where there is none, it would be lost.
        return LIMITS["max_queue_memory"] if self._data() else _ANY

    def _sqlite(self) -> _Plugin | None:
        scopes = [self._reader.shared, self._reader.default.scope, *(one.scope for one in self._reader.listeners)]
        plugins = [plugin for scope in scopes for plugin in scope.plugins]
        return next((plugin for plugin in plugins if plugin.name == "mosquitto_persist_sqlite"), None)

    def _data(self) -> str:
        plugin = self._sqlite()
        if plugin is not None and "db_file" in plugin.options:
            return os.path.dirname(plugin.options["db_file"].value) or "."
        if plugin is None and not self._get("persistence", False):
            return ""
        place: str = self._get("persistence_location", self._environment.get("MOSQUITTO_PERSISTENCE_LOCATION") or ".")
        return place

    def _durability(self) -> Literal["strict", "relaxed"]:
        plugin = self._sqlite()
        if plugin is not None and "sync" in plugin.options and plugin.options["sync"].value in ("normal", "off"):
            return "relaxed"
        return "strict"

    def _log(self) -> Log:
        reader = self._reader
        return Log(
            to=["stderr"] if reader.log_to is None else reader.log_to,
            format="mosquitto",
            types=["error", "warning", "notice", "information"] if reader.log_types is None else reader.log_types,
            connections=self._get("connection_messages", True),
            timestamp=self._get("log_timestamp", True),
            timestamp_format=self._get("log_timestamp_format", ""),
            facility=self._get("log_facility", "daemon"),
        )


def _or_any(limit: int) -> int:
    """A limit as Mosquitto says it, where 0 or less is none."""
    return min(limit, _ANY) if limit > 0 else _ANY
