"""Files beside a WebSocket or the API: what is in the directory, and nothing else."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from telex.server.config import Listener
from tests.web.peers import Serving, frame, peer, serving


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory to serve, with a secret beside it."""
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "public-too").mkdir()
    (tmp_path / "public-too" / "secret.txt").write_text("secret")
    public = tmp_path / "public"
    (public / "sub").mkdir(parents=True)
    (public / "index.html").write_text("<h1>at home</h1>")
    (public / "app.js").write_text("let x = 1")
    (public / "sub" / "a b.txt").write_text("blank")
    (public / "inside").symlink_to("app.js")
    (public / "outside").symlink_to("../secret.txt")
    (public / "away").symlink_to("..")
    (public / "circle").symlink_to("circle")
    os.mkfifo(public / "pipe")
    return public


@asynccontextmanager
async def site(directory: Path) -> AsyncIterator[tuple[Serving, aiohttp.ClientSession]]:
    listener = Listener(protocol="websocket", http_directory=str(directory))
    async with serving(listener) as server, aiohttp.ClientSession() as session:
        yield server, session


@pytest.mark.parametrize(
    ("path", "text", "kind"),
    [
        ("/", "<h1>at home</h1>", "html"),
        ("/index.html?v=1", "<h1>at home</h1>", "html"),
        ("/app.js", "let x = 1", "javascript"),
        ("/sub/a%20b.txt", "blank", "plain"),
        ("/inside", "let x = 1", "javascript"),
    ],
)
async def test_a_file_is_served(directory: Path, path: str, text: str, kind: str) -> None:
    async with site(directory) as (server, session):
        async with session.get(URL(f"http://127.0.0.1:{server.port}{path}", encoded=True)) as response:
            assert response.status == 200
            assert await response.text() == text
            assert re.split("[/-]", response.content_type)[-1] == kind
            assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/sub",  # a directory: no listing
        "/sub/",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/sub/../../secret.txt",
        "/..%5csecret.txt",
        "/../public-too/secret.txt",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/outside",
        "/away/secret.txt",
        "/away/public/app.js/x",
        "/circle",
        "/pipe",
        "/app.js%00.txt",
        "/" + "x" * 5000,
        "/%ff%fe",
    ],
)
async def test_nothing_else_is(directory: Path, path: str) -> None:
    async with site(directory) as (server, _), peer(server.port) as client:
        client.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer = await client.end()
        assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.0 400 ")), answer
        assert b"secret" not in answer
        assert b"root:" not in answer


async def test_a_large_file_is_served_whole(directory: Path) -> None:
    content = bytes(range(256)) * 20_000
    (directory / "large.bin").write_bytes(content)
    async with site(directory) as (server, session):
        async with session.get(f"http://127.0.0.1:{server.port}/large.bin") as response:
            assert await response.read() == content


async def test_who_does_not_read_a_file_has_little_time(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telex.server.web.server._FILE_SECONDS", 0.05)
    monkeypatch.setattr("telex.server.web.server._FILE_RATE", 1e9)
    (directory / "large.bin").write_bytes(bytes(20_000_000))
    async with site(directory) as (server, _), peer(server.port, receive_buffer=4096) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(b"GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(10):
            while server.server.connection_count == 0:
                await asyncio.sleep(0.001)
            while server.server.connection_count:
                await asyncio.sleep(0.001)


async def test_websockets_are_there_as_well(directory: Path) -> None:
    async with site(directory) as (server, _), peer(server.port) as client:
        await client.shakes_hands("/index.html")
        client.send(frame(b"both"))
        assert await client.payload(4) == b"both"
