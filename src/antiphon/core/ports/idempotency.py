"""What the core needs of a store to keep answers. See `core.ports.store` for what holds for every method."""

from __future__ import annotations

from typing import Protocol

from antiphon.domain.idempotency import KeptAnswer, Subject
from antiphon.domain.ids import Uid


class IdempotencyStore(Protocol):
    """Kept answers and the claims of requests under way, judged by the database's clock."""

    async def claim(
        self, tenant_id: Uid, digest: bytes, request: bytes, holder: Uid, lease_seconds: float
    ) -> KeptAnswer | None:
        """Take a digest for a request; None when it is the holder's now, else what stands there.

        Of all who try, one at most is told None. What does not count any more is taken over: an answer that is too old,
        or whose subject is not there, and a claim whose lease is over: by the same request at once, by another one when
        an answer would be too old. Raises TenantNotFound.
        """
        ...

    async def renew(self, tenant_id: Uid, digest: bytes, holder: Uid, lease_seconds: float) -> None:
        """Extend the lease of a claim; one that is not the holder's any more stays as it is."""
        ...

    async def keep(
        self, tenant_id: Uid, digest: bytes, holder: Uid, answer: bytes, subject: Subject, lifetime_seconds: float
    ) -> bool:
        """Put the answer in the place of the holder's claim; whether it is kept.

        It is not when the claim is not the holder's any more, and when the subject is gone: then the claim goes too.
        """
        ...

    async def release(self, tenant_id: Uid, digest: bytes, holder: Uid) -> None:
        """Give up a claim, so that the next who asks does the work; one that is not the holder's stays."""
        ...

    async def late(self, limit: int) -> list[Uid]:
        """The tenants of the oldest `limit` rows that do not count any more by their age. System scope."""
        ...

    async def sweep(self, tenant_id: Uid, limit: int) -> int:
        """Remove some of these rows of a tenant: how many."""
        ...
