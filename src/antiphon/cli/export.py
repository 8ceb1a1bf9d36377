"""`antiphon export`: a chat or a session, written to standard output."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from antiphon.cli.parts import DatabaseUrl, DataDir, with_store
from antiphon.core.chats import Chats
from antiphon.core.export import Exports, make_form
from antiphon.core.ports import Store
from antiphon.core.sessions import Sessions
from antiphon.core.tenants import Tenants
from antiphon.domain.deletions import CHAT, SESSION
from antiphon.domain.errors import InvalidInput


def export(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(metavar="chat|session", help="What.", show_default=False)],
    name: Annotated[str, typer.Argument(metavar="ID", help="Its id.", show_default=False)],
    tenant: Annotated[str, typer.Option("--tenant", metavar="NAME|ID", help="Whose.", show_default=False)],
    form_name: Annotated[str, typer.Option("--format", metavar="FORM", help="jsonl, json or markdown.")] = "jsonl",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write all of a chat or session to standard output; a file without its last line was cut."""
    if kind not in (CHAT, SESSION):
        raise InvalidInput(f"there is an export of a {CHAT} or a {SESSION}")
    form = make_form(form_name)

    async def work(store: Store) -> None:
        whose, exports = await Tenants(store).get(tenant), Exports(store)
        if kind == CHAT:
            pieces = exports.chat(whose.id, await Chats(store).get(whose.id, name), form)
        else:
            pieces = await exports.session(whose.id, await Sessions(store).get(whose.id, name), form)
        async for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()

    with_store(context, {"data_dir": data_dir, "database_url": database_url}, work)
