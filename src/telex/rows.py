"""SQL statements that write or delete many rows at once, for SQLite.

Knows how many at a time. Knows no table.
"""

from collections.abc import Sequence
from typing import Final, Protocol

_ROWS: Final = (256, 32, 4, 1)
"""How many rows one statement writes. While it runs, the loop's thread can go on: with a row
a statement, the two would take turns for each of them."""


class Connection(Protocol):
    """A connection to a database, as ``sqlite3`` has it."""

    def execute(self, sql: str, parameters: Sequence[object], /) -> object:
        """Run one statement."""


def write_rows(connection: Connection, statement: str, columns: int, values: Sequence[object]) -> None:
    """Write rows.

    Args:
        connection: the database.
        statement: up to VALUES.
        columns: of each row.
        values: those of all rows, one behind the other.
    """
    row = f"({', '.join('?' * columns)})"
    start = 0
    for rows in _ROWS:
        width = rows * columns
        while len(values) - start >= width:
            connection.execute(statement + ", ".join([row] * rows), values[start : start + width])
            start += width


def delete_rows(connection: Connection, statement: str, keys: Sequence[object]) -> None:
    """Delete rows by their keys; the statement goes up to IN."""
    start = 0
    for count in _ROWS:
        while len(keys) - start >= count:
            connection.execute(f"{statement}({', '.join('?' * count)})", keys[start : start + count])
            start += count
