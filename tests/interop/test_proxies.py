"""nginx and HAProxy in front of Telex: who stands behind them is seen, at whatever end TLS is."""

import http.client as http_client
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.interop.serving import Serving, port_to_keep, serving
from tests.interop.visits import Door, Plan, by_aiomqtt, by_mqtt_js, by_paho
from tests.processes import SECONDS, find, run, running, wait_for_port

CLIENT = "127.0.0.7"
"""Where clients come from; proxies come from 127.0.0.1."""

PLAN = Plan(
    "behind-a-proxy",
    filters=("proxy/#",),
    messages=(("proxy/big", "0123456789" * 20_000, 1), ("proxy/end", "end", 2)),
    last="proxy/end",
)
PROXIED = """
[access]
allow_anonymous = true

[[listeners]]
host = "127.0.0.1"
port = 0
"""
TRUSTS = 'proxy_protocol = "any"\ntrusted_proxies = ["127.0.0.1"]\n'
TLS = '[listeners.tls]\ncertificate = "server.pem"\nkey = "server-key.pem"\n'


@contextmanager
def nginx(folder: Path, kind: str, inside: str) -> Iterator[int]:
    """nginx with one server of that kind; gives the port that it listens on."""
    program = find("nginx")
    facts = subprocess.run([program, "-V"], capture_output=True, text=True, check=True).stderr
    modules = re.search(r"--modules-path=(\S+)", facts)
    load = ""
    if kind == "stream" and modules is not None and "--with-stream=dynamic" in facts:
        load = f"load_module {modules[1]}/ngx_stream_module.so;"
    port = port_to_keep()
    places = "client_body proxy fastcgi uwsgi scgi" if kind == "http" else ""
    temporary = "\n".join(f"{place}_temp_path {folder}/{place};" for place in places.split())
    logs = "access_log off;" if kind == "http" else ""
    conf = folder / "nginx.conf"
    conf.write_text(
        f"{load}\ndaemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log {folder}/nginx.log;\n"
        f"events {{}}\n{kind} {{\n{logs}\n{temporary}\nserver {{\n{inside.replace('PORT', str(port))}\n}}\n}}\n"
    )
    with running(program, "-p", str(folder), "-e", str(folder / "nginx.log"), "-c", str(conf)):
        wait_for_port(port)
        yield port


@contextmanager
def haproxy(folder: Path, mode: str, bind: str, server: str) -> Iterator[int]:
    """HAProxy with one listener and one server; gives the port that it listens on."""
    port = port_to_keep()
    conf = folder / "haproxy.cfg"
    conf.write_text(
        "defaults\ntimeout connect 10s\ntimeout client 60s\ntimeout server 60s\ntimeout tunnel 60s\n"
        f"listen broker\nmode {mode}\nbind 127.0.0.1:{port} {bind}\nserver telex {server}\n"
    )
    with running(find("haproxy"), "-db", "-f", str(conf)):
        wait_for_port(port)
        yield port


def publishes_from_elsewhere(door: Door, broker: Serving) -> str:
    """Somebody comes from another address; what the log says of it."""
    done = run(
        find("mosquitto_pub"), *replace(door, source=CLIENT).flags, "-i", "elsewhere", "-t", "proxy/x", "-m", "x"
    )
    assert (done.returncode, done.stderr) == (0, "")
    line = broker.log("connected client=elsewhere")
    assert f"address={CLIENT}:" in line
    return line


def test_nginx_passes_clients_on(tmp_path: Path) -> None:
    with serving(tmp_path, PROXIED + TRUSTS) as broker:
        stream = f"listen 127.0.0.1:PORT; proxy_pass 127.0.0.1:{broker.ports[0]}; proxy_protocol on;"
        with nginx(tmp_path, "stream", stream) as port:
            door = Door("mqtt", port)
            publishes_from_elsewhere(door, broker)
            assert [topic for topic, *_ in by_paho(door, PLAN).got] == ["proxy/big", "proxy/end"]


def test_nginx_ends_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.server()
    with serving(tmp_path, PROXIED + TRUSTS) as broker:
        stream = (
            f"listen 127.0.0.1:PORT ssl; ssl_certificate {server.certificate}; ssl_certificate_key {server.key};"
            f"proxy_pass 127.0.0.1:{broker.ports[0]}; proxy_protocol on;"
        )
        with nginx(tmp_path, "stream", stream) as port:
            door = Door("mqtts", port, ca=authority.path)
            publishes_from_elsewhere(door, broker)
            assert [topic for topic, *_ in by_paho(door, PLAN).got] == ["proxy/big", "proxy/end"]


