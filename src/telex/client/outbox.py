"""The outbox on disk: what a client publishes waits in a file until the broker has it.

Knows rows, limits and one thread that writes them. Knows no connection and no
network; whoever sends says what has become of each message. What ``put`` has
returned for is on the disk (SQLite, WAL, ``synchronous=FULL``), and survives the
end of the program and of the power. It leaves in the order of ``put``; at QoS 1
at least once, at QoS 2 exactly once, as long as the broker keeps the session.

The calls of a client, in order::

    outbox = Outbox("out.db")
    for message in await outbox.open(client_id, on_committed):
        ...                             # what an earlier life had in flight goes into the Sender, in this order, with
                                        # message.packet_id and message.is_released: the connection resumes with it
    number = await outbox.put(...)      # publish(): stored now, with or without a connection
    outbox.forget()                     # CONNACK without session_present, before anything is sent: no packet id counts
                                        # any more; what was released is done
    async for message in outbox:        # one at a time, as the connection can send it; or take(), which never waits
        await outbox.settled(outbox.done(number))               # QoS 0, before PUBLISH leaves: at most once
        outbox.sent(number, packet_id)                          # QoS 1: nobody has to wait for it
        await outbox.settled(outbox.sent(number, packet_id))    # QoS 2, before PUBLISH leaves
    await outbox.settled(outbox.released(number))               # PUBREC below 0x80, before PUBREL leaves
    outbox.done(number)                 # PUBACK, PUBCOMP, PUBREC of 0x80 and above, or given up for another reason
    await outbox.close()

Instead of ``await settled(position)``, bytes may be held back until ``committed >= position``;
``on_committed`` tells when to look. What left before it was stored could come twice: a broker that has seen
PUBREL takes a repeated PUBLISH for a new message, and one that knows a packet id takes a new message for a repeat.

To look into the file, also while a program uses it::

    sqlite3 -readonly out.db "SELECT number, topic, qos, length(payload), datetime(put_at, 'unixepoch') FROM messages"
    sqlite3 -readonly out.db "SELECT * FROM in_flight"     # number, packet_id, released (NULL until PUBREC)
    sqlite3 -readonly out.db "SELECT * FROM outbox"        # client_id, and how many were dropped and expired
"""

import asyncio
import errno
import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Literal

from telex import codes, topics
from telex.errors import OutboxFull, ProtocolError
from telex.rows import delete_rows, write_rows
from telex.wire.data import Reader
from telex.wire.properties import Properties, decode_properties, encode_properties

if TYPE_CHECKING:
    import sqlite3  # imported where it is used: a program without an outbox does not pay for it

logger = logging.getLogger("telex.client")

APPLICATION_ID: Final = int.from_bytes(b"tlxo", "big")
"""In the database's header: whose it is."""

SCHEMA: Final = 1
"""In the database's header too. A file of a higher one is not touched."""

_TABLES: Final = (
    # Times are seconds since 1970. expires_at is the earlier one of the message's own expiry and of most_seconds.
    """CREATE TABLE messages (
        number INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL, qos INTEGER NOT NULL,
        retain INTEGER NOT NULL, properties BLOB, put_at REAL NOT NULL, expires_at REAL) STRICT""",
    "CREATE INDEX messages_by_expiry ON messages (expires_at) WHERE expires_at IS NOT NULL",
    # Apart from the messages: to change a row is to write its payload again. Later PUBRECs have a higher released.
    """CREATE TABLE in_flight (
        number INTEGER PRIMARY KEY, packet_id INTEGER NOT NULL UNIQUE, released INTEGER) STRICT""",
    "CREATE TABLE outbox (client_id TEXT NOT NULL, dropped INTEGER NOT NULL, expired INTEGER NOT NULL) STRICT",
    "INSERT INTO outbox VALUES ('', 0, 0)",
)

_COLUMNS: Final = 8  # of messages
_READ: Final = "messages.number, CAST(topic AS BLOB), payload, qos, retain, properties, put_at, expires_at"
"""Text comes as bytes: a damaged one costs its row only."""
_SIZE: Final = "length(CAST(topic AS BLOB)) + length(payload) + coalesce(length(properties), 0)"

_OLDEST_SQLITE: Final = (3, 37)  # STRICT tables: their check finds values of a wrong type
_MAGIC: Final = b"SQLite format 3\0"
_PAGE_MESSAGES: Final = 500
_PAGE_BYTES: Final = 1024 * 1024
_SWEEP_MESSAGES: Final = 10_000
_CHECKPOINT_PAGES: Final = 4_000  # of 4 KiB in the write-ahead log, before they go into the database
_LOG_BYTES: Final = 16 * 1024 * 1024  # what the write-ahead log keeps of the disk after a burst
_LAZY_SECONDS: Final = 0.05
"""How long waits what nobody waits for. Most of it need not be written then: a message that
was sent is often done within that time."""
_RETRY_SECONDS: Final = 1.0
_BUSY_SECONDS = 5.0
"""How long somebody who meddles with the file may lock it; who only looks locks nothing."""


