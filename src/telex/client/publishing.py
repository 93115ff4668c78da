"""What a client publishes: who waits for what, in which order, and how much may be on its way.

Knows publications and the client's end of the protocol. Knows no stream but what
its link says: whether there is room. More than a few thousand publications are
never on their way: whoever publishes more waits, first come, first served, and
holds no more than the payload.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from telex import topics
from telex.client.connection import ClientConnection, Publication
from telex.client.link import Link
from telex.client.outbox import Outbox, OutboxMessage
from telex.codes import ReasonCode, reason_text
from telex.errors import MqttError, NotConnected, Refused
from telex.wire.properties import Properties

_MOST_UNFINISHED: Final = 4_096
"""Publications above QoS 0 that may be on their way; more wait for their turn."""

_BATCH: Final = 256
"""Publications of a stream, one after the other, before others have their turn ..."""

_UNIT: Final = 256
"""... of so many bytes; a larger one counts more."""

_MOST_LOSSES: Final = 5
"""Connections, one after the other, that the broker may end while the same message is the first on its way."""

_HEAD: Final = 32
"""Bytes of a PUBLISH besides its payload, roughly: for how much has gathered."""

_log: Final = logging.getLogger("telex.client")


class _Wanted:
    """A publication that waits for its turn."""

    __slots__ = ("answer", "payload", "properties", "qos", "retain", "topic")

    def __init__(
        self,
        topic: str,
        payload: bytes,
        qos: int,
        retain: bool,
        properties: Properties | None,
        answer: "asyncio.Future[int]",
    ) -> None:
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.properties = properties
        self.answer = answer


class Stream:
    """Publications that are waited for together."""

    __slots__ = ("_all_answered", "_left", "_publisher", "_qos", "first_refused", "refused", "sent", "unanswered")

    def __init__(self, publisher: "Publisher", qos: int) -> None:
        self.sent = 0
        self.unanswered = 0
        self.refused = 0
        self.first_refused: Publication | None = None
        self._publisher = publisher
        self._qos = qos
        self._left = 0  # how many may go before others have their turn
        self._all_answered: asyncio.Future[None] | None = None  # somebody waits for it

    @property
    def must_wait(self) -> bool:
        """Whether ``room`` comes before the next one."""
        return self._left <= 0 or not self._publisher.is_open

    async def room(self) -> None:
        """Wait until there is room for some more, and others have had their turn.

        Raises:
            NotConnected: the client was closed.
        """
        await self._publisher.room()
        self._left = _BATCH

    def start(self, topic: str, payload: bytes, retain: bool, properties: Properties | None) -> None:
        """Publish one more, if it need not wait.

        Raises:
            ValueError: as from ``Publisher.publish``.
        """
        publication = self._publisher.start(topic, payload, self._qos, retain, properties)
        self._left -= 1 + len(payload) // _UNIT
        self.sent += 1
        if self._qos > 0:
            self.unanswered += 1
            self._publisher.answers[publication] = self

    async def finish(self) -> None:
        """Wait until all are written, or answered.

        Raises:
            NotConnected: the client was closed.
        """
        if self.unanswered == 0:
            return
        self._publisher.check()
        self._all_answered = asyncio.get_running_loop().create_future()
        await self._all_answered

    def answered(self, publication: Publication) -> None:
        """One is done."""
        self.unanswered -= 1
        if publication.reason_code >= 0x80:
            self.refused += 1
            self.first_refused = self.first_refused or publication
        if self.unanswered == 0 and self._all_answered is not None and not self._all_answered.done():
            self._all_answered.set_result(None)

    def failed(self, error: MqttError) -> None:
        """There will be no answers."""
        if self._all_answered is not None and not self._all_answered.done():
            self._all_answered.set_exception(error)


class StoredStream:
    """Publications that go into the outbox together. As ``Stream``, for whoever publishes."""

    first_refused: Publication | None = None  # what comes of them, nobody waits for
    refused = 0

    def __init__(self, outbox: Outbox, qos: int) -> None:
        self.sent = 0
        self._outbox = outbox
        self._qos = qos
        self._left = _BATCH
        self._puts: list[asyncio.Future[int]] = []

    @property
    def must_wait(self) -> bool:
        """Whether ``room`` comes before the next one."""
        return self._left <= 0

    async def room(self) -> None:
        """Wait until those so far are on the disk.

        Raises:
            OutboxFull: there is no room in the outbox.
            OSError: the disk is full, or fails.
        """
        puts, self._puts = self._puts, []
        await asyncio.gather(*puts)
        self._left = _BATCH

    def start(self, topic: str, payload: bytes, retain: bool, properties: Properties | None) -> None:
        """Store one more."""
        self._puts.append(asyncio.ensure_future(self._outbox.put(topic, payload, self._qos, retain, properties)))
        self._left -= 1 + len(payload) // _UNIT
        self.sent += 1

    async def finish(self) -> None:
        """Wait until all are on the disk."""
        await self.room()


class _Stored:
    """A publication that came from the outbox."""

    __slots__ = ("_outbox", "number")

    def __init__(self, outbox: Outbox, number: int) -> None:
        self._outbox = outbox
        self.number = number

    def answered(self, publication: Publication) -> None:
        """It is done."""
        self._outbox.done(self.number)
        if publication.reason_code >= 0x80:
            _log.error(
                "the broker refuses a message of the outbox, on topic %s: %s",
                topics.shown(publication.topic),
                reason_text(publication.reason_code),
            )

    def failed(self, error: MqttError) -> None:
        """It stays in the outbox."""


class _Flush:
    """Somebody who waits for what was published before."""

    def __init__(self, publications: set[Publication], wanted: set[_Wanted], last: int) -> None:
        self.publications = publications  # that have no answer
        self.wanted = wanted  # that have not left
        self.last = last  # the number of the last message of the outbox
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Publisher:
    """All that one client publishes.

    Args:
        connection: the client's end.
        outbox: where publications wait on disk, if they do.
    """

    def __init__(self, connection: ClientConnection, outbox: Outbox | None, read_on: Callable[[], None]) -> None:
        self.link: Link | None = None  # of the connection, when the broker has let us in
        self.failure: MqttError | None = None  # there will be no other connection
        self.answers: dict[Publication, asyncio.Future[int] | Stream | _Stored] = {}  # above QoS 0, who waits
        self._connection = connection
        self._outbox = outbox
        self._read_on = read_on  # an answer is to come
        self._wanted: deque[_Wanted | asyncio.Future[None]] = deque()  # in their order
        self._flushes: list[_Flush] = []  # who waits until what was published before has arrived
        self._taken = 0  # the number of the last message of the outbox that left
        self._in_hand = 0  # and of the one that is about to; 0: none
        self._suspect: Publication | None = None  # what was the first on its way when the broker ended the connection
        self._losses = 0  # how many times in a row
        self._cancelled = 0  # since these were looked through
        self._hold_until = 0  # what the outbox must have committed before anything leaves
        self._pump_task: asyncio.Task[None] | None = None

    # Publishing

    @property
    def has_room(self) -> bool:
        """Whether a publication may leave now."""
        return not self._wanted and self.may_leave

    @property
    def awaits_answers(self) -> bool:
        """Whether acknowledgements are to come, or somebody waits until they make room."""
        return bool(self.answers) or bool(self._wanted)

    def stream(self, qos: int) -> "Stream | StoredStream":
        """Publications that are to be waited for together."""
        if self._outbox is not None and self._outbox.keeps(qos):
            return StoredStream(self._outbox, qos)
        return Stream(self, qos)

    async def publish(self, topic: str, payload: bytes, qos: int, retain: bool, properties: Properties | None) -> int:
        """Publish; returns when it is written (QoS 0), acknowledged, or in the outbox, with the reason code.

        Raises:
            ValueError: what PUBLISH cannot say, or the broker has said that it does not take.
            Refused: the broker's answer.
            NotConnected: the client was closed.
            OutboxFull: there is no room in the outbox.
        """
        if self._outbox is not None and self._outbox.keeps(qos):
            await self._outbox.put(topic, payload, qos, retain, properties)
            return ReasonCode.SUCCESS
        if qos == 0 and self.has_room:
            self.start(topic, payload, qos, retain, properties)
            return ReasonCode.SUCCESS
        self.check()
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self.has_room:
            self.answers[self.start(topic, payload, qos, retain, properties)] = answer
        else:
            topics.check_name(topic)  # now and not when its turn comes
            self._wanted.append(_Wanted(topic, payload, qos, retain, properties, answer))
        try:
            reason_code = await answer
        except asyncio.CancelledError:
            self._forget_cancelled()
            raise
        if reason_code >= 0x80:
            raise refused(topic, reason_code)
        return reason_code

    def start(self, topic: str, payload: bytes, qos: int, retain: bool, properties: Properties | None) -> Publication:
        """Publish now; there must be room."""
        link = self.link
        assert link is not None  # has_room
        if qos > 0 and not link.is_reading:
            self._read_on()
        publication = self._connection.publish(topic, payload, qos=qos, retain=retain, properties=properties)
        link.gathered(len(payload) + _HEAD)
        return publication

    async def room(self) -> None:
        """Wait until there is room, behind all who wait already.

        Raises:
            NotConnected: the client was closed.
        """
        self.check()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wanted.append(turn)
        if self.link is not None:
            self.link.soon()  # its end of turn makes room
        await turn
        while not self.may_leave:  # it was lost meanwhile
            await self.room()

    def admit(self) -> None:
        """There may be room: let in who waits."""
        if self._flushes:
            self._tell_flushed()
        wanted = self._wanted
        while wanted and self.may_leave:
            first = wanted.popleft()
            if isinstance(first, asyncio.Future):
                if not first.done():
                    first.set_result(None)
                    # It publishes in its own turn; whoever comes behind it waits for the next one.
                    assert self.link is not None  # there is room
                    self.link.soon()
                    return
                continue
            if not first.answer.done():
                self._let_in(first)
            else:
                for flush in self._flushes:
                    flush.wanted.discard(first)

    @property
    def may_leave(self) -> bool:
        """Whether a publication may leave now, if it is its turn."""
        link = self.link
        return (
            link is not None
            and link.is_writable
            and len(self.answers) < _MOST_UNFINISHED
            and self._connection.is_open  # not between a DISCONNECT and the end of the stream
        )

    @property
    def is_open(self) -> bool:
        """Whether there is a connection to publish on."""
        return self.link is not None and self._connection.is_open

    def _let_in(self, wanted: _Wanted) -> None:
        waited_for = [flush for flush in self._flushes if wanted in flush.wanted]
        for flush in waited_for:
            flush.wanted.discard(wanted)
        try:
            publication = self.start(wanted.topic, wanted.payload, wanted.qos, wanted.retain, wanted.properties)
        except (ValueError, MqttError) as error:
            wanted.answer.set_exception(error)
            return
        if wanted.qos == 0:
            wanted.answer.set_result(ReasonCode.SUCCESS)
        else:
            self.answers[publication] = wanted.answer
            for flush in waited_for:
                flush.publications.add(publication)

    def _forget_cancelled(self) -> None:
        """Let go of those who wait no longer, when they are many."""
        self._cancelled += 1
        if self._cancelled > len(self._wanted) // 2:
            self._cancelled = 0
            still = [each for each in self._wanted if not (each.answer if isinstance(each, _Wanted) else each).done()]
            self._wanted = deque(still)
            for flush in self._flushes:
                flush.wanted.intersection_update(each for each in still if isinstance(each, _Wanted))

    def check(self) -> None:
        """Raise why nothing can be published any more, if that is so."""
        if self.failure is not None:
            raise self.failure

    # What comes of it

    def done(self, publication: Publication) -> None:
        """The broker has answered."""
        self._suspect = None
        for flush in self._flushes:
            flush.publications.discard(publication)
        waiting = self.answers.pop(publication, None)
        if waiting is None:
            return
        if not isinstance(waiting, asyncio.Future):
            waiting.answered(publication)
        elif not waiting.done():
            waiting.set_result(publication.reason_code)

    async def flush(self) -> None:
        """Wait until the broker has all that was published so far.

        Raises:
            NotConnected: the client was closed.
        """
        self.check()
        last = 0 if self._outbox is None else self._outbox.last_number
        flush = _Flush(set(self.answers), {each for each in self._wanted if isinstance(each, _Wanted)}, last)
        self._flushes.append(flush)
        try:
            if self.link is not None:
                self.link.soon()
            self._tell_flushed()
            await flush.done
        finally:
            if flush in self._flushes:
                self._flushes.remove(flush)

    def _tell_flushed(self) -> None:
        if self.link is not None and not self.link.is_flushed:
            return
        for flush in self._flushes:
            if not (flush.publications or flush.wanted or self._is_stored(flush.last)) and not flush.done.done():
                flush.done.set_result(None)

    def _is_stored(self, last: int) -> bool:
        """Whether a message up to this number is in the outbox, or in our hands."""
        if self._outbox is None or (self._outbox.waiting == 0 and self._in_hand == 0):
            return False
        if self._taken < last or 0 < self._in_hand <= last:
            return True
        return any(isinstance(each, _Stored) and each.number <= last for each in self.answers.values())

    def ended(self, reason_code: int = ReasonCode.PACKET_TOO_LARGE) -> None:
        """The broker has ended a connection, perhaps for a message that it does not take.

        Before MQTT 5 it has no other way to say so, and the message would be sent for ever.

        Args:
            reason_code: why, if the broker said so.
        """
        first = self._connection.first_in_flight
        if first is not None and not first.has_quota:  # it was not sent on this connection
            first = None
        self._losses = self._losses + 1 if first is self._suspect else 1
        self._suspect = first
        if first is None or self._losses < _MOST_LOSSES:
            return
        self._suspect = None
        self._connection.abandon(first)
        text = (
            f"the message to {topics.shown(first.topic)} is given up: {_MOST_LOSSES} times in a row the broker has "
            f"ended the connection when it came; is it too large ({first.size:,} bytes), or not allowed?"
        )
        _log.error(text)
        for flush in self._flushes:
            flush.publications.discard(first)
        waiting = self.answers.pop(first, None)
        if isinstance(waiting, asyncio.Future):
            if not waiting.done():
                waiting.set_exception(Refused(reason_code, text))
        elif waiting is not None:
            first.reason_code = reason_code
            waiting.answered(first)
        self._tell_flushed()

    def closed(self, error: MqttError) -> None:
        """There will be no other connection: nobody waits any longer."""
        self.failure = error
        self.link = None
        for wanted in self._wanted:
            future = wanted.answer if isinstance(wanted, _Wanted) else wanted
            if not future.done():
                future.set_exception(error)
        self._wanted.clear()
        for waiting in self.answers.values():
            if not isinstance(waiting, asyncio.Future):
                waiting.failed(error)
            elif not waiting.done():
                waiting.set_exception(error)
        self.answers.clear()
        for flush in self._flushes:
            if not flush.done.done():
                flush.done.set_exception(error)

    # The outbox

    async def open_outbox(self, client_id: str) -> None:
        """Have in flight what an earlier program had, and send what waits, as soon as there is a connection."""
        outbox = self._outbox
        if outbox is None:
            return
        restored = []
        for message in await outbox.open(client_id, self._on_committed):
            publication = Publication(message.topic, message.payload, message.qos, message.retain, message.properties)
            publication.packet_id = message.packet_id
            publication.is_released = message.is_released
            self.answers[publication] = _Stored(outbox, message.number)
            restored.append(publication)
        self._connection.restore(restored)
        self._pump_task = asyncio.get_running_loop().create_task(self._pump(outbox), name="telex outbox")

    async def stop_outbox(self) -> None:
        """Send no more of it."""
        if self._pump_task is not None:
            self._pump_task.cancel()
            await asyncio.gather(self._pump_task, return_exceptions=True)
            self._pump_task = None

    async def close_outbox(self) -> None:
        """Send no more of it, and close it."""
        await self.stop_outbox()
        if self._outbox is not None:
            await self._outbox.close()

    def forgotten(self) -> None:
        """The broker knows nothing of what was in flight."""
        if self._outbox is not None:
            self._outbox.forget()

    def sent(self, publication: Publication) -> None:
        """A PUBLISH above QoS 0 is about to leave, for the first time in this session."""
        stored = self.answers.get(publication) if self._outbox is not None else None
        if isinstance(stored, _Stored) and self._outbox is not None:
            self._note(publication, self._outbox.sent(stored.number, publication.packet_id))

    def released(self, publication: Publication) -> None:
        """A PUBREL is about to leave."""
        stored = self.answers.get(publication) if self._outbox is not None else None
        if isinstance(stored, _Stored) and self._outbox is not None:
            self._note(publication, self._outbox.released(stored.number))

    def _note(self, publication: Publication, position: int) -> None:
        if publication.qos == 2:  # at QoS 1 a message may come twice
            self._hold_until = position

    @property
    def must_hold(self) -> bool:
        """Whether what is to leave must wait for the disk."""
        return self._outbox is not None and self._outbox.committed < self._hold_until

    def _on_committed(self) -> None:
        if self.link is not None and not self.must_hold:
            self.link.soon()

    async def _pump(self, outbox: Outbox) -> None:
        """Send what waits in the outbox, in its order."""
        try:
            await self._pump_out(outbox)
        except OSError as error:
            _log.error("nothing of the outbox leaves until this program starts again: %s", error)

    async def _pump_out(self, outbox: Outbox) -> None:
        while True:
            if not self.has_room:  # before one is taken out: what is there may be dropped, or expire
                await self.room()
            message = await anext(outbox, None)
            if message is None:
                return
            self._in_hand = message.number
            if not self.may_leave:
                await self.room()
            if message.qos == 0:  # at most once
                await outbox.settled(outbox.done(message.number))
                if not self.may_leave:
                    await self.room()
            try:
                self._send(outbox, message)
            except ValueError as error:
                _log.error("a message of the outbox cannot be sent and is dropped: %s", error)
                outbox.done(message.number)
            self._taken, self._in_hand = message.number, 0
            self._tell_flushed()

    def _send(self, outbox: Outbox, message: OutboxMessage) -> None:
        publication = self.start(message.topic, message.payload, message.qos, message.retain, message.properties)
        if message.qos > 0:
            self.answers[publication] = _Stored(outbox, message.number)
            if publication.packet_id > 0:
                self.sent(publication)


def refused(topic: str, reason_code: int) -> Refused:
    """What a PUBACK or a PUBREC of 0x80 and above raises."""
    return Refused(reason_code, f"the broker refuses the message to {topics.shown(topic)}: {reason_text(reason_code)}")


def closed() -> NotConnected:
    """Why nothing goes any more after ``close``."""
    return NotConnected("the client was closed")
