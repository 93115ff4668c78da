"""telex.toml: what it describes, what is wrong with it and where, and that what is written can be read."""

import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import inspect as shapes

from telex.server.config import (
    Access,
    Bridge,
    BridgeTls,
    BridgeTopic,
    Config,
    ConfigError,
    Http,
    Jwt,
    Listener,
    ListenerLimits,
    Log,
    Plugin,
    Psk,
    Rule,
    TcpKeepalive,
    Tls,
    local_client_id,
    remote_client_id,
)
from telex.server.toml import HIDDEN, LIMITS, Place, check, convert, read_toml, write_toml, written

BROKER = """\
data = "lib"
pid_file = "/run/telex.pid"

[[listeners]]
port = 18831

[[listeners]]
port = 8883
protocol = "websocket"
origins = ["https://one.example"]
[listeners.tls]
certificate = "certs/server.crt"
key = "/etc/server.key"
client_certificates = "required"
client_ca = "certs"
[listeners.limits]
maximum_qos = 1
[listeners.access]
password_file = "users"
[[listeners.access.rules]]
allow = ["publish"]
topics = ["home/{user}/#"]

[limits]
max_queued_messages = 5_000
queue_drops = "oldest"

[access]
allow_anonymous = true
acl_file = "acl"
groups = { admins = ["ada"] }
[[access.jwt]]
keys = "https://login.example/keys"
algorithms = ["RS256"]
[[access.jwt]]
keys = "jwt.pem"
algorithms = ["ES256"]

[log]
to = ["stderr", "file:log/telex.log"]
"""


def read(text: str, folder: Path, *, lenient: bool = False) -> tuple[Config, list[str]]:
    path = folder / "telex.toml"
    path.write_text(text)
    warnings: list[str] = []
    return read_toml(path, lenient=lenient, warn=warnings.append), warnings


def refusal(text: str, folder: Path, *, lenient: bool = False) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text, folder, lenient=lenient)
    said = str(caught.value)
    assert "\n" not in said
    return said.replace(f"{folder}/", "")


def test_an_empty_file_is_the_default_broker(folder: Path) -> None:
    assert read("", folder) == (Config(), [])


def test_a_file_describes_a_broker_and_its_paths_are_below_its_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    config, warnings = read(BROKER, folder)
    assert warnings == []
    assert config == Config(
        data=f"{folder}/lib",
        pid_file="/run/telex.pid",
        listeners=[
            Listener(port=18831),
            Listener(
                port=8883,
                protocol="websocket",
                origins=["https://one.example"],
                tls=Tls(
                    certificate=f"{folder}/certs/server.crt",
                    key="/etc/server.key",
                    client_certificates="required",
                    client_ca=f"{folder}/certs",
                ),
                limits=ListenerLimits(maximum_qos=1),
                access=Access(
                    password_file=f"{folder}/users", rules=[Rule(allow=["publish"], topics=["home/{user}/#"])]
                ),
            ),
        ],
        limits={"max_queued_messages": 5_000, "queue_drops": "oldest"},
        access=Access(
            allow_anonymous=True,
            acl_file=f"{folder}/acl",
            groups={"admins": ["ada"]},
            jwt=[
                Jwt(keys="https://login.example/keys", algorithms=["RS256"]),
                Jwt(keys=f"{folder}/jwt.pem", algorithms=["ES256"]),
            ],
        ),
        log=Log(to=["stderr", f"file:{folder}/log/telex.log"]),
    )


def test_data_in_memory_stays_in_memory(folder: Path) -> None:
    assert read('data = ""\n', folder)[0].data == ""


