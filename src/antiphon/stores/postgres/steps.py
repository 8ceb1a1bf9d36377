"""The steps of a deletion in PostgreSQL: each bounded, each idempotent, in the caller's transaction."""

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
from antiphon.domain.webhooks import DELETION_DETACHED
from antiphon.stores.postgres import detach
from antiphon.stores.postgres.database import Cursor
from antiphon.stores.postgres.purge import Budget, purge_some

_FIRST_KEY = bytes(16)


class Job(msgspec.Struct):
    """A deletion that is held, and how far it has come. `cursor` is where the next step goes on.

    One that has an undo window is undoable from when it takes hold until the window ends.
    """

    tenant_id: Uid
    id: Uid
    kind: str
    target_key: Uid
    target_id: str | None
    state: str
    counts: dict[str, int]
    cursor: str | None
    has_window: bool = False
    is_undoable: bool = False


async def take_step(tx: Cursor, job: Job, rows_max: int) -> Step:
    """Do what comes next, as far as a step goes."""
    if job.state == WAITING:
        return await _stop_waiting(tx, job)
    if job.state == DETACHED:
        return await _wait_for_undo(tx, job)
    if job.state == DETACHING:
        return await _take_out(tx, job, rows_max)
    if job.state == PURGING:
        if job.kind == TENANT and await _has_farewell(tx, job):
            return Step({}, PURGING, is_blocked=True)
        if files := await _files(tx, job):
            return Step({}, PURGING, files=files)
        removed, is_done = await purge_some(tx, job.tenant_id, job.kind, job.target_key, rows_max)
        return Step(removed, SCRUBBING if is_done else PURGING)
    return Step({}, job.state)


async def _has_farewell(tx: Cursor, job: Job) -> bool:
    """Whether a tenant's webhooks are to be told of its end first: they go with it. Not for long."""
    whose = {"tenant_id": job.tenant_id, "event": DELETION_DETACHED, "patience": limits.WEBHOOK_FAREWELL_SECONDS}
    return await tx.row("waiting_farewell", **whose) is not None


async def _files(tx: Cursor, job: Job) -> tuple[tuple[Uid, str], ...]:
    """Some directories of sandboxes that must go before the rows that say where they are."""
    whose: dict[str, Any] = {"tenant_id": job.tenant_id, "limit": limits.SANDBOX_SWEEP_SANDBOXES}
    if job.kind == TENANT:
        rows = await tx.rows("files_of_tenant", **whose)
    elif job.kind == PARTICIPANT:
        rows = await tx.rows("files_of_owner", **whose, key=job.target_key)
    elif job.kind == SESSION:
        rows = await tx.rows("files_of_session", **whose, key=job.target_key)
    else:
        return ()
    return tuple((session_key, place) for session_key, place in rows)


async def _stop_waiting(tx: Cursor, job: Job) -> Step:
    """Detach when nothing is live any more. What is gone meanwhile needs nothing, unless an undo may put it back.

    Raises ChatIsLastOfSession.
    """
    try:
        doomed = await detach.look(tx, job.tenant_id, job.kind, job.target_key, is_held=True)
    except NotFound:
        may_return = await tx.row("may_come_back", tenant_id=job.tenant_id, key=job.target_key) is not None
        return Step({}, WAITING, is_blocked=True) if may_return else Step({}, SCRUBBING)
    try:
        await detach.check_idle(tx, job.tenant_id, doomed)
    except (ChatHasActiveConnections, ChatHasActiveTurn):
        return Step({}, WAITING, is_blocked=True)
    row = (await tx.rows("find_deletion", tenant_id=job.tenant_id, id=job.id))[0]
    secret = doomed.secret or await detach.secret_of(tx, job.tenant_id)
    deletion = detach.deletion_of(row)
    await detach.take_hold(tx, job.tenant_id, secret, doomed, deletion, is_undoable=job.has_window)
    if job.has_window:
        return Step({}, DETACHED)
    return Step({}, DETACHING if job.kind == PARTICIPANT else PURGING)


async def _wait_for_undo(tx: Cursor, job: Job) -> Step:
    """Nothing is removed within the window; own sessions of a participant that are left are detached even so."""
    if not job.is_undoable:
        return Step({}, DETACHING if job.kind == PARTICIPANT else PURGING)
    is_more = job.kind == PARTICIPANT and await _free_own_sessions(tx, job)
    return Step({}, DETACHED, is_blocked=not is_more)


