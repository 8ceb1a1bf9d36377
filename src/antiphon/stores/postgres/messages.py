"""Messages in PostgreSQL: rows in the order of (chat, seq), so that a page is one short walk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from antiphon.core.ports import Slice
from antiphon.domain.errors import ChatNotFound
from antiphon.domain.ids import Uid
from antiphon.domain.messages import Draft, Message, Page
from antiphon.stores.postgres.appends import Append, Appender
from antiphon.stores.postgres.database import Database


class PostgresMessages:
    """`core.ports.MessageStore`."""

    def __init__(self, database: Database, appender: Appender) -> None:
        self._database = database
        self._appender = appender

    async def append(
        self, tenant_id: Uid, chat_key: Uid, drafts: Sequence[Draft], connection_id: Uid | None = None
    ) -> list[Message]:
        """See the port."""
        return await self._appender.append(tenant_id, Append(chat_key, drafts, connection_id))

    async def page(self, tenant_id: Uid, chat_key: Uid, part: Slice) -> Page:
        """See the port."""
        statement = "messages_between_reversed" if part.is_reversed else "messages_between"
        return await self._page(statement, part, tenant_id=tenant_id, key=chat_key)

    async def page_of_single(self, tenant_id: Uid, session_id: str, part: Slice) -> Page:
        """See the port."""
        statement = "messages_of_single_reversed" if part.is_reversed else "messages_of_single"
        return await self._page(statement, part, tenant_id=tenant_id, session_id=session_id)

    async def _page(self, statement: str, part: Slice, **whose: Any) -> Page:
        """The messages behind how many there are. Raises ChatNotFound."""
        rows = await self._database.rows(statement, **whose, limit=part.limit, offset=part.offset)
        if not rows:
            raise ChatNotFound
        return Page([Message(*row[1:]) for row in rows if row[1] is not None], rows[0][0])

    async def find(self, tenant_id: Uid, chat_key: Uid, message_id: Uid) -> Message | None:
        """See the port."""
        row = await self._database.row("find_message", tenant_id=tenant_id, key=chat_key, id=message_id)
        return Message(*row) if row else None

    async def find_by_client_id(self, tenant_id: Uid, chat_key: Uid, client_id: str) -> Message | None:
        """See the port."""
        row = await self._database.row(
            "find_message_by_client_id", tenant_id=tenant_id, key=chat_key, client_id=client_id
        )
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
        rows = await self._database.rows(
            statement,
            tenant_id=tenant_id,
            key=chat_key,
            first=first,
            last=last,
            limit=limit,
            characters=characters,
        )
        if not rows:
            raise ChatNotFound
        return [Message(*row) for row in rows if row[0] is not None]

    async def latest(self, tenant_id: Uid, chat_key: Uid, limit: int) -> list[Message]:
        """See the port."""
        page = await self.page(tenant_id, chat_key, Slice(0, limit, is_reversed=True))
        return page.items[::-1]