CLOUD = """\
[[bridges]]
name = "cloud"
addresses = ["mqtts://broker.example.org", "wss://other.example.org/mqtt"]
user = "house"
password = "s3same"
tcp_keepalive = { idle = 60, interval = 10, count = 3 }
[[bridges.topics]]
pattern = "home/#"
qos = 1
remote_prefix = "house7/"
[[bridges.topics]]
local_prefix = "time"
remote_prefix = "$SYS/broker/uptime"
direction = "in"
messages_per_second = 0.5
[bridges.tls]
ca_file = "ca.pem"
certificate = "/etc/house.pem"

[[bridges]]
name = "line"
addresses = ["unix:///run/line.sock"]
topics = [{ pattern = "#", direction = "both", maximum_payload_size = 1_000 }]
version = "3.1.1"
"""


def test_a_file_describes_bridges(folder: Path) -> None:
    config, warnings = read(CLOUD, folder)
    assert warnings == []
    assert config.bridges == [
        Bridge(
            name="cloud",
            addresses=["mqtts://broker.example.org", "wss://other.example.org/mqtt"],
            topics=[
                BridgeTopic(pattern="home/#", qos=1, remote_prefix="house7/"),
                BridgeTopic(
                    direction="in", local_prefix="time", remote_prefix="$SYS/broker/uptime", messages_per_second=0.5
                ),
            ],
            user="house",
            password="s3same",
            tcp_keepalive=TcpKeepalive(idle=60, interval=10, count=3),
            tls=BridgeTls(ca_file=f"{folder}/ca.pem", certificate="/etc/house.pem"),
        ),
        Bridge(
            name="line",
            addresses=["unix:///run/line.sock"],
            topics=[BridgeTopic(pattern="#", direction="both", maximum_payload_size=1_000)],
            version="3.1.1",
        ),
    ]


def test_a_bridge_that_says_no_client_ids_has_those_of_mosquitto() -> None:
    bridge = Bridge(name="cloud", addresses=["mqtt://a"])
    assert remote_client_id(bridge, "pi") == "pi.cloud"
    assert local_client_id(bridge, "pi") == "local.pi.cloud"
    bridge = Bridge(name="cloud", addresses=["mqtt://a"], client_id="house")
    assert (remote_client_id(bridge, "pi"), local_client_id(bridge, "pi")) == ("house", "local.house")
    assert local_client_id(Bridge(name="cloud", addresses=["mqtt://a"], local_client_id="here"), "pi") == "here"


def test_bridges_are_written_for_people_and_read_as_the_same(folder: Path) -> None:
    config, _ = read(CLOUD, folder)
    assert write_toml(config).replace(f"{folder}/", "") == (
        """\
# Another broker, with which this one shares topics.
[[bridges]]
name = "cloud"
addresses = ["mqtts://broker.example.org", "wss://other.example.org/mqtt"]
user = "house"
password = "s3same"

[[bridges.topics]]
pattern = "home/#"
qos = 1
remote_prefix = "house7/"

[[bridges.topics]]
direction = "in"
local_prefix = "time"
remote_prefix = "$SYS/broker/uptime"
messages_per_second = 0.5

[bridges.tcp_keepalive]
idle = 60
interval = 10
count = 3

# TLS towards that broker.
[bridges.tls]
ca_file = "ca.pem"
certificate = "/etc/house.pem"

# Another broker, with which this one shares topics.
[[bridges]]
name = "line"
addresses = ["unix:///run/line.sock"]
version = "3.1.1"

[[bridges.topics]]
pattern = "#"
direction = "both"
maximum_payload_size = 1000
"""
    )
    for everything in (False, True):
        assert read(write_toml(config, everything=everything), folder)[0].bridges == config.bridges


def bridge(lines: str, name: str = "a") -> str:
    """A telex.toml with a bridge; what is about it begins in its fifth line."""
    topics = "topics = [{ pattern = 'a' }]\n"
    addresses = "addresses = ['mqtt://h']\n"
    for word, usual in (("topics", topics), ("addresses", addresses)):
        if word in lines:
            topics, addresses = (topics.replace(usual, "\n"), addresses.replace(usual, "\n"))
    return f"[[bridges]]\nname = '{name}'\n{topics}{addresses}{lines}"


