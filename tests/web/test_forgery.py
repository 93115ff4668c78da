"""Requests that a browser was tricked into: forged ones, by a name that leads here, by WebSocket, by another scheme."""

import ssl
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from telex.server.config import Web
from telex.server.web.logins import TOKEN_HEADER
from tests.certificates import Authority
from tests.web.port import USERS, Port, port, with_users

ANN = {"user": "ann", "password": USERS["ann"]}
ELSEWHERE = {"Origin": "https://evil.example.org"}

CHANGES = [
    ("POST", "/publish", {"topic": "a", "payload": "x"}),
    ("DELETE", "/retained?filter=%23", None),
    ("DELETE", "/clients/one", None),
    ("DELETE", "/sessions/one", None),
    ("POST", "/bans", {"user": "bob"}),
    ("DELETE", "/bans/one", None),
    ("DELETE", "/session", None),
]


async def log_in(page: Port) -> str:
    answer = await page.ask("POST", "/api/v1/session", json=ANN)
    assert answer.status == 204, answer.text
    token = (await page.api("/me"))["token"]
    assert isinstance(token, str)
    return token


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_nothing_is_changed_by_the_cookie_alone(
    tmp_path: Path, method: str, path: str, body: dict[str, str] | None
) -> None:
    async with port(access=with_users(tmp_path), web=Web(administrators=["ann"])) as page:
        token = await log_in(page)
        answer = await page.ask(method, f"/api/v1{path}", json=body)
        assert answer.status == 403
        assert TOKEN_HEADER in answer.json["detail"]
        answer = await page.ask(method, f"/api/v1{path}", json=body, headers={TOKEN_HEADER: token})
        assert answer.status in (200, 201, 204, 404)


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_where_nobody_logs_in_a_page_from_elsewhere_changes_nothing(
    method: str, path: str, body: dict[str, str] | None
) -> None:
    async with port() as page:
        answer = await page.ask(method, f"/api/v1{path}", json=body, headers=ELSEWHERE)
        assert answer.status == 403
        assert page.broker.guard.counts.bans == 0


async def test_a_login_cannot_be_forged_either(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path)) as page:
        for headers in (ELSEWHERE, {"Sec-Fetch-Site": "cross-site"}):
            answer = await page.ask("POST", "/api/v1/session", json=ANN, headers=headers)
            assert (answer.status, "Set-Cookie" in answer.headers) == (403, False)
        answer = await page.ask("POST", "/api/v1/session", data={"user": "ann", "password": "ann's"})
        assert (answer.status, "Set-Cookie" in answer.headers) == (415, False), "as a form sends it"


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "text/plain; application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=application/json",
        "application/jsonp",
        "text/json",
    ],
)
async def test_what_a_form_can_send_is_no_request(content_type: str) -> None:
    async with port() as page:
        answer = await page.ask(
            "POST", "/api/v1/publish", data=b'{"topic": "a"}', headers={"Content-Type": content_type}
        )
        assert answer.status == 415, content_type
        answer = await page.ask(
            "POST",
            "/api/v1/publish",
            data=b'{"topic": "a"}',
            headers={"Content-Type": "Application/JSON; charset=utf-8"},
        )
        assert answer.status == 200


async def test_no_other_page_is_told_that_it_may_ask() -> None:
    async with port() as page:
        asks = {
            "Access-Control-Request-Method": "DELETE",
            "Access-Control-Request-Headers": TOKEN_HEADER,
            **ELSEWHERE,
        }
        for path in ("/api/v1/retained", "/api/v1/publish", "/mqtt", "/"):
            answer = await page.ask("OPTIONS", path, headers=asks)
            assert answer.status in (403, 405, 426)
            assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


async def test_a_method_is_what_the_first_line_says() -> None:
    async with port() as page:
        for header in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
            answer = await page.get("/api/v1/retained", headers={header: "DELETE"})
            assert "items" in answer.json
        assert (await page.ask("POST", "/api/v1/retained?_method=DELETE")).status == 405


# Cookies


async def test_a_cookie_that_somebody_else_has_planted_is_nobodys(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path)) as page:
        name = f"telex_{page.url.rpartition(':')[2]}"
        planted = {"Cookie": f"{name}=planted"}
        assert (await page.get("/api/v1/me", headers=planted)).status == 401
        answer = await page.ask("POST", "/api/v1/session", json=ANN, headers=planted)
        [(_, cookie)] = SimpleCookie(answer.headers["Set-Cookie"]).items()
        assert cookie.value != "planted", "a login is always a new one"
        page.session.cookie_jar.clear()
        assert (await page.get("/api/v1/me", headers=planted)).status == 401


async def test_by_https_no_other_name_can_plant_one(tmp_path: Path) -> None:
    async with secure(tmp_path) as (page, more):
        answer = await page.ask("POST", "/api/v1/session", json=ANN, **more)
        [(name, cookie)] = SimpleCookie(answer.headers["Set-Cookie"]).items()
        assert name == f"__Host-telex_{page.url.rpartition(':')[2]}"
        assert (cookie["path"], cookie["domain"], cookie["secure"]) == ("/", "", True), "as the prefix wants it"
        answer = await page.ask("DELETE", "/api/v1/session", headers=await token_of(page, more), **more)
        [(name, cookie)] = SimpleCookie(answer.headers["Set-Cookie"]).items()
        assert (name[:7], cookie["max-age"], cookie["secure"]) == ("__Host-", "0", True)


