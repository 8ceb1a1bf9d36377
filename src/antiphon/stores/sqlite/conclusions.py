"""Conclusions and cards in SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from antiphon.core.ports import Slice
from antiphon.domain.conclusions import EXPLICIT, Conclusion, ConclusionDraft
from antiphon.domain.errors import ParticipantNotFound, SessionNotFound
from antiphon.domain.filters import Filter
from antiphon.domain.ids import Uid, new_uid7, short_of
from antiphon.domain.participants import PEER
from antiphon.domain.reasoning import SessionUnits
from antiphon.domain.sessions import SINGLE, Session
from antiphon.stores.sqlite.file import File
from antiphon.stores.sqlite.lists import CONCLUSIONS, unpack
from antiphon.stores.sqlite.participants import ensure_participant, participant_of
from antiphon.stores.sqlite.writer import Transaction


class SqliteConclusions:
    """`core.ports.conclusions.ConclusionStore`."""

    def __init__(self, file: File) -> None:
        self._file = file

    async def create(self, tenant_id: Uid, drafts: Sequence[ConclusionDraft]) -> list[Conclusion]:
        """See the port."""
        return await self._file.write(lambda tx: [_add(tx, tenant_id, draft) for draft in drafts])

    async def delete(self, tenant_id: Uid, conclusion_id: str) -> bool:
        """See the port."""
        return await self._file.write(
            lambda tx: tx.row("delete_conclusion", tenant_id=tenant_id, id=conclusion_id) is not None
        )

    async def count_units(self, tenant_id: Uid, session_id: str | None, author: str | None) -> list[SessionUnits]:
        """See the port."""
        asked = {"tenant_id": tenant_id, "session_id": session_id, "author": author}
        rows = await self._file.read_apart(lambda read: read.rows("count_units", **asked))
        return [SessionUnits(*row) for row in rows]

    async def find_card(self, tenant_id: Uid, observer_id: Uid, observed_id: Uid) -> str | None:
        """See the port."""
        row = self._file.row("find_card", tenant_id=tenant_id, observer_id=observer_id, observed_id=observed_id)
        return row[0] if row else None

    async def put_card(self, tenant_id: Uid, observer: str, observed: str, lines: str) -> None:
        """See the port."""

        def operation(tx: Transaction) -> None:
            ids = [ensure_participant(tx, tenant_id, PEER, name)[0].id for name in (observer, observed)]
            tx.run("put_card", tenant_id=tenant_id, observer_id=ids[0], observed_id=ids[1], lines=lines)

        await self._file.write(operation)

    async def list(self, tenant_id: Uid, tenant_name: str, wanted: Filter, part: Slice) -> tuple[list[Conclusion], int]:
        """See the port."""
        values: dict[str, Any] = {
            "tenant_id": tenant_id,
            "tenant_name": tenant_name,
            "limit": part.limit,
            "offset": part.offset,
        }
        rows = await self._file.read_apart(
            lambda read: read.filtered(
                "filter_conclusions", wanted, CONCLUSIONS, is_reversed=part.is_reversed, **values
            )
        )
        return unpack(rows, Conclusion)


def _add(tx: Transaction, tenant_id: Uid, draft: ConclusionDraft) -> Conclusion:
    pair = []
    for name in (draft.observer, draft.observed):
        row = tx.row("find_participant", tenant_id=tenant_id, kind=PEER, name=name)
        if row is None or (found := participant_of(row)).is_implied:
            raise ParticipantNotFound
        pair.append(found.id)
    made = Conclusion(
        short_of(new_uid7()), draft.observer, draft.observed, draft.session_id, draft.content, EXPLICIT, tx.now
    )
    tx.run(
        "insert_conclusion",
        tenant_id=tenant_id,
        id=made.id,
        observer_id=pair[0],
        observed_id=pair[1],
        session_key=_session_key(tx, tenant_id, draft.session_id),
        content=made.content,
        level=made.level,
        now=tx.now,
    )
    return made


def _session_key(tx: Transaction, tenant_id: Uid, session_id: str | None) -> Uid | None:
    if session_id is None:
        return None
    row = tx.row("find_session", tenant_id=tenant_id, id=session_id)
    if row is None or (session := Session(*row)).shape != SINGLE:
        raise SessionNotFound
    return session.key
