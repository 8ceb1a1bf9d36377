"""The index of texts in PostgreSQL: the runs of three characters of each text as an array of hashes, under GIN.

The runs are made here and not by an extension: so they are the same as those of SQLite whatever the database's locale
is, it needs no right to create extensions, and hashes that differ by tenant keep a search among its own postings
(docs/decisions/0009).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from antiphon.core.ports.indexing import TEXT
from antiphon.domain import limits
from antiphon.domain.filters import Filter
from antiphon.domain.ids import Uid
from antiphon.domain.messages import Message
from antiphon.stores.grams import hashes_of, runs_of
from antiphon.stores.postgres.database import Cursor, Database, Row
from antiphon.stores.postgres.indexing import settle_in
from antiphon.stores.postgres.lists import MESSAGES


class PostgresSearch:
    """`core.ports.search.SearchStore`."""

    kind = TEXT
    claim_seconds = 0.0

    def __init__(self, database: Database) -> None:
        self._database = database
        self.batch = limits.INDEX_MESSAGES

    async def advance(self, tenant_id: Uid, chat_key: Uid, cursor: int, upto: int) -> int:
        """See the port."""
        rows = await self._database.rows(
            "texts_to_index",
            tenant_id=tenant_id,
            chat_key=chat_key,
            cursor=cursor,
            upto=upto,
            characters=limits.INDEX_CHARACTERS,
        )
        end: int = upto if rows[0][0] is None else rows[0][0] - 1
        seqs = [row[1] for row in rows if row[1] is not None]
        grams = await asyncio.to_thread(_arrays_of, tenant_id, rows)

        async def operation(tx: Cursor) -> int:
            if not await settle_in(tx, TEXT, tenant_id, chat_key, cursor, end):
                return cursor
            await tx.run("index_texts", tenant_id=tenant_id, chat_key=chat_key, seqs=seqs, grams=grams)
            return end

        return await self._database.transact(operation)

    async def candidates(
        self, tenant_id: Uid, tenant_name: str, chat_key: Uid | None, wanted: Filter, pieces: Sequence[str], limit: int
    ) -> list[tuple[str, Message]] | None:
        """See the port."""
        hashes = [number for run in runs_of(pieces) for number in hashes_of(tenant_id, run)]
        if not hashes:
            return None
        rows = await self._database.filtered(
            "search_texts",
            wanted,
            MESSAGES,
            tenant_id=tenant_id,
            tenant_name=tenant_name,
            chat_key=chat_key,
            grams=hashes,
            hits_max=limits.INDEX_HITS,
            limit=limit,
        )
        if rows[0][0] >= limits.INDEX_HITS:
            return None
        return [(row[1], Message(*row[2:])) for row in rows if row[1] is not None]


def _arrays_of(tenant_id: Uid, rows: Sequence[Row]) -> list[str]:
    """The hashes of texts as arrays in the database's own notation: lists of lists must be of one length there."""
    return [f"{{{','.join(map(str, hashes_of(tenant_id, row[2].lower())))}}}" for row in rows if row[1] is not None]
