"""What is on its way to the client of one session: in memory, and behind that in the store alone.

Knows order, limits and memory. Knows no packet ids of its own choosing, no
connection and no subscriptions; ``session.py`` sends what stands in front.
"""

import math
from collections import deque
from typing import Final

from telex.engine import records
from telex.engine.message import Message
from telex.engine.surroundings import Surroundings
from telex.flow import Delivery

_NEVER: Final = math.inf
_FEW: Final = 200  # messages in memory below which the next ones are fetched from the store,
_FEW_BYTES: Final = 1024 * 1024  # if their payloads are less than this as well
_OVERHEAD: Final = 600  # bytes of memory that a message on its way takes besides its payload and properties


class Outgoing(Delivery):
    """A message of QoS 1 or 2 on its way to the client of a session."""

    def __init__(self, message: Message, first: int, extra: bytes, shared: str) -> None:
        super().__init__(first >> 1 & 3)
        self.message = message
        self.first = first  # first byte of its PUBLISH, without DUP
        self.extra = extra  # encoded properties that are the subscription's own
        self.shared = shared  # the filter of the Shared Subscription that it came by; empty: none
        self.number = 0  # in the records; 0: it makes none
        self.is_over = False  # its way is


class Queue:
    """The messages that cannot be sent now, in order, and the memory of all that are on their way.

    In front stands what is in flight since an earlier connection, and has to be
    sent again: ``repeats`` messages, which no limit counts.
    """

    def __init__(self, client_id: str, surroundings: Surroundings) -> None:
        self._client_id = client_id
        self.session = 0  # the session's number in the records
        self._surroundings = surroundings
        self.waiting: deque[Outgoing] | None = None  # in memory; None: nothing
        self.repeats = 0
        self.bytes = 0  # of the payloads that wait, in memory or in the store
        self.stored = 0  # messages that wait in the store alone, behind those in memory
        self.stored_bytes = 0  # of their payloads
        self._stored_after = 0  # the number that they come after
        self._is_fetching = False
        self._first_expiry = _NEVER  # no message that waits in memory expires before

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return self.waiting is None and self.stored == 0

    @property
    def length(self) -> int:
        """How many messages wait that were never sent."""
        waiting = self.waiting
        return self.stored if waiting is None else self.stored + len(waiting) - self.repeats

    # Memory

    def keep(self, outgoing: Outgoing) -> None:
        """It is in memory, until it is done."""
        self._surroundings.memory += memory_of(outgoing.message)

    def done(self, outgoing: Outgoing) -> None:
        """Its way is over."""
        surroundings = self._surroundings
        surroundings.memory -= memory_of(outgoing.message)
        outgoing.is_over = True
        if outgoing.number:
            surroundings.journal.append(records.Done(outgoing.number))

    # Limits

    def has_room(self, message: Message, now: float, *, room: int, most: int) -> bool:
        """Whether a message may wait too, as one of ``room``, with payloads of ``most`` bytes together.

        Those that have expired make room [MQTT-3.3.2-5].
        """
        if self.length < room and self.bytes + len(message.payload) <= most:
            return True
        waiting = self.waiting
        if waiting is None or now < self._first_expiry:
            return False
        self.waiting = None
        self._first_expiry = _NEVER
        for outgoing in waiting:
            if outgoing.packet_id == 0:
                self.bytes -= len(outgoing.message.payload)
                if outgoing.message.is_expired(now):
                    self.done(outgoing)
                    continue
            self.append(outgoing)
        return self.length < room and self.bytes + len(message.payload) <= most

    def fits_into_memory(self, message: Message) -> bool:
        """Whether a message may wait in memory; behind what waits in the store it may not."""
        surroundings = self._surroundings
        return self.stored == 0 and surroundings.memory + memory_of(message) <= surroundings.options.max_queue_memory

    def drop_oldest(self, *, room: int, most: int) -> list[Message]:
        """Give up what has waited longest, until no more than these wait: what was given up."""
        dropped: list[Message] = []
        waiting = self.waiting
        if waiting is not None:
            repeats = [waiting.popleft() for _ in range(self.repeats)]
            while waiting and (self.stored + len(waiting) > room or self.bytes > most):
                outgoing = waiting.popleft()
                self.bytes -= len(outgoing.message.payload)
                self.done(outgoing)
                dropped.append(outgoing.message)
            waiting.extendleft(reversed(repeats))
            if not waiting:
                self.waiting = None
        if self.length > room or self.bytes > most:
            self._fetch()
        return dropped

    # Order

    def append(self, outgoing: Outgoing) -> None:
        """It waits in memory, as the last one."""
        if self.waiting is None:
            self.waiting = deque()
        self.waiting.append(outgoing)
        if outgoing.packet_id > 0:
            return  # to be sent again, and never to expire [MQTT-4.3.3-7]
        self.bytes += len(outgoing.message.payload)
        expires_at = outgoing.message.expires_at
        if expires_at is not None and expires_at < self._first_expiry:
            self._first_expiry = expires_at

    def first(self) -> Outgoing | None:
        """What stands in front; None if nothing is in memory."""
        waiting = self.waiting
        return None if waiting is None else waiting[0]

    def take(self) -> Outgoing:
        """Take what stands in front."""
        waiting = self.waiting
        assert waiting is not None  # ``first`` gave it
        outgoing = waiting.popleft()
        if not waiting:
            self.waiting = None
            self._first_expiry = _NEVER
        if outgoing.packet_id > 0:
            self.repeats -= 1
        else:
            self.bytes -= len(outgoing.message.payload)
        return outgoing

    def begin_again(self, in_flight: deque[Outgoing]) -> None:
        """A connection begins: what is in flight stands in front of what was never sent."""
        self.repeats = len(in_flight)
        if self.waiting is not None:
            in_flight.extend(outgoing for outgoing in self.waiting if outgoing.packet_id == 0)
        self.waiting = in_flight if in_flight else None

    # What waits in the store

    def leave_in_store(self, outgoing: Outgoing) -> None:
        """What was recorded last waits there alone, and takes no memory."""
        if self.stored == 0:
            self._stored_after = outgoing.number - 1
        size = len(outgoing.message.payload)
        self.stored += 1
        self.stored_bytes += size
        self.bytes += size

    def found_in_store(self, count: int, size: int) -> None:
        """A store that begins has so many messages that wait, with payloads of so many bytes."""
        self.stored = count
        self.stored_bytes = size
        self.bytes += size

    def fetch_if_short(self) -> None:
        """Ask the store for more, if little is left in memory."""
        if self.length - self.stored < _FEW and self.bytes - self.stored_bytes < _FEW_BYTES:
            self._fetch()

    def _fetch(self) -> None:
        if self.stored and not self._is_fetching:
            self._is_fetching = True
            self._surroundings.journal.fetch(self._client_id, self.session, self._stored_after)

    def fetched(self, found: list[records.Queued]) -> None:
        """The store has given the next messages that wait there; none: there are none."""
        self._is_fetching = False
        if not found:
            self.bytes -= self.stored_bytes
            self.stored = self.stored_bytes = 0
        for record in found:
            size = len(record.message.payload)
            self.stored -= 1
            self.stored_bytes -= size
            self.bytes -= size
            self._stored_after = record.number
            outgoing = Outgoing(record.message, record.first, record.extra, record.shared)
            outgoing.number = record.number
            self.keep(outgoing)
            self.append(outgoing)

    def forget(self) -> None:
        """The session is over: nothing waits, and nothing is recorded of it any more."""
        for outgoing in self.waiting or ():
            if outgoing.packet_id == 0:
                outgoing.number = 0
                self.done(outgoing)
        self.waiting = None
        self.repeats = 0
        self.bytes = 0
        self.stored = 0
        self.stored_bytes = 0


def memory_of(message: Message) -> int:
    """What a message on its way adds to the memory in use, in bytes."""
    return _OVERHEAD + message.weight
