"""Deletions in SQLite: the queue of what was detached, or waits to be."""

from __future__ import annotations

from collections.abc import Sequence

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
from antiphon.domain.errors import NotFound
from antiphon.domain.ids import Uid
from antiphon.domain.receipts import Receipt
from antiphon.domain.times import micros_of
from antiphon.stores.sqlite import detach
from antiphon.stores.sqlite.file import File
from antiphon.stores.sqlite.receipts import append_receipt
from antiphon.stores.sqlite.steps import Job, take_step
from antiphon.stores.sqlite.undo import put_back
from antiphon.stores.sqlite.writer import Transaction

_NEWEST = b"\xff" * 16
_COUNTS = msgspec.json.Decoder(dict[str, int])


class SqliteDeletions:
    """`core.ports.DeletionStore`."""

    def __init__(self, file: File) -> None:
        self._file = file

    @property
    def purge_rows(self) -> int:
        """See the port."""
        return limits.PURGE_ROWS

    async def detach_chat(self, tenant_id: Uid, chat_key: Uid, order: Order) -> Detached:
        """See the port."""
        return await self._file.write(lambda tx: _detach(tx, tenant_id, CHAT, chat_key, order))

    async def detach_session(self, tenant_id: Uid, session_key: Uid, order: Order) -> Detached:
        """See the port."""
        return await self._file.write(lambda tx: _detach(tx, tenant_id, SESSION, session_key, order))

    async def detach_participant(self, tenant_id: Uid, participant_id: Uid, order: Order) -> Detached:
        """See the port."""
        return await self._file.write(lambda tx: _detach(tx, tenant_id, PARTICIPANT, participant_id, order))

    async def detach_tenant(self, tenant_id: Uid, order: Order = ALL_OF_IT, *, with_sessions: bool = False) -> Detached:
        """See the port."""

        def operation(tx: Transaction) -> Detached:
            if not with_sessions:
                detach.check_empty(tx, tenant_id)
            return _detach(tx, tenant_id, TENANT, tenant_id, order)

        return await self._file.write(operation)

    async def survey(self, tenant_id: Uid, kind: str, key: Uid) -> Survey:
        """See the port."""
        return await self._file.read_apart(
            lambda read: detach.survey(read, tenant_id, detach.look(read, tenant_id, kind, key))
        )

    async def due(self) -> list[tuple[Uid, int]]:
        """See the port."""
        rows, now = self._file.rows("due_deletions"), times.now()  # when, by the clock of who asks
        return [(tenant_id, now + wait) for tenant_id, wait in rows]

    async def claim(self, tenant_id: Uid, node: Uid, lease_seconds: float) -> list[Lease]:
        """See the port."""

        def operation(tx: Transaction) -> list[Lease]:
            whose = {"tenant_id": tenant_id, "node": node, "lease": micros_of(lease_seconds)}
            rows = tx.rows("claim_scrubs", **whose, limit=limits.SCRUBS_AT_ONCE) or tx.rows("claim_deletion", **whose)
            return [Lease(tenant_id, deletion_id, state) for deletion_id, state in rows]

        return await self._file.write(operation)

    async def step(self, lease: Lease, node: Uid, rows_max: int, lease_seconds: float, rounds: int = 1) -> Step:
        """See the port."""
        removed: dict[str, int] = {}

        def operation(tx: Transaction) -> Step:
            job = _hold(tx, lease, node, lease_seconds)
            step = take_step(tx, job, rows_max)
            _move(tx, job, step)
            whole = step.after(removed)
            removed.update(whole.removed)
            return whole

        return await self._file.write_patiently(operation, lambda step: step.goes_on, rounds)

    async def clear_files(self, lease: Lease, node: Uid, session_key: Uid, count: int) -> None:
        """See the port."""

        def operation(tx: Transaction) -> None:
            job = _hold(tx, lease, node, limits.JOB_LEASE_SECONDS)
            tx.run("clear_files", tenant_id=lease.tenant_id, session_key=session_key)
            _move(tx, job, Step({SANDBOX_FILES: count} if count else {}, job.state))

        await self._file.write(operation)

    async def complete(self, lease: Lease, node: Uid, bytes_state: str, issue: Issue) -> Receipt:
        """See the port."""

        def operation(tx: Transaction) -> Receipt:
            job = _hold(tx, lease, node, limits.JOB_LEASE_SECONDS)
            if job.state != SCRUBBING:
                raise NotFound
            row = tx.rows("find_deletion", tenant_id=lease.tenant_id, id=lease.deletion_id)[0]
            deletion = msgspec.structs.replace(detach.deletion_of(row), scrubbed_at=tx.now, bytes=bytes_state)
            receipt = append_receipt(tx, deletion, issue)
            tx.run(
                "finish_deletion",
                tenant_id=lease.tenant_id,
                id=lease.deletion_id,
                now=tx.now,
                bytes=bytes_state,
                receipt_id=receipt.id,
            )
            detach.announce(tx, "deletion.done", deletion)
            return receipt

        return await self._file.write(operation)

    async def postpone(self, lease: Lease, node: Uid, error: str | None, delay_seconds: float) -> None:
        """See the port."""
        await self._file.write(
            lambda tx: tx.run(
                "postpone_deletion",
                tenant_id=lease.tenant_id,
                id=lease.deletion_id,
                node=node,
                error=error,
                delay=micros_of(delay_seconds),
            )
        )

    async def release(self, node: Uid) -> None:
        """See the port."""
        await self._file.write(lambda tx: tx.run("release_deletions", node=node))

    async def undo(self, tenant_id: Uid, deletion_id: Uid) -> Deletion:
        """See the port."""

        def operation(tx: Transaction) -> Deletion:
            put_back(tx, tenant_id, deletion_id)
            return detach.deletion_of(tx.rows("find_deletion", tenant_id=tenant_id, id=deletion_id)[0])

        return await self._file.write(operation)

    async def retry(self, tenant_id: Uid, deletion_id: Uid) -> None:
        """See the port."""
        await self._file.write(lambda tx: tx.run("retry_deletion", tenant_id=tenant_id, id=deletion_id))

    async def find(self, tenant_id: Uid, deletion_id: Uid) -> Deletion | None:
        """See the port."""
        row = self._file.row("find_deletion", tenant_id=tenant_id, id=deletion_id)
        return detach.deletion_of(row) if row else None

    async def list(
        self, tenant_id: Uid, states: Sequence[str], before: Uid | None, limit: int, overdue_seconds: float | None
    ) -> list[Deletion]:
        """See the port."""
        rows = self._file.rows(
            "list_deletions",
            tenant_id=tenant_id,
            states=msgspec.json.encode(states).decode(),
            before=before or _NEWEST,
            overdue=None if overdue_seconds is None else micros_of(overdue_seconds),
            limit=limit,
        )
        return [detach.deletion_of(row) for row in rows]

    async def pending(self) -> tuple[int, int]:
        """See the port."""
        count, oldest = self._file.rows("pending_deletions")[0]
        return count, max(0, times.now() - oldest) if count else 0

    async def overdue(self, seconds: float) -> int:
        """See the port."""
        count: int = self._file.rows("overdue_deletions", overdue=micros_of(seconds))[0][0]
        return count


