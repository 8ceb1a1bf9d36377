"""The detach in PostgreSQL: the guards, the ids set free, the tombstones and the job, in the caller's transaction.

Locks are taken in one order everywhere: sessions, chats, tenant, participants, each kind in the order of its keys. So
what is decided by reading (the last chat, what is live) stays true until the commit, and no two wait for each other.
A participant that is deleted, or that something is made for, is held first of all; should such two ever wait for each
other, the server undoes one, which is then done again.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import msgspec

from antiphon.core.ports import Detached
from antiphon.domain import limits
from antiphon.domain.deletions import (
    AFTER,
    CHAT,
    DETACHED,
    DETACHING,
    PARTICIPANT,
    PURGING,
    REFUSE,
    SESSION,
    TENANT,
    WAITING,
    Blocker,
    ChatCount,
    Deletion,
    Order,
    Survey,
    digest_of_surveys,
)
from antiphon.domain.errors import (
    ChatHasActiveConnections,
    ChatHasActiveTurn,
    ChatIsLastOfSession,
    ChatNotFound,
    ParticipantNotFound,
    PlanChanged,
    SessionNotFound,
    TenantNotFound,
)
from antiphon.domain.ids import Uid, new_uid7, parse_uuid, text_of
from antiphon.domain.imports import NOBODY
from antiphon.domain.participants import PEER
from antiphon.domain.receipts import DELETION_PREFIX, NO_PREVIOUS, digest_of
from antiphon.domain.sessions import SINGLE
from antiphon.stores.graph import plan_query
from antiphon.stores.postgres.database import Cursor, Row
from antiphon.stores.postgres.webhooks import enqueue_event

_CONNECTION, _LAST_CHAT = "connection", "last_chat"


class DoomedChat(msgspec.Struct, frozen=True):
    """A chat that goes."""

    key: Uid
    id: str
    message_count: int
    last_seq: int
    owner_id: Uid
    is_uuid: bool


class DoomedSession(msgspec.Struct, frozen=True):
    """A session that goes."""

    key: Uid
    id: str
    shape: str


class Doomed(msgspec.Struct, frozen=True):
    """All that goes with a target: what it is called, its sessions and its chats.

    `shrinks` is the `multi` session that keeps going with one chat less; `secret` what digests are keyed by, where it
    was read along; `session_count` how many sessions a tenant has, `counted` those and its participants; `what`
    the kind of a participant, the name of a tenant.
    """

    kind: str
    key: Uid
    id: str
    sessions: Sequence[DoomedSession] = ()
    chats: Sequence[DoomedChat] = ()
    is_last_chat: bool = False
    shrinks: Uid | None = None
    secret: bytes | None = None
    session_count: int = 0
    counted: int = 0
    what: str = ""

    @property
    def chat_keys(self) -> tuple[Uid, ...]:
        """The keys of the chats."""
        return tuple(chat.key for chat in self.chats)

    @property
    def message_count(self) -> int:
        """How many messages go."""
        return sum(chat.message_count for chat in self.chats)


async def look(tx: Cursor, tenant_id: Uid, kind: str, key: Uid, *, is_held: bool) -> Doomed:
    """What goes with a target, as it stands; what is held stays so until the commit. Raises the kind's NotFound.

    A participant is held first of all: who makes something for it waits before holding anything else. A tenant is not
    held: its lock comes after those of what belongs to it.
    """
    if kind == CHAT:
        return await _look_at_chat(tx, tenant_id, key, is_held)
    if kind == SESSION:
        statement = "hold_session_to_detach" if is_held else "session_to_detach"
        row = await tx.row(statement, tenant_id=tenant_id, key=key)
        if row is None:
            raise SessionNotFound
        session = DoomedSession(*list(row)[:3])
        chats = await chats_of(tx, tenant_id, [session], is_held=is_held)
        return Doomed(SESSION, key, session.id, [session], chats, secret=row[3] if is_held else None)
    if kind == PARTICIPANT:
        statement = "hold_participant_to_detach" if is_held else "participant_to_detach"
        row = await tx.row(statement, tenant_id=tenant_id, id=key)
        if row is None:
            raise ParticipantNotFound
        sessions = await own_sessions(tx, tenant_id, key, is_held=is_held)
        chats = await chats_of(tx, tenant_id, sessions, is_held=is_held)
        return Doomed(PARTICIPANT, key, row[0], sessions, chats, what=row[1])
    row = await tx.row("tenant_to_detach", tenant_id=tenant_id)
    if row is None:
        raise TenantNotFound
    name, session_count, counted, secret = row
    return Doomed(
        TENANT,
        tenant_id,
        text_of(tenant_id),
        secret=secret,
        what=name,
        session_count=session_count,
        counted=counted,
    )


async def _look_at_chat(tx: Cursor, tenant_id: Uid, key: Uid, is_held: bool) -> Doomed:
    row = await tx.row("hold_chat_to_detach" if is_held else "chat_to_detach", tenant_id=tenant_id, key=key)
    if row is None:
        raise ChatNotFound
    chat = DoomedChat(*list(row)[:6])
    session_key, session_id, shape, chat_count, *rest = list(row)[6:]
    secret = rest[0] if rest else None
    if shape == SINGLE:
        session = DoomedSession(session_key, session_id, shape)
        return Doomed(CHAT, key, chat.id, [session], [chat], secret=secret)
    return Doomed(CHAT, key, chat.id, (), [chat], chat_count <= 1, session_key, secret)


async def own_sessions(
    tx: Cursor, tenant_id: Uid, owner_id: Uid, *, is_held: bool, is_planned: bool = False
) -> list[DoomedSession]:
    """Sessions that a participant owns: as many as a plan counts, or as go at once; the others go in later steps."""
    sessions_max = limits.PLAN_SESSIONS if is_planned else limits.DETACH_SESSIONS
    chats_max = limits.PLAN_CHATS if is_planned else limits.CHATS_PER_SESSION
    statement = "hold_sessions_to_detach" if is_held else "sessions_to_detach"
    rows = await tx.rows(statement, tenant_id=tenant_id, owner_id=owner_id, limit=sessions_max)
    chats = accumulate(row[3] for row in rows)
    return [
        DoomedSession(*list(row)[:3])
        for i, (row, total) in enumerate(zip(rows, chats, strict=True))
        if i == 0 or total <= chats_max
    ]


async def chats_of(tx: Cursor, tenant_id: Uid, sessions: Sequence[DoomedSession], *, is_held: bool) -> list[DoomedChat]:
    """The chats that go with some sessions."""
    if not sessions:
        return []
    keys = [session.key for session in sessions]
    rows = await tx.rows(
        "hold_chats_to_detach" if is_held else "chats_to_detach", tenant_id=tenant_id, session_keys=keys
    )
    return [DoomedChat(*row) for row in rows]


async def survey(tx: Cursor, tenant_id: Uid, doomed: Doomed) -> Survey:
    """The doomed in numbers: of each table what the graph says, of a participant with more sessions than go at once."""
    if doomed.kind == PARTICIPANT:
        sessions = await own_sessions(tx, tenant_id, doomed.key, is_held=False, is_planned=True)
        own = await chats_of(tx, tenant_id, sessions, is_held=False)
        doomed = msgspec.structs.replace(doomed, sessions=sessions, chats=own)
    chats = [ChatCount(chat.id, chat.last_seq, chat.message_count) for chat in doomed.chats]
    counts = {"chats": len(chats), "sessions": len(doomed.sessions), "messages": doomed.message_count}
    if doomed.kind == PARTICIPANT:
        chats += await _survey_elsewhere(tx, tenant_id, doomed.key, counts)
    if doomed.kind == TENANT:
        chats = [ChatCount(*row) for row in await tx.rows("chats_of_tenant", tenant_id=tenant_id)]
        counts = {"chats": len(chats), "messages": sum(chat.message_count for chat in chats)}
    tables, query = plan_query(doomed.kind, _among)
    keys = {"chats": doomed.chat_keys, "sessions": [session.key for session in doomed.sessions]}
    values = {**keys, "participants": [doomed.key]}
    counts |= zip(tables, (await tx.ask(query, tenant_id=tenant_id, **values))[0], strict=True)
    counted = {table: count for table, count in sorted(counts.items()) if count}
    return Survey(doomed.kind, doomed.id, tuple(chats), counted, await _blockers(tx, tenant_id, doomed))


def _among(column: str, table: str) -> str:
    return f"{column} = ANY (CAST(:{table} AS uuid[]))"


async def _survey_elsewhere(tx: Cursor, tenant_id: Uid, participant_id: Uid, counts: dict[str, int]) -> list[ChatCount]:
    """The chats of others where a participant has a place; its words there are counted where that is soon done."""
    whose = {"tenant_id": tenant_id, "participant_id": participant_id}
    chats = [ChatCount(*row) for row in await tx.rows("chats_elsewhere", **whose)]
    counts |= {"participants": 1, "chats_elsewhere": len(chats)}
    if sum(chat.message_count for chat in chats) <= limits.PLAN_MESSAGES_READ:
        counts["messages_elsewhere"] = (await tx.rows("count_words_elsewhere", **whose))[0][0]
    return chats


async def _blockers(tx: Cursor, tenant_id: Uid, doomed: Doomed) -> tuple[Blocker, ...]:
    """What stands in the way: the last chat, then sockets, then turns, each by their age."""
    if doomed.kind == TENANT:
        rows = await tx.rows("blockers_of_tenant", tenant_id=tenant_id)
    else:
        rows = await tx.rows("blockers_of_chats", tenant_id=tenant_id, keys=doomed.chat_keys)
    if doomed.kind == PARTICIPANT:
        rows += await tx.rows(
            "blockers_elsewhere",
            tenant_id=tenant_id,
            participant_id=doomed.key,
            agent_name=doomed.id,
            keys=doomed.chat_keys,
        )
    last = [Blocker(_LAST_CHAT, doomed.id, None)] if doomed.is_last_chat else []
    return (*last, *(Blocker(kind, text_of(uid), until) for kind, uid, until in sorted(map(tuple, rows))))


async def detach(tx: Cursor, tenant_id: Uid, doomed: Doomed, order: Order) -> Detached:
    """Check the guards, set the ids free and note the job; in the mode `after` something live makes it wait."""
    if order.if_digest is not None and digest_of_surveys((await survey(tx, tenant_id, doomed),)) != order.if_digest:
        raise PlanChanged
    if doomed.is_last_chat:
        raise ChatIsLastOfSession
    blockers = () if order.mode not in (REFUSE, AFTER) else await _blockers(tx, tenant_id, doomed)
    if blockers and order.mode == REFUSE:
        refuse(blockers)
    secret = doomed.secret or await secret_of(tx, tenant_id)
    if blockers:
        return Detached(await _note(tx, tenant_id, secret, doomed, order, WAITING), ())
    deletion = await _note(tx, tenant_id, secret, doomed, order, _first_state(doomed, order))
    keys = await take_hold(tx, tenant_id, secret, doomed, deletion, is_undoable=order.undo_seconds > 0)
    return Detached(deletion, keys)


async def check_idle(tx: Cursor, tenant_id: Uid, doomed: Doomed) -> None:
    """Raise ChatHasActiveConnections or ChatHasActiveTurn when something is live, and ChatIsLastOfSession."""
    if doomed.is_last_chat:
        raise ChatIsLastOfSession
    if blockers := await _blockers(tx, tenant_id, doomed):
        refuse(blockers)


def refuse(blockers: Sequence[Blocker]) -> None:
    """Raise what says why: sockets first, then turns."""
    sockets = [blocker for blocker in blockers if blocker.kind == _CONNECTION]
    if sockets:
        raise ChatHasActiveConnections(len(sockets), max(blocker.until or 0 for blocker in sockets))
    raise ChatHasActiveTurn(parse_uuid(blockers[0].id))


def _first_state(doomed: Doomed, order: Order) -> str:
    if order.undo_seconds:
        return DETACHED
    return DETACHING if doomed.kind == PARTICIPANT else PURGING


async def take_hold(
    tx: Cursor, tenant_id: Uid, secret: bytes, doomed: Doomed, deletion: Deletion, *, is_undoable: bool
) -> tuple[Uid, ...]:
    """Set everything free that a client could name, and write down that it was deleted; the keys of its chats."""
    undo_of = deletion.id if is_undoable else None
    chat_keys = doomed.chat_keys
    if doomed.kind == PARTICIPANT:
        await _silence_agent(tx, tenant_id, doomed.id)
    if doomed.shrinks is not None:
        await tx.run("count_session_chats", tenant_id=tenant_id, key=doomed.shrinks, by=-1)
    await free_sessions(
        tx, tenant_id, secret, doomed.sessions, doomed.chats, deletion.id, [doomed], is_undoable=is_undoable
    )
    if doomed.kind == PARTICIPANT:
        await _free_participant(tx, tenant_id, doomed, undo_of)
    elif doomed.kind == TENANT:
        chat_keys = await _free_tenant(tx, tenant_id, doomed.what, undo_of)
    await announce(tx, "deletion.detached", deletion)
    return chat_keys


async def announce(tx: Cursor, event: str, deletion: Deletion) -> None:
    """Tell the tenant's webhooks of a deletion, by ids of ours and digests only."""
    target = {"kind": deletion.kind, "digest": deletion.target_digest}
    body = {"deletion": f"{DELETION_PREFIX}{text_of(deletion.id)}", "target": target, "mode": deletion.mode}
    await enqueue_event(tx, deletion.tenant_id, event, msgspec.json.encode(body).decode())


