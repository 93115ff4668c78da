"""A broker goes on as another description says: all of it, or nothing; and who may stay does not notice."""

import asyncio
import contextlib
import gc
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs

import telex
from telex.codes import ReasonCode
from telex.server.access.ways import Admitted, Applicant
from telex.server.config import Access, Config, ConfigError, Http, Listener, ListenerLimits, Protection, Rule
from telex.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    Will,
)
from telex.wire.properties import Properties
from tests.access.services import WebService, never, says
from tests.certificates import Authority, Issued
from tests.processes import free_port
from tests.shell.knocking import (
    Porter,
    Verdict,
    config,
    here,
    inside,
    is_there,
    knocks,
    knocks_by_scram,
    knocks_by_websocket,
    password_file,
    porter,
    ports,
    reached,
    tls_of,
    trusting,
    until,
    who,
)
from tests.shell.raw import RawClient

NO = ReasonCode.NOT_AUTHORIZED
GONE = ReasonCode.ADMINISTRATIVE_ACTION


async def is_alive(client: RawClient) -> bool:
    """Whether a client is still connected, and nothing has come for it."""
    await client.send(PingReq())
    return await client.receive() == PingResp()


async def may_publish(client: RawClient, topic: str) -> bool:
    await client.send(Publish(topic, b"", qos=1, packet_id=9))
    answer = await client.receive()
    assert isinstance(answer, PubAck)
    return answer.reason_code < 0x80


# Users


async def test_users_come_and_go_and_change_their_passwords(tmp_path: Path) -> None:
    path = tmp_path / "users"
    password_file(path, ann="1", bob="2", cid="3")
    described = config(Access(password_file=str(path)))
    async with telex.Broker(config=described) as broker:
        async with (
            inside(broker.port, who("ann", "1", client_id="a")) as ann,
            inside(broker.port, who("bob", "2", client_id="b")) as bob,
            inside(broker.port, who("cid", "3", client_id="c", version=4)) as cid,
        ):
            ann_line = path.read_text().splitlines()[0]
            password_file(path, bob="new", dan="4")
            path.write_text(ann_line + "\n" + path.read_text())
            assert await knocks(broker.port, "dan", "4") == NO  # not yet
            assert await broker.reload(described) == []
            assert await is_alive(ann)
            assert await bob.receive() == Disconnect(NO)
            assert await bob.receive() is None
            assert await cid.receive() is None
        assert await knocks(broker.port, "ann", "1") == 0
        assert await knocks(broker.port, "bob", "2") == NO
        assert await knocks(broker.port, "bob", "new") == 0
        assert await knocks(broker.port, "cid", "3") == NO
        assert await knocks(broker.port, "dan", "4") == 0


async def test_who_came_by_scram_stays_until_the_password_changes(tmp_path: Path) -> None:
    path = tmp_path / "users"
    described = config(Access(password_file=password_file(path, "scram-sha-256", ann="1"), scram=True))
    async with telex.Broker(config=described) as broker, reached(broker.port) as client:
        assert await knocks_by_scram(client, "ann", "1") == 0
        await broker.reload(described)
        assert await is_alive(client)
        password_file(path, "scram-sha-256", ann="2")
        await broker.reload(described)
        assert await client.receive() == Disconnect(NO)


async def test_where_strangers_are_welcome_no_more_they_have_to_go(tmp_path: Path) -> None:
    path = password_file(tmp_path / "users", ann="1")
    described = config(Access(allow_anonymous=True, password_file=path))
    async with telex.Broker(config=described) as broker:
        async with inside(broker.port, who("ann", "1")) as ann, inside(broker.port) as stranger:
            await broker.reload(config(Access(allow_anonymous=False, password_file=path)))
            assert await stranger.receive() == Disconnect(NO)
            assert await is_alive(ann)


async def test_a_name_that_nobody_checked_is_worth_nothing_when_names_are_checked(tmp_path: Path) -> None:
    """With anonymous access alone any name will do. Then there are users, and strangers are still welcome."""
    async with telex.Broker(config=config(Access(allow_anonymous=True))) as broker:
        async with inside(broker.port, who("ann", "made up")) as pretender, inside(broker.port) as stranger:
            path = password_file(tmp_path / "users", ann="1")
            await broker.reload(config(Access(allow_anonymous=True, password_file=path)))
            assert await pretender.receive() == Disconnect(NO)
            assert await is_alive(stranger)


async def test_who_came_by_a_plugin_is_asked_about_there() -> None:
    async def ask(applicant: Applicant) -> Verdict:
        return Admitted(user="ann")

    async with telex.Broker(config=config(Access(plugins=[porter(ask)]))) as broker, inside(broker.port) as client:
        await broker.reload(config(Access(plugins=[porter(ask)])))
        assert await is_alive(client)
        assert Porter.opened == 1
        await broker.reload(config(Access(plugins=[porter(ask, stays=False)])))
        assert await client.receive() == Disconnect(NO)
    assert Porter.opened == 0


