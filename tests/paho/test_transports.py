"""The same small program with real paho-mqtt and with the drop-in, over each transport and through each proxy."""

import asyncio
import gc
import re
import select
import socket
import ssl
import sys
import tempfile
import threading
import time
import warnings
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import paho.mqtt.client
import pytest

import telex.paho.client
from telex.streams import frames
from tests.certificates import Authority
from tests.client.proxies import Proxy
from tests.paho.peers import SECONDS, listening, proxying, websocket
from tests.paho.traces.values import text_of
from tests.processes import find, free_port, lines_until, running, serve_command, wait_for_port

SOCKS = {"socks4": 1, "socks5": 2, "http": 3}
"""The proxies, and PySocks's numbers for them."""

VERSIONS = {"v311": 4, "v5": 5}

TELEX = """
data = ""

[log]
to = []  # nobody reads it, and a pipe that is full would stop the broker

[[listeners]]
host = "127.0.0.1"
port = 0

[[listeners]]
host = "127.0.0.1"
port = 0
tls = {{ certificate = "{certificate}", key = "{key}" }}

[[listeners]]
host = "127.0.0.1"
port = 0
protocol = "websocket"
websocket_path = "/mqtt"

[[listeners]]
host = "127.0.0.1"
port = 0
protocol = "websocket"
websocket_path = "/mqtt"
tls = {{ certificate = "{certificate}", key = "{key}" }}

[[listeners]]
path = "{folder}/telex.sock"
"""

MOSQUITTO = """
user root
log_type error
allow_anonymous true
max_packet_size 1000000

listener {tcp} 127.0.0.1

listener {tls} 127.0.0.1
certfile {certificate}
keyfile {key}

listener 0 {folder}/mosquitto.sock
"""


@dataclass
class Broker:
    """Where a broker listens."""

    ports: dict[str, int]
    path: str
    authority: Authority

    def has(self, transport: str) -> bool:
        return transport == "unix" or transport in self.ports or transport in SOCKS


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Not pytest's: the path of a Unix socket must be short."""
    with tempfile.TemporaryDirectory(prefix="telex-paho-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder)


@pytest.fixture(scope="module")
def telex_broker(folder: Path, authority: Authority) -> Iterator[Broker]:
    server = authority.server()
    config = folder / "telex.toml"
    config.write_text(TELEX.format(certificate=server.certificate, key=server.key, folder=folder))
    with running(*serve_command("-c", str(config))) as process:
        found = re.findall(r"listening on +\S+://\S+:(\d+)$", lines_until(process, "stop  "), re.MULTILINE)
        ports = dict(zip(("tcp", "tls", "ws", "wss"), map(int, found), strict=True))
        yield Broker(ports, str(folder / "telex.sock"), authority)


@pytest.fixture(scope="module")
def mosquitto_broker(folder: Path, authority: Authority) -> Iterator[Broker]:
    program = find("mosquitto")
    server = authority.server("mosquitto")
    ports = {"tcp": free_port(), "tls": free_port()}
    config = folder / "mosquitto.conf"
    config.write_text(MOSQUITTO.format(certificate=server.certificate, key=server.key, folder=folder, **ports))
    with running(program, "-c", str(config)):
        wait_for_port(ports["tls"])
        yield Broker(ports, str(folder / "mosquitto.sock"), authority)


class Tolerant(Proxy):
    """A proxy that real paho can speak to: PySocks leaves the port out of the Host header."""

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int]:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        if self.login is not None:
            said = re.search("Proxy-Authorization: basic (.*)\r", head, re.IGNORECASE)
            assert said is not None
            assert b64decode(said[1]).decode() == ":".join(self.login)
            self.users.append(self.login[0])
        host, _, port = head.split(" ")[1].rpartition(":")
        self.asked.append((host, int(port)))
        await self.say(writer, self.answer or b"HTTP/1.1 200 Connection established\r\n\r\n")
        return host, int(port)


# The program


class Trace:
    """What a program sees: the lines of each callback in their order."""

    def __init__(self) -> None:
        self.lanes: dict[str, list[str]] = {}
        self._news = threading.Condition()

    def tell(self, lane: str, *values: object) -> None:
        with self._news:
            self.lanes.setdefault(lane, []).append(", ".join(text_of(value) for value in values))
            self._news.notify_all()

    def has(self, lane: str, count: int) -> bool:
        return len(self.lanes.get(lane, [])) >= count

    def waits(self, lane: str, count: int) -> None:
        with self._news:
            assert self._news.wait_for(lambda: self.has(lane, count), SECONDS), f"{lane} did not come: {self.lanes}"