async def free_sessions(
    tx: Cursor,
    tenant_id: Uid,
    secret: bytes,
    sessions: Sequence[DoomedSession],
    chats: Sequence[DoomedChat],
    deletion_id: Uid,
    others: Sequence[Doomed] = (),
    *,
    is_undoable: bool = False,
) -> None:
    """Set the ids of sessions and chats that are held free, with the counters, the sockets and the tombstones."""
    whose: dict[str, Any] = {"tenant_id": tenant_id, "undo_of": deletion_id if is_undoable else None}
    if sessions:
        await tx.run("detach_sessions", **whose, keys=[session.key for session in sessions])
    if chats:
        await tx.run("detach_chats", **whose, keys=[chat.key for chat in chats])
    await _bury(
        tx,
        tenant_id,
        secret,
        deletion_id,
        {
            **{(other.kind, other.key): other.id for other in others},
            **{(SESSION, session.key): session.id for session in sessions},
            **{(CHAT, chat.key): chat.id for chat in chats},
        },
    )
    single = sum(session.shape == SINGLE for session in sessions)
    if single:
        await tx.row("count_single", tenant_id=tenant_id, by=-single)
    if len(sessions) > single:
        await tx.row("count_multi", tenant_id=tenant_id, by=single - len(sessions))
    await _disown(tx, tenant_id, chats)