WRONG = [
    # Unknown names
    ("lisener = 1", "telex.toml:1: lisener: there is no such name; did you mean listeners?"),
    ("[[listeners]]\n\nprt = 1", "telex.toml:3: listeners[0].prt: there is no such name; did you mean port?"),
    (
        "[[listeners]]\n[[listeners]]\n[listeners.tls]\nkey = 'k'\ncertficate = 'c'",
        "telex.toml:5: listeners[1].tls.certficate: there is no such name; did you mean certificate?",
    ),
    ("log.fromat = 'json'", "telex.toml:1: log.fromat: there is no such name; did you mean format?"),
    (
        "[limits]\nmax_qeued_messages = 1",
        "telex.toml:2: limits.max_qeued_messages: there is no such limit; did you mean",
    ),
    (
        '[access]\nrules = [\n  { allow = ["publish"] },\n  { alow = ["publish"] },\n]',
        "telex.toml:2: access.rules[1].alow: there is no such name; did you mean allow?",
    ),
    # Kinds of values
    ("[[listeners]]\nport = '1883'", "telex.toml:2: listeners[0].port: expected a whole number, found text"),
    ("[[listeners]]\nport = 70_000", "telex.toml:2: listeners[0].port: expected a whole number <= 65535"),
    ("[access]\nallow_anonymous = 1", "telex.toml:2: access.allow_anonymous: expected true or false, found a whole"),
    ("data = 5", "telex.toml:1: data: expected text, found a whole number"),
    ("listeners = 5", "telex.toml:1: listeners: expected a list, found a whole number"),
    ("[listeners]\nport = 1", "telex.toml:1: listeners: expected a list, found a table"),
    ("log = 'stderr'", "telex.toml:1: log: expected a table, found text"),
    (
        "durability = 'relaxt'",
        "telex.toml:1: durability: it is 'relaxt', expected one of relaxed, strict; did you mean relaxed?",
    ),
    (
        "[[listeners]]\nversions = ['5']",
        "telex.toml:2: listeners[0].versions[0]: it is '5', expected one of 3.1, 3.1.1, 5.0",
    ),
    ("[[listeners]]\n[listeners.tls]\nkey = 'k'", "telex.toml:2: listeners[0].tls: certificate is missing"),
    # No TOML at all
    ("listener 1883", "telex.toml:1: this is no TOML: expected '=' after a key in a key/value pair"),
    ("a = 1\na = 2", "telex.toml:2: this is no TOML: cannot overwrite a value"),
    # What does not fit together
    ("listeners = []", "telex.toml:1: listeners: there is none, so nobody could come in"),
    ("[[listeners]]\n[[listeners]]", "telex.toml:2: listeners[1]: it wants the same address and port as listeners[0]"),
    (
        "[[listeners]]\nhost = '0.0.0.0'\n[[listeners]]\nhost = '127.0.0.1'",
        "telex.toml:3: listeners[1]: it wants the same address and port as listeners[0]",
    ),
    ("[[listeners]]\npath = 'a'\n[[listeners]]\npath = 'a'", "telex.toml:3: listeners[1]: it wants the same address"),
    (
        "[[listeners]]\npath = 'a'\nhost = 'b'",
        "telex.toml:3: listeners[0].host: a listener with a path is a Unix socket",
    ),
    (
        "[[listeners]]\n[listeners.tls]\ncertificate = 'c'\n[listeners.psk]\nfile = 'f'",
        "telex.toml:4: listeners[0].psk: a listener has either tls or psk; give each a listener of its own",
    ),
    (
        "[[listeners]]\n[listeners.tls]\ncertificate = 'c'\nuser_from = 'cn'",
        'telex.toml:4: listeners[0].tls.user_from: it needs client_certificates = "required" or "optional"',
    ),
    (
        "[[listeners]]\n[listeners.tls]\ncertificate = 'c'\ncrl = 'l'",
        'telex.toml:4: listeners[0].tls.crl: it needs client_certificates = "required" or "optional"',
    ),
    (
        "[[listeners]]\n[listeners.tls]\ncertificate = 'c'\nclient_certificates = 'optional'",
        "telex.toml:4: listeners[0].tls.client_certificates: it needs client_ca: who may have signed them",
    ),
    (
        "[[listeners]]\nproxy_protocol = '1'\nproxy_requires_tls = true",
        "telex.toml:3: listeners[0].proxy_requires_tls: only version 2 of the PROXY protocol can tell",
    ),
    ("[[listeners]]\ntrusted_proxies = ['::1']", "telex.toml:2: listeners[0].trusted_proxies: it needs proxy_protocol"),
    (
        "[[listeners]]\nproxy_protocol = 'any'\ntrusted_proxies = ['nginx']",
        "telex.toml:3: listeners[0].trusted_proxies[0]: 'nginx' is no address and no network like 192.0.2.0/24",
    ),
    ("[[listeners]]\norigins = ['x']", 'telex.toml:2: listeners[0].origins: it needs protocol = "websocket"'),
    (
        "[[listeners]]\nwebsocket_path = '/'",
        'telex.toml:2: listeners[0].websocket_path: it needs protocol = "websocket"',
    ),
    ("[[listeners]]\nhttp_directory = 'w'", "telex.toml:2: listeners[0].http_directory: it needs protocol ="),
    (
        "[[listeners]]\nversions = []",
        "telex.toml:2: listeners[0].versions: the list is empty, so no client could come in",
    ),
    ("[[listeners]]\nmount_point = 'a/+'", "telex.toml:2: listeners[0].mount_point: 'a/+' has a wildcard"),
    (
        "[[listeners]]\n[listeners.limits]\nreceive_maximum = 0",
        "telex.toml:3: listeners[0].limits.receive_maximum: it is 0, expected 1 to 65,535",
    ),
    (
        "[[listeners]]\n[listeners.limits]\ntopic_alias_maximum_out = 70_000",
        "telex.toml:3: listeners[0].limits.topic_alias_maximum_out: it is 70,000, expected 0 to 65,535",
    ),
    ("[limits]\nmaximum_qos = 3", "telex.toml:2: limits.maximum_qos: it is 3, expected 0 to 2"),
    ("[limits]\nmaximum_qos = true", "telex.toml:2: limits.maximum_qos: expected a whole number, found true or false"),
    ("[limits]\nqueue_drops = 'all'", "telex.toml:2: limits.queue_drops: it is 'all', expected one of newest"),
    ("[limits]\nclient_id_prefix = 'a'", "telex.toml:2: limits.client_id_prefix: there is no such limit"),
    ("[access]\nscram = true", "telex.toml:2: access.scram: it needs password_file"),
    ("[[access.jwt]]\nkeys = 'k'\nalgorithms = []", "telex.toml:3: access.jwt[0].algorithms: the list is empty"),
    (
        "[[access.jwt]]\nkeys = 'k'\nalgorithms = ['HS256', 'RS256']",
        "telex.toml:3: access.jwt[0].algorithms: HS256 cannot stand beside others",
    ),
    ("[[access.http]]\nurl = 'login.example'", "telex.toml:2: access.http[0].url: expected http://... or https://..."),
    ("[[access.rules]]\nusers = ['a']", "telex.toml:1: access.rules[0].allow: expected publish, subscribe or receive"),
    ("[[access.rules]]\nallow = ['publish']\ntopics = ['a', 'b/#/c']", "telex.toml:3: access.rules[0].topics[1]: "),
    ("[[access.rules]]\nallow = ['publish']\naddresses = ['home']", "telex.toml:3: access.rules[0].addresses[0]: "),
    ("[[access.rules]]\nallow = ['publish']\ngroups = ['a']", "telex.toml:3: access.rules[0].groups[0]: "),
    (
        "[access]\nacl_file = 'a'\n[[access.rules]]\nallow = ['publish']",
        "telex.toml:3: access.rules: there is an acl_file, too: expected one of them",
    ),
    (
        "[log]\nto = ['stdot']",
        "telex.toml:2: log.to[0]: it is 'stdot', expected stderr, stdout, syslog, topic or file:PATH",
    ),
    ("[log]\ntypes = ['warn']", "telex.toml:2: log.types[0]: it is 'warn', expected one of error, warning, "),
    ("[log]\nfacility = 'deamon'", "telex.toml:2: log.facility: syslog has no 'deamon'; did you mean daemon?"),
    # Bridges
    ("[[bridges]]\naddresses = ['h']", "telex.toml:1: bridges[0]: name is missing"),
    ("[[bridges]]\nname = 'a'", "telex.toml:1: bridges[0]: addresses is missing"),
    (bridge("addresses = []"), "telex.toml:5: bridges[0].addresses: there is none; expected one like mqtt://"),
    (bridge("topics = []"), "telex.toml:5: bridges[0].topics: there is none, so the bridge would carry nothing"),
    (bridge("adress = 'h'"), "telex.toml:5: bridges[0].adress: there is no such name; did you mean addresses?"),
    (bridge("", name=""), "telex.toml:2: bridges[0].name: it is empty; a bridge is known by its name"),
    (
        f"{bridge('')}{bridge('')}",
        "telex.toml:6: bridges[1].name: bridges[0] has that name, too",
    ),
    (
        bridge("") + bridge("client_id = 'HOST.a'", name="b"),
        "telex.toml:5: bridges[1].local_client_id: the session of bridges[0] here has the client id 'local.HOST.a'",
    ),
    (
        bridge("addresses = ['mqtt://h', 'http://h']"),
        "telex.toml:5: bridges[0].addresses[1]: the address 'http://h': write ws:// in place of http://",
    ),
    (
        bridge("addresses = ['mqtt://me:s3same@h']"),
        "telex.toml:5: bridges[0].addresses[0]: mqtt://me@h:1883 has a user name in it; write it as user, and password",
    ),
    (bridge("start = 'lasy'"), "telex.toml:5: bridges[0].start: it is 'lasy', expected one of automatic, lazy, once;"),
    (bridge("keep_alive = 4"), "telex.toml:5: bridges[0].keep_alive: expected a whole number >= 5"),
    (bridge("restart_first = 40"), "telex.toml:1: bridges[0].restart_most: it is 30, less than restart_first (40)"),
    (
        bridge("version = '3.1.1'\npassword = 's3same'"),
        "telex.toml:6: bridges[0].password: MQTT 3.1.1 knows no password without a user name; give user",
    ),
    (bridge("topics = [{ pattern = 'a#' }]"), "telex.toml:5: bridges[0].topics[0].pattern: topic filter 'a#': '#'"),
    (bridge("topics = [{ pattern = '$share/a/b' }]"), "telex.toml:5: bridges[0].topics[0].pattern: '$share/a/b' is a"),
    (
        bridge("topics = [{ remote_prefix = 'b' }]"),
        "telex.toml:5: bridges[0].topics[0].pattern: it has no pattern; then",
    ),
    (
        bridge("topics = [{ pattern = '+', local_prefix = 'a/+/' }]"),
        "telex.toml:5: bridges[0].topics[0].local_prefix: 'a/+/' has a wildcard; it is put in front of topics",
    ),
    (
        bridge("topics = [{ pattern = '+', remote_prefix = 'a' }]"),
        "telex.toml:5: bridges[0].topics[0].remote_prefix: with the pattern behind it, topic filter 'a+': '+' must "
        "stand alone in its level [MQTT-4.7.1-2]; a prefix ends with / if levels follow",
    ),
    (bridge("notification_topic = 'a/#'"), "telex.toml:5: bridges[0].notification_topic: whether it is connected"),
    (bridge("client_id = 'a+'"), "telex.toml:5: bridges[0].client_id: whether it is connected cannot be published: "),
    (
        bridge("addresses = ['unix:///a']\nbind_address = '127.0.0.1'"),
        "telex.toml:6: bridges[0].bind_address: it does not fit unix:///a, which is a Unix socket on this machine",
    ),
    (
        bridge("addresses = ['unix:///a']\ntcp_keepalive = { idle = 1, interval = 1, count = 1 }"),
        "telex.toml:6: bridges[0].tcp_keepalive: it does not fit unix:///a",
    ),
    (bridge("proxy = 'ftp://h'"), "telex.toml:5: bridges[0].proxy: ftp:// is none of socks4, socks4a, socks5, socks5h"),
    (
        bridge("addresses = ['mqtt://[::1]']\nproxy = 'socks4://h'"),
        "telex.toml:6: bridges[0].proxy: SOCKS 4 knows no IPv6 address like ::1; use socks5",
    ),
    (
        bridge("websocket_headers = { a = 'b' }"),
        "telex.toml:5: bridges[0].websocket_headers: there is no WebSocket in addresses; it begins with ws:// or wss://",
    ),
    (
        bridge("addresses = ['ws://h']\nwebsocket_headers = { upgrade = 'b' }"),
        "telex.toml:6: bridges[0].websocket_headers: upgrade is for the handshake itself; leave it out",
    ),
    (
        bridge("[bridges.tls]"),
        "telex.toml:5: bridges[0].tls: there is no TLS in addresses; it begins with mqtts:// or wss://",
    ),
    (
        bridge("addresses = ['mqtts://h']\n[bridges.tls]\nkey = 'k'"),
        "telex.toml:7: bridges[0].tls.key: it needs certificate, the file of the certificate that it belongs to",
    ),
    (
        bridge("addresses = ['mqtts://h']\n[bridges.tls]\npsk = '12'"),
        "telex.toml:6: bridges[0].tls: psk and psk_identity: a pre-shared key needs both",
    ),
    (
        bridge("addresses = ['mqtts://h']\n[bridges.tls]\npsk = 's3same'\npsk_identity = 'i'"),
        "telex.toml:7: bridges[0].tls.psk: expected the key in pairs of hexadecimal digits, 512 at most",
    ),
    (
        bridge("addresses = ['mqtts://h']\n[bridges.tls]\npsk = '12'\npsk_identity = 'i'\nmin_version = '1.3'"),
        'telex.toml:9: bridges[0].tls.min_version: pre-shared keys are for TLS 1.2; expected "1.2"',
    ),
    (
        bridge("tcp_keepalive = { idle = 60 }"),
        "telex.toml:5: bridges[0].tcp_keepalive: interval is missing",
    ),
]


