"""Logging in at the HTTP port: cookies, tokens, HTTP Basic, administrators, bans."""

import ssl
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from pathlib import Path

import aiohttp
import pytest
from msgspec import structs

import telex
from telex.server.config import Access, Listener, Protection, Rule, Web
from telex.server.web import logins
from tests.certificates import Authority
from tests.shell.knocking import password_file
from tests.web.port import USERS, Answer, Port, port, with_users

ANN = {"user": "ann", "password": USERS["ann"]}
BOB = {"user": "bob", "password": USERS["bob"]}
FETCH = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
ADMIN = Web(administrators=["ann"])


async def log_in(page: Port, who: dict[str, str] = ANN) -> str:
    """Log in; the token of the login."""
    answer = await page.ask("POST", "/api/v1/session", json=who)
    assert (answer.status, answer.body) == (204, b""), answer.text
    token = (await page.api("/me"))["token"]
    assert isinstance(token, str)
    return token


def cookie_of(answer: Answer) -> SimpleCookie:
    return SimpleCookie(answer.headers["Set-Cookie"])


async def test_a_login_is_a_cookie_that_no_script_and_no_other_page_gets(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path), web=ADMIN) as page:
        assert (await page.get("/api/v1/me")).status == 401
        answer = await page.ask("POST", "/api/v1/session", json=ANN)
        [(name, cookie)] = cookie_of(answer).items()
        assert name == f"telex_{page.url.rpartition(':')[2]}", "another broker on this machine has another one"
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/")
        assert not cookie["secure"]
        assert len(cookie.value) >= 43
        me = await page.api("/me")
        assert (me["user"], me["administrator"], me["mqtt"]) == ("ann", True, {"path": "/mqtt"})
        assert me["token"] not in ("", cookie.value)


async def test_what_changes_something_needs_the_token_with_a_cookie(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path)) as page:
        token = await log_in(page)
        body = {"topic": "a", "payload": "x"}
        for headers in ({}, {logins.TOKEN_HEADER: ""}, {logins.TOKEN_HEADER: "wrong"}, {logins.TOKEN_HEADER: "é"}):
            answer = await page.ask("POST", "/api/v1/publish", json=body, headers=headers)
            assert answer.status == 403, headers
            assert logins.TOKEN_HEADER in answer.json["detail"]
        assert (await page.ask("DELETE", "/api/v1/session")).status == 403
        assert page.broker.engine.stats.publish_sent == 0
        right = {logins.TOKEN_HEADER: token}
        assert (await page.ask("POST", "/api/v1/publish", json=body, headers=right)).status == 200
        assert (await page.ask("POST", "/api/v1/publish", json=body, user="ann")).status == 200, "Basic is not forged"


async def test_who_logs_out_is_out(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path)) as page:
        token = await log_in(page)
        jar = [(each.key, each.value) for each in page.session.cookie_jar]
        answer = await page.ask("DELETE", "/api/v1/session", headers={logins.TOKEN_HEADER: token})
        assert answer.status == 204
        [(_, cookie)] = cookie_of(answer).items()
        assert cookie["max-age"] == "0"
        assert (await page.get("/api/v1/me")).status == 401
        stolen = "; ".join(f"{name}={value}" for name, value in jar)
        assert (await page.get("/api/v1/me", headers={"Cookie": stolen})).status == 401


async def test_who_logs_in_again_is_somebody_else(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path)) as page:
        first = await log_in(page, ANN)
        old = "; ".join(f"{each.key}={each.value}" for each in page.session.cookie_jar)
        assert await log_in(page, BOB) != first
        assert (await page.api("/me"))["user"] == "bob"
        page.session.cookie_jar.clear()
        assert (await page.get("/api/v1/me", headers={"Cookie": old})).status == 401, "the former login has ended"


