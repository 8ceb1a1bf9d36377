"""`antiphon db distribute`: what it does, in which order, once; against a Citus that is played by a few functions.

The player keeps the rules that matter here: parents before children, one group, a key that the tenant leads, nothing
twice. `tests/contract/test_citus.py` is for a real one.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner

from antiphon.app import PARTS
from antiphon.cli.main import program
from antiphon.domain.errors import StoreFailed
from antiphon.settings import FIELDS
from antiphon.stores.postgres import migrations
from antiphon.stores.postgres.distribution import Placement, Table, own_tables, plan, plan_leftovers
from antiphon.stores.postgres.store import PostgresStore
from tests.postgres_server import EMPTY, PostgresServer

PLAYER = """
    CREATE SCHEMA player;
    CREATE TABLE player.pg_dist_partition (
        logicalrelid regclass PRIMARY KEY, partmethod "char", partkey text, colocationid int, repmodel "char");
    CREATE TABLE player.pg_dist_local_group AS SELECT 0 AS groupid;
    CREATE TABLE player.faults (at regclass, is_deadly boolean);
    CREATE TABLE player.emptied (t regclass PRIMARY KEY);  -- it has no shards: rows stay where they are

    CREATE FUNCTION player.column_to_column_name(regclass, text) RETURNS text LANGUAGE sql AS 'SELECT $2';

    CREATE FUNCTION player.is_placed(regclass) RETURNS boolean LANGUAGE sql AS $$
        SELECT EXISTS (SELECT 1 FROM player.pg_dist_partition
            WHERE logicalrelid = $1 AND (partmethod = 'h' OR repmodel = 't')) $$;

    CREATE FUNCTION player.place(t regclass, method "char", key text, colocation int, model "char") RETURNS void
    LANGUAGE plpgsql AS $$ DECLARE parent regclass; BEGIN
        IF EXISTS (SELECT 1 FROM player.faults WHERE at = t AND is_deadly) THEN
            PERFORM pg_terminate_backend(pg_backend_pid());
        ELSIF EXISTS (SELECT 1 FROM player.faults WHERE at = t) THEN RAISE 'no disk is left for %', t;
        ELSIF player.is_placed(t) THEN RAISE 'table % is already distributed', t;
        END IF;
        FOR parent IN SELECT confrelid FROM pg_constraint WHERE conrelid = t AND contype = 'f' AND confrelid <> t LOOP
            IF NOT player.is_placed(parent) THEN RAISE 'referenced table % must be a distributed table', parent; END IF;
        END LOOP;
        IF key IS NOT NULL AND EXISTS (
            SELECT 1 FROM pg_index WHERE indrelid = t AND indisunique AND NOT ((
                SELECT attnum FROM pg_attribute WHERE attrelid = t AND attname = key) = ANY (indkey))) THEN
            RAISE 'a unique index of % is without %', t, key;
        END IF;
        INSERT INTO player.pg_dist_partition VALUES (t, method, key, colocation, model)
        ON CONFLICT (logicalrelid) DO UPDATE SET partmethod = method, partkey = key, colocationid = colocation,
            repmodel = model;
    END $$;

    CREATE FUNCTION player.create_reference_table(regclass) RETURNS void LANGUAGE sql AS $$
        SELECT player.place($1, 'n', NULL, 1, 't') $$;

    CREATE FUNCTION player.create_distributed_table(
        table_name regclass, distribution_column text, distribution_type text DEFAULT 'hash',
        colocate_with text DEFAULT 'default') RETURNS void LANGUAGE plpgsql AS $$
    DECLARE colocation int; BEGIN
        IF colocate_with = 'none' THEN
            SELECT greatest(max(colocationid), 1) + 1 INTO colocation FROM player.pg_dist_partition;
        ELSE
            SELECT colocationid INTO STRICT colocation FROM player.pg_dist_partition
            WHERE logicalrelid = colocate_with::regclass AND partmethod = 'h';
        END IF;
        PERFORM player.place(table_name, 'h', distribution_column, colocation, 's');
    END $$;

    CREATE FUNCTION player.truncate_local_data_after_distributing_table(t regclass) RETURNS void
    LANGUAGE plpgsql AS $$ BEGIN
        IF EXISTS (SELECT 1 FROM pg_constraint WHERE confrelid = t AND NOT player.is_placed(conrelid)) THEN
            RAISE 'cannot truncate a table referenced in a foreign key constraint by a local table';
        END IF;
        INSERT INTO player.emptied VALUES (t);
    END $$;

    CREATE FUNCTION player.pg_relation_size(oid) RETURNS bigint LANGUAGE sql AS $$
        SELECT CASE WHEN EXISTS (SELECT 1 FROM player.emptied WHERE t = $1) THEN 0
            ELSE pg_catalog.pg_relation_size($1) END $$;

    INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
    VALUES (1, 'citus', 10, 'player'::regnamespace, false, '14.0-1');
    DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET search_path = public, player, pg_catalog', current_database());
    END $$;
