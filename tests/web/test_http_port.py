"""The HTTP port: its paths, its headers, and whom it does not answer."""

import asyncio
import re
import ssl
from pathlib import Path

import aiohttp
import pytest
from msgspec import structs

import telex
from telex.server.config import Access, Config, ConfigError, Listener, Rule, Web
from telex.server.environment import with_environment
from telex.server.toml import problems, read_toml, write_toml
from telex.server.web import http_port
from tests.certificates import Authority
from tests.processes import free_port
from tests.web.port import Port, description, port, with_users


async def test_health_is_told_to_anybody_who_asks(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path)) as page:
        for path in ("/healthz", "/readyz"):
            answer = await page.get(path, headers={"Host": "telex.default.svc"})
            assert answer.status == 200
            assert "no-store" in answer.headers["Cache-Control"]
        assert (await page.get("/readyz")).json == {"ready": True, "listeners": 2, "store": "memory"}
        assert (await page.ask("POST", "/healthz")).headers["Allow"] == "GET, HEAD"
        head = await page.ask("HEAD", "/healthz")
        assert (head.status, head.body) == (200, b"")


async def test_it_is_not_ready_while_nothing_can_be_stored(tmp_path: Path) -> None:
    async with port(data=str(tmp_path)) as page:
        assert (await page.get("/readyz")).json["store"] == "ok"
        page.broker.engine.journal.is_failing = True
        answer = await page.get("/readyz")
        assert (answer.status, answer.json["store"], answer.json["ready"]) == (503, "failing", False)
        page.broker.engine.journal.is_failing = False


async def test_without_a_page_it_says_how_to_build_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(http_port, "STATIC", tmp_path / "none")
    async with port() as page:
        answer = await page.get("/")
        assert (answer.status, answer.content_type) == (200, "text/html")
        assert "npm" in answer.text
        assert (await page.get("/assets/x.js")).status == 404


async def test_the_page_is_served_as_it_was_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    for name in ("index.html", "sw.js", "app.webmanifest", "assets/index-Ab3_cd-9.js", "assets/plain.css"):
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(http_port, "STATIC", tmp_path)
    async with port() as page:
        for path, kind, cache in (
            ("/", "text/html", "no-cache"),
            ("/index.html", "text/html", "no-cache"),
            ("/sw.js", "text/javascript", "no-cache"),
            ("/app.webmanifest", "application/manifest+json", "no-cache"),
            ("/assets/plain.css", "text/css", "no-cache"),
            ("/assets/index-Ab3_cd-9.js", "text/javascript", "public, max-age=31536000, immutable"),
        ):
            answer = await page.get(path)
            assert (answer.status, answer.content_type, answer.headers["Cache-Control"]) == (200, kind, cache)
            assert answer.text == ("index.html" if path == "/" else path[1:])
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert (await page.get("/../conftest.py")).status == 404
        assert (await page.ask("POST", "/")).status == 405


async def test_every_answer_has_the_strict_headers() -> None:
    async with port() as page:
        for path in ("/", "/healthz", "/metrics", "/api/v1/me", "/api/v1/nothing", "/nothing", "/mqtt"):
            headers = (await page.get(path)).headers
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["X-Frame-Options"] == "DENY"
            assert headers["Server"] == "Telex"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
            policy = dict(each.strip().partition(" ")[::2] for each in headers["Content-Security-Policy"].split(";"))
            assert policy["default-src"] == "'none'"
            assert policy["script-src"] == policy["style-src"] == "'self'"
            assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
            host = page.url.removeprefix("http://")
            assert policy["connect-src"] == f"'self' ws://{host} wss://{host}"
            assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("telex.localhost", 200),
        ("127.0.0.1", 200),
        ("192.0.2.1:8080", 200),
        ("[::1]:8080", 200),
        ("broker.example.org", 200),
        ("Broker.Example.Org:443", 200),
        ("evil.example.org", 421),
        ("localhost.evil.example.org", 421),
        ("127.0.0.1.evil.example.org", 421),
        ("broker.example.org@evil.example.org", 421),
        ("[::1", 421),
    ],
)
async def test_it_answers_to_its_own_names_alone(host: str, status: int) -> None:
    async with port(web=Web(names=["broker.example.org"])) as page:
        for path in ("/api/v1/me", "/"):
            assert (await page.get(path, headers={"Host": host})).status == status


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example.org"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_page_from_elsewhere_gets_nothing(headers: dict[str, str]) -> None:
    async with port() as page:
        for path in ("/api/v1/me", "/metrics", "/api/v1/openapi.json"):
            assert (await page.get(path, headers=headers)).status == 403
        body = {"topic": "a", "payload": "x"}
        assert (await page.ask("POST", "/api/v1/publish", headers=headers, json=body)).status == 403
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await page.session.ws_connect(f"{page.url}/mqtt", headers=headers, protocols=["mqtt"])
        assert refused.value.status == 403
        assert page.broker.engine.stats.sockets_opened == 0


