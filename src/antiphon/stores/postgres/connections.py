"""Connections in PostgreSQL: leases by the database's clock."""

from __future__ import annotations

from antiphon.domain.connections import Connection
from antiphon.domain.errors import ChatNotFound, ConnectionLimitExceeded, TenantNotFound
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
            await tx.run("delete_expired_connections", tenant_id=tenant_id)
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
