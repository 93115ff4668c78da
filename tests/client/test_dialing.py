"""The ways to a broker, and what is said of each that does not lead there."""

import asyncio
import os
import re
import select
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import dns.asyncresolver
import dns.message
import dns.rcode
import dns.rrset
import pytest

import telex
from telex.client import dialing
from telex.client.address import parse_address
from telex.client.dialing import Dialer, Srv, in_turn
from telex.client.tls import ClientTls
from telex.errors import NotConnected, Untrusted
from telex.server.config import Access, Config, Listener, Log, Tls
from tests.certificates import Authority
from tests.client.caller import SECONDS, Phone
from tests.client.proxies import Proxy, serving
from tests.interop.test_proxies import nginx
from tests.processes import Server, find, free_port, running, wait_for_port

CONNACK = b"\x20\x03\x00\x00\x00"


class House:
    """A broker with a door of each kind, and who it is."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority(directory)
        issued = self.authority.server(hosts=("localhost", "127.0.0.1", "::1", "broker.example"))
        tls = Tls(certificate=str(issued.certificate), key=str(issued.key))
        self.socket = directory / "x.sock"
        self._listeners = {
            "mqtt": Listener(host="127.0.0.1", port=0),
            "mqtts": Listener(host="127.0.0.1", port=0, tls=tls),
            "ws": Listener(host="127.0.0.1", port=0, protocol="websocket", websocket_path="/mqtt"),
            "wss": Listener(host="127.0.0.1", port=0, protocol="websocket", tls=tls),
            "unix": Listener(path=str(self.socket)),
        }
        self.broker = telex.Broker(
            config=Config(
                data="", access=Access(allow_anonymous=True), listeners=list(self._listeners.values()), log=Log(to=[])
            )
        )

    def port(self, scheme: str) -> int:
        return self.broker.port_of(self._listeners[scheme])

    def dialer(self, scheme: str, door: str = "", host: str = "localhost", path: str = "", **more: Any) -> Dialer:
        """To a door, by default the one of the scheme."""
        place = str(self.socket) if scheme == "unix" else f"{host}:{self.port(door or scheme)}{path}"
        if scheme in ("mqtts", "wss"):
            more = {"tls": ClientTls(ca_file=self.authority.path)} | more
        return Dialer(parse_address(f"{scheme}://{place}"), **more)

    def phone(self, scheme: str, door: str = "", **more: Any) -> Phone:
        return Phone(self.dialer(scheme, door, **more))


@asynccontextmanager
async def house(directory: Path) -> AsyncIterator[House]:
    made = House(directory)
    async with made.broker:
        yield made


class Silent(asyncio.Protocol):
    """A server's end that says what it is told to when it is heard, once; nothing: never."""

    def __init__(self, answer: bytes, came: list["Silent"]) -> None:
        self._answer = answer
        self.is_lost = asyncio.Event()
        self.seen = b""
        self._came = came

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._came.append(self)

    def data_received(self, data: bytes) -> None:
        self.seen += data
        if self._answer:
            self.transport.write(self._answer)
            self._answer = b""

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost.set()


@asynccontextmanager
async def silent(answer: bytes = b"", host: str = "127.0.0.1") -> AsyncIterator[tuple[int, list[Silent]]]:
    """A server that never closes: its port, and who came."""
    came: list[Silent] = []
    door = await asyncio.get_running_loop().create_server(lambda: Silent(answer, came), host, 0)
    yield door.sockets[0].getsockname()[1], came
    door.close()
    for each in came:
        each.transport.abort()
        async with asyncio.timeout(SECONDS):
            await each.is_lost.wait()


async def fails(dialer: Dialer, kind: type[BaseException], says: str) -> BaseException:
    """There is no stream, for a reason in one sentence."""
    async with Phone(dialer) as phone:
        with pytest.raises(kind, match=says) as raised:
            await phone.calls()
    assert phone.callers == []
    assert "\n" not in str(raised.value)
    assert not isinstance(raised.value, TimeoutError)  # which is for those who have set a limit
    return raised.value


# To Telex


@pytest.mark.parametrize("scheme", ["mqtt", "mqtts", "ws", "wss", "unix"])
async def test_every_scheme_leads_to_the_broker(tmp_path: Path, scheme: str) -> None:
    async with house(tmp_path) as made, made.phone(scheme) as phone:
        caller = await phone.gets_through()
        assert caller.stream.via_tls == ("TLSv1.3" if scheme in ("mqtts", "wss") else "")
        place = str(made.socket) if scheme == "unix" else f"127.0.0.1:{made.port(scheme)}"
        assert caller.stream.address == place
        assert caller.stream.host == ("" if scheme == "unix" else "127.0.0.1")
        caller.stream.close()
        assert await caller.reason == "the connection was closed"


async def test_a_dialer_opens_as_many_as_are_wanted(tmp_path: Path) -> None:
    async with house(tmp_path) as made, made.phone("wss") as phone:
        first = await phone.gets_through()
        second = await phone.gets_through()
        assert first.stream is not second.stream


