"""Bans: who may not come in for a while, whether somebody said so or too many logins failed.

Knows names and addresses, and until when. Knows no connection, no clock and not what a failed login is.
"""

import secrets
from collections.abc import Callable, Iterator
from typing import Final

MOST: Final = 10_000
"""Bans that are remembered. Beyond that, those of failed logins are enforced all the same, and not listed."""


class Ban:
    """One ban. What is empty, it is not about.

    Args:
        address: where from; an IPv6 address stands for its /64.
        client_id: with which client id.
        user: with which user name; together with an address: this user from there.
        until: seconds since 1970.
        why: for people.
        lift: what ends it besides, for one that failed logins began; None: nothing.
    """

    def __init__(
        self,
        address: str,
        client_id: str,
        user: str,
        until: float,
        why: str,
        lift: Callable[[], None] | None = None,
    ) -> None:
        self.id = secrets.token_hex(8)
        self.address = address
        self.client_id = client_id
        self.user = user
        self.until = until
        self.why = why
        self.lift = lift


class Bans:
    """All bans of one broker.

    Args:
        key: by what an address counts.
    """

    def __init__(self, key: Callable[[str], str]) -> None:
        self._key = key
        self._bans: dict[str, Ban] = {}  # by id
        # Those that somebody said, each in one place: by its address, else its client id, else its user.
        self._said: dict[tuple[str, str], list[Ban]] = {}
        # Those that failed logins began, by address and user; the oldest first.
        self._automatic: dict[tuple[str, str], Ban] = {}

    def add(self, ban: Ban, now: float) -> bool:
        """Take in a ban that somebody said: False if there are too many such."""
        if len(self._bans) >= MOST:
            self._forget(now)
        if not self._has_room():
            return False
        self._bans[ban.id] = ban
        self._said.setdefault(self._place(ban), []).append(ban)
        return True

    def replace(self, ban: Ban) -> None:
        """Take in one that failed logins began, in place of one about the same."""
        former = self._automatic.get(self._pair(ban))
        if former is not None:
            self._drop(former)
        if self._has_room():
            self._bans[ban.id] = ban
            self._automatic[self._pair(ban)] = ban

    def _has_room(self) -> bool:
        """Whether there is room for one more; the oldest that failed logins began makes it, if need be."""
        if len(self._bans) >= MOST and self._automatic:
            self._drop(next(iter(self._automatic.values())))
        return len(self._bans) < MOST

    def remove(self, ban_id: str, now: float) -> bool:
        """End one: whether there was one."""
        ban = self._bans.get(ban_id)
        if ban is None:
            return False
        self._drop(ban)
        if ban.lift is not None:
            ban.lift()
        return ban.until > now

    def about(self, host: str, client_id: str, user: str, now: float) -> Ban | None:
        """A ban that somebody said and that somebody falls under who comes so; what is empty is not known."""
        if not self._said:
            return None
        places = (("address", self._key(host) if host else ""), ("client", client_id), ("user", user))
        for place in places:
            for ban in self._said.get(place, ()):
                if ban.until > now and self.concerns(ban, host, client_id, user):
                    return ban
        return None

    def concerns(self, ban: Ban, host: str, client_id: str, user: str) -> bool:
        """Whether a ban is about somebody: all that it names must fit."""
        return (
            (not ban.address or (bool(host) and self._key(ban.address) == self._key(host)))
            and (not ban.client_id or ban.client_id == client_id)
            and (not ban.user or ban.user == user)
        )

    def all(self, now: float) -> Iterator[Ban]:
        """Those that are in force."""
        self._forget(now)
        yield from list(self._bans.values())

    def _forget(self, now: float) -> None:
        for ban in [each for each in self._bans.values() if each.until <= now]:
            self._drop(ban)

    def _drop(self, ban: Ban) -> None:
        del self._bans[ban.id]
        if ban.lift is not None:
            del self._automatic[self._pair(ban)]
            return
        place = self._place(ban)
        self._said[place].remove(ban)
        if not self._said[place]:
            del self._said[place]

    def _pair(self, ban: Ban) -> tuple[str, str]:
        return self._key(ban.address), ban.user

    def _place(self, ban: Ban) -> tuple[str, str]:
        if ban.address:
            return "address", self._key(ban.address)
        return ("client", ban.client_id) if ban.client_id else ("user", ban.user)
