"""The steps of a deletion in SQLite: each bounded, each idempotent, in the caller's transaction."""

from __future__ import annotations

from typing import Any

import msgspec

from antiphon.domain import limits
from antiphon.domain.deletions import (
    DETACHED,
    DETACHING,
    PARTICIPANT,
    PURGING,
    SCRUBBING,
    SESSION,
    TENANT,
    WAITING,
    Step,
)
from antiphon.domain.errors import ChatHasActiveConnections, ChatHasActiveTurn, NotFound
from antiphon.domain.ids import Uid
from antiphon.domain.messages import ASSISTANT
from antiphon.domain.times import micros_of
from antiphon.domain.webhooks import DELETION_DETACHED
from antiphon.stores.sqlite import detach
from antiphon.stores.sqlite.messages import place_of
from antiphon.stores.sqlite.purge import Budget, purge_some
from antiphon.stores.sqlite.writer import Transaction


class Job(msgspec.Struct):
    """A deletion that is held, and how far it has come. `cursor` is where the next step goes on.

    One that has an undo window is undoable from when it takes hold until the window ends.
    """

    tenant_id: Uid
    id: Uid
    kind: str
    target_key: Uid
    target_id: str
    state: str
    counts: dict[str, int]
    cursor: str | None
    has_window: bool = False
    is_undoable: bool = False


def take_step(tx: Transaction, job: Job, rows_max: int) -> Step:
    """Do what comes next, as far as a step goes."""
    if job.state == WAITING:
        return _stop_waiting(tx, job)
    if job.state == DETACHED:
        return _wait_for_undo(tx, job)
    if job.state == DETACHING:
        return _take_out(tx, job, rows_max)
    if job.state == PURGING:
        if job.kind == TENANT and _has_farewell(tx, job):
            return Step({}, PURGING, is_blocked=True)
        if files := _files(tx, job):
            return Step({}, PURGING, files=files)
        removed, is_done = purge_some(tx, job.tenant_id, job.kind, job.target_key, rows_max)
        return Step(removed, SCRUBBING if is_done else PURGING)
    return Step({}, job.state)


def _has_farewell(tx: Transaction, job: Job) -> bool:
    """Whether a tenant's webhooks are to be told of its end first: they go with it. Not for long."""
    whose = {
        "tenant_id": job.tenant_id,
        "event": DELETION_DETACHED,
        "patience": micros_of(limits.WEBHOOK_FAREWELL_SECONDS),
    }
    return tx.row("waiting_farewell", **whose) is not None


def _files(tx: Transaction, job: Job) -> tuple[tuple[Uid, str], ...]:
    """Some directories of sandboxes that must go before the rows that say where they are."""
    whose: dict[str, Any] = {"tenant_id": job.tenant_id, "limit": limits.SANDBOX_SWEEP_SANDBOXES}
    if job.kind == TENANT:
        rows = tx.rows("files_of_tenant", **whose)
    elif job.kind == PARTICIPANT:
        rows = tx.rows("files_of_owner", **whose, key=job.target_key)
    elif job.kind == SESSION:
        rows = tx.rows("files_of_session", **whose, key=job.target_key)
    else:
        return ()
    return tuple((session_key, place) for session_key, place in rows)


def _stop_waiting(tx: Transaction, job: Job) -> Step:
    """Detach when nothing is live any more. What is gone meanwhile needs nothing, unless an undo may put it back.

    Raises ChatIsLastOfSession.
    """
    try:
        doomed = detach.look(tx, job.tenant_id, job.kind, job.target_key)
    except NotFound:
        may_return = tx.row("may_come_back", tenant_id=job.tenant_id, key=job.target_key) is not None
        return Step({}, WAITING, is_blocked=True) if may_return else Step({}, SCRUBBING)
    try:
        detach.check_idle(tx, job.tenant_id, doomed)
    except (ChatHasActiveConnections, ChatHasActiveTurn):
        return Step({}, WAITING, is_blocked=True)
    row = tx.rows("find_deletion", tenant_id=job.tenant_id, id=job.id)[0]
    detach.take_hold(tx, job.tenant_id, doomed, detach.deletion_of(row), is_undoable=job.has_window)
    if job.has_window:
        return Step({}, DETACHED)
    return Step({}, DETACHING if job.kind == PARTICIPANT else PURGING)


