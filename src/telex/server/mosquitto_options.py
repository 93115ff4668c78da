"""The options of mosquitto.conf, as Mosquitto 2.1 knows them, and what Telex does with each of them.

``OPTIONS`` is the table of docs/moving-from-mosquitto.md. What is more than a name
and a value is read by ``mosquitto_conf.py`` and ``mosquitto_bridges.py``.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from msgspec import Struct

from telex.codes import MAX_PACKET_ID, NEVER_EXPIRES
from telex.server.config import ConfigError

Outcome = Literal["honoured", "no effect", "refused"]


class Said(Struct, frozen=True):
    """The value of an option, and where it was said: file:line."""

    value: Any
    where: str


class Option(Struct, frozen=True):
    """An option of mosquitto.conf: what may stand behind it, and what Telex does with it."""

    kind: Literal["bool", "int", "text", "word", "special"]
    outcome: Outcome
    note: str  # the setting of telex.toml that it becomes, or why it has no effect or is refused
    words: tuple[str, ...] = ()
    low: int = 0
    high: int = 1 << 62
    as_telex: object = None  # the value with which an option that is not honoured says what Telex does anyway
    scope: Literal["broker", "security", "listener", "bridge"] = "broker"


def _honoured(kind: Any, note: str, **more: Any) -> Option:
    return Option(kind, "honoured", note, **more)


def _needless(kind: Any, note: str, **more: Any) -> Option:
    return Option(kind, "no effect", note, **more)


def _refused(kind: Any, note: str, **more: Any) -> Option:
    return Option(kind, "refused", note, **more)


_SECURITY: Final[dict[str, Any]] = {"scope": "security"}
_LISTENER: Final[dict[str, Any]] = {"scope": "listener"}
_BRIDGE: Final[dict[str, Any]] = {"scope": "bridge"}
_ANY_NUMBER: Final[dict[str, Any]] = {"scope": "bridge", "low": -(1 << 62)}
NO_OTHER_PLUGINS: Final = (
    "the plugins for password files, ACL files and SQLite are built in; others are refused: "
    "instead there are `access.rules`, `access.http`, `access.jwt` and `access.plugins`"
)

OPTIONS: Final[Mapping[str, Option]] = {
    # Who may come in, and what they may do
    "allow_anonymous": _honoured("bool", "`access.allow_anonymous`", **_SECURITY),
    "password_file": _honoured("text", "`access.password_file`", **_SECURITY),
    "acl_file": _honoured("text", "`access.acl_file`", **_SECURITY),
    "psk_file": _honoured("text", "`listeners.psk.file`", **_SECURITY),
    "allow_zero_length_clientid": _honoured("bool", "`limits.allow_empty_client_id`", **_SECURITY),
    "auto_id_prefix": _honoured("text", "`listeners.client_id_prefix`", **_SECURITY),
    "clientid_prefixes": _honoured("text", "`access.client_id_prefixes`"),
    "per_listener_settings": _honoured("bool", "`listeners.access`"),
    "plugin": _honoured("special", NO_OTHER_PLUGINS),
    "auth_plugin": _honoured("special", "as `plugin`"),
    "global_plugin": _honoured("special", "as `plugin`"),
    "plugin_load": _honoured("special", "as `plugin`, with `plugin_use`"),
    "plugin_use": _honoured("special", "as `plugin`, with `plugin_load`"),
    "plugin_opt_*": _honoured(
        "special", "`password_file`, `acl_file`; of SQLite `db_file` (its directory is `data`), `sync` (`durability`)"
    ),
    "auth_opt_*": _honoured("special", "as `plugin_opt_*`"),
    "auth_plugin_deny_special_chars": _needless(
        "bool", "Mosquitto asks it for old plugins only, which are refused", as_telex=True
    ),
    "check_retain_source": _needless(
        "bool",
        "whoever published it, a retained message goes to those who may receive it; "
        "remove it when its publisher is no longer trusted",
        as_telex=False,
    ),
    "enable_control_api": _honoured("bool", "`control`"),
    "user": _honoured("text", "`user`"),
    # Limits
    "global_max_clients": _honoured("int", "`limits.max_sessions`", low=-1),
    "global_max_connections": _honoured("int", "`protection.max_connections`", low=-1),
    "max_inflight_messages": _honoured(
        "int", "`limits.max_inflight_messages` and `limits.receive_maximum`", low=-1, high=MAX_PACKET_ID
    ),
    "max_inflight_bytes": _refused("int", "`max_inflight_messages` limits what is in flight", as_telex=0),
    "max_queued_messages": _honoured("int", "`limits.max_queued_messages`, and that of `bridges`", low=-(1 << 62)),
    "max_queued_bytes": _honoured("int", "`limits.max_queued_bytes`, and that of `bridges`", low=-(1 << 62)),
    "queue_qos0_messages": _refused(
        "bool", "messages of QoS 0 do not wait for absent clients; publish at QoS 1 what has to", as_telex=False
    ),
    "max_packet_size": _honoured("int", "`limits.maximum_packet_size`, at most 256,000,000", low=20),
    "message_size_limit": _honoured("int", "`limits.maximum_payload_size`"),
    "memory_limit": _honoured(
        "int",
        "`limits.max_queue_memory`: for the messages that wait; connections and retained messages come on top",
    ),
    "max_keepalive": _honoured("int", "`limits.maximum_keep_alive`, for clients of MQTT 5", high=65_535),
    "upgrade_outgoing_qos": _refused(
        "bool", "a message is never delivered at more than the QoS that it was published at", as_telex=False
    ),
    "allow_duplicate_messages": _needless("bool", "overlapping subscriptions of a client get one copy", as_telex=False),
    "packet_buffer_size": _needless("int", "buffers grow as they have to"),
    "websockets_headers_size": _needless("int", "headers may have up to 8190 bytes each", high=65_535),
    "set_tcp_nodelay": _needless("bool", "it is always on", as_telex=True),
    "retry_interval": _needless("int", "Mosquitto ignores it as well: MQTT sends again after a reconnect only"),
    # Persistence
    "persistence": _honoured("bool", "`data`: false keeps everything in memory"),
    "retained_persistence": _honoured("bool", "the old name of `persistence`"),
    "persistence_location": _honoured("text", "`data`; mosquitto.db is not read, telex.db stands beside it"),
    "persistence_file": _needless("text", "the file is telex.db"),
    "autosave_interval": _needless("int", "what is acknowledged is on disk already (`durability`)", low=-(1 << 62)),
    "autosave_on_changes": _needless("bool", "what is acknowledged is on disk already (`durability`)"),
    "persistent_client_expiration": _honoured("special", "`limits.maximum_session_expiry`, `limits.v3_session_expiry`"),
    "retain_available": _honoured("bool", "`limits.retain_available`"),
    "retain_expiry_interval": _honoured("int", "`limits.retained_expiry`"),
    # Logging and the rest
    "log_dest": _honoured("special", "`log.to`; `dlt` and `android` are refused"),
    "log_type": _honoured("special", "`log.types`"),
    "log_facility": _honoured("special", "`log.facility`"),
    "log_timestamp": _honoured("bool", "`log.timestamp`"),
    "log_timestamp_format": _honoured("text", "`log.timestamp_format`"),
    "connection_messages": _honoured("bool", "`log.connections`"),
    "websockets_log_level": _needless("int", "`log_type websockets` has no levels", low=-(1 << 62)),
    "sys_interval": _honoured("int", "`sys_interval`", high=65_535),
    "pid_file": _honoured("text", "`pid_file`"),
    "include_dir": _honoured("special", "in the main file only, as in Mosquitto"),
    # Listeners
    "listener": _honoured("special", "`listeners`: `port` and `host`, or `path`"),
    "port": _honoured("special", "a listener of its own, in place of the default one"),
    "bind_address": _honoured("special", "`host` of that listener"),
    "bind_interface": _honoured("text", "`listeners.interface`", **_LISTENER),
    "socket_domain": _honoured("word", "`listeners.family`", words=("ipv4", "ipv6"), **_LISTENER),
    "protocol": _honoured("word", "`listeners.protocol`", words=("mqtt", "websockets", "http_api"), **_LISTENER),
    "accept_protocol_versions": _honoured("special", "`listeners.versions`", **_LISTENER),
    "listener_allow_anonymous": _honoured("bool", "`listeners.access.allow_anonymous`", **_LISTENER),
    "listener_auto_id_prefix": _honoured("text", "`listeners.client_id_prefix`", **_LISTENER),
    "max_connections": _honoured("int", "`listeners.max_connections`", low=-(1 << 62), **_LISTENER),
    "max_qos": _honoured("int", "`listeners.limits.maximum_qos`", high=2, **_LISTENER),
    "maximum_qos": _honoured("int", "the other name of `max_qos`", high=2, **_LISTENER),
    "max_topic_alias": _honoured("int", "`listeners.limits.topic_alias_maximum`", high=65_535, **_LISTENER),
    "max_topic_alias_broker": _honoured("int", "`listeners.limits.topic_alias_maximum_out`", high=65_535, **_LISTENER),
    "mount_point": _honoured("text", "`listeners.mount_point`", **_LISTENER),
    "use_username_as_clientid": _honoured("bool", "`listeners.user_name_is_client_id`", **_LISTENER),
    "http_dir": _honoured("text", "`listeners.http_directory`", **_LISTENER),
    "websockets_origin": _honoured("special", "`listeners.origins`", **_LISTENER),
    "enable_proxy_protocol": _honoured("int", "`listeners.proxy_protocol`", low=1, high=2, **_LISTENER),
    "proxy_protocol_v2_require_tls": _honoured("bool", "`listeners.proxy_requires_tls`", **_LISTENER),
    # TLS
    "cafile": _honoured("text", "`listeners.tls.client_ca`", **_LISTENER),
    "capath": _honoured("text", "`listeners.tls.client_ca`; not beside `cafile`", **_LISTENER),
    "certfile": _honoured("text", "`listeners.tls.certificate`", **_LISTENER),
    "keyfile": _honoured("text", "`listeners.tls.key`", **_LISTENER),
    "require_certificate": _honoured("bool", "`listeners.tls.client_certificates`", **_LISTENER),
    "use_identity_as_username": _honoured(
        "bool", "`listeners.tls.user_from`, `listeners.psk.user_from_identity`", **_LISTENER
    ),
    "use_subject_as_username": _honoured("bool", "`listeners.tls.user_from`", **_LISTENER),
    "crlfile": _honoured("text", "`listeners.tls.crl`", **_LISTENER),
    "ciphers": _honoured("text", "`listeners.tls.ciphers`, `listeners.psk.ciphers`", **_LISTENER),
    "ciphers_tls1.3": _honoured("text", "`listeners.tls.ciphers_1_3`", **_LISTENER),
    "tls_version": _honoured("text", "`listeners.tls.min_version`; TLS 1.0 and 1.1 are refused", **_LISTENER),
    "dhparamfile": _needless("text", "Mosquitto ignores it as well: OpenSSL has its own parameters", **_LISTENER),
    "disable_client_cert_date_checks": _honoured("bool", "`listeners.tls.checks_dates`", **_LISTENER),
    "tls_engine": _refused("text", "Python has no OpenSSL engines; use a key file", **_LISTENER),
    "tls_engine_kpass_sha1": _refused("text", "Python has no OpenSSL engines; use a key file", **_LISTENER),
    "tls_keyform": _refused("text", "Python has no OpenSSL engines; use a key file", as_telex="pem", **_LISTENER),
    "psk_hint": _honoured("text", "`listeners.psk.hint`", **_LISTENER),
    # Bridges
    "connection": _honoured("special", "`bridges`, and its `name`"),
    "address": _honoured("special", "`bridges.addresses`; behind an IPv6 address stands its port", **_BRIDGE),
    "addresses": _honoured("special", "the other name of `address`", **_BRIDGE),
    "topic": _honoured("special", "`bridges.topics`", **_BRIDGE),
    "remote_clientid": _honoured("text", "`bridges.client_id`", **_BRIDGE),
    "clientid": _honoured("text", "the old name of `remote_clientid`", **_BRIDGE),
    "remote_username": _honoured("text", "`bridges.user`", **_BRIDGE),
    "username": _honoured("text", "the old name of `remote_username`", **_BRIDGE),
    "remote_password": _honoured("text", "`bridges.password`", **_BRIDGE),
    "password": _honoured("text", "the old name of `remote_password`", **_BRIDGE),
    "local_clientid": _honoured("text", "`bridges.local_client_id`", **_BRIDGE),
    "local_username": _needless(
        "text",
        "as in Mosquitto, a bridge may do everything here; `bridges.local_user` gives it the rights of a user",
        **_BRIDGE,
    ),
    "local_password": _needless("text", "nobody asks a bridge of this broker for a password", **_BRIDGE),
    "start_type": _honoured("word", "`bridges.start`", words=("automatic", "lazy", "once"), **_BRIDGE),
    "restart_timeout": _honoured(
        "special", "`bridges.restart_first`, `bridges.restart_most`, `bridges.restart_stable`", **_BRIDGE
    ),
    "round_robin": _honoured("bool", "`bridges.round_robin`", **_BRIDGE),
    "threshold": _honoured("int", "`bridges.threshold`, 1 at least", **_ANY_NUMBER),
    "idle_timeout": _honoured("int", "`bridges.idle_timeout`, 1 at least", **_ANY_NUMBER),
    "keepalive_interval": _honoured("int", "`bridges.keep_alive`, 5 at least", high=65_535, **_ANY_NUMBER),
    "cleansession": _honoured("bool", "`bridges.clean_session`", **_BRIDGE),
    "local_cleansession": _honoured("bool", "`bridges.local_clean_session`", **_BRIDGE),
    "try_private": _honoured("bool", "`bridges.try_private`", **_BRIDGE),
    "notifications": _honoured("bool", "`bridges.notifications`", **_BRIDGE),
    "notifications_local_only": _honoured("bool", "`bridges.notifications_local_only`", **_BRIDGE),
    "notification_topic": _honoured("text", "`bridges.notification_topic`", **_BRIDGE),
    "bridge_protocol_version": _honoured(
        "word", "`bridges.version`", words=("mqttv31", "mqttv311", "mqttv50"), **_BRIDGE
    ),
    "bridge_attempt_unsubscribe": _honoured("bool", "`bridges.attempt_unsubscribe`", **_BRIDGE),
    "bridge_outgoing_retain": _honoured("bool", "`bridges.outgoing_retain`", **_BRIDGE),
    "bridge_reload_type": _honoured("word", "`bridges.reload`", words=("lazy", "immediate"), **_BRIDGE),
    "bridge_bind_address": _honoured("text", "`bridges.bind_address`", **_BRIDGE),
    "bridge_max_packet_size": _honoured("int", "`bridges.maximum_packet_size`", **_ANY_NUMBER),
    "bridge_max_topic_alias": _honoured("int", "`bridges.topic_alias_maximum`", high=65_535, **_BRIDGE),
    "bridge_receive_maximum": _honoured("int", "`bridges.receive_maximum`", low=1, high=MAX_PACKET_ID, **_BRIDGE),
    "bridge_session_expiry_interval": _honoured(
        "int", "`bridges.session_expiry_interval`", high=NEVER_EXPIRES, **_BRIDGE
    ),
    "bridge_tcp_keepalive": _honoured("special", "`bridges.tcp_keepalive`", **_BRIDGE),
    "bridge_tcp_user_timeout": _honoured("int", "`bridges.tcp_user_timeout`, in seconds there", low=-1, **_BRIDGE),
    "bridge_cafile": _honoured("text", "`bridges.tls.ca_file`, and addresses begin with `mqtts://`", **_BRIDGE),
    "bridge_capath": _honoured("text", "`bridges.tls.ca_path`, and addresses begin with `mqtts://`", **_BRIDGE),
    "bridge_tls_use_os_certs": _honoured(
        "bool", "addresses begin with `mqtts://`; not beside `bridge_cafile` or `bridge_capath`", **_BRIDGE
    ),
    "bridge_certfile": _honoured("text", "`bridges.tls.certificate`", **_BRIDGE),
    "bridge_keyfile": _honoured("text", "`bridges.tls.key`", **_BRIDGE),
    "bridge_ciphers": _honoured("text", "`bridges.tls.ciphers`", **_BRIDGE),
    "bridge_ciphers_tls1.3": _refused(
        "text",
        "Python cannot choose them; leave it out, and OpenSSL does",
        as_telex="TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256",
        **_BRIDGE,
    ),
    "bridge_tls_version": _honoured("text", "`bridges.tls.min_version`; TLS 1.0 and 1.1 are refused", **_BRIDGE),
    "bridge_insecure": _honoured("bool", "`bridges.tls.insecure`", **_BRIDGE),
    "bridge_alpn": _honoured("text", "`bridges.tls.alpn`", **_BRIDGE),
    "bridge_require_ocsp": _refused("bool", "Python cannot ask for OCSP", as_telex=False, **_BRIDGE),
    "bridge_identity": _honoured("text", "`bridges.tls.psk_identity`", **_BRIDGE),
    "bridge_psk": _honoured("text", "`bridges.tls.psk`, with Python 3.13 and later", **_BRIDGE),
}

OTHER_NAMES: Final[Mapping[str, str]] = {
    "maximum_qos": "max_qos",
    "retained_persistence": "persistence",
    "addresses": "address",
    "clientid": "remote_clientid",
    "username": "remote_username",
    "password": "remote_password",
}
"""Options with two names, and the name under which they are kept."""

_NUMBER: Final = re.compile(r"[+-]?(0[xX][0-9a-fA-F]+|[0-9]+)")


def number(name: str, word: str, low: int, high: int, refuse: Callable[[str], ConfigError]) -> int:
    """The number that a word of a file is.

    Raises:
        ConfigError: it is none, or not in its range; what ``refuse`` makes of that.
    """
    if not _NUMBER.fullmatch(word):
        raise refuse(f"{name}: expected a whole number, found {word!r}")
    digits = word.lstrip("+-")
    base = 16 if digits[:2] in ("0x", "0X") else 8 if digits[0] == "0" else 10  # as strtol has it
    try:
        value = int(digits, base)
    except ValueError:
        raise refuse(f"{name}: {word!r} is no octal number, and a 0 in front makes it one") from None
    value = -value if word.startswith("-") else value
    if not low <= value <= high:
        both = f"{low:,} to {high:,}" if high < 1 << 62 else f"{low:,} or more"
        expected = both if low > -(1 << 62) else f"{high:,} or less"
        raise refuse(f"{name}: {value:,} is not in the range, which is {expected}")
    return value
