"""The broker's gate: whom each listener lets in, by which way, and what they may do then."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from telex.codes import MQTT_3_1, MQTT_3_1_1, MQTT_5, ReasonCode
from telex.engine.connection import Connection
from telex.engine.deadlines import Timed
from telex.engine.engine import Engine
from telex.engine.permissions import Permissions
from telex.engine.seams import Client, Exchange, Gate
from telex.engine.session import Session
from telex.engine.visit import Visit
from telex.server.access.doorkeeper import CERTIFICATE, SCRAM, Banned, Doorkeeper, Inside
from telex.server.access.ways import Admitted, Applicant, Denied
from telex.server.config import ConfigError, Listener
from telex.wire.packets import Connect

logger = logging.getLogger("telex")

if TYPE_CHECKING:
    from telex.server.bans import Bans

_VERSIONS: Final = {MQTT_3_1: "3.1", MQTT_3_1_1: "3.1.1", MQTT_5: "5.0"}


class LoginGuard(Protocol):
    """Whom the gate tells of failures, and asks who has to wait (``server/guard.py``)."""

    def failed(self, host: str, user: str, now: float) -> None:
        """Somebody could not log in."""

    def succeeded(self, host: str, user: str, now: float) -> None:
        """Somebody logged in with what only this user knows."""

    def banned_until(self, host: str, user: str, now: float) -> float:
        """Until when nobody is asked; the past: come in."""

    @property
    def bans(self) -> "Bans":
        """The bans that somebody said."""

    def taken_over(self, client_id: str, old: str, new: str, now: float) -> float:
        """A client takes the place of another with its id: seconds that it has to wait."""


class _Expiry(Timed):
    """The moment when a client's token is over."""

    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client

    def on_due(self, now: float) -> None:
        """It has come."""
        self._client.disconnect(ReasonCode.MAXIMUM_CONNECT_TIME, "its token has expired", now)


class _Undecided(Struct, eq=False):
    """A login that is being decided about."""

    client: Client
    user: str  # that it tries to be
    task: "asyncio.Task[None]"
    again: Callable[[], None]  # begins once more, when others decide


class Ticket(Struct, frozen=True, eq=False):
    """Somebody logged in before the MQTT began, by the page: whom a CONNECT without a user name comes from."""

    admitted: Admitted
    way: str


class _Nothing(Permissions):
    """What a client may do that has to go."""

    def may_publish(self, topic: str) -> bool:
        """It may not."""
        return False


_NOTHING: Final = _Nothing()


