-- name: chat_to_detach
-- A chat with what the guards of its deletion look at.
SELECT c.key, c.id, c.message_count, c.last_seq, c.owner_id, c.is_uuid, c.session_key, s.id, s.shape, s.chat_count
FROM chats c JOIN sessions s ON s.tenant_id = c.tenant_id AND s.key = c.session_key
WHERE c.tenant_id = :tenant_id AND s.tenant_id = :tenant_id AND c.key = :key AND c.id IS NOT NULL;

-- name: hold_chat_to_detach
-- The same and the tenant's secret; the session is held and then the chat: nothing is appended or connected to it any
-- more, and what is decided by reading stays true. The rows are locked in the order of the clauses.
SELECT c.key, c.id, c.message_count, c.last_seq, c.owner_id, c.is_uuid, c.session_key, s.id, s.shape, s.chat_count,
    (SELECT digest_secret FROM tenants WHERE tenant_id = :tenant_id)
FROM chats c JOIN sessions s ON s.tenant_id = c.tenant_id AND s.key = c.session_key
WHERE c.tenant_id = :tenant_id AND s.tenant_id = :tenant_id AND c.key = :key AND c.id IS NOT NULL
FOR NO KEY UPDATE OF s FOR UPDATE OF c;

-- name: session_to_detach
-- A session that is there.
SELECT key, id, shape FROM sessions WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL;

-- name: hold_session_to_detach
-- The same and the tenant's secret; held: no chat is added to it any more.
SELECT key, id, shape, (SELECT digest_secret FROM tenants WHERE tenant_id = :tenant_id) FROM sessions
WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL FOR NO KEY UPDATE;

-- name: sessions_to_detach
-- Some sessions that somebody owns.
SELECT key, id, shape, chat_count FROM sessions
WHERE tenant_id = :tenant_id AND owner_id = :owner_id AND id IS NOT NULL ORDER BY key LIMIT :limit;

-- name: hold_sessions_to_detach
-- The same, held, always in one order.
SELECT key, id, shape, chat_count FROM sessions
WHERE tenant_id = :tenant_id AND owner_id = :owner_id AND id IS NOT NULL ORDER BY key LIMIT :limit FOR NO KEY UPDATE;

-- name: chats_to_detach
-- The chats that go with some sessions.
SELECT key, id, message_count, last_seq, owner_id, is_uuid FROM chats
WHERE tenant_id = :tenant_id AND session_key = ANY (:session_keys) AND id IS NOT NULL ORDER BY key;

-- name: hold_chats_to_detach
-- The same, held, always in one order.
SELECT key, id, message_count, last_seq, owner_id, is_uuid FROM chats
WHERE tenant_id = :tenant_id AND session_key = ANY (:session_keys) AND id IS NOT NULL ORDER BY key FOR UPDATE;

-- name: blockers_of_chats
-- What is live on some chats: sockets, and running turns, of processes that live.
SELECT 'connection' AS kind, id, expires_at FROM connections
WHERE tenant_id = :tenant_id AND chat_key = ANY (:keys) AND expires_at > now()
UNION ALL
SELECT 'turn', id, expires_at FROM turns
WHERE tenant_id = :tenant_id AND state = 'running' AND expires_at > now() AND id = ANY (ARRAY (
    SELECT active_turn FROM chats WHERE tenant_id = :tenant_id AND key = ANY (:keys) AND active_turn IS NOT NULL));

-- name: blockers_elsewhere
-- What is live of a participant on other chats: its sockets, and the turns in which it speaks as the agent.
SELECT 'connection' AS kind, id, expires_at FROM connections
WHERE tenant_id = :tenant_id AND participant_id = :participant_id AND chat_key <> ALL (:keys) AND expires_at > now()
UNION ALL
SELECT 'turn', t.id, t.expires_at
FROM turns t JOIN chats c ON c.tenant_id = t.tenant_id AND c.key = t.chat_key AND c.id IS NOT NULL
WHERE t.tenant_id = :tenant_id AND t.agent_name = :agent_name AND t.state = 'running' AND t.chat_key <> ALL (:keys)
    AND t.expires_at > now();

