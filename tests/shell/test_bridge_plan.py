"""What is checked of a bridge before anything is begun, and what its connection may survive."""

import socket
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from telex.client.address import parse_address
from telex.client.dialing import Dialer
from telex.engine.options import Options
from telex.engine.permissions import EVERYTHING
from telex.server.bridges.plan import Plan, plans_of
from telex.server.bridging import problems
from telex.server.broker import Broker
from telex.server.config import (
    Access,
    Bridge,
    BridgeTls,
    BridgeTopic,
    Config,
    ConfigError,
    Listener,
    Rule,
    TcpKeepalive,
    Web,
)
from tests.certificates import Authority
from tests.shell.knocking import until

CLOUD = Bridge(
    name="cloud",
    addresses=["mqtt://127.0.0.1:1883"],
    topics=[BridgeTopic(pattern="#", direction="both", qos=1)],
    client_id="house",
)


def described(*bridges: Bridge, access: Access | None = None) -> Config:
    return Config(
        listeners=[Listener(host="127.0.0.1", port=0)],
        access=access or Access(allow_anonymous=True),
        data="",
        web=Web(enabled=False),
        bridges=list(bridges),
    )


def plan(**changes: Any) -> Plan:
    return Plan(structs.replace(CLOUD, **changes), "host", Options(), EVERYTHING)


