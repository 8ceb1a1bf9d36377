-- name: chat_to_detach
-- A chat with what the guards of its deletion look at.
SELECT c.key, c.id, c.message_count, c.last_seq, c.owner_id, c.is_uuid, c.session_key, s.id, s.shape, s.chat_count
FROM chats c JOIN sessions s ON s.tenant_id = c.tenant_id AND s.key = c.session_key
WHERE c.tenant_id = :tenant_id AND c.key = :key AND c.id IS NOT NULL;

-- name: session_to_detach
-- A session that is there.
SELECT key, id, shape FROM sessions WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL;

-- name: sessions_to_detach
-- Some sessions that somebody owns.
SELECT key, id, shape, chat_count FROM sessions
WHERE tenant_id = :tenant_id AND owner_id = :owner_id AND id IS NOT NULL ORDER BY num LIMIT :limit;

-- name: chats_to_detach
-- The chats that go with some sessions.
SELECT key, id, message_count, last_seq, owner_id, is_uuid FROM chats
WHERE tenant_id = :tenant_id AND session_key IN (SELECT unhex(value) FROM json_each(:keys)) AND id IS NOT NULL
ORDER BY num;

-- name: live_connections
-- The live sockets of some chats.
SELECT id, expires_at FROM connections
WHERE tenant_id = :tenant_id AND chat_key IN (SELECT unhex(value) FROM json_each(:keys))
    AND expires_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER);

-- name: live_turns
-- The running turns of some chats whose processes live.
SELECT t.id, t.expires_at FROM chats c JOIN turns t ON t.tenant_id = c.tenant_id AND t.id = c.active_turn
WHERE c.tenant_id = :tenant_id AND c.key IN (SELECT unhex(value) FROM json_each(:keys)) AND t.state = 'running'
    AND t.expires_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER);

-- name: live_connections_elsewhere
-- The live sockets of a participant on other chats.
SELECT id, expires_at FROM connections
WHERE tenant_id = :tenant_id AND participant_id = :participant_id
    AND chat_key NOT IN (SELECT unhex(value) FROM json_each(:keys))
    AND expires_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER);

-- name: live_turns_elsewhere
-- The turns in other chats in which a participant speaks as the agent, and whose processes live.
SELECT t.id, t.expires_at
FROM turns t JOIN chats c ON c.tenant_id = t.tenant_id AND c.key = t.chat_key AND c.id IS NOT NULL
WHERE t.tenant_id = :tenant_id AND t.agent_name = :agent_name AND t.state = 'running'
    AND t.chat_key NOT IN (SELECT unhex(value) FROM json_each(:keys))
    AND t.expires_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER);

-- name: end_turns_of_agent
-- Ends the turns in which a participant that is being detached speaks: no word of them can be added any more.
UPDATE turns SET state = 'interrupted', ended_at = :now
WHERE tenant_id = :tenant_id AND agent_name = :agent_name AND state = 'running' RETURNING id, chat_key;

-- name: live_connections_of_tenant
-- The live sockets of a whole tenant.
SELECT id, expires_at FROM connections
WHERE tenant_id = :tenant_id AND expires_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER);

-- name: live_turns_of_tenant
-- The running turns of a whole tenant whose processes live.
SELECT t.id, t.expires_at
FROM turns t JOIN chats c ON c.tenant_id = t.tenant_id AND c.key = t.chat_key AND c.id IS NOT NULL
WHERE t.tenant_id = :tenant_id AND t.state = 'running'
    AND t.expires_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER);

-- name: forget_imports_of
-- Imports say by which ids their sessions and chats were known: those of some that are detached are forgotten.
DELETE FROM imports
WHERE tenant_id = :tenant_id AND state = 'done' AND target_key IN (SELECT unhex(value) FROM json_each(:keys));

-- name: detach_chats
-- Sets the ids of chats free: from here on nothing finds them, neither to read nor to write. Within an undo window they
-- are kept where only the undo looks, here and below.
UPDATE chats SET undo_of = :undo_of, undo_id = CASE WHEN :undo_of IS NOT NULL THEN id END, id = NULL, active_turn = NULL
WHERE tenant_id = :tenant_id AND key IN (SELECT unhex(value) FROM json_each(:keys)) AND id IS NOT NULL;

-- name: detach_chats_of_tenant
-- Sets the ids of some chats of a detached tenant free, for a writer whose key is still believed for a moment.
UPDATE chats
SET undo_of = :undo_of, undo_id = CASE WHEN :undo_of IS NOT NULL THEN id END, id = NULL, active_turn = NULL
WHERE num IN (
    SELECT num FROM chats WHERE tenant_id = :tenant_id AND id IS NOT NULL LIMIT :limit) RETURNING key;

