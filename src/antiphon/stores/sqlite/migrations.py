"""Migrations: numbered SQL files, each applied once, in one transaction, by whichever process comes first."""

from __future__ import annotations

import re
from importlib.resources import files

import apsw

from antiphon.domain import times
from antiphon.domain.errors import StoreTooNew
from antiphon.stores.sqlite.database import Cursor, translate

_FILE = re.compile(r"(\d{4})_(\w+)\.sql")


def known_migrations() -> list[tuple[int, str, str]]:
    """All migrations of this version in order: number, name, SQL."""
    folder = files("antiphon.stores.sqlite") / "migrations"
    return sorted(
        (int(name[1]), name[2], file.read_text(encoding="utf-8"))
        for file in folder.iterdir()
        if (name := _FILE.fullmatch(file.name))
    )


def migrate(connection: apsw.Connection) -> None:
    """Bring a database up to this version; one that is already there is left alone.

    The write lock serialises processes that start at once; one that is killed leaves the database as it was. Raises
    StoreTooNew for a database of a newer version, StoreError when it cannot be written.
    """
    known = known_migrations()
    try:
        if _applied(connection) == [number for number, _, _ in known]:
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            _apply(connection, known)
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
    except apsw.Error as error:
        raise translate(error) from None


def _applied(connection: apsw.Connection) -> list[int]:
    has_table = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema_migrations'").fetchall()
    return [row[0] for row in Cursor(connection).rows("applied_migrations")] if has_table else []


def _apply(connection: apsw.Connection, known: list[tuple[int, str, str]]) -> None:
    applied = set(_applied(connection))
    newest = known[-1][0]
    if applied and max(applied) > newest:
        raise StoreTooNew(
            f"the database has migration {max(applied)}, this version of Antiphon knows only {newest}: use a newer one"
        )
    for number, name, sql in known:
        if number not in applied:
            connection.execute(sql).fetchall()
            Cursor(connection).run("insert_migration", version=number, name=name, now=times.now())
