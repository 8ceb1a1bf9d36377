"""Carrying deletions out: rows in bounded steps, then bytes, then the receipt, until nothing is left to do.

A job is held by a lease, extended by each step; whoever finds it over goes on. What fails is tried again after a
growing, capped delay, for ever: a deletion may be late, and says why, but it is never given up.

A scrub may take long, and serves many deletions. So it goes on beside the steps, and then rests SCRUB_REST times as
long as it took, but no longer than SCRUB_REST_SECONDS: what waits is begun within five seconds.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from antiphon.core.deletion.receipts import Receipts
from antiphon.core.faults import describe
from antiphon.core.ports import Lease, Store
from antiphon.domain import limits, times
from antiphon.domain.deletions import SCRUBBING
from antiphon.domain.errors import AntiphonError, NotFound, SandboxFailed, StoreError
from antiphon.domain.ids import Uid, new_uid7, text_of

_UNFORESEEN = "unforeseen"

RemoveFiles = Callable[[Uid, Uid, str], Awaitable[int]]
"""Removes the directory of a session's sandbox in a tenant, at a place: how many files. Raises SandboxFailed."""

_log = logging.getLogger(__name__)


class Worker:
    """Takes deletions from the store's queue and carries them out, a step of each in turn."""

    def __init__(
        self, store: Store, receipts: Receipts, node: Uid | None = None, remove_files: RemoveFiles | None = None
    ) -> None:
        self._store = store
        self._receipts = receipts
        self._remove_files = remove_files
        self._node = node or new_uid7()
        self._bell = asyncio.Event()
        self._scan_at = 0.0
        self._scrub_at = 0.0
        self._known: set[Uid] = set()
        self._purging: list[Lease] = []
        self._scrubbing: list[Lease] = []
        self._in_scrub: list[Lease] = []
        self._rests_until = 0.0
        self._has_backlog = False  # whether there was more to take than may be held
        self._failures: dict[Uid, int] = {}

    def wake(self) -> None:
        """There is work: look at once instead of at the next poll."""
        self._bell.set()

    async def run(self) -> None:
        """Work until cancelled. A cancelled step is either committed or not; its job goes on in the next process.

        A scrub, which may take its time, goes on beside the steps of other deletions.
        """
        scrub: asyncio.Task[None] | None = None
        try:
            while True:
                try:
                    has_more = await self._purge()
                except StoreError as error:
                    _log.warning("queue not read", extra={"code": error.code})
                    has_more = False
                if self._is_scrub_due and (scrub is None or scrub.done()):
                    scrub = asyncio.create_task(self._scrub_in_turn(), name="scrub")
                    scrub.add_done_callback(lambda _: self._bell.set())
                if not has_more:
                    await self._wait(is_scrubbing=scrub is not None and not scrub.done())
        finally:
            if scrub is not None:
                scrub.cancel()
                await asyncio.gather(scrub, return_exceptions=True)

    async def _wait(self, *, is_scrubbing: bool) -> None:
        # Not `wait_for`: before Python 3.12 it may swallow a cancellation that comes together with the bell.
        seconds: float = limits.JOB_POLL_SECONDS
        if self._scrubbing and not is_scrubbing:
            seconds = min(seconds, max(self._scrub_at - time.monotonic(), 0))
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._bell.wait()

    async def run_once(self) -> bool:
        """One pass with all that is due, a scrub included; whether there is more to do at once."""
        has_more = await self._purge()
        if self._is_scrub_due:
            await self._scrub()
        return has_more

    @property
    def _is_scrub_due(self) -> bool:
        """What is ready is gathered for SCRUB_GATHER_SECONDS, since one scrub serves all of it."""
        return bool(self._scrubbing) and time.monotonic() >= self._scrub_at

    async def _purge(self) -> bool:
        """Take what may run now, do one step of everything taken; whether there is more to do at once.

        The steps go to the store together, which commits them together, and share the rows of one.
        """
        has_room = self._has_backlog and len(self._purging) < limits.JOBS_HELD
        if self._bell.is_set() or not self._purging or has_room or time.monotonic() >= self._scan_at:
            self._bell.clear()
            self._scan_at = time.monotonic() + limits.JOB_POLL_SECONDS
            await self._take()
        rows = max(self._store.deletions.purge_rows // max(len(self._purging), 1), limits.PURGE_ROWS_MIN)
        await asyncio.gather(*(self._advance(lease, rows) for lease in list(self._purging)))
        return bool(self._purging) or self._has_backlog

    async def _take(self) -> None:
        """Claim jobs, some of each tenant in turn, until there is none or as many are held as may be."""
        waiting = await self._waiting_tenants()
        while waiting and (room := limits.JOBS_HELD - len(self._purging)) > 0 and not self._has_enough_to_scrub:
            for tenant_id in waiting[:room]:
                leases = await self._claim(tenant_id)
                if not leases:
                    waiting.remove(tenant_id)
                for lease in leases:
                    self._hold(lease)
        self._has_backlog = bool(waiting)

    @property
    def _has_enough_to_scrub(self) -> bool:
        return len(self._scrubbing) >= limits.SCRUBS_AT_ONCE

    def _hold(self, lease: Lease) -> None:
        if lease.state != SCRUBBING:
            self._purging.append(lease)
            return
        if not self._scrubbing:
            self._scrub_at = time.monotonic() + limits.SCRUB_GATHER_SECONDS
        self._scrubbing.append(lease)
        if self._has_enough_to_scrub:
            self._scrub_at = 0.0  # their leases would run out while more is gathered

    async def _claim(self, tenant_id: Uid) -> list[Lease]:
        """Jobs of the tenant; none too when the store refuses, since it may refuse this tenant only."""
        try:
            return await self._store.deletions.claim(tenant_id, self._node, limits.JOB_LEASE_SECONDS)
        except StoreError as error:
            _log.warning("deletion not claimed", extra={"code": error.code})
            return []

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
        self._purging.clear()
        self._scrubbing.clear()
        try:
            async with asyncio.timeout(limits.GOODBYE_SECONDS):
                await self._store.deletions.release(self._node)
        except (StoreError, TimeoutError) as error:
            _log.warning("deletions not given back", extra=describe(error))

    async def _advance(self, lease: Lease, rows: int) -> None:
        """One step of a job, or some: between two of them the store need not wait for us."""
        try:
            step = await self._store.deletions.step(
                lease, self._node, rows, limits.JOB_LEASE_SECONDS, limits.PURGE_ROUNDS
            )
            if step.is_blocked:
                self._purging.remove(lease)
                await self._store.deletions.postpone(lease, self._node, None, limits.JOB_BLOCKED_SECONDS)
                return
            for session_key, place in step.files:
                await self._clear_files(lease, session_key, place)
        except Exception as error:  # noqa: BLE001  a mistake of ours, too, stops this job only and not the others
            await self._give_up(lease, error)
            return
        self._failures.pop(lease.deletion_id, None)
        if step.state == SCRUBBING:
            self._purging.remove(lease)
            self._hold(Lease(lease.tenant_id, lease.deletion_id, SCRUBBING))

    async def _clear_files(self, lease: Lease, session_key: Uid, place: str) -> None:
        """Remove the directory of a sandbox, then note that it is gone: who is killed between the two begins again."""
        if self._remove_files is None:
            raise SandboxFailed("nobody here can remove the files of a sandbox")
        count = await self._remove_files(lease.tenant_id, session_key, place)
        await self._store.deletions.clear_files(lease, self._node, session_key, count)

    async def _scrub_in_turn(self) -> None:
        """Scrub, after the rest that the last scrub asks for: while there is room to gather more."""
        keeping = asyncio.create_task(self._keep(), name="leases of a scrub")
        try:
            while time.monotonic() < self._rests_until and not self._has_enough_to_scrub:  # noqa: ASYNC110  a timer
                await asyncio.sleep(limits.SCRUB_GATHER_SECONDS)
            await self._scrub()
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def _scrub(self) -> None:
        """Scrub once for all that waits for it, and end each with its receipt."""
        leases = self._in_scrub = self._scrubbing
        self._scrubbing = []
        begun = time.monotonic()
        try:
            bytes_state = await self._store.scrub()
        except Exception as error:  # noqa: BLE001  as above
            await asyncio.gather(*(self._give_up(lease, error) for lease in leases))
            return
        finally:
            self._in_scrub = []
        now = time.monotonic()
        self._rests_until = now + min(limits.SCRUB_REST * (now - begun), limits.SCRUB_REST_SECONDS)
        await asyncio.gather(*(self._complete(lease, bytes_state) for lease in leases))

    async def _keep(self) -> None:
        """Extend leases until cancelled: a step of what is only to be scrubbed does nothing else."""
        while True:
            await asyncio.sleep(limits.JOB_HEARTBEAT_SECONDS)
            for lease in (*self._in_scrub, *self._scrubbing):
                with suppress(StoreError, NotFound):  # lost, or not to be had now: its end will tell
                    await self._store.deletions.step(lease, self._node, 0, limits.JOB_LEASE_SECONDS)

    async def _complete(self, lease: Lease, bytes_state: str) -> None:
        try:
            await self._receipts.complete(lease, self._node, bytes_state)
        except Exception as error:  # noqa: BLE001  as above
            await self._give_up(lease, error)
            return
        self._failures.pop(lease.deletion_id, None)
        _log.info("deletion done", extra={"deletion": text_of(lease.deletion_id)})

    async def _give_up(self, lease: Lease, error: Exception) -> None:
        """Let go of a job whose step failed: a lost lease is no failed attempt, anything else is tried again later."""
        if lease in self._purging:
            self._purging.remove(lease)
        if isinstance(error, NotFound):
            _log.warning("lease of a deletion lost", extra={"deletion": text_of(lease.deletion_id)})
        else:
            await self._postpone(lease, error)

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
