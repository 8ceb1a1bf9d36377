"""The deletion graph: no table without a rule, and no rule that nobody carries out."""

from __future__ import annotations

from importlib.resources import files

import pytest

from antiphon.domain.deletions import CHAT, PARTICIPANT, SESSION, TENANT
from antiphon.domain.errors import StoreFailed
from antiphon.stores.graph import (
    CASCADE,
    GRAPH,
    KEEP,
    SYSTEM,
    TARGETS,
    check_declared,
    limbs_of,
    orphan_queries,
    plan_query,
    purged_with,
)
from antiphon.stores.sql import load_statements

STORES = ("sqlite", "postgres")


@pytest.mark.parametrize("root", TARGETS)
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


def test_a_purge_goes_with_what_hangs_on_by_itself() -> None:
    """Chats, sessions and messages have steps of their own; a tenant takes all that is left of anything."""
    assert purged_with("chat")[-1] != "chats"
    for table in ("chats", "sessions", "messages"):
        assert table in purged_with("tenant")
        assert table not in purged_with("participant")
    assert "chats" not in purged_with("session")
    assert {"keys", "tickets", "cards", "members", "reads"} <= set(purged_with("participant"))
    assert purged_with("participant").index("tickets") < purged_with("participant").index("keys")


@pytest.mark.parametrize("store", STORES)
def test_every_rule_has_statements_that_carry_it_out(store: str) -> None:
    statements = set(load_statements(files(f"antiphon.stores.{store}") / "sql"))
    check_declared({"tenants", "chats"}, statements)
    with pytest.raises(StoreFailed, match="purge_chat, purge_reads_of_chat"):
        check_declared({"tenants"}, statements - {"purge_chat", "purge_reads_of_chat"})


def test_a_table_without_a_rule_is_named() -> None:
    with pytest.raises(StoreFailed, match="diaries, notes"):
        check_declared({"notes", "chats", "diaries"}, set())


@pytest.mark.parametrize("kind", [CHAT, SESSION, PARTICIPANT, TENANT])
def test_a_plan_counts_what_stays_until_it_is_deleted(kind: str) -> None:
    tables, query = plan_query(kind, lambda column, table: f"{column} = :{table}")
    own = {CHAT: {"reads", "turns", "members"}, PARTICIPANT: {"keys", "cards"}, TENANT: {"webhooks", "participants"}}
    assert own.get(kind, {"turns"}) <= set(tables)
    assert not {limb.table for limb in GRAPH if limb.is_passing} & set(tables)
    assert query.count("tenant_id = :tenant_id") >= len(tables)


def test_orphans_are_looked_for_along_every_edge() -> None:
    queries = orphan_queries({"messages.chat_key": "p.num = c.place"})
    assert {name.split(".")[0] for name in queries} == {limb.table for limb in GRAPH if limb.rule == CASCADE}
    assert len(queries) == sum(len(limb.edges) + bool(limb.husk) for limb in GRAPH)
    assert "p.num = c.place" in queries["messages.chat_key"]
    assert "c.participant_id IS NOT NULL" in queries["keys.participant_id"]
