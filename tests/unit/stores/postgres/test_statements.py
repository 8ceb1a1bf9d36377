"""The statements fit their uses and SQLite's, the server knows how to run them, and a distributed one would too."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

import antiphon.stores.postgres
from antiphon.stores.postgres.database import STATEMENTS, number_parameters
from antiphon.stores.postgres.migrations import known_migrations
from antiphon.stores.sql import load_statements
from antiphon.stores.sqlite.database import STATEMENTS as SQLITE_STATEMENTS
from tests.unit.stores.sqlite.test_statements import unknown_and_unused

FOLDER = Path(antiphon.stores.postgres.__file__).parent
SQL = load_statements(files("antiphon.stores.postgres") / "sql")
SYSTEM = set(re.findall(r"-- name: (\w+)\n-- scope: system", "".join(f.read_text() for f in FOLDER.glob("sql/*.sql"))))

ONLY_IN_SQLITE = {
    "migration_times": "only a file is moved from",
    "chat_to_index": "part of index_texts",
    "place_over": "part of texts_to_index",
    "look_at_texts": "a peculiarity of the check of a file",
    "deleted_texts": "VACUUM does it there",
    "set_deletemerge": "VACUUM does it there",
    "merge_texts": "VACUUM does it there",
    "purge_texts_between": "purge_texts_after",
    "touch_migrations": "a standby is asked whether it is one",
    "advance_chat": "part of append",
    "authors_between": "part of purge_messages",
    "chat_head": "part of messages_between",
    "key_of_single": "part of messages_of_single",
    "count_events": "part of append_events",
    "count_members": "part of list_members",
    "count_tenants": "part of list_tenants",
    "drop_connections": "part of detach_chats",
    "forget_imports_of": "part of detach_chats and of detach_sessions",
    "find_gone_owner": "part of hold_owners",
    "find_speaker": "part of append",
    "grow_chat": "only there a chat knows how long its messages are",
    "husks_of_tenant": "here a step takes some of many chats, there all of one",
    "insert_chat": "part of create_chat, create_single and create_multi",
    "insert_member": "part of join_members",
    "insert_message": "part of append",
    "insert_reasoning_mark": "part of append",
    "insert_session": "part of create_single and create_multi",
    "find_live_connection": "part of append",
    "is_chat_attached": "part of upsert_read",
    "live_connections": "part of blockers_of_chats",
    "live_connections_elsewhere": "part of blockers_elsewhere",
    "live_connections_of_tenant": "part of blockers_of_tenant",
    "live_turns": "part of blockers_of_chats",
    "live_turns_elsewhere": "part of blockers_elsewhere",
    "live_turns_of_tenant": "part of blockers_of_tenant",
    "open_chain": "part of insert_deletion",
    "owned_chats": "part of list_chats_of_owner",
    "place_elsewhere": "places_elsewhere",
    "size_of_messages": "no column holds how long a chat's messages are",
    "rejoin_member": "part of join_members",
    "totals": "part of list_participants and list_sessions",
}
ONLY_IN_POSTGRES = {
    "messages_of_single": "key_of_single and messages_between",
    "messages_of_single_reversed": "likewise",
    "put_move": "likewise",
    "list_sources": "likewise",
    "list_moves": "as columns_of_table",
    "insert_husk_messages": "many at once",
    "delete_moves": "likewise",
    "columns_of_table": "only here is moved to",
    "has_pgvector": "sqlite-vec is always there",
    "nearest_conclusions_plain": "likewise",
    "nearest_messages_plain": "likewise",
    "texts_to_index": "the runs of a text are made by the process; SQLite makes them itself",
    "purge_texts_after": "purge_texts_between",
    "append": "many appends as one statement",
    "append_events": "one statement instead of a transaction",
    "append_one": "one append as one statement",
    "blockers_elsewhere": "sockets and turns at once",
    "blockers_of_chats": "likewise",
    "blockers_of_tenant": "likewise",
    "chats_of_agent": "locks on rows; SQLite has one writer",
    "hold_chat_to_detach": "likewise",
    "hold_chats_to_detach": "likewise",
    "hold_owners": "likewise",
    "hold_parents": "likewise",
    "hold_participant_to_detach": "likewise",
    "hold_session_to_detach": "likewise",
    "hold_sessions_to_detach": "likewise",
    "make_digest_secret": "no migration may call a volatile function",
    "places_elsewhere": "several at once instead of one after the other",
    "tenant_to_detach": "one statement instead of three",
    "create_chat": "one statement instead of a transaction",
    "create_migrations": "it must be there to be locked",
    "create_multi": "one statement instead of a transaction",
    "create_single": "one statement instead of a transaction",
    "citus_version": "a file is not distributed",
    "count_servers": "likewise",
    "list_placements": "likewise",
    "node_group": "likewise",
    "find_participants": "several at once instead of one after the other",
    "hold_implied": "a lock on rows; SQLite has one writer",
    "has_migrations": "the catalogue is asked in another way",
    "invalid_parts": "SQLite has a check of its own",
    "is_writable": "a server may be a standby, a file is not",
    "join_members": "several at once",
    "lock_chat": "a lock on a row; SQLite has one writer",
    "lock_migrations": "likewise",
    "lock_multi": "likewise",
    "lock_owners": "likewise",
    "lock_session": "likewise",
    "lock_tenant": "likewise",
    "size_up_to": "part of messages_after, which has a range there",
    "session_room": "says why create_chat made nothing",
}
MAY_SCAN = {
    "forget_conclusion_vectors": "at the first work of a process, once more after each change of the model",
    "backlog_of_text": "over an index that has what waits and nothing else",
    "backlog_of_vectors": "likewise",
    "tenants_behind_text": "likewise",
    "tenants_behind_vectors": "likewise",
    "filter_tenants": "for administrators only",
    "due_webhooks": "one look a webhook: there are few of them",
    "release_webhooks": "at the end of a process, over the same",
    "applied_migrations": "one row a migration",
    "due_deletions": "over an index that has what waits and nothing else, but grouped",
    "invalid_parts": "the catalogue, for an operator",
    "is_writable": "stops at the first row",
    "list_signing_keys": "a key or two a process",
    "list_tables": "the catalogue, for an operator",
    "list_tenants": "for administrators only",
    "list_tenants_reversed": "for administrators only",
    "pending_deletions": "as due_deletions",
}

COMMANDS = {"create_migrations", "lock_migrations"}  # they have no plan
ON_CITUS = {"list_placements", "node_group"}  # what they ask is not there elsewhere; test_distribution.py runs them
HOT = {
    "find_chat": ["chats_by_id", "sessions_pkey", "participants_pkey"],
    "find_session": ["sessions_by_id"],
    "find_participant": ["participants_by_name"],
    "messages_of_single": ["sessions_by_id", "messages_pkey"],
    "messages_between": ["messages_pkey"],
    "messages_between_reversed": ["messages_pkey"],
    "append": ["chats_pkey", "participants_by_name", "members_"],
    "append_one": ["chats_pkey", "participants_by_name", "members_"],
    "load_keys": ["keys_pkey"],
    "list_chats_of_session": ["chats_of_session"],
    "list_chats_of_owner": ["chats_of_owner"],
    "list_sessions": ["sessions_in_order"],
    "page_sessions": ["sessions_pkey"],
    "page_chats": ["chats_pkey"],
    "page_chosen_chats": ["chats_of_owner", "members_by_participant", "chats_of_session"],
    "list_connections": ["connections_of_chat"],
    "list_participants": ["participants_in_order"],
    "due_deletions": ["deletions_waiting"],
    "claim_deletion": ["deletions_waiting"],
    "renew_connections": ["connections_of_node"],
    "append_events": ["turns_pkey", "chats_pkey"],
    "events_of_turn": ["turn_events_pkey", "turns_pkey"],
    "find_last_turn": ["chats_pkey", "turns_pkey"],
    "expired_turns": ["turns_running"],
    "blockers_of_chats": ["connections_of_chat", "chats_pkey"],
    "claim_scrubs": ["deletions_waiting"],
    "husks_of_owner": ["sessions_by_owner"],
    "purge_messages_of_chat": ["messages_pkey", "Tid Scan"],
    "receipts_of_key": ["receipts_by_key"],
}


def test_the_two_stores_have_statements_of_the_same_names() -> None:
    assert set(SQLITE_STATEMENTS) - set(STATEMENTS) == set(ONLY_IN_SQLITE)
    assert set(STATEMENTS) - set(SQLITE_STATEMENTS) == set(ONLY_IN_POSTGRES)


def test_statements_and_their_uses_fit() -> None:
    sources = [file.read_text().replace("write_rows(", "rows(") for file in FOLDER.glob("*.py")]
    assert unknown_and_unused(sources, set(STATEMENTS)) == (set(), set())


def test_parameters_are_numbered_in_order_of_appearance() -> None:
    statement = number_parameters("SELECT x::int, :b, CAST(:a AS uuid[]), :b || ':' FROM t WHERE y = (z)[1]")
    assert statement.text == "SELECT x::int, $1, CAST($2 AS uuid[]), $1 || ':' FROM t WHERE y = (z)[1]"
    assert statement.names == ("b", "a")


async def fill(connection: Any) -> None:
    """Some rows of everything: on empty tables one index is as good as another."""
    await connection.execute(
        """
        CREATE FUNCTION uid(kind int, n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS
            $$ SELECT (lpad(to_hex(kind), 8, '0') || lpad(to_hex(n), 24, '0'))::uuid $$;
        INSERT INTO tenants SELECT uid(1, n), 't' || n, 'a', '{}', '{}', 0, 0, 0, 0, now() FROM generate_series(0, 3) n;
        INSERT INTO participants SELECT uid(1, n % 4), uid(2, n),
            CASE WHEN n % 40 < 4 THEN 'scope' ELSE 'peer' END, 'p' || n, '{}', '{}', 0, now()
            FROM generate_series(0, 3999) n;
        INSERT INTO keys SELECT uid(1, n % 4), uid(3, n), NULL, NULL, 'tenant', NULL, '', now()
            FROM generate_series(0, 399) n;
        INSERT INTO sessions SELECT uid(1, n % 4), uid(4, n), 's' || n,
            CASE WHEN n % 40 < 4 THEN 'multi' ELSE 'single' END, uid(2, n), 'T', 'running', NULL, '{}', '{}', 1,
            now(), now() FROM generate_series(0, 3999) n;
        INSERT INTO members SELECT uid(1, n % 4), uid(4, n), uid(2, n), uid(5, n), NULL, NULL, now()
            FROM generate_series(0, 3999) n;
        INSERT INTO chats SELECT uid(1, n % 4), uid(6, n), 'c' || n, true, uid(4, n), uid(2, n), 'T', NULL, '{}',
            10, 10, now(), now() FROM generate_series(0, 3999) n;
        INSERT INTO messages SELECT uid(1, n % 4), uid(6, n % 4000), uid(7, n), uid(2, n % 4000), now(), n / 4000 + 1,
            NULL, NULL, 'user', 'p', 'text', NULL, '{}' FROM generate_series(0, 39999) n;
        INSERT INTO turns (tenant_id, id, chat_key, state, node, reply_id, agent_name, started_at, expires_at)
            SELECT uid(1, n % 4), uid(11, n), uid(6, n), CASE n % 100 WHEN 0 THEN 'running' ELSE 'completed' END,
            uid(9, n % 3), uid(12, n), 'a', now(), now() FROM generate_series(0, 3999) n;
        INSERT INTO connections SELECT uid(1, n % 4), uid(8, n), uid(6, n), uid(2, n), uid(9, n % 3), now(), now()
            FROM generate_series(0, 399) n;
        INSERT INTO deletions (tenant_id, id, kind, target_key, mode, state, requested_at, detached_at, run_after)
            SELECT uid(1, n % 4), uid(10, n), 'chat', uid(6, n), 'cancel',
            CASE n % 100 WHEN 0 THEN 'purging' ELSE 'done' END, now(), now(), now() FROM generate_series(0, 1999) n;
        ANALYZE;
        SET enable_seqscan = off;
        SET plan_cache_mode = force_generic_plan;
        """
    )


async def plan_of(connection: Any, name: str) -> str:
    """How the server goes about a statement, whatever its values are."""
    await connection.execute(f"PREPARE {name} AS {STATEMENTS[name].text}")
    nothing = ", ".join(["NULL"] * len(STATEMENTS[name].names))
    return "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE {name} ({nothing})".replace("()", "")))


async def test_the_server_can_run_each_by_an_index(aside: Any) -> None:
    await fill(aside)
    plans = {name: await plan_of(aside, name) for name in STATEMENTS if name not in COMMANDS | ON_CITUS}
    assert {name for name, plan in plans.items() if "Seq Scan" in plan} <= set(MAY_SCAN)
    for name, indexes in HOT.items():
        assert [index for index in indexes if index not in plans[name]] == [], f"{name}: {plans[name]}"


def tables_of(migrations: list[tuple[int, str, list[str]]]) -> tuple[str, str]:
    """Two patterns: the names of the tables and views that tenants have, and those of the others."""
    script = "\n".join(text for *_, texts in migrations for text in texts)
    renamed: dict[str, str] = dict(re.findall(r"\bALTER TABLE (\w+) RENAME TO (\w+)", script))
    made = [
        (renamed.get(found[1], found[1]), text)
        for _, _, texts in migrations
        for text in texts
        if (found := re.match(r"CREATE (?:TABLE|VIEW) (\w+)", text))
    ]
    own = {name for name, text in made if re.match(r"CREATE VIEW", text) or re.search(r"PRIMARY KEY \(tenant_id", text)}
    own |= {name for name, text in made if re.search(r"\btenant_id uuid PRIMARY KEY", text)}
    return "|".join(sorted(own)), "|".join(sorted({name for name, _ in made} - own | {"schema_migrations"}))


TABLES, REFERENCES = tables_of(known_migrations())
VOLATILE = r"clock_timestamp|statement_timestamp|timeofday|gen_random_uuid|uuidv[47]|random|nextval|setval|currval"
CLOCKS = r"\b(?:current_(?:timestamp|date|time)|localtime(?:stamp)?)\b"


def findings_of(name: str, sql: str, *, is_system: bool = False) -> list[str]:
    """What a distributed PostgreSQL would not take, or would not do as meant."""
    found = []
    if re.search(r"pg_(try_)?advisory|\bNOTIFY\b|\bLISTEN\b|pg_notify", sql, re.IGNORECASE):
        found.append("locks or tells on one node only")
    if re.search(rf"\b({VOLATILE})\s*\(", sql, re.IGNORECASE):
        found.append("calls a volatile function")
    if re.search(r"\bMERGE INTO\b", sql):
        found.append("merges")
    if re.search(r"(?s)\bSET\b(?:(?!\bWHERE\b).)*?\btenant_id\s*=", sql):
        found.append("moves a row to another tenant")
    for updated in (part.partition("RETURNING")[0] for part in sql.split("DO UPDATE")[1:]):
        calls = {*re.findall(r"(\w+)\s*\(", updated), *re.findall(CLOCKS, updated, re.IGNORECASE)}
        if calls := calls - {"coalesce", "greatest", "least"}:
            found.append(f"calls {sorted(calls)} after DO UPDATE")
    locks = re.split(r"(?:\bFOR (?:NO KEY UPDATE|KEY SHARE|UPDATE|SHARE)\b(?: OF \w+)?\s*)+", sql)[:-1]
    if not all(re.search(r"\btenant_id = :tenant_id\b", before.rpartition("SELECT")[2]) for before in locks):
        found.append("locks rows of several tenants")
    return [f"{name} {finding}" for finding in found + tables_in(sql, is_system=is_system)]


def tables_in(sql: str, *, is_system: bool) -> list[str]:
    """Tables of tenants that are reached past their tenants."""
    found = []
    tables = re.findall(rf"(?:\b(?:FROM|JOIN|UPDATE|USING)|,)\s+({TABLES})\b", sql)
    equalities = re.findall(r"\btenant_id = (?::|\w+\.)tenant_id\b", sql)
    if not is_system and len(equalities) < len(tables):
        found.append(f"names {len(tables)} tables and {len(equalities)} tenants")
    joins = re.findall(rf"\bJOIN (?:{TABLES})\b", sql)
    if is_system and len(equalities) < len(joins):
        found.append("joins tables by something else than the tenant")
    inserted = re.findall(rf"\bINSERT INTO (?:{TABLES})\b(?: AS \w+)?\s*(\([^)]*\))?", sql)
    if not all(re.search(r"\btenant_id\b", columns) for columns in inserted):
        found.append("inserts a row without a tenant")
    if tables and re.search(rf"\b(?:UPDATE|DELETE FROM) (?:{REFERENCES})\b", sql):
        found.append("changes a reference table by looking at tenants")
    return found


@pytest.mark.parametrize("name", sorted(SQL))
def test_it_may_be_distributed(name: str) -> None:
    assert findings_of(name, SQL[name], is_system=name in SYSTEM) == []


@pytest.mark.parametrize(
    ("sql", "finding"),
    [
        ("SELECT pg_advisory_xact_lock(1)", "a locks or tells on one node only"),
        ("UPDATE t SET a = clock_timestamp() WHERE tenant_id = :tenant_id", "a calls a volatile function"),
        ("UPDATE t SET tenant_id = :other WHERE tenant_id = :tenant_id", "a moves a row to another tenant"),
        ("INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO UPDATE SET b = now()", "a calls ['now'] after DO UPDATE"),
        ("SELECT 1 FROM chats WHERE tenant_id = ANY (:ids) FOR UPDATE SKIP LOCKED", "a locks rows of several tenants"),
        ("SELECT 1 FROM chats WHERE key = :key", "a names 1 tables and 0 tenants"),
        (
            "SELECT 1 FROM chats c, sessions s WHERE c.tenant_id = :tenant_id AND s.key = c.session_key",
            "a names 2 tables and 1 tenants",
        ),
        (
            "UPDATE chats c SET title = '' FROM made, sessions s WHERE c.tenant_id = :tenant_id",
            "a names 2 tables and 1 tenants",
        ),
        (
            "INSERT INTO reads VALUES (1) ON CONFLICT (a) DO UPDATE SET b = CURRENT_TIMESTAMP RETURNING now()",
            "a calls ['CURRENT_TIMESTAMP'] after DO UPDATE",
        ),
        ("MERGE INTO chats USING (VALUES (1)) AS v (a) ON tenant_id = :tenant_id", "a merges"),
        ("INSERT INTO chats (key, id) VALUES (:key, :id)", "a inserts a row without a tenant"),
        ("INSERT INTO chats VALUES (:tenant_id, :id)", "a inserts a row without a tenant"),
        (
            "DELETE FROM tenant_names USING tenants t WHERE t.tenant_id = :tenant_id",
            "a changes a reference table by looking at tenants",
        ),
        (
            "SELECT 1 FROM chats c JOIN sessions s ON s.key = c.session_key WHERE c.tenant_id = :tenant_id",
            "a names 2 tables and 1 tenants",
        ),
    ],
)
def test_what_may_not_be_distributed_is_found(sql: str, finding: str) -> None:
    assert finding in findings_of("a", sql)


def test_a_statement_for_all_tenants_joins_them_by_the_tenant() -> None:
    joined = "SELECT 1 FROM chats c JOIN sessions s ON s.key = c.session_key"
    assert findings_of("a", joined, is_system=True) == ["a joins tables by something else than the tenant"]
    assert findings_of("a", f"{joined} AND s.tenant_id = c.tenant_id", is_system=True) == []


async def test_the_guard_knows_every_table(aside: Any) -> None:
    rows = await aside.fetch("SELECT relname FROM pg_class WHERE relkind IN ('r', 'v') AND relnamespace = $1", 2200)
    assert {row[0] for row in rows} == {*TABLES.split("|"), *REFERENCES.split("|")}
    assert REFERENCES == "moves|schema_migrations|signing_keys|tenant_names"
