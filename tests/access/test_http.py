"""Logging in by asking a web service: real connections, a service that behaves as badly as can be."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from telex.server.access import http as module
from telex.server.access.http import HttpWay, Unanswered, _answer_of
from telex.server.access.ways import Admitted, Applicant, Denied
from telex.server.config import ConfigError, Http, Rule
from tests.access.services import Clock, WebService, floods, hangs_up, never, says, trickles

Applying = Callable[..., Awaitable[Admitted | Denied | None]]


class Stage:
    """A service, the way that asks it, and a clock."""

    def __init__(self, service: WebService, way: HttpWay, clock: Clock) -> None:
        self.service = service
        self.way = way
        self.clock = clock

    async def ask(self, user: str | None = "ann", password: bytes | None = b"secret", **more: str) -> object:
        return await self.way.check(applicant(user, password, **more))


def applicant(user: str | None = "ann", password: bytes | None = b"secret", **more: str) -> Applicant:
    said: dict[str, str] = {"client_id": "c", "host": "192.0.2.7", "address": "192.0.2.7:1234", "listener": "tcp"}
    return Applicant(user_name=user, password=password, **(said | more))


def play(story: Callable[[Stage], Awaitable[None]], **settings: object) -> None:
    """Run a story with a service that is there, and see that nothing is left of it."""

    async def run() -> None:
        service, clock = WebService(), Clock()
        async with service.running():
            way = HttpWay(msgspec.convert({"url": service.url, **settings}, Http), clock=clock)
            await way.open()
            try:
                await story(Stage(service, way, clock))
            finally:
                await way.close()
            assert way._flights == {}

    asyncio.run(run())


def test_a_service_is_asked_who_it_is() -> None:
    async def story(stage: Stage) -> None:
        stage.service.answer = says(200, {"result": "allow"})
        assert await stage.ask() == Admitted(user="ann")
        [body] = stage.service.bodies
        assert json.loads(body) == {
            "user": "ann",
            "password": "secret",
            "client_id": "c",
            "address": "192.0.2.7",
            "listener": "tcp",
            "certificate_user": None,
        }
        [request] = stage.service.asked
        assert request.method == "POST"
        assert request.content_type == "application/json"
        assert request.headers["X-Key"] == "k"

    play(story, headers={"X-Key": "k"})


def test_what_a_client_has_not_said_is_null() -> None:
    async def story(stage: Stage) -> None:
        stage.service.answer = says(200, {"result": "allow"})
        assert await stage.ask(None, None, host="", certificate_user="") == Admitted(user="")
        said = json.loads(stage.service.bodies[0])
        assert [said[name] for name in ("user", "password", "address", "certificate_user")] == [None] * 4

    play(story)


def test_a_password_may_be_any_bytes() -> None:
    async def story(stage: Stage) -> None:
        await stage.ask("ann", b"\xff\x00")
        said = json.loads(stage.service.bodies[0])
        assert said["password"] is None
        assert base64.b64decode(said["password_base64"]) == b"\xff\x00"

    play(story)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"result": "allow", "user": "Ann"}, Admitted(user="Ann")),
        (200, {"result": "allow", "user": ""}, Admitted(user="")),
        (200, {"result": "allow", "groups": ["a", "b"]}, Admitted(user="ann", groups=("a", "b"))),
        (200, {"result": "allow", "rules": []}, Admitted(user="ann", rules=())),
        (
            200,
            {"result": "allow", "rules": [{"allow": ["publish"], "topics": ["a/{user}/#"], "max_qos": 1}]},
            Admitted(user="ann", rules=(Rule(allow=["publish"], topics=["a/{user}/#"], max_qos=1),)),
        ),
        (200, {"result": "allow", "expires_in": 60}, Admitted(user="ann", expires_at=1_000_060.0)),
        (200, {"result": "deny"}, Denied(reason="URL said no")),
        (200, {"result": "deny", "reason": "no\nway"}, Denied(reason="URL said no: 'no\\nway'")),
        (200, {"result": "ignore"}, None),
        (204, b"", None),
        (401, b"<html>", Denied(reason="URL said no")),
        (403, {"result": "allow"}, Denied(reason="URL said no")),
    ],
)
def test_answers(status: int, body: object, expected: Admitted | Denied | None) -> None:
    async def story(stage: Stage) -> None:
        stage.service.answer = says(status, body)
        wanted = expected
        if isinstance(wanted, Denied):
            wanted = Denied(reason=wanted.reason.replace("URL", stage.service.url))
        assert await stage.ask() == wanted

    play(story)


def test_a_name_in_a_certificate_goes_before_that_of_connect() -> None:
    async def story(stage: Stage) -> None:
        stage.service.answer = says(200, {"result": "allow"})
        assert await stage.ask("eve", certificate_user="ann") == Admitted(user="ann")

    play(story)


DOWN = {
    "500": says(500, {"result": "allow"}),
    "503": says(503),
    "404": says(404, {"result": "allow"}),
    "429": says(429),
    "201": says(201, {"result": "allow"}),
    "redirect": says(302, {"result": "allow"}, Location="/elsewhere"),
    "redirect with the question": says(307, b"", Location="/elsewhere"),
    "no UTF-8": says(200, b'{"result": "allow", "user": "\xff"}'),
    "empty": says(200),
    "html": says(200, b"<html>allow</html>"),
    "no object": says(200, ["allow"]),
    "another result": says(200, {"result": "yes"}),
    "no result": says(200, {}),
    "a slip": says(200, {"result": "allow", "rule": []}),
    "wrong rules": says(200, {"result": "allow", "rules": [{"allow": ["fly"]}]}),
    "a wrong topic": says(200, {"result": "allow", "rules": [{"allow": ["publish"], "topics": ["a/#/b"]}]}),
    "wrong groups": says(200, {"result": "allow", "groups": "staff"}),
    "a wrong user": says(200, {"result": "allow", "user": "a\0b"}),
    "expired already": says(200, {"result": "allow", "expires_in": 0}),
    "expires never": says(200, b'{"result": "allow", "expires_in": 1e999}'),
    "deep": says(200, b'{"result": ' + b"[" * 200_000),
    "hangs up": hangs_up,
    "floods": floods,
    "never": never,
    "trickles": trickles,
}


@pytest.mark.parametrize("how", DOWN)
@pytest.mark.parametrize("when_down", ["refuse", "pass"])
def test_a_service_that_is_down_admits_nobody(how: str, when_down: str) -> None:
    async def story(stage: Stage) -> None:
        stage.service.answer = DOWN[how]
        answer = await stage.ask()
        if when_down == "pass":
            assert answer is None
        else:
            assert isinstance(answer, Denied)
            assert answer.reason.startswith(f"{stage.service.url} is down: ")
            assert not answer.is_guess
        assert all(request.path == "/door" for request in stage.service.asked)  # nobody was sent elsewhere
        stage.service.answer = says(200, {"result": "allow"})
        assert await stage.ask() == Admitted(user="ann")  # and it was not remembered

    play(story, when_down=when_down, timeout=0.2 if how in ("never", "trickles") else 5.0)


def test_nobody_at_the_address_is_down_too() -> None:
    async def story(stage: Stage) -> None:
        way = HttpWay(Http(url="http://127.0.0.1:1/"))
        await way.open()
        answer = await way.check(applicant())
        assert isinstance(answer, Denied)
        assert not answer.is_guess
        await way.close()

    play(story)


def test_it_is_logged_once_when_it_goes_down_and_once_when_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    async def story(stage: Stage) -> None:
        for answer in (says(500), says(502), hangs_up, says(200, {"result": "deny"}), says(200, {"result": "deny"})):
            stage.service.answer = answer
            await stage.ask()
        assert [record.getMessage() for record in caplog.records] == [
            f"access service down url={stage.service.url} reason='status 500': nobody is admitted by it",
            f"access service back url={stage.service.url}",
        ]

    play(story, cache=0)


def test_a_service_that_stops_and_starts_again_is_found_again() -> None:
    async def run() -> None:
        service = WebService()
        service.answer = says(200, {"result": "allow"})
        async with service.running():
            way = HttpWay(Http(url=service.url, cache=0.0))
            await way.open()
            assert await way.check(applicant()) == Admitted(user="ann")
        assert isinstance(await way.check(applicant()), Denied)
        async with service.running(service.port):
            assert await way.check(applicant()) == Admitted(user="ann")
        await way.close()

    asyncio.run(run())


def test_a_connection_that_was_just_closed_is_not_a_service_that_is_down() -> None:
    questions: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one question, and close when the second one has come."""
        for number in range(2):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
            questions.append(number)
            if number == 0:
                writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{"result": "allow"}')
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        way = HttpWay(Http(url=f"http://127.0.0.1:{port}/", cache=0.0))
        await way.open()
        assert await way.check(applicant()) == Admitted(user="ann")
        assert await way.check(applicant()) == Admitted(user="ann")
        assert questions == [0, 1, 0]
        assert not way._is_down
        await way.close()
        server.close()
        await asyncio.sleep(0)

    asyncio.run(run())