async def test_the_local_address_may_be_said(tmp_path: Path) -> None:
    async with silent(CONNACK) as (port, came):
        async with Phone(Dialer(parse_address(f"mqtt://127.0.0.1:{port}"), bind="127.0.0.9")) as phone:
            await phone.gets_through()
        assert came[0].transport.get_extra_info("peername")[0] == "127.0.0.9"
        await fails(Dialer(parse_address(f"mqtt://127.0.0.1:{port}"), bind="192.0.2.1"), OSError, "no such address")
        await fails(Dialer(parse_address(f"mqtt://127.0.0.1:{port}"), bind="::1"), OSError, "no address of the kind")
        no_name = Dialer(parse_address(f"mqtt://127.0.0.1:{port}"), bind="no.such.invalid")
        await fails(no_name, OSError, r"bind, no\.such\.invalid, is no address of this machine")


# To others


async def test_debians_mosquitto_is_reached(debian_mosquitto: Server) -> None:
    async with Phone(Dialer(parse_address(f"mqtt://localhost:{debian_mosquitto.port}"))) as phone:
        await phone.gets_through()


@asynccontextmanager
async def mosquitto(directory: Path) -> AsyncIterator[dict[str, int]]:
    """One with WebSockets, TLS and client certificates; gives its ports."""
    authority = Authority(directory)
    server = authority.server()
    ports = {name: free_port() for name in ("ws", "mqtts", "asking", "wss")}
    tls = f"cafile {authority.path}\ncertfile {server.certificate}\nkeyfile {server.key}\n"
    conf = directory / "mosquitto.conf"
    conf.write_text(
        "allow_anonymous true\nlog_type error\nuser root\n"
        f"listener {ports['ws']} 127.0.0.1\nprotocol websockets\n"
        f"listener {ports['wss']} 127.0.0.1\nprotocol websockets\n{tls}"
        f"listener {ports['mqtts']} 127.0.0.1\n{tls}"
        f"listener {ports['asking']} 127.0.0.1\n{tls}require_certificate true\n"
    )
    with running(find("mosquitto"), "-c", str(conf)):
        for port in ports.values():
            await asyncio.to_thread(wait_for_port, port)
        yield ports


async def test_debians_mosquitto_is_reached_by_websocket_and_tls(tmp_path: Path) -> None:
    async with mosquitto(tmp_path) as ports:
        tls = ClientTls(ca_file=tmp_path / "test-ca.pem")
        alice = Authority(tmp_path, "Other CA").client("alice")
        for scheme in ("ws", "wss", "mqtts"):
            address = parse_address(f"{scheme}://localhost:{ports[scheme]}")
            async with Phone(Dialer(address, tls=None if scheme == "ws" else tls)) as phone:
                caller = await phone.gets_through()
                caller.stream.close()
                assert await caller.reason == "the connection was closed"
        asking = parse_address(f"mqtts://localhost:{ports['asking']}")
        async with Phone(Dialer(asking, tls=tls)) as phone:
            assert "wants a client certificate" in await phone.hears_the_end()
        unknown = ClientTls(ca_file=tls.ca_file, certificate=alice.certificate, key=alice.key)
        async with Phone(Dialer(asking, tls=unknown)) as phone:
            assert "it does not trust the CA that signed it" in await phone.hears_the_end()
        async with Phone(Dialer(parse_address(f"mqtt://localhost:{ports['mqtts']}"))) as phone:
            assert re.search(r"speaks TLS: use mqtts|it may want TLS \(mqtts\)", await phone.hears_the_end())


async def test_nginx_may_stand_in_front(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "Front CA")
    server = authority.server("front")
    async with house(tmp_path) as made:
        inside = f"""
            listen 127.0.0.1:PORT ssl; ssl_certificate {server.certificate}; ssl_certificate_key {server.key};
            location /broker {{
                proxy_pass http://127.0.0.1:{made.port("ws")}/mqtt; proxy_http_version 1.1;
                proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "Upgrade";
            }}
            location /moved {{ return 301 /broker; }}
            location /closed {{ return 403; }}
            location /down {{ proxy_pass http://127.0.0.1:1; }}
        """
        running_nginx = nginx(tmp_path, "http", inside)
        port = await asyncio.to_thread(running_nginx.__enter__)
        try:
            tls = ClientTls(ca_file=authority.path)

            def at(path: str) -> Dialer:
                return Dialer(parse_address(f"wss://localhost:{port}{path}"), tls=tls)

            async with Phone(at("/broker")) as phone:
                await phone.gets_through()
            await fails(at("/moved"), NotConnected, r"/moved to https://\S+/broker \(301 Moved Permanently\)")
            await fails(at("/closed"), NotConnected, r"refuses a WebSocket at /closed \(403 Forbidden\)")
            await fails(at("/down"), NotConnected, r"does not reach the broker behind it \(502 Bad Gateway\)")
            await fails(at("/none"), NotConnected, r"without a WebSocket at /none \(404 Not Found\)")
            plain = Dialer(parse_address(f"ws://localhost:{port}"))
            await fails(plain, NotConnected, r"a web server without a WebSocket at /mqtt \(400 Bad Request\)")
            async with Phone(Dialer(parse_address(f"mqtt://localhost:{port}"))) as phone:
                assert re.search("is a web server|closes the connection", await phone.hears_the_end())
        finally:
            await asyncio.to_thread(running_nginx.__exit__, None, None, None)


