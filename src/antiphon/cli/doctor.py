"""`antiphon doctor`: is everything as it should be, and is what was deleted gone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from antiphon.cli.output import show_list, show_object
from antiphon.cli.parts import AsJson, DatabaseUrl, DataDir, parts_of, with_store
from antiphon.core.ports import Store
from antiphon.domain import limits
from antiphon.domain.errors import InvalidInput
from antiphon.settings import read_settings

UNHEALTHY = 1
"""The exit status when something is not as it should be, or something was found."""


def doctor(
    context: typer.Context,
    scan: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Search every file of the data directory for the lines of this one.",
            show_default=False,
        ),
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Check the database: orphans, late deletions, integrity. Every number must be zero. Works beside a server.

    With --scan, search for strings instead, one a line, in the database, its log and every other file.
    """
    overrides = {"data_dir": data_dir, "database_url": database_url}
    if scan is not None:
        _search(context, scan, overrides, as_json=as_json)
        return

    async def work(store: Store) -> dict[str, Any]:
        faults = await store.check_integrity()
        orphans = {edge: count for edge, count in (await store.orphans()).items() if count}
        return {
            "integrity_faults": len(faults),
            "orphans": sum(orphans.values()),
            "overdue_deletions": await store.deletions.overdue(limits.JOB_OVERDUE_SECONDS),
            "details": [*faults, *(f"orphans of {edge}: {found}" for edge, found in orphans.items())],
        }

    found = with_store(context, overrides, work)
    show_object(found, as_json=as_json)
    if found["integrity_faults"] or found["orphans"] or found["overdue_deletions"]:
        raise typer.Exit(UNHEALTHY)


def _search(context: typer.Context, strings: Path, overrides: dict[str, str | None], *, as_json: bool) -> None:
    """Tell where the strings are, by the number of their line: they are not to be seen once more in a terminal."""
    settings = read_settings(os.environ, overrides)
    if settings.database_url is not None:
        raise InvalidInput("--scan reads the files of SQLite: those of PostgreSQL are on its own server", field="scan")
    if not settings.data_dir.is_dir():
        raise InvalidInput(f"{settings.data_dir} is not there: nothing was searched", field="data_dir")
    try:
        needles = strings.read_bytes().splitlines()
        hits = parts_of(context).scan_files(settings.data_dir, [needle for needle in needles if needle])
    except OSError as error:
        raise InvalidInput(f"{error.filename} cannot be read: {error.strerror}", field="scan") from None
    lines = [number for number, needle in enumerate(needles, start=1) if needle]
    if not lines:
        raise InvalidInput(f"{strings} holds no strings", field="scan")
    items = [{"line": lines[number], "file": file, "offset": offset} for number, file, offset in hits]
    show_list(items, as_json=as_json, nothing=f"None of {len(lines)} strings was found.")
    if items:
        raise typer.Exit(UNHEALTHY)
