"""Nobody gets more by the HTTP port than by MQTT: not in, and not on."""

import os
from pathlib import Path

import aiohttp
import pytest
from msgspec import structs

import telex
from telex.engine.message import Message
from telex.engine.seams import Client, Gate
from telex.engine.visit import Visit
from telex.server.access.ways import Admitted, Applicant
from telex.server.config import (
    Access,
    Config,
    Listener,
    Protection,
    Psk,
    Rule,
    Tls,
    Web,
    doorkeeping,
    everybody_administers,
    web_listener,
)
from telex.server.web import logins
from telex.wire.decode import Decoder
from telex.wire.encode import encode
from telex.wire.packets import ConnAck, Connect
from tests.certificates import Authority
from tests.shell.knocking import Verdict, password_file, porter, tls_of
from tests.web.peers import SECONDS, until
from tests.web.port import USERS, Answer, Port, description, port, with_users

ADMIN = Web(administrators=["ann"])


def retain(page: Port, topic: str) -> None:
    page.broker.engine.publish(Message(topic, b"x", 0, retain=True), None, page.broker.now())


def retained(page: Port) -> list[str]:
    return sorted(message.topic for message in page.broker.engine.retained.all())


async def publishes(page: Port, topic: str, *, user: str = "bob", retain: bool = False) -> Answer:
    body = {"topic": topic, "payload": "x", "retain": retain}
    return await page.ask("POST", "/api/v1/publish", json=body, user=user)


async def log_in(page: Port, user: str) -> dict[str, str]:
    """Log in: what the page sends from then on."""
    answer = await page.ask("POST", "/api/v1/session", json={"user": user, "password": USERS.get(user, "x")})
    assert answer.status == 204, answer.text
    return {logins.TOKEN_HEADER: (await page.api("/me"))["token"]}


async def connack_by_cookie(page: Port, connect: Connect) -> ConnAck:
    """What the MQTT of the page is answered, which names nobody."""
    async with page.session.ws_connect(f"{page.url}/mqtt", protocols=["mqtt"]) as socket:
        await socket.send_bytes(encode(connect, connect.version))
        decoder = Decoder(version=connect.version)
        decoder.receive(await socket.receive_bytes(timeout=SECONDS))
        answer = decoder.next_packet()
        assert isinstance(answer, ConnAck)
        return answer


def give_another(file: Path, user: str) -> None:
    """Give somebody another password; what the others have stays as it is stored."""
    others = [line for line in file.read_text().splitlines(keepends=True) if not line.startswith(f"{user}:")]
    password_file(file, **{user: "another"})
    file.write_text("".join(others) + file.read_text())


# Coming in


def asking_for_certificates(folder: Path) -> Tls:
    authority = Authority(folder)
    return tls_of(authority.server(), client_certificates="required", client_ca=str(authority.path))


async def stays_shut(page: Port) -> None:
    """Nobody is here who could not be there."""
    for path in ("/api/v1/me", "/api/v1/clients", "/api/v1/retained", "/metrics"):
        assert (await page.get(path)).status == 401, path
    assert (await publishes(page, "a", user="")).status == 401
    assert (await connack_by_cookie(page, Connect("page"))).reason_code == 0x87


async def test_where_a_certificate_is_needed_nobody_comes_in_without_one(tmp_path: Path) -> None:
    listener = Listener(host="127.0.0.1", port=0, tls=asking_for_certificates(tmp_path))
    async with port(listeners=[listener], access=Access(allow_anonymous=True)) as page:
        await stays_shut(page)


async def test_where_a_certificate_is_needed_besides_a_password_is_not_enough(tmp_path: Path) -> None:
    listener = Listener(host="127.0.0.1", port=0, tls=asking_for_certificates(tmp_path))
    async with port(listeners=[listener], access=with_users(tmp_path), web=ADMIN) as page:
        await stays_shut(page)
        assert (await page.get("/api/v1/me", user="ann")).status == 401
        who = {"user": "ann", "password": USERS["ann"]}
        assert (await page.ask("POST", "/api/v1/session", json=who)).status == 401


async def test_another_listener_that_asks_for_a_password_alone_opens_it(tmp_path: Path) -> None:
    strict = Listener(host="127.0.0.1", port=0, tls=asking_for_certificates(tmp_path))
    async with port(listeners=[strict, Listener(host="127.0.0.1", port=0)], access=with_users(tmp_path)) as page:
        assert (await page.api("/me", user="ann"))["user"] == "ann"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="a Unix socket")
