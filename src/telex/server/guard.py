"""The broker's protection: how much of everything one address or one client may cause.

Pure rules, driven by ``config.Protection``: no socket, no loop, no clock. Each method
gets the time; what it says is for the caller to do. What is remembered of addresses
is bounded, and forgotten when they are quiet.

An IPv6 address counts by its first 64 bits: that is what one subscriber has, and can
choose from. A client that came by a Unix socket (host ``""``) is of this machine and
has no address: it counts among all connections and those of its listener.

What a ban does to others behind the same address, a company's or a mobile network's:
first only the pair of address and user name is banned, so that a device with an old
password shuts out itself and nobody else. Only when an address has five times as many
failures, whatever the names, nobody gets in from there any more, for as long.
"""

import ipaddress
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import islice
from typing import Final

from telex.server.bans import Ban, Bans
from telex.server.config import Protection
from telex.server.log import Event, Throttle, clipped, tell

DISCONNECT: Final = -1.0
"""What ``Meter.received`` answers of a client that has to go: disconnect it with 0x96, message rate too high."""

_TOO_LONG: Final = float("inf")  # what a bucket answers in place of a pause when patience is at an end
_NOTHING: Final = 1e-6  # what may be left of adding up fractions of seconds
_BURST_SECONDS: Final = 1.0  # what a client may bring at once is what its rate allows in this time
_LONGEST_PAUSE: Final = 5.0  # seconds; then a little is read, so that who is slowed down can keep its connection alive
_LONGEST_WAIT: Final = 10.0  # seconds that a connection may have to wait for its turn ...
_MOST_WAITING: Final = 50  # ... and how many of one address; each of them is an open socket of ours
_ADDRESS_FACTOR: Final = 5  # so many times more failures ban an address as a whole
_LONGEST_BAN: Final = 3_600.0  # seconds
_MOST_USERS: Final = 100  # with failures, for each address; failures of others count for the address alone
_MOST_ADDRESSES: Final = 50_000  # that are remembered, beyond those that have connections
_MOST_IDS: Final = 10_000  # client ids that were taken over lately
_STORM_SECONDS: Final = 60.0  # in which takeovers of one id are counted, and that have to be quiet to end a storm
_REFUSALS: Final = 3  # lines about refused connections of one address in ten seconds


class Counts:
    """Who was turned away since the start, and what else was done for protection."""

    def __init__(self) -> None:
        self.refused_connections = 0  # too many of them: in all, of an address, at a listener
        self.refused_rate = 0  # connections that came too fast, and could not wait
        self.refused_banned = 0  # connections from banned addresses
        self.refused_logins = 0  # CONNECTs, and logins at the HTTP port; connections on which no CONNECT came
        self.delayed_connections = 0  # that had to wait
        self.slowed_reads = 0  # after which a client was not read for a while
        self.disconnected_rate = 0  # clients that had to go, since they brought too much
        self.bans = 0
        self.takeover_storms = 0
        self.delayed_takeovers = 0

    @property
    def refused(self) -> int:
        """All that were turned away."""
        return self.refused_connections + self.refused_rate + self.refused_banned + self.refused_logins


