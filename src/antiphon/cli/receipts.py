"""`antiphon receipts`: what proves a deletion, shown, checked, and the keys that sign it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import msgspec
import typer

from antiphon.cli.desk import Desk, PublicKeyRow
from antiphon.cli.desks import with_desk
from antiphon.cli.local import public_key_row
from antiphon.cli.output import complain, show_list, show_object
from antiphon.cli.parts import AsJson, DatabaseUrl, DataDir, Parts, parts_of, with_store
from antiphon.core.deletion.receipts import Receipts
from antiphon.core.deletion.verify import Fault, Statement, Verdict, Verification
from antiphon.core.ports import Store
from antiphon.domain.errors import InvalidInput
from antiphon.domain.receipts import SigningKey, hash_of
from antiphon.settings import read_settings

commands = typer.Typer(help="See and check what proves a deletion.", no_args_is_help=True)

STANDARD_INPUT = "-"

TenantOption = Annotated[
    str | None,
    typer.Option(
        "--tenant", metavar="NAME|ID", help="Whose receipts; the id also when it is deleted.", show_default=False
    ),
]
_statement_of = msgspec.json.Decoder(Statement).decode


@commands.callback()
def group() -> None:
    """See and check what proves a deletion."""


@commands.command("list")
def list_all(
    context: typer.Context,
    tenant: TenantOption = None,
    as_lines: Annotated[
        bool, typer.Option("--lines", help="Print each as it was signed, a line each, for `verify`.")
    ] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List the receipts of a tenant in the order of their chain."""

    async def work(desk: Desk) -> tuple[str, list[str]]:
        return await desk.tenant_name(), await desk.receipts()

    owner, found = with_desk(context, (data_dir, database_url), tenant, work)
    if as_lines:
        for body in found:
            print(body)
    elif as_json:
        print(msgspec.json.encode({"items": [msgspec.Raw(body.encode()) for body in found]}).decode())
    else:
        show_list([_row(body) for body in found], as_json=False, nothing=f"The tenant {owner} has no receipts.")


@commands.command()
def show(
    context: typer.Context,
    receipt_id: Annotated[str, typer.Argument(metavar="RECEIPT_ID", help="As `list` shows it.", show_default=False)],
    tenant: TenantOption = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show a receipt; with --json exactly as it was signed. Without --tenant all tenants are asked."""

    async def work(desk: Desk) -> str:
        return await desk.receipt(receipt_id)

    body = with_desk(context, (data_dir, database_url), tenant, work, needs_tenant=False)
    if as_json:
        print(body)
        return
    fields: dict[str, Any] = msgspec.to_builtins(_statement_of(body))
    counts, target = fields.pop("counts"), fields.pop("target")
    show_object(
        {
            **fields,
            "target": f"{target['kind']} {target['digest']}",
            "counts": [f"{table} {count}" for table, count in sorted(counts.items())],
            "hash": hash_of(body.encode()),
        },
        as_json=False,
    )


@commands.command()
def verify(
    context: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="Receipts, a line each; - is standard input.", show_default=False),
    ] = None,
    keys: Annotated[
        list[str] | None,
        typer.Option("--key", metavar="PUB|FILE", help="A public key to trust; repeat it.", show_default=False),
    ] = None,
    heads: Annotated[
        list[str] | None,
        typer.Option("--head", metavar="HASH", help="A receipt that must be there; repeat it.", show_default=False),
    ] = None,
    tenant: TenantOption = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Check receipts: those in files with nothing but --key, or without files those of --tenant in the database."""
    if files:
        if tenant is not None or not keys:
            raise typer.BadParameter("with FILE it needs --key, and no --tenant", context)
        verdict = _verify_files(parts_of(context), files, keys, heads or ())
    else:
        if keys or heads:
            raise typer.BadParameter("it needs FILE and --key, or --tenant alone", context)

        async def work(desk: Desk) -> Verdict:
            return await desk.verify_receipts()

        verdict = with_desk(context, (data_dir, database_url), tenant, work)
    _show_verdict(verdict, as_json=as_json)


@commands.command("keys")
def list_keys(
    context: typer.Context,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List the public keys of all processes, oldest first."""

    async def work(desk: Desk) -> list[PublicKeyRow]:
        return await desk.public_keys()

    found = with_desk(context, (data_dir, database_url), None, work, needs_tenant=False)
    show_list([msgspec.to_builtins(key) for key in found], as_json=as_json, nothing="There are no keys yet.")


@commands.command("rotate-key")
def rotate_key(
    context: typer.Context,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make a new key for this data directory and remove the private half of the one before."""
    overrides = {"data_dir": data_dir, "database_url": database_url}
    settings, parts = read_settings(os.environ, overrides), parts_of(context)

    async def work(store: Store) -> SigningKey:
        return await Receipts(store, parts.make_keyring(settings), parts.make_verifier()).rotate_key()

    key = with_store(context, overrides, work)
    show_object(msgspec.to_builtins(public_key_row(key)), as_json=as_json)


def _verify_files(parts: Parts, files: Sequence[str], keys: Sequence[str], heads: Sequence[str]) -> Verdict:
    trusted = {key.kid: key.public_key for text in keys for key in _public_keys(parts, text)}
    verification = Verification(trusted, parts.make_verifier())
    for file in dict.fromkeys(files):
        if file == STANDARD_INPUT:
            _read_lines(verification, "standard input", sys.stdin.buffer)
            continue
        try:
            with Path(file).open("rb") as opened:
                _read_lines(verification, file, opened)
        except OSError as error:
            _cannot_read(file, error)
    verdict = verification.verdict(heads)
    if verdict.ok and not verdict.receipts:
        return Verdict(0, (), Fault(files[0], 0, "there is no receipt in it"))
    return verdict


def _read_lines(verification: Verification, name: str, lines: Iterable[bytes]) -> None:
    for number, line in enumerate(lines, start=1):
        verification.read(name, number, line)


def _public_keys(parts: Parts, text: str) -> list[SigningKey]:
    """The keys of a file, or the one that the text itself is. Raises InvalidInput when there is none."""
    try:
        content = Path(text).read_bytes() if os.path.exists(text) else text.encode()
    except OSError as error:
        _cannot_read(text, error)
    found = parts.read_public_keys(content)
    if not found:
        raise InvalidInput(f"--key {text}: neither a file with a public key nor one itself", field="key")
    return found


def _cannot_read(file: str, error: OSError) -> NoReturn:
    raise InvalidInput(f"{file} cannot be read: {error.strerror}", field="file") from None


def _show_verdict(verdict: Verdict, *, as_json: bool) -> None:
    fault = verdict.first_error
    if as_json:
        print(
            msgspec.json.encode(
                {"ok": verdict.ok, "receipts": verdict.receipts, "chains": verdict.chains, "first_error": fault}
            ).decode()
        )
    elif fault is None:
        print(f"ok: {verdict.receipts} receipts in {len(verdict.chains)} chains")
        for chain in verdict.chains:
            print(f"{chain.tenant}  {chain.receipts} receipts, the last is {chain.head}")
    else:
        place = f"{fault.file}:{fault.line}: " if fault.line else f"{fault.file}: " if fault.file else ""
        complain(f"not ok: {place}{fault.text}")
    if fault is not None:
        raise typer.Exit(1)


def _row(body: str) -> dict[str, Any]:
    statement = _statement_of(body)
    return {
        "sequence": statement.sequence,
        "id": statement.id,
        "deletion": statement.deletion,
        "target": statement.target.kind,
        "bytes": statement.bytes_state,
        "requested_at": statement.requested_at,
        "kid": statement.kid,
    }
