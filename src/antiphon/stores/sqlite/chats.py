"""Chats in SQLite."""

from __future__ import annotations

from antiphon.core.ports import Slice
from antiphon.domain import limits, times
from antiphon.domain.chats import Chat
from antiphon.domain.errors import ChatIdTaken, ChatNotFound, LimitExceeded, SessionNotFound
from antiphon.domain.ids import Uid, new_public_id
from antiphon.domain.participants import PEER
from antiphon.domain.sessions import MULTI, SINGLE
from antiphon.stores.sqlite.chat_rows import NewChat, add_chat, chat_of
from antiphon.stores.sqlite.file import File
from antiphon.stores.sqlite.participants import check_participant, ensure_participant
from antiphon.stores.sqlite.sessions import add_session, new_session
from antiphon.stores.sqlite.writer import Transaction


class SqliteChats:
    """`core.ports.ChatStore`."""

    def __init__(self, file: File) -> None:
        self._file = file

    async def create(
        self, tenant_id: Uid, session_key: Uid, owner_id: Uid, chat_id: str, title: str, model: str | None
    ) -> tuple[Chat, bool]:
        """See the port."""

        def operation(tx: Transaction) -> tuple[Chat, bool]:
            row = tx.row("find_chat", tenant_id=tenant_id, id=chat_id)
            if row is not None:
                if row[2] != session_key:
                    raise ChatIdTaken
                return chat_of(row), False
            counted = tx.row("count_session_chats", tenant_id=tenant_id, key=session_key, by=1)
            if counted is None or counted[1] != MULTI:
                raise SessionNotFound
            if counted[0] > limits.CHATS_PER_SESSION:
                raise LimitExceeded(f"a session has at most {limits.CHATS_PER_SESSION} chats")
            check_participant(tx, tenant_id, owner_id)
            return add_chat(tx, tenant_id, NewChat(chat_id, session_key, owner_id, title, model, "{}")), True

        return await self._file.write(operation)

    async def create_single(
        self, tenant_id: Uid, owner_name: str, title: str | None, metadata: str
    ) -> tuple[Chat, bool]:
        """See the port."""

        def operation(tx: Transaction) -> tuple[Chat, bool]:
            owner, is_new = ensure_participant(tx, tenant_id, PEER, owner_name)
            chat_id, name = new_public_id(), title if title is not None else _generated_title(tx.now)
            session = new_session(tx.now, chat_id, SINGLE, owner.id, name, metadata)
            add_session(tx, tenant_id, session)
            return add_chat(tx, tenant_id, NewChat(chat_id, session.key, owner.id, name, None, metadata)), is_new

        return await self._file.write(operation)

    async def find(self, tenant_id: Uid, chat_id: str) -> Chat | None:
        """See the port."""
        row = self._file.row("find_chat", tenant_id=tenant_id, id=chat_id)
        return chat_of(row) if row else None

    async def find_by_key(self, tenant_id: Uid, key: Uid) -> Chat | None:
        """See the port."""
        row = self._file.row("find_chat_by_key", tenant_id=tenant_id, key=key)
        return chat_of(row) if row else None

    async def find_of_single(self, tenant_id: Uid, session_id: str) -> Chat | None:
        """See the port."""
        row = self._file.row("find_chat_of_single", tenant_id=tenant_id, session_id=session_id)
        return chat_of(row) if row else None

    async def list_of_session(self, tenant_id: Uid, session_key: Uid) -> list[Chat]:
        """See the port."""
        asked = {"tenant_id": tenant_id, "session_key": session_key}
        rows = self._file.rows("list_chats_of_session", **asked, limit=limits.SHORT_LIST_ITEMS)
        if len(rows) == limits.SHORT_LIST_ITEMS:
            rows = await self._file.read_apart(
                lambda read: read.rows("list_chats_of_session", **asked, limit=limits.CHATS_PER_SESSION)
            )
        return [chat_of(row) for row in rows]

    async def list_of_owner(self, tenant_id: Uid, owner_name: str, part: Slice) -> tuple[list[Chat], int]:
        """See the port."""
        statement = "list_chats_of_owner_reversed" if part.is_reversed else "list_chats_of_owner"
        with self._file.snapshot() as read:
            owner = read.row("owned_chats", tenant_id=tenant_id, name=owner_name)
            if owner is None:
                return [], 0
            rows = read.rows(statement, tenant_id=tenant_id, owner_id=owner[0], limit=part.limit, offset=part.offset)
            return [chat_of(row) for row in rows], owner[1]

    async def read_marks(self, tenant_id: Uid, session_key: Uid, participant_id: Uid) -> dict[Uid, int]:
        """See the port."""
        return dict(
            self._file.rows("list_reads", tenant_id=tenant_id, session_key=session_key, participant_id=participant_id)
        )

    async def mark_read(self, tenant_id: Uid, chat_key: Uid, participant_id: Uid) -> None:
        """See the port."""

        def operation(tx: Transaction) -> None:
            if tx.row("is_chat_attached", tenant_id=tenant_id, key=chat_key) is None:
                raise ChatNotFound
            check_participant(tx, tenant_id, participant_id)
            tx.run(
                "upsert_read",
                tenant_id=tenant_id,
                chat_key=chat_key,
                participant_id=participant_id,
                now=tx.now,
            )

        await self._file.write(operation)


def _generated_title(now: int) -> str:
    """`Chat` and the moment to the minute, in UTC."""
    return f"Chat {times.text_of(now)[:16].replace('T', ' ')}"
