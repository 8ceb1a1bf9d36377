"""`antiphon deletions`: what waits to be removed."""

from __future__ import annotations

from typing import Any

import msgspec
import typer

from antiphon.cli.output import show_list
from antiphon.cli.parts import AsJson, DatabaseUrl, DataDir, with_store
from antiphon.core.ports import Store
from antiphon.domain import times
from antiphon.domain.ids import text_of

commands = typer.Typer(help="See what waits to be removed.", no_args_is_help=True)


@commands.callback()
def group() -> None:
    """See what waits to be removed."""


@commands.command("list")
def list_pending(
    context: typer.Context,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show how many deletions are not done, the age of the oldest, and the tenants that have some nobody works on."""

    async def work(store: Store) -> tuple[int, int, list[dict[str, Any]]]:
        count, age = await store.deletions.pending()
        items = []
        for tenant_id, run_after in await store.deletions.due():
            tenant = await store.tenants.find(tenant_id)  # None: the tenant itself is being deleted
            items.append(
                {
                    "tenant": text_of(tenant_id),
                    "name": None if tenant is None else tenant.name,
                    "next_try_at": times.text_of(run_after),
                }
            )
        return count, age, items

    count, age, items = with_store(context, {"data_dir": data_dir, "database_url": database_url}, work)
    seconds = age // times.SECOND
    if as_json:
        print(msgspec.json.encode({"pending": count, "oldest_seconds": seconds, "items": items}).decode())
        return
    print(f"{count} pending" + (f", the oldest for {seconds} s" if count else ""))
    if items:
        show_list(items, as_json=False, nothing="")
