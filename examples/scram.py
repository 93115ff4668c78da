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
from telex.client.aio import AsyncClient
from telex.codes import ReasonCode
from telex.engine.permissions import EVERYTHING
from telex.engine.seams import Client, Exchange, Gate
from telex.engine.visit import Visit
from telex.errors import Refused
from telex.wire.packets import Connect
from telex.wire.properties import Properties

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
    """The client's side of one authentication."""

    def __init__(self, user: str, password: str) -> None:
        self.user = user
        self._scram = ScramClient([METHOD], user, password)

    def connect(self) -> Connect:
        """A CONNECT that begins it."""
        said = Properties(authentication_method=METHOD, authentication_data=self.first())
        return Connect(self.user, properties=said)

    def first(self) -> bytes:
        """Client-first."""
        return str(self._scram.get_client_first()).encode()

    def answer(self, challenge: bytes) -> bytes:
        """Client-final, to server-first."""
        try:
            self._scram.set_server_first(challenge.decode())
            return str(self._scram.get_client_final()).encode()
        except (ScramException, UnicodeDecodeError) as error:
            raise Refused(ReasonCode.NOT_AUTHORIZED, f"the broker does not speak {METHOD}: {error}") from error

    def check(self, data: bytes | None) -> None:
        """Server-final: raises ``ScramException`` if the broker did not know the password either."""
        self._scram.set_server_final((data or b"").decode())


async def main() -> None:
    """Show it."""
    gate = ScramGate({"ann": "correct horse"})
    async with telex.Broker(port=0, gate=gate) as broker:
        login = ScramLogin("ann", "correct horse")
        client = AsyncClient(login.connect(), authenticator=login)
        connack = await client.connect("127.0.0.1", broker.port)
        login.check(connack.properties and connack.properties.authentication_data)
        print("ann: connected, and the broker has shown that it knows her")
        await client.close()

        for user, password in (("ann", "wrong"), ("bob", "correct horse")):
            login = ScramLogin(user, password)
            try:
                await AsyncClient(login.connect(), authenticator=login).connect("127.0.0.1", broker.port)
            except Refused as error:
                print(f"{user}, {password!r}: {error}")
        try:
            await AsyncClient(Connect("sensor", user_name="ann", password=b"correct horse")).connect(
                "127.0.0.1", broker.port
            )
        except Refused as error:
            print(f"without the method: {error}")


if __name__ == "__main__":
    logging.getLogger("telex").setLevel(logging.ERROR)
    asyncio.run(main())
