"""Conclusions and cards in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from antiphon.core.ports import Slice
from antiphon.domain.conclusions import EXPLICIT, Conclusion, ConclusionDraft
from antiphon.domain.errors import ParticipantNotFound, SessionNotFound
from antiphon.domain.filters import Filter
from antiphon.domain.ids import Uid, new_uid7, short_of
from antiphon.domain.participants import PEER, Participant
from antiphon.domain.reasoning import SessionUnits
from antiphon.domain.sessions import SINGLE, Session
from antiphon.stores.postgres.database import Cursor, Database
from antiphon.stores.postgres.lists import CONCLUSIONS, unpack
from antiphon.stores.postgres.participants import ensure_participants


class PostgresConclusions:
    """`core.ports.conclusions.ConclusionStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, tenant_id: Uid, drafts: Sequence[ConclusionDraft]) -> list[Conclusion]:
        """See the port."""

        async def operation(tx: Cursor) -> list[Conclusion]:
            sessions = {draft.session_id: draft for draft in drafts if draft.session_id is not None}
            keys = {name: await _session_key(tx, tenant_id, name) for name in sorted(sessions)}
            names = list({name for draft in drafts for name in (draft.observer, draft.observed)})
            rows = await tx.rows("find_participants", tenant_id=tenant_id, kind=PEER, names=names)
            ids = {one.name: one.id for one in (Participant(*row) for row in rows) if not one.is_implied}
            return [await _add(tx, tenant_id, draft, ids, keys) for draft in drafts]

        return await self._database.transact(operation)

    async def delete(self, tenant_id: Uid, conclusion_id: str) -> bool:
        """See the port."""
        return bool(await self._database.write_rows("delete_conclusion", tenant_id=tenant_id, id=conclusion_id))

    async def count_units(self, tenant_id: Uid, session_id: str | None, author: str | None) -> list[SessionUnits]:
        """See the port."""
        rows = await self._database.rows("count_units", tenant_id=tenant_id, session_id=session_id, author=author)
        return [SessionUnits(*row) for row in rows]

    async def find_card(self, tenant_id: Uid, observer_id: Uid, observed_id: Uid) -> str | None:
        """See the port."""
        row = await self._database.row(
            "find_card", tenant_id=tenant_id, observer_id=observer_id, observed_id=observed_id
        )
        return row[0] if row else None

    async def put_card(self, tenant_id: Uid, observer: str, observed: str, lines: str) -> None:
        """See the port."""

        async def operation(tx: Cursor) -> None:
            ids, _ = await ensure_participants(tx, tenant_id, [observer, observed])
            await tx.run(
                "put_card", tenant_id=tenant_id, observer_id=ids[observer], observed_id=ids[observed], lines=lines
            )

        await self._database.transact(operation)

    async def list(self, tenant_id: Uid, tenant_name: str, wanted: Filter, part: Slice) -> tuple[list[Conclusion], int]:
        """See the port."""
        values: dict[str, Any] = {
            "tenant_id": tenant_id,
            "tenant_name": tenant_name,
            "limit": part.limit,
            "offset": part.offset,
        }
        rows = await self._database.filtered(
            "filter_conclusions", wanted, CONCLUSIONS, is_reversed=part.is_reversed, **values
        )
        return unpack(rows, Conclusion)


async def _add(
    tx: Cursor, tenant_id: Uid, draft: ConclusionDraft, ids: dict[str, Uid], keys: dict[str, Uid]
) -> Conclusion:
    if not {draft.observer, draft.observed} <= set(ids):
        raise ParticipantNotFound
    key = new_uid7()
    made = Conclusion(short_of(key), draft.observer, draft.observed, draft.session_id, draft.content, EXPLICIT, tx.now)
    await tx.run(
        "insert_conclusion",
        tenant_id=tenant_id,
        key=key,
        id=made.id,
        observer_id=ids[draft.observer],
        observed_id=ids[draft.observed],
        session_key=keys.get(draft.session_id) if draft.session_id is not None else None,
        content=made.content,
        level=made.level,
        now=tx.now,
    )
    return made


async def _session_key(tx: Cursor, tenant_id: Uid, session_id: str) -> Uid:
    """The session, held: it cannot be detached before what is drawn from it is there to go with it."""
    row = await tx.row("lock_session", tenant_id=tenant_id, id=session_id)
    if row is None or (session := Session(*row)).shape != SINGLE:
        raise SessionNotFound
    return session.key
