"""The way back: a description as mosquitto.conf, which says the same when it is read again."""

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

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
    Protection,
    Psk,
    Rule,
    TcpKeepalive,
    Tls,
    Web,
    doorkeeping,
)
from telex.server.mosquitto_conf import read_mosquitto_conf
from telex.server.mosquitto_writing import write_mosquitto_conf
from tests.config.good import GOOD, Good
from tests.config.test_debian import first_wrong_line
from tests.config.test_mosquitto_conf import read


def write(config: Config) -> tuple[str, list[str]]:
    warnings: list[str] = []
    return write_mosquitto_conf(config, warnings.append), warnings


def read_again(text: str, folder: Path) -> Config:
    path = folder / "written.conf"
    path.write_text(text)
    return read_mosquitto_conf(path, warn=lambda line: None, environment={})


def decided(config: Config) -> Config:
    """The same, with what holds at each listener said there."""
    listeners = [structs.replace(each, access=doorkeeping(config, each)) for each in config.listeners]
    return structs.replace(config, listeners=listeners, access=Access())


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_what_mosquitto_said_is_said_again(case: Good, folder: Path) -> None:
    config, _ = read(case.text, folder)
    text, warnings = write(config)
    assert decided(read_again(text, folder)) == decided(config)
    assert warnings == []


@pytest.mark.parametrize("case", [case for case in GOOD if case.since == "2.0"], ids=lambda case: case.name)
def test_debians_mosquitto_takes_what_is_written(case: Good, folder: Path) -> None:
    text, _ = write(read(case.text, folder)[0])
    line, said = first_wrong_line(text, folder)
    assert line == 0, said


BRIDGE = Bridge(name="a", addresses=["mqtt://h"], topics=[BridgeTopic(pattern="#")])
DESCRIBED: list[tuple[Config, list[str]]] = [
    (
        Config(
            data="/var/lib/telex",
            listeners=[Listener(host="127.0.0.1"), Listener(path="/run/telex.sock")],
            log=Log(level="warning", format="mosquitto"),
        ),
        ["listener 1883 127.0.0.1", "listener 0 /run/telex.sock", "allow_anonymous true", "log_type warning"],
    ),
    (
        Config(
            data="",
            user="telex",
            listeners=[
                Listener(port=1, psk=Psk(file="/keys", hint="h")),
                Listener(port=2, psk=Psk(file="/others"), limits=ListenerLimits(topic_alias_maximum=3)),
            ],
        ),
        ["per_listener_settings true", "psk_file /others", "psk_hint mqtt", "max_topic_alias 3", "user telex"],
    ),
    (
        Config(
            data="",
            bridges=[
                structs.replace(
                    BRIDGE,
                    addresses=["mqtts://[::1]", "mqtts://h:1"],
                    topics=[
                        BridgeTopic(pattern="a b", direction="in"),
                        BridgeTopic(direction="both", qos=1, local_prefix="x y", remote_prefix="z"),
                    ],
                    restart_first=0.5,
                    restart_most=0.5,
                    idle_timeout=1.5,
                    tls=BridgeTls(certificate="/c", alpn=["mqtt"]),
                    tcp_keepalive=TcpKeepalive(idle=1, interval=2, count=3),
                    tcp_user_timeout=0.25,
                )
            ],
        ),
        [
            "address ::1:8883 h:1",
            'topic "a b" in',
            'topic "" both 1 "x y" z',
            "bridge_protocol_version mqttv50",
            "bridge_reload_type immediate",
            "restart_timeout 1 1",
            "idle_timeout 2",
            "bridge_tls_use_os_certs true",
            "bridge_keyfile /c",
            "bridge_tcp_keepalive 1 2 3",
            "bridge_tcp_user_timeout 250",
        ],
    ),
]


