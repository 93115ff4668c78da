"""A description of a broker as mosquitto.conf: the way back to Mosquitto.

What Mosquitto has no word for is told, if the broker does without it; it is refused
if that would let somebody in, or have a bridge do something else.
"""

import math
import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import structs

from telex.client.address import Address, parse_address
from telex.codes import MAX_PACKET_ID, NEVER_EXPIRES
from telex.engine.options import LARGEST_PACKET_LIMIT
from telex.server.config import (
    Access,
    Bridge,
    BridgeTls,
    BridgeTopic,
    Config,
    ConfigError,
    Listener,
    Log,
    Psk,
    Tls,
    doorkeeping,
)
from telex.server.toml import LIMITS, Warn

Number = int | bool | str

_ANY: Final = 1 << 40  # where Mosquitto has no limit, as `mosquitto_conf.py` reads it
_TOPIC_ALIASES: Final = 10
_HOUR: Final = 3_600
_VERSIONS: Final = {"3.1": "3", "3.1.1": "4", "5.0": "5"}
_BRIDGE_VERSIONS: Final = {"3.1": "mqttv31", "3.1.1": "mqttv311", "5.0": "mqttv50"}
_TYPES: Final = {
    "error": ["error"],
    "warning": ["error", "warning"],
    "info": ["error", "warning", "notice", "information"],
    "debug": ["all"],
}

_LIMITS: Final[Mapping[str, tuple[str, int, int | None]]] = {
    "max_inflight_messages": ("max_inflight_messages", 20, MAX_PACKET_ID),
    "max_queued_messages": ("max_queued_messages", 1_000, _ANY),
    "max_queued_bytes": ("max_queued_bytes", _ANY, _ANY),
    "maximum_packet_size": ("max_packet_size", 2_000_000, None),
    "maximum_payload_size": ("message_size_limit", LARGEST_PACKET_LIMIT, LARGEST_PACKET_LIMIT),
    "maximum_keep_alive": ("max_keepalive", 0, None),
}
"""Limits of ours: Mosquitto's option, what that is if nothing is said, and which value of ours is its 0."""

_TOLD_ELSEWHERE: Final = (
    *_LIMITS,
    "receive_maximum",
    "retain_available",
    "topic_alias_maximum",
    "topic_alias_maximum_out",
    "maximum_session_expiry",
    "v3_session_expiry",
    "max_sessions",
    "max_queue_memory",
    "retained_expiry",
    "allow_empty_client_id",
)
_NO_LIMIT_THERE: Final = ("max_subscriptions", "max_retained_messages", "max_retained_bytes")


def write_mosquitto_conf(config: Config, warn: Warn) -> str:
    """A description as Mosquitto 2.1 reads it.

    Args:
        config: that has no problems.
        warn: is told of what Mosquitto does otherwise.

    Raises:
        ConfigError: it says what Mosquitto cannot, and must not be left out.
    """
    return "\n".join(_Writer(config, warn).lines()) + "\n"


