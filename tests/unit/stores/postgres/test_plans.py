"""On a database that nobody has analyzed, what is asked for one thing reads a few pages, however many there are."""

from __future__ import annotations

import json
from typing import Any

from antiphon.domain import limits
from antiphon.stores.postgres.database import STATEMENTS, Database

CHATS = 3_000
PAGES_MAX = 120  # one tenant's chats alone are on more
FILL = f"""
    CREATE FUNCTION uid(kind int, n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS
        $$ SELECT (lpad(to_hex(kind), 8, '0') || lpad(to_hex(n), 24, '0'))::uuid $$;
    INSERT INTO tenants (tenant_id, name, agent_name, metadata, configuration, created_at)
        VALUES (uid(1, 0), 't', 'a', '{{}}', '{{}}', now());
    INSERT INTO participants (tenant_id, id, kind, name, metadata, configuration, created_at)
        SELECT uid(1, 0), uid(2, n), 'peer', 'p' || n, '{{}}', '{{}}', now() FROM generate_series(1, {CHATS}) n;
    INSERT INTO sessions (tenant_id, key, id, shape, owner_id, title, status, metadata, configuration, chat_count,
        created_at, updated_at)
        SELECT uid(1, 0), uid(4, n), 's' || n, CASE n % 2 WHEN 0 THEN 'multi' ELSE 'single' END, uid(2, n), '', '',
        '{{}}', '{{}}', 1, now(), now() FROM generate_series(1, {CHATS}) n;
    INSERT INTO members (tenant_id, session_key, participant_id, join_key, joined_at)
        SELECT uid(1, 0), uid(4, n), uid(2, n), uid(5, n), now() FROM generate_series(1, {CHATS}) n;
    INSERT INTO chats (tenant_id, key, id, is_uuid, session_key, owner_id, title, metadata, last_seq, message_count,
        created_at, updated_at)
        SELECT uid(1, 0), uid(6, n), 'c' || n, true, uid(4, n), uid(2, n), repeat('t', 200), '{{}}', 5, 5, now(), now()
        FROM generate_series(1, {CHATS}) n;
    INSERT INTO messages (tenant_id, chat_key, id, author_id, created_at, seq, client_id, role, author, text, metadata)
        SELECT uid(1, 0), uid(6, n), uid(k, n), uid(2, n), now(), k, 'm' || k, 'user', 'p' || n, 'text', '{{}}'
        FROM generate_series(1, {CHATS}) n, generate_series(1, 5) k;
    INSERT INTO reads (tenant_id, chat_key, participant_id, read_at)
        SELECT uid(1, 0), uid(6, n), uid(2, n), now() FROM generate_series(1, {CHATS}) n;
    SET plan_cache_mode = force_generic_plan;
"""
CHAT, SESSION, PARTICIPANT = "uid(6, 7)", "uid(4, 7)", "uid(2, 7)"
VALUES = {
    "tenant_id": "uid(1, 0)",
    "session_key": SESSION,
    "session_id": "'s7'",
    "participant_id": PARTICIPANT,
    "author_id": PARTICIPANT,
    "owner_id": PARTICIPANT,
    "name": "'p7'",
    "names": "ARRAY['p7']",
    "kind": "'peer'",
    "client_id": "'m1'",
    "chat_key": CHAT,
    "key": CHAT,
    "keys": f"ARRAY[{CHAT}]",
    "offset": "0",
    "limit": "50",
    "low": "1",
    "high": "5",
}
ASKED = {
    "find_chat": {"id": "'c7'"},
    "find_chat_by_key": {},
    "find_chat_of_single": {},
    "list_chats_of_session": {},
    "list_chats_of_owner": {},
    "list_chats_of_owner_reversed": {},
    "create_chat": {"id": "'c7'"},
    "lock_chat": {},
    "list_reads": {},
    "find_session": {"id": "'s7'"},
    "list_members": {},
    "list_members_reversed": {},
    "is_member": {},
    "find_member": {},
    "find_participants": {},
    "find_participant_by_id": {"id": PARTICIPANT},
    "find_message": {"id": "uid(1, 7)"},
    "find_message_by_client_id": {},
    "messages_between": {},
    "messages_between_reversed": {},
    "chat_to_detach": {},
    "hold_chat_to_detach": {},
    "hold_session_to_detach": {"key": SESSION},
    "sessions_to_detach": {},
    "places_elsewhere": {},
    "chat_at": {},
    "purge_messages": {},
    "purge_messages_of_chat": {},
}


async def pages_of(connection: Any, name: str) -> int:
    """How many pages a statement reads when its plan is made now, for whatever values."""
    statement = STATEMENTS[name]
    values = {**VALUES, **ASKED[name]}
    await connection.execute(f"PREPARE {name} AS {statement.text}")
    call = ", ".join(values.get(parameter, "NULL") for parameter in statement.names)
    async with connection.transaction():
        (row,) = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE {name} ({call})")
    plan = json.loads(row[0])[0]["Plan"]
    assert plan["Actual Rows"] or plan["Node Type"] == "ModifyTable", f"{name} finds nothing"
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


async def test_what_is_asked_for_one_thing_reads_little_before_any_analyze(aside: Any) -> None:
    await aside.execute(FILL)
    assert await aside.fetchval("SELECT count(*) FROM pg_stats WHERE tablename IN ('chats', 'sessions')") == 0
    pages = {name: await pages_of(aside, name) for name in ASKED}
    assert {name: count for name, count in pages.items() if count > PAGES_MAX} == {}


async def test_no_connection_keeps_a_plan_for_long(database: Database) -> None:
    # A plan that was made while the tables were small is the wrong one for as long as it is kept.
    assert 0 < limits.STORE_PLAN_SECONDS <= 60
    async with database._pool.acquire() as connection:
        assert connection._config.max_cached_statement_lifetime == limits.STORE_PLAN_SECONDS
