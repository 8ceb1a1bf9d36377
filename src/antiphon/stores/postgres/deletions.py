"""Deletions in PostgreSQL: the detach, and the queue of purges.

Locks are taken in one order everywhere: session, chats, tenant, participants. So what is decided by reading (the last
chat, what is live) stays true until the commit, and no two wait for each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from antiphon.core.ports import Detached, Lease
from antiphon.domain import times
from antiphon.domain.deletions import CANCEL, CHAT, SESSION, TENANT, Deletion, PurgeStep
from antiphon.domain.errors import (
    ChatHasActiveConnections,
    ChatHasActiveTurn,
    ChatIsLastOfSession,
    ChatNotFound,
    NotFound,
    SessionNotFound,
    TenantHasSessions,
    TenantNotFound,
)
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.sessions import SINGLE
from antiphon.stores.postgres.database import Cursor, Database, Row
from antiphon.stores.postgres.purge import purge_some

_COUNTS = msgspec.json.Decoder(dict[str, int])
_ALL_OF_A_SMALL_ONE = 1_000


class PostgresDeletions:
    """`core.ports.DeletionStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def detach_chat(self, tenant_id: Uid, chat_key: Uid, mode: str, inline_messages: int) -> Detached:
        """See the port."""

        async def operation(tx: Cursor) -> Detached:
            row = await tx.row("chat_to_detach", tenant_id=tenant_id, key=chat_key)
            if row is None:
                raise ChatNotFound
            session_key, shape, chat_count = row
            if shape == SINGLE:
                return await _detach_session(tx, tenant_id, session_key, mode, inline_messages, ChatNotFound)
            chats = await tx.rows("lock_chat_to_detach", tenant_id=tenant_id, key=chat_key)
            if not chats:
                raise ChatNotFound
            if chat_count <= 1:
                raise ChatIsLastOfSession
            await tx.run("count_session_chats", tenant_id=tenant_id, key=session_key, by=-1)
            await _detach_chats(tx, tenant_id, chats, mode)
            await _disown(tx, tenant_id, chats)
            is_small = 0 < inline_messages >= chats[0][1]
            return Detached(await _enqueue(tx, tenant_id, CHAT, chat_key, mode, is_small), (chat_key,))

        return await self._database.transact(operation)

    async def detach_session(self, tenant_id: Uid, session_key: Uid, mode: str, inline_messages: int) -> Detached:
        """See the port."""
        return await self._database.transact(
            lambda tx: _detach_session(tx, tenant_id, session_key, mode, inline_messages, SessionNotFound)
        )

    async def detach_tenant(self, tenant_id: Uid) -> Detached:
        """See the port."""

        async def operation(tx: Cursor) -> Detached:
            tenant = await tx.row("lock_tenant", tenant_id=tenant_id)
            if tenant is None:
                raise TenantNotFound
            await tx.run("free_tenant_name", tenant_id=tenant_id, name=tenant[1])
            if (await tx.rows("detach_tenant", tenant_id=tenant_id))[0][0]:
                raise TenantHasSessions
            return Detached(await _enqueue(tx, tenant_id, TENANT, tenant_id, CANCEL, is_small=False), ())

        return await self._database.transact(operation)

    async def due(self) -> list[tuple[Uid, int]]:
        """See the port. The moments are by this process's clock, whatever the database's says."""
        rows, now = await self._database.rows("due_deletions"), times.now()
        return [(tenant_id, now + _micros(seconds)) for tenant_id, seconds in rows]

    async def claim(self, tenant_id: Uid, node: Uid, lease_seconds: float) -> Lease | None:
        """See the port."""
        rows = await self._database.write_rows(
            "claim_deletion", tenant_id=tenant_id, node=node, lease_seconds=lease_seconds
        )
        return Lease(tenant_id, rows[0][0]) if rows else None

    async def step(self, lease: Lease, node: Uid, rows_max: int, lease_seconds: float) -> PurgeStep:
        """See the port."""

        async def operation(tx: Cursor) -> PurgeStep:
            held = await tx.row(
                "hold_deletion",
                tenant_id=lease.tenant_id,
                id=lease.deletion_id,
                node=node,
                lease_seconds=lease_seconds,
            )
            if held is None:
                raise NotFound
            kind, target_key, counts = held
            step = await purge_some(tx, lease.tenant_id, kind, target_key, rows_max)
            await _count(tx, lease, counts, step)
            return step

        return await self._database.transact(operation)

    async def postpone(self, lease: Lease, node: Uid, error: str, delay_seconds: float) -> None:
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

    async def find(self, tenant_id: Uid, deletion_id: Uid) -> Deletion | None:
        """See the port."""
        row = await self._database.row("find_deletion", tenant_id=tenant_id, id=deletion_id)
        return _deletion_of(row) if row else None

    async def pending(self) -> tuple[int, int]:
        """See the port."""
        count, seconds = (await self._database.rows("pending_deletions"))[0]
        return count, max(0, _micros(seconds))


def _micros(seconds: float) -> int:
    return int(seconds * times.SECOND)


async def _detach_session(
    tx: Cursor, tenant_id: Uid, session_key: Uid, mode: str, inline_messages: int, absent: type[NotFound]
) -> Detached:
    row = await tx.row("session_to_detach", tenant_id=tenant_id, key=session_key)
    if row is None:
        raise absent
    chats = await tx.rows("chats_to_detach", tenant_id=tenant_id, session_key=session_key)
    await _detach_chats(tx, tenant_id, chats, mode)
    await tx.run("detach_session", tenant_id=tenant_id, key=session_key)
    await tx.run("count_single" if row[0] == SINGLE else "count_multi", tenant_id=tenant_id, by=-1)
    await _disown(tx, tenant_id, chats)
    is_small = 0 < inline_messages >= sum(chat[1] for chat in chats)
    deletion = await _enqueue(tx, tenant_id, SESSION, session_key, mode, is_small)
    return Detached(deletion, tuple(chat[0] for chat in chats))


async def _detach_chats(tx: Cursor, tenant_id: Uid, chats: Sequence[Row], mode: str) -> None:
    """Check what is live on chats that are held, end it or refuse, and set their ids free."""
    keys = [chat[0] for chat in chats]
    if mode != CANCEL:
        rows = await tx.rows("live_connections_of_chat", tenant_id=tenant_id, chat_keys=keys)
        live = {key: (count, until) for key, count, until in rows}
        for key, _, active_turn, _, _ in chats:
            if key in live:
                raise ChatHasActiveConnections(*live[key])
            if active_turn is not None:
                raise ChatHasActiveTurn
    await tx.run("delete_connections_of_chat", tenant_id=tenant_id, chat_keys=keys)
    await tx.run("detach_chat", tenant_id=tenant_id, keys=keys)


async def _disown(tx: Cursor, tenant_id: Uid, chats: Sequence[Row]) -> None:
    """Chats with a UUID as id count no more for their owners."""
    owned = Counter(owner_id for _, _, _, owner_id, is_uuid in chats if is_uuid)
    if owned:
        ids = sorted(owned)
        await tx.rows("lock_owners", tenant_id=tenant_id, ids=ids)
        await tx.run("count_owned_chats", tenant_id=tenant_id, ids=ids, counts=[-owned[one] for one in ids])


async def _enqueue(tx: Cursor, tenant_id: Uid, kind: str, key: Uid, mode: str, is_small: bool) -> Deletion:
    """Note the deletion; the rows of a small one go at once, in the transaction of the detach."""
    deletion_id = new_uid7()
    await tx.run(
        "insert_deletion",
        tenant_id=tenant_id,
        id=deletion_id,
        kind=kind,
        target_key=key,
        mode=mode,
        now=tx.now,
    )
    lease = Lease(tenant_id, deletion_id)
    counts, is_done = "{}", not is_small
    while not is_done:
        step = await purge_some(tx, tenant_id, kind, key, _ALL_OF_A_SMALL_ONE)
        counts, is_done = await _count(tx, lease, counts, step), step.is_done
    return _deletion_of((await tx.rows("find_deletion", tenant_id=tenant_id, id=deletion_id))[0])


async def _count(tx: Cursor, lease: Lease, counts: str, step: PurgeStep) -> str:
    total = _COUNTS.decode(counts)
    for table, removed in step.removed.items():
        total[table] = total.get(table, 0) + removed
    text = msgspec.json.encode(total).decode()
    await tx.run("count_deleted", tenant_id=lease.tenant_id, id=lease.deletion_id, counts=text)
    if step.is_done:
        await tx.run("finish_deletion", tenant_id=lease.tenant_id, id=lease.deletion_id, now=tx.now)
    return text


def _deletion_of(row: Row) -> Deletion:
    columns = list(row)
    columns[9] = _COUNTS.decode(columns[9])
    return Deletion(*columns)
