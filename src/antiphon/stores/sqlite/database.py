"""Connections to the SQLite file: how they are opened, and what their errors mean to the rest.

Facts about the settings are from SQLite's documentation of PRAGMAs, their costs measured (docs/decisions/0002).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import apsw

from antiphon.domain import limits
from antiphon.domain.errors import StoreError, StoreFailed, StoreUnavailable
from antiphon.domain.filters import Filter
from antiphon.stores.filtering import fill
from antiphon.stores.sql import load_statements
from antiphon.stores.sqlite import gaps
from antiphon.stores.sqlite.filtering import SqliteCompiler, add_functions

Row = tuple[Any, ...]

FILE_NAME = "antiphon.db"
STATEMENTS = load_statements(files("antiphon.stores.sqlite") / "sql")

_READER_BUSY_SECONDS = 0.1  # on the loop thread: only a recovery of the log makes a reader wait at all
_CACHE_KIBIBYTES = 64 * 1024
_PASSING = (
    apsw.BusyError,
    apsw.LockedError,
    apsw.FullError,
    apsw.IOError,
    apsw.CantOpenError,
    apsw.NoMemError,
    apsw.InterruptError,
    apsw.ReadOnlyError,
)

_log = logging.getLogger(__name__)


def open_writer(path: Path) -> apsw.Connection:
    """A connection that writes: durable at every commit, overwriting what it deletes, foreign keys on.

    It leaves the log alone, also when it is closed. Raises StoreError when the file cannot be used, and StoreFailed
    when foreign keys cannot be switched on.
    """
    connection = _open_to_write(path, None)
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    return connection


def open_cleaner(path: Path) -> apsw.Connection:
    """The same for who brings the log into the database: nothing comes along in the unused parts of pages.

    What it writes takes longer, since every write of a page goes through Python (see `gaps`). Raises as `open_writer`.
    """
    return _open_to_write(path, gaps.LAYER)


def _open_to_write(path: Path, layer: str | None) -> apsw.Connection:
    try:
        connection = apsw.Connection(str(path), vfs=layer)
        _keep_plans(connection)
        add_functions(connection)
        connection.set_busy_timeout(limits.STORE_BUSY_SECONDS * 1000)
        for pragma in (
            "auto_vacuum = INCREMENTAL",  # takes hold before the first table is made, and later does nothing
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "secure_delete = ON",
            "temp_store = MEMORY",
            "wal_autocheckpoint = 0",  # a thread of its own does it, so that no commit waits for it
            f"cache_size = -{_CACHE_KIBIBYTES}",
            f"journal_size_limit = {limits.WAL_BYTES}",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        if connection.execute("PRAGMA foreign_keys").fetchall() != [(1,)]:
            raise StoreFailed("this SQLite does not enforce foreign keys")
    except apsw.Error as error:
        raise translate(error) from None
    return connection


def open_reader(path: Path) -> apsw.Connection:
    """A connection that only reads."""
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        _keep_plans(connection)
        add_functions(connection)
        connection.set_busy_timeout(int(_READER_BUSY_SECONDS * 1000))
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIBIBYTES}").fetchall()
        connection.execute("PRAGMA temp_store = MEMORY").fetchall()
    except apsw.Error as error:
        raise translate(error) from None
    return connection


def _keep_plans(connection: apsw.Connection) -> None:
    """Plan a statement once, whatever its values are.

    Without the query planner stability guarantee SQLite looks at the values of some parameters (those of a LIMIT, those
    that meet a partial index), and then prepares the statement again at every execution: 7 to 35 µs a time, measured.
    """
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)


def translate(error: apsw.Error) -> StoreError:
    """The project's error for one of the driver's; its text stays here, since it may quote what people wrote."""
    name = type(error).__name__
    detail = apsw.mapping_extended_result_codes.get(getattr(error, "extendedresult", 0), "")
    _log.warning("database error", extra={"fault": name, "result": str(detail)})
    return StoreUnavailable() if isinstance(error, _PASSING) else StoreFailed()


class Cursor:
    """Named statements on one connection."""

    __slots__ = ("connection",)

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection

    def rows(self, name: str, /, **values: Any) -> list[Row]:
        """All rows of a statement."""
        return self.connection.execute(STATEMENTS[name], values).fetchall()

    def row(self, name: str, /, **values: Any) -> Row | None:
        """The first row of a statement, or None."""
        found = self.connection.execute(STATEMENTS[name], values).fetchall()
        return found[0] if found else None

    def ask(self, query: str, /, **values: Any) -> list[Row]:
        """All rows of a statement that was made from the deletion graph."""
        return self.connection.execute(query, values).fetchall()

    def filtered(
        self, name: str, wanted: Filter, columns: Mapping[str, str], /, *, is_reversed: bool = False, **values: Any
    ) -> list[Row]:
        """All rows of a statement that takes a filter, whose fields are these columns."""
        compiler = SqliteCompiler(columns)
        text = fill(STATEMENTS[name], compiler.compile(wanted), is_reversed=is_reversed)
        return self.connection.execute(text, values | compiler.values).fetchall()

    def run(self, name: str, /, **values: Any) -> int:
        """Run a statement; how many rows it changed."""
        self.connection.execute(STATEMENTS[name], values)
        return self.connection.changes()
