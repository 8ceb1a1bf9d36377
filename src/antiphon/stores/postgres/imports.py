"""Imports in PostgreSQL: a husk that grows under a deletion of its own, and gets its ids when it is whole."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import msgspec

from antiphon.domain import limits
from antiphon.domain.deletions import CHAT, DETACHED, SESSION, TENANT
from antiphon.domain.errors import (
    ChatNotFound,
    ImportIdTaken,
    ImportNotFound,
    ParticipantNotFound,
    SessionNotFound,
    TenantNotFound,
    UndoIdTaken,
    UndoTooLate,
)
from antiphon.domain.ids import Uid, is_canonical_uuid, new_uid7, text_of
from antiphon.domain.imports import (
    ABANDONED,
    DONE,
    FAILED,
    IMPORT_MODE,
    WRITING,
    Batch,
    Import,
    ImportedChat,
    ImportedMember,
    ImportedMessage,
    ImportedRead,
    Opening,
)
from antiphon.domain.messages import ASSISTANT
from antiphon.domain.participants import PEER, Participant
from antiphon.domain.receipts import NO_PREVIOUS, digest_of
from antiphon.domain.sessions import MULTI
from antiphon.stores.postgres.database import Cursor, Database, Row
from antiphon.stores.postgres.detach import secret_of
from antiphon.stores.postgres.participants import add_participants, name_participants
from antiphon.stores.postgres.undo import put_back_husk

_Ids = dict[str, str]
_SWEEP_ROWS = 100


class _Held(msgspec.Struct):
    """An import that this process holds: what it hangs on, and the ids of its participants by kind and name."""

    target_key: Uid
    session_key: Uid
    chat_key: Uid | None
    deletion_id: Uid
    ids: _Ids
    cursor: int

    @property
    def is_guest(self) -> bool:
        """Whether its only chat goes into a session that was there before."""
        return self.target_key != self.session_key

    def id_of(self, name: str, kind: str = PEER) -> Uid:
        """The id of one of its participants."""
        return bytes.fromhex(self.ids[_name_of(kind, name)])


class PostgresImports:
    """`core.ports.ImportStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def members(self, tenant_id: Uid, session_key: Uid, offset: int, limit: int) -> list[ImportedMember]:
        """See the port."""
        asked = {"tenant_id": tenant_id, "session_key": session_key, "offset": offset, "limit": limit}
        return [ImportedMember(*row) for row in await self._database.rows("list_places", **asked)]

    async def reads(self, tenant_id: Uid, chat_key: Uid, offset: int, limit: int) -> list[ImportedRead]:
        """See the port."""
        asked = {"tenant_id": tenant_id, "key": chat_key, "offset": offset, "limit": limit}
        return [ImportedRead(*row) for row in await self._database.rows("list_marks", **asked)]

    async def marks(self, tenant_id: Uid, chat_key: Uid, message_ids: Sequence[Uid]) -> dict[Uid, bool]:
        """See the port."""
        asked = {"tenant_id": tenant_id, "key": chat_key, "ids": list(message_ids)}
        return {row[0]: row[1] for row in await self._database.rows("list_reasoning_marks", **asked)}

    async def begin(self, tenant_id: Uid, opening: Opening) -> tuple[Import, bool]:
        """See the port. Two who begin with one file at once meet a unique index, and the later one starts again."""
        return await self._database.transact(lambda tx: _begin(tx, tenant_id, opening))

    async def find(self, tenant_id: Uid, import_id: Uid) -> Import | None:
        """See the port."""
        row = await self._database.row("find_import", tenant_id=tenant_id, id=import_id)
        return Import(*row) if row else None

    async def claim(self, tenant_id: Uid, import_id: Uid, node: Uid, lease_seconds: float) -> Import | None:
        """See the port."""
        asked: dict[str, Any] = {"tenant_id": tenant_id, "id": import_id, "node": node, "lease_seconds": lease_seconds}
        rows = await self._database.write_rows("claim_import", is_idempotent=True, **asked)
        return Import(*rows[0]) if rows else None

    async def write(
        self, tenant_id: Uid, import_id: Uid, node: Uid, cursor: int, batch: Batch, lease_seconds: float
    ) -> Import:
        """See the port."""

        async def operation(tx: Cursor) -> Import:
            held = await _hold(tx, tenant_id, import_id, node, lease_seconds)
            if held.cursor != cursor:
                raise ImportNotFound
            await _check_grounds(tx, tenant_id, held)
            await _write(tx, tenant_id, held, batch)
            moved = {"cursor": batch.cursor, "count": len(batch.messages), "chat_key": held.chat_key}
            return Import(*(await tx.rows("move_import", tenant_id=tenant_id, id=import_id, **moved))[0])

        return await self._database.transact(operation)

    async def finish(self, tenant_id: Uid, import_id: Uid, node: Uid) -> Import:
        """See the port."""

        async def operation(tx: Cursor) -> Import:
            held = await _hold(tx, tenant_id, import_id, node, limits.IMPORT_LEASE_SECONDS)
            await _check_grounds(tx, tenant_id, held)
            if await tx.row("drop_cover", tenant_id=tenant_id, id=held.deletion_id) is None:
                raise UndoTooLate
            try:
                await put_back_husk(tx, tenant_id, held.deletion_id, CHAT if held.is_guest else SESSION)
            except UndoIdTaken:
                raise ImportIdTaken from None
            row = await _settle(tx, tenant_id, import_id, DONE, None)
            if row is None:
                raise ImportNotFound
            return Import(*list(row)[:-1])

        return await self._database.transact(operation)

    async def give_up(self, tenant_id: Uid, import_id: Uid, error: str) -> None:
        """See the port."""

        async def operation(tx: Cursor) -> None:
            row = await _settle(tx, tenant_id, import_id, FAILED, error)
            if row is not None:
                await tx.run("end_cover", tenant_id=tenant_id, id=row[-1])

        await self._database.transact(operation)

    async def release(self, node: Uid) -> None:
        """See the port."""
        await self._database.transact(lambda tx: tx.run("release_imports", node=node))

    async def sweep(self, kept_seconds: float, abandoned_seconds: float) -> None:
        """See the port."""
        asked: dict[str, Any] = {"abandoned_seconds": abandoned_seconds, "limit": _SWEEP_ROWS}
        for tenant_id, import_id in await self._database.rows("abandoned_imports", **asked):
            await self.give_up(tenant_id, import_id, ABANDONED)
        await self._database.transact(lambda tx: tx.run("forget_imports", kept_seconds=kept_seconds))


async def _begin(tx: Cursor, tenant_id: Uid, opening: Opening) -> tuple[Import, bool]:
    row = await tx.row("find_import_of_file", tenant_id=tenant_id, digest=opening.digest)
    if row is not None:
        known = Import(*row)
        is_there = await tx.row("is_there", tenant_id=tenant_id, key=known.target_key) is not None
        if known.state == WRITING or (known.state == DONE and is_there):
            return known, False
        await tx.run("delete_import", tenant_id=tenant_id, id=known.id)
    if await tx.row("find_tenant", tenant_id=tenant_id) is None:
        raise TenantNotFound
    ids = await _ensure_all(tx, tenant_id, opening.participants)
    found = await tx.row("find_session", tenant_id=tenant_id, id=opening.session.id)
    is_guest = found is not None and opening.kind == CHAT and found[2] == MULTI == opening.session.shape
    taken = await tx.row("find_some_chat", tenant_id=tenant_id, ids=list(opening.chat_ids)) is not None
    if taken or (found is not None and not is_guest):
        raise ImportIdTaken
    session_key = found[0] if found is not None else new_uid7()
    target_key = new_uid7() if is_guest else session_key
    deletion_id = await _cover(tx, tenant_id, opening, CHAT if is_guest else SESSION, target_key)
    if not is_guest:
        values = {name: value for name, value in msgspec.structs.asdict(opening.session).items() if name != "owner"}
        owner_id = bytes.fromhex(ids[_name_of(PEER, opening.session.owner)])
        whose = {"tenant_id": tenant_id, "key": session_key, "undo_of": deletion_id, "owner_id": owner_id}
        await tx.run("insert_husk_session", **whose, **values, chat_count=len(opening.chat_ids))
    await tx.run(
        "insert_import",
        tenant_id=tenant_id,
        id=opening.id,
        digest=opening.digest,
        kind=opening.kind,
        target_id=opening.chat_ids[0] if opening.kind == CHAT else opening.session.id,
        target_key=target_key,
        session_key=session_key,
        deletion_id=deletion_id,
        participant_ids=msgspec.json.encode(ids).decode(),
        cursor=opening.cursor,
        total=opening.messages,
        now=tx.now,
    )
    return Import(*(await tx.rows("find_import", tenant_id=tenant_id, id=opening.id))[0]), True


async def _cover(tx: Cursor, tenant_id: Uid, opening: Opening, kind: str, target_key: Uid) -> Uid:
    """The deletion that removes what the import writes, should it not be finished within its window."""
    secret = await secret_of(tx, tenant_id)
    target_id = opening.chat_ids[0] if kind == CHAT else opening.session.id
    rows = await tx.rows(
        "insert_deletion",
        tenant_id=tenant_id,
        tenant_digest=digest_of(secret, TENANT, text_of(tenant_id)),
        hash=NO_PREVIOUS,
        id=new_uid7(),
        kind=kind,
        target_key=target_key,
        target_id=target_id,
        target_digest=digest_of(secret, kind, target_id),
        mode=IMPORT_MODE,
        reason=None,
        state=DETACHED,
        now=tx.now,
        detached_at=tx.now,
        undo_seconds=float(limits.IMPORT_ABANDONED_SECONDS),
        total=opening.messages,
    )
    deletion_id: Uid = rows[0][0]
    return deletion_id


async def _ensure_all(tx: Cursor, tenant_id: Uid, participants: Sequence[ImportedMember]) -> _Ids:
    """All ids, by kind and name; those who are missing are made, as many at once as are alike, the implied named."""
    ids: _Ids = {}
    for kind in sorted({one.kind for one in participants}):
        asked = {one.name: one for one in participants if one.kind == kind}
        rows = await tx.rows("find_participants", tenant_id=tenant_id, kind=kind, names=sorted(asked))
        for found in (Participant(*row) for row in rows):
            ids[_name_of(kind, found.name)] = found.id.hex()
            if found.is_implied and not asked[found.name].is_implied:
                await _name(tx, tenant_id, found.id, asked[found.name])
    missing = [one for one in participants if _name_of(one.kind, one.name) not in ids]
    for (kind, metadata, configuration, is_implied), alike in groupby(
        sorted(missing, key=_look), key=lambda one: _look(one)[:4]
    ):
        names = [one.name for one in alike]
        for made in await add_participants(tx, tenant_id, kind, names, metadata, configuration, is_implied=is_implied):
            ids[_name_of(kind, made.name)] = made.id.hex()
    return ids


async def _name(tx: Cursor, tenant_id: Uid, found: Uid, one: ImportedMember) -> None:
    await name_participants(tx, tenant_id, one.kind, [found])
    said = {"metadata": one.metadata, "configuration": one.configuration}
    await tx.rows("update_participant", tenant_id=tenant_id, kind=one.kind, name=one.name, **said)


def _look(one: ImportedMember) -> tuple[str, str, str, bool, str]:
    return one.kind, one.metadata, one.configuration, one.is_implied, one.name


async def _hold(tx: Cursor, tenant_id: Uid, import_id: Uid, node: Uid, lease_seconds: float) -> _Held:
    asked: dict[str, Any] = {"tenant_id": tenant_id, "id": import_id, "node": node, "lease_seconds": lease_seconds}
    row = await tx.row("hold_import", **asked)
    if row is None:
        raise ImportNotFound
    target_key, session_key, chat_key, deletion_id, ids, cursor = row
    return _Held(target_key, session_key, chat_key, deletion_id, msgspec.json.decode(ids, type=_Ids), cursor)


async def _check_grounds(tx: Cursor, tenant_id: Uid, held: _Held) -> None:
    """What the import hangs on is there: whom it names, and that nothing has begun to remove it."""
    ids = [bytes.fromhex(uid) for uid in held.ids.values()]
    if (await tx.rows("count_present", tenant_id=tenant_id, ids=ids))[0][0] != len(ids):
        raise ParticipantNotFound
    if not await tx.run("extend_cover", tenant_id=tenant_id, id=held.deletion_id):
        raise SessionNotFound


async def _write(tx: Cursor, tenant_id: Uid, held: _Held, batch: Batch) -> None:
    places = [
        (held.id_of(one.name, one.kind), one.observe_me, one.observe_others, one.joined_at, one.left_at)
        for one in batch.members
    ]
    await _join(tx, tenant_id, held, places)
    if batch.chat is not None:
        await _add_chat(tx, tenant_id, held, batch.chat)
    if batch.reads and held.chat_key is not None:
        ids, moments = [held.id_of(read.name) for read in batch.reads], [read.read_at for read in batch.reads]
        whose = {"tenant_id": tenant_id, "key": held.chat_key}
        await tx.run("insert_husk_reads", **whose, participant_ids=ids, read_ats=moments)
    if batch.messages and held.chat_key is not None:
        await _add_messages(tx, tenant_id, held, held.chat_key, batch.messages)


async def _join(tx: Cursor, tenant_id: Uid, held: _Held, places: Sequence[tuple[Any, ...]]) -> None:
    if not places:
        return
    ids, observe_me, observe_others, joined_ats, left_ats = map(list, zip(*places, strict=True))
    await tx.run(
        "insert_husk_members",
        tenant_id=tenant_id,
        session_key=held.session_key,
        participant_ids=ids,
        join_keys=[new_uid7() for _ in ids],
        observe_me=observe_me,
        observe_others=observe_others,
        joined_ats=joined_ats,
        left_ats=left_ats,
    )


async def _add_chat(tx: Cursor, tenant_id: Uid, held: _Held, chat: ImportedChat) -> None:
    if held.is_guest and await tx.row("is_there", tenant_id=tenant_id, key=held.session_key) is None:
        raise SessionNotFound
    held.chat_key = held.target_key if held.is_guest else new_uid7()
    await tx.run(
        "insert_husk_chat",
        tenant_id=tenant_id,
        key=held.chat_key,
        undo_of=held.deletion_id,
        id=chat.id,
        is_uuid=is_canonical_uuid(chat.id),
        session_key=held.session_key,
        owner_id=held.id_of(chat.owner),
        title=chat.title,
        model=chat.model,
        metadata=chat.metadata,
        created_at=chat.created_at,
        updated_at=chat.updated_at,
    )


async def _add_messages(
    tx: Cursor, tenant_id: Uid, held: _Held, chat_key: Uid, messages: Sequence[ImportedMessage]
) -> None:
    drafts = [message.draft for message in messages]
    answers = [draft.created_at for draft in drafts if draft.role == ASSISTANT]
    row: Row | None = await tx.row(
        "grow_husk_chat",
        tenant_id=tenant_id,
        key=chat_key,
        undo_of=held.deletion_id,
        last_seq=messages[-1].seq,
        count=len(messages),
        said_at=drafts[-1].created_at,
        answered_at=answers[-1] if answers else None,
        now=tx.now,
    )
    if row is None:
        raise ChatNotFound
    joined = {draft.author: draft.created_at for draft in reversed(drafts)}
    await _join(tx, tenant_id, held, [(held.id_of(name), None, None, at, None) for name, at in joined.items()])
    await tx.run(
        "insert_husk_messages",
        tenant_id=tenant_id,
        key=chat_key,
        ids=[new_uid7() for _ in drafts],
        author_ids=[held.id_of(draft.author) for draft in drafts],
        created_ats=[draft.created_at for draft in drafts],
        seqs=[message.seq for message in messages],
        token_counts=[draft.token_count for draft in drafts],
        client_ids=[draft.client_id for draft in drafts],
        roles=[draft.role for draft in drafts],
        authors=[draft.author for draft in drafts],
        texts=[draft.text for draft in drafts],
        parts=[draft.parts for draft in drafts],
        metadatas=[draft.metadata for draft in drafts],
        are_reasoned=[draft.is_reasoned for draft in drafts],
    )


async def _settle(tx: Cursor, tenant_id: Uid, import_id: Uid, state: str, error: str | None) -> Row | None:
    return await tx.row("settle_import", tenant_id=tenant_id, id=import_id, state=state, error=error, now=tx.now)


def _name_of(kind: str, name: str) -> str:
    return f"{kind}:{name}"
