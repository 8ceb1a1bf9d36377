"""The detach in SQLite: the guards, the ids set free, the tombstones and the job, in the caller's transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

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
    TenantHasSessions,
    TenantNotFound,
)
from antiphon.domain.ids import Uid, new_uid7, parse_uuid, text_of
from antiphon.domain.imports import NOBODY
from antiphon.domain.participants import PEER
from antiphon.domain.receipts import DELETION_PREFIX, digest_of
from antiphon.domain.sessions import SINGLE
from antiphon.domain.times import micros_of
from antiphon.stores.graph import plan_query
from antiphon.stores.sqlite.database import Cursor, Row
from antiphon.stores.sqlite.receipts import open_chain
from antiphon.stores.sqlite.webhooks import enqueue_event
from antiphon.stores.sqlite.writer import Transaction

SEQ_BITS = 23


class DoomedChat(NamedTuple):
    """A chat that goes."""

    key: Uid
    id: str
    message_count: int
    last_seq: int
    owner_id: Uid
    is_uuid: int


class DoomedSession(NamedTuple):
    """A session that goes."""

    key: Uid
    id: str
    shape: str


class Doomed(NamedTuple):
    """All that goes with a target: what it is called, its sessions and its chats."""

    kind: str
    key: Uid
    id: str
    sessions: Sequence[DoomedSession]
    chats: Sequence[DoomedChat]
    is_last_chat: bool = False
    shrinks: Uid | None = None
    """The `multi` session that keeps going with one chat less."""

    @property
    def chat_keys(self) -> tuple[Uid, ...]:
        """The keys of the chats."""
        return tuple(chat.key for chat in self.chats)

    @property
    def message_count(self) -> int:
        """How many messages go."""
        return sum(chat.message_count for chat in self.chats)


def look(read: Cursor, tenant_id: Uid, kind: str, key: Uid) -> Doomed:
    """What goes with a target, as it stands. Raises the kind's NotFound."""
    if kind == CHAT:
        return _look_at_chat(read, tenant_id, key)
    if kind == SESSION:
        row = read.row("session_to_detach", tenant_id=tenant_id, key=key)
        if row is None:
            raise SessionNotFound
        session = DoomedSession(*row)
        return Doomed(SESSION, key, session.id, [session], chats_of(read, tenant_id, [session]))
    if kind == PARTICIPANT:
        row = read.row("participant_to_detach", tenant_id=tenant_id, id=key)
        if row is None:
            raise ParticipantNotFound
        sessions = own_sessions(read, tenant_id, key)
        return Doomed(PARTICIPANT, key, row[0], sessions, chats_of(read, tenant_id, sessions))
    if read.row("find_tenant", tenant_id=tenant_id) is None:
        raise TenantNotFound
    return Doomed(TENANT, tenant_id, text_of(tenant_id), [], [])


def own_sessions(read: Cursor, tenant_id: Uid, owner_id: Uid, *, is_planned: bool = False) -> list[DoomedSession]:
    """Sessions that a participant owns: as many as a plan counts, or as go at once; the others go in later steps."""
    sessions_max = limits.PLAN_SESSIONS if is_planned else limits.DETACH_SESSIONS
    chats_max = limits.PLAN_CHATS if is_planned else limits.CHATS_PER_SESSION
    rows = read.rows("sessions_to_detach", tenant_id=tenant_id, owner_id=owner_id, limit=sessions_max)
    chats = accumulate(row[3] for row in rows)
    return [
        DoomedSession(*row[:3])
        for i, (row, total) in enumerate(zip(rows, chats, strict=True))
        if i == 0 or total <= chats_max
    ]


def _look_at_chat(read: Cursor, tenant_id: Uid, key: Uid) -> Doomed:
    row = read.row("chat_to_detach", tenant_id=tenant_id, key=key)
    if row is None:
        raise ChatNotFound
    chat = DoomedChat(*row[:6])
    session_key, session_id, shape, chat_count = row[6:]
    if shape == SINGLE:
        return Doomed(CHAT, key, chat.id, [DoomedSession(session_key, session_id, shape)], [chat])
    return Doomed(CHAT, key, chat.id, [], [chat], chat_count <= 1, session_key)


def chats_of(read: Cursor, tenant_id: Uid, sessions: Sequence[DoomedSession]) -> list[DoomedChat]:
    """The chats that go with some sessions."""
    keys = _json_of([session.key for session in sessions])
    return [DoomedChat(*row) for row in read.rows("chats_to_detach", tenant_id=tenant_id, keys=keys)]


