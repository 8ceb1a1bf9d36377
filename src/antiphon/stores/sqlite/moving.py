"""A SQLite database as the source of a move: held for nobody else, and read as it is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from antiphon.domain.errors import StoreFailed, StoreUnavailable
from antiphon.stores.moving import Row, Table, order_key
from antiphon.stores.sqlite.database import FILE_NAME, Cursor, translate
from antiphon.stores.sqlite.migrations import known_migrations

_NO_ROWID = "WITHOUT ROWID"


class Source:
    """The database of a data directory, which no other process has open meanwhile."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def identity(self) -> str:
        """What it is known by: the moments at which its tables were made."""
        rows = Cursor(self._connection).rows("migration_times")
        return hashlib.sha256(repr(rows).encode()).hexdigest()

    def columns(self, table: str) -> frozenset[str]:
        """The columns of a table."""
        return frozenset(row[0] for row in self._connection.execute("SELECT name FROM pragma_table_info(?)", (table,)))

    def rows(self, table: Table, offset: int) -> Iterator[Row]:
        """All rows of a table behind the first `offset`, always in one order, as they are to be there."""
        order = self._order(table.name)
        for row in self._connection.execute(table.query(self.columns(table.name), order), (offset,)):
            yield table.coded(row)

    def count(self, table: str) -> int:
        """How many rows a table has."""
        (row,) = self._connection.execute(f"SELECT count(*) FROM {table}")  # noqa: S608  a name of ours
        found: int = row[0]
        return found

    def _order(self, table: str) -> str:
        (row,) = self._connection.execute("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?", (table,))
        if _NO_ROWID not in row[0]:
            return "rowid"
        keys = self._connection.execute("SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk", (table,))
        return ", ".join(key[0] for key in keys)


@contextmanager
def open_source(data_dir: Path) -> Iterator[Source]:
    """The database of a directory, for this process alone until the end.

    Raises StoreFailed when there is none, or it is not of this version, StoreUnavailable when another process has it.
    """
    path = data_dir / FILE_NAME
    if not path.exists():
        raise StoreFailed(f"there is no database in {data_dir}")
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    except apsw.Error as error:
        raise translate(error) from None
    try:
        _hold(connection)
        _check_version(connection)
        connection.create_scalar_function("order_key", _order_key, 1, deterministic=True)
        yield Source(connection)
    except apsw.Error as error:
        raise translate(error) from None
    finally:
        connection.close(force=True)


def _order_key(*values: Any) -> Any:
    return order_key(values[0])


def _hold(connection: apsw.Connection) -> None:
    """Take the lock that every open connection of another process stands in the way of."""
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
    except apsw.BusyError:
        raise StoreUnavailable("the database is in use: stop the server and every worker first") from None


def _check_version(connection: apsw.Connection) -> None:
    applied = [row[0] for row in Cursor(connection).rows("applied_migrations")]
    if applied != [number for number, _, _ in known_migrations()]:
        raise StoreFailed("the database is of another version: run `antiphon db migrate` on it first")
