-- name: count_live_connections
-- How many live sockets the tenant has.
SELECT count(*) FROM connections WHERE tenant_id = :tenant_id AND expires_at > now();

-- name: insert_connection
-- A new socket with its lease.
INSERT INTO connections (tenant_id, id, chat_key, participant_id, node, opened_at, expires_at)
VALUES (:tenant_id, :id, :chat_key, :participant_id, :node, :now, now() + make_interval(secs => :lease_seconds));

-- name: renew_connections
-- Extends every live lease of a process; one that has run out stays lost, even when nobody has swept it up.
UPDATE connections SET expires_at = now() + make_interval(secs => :lease_seconds)
WHERE tenant_id = :tenant_id AND node = :node AND expires_at > now()
RETURNING id;

-- name: delete_connection
-- Forgets a socket.
DELETE FROM connections WHERE tenant_id = :tenant_id AND id = :id;

-- name: delete_connections_of_node
-- scope: system, the sockets of a process that ends, of whichever tenants they are.
DELETE FROM connections WHERE node = :node;

-- name: delete_expired_connections
-- The sockets of the tenant whose processes are dead.
DELETE FROM connections WHERE tenant_id = :tenant_id AND expires_at <= now();
