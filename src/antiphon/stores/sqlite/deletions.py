"""Deletions in SQLite: the detach, and the queue of purges."""

from __future__ import annotations

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
from antiphon.stores.sqlite.database import Row
from antiphon.stores.sqlite.file import File
from antiphon.stores.sqlite.purge import purge_some
from antiphon.stores.sqlite.writer import Transaction

_COUNTS = msgspec.json.Decoder(dict[str, int])


def _micros(seconds: float) -> int:
    return int(seconds * times.SECOND)


class SqliteDeletions:
    """`core.ports.DeletionStore`."""

    def __init__(self, file: File) -> None:
        self._file = file

    async def detach_chat(self, tenant_id: Uid, chat_key: Uid, mode: str, inline_messages: int) -> Detached:
        """See the port."""

        def operation(tx: Transaction) -> Detached:
            row = tx.row("chat_to_detach", tenant_id=tenant_id, key=chat_key)
            if row is None:
                raise ChatNotFound
            session_key, shape, chat_count, *chat = row
            if shape == SINGLE:
                return _detach_session(tx, tenant_id, session_key, mode, inline_messages)
            if chat_count <= 1:
                raise ChatIsLastOfSession
            tx.row("count_session_chats", tenant_id=tenant_id, key=session_key, by=-1)
            _detach_one(tx, tenant_id, (chat_key, *chat), mode)
            is_small = 0 < inline_messages >= chat[0]
            return Detached(_enqueue(tx, tenant_id, CHAT, chat_key, mode, is_small), (chat_key,))

        return await self._file.write(operation)

    async def detach_session(self, tenant_id: Uid, session_key: Uid, mode: str, inline_messages: int) -> Detached:
        """See the port."""
        return await self._file.write(lambda tx: _detach_session(tx, tenant_id, session_key, mode, inline_messages))

    async def detach_tenant(self, tenant_id: Uid) -> Detached:
        """See the port."""

        def operation(tx: Transaction) -> Detached:
            tenant = tx.row("find_tenant", tenant_id=tenant_id)
            if tenant is None:
                raise TenantNotFound
            if tx.rows("detach_tenant", tenant_id=tenant_id)[0][0]:
                raise TenantHasSessions
            tx.run("free_tenant_name", tenant_id=tenant_id, name=tenant[1])
            return Detached(_enqueue(tx, tenant_id, TENANT, tenant_id, CANCEL, is_small=False), ())

        return await self._file.write(operation)

    async def due(self) -> list[tuple[Uid, int]]:
        """See the port."""
        return [(tenant_id, run_after) for tenant_id, run_after in self._file.rows("due_deletions")]

    async def claim(self, tenant_id: Uid, node: Uid, lease_seconds: float) -> Lease | None:
        """See the port."""

        def operation(tx: Transaction) -> Lease | None:
            row = tx.row("claim_deletion", tenant_id=tenant_id, node=node, lease=_micros(lease_seconds))
            return Lease(tenant_id, row[0]) if row else None

        return await self._file.write(operation)

    async def step(self, lease: Lease, node: Uid, rows_max: int, lease_seconds: float) -> PurgeStep:
        """See the port."""

        def operation(tx: Transaction) -> PurgeStep:
            held = tx.row(
                "hold_deletion",
                tenant_id=lease.tenant_id,
                id=lease.deletion_id,
                node=node,
                lease=_micros(lease_seconds),
            )
            if held is None:
                raise NotFound
            kind, target_key, counts = held
            step = purge_some(tx, lease.tenant_id, kind, target_key, rows_max)
            _count(tx, lease, counts, step)
            return step

        return await self._file.write(operation)

    async def postpone(self, lease: Lease, node: Uid, error: str, delay_seconds: float) -> None:
        """See the port."""
        await self._file.write(
            lambda tx: tx.run(
                "postpone_deletion",
                tenant_id=lease.tenant_id,
                id=lease.deletion_id,
                node=node,
                error=error,
                delay=_micros(delay_seconds),
            )
        )

    async def release(self, node: Uid) -> None:
        """See the port."""
        await self._file.write(lambda tx: tx.run("release_deletions", node=node))

    async def find(self, tenant_id: Uid, deletion_id: Uid) -> Deletion | None:
        """See the port."""
        row = self._file.row("find_deletion", tenant_id=tenant_id, id=deletion_id)
        return _deletion_of(row) if row else None

    async def pending(self) -> tuple[int, int]:
        """See the port."""
        count, oldest = self._file.rows("pending_deletions")[0]
        return count, max(0, times.now() - oldest) if count else 0


def _detach_session(tx: Transaction, tenant_id: Uid, session_key: Uid, mode: str, inline_messages: int) -> Detached:
    row = tx.row("session_to_detach", tenant_id=tenant_id, key=session_key)
    if row is None:
        raise SessionNotFound
    chats = tx.rows("chats_to_detach", tenant_id=tenant_id, session_key=session_key)
    for chat in chats:
        _detach_one(tx, tenant_id, chat, mode)
    tx.run("detach_session", tenant_id=tenant_id, key=session_key)
    tx.row("count_single" if row[0] == SINGLE else "count_multi", tenant_id=tenant_id, by=-1)
    is_small = 0 < inline_messages >= sum(chat[1] for chat in chats)
    deletion = _enqueue(tx, tenant_id, SESSION, session_key, mode, is_small)
    return Detached(deletion, tuple(chat[0] for chat in chats))


def _detach_one(tx: Transaction, tenant_id: Uid, chat: Row, mode: str) -> None:
    """Check what is live on a chat, end it or refuse, and set its id free."""
    key, _, active_turn, owner_id, is_uuid = chat
    if mode != CANCEL:
        count, until = tx.rows("live_connections_of_chat", tenant_id=tenant_id, chat_key=key)[0]
        if count:
            raise ChatHasActiveConnections(count, until)
        if active_turn is not None:
            raise ChatHasActiveTurn
    tx.run("delete_connections_of_chat", tenant_id=tenant_id, chat_key=key)
    tx.run("detach_chat", tenant_id=tenant_id, key=key)
    if is_uuid:
        tx.run("count_owned_chats", tenant_id=tenant_id, id=owner_id, by=-1)


def _enqueue(tx: Transaction, tenant_id: Uid, kind: str, key: Uid, mode: str, is_small: bool) -> Deletion:
    """Note the deletion; the rows of a small one go at once, in the transaction of the detach."""
    deletion_id = new_uid7()
    tx.run(
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
        step = purge_some(tx, tenant_id, kind, key, _ALL_OF_A_SMALL_ONE)
        counts, is_done = _count(tx, lease, counts, step), step.is_done
    return _deletion_of(tx.rows("find_deletion", tenant_id=tenant_id, id=deletion_id)[0])


_ALL_OF_A_SMALL_ONE = 1_000


def _count(tx: Transaction, lease: Lease, counts: str, step: PurgeStep) -> str:
    total = _COUNTS.decode(counts)
    for table, removed in step.removed.items():
        total[table] = total.get(table, 0) + removed
    text = msgspec.json.encode(total).decode()
    tx.run("count_deleted", tenant_id=lease.tenant_id, id=lease.deletion_id, counts=text)
    if step.is_done:
        tx.run("finish_deletion", tenant_id=lease.tenant_id, id=lease.deletion_id, now=tx.now)
    return text


def _deletion_of(row: Row) -> Deletion:
    columns = list(row)
    columns[9] = _COUNTS.decode(columns[9])
    return Deletion(*columns)
