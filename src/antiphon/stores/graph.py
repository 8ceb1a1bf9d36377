"""The deletion graph: what each table hangs on, and what becomes of it when that is deleted.

Every table of every store stands here, and starts and tests fail for one that does not: so nobody adds a table without
deciding how its rows go. The order of the purge, the search for orphans and the tests follow from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import msgspec

from antiphon.domain.errors import StoreFailed

CASCADE, KEEP, SYSTEM = "cascade", "keep", "system"
"""The rules: goes with what it hangs on; stays, for the reason given; belongs to no tenant."""


class Edge(msgspec.Struct, frozen=True):
    """One way in which a table hangs on another: `columns` of it name the row of `parent` by its `key`.

    (`tenant_id` is part of every edge and stands in none.) An optional one may name nothing.
    """

    parent: str
    columns: str
    key: str
    is_optional: bool = False


class Limb(msgspec.Struct, frozen=True):
    """A table, what it hangs on, and its rule. `husk` is what holds for a row that is detached and not yet purged."""

    table: str
    rule: str
    edges: tuple[Edge, ...] = ()
    reason: str = ""
    husk: str = ""


GRAPH: tuple[Limb, ...] = (
    Limb("schema_migrations", SYSTEM, reason="which migrations the database has had"),
    Limb("signing_keys", SYSTEM, reason="public keys: receipts must stay verifiable"),
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
    Limb("tickets", CASCADE, (Edge("keys", "key_id", "id"),)),
    Limb(
        "sessions",
        CASCADE,
        (Edge("tenants", "tenant_id", "tenant_id"), Edge("participants", "owner_id", "id")),
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
        (Edge("sessions", "session_key", "key"), Edge("participants", "owner_id", "id")),
        husk="id IS NULL",
    ),
    Limb("messages", CASCADE, (Edge("chats", "chat_key", "key"), Edge("participants", "author_id", "id"))),
    Limb("quiet_messages", CASCADE, (Edge("chats", "chat_key", "key"),)),
    Limb("reads", CASCADE, (Edge("chats", "chat_key", "key"), Edge("participants", "participant_id", "id"))),
    Limb("connections", CASCADE, (Edge("chats", "chat_key", "key"), Edge("participants", "participant_id", "id"))),
    Limb("turns", CASCADE, (Edge("chats", "chat_key", "key"),)),
    Limb("turn_events", CASCADE, (Edge("turns", "turn_id", "id"),)),
    Limb("webhooks", CASCADE, (Edge("tenants", "tenant_id", "tenant_id"),)),
    Limb("webhook_deliveries", CASCADE, (Edge("webhooks", "webhook_id", "id"),)),
)


def limbs_of(root: str) -> list[str]:
    """The tables that go with a row of that table, children before parents, the table itself last."""
    order: list[str] = []

    def visit(table: str) -> None:
        for limb in GRAPH:
            if any(edge.parent == table for edge in limb.edges) and limb.table not in order:
                visit(limb.table)
        if table not in order:
            order.append(table)

    visit(root)
    return order


def check_declared(tables: AbstractSet[str]) -> None:
    """Raise StoreFailed when a table of a database has no rule: nobody could say what deleting means for it."""
    if unknown := sorted(tables - {limb.table for limb in GRAPH}):
        raise StoreFailed(f"no rule says how these tables are deleted from: {', '.join(unknown)}")


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
                "(SELECT 1 FROM deletions d WHERE d.tenant_id = c.tenant_id AND d.state NOT IN ('done', 'undone'))"
            )
    return queries
