"""Publishers and subscribers: they come in, messages flow between them, and at the end somebody counts what is missing.

Knows the loop: who has something to do is called once a turn. What leaves and what comes is the business of ``Sender``
and ``Receiver``.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final

from telex.bench.alarm import Alarm
from telex.bench.counts import Counts
from telex.bench.link import KeepAlives, Link
from telex.bench.plan import Plan
from telex.bench.processes import Company
from telex.bench.receiver import Receiver
from telex.bench.ring import Ring
from telex.bench.routes import (
    HEARD_BY_ALL,
    comes_and_goes,
    every_of,
    filters_of,
    form_of,
    heard_by,
    key_of,
    received_ring,
    ring_length,
)
from telex.bench.schedule import Schedule
from telex.bench.sender import NUMBERS, Sender
from telex.bench.track import Track
from telex.codes import MQTT_5, ReasonCode
from telex.errors import MqttError, Refused
from telex.wire.encode import encode
from telex.wire.packets import Connect, Publish
from telex.wire.properties import Properties

_AT_ONCE: Final = 100
"""Connections that are on their way in at a time: fewer than the queue of any listener has room for."""

_MOST_WRITES: Final = 8
"""Of one publisher in one turn, so that others have theirs."""

_NUDGE_SECONDS: Final = 0.1
"""Seconds in which nothing moves, after which a publisher sends whatever it may, as little as that is."""

_EARLY: Final = 60_000
"""Nanoseconds that it takes to wake up, or nearly so. Where messages are seldom due, that moment is waited for awake:
what is measured from it is the broker, and not us."""

_LOOK_SECONDS: Final = 0.001  # between two looks at what has arrived in other processes
_DRAIN_SECONDS: Final = 0.02  # between two looks at whether all has arrived
_MORE_SECONDS: Final = 0.05
"""How long is waited behind the last message for one that should not come."""

_STAY_SECONDS: Final = 1.0  # how long those stay who come and go
_AWAY_SECONDS: Final = 0.25
_KEPT_SECONDS: Final = 3_600
"""How long a session outlives its connection (MQTT 5): a run whose end nobody sees leaves nothing for long."""


class Subscriber:
    """A connection that gets messages."""

    def __init__(self, number: int, receiver: Receiver, link: Link) -> None:
        self.number = number
        self.receiver = receiver
        self.link = link
        self.is_moved = False  # something came in this turn


class Publisher:
    """A connection that sends them."""

    def __init__(self, number: int, sender: Sender, link: Link, *, most_in_flight: int, writes_bytes: bool) -> None:
        self.number = number
        self.sender = sender
        self.link = link
        self.is_moved = False  # something happened in this turn that may let it send
        self._most_in_flight = most_in_flight
        self._writes_bytes = writes_bytes  # the stream takes nothing else
        self._block = max(1, sender.ahead // 4)

    def pump(self, now: int, *, is_nudged: bool = False) -> bool:
        """Write what may leave; whether there may be more for the next turn.

        In a closed loop no block is sent that is so small that the write would be the main cost, unless nothing else
        moves.
        """
        sender, link = self.sender, self.link
        least = 1 if is_nudged else self._block
        for _ in range(_MOST_WRITES):
            if link.is_over or not link.is_writable:
                return False
            data = sender.take(least, now)
            if data is None:
                return False
            link.write(bytes(data) if self._writes_bytes else data)
        return True

    def pump_due(self) -> None:
        """Write what was due."""
        while self.sender.due and not self.link.is_over and self.link.is_writable:
            data = self.sender.take_due(self._most_in_flight)
            if data is None:
                return
            self.link.write(data)


class Load:
    """What a process has of the publishers and subscribers of a plan.

    Args:
        plan: what is asked.
        company: what is this process's own, and the others.
        counts: what is added to.
        keep_alives: for all connections of the process.
    """

    def __init__(self, plan: Plan, company: Company, counts: Counts, keep_alives: KeepAlives) -> None:
        self._plan = plan
        self._share = company.share
        self._board = company.board
        self._counts = counts
        self._keep_alives = keep_alives
        self._loop = asyncio.get_running_loop()
        self._publishers: dict[int, Publisher] = {}
        self._subscribers: list[Subscriber] = []
        self._tracks: dict[int, list[Track]] = {}  # what has come here, by publisher
        self._loose: list[Track] = []  # of those who come and go
        self._visits: list[asyncio.Task[None]] = []  # of the same
        self._moved_publishers: list[Publisher] = []
        self._moved_subscribers: list[Subscriber] = []
        self._pumping: asyncio.Handle | None = None
        self._nudging: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._movement = -1  # at the last nudge
        self._alarm: Alarm | None = None
        self._schedule: Schedule | None = None
        self._is_split = self._share.of > 1 and plan.kind in HEARD_BY_ALL  # from those who listen elsewhere
        self._is_group = bool(plan.share) and plan.kind != "mixed"  # that all subscribers are members of
        self._is_running = False
        self._is_leaving = False
        self._failures: Counter[str] = Counter()  # connections that did not come to be, by their error
        self._losses: Counter[str] = Counter()  # those that ended
        self.all_lost = asyncio.Event()
        """There is nobody left to send, or to receive."""

    @property
    def wanted(self) -> int:
        """How many connections there are to be."""
        return len(self._share.publishers) + len(self._share.subscribers)

    @property
    def connected(self) -> int:
        """How many there are."""
        publishers = sum(not each.link.is_over for each in self._publishers.values())
        return publishers + sum(not each.link.is_over for each in self._subscribers)

    # Coming in

    async def come(self) -> None:
        """Connect all, subscribers first.

        Raises:
            MqttError: no subscriber, or no publisher, could connect.
            OSError: the same.
        """
        plan, share = self._plan, self._share
        staying = [each for each in share.subscribers if not comes_and_goes(plan, each)]
        rings: dict[int, Ring | None] = {}
        group: dict[int, Track] = {}
        arriving: list[Coroutine[Any, Any, None]] = []
        for number in staying:
            tracks = None
            if plan.kind != "sub":
                tracks = {each: self._new_track(each, rings, group) for each in heard_by(plan, number)}
            arriving.append(self._come_subscriber(number, tracks))
        errors = await self._all(arriving)
        for publisher, tracks_of in self._tracks.items():
            if tracks_of and share.of > 1:
                self._board.listens(publisher)
        lonely = self._lonely(staying)
        errors += await self._all([self._come_publisher(each) for each in share.publishers if each not in lonely])
        publishers, subscribers = len(self._publishers), len(self._subscribers)
        if errors and ((staying and not subscribers) or (share.publishers and not publishers)):
            raise errors[0]
        for error in errors:
            self._counts.refused += 1
            self._failures[str(error)] += 1

    def _lonely(self, staying: list[int]) -> set[int]:
        """Publishers whose subscriber did not come: what they sent would reach nobody."""
        if self._plan.kind not in ("pairs", "latency"):
            return set()
        return set(staying) - {each.number for each in self._subscribers}

    async def _all(self, arriving: list[Coroutine[Any, Any, None]]) -> list[MqttError | OSError]:
        """Let them come, some at a time; what went wrong."""
        errors: list[MqttError | OSError] = []
        rate = self._share.part(self._plan.connect_rate)
        begin = self._loop.time()
        places = asyncio.Semaphore(_AT_ONCE)

        async def one(index: int, coming: Coroutine[Any, Any, None]) -> None:
            try:
                async with places:
                    if rate:
                        await asyncio.sleep(begin + index / rate - self._loop.time())
                    await coming
            except (MqttError, OSError) as error:
                errors.append(error)

        tasks = [asyncio.create_task(one(index, coming)) for index, coming in enumerate(arriving)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for coming in arriving:
                coming.close()  # if it has not begun
        return errors

    def _new_track(
        self, publisher: int, rings: dict[int, Ring | None], group: dict[int, Track], *, is_loose: bool = False
    ) -> Track:
        plan = self._plan
        if publisher not in rings:
            rings[publisher] = received_ring(plan, self._share.token, publisher)
        ring = rings[publisher]
        modulus = ring_length(plan, publisher) or NUMBERS
        if is_loose:
            self._loose.append(Track(publisher, modulus, is_loose=True, ring=ring))
            return self._loose[-1]
        if self._is_group and publisher in group:
            return group[publisher]
        track = Track(publisher, modulus, is_shared=self._is_group, ring=ring)
        group[publisher] = track
        self._tracks.setdefault(publisher, []).append(track)
        return track

    def _connect(self, role: str, number: int, *, keeps: bool = False) -> Connect:
        plan = self._plan
        properties = None
        if keeps and plan.version == MQTT_5:
            properties = Properties(session_expiry_interval=_KEPT_SECONDS)
        return Connect(
            f"bench{self._share.token:03x}-{role}{number}",  # 23 characters at most, as MQTT 3.1 wants it
            version=plan.version,
            clean_start=not keeps or plan.version == MQTT_5,
            keep_alive=plan.keep_alive,
            user_name=plan.user,
            password=plan.password,
            properties=properties,
        )

    async def _open(self, connect: Connect, receiver: Receiver) -> Link:
        plan = self._plan
        link = await Link.open(
            plan.dialer, connect, timeout=plan.patience, reader=receiver, keep_alives=self._keep_alives
        )
        self._counts.connected += 1
        return link

    async def _come_subscriber(self, number: int, tracks: dict[int, Track] | None) -> None:
        plan = self._plan
        receiver = self._new_receiver(tracks)
        try:
            link = await self._open(self._connect("s", number, keeps=plan.kept), receiver)
            await self._subscribe(link, number)
        except (MqttError, OSError):
            self._forget(tracks)
            raise
        subscriber = Subscriber(number, receiver, link)
        link.touched = lambda: self._touched_subscriber(subscriber)
        link.on_lost = lambda error: self._lost_subscriber(subscriber, error)
        self._subscribers.append(subscriber)

    def _new_receiver(self, tracks: dict[int, Track] | None) -> Receiver:
        by_key = None
        if tracks is not None:
            by_key = {key_of(self._share.token, each): track for each, track in tracks.items()}
        return Receiver(self._counts, self._plan.version, by_key)

    def _forget(self, tracks: dict[int, Track] | None) -> None:
        """Nobody listens there: what does not come is not lost."""
        for publisher, track in (tracks or {}).items():
            if not track.is_shared:
                self._tracks[publisher].remove(track)

    async def _subscribe(self, link: Link, number: int) -> None:
        plan = self._plan
        qos = 2 if plan.kind == "mixed" else plan.qos
        try:
            await link.subscribe(filters_of(plan, number), qos, timeout=plan.patience)
        except BaseException:
            link.abort()
            raise
        self._counts.subscribed += 1

    async def _come_publisher(self, number: int) -> None:
        plan = self._plan
        length = ring_length(plan, number)
        connect = self._connect("p", number)
        link = await Link.open(plan.dialer, connect, timeout=plan.patience, keep_alives=self._keep_alives)
        try:
            self._check(link, number)
        except Refused:
            link.abort()
            raise
        self._counts.connected += 1
        qos = plan.qos_of(number)
        form = form_of(plan, self._share.token, number, aliases=link.server.topic_alias_maximum or 0)
        every = every_of(plan, number)
        ahead = plan.ahead_of(number) if not qos else min(plan.ahead_of(number), link.most_in_flight)
        ring = Ring(form, length, every) if length else None
        sender = Sender(form, self._counts, ring, ahead=ahead, every=every, times_answers=plan.kind == "pub")
        sender.tracks = self._tracks.get(number, [])
        link.use(sender)
        publisher = Publisher(
            number,
            sender,
            link,
            most_in_flight=link.most_in_flight,
            writes_bytes=plan.dialer.address.is_websocket,
        )
        link.touched = link.has_room = lambda: self._touched_publisher(publisher)
        link.on_lost = lambda error: self._lost_publisher(publisher, error)
        self._publishers[number] = publisher

    def _check(self, link: Link, number: int) -> None:
        """Whether the broker takes what is to be sent.

        Raises:
            Refused: it does not.
        """
        plan, server = self._plan, link.server
        qos = plan.qos_of(number)
        if plan.alias and not server.topic_alias_maximum:
            raise Refused(ReasonCode.TOPIC_ALIAS_INVALID, "the broker takes no topic aliases")
        if qos > (2 if server.maximum_qos is None else server.maximum_qos):
            raise Refused(ReasonCode.QOS_NOT_SUPPORTED, f"the broker takes no messages of QoS {qos}")
        if plan.retain and server.retain_available == 0:
            raise Refused(ReasonCode.RETAIN_NOT_SUPPORTED, "the broker takes no retained messages")
        largest = form_of(plan, 0, number, aliases=server.topic_alias_maximum or 0).largest()
        if largest > link.largest_packet:
            raise Refused(
                ReasonCode.PACKET_TOO_LARGE,
                f"the broker takes packets of {link.largest_packet:,} bytes at most, and these have {largest:,}",
            )

    # What goes on

    def start(self, at: float) -> None:
        """Send from now on.

        Args:
            at: when the first message is due, by ``time.monotonic``.
        """
        plan = self._plan
        self._is_running = True
        for number in self._share.subscribers:
            if comes_and_goes(plan, number):
                self._visits.append(asyncio.create_task(self._visit(number)))
        senders = [each.sender for each in self._publishers.values()]
        if plan.rate and senders:
            rate = plan.rate * len(senders) / plan.publishers
            self._schedule = Schedule(senders, rate, int(at * 1e9))
            self._by_sender = {id(each.sender): each for each in self._publishers.values()}
            self._alarm = Alarm(self._due)
            self._set_alarm()
        else:
            for publisher in self._publishers.values():
                self._touched_publisher(publisher)
        if self._is_split:
            self._look()
        self._nudge()

    def _due(self) -> None:
        """Something is due."""
        schedule, alarm = self._schedule, self._alarm
        if schedule is None or alarm is None or not self._is_running:
            return
        now = time.monotonic_ns()
        if 0 < schedule.next - now <= _EARLY:
            while now < schedule.next:
                now = time.monotonic_ns()
        for sender in schedule.advance(now):
            self._by_sender[id(sender)].pump_due()
        self._loop.call_soon(self._set_alarm)  # when what was written has left: that is in a hurry

    def _set_alarm(self) -> None:
        """Wake up when the next message is due; a little earlier, if that is seldom."""
        schedule, alarm = self._schedule, self._alarm
        if schedule is None or alarm is None:
            return
        alarm.set(schedule.next - (_EARLY if schedule.is_slow else 0))

    def _touched_publisher(self, publisher: Publisher) -> None:
        if not publisher.is_moved:
            publisher.is_moved = True
            self._moved_publishers.append(publisher)
            self._pump_soon()

    def _touched_subscriber(self, subscriber: Subscriber) -> None:
        if not subscriber.is_moved:
            subscriber.is_moved = True
            self._moved_subscribers.append(subscriber)
            self._pump_soon()

    def _pump_soon(self) -> None:
        if self._pumping is None:
            self._pumping = self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """All that this turn has brought is taken in: see who may send."""
        self._pumping = None
        publishers, self._moved_publishers = self._moved_publishers, []
        subscribers, self._moved_subscribers = self._moved_subscribers, []
        heard: set[int] = set()  # publishers of whom something came that is not only for this process to know
        for subscriber in subscribers:
            subscriber.is_moved = False
            moved = subscriber.receiver.moved
            for track in moved:
                track.is_moved = False
                publisher = self._publishers.get(track.publisher)
                if self._is_split:
                    heard.add(track.publisher)
                if publisher is not None and not publisher.is_moved:
                    publisher.is_moved = True
                    publishers.append(publisher)
            moved.clear()
        for number in heard:
            self._note(number)
        now = time.monotonic_ns()
        for publisher in publishers:
            publisher.is_moved = False
            if self._schedule is not None:
                publisher.pump_due()
            elif self._is_running and publisher.pump(now):
                self._touched_publisher(publisher)

    def _note(self, publisher: int) -> None:
        """Tell the other processes what has come here of one publisher."""
        tracks = [each for each in self._tracks.get(publisher, ()) if not each.is_over]
        if tracks:
            self._board.note(publisher, min(each.got if each.is_shared else each.next for each in tracks))

    def _look(self) -> None:
        """See what has arrived in other processes."""
        now = time.monotonic_ns()
        for number, publisher in self._publishers.items():
            here = publisher.sender.elsewhere
            there = self._board.total(number) if self._is_group else self._board.arrived(number)
            if there != here:
                publisher.sender.elsewhere = there
                if self._schedule is None and self._is_running and publisher.pump(now):
                    self._touched_publisher(publisher)
        if not self._is_leaving:
            self._looking = self._loop.call_later(_LOOK_SECONDS, self._look)

    def _nudge(self) -> None:
        """If nothing moves: perhaps what a publisher waits for is lost, and the next message shows it."""
        movement = self._counts.movement
        if movement == self._movement and self._schedule is None:
            now = time.monotonic_ns()
            for publisher in self._publishers.values():
                publisher.pump(now, is_nudged=True)
        self._movement = movement
        if self._is_running:
            self._nudging = self._loop.call_later(_NUDGE_SECONDS, self._nudge)

    async def _visit(self, number: int) -> None:
        """Come, subscribe, stay a while and leave, again and again."""
        plan = self._plan
        rings: dict[int, Ring | None] = {}
        while self._is_running:
            tracks = {each: self._new_track(each, rings, {}, is_loose=True) for each in heard_by(plan, number)}
            receiver = self._new_receiver(tracks)
            try:
                link = await self._open(self._connect("s", number), receiver)
                try:
                    await self._subscribe(link, number)
                    await asyncio.sleep(_STAY_SECONDS)
                    if link.is_over:
                        raise link.ended
                finally:
                    link.leave()
            except (MqttError, OSError) as error:
                self._losses[str(error)] += 1
            await asyncio.sleep(_AWAY_SECONDS)

    def _lost_publisher(self, publisher: Publisher, error: Exception) -> None:
        self._losses[str(error)] += 1
        if all(each.link.is_over for each in self._publishers.values()):
            self.all_lost.set()

    def _lost_subscriber(self, subscriber: Subscriber, error: Exception) -> None:
        self._losses[str(error)] += 1
        tracks = subscriber.receiver.tracks or {}
        for track in tracks.values():
            if not track.is_shared:
                track.is_over = True
                if track.publisher in self._publishers:
                    self._touched_publisher(self._publishers[track.publisher])
        if all(each.link.is_over for each in self._subscribers):
            self.all_lost.set()

    # The end

    async def stop(self) -> None:
        """Send nothing more."""
        self._is_running = False
        for task in self._visits:
            task.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)
        self._close_alarm()
        for publisher in self._publishers.values():
            publisher.sender.is_stopped = True
        for number in self._share.publishers:
            self._board.announce(number, self._sent_by(number) or 0)

    def _close_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.close()
            self._alarm = None

    async def drain(self) -> None:
        """Wait until all that is on its way has arrived, or nothing moves any more."""
        movement, since = -1, self._loop.time()
        while not self._is_drained():
            if self._counts.movement != movement:
                movement, since = self._counts.movement, self._loop.time()
            elif self._loop.time() - since > self._plan.patience:
                break
            await asyncio.sleep(_DRAIN_SECONDS)
        await asyncio.sleep(_MORE_SECONDS)

    def _is_drained(self) -> bool:
        for publisher in self._publishers.values():
            if not publisher.link.is_over and (publisher.link.unsent or not publisher.sender.is_clear):
                return False
        for number, tracks in self._tracks.items():
            sent = self._sent_by(number)
            for track in tracks:
                if track.is_over:
                    continue
                if sent is None or self._arrived(track) < sent:
                    return False
        return True

    def _sent_by(self, publisher: int) -> int | None:
        """How many messages a publisher has sent in all; None: it still sends, in another process."""
        own = self._publishers.get(publisher)
        if own is not None:
            return own.sender.sent
        if self._share.of > 1 and publisher not in self._share.publishers:
            return self._board.announced(publisher)
        return 0

    def _arrived(self, track: Track) -> int:
        if not track.is_shared:
            return track.next
        return self._board.total(track.publisher) if self._share.of > 1 else track.got

    async def leave(self) -> None:
        """Clean up, and end all connections."""
        self._is_leaving = True
        self._close_alarm()
        for timer in (self._nudging, self._looking, self._pumping):
            if timer is not None:
                timer.cancel()
        if self._plan.retain:
            for number, publisher in self._publishers.items():
                self._clear(publisher, number)
        links = [each.link for each in self._publishers.values()]
        links += [each.link for each in self._subscribers]
        for link in links:
            link.leave(forgets=self._plan.kept)
        if self._plan.kept and self._plan.version != MQTT_5:
            await self._all([self._end_session(each.number) for each in self._subscribers])
        with suppress(TimeoutError):
            async with asyncio.timeout(self._plan.patience):
                for link in links:
                    await link.gone()

    def _clear(self, publisher: Publisher, number: int) -> None:
        """Have the broker forget what it has retained."""
        if publisher.link.is_over:
            return
        topics = [each.decode() for each in publisher.sender.form.topics]
        version = self._plan.version
        publisher.link.write(b"".join([encode(Publish(each, retain=True), version) for each in topics]))

    async def _end_session(self, number: int) -> None:
        """Before MQTT 5 a kept session ends when its client comes without one."""
        plan = self._plan
        link = await Link.open(plan.dialer, self._connect("s", number), timeout=plan.patience)
        link.leave()

    # What came of it

    @property
    def lost(self) -> int:
        """Messages that were sent and never arrived; without subscribers, that were never acknowledged."""
        plan = self._plan
        if plan.kind == "pub":
            return sum(each.sender.unacknowledged for each in self._publishers.values())
        if self._is_group and self._share.of > 1:
            totals = [(each.sender.sent, self._board.total(number)) for number, each in self._publishers.items()]
            return sum(max(0, sent - total) for sent, total in totals)
        lost = 0
        for number, tracks in self._tracks.items():
            if plan.kind == "mixed" and plan.qos_of(number) == 0:
                continue
            lost += sum(max(0, (self._sent_by(number) or 0) - each.got) for each in tracks)
        return lost

    @property
    def duplicated(self) -> int:
        """Messages that arrived once more."""
        more = 0
        if self._is_group and self._share.of > 1:  # to members in different processes
            totals = [(each.sender.sent, self._board.total(number)) for number, each in self._publishers.items()]
            more = sum(max(0, total - sent) for sent, total in totals)
        return more + sum(each.duplicated for tracks in self._tracks.values() for each in tracks)

    @property
    def misordered(self) -> int:
        """Messages that arrived behind a later one."""
        return sum(each.misordered for each in [*self._loose, *(t for tracks in self._tracks.values() for t in tracks)])

    @property
    def complaints(self) -> list[str]:
        """What went wrong besides."""
        found = [f"{_times(count)} could not connect: {error}" for error, count in self._failures.items()]
        found += [f"{_times(count)} lost the connection: {error}" for error, count in self._losses.items()]
        unsent = sum(len(each.sender.due) for each in self._publishers.values())
        if unsent:
            found.append(f"{unsent:,} of the messages that were due did not leave: the rate was not reached")
        return found


def _times(count: int) -> str:
    return f"{count:,} clients" if count > 1 else "a client"
