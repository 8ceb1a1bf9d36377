"""Participants in SQLite."""

from __future__ import annotations

from antiphon.core.ports import Slice
from antiphon.domain.errors import ParticipantNotFound, TenantNotFound
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.participants import PEER, Participant
from antiphon.stores.sqlite.file import File
from antiphon.stores.sqlite.writer import Transaction


def add_participant(
    tx: Transaction, tenant_id: Uid, kind: str, name: str, metadata: str = "{}", configuration: str = "{}"
) -> Participant:
    """Make a participant. Raises TenantNotFound once the tenant is detached."""
    if tx.row("count_peers" if kind == PEER else "count_scopes", tenant_id=tenant_id, by=1) is None:
        raise TenantNotFound
    made = Participant(new_uid7(), kind, name, metadata, configuration, tx.now)
    tx.run(
        "insert_participant",
        tenant_id=tenant_id,
        id=made.id,
        kind=kind,
        name=name,
        metadata=metadata,
        configuration=configuration,
        now=tx.now,
    )
    return made


def ensure_participant(tx: Transaction, tenant_id: Uid, kind: str, name: str) -> tuple[Participant, bool]:
    """The participant of that name, made when missing, and whether it was made now."""
    row = tx.row("find_participant", tenant_id=tenant_id, kind=kind, name=name)
    if row is not None:
        return Participant(*row), False
    return add_participant(tx, tenant_id, kind, name), True


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
        if found is not None:
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
            return Participant(*row), is_new

        return await self._file.write(operation)

    async def find(self, tenant_id: Uid, kind: str, name: str) -> Participant | None:
        """See the port."""
        row = self._file.row("find_participant", tenant_id=tenant_id, kind=kind, name=name)
        return Participant(*row) if row else None

    async def find_by_id(self, tenant_id: Uid, participant_id: Uid) -> Participant | None:
        """See the port."""
        row = self._file.row("find_participant_by_id", tenant_id=tenant_id, id=participant_id)
        return Participant(*row) if row else None

    async def list(self, tenant_id: Uid, kind: str, part: Slice) -> tuple[list[Participant], int]:
        """See the port."""
        statement = "list_participants_reversed" if part.is_reversed else "list_participants"
        with self._file.snapshot() as read:
            totals = read.row("totals", tenant_id=tenant_id)
            if totals is None:
                return [], 0
            rows = read.rows(statement, tenant_id=tenant_id, kind=kind, limit=part.limit, offset=part.offset)
            return [Participant(*row) for row in rows], totals[0] if kind == PEER else totals[1]
