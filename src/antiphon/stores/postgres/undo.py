"""The undo in PostgreSQL: what a detach has set free is put back, all of it or nothing, in the caller's transaction.

The deletion is held first, then what the rows to be put back belong to, in the order of every other transaction (owners
and participants, sessions, chats, the tenant). Who takes one of the ids at the same moment meets a unique index, and
then this is done again and finds it taken.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from antiphon.domain import limits
from antiphon.domain.deletions import CHAT, PARTICIPANT, SESSION, TENANT
from antiphon.domain.errors import LimitExceeded, UndoIdTaken, UndoParentDeleted, UndoTooLate
from antiphon.domain.ids import Uid
from antiphon.domain.participants import PEER
from antiphon.domain.sessions import SINGLE
from antiphon.stores.postgres.database import Cursor, Row


async def put_back(tx: Cursor, tenant_id: Uid, deletion_id: Uid) -> None:
    """End a deletion as undone. Raises what the port says."""
    if await tx.run("call_off_deletion", tenant_id=tenant_id, id=deletion_id):
        return
    row = await tx.row("undo_deletion", tenant_id=tenant_id, id=deletion_id)
    if row is None:
        raise UndoTooLate
    await put_back_husk(tx, tenant_id, deletion_id, row[0])
    await tx.run("remove_tombstones", tenant_id=tenant_id, deletion_id=deletion_id)


async def put_back_husk(tx: Cursor, tenant_id: Uid, deletion_id: Uid, kind: str) -> None:
    """Give what is detached within that deletion's window its ids, and count it. Raises what the port says."""
    whose: dict[str, Any] = {"tenant_id": tenant_id, "undo_of": deletion_id}
    if kind != TENANT and await tx.row("find_tenant", tenant_id=tenant_id) is None:
        raise UndoParentDeleted
    owners = await tx.rows("hold_owners", **whose)
    await tx.rows("hold_parents", **whose)
    if await tx.row("find_taken_id", **whose) is not None:
        raise UndoIdTaken
    participants = await tx.rows("put_back_participants", **whose)
    await tx.run("put_back_keys", **whose)
    sessions = await tx.rows("put_back_sessions", **whose)
    chats = await tx.rows("put_back_chats", **whose)
    if not {CHAT: chats, SESSION: sessions, PARTICIPANT: participants}.get(kind, True):
        raise UndoTooLate  # its rows have gone with what it belonged to
    if kind == TENANT:
        await _put_back_tenant(tx, whose)
    else:
        if any(is_gone and undo_of != deletion_id for is_gone, undo_of in owners):
            raise UndoParentDeleted
        await _count(tx, tenant_id, participants, sessions, chats)


async def _put_back_tenant(tx: Cursor, whose: dict[str, Any]) -> None:
    """Its name, with which its keys are good again; its counters have not moved."""
    row = await tx.row("put_back_tenant", **whose)
    if row is None:
        raise UndoTooLate
    if await tx.row("take_tenant_name", name=row[0], tenant_id=whose["tenant_id"]) is None:
        raise UndoIdTaken


async def _count(tx: Cursor, tenant_id: Uid, participants: list[Row], sessions: list[Row], chats: list[Row]) -> None:
    """Move all counters back that the detach has moved."""
    whole = {row[0] for row in sessions}
    for session_key, count in sorted(Counter(row[1] for row in chats if row[1] not in whole).items()):
        grown = await tx.row("count_session_chats", tenant_id=tenant_id, key=session_key, by=count)
        if grown is None:
            raise UndoParentDeleted
        if grown[0] > limits.CHATS_PER_SESSION:
            raise LimitExceeded(f"a session has at most {limits.CHATS_PER_SESSION} chats")
    is_there: list[Row | None] = []
    for shape, count in sorted(Counter(row[1] for row in sessions).items()):
        statement = "count_single" if shape == SINGLE else "count_multi"
        is_there.append(await tx.row(statement, tenant_id=tenant_id, by=count))
    for kind, is_implied in participants:
        statement = "count_peers" if kind == PEER else "count_scopes"
        is_there.append(await tx.row(statement, tenant_id=tenant_id, by=0 if is_implied else 1))
    if None in is_there:
        raise UndoParentDeleted
    owned = Counter(row[2] for row in chats if row[3])
    if owned:
        ids = sorted(owned)
        await tx.run("count_owned_chats", tenant_id=tenant_id, ids=ids, counts=[owned[one] for one in ids])
