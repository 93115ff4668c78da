"""What strangers and careless clients send to the HTTP port: each gets an answer, and nobody else notices."""

import asyncio
import gc
import gzip
import logging
import socket
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
from msgspec import structs

import telex
from telex.engine.message import Message
from telex.server.access.ways import Admitted, Applicant
from telex.server.config import Access, Protection, Rule, Web
from telex.server.web.logins import TOKEN_HEADER
from tests.shell.knocking import Verdict, porter
from tests.web.peers import SECONDS, Peer, peer, until
from tests.web.port import USERS, Port, port, with_users

ADMIN = Web(administrators=["ann"])
ANN = {"user": "ann", "password": USERS["ann"]}

HEAD = b"Host: localhost\r\n"
JSON = b"Content-Type: application/json\r\n"


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Nothing that a stranger sends is a fault of ours."""
    caplog.set_level(logging.INFO, logger="telex")
    yield caplog
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR] == []


def number_of(page: Port) -> int:
    return int(page.url.rpartition(":")[2])


@asynccontextmanager
async def wire(page: Port) -> AsyncIterator[Peer]:
    async with peer(number_of(page)) as each:
        yield each


async def said(page: Port, data: bytes) -> bytes:
    """All that comes back, until the connection is closed."""
    async with wire(page) as each:
        each.send(data)
        return await each.end()


def status_of(answer: bytes) -> int:
    version, status, *_ = answer.split(b" ", 2)
    assert version in (b"HTTP/0.9", b"HTTP/1.0", b"HTTP/1.1"), answer[:100]
    return int(status)


def get(path: bytes, *headers: bytes) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\n" + HEAD + b"".join(each + b"\r\n" for each in headers) + b"\r\n"


def post(path: bytes, body: bytes, *headers: bytes) -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    more = b"".join(each + b"\r\n" for each in headers)
    return b"POST " + path + b" HTTP/1.1\r\n" + HEAD + JSON + length + more + b"\r\n" + body


# First lines and headers

STRANGE: dict[str, bytes] = {
    "no UTF-8 with percent signs": get(b"/api/v1/clients/%FF%FE"),
    "a surrogate": get(b"/api/v1/retained/%ED%A0%80"),
    "a null character": get(b"/api/v1/retained/a%00b"),
    "a null character in an id": get(b"/api/v1/sessions/a%00b"),
    "a null character in a page": get(b"/a%00b"),
    "half a percent sign": get(b"/api/v1/retained/a%2"),
    "a line's end in the path": get(b"/api/v1/clients/a%0D%0ASet-Cookie:%20x=y"),
    "out of the page": get(b"/../../etc/passwd"),
    "out of the page in other words": get(b"/..%2f..%2fetc%2fpasswd"),
    "out of the page by its root": get(b"//etc/passwd"),
    "no UTF-8 in the query with percent signs": get(b"/api/v1/retained?filter=%FF&after=%FF"),
    "a surrogate in the query": get(b"/api/v1/subscriptions?client_id=%ED%A0%80"),
    "a null character in the query": get(b"/api/v1/subscriptions?client_id=%00&filter=%00"),
    "an age with a line's end": get(b"/api/v1/retained?older_than=5s%0A"),
    "an age in other digits": get(b"/api/v1/retained?older_than=%D9%A3s"),
    "a limit in other digits": get(b"/api/v1/retained?limit=%D9%A3"),
    "a limit with a point": get(b"/api/v1/clients?limit=1e1"),
    "an endless after": get(b"/api/v1/clients?after=" + b"A" * 8_000),
    "a million questions": get(b"/api/v1/clients?" + b"&".join(b"a=%d" % number for number in range(20_000))),
    "a token that is no text": post(b"/api/v1/publish", b"{}", b"X-Telex-Token: \xff"),
    "a name that is no text": get(b"/api/v1/me", b"Authorization: Basic \xff\xfe"),
    "a name in Base64 that is no text": get(b"/api/v1/me", b"Authorization: Basic //79"),
    "a cookie that is no text": get(b"/api/v1/me", b"Cookie: telex=\xff; \xff=\xff; ;;=;="),
    "an origin that is no text": get(b"/api/v1/me", b"Origin: http://\xff"),
    "a format that nobody knows": get(b"/metrics", b"Accept: application/openmetrics-text; version=abc"),
    "another format that nobody knows": get(b"/metrics", b"Accept: text/plain;version=x;escaping=allow-utf-8"),
    "a format that is no text": get(b"/metrics", b"Accept: \xff;q=\xff"),
    "a type that is no text": b"POST /api/v1/publish HTTP/1.1\r\n" + HEAD + b"Content-Type: \xff\r\n\r\n",
    "chunks that are none": b"POST /api/v1/publish HTTP/1.1\r\n"
    + HEAD
    + JSON
    + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n",
    "an expectation": b"POST /api/v1/publish HTTP/1.1\r\n" + HEAD + JSON + b"Expect: much\r\nContent-Length: 0\r\n\r\n",
    "no host in an old version": b"GET /api/v1/me HTTP/1.0\r\n\r\n",
    "a host that is no text": b"GET /api/v1/me HTTP/1.1\r\nHost: \xff\r\n\r\n",
    "a whole address": b"GET http://evil.example.org/api/v1/me HTTP/1.1\r\nHost: evil.example.org\r\n\r\n",
    "a proxy's method": b"CONNECT localhost:80 HTTP/1.1\r\n" + HEAD + b"\r\n",
    "about the server": b"OPTIONS * HTTP/1.1\r\n" + HEAD + b"\r\n",
    "a method that tells it all": b"TRACE /api/v1/me HTTP/1.1\r\n" + HEAD + b"\r\n",
    "a method of WebDAV": b"PROPFIND / HTTP/1.1\r\n" + HEAD + b"\r\n",
    "no version": b"GET /\r\n\r\n",
    "a WebSocket with a body": get(b"/mqtt", b"Upgrade: websocket", b"Connection: Upgrade", b"Content-Length: 1")
    + b"x",
    "a WebSocket that is none": get(
        b"/mqtt", b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Key: \xff"
    ),
}
"""Requests, of a kind."""

NO_HTTP: dict[str, bytes] = {
    "no UTF-8 in the path": get(b"/api/v1/retained/\xff"),
    "no UTF-8 in an id": get(b"/api/v1/clients/\xff\xfe"),
    "no UTF-8 in a page": get(b"/\xff"),
    "no UTF-8 elsewhere": get(b"/api/v1/\xff"),
    "no UTF-8 in the query": get(b"/api/v1/retained?filter=\xff"),
    "no such length": b"POST /api/v1/publish HTTP/1.1\r\n" + HEAD + JSON + b"Content-Length: x\r\n\r\n",
    "less than nothing": b"POST /api/v1/publish HTTP/1.1\r\n" + HEAD + JSON + b"Content-Length: -1\r\n\r\n",
    "two lengths": b"POST /api/v1/session HTTP/1.1\r\n" + HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    "a length and chunks": b"POST /api/v1/session HTTP/1.1\r\n"
    + HEAD
    + JSON
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "no host": b"GET /api/v1/me HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /api/v1/me HTTP/1.1\r\nHost: evil.example.org\r\nHost: localhost\r\n\r\n",
    "a method in small letters": b"get / HTTP/1.1\r\n" + HEAD + b"\r\n",
    "no method": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a hello of TLS\r\n\r\n",
    "another version": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "too long a line": get(b"/" + b"a" * 300_000),
    "too long a header": get(b"/", b"X: " + b"a" * 100_000),
    "too many headers": get(b"/", *(b"X-%d: y" % number for number in range(5_000))),
    "a header on two lines": get(b"/", b"X: y\r\n z"),
    "MQTT": b"\x10\x0d\x00\x04MQTT\x05\x02\x00<\x00\x00\x00",
}
"""What aiohttp's parser refuses: it has no request, and what it says is its own."""


