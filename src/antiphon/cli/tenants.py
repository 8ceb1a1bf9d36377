"""`antiphon tenants`: make, change and list tenants."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from antiphon.cli.output import show_list, show_object
from antiphon.cli.parts import AsJson, DatabaseUrl, DataDir, with_store
from antiphon.core.ports import Slice, Store
from antiphon.core.tenants import Tenants
from antiphon.domain import limits, times
from antiphon.domain.errors import InvalidInput
from antiphon.domain.ids import text_of
from antiphon.domain.tenants import Tenant, read_settings

commands = typer.Typer(help="Make, change and list tenants, each a world of its own.", no_args_is_help=True)


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


@commands.command("set")
def change(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME|ID", help="The tenant.", show_default=False)],
    settings: Annotated[
        list[str], typer.Argument(metavar="SETTING=NUMBER", help="undo_window=SECONDS", show_default=False)
    ],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Change settings of a tenant: undo_window, for how many seconds its deletions can be undone (0: not at all)."""
    given = dict(map(_setting_of, settings))

    async def work(store: Store) -> Tenant:
        tenants = Tenants(store)
        return await tenants.set(await tenants.get(name), given)

    tenant = with_store(context, {"data_dir": data_dir, "database_url": database_url}, work)
    shown = msgspec.to_builtins(read_settings(tenant))
    show_object({"id": text_of(tenant.id), "name": tenant.name, **shown}, as_json=as_json)


def _setting_of(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if not (number.isascii() and number.isdigit() and len(number) <= limits.QUERY_NUMBER_DIGITS):
        raise InvalidInput(f"a setting is NAME=NUMBER, and not {text[: limits.NAME_CHARACTERS]!r}")
    return name, int(number)


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
