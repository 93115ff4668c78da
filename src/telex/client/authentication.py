"""What a client knows of an authentication method (section 4.12)."""

from typing import Protocol


class Authenticator(Protocol):
    """Answers a broker that asks for more than a password.

    One is used for all connections of a client, one after the other: ``begin`` begins each.
    """

    @property
    def method(self) -> str:
        """The name of the authentication method, such as ``SCRAM-SHA-256``."""

    def begin(self) -> bytes | None:
        """The authentication data of CONNECT, or of the AUTH that begins once more."""

    def answer(self, challenge: bytes) -> bytes:
        """What to say to the authentication data of the broker's AUTH; empty if there is none.

        Raises:
            Refused: the broker is not who it should be. The connection ends.
        """

    def finish(self, data: bytes) -> None:
        """The broker is content; ``data`` is its last word, empty if there is none.

        Raises:
            Refused: the broker is not who it should be. The connection ends.
        """