@pytest.mark.parametrize("result", ["allow", "deny"])
def test_an_answer_is_remembered_for_the_same_question(result: str) -> None:
    async def story(stage: Stage) -> None:
        stage.service.answer = says(200, {"result": result})
        first = await stage.ask()
        stage.service.answer = says(500)
        assert await stage.ask() == first
        stage.clock.now += 59
        assert await stage.ask() == first
        assert len(stage.service.asked) == 1
        stage.clock.now += 1
        assert await stage.ask() != first
        assert len(stage.service.asked) == 2

    play(story, cache=60)


@pytest.mark.parametrize(
    "other",
    [
        {"user": "bob"},
        {"user": None},
        {"password": b"Secret"},
        {"password": b""},
        {"password": None},
        {"client_id": "d"},
        {"host": "192.0.2.8"},
        {"host": ""},
        {"listener": "tls"},
        {"certificate_user": "ann"},
    ],
)
def test_another_question_is_another_question(other: dict[str, object]) -> None:
    async def story(stage: Stage) -> None:
        stage.service.answer = says(200, {"result": "allow"})
        await stage.ask()
        stage.service.answer = says(200, {"result": "deny"})
        assert isinstance(await partial(stage.ask, **other)(), Denied)

    play(story)


def test_another_port_of_the_same_client_is_the_same_question() -> None:
    async def story(stage: Stage) -> None:
        stage.service.answer = says(200, {"result": "allow"})
        await stage.ask()
        await stage.ask(address="192.0.2.7:4321")
        assert len(stage.service.asked) == 1

    play(story)


