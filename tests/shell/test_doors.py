"""Doors: sockets of all kinds, the guard's word, the PROXY protocol, and changes while clients are there."""

import asyncio
import errno
import gc
import logging
import os
import resource
import socket
import ssl
import stat
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import cast

import pytest

from telex.server import doors
from telex.server.config import ConfigError, Listener, Tls
from telex.server.doors import name_of
from telex.streams.stream import Stream
from telex.streams.tcp import Arrival
from tests.certificates import Authority, Issued
from tests.shell.echo import SECONDS, Echo, Guard, House, open_door, said
from tests.streams.test_proxy_protocol import IPV4, by_tls, v2

HERE = Listener(host="127.0.0.1", port=0)
HEADER = b"PROXY TCP4 192.0.2.1 198.51.100.7 50000 1883\r\n"


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as probe, suppress(OSError):
        probe.bind(("::1", 0))
        return True
    return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


class Client:
    """The other end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def hears(self, data: bytes) -> bool:
        """Whether what it says comes back."""
        self.writer.write(data)
        async with asyncio.timeout(SECONDS):
            return await self.reader.readexactly(len(data)) == data

    async def is_closed(self) -> bool:
        """Whether the other side ends the connection, without a word."""
        async with asyncio.timeout(SECONDS):
            try:
                return await self.reader.read(100) == b""
            except ConnectionResetError:
                return True


@asynccontextmanager
async def connected(
    port: int, host: str = "127.0.0.1", *, path: str = "", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Client]:
    if path:
        reader, writer = await asyncio.open_unix_connection(path)
    else:
        reader, writer = await asyncio.open_connection(host, port, ssl=tls)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def tls_of(issued: Issued, **more: object) -> Tls:
    return Tls(certificate=str(issued.certificate), key=str(issued.key), **more)  # type: ignore[arg-type]


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.path))


# Addresses


async def test_bytes_come_and_go_by_a_stream_that_knows_its_peer() -> None:
    async with open_door(HERE) as (door, house), connected(door.port) as client:
        assert await client.hears(b"hello")
        stream = house.here[0].stream
        host, port = client.writer.get_extra_info("sockname")
        assert (stream.address, stream.host) == (f"{host}:{port}", "127.0.0.1")
        assert (stream.identity, stream.via_tls) == ("", "")
        assert door.addresses == [f"mqtt://127.0.0.1:{door.port}"]
        assert house.guard.came == ["127.0.0.1"]
        assert house.guard.went == []
    assert house.guard.went == ["127.0.0.1"]
    assert door.addresses == []


@needs_ipv6
async def test_without_a_host_both_families_come_in_at_one_port() -> None:
    async with open_door(Listener(port=0)) as (door, house):
        assert door.addresses == [f"mqtt://0.0.0.0:{door.port}", f"mqtt://[::]:{door.port}"]
        async with connected(door.port) as four, connected(door.port, "::1") as six:
            assert await four.hears(b"4")
            assert await six.hears(b"6")
            assert sorted(house.guard.came) == ["127.0.0.1", "::1"]  # not ::ffff:127.0.0.1


@needs_ipv6
async def test_ipv6_loopback() -> None:
    async with open_door(Listener(host="::1", port=0)) as (door, house), connected(door.port, "::1") as client:
        assert await client.hears(b"hello")
        assert house.here[0].stream.address == f"[::1]:{client.writer.get_extra_info('sockname')[1]}"
        assert door.addresses == [f"mqtt://[::1]:{door.port}"]


@needs_ipv6
@pytest.mark.parametrize(("family", "inside", "outside"), [("ipv4", "127.0.0.1", "::1"), ("ipv6", "::1", "127.0.0.1")])
async def test_a_family_alone(family: str, inside: str, outside: str) -> None:
    async with open_door(Listener(port=0, family=family)) as (door, _):  # type: ignore[arg-type]
        async with connected(door.port, inside) as client:
            assert await client.hears(b"hello")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(outside, door.port)


async def test_a_name_is_all_its_addresses() -> None:
    async with open_door(Listener(host="localhost", port=0)) as (door, _):
        expected = {each[4][0] for each in socket.getaddrinfo("localhost", None) if has_ipv6() or ":" not in each[4][0]}
        assert len(door.addresses) == len(expected)
        for host in expected:
            async with connected(door.port, str(host)) as client:
                assert await client.hears(b"hello")


async def test_an_address_in_use_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_door(HERE) as (door, _):
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{door.port}: another program") as caught:
            await House().door(Listener(host="127.0.0.1", port=door.port)).open()
        assert caught.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize(
    ("listener", "says"),
    [
        (Listener(host="no-such-host.invalid"), "no-such-host.invalid' does not resolve"),
        (Listener(host="127.0.0.1", family="ipv6"), "does not resolve to an IPv6 address"),
        (Listener(host="192.0.2.1", port=0), "192.0.2.1:0: this machine has no such address"),
        (Listener(host="127.0.0.1", port=0, interface="no-such-0"), "no interface 'no-such-0'|may not bind to"),
        (Listener(path="/no/such/directory/x.sock"), "its directory is not there"),
        (Listener(path="/tmp/" + 120 * "x"), "too long"),
    ],
)
async def test_what_cannot_be_listened_on_is_said(listener: Listener, says: str) -> None:
    with pytest.raises(OSError, match=says):
        await House().door(listener).open()


@pytest.mark.skipif(not hasattr(socket, "SO_BINDTODEVICE") or os.geteuid() != 0, reason="needs Linux and privileges")
async def test_an_interface_alone() -> None:
    async with open_door(Listener(port=0, interface="lo")) as (door, _), connected(door.port) as client:
        assert await client.hears(b"hello")


async def test_a_door_can_be_opened_again_at_once() -> None:
    house = House()
    port = 0
    for _ in range(5):
        async with open_door(Listener(host="127.0.0.1", port=port), house) as (door, _):
            port = door.port
            async with connected(port) as client:
                assert await client.hears(b"hello")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


# Unix sockets


def is_there(path: str) -> bool:
    return os.path.exists(path)


async def test_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "x.sock")
    async with open_door(Listener(path=path, path_mode=0o600)) as (door, house), connected(0, path=path) as client:
        assert await client.hears(b"hello")
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert door.addresses == [f"mqtt+unix:{path}"]
        assert (house.here[0].stream.address, house.here[0].stream.host) == (f"unix:{path}", "")
        await door.change(Listener(path=path, path_mode=0o666))
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o666
        assert await client.hears(b"hello")
    assert not is_there(path)


async def test_a_socket_file_that_nobody_listens_at_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "x.sock")
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(path)
        old.listen()
    assert is_there(path)
    async with open_door(Listener(path=path)), connected(0, path=path) as client:
        assert await client.hears(b"hello")


async def test_a_socket_file_that_somebody_listens_at_stays(tmp_path: Path) -> None:
    path = str(tmp_path / "x.sock")
    async with open_door(Listener(path=path)):
        with pytest.raises(OSError, match="another program listens there") as caught:
            await House().door(Listener(path=path)).open()
        assert caught.value.errno == errno.EADDRINUSE
        async with connected(0, path=path) as client:
            assert await client.hears(b"hello")


async def test_a_file_that_is_no_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="is no socket; remove it"):
        await House().door(Listener(path=str(path))).open()
    assert path.read_text() == "precious"


async def test_a_socket_file_that_another_put_there_stays(tmp_path: Path) -> None:
    path = str(tmp_path / "x.sock")
    async with open_door(Listener(path=path)):
        os.unlink(path)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(path)
    assert is_there(path)


# The guard


@pytest.mark.parametrize("proxy_protocol", ["", "1"], ids=["direct", "by our own hand"])
async def test_whom_the_guard_refuses_is_closed(proxy_protocol: str) -> None:
    house = House(Guard(lambda host: None))
    listener = Listener(host="127.0.0.1", port=0, proxy_protocol=proxy_protocol)  # type: ignore[arg-type]
    async with open_door(listener, house) as (door, _), connected(door.port) as client:
        if proxy_protocol:
            client.writer.write(HEADER)
        assert await client.is_closed()
    assert (house.guard.came, house.guard.went, house.lost) == ([], [], [])


@pytest.mark.parametrize("proxy_protocol", ["", "1"], ids=["direct", "by our own hand"])
async def test_who_has_to_wait_is_not_read_meanwhile(proxy_protocol: str) -> None:
    house = House(Guard(lambda host: 0.1))
    listener = Listener(host="127.0.0.1", port=0, proxy_protocol=proxy_protocol)  # type: ignore[arg-type]
    async with open_door(listener, house) as (door, _), connected(door.port) as client:
        before = time.monotonic()
        if proxy_protocol:
            client.writer.write(HEADER)
        assert await client.hears(b"hello")
        assert time.monotonic() - before >= 0.09  # what it was told to wait


async def test_who_leaves_while_it_waits_is_counted_out(tmp_path: Path) -> None:
    house = House(Guard(lambda host: 0.05))
    async with open_door(HERE, house) as (door, _):
        async with connected(door.port):
            pass
        await house.is_empty()


# More than there are files for


async def test_without_files_it_says_so_once_and_waits(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doors, "_PAUSE_SECONDS", 0.005)
    gc.collect()  # what other tests left behind would give files back in the midst of this
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    path = str(tmp_path / "x.sock")
    async with open_door(Listener(path=path)) as (_, house):
        with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
            highest = second.fileno()
            fillers = []
            while (filler := os.open("/dev/null", os.O_RDONLY)) < highest:
                fillers.append(filler)
            resource.setrlimit(resource.RLIMIT_NOFILE, (filler + 1, hard))
            try:
                first.connect(path)
                second.connect(path)
                assert "ulimit -n" in await said(caplog, "takes no connections in")
                await asyncio.sleep(0.05)  # some more tries
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                for each in [*fillers, filler]:
                    os.close(each)
            assert len(caplog.records) == 1
            async with asyncio.timeout(SECONDS):
                while len(house.here) < 2:
                    await asyncio.sleep(0.001)


# The PROXY protocol


def proxied(version: str = "any", **more: object) -> Listener:
    return Listener(host="127.0.0.1", port=0, proxy_protocol=version, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("header", [HEADER, v2(), v2(body=IPV4 + by_tls())], ids=["v1", "v2", "v2 by TLS"])
@pytest.mark.parametrize("at_a_time", [1, 5, 1000])
async def test_the_proxys_word_is_the_clients_address(header: bytes, at_a_time: int) -> None:
    async with open_door(proxied()) as (door, house), connected(door.port) as client:
        client.writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = header + b"first"
        for index in range(0, len(stream), at_a_time):
            client.writer.write(stream[index : index + at_a_time])
            await client.writer.drain()
            await asyncio.sleep(0)  # lets the door read in between
        assert await client.reader.readexactly(5) == b"first"
        assert await client.hears(b"second")
        stream = house.here[0].stream
        assert (stream.address, stream.host) == ("192.0.2.1:50000", "192.0.2.1")
        assert stream.via_tls == ("TLSv1.3" if len(header) > 60 else "")
        assert house.guard.came == ["192.0.2.1"]


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", v2(command=0x20), v2(family=0, body=b"")])
async def test_a_proxy_that_speaks_for_itself_has_its_own_address(header: bytes) -> None:
    async with open_door(proxied()) as (door, house), connected(door.port) as client:
        client.writer.write(header)
        assert await client.hears(b"hello")
        assert house.here[0].stream.host == "127.0.0.1"


async def test_tls_may_follow(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    listener = proxied("2", tls=tls_of(authority.server()))
    async with open_door(listener) as (door, house):
        connection = socket.create_connection(("127.0.0.1", door.port))
        connection.sendall(v2())
        reader, writer = await asyncio.open_connection(
            sock=connection, ssl=trusting(authority), server_hostname="localhost"
        )
        assert await Client(reader, writer).hears(b"hello")
        stream = house.here[0].stream
        assert (stream.host, stream.via_tls) == ("192.0.2.1", "TLSv1.3")
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("sent", "says", "more"),
    [
        (b"\x10\x0e\0\4MQTT\4\2\0\0\0\2id", "not the PROXY protocol", {}),
        (b"PROXY nonsense", "no whole PROXY header came in time", {}),
        (b"", "no whole PROXY header came in time", {}),
        (b"PROXY nonsense\r\n", "expected PROXY TCP4", {}),
        (v2(), "not the PROXY protocol version 1", {"version": "1"}),
        (v2(), "did not come by TLS", {"proxy_requires_tls": True}),
        (v2(body=IPV4 + by_tls(flags=0)), "did not come by TLS", {"proxy_requires_tls": True}),
        (v2(), "not in trusted_proxies", {"trusted_proxies": ["192.0.2.0/24", "::1", "unix"]}),
    ],
)
async def test_a_header_that_is_not_there_is_one_line_of_the_log(
    sent: bytes, says: str, more: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    async with open_door(proxied(**more), handshake_timeout=0.1) as (door, house):  # type: ignore[arg-type]
        async with connected(door.port) as client:
            client.writer.write(sent)
            assert await client.is_closed()
            line = await said(caplog, says)
            assert line.startswith("refused address=127.0.0.1:")
            assert 'reason="PROXY: ' in line
    assert house.guard.came == []


async def test_who_leaves_before_the_header_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with open_door(proxied()) as (door, _):
        async with connected(door.port) as client:
            client.writer.write(b"PROXY TCP4 ")
        await said(caplog, "it closed the connection before the PROXY header was whole")


async def test_trusted_proxies_come_in(tmp_path: Path) -> None:
    async with open_door(proxied(trusted_proxies=["127.0.0.0/8"])) as (door, _), connected(door.port) as client:
        client.writer.write(HEADER)
        assert await client.hears(b"hello")
    path = str(tmp_path / "x.sock")
    listener = Listener(path=path, proxy_protocol="1", trusted_proxies=["unix"])
    async with open_door(listener) as (_, house), connected(0, path=path) as client:
        client.writer.write(HEADER)
        assert await client.hears(b"hello")
        assert house.here[0].stream.address == "192.0.2.1:50000"


async def test_proxies_that_are_no_addresses_are_refused() -> None:
    with pytest.raises(ConfigError, match="trusted_proxies: 'nginx' is no address"):
        await House().door(proxied(trusted_proxies=["nginx"])).open()


# Our own faults


@pytest.mark.parametrize("proxy_protocol", ["", "1"], ids=["direct", "by our own hand"])
async def test_a_fault_of_ours_is_the_end_of_one_connection_alone(
    proxy_protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House()

    def opened(stream: Stream) -> Echo:
        raise ZeroDivisionError

    monkeypatch.setattr(house, "opened", opened)
    listener = Listener(host="127.0.0.1", port=0, proxy_protocol=proxy_protocol)  # type: ignore[arg-type]
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    async with open_door(listener, house) as (door, _), connected(door.port) as client:
        if proxy_protocol:
            client.writer.write(HEADER)
        assert await client.is_closed()
        while not house.guard.went:
            await asyncio.sleep(0.001)
    assert len(told) <= 1  # asyncio's own loop tells of it in debug mode alone


# Changes


async def test_a_new_certificate_is_for_new_connections_and_old_ones_stay(tmp_path: Path) -> None:
    old, new = Authority(tmp_path, "Old CA"), Authority(tmp_path, "New CA")
    first, second = tls_of(old.server("first")), tls_of(new.server("second"))
    async with open_door(Listener(host="127.0.0.1", port=0, tls=first)) as (door, _):
        async with connected(door.port, tls=trusting(old)) as before:
            assert await before.hears(b"hello")
            await door.change(Listener(host="127.0.0.1", port=0, tls=second))
            async with connected(door.port, tls=trusting(new)) as after:
                assert await after.hears(b"hello")
                assert await before.hears(b"hello")
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.open_connection("127.0.0.1", door.port, ssl=trusting(old))
            with pytest.raises(ConfigError, match="is not there"):
                await door.change(Listener(host="127.0.0.1", port=0, tls=Tls(certificate="/no/such/file")))
            async with connected(door.port, tls=trusting(new)) as after:
                assert await after.hears(b"hello")  # the last one that was good holds
        assert door.addresses == [f"mqtts://127.0.0.1:{door.port}"]


async def test_a_change_between_plain_and_proxied_loses_nobody_in_the_backlog() -> None:
    async with open_door(HERE) as (door, house), connected(door.port) as there:
        assert await there.hears(b"hello")
        for listener in (proxied("1"), HERE, proxied("1"), HERE):
            waiting = [
                socket.create_connection(("127.0.0.1", door.port)) for _ in range(20)
            ]  # nobody accepts meanwhile
            for each in waiting:
                each.sendall(HEADER if listener.proxy_protocol else b"hello")
            await door.change(listener)
            for each in waiting:
                reader, writer = await asyncio.open_connection(sock=each)
                if listener.proxy_protocol:
                    writer.write(b"hello")
                async with asyncio.timeout(SECONDS):
                    assert await reader.readexactly(5) == b"hello"
                writer.close()
                await writer.wait_closed()
        assert await there.hears(b"hello")
        assert len(house.guard.came) == 81


async def test_certificates_that_were_renewed_on_disk_are_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path)
    with caplog.at_level(logging.INFO):
        async with open_door(Listener(host="127.0.0.1", port=0, tls=tls_of(authority.server()))) as (door, _):

            async def serial_number() -> int:
                async with connected(door.port, tls=trusting(authority)) as client:
                    return int(client.writer.get_extra_info("peercert")["serialNumber"], 16)

            async with connected(door.port, tls=trusting(authority)) as client:
                before = await serial_number()
                renewed = authority.server()  # the same files
                door.renew()
                assert await serial_number() == before  # they may be half written
                door.renew()
                assert await serial_number() == renewed.content.serial_number
                assert await client.hears(b"hello")
            renewed.key.write_text("nonsense")
            for _ in range(4):
                door.renew()
            assert await serial_number() == renewed.content.serial_number
            again = authority.server()
            for _ in range(2):
                door.renew()
            assert await serial_number() == again.content.serial_number
    lines = [each.getMessage().partition(" listener")[0] for each in caplog.records if each.name == "telex"]
    assert lines == ["has new certificates", "keeps its old certificates", "has new certificates"]


# Other protocols


class Shout(asyncio.Protocol):
    """A protocol of others."""

    def __init__(self, arrival: Arrival) -> None:
        self.arrival = arrival

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self.arrival.opened(transport):
            cast(asyncio.Transport, transport).write(f"{self.arrival.address} {self.arrival.via_tls}\n".encode())

    def connection_lost(self, exc: Exception | None) -> None:
        self.arrival.gone()


@pytest.mark.parametrize("is_secure", [False, True])
async def test_others_make_protocols_of_connections_too(tmp_path: Path, is_secure: bool) -> None:
    authority = Authority(tmp_path)
    tls = tls_of(authority.server()) if is_secure else None
    guard = Guard()
    listener = Listener(host="127.0.0.1", port=0, protocol="websocket", tls=tls)
    door = doors.Door(listener, House().opened, guard=guard, handshake_timeout=SECONDS, now=time.time, protocol=Shout)
    await door.open()
    assert door.addresses == [f"{'wss' if is_secure else 'ws'}://127.0.0.1:{door.port}"]
    async with connected(door.port, tls=trusting(authority) if is_secure else None) as client:
        host, port = client.writer.get_extra_info("sockname")
        assert (await client.reader.readline()).decode() == f"{host}:{port} {'TLSv1.3' if is_secure else ''}\n"
    while guard.went != ["127.0.0.1"]:
        await asyncio.sleep(0.001)
    door.close()
    await door.wait_closed()


# Nothing is left


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts file descriptors in /proc")
async def test_crowds_of_every_kind_leave_nothing_behind(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    authority = Authority(tmp_path)
    listener = Listener(host="127.0.0.1", port=0, tls=tls_of(authority.server()))

    async def crowd() -> None:
        async with open_door(listener, handshake_timeout=0.2) as (door, house):
            silent = [socket.create_connection(("127.0.0.1", door.port)) for _ in range(20)]
            rude = [socket.create_connection(("127.0.0.1", door.port)) for _ in range(20)]
            for each in rude:
                each.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                each.close()
            async with connected(door.port, tls=trusting(authority)) as client:
                assert await client.hears(b"hello")
                while len(house.guard.went) < 40:
                    await asyncio.sleep(0.01)
            for each in silent:
                each.close()

    async def once() -> tuple[int, int]:
        await crowd()
        gc.collect()
        return len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))

    left = await once()
    assert [await once() for _ in range(2)] == [left, left]
    assert {each.name for each in caplog.records} == {"telex"}


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts file descriptors in /proc")
@pytest.mark.parametrize("sent", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00"])
async def test_a_door_that_closes_drops_who_is_on_the_way_in(tmp_path: Path, sent: bytes) -> None:
    listener = Listener(host="127.0.0.1", port=0, tls=tls_of(Authority(tmp_path).server()))

    async def once() -> tuple[int, int]:
        house = House()
        async with open_door(listener, house) as (door, _), connected(door.port) as client:
            client.writer.write(sent)
            while not house.guard.came:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.01)  # it may have read what was sent, or not
            door.close()
            assert await client.is_closed()
            await door.wait_closed()
            assert house.guard.went == ["127.0.0.1"]
        gc.collect()
        await asyncio.sleep(0.01)
        return len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))

    left = await once()
    assert [await once() for _ in range(3)] == [left] * 3


@pytest.mark.parametrize("kind", ["plain", "unix", "proxied", "tls"])
async def test_who_has_just_come_in_when_the_door_closes_stays(tmp_path: Path, kind: str) -> None:
    authority = Authority(tmp_path)
    listener = {
        "plain": HERE,
        "unix": Listener(path=str(tmp_path / "x.sock")),
        "proxied": proxied(),
        "tls": Listener(host="127.0.0.1", port=0, tls=tls_of(authority.server())),
    }[kind]
    house = House()
    came = house.opened

    def opened(stream: Stream) -> Echo:
        door.close()  # in the very turn, so that whoever brought it in has not heard of that yet
        return came(stream)

    house.opened = opened  # type: ignore[method-assign]
    context = trusting(authority) if kind == "tls" else None
    async with (
        open_door(listener, house) as (door, _),
        connected(door.port, "localhost" if kind == "tls" else "127.0.0.1", path=listener.path, tls=context) as client,
    ):
        if kind == "proxied":
            client.writer.write(HEADER)
        assert await client.hears(b"x")
        await door.wait_closed()
        assert len(house.here) == 1


@pytest.mark.edge("M4")
async def test_silent_peers_cost_nothing(tmp_path: Path) -> None:  # M4
    listener = Listener(host="127.0.0.1", port=0, tls=tls_of(Authority(tmp_path).server()))
    async with open_door(listener) as (door, house):
        clients = [socket.create_connection(("127.0.0.1", door.port)) for _ in range(50)]
        clients[0].sendall(b"\x16\x03\x01\x02\x00\x01\x00")
        clients[1].close()
        while len(house.guard.came) < 50 or len(house.guard.went) < 1:
            await asyncio.sleep(0.001)
        before = time.process_time()
        await asyncio.sleep(0.5)
        assert time.process_time() - before < 0.25  # whoever spins takes all of it
        for each in clients:
            each.close()


def test_a_listener_has_a_name() -> None:
    assert name_of(Listener()) == "*:1883"
    assert name_of(Listener(host="::1", port=1)) == "[::1]:1"
    assert name_of(Listener(path="/run/x.sock")) == "/run/x.sock"