def survey(read: Cursor, tenant_id: Uid, doomed: Doomed) -> Survey:
    """The doomed in numbers: of each table what the graph says, of a participant with more sessions than go at once."""
    if doomed.kind == PARTICIPANT:
        sessions = own_sessions(read, tenant_id, doomed.key, is_planned=True)
        doomed = doomed._replace(sessions=sessions, chats=chats_of(read, tenant_id, sessions))
    chats = [ChatCount(chat.id, chat.last_seq, chat.message_count) for chat in doomed.chats]
    counts = {"chats": len(chats), "sessions": len(doomed.sessions), "messages": doomed.message_count}
    if doomed.kind == PARTICIPANT:
        chats += _survey_elsewhere(read, tenant_id, doomed.key, counts)
    if doomed.kind == TENANT:
        chats = [ChatCount(*row) for row in read.rows("chats_of_tenant", tenant_id=tenant_id)]
        counts = {"chats": len(chats), "messages": sum(chat.message_count for chat in chats)}
    tables, query = plan_query(doomed.kind, _among)
    keys = {"chats": doomed.chat_keys, "sessions": [session.key for session in doomed.sessions]}
    values = {table: _json_of(its) for table, its in {**keys, "participants": [doomed.key]}.items()}
    counts |= zip(tables, read.ask(query, tenant_id=tenant_id, **values)[0], strict=True)
    counted = {table: count for table, count in sorted(counts.items()) if count}
    return Survey(doomed.kind, doomed.id, tuple(chats), counted, _blockers(read, tenant_id, doomed))


def _among(column: str, table: str) -> str:
    return f"{column} IN (SELECT unhex(value) FROM json_each(:{table}))"  # noqa: S608  names of ours


def _survey_elsewhere(read: Cursor, tenant_id: Uid, participant_id: Uid, counts: dict[str, int]) -> list[ChatCount]:
    """The chats of others where a participant has a place; its words there are counted where that is soon done."""
    whose = {"tenant_id": tenant_id, "participant_id": participant_id}
    chats = [ChatCount(*row) for row in read.rows("chats_elsewhere", **whose)]
    counts |= {"participants": 1, "chats_elsewhere": len(chats)}
    if sum(chat.message_count for chat in chats) <= limits.PLAN_MESSAGES_READ:
        counts["messages_elsewhere"] = read.rows("count_words_elsewhere", **whose)[0][0]
    return chats


def _blockers(read: Cursor, tenant_id: Uid, doomed: Doomed) -> tuple[Blocker, ...]:
    """What stands in the way: the last chat, then sockets, then turns, each by their age."""
    if doomed.kind == TENANT:
        sockets = read.rows("live_connections_of_tenant", tenant_id=tenant_id)
        turns = read.rows("live_turns_of_tenant", tenant_id=tenant_id)
    else:
        keys = _json_of(doomed.chat_keys)
        sockets = read.rows("live_connections", tenant_id=tenant_id, keys=keys)
        turns = read.rows("live_turns", tenant_id=tenant_id, keys=keys)
    if doomed.kind == PARTICIPANT:
        own = {"tenant_id": tenant_id, "keys": keys}
        sockets += read.rows("live_connections_elsewhere", participant_id=doomed.key, **own)
        turns += read.rows("live_turns_elsewhere", agent_name=doomed.id, **own)
    last = [Blocker("last_chat", doomed.id, None)] if doomed.is_last_chat else []
    return (
        *last,
        *(Blocker("connection", text_of(uid), until) for uid, until in sorted(sockets)),
        *(Blocker("turn", text_of(uid), until) for uid, until in sorted(turns)),
    )


def detach(tx: Transaction, tenant_id: Uid, doomed: Doomed, order: Order) -> Detached:
    """Check the guards, set the ids free and note the job; in the mode `after` something live makes it wait."""
    if order.if_digest is not None and digest_of_surveys((survey(tx, tenant_id, doomed),)) != order.if_digest:
        raise PlanChanged
    if doomed.is_last_chat:
        raise ChatIsLastOfSession
    blockers = () if order.mode not in (REFUSE, AFTER) else _blockers(tx, tenant_id, doomed)
    if blockers and order.mode == REFUSE:
        refuse(blockers)
    if blockers:
        return Detached(_note(tx, tenant_id, doomed, order, WAITING), ())
    deletion = _note(tx, tenant_id, doomed, order, _first_state(doomed, order))
    return Detached(deletion, take_hold(tx, tenant_id, doomed, deletion, is_undoable=order.undo_seconds > 0))