def test_ignore_is_not_remembered() -> None:
    async def story(stage: Stage) -> None:
        stage.service.answer = says(204)
        assert await stage.ask() is None
        stage.service.answer = says(200, {"result": "allow"})
        assert await stage.ask() == Admitted(user="ann")

    play(story)


def test_an_admission_is_not_remembered_beyond_its_end() -> None:
    async def story(stage: Stage) -> None:
        stage.service.answer = says(200, {"result": "allow", "expires_in": 10})
        assert await stage.ask() == Admitted(user="ann", expires_at=1_000_010.0)
        stage.clock.now += 9
        assert await stage.ask() == Admitted(user="ann", expires_at=1_000_010.0)
        stage.clock.now += 1
        assert await stage.ask() == Admitted(user="ann", expires_at=1_000_020.0)

    play(story)


def test_what_is_remembered_is_bounded_and_holds_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 5)

    async def story(stage: Stage) -> None:
        stage.service.answer = says(200, {"result": "deny"})
        for number in range(20):
            await stage.ask(f"user{number}", b"a very secret word")
        assert len(stage.way._remembered) == 5
        assert b"secret" not in repr(stage.way._remembered).encode()
        await stage.ask("user19", b"a very secret word")
        assert len(stage.service.asked) == 20  # the newest are there

    play(story)


def test_equal_questions_at_the_same_time_are_asked_once() -> None:
    async def story(stage: Stage) -> None:
        go = asyncio.Event()

        async def later(request: web.Request) -> web.StreamResponse:
            await go.wait()
            return web.json_response({"result": "allow"})

        stage.service.answer = later
        first = asyncio.create_task(stage.ask())
        others = [asyncio.create_task(stage.ask()) for _ in range(50)]
        await stage.service.came.wait()
        first.cancel()  # who asked first leaves: the others still get their answer
        go.set()
        assert await asyncio.gather(*others) == [Admitted(user="ann")] * 50
        assert first.cancelled()
        assert len(stage.service.asked) == 1

    play(story, cache=0)