async def test_a_wrong_login_is_refused_and_told(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path)) as page:
        for who in ({"user": "ann", "password": "x"}, {"user": "eve", "password": "x"}):
            answer = await page.ask("POST", "/api/v1/session", json=who, headers=FETCH)
            assert (answer.status, answer.content_type) == (401, "application/problem+json")
            assert "Set-Cookie" not in answer.headers
            assert answer.headers["WWW-Authenticate"].startswith("Telex "), "the browser opens no window of its own"
        events = page.broker.events.all()
        assert [(each.kind, each.user) for each in events] == [("refused", "eve"), ("refused", "ann")]


async def test_by_https_the_cookie_travels_by_https_alone(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    issued = authority.server("localhost")
    web = Web(certificate=str(issued.certificate), key=str(issued.key))
    more = {"ssl": ssl.create_default_context(cafile=str(authority.path)), "server_hostname": "localhost"}
    async with port(access=with_users(tmp_path), web=web) as page:
        answer = await page.ask("POST", "/api/v1/session", json=ANN, **more)
        [(_, cookie)] = cookie_of(answer).items()
        assert cookie["secure"] is True
        assert (await page.api("/me", **more))["user"] == "ann"


async def test_behind_a_proxy_that_speaks_https_too(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path), web=Web(names=["broker.example.org"])) as page:
        for origin, is_secure in (("https://broker.example.org", True), ("http://broker.example.org", False)):
            headers = {"Host": "broker.example.org", "Origin": origin, "X-Forwarded-For": "192.0.2.1"}
            answer = await page.ask("POST", "/api/v1/session", json=ANN, headers=headers)
            [(_, cookie)] = cookie_of(answer).items()
            assert bool(cookie["secure"]) is is_secure


async def test_a_stranger_brings_no_more_than_a_name_and_a_password(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path)) as page:
        long = await page.ask("POST", "/api/v1/session", json={"user": "ann", "password": "x" * 70_000})
        assert long.status == 413

        async def chunks() -> AsyncIterator[bytes]:
            yield b"{}"

        headers = {"Content-Type": "application/json"}
        assert (await page.ask("POST", "/api/v1/session", data=chunks(), headers=headers)).status == 411
        assert (await page.ask("POST", "/api/v1/session", data=b"{}", headers=headers)).status == 400


async def test_a_browser_asks_a_person_and_no_script(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path)) as page:
        assert (await page.get("/metrics")).headers["WWW-Authenticate"].startswith("Basic ")
        for headers in (FETCH, {logins.TOKEN_HEADER: "none"}):
            assert (await page.get("/api/v1/me", headers=headers)).headers["WWW-Authenticate"].startswith("Telex ")


async def test_scripts_log_in_with_each_request(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path), web=ADMIN) as page:
        me = await page.api("/me", user="bob")
        assert me == {"user": "bob", "administrator": False, "token": None, "mqtt": {"path": "/mqtt"}}
        assert (await page.get("/api/v1/me", user="eve")).status == 401
        for header in ("Basic", "Basic !", "Bearer x", "Basic eA=="):
            assert (await page.get("/api/v1/me", headers={"Authorization": header})).status == 401, header


async def test_failed_logins_count_towards_the_ban(tmp_path: Path) -> None:
    protection = Protection(ban_after=3, ban_seconds=600.0)
    async with port(access=with_users(tmp_path), protection=protection, web=ADMIN) as page:
        for _ in range(3):
            assert (await page.ask("POST", "/api/v1/session", json={"user": "bob", "password": "x"})).status == 401
        answer = await page.ask("POST", "/api/v1/session", json=BOB)
        assert answer.status == 403
        assert (await page.get("/api/v1/me", user="bob")).status == 403
        with pytest.raises(telex.Refused):
            async with telex.Client(page.mqtt, user="bob", password=USERS["bob"], reconnect=None):
                pass
        [ban] = (await page.api("/bans", user="ann"))["items"]
        assert (ban["address"], ban["user"], ban["automatic"], ban["why"]) == (
            "127.0.0.1",
            "bob",
            True,
            "failed logins",
        )
        assert (await page.ask("DELETE", f"/api/v1/bans/{ban['id']}", user="ann")).status == 204
        assert (await page.get("/api/v1/me", user="bob")).status == 200