def _detach(tx: Transaction, tenant_id: Uid, kind: str, key: Uid, order: Order) -> Detached:
    """Detach, and let go at once of a chat or session that is small; what is left even so is left to the worker."""
    doomed = detach.look(tx, tenant_id, kind, key)
    detached = detach.detach(tx, tenant_id, doomed, order)
    is_small = 0 < order.inline_messages >= doomed.message_count
    if kind not in (CHAT, SESSION) or detached.deletion.state != PURGING or not is_small:
        return detached
    job = Job(tenant_id, detached.deletion.id, kind, key, doomed.id, PURGING, {}, None)
    _move(tx, job, take_step(tx, job, limits.PURGE_INLINE_ROWS))
    row = tx.rows("find_deletion", tenant_id=tenant_id, id=job.id)[0]
    return Detached(detach.deletion_of(row), detached.chat_keys)


def _hold(tx: Transaction, lease: Lease, node: Uid, lease_seconds: float) -> Job:
    row = tx.row(
        "hold_deletion",
        tenant_id=lease.tenant_id,
        id=lease.deletion_id,
        node=node,
        lease=micros_of(lease_seconds),
    )
    if row is None:
        raise NotFound
    kind, target_key, target_id, state, counts, *rest = row
    return Job(lease.tenant_id, lease.deletion_id, kind, target_key, target_id, state, _COUNTS.decode(counts), *rest)


def _move(tx: Transaction, job: Job, step: Step) -> None:
    """Write down how far a job has come."""
    for table, removed in step.removed.items():
        job.counts[table] = job.counts.get(table, 0) + removed
    job.state = step.state
    tx.run(
        "move_deletion",
        tenant_id=job.tenant_id,
        id=job.id,
        counts=msgspec.json.encode(job.counts, order="sorted").decode(),
        cursor=job.cursor,
        state=step.state,
        now=tx.now,
    )
