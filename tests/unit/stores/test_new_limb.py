"""A table that is new: with its rule in the graph and a statement for each that it hangs on, nothing else is needed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from antiphon.core.ports import Store
from antiphon.domain.deletions import CANCEL, CHAT, DONE, PARTICIPANT, SESSION, TENANT, Order
from antiphon.domain.errors import StoreFailed
from antiphon.domain.ids import Uid
from antiphon.domain.participants import PEER
from antiphon.stores import graph
from antiphon.stores.contract.worlds import add_chat, new_multi, new_tenant, purge, reload_deletion
from antiphon.stores.graph import CASCADE, Edge, Limb
from antiphon.stores.postgres import database as postgres
from antiphon.stores.postgres.store import PostgresStore
from antiphon.stores.sqlite import database as sqlite
from antiphon.stores.sqlite.store import SqliteStore
from tests.postgres_server import postgres_server, postgres_store, postgres_url

__all__ = ["postgres_server", "postgres_store", "postgres_url"]

PARENTS = {"chat": ("chats", "key"), "session": ("sessions", "key"), "participant": ("participants", "id")}
ROWS = 3

Run = Callable[..., Awaitable[Any]]
"""Sends one statement; `?` stands for a value."""


def grow(monkeypatch: pytest.MonkeyPatch, statements: dict[str, Any], purges: dict[str, Any], parent: str) -> None:
    """Declare the table `stickers`, which hangs on a parent, and say how its rows go."""
    table, key = PARENTS[parent]
    limb = Limb("stickers", CASCADE, (Edge(table, "parent", key),))
    monkeypatch.setattr(graph, "GRAPH", (*graph.GRAPH, limb))
    graph.limbs_of.cache_clear()
    for name, statement in purges.items():
        monkeypatch.setitem(statements, name, statement)


@pytest.fixture(autouse=True)
def graph_as_it_is() -> Iterator[None]:
    """What was derived from the grown graph is forgotten."""
    yield
    graph.limbs_of.cache_clear()


async def check(store: Store, run: Run, parent: str) -> None:
    """Rows on two of a kind: one is deleted, and then the whole tenant."""
    tenant = await new_tenant(store)
    keys, kinds = await _parents(store, tenant, parent)
    for key in keys:
        for number in range(ROWS):
            await run("INSERT INTO stickers (tenant_id, parent, num) VALUES (?, ?, ?)", tenant, key, number)
    kind, detach = kinds
    assert (await store.deletions.survey(tenant, kind, keys[0])).counts["stickers"] == ROWS
    assert (await store.deletions.survey(tenant, TENANT, tenant)).counts["stickers"] == 2 * ROWS
    job = (await detach(tenant, keys[0], Order(CANCEL))).deletion
    assert (await store.deletions.survey(tenant, TENANT, tenant)).counts["stickers"] == ROWS
    await purge(store, tenant)
    done = await reload_deletion(store, tenant, job.id)
    assert (done.state, done.counts["stickers"]) == (DONE, ROWS)
    await run("INSERT INTO stickers (tenant_id, parent, num) VALUES (?, ?, 9)", tenant, keys[0])
    assert (await store.orphans())["stickers.parent"] == 1
    await store.deletions.detach_tenant(tenant, Order(CANCEL), with_sessions=True)
    await purge(store, tenant)
    assert not any((await store.orphans()).values())


async def _parents(store: Store, tenant: Uid, parent: str) -> tuple[list[Uid], tuple[str, Any]]:
    """Two of a kind, and how the first is deleted."""
    session, first = await new_multi(store, tenant, "ann")
    other, _ = await new_multi(store, tenant, "ben")
    second, _ = await add_chat(store, tenant, session, "second")
    people = [(await store.participants.ensure(tenant, PEER, name))[0].id for name in ("ann", "ben")]
    return {
        "chat": ([first.key, second.key], (CHAT, store.deletions.detach_chat)),
        "session": ([session.key, other.key], (SESSION, store.deletions.detach_session)),
        "participant": (people, (PARTICIPANT, store.deletions.detach_participant)),
    }[parent]


@pytest.mark.parametrize("parent", PARENTS)
async def test_it_is_planned_purged_and_looked_for_in_sqlite(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, parent: str
) -> None:
    some = "DELETE FROM stickers WHERE rowid IN (SELECT rowid FROM stickers WHERE tenant_id = :tenant_id"
    purges = {
        f"purge_stickers_of_{parent}": f"{some} AND parent = :key LIMIT :limit)",
        "purge_stickers_of_tenant": f"{some} LIMIT :limit)",
    }
    grow(monkeypatch, sqlite.STATEMENTS, purges, parent)

    async def run(statement: str, *values: Any) -> None:
        await store._file.write(lambda tx: tx.connection.execute(statement, values).fetchall())

    await run("CREATE TABLE stickers (tenant_id BLOB, parent BLOB, num INTEGER)")
    await check(store, run, parent)


@pytest.mark.parametrize("parent", PARENTS)
async def test_it_is_planned_purged_and_looked_for_in_postgres(
    postgres_store: PostgresStore, postgres_url: str, monkeypatch: pytest.MonkeyPatch, parent: str
) -> None:
    some = "DELETE FROM stickers WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY ("
    some += "SELECT ctid FROM stickers WHERE tenant_id = :tenant_id"
    whose = "parent = :key" if parent == "participant" else "parent = ANY (:keys)"
    texts = {
        f"purge_stickers_of_{parent}": f"{some} AND {whose} LIMIT :limit))",
        "purge_stickers_of_tenant": f"{some} LIMIT :limit))",
    }
    purges = {name: postgres.number_parameters(text) for name, text in texts.items()}
    grow(monkeypatch, postgres.STATEMENTS, purges, parent)
    connection = await asyncpg.connect(postgres_url)

    async def run(statement: str, *values: Any) -> None:
        for number in range(1, 4):
            statement = statement.replace("?", f"${number}", 1)
        await connection.execute(statement, *[value.hex() if isinstance(value, bytes) else value for value in values])

    await run("CREATE TABLE stickers (tenant_id uuid, parent uuid, num integer)")
    await check(postgres_store, run, parent)
    await connection.close()


async def test_without_its_statements_nothing_starts(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow(monkeypatch, {}, {}, "chat")
    for opening in (SqliteStore.open(tmp_path / "data"), PostgresStore.open(postgres_url)):
        with pytest.raises(StoreFailed, match="purge_stickers_of_chat, purge_stickers_of_tenant"):
            await opening
