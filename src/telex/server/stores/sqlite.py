"""The journal on SQLite: one database file, one thread that writes it.

A transaction holds all that gathered while the one before it was written, and
is on the disk when it is committed (WAL, ``synchronous=FULL``). Knows rows;
what they mean for a broker is the engine's business.
"""

import asyncio
import errno
import getpass
import logging
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

from telex import codes
from telex.engine import records
from telex.engine.message import Message
from telex.engine.seams import GatheringJournal
from telex.errors import ProtocolError
from telex.rows import delete_rows, write_rows
from telex.server.stores.changes import PACKET_IDS, Changes, listed
from telex.wire.data import Reader
from telex.wire.packets import Will
from telex.wire.properties import WILL, Properties, decode_properties

logger = logging.getLogger("telex")

FILE_NAME: Final = "telex.db"
APPLICATION_ID: Final = int.from_bytes(b"tlex", "big")
"""In the database's header: whose it is."""

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        # ends_at is NULL while the client is connected; 0: the session never ends. Times are seconds since 1970.
        """CREATE TABLE sessions (
            number INTEGER PRIMARY KEY, client_id TEXT NOT NULL, expiry_interval INTEGER NOT NULL,
            ends_at REAL, will_at REAL) STRICT""",
        """CREATE TABLE wills (
            client_id TEXT PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL,
            qos INTEGER NOT NULL, retain INTEGER NOT NULL, properties BLOB) STRICT""",
        """CREATE TABLE subscriptions (
            session INTEGER NOT NULL, topic_filter TEXT NOT NULL, qos INTEGER NOT NULL, no_local INTEGER NOT NULL,
            retain_as_published INTEGER NOT NULL, identifier INTEGER NOT NULL,
            PRIMARY KEY (session, topic_filter)) STRICT, WITHOUT ROWID""",
        # A message is stored once, however many wait for it: among the messages if there are several, otherwise in
        # the row of the only one. Its flags are QoS and RETAIN, as in the first byte of a PUBLISH.
        """CREATE TABLE messages (
            id INTEGER PRIMARY KEY, receivers INTEGER NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL,
            flags INTEGER NOT NULL, properties BLOB, expires_at REAL) STRICT""",
        """CREATE TABLE queue (
            number INTEGER PRIMARY KEY, session INTEGER NOT NULL, first INTEGER NOT NULL, extra BLOB, shared TEXT,
            message INTEGER, topic TEXT, payload BLOB, flags INTEGER, properties BLOB, expires_at REAL,
            CHECK ((message IS NULL) = (topic IS NOT NULL AND payload IS NOT NULL AND flags IS NOT NULL))) STRICT""",
        "CREATE INDEX queue_by_session ON queue (session)",
        # released is NULL until PUBREC; then later ones have higher ones.
        "CREATE TABLE in_flight (number INTEGER PRIMARY KEY, packet_id INTEGER NOT NULL, released INTEGER) STRICT",
        """CREATE TRIGGER done AFTER DELETE ON queue BEGIN
            DELETE FROM in_flight WHERE number = old.number;
        END""",
        """CREATE TRIGGER done_with_message AFTER DELETE ON queue WHEN old.message IS NOT NULL BEGIN
            UPDATE messages SET receivers = receivers - 1 WHERE id = old.message;
            DELETE FROM messages WHERE id = old.message AND receivers = 0;
        END""",
        "CREATE TABLE owned (key INTEGER PRIMARY KEY) STRICT",  # the session's number * 65,536 + the packet id
        """CREATE TABLE retained (
            topic TEXT PRIMARY KEY, payload BLOB NOT NULL, qos INTEGER NOT NULL, properties BLOB,
            expires_at REAL, publisher_id TEXT NOT NULL) STRICT""",
    ),
    (
        "ALTER TABLE retained ADD COLUMN publisher_user TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE retained ADD COLUMN published_at REAL NOT NULL DEFAULT 0",  # 0: before this was written down
    ),
)
"""What makes a database of schema N one of schema N + 1; a new file has schema 0."""

