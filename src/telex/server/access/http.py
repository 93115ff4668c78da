"""Logging in by asking a web service.

For each login the broker sends a POST with this JSON; what is not there is null:

    {"user": "ann", "password": "secret", "client_id": "sensor-7", "address": "192.0.2.7",
     "listener": "...", "certificate_user": null}

``address`` is without a port, and null for a Unix socket. A password that is no UTF-8 comes as
``password_base64``, with ``password`` null. The service answers with status 200 and

    {"result": "allow", "user": "ann", "groups": ["staff"], "rules": [...], "expires_in": 3600}
    {"result": "deny", "reason": "for the broker's log"}
    {"result": "ignore"}

Everything but ``result`` may be left out. ``user``: who it is; otherwise the name in the certificate, or that in
CONNECT. ``rules``: in place of the broker's own, written as those of telex.toml. ``expires_in``: after how many seconds
the client has to go. ``ignore``: whoever is asked next decides. A status of 401 or 403 is a deny, 204 is an ignore,
whatever the body.

Anything else is no answer, and the service is *down* for this question: no connection, no whole answer within
``timeout``, another status (redirects are not followed), a body that is not as above, with other fields, with wrong
rules, or of more than 256 KiB. Then ``when_down`` decides: ``refuse`` keeps the client out, ``pass`` leaves it to
whoever is asked next. It goes to the log once when the service goes down, and once when it is back.

Answers of allow and deny are remembered for ``cache`` seconds, for exactly the same question. Passwords are not
kept for that: the key is an HMAC of the question, with a secret of this process. Equal questions at the same time are
asked once.
"""

import asyncio
import hmac
import ipaddress
import logging
import secrets
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal

import aiohttp
import msgspec
from msgspec import Meta, Struct
from yarl import URL

from telex.server.access.rules import problems
from telex.server.access.ways import Admitted, Applicant, Denied, Way
from telex.server.config import ConfigError, Http, Rule

_LARGEST_ANSWER = 256 * 1024  # bytes; rules for one client, or the keys of an issuer, are a few KiB
_REMEMBERED = 10_000  # answers, of some hundred bytes each
_LONGEST_REASON = 200  # characters of a service's text that go to our log

logger = logging.getLogger("telex")


class Unanswered(OSError):
    """A web address gave no whole answer: the text says why."""


class Service:
    """A web address that is asked. It cannot hold us up, fill our memory or send us elsewhere.

    Args:
        url: where it is.
        timeout: seconds for one question and its answer.
        headers: to send with each question.
        connections: at a time; more wait.

    Raises:
        ConfigError: that is no address of the web, no time, or no header.
    """

    def __init__(
        self, url: str, *, timeout: float, headers: Mapping[str, str] | None = None, connections: int = 1
    ) -> None:
        try:
            self.url = URL(url)
        except ValueError as error:
            raise ConfigError(f"this is no web address: {error}") from error
        if self.url.scheme not in ("http", "https") or not self.url.host:
            raise ConfigError("this is no web address: it must begin with https:// or http://, and a host")
        if timeout <= 0:
            raise ConfigError(f"{self.name}: the time-out must be more than 0 seconds")
        for header, value in (headers or {}).items():
            if not header.isascii() or not header or any(sign < " " or sign == "\x7f" for sign in header + value):
                raise ConfigError(f"{self.name}: {header!r} is no header of HTTP, or its value is none")
        self._timeout = timeout
        self._headers = dict(headers or {})
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None  # while it is open

    @property
    def name(self) -> str:
        """The address as people may see it: a user, a password or a query in it may be secret."""
        return str(self.url.with_user(None).with_query(None).with_fragment(None))

    @property
    def is_private(self) -> bool:
        """Whether nobody on the way there can read or change what is said: TLS, or this machine."""
        host = self.url.host or ""
        if self.url.scheme == "https" or host == "localhost":
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    def open(self) -> None:
        """Get ready; needs a running loop."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None),  # ``ask`` has one for everything
            connector=aiohttp.TCPConnector(limit=self._connections),
            headers={**self._headers, "Accept-Encoding": "identity"},  # so that what comes is as large as it seems
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    async def close(self) -> None:
        """Close all connections; questions under way are Unanswered."""
        if self._session is not None:
            await self._session.close()

    async def ask(self, method: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Get the status and the body of an answer; a body that is sent is JSON.

        Raises:
            Unanswered: nothing whole came.
        """
        try:
            async with asyncio.timeout(self._timeout):
                try:
                    return await self._ask_once(method, body)
                except aiohttp.ClientConnectorError:
                    raise
                except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionResetError):
                    # Most likely a connection from before that the service was just closing: one question more.
                    return await self._ask_once(method, body)
        except TimeoutError as error:
            raise Unanswered(f"no answer within {self._timeout:g} s") from error
        except (aiohttp.ClientError, OSError, RuntimeError, ValueError) as error:
            if isinstance(error, Unanswered):
                raise
            raise Unanswered(f"{type(error).__name__}: {error}") from error

    async def _ask_once(self, method: str, body: bytes | None) -> tuple[int, bytes]:
        assert self._session is not None  # who asks has opened it
        said = {} if body is None else {"Content-Type": "application/json"}
        async with self._session.request(method, self.url, data=body, headers=said, allow_redirects=False) as response:
            return response.status, await self._read(response)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > _LARGEST_ANSWER:
                raise Unanswered(f"an answer of more than {_LARGEST_ANSWER} bytes")
        return bytes(body)