@pytest.mark.parametrize(("text", "expected"), WRONG)
def test_what_is_wrong_is_said_with_its_line(text: str, expected: str, folder: Path) -> None:
    said = refusal(text, folder)
    assert said.startswith(expected)
    assert "s3same" not in said


def test_lines_are_found_behind_texts_and_lists_of_several_lines(folder: Path) -> None:
    text = '''\
[access]
password_file = """
[log]
level = 1"""
client_id_prefixes = [
  "a", # ]
  "[log]",
]
groups = { "a b" = ["]"] }
[log]
"format" = 5
'''
    assert refusal(text, folder) == "telex.toml:11: log.format: it is 5, expected one of json, mosquitto, text"


def test_unknown_names_can_be_let_pass(folder: Path) -> None:
    text = "prot = 1\n[[listeners]]\nport = 18831\nkeepalive = 60\n[limits]\nmax_clients = 5\n"
    config, warnings = read(text, folder, lenient=True)
    assert config == Config(listeners=[Listener(port=18831)])
    assert [warning.replace(f"{folder}/", "") for warning in warnings] == [
        "telex.toml:1: prot: there is no such name; it is ignored",
        "telex.toml:4: listeners[0].keepalive: there is no such name; it is ignored",
        "telex.toml:6: limits.max_clients: there is no such limit; it is ignored",
    ]