@pytest.mark.parametrize(("mode", "is_open"), [(0o600, False), (0o660, False), (0o666, True)])
async def test_where_not_everybody_may_open_the_socket_not_everybody_comes_in(
    tmp_path: Path, mode: int, is_open: bool
) -> None:
    listener = Listener(path=str(tmp_path / "socket"), path_mode=mode)
    async with port(listeners=[listener]) as page:
        if is_open:
            assert (await page.api("/me"))["administrator"] is True
        else:
            await stays_shut(page)


def test_a_key_that_both_ends_know_is_something_that_strangers_lack() -> None:
    listener = Listener(host="127.0.0.1", psk=Psk(file="keys"))
    for access in (Access(), Access(allow_anonymous=True), Access(password_file="users")):
        config = Config(listeners=[listener], access=access)
        assert not everybody_administers(config)
        found = doorkeeping(config, web_listener(config))
        assert found.allow_anonymous is False
        assert found.password_file == ""


class Nobody(Gate):
    """A gate of a program's own, which lets nobody in."""

    def login(self, client: Client, packet: Connect, visit: Visit, now: float) -> None:
        client.refuse(0x87, "nobody comes in", now)


async def test_a_programs_own_gate_is_not_gone_around() -> None:
    async with telex.Broker(config=description(), gate=Nobody()) as broker, aiohttp.ClientSession() as session:
        page = Port(broker, session)
        assert (await connack_by_cookie(page, Connect("page"))).reason_code == 0x87
        for path in ("/api/v1/me", "/api/v1/clients", "/api/v1/retained", "/api/v1/configuration", "/metrics"):
            assert (await page.get(path)).status in (401, 403), path
        assert (await publishes(page, "a", user="")).status in (401, 403)
        assert (await page.get("/healthz")).status == (await page.get("/readyz")).status == 200


# Topics that are not everybody's


async def test_orders_to_the_broker_are_no_messages(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path, rules=[Rule(allow=["publish", "subscribe"])]), control=True) as page:
        client = telex.Client(page.mqtt, user="ann", password=USERS["ann"])
        async with client, client.subscribe("$CONTROL/#", qos=1) as control, client.subscribe("end") as end:
            for topic in ("$CONTROL/broker/v1", "$CONTROL/broker/v1/response", "$CONTROL/x"):
                for keep in (False, True):
                    answer = await publishes(page, topic, retain=keep)
                    assert (answer.status, answer.json["reason_code"]) == (403, 0x87), topic
            assert retained(page) == []
            assert (await publishes(page, "end")).status == 200
            assert (await anext(end)).payload == b"x"
            assert control.waiting == 0


async def test_what_lies_beside_the_mount_point_is_not_seen_and_not_cleared() -> None:
    async with port(listeners=[Listener(host="127.0.0.1", port=0, mount_point="house/")]) as page:
        for topic in ("house", "house/a", "house/b", "houses", "$house/a"):
            retain(page, topic)
        first = await page.api("/retained?limit=1")
        assert [each["topic"] for each in first["items"]] == ["a"]
        rest = await page.api(f"/retained?limit=1&after={first['next']}")
        assert ([each["topic"] for each in rest["items"]], rest["next"]) == (["b"], None)
        done = await page.ask("DELETE", "/api/v1/retained?filter=%23")
        assert done.json == {"matched": 2, "removed": 2}
        assert retained(page) == ["$house/a", "house", "houses"]


async def test_of_a_branch_only_what_rules_allow_is_seen_and_cleared(tmp_path: Path) -> None:
    rules = [
        Rule(deny=["receive"], topics=["+/hidden"]),
        Rule(allow=["subscribe"], topics=["home/live/#"], retain=False),
        Rule(allow=["publish"], topics=["home/kept/#"], retain=False),
        Rule(allow=["publish", "subscribe"], topics=["home/#"]),
    ]
    async with port(access=with_users(tmp_path, rules=rules)) as page:
        for topic in ("home/a", "home/hidden", "home/live/a", "home/kept/a", "$SYS/x", "away"):
            retain(page, topic)
        seen = (await page.api("/retained?filter=home/%23", user="bob"))["items"]
        assert [each["topic"] for each in seen] == ["home/a", "home/kept/a"]
        for topic, status in (("home/a", 200), ("home/hidden", 404), ("home/live/a", 404), ("away", 403)):
            assert (await page.get(f"/api/v1/retained/{topic}", user="bob")).status == status
        for topic_filter in ("%23", "%2B/%23", "$SYS/%23", "away"):
            for method in ("GET", "DELETE"):
                answer = await page.ask(method, f"/api/v1/retained?filter={topic_filter}", user="bob")
                assert answer.status == 403, topic_filter
        dry = await page.ask("DELETE", "/api/v1/retained?filter=home/%23&dry_run=true", user="bob")
        assert dry.json == {"matched": 2, "removed": 0}
        done = await page.ask("DELETE", "/api/v1/retained?filter=home/%23", user="bob")
        assert done.json == {"matched": 2, "removed": 1}
        assert retained(page) == ["$SYS/x", "away", "home/hidden", "home/kept/a", "home/live/a"]


