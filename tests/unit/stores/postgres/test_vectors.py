"""Vectors where the database has no pgvector: the same answers, and once it is there it is used."""

from __future__ import annotations

import asyncpg
import pytest

from antiphon.domain.filters import EVERYTHING
from antiphon.stores.contract.vectors import MODEL, concluded, heading, keep, near
from antiphon.stores.contract.worlds import new_single, new_tenant, say
from antiphon.stores.postgres.store import PostgresStore
from tests.postgres_server import postgres_server, postgres_store, postgres_url

__all__ = ["postgres_server", "postgres_store", "postgres_url"]


async def distances(store: PostgresStore, tenant: bytes) -> list[float]:
    """How far all that there is stands from north."""
    asked = (tenant, "t", EVERYTHING, MODEL, heading(0), 9)
    messages = await store.vectors.nearest_messages(*asked)
    conclusions = await store.vectors.nearest_conclusions(*asked)
    return [*(distance for *_, distance in messages), *(distance for _, distance in conclusions)]


async def test_without_the_extension_the_answers_are_the_same(postgres_store: PostgresStore, postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM pg_extension WHERE extname = 'vector'") == 1
        await connection.execute("DROP EXTENSION vector")
        tenant = await new_tenant(postgres_store)
        _, chat = await new_single(postgres_store, tenant)
        await say(postgres_store, tenant, chat, "east", "north", "south-east")
        assert await keep(postgres_store, tenant, chat, 90, 0, 135)
        (made,) = await concluded(postgres_store, tenant, "north-west")
        await postgres_store.vectors.keep_conclusions(tenant, MODEL, [(made.id, heading(-45))])
        assert await near(postgres_store, tenant) == ["north", "east", "south-east"]
        plain = await distances(postgres_store, tenant)
        await connection.execute("CREATE EXTENSION vector")
        assert await near(postgres_store, tenant) == ["north", "east", "south-east"]
        assert await distances(postgres_store, tenant) == pytest.approx(plain, abs=1e-6)
        assert len(plain) == 4
    finally:
        await connection.close()
