-- Rows are named by where they stand (`ctid`), in the order of an index that finds them: so no plan depends on what the
-- server knows of its tables, and two who remove the same rows go about it in the same order.

-- name: husk_of_chat
-- The session of a chat that is being purged; held, so that one at a time does so.
SELECT session_key FROM chats WHERE tenant_id = :tenant_id AND key = :key FOR UPDATE;

-- name: husks_of_session
-- Some chats of sessions that are being purged; held, always in one order.
SELECT key FROM chats WHERE tenant_id = :tenant_id AND session_key = ANY (:session_keys)
ORDER BY key LIMIT :limit FOR UPDATE;

-- name: husks_of_owner
-- Some detached sessions of a participant that is being purged.
SELECT key FROM sessions WHERE tenant_id = :tenant_id AND owner_id = :owner_id AND id IS NULL ORDER BY shape LIMIT :limit;

-- name: session_dies_with
-- Whether the session of a chat is a husk that holds no other chat.
SELECT 1 FROM sessions WHERE tenant_id = :tenant_id AND key = :session_key AND id IS NULL AND NOT EXISTS (
    SELECT 1 FROM chats WHERE tenant_id = :tenant_id AND session_key = :session_key AND key <> :key) AND NOT EXISTS (
    SELECT 1 FROM sandboxes WHERE tenant_id = :tenant_id AND session_key = :session_key);

-- name: purge_messages_of_chat
-- Some messages of chats.
DELETE FROM messages WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM messages
    WHERE tenant_id = :tenant_id AND chat_key = ANY (:keys) ORDER BY chat_key, seq LIMIT :limit));

-- name: purge_reads_of_chat
-- Some read marks of chats.
DELETE FROM reads WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM reads
    WHERE tenant_id = :tenant_id AND chat_key = ANY (:keys) ORDER BY chat_key, participant_id LIMIT :limit));

-- name: purge_connections_of_chat
-- Some sockets of chats.
DELETE FROM connections WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM connections WHERE tenant_id = :tenant_id AND chat_key = ANY (:keys) ORDER BY chat_key LIMIT :limit));

-- name: purge_turn_events_of_chat
-- Some events of the turns of chats.
DELETE FROM turn_events WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT e.ctid FROM turn_events e
    WHERE e.tenant_id = :tenant_id AND e.turn_id = ANY (ARRAY (
        SELECT id FROM turns WHERE tenant_id = :tenant_id AND chat_key = ANY (:keys)))
    ORDER BY e.turn_id, e.first LIMIT :limit));

-- name: purge_turns_of_chat
-- Some turns of chats, once they have no events.
DELETE FROM turns WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM turns WHERE tenant_id = :tenant_id AND chat_key = ANY (:keys) ORDER BY chat_key, id LIMIT :limit));

-- name: purge_chat
-- The husks of chats, once nothing hangs on them.
DELETE FROM chats WHERE tenant_id = :tenant_id AND key = ANY (:keys);

-- name: purge_members_of_session
-- Some members of sessions.
DELETE FROM members WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM members
    WHERE tenant_id = :tenant_id AND session_key = ANY (:keys) ORDER BY session_key, participant_id LIMIT :limit));

-- name: purge_session
-- The husks of sessions, once nothing hangs on them.
DELETE FROM sessions WHERE tenant_id = :tenant_id AND key = ANY (:keys);

-- name: places_elsewhere
-- Some sessions in which a participant that is being deleted has a place, and whether they are there, or those of
-- somebody else that may yet be put back to where they are seen.
SELECT m.session_key, EXISTS (
    SELECT 1 FROM sessions s
    WHERE s.tenant_id = :tenant_id AND s.key = m.session_key
        AND (s.id IS NOT NULL OR (s.undo_of IS NOT NULL AND s.owner_id <> :participant_id)))
FROM members m
WHERE m.tenant_id = :tenant_id AND m.participant_id = :participant_id ORDER BY m.session_key LIMIT :limit;

