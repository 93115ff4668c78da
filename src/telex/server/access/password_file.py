"""Mosquitto's password file: reading it, and letting in by it.

Knows when a password is hashed and for whom, and never keeps one. How it is
hashed is in ``passwords.py``.
"""

import asyncio
import hmac
import os
import sys
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Final

from msgspec import Struct

from telex.server.access.passwords import ScramKeys, ScramSha256, StoredPassword, parse
from telex.server.access.ways import Admitted, Applicant, Denied, Way
from telex.server.config import ConfigError

_MAX_BYTES: Final = 65_535
"""Of a user name and of a hash: what a string of MQTT can have (section 1.5.4)."""

_SHOWN: Final = 100
"""Characters of a user name that a reason shows."""


_NICE: Final = 10
"""Of threads that hash: they still get a tenth of a core that others want."""


class Remembered:
    """Which passwords were right lately, so that coming back costs no hash.

    Keeps no password, and nothing that a password could be found from without the key, which is
    nowhere but in the memory of this process.

    Args:
        most: how many; then those are forgotten that were not asked for longest.
    """

    def __init__(self, most: int = 100_000) -> None:
        self._most = most
        self._key = os.urandom(32)
        self._marks: OrderedDict[bytes, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._marks)

    def mark(self, *parts: bytes) -> bytes:
        """What stands for a user, a password, and how that is stored."""
        framed = b"".join(len(part).to_bytes(4) + part for part in parts)
        return hmac.digest(self._key, framed, "sha256")

    def knows(self, mark: bytes) -> bool:
        """Whether it is remembered. May be asked in any thread."""
        return mark in self._marks

    def add(self, mark: bytes) -> None:
        """Remember it, as the one that was asked for last."""
        self._marks[mark] = None
        self._marks.move_to_end(mark)
        if len(self._marks) > self._most:
            self._marks.popitem(last=False)


class Busy(Exception):
    """Too much waits already of those who come from one address."""


class _Job(Struct, frozen=True, eq=False):
    """One question that waits for its turn."""

    question: Callable[[], bool]
    answer: "asyncio.Future[bool]"


class Hasher:
    """Runs what takes long in threads, in turns: no address waits behind all that another one asks.

    Of each address one question is worked on at a time; addresses that ask take turns. An
    IPv6 address counts as its /64 network, since whoever has one has them all. Belongs to one
    event loop.

    Args:
        threads: how many questions are worked on at a time, of different addresses.
        max_waiting: questions of one address that may wait, beside the one that is worked on.
    """

    def __init__(self, *, threads: int = 2, max_waiting: int = 100) -> None:
        self.remembered: Final = Remembered()
        self._threads = threads
        self._max_waiting = max_waiting
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="telex-hash", initializer=_give_way)
        self._ready: OrderedDict[str, deque[_Job]] = OrderedDict()  # who waits for a turn, the next one first
        self._busy: dict[str, deque[_Job]] = {}  # whose question is worked on, and what waits behind it

    async def ask(self, host: str, question: Callable[[], bool]) -> bool:
        """Have a question answered in a thread, when it is the turn of its address.

        Args:
            host: the IP address that it is for; empty: a Unix socket.
            question: what takes long. Runs in a thread, or not at all if the caller is cancelled before.

        Raises:
            Busy: too many wait already that come from there.
        """
        source = _source(host)
        waiting = self._busy.get(source)
        if waiting is None:
            waiting = self._ready.setdefault(source, deque())
        if len(waiting) >= self._max_waiting:
            raise Busy
        job = _Job(question, asyncio.get_running_loop().create_future())
        waiting.append(job)
        self._start()
        try:
            return await job.answer
        except asyncio.CancelledError:
            self._forget(source, job)
            raise

    def close(self) -> None:
        """Answer nothing more. What is worked on ends by itself, and nobody hears of it."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        for waiting in [*self._ready.values(), *self._busy.values()]:
            for job in waiting:
                job.answer.cancel()
        self._ready.clear()
        for waiting in self._busy.values():
            waiting.clear()

    def _start(self) -> None:
        while self._ready and len(self._busy) < self._threads:
            source, waiting = self._ready.popitem(last=False)
            job = waiting.popleft()
            self._busy[source] = waiting
            work = asyncio.get_running_loop().run_in_executor(self._executor, job.question)
            work.add_done_callback(partial(self._ended, source, job))

    def _ended(self, source: str, job: _Job, work: "asyncio.Future[bool]") -> None:
        waiting = self._busy.pop(source)
        if waiting:
            self._ready[source] = waiting  # behind the others
        if work.cancelled():
            job.answer.cancel()
        elif (error := work.exception()) is not None:
            if not job.answer.done():
                job.answer.set_exception(error)
        elif not job.answer.done():
            job.answer.set_result(work.result())
        self._start()

    def _forget(self, source: str, job: _Job) -> None:
        waiting = self._busy.get(source, self._ready.get(source))
        if waiting is not None and job in waiting:
            waiting.remove(job)
            if not waiting:
                self._ready.pop(source, None)


def _give_way() -> None:
    """Let this thread take what time others leave: on a machine with few cores, many logins would be felt by all.

    With it, a message came back within 0.5 ms in 99 of 100 cases while passwords were hashed
    on both of two cores, and within 6 ms without.
    """
    if sys.platform == "linux":  # elsewhere it is the whole process that would give way
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


class PasswordFile(Way):
    """Lets in whom a password file names.

    Args:
        path: of the file, which is read now.
        hasher: where passwords are checked; what it remembers holds for the file that comes after this one too.

    Raises:
        ConfigError: the file cannot be used: where, and why.
    """

    def __init__(self, path: str, hasher: Hasher) -> None:
        self._users = read_password_file(path)
        self._stored = list(self._users.values())
        self._hasher = hasher

    async def check(self, applicant: Applicant) -> Admitted | Denied | None:
        """Whether this is a user's password. None, if the applicant has no user name: it is anonymous."""
        user = applicant.user_name
        password = applicant.password
        if user is None:
            return None
        shown = repr(user[:_SHOWN])
        if password is None:
            return Denied(reason=f"user {shown}: it has no password")
        if not self._stored:
            return Denied(reason=f"user {shown}: unknown")
        is_known = user in self._users
        stored = self._users[user] if is_known else self._decoy(user)
        remembered = self._hasher.remembered
        # Never the mark of one who is there: whoever was removed lately is to cost a hash too.
        mark = remembered.mark(user.encode(), password, stored.line.encode() if is_known else b"")
        try:
            is_right = remembered.knows(mark) or await self._hasher.ask(
                applicant.host,
                # Asked again, for those who waited while another one of theirs was found right.
                lambda: remembered.knows(mark) or stored.verify(password),
            )
        except Busy:
            return Denied(reason=f"user {shown}: too many logins of {_origin(applicant)} wait", is_guess=False)
        except MemoryError as error:
            return Denied(reason=f"user {shown}: its password cannot be checked: {error}", is_guess=False)
        if not is_known:
            return Denied(reason=f"user {shown}: unknown")
        if not is_right:
            return Denied(reason=f"user {shown}: wrong password")
        remembered.add(mark)
        return Admitted(user=user, credential=stored.digest)

    def still_admits(self, admitted: Admitted) -> bool:
        """Whether the user is there, and its password is stored as it was."""
        stored = self._users.get(admitted.user)
        return stored is not None and hmac.compare_digest(stored.digest, admitted.credential)

    def scram_keys(self, user: str) -> ScramKeys | None:
        """What SCRAM-SHA-256 needs to know of a user; None: nobody of that name has such keys."""
        stored = self._users.get(user)
        return stored.keys if isinstance(stored, ScramSha256) else None

    def _decoy(self, user: str) -> StoredPassword:
        """Somebody's stored password, for one who is unknown: checking it takes as long as for one who is there.

        Always the same for the same name, and each as likely as it is among those who are there:
        whoever measures finds nobody out, even where forms and iterations differ.
        """
        return self._stored[int.from_bytes(self._hasher.remembered.mark(user.encode())) % len(self._stored)]


