"""Enhanced authentication with SCRAM-SHA-256: the broker never sees a password (MQTT 5, section 4.12).

::

    pip install telex scramp
    python examples/scram.py

A broker whose gate knows the method, and four clients: one with the right
password, one with a wrong one, one whom nobody knows, and one that names no
method. The cryptography is that of the package ``scramp``.
"""

import asyncio
import hashlib
import hmac
import logging
import secrets

from scramp import ScramClient, ScramException, ScramMechanism

import telex
from telex.codes import ReasonCode
from telex.engine.permissions import EVERYTHING
from telex.engine.seams import Client, Exchange, Gate
from telex.engine.visit import Visit
from telex.errors import Refused
from telex.wire.packets import Connect

METHOD = "SCRAM-SHA-256"
MECHANISM = ScramMechanism(METHOD)


class ScramGate(Gate):
    """Lets in who knows the password. What it keeps of a password does not give it away.

    Args:
        passwords: user name -> password.
    """

    def __init__(self, passwords: dict[str, str]) -> None:
        super().__init__()
        self._secret = secrets.token_bytes()
        self._users = {user: self._keep(user, password) for user, password in passwords.items()}
        self._nobody = self._keep("", secrets.token_hex())

    def login(self, client: Client, packet: Connect, visit: Visit, now: float) -> None:
        """Whoever names no method stays out."""
        client.refuse(ReasonCode.NOT_AUTHORIZED, f"it did not name the method {METHOD}", now)

    def exchange(self, client: Client, packet: Connect, visit: Visit) -> Exchange | None:
        """Begin with the method that we know."""
        named = None if packet.properties is None else packet.properties.authentication_method
        return ScramExchange(client, packet.client_id, self) if named == METHOD else None

    def user(self, name: str, client_id: str) -> tuple[bytes, bytes, bytes, int]:
        """What is kept of a user: salt, stored key, server key, iterations.

        Here a user's name must be the client id, so that a client that authenticates
        again is the one that came. Who is wrong in that, or whom we do not know, gets a
        salt all the same and fails at the end: nobody shall learn whom we know.
        """
        _, *keys = self._users.get(name if name == client_id else "", self._nobody)
        return self._salt(name), *keys

    def _keep(self, user: str, password: str) -> tuple[bytes, bytes, bytes, int]:
        return MECHANISM.make_auth_info(password, salt=self._salt(user))

    def _salt(self, user: str) -> bytes:
        return hmac.digest(self._secret, user.encode(), hashlib.sha256)


class ScramExchange(Exchange):
    """The broker's side: two messages of the client, two of ours (RFC 5802, section 3)."""

    def __init__(self, client: Client, client_id: str, gate: ScramGate) -> None:
        self._client = client
        self._server = MECHANISM.make_server(lambda name: gate.user(name, client_id))
        self._is_begun = False

    def receive(self, data: bytes, now: float) -> None:
        """Take in client-first, then client-final."""
        try:
            if not self._is_begun:
                self._is_begun = True
                self._server.set_client_first(data.decode())
                self._client.challenge(self._server.get_server_first().encode(), now)
            else:
                self._server.set_client_final(data.decode())
                self._client.admit(EVERYTHING, now, self._server.get_server_final().encode())
        except (ScramException, UnicodeDecodeError) as error:
            self._client.refuse(ReasonCode.NOT_AUTHORIZED, f"{METHOD}: {error!r}", now)


class ScramLogin:
    """The client's side: a ``telex.client.authentication.Authenticator``."""

    method = METHOD

    def __init__(self, user: str, password: str) -> None:
        self._user = user
        self._password = password

    def begin(self) -> bytes:
        """Client-first. Each connection begins anew."""
        self._scram = ScramClient([METHOD], self._user, self._password)
        return str(self._scram.get_client_first()).encode()

    def answer(self, challenge: bytes) -> bytes:
        """Client-final, to server-first."""
        try:
            self._scram.set_server_first(challenge.decode())
            return str(self._scram.get_client_final()).encode()
        except (ScramException, UnicodeDecodeError) as error:
            raise Refused(ReasonCode.NOT_AUTHORIZED, f"the broker does not speak {METHOD}: {error}") from error

    def finish(self, data: bytes) -> None:
        """Server-final: the broker must know the password too."""
        try:
            self._scram.set_server_final(data.decode())
        except (ScramException, UnicodeDecodeError) as error:
            raise Refused(ReasonCode.NOT_AUTHORIZED, f"the broker does not know the password: {error}") from error


async def main() -> None:
    """Show it."""
    gate = ScramGate({"ann": "correct horse"})
    async with telex.Broker(port=0, gate=gate) as broker:
        address = f"mqtt://127.0.0.1:{broker.port}"
        async with telex.Client(address, client_id="ann", authenticator=ScramLogin("ann", "correct horse")):
            print("ann: connected, and the broker has shown that it knows her")

        for user, password in (("ann", "wrong"), ("bob", "correct horse")):
            try:
                async with telex.Client(address, client_id=user, authenticator=ScramLogin(user, password)):
                    print(f"{user}, {password!r}: connected")
            except Refused as error:
                print(f"{user}, {password!r}: {error}")
        try:
            async with telex.Client(address, client_id="sensor", user="ann", password="correct horse"):
                print("without the method: connected")
        except Refused as error:
            print(f"without the method: {error}")


if __name__ == "__main__":
    logging.getLogger("telex").setLevel(logging.ERROR)
    asyncio.run(main())
