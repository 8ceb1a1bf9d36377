"""Purging: the rows of what was detached, removed in bounded steps until none is left.

A job is held by a lease, extended by each step; whoever finds it over goes on. A step that fails is tried again after a
growing, capped delay, for ever: a deletion may be late, and says why, but it is never given up.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import suppress

from antiphon.core.faults import describe
from antiphon.core.ports import Lease, Store
from antiphon.domain import limits, times
from antiphon.domain.errors import AntiphonError, NotFound, StoreError
from antiphon.domain.ids import Uid, new_uid7, text_of

_UNFORESEEN = "unforeseen"

_log = logging.getLogger(__name__)


class Worker:
    """Takes deletions from the store's queue and carries them out, a step of each in turn."""

    def __init__(self, store: Store, node: Uid | None = None) -> None:
        self._store = store
        self._node = node or new_uid7()
        self._bell = asyncio.Event()
        self._scan_at = 0.0
        self._known: set[Uid] = set()
        self._held: list[Lease] = []
        self._has_backlog = False  # whether there was more to take than may be held
        self._failures: dict[Uid, int] = {}

    def wake(self) -> None:
        """There is work: look at once instead of at the next poll."""
        self._bell.set()

    async def run(self) -> None:
        """Work until cancelled. A cancelled step is either committed or not; its job goes on in the next process."""
        while True:
            try:
                has_more = await self.run_once()
            except StoreError as error:
                _log.warning("queue not read", extra={"code": error.code})
                has_more = False
            if not has_more:
                await self._wait()

    async def _wait(self) -> None:
        # Not `wait_for`: before Python 3.12 it may swallow a cancellation that comes together with the bell.
        with suppress(TimeoutError):
            async with asyncio.timeout(limits.JOB_POLL_SECONDS):
                await self._bell.wait()

    async def run_once(self) -> bool:
        """One pass: take what may run now, do one step of everything taken; whether there is more to do at once.

        The steps go to the store together, which commits them together, and share the rows of one.
        """
        has_room = self._has_backlog and len(self._held) < limits.JOBS_HELD
        if self._bell.is_set() or not self._held or has_room or time.monotonic() >= self._scan_at:
            self._bell.clear()
            self._scan_at = time.monotonic() + limits.JOB_POLL_SECONDS
            await self._take()
        rows = max(limits.PURGE_ROWS // max(len(self._held), 1), limits.PURGE_ROWS_MIN)
        await asyncio.gather(*(self._advance(lease, rows) for lease in list(self._held)))
        return bool(self._held) or self._has_backlog

    async def _take(self) -> None:
        """Claim jobs, one of each tenant in turn, until there is none or as many are held as may be."""
        waiting = await self._waiting_tenants()
        while waiting and len(self._held) < limits.JOBS_HELD:
            for tenant_id in waiting[: limits.JOBS_HELD - len(self._held)]:
                lease = await self._claim(tenant_id)
                if lease is None:
                    waiting.remove(tenant_id)
                else:
                    self._held.append(lease)
        self._has_backlog = bool(waiting)

    async def _claim(self, tenant_id: Uid) -> Lease | None:
        """A job of the tenant; None too when the store refuses, since it may refuse this tenant only."""
        try:
            return await self._store.deletions.claim(tenant_id, self._node, limits.JOB_LEASE_SECONDS)
        except StoreError as error:
            _log.warning("deletion not claimed", extra={"code": error.code})
            return None

    async def _waiting_tenants(self) -> list[Uid]:
        """The tenants with work that may run now, those that wait longest first.

        When the scan over all of them fails, those known from before are asked: one part of a distributed database that
        is down does not stop the deletions in the others.
        """
        try:
            found = await self._store.deletions.due()
        except StoreError as error:
            _log.warning("queue not scanned", extra={"code": error.code})
            return list(self._known)
        now = times.now()
        self._known = {tenant_id for tenant_id, _ in found}
        return [tenant_id for run_after, tenant_id in sorted((at, tenant) for tenant, at in found) if run_after <= now]

    async def release(self) -> None:
        """Give back what is held, at the orderly end of the process: another need not wait for the leases."""
        self._held.clear()
        try:
            await self._store.deletions.release(self._node)
        except StoreError as error:
            _log.warning("deletions not given back", extra={"code": error.code})

    async def _advance(self, lease: Lease, rows: int) -> None:
        try:
            step = await self._store.deletions.step(lease, self._node, rows, limits.JOB_LEASE_SECONDS)
        except NotFound:
            self._held.remove(lease)
            _log.warning("lease of a deletion lost", extra={"deletion": text_of(lease.deletion_id)})
        except Exception as error:  # noqa: BLE001  a mistake of ours, too, stops this job only and not the others
            self._held.remove(lease)
            await self._postpone(lease, error)
        else:
            self._failures.pop(lease.deletion_id, None)
            if step.is_done:
                self._held.remove(lease)
                _log.info("deletion done", extra={"deletion": text_of(lease.deletion_id)})

    async def _postpone(self, lease: Lease, error: Exception) -> None:
        code = error.code if isinstance(error, AntiphonError) else _UNFORESEEN
        failures = self._failures[lease.deletion_id] = self._failures.get(lease.deletion_id, 0) + 1
        delay = backoff_seconds(failures)
        extra = {
            "deletion": text_of(lease.deletion_id),
            "code": code,
            "retry_in_seconds": round(delay, 2),
            **({} if isinstance(error, AntiphonError) else describe(error)),
        }
        _log.warning("deletion postponed", extra=extra)
        try:
            await self._store.deletions.postpone(lease, self._node, code, delay)
        except StoreError:
            # The store that refused the step refuses the note too: the lease will run out, and the job is found again.
            await asyncio.sleep(min(delay, limits.JOB_POLL_SECONDS))


def backoff_seconds(failures: int) -> float:
    """Seconds to wait after that many failures in a row: doubling from a quarter to the cap, half of it random."""
    ceiling: float = min(limits.JOB_BACKOFF_SECONDS, 0.25 * 2 ** min(failures - 1, 16))
    return ceiling * (0.5 + random.random() / 2)  # noqa: S311  jitter, not a secret