async def _free_own_sessions(tx: Cursor, job: Job) -> bool:
    """Detach some sessions that a participant owns; whether there were any."""
    sessions = await detach.own_sessions(tx, job.tenant_id, job.target_key, is_held=True)
    if sessions:
        chats = await detach.chats_of(tx, job.tenant_id, sessions, is_held=True)
        secret = await detach.secret_of(tx, job.tenant_id)
        await detach.free_sessions(tx, job.tenant_id, secret, sessions, chats, job.id, is_undoable=job.is_undoable)
    return bool(sessions)


async def _take_out(tx: Cursor, job: Job, rows_max: int) -> Step:
    """Of a participant: own sessions that are left, then its words in the chats of others, one chat after the other."""
    if await _free_own_sessions(tx, job):
        return Step({}, DETACHING)
    whose = {"tenant_id": job.tenant_id, "participant_id": job.target_key}
    places = await tx.rows("places_elsewhere", **whose, limit=rows_max)
    if not places:
        return Step({}, PURGING)
    budget = Budget(rows_max)
    over = [session_key for session_key, is_there in places if not is_there]
    if not over and await _silence_in_session(tx, job, places[0][0], budget):
        over, job.cursor = [places[0][0]], None
    if over:
        budget.spend("members", await tx.run("purge_place", **whose, session_keys=over))
    return Step(budget.removed, DETACHING)


async def _silence_in_session(tx: Cursor, job: Job, session_key: Uid, budget: Budget) -> bool:
    """Take a participant's messages out of the next chat of a session, under its lock; whether no chat is left.

    A chat is left behind when a step of its own has found nothing new in it: who waited for the lock with a view from
    before the detach has had it by then.
    """
    at_key, at_seq = _place_of(job.cursor)
    chat = await tx.row("chat_at", tenant_id=job.tenant_id, session_key=session_key, key=at_key)
    if chat is None:
        return True
    key, last_seq = chat
    low = at_seq if key == at_key else 1
    if key == at_key and low > last_seq:
        if await _forget_turns(tx, job, key, budget):
            job.cursor = _cursor_of(_key_after(key), 1)
        return False
    whose = {"tenant_id": job.tenant_id, "key": key}
    high, limit = min(last_seq, low + limits.SILENCE_ROWS - 1), budget.left
    gone = await tx.rows("purge_messages", **whose, author_id=job.target_key, low=low, high=high, limit=limit)
    if gone:
        budget.spend("texts", await tx.run("purge_texts", **whose, seqs=[seq for seq, _ in gone]))
        await tx.run("shrink_chat", **whose, count=len(gone))
        budget.spend("messages", len(gone))
        dropped = await tx.run("drop_vectors", **whose, seqs=[seq for seq, _ in gone])
        budget.spend("message_vectors", dropped)
    if any(role == ASSISTANT for _, role in gone):
        await tx.run("find_last_answer", **whose, limit=limits.SILENCE_ROWS)
    job.cursor = _cursor_of(key, 1 + (max(seq for seq, _ in gone) if len(gone) >= limit else high))
    return False


async def _forget_turns(tx: Cursor, job: Job, chat_key: Uid, budget: Budget) -> bool:
    """Some of the turns in which the participant spoke as the agent, and of the chat's kept answers; whether all.

    Both repeat its words.
    """
    whose: dict[str, Any] = {
        "tenant_id": job.tenant_id,
        "chat_key": chat_key,
        "agent_name": job.target_id,
        "participant_id": job.target_key,
    }
    removed = await tx.run("purge_events_of_agent", **whose, limit=budget.left)
    if not budget.spend("turn_events", removed):
        return False
    if not budget.spend("turns", await tx.run("purge_turns_of_agent", **whose, limit=budget.left)):
        return False
    kept = {"tenant_id": job.tenant_id, "keys": [chat_key]}
    return budget.spend("idempotency", await tx.run("purge_idempotency_of_chat", **kept, limit=budget.left))


def _cursor_of(key: Uid, seq: int) -> str:
    return f"{key.hex()}:{seq}"


def _place_of(cursor: str | None) -> tuple[Uid, int]:
    """The chat and the place in it from which to go on."""
    if cursor is None:
        return _FIRST_KEY, 1
    key, _, seq = cursor.partition(":")
    return bytes.fromhex(key), int(seq)


def _key_after(key: Uid) -> Uid:
    return (int.from_bytes(key) + 1).to_bytes(len(key))