async def test_its_own_page_gets_everything() -> None:
    async with port() as page:
        headers = {"Origin": page.url, "Sec-Fetch-Site": "same-origin"}
        assert (await page.get("/api/v1/me", headers=headers)).status == 200
        async with page.session.ws_connect(f"{page.url}/mqtt", headers=headers, protocols=["mqtt"]) as socket:
            assert socket.protocol == "mqtt"


async def test_mqtt_comes_by_websocket_with_the_rights_of_its_user(tmp_path: Path) -> None:
    rules = [Rule(allow=["publish", "subscribe"], users=["bob"], topics=["bob/#"])]
    async with port(access=with_users(tmp_path, rules=rules)) as page:
        address = page.url.replace("http", "ws") + "/mqtt"
        async with telex.Client(address, user="bob", password="bob's") as client:
            async with client.subscribe("bob/#", qos=1) as messages:
                await client.publish("bob/a", "x", qos=1)
                assert (await anext(messages)).payload == b"x"
            with pytest.raises(telex.Refused):
                await client.publish("ann/a", "x", qos=1)
        with pytest.raises(telex.Refused):
            async with telex.Client(address, user="bob", password="wrong", reconnect=None):
                pass
        with pytest.raises(telex.Refused):
            async with telex.Client(address, reconnect=None):
                pass


async def test_there_is_no_websocket_anywhere_else() -> None:
    async with port() as page:
        for path in ("/", "/mqtt/", "/api/v1/me"):
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await page.session.ws_connect(page.url + path, protocols=["mqtt"])
        assert (await page.get("/mqtt")).status == 426


async def test_a_reload_moves_it_and_clients_elsewhere_stay() -> None:
    async with port() as page:
        async with telex.Client(page.mqtt) as client:
            moved = structs.replace(
                page.broker.config, web=Web(enabled=True, port=free_port(), names=["here.example.org"])
            )
            await page.broker.reload(moved)
            assert page.broker.web_address == f"http://127.0.0.1:{moved.web.port}/"
            with pytest.raises(aiohttp.ClientConnectorError):
                await page.get("/healthz")
            page.url = page.broker.web_address.rstrip("/")
            assert (await page.get("/", headers={"Host": "here.example.org"})).status == 200
            await page.broker.reload(structs.replace(moved, web=Web(enabled=False)))
            assert page.broker.web_address == page.broker.web_missing == ""
            await client.publish("a", "x", qos=1)


async def test_a_reload_that_cannot_be_leaves_it_where_it_is() -> None:
    async with port() as page, port() as other:
        taken = int(other.url.rpartition(":")[2])
        with pytest.raises(OSError, match="another program listens there"):
            await page.broker.reload(structs.replace(page.broker.config, web=Web(enabled=True, port=taken)))
        assert (await page.get("/healthz")).status == 200
        missing = structs.replace(page.broker.config, web=Web(enabled=True, port=0, certificate="nowhere.pem"))
        with pytest.raises(ConfigError, match="certificate"):
            await page.broker.reload(missing)
        assert (await page.get("/healthz")).status == 200


async def test_names_and_administrators_change_without_a_new_port(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path)) as page:
        assert (await page.get("/api/v1/clients", user="ann")).status == 403
        web = structs.replace(page.broker.config.web, administrators=["a*"])
        address = page.broker.web_address
        await page.broker.reload(structs.replace(page.broker.config, web=web))
        assert page.broker.web_address == address
        assert (await page.get("/api/v1/clients", user="ann")).status == 200
        assert (await page.get("/api/v1/clients", user="bob")).status == 403


async def test_a_stop_ends_all_of_it() -> None:
    async with port() as page:
        socket = await page.session.ws_connect(f"{page.url}/mqtt", protocols=["mqtt"])
        end = asyncio.create_task(socket.receive())  # or nobody would answer the broker's Close
        await page.broker.stop()
        assert (await end).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        with pytest.raises(aiohttp.ClientConnectorError):
            await page.get("/healthz")


async def test_it_speaks_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    issued = authority.server("localhost")
    web = Web(certificate=str(issued.certificate), key=str(issued.key))
    async with port(web=web) as page:
        assert page.url.startswith("https://")
        context = ssl.create_default_context(cafile=str(authority.path))
        answer = await page.get("/readyz", ssl=context, server_hostname="localhost")
        assert answer.status == 200
        said = await page.api("/broker", ssl=context, server_hostname="localhost")
        [listener] = [each for each in said["listeners"] if each["tls"]]
        assert listener["address"] == page.url


