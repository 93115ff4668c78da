"""One login of a client, as a gate sees it: the question, and where its answer goes (sections 3.1.4 and 4.12)."""

from telex.engine.permissions import Permissions
from telex.engine.seams import Client, Exchange


class Login(Client):
    """What a gate is asked: may this client come in, or stay? It answers here.

    An answer counts while one is due: a second one, one to an earlier question, or
    one to a connection that has ended meanwhile changes nothing.

    Args:
        connection: what the answer is for.
    """

    def __init__(self, connection: Client) -> None:
        super().__init__()
        self.connection = connection
        self.exchange: Exchange | None = None  # by the authentication method of CONNECT; None: by ``Gate.login``
        self.is_due = True  # the gate has the word; otherwise, in an exchange, the client has it

    def admit(self, permissions: Permissions, now: float, data: bytes = b"") -> None:
        """Let the client in, or let it stay."""
        if self.is_due:
            self.is_due = False
            self.connection.admit(permissions, now, data)

    def refuse(self, reason_code: int, text: str, now: float, server_reference: str = "") -> None:
        """Send the client away."""
        if self.is_due:
            self.is_due = False
            self.connection.refuse(reason_code, text, now, server_reference)

    def challenge(self, data: bytes, now: float) -> None:
        """Give the client the word [MQTT-4.12.0-2].

        Raises:
            ValueError: the client named no authentication method.
        """
        if self.is_due:
            if self.exchange is None:
                raise ValueError("challenge() is for the exchange of an authentication method, and CONNECT named none")
            self.is_due = False
            self.connection.challenge(data, now)

    def over(self) -> None:
        """No answer counts any more."""
        self.is_due = False
        self.exchange = None  # it knows us: without a circle both are gone at once

    def disconnect(self, reason_code: int, text: str, now: float, server_reference: str = "") -> None:
        """End the connection, at any time."""
        self.connection.disconnect(reason_code, text, now, server_reference)
