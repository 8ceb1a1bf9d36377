"""`antiphon export`: a chat or a session, written to standard output."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from antiphon.cli.desk import Desk
from antiphon.cli.desks import with_desk
from antiphon.cli.parts import DatabaseUrl, DataDir
from antiphon.domain.deletions import CHAT, SESSION
from antiphon.domain.errors import InvalidInput


def export(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(metavar="chat|session", help="What.", show_default=False)],
    name: Annotated[str, typer.Argument(metavar="ID", help="Its id.", show_default=False)],
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="NAME|ID", help="Whose.", show_default=False)
    ] = None,
    form_name: Annotated[str, typer.Option("--format", metavar="FORM", help="jsonl, json or markdown.")] = "jsonl",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write all of a chat or session to standard output; a file without its last line was cut."""
    if kind not in (CHAT, SESSION):
        raise InvalidInput(f"there is an export of a {CHAT} or a {SESSION}")

    async def work(desk: Desk) -> None:
        try:
            async for piece in desk.export(kind, name, form_name):
                sys.stdout.buffer.write(piece)
        finally:
            sys.stdout.buffer.flush()

    with_desk(context, (data_dir, database_url), tenant, work)
