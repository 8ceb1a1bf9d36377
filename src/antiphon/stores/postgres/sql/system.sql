-- name: create_migrations
-- scope: system, the list of what this database has had; it is what starting processes lock.
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz NOT NULL
);

-- name: has_migrations
-- scope: system, whether the database has that list.
SELECT to_regclass('schema_migrations') IS NOT NULL;

-- name: lock_migrations
-- scope: system, of several processes that start at once one migrates and the others wait.
LOCK TABLE schema_migrations IN EXCLUSIVE MODE;

-- name: applied_migrations
-- scope: system, the migrations this database has had.
SELECT version, name FROM schema_migrations ORDER BY version;

-- name: insert_migration
-- scope: system, notes a migration in the transaction that makes it.
INSERT INTO schema_migrations (version, name, applied_at) VALUES (:version, :name, :now);

-- name: is_writable
-- scope: system, whether this server takes writes (a standby does not), and whether the tables can be read.
SELECT current_setting('transaction_read_only') = 'off', EXISTS (SELECT 1 FROM tenant_names);

-- name: invalid_parts
-- scope: system, indexes that are not whole and constraints that were never checked, of the tables beside the list of
-- migrations.
SELECT CAST(CAST(i.indexrelid AS regclass) AS text) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
WHERE NOT (i.indisvalid AND i.indisready) AND c.relnamespace = (
    SELECT relnamespace FROM pg_class WHERE oid = to_regclass('schema_migrations'))
UNION ALL
SELECT k.conname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
WHERE NOT k.convalidated AND c.relnamespace = (
    SELECT relnamespace FROM pg_class WHERE oid = to_regclass('schema_migrations'));
