-- name: chat_to_detach
-- What the guards of a chat's deletion look at.
SELECT c.session_key, s.shape, s.chat_count, c.message_count, c.active_turn, c.owner_id, c.is_uuid
FROM chats c JOIN sessions s ON s.tenant_id = c.tenant_id AND s.key = c.session_key
WHERE c.tenant_id = :tenant_id AND c.key = :key AND c.id IS NOT NULL;

-- name: detach_chat
-- Sets the chat's id free: from here on nothing finds the chat.
UPDATE chats SET id = NULL WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL;

-- name: session_to_detach
-- Whether the session is there, and of which shape.
SELECT shape FROM sessions WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL;

-- name: chats_to_detach
-- The chats that go with a session.
SELECT key, message_count, active_turn, owner_id, is_uuid FROM chats
WHERE tenant_id = :tenant_id AND session_key = :session_key AND id IS NOT NULL;

-- name: detach_session
-- Sets the session's id free.
UPDATE sessions SET id = NULL WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL;

-- name: insert_deletion
-- The job that removes the rows; when it may run is said by the clock that claims it (it knows milliseconds only).
INSERT INTO deletions (tenant_id, id, kind, target_key, mode, state, requested_at, detached_at, run_after)
VALUES (:tenant_id, :id, :kind, :target_key, :mode, 'purging', :now, :now,
    CAST(unixepoch('subsec') * 1000000 AS INTEGER));

-- name: find_deletion
-- The deletion of that id.
SELECT id, tenant_id, kind, target_key, mode, state, requested_at, detached_at, purged_at, counts, attempts, run_after,
    last_error
FROM deletions WHERE tenant_id = :tenant_id AND id = :id;

-- name: due_deletions
-- scope: system, tenants with work and when the first of it may run: how workers find the work of others.
SELECT tenant_id, min(max(run_after, coalesce(lease_until, 0))) FROM deletions WHERE state = 'purging' GROUP BY tenant_id;

-- name: claim_deletion
-- Takes the lease of the tenant's oldest job that may run and that nobody holds.
UPDATE deletions SET lease_node = :node, lease_until = CAST(unixepoch('subsec') * 1000000 AS INTEGER) + :lease
WHERE tenant_id = :tenant_id AND id = (
    SELECT id FROM deletions
    WHERE tenant_id = :tenant_id AND state = 'purging'
        AND run_after <= CAST(unixepoch('subsec') * 1000000 AS INTEGER)
        AND coalesce(lease_until, 0) <= CAST(unixepoch('subsec') * 1000000 AS INTEGER)
    ORDER BY run_after, id LIMIT 1)
RETURNING id;

-- name: hold_deletion
-- Extends the lease of a job, if this process still holds it.
UPDATE deletions SET lease_until = CAST(unixepoch('subsec') * 1000000 AS INTEGER) + :lease
WHERE tenant_id = :tenant_id AND id = :id AND state = 'purging' AND lease_node = :node
    AND lease_until > CAST(unixepoch('subsec') * 1000000 AS INTEGER)
RETURNING kind, target_key, counts;

-- name: count_deleted
-- What a deletion has removed so far.
UPDATE deletions SET counts = :counts WHERE tenant_id = :tenant_id AND id = :id;

-- name: finish_deletion
-- Nothing is left of the target.
UPDATE deletions
SET state = 'done', purged_at = :now, last_error = NULL, lease_node = NULL, lease_until = NULL
WHERE tenant_id = :tenant_id AND id = :id;

-- name: postpone_deletion
-- Gives a job back after a failure; it shows the error and waits.
UPDATE deletions
SET attempts = attempts + 1, last_error = :error, lease_node = NULL, lease_until = NULL,
    run_after = CAST(unixepoch('subsec') * 1000000 AS INTEGER) + :delay
WHERE tenant_id = :tenant_id AND id = :id AND lease_node = :node;

