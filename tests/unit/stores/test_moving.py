"""A move: every table has a rule, and what is there afterwards is what was here, to the byte."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import pytest

from antiphon.core.ports import Store
from antiphon.domain import limits
from antiphon.domain.deletions import CANCEL, Order
from antiphon.domain.errors import StoreFailed, StoreUnavailable
from antiphon.domain.messages import USER, Draft
from antiphon.stores.contract.worlds import purge
from antiphon.stores.graph import GRAPH
from antiphon.stores.moving import FORMS, LEFT, Table, copied_tables, digest_of_rows, order_key
from antiphon.stores.postgres.moving import move
from antiphon.stores.postgres.store import PostgresStore
from antiphon.stores.sqlite.database import FILE_NAME
from antiphon.stores.sqlite.moving import open_source
from antiphon.stores.sqlite.store import SqliteStore
from tests.crash.deletion_view import view_of
from tests.crash.deletion_world import World, make_world
from tests.postgres_server import EMPTY, PostgresServer, postgres_server

__all__ = ["postgres_server"]

STATEMENT = re.compile(r"CREATE (?:VIRTUAL )?TABLE (?:IF NOT EXISTS )?(\w+)")


@pytest.fixture
async def url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """The URL of a database in which there is nothing."""
    name = await postgres_server.create_database(EMPTY)
    yield postgres_server.url(name)
    await postgres_server.drop_database(name)


async def make_source(data_dir: Path) -> tuple[World, dict[str, Any]]:
    """An instance with one of everything, of which some is deleted and some is on its way out; and what it shows."""
    store = await SqliteStore.open(data_dir)
    world, other = await make_world(store, "one"), await make_world(store, "two")
    kept, gone = world.places[3], other.places[1]
    drafts = [Draft("ann", USER, "🌊", is_reasoned=mark) for mark in (True, False)]
    await store.messages.append(world.tenant_id, kept.key, drafts)
    await store.sessions.put_single(world.tenant_id, "left", "nobody", None, None, [], is_owner_implied=True)
    await store.deletions.detach_chat(other.tenant_id, gone.key, Order(CANCEL))
    await purge(store, other.tenant_id)
    await store.tenants.update(other.tenant_id, None, None, '{"undo_window":3600}')
    await store.deletions.detach_session(other.tenant_id, other.places[4].session_key, Order(CANCEL, undo_seconds=3600))
    await store.deletions.detach_chat(world.tenant_id, world.places[2].key, Order(CANCEL))
    shown = {"one": await seen(store, world), "two": await seen(store, other)}
    await store.close()
    return world, shown


async def seen(store: Store, world: World) -> dict[str, Any]:
    """All that is told of a world, and of its proofs."""
    tenant = world.tenant_id
    receipts = await store.receipts.list(tenant, 0, 100)
    deletions = await store.deletions.list(tenant, (), None, 100, None)
    view = await view_of(store, world)
    derived = ("found", "nearest")  # candidates of a search are each store's own; vectors may have to be made anew
    view = {name: answer for name, answer in view.items() if not any(word in name for word in derived)}
    for answer in view.values():
        if isinstance(answer, dict) and "blocked_by" in answer:
            answer["blocked_by"].sort(key=lambda blocker: blocker["id"])  # what is live stands in no order
    return {
        "view": view,
        "receipts": [(one.id, one.sequence, one.body) for one in receipts],
        "deletions": [(one.id, one.kind, one.target_id, one.state, one.counts, one.undo_until) for one in deletions],
    }


def nothing(_state: str, _table: str, _done: int, _total: int) -> None:
    """Told of everything, says nothing."""


def test_every_table_has_a_rule_and_parents_come_first() -> None:
    order = copied_tables()
    assert {*order, *LEFT} == {limb.table for limb in GRAPH}
    assert not {*order} & {*LEFT}
    assert set(FORMS) <= {*order}
    for limb in GRAPH:
        if limb.table in order:
            parents = {edge.parent for edge in limb.edges} - {limb.table}
            assert all(order.index(parent) < order.index(limb.table) for parent in parents)


def test_a_column_without_a_rule_is_an_error() -> None:
    table = Table("chats", (("key", "uuid"), ("new", "text")))
    with pytest.raises(StoreFailed, match=r"nothing says how chats\.new is copied"):
        table.query(frozenset({"key"}), "rowid")


def test_the_digest_is_of_the_rows_and_not_of_their_order() -> None:
    rows = [(1, "a", None), (2, "b", b"x"), (2, "b", b"x")]
    assert digest_of_rows(rows) == digest_of_rows(rows[::-1]) == digest_of_rows(rows[2:], digest_of_rows(rows[:2]))
    assert digest_of_rows(rows) != digest_of_rows(rows[:2])
    assert digest_of_rows([(1, "a", None)]) != digest_of_rows([(1, "a", "")])


def test_places_in_an_order_become_keys_in_that_order() -> None:
    keys = [order_key(num) for num in (1, 2, 300, 2**40)]
    assert keys == sorted(keys)
    assert {len(key) for key in keys} == {16}


async def test_all_of_it_is_there_afterwards(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOVE_ROWS", 7)
    world, shown = await make_source(tmp_path)
    told: list[tuple[str, str, int, int]] = []
    with open_source(tmp_path) as source:
        await move(url, source, lambda *step: told.append(step))
        counts = {name: source.count(name) for name in copied_tables()}
    assert {table: done for state, table, done, _ in told if state == "checking"} == counts
    # Only what lives for a moment, and the cards and answers that this world has none of, may be missing.
    assert {name for name, count in counts.items() if not count} <= {"tickets", "idempotency", "imports", "cards"} | {
        "conclusions",
        "signing_keys",
    }
    assert told[-1] == ("done", "", 0, 0)
    store = await PostgresStore.open(url)
    try:
        other = await store.tenants.find_by_name("two")
        assert other is not None
        for name in ("one", "two"):
            tenant = await store.tenants.find_by_name(name)
            assert tenant is not None
        moved = await seen(store, world)
        assert moved["receipts"] == shown["one"]["receipts"]
        assert moved["deletions"] == shown["one"]["deletions"]
        assert {key: value for key, value in moved["view"].items() if value != shown["one"]["view"][key]} == {}
        await purge(store, world.tenant_id)
        (done,) = await store.deletions.list(world.tenant_id, ("done",), None, 10, None)
        assert done.counts["messages"] == 9
        assert {name: count for name, count in (await store.orphans()).items() if count} == {}
    finally:
        await store.close()


async def test_what_stands_there_is_the_same_rows(url: str, tmp_path: Path) -> None:
    await make_source(tmp_path)
    changed = apsw.Connection(str(tmp_path / FILE_NAME))
    changed.execute("UPDATE deletions SET cursor = '8388609' WHERE state = 'purging'")  # a place here
    assert changed.changes() == 1
    changed.close()
    with open_source(tmp_path) as source:
        await move(url, source, nothing)
    here = apsw.Connection(str(tmp_path / FILE_NAME), flags=apsw.SQLITE_OPEN_READONLY)
    there = await asyncpg.connect(url)
    try:
        for table in ("receipts", "tombstones", "receipt_heads"):
            columns = [row[0] for row in here.execute("SELECT name FROM pragma_table_info(?)", (table,))]
            texts = [name for name in columns if name in {"body", "hash", "digest", "kid", "kind", "tenant_digest"}]
            query = f"SELECT {', '.join(texts)} FROM {table} ORDER BY {', '.join(texts)}"
            expected = list(here.execute(query))
            assert [tuple(row) for row in await there.fetch(query)] == expected != []
        assert await there.fetchval("SELECT count(*) FROM moves") == 0
        assert await there.fetchval("SELECT count(cursor) FROM deletions") == 0
    finally:
        here.close()
        await there.close()


async def test_one_that_was_cut_off_goes_on(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOVE_ROWS", 20)
    world, shown = await make_source(tmp_path)
    steps = 0
    for cut_at in (1, 3, 5, 9, 14):
        steps = 0

        def tell(_state: str, _table: str, _done: int, _total: int, cut_at: int = cut_at) -> None:
            nonlocal steps
            steps += 1
            if steps == cut_at:
                raise InterruptedError

        with open_source(tmp_path) as source, pytest.raises(StoreUnavailable):
            await move(url, source, tell)
        with pytest.raises(StoreFailed, match="not finished"):
            await PostgresStore.open(url)
    with open_source(tmp_path) as source:
        await move(url, source, nothing)
    store = await PostgresStore.open(url)
    assert (await seen(store, world))["view"] == shown["one"]["view"]
    await store.close()


async def test_a_database_that_is_not_empty_is_left_alone(url: str, tmp_path: Path) -> None:
    store = await PostgresStore.open(url)
    tenant = await store.tenants.create("mine", "assistant")
    await make_source(tmp_path)
    with open_source(tmp_path) as source, pytest.raises(StoreFailed, match="in use"):
        await move(url, source, nothing)
    await store.close()
    with open_source(tmp_path) as source, pytest.raises(StoreFailed, match="not empty"):
        await move(url, source, nothing)
    store = await PostgresStore.open(url)
    assert await store.tenants.find_by_name("mine") == tenant
    assert await store.tenants.find_by_name("one") is None
    await store.close()


async def test_a_move_of_another_instance_is_not_gone_on_with(url: str, tmp_path: Path) -> None:
    await make_source(tmp_path / "a")
    await make_source(tmp_path / "b")

    def stop(*_step: object) -> None:
        raise InterruptedError

    with open_source(tmp_path / "a") as source, pytest.raises(StoreUnavailable):
        await move(url, source, stop)
    with open_source(tmp_path / "b") as source, pytest.raises(StoreFailed, match="another instance"):
        await move(url, source, nothing)


async def test_a_source_that_changed_since_is_found_out(url: str, tmp_path: Path) -> None:
    world, _ = await make_source(tmp_path)

    def stop(state: str, table: str, done: int, total: int) -> None:
        if table == "messages" and state == "copying" and done == total:
            raise InterruptedError

    with open_source(tmp_path) as source, pytest.raises(StoreUnavailable):
        await move(url, source, stop)
    store = await SqliteStore.open(tmp_path)
    await store.tenants.update(world.tenant_id, '{"changed":1}', None)
    await store.close()
    with open_source(tmp_path) as source, pytest.raises(StoreFailed, match="tenants is not what it is in the source"):
        await move(url, source, nothing)
    with pytest.raises(StoreFailed, match="not finished"):
        await PostgresStore.open(url)


async def test_the_source_is_nobody_else_s_meanwhile_and_stays_as_it_was(tmp_path: Path) -> None:
    world, shown = await make_source(tmp_path)
    with pytest.raises(StoreFailed, match="no database"), open_source(tmp_path / "elsewhere"):
        pass
    old = tmp_path / "old"
    old.mkdir()
    shutil.copy(tmp_path / FILE_NAME, old / FILE_NAME)
    connection = apsw.Connection(str(old / FILE_NAME))
    connection.execute("DELETE FROM schema_migrations WHERE version = 15")
    connection.close()
    with pytest.raises(StoreFailed, match="another version"), open_source(old):
        pass
    store = await SqliteStore.open(tmp_path)
    with pytest.raises(StoreUnavailable, match="in use"), open_source(tmp_path):
        pass
    assert (await seen(store, world))["view"] == shown["one"]["view"]
    await store.close()


def test_tables_of_both_stores_are_known() -> None:
    for store in ("sqlite", "postgres"):
        texts = [file.read_text() for file in (files(f"antiphon.stores.{store}") / "migrations").iterdir()]
        made = {name for text in texts for name in STATEMENT.findall(text)} - {"deletions_anew", "quiet_messages"}
        assert made - {"schema_migrations"} <= {*copied_tables(), *LEFT}