class Guard:
    """Counts who comes and what they cause.

    Args:
        protection: the limits.
        listener_limits: the largest number of connections of each listener that has one, by its name.
    """

    def __init__(self, protection: Protection, listener_limits: Mapping[str, int | None] | None = None) -> None:
        self.protection = protection
        self.counts = Counts()
        self._listener_limits = dict(listener_limits or {})
        self._open = 0
        self._open_at: dict[str, int] = {}  # connections by listener
        # Those that were not looked at for longest are first, which a plain dict would be slow to find.
        self._addresses: OrderedDict[str, _Address] = OrderedDict()
        self._takeovers: OrderedDict[int, _Takeovers] = OrderedDict()  # by hash of the client id: ids may be long
        self._throttle = Throttle(_REFUSALS)
        self.bans = Bans(_key)
        self.on_ban: Callable[[Ban], None] = _ignore  # is told of each that begins

    def change(self, protection: Protection, listener_limits: Mapping[str, int | None] | None = None) -> None:
        """Go on with other limits; all counts stay.

        A connection that is there already may need another ``meter``.
        """
        self.protection = protection
        self._listener_limits = dict(listener_limits or {})

    def tick(self, now: float) -> None:
        """About once a second: tell of refusals that were not written down, and forget who is quiet."""
        self._throttle.tick(now)
        self._forget(now, 100)

    # Connections

    def comes(self, host: str, listener: str, now: float) -> float | None:
        """A connection comes: the seconds that it has to wait, or None if it is to be closed at once.

        With PROXY protocol, ask when the header has told the client's address. One that
        was not refused counts until ``goes``, also while it waits.
        """
        refusal, wait = self._answer(host, listener, now)
        if refusal:
            fields = {"address": host or None, "listener": listener, "reason": refusal}
            words = f"Client connection from {host or listener} denied: {refusal}."
            event = Event("turned away", fields, mosquitto=words, kind="notice", is_refusal=True)
            self._throttle.tell(_key(host), event, now)
            return None
        self._open += 1
        self._open_at[listener] = self._open_at.get(listener, 0) + 1
        if host:
            self._address(host, now).open += 1
        if wait:
            self.counts.delayed_connections += 1
        return wait

    def goes(self, host: str, listener: str, now: float) -> None:
        """A connection that was not refused is over: to be called once for each."""
        self._open -= 1
        left = self._open_at[listener] - 1
        if left:
            self._open_at[listener] = left
        else:
            del self._open_at[listener]
        if host:
            self._address(host, now).open -= 1

    @property
    def open_count(self) -> int:
        """How many connections there are."""
        return self._open

    def _answer(self, host: str, listener: str, now: float) -> tuple[str, float]:
        """Why a connection is refused, or how long it has to wait."""
        protection = self.protection
        address = self._address(host, now) if host else None
        if self.banned_until(host, None, now):
            self.counts.refused_banned += 1
            return "its address is banned after failed logins", 0.0
        if self.bans.about(host, "", "", now) is not None:
            self.counts.refused_banned += 1
            return "its address is banned", 0.0
        at_most = self._listener_limits.get(listener) or 0
        if _is_full(self._open, protection.max_connections) or _is_full(self._open_at.get(listener, 0), at_most):
            refusal = "max_connections exceeded"
        elif address is not None and _is_full(address.open, protection.max_connections_per_address):
            refusal = "max_connections_per_address exceeded"
        else:
            return self._turn(address, now)
        self.counts.refused_connections += 1
        return refusal, 0.0

    def _turn(self, address: "_Address | None", now: float) -> tuple[str, float]:
        """When it is the turn of a connection, if each address has only so many a second."""
        rate = self.protection.connects_per_second
        if address is None or rate == 0:
            return "", 0.0
        due = max(address.connects_due, now) + 1 / rate
        wait = due - now - max(_BURST_SECONDS, 1 / rate)  # the first one never waits
        if wait <= _NOTHING:
            wait = 0.0
        elif wait > _LONGEST_WAIT or wait * rate > _MOST_WAITING + _NOTHING:
            self.counts.refused_rate += 1
            return "connects_per_second exceeded", 0.0
        address.connects_due = due
        return "", wait

    # Rates

    def meter(self, host: str) -> "Meter | None":
        """What measures a new client that comes from there; None: nothing is limited.

        The client has to be counted among the connections (``comes``) as long as it is measured.
        """
        protection = self.protection
        if not (
            protection.messages_per_second
            or protection.bytes_per_second
            or (host and (protection.messages_per_second_per_address or protection.bytes_per_second_per_address))
        ):
            return None
        return Meter(self, self._addresses.setdefault(_key(host), _Address()) if host else None)

    # Failed logins

    def failed(self, host: str, user: str, now: float) -> None:
        """A login failed: somebody guessed, or has an old password. One is forgiven every ``ban_seconds``."""
        if not self._may_ban(host) or self.banned_until(host, user, now) > 0:
            return  # it was under way when the ban began
        address = self._address(host, now)
        after = self.protection.ban_after
        seconds = self.protection.ban_seconds
        trust = address.users.get(hash(user))
        if trust is None and self._has_room_for_user(address, now):
            trust = address.users[hash(user)] = _Trust()
        if trust is not None and trust.fails(after, seconds, now):
            self._tell_ban(host, user, trust, now)
        if address.trust.fails(after * _ADDRESS_FACTOR, seconds / _ADDRESS_FACTOR, now, seconds):
            self._tell_ban(host, None, address.trust, now)

    def succeeded(self, host: str, user: str, now: float) -> None:
        """A login went well: the failures of this user from there were slips of the finger.

        Those of others stay: who has one password may still guess another's.
        """
        address = self._addresses.get(_key(host))
        trust = None if address is None else address.users.pop(hash(user), None)
        if address is not None and trust is not None:
            address.trust.failures = max(0.0, address.trust.failures - trust.failures)

    def banned_until(self, host: str, user: str | None, now: float) -> float:
        """When a user may log in again from there; 0.0: now. With None: when anybody may.

        To be asked right before a password is checked, also when it had to wait for that.
        """
        address = self._addresses.get(_key(host))
        if address is None or not self._may_ban(host):
            return 0.0
        until = address.trust.banned_until
        trust = None if user is None else address.users.get(hash(user))
        if trust is not None:
            until = max(until, trust.banned_until)
        return until if until > now else 0.0

    def _may_ban(self, host: str) -> bool:
        return bool(host) and self.protection.ban_after > 0 and self.protection.ban_seconds > 0

    def _has_room_for_user(self, address: "_Address", now: float) -> bool:
        if len(address.users) >= _MOST_USERS:
            address.forget_users(self.protection.ban_seconds, now)
        return len(address.users) < _MOST_USERS

    def _tell_ban(self, host: str, user: str | None, trust: "_Trust", now: float) -> None:
        seconds = trust.banned_until - now
        self.counts.bans += 1
        ban = Ban(host, "", clipped(user or ""), trust.banned_until, "failed logins", trust.forgive)
        self.bans.replace(ban)
        self.on_ban(ban)
        fields = {
            "address": host,
            "user": None if user is None else clipped(user),
            "seconds": seconds,
            "reason": "failed logins",
        }
        tell(logging.WARNING, Event("banned", fields))

    # Clients that chase each other

    def taken_over(self, client_id: str, old_address: str, new_address: str, now: float) -> float:
        """A client comes with the id of one that is connected: the seconds that it has to wait before it is admitted.

        Two devices with the same id throw each other out for ever. More than ``takeovers`` in
        a minute are a storm: that is told once, and slowed down until a minute was quiet.
        """
        most = self.protection.takeovers
        if most == 0:
            return 0.0
        key = hash(client_id)
        known = self._takeovers.pop(key, None)
        if known is None or now - known.last_at >= _STORM_SECONDS:
            known = _Takeovers()
        while len(self._takeovers) >= _MOST_IDS:
            self._takeovers.popitem(last=False)
        self._takeovers[key] = known
        if not known.adds(now, most):
            return 0.0
        if not known.is_storm:
            known.is_storm = True
            self.counts.takeover_storms += 1
            fields = {
                "client": clipped(client_id),
                "address": new_address,
                "other": old_address,
                "reason": "two clients have the same client id and take it from each other; give them different ones",
            }
            tell(logging.WARNING, Event("takeover storm", fields))
        if self.protection.takeover_delay:
            self.counts.delayed_takeovers += 1
        return self.protection.takeover_delay

    # Memory

    @property
    def address_count(self) -> int:
        """How many addresses are remembered."""
        return len(self._addresses)

    def _address(self, host: str, now: float) -> "_Address":
        key = _key(host)
        address = self._addresses.get(key)
        if address is None:
            self._forget(now, 2)  # faster than new ones come
            address = self._addresses[key] = _Address()
        return address

    def _forget(self, now: float, count: int) -> None:
        """Look at those that were not looked at for longest, and forget those that are quiet."""
        seconds = self.protection.ban_seconds
        for key in list(islice(self._addresses, count)):
            address = self._addresses[key]
            has_room = len(self._addresses) <= _MOST_ADDRESSES
            if address.open or (has_room and not address.is_quiet(seconds, now)):
                self._addresses.move_to_end(key)
            else:
                del self._addresses[key]
        for takeover in list(islice(self._takeovers, count)):
            if now - self._takeovers[takeover].last_at >= _STORM_SECONDS:
                del self._takeovers[takeover]