-- name: release_deletions
-- scope: system, the jobs of a process that ends, of whichever tenants they are.
UPDATE deletions SET lease_node = NULL, lease_until = NULL WHERE state = 'purging' AND lease_node = :node;

-- name: pending_deletions
-- scope: system, how many deletions wait anywhere, and since when the oldest.
SELECT count(*), min(requested_at) FROM deletions WHERE state = 'purging';

-- name: husks_of_session
-- A chat of a session that is being purged.
SELECT key, num FROM chats WHERE tenant_id = :tenant_id AND session_key = :session_key LIMIT 1;

-- name: husk_of_chat
-- The number of a chat that is being purged, and how long its messages are on average.
SELECT num, text_size / max(last_seq, 1) FROM chats WHERE tenant_id = :tenant_id AND key = :key;

-- name: purge_messages_of_chat
-- Some messages of a chat.
DELETE FROM messages WHERE place IN (
    SELECT place FROM messages NOT INDEXED
    WHERE tenant_id = :tenant_id AND place BETWEEN :low AND :high LIMIT :limit);

-- name: purge_reads_of_chat
-- Some read marks of a chat.
DELETE FROM reads WHERE (tenant_id, chat_key, participant_id) IN (
    SELECT tenant_id, chat_key, participant_id FROM reads
    WHERE tenant_id = :tenant_id AND chat_key = :key LIMIT :limit);

-- name: purge_connections_of_chat
-- Some sockets of a chat.
DELETE FROM connections WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM connections WHERE tenant_id = :tenant_id AND chat_key = :key LIMIT :limit);

-- name: purge_chat
-- The husk of a chat, once nothing hangs on it.
DELETE FROM chats WHERE tenant_id = :tenant_id AND key = :key;

-- name: purge_members_of_session
-- Some members of a session.
DELETE FROM members WHERE num IN (
    SELECT num FROM members WHERE tenant_id = :tenant_id AND session_key = :key LIMIT :limit);

-- name: purge_session
-- The husk of a session, once nothing hangs on it.
DELETE FROM sessions WHERE tenant_id = :tenant_id AND key = :key;

-- name: purge_messages_of_tenant
-- Some messages of a tenant.
DELETE FROM messages WHERE place IN (SELECT place FROM messages WHERE tenant_id = :tenant_id LIMIT :limit);

-- name: purge_reads_of_tenant
-- Some read marks of a tenant.
DELETE FROM reads WHERE (tenant_id, chat_key, participant_id) IN (
    SELECT tenant_id, chat_key, participant_id FROM reads WHERE tenant_id = :tenant_id LIMIT :limit);

-- name: purge_connections_of_tenant
-- Some sockets of a tenant.
DELETE FROM connections WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM connections WHERE tenant_id = :tenant_id LIMIT :limit);

-- name: purge_chats_of_tenant
-- Some chats of a tenant.
DELETE FROM chats WHERE num IN (SELECT num FROM chats WHERE tenant_id = :tenant_id LIMIT :limit);

-- name: purge_members_of_tenant
-- Some members of a tenant's sessions.
DELETE FROM members WHERE num IN (SELECT num FROM members WHERE tenant_id = :tenant_id LIMIT :limit);

-- name: purge_sessions_of_tenant
-- Some sessions of a tenant.
DELETE FROM sessions WHERE num IN (SELECT num FROM sessions WHERE tenant_id = :tenant_id LIMIT :limit);

-- name: purge_keys_of_tenant
-- Some keys of a tenant.
DELETE FROM keys WHERE (tenant_id, id) IN (SELECT tenant_id, id FROM keys WHERE tenant_id = :tenant_id LIMIT :limit);

-- name: purge_participants_of_tenant
-- Some participants of a tenant.
DELETE FROM participants WHERE num IN (SELECT num FROM participants WHERE tenant_id = :tenant_id LIMIT :limit);

-- name: purge_tenant
-- The husk of a tenant, once nothing hangs on it.
DELETE FROM tenants WHERE tenant_id = :tenant_id;
