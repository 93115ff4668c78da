"""The ways that lead to a remote broker: WebSocket, a Unix socket, TLS, a proxy, an address to come from."""

import asyncio
import logging
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from msgspec import structs

import telex
from telex.server.config import BridgeTls, Listener, Psk, TcpKeepalive, Tls
from tests.bridges.brokers import bridge_to, described, is_open, line, status, subscribed, telex_at, until, witness
from tests.certificates import Authority, Issued
from tests.client.proxies import Proxy, serving

has_psk = sys.version_info >= (3, 13)


def tls_of(issued: Issued, **words: Any) -> Tls:
    return Tls(certificate=str(issued.certificate), key=str(issued.key), **words)


@asynccontextmanager
async def remote_with(listener: Listener) -> AsyncIterator[telex.Broker]:
    """A broker with one door."""
    async with telex.Broker(config=structs.replace(described(), listeners=[listener])) as broker:
        yield broker


async def check(remote: telex.Broker, address: str, **words: Any) -> None:
    """Messages go both ways over a bridge to this address."""
    topics = (line("up", "out", 2), line("down", "in", 2))
    async with telex_at(bridge_to(0, *topics, addresses=[address], **words)) as home, witness(home.port) as here:
        await is_open(home)
        await subscribed(remote)
        remote.tell("down", b"from there")
        await here.hears("down", b"from there")
        await here.client.publish("up", b"from here", qos=2, retain=True)
        await until(lambda: remote.engine.retained.count == 2)  # its state is retained, too
        found = status(home)
        assert (found.messages_received, found.connections) == (1, 1)
        assert found.address.startswith(address)  # a WebSocket's path is said, too
        assert found.bytes_sent > 0
        assert found.bytes_received > 0
        assert bool(found.tls) == address.startswith(("mqtts", "wss"))


async def test_a_websocket() -> None:
    async with remote_with(Listener(host="127.0.0.1", port=0, protocol="websocket", websocket_path="/mqtt")) as remote:
        await check(remote, f"ws://127.0.0.1:{remote.port}/mqtt")


async def test_a_websocket_with_headers() -> None:
    """The listener wants an origin; without that header it lets nobody in."""
    origins = ["https://house.example"]
    listener = Listener(host="127.0.0.1", port=0, protocol="websocket", origins=origins)
    async with remote_with(listener) as remote:
        headers = {"Origin": "https://house.example"}
        await check(remote, f"ws://127.0.0.1:{remote.port}/mqtt", websocket_headers=headers)
        bridge = bridge_to(0, line("up", "out"), addresses=[f"ws://127.0.0.1:{remote.port}/mqtt"])
        bridge = structs.replace(bridge, websocket_headers={"Origin": "https://elsewhere.example"})
        async with telex_at(bridge) as home:
            await until(lambda: "403" in status(home).reason)


async def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "broker.sock"
    async with remote_with(Listener(path=str(path))) as remote:
        await check(remote, f"unix://{path}")


