"""`antiphon deletions`: what waits to be removed, what became of it, another try, and the way back."""

from __future__ import annotations

from typing import Annotated

import typer
from msgspec import to_builtins

from antiphon.cli.desk import DeletionRow, Desk
from antiphon.cli.desks import with_desk
from antiphon.cli.output import show_list, show_object
from antiphon.cli.parts import AsJson, DatabaseUrl, DataDir
from antiphon.domain.deletions import DETACHED, DETACHING, PURGING, SCRUBBING, WAITING
from antiphon.domain.errors import InvalidInput
from antiphon.domain.ids import parse_uuid, text_of
from antiphon.domain.receipts import DELETION_PREFIX

commands = typer.Typer(help="See what waits to be removed, let it be tried again, or undo it.", no_args_is_help=True)

_OPEN = (WAITING, DETACHING, DETACHED, PURGING, SCRUBBING)
_COLUMNS = ("id", "kind", "target", "state", "requested_at", "removed", "total", "attempts", "last_error", "overdue")

DeletionId = Annotated[
    str, typer.Argument(metavar="DELETION_ID", help="As `deletions list` shows it.", show_default=False)
]
TenantOption = Annotated[
    str | None,
    typer.Option(
        "--tenant",
        metavar="NAME|ID",
        help="Whose deletions, without it those of all tenants; the id also when it is deleted.",
        show_default=False,
    ),
]


@commands.callback()
def group() -> None:
    """See what waits to be removed, let it be tried again, or undo it."""


@commands.command("list")
def list_all(
    context: typer.Context,
    tenant: TenantOption = None,
    with_done: Annotated[bool, typer.Option("--all", help="Show those that are done, too.")] = False,
    is_overdue: Annotated[bool, typer.Option("--overdue", help="Show only those that are late.")] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List deletions, of each tenant the newest first: those that are not done, unless all are asked for."""

    async def work(desk: Desk) -> list[DeletionRow]:
        return await desk.deletions(() if with_done else _OPEN, is_overdue=is_overdue)

    found = with_desk(context, (data_dir, database_url), tenant, work, needs_tenant=False)
    items = [to_builtins(deletion) for deletion in found]
    if not as_json:
        items = [{column: item[column] for column in _COLUMNS} for item in items]
    nothing = "There are no deletions." if with_done else "No deletion waits."
    show_list(items, as_json=as_json, nothing=nothing)


@commands.command()
def show(
    context: typer.Context,
    deletion_id: DeletionId,
    tenant: TenantOption = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show a deletion: how far it is, and why it waits."""
    wanted = _id_of(deletion_id)
    shown = with_desk(context, (data_dir, database_url), tenant, lambda desk: desk.deletion(wanted), needs_tenant=False)
    show_object(to_builtins(shown), as_json=as_json)


@commands.command()
def retry(
    context: typer.Context,
    deletion_id: DeletionId,
    tenant: TenantOption = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Let a deletion that waits for its next try run now; its attempts are kept."""
    wanted = _id_of(deletion_id)
    shown = with_desk(
        context, (data_dir, database_url), tenant, lambda desk: desk.retry_deletion(wanted), needs_tenant=False
    )
    show_object(to_builtins(shown), as_json=as_json)


@commands.command()
def undo(
    context: typer.Context,
    deletion_id: DeletionId,
    tenant: TenantOption = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Put back all that a deletion has taken, within its tenant's undo window; or call off one that still waits."""
    wanted = _id_of(deletion_id)
    shown = with_desk(
        context, (data_dir, database_url), tenant, lambda desk: desk.undo_deletion(wanted), needs_tenant=False
    )
    show_object(to_builtins(shown), as_json=as_json)


def _id_of(text: str) -> str:
    """The id of a deletion as it is written everywhere. Raises InvalidInput."""
    uid = parse_uuid(text.removeprefix(DELETION_PREFIX))
    if uid is None:
        raise InvalidInput("a deletion's id is `del_` and a UUID", field="deletion_id")
    return f"{DELETION_PREFIX}{text_of(uid)}"