class _Answer(Struct, forbid_unknown_fields=True, frozen=True):
    """What the service says. Unknown fields are refused: a slip in "rules" must not give a client the broker's own."""

    result: Literal["allow", "deny", "ignore"]
    user: str | None = None
    groups: tuple[str, ...] = ()
    rules: tuple[Rule, ...] | None = None
    expires_in: Annotated[float, Meta(gt=0)] | None = None
    reason: str = ""


_ANSWERS = msgspec.json.Decoder(_Answer)
_WITHOUT_BODY = {204: _Answer("ignore"), 401: _Answer("deny"), 403: _Answer("deny")}


def _answer_of(status: int, body: bytes) -> _Answer:
    if status in _WITHOUT_BODY:
        return _WITHOUT_BODY[status]
    if status != 200:
        raise Unanswered(f"status {status}")
    try:
        answer = _ANSWERS.decode(body)
    except (ValueError, RecursionError) as error:
        raise Unanswered(f"an answer that is not as it should be: {error}") from error
    if answer.user is not None and "\0" in answer.user:
        raise Unanswered("an answer with U+0000 in the user name")  # no CONNECT can have one (section 1.5.4)
    wrong = wrong_rule(answer.rules or ())
    if wrong:
        raise Unanswered(f"an answer with a wrong rule: {wrong}")
    return answer


def wrong_rule(rules: Sequence[Rule]) -> str:
    """What is wrong with rules that came with a login: the first thing; empty: nothing."""
    for number, rule in enumerate(rules):
        for place, why in problems(rule, None):
            return f"rules[{number}].{place[0]}: {why}"
    return ""