"""
PLACED = "SELECT logicalrelid::text, partmethod::text, partkey, colocationid FROM player.pg_dist_partition"

TENANTS = Table("tenants", is_of_tenant=True)
CHATS = Table("chats", is_of_tenant=True, parents=("tenants",))
NAMES = Table("names", is_of_tenant=False)
BY_TENANT = Placement("distributed", "tenant_id", 7)


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in FIELDS:
        monkeypatch.delenv(f"ANTIPHON_{field.upper()}", raising=False)


@pytest.fixture
async def citus(aside: Any) -> Any:
    """A connection to a database with a Citus that is played."""
    await aside.execute(PLAYER)
    await aside.execute("SET search_path = public, player, pg_catalog")  # as all later connections have it
    return aside


async def command(url: str, *words: str) -> Any:
    """A command of `antiphon db` that ran on a database, in a thread: it has an event loop of its own."""
    line = ["db", *words, "--database-url", url]
    return await asyncio.to_thread(lambda: CliRunner().invoke(program, line, obj=PARTS))


async def run(url: str, *options: str) -> list[dict[str, str]]:
    """What `antiphon db distribute --json` says that it did."""
    done = await command(url, "distribute", *options, "--json")
    assert done.exit_code == 0, done.output
    items: list[dict[str, str]] = json.loads(done.stdout)["items"]
    return items


async def refusal(url: str, *options: str) -> str:
    """The one line in which it says why not."""
    done = await command(url, "distribute", *options)
    assert done.exit_code == 1, done.output
    (line,) = done.stderr.splitlines()
    return str(line)


def test_the_first_table_opens_a_group_and_the_others_join_it() -> None:
    steps = plan([CHATS, NAMES, TENANTS], {})
    assert [(step.statement, step.is_done) for step in steps] == [
        ("SELECT create_reference_table('names')", False),
        ("SELECT create_distributed_table('tenants', 'tenant_id', colocate_with => 'none')", False),
        ("SELECT create_distributed_table('chats', 'tenant_id', colocate_with => 'tenants')", False),
    ]


def test_a_new_table_joins_the_group_that_is_there() -> None:
    steps = plan([TENANTS, CHATS], {"chats": BY_TENANT, "tenants": Placement("local", None, 0)})
    assert [(step.table, step.is_done) for step in steps] == [("tenants", False), ("chats", True)]
    assert "colocate_with => 'chats'" in steps[0].statement


def test_names_are_quoted_for_a_literal() -> None:
    (step,) = plan([Table('"o\'clock"', is_of_tenant=False)], {})
    assert step.statement == "SELECT create_reference_table('\"o''clock\"')"


@pytest.mark.parametrize(
    ("placements", "words"),
    [
        ({"chats": Placement("distributed", "key", 7)}, "the table chats is distributed by key already"),
        ({"chats": Placement("reference", None, 7)}, "the table chats is a reference table already"),
        ({"names": BY_TENANT}, "the table names is distributed by tenant_id already"),
        ({"names": Placement("other", None, 7)}, "the table names is distributed in another way already"),
        ({"chats": BY_TENANT, "tenants": Placement("distributed", "tenant_id", 8)}, "several colocation groups"),
    ],
)
def test_what_was_distributed_in_another_way_is_refused(placements: dict[str, Placement], words: str) -> None:
    with pytest.raises(StoreFailed, match=words):
        plan([TENANTS, CHATS, NAMES], placements)


def test_a_circle_is_refused() -> None:
    with pytest.raises(StoreFailed, match="circle"):
        plan([Table("a", is_of_tenant=True, parents=("b",)), Table("b", is_of_tenant=True, parents=("a",))], {})


def test_rows_that_stay_behind_are_removed() -> None:
    (step,) = plan_leftovers([TENANTS, Table("chats", is_of_tenant=True, bytes_here=8192)])
    assert step.statement == "SELECT truncate_local_data_after_distributing_table('chats')"


async def test_every_table_of_the_schema_is_distributed_once(citus: Any, postgres_url: str) -> None:
    items = await run(postgres_url)
    tables = {row[0] for row in await citus.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    assert {item["table"] for item in items} == tables == own_tables()
    assert len([item for item in items if item["kind"] != "emptied"]) == len(tables)
    assert {item["state"] for item in items} == {"done"}
    placed = {row[0]: tuple(row)[1:] for row in await citus.fetch(PLACED)}
    references = {"schema_migrations", "tenant_names"}
    assert {name for name, how in placed.items() if how[0] == "n"} >= references
    tenants = {name: how for name, how in placed.items() if how[0] != "n"}
    assert tenants.keys() >= {"tenants", "participants", "sessions", "chats", "messages", "deletions"}
    assert set(tenants.values()) == {("h", "tenant_id", placed["tenants"][2])}


async def test_a_second_run_says_so_and_changes_nothing(citus: Any, postgres_url: str) -> None:
    first = await run(postgres_url)
    before = await citus.fetch(PLACED)
    second = await run(postgres_url)
    assert [{**item, "state": "already"} for item in first if item["kind"] != "emptied"] == second
    assert await citus.fetch(PLACED) == before
    done = await command(postgres_url, "distribute")
    assert "chats: distributed (already)\n" in done.stdout


@pytest.mark.parametrize("is_deadly", [False, True])
async def test_a_run_that_was_cut_off_is_finished_by_the_next(citus: Any, postgres_url: str, is_deadly: bool) -> None:
    await citus.execute("INSERT INTO player.faults VALUES ('chats', $1)", is_deadly)
    words = "terminating connection" if is_deadly else "no disk is left for chats"
    done = await command(postgres_url, "distribute")
    assert done.exit_code == 1
    assert words in done.stderr
    assert "tenants: distributed (done)" in done.stdout  # what was done until then is told
    assert "chats" not in {row[0] for row in await citus.fetch(PLACED)}
    await citus.execute("DELETE FROM player.faults")
    states = {item["table"]: item["state"] for item in await run(postgres_url)}
    assert (states["tenants"], states["chats"]) == ("already", "done")
    assert {row[0] for row in await citus.fetch(PLACED)} == own_tables()


async def test_a_dry_run_shows_what_would_be_done_and_does_nothing(citus: Any, postgres_url: str) -> None:
    items = await run(postgres_url, "--dry-run")
    assert {item["state"] for item in items} == {"planned"}
    shown = (await command(postgres_url, "distribute", "--dry-run")).stdout
    assert await citus.fetch(PLACED) == []
    assert shown.splitlines() == [f"{item['statement']};" for item in items]
    await citus.execute(shown)  # it may be run by hand
    assert {item["state"] for item in await run(postgres_url)} == {"already"}


async def test_no_copy_of_a_row_is_left_on_the_coordinator(citus: Any, postgres_url: str) -> None:
    await citus.execute("INSERT INTO tenant_names VALUES ('acme', gen_random_uuid())")
    items = await run(postgres_url)
    assert [item["table"] for item in items if item["kind"] == "emptied"] == ["schema_migrations", "tenant_names"]
    assert {row[0] for row in await citus.fetch("SELECT t::text FROM player.emptied")} == {
        "schema_migrations",
        "tenant_names",
    }
    assert {item["kind"] for item in await run(postgres_url)} == {"reference", "distributed"}


async def test_tables_of_others_are_left_alone_and_those_of_later_migrations_are_not(
    citus: Any, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run(postgres_url)
    await citus.execute("CREATE TABLE of_others (tenant_id uuid, a int, PRIMARY KEY (tenant_id, a))")
    await citus.execute(
        "CREATE TABLE later (tenant_id uuid, key uuid, before uuid, PRIMARY KEY (tenant_id, key),"
        " FOREIGN KEY (tenant_id, key) REFERENCES chats (tenant_id, key),"
        " FOREIGN KEY (tenant_id, before) REFERENCES later (tenant_id, key))"  # no circle
    )
    monkeypatch.setattr("antiphon.stores.postgres.distribution.own_tables", lambda: own_tables() | {"later"})
    items = [item for item in await run(postgres_url) if item["state"] == "done"]
    assert [item["statement"] for item in items if item["kind"] == "distributed"] == [
        "SELECT create_distributed_table('later', 'tenant_id', colocate_with => 'tenants')"
    ]
    assert "of_others" not in {row[0] for row in await citus.fetch(PLACED)}


async def test_migrations_work_on_one_shard_after_the_other(
    aside: Any, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = migrations.known_migrations()
    note = "INSERT INTO tenant_names SELECT current_setting('citus.multi_shard_modify_mode'), gen_random_uuid()"
    monkeypatch.setattr(migrations, "known_migrations", lambda: [*known, (known[-1][0] + 1, "later", [note])])
    await (await PostgresStore.open(postgres_url)).close()
    assert await aside.fetchval("SELECT name FROM tenant_names") == "sequential"


async def test_without_the_extension_it_says_what_to_do(postgres_url: str) -> None:
    assert "has no Citus: install it on every node, then run CREATE EXTENSION citus" in await refusal(postgres_url)


async def test_a_worker_is_refused(citus: Any, postgres_url: str) -> None:
    await citus.execute("UPDATE player.pg_dist_local_group SET groupid = 3")
    assert "give the URL of its coordinator" in await refusal(postgres_url, "--dry-run")


async def test_a_newer_database_is_refused(citus: Any, postgres_url: str) -> None:
    await citus.execute("INSERT INTO schema_migrations VALUES (9999, 'future', now())")
    assert "migration 9999, this version of Antiphon knows only" in await refusal(postgres_url)


async def test_an_older_database_is_migrated_first(citus: Any, postgres_url: str) -> None:
    await citus.execute("DELETE FROM schema_migrations WHERE version = (SELECT max(version) FROM schema_migrations)")
    assert "run `antiphon db migrate` first" in await refusal(postgres_url)
    assert await citus.fetch(PLACED) == []


async def test_an_empty_database_is_migrated_by_a_command_and_then_distributed(postgres_server: PostgresServer) -> None:
    name = await postgres_server.create_database(EMPTY)
    try:
        url = postgres_server.url(name)
        connection = await asyncpg.connect(url)
        await connection.execute(PLAYER)
        await connection.close()
        assert "run `antiphon db migrate` first" in await refusal(url)
        for _ in range(2):
            done = await command(url, "migrate", "--json")
            assert json.loads(done.stdout) == {"store": "postgres", "state": "up to date"}
        assert {item["state"] for item in await run(url)} == {"done"}
    finally:
        await postgres_server.drop_database(name)


async def test_while_servers_use_it_nothing_is_begun(citus: Any, postgres_url: str) -> None:
    store = await PostgresStore.open(postgres_url)
    try:
        assert "in use (1 connections of Antiphon): stop the servers first" in await refusal(postgres_url)
        assert await citus.fetch(PLACED) == []
        assert {item["state"] for item in await run(postgres_url, "--dry-run")} == {"planned"}
    finally:
        await store.close()
    await run(postgres_url)
    store = await PostgresStore.open(postgres_url)
    try:
        assert {item["state"] for item in await run(postgres_url)} == {"already"}
    finally:
        await store.close()


async def test_a_database_out_of_reach_is_one_line(postgres_server: PostgresServer) -> None:
    assert "cannot be reached" in await refusal("postgresql://antiphon:secret@127.0.0.1:1/antiphon")
    assert 'database "nowhere" does not exist' in await refusal(postgres_server.url("nowhere"))


def test_a_sqlite_file_is_refused(tmp_path: Any) -> None:
    words = ["db", "distribute", "--data-dir", str(tmp_path / "data")]
    done = CliRunner().invoke(program, words, obj=PARTS)
    assert done.exit_code == 1
    assert "one file and cannot be distributed: name the coordinator by ANTIPHON_DATABASE_URL" in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_sqlite_file_is_migrated_too(tmp_path: Any) -> None:
    words = ["db", "migrate", "--data-dir", str(tmp_path / "data")]
    done = CliRunner().invoke(program, words, obj=PARTS)
    assert done.exit_code == 0
    assert (tmp_path / "data" / "antiphon.db").exists()
    assert done.stdout.split() == ["store", "sqlite", "state", "up", "to", "date"]