def _wait_for_undo(tx: Transaction, job: Job) -> Step:
    """Nothing is removed within the window; own sessions of a participant that are left are detached even so."""
    if not job.is_undoable:
        return Step({}, DETACHING if job.kind == PARTICIPANT else PURGING)
    is_more = job.kind == PARTICIPANT and _free_own_sessions(tx, job)
    return Step({}, DETACHED, is_blocked=not is_more)


def _free_own_sessions(tx: Transaction, job: Job) -> bool:
    """Detach some sessions that a participant owns; whether there were any."""
    sessions = detach.own_sessions(tx, job.tenant_id, job.target_key)
    if sessions:
        chats = detach.chats_of(tx, job.tenant_id, sessions)
        detach.free_sessions(tx, job.tenant_id, sessions, chats, job.id, is_undoable=job.is_undoable)
    return bool(sessions)


def _take_out(tx: Transaction, job: Job, rows_max: int) -> Step:
    """Of a participant: own sessions that are left, then its words in the chats of others, one chat after the other."""
    if _free_own_sessions(tx, job):
        return Step({}, DETACHING)
    budget, looks = Budget(rows_max), limits.SILENCE_ROWS
    while budget.left > 0 and looks > 0:
        place = tx.row("place_elsewhere", tenant_id=job.tenant_id, participant_id=job.target_key)
        if place is None:
            return Step(budget.removed, PURGING)
        seen = _silence_next_chat(tx, job, place[0], budget)
        if seen is None:
            budget.spend("members", tx.run("purge_place", tenant_id=job.tenant_id, num=place[1]))
            job.cursor = None
        looks -= limits.SILENCE_CHAT_ROWS + (seen or 0)
    return Step(budget.removed, DETACHING)


def _silence_next_chat(tx: Transaction, job: Job, session_key: Uid, budget: Budget) -> int | None:
    """Take a participant's words out of a session's chat at the cursor: messages looked at, None for no such chat."""
    cursor = int(job.cursor or 0)
    chat = tx.row("chat_at", tenant_id=job.tenant_id, session_key=session_key, num=cursor >> detach.SEQ_BITS)
    if chat is None:
        return None
    num, key, last_seq = chat
    low, high = max(cursor, place_of(num, 1)), place_of(num, last_seq)
    seen = tx.rows("authors_between", tenant_id=job.tenant_id, low=low, high=high, limit=limits.SILENCE_ROWS)
    own = [(place, role) for place, author_id, role in seen if author_id == job.target_key][: budget.left]
    if own:
        _remove_messages(tx, job, key, own, place_of(num, 1), high, budget)
    if own and budget.left <= 0:
        job.cursor = str(own[-1][0] + 1)
    elif len(seen) == limits.SILENCE_ROWS:
        job.cursor = str(seen[-1][0] + 1)
    elif _forget_turns(tx, job, key, budget):
        job.cursor = str(place_of(num + 1, 0))
    return len(seen)


def _remove_messages(
    tx: Transaction, job: Job, chat_key: Uid, own: list[tuple[int, str]], low: int, high: int, budget: Budget
) -> None:
    """Remove some messages of a chat, with its counters; `low` and `high` are the chat's first and last place."""
    whose = {"tenant_id": job.tenant_id, "places": msgspec.json.encode([place for place, _ in own]).decode()}
    size = tx.rows("size_of_messages", **whose)[0][0]
    budget.spend("texts", tx.run("purge_texts", places=whose["places"]))
    budget.spend("message_vectors", tx.run("drop_vectors", **whose))
    removed = tx.run("purge_messages", **whose)
    span = {"tenant_id": job.tenant_id, "key": chat_key, "low": low, "high": high}
    tx.run("shrink_chat", count=removed, size=size, **span)
    if any(role == ASSISTANT for _, role in own):
        tx.run("find_last_answer", limit=limits.SILENCE_ROWS, **span)
    budget.spend("messages", removed)


def _forget_turns(tx: Transaction, job: Job, chat_key: Uid, budget: Budget) -> bool:
    """Some of the turns in which the participant spoke as the agent, and of the chat's kept answers; whether all.

    Both repeat its words.
    """
    whose = {
        "tenant_id": job.tenant_id,
        "chat_key": chat_key,
        "agent_name": job.target_id,
        "participant_id": job.target_key,
    }
    kept = {"tenant_id": job.tenant_id, "key": chat_key}
    return (
        budget.spend("turn_events", tx.run("purge_events_of_agent", limit=budget.left, **whose))
        and budget.spend("turns", tx.run("purge_turns_of_agent", limit=budget.left, **whose))
        and budget.spend("idempotency", tx.run("purge_idempotency_of_chat", limit=budget.left, **kept))
    )