# Where nobody is, or somebody else


async def test_where_nobody_listens_is_said_with_all_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    error = await fails(
        Dialer(parse_address(f"mqtt://127.0.0.1:{port}")),
        ConnectionRefusedError,
        rf"^no connection to 127\.0\.0\.1:{port}: nothing listens there \(127\.0\.0\.1\)$",
    )
    assert isinstance(error, OSError)
    assert error.errno is not None
    hosts(monkeypatch, "127.0.0.1", "127.0.0.2")
    await fails(
        Dialer(parse_address(f"mqtt://broker.example:{port}")),
        ConnectionRefusedError,
        rf"broker\.example:{port}: nothing listens there \(127\.0\.0\.1, 127\.0\.0\.2\)$",
    )


async def test_a_name_that_nobody_has_is_said() -> None:
    dialer = Dialer(parse_address("mqtts://no.such.host.invalid"))
    await fails(dialer, socket.gaierror, r"no connection to no\.such\.host\.invalid:8883: the name does not resolve")


async def test_a_socket_that_is_not_there_is_said(tmp_path: Path) -> None:
    there = tmp_path / "x.sock"
    dialer = Dialer(parse_address(f"unix://{there}"))
    await fails(dialer, FileNotFoundError, r"^no connection to the socket \S+/x\.sock: it is not there$")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(there))
        await fails(dialer, ConnectionRefusedError, "nothing listens there")


@pytest.mark.parametrize(
    ("scheme", "door", "says"),
    [
        ("mqtt", "mqtts", r"it may want TLS \(mqtts\) or WebSocket \(ws\)"),
        ("mqtt", "ws", r"is a web server: MQTT may be spoken there by WebSocket, with ws://"),
        ("mqtts", "wss", r"is a web server: MQTT may be spoken there by WebSocket, with wss://"),
    ],
)
async def test_mqtt_at_another_door_ends_with_what_is_there(tmp_path: Path, scheme: str, door: str, says: str) -> None:
    async with house(tmp_path) as made, made.phone(scheme, door) as phone:
        reason = await phone.hears_the_end()
        assert re.search(rf"localhost:\d+ .*{says}", reason), reason


@pytest.mark.parametrize(
    ("scheme", "door", "says"),
    [
        ("mqtts", "mqtt", r"it may speak without TLS \(mqtt, ws\)"),
        ("mqtts", "ws", r"does not speak TLS: leave it out \(mqtt, ws\)"),
        ("ws", "mqtt", r"in place of an answer to a WebSocket: it may want TLS \(wss\), or speak MQTT without"),
        ("ws", "wss", r"in place of an answer to a WebSocket: it may want TLS \(wss\)"),
        ("wss", "mqtt", r"it may speak without TLS \(mqtt, ws\)"),
        ("wss", "ws", r"does not speak TLS: leave it out"),
        ("wss", "mqtts", r"in place of an answer to a WebSocket: it may want a client certificate, or speak MQTT"),
    ],
)
async def test_other_schemes_at_another_door_are_told_what_is_there(
    tmp_path: Path, scheme: str, door: str, says: str
) -> None:
    async with house(tmp_path) as made:
        await fails(made.dialer(scheme, door), NotConnected, rf"localhost:\d+ .*{says}")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"\x15\x03\x03\x00\x02\x02\x28", "speaks TLS: use mqtts://"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "is a web server"),
    ],
)
async def test_first_bytes_of_others_are_not_taken_for_mqtt(answer: bytes, says: str) -> None:
    async with silent(answer) as (port, _):
        async with Phone(Dialer(parse_address(f"mqtt://127.0.0.1:{port}"))) as phone:
            assert says in await phone.hears_the_end()  # the other end never closes


async def test_who_answered_once_is_not_taken_for_somebody_else() -> None:
    async with silent(CONNACK) as (port, came):
        async with Phone(Dialer(parse_address(f"mqtt://127.0.0.1:{port}"))) as phone:
            caller = await phone.gets_through()
            came[0].transport.close()
            assert await caller.reason == "the connection was closed"


