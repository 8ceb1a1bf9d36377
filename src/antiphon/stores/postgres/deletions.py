"""Deletions in PostgreSQL: the queue of what was detached, or waits to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from antiphon.core.ports import ALL_OF_IT, Detached, Issue, Lease
from antiphon.domain import limits, times
from antiphon.domain.deletions import (
    CHAT,
    PARTICIPANT,
    PURGING,
    SANDBOX_FILES,
    SCRUBBING,
    SESSION,
    TENANT,
    Deletion,
    Order,
    Step,
    Survey,
)
from antiphon.domain.errors import NotFound, TenantHasSessions
from antiphon.domain.ids import Uid
from antiphon.domain.receipts import Receipt
from antiphon.domain.times import micros_of
from antiphon.stores.postgres import detach
from antiphon.stores.postgres.database import Cursor, Database
from antiphon.stores.postgres.receipts import append_receipt
from antiphon.stores.postgres.steps import Job, take_step
from antiphon.stores.postgres.undo import put_back

_NEWEST = b"\xff" * 16
_COUNTS = msgspec.json.Decoder(dict[str, int])


class PostgresDeletions:
    """`core.ports.DeletionStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def purge_rows(self) -> int:
        """See the port."""
        return limits.PURGE_ROWS_POSTGRES

    async def detach_chat(self, tenant_id: Uid, chat_key: Uid, order: Order) -> Detached:
        """See the port."""
        return await self._database.transact(lambda tx: _detach(tx, tenant_id, CHAT, chat_key, order))

    async def detach_session(self, tenant_id: Uid, session_key: Uid, order: Order) -> Detached:
        """See the port."""
        return await self._database.transact(lambda tx: _detach(tx, tenant_id, SESSION, session_key, order))

    async def detach_participant(self, tenant_id: Uid, participant_id: Uid, order: Order) -> Detached:
        """See the port."""
        return await self._database.transact(lambda tx: _detach(tx, tenant_id, PARTICIPANT, participant_id, order))

    async def detach_tenant(self, tenant_id: Uid, order: Order = ALL_OF_IT, *, with_sessions: bool = False) -> Detached:
        """See the port."""

        async def operation(tx: Cursor) -> Detached:
            if not with_sessions:
                await tx.row("lock_tenant", tenant_id=tenant_id)  # it has no sessions now, and gets none any more
            doomed = await detach.look(tx, tenant_id, TENANT, tenant_id, is_held=True)
            if doomed.session_count and not with_sessions:
                raise TenantHasSessions
            return await detach.detach(tx, tenant_id, doomed, order)

        return await self._database.transact(operation)

    async def survey(self, tenant_id: Uid, kind: str, key: Uid) -> Survey:
        """See the port."""

        async def operation(tx: Cursor) -> Survey:
            await tx.script("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            return await detach.survey(tx, tenant_id, await detach.look(tx, tenant_id, kind, key, is_held=False))

        return await self._database.transact(operation)

    async def due(self) -> list[tuple[Uid, int]]:
        """See the port. The moments are by this process's clock, whatever the database's says."""
        rows, now = await self._database.rows("due_deletions"), times.now()
        return [(tenant_id, now + micros_of(seconds)) for tenant_id, seconds in rows]

    async def claim(self, tenant_id: Uid, node: Uid, lease_seconds: float) -> list[Lease]:
        """See the port."""
        whose: dict[str, Any] = {"tenant_id": tenant_id, "node": node, "lease_seconds": lease_seconds}
        rows = await self._database.write_rows("claim_scrubs", **whose, limit=limits.SCRUBS_AT_ONCE)
        if not rows:
            rows = await self._database.write_rows("claim_deletion", **whose)
        return [Lease(tenant_id, deletion_id, state) for deletion_id, state in rows]

    async def step(self, lease: Lease, node: Uid, rows_max: int, lease_seconds: float, rounds: int = 1) -> Step:
        """See the port."""

        async def operation(tx: Cursor) -> Step:
            job = await _hold(tx, lease, node, lease_seconds)
            step = await take_step(tx, job, rows_max)
            await _move(tx, job, step)
            return step

        done = await self._database.transact(operation)
        while done.goes_on and (rounds := rounds - 1) > 0:
            done = (await self._database.transact(operation)).after(done.removed)
        return done

    async def clear_files(self, lease: Lease, node: Uid, session_key: Uid, count: int) -> None:
        """See the port."""

        async def operation(tx: Cursor) -> None:
            job = await _hold(tx, lease, node, limits.JOB_LEASE_SECONDS)
            await tx.run("clear_files", tenant_id=lease.tenant_id, session_key=session_key)
            await _move(tx, job, Step({SANDBOX_FILES: count} if count else {}, job.state))

        await self._database.transact(operation)

    async def complete(self, lease: Lease, node: Uid, bytes_state: str, issue: Issue) -> Receipt:
        """See the port."""

        async def operation(tx: Cursor) -> Receipt:
            job = await _hold(tx, lease, node, limits.JOB_LEASE_SECONDS)
            if job.state != SCRUBBING:
                raise NotFound
            row = (await tx.rows("find_deletion", tenant_id=lease.tenant_id, id=lease.deletion_id))[0]
            deletion = msgspec.structs.replace(detach.deletion_of(row), scrubbed_at=tx.now, bytes=bytes_state)
            receipt = await append_receipt(tx, deletion, issue)
            await tx.run(
                "finish_deletion",
                tenant_id=lease.tenant_id,
                id=lease.deletion_id,
                now=tx.now,
                bytes=bytes_state,
                receipt_id=receipt.id,
            )
            await detach.announce(tx, "deletion.done", deletion)
            return receipt

        return await self._database.transact(operation)

    async def postpone(self, lease: Lease, node: Uid, error: str | None, delay_seconds: float) -> None:
        """See the port."""
        await self._database.write_rows(
            "postpone_deletion",
            tenant_id=lease.tenant_id,
            id=lease.deletion_id,
            node=node,
            error=error,
            delay_seconds=delay_seconds,
        )

    async def release(self, node: Uid) -> None:
        """See the port."""
        await self._database.write_rows("release_deletions", is_idempotent=True, node=node)

    async def undo(self, tenant_id: Uid, deletion_id: Uid) -> Deletion:
        """See the port."""

        async def operation(tx: Cursor) -> Deletion:
            await put_back(tx, tenant_id, deletion_id)
            return detach.deletion_of((await tx.rows("find_deletion", tenant_id=tenant_id, id=deletion_id))[0])

        return await self._database.transact(operation)

    async def retry(self, tenant_id: Uid, deletion_id: Uid) -> None:
        """See the port."""
        await self._database.write_rows("retry_deletion", is_idempotent=True, tenant_id=tenant_id, id=deletion_id)

    async def find(self, tenant_id: Uid, deletion_id: Uid) -> Deletion | None:
        """See the port."""
        row = await self._database.row("find_deletion", tenant_id=tenant_id, id=deletion_id)
        return detach.deletion_of(row) if row else None

    async def list(
        self, tenant_id: Uid, states: Sequence[str], before: Uid | None, limit: int, overdue_seconds: float | None
    ) -> list[Deletion]:
        """See the port."""
        rows = await self._database.rows(
            "list_deletions",
            tenant_id=tenant_id,
            states=list(states),
            before=before or _NEWEST,
            overdue_seconds=overdue_seconds,
            limit=limit,
        )
        return [detach.deletion_of(row) for row in rows]

    async def pending(self) -> tuple[int, int]:
        """See the port."""
        count, seconds = (await self._database.rows("pending_deletions"))[0]
        return count, max(0, micros_of(seconds))

    async def overdue(self, seconds: float) -> int:
        """See the port."""
        count: int = (await self._database.rows("overdue_deletions", overdue_seconds=seconds))[0][0]
        return count


async def _detach(tx: Cursor, tenant_id: Uid, kind: str, key: Uid, order: Order) -> Detached:
    """Detach, and let go at once of a chat or session that is small; what is left even so is left to the worker."""
    doomed = await detach.look(tx, tenant_id, kind, key, is_held=True)
    detached = await detach.detach(tx, tenant_id, doomed, order)
    is_small = 0 < order.inline_messages >= doomed.message_count
    if kind not in (CHAT, SESSION) or detached.deletion.state != PURGING or not is_small:
        return detached
    job = Job(tenant_id, detached.deletion.id, kind, key, doomed.id, PURGING, {}, None)
    await _move(tx, job, await take_step(tx, job, limits.PURGE_INLINE_ROWS))
    row = (await tx.rows("find_deletion", tenant_id=tenant_id, id=job.id))[0]
    return Detached(detach.deletion_of(row), detached.chat_keys)


async def _hold(tx: Cursor, lease: Lease, node: Uid, lease_seconds: float) -> Job:
    row = await tx.row(
        "hold_deletion",
        tenant_id=lease.tenant_id,
        id=lease.deletion_id,
        node=node,
        lease_seconds=lease_seconds,
    )
    if row is None:
        raise NotFound
    kind, target_key, target_id, state, counts, *rest = list(row)
    return Job(lease.tenant_id, lease.deletion_id, kind, target_key, target_id, state, _COUNTS.decode(counts), *rest)


async def _move(tx: Cursor, job: Job, step: Step) -> None:
    """Write down how far a job has come."""
    for table, removed in step.removed.items():
        job.counts[table] = job.counts.get(table, 0) + removed
    job.state = step.state
    await tx.run(
        "move_deletion",
        tenant_id=job.tenant_id,
        id=job.id,
        counts=msgspec.json.encode(job.counts, order="sorted").decode(),
        cursor=job.cursor,
        state=step.state,
        now=tx.now,
    )
