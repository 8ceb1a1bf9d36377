"""`antiphon import`: a file that an export wrote, brought into a tenant."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from msgspec import to_builtins

from antiphon.cli.desk import Desk, ImportRow
from antiphon.cli.desks import with_desk
from antiphon.cli.output import show_object
from antiphon.cli.parts import AsJson, DatabaseUrl, DataDir
from antiphon.domain.errors import ImportRefused, InvalidInput

_BAR_WIDTH = 30


def import_file(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="What `antiphon export` wrote as jsonl.", show_default=False)
    ],
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="NAME|ID", help="Whose it becomes.", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Bring a chat or a session back from a file. The same file again goes on where it stopped, and doubles nothing."""
    shown = _Bar(is_shown=sys.stderr.isatty() and not as_json)

    async def work(desk: Desk) -> ImportRow:
        try:
            return await desk.bring(file, size, shown.tell)
        finally:
            shown.end()

    try:
        size = file.stat().st_size
        done = with_desk(context, (data_dir, database_url), tenant, work)
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from None
    except ImportRefused as error:
        raise InvalidInput(f"{file}: {error.message} ({error.code})") from None
    show_object(to_builtins(done), as_json=as_json)


class _Bar:
    """How far it is, on one line of standard error, where somebody looks."""

    def __init__(self, *, is_shown: bool) -> None:
        self._is_shown = is_shown

    def tell(self, what: str, done: int, total: int) -> None:
        """It has come so far."""
        if self._is_shown:
            full = min(_BAR_WIDTH, done * _BAR_WIDTH // max(total, 1))
            typer.echo(f"\r{what:8} [{'#' * full}{'.' * (_BAR_WIDTH - full)}] {done} of {total}", nl=False, err=True)

    def end(self) -> None:
        """The line is over."""
        if self._is_shown:
            typer.echo("", err=True)
