"""Connections in SQLite: leases by the database's clock."""

from __future__ import annotations

from antiphon.domain import times
from antiphon.domain.connections import Connection
from antiphon.domain.errors import ChatNotFound, ConnectionLimitExceeded
from antiphon.domain.ids import Uid, new_uid7
from antiphon.domain.participants import PEER
from antiphon.stores.sqlite.chat_rows import chat_of
from antiphon.stores.sqlite.file import File
from antiphon.stores.sqlite.participants import ensure_participant
from antiphon.stores.sqlite.writer import Transaction


def _micros(seconds: float) -> int:
    return int(seconds * times.SECOND)


class SqliteConnections:
    """`core.ports.ConnectionStore`."""

    def __init__(self, file: File) -> None:
        self._file = file

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

        def operation(tx: Transaction) -> Connection:
            row = tx.row("find_chat_by_key", tenant_id=tenant_id, key=chat_key)
            if row is None:
                raise ChatNotFound
            tx.run("delete_expired_connections", tenant_id=tenant_id)
            if sockets_max and tx.rows("count_live_connections", tenant_id=tenant_id)[0][0] >= sockets_max:
                raise ConnectionLimitExceeded
            who, is_new = ensure_participant(tx, tenant_id, PEER, participant_name)
            connection = Connection(new_uid7(), tenant_id, chat_key, chat_of(row).id, participant_name, is_new)
            tx.run(
                "insert_connection",
                tenant_id=tenant_id,
                id=connection.id,
                chat_key=chat_key,
                participant_id=who.id,
                node=node,
                now=tx.now,
                lease=_micros(lease_seconds),
            )
            return connection

        return await self._file.write(operation)

    async def renew(self, tenant_id: Uid, node: Uid, lease_seconds: float) -> set[Uid]:
        """See the port."""

        def operation(tx: Transaction) -> set[Uid]:
            rows = tx.rows("renew_connections", tenant_id=tenant_id, node=node, lease=_micros(lease_seconds))
            return {row[0] for row in rows}

        return await self._file.write(operation)

    async def close(self, tenant_id: Uid, connection_id: Uid) -> None:
        """See the port."""
        await self._file.write(lambda tx: tx.run("delete_connection", tenant_id=tenant_id, id=connection_id))

    async def close_node(self, node: Uid) -> None:
        """See the port."""
        await self._file.write(lambda tx: tx.run("delete_connections_of_node", node=node))