-- name: purge_place
-- Places in sessions, once their holder's words are gone from there.
DELETE FROM members
WHERE tenant_id = :tenant_id AND participant_id = :participant_id AND session_key = ANY (:session_keys);

-- name: chat_at
-- The next chat of a session that is there, or may yet be put back; held, as an append holds it.
SELECT key, last_seq FROM chats
WHERE tenant_id = :tenant_id AND session_key = :session_key AND key >= :key
    AND (id IS NOT NULL OR undo_of IS NOT NULL)
ORDER BY key LIMIT 1 FOR UPDATE;

-- name: purge_messages
-- What somebody wrote in a part of a chat.
DELETE FROM messages WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM messages
    WHERE tenant_id = :tenant_id AND chat_key = :key AND seq BETWEEN :low AND :high AND author_id = :author_id
    ORDER BY chat_key, seq LIMIT :limit))
RETURNING seq, role;

-- name: shrink_chat
-- A chat without messages that were taken out of it; its newest message may be another now.
UPDATE chats
SET message_count = message_count - :count,
    last_message_at = (
        SELECT created_at FROM messages
        WHERE tenant_id = :tenant_id AND chat_key = :key ORDER BY seq DESC LIMIT 1)
WHERE tenant_id = :tenant_id AND key = :key;

-- name: find_last_answer
-- When a chat was last answered, as far as that shows among its newest messages.
UPDATE chats SET last_answer_at = (
    SELECT created_at FROM (
        SELECT seq, created_at, role FROM messages
        WHERE tenant_id = :tenant_id AND chat_key = :key ORDER BY seq DESC LIMIT :limit) newest
    WHERE role = 'assistant' ORDER BY seq DESC LIMIT 1)
WHERE tenant_id = :tenant_id AND key = :key;

-- name: purge_events_of_agent
-- Some events of a chat's turns in which a participant that is being deleted spoke; its name may be another's now.
DELETE FROM turn_events WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM turn_events
    WHERE tenant_id = :tenant_id AND turn_id = ANY (ARRAY (
        SELECT id FROM turns
        WHERE tenant_id = :tenant_id AND chat_key = :chat_key AND agent_name = :agent_name AND started_at <= (
            SELECT deleted_at FROM tombstones
            WHERE tenant_id = :tenant_id AND kind = 'participant' AND key = :participant_id)))
    ORDER BY turn_id, first LIMIT :limit));

-- name: purge_turns_of_agent
-- Some of those turns themselves, once they have no events.
DELETE FROM turns WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM turns
    WHERE tenant_id = :tenant_id AND chat_key = :chat_key AND agent_name = :agent_name AND started_at <= (
        SELECT deleted_at FROM tombstones
        WHERE tenant_id = :tenant_id AND kind = 'participant' AND key = :participant_id)
    ORDER BY chat_key, id LIMIT :limit));

-- name: purge_members_of_participant
-- Some places of a participant.
DELETE FROM members WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM members
    WHERE tenant_id = :tenant_id AND participant_id = :key ORDER BY session_key LIMIT :limit));

-- name: purge_reads_of_participant
-- Some read marks of a participant.
DELETE FROM reads WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM reads WHERE tenant_id = :tenant_id AND participant_id = :key LIMIT :limit));

-- name: purge_connections_of_participant
-- Some sockets of a participant.
DELETE FROM connections WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM connections WHERE tenant_id = :tenant_id AND participant_id = :key LIMIT :limit));

-- name: purge_tickets_of_participant
-- Some tickets of a participant's keys.
DELETE FROM tickets WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM tickets
    WHERE tenant_id = :tenant_id AND key_id IN (
        SELECT id FROM keys WHERE tenant_id = :tenant_id AND participant_id = :key)
    LIMIT :limit));

-- name: purge_keys_of_participant
-- Some keys of a participant.
DELETE FROM keys WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM keys WHERE tenant_id = :tenant_id AND participant_id = :key LIMIT :limit));

