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
        self._users = {user: MECHANISM.make_auth_info(password) for user, password in passwords.items()}
        self._secret = secrets.token_bytes()

    def login(self, client: Client, packet: Connect, address: str, now: float) -> None:
        """Whoever names no method stays out."""
        client.refuse(ReasonCode.NOT_AUTHORIZED, f"it did not name the method {METHOD}", now)

    def exchange(self, client: Client, packet: Connect, address: str) -> Exchange | None:
        """Begin with the method that we know."""
        named = None if packet.properties is None else packet.properties.authentication_method
        return ScramExchange(client, self) if named == METHOD else None

    def user(self, name: str) -> tuple[bytes, bytes, bytes, int]:
        """What is kept of a user: salt, stored key, server key, iterations.

        Also of one that there is not, always the same: nobody shall learn whom we know.
        """
        if name in self._users:
            return self._users[name]
        salt = hmac.digest(self._secret, name.encode(), hashlib.sha256)[:16]
        return MECHANISM.make_auth_info(secrets.token_hex(), salt=salt)


class ScramExchange(Exchange):
    """The broker's side: two messages of the client, two of ours (RFC 5802, section 3)."""

    def __init__(self, client: Client, gate: ScramGate) -> None:
        self._client = client
        self._server = MECHANISM.make_server(gate.user)
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
        self._scram = ScramClient([METHOD], user, password)

    def connect(self, client_id: str) -> Connect:
        """A CONNECT that begins it."""
        said = Properties(authentication_method=METHOD, authentication_data=self.first())
        return Connect(client_id, properties=said)

    def first(self) -> bytes:
        """Client-first."""
        return str(self._scram.get_client_first()).encode()

    def answer(self, challenge: bytes) -> bytes:
        """Client-final, to server-first."""
        self._scram.set_server_first(challenge.decode())
        return str(self._scram.get_client_final()).encode()

    def check(self, data: bytes | None) -> None:
        """Server-final: raises ``ScramException`` if the broker did not know the password either."""
        self._scram.set_server_final((data or b"").decode())


async def main() -> None:
    """Show it."""
    gate = ScramGate({"ann": "correct horse"})
    async with telex.Broker(port=0, gate=gate) as broker:
        login = ScramLogin("ann", "correct horse")
        client = AsyncClient(login.connect("sensor"), authenticator=login)
        connack = await client.connect("127.0.0.1", broker.port)
        login.check(connack.properties and connack.properties.authentication_data)
        print("ann: connected, and the broker has shown that it knows her")
        await client.close()

        for user, password in (("ann", "wrong"), ("bob", "correct horse")):
            login = ScramLogin(user, password)
            try:
                await AsyncClient(login.connect("sensor"), authenticator=login).connect("127.0.0.1", broker.port)
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
