-- name: insert_session
-- A new session; its first chat follows in the same transaction.
INSERT INTO sessions (tenant_id, key, id, shape, owner_id, title, status, artist_id, metadata, configuration, chat_count,
    created_at, updated_at)
VALUES (:tenant_id, :key, :id, :shape, :owner_id, :title, :status, :artist_id, :metadata, :configuration, 1, :now, :now);

-- name: find_session
-- The session of that id.
SELECT key, id, shape, owner_id, title, status, artist_id, metadata, configuration, created_at, updated_at, lines_added,
    lines_removed
FROM sessions WHERE tenant_id = :tenant_id AND id = :id;

-- name: list_sessions
-- The sessions of a shape in order of making.
SELECT key, id, shape, owner_id, title, status, artist_id, metadata, configuration, created_at, updated_at, lines_added,
    lines_removed
FROM sessions WHERE tenant_id = :tenant_id AND shape = :shape AND id IS NOT NULL
ORDER BY num LIMIT :limit OFFSET :offset;

-- name: list_sessions_reversed
-- The sessions of a shape, the newest first.
SELECT key, id, shape, owner_id, title, status, artist_id, metadata, configuration, created_at, updated_at, lines_added,
    lines_removed
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
-- Whether somebody who is there is a member now of a session that is there.
SELECT 1 FROM members m JOIN sessions s ON s.tenant_id = m.tenant_id AND s.key = m.session_key AND s.id IS NOT NULL
JOIN participants p ON p.tenant_id = m.tenant_id AND p.id = m.participant_id AND p.kind <> 'gone'
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

-- name: change_session
-- What was given, the rest as it was.
UPDATE sessions
SET title = coalesce(:title, title), status = coalesce(:status, status),
    lines_added = coalesce(:lines_added, lines_added), lines_removed = coalesce(:lines_removed, lines_removed),
    updated_at = :now
WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL;

-- name: set_artist
-- The artist of a session.
UPDATE sessions SET artist_id = :artist_id WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL;

-- name: count_archived
-- How many sessions of an owner are put away.
SELECT count(*) FROM sessions
WHERE tenant_id = :tenant_id AND owner_id = :owner_id AND shape = 'multi' AND status = 'archived' AND id IS NOT NULL;

-- name: list_overviews
-- Somebody's multi sessions, archived or not or (NULL) both, the newest first, with what there is to know of their chats.
SELECT s.key, s.id, s.shape, s.owner_id, s.title, s.status, s.artist_id, s.metadata, s.configuration, s.created_at,
    s.updated_at, s.lines_added, s.lines_removed,
    (SELECT max(c.updated_at) FROM chats c
        WHERE c.tenant_id = s.tenant_id AND c.session_key = s.key AND c.id IS NOT NULL),
    (SELECT c.id FROM chats c
        WHERE c.tenant_id = s.tenant_id AND c.session_key = s.key AND c.id IS NOT NULL
        ORDER BY c.updated_at DESC, c.num DESC LIMIT 1),
    EXISTS (SELECT 1 FROM chats c
        LEFT JOIN reads r ON r.tenant_id = c.tenant_id AND r.chat_key = c.key AND r.participant_id = :owner_id
        WHERE c.tenant_id = s.tenant_id AND c.session_key = s.key AND c.id IS NOT NULL
            AND c.last_answer_at IS NOT NULL AND (r.read_at IS NULL OR c.last_answer_at / 1000 > r.read_at / 1000)),
    EXISTS (SELECT 1 FROM chats c
        WHERE c.tenant_id = s.tenant_id AND c.session_key = s.key AND c.id IS NOT NULL AND c.active_turn IS NOT NULL)
FROM sessions s
WHERE s.tenant_id = :tenant_id AND s.owner_id = :owner_id AND s.shape = 'multi' AND s.id IS NOT NULL
    AND (:is_archived IS NULL OR (s.status = 'archived') = :is_archived)
ORDER BY s.num DESC LIMIT :limit OFFSET :offset;

-- name: rename_session
-- Another title; nothing when the session is not as it was seen.
UPDATE sessions SET title = :title, updated_at = :now
WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL
    AND (:seen_at IS NULL OR updated_at = :seen_at)
RETURNING key, id, shape, owner_id, title, status, artist_id, metadata, configuration, created_at, updated_at,
    lines_added, lines_removed;

-- name: is_session_attached
-- Whether the session still has an id.
SELECT 1 FROM sessions WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL;