@pytest.mark.parametrize("data", STRANGE.values(), ids=STRANGE)
async def test_whatever_is_asked_is_answered_and_is_no_fault_of_ours(
    quiet: pytest.LogCaptureFixture, data: bytes
) -> None:
    async with port() as page:
        answer = await said(page, data)
        assert status_of(answer) < 500, answer[:300]
        for word in (b"aiohttp", b"python", b"traceback"):
            assert word not in answer.lower(), "it tells strangers what it is made of"
        for path in ("/events", "/log", "/clients", "/broker"):
            await page.api(path)


@pytest.mark.parametrize("data", NO_HTTP.values(), ids=NO_HTTP)
async def test_nor_is_what_is_no_http(quiet: pytest.LogCaptureFixture, data: bytes) -> None:
    async with port() as page:
        assert status_of(await said(page, data)) == 400
        assert page.broker.log_tail.lines(logging.WARNING) == []


@pytest.mark.parametrize("data", STRANGE.values(), ids=STRANGE)
async def test_nor_is_what_a_user_asks(tmp_path: Path, quiet: pytest.LogCaptureFixture, data: bytes) -> None:
    """The same by somebody who has come in and is no administrator: what is refused is written down."""
    first, _, rest = data.partition(b"\r\n")
    mine = first + b"\r\nAuthorization: Basic Ym9iOmJvYidz\r\n" + rest if b"Authorization" not in data else data
    rules = [Rule(allow=["publish", "subscribe"], topics=["bob/#"])]
    async with port(access=with_users(tmp_path, rules=rules), web=ADMIN) as page:
        answer = await said(page, mine)
        assert status_of(answer) < 500, answer[:300]
        for path in ("/events", "/log"):
            await page.api(path, user="ann")


