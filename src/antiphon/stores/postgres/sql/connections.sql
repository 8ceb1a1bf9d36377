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
-- The sockets of the tenant whose processes are dead; a dismissed one when its process has had time to find out.
DELETE FROM connections WHERE tenant_id = :tenant_id AND expires_at <= now()
    AND (dismissed_at IS NULL OR dismissed_at <= now() - make_interval(secs => :grace_seconds));

-- name: find_connection
-- A live socket, with whom it is of.
SELECT c.id, c.chat_key, p.name, c.node, c.opened_at, c.expires_at
FROM connections c JOIN participants p ON p.tenant_id = c.tenant_id AND p.id = c.participant_id
WHERE c.tenant_id = :tenant_id AND c.id = :id
    AND c.expires_at > now();

-- name: list_connections
-- The live sockets of a chat, behind one of them in order of opening.
SELECT c.id, c.chat_key, p.name, c.node, c.opened_at, c.expires_at
FROM connections c JOIN participants p ON p.tenant_id = c.tenant_id AND p.id = c.participant_id
WHERE c.tenant_id = :tenant_id AND c.chat_key = :chat_key
    AND c.expires_at > now()
    AND (CAST(:after AS uuid) IS NULL OR c.id > :after)
ORDER BY c.id LIMIT :limit;

-- name: count_connections
-- How many live sockets some chats have.
SELECT chat_key, count(*) FROM connections
WHERE tenant_id = :tenant_id AND chat_key = ANY (:keys)
    AND expires_at > now()
GROUP BY chat_key;

-- name: dismiss_connection
-- Ends the lease of a live socket, and notes that somebody meant it.
UPDATE connections SET dismissed_at = now(), expires_at = now()
WHERE tenant_id = :tenant_id AND id = :id AND expires_at > now()
RETURNING id;

-- name: find_dismissed_connection
-- A socket whose lease was ended so.
SELECT dismissed_at FROM connections WHERE tenant_id = :tenant_id AND id = :id AND dismissed_at IS NOT NULL;