class Meter:
    """Measures what one client brings. Made by ``Guard.meter``."""

    __slots__ = ("_address", "_bytes", "_guard", "_last_at", "_messages")

    def __init__(self, guard: Guard, address: "_Address | None") -> None:
        self._guard = guard
        self._address = address  # that it shares; None: it has none
        self._messages = _Bucket()
        self._bytes = _Bucket()
        self._last_at = 0.0  # when it brought something

    def received(self, size: int, messages: int, now: float) -> float:
        """The client brought so many bytes and messages: the seconds for which it is not to be read now.

        0.0, as a rule. ``DISCONNECT``, which is negative: for ``patience`` seconds it, or its
        address, was above a rate, it was slowed down, and it goes on with more than half
        of its share of what is allowed: it has to go. Who only works off a burst may stay.
        """
        protection = self._guard.protection
        patience = protection.patience
        since = now - self._last_at
        self._last_at = now
        pause = 0.0
        rate = protection.messages_per_second
        if rate:
            pause = self._messages.add(messages, rate, now, since, patience)
        rate = protection.bytes_per_second
        if rate:
            pause = max(pause, self._bytes.add(size, rate, now, since, patience))
        address = self._address
        if address is not None:
            share = since / max(1, address.open)
            rate = protection.messages_per_second_per_address
            if rate:
                pause = max(pause, address.messages.add(messages, rate, now, share, patience))
            rate = protection.bytes_per_second_per_address
            if rate:
                pause = max(pause, address.bytes.add(size, rate, now, share, patience))
        if pause == 0.0:
            return 0.0
        counts = self._guard.counts
        if pause == _TOO_LONG:
            counts.disconnected_rate += 1
            return DISCONNECT
        counts.slowed_reads += 1
        return min(pause, _LONGEST_PAUSE)


