"""Participants in SQLite."""

from __future__ import annotations

import msgspec

from antiphon.core.ports import Slice
from antiphon.domain.errors import ParticipantNotFound, TenantNotFound
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.participants import PEER, Participant
from antiphon.stores.sqlite.database import Row
from antiphon.stores.sqlite.file import File
from antiphon.stores.sqlite.writer import Transaction


def participant_of(row: Row) -> Participant:
    """The participant of a row that tells also whether it is implied."""
    *columns, is_implied = row
    return msgspec.structs.replace(Participant(*columns), is_implied=bool(is_implied))


def ensure_participant(
    tx: Transaction, tenant_id: Uid, kind: str, name: str, *, is_implied: bool = False
) -> tuple[Participant, bool]:
    """The participant of that name, made when missing, and whether it was made now.

    With this it is named, unless `is_implied`: who was implied is made, for whoever asks, when it is named first.
    Raises TenantNotFound once the tenant is detached.
    """
    row = tx.row("find_participant", tenant_id=tenant_id, kind=kind, name=name)
    if row is None:
        return _add(tx, tenant_id, kind, name, is_implied=is_implied), True
    found = participant_of(row)
    if is_implied or not found.is_implied:
        return found, False
    _count(tx, tenant_id, kind, 1)
    tx.run("name_participant", tenant_id=tenant_id, id=found.id)
    return msgspec.structs.replace(found, is_implied=False), True


def check_participant(tx: Transaction, tenant_id: Uid, participant_id: Uid) -> None:
    """Raise ParticipantNotFound when it, or the tenant, is not there any more."""
    if tx.row("find_participant_by_id", tenant_id=tenant_id, id=participant_id) is None:
        raise ParticipantNotFound


class SqliteParticipants:
    """`core.ports.ParticipantStore`."""

    def __init__(self, file: File) -> None:
        self._file = file

    async def ensure(self, tenant_id: Uid, kind: str, name: str) -> tuple[Participant, bool]:
        """See the port."""
        found = await self.find(tenant_id, kind, name)
        if found is not None and not found.is_implied:
            return found, False
        return await self._file.write(lambda tx: ensure_participant(tx, tenant_id, kind, name))

    async def put(
        self, tenant_id: Uid, name: str, metadata: str | None, configuration: str | None, kind: str = PEER
    ) -> tuple[Participant, bool]:
        """See the port."""
        if metadata is None and configuration is None:
            return await self.ensure(tenant_id, kind, name)

        def operation(tx: Transaction) -> tuple[Participant, bool]:
            found, is_new = ensure_participant(tx, tenant_id, kind, name)
            tx.run(
                "update_participant",
                tenant_id=tenant_id,
                id=found.id,
                metadata=metadata,
                configuration=configuration,
            )
            row = tx.rows("find_participant_by_id", tenant_id=tenant_id, id=found.id)[0]
            return participant_of(row), is_new

        return await self._file.write(operation)

    async def find(self, tenant_id: Uid, kind: str, name: str) -> Participant | None:
        """See the port."""
        row = self._file.row("find_participant", tenant_id=tenant_id, kind=kind, name=name)
        return participant_of(row) if row else None

    async def find_by_id(self, tenant_id: Uid, participant_id: Uid) -> Participant | None:
        """See the port."""
        row = self._file.row("find_participant_by_id", tenant_id=tenant_id, id=participant_id)
        return participant_of(row) if row else None

    async def list(self, tenant_id: Uid, kind: str, part: Slice) -> tuple[list[Participant], int]:
        """See the port."""
        statement = "list_participants_reversed" if part.is_reversed else "list_participants"
        with self._file.snapshot() as read:
            totals = read.row("totals", tenant_id=tenant_id)
            if totals is None:
                return [], 0
            rows = read.rows(statement, tenant_id=tenant_id, kind=kind, limit=part.limit, offset=part.offset)
            return [Participant(*row) for row in rows], totals[0] if kind == PEER else totals[1]


def _add(tx: Transaction, tenant_id: Uid, kind: str, name: str, *, is_implied: bool) -> Participant:
    _count(tx, tenant_id, kind, 0 if is_implied else 1)
    made = Participant(new_uid7(), kind, name, "{}", "{}", tx.now, is_implied)
    tx.run(
        "insert_participant",
        tenant_id=tenant_id,
        id=made.id,
        kind=kind,
        name=name,
        metadata=made.metadata,
        configuration=made.configuration,
        now=tx.now,
        is_implied=int(is_implied),
    )
    return made


def _count(tx: Transaction, tenant_id: Uid, kind: str, by: int) -> None:
    if tx.row("count_peers" if kind == PEER else "count_scopes", tenant_id=tenant_id, by=by) is None:
        raise TenantNotFound
