"""Connections in SQLite: leases by the database's clock."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from antiphon.domain import limits, times
from antiphon.domain.connections import Connection, Presence
from antiphon.domain.errors import ChatNotFound, ConnectionLimitExceeded, ConnectionNotFound
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
            tx.run("delete_expired_connections", tenant_id=tenant_id, grace=_micros(limits.CONNECTION_LEASE_SECONDS))
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

    async def find(self, tenant_id: Uid, connection_id: Uid) -> Presence | None:
        """See the port."""
        row = self._file.row("find_connection", tenant_id=tenant_id, id=connection_id)
        return Presence(*row) if row else None

    async def list(self, tenant_id: Uid, chat_key: Uid, after: Uid | None, limit: int) -> list[Presence]:
        """See the port."""
        rows = self._file.rows("list_connections", tenant_id=tenant_id, chat_key=chat_key, after=after, limit=limit)
        return [Presence(*row) for row in rows]

    async def counts(self, tenant_id: Uid, chat_keys: Sequence[Uid]) -> dict[Uid, int]:
        """See the port."""
        keys = msgspec.json.encode([key.hex() for key in chat_keys]).decode()
        return dict(self._file.rows("count_connections", tenant_id=tenant_id, keys=keys))

    async def dismiss(self, tenant_id: Uid, connection_id: Uid) -> None:
        """See the port."""

        def operation(tx: Transaction) -> None:
            if tx.row("dismiss_connection", tenant_id=tenant_id, id=connection_id) is None:
                raise ConnectionNotFound

        await self._file.write(operation)

    async def was_dismissed(self, tenant_id: Uid, connection_id: Uid) -> bool:
        """See the port."""
        return self._file.row("find_dismissed_connection", tenant_id=tenant_id, id=connection_id) is not None
