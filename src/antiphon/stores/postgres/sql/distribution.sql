-- name: citus_version
-- scope: system, the version of the extension that distributes tables; nothing where the database has none.
SELECT extversion FROM pg_extension WHERE extname = 'citus';

-- name: node_group
-- scope: system, which node of a cluster this is: 0 is the coordinator. Only where the extension is.
SELECT groupid FROM pg_dist_local_group;

-- name: count_servers
-- scope: system, how many connections of servers and other commands this database has; an operator's own is not one.
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = :application;

-- name: list_tables
-- scope: system, the tables beside the list of migrations: whether a tenant leads the primary key, to which other
-- tables they refer, and how many bytes are kept in the table itself, which holds nothing once its rows are in shards.
SELECT CAST(CAST(c.oid AS regclass) AS text), c.relname,
    EXISTS (
        SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE i.indrelid = c.oid AND i.indisprimary AND a.attname = 'tenant_id'),
    ARRAY (
        SELECT CAST(CAST(k.confrelid AS regclass) AS text) FROM pg_constraint k
        WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.confrelid <> c.oid),
    pg_relation_size(c.oid)
FROM pg_class c
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = (
    SELECT relnamespace FROM pg_class WHERE oid = to_regclass('schema_migrations'))
ORDER BY 1;

-- name: list_placements
-- scope: system, how each table that is distributed is: the kind, the column, the group. Only where the extension is.
SELECT CAST(logicalrelid AS text),
    CASE
        WHEN partmethod = 'h' THEN 'distributed'
        WHEN partmethod = 'n' AND repmodel = 't' THEN 'reference'
        WHEN partmethod = 'n' AND colocationid = 0 THEN 'local'
        ELSE 'other'
    END,
    column_to_column_name(logicalrelid, partkey), colocationid
FROM pg_dist_partition;
