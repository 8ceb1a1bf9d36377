"""Tickets in SQLite."""

from __future__ import annotations

from antiphon.domain import limits, times
from antiphon.domain.errors import KeyNotFound
from antiphon.domain.ids import Uid
from antiphon.stores.sqlite.file import File
from antiphon.stores.sqlite.writer import Transaction


class SqliteTickets:
    """`core.ports.TicketStore`."""

    def __init__(self, file: File) -> None:
        self._file = file

    async def create(self, tenant_id: Uid, key_id: Uid, digest: bytes, lifetime_seconds: float) -> int:
        """See the port."""

        def operation(tx: Transaction) -> int:
            tx.run("sweep_tickets", tenant_id=tenant_id, limit=limits.TICKETS_PER_SWEEP)
            lifetime = int(lifetime_seconds * times.SECOND)
            made = tx.row("insert_ticket", tenant_id=tenant_id, key_id=key_id, digest=digest, lifetime=lifetime)
            if made is None:
                raise KeyNotFound
            expires_at: int = made[0]
            return expires_at

        return await self._file.write(operation)

    async def redeem(self, tenant_id: Uid, digest: bytes) -> bool:
        """See the port."""

        def operation(tx: Transaction) -> bool:
            taken = tx.row("redeem_ticket", tenant_id=tenant_id, digest=digest)
            return taken is not None and bool(taken[0])

        return await self._file.write(operation)
