"""Chats in PostgreSQL."""

from __future__ import annotations

from antiphon.core.ports import Slice
from antiphon.domain import limits, times
from antiphon.domain.chats import Chat
from antiphon.domain.errors import (
    ChatIdTaken,
    ChatNotFound,
    LimitExceeded,
    ParticipantNotFound,
    SessionNotFound,
    StoreUnavailable,
)
from antiphon.domain.ids import Uid, is_canonical_uuid, new_public_id, new_uid7
from antiphon.domain.sessions import MULTI
from antiphon.stores.postgres.database import Cursor, Database, Row
from antiphon.stores.postgres.sessions import NewSingle, add_single, owner_of_single


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


def _generated_title(now: int) -> str:
    """`Chat` and the moment to the minute, in UTC."""
    return f"Chat {times.text_of(now)[:16].replace('T', ' ')}"