def test_wrong_values_are_not_let_pass(folder: Path) -> None:
    assert refusal("sys_interval = -1", folder, lenient=True).startswith("telex.toml:1: sys_interval: expected")


def test_a_file_that_cannot_be_read_is_one_line(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"^nowhere\.toml: it cannot be read: No such file or directory$"):
        read_toml("nowhere.toml")
    (folder / "latin.toml").write_bytes(b"data = 'caf\xe9'")
    with pytest.raises(ConfigError, match=r"^latin\.toml: this is no text in UTF-8 \(byte 11\)$"):
        read_toml("latin.toml")


def test_no_secret_is_in_a_message(folder: Path) -> None:
    text = "[[listeners]]\n[listeners.tls]\ncertificate = 'c'\nkey_password = ['sesame']\n"
    assert "sesame" not in refusal(text, folder)


@pytest.mark.parametrize(
    ("one", "other", "collide"),
    [
        (Listener(), Listener(), True),
        (Listener(port=0), Listener(port=0), False),
        (Listener(host="127.0.0.1"), Listener(host="::1"), False),
        (Listener(host="127.0.0.1"), Listener(host="127.0.0.2"), False),
        (Listener(host="0.0.0.0"), Listener(host="::"), False),
        (Listener(host="0.0.0.0"), Listener(host=""), True),
        (Listener(host="::1"), Listener(host="::"), True),
        (Listener(family="ipv4"), Listener(family="ipv6"), False),
        (Listener(family="ipv4"), Listener(host="::1"), False),
        (Listener(interface="eth0"), Listener(interface="eth1"), False),
        (Listener(path="a"), Listener(path="b"), False),
        (Listener(path="a"), Listener(), False),
    ],
)
def test_listeners_collide_if_they_want_the_same(one: Listener, other: Listener, collide: bool) -> None:
    if collide:
        with pytest.raises(ConfigError, match=r"^listeners\[1\]: it wants the same"):
            check(Config(listeners=[one, other]))
    else:
        check(Config(listeners=[one, other]))