-- name: blockers_of_tenant
-- What is live in a whole tenant.
SELECT 'connection' AS kind, id, expires_at FROM connections WHERE tenant_id = :tenant_id AND expires_at > now()
UNION ALL
SELECT 'turn', t.id, t.expires_at
FROM turns t JOIN chats c ON c.tenant_id = t.tenant_id AND c.key = t.chat_key AND c.id IS NOT NULL
WHERE t.tenant_id = :tenant_id AND t.state = 'running' AND t.expires_at > now();

-- name: detach_chats
-- Sets the ids of chats that are held free: from here on nothing finds them, neither to read nor to write. Their
-- sockets are forgotten, and so are the imports that say by which ids they were known. Within an undo window the ids
-- are kept where only the undo looks, here and below.
WITH dropped AS (
    DELETE FROM connections WHERE tenant_id = :tenant_id AND chat_key = ANY (:keys)),
forgotten AS (
    DELETE FROM imports WHERE tenant_id = :tenant_id AND state = 'done' AND target_key = ANY (:keys))
UPDATE chats
SET undo_of = CAST(:undo_of AS uuid), undo_id = CASE WHEN CAST(:undo_of AS uuid) IS NOT NULL THEN id END, id = NULL,
    active_turn = NULL
WHERE tenant_id = :tenant_id AND key = ANY (:keys) AND id IS NOT NULL;

-- name: detach_chats_of_tenant
-- Sets the ids of some chats of a detached tenant free, for a writer whose key is still believed for a moment.
UPDATE chats
SET undo_of = CAST(:undo_of AS uuid), undo_id = CASE WHEN CAST(:undo_of AS uuid) IS NOT NULL THEN id END, id = NULL,
    active_turn = NULL
WHERE tenant_id = :tenant_id AND key = ANY (ARRAY (
    SELECT key FROM chats WHERE tenant_id = :tenant_id AND id IS NOT NULL ORDER BY key LIMIT :limit FOR UPDATE))
RETURNING key;

-- name: detach_sessions_of_tenant
-- Sets the ids of some sessions of a detached tenant free, likewise: no chat is added to them any more.
UPDATE sessions
SET undo_of = CAST(:undo_of AS uuid), undo_id = CASE WHEN CAST(:undo_of AS uuid) IS NOT NULL THEN id END, id = NULL
WHERE tenant_id = :tenant_id AND key = ANY (ARRAY (
    SELECT key FROM sessions
    WHERE tenant_id = :tenant_id AND id IS NOT NULL ORDER BY key LIMIT :limit FOR NO KEY UPDATE))
RETURNING key;

-- name: drop_connections_of_tenant
-- Forgets the sockets of a tenant that is being detached.
DELETE FROM connections WHERE tenant_id = :tenant_id;

-- name: chats_of_agent
-- The chats, held in one order, in which a participant that is being detached speaks as the agent now.
SELECT key FROM chats WHERE tenant_id = :tenant_id AND key = ANY (ARRAY (
    SELECT chat_key FROM turns WHERE tenant_id = :tenant_id AND agent_name = :agent_name AND state = 'running'))
ORDER BY key FOR UPDATE;

-- name: end_turns_of_agent
-- Ends the turns in some chats in which a participant that is being detached speaks, and frees the slots: no word of
-- them can be added any more.
WITH ended AS (
    UPDATE turns SET state = 'interrupted', ended_at = :now
    WHERE tenant_id = :tenant_id AND chat_key = ANY (:keys) AND agent_name = :agent_name AND state = 'running'
    RETURNING id, chat_key)
UPDATE chats c SET active_turn = NULL FROM ended
WHERE c.tenant_id = :tenant_id AND c.key = ANY (:keys) AND c.key = ended.chat_key AND c.active_turn = ended.id;

-- name: detach_sessions
-- Sets the ids of sessions free, and forgets the imports that say so, too.
WITH forgotten AS (
    DELETE FROM imports WHERE tenant_id = :tenant_id AND state = 'done' AND target_key = ANY (:keys))
UPDATE sessions
SET undo_of = CAST(:undo_of AS uuid), undo_id = CASE WHEN CAST(:undo_of AS uuid) IS NOT NULL THEN id END, id = NULL
WHERE tenant_id = :tenant_id AND key = ANY (:keys) AND id IS NOT NULL;