class _Bucket:
    """What was brought and not yet paid for with time, at the rate that is allowed."""

    __slots__ = ("above_since", "due")

    def __init__(self) -> None:
        self.due = 0.0  # when all of it will be paid for
        self.above_since = 0.0  # since when each reading found more than a burst; 0: the last did not

    def add(self, amount: int, rate: float, now: float, share: float, patience: float) -> float:
        """Bring something: how long to wait then; ``_TOO_LONG`` if patience is at an end.

        ``share`` is for how many seconds of the rate whoever brings it has waited.
        """
        if self.due <= now:
            self.due = now
            self.above_since = 0.0
        cost = amount / rate
        self.due += cost
        pause = self.due - now - max(_BURST_SECONDS, 1 / rate)  # one message is never too much at once
        if pause <= _NOTHING:
            self.above_since = 0.0
            return 0.0
        if self.above_since == 0.0:
            self.above_since = now
        elif now - self.above_since >= patience and 2 * cost >= share:
            return _TOO_LONG
        return pause


class _Trust:
    """How often somebody failed to log in, less what time has forgiven."""

    __slots__ = ("banned_until", "bans", "failed_at", "failures")

    def __init__(self) -> None:
        self.failures = 0.0
        self.failed_at = 0.0  # the last time
        self.bans = 0  # in a row: each is twice as long
        self.banned_until = 0.0

    def fails(self, most: int, seconds: float, now: float, ban_seconds: float = 0.0) -> bool:
        """Once more; one failure is forgiven every so many seconds. Whether that begins a ban, as long by default."""
        self.failures = self._left(seconds, now) + 1
        self.failed_at = now
        if self.failures <= most - 1 + _NOTHING:  # a little of those before is forgiven, unless all came at once
            return False
        if now - self.banned_until > _LONGEST_BAN:
            self.bans = 0
        first = ban_seconds or seconds
        self.banned_until = now + min(first * 2 ** min(self.bans, 30), max(_LONGEST_BAN, first))
        self.bans += 1
        self.failures = 0.0
        return True

    def forgive(self) -> None:
        """End a ban before its time."""
        self.banned_until = 0.0
        self.failures = 0.0

    def is_quiet(self, seconds: float, now: float) -> bool:
        """Whether nothing is known that still matters."""
        return self._left(seconds, now) == 0 and (self.bans == 0 or now - self.banned_until > _LONGEST_BAN)

    def _left(self, seconds: float, now: float) -> float:
        if self.failures == 0 or seconds == 0:
            return 0.0
        return max(0.0, self.failures - (now - self.failed_at) / seconds)


class _Address:
    """What is known of an address."""

    __slots__ = ("bytes", "connects_due", "messages", "open", "trust", "users")

    def __init__(self) -> None:
        self.open = 0  # connections
        self.connects_due = 0.0  # when all connections that came are paid for, at the rate that is allowed
        self.messages = _Bucket()
        self.bytes = _Bucket()
        self.trust = _Trust()  # as a whole
        self.users: dict[
            int, _Trust
        ] = {}  # those who failed to log in from there, by hash of the name: names may be long

    def is_quiet(self, ban_seconds: float, now: float) -> bool:
        """Whether it may be forgotten."""
        if self.open or max(self.connects_due, self.messages.due, self.bytes.due) > now:
            return False
        self.forget_users(ban_seconds, now)
        return not self.users and self.trust.is_quiet(ban_seconds / _ADDRESS_FACTOR, now)

    def forget_users(self, ban_seconds: float, now: float) -> None:
        """Forget the users of whom nothing matters any more."""
        for user in [user for user, trust in self.users.items() if trust.is_quiet(ban_seconds, now)]:
            del self.users[user]


class _Takeovers:
    """How often a client id was taken over lately."""

    __slots__ = ("_times", "is_storm", "last_at")

    def __init__(self) -> None:
        self._times: list[float] = []
        self.is_storm = False
        self.last_at = 0.0

    def adds(self, now: float, most: int) -> bool:
        """Once more. Whether that is too often."""
        self.last_at = now
        self._times = [each for each in self._times if now - each < _STORM_SECONDS][-most:]
        self._times.append(now)
        return self.is_storm or len(self._times) > most


def _ignore(ban: Ban) -> None:
    """Nobody wants to know."""


def _is_full(count: int, most: int) -> bool:
    return 0 < most <= count


@lru_cache(maxsize=4_096)  # it is asked several times for each connection
def _key(host: str) -> str:
    """By what an address is counted: itself, or the 64 bits of an IPv6 network."""
    if ":" not in host:
        return host
    try:
        address = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(address) >> 64 << 64)) + "/64"
