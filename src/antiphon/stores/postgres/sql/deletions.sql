-- name: chat_to_detach
-- The session of a chat, held, and what the guards of the chat's deletion look at there.
SELECT s.key, s.shape, s.chat_count
FROM chats c JOIN sessions s ON s.tenant_id = c.tenant_id AND s.key = c.session_key
WHERE c.tenant_id = :tenant_id AND s.tenant_id = :tenant_id AND c.key = :key AND c.id IS NOT NULL
FOR NO KEY UPDATE OF s;

-- name: lock_chat_to_detach
-- The chat itself, held: nothing is appended or connected to it from here on.
SELECT key, message_count, active_turn, owner_id, is_uuid FROM chats
WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL FOR UPDATE;

-- name: session_to_detach
-- Whether the session is there, and of which shape; held.
SELECT shape FROM sessions WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL FOR NO KEY UPDATE;

-- name: chats_to_detach
-- The chats that go with a session, held, always in one order.
SELECT key, message_count, active_turn, owner_id, is_uuid FROM chats
WHERE tenant_id = :tenant_id AND session_key = :session_key AND id IS NOT NULL ORDER BY key FOR UPDATE;

-- name: detach_chat
-- Sets the ids of chats free: from here on nothing finds them.
UPDATE chats SET id = NULL WHERE tenant_id = :tenant_id AND key = ANY (:keys) AND id IS NOT NULL;

-- name: detach_session
-- Sets the session's id free.
UPDATE sessions SET id = NULL WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL;

-- name: insert_deletion
-- The job that removes the rows; when it may run is said by the clock that claims it.
INSERT INTO deletions (tenant_id, id, kind, target_key, mode, state, requested_at, detached_at, run_after)
VALUES (:tenant_id, :id, :kind, :target_key, :mode, 'purging', :now, :now, now());

-- name: find_deletion
-- The deletion of that id.
SELECT id, tenant_id, kind, target_key, mode, state, requested_at, detached_at, purged_at, counts, attempts, run_after,
    last_error
FROM deletions WHERE tenant_id = :tenant_id AND id = :id;

-- name: due_deletions
-- scope: system, tenants with work and in how many seconds the first of it may run: how workers find the work of others.
SELECT tenant_id, extract(epoch FROM min(greatest(run_after, lease_until)) - now())::double precision
FROM deletions WHERE state = 'purging' GROUP BY tenant_id;

