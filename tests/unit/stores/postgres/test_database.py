"""The pool: what is tried again and what is not, what is left behind, and what errors mean."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import asyncpg
import pytest

from antiphon.core.ports import Slice
from antiphon.domain import limits, times
from antiphon.domain.errors import StoreFailed, StoreUnavailable, TenantNotFound
from antiphon.domain.ids import new_uid7
from antiphon.stores.contract.worlds import add_chat, draft, new_multi, new_tenant, say, until
from antiphon.stores.postgres.database import Cursor, Database, is_passing
from antiphon.stores.postgres.store import PostgresStore

KILL_OTHERS = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""
IN_TRANSACTION = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def until_waiting(aside: Any) -> None:
    """Until a statement waits for a lock."""

    async def is_waiting() -> bool:
        return bool(await aside.fetchval(WAITING))

    await until(is_waiting, "a statement waited for a lock")


async def insert_tenant(tx: Cursor) -> bytes:
    """A tenant without an agent, in a transaction."""
    tenant_id = new_uid7()
    await tx.run(
        "insert_tenant",
        tenant_id=tenant_id,
        name="acme",
        agent_name="a",
        metadata="{}",
        configuration="{}",
        settings="{}",
        digest_secret=bytes(32),
        now=tx.now,
    )
    return tenant_id


async def test_ids_are_bytes_and_moments_are_whole_microseconds(database: Database) -> None:
    moment = -62_135_596_799_999_999

    async def operation(tx: Cursor) -> bytes:
        tx.now = moment
        return await insert_tenant(tx)

    tenant_id = await database.transact(operation)
    row = await database.row("find_tenant", tenant_id=tenant_id)
    assert row is not None
    assert (row[0], row[2]) == (tenant_id, moment)


async def test_a_text_that_cannot_be_stored_finds_nothing(postgres_store: PostgresStore) -> None:
    tenant = await new_tenant(postgres_store)
    for text in ("a\x00b", "\ud800"):
        assert await postgres_store.chats.find(tenant, text) is None
        assert await postgres_store.sessions.find(tenant, text) is None
        assert await postgres_store.tenants.find_by_name(text) is None
        assert await postgres_store.chats.list_of_owner(tenant, text, Slice(0, 1)) == ([], 0)


async def test_reads_outlive_the_loss_of_every_connection(postgres_store: PostgresStore, aside: Any) -> None:
    tenant = await new_tenant(postgres_store)
    await asyncio.gather(*(postgres_store.tenants.find(tenant) for _ in range(10)))
    await aside.fetch(KILL_OTHERS)
    found = await asyncio.gather(*(postgres_store.tenants.find(tenant) for _ in range(30)))
    assert [one.id for one in found if one] == [tenant] * 30


async def test_a_transaction_that_is_cut_before_its_commit_is_done_again(database: Database, aside: Any) -> None:
    runs = []

    async def operation(tx: Cursor) -> bytes:
        tenant_id = await insert_tenant(tx)
        runs.append(tenant_id)
        if len(runs) == 1:
            await aside.fetch(KILL_OTHERS)
        await tx.rows("find_tenant", tenant_id=tenant_id)
        return tenant_id

    assert await database.transact(operation) == runs[1]
    assert [row[0].bytes for row in await aside.fetch("SELECT tenant_id FROM tenants")] == [runs[1]]


async def test_a_commit_that_is_cut_is_not_done_again(database: Database, aside: Any) -> None:
    runs = []

    async def operation(tx: Cursor) -> None:
        runs.append(await insert_tenant(tx))
        await aside.fetch(KILL_OTHERS)

    with pytest.raises(StoreUnavailable):
        await database.transact(operation)
    assert len(runs) == 1
    assert await aside.fetchval("SELECT count(*) FROM tenants") == 0


async def test_of_two_that_block_each_other_one_is_done_again(database: Database, aside: Any) -> None:
    first, second = await database.transact(insert_tenant), await database.transact(insert_tenant)
    is_locked = [asyncio.Event(), asyncio.Event()]
    runs = [0, 0]

    async def lock_both(number: int, tenants: list[bytes]) -> None:
        async def operation(tx: Cursor) -> None:
            runs[number] += 1
            await tx.run("count_peers", tenant_id=tenants[0], by=1)
            is_locked[number].set()
            if runs[number] == 1:
                await is_locked[1 - number].wait()
            await tx.run("count_peers", tenant_id=tenants[1], by=1)

        await database.transact(operation)

    await asyncio.gather(lock_both(0, [first, second]), lock_both(1, [second, first]))
    assert sorted(runs) == [1, 2]
    assert await aside.fetchval("SELECT array_agg(peer_count) FROM tenants") == [2, 2]


async def test_a_lock_that_is_not_given_is_waited_for_and_then_refused(
    postgres_store: PostgresStore, aside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = await new_tenant(postgres_store)
    monkeypatch.setattr(limits, "STORE_BUSY_SECONDS", 0.1)
    impatient = await PostgresStore.open(url_of(aside))
    monkeypatch.undo()
    monkeypatch.setattr(limits, "STORE_ATTEMPTS", 2)
    started_at = time.monotonic()
    async with aside.transaction():
        await aside.execute("UPDATE tenants SET metadata = '[]'")
        with pytest.raises(StoreUnavailable):
            await impatient.tenants.update(tenant, '{"late":1}', None)
    assert 0.2 <= time.monotonic() - started_at < limits.STORE_STATEMENT_SECONDS / 2
    await impatient.close()
    found = await postgres_store.tenants.find(tenant)
    assert found is not None
    assert found.metadata == "[]"


def url_of(connection: Any) -> str:
    """The URL of the database of a connection."""
    host = connection._addr.rpartition("/")[0]
    return f"postgresql://antiphon@/{connection._params.database}?host={host}&port=5432"


async def test_a_statement_that_takes_too_long_is_ended(aside: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STORE_STATEMENT_SECONDS", 0.1)
    monkeypatch.setattr(limits, "STORE_ATTEMPTS", 1)
    store = await PostgresStore.open(url_of(aside))
    started_at = time.monotonic()
    async with aside.transaction():
        await aside.execute("LOCK TABLE tenants")
        with pytest.raises(StoreUnavailable):
            await store.tenants.find(new_uid7())
    assert time.monotonic() - started_at < limits.STORE_BUSY_SECONDS / 2  # neither the lock's nor the client's end
    assert await store.tenants.find(new_uid7()) is None
    await store.close()


async def test_a_full_pool_refuses_after_a_while(aside: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STORE_CONNECTIONS", 2)
    monkeypatch.setattr(limits, "STORE_BUSY_SECONDS", 0.2)
    monkeypatch.setattr(limits, "STORE_ATTEMPTS", 1)
    store = await PostgresStore.open(url_of(aside))
    release = asyncio.Event()

    async def hold(_tx: Cursor) -> None:
        await release.wait()

    holders = [asyncio.ensure_future(store._database.transact(hold)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(StoreUnavailable):
        await store.tenants.find(new_uid7())
    release.set()
    await asyncio.gather(*holders)
    assert await store.tenants.find(new_uid7()) is None
    await store.close()


async def test_what_is_cancelled_leaves_no_transaction_open(postgres_store: PostgresStore, aside: Any) -> None:
    tenant = await new_tenant(postgres_store)
    for _ in range(10):
        async with aside.transaction():
            await aside.execute("UPDATE tenants SET metadata = '{}'")
            tasks = [asyncio.ensure_future(postgres_store.tenants.update(tenant, "[]", None)) for _ in range(5)]
            await until_waiting(aside)
            for task in tasks:
                task.cancel()
            assert all(
                isinstance(outcome, asyncio.CancelledError)
                for outcome in await asyncio.gather(*tasks, return_exceptions=True)
            )
    assert await postgres_store.tenants.find(tenant) is not None
    assert await aside.fetchval(IN_TRANSACTION) == 0
    assert await aside.fetchval("SELECT metadata FROM tenants") == "{}"


async def test_an_error_of_ours_rolls_back_and_gives_the_connection_back(
    database: Database, aside: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def operation(tx: Cursor) -> None:
        await insert_tenant(tx)
        raise TenantNotFound

    for _ in range(limits.STORE_CONNECTIONS * 2):
        with pytest.raises(TenantNotFound):
            await database.transact(operation)
    assert caplog.records == []  # the driver complains of what it finds open
    assert await aside.fetchval("SELECT count(*) FROM tenants") == 0
    assert await aside.fetchval(IN_TRANSACTION) == 0


async def test_no_word_of_the_database_reaches_the_log(
    postgres_store: PostgresStore, aside: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    tenant = await new_tenant(postgres_store)
    _, chat = await new_multi(postgres_store, tenant)
    await aside.execute("ALTER TABLE messages ADD CHECK (text <> 'very private')")
    with pytest.raises(StoreFailed):
        await say(postgres_store, tenant, chat, "very private")
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == ["database error"]
    assert not any("private" in str(vars(record)) for record in caplog.records)


async def test_what_is_hot_takes_one_statement(postgres_store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = await new_tenant(postgres_store)
    session, chat = await new_multi(postgres_store, tenant)
    await say(postgres_store, tenant, chat, "now ann is a member")
    sent: list[str] = []
    rows, script = Cursor.rows, Cursor.script

    async def noted_rows(self: Cursor, name: str, /, **values: Any) -> Any:
        sent.append(name)
        return await rows(self, name, **values)

    async def noted_script(self: Cursor, text: str) -> None:
        sent.append(text)
        await script(self, text)

    monkeypatch.setattr(Cursor, "rows", noted_rows)
    monkeypatch.setattr(Cursor, "script", noted_script)
    await postgres_store.chats.find(tenant, chat.id)
    await postgres_store.messages.page(tenant, chat.key, Slice(0, 50, is_reversed=True))
    await say(postgres_store, tenant, chat, "one")
    await say(postgres_store, tenant, chat, "two", "three")
    await asyncio.gather(*(say(postgres_store, tenant, chat, "many") for _ in range(20)))
    await add_chat(postgres_store, tenant, session, "c")
    await postgres_store.chats.create_single(tenant, "ann", None, "{}")
    await postgres_store.sessions.create_multi(tenant, chat.owner_id, "T", None, None)
    assert sent == [
        "find_chat",
        "messages_between_reversed",
        "append_one",
        "append",
        "append",
        "create_chat",
        "create_single",
        "create_multi",
    ]


async def test_a_standby_is_not_ready(postgres_store: PostgresStore, aside: Any) -> None:
    await postgres_store.check()
    name = await aside.fetchval("SELECT current_database()")
    await aside.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await aside.fetch(KILL_OTHERS)
    with pytest.raises(StoreUnavailable, match="takes no writes"):
        await postgres_store.check()
    with pytest.raises(StoreUnavailable):
        await postgres_store.tenants.create("acme", "a")


def state(code: str, constraint: str | None = None) -> Exception:
    """An error of the server."""
    error = asyncpg.PostgresError("private")
    error.sqlstate = code
    error.constraint_name = constraint
    return error


@pytest.mark.parametrize("code", ["40001", "40P01", "55P03", "57014", "57P01", "57P03", "53300", "53100", "08006"])
def test_what_passes_by_itself(code: str) -> None:
    assert is_passing(state(code))


@pytest.mark.parametrize("code", ["23503", "23514", "22021", "42P01", "42501", "28P01", "3D000", "XX000"])
def test_what_does_not(code: str) -> None:
    assert not is_passing(state(code))


def test_a_name_that_is_taken_passes_where_the_other_is_found_next_time() -> None:
    assert is_passing(state("23505", "chats_by_id"))
    assert is_passing(state("23505", "sessions_by_id_102008"))
    assert not is_passing(state("23505", "messages_by_client_id"))
    assert is_passing(TimeoutError())
    assert is_passing(ConnectionResetError())
    assert is_passing(asyncpg.InternalClientError())
    assert not is_passing(asyncpg.exceptions._base.DataError("private"))


async def test_an_append_says_how_far_it_got(postgres_store: PostgresStore) -> None:
    tenant = await new_tenant(postgres_store)
    _, chat = await new_multi(postgres_store, tenant)
    before = times.now()
    made = await postgres_store.messages.append(tenant, chat.key, [draft("a"), draft("b", author="bob")])
    assert [(message.seq, message.author) for message in made] == [(1, "ann"), (2, "bob")]
    assert all(before <= message.created_at <= times.now() for message in made)
