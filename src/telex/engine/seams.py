"""The small interfaces that others implement for the engine."""

from collections.abc import Callable
from typing import Final

from mypy_extensions import mypyc_attr

from telex.engine.deadlines import Timed
from telex.engine.permissions import EVERYTHING, Permissions
from telex.engine.records import Done, Queued, Record, Retain, Sent
from telex.engine.visit import Visit
from telex.wire.packets import Connect

_BEHIND_RECORDS: Final = 50_000
_BEHIND_BYTES: Final = 16 * 1024 * 1024


@mypyc_attr(allow_interpreted_subclasses=True)
class Journal:
    """Where records go. This one forgets them: everything is in memory, and nothing waits for a disk.

    Positions count up from 0. What promises a record to a client leaves when
    ``committed`` has reached what ``appended`` was then.
    """

    def __init__(self) -> None:
        self.appended = 0  # the position of the last record
        self.committed = 0  # all records up to this position are safe
        self.is_failing = False  # nothing can be written now, so that nothing may be promised
        self.gives_back = False  # ``fetch`` works, so that messages need not wait in memory

    def append(self, record: Record) -> None:
        """Take in a record."""

    @property
    def is_behind(self) -> bool:
        """Whether so much waits to be written that those who bring more should wait."""
        return False

    def commit(self) -> None:
        """A turn is over: what was appended in it belongs together, and can be written."""

    def fetch(self, client_id: str, session: int, after: int) -> None:
        """Ask for the first messages that wait for a session behind the one with number ``after``.

        They are those that were ``Queued`` before this call and neither ``Sent`` nor ``Done``. The
        answer goes to ``Engine.fetched``, later.
        """
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class GatheringJournal(Journal):
    """Gathers the records of a turn, for whoever writes them.

    Args:
        is_relaxed: what is appended counts as safe at once, although it is not.
    """

    def __init__(self, *, is_relaxed: bool = False) -> None:
        super().__init__()
        self.is_relaxed = is_relaxed
        self.gathered: list[Record] = []
        self.gathered_bytes = 0  # of the payloads of messages among them, about
        self._first_number = 0  # of the first message that was queued since; 0: none
        self._fleeting = 0  # messages that were queued and sent since, at QoS 1, and may be acknowledged soon

    def append(self, record: Record) -> None:
        """Take in a record."""
        self.gathered.append(record)
        self.appended += 1
        if self.is_relaxed:
            self.committed = self.appended
        if isinstance(record, Queued):
            self.gathered_bytes += len(record.message.payload)
            if self._first_number == 0:
                self._first_number = record.number
        elif isinstance(record, Sent):
            if record.qos == 1 and 0 < self._first_number <= record.number:
                self._fleeting += 1
        elif isinstance(record, Done):
            if 0 < self._first_number <= record.number:
                self._fleeting -= 1
        elif isinstance(record, Retain):
            self.gathered_bytes += len(record.message.payload)

    @property
    def is_behind(self) -> bool:
        """Whether so much waits to be written that those who bring more should wait."""
        return len(self.gathered) > _BEHIND_RECORDS or self.gathered_bytes > _BEHIND_BYTES

    def take_gathered(self) -> list[Record]:
        """What has gathered; from now on something else gathers."""
        gathered = self.gathered
        self.gathered = []
        self.gathered_bytes = 0
        self._first_number = 0
        self._fleeting = 0
        return gathered

    @property
    def may_vanish(self) -> bool:
        """Whether some of it would be nothing to write if it were written a little later.

        A QoS 1 message leaves for a client that is there before it is stored, and the
        client's PUBACK is often faster than a disk.
        """
        return self._fleeting > 0


@mypyc_attr(allow_interpreted_subclasses=True)
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

    def login(self, client: Client, packet: Connect, visit: Visit, now: float) -> None:
        """Answer with ``client.admit`` or ``client.refuse``, at once or later; ``visit.user`` may be set before.

        Until then nothing that the client sends is processed [MQTT-3.1.4-6].
        """
        client.admit(EVERYTHING, now)

    def exchange(self, client: Client, packet: Connect, visit: Visit) -> Exchange | None:
        """Begin an authentication by the method that the CONNECT names, in place of ``login``.

        Asked at CONNECT, and again when the client authenticates again: then with its
        client id, its user name and the method, and nothing else of its CONNECT. Whether
        it must be the same user then is the gate's to say. None: we do not know the
        method; this gate knows none.
        """
        return None


@mypyc_attr(allow_interpreted_subclasses=True)
class Control:
    """Gets what clients publish to ``$CONTROL/...``, for whoever wants to be spoken to in MQTT. This one is deaf."""

    def receive(self, topic: str, payload: bytes, answer: Callable[[str, bytes, float], None], now: float) -> None:
        """A client that may do so published this; ``answer`` sends it, and nobody else, a topic and a payload."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Observer:
    """Is told of what happens rarely and interests people. This one does nothing."""

    def connected(self, visit: Visit, packet: Connect) -> None:
        """A client's CONNECT was accepted."""

    def refused(self, visit: Visit, reason: str) -> None:
        """A CONNECT was refused, or none came; then ``visit.client_id`` is empty."""

    def disconnected(self, visit: Visit, reason: str, now: float) -> None:
        """A connection whose CONNECT had been accepted is over."""

    def denied(self, visit: Visit, action: str, topic: str, rule: str) -> None:
        """A client may not ``publish`` or ``subscribe`` what it wanted to; ``rule`` says why."""

    def subscribed(self, client_id: str, topic_filter: str, qos: int) -> None:
        """A client has a new subscription, or an old one replaced."""

    def unsubscribed(self, client_id: str, topic_filter: str) -> None:
        """A client dropped a subscription."""

    def missed(self, client_id: str, count: int, total: int) -> None:
        """A client that comes or goes did not get so many messages since the last time, and so many in its session."""

    def dropping(self, client_id: str, topic: str, reason: str) -> None:
        """The first message of a row that a client will not get, or that is not retained for anybody."""
