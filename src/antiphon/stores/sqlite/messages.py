"""Messages in SQLite: rows in the order of (chat, seq), so that a page is one short walk."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from antiphon.core.ports import Slice
from antiphon.domain import limits
from antiphon.domain.errors import ChatFull, ChatNotFound, ConnectionNotFound, MessageIdTaken
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.messages import ASSISTANT, Draft, Message, Page
from antiphon.domain.participants import PEER
from antiphon.domain.webhooks import said_of
from antiphon.stores.sqlite.database import Cursor, Row
from antiphon.stores.sqlite.file import File
from antiphon.stores.sqlite.participants import ensure_participant
from antiphon.stores.sqlite.sessions import join
from antiphon.stores.sqlite.webhooks import tell_of_append
from antiphon.stores.sqlite.writer import Transaction

_SEQ_BITS = 23


def place_of(chat_num: int, seq: int) -> int:
    """Where a message stands in the table."""
    return chat_num << _SEQ_BITS | seq


class SqliteMessages:
    """`core.ports.MessageStore`."""

    def __init__(self, file: File) -> None:
        self._file = file

    async def append(
        self, tenant_id: Uid, chat_key: Uid, drafts: Sequence[Draft], connection_id: Uid | None = None
    ) -> list[Message]:
        """See the port."""

        def operation(tx: Transaction) -> list[Message]:
            return append_in(tx, tenant_id, chat_key, drafts, connection_id)

        return await self._file.write(operation)

    async def page(self, tenant_id: Uid, chat_key: Uid, part: Slice) -> Page:
        """See the port."""
        with self._file.snapshot() as read:
            head = _head(read, tenant_id, chat_key)
            if _expected_size(head, part.limit) <= limits.LOOP_READ_BYTES:
                return _page(read, tenant_id, head, part)
        return await self._file.read_apart(lambda read: _page(read, tenant_id, _head(read, tenant_id, chat_key), part))

    async def page_of_single(self, tenant_id: Uid, session_id: str, part: Slice) -> Page:
        """See the port."""
        key = self._file.row("key_of_single", tenant_id=tenant_id, session_id=session_id)
        if key is None:
            raise ChatNotFound
        return await self.page(tenant_id, key[0], part)

    async def find(self, tenant_id: Uid, chat_key: Uid, message_id: Uid) -> Message | None:
        """See the port."""
        with self._file.snapshot() as read:
            head = read.row("chat_head", tenant_id=tenant_id, key=chat_key)
            row = read.row("find_message", tenant_id=tenant_id, id=message_id)
        return Message(*row[1:]) if head and row and row[0] == head[0] else None

    async def find_by_client_id(self, tenant_id: Uid, chat_key: Uid, client_id: str) -> Message | None:
        """See the port."""
        with self._file.snapshot() as read:
            row = read.row("find_message_by_client_id", tenant_id=tenant_id, key=chat_key, client_id=client_id)
        return Message(*row) if row else None

    async def span(
        self,
        tenant_id: Uid,
        chat_key: Uid,
        first: int,
        last: int,
        limit: int,
        characters: int,
        *,
        is_reversed: bool = False,
    ) -> list[Message]:
        """See the port."""
        statement = "messages_of_span_reversed" if is_reversed else "messages_of_span"

        def work(read: Cursor) -> list[Message]:
            num = _head(read, tenant_id, chat_key)[0]
            rows = read.rows(
                statement,
                tenant_id=tenant_id,
                low=place_of(num, first),
                high=place_of(num, last),
                limit=limit,
                characters=characters,
            )
            return [Message(*row) for row in rows]

        return await self._file.read_apart(work)

    async def latest(self, tenant_id: Uid, chat_key: Uid, limit: int) -> list[Message]:
        """See the port."""
        page = await self.page(tenant_id, chat_key, Slice(0, limit, is_reversed=True))
        return page.items[::-1]


def append_in(
    tx: Transaction,
    tenant_id: Uid,
    chat_key: Uid,
    drafts: Sequence[Draft],
    connection_id: Uid | None = None,
    ids: Sequence[Uid] | None = None,
) -> list[Message]:
    """Append in a transaction that is open; with these ids where some are given. Raises what the port says."""
    num, last_seq, session_key, told_id = _advance(tx, tenant_id, chat_key, drafts)
    if connection_id is not None and tx.row("find_live_connection", tenant_id=tenant_id, id=connection_id) != (
        chat_key,
    ):
        raise ConnectionNotFound
    authors: dict[str, Uid] = {}
    for draft in drafts:
        if draft.author not in authors:
            authors[draft.author] = _author(tx, tenant_id, session_key, draft.author)
    first = last_seq - len(drafts) + 1
    stored = [
        _message(tx, draft, first + i, ids[i] if ids is not None else new_uid7()) for i, draft in enumerate(drafts)
    ]
    for message in stored:
        insert_message(tx, tenant_id, num, authors[message.author], message)
    for message, draft in zip(stored, drafts, strict=True):
        insert_mark(tx, tenant_id, chat_key, message.id, draft)
    if told_id is not None:
        tell_of_append(tx, tenant_id, said_of(chat_key, told_id, drafts, stored))
    return stored


def insert_mark(tx: Transaction, tenant_id: Uid, chat_key: Uid, message_id: Uid, draft: Draft) -> None:
    """What the draft of a message says of itself, where it says it."""
    if draft.is_reasoned is not None:
        marked = {"tenant_id": tenant_id, "key": chat_key, "id": message_id}
        tx.run("insert_reasoning_mark", **marked, is_on=int(draft.is_reasoned))


def size_of(said: Draft | Message) -> int:
    """How many characters a message has in all."""
    return len(said.text) + len(said.parts or "") + len(said.metadata)


def _head(read: Cursor, tenant_id: Uid, chat_key: Uid) -> Row:
    head = read.row("chat_head", tenant_id=tenant_id, key=chat_key)
    if head is None:
        raise ChatNotFound
    return head


def _expected_size(head: Row, limit: int) -> int:
    count: int = head[2]
    size: int = head[3]
    return size * min(limit, count) // max(count, 1)


def _advance(tx: Transaction, tenant_id: Uid, chat_key: Uid, drafts: Sequence[Draft]) -> Row:
    """Take the places of the drafts; this is where an append to a deleted chat ends.

    The chat's number, its last place, its session's key, and its id where a webhook wants to be told.
    """
    answers = [draft for draft in drafts if draft.role == ASSISTANT]
    row = tx.row(
        "advance_chat",
        tenant_id=tenant_id,
        key=chat_key,
        count=len(drafts),
        size=sum(map(size_of, drafts)),
        said_at=_moment(tx, drafts[-1]),
        answered_at=_moment(tx, answers[-1]) if answers else None,
        now=tx.now,
    )
    if row is None:
        raise ChatNotFound
    if row[1] > limits.MESSAGES_PER_CHAT:
        raise ChatFull
    return row


def _moment(tx: Transaction, draft: Draft) -> int:
    return tx.now if draft.created_at is None else draft.created_at


def _author(tx: Transaction, tenant_id: Uid, session_key: Uid, name: str) -> Uid:
    """Who says it: made when missing, and a member from now on. Mostly it is one, so that is asked first."""
    member = tx.row("find_speaker", tenant_id=tenant_id, session_key=session_key, kind=PEER, name=name)
    if member is not None:
        found: Uid = member[0]
        return found
    who, _ = ensure_participant(tx, tenant_id, PEER, name)
    join(tx, tenant_id, session_key, who.id)
    return who.id


def _message(tx: Transaction, draft: Draft, seq: int, message_id: Uid) -> Message:
    return Message(
        message_id,
        seq,
        draft.client_id,
        draft.role,
        draft.author,
        draft.text,
        draft.parts,
        draft.metadata,
        draft.token_count,
        _moment(tx, draft),
    )


def insert_message(tx: Transaction, tenant_id: Uid, num: int, author_id: Uid, message: Message) -> None:
    """Store a message at its place. Raises MessageIdTaken."""
    try:
        tx.run(
            "insert_message",
            place=place_of(num, message.seq),
            tenant_id=tenant_id,
            id=message.id,
            client_id=message.client_id,
            role=message.role,
            author_id=author_id,
            author=message.author,
            text=message.text,
            parts=message.parts,
            metadata=message.metadata,
            token_count=message.token_count,
            created_at=message.created_at,
        )
    except apsw.ConstraintError as error:
        if "messages_by_client_id" in str(error):
            raise MessageIdTaken from None
        raise


def _page(read: Cursor, tenant_id: Uid, head: Row, part: Slice) -> Page:
    """The page of a head in the same snapshot. While nothing was removed from the middle, an offset is a place."""
    num, last_seq, count, _ = head
    low, high, offset = 1, last_seq, part.offset
    if count == last_seq:
        offset = 0
        if part.is_reversed:
            high = last_seq - part.offset
        else:
            low = 1 + part.offset
    rows: list[Row] = []
    if low <= high:
        rows = read.rows(
            "messages_between_reversed" if part.is_reversed else "messages_between",
            tenant_id=tenant_id,
            low=place_of(num, low),
            high=place_of(num, high),
            limit=part.limit,
            offset=offset,
        )
    return Page([Message(*row) for row in rows], count)
