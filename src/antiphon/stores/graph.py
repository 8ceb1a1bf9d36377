"""The deletion graph: what each table hangs on, and what becomes of it when that is deleted.

Every table of every store stands here, and starts and tests fail for one that does not: so nobody adds a table without
deciding how its rows go. What a plan counts, what a purge removes and in which order, the search for orphans and the
tests follow from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from functools import cache

import msgspec

from antiphon.domain.deletions import CHAT, PARTICIPANT, SESSION, TENANT
from antiphon.domain.errors import StoreFailed

CASCADE, KEEP, SYSTEM = "cascade", "keep", "system"
"""The rules: goes with what it hangs on; stays, for the reason given; belongs to no tenant."""


class Edge(msgspec.Struct, frozen=True):
    """One way in which a table hangs on another: `columns` of it name the row of `parent` by its `key`.

    (`tenant_id` is part of every edge and stands in none.) An optional one may name nothing. What hangs on by a stepped
    one is purged by steps of its own before its parent, not together with what else hangs on that.
    """

    parent: str
    columns: str
    key: str
    is_optional: bool = False
    is_stepped: bool = False


class Limb(msgspec.Struct, frozen=True):
    """A table, what it hangs on, and its rule. `husk` is what holds for a row that is detached and not yet purged.

    One that is passing holds what comes and goes by itself (what is live, kept for a while, or made from the rest): it
    is purged, and no plan counts it, which would be another one a moment later.
    """

    table: str
    rule: str
    edges: tuple[Edge, ...] = ()
    reason: str = ""
    husk: str = ""
    is_passing: bool = False


GRAPH: tuple[Limb, ...] = (
    Limb("schema_migrations", SYSTEM, reason="which migrations the database has had"),
    Limb("signing_keys", SYSTEM, reason="public keys: receipts must stay verifiable"),
    Limb("moves", SYSTEM, reason="how far an unfinished move into this database has come"),
    Limb("tenant_names", SYSTEM, reason="a name is freed by the detach of its tenant"),
    Limb("tenants", CASCADE, husk="name IS NULL"),
    Limb("deletions", KEEP, reason="the record of what was deleted; holds digests only once it is done"),
    Limb("tombstones", KEEP, reason="what was deleted stays known, as digests"),
    Limb("receipts", KEEP, reason="the proof outlives what it proves; holds digests and counts"),
    Limb("receipt_heads", KEEP, reason="where the tenant's chain of receipts goes on"),
    Limb("participants", CASCADE, (Edge("tenants", "tenant_id", "tenant_id"),), husk="kind = 'gone'"),
    Limb(
        "keys",
        CASCADE,
        (Edge("tenants", "tenant_id", "tenant_id"), Edge("participants", "participant_id", "id", is_optional=True)),
    ),
    Limb("tickets", CASCADE, (Edge("keys", "key_id", "id"),), is_passing=True),
    Limb(
        "sessions",
        CASCADE,
        (Edge("tenants", "tenant_id", "tenant_id"), Edge("participants", "owner_id", "id", is_stepped=True)),
        husk="id IS NULL",
    ),
    Limb("sandboxes", CASCADE, (Edge("sessions", "session_key", "key"),)),
    Limb("members", CASCADE, (Edge("sessions", "session_key", "key"), Edge("participants", "participant_id", "id"))),
    Limb(
        "conclusions",
        CASCADE,
        (
            Edge("participants", "observer_id", "id"),
            Edge("participants", "observed_id", "id"),
            Edge("sessions", "session_key", "key", is_optional=True),
        ),
    ),
    Limb("cards", CASCADE, (Edge("participants", "observer_id", "id"), Edge("participants", "observed_id", "id"))),
    Limb(
        "chats",
        CASCADE,
        (
            Edge("sessions", "session_key", "key", is_stepped=True),
            Edge("participants", "owner_id", "id", is_stepped=True),
        ),
        husk="id IS NULL",
    ),
    Limb(
        "messages",
        CASCADE,
        (Edge("chats", "chat_key", "key"), Edge("participants", "author_id", "id", is_stepped=True)),
    ),
    Limb("texts", CASCADE, (Edge("messages", "seq", "seq"),), is_passing=True),
    Limb("message_vectors", CASCADE, (Edge("messages", "seq", "seq"),), is_passing=True),
    Limb("reasoning_marks", CASCADE, (Edge("chats", "chat_key", "key"),)),
    Limb("reads", CASCADE, (Edge("chats", "chat_key", "key"), Edge("participants", "participant_id", "id"))),
    Limb(
        "connections",
        CASCADE,
        (Edge("chats", "chat_key", "key"), Edge("participants", "participant_id", "id")),
        is_passing=True,
    ),
    Limb("turns", CASCADE, (Edge("chats", "chat_key", "key"),)),
    Limb("turn_events", CASCADE, (Edge("turns", "turn_id", "id"),), is_passing=True),
    Limb(
        "idempotency",
        CASCADE,
        (
            Edge("tenants", "tenant_id", "tenant_id"),
            Edge("chats", "chat_key", "key", is_optional=True),
            Edge("sessions", "session_key", "key", is_optional=True),
            Edge("participants", "participant_id", "id", is_optional=True),
        ),
        is_passing=True,
    ),
    Limb("imports", CASCADE, (Edge("tenants", "tenant_id", "tenant_id"),)),
    Limb("webhooks", CASCADE, (Edge("tenants", "tenant_id", "tenant_id"),)),
    Limb("webhook_deliveries", CASCADE, (Edge("webhooks", "webhook_id", "id"),), is_passing=True),
)


TARGETS = {"chats": "chat", "sessions": "session", "participants": "participant", "tenants": "tenant"}
"""The tables whose rows can be deleted, as statements call one of each."""

_TAKES = {
    CHAT: {"chats", "sessions"},
    SESSION: {"chats", "sessions"},
    PARTICIPANT: {"chats", "sessions", "participants"},
}
"""Of which tables rows are gone by name when a target of that kind is detached."""


@cache
def limbs_of(root: str, *, is_apart: bool = False) -> tuple[str, ...]:
    """The tables that go with a row of that table, children before parents, the table itself last.

    `is_apart` leaves out what has steps of its own, and what hangs on that alone.
    """
    order: list[str] = []

    def goes_with(limb: Limb, table: str) -> bool:
        return any(edge.parent == table and not (is_apart and edge.is_stepped) for edge in limb.edges)

    def visit(table: str) -> None:
        for limb in GRAPH:
            if goes_with(limb, table) and limb.table not in order:
                visit(limb.table)
        if table not in order:
            order.append(table)

    visit(root)
    return tuple(order)


def purged_with(target: str) -> tuple[str, ...]:
    """The tables of which a purge removes some rows by `purge_TABLE_of_TARGET`, children before parents.

    The target is one of TARGETS' words; its own row is removed by `purge_TARGET` afterwards.
    """
    root = next(table for table, word in TARGETS.items() if word == target)
    return limbs_of(root, is_apart=root != "tenants")[:-1]


def check_declared(tables: AbstractSet[str], statements: AbstractSet[str]) -> None:
    """Raise StoreFailed when a table of a database has no rule, or a rule lacks its statement among a store's.

    Nobody could say what deleting means for it, or do it.
    """
    if unknown := sorted(tables - {limb.table for limb in GRAPH}):
        raise StoreFailed(f"no rule says how these tables are deleted from: {', '.join(unknown)}")
    needed = {f"purge_{word}" for word in TARGETS.values()}
    needed |= {f"purge_{table}_of_{word}" for word in TARGETS.values() for table in purged_with(word)}
    if missing := sorted(needed - statements):
        raise StoreFailed(f"there are rules without a statement that carries them out: {', '.join(missing)}")


def plan_query(kind: str, among: Callable[[str, str], str]) -> tuple[tuple[str, ...], str]:
    """The tables that a plan for a target of that kind counts, and the statement whose one row has their counts.

    `among(column, table)` is a store's condition for a column that names one of the doomed rows of that table: of
    chats, sessions and participants. What has counters (chats, their messages) or is known by its keys is left out, and
    so is what hangs on something that was detached before.
    """
    tables, counts = [], []
    for limb in GRAPH:
        if limb.rule != CASCADE or limb.is_passing or limb.table in ("messages", "chats", "tenants"):
            continue
        which = [f"NOT ({limb.husk})"] if limb.husk else []
        if kind != TENANT:
            doomed = "" if limb.table in TARGETS else _doomed(limb, _TAKES[kind], among)
            if not doomed:
                continue
            which.append(f"({doomed})")
        conditions = " AND ".join(["tenant_id = :tenant_id", *which, *_shown(limb)])
        tables.append(limb.table)
        counts.append(f"(SELECT count(*) FROM {limb.table} c WHERE {conditions})")  # noqa: S608  names of ours
    return tuple(tables), f"SELECT {', '.join(counts)}"


def _shown(limb: Limb) -> list[str]:
    """The conditions for rows of a table that hang on nothing that is detached: those go with another deletion."""
    conditions = []
    for edge in limb.edges:
        husk = next(parent.husk for parent in GRAPH if parent.table == edge.parent)
        if husk and edge.parent != "tenants":
            nothing = f"c.{edge.columns} IS NULL OR " if edge.is_optional else ""
            conditions.append(
                f"({nothing}EXISTS (SELECT 1 FROM {edge.parent} p "  # noqa: S608  likewise
                f"WHERE p.tenant_id = c.tenant_id AND p.{edge.key} = c.{edge.columns} AND NOT (p.{husk})))"
            )
    return conditions


def _doomed(limb: Limb, roots: AbstractSet[str], among: Callable[[str, str], str]) -> str:
    """The condition for rows of a table that hang, over any number of others, on doomed ones; empty for none."""
    ways = []
    for edge in limb.edges:
        if edge.is_stepped or edge.parent == "tenants":
            continue
        if edge.parent in roots:
            ways.append(among(edge.columns, edge.parent))
        elif edge.parent not in TARGETS:
            parent = next(each for each in GRAPH if each.table == edge.parent)
            if inner := _doomed(parent, roots, among):
                its = f"SELECT {edge.key} FROM {edge.parent} WHERE tenant_id = :tenant_id AND ({inner})"  # noqa: S608
                ways.append(f"{edge.columns} IN ({its})")
    return " OR ".join(ways)


def orphan_queries(joins: Mapping[str, str]) -> dict[str, str]:
    """For each way in which rows may have been left behind, by its name, the statement that counts them everywhere.

    `table.column`: rows whose parent is gone. `table.husk`: rows that were detached and that no deletion will purge.
    `joins` has, by the same names, the conditions of a store in which a child `c` names its parent `p` in another way.
    """
    queries = {}
    for limb in GRAPH:
        for edge in limb.edges:
            name = f"{limb.table}.{edge.columns}"
            join = joins.get(name, f"p.{edge.key} = c.{edge.columns}")
            named = f"c.{edge.columns} IS NOT NULL AND " if edge.is_optional else ""
            queries[name] = (
                f"SELECT count(*) FROM {limb.table} c WHERE {named}NOT EXISTS "  # noqa: S608  names of ours
                f"(SELECT 1 FROM {edge.parent} p WHERE p.tenant_id = c.tenant_id AND {join})"
            )
        if limb.husk:
            queries[f"{limb.table}.husk"] = (
                f"SELECT count(*) FROM {limb.table} c WHERE {limb.husk} AND NOT EXISTS "  # noqa: S608  likewise
                "(SELECT 1 FROM deletions d WHERE d.tenant_id = c.tenant_id "
                "AND d.state NOT IN ('waiting', 'done', 'undone') AND (d.state <> 'detached' OR d.id = c.undo_of))"
            )
    return queries