async def _disown(tx: Cursor, tenant_id: Uid, chats: Sequence[DoomedChat]) -> None:
    """Chats with a UUID as id count no more for their owners."""
    owned = Counter(chat.owner_id for chat in chats if chat.is_uuid)
    ids = sorted(owned)
    if len(ids) > 1:
        await tx.rows("lock_owners", tenant_id=tenant_id, ids=ids)
    if ids:
        await tx.run("count_owned_chats", tenant_id=tenant_id, ids=ids, counts=[-owned[one] for one in ids])


async def _silence_agent(tx: Cursor, tenant_id: Uid, name: str) -> None:
    """End what a participant is saying as an agent, under the locks of the chats."""
    rows = await tx.rows("chats_of_agent", tenant_id=tenant_id, agent_name=name)
    if rows:
        keys = [row[0] for row in rows]
        await tx.run("end_turns_of_agent", tenant_id=tenant_id, agent_name=name, keys=keys, now=tx.now)


async def _free_participant(tx: Cursor, tenant_id: Uid, doomed: Doomed, undo_of: Uid | None) -> None:
    """Its name and keys, and its sockets."""
    freed = await tx.row("detach_participant", tenant_id=tenant_id, id=doomed.key, undo_of=undo_of)
    if freed is not None and not freed[0]:
        await tx.row("count_peers" if doomed.what == PEER else "count_scopes", tenant_id=tenant_id, by=-1)
    await tx.run("forget_names_in_imports", tenant_id=tenant_id, who=f':"{doomed.key.hex()}"', nobody=NOBODY)
    whose: dict[str, Any] = {"tenant_id": tenant_id, "participant_id": doomed.key}
    await tx.run("revoke_keys_of_participant", **whose, now=tx.now, undo_of=undo_of)
    await tx.run("drop_connections_of_participant", tenant_id=tenant_id, participant_id=doomed.key)