Drive = Callable[[Any, Trace, str, int], None]
"""Has a client work until a callback came so many times."""


def by_a_thread(client: Any, trace: Trace, lane: str, count: int) -> None:
    if lane == "on_connect":
        client.loop_start()
    trace.waits(lane, count)
    if lane == "on_disconnect":
        client.loop_stop()


def by_loop(client: Any, trace: Trace, lane: str, count: int) -> None:
    until = time.monotonic() + SECONDS
    while not trace.has(lane, count):
        assert time.monotonic() < until, f"{lane} did not come: {trace.lanes}"
        client.loop(SECONDS)


def by_hand(client: Any, trace: Trace, lane: str, count: int) -> None:
    """As those do who have a loop of their own."""
    until = time.monotonic() + SECONDS
    while not trace.has(lane, count):
        assert time.monotonic() < until, f"{lane} did not come: {trace.lanes}"
        sock = client.socket()
        writers = [sock] if client.want_write() else []
        pending = sock.pending() if hasattr(sock, "pending") else 0
        readable, writable, _ = select.select([sock], writers, [], 0 if pending else SECONDS)
        if readable or pending:
            client.loop_read()
        if writable:
            client.loop_write()
        client.loop_misc()


DRIVES = [by_a_thread, by_loop, by_hand]


@dataclass
class Way:
    """How a program reaches its broker."""

    host: str
    port: int
    transport: str = "tcp"
    proxy: dict[str, Any] = field(default_factory=dict)
    ca: Path | None = None
    insecure: bool = False
    path: str = "/mqtt"
    headers: Any = None

    def client(self, mqtt: ModuleType, version: int = 4, **more: Any) -> Any:
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "c", protocol=version, transport=self.transport, **more)
        if self.ca is not None:
            client.tls_set(str(self.ca))
            client.tls_insecure_set(self.insecure)
        if self.proxy:
            client.proxy_set(**self.proxy)
        client.ws_set_options(self.path, self.headers)
        return client


def talk(mqtt: ModuleType, way: Way, version: int, drive: Drive) -> dict[str, list[str]]:
    """Come, subscribe, publish much and little at each QoS, get it back, and go."""
    trace = Trace()
    client = way.client(mqtt, version)
    client.on_connect = lambda c, u, flags, code, properties: trace.tell("on_connect", flags, code, properties)
    client.on_subscribe = lambda c, u, mid, codes, properties: trace.tell("on_subscribe", mid, codes, properties)
    client.on_unsubscribe = lambda c, u, mid, codes, properties: trace.tell("on_unsubscribe", mid, codes, properties)
    client.on_publish = lambda c, u, mid, code, properties: trace.tell("on_publish", mid, code)
    client.on_message = lambda c, u, message: trace.tell("on_message", message)
    client.on_disconnect = lambda c, u, flags, code, properties: trace.tell("on_disconnect", flags, code, properties)
    trace.tell("program", client.connect(way.host, way.port))
    drive(client, trace, "on_connect", 1)
    trace.tell("program", client.is_connected(), client.socket())
    trace.tell("program", client.subscribe("there/#", 2))
    drive(client, trace, "on_subscribe", 1)
    payloads = (b"little", b"", bytes(range(256)) * 700, b"x" * 65_536)
    count = 0
    for qos in (0, 1, 2):
        for payload in payloads:
            count += 1
            info = client.publish(f"there/{qos}", payload, qos)
            trace.tell("program", info)
            drive(client, trace, "on_publish", count)
            drive(client, trace, "on_message", count)
            info.wait_for_publish(SECONDS)
            trace.tell("program", info.is_published())
    trace.tell("program", client.unsubscribe("there/#"))
    drive(client, trace, "on_unsubscribe", 1)
    rc = client.disconnect()
    if drive is not by_a_thread:  # whose thread may be faster; real paho says then that there is no connection
        trace.tell("program", rc)
    drive(client, trace, "on_disconnect", 1)
    trace.tell("program", client.is_connected(), client.socket())
    return trace.lanes


