"""Every statement is used, every use has a statement, and none walks a whole table that grows."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import antiphon.stores.sqlite
from antiphon.stores.sqlite.database import STATEMENTS
from antiphon.stores.sqlite.store import SqliteStore

FOLDER = Path(antiphon.stores.sqlite.__file__).parent
MAY_SCAN = {
    "migration_times",  # one row
    "chats_of_other_models",  # the tenants, each with one look at an index, at the first work of a process
    "nearest_messages",  # the nearest, of which there is a limit; how they are found is by an index
    "conclusions_without_vector",  # over an index that has what waits and nothing else
    "forget_conclusion_vectors",  # at the first work of a process
    "backlog_of_text",  # over an index that has what waits and nothing else
    "backlog_of_vectors",
    "tenants_behind_text",
    "tenants_behind_vectors",
    "place_over",  # the rows of the range, which has a limit
    "look_at_texts",  # a virtual table, whose own index is behind every "scan": the first row
    "search_texts",
    "purge_texts",
    "purge_texts_between",
    "purge_texts_of_chat",
    "purge_texts_of_tenant",
    "filter_tenants",  # for administrators only
    "applied_migrations",  # one row a migration
    "count_tenants",  # for administrators only
    "delete_connections_of_node",  # at the end of a process, over no more rows than there are live sockets
    "due_webhooks",  # one look a webhook: there are few of them
    "release_webhooks",  # at the end of a process, over the same
    "due_deletions",  # over an index that has what waits and nothing else
    "find_last_answer",  # the newest messages of a chat, of which there is a limit
    "list_signing_keys",  # one a process and rotation
    "list_tables",  # at the start
    "overdue_deletions",  # over that index, too
    "list_tenants",  # in the order of the table, which it stops after the page
    "list_tenants_reversed",
    "messages_after",  # the rows of the range, which has a limit
    "messages_of_span",  # likewise
    "messages_of_span_reversed",  # likewise
    "page_tenants",  # for administrators only, from a place on
    "pending_deletions",  # as above
    "release_deletions",  # at the end of a process, over that index
    "sessions_of_member",  # those of one participant, found over an index, in an order that has no index
}


def patterns_in(node: ast.expr) -> list[str]:
    """What a string expression may be: itself, either side of a condition, or a pattern where it has holes."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [re.escape(node.value)]
    if isinstance(node, ast.IfExp):
        return patterns_in(node.body) + patterns_in(node.orelse)
    if isinstance(node, ast.JoinedStr):
        return ["".join(patterns_in(part)[0] if isinstance(part, ast.Constant) else r"\w+" for part in node.values)]
    return []


def uses(source: str) -> list[str]:
    """The names, or patterns of names, that are asked for: first arguments, and what variables of that use hold."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in {"row", "rows", "run", "filtered", "_rows"}
            and node.args
        ):
            found += patterns_in(node.args[0])
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["statement"]:
            found += patterns_in(node.value)
    return found


def unknown_and_unused(sources: list[str], names: set[str]) -> tuple[set[str], set[str]]:
    """Uses without a statement, and statements without a use."""
    patterns = {pattern for source in sources for pattern in uses(source)}
    unknown = {pattern for pattern in patterns if not any(re.fullmatch(pattern, name) for name in names)}
    unused = {name for name in names if not any(re.fullmatch(pattern, name) for pattern in patterns)}
    return unknown, unused


def test_statements_and_their_uses_fit() -> None:
    sources = [file.read_text() for file in FOLDER.glob("*.py")]
    assert unknown_and_unused(sources, set(STATEMENTS)) == (set(), set())


def test_what_does_not_fit_is_found() -> None:
    source = "tx.row('a', x=1)\ntx.run(f'c_{y}_d')\ntx.rows('e' if z else 'f')\nstatement = 'g' if z else 'h'\n"
    assert unknown_and_unused([source], {"a", "c_1_d", "e", "f", "g", "h"}) == (set(), set())
    assert unknown_and_unused([source], {"a", "b", "e", "h"}) == ({"f", "g", r"c_\w+_d"}, {"b"})


def plan_of(store: SqliteStore, name: str) -> list[str]:
    """How SQLite goes about a statement, a line a step."""
    sql = STATEMENTS[name]
    values = dict.fromkeys(re.findall(r":(\w+)", sql))
    writer = store._file._writer._connection
    return [row[3] for row in writer.execute(f"EXPLAIN QUERY PLAN {sql}", values)]


HOT = {
    "find_chat": ["chats_by_id (tenant_id=? AND id=?)", "sessions", "participants"],
    "messages_between": ["SEARCH messages USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"],
    "messages_between_reversed": ["SEARCH messages USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"],
    "advance_chat": ["SEARCH chats USING INDEX sqlite_autoindex_chats_1 (tenant_id=? AND key=?)"],
    "chat_head": ["SEARCH chats USING INDEX sqlite_autoindex_chats_1 (tenant_id=? AND key=?)"],
    "load_keys": ["sqlite_autoindex_keys_1 (tenant_id=? AND id=?)", "tenants", "participants"],
    "find_session": ["SEARCH sessions USING INDEX sessions_by_id (tenant_id=? AND id=?)"],
    "list_chats_of_owner": ["chats_of_owner (tenant_id=? AND owner_id=?)", "sessions", "participants"],
    "list_chats_of_session": ["chats_of_session (tenant_id=? AND session_key=?)", "sessions", "participants"],
    "list_sessions": ["SEARCH sessions USING INDEX sessions_in_order (tenant_id=? AND shape=?)"],
    "list_participants": ["SEARCH participants USING INDEX participants_in_order (tenant_id=? AND kind=?)"],
    "page_sessions": ["SEARCH s USING INDEX sqlite_autoindex_sessions_1 (tenant_id=?)"],
    "page_chats": ["SEARCH c USING INDEX sqlite_autoindex_chats_1 (tenant_id=?)"],
    "page_chosen_chats": ["chats_of_owner (tenant_id=? AND owner_id=?)", "members_by_participant", "chats_of_session"],
    "page_chosen_sessions": ["sessions_by_owner (tenant_id=? AND owner_id=?)", "members_by_participant"],
    "due_deletions": ["SCAN deletions USING INDEX deletions_waiting"],
    "find_speaker": ["participants", "members"],
    "purge_messages_of_chat": ["INTEGER PRIMARY KEY (rowid>? AND rowid<?)"],
}


@pytest.mark.parametrize("name", HOT)
async def test_a_hot_statement_takes_the_short_way(store: SqliteStore, name: str) -> None:
    plan = plan_of(store, name)
    for step in HOT[name]:
        assert any(step in line for line in plan), plan
    assert not any("TEMP B-TREE" in line for line in plan), plan


async def test_no_statement_walks_a_whole_table(store: SqliteStore) -> None:
    walks = {
        name: lines
        for name in STATEMENTS
        if (
            lines := [
                line
                for line in plan_of(store, name)
                if re.match(r"SCAN (?!json_each|CONSTANT|one\b|page\b|given\b)", line)
            ]
        )
    }
    assert set(walks) == MAY_SCAN, walks
