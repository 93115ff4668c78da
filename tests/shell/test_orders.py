"""Orders to a running broker: who may give them, and what becomes of those that are none."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from telex.server import orders
from telex.server.orders import Orders, directory, give, running
from tests.processes import free_port


class Waiter:
    """Carries out what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def carry(self, order: str) -> str:
        self.told.append(order)
        if order == "fail":
            raise ValueError("cannot do that")
        if order == "break":
            raise OSError(2, "no such thing")
        if order == "wait":
            await asyncio.Event().wait()
        return f"did {order}"


def file_of(place: Path) -> Path:
    [path] = place.iterdir()
    return path


def port_in(path: Path) -> int:
    port: int = json.loads(path.read_text())["port"]
    return port


async def say(path: Path, data: bytes) -> bytes:
    """What comes back if somebody sends this."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_in(path))
    writer.write(data)
    writer.write_eof()
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_an_order_is_carried_out_and_says_what_came_of_it(tmp_path: Path) -> None:
    waiter = Waiter()
    service = Orders(waiter.carry, tmp_path / "run")
    await service.open()
    assert await asyncio.to_thread(running, tmp_path / "run") == {os.getpid(): file_of(tmp_path / "run")}
    assert await asyncio.to_thread(give, file_of(tmp_path / "run"), "reload") == "did reload"
    with pytest.raises(ValueError, match="cannot do that"):
        await asyncio.to_thread(give, file_of(tmp_path / "run"), "fail")
    with pytest.raises(ValueError, match="no such thing"):
        await asyncio.to_thread(give, file_of(tmp_path / "run"), "break")
    await service.close()
    assert list((tmp_path / "run").iterdir()) == []
    assert waiter.told == ["reload", "fail", "break"]


async def test_only_who_can_read_the_file_may_give_orders(tmp_path: Path) -> None:
    waiter = Waiter()
    service = Orders(waiter.carry, tmp_path / "run")
    await service.open()
    path = file_of(tmp_path / "run")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    for secret in ["", "x" * 32, "ä", None, 7, ["x"], {"a": 1}]:
        said = json.dumps({"secret": secret, "order": "reload"}).encode() + b"\n"
        assert json.loads(await say(path, said)) == {"error": "that is not the secret"}
    assert json.loads(await say(path, b'{"order": "reload"}\n')) == {"error": "that is not the secret"}
    assert waiter.told == []
    await service.close()


async def test_what_is_no_order_is_no_trouble(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    waiter = Waiter()
    service = Orders(waiter.carry, tmp_path / "run")
    await service.open()
    path = file_of(tmp_path / "run")
    for data in [b"", b"\n", b"{", b"GET / HTTP/1.1\r\n\r\n", b"\xff\xfe\n", b"x" * 100_000, b"[" * 4_000 + b"\n"]:
        assert await say(path, data) == b""
    for data in [b"[]\n", b"7\n", b"null\n", b'"x"\n']:
        assert json.loads(await say(path, data)) == {"error": "that is not the secret"}
    assert waiter.told == []
    assert caplog.text == ""
    await service.close()


async def test_a_silent_connection_does_not_hold_up_the_end(tmp_path: Path) -> None:
    waiter = Waiter()
    service = Orders(waiter.carry, tmp_path / "run")
    before = asyncio.all_tasks()
    await service.open()
    path = file_of(tmp_path / "run")
    port = port_in(path)
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
    waiting = asyncio.ensure_future(asyncio.to_thread(give, path, "wait"))
    while waiter.told != ["wait"]:
        await asyncio.sleep(0.001)
    async with asyncio.timeout(5):
        await service.close()
        with pytest.raises(ValueError, match="ended without an answer"):
            await waiting
    for _, writer in silent:
        writer.close()
    assert asyncio.all_tasks() == before


def test_a_file_that_a_crash_left_is_taken_away(tmp_path: Path) -> None:
    for name, text in {
        "1.json": json.dumps({"port": free_port(), "secret": "x"}),
        "2.json": "",
        "3.json": "[]",
        "4.json": '{"port": "x"}',
        "5.json": '{"port": 99999999}',
    }.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "other.json").write_text("not ours")
    assert running(tmp_path) == {}
    assert [each.name for each in tmp_path.iterdir()] == ["other.json"]


async def test_the_file_of_another_process_with_our_number_is_replaced(tmp_path: Path) -> None:
    waiter = Waiter()
    (tmp_path / f"{os.getpid()}.json").write_text("{}")
    (tmp_path / f"{os.getpid()}.json").chmod(0o644)
    service = Orders(waiter.carry, tmp_path)
    await service.open()
    assert file_of(tmp_path).stat().st_mode & 0o777 == 0o600
    assert await asyncio.to_thread(give, file_of(tmp_path), "reload") == "did reload"
    await service.close()


async def test_where_nothing_can_be_written_it_says_so_and_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    service = Orders(Waiter().carry, tmp_path / "file" / "run")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(NotADirectoryError):
        await service.open()
    await service.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_no_directory_no_brokers(tmp_path: Path) -> None:
    assert running(tmp_path / "none") == {}


def test_the_directory_is_that_of_the_service_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/telex-two:/run/other")
    assert directory() == Path("/run/telex-two")
    monkeypatch.delenv("RUNTIME_DIRECTORY")
    monkeypatch.setattr(orders.os, "geteuid", lambda: 0)
    assert directory() == Path("/run/telex")
    monkeypatch.setattr(orders.os, "geteuid", lambda: 1_000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")  # which a service of this user would not have
    monkeypatch.setenv("XDG_STATE_HOME", "/home/ann/.local/state")
    assert directory() == Path("/home/ann/.local/state/telex/run")
