"""How far the work on messages has come, in SQLite."""

from __future__ import annotations

from antiphon.core.ports.indexing import Backlog, Behind
from antiphon.domain import times
from antiphon.domain.ids import Uid
from antiphon.domain.times import micros_of
from antiphon.stores.sqlite.file import File
from antiphon.stores.sqlite.writer import Transaction


class SqliteIndexing:
    """`core.ports.indexing.IndexingStore`."""

    def __init__(self, file: File) -> None:
        self._file = file

    async def tenants_behind(self, kind: str, limit: int) -> list[Uid]:
        """See the port."""
        return [row[0] for row in self._file.rows(f"tenants_behind_{kind}", now=times.now(), limit=limit)]

    async def chats_behind(self, kind: str, tenant_id: Uid, limit: int) -> list[Behind]:
        """See the port."""
        rows = self._file.rows(f"chats_behind_{kind}", tenant_id=tenant_id, now=times.now(), limit=limit)
        return [Behind(*row) for row in rows]

    async def claim(self, kind: str, tenant_id: Uid, chat: Behind, seconds: float) -> bool:
        """See the port."""

        def operation(tx: Transaction) -> bool:
            whose = {"tenant_id": tenant_id, "key": chat.chat_key, "cursor": chat.cursor}
            return tx.run(f"claim_{kind}", **whose, due=tx.now + micros_of(seconds), now=tx.now) > 0

        return await self._file.write(operation)

    async def put_off(self, kind: str, tenant_id: Uid, chat_key: Uid, seconds: float) -> None:
        """See the port."""

        def operation(tx: Transaction) -> None:
            tx.run(f"put_off_{kind}", tenant_id=tenant_id, key=chat_key, due=tx.now + micros_of(seconds))

        await self._file.write(operation)

    async def settle(self, kind: str, tenant_id: Uid, chat_key: Uid, cursor: int, upto: int) -> bool:
        """See the port."""
        return await self._file.write(lambda tx: settle_in(tx, kind, tenant_id, chat_key, cursor, upto))

    async def backlog(self, kind: str) -> Backlog:
        """See the port."""
        chats, messages, age = self._file.rows(f"backlog_of_{kind}", now=times.now())[0]
        return Backlog(chats, messages, max(age, 0) / times.SECOND)


def settle_in(tx: Transaction, kind: str, tenant_id: Uid, chat_key: Uid, cursor: int, upto: int) -> bool:
    """Move a cursor in a transaction that is open: whether it was where it should be."""
    moved = tx.run(f"settle_{kind}", tenant_id=tenant_id, key=chat_key, cursor=cursor, upto=upto, now=tx.now)
    return bool(moved)
