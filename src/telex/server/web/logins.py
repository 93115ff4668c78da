"""Who asks at the HTTP port: by a cookie that a login gave, by HTTP Basic, or nobody in particular.

Knows logins and what they are worth. Whether a password is right is for the doorkeeper to say.
"""

import hmac
import secrets
from collections import OrderedDict
from typing import Final

from aiohttp import web
from msgspec import Struct

from telex.engine.permissions import Permissions
from telex.engine.seams import Client
from telex.engine.visit import Visit
from telex.server.access.doorkeeper import Banned, Doorkeeper, Inside
from telex.server.access.gate import Ticket
from telex.server.access.ways import Admitted, Applicant, Denied
from telex.server.config import ConfigError, everybody_administers
from telex.server.web.basic import credentials
from telex.server.web.house import House
from telex.server.web.problems import Refusal

_IDLE_SECONDS: Final = 12 * 3_600.0  # after which a login that nobody uses is forgotten
_LONGEST_SECONDS: Final = 7 * 24 * 3_600.0
_MOST: Final = 1_000  # logins at a time; who was away longest has to log in again
_MOST_OF_ONE: Final = 50  # of one user
_SAFE: Final = ("GET", "HEAD", "OPTIONS")
_PROXIED: Final = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")  # headers of those who ask for somebody else

TOKEN_HEADER: Final = "X-Telex-Token"


class Login(Struct, eq=False):
    """What a cookie stands for."""

    user: str
    admitted: Admitted
    way: str
    token: str  # that a request which changes something has to show
    began_at: float
    used_at: float

    @property
    def ticket(self) -> Ticket:
        """What its WebSockets come in with."""
        return Ticket(self.admitted, self.way)


class Caller(Struct, frozen=True, eq=False):
    """Who asks."""

    user: str | None  # None: nobody in particular
    is_administrator: bool
    permissions: Permissions
    visit: Visit  # for the log and the events
    login: Login | None = None  # None: no cookie says so


