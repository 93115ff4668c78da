"""mosquitto.conf files that people have, and what Telex makes of them.

Each is its text, what the description says where (``listeners[0].port``), and
what warnings say. ``{dir}`` is the folder of the test, where there are
`passwords`, `acl`, `psk`, `ca.crt`, `server.crt`, `server.key`, `list.crl` and
`www/`. Those that Debian's Mosquitto 2.0 cannot read say so.
"""

from dataclasses import dataclass, field
from typing import Any

from telex.codes import NEVER_EXPIRES
from telex.server.config import BridgeTls, BridgeTopic, TcpKeepalive

ANY = 1 << 40
DAY = 86_400


@dataclass
class Good:
    name: str
    text: str
    says: dict[str, Any]
    warns: list[str] = field(default_factory=list)
    since: str = "2.0"  # the Mosquitto that can read it


GOOD = [
    # As people have them
    Good(
        "an empty file",
        "",
        {
            "listeners[0].host": "localhost",
            "listeners[0].port": 1883,
            "access.allow_anonymous": True,
            "data": "",
            "user": "mosquitto",
            "durability": "strict",
            "sys_interval": 10,
            "control": False,
            "log.to": ["stderr"],
            "log.format": "mosquitto",
            "log.types": ["error", "warning", "notice", "information"],
            "limits.max_inflight_messages": 20,
            "limits.receive_maximum": 20,
            "limits.topic_alias_maximum": 10,
            "limits.topic_alias_maximum_out": 10,
            "limits.v3_session_expiry": NEVER_EXPIRES,
            "limits.max_sessions": ANY,
            "limits.max_subscriptions": ANY,
            "limits.max_queued_bytes": ANY,
            "limits.max_queue_memory": ANY,
            "limits.max_retained_messages": ANY,
        },
    ),
    Good(
        "the mosquitto.conf of Debian",
        """\
# Place your local configuration in /etc/mosquitto/conf.d/
#
# A full description of the configuration file is at
# /usr/share/doc/mosquitto/examples/mosquitto.conf.example

pid_file {dir}/mosquitto.pid

persistence true
persistence_location {dir}/lib/

log_dest file {dir}/mosquitto.log

include_dir {dir}/conf.d
""",
        {
            "pid_file": "{dir}/mosquitto.pid",
            "data": "{dir}/lib",
            "log.to": ["file:{dir}/mosquitto.log"],
            "listeners[0].host": "",
            "listeners[0].port": 18831,
            "listeners[1].protocol": "websocket",
            "access.allow_anonymous": False,
            "access.password_file": "{dir}/passwords",
            "access.acl_file": "{dir}/acl",
        },
    ),
    Good(
        "the docker image's, opened up",
        """\
persistence true
persistence_location {dir}/lib/
log_dest stdout
listener 18831
allow_anonymous true
""",
        {
            "data": "{dir}/lib",
            "log.to": ["stdout"],
            "listeners[0].port": 18831,
            "listeners[0].host": "",
            "access.allow_anonymous": True,
            "limits": {
                "receive_maximum": 20,
                "max_inflight_messages": 20,
                "topic_alias_maximum": 10,
                "topic_alias_maximum_out": 10,
                "v3_session_expiry": NEVER_EXPIRES,
                "max_sessions": ANY,
                "max_subscriptions": ANY,
                "max_queued_bytes": ANY,
                "max_retained_messages": ANY,
                "max_retained_bytes": ANY,
            },
        },
    ),
    Good(
        "Home Assistant's add-on, without its plugin",
        """\
protocol mqtt
user root
log_dest stdout
log_type error
log_type warning
log_type notice
log_type information
log_timestamp_format %Y-%m-%d %H:%M:%S
persistence true
persistence_location {dir}/lib/

# Authentication
password_file {dir}/passwords
listener 18831
protocol mqtt

listener 18884
protocol websockets

listener 18883
protocol mqtt
cafile {dir}/ca.crt
certfile {dir}/server.crt
keyfile {dir}/server.key
require_certificate false

listener 18885
protocol websockets
cafile {dir}/ca.crt
certfile {dir}/server.crt
keyfile {dir}/server.key
require_certificate false
""",
        {
            "user": "root",
            "log.to": ["stdout"],
            "log.types": ["error", "warning", "notice", "information"],
            "log.timestamp_format": "%Y-%m-%d %H:%M:%S",
            "listeners[0].protocol": "mqtt",
            "listeners[1].protocol": "websocket",
            "listeners[2].tls.certificate": "{dir}/server.crt",
            "listeners[2].tls.key": "{dir}/server.key",
            "listeners[2].tls.client_ca": "{dir}/ca.crt",
            "listeners[2].tls.client_certificates": "no",
            "listeners[3].protocol": "websocket",
            "listeners[3].tls.certificate": "{dir}/server.crt",
        },
    ),
    Good(
        "zigbee2mqtt's and Frigate's docker-compose",
        "listener 18831 0.0.0.0\nlistener 19001\nprotocol websockets\nallow_anonymous true\n",
        {"listeners[0].host": "0.0.0.0", "listeners[1].protocol": "websocket", "access.allow_anonymous": True},
    ),
    Good(
        "password file and ACL file",
        "per_listener_settings false\nlistener 18831\npassword_file {dir}/passwords\nacl_file {dir}/acl\n",
        {
            "access.password_file": "{dir}/passwords",
            "access.acl_file": "{dir}/acl",
            "access.allow_anonymous": False,
            "listeners[0].access": None,
        },
    ),
    Good(
        "everything behind a '#' note",
        "allow_anonymous true # for now\nlistener 18831 127.0.0.1 # only here\nmax_connections 5 # few\nmax_qos 1 x\n",
        {
            "access.allow_anonymous": True,
            "listeners[0].host": "127.0.0.1",
            "listeners[0].max_connections": 5,
            "listeners[0].limits.maximum_qos": 1,
        },
    ),
    Good(
        "lines as Windows has them, spaces, and no end of the last line",
        "listener   18831    127.0.0.1  \r\n   \r\n\r\n  allow_anonymous   true\r\nmax_connections 7",
        {"listeners[0].host": "127.0.0.1", "access.allow_anonymous": True, "listeners[0].max_connections": 7},
    ),
    Good(
        "certificates of clients",
        """\
listener 18883
cafile {dir}/ca.crt
certfile {dir}/server.crt
keyfile {dir}/server.key
require_certificate true
use_identity_as_username true
crlfile {dir}/list.crl
tls_version tlsv1.3
ciphers HIGH:!aNULL
ciphers_tls1.3 TLS_AES_256_GCM_SHA384
""",
        {
            "listeners[0].tls.client_certificates": "required",
            "listeners[0].tls.client_ca": "{dir}/ca.crt",
            "listeners[0].tls.user_from": "cn",
            "listeners[0].tls.crl": "{dir}/list.crl",
            "listeners[0].tls.min_version": "1.3",
            "listeners[0].tls.ciphers": "HIGH:!aNULL",
            "listeners[0].tls.ciphers_1_3": "TLS_AES_256_GCM_SHA384",
            "listeners[0].tls.checks_dates": True,
        },
    ),
    Good(
        "certificates of clients, by their subjects",
        """\
listener 18883
capath {dir}/www
certfile {dir}/server.crt
keyfile {dir}/server.key
tls_keyform pem
tls_version tlsv1.2
require_certificate true
use_subject_as_username true
disable_client_cert_date_checks true
dhparamfile {dir}/dh.pem
""",
        {
            "listeners[0].tls.client_ca": "{dir}/www",
            "listeners[0].tls.user_from": "subject",
            "listeners[0].tls.min_version": "1.2",
            "listeners[0].tls.checks_dates": False,
        },
        ["conf:10: dhparamfile has no effect"],
        since="2.1",
    ),
    Good(
        "keys that both ends know",
        "psk_file {dir}/psk\nlistener 18883\npsk_hint hint\nuse_identity_as_username true\nciphers PSK\n",
        {
            "listeners[0].psk.file": "{dir}/psk",
            "listeners[0].psk.hint": "hint",
            "listeners[0].psk.user_from_identity": True,
            "listeners[0].psk.ciphers": "PSK",
            "listeners[0].tls": None,
        },
    ),
    Good(
        "a Unix socket",
        "listener 0 {dir}/mqtt.sock # here\n",
        {"listeners[0].path": "{dir}/mqtt.sock", "listeners[0].host": "", "access.allow_anonymous": False},
    ),
    # Listeners
    Good(
        "the old words for one listener",
        "port 18831\nbind_address 127.0.0.1\n",
        {"listeners[0].port": 18831, "listeners[0].host": "127.0.0.1", "access.allow_anonymous": False},
    ),
    Good(
        "the last port counts",
        "port 18831\nport 18832\n",
        {"listeners[0].port": 18832},
        ["conf:2: port was said already, in {dir}/mosquitto.conf:1; this one counts"],
    ),
    Good(
        "an address alone",
        "bind_address 127.0.0.1\n",
        {"listeners[0].port": 1883, "listeners[0].host": "127.0.0.1", "access.allow_anonymous": False},
    ),
    Good(
        "a listener beside the default one",
        "listener 18831\nport 18832\n",
        {"listeners[0].port": 18831, "listeners[1].port": 18832},
    ),
    Good(
        "what stands before the first listener opens the default one",
        "protocol websockets\nlistener 18831\n",
        {"listeners[0].protocol": "mqtt", "listeners[1].port": 1883, "listeners[1].protocol": "websocket"},
        ["conf:1: protocol stands before the first listener, so it is about the default listener, which is opened on"],
    ),
    Good(
        "what says nothing does not open the default listener",
        "protocol mqtt\nmax_connections -1\nmax_topic_alias 5\nlistener 18831\n",
        {"listeners[0].port": 18831, "listeners[0].limits.topic_alias_maximum": None},
        [
            "conf:3: max_topic_alias stands before the first listener, so it is about none of them",
        ],
    ),
    Good(
        "the default listener on all addresses is not open to everybody unless somebody says so",
        "socket_domain ipv4\n",
        {"listeners[0].host": "", "listeners[0].family": "ipv4", "access.allow_anonymous": False},
    ),
    Good(
        "listeners have their own settings",
        """\
listener 18831 127.0.0.1
bind_interface lo
socket_domain ipv4
max_connections 10
max_qos 1
max_topic_alias 3
mount_point inside/
use_username_as_clientid true
listener 18832
socket_domain ipv6
maximum_qos 0
max_connections -1
""",
        {
            "listeners[0].interface": "lo",
            "listeners[0].family": "ipv4",
            "listeners[0].max_connections": 10,
            "listeners[0].limits.maximum_qos": 1,
            "listeners[0].limits.topic_alias_maximum": 3,
            "listeners[0].limits.topic_alias_maximum_out": None,
            "listeners[0].mount_point": "inside/",
            "listeners[0].user_name_is_client_id": True,
            "listeners[1].family": "ipv6",
            "listeners[1].limits.maximum_qos": 0,
            "listeners[1].max_connections": None,
            "listeners[1].mount_point": "",
        },
    ),
    Good(
        "what listeners have since 2.1",
        """\
listener 18831
accept_protocol_versions 4, 5
listener_allow_anonymous true
listener_auto_id_prefix guest-
max_topic_alias_broker 0
listener 18832
protocol websockets
websockets_origin https://one.example
websockets_origin https://two.example
http_dir {dir}/www
listener 19883 127.0.0.1
protocol http_api
http_dir {dir}/www
""",
        {
            "listeners[0].versions": ["3.1.1", "5.0"],
            "listeners[0].access.allow_anonymous": True,
            "listeners[0].client_id_prefix": "guest-",
            "listeners[0].limits.topic_alias_maximum_out": 0,
            "listeners[1].origins": ["https://one.example", "https://two.example"],
            "listeners[1].http_directory": "{dir}/www",
            "listeners[1].access": None,
            "listeners[1].versions": ["3.1", "3.1.1", "5.0"],
            "listeners[2].protocol": "http_api",
            "listeners[2].http_directory": "{dir}/www",
            "access.allow_anonymous": False,
        },
        since="2.1",
    ),
    Good(
        "behind a proxy",
        """\
listener 18831
enable_proxy_protocol 2
proxy_protocol_v2_require_tls true
listener 18832
enable_proxy_protocol 1
""",
        {
            "listeners[0].proxy_protocol": "2",
            "listeners[0].proxy_requires_tls": True,
            "listeners[1].proxy_protocol": "1",
            "listeners[1].proxy_requires_tls": False,
        },
        since="2.1",
    ),
    Good(
        "a web page beside MQTT",
        """\
listener 18831
protocol websockets
http_dir {dir}/www
websockets_headers_size 8192
websockets_log_level 3
""",
        {"listeners[0].http_directory": "{dir}/www"},
        ["conf:4: websockets_headers_size has no effect", "conf:5: websockets_log_level has no effect"],
    ),
    Good(
        "a web page where there is no web",
        "listener 18831\nhttp_dir {dir}/www\nwebsockets_origin https://x.example\n",
        {"listeners[0].http_directory": "", "listeners[0].origins": []},
        ["conf:2: http_dir has no effect with protocol mqtt", "conf:3: websockets_origin has no effect with"],
        since="2.1",
    ),
    # Who may come in
    Good(
        "every listener for itself",
        """\
per_listener_settings true
listener 18831 127.0.0.1
allow_anonymous true
auto_id_prefix local-
listener 18832
password_file {dir}/passwords
acl_file {dir}/acl
allow_zero_length_clientid false
""",
        {
            "listeners[0].access.allow_anonymous": True,
            "listeners[0].access.password_file": "",
            "listeners[0].client_id_prefix": "local-",
            "listeners[0].limits.allow_empty_client_id": None,
            "listeners[1].access.allow_anonymous": False,
            "listeners[1].access.password_file": "{dir}/passwords",
            "listeners[1].access.acl_file": "{dir}/acl",
            "listeners[1].client_id_prefix": "auto-",
            "listeners[1].limits.allow_empty_client_id": False,
            "access.allow_anonymous": False,
        },
    ),
    Good(
        "every listener for itself, and a line in the wrong place",
        "per_listener_settings true\nallow_anonymous true\nlistener 18831\n",
        {"listeners[0].access.allow_anonymous": False, "access.allow_anonymous": False},
        ["conf:2: allow_anonymous stands before the first listener, so it is about none of them"],
    ),
    Good(
        "client ids",
        "listener 18831\nallow_zero_length_clientid false\nauto_id_prefix telex-\nclientid_prefixes secure-\n",
        {
            "limits.allow_empty_client_id": False,
            "listeners[0].client_id_prefix": "telex-",
            "access.client_id_prefixes": ["secure-"],
        },
    ),
    Good(
        "a password file for this machine only leaves the door open, as in Mosquitto",
        "password_file {dir}/passwords\n",
        {"listeners[0].host": "localhost", "access.allow_anonymous": True},
    ),
    Good(
        "a closed door for this machine only",
        "allow_anonymous 0\n",
        {"listeners[0].host": "localhost", "access.allow_anonymous": False},
    ),
    Good(
        "the plugins of Mosquitto 2.1 that are part of Telex",
        """\
listener 18831
plugin /usr/lib/mosquitto_password_file.so
plugin_opt_password_file {dir}/passwords
auth_plugin /usr/lib/x86_64-linux-gnu/mosquitto_acl_file.so
auth_opt_acl_file {dir}/acl
auth_plugin_deny_special_chars true
global_plugin mosquitto_persist_sqlite.so
plugin_opt_db_file {dir}/lib/mosquitto.sqlite3
plugin_opt_sync normal
plugin_opt_flush_period 10
plugin_opt_page_size 8192
""",
        {
            "access.password_file": "{dir}/passwords",
            "access.acl_file": "{dir}/acl",
            "data": "{dir}/lib",
            "durability": "relaxed",
        },
        ["conf:10: plugin_opt_flush_period has no effect", "conf:11: plugin_opt_page_size has no effect"],
        since="2.1",
    ),
    Good(
        "plugins by name",
        """\
per_listener_settings true
plugin_load users /usr/lib/mosquitto_password_file.so
plugin_opt_password_file {dir}/passwords
plugin_load store mosquitto_persist_sqlite
plugin_use store
plugin_opt_sync extra
persistence_location {dir}/lib
listener 18831
plugin_use users
""",
        {
            "listeners[0].access.password_file": "{dir}/passwords",
            "durability": "strict",
            "data": "{dir}/lib",
        },
        since="2.1",
    ),
    Good(
        "a plugin for all listeners",
        """\
per_listener_settings true
global_plugin mosquitto_acl_file.so
plugin_opt_acl_file {dir}/acl
listener 18831
allow_anonymous true
""",
        {"listeners[0].access.acl_file": "{dir}/acl", "listeners[0].access.allow_anonymous": True},
        since="2.1",
    ),
    # Limits
    Good(
        "all limits",
        """\
listener 18831
max_inflight_messages 50
max_inflight_bytes 0
max_queued_messages 5000
max_queued_bytes 1000000
queue_qos0_messages false
max_packet_size 65536
message_size_limit 4096
max_keepalive 600
upgrade_outgoing_qos false
""",
        {
            "limits.max_inflight_messages": 50,
            "limits.receive_maximum": 50,
            "limits.max_queued_messages": 5_000,
            "limits.max_queued_bytes": 1_000_000,
            "limits.maximum_packet_size": 65_536,
            "limits.maximum_payload_size": 4_096,
            "limits.maximum_keep_alive": 600,
        },
    ),
    Good(
        "all limits of 2.1",
        """\
listener 18831
max_packet_size 0x10000
global_max_clients 500
global_max_connections 400
max_keepalive 0
retain_expiry_interval 90
""",
        {
            "limits.retained_expiry": 5_400,
            "limits.maximum_packet_size": 65_536,
            "limits.max_sessions": 500,
            "protection.max_connections": 400,
        },
        since="2.1",
    ),
    Good(
        "no limits",
        """\
listener 18831
max_inflight_messages 0
max_queued_messages 0
max_queued_bytes 0
message_size_limit 0
""",
        {
            "limits.max_inflight_messages": 65_535,
            "limits.receive_maximum": 65_535,
            "limits.max_queued_messages": ANY,
            "limits.max_queued_bytes": ANY,
        },
    ),
    Good(
        "no limits of 2.1",
        "listener 18831\nglobal_max_clients -1\nglobal_max_connections -1\nmemory_limit 0\n",
        {"limits.max_sessions": ANY, "protection.max_connections": 0, "limits.max_queue_memory": ANY},
        since="2.1",
    ),
    Good(
        "a packet size that is as good as none",
        "listener 18831\nmax_packet_size 268435455\n",
        {"limits.maximum_packet_size": 256_000_000},
        ["conf:2: max_packet_size is 256,000,000, the most that Telex can handle"],
    ),
    Good(
        "memory",
        "listener 18831\nmemory_limit 100000000\n",
        {"limits.max_queue_memory": 100_000_000},
        ["conf:2: memory_limit is for the messages that wait; connections and retained messages come on top"],
    ),
    Good(
        "what needs no option in Telex",
        """\
listener 18831
allow_duplicate_messages true
set_tcp_nodelay false
retry_interval 20
check_retain_source true
persistence_file other.db
autosave_interval 60
autosave_on_changes true
""",
        {"data": ""},
        [
            "conf:2: allow_duplicate_messages has no effect: overlapping subscriptions of a client get one copy",
            "conf:3: set_tcp_nodelay has no effect: it is always on",
            "conf:4: retry_interval has no effect",
            "conf:5: check_retain_source has no effect",
            "conf:6: persistence_file has no effect: the file is telex.db",
            "conf:7: autosave_interval has no effect",
            "conf:8: autosave_on_changes has no effect",
        ],
    ),
    Good(
        "what says what Telex does anyway",
        "listener 18831\nallow_duplicate_messages false\nset_tcp_nodelay true\ncheck_retain_source false\n",
        {},
    ),
    Good(
        "what needs no option in Telex, of 2.1",
        "listener 18831\npacket_buffer_size 8192\n",
        {},
        ["conf:2: packet_buffer_size has no effect: buffers grow as they have to"],
        since="2.1",
    ),
    # Persistence
    Good(
        "sessions that are forgotten",
        "listener 18831\npersistent_client_expiration 2m # two months\n",
        {"limits.maximum_session_expiry": 60 * DAY, "limits.v3_session_expiry": 60 * DAY},
    ),
    *(
        Good(
            f"sessions that are forgotten after {period}",
            f"listener 18831\npersistent_client_expiration {period}\n",
            {"limits.maximum_session_expiry": seconds, "limits.v3_session_expiry": seconds},
        )
        for period, seconds in [("36h", 36 * 3_600), ("14d", 14 * DAY), ("1w", 7 * DAY), ("1y", 365 * DAY)]
    ),
    Good(
        "sessions that are as good as never forgotten",
        "listener 18831\npersistent_client_expiration 200y\n",
        {"limits.v3_session_expiry": NEVER_EXPIRES},
    ),
    Good(
        "the old name of persistence, in the current directory",
        "listener 18831\nretained_persistence true\nretain_available false\n",
        {"data": "{cwd}", "limits.retain_available": False, "limits.max_retained_bytes": ANY},
    ),
    # Logging and the rest
    Good(
        "logging everywhere",
        """\
listener 18831
log_dest stdout
log_dest syslog
log_dest topic
log_dest topic
log_dest file {dir}/with a space.log
log_type all
log_facility 3
log_timestamp false
connection_messages false
sys_interval 0
""",
        {
            "log.to": ["stdout", "syslog", "topic", "file:{dir}/with a space.log"],
            "log.types": ["all"],
            "log.facility": "local3",
            "log.timestamp": False,
            "log.connections": False,
            "sys_interval": 0,
        },
    ),
    Good(
        "logging nowhere",
        "listener 18831\nlog_dest stdout\nlog_dest none\nlog_type error\nlog_type none\n",
        {"log.to": [], "log.types": []},
    ),
    Good(
        "logging of subscriptions",
        """\
listener 18831
log_type none
log_type subscribe
log_type unsubscribe
log_type debug
log_type websockets
""",
        {"log.types": ["subscribe", "unsubscribe", "debug", "websockets"]},
    ),
    Good(
        "syslog's own facility",
        "listener 18831\nlog_dest syslog\nlog_facility daemon\nlog_type internal\n",
        {"log.facility": "daemon", "log.types": ["internal"]},
        since="2.1",
    ),
    Good(
        "the control topic",
        "listener 18831\nenable_control_api true\n",
        {"control": True},
        since="2.1",
    ),
    Good(
        "an included file begins as if it were the only one",
        "listener 18831\nmax_connections 5\ninclude_dir {dir}/listeners.d\nmax_qos 1\n",
        {
            "listeners[0].port": 18831,
            "listeners[0].max_connections": 5,
            "listeners[0].limits.maximum_qos": 1,
            "listeners[1].port": 18833,
            "listeners[2].port": 18834,
            "listeners[2].max_connections": 9,
        },
        ["listeners.d/b.conf:3: include_dir counts in the main file only, as in Mosquitto; it is ignored"],
    ),
    # Bridges
    Good(
        "the example of Mosquitto's manual page",
        """\
connection test-mosquitto-org
address test.mosquitto.org
cleansession true
topic clients/total in 0 test/mosquitto/org/ $SYS/broker/
""",
        {
            "listeners[0].host": "localhost",
            "bridges[0].name": "test-mosquitto-org",
            "bridges[0].addresses": ["mqtt://test.mosquitto.org:1883"],
            "bridges[0].topics": [
                BridgeTopic(
                    pattern="clients/total",
                    direction="in",
                    local_prefix="test/mosquitto/org/",
                    remote_prefix="$SYS/broker/",
                )
            ],
            "bridges[0].clean_session": True,
            # What it does not say is as in Mosquitto.
            "bridges[0].local_clean_session": None,
            "bridges[0].client_id": "",
            "bridges[0].local_client_id": "",
            "bridges[0].user": "",
            "bridges[0].password": "",
            "bridges[0].version": "3.1.1",
            "bridges[0].round_robin": False,
            "bridges[0].start": "automatic",
            "bridges[0].threshold": 10,
            "bridges[0].idle_timeout": 60.0,
            "bridges[0].restart_first": 5.0,
            "bridges[0].restart_most": 30.0,
            "bridges[0].restart_stable": 0.0,
            "bridges[0].keep_alive": 60,
            "bridges[0].try_private": True,
            "bridges[0].attempt_unsubscribe": True,
            "bridges[0].outgoing_retain": True,
            "bridges[0].notifications": True,
            "bridges[0].notifications_local_only": False,
            "bridges[0].notification_topic": "",
            "bridges[0].reload": "lazy",
            "bridges[0].bind_address": "",
            "bridges[0].maximum_packet_size": 0,
            "bridges[0].topic_alias_maximum": None,
            "bridges[0].receive_maximum": None,
            "bridges[0].session_expiry_interval": NEVER_EXPIRES,
            "bridges[0].tcp_keepalive": None,
            "bridges[0].tcp_user_timeout": 0.0,
            "bridges[0].tls": None,
            # But for this: there, no more than 1,000 wait.
            "bridges[0].max_queued_messages": 1_000_000,
            "bridges[0].max_queued_bytes": 1 << 30,
        },
    ),
    Good(
        "limits that are for bridges too",
        "max_queued_messages 50\nmax_queued_bytes 5000\nconnection tree\naddress 127.0.0.1\ntopic #\n",
        {
            "limits.max_queued_messages": 50,
            "limits.max_queued_bytes": 5_000,
            "bridges[0].max_queued_messages": 50,
            "bridges[0].max_queued_bytes": 5_000,
        },
    ),
    Good(
        "a whole tree, as the manual page maps it",
        "connection tree\naddress 127.0.0.1\ntopic # both 2 local/topic/ remote/topic/\n",
        {
            "bridges[0].topics": [
                BridgeTopic(
                    pattern="#", direction="both", qos=2, local_prefix="local/topic/", remote_prefix="remote/topic/"
                )
            ]
        },
    ),
    Good(
        "a bridge with all that it can say",
        """\
connection all
address 127.0.0.1:1884 localhost 127.0.0.3
topic a/# out 1
topic b/+ in 2 here/ there/
remote_clientid house one
remote_username a user
remote_password pass word # and all
local_clientid here
start_type lazy
threshold 20
idle_timeout 30
restart_timeout 10 30
round_robin true
keepalive_interval 15
cleansession false
local_cleansession true
try_private false
notifications true
notifications_local_only true
notification_topic bridges/all
bridge_protocol_version mqttv31
bridge_attempt_unsubscribe false
bridge_outgoing_retain false
bridge_bind_address 127.0.0.1
bridge_max_packet_size 5000
bridge_require_ocsp false
""",
        {
            "bridges[0].addresses": ["mqtt://127.0.0.1:1884", "mqtt://localhost:1883", "mqtt://127.0.0.3:1883"],
            "bridges[0].topics": [
                BridgeTopic(pattern="a/#", direction="out", qos=1),
                BridgeTopic(pattern="b/+", direction="in", qos=2, local_prefix="here/", remote_prefix="there/"),
            ],
            "bridges[0].client_id": "house one",
            "bridges[0].user": "a user",
            "bridges[0].password": "pass word # and all",
            "bridges[0].local_client_id": "here",
            "bridges[0].start": "lazy",
            "bridges[0].threshold": 20,
            "bridges[0].idle_timeout": 30.0,
            "bridges[0].restart_first": 10.0,
            "bridges[0].restart_most": 30.0,
            "bridges[0].round_robin": True,
            "bridges[0].keep_alive": 15,
            "bridges[0].clean_session": False,
            "bridges[0].local_clean_session": True,
            "bridges[0].try_private": False,
            "bridges[0].notifications": True,
            "bridges[0].notifications_local_only": True,
            "bridges[0].notification_topic": "bridges/all",
            "bridges[0].version": "3.1",
            "bridges[0].attempt_unsubscribe": False,
            "bridges[0].outgoing_retain": False,
            "bridges[0].bind_address": "127.0.0.1",
            "bridges[0].maximum_packet_size": 5_000,
        },
    ),
    Good(
        "a bridge with what there is since 2.1",
        """\
connection new
address 127.0.0.1
topic "a topic" both 1 "our place/" ""
bridge_protocol_version mqttv50
bridge_reload_type immediate
bridge_max_topic_alias 0
bridge_receive_maximum 5
bridge_session_expiry_interval 3600
bridge_tcp_keepalive 60 10 3
bridge_tcp_user_timeout 2500
bridge_tls_use_os_certs true
bridge_ciphers HIGH
bridge_ciphers_tls1.3 TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256
restart_timeout 1 60 120
""",
        {
            "bridges[0].addresses": ["mqtts://127.0.0.1:1883"],
            "bridges[0].topics": [BridgeTopic(pattern="a topic", direction="both", qos=1, local_prefix="our place/")],
            "bridges[0].version": "5.0",
            "bridges[0].reload": "immediate",
            "bridges[0].topic_alias_maximum": 0,
            "bridges[0].receive_maximum": 5,
            "bridges[0].session_expiry_interval": 3_600,
            "bridges[0].tcp_keepalive": TcpKeepalive(idle=60, interval=10, count=3),
            "bridges[0].tcp_user_timeout": 2.5,
            "bridges[0].tls": BridgeTls(ciphers="HIGH"),
            "bridges[0].restart_first": 1.0,
            "bridges[0].restart_most": 60.0,
            "bridges[0].restart_stable": 120.0,
        },
        since="2.1",
    ),
    Good(
        "a bridge that trusts whom this system trusts",
        "connection a\naddress 127.0.0.1:8883\ntopic a\nbridge_tls_use_os_certs true\n",
        {"bridges[0].addresses": ["mqtts://127.0.0.1:8883"], "bridges[0].tls": None},
        since="2.1",
    ),
    Good(
        "the old words for a bridge, and for numbers that are too low",
        """\
connection old
addresses 127.0.0.1:1884
clientid house
username user
password secret
local_username here
local_password secret
topic "" both 0 here/it there/it
keepalive_interval 1
threshold 0
idle_timeout -5
restart_timeout 0
bridge_max_packet_size -1
""",
        {
            "bridges[0].addresses": ["mqtt://127.0.0.1:1884"],
            "bridges[0].client_id": "house",
            "bridges[0].user": "user",
            "bridges[0].password": "secret",
            "bridges[0].local_user": "",
            "bridges[0].topics": [BridgeTopic(direction="both", local_prefix="here/it", remote_prefix="there/it")],
            "bridges[0].keep_alive": 5,
            "bridges[0].threshold": 1,
            "bridges[0].idle_timeout": 1.0,
            "bridges[0].restart_first": 1.0,
            "bridges[0].restart_most": 1.0,
            "bridges[0].maximum_packet_size": 0,
        },
        [
            "conf:6: local_username has no effect: as in Mosquitto, a bridge may do everything here",
            "conf:7: local_password has no effect: nobody asks a bridge of this broker for a password",
            "conf:12: restart_timeout is 1, the lowest that there is",
            "conf:10: threshold is 1, the lowest that there is",
            "conf:11: idle_timeout is 1, the lowest that there is",
            "conf:9: keepalive_interval is 5, the lowest that there is",
        ],
    ),
    Good(
        "a constant wait",
        "connection a\naddress 127.0.0.1\ntopic a\nrestart_timeout 20\n",
        {"bridges[0].restart_first": 20.0, "bridges[0].restart_most": 20.0},
    ),
    Good(
        "topics as people write them",
        """\
connection a
address 127.0.0.1 # the cloud
topic #
topic  a   OUT
topic b Both 1
topic c in # note
topic d in 2 # note
topic e in 2 x/ # note
topic +/f in 2 x/ y/ # note
topic g out 1 "" ""
topic h out 1 x/ y/ z/
""",
        {
            "bridges[0].addresses": ["mqtt://127.0.0.1:1883"],
            "bridges[0].topics": [
                BridgeTopic(pattern="#"),
                BridgeTopic(pattern="a"),
                BridgeTopic(pattern="b", direction="both", qos=1),
                BridgeTopic(pattern="c", direction="in"),
                BridgeTopic(pattern="d", direction="in", qos=2),
                BridgeTopic(pattern="e", direction="in", qos=2, local_prefix="x/"),
                BridgeTopic(pattern="+/f", direction="in", qos=2, local_prefix="x/", remote_prefix="y/"),
                BridgeTopic(pattern="g", qos=1),
                BridgeTopic(pattern="h", qos=1, local_prefix="x/", remote_prefix="y/"),
            ],
        },
        ["conf:11: topic: 'z/' stands behind the remote prefix and has no effect"],
    ),
    Good(
        "addresses of IPv6 have their port behind them, and brackets do no harm",
        "connection a\naddress ::1:1884 [::1]:1885 [::1] fe80::1%1:1883\ntopic a\n",
        {
            "bridges[0].addresses": [
                "mqtt://[::1]:1884",
                "mqtt://[::1]:1885",
                "mqtt://[::1]:1883",
                "mqtt://[fe80::1%251]:1883",
            ]
        },
    ),
    Good(
        "a bridge with certificates",
        """\
connection a
address 127.0.0.1:8883
topic a
bridge_cafile {dir}/ca.crt
bridge_capath {dir}/www
bridge_certfile {dir}/server.crt
bridge_keyfile {dir}/server.key
bridge_tls_version tlsv1.3
bridge_alpn mqtt
bridge_insecure true
""",
        {
            "bridges[0].addresses": ["mqtts://127.0.0.1:8883"],
            "bridges[0].tls.ca_file": "{dir}/ca.crt",
            "bridges[0].tls.ca_path": "{dir}/www",
            "bridges[0].tls.certificate": "{dir}/server.crt",
            "bridges[0].tls.key": "{dir}/server.key",
            "bridges[0].tls.min_version": "1.3",
            "bridges[0].tls.alpn": ["mqtt"],
            "bridges[0].tls.insecure": True,
        },
    ),
    Good(
        "a bridge with a key that both ends know",
        "connection a\naddress 127.0.0.1:8883\ntopic a\nbridge_identity house\nbridge_psk 0123abcd\n"
        "bridge_tls_version tlsv1.2\nbridge_insecure false\n",
        {
            "bridges[0].addresses": ["mqtts://127.0.0.1:8883"],
            "bridges[0].tls": BridgeTls(psk_identity="house", psk="0123abcd"),
        },
    ),
    Good(
        "several bridges, with a listener between their lines",
        """\
connection one
address 127.0.0.1
listener 18831
topic a
max_qos 1
connection two # the second
address 127.0.0.2
include_dir {dir}/bridges.d
topic b
""",
        {
            "listeners[0].limits.maximum_qos": 1,
            "bridges[0].name": "one",
            "bridges[0].topics": [BridgeTopic(pattern="a")],
            "bridges[1].name": "two",
            "bridges[1].topics": [BridgeTopic(pattern="b")],
            "bridges[2].name": "three",
            "bridges[2].addresses": ["mqtt://127.0.0.3:1883"],
        },
    ),
]
