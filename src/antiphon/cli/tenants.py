"""`antiphon tenants`: make and list tenants."""

from __future__ import annotations

from typing import Annotated

import typer

from antiphon.cli.output import show_list, show_object
from antiphon.cli.parts import AsJson, DatabaseUrl, DataDir, with_store
from antiphon.core.ports import Slice, Store
from antiphon.core.tenants import Tenants
from antiphon.domain import limits, times
from antiphon.domain.ids import text_of
from antiphon.domain.tenants import Tenant

commands = typer.Typer(help="Make and list tenants, each a world of its own.", no_args_is_help=True)


@commands.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="1 to 512 of A-Z a-z 0-9 _ -", show_default=False)],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make a tenant."""

    async def work(store: Store) -> Tenant:
        return await Tenants(store).create(name)

    tenant = with_store(context, {"data_dir": data_dir, "database_url": database_url}, work)
    show_object({"id": text_of(tenant.id), "name": tenant.name}, as_json=as_json)


@commands.command("list")
def list_all(
    context: typer.Context,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List all tenants, oldest first."""
    found = with_store(context, {"data_dir": data_dir, "database_url": database_url}, all_tenants)
    items = [{"id": text_of(t.id), "name": t.name, "created_at": times.text_of(t.created_at)} for t in found]
    show_list(items, as_json=as_json, nothing="There are no tenants.")


async def all_tenants(store: Store) -> list[Tenant]:
    """Every tenant, oldest first, read page by page."""
    found: list[Tenant] = []
    while True:
        page, total = await Tenants(store).list(Slice(len(found), limits.PAGE_ITEMS))
        found += page
        if not page or len(found) >= total:
            return found