class Logins:
    """All logins of one HTTP port.

    Args:
        house: the broker.
        name: of the listener.
    """

    def __init__(self, house: House, name: str) -> None:
        self._house = house
        self._name = name
        self._logins: OrderedDict[str, Login] = OrderedDict()  # by cookie, who was away longest first

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._logins)

    # Coming and going

    async def log_in(self, user: str, password: str, host: str) -> tuple[str, Login]:
        """Begin a login: its cookie, and what that stands for.

        Raises:
            Refusal: user name and password are not those of anybody who may come in.
        """
        self._check_gate()
        admitted, way = await self._admitted(user, password.encode(), host, asks=False)
        now = self._house.now()
        own = [cookie for cookie, login in self._logins.items() if login.user == admitted.user]
        for cookie in own[: max(len(own) - _MOST_OF_ONE + 1, 0)]:
            del self._logins[cookie]
        self._forget(now)
        cookie = secrets.token_urlsafe(32)
        login = Login(admitted.user, admitted, way, secrets.token_urlsafe(24), now, now)
        self._logins[cookie] = login
        return cookie, login

    def log_out(self, cookie: str) -> None:
        """End a login."""
        self._logins.pop(cookie, None)

    # Asking

    async def caller(self, request: web.BaseRequest, host: str, address: str) -> Caller:
        """Who makes a request.

        Raises:
            Refusal: it is nobody who may come in, or the request may be forged.
        """
        self._check_gate()
        # A browser may ask a person, but not for the page, which does that itself. By HTTP from elsewhere a browser
        # does not say that a script asks; the header that the page always sends does.
        is_script = request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate" or TOKEN_HEADER in request.headers
        asks = not is_script
        scheme, _, _ = request.headers.get("Authorization", "").partition(" ")
        if scheme:
            if scheme.lower() != "basic":
                raise unauthorized("Expected the scheme Basic in Authorization, or a cookie.", asks=asks)
            user, password = credentials(request)
            if user is None:
                raise unauthorized("What is behind Basic in Authorization is no user name and password.", asks=asks)
            admitted, way = await self._admitted(user, password, host, asks=asks)
            return self._caller(request, admitted, way, host, address)
        login = self.found(request.cookies.get(self.cookie_name(request), ""), host)
        if login is not None:
            if request.method not in _SAFE and not hmac.compare_digest(
                request.headers.get(TOKEN_HEADER, "").encode(errors="surrogateescape"), login.token.encode()
            ):
                raise Refusal(403, f"Expected the token of /api/v1/me in the header {TOKEN_HEADER}.")
            return self._caller(request, login.admitted, login.way, host, address, login)
        verdict = self._doorkeeper.decide_anonymous(self._applicant(None, None, host))
        if isinstance(verdict, Denied):
            raise unauthorized("Log in: with POST /api/v1/session, or with HTTP Basic.", asks=asks)
        return self._caller(request, verdict, "", host, address)

    def found(self, cookie: str, host: str) -> Login | None:
        """What a cookie stands for, if it still does."""
        login = self._logins.get(cookie)
        if login is None:
            return None
        now = self._house.now()
        expires_at = login.admitted.expires_at
        is_over = (
            now - login.used_at > _IDLE_SECONDS
            or now - login.began_at > _LONGEST_SECONDS
            or (expires_at is not None and expires_at <= now)
            or self._house.guard.bans.about(host, "", login.user, now) is not None
            or not self._doorkeeper.still_admits(Inside(Client(), login.admitted, login.way))
        )
        if is_over:
            del self._logins[cookie]
            return None
        login.used_at = now
        self._logins.move_to_end(cookie)
        return login

    def cookie_name(self, request: web.BaseRequest) -> str:
        """Cookies know no port: two brokers on one machine have two names for theirs.

        What the name begins with by HTTPS lets no other page plant one (RFC 6265bis, section 4.1.3.2).
        """
        transport = request.transport
        name = transport.get_extra_info("sockname") if transport is not None else None
        prefix = "__Host-" if request.secure else ""
        return f"{prefix}telex_{name[1]}" if isinstance(name, tuple) else f"{prefix}telex"

    async def _admitted(self, user: str, password: bytes | None, host: str, *, asks: bool) -> tuple[Admitted, str]:
        verdict, way = await self._house.reception.log_in(self._name, user, password, host)
        if isinstance(verdict, Admitted) and way:
            return verdict, way
        visit = self._visit(user, host, host)
        if isinstance(verdict, Banned):
            self._house.engine.observer.refused(visit, "it is banned")
            raise Refusal(403, "Too many logins have failed, or somebody banned it; it is refused for a while.")
        reason = verdict.reason if isinstance(verdict, Denied) else "no way of logging in knows it"
        self._house.engine.observer.refused(visit, reason)
        raise unauthorized("User name and password are not those of anybody who may come in.", asks=asks)

    def _check_gate(self) -> None:
        if self._house.has_own_gate:
            raise Refusal(403, "Here a program decides who comes in, and by MQTT alone.")

    @property
    def _doorkeeper(self) -> Doorkeeper:
        doorkeeper = self._house.reception.doorkeeper_of(self._name)
        if doorkeeper is None:
            raise Refusal(503, "The broker stops.")
        return doorkeeper

    def _caller(
        self,
        request: web.BaseRequest,
        admitted: Admitted,
        way: str,
        host: str,
        address: str,
        login: Login | None = None,
    ) -> Caller:
        inside = Inside(Client(), admitted, way)
        try:
            permissions = self._doorkeeper.permissions(inside, self._client_id(admitted), host)
        except ConfigError as error:  # the rules that came with its login
            raise Refusal(403, str(error)) from error
        return Caller(
            admitted.user or None,
            self._administers(request, inside),
            permissions,
            self._visit(admitted.user, host, address),
            login,
        )

    def _client_id(self, admitted: Admitted) -> str:
        """With which client id it would come by MQTT; empty: nobody knows."""
        entry = self._house.reception.entrances.get(self._name)
        return admitted.user if entry is not None and entry.listener.user_name_is_client_id else ""

    def _administers(self, request: web.BaseRequest, inside: Inside) -> bool:
        if self._doorkeeper.administers(inside):
            return True
        # Who comes through a proxy comes from anywhere.
        return everybody_administers(self._house.config) and not any(name in request.headers for name in _PROXIED)

    def _visit(self, user: str, host: str, address: str) -> Visit:
        visit = Visit(address, host, self._name)
        visit.user = user
        return visit

    def _applicant(self, user: str | None, password: bytes | None, host: str) -> Applicant:
        return Applicant(user_name=user, password=password, client_id="", host=host, address=host, listener=self._name)

    def _forget(self, now: float) -> None:
        """Make room for one more."""
        while self._logins:
            cookie, login = next(iter(self._logins.items()))
            if len(self._logins) < _MOST and now - login.used_at <= _IDLE_SECONDS:
                break
            del self._logins[cookie]


def unauthorized(detail: str, *, asks: bool) -> Refusal:
    """Ask who it is. A browser opens a window of its own for Basic; ``asks`` says whether it shall."""
    scheme = 'Basic realm="Telex", charset="UTF-8"' if asks else 'Telex realm="Telex"'
    return Refusal(401, detail, {"WWW-Authenticate": scheme})
