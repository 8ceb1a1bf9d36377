"""Pages in SQLite, each on a thread of its own: one of everything may have to look at much."""

from __future__ import annotations

from typing import Any

import msgspec

from antiphon.core.ports.pages import Choice
from antiphon.domain.chats import Chat
from antiphon.domain.ids import Uid
from antiphon.domain.keys import Key
from antiphon.domain.participants import Participant
from antiphon.domain.sessions import Session, SessionCard
from antiphon.domain.tenants import Tenant
from antiphon.stores.sqlite.chat_rows import chat_of
from antiphon.stores.sqlite.database import Row
from antiphon.stores.sqlite.file import File
from antiphon.stores.sqlite.participants import participant_of


class SqlitePages:
    """`core.ports.PageStore`."""

    def __init__(self, file: File) -> None:
        self._file = file

    async def tenants(self, after: Uid | None, limit: int) -> list[Tenant]:
        """See the port."""
        return [Tenant(*row) for row in await self._rows("page_tenants", after=after, limit=limit)]

    async def keys(self, tenant_id: Uid, after: Uid | None, limit: int) -> list[Key]:
        """See the port."""
        return [Key(*row) for row in await self._rows("page_keys", tenant_id=tenant_id, after=after, limit=limit)]

    async def participants(
        self, tenant_id: Uid, kind: str | None, name: str | None, after: Uid | None, limit: int
    ) -> list[Participant]:
        """See the port."""
        asked = {"tenant_id": tenant_id, "kind": kind, "name": name, "after": after, "limit": limit}
        return [participant_of(row) for row in await self._rows("page_participants", **asked)]

    async def sessions(
        self, tenant_id: Uid, choice: Choice, shape: str | None, before: Uid | None, limit: int
    ) -> list[SessionCard]:
        """See the port."""
        statement = "page_sessions" if choice.is_everything else "page_chosen_sessions"
        asked = {"tenant_id": tenant_id, "shape": shape, "before": before, "limit": limit}
        rows = await self._rows(statement, **asked, **msgspec.structs.asdict(choice))
        return [SessionCard(Session(*row[:-2]), *row[-2:]) for row in rows]

    async def chats(self, tenant_id: Uid, choice: Choice, before: Uid | None, limit: int) -> list[Chat]:
        """See the port."""
        statement = "page_chats" if choice.is_everything else "page_chosen_chats"
        asked = {"tenant_id": tenant_id, "before": before, "limit": limit}
        return [chat_of(row) for row in await self._rows(statement, **asked, **msgspec.structs.asdict(choice))]

    async def _rows(self, name: str, /, **values: Any) -> list[Row]:
        return await self._file.read_apart(lambda read: read.rows(name, **values))