# Whether there is one


async def test_a_program_has_none_unless_it_asks() -> None:
    async with telex.Broker(port=0) as broker:
        assert broker.web_address == broker.web_missing == ""


async def test_one_that_nobody_asked_for_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with port() as other:
        taken = int(other.url.rpartition(":")[2])
        monkeypatch.setattr("telex.server.reception.Web", lambda: Web(port=taken))
        config = Config(listeners=[Listener(host="127.0.0.1", port=0)], web=Web(port=taken), data="")
        async with telex.Broker(config=config, opens_web=True) as broker:
            assert broker.web_address == ""
            assert "another program listens there" in broker.web_missing
            async with telex.Client(broker.addresses[0]) as client:
                await client.publish("a", "x", qos=1)


async def test_one_that_was_asked_for_may_not_be_missing() -> None:
    async with port() as other:
        taken = int(other.url.rpartition(":")[2])
        for web in (Web(port=taken), Web(enabled=True, port=taken)):
            config = Config(listeners=[Listener(host="127.0.0.1", port=0)], web=web, data="")
            with pytest.raises(OSError, match="another program listens there"):
                await telex.Broker(config=config, opens_web=True).start()


async def test_a_listener_with_its_address_is_there_first() -> None:
    number = free_port()
    config = Config(listeners=[Listener(host="127.0.0.1", port=number)], web=Web(port=number), data="")
    with pytest.raises(ConfigError, match="a listener has that address"):
        await telex.Broker(config=config, opens_web=True).start()


# Whom it lets in


def room(**listener: object) -> Listener:
    return Listener(host="127.0.0.1", port=0, **listener)  # type: ignore[arg-type]


async def may_come_in(page: Port) -> bool:
    answer = await page.get("/api/v1/me")
    assert answer.status in (200, 401), answer.text
    return answer.status == 200


async def test_where_a_listener_has_passwords_of_its_own_they_count_here_too(tmp_path: Path) -> None:
    own = room(access=with_users(tmp_path))
    async with port(listeners=[room(), own], access=Access()) as page:
        assert not await may_come_in(page)
        assert (await page.api("/me", user="ann"))["user"] == "ann"


async def test_where_certificates_say_who_it_is_nobody_comes_in_without_one(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    issued = authority.server("localhost")
    tls = telex.Tls(
        certificate=str(issued.certificate),
        key=str(issued.key),
        client_certificates="required",
        client_ca=str(authority.path),
        user_from="cn",
    )
    async with port(listeners=[room(tls=tls)]) as page:
        assert not await may_come_in(page)


async def test_where_nobody_may_come_in_without_a_name_nobody_does_here() -> None:
    async with port(access=Access(allow_anonymous=False)) as page:
        assert not await may_come_in(page)


async def test_its_clients_see_what_those_of_the_listener_see(tmp_path: Path) -> None:
    async with port(listeners=[room(mount_point="flat/")]) as page:
        done = await page.ask("POST", "/api/v1/publish", json={"topic": "a", "payload": "x", "retain": True})
        assert done.status == 200
        assert [message.topic for message in page.broker.engine.retained.matching("flat/#", 0.0)] == ["flat/a"]
        assert [item["topic"] for item in (await page.api("/retained"))["items"]] == ["a"]
        assert (await page.api("/retained/a"))["payload"] == "x"
        done = await page.ask("DELETE", "/api/v1/retained?filter=%23")
        assert done.json == {"matched": 1, "removed": 1}


def test_a_description_that_cannot_be_is_refused() -> None:
    def first(**web: object) -> str:
        config = Config(web=Web(**web))  # type: ignore[arg-type]
        [(place, message), *_] = problems(config)
        return f"{'.'.join(map(str, place))}: {message}"

    assert first(key="x") == "web.key: it needs certificate"
    assert re.match(r"web\.names\.0: 'a:1' is no host name", first(names=["a:1"]))
    assert first(enabled=True, port=1883) == "web.port: listeners[0] wants the same address and port"


def test_its_settings_are_those_of_a_broker_on_free_ports() -> None:
    assert description().web.enabled


def test_the_environment_and_relative_paths_are_as_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "telex.toml"
    file.write_text('[web]\ncertificate = "here.pem"\nnames = ["a.example.org"]\n')
    config = with_environment(read_toml(file), {"TELEX_WEB__PORT": "9000", "TELEX_WEB__ADMINISTRATORS": "ann,bob"})
    assert config.web == Web(
        port=9000,
        certificate=str(tmp_path / "here.pem"),
        names=["a.example.org"],
        administrators=["ann", "bob"],
    )
    assert "[web]" in write_toml(config)
