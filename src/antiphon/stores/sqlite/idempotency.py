"""Kept answers in SQLite."""

from __future__ import annotations

import msgspec

from antiphon.domain import limits, times
from antiphon.domain.errors import TenantNotFound
from antiphon.domain.idempotency import KeptAnswer, Subject
from antiphon.domain.ids import Uid
from antiphon.stores.sqlite.file import File
from antiphon.stores.sqlite.writer import Transaction

_LIFETIME = limits.IDEMPOTENCY_SECONDS * times.SECOND


class SqliteIdempotency:
    """`core.ports.IdempotencyStore`."""

    def __init__(self, file: File) -> None:
        self._file = file

    async def claim(
        self, tenant_id: Uid, digest: bytes, request: bytes, holder: Uid, lease_seconds: float
    ) -> KeptAnswer | None:
        """See the port."""
        whose = {"tenant_id": tenant_id, "digest": digest}

        def operation(tx: Transaction) -> KeptAnswer | None:
            tx.run("drop_stale_answer", **whose, request=request, lifetime=_LIFETIME)
            if tx.run("claim_answer", **whose, request=request, holder=holder, lease=_micros(lease_seconds)):
                return None
            found = tx.row("find_answer", **whose)
            if found is None:
                raise TenantNotFound
            return KeptAnswer(*found)

        return await self._file.write(operation)

    async def renew(self, tenant_id: Uid, digest: bytes, holder: Uid, lease_seconds: float) -> None:
        """See the port."""

        def operation(tx: Transaction) -> None:
            lease = _micros(lease_seconds)
            tx.run("renew_claim", tenant_id=tenant_id, digest=digest, holder=holder, lease=lease)

        await self._file.write(operation)

    async def keep(
        self, tenant_id: Uid, digest: bytes, holder: Uid, answer: bytes, subject: Subject, lifetime_seconds: float
    ) -> bool:
        """See the port."""
        whose = {"tenant_id": tenant_id, "digest": digest, "holder": holder}
        told = msgspec.structs.asdict(subject)

        def operation(tx: Transaction) -> bool:
            if tx.run("keep_answer", **whose, answer=answer, lifetime=_micros(lifetime_seconds), **told):
                return True
            tx.run("release_claim", **whose)
            return False

        return await self._file.write(operation)

    async def release(self, tenant_id: Uid, digest: bytes, holder: Uid) -> None:
        """See the port."""

        def operation(tx: Transaction) -> None:
            tx.run("release_claim", tenant_id=tenant_id, digest=digest, holder=holder)

        await self._file.write(operation)

    async def late(self, limit: int) -> list[Uid]:
        """See the port."""
        return [row[0] for row in self._file.rows("tenants_with_late_answers", limit=limit, lifetime=_LIFETIME)]

    async def sweep(self, tenant_id: Uid, limit: int) -> int:
        """See the port."""

        def operation(tx: Transaction) -> int:
            return tx.run("sweep_answers", tenant_id=tenant_id, limit=limit, lifetime=_LIFETIME)

        return await self._file.write(operation)


def _micros(seconds: float) -> int:
    return int(seconds * times.SECOND)
