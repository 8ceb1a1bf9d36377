"""`antiphon deletions`: what waits to be removed, what became of it, another try, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from antiphon.cli.output import show_list, show_object
from antiphon.cli.parts import AsJson, DatabaseUrl, DataDir, with_store
from antiphon.cli.tenants import all_tenants
from antiphon.core.deletion.engine import Deletions
from antiphon.core.ports import Store
from antiphon.core.tenants import Tenants
from antiphon.domain import limits, times
from antiphon.domain.deletions import DETACHED, DETACHING, DONE, PURGING, SCRUBBING, UNDONE, WAITING, Deletion
from antiphon.domain.errors import DeletionNotFound, InvalidInput
from antiphon.domain.ids import Uid, parse_uuid, text_of
from antiphon.domain.receipts import DELETION_PREFIX, ID_PREFIX

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

    async def work(store: Store) -> list[Deletion]:
        overdue = limits.JOB_OVERDUE_SECONDS if is_overdue else None
        states = () if with_done else _OPEN
        tenant_ids = await _tenant_ids(store, tenant)
        return [each for tenant_id in tenant_ids for each in await _all_of(store, tenant_id, states, overdue)]

    found = with_store(context, {"data_dir": data_dir, "database_url": database_url}, work)
    items = [described(deletion) for deletion in found]
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

    async def work(store: Store) -> Deletion:
        return await _find(store, tenant, _uid_of(deletion_id))

    deletion = with_store(context, {"data_dir": data_dir, "database_url": database_url}, work)
    show_object(described(deletion), as_json=as_json)


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

    async def work(store: Store) -> Deletion:
        deletion = await _find(store, tenant, _uid_of(deletion_id))
        return await Deletions(store, lambda *_: None, lambda: None).retry(deletion.tenant_id, deletion.id)

    deletion = with_store(context, {"data_dir": data_dir, "database_url": database_url}, work)
    show_object(described(deletion), as_json=as_json)


@commands.command()
def undo(
    context: typer.Context,
    deletion_id: DeletionId,
    tenant: TenantOption = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Put back all that a deletion has taken, within the undo window of its tenant."""

    async def work(store: Store) -> Deletion:
        deletion = await _find(store, tenant, _uid_of(deletion_id))
        return await Deletions(store, lambda *_: None, lambda: None).undo(deletion.tenant_id, deletion.id)

    deletion = with_store(context, {"data_dir": data_dir, "database_url": database_url}, work)
    show_object(described(deletion), as_json=as_json)


async def _all_of(store: Store, tenant_id: Uid, states: Sequence[str], overdue: float | None) -> list[Deletion]:
    """Every deletion of a tenant in some states (none: in any), newest first, read page by page."""
    found: list[Deletion] = []
    while True:
        before = found[-1].id if found else None
        page = await store.deletions.list(tenant_id, states, before, limits.PAGE_ITEMS, overdue)
        found += page
        if len(page) < limits.PAGE_ITEMS:
            return found


async def _tenant_ids(store: Store, tenant: str | None) -> list[Uid]:
    """The tenant's id, or those of all; with those that are being deleted, which have no name any more."""
    if tenant is not None:
        known = parse_uuid(tenant)
        return [known] if known is not None else [(await Tenants(store).get(tenant)).id]
    named = [found.id for found in await all_tenants(store)]
    waiting = [tenant_id for tenant_id, _ in await store.deletions.due()]
    return list(dict.fromkeys([*named, *waiting]))


async def _find(store: Store, tenant: str | None, deletion_id: Uid) -> Deletion:
    for tenant_id in await _tenant_ids(store, tenant):
        if deletion := await store.deletions.find(tenant_id, deletion_id):
            return deletion
    raise DeletionNotFound("There is no such deletion. That of a tenant which is deleted needs --tenant ID.")


def _uid_of(deletion_id: str) -> Uid:
    uid = parse_uuid(deletion_id.removeprefix(DELETION_PREFIX))
    if uid is None:
        raise InvalidInput("a deletion's id is `del_` and a UUID", field="deletion_id")
    return uid


def described(deletion: Deletion) -> dict[str, Any]:
    """A deletion as the commands show it."""
    is_over = deletion.state in (DONE, UNDONE)
    removed = sum(deletion.counts.values())
    age = times.now() - (deletion.undo_until or deletion.requested_at)
    return {
        "id": f"{DELETION_PREFIX}{text_of(deletion.id)}",
        "tenant": text_of(deletion.tenant_id),
        "kind": deletion.kind,
        "target": deletion.target_id or deletion.target_digest,
        "mode": deletion.mode,
        "reason": deletion.reason,
        "state": deletion.state,
        "requested_at": times.text_of(deletion.requested_at),
        "undo_until": None if deletion.undo_until is None else times.text_of(deletion.undo_until),
        "removed": removed,
        "total": removed if is_over else max(removed, deletion.total),
        "attempts": deletion.attempts,
        "last_error": deletion.last_error,
        "next_try_at": None if is_over else times.text_of(deletion.run_after),
        "overdue": not is_over and age > limits.JOB_OVERDUE_SECONDS * times.SECOND,
        "receipt": None if deletion.receipt_id is None else f"{ID_PREFIX}{text_of(deletion.receipt_id)}",
    }