def test_nginx_passes_tls_through(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.server()
    certificates = f'client_certificates = "required"\nclient_ca = "{authority.path}"\nuser_from = "cn"\n'
    with serving(tmp_path, PROXIED + TRUSTS + TLS + certificates) as broker:
        stream = f"listen 127.0.0.1:PORT; proxy_pass 127.0.0.1:{broker.ports[0]}; proxy_protocol on;"
        with nginx(tmp_path, "stream", stream) as port:
            door = Door("mqtts", port, ca=authority.path, certificate=authority.client("alice"))
            assert "user=alice" in publishes_from_elsewhere(door, broker)
            assert [topic for topic, *_ in by_paho(door, PLAN).got] == ["proxy/big", "proxy/end"]
            # Whoever fails at our TLS is named by its own address too.
            bare = replace(door, certificate=None, source=CLIENT)
            done = run(find("mosquitto_pub"), *bare.flags, "-t", "proxy/x", "-m", "x")
            assert done.returncode != 0
            line = broker.log("refused")
            assert f"address={CLIENT}:" in line
            assert "the client sent no certificate, and this listener requires one" in line


def test_nginx_may_speak_tls_to_the_broker(tmp_path: Path) -> None:
    Authority(tmp_path).server()
    with serving(tmp_path, PROXIED + TRUSTS + TLS) as broker:
        stream = (
            f"listen 127.0.0.1:PORT; proxy_pass 127.0.0.1:{broker.ports[0]}; proxy_protocol on; proxy_ssl on;"
            "proxy_ssl_name localhost; proxy_ssl_server_name on;"
        )
        with nginx(tmp_path, "stream", stream) as port:
            publishes_from_elsewhere(Door("mqtt", port), broker)


def test_a_proxy_and_a_listener_that_do_not_fit_are_told_apart_in_the_log(tmp_path: Path) -> None:
    listeners = PROXIED + TRUSTS + PROXIED.partition("[[")[2].join(["[[", TLS])
    Authority(tmp_path).server()
    door = ["-i", "lost", "-t", "proxy/x", "-m", "x"]
    with serving(tmp_path, listeners) as broker:
        for proxy_protocol, behind, says in (
            ("off", broker.ports[0], "which is not the PROXY protocol"),
            ("on", broker.ports[1], "it speaks the PROXY protocol; set proxy_protocol for this listener"),
        ):
            stream = f"listen 127.0.0.1:PORT; proxy_pass 127.0.0.1:{behind}; proxy_protocol {proxy_protocol};"
            with nginx(tmp_path, "stream", stream) as port:
                assert run(find("mosquitto_pub"), "-p", str(port), *door).returncode != 0
                broker.log(re.escape(says))


def test_addresses_behind_a_proxy_count_as_any_other(tmp_path: Path) -> None:
    rules = (
        '[[access.rules]]\ndeny = ["publish"]\naddresses = ["127.0.0.7"]\n'
        '[[access.rules]]\nallow = ["publish", "subscribe", "receive"]\n'
    )
    access, _, listener = PROXIED.partition("[[")
    with serving(tmp_path, f"{access}{rules}[[{listener}{TRUSTS}") as broker:
        stream = f"listen 127.0.0.1:PORT; proxy_pass 127.0.0.1:{broker.ports[0]}; proxy_protocol on;"
        with nginx(tmp_path, "stream", stream) as port:
            flags = ["-p", str(port), "-V", "5", "-q", "1", "-t", "proxy/x", "-m", "x"]
            denied = run(find("mosquitto_pub"), *flags, "-A", CLIENT)
            assert "Not authorized" in denied.stderr
            assert run(find("mosquitto_pub"), *flags, "-A", "127.0.0.8").stderr == ""


def test_strangers_cannot_say_that_they_are_proxies(tmp_path: Path) -> None:
    trusts_another = TRUSTS.replace('["127.0.0.1"]', '["127.0.0.9"]')
    with serving(tmp_path, PROXIED + trusts_another) as broker:
        stream = f"listen 127.0.0.1:PORT; proxy_pass 127.0.0.1:{broker.ports[0]}; proxy_protocol on;"
        with nginx(tmp_path, "stream", stream) as port:
            assert run(find("mosquitto_pub"), "-p", str(port), "-t", "proxy/x", "-m", "x").returncode != 0
            assert "it is not in trusted_proxies" in broker.log("refused address=127.0.0.1:")


UPGRADE = """
    proxy_http_version 1.1;
    proxy_set_header Host $host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection "upgrade";
"""


@pytest.mark.parametrize("by", [by_paho, by_aiomqtt, by_mqtt_js])
@pytest.mark.parametrize("outside", ["/mqtt", "/house/broker/mqtt"], ids=["same path", "path of its own"])
def test_nginx_is_a_reverse_proxy_for_websockets(tmp_path: Path, by: object, outside: str) -> None:
    assert callable(by)
    authority = Authority(tmp_path)
    server = authority.server()
    websocket = 'protocol = "websocket"\nwebsocket_path = "/mqtt"\n'
    with serving(tmp_path, PROXIED + websocket) as broker:
        http = (
            f"listen 127.0.0.1:PORT ssl; ssl_certificate {server.certificate}; ssl_certificate_key {server.key};"
            f"location {outside} {{ proxy_pass http://127.0.0.1:{broker.ports[0]}/mqtt; {UPGRADE} }}"
        )
        with nginx(tmp_path, "http", http) as port:
            visit = by(Door("wss", port, path=outside, ca=authority.path), PLAN)
            assert [topic for topic, *_ in visit.got] == ["proxy/big", "proxy/end"]


def test_nginx_may_speak_tls_to_a_websocket_listener(tmp_path: Path) -> None:
    Authority(tmp_path).server()
    with serving(tmp_path, PROXIED + 'protocol = "websocket"\n' + TLS) as broker:
        http = f"listen 127.0.0.1:PORT; location / {{ proxy_pass https://127.0.0.1:{broker.ports[0]}; {UPGRADE} }}"
        with nginx(tmp_path, "http", http) as port:
            assert [topic for topic, *_ in by_paho(Door("ws", port), PLAN).got] == ["proxy/big", "proxy/end"]


def test_a_reverse_proxy_that_forgets_the_upgrade_is_told_so(tmp_path: Path) -> None:
    with serving(tmp_path, PROXIED + 'protocol = "websocket"\n') as broker:
        forgets = 'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "";'
        http = f"listen 127.0.0.1:PORT; location / {{ proxy_pass http://127.0.0.1:{broker.ports[0]}; {forgets} }}"
        with nginx(tmp_path, "http", http) as port:
            request = http_client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
            request.request("GET", "/mqtt", headers={"Connection": "Upgrade", "Upgrade": "websocket"})
            answer = request.getresponse()
            assert answer.status == 400
            assert b"a proxy may have cut it" in answer.read()
            request.close()


@pytest.mark.parametrize("version", ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn"])
def test_haproxy_passes_clients_on(tmp_path: Path, version: str) -> None:
    authority = Authority(tmp_path)
    server = authority.server()
    both = tmp_path / "both.pem"
    both.write_bytes(server.certificate.read_bytes() + server.key.read_bytes())
    ends_tls = version.endswith("ssl-cn")
    requires = "proxy_requires_tls = true\n" if ends_tls else ""
    bind = f"ssl crt {both} ca-file {authority.path} verify required" if ends_tls else ""
    trusts = TRUSTS.replace("any", "2") if "v2" in version else TRUSTS
    with serving(tmp_path, PROXIED + trusts + requires) as broker:
        behind = f"127.0.0.1:{broker.ports[0]} {version}"
        with haproxy(tmp_path, "tcp", bind, behind) as port:
            door = Door("mqtt", port)
            if ends_tls:
                door = Door("mqtts", port, ca=authority.path, certificate=authority.client("alice"))
            publishes_from_elsewhere(door, broker)
            assert [topic for topic, *_ in by_paho(door, PLAN).got] == ["proxy/big", "proxy/end"]


def test_who_came_to_the_proxy_without_tls_is_refused_if_that_is_required(tmp_path: Path) -> None:
    trusts = TRUSTS.replace("any", "2") + "proxy_requires_tls = true\n"
    with serving(tmp_path, PROXIED + trusts) as broker:
        behind = f"127.0.0.1:{broker.ports[0]} send-proxy-v2-ssl"
        with haproxy(tmp_path, "tcp", "", behind) as port:
            done = run(find("mosquitto_pub"), "-p", str(port), "-A", CLIENT, "-t", "proxy/x", "-m", "x")
            assert done.returncode != 0
            assert "proxy_requires_tls is set" in broker.log("refused")


def test_behind_haproxy_websocket_clients_have_their_own_address(tmp_path: Path) -> None:
    with serving(tmp_path, PROXIED + TRUSTS + 'protocol = "websocket"\n') as broker:
        with haproxy(tmp_path, "http", "", f"127.0.0.1:{broker.ports[0]} send-proxy-v2") as port:
            visit = by_paho(Door("ws", port, source=CLIENT), PLAN)
            assert [topic for topic, *_ in visit.got] == ["proxy/big", "proxy/end"]
            assert f"address={CLIENT}:" in broker.log("connected client=behind-a-proxy")


def test_health_checks_of_haproxy_are_no_clients(tmp_path: Path) -> None:
    with serving(tmp_path, PROXIED + TRUSTS) as broker:
        behind = f"127.0.0.1:{broker.ports[0]} send-proxy-v2 check inter 50ms check-send-proxy"
        with haproxy(tmp_path, "tcp", "", behind) as port:
            broker.log("opened address=127.0.0.1:")  # a check is there, and speaks for itself
            broker.log("opened address=127.0.0.1:")
            publishes_from_elsewhere(Door("mqtt", port), broker)