# Writing


def test_only_what_is_not_as_by_default_is_written() -> None:
    assert write_toml(Config()) == ""
    assert write_toml(Config(sys_interval=5)) == "sys_interval = 5\n"


def test_what_is_written_is_for_people(folder: Path) -> None:
    config, _ = read(BROKER, Path(folder))
    assert write_toml(config).replace(f"{folder}/", "") == (
        """\
# Where sessions, their messages and retained messages are kept; empty: in memory.
data = "lib"
pid_file = "/run/telex.pid"

# A place where clients come in.
[[listeners]]
port = 18831

# A place where clients come in.
[[listeners]]
port = 8883
protocol = "websocket"
origins = ["https://one.example"]

# TLS at this listener.
[listeners.tls]
certificate = "certs/server.crt"
key = "/etc/server.key"
client_certificates = "required"
client_ca = "certs"

# What this listener allows less than others.
[listeners.limits]
maximum_qos = 1

# Who may come in here, in place of what the broker says.
[listeners.access]
password_file = "users"

[[listeners.access.rules]]
allow = ["publish"]
topics = ["home/{user}/#"]

# Who may come in, and what they may do.
[access]
allow_anonymous = true
acl_file = "acl"

[[access.jwt]]
keys = "https://login.example/keys"
algorithms = ["RS256"]

[[access.jwt]]
keys = "jwt.pem"
algorithms = ["ES256"]

[access.groups]
admins = ["ada"]

# docs/limits.md tells what each of them limits.
[limits]
max_queued_messages = 5000
queue_drops = "oldest"

# What is written down, and where.
[log]
to = ["stderr", "file:log/telex.log"]
"""
    )