-- name: participant_to_detach
-- A participant that is there.
SELECT name, kind FROM participants WHERE tenant_id = :tenant_id AND id = :id AND kind <> 'gone'
    AND EXISTS (SELECT 1 FROM tenants WHERE tenant_id = :tenant_id AND name IS NOT NULL);

-- name: hold_participant_to_detach
-- The same, held: nothing is made for it any more.
SELECT name, kind FROM participants WHERE tenant_id = :tenant_id AND id = :id AND kind <> 'gone'
    AND EXISTS (SELECT 1 FROM tenants WHERE tenant_id = :tenant_id AND name IS NOT NULL)
FOR UPDATE;

-- name: detach_participant
-- Sets the participant's name free; what stands in its place names nobody.
UPDATE participants
SET undo_of = CAST(:undo_of AS uuid), undo_id = CASE WHEN CAST(:undo_of AS uuid) IS NOT NULL THEN name END,
    undo_kind = CASE WHEN CAST(:undo_of AS uuid) IS NOT NULL THEN kind END,
    undo_metadata = CASE WHEN CAST(:undo_of AS uuid) IS NOT NULL THEN metadata END,
    undo_configuration = CASE WHEN CAST(:undo_of AS uuid) IS NOT NULL THEN configuration END,
    kind = 'gone', name = CAST(id AS text), metadata = '{}', configuration = '{}'
WHERE tenant_id = :tenant_id AND id = :id RETURNING is_implied;

-- name: revoke_keys_of_participant
-- Ends all keys of a participant.
UPDATE keys SET revoked_at = :now, undo_of = :undo_of
WHERE tenant_id = :tenant_id AND participant_id = :participant_id AND revoked_at IS NULL;

-- name: drop_connections_of_participant
-- Forgets the sockets of a participant that is being detached.
DELETE FROM connections WHERE tenant_id = :tenant_id AND participant_id = :participant_id;

-- name: tenant_to_detach
-- The name of a tenant that is there, how many sessions it has, how many things that are counted, and its secret.
SELECT name, single_count + multi_count, peer_count + scope_count + single_count + multi_count, digest_secret
FROM tenants WHERE tenant_id = :tenant_id AND name IS NOT NULL;

-- name: digest_secret
-- What digests of ids are keyed by.
SELECT digest_secret FROM tenants WHERE tenant_id = :tenant_id;

-- name: make_digest_secret
-- The same, made for a tenant that is older than such secrets.
UPDATE tenants SET digest_secret = coalesce(digest_secret, :secret) WHERE tenant_id = :tenant_id
RETURNING digest_secret;

-- name: insert_tombstones
-- That things were deleted, known by digests only.
INSERT INTO tombstones (tenant_id, kind, key, digest, deletion_id, deleted_at)
SELECT :tenant_id, dead.kind, dead.key, dead.digest, :deletion_id, :now
FROM unnest(CAST(:kinds AS text[]), CAST(:keys AS uuid[]), CAST(:digests AS text[])) AS dead (kind, key, digest)
ON CONFLICT (tenant_id, kind, key) DO NOTHING;

-- name: chats_elsewhere
-- The chats of other people's sessions in which a participant has, or had, a place.
SELECT c.id, c.last_seq, c.message_count
FROM members m
JOIN sessions s ON s.tenant_id = m.tenant_id AND s.key = m.session_key AND s.owner_id <> m.participant_id
JOIN chats c ON c.tenant_id = m.tenant_id AND c.session_key = s.key AND c.id IS NOT NULL
WHERE m.tenant_id = :tenant_id AND m.participant_id = :participant_id ORDER BY c.key;

-- name: chats_of_tenant
-- All chats of a tenant that are there.
SELECT id, last_seq, message_count FROM chats WHERE tenant_id = :tenant_id AND id IS NOT NULL ORDER BY key;

-- name: count_words_elsewhere
-- How many messages a participant has in those chats.
SELECT count(*)
FROM members m
JOIN sessions s ON s.tenant_id = m.tenant_id AND s.key = m.session_key AND s.owner_id <> m.participant_id
JOIN chats c ON c.tenant_id = m.tenant_id AND c.session_key = s.key AND c.id IS NOT NULL
JOIN messages w ON w.tenant_id = m.tenant_id AND w.chat_key = c.key AND w.author_id = m.participant_id
WHERE m.tenant_id = :tenant_id AND m.participant_id = :participant_id;
