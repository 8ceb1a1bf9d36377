"""Vectors in PostgreSQL: arrays of numbers, compared one by one, by pgvector where the database has it.

The tables do not need the extension: without it comparing is slower (docs/decisions/0010).
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from antiphon.core.ports.embeddings import Noted, Said, Vector
from antiphon.core.ports.indexing import VECTORS
from antiphon.domain.conclusions import Conclusion
from antiphon.domain.filters import Filter
from antiphon.domain.ids import Uid
from antiphon.domain.messages import Message
from antiphon.stores.postgres.database import Cursor, Database
from antiphon.stores.postgres.indexing import settle_in
from antiphon.stores.postgres.lists import CONCLUSIONS, MESSAGES


class _Changed(Exception):
    """What the vectors are of is not what is there now."""


class PostgresVectors:
    """`core.ports.embeddings.VectorStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._is_helped = False

    async def texts(self, tenant_id: Uid, chat_key: Uid, cursor: int, upto: int) -> list[Said]:
        """See the port."""
        rows = await self._database.rows("texts_to_read", tenant_id=tenant_id, key=chat_key, cursor=cursor, upto=upto)
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
        """See the port. Settling holds the chat's row, and so what is read after it stays as it is."""
        whose: dict[str, Any] = {"tenant_id": tenant_id, "key": chat_key}

        async def operation(tx: Cursor) -> None:
            if not await settle_in(tx, VECTORS, tenant_id, chat_key, cursor, upto):
                raise _Changed
            there = {row[0]: row[1] for row in await tx.rows("texts_to_read", **whose, cursor=cursor, upto=upto)}
            await tx.run("drop_vectors_between", **whose, cursor=cursor, upto=upto)
            for said, vector in vectors:
                if there.get(said.seq, said.text) != said.text:
                    raise _Changed
                if said.seq in there:
                    await tx.run("insert_vector", **whose, seq=said.seq, model=model, vector=_numbers(vector))

        try:
            await self._database.transact(operation)
        except _Changed:
            return False
        return True

    async def nearest_messages(
        self, tenant_id: Uid, tenant_name: str, wanted: Filter, model: str, vector: Vector, limit: int
    ) -> list[tuple[str, Message, float]]:
        """See the port."""
        values = _asked(tenant_id, tenant_name, model, vector, limit)
        statement = "nearest_messages" if await self._has_pgvector() else "nearest_messages_plain"
        rows = await self._database.filtered(statement, wanted, MESSAGES, **values)
        return [(row[0], Message(*row[1:-1]), row[-1]) for row in map(tuple, rows)]

    async def nearest_conclusions(
        self, tenant_id: Uid, tenant_name: str, wanted: Filter, model: str, vector: Vector, limit: int
    ) -> list[tuple[Conclusion, float]]:
        """See the port."""
        values = _asked(tenant_id, tenant_name, model, vector, limit)
        statement = "nearest_conclusions" if await self._has_pgvector() else "nearest_conclusions_plain"
        rows = await self._database.filtered(statement, wanted, CONCLUSIONS, **values)
        return [(Conclusion(*row[:-1]), row[-1]) for row in map(tuple, rows)]

    async def conclusions_without(self, limit: int) -> list[tuple[Uid, list[Noted]]]:
        """See the port."""
        found: dict[Uid, list[Noted]] = defaultdict(list)
        for tenant_id, conclusion_id, content in await self._database.rows("conclusions_without_vector", limit=limit):
            found[tenant_id].append(Noted(conclusion_id, content))
        return list(found.items())

    async def keep_conclusions(self, tenant_id: Uid, model: str, vectors: Sequence[tuple[str, Vector | None]]) -> None:
        """See the port."""

        async def operation(tx: Cursor) -> None:
            for conclusion_id, vector in sorted(vectors, key=lambda one: one[0]):
                numbers = None if vector is None else _numbers(vector)
                await tx.run(
                    "keep_conclusion_vector", tenant_id=tenant_id, id=conclusion_id, model=model, vector=numbers
                )

        await self._database.transact(operation)

    async def forget_others(self, model: str, limit: int) -> bool:
        """See the port. Chat by chat, so that no transaction goes over more than one tenant."""
        stale = await self._database.rows("chats_of_other_models", model=model, limit=limit)
        for tenant_id, chat_key in stale:
            await self._begin_again(tenant_id, chat_key)
        forgotten = await self._database.write_rows("forget_conclusion_vectors", model=model, limit=limit)
        return bool(stale or forgotten)

    async def _has_pgvector(self) -> bool:
        """Asked until it is there."""
        if not self._is_helped:
            self._is_helped = (await self._database.rows("has_pgvector"))[0][0]
        return self._is_helped

    async def _begin_again(self, tenant_id: Uid, chat_key: Uid) -> None:
        async def operation(tx: Cursor) -> None:
            await tx.run("begin_vectors_again", tenant_id=tenant_id, key=chat_key)
            await tx.run("drop_vectors_of_chat", tenant_id=tenant_id, key=chat_key)

        await self._database.transact(operation)


def _numbers(vector: Vector) -> list[float]:
    numbers = array("f")
    numbers.frombytes(vector)
    return numbers.tolist()


def _asked(tenant_id: Uid, tenant_name: str, model: str, vector: Vector, limit: int) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "tenant_name": tenant_name,
        "model": model,
        "vector": _numbers(vector),
        "limit": limit,
    }
