"""A broker with many listeners at once: whoever comes in, by whatever transport, is one of its clients."""

import asyncio
import base64
import json
import socket
from pathlib import Path

import aiohttp
import pytest

import telex
from telex.server.config import Access, Listener, Protection, Rule
from telex.wire.packets import ConnAck, Connect, PubAck, Publish
from tests.certificates import Authority
from tests.shell.knocking import (
    config,
    here,
    inside,
    is_there,
    knocks,
    knocks_by_websocket,
    password_file,
    ports,
    reached,
    tls_of,
    trusting,
    until,
    who,
)

NO = 0x87
BANNED = 0x8A


def by_address(*addresses: str) -> Access:
    """Only those from there may publish."""
    return Access(
        allow_anonymous=True,
        rules=[
            Rule(allow=["publish"], addresses=list(addresses)),
            Rule(deny=["publish"]),
            Rule(allow=["subscribe", "receive"]),
        ],
    )


def proxied(host: str) -> bytes:
    """What a proxy says of a client that came from there."""
    return f"PROXY TCP4 {host} 127.0.0.1 50000 1883\r\n".encode()


async def answer_behind_proxy(port: int, host: str, connect: Connect) -> int | None:
    """The code of CONNACK; None: closed without a word."""
    async with reached(port) as client:
        client.writer.write(proxied(host))
        await client.send(connect)
        try:
            answer = await client.receive()
        except ConnectionResetError:  # before the CONNECT was read
            return None
        assert answer is None or isinstance(answer, ConnAck)
        return None if answer is None else answer.reason_code


