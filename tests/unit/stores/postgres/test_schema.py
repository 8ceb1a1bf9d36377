"""What a distributed PostgreSQL asks of a schema, read from the catalogue."""

from __future__ import annotations

from typing import Any

GLOBAL = {"moves", "schema_migrations", "signing_keys", "tenant_names"}
# They outlive the tenant: the proof of a deletion must not go with what was deleted.
WITHOUT_TENANT = {"deletions", "receipt_heads", "receipts", "tombstones"}

TABLES = (
    "SELECT oid, relname, relpersistence FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
)
INDEXES = """
    SELECT c.relname, i.indisprimary, array_agg(a.attname ORDER BY k.n) AS columns
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
    CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (column_number, n)
    LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.column_number
    WHERE i.indisunique AND c.relnamespace = 'public'::regnamespace GROUP BY i.indexrelid, c.relname, i.indisprimary"""
FOREIGN_KEYS = """
    SELECT c.relname, f.relname AS foreign_table, k.confdeltype::text AS on_delete, k.confupdtype::text AS on_update,
        (SELECT attname FROM pg_attribute WHERE attrelid = k.conrelid AND attnum = k.conkey[1]) AS first,
        (SELECT attname FROM pg_attribute WHERE attrelid = k.confrelid AND attnum = k.confkey[1]) AS foreign_first
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class f ON f.oid = k.confrelid
    WHERE k.contype = 'f'"""
OTHERS = """
    SELECT c.relname, 'has the trigger ' || t.tgname AS what FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE NOT t.tgisinternal
    UNION ALL SELECT c.relname, 'is a sequence' FROM pg_class c WHERE c.relkind = 'S'
    UNION ALL SELECT c.relname, 'excludes' FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
    WHERE k.contype = 'x'
    UNION ALL SELECT c.relname, 'has a tenant_id that is ' || format_type(a.atttypid, NULL)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'public'::regnamespace AND a.attname = 'tenant_id' AND a.atttypid <> 'uuid'::regtype"""


async def findings(connection: Any) -> list[str]:
    """What breaks a rule, one line each."""
    tables = {row["relname"]: row for row in await connection.fetch(TABLES)}
    found = [f"{name} is not logged" for name, row in tables.items() if row["relpersistence"] != b"p"]
    with_key = set()
    for name, is_primary, columns in await connection.fetch(INDEXES):
        if is_primary:
            with_key.add(name)
        if name not in GLOBAL and (columns[0] != "tenant_id" if is_primary else "tenant_id" not in columns):
            found.append(f"{name} is unique by {columns}")
    found += [f"{name} has no primary key" for name in tables.keys() - with_key]
    owned = set()
    for name, foreign, on_delete, on_update, first, foreign_first in await connection.fetch(FOREIGN_KEYS):
        owned.add(name)
        if (first, foreign_first) != ("tenant_id", "tenant_id") or {name, foreign} & (GLOBAL | WITHOUT_TENANT):
            found.append(f"{name} refers to {foreign} by {first}")
        if on_delete not in "ac" or on_update != "a":
            found.append(f"{name} does {on_delete} and {on_update} after {foreign}")
    return sorted(found + [f"{row[0]} {row[1]}" for row in await connection.fetch(OTHERS)])


async def test_the_schema_may_be_distributed(aside: Any) -> None:
    names = {row["relname"] for row in await aside.fetch(TABLES)}
    assert {"tenants", "messages", "deletions"} | GLOBAL <= names
    assert await findings(aside) == []


async def test_what_may_not_be_distributed_is_found(aside: Any) -> None:
    await aside.execute(
        """
        CREATE UNLOGGED TABLE loose (tenant_id uuid, a serial);
        CREATE TABLE odd (id uuid PRIMARY KEY, tenant_id text, slug text UNIQUE, other uuid REFERENCES odd (id));
        CREATE TABLE setter (tenant_id uuid REFERENCES tenants ON DELETE SET NULL, a int, PRIMARY KEY (tenant_id, a));
        CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER touch BEFORE UPDATE ON chats FOR EACH ROW EXECUTE FUNCTION nothing();
        CREATE UNIQUE INDEX ON chats (lower(id));
        """
    )
    assert await findings(aside) == [
        "chats has the trigger touch",
        "chats is unique by [None]",
        "loose has no primary key",
        "loose is not logged",
        "loose_a_seq is a sequence",
        "odd has a tenant_id that is text",
        "odd is unique by ['id']",
        "odd is unique by ['slug']",
        "odd refers to odd by other",
        "setter does n and a after tenants",
    ]
