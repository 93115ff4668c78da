"""Bans by address, client id and user: nobody gets around one, and it ends when it is to end."""

import asyncio
from pathlib import Path

import pytest

import telex
from telex.server.access.ways import Admitted, Applicant
from telex.server.bans import MOST, Ban, Bans
from telex.server.config import Access, Listener, Protection, Web
from telex.server.guard import Guard
from tests.certificates import Authority
from tests.shell.knocking import (
    Verdict,
    inside,
    knocks,
    knocks_by_scram,
    password_file,
    porter,
    ports,
    reached,
    tls_of,
    trusting,
    who,
)
from tests.shell.knocking import code_of as answered
from tests.web.peers import peer, until
from tests.web.port import USERS, Port, description, port, with_users

ADMIN = Web(administrators=["ann"])
BANNED = 0x8A
SENT_AWAY = 0x98


async def ban(page: Port, *, by: str = "ann", **body: object) -> str:
    """Begin a ban: its id."""
    answer = await page.ask("POST", "/api/v1/bans", json=body, user=by)
    assert answer.status == 201, answer.text
    found = answer.json["id"]
    assert isinstance(found, str)
    return found


def number_of(page: Port) -> int:
    return ports(page.broker)[0]


def number_of_page(page: Port) -> int:
    return int(page.url.rpartition(":")[2])


# By whichever way somebody says who it is


