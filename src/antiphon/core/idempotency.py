"""Idempotency: a request that is sent again under the same key has one effect, and is given its first answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from antiphon.core.ports import Store
from antiphon.domain import limits
from antiphon.domain.errors import IdempotencyKeyReused, RequestInProgress, StoreError
from antiphon.domain.idempotency import Subject
from antiphon.domain.ids import Uid, new_uid7

Work = Callable[[], Awaitable[tuple[bytes, Subject] | None]]
"""Does what is asked; gives the answer that is to be kept, and what it tells of, or None when it is not to be kept."""


class Idempotency:
    """The verb of kept answers. The store sees digests and sealed answers only."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def once(self, tenant_id: Uid, digest: bytes, request: bytes, work: Work) -> bytes | None:
        """The answer that is kept under the digest; None when there was none and the work was done now.

        While somebody else does the same work it is waited for, IDEMPOTENCY_WAIT_SECONDS at most. The claim on it is
        a lease that is renewed: after a crash in the middle the next who asks does the work (again). What the work
        raises is raised, and nothing is kept. Raises IdempotencyKeyReused, RequestInProgress and TenantNotFound.
        """
        holder = new_uid7()
        kept = await self._wait(tenant_id, digest, request, holder)
        if kept is not None:
            return kept
        renewing = asyncio.create_task(self._keep_renewing(tenant_id, digest, holder), name="idempotency")
        try:
            outcome = await work()
            with contextlib.suppress(StoreError):  # the work is done, and who asked for it is to know
                if outcome is not None:
                    await self._store.idempotency.keep(tenant_id, digest, holder, *outcome, limits.IDEMPOTENCY_SECONDS)
                else:
                    await self._store.idempotency.release(tenant_id, digest, holder)
        except Exception:  # who is cancelled leaves the claim to its lease: what was begun may still be under way
            with contextlib.suppress(StoreError):
                await self._store.idempotency.release(tenant_id, digest, holder)
            raise
        finally:
            renewing.cancel()
        return None

    async def _wait(self, tenant_id: Uid, digest: bytes, request: bytes, holder: Uid) -> bytes | None:
        """The answer that is kept, or None once the claim is the holder's."""
        give_up_at = time.monotonic() + limits.IDEMPOTENCY_WAIT_SECONDS
        while True:
            found = await self._store.idempotency.claim(
                tenant_id, digest, request, holder, limits.IDEMPOTENCY_LEASE_SECONDS
            )
            if found is None:
                return None
            if found.request != request:
                raise IdempotencyKeyReused
            if found.answer is not None:
                return found.answer
            if time.monotonic() >= give_up_at:
                raise RequestInProgress
            await asyncio.sleep(limits.IDEMPOTENCY_POLL_SECONDS)

    async def _keep_renewing(self, tenant_id: Uid, digest: bytes, holder: Uid) -> None:
        while True:
            await asyncio.sleep(limits.IDEMPOTENCY_RENEWAL_SECONDS)
            with contextlib.suppress(StoreError):
                await self._store.idempotency.renew(tenant_id, digest, holder, limits.IDEMPOTENCY_LEASE_SECONDS)

    async def sweep(self) -> None:
        """Remove the answers that have had their time, some at a time. Raises StoreError."""
        is_more = True
        while is_more:  # what another process is sweeping is left to it
            tenants = await self._store.idempotency.late(limits.IDEMPOTENCY_SWEEP_ROWS)
            is_more = False
            for tenant_id in tenants:
                removed = await self._store.idempotency.sweep(tenant_id, limits.IDEMPOTENCY_SWEEP_ROWS)
                is_more = is_more or removed > 0

    async def keep_swept(self) -> None:
        """Sweep every IDEMPOTENCY_SWEEP_SECONDS, until cancelled. A store that is away is asked again."""
        while True:
            with contextlib.suppress(StoreError):
                await self.sweep()
            await asyncio.sleep(limits.IDEMPOTENCY_SWEEP_SECONDS)