-- name: detach_sessions_of_tenant
-- Sets the ids of some sessions of a detached tenant free, likewise.
UPDATE sessions SET undo_of = :undo_of, undo_id = CASE WHEN :undo_of IS NOT NULL THEN id END, id = NULL WHERE num IN (
    SELECT num FROM sessions WHERE tenant_id = :tenant_id AND id IS NOT NULL LIMIT :limit) RETURNING key;

-- name: drop_connections_of_tenant
-- Forgets the sockets of a tenant that is being detached.
DELETE FROM connections WHERE tenant_id = :tenant_id;

-- name: drop_connections
-- Forgets all sockets of chats that are being detached.
DELETE FROM connections
WHERE tenant_id = :tenant_id AND chat_key IN (SELECT unhex(value) FROM json_each(:keys));

-- name: detach_sessions
-- Sets the ids of sessions free.
UPDATE sessions SET undo_of = :undo_of, undo_id = CASE WHEN :undo_of IS NOT NULL THEN id END, id = NULL
WHERE tenant_id = :tenant_id AND key IN (SELECT unhex(value) FROM json_each(:keys)) AND id IS NOT NULL;

-- name: participant_to_detach
-- A participant that is there.
SELECT name, kind, is_implied FROM participants WHERE tenant_id = :tenant_id AND id = :id AND kind <> 'gone'
    AND EXISTS (SELECT 1 FROM tenants WHERE tenant_id = :tenant_id AND name IS NOT NULL);

-- name: detach_participant
-- Sets the participant's name free; what stands in its place names nobody.
UPDATE participants
SET undo_of = :undo_of, undo_id = CASE WHEN :undo_of IS NOT NULL THEN name END,
    undo_kind = CASE WHEN :undo_of IS NOT NULL THEN kind END,
    undo_metadata = CASE WHEN :undo_of IS NOT NULL THEN metadata END,
    undo_configuration = CASE WHEN :undo_of IS NOT NULL THEN configuration END,
    kind = 'gone', name = hex(id), metadata = '{}', configuration = '{}'
WHERE tenant_id = :tenant_id AND id = :id;

-- name: revoke_keys_of_participant
-- Ends all keys of a participant.
UPDATE keys SET revoked_at = :now, undo_of = :undo_of
WHERE tenant_id = :tenant_id AND participant_id = :participant_id AND revoked_at IS NULL;

-- name: drop_connections_of_participant
-- Forgets the sockets of a participant that is being detached.
DELETE FROM connections WHERE tenant_id = :tenant_id AND participant_id = :participant_id;

-- name: digest_secret
-- What digests of ids are keyed by.
SELECT digest_secret FROM tenants WHERE tenant_id = :tenant_id;

-- name: insert_tombstones
-- That things were deleted, known by digests only.
INSERT INTO tombstones (tenant_id, kind, key, digest, deletion_id, deleted_at)
SELECT :tenant_id, value ->> 0, unhex(value ->> 1), value ->> 2, :deletion_id, :now FROM json_each(:stones) WHERE TRUE
ON CONFLICT (tenant_id, kind, key) DO NOTHING;

-- name: chats_elsewhere
-- The chats of other people's sessions in which a participant has, or had, a place.
SELECT c.id, c.last_seq, c.message_count
FROM members m
JOIN sessions s ON s.tenant_id = m.tenant_id AND s.key = m.session_key AND s.owner_id <> m.participant_id
JOIN chats c ON c.tenant_id = s.tenant_id AND c.session_key = s.key AND c.id IS NOT NULL
WHERE m.tenant_id = :tenant_id AND m.participant_id = :participant_id ORDER BY c.num;

-- name: chats_of_tenant
-- All chats of a tenant that are there.
SELECT id, last_seq, message_count FROM chats WHERE tenant_id = :tenant_id AND id IS NOT NULL ORDER BY num;

-- name: count_words_elsewhere
-- How many messages a participant has in those chats.
SELECT count(*)
FROM members m
JOIN sessions s ON s.tenant_id = m.tenant_id AND s.key = m.session_key AND s.owner_id <> m.participant_id
JOIN chats c ON c.tenant_id = s.tenant_id AND c.session_key = s.key AND c.id IS NOT NULL
CROSS JOIN messages w NOT INDEXED
WHERE m.tenant_id = :tenant_id AND m.participant_id = :participant_id
    AND w.place BETWEEN c.num << 23 AND (c.num << 23) + 8388607
    AND w.tenant_id = c.tenant_id AND w.author_id = m.participant_id;