async def test_what_is_for_administrators_is_for_nobody_else(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path), web=ADMIN) as page:
        for method, path in (
            ("GET", "/clients"),
            ("GET", "/clients/x"),
            ("DELETE", "/clients/x"),
            ("GET", "/sessions"),
            ("DELETE", "/sessions/x"),
            ("GET", "/subscriptions"),
            ("GET", "/bans"),
            ("POST", "/bans"),
            ("DELETE", "/bans/x"),
            ("GET", "/events"),
            ("GET", "/log"),
            ("GET", "/configuration"),
        ):
            body = {"json": {"user": "x"}} if method == "POST" else {}
            assert (await page.ask(method, f"/api/v1{path}", user="bob", **body)).status == 403, path
            assert (await page.ask(method, f"/api/v1{path}", user="ann", **body)).status in (200, 201, 404), path
            assert (await page.ask(method, f"/api/v1{path}", **body)).status == 401, path


async def test_a_name_that_nobody_has_checked_administers_nothing(tmp_path: Path) -> None:
    access = with_users(tmp_path, allow_anonymous=True)
    async with port(access=access, web=Web(administrators=["*"])) as page:
        me = await page.api("/me")
        assert (me["user"], me["administrator"]) == (None, False)
        assert (await page.get("/api/v1/clients")).status == 403
        assert (await page.get("/api/v1/clients", user="bob")).status == 200


async def test_where_nobody_logs_in_whoever_is_here_administers() -> None:
    async with port() as page:
        assert (await page.api("/me"))["administrator"] is True
        for header in ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"):
            me = await page.api("/me", headers={header: "192.0.2.1"})
            assert me["administrator"] is False, "a proxy on this machine asks for others"


async def test_where_it_can_be_reached_from_elsewhere_nobody_administers_without_a_name() -> None:
    access = Access(allow_anonymous=True)
    async with port(access=access, web=Web(host="0.0.0.0")) as page:
        page.url = page.url.replace("0.0.0.0", "127.0.0.1")
        assert (await page.api("/me"))["administrator"] is False


async def test_where_a_listener_asks_for_names_nobody_administers_without_one(tmp_path: Path) -> None:
    asking = Listener(host="127.0.0.1", port=0, access=with_users(tmp_path, allow_anonymous=True))
    async with port(listeners=[Listener(host="127.0.0.1", port=0), asking]) as page:
        assert (await page.api("/me"))["administrator"] is False


# The cookie and MQTT


async def test_the_cookie_is_the_login_of_an_mqtt_without_a_name(tmp_path: Path) -> None:
    rules = [Rule(allow=["publish", "subscribe"], users=["bob"], topics=["{user}/#"])]
    async with port(access=with_users(tmp_path, rules=rules)) as page:
        await log_in(page, BOB)
        async with page.session.ws_connect(f"{page.url}/mqtt", protocols=["mqtt"]) as socket:
            await socket.send_bytes(bytes.fromhex("10 11 0004 4d515454 05 02 003c 00 0004 70616765".replace(" ", "")))
            connack = await socket.receive_bytes()
            assert (connack[0], connack[3]) == (0x20, 0)
            session = page.broker.engine.sessions["page"]
            assert session.permissions.grant_publish("bob/a").max_qos == 2
            assert session.permissions.grant_publish("ann/a").max_qos == -1
            [client] = [each for each in page.broker.events.all() if each.kind == "connected"]
            assert client.user == "bob"
            # A reload that takes nothing away lets it stay; one without its password does not.
            await page.broker.reload(page.broker.config)
            assert "page" in page.broker.engine.sessions
            password_file(Path(page.broker.config.access.password_file), ann="ann's")
            await page.broker.reload(structs.replace(page.broker.config, sys_interval=7))
            assert (await socket.receive()).type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.CLOSE)
            assert "page" not in page.broker.engine.sessions
        assert (await page.get("/api/v1/me")).status == 401, "nor does its cookie count any more"