def check_idle(tx: Transaction, tenant_id: Uid, doomed: Doomed) -> None:
    """Raise ChatHasActiveConnections or ChatHasActiveTurn when something is live, and ChatIsLastOfSession."""
    if doomed.is_last_chat:
        raise ChatIsLastOfSession
    if blockers := _blockers(tx, tenant_id, doomed):
        refuse(blockers)


def refuse(blockers: Sequence[Blocker]) -> None:
    """Raise what says why: sockets first, then turns."""
    sockets = [blocker for blocker in blockers if blocker.kind == "connection"]
    if sockets:
        raise ChatHasActiveConnections(len(sockets), max(blocker.until or 0 for blocker in sockets))
    raise ChatHasActiveTurn(parse_uuid(blockers[0].id))


def _first_state(doomed: Doomed, order: Order) -> str:
    if order.undo_seconds:
        return DETACHED
    return DETACHING if doomed.kind == PARTICIPANT else PURGING


def take_hold(
    tx: Transaction, tenant_id: Uid, doomed: Doomed, deletion: Deletion, *, is_undoable: bool
) -> tuple[Uid, ...]:
    """Set everything free that a client could name, and write down that it was deleted; the keys of its chats."""
    undo_of = deletion.id if is_undoable else None
    _bury(tx, tenant_id, deletion.id, [(doomed.kind, doomed.key, doomed.id)])
    chat_keys = doomed.chat_keys
    if doomed.kind == PARTICIPANT:
        _free_participant(tx, tenant_id, doomed.key, doomed.id, undo_of)
    elif doomed.kind == TENANT:
        chat_keys = _free_tenant(tx, tenant_id, undo_of)
    if doomed.shrinks is not None:
        tx.row("count_session_chats", tenant_id=tenant_id, key=doomed.shrinks, by=-1)
    free_sessions(tx, tenant_id, doomed.sessions, doomed.chats, deletion.id, is_undoable=is_undoable)
    announce(tx, "deletion.detached", deletion)
    return chat_keys


def announce(tx: Transaction, event: str, deletion: Deletion) -> None:
    """Tell the tenant's webhooks of a deletion, by ids of ours and digests only."""
    target = {"kind": deletion.kind, "digest": deletion.target_digest}
    body = {"deletion": f"{DELETION_PREFIX}{text_of(deletion.id)}", "target": target, "mode": deletion.mode}
    enqueue_event(tx, deletion.tenant_id, event, msgspec.json.encode(body).decode())


def free_sessions(
    tx: Transaction,
    tenant_id: Uid,
    sessions: Sequence[DoomedSession],
    chats: Sequence[DoomedChat],
    deletion_id: Uid,
    *,
    is_undoable: bool = False,
) -> None:
    """Set the ids of sessions and chats free, with the counters, the sockets and the tombstones."""
    undo_of = deletion_id if is_undoable else None
    keys = _json_of([chat.key for chat in chats])
    if chats:
        tx.run("drop_connections", tenant_id=tenant_id, keys=keys)
        tx.run("detach_chats", tenant_id=tenant_id, keys=keys, undo_of=undo_of)
    for owner_id, count in Counter(chat.owner_id for chat in chats if chat.is_uuid).items():
        tx.run("count_owned_chats", tenant_id=tenant_id, id=owner_id, by=-count)
    if sessions:
        session_keys = _json_of([session.key for session in sessions])
        tx.run("detach_sessions", tenant_id=tenant_id, keys=session_keys, undo_of=undo_of)
    gone = _json_of([session.key for session in sessions] + [chat.key for chat in chats])
    tx.run("forget_imports_of", tenant_id=tenant_id, keys=gone)
    for shape, count in Counter(session.shape for session in sessions).items():
        tx.row("count_single" if shape == SINGLE else "count_multi", tenant_id=tenant_id, by=-count)
    _bury(
        tx,
        tenant_id,
        deletion_id,
        [(SESSION, session.key, session.id) for session in sessions] + [(CHAT, chat.key, chat.id) for chat in chats],
    )