class AccessGate(Gate):
    """Asks the doorkeeper of the listener that a client came in by. ``begin`` comes before all else.

    Args:
        now: the broker's clock.
        guard: who is told of failures.
    """

    def __init__(self, now: Callable[[], float], guard: LoginGuard) -> None:
        super().__init__()
        self._now = now
        self._guard = guard
        self._listeners: dict[str, Listener] = {}
        self._doorkeepers: dict[str, Doorkeeper] = {}  # by listener
        self._undecided: dict[Visit, _Undecided] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # of those, and of some that were cancelled

    # What the broker calls

    def begin(self, engine: Engine) -> None:
        """This is the engine whose clients come."""
        self.engine = engine

    def expect(self, listeners: Mapping[str, Listener], doorkeepers: Mapping[str, Doorkeeper]) -> None:
        """Clients may come by these listeners too, that are about to be opened; the others stay as they are."""
        self._listeners = {**listeners, **self._listeners}
        self._doorkeepers = {**doorkeepers, **self._doorkeepers}

    def change(self, listeners: Mapping[str, Listener], doorkeepers: Mapping[str, Doorkeeper]) -> None:
        """Go on with other listeners and other doorkeepers, by the names of the listeners.

        Who waits for a decision is decided about by those: the others may close when this returns.
        """
        self._listeners = dict(listeners)
        self._doorkeepers = dict(doorkeepers)
        undecided, self._undecided = self._undecided, {}
        for each in undecided.values():
            each.task.cancel()
            each.again()

    def reconsider(self, now: float) -> None:
        """After a change: who could not come in any more has to go, the others may do what is allowed now."""
        for session in list(self.engine.sessions.values()):
            connection = session.client
            if not isinstance(connection, Connection):
                continue
            refusal = self._reconsidered(session, connection.visit)
            if refusal is not None:
                session.permissions = _NOTHING  # for its will, too
                connection.disconnect(*refusal, now)

    def _reconsidered(self, session: Session, visit: Visit) -> tuple[int, str] | None:
        """Why a client cannot stay: reason code and words. None: it can, with the permissions that it has now."""
        inside = visit.login
        doorkeeper = self._doorkeepers.get(visit.listener)
        if doorkeeper is None:
            return ReasonCode.ADMINISTRATIVE_ACTION, "its listener was removed"
        if not isinstance(inside, Inside):
            return None
        wrong = self._unwelcome(visit, session.client_id, visit.version)
        if wrong is not None:
            return ReasonCode.NOT_AUTHORIZED, wrong[1]
        names_users = _names_users(self._listeners[visit.listener])
        is_stranger = names_users and not inside.way and inside.admitted.user
        is_unnamed = not names_users and inside.way == CERTIFICATE
        if is_stranger or is_unnamed or not doorkeeper.still_admits(inside):
            return ReasonCode.NOT_AUTHORIZED, "it may not come in any more"
        try:
            permissions = doorkeeper.permissions(inside, session.client_id, visit.host)
        except ConfigError as error:  # the rules that came with its login
            return ReasonCode.NOT_AUTHORIZED, str(error)
        if not self.engine.change_permissions(session, permissions):
            return ReasonCode.NOT_AUTHORIZED, "it may not have all its subscriptions any more"
        return None

    def gone(self, visit: Visit) -> None:
        """A client that was let in has left."""
        inside = visit.login
        if isinstance(inside, Inside) and inside.expiry is not None:
            self.engine.deadlines.drop(inside.expiry)
        visit.login = None  # without a circle all of it is gone at once

    def lost(self, visit: Visit) -> None:
        """A connection is closed: nobody waits for the answer any more, if one is due."""
        undecided = self._undecided.pop(visit, None)
        if undecided is not None:
            undecided.task.cancel()

    async def close(self) -> None:
        """Decide about nobody any more; who comes now is refused."""
        self._listeners = {}
        self._doorkeepers = {}
        self._undecided = {}
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # What the engine asks

    def login(self, client: Client, packet: Connect, visit: Visit, now: float) -> None:
        """Ask the doorkeeper, at once or in a task."""
        objection = self._objection(packet, visit)
        if objection is not None:
            client.refuse(*objection, now)
            return
        doorkeeper = self._doorkeepers[visit.listener]
        ticket = visit.login
        if isinstance(ticket, Ticket) and packet.user_name is None:
            if doorkeeper.still_admits(Inside(client, ticket.admitted, ticket.way)):
                self._answer(client, packet, visit, ticket.admitted, ticket.way)
            else:
                denied = Denied(reason="it may not come in any more", is_guess=False)
                self._answer(client, packet, visit, denied, "")
        elif doorkeeper.asks or visit.identity:
            work = self._decide(doorkeeper, client, packet, visit)
            self._in_a_task(client, packet, visit, work, lambda: self.login(client, packet, visit, self._now()))
        else:
            verdict = doorkeeper.decide_anonymous(_applicant(packet, visit))
            if packet.user_name and _names_users(self._listeners[visit.listener]):  # it could claim to be any of them
                verdict = Denied(reason="it has a user name, and no certificate that says so")
            self._answer(client, packet, visit, verdict, "")

    def exchange(self, client: Client, packet: Connect, visit: Visit) -> Exchange | None:
        """Begin with the method that CONNECT names."""
        objection = self._objection(packet, visit)
        if objection is not None:
            return _Refusal(client, *objection)
        doorkeeper = self._doorkeepers[visit.listener]
        method = "" if packet.properties is None else packet.properties.authentication_method or ""
        inside = visit.login
        user = inside.admitted.user if isinstance(inside, Inside) else packet.user_name

        def done(verdict: Admitted | Denied, data: bytes, now: float) -> None:
            self._end_exchange(client, packet, visit, verdict, data)

        return doorkeeper.exchange(method, client, done, user)

    # In order

    def _objection(self, packet: Connect, visit: Visit) -> tuple[int, str] | None:
        """Why somebody is sent away before anybody is asked: reason code and words."""
        listener = self._listeners.get(visit.listener)
        if listener is None or visit.listener not in self._doorkeepers:
            return ReasonCode.SERVER_SHUTTING_DOWN, "its listener was removed"
        ticket = visit.login
        of_ticket = ticket.admitted.user if isinstance(ticket, Ticket) else ""
        if listener.user_name_is_client_id:
            user = visit.identity or packet.user_name or of_ticket
            if not user:
                return ReasonCode.NOT_AUTHORIZED, "it has no user name, which is to be its client id"
            packet.client_id = visit.client_id = user
        unwelcome = self._unwelcome(visit, packet.client_id or listener.client_id_prefix, packet.version)
        if unwelcome is not None:
            return unwelcome
        user = packet.user_name or of_ticket
        if self._guard.bans.about(visit.host, packet.client_id, user, self._now()) is not None:
            return ReasonCode.BANNED, "it is banned"
        ban = self._ban(visit, user)
        return None if ban is None else (ReasonCode.BANNED, ban.reason)

    def _unwelcome(self, visit: Visit, client_id: str, version: int) -> tuple[int, str] | None:
        """What a listener that is there takes nobody with, whoever it is: reason code and words."""
        name = _VERSIONS[version]
        if name not in self._listeners[visit.listener].versions:
            return ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, f"MQTT {name} is not for this listener"
        prefixes = self._doorkeepers[visit.listener].access.client_id_prefixes
        if prefixes and not client_id.startswith(tuple(prefixes)):
            return ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, "its client id begins with none of client_id_prefixes"
        return None

    def _wait(self, client_id: str, visit: Visit, now: float) -> float:
        """How long a client has to wait that would take the place of another."""
        session = self.engine.sessions.get(client_id)
        other = None if session is None else session.client
        if not isinstance(other, Connection) or other.visit is visit:  # itself, that authenticates again
            return 0.0
        return self._guard.taken_over(client_id, other.visit.address, visit.address, now)

    def _in_a_task(
        self,
        client: Client,
        packet: Connect,
        visit: Visit,
        work: Coroutine[None, None, None],
        again: Callable[[], None],
    ) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._undecided[visit] = _Undecided(client, packet.user_name or "", task, again)
        self._tasks.add(task)
        task.add_done_callback(partial(self._is_decided, visit))

    def _is_decided(self, visit: Visit, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        undecided = self._undecided.get(visit)
        if undecided is not None and undecided.task is task:  # otherwise it goes on in another one
            del self._undecided[visit]

    async def _decide(self, doorkeeper: Doorkeeper, client: Client, packet: Connect, visit: Visit) -> None:
        user = packet.user_name or ""
        try:
            verdict, way = await doorkeeper.decide(_applicant(packet, visit), lambda: self._ban(visit, user))
            self._answer(client, packet, visit, verdict, way)
        except Exception:
            logger.exception("a fault of ours ended the login of %s", visit.address)
            client.refuse(ReasonCode.UNSPECIFIED_ERROR, "its login failed", self._now())

    def _end_exchange(
        self, client: Client, packet: Connect, visit: Visit, verdict: Admitted | Denied, data: bytes
    ) -> None:
        """What an exchange came to; much may have changed since it began."""
        objection = self._objection(packet, visit)
        if objection is not None:
            client.refuse(*objection, self._now())
            return
        doorkeeper = self._doorkeepers[visit.listener]
        tried = verdict.user if isinstance(verdict, Admitted) else verdict.tried
        ban = self._ban(visit, tried)
        if ban is not None:
            verdict = ban
        elif isinstance(verdict, Admitted) and not doorkeeper.still_admits(Inside(client, verdict, SCRAM)):
            verdict = Denied(reason="it may not come in any more", is_guess=False)
        self._answer(client, packet, visit, verdict, SCRAM, data)

    def _ban(self, visit: Visit, user: str) -> Banned | None:
        """Whether so many logins have failed, perhaps meanwhile, that nobody is to be asked."""
        now = self._now()
        return Banned() if self._guard.banned_until(visit.host, user, now) > now else None

    def _answer(
        self,
        client: Client,
        packet: Connect,
        visit: Visit,
        verdict: Admitted | Denied,
        way: str,
        data: bytes = b"",
    ) -> None:
        """Tell a client what was decided."""
        now = self._now()
        user = packet.user_name or ""
        if isinstance(verdict, Denied):
            if verdict.is_guess:
                self._failed(visit, verdict.tried or user, now)
            code = ReasonCode.BANNED if isinstance(verdict, Banned) else ReasonCode.NOT_AUTHORIZED
            client.refuse(code, verdict.reason, now)
            return
        if way:
            self._guard.succeeded(visit.host, user or verdict.user, now)
        # Who may come in may have to wait before it takes the place of another; who may not never does.
        wait = self._wait(packet.client_id, visit, now)
        if wait > 0:
            again = partial(self.login, client, packet, visit, now)
            if way == SCRAM:  # it cannot be asked a second time
                again = partial(self._end_exchange, client, packet, visit, verdict, data)
            work = self._let_in_later(wait, client, packet, visit, verdict, way, data)
            self._in_a_task(client, packet, visit, work, again)
        else:
            self._let_in(client, packet, visit, verdict, way, data)

    def _failed(self, visit: Visit, user: str, now: float) -> None:
        """A login failed. If that begins a ban, it holds for those who wait for their turn too."""
        self._guard.failed(visit.host, user, now)
        if self._ban(visit, user) is None:
            return
        for other, undecided in list(self._undecided.items()):
            ban = self._ban(other, undecided.user)
            if other is not visit and ban is not None:
                self.lost(other)
                undecided.client.refuse(ReasonCode.BANNED, ban.reason, now)

    async def _let_in_later(
        self, wait: float, client: Client, packet: Connect, visit: Visit, admitted: Admitted, way: str, data: bytes
    ) -> None:
        await asyncio.sleep(wait)
        self._let_in(client, packet, visit, admitted, way, data)

    def _let_in(self, client: Client, packet: Connect, visit: Visit, admitted: Admitted, way: str, data: bytes) -> None:
        now = self._now()
        client_id = packet.client_id or visit.given_id
        visit.user = admitted.user
        # Once more: its name may be known only now, and a ban may have begun while it waited.
        if self._guard.bans.about(visit.host, client_id, admitted.user, now) is not None:
            client.refuse(ReasonCode.BANNED, "it is banned", now)
            return
        doorkeeper = self._doorkeepers[visit.listener]  # the one that decided: when they change, all begin again
        inside = Inside(client, admitted, way)
        visit.login = inside
        try:
            permissions = doorkeeper.permissions(inside, client_id, visit.host)
        except ConfigError as error:  # the rules that came with its login
            client.refuse(ReasonCode.NOT_AUTHORIZED, str(error), now)
            return
        client.admit(permissions, now, data)
        session = self.engine.sessions.get(visit.client_id)
        if session is None or not isinstance(session.client, Connection) or session.client.visit is not visit:
            return  # it could not be let in, or has left meanwhile
        if admitted.expires_at is not None:
            inside.expiry = _Expiry(client)
            self.engine.deadlines.set(inside.expiry, admitted.expires_at)


class _Refusal(Exchange):
    """An authentication that does not begin."""

    def __init__(self, client: Client, reason_code: int, text: str) -> None:
        super().__init__()
        self._client = client
        self._reason_code = reason_code
        self._text = text

    def receive(self, data: bytes, now: float) -> None:
        """Send it away."""
        self._client.refuse(self._reason_code, self._text, now)


def _names_users(listener: Listener) -> bool:
    """Whether TLS says who somebody is who comes in there."""
    if listener.tls is not None:
        return bool(listener.tls.user_from)
    return listener.psk is not None and listener.psk.user_from_identity


def _applicant(packet: Connect, visit: Visit) -> Applicant:
    return Applicant(
        user_name=packet.user_name,
        password=packet.password,
        client_id=packet.client_id,
        host=visit.host,
        address=visit.address,
        listener=visit.listener,
        certificate_user=visit.identity,
    )
