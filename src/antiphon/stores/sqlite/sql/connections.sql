-- name: count_live_connections
-- How many live sockets the tenant has.
SELECT count(*) FROM connections
WHERE tenant_id = :tenant_id AND expires_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER);

-- name: insert_connection
-- A new socket with its lease.
INSERT INTO connections (tenant_id, id, chat_key, participant_id, node, opened_at, expires_at)
VALUES (:tenant_id, :id, :chat_key, :participant_id, :node, :now,
    CAST(unixepoch('subsec') * 1000000 AS INTEGER) + :lease);

-- name: renew_connections
-- Extends every live lease of a process; one that has run out stays lost, even when nobody has swept it up.
UPDATE connections SET expires_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER) + :lease
WHERE tenant_id = :tenant_id AND node = :node AND expires_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER)
RETURNING id;

-- name: find_live_connection
-- Whether a socket's lease still holds.
SELECT chat_key FROM connections
WHERE tenant_id = :tenant_id AND id = :id AND expires_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER);

-- name: delete_connection
-- Forgets a socket.
DELETE FROM connections WHERE tenant_id = :tenant_id AND id = :id;

-- name: delete_connections_of_node
-- scope: system, the sockets of a process that ends, of whichever tenants they are.
DELETE FROM connections WHERE node = :node;

-- name: delete_expired_connections
-- The sockets of the tenant whose processes are dead.
DELETE FROM connections
WHERE tenant_id = :tenant_id AND expires_at <= CAST(unixepoch('subsec') * 1000000 AS INTEGER);