def read_password_file(path: str) -> dict[str, StoredPassword]:
    """The users of a password file, and how their passwords are stored.

    A line is `user:hash`, with or without space around the two. Lines that begin with `#` or
    have no `:` say nothing.

    Raises:
        ConfigError: it cannot be read, or a line cannot be used: where, and why.
    """
    try:
        with open(path, "rb") as file:
            lines = file.read().split(b"\n")
    except OSError as error:
        raise ConfigError(
            f"{path}: the password file cannot be read: {error.strerror}; `telex passwd -c` makes one"
        ) from None
    users: dict[str, StoredPassword] = {}
    places: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if line.startswith(b"#") or b":" not in line:
            continue
        try:
            user, stored = _entry(line)
            if user in users:
                raise ValueError(f"user {user[:_SHOWN]!r} is in line {places[user]} already; remove one of them")
        except ValueError as error:
            raise ConfigError(f"{path}:{number}: {error}") from None
        users[user] = stored
        places[user] = number
    return users


def _entry(line: bytes) -> tuple[str, StoredPassword]:
    name, _, rest = line.partition(b":")
    try:
        user = name.strip().decode()
    except UnicodeDecodeError:
        raise ValueError("the user name is not UTF-8, so that nobody can log in with it") from None
    if not user:
        raise ValueError("there is no user name before the ':'")
    text = rest.strip()
    if max(len(name.strip()), len(text)) > _MAX_BYTES:
        raise ValueError(f"a user name or a hash has more than {_MAX_BYTES} bytes")
    shown = f"user {user[:_SHOWN]!r}"
    if not text:
        raise ValueError(f"{shown} has no hash of a password; `telex passwd` writes one")
    if text.startswith(b"$"):
        # Mosquitto reads nothing behind a second ':', and its forms have none.
        text = text.partition(b":")[0].strip()
    try:
        return user, parse(text.decode(errors="replace"))
    except ValueError as error:
        raise ValueError(f"{shown}: {error}; `telex passwd` writes a new one") from None


def _source(host: str) -> str:
    """Whose turn it is: an address, or the network that somebody surely has all of."""
    try:
        address = ip_address(host)
    except ValueError:  # a Unix socket
        return host
    if isinstance(address, IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address), 64), strict=False))


def _origin(applicant: Applicant) -> str:
    return applicant.host or "the Unix socket"
