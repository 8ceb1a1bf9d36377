"""`antiphon move`: a whole instance from its SQLite file into a PostgreSQL database."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import Annotated

import typer

from antiphon.cli.output import show_object
from antiphon.cli.parts import AsJson, DataDir, parts_of
from antiphon.settings import read_settings

_CHECKING = "checking"


def move(
    context: typer.Context,
    url: Annotated[str, typer.Option("--to", metavar="URL", help="The empty PostgreSQL database.", show_default=False)],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Copy everything into an empty PostgreSQL database, and compare. No server runs meanwhile; the source stays.

    One that was cut off goes on where it stopped.
    """
    settings = read_settings(os.environ, {"data_dir": data_dir, "database_url": url})
    is_shown = sys.stderr.isatty() and not as_json
    tables: dict[str, int] = {}

    def tell(state: str, table: str, done: int, total: int) -> None:
        if is_shown and table:
            typer.echo(f"\r{state:8} {table:20} {done} of {total}", nl=done >= total, err=True)
        if state == _CHECKING:
            tables[table] = done

    logging.getLogger("antiphon").addHandler(logging.NullHandler())  # what matters is raised, and told in one line
    asyncio.run(parts_of(context).move(settings.data_dir, settings.database_url or url, tell))
    show_object({"state": "done", "tables": len(tables), "rows": sum(tables.values())}, as_json=as_json)
