"""Chats in SQLite."""

from __future__ import annotations

import msgspec

from antiphon.core.ports import Slice
from antiphon.domain import limits, times
from antiphon.domain.chats import DEFAULT_TITLE, Chat
from antiphon.domain.errors import (
    AccessDenied,
    ChatIdTaken,
    ChatNotFound,
    LimitExceeded,
    MessageNotFound,
    SessionIdTaken,
    SessionNotFound,
    VersionChanged,
)
from antiphon.domain.ids import Uid, new_public_id
from antiphon.domain.messages import Draft, Message
from antiphon.domain.participants import PEER
from antiphon.domain.sessions import MULTI, SINGLE
from antiphon.stores.copying import check_copy, draft_of
from antiphon.stores.sqlite.chat_rows import NewChat, add_chat, chat_of
from antiphon.stores.sqlite.file import File
from antiphon.stores.sqlite.messages import append_in, place_of
from antiphon.stores.sqlite.participants import check_participant, ensure_participant
from antiphon.stores.sqlite.sessions import add_session, new_session
from antiphon.stores.sqlite.turns import check_free, find_message_in, remove_after, span_after
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

    async def list_said(
        self, tenant_id: Uid, owner_id: Uid | None, artist_id: str | None, limit: int
    ) -> list[tuple[Chat, str | None]]:
        """See the port."""
        asked = {"tenant_id": tenant_id, "artist_id": artist_id, "limit": limit}
        if owner_id is None:
            rows = await self._file.read_apart(lambda read: read.rows("list_said", **asked))
        else:
            rows = await self._file.read_apart(lambda read: read.rows("list_said_of_owner", owner_id=owner_id, **asked))
        return [(chat_of(row[1:]), row[0]) for row in rows]

    async def put_single(
        self, tenant_id: Uid, owner_id: Uid, chat_id: str, title: str | None, artist_id: str | None
    ) -> Chat:
        """See the port."""

        def operation(tx: Transaction) -> Chat:
            row = tx.row("find_chat", tenant_id=tenant_id, id=chat_id)
            if row is None:
                return _make_single(tx, tenant_id, owner_id, chat_id, title, artist_id)
            chat = chat_of(row)
            if chat.session_shape != SINGLE:
                raise ChatNotFound
            if chat.owner_id != owner_id:
                raise AccessDenied
            if artist_id is not None:
                tx.run("set_artist", tenant_id=tenant_id, key=row[2], artist_id=artist_id)
            return _change(tx, tenant_id, chat.key, title, None)

        return await self._file.write(operation)

    async def change(
        self, tenant_id: Uid, chat_key: Uid, title: str | None, model: str | None, seen_at: int | None = None
    ) -> Chat:
        """See the port."""
        return await self._file.write(lambda tx: _change(tx, tenant_id, chat_key, title, model, seen_at))

    async def cut(self, tenant_id: Uid, chat_key: Uid, message_id: Uid) -> int:
        """See the port."""

        def operation(tx: Transaction) -> int:
            num = _hold(tx, tenant_id, chat_key)
            message = find_message_in(tx, tenant_id, num, message_id)
            if message is None:
                raise MessageNotFound
            place = {"low": place_of(num, 1), "place": place_of(num, message.seq)}
            before = tx.row("place_before", tenant_id=tenant_id, **place)
            removed = remove_after(tx, tenant_id, chat_key, num, before[0] if before else place_of(num, 0))
            _change(tx, tenant_id, chat_key, None, None)
            return removed

        return await self._file.write(operation)

    async def copy(self, tenant_id: Uid, source_key: Uid, target_key: Uid, *, is_clearing: bool) -> int:
        """See the port."""

        def operation(tx: Transaction) -> int:
            source = tx.row("chat_head", tenant_id=tenant_id, key=source_key)
            if source is None or tx.row("is_chat_attached", tenant_id=tenant_id, key=target_key) is None:
                raise ChatNotFound
            drafts = _copies(tx, tenant_id, source[0])
            if is_clearing:
                num = _hold(tx, tenant_id, target_key)
                remove_after(tx, tenant_id, target_key, num, place_of(num, 0))
                _change(tx, tenant_id, target_key, None, None)
            if drafts:
                append_in(tx, tenant_id, target_key, drafts)
            return len(drafts)

        return await self._file.write(operation)

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


def _make_single(
    tx: Transaction, tenant_id: Uid, owner_id: Uid, chat_id: str, title: str | None, artist_id: str | None
) -> Chat:
    if tx.row("find_session", tenant_id=tenant_id, id=chat_id) is not None:
        raise SessionIdTaken
    name = DEFAULT_TITLE if title is None else title
    session = new_session(tx.now, chat_id, SINGLE, owner_id, name)
    check_participant(tx, tenant_id, owner_id)
    add_session(tx, tenant_id, msgspec.structs.replace(session, artist_id=artist_id))
    return add_chat(tx, tenant_id, NewChat(chat_id, session.key, owner_id, name, None, "{}"))


def _change(
    tx: Transaction, tenant_id: Uid, chat_key: Uid, title: str | None, model: str | None, seen_at: int | None = None
) -> Chat:
    """Change what was given, and in any case `updated_at`."""
    asked = {"tenant_id": tenant_id, "key": chat_key}
    is_done = tx.row("change_chat", **asked, title=title, model=model, seen_at=seen_at, now=tx.now) is not None
    row = tx.row("find_chat_by_key", **asked)
    if row is None:
        raise ChatNotFound
    if not is_done:
        raise VersionChanged
    return chat_of(row)


def _hold(tx: Transaction, tenant_id: Uid, chat_key: Uid) -> int:
    """The number of a chat that is not being answered, whose last turn's events are forgotten."""
    row = tx.row("chat_to_claim", tenant_id=tenant_id, key=chat_key)
    if row is None:
        raise ChatNotFound
    num: int
    _, active_turn, last_turn, num = row
    check_free(tx, tenant_id, active_turn)
    if last_turn is not None:
        tx.run("delete_events", tenant_id=tenant_id, turn_id=last_turn)
    return num


def _copies(tx: Transaction, tenant_id: Uid, num: int) -> list[Draft]:
    """All messages of a chat as they are to be appended elsewhere. Raises LimitExceeded."""
    span = {"tenant_id": tenant_id, **span_after(num, place_of(num, 0))}
    check_copy(*tx.rows("messages_after", **span, limit=limits.MESSAGES_PER_COPY + 1)[0])
    rows = tx.rows("messages_between", **span, limit=limits.MESSAGES_PER_COPY, offset=0)
    return [draft_of(Message(*row)) for row in rows]


def _generated_title(now: int) -> str:
    """`Chat` and the moment to the minute, in UTC."""
    return f"Chat {times.text_of(now)[:16].replace('T', ' ')}"