@pytest.mark.parametrize(
    "changes",
    [
        {"topics": [BridgeTopic(pattern="a/#", direction="in")]},
        {"threshold": 3},
        {"idle_timeout": 5.0},
        {"restart_first": 1.0},
        {"restart_most": 90.0},
        {"restart_stable": 9.0},
        {"local_user": "ann"},
        {"attempt_unsubscribe": False},
        {"reload": "lazy"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_connection_survives(changes: dict[str, Any]) -> None:
    assert plan().can_go_on_as(plan(**changes))
    assert not plan().is_like(plan(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"addresses": ["mqtt://127.0.0.1:1884"]},
        {"start": "lazy"},
        {"round_robin": True},
        {"version": "3.1.1"},
        {"client_id": "other"},
        {"user": "u", "password": "p"},
        {"local_client_id": "other"},
        {"keep_alive": 30},
        {"clean_session": True},
        {"local_clean_session": True},
        {"session_expiry_interval": 7},
        {"try_private": False},
        {"outgoing_retain": False},
        {"notifications": False},
        {"notifications_local_only": True},
        {"notification_topic": "state"},
        {"bind_address": "127.0.0.1"},
        {"proxy": "socks5://127.0.0.1:1080"},
        {"maximum_packet_size": 1_000},
        {"topic_alias_maximum": 3},
        {"receive_maximum": 3},
        {"max_hops": 2},
        {"tcp_keepalive": TcpKeepalive(idle=9, interval=8, count=7)},
        {"tcp_user_timeout": 9.0},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_is_said_at_the_beginning_takes_a_new_connection(changes: dict[str, Any]) -> None:
    assert not plan().can_go_on_as(plan(**changes))


def test_the_brokers_limits_are_a_part_of_it() -> None:
    other = Plan(CLOUD, "host", Options(receive_maximum=7), EVERYTHING)
    assert not plan().is_like(other)
    assert not plan().can_go_on_as(other)
    assert plan().is_like(plan())


@pytest.mark.parametrize(
    ("bridge", "text"),
    [
        (
            structs.replace(CLOUD, addresses=["mqtts://127.0.0.1"], tls=BridgeTls(ca_file="/nowhere/ca.crt")),
            r"bridges\[1\]: .*/nowhere/ca.crt",
        ),
        (structs.replace(CLOUD, addresses=["unix:///" + "x" * 200]), r"bridges\[1\]: .*107 bytes at most"),
    ],
)
async def test_what_cannot_be_used_is_named(bridge: Bridge, text: str) -> None:
    config = described(structs.replace(CLOUD, name="first", local_client_id="first"), bridge)
    with pytest.raises(ConfigError, match=text):
        plans_of(config, Options())
    broker = Broker(config=config)
    with pytest.raises(ConfigError, match=text):
        await broker.check()
    with pytest.raises(ConfigError, match=text):
        await broker.start()


async def test_a_reload_that_cannot_be_changes_nothing() -> None:
    async with Broker(config=described(CLOUD)) as broker:
        wrong = structs.replace(CLOUD, addresses=["mqtts://127.0.0.1"], tls=BridgeTls(ca_file="/nowhere/ca.crt"))
        with pytest.raises(ConfigError, match="/nowhere"):
            await broker.reload(described(wrong))
        assert [each.address for each in broker.bridges.statuses()] == ["mqtt://127.0.0.1:1883"]


def test_a_local_user_has_the_rights_of_rules() -> None:
    access = Access(allow_anonymous=True, rules=[Rule(allow=["publish"], users=["ann"], topics=["a/#"])])
    as_ann, as_nobody = plans_of(
        described(structs.replace(CLOUD, local_user="ann"), structs.replace(CLOUD, name="b"), access=access), Options()
    )
    assert as_ann.permissions.grant_publish("a/b").max_qos == 2
    assert as_ann.permissions.grant_publish("b").max_qos < 0
    assert as_nobody.permissions.grant_publish("b").max_qos == 2


def test_a_local_user_has_the_rights_of_an_acl_file(tmp_path: Path) -> None:
    file = tmp_path / "acl"
    file.write_text("user ann\ntopic write a/#\npattern write %c/b\n")
    access = Access(allow_anonymous=True, acl_file=str(file))
    (as_ann,) = plans_of(described(structs.replace(CLOUD, local_user="ann"), access=access), Options())
    assert as_ann.permissions.grant_publish("a/b").max_qos == 2
    assert as_ann.permissions.grant_publish("local.house/b").max_qos == 2
    assert as_ann.permissions.grant_publish("b").max_qos < 0


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system cannot be told")
async def test_tcp_is_told_what_the_description_says() -> None:
    async with Broker(port=0) as remote:
        bridge = structs.replace(
            CLOUD,
            addresses=[f"mqtt://127.0.0.1:{remote.port}"],
            tcp_keepalive=TcpKeepalive(idle=41, interval=42, count=43),
            tcp_user_timeout=4.5,
        )
        async with Broker(config=described(bridge)) as broker:
            await until(lambda: broker.bridges.statuses()[0].state == "open")
            (ours,) = broker.bridges._kept.values()
            assert ours.handler is not None
            sock = ours.handler.stream._transport.get_extra_info("socket")  # type: ignore[attr-defined]
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 41
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 42
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 43
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 4500


@pytest.mark.parametrize("name", ["TCP_USER_TIMEOUT", "TCP_KEEPCNT"])
def test_a_system_that_cannot_be_told_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, name)
    with pytest.raises(ValueError, match="this system cannot be told; leave it out"):
        plan(tcp_user_timeout=4.5, tcp_keepalive=TcpKeepalive(idle=41, interval=42, count=43))


async def test_a_bridge_goes_on_with_the_certificates_of_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ca_file = Authority(tmp_path).path
    ours = plan(addresses=["mqtts://127.0.0.1:1"], tls=BridgeTls(ca_file=str(ca_file)))
    before = ours.dialer(0)
    ca_file.unlink()
    assert ours.dialer(0) is not None
    assert ours.dialer(0)._context is before._context
    assert len(caplog.messages) == 1  # of two attempts
    assert "TLS goes on as it was" in caplog.messages[0]


async def test_a_system_that_refuses_what_tcp_is_told_leaves_nothing_open() -> None:
    async with Broker(port=0) as remote:
        dialer = Dialer(
            parse_address(f"mqtt://127.0.0.1:{remote.port}"), socket_options=[(socket.IPPROTO_TCP, 9_999, 1)]
        )
        with pytest.raises(OSError, match="Protocol not available"):
            await dialer.open(lambda stream: pytest.fail("nobody is to use it"))
        await until(lambda: remote.connection_count == 0)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"client_id": "a\0b"}, "client_id"),
        ({"local_client_id": "x" * 65_536}, "local_client_id"),
        ({"user": "a\0b"}, "user"),
        ({"user": "\ud800"}, "user"),
        ({"local_user": "a\0b"}, "local_user"),
        ({"user": "u", "password": "x" * 65_536}, "password"),
    ],
)
def test_what_no_connect_can_say_is_named(changes: dict[str, Any], place: str) -> None:
    [(inside, _)] = problems([structs.replace(CLOUD, notifications=False, **changes)])
    assert inside == (0, place)
