"""Each option of a bridge in mosquitto.conf, from its line to the bytes that the remote broker gets.

What a line may say is tested in tests/config, what two brokers make of it in tests/bridges.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import structs

from telex.codes import NEVER_EXPIRES
from telex.engine.message import Message
from telex.server.broker import Broker
from telex.server.config import Access, Config, Listener, Web
from telex.server.mosquitto_conf import read_mosquitto_conf
from telex.wire.packets import Connect, Disconnect, PubAck, Publish, SubAck, Subscribe, Unsubscribe
from tests.certificates import Authority
from tests.processes import free_port
from tests.shell.remote import Guest, Remote, listening, status, until

IN: Final = "topic in/# in 1"
OUT: Final = "topic out/# out 1"


def conf(folder: Path, address: str, *lines: str) -> Config:
    """What these lines below a ``connection cloud`` come to, for a broker of a test."""
    path = folder / "mosquitto.conf"
    topics = () if any(each.startswith("topic ") for each in lines) else (OUT,)
    path.write_text("\n".join(["connection cloud", f"address {address}", *topics, *lines, ""]))
    return structs.replace(
        read_mosquitto_conf(path, warn=lambda text: None),
        listeners=[Listener(host="127.0.0.1", port=0)],
        access=Access(allow_anonymous=True),
        data="",
        web=Web(enabled=False),
        sys_interval=0,
    )


@asynccontextmanager
async def home_with(folder: Path, remote: Remote, *lines: str) -> AsyncIterator[Broker]:
    """A broker with these lines, whose bridge leads to a remote end of this test."""
    async with Broker(config=conf(folder, f"127.0.0.1:{remote.port}", *lines)) as home:
        yield home


def publish(home: Broker, topic: str, payload: bytes = b"x", *, qos: int = 1, retain: bool = False) -> None:
    home.engine.publish(Message(topic, payload, qos, retain=retain), None, home.now())
    home.flush_soon()


async def before_the_end(guest: Guest, *kinds: type) -> list[Any]:
    """What a bridge says until its last subscription, of these kinds."""
    found: list[Any] = []
    while (packet := await guest.receive()) is not None:
        found += [packet] * isinstance(packet, kinds)
        if isinstance(packet, Subscribe) and packet.requests[0].topic_filter == "last":
            return found
    raise AssertionError("the bridge has left")


# CONNECT

HOST: Final = socket.gethostname()
CONNECTS: Final[list[tuple[list[str], dict[str, Any]]]] = [
    (
        [],
        {
            "version": 4,
            "is_bridge": True,
            "client_id": f"{HOST}.cloud",
            "user_name": None,
            "password": None,
            "keep_alive": 60,
            "clean_start": False,
            "will.topic": f"$SYS/broker/connection/{HOST}.cloud/state",
            "will.payload": b"0",
            "will.retain": True,
        },
    ),
    (["bridge_protocol_version mqttv31"], {"version": 3, "is_bridge": True}),
    (["bridge_protocol_version mqttv311"], {"version": 4, "is_bridge": True}),
    (["bridge_protocol_version mqttv50"], {"version": 5, "is_bridge": False}),
    (["remote_clientid me"], {"client_id": "me", "will.topic": "$SYS/broker/connection/me/state"}),
    (["clientid me"], {"client_id": "me"}),
    (["remote_username u", "remote_password p w"], {"user_name": "u", "password": b"p w"}),
    (["username u", "password p"], {"user_name": "u", "password": b"p"}),
    (["remote_username u"], {"user_name": "u", "password": None}),
    (["keepalive_interval 7"], {"keep_alive": 7}),
    (["keepalive_interval 1"], {"keep_alive": 5}),
    (["cleansession true"], {"clean_start": True}),
    (["try_private false"], {"version": 4, "is_bridge": False}),
    (["notifications false"], {"will": None}),
    (["notifications_local_only true"], {"will": None}),
    (["notification_topic my/state"], {"will.topic": "my/state", "will.payload": b"0"}),
    (["bridge_outgoing_retain false"], {"will.retain": False}),
    (["bridge_protocol_version mqttv50"], {"properties.session_expiry_interval": NEVER_EXPIRES}),
    (
        ["bridge_protocol_version mqttv50", "bridge_session_expiry_interval 77"],
        {"properties.session_expiry_interval": 77},
    ),
    (["bridge_protocol_version mqttv50", "bridge_receive_maximum 9"], {"properties.receive_maximum": 9}),
    (["bridge_protocol_version mqttv50", "bridge_max_topic_alias 3"], {"properties.topic_alias_maximum": 3}),
    (["bridge_protocol_version mqttv50", "bridge_max_topic_alias 0"], {"properties.topic_alias_maximum": None}),
]


@pytest.mark.parametrize(("lines", "wanted"), CONNECTS, ids=lambda value: ", ".join(value) or "nothing")
async def test_connect_says_it(lines: list[str], wanted: dict[str, Any], tmp_path: Path) -> None:
    async with listening() as remote, home_with(tmp_path, remote, *lines):
        guest = await remote.guest()
    assert {place: _found(guest.connect, place) for place in wanted} == wanted


def _found(connect: Connect, place: str) -> object:
    found: object = connect
    for name in place.split("."):
        found = getattr(found, name)
    return found


# Behind CONNACK


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("topic a/# in", [("a/#", 0)]),
        ("topic a/# in 2", [("a/#", 2)]),
        ("topic a/# both 1", [("a/#", 1)]),
        ("topic a/# out 1", []),
        ("topic a/#", []),
        ('topic a/# in 1 l/ ""', [("a/#", 1)]),
        ('topic a/# in 1 "" r/', [("r/a/#", 1)]),
        ("topic a/# in 1 l/ r/", [("r/a/#", 1)]),
        ('topic "" in 1 l/x r/y', [("r/y", 1)]),
    ],
)
async def test_topics_are_subscribed_to(line: str, asked: list[tuple[str, int]], tmp_path: Path) -> None:
    async with listening() as remote, home_with(tmp_path, remote, line, "topic last in"):
        guest = await remote.guest()
        await guest.accept()
        found = [each.requests[0] for each in await before_the_end(guest, Subscribe)][:-1]
        assert [(each.topic_filter, each.qos) for each in found] == asked


@pytest.mark.parametrize(
    ("line", "here", "there", "qos"),
    [
        ("topic a/#", "a/x", "a/x", 0),
        ("topic a/# out 1", "a/x", "a/x", 1),
        ("topic a/# both 2", "a/x", "a/x", 2),
        ('topic a/# out 1 l/ ""', "l/a/x", "a/x", 1),
        ('topic a/# out 1 "" r/', "a/x", "r/a/x", 1),
        ("topic a/# out 1 l/ r/", "l/a/x", "r/a/x", 1),
        ('topic "" out 1 l/x r/y', "l/x", "r/y", 1),
    ],
)
async def test_topics_are_published(line: str, here: str, there: str, qos: int, tmp_path: Path) -> None:
    async with listening() as remote, home_with(tmp_path, remote, line, "notifications false") as home:
        guest = await remote.guest()
        await guest.accept()
        await until(lambda: status(home, "cloud").state == "open")
        publish(home, here, qos=2)
        packet = await guest.gets(Publish)
        assert (packet.topic, packet.qos) == (there, qos)


async def test_what_comes_in_has_its_local_name(tmp_path: Path) -> None:
    async with listening() as remote, home_with(tmp_path, remote, "topic a/# in 0 l/ r/") as home:
        guest = await remote.guest()
        await guest.accept()
        await guest.gets(Subscribe)
        await guest.send(Publish("r/a/x", b"came", 0, retain=True))
        await until(lambda: home.engine.retained.get("l/a/x", home.now()))


@pytest.mark.parametrize(("value", "dropped"), [("true", ["out/#"]), ("false", [])])
async def test_bridge_attempt_unsubscribe(value: str, dropped: list[str], tmp_path: Path) -> None:
    lines = (OUT, "topic both/# both", "topic last in", f"bridge_attempt_unsubscribe {value}")
    async with listening() as remote, home_with(tmp_path, remote, *lines):
        guest = await remote.guest()
        await guest.accept()
        found = await before_the_end(guest, Unsubscribe)
        assert [topic_filter for each in found for topic_filter in each.topic_filters] == dropped


@pytest.mark.parametrize("value", ["true", "false"])
async def test_bridge_outgoing_retain(value: str, tmp_path: Path) -> None:
    async with listening() as remote:
        async with home_with(tmp_path, remote, f"bridge_outgoing_retain {value}") as home:
            publish(home, "out/before", retain=True)
            guest = await remote.guest()
            await guest.accept()
            found = {}
            for _ in range(2):
                packet = await guest.gets(Publish)
                found[packet.topic.rpartition("/")[2]] = packet.retain
            publish(home, "out/after", retain=True)
            found["after"] = (await guest.gets(Publish)).retain
        assert found == dict.fromkeys(["state", "before", "after"], value == "true")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("notifications true", [("$SYS/broker/connection/me/state", b"1"), ("$SYS/broker/connection/me/state", b"0")]),
        ("notifications false", []),
        ("notifications_local_only true", []),
        ("notification_topic my/state", [("my/state", b"1"), ("my/state", b"0")]),
    ],
)
async def test_notifications(line: str, told: list[tuple[str, bytes]], tmp_path: Path) -> None:
    async with listening() as remote:
        async with home_with(tmp_path, remote, "remote_clientid me", line) as home:
            topic = line.split()[1] if "topic" in line else "$SYS/broker/connection/me/state"
            is_told = line != "notifications false"
            retained = home.engine.retained.get(topic, home.now())
            assert (retained.payload if retained is not None else b"") == (b"0" if is_told else b"")
            guest = await remote.guest()
            await guest.accept()
            await until(lambda: status(home, "cloud").state == "open")
            retained = home.engine.retained.get(topic, home.now())
            assert (retained.payload if retained is not None else b"") == (b"1" if is_told else b"")
        found = []
        while (packet := await guest.receive()) is not None:
            if isinstance(packet, Publish):
                found.append((packet.topic, packet.payload))
        assert found == told


async def test_bridge_max_packet_size(tmp_path: Path) -> None:
    lines = ("bridge_max_packet_size 60", "notifications false")
    async with listening() as remote, home_with(tmp_path, remote, *lines) as home:
        guest = await remote.guest()
        await guest.accept()
        await until(lambda: status(home, "cloud").state == "open")
        for size in (60, 45, 0):  # a head of 13 bytes or so is in front
            publish(home, "out/x", b"x" * size)
        assert len((await guest.gets(Publish)).payload) == 45


async def test_bridge_bind_address(tmp_path: Path) -> None:
    async with listening() as remote, home_with(tmp_path, remote, "bridge_bind_address 127.0.0.3"):
        guest = await remote.guest()
        assert guest.writer.get_extra_info("peername")[0] == "127.0.0.3"


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system cannot be told")
async def test_what_tcp_is_told(tmp_path: Path) -> None:
    lines = ("bridge_tcp_keepalive 41 42 43", "bridge_tcp_user_timeout 4500")
    async with listening() as remote, home_with(tmp_path, remote, *lines) as home:
        await remote.guest()
        [kept] = home.bridges._kept.values()
        assert kept.handler is not None
        sock = kept.handler.stream._transport.get_extra_info("socket")  # type: ignore[attr-defined]
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
        assert [sock.getsockopt(socket.IPPROTO_TCP, each) for each in options] == [41, 42, 43, 4_500]
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


# Its session here


async def test_local_clientid(tmp_path: Path) -> None:
    async with listening() as remote:
        async with home_with(tmp_path, remote, "local_clientid here") as home:
            assert "here" in home.engine.sessions
        async with home_with(tmp_path, remote, "remote_clientid me") as home:
            assert "local.me" in home.engine.sessions


@pytest.mark.parametrize(
    ("lines", "is_kept"),
    [
        ([], True),
        (["cleansession true"], False),
        (["cleansession true", "local_cleansession false"], True),
        (["local_cleansession true"], False),
    ],
    ids=lambda value: ", ".join(value) or "nothing" if isinstance(value, list) else str(value),
)
async def test_local_cleansession(lines: list[str], is_kept: bool, tmp_path: Path) -> None:
    async with listening() as remote, home_with(tmp_path, remote, *lines) as home:
        publish(home, "out/x", b"before it was there")
        assert status(home, "cloud").queued == (1 if is_kept else 0)


# When


async def test_restart_timeout(tmp_path: Path) -> None:
    for line, least, most in (
        ("restart_timeout 20", 20, 20),
        ("restart_timeout 10 30", 10, 30),
        ("restart_timeout 100 3000 5", 100, 300),
        ("try_private true", 5, 15),
    ):
        async with Broker(config=conf(tmp_path, f"127.0.0.1:{free_port()}", line)) as home:
            await until(lambda: status(home, "cloud").next_attempt)
            [kept] = home.bridges._kept.values()
            assert least <= kept._waits._last <= most


async def test_start_type_lazy_with_threshold_and_idle_timeout(tmp_path: Path) -> None:
    lines = ("start_type lazy", "threshold 3", "idle_timeout 1")
    async with listening() as remote, home_with(tmp_path, remote, *lines) as home:
        await until(lambda: status(home, "cloud").state == "idle")
        for _ in range(2):
            publish(home, "out/x")
        await asyncio.sleep(0)
        assert (status(home, "cloud").state, status(home, "cloud").queued) == ("idle", 2)
        publish(home, "out/x")
        guest = await remote.guest()
        await guest.accept()
        for _ in range(3):
            packet = await guest.gets(Publish)
            while packet.topic != "out/x":
                packet = await guest.gets(Publish)
            await guest.send(PubAck(packet.packet_id))
        await guest.gets(Disconnect)
        await until(lambda: status(home, "cloud").state == "idle")


async def test_start_type_once(tmp_path: Path) -> None:
    async with listening() as remote, home_with(tmp_path, remote, "start_type once") as home:
        guest = await remote.guest()
        await guest.accept()
        await guest.leave()
        await until(lambda: status(home, "cloud").state == "ended")


async def test_a_lazy_one_whose_remote_was_away_comes_when_there_is_enough_again(tmp_path: Path) -> None:
    """What waited went away while it waited for the next attempt."""
    port = free_port()
    lines = ("start_type lazy", "threshold 2", "restart_timeout 1")
    async with Broker(config=conf(tmp_path, f"127.0.0.1:{port}", *lines)) as home:
        for _ in range(2):
            publish(home, "out/x")
        await until(lambda: status(home, "cloud").next_attempt)
        home.engine.end_session(home.engine.sessions[status(home, "cloud").local_client_id], home.now())
        await until(lambda: status(home, "cloud").state == "idle")
        for _ in range(2):
            publish(home, "out/x")
        await until(lambda: status(home, "cloud").state != "idle")


@pytest.mark.parametrize("is_round", [False, True])
async def test_addresses_and_round_robin(is_round: bool, tmp_path: Path) -> None:
    async with listening() as first, listening() as second:
        path = f"127.0.0.1:{first.port} 127.0.0.1:{second.port}"
        lines = (f"round_robin {str(is_round).lower()}", "restart_timeout 1", "try_private false")
        async with Broker(config=conf(tmp_path, path, *lines)) as home:
            await (await first.guest()).leave()
            guest = await second.guest()
            await guest.accept()
            await until(lambda: status(home, "cloud").state == "open")
            [kept] = home.bridges._kept.values()
            assert kept._route.is_beside is not is_round
            if is_round:
                await guest.leave()
            await (await first.guest()).accept()  # it is its turn, or the main one
            await until(lambda: status(home, "cloud").connections == 2)
            assert status(home, "cloud").address == first.address


@pytest.mark.parametrize("kind", ["lazy", "immediate"])
async def test_bridge_reload_type(kind: str, tmp_path: Path) -> None:
    async with listening() as remote, home_with(tmp_path, remote, f"bridge_reload_type {kind}", IN) as home:
        guest = await remote.guest()
        await guest.accept()
        await guest.send(SubAck((await guest.gets(Subscribe)).packet_id, [1]))
        place = f"127.0.0.1:{remote.port}"
        await home.reload(conf(tmp_path, place, f"bridge_reload_type {kind}", IN, "topic more in 1"))
        if kind == "immediate":
            assert (await guest.gets(Subscribe)).requests[0].topic_filter == "more"
        await home.reload(conf(tmp_path, place, f"bridge_reload_type {kind}", IN, "keepalive_interval 9"))
        if kind == "immediate":
            assert (await remote.guest()).connect.keep_alive == 9
        else:
            assert status(home, "cloud").state == "open"


# TLS


async def secured(
    folder: Path, authority: Authority, *lines: str, system: bool = False, wants: bool = False
) -> ssl.SSLObject:
    """How TLS was spoken with a server whose certificate this authority has signed."""
    issued = authority.server(hosts=("localhost",))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    context.set_alpn_protocols(["http/1.1", "mqtt"])
    if wants:
        context.load_verify_locations(authority.path)
        context.verify_mode = ssl.CERT_REQUIRED
    async with listening(context) as remote:
        async with Broker(config=conf(folder, f"localhost:{remote.port}", *lines)):
            guest = await remote.guest()
            found: ssl.SSLObject = guest.writer.get_extra_info("ssl_object")
            return found


async def test_bridge_cafile_and_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    ours = authority.client("house")
    lines = (
        f"bridge_cafile {authority.path}",
        f"bridge_certfile {ours.certificate}",
        f"bridge_keyfile {ours.key}",
        "bridge_alpn mqtt",
        "bridge_tls_version tlsv1.3",
    )
    session = await secured(tmp_path, authority, *lines, wants=True)
    certificate = session.getpeercert() or {}
    assert "house" in str(certificate["subject"])
    assert (session.selected_alpn_protocol(), session.version()) == ("mqtt", "TLSv1.3")


async def test_bridge_capath_and_ciphers(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    folder = tmp_path / "trusted"
    folder.mkdir()
    hashed = await asyncio.create_subprocess_exec(
        "openssl", "x509", "-hash", "-noout", "-in", str(authority.path), stdout=asyncio.subprocess.PIPE
    )
    name, _ = await hashed.communicate()
    (folder / f"{name.decode().strip()}.0").write_bytes(authority.path.read_bytes())
    session = await secured(tmp_path, authority, f"bridge_capath {folder}")
    assert session.cipher() is not None


async def test_bridge_tls_use_os_certs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))  # so OpenSSL is told whom the system trusts
    session = await secured(tmp_path, authority, "bridge_tls_use_os_certs true")
    assert session.cipher() is not None


async def test_bridge_insecure_and_ciphers(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    issued = authority.server(hosts=("elsewhere.example",))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    lines = (
        f"bridge_cafile {authority.path}",
        "bridge_insecure true",
        "bridge_ciphers ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-GCM-SHA384",
    )
    async with listening(context) as remote:
        async with Broker(config=conf(tmp_path, f"localhost:{remote.port}", *lines)):
            guest = await remote.guest()
            name, _, _ = guest.writer.get_extra_info("cipher")
            assert name.endswith("AES256-GCM-SHA384")


async def test_bridge_tls_version_refuses_what_is_older(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    issued = authority.server(hosts=("localhost",))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    lines = (f"bridge_cafile {authority.path}", "bridge_tls_version tlsv1.3")
    async with listening(context) as remote:
        async with Broker(config=conf(tmp_path, f"localhost:{remote.port}", *lines)) as home:
            await until(lambda: status(home, "cloud").reason)
            assert status(home, "cloud").connections == 0
            assert "TLS" in status(home, "cloud").reason
