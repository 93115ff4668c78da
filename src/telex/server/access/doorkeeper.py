"""A doorkeeper: one ``Access``, read and ready. It says whom it lets in, by which way, and what they may do then.

Knows ways and rules. Knows no connection, and nothing of the order in which things happen: ``gate.py`` does.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from telex.engine.deadlines import Timed
from telex.engine.permissions import Grant, Permissions, publishing, receiving
from telex.engine.seams import Client, Exchange
from telex.server.access.acl_file import AclFile, read_acl_file
from telex.server.access.certificates import CertificateWay
from telex.server.access.password_file import Hasher, PasswordFile
from telex.server.access.plugins import load
from telex.server.access.rules import Rules, is_like
from telex.server.access.ways import Admitted, Applicant, Denied, Way
from telex.server.config import Access

if TYPE_CHECKING:
    from telex.server.access.jwt import JwtWay
    from telex.server.access.scram import Done, Scram

CERTIFICATE: Final = "certificate"
"""The name of the way of those whom TLS names."""

SCRAM: Final = "SCRAM-SHA-256"
"""The authentication method, and the name of its way."""


def _everything(*, knows_publishers: bool) -> Permissions:
    permissions = Permissions()
    permissions.knows_publishers = knows_publishers
    return permissions


# One for all clients, since each remembers topics; by whether these know who published what.
_EVERYTHING: Final = {each: _everything(knows_publishers=each) for each in (False, True)}


class Inside(Struct):
    """A client that was let in."""

    client: Client
    admitted: Admitted
    way: str  # the name of the way that let it in; empty: it is anonymous
    expiry: Timed | None = None


class Banned(Denied, frozen=True, kw_only=True):
    """So many logins have failed that nobody is asked."""

    reason: str = "too many logins failed"
    is_guess: bool = False


class Doorkeeper:
    """One ``Access``, read and ready.

    Args:
        access: its description.
        hasher: where passwords are hashed.
        now: the broker's clock.
        secret: what SCRAM hides from strangers who is known with; None: one that is as old as the process.
        strangers_may_use_hash: whether clients that nobody knows may subscribe to everything.
        administrators: user names, ``*`` for any characters, of those who may know who published what.
        everybody_administers: all may.

    Raises:
        ConfigError: a file or a rule that cannot be used.
    """

    def __init__(
        self,
        access: Access,
        hasher: Hasher,
        *,
        now: Callable[[], float],
        secret: bytes | None = None,
        strangers_may_use_hash: bool = True,
        administrators: Sequence[str] = (),
        everybody_administers: bool = False,
    ) -> None:
        self.access = access
        self._now = now
        self._strangers_may_use_hash = strangers_may_use_hash
        self._administrators = administrators
        self.everybody_administers = everybody_administers
        self._passwords = PasswordFile(access.password_file, hasher) if access.password_file else None
        self._jwt: JwtWay | None = None
        self._ways = self._make_ways(access)
        self._scram = self._make_scram(access, secret)
        self._acl_file: AclFile | None = read_acl_file(access.acl_file) if access.acl_file else None
        self._rules: Rules | None = Rules.of(access) if access.rules else None

    def _make_ways(self, access: Access) -> dict[str, Way]:
        """The ways in the order in which they are asked, by their names.

        What brings large libraries with it is loaded when it is wanted.
        """
        ways: dict[str, Way] = {CERTIFICATE: CertificateWay()}
        if access.jwt:
            from telex.server.access import jwt

            self._jwt = ways["jwt"] = jwt.JwtWay(*access.jwt, clock=self._now)
        if access.http:
            from telex.server.access.http import HttpWay

            for number, http in enumerate(access.http, 1):
                ways[f"http {number}"] = HttpWay(http, clock=self._now)
        for plugin in access.plugins:
            name = first = f"plugin {plugin.name}"
            number = 1
            while name in ways:  # the same class with other options
                number += 1
                name = f"{first} {number}"
            ways[name] = load(plugin)
        if self._passwords is not None:  # the last one: it has an opinion about every user name
            ways["password_file"] = self._passwords
        return ways

    def _make_scram(self, access: Access, secret: bytes | None) -> "Scram | None":
        if not access.scram or self._passwords is None:
            return None
        from telex.server.access.scram import Scram

        keys = self._passwords.scram_keys
        return Scram(keys) if secret is None else Scram(keys, secret=secret)

    async def open(self, former: "Doorkeeper | None" = None) -> None:
        """Get ready, in place of ``former`` after a reload. A ConfigError or an OSError says why that is impossible."""
        if self._jwt is not None and former is not None and former._jwt is not None:
            self._jwt.take_keys(former._jwt)
        opened: list[Way] = []
        try:
            for way in self._ways.values():
                await way.open()
                opened.append(way)
        except BaseException:
            for way in opened:
                await way.close()
            raise

    async def close(self) -> None:
        """Let go of everything."""
        for way in self._ways.values():
            await way.close()

    @property
    def names(self) -> list[str]:
        """The ways of logging in, and what decides what clients may do."""
        rules = {"acl_file": self._acl_file is not None, "rules": self._rules is not None}
        return [*self._ways, *(name for name, is_there in rules.items() if is_there)]

    @property
    def asks(self) -> bool:
        """Whether there is anything to ask about who comes in; otherwise anonymous access decides alone."""
        return len(self._ways) > 1

    async def decide(self, applicant: Applicant, ban: Callable[[], Banned | None]) -> tuple[Admitted | Denied, str]:
        """Whether an applicant may come in, and the name of the way that said so.

        ``ban`` is asked before each way: many may try at once, and fail meanwhile.
        """
        for name, way in self._ways.items():
            denied = ban()
            if denied is not None:
                return denied, name
            verdict = await way.check(applicant)
            if verdict is not None:
                return verdict, name
        return self.decide_anonymous(applicant), ""

    def decide_anonymous(self, applicant: Applicant) -> Admitted | Denied:
        """Whether somebody may come in about whom no way has an opinion."""
        if not self.access.allow_anonymous:
            reason = "it has no user name" if applicant.user_name is None else "no way of logging in knows it"
            return Denied(reason=reason, is_guess=applicant.user_name is not None)
        if applicant.user_name is not None and self.asks:
            return Denied(reason="no way of logging in knows it")
        return Admitted(user=applicant.user_name or "")

    def still_admits(self, inside: Inside) -> bool:
        """Whether somebody who came in before a reload could now."""
        if not inside.way:  # a name that nobody checked does no longer, if there is who checks names now
            return bool(self.access.allow_anonymous) and not (self.asks and inside.admitted.user)
        if inside.way == SCRAM:
            return self._scram is not None and self._scram.still_admits(inside.admitted)
        way = self._ways.get(inside.way)
        return way is not None and way.still_admits(inside.admitted)

    def administers(self, inside: Inside) -> bool:
        """Whether a client is an administrator by its name: one that somebody has checked."""
        user = inside.admitted.user if inside.way else ""
        return bool(user) and any(is_like(user, name) for name in self._administrators)

    def permissions(self, inside: Inside, client_id: str, host: str) -> Permissions:
        """What a client may do that was let in.

        Raises:
            ConfigError: rules that came with its login cannot be used.
        """
        admitted = inside.admitted
        # Who knows a client id can take its session over: it is not for every user to know.
        knows_publishers = self.everybody_administers or self.administers(inside)
        permissions = _EVERYTHING[knows_publishers]
        if admitted.rules is not None:
            rules = Rules(admitted.rules, self.access.groups, groups_may_come=True, title="rule of its login")
            permissions = rules.permissions(admitted.user, client_id, host, admitted.groups)
        elif self._rules is not None:
            permissions = self._rules.permissions(admitted.user, client_id, host, admitted.groups)
        elif self._acl_file is not None:
            permissions = self._acl_file.permissions(admitted.user or None, client_id)
        permissions.knows_publishers = knows_publishers
        # A name that nobody has checked makes no acquaintance.
        if not (inside.way and admitted.user) and not self._strangers_may_use_hash:
            return _NotEverything(permissions)
        return permissions

    def exchange(self, method: str, client: Client, done: "Done", user: str | None) -> Exchange | None:
        """An authentication by a method; None: we do not know it. ``user`` is who it must be, None: anybody."""
        if method == SCRAM and self._scram is not None:
            return self._scram.begin(client, done, user=user)
        return None


class _NotEverything(Permissions):
    """What others allow, but no filter that is about every topic."""

    def __init__(self, inner: Permissions) -> None:
        super().__init__()
        self.limits_receiving = inner.limits_receiving
        self.knows_publishers = inner.knows_publishers
        self._inner = inner

    def grant_publish(self, topic: str) -> Grant:
        """As others say."""
        return publishing(self._inner, topic)

    def grant_subscribe(self, topic_filter: str) -> Grant:
        """As others say, but for ``#`` and ``+/#``."""
        *levels, last = topic_filter.split("/")
        if last == "#" and all(level == "+" for level in levels):
            return Grant(-1, may_retain=False, rule="strangers_may_use_hash = false")
        return self._inner.grant_subscribe(topic_filter)

    def grant_receive(self, topic: str) -> Grant:
        """As others say."""
        return receiving(self._inner, topic)
