"""The journal on SQLite: what goes in comes out, whatever happens to the file, the directory and the process."""

import asyncio
import logging
import os
import random
import shutil
import sqlite3
import sys
from contextlib import closing
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import telex
from telex.engine import records
from telex.engine.message import Message
from telex.engine.records import Record
from telex.server.stores.sqlite import FILE_NAME, MIGRATIONS, SqliteJournal, StoreError
from telex.wire.packets import Will
from telex.wire.properties import Properties
from tests.engine.test_restore import ACTS, TIGHT, begins
from tests.engine.world import Ledger, World
from tests.processes import lines_until, run, running
from tests.stores.desk import Desk, at_work, found_in, row_counts, rows
from tests.stores.meaning import Meaning

EVERY_PROPERTY: Final = Properties(
    payload_format_indicator=1,
    content_type="text/plain; charset=utf-8",
    response_topic="answers/ä",
    correlation_data=b"\x00\xff",
    user_properties=(("name", "value"), ("name", "another"), ("", "")),
)


def kept(session: int, client_id: str = "", expiry_interval: int = 60) -> records.SessionKept:
    return records.SessionKept(session, client_id or f"client-{session}", expiry_interval)


def queued(
    number: int,
    session: int,
    message: Message | None = None,
    *,
    first: int = 0x32,
    extra: bytes = b"",
    shared: str = "",
) -> records.Queued:
    return records.Queued(number, session, message or Message("a", b"%d" % number, 1), first, extra, shared)


def subscribed(session: int, topic_filter: str, qos: int = 1) -> records.Subscribed:
    return records.Subscribed(session, topic_filter, qos, no_local=False, retain_as_published=False, identifier=0)


# What goes in comes out


async def test_a_new_store_has_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        async with at_work(tmp_path / "new" / "directories") as desk:
            assert desk.loaded == []
            assert await desk.page(1) == []


async def test_each_kind_of_record_comes_back(tmp_path: Path) -> None:
    published = Message("retained/ä", b"\x00\xff", 2, True, EVERY_PROPERTY, 2_000_000_000.25)
    published.publisher_id = "publisher"
    will = Will("w", b"gone", qos=2, retain=True, properties=Properties(will_delay_interval=5, content_type="x"))
    for_both = Message("a/b", b"x", 2, False, EVERY_PROPERTY, 1_900_000_000.5)
    told: list[Record] = [
        kept(1, "client ä"),
        records.SessionLeft(1, 2_000_000_000.75, 1_999_999_999.5),
        kept(2, "for ever", 0xFFFF_FFFF),
        records.Willed("client ä", will),
        records.Willed("not kept", Will("w", b"")),
        records.Subscribed(1, "a/#", 2, no_local=True, retain_as_published=True, identifier=268_435_455),
        records.Subscribed(2, "$share/g/+/ä", 0, no_local=False, retain_as_published=False, identifier=0),
        queued(1, 1, for_both, first=0x35, extra=b"\x0b\x01", shared="$share/g/a/#"),
        records.Sent(1, 65_535),
        queued(2, 2, for_both, first=0x34),
        records.Sent(2, 1),
        records.Released(2, 1),
        queued(3, 1, Message("a", b"", 1, False, Properties()), first=0x32),
        records.Owned(1, 1),
        records.Owned(1, 65_535),
        records.Owned(2, 1),
        records.Retain(published),
        records.Retain(Message("r", b"x", 0, True)),
    ]
    async with at_work(tmp_path) as desk:
        await desk.writes(*told)
    async with at_work(tmp_path) as desk:
        everything = await desk.everything()
    assert Meaning(everything).said() == Meaning(told).said()
    messages = [each.message for each in everything if isinstance(each, records.Queued) and each.number < 3]
    assert messages[0] is messages[1]  # one message in flight to two sessions is one object


async def test_what_comes_later_changes_what_was_there(tmp_path: Path) -> None:
    before: list[Record] = [
        *(kept(1), subscribed(1, "a", 1), subscribed(1, "b", 1), records.Owned(1, 1), records.Owned(1, 2)),
        *(queued(1, 1), queued(2, 1), queued(3, 1), records.Sent(1, 10), records.Sent(2, 11)),
        records.Retain(Message("a", b"1", 1, True)),
        records.Retain(Message("b", b"1", 1, True)),
        records.Willed("client-1", Will("w", b"1")),
    ]
    after: list[Record] = [
        *(records.SessionLeft(1, 2_000_000_000.0, 0.0), subscribed(1, "a", 2), records.Unsubscribed(1, "b")),
        *(records.Released(2, 11), records.Done(1), records.Disowned(1, 1), records.Owned(1, 3)),
        records.Retain(Message("a", b"2", 1, True)),
        records.Unretain("b"),
        records.Unwilled("client-1"),
    ]
    async with at_work(tmp_path) as desk:
        await desk.writes(*before)
        await desk.writes(*after)
    async with at_work(tmp_path) as desk:
        assert Meaning(await desk.everything()).said() == Meaning(before + after).said()


