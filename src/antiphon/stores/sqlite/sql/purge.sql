-- name: husks_of_session
-- A chat of a session that is being purged.
SELECT key FROM chats WHERE tenant_id = :tenant_id AND session_key = :session_key LIMIT 1;

-- name: husks_of_owner
-- A detached session of a participant that is being purged.
SELECT key FROM sessions WHERE tenant_id = :tenant_id AND owner_id = :owner_id AND id IS NULL LIMIT 1;

-- name: husks_of_tenant
-- A chat of a tenant that is being purged.
SELECT key FROM chats WHERE tenant_id = :tenant_id LIMIT 1;

-- name: husk_of_chat
-- The number of a chat that is being purged, how long its messages are on average, and its session.
SELECT num, text_size / max(last_seq, 1), session_key FROM chats WHERE tenant_id = :tenant_id AND key = :key;

-- name: session_dies_with
-- Whether the session of a chat is a husk that holds no other chat.
SELECT 1 FROM sessions WHERE tenant_id = :tenant_id AND key = :session_key AND id IS NULL AND NOT EXISTS (
    SELECT 1 FROM chats WHERE tenant_id = :tenant_id AND session_key = :session_key AND key <> :key) AND NOT EXISTS (
    SELECT 1 FROM sandboxes WHERE tenant_id = :tenant_id AND session_key = :session_key);

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

-- name: purge_turn_events_of_chat
-- Some events of the turns of a chat.
DELETE FROM turn_events WHERE num IN (
    SELECT e.num FROM turns t JOIN turn_events e ON e.tenant_id = t.tenant_id AND e.turn_id = t.id
    WHERE t.tenant_id = :tenant_id AND t.chat_key = :key LIMIT :limit);

-- name: purge_turns_of_chat
-- Some turns of a chat, once they have no events.
DELETE FROM turns WHERE num IN (
    SELECT num FROM turns WHERE tenant_id = :tenant_id AND chat_key = :key LIMIT :limit);

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

-- name: place_elsewhere
-- A session in which a participant that is being deleted has a place.
SELECT session_key, num FROM members
WHERE tenant_id = :tenant_id AND participant_id = :participant_id ORDER BY num LIMIT 1;

-- name: purge_place
-- A place in a session, once its holder's words are gone from there.
DELETE FROM members WHERE tenant_id = :tenant_id AND num = :num;

-- name: chat_at
-- The next chat of a session that is there, or may yet be put back to where it is seen.
SELECT num, key, last_seq FROM chats
WHERE tenant_id = :tenant_id AND session_key = :session_key AND num >= :num
    AND (id IS NOT NULL OR undo_of IS NOT NULL) ORDER BY num LIMIT 1;

-- name: authors_between
-- Who wrote some messages of a chat.
SELECT place, author_id, role FROM messages NOT INDEXED
WHERE tenant_id = :tenant_id AND place BETWEEN :low AND :high ORDER BY place LIMIT :limit;

-- name: size_of_messages
-- How many characters some messages hold.
SELECT coalesce(sum(length(text) + length(coalesce(parts, '')) + length(metadata)), 0) FROM messages
WHERE tenant_id = :tenant_id AND place IN (SELECT value FROM json_each(:places));

-- name: purge_messages
-- Some messages, one by one.
DELETE FROM messages WHERE tenant_id = :tenant_id AND place IN (SELECT value FROM json_each(:places));

-- name: shrink_chat
-- A chat without messages that were taken out of it; its newest message may be another now.
UPDATE chats
SET message_count = message_count - :count, text_size = max(text_size - :size, 0),
    last_message_at = (SELECT created_at FROM messages NOT INDEXED
        WHERE tenant_id = :tenant_id AND place BETWEEN :low AND :high ORDER BY place DESC LIMIT 1)
WHERE tenant_id = :tenant_id AND key = :key;

-- name: find_last_answer
-- When a chat was last answered, as far as that shows among its newest messages.
UPDATE chats SET last_answer_at = (
    SELECT created_at FROM (
        SELECT place, created_at, role FROM messages NOT INDEXED
        WHERE tenant_id = :tenant_id AND place BETWEEN :low AND :high ORDER BY place DESC LIMIT :limit)
    WHERE role = 'assistant' ORDER BY place DESC LIMIT 1)
WHERE tenant_id = :tenant_id AND key = :key;

-- name: purge_events_of_agent
-- Some events of a chat's turns in which a participant that is being deleted spoke; its name may be another's now.
DELETE FROM turn_events WHERE num IN (
    SELECT e.num FROM turns t JOIN turn_events e ON e.tenant_id = t.tenant_id AND e.turn_id = t.id
    WHERE t.tenant_id = :tenant_id AND t.chat_key = :chat_key AND t.agent_name = :agent_name AND t.started_at <= (
        SELECT deleted_at FROM tombstones
        WHERE tenant_id = :tenant_id AND kind = 'participant' AND key = :participant_id)
    LIMIT :limit);

-- name: purge_turns_of_agent
-- Some of those turns themselves, once they have no events.
DELETE FROM turns WHERE num IN (
    SELECT num FROM turns
    WHERE tenant_id = :tenant_id AND chat_key = :chat_key AND agent_name = :agent_name AND started_at <= (
        SELECT deleted_at FROM tombstones
        WHERE tenant_id = :tenant_id AND kind = 'participant' AND key = :participant_id)
    LIMIT :limit);