@pytest.mark.parametrize("scheme", ["mqtts", "wss"])
async def test_tls_with_the_authority_that_signed_the_remote(scheme: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    protocol: Literal["mqtt", "websocket"] = "websocket" if scheme == "wss" else "mqtt"
    listener = Listener(host="127.0.0.1", port=0, protocol=protocol, tls=tls_of(authority.server()))
    async with remote_with(listener) as remote:
        await check(remote, f"{scheme}://localhost:{remote.port}", tls=BridgeTls(ca_file=str(authority.path)))


async def test_a_certificate_of_its_own(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    wants = {"client_certificates": "required", "client_ca": str(authority.path), "user_from": "cn"}
    async with remote_with(Listener(host="127.0.0.1", port=0, tls=tls_of(authority.server(), **wants))) as remote:
        address = f"mqtts://localhost:{remote.port}"
        ours = authority.client("house")
        tls = BridgeTls(ca_file=str(authority.path), certificate=str(ours.certificate), key=str(ours.key))
        await check(remote, address, tls=tls)
        assert remote.engine.sessions["bridge"].user == "house"
        without = bridge_to(0, line("a", "out"), addresses=[address], tls=BridgeTls(ca_file=str(authority.path)))
        async with telex_at(without) as home:
            await until(lambda: status(home).reason)
            assert status(home).connections == 0


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("localhost", {}, "certificate"),  # nobody whom this system trusts
    ("localhost", {"ca_file": "other-ca.pem"}, "certificate"),
    ("127.0.0.1", {"ca_file": "test-ca.pem"}, "127.0.0.1"),  # a certificate for localhost
]


@pytest.mark.parametrize(("host", "words", "says"), WRONG, ids=["unknown", "other", "name"])
async def test_who_cannot_be_trusted_gets_one_clear_line_of_the_log(
    host: str, words: dict[str, Any], says: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path)
    Authority(tmp_path, "Other CA")
    server = authority.server(hosts=("localhost",))
    said: dict[str, Any] = {name: str(tmp_path / value) for name, value in words.items()}
    with caplog.at_level(logging.DEBUG, "telex"):
        async with remote_with(Listener(host="127.0.0.1", port=0, tls=tls_of(server))) as remote:
            address = f"mqtts://{host}:{remote.port}"
            bridge = bridge_to(0, line("a", "out"), addresses=[address], tls=BridgeTls(**said))
            async with telex_at(bridge) as home:
                # It tries again, and says nothing new.
                await until(lambda: sum("bridge not connected" in each for each in caplog.messages) >= 3)
                assert says in status(home).reason
                assert status(home).connections == 0
    tried = [each for each in caplog.records if "bridge not connected" in each.getMessage()]
    warnings = [each.getMessage() for each in tried if each.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert f"address={address}" in warnings[0]
    assert says in warnings[0]


async def test_a_wrong_name_is_let_pass_if_the_description_says_so(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.server(hosts=("elsewhere.example",))
    async with remote_with(Listener(host="127.0.0.1", port=0, tls=tls_of(server))) as remote:
        address = f"mqtts://localhost:{remote.port}"
        await check(remote, address, tls=BridgeTls(ca_file=str(authority.path), insecure=True))
        named = BridgeTls(ca_file=str(authority.path), server_name="elsewhere.example")
        await check(remote, address, tls=named)


async def test_a_protocol_is_asked_for_by_alpn(tmp_path: Path) -> None:
    issued = (authority := Authority(tmp_path)).server()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(issued.certificate, issued.key)
    context.set_alpn_protocols(["http/1.1", "x-amzn-mqtt-ca"])
    chosen: list[str | None] = []

    async def came(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chosen.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        writer.close()

    server = await asyncio.start_server(came, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    tls = BridgeTls(ca_file=str(authority.path), alpn=["x-amzn-mqtt-ca"])
    async with telex_at(bridge_to(0, line("a", "out"), addresses=[f"mqtts://localhost:{port}"], tls=tls)):
        await until(lambda: chosen)
    server.close()
    assert chosen[0] == "x-amzn-mqtt-ca"


@pytest.mark.skipif(not has_psk, reason="this Python cannot")
async def test_a_pre_shared_key(tmp_path: Path) -> None:
    path = tmp_path / "psk"
    path.write_text("house:a0b0c0d0\n")
    listener = Listener(host="127.0.0.1", port=0, psk=Psk(file=str(path), user_from_identity=True))
    async with remote_with(listener) as remote:
        address = f"mqtts://127.0.0.1:{remote.port}"
        await check(remote, address, tls=BridgeTls(psk_identity="house", psk="a0b0c0d0"))
        assert remote.engine.sessions["bridge"].user == "house"
        wrong = bridge_to(0, line("a", "out"), addresses=[address], tls=BridgeTls(psk_identity="house", psk="ff"))
        async with telex_at(wrong) as home:
            await until(lambda: status(home).reason)
            assert status(home).connections == 0


@pytest.mark.parametrize(("scheme", "protocol"), [("socks5h", "socks5"), ("socks4a", "socks4"), ("http", "http")])
async def test_a_proxy(scheme: str, protocol: str) -> None:
    login = None if protocol == "socks4" else ("ann", "secret")
    async with remote_with(Listener(host="127.0.0.1", port=0)) as remote, serving(Proxy(login), protocol) as proxy:
        who = "" if login is None else "ann:secret@"
        address = f"mqtt://remote.example:{remote.port}"
        await check(remote, address, proxy=f"{scheme}://{who}127.0.0.1:{proxy.port}")
        assert proxy.asked == [("remote.example", remote.port)]


async def test_an_address_to_come_from() -> None:
    async with remote_with(Listener(host="127.0.0.1", port=0)) as remote:
        bridge = bridge_to(remote.port, line("a", "out"), bind_address="127.0.0.2")
        async with telex_at(bridge) as home:
            await is_open(home)
            [visit] = remote.visits
            assert visit.host == "127.0.0.2"


@pytest.mark.skipif(sys.platform != "linux", reason="Linux says how TCP was told")
async def test_what_is_said_of_tcp_does_no_harm() -> None:
    async with remote_with(Listener(host="127.0.0.1", port=0)) as remote:
        keepalive = TcpKeepalive(idle=30, interval=5, count=3)
        await check(remote, f"mqtt://127.0.0.1:{remote.port}", tcp_keepalive=keepalive, tcp_user_timeout=2.5)
