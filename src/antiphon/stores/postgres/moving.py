"""A move into a PostgreSQL database: batch by batch, each with the note of how far it has come, then compared.

The note is in the transaction of the batch, so a move that is killed goes on at the row where it stopped. A database
with such a note is opened by no server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Protocol

from antiphon.domain import limits
from antiphon.domain.errors import StoreFailed
from antiphon.stores.moving import Row, Table, copied_tables, digest_of_rows
from antiphon.stores.postgres.database import APPLICATION, Cursor, open_database, operator_session
from antiphon.stores.postgres.migrations import migrate

COPYING, CHECKING, DONE = "copying", "checking", "done"
Tell = Callable[[str, str, int, int], None]
"""Told of each step: the state, the table, how many of its rows are done, and how many it has."""

_WHOLE = ""  # the name under which a move is known to have begun, before its first table


class Rows(Protocol):
    """Where the rows come from."""

    def identity(self) -> str:
        """What the source is known by."""
        ...

    def count(self, table: str) -> int:
        """How many rows a table has."""
        ...

    def rows(self, table: Table, offset: int) -> Iterator[Row]:
        """All rows of a table behind the first `offset`, always in one order."""
        ...


async def move(url: str, source: Rows, tell: Tell) -> None:
    """Make the tables, copy every row into them, or go on with a move of the same source, and compare.

    Raises StoreFailed, which says what to do: it is not empty, in use, or what came does not fit what is there.
    StoreUnavailable when the database is out of reach: then it is to be called again.
    """
    database = await open_database(url)
    try:
        await migrate(database)
    finally:
        await database.close()
    async with operator_session(url) as cursor:
        (row,) = await cursor.rows("count_servers", application=APPLICATION)
        if row[0]:
            raise StoreFailed(f"the database is in use ({row[0]} connections of Antiphon): stop the servers first")
        identity, tables = source.identity(), [await _table(cursor, name) for name in copied_tables()]
        await _begin(cursor, identity, tables)
        done = {row[0]: row[1] for row in await cursor.rows("list_moves", source=identity)}
        for table in tables:
            await _copy(cursor, identity, source, table, done.get(table.name, 0), tell)
        for table in tables:
            await _compare(cursor, source, table, tell)
        await cursor.run("delete_moves", source=identity)
    tell(DONE, "", 0, 0)


async def _table(cursor: Cursor, name: str) -> Table:
    return Table(name, tuple((row[0], row[1]) for row in await cursor.rows("columns_of_table", name=name)))


async def _begin(cursor: Cursor, identity: str, tables: list[Table]) -> None:
    """Note that a move of that source is under way, unless it is. Raises StoreFailed when something else is there."""
    sources = {row[0] for row in await cursor.rows("list_sources")}
    if sources == {identity}:
        return
    if sources:
        raise StoreFailed("the database holds an unfinished move of another instance: give an empty one")
    for table in tables:
        if await cursor.has_rows(table.name):
            raise StoreFailed(f"the database is not empty (there are {table.name}): give an empty one")
    await cursor.run("put_move", source=identity, name=_WHOLE, rows_done=0)


async def _copy(cursor: Cursor, identity: str, source: Rows, table: Table, done: int, tell: Tell) -> None:
    total, rows = source.count(table.name), source.rows(table, done)
    while batch := list(islice(rows, limits.MOVE_ROWS)):
        await cursor.script("BEGIN")
        await cursor.copy(table.name, table.names, batch)
        await cursor.run("put_move", source=identity, name=table.name, rows_done=done + len(batch))
        await cursor.commit()
        done += len(batch)
        tell(COPYING, table.name, done, total)


async def _compare(cursor: Cursor, source: Rows, table: Table, tell: Tell) -> None:
    """Read both sides once more, from the first row to the last. Raises StoreFailed when they are not the same."""
    count, digest = 0, 0
    async for rows in cursor.stream(table.name, table.names, limits.MOVE_ROWS):
        count, digest = count + len(rows), digest_of_rows(map(tuple, rows), digest)
    total, expected = source.count(table.name), digest_of_rows(source.rows(table, 0))
    if (count, digest) != (total, expected):
        raise StoreFailed(
            f"{table.name} is not what it is in the source ({count} rows, there {total}): one of them was used "
            "since the move began. Begin again with an empty database"
        )
    tell(CHECKING, table.name, count, total)