async def test_a_session_that_comes_back_is_not_away(tmp_path: Path) -> None:
    async with at_work(tmp_path) as desk:
        await desk.writes(kept(1), records.SessionLeft(1, 2_000_000_000.0, 0.0))
        await desk.writes(kept(1, expiry_interval=90))
    async with at_work(tmp_path) as desk:
        assert Meaning(desk.loaded).sessions == {1: ["client-1", 90]}


async def test_nothing_is_left_of_a_session_that_ended(tmp_path: Path) -> None:
    async with at_work(tmp_path) as desk:
        for_both = Message("a", b"x", 2)
        for session in (1, 2):
            numbers = (session, session + 10)
            await desk.writes(
                *(kept(session), subscribed(session, "a"), records.Owned(session, 1), records.Owned(session, 65_535)),
                *(queued(numbers[0], session, for_both), records.Sent(numbers[0], 1), records.Released(numbers[0], 1)),
                queued(numbers[1], session, for_both),
            )
        await desk.writes(records.SessionEnded(1))
    assert row_counts(tmp_path) == {
        "sessions": 1,
        "subscriptions": 1,
        "owned": 2,
        "messages": 1,
        "queue": 2,
        "in_flight": 1,
    }
    async with at_work(tmp_path) as desk:
        await desk.writes(records.SessionEnded(2))
    assert row_counts(tmp_path) == {}


async def test_a_session_may_begin_and_end_in_one_turn(tmp_path: Path) -> None:
    async with at_work(tmp_path) as desk:
        await desk.writes(
            *(kept(1, "c"), subscribed(1, "a"), records.Owned(1, 1), queued(1, 1), records.Sent(1, 1)),
            *(records.SessionEnded(1), kept(2, "c"), records.SessionLeft(2, 2_000_000_000.0, 0.0)),
        )
    assert row_counts(tmp_path) == {"sessions": 1}
    async with at_work(tmp_path) as desk:
        assert Meaning(desk.loaded).sessions == {2: ["c", 60, 2_000_000_000.0, 0.0]}


async def test_a_message_is_stored_once_for_all_who_wait(tmp_path: Path) -> None:
    sessions = range(1, 101)
    message = Message("a", b"payload" * 1_000, 1)
    async with at_work(tmp_path) as desk:
        await desk.writes(*(kept(each) for each in sessions), *(queued(each, each, message) for each in sessions))
        await desk.writes(*(records.Done(each) for each in sessions if each != 50))
    assert row_counts(tmp_path) == {"sessions": 100, "messages": 1, "queue": 1}
    assert rows(tmp_path, "SELECT payload FROM messages") == [(message.payload,)]
    async with at_work(tmp_path) as desk:
        assert [each.message.payload for each in await desk.waiting(50)] == [message.payload]
        await desk.writes(records.Done(50))
    assert row_counts(tmp_path) == {"sessions": 100}


async def test_what_comes_and_goes_in_a_turn_is_never_written(tmp_path: Path) -> None:
    async with at_work(tmp_path) as desk:
        await desk.writes(kept(1), queued(1, 1), records.Sent(1, 1), records.Done(1), queued(2, 1))
    assert rows(tmp_path, "SELECT number FROM queue") == [(2,)]
    assert row_counts(tmp_path) == {"sessions": 1, "queue": 1}


async def test_no_row_is_left_when_all_is_over(tmp_path: Path) -> None:
    """Everything that a broker can keep comes, in some turns, and goes, in others."""
    numbers = count(1)
    async with at_work(tmp_path) as desk:
        alive: dict[int, list[int]] = {}
        for session in range(1, 21):
            alive[session] = []
            await desk.writes(
                kept(session),
                *(subscribed(session, f"{name}/#") for name in "abc"),
                *(records.Owned(session, packet_id) for packet_id in range(1, 40)),
                records.Willed(f"client-{session}", Will("w", b"x")),
                records.Retain(Message(f"r/{session}", b"x", retain=True)),
            )
            message = Message("a", b"x" * 100, 2)
            for each in alive:
                number = next(numbers)
                desk.append(queued(number, each, message), records.Sent(number, session))
                alive[each].append(number)
        for session, waiting in alive.items():
            await desk.writes(*(records.Released(number, 1) for number in waiting[:5]))
            if session % 2:
                desk.append(*(records.Done(number) for number in waiting))
                await desk.writes(*(records.Disowned(session, packet_id) for packet_id in range(1, 40)))
                desk.append(*(records.Unsubscribed(session, f"{name}/#") for name in "abc"))
            desk.append(records.SessionLeft(session, 2_000_000_000.0, 0.0), records.SessionEnded(session))
            desk.append(records.Unwilled(f"client-{session}"), records.Unretain(f"r/{session}"))
        await desk.writes()
    assert row_counts(tmp_path) == {}


# Whatever comes, in whatever turns


