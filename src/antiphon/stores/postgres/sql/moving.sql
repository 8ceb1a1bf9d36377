-- name: columns_of_table
-- scope: system, the columns of a table with their types, from the catalogue.
SELECT a.attname::text, format_type(a.atttypid, NULL) FROM pg_attribute a
WHERE a.attrelid = to_regclass(:name) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum;

-- name: list_sources
-- scope: system, of which instances there are unfinished moves into this database.
SELECT DISTINCT source FROM moves;

-- name: list_moves
-- scope: system, how far the tables of a move have come.
SELECT name, rows_done FROM moves WHERE source = :source;

-- name: put_move
-- scope: system, notes how far a table has come, in the transaction that brings the rows.
INSERT INTO moves (source, name, rows_done) VALUES (:source, :name, :rows_done)
ON CONFLICT (source, name) DO UPDATE SET rows_done = excluded.rows_done;

-- name: delete_moves
-- scope: system, a move is done.
DELETE FROM moves WHERE source = :source;
