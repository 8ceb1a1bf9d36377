"""`antiphon receipts`: what proves a deletion, shown, checked, and the keys that sign it."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec
import typer

from antiphon.cli.output import complain, show_list, show_object
from antiphon.cli.parts import AsJson, DatabaseUrl, DataDir, Parts, parts_of, with_store
from antiphon.cli.tenants import all_tenants
from antiphon.core.deletion.receipts import Receipts
from antiphon.core.deletion.verify import Fault, Statement, Verdict, Verification
from antiphon.core.ports import Store
from antiphon.core.tenants import Tenants
from antiphon.domain import times
from antiphon.domain.errors import InvalidInput, NotFound
from antiphon.domain.ids import Uid, parse_uuid
from antiphon.domain.receipts import Receipt, SigningKey
from antiphon.settings import read_settings

T = TypeVar("T")

commands = typer.Typer(help="See and check what proves a deletion.", no_args_is_help=True)

ALGORITHM = "Ed25519"
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
    tenant: Annotated[
        str,
        typer.Option(metavar="NAME|ID", help="Whose receipts; the id also when it is deleted.", show_default=False),
    ],
    as_lines: Annotated[
        bool, typer.Option("--lines", help="Print each as it was signed, a line each, for `verify`.")
    ] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List the receipts of a tenant in the order of their chain."""

    async def work(store: Store, receipts: Receipts) -> list[Receipt]:
        tenant_id = await _tenant_id(store, tenant)
        return [receipt async for part in receipts.all_of(tenant_id) for receipt in part]

    found = _with_receipts(context, data_dir, database_url, work)
    if as_lines:
        for receipt in found:
            print(receipt.body)
    elif as_json:
        print(msgspec.json.encode({"items": [msgspec.Raw(receipt.body.encode()) for receipt in found]}).decode())
    else:
        show_list([_row(receipt) for receipt in found], as_json=False, nothing=f"The tenant {tenant} has no receipts.")


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

    async def work(store: Store, receipts: Receipts) -> Receipt:
        if tenant is not None:
            return await receipts.get(await _tenant_id(store, tenant), receipt_id)
        for each in await all_tenants(store):
            try:
                return await receipts.get(each.id, receipt_id)
            except NotFound:
                continue
        raise NotFound("There is no such receipt. That of a tenant which is deleted needs --tenant ID.")

    receipt = _with_receipts(context, data_dir, database_url, work)
    if as_json:
        print(receipt.body)
        return
    fields: dict[str, Any] = msgspec.to_builtins(_statement_of(receipt.body))
    counts, target = fields.pop("counts"), fields.pop("target")
    show_object(
        {
            **fields,
            "target": f"{target['kind']} {target['digest']}",
            "counts": [f"{table} {count}" for table, count in sorted(counts.items())],
            "hash": receipt.hash,
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
        if tenant is None or keys or heads:
            raise typer.BadParameter("it needs FILE and --key, or --tenant alone", context)
        wanted = tenant

        async def work(store: Store, receipts: Receipts) -> Verdict:
            return await receipts.verify(await _tenant_id(store, wanted))

        verdict = _with_receipts(context, data_dir, database_url, work)
    _show_verdict(verdict, as_json=as_json)


@commands.command("keys")
def list_keys(
    context: typer.Context,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List the public keys of all processes, oldest first."""

    async def work(_store: Store, receipts: Receipts) -> list[SigningKey]:
        return await receipts.keys()

    found = _with_receipts(context, data_dir, database_url, work)
    show_list([_key_row(key) for key in found], as_json=as_json, nothing="There are no keys yet.")


@commands.command("rotate-key")
def rotate_key(
    context: typer.Context,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make a new key for this data directory and remove the private half of the one before."""

    async def work(_store: Store, receipts: Receipts) -> SigningKey:
        return await receipts.rotate_key()

    show_object(_key_row(_with_receipts(context, data_dir, database_url, work)), as_json=as_json)


def _with_receipts(
    context: typer.Context,
    data_dir: str | None,
    database_url: str | None,
    work: Callable[[Store, Receipts], Awaitable[T]],
) -> T:
    overrides = {"data_dir": data_dir, "database_url": database_url}
    settings, parts = read_settings(os.environ, overrides), parts_of(context)

    async def run(store: Store) -> T:
        return await work(store, Receipts(store, parts.make_keyring(settings), parts.make_verifier()))

    return with_store(context, overrides, run)


async def _tenant_id(store: Store, text: str) -> Uid:
    """The tenant of a name or an id. One that is deleted has no name any more, but its receipts are there."""
    uid = parse_uuid(text)
    return uid if uid is not None else (await Tenants(store).get(text)).id


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


def _row(receipt: Receipt) -> dict[str, Any]:
    statement = _statement_of(receipt.body)
    return {
        "sequence": statement.sequence,
        "id": statement.id,
        "deletion": statement.deletion,
        "target": statement.target.kind,
        "bytes": statement.bytes_state,
        "requested_at": statement.requested_at,
        "kid": statement.kid,
    }


def _key_row(key: SigningKey) -> dict[str, Any]:
    return {
        "kid": key.kid,
        "algorithm": ALGORITHM,
        "public_key": key.public_key,
        "created_at": times.text_of(key.created_at),
        "retired_at": None if key.retired_at is None else times.text_of(key.retired_at),
    }
