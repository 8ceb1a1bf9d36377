"""`antiphon db`: the database itself, apart from what it holds."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Annotated

import msgspec
import typer

from antiphon.cli.output import show_object
from antiphon.cli.parts import AsJson, DatabaseUrl, DataDir, parts_of, with_store
from antiphon.core.ports import Store
from antiphon.settings import read_settings

commands = typer.Typer(help="Prepare the database.", no_args_is_help=True)


@commands.callback()
def group() -> None:
    """Prepare the database."""


@commands.command()
def migrate(
    context: typer.Context,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make the tables, or bring them up to this version, as a server does when it starts."""

    async def work(store: Store) -> str:
        return store.kind

    kind = with_store(context, {"data_dir": data_dir, "database_url": database_url}, work)
    show_object({"store": kind, "state": "up to date"}, as_json=as_json)


@commands.command()
def distribute(
    context: typer.Context,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Show the statements, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Distribute the tables over the nodes of a Citus cluster. What is distributed already stays as it is."""
    settings = read_settings(os.environ, {"data_dir": data_dir, "database_url": database_url})
    items: list[Mapping[str, str]] = []

    def show(item: Mapping[str, str]) -> None:
        items.append(item)
        if as_json:
            return
        if item["state"] == "planned":
            print(f"{item['statement']};", flush=True)
        else:
            print(f"{item['table']}: {item['kind']} ({item['state']})", flush=True)

    asyncio.run(parts_of(context).distribute(settings, is_dry, show))
    if as_json:
        print(msgspec.json.encode({"items": items}).decode())
