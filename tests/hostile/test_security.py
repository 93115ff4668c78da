"""Who wants more than is his: another's messages, another's name, our memory, files of root's."""

import os
import pwd
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest

import telex
from telex.codes import ReasonCode
from telex.server import privileges
from telex.server.access.ways import Applicant
from telex.server.config import Access, ConfigError, Rule
from telex.server.orders import Orders, running
from telex.streams.proxy_protocol import BadHeader, HeaderReader
from telex.wire.packets import (
    Connect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    Will,
)
from telex.wire.properties import Properties
from tests.access.test_acl_file import mosquitto_with
from tests.certificates import Authority
from tests.hostile.attack import UPGRADE
from tests.shell.knocking import config, here, inside, knocks, password_file, ports, reached, tls_of, trusting, until
from tests.shell.raw import RawClient

DEEP = 20_000
"""Levels, in a topic or a filter of 40 KB."""


def keeps(user: str, *, clean_start: bool) -> Connect:
    """The CONNECT of a user whose session stays; all of them have the same client id."""
    said = Properties(session_expiry_interval=1_000)
    return Connect("shared", clean_start=clean_start, user_name=user, password=user.encode(), properties=said)


async def asks(client: RawClient, packet: Packet) -> Packet | None:
    """A packet, and the answer."""
    await client.send(packet)
    return await client.receive()


async def subscribes(client: RawClient, topic_filter: str, qos: int = 0) -> None:
    answer = await asks(client, Subscribe(1, [SubscriptionRequest(topic_filter, qos)]))
    assert isinstance(answer, SubAck)
    assert answer.reason_codes == [qos]


async def is_there(client: RawClient) -> bool:
    """Whether the broker still talks to a client."""
    return isinstance(await asks(client, PingReq()), PingResp)


# Another's messages


async def publishes(port: int, user: str | None, qos: int) -> None:
    """Somebody says a secret."""
    async with inside(port, Connect("admin", user_name=user, password=b"admin")) as admin:
        answer = await asks(admin, Publish("secret/x", b"for alice only", qos, packet_id=7))
        assert isinstance(answer, PubAck | PubRec)
        if qos == 2:
            await asks(admin, PubRel(7))


async def takes_her_place(port: int, qos: int) -> list[Packet | None]:
    """Alice leaves a message unacknowledged, and bob comes with her client id: what he gets before PINGRESP."""
    async with inside(port, keeps("alice", clean_start=True)) as alice:
        await subscribes(alice, "secret/#", qos)
        await publishes(port, "admin", qos)
        assert isinstance(await alice.receive(), Publish)
    got: list[Packet | None] = []
    async with inside(port, keeps("bob", clean_start=False)) as bob:
        packet = await asks(bob, PingReq())
        while not isinstance(packet, PingResp | None):
            got.append(packet)
            packet = await bob.receive()
    return got


@pytest.mark.parametrize("qos", [1, 2])
async def test_who_comes_as_another_user_gets_nothing_that_was_on_its_way_to_the_first(
    tmp_path: Path, qos: int
) -> None:
    rules = [
        Rule(allow=["publish", "subscribe"], users=["alice", "admin"]),
        Rule(allow=["publish", "subscribe"], topics=["open/#"]),
    ]
    users = password_file(tmp_path / "users", alice="alice", bob="bob", admin="admin")
    async with telex.Broker(config=config(Access(password_file=users, rules=rules))) as broker:
        got = await takes_her_place(broker.port, qos)
    assert not [packet for packet in got if isinstance(packet, Publish)]


@pytest.mark.parametrize("qos", [1, 2])
async def test_mosquitto_gives_it_nobody_either(tmp_path: Path, qos: int) -> None:
    with mosquitto_with("user alice\ntopic secret/#\nuser admin\ntopic #\nuser bob\ntopic open/#\n", tmp_path) as port:
        got = await takes_her_place(port, qos)
    assert not [packet for packet in got if isinstance(packet, Publish)]


# Another's name


