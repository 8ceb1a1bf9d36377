"""`antiphon keys`: make, list and revoke keys."""

from __future__ import annotations

import re
from typing import Annotated

import typer
from msgspec import to_builtins

from antiphon.cli.desk import Desk, KeyOrder, KeyRow
from antiphon.cli.desks import with_desk
from antiphon.cli.output import show_list, show_object
from antiphon.cli.parts import AsJson, DatabaseUrl, DataDir
from antiphon.domain import times
from antiphon.domain.errors import InvalidInput
from antiphon.domain.ids import parse_uuid
from antiphon.domain.keys import SCOPES, show_id

commands = typer.Typer(help="Make, list and revoke keys.", no_args_is_help=True)

_SPAN = re.compile(r"(\d{1,6})([mhdw])")
_SECONDS = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}

TenantOption = Annotated[
    str | None, typer.Option("--tenant", metavar="NAME|ID", help="Whose key it is.", show_default=False)
]


@commands.command()
def create(
    context: typer.Context,
    tenant: TenantOption = None,
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

    order = KeyOrder(participant, scope, session, expires_at, label)

    async def work(desk: Desk) -> tuple[KeyRow, str]:
        return await desk.create_key(order)

    key, text = with_desk(context, (data_dir, database_url), tenant, work)
    shown = {"id": key.id, "tenant": key.tenant, "participant": key.participant, "scopes": key.scopes, "key": text}
    show_object(shown, as_json=as_json)


@commands.command("list")
def list_all(
    context: typer.Context,
    tenant: TenantOption = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List the keys of a tenant that are not revoked, oldest first."""

    async def work(desk: Desk) -> tuple[str, list[KeyRow]]:
        return await desk.tenant_name(), await desk.keys()

    owner, keys = with_desk(context, (data_dir, database_url), tenant, work)
    show_list([to_builtins(key) for key in keys], as_json=as_json, nothing=f"The tenant {owner} has no keys.")


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

    async def work(desk: Desk) -> None:
        await desk.revoke_key(show_id(uid))

    with_desk(context, (data_dir, database_url), tenant, work, needs_tenant=False)
    show_object({"id": show_id(uid), "revoked": True}, as_json=as_json)


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
