"""Logging in with SCRAM-SHA-256 by enhanced authentication (RFC 5802, RFC 7677; MQTT 5, section 4.12).

The broker never sees a password, and what it keeps of one does not let anybody in who reads it. The client learns
as well that the broker knows it. Channel binding is not offered: the TLS of Python has no ``tls-exporter`` (RFC 9266),
which is the only kind for TLS 1.3. So there is no SCRAM-SHA-256-PLUS.

Knows what client and broker say to each other. Knows no file and no rights: who begins an exchange brings the keys,
and gets the result.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Final

from scramp import ScramException, ScramMechanism

from telex.engine.seams import Client, Exchange
from telex.server.access.passwords import ScramKeys
from telex.server.access.ways import Admitted, Denied

METHOD: Final = "SCRAM-SHA-256"

_MECHANISM = ScramMechanism(METHOD)
_HASH_BYTES = 32  # of SHA-256
_SHOWN = 100  # characters of a user name that a reason shows

_SECRET = secrets.token_bytes(32)

# The result, what the client has to hear at its end (server-final, empty if it failed), and the time.
Done = Callable[[Admitted | Denied, bytes, float], None]


class Scram:
    """Begins exchanges, and lets nobody find out whom we know.

    Whoever is unknown gets a salt all the same, always the same one, and fails at the end like one
    with a wrong password. That is as good as ``secret`` is old: with a new one the salts of those who are
    not there change, and those of the others do not. By default it is as old as the process.

    Args:
        keys: what is kept of a user; None: there is no such user, or no keys for this method.
        secret: for the salts of users who are not there.
        iterations: that they seem to have: as many as ``telex passwd`` takes.
        salt_bytes: the length of their salts.
    """

    def __init__(
        self,
        keys: Callable[[str], ScramKeys | None],
        *,
        secret: bytes = _SECRET,
        iterations: int = 4096,
        salt_bytes: int = 16,
    ) -> None:
        self._keys = keys
        self._secret = secret
        self._iterations = iterations
        self._salt_bytes = salt_bytes

    def begin(self, client: Client, done: Done, *, user: str | None = None) -> "ScramExchange":
        """Begin one authentication.

        Args:
            client: who is challenged.
            done: is told once how it ended, unless the client goes before that.
            user: who it must be: the user name of CONNECT, or who the client has been so far; None or empty: anybody.
        """
        return ScramExchange(client, done, self, user)

    def keys(self, user: str) -> ScramKeys:
        """What is kept of a user, or what looks like it."""
        return self._keys(user) or self._nobody(user)

    def still_admits(self, admitted: Admitted) -> bool:
        """Whether the password of who was admitted is still the same."""
        keys = self._keys(admitted.user)
        return keys is not None and hmac.compare_digest(admitted.credential, credential_of(keys))

    def _nobody(self, user: str) -> ScramKeys:
        salt = hmac.digest(self._secret, user.encode(), "sha512")[: self._salt_bytes]
        # Keys that no password leads to: 32 bytes by chance are no hash that anybody has a proof for.
        return ScramKeys(self._iterations, salt, secrets.token_bytes(_HASH_BYTES), secrets.token_bytes(_HASH_BYTES))


class _Named:
    """Whom a client has named, as scramp asks for it. It does not know the exchange: both go without a circle.

    Args:
        scram: who knows the keys.
    """

    def __init__(self, scram: Scram) -> None:
        self._scram = scram
        self.user = ""
        self.keys: ScramKeys | None = None  # None: nobody is named yet

    def __call__(self, user: str) -> tuple[bytes, bytes, bytes, int]:
        self.user = user
        self.keys = self._scram.keys(user)
        return self.keys.salt, self.keys.stored_key, self.keys.server_key, self.keys.iterations


class ScramExchange(Exchange):
    """The broker's side of one authentication: two messages of the client, two of ours (RFC 5802, section 3).

    It takes some hashes, whatever the number of iterations: those are the client's to do. Less than 100 µs in all,
    so that it is done in the loop.
    """

    def __init__(self, client: Client, done: Done, scram: Scram, user: str | None) -> None:
        self._client = client
        self._done = done
        self._must_be = user
        self._named = _Named(scram)
        self._server = _MECHANISM.make_server(self._named)

    @property
    def user(self) -> str:
        """Whom the client has named; empty: nobody yet."""
        return self._named.user

    def receive(self, data: bytes, now: float) -> None:
        """Take in client-first, then client-final."""
        try:
            said = data.decode()
            if self._named.keys is None:
                self._server.set_client_first(said)
                self._client.challenge(self._server.get_server_first().encode(), now)
            else:
                self._server.set_client_final(said)
                self._finish(self._server.get_server_final().encode(), now)
        except (ScramException, UnicodeDecodeError) as error:
            reason = f"{METHOD}: user {self.user[:_SHOWN]!r}: {error}"
            self._done(Denied(reason=reason, tried=self.user), b"", now)

    def _finish(self, server_final: bytes, now: float) -> None:
        assert self._named.keys is not None  # client-first has named a user
        if self._must_be and self.user != self._must_be:
            names = f"it is {self.user[:_SHOWN]!r}, and must be {self._must_be[:_SHOWN]!r}"
            self._done(Denied(reason=f"{METHOD}: {names}", is_guess=False), b"", now)
        else:
            self._done(Admitted(user=self.user, credential=credential_of(self._named.keys)), server_final, now)


def credential_of(keys: ScramKeys) -> str:
    """What an admission rests upon: it changes with the password."""
    return "scram:" + hashlib.sha256(keys.salt + keys.stored_key).hexdigest()
