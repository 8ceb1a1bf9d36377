"""Chats in PostgreSQL."""

from __future__ import annotations

from antiphon.core.ports import Slice
from antiphon.domain import limits, times
from antiphon.domain.chats import DEFAULT_TITLE, Chat
from antiphon.domain.errors import (
    AccessDenied,
    ChatIdTaken,
    ChatNotFound,
    LimitExceeded,
    MessageNotFound,
    ParticipantNotFound,
    SessionIdTaken,
    SessionNotFound,
    StoreUnavailable,
    VersionChanged,
)
from antiphon.domain.ids import Uid, is_canonical_uuid, new_public_id, new_uid7
from antiphon.domain.messages import Draft, Message
from antiphon.domain.sessions import MULTI, SINGLE
from antiphon.stores.copying import check_copy, draft_of
from antiphon.stores.postgres.appends import Append, append_in
from antiphon.stores.postgres.database import Cursor, Database, Row
from antiphon.stores.postgres.sessions import NewSingle, add_single, owner_of_single
from antiphon.stores.postgres.turns import check_free, remove_after


def chat_of(row: Row) -> Chat:
    """The chat of a row of `chat_rows`, which begins with three columns of the store's own."""
    return Chat(*row[3:])


class PostgresChats:
    """`core.ports.ChatStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, tenant_id: Uid, session_key: Uid, owner_id: Uid, chat_id: str, title: str, model: str | None
    ) -> tuple[Chat, bool]:
        """See the port."""
        rows = await self._database.write_rows(
            "create_chat",
            tenant_id=tenant_id,
            key=new_uid7(),
            id=chat_id,
            is_uuid=is_canonical_uuid(chat_id),
            session_key=session_key,
            owner_id=owner_id,
            title=title,
            model=model,
            chats_max=limits.CHATS_PER_SESSION,
            now=times.now(),
        )
        if not rows:
            raise await self._reason_for_none(tenant_id, session_key, owner_id)
        is_new, *columns = rows[0]
        if columns[2] != session_key:
            raise ChatIdTaken
        return Chat(*columns[3:]), is_new

    async def _reason_for_none(self, tenant_id: Uid, session_key: Uid, owner_id: Uid) -> Exception:
        row = await self._database.row("session_room", tenant_id=tenant_id, key=session_key)
        if row is None or row[0] != MULTI:
            return SessionNotFound()
        if row[1] >= limits.CHATS_PER_SESSION:
            return LimitExceeded(f"a session has at most {limits.CHATS_PER_SESSION} chats")
        if await self._database.row("find_participant_by_id", tenant_id=tenant_id, id=owner_id) is None:
            return ParticipantNotFound()
        return StoreUnavailable()  # it had no room when it was asked, and has some now

    async def create_single(
        self, tenant_id: Uid, owner_name: str, title: str | None, metadata: str
    ) -> tuple[Chat, bool]:
        """See the port."""
        now = times.now()
        public_id = new_public_id()
        new = NewSingle(
            session_id=public_id,
            owner_name=owner_name,
            title=title if title is not None else _generated_title(now),
            metadata=metadata,
            configuration="{}",
            chat_id=public_id,
            chat_metadata=metadata,
            session_key=new_uid7(),
            chat_key=new_uid7(),
        )
        owner_id = owner_of_single(await self._database.write_rows("create_single", **new.values(tenant_id, now)))
        if owner_id is not None:
            return new.chat_of(owner_id, now), False

        async def operation(tx: Cursor) -> tuple[Chat, bool]:
            owner_id, is_new = await add_single(tx, tenant_id, new)
            return new.chat_of(owner_id, tx.now), is_new

        return await self._database.transact(operation)

    async def find(self, tenant_id: Uid, chat_id: str) -> Chat | None:
        """See the port."""
        row = await self._database.row("find_chat", tenant_id=tenant_id, id=chat_id)
        return chat_of(row) if row else None

    async def find_by_key(self, tenant_id: Uid, key: Uid) -> Chat | None:
        """See the port."""
        row = await self._database.row("find_chat_by_key", tenant_id=tenant_id, key=key)
        return chat_of(row) if row else None

    async def find_of_single(self, tenant_id: Uid, session_id: str) -> Chat | None:
        """See the port."""
        row = await self._database.row("find_chat_of_single", tenant_id=tenant_id, session_id=session_id)
        return chat_of(row) if row else None

    async def list_of_session(self, tenant_id: Uid, session_key: Uid) -> list[Chat]:
        """See the port."""
        rows = await self._database.rows(
            "list_chats_of_session", tenant_id=tenant_id, session_key=session_key, limit=limits.CHATS_PER_SESSION
        )
        return [chat_of(row) for row in rows]

    async def list_of_owner(self, tenant_id: Uid, owner_name: str, part: Slice) -> tuple[list[Chat], int]:
        """See the port."""
        rows = await self._database.rows(
            "list_chats_of_owner_reversed" if part.is_reversed else "list_chats_of_owner",
            tenant_id=tenant_id,
            name=owner_name,
            limit=part.limit,
            offset=part.offset,
        )
        return [chat_of(row[1:]) for row in rows if row[1] is not None], rows[0][0] if rows else 0

    async def list_said(
        self, tenant_id: Uid, owner_id: Uid | None, artist_id: str | None, limit: int
    ) -> list[tuple[Chat, str | None]]:
        """See the port."""
        asked = {"tenant_id": tenant_id, "artist_id": artist_id, "limit": limit}
        if owner_id is None:
            rows = await self._database.rows("list_said", **asked)
        else:
            rows = await self._database.rows("list_said_of_owner", owner_id=owner_id, **asked)
        return [(Chat(*row[4:]), row[0]) for row in rows]

    async def put_single(
        self, tenant_id: Uid, owner_id: Uid, chat_id: str, title: str | None, artist_id: str | None
    ) -> Chat:
        """See the port."""

        async def operation(tx: Cursor) -> Chat:
            # The session is looked for first: whoever makes both meanwhile is then seen with the chat, or met later.
            is_taken = await tx.row("find_session", tenant_id=tenant_id, id=chat_id) is not None
            row = await tx.row("find_chat", tenant_id=tenant_id, id=chat_id)
            if row is None and is_taken:
                raise SessionIdTaken
            if row is None:
                return await _make_single(tx, tenant_id, owner_id, chat_id, title, artist_id)
            chat = chat_of(row)
            if chat.session_shape != SINGLE:
                raise ChatNotFound
            if chat.owner_id != owner_id:
                raise AccessDenied
            if artist_id is not None:
                await tx.run("set_artist", tenant_id=tenant_id, key=row[2], artist_id=artist_id)
            return await _change(tx, tenant_id, chat.key, title, None)

        return await self._database.transact(operation)

    async def change(
        self, tenant_id: Uid, chat_key: Uid, title: str | None, model: str | None, seen_at: int | None = None
    ) -> Chat:
        """See the port."""
        return await self._database.transact(lambda tx: _change(tx, tenant_id, chat_key, title, model, seen_at))

    async def cut(self, tenant_id: Uid, chat_key: Uid, message_id: Uid) -> int:
        """See the port."""

        async def operation(tx: Cursor) -> int:
            await _hold(tx, tenant_id, chat_key)
            row = await tx.row("find_message", tenant_id=tenant_id, key=chat_key, id=message_id)
            if row is None:
                raise MessageNotFound
            before = await tx.row("place_before", tenant_id=tenant_id, key=chat_key, seq=Message(*row).seq)
            removed = await remove_after(tx, tenant_id, chat_key, before[0] if before else 0)
            await _change(tx, tenant_id, chat_key, None, None)
            return removed

        return await self._database.transact(operation)

    async def copy(self, tenant_id: Uid, source_key: Uid, target_key: Uid, *, is_clearing: bool) -> int:
        """See the port."""

        async def operation(tx: Cursor) -> int:
            if await tx.row("lock_chat", tenant_id=tenant_id, key=target_key) is None:
                raise ChatNotFound
            drafts = await _copies(tx, tenant_id, source_key)
            if is_clearing:
                await _hold(tx, tenant_id, target_key)
                await remove_after(tx, tenant_id, target_key, 0)
                await _change(tx, tenant_id, target_key, None, None)
            if drafts:
                await append_in(tx, tenant_id, Append(target_key, drafts, None))
            return len(drafts)

        return await self._database.transact(operation)

    async def read_marks(self, tenant_id: Uid, session_key: Uid, participant_id: Uid) -> dict[Uid, int]:
        """See the port."""
        rows = await self._database.rows(
            "list_reads", tenant_id=tenant_id, session_key=session_key, participant_id=participant_id
        )
        return {row[0]: row[1] for row in rows}

    async def mark_read(self, tenant_id: Uid, chat_key: Uid, participant_id: Uid) -> None:
        """See the port."""
        rows = await self._database.write_rows(
            "upsert_read",
            is_idempotent=True,
            tenant_id=tenant_id,
            chat_key=chat_key,
            participant_id=participant_id,
            now=times.now(),
        )
        if not rows:
            is_there = await self.find_by_key(tenant_id, chat_key) is not None
            raise ParticipantNotFound if is_there else ChatNotFound


async def _make_single(
    tx: Cursor, tenant_id: Uid, owner_id: Uid, chat_id: str, title: str | None, artist_id: str | None
) -> Chat:
    owner = await tx.row("find_participant_by_id", tenant_id=tenant_id, id=owner_id)
    if owner is None:
        raise ParticipantNotFound
    new = NewSingle(
        session_id=chat_id,
        owner_name=owner[2],
        title=DEFAULT_TITLE if title is None else title,
        metadata="{}",
        configuration="{}",
        chat_id=chat_id,
        chat_metadata="{}",
        session_key=new_uid7(),
        chat_key=new_uid7(),
        is_owner_implied=True,
    )
    await add_single(tx, tenant_id, new)
    if artist_id is not None:
        await tx.run("set_artist", tenant_id=tenant_id, key=new.session_key, artist_id=artist_id)
    return new.chat_of(owner_id, tx.now)


async def _change(
    tx: Cursor, tenant_id: Uid, chat_key: Uid, title: str | None, model: str | None, seen_at: int | None = None
) -> Chat:
    """Change what was given, and in any case `updated_at`."""
    asked = {"tenant_id": tenant_id, "key": chat_key}
    is_done = await tx.row("change_chat", **asked, title=title, model=model, seen_at=seen_at, now=tx.now) is not None
    row = await tx.row("find_chat_by_key", **asked)
    if row is None:
        raise ChatNotFound
    if not is_done:
        raise VersionChanged
    return chat_of(row)


async def _hold(tx: Cursor, tenant_id: Uid, chat_key: Uid) -> None:
    """Hold a chat that is not being answered, and forget the events of its last turn."""
    row = await tx.row("chat_to_claim", tenant_id=tenant_id, key=chat_key)
    if row is None:
        raise ChatNotFound
    _, active_turn, last_turn = row
    await check_free(tx, tenant_id, active_turn)
    if last_turn is not None:
        await tx.run("delete_events", tenant_id=tenant_id, turn_id=last_turn)


async def _copies(tx: Cursor, tenant_id: Uid, chat_key: Uid) -> list[Draft]:
    """All messages of a chat as they are to be appended elsewhere. Raises ChatNotFound and LimitExceeded."""
    source = {"tenant_id": tenant_id, "key": chat_key}
    check_copy(*(await tx.rows("messages_after", **source, seq=0, limit=limits.MESSAGES_PER_COPY + 1))[0])
    rows = await tx.rows("messages_between", **source, limit=limits.MESSAGES_PER_COPY, offset=0)
    if not rows:
        raise ChatNotFound
    return [draft_of(Message(*row[1:])) for row in rows if row[1] is not None]


def _generated_title(now: int) -> str:
    """`Chat` and the moment to the minute, in UTC."""
    return f"Chat {times.text_of(now)[:16].replace('T', ' ')}"
