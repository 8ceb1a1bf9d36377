"""Receipts in SQLite: the chains, and the public keys."""

from __future__ import annotations

from antiphon.core.ports import Issue
from antiphon.domain.deletions import TENANT, Deletion
from antiphon.domain.ids import Uid, text_of
from antiphon.domain.receipts import NO_PREVIOUS, Receipt, SigningKey, digest_of
from antiphon.stores.sqlite.file import File
from antiphon.stores.sqlite.writer import Transaction


class SqliteReceipts:
    """`core.ports.ReceiptStore`."""

    def __init__(self, file: File) -> None:
        self._file = file

    async def find(self, tenant_id: Uid, receipt_id: Uid) -> Receipt | None:
        """See the port."""
        row = self._file.row("find_receipt", tenant_id=tenant_id, id=receipt_id)
        return Receipt(*row) if row else None

    async def issued_by(self, kid: str, after: int, limit: int) -> list[Receipt]:
        """See the port."""
        rows = self._file.rows("receipts_of_key", kid=kid, after=after, limit=limit)
        return [Receipt(*row) for row in rows]

    async def add_key(self, key: SigningKey) -> None:
        """See the port."""
        await self._file.write(
            lambda tx: tx.run(
                "insert_signing_key",
                kid=key.kid,
                public_key=key.public_key,
                created_at=key.created_at,
                retired_at=key.retired_at,
            )
        )

    async def retire_key(self, kid: str) -> None:
        """See the port."""
        await self._file.write(lambda tx: tx.run("retire_signing_key", kid=kid, now=tx.now))

    async def keys(self) -> list[SigningKey]:
        """See the port."""
        return [SigningKey(*row) for row in self._file.rows("list_signing_keys")]

    async def list(self, tenant_id: Uid, after: int, limit: int) -> list[Receipt]:
        """See the port."""
        rows = self._file.rows("list_receipts", tenant_id=tenant_id, after=after, limit=limit)
        return [Receipt(*row) for row in rows]

    async def head(self, tenant_id: Uid) -> str:
        """See the port."""
        row = self._file.row("find_chain_head", tenant_id=tenant_id)
        return row[0] if row else NO_PREVIOUS


def open_chain(tx: Transaction, tenant_id: Uid) -> None:
    """Begin a tenant's chain, if it has none, while its digest can be made: not any more once the tenant is purged."""
    secret = tx.row("digest_secret", tenant_id=tenant_id)
    digest = digest_of(secret[0], TENANT, text_of(tenant_id)) if secret else ""
    tx.run("open_chain", tenant_id=tenant_id, tenant_digest=digest, hash=NO_PREVIOUS)


def append_receipt(tx: Transaction, deletion: Deletion, issue: Issue) -> Receipt:
    """Issue the receipt of a deletion as the next link of its tenant's chain, in the caller's transaction."""
    open_chain(tx, deletion.tenant_id)  # a deletion from before there were receipts has not done it
    tenant_digest, sequence, previous = tx.rows("chain_head", tenant_id=deletion.tenant_id)[0]
    receipt = issue(deletion, tenant_digest, sequence + 1, previous)
    tx.run("insert_receipt", **{name: getattr(receipt, name) for name in receipt.__struct_fields__})
    tx.run("move_chain_head", tenant_id=deletion.tenant_id, sequence=receipt.sequence, hash=receipt.hash)
    return receipt
