"""A journal on SQLite at work, without a broker: what it loaded, what it told, and what is in its file."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from telex.engine import records
from telex.engine.records import Queued, Record
from telex.server.stores.sqlite import FILE_NAME, SqliteJournal

SECONDS = 20.0
"""How long anything may take before its test fails."""


class Desk:
    """A journal that was opened, and writes."""

    def __init__(self, journal: SqliteJournal) -> None:
        self.journal = journal
        self.loaded = list(journal.load())
        self.pages: list[list[Queued]] = []
        self.failures: list[str] = []
        self.recoveries = 0
        self._told = asyncio.Event()
        journal.start(self._on_committed, self._on_fetched, self.failures.append, self._on_recovered)

    def _on_committed(self) -> None:
        self._told.set()

    def _on_fetched(self, client_id: str, session: int, page: list[Queued]) -> None:
        self.pages.append(page)

    def _on_recovered(self) -> None:
        self.recoveries += 1

    def append(self, *appended: Record) -> None:
        for record in appended:
            self.journal.append(record)

    async def told(self) -> None:
        """Until the journal has tried once more."""
        self._told.clear()
        async with asyncio.timeout(SECONDS):
            await self._told.wait()

    async def writes(self, *appended: Record) -> None:
        """A turn of the loop that brings these, up to the journal's answer."""
        self.append(*appended)
        self.journal.commit()
        await self.told()

    async def page(self, session: int, after: int = 0) -> list[Queued]:
        """The next messages of a session."""
        self.journal.fetch("", session, after)
        self.journal.commit()
        while not self.pages:
            await self.told()
        return self.pages.pop()

    async def waiting(self, session: int) -> list[Queued]:
        """All messages that wait for a session, page by page."""
        found: list[Queued] = []
        while page := await self.page(session, found[-1].number if found else 0):
            found += page
        return found

    async def everything(self) -> list[Record]:
        """What was loaded, with the messages in place of their number."""
        all_records: list[Record] = []
        for record in self.loaded:
            if isinstance(record, records.Stored):
                found = await self.waiting(record.session)
                size = sum(len(each.message.payload) for each in found)
                assert (record.count, record.size, record.last) == (len(found), size, found[-1].number)
                all_records += found
            else:
                all_records.append(record)
        return all_records


@asynccontextmanager
async def at_work(directory: Path, **arguments: Any) -> AsyncIterator[Desk]:
    """A journal from its opening to its end."""
    journal = SqliteJournal(directory, **arguments)
    journal.open()
    desk = Desk(journal)
    try:
        yield desk
    finally:
        journal.close()


def found_in(directory: Path, **arguments: Any) -> list[Record]:
    """What a journal loads that never gets to work."""
    journal = SqliteJournal(directory, **arguments)
    journal.open()
    found = list(journal.load())
    journal._connection.close()
    return found


def rows(directory: Path, query: str) -> list[tuple[Any, ...]]:
    """What a query finds in the file of a journal that is closed."""
    with closing(sqlite3.connect(directory / FILE_NAME)) as connection:
        return connection.execute(query).fetchall()


def row_counts(directory: Path) -> dict[str, int]:
    """How many rows each table has; those that are empty are left out."""
    tables = [name for (name,) in rows(directory, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    counts = {name: rows(directory, f"SELECT count(*) FROM {name}")[0][0] for name in tables}
    return {name: count for name, count in counts.items() if count}
