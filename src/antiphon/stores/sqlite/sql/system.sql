-- name: applied_migrations
-- scope: system, the migrations this database has had.
SELECT version, name FROM schema_migrations ORDER BY version;

-- name: insert_migration
-- scope: system, notes a migration in the transaction that makes it.
INSERT INTO schema_migrations (version, name, applied_at) VALUES (:version, :name, :now);

-- name: touch_migrations
-- scope: system, writes a row as it is, to see that something can be written.
UPDATE schema_migrations SET applied_at = applied_at WHERE version = 1;

-- name: list_tables
-- scope: system, all tables of the database: each needs a rule that says how it is deleted from. Those in which a
-- virtual table keeps what it has are parts of it.
SELECT name FROM pragma_table_list
WHERE schema = 'main' AND type IN ('table', 'virtual') AND name NOT LIKE 'sqlite\_%' ESCAPE '\';

-- name: migration_times
-- scope: system, what the database is known by: when it has had its migrations.
SELECT version, applied_at FROM schema_migrations ORDER BY version LIMIT 1;