-- name: purge_members_of_participant
-- Some places of a participant.
DELETE FROM members WHERE num IN (
    SELECT num FROM members WHERE tenant_id = :tenant_id AND participant_id = :key LIMIT :limit);

-- name: purge_reads_of_participant
-- Some read marks of a participant.
DELETE FROM reads WHERE (tenant_id, chat_key, participant_id) IN (
    SELECT tenant_id, chat_key, participant_id FROM reads
    WHERE tenant_id = :tenant_id AND participant_id = :key LIMIT :limit);

-- name: purge_connections_of_participant
-- Some sockets of a participant.
DELETE FROM connections WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM connections WHERE tenant_id = :tenant_id AND participant_id = :key LIMIT :limit);

-- name: purge_tickets_of_participant
-- Some tickets of a participant's keys.
DELETE FROM tickets WHERE (tenant_id, digest) IN (
    SELECT tenant_id, digest FROM tickets
    WHERE tenant_id = :tenant_id AND key_id IN (
        SELECT id FROM keys WHERE tenant_id = :tenant_id AND participant_id = :key)
    LIMIT :limit);

-- name: purge_keys_of_participant
-- Some keys of a participant.
DELETE FROM keys WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM keys WHERE tenant_id = :tenant_id AND participant_id = :key LIMIT :limit);

-- name: purge_participant
-- The husk of a participant, once nothing hangs on it.
DELETE FROM participants WHERE tenant_id = :tenant_id AND id = :key;

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

-- name: purge_turn_events_of_tenant
-- Some events of a tenant.
DELETE FROM turn_events WHERE num IN (SELECT num FROM turn_events WHERE tenant_id = :tenant_id LIMIT :limit);

-- name: purge_turns_of_tenant
-- Some turns of a tenant, once they have no events.
DELETE FROM turns WHERE num IN (SELECT num FROM turns WHERE tenant_id = :tenant_id LIMIT :limit);

-- name: purge_chats_of_tenant
-- Some chats of a tenant.
DELETE FROM chats WHERE num IN (SELECT num FROM chats WHERE tenant_id = :tenant_id LIMIT :limit);

-- name: purge_members_of_tenant
-- Some members of a tenant's sessions.
DELETE FROM members WHERE num IN (SELECT num FROM members WHERE tenant_id = :tenant_id LIMIT :limit);

-- name: purge_sessions_of_tenant
-- Some sessions of a tenant.
DELETE FROM sessions WHERE num IN (SELECT num FROM sessions WHERE tenant_id = :tenant_id LIMIT :limit);

-- name: purge_tickets_of_tenant
-- Some tickets of a tenant.
DELETE FROM tickets WHERE (tenant_id, digest) IN (
    SELECT tenant_id, digest FROM tickets WHERE tenant_id = :tenant_id LIMIT :limit);

-- name: purge_keys_of_tenant
-- Some keys of a tenant.
DELETE FROM keys WHERE (tenant_id, id) IN (SELECT tenant_id, id FROM keys WHERE tenant_id = :tenant_id LIMIT :limit);

-- name: purge_webhook_deliveries_of_tenant
-- Some deliveries of a tenant's webhooks.
DELETE FROM webhook_deliveries WHERE num IN (
    SELECT num FROM webhook_deliveries WHERE tenant_id = :tenant_id LIMIT :limit);

-- name: purge_webhooks_of_tenant
-- Some webhooks of a tenant, once they have no deliveries.
DELETE FROM webhooks WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM webhooks WHERE tenant_id = :tenant_id LIMIT :limit);

-- name: purge_participants_of_tenant
-- Some participants of a tenant.
DELETE FROM participants WHERE num IN (SELECT num FROM participants WHERE tenant_id = :tenant_id LIMIT :limit);

-- name: purge_tenant
-- The husk of a tenant, once nothing hangs on it.
DELETE FROM tenants WHERE tenant_id = :tenant_id;

-- name: purge_idempotency_of_chat
-- Some kept answers that tell of a chat.
DELETE FROM idempotency WHERE (tenant_id, digest) IN (
    SELECT tenant_id, digest FROM idempotency WHERE tenant_id = :tenant_id AND chat_key = :key LIMIT :limit);

-- name: purge_idempotency_of_session
-- Some kept answers that tell of a session.
DELETE FROM idempotency WHERE (tenant_id, digest) IN (
    SELECT tenant_id, digest FROM idempotency WHERE tenant_id = :tenant_id AND session_key = :key LIMIT :limit);

-- name: purge_idempotency_of_participant
-- Some kept answers that tell of a participant.
DELETE FROM idempotency WHERE (tenant_id, digest) IN (
    SELECT tenant_id, digest FROM idempotency WHERE tenant_id = :tenant_id AND participant_id = :key LIMIT :limit);

-- name: purge_idempotency_of_tenant
-- Some kept answers of a tenant.
DELETE FROM idempotency WHERE (tenant_id, digest) IN (
    SELECT tenant_id, digest FROM idempotency WHERE tenant_id = :tenant_id LIMIT :limit);
