"""Keys in SQLite."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from antiphon.domain import times
from antiphon.domain.errors import KeyNotFound, TenantNotFound
from antiphon.domain.ids import Uid
from antiphon.domain.keys import Key, Principal
from antiphon.stores.sqlite.file import File
from antiphon.stores.sqlite.participants import check_participant
from antiphon.stores.sqlite.writer import Transaction


class SqliteKeys:
    """`core.ports.KeyStore`."""

    def __init__(self, file: File) -> None:
        self._file = file

    async def create(self, key: Key) -> None:
        """See the port."""

        def operation(tx: Transaction) -> None:
            if tx.row("find_tenant", tenant_id=key.tenant_id) is None:
                raise TenantNotFound
            if key.participant_id is not None:
                check_participant(tx, key.tenant_id, key.participant_id)
            tx.run(
                "insert_key",
                tenant_id=key.tenant_id,
                id=key.id,
                participant_id=key.participant_id,
                session_id=key.session_id,
                scope=key.scope,
                label=key.label,
                secret_hash=key.secret_hash,
                created_at=key.created_at,
                expires_at=key.expires_at,
            )

        await self._file.write(operation)

    async def revoke(self, tenant_id: Uid, key_id: Uid) -> None:
        """See the port."""

        def operation(tx: Transaction) -> None:
            if tx.row("revoke_key", tenant_id=tenant_id, id=key_id, now=tx.now) is None:
                raise KeyNotFound

        await self._file.write(operation)

    async def load(self, tenant_id: Uid, key_ids: Sequence[Uid]) -> list[tuple[Key, Principal]]:
        """See the port."""
        ids = msgspec.json.encode([key_id.hex() for key_id in key_ids]).decode()
        found = []
        for *columns, tenant_name, agent_name in self._file.rows("load_keys", tenant_id=tenant_id, ids=ids):
            key = Key(*columns)
            if key.expires_at is not None and key.expires_at <= times.now():
                continue
            found.append(
                (
                    key,
                    Principal(
                        key.tenant_id,
                        tenant_name,
                        agent_name,
                        key.scope,
                        key.participant_id,
                        key.participant_name,
                        key.session_id,
                        key.id,
                    ),
                )
            )
        return found

    async def find(self, tenant_id: Uid, key_id: Uid) -> Key | None:
        """See the port."""
        row = self._file.row("find_key", tenant_id=tenant_id, id=key_id)
        return Key(*row) if row else None

    async def list(self, tenant_id: Uid) -> list[Key]:
        """See the port."""
        return [Key(*row) for row in self._file.rows("list_keys", tenant_id=tenant_id)]