class OutboxMessage:
    """A message that waits, as it is to be sent now."""

    def __init__(
        self,
        number: int,
        topic: str,
        payload: bytes,
        qos: int,
        retain: bool,
        properties: Properties | None,
        *,
        put_at: float,
        expires_at: float | None,
        size: int,
    ) -> None:
        self.number = number  # later ones have higher ones
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.properties = properties  # the message expiry interval is what is left of it
        self.put_at = put_at  # on the outbox's clock
        self.expires_at = expires_at  # on that too; None: never
        self.size = size  # bytes of topic, payload and properties
        self.packet_id = 0  # of an earlier life; 0: it was not sent yet
        self.is_released = False  # its PUBREC came in an earlier life: PUBREL is due, and no PUBLISH

    def has_expired(self, now: float) -> bool:
        """Whether it is too late to send it."""
        return self.expires_at is not None and self.expires_at <= now

    def leaves(self, now: float) -> None:
        """Say how much of the message expiry interval is left [MQTT-3.3.2-6]."""
        if self.properties is None or self.properties.message_expiry_interval is None:
            return
        interval = self.properties.message_expiry_interval
        waited = max(now - self.put_at, 0.0)  # wall clocks may be set back
        self.properties = self.properties.copy()  # one object may have been put many times
        # Not 0: what is in flight has to be finished after its time too, and to Mosquitto 0 means never.
        self.properties.message_expiry_interval = min(max(math.ceil(interval - waited), 1), max(interval, 1))