@pytest.mark.parametrize("token", [b"\xff", b"\xc3\xa9", b"a\xff" * 1_000])
async def test_a_token_that_is_no_text_is_the_wrong_one(
    tmp_path: Path, quiet: pytest.LogCaptureFixture, token: bytes
) -> None:
    async with port(access=with_users(tmp_path)) as page:
        assert (await page.ask("POST", "/api/v1/session", json=ANN)).status == 204
        [cookie] = [f"{each.key}={each.value}".encode() for each in page.session.cookie_jar]
        asked = post(b"/api/v1/publish", b'{"topic": "a"}', b"Cookie: " + cookie, TOKEN_HEADER.encode() + b": " + token)
        assert status_of(await said(page, asked)) == 403


async def test_what_is_refused_can_be_read_of(tmp_path: Path, quiet: pytest.LogCaptureFixture) -> None:
    """A path is a stranger's word: it ends no line of the log, and no list of events."""
    async with port(access=with_users(tmp_path), web=ADMIN) as page:
        bob = b"Authorization: Basic Ym9iOmJvYidz"
        for path in (b"/api/v1/clients/%FF", b"/api/v1/clients/a%0Awarning%20forged", b"/api/v1/clients/%E2%80%AEx"):
            assert status_of(await said(page, get(path, bob))) == 403
        events = await page.api("/events?kind=denied", user="ann")
        assert len(events["items"]) == 3
        lines = [each.getMessage() for each in quiet.records if "administer" in each.getMessage()]
        assert lines
        for line in lines:
            assert "\n" not in line
            assert "\u202e" not in line


async def test_slashes_in_a_topic_are_as_they_are_or_escaped() -> None:
    async with port() as page:
        engine = page.broker.engine
        for topic in (
            "a/b",
            "/a",
            "a/",
            "a//b",
            "a b",
            "ä",
            "a?b",
            "a;b",
            "a%2Fb",
            "a\nb",
            ".",
            "../a",
            "me",
            "x" * 65_535,
        ):
            engine.publish(Message(topic, topic.encode()[:9], 0, retain=True), None, page.broker.now())
        for topic, path in (
            ("a/b", b"a/b"),
            ("a/b", b"a%2Fb"),
            ("a/b", b"a%2fb"),
            ("/a", b"/a"),
            ("/a", b"%2Fa"),
            ("a/", b"a/"),
            ("a//b", b"a//b"),
            ("a b", b"a%20b"),
            ("ä", b"%C3%A4"),
            ("a\nb", b"a%0Ab"),
            ("a?b", b"a%3Fb"),
            ("a;b", b"a;b"),
            ("a%2Fb", b"a%252Fb"),
            (".", b"%2E"),
            ("../a", b"%2E%2E%2Fa"),
            ("me", b"me"),
            ("x" * 65_535, b"%78" * 65_535),
        ):
            answer = await said(page, get(b"/api/v1/retained/" + path))
            assert status_of(answer) == 200, (topic[:20], answer[:300])
            assert answer.partition(b"\r\n\r\n")[2].startswith(b'{"topic":' + msgspec.json.encode(topic))


async def test_head_is_get_without_a_body(tmp_path: Path) -> None:
    async with port() as page:
        for path in ("/", "/healthz", "/readyz", "/metrics", "/nothing", "/mqtt", "/api/v1/me", "/api/v1/openapi.json"):
            asked, told = await page.get(path), await page.ask("HEAD", path)
            assert (told.status, told.body, told.content_type) == (asked.status, b"", asked.content_type), path
        for path in ("/api/v1/session", "/api/v1/publish"):
            assert (await page.ask("HEAD", path)).status == 405


async def test_a_connection_is_for_one_request(quiet: pytest.LogCaptureFixture) -> None:
    async with port() as page:
        publish = post(b"/api/v1/publish", b'{"topic": "a", "payload": "x", "retain": true}')
        answer = await said(page, get(b"/healthz", b"Connection: keep-alive") + publish)
        assert answer.count(b"HTTP/1.1 ") == 1
        assert b"connection: close" in answer.lower()
        assert page.broker.engine.retained.count == 0


