"""What leaves a session for another broker: which messages do, and what is written on them.

Knows hops. Knows no session and no bytes of packets; ``bridge.py`` knows topics and limits.
"""

from telex.engine.hops import Hops, has_passed, is_written
from telex.engine.message import Message
from telex.engine.queue import Outgoing


class Crossing:
    """The way out of a session whose client is a bridge.

    Args:
        hops: what this broker writes on messages.
        peer: the name of the broker at the other end; empty: nobody knows.
    """

    def __init__(self, hops: Hops, peer: str = "") -> None:
        self.hops = hops
        self.peer = peer

    def admits(self, message: Message, now: float) -> bool:
        """Whether a message that matched is to go there: asked once, when it comes."""
        return not self.peer or not has_passed(message, self.peer)

    def still_admits(self, message: Message) -> bool:
        """Whether a message that was admitted may go there now: asked when it has waited."""
        return True

    def written_on(self, message: Message) -> bytes:
        """What is added to its properties."""
        return self.hops.written_on(message)

    def completed(self, message: Message, extra: bytes) -> bytes:
        """The encoded properties that a message has which waited, and what is added to them.

        It is there already, unless the message came before anybody knew that the session is a bridge's: after a
        restart, for example.
        """
        return extra if is_written(extra) else extra + self.written_on(message)

    def keep(self, message: Message, first: int, extra: bytes) -> None:
        """Take in a message of QoS 0 while there is no connection."""

    def queued(self, outgoing: Outgoing, now: float) -> None:
        """A message above QoS 0 begins its way."""

    def done(self, outgoing: Outgoing, now: float) -> None:
        """The other end has it."""

    def ended(self, now: float) -> None:
        """The session is over."""
