"""Migrations: once, by whoever comes first, whole or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from antiphon.domain.errors import StoreFailed, StoreTooNew, StoreUnavailable
from antiphon.stores.contract.worlds import ALL, new_single, new_tenant, until
from antiphon.stores.postgres import migrations
from antiphon.stores.postgres.migrations import known_migrations, split_statements
from antiphon.stores.postgres.store import PostgresStore
from tests.postgres_server import EMPTY, PostgresServer

NAMES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"


@pytest.fixture
async def empty_url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """The URL of a database with nothing in it."""
    name = await postgres_server.create_database(EMPTY)
    yield postgres_server.url(name)
    await postgres_server.drop_database(name)


async def ask(url: str, query: str) -> list[Any]:
    """The first column of a query."""
    connection = await asyncpg.connect(url)
    try:
        return [row[0] for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def test_of_many_that_start_at_once_one_migrates(empty_url: str) -> None:
    stores = await asyncio.gather(*(PostgresStore.open(empty_url) for _ in range(12)))
    assert await ask(empty_url, "SELECT version FROM schema_migrations") == [n for n, _, _ in known_migrations()]
    tenant = await new_tenant(stores[0], "acme")
    assert [found.id for found in (await stores[11].tenants.list(ALL))[0]] == [tenant]
    await asyncio.gather(*(store.close() for store in stores))


async def test_an_upgrade_is_made_once_too(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await ask(postgres_url, "INSERT INTO tenant_names VALUES ('a', gen_random_uuid()) RETURNING 1")
    known = known_migrations()
    longer = [
        *known,
        (known[-1][0] + 1, "longer", ["UPDATE tenant_names SET name = name || '!'", "SELECT pg_sleep(0.1)"]),
    ]
    monkeypatch.setattr(migrations, "known_migrations", lambda: longer)
    stores = await asyncio.gather(*(PostgresStore.open(postgres_url) for _ in range(6)))
    assert await ask(postgres_url, "SELECT name FROM tenant_names") == ["a!"]
    await asyncio.gather(*(store.close() for store in stores))


async def test_what_is_there_is_left_alone(postgres_url: str) -> None:
    before = await ask(postgres_url, "SELECT applied_at FROM schema_migrations")
    await (await PostgresStore.open(postgres_url)).close()
    assert await ask(postgres_url, "SELECT applied_at FROM schema_migrations") == before


async def test_a_newer_database_is_refused_by_name(postgres_url: str) -> None:
    await ask(postgres_url, "INSERT INTO schema_migrations VALUES (9999, 'future', now()) RETURNING 1")
    with pytest.raises(StoreTooNew, match="migration 9999, this version of Antiphon knows only"):
        await PostgresStore.open(postgres_url)


async def test_a_migration_that_breaks_leaves_nothing(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = known_migrations()
    broken = [*known, (known[-1][0] + 1, "broken", ["CREATE TABLE half (a int PRIMARY KEY)", "SELECT 1 / 0"])]
    monkeypatch.setattr(migrations, "known_migrations", lambda: broken)
    with pytest.raises(StoreFailed):
        await PostgresStore.open(empty_url)
    assert await ask(empty_url, NAMES) == []
    monkeypatch.undo()
    await (await PostgresStore.open(empty_url)).close()
    assert "messages" in await ask(empty_url, NAMES)


async def test_one_that_is_cut_off_is_done_by_the_next(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = known_migrations()
    slow = [*known, (known[-1][0] + 1, "slow", ["CREATE TABLE half (a int PRIMARY KEY)", "SELECT pg_sleep(30)"])]
    monkeypatch.setattr(migrations, "known_migrations", lambda: slow)
    task = asyncio.ensure_future(PostgresStore.open(empty_url))
    sleeping = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(30)%' AND state = 'active'"

    async def is_sleeping() -> bool:
        return bool(await ask(empty_url, sleeping))

    await until(is_sleeping, "the migration was under way")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    monkeypatch.undo()
    assert await ask(empty_url, NAMES) == []
    await (await PostgresStore.open(empty_url)).close()
    assert "messages" in await ask(empty_url, NAMES)


async def test_a_database_that_is_not_there_is_said_so(postgres_server: PostgresServer) -> None:
    with pytest.raises(StoreFailed, match="cannot be used"):
        await PostgresStore.open(postgres_server.url("nowhere"))
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await PostgresStore.open("postgresql://antiphon:secret@127.0.0.1:1/antiphon")
    with pytest.raises(StoreFailed, match="cannot be used"):
        await PostgresStore.open("postgresql://[antiphon")


async def test_messages_that_were_quiet_stay_so(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    older = [one for one in known_migrations() if one[1] != "reasoning"]
    monkeypatch.setattr(migrations, "known_migrations", lambda: older)
    store = await PostgresStore.open(empty_url)
    tenant = await new_tenant(store)
    _, chat = await new_single(store, tenant)
    message = await ask(
        empty_url,
        "INSERT INTO quiet_messages SELECT tenant_id, key, gen_random_uuid() FROM chats RETURNING message_id",
    )
    await store.close()
    monkeypatch.undo()
    store = await PostgresStore.open(empty_url)
    ids = [one.bytes for one in message]
    assert await store.imports.marks(tenant, chat.key, ids) == dict.fromkeys(ids, False)
    await store.close()


def test_statements_are_split_at_the_end_of_a_line() -> None:
    script = "-- a; b\nCREATE TABLE t (\n  a int -- c;\n);\n\nCREATE INDEX i ON t (a);  \n-- the end\n"
    assert split_statements(script) == ["CREATE TABLE t (\n  a int \n)", "CREATE INDEX i ON t (a)"]
