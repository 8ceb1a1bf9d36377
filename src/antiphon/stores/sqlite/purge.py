"""Which rows go with what, and in which order: children before parents, some at a time.

Each step removes what it finds, so a step that was done twice, or half of a purge, or two purges of one thing do no
harm.
"""

from __future__ import annotations

from antiphon.domain.deletions import CHAT, SESSION, PurgeStep
from antiphon.domain.ids import Uid
from antiphon.domain.limits import MESSAGES_PER_CHAT, PURGE_CHARACTERS
from antiphon.stores.sqlite.messages import place_of
from antiphon.stores.sqlite.writer import Transaction

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


def purge_some(tx: Transaction, tenant_id: Uid, kind: str, key: Uid, rows_max: int) -> PurgeStep:
    """Remove about `rows_max` rows of what was detached; `is_done` when nothing is left."""
    budget = _Budget(rows_max)
    if kind == CHAT:
        is_done = _purge_chat(tx, tenant_id, key, budget)
    elif kind == SESSION:
        is_done = _purge_session(tx, tenant_id, key, budget)
    else:
        is_done = _purge_tenant(tx, tenant_id, budget)
    return PurgeStep(budget.removed, is_done)


def _purge_chat(tx: Transaction, tenant_id: Uid, key: Uid, budget: _Budget) -> bool:
    row = tx.row("husk_of_chat", tenant_id=tenant_id, key=key)
    if row is None:
        return True
    low, high = place_of(row[0], 1), place_of(row[0], MESSAGES_PER_CHAT)
    limit = min(budget.left, max(1, PURGE_CHARACTERS // max(row[1], 1)))
    removed = tx.run("purge_messages_of_chat", tenant_id=tenant_id, low=low, high=high, limit=limit)
    if removed == limit:
        budget.spend("messages", removed)
        return False
    if not budget.spend("messages", removed):
        return False
    for table in ("reads", "connections"):
        if not budget.spend(table, tx.run(f"purge_{table}_of_chat", tenant_id=tenant_id, key=key, limit=budget.left)):
            return False
    budget.spend("chats", tx.run("purge_chat", tenant_id=tenant_id, key=key))
    return True


def _purge_session(tx: Transaction, tenant_id: Uid, key: Uid, budget: _Budget) -> bool:
    while (row := tx.row("husks_of_session", tenant_id=tenant_id, session_key=key)) is not None:
        if not _purge_chat(tx, tenant_id, row[0], budget) or budget.left <= 0:
            return False
    removed = tx.run("purge_members_of_session", tenant_id=tenant_id, key=key, limit=budget.left)
    if not budget.spend("members", removed):
        return False
    budget.spend("sessions", tx.run("purge_session", tenant_id=tenant_id, key=key))
    return True


def _purge_tenant(tx: Transaction, tenant_id: Uid, budget: _Budget) -> bool:
    for table in _OF_TENANT:
        removed = tx.run(f"purge_{table}_of_tenant", tenant_id=tenant_id, limit=budget.left)
        if not budget.spend(table, removed):
            return False
    budget.spend("tenants", tx.run("purge_tenant", tenant_id=tenant_id))
    return True