def test_everything_can_be_written_and_read_again(folder: Path) -> None:
    text = write_toml(Config(data="/var/lib/telex"), everything=True)
    config, _ = read(text, folder)
    assert config == Config(data="/var/lib/telex", limits=LIMITS)
    assert "sys_interval = 10" in text
    assert "path_mode = 0o660" in text


def test_secrets_are_hidden_or_kept(folder: Path) -> None:
    secret = "s3same"
    config = Config(
        listeners=[
            Listener(port=1, tls=Tls(certificate="/c", key_password=secret)),
            Listener(port=2, psk=Psk(file="/keys")),
        ],
        access=Access(
            http=[
                Http(
                    url=f"https://telex:{secret}@login.example/check?token={secret}", headers={"Authorization": secret}
                )
            ],
            jwt=[Jwt(keys=f"https://{secret}@login.example/keys", algorithms=["RS256"])],
            plugins=[Plugin(name="ldap", options={"password": secret, "servers": [secret]})],
        ),
        bridges=[
            Bridge(
                name="cloud",
                addresses=[f"wss://cloud.example/mqtt?token={secret}"],
                topics=[BridgeTopic(pattern="#")],
                user="house",
                password=secret,
                proxy=f"socks5h://me:{secret}@proxy.example",
                websocket_headers={"Authorization": secret},
                tls=BridgeTls(certificate="/c", key_password=secret),
            ),
            Bridge(
                name="line",
                addresses=["mqtts://line.example"],
                topics=[BridgeTopic(pattern="#")],
                tls=BridgeTls(psk_identity="house", psk="5eed"),
            ),
        ],
    )
    assert read(write_toml(config), folder)[0] == config
    for everything in (False, True):
        shown = write_toml(config, secrets=False, everything=everything)
        assert secret not in shown
        assert f'Authorization = "{HIDDEN}"' in shown
        assert f"https://{HIDDEN}@login.example/check?{HIDDEN}" in shown
        assert "/keys" in shown
        assert f"wss://cloud.example/mqtt?{HIDDEN}" in shown
        assert f"socks5h://{HIDDEN}@proxy.example" in shown
        assert 'user = "house"' in shown
        assert f'psk = "{HIDDEN}"' in shown
        assert "5eed" not in shown