class Babble:
    """Says records that a broker could say, as numbers ask for them; what makes no sense is passed over."""

    def __init__(self) -> None:
        self.told: list[Record] = []
        self._sessions: dict[int, int] = {}  # by client
        self._last_session = 0
        self._last_message = 0
        self._waiting: dict[int, list[int]] = {}  # by session: numbers, in order
        self._in_flight: dict[int, dict[int, bool]] = {}  # by session: number -> whether it is released
        self._owned: dict[int, set[int]] = {}
        self._subscriptions: set[tuple[int, str]] = set()
        self._willed: set[str] = set()
        self._retained: set[str] = set()

    def says(self, kind: str, who: int, what: int) -> list[Record]:
        """A record or some."""
        said: list[Record] = []
        if kind == "queued":
            said = self._queued(who, what)
        elif kind == "retain":
            said = self._retains(who, what)
        elif kind == "willed":
            said = self._wills(who, what)
        elif kind == "kept":
            said = [self._kept(who, what)]
        elif who in self._sessions:
            said = self._of_session(kind, who, self._sessions[who], what)
        self.told += said
        return said

    def _message(self, topic: str, what: int, qos: int, *, retain: bool = False) -> Message:
        properties = (None, EVERY_PROPERTY, Properties(), Properties(content_type="ä"))[what % 4]
        expires_at = 2_000_000_000.5 + what if what % 3 == 0 else None
        message = Message(topic, b"%d" % what * (what % 7) * 50, qos, retain, properties, expires_at)
        message.publisher_id = "publisher" if retain and what % 2 else ""
        return message

    def _queued(self, who: int, what: int) -> list[Record]:
        """One message for all whose bit is set."""
        qos = 1 + what % 2
        message = self._message(f"a/{who}", what, qos)
        said: list[Record] = []
        for client, session in self._sessions.items():
            if what >> client & 1:
                self._last_message += 1
                self._waiting[session].append(self._last_message)
                extra, shared = (b"\x0b\x05", "$share/g/a/#") if what % 5 == 0 else (b"", "")
                first = 0x30 | qos << 1 | what >> 4 & 1
                said.append(queued(self._last_message, session, message, first=first, extra=extra, shared=shared))
        return said

    def _retains(self, who: int, what: int) -> list[Record]:
        topic = f"r/{who}"
        if what % 3 == 0 and topic in self._retained:
            self._retained.remove(topic)
            return [records.Unretain(topic)]
        self._retained.add(topic)
        return [records.Retain(self._message(topic, what, what % 3, retain=True))]

    def _wills(self, who: int, what: int) -> list[Record]:
        client_id = f"client-{who}"
        if what % 3 == 0 and client_id in self._willed:
            self._willed.remove(client_id)
            return [records.Unwilled(client_id)]
        self._willed.add(client_id)
        properties = None if what % 2 else Properties(will_delay_interval=what, user_properties=(("a", "b"),))
        return [
            records.Willed(
                client_id, Will(f"w/{what}", b"%d" % what, qos=what % 3, retain=what % 5 == 0, properties=properties)
            )
        ]

    def _kept(self, who: int, what: int) -> Record:
        session = self._sessions.get(who)
        if session is None:
            self._last_session += 1
            session = self._sessions[who] = self._last_session
            self._waiting[session] = []
            self._in_flight[session] = {}
            self._owned[session] = set()
        return kept(session, f"client-{who}", what)

    def _of_session(self, kind: str, who: int, session: int, what: int) -> list[Record]:
        waiting, in_flight, owned = self._waiting[session], self._in_flight[session], self._owned[session]
        packet_id = (1, 2, 3, 65_535)[what % 4]
        if kind == "left":
            return [records.SessionLeft(session, what * 1_000.25, what % 3 * 500.5)]
        if kind == "ended":
            del self._sessions[who]
            return [records.SessionEnded(session)]
        if kind == "subscribed":
            options = {"no_local": what % 2 == 1, "retain_as_published": what % 3 == 1, "identifier": what}
            return [records.Subscribed(session, f"f/{what % 4}", what % 3, **options)]
        if kind == "unsubscribed":
            return [records.Unsubscribed(session, f"f/{what % 4}")]
        if kind == "owned" and packet_id in owned:
            owned.remove(packet_id)
            return [records.Disowned(session, packet_id)]
        if kind == "owned":
            owned.add(packet_id)
            return [records.Owned(session, packet_id)]
        if kind == "sent" and waiting:
            number = waiting.pop(0)
            in_flight[number] = False
            return [records.Sent(number, number % 65_535 + 1)]
        unreleased = [number for number, is_released in in_flight.items() if not is_released]
        if kind == "released" and unreleased:
            number = unreleased[what % len(unreleased)]
            in_flight[number] = True
            return [records.Released(number, number % 65_535 + 1)]
        there = [*in_flight, *waiting]
        if kind == "done" and there:
            number = there[what % len(there)]
            if number in in_flight:
                del in_flight[number]
            else:
                waiting.remove(number)
            return [records.Done(number)]
        return []


KINDS: Final = (
    *("kept", "left", "ended", "subscribed", "unsubscribed", "willed", "retain", "owned"),
    *("queued", "sent", "released", "done"),  # more often than the others
    *("queued", "sent", "released", "done"),
)
TURNS: Final = ("turn", "settled", "restart")
"""The end of a turn; that, and waiting until it is written; that, and a new process."""


