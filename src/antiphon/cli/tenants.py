"""`antiphon tenants`: make, change and list tenants."""

from __future__ import annotations

from typing import Annotated

import typer
from msgspec import to_builtins

from antiphon.cli.desk import Desk, TenantRow
from antiphon.cli.desks import with_desk
from antiphon.cli.output import show_list, show_object
from antiphon.cli.parts import AsJson, DatabaseUrl, DataDir
from antiphon.domain import limits
from antiphon.domain.errors import InvalidInput
from antiphon.domain.tenants import NUMBERS

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

    async def work(desk: Desk) -> TenantRow:
        return await desk.create_tenant(name)

    tenant = with_desk(context, (data_dir, database_url), None, work, needs_tenant=False)
    show_object({"id": tenant.id, "name": tenant.name}, as_json=as_json)


@commands.command("set")
def change(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME|ID", help="The tenant.", show_default=False)],
    settings: Annotated[
        list[str],
        typer.Argument(
            metavar="SETTING=VALUE...",
            help="system_prompt, model, agent_name; rate_limit, in requests a minute; undo_window, in seconds.",
            show_default=False,
        ),
    ],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Change settings of a tenant, seen by a running server within a second; SETTING= without a value removes one."""
    given = dict(map(_setting_of, settings))

    async def work(desk: Desk) -> TenantRow:
        return await desk.change_tenant(name, given)

    tenant = with_desk(context, (data_dir, database_url), None, work, needs_tenant=False)
    show_object({"id": tenant.id, "name": tenant.name, **to_builtins(tenant.settings)}, as_json=as_json)


def _setting_of(text: str) -> tuple[str, str | int | None]:
    name, is_given, value = text.partition("=")
    if not is_given:
        raise InvalidInput(f"a setting is NAME=VALUE, and not {text[: limits.NAME_CHARACTERS]!r}")
    if name not in NUMBERS or not value:
        return name, value or None
    if not (value.isascii() and value.isdigit() and len(value) <= limits.QUERY_NUMBER_DIGITS):
        raise InvalidInput(f"{name} is a number, and not {value[: limits.NAME_CHARACTERS]!r}")
    return name, int(value)


@commands.command("list")
def list_all(
    context: typer.Context,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List all tenants, oldest first."""

    async def work(desk: Desk) -> list[TenantRow]:
        return await desk.tenants()

    found = with_desk(context, (data_dir, database_url), None, work, needs_tenant=False)
    items = [{"id": tenant.id, "name": tenant.name, "created_at": tenant.created_at} for tenant in found]
    show_list(items, as_json=as_json, nothing="There are no tenants.")
