"""The undo in SQLite: what a detach has set free is put back, all of it or nothing, in the caller's transaction."""

from __future__ import annotations

from collections import Counter

import msgspec

from antiphon.domain import limits
from antiphon.domain.deletions import CHAT, PARTICIPANT, SESSION, TENANT
from antiphon.domain.errors import LimitExceeded, UndoIdTaken, UndoParentDeleted, UndoTooLate
from antiphon.domain.ids import Uid
from antiphon.domain.participants import PEER
from antiphon.domain.sessions import SINGLE
from antiphon.stores.sqlite.database import Row
from antiphon.stores.sqlite.writer import Transaction


def put_back(tx: Transaction, tenant_id: Uid, deletion_id: Uid) -> None:
    """End a deletion as undone. Raises what the port says."""
    if tx.run("call_off_deletion", tenant_id=tenant_id, id=deletion_id):
        return
    row = tx.row("undo_deletion", tenant_id=tenant_id, id=deletion_id)
    if row is None:
        raise UndoTooLate
    put_back_husk(tx, tenant_id, deletion_id, row[0])
    tx.run("remove_tombstones", tenant_id=tenant_id, deletion_id=deletion_id)


def put_back_husk(tx: Transaction, tenant_id: Uid, deletion_id: Uid, kind: str) -> None:
    """Give what is detached within that deletion's window its ids, and count it. Raises what the port says."""
    whose = {"tenant_id": tenant_id, "undo_of": deletion_id}
    if kind == TENANT:
        _put_back_tenant(tx, whose)
    elif tx.row("find_tenant", tenant_id=tenant_id) is None:
        raise UndoParentDeleted
    if tx.row("find_taken_id", **whose) is not None:
        raise UndoIdTaken
    participants = tx.rows("put_back_participants", **whose)
    tx.run("put_back_keys", **whose)
    sessions = tx.rows("put_back_sessions", **whose)
    chats = tx.rows("put_back_chats", **whose)
    if not {CHAT: chats, SESSION: sessions, PARTICIPANT: participants}.get(kind, True):
        raise UndoTooLate  # its rows have gone with what it belonged to
    if kind != TENANT:  # whose counters have not moved
        _check_owners(tx, tenant_id, {row[2] for row in (*sessions, *chats)})
        _count(tx, tenant_id, participants, sessions, chats)


def _put_back_tenant(tx: Transaction, whose: dict[str, Uid]) -> None:
    """Its name, with which its keys are good again."""
    row = tx.row("put_back_tenant", **whose)
    if row is None:
        raise UndoTooLate
    if tx.row("take_tenant_name", name=row[0], tenant_id=whose["tenant_id"]) is None:
        raise UndoIdTaken


def _check_owners(tx: Transaction, tenant_id: Uid, owners: set[Uid]) -> None:
    """Raise UndoParentDeleted when an owner is gone: what it owns would go with it soon after."""
    ids = msgspec.json.encode([owner.hex() for owner in owners]).decode()
    if tx.row("find_gone_owner", tenant_id=tenant_id, ids=ids) is not None:
        raise UndoParentDeleted


def _count(tx: Transaction, tenant_id: Uid, participants: list[Row], sessions: list[Row], chats: list[Row]) -> None:
    """Move all counters back that the detach has moved."""
    for kind, is_implied in participants:
        tx.row("count_peers" if kind == PEER else "count_scopes", tenant_id=tenant_id, by=0 if is_implied else 1)
    for shape, count in Counter(row[1] for row in sessions).items():
        tx.row("count_single" if shape == SINGLE else "count_multi", tenant_id=tenant_id, by=count)
    for owner_id, count in Counter(row[2] for row in chats if row[3]).items():
        tx.run("count_owned_chats", tenant_id=tenant_id, id=owner_id, by=count)
    whole = {row[0] for row in sessions}
    for session_key, count in Counter(row[1] for row in chats if row[1] not in whole).items():
        grown = tx.row("count_session_chats", tenant_id=tenant_id, key=session_key, by=count)
        if grown is None:
            raise UndoParentDeleted
        if grown[0] > limits.CHATS_PER_SESSION:
            raise LimitExceeded(f"a session has at most {limits.CHATS_PER_SESSION} chats")