async def test_ids_and_versions_that_are_welcome_no_more() -> None:
    async with telex.Broker(config=config(None)) as broker:
        async with (
            inside(broker.port, Connect("a-1")) as first,
            inside(broker.port, Connect("b-1")) as second,
            inside(broker.port, Connect("a-2", version=4)) as third,
        ):
            await broker.reload(config(Access(client_id_prefixes=["a-"]), here(versions=["5.0"])))
            assert await second.receive() == Disconnect(NO)
            assert await third.receive() is None
            assert await is_alive(first)


# Rules


def rules(*topics: str) -> Access:
    """Everybody may do everything with these topics."""
    return Access(
        allow_anonymous=True,
        rules=[
            Rule(allow=["publish", "subscribe", "receive"], topics=list(topics)),
            Rule(deny=["publish", "subscribe", "receive"]),
        ],
    )


async def test_who_may_not_have_its_subscription_any_more_goes_and_the_others_stay() -> None:
    async with telex.Broker(config=config(rules("a/#", "b/#"))) as broker:
        async with inside(broker.port) as first, inside(broker.port) as second, inside(broker.port) as third:
            await first.subscribe("a/x")
            await second.subscribe("b/x")
            await broker.reload(config(rules("a/#", "c/#")))
            assert await second.receive() == Disconnect(NO)
            assert await is_alive(first)
            assert not await may_publish(third, "b/x")
            assert await may_publish(third, "c/x")
            assert await may_publish(third, "a/x")
            assert await first.receive() == Publish("a/x", b"")


async def test_rules_of_an_acl_file_are_read_again(tmp_path: Path) -> None:
    path = tmp_path / "acl"
    path.write_text("topic read a\ntopic write b\n")
    described = config(Access(allow_anonymous=True, acl_file=str(path)))
    async with telex.Broker(config=described) as broker, inside(broker.port) as client:
        await client.subscribe("a")
        assert not await may_publish(client, "a")
        path.write_text("topic readwrite a\n")
        await broker.reload(described)
        await client.send(Publish("a", b"x"))
        assert await client.receive() == Publish("a", b"x")
        assert not await may_publish(client, "b")


async def test_what_waits_for_a_client_that_is_away_is_not_delivered_against_new_rules() -> None:
    kept = Properties(session_expiry_interval=3_600)
    async with telex.Broker(config=config(rules("a/#", "b/#"))) as broker, inside(broker.port) as pub:
        async with inside(broker.port, Connect("c", clean_start=False, properties=kept)) as client:
            await client.send(Subscribe(1, [SubscriptionRequest("a/#", 1), SubscriptionRequest("b/#", 1)]))
            assert await client.receive() == SubAck(1, [1, 1])
        await until(lambda: broker.connection_count == 1)
        assert await may_publish(pub, "a/before")
        assert await may_publish(pub, "b/before")
        await broker.reload(config(rules("a/#", "c/#")))
        assert await may_publish(pub, "a/after")
        kept = Properties(session_expiry_interval=3_600)
        async with inside(broker.port, Connect("c", clean_start=False, properties=kept)) as client:
            assert client.connack.session_present
            got = [await client.receive(), await client.receive()]
            assert [getattr(each, "topic", None) for each in got] == ["a/before", "a/after"]
            assert await is_alive(client)
            assert set(broker.engine.sessions["c"].subscriptions) == {"a/#"}


async def test_a_will_against_new_rules_is_not_published() -> None:
    async with telex.Broker(config=config(rules("a/#", "b/#"))) as broker, inside(broker.port) as watcher:
        await watcher.subscribe("a/#")
        allowed = Connect("one", will=Will("a/will", b"1"))
        denied = Connect("two", will=Will("b/will", b"2", retain=True))
        async with inside(broker.port, allowed) as one, inside(broker.port, denied) as two:
            await broker.reload(config(rules("a/#")))
            assert await is_alive(one)
            assert await is_alive(two)
        assert await watcher.receive() == Publish("a/will", b"1")
        await until(lambda: broker.connection_count == 1)
        assert broker.engine.retained.count == 0


async def test_qos_that_rules_allow_less_of() -> None:
    def at_most(qos: int) -> Access:
        everything = Rule(allow=["publish", "subscribe", "receive"], max_qos=qos)
        return Access(allow_anonymous=True, rules=[everything])

    async with telex.Broker(config=config(at_most(2))) as broker, inside(broker.port) as client:
        await client.subscribe("a", 2)
        await broker.reload(config(at_most(0)))
        assert await is_alive(client)
        await client.send(Publish("a", b"x"))
        assert await client.receive() == Publish("a", b"x")
        assert not await may_publish(client, "a")


# Limits, protection, $SYS


async def test_limits_count_for_those_who_come() -> None:
    async with telex.Broker(config=config(None)) as broker, inside(broker.port) as former:
        await broker.reload(config(None, limits={"receive_maximum": 5, "max_retained_messages": 1}))
        async with inside(broker.port) as client:
            assert client.connack.properties is not None
            assert client.connack.properties.receive_maximum == 5
        await broker.reload(config(None, here(limits=ListenerLimits(receive_maximum=3))))
        async with inside(broker.port) as client:
            assert client.connack.properties is not None
            assert client.connack.properties.receive_maximum == 3
        assert await is_alive(former)


