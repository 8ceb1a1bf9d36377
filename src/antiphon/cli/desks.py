"""Which desk a command works at: the one of this machine, or that of the server of `--url`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

import typer

from antiphon.cli.desk import Desk
from antiphon.cli.local import LocalDesk
from antiphon.cli.parts import address_of, parts_of, with_store
from antiphon.core.deletion.receipts import Receipts
from antiphon.core.ports import Store
from antiphon.settings import Address, read_settings

T = TypeVar("T")


def with_desk(
    context: typer.Context,
    machine: tuple[str | None, str | None],
    tenant: str | None,
    work: Callable[[Desk], Awaitable[T]],
    *,
    needs_tenant: bool = True,
) -> T:
    """What the work gives; `machine` is what `--data-dir` and `--database-url` say, `tenant` what `--tenant` says.

    `needs_tenant`: on this machine, where no key says whose it is. Raises BadSetting and BadParameter.
    """
    overrides = dict(zip(("data_dir", "database_url"), machine, strict=True))
    address = address_of(context, overrides)
    if address is not None:
        return asyncio.run(_ask(context, address, tenant, work))
    if needs_tenant and tenant is None:
        raise typer.BadParameter("--tenant says whose it is", context)
    settings, parts = read_settings(os.environ, overrides), parts_of(context)

    async def run(store: Store) -> T:
        def make_receipts() -> Receipts:
            return Receipts(store, parts.make_keyring(settings), parts.make_verifier())

        return await work(LocalDesk(store, tenant, make_receipts))

    return with_store(context, overrides, run)


async def _ask(context: typer.Context, address: Address, tenant: str | None, work: Callable[[Desk], Awaitable[T]]) -> T:
    from antiphon.cli.client import Client  # lazy: its HTTP library takes a tenth of a second
    from antiphon.cli.remote import RemoteDesk  # lazy: it needs the client

    async with Client(address, tenant) as client:
        return await work(RemoteDesk(client, tenant, parts_of(context).make_verifier()))
