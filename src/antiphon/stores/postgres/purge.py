"""Which rows go with what, and in which order: children before parents, some at a time.

Each step removes what it finds, so a step that was done twice, or half of a purge, or two purges of one thing do no
harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from antiphon.domain.deletions import CHAT, PARTICIPANT, SESSION
from antiphon.domain.ids import Uid
from antiphon.domain.limits import CHATS_PER_SESSION
from antiphon.stores.graph import purged_with
from antiphon.stores.postgres.database import Cursor

_CHAT_AND_SESSION = 2


class Budget:
    """How many rows a step may still remove, and what it has removed."""

    def __init__(self, rows: int) -> None:
        self.left = rows
        self.removed: dict[str, int] = {}

    def spend(self, table: str, count: int) -> bool:
        """Note removed rows; whether there is room for more."""
        if count:
            self.removed[table] = self.removed.get(table, 0) + count
            self.left -= count
        return self.left > 0


async def purge_some(tx: Cursor, tenant_id: Uid, kind: str, key: Uid, rows_max: int) -> tuple[dict[str, int], bool]:
    """Remove up to `rows_max` rows of what was detached: how many of each table, and whether nothing is left."""
    budget = Budget(rows_max)
    if kind == CHAT:
        is_done = await _purge_chat(tx, tenant_id, key, budget)
    elif kind == SESSION:
        is_done = await _purge_sessions(tx, tenant_id, [key], budget)
    elif kind == PARTICIPANT:
        is_done = await _purge_participant(tx, tenant_id, key, budget)
    else:
        is_done = await _purge_tenant(tx, tenant_id, budget)
    return budget.removed, is_done


async def _purge_chat(tx: Cursor, tenant_id: Uid, key: Uid, budget: Budget) -> bool:
    """A chat, and with it its session when that is a husk without another chat."""
    row = await tx.row("husk_of_chat", tenant_id=tenant_id, key=key)
    if row is None:
        return True
    session_key = row[0]
    is_last = await tx.row("session_dies_with", tenant_id=tenant_id, session_key=session_key, key=key) is not None
    if not await _purge_tables(tx, "chat", budget, tenant_id=tenant_id, keys=[key]):
        return False
    if is_last and not await _purge_tables(tx, "session", budget, tenant_id=tenant_id, keys=[session_key]):
        return False
    if is_last and budget.left < _CHAT_AND_SESSION and budget.removed:
        return False  # they go together: a session alone would be found by nobody
    budget.spend("chats", await tx.run("purge_chat", tenant_id=tenant_id, keys=[key]))
    if is_last:
        budget.spend("sessions", await tx.run("purge_session", tenant_id=tenant_id, keys=[session_key]))
    return True


async def _purge_chats(tx: Cursor, tenant_id: Uid, keys: Sequence[Uid], budget: Budget) -> bool:
    """Remove chats with all that hangs on them; false when the budget ended before that was certain."""
    if not await _purge_tables(tx, "chat", budget, tenant_id=tenant_id, keys=keys):
        return False
    part = keys[: budget.left]
    budget.spend("chats", await tx.run("purge_chat", tenant_id=tenant_id, keys=part))
    return len(part) == len(keys)


async def _purge_sessions(tx: Cursor, tenant_id: Uid, keys: Sequence[Uid], budget: Budget) -> bool:
    """Remove sessions with their chats; false when the budget ended before that was certain."""
    while husks := await tx.rows("husks_of_session", tenant_id=tenant_id, session_keys=keys, limit=budget.left):
        if not await _purge_chats(tx, tenant_id, [row[0] for row in husks], budget) or budget.left <= 0:
            return False
    if not await _purge_tables(tx, "session", budget, tenant_id=tenant_id, keys=keys):
        return False
    part = keys[: budget.left]
    budget.spend("sessions", await tx.run("purge_session", tenant_id=tenant_id, keys=part))
    return len(part) == len(keys)


async def _purge_participant(tx: Cursor, tenant_id: Uid, key: Uid, budget: Budget) -> bool:
    """Own sessions, which are husks by now, then what hangs on the participant itself."""
    while husks := await tx.rows("husks_of_owner", tenant_id=tenant_id, owner_id=key, limit=budget.left):
        if not await _purge_sessions(tx, tenant_id, [row[0] for row in husks], budget) or budget.left <= 0:
            return False
    if not await _purge_tables(tx, "participant", budget, tenant_id=tenant_id, key=key):
        return False
    budget.spend("participants", await tx.run("purge_participant", tenant_id=tenant_id, key=key))
    return True


async def _purge_tenant(tx: Cursor, tenant_id: Uid, budget: Budget) -> bool:
    """First what a late writer could still find: its sessions, then its chats."""
    ids = {"tenant_id": tenant_id, "limit": CHATS_PER_SESSION, "undo_of": None}
    if await tx.rows("detach_sessions_of_tenant", **ids) or await tx.rows("detach_chats_of_tenant", **ids):
        return False
    if not await _purge_tables(tx, "tenant", budget, tenant_id=tenant_id):
        return False
    budget.spend("tenants", await tx.run("purge_tenant", tenant_id=tenant_id))
    return True


async def _purge_tables(tx: Cursor, target: str, budget: Budget, **whose: Any) -> bool:
    """Some rows of each table in turn; false when the budget ended before that was certain to be all."""
    for table in purged_with(target):
        removed = await tx.run(f"purge_{table}_of_{target}", limit=budget.left, **whose)
        if not budget.spend(table, removed):
            return False
    return True
