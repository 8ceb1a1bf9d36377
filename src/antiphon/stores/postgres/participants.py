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
    tx: Cursor, tenant_id: Uid, kind: str, names: Sequence[str], metadata: str = "{}", configuration: str = "{}"
) -> list[Participant]:
    """Make participants who are not there. Raises TenantNotFound once the tenant is detached."""
    statement = "count_peers" if kind == PEER else "count_scopes"
    if await tx.row(statement, tenant_id=tenant_id, by=len(names)) is None:
        raise TenantNotFound
    made = [Participant(new_uid7(), kind, name, metadata, configuration, tx.now) for name in names]
    rows = await tx.rows(
        "insert_participant",
        tenant_id=tenant_id,
        ids=[one.id for one in made],
        names=list(names),
        kind=kind,
        metadata=metadata,
        configuration=configuration,
        now=tx.now,
    )
    if len(rows) != len(names):
        raise Overtaken
    return made


async def ensure_participants(tx: Cursor, tenant_id: Uid, names: Sequence[str]) -> tuple[dict[str, Uid], set[str]]:
    """The ids of the peers of these names, made when missing, and the names of those made now."""
    wanted = list(dict.fromkeys(names))
    rows = await tx.rows("find_participants", tenant_id=tenant_id, kind=PEER, names=wanted)
    found: dict[str, Uid] = {row[2]: row[0] for row in rows}
    missing = [name for name in wanted if name not in found]
    if missing:
        found |= {one.name: one.id for one in await add_participants(tx, tenant_id, PEER, missing)}
    return found, set(missing)


class PostgresParticipants:
    """`core.ports.ParticipantStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ensure(self, tenant_id: Uid, kind: str, name: str) -> tuple[Participant, bool]:
        """See the port."""
        found = await self.find(tenant_id, kind, name)
        if found is not None:
            return found, False
        return await self._make(tenant_id, kind, name, "{}", "{}")

    async def put(
        self, tenant_id: Uid, name: str, metadata: str | None, configuration: str | None, kind: str = PEER
    ) -> tuple[Participant, bool]:
        """See the port."""
        if metadata is None and configuration is None:
            return await self.ensure(tenant_id, kind, name)
        values: dict[str, Any] = {
            "tenant_id": tenant_id,
            "kind": kind,
            "name": name,
            "metadata": metadata,
            "configuration": configuration,
        }

        async def operation(tx: Cursor) -> tuple[Participant, bool]:
            row = await tx.row("update_participant", **values)
            if row is not None:
                return Participant(*row), False
            made = await add_participants(tx, tenant_id, kind, [name], metadata or "{}", configuration or "{}")
            return made[0], True

        rows = await self._database.write_rows("update_participant", is_idempotent=True, **values)
        return (Participant(*rows[0]), False) if rows else await self._database.transact(operation)

    async def _make(
        self, tenant_id: Uid, kind: str, name: str, metadata: str, configuration: str
    ) -> tuple[Participant, bool]:
        async def operation(tx: Cursor) -> tuple[Participant, bool]:
            row = await tx.row("find_participant", tenant_id=tenant_id, kind=kind, name=name)
            if row is not None:
                return Participant(*row), False
            return (await add_participants(tx, tenant_id, kind, [name], metadata, configuration))[0], True

        return await self._database.transact(operation)

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
