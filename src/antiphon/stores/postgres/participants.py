"""Participants in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from antiphon.core.ports import Slice
from antiphon.domain.errors import TenantNotFound
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.participants import PEER, Participant
from antiphon.stores.postgres.database import Cursor, Database, Overtaken


async def add_participants(
    tx: Cursor,
    tenant_id: Uid,
    kind: str,
    names: Sequence[str],
    metadata: str = "{}",
    configuration: str = "{}",
    *,
    is_implied: bool = False,
) -> list[Participant]:
    """Make participants who are not there. Raises TenantNotFound once the tenant is detached."""
    await _count(tx, tenant_id, kind, 0 if is_implied else len(names))
    made = [Participant(new_uid7(), kind, name, metadata, configuration, tx.now, is_implied) for name in names]
    rows = await tx.rows(
        "insert_participant",
        tenant_id=tenant_id,
        ids=[one.id for one in made],
        names=list(names),
        kind=kind,
        metadata=metadata,
        configuration=configuration,
        now=tx.now,
        is_implied=is_implied,
    )
    if len(rows) != len(names):
        raise Overtaken
    return made


async def name_participants(tx: Cursor, tenant_id: Uid, kind: str, ids: Sequence[Uid]) -> None:
    """Name those of a kind who were found as implied; for whoever asks, they are made with it."""
    if len(await tx.rows("hold_implied", tenant_id=tenant_id, ids=ids)) != len(ids):
        raise Overtaken
    await _count(tx, tenant_id, kind, len(ids))
    if len(await tx.rows("name_participant", tenant_id=tenant_id, ids=ids)) != len(ids):
        raise Overtaken


async def _count(tx: Cursor, tenant_id: Uid, kind: str, by: int) -> None:
    if await tx.row("count_peers" if kind == PEER else "count_scopes", tenant_id=tenant_id, by=by) is None:
        raise TenantNotFound


async def ensure_participants(
    tx: Cursor, tenant_id: Uid, names: Sequence[str], *, is_implied: bool = False
) -> tuple[dict[str, Uid], set[str]]:
    """The ids of the peers of these names, made when missing, and the names of those made now.

    With this they are named, unless `is_implied`: who was implied is made, for whoever asks, when it is named first.
    """
    wanted = list(dict.fromkeys(names))
    rows = await tx.rows("find_participants", tenant_id=tenant_id, kind=PEER, names=wanted)
    found = {one.name: one for one in (Participant(*row) for row in rows)}
    unnamed = [] if is_implied else [one for one in found.values() if one.is_implied]
    if unnamed:
        await name_participants(tx, tenant_id, PEER, [one.id for one in unnamed])
    missing = [name for name in wanted if name not in found]
    if missing:
        made = await add_participants(tx, tenant_id, PEER, missing, is_implied=is_implied)
        found |= {one.name: one for one in made}
    return {one.name: one.id for one in found.values()}, {*missing, *(one.name for one in unnamed)}


class PostgresParticipants:
    """`core.ports.ParticipantStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ensure(self, tenant_id: Uid, kind: str, name: str) -> tuple[Participant, bool]:
        """See the port."""
        found = await self.find(tenant_id, kind, name)
        if found is not None and not found.is_implied:
            return found, False
        return await self._database.transact(lambda tx: _put(tx, tenant_id, kind, name, None, None))

    async def put(
        self, tenant_id: Uid, name: str, metadata: str | None, configuration: str | None, kind: str = PEER
    ) -> tuple[Participant, bool]:
        """See the port."""
        if metadata is None and configuration is None:
            return await self.ensure(tenant_id, kind, name)
        given = {"metadata": metadata, "configuration": configuration}
        rows = await self._database.write_rows(
            "update_participant", is_idempotent=True, tenant_id=tenant_id, kind=kind, name=name, **given
        )
        if rows:
            return Participant(*rows[0]), False
        return await self._database.transact(lambda tx: _put(tx, tenant_id, kind, name, metadata, configuration))

    async def find(self, tenant_id: Uid, kind: str, name: str) -> Participant | None:
        """See the port."""
        row = await self._database.row("find_participant", tenant_id=tenant_id, kind=kind, name=name)
        return Participant(*row) if row else None

    async def find_by_id(self, tenant_id: Uid, participant_id: Uid) -> Participant | None:
        """See the port."""
        row = await self._database.row("find_participant_by_id", tenant_id=tenant_id, id=participant_id)
        return Participant(*row) if row else None

    async def list(self, tenant_id: Uid, kind: str, part: Slice) -> tuple[list[Participant], int]:
        """See the port."""
        statement = "list_participants_reversed" if part.is_reversed else "list_participants"
        rows = await self._database.rows(
            statement, tenant_id=tenant_id, kind=kind, limit=part.limit, offset=part.offset
        )
        return [Participant(*row[1:]) for row in rows if row[1] is not None], rows[0][0] if rows else 0


async def _put(
    tx: Cursor, tenant_id: Uid, kind: str, name: str, metadata: str | None, configuration: str | None
) -> tuple[Participant, bool]:
    whose: dict[str, Any] = {"tenant_id": tenant_id, "kind": kind, "name": name}
    given = {"metadata": metadata, "configuration": configuration}
    row = await tx.row("update_participant", **whose, **given)
    if row is not None:
        return Participant(*row), False
    row = await tx.row("find_participant", **whose)
    if row is None:
        made = await add_participants(tx, tenant_id, kind, [name], metadata or "{}", configuration or "{}")
        return made[0], True
    await name_participants(tx, tenant_id, kind, [row[0]])
    return Participant(*(await tx.rows("update_participant", **whose, **given))[0]), True
