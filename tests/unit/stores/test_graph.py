"""The deletion graph: no table without a rule, and no rule that nobody carries out."""

from __future__ import annotations

from importlib.resources import files

import pytest

from antiphon.domain.errors import StoreFailed
from antiphon.stores.graph import CASCADE, GRAPH, KEEP, SYSTEM, check_declared, limbs_of, orphan_queries
from antiphon.stores.sql import load_statements

STORES = ("sqlite", "postgres")
OWNERS = {"chats": "chat", "sessions": "session", "participants": "participant", "tenants": "tenant"}


@pytest.mark.parametrize("root", OWNERS)
def test_children_come_before_their_parents(root: str) -> None:
    order = limbs_of(root)
    assert order[-1] == root
    for limb in GRAPH:
        for edge in limb.edges:
            if {limb.table, edge.parent} <= set(order):
                assert order.index(limb.table) < order.index(edge.parent)


def test_a_tenant_takes_everything_that_is_not_kept() -> None:
    assert set(limbs_of("tenants")) == {limb.table for limb in GRAPH if limb.rule == CASCADE}


def test_every_rule_is_whole() -> None:
    tables = [limb.table for limb in GRAPH]
    assert len(tables) == len(set(tables))
    for limb in GRAPH:
        assert (limb.rule in {KEEP, SYSTEM}) == bool(limb.reason)
        assert bool(limb.edges) == (limb.rule == CASCADE and limb.table != "tenants")
        assert {edge.parent for edge in limb.edges} <= set(tables)


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("root", OWNERS)
def test_every_limb_has_a_statement_that_purges_it(store: str, root: str) -> None:
    """A limb of a chat goes by the chat, one of a session by it or by its chats, and so on up; a tenant takes all."""
    statements = load_statements(files(f"antiphon.stores.{store}") / "sql")
    narrow = {"chats": ["chat"], "sessions": ["chat", "session"], "tenants": ["tenant"]}
    owners = narrow.get(root, list(OWNERS.values()))
    for table in limbs_of(root)[:-1]:
        names = {f"purge_{table}_of_{owner}" for owner in owners}
        if root != "tenants" and table in OWNERS:
            names = {f"purge_{OWNERS[table]}"}
        assert names & set(statements), f"{store} purges no {table} of {root}"
    assert f"purge_{OWNERS[root]}" in statements


def test_a_table_without_a_rule_is_named() -> None:
    check_declared({"tenants", "chats"})
    with pytest.raises(StoreFailed, match="diaries, notes"):
        check_declared({"notes", "chats", "diaries"})


def test_orphans_are_looked_for_along_every_edge() -> None:
    queries = orphan_queries({"messages.chat_key": "p.num = c.place"})
    assert {name.split(".")[0] for name in queries} == {limb.table for limb in GRAPH if limb.rule == CASCADE}
    assert len(queries) == sum(len(limb.edges) + bool(limb.husk) for limb in GRAPH)
    assert "p.num = c.place" in queries["messages.chat_key"]
    assert "c.participant_id IS NOT NULL" in queries["keys.participant_id"]