-- name: purge_participant
-- The husk of a participant, once nothing hangs on it.
DELETE FROM participants WHERE tenant_id = :tenant_id AND id = :key;

-- name: purge_messages_of_tenant
-- Some messages of a tenant.
DELETE FROM messages WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM messages WHERE tenant_id = :tenant_id ORDER BY tenant_id, chat_key, seq LIMIT :limit));

-- name: purge_reads_of_tenant
-- Some read marks of a tenant.
DELETE FROM reads WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM reads WHERE tenant_id = :tenant_id ORDER BY chat_key, participant_id LIMIT :limit));

-- name: purge_connections_of_tenant
-- Some sockets of a tenant.
DELETE FROM connections WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM connections WHERE tenant_id = :tenant_id ORDER BY id LIMIT :limit));

-- name: purge_turn_events_of_tenant
-- Some events of a tenant.
DELETE FROM turn_events WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM turn_events WHERE tenant_id = :tenant_id ORDER BY turn_id, first LIMIT :limit));

-- name: purge_turns_of_tenant
-- Some turns of a tenant, once they have no events.
DELETE FROM turns WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM turns WHERE tenant_id = :tenant_id ORDER BY id LIMIT :limit));

-- name: purge_chats_of_tenant
-- Some chats of a tenant; one that was made meanwhile must first be detached.
DELETE FROM chats WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM chats WHERE tenant_id = :tenant_id AND id IS NULL ORDER BY key LIMIT :limit));

-- name: purge_members_of_tenant
-- Some members of a tenant's sessions.
DELETE FROM members WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM members WHERE tenant_id = :tenant_id ORDER BY session_key, participant_id LIMIT :limit));

-- name: purge_sessions_of_tenant
-- Some sessions of a tenant.
DELETE FROM sessions WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM sessions WHERE tenant_id = :tenant_id ORDER BY key LIMIT :limit));

-- name: purge_tickets_of_tenant
-- Some tickets of a tenant.
DELETE FROM tickets WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM tickets WHERE tenant_id = :tenant_id ORDER BY digest LIMIT :limit));

-- name: purge_keys_of_tenant
-- Some keys of a tenant.
DELETE FROM keys WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM keys WHERE tenant_id = :tenant_id ORDER BY id LIMIT :limit));

-- name: purge_webhook_deliveries_of_tenant
-- Some deliveries of a tenant's webhooks.
DELETE FROM webhook_deliveries WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM webhook_deliveries WHERE tenant_id = :tenant_id ORDER BY webhook_id, id LIMIT :limit));

-- name: purge_webhooks_of_tenant
-- Some webhooks of a tenant, once they have no deliveries.
DELETE FROM webhooks WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM webhooks WHERE tenant_id = :tenant_id ORDER BY id LIMIT :limit));

-- name: purge_participants_of_tenant
-- Some participants of a tenant.
DELETE FROM participants WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM participants WHERE tenant_id = :tenant_id ORDER BY id LIMIT :limit));

-- name: purge_tenant
-- The husk of a tenant, once nothing hangs on it.
DELETE FROM tenants WHERE tenant_id = :tenant_id;

-- name: purge_idempotency_of_chat
-- Some kept answers that tell of some chats.
DELETE FROM idempotency WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM idempotency WHERE tenant_id = :tenant_id AND chat_key = ANY (:keys) LIMIT :limit));

-- name: purge_idempotency_of_session
-- Some kept answers that tell of some sessions.
DELETE FROM idempotency WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM idempotency WHERE tenant_id = :tenant_id AND session_key = ANY (:keys) LIMIT :limit));

-- name: purge_idempotency_of_participant
-- Some kept answers that tell of a participant.
DELETE FROM idempotency WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM idempotency WHERE tenant_id = :tenant_id AND participant_id = :key LIMIT :limit));

-- name: purge_idempotency_of_tenant
-- Some kept answers of a tenant.
DELETE FROM idempotency WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM idempotency WHERE tenant_id = :tenant_id ORDER BY digest LIMIT :limit));