def same_with_both(way: Way, version: int, drive: Drive = by_a_thread) -> None:
    real = talk(paho.mqtt.client, way, version, drive)
    ours = talk(telex.paho.client, way, version, drive)
    for lane in real:
        assert ours.get(lane) == real[lane], lane
    assert ours.keys() == real.keys()


@contextmanager
def way_to(broker: Broker, transport: str) -> Iterator[Way]:
    """How to reach a broker by one transport or proxy."""
    if transport == "unix":
        yield Way(broker.path, 1883, "unix")
    elif transport in SOCKS:
        with proxying(Tolerant(), transport) as proxy:
            words = {"proxy_type": SOCKS[transport], "proxy_addr": "127.0.0.1", "proxy_port": proxy.port}
            yield Way("broker.example", broker.ports["tcp"], proxy=words)
            assert proxy.asked == [("broker.example", broker.ports["tcp"])] * 2
    else:
        ca = broker.authority.path if transport in ("tls", "wss") else None
        yield Way("localhost", broker.ports[transport], "websockets" if "w" in transport else "tcp", ca=ca)


EVERY = ("tcp", "tls", "ws", "wss", "unix", *SOCKS)


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
@pytest.mark.parametrize("drive", DRIVES)
@pytest.mark.parametrize("transport", EVERY)
def test_a_program_sees_the_same_on_telex(telex_broker: Broker, transport: str, drive: Drive, version: int) -> None:
    with way_to(telex_broker, transport) as way:
        same_with_both(way, version, drive)


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
@pytest.mark.parametrize("transport", ["tcp", "tls", "unix", *SOCKS])
def test_a_program_sees_the_same_on_mosquitto(mosquitto_broker: Broker, transport: str, version: int) -> None:
    with way_to(mosquitto_broker, transport) as way:
        same_with_both(way, version)


@pytest.mark.parametrize("drive", DRIVES)
@pytest.mark.parametrize("transport", ["tcp", "tls", "ws", "wss", "unix"])
def test_more_than_a_socket_takes_at_once_arrives_whole_and_in_order(
    telex_broker: Broker, transport: str, drive: Drive
) -> None:
    payloads = [bytes([number]) * 400_000 for number in range(20)]
    with way_to(telex_broker, transport) as way:
        client = way.client(telex.paho.client)
        trace = Trace()
        got: list[bytes] = []

        def came(client: Any, userdata: Any, message: Any) -> None:
            got.append(message.payload)
            trace.tell("on_message", message.mid)

        client.on_connect = lambda c, u, flags, code, properties: trace.tell("on_connect", code)
        client.on_subscribe = lambda c, u, mid, codes, properties: trace.tell("on_subscribe", codes)
        client.on_message = came
        client.on_disconnect = lambda c, u, flags, code, properties: trace.tell("on_disconnect", code)
        client.connect(way.host, way.port)
        drive(client, trace, "on_connect", 1)
        client.subscribe("there", 1)
        drive(client, trace, "on_subscribe", 1)
        for payload in payloads:
            client.publish("there", payload, 1)
        drive(client, trace, "on_message", len(payloads))
        client.disconnect()
        drive(client, trace, "on_disconnect", 1)
    assert got == payloads


