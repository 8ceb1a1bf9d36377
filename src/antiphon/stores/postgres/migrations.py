"""Migrations: numbered SQL files, each applied once, in one transaction, by whichever process comes first."""

from __future__ import annotations

import re
from importlib.resources import files

from antiphon.domain import limits
from antiphon.domain.errors import StoreTooNew
from antiphon.stores.postgres.database import Cursor, Database

_FILE = re.compile(r"(\d{4})_(\w+)\.sql")
_END = re.compile(r";[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r"--.*$", re.MULTILINE)


def known_migrations() -> list[tuple[int, str, list[str]]]:
    """All migrations of this version in order: number, name, statements.

    A distributed PostgreSQL wants them one at a time. A statement ends with a semicolon at the end of a line.
    """
    folder = files("antiphon.stores.postgres") / "migrations"
    return sorted(
        (int(name[1]), name[2], split_statements(file.read_text(encoding="utf-8")))
        for file in folder.iterdir()
        if (name := _FILE.fullmatch(file.name))
    )


def split_statements(text: str) -> list[str]:
    """The statements of a script, without comments."""
    return [code for piece in _END.split(_COMMENT.sub("", text)) if (code := piece.strip())]


async def migrate(database: Database) -> None:
    """Bring a database up to this version; one that is already there is left alone.

    A lock on the list of migrations serialises processes that start at once; one that is killed leaves the database as
    it was. Raises StoreTooNew for a database of a newer version, StoreError when it cannot be written.
    """
    known = known_migrations()
    if await _applied(database) == [number for number, _, _ in known]:
        return

    async def operation(tx: Cursor) -> None:
        await tx.script(f"SET LOCAL lock_timeout = '{limits.START_SECONDS}s'")
        await tx.script(f"SET LOCAL statement_timeout = '{limits.START_SECONDS}s'")
        # Where tables are distributed: no statement goes to several shards of a node at once, so that the next one may
        # change another table. PostgreSQL without Citus takes the name for one of a stranger's, and does nothing.
        await tx.script("SET LOCAL citus.multi_shard_modify_mode = 'sequential'")
        await tx.run("create_migrations")
        await tx.run("lock_migrations")
        await _apply(tx, known)

    await database.transact(operation)


async def is_up_to_date(cursor: Cursor) -> bool:
    """Whether a database has had every migration of this version. Raises StoreTooNew for one that has had more."""
    if not (await cursor.rows("has_migrations"))[0][0]:
        return False
    applied = {row[0] for row in await cursor.rows("applied_migrations")}
    _check_known(applied)
    return applied == {number for number, _, _ in known_migrations()}


def _check_known(applied: set[int]) -> None:
    newest = known_migrations()[-1][0]
    if applied and max(applied) > newest:
        raise StoreTooNew(
            f"the database has migration {max(applied)}, this version of Antiphon knows only {newest}: use a newer one"
        )


async def _applied(database: Database) -> list[int]:
    if not (await database.rows("has_migrations"))[0][0]:
        return []
    return [row[0] for row in await database.rows("applied_migrations")]


async def _apply(tx: Cursor, known: list[tuple[int, str, list[str]]]) -> None:
    applied = {row[0] for row in await tx.rows("applied_migrations")}
    _check_known(applied)
    for number, name, statements in known:
        if number not in applied:
            for statement in statements:
                await tx.script(statement)
            await tx.run("insert_migration", version=number, name=name, now=tx.now)
