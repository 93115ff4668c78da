"""mosquitto.conf files that are wrong, and the line that says so.

``debian`` is what Debian's Mosquitto 2.0 says of the same file: whether it refuses
it as well (True), takes it (False), or does not know the option or cannot be
asked (None).
"""

from dataclasses import dataclass

PLUGINS = (
    "is not supported: the plugins for password files, ACL files and SQLite are built in; others are refused: "
    "instead there are `access.rules`, `access.http`, `access.jwt` and `access.plugins`"
)
L = "listener 18831 127.0.0.1\n"
B = "connection a\naddress 127.0.0.1\n"


@dataclass
class Bad:
    text: str
    refusal: str
    debian: bool | None = True


def at(line: int, text: str, message: str, debian: bool | None = True) -> Bad:
    """A file that is wrong on that line."""
    return Bad(text, f"mosquitto.conf:{line}: {message}", debian)


def booleans() -> list[Bad]:
    names = (
        "allow_anonymous allow_zero_length_clientid queue_qos0_messages upgrade_outgoing_qos allow_duplicate_messages "
        "set_tcp_nodelay persistence retained_persistence autosave_on_changes retain_available log_timestamp "
        "connection_messages use_username_as_clientid require_certificate use_identity_as_username "
        "use_subject_as_username per_listener_settings check_retain_source"
    )
    newer = (
        "enable_control_api listener_allow_anonymous proxy_protocol_v2_require_tls disable_client_cert_date_checks "
        "auth_plugin_deny_special_chars"
    )
    found = []
    for name in names.split() + newer.split():
        message = f"{name}: expected true or false, found 'maybe'"
        found.append(at(2, f"{L}{name} maybe\n", message, None if name in newer.split() else True))
    bridges = (
        "round_robin cleansession local_cleansession try_private notifications notifications_local_only "
        "bridge_attempt_unsubscribe bridge_outgoing_retain bridge_insecure bridge_require_ocsp"
    )
    for name in [*bridges.split(), "bridge_tls_use_os_certs"]:
        message = f"{name}: expected true or false, found 'maybe'"
        found.append(at(3, f"{B}{name} maybe\n", message, True if name in bridges.split() else None))
    return found


def numbers() -> list[Bad]:
    # Mosquitto 2.0 takes any word for a number, often for 0.
    names = (
        "global_max_clients global_max_connections max_inflight_messages max_inflight_bytes max_queued_messages "
        "max_queued_bytes max_packet_size message_size_limit memory_limit max_keepalive packet_buffer_size "
        "websockets_headers_size retry_interval autosave_interval retain_expiry_interval websockets_log_level "
        "sys_interval max_connections max_qos maximum_qos max_topic_alias max_topic_alias_broker enable_proxy_protocol"
    )
    bridges = (
        "threshold idle_timeout keepalive_interval bridge_max_packet_size bridge_max_topic_alias "
        "bridge_receive_maximum bridge_session_expiry_interval bridge_tcp_user_timeout restart_timeout"
    )
    return [
        at(2, f"{L}{name} some\n", f"{name}: expected a whole number, found 'some'", None) for name in names.split()
    ] + [at(3, f"{B}{name} some\n", f"{name}: expected a whole number, found 'some'", None) for name in bridges.split()]


def repeated() -> list[Bad]:
    names = (
        "password_file acl_file psk_file auto_id_prefix clientid_prefixes user persistence_location "
        "log_timestamp_format pid_file bind_interface mount_point http_dir cafile capath certfile keyfile "
        "crlfile ciphers ciphers_tls1.3 psk_hint listener_auto_id_prefix"
    )
    newer = {"listener_auto_id_prefix"}
    return [
        at(
            3,
            f"{L}{name} one\n{name} two\n",
            f"{name} was said already, in mosquitto.conf:2",
            None if name in newer else True,
        )
        for name in names.split()
    ]


def repeated_in_bridges() -> list[Bad]:
    names = (
        "remote_clientid clientid remote_username username remote_password password local_clientid local_username "
        "local_password notification_topic bridge_bind_address bridge_cafile bridge_capath bridge_certfile "
        "bridge_keyfile bridge_alpn bridge_identity bridge_psk"
    )
    return [
        *(
            at(4, f"{B}{name} one\n{name} two\n", f"{name} was said already, in mosquitto.conf:3")
            for name in names.split()
        ),
        *(
            at(4, f"{B}{old} one\n{name} two\n", f"{name} was said already, in mosquitto.conf:3")
            for old, name in [("clientid", "remote_clientid"), ("remote_username", "username")]
        ),
        at(
            3,
            f"{B}addresses 127.0.0.2\n",
            "addresses was said already, in mosquitto.conf:2; several stand in one line",
        ),
    ]


