"""`antiphon keys`: make, list and revoke keys."""

from __future__ import annotations

import contextlib
import re
from typing import Annotated, Any

import typer

from antiphon.cli.output import show_list, show_object
from antiphon.cli.parts import AsJson, DatabaseUrl, DataDir, with_store
from antiphon.cli.tenants import all_tenants
from antiphon.core.keys import Keys
from antiphon.core.ports import Store
from antiphon.core.tenants import Tenants
from antiphon.domain import times
from antiphon.domain.errors import InvalidInput, KeyNotFound
from antiphon.domain.ids import Uid, parse_uuid
from antiphon.domain.keys import SCOPES, Key, show_id

commands = typer.Typer(help="Make, list and revoke keys.", no_args_is_help=True)

_SPAN = re.compile(r"(\d{1,6})([mhdw])")
_SECONDS = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}

TenantOption = Annotated[str, typer.Option("--tenant", metavar="NAME|ID", help="Whose key it is.", show_default=False)]


@commands.command()
def create(
    context: typer.Context,
    tenant: TenantOption,
    participant: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whom the key speaks as; made when new.", show_default=False)
    ] = None,
    scope: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(SCOPES),
            help="How far it reaches. Default: participant when one is named, else tenant.",
            show_default=False,
        ),
    ] = None,
    session: Annotated[
        str | None, typer.Option(metavar="ID", help="The one session of scope session.", show_default=False)
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="ISO 8601, or a span such as 30d, 12h, 45m, 2w.", show_default=False),
    ] = None,
    label: Annotated[str | None, typer.Option(metavar="TEXT", help="What it is for.", show_default=False)] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and show it, this once."""
    expires_at = None if expires is None else expiry_of(expires, times.now())

    async def work(store: Store) -> tuple[str, Key, str]:
        owner = await Tenants(store).get(tenant)
        return owner.name, *await Keys(store).create(owner.id, participant, scope, session, expires_at, label)

    owner, key, text = with_store(context, {"data_dir": data_dir, "database_url": database_url}, work)
    shown = {
        "id": show_id(key.id),
        "tenant": owner,
        "participant": key.participant_name,
        "scopes": [key.scope],
        "key": text,
    }
    show_object(shown, as_json=as_json)


@commands.command("list")
def list_all(
    context: typer.Context,
    tenant: TenantOption,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List the keys of a tenant that are not revoked, oldest first."""

    async def work(store: Store) -> tuple[str, list[Key]]:
        owner = await Tenants(store).get(tenant)
        return owner.name, await Keys(store).list(owner.id)

    owner, keys = with_store(context, {"data_dir": data_dir, "database_url": database_url}, work)
    items = [_described(owner, key) for key in keys]
    show_list(items, as_json=as_json, nothing=f"The tenant {owner} has no keys.")


@commands.command()
def revoke(
    context: typer.Context,
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="As `keys list` shows it.", show_default=False)],
    tenant: Annotated[
        str | None, typer.Option(metavar="NAME|ID", help="Without it all tenants are asked.", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """End a key: within a second no process takes it any more."""
    uid = parse_uuid(key_id.removeprefix("key_"))
    if uid is None:
        raise InvalidInput("a key's id is `key_` and a UUID", field="key_id")

    async def work(store: Store) -> None:
        if tenant is not None:
            await Keys(store).revoke((await Tenants(store).get(tenant)).id, uid)
        else:
            await _revoke_anywhere(store, uid)

    with_store(context, {"data_dir": data_dir, "database_url": database_url}, work)
    show_object({"id": show_id(uid), "revoked": True}, as_json=as_json)


async def _revoke_anywhere(store: Store, key_id: Uid) -> None:
    for tenant in await all_tenants(store):
        with contextlib.suppress(KeyNotFound):
            await Keys(store).revoke(tenant.id, key_id)
            return
    raise KeyNotFound


def _described(owner: str, key: Key) -> dict[str, Any]:
    return {
        "id": show_id(key.id),
        "tenant": owner,
        "participant": key.participant_name,
        "scopes": [key.scope],
        "session": key.session_id,
        "label": key.label,
        "created_at": times.text_of(key.created_at),
        "expires_at": None if key.expires_at is None else times.text_of(key.expires_at),
    }


def expiry_of(text: str, now: int) -> int:
    """The moment that a text names: an ISO 8601 time (UTC without an offset) or a span from now, in m, h, d or w.

    Raises InvalidInput when it is neither, or not in the future.
    """
    span = _SPAN.fullmatch(text)
    try:
        moment = now + int(span[1]) * _SECONDS[span[2]] * times.SECOND if span else times.from_text(text)
        times.text_of(moment)  # after the year 9999 there is no text for it
    except (ValueError, OverflowError):
        raise InvalidInput("--expires is an ISO 8601 time, or a span such as 30d", field="expires") from None
    if moment <= now:
        raise InvalidInput("--expires must be in the future", field="expires")
    return moment
