"""Shared Subscriptions: the members of a group, and whose turn it is (section 4.8.2).

Whoever comes, leaves, or is away for a while costs a group the same however many its members are.
"""

from telex.engine.message import Message
from telex.engine.session import Session, Subscription


class _Turns:
    """Members who take turns."""

    def __init__(self) -> None:
        self._members: list[Subscription] = []
        self._places: dict[Session, int] = {}  # of each in that list
        self._last = 0  # whose turn it was

    def __len__(self) -> int:
        return len(self._members)

    def next(self) -> Subscription:
        """Whose turn it is now. There must be somebody."""
        self._last += 1
        if self._last >= len(self._members):
            self._last = 0
        return self._members[self._last]

    def add(self, member: Subscription) -> None:
        """Add a member, or put it in its session's place."""
        place = self._places.get(member.session, -1)
        if place >= 0:
            self._members[place] = member
            return
        self._places[member.session] = len(self._members)
        self._members.append(member)

    def remove(self, session: Session) -> None:
        """Take out a session's member, if it is there; the last one of the row gets its place."""
        place = self._places.pop(session, -1)
        if place < 0:
            return
        last = self._members.pop()
        if place < len(self._members):
            self._members[place] = last
            self._places[last.session] = place
        if place == self._last:
            self._last -= 1  # so that it comes next, and nobody is left out


class SharedGroup:
    """The members of one ``$share`` group on one filter: each message goes to one of them."""

    def __init__(self) -> None:
        self.members: dict[Session, Subscription] = {}
        self._present = _Turns()  # who was connected when it was looked at last, and nobody else who is
        self._absent = _Turns()  # who is away, and has messages wait

    def add(self, member: Subscription) -> bool:
        """Add a member, or replace its session's: whether the session is new here."""
        session = member.session
        is_new = session not in self.members
        self.members[session] = member
        if session.outbox is not None:
            self.came_back(session)
        else:
            self._present.remove(session)
            self._went_away(member)
        return is_new

    def remove(self, session: Session) -> None:
        """Take out a session's member."""
        del self.members[session]
        self._present.remove(session)
        self._absent.remove(session)

    def came_back(self, session: Session) -> None:
        """The client of a member is connected. (That one is away is seen when its turn comes.)"""
        self._absent.remove(session)
        self._present.add(self.members[session])

    def _went_away(self, member: Subscription) -> None:
        if member.qos > 0:  # at QoS 0 nothing waits for a client that is away
            self._absent.add(member)
        else:
            self._absent.remove(member.session)

    def choose(self, message: Message) -> Subscription | None:
        """The member whose turn it is, of those that may receive the message; one that is connected before others.

        None if the message would be lost on all of them.
        """
        present = self._present
        for _ in range(len(present)):
            member = present.next()
            if member.session.outbox is None:
                present.remove(member.session)
                self._went_away(member)
                continue
            limited = member.limited(message.topic)
            if limited is not None:
                return limited
        if message.qos == 0:
            return None
        for _ in range(len(self._absent)):
            limited = self._absent.next().limited(message.topic)
            if limited is not None and limited.qos > 0:
                return limited
        return None