async def test_messages_go_between_clients_of_every_transport(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = tls_of(authority.server())
    path = str(tmp_path / "socket")
    listeners = [here(), here(tls=tls), Listener(path=path), here(proxy_protocol="any")]
    # Behind a proxy may be anybody, who is let in only if that is said.
    async with telex.Broker(config=config(Access(allow_anonymous=True), *listeners)) as broker:
        assert [each.partition(":")[0] for each in broker.addresses] == ["mqtt", "mqtts", "mqtt+unix", "mqtt"]
        plain, secure, behind = (int(each.rpartition(":")[2]) for each in broker.addresses if "unix" not in each)
        async with (
            inside(plain) as one,
            inside(secure, tls=trusting(authority)) as two,
            inside(path) as three,
            reached(behind) as four,
        ):
            four.writer.write(proxied("192.0.2.7"))
            await four.send(Connect())
            assert getattr(await four.receive(), "reason_code", None) == 0
            clients = [one, two, three, four]
            for client in clients:
                await client.subscribe("all")
            for number, client in enumerate(clients):
                await client.send(Publish("all", b"%d" % number))
                for each in clients:
                    assert await each.receive() == Publish("all", b"%d" % number)


async def test_a_session_goes_on_by_another_transport(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    listeners = [here(), here(tls=tls_of(authority.server()))]
    async with telex.Broker(config=config(None, *listeners)) as broker:
        plain, secure = ports(broker)
        kept = Connect("c", clean_start=False, version=4)
        async with inside(plain, kept) as client:
            await client.subscribe("a", 1)
        async with inside(secure, kept, tls=trusting(authority)) as client:
            assert client.connack.session_present


async def test_ipv4_and_ipv6_at_one_port() -> None:
    access = Access(allow_anonymous=True)
    async with telex.Broker(config=config(access, Listener(port=0))) as broker:
        families = {"ipv6" if "[" in each else "ipv4" for each in broker.addresses}
        assert len(set(ports(broker))) == 1
        for family, host in [("ipv4", "127.0.0.1"), ("ipv6", "::1")]:
            if family in families and (family == "ipv4" or _has_loopback(host)):
                reader, writer = await asyncio.open_connection(host, broker.port)
                writer.write(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c")
                assert await reader.readexactly(4) == b"\x20\x02\x00\x00"
                writer.close()


def _has_loopback(host: str) -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True


async def test_a_unix_socket_has_the_mode_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    async with telex.Broker(config=config(None, Listener(path=str(path), path_mode=0o600))) as broker:
        assert path.stat().st_mode & 0o777 == 0o600
        await broker.reload(config(None, Listener(path=str(path), path_mode=0o666)))
        assert path.stat().st_mode & 0o777 == 0o666
        assert await knocks(str(path)) == 0
    assert not path.exists()


# Rules by address


async def test_rules_count_the_address_that_a_client_comes_from(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    listeners = [here(), Listener(path=path), here(proxy_protocol="1")]
    for allowed, expected in [
        (["127.0.0.0/8"], [True, False, False]),
        (["unix"], [False, True, False]),
        (["192.0.2.0/24"], [False, False, True]),
        (["unix", "192.0.2.7", "127.0.0.1"], [True, True, True]),
    ]:
        access = by_address(*allowed)
        async with telex.Broker(config=config(access, *listeners)) as broker:
            plain, behind = (int(each.rpartition(":")[2]) for each in broker.addresses if "unix" not in each)
            got = []
            for place, header in [(plain, b""), (path, b""), (behind, proxied("192.0.2.7"))]:
                async with reached(place) as client:
                    client.writer.write(header)
                    await client.send(Connect(), Publish("a", b"", qos=1, packet_id=1))
                    assert getattr(await client.receive(), "reason_code", None) == 0
                    answer = await client.receive()
                    assert isinstance(answer, PubAck)
                    got.append(answer.reason_code != NO)
            assert got == expected


async def test_a_ban_is_for_the_client_behind_a_proxy_and_not_for_the_proxy(tmp_path: Path) -> None:
    access = Access(password_file=password_file(tmp_path / "users", ann="1"))
    protection = Protection(ban_after=1, ban_seconds=3_600)
    async with telex.Broker(config=config(access, here(proxy_protocol="any"), protection=protection)) as broker:
        for user in "abcde":
            assert await answer_behind_proxy(broker.port, "192.0.2.7", who(user, "x")) == NO
        assert await answer_behind_proxy(broker.port, "192.0.2.7", who("ann", "1")) is None
        assert await answer_behind_proxy(broker.port, "192.0.2.8", who("ann", "1")) == 0


async def test_connections_of_an_address_are_counted_across_listeners(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    path = str(tmp_path / "socket")
    listeners = [here(), here(protocol="websocket"), here(tls=tls_of(authority.server())), Listener(path=path)]
    protection = Protection(max_connections_per_address=2)
    async with telex.Broker(config=config(None, *listeners, protection=protection)) as broker:
        plain, websocket, secure = (int(each.rpartition(":")[2]) for each in broker.addresses if "unix" not in each)
        async with inside(plain), inside(secure, tls=trusting(authority)):
            assert await knocks(plain) is None
            with pytest.raises(aiohttp.ClientError):
                await knocks_by_websocket(websocket)
            assert await knocks(path) == 0  # it has no address
        await until(lambda: not broker.connection_count)
        assert await knocks_by_websocket(websocket) == 0


# The HTTP API


async def fetch(port: int, user: str = "", password: str = "") -> tuple[int, dict[str, object]]:
    headers = {}
    if user:
        headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/api/v1/systree", headers=headers) as response:
            body = await response.read()
            return response.status, json.loads(body) if response.status == 200 else {}


async def test_the_http_api_is_for_those_who_could_log_in(tmp_path: Path) -> None:
    access = Access(password_file=password_file(tmp_path / "users", ann="1"))
    listeners = [here(), here(protocol="http_api"), here(protocol="http_api", access=Access(allow_anonymous=True))]
    async with telex.Broker(config=config(access, *listeners, sys_interval=10)) as broker:
        _, closed, opened = ports(broker)
        assert (await fetch(opened))[0] == 200
        assert (await fetch(closed))[0] == 401
        assert (await fetch(closed, "ann", "2"))[0] == 401
        status, values = await fetch(closed, "ann", "1")
        assert status == 200
        assert "$SYS/broker/clients/total" in values


async def test_guesses_at_the_http_api_count_as_failed_logins(tmp_path: Path) -> None:
    access = Access(password_file=password_file(tmp_path / "users", ann="1"))
    protection = Protection(ban_after=2, ban_seconds=3_600)
    listeners = [here(), here(protocol="http_api")]
    async with telex.Broker(config=config(access, *listeners, protection=protection)) as broker:
        plain, api = ports(broker)
        for password in ("x", "y", "1"):
            assert (await fetch(api, "ann", password))[0] in (401, 403)
        assert await knocks(plain, "ann", "1") == BANNED


# Start and stop


async def test_a_broker_that_stops_frees_every_address(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    path = str(tmp_path / "socket")
    listeners = [here(), here(protocol="websocket"), here(tls=tls_of(authority.server())), Listener(path=path)]
    broker = telex.Broker(config=config(None, *listeners))
    for _ in range(2):
        async with broker:
            places = [int(each.rpartition(":")[2]) for each in broker.addresses if "unix" not in each]
            async with inside(places[0]), inside(path):
                pass
        assert broker.addresses == []
        assert not is_there(path)
        for port in places:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))


async def test_who_is_there_is_told_that_the_broker_stops_by_every_transport(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    path = str(tmp_path / "socket")
    listeners = [here(), here(tls=tls_of(authority.server())), Listener(path=path)]
    broker = telex.Broker(config=config(None, *listeners))
    await broker.start()
    plain, secure = (int(each.rpartition(":")[2]) for each in broker.addresses if "unix" not in each)
    async with inside(plain) as one, inside(secure, tls=trusting(authority)) as two, inside(path) as three:
        stop = asyncio.ensure_future(broker.stop())
        for client in (one, two, three):
            assert getattr(await client.receive(), "reason_code", None) == 0x8B
            assert await client.receive() is None
            client.writer.close()
        await stop