class Outbox:
    """Keeps what is published in a file until the broker has it. The module's docstring tells how it is used.

    All methods belong to the loop's thread, but for the constructor, which touches
    nothing. A program that uses the file already, or a file that is not an outbox,
    is an error of ``open``.

    Args:
        path: of the file; it is made if it is not there. SQLite puts ``-wal`` and
            ``-shm`` beside it, and we ``-lock``.
        most_messages: how many may wait, those in flight among them.
        most_bytes: how much they may take: topics, payloads and properties.
        most_seconds: how long a message may wait, from its ``put`` on; None: as long
            as its own expiry allows.
        when_full: ``refuse``: ``put`` raises; ``drop_oldest``: the oldest that was not
            handed out yet goes, is counted, and the first one is logged.
        keep_qos0: whether QoS 0 waits too.
        clock: seconds since 1970.

    Raises:
        ValueError: a limit that lets nothing in.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        most_messages: int = 100_000,
        most_bytes: int = 100 * 1024 * 1024,
        most_seconds: float | None = None,
        when_full: Literal["refuse", "drop_oldest"] = "refuse",
        keep_qos0: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if most_messages < 1:
            raise ValueError(f"most_messages is {most_messages}, expected 1 or more")
        if most_bytes < 1:
            raise ValueError(f"most_bytes is {most_bytes}, expected 1 or more")
        if most_seconds is not None and not most_seconds > 0:
            raise ValueError(f"most_seconds is {most_seconds}, expected more than 0, or None")
        if when_full not in ("refuse", "drop_oldest"):
            raise ValueError(f"when_full is {when_full!r}, expected 'refuse' or 'drop_oldest'")
        if not os.fspath(path):
            raise ValueError("the outbox's path is empty: name a file")
        self.path = Path(path)
        self.most_messages = most_messages
        self.most_bytes = most_bytes
        self.most_seconds = most_seconds
        self.when_full = when_full
        self.keep_qos0 = keep_qos0
        self.waiting = 0  # messages that are not done, those in flight among them
        self.waiting_bytes = 0  # that they take
        self.dropped = 0  # messages, since the file was made
        self.expired = 0  # messages that were found to be too old, since the file was made
        self.committed = 0  # the position up to which all that was said is on the disk
        self.is_failing = False  # the disk takes nothing; it is tried again each second
        self._clock = clock
        self._file = _File(self.path)
        self._is_open = False
        self._next_number = 1
        self._appended = 0  # the position of the last change
        self._begin()

    def _begin(self) -> None:
        """Begin a life, with nothing of the one before."""
        self._out: dict[int, tuple[int, int]] = {}  # number -> size and QoS of what was handed out, and is not done
        self._out_bytes = 0
        self._released: set[int] = set()  # of these
        self._ready: deque[OutboxMessage] = deque()  # the next ones
        self._ready_bytes = 0
        self._last_ready = 0  # the number of the last one that was ever among them
        self._is_behind = False  # more of them wait in the file
        self._next_expiry = math.inf  # nothing in the file expires before
        self._puts: list[_Put] = []
        self._changes = _Changes()
        self._settling: list[tuple[int, asyncio.Future[None]]] = []
        self._queueing = 0  # puts that look for room
        self._turn = asyncio.Lock()  # theirs, in their order
        self._news = asyncio.Event()  # something was written or read
        self._wants_page = False
        self._sweeps_at: float | None = None
        self._is_urgent = False  # somebody waits for what was said
        self._is_busy = False  # the thread has something to do
        self._is_scheduled = False  # it is given it in the next turn of the loop
        self._timer: asyncio.TimerHandle | None = None
        self._read_error: OSError | None = None  # the file is damaged
        self._has_told = False  # that messages are dropped

    @property
    def last_number(self) -> int:
        """The number of the last message that was put."""
        return self._next_number - 1

    def keeps(self, qos: int) -> bool:
        """Whether messages of this QoS wait here."""
        return qos > 0 or self.keep_qos0

    # From the start to the end

    async def open(self, client_id: str, on_committed: Callable[[], None] | None = None) -> list[OutboxMessage]:
        """Open the file, and say what an earlier life of this client had in flight: in the order to resume it.

        ``on_committed`` is called whenever ``committed`` may have grown. The packet
        ids of another client id, or of none, mean nothing: what was in flight then
        waits as if it was new.

        Raises:
            ValueError: the file is not an outbox, or one of a newer version.
            OSError: another program uses it, or it cannot be read and written.
        """
        if self._is_open:
            raise ValueError(f"outbox {self.path} is open already")
        self._begin()
        self._loop = asyncio.get_running_loop()
        self._on_committed = on_committed
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        opened: asyncio.Future[_Found] = self._loop.create_future()
        # A program that ends without closing its outbox ends: what was put is on the disk.
        self._thread = threading.Thread(target=self._work, args=(client_id, opened), name="telex-outbox", daemon=True)
        self._thread.start()
        try:
            found = await asyncio.shield(opened)
        except asyncio.CancelledError:
            self._jobs.put(None)  # it ends as soon as it has opened the file
            opened.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise
        self._is_open = True
        self.committed = self._appended
        self.is_failing = False
        self.waiting, self.waiting_bytes = found.count, found.size
        self.dropped, self.expired = found.dropped, found.expired
        self._next_number = found.last + 1
        self._next_expiry = found.next_expiry
        self._is_behind = found.count > len(found.in_flight)
        now = self._clock()
        restored = []
        for message in found.in_flight:
            # The broker knows nothing of a PUBLISH at QoS 1; an id of QoS 2 must come to its end, or the broker would
            # take the next message with it for a repeat.
            if message.qos < 2 and message.has_expired(now):
                self._leave(message, is_expiry=True)
                continue
            message.leaves(now)
            self._hand_out(message)
            if message.is_released:
                self._released.add(message.number)
            restored.append(message)
        for number in found.damaged:
            self._left_out(number)
        self._look_ahead()
        return restored

    async def close(self) -> None:
        """Write what is left, and close the file. Whoever iterates comes to the end."""
        if not self._is_open:
            return
        self._is_open = False
        self._news.set()
        if not self._is_busy:
            self._hand_over()
        while self._is_busy:
            self._news.clear()
            await self._news.wait()
        self._cancel_timer()
        self._jobs.put(None)
        await asyncio.shield(self._ended)
        self._thread.join()
        for _, future in self._settling:
            if not future.done():
                future.set_exception(OSError(f"outbox {self.path} was closed before it could be written"))
        self._settling = []
        if not self._changes.is_empty:
            logger.error(
                "outbox %s could not be written at its end: what was acknowledged last may be sent again", self.path
            )

    # What is published

    async def put(
        self,
        topic: str,
        payload: bytes,
        qos: int,
        retain: bool,
        properties: Properties | None = None,
    ) -> int:
        """Store a message; its number. It is on the disk when this returns.

        Messages that are put at the same time share a commit, and leave in the
        order in which they were put. One whose put is cancelled may be stored, or not.

        Raises:
            ValueError: what PUBLISH cannot say, or QoS 0 without ``keep_qos0``.
            OutboxFull: there is no room, and nothing may be dropped.
            OSError: the disk is full, or fails. Nothing else is lost, and what is put
                later goes in again when there is room.
        """
        self._check_open()
        listed = self._checked(topic, payload, qos, properties)
        size = len(topic.encode()) + len(payload) + len(listed or b"")
        if self._queueing or self._is_over(1, size):
            await self._find_room(size)
            self._check_open()
        now = self._clock()
        number = self._next_number
        self._next_number += 1
        expires_at = self._expiry(now, properties)
        message = OutboxMessage(
            number, topic, payload, qos, retain, properties, put_at=now, expires_at=expires_at, size=size
        )
        if expires_at is not None and expires_at < self._next_expiry:
            self._next_expiry = expires_at
        self.waiting += 1
        self.waiting_bytes += size
        future: asyncio.Future[None] = self._loop.create_future()
        self._puts.append(_Put(message, listed, future))
        self._schedule()
        await future
        if self._is_over(0, 0):
            await self._drop_oldest()
        return number

    def _checked(self, topic: str, payload: bytes, qos: int, properties: Properties | None) -> bytes | None:
        """The properties as they are stored. What a connection would refuse must not come in: it would never leave."""
        topics.check_name(topic)
        if qos not in (0, 1, 2):
            raise ValueError(f"QoS is {qos!r}, expected 0, 1 or 2")
        if not self.keeps(qos):
            raise ValueError("the outbox does not keep QoS 0: send it at once, or say keep_qos0=True")
        if properties is None:
            listed = None
        else:
            if properties.topic_alias is not None:
                raise ValueError(f"topic alias {properties.topic_alias}: what waits for a connection cannot have one")
            if properties.subscription_identifiers:  # [MQTT-3.3.4-6]
                raise ValueError("a client may not send a subscription identifier [MQTT-3.3.4-6]")
            listed = encode_properties(properties, codes.PUBLISH)
        # Besides, the length of the topic, the packet id, and a property length of one byte for none.
        length = 2 + len(topic.encode()) + (2 if qos > 0 else 0) + (1 if listed is None else len(listed)) + len(payload)
        if length > codes.MAX_REMAINING_LENGTH:
            raise ValueError(f"a packet of {length:,} bytes: MQTT has room for {codes.MAX_REMAINING_LENGTH:,}")
        return listed

    def _expiry(self, now: float, properties: Properties | None) -> float | None:
        """When a message that is put now has waited for too long."""
        interval = None if properties is None else properties.message_expiry_interval
        if interval is None:
            return None if self.most_seconds is None else now + self.most_seconds
        return now + (interval if self.most_seconds is None else min(interval, self.most_seconds))

    # Room

    def _is_over(self, messages: int, size: int) -> bool:
        """Whether there is too much, with so many more messages of that size."""
        return self.waiting + messages > self.most_messages or self.waiting_bytes + size > self.most_bytes

    async def _find_room(self, size: int) -> None:
        self._queueing += 1
        try:
            async with self._turn:
                while self._is_over(1, size) and self._next_expiry <= self._clock():
                    await self._sweep()
                self._check_room(size)
        finally:
            self._queueing -= 1

    def _check_room(self, size: int) -> None:
        """Refuse a message for which there is no room, and can be made none."""
        if self.when_full == "drop_oldest":
            # The oldest goes when this one is on the disk: if that fails, nothing is lost.
            messages, taken = len(self._out), self._out_bytes
        else:
            messages, taken = self.waiting, self.waiting_bytes
        if messages + 1 > self.most_messages:
            raise OutboxFull(
                f"outbox {self.path} is full: {messages:,} messages wait in it, most_messages allows "
                f"{self.most_messages:,}; wait until the broker has taken some, or allow more"
            )
        if taken + size > self.most_bytes:
            raise OutboxFull(
                f"outbox {self.path} has no room for {size:,} bytes: it holds {taken:,}, most_bytes allows "
                f"{self.most_bytes:,}; wait until the broker has taken some, or allow more"
            )

    async def _drop_oldest(self) -> None:
        """Drop what is too much. Never what was handed out: nobody could tell whether the broker has it."""
        while self._is_over(0, 0):
            if len(self._ready) > 1 or (self._ready and self._is_behind):  # the newest stays
                message = self._pop_ready()
                if not self._has_told:
                    self._has_told = True
                    logger.warning("outbox %s is full: its oldest messages are dropped, and counted", self.path)
                self._leave(message, is_expiry=message.has_expired(self._clock()))
            elif self._is_behind and self._is_open and self._read_error is None:
                await self._next_news()
            else:
                return

    async def _sweep(self) -> None:
        """Take out what has expired, though its turn to leave has not come."""
        if self._sweeps_at is None:
            self._sweeps_at = self._clock()
            self._next_expiry = math.inf  # but for what is put from now on
            self._schedule()
        while self._sweeps_at is not None:
            await self._next_news()
            self._check_open()

    # What leaves

    def __aiter__(self) -> "Outbox":
        return self

    async def __anext__(self) -> OutboxMessage:
        """The next message, as soon as there is one; the end is ``close``.

        Raises:
            OSError: the file turned out to be damaged.
        """
        while True:
            message = self.take()
            if message is not None:
                return message
            if not self._is_open:
                raise StopAsyncIteration
            if self._read_error is not None:
                raise self._read_error
            await self._next_news()

    def take(self) -> OutboxMessage | None:
        """The next message, if there is one in memory: what waits in the file is read ahead.

        It is handed out once: whoever takes it sends it, and says ``done`` in the end.
        """
        if not self._is_open:
            return None
        now = self._clock()
        while self._ready:
            message = self._pop_ready()
            if message.has_expired(now):
                self._leave(message, is_expiry=True)
                continue
            message.leaves(now)
            self._hand_out(message)
            return message
        return None

    def _pop_ready(self) -> OutboxMessage:
        message = self._ready.popleft()
        self._ready_bytes -= message.size
        self._look_ahead()
        return message

    def _hand_out(self, message: OutboxMessage) -> None:
        self._out[message.number] = (message.size, message.qos)
        self._out_bytes += message.size

    def _look_ahead(self) -> None:
        """Read on before all that was read is handed out."""
        if self._is_behind and not self._wants_page and len(self._ready) < _PAGE_MESSAGES // 2 and self._has_space:
            self._wants_page = True
            self._schedule()

    @property
    def _has_space(self) -> bool:
        return self._ready_bytes < _PAGE_BYTES // 2 and self._read_error is None

    def _leave(self, message: OutboxMessage, *, is_expiry: bool) -> None:
        """A message goes that nobody has sent."""
        self._gone(message.number, message.size, is_expiry=is_expiry)

    def _gone(self, number: int, size: int, *, is_expiry: bool) -> None:
        if is_expiry:
            self.expired += 1
        else:
            self.dropped += 1
        self.waiting -= 1
        self.waiting_bytes -= size
        self._changes.done_with(number)
        self._changes.counts = (self.dropped, self.expired)
        self._append(is_urgent=False)

    def _left_out(self, number: int) -> None:
        logger.error(
            "DAMAGED OUTBOX: %s: message %d cannot be read and is left out; it stays in the file", self.path, number
        )

    # What becomes of it

    def sent(self, number: int, packet_id: int) -> int:
        """The PUBLISH of a message leaves with that packet id, for the first time in this session; the position.

        Raises:
            ValueError: no such message was handed out.
        """
        qos = self._qos(number)
        self._changes.sent[number] = packet_id
        return self._append(is_urgent=qos == 2)

    def released(self, number: int) -> int:
        """The PUBREC of a message came: PUBREL is due, and no PUBLISH any more; the position.

        Raises:
            ValueError: no such message was handed out.
        """
        self._qos(number)
        self._released.add(number)
        self._changes.released[number] = None
        return self._append(is_urgent=True)

    def done(self, number: int) -> int:
        """A message that was handed out is not to be sent again, whatever the reason; the position."""
        found = self._out.pop(number, None)
        if found is None:  # it is done already
            return self._appended
        size, qos = found
        self._out_bytes -= size
        self._released.discard(number)
        self.waiting -= 1
        self.waiting_bytes -= size
        if self._has_told and self.waiting <= self.most_messages // 2 and self.waiting_bytes <= self.most_bytes // 2:
            self._has_told = False
        self._changes.done_with(number)
        return self._append(is_urgent=qos == 0)

    def forget(self) -> int:
        """The broker has no session of ours: packet ids mean nothing now; the position.

        What was handed out stays so, and gets a new packet id by ``sent``. What was
        released is done: the broker had taken it.
        """
        self._changes.forget()
        position = self._append(is_urgent=True)
        for number in list(self._released):
            position = self.done(number)
        return position

    async def settled(self, position: int) -> None:
        """Wait until all that was said up to there is on the disk, however long that takes.

        Raises:
            OSError: the outbox was closed before.
        """
        if self.committed >= position:
            return
        if not self._is_open:
            raise OSError(f"outbox {self.path} was closed before it could be written")
        future: asyncio.Future[None] = self._loop.create_future()
        self._settling.append((position, future))
        self._is_urgent = True
        self._schedule()
        await future

    def _qos(self, number: int) -> int:
        found = self._out.get(number)
        if found is None:
            raise ValueError(f"message {number} was not handed out, or is done already")
        return found[1]

    def _append(self, *, is_urgent: bool) -> int:
        self._appended += 1
        if is_urgent:
            self._is_urgent = True
            self._schedule()
        elif self._is_open and self._timer is None and not self._is_busy:
            self._timer = self._loop.call_later(_LAZY_SECONDS, self._hand_over)
        return self._appended

    def _check_open(self) -> None:
        if not self._is_open:
            raise ValueError(f"outbox {self.path} is not open")

    async def _next_news(self) -> None:
        self._news.clear()
        await self._news.wait()

    # To the thread and back

    def _schedule(self) -> None:
        """Give the thread all that this turn of the loop brings."""
        if not self._is_busy and not self._is_scheduled and self._is_open:
            self._is_scheduled = True
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        self._is_scheduled = False
        self._cancel_timer()
        if self._is_busy or not self._thread.is_alive():
            return
        self._is_urgent = False
        puts = []
        for put in self._puts:
            if put.future.cancelled():
                self._take_back(put)
            else:
                puts.append(put)
        self._puts = []
        job = _Job(puts, self._changes, self._appended)
        if self._is_open:
            job.page_after = self._last_ready if self._wants_page else None
            job.sweeps_at = self._sweeps_at
        if job.is_empty:
            return
        self._changes = _Changes()
        self._is_busy = True
        self._jobs.put(job)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _take_back(self, put: "_Put") -> None:
        self.waiting -= 1
        self.waiting_bytes -= put.message.size

    def _on_job(self, job: "_Job") -> None:
        """The thread has done what it could."""
        self._is_busy = False
        if job.is_written:
            self.committed = job.position
        else:
            job.changes.add(self._changes)
            self._changes = job.changes
        self._tell_state("" if job.is_written else job.error)
        self._on_puts(job)
        if job.page is not None:
            self._on_page(job.page)
        if job.swept is not None:
            self._on_swept(*job.swept)
        if job.read_error and not job.may_read_later:
            self._read_error = OSError(f"outbox {self.path} is damaged: {job.read_error}; start the program again")
            self._wants_page = False
            self._sweeps_at = None
            self._next_expiry = math.inf
            logger.error("DAMAGED OUTBOX: %s: %s; it is put aside when it is opened again", self.path, job.read_error)
        self._tell_settled()
        self._news.set()
        self._look_ahead()
        self._go_on(has_failed=not job.is_written or job.read_error != "")

    def _on_puts(self, job: "_Job") -> None:
        for put in job.puts:
            message = put.message
            if not job.are_put:
                self._take_back(put)
                if not put.future.done():
                    error = OSError(f"outbox {self.path} cannot store a message: {job.error}; make room on its disk")
                    error.errno = errno.ENOSPC if job.is_full else errno.EIO
                    put.future.set_exception(error)
                continue
            if self._is_behind or len(self._ready) >= _PAGE_MESSAGES or self._ready_bytes >= _PAGE_BYTES:
                self._is_behind = True
            else:
                self._make_ready(message)
            if not put.future.done():
                put.future.set_result(None)

    def _make_ready(self, message: OutboxMessage) -> None:
        self._ready.append(message)
        self._ready_bytes += message.size
        self._last_ready = message.number

    def _on_page(self, page: "_Page") -> None:
        self._wants_page = False
        self._is_behind = not page.is_last
        for message in page.messages:
            self._make_ready(message)
        self._last_ready = max(self._last_ready, page.end)
        for number, size in page.damaged:
            self.waiting -= 1
            self.waiting_bytes -= size
            self._left_out(number)

    def _on_swept(self, found: list[tuple[int, int]], next_expiry: float) -> None:
        self._sweeps_at = None
        self._next_expiry = min(next_expiry, self._next_expiry)
        numbers = {number for number, _ in found}
        ready = {message.number for message in self._ready} & numbers
        for number, size in found:
            if number in ready or number > self._last_ready:  # otherwise it has left meanwhile
                self._gone(number, size, is_expiry=True)
        self._ready = deque(message for message in self._ready if message.number not in ready)
        self._ready_bytes = sum(message.size for message in self._ready)

    def _tell_state(self, error: str) -> None:
        if error and not self.is_failing:
            self.is_failing = True
            logger.error(
                "CANNOT STORE: outbox %s: %s; until it works again, QoS 2 is not sent, and if the program ends now, "
                "some of QoS 1 is sent again",
                *(self.path, error),
            )
        elif not error and self.is_failing:
            self.is_failing = False
            logger.warning("stores again: outbox %s", self.path)

    def _tell_settled(self) -> None:
        if self._settling:
            still = []
            for position, future in self._settling:
                if position > self.committed:
                    still.append((position, future))
                elif not future.done():
                    future.set_result(None)
            self._settling = still
        if self._on_committed is not None:
            self._on_committed()

    def _go_on(self, *, has_failed: bool) -> None:
        if not self._is_open:
            if self._puts or not has_failed:
                self._hand_over()  # close() waits for what came meanwhile
        elif self._puts or (not has_failed and (self._is_urgent or self._wants_page or self._sweeps_at is not None)):
            self._schedule()
        elif self._timer is None and (has_failed or not self._changes.is_empty):
            self._timer = self._loop.call_later(_RETRY_SECONDS if has_failed else _LAZY_SECONDS, self._hand_over)

    # In the thread

    def _work(self, client_id: str, opened: "asyncio.Future[_Found]") -> None:
        loop = self._loop
        try:
            try:
                found = self._file.open(client_id)
            except BaseException as error:
                self._file.close()
                loop.call_soon_threadsafe(_set_exception, opened, error)
                return
            loop.call_soon_threadsafe(_set_result, opened, found)
            while (job := self._jobs.get()) is not None:
                self._file.do(job)
                loop.call_soon_threadsafe(self._on_job, job)
            self._file.close()
            loop.call_soon_threadsafe(_set_result, self._ended, None)
        except RuntimeError:  # the loop is gone, and nobody has closed the outbox
            self._file.close()


def _set_result(future: "asyncio.Future[Any]", result: object) -> None:
    if not future.done():
        future.set_result(result)


def _set_exception(future: "asyncio.Future[Any]", error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


class _Put:
    """A message on its way to the disk."""

    def __init__(self, message: OutboxMessage, listed: bytes | None, future: "asyncio.Future[None]") -> None:
        self.message = message
        self.listed = listed  # its properties
        self.future = future  # done when it is there


class _Changes:
    """What was said of messages that were put before, folded: what is done leaves nothing else to write."""

    def __init__(self) -> None:
        self.has_forgotten = False  # the packet ids that are in the file; it comes before all else
        self.sent: dict[int, int] = {}  # number -> packet id
        self.released: dict[int, None] = {}  # numbers, in the order of their PUBRECs [MQTT-4.6.0-4]
        self.done: dict[int, None] = {}  # numbers
        self.counts: tuple[int, int] | None = None  # dropped and expired, if they have changed

    @property
    def is_empty(self) -> bool:
        return not (self.has_forgotten or self.sent or self.released or self.done or self.counts)

    def done_with(self, number: int) -> None:
        self.sent.pop(number, None)
        self.released.pop(number, None)
        self.done[number] = None

    def forget(self) -> None:
        self.sent = {}
        self.released = {}
        self.has_forgotten = True

    def add(self, later: "_Changes") -> None:
        """Take in what was said after this."""
        if later.has_forgotten:
            self.forget()
        self.sent.update(later.sent)
        self.released.update(later.released)
        for number in later.done:
            self.done_with(number)
        self.counts = later.counts or self.counts


class _Page:
    """What was read at a time."""

    def __init__(self, messages: list[OutboxMessage], end: int, *, is_last: bool) -> None:
        self.messages = messages
        self.end = end  # the number of the last row that was looked at
        self.is_last = is_last  # nothing is behind it
        self.damaged: list[tuple[int, int]] = []  # numbers and sizes


class _Job:
    """What the thread is given to do, and how it went."""

    def __init__(self, puts: list[_Put], changes: _Changes, position: int) -> None:
        self.puts = puts
        self.changes = changes
        self.position = position  # of the last change
        self.page_after: int | None = None  # read the messages behind this number
        self.sweeps_at: float | None = None  # look for what has expired by then
        self.are_put = False
        self.is_written = False  # the changes
        self.error = ""  # why something was not written
        self.is_full = False  # the disk: that is why
        self.page: _Page | None = None
        self.swept: tuple[list[tuple[int, int]], float] | None = None  # numbers and sizes; when the next one expires
        self.read_error = ""  # why nothing was read
        self.may_read_later = True

    @property
    def is_empty(self) -> bool:
        return not self.puts and self.changes.is_empty and self.page_after is None and self.sweeps_at is None


class _Found:
    """What was in the file when it was opened."""

    def __init__(self) -> None:
        self.count = 0
        self.size = 0  # bytes
        self.last = 0  # the highest number
        self.next_expiry = math.inf
        self.dropped = 0
        self.expired = 0
        self.in_flight: list[OutboxMessage] = []
        self.damaged: list[int] = []


class _File:
    """The database. All of it happens in the outbox's thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: sqlite3.Connection | None = None
        self._database: sqlite3.Connection | None = None
        self._restored: frozenset[int] = frozenset()  # handed out when the file was opened: they are in no page
        self._releases = 0

    @property
    def _connection(self) -> "sqlite3.Connection":
        assert self._database is not None  # it was opened
        return self._database

    # At the start

    def open(self, client_id: str) -> _Found:
        """Open the file, or make it; one that is damaged is put aside."""
        import sqlite3

        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            oldest = ".".join(map(str, _OLDEST_SQLITE))
            raise OSError(
                f"this Python has SQLite {sqlite3.sqlite_version}, an outbox needs {oldest}: take a newer one"
            )
        self._path = self._path.resolve()  # one file has one lock, whatever links lead to it
        self._prepare()
        try:
            self._take_lock()
            try:
                self._check_owner()
                return self._load(client_id)
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                self._put_aside(str(error))
            return self._load(client_id)
        except sqlite3.Error as error:
            raise self._explained(error) from error

    def close(self) -> None:
        """Give the file back."""
        for connection in (self._database, self._lock):
            if connection is not None:
                connection.close()
        self._database = self._lock = None

    def _prepare(self) -> None:
        path = self._path
        if path.is_dir():
            raise IsADirectoryError(f"outbox {path} is a directory: name a file in it")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"outbox {path}: the directory {path.parent} does not exist; make it first")
        try:
            for each in (path, self._lock_path):
                # The messages are their owner's: nobody else may read them. A file that is there is not touched: to
                # close it would take away the locks that another outbox of this process has on it.
                if not each.exists():
                    os.close(os.open(each, os.O_RDWR | os.O_CREAT, 0o600))
                if not os.access(each, os.R_OK | os.W_OK):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            sentence = f"outbox {path} cannot be written: {error.strerror or error}; give it to this user"
            raise type(error)(f"{sentence}, or choose another file") from error

    @property
    def _lock_path(self) -> Path:
        return self._path.with_name(self._path.name + "-lock")

    def _take_lock(self) -> None:
        """One program at a time, and people may look meanwhile: so the lock is on a file of its own."""
        import sqlite3

        self._lock = sqlite3.connect(self._lock_path, timeout=0, isolation_level=None)
        try:
            self._lock.execute("PRAGMA journal_mode = MEMORY")  # nothing is ever written
            self._lock.execute("BEGIN EXCLUSIVE")  # held until the process ends, however it ends
        except sqlite3.OperationalError as error:
            if _primary_code(error) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            raise BlockingIOError(
                f"another program uses outbox {self._path}: stop it, or choose another file for this one"
            ) from error

    def _check_owner(self) -> None:
        """Refuse to touch a file that was never an outbox, whatever else may be wrong with it."""
        import sqlite3

        with self._path.open("rb") as file:
            header = file.read(100)
        if not header:
            return
        if not any(header):  # as some file systems leave it behind when the power fails
            raise sqlite3.DatabaseError("it is full of zeros")
        owner = int.from_bytes(header[68:72], "big")
        if not header.startswith(_MAGIC) or (len(header) == 100 and owner != APPLICATION_ID):
            raise ValueError(f"{self._path} is not an outbox: it was not changed; choose another file")

    def _load(self, client_id: str) -> _Found:
        import sqlite3

        self._database = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)
        execute = self._database.execute
        schema: int = execute("PRAGMA user_version").fetchone()[0]
        if schema > SCHEMA:
            raise ValueError(
                f"outbox {self._path} was written by a newer Telex (schema {schema}, this one knows up to {SCHEMA}): "
                "install that version again, or choose another file"
            )
        execute("PRAGMA synchronous = FULL")
        found = str(execute("PRAGMA quick_check(1)").fetchone()[0])
        if found != "ok":
            raise sqlite3.DatabaseError("; ".join(found.splitlines()))
        if schema == 0:
            self._create()
        # Not before: so it stands in the database itself whose it is, and not only in its write-ahead log.
        execute("PRAGMA journal_mode = WAL")
        execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        return self._found(client_id)

    def _create(self) -> None:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            for statement in _TABLES:
                execute(statement)
            execute(f"PRAGMA application_id = {APPLICATION_ID}")
            execute(f"PRAGMA user_version = {SCHEMA}")
            execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def _found(self, client_id: str) -> _Found:
        import sqlite3

        execute = self._connection.execute
        found = _Found()
        row = execute("SELECT CAST(client_id AS BLOB), dropped, expired FROM outbox").fetchone()
        if row is None:
            raise sqlite3.DatabaseError("it does not say whose messages it holds")
        recorded = row[0].decode(errors="replace")
        found.dropped, found.expired = row[1:]
        if client_id != recorded or not client_id:
            self._change_client(recorded, client_id)
        found.count, found.size, found.last, first_expiry = execute(
            f"SELECT count(*), coalesce(sum({_SIZE}), 0), coalesce(max(number), 0), min(expires_at) FROM messages"
        ).fetchone()
        if first_expiry is not None:
            found.next_expiry = first_expiry
        restored = []
        for packet_id, released, *columns in execute(
            f"""SELECT packet_id, released, {_READ} FROM in_flight JOIN messages USING (number)
                ORDER BY released IS NOT NULL, released, messages.number"""
        ):
            restored.append(columns[0])
            try:
                message = _message(*columns)
            except (ProtocolError, TypeError, ValueError):
                found.damaged.append(columns[0])
                found.count -= 1
                found.size -= _size_of(columns)
                continue
            message.packet_id = packet_id
            message.is_released = released is not None
            found.in_flight.append(message)
        self._restored = frozenset(restored)
        self._releases = execute("SELECT coalesce(max(released), 0) FROM in_flight").fetchone()[0]
        return found

    def _change_client(self, old: str, new: str) -> None:
        """Packet ids belong to a client id: those of another one mean nothing."""
        execute = self._connection.execute
        count, released = execute("SELECT count(*), count(released) FROM in_flight").fetchone()
        if old == new and not count:
            return
        execute("BEGIN IMMEDIATE")
        try:
            # The broker has answered PUBREC: to publish it again would make it two.
            execute("DELETE FROM messages WHERE number IN (SELECT number FROM in_flight WHERE released IS NOT NULL)")
            execute("DELETE FROM in_flight")
            execute("UPDATE outbox SET client_id = ?", (new,))
            execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        if count:
            logger.warning(
                "outbox %s was that of client %r, and is that of %r now: of %d messages in flight then, "
                "the broker had %d, and the others are sent as new ones, perhaps for the second time",
                *(self._path, old, new, count, released),
            )

    def _put_aside(self, reason: str) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
        name = aside_name = f"{self._path.name}.bad-{time.strftime('%Y%m%dT%H%M%S')}"
        count = 1
        while self._path.with_name(aside_name).exists():
            count += 1
            aside_name = f"{name}-{count}"
        try:
            for suffix in ("-wal", "-shm", "-journal", ""):
                part = self._path.with_name(self._path.name + suffix)
                if part.exists():
                    part.rename(self._path.with_name(aside_name + suffix))
            self._prepare()
        except OSError as error:
            raise OSError(
                f"outbox {self._path} is damaged ({reason}), and cannot be put aside: {error}; choose another file"
            ) from error
        logger.error(
            "DAMAGED OUTBOX: %s (%s); it is kept as %s, what waited in it is not sent; a new one begins",
            *(self._path, reason, self._path.with_name(aside_name)),
        )

    def _explained(self, error: "sqlite3.Error") -> OSError:
        import sqlite3

        if _primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return BlockingIOError(f"another program has locked outbox {self._path} ({error}): let it end first")
        explained = OSError(
            f"outbox {self._path} cannot be opened: {error}; "
            "make room on its disk, give it to this user, or choose another file"
        )
        explained.errno = errno.ENOSPC if _primary_code(error) == sqlite3.SQLITE_FULL else errno.EIO
        return explained

    # At work

    def do(self, job: _Job) -> None:
        """Write, then read."""
        import sqlite3

        try:
            self._write(job.puts, job.changes)
            job.are_put = job.is_written = True
        except sqlite3.Error as error:
            job.error = str(error)
            job.is_full = _primary_code(error) == sqlite3.SQLITE_FULL
            if job.puts:  # these may be what is too much
                self._write_changes(job)
        except Exception as error:  # a fault of ours must not end the thread: everybody would wait for ever
            logger.exception("the outbox failed")
            job.error = repr(error)
        unwritten = {} if job.is_written else job.changes.done
        try:
            if job.page_after is not None:
                job.page = self._page(job.page_after, unwritten)
            if job.sweeps_at is not None:
                job.swept = self._expired(job.sweeps_at, unwritten)
        except sqlite3.Error as error:
            job.read_error = str(error)
            job.may_read_later = not _is_damage(error)
        except Exception as error:
            logger.exception("the outbox failed")
            job.read_error = repr(error)
            job.may_read_later = False

    def _write_changes(self, job: _Job) -> None:
        import sqlite3

        try:
            self._write([], job.changes)
            job.is_written = True
        except sqlite3.Error as error:
            job.error = str(error)

    def _write(self, puts: list[_Put], changes: _Changes) -> None:
        """Write all of it, or nothing.

        Raises:
            sqlite3.Error: the disk is full, or fails.
        """
        if not puts and changes.is_empty:
            return
        execute = self._connection.execute
        releases = self._releases
        execute("BEGIN IMMEDIATE")
        try:
            if changes.has_forgotten:
                execute("DELETE FROM in_flight")
            values: list[object] = []
            for put in puts:
                message = put.message
                values += (message.number, message.topic, message.payload, message.qos, message.retain, put.listed)
                values += (message.put_at, message.expires_at)
            write_rows(self._connection, "INSERT INTO messages VALUES ", _COLUMNS, values)
            # First what is done: a packet id that it had may be in use again.
            done = list(changes.done)
            delete_rows(self._connection, "DELETE FROM in_flight WHERE number IN ", done)
            delete_rows(self._connection, "DELETE FROM messages WHERE number IN ", done)
            sent = [value for item in changes.sent.items() for value in item]
            write_rows(self._connection, "INSERT OR REPLACE INTO in_flight (number, packet_id) VALUES ", 2, sent)
            for number in changes.released:
                releases += 1
                execute("UPDATE in_flight SET released = ? WHERE number = ?", (releases, number))
            if changes.counts is not None:
                execute("UPDATE outbox SET dropped = ?, expired = ?", changes.counts)
            execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        self._releases = releases

    def _roll_back(self) -> None:
        if self._connection.in_transaction:  # some failures have ended it already
            self._connection.execute("ROLLBACK")

    def _page(self, after: int, unwritten: dict[int, None]) -> _Page:
        """The next messages behind a number, as far as it takes many at a time."""
        messages: list[OutboxMessage] = []
        damaged: list[tuple[int, int]] = []
        end, count, size = after, 0, 0
        for columns in self._connection.execute(
            f"SELECT {_READ} FROM messages WHERE number > ? ORDER BY number LIMIT ?", (after, _PAGE_MESSAGES)
        ):
            end = columns[0]
            count += 1
            if end in self._restored or end in unwritten:
                continue
            try:
                message = _message(*columns)
            except (ProtocolError, TypeError, ValueError):
                damaged.append((end, _size_of(columns)))
                continue
            messages.append(message)
            size += message.size
            if size > _PAGE_BYTES:
                break
        page = _Page(messages, end, is_last=count < _PAGE_MESSAGES and size <= _PAGE_BYTES)
        page.damaged = damaged
        return page

    def _expired(self, now: float, unwritten: dict[int, None]) -> tuple[list[tuple[int, int]], float]:
        """Numbers and sizes of messages that have expired, and when others will."""
        rows: Iterable[tuple[int, int]] = self._connection.execute(
            f"SELECT number, {_SIZE} FROM messages WHERE expires_at <= ? LIMIT ?",
            (now, _SWEEP_MESSAGES + len(self._restored) + len(unwritten)),
        )
        found = [(number, size) for number, size in rows if number not in self._restored and number not in unwritten]
        if len(found) >= _SWEEP_MESSAGES:
            return found, now  # there may be more
        (first,) = self._connection.execute(
            "SELECT min(expires_at) FROM messages WHERE expires_at > ?", (now,)
        ).fetchone()
        return found, math.inf if first is None else first


def _message(
    number: int,
    topic: bytes,
    payload: bytes,
    qos: int,
    retain: int,
    listed: bytes | None,
    put_at: float,
    expires_at: float | None,
) -> OutboxMessage:
    """A message as a row tells it.

    Raises:
        ProtocolError, TypeError, ValueError: the row is damaged.
    """
    properties = None if listed is None else decode_properties(Reader(listed, 0, len(listed)), codes.PUBLISH)
    name = topic.decode()
    topics.check_name(name)
    if qos not in (0, 1, 2):
        raise ValueError(f"QoS is {qos}")
    size = len(topic) + len(payload) + len(listed or b"")
    return OutboxMessage(
        number, name, payload, qos, bool(retain), properties, put_at=put_at, expires_at=expires_at, size=size
    )


def _size_of(columns: Sequence[Any]) -> int:
    """What a row takes that could not be understood."""
    return sum(len(columns[index] or b"") for index in (1, 2, 5))


def _primary_code(error: "sqlite3.Error") -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)  # Python's own errors have none
    return code & 0xFF


def _is_damage(error: "sqlite3.Error") -> bool:
    import sqlite3

    damage = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, 0)
    return isinstance(error, sqlite3.DatabaseError) and _primary_code(error) in damage