@pytest.mark.parametrize(("config", "lines"), DESCRIBED)
def test_other_descriptions_have_their_lines(config: Config, lines: list[str], folder: Path) -> None:
    text, _ = write(config)
    assert [line for line in lines if line not in text.splitlines()] == []
    again = read_again(text, folder)
    assert write(again)[0] == text
    assert [each.port for each in again.listeners] == [each.port for each in config.listeners]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"access": Access(rules=[Rule(allow=["publish"])])}, "access.rules: Mosquitto has nothing like it; write an acl_"),
    ({"access": Access(jwt=[Jwt(keys="k", algorithms=["RS256"])])}, "access.jwt: Mosquitto has nothing like it"),
    ({"access": Access(http=[Http(url="http://h")])}, "access.http: Mosquitto has nothing like it"),
    ({"access": Access(client_id_prefixes=["a", "b"])}, "access.client_id_prefixes: Mosquitto has one prefix"),
    ({"listeners": [Listener(proxy_protocol="any")]}, "listeners.proxy_protocol: Mosquitto has version 1 or 2"),
    (
        {"listeners": [Listener(proxy_protocol="2", trusted_proxies=["::1"])]},
        "listeners.trusted_proxies: Mosquitto has version 1 or 2 of the PROXY protocol, of whoever reaches it",
    ),
    (
        {"listeners": [Listener(tls=Tls(certificate="c", client_certificates="optional", client_ca="a"))]},
        "listeners.tls.client_certificates: Mosquitto has certificates that are required, or none",
    ),
    ({"listeners": [Listener(path="/a b")]}, "listeners.path, '/a b': Mosquitto has no spaces in the path of a socket"),
    ({"pid_file": "/a\nuser root"}, "pid_file: mosquitto.conf has no text with a space"),
    ({"bridges": [structs.replace(BRIDGE, name="a b")]}, "bridges.name, 'a b': Mosquitto has no spaces in the name"),
    ({"bridges": [structs.replace(BRIDGE, local_user="me")]}, "bridges.local_user: Mosquitto has nothing like it"),
    ({"bridges": [structs.replace(BRIDGE, proxy="http://h")]}, "bridges.proxy: Mosquitto has nothing like it"),
    ({"bridges": [structs.replace(BRIDGE, addresses=["ws://h"])]}, "bridges.addresses: Mosquitto has TCP and TLS"),
    (
        {"bridges": [structs.replace(BRIDGE, addresses=["mqtt://h", "mqtts://h"])]},
        "bridges.addresses: Mosquitto has TLS at all addresses of a bridge, or at none",
    ),
    (
        {"bridges": [structs.replace(BRIDGE, addresses=["mqtts://h"], tls=BridgeTls(server_name="x"))]},
        "bridges.tls.server_name: Mosquitto has nothing like it",
    ),
    (
        {"bridges": [structs.replace(BRIDGE, addresses=["mqtts://h"], tls=BridgeTls(alpn=["a", "b"]))]},
        "bridges.tls.alpn: Mosquitto has one protocol to ask for",
    ),
    (
        {"bridges": [structs.replace(BRIDGE, topics=[BridgeTopic(pattern='"')])]},
        "bridges.topics: mosquitto.conf cannot",
    ),
    ({"bridges": [structs.replace(BRIDGE, password=" x")]}, "remote_password: mosquitto.conf has no text with a space"),
]


@pytest.mark.parametrize(("parts", "expected"), REFUSED, ids=[expected for _, expected in REFUSED])
def test_what_must_not_be_left_out_is_refused(parts: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        write(Config(**parts))
    assert str(caught.value).startswith(expected)


TOLD: list[tuple[dict[str, Any], str]] = [
    ({"access": Access(password_file="p", scram=True)}, "access.scram: Mosquitto has nothing like it"),
    ({"data": None}, "data: persistence_location is missing; Mosquitto has another place for it than Telex"),
    ({"durability": "relaxed"}, "durability: Mosquitto has no plugin for SQLite in memory, so it keeps what it has on"),
    ({"limits": {"connect_timeout": 5}}, "limits.connect_timeout: Mosquitto has nothing like it"),
    ({"limits": {"receive_maximum": 5}}, "limits.receive_maximum: Mosquitto has one limit for both directions"),
    ({"protection": Protection(ban_after=3)}, "protection.ban_after: Mosquitto has nothing like it"),
    ({"log": Log(format="json")}, "log.format: Mosquitto has its own words only"),
    ({"log": Log(facility="mail")}, "log.facility: Mosquitto has daemon and local0 to local7"),
    ({"web": Web(enabled=True)}, "web: Mosquitto has no page"),
    ({"listeners": [Listener(path="/s", path_mode=0o600)]}, "listeners.path_mode: Mosquitto has nothing like it"),
    (
        {"listeners": [Listener(limits=ListenerLimits(receive_maximum=5))]},
        "listeners.limits.receive_maximum: Mosquitto has nothing like it",
    ),
    (
        {"listeners": [Listener(tls=Tls(certificate="c", key_password="s3same"))]},
        "listeners.tls.key_password: Mosquitto asks for it at the terminal",
    ),
    (
        {"bridges": [structs.replace(BRIDGE, addresses=["mqtts://h"], tls=BridgeTls(key_password="s3same"))]},
        "bridges.tls.key_password: Mosquitto asks for it at the terminal",
    ),
    ({"bridges": [structs.replace(BRIDGE, max_hops=3)]}, "bridges.max_hops: Mosquitto has nothing like it"),
    (
        {"bridges": [structs.replace(BRIDGE, max_queued_bytes=3)]},
        "bridges.max_queued_bytes: Mosquitto has nothing like it",
    ),
    (
        {"bridges": [structs.replace(BRIDGE, topics=[BridgeTopic(pattern="a", maximum_payload_size=9)])]},
        "bridges.topics.maximum_payload_size: Mosquitto has nothing like it",
    ),
]


@pytest.mark.parametrize(("parts", "expected"), TOLD, ids=[expected for _, expected in TOLD])
def test_what_mosquitto_does_otherwise_is_told(parts: dict[str, Any], expected: str) -> None:
    limits = {"max_inflight_messages": 1_000, **parts.pop("limits", {})}
    _, warnings = write(Config(**{"data": "", "limits": limits, **parts}))
    assert [line for line in warnings if line.startswith(expected)] == warnings
    assert len(warnings) == 1