-- name: claim_deletion
-- Takes the lease of the tenant's oldest job that may run and that nobody holds.
UPDATE deletions SET lease_node = :node, lease_until = now() + make_interval(secs => :lease_seconds)
WHERE tenant_id = :tenant_id AND id = (
    SELECT id FROM deletions
    WHERE tenant_id = :tenant_id AND state = 'purging' AND run_after <= now()
        AND (lease_until IS NULL OR lease_until <= now())
    ORDER BY run_after, id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id;

-- name: hold_deletion
-- Extends the lease of a job, if this process still holds it.
UPDATE deletions SET lease_until = now() + make_interval(secs => :lease_seconds)
WHERE tenant_id = :tenant_id AND id = :id AND state = 'purging' AND lease_node = :node AND lease_until > now()
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
    run_after = now() + make_interval(secs => :delay_seconds)
WHERE tenant_id = :tenant_id AND id = :id AND lease_node = :node;

-- name: release_deletions
-- scope: system, the jobs of a process that ends, of whichever tenants they are.
UPDATE deletions SET lease_node = NULL, lease_until = NULL WHERE state = 'purging' AND lease_node = :node;

-- name: pending_deletions
-- scope: system, how many deletions wait anywhere, and for how many seconds the oldest.
SELECT count(*), coalesce(extract(epoch FROM now() - min(requested_at)), 0)::double precision
FROM deletions WHERE state = 'purging';

-- name: husks_of_session
-- Some chats of a session that is being purged.
SELECT key FROM chats WHERE tenant_id = :tenant_id AND session_key = :session_key ORDER BY key LIMIT :limit;

-- name: purge_messages_of_chat
-- Some messages of chats.
DELETE FROM messages WHERE tenant_id = :tenant_id AND (chat_key, seq) IN (
    SELECT chat_key, seq FROM messages
    WHERE tenant_id = :tenant_id AND chat_key = ANY (:keys) ORDER BY chat_key, seq LIMIT :limit);

-- name: purge_reads_of_chat
-- Some read marks of chats.
DELETE FROM reads WHERE tenant_id = :tenant_id AND (chat_key, participant_id) IN (
    SELECT chat_key, participant_id FROM reads
    WHERE tenant_id = :tenant_id AND chat_key = ANY (:keys) LIMIT :limit);

-- name: purge_connections_of_chat
-- Some sockets of chats.
DELETE FROM connections WHERE tenant_id = :tenant_id AND id IN (
    SELECT id FROM connections WHERE tenant_id = :tenant_id AND chat_key = ANY (:keys) LIMIT :limit);

-- name: purge_chat
-- The husks of chats, once nothing hangs on them.
DELETE FROM chats WHERE tenant_id = :tenant_id AND key = ANY (:keys);

-- name: purge_members_of_session
-- Some members of a session.
DELETE FROM members WHERE tenant_id = :tenant_id AND session_key = :key AND participant_id IN (
    SELECT participant_id FROM members WHERE tenant_id = :tenant_id AND session_key = :key LIMIT :limit);

-- name: purge_session
-- The husk of a session, once nothing hangs on it.
DELETE FROM sessions WHERE tenant_id = :tenant_id AND key = :key;

-- name: purge_messages_of_tenant
-- Some messages of a tenant.
DELETE FROM messages WHERE tenant_id = :tenant_id AND (chat_key, seq) IN (
    SELECT chat_key, seq FROM messages WHERE tenant_id = :tenant_id ORDER BY chat_key, seq LIMIT :limit);

-- name: purge_reads_of_tenant
-- Some read marks of a tenant.
DELETE FROM reads WHERE tenant_id = :tenant_id AND (chat_key, participant_id) IN (
    SELECT chat_key, participant_id FROM reads WHERE tenant_id = :tenant_id LIMIT :limit);

-- name: purge_connections_of_tenant
-- Some sockets of a tenant.
DELETE FROM connections WHERE tenant_id = :tenant_id AND id IN (
    SELECT id FROM connections WHERE tenant_id = :tenant_id LIMIT :limit);

-- name: purge_chats_of_tenant
-- Some chats of a tenant.
DELETE FROM chats WHERE tenant_id = :tenant_id AND key IN (
    SELECT key FROM chats WHERE tenant_id = :tenant_id LIMIT :limit);

-- name: purge_members_of_tenant
-- Some members of a tenant's sessions.
DELETE FROM members WHERE tenant_id = :tenant_id AND (session_key, participant_id) IN (
    SELECT session_key, participant_id FROM members WHERE tenant_id = :tenant_id LIMIT :limit);

-- name: purge_sessions_of_tenant
-- Some sessions of a tenant.
DELETE FROM sessions WHERE tenant_id = :tenant_id AND key IN (
    SELECT key FROM sessions WHERE tenant_id = :tenant_id LIMIT :limit);

-- name: purge_keys_of_tenant
-- Some keys of a tenant.
DELETE FROM keys WHERE tenant_id = :tenant_id AND id IN (
    SELECT id FROM keys WHERE tenant_id = :tenant_id LIMIT :limit);

-- name: purge_participants_of_tenant
-- Some participants of a tenant.
DELETE FROM participants WHERE tenant_id = :tenant_id AND id IN (
    SELECT id FROM participants WHERE tenant_id = :tenant_id LIMIT :limit);

-- name: purge_tenant
-- The husk of a tenant, once nothing hangs on it.
DELETE FROM tenants WHERE tenant_id = :tenant_id;
