"""Turns a migrated database on a Citus coordinator into distributed tables.

What has to be done is read from the catalogue, so that no table of a later migration is forgotten: a table whose
primary key a tenant leads is distributed by it, all of them in one group, so that a tenant's rows are on one node; the
few others are small and read by every request or at every start, so each node has a copy (a reference table). What is
there already is left alone, so the same command finishes what was cut off.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

import msgspec

from antiphon.domain.errors import StoreFailed
from antiphon.stores.postgres.database import APPLICATION, STATEMENTS, Cursor, operator_session
from antiphon.stores.postgres.migrations import is_up_to_date, known_migrations

_MADE = re.compile(r"\b(?:CREATE TABLE(?: IF NOT EXISTS)?|RENAME TO) (\w+)", re.IGNORECASE)
_RENAMED = re.compile(r"\bALTER TABLE (\w+) RENAME TO\b", re.IGNORECASE)


class Table(msgspec.Struct, frozen=True):
    """A table as the catalogue has it.

    `name` is quoted where it must be. `bytes_here` is what is kept in the table itself, and not in its shards.
    """

    name: str
    is_of_tenant: bool
    parents: tuple[str, ...] = ()
    bytes_here: int = 0


class Placement(msgspec.Struct, frozen=True):
    """How a table is known to Citus: `distributed`, `reference`, `local` or `other`; its column and group."""

    kind: str
    column: str | None
    group: int


class Step(msgspec.Struct, frozen=True):
    """One statement, or, when `is_done`, what would have been done by it."""

    table: str
    kind: str
    statement: str
    is_done: bool = False


def plan(tables: Sequence[Table], placements: Mapping[str, Placement]) -> list[Step]:
    """All steps in the order in which they must run, also those that are done.

    Reference tables come first, then the tenants' tables, parents before children; the first of them opens the group.
    Raises StoreFailed for a table that is distributed in another way.
    """
    for table in tables:
        _check(table, placements.get(table.name))
    steps = [
        Step(name, "reference", f"SELECT create_reference_table({_quoted(name)})", _is_placed(placements.get(name)))
        for name in sorted(table.name for table in tables if not table.is_of_tenant)
    ]
    order = _parents_first([table for table in tables if table.is_of_tenant])
    placed = [name for name in order if _is_placed(placements.get(name))]
    if len({placements[name].group for name in placed}) > 1:
        raise StoreFailed("the tables are in several colocation groups: undo that with undistribute_table() first")
    leader = placed[0] if placed else next(iter(order), None)
    for name in order:
        group = "none" if name == leader else str(leader)
        call = f"create_distributed_table({_quoted(name)}, 'tenant_id', colocate_with => {_quoted(group)})"
        steps.append(Step(name, "distributed", f"SELECT {call}", name in placed))
    return steps


def plan_leftovers(tables: Sequence[Table]) -> list[Step]:
    """The steps after those, once all tables are distributed.

    Citus copies rows into shards and leaves the old ones where they were, out of sight: no deletion would reach them.
    """
    return [
        Step(name, "emptied", f"SELECT truncate_local_data_after_distributing_table({_quoted(name)})")
        for name in sorted(table.name for table in tables if table.bytes_here)
    ]


def _check(table: Table, placement: Placement | None) -> None:
    if not _is_placed(placement) or placement is None:
        return
    wanted = ("distributed", "tenant_id") if table.is_of_tenant else ("reference", None)
    if (placement.kind, placement.column) != wanted:
        ways = {"distributed": f"distributed by {placement.column}", "reference": "a reference table"}
        how = ways.get(placement.kind, "distributed in another way")
        raise StoreFailed(f"the table {table.name} is {how} already: undo that with undistribute_table() first")


def _is_placed(placement: Placement | None) -> bool:
    """Citus makes a table `local` by itself, and takes it as it takes one that it does not know."""
    return placement is not None and placement.kind != "local"


def _parents_first(tables: Sequence[Table]) -> list[str]:
    """Those that others refer to before those; among equals the most wanted first, so that `tenants` leads."""
    names = {table.name for table in tables}
    sorter = TopologicalSorter({table.name: names.intersection(table.parents) for table in tables})
    try:
        sorter.prepare()
    except CycleError:
        raise StoreFailed("foreign keys form a circle: no table can be distributed first") from None
    order: list[str] = []
    while sorter.is_active():
        ready = sorter.get_ready()
        order += sorted(ready, key=lambda name: (-sum(name in table.parents for table in tables), name))
        sorter.done(*ready)
    return order


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def own_tables() -> set[str]:
    """The names of all tables that this version's migrations make: others in the same schema are left alone."""
    statements = [text for _, _, texts in known_migrations() for text in texts]
    script = ";".join([STATEMENTS["create_migrations"].text, *statements])
    return set(_MADE.findall(script)) - set(_RENAMED.findall(script))


async def distribute(url: str, *, is_dry: bool, on_step: Callable[[Step], None]) -> None:
    """Take all steps that are left, each durable on its own, and tell of each; when `is_dry` change nothing.

    `on_step` is called for what was done before, then after each step, in order. Raises StoreTooNew; StoreFailed, which
    says what to do, where it cannot be done; StoreUnavailable.
    """
    async with operator_session(url) as cursor:
        await _check_database(cursor)
        steps = plan(await _tables(cursor), await _placements(cursor))
        if not is_dry and not all(step.is_done for step in steps):
            await _check_quiet(cursor)
        for step in steps:
            await _take(cursor, step, is_dry=is_dry)
            on_step(step)
        for step in plan_leftovers(await _tables(cursor)):
            await _take(cursor, step, is_dry=is_dry)
            on_step(step)


async def _take(cursor: Cursor, step: Step, *, is_dry: bool) -> None:
    if not (step.is_done or is_dry):
        await cursor.script(step.statement)


async def _check_database(cursor: Cursor) -> None:
    if not await cursor.rows("citus_version"):
        raise StoreFailed(
            "the database has no Citus: install it on every node, then run CREATE EXTENSION citus in this database"
        )
    if any(row[0] for row in await cursor.rows("node_group")):
        raise StoreFailed("this node is a worker of the cluster: give the URL of its coordinator")
    if not await is_up_to_date(cursor):
        raise StoreFailed("the tables are missing or older than this version: run `antiphon db migrate` first")


async def _check_quiet(cursor: Cursor) -> None:
    """Meanwhile a table that is not distributed yet takes no row that refers to one that is: its parent looks empty."""
    (row,) = await cursor.rows("count_servers", application=APPLICATION)
    if row[0]:
        raise StoreFailed(f"the database is in use ({row[0]} connections of Antiphon): stop the servers first")


async def _tables(cursor: Cursor) -> list[Table]:
    own = own_tables()
    return [
        Table(name, is_of_tenant, tuple(parents), bytes_here)
        for name, plain_name, is_of_tenant, parents, bytes_here in await cursor.rows("list_tables")
        if plain_name in own
    ]


async def _placements(cursor: Cursor) -> dict[str, Placement]:
    rows = await cursor.rows("list_placements")
    return {name: Placement(kind, column, group) for name, kind, column, group in rows}