async def test_a_websocket_at_another_path_is_refused_in_words(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        await fails(made.dialer("ws", path="/other"), NotConnected, r"without a WebSocket at /other \(404 Not Found\)")


async def test_headers_go_with_the_request_and_the_host_is_named() -> None:
    async with silent(b"HTTP/1.1 401 Unauthorized\r\n\r\n") as (port, came):
        address = parse_address(f"ws://localhost:{port}/x")
        await fails(Dialer(address, websocket_headers={"Authorization": "Bearer x"}), NotConnected, "401 Unauthorized")
        assert f"\r\nHost: localhost:{port}\r\n".encode() in came[0].seen
        assert b"\r\nAuthorization: Bearer x\r\n" in came[0].seen


# Several addresses


def hosts(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Names below ``example`` have these addresses."""
    for kind in {asyncio.get_running_loop().__class__, asyncio.BaseEventLoop}:
        real = kind.getaddrinfo

        async def getaddrinfo(self: Any, host: Any, port: Any, *, real: Any = real, **more: Any) -> Any:
            if not str(host).endswith(".example"):
                return await real(self, host, port, **more)
            found = []
            for each in addresses:
                found += await real(self, each, port, **more)
            return found

        try:
            monkeypatch.setattr(kind, "getaddrinfo", getaddrinfo)
        except TypeError:  # uvloop's is written in C
            pytest.skip("the loop's functions cannot be replaced")


async def test_the_next_address_is_tried_when_one_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    async with silent(CONNACK) as (port, _):
        hosts(monkeypatch, "127.0.0.2", "127.0.0.1")
        async with Phone(Dialer(parse_address(f"mqtt://broker.example:{port}"))) as phone:
            caller = await phone.gets_through()
            assert caller.stream.host == "127.0.0.1"


async def test_an_address_that_does_not_answer_has_no_more_than_a_head_start(monkeypatch: pytest.MonkeyPatch) -> None:
    real = dialing._attempt
    given_up: list[str] = []

    async def attempt(family: int, address: Any, local: Any) -> socket.socket:
        if address[0] != "127.0.0.2":
            return await real(family, address, local)
        try:
            await asyncio.get_running_loop().create_future()  # a firewall that drops what comes
        finally:
            given_up.append(address[0])
        raise AssertionError

    monkeypatch.setattr(dialing, "_attempt", attempt)
    monkeypatch.setattr(dialing, "_HEAD_START", 0.001)
    async with silent(CONNACK) as (port, _):
        hosts(monkeypatch, "127.0.0.2", "127.0.0.1")
        async with Phone(Dialer(parse_address(f"mqtt://broker.example:{port}"))) as phone:
            caller = await phone.gets_through()
            assert caller.stream.host == "127.0.0.1"
            assert given_up == ["127.0.0.2"]


def test_the_families_of_addresses_take_turns() -> None:  # RFC 8305, section 4
    six, four = socket.AF_INET6, socket.AF_INET
    found = [(six, 1), (six, 2), (six, 3), (four, 4)]
    assert dialing._mixed(found) == [(six, 1), (four, 4), (six, 2), (six, 3)]
    assert dialing._mixed(found[:1]) == found[:1]


# Through a proxy

PROXIES = {"socks4": "socks4", "socks4a": "socks4", "socks5": "socks5", "socks5h": "socks5", "http": "http"}


@pytest.mark.parametrize("scheme", ["mqtt", "mqtts", "ws", "wss"])
@pytest.mark.parametrize("kind", PROXIES)
async def test_every_proxy_leads_to_the_broker_by_every_scheme(tmp_path: Path, kind: str, scheme: str) -> None:
    async with house(tmp_path) as made, serving(Proxy(), PROXIES[kind]) as proxy:
        async with made.phone(scheme, proxy=f"{kind}://127.0.0.1:{proxy.port}") as phone:
            caller = await phone.gets_through()
            assert caller.stream.address == f"127.0.0.1:{proxy.port}"
        has_names = kind in ("socks4a", "socks5h", "http")
        assert proxy.asked == [("localhost" if has_names else "127.0.0.1", made.port(scheme))]


@pytest.mark.parametrize("kind", ["socks4a", "socks5h", "http"])
async def test_a_proxy_may_know_names_that_we_do_not(tmp_path: Path, kind: str) -> None:
    async with house(tmp_path) as made, serving(Proxy(), PROXIES[kind]) as proxy:
        async with made.phone("mqtts", host="broker.example", proxy=f"{kind}://127.0.0.1:{proxy.port}") as phone:
            await phone.gets_through()  # and its certificate is for that name
        assert proxy.asked == [("broker.example", made.port("mqtts"))]


@pytest.mark.parametrize("kind", ["socks4", "socks5"])
async def test_with_other_proxies_we_have_to_know_the_name(kind: str) -> None:
    async with serving(Proxy(), kind) as proxy:
        dialer = Dialer(parse_address("mqtt://no.such.host.invalid"), proxy=f"{kind}://127.0.0.1:{proxy.port}")
        await fails(
            dialer, socket.gaierror, r"no connection to no\.such\.host\.invalid:1883: the name does not resolve"
        )


@pytest.mark.parametrize("kind", ["socks5", "socks5h", "http"])
async def test_a_proxy_may_want_a_password(tmp_path: Path, kind: str) -> None:
    async with house(tmp_path) as made, serving(Proxy(("alice", "p@ss:w%")), PROXIES[kind]) as proxy:
        there = f"127.0.0.1:{proxy.port}"
        async with made.phone("mqtt", proxy=f"{kind}://alice:p%40ss:w%25@{there}") as phone:
            await phone.gets_through()
        assert proxy.users == ["alice"]
        for login in ("alice:other@", ""):
            error = await fails(
                made.dialer("mqtt", proxy=f"{kind}://{login}{there}"), NotConnected, f"the proxy {there}"
            )
            assert "other" not in str(error).replace("another", "")


async def test_a_proxy_of_socks_4_gets_the_user_name(tmp_path: Path) -> None:
    async with house(tmp_path) as made, serving(Proxy(), "socks4") as proxy:
        async with made.phone("mqtt", proxy=f"socks4://alice@127.0.0.1:{proxy.port}") as phone:
            await phone.gets_through()
        assert proxy.users == ["alice"]


@pytest.mark.parametrize(
    ("kind", "answer", "says"),
    [
        ("socks4a", b"\0\x5b" + bytes(6), "Request rejected or failed"),
        ("socks5h", b"\5\2\0\1" + bytes(6), "Connection not allowed by ruleset"),
        ("socks5h", b"\5\5\0\1" + bytes(6), "Connection refused by destination host"),
        ("http", b"HTTP/1.1 403 Forbidden\r\n\r\n", "broker.example:1883: 403 Forbidden"),
        ("http", b"HTTP/1.1 407 Who are you\r\n\r\n", r"wants another user name and password \(407 Who are you\)"),
        ("http", b"SSH-2.0-x\r\n", r"it says b'SSH-2\.0-x"),
        ("http", b"HTTP/1.1 200 OK\r\n\r\nmore", "does not answer as one of HTTP does"),
    ],
)
async def test_a_proxy_that_says_no_is_quoted(kind: str, answer: bytes, says: str) -> None:
    async with serving(Proxy(answer=answer), PROXIES[kind]) as proxy:
        dialer = Dialer(parse_address("mqtt://broker.example"), proxy=f"{kind}://127.0.0.1:{proxy.port}")
        await fails(dialer, NotConnected, rf"the proxy 127\.0\.0\.1:{proxy.port} .*{says}")


@pytest.mark.parametrize("kind", PROXIES)
async def test_a_proxy_may_take_its_time_for_each_byte(tmp_path: Path, kind: str) -> None:
    async with house(tmp_path) as made, serving(Proxy(at_a_time=1), PROXIES[kind]) as proxy:
        async with made.phone("mqtt", proxy=f"{kind}://127.0.0.1:{proxy.port}") as phone:
            await phone.gets_through()


@pytest.mark.parametrize("kind", PROXIES)
async def test_a_proxy_that_is_not_there_is_told_from_a_broker_that_is_not(kind: str) -> None:
    port = free_port()
    dialer = Dialer(parse_address("mqtt://192.0.2.1"), proxy=f"{kind}://127.0.0.1:{port}")
    await fails(dialer, OSError, rf"no connection to the proxy 127\.0\.0\.1:{port}: nothing listens there")
    dialer = Dialer(parse_address("mqtt://192.0.2.1"), proxy=f"{kind}://no.such.host.invalid:{port}")
    await fails(
        dialer, OSError, rf"no connection to the proxy no\.such\.host\.invalid:{port}: the name does not resolve"
    )


@pytest.mark.parametrize("kind", PROXIES)
async def test_the_local_address_is_that_of_the_way_to_the_proxy(tmp_path: Path, kind: str) -> None:
    async with house(tmp_path) as made, serving(Proxy(), PROXIES[kind]) as proxy:
        async with made.phone("mqtt", proxy=f"{kind}://127.0.0.1:{proxy.port}", bind="127.0.0.9") as phone:
            await phone.gets_through()
        assert proxy.clients == ["127.0.0.9"]


async def test_a_certificate_is_looked_at_through_the_proxy(tmp_path: Path) -> None:
    async with house(tmp_path) as made, serving(Proxy(), "socks5") as proxy:
        there = f"socks5h://127.0.0.1:{proxy.port}"
        dialer = made.dialer("mqtts", host="other.example", proxy=there)
        await fails(dialer, Untrusted, r"is not for other\.example, but for localhost, broker\.example")
        assert len(proxy.asked) == 2


# SRV


class Names(asyncio.DatagramProtocol):
    """A server of DNS that knows a few SRV records."""

    def __init__(self, records: dict[str, list[str]]) -> None:
        self.records = records
        self.asked: list[str] = []

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        query = dns.message.from_wire(data)
        name = query.question[0].name
        self.asked.append(name.to_text())
        answer = dns.message.make_response(query)
        records = self.records.get(name.to_text())
        if records is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif records:
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "SRV", *records))
        self._transport.sendto(answer.to_wire(), addr)


@asynccontextmanager
async def names(records: dict[str, list[str]]) -> AsyncIterator[tuple[Names, dns.asyncresolver.Resolver]]:
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Names(records), local_addr=("127.0.0.1", 0)
    )
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = transport.get_extra_info("sockname")[1]
    yield server, resolver
    transport.close()
    await asyncio.sleep(0)


@pytest.mark.parametrize("scheme", ["mqtt", "mqtts"])
async def test_dns_names_the_broker(tmp_path: Path, scheme: str) -> None:
    service = {"mqtt": "_mqtt", "mqtts": "_secure-mqtt"}[scheme]
    async with house(tmp_path) as made:
        records = {f"{service}._tcp.broker.example.": [f"0 0 {made.port(scheme)} localhost."]}
        async with names(records) as (server, resolver):
            tls = {"tls": ClientTls(ca_file=made.authority.path)} if scheme == "mqtts" else {}
            address = parse_address(f"{scheme}://broker.example:1")
            async with Phone(Dialer(address, use_srv=True, resolver=resolver, **tls)) as phone:
                await phone.gets_through()
            assert server.asked == [f"{service}._tcp.broker.example."]


async def test_a_certificate_is_for_the_domain_and_not_for_whom_dns_names(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        records = {"_secure-mqtt._tcp.other.example.": [f"0 0 {made.port('mqtts')} localhost."]}
        async with names(records) as (_, resolver):
            address = parse_address("mqtts://other.example")
            tls = ClientTls(ca_file=made.authority.path)
            await fails(
                Dialer(address, tls=tls, use_srv=True, resolver=resolver), Untrusted, r"is not for other\.example, but"
            )


async def test_a_broker_of_lower_priority_is_there_for_when_the_first_is_not() -> None:
    async with silent(CONNACK) as (port, _):
        nobody = free_port()
        records = {"_mqtt._tcp.b.example.": [f"2 0 {port} 127.0.0.1.", f"1 0 {nobody} 127.0.0.1."]}
        async with names(records) as (_, resolver):
            dialer = Dialer(parse_address("mqtt://b.example"), use_srv=True, resolver=resolver)
            async with Phone(dialer) as phone:
                await phone.gets_through()


async def test_a_broker_that_took_all_the_time_is_tried_last_the_next_time() -> None:
    hello = b"HTTP/1.1 101 Switching"
    async with silent() as (deaf, heard), silent(hello) as (well, _):
        address = parse_address(f"ws://127.0.0.1:{deaf}")
        dialer = Dialer(address).redirected(f"127.0.0.1:{deaf} 127.0.0.1:{well}")
        opening = asyncio.create_task(dialer.open(lambda stream: pytest.fail("opened")))
        async with asyncio.timeout(SECONDS):
            while not heard or not heard[0].seen:
                await asyncio.sleep(0.001)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert [target.port for target in dialer._failed] == [deaf]
        opening = asyncio.create_task(dialer.open(lambda stream: pytest.fail("opened")))
        async with asyncio.timeout(SECONDS):
            while [target.port for target in dialer._failed] != [deaf, well]:  # it is at the other one now
                await asyncio.sleep(0.001)
        assert len(heard) == 1
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening


@pytest.mark.parametrize(
    ("records", "says"),
    [
        (None, r"there is no SRV record at _mqtt\._tcp\.b\.example"),
        ([], r"there is no SRV record at _mqtt\._tcp\.b\.example"),
        (["0 0 0 ."], "that there is no broker"),
    ],
)
async def test_dns_that_names_nobody_is_quoted(records: list[str] | None, says: str) -> None:
    async with names({} if records is None else {"_mqtt._tcp.b.example.": records}) as (_, resolver):
        await fails(Dialer(parse_address("mqtt://b.example"), use_srv=True, resolver=resolver), OSError, says)


async def test_all_brokers_that_dns_names_are_told_when_none_is_there() -> None:
    one, two = free_port(), free_port()
    records = {"_mqtt._tcp.b.example.": [f"1 0 {one} 127.0.0.1.", f"2 0 {two} 127.0.0.1."]}
    async with names(records) as (_, resolver):
        dialer = Dialer(parse_address("mqtt://b.example"), use_srv=True, resolver=resolver)
        await fails(dialer, ConnectionRefusedError, rf"127\.0\.0\.1:{one}: nothing .*; .*127\.0\.0\.1:{two}: nothing")


def test_brokers_are_tried_by_priority_and_by_chance_as_their_weights_say() -> None:  # RFC 2782
    first, light, heavy, idle = Srv(1, 5, 1, "a"), Srv(2, 10, 1, "b"), Srv(2, 30, 1, "c"), Srv(2, 0, 1, "d")
    records = [heavy, idle, first, light]

    def order(*numbers: int) -> list[Srv]:
        drawn = iter(numbers)
        return in_turn(records, lambda low, high: next(drawn))

    assert order(3, 0, 0, 0) == [first, idle, light, heavy]
    assert order(3, 1, 0, 0) == [first, light, idle, heavy]
    assert order(3, 10, 30, 0) == [first, light, heavy, idle]
    assert order(3, 11, 0, 0) == [first, heavy, idle, light]
    assert order(3, 40, 10, 0) == [first, heavy, light, idle]
    limits: list[tuple[int, int]] = []
    in_turn(records, lambda low, high: limits.append((low, high)) or high)
    assert limits == [(0, 5), (0, 40), (0, 10), (0, 0)]
    assert in_turn([], lambda low, high: 0) == []


# To another server


async def test_a_server_reference_leads_elsewhere_by_the_same_ways(tmp_path: Path) -> None:  # section 4.11
    async with house(tmp_path) as made, serving(Proxy(), "socks5") as proxy:
        dialer = made.dialer("wss", path="/mqtt", proxy=f"socks5h://127.0.0.1:{proxy.port}", host="nowhere.example")
        other = dialer.redirected(f"localhost:{made.port('wss')}")
        assert str(other.address) == f"wss://localhost:{made.port('wss')}/mqtt"
        async with Phone(other) as phone:
            await phone.gets_through()
        assert proxy.asked == [("localhost", made.port("wss"))]


async def test_a_server_reference_may_name_several(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        dialer = made.dialer("mqtts").redirected(f"127.0.0.1:{free_port()} localhost:{made.port('mqtts')}")
        async with Phone(dialer) as phone:
            await phone.gets_through()


def test_a_server_reference_is_a_host_with_or_without_a_port() -> None:
    dialer = Dialer(parse_address("unix:///run/x.sock"))
    assert str(dialer.redirected("b.example").address) == "mqtt://b.example:1883"
    assert str(dialer.redirected("[::1]:7 c.example").address) == "mqtt://[::1]:7"
    for wrong in ("", " ", "b.example:x", "mqtt://b.example", "[::1"):
        with pytest.raises(ValueError, match=r"^the server reference '"):
            dialer.redirected(wrong)


# What can never work


@pytest.mark.parametrize(
    ("address", "arguments", "says"),
    [
        ("mqtt://h", {"tls": ClientTls()}, "there is no TLS with mqtt://h:1883; write mqtts:// to have it"),
        ("ws://h", {"tls": ssl.create_default_context()}, "write wss:// to have it"),
        ("unix:///x", {"tls": ClientTls()}, "leave tls out"),
        ("unix:///x", {"proxy": "http://p"}, "proxy: it does not fit unix:///x"),
        ("unix:///x", {"bind": "127.0.0.1"}, "bind: it does not fit unix:///x"),
        ("unix:///x", {"use_srv": True}, "use_srv: it does not fit unix:///x"),
        ("unix:///" + "x" * 107, {}, "has 107 bytes at most"),
        ("mqtt://h", {"websocket_headers": {"X": "y"}}, "there is no WebSocket with mqtt://h:1883"),
        ("ws://h", {"websocket_headers": {"Upgrade": "y"}}, "Upgrade is for the handshake itself"),
        ("ws://h", {"use_srv": True}, "DNS names brokers for mqtt and mqtts, not for ws"),
        ("mqtt://192.0.2.1", {"use_srv": True}, "192.0.2.1 is an IP address, expected a domain"),
        ("mqtts://h", {"tls": ClientTls(server_name=".h")}, "'.h' is no name that a certificate can have"),
        ("mqtt://h", {"proxy": "socks6://p"}, "socks6:// is none of socks4, socks4a, socks5, socks5h, http"),
        ("mqtt://h", {"proxy": "https://p"}, "https:// is none of"),
        ("mqtt://h", {"proxy": "p:1080"}, "'p:1080' is none of"),
        ("mqtt://h", {"proxy": "alice:secret@p"}, "'p' is none of"),
        ("mqtt://h", {"proxy": "http://:8080"}, "the proxy http://:8080: expected a host"),
        ("mqtt://h", {"proxy": "http://a:secret@p:x"}, "the proxy http://p:x: 'x' is no port"),
        ("mqtt://h", {"proxy": "socks4://a:secret@p"}, "SOCKS 4 knows no password"),
        ("mqtt://h", {"proxy": "socks4://%C3%A4@p"}, "user name and password are ASCII"),
        ("mqtt://h", {"proxy": "socks5://a:%E2%82%AC@p"}, "user name and password are ASCII"),
        ("mqtt://[::1]", {"proxy": "socks4://p"}, "SOCKS 4 knows no IPv6 address like ::1"),
        ("mqtt://h", {"proxy": "socks5://alice@p"}, "a user name and a password, or neither"),
        ("mqtt://h", {"proxy": f"socks5://{'a' * 256}:b@p"}, "have 255 bytes at most"),
        ("mqtt://h", {"proxy": "http://a%3Ab:c@p"}, "a user name of HTTP has no colon in it"),
    ],
)
def test_what_can_never_work_is_said_when_the_dialer_is_made(
    address: str, arguments: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(says)) as raised:
        Dialer(parse_address(address), **arguments)
    assert "secret" not in str(raised.value)


# Nothing is left


def descriptors() -> set[str]:
    """What this process has open: sockets, that is, and what they are to us."""
    return {os.readlink(f"/proc/self/fd/{each}") for each in os.listdir("/proc/self/fd") if is_open(each)}


def is_open(descriptor: str) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:")
    except OSError:
        return False


async def nothing_is_left(phone: Phone, before: set[str], tasks: set[Any]) -> None:
    """Whoever was called was told of the end, and all is as it was."""
    async with asyncio.timeout(SECONDS):
        for caller in phone.callers:
            await caller.reason
        while descriptors() - before or asyncio.all_tasks() - tasks:
            await asyncio.sleep(0.001)


needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="files are counted as Linux shows them")


@contextmanager
def somewhere(way: str, folder: Path, *, answers_tls: bool) -> Iterator[tuple[str, socket.socket | None]]:
    """Who listens, and has no part in this process: the place, and a socket if nobody takes what comes there."""
    if answers_tls:
        issued = Authority(folder).server()
        port = free_port()
        files = ("-cert", str(issued.certificate), "-key", str(issued.key))
        with running(find("openssl"), "s_server", "-accept", f"127.0.0.1:{port}", "-quiet", *files):
            wait_for_port(port)
            yield f"127.0.0.1:{port}", None
        return
    with socket.socket(socket.AF_UNIX if way == "unix" else socket.AF_INET) as listening:
        listening.bind(str(folder / "x.sock") if way == "unix" else ("127.0.0.1", 0))
        listening.listen()
        listening.setblocking(False)
        yield str(folder / "x.sock") if way == "unix" else f"127.0.0.1:{listening.getsockname()[1]}", listening


@needs_proc
@pytest.mark.parametrize("turns", [0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 40])
@pytest.mark.parametrize("way", ["mqtt", "mqtts", "ws", "wss", "unix", "socks5h", "http"])
async def test_an_open_that_is_cancelled_after_so_many_turns_leaves_nothing(
    tmp_path: Path, way: str, turns: int
) -> None:
    with somewhere(way, tmp_path, answers_tls=way in ("mqtts", "wss")) as (place, _):
        dialer = cancelled_dialer(way, place, tmp_path)
        await asyncio.to_thread(len, "")  # the loop's own threads and sockets are there
        phone = Phone(dialer)
        before, tasks = descriptors(), asyncio.all_tasks()
        opening = asyncio.create_task(dialer.open(phone.answered))
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        try:
            await opening
        except (asyncio.CancelledError, NotConnected):  # the second: OpenSSL's server does not keep us long
            pass
        else:  # it was there already
            phone.callers[0].stream.abort()
        await nothing_is_left(phone, before, tasks)


@needs_proc
@pytest.mark.parametrize("way", ["mqtts", "ws", "wss", "socks5h", "http"])
async def test_an_open_that_waits_for_an_answer_and_is_cancelled_leaves_nothing(tmp_path: Path, way: str) -> None:
    loop = asyncio.get_running_loop()
    with somewhere(way, tmp_path, answers_tls=False) as (place, listening):
        assert listening is not None
        dialer = cancelled_dialer(way, place, tmp_path)
        await asyncio.to_thread(len, "")
        phone = Phone(dialer)
        before, tasks = descriptors(), asyncio.all_tasks()
        opening = asyncio.create_task(dialer.open(phone.answered))
        async with asyncio.timeout(SECONDS):
            peer, _ = await loop.sock_accept(listening)
            with peer:
                assert await loop.sock_recv(peer, 100) != b""
                opening.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await opening
                while await loop.sock_recv(peer, 100):  # until it is closed at our end
                    pass
        assert phone.callers == []
        await nothing_is_left(phone, before, tasks)


def cancelled_dialer(way: str, place: str, folder: Path) -> Dialer:
    if way in ("socks5h", "http"):
        return Dialer(parse_address("mqtt://b.example"), proxy=f"{way}://{place}")
    tls = ClientTls(ca_file=folder / "test-ca.pem" if (folder / "test-ca.pem").exists() else None)
    return Dialer(parse_address(f"{way}://{place}"), tls=tls if way in ("mqtts", "wss") else None)


async def test_a_socket_of_a_connection_that_is_lost_at_once_is_closed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or it closes, when it is collected, what has got the same number since."""
    sockets: list[socket.socket] = []
    reach = dialing.connect

    async def connect(host: str, port: int, bind: str, what: str) -> socket.socket:
        """Give it back when the peer has reset it."""
        sockets.append(await reach(host, port, bind, what))
        assert await asyncio.to_thread(select.select, sockets, [], [], SECONDS) == (sockets, [], [])
        return sockets[-1]

    class Door(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()

    monkeypatch.setattr(dialing, "connect", connect)
    door = await asyncio.get_running_loop().create_server(Door, "127.0.0.1", 0)
    try:
        address = parse_address(f"mqtt://127.0.0.1:{door.sockets[0].getsockname()[1]}")
        async with Phone(Dialer(address)) as phone:
            with suppress(OSError):
                await phone.hears_the_end()
        await asyncio.sleep(0)
    finally:
        door.close()
    assert [each.fileno() for each in sockets] == [-1]


@needs_proc
async def test_a_race_that_is_won_or_given_up_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[asyncio.Event] = []

    async def attempt(family: int, address: Any, local: Any) -> socket.socket:
        started.append(asyncio.Event())
        await started[-1].wait()
        return socket.socket()

    monkeypatch.setattr(dialing, "_attempt", attempt)
    monkeypatch.setattr(dialing, "_HEAD_START", 0.0)
    hosts(monkeypatch, "127.0.0.1", "127.0.0.2", "127.0.0.3")
    await asyncio.to_thread(len, "")
    phone = Phone(Dialer(parse_address("mqtt://b.example")))
    before, tasks = descriptors(), asyncio.all_tasks()
    for ending in ("both at once", "given up"):
        started.clear()
        racing = asyncio.create_task(dialing.connect("b.example", 1, "", "there"))
        async with asyncio.timeout(SECONDS):
            while len(started) < 3:
                await asyncio.sleep(0)
        for event in started[:2]:
            event.set()
        if ending == "given up":
            racing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await racing
        else:
            (await racing).close()
        await nothing_is_left(phone, before, tasks)