async def babbles_into(directory: Path, steps: list[tuple[str, int, int]]) -> None:
    """Let a journal take in what is said, in these turns; what it gives back must come to the same."""
    babble = Babble()
    while True:
        async with at_work(directory) as desk:
            assert Meaning(await desk.everything()).said() == Meaning(babble.told).said()
            if not steps:
                return
            while steps:
                kind, who, what = steps.pop(0)
                desk.append(*babble.says(kind, who, what))
                if kind in TURNS:
                    desk.journal.commit()
                if kind == "settled":
                    await desk.journal.settled()
                elif kind == "restart":
                    break


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(KINDS + TURNS), st.integers(0, 3), st.integers(0, 63)), max_size=80))
def test_a_store_gives_back_what_it_was_given(steps: list[tuple[str, int, int]]) -> None:
    """Random records a broker could say, cut into turns at random: a plain model in memory comes to the same."""
    with TemporaryDirectory() as directory:
        asyncio.run(babbles_into(Path(directory), steps))


@pytest.mark.parametrize("seed", range(3))
async def test_a_store_gives_back_much_that_it_was_given(tmp_path: Path, seed: int) -> None:
    """The same, with so much at a time that rows are written by the hundred."""
    die = random.Random(seed)
    kinds = [kind for kind in KINDS if kind != "ended"] * 40 + ["ended"] + list(TURNS)
    steps = [(die.choice(kinds), die.randrange(8), die.randrange(1 << 8)) for _ in range(8_000)]
    await babbles_into(tmp_path, steps)


async def keeps(directory: Path, ledger: Ledger) -> None:
    """Write what an engine told, turn by turn, some of the turns together; what is given back must come to the same."""
    written = 0
    while True:
        async with at_work(directory) as desk:
            assert Meaning(await desk.everything()).said() == Meaning(ledger.everything[:written]).said()
            for turn in ledger.turns:
                if turn > written:
                    desk.append(*ledger.everything[written:turn])
                    desk.journal.commit()
                    written = turn
                    if turn % 3 == 0:
                        await desk.journal.settled()
                    if turn % 5 == 0:
                        break
            else:
                break
    assert Meaning(ledger.everything[:written]).said() == Meaning(await everything_in(directory)).said()


async def everything_in(directory: Path) -> list[Record]:
    async with at_work(directory) as desk:
        return await desk.everything()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(acts=st.lists(ACTS, max_size=25))
def test_a_store_gives_back_what_a_broker_told_it(acts: list[Any]) -> None:
    """The records of a real engine, whatever its clients do."""
    world = World(TIGHT, journal=Ledger())
    life = begins(world)
    for name, *arguments in acts:
        getattr(life, name)(*arguments)
    with TemporaryDirectory() as directory:
        asyncio.run(keeps(Path(directory), world.ledger))


# One file, one broker


HOLDER: Final = """
import sys
from pathlib import Path
from telex.server.stores.sqlite import SqliteJournal, StoreError
try:
    SqliteJournal(Path(sys.argv[1])).open()
    print("opened", flush=True)
    sys.stdin.read()
except StoreError as error:
    print(error)
"""


def what_another_process_says(directory: Path) -> str:
    """Open the store in a process of its own, for a moment."""
    return run(sys.executable, "-c", HOLDER, str(directory)).stdout.strip()


def refusal(directory: Path) -> str:
    return f"another broker uses {directory / FILE_NAME}: stop it, or choose another directory for this one"


async def test_a_second_broker_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    async with telex.Broker(port=0, data=tmp_path) as first:
        for _ in range(2):
            with pytest.raises(StoreError) as caught:
                await telex.Broker(port=0, data=tmp_path).start()
            assert str(caught.value) == refusal(tmp_path)
            assert what_another_process_says(tmp_path) == refusal(tmp_path)
        assert first.engine.retained.count
    assert what_another_process_says(tmp_path) == "opened"
    assert asides(tmp_path) == []


def test_a_broker_may_start_where_another_was_killed(tmp_path: Path) -> None:
    with running(sys.executable, "-c", HOLDER, str(tmp_path)) as holder:
        lines_until(holder, "opened")
        with pytest.raises(StoreError) as caught:
            SqliteJournal(tmp_path).open()
        assert str(caught.value) == refusal(tmp_path)
        holder.kill()
        holder.wait()
        assert found_in(tmp_path) == []


# Schemas


LATER: Final = ("CREATE TABLE later (x INTEGER)", "INSERT INTO later SELECT count(*) FROM sessions")


async def test_an_older_store_is_migrated(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "telex")
    told: list[Record] = [kept(1), subscribed(1, "a"), queued(1, 1)]
    async with at_work(tmp_path) as desk:
        await desk.writes(*told)
    assert caplog.messages == []  # a new file was not migrated
    for _ in range(2):
        async with at_work(tmp_path, migrations=(*MIGRATIONS, LATER, ())) as desk:
            assert Meaning(await desk.everything()).said() == Meaning(told).said()
        assert rows(tmp_path, "SELECT x FROM later") == [(1,)]
        assert rows(tmp_path, "PRAGMA user_version") == [(len(MIGRATIONS) + 2,)]
    assert [each.split()[0] for each in caplog.messages] == ["migrated", "migrated"]


