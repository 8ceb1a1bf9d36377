"""Imports in SQLite: a husk that grows under a deletion of its own, and gets its ids when it is whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from antiphon.domain.messages import ASSISTANT, Message
from antiphon.domain.participants import PEER
from antiphon.domain.receipts import NO_PREVIOUS, digest_of
from antiphon.domain.sessions import MULTI
from antiphon.domain.times import micros_of
from antiphon.stores.sqlite.database import Row
from antiphon.stores.sqlite.file import File
from antiphon.stores.sqlite.messages import insert_mark, insert_message, size_of
from antiphon.stores.sqlite.participants import ensure_participant
from antiphon.stores.sqlite.undo import put_back_husk
from antiphon.stores.sqlite.writer import Transaction

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


class SqliteImports:
    """`core.ports.ImportStore`."""

    def __init__(self, file: File) -> None:
        self._file = file

    async def members(self, tenant_id: Uid, session_key: Uid, offset: int, limit: int) -> list[ImportedMember]:
        """See the port."""
        rows = self._file.rows("list_places", tenant_id=tenant_id, session_key=session_key, offset=offset, limit=limit)
        return [msgspec.convert(row, ImportedMember, strict=False) for row in map(_named, rows)]

    async def reads(self, tenant_id: Uid, chat_key: Uid, offset: int, limit: int) -> list[ImportedRead]:
        """See the port."""
        rows = self._file.rows("list_marks", tenant_id=tenant_id, key=chat_key, offset=offset, limit=limit)
        return [ImportedRead(*row) for row in rows]

    async def marks(self, tenant_id: Uid, chat_key: Uid, message_ids: Sequence[Uid]) -> dict[Uid, bool]:
        """See the port."""
        ids = _json_of([uid.hex() for uid in message_ids])
        rows = self._file.rows("list_reasoning_marks", tenant_id=tenant_id, key=chat_key, ids=ids)
        return {message_id: bool(is_on) for message_id, is_on in rows}

    async def begin(self, tenant_id: Uid, opening: Opening) -> tuple[Import, bool]:
        """See the port."""
        return await self._file.write(lambda tx: _begin(tx, tenant_id, opening))

    async def find(self, tenant_id: Uid, import_id: Uid) -> Import | None:
        """See the port."""
        row = self._file.row("find_import", tenant_id=tenant_id, id=import_id)
        return Import(*row) if row else None

    async def claim(self, tenant_id: Uid, import_id: Uid, node: Uid, lease_seconds: float) -> Import | None:
        """See the port."""
        asked = {"tenant_id": tenant_id, "id": import_id, "node": node, "lease": micros_of(lease_seconds)}
        row = await self._file.write(lambda tx: tx.row("claim_import", **asked))
        return Import(*row) if row else None

    async def write(
        self, tenant_id: Uid, import_id: Uid, node: Uid, cursor: int, batch: Batch, lease_seconds: float
    ) -> Import:
        """See the port."""

        def operation(tx: Transaction) -> Import:
            held = _hold(tx, tenant_id, import_id, node, lease_seconds)
            if held.cursor != cursor:
                raise ImportNotFound
            _check_grounds(tx, tenant_id, held)
            _write(tx, tenant_id, held, batch)
            row = tx.rows(
                "move_import",
                tenant_id=tenant_id,
                id=import_id,
                cursor=batch.cursor,
                count=len(batch.messages),
                chat_key=held.chat_key,
            )[0]
            return Import(*row)

        return await self._file.write_patiently(operation)

    async def finish(self, tenant_id: Uid, import_id: Uid, node: Uid) -> Import:
        """See the port."""

        def operation(tx: Transaction) -> Import:
            held = _hold(tx, tenant_id, import_id, node, limits.IMPORT_LEASE_SECONDS)
            _check_grounds(tx, tenant_id, held)
            if tx.row("drop_cover", tenant_id=tenant_id, id=held.deletion_id) is None:
                raise UndoTooLate
            try:
                put_back_husk(tx, tenant_id, held.deletion_id, CHAT if held.is_guest else SESSION)
            except UndoIdTaken:
                raise ImportIdTaken from None
            return Import(*_settle(tx, tenant_id, import_id, DONE, None)[:-1])

        return await self._file.write(operation)

    async def give_up(self, tenant_id: Uid, import_id: Uid, error: str) -> None:
        """See the port."""
        await self._file.write(lambda tx: _give_up(tx, tenant_id, import_id, error))

    async def release(self, node: Uid) -> None:
        """See the port."""
        await self._file.write(lambda tx: tx.run("release_imports", node=node))

    async def sweep(self, kept_seconds: float, abandoned_seconds: float) -> None:
        """See the port."""

        def operation(tx: Transaction) -> None:
            asked = {"abandoned": micros_of(abandoned_seconds), "limit": _SWEEP_ROWS}
            for tenant_id, import_id in tx.rows("abandoned_imports", **asked):
                _give_up(tx, tenant_id, import_id, ABANDONED)
            tx.run("forget_imports", kept=micros_of(kept_seconds))

        await self._file.write(operation)


def _begin(tx: Transaction, tenant_id: Uid, opening: Opening) -> tuple[Import, bool]:
    row = tx.row("find_import_of_file", tenant_id=tenant_id, digest=opening.digest)
    if row is not None:
        known = Import(*row)
        is_there = tx.row("is_there", tenant_id=tenant_id, key=known.target_key) is not None
        if known.state == WRITING or (known.state == DONE and is_there):
            return known, False
        tx.run("delete_import", tenant_id=tenant_id, id=known.id)
    if tx.row("find_tenant", tenant_id=tenant_id) is None:
        raise TenantNotFound
    ids = _ensure_all(tx, tenant_id, opening.participants)
    found = tx.row("find_session", tenant_id=tenant_id, id=opening.session.id)
    is_guest = found is not None and opening.kind == CHAT and found[2] == MULTI == opening.session.shape
    taken = tx.row("find_some_chat", tenant_id=tenant_id, ids=_json_of(opening.chat_ids)) is not None
    if taken or (found is not None and not is_guest):
        raise ImportIdTaken
    session_key = found[0] if found is not None else new_uid7()
    target_key = new_uid7() if is_guest else session_key
    deletion_id = _cover(tx, tenant_id, opening, CHAT if is_guest else SESSION, target_key)
    if not is_guest:
        values = {name: value for name, value in msgspec.structs.asdict(opening.session).items() if name != "owner"}
        owner_id = bytes.fromhex(ids[_name_of(PEER, opening.session.owner)])
        whose = {"tenant_id": tenant_id, "key": session_key, "undo_of": deletion_id, "owner_id": owner_id}
        tx.run("insert_husk_session", **whose, **values, chat_count=len(opening.chat_ids))
    tx.run(
        "insert_import",
        tenant_id=tenant_id,
        id=opening.id,
        digest=opening.digest,
        kind=opening.kind,
        target_id=opening.chat_ids[0] if opening.kind == CHAT else opening.session.id,
        target_key=target_key,
        session_key=session_key,
        deletion_id=deletion_id,
        participant_ids=_json_of(ids),
        cursor=opening.cursor,
        total=opening.messages,
        now=tx.now,
    )
    return Import(*tx.rows("find_import", tenant_id=tenant_id, id=opening.id)[0]), True


def _cover(tx: Transaction, tenant_id: Uid, opening: Opening, kind: str, target_key: Uid) -> Uid:
    """The deletion that removes what the import writes, should it not be finished within its window."""
    secret: bytes = tx.rows("digest_secret", tenant_id=tenant_id)[0][0]
    tenant_digest = digest_of(secret, TENANT, text_of(tenant_id))
    tx.run("open_chain", tenant_id=tenant_id, tenant_digest=tenant_digest, hash=NO_PREVIOUS)
    deletion_id = new_uid7()
    target_id = opening.chat_ids[0] if kind == CHAT else opening.session.id
    tx.run(
        "insert_deletion",
        tenant_id=tenant_id,
        id=deletion_id,
        kind=kind,
        target_key=target_key,
        target_id=target_id,
        target_digest=digest_of(secret, kind, target_id),
        mode=IMPORT_MODE,
        reason=None,
        state=DETACHED,
        now=tx.now,
        detached_at=tx.now,
        window=micros_of(limits.IMPORT_ABANDONED_SECONDS),
        total=opening.messages,
    )
    return deletion_id


def _ensure_all(tx: Transaction, tenant_id: Uid, participants: Iterable[ImportedMember]) -> _Ids:
    ids = {}
    for one in participants:
        who, is_new = ensure_participant(tx, tenant_id, one.kind, one.name, is_implied=one.is_implied)
        if is_new and not one.is_implied:
            said = {"metadata": one.metadata, "configuration": one.configuration}
            tx.run("update_participant", tenant_id=tenant_id, id=who.id, **said)
        ids[_name_of(one.kind, one.name)] = who.id.hex()
    return ids


def _hold(tx: Transaction, tenant_id: Uid, import_id: Uid, node: Uid, lease_seconds: float) -> _Held:
    row = tx.row("hold_import", tenant_id=tenant_id, id=import_id, node=node, lease=micros_of(lease_seconds))
    if row is None:
        raise ImportNotFound
    target_key, session_key, chat_key, deletion_id, ids, cursor = row
    return _Held(target_key, session_key, chat_key, deletion_id, msgspec.json.decode(ids, type=_Ids), cursor)


def _check_grounds(tx: Transaction, tenant_id: Uid, held: _Held) -> None:
    """What the import hangs on is there: whom it names, and that nothing has begun to remove it."""
    ids = _json_of(list(held.ids.values()))
    if tx.rows("count_present", tenant_id=tenant_id, ids=ids)[0][0] != len(held.ids):
        raise ParticipantNotFound
    if not tx.run("extend_cover", tenant_id=tenant_id, id=held.deletion_id):
        raise SessionNotFound


def _write(tx: Transaction, tenant_id: Uid, held: _Held, batch: Batch) -> None:
    _join(tx, tenant_id, held, [_place_of(held, member) for member in batch.members])
    if batch.chat is not None:
        _add_chat(tx, tenant_id, held, batch.chat)
    if batch.reads and held.chat_key is not None:
        marks = [(_id_of(held, read.name), read.read_at) for read in batch.reads]
        tx.run("insert_husk_reads", tenant_id=tenant_id, key=held.chat_key, marks=_json_of(marks))
    if batch.messages and held.chat_key is not None:
        _add_messages(tx, tenant_id, held, held.chat_key, batch.messages)


def _join(tx: Transaction, tenant_id: Uid, held: _Held, places: Sequence[tuple[Any, ...]]) -> None:
    if places:
        whose = {"tenant_id": tenant_id, "session_key": held.session_key}
        tx.run("insert_husk_members", **whose, places=_json_of(places))


def _add_chat(tx: Transaction, tenant_id: Uid, held: _Held, chat: ImportedChat) -> None:
    if held.is_guest and tx.row("is_there", tenant_id=tenant_id, key=held.session_key) is None:
        raise SessionNotFound
    held.chat_key = held.target_key if held.is_guest else new_uid7()
    tx.run(
        "insert_husk_chat",
        tenant_id=tenant_id,
        key=held.chat_key,
        undo_of=held.deletion_id,
        id=chat.id,
        is_uuid=int(is_canonical_uuid(chat.id)),
        session_key=held.session_key,
        owner_id=bytes.fromhex(_id_of(held, chat.owner)),
        title=chat.title,
        model=chat.model,
        metadata=chat.metadata,
        created_at=chat.created_at,
        updated_at=chat.updated_at,
    )


def _add_messages(
    tx: Transaction, tenant_id: Uid, held: _Held, chat_key: Uid, messages: Sequence[ImportedMessage]
) -> None:
    drafts = [message.draft for message in messages]
    answers = [draft.created_at for draft in drafts if draft.role == ASSISTANT]
    row = tx.row(
        "grow_husk_chat",
        tenant_id=tenant_id,
        key=chat_key,
        undo_of=held.deletion_id,
        last_seq=messages[-1].seq,
        count=len(messages),
        size=sum(map(size_of, drafts)),
        said_at=drafts[-1].created_at,
        answered_at=answers[-1] if answers else None,
        now=tx.now,
    )
    if row is None:
        raise ChatNotFound
    joined = {draft.author: draft.created_at for draft in reversed(drafts)}
    _join(tx, tenant_id, held, [(_id_of(held, name), None, None, at, None) for name, at in joined.items()])
    for message, draft in zip(messages, drafts, strict=True):
        at = tx.now if draft.created_at is None else draft.created_at
        parts = (draft.text, draft.parts, draft.metadata, draft.token_count, at)
        stored = Message(new_uid7(), message.seq, draft.client_id, draft.role, draft.author, *parts)
        insert_message(tx, tenant_id, row[0], bytes.fromhex(_id_of(held, draft.author)), stored)
        insert_mark(tx, tenant_id, chat_key, stored.id, draft)


def _give_up(tx: Transaction, tenant_id: Uid, import_id: Uid, error: str) -> None:
    row = _settle(tx, tenant_id, import_id, FAILED, error, is_needed=False)
    if row:
        tx.run("end_cover", tenant_id=tenant_id, id=row[-1])


def _settle(
    tx: Transaction, tenant_id: Uid, import_id: Uid, state: str, error: str | None, *, is_needed: bool = True
) -> Row:
    row = tx.row("settle_import", tenant_id=tenant_id, id=import_id, state=state, error=error, now=tx.now)
    if row is None and is_needed:
        raise ImportNotFound
    return row or ()


def _place_of(held: _Held, member: ImportedMember) -> tuple[Any, ...]:
    flags = (member.observe_me, member.observe_others)
    numbers = (None if flag is None else int(flag) for flag in flags)
    return (held.ids[_name_of(member.kind, member.name)], *numbers, member.joined_at, member.left_at)


def _id_of(held: _Held, name: str) -> str:
    return held.ids[_name_of(PEER, name)]


def _name_of(kind: str, name: str) -> str:
    return f"{kind}:{name}"


def _named(row: Row) -> dict[str, Any]:
    return dict(zip(ImportedMember.__struct_fields__, row, strict=False))


def _json_of(value: Any) -> str:
    return msgspec.json.encode(value).decode()