DURABILITIES: Final = ("strict", "relaxed")

_OLDEST_SQLITE: Final = (3, 37)  # STRICT tables: their check finds values of a wrong type

_PAGE_MESSAGES: Final = 500
_PAGE_BYTES: Final = 1024 * 1024
_CHECKPOINT_PAGES: Final = 4_000  # of 4 KiB in the write-ahead log, before they go into the database
_RELAXED_SECONDS: Final = 0.5  # between two commits, so that nothing is older than a second
_RETRY_SECONDS: Final = 1.0
_VANISHING_SECONDS: Final = 0.001
"""How long a batch waits for the acknowledgements of what it has just sent: that need not be written then."""

_QUEUED: Final = """queue.number, session, first, extra, CAST(shared AS BLOB), message,
    CAST(coalesce(queue.topic, messages.topic) AS BLOB), coalesce(queue.payload, messages.payload),
    coalesce(queue.flags, messages.flags), coalesce(queue.properties, messages.properties),
    coalesce(queue.expires_at, messages.expires_at)
    FROM queue LEFT JOIN messages ON id = message"""
"""What a row of the queue and its message say, for a SELECT. Text comes as bytes: a damaged one costs its row only."""

_Fetch = tuple[str, int, int]  # client id, session, after
_Page = tuple[str, int, list[records.Queued]]


class StoreError(Exception):
    """The store cannot be opened: why, and what to do."""