def test_a_newer_store_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    assert found_in(tmp_path, migrations=(*MIGRATIONS, LATER)) == []
    for _ in range(2):
        with pytest.raises(StoreError) as caught:
            SqliteJournal(tmp_path).open()
        known = len(MIGRATIONS)
        assert str(caught.value) == (
            f"{tmp_path / FILE_NAME} was written by a newer Telex (schema {known + 1}, this one knows up to {known}): "
            "install that version again, or choose another directory"
        )
    assert found_in(tmp_path, migrations=(*MIGRATIONS, LATER)) == []
    assert rows(tmp_path, "SELECT x FROM later") == [(0,)]
    assert [each.name for each in tmp_path.iterdir()] == [FILE_NAME]


def test_a_migration_that_fails_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    """All of a step or nothing, with its number: another try begins where this one did."""
    assert found_in(tmp_path) == []
    broken = ("CREATE TABLE half (x INTEGER)", "INSERT INTO nowhere VALUES (1)")
    with pytest.raises((StoreError, sqlite3.Error)):
        SqliteJournal(tmp_path, migrations=(*MIGRATIONS, broken)).open()
    assert rows(tmp_path, "SELECT name FROM sqlite_master WHERE name = 'half'") == []
    assert rows(tmp_path, "PRAGMA user_version") == [(len(MIGRATIONS),)]


# A damaged file


async def fill(directory: Path) -> None:
    """Some of everything."""
    async with at_work(directory) as desk:
        for session in range(1, 21):
            away = records.SessionLeft(session, 2_000_000_000.0, 0.0)
            desk.append(kept(session), subscribed(session, "a/#"), records.Owned(session, session), away)
            desk.append(records.Willed(f"client-{session}", Will("w", b"x", properties=Properties(content_type="x"))))
            desk.append(records.Retain(Message(f"r/{session}", b"x" * 100 * session, 1, True, EVERY_PROPERTY)))
        for number in range(1, 401):
            is_sent = number < 200
            payload = (b"sent" if is_sent else b"waits") * 100
            desk.append(queued(number, 1 + number % 20, Message("a", payload, 2, False, EVERY_PROPERTY), first=0x34))
            if is_sent:
                desk.append(records.Sent(number, number))
        await desk.writes()


async def has_garbage(file: Path) -> None:
    put(file, b"This is a letter to my aunt. " * 1_000)


async def has_a_few_bytes(file: Path) -> None:
    put(file, b"x" * 1_000)


