"""How far the work on messages has come, in PostgreSQL."""

from __future__ import annotations

from antiphon.core.ports.indexing import Backlog, Behind
from antiphon.domain.ids import Uid
from antiphon.stores.postgres.database import Cursor, Database


class PostgresIndexing:
    """`core.ports.indexing.IndexingStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def tenants_behind(self, kind: str, limit: int) -> list[Uid]:
        """See the port."""
        return [row[0] for row in await self._database.rows(f"tenants_behind_{kind}", limit=limit)]

    async def chats_behind(self, kind: str, tenant_id: Uid, limit: int) -> list[Behind]:
        """See the port."""
        rows = await self._database.rows(f"chats_behind_{kind}", tenant_id=tenant_id, limit=limit)
        return [Behind(*row) for row in rows]

    async def claim(self, kind: str, tenant_id: Uid, chat: Behind, seconds: float) -> bool:
        """See the port."""

        async def operation(tx: Cursor) -> bool:
            whose = {"tenant_id": tenant_id, "key": chat.chat_key, "cursor": chat.cursor}
            return await tx.run(f"claim_{kind}", **whose, seconds=seconds) > 0

        return await self._database.transact(operation)

    async def put_off(self, kind: str, tenant_id: Uid, chat_key: Uid, seconds: float) -> None:
        """See the port."""
        values = {"tenant_id": tenant_id, "key": chat_key, "seconds": seconds}
        await self._database.write_rows(f"put_off_{kind}", is_idempotent=True, **values)

    async def settle(self, kind: str, tenant_id: Uid, chat_key: Uid, cursor: int, upto: int) -> bool:
        """See the port."""

        async def operation(tx: Cursor) -> bool:
            return await settle_in(tx, kind, tenant_id, chat_key, cursor, upto)

        return await self._database.transact(operation)

    async def backlog(self, kind: str) -> Backlog:
        """See the port."""
        chats, messages, seconds = (await self._database.rows(f"backlog_of_{kind}"))[0]
        return Backlog(chats, messages, max(seconds, 0.0))


async def settle_in(tx: Cursor, kind: str, tenant_id: Uid, chat_key: Uid, cursor: int, upto: int) -> bool:
    """Move a cursor in a transaction that is open: whether it was where it should be. Holds the chat from then on."""
    return bool(await tx.run(f"settle_{kind}", tenant_id=tenant_id, key=chat_key, cursor=cursor, upto=upto))
