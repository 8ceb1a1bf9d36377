"""Keys in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.domain import times
from antiphon.domain.errors import KeyNotFound, ParticipantNotFound, TenantNotFound
from antiphon.domain.ids import Uid
from antiphon.domain.keys import Key, Principal
from antiphon.stores.postgres.database import Database


class PostgresKeys:
    """`core.ports.KeyStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, key: Key) -> None:
        """See the port."""
        made = await self._database.write_rows(
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
        if not made:
            is_there = await self._database.row("find_tenant", tenant_id=key.tenant_id) is not None
            raise ParticipantNotFound if is_there else TenantNotFound

    async def revoke(self, tenant_id: Uid, key_id: Uid) -> None:
        """See the port."""
        revoked = await self._database.write_rows(
            "revoke_key", is_idempotent=True, tenant_id=tenant_id, id=key_id, now=times.now()
        )
        if not revoked:
            raise KeyNotFound

    async def load(self, tenant_id: Uid, key_ids: Sequence[Uid]) -> list[tuple[Key, Principal]]:
        """See the port."""
        found = []
        for *columns, tenant_name, agent_name in await self._database.rows(
            "load_keys", tenant_id=tenant_id, ids=list(key_ids)
        ):
            key = Key(*columns)
            if key.expires_at is not None and key.expires_at <= times.now():
                continue
            principal = Principal(
                key.tenant_id,
                tenant_name,
                agent_name,
                key.scope,
                key.participant_id,
                key.participant_name,
                key.session_id,
                key.id,
            )
            found.append((key, principal))
        return found

    async def find(self, tenant_id: Uid, key_id: Uid) -> Key | None:
        """See the port."""
        row = await self._database.row("find_key", tenant_id=tenant_id, id=key_id)
        return Key(*row) if row else None

    async def list(self, tenant_id: Uid) -> list[Key]:
        """See the port."""
        return [Key(*row) for row in await self._database.rows("list_keys", tenant_id=tenant_id)]