async def _free_tenant(tx: Cursor, tenant_id: Uid, name: str, undo_of: Uid | None) -> tuple[Uid, ...]:
    """Its name, with which its keys end, and as many ids as a session may have: late writers know them for a moment."""
    ids: dict[str, Any] = {"tenant_id": tenant_id, "limit": limits.CHATS_PER_SESSION, "undo_of": undo_of}
    await tx.rows("detach_sessions_of_tenant", **ids)
    chats = await tx.rows("detach_chats_of_tenant", **ids)
    await tx.run("drop_connections_of_tenant", tenant_id=tenant_id)
    if not await tx.run("detach_tenant", tenant_id=tenant_id, undo_of=undo_of):
        raise TenantNotFound
    await tx.run("free_tenant_name", tenant_id=tenant_id, name=name)
    return tuple(row[0] for row in chats)


async def secret_of(tx: Cursor, tenant_id: Uid) -> bytes:
    """What digests of ids are keyed by."""
    secret: bytes | None = (await tx.rows("digest_secret", tenant_id=tenant_id))[0][0]
    if secret is None:
        secret = (await tx.rows("make_digest_secret", tenant_id=tenant_id, secret=os.urandom(32)))[0][0]
    return secret


async def _bury(tx: Cursor, tenant_id: Uid, secret: bytes, deletion_id: Uid, dead: dict[tuple[str, Uid], str]) -> None:
    if not dead:
        return
    await tx.run(
        "insert_tombstones",
        tenant_id=tenant_id,
        deletion_id=deletion_id,
        now=tx.now,
        kinds=[kind for kind, _ in dead],
        keys=[key for _, key in dead],
        digests=[digest_of(secret, kind, name) for (kind, _), name in dead.items()],
    )