class _Writer:
    """Collects lines."""

    def __init__(self, config: Config, warn: Warn) -> None:
        self._config = config
        self._warn = warn
        self._doors = [doorkeeping(config, listener) for listener in config.listeners]
        ids = [listener.limits.allow_empty_client_id for listener in config.listeners]
        self._keys = {listener.psk.file for listener in config.listeners if listener.psk is not None}
        self._by_listener = (
            any(door != self._doors[0] for door in self._doors)
            or any(each is not None for each in ids)
            or len(self._keys) > 1
        )
        self._has_one_prefix = False  # of client ids that the broker gives
        self._lines: list[str] = []

    def lines(self) -> list[str]:
        """All of it."""
        config = self._config
        if self._by_listener:
            self._say("per_listener_settings", True)
        else:
            self._access(self._doors[0])
            for file in self._keys:
                self._say("psk_file", file)
        self._prefixes()
        self._storage()
        self._limits()
        self._log(config.log)
        self._say("sys_interval", config.sys_interval, unless=10)
        self._say("enable_control_api", config.control, unless=False)
        self._say("pid_file", config.pid_file, unless="")
        self._say("user", config.user or "root", unless="mosquitto")
        if config.web.enabled:
            self._warn("web: Mosquitto has no page")
        for listener, door in zip(config.listeners, self._doors, strict=True):
            self._lines.append("")
            self._listener(listener, door)
        for bridge in config.bridges:
            self._lines.append("")
            self._bridge(bridge)
        return self._lines

    def _say(self, name: str, value: Number, *, unless: Number | None = None) -> None:
        """Write an option, unless it says what holds anyhow."""
        if unless is not None and value == unless:
            return
        if isinstance(value, str) and (not value or value != value.strip() or "\n" in value or "\r" in value):
            raise ConfigError(
                f"{name}: mosquitto.conf has no text with a space at an end, of several lines, or of none"
            )
        self._lines.append(f"{name} {str(value).lower() if isinstance(value, bool) else value}")

    def _refuse(self, what: str, why: str) -> ConfigError:
        return ConfigError(f"{what}: Mosquitto has {why}")

    def _tell(self, part: Any, names: Iterable[str], place: str) -> None:
        """Warn of settings that are not as by default."""
        for field in structs.fields(part):
            if field.name in names and getattr(part, field.name) != field.default:
                self._warn(f"{place}.{field.name}: Mosquitto has nothing like it")

    # Who may come in

    def _access(self, access: Access) -> None:
        for name in ("jwt", "http", "plugins", "rules"):
            if getattr(access, name):
                raise self._refuse(f"access.{name}", "nothing like it; write an acl_file or a password_file first")
        if access.scram:
            self._warn("access.scram: Mosquitto has nothing like it")
        self._say("allow_anonymous", bool(access.allow_anonymous))
        self._say("password_file", access.password_file, unless="")
        self._say("acl_file", access.acl_file, unless="")

    def _prefixes(self) -> None:
        prefixes = [door.client_id_prefixes for door in self._doors]
        if any(each != prefixes[0] or len(each) > 1 for each in prefixes):
            raise self._refuse("access.client_id_prefixes", "one prefix for all listeners")
        for prefix in prefixes[0]:
            self._say("clientid_prefixes", prefix)
        given = {listener.client_id_prefix for listener in self._config.listeners}
        self._has_one_prefix = len(given) == 1 and not self._by_listener
        if self._has_one_prefix:
            self._say("auto_id_prefix", given.pop(), unless="auto-")

    # The broker

    def _storage(self) -> None:
        data = self._config.data
        if self._config.durability == "relaxed":
            self._lines += ["global_plugin mosquitto_persist_sqlite.so", "plugin_opt_sync normal"]
            if not data:
                self._warn("durability: Mosquitto has no plugin for SQLite in memory, so it keeps what it has on disk")
        elif data != "":
            self._say("persistence", True)
        if data is None:
            self._warn("data: persistence_location is missing; Mosquitto has another place for it than Telex")
        elif data:
            self._say("persistence_location", os.path.join(data, ""))

    def _limits(self) -> None:
        limits: dict[str, Any] = {**LIMITS, **self._config.limits}
        for name, (option, usual, unlimited) in _LIMITS.items():
            self._say(
                option, 0 if limits[name] == unlimited else limits[name], unless=0 if usual == unlimited else usual
            )
        if limits["receive_maximum"] != limits["max_inflight_messages"]:
            self._warn("limits.receive_maximum: Mosquitto has one limit for both directions, max_inflight_messages")
        self._say("retain_available", limits["retain_available"], unless=True)
        if limits["max_sessions"] != _ANY:
            self._say("global_max_clients", limits["max_sessions"])
        if limits["retained_expiry"] != NEVER_EXPIRES:
            self._say("retain_expiry_interval", math.ceil(limits["retained_expiry"] / 60))
        if limits["max_queue_memory"] not in (_ANY, LIMITS["max_queue_memory"]):
            self._say("memory_limit", limits["max_queue_memory"])
        if not self._by_listener:
            self._say("allow_zero_length_clientid", limits["allow_empty_client_id"], unless=True)
        expiry = min(limits["maximum_session_expiry"], limits["v3_session_expiry"])
        if expiry != NEVER_EXPIRES:
            self._say("persistent_client_expiration", f"{max(1, math.ceil(expiry / _HOUR))}h")
        for name, value in self._config.limits.items():
            if name not in _TOLD_ELSEWHERE and value != (_ANY if name in _NO_LIMIT_THERE else LIMITS[name]):
                self._warn(f"limits.{name}: Mosquitto has nothing like it")
        protection = self._config.protection
        self._say("global_max_connections", protection.max_connections, unless=0)
        others = [name for name in protection.__struct_fields__ if name != "max_connections"]
        self._tell(protection, others, "protection")

    def _log(self, log: Log) -> None:
        for to in [] if log.to == ["stderr"] else log.to or ["none"]:
            self._say("log_dest", f"file {to[5:]}" if to.startswith("file:") else to)
        types = _TYPES[log.level] if log.types is None else log.types
        for kind in [] if types == _TYPES["info"] else types or ["none"]:
            self._say("log_type", kind)
        if log.format == "json":
            self._warn("log.format: Mosquitto has its own words only")
        self._say("connection_messages", log.connections, unless=True)
        self._say("log_timestamp", log.timestamp, unless=True)
        self._say("log_timestamp_format", log.timestamp_format, unless="")
        if log.facility.startswith("local"):
            self._say("log_facility", log.facility.removeprefix("local"))
        elif log.facility != "daemon":
            self._warn("log.facility: Mosquitto has daemon and local0 to local7")

    # Listeners

    def _listener(self, listener: Listener, door: Access) -> None:
        limits: dict[str, Any] = {**LIMITS, **self._config.limits}
        if " " in listener.path:
            raise self._refuse(f"listeners.path, {listener.path!r}", "no spaces in the path of a socket")
        if listener.path:
            self._say("listener", f"0 {listener.path}")
        else:
            self._say("listener", f"{listener.port} {listener.host}".strip())
        self._say("bind_interface", listener.interface, unless="")
        self._say("socket_domain", listener.family, unless="")
        self._say("protocol", "websockets" if listener.protocol == "websocket" else listener.protocol, unless="mqtt")
        versions = ",".join(_VERSIONS[version] for version in listener.versions)
        self._say("accept_protocol_versions", versions, unless="3,4,5")
        if self._by_listener:
            self._access(door)
            empty = listener.limits.allow_empty_client_id
            allows = limits["allow_empty_client_id"] if empty is None else empty
            self._say("allow_zero_length_clientid", allows, unless=True)
        if not self._has_one_prefix:
            name = "auto_id_prefix" if self._by_listener else "listener_auto_id_prefix"  # which is new in 2.1
            self._say(name, listener.client_id_prefix, unless="auto-")
        self._say("max_connections", listener.max_connections or -1, unless=-1)
        self._listener_limits(listener, limits)
        self._say("mount_point", listener.mount_point, unless="")
        self._say("use_username_as_clientid", listener.user_name_is_client_id, unless=False)
        self._say("http_dir", listener.http_directory, unless="")
        for origin in listener.origins:
            self._say("websockets_origin", origin)
        self._proxy(listener)
        self._tell(listener, ("path_mode", "websocket_path"), "listeners")
        if listener.tls is not None:
            self._tls(listener.tls)
        if listener.psk is not None:
            self._psk(listener.psk)

    def _listener_limits(self, listener: Listener, limits: dict[str, Any]) -> None:
        own = listener.limits
        qos = limits["maximum_qos"] if own.maximum_qos is None else own.maximum_qos
        self._say("max_qos", qos, unless=2)
        for option, name in (
            ("max_topic_alias", "topic_alias_maximum"),
            ("max_topic_alias_broker", "topic_alias_maximum_out"),
        ):
            value = getattr(own, name)
            self._say(option, limits[name] if value is None else value, unless=_TOPIC_ALIASES)
        self._tell(own, ("maximum_packet_size", "maximum_keep_alive", "receive_maximum"), "listeners.limits")

    def _proxy(self, listener: Listener) -> None:
        if listener.trusted_proxies or listener.proxy_protocol == "any":
            name = "trusted_proxies" if listener.trusted_proxies else "proxy_protocol"
            raise self._refuse(f"listeners.{name}", "version 1 or 2 of the PROXY protocol, of whoever reaches it")
        self._say("enable_proxy_protocol", listener.proxy_protocol, unless="")
        self._say("proxy_protocol_v2_require_tls", listener.proxy_requires_tls, unless=False)

    def _tls(self, tls: Tls) -> None:
        if tls.client_certificates == "optional":
            raise self._refuse("listeners.tls.client_certificates", "certificates that are required, or none")
        self._say("certfile", tls.certificate)
        self._say("keyfile", tls.key or tls.certificate)
        if tls.key_password:
            self._warn("listeners.tls.key_password: Mosquitto asks for it at the terminal")
        self._say("capath" if os.path.isdir(tls.client_ca) else "cafile", tls.client_ca, unless="")
        self._say("require_certificate", tls.client_certificates == "required", unless=False)
        self._say("use_identity_as_username", tls.user_from == "cn", unless=False)
        self._say("use_subject_as_username", tls.user_from == "subject", unless=False)
        self._say("crlfile", tls.crl, unless="")
        self._say("disable_client_cert_date_checks", not tls.checks_dates, unless=False)
        self._say("tls_version", f"tlsv{tls.min_version}", unless="tlsv1.2")
        self._say("ciphers", tls.ciphers, unless="")
        self._say("ciphers_tls1.3", tls.ciphers_1_3, unless="")

    def _psk(self, psk: Psk) -> None:
        if self._by_listener:
            self._say("psk_file", psk.file)
        self._say("psk_hint", psk.hint or "mqtt")
        self._say("use_identity_as_username", psk.user_from_identity, unless=False)
        self._say("ciphers", psk.ciphers, unless="")

    # Bridges

    def _bridge(self, bridge: Bridge) -> None:
        if " " in bridge.name:
            raise self._refuse(f"bridges.name, {bridge.name!r}", "no spaces in the name of a connection")
        for name in ("local_user", "proxy", "websocket_headers"):
            if getattr(bridge, name):
                raise self._refuse(f"bridges.{name}", "nothing like it")
        addresses = [parse_address(text) for text in bridge.addresses]
        self._say("connection", bridge.name)
        self._say("address", " ".join(self._place(address) for address in addresses))
        if len({address.scheme for address in addresses}) > 1:
            raise self._refuse("bridges.addresses", "TLS at all addresses of a bridge, or at none")
        for topic in bridge.topics:
            self._topic(topic)
        self._say("bridge_protocol_version", _BRIDGE_VERSIONS[bridge.version], unless="mqttv311")
        self._say("remote_clientid", bridge.client_id, unless="")
        self._say("remote_username", bridge.user, unless="")
        self._say("remote_password", bridge.password, unless="")
        self._say("local_clientid", bridge.local_client_id, unless="")
        self._say("start_type", bridge.start, unless="automatic")
        self._say("threshold", bridge.threshold, unless=10)
        self._say("idle_timeout", math.ceil(bridge.idle_timeout), unless=60)
        self._waits(bridge)
        self._say("round_robin", bridge.round_robin, unless=False)
        self._say("keepalive_interval", bridge.keep_alive, unless=60)
        self._say("cleansession", bridge.clean_session, unless=False)
        if bridge.local_clean_session is not None:
            self._say("local_cleansession", bridge.local_clean_session)
        self._say("try_private", bridge.try_private, unless=True)
        self._say("notifications", bridge.notifications, unless=True)
        self._say("notifications_local_only", bridge.notifications_local_only, unless=False)
        self._say("notification_topic", bridge.notification_topic, unless="")
        self._say("bridge_attempt_unsubscribe", bridge.attempt_unsubscribe, unless=True)
        self._say("bridge_outgoing_retain", bridge.outgoing_retain, unless=True)
        self._say("bridge_reload_type", bridge.reload, unless="lazy")
        self._say("bridge_bind_address", bridge.bind_address, unless="")
        self._say("bridge_max_packet_size", bridge.maximum_packet_size, unless=0)
        self._say("bridge_session_expiry_interval", bridge.session_expiry_interval, unless=NEVER_EXPIRES)
        if bridge.topic_alias_maximum is not None:
            self._say("bridge_max_topic_alias", bridge.topic_alias_maximum)
        if bridge.receive_maximum is not None:
            self._say("bridge_receive_maximum", bridge.receive_maximum)
        if bridge.tcp_keepalive is not None:
            tcp = bridge.tcp_keepalive
            self._say("bridge_tcp_keepalive", f"{tcp.idle} {tcp.interval} {tcp.count}")
        self._say("bridge_tcp_user_timeout", round(bridge.tcp_user_timeout * 1_000), unless=0)
        self._tell(bridge, ("max_hops",), "bridges")
        for name in ("max_queued_messages", "max_queued_bytes"):
            if getattr(bridge, name) != {**LIMITS, **self._config.limits}[name]:  # which is everybody's there
                self._tell(bridge, (name,), "bridges")
        if addresses[0].is_secure:
            self._bridge_tls(bridge.tls or BridgeTls())

    def _place(self, address: Address) -> str:
        if address.scheme not in ("mqtt", "mqtts"):
            raise self._refuse("bridges.addresses", f"TCP and TLS for bridges, and not {address.scheme}://")
        return f"{address.host}:{address.port}"

    def _topic(self, topic: BridgeTopic) -> None:
        self._tell(topic, ("maximum_payload_size", "messages_per_second"), "bridges.topics")
        words = [_word(topic.pattern), topic.direction, str(topic.qos)]
        if topic.local_prefix or topic.remote_prefix:
            words += [_word(topic.local_prefix), _word(topic.remote_prefix)]
        elif topic.qos == 0:
            words = words[: 1 if topic.direction == "out" else 2]
        self._say("topic", " ".join(words))

    def _waits(self, bridge: Bridge) -> None:
        numbers = [max(1, math.ceil(bridge.restart_first)), max(1, math.ceil(bridge.restart_most))]
        if bridge.restart_stable:
            numbers.append(math.ceil(bridge.restart_stable))
        if numbers != [5, 30]:
            self._say("restart_timeout", " ".join(str(each) for each in numbers))

    def _bridge_tls(self, tls: BridgeTls) -> None:
        if tls.server_name:
            raise self._refuse("bridges.tls.server_name", "nothing like it")
        if len(tls.alpn) > 1:
            raise self._refuse("bridges.tls.alpn", "one protocol to ask for")
        if tls.key_password:
            self._warn("bridges.tls.key_password: Mosquitto asks for it at the terminal")
        if not (tls.ca_file or tls.ca_path or tls.psk):
            self._say("bridge_tls_use_os_certs", True)
        self._say("bridge_cafile", tls.ca_file, unless="")
        self._say("bridge_capath", tls.ca_path, unless="")
        self._say("bridge_certfile", tls.certificate, unless="")
        self._say("bridge_keyfile", tls.key or tls.certificate, unless="")
        self._say("bridge_insecure", tls.insecure, unless=False)
        self._say("bridge_tls_version", f"tlsv{tls.min_version}", unless="tlsv1.2")
        self._say("bridge_ciphers", tls.ciphers, unless="")
        for protocol in tls.alpn:
            self._say("bridge_alpn", protocol)
        self._say("bridge_identity", tls.psk_identity, unless="")
        self._say("bridge_psk", tls.psk, unless="")


def _word(text: str) -> str:
    """A word of a `topic`; in quotes if it is empty or has a space in it."""
    if '"' in text:
        raise ConfigError(f"bridges.topics: mosquitto.conf cannot say {text!r}, with a quote in it")
    return f'"{text}"' if not text or " " in text else text