# Bodies


async def test_who_asks_whether_to_go_on_is_told(tmp_path: Path) -> None:
    """As curl does before a large body (RFC 9110, section 10.1.1); who may not bring one is told that at once."""
    async with port(access=with_users(tmp_path)) as page:
        body = b'{"topic": "a", "payload": "x"}'
        asked = post(b"/api/v1/publish", body, b"Expect: 100-continue", b"Authorization: Basic Ym9iOmJvYidz")
        async with wire(page) as each:
            each.send(asked.removesuffix(body))
            assert (await each.head()).startswith(b"HTTP/1.1 100 ")
            each.send(body)
            assert status_of(await each.end()) == 200
        stranger = post(b"/api/v1/publish", body, b"Expect: 100-continue").removesuffix(body)
        assert status_of(await said(page, stranger)) == 401


async def test_who_goes_away_in_the_midst_of_a_body_is_no_line_of_the_log(
    tmp_path: Path, quiet: pytest.LogCaptureFixture
) -> None:
    async with port(access=with_users(tmp_path)) as page:
        entrance = page.broker._reception.http_port
        assert entrance is not None
        web = entrance.web
        assert web is not None
        for asked in (
            post(b"/api/v1/session", b"{" + b" " * 1_000)[:-500],
            post(b"/api/v1/publish", b"{" + b" " * 1_000, b"Authorization: Basic Ym9iOmJvYidz")[:-500],
        ):
            async with wire(page) as each:
                each.send(asked)
                await until(lambda: web.connection_count == 1)
            await until(lambda: web.connection_count == 0)
        assert (await page.get("/healthz")).status == 200


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "GZIP"])
async def test_bodies_are_what_they_are(tmp_path: Path, coding: str, quiet: pytest.LogCaptureFixture) -> None:
    """What a stranger packs into a few bytes is not blown up to many."""
    body = b'{"user": "ann", "password": "ann\'s"' + b" " * 1_000_000 + b"}"
    packed = {"gzip": gzip.compress(body), "deflate": zlib.compress(body)}.get(coding.lower(), body[:1_000])
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    async with port(access=with_users(tmp_path)) as page:
        for path in ("/api/v1/session", "/api/v1/publish"):
            answer = await page.ask("POST", path, data=packed, headers=headers, user="ann")
            assert (answer.status, answer.content_type) == (415, "application/problem+json"), answer.text
            assert "Content-Encoding" in answer.json["detail"]
        same = {**headers, "Content-Encoding": "identity"}
        assert (await page.ask("POST", "/api/v1/session", json=ANN, headers=same)).status == 204


@pytest.mark.parametrize(("count", "size", "status"), [(20, 2_000, 200), (400, 2_000, 413), (1_001, 2_000_000, 400)])
async def test_a_message_is_no_larger_than_mqtt_takes_it(count: int, size: int, status: int) -> None:
    """A pair of one character each takes seven bytes on the wire, and as much time as a long one."""
    async with port(limits={"maximum_packet_size": size}) as page:
        body = {"topic": "a", "properties": {"user_properties": [["a", "b"]] * count}}
        assert (await page.ask("POST", "/api/v1/publish", json=body)).status == status


async def test_a_stranger_has_no_longer_than_elsewhere(tmp_path: Path) -> None:
    protection = Protection(tls_handshake_timeout=0.2)
    async with port(access=with_users(tmp_path), protection=protection) as page, wire(page) as each:
        each.send(post(b"/api/v1/session", b"{" + b" " * 100)[:-50])
        await each.end()  # it is ended within ten seconds
        async with wire(page) as other:
            other.send(post(b"/api/v1/publish", b"{" + b" " * 100)[:-50])
            assert status_of(await other.end()) == 401, "nobody waits for the body of who may not bring one"


async def test_who_hangs_up_leaves_nothing_behind() -> None:
    asked: list[str] = []
    given_up: list[str] = []

    async def ask(applicant: Applicant) -> Verdict:
        asked.append(applicant.user_name or "")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            given_up.append(applicant.user_name or "")
            raise
        return None

    async with port(access=Access(plugins=[porter(ask)])) as page:
        async with wire(page) as each:
            each.send(post(b"/api/v1/session", b'{"user": "eve", "password": "x"}'))
            await until(lambda: asked == ["eve"])
        await until(lambda: given_up == ["eve"])


# Meanwhile