class HttpWay(Way):
    """Admits whom a web service admits; this module's docstring has the questions and answers.

    Args:
        http: where the service is, and what to do without it.
        clock: seconds since 1970.

    Raises:
        ConfigError: something in ``http`` is impossible.
    """

    def __init__(self, http: Http, *, clock: Callable[[], float] = time.time) -> None:
        if http.max_pending < 1:
            raise ConfigError("max_pending must be at least 1: a question at a time")
        self._service = Service(http.url, timeout=http.timeout, headers=http.headers, connections=http.max_pending)
        self._http = http
        self._clock = clock
        self._places = asyncio.Semaphore(http.max_pending)
        self._secret = secrets.token_bytes(32)
        self._flights: dict[bytes, asyncio.Task[Admitted | Denied | None]] = {}  # by the HMAC of the question
        self._remembered: dict[bytes, tuple[float, Admitted | Denied]] = {}  # until when; the oldest first
        self._is_down = False

    async def open(self) -> None:
        """Get ready. The service is not asked: it may come up after us."""
        if not self._service.is_private:
            logger.warning("access service url=%s: passwords go there without TLS; use https://", self._service.name)
        self._service.open()

    async def close(self) -> None:
        """Give up the questions under way; those who asked are refused."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
        await self._service.close()
        self._remembered.clear()

    async def check(self, applicant: Applicant) -> Admitted | Denied | None:
        """Ask the service, unless it has answered the same lately."""
        question = _question(applicant)
        key = hmac.digest(self._secret, question, "sha256")
        until, remembered = self._remembered.get(key, (0.0, None))
        if remembered is not None and self._clock() < until:
            return remembered
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.create_task(self._ask(key, question, applicant))
            self._flights[key] = flight
            flight.add_done_callback(lambda _: self._flights.pop(key))
        try:
            # Shielded: who asked first may leave, others wait for the same answer.
            return await asyncio.shield(flight)
        except asyncio.CancelledError:
            if flight.cancelled():
                return Denied(reason=f"{self._service.name} is not asked any more", is_guess=False)
            raise

    async def _ask(self, key: bytes, question: bytes, applicant: Applicant) -> Admitted | Denied | None:
        try:
            async with asyncio.timeout(self._http.timeout):
                await self._places.acquire()
        except TimeoutError:
            if self._is_down:
                return self._without_it("too many questions wait")
            # It answers, only not that many: this is no reason to pass anybody on.
            return Denied(reason=f"too many questions wait for {self._service.name}", is_guess=False)
        try:
            answer = _answer_of(*await self._service.ask("POST", question))
        except Unanswered as error:
            self._went_down(str(error))
            return self._without_it(str(error))
        finally:
            self._places.release()
        self._came_back()
        decision = self._decide(answer, applicant)
        if decision is not None:
            self._remember(key, decision)
        return decision

    def _decide(self, answer: _Answer, applicant: Applicant) -> Admitted | Denied | None:
        if answer.result == "ignore":
            return None
        if answer.result == "deny":
            reason = f"{self._service.name} said no"
            if answer.reason:
                reason += f": {answer.reason[:_LONGEST_REASON]!r}"
            return Denied(reason=reason)
        user = answer.user
        if user is None:
            user = applicant.certificate_user or applicant.user_name or ""
        expires_at = None if answer.expires_in is None else self._clock() + answer.expires_in
        return Admitted(user=user, groups=answer.groups, rules=answer.rules, expires_at=expires_at)

    def _remember(self, key: bytes, decision: Admitted | Denied) -> None:
        until = self._clock() + self._http.cache
        if isinstance(decision, Admitted) and decision.expires_at is not None:
            until = min(until, decision.expires_at)
        self._remembered.pop(key, None)  # so that it stands at the end
        self._remembered[key] = (until, decision)
        if len(self._remembered) > _REMEMBERED:
            del self._remembered[next(iter(self._remembered))]

    def _without_it(self, reason: str) -> Denied | None:
        if self._http.when_down == "pass":
            return None
        return Denied(reason=f"{self._service.name} is down: {reason}", is_guess=False)

    def _went_down(self, reason: str) -> None:
        if not self._is_down:
            self._is_down = True
            then = "others decide" if self._http.when_down == "pass" else "nobody is admitted by it"
            logger.warning("access service down url=%s reason=%r: %s", self._service.name, reason, then)

    def _came_back(self) -> None:
        if self._is_down:
            self._is_down = False
            logger.warning("access service back url=%s", self._service.name)


def _question(applicant: Applicant) -> bytes:
    said: dict[str, str | None] = {
        "user": applicant.user_name,
        "password": None,
        "client_id": applicant.client_id,
        "address": applicant.host or None,
        "listener": applicant.listener,
        "certificate_user": applicant.certificate_user or None,
    }
    if applicant.password is not None:
        try:
            said["password"] = applicant.password.decode()
        except UnicodeDecodeError:
            said["password_base64"] = b64encode(applicant.password).decode()
    return msgspec.json.encode(said)
