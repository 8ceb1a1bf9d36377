-- name: insert_session
-- A new session; its first chat follows in the same transaction.
INSERT INTO sessions (tenant_id, key, id, shape, owner_id, title, status, artist_id, metadata, configuration, chat_count,
    created_at, updated_at)
VALUES (:tenant_id, :key, :id, :shape, :owner_id, :title, :status, :artist_id, :metadata, :configuration, 1, :now, :now);

-- name: find_session
-- The session of that id.
SELECT key, id, shape, owner_id, title, status, artist_id, metadata, configuration, created_at, updated_at
FROM sessions WHERE tenant_id = :tenant_id AND id = :id;

-- name: list_sessions
-- The sessions of a shape in order of making.
SELECT key, id, shape, owner_id, title, status, artist_id, metadata, configuration, created_at, updated_at
FROM sessions WHERE tenant_id = :tenant_id AND shape = :shape AND id IS NOT NULL
ORDER BY num LIMIT :limit OFFSET :offset;

-- name: list_sessions_reversed
-- The sessions of a shape, the newest first.
SELECT key, id, shape, owner_id, title, status, artist_id, metadata, configuration, created_at, updated_at
FROM sessions WHERE tenant_id = :tenant_id AND shape = :shape AND id IS NOT NULL
ORDER BY num DESC LIMIT :limit OFFSET :offset;

-- name: session_titles
-- The titles of an owner's multi sessions, so that a new one can have another.
SELECT title FROM sessions WHERE tenant_id = :tenant_id AND owner_id = :owner_id AND shape = 'multi' AND id IS NOT NULL;

-- name: update_session
-- Metadata and configuration as given.
UPDATE sessions SET metadata = :metadata, configuration = :configuration, updated_at = :now
WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL;

-- name: count_session_chats
-- Moves the number of chats; finds nothing once the session is detached.
UPDATE sessions SET chat_count = chat_count + :by
WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL RETURNING chat_count, shape;

-- name: find_member
-- Whether somebody has a place in a session, and has left it.
SELECT left_at IS NOT NULL FROM members
WHERE tenant_id = :tenant_id AND session_key = :session_key AND participant_id = :participant_id;

-- name: is_member
-- Whether somebody is a member now of a session that is there.
SELECT 1 FROM members m JOIN sessions s ON s.tenant_id = m.tenant_id AND s.key = m.session_key AND s.id IS NOT NULL
WHERE m.tenant_id = :tenant_id AND m.session_key = :session_key AND m.participant_id = :participant_id
    AND m.left_at IS NULL;

-- name: insert_member
-- A new place in a session.
INSERT INTO members (tenant_id, session_key, participant_id, observe_me, observe_others, joined_at)
VALUES (:tenant_id, :session_key, :participant_id, :observe_me, :observe_others, :now);

-- name: rejoin_member
-- Somebody who had left comes back, with the settings of this time.
UPDATE members SET left_at = NULL, joined_at = :now, observe_me = :observe_me, observe_others = :observe_others
WHERE tenant_id = :tenant_id AND session_key = :session_key AND participant_id = :participant_id;

-- name: count_observers
-- How many members of a session observe others.
SELECT count(*) FROM members
WHERE tenant_id = :tenant_id AND session_key = :session_key AND left_at IS NULL AND observe_others = 1;

-- name: list_members
-- Who is a member now, the longest first.
SELECT p.id, p.kind, p.name, p.metadata, p.configuration, p.created_at
FROM members m
JOIN sessions s ON s.tenant_id = m.tenant_id AND s.key = m.session_key AND s.id IS NOT NULL
JOIN participants p ON p.tenant_id = m.tenant_id AND p.id = m.participant_id
WHERE m.tenant_id = :tenant_id AND m.session_key = :session_key AND m.left_at IS NULL AND p.kind = 'peer'
ORDER BY m.joined_at, m.num LIMIT :limit OFFSET :offset;

-- name: list_members_reversed
-- Who is a member now, the newest first.
SELECT p.id, p.kind, p.name, p.metadata, p.configuration, p.created_at
FROM members m
JOIN sessions s ON s.tenant_id = m.tenant_id AND s.key = m.session_key AND s.id IS NOT NULL
JOIN participants p ON p.tenant_id = m.tenant_id AND p.id = m.participant_id
WHERE m.tenant_id = :tenant_id AND m.session_key = :session_key AND m.left_at IS NULL AND p.kind = 'peer'
ORDER BY m.joined_at DESC, m.num DESC LIMIT :limit OFFSET :offset;

-- name: count_members
-- How many are members now.
SELECT count(*) FROM members m
JOIN sessions s ON s.tenant_id = m.tenant_id AND s.key = m.session_key AND s.id IS NOT NULL
JOIN participants p ON p.tenant_id = m.tenant_id AND p.id = m.participant_id
WHERE m.tenant_id = :tenant_id AND m.session_key = :session_key AND m.left_at IS NULL AND p.kind = 'peer';