async def test_its_cookie_is_in_the_description(tmp_path: Path) -> None:
    async with secure(tmp_path) as (page, more):
        answer = await page.ask("POST", "/api/v1/session", json=ANN, **more)
        [name] = SimpleCookie(answer.headers["Set-Cookie"])
        described = await page.api("/openapi.json", **more)
        assert described["components"]["securitySchemes"]["cookie"]["name"] == name


async def test_tokens_and_cookies_are_told_to_nobody_else(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path), web=Web(administrators=["ann"])) as page:
        token = await log_in(page)
        [cookie] = [each.value for each in page.session.cookie_jar]
        page.session.cookie_jar.clear()
        for path in ("/log", "/events", "/configuration", "/clients", "/broker", "/me", "/openapi.json"):
            text = (await page.get(f"/api/v1{path}", user="ann")).text
            assert token not in text
            assert cookie not in text


# Another page


async def test_a_websocket_of_another_page_has_no_use_of_the_cookie(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path)) as page:
        await log_in(page)
        place = page.url.removeprefix("http://")
        for origin in (
            "https://evil.example.org",
            "null",
            f"http://evil.example.org:{place.partition(':')[2]}",
            "http://127.0.0.1",
            f"http://{place}.evil.example.org",
            f"http://evil.example.org@{place}@evil.example.org",
            f"ws://{place}",
            "",
        ):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await page.session.ws_connect(f"{page.url}/mqtt", protocols=["mqtt"], headers={"Origin": origin})
            assert refused.value.status == 403, origin
        assert page.broker.engine.stats.sockets_opened == 0


def secure(folder: Path) -> "Secure":
    return Secure(folder)


class Secure:
    """A page by HTTPS, and what it takes to ask there."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder)
        issued = authority.server("localhost")
        web = Web(certificate=str(issued.certificate), key=str(issued.key))
        self._more = {"ssl": ssl.create_default_context(cafile=str(authority.path)), "server_hostname": "localhost"}
        self._port = port(access=with_users(folder), web=web)

    async def __aenter__(self) -> tuple[Port, dict[str, Any]]:
        return await self._port.__aenter__(), self._more

    async def __aexit__(self, *error: object) -> None:
        await self._port.__aexit__(*error)  # type: ignore[arg-type]


async def token_of(page: Port, more: dict[str, Any]) -> dict[str, str]:
    return {TOKEN_HEADER: (await page.api("/me", **more))["token"]}


async def test_a_page_without_tls_is_another_one_though_it_has_our_name(tmp_path: Path) -> None:
    """Whoever is in the network can answer at http://localhost in our place."""
    async with secure(tmp_path) as (page, more):
        place = page.url.removeprefix("https://")
        for host, origin, status in (
            (place, f"https://{place}", 401),
            (place, f"http://{place}", 403),
            ("localhost", "https://localhost", 401),
            ("localhost", "http://localhost", 403),
        ):
            answer = await page.get("/api/v1/me", headers={"Host": host, "Origin": origin}, **more)
            assert answer.status == status, origin


async def test_behind_a_proxy_that_has_tls_its_page_is_ours() -> None:
    async with port(web=Web(names=["broker.example.org"])) as page:
        headers = {"Host": "broker.example.org", "Origin": "https://broker.example.org"}
        assert (await page.get("/api/v1/me", headers=headers)).status == 200


# Another name


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example.org",
        "evil.example.org:80",
        "127.0.0.1.nip.io",
        "localhost.evil.example.org",
        "127.0.0.1@evil.example.org",
        "127.0.0.1:80@evil.example.org",
        "127.0.0.1/.evil.example.org",
        "127.0.0.1?.evil.example.org",
        "127.0.0.1#.evil.example.org",
        "evil.example.org%00.localhost",
        "[::1].evil.example.org",
        "2130706433",
        "127.0.0.1:x",
        "xn--nxasmq6b",
    ],
)
async def test_a_name_that_only_looks_like_ours_is_not(host: str) -> None:
    async with port(web=Web(names=["broker.example.org"])) as page:
        for path in ("/api/v1/me", "/", "/metrics", "/mqtt"):
            answer = await page.get(path, headers={"Host": host})
            assert answer.status in (400, 421), (path, answer.status)


@pytest.mark.parametrize("host", ["[::1]", "[::1]:8080", "[2001:db8::7]:80", "[::ffff:127.0.0.1]", "127.0.0.1."])
async def test_an_address_is_no_name_that_could_lead_elsewhere(host: str) -> None:
    async with port() as page:
        assert (await page.get("/api/v1/me", headers={"Host": host})).status == 200
        same = {"Host": host, "Origin": f"http://{host}"}
        assert (await page.get("/api/v1/me", headers=same)).status == 200
        other = {"Host": host, "Origin": "http://[2001:db8::8]"}
        assert (await page.get("/api/v1/me", headers=other)).status == 403