async def test_without_a_cookie_such_an_mqtt_is_nobodys(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path)) as page:
        async with page.session.ws_connect(f"{page.url}/mqtt", protocols=["mqtt"]) as socket:
            await socket.send_bytes(bytes.fromhex("10 11 0004 4d515454 05 02 003c 00 0004 70616765".replace(" ", "")))
            connack = await socket.receive_bytes()
            assert (connack[0], connack[3]) == (0x20, 0x87)


async def test_administrators_know_publishers_by_mqtt_too(tmp_path: Path) -> None:
    rules = [Rule(allow=["publish", "subscribe"])]
    async with port(access=with_users(tmp_path, rules=rules), web=ADMIN) as page:
        sessions = page.broker.engine.sessions

        def knows(client_id: str) -> bool:
            return sessions[client_id].permissions.knows_publishers

        async with (
            telex.Client(page.mqtt, client_id="a", user="ann", password=USERS["ann"]),
            telex.Client(page.mqtt, client_id="b", user="bob", password=USERS["bob"]),
        ):
            assert (knows("a"), knows("b")) == (True, False)
            web = structs.replace(page.broker.config.web, administrators=["b*"])
            await page.broker.reload(structs.replace(page.broker.config, web=web))
            assert (knows("a"), knows("b")) == (False, True)
            access = structs.replace(page.broker.config.access, rules=[])
            await page.broker.reload(structs.replace(page.broker.config, access=access))
            assert (knows("a"), knows("b")) == (False, True), "with rules and without"


async def test_where_everybody_administers_all_at_the_page_know_publishers_and_nobody_elsewhere() -> None:
    async with port() as page:
        sessions = page.broker.engine.sessions
        async with (
            telex.Client(page.mqtt, client_id="a"),
            telex.Client(f"{page.url.replace('http', 'ws')}/mqtt", client_id="b"),
        ):
            knows = {name: session.permissions.knows_publishers for name, session in sessions.items()}
            assert knows == {"a": False, "b": True}


async def test_who_calls_itself_an_administrator_knows_nobody(tmp_path: Path) -> None:
    rules = [Rule(allow=["publish", "subscribe"])]
    async with port(access=Access(allow_anonymous=True, rules=rules), web=ADMIN) as page:
        async with telex.Client(page.mqtt, client_id="a", user="ann"):
            assert not page.broker.engine.sessions["a"].permissions.knows_publishers


async def test_the_page_is_told_what_its_client_id_has_to_begin_with(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path, client_id_prefixes=["house-", "garden-"])) as page:
        assert (await page.api("/me", user="bob"))["mqtt"] == {"path": "/mqtt", "client_id_prefix": "house-"}


# How long a login lasts


async def test_logins_end_and_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "_MOST", 3)
    async with port(access=with_users(tmp_path)) as page:
        house = page.broker
        clock = house.now()
        monkeypatch.setattr(house, "now", lambda: clock)
        known = logins.Logins(house, "127.0.0.1:0")
        cookies = [(await known.log_in("ann", "ann's", "127.0.0.1"))[0] for _ in range(3)]
        assert known.found(cookies[0], "127.0.0.1") is not None, "who was here lately stays"
        last, _ = await known.log_in("ann", "ann's", "127.0.0.1")
        assert known.count == 3
        assert known.found(cookies[1], "127.0.0.1") is None
        assert known.found(cookies[0], "127.0.0.1") is not None
        clock += 12 * 3_600 + 1
        assert known.found(last, "127.0.0.1") is None
        assert known.found("", "127.0.0.1") is None