async def test_the_brokers_own_topics_cannot_be_cleared() -> None:
    async with port() as page:
        retain(page, "$SYS/x")
        assert len((await page.api("/retained?filter=$SYS/%23"))["items"]) == 1
        done = await page.ask("DELETE", "/api/v1/retained?filter=$SYS/%23")
        assert done.json == {"matched": 1, "removed": 0}
        assert retained(page) == ["$SYS/x"]


async def test_strangers_may_be_kept_from_asking_for_everything() -> None:
    protection = Protection(strangers_may_use_hash=False)
    async with port(access=Access(allow_anonymous=True), protection=protection) as page:
        retain(page, "a")
        for topic_filter in ("%23", "%2B/%23"):
            assert (await page.get(f"/api/v1/retained?filter={topic_filter}")).status == 403
        assert len((await page.api("/retained?filter=%2B"))["items"]) == 1


# Who it is


async def test_where_the_user_is_the_client_id_the_cookies_user_is(tmp_path: Path) -> None:
    rules = [Rule(allow=["publish", "subscribe"], topics=["{client}/#"])]
    listener = Listener(host="127.0.0.1", port=0, user_name_is_client_id=True)
    async with port(listeners=[listener], access=with_users(tmp_path, rules=rules)) as page:
        await log_in(page, "bob")
        assert (await connack_by_cookie(page, Connect("ann"))).reason_code == 0
        assert list(page.broker.engine.sessions) in ([], ["bob"])
        connected = [each for each in page.broker.events.all() if each.kind == "connected"]
        assert [(each.client_id, each.user) for each in connected] == [("bob", "bob")]
        page.session.cookie_jar.clear()
        assert (await publishes(page, "bob/a")).status == 200
        assert (await publishes(page, "ann/a")).status == 403


async def test_a_name_in_connect_counts_more_than_the_cookie(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path)) as page:
        await log_in(page, "ann")
        assert (await connack_by_cookie(page, Connect("a", user_name="bob", password=b"wrong"))).reason_code == 0x87
        assert (await connack_by_cookie(page, Connect("a", user_name="bob", password=b"bob's"))).reason_code == 0
        connected = [each.user for each in page.broker.events.all() if each.kind == "connected"]
        assert connected == ["bob"]


async def test_an_administrator_is_one_whose_name_was_checked(tmp_path: Path) -> None:
    async with port(access=Access(allow_anonymous=True), web=Web(host="0.0.0.0", administrators=["ann"])) as page:
        page.url = page.url.replace("0.0.0.0", "127.0.0.1")
        answer = await page.get("/api/v1/clients", user="ann")
        assert answer.status == 401, "no way of logging in knows her"
        assert (await page.get("/api/v1/clients")).status == 403


# Staying in


async def test_who_lost_rights_has_lost_them_with_the_next_request(tmp_path: Path) -> None:
    everything = [Rule(allow=["publish", "subscribe"])]
    async with port(access=with_users(tmp_path, rules=everything), web=Web(administrators=["bob"])) as page:
        token = await log_in(page, "bob")
        body = {"topic": "a", "payload": "x"}
        assert (await page.ask("POST", "/api/v1/publish", json=body, headers=token)).status == 200
        assert (await page.get("/api/v1/clients")).status == 200
        access = structs.replace(page.broker.config.access, rules=[Rule(allow=["publish"], topics=["b"])])
        web = structs.replace(page.broker.config.web, administrators=[])
        await page.broker.reload(structs.replace(page.broker.config, access=access, web=web))
        assert (await page.api("/me"))["administrator"] is False
        assert (await page.ask("POST", "/api/v1/publish", json=body, headers=token)).status == 403
        assert (await page.get("/api/v1/retained")).status == 403
        assert (await page.get("/api/v1/clients")).status == 403