async def test_a_reload_changes_nothing_for_who_is_half_way_in(tmp_path: Path) -> None:
    asked = asyncio.Event()
    answered = asyncio.Event()

    async def ask(applicant: Applicant) -> Verdict:
        asked.set()
        await answered.wait()
        return Admitted(user=applicant.user_name or "")

    async with port(access=Access(plugins=[porter(ask)])) as page:
        logging_in = asyncio.create_task(
            page.ask("POST", "/api/v1/session", json={"user": "eve", "password": "x"}, headers={})
        )
        await asked.wait()
        stricter = structs.replace(page.broker.config, access=with_users(tmp_path))
        await page.broker.reload(stricter)
        answered.set()
        answer = await logging_in
        assert answer.status in (204, 401, 403)
        assert (await page.get("/api/v1/me")).status == 401, "whom nobody knows any more is not in"


async def test_a_stop_waits_for_nobody(quiet: pytest.LogCaptureFixture) -> None:
    asked = asyncio.Event()

    async def ask(applicant: Applicant) -> Verdict:
        asked.set()
        await asyncio.Event().wait()
        return None

    async with port(access=Access(plugins=[porter(ask)])) as page, wire(page) as half, wire(page) as whole:
        half.send(b"POST /api/v1/session HTTP/1.1\r\n")
        whole.send(post(b"/api/v1/session", b'{"user": "eve", "password": "x"}'))
        await asked.wait()
        async with asyncio.timeout(SECONDS):
            await page.broker.stop()
        for each in (half, whole):
            answer = await each.end()
            assert b"204" not in answer[:20]


@pytest.mark.parametrize("turns", range(6))
async def test_who_comes_just_when_the_door_closes_is_not_left_waiting(turns: int) -> None:
    """However far it has come: into the kernel, out of it, or on the way to be read."""
    async with port() as page:
        entrance = page.broker._reception.http_port
        assert entrance is not None
        with socket.create_connection(("127.0.0.1", number_of(page))) as stranger:
            for _ in range(turns):
                await asyncio.sleep(0)
            entrance.door.close()
            stranger.setblocking(False)
            await page.broker.stop()
            async with asyncio.timeout(SECONDS):
                with suppress(ConnectionError):
                    assert await asyncio.get_running_loop().sock_recv(stranger, 1) == b""
        gc.collect()  # what nobody has closed would say so


async def test_while_nothing_can_be_stored_what_has_to_be_is_refused(tmp_path: Path) -> None:
    async with port(data=str(tmp_path)) as page:
        engine = page.broker.engine
        engine.publish(Message("a", b"x", 0, retain=True), None, page.broker.now())
        assert await page.broker.stored()
        engine.journal.is_failing = True
        for body, status in (
            ({"topic": "b"}, 200),
            ({"topic": "b", "qos": 1}, 503),
            ({"topic": "b", "retain": True, "payload": "x"}, 503),
        ):
            assert (await page.ask("POST", "/api/v1/publish", json=body)).status == status, body
        assert (await page.ask("DELETE", "/api/v1/retained?filter=%23")).status == 503
        dry = await page.ask("DELETE", "/api/v1/retained?filter=%23&dry_run=true")
        assert dry.json == {"matched": 1, "removed": 0}
        assert (await page.api("/broker"))["store"] == "failing"
        assert (await page.get("/metrics")).text.count("telex_store_failing 1.0") == 1
        engine.journal.is_failing = False
        assert [message.topic for message in engine.retained.all()] == ["a"]


# By IPv6


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as each:
            each.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not _has_ipv6(), reason="no IPv6 here")
async def test_it_is_reached_by_ipv6(tmp_path: Path) -> None:
    async with port(access=with_users(tmp_path), web=Web(host="::1", administrators=["ann"])) as page:
        assert page.url == f"http://[::1]:{number_of(page)}"
        headers = {"Origin": page.url}
        assert (await page.get("/api/v1/me", headers=headers, user="ann")).status == 200
        assert (await page.ask("POST", "/api/v1/session", json=ANN, headers=headers)).status == 204
        [cookie] = page.session.cookie_jar
        assert cookie.key == f"telex_{number_of(page)}"
        said = await page.api("/broker", user="ann")
        assert page.url in [each["address"] for each in said["listeners"]]
        policy = (await page.get("/")).headers["Content-Security-Policy"]
        assert f"ws://[::1]:{number_of(page)}" in policy
        assert (await page.ask("POST", "/api/v1/bans", json={"address": "::1"}, user="ann")).status == 409
        address = f"ws://[::1]:{number_of(page)}/mqtt"
        async with telex.Client(address, user="bob", password="bob's", client_id="one"):
            told = await page.api(f"/clients/{quote('one')}", user="ann")
            assert told["address"].startswith("[::1]:")