async def _note(tx: Cursor, tenant_id: Uid, secret: bytes, doomed: Doomed, order: Order, state: str) -> Deletion:
    """The job; it is told to the tenant's chain of receipts, too, while its digest can still be made."""
    values: dict[str, Any] = {
        "tenant_digest": digest_of(secret, TENANT, text_of(tenant_id)),
        "hash": NO_PREVIOUS,
        "target_digest": digest_of(secret, doomed.kind, doomed.id),
        "detached_at": None if state == WAITING or doomed.kind == PARTICIPANT else tx.now,
        "undo_seconds": order.undo_seconds,
        "total": doomed.message_count + len(doomed.chats) + len(doomed.sessions) + doomed.counted,
    }
    rows = await tx.rows(
        "insert_deletion",
        tenant_id=tenant_id,
        id=new_uid7(),
        kind=doomed.kind,
        target_key=doomed.key,
        target_id=doomed.id,
        mode=order.mode,
        reason=order.reason,
        state=state,
        now=tx.now,
        **values,
    )
    return deletion_of(rows[0])


_COUNTS = msgspec.json.Decoder(dict[str, int])
_COUNTS_COLUMN = list(Deletion.__struct_fields__).index("counts")


def deletion_of(row: Row) -> Deletion:
    """A row of the statements that read deletions."""
    columns = list(row)
    columns[_COUNTS_COLUMN] = _COUNTS.decode(columns[_COUNTS_COLUMN])
    return Deletion(*columns)
