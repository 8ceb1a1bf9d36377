"""Which rows go with what, and in which order: children before parents, some at a time.

Each step removes what it finds, so a step that was done twice, or half of a purge, or two purges of one thing do no
harm.
"""

from __future__ import annotations

from typing import Any

from antiphon.domain.deletions import CHAT, PARTICIPANT, SESSION
from antiphon.domain.ids import Uid
from antiphon.domain.limits import CHATS_PER_SESSION, MESSAGES_PER_CHAT, PURGE_CHARACTERS
from antiphon.stores.graph import purged_with
from antiphon.stores.sqlite.messages import place_of
from antiphon.stores.sqlite.writer import Transaction

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


def purge_some(tx: Transaction, tenant_id: Uid, kind: str, key: Uid, rows_max: int) -> tuple[dict[str, int], bool]:
    """Remove about `rows_max` rows of what was detached: how many of each table, and whether nothing is left."""
    budget = Budget(rows_max)
    if kind == CHAT:
        is_done = _purge_chat(tx, tenant_id, key, budget)
    elif kind == SESSION:
        is_done = _purge_session(tx, tenant_id, key, budget)
    elif kind == PARTICIPANT:
        is_done = _purge_participant(tx, tenant_id, key, budget)
    else:
        is_done = _purge_tenant(tx, tenant_id, budget)
    return budget.removed, is_done


def _purge_chat(tx: Transaction, tenant_id: Uid, key: Uid, budget: Budget) -> bool:
    """A chat, and with it its session when that is a husk without another chat."""
    row = tx.row("husk_of_chat", tenant_id=tenant_id, key=key)
    if row is None:
        return True
    num, size, session_key = row
    whose = {"tenant_id": tenant_id, "key": key, "low": place_of(num, 1), "high": place_of(num, MESSAGES_PER_CHAT)}
    if not _purge_tables(tx, "chat", budget, PURGE_CHARACTERS // max(size, 1), **whose):
        return False
    is_last = tx.row("session_dies_with", tenant_id=tenant_id, session_key=session_key, key=key) is not None
    if is_last and not _purge_tables(tx, "session", budget, tenant_id=tenant_id, key=session_key):
        return False
    if is_last and budget.left < _CHAT_AND_SESSION and budget.removed:
        return False  # they go together: a session alone would be found by nobody
    budget.spend("chats", tx.run("purge_chat", tenant_id=tenant_id, key=key))
    if is_last:
        budget.spend("sessions", tx.run("purge_session", tenant_id=tenant_id, key=session_key))
    return True


def _purge_session(tx: Transaction, tenant_id: Uid, key: Uid, budget: Budget) -> bool:
    while (row := tx.row("husks_of_session", tenant_id=tenant_id, session_key=key)) is not None:
        if not _purge_chat(tx, tenant_id, row[0], budget) or budget.left <= 0:
            return False
    if not _purge_tables(tx, "session", budget, tenant_id=tenant_id, key=key):
        return False
    budget.spend("sessions", tx.run("purge_session", tenant_id=tenant_id, key=key))
    return True


def _purge_participant(tx: Transaction, tenant_id: Uid, key: Uid, budget: Budget) -> bool:
    """Own sessions, which are husks by now, then what hangs on the participant itself."""
    while (row := tx.row("husks_of_owner", tenant_id=tenant_id, owner_id=key)) is not None:
        if not _purge_session(tx, tenant_id, row[0], budget) or budget.left <= 0:
            return False
    if not _purge_tables(tx, "participant", budget, tenant_id=tenant_id, key=key):
        return False
    budget.spend("participants", tx.run("purge_participant", tenant_id=tenant_id, key=key))
    return True


def _purge_tenant(tx: Transaction, tenant_id: Uid, budget: Budget) -> bool:
    """The ids that the detach has left, then chat by chat, then what hangs on the tenant itself."""
    ids = {"tenant_id": tenant_id, "limit": CHATS_PER_SESSION, "undo_of": None}
    if tx.rows("detach_chats_of_tenant", **ids) or tx.rows("detach_sessions_of_tenant", **ids):
        return False
    while (row := tx.row("husks_of_tenant", tenant_id=tenant_id)) is not None:
        if not _purge_chat(tx, tenant_id, row[0], budget) or budget.left <= 0:
            return False
    if not _purge_tables(tx, "tenant", budget, tenant_id=tenant_id):
        return False
    budget.spend("tenants", tx.run("purge_tenant", tenant_id=tenant_id))
    return True


def _purge_tables(
    tx: Transaction, target: str, budget: Budget, messages_max: int = MESSAGES_PER_CHAT, **whose: Any
) -> bool:
    """Some rows of each table in turn; false when the budget ended before that was certain to be all.

    Of messages at most so many go, but one: a long one costs as much as many short ones.
    """
    for table in purged_with(target):
        limit = min(budget.left, max(1, messages_max)) if table == "messages" else budget.left
        removed = tx.run(f"purge_{table}_of_{target}", limit=limit, **whose)
        if not budget.spend(table, removed) or removed == limit:
            return False
    return True