def _free_participant(tx: Transaction, tenant_id: Uid, participant_id: Uid, name: str, undo_of: Uid | None) -> None:
    """Its name and keys, its sockets, and what it is saying as an agent."""
    for turn_id, chat_key in tx.rows("end_turns_of_agent", tenant_id=tenant_id, agent_name=name, now=tx.now):
        tx.run("free_slot", tenant_id=tenant_id, key=chat_key, turn_id=turn_id)
    _, kind, is_implied = tx.rows("participant_to_detach", tenant_id=tenant_id, id=participant_id)[0]
    whose = {"tenant_id": tenant_id, "participant_id": participant_id}
    tx.run("revoke_keys_of_participant", **whose, now=tx.now, undo_of=undo_of)
    tx.run("drop_connections_of_participant", tenant_id=tenant_id, participant_id=participant_id)
    tx.run("detach_participant", tenant_id=tenant_id, id=participant_id, undo_of=undo_of)
    tx.run("forget_names_in_imports", tenant_id=tenant_id, who=f':"{participant_id.hex()}"', nobody=NOBODY)
    tx.row("count_peers" if kind == PEER else "count_scopes", tenant_id=tenant_id, by=0 if is_implied else -1)


def _free_tenant(tx: Transaction, tenant_id: Uid, undo_of: Uid | None) -> tuple[Uid, ...]:
    """Its name, with which its keys end, and as many ids as a session may have: late writers know them for a moment."""
    name = tx.rows("find_tenant", tenant_id=tenant_id)[0][1]
    tx.run("detach_tenant", tenant_id=tenant_id, undo_of=undo_of)
    tx.run("free_tenant_name", tenant_id=tenant_id, name=name)
    tx.run("drop_connections_of_tenant", tenant_id=tenant_id)
    ids = {"tenant_id": tenant_id, "limit": limits.CHATS_PER_SESSION, "undo_of": undo_of}
    chats = tx.rows("detach_chats_of_tenant", **ids)
    tx.rows("detach_sessions_of_tenant", **ids)
    return tuple(row[0] for row in chats)


def check_empty(tx: Transaction, tenant_id: Uid) -> None:
    """Raise TenantHasSessions when it has any."""
    totals = tx.row("totals", tenant_id=tenant_id)
    if totals is not None and totals[2] + totals[3]:
        raise TenantHasSessions


def _secret_of(tx: Transaction, tenant_id: Uid) -> bytes:
    secret: bytes = tx.rows("digest_secret", tenant_id=tenant_id)[0][0]
    return secret


def _bury(tx: Transaction, tenant_id: Uid, deletion_id: Uid, dead: Sequence[tuple[str, Uid, str]]) -> None:
    """Write tombstones, each of a kind, key and id."""
    secret = _secret_of(tx, tenant_id)
    stones = [(kind, key.hex(), digest_of(secret, kind, name)) for kind, key, name in dead]
    tx.run(
        "insert_tombstones",
        tenant_id=tenant_id,
        stones=msgspec.json.encode(stones).decode(),
        deletion_id=deletion_id,
        now=tx.now,
    )


def _note(tx: Transaction, tenant_id: Uid, doomed: Doomed, order: Order, state: str) -> Deletion:
    """The job; it is told to the tenant's chain of receipts, too, while its digest can still be made."""
    secret = _secret_of(tx, tenant_id)
    open_chain(tx, tenant_id)
    deletion_id = new_uid7()
    tx.run(
        "insert_deletion",
        tenant_id=tenant_id,
        id=deletion_id,
        kind=doomed.kind,
        target_key=doomed.key,
        target_id=doomed.id,
        target_digest=digest_of(secret, doomed.kind, doomed.id),
        mode=order.mode,
        reason=order.reason,
        state=state,
        now=tx.now,
        detached_at=None if state == WAITING or doomed.kind == PARTICIPANT else tx.now,
        window=micros_of(order.undo_seconds),
        total=_total_of(tx, tenant_id, doomed),
    )
    return deletion_of(tx.rows("find_deletion", tenant_id=tenant_id, id=deletion_id)[0])


def _total_of(tx: Transaction, tenant_id: Uid, doomed: Doomed) -> int:
    """About how many rows go; of a tenant those that are counted anyway."""
    if doomed.kind == TENANT:
        return sum(tx.rows("totals", tenant_id=tenant_id)[0])
    return doomed.message_count + len(doomed.chats) + len(doomed.sessions)


_COUNTS = msgspec.json.Decoder(dict[str, int])
_COUNTS_COLUMN = list(Deletion.__struct_fields__).index("counts")


def deletion_of(row: Row) -> Deletion:
    """A row of the statements that read deletions."""
    columns = list(row)
    columns[_COUNTS_COLUMN] = _COUNTS.decode(columns[_COUNTS_COLUMN])
    return Deletion(*columns)


def _json_of(keys: Sequence[Uid]) -> str:
    return msgspec.json.encode([key.hex() for key in keys]).decode()
