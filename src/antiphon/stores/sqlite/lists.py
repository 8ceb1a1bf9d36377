"""Filtered lists in SQLite: each on a thread of its own, since nobody knows how much of a table it reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from antiphon.core.ports import Slice
from antiphon.domain.filters import EVERYTHING, Filter
from antiphon.domain.ids import Uid
from antiphon.domain.messages import Message, Page
from antiphon.domain.participants import Participant
from antiphon.domain.sessions import Session
from antiphon.domain.tenants import Tenant
from antiphon.stores.sqlite.database import Row
from antiphon.stores.sqlite.file import File

T = TypeVar("T")

_NAME = ":tenant_name"
TENANTS = {"id": "t.name", "created_at": "t.created_at", "metadata": "t.metadata"}
PARTICIPANTS = {"id": "p.name", "tenant": _NAME, "created_at": "p.created_at", "metadata": "p.metadata"}
SESSIONS = {"id": "s.id", "is_active": "1", "tenant": _NAME, "created_at": "s.created_at", "metadata": "s.metadata"}
MESSAGES = {
    "author": "m.author",
    "session": "s.id",
    "tenant": _NAME,
    "created_at": "m.created_at",
    "token_count": "coalesce(m.token_count, 0)",
    "metadata": "m.metadata",
    "text": "m.text",
    "perspective": (
        "EXISTS (SELECT 1 FROM members w JOIN participants v ON v.tenant_id = w.tenant_id AND v.id = w.participant_id "
        "WHERE w.tenant_id = c.tenant_id AND w.session_key = c.session_key AND v.kind = 'peer' AND v.name = {} "
        "AND w.joined_at <= m.created_at AND (w.left_at IS NULL OR m.created_at <= w.left_at))"
    ),
}
CONCLUSIONS = {
    "id": "c.id",
    "content": "c.content",
    "level": "c.level",
    "observer": "o.name",
    "observed": "d.name",
    "session": "s.id",
    "tenant": _NAME,
    "created_at": "c.created_at",
    "times_derived": "c.times_derived",
    "metadata": "c.metadata",
}
"""What the fields of filters are in the statements."""


class SqliteLists:
    """`core.ports.lists.ListStore`."""

    def __init__(self, file: File) -> None:
        self._file = file

    async def tenants(self, wanted: Filter, part: Slice) -> tuple[list[Tenant], int]:
        """See the port."""
        rows = await self._rows("filter_tenants", wanted, TENANTS, part)
        return unpack(rows, Tenant)

    async def participants(
        self, tenant_id: Uid, tenant_name: str, kind: str | None, wanted: Filter, part: Slice
    ) -> tuple[list[Participant], int]:
        """See the port."""
        whose = {"tenant_id": tenant_id, "tenant_name": tenant_name, "kind": kind}
        return unpack(await self._rows("filter_participants", wanted, PARTICIPANTS, part, **whose), Participant)

    async def sessions(
        self, tenant_id: Uid, tenant_name: str, participant_id: Uid | None, wanted: Filter, part: Slice
    ) -> tuple[list[Session], int]:
        """See the port."""
        whose = {"tenant_id": tenant_id, "tenant_name": tenant_name, "participant_id": participant_id}
        return unpack(await self._rows("filter_sessions", wanted, SESSIONS, part, **whose), Session)

    async def sessions_of_member(self, tenant_id: Uid, participant_id: Uid, part: Slice) -> tuple[list[Session], int]:
        """See the port."""
        whose = {"tenant_id": tenant_id, "participant_id": participant_id}
        return unpack(await self._rows("sessions_of_member", EVERYTHING, SESSIONS, part, **whose), Session)

    async def messages(self, tenant_id: Uid, tenant_name: str, chat_key: Uid, wanted: Filter, part: Slice) -> Page:
        """See the port."""
        whose = {"tenant_id": tenant_id, "tenant_name": tenant_name, "key": chat_key}
        return Page(*unpack(await self._rows("filter_messages", wanted, MESSAGES, part, **whose), Message))

    async def newest_messages(
        self, tenant_id: Uid, tenant_name: str, wanted: Filter, limit: int
    ) -> list[tuple[str, Message]]:
        """See the port."""
        values: dict[str, Any] = {"tenant_id": tenant_id, "tenant_name": tenant_name, "limit": limit}
        rows = await self._file.read_apart(lambda read: read.filtered("newest_messages", wanted, MESSAGES, **values))
        return [(row[0], Message(*row[1:])) for row in rows]

    async def _rows(self, name: str, wanted: Filter, columns: dict[str, str], part: Slice, **values: Any) -> list[Row]:
        values |= {"limit": part.limit, "offset": part.offset}
        return await self._file.read_apart(
            lambda read: read.filtered(name, wanted, columns, is_reversed=part.is_reversed, **values)
        )


def unpack(rows: list[Row], make: Callable[..., T]) -> tuple[list[T], int]:
    """What a filtered list found, and how many there are: the columns after the number and the place."""
    return [make(*row[2:]) for row in rows if row[1] is not None], rows[0][0]
