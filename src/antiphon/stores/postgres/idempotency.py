"""Kept answers in PostgreSQL."""

from __future__ import annotations

import msgspec

from antiphon.domain import limits
from antiphon.domain.errors import TenantNotFound
from antiphon.domain.idempotency import KeptAnswer, Subject
from antiphon.domain.ids import Uid
from antiphon.stores.postgres.database import Cursor, Database


class PostgresIdempotency:
    """`core.ports.IdempotencyStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(
        self, tenant_id: Uid, digest: bytes, request: bytes, holder: Uid, lease_seconds: float
    ) -> KeptAnswer | None:
        """See the port."""
        whose = {"tenant_id": tenant_id, "digest": digest}

        async def operation(tx: Cursor) -> KeptAnswer | None:
            await tx.run("drop_stale_answer", **whose, request=request, lifetime_seconds=limits.IDEMPOTENCY_SECONDS)
            if await tx.run("claim_answer", **whose, request=request, holder=holder, lease_seconds=lease_seconds):
                return None
            found = await tx.row("find_answer", **whose)
            if found is not None:
                return KeptAnswer(*found)
            if await tx.row("find_tenant", tenant_id=tenant_id) is None:
                raise TenantNotFound
            return KeptAnswer(request, None)  # who had it has just given it up: it is asked for again

        return await self._database.transact(operation)

    async def renew(self, tenant_id: Uid, digest: bytes, holder: Uid, lease_seconds: float) -> None:
        """See the port."""

        async def operation(tx: Cursor) -> None:
            await tx.run("renew_claim", tenant_id=tenant_id, digest=digest, holder=holder, lease_seconds=lease_seconds)

        await self._database.transact(operation)

    async def keep(
        self, tenant_id: Uid, digest: bytes, holder: Uid, answer: bytes, subject: Subject, lifetime_seconds: float
    ) -> bool:
        """See the port."""
        whose = {"tenant_id": tenant_id, "digest": digest, "holder": holder}
        told = msgspec.structs.asdict(subject)

        async def operation(tx: Cursor) -> bool:
            if await tx.run("keep_answer", **whose, answer=answer, lifetime_seconds=lifetime_seconds, **told):
                return True
            await tx.run("release_claim", **whose)
            return False

        return await self._database.transact(operation)

    async def release(self, tenant_id: Uid, digest: bytes, holder: Uid) -> None:
        """See the port."""

        async def operation(tx: Cursor) -> None:
            await tx.run("release_claim", tenant_id=tenant_id, digest=digest, holder=holder)

        await self._database.transact(operation)

    async def late(self, limit: int) -> list[Uid]:
        """See the port."""
        lifetime = limits.IDEMPOTENCY_SECONDS
        rows = await self._database.rows("tenants_with_late_answers", limit=limit, lifetime_seconds=lifetime)
        return [row[0] for row in rows]

    async def sweep(self, tenant_id: Uid, limit: int) -> int:
        """See the port."""

        async def operation(tx: Cursor) -> int:
            lifetime = limits.IDEMPOTENCY_SECONDS
            return await tx.run("sweep_answers", tenant_id=tenant_id, limit=limit, lifetime_seconds=lifetime)

        return await self._database.transact(operation)