async def was_cut_in_the_middle(file: Path) -> None:
    await fill(file.parent)
    put(file, content_of(file)[: len(content_of(file)) // 2])


async def was_cut_within_a_page(file: Path) -> None:
    await fill(file.parent)
    put(file, content_of(file)[:-5_000])


async def has_a_flipped_page(file: Path) -> None:
    await fill(file.parent)
    page = rows(file.parent, "SELECT rootpage FROM sqlite_master WHERE name = 'queue'")[0][0]
    flip(file, (page - 1) * 4_096, 4_096)


async def has_a_flipped_page_that_is_not_read_at_the_start(file: Path) -> None:
    await fill(file.parent)
    place = content_of(file).rindex(b"waits" * 100)
    flip(file, place - place % 4_096, 8)


async def has_no_schema_to_read(file: Path) -> None:
    await fill(file.parent)
    start = content_of(file).index(b"CREATE TABLE sessions")
    flip(file, start, 12)


def is_the_database_of_another_program(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE photos (id INTEGER PRIMARY KEY, name TEXT)")
        connection.execute("INSERT INTO photos VALUES (1, 'aunt')")
        connection.commit()


def is_another_database_with_tables_of_our_names(file: Path) -> None:
    is_the_database_of_another_program(file)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE sessions (id INTEGER PRIMARY KEY)")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.commit()


def flip(file: Path, start: int, length: int) -> None:
    """Turn round every bit of some bytes."""
    content = bytearray(file.read_bytes())
    for index in range(start, start + length):
        content[index] ^= 0xFF
    file.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        *(has_garbage, has_a_few_bytes, was_cut_in_the_middle, was_cut_within_a_page),
        *(has_a_flipped_page, has_a_flipped_page_that_is_not_read_at_the_start, has_no_schema_to_read),
    ],
)
async def test_a_damaged_store_is_put_aside(  # type: ignore[no-untyped-def]
    damage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / FILE_NAME
    await damage(file)
    before = content_of(file)
    await starts_with_nothing(file, caplog)
    (aside,) = asides(tmp_path)
    assert content_of(aside) == before
    caplog.clear()
    async with telex.Broker(port=0, data=tmp_path, sys_interval=0):
        assert warnings(caplog) == []
    assert asides(tmp_path) == [aside]


@pytest.mark.parametrize("make", [is_the_database_of_another_program, is_another_database_with_tables_of_our_names])
async def test_the_database_of_another_program_is_put_aside(  # type: ignore[no-untyped-def]
    make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / FILE_NAME
    make(file)
    await starts_with_nothing(file, caplog)
    (aside,) = asides(tmp_path)
    with closing(sqlite3.connect(aside)) as connection:
        assert connection.execute("SELECT * FROM photos").fetchall() == [(1, "aunt")]
        assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'queue'").fetchall() == []


async def starts_with_nothing(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A broker starts, and says in one line why it knows nothing."""
    caplog.clear()
    async with telex.Broker(port=0, data=file.parent, sys_interval=0) as broker:
        assert broker.engine.sessions == {}
        assert broker.engine.retained.count == 0
    (aside,) = asides(file.parent)
    (line,) = warnings(caplog)
    assert line.levelno == logging.ERROR
    assert line.getMessage().startswith(f"DAMAGED STORE: {file} (")
    assert f"; it is kept as {aside}, " in line.getMessage()
    assert line.getMessage().endswith("the broker starts with nothing")
    assert "\n" not in line.getMessage()


def asides(directory: Path) -> list[Path]:
    """The stores that were put aside, without the files that SQLite has beside them."""
    return [each for each in directory.glob("telex.db.damaged-*") if not each.name.endswith(("-wal", "-shm"))]


def content_of(file: Path) -> bytes:
    return file.read_bytes()


def put(file: Path, content: bytes) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)


def warnings(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [each for each in caplog.records if each.levelno >= logging.WARNING]


async def test_of_two_damaged_stores_within_a_second_both_are_kept(tmp_path: Path) -> None:
    for letter in (b"1", b"2"):
        put(tmp_path / FILE_NAME, letter * 10_000)
        async with at_work(tmp_path) as desk:
            assert desk.loaded == []
    assert sorted(content_of(each)[:1] for each in asides(tmp_path)) == [b"1", b"2"]


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_is_damaged_the_broker_starts(tmp_path: Path, seed: int) -> None:
    """Some bytes are wrong, anywhere. What cannot be told from the truth is taken for it."""
    await fill(tmp_path / "whole")
    whole = content_of(tmp_path / "whole" / FILE_NAME)
    die = random.Random(seed)
    directory = tmp_path / "damaged"
    for _ in range(40):
        content = bytearray(whole)
        for _ in range(die.choice((1, 1, 3, 10, 100))):
            content[die.randrange(len(content))] ^= die.randrange(1, 256)
        put(directory / FILE_NAME, bytes(content))
        async with telex.Broker(port=0, data=directory, sys_interval=0) as broker:
            assert not broker.engine.journal.is_failing
        shutil.rmtree(directory)


# A directory that is not ours


AS_SOMEBODY: Final = """
import os, pwd, sys
from pathlib import Path
import telex.server.stores.sqlite  # while we may read it
os.chdir(sys.argv[1])
if os.geteuid() == 0:  # root may write everywhere
    nobody = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)
print(pwd.getpwuid(os.geteuid()).pw_name)
try:
    telex.server.stores.sqlite.SqliteJournal(Path(sys.argv[2])).open()
except telex.server.stores.sqlite.StoreError as error:
    print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="users and modes are POSIX's")
@pytest.mark.parametrize("place", [".", "a/new/one"])
def test_the_refusal_names_the_directory_and_the_user(tmp_path: Path, place: str) -> None:
    """The user that the process runs as, whoever the environment says it is."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    done = run("env", "LOGNAME=aunt", "USER=aunt", sys.executable, "-c", AS_SOMEBODY, str(closed), place)
    user, said = done.stdout.splitlines()
    assert user not in ("root", "aunt")
    assert said == (
        f"{place} cannot be written by user {user}: Permission denied; "
        "give it to that user, or choose another directory"
    )
    assert list(closed.iterdir()) == []


def test_a_path_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"/file/data cannot be written by user \w+: Not a directory; give it"):
        SqliteJournal(tmp_path / "file" / "data").open()


def test_a_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file cannot be written by user \w+: File exists; give it"):
        SqliteJournal(tmp_path / "file").open()


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
async def test_nobody_else_may_read_what_is_kept(tmp_path: Path) -> None:
    former = os.umask(0o000)
    try:
        async with at_work(tmp_path / "data") as desk:
            await desk.writes(kept(1), queued(1, 1))
            modes = {each.name: each.stat().st_mode & 0o777 for each in (tmp_path / "data").iterdir()}
            assert modes == dict.fromkeys((FILE_NAME, f"{FILE_NAME}-wal"), 0o600)
            assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(former)


# Pages


def page_bytes(page: list[records.Queued]) -> int:
    return sum(len(each.message.payload) for each in page)


async def test_small_messages_come_five_hundred_at_a_time(tmp_path: Path) -> None:
    async with at_work(tmp_path) as desk:
        await desk.writes(kept(1), kept(2), *(queued(number, 1 + number % 2) for number in range(1, 2_402)))
        pages = []
        after = 0
        while page := await desk.page(2, after):
            pages.append(page)
            after = page[-1].number
        assert [len(page) for page in pages] == [500, 500, 201]
        assert [each.number for page in pages for each in page] == list(range(1, 2_402, 2))
        assert {each.session for page in pages for each in page} == {2}


async def test_large_messages_come_by_the_mebibyte(tmp_path: Path) -> None:
    async with at_work(tmp_path) as desk:
        sizes = [300_000] * 9 + [2_000_000] * 2 + [0, 10]
        big = [Message("a", bytes(size), 1) for size in sizes]
        await desk.writes(kept(1), *(queued(number, 1, message) for number, message in enumerate(big, 1)))
        pages = []
        after = 0
        while page := await desk.page(1, after):
            pages.append(page)
            after = page[-1].number
        assert [len(each.message.payload) for page in pages for each in page] == sizes
        assert len(pages) > 4
        assert all(page_bytes(page[:-1]) <= 1 << 20 for page in pages)
        assert all(page_bytes(page) > 1 << 20 for page in pages[:-1])


async def test_a_page_has_what_was_appended_before_it_was_asked_for(tmp_path: Path) -> None:
    """And neither what is in flight nor what is done."""
    async with at_work(tmp_path) as desk:
        await desk.writes(kept(1), *(queued(number, 1) for number in range(1, 5)))
        desk.append(records.Sent(1, 1), records.Done(2), queued(5, 1), queued(6, 1), records.Sent(6, 2))
        assert [each.number for each in await desk.page(1)] == [3, 4, 5]
        assert [each.number for each in await desk.page(1, after=4)] == [5]
        assert await desk.page(1, after=5) == []


async def test_relaxed_pages_have_what_is_not_written_yet(tmp_path: Path) -> None:
    async with at_work(tmp_path, durability="relaxed") as desk:
        desk.append(kept(1), queued(1, 1), queued(2, 1))
        desk.journal.commit()
        assert [each.number for each in await desk.page(1)] == [1, 2]


# Strict and relaxed


async def test_strict_counts_as_committed_what_a_new_process_would_find(tmp_path: Path) -> None:
    async with at_work(tmp_path / "data") as desk:
        journal = desk.journal
        for number in range(1, 20):
            desk.append(records.Owned(1, number), *(() if number > 1 else (kept(1),)))
            before = journal.committed
            journal.commit()
            assert journal.committed == before
            await desk.told()
            assert journal.committed == journal.appended
            shutil.copytree(tmp_path / "data", tmp_path / f"copy-{number}")  # as it is if the process is killed now
            found = Meaning(found_in(tmp_path / f"copy-{number}"))
            assert found.owned == {(1, each) for each in range(1, number + 1)}


async def test_what_comes_while_a_turn_is_written_is_the_next_one(tmp_path: Path) -> None:
    """All of a turn or nothing: the journal never counts as committed what it has not been given to write."""
    async with at_work(tmp_path) as desk:
        desk.append(kept(1))
        desk.journal.commit()
        desk.append(subscribed(1, "a"), subscribed(1, "b"))
        desk.journal.commit()
        await desk.told()
        assert desk.journal.committed == 1
        await desk.told()
        assert desk.journal.committed == 3


async def test_relaxed_counts_everything_as_committed_and_writes_it_soon(tmp_path: Path) -> None:
    async with at_work(tmp_path / "data", durability="relaxed") as desk:
        for number in range(1, 4):
            desk.append(*(() if number > 1 else (kept(1),)), records.Owned(1, number))
            assert desk.journal.committed == desk.journal.appended
            desk.journal.commit()
        await desk.told()  # by itself
        shutil.copytree(tmp_path / "data", tmp_path / "copy")
        assert Meaning(found_in(tmp_path / "copy")).owned == {(1, 1), (1, 2), (1, 3)}


class WatchedLoop(asyncio.SelectorEventLoop):
    """Knows for how long its timers were asked to wait, in seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.delays: list[float] = []

    def call_later(self, delay, callback, *args, context=None):  # type: ignore[no-untyped-def]
        self.delays.append(delay)
        return super().call_later(delay, callback, *args, context=context)


def test_relaxed_writes_within_a_second(tmp_path: Path) -> None:
    async def two_turns() -> list[float]:
        async with at_work(tmp_path, durability="relaxed") as desk:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, WatchedLoop)
            desk.append(kept(1))
            desk.journal.commit()
            desk.append(kept(2))
            desk.journal.commit()
            return loop.delays

    with asyncio.Runner(loop_factory=WatchedLoop) as runner:
        (delay,) = runner.run(two_turns())
    assert 0 < delay <= 0.9  # and some time to write


@pytest.mark.parametrize("durability", ["strict", "relaxed"])
async def test_what_was_appended_last_is_written_at_the_end(tmp_path: Path, durability: str) -> None:
    async with at_work(tmp_path, durability=durability) as desk:
        desk.append(kept(1), queued(1, 1))
        desk.journal.commit()
        desk.append(queued(2, 1))  # while the thread may be writing the others
    async with at_work(tmp_path, durability=durability) as desk:
        assert [each.number for each in await desk.waiting(1)] == [1, 2]


@pytest.mark.parametrize("durability", ["strict", "relaxed"])
async def test_settled_means_written(tmp_path: Path, durability: str) -> None:
    async with at_work(tmp_path / "data", durability=durability) as desk:
        await desk.journal.settled()  # there is nothing to wait for
        desk.append(kept(1))
        async with asyncio.timeout(10):
            await desk.journal.settled()
        shutil.copytree(tmp_path / "data", tmp_path / "copy")
    assert Meaning(found_in(tmp_path / "copy")).sessions == {1: ["client-1", 60]}


def test_there_are_two_durabilities(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="durability is 'fast', expected one of strict, relaxed"):
        SqliteJournal(tmp_path, durability="fast")
    with pytest.raises(ValueError, match="durability is 'fast', expected one of strict, relaxed"):
        telex.Broker(data=tmp_path, durability="fast")


# A disk that is full, or fails


def fill_disk(desk: Desk) -> None:
    """No page more."""
    (pages,) = desk.journal._connection.execute("PRAGMA page_count").fetchone()
    desk.journal._connection.execute(f"PRAGMA max_page_count = {pages}")


def empty_disk(desk: Desk) -> None:
    desk.journal._connection.execute("PRAGMA max_page_count = 1073741823")


async def test_what_cannot_be_written_is_not_committed_until_it_is(tmp_path: Path) -> None:
    told = [kept(1), *(queued(number, 1, Message("a", bytes(1_000), 1)) for number in range(1, 101))]
    more = [records.Done(1), records.Sent(2, 1), kept(2), queued(101, 2), records.Retain(Message("r", b"x", 1, True))]
    async with at_work(tmp_path) as desk:
        await desk.writes(told[0])
        fill_disk(desk)
        await desk.writes(*told[1:])
        assert desk.journal.is_failing
        assert desk.failures == ["database or disk is full"]
        assert desk.journal.committed == 1
        desk.append(*more)
        desk.journal.commit()
        await desk.told()  # it tries again by itself
        assert desk.journal.committed == 1
        empty_disk(desk)
        while desk.journal.is_failing:
            await desk.told()
        assert (len(desk.failures), desk.recoveries) == (1, 1)
        assert desk.journal.committed == desk.journal.appended
    async with at_work(tmp_path) as desk:
        assert Meaning(await desk.everything()).said() == Meaning([*told, *more]).said()


async def test_a_store_that_ends_while_it_fails_keeps_what_was_committed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with at_work(tmp_path) as desk:
        await desk.writes(kept(1))
        fill_disk(desk)
        await desk.writes(*(queued(number, 1, Message("a", bytes(1_000), 1)) for number in range(1, 101)))
    (line,) = caplog.messages
    assert line.startswith("what was not acknowledged is lost, since it could not be written: ")
    assert row_counts(tmp_path) == {"sessions": 1}


async def test_a_store_that_ends_after_it_failed_writes_what_is_left(tmp_path: Path) -> None:
    told = [kept(1), *(queued(number, 1, Message("a", bytes(1_000), 1)) for number in range(1, 101))]
    async with at_work(tmp_path) as desk:
        fill_disk(desk)
        await desk.writes(*told)
        desk.append(kept(2))
        empty_disk(desk)
    async with at_work(tmp_path) as desk:
        assert Meaning(await desk.everything()).said() == Meaning([*told, kept(2)]).said()


async def test_a_page_that_is_asked_for_while_the_disk_is_full_comes_later(tmp_path: Path) -> None:
    told = [queued(number, 1, Message("a", bytes(1_000), 1)) for number in range(1, 101)]
    async with at_work(tmp_path) as desk:
        await desk.writes(kept(1))
        fill_disk(desk)
        desk.append(*told)
        desk.journal.fetch("", 1, 0)
        desk.journal.commit()
        await desk.told()
        assert desk.journal.is_failing
        empty_disk(desk)
        while not desk.pages:
            await desk.told()
        assert [[each.number for each in page] for page in desk.pages] == [list(range(1, 101))]


class Unreadable(SqliteJournal):
    """A journal whose pages cannot be read for a while."""

    failures_left = 2

    def _page(self, client_id: str, session: int, after: int):  # type: ignore[no-untyped-def]
        if self.failures_left:
            self.failures_left -= 1
            raise sqlite3.OperationalError("disk I/O error")
        return super()._page(client_id, session, after)


async def test_what_was_written_is_not_written_again_because_something_cannot_be_read(tmp_path: Path) -> None:
    journal = Unreadable(tmp_path)
    journal.open()
    desk = Desk(journal)
    desk.append(kept(1), queued(1, 1))
    journal.fetch("", 1, 0)
    journal.commit()
    while not desk.pages:
        await desk.told()
    assert [each.number for each in desk.pages[0]] == [1]
    assert not journal.is_failing
    assert journal.committed == journal.appended
    journal.close()
    assert row_counts(tmp_path) == {"sessions": 1, "queue": 1}


async def test_a_row_that_cannot_be_read_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its properties are none. Who waits for it must not take all the others along."""
    async with at_work(tmp_path) as desk:
        await desk.writes(kept(1), kept(2), *(queued(number, 1 + number % 2) for number in range(1, 11)))
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute("UPDATE queue SET properties = x'05ff' WHERE number = 5")
        connection.commit()
    async with at_work(tmp_path) as desk:
        assert [each.number for each in await desk.page(2)] == [1, 3, 7, 9]
        assert [each.number for each in await desk.page(1)] == [2, 4, 6, 8, 10]
        await desk.writes(queued(11, 1))
        assert not desk.journal.is_failing
        assert desk.journal.committed == desk.journal.appended
    (line,) = warnings(caplog)
    assert line.getMessage().startswith(f"DAMAGED STORE: {tmp_path / FILE_NAME}: message 5 of '' is left out: ")