@pytest.mark.parametrize("transport", SOCKS)
def test_proxies_need_no_pysocks(telex_broker: Broker, transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socks", None)  # as if it were not installed
    with proxying(Proxy(), transport) as proxy:
        words = {"proxy_type": SOCKS[transport], "proxy_addr": "127.0.0.1", "proxy_port": proxy.port}
        way = Way("broker.example", telex_broker.ports["tcp"], proxy=words)
        lanes = talk(telex.paho.client, way, 5, by_a_thread)
        assert len(lanes["on_message"]) == 12
        assert proxy.asked == [("broker.example", telex_broker.ports["tcp"])]


@pytest.mark.parametrize(("scheme", "protocol"), [("http", "http"), ("socks", "socks5")])
def test_the_environment_names_the_same_proxy_to_both(
    telex_broker: Broker, scheme: str, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = telex_broker.ports["tcp"]
    with proxying(Tolerant(), protocol) as proxy:
        monkeypatch.setenv("mqtt_proxy", f"{scheme}://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "localhost")
        same_with_both(Way("broker.example", port), 4)
        same_with_both(Way("localhost", port), 4)
        assert proxy.asked == [("broker.example", port)] * 2


# What the other end sees


def reads_only(sock: socket.socket) -> None:
    while sock.recv(65_536):
        pass


def knocks(mqtt: ModuleType, way: Way, **more: Any) -> None:
    """Connect, and hear nothing of it: whoever is there closes."""
    client = way.client(mqtt)
    client.connect(way.host, way.port, **more)
    while client.socket() is not None:
        client.loop(SECONDS)


def signed(headers: dict[str, str]) -> dict[str, str]:
    return {**headers, "X-Signed": ", ".join(headers).replace(headers["Sec-WebSocket-Key"], "key")}


@pytest.mark.parametrize("headers", [None, {"X-More": "1"}, {"Origin": "https://there.example"}, signed])
@pytest.mark.parametrize("ca", [False, True])
def test_the_same_websocket_is_asked_for(headers: Any, ca: bool, authority: Authority) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server = authority.server("websocket")
    tls.load_cert_chain(server.certificate, server.key)
    with listening(websocket(lambda: door, lambda sock: None), tls=tls if ca else None) as door:
        way = Way("localhost", door.port, "websockets", ca=authority.path if ca else None, path="/there?a=b")
        way.headers = headers
        for mqtt in (paho.mqtt.client, telex.paho.client):
            knocks(mqtt, way)
        real, ours = (re.sub("(Sec-WebSocket-Key: ).*", r"\1", head) for head in door.heads)
        assert ours == real


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
@pytest.mark.parametrize("code", [b"", b"\x03\xe9", b"\x03\xf0"])
def test_a_websocket_that_the_server_closes_is_a_lost_connection(version: int, code: bytes) -> None:
    connack = b"\x20\x02\0\0" if version == 4 else b"\x20\x03\0\0\0"

    def lets_in_and_closes(sock: socket.socket) -> None:
        sock.recv(65_536)
        sock.sendall(frames.messages(connack) + b"\x89\x01p" + bytes((0x88, len(code))) + code)
        sock.shutdown(socket.SHUT_WR)
        reads_only(sock)

    traces = []
    with listening(websocket(lambda: door, lets_in_and_closes)) as door:
        for mqtt in (paho.mqtt.client, telex.paho.client):
            trace = Trace()
            client = Way("localhost", door.port, "websockets").client(mqtt, version, reconnect_on_failure=False)
            client.on_connect = lambda *arguments, trace=trace: trace.tell("on_connect", *arguments[2:])
            client.on_disconnect = lambda *arguments, trace=trace: trace.tell("on_disconnect", *arguments[2:])
            client.connect("localhost", door.port)
            by_loop(client, trace, "on_disconnect", 1)
            traces.append(trace.lanes)
    assert traces[0] == traces[1]


def test_connections_come_from_the_same_place() -> None:
    with listening(lambda sock: None) as door:
        for mqtt in (paho.mqtt.client, telex.paho.client):
            knocks(mqtt, Way("127.0.0.1", door.port), bind_address="127.0.0.2")
        assert [host for host, _ in door.clients] == ["127.0.0.2"] * 2


@pytest.mark.parametrize("transport", SOCKS)
@pytest.mark.parametrize("rdns", [True, False])
def test_a_proxy_is_asked_for_the_same(transport: str, rdns: bool) -> None:
    login = None if transport == "socks4" else ("me", "pw")
    with listening(lambda sock: None) as door, proxying(Tolerant(login), transport) as proxy:
        words = {"proxy_type": SOCKS[transport], "proxy_addr": "127.0.0.1", "proxy_port": proxy.port}
        words |= {"proxy_rdns": rdns, "proxy_username": "me", "proxy_password": "pw"}
        for mqtt in (paho.mqtt.client, telex.paho.client):
            knocks(mqtt, Way("localhost", door.port, proxy=words))
        assert proxy.asked == [("localhost" if rdns else "127.0.0.1", door.port)] * 2
        assert proxy.users == ["me"] * 2


# What fails


def fails(mqtt: ModuleType, way: Way, timeout: float = SECONDS) -> tuple[type[BaseException], int | None]:
    """How connecting ends: the kind of error, and its number."""
    client = way.client(mqtt)
    client.connect_timeout = timeout
    with warnings.catch_warnings():
        if mqtt is paho.mqtt.client:  # it leaves sockets open when TLS fails
            warnings.simplefilter("ignore", ResourceWarning)
        try:
            client.connect(way.host, way.port)
        except (OSError, ValueError) as error:
            found = type(error), getattr(error, "errno", None)
        else:
            raise AssertionError("there is a connection")
        gc.collect()
    assert client.socket() is None
    return found


def fails_the_same(way: Way, expected: type[BaseException], timeout: float = SECONDS) -> None:
    real = fails(paho.mqtt.client, way, timeout)
    ours = fails(telex.paho.client, way, timeout)
    assert ours == real
    assert issubclass(ours[0], expected)


@pytest.mark.parametrize("transport", ["tcp", "websockets"])
def test_nobody_listens(transport: str, authority: Authority) -> None:
    fails_the_same(Way("127.0.0.1", free_port(), transport), ConnectionRefusedError)
    fails_the_same(Way("127.0.0.1", free_port(), transport, ca=authority.path), ConnectionRefusedError)


def test_there_is_no_such_unix_socket(folder: Path) -> None:
    fails_the_same(Way(str(folder / "none.sock"), 1883, "unix"), FileNotFoundError)


def test_there_is_no_such_host() -> None:
    fails_the_same(Way("there.is.none.invalid", 1883), OSError)


@pytest.mark.parametrize("transport", ["tls", "wss"])
def test_the_certificate_is_of_somebody_else(telex_broker: Broker, transport: str, tmp_path: Path) -> None:
    other = Authority(tmp_path, "Other CA")
    way = Way("localhost", telex_broker.ports[transport], "websockets" if transport == "wss" else "tcp", ca=other.path)
    fails_the_same(way, ssl.SSLCertVerificationError)
    way.insecure = True
    fails_the_same(way, ssl.SSLCertVerificationError)


def test_the_certificate_has_another_name(authority: Authority) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server = authority.server("elsewhere", hosts=("elsewhere.example",))
    context.load_cert_chain(server.certificate, server.key)
    with listening(tls=context) as door:
        fails_the_same(Way("localhost", door.port, ca=authority.path), ssl.SSLCertVerificationError)


def test_the_broker_does_not_speak_tls(telex_broker: Broker) -> None:
    fails_the_same(Way("localhost", telex_broker.ports["ws"], ca=telex_broker.authority.path), ssl.SSLError)


@pytest.mark.parametrize(("transport", "ca"), [("tcp", True), ("websockets", True), ("websockets", False)])
def test_nobody_answers(transport: str, ca: bool, authority: Authority) -> None:
    with listening(reads_only) as door:
        way = Way("127.0.0.1", door.port, transport, ca=authority.path if ca else None)
        fails_the_same(way, TimeoutError, timeout=0.2)


@pytest.mark.parametrize("transport", ["ws", "wss"])
def test_there_is_no_websocket_at_that_path(telex_broker: Broker, transport: str) -> None:
    with way_to(telex_broker, transport) as way:
        way.path = "/other"
        for mqtt in (paho.mqtt.client, telex.paho.client):
            kind, _ = fails(mqtt, way)
            assert kind is mqtt.WebsocketConnectionError


def test_there_is_mqtt_in_place_of_a_websocket(telex_broker: Broker) -> None:
    for mqtt in (paho.mqtt.client, telex.paho.client):
        kind, _ = fails(mqtt, Way("localhost", telex_broker.ports["tcp"], "websockets"))
        assert kind is mqtt.WebsocketConnectionError


@pytest.mark.parametrize("transport", SOCKS)
def test_a_proxy_does_not_lead_there(transport: str) -> None:
    answers = {
        "socks4": b"\0\x5b" + bytes(6),
        "socks5": b"\5\5\0\1" + bytes(6),
        "http": b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
    }
    with proxying(Tolerant(answer=answers[transport]), transport) as proxy:
        words = {"proxy_type": SOCKS[transport], "proxy_addr": "127.0.0.1", "proxy_port": proxy.port}
        for mqtt in (paho.mqtt.client, telex.paho.client):
            kind, _ = fails(mqtt, Way("broker.example", 1883, proxy=words))
            assert issubclass(kind, OSError)


@pytest.mark.parametrize(
    "words",
    [{}, {"proxy_type": 3}, {"proxy_type": 3, "proxy_addr": ""}, {"proxy_type": 9, "proxy_addr": "there"}],
)
def test_a_proxy_that_is_none_is_refused_at_once(words: dict[str, Any]) -> None:
    for mqtt in (paho.mqtt.client, telex.paho.client):
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        with pytest.raises(ValueError):  # noqa: PT011
            client.proxy_set(**words)