async def test_another_password_ends_every_cookie_of_its_user_and_no_other(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path)) as page:
        await log_in(page, "ann")
        kept = "; ".join(f"{each.key}={each.value}" for each in page.session.cookie_jar)
        page.session.cookie_jar.clear()
        await log_in(page, "bob")
        give_another(Path(page.broker.config.access.password_file), "bob")
        await page.broker.reload(structs.replace(page.broker.config, sys_interval=7))
        assert (await page.get("/api/v1/me")).status == 401
        assert (await connack_by_cookie(page, Connect("b"))).reason_code == 0x87
        page.session.cookie_jar.clear()
        assert (await page.get("/api/v1/me", headers={"Cookie": kept})).status == 200


async def test_a_login_ends_with_the_token_that_it_was_made_with(tmp_path: Path) -> None:
    expires_at = 0.0

    async def ask(applicant: Applicant) -> Verdict:
        return Admitted(user="eve", expires_at=expires_at) if applicant.password else None

    async with port(access=Access(plugins=[porter(ask)])) as page:
        expires_at = page.broker.now() + 100.0
        await log_in(page, "eve")
        assert (await page.api("/me"))["user"] == "eve"
        assert (await connack_by_cookie(page, Connect("e"))).reason_code == 0
        now = page.broker.now() + 101.0
        page.broker.now = lambda: now  # type: ignore[method-assign]
        assert (await page.get("/api/v1/me")).status == 401
        assert (await connack_by_cookie(page, Connect("e"))).reason_code == 0x87


async def test_one_users_logins_end_no_other_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "_MOST", 20)
    monkeypatch.setattr(logins, "_MOST_OF_ONE", 5)
    async with port(access=with_users(tmp_path)) as page:
        known = logins.Logins(page.broker, "127.0.0.1:0")
        ann, _ = await known.log_in("ann", "ann's", "127.0.0.1")
        for _ in range(50):
            last, _ = await known.log_in("bob", "bob's", "127.0.0.1")
        assert known.found(ann, "127.0.0.1") is not None
        assert known.found(last, "127.0.0.1") is not None
        assert known.count <= 20


async def test_a_websocket_of_a_login_ends_with_its_user(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path), web=ADMIN) as page:
        await log_in(page, "bob")
        async with page.session.ws_connect(f"{page.url}/mqtt", protocols=["mqtt"]) as socket:
            await socket.send_bytes(encode(Connect("page"), 5))
            await socket.receive_bytes(timeout=SECONDS)
            body = {"user": "bob", "seconds": 60}
            assert (await page.ask("POST", "/api/v1/bans", json=body, user="ann")).status == 201
            said = await socket.receive(timeout=SECONDS)
            assert (said.type, said.data[:1]) == (aiohttp.WSMsgType.BINARY, b"\xe0")
            await until(lambda: "page" not in page.broker.engine.sessions)
        assert (await page.get("/api/v1/me")).status == 401, "nor does its cookie count"
        assert (await page.ask("POST", "/api/v1/session", json={"user": "bob", "password": "bob's"})).status == 403


async def test_who_may_not_come_in_cannot_hide_who_did(tmp_path: Path) -> None:
    """What strangers can cause as often as they like takes no room of what nobody else should miss."""
    rules = [Rule(allow=["subscribe"], topics=["a"])]
    async with port(access=with_users(tmp_path, rules=rules), web=ADMIN) as page:
        async with telex.Client(page.mqtt, client_id="thief", user="bob", password=USERS["bob"]):
            pass
        visit = Visit("192.0.2.1:1", "192.0.2.1", "x")
        for number in range(600):
            page.broker.engine.observer.refused(visit, f"reason {number}")
            page.broker.engine.observer.denied(visit, "publish", f"topic {number}", "no rule")
        found: list[dict[str, str]] = []
        after = ""
        while True:
            part = await page.api(f"/events?limit=1000{after}", user="ann")
            found += part["items"]
            if part["next"] is None:
                break
            after = f"&after={part['next']}"
        assert [each["kind"] for each in found if each["client_id"] == "thief"] == ["disconnected", "connected"]
        assert [each["time"] for each in found] == sorted((each["time"] for each in found), reverse=True)
