"""`protocol http_api`: what the broker's numbers are, as JSON."""

import aiohttp

from telex.server.config import Listener
from tests.web.peers import Peer, peer, request, serving

API = Listener(protocol="http_api")


async def test_systree_is_one_flat_object() -> None:
    values = {"$SYS/broker/clients/total": 3, "$SYS/broker/uptime": 17}
    async with serving(API, values=lambda: values) as server, aiohttp.ClientSession() as session:
        for uptime in (17, 18):
            values["$SYS/broker/uptime"] = uptime
            async with session.get(f"http://127.0.0.1:{server.port}/api/v1/systree") as response:
                assert response.status == 200
                assert response.content_type == "application/json"
                assert response.headers["Cache-Control"] == "no-store"
                assert await response.json() == {"$SYS/broker/clients/total": 3, "$SYS/broker/uptime": uptime}


async def test_texts_that_are_numbers_are_numbers() -> None:
    values = {"a": "12", "b": "-3", "c": "1.50", "d": "telex version 1", "e": "", "f": "nan", "g": "1_0"}
    async with serving(API, values=lambda: values) as server, aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{server.port}/api/v1/systree") as response:
            found = await response.json()
    assert found == {"a": 12, "b": -3, "c": 1.5, "d": "telex version 1", "e": "", "f": "nan", "g": "1_0"}


async def test_nothing_else_is_there() -> None:
    async with serving(API, values=dict) as server, aiohttp.ClientSession() as session:
        for path in ("/", "/api/v1/", "/api/v1/systree/", "/API/v1/systree"):
            async with session.get(f"http://127.0.0.1:{server.port}{path}") as response:
                assert response.status == 404
        async with session.post(f"http://127.0.0.1:{server.port}/api/v1/systree") as response:
            assert response.status == 405


async def test_there_is_no_websocket_at_it() -> None:
    async with serving(API, values=dict) as server, peer(server.port) as client:
        client.send(request("/api/v1/systree"))
        assert (await client.end()).startswith(b"HTTP/1.1 200 ")
        assert server.handlers == []


async def test_there_is_no_api_at_a_listener_for_websockets() -> None:
    async with serving(values=lambda: {"a": 1}) as server, peer(server.port) as client:
        client.send(b"GET /api/v1/systree HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.end()).startswith(b"HTTP/1.1 426 ")


async def test_who_may_not_read_is_asked_for_a_name() -> None:
    asked = []

    async def may_read(user: str | None, password: bytes | None, host: str) -> bool:
        asked.append((user, password, host))
        return (user, password) == ("ann", "grün:e".encode())

    async def status(client: Peer, header: str) -> bytes:
        client.send(f"GET /api/v1/systree HTTP/1.1\r\nHost: a\r\n{header}\r\n".encode())
        return (await client.end()).split(b"\r\n")[0]

    async with serving(API, values=dict, may_read=may_read) as server:
        right = "Basic YW5uOmdyw7xuOmU="
        for header, expected in (
            ("", b"401"),
            ("Authorization: Basic !!!\r\n", b"401"),
            ("Authorization: Bearer abc\r\n", b"401"),
            (f"Authorization: {right}\r\n", b"200"),
        ):
            async with peer(server.port) as client:
                assert expected in await status(client, header)
    none = (None, None, "127.0.0.1")
    assert asked == [none, none, none, ("ann", "grün:e".encode(), "127.0.0.1")]
