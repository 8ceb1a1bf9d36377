"""Connections in PostgreSQL: leases by the database's clock."""

from __future__ import annotations

from collections.abc import Sequence

from antiphon.domain import limits
from antiphon.domain.connections import Connection, Presence
from antiphon.domain.errors import ChatNotFound, ConnectionLimitExceeded, ConnectionNotFound, TenantNotFound
from antiphon.domain.ids import Uid, new_uid7
from antiphon.stores.postgres.database import Cursor, Database
from antiphon.stores.postgres.participants import ensure_participants


class PostgresConnections:
    """`core.ports.ConnectionStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(
        self,
        tenant_id: Uid,
        chat_key: Uid,
        participant_name: str,
        node: Uid,
        sockets_max: int,
        lease_seconds: float,
    ) -> Connection:
        """See the port."""

        async def operation(tx: Cursor) -> Connection:
            chat = await tx.row("lock_chat", tenant_id=tenant_id, key=chat_key)
            if chat is None:
                raise ChatNotFound
            if await tx.row("lock_tenant", tenant_id=tenant_id) is None:  # one socket of a tenant opens at a time
                raise TenantNotFound
            await tx.run(
                "delete_expired_connections", tenant_id=tenant_id, grace_seconds=limits.CONNECTION_LEASE_SECONDS
            )
            if sockets_max:
                count = (await tx.rows("count_live_connections", tenant_id=tenant_id))[0][0]
                if count >= sockets_max:
                    raise ConnectionLimitExceeded
            ids, made = await ensure_participants(tx, tenant_id, [participant_name])
            connection = Connection(new_uid7(), tenant_id, chat_key, chat[0], participant_name, bool(made))
            await tx.run(
                "insert_connection",
                tenant_id=tenant_id,
                id=connection.id,
                chat_key=chat_key,
                participant_id=ids[participant_name],
                node=node,
                now=tx.now,
                lease_seconds=lease_seconds,
            )
            return connection

        return await self._database.transact(operation)

    async def renew(self, tenant_id: Uid, node: Uid, lease_seconds: float) -> set[Uid]:
        """See the port."""
        rows = await self._database.write_rows(
            "renew_connections", is_idempotent=True, tenant_id=tenant_id, node=node, lease_seconds=lease_seconds
        )
        return {row[0] for row in rows}

    async def close(self, tenant_id: Uid, connection_id: Uid) -> None:
        """See the port."""
        await self._database.write_rows("delete_connection", is_idempotent=True, tenant_id=tenant_id, id=connection_id)

    async def close_node(self, node: Uid) -> None:
        """See the port."""
        await self._database.write_rows("delete_connections_of_node", is_idempotent=True, node=node)

    async def find(self, tenant_id: Uid, connection_id: Uid) -> Presence | None:
        """See the port."""
        row = await self._database.row("find_connection", tenant_id=tenant_id, id=connection_id)
        return Presence(*row) if row else None

    async def list(self, tenant_id: Uid, chat_key: Uid, after: Uid | None, limit: int) -> list[Presence]:
        """See the port."""
        rows = await self._database.rows(
            "list_connections", tenant_id=tenant_id, chat_key=chat_key, after=after, limit=limit
        )
        return [Presence(*row) for row in rows]

    async def counts(self, tenant_id: Uid, chat_keys: Sequence[Uid]) -> dict[Uid, int]:
        """See the port."""
        rows = await self._database.rows("count_connections", tenant_id=tenant_id, keys=[*chat_keys])
        return {row[0]: row[1] for row in rows}

    async def dismiss(self, tenant_id: Uid, connection_id: Uid) -> None:
        """See the port."""
        if not await self._database.write_rows("dismiss_connection", tenant_id=tenant_id, id=connection_id):
            raise ConnectionNotFound

    async def was_dismissed(self, tenant_id: Uid, connection_id: Uid) -> bool:
        """See the port."""
        row = await self._database.row("find_dismissed_connection", tenant_id=tenant_id, id=connection_id)
        return row is not None
