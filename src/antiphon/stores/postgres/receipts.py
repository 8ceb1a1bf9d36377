"""Receipts in PostgreSQL: the chains, and the public keys."""

from __future__ import annotations

from antiphon.core.ports import Issue
from antiphon.domain import times
from antiphon.domain.deletions import Deletion
from antiphon.domain.ids import Uid
from antiphon.domain.receipts import NO_PREVIOUS, Receipt, SigningKey
from antiphon.stores.postgres.database import Cursor, Database


class PostgresReceipts:
    """`core.ports.ReceiptStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, tenant_id: Uid, receipt_id: Uid) -> Receipt | None:
        """See the port."""
        row = await self._database.row("find_receipt", tenant_id=tenant_id, id=receipt_id)
        return Receipt(*row) if row else None

    async def issued_by(self, kid: str, after: int, limit: int) -> list[Receipt]:
        """See the port."""
        rows = await self._database.rows("receipts_of_key", kid=kid, after=after, limit=limit)
        return [Receipt(*row) for row in rows]

    async def add_key(self, key: SigningKey) -> None:
        """See the port."""
        await self._database.write_rows(
            "insert_signing_key",
            is_idempotent=True,
            kid=key.kid,
            public_key=key.public_key,
            created_at=key.created_at,
            retired_at=key.retired_at,
        )

    async def retire_key(self, kid: str) -> None:
        """See the port."""
        await self._database.write_rows("retire_signing_key", is_idempotent=True, kid=kid, now=times.now())

    async def keys(self) -> list[SigningKey]:
        """See the port."""
        return [SigningKey(*row) for row in await self._database.rows("list_signing_keys")]

    async def list(self, tenant_id: Uid, after: int, limit: int) -> list[Receipt]:
        """See the port."""
        rows = await self._database.rows("list_receipts", tenant_id=tenant_id, after=after, limit=limit)
        return [Receipt(*row) for row in rows]

    async def head(self, tenant_id: Uid) -> str:
        """See the port."""
        row = await self._database.row("find_chain_head", tenant_id=tenant_id)
        return row[0] if row else NO_PREVIOUS


async def append_receipt(tx: Cursor, deletion: Deletion, issue: Issue) -> Receipt:
    """Issue the receipt of a deletion as the next link of its tenant's chain, in the caller's transaction."""
    tenant_digest, sequence, previous = (await tx.rows("chain_head", tenant_id=deletion.tenant_id))[0]
    receipt = issue(deletion, tenant_digest, sequence + 1, previous)
    await tx.run("insert_receipt", **{name: getattr(receipt, name) for name in receipt.__struct_fields__})
    await tx.run("move_chain_head", tenant_id=deletion.tenant_id, sequence=receipt.sequence, hash=receipt.hash)
    return receipt
