"""Which rows go with what, and in which order: children before parents, some at a time.

Each step removes what it finds, so a step that was done twice, or half of a purge, or two purges of one thing do no
harm.
"""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.domain.deletions import CHAT, SESSION, PurgeStep
from antiphon.domain.ids import Uid
from antiphon.stores.postgres.database import Cursor

_OF_CHAT = ("messages", "reads", "connections")
_OF_TENANT = ("messages", "reads", "connections", "chats", "members", "sessions", "keys", "participants")


class _Budget:
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


async def purge_some(tx: Cursor, tenant_id: Uid, kind: str, key: Uid, rows_max: int) -> PurgeStep:
    """Remove up to `rows_max` rows of what was detached; `is_done` when nothing is left."""
    budget = _Budget(rows_max)
    if kind == CHAT:
        is_done = await _purge_chats(tx, tenant_id, [key], budget)
    elif kind == SESSION:
        is_done = await _purge_session(tx, tenant_id, key, budget)
    else:
        is_done = await _purge_tenant(tx, tenant_id, budget)
    return PurgeStep(budget.removed, is_done)


async def _purge_chats(tx: Cursor, tenant_id: Uid, keys: Sequence[Uid], budget: _Budget) -> bool:
    """Remove chats with all that hangs on them; false when the budget ended before that was certain."""
    for table in _OF_CHAT:
        removed = await tx.run(f"purge_{table}_of_chat", tenant_id=tenant_id, keys=keys, limit=budget.left)
        if not budget.spend(table, removed):
            return False
    part = keys[: budget.left]
    budget.spend("chats", await tx.run("purge_chat", tenant_id=tenant_id, keys=part))
    return len(part) == len(keys)


async def _purge_session(tx: Cursor, tenant_id: Uid, key: Uid, budget: _Budget) -> bool:
    while husks := await tx.rows("husks_of_session", tenant_id=tenant_id, session_key=key, limit=budget.left):
        if not await _purge_chats(tx, tenant_id, [row[0] for row in husks], budget) or budget.left <= 0:
            return False
    removed = await tx.run("purge_members_of_session", tenant_id=tenant_id, key=key, limit=budget.left)
    if not budget.spend("members", removed):
        return False
    budget.spend("sessions", await tx.run("purge_session", tenant_id=tenant_id, key=key))
    return True


async def _purge_tenant(tx: Cursor, tenant_id: Uid, budget: _Budget) -> bool:
    for table in _OF_TENANT:
        removed = await tx.run(f"purge_{table}_of_tenant", tenant_id=tenant_id, limit=budget.left)
        if not budget.spend(table, removed):
            return False
    budget.spend("tenants", await tx.run("purge_tenant", tenant_id=tenant_id))
    return True
