"""The database file: where reads and writes of all nouns go through."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import apsw

from antiphon.domain import limits
from antiphon.domain.errors import StoreUnavailable
from antiphon.stores.sqlite.database import Cursor, Row, open_reader, translate
from antiphon.stores.sqlite.writer import Operation, Writer

T = TypeVar("T")

_READER_THREADS = 2
_SCRUB_BUSY_MILLISECONDS = 100
_VACUUM_PAGES = 1_000


class File:
    """One SQLite file.

    Short reads by an index run on the caller's own thread: handing them to another costs more than the query. Long ones
    go to a small pool. All writes go through the writer.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = Writer(path)
        self._reader = Cursor(open_reader(path))
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(_READER_THREADS, thread_name_prefix="antiphon-reader")

    def row(self, name: str, /, **values: Any) -> Row | None:
        """The first row of a short statement."""
        try:
            return self._reader.row(name, **values)
        except apsw.Error as error:
            raise translate(error) from None

    def rows(self, name: str, /, **values: Any) -> list[Row]:
        """All rows of a short statement."""
        try:
            return self._reader.rows(name, **values)
        except apsw.Error as error:
            raise translate(error) from None

    def snapshot(self) -> AbstractContextManager[Cursor]:
        """Several short statements that see one state. Await nothing inside: an open read keeps the log long."""
        return _snapshot_of(self._reader)

    async def read_apart(self, work: Callable[[Cursor], T]) -> T:
        """A read that may be long, in one snapshot on a thread of the pool."""

        def job() -> T:
            reader: Cursor | None = getattr(self._local, "reader", None)
            if reader is None:
                reader = self._local.reader = Cursor(open_reader(self._path))
            with _snapshot_of(reader) as cursor:
                return work(cursor)

        return await asyncio.get_running_loop().run_in_executor(self._pool, job)

    async def write(self, operation: Operation[T]) -> T:
        """Do it in a transaction; durable on return."""
        return await self._writer.run(operation)

    async def write_patiently(
        self, operation: Operation[T], goes_on: Callable[[T], bool] | None = None, rounds: int = 1
    ) -> T:
        """The same for what nobody waits for: it lets others go first.

        As long as its outcome `goes_on`, it is done up to `rounds` times, each time in a transaction of its own.
        """
        return await self._writer.run_patiently(operation, goes_on, rounds)

    async def scrub(self) -> None:
        """Bring the log into the database, cut it to nothing, and give free pages back.

        What was deleted is overwritten in the database itself (secure_delete); older copies of its pages are in the log
        only. Raises StoreUnavailable when somebody still reads from the log.
        """
        await self._writer.run_alone(self._scrub)

    def _scrub(self, connection: apsw.Connection) -> None:
        connection.set_busy_timeout(_SCRUB_BUSY_MILLISECONDS)  # everybody who writes waits meanwhile
        try:
            is_busy, pages, moved = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0]
        finally:
            connection.set_busy_timeout(limits.STORE_BUSY_SECONDS * 1000)
        if is_busy or pages != moved:
            raise StoreUnavailable("the log is still being read")
        connection.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()  # a page a row: all are fetched
        try:
            size = self._path.with_name(self._path.name + "-wal").stat().st_size
        except OSError:  # somebody took it away under us
            raise StoreUnavailable("the log cannot be looked at") from None
        if size and connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0][0]:
            raise StoreUnavailable("the log is still being read")

    async def close(self) -> None:
        """Finish what is under way and let go of the file."""
        self._pool.shutdown(wait=True)
        self._reader.connection.close()
        await self._writer.close()


@contextmanager
def _snapshot_of(cursor: Cursor) -> Iterator[Cursor]:
    connection = cursor.connection
    try:
        connection.execute("BEGIN")
        try:
            yield cursor
        finally:
            connection.execute("COMMIT")
    except apsw.Error as error:
        raise translate(error) from None
