"""Tickets in PostgreSQL."""

from __future__ import annotations

from antiphon.domain import limits
from antiphon.domain.errors import KeyNotFound
from antiphon.domain.ids import Uid
from antiphon.stores.postgres.database import Cursor, Database


class PostgresTickets:
    """`core.ports.TicketStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, tenant_id: Uid, key_id: Uid, digest: bytes, lifetime_seconds: float) -> int:
        """See the port."""

        async def operation(tx: Cursor) -> int:
            await tx.run("sweep_tickets", tenant_id=tenant_id, limit=limits.TICKETS_PER_SWEEP)
            made = await tx.row(
                "insert_ticket", tenant_id=tenant_id, key_id=key_id, digest=digest, lifetime_seconds=lifetime_seconds
            )
            if made is None:
                raise KeyNotFound
            expires_at: int = made[0]
            return expires_at

        return await self._database.transact(operation)

    async def redeem(self, tenant_id: Uid, digest: bytes) -> bool:
        """See the port: when the database goes away meanwhile the ticket may be gone, and nobody has had it."""
        taken = await self._database.write_rows("redeem_ticket", tenant_id=tenant_id, digest=digest)
        return bool(taken) and bool(taken[0][0])
