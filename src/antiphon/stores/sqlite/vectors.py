"""Vectors in SQLite: blobs in a plain table, compared one by one by a function of sqlite-vec.

So they are exact, under any filter, and overwritten like every row that is deleted (docs/decisions/0010).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from antiphon.core.ports.embeddings import Noted, Said, Vector
from antiphon.core.ports.indexing import VECTORS
from antiphon.domain.conclusions import Conclusion
from antiphon.domain.filters import Filter
from antiphon.domain.ids import Uid
from antiphon.domain.messages import Message
from antiphon.stores.sqlite.file import File
from antiphon.stores.sqlite.indexing import settle_in
from antiphon.stores.sqlite.lists import CONCLUSIONS, MESSAGES
from antiphon.stores.sqlite.writer import Transaction


class _Changed(Exception):
    """What the vectors are of is not what is there now."""


class SqliteVectors:
    """`core.ports.embeddings.VectorStore`."""

    def __init__(self, file: File) -> None:
        self._file = file

    async def texts(self, tenant_id: Uid, chat_key: Uid, cursor: int, upto: int) -> list[Said]:
        """See the port."""
        span = {"tenant_id": tenant_id, "key": chat_key, "cursor": cursor, "upto": upto}
        rows = await self._file.read_apart(lambda read: read.rows("texts_to_read", **span))
        return [Said(seq, text) for seq, text in rows if text.strip()]

    async def keep(
        self,
        tenant_id: Uid,
        chat_key: Uid,
        cursor: int,
        upto: int,
        model: str,
        vectors: Sequence[tuple[Said, Vector]],
    ) -> bool:
        """See the port."""
        whose: dict[str, Any] = {"tenant_id": tenant_id, "key": chat_key}

        def operation(tx: Transaction) -> None:
            if not settle_in(tx, VECTORS, tenant_id, chat_key, cursor, upto):
                raise _Changed
            there = {row[0]: row[1] for row in tx.rows("texts_to_read", **whose, cursor=cursor, upto=upto)}
            tx.run("drop_vectors_between", **whose, cursor=cursor, upto=upto)
            for said, vector in vectors:
                if there.get(said.seq, said.text) != said.text:
                    raise _Changed
                if said.seq in there:
                    tx.run("insert_vector", **whose, seq=said.seq, model=model, vector=vector)

        try:
            await self._file.write_patiently(operation)
        except _Changed:
            return False
        return True

    async def nearest_messages(
        self, tenant_id: Uid, tenant_name: str, wanted: Filter, model: str, vector: Vector, limit: int
    ) -> list[tuple[str, Message, float]]:
        """See the port."""
        values = _asked(tenant_id, tenant_name, model, vector, limit)
        rows = await self._file.read_apart(lambda read: read.filtered("nearest_messages", wanted, MESSAGES, **values))
        return [(row[0], Message(*row[1:-1]), row[-1]) for row in rows]

    async def nearest_conclusions(
        self, tenant_id: Uid, tenant_name: str, wanted: Filter, model: str, vector: Vector, limit: int
    ) -> list[tuple[Conclusion, float]]:
        """See the port."""
        values = _asked(tenant_id, tenant_name, model, vector, limit)
        rows = await self._file.read_apart(
            lambda read: read.filtered("nearest_conclusions", wanted, CONCLUSIONS, **values)
        )
        return [(Conclusion(*row[:-1]), row[-1]) for row in rows]

    async def conclusions_without(self, limit: int) -> list[tuple[Uid, list[Noted]]]:
        """See the port."""
        found: dict[Uid, list[Noted]] = defaultdict(list)
        for tenant_id, conclusion_id, content in self._file.rows("conclusions_without_vector", limit=limit):
            found[tenant_id].append(Noted(conclusion_id, content))
        return list(found.items())

    async def keep_conclusions(self, tenant_id: Uid, model: str, vectors: Sequence[tuple[str, Vector | None]]) -> None:
        """See the port."""

        def operation(tx: Transaction) -> None:
            for conclusion_id, vector in vectors:
                tx.run("keep_conclusion_vector", tenant_id=tenant_id, id=conclusion_id, model=model, vector=vector)

        await self._file.write_patiently(operation)

    async def forget_others(self, model: str, limit: int) -> bool:
        """See the port."""
        stale = await self._file.read_apart(lambda read: read.rows("chats_of_other_models", model=model, limit=limit))

        def operation(tx: Transaction) -> bool:
            for tenant_id, num in stale:
                tx.run("drop_vectors_of_chat", tenant_id=tenant_id, num=num)
                tx.run("begin_vectors_again", tenant_id=tenant_id, num=num, now=tx.now)
            return tx.run("forget_conclusion_vectors", model=model, limit=limit) > 0

        return await self._file.write_patiently(operation) or bool(stale)


def _asked(tenant_id: Uid, tenant_name: str, model: str, vector: Vector, limit: int) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "tenant_name": tenant_name,
        "model": model,
        "vector": vector,
        "limit": limit,
    }