async def test_a_user_whom_a_certificate_names_is_banned_like_any_other(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = tls_of(authority.server(), client_certificates="optional", client_ca=str(authority.path), user_from="cn")
    config = description(listeners=[Listener(host="127.0.0.1", port=0, tls=tls)], access=with_users(tmp_path))
    async with telex.Broker(config=config) as broker:
        context = trusting(authority, authority.client("bob"))
        async with inside(ports(broker)[0], who(client_id="one"), tls=context):
            pass
        broker.guard.bans.add(Ban("", "", "bob", broker.now() + 60, "test"), broker.now())
        assert await knocks(ports(broker)[0], client_id="one", tls=context) == BANNED
        assert await knocks(ports(broker)[0], client_id="one", tls=trusting(authority, authority.client("eve"))) == 0


async def test_a_user_whom_scram_names_is_banned_like_any_other(tmp_path: Path) -> None:
    file = password_file(tmp_path / "users", "scram-sha-256", ann="ann's", bob="bob's")
    async with port(access=Access(password_file=file, scram=True), web=ADMIN) as page:
        await ban(page, user="bob", seconds=60)
        for name in (None, "bob"):
            async with reached(number_of(page)) as client:
                assert await knocks_by_scram(client, "bob", "bob's", user_name=name) == BANNED
        async with reached(number_of(page)) as client:
            assert await knocks_by_scram(client, "ann", "ann's") == 0


@pytest.mark.parametrize("name", ["", "bob", "anybody"])
async def test_a_user_whom_a_token_names_is_banned_like_any_other(tmp_path: Path, name: str) -> None:
    """As with a token's claim, or what a web service answers: CONNECT may have another user name, or none."""

    async def ask(applicant: Applicant) -> Verdict:
        return Admitted(user="bob") if applicant.password == b"bob's token" else None

    access = with_users(tmp_path, plugins=[porter(ask)], allow_anonymous=True)
    async with port(access=access, web=ADMIN) as page:
        assert await knocks(number_of(page), name, "bob's token") == 0
        found = await ban(page, user="bob", seconds=60)
        assert await knocks(number_of(page), name, "bob's token") == BANNED
        if name:
            answer = await page.ask("POST", "/api/v1/session", json={"user": name, "password": "bob's token"})
            assert (answer.status, "Set-Cookie" in answer.headers) == (403, False)
        assert (await page.ask("DELETE", f"/api/v1/bans/{found}", user="ann")).status == 204
        assert await knocks(number_of(page), name, "bob's token") == 0


async def test_whose_client_id_is_its_user_name_is_banned_by_either(tmp_path: Path) -> None:
    listener = Listener(host="127.0.0.1", port=0, user_name_is_client_id=True)
    for said in ({"client_id": "bob"}, {"user": "bob"}):
        async with port(listeners=[listener], access=with_users(tmp_path), web=ADMIN) as page:
            await ban(page, seconds=60, **said)
            assert await knocks(number_of(page), "bob", "bob's", client_id="else") == BANNED
            assert await knocks(number_of(page), "ann", "ann's", client_id="bob") == 0


# While somebody is on the way in


@pytest.mark.parametrize("said", [{"user": "bob"}, {"client_id": "one"}, {"address": "127.0.0.1", "user": "bob"}])
async def test_who_waits_for_an_answer_when_a_ban_begins_does_not_come_in(tmp_path: Path, said: dict[str, str]) -> None:
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def ask(applicant: Applicant) -> Verdict:
        if applicant.user_name != "bob":
            return None
        asked.set()
        await may_answer.wait()
        return Admitted(user="bob")

    async with port(access=with_users(tmp_path, plugins=[porter(ask)]), web=ADMIN) as page:
        knocking = asyncio.create_task(knocks(number_of(page), "bob", "bob's", client_id="one"))
        await asked.wait()
        await ban(page, seconds=60, **said)
        may_answer.set()
        assert await knocking == BANNED
        assert "one" not in page.broker.engine.sessions


async def test_who_waits_for_a_place_when_a_ban_begins_does_not_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that chase each other wait before one takes the place of the other."""
    async with port() as page:

        def taken_over(self: Guard, client_id: str, old: str, new: str, now: float) -> float:
            self.bans.add(Ban("", client_id, "", now + 60, "test"), now)
            return 0.001

        monkeypatch.setattr(Guard, "taken_over", taken_over)
        async with inside(number_of(page), who(client_id="one")):
            assert await knocks(number_of(page), client_id="one") == BANNED
            assert page.broker.engine.stats.clients_connected == 1


async def test_who_is_sent_away_cannot_come_back_by_taking_over(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path), web=ADMIN) as page:
        async with inside(number_of(page), who("bob", "bob's", client_id="one")) as client:
            assert (await page.ask("DELETE", "/api/v1/clients/one?ban=60", user="ann")).status == 204
            assert answered(await client.receive()) == SENT_AWAY
        assert await knocks(number_of(page), "bob", "bob's", client_id="one") == BANNED
        assert await knocks(number_of(page), "ann", "ann's", client_id="one") == BANNED, "whoever it is"
        assert await knocks(number_of(page), "bob", "bob's", client_id="two") == 0


async def test_who_gets_an_id_of_ours_is_banned_by_it_as_long_as_it_has_it(tmp_path: Path) -> None:
    async with port() as page, inside(number_of(page)) as client:
        assert client.connack.properties is not None
        given = client.connack.properties.assigned_client_identifier
        await ban(page, by="", client_id=given, seconds=60)
        assert answered(await client.receive()) == SENT_AWAY
        assert await knocks(number_of(page)) == 0


# By the HTTP port


async def test_a_banned_address_is_not_answered_at_all() -> None:
    async with port() as page:
        now = page.broker.now()
        page.broker.guard.bans.add(Ban("127.0.0.1", "", "", now + 60, "test"), now)
        async with peer(number_of_page(page)) as stranger:
            stranger.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert await stranger.end() == b""
        assert page.broker.guard.counts.refused_banned == 1


async def test_a_banned_user_neither_logs_in_nor_stays(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path), web=ADMIN) as page:
        bob = {"user": "bob", "password": USERS["bob"]}
        assert (await page.ask("POST", "/api/v1/session", json=bob)).status == 204
        found = await ban(page, user="bob", address="127.0.0.1", seconds=60)
        assert (await page.get("/api/v1/me")).status == 401
        assert (await page.get("/api/v1/me", user="bob")).status == 403
        assert (await page.ask("POST", "/api/v1/session", json=bob)).status == 403
        await page.ask("DELETE", f"/api/v1/bans/{found}", user="ann")
        assert (await page.ask("POST", "/api/v1/session", json=bob)).status == 204


async def test_a_ban_is_about_all_that_it_names(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path), web=ADMIN) as page:
        await ban(page, user="bob", client_id="one", seconds=60)
        await ban(page, user="bob", address="192.0.2.1", seconds=60)
        assert await knocks(number_of(page), "bob", "bob's", client_id="one") == BANNED
        assert await knocks(number_of(page), "bob", "bob's", client_id="two") == 0
        assert await knocks(number_of(page), "ann", "ann's", client_id="one") == 0
        assert (await page.get("/api/v1/me", user="bob")).status == 200


async def test_a_ban_ends_by_itself(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path), web=ADMIN) as page:
        now = page.broker.now()
        page.broker.guard.bans.add(Ban("", "", "bob", now, "test"), now - 1.0)
        assert (await page.api("/bans", user="ann"))["items"] == []
        assert await knocks(number_of(page), "bob", "bob's") == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1"])
async def test_nobody_bans_itself(tmp_path: Path, address: str) -> None:
    async with port(access=with_users(tmp_path), web=ADMIN) as page:
        for body in ({"address": address}, {"user": "ann"}, {"address": address, "user": "ann"}):
            answer = await page.ask("POST", "/api/v1/bans", json=body, user="ann")
            assert answer.status == 409
        assert page.broker.guard.counts.bans == 0
        await ban(page, address=address, user="bob")


async def test_what_a_ban_says_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with port() as page:
        names = {"client_id": "a\nwarning forged", "user": "b\u202e", "why": 'c" reason=d\r\n'}
        await ban(page, by="", **names)
        [line] = [each.getMessage() for each in caplog.records if each.getMessage().startswith("banned")]
        assert line.isprintable()
        assert '"a\\nwarning forged"' in line


# Which address is which


def bans() -> Bans:
    return Guard(Protection()).bans


@pytest.mark.parametrize(
    ("banned", "host", "is_meant"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.10", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:c000:201", "192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8:0:0:1::", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("2001:db8::1", "", False),
    ],
)
def test_an_address_stands_for_what_one_subscriber_has(banned: str, host: str, is_meant: bool) -> None:
    found = bans()
    assert found.add(Ban(banned, "", "", 100.0, "test"), 0.0)
    assert (found.about(host, "", "", 1.0) is not None) is is_meant
    assert found.about(host, "", "", 100.0) is None, "it is over"


def test_a_ban_that_is_lifted_leaves_the_others() -> None:
    found = bans()
    several = [Ban("192.0.2.1", "", user, 100.0, "test") for user in ("", "bob", "eve")]
    for each in several:
        found.add(each, 0.0)
    assert found.remove(several[0].id, 1.0)
    assert found.about("192.0.2.1", "", "", 1.0) is None
    assert found.about("192.0.2.1", "", "bob", 1.0) is several[1]
    assert not found.remove(several[0].id, 1.0)
    assert not found.remove(several[1].id, 200.0), "it was over before"


# So many


def test_failed_logins_leave_room_for_what_somebody_says() -> None:
    guard = Guard(Protection(ban_after=1, ban_seconds=60.0))
    for number in range(MOST + 10):
        guard.failed(f"2001:db8:{number // 65_536:x}:{number % 65_536:x}::1", "x", 1.0)
    assert len(list(guard.bans.all(1.0))) <= MOST
    said = Ban("192.0.2.1", "", "", 100.0, "test")
    assert guard.bans.add(said, 1.0)
    assert guard.bans.about("192.0.2.1", "", "", 1.0) is said
    assert said in list(guard.bans.all(1.0))
    assert len(list(guard.bans.all(1.0))) <= MOST
    assert guard.banned_until("2001:db8::1", "x", 1.0) > 1.0, "those that are not listed any more hold"


def test_what_somebody_said_pushes_out_nothing_that_somebody_said() -> None:
    found = bans()
    for number in range(MOST):
        assert found.add(Ban("", f"client {number}", "", 100.0, "test"), 1.0)
    assert not found.add(Ban("", "one more", "", 100.0, "test"), 1.0)
    assert found.about("", "client 0", "", 1.0) is not None
    assert found.add(Ban("", "one more", "", 200.0, "test"), 100.0), "the others are over"


def test_a_failed_login_costs_no_walk_through_all_bans() -> None:
    """Each of many addresses begins bans of its own: what one costs does not grow with their number."""
    looked = 0

    class Spy(Ban):
        def __getattribute__(self, name: str) -> object:
            nonlocal looked
            looked += 1
            return super().__getattribute__(name)

    found = bans()

    def begin(address: str) -> None:
        found.replace(Spy(address, "", "x", 100.0, "test", lambda: None))

    for number in range(1_000):
        begin(f"10.0.{number // 256}.{number % 256}")
    looked = 0
    begin("192.0.2.1")
    begin("192.0.2.1")
    assert looked <= 50


def test_banned_again_it_is_listed_once() -> None:
    guard = Guard(Protection(ban_after=1, ban_seconds=10.0))
    for now in (0.0, 20.0, 60.0):
        guard.failed("192.0.2.1", "bob", now)
    assert [each.user for each in guard.bans.all(61.0)] == ["bob"]


def test_a_network_is_listed_once_whatever_addresses_it_has() -> None:
    guard = Guard(Protection(ban_after=1, ban_seconds=10.0))
    for number, now in enumerate((0.0, 20.0, 60.0)):
        guard.failed(f"2001:db8::{number}", "bob", now)
    [listed] = guard.bans.all(61.0)
    assert guard.bans.remove(listed.id, 61.0)
    assert guard.banned_until("2001:db8::7", "bob", 61.0) == 0.0


async def test_bans_of_users_and_of_waiting_clients_are_told(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path), web=ADMIN) as page:
        await ban(page, user="bob", seconds=60, why="too loud")
        await knocks(number_of(page), "bob", "bob's", client_id="one")
        await until(lambda: any(each.kind == "refused" for each in page.broker.events.all()))
        refused = [each for each in page.broker.events.all() if each.kind == "refused"]
        assert [(each.client_id, each.user) for each in refused] == [("one", "bob")]
        assert "banned" in refused[0].why