BAD = [
    *booleans(),
    *numbers(),
    *repeated(),
    *repeated_in_bridges(),
    # Unknown names
    at(1, "persistance true\n", "there is no option persistance; did you mean persistence?"),
    at(3, f"{L}\nallow_anonymus true\n", "there is no option allow_anonymus; did you mean allow_anonymous?"),
    at(1, "daemon false\n", "there is no option daemon"),
    at(1, "Listener 1883\n", "there is no option Listener; did you mean listener?"),
    at(1, "zzz\n", "there is no option zzz"),
    at(1, " # a comment\n", "a comment begins with '#' as the first character of its line"),
    at(1, "\tport 1883\n", "there is a tab in or before an option; Mosquitto knows spaces only"),
    at(1, "port\t1883\n", "there is a tab in or before an option; Mosquitto knows spaces only"),
    at(1, "\ufefflistener 1883\n", "there is a byte order mark in or before an option; Mosquitto knows spaces only"),
    at(1, "[listeners]\n", "there is no option [listeners]; did you mean listener?"),
    # Listeners
    at(1, "listener\n", "listener: nothing stands behind it"),
    at(1, "listener 70000\n", "listener: 70,000 is not in the range, which is 0 to 65,535"),
    at(1, "listener -1\n", "listener: -1 is not in the range, which is 0 to 65,535"),
    at(1, "listener 127.0.0.1\n", "listener: expected a whole number, found '127.0.0.1'", None),
    at(1, "listener 0\n", "listener 0 is a Unix socket: its path has to stand behind the 0"),
    at(1, "listener 0 # x\n", "listener 0 is a Unix socket: its path has to stand behind the 0"),
    at(
        2,
        "listener 18831\nlistener 18831 127.0.0.1\n",
        "it wants the same address and port as the listener of mosquitto.conf:1",
        None,
    ),
    at(
        2,
        "listener 18831\nport 18831\n",
        "it wants the same address and port as the listener of mosquitto.conf:1",
        None,
    ),
    at(1, "port 0\n", "port: 0 is not in the range, which is 1 to 65,535"),
    at(1, "port 70000\n", "port: 70,000 is not in the range, which is 1 to 65,535"),
    at(
        2,
        f"{L}protocol websocket\n",
        "protocol: expected mqtt or websockets or http_api, found 'websocket'; did you mean websockets?",
    ),
    at(2, f"{L}socket_domain ipv5\n", "socket_domain: expected ipv4 or ipv6, found 'ipv5'; did you mean ipv6?"),
    at(2, f"{L}max_qos 3\n", "max_qos: 3 is not in the range, which is 0 to 2"),
    at(2, f"{L}maximum_qos -1\n", "maximum_qos: -1 is not in the range, which is 0 to 2"),
    at(2, f"{L}max_topic_alias 65536\n", "max_topic_alias: 65,536 is not in the range, which is 0 to 65,535"),
    at(1, "mount_point a/\n", "mount_point has to stand below a listener"),
    at(2, f"{L}mount_point a/#\n", "mount_point: 'a/#' has a wildcard; it is put in front of topics"),
    at(
        2,
        f"{L}accept_protocol_versions 3,6\n",
        "accept_protocol_versions: expected 3, 4 and 5 with commas between them, found '3,6'",
        None,
    ),
    at(2, f"{L}enable_proxy_protocol 3\n", "enable_proxy_protocol: 3 is not in the range, which is 1 to 2", None),
    at(
        3,
        f"{L}enable_proxy_protocol 1\nproxy_protocol_v2_require_tls true\n",
        "proxy_protocol_v2_require_tls: only version 2 of the PROXY protocol can tell that the client came by TLS",
        None,
    ),
    at(2, f"{L}websockets_origin\n", "websockets_origin: nothing stands behind it", None),
    at(
        2,
        "bind_address 127.0.0.1\nbind_address 127.0.0.1\n",
        "bind_address was said already, in mosquitto.conf:1",
    ),
    # TLS
    at(2, f"{L}certfile c.pem\n", "certfile needs a keyfile beside it; TLS would be off", False),
    at(2, f"{L}keyfile c.pem\n", "keyfile needs a certfile beside it; TLS would be off", False),
    at(2, f"{L}cafile c.pem\n", "cafile needs certfile and keyfile at the same listener; TLS would be off", False),
    at(
        2,
        f"{L}require_certificate true\n",
        "require_certificate needs certfile and keyfile at the same listener; TLS would be off",
        False,
    ),
    at(
        2,
        f"{L}use_identity_as_username true\n",
        "use_identity_as_username needs certfile and keyfile at the same listener; TLS would be off",
        False,
    ),
    at(
        4,
        f"{L}certfile c\nkeyfile k\nuse_subject_as_username true\n",
        "use_subject_as_username needs require_certificate true; nobody could come in",
        None,
    ),
    at(
        4, f"{L}certfile c\nkeyfile k\nrequire_certificate true\n", "require_certificate needs a cafile or capath", None
    ),
    at(
        5,
        f"{L}certfile c\nkeyfile k\ncafile a\ncapath b\n",
        "capath cannot stand beside cafile; put the files into one place",
        None,
    ),
    at(2, f"{L}tls_version tlsv1.1\n", "tls_version: expected tlsv1.2 or tlsv1.3; nothing older is offered", False),
    at(2, f"{L}tls_version 1.2\n", "tls_version: expected tlsv1.2 or tlsv1.3; nothing older is offered", None),
    at(
        2, f"{L}tls_engine pkcs11\n", "tls_engine is not supported: Python has no OpenSSL engines; use a key file", None
    ),
    at(
        2,
        f"{L}tls_engine_kpass_sha1 0123\n",
        "tls_engine_kpass_sha1 is not supported: Python has no OpenSSL engines; use a key file",
        None,
    ),
    at(
        2,
        f"{L}tls_keyform engine\n",
        "tls_keyform is not supported: Python has no OpenSSL engines; use a key file",
        False,
    ),
    at(2, f"{L}psk_hint hint\n", "psk_hint needs a psk_file", False),
    at(
        4,
        f"psk_file psk\n{L}psk_hint hint\ntls_version tlsv1.3\n",
        "keys of a psk_file are for TLS 1.2; expected tlsv1.2",
        None,
    ),
    at(
        3,
        f"psk_file psk\n{L}psk_hint hint\ncertfile c\nkeyfile k\n",
        "psk_hint: a listener has either tls or psk; give each a listener of its own",
        None,
    ),
    at(2, f"{L}dhparamfile\n", "dhparamfile: nothing stands behind it"),
    # Who may come in
    at(
        2,
        "allow_anonymous true\nper_listener_settings true\n",
        "per_listener_settings has to stand before all options that it is about",
    ),
    at(1, "plugin /usr/lib/mosquitto_dynamic_security.so\n", f"/usr/lib/mosquitto_dynamic_security.so {PLUGINS}", None),
    at(1, "auth_plugin /mosquitto/go-auth.so\n", f"/mosquitto/go-auth.so {PLUGINS}", None),
    at(1, "global_plugin x.so\n", f"x.so {PLUGINS}", None),
    at(1, "plugin_load a\n", "plugin_load: expected a name and a path", None),
    at(
        2,
        "plugin_load a mosquitto_acl_file.so\nplugin_load a mosquitto_acl_file.so\n",
        "plugin_load: there is a plugin a already",
        None,
    ),
    at(1, "plugin_use a\n", "plugin_use: there is no plugin_load a above it", None),
    at(1, "plugin_opt_acl_file a\n", "acl_file is an option of a plugin, and there is none above it"),
    at(1, "auth_opt_backends files\n", "backends is an option of a plugin, and there is none above it"),
    at(
        2,
        "plugin mosquitto_acl_file.so\nplugin_opt_alc_file a\n",
        "mosquitto_acl_file has no option alc_file; did you mean acl_file?",
        None,
    ),
    at(2, "plugin mosquitto_acl_file.so\nplugin_opt_acl_file\n", "plugin_opt_acl_file: nothing stands behind it", None),
    at(
        3,
        "plugin mosquitto_acl_file.so\nplugin_opt_acl_file a\nplugin_opt_acl_file b\n",
        "plugin_opt_acl_file was said already, in mosquitto.conf:2",
        None,
    ),
    at(1, "plugin mosquitto_acl_file.so\n", "plugin_opt_acl_file is missing below it", None),
    at(
        2,
        "password_file a\nplugin mosquitto_password_file.so\nplugin_opt_password_file b\n",
        "there is a password_file already, in mosquitto.conf:1",
        None,
    ),
    at(
        2,
        "plugin mosquitto_persist_sqlite.so\nplugin_opt_sync sometimes\n",
        "plugin_opt_sync: expected extra or full or normal or off, found 'sometimes'",
        None,
    ),
    # Limits
    at(
        2,
        f"{L}max_inflight_messages 65536\n",
        "max_inflight_messages: 65,536 is not in the range, which is -1 to 65,535",
    ),
    at(
        2,
        f"{L}max_inflight_bytes 100\n",
        "max_inflight_bytes is not supported: `max_inflight_messages` limits what is in flight",
        False,
    ),
    at(
        2,
        f"{L}queue_qos0_messages true\n",
        "queue_qos0_messages is not supported: messages of QoS 0 do not wait for absent clients; "
        "publish at QoS 1 what has to",
        False,
    ),
    at(
        2,
        f"{L}upgrade_outgoing_qos true\n",
        "upgrade_outgoing_qos is not supported: a message is never delivered at more than the QoS that it was "
        "published at",
        False,
    ),
    at(2, f"{L}max_packet_size 19\n", "max_packet_size: 19 is not in the range, which is 20 or more"),
    at(2, f"{L}message_size_limit -1\n", "message_size_limit: -1 is not in the range, which is 0 or more"),
    at(2, f"{L}memory_limit -1\n", "memory_limit: -1 is not in the range, which is 0 or more"),
    at(2, f"{L}max_keepalive 65536\n", "max_keepalive: 65,536 is not in the range, which is 0 to 65,535"),
    at(
        2,
        f"{L}websockets_headers_size 65536\n",
        "websockets_headers_size: 65,536 is not in the range, which is 0 to 65,535",
    ),
    at(2, f"{L}max_connections 09\n", "max_connections: '09' is no octal number, and a 0 in front makes it one", None),
    # Persistence
    at(
        2,
        f"{L}persistent_client_expiration 3\n",
        "persistent_client_expiration: expected a number and h, d, w, m or y behind it (14d), found '3'",
    ),
    at(
        2,
        f"{L}persistent_client_expiration 0d\n",
        "persistent_client_expiration: expected a number and h, d, w, m or y behind it (14d), found '0d'",
    ),
    at(
        2,
        f"{L}persistent_client_expiration 3 d\n",
        "persistent_client_expiration: expected a number and h, d, w, m or y behind it (14d), found '3'",
    ),
    at(
        2,
        f"{L}retain_expiry_interval -1\n",
        "retain_expiry_interval: -1 is not in the range, which is 0 or more",
        None,
    ),
    at(2, f"{L}persistence_file\n", "persistence_file: nothing stands behind it"),
    # Logging and the rest
    at(
        1,
        "log_dest stdot\n",
        "log_dest: expected one of stdout, stderr, syslog, topic, file, none, found 'stdot'; did you mean stdout?",
    ),
    at(1, "log_dest file\n", "log_dest file: the path of the file is missing"),
    at(2, "log_dest file a\nlog_dest file b\n", "log_dest file: there is one already, and there can be only one"),
    at(
        1,
        "log_dest dlt\n",
        "log_dest dlt is not supported: expected one of stdout, stderr, syslog, topic, file, none",
        False,
    ),
    at(
        1,
        "log_dest android\n",
        "log_dest android is not supported: expected one of stdout, stderr, syslog, topic, file, none",
        None,
    ),
    at(
        1,
        "log_type errors\n",
        "log_type: expected error or warning or notice or information or debug or subscribe or unsubscribe or internal "
        "or websockets or all or none, found 'errors'; did you mean error?",
    ),
    at(1, "log_facility 8\n", "log_facility: 8 is not in the range, which is 0 to 7"),
    at(1, "log_facility local0\n", "log_facility: expected a whole number, found 'local0'", None),
    at(1, "sys_interval -1\n", "sys_interval: -1 is not in the range, which is 0 to 65,535"),
    at(1, "sys_interval 65536\n", "sys_interval: 65,536 is not in the range, which is 0 to 65,535"),
    at(1, "include_dir nowhere\n", "include_dir: nowhere cannot be read: No such file or directory"),
    # Bridges
    at(1, "address 127.0.0.1\n", "address belongs to a bridge, and there is no connection above it"),
    at(1, "bridge_cafile x\n", "bridge_cafile belongs to a bridge, and there is no connection above it"),
    at(1, "topic # out\n", "topic belongs to a bridge, and there is no connection above it"),
    at(1, "connection\n", "connection: nothing stands behind it"),
    at(3, f"{B}connection a\n", "connection: there is a a already, in mosquitto.conf:1"),
    at(2, "connection a\naddress\n", "address: nothing stands behind it"),
    at(2, "connection a\naddress # none\n", "address: nothing stands behind it"),
    at(2, "connection a\naddress localhost:0\n", "address: '0' is no port, expected a number from 1 to 65535"),
    at(2, "connection a\naddress localhost:x\n", "address: 'x' is no port, expected a number from 1 to 65535"),
    at(2, "connection a\naddress a:65536\n", "address: '65536' is no port, expected a number from 1 to 65535"),
    at(
        2,
        "connection a\naddress ::1\n",
        "address: expected a host like broker.example.org:1883, found '::1'; behind an IPv6 address stands its port, "
        "::1:1883",
        False,
    ),
    at(2, "connection a\naddress :1883\n", "address: expected a host, like mqtt://localhost", None),
    at(
        2,
        "connection a\naddress mqtts://localhost\n",
        "address: expected a host like broker.example.org:1883, found 'mqtts://localhost'; telex.toml has others",
    ),
    at(3, f"{B}topic\n", "topic: nothing stands behind it"),
    at(3, f"{B}topic a both 3\n", "topic: expected 0, 1 or 2 as QoS, found '3'"),
    at(3, f"{B}topic a both -1\n", "topic: expected 0, 1 or 2 as QoS, found '-1'"),
    at(3, f"{B}topic a both one\n", "topic: expected 0, 1 or 2 as QoS, found 'one'", False),
    at(
        3,
        f"{B}topic a inn\n",
        "topic: expected out or in or both behind the pattern, found 'inn'; did you mean in?",
    ),
    at(3, f"{B}topic a b both\n", "topic: expected out or in or both behind the pattern, found 'b'"),
    at(
        3,
        f'{B}topic "a b both\n',
        "topic: a word that begins with a quote ends with one, and a space follows",
    ),
    at(3, f"{B}topic a/#/b\n", "topic: topic filter 'a/#/b': '#' must be the last level [MQTT-4.7.1-1]", False),
    at(
        3,
        f"{B}topic # both 1 l r/\n",
        "topic: local prefix: with the pattern behind it, topic filter 'l#': '#' must be the last level "
        "[MQTT-4.7.1-1]; a prefix ends with / if levels follow",
    ),
    at(
        3,
        f"{B}topic # both 1 l/ r\n",
        "topic: remote prefix: with the pattern behind it, topic filter 'r#': '#' must be the last level "
        "[MQTT-4.7.1-1]; a prefix ends with / if levels follow",
    ),
    at(
        3,
        f"{B}topic a both 1 l/# r/\n",
        "topic: local prefix: 'l/#' has a wildcard; it is put in front of topics",
    ),
    at(
        3,
        f"{B}topic a both 1 l/ r/+\n",
        "topic: remote prefix: 'r/+' has a wildcard; it is put in front of topics",
    ),
    *(
        at(
            3,
            f'{B}topic "" {rest}\n',
            "topic: it has no pattern; then local_prefix and remote_prefix are the topic here and there, and both are "
            "needed",
        )
        for rest in ('both 1 l ""', 'both 1 "" r', 'both 1 "" ""', "both 1 l", "out")
    ),
    at(
        3,
        f"{B}topic $share/g/a in\n",
        "topic: '$share/g/a' is a shared subscription, which gets a part of the messages only",
        False,
    ),
    at(3, f"{B}start_type manual\n", "start_type: expected automatic or lazy or once, found 'manual'"),
    at(
        3,
        f"{B}start_type LAZY\n",
        "start_type: expected automatic or lazy or once, found 'LAZY'",
    ),
    at(
        3,
        f"{B}restart_timeout 10 5\n",
        "restart_timeout: the longest wait, 5, is less than the shortest, 10",
    ),
    at(
        3,
        f"{B}keepalive_interval 70000\n",
        "keepalive_interval: 70,000 is not in the range, which is 65,535 or less",
    ),
    at(
        3,
        f"{B}bridge_protocol_version mqttv5\n",
        "bridge_protocol_version: expected mqttv31 or mqttv311 or mqttv50, found 'mqttv5'; did you mean mqttv50?",
    ),
    at(
        3,
        f"{B}bridge_reload_type now\n",
        "bridge_reload_type: expected lazy or immediate, found 'now'",
        None,
    ),
    at(
        3,
        f"{B}bridge_receive_maximum 0\n",
        "bridge_receive_maximum: 0 is not in the range, which is 1 to 65,535",
        None,
    ),
    at(
        3,
        f"{B}bridge_tcp_keepalive 60 10\n",
        "bridge_tcp_keepalive: expected three numbers: seconds of silence, seconds between two questions, questions",
        None,
    ),
    at(
        3,
        f"{B}bridge_tcp_keepalive 60 10 128\n",
        "bridge_tcp_keepalive: 128 is not in the range, which is 1 to 127",
        None,
    ),
    at(
        4,
        f"{B}topic a\nremote_password x\n",
        "remote_password: MQTT 3.1.1 knows no password without a user name; give user",
        False,
    ),
    at(
        4,
        f"{B}topic a\nnotification_topic a/#\n",
        "notification_topic: whether it is connected cannot be published: topic name 'a/#': '+' and '#' are for "
        "filters only [MQTT-3.3.2-2]",
        False,
    ),
    # A certificate or a key
    *(
        at(
            4,
            f"{B}{one} 12\n{other} 34\n",
            f"{other}: there is {one}, too: a bridge has either certificates or a pre-shared key",
        )
        for one, other in [
            ("bridge_cafile", "bridge_identity"),
            ("bridge_capath", "bridge_psk"),
            ("bridge_identity", "bridge_certfile"),
            ("bridge_psk", "bridge_keyfile"),
        ]
    ),
    *(
        at(
            4,
            f"{B}topic a\n{line}\n",
            f"{line.split()[0]} needs bridge_cafile, bridge_capath, bridge_tls_use_os_certs true or bridge_psk; "
            "TLS would be off",
            debian,
        )
        for line, debian in [
            ("bridge_certfile c.pem", False),
            ("bridge_keyfile k.pem", False),
            ("bridge_insecure true", False),
            ("bridge_alpn mqtt", False),
            ("bridge_tls_version tlsv1.3", False),
            ("bridge_ciphers HIGH", None),
        ]
    ),
    at(
        3,
        f"{B}bridge_tls_version tlsv1.1\n",
        "bridge_tls_version: expected tlsv1.2 or tlsv1.3; nothing older is offered",
        False,
    ),
    at(
        5,
        f"{B}topic a\nbridge_cafile c\nbridge_tls_use_os_certs true\n",
        "bridge_tls_use_os_certs: there is bridge_cafile, too: expected one of them",
        None,
    ),
    at(
        5,
        f"{B}topic a\nbridge_cafile c\nbridge_keyfile k\n",
        "bridge_keyfile: it needs certificate, the file of the certificate that it belongs to",
        False,
    ),
    at(
        5,
        f"{B}topic a\nbridge_identity i\nbridge_psk xyz\n",
        "bridge_psk: expected the key in pairs of hexadecimal digits, 512 at most",
        False,
    ),
    at(
        6,
        f"{B}topic a\nbridge_identity i\nbridge_psk 12\nbridge_tls_version tlsv1.3\n",
        'bridge_tls_version: pre-shared keys are for TLS 1.2; expected "1.2"',
        False,
    ),
    at(
        3,
        f"{B}bridge_require_ocsp true\n",
        "bridge_require_ocsp is not supported: Python cannot ask for OCSP",
        False,
    ),
    at(
        3,
        f"{B}bridge_ciphers_tls1.3 TLS_AES_128_GCM_SHA256\n",
        "bridge_ciphers_tls1.3 is not supported: Python cannot choose them; leave it out, and OpenSSL does",
        None,
    ),
    # What Mosquitto finds at the end of the file: UNFINISHED in test_debian.py
    at(1, "connection a\ntopic a\n", "address is missing below it", None),
    at(1, B, "topic is missing below it; the bridge would carry nothing", None),
    at(4, f"{B}topic a\nbridge_psk 12\n", "bridge_psk needs bridge_identity beside it", None),
    at(4, f"{B}topic a\nbridge_identity i\n", "bridge_identity needs bridge_psk beside it", None),
    at(
        8,
        f"{B}topic a\nlocal_clientid x\nconnection b\naddress 127.0.0.1\ntopic a\nlocal_clientid x\n",
        "local_clientid: the session of the connection of mosquitto.conf:1 here has the client id 'x', too; give each "
        "its own",
        None,
    ),
    at(
        1,
        "connection a/+\naddress 127.0.0.1\ntopic a\n",
        "connection: whether it is connected cannot be published: topic name '$SYS/broker/connection/HOST.a/+/state': "
        "'+' and '#' are for filters only [MQTT-3.3.2-2]; give a notification_topic, or notifications = false",
        None,
    ),
]