def values(shape: shapes.Type) -> st.SearchStrategy[Any]:
    """Everything that may stand in a place, as plain tables, lists and values."""
    if isinstance(shape, shapes.StructType):
        required = {field.name: values(field.type) for field in shape.fields if field.required}
        optional = {field.name: values(field.type) for field in shape.fields if not field.required}
        return st.fixed_dictionaries(required, optional=optional)
    if isinstance(shape, shapes.ListType):
        return st.lists(values(shape.item_type), max_size=2)
    if isinstance(shape, shapes.DictType):
        return st.dictionaries(TEXT, values(shape.value_type), max_size=2)
    if isinstance(shape, shapes.UnionType):
        return st.one_of(*[values(kind) for kind in shape.types if not isinstance(kind, shapes.NoneType)])
    if isinstance(shape, shapes.LiteralType):
        return st.sampled_from(shape.values)
    if isinstance(shape, shapes.IntType):
        return st.integers(shape.ge if shape.ge is not None else -(1 << 62), shape.le or 1 << 62)
    if isinstance(shape, shapes.FloatType):
        return st.floats(max(shape.ge or 0.0, 0.001), allow_nan=False)
    if isinstance(shape, shapes.BoolType):
        return st.booleans()
    if isinstance(shape, shapes.StrType):
        return TEXT
    assert isinstance(shape, shapes.CustomType), shape  # object: anything
    moments = st.sampled_from([datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2026, 1, 2).date()])
    plain = st.one_of(st.booleans(), st.integers(-(1 << 62), 1 << 62), st.floats(allow_nan=False), TEXT, moments)
    return st.recursive(
        plain,
        lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(TEXT, inner, max_size=2)),
        max_leaves=4,
    )


TEXT = st.text(max_size=6)


def never(place: Place, message: str) -> ConfigError:
    raise AssertionError(f"{written(place)}: {message}")


@settings(max_examples=150, deadline=None)
@given(values(shapes.type_info(Config)))
def test_whatever_is_written_is_read_as_the_same(data: dict[str, Any]) -> None:
    config = msgspec.convert(data, Config)
    assert convert(tomllib.loads(write_toml(config)), never) == config
    shown = write_toml(config, secrets=False, everything=True)
    convert(tomllib.loads(shown), never)