async def test_protection_counts_for_those_who_are_there() -> None:
    async with telex.Broker(config=config(None)) as broker, inside(broker.port) as client, inside(broker.port):
        await broker.reload(
            config(None, here(max_connections=2), protection=Protection(messages_per_second=50, patience=0.1))
        )
        assert await knocks(broker.port) is None

        async def floods() -> None:
            while True:
                await client.send(Publish("a", bytes(20_000)))

        flood = asyncio.ensure_future(floods())
        assert await client.receive() == Disconnect(ReasonCode.MESSAGE_RATE_TOO_HIGH)
        flood.cancel()
        await asyncio.gather(flood, return_exceptions=True)
        await broker.reload(config(None))
        async with inside(broker.port) as client, inside(broker.port):
            await client.send(*(Publish("a", bytes(100)) for _ in range(1_000)))
            assert await is_alive(client)


@pytest.mark.parametrize(("before", "after"), [(1, 3_600), (3_600, 1), (0, 1), (1, 0)])
async def test_sys_topics_go_on_with_another_interval(before: int, after: int) -> None:
    async with telex.Broker(config=config(None, sys_interval=before)) as broker:
        await broker.reload(config(None, sys_interval=after))
        async with inside(broker.port, Connect("c", keep_alive=0)) as client:
            await client.subscribe("$SYS/broker/uptime")
            now = broker.now()
            interval = after or 1
            broker._next_second = (int(now) // interval + 10) * interval
            assert broker._tick_timer is not None
            broker._tick_timer.cancel()
            broker._tick()  # as at the next multiple of the interval
            await client.send(PingReq())
            told = []
            while isinstance(packet := await client.receive(), Publish):
                told.append(packet.retain)
            assert (False in told) == (after > 0)


async def test_what_needs_a_restart_is_named(tmp_path: Path) -> None:
    async with telex.Broker(config=config(None)) as broker:
        left = await broker.reload(config(None, data=str(tmp_path), durability="relaxed", control=True))
        assert left == ["data", "durability", "control"]
        assert await broker.reload(config(None, data=str(tmp_path), durability="relaxed", control=True)) == []


# Listeners


async def test_listeners_are_added_and_removed(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    first, second = here(free_port()), here(free_port())
    unix = Listener(path=path)
    async with telex.Broker(config=config(None, first)) as broker:
        async with inside(first.port) as old:
            await broker.reload(config(None, first, second, unix))
            async with inside(second.port) as new, inside(path) as local:
                assert await knocks(first.port) == 0
                await broker.reload(config(None, second))
                assert await old.receive() == Disconnect(GONE)
                assert await local.receive() == Disconnect(GONE)
                assert await is_alive(new)
                assert broker.addresses == [f"mqtt://127.0.0.1:{second.port}"]
                assert not is_there(path)
                with pytest.raises(ConnectionRefusedError):
                    await knocks(first.port)


async def test_a_listener_of_a_free_port_keeps_it() -> None:
    async with telex.Broker(config=config(None, here(), here())) as broker:
        before = ports(broker)
        async with inside(before[0]) as first, inside(before[1]) as second:
            await broker.reload(config(None, here(), here(), here()))
            assert ports(broker)[:2] == before
            await broker.reload(config(None, here()))
            assert ports(broker) == before[:1]
            assert await is_alive(first)
            assert await second.receive() == Disconnect(GONE)


@pytest.mark.parametrize("way", ["there", "back"])
async def test_the_same_port_at_another_address(way: str) -> None:
    """A port cannot be had at every address while it is had at one: the old listener goes first."""
    port = free_port()
    wide, narrow = Listener(port=port), here(port)
    before, after = (wide, narrow) if way == "there" else (narrow, wide)
    access = Access(allow_anonymous=True)
    async with telex.Broker(config=config(access, before)) as broker, inside(port) as client:
        await broker.reload(config(access, after))
        assert await client.receive() == Disconnect(GONE)
        assert await knocks(port) == 0
        assert len(broker.addresses) == (1 if after is narrow else len(broker.addresses))


async def test_a_protocol_changes_at_the_same_port_and_back(tmp_path: Path) -> None:
    port = free_port()
    async with telex.Broker(config=config(None, here(port))) as broker, inside(port) as client:
        for _ in range(2):
            await broker.reload(config(None, here(port, protocol="websocket")))
            assert broker.addresses == [f"ws://127.0.0.1:{port}"]
            assert await knocks_by_websocket(port) == 0
            await broker.reload(config(None, here(port)))
            assert await knocks(port) == 0
        assert await is_alive(client)  # it came by a listener of that name, which is there


async def test_tls_begins_and_ends_at_the_same_port(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = tls_of(authority.server())
    port = free_port()
    async with telex.Broker(config=config(None, here(port))) as broker, inside(port) as client:
        await broker.reload(config(None, here(port, tls=tls)))
        assert await knocks(port, tls=trusting(authority)) == 0
        await broker.reload(config(None, here(port)))
        assert await knocks(port) == 0
        assert await is_alive(client)


async def test_what_a_web_listener_allows_changes() -> None:
    import aiohttp

    port = free_port()

    async def status(origin: str) -> int:
        async with aiohttp.ClientSession() as session:
            try:
                async with session.ws_connect(
                    f"http://127.0.0.1:{port}/mqtt", protocols=["mqtt"], headers={"Origin": origin}
                ):
                    return 101
            except aiohttp.WSServerHandshakeError as error:
                return error.status

    async with telex.Broker(config=config(None, here(port, protocol="websocket"))) as broker:
        assert await status("https://bad.example") == 101
        await broker.reload(config(None, here(port, protocol="websocket", origins=["https://good.example"])))
        assert await status("https://bad.example") == 403
        assert await status("https://good.example") == 101


async def test_who_may_come_in_by_one_listener_changes_for_that_one(tmp_path: Path) -> None:
    strict = Access(allow_anonymous=False, password_file=password_file(tmp_path / "users", ann="1"))
    async with telex.Broker(config=config(None, here(), here())) as broker:
        one, two = ports(broker)
        async with inside(one) as first, inside(two) as second:
            await broker.reload(config(None, here(), here(access=strict)))
            assert await is_alive(first)
            assert await second.receive() == Disconnect(NO)
        assert await knocks(one) == 0
        assert await knocks(two) == NO
        assert await knocks(two, "ann", "1") == 0


# Certificates


def serial_at(port: int, authority: Authority) -> int:
    """The serial number of the certificate that a server shows."""
    from cryptography import x509

    context = trusting(authority)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as secure:
            shown = secure.getpeercert(binary_form=True)
            assert shown is not None
            return x509.load_der_x509_certificate(shown).serial_number


def put(issued: Issued, certificate: Path, key: Path) -> None:
    """Put a certificate in place of another, as `mv` does."""
    for source, target in ((issued.key, key), (issued.certificate, certificate)):
        draft = target.with_suffix(".draft")
        draft.write_bytes(source.read_bytes())
        draft.replace(target)


@pytest.mark.parametrize("how", ["reload", "by itself"])
async def test_new_certificates_are_for_those_who_come_and_nobody_has_to_go(tmp_path: Path, how: str) -> None:
    authority = Authority(tmp_path)
    first, second = authority.server("first"), authority.server("second")
    certificate, key = tmp_path / "live.pem", tmp_path / "live.key"
    put(first, certificate, key)
    tls = structs.replace(tls_of(first), certificate=str(certificate), key=str(key))
    described = config(None, here(tls=tls))
    async with telex.Broker(config=described) as broker:
        async with inside(broker.port, tls=trusting(authority)) as client:
            assert await asyncio.to_thread(serial_at, broker.port, authority) == first.content.serial_number
            put(second, certificate, key)
            if how == "reload":
                await broker.reload(described)
            else:
                for _ in range(2):  # as each ten seconds; it wants to see twice that they are whole
                    broker._reception.renew()
            assert await asyncio.to_thread(serial_at, broker.port, authority) == second.content.serial_number
            assert await is_alive(client)


async def test_a_certificate_and_a_key_that_do_not_match_change_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path)
    first, second = authority.server("first"), authority.server("second")
    certificate, key = tmp_path / "live.pem", tmp_path / "live.key"
    put(first, certificate, key)
    tls = structs.replace(tls_of(first), certificate=str(certificate), key=str(key))
    described = config(None, here(tls=tls))
    async with telex.Broker(config=described) as broker:
        certificate.write_bytes(second.certificate.read_bytes())
        with pytest.raises(ConfigError, match="key"):
            await broker.reload(described)
        for _ in range(5):
            broker._reception.renew()
        assert await asyncio.to_thread(serial_at, broker.port, authority) == first.content.serial_number
        assert caplog.text.count("keeps its old certificates") == 1


async def test_a_client_certificate_is_asked_for_from_now_on(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, ann = authority.server(), authority.client("ann")
    asking = tls_of(server, client_certificates="required", client_ca=str(authority.path), user_from="cn")
    async with telex.Broker(config=config(None, here(tls=tls_of(server)))) as broker:
        async with inside(broker.port, tls=trusting(authority)) as stranger:
            await broker.reload(config(None, here(tls=asking)))
            assert await stranger.receive() == Disconnect(NO)  # nobody knows who it is
        assert await knocks(broker.port, tls=trusting(authority, ann)) == 0
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            assert await knocks(broker.port, tls=trusting(authority)) is None


# If anything is wrong


def resources() -> tuple[int, int, int]:
    """How many tasks, files and threads there are."""
    gc.collect()
    hashing = [each for each in threading.enumerate() if each.name.startswith("telex-hash")]
    return len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd")), len(hashing)


Spoil = Callable[[Path, Config, int], Config]


def unreadable_passwords(place: Path, described: Config, taken: int) -> Config:
    (place / "users").unlink()
    (place / "users").mkdir()
    return described


def missing_passwords(place: Path, described: Config, taken: int) -> Config:
    (place / "users").unlink()
    return described


def garbled_passwords(place: Path, described: Config, taken: int) -> Config:
    (place / "users").write_text("ann:$7$garbage\n")
    return described


def missing_acl(place: Path, described: Config, taken: int) -> Config:
    (place / "acl").unlink()
    return described


def garbled_acl(place: Path, described: Config, taken: int) -> Config:
    (place / "acl").write_text("topci write a\n")
    return described


def binary_acl(place: Path, described: Config, taken: int) -> Config:
    (place / "acl").write_bytes(bytes(range(256)))
    return described


def wrong_rules(place: Path, described: Config, taken: int) -> Config:
    access = structs.replace(described.access, acl_file="", rules=[Rule(allow=["publish"], topics=["a/#/b"])])
    return structs.replace(described, access=access)


def wrong_limit(place: Path, described: Config, taken: int) -> Config:
    return structs.replace(described, limits={"receive_maximum": 0})


def port_in_use(place: Path, described: Config, taken: int) -> Config:
    return structs.replace(described, listeners=[here(free_port()), *described.listeners, here(taken)])


def protocol_of_a_port_in_use(place: Path, described: Config, taken: int) -> Config:
    """The first listener would become a WebSocket; then the second cannot be opened."""
    changed = structs.replace(described.listeners[0], protocol="websocket")
    return structs.replace(described, listeners=[changed, *described.listeners[1:], here(taken)])


def another_address_and_a_port_in_use(place: Path, described: Config, taken: int) -> Config:
    changed = structs.replace(described.listeners[0], host="")
    return structs.replace(described, listeners=[changed, *described.listeners[1:], here(taken)])


def no_such_host(place: Path, described: Config, taken: int) -> Config:
    return structs.replace(described, listeners=[*described.listeners, Listener(host="no-such-host.invalid", port=1)])


def other_certificate(place: Path, described: Config, taken: int) -> Config:
    (place / "live.pem").write_bytes(Authority(place, "Other").server("other").certificate.read_bytes())
    return described


def missing_key(place: Path, described: Config, taken: int) -> Config:
    (place / "live.key").unlink()
    return described


def plugin_that_is_not_there(place: Path, described: Config, taken: int) -> Config:
    plugin = telex.server.config.Plugin(name="no.such.module:Thing")
    return structs.replace(described, access=structs.replace(described.access, plugins=[plugin]))


def plugin_that_does_not_open(place: Path, described: Config, taken: int) -> Config:
    plugin = telex.server.config.Plugin(name="tests.shell.test_reload:NeverOpens", options={"ask": None})
    plugins = [*described.access.plugins, plugin]
    return structs.replace(described, access=structs.replace(described.access, plugins=plugins))


def directory_that_is_not_there(place: Path, described: Config, taken: int) -> Config:
    return structs.replace(described, listeners=[*described.listeners, Listener(path=str(place / "no" / "socket"))])


def file_in_place_of_a_socket(place: Path, described: Config, taken: int) -> Config:
    (place / "file").write_text("mine")
    return structs.replace(described, listeners=[*described.listeners, Listener(path=str(place / "file"))])


class NeverOpens(Porter):
    """A plugin that cannot be used."""

    async def open(self) -> None:
        raise OSError("not today")

    async def close(self) -> None:
        raise AssertionError("it was never open")


SPOILS: list[Spoil] = [
    unreadable_passwords,
    missing_passwords,
    garbled_passwords,
    missing_acl,
    garbled_acl,
    binary_acl,
    wrong_rules,
    wrong_limit,
    port_in_use,
    protocol_of_a_port_in_use,
    another_address_and_a_port_in_use,
    no_such_host,
    other_certificate,
    missing_key,
    plugin_that_is_not_there,
    plugin_that_does_not_open,
    directory_that_is_not_there,
    file_in_place_of_a_socket,
]


async def everybody_else(applicant: Applicant) -> Verdict:
    return None


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda spoil: spoil.__name__.replace("_", "-"))
async def test_if_anything_is_wrong_everything_is_as_before(
    tmp_path: Path, spoil: Spoil, caplog: pytest.LogCaptureFixture
) -> None:  # [mosquitto#588]
    authority = Authority(tmp_path)
    put(authority.server(), tmp_path / "live.pem", tmp_path / "live.key")
    (tmp_path / "acl").write_text("user ann\ntopic readwrite a\n")
    access = Access(
        password_file=password_file(tmp_path / "users", ann="1"),
        acl_file=str(tmp_path / "acl"),
        plugins=[porter(everybody_else)],
    )
    tls = structs.replace(
        tls_of(authority.server()), certificate=str(tmp_path / "live.pem"), key=str(tmp_path / "live.key")
    )
    first, web = free_port(), free_port()
    listeners = [here(first), here(tls=tls), here(web, protocol="websocket"), Listener(path=str(tmp_path / "socket"))]
    described = config(access, *listeners)
    async with telex.Broker(config=described) as broker:
        secure = broker._reception.entrances["127.0.0.1:0"].door.port
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            async with inside(first, who("ann", "1")) as client:
                await client.subscribe("a")
                addresses = broker.addresses
                before = resources()
                wrong = spoil(tmp_path, described, other.getsockname()[1])
                for _ in range(3):
                    with pytest.raises((ConfigError, OSError)) as caught:
                        await broker.reload(wrong)
                assert str(caught.value)
                await until(lambda: resources() == before)
                assert broker.addresses == addresses
                assert broker.config is described
                assert Porter.opened == 1
                await client.send(Publish("a", b"", qos=1, packet_id=1))
                assert await client.receive() == Publish("a", b"")
                assert await client.receive() == PubAck(1)
                assert not await may_publish(client, "b")
        context = trusting(authority)
        for place, tls_context in [(first, None), (secure, context), (str(tmp_path / "socket"), None)]:
            assert await knocks(place, "ann", "1", tls=tls_context) == 0
            assert await knocks(place, "ann", "2", tls=tls_context) == NO
            assert await knocks(place, tls=tls_context) == NO
        assert await knocks_by_websocket(web, "ann", "1") == 0
        assert await knocks_by_websocket(web, "ann", "2") == NO
    assert Porter.opened == 0
    assert "plugin failed" not in caplog.text


async def test_a_start_that_fails_leaves_nothing_open(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        unix = Listener(path=str(tmp_path / "socket"))
        access = Access(plugins=[porter(everybody_else)])
        listeners = [here(), here(protocol="websocket"), unix, here(other.getsockname()[1])]
        broker = telex.Broker(config=config(access, *listeners))
        counts = []
        for _ in range(4):
            with pytest.raises(OSError, match="another program listens there"):
                await broker.start()
            await until(lambda: len(asyncio.all_tasks()) == 1)
            counts.append(resources())
        assert counts[1:] == counts[1:2] * 3  # the first one leaves what uvloop keeps for itself
        assert Porter.opened == 0
        assert not is_there(tmp_path / "socket")


async def test_a_broker_that_does_not_run_reloads_nothing() -> None:
    broker = telex.Broker(config=config(None))
    with pytest.raises(ValueError, match="does not run"):
        await broker.reload(config(None))
    async with broker:
        pass
    with pytest.raises(ValueError, match="does not run"):
        await broker.reload(config(None))
    assert broker.addresses == []


async def test_a_start_after_a_reload_is_as_the_reload_said() -> None:
    broker = telex.Broker(port=0, options=telex.Options(receive_maximum=7))
    async with broker:
        await broker.reload(config(None, limits={"receive_maximum": 9}))
    async with broker, inside(broker.port) as client:
        assert client.connack.properties is not None
        assert client.connack.properties.receive_maximum == 9


async def test_two_hundred_reloads_leave_nothing_behind(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    access = Access(
        allow_anonymous=True,
        password_file=password_file(tmp_path / "users", ann="1"),
        plugins=[porter(everybody_else)],
        http=[Http(url="http://127.0.0.1:1/", when_down="pass")],
    )
    small = config(access, here())
    large = config(
        access,
        here(),
        here(protocol="websocket"),
        here(tls=tls_of(authority.server())),
        Listener(path=str(tmp_path / "s")),
    )
    async with telex.Broker(config=small) as broker, inside(broker.port) as client:
        await broker.reload(large)
        await broker.reload(small)
        assert await knocks(broker.port, "ann", "1") == 0
        await until(lambda: broker.connection_count == 1)
        before = resources()
        for _ in range(100):
            await broker.reload(large)
            await broker.reload(small)
        await until(lambda: resources()[:2] == before[:2])
        assert Porter.opened == 1
        assert await is_alive(client)


# Under load


async def test_a_reload_under_load_loses_no_message_and_disconnects_nobody(tmp_path: Path) -> None:
    """Streams at QoS 0 and 1 go on while the broker reloads twenty times: other users, rules, limits, listeners."""
    path = tmp_path / "users"
    authority = Authority(tmp_path)

    def described(number: int) -> Config:
        password_file(path, ann="1", **{f"user{number}": "x"})
        path.write_text(line + "\n" + path.read_text().partition("\n")[2])
        access = Access(
            password_file=str(path),
            rules=[Rule(deny=["publish"], topics=[f"no/{number}"]), Rule(allow=["publish", "subscribe", "receive"])],
        )
        more = [here(tls=tls_of(server))] if number % 2 else [here(protocol="websocket")]
        return config(access, here(port), *more, limits={"receive_maximum": 100 + number})

    server = authority.server()
    password_file(path, ann="1")
    line = path.read_text().splitlines()[0]
    port = free_port()
    async with (
        telex.Broker(config=described(0)) as broker,
        inside(port, who("ann", "1", client_id="sub")) as sub,
        inside(port, who("ann", "1", client_id="one")) as one,
        inside(port, who("ann", "1", client_id="zero")) as zero,
    ):
        await sub.subscribe("load/#", 1)
        is_over = False
        acknowledged = 0
        sent = 0

        async def publishes_at_qos_1() -> None:
            nonlocal acknowledged
            while not is_over:
                ids = range(1, 11)
                await one.send(
                    *(Publish("load/1", b"%d" % (acknowledged + each), qos=1, packet_id=each) for each in ids)
                )
                for each in ids:
                    assert await one.receive() == PubAck(each)
                acknowledged += len(ids)

        async def publishes_at_qos_0() -> None:
            nonlocal sent
            while not is_over:
                await zero.send(*(Publish("load/0", b"%d" % (sent + each)) for each in range(1, 11)))
                sent += 10
                assert await is_alive(zero)  # so that the subscriber keeps up

        got: dict[str, list[int]] = {"load/0": [], "load/1": []}

        async def receives() -> None:
            while True:
                packet = await sub.receive()
                assert isinstance(packet, Publish), packet
                if packet.topic == "load/end":
                    break
                got[packet.topic].append(int(packet.payload))
                if packet.qos:
                    await sub.send(PubAck(packet.packet_id))

        async with asyncio.TaskGroup() as group:
            streams = [group.create_task(publishes_at_qos_1()), group.create_task(publishes_at_qos_0())]
            group.create_task(receives())
            for number in range(1, 21):
                before = (acknowledged, sent)
                await broker.reload(described(number))
                await until(lambda before=before: acknowledged > before[0] and sent > before[1])  # type: ignore[misc]
            is_over = True
            await asyncio.gather(*streams)
            await one.send(Publish("load/end", b"", qos=1, packet_id=1))
        assert got["load/1"] == list(range(1, acknowledged + 1))
        assert got["load/0"] == list(range(1, sent + 1))
        assert broker.engine.stats.connections_opened == 3


async def test_logins_go_on_while_the_broker_reloads(tmp_path: Path) -> None:
    access = Access(password_file=password_file(tmp_path / "users", ann="1", bob="2"))
    described = config(access, here(free_port()))
    port = described.listeners[0].port
    async with telex.Broker(config=described) as broker:
        is_over = False

        async def comes_and_goes(user: str, password: str, code: int) -> int:
            count = 0
            while not is_over or count < 3:
                assert await knocks(port, user, password) == code
                count += 1
            return count

        async with asyncio.TaskGroup() as group:
            for who_comes in [("ann", "1", 0), ("bob", "2", 0), ("ann", "2", NO), ("eve", "1", NO)]:
                group.create_task(comes_and_goes(*who_comes))
            for _ in range(20):
                await broker.reload(described)
                await asyncio.sleep(0)
            is_over = True
        await until(lambda: not broker.connection_count)


async def test_two_reloads_at_once_take_turns() -> None:
    descriptions = [config(None, here(), here(free_port()), limits={"receive_maximum": 10 + n}) for n in range(5)]
    async with telex.Broker(config=config(None)) as broker, inside(broker.port) as client:
        await asyncio.gather(*(broker.reload(each) for each in descriptions))
        assert broker.config is descriptions[-1]
        assert ports(broker)[1:] == [descriptions[-1].listeners[1].port]
        for each in descriptions[:-1]:
            with pytest.raises(ConnectionRefusedError):
                await knocks(each.listeners[1].port)
        assert await is_alive(client)


async def test_a_stop_waits_for_a_reload_and_leaves_nothing_open() -> None:
    broker = telex.Broker(config=config(None))
    await broker.start()
    before = broker.addresses
    reload = asyncio.ensure_future(broker.reload(config(None, here(), here(), here(protocol="websocket"))))
    await asyncio.sleep(0)
    await broker.stop()
    assert await reload == []
    assert broker.addresses == []
    for address in before:
        with pytest.raises(ConnectionRefusedError):
            await knocks(int(address.rpartition(":")[2]))


async def test_a_reload_that_is_given_up_changes_nothing() -> None:
    waits = asyncio.Event()

    class Slow(Porter):
        async def open(self) -> None:
            waits.set()
            await asyncio.Event().wait()

    globals()["Slow"] = Slow
    async with telex.Broker(config=config(None)) as broker:
        slow = telex.server.config.Plugin(name="tests.shell.test_reload:Slow", options={"ask": everybody_else})
        before = resources()
        reload = asyncio.ensure_future(broker.reload(config(Access(plugins=[slow]), here(), here())))
        await waits.wait()
        reload.cancel()
        await asyncio.gather(reload, return_exceptions=True)
        assert reload.cancelled()
        await until(lambda: resources() == before)
        assert await knocks(broker.port) == 0
        assert await broker.reload(config(None)) == []


# Those who are decided about meanwhile


async def test_who_is_decided_about_meanwhile_is_decided_about_as_the_new_description_says(tmp_path: Path) -> None:
    service = WebService()
    service.answer = never
    async with service.running():
        first = config(Access(http=[Http(url=service.url, cache=0)]))
        users = password_file(tmp_path / "users", ann="1")
        async with telex.Broker(config=first) as broker:
            knocking = [
                asyncio.ensure_future(knocks(broker.port, user, password))
                for user, password in [("ann", "1"), ("ann", "2"), ("eve", "1"), (None, None)]
            ]
            await until(lambda: len(service.asked) == 4)
            await broker.reload(config(Access(password_file=users)))
            assert await asyncio.gather(*knocking) == [0, NO, NO, NO]


async def test_a_service_is_asked_again_after_a_reload_and_nobody_is_refused_for_that(
    caplog: pytest.LogCaptureFixture,
) -> None:
    service = WebService()
    service.answer = never
    async with service.running():
        described = config(Access(http=[Http(url=service.url, cache=0)]))
        async with telex.Broker(config=described) as broker:
            knocking = [asyncio.ensure_future(knocks(broker.port, "ann", str(number))) for number in range(10)]
            for count in (10, 20, 30):
                await until(lambda count=count: len(service.asked) == count)  # type: ignore[misc]
                await broker.reload(described)
            await until(lambda: len(service.asked) == 40)
            service.answer = says(200, {"result": "allow"})
            await broker.reload(described)
            assert await asyncio.gather(*knocking) == [0] * 10
    assert "down" not in caplog.text


async def test_a_user_who_was_removed_while_its_password_was_checked_stays_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from telex.server.access.passwords import Pbkdf2Sha512

    begun, go_on = threading.Event(), threading.Event()
    verify = Pbkdf2Sha512.verify

    def slow(self: Pbkdf2Sha512, password: bytes) -> bool:
        begun.set()
        assert go_on.wait(10)
        return verify(self, password)

    monkeypatch.setattr(Pbkdf2Sha512, "verify", slow)
    path = tmp_path / "users"
    described = config(Access(password_file=password_file(path, ann="1", bob="2")))
    async with telex.Broker(config=described) as broker:
        knocking = asyncio.ensure_future(knocks(broker.port, "ann", "1"))
        await asyncio.to_thread(begun.wait, 10)
        password_file(path, bob="2")
        await broker.reload(described)
        go_on.set()
        assert await knocking == NO


async def test_who_waits_in_a_takeover_storm_is_decided_about_again(tmp_path: Path) -> None:
    path = tmp_path / "users"
    protection = Protection(takeovers=1, takeover_delay=3_600)
    described = config(Access(password_file=password_file(path, ann="1", bob="2")), protection=protection)
    async with telex.Broker(config=described) as broker:
        ann = who("ann", "1", client_id="c")
        async with inside(broker.port, who("bob", "2", client_id="c")), inside(broker.port, ann):
            waiting = asyncio.ensure_future(knocks(broker.port, "bob", "2", client_id="c"))
            await until(lambda: broker._guard.counts.delayed_takeovers == 1)
            lines = path.read_text().splitlines()
            path.write_text(lines[0] + "\n")
            await broker.reload(described)
            assert await waiting == NO


async def test_an_exchange_that_began_before_a_reload_ends_as_is_right_then(tmp_path: Path) -> None:
    from scramp import ScramClient

    from telex.wire.packets import Auth
    from tests.shell.knocking import SCRAM

    path = tmp_path / "users"
    described = config(Access(password_file=password_file(path, "scram-sha-256", ann="1"), scram=True))
    async with telex.Broker(config=described) as broker:
        for password, code in [("1", 0), ("2", NO)]:
            async with reached(broker.port) as client:
                scram = ScramClient([SCRAM], "ann", "1")
                said = Properties(authentication_method=SCRAM, authentication_data=scram.get_client_first().encode())
                await client.send(Connect(properties=said))
                await until(lambda: bool(broker.engine.stats.packets_received))
                challenge = await client.receive()
                assert isinstance(challenge, Auth)
                if password == "2":
                    password_file(path, "scram-sha-256", ann=password)
                await broker.reload(described)
                scram.set_server_first((challenge.properties.authentication_data or b"").decode())  # type: ignore[union-attr]
                data = scram.get_client_final().encode()
                await client.send(Auth(0x18, Properties(authentication_method=SCRAM, authentication_data=data)))
                answer = await client.receive()
                assert isinstance(answer, ConnAck)
                assert answer.reason_code == code


async def test_the_log_says_who_had_to_go(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "users"
    described = config(Access(password_file=password_file(path, ann="1", bob="2")))
    async with telex.Broker(config=described) as broker, inside(broker.port, who("ann", "1", client_id="c7")) as ann:
        password_file(path, bob="2")
        await broker.reload(described)
        assert await ann.receive() == Disconnect(NO)
    [line] = [each.getMessage() for each in caplog.records if "it may not come in any more" in each.getMessage()]
    assert "client=c7" in line
    assert "user=ann" in line
