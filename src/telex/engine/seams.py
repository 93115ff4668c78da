"""The small interfaces that others implement for the engine."""

from mypy_extensions import mypyc_attr

from telex.engine.deadlines import Timed
from telex.engine.permissions import EVERYTHING, Permissions
from telex.engine.records import Record
from telex.wire.packets import Connect


@mypyc_attr(allow_interpreted_subclasses=True)
class Journal:
    """Where records go. This one forgets them: everything is in memory, and nothing waits for a disk.

    Positions count up from 0. What promises a record to a client leaves when
    ``committed`` has reached what ``appended`` was then.
    """

    def __init__(self) -> None:
        self.appended = 0  # the position of the last record
        self.committed = 0  # all records up to this position are safe

    def append(self, record: Record) -> None:
        """Take in a record."""


class Client(Timed):
    """One client's connection, as those see it who decide about it."""

    def admit(self, permissions: Permissions, now: float, data: bytes = b"") -> None:
        """Let the client in, or let it stay after a re-authentication: the good answer to ``Gate`` and ``Exchange``.

        ``data`` is what an authentication method says at its end.
        """
        raise NotImplementedError

    def refuse(self, reason_code: int, text: str, now: float, server_reference: str = "") -> None:
        """Send the client away: the other answer.

        The text is for our log: whom a login concerns may be a secret, so that
        the client gets the code only. With USE_ANOTHER_SERVER or SERVER_MOVED,
        ``server_reference`` may say where to go (section 4.11).
        """
        raise NotImplementedError

    def challenge(self, data: bytes, now: float) -> None:
        """Ask the client to go on with its authentication: the third answer of an ``Exchange`` (section 4.12)."""
        raise NotImplementedError

    def disconnect(self, reason_code: int, text: str, now: float, server_reference: str = "") -> None:
        """End the connection, and tell the client why where its version can (section 3.14)."""
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class Exchange:
    """One authentication of one client by a method that its CONNECT named (section 4.12)."""

    def receive(self, data: bytes, now: float) -> None:
        """Take in the Authentication Data that the client sends; empty if there is none.

        First that of the CONNECT, or in an authentication again that of the AUTH which
        asks for it; then that of each AUTH that follows. Answer with ``challenge``,
        ``admit`` or ``refuse`` of the client, at once or later. A first login that takes
        too long is ended like any other; for an authentication again the gate itself has
        to keep the time, the client stays connected meanwhile.
        """
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class Gate:
    """Decides who may come in. This one admits everybody."""

    def login(self, client: Client, packet: Connect, address: str, now: float) -> None:
        """Answer with ``client.admit`` or ``client.refuse``, at once or later.

        Until then nothing that the client sends is processed [MQTT-3.1.4-6].
        """
        client.admit(EVERYTHING, now)

    def exchange(self, client: Client, packet: Connect, address: str) -> Exchange | None:
        """Begin an authentication by the method that the CONNECT names, in place of ``login``.

        Asked at CONNECT, and again when the client authenticates again: then with its
        client id, its user name and the method, and nothing else of its CONNECT. Whether
        it must be the same user then is the gate's to say. None: we do not know the
        method; this gate knows none.
        """
        return None


@mypyc_attr(allow_interpreted_subclasses=True)
class Observer:
    """Is told of what happens rarely and interests people. This one does nothing."""

    def connected(self, client_id: str, address: str, packet: Connect) -> None:
        """A client's CONNECT was accepted."""

    def refused(self, client_id: str, address: str, reason: str) -> None:
        """A CONNECT was refused, or none came; ``client_id`` is empty if it is not known."""

    def disconnected(self, client_id: str, address: str, reason: str) -> None:
        """A connection whose CONNECT had been accepted is over."""

    def subscribed(self, client_id: str, topic_filter: str, qos: int) -> None:
        """A client has a new subscription, or an old one replaced."""

    def unsubscribed(self, client_id: str, topic_filter: str) -> None:
        """A client dropped a subscription."""

    def dropping(self, client_id: str, reason: str) -> None:
        """The first message of a row that a client will not get."""