async def test_where_certificates_say_who_somebody_is_nobody_says_it_without_one(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = tls_of(authority.server(), client_certificates="optional", client_ca=str(authority.path), user_from="cn")
    async with telex.Broker(config=config(Access(allow_anonymous=True), here(tls=tls))) as broker:
        knows = trusting(authority)
        assert await knocks(broker.port, tls=knows) == 0
        assert await knocks(broker.port, "admin", tls=knows) == ReasonCode.NOT_AUTHORIZED
        assert await knocks(broker.port, "bob", tls=trusting(authority, authority.client("admin"))) == 0


async def test_a_name_that_nobody_checked_does_not_count_when_names_are_checked(tmp_path: Path) -> None:
    listener = here()
    async with telex.Broker(config=config(Access(allow_anonymous=True), listener)) as broker:
        async with inside(broker.port, Connect("c", user_name="admin")) as client:
            users = password_file(tmp_path / "users", admin="admin")
            rules = [Rule(allow=["publish", "subscribe"], users=["admin"])]
            access = Access(allow_anonymous=True, password_file=users, rules=rules)
            await broker.reload(config(access, listener))
            assert not await is_there(client)


async def test_who_came_by_a_certificate_goes_when_certificates_name_nobody_any_more(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, client = authority.server(), authority.client("admin")
    asking = {"client_certificates": "optional", "client_ca": str(authority.path)}
    named, plain = here(tls=tls_of(server, user_from="cn", **asking)), here(tls=tls_of(server, **asking))
    access = Access(allow_anonymous=True)
    async with telex.Broker(config=config(access, plain)) as broker:
        async with inside(broker.port, Connect("claims", user_name="admin"), tls=trusting(authority)) as claims:
            await broker.reload(config(access, named))
            assert not await is_there(claims)
        async with inside(broker.port, Connect("has"), tls=trusting(authority, client)) as has:
            await broker.reload(config(access, named))
            assert await is_there(has)
            await broker.reload(config(access, plain))
            assert not await is_there(has)


# Topics that grow below a mount point


async def test_a_topic_that_its_mount_point_makes_too_long_hurts_nobody_else() -> None:
    listeners = (here(), here(mount_point="tenant/"))
    async with telex.Broker(config=config(Access(allow_anonymous=True), *listeners)) as broker:
        first, mounted = ports(broker)
        async with inside(mounted, Connect("tenant")) as tenant:
            await asks(tenant, Publish("x" * 65_530, b"x", 1, True, packet_id=1))
        async with inside(first, Connect("other")) as other:
            await subscribes(other, "#")
            assert await is_there(other)


async def test_a_will_that_its_mount_point_makes_too_long_hurts_nobody() -> None:
    listeners = (here(), here(mount_point="tenant/"))
    async with telex.Broker(config=config(Access(allow_anonymous=True), *listeners)) as broker:
        first, mounted = ports(broker)
        async with inside(first, Connect("other")) as other:
            await subscribes(other, "#")
            async with reached(mounted) as tenant:
                await asks(tenant, Connect("tenant", will=Will("x" * 65_530, b"x")))
            await until(lambda: broker.connection_count == 1)
            assert await is_there(other)
            assert "tenant" not in broker.engine.sessions


# Our memory


async def kept_after(*packets: Packet, access: Access | None = None) -> int:
    """How many bytes the broker takes more, while a client is there that sent these, one by one."""
    async with telex.Broker(config=config(access or Access(allow_anonymous=True))) as broker:
        async with inside(broker.port, Connect("stranger")) as client:
            await is_there(client)
            tracemalloc.start()
            try:
                before, _ = tracemalloc.get_traced_memory()
                for packet in packets:
                    with suppress(OSError):
                        if await asks(client, packet) is None:
                            break  # it was sent away for that
                after, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
    return after - before


async def test_a_filter_of_many_levels_takes_no_more_than_a_few_times_its_length() -> None:
    levels = "+/" * DEEP + "#"
    assert await kept_after(Subscribe(1, [SubscriptionRequest(levels, 0)])) < 20 * len(levels)


async def test_a_retained_topic_of_many_levels_takes_no_more_than_a_few_times_its_length() -> None:
    levels = "a/" * DEEP + "a"
    assert await kept_after(Publish(levels, b"x", 1, True, packet_id=1)) < 20 * len(levels)


@pytest.mark.parametrize("may_publish", [True, False])
async def test_topics_are_not_remembered_for_as_long_as_they_are(may_publish: bool) -> None:
    rules = [Rule(allow=["publish"])] if may_publish else [Rule(deny=["publish"])]
    access = Access(allow_anonymous=True, rules=rules)
    topics = [f"{number:05}" + "x" * 60_000 for number in range(50)]
    packets = [Publish(topic, b"", 1, packet_id=1) for topic in topics]
    assert await kept_after(*packets, access=access) < 20 * len(topics[0])


async def test_frames_without_payload_do_not_pass_by_all_limits() -> None:
    listener = here(protocol="websocket")
    empty = b"\x82\x80\0\0\0\0" * 20_000
    async with telex.Broker(config=config(Access(allow_anonymous=True), listener)) as broker:
        async with reached(ports(broker)[0]) as client:
            client.writer.write(UPGRADE)
            assert b"101" in await client.reader.readuntil(b"\r\n\r\n")
            with suppress(ConnectionError):
                for _ in range(50):
                    client.writer.write(empty)
                    await client.writer.drain()
            await until(lambda: broker.connection_count == 0)


async def test_a_client_that_only_pings_its_websocket_may_stay() -> None:
    async with telex.Broker(config=config(Access(allow_anonymous=True), here(protocol="websocket"))) as broker:
        async with reached(ports(broker)[0]) as client:
            client.writer.write(UPGRADE)
            assert b"101" in await client.reader.readuntil(b"\r\n\r\n")
            client.writer.write(b"\x89\x80\0\0\0\0" * 5_000 + b"\x89\x83\0\0\0\0end")
            await client.reader.readuntil(b"\x8a\x03end")


# What people read


def test_what_a_plugin_may_write_down_of_an_applicant_has_no_password() -> None:
    applicant = Applicant(user_name="ann", password=b"hunter2", client_id="c", address="192.0.2.1:5000")
    assert "hunter2" not in repr(applicant)
    assert "ann" in repr(applicant)


def test_what_is_written_down_of_a_connect_has_no_password() -> None:
    said = Properties(authentication_method="X", authentication_data=b"hunter3")
    packet = Connect("c", user_name="ann", password=b"hunter2", properties=said)
    assert "hunter" not in repr(packet)


def test_a_proxy_cannot_say_an_address_with_words_behind_it() -> None:
    reader = HeaderReader("1")
    said = iter(b"PROXY TCP6 fe80::1%\x1b[31m ::1 5000 1883\r\n")

    def goes_on() -> None:
        for each in said:
            reader.receive(bytes([each]))

    with pytest.raises(BadHeader):
        goes_on()


# Files of others, while we are root or are not


async def never(order: str) -> str:
    raise AssertionError(order)


async def test_orders_are_not_taken_through_a_directory_of_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "telex"
    place.mkdir()
    if os.geteuid() == 0:
        os.chown(place, 12_345, -1)  # what root makes is to be trusted
    uid = place.stat().st_uid + 1
    (place / "1.json").write_text('{"port": 1, "secret": "x"}')
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    orders = Orders(never, place)
    with pytest.raises(PermissionError):
        await orders.open()
    await orders.close()
    assert running(place) == {}


def test_root_gives_away_no_file_that_has_another_name_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, precious = tmp_path / "data", tmp_path / "precious"
    data.mkdir()
    precious.write_text("x")
    (data / "telex.db").write_text("x")
    os.link(precious, data / "telex.db-wal")
    (data / "scram.secret").symlink_to(precious)
    given = []

    def chown(path: Path, uid: int, gid: int, *, follow_symlinks: bool) -> None:
        assert not follow_symlinks
        given.append(path)

    monkeypatch.setattr(os, "chown", chown)
    monkeypatch.setattr(privileges, "is_root", lambda: True)
    privileges.give_to(pwd.getpwuid(0).pw_name, data)
    assert given == [data, data / "telex.db"]


def test_a_pid_file_is_not_written_through_a_link(tmp_path: Path) -> None:
    from telex.cli.serve import _write_pid

    precious = tmp_path / "precious"
    precious.write_text("x")
    (tmp_path / "pid").symlink_to(precious)
    with pytest.raises(ConfigError, match="pid_file"):
        _write_pid(str(tmp_path / "pid"))
    assert precious.read_text() == "x"
    _write_pid(str(tmp_path / "other"))
    assert (tmp_path / "other").read_text() == f"{os.getpid()}\n"
