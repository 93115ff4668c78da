"""Who judges a history: a ledger of what broker and clients owe each other, and a new one after each crash.

Knows which turns of the broker a crash has undone. What is owed is the ledger's
business.
"""

from telex.wire.packets import Connect
from tests.simulation.history import BrokerGot, Crashed, Event, Settled
from tests.simulation.ledger import Ledger, Message, Terms


class Referee:
    """Sees one event after the other, and raises the first ``Fault``.

    A broker that begins again after a crash owes what it has recorded, and that is what
    it owed at the end of its last turn that was safe. So the ledger of that moment is
    wanted: a new one sees the history again, and of what was lost in the crash only what
    clients know.
    """

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._ledger = Ledger(terms)
        self._events: list[Event] = []
        self._is_forgotten: list[bool] = []  # for each of them, whether the broker has forgotten it
        self._ends: list[int] = [0]  # for each turn, how many events there were at its end
        self._sessions: dict[int, int] = {}  # numbers, by link

    def see(self, event: Event) -> None:
        """Judge the next event.

        Raises:
            Fault: it breaks a rule.
        """
        if isinstance(event, Crashed):
            self._forget(event.turn)
        self._events.append(event)
        self._is_forgotten.append(False)
        self._ledger.see(event, len(self._events))
        if isinstance(event, Settled):
            self._ends.append(len(self._events))
        elif isinstance(event, BrokerGot) and isinstance(event.packet, Connect):
            session = self._ledger.wires[event.link].session
            self._sessions[event.link] = 0 if session is None else session.number

    def _forget(self, turn: int) -> None:
        """All that came after a turn is undone."""
        start = self._ends[turn]
        self._is_forgotten[start:] = [True] * (len(self._events) - start)
        ledger = self._ledger = Ledger(self._terms)
        for index, event in enumerate(self._events):
            if self._is_forgotten[index]:
                ledger.see_forgotten(event)
            else:
                ledger.see(event, index + 1)

    def session_of(self, link: int) -> int:
        """The number of the session that a connection goes on with; 0: none."""
        return self._sessions.get(link, 0)

    @property
    def retained(self) -> dict[str, Message]:
        """The retained messages that the broker must have, by topic."""
        return self._ledger.retained
