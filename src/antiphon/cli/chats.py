"""`antiphon chats`: what there is to be exported or deleted."""

from __future__ import annotations

from typing import Annotated

import typer
from msgspec import to_builtins

from antiphon.cli.desk import ChatRow, Desk
from antiphon.cli.desks import with_desk
from antiphon.cli.output import show_list, show_object
from antiphon.cli.parts import AsJson, DatabaseUrl, DataDir

commands = typer.Typer(help="See the chats of a tenant.", no_args_is_help=True)

_COLUMNS = ("id", "session", "participant", "title", "messages", "last_message_at")

TenantOption = Annotated[
    str | None, typer.Option("--tenant", metavar="NAME|ID", help="Whose chats.", show_default=False)
]


@commands.callback()
def group() -> None:
    """See the chats of a tenant."""


@commands.command("list")
def list_all(
    context: typer.Context,
    tenant: TenantOption = None,
    session: Annotated[
        str | None, typer.Option(metavar="ID", help="Only those of this session.", show_default=False)
    ] = None,
    participant: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only those that this participant owns.", show_default=False)
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="NUMBER", min=1, help="At most so many [all].", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List chats, the newest first."""

    async def work(desk: Desk) -> list[ChatRow]:
        return await desk.chats(session, participant, limit)

    items = [to_builtins(chat) for chat in with_desk(context, (data_dir, database_url), tenant, work)]
    if not as_json:
        items = [{column: item[column] for column in _COLUMNS} for item in items]
    show_list(items, as_json=as_json, nothing="There are no such chats.")


@commands.command()
def show(
    context: typer.Context,
    chat_id: Annotated[str, typer.Argument(metavar="CHAT_ID", help="As `chats list` shows it.", show_default=False)],
    tenant: TenantOption = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show a chat: whose it is, how long, and what is live on it."""

    async def work(desk: Desk) -> ChatRow:
        return await desk.chat(chat_id)

    show_object(to_builtins(with_desk(context, (data_dir, database_url), tenant, work)), as_json=as_json)