class SqliteJournal(GatheringJournal):
    """Keeps records in a directory.

    Args:
        directory: where the database is, or is to be.
        durability: ``strict``, or ``relaxed``: what was appended counts as committed at
            once, and is within a second.
        migrations: the schemas that are known, for tests.

    ``open``, ``load`` and ``start`` come in this order, and ``close`` at the end.
    """

    def __init__(
        self,
        directory: Path,
        *,
        durability: str = "strict",
        migrations: Sequence[Sequence[str]] = MIGRATIONS,
    ) -> None:
        if durability not in DURABILITIES:
            raise ValueError(f"durability is {durability!r}, expected one of {', '.join(DURABILITIES)}")
        super().__init__(is_relaxed=durability == "relaxed")
        self.gives_back = True
        self.path = directory / FILE_NAME
        self._migrations = migrations
        self._fetches: list[_Fetch] = []
        self._job = _Job(Changes(), [], [], 0)  # the last one that the thread was given
        self._is_busy = False  # the thread has something to do
        self._written = 0  # the position up to which all is written
        self._timer: asyncio.TimerHandle | None = None
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._idle = asyncio.Event()

    # From the start to the end

    def open(self) -> None:
        """Open the database, or make it; one that is damaged is put aside.

        Raises:
            StoreError: the directory is not ours to write, another broker uses it, or
                it was written by a newer version.
        """
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            oldest = ".".join(map(str, _OLDEST_SQLITE))
            raise StoreError(
                f"this Python has SQLite {sqlite3.sqlite_version}, and {oldest} is needed: take a newer one"
            )
        self._prepare_directory()
        try:
            self._connect()
        except (sqlite3.DatabaseError, ValueError) as error:
            if isinstance(error, sqlite3.DatabaseError) and not _is_damage(error):
                raise self._explained(error) from error
            self.put_aside(str(error))

    def load(self) -> Iterator[records.Record]:
        """What is kept, as records. What this raises is for ``is_damage`` to judge."""
        return self._kept()

    def is_damage(self, error: Exception) -> bool:
        """Whether an error while the database was read means that it is damaged."""
        if isinstance(error, sqlite3.Error):
            return isinstance(error, sqlite3.DatabaseError) and _is_damage(error)
        return isinstance(error, ProtocolError | ValueError | TypeError | KeyError | AttributeError)

    def refusal(self, error: Exception) -> StoreError:
        """Why the database cannot be read, although it is not damaged."""
        self._connection.close()
        if isinstance(error, sqlite3.DatabaseError):
            return self._explained(error)
        return StoreError(f"{self.path} cannot be read: {error!r}; choose another directory")

    def put_aside(self, reason: str) -> None:
        """Keep the database, which is damaged, under another name, and begin a new one.

        Raises:
            StoreError: that cannot be done.
        """
        try:
            self._put_aside(reason)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"{self.path} is damaged ({reason}) and no new one can be made beside it: {error}; "
                "make room on its disk, or choose another directory"
            ) from error

    def _put_aside(self, reason: str) -> None:
        connection: sqlite3.Connection | None = getattr(self, "_connection", None)
        if connection is not None:
            connection.close()
        name = aside_name = f"{self.path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}"
        count = 1
        while self.path.with_name(aside_name).exists():
            count += 1
            aside_name = f"{name}-{count}"
        aside = self.path.with_name(aside_name)
        for suffix in ("-wal", "-shm", ""):
            part = self.path.with_name(self.path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
        logger.error(
            "DAMAGED STORE: %s (%s); it is kept as %s, the broker starts with nothing", self.path, reason, aside
        )
        self._prepare_directory()
        self._connect()

    def start(
        self,
        on_committed: Callable[[], None],
        on_fetched: Callable[[str, int, list[records.Queued]], None],
        on_failing: Callable[[str], None],
        on_recovered: Callable[[], None],
    ) -> None:
        """Begin to write. The callbacks are called in the loop that runs now."""
        self._loop = asyncio.get_running_loop()
        self._on_committed = on_committed
        self._on_fetched = on_fetched
        self._on_failing = on_failing
        self._on_recovered = on_recovered
        # A program that ends without stopping its broker ends: nothing that was acknowledged is lost by that.
        self._thread = threading.Thread(target=self._write_jobs, name="telex-journal", daemon=True)
        self._thread.start()

    async def settled(self) -> None:
        """Wait until all that was appended is written, or cannot be."""
        position = self.appended
        while not self.is_failing and self._written < position:
            self._cancel_timer()
            self._hand_over()
            await self._idle.wait()

    def close(self) -> None:
        """Write what is left, and close the database."""
        self._cancel_timer()
        self._jobs.put(None)
        self._thread.join()
        changes = self._job.changes  # empty, unless it could not be written
        changes.add(self.take_gathered())
        if not changes.is_empty:
            try:
                self._write(changes)
            except sqlite3.Error as error:
                logger.error(
                    "what was not acknowledged is lost, since it could not be written: %s: %s", self.path, error
                )
        self._connection.close()

    # In the loop's thread

    def commit(self) -> None:
        """A turn is over: write what it brought, or let it gather while the one before is written."""
        if self._is_busy or self.is_failing or not (self.gathered or self._fetches):
            return
        wait = _RELAXED_SECONDS if self.is_relaxed else _VANISHING_SECONDS if self.may_vanish else 0.0
        if wait == 0.0 or self._fetches or self.is_behind:
            self._cancel_timer()
            self._hand_over()
        elif self._timer is None:
            self._timer = self._loop.call_later(wait, self._on_timer)

    def fetch(self, client_id: str, session: int, after: int) -> None:
        """Ask for the next messages of a session."""
        self._fetches.append((client_id, session, after))

    def _hand_over(self) -> None:
        if self._is_busy:
            return
        self._is_busy = True
        self._idle.clear()
        fetches, self._fetches = self._fetches, []
        self._job = _Job(self._job.changes, self.take_gathered(), fetches, self.appended)
        self._jobs.put(self._job)

    def _on_timer(self) -> None:
        self._timer = None
        self._hand_over()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_written(self, job: "_Job") -> None:
        """The thread has done its job."""
        self._is_busy = False
        self._idle.set()
        if not job.is_unwritten:
            self._written = job.position
            self.committed = max(self.committed, job.position)
        if job.error:
            self._fetches[:0] = job.fetches
            self._timer = self._loop.call_later(_RETRY_SECONDS, self._on_timer)
            if not self.is_failing:
                self.is_failing = True
                self._on_failing(job.error)
        else:
            if self.is_failing:
                self.is_failing = False
                self._on_recovered()
            for page in job.pages:
                self._on_fetched(*page)
        self._on_committed()
        if self.gathered and not self.is_failing and not self.is_relaxed:
            self._hand_over()  # it has waited already, for the one before it
        else:
            self.commit()

    # In the journal's thread

    def _write_jobs(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            try:
                job.changes.add(job.gathered)
                job.gathered = []
                self._write(job.changes)
                job.changes = Changes()
                job.is_unwritten = False
                job.pages = [self._page_or_less(*fetch) for fetch in job.fetches]
            except sqlite3.Error as error:
                job.error = str(error)
            except Exception as error:  # a fault of ours must not end the thread: everybody would wait for ever
                logger.exception("the journal failed")
                job.error = repr(error)
            self._loop.call_soon_threadsafe(self._on_written, job)

    def _write(self, changes: Changes) -> None:
        """Write all of it, or nothing.

        Raises:
            sqlite3.Error: the disk is full, or fails.
        """
        if changes.is_empty:
            return
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            self._write_sessions(changes)
            self._write_messages(changes)
            self._write_retained(changes)
            for session in changes.ended:
                execute("DELETE FROM queue WHERE session = ?", (session,))
                execute("DELETE FROM subscriptions WHERE session = ?", (session,))
                first = session * PACKET_IDS
                execute("DELETE FROM owned WHERE key BETWEEN ? AND ?", (first, first + PACKET_IDS - 1))
                execute("DELETE FROM sessions WHERE number = ?", (session,))
            execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                execute("ROLLBACK")
            raise

    def _write_sessions(self, changes: Changes) -> None:
        execute = self._connection.execute
        write_rows(self._connection, "INSERT OR REPLACE INTO sessions VALUES ", 5, changes.session_rows())
        for left in changes.left.values():
            execute(
                "UPDATE sessions SET ends_at = ?, will_at = ? WHERE number = ?",
                (left.ends_at, left.will_at, left.session),
            )
        rows: list[Any] = []
        for (session, topic_filter), made in changes.subscriptions.items():
            if made is None:
                execute("DELETE FROM subscriptions WHERE session = ? AND topic_filter = ?", (session, topic_filter))
            else:
                rows += (session, topic_filter, made.qos, made.no_local, made.retain_as_published, made.identifier)
        write_rows(self._connection, "INSERT OR REPLACE INTO subscriptions VALUES ", 6, rows)
        for client_id, will in changes.wills.items():
            if will is None:
                execute("DELETE FROM wills WHERE client_id = ?", (client_id,))
            else:
                execute(
                    "INSERT OR REPLACE INTO wills VALUES (?, ?, ?, ?, ?, ?)",
                    (client_id, will.topic, will.payload, will.qos, will.retain, listed(will.properties, WILL)),
                )

    def _write_messages(self, changes: Changes) -> None:
        new = changes.message_rows()
        own = "number, session, first, topic, payload, flags"
        write_rows(self._connection, f"INSERT INTO queue ({own}) VALUES ", 6, new.plain)
        write_rows(
            self._connection, f"INSERT INTO queue ({own}, extra, shared, properties, expires_at) VALUES ", 10, new.full
        )
        write_rows(self._connection, "INSERT INTO messages VALUES ", 7, new.messages)
        write_rows(
            self._connection,
            "INSERT INTO queue (number, session, first, message, extra, shared) VALUES ",
            6,
            new.of_messages,
        )
        in_flight = changes.in_flight_rows(self._releases)
        self._releases += len(changes.released)
        write_rows(self._connection, "INSERT OR REPLACE INTO in_flight VALUES ", 3, in_flight)
        delete_rows(self._connection, "DELETE FROM queue WHERE number IN ", changes.done)
        delete_rows(self._connection, "DELETE FROM owned WHERE key IN ", list(changes.disowned))
        write_rows(self._connection, "INSERT INTO owned VALUES ", 1, list(changes.owned))

    def _write_retained(self, changes: Changes) -> None:
        rows, gone = changes.retained_rows()
        write_rows(self._connection, "INSERT OR REPLACE INTO retained VALUES ", 8, rows)
        delete_rows(self._connection, "DELETE FROM retained WHERE topic IN ", gone)

    def _page_or_less(self, client_id: str, session: int, after: int) -> _Page:
        """A page; an empty one if the database is damaged there, which costs nobody else anything."""
        try:
            return self._page(client_id, session, after)
        except sqlite3.DatabaseError as error:
            if _primary_code(error) not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise  # the disk: it may go better the next time
            logger.error("DAMAGED STORE: %s: what waits for %r cannot be read: %s", self.path, client_id, error)
            return client_id, session, []

    def _page(self, client_id: str, session: int, after: int) -> _Page:
        """The next messages that wait for a session, as far as it takes many at a time."""
        begin = after
        rows = self._connection.execute(
            f"""SELECT {_QUEUED} LEFT JOIN in_flight ON in_flight.number = queue.number
               WHERE session = ? AND queue.number > ? AND packet_id IS NULL ORDER BY queue.number LIMIT ?""",
            (session, after, _PAGE_MESSAGES),
        )
        page: list[records.Queued] = []
        size = 0
        for number, _, first, extra, shared, _, topic, *columns in rows:
            after = number
            try:
                message = _message(topic.decode(), *columns)
                group = (shared or b"").decode()
            except (ProtocolError, TypeError, ValueError) as error:
                logger.error("DAMAGED STORE: %s: message %d of %r is left out: %s", self.path, number, client_id, error)
                continue
            page.append(records.Queued(number, session, message, first, extra or b"", group))
            size += len(page[-1].message.payload)
            if size > _PAGE_BYTES:
                break
        if not page and after != begin:  # all of these were damaged
            return self._page(client_id, session, after)
        return client_id, session, page

    # At the start

    def _prepare_directory(self) -> None:
        directory = self.path.parent
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            # The messages are their owners': nobody else may read them. A file that is there is not touched: to
            # close it would take away the locks that another broker of this process has on it.
            with suppress(FileExistsError):
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            if not os.access(self.path, os.R_OK | os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            probe = directory / f".telex-{os.getpid()}"  # SQLite makes files of its own beside it
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StoreError(
                f"{directory} cannot be written by user {_user()}: {error.strerror or error}; "
                "give it to that user, or choose another directory"
            ) from error

    def _connect(self) -> None:
        connection = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # held until the process ends, however it ends
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("COMMIT")
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError("; ".join(str(found).splitlines()))
            self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._releases: int = self._one("SELECT coalesce(max(released), 0) FROM in_flight")

    def _migrate(self, connection: sqlite3.Connection) -> None:
        schema: int = connection.execute("PRAGMA user_version").fetchone()[0]
        known = len(self._migrations)
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise sqlite3.DatabaseError("it is the database of another program")
        if tables and not schema:
            raise sqlite3.DatabaseError("it has tables and no schema")
        if schema > known:
            raise StoreError(
                f"{self.path} was written by a newer Telex (schema {schema}, this one knows up to {known}): "
                "install that version again, or choose another directory"
            )
        for number in range(schema, known):
            try:
                connection.execute("BEGIN IMMEDIATE")
                for statement in self._migrations[number]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {number + 1}")
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise StoreError(
                    f"{self.path} cannot be brought from schema {number} to {number + 1}: {error}; nothing of it was "
                    "changed: make room on its disk, or choose another directory"
                ) from error
            if schema:
                logger.info("migrated store=%s schema=%d", self.path, number + 1)

    def _explained(self, error: sqlite3.DatabaseError) -> StoreError:
        if _primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StoreError(f"another broker uses {self.path}: stop it, or choose another directory for this one")
        return StoreError(f"{self.path} cannot be opened by user {_user()}: {error}")

    def _one(self, query: str) -> Any:
        return self._connection.execute(query).fetchone()[0]

    def _kept(self) -> Iterator[records.Record]:
        execute = self._connection.execute
        for number, client_id, expiry_interval, ends_at, will_at in execute("SELECT * FROM sessions ORDER BY number"):
            yield records.SessionKept(number, client_id, expiry_interval)
            if ends_at is not None:
                yield records.SessionLeft(number, ends_at, will_at)
        for client_id, topic, payload, qos, retain, properties in execute("SELECT * FROM wills"):
            will = Will(topic, payload, qos=qos, retain=bool(retain), properties=_properties(properties, WILL))
            yield records.Willed(client_id, will)
        for session, topic_filter, qos, no_local, as_published, identifier in execute("SELECT * FROM subscriptions"):
            yield records.Subscribed(
                session,
                topic_filter,
                qos,
                no_local=bool(no_local),
                retain_as_published=bool(as_published),
                identifier=identifier,
            )
        yield from self._kept_in_flight()
        for session, count, size, last in execute(
            """SELECT session, count(*), sum(length(coalesce(queue.payload, messages.payload))), max(number)
               FROM queue LEFT JOIN messages ON id = message
               WHERE number NOT IN (SELECT number FROM in_flight) GROUP BY session"""
        ):
            yield records.Stored(session, count, size, last)
        for (key,) in execute("SELECT key FROM owned"):
            yield records.Owned(*divmod(key, PACKET_IDS))
        for topic, payload, qos, properties, expires_at, publisher_id, user, at in execute("SELECT * FROM retained"):
            message = _message(topic, payload, qos << 1 | 1, properties, expires_at)
            message.publisher_id = publisher_id
            message.publisher_user = user
            message.published_at = at
            yield records.Retain(message)

    def _kept_in_flight(self) -> Iterator[records.Record]:
        known: dict[int, Message] = {}  # by id: one object for all who get it
        rows = self._connection.execute(
            f"""SELECT packet_id, {_QUEUED} JOIN in_flight ON in_flight.number = queue.number
               ORDER BY in_flight.number"""
        )
        for packet_id, number, session, first, extra, shared, identifier, topic, *columns in rows:
            message = known.get(identifier)
            if message is None:
                message = _message(topic.decode(), *columns)
                if identifier is not None:
                    known[identifier] = message
            yield records.Queued(number, session, message, first, extra or b"", (shared or b"").decode())
            yield records.Sent(number, packet_id, first >> 1 & 3)
        for number, packet_id in self._connection.execute(
            "SELECT number, packet_id FROM in_flight WHERE released IS NOT NULL ORDER BY released"
        ):
            yield records.Released(number, packet_id)


class _Job:
    """What the loop's thread gives to the journal's, and gets back."""

    def __init__(self, changes: Changes, gathered: list[records.Record], fetches: list[_Fetch], position: int) -> None:
        self.changes = changes  # before: what the job before this could not write; after: what this one could not
        self.gathered = gathered
        self.fetches = fetches
        self.position = position  # of the last record
        self.is_unwritten = True
        self.pages: list[_Page] = []
        self.error = ""  # empty: everything is done


def _message(topic: str, payload: bytes, flags: int, properties: bytes | None, expires_at: float | None) -> Message:
    return Message(topic, payload, flags >> 1, bool(flags & 1), _properties(properties, codes.PUBLISH), expires_at)


def _properties(listed: bytes | None, packet_type: int) -> Properties | None:
    return None if listed is None else decode_properties(Reader(listed, 0, len(listed)), packet_type)


def _primary_code(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)  # Python's own errors have none
    return code & 0xFF


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    return _primary_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, 0)


def _user() -> str:
    """The user that this process runs as, whatever the environment says."""
    if sys.platform == "win32":
        return getpass.getuser()
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a user without a name, as in containers
        return str(os.geteuid())