def test_so_many_questions_at_a_time_and_no_more() -> None:
    async def story(stage: Stage) -> None:
        pending, most = 0, 0

        async def counts(request: web.Request) -> web.StreamResponse:
            nonlocal pending, most
            pending += 1
            most = max(most, pending)
            for _ in range(20):
                await asyncio.sleep(0)
            pending -= 1
            return web.json_response({"result": "allow"})

        stage.service.answer = counts
        answers = await asyncio.gather(*(stage.ask(f"user{number}") for number in range(40)))
        assert all(isinstance(answer, Admitted) for answer in answers)
        assert most == 3

    play(story, max_pending=3)


def test_who_waits_too_long_for_a_place_is_refused_and_not_passed_on() -> None:
    async def story(stage: Stage) -> None:
        stage.service.answer = says(200, {"result": "allow"})
        await stage.ask("bob")
        stage.service.came.clear()
        stage.service.answer = never
        first = asyncio.create_task(stage.ask())
        await stage.service.came.wait()
        stage.way._http = Http(url=stage.service.url, timeout=0.01, when_down="pass")
        answer = await stage.ask("eve")
        assert answer == Denied(reason=f"too many questions wait for {stage.service.url}", is_guess=False)
        first.cancel()

    play(story, max_pending=1, when_down="pass")


def test_a_way_that_closes_refuses_those_who_wait() -> None:
    async def run() -> None:
        service = WebService()
        service.answer = never
        async with service.running():
            way = HttpWay(Http(url=service.url))
            await way.open()
            waiting = [asyncio.create_task(way.check(applicant(f"user{number}"))) for number in range(3)]
            await service.came.wait()
            await way.close()
            for answer in await asyncio.gather(*waiting):
                assert answer == Denied(reason=f"{service.url} is not asked any more", is_guess=False)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"url": "ftp://h/"}, "must begin with https:// or http://"),
        ({"url": "h/door"}, "must begin with"),
        ({"url": ""}, "must begin with"),
        ({"url": "http://"}, "web address"),
        ({"url": "http://h:99999/"}, "web address"),
        ({"url": "http://h/", "timeout": 0}, "the time-out must be more than 0 seconds"),
        ({"url": "http://h/", "headers": {"X": "a\r\nY: b"}}, "'X' is no header of HTTP, or its value is none"),
        ({"url": "http://h/", "headers": {"": "a"}}, "'' is no header of HTTP"),
        ({"url": "http://h/", "max_pending": 0}, "max_pending must be at least 1"),
    ],
)
def test_what_cannot_be_is_refused_at_once(settings: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        HttpWay(msgspec.convert(settings, Http))


@pytest.mark.parametrize(
    ("url", "is_private"),
    [
        ("https://example.org/", True),
        ("http://127.0.0.1/", True),
        ("http://[::1]/", True),
        ("http://localhost/", True),
        ("http://auth:8000/", False),
        ("http://127.0.0.1.example.org/", False),
        ("http://127.0.0.1@example.org/", False),
    ],
)
def test_passwords_without_tls_are_a_warning(url: str, is_private: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        way = HttpWay(Http(url=url))
        await way.open()
        await way.close()

    asyncio.run(run())
    assert [record.levelname for record in caplog.records] == ([] if is_private else ["WARNING"])


def test_secrets_in_the_address_are_in_no_message(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        way = HttpWay(Http(url="http://user:word@127.0.0.1:1/door?token=word", headers={"X-Key": "word"}))
        await way.open()
        answer = await way.check(applicant("ann", b"word"))
        await way.close()
        assert isinstance(answer, Denied)
        assert "word" not in answer.reason
        assert "word" not in caplog.text

    asyncio.run(run())


ANSWERS = st.one_of(
    st.binary(),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.sampled_from(["allow", "deny"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["result", "user", "groups", "rules", "expires_in", "x"]), inner)
        ),
    ).map(lambda value: json.dumps(value).encode()),
)


@given(status=st.integers(100, 599), body=ANSWERS)
def test_garbage_never_admits(status: int, body: bytes) -> None:
    try:
        answer = _answer_of(status, body)
    except Unanswered:
        return
    if answer.result == "allow":
        assert status == 200
        assert json.loads(body)["result"] == "allow"
