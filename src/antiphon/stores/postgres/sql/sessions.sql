-- name: create_single
-- A new session with its chat, mostly a single one, owned by the participant of that name: everything in one act.
-- Nothing comes back when there is no such participant (one that is being detached is waited for), or nobody has named
-- it and this is to do so; `is_made` is false once the tenant is detached.
WITH owner AS MATERIALIZED (
    SELECT id FROM participants
    WHERE tenant_id = :tenant_id AND kind = 'peer' AND name = :owner_name
        AND (CAST(:is_owner_implied AS boolean) OR NOT is_implied) FOR KEY SHARE),
counted AS (
    UPDATE tenants
    SET single_count = single_count + CASE WHEN CAST(:shape AS text) = 'single' THEN 1 ELSE 0 END,
        multi_count = multi_count + CASE WHEN CAST(:shape AS text) = 'multi' THEN 1 ELSE 0 END
    WHERE tenant_id = :tenant_id AND name IS NOT NULL AND EXISTS (SELECT 1 FROM owner)
    RETURNING tenant_id),
session AS (
    INSERT INTO sessions (tenant_id, key, id, shape, owner_id, title, status, metadata, configuration, chat_count,
        created_at, updated_at)
    SELECT :tenant_id, :session_key, :session_id, CAST(:shape AS text), owner.id, :title, :status, :metadata,
        :configuration, 1, :now, :now
    FROM counted, owner
    RETURNING key),
chat AS (
    INSERT INTO chats (tenant_id, key, id, is_uuid, session_key, owner_id, title, metadata, created_at, updated_at)
    SELECT :tenant_id, :chat_key, :chat_id, :is_uuid, session.key, owner.id, :chat_title, :chat_metadata, :now, :now
    FROM session, owner
    RETURNING key),
owned AS (
    UPDATE participants p SET chat_count = p.chat_count + 1
    FROM chat, owner WHERE p.tenant_id = :tenant_id AND p.id = owner.id AND CAST(:is_uuid AS boolean))
SELECT owner.id, EXISTS (SELECT 1 FROM counted) AS is_made FROM owner;

-- name: create_multi
-- A new multi session with its first chat, owned by the participant of that id; the rest as above.
WITH owner AS MATERIALIZED (
    SELECT id, name FROM participants
    WHERE tenant_id = :tenant_id AND id = :owner_id AND kind <> 'gone' FOR KEY SHARE),
counted AS (
    UPDATE tenants SET multi_count = multi_count + 1
    WHERE tenant_id = :tenant_id AND name IS NOT NULL AND EXISTS (SELECT 1 FROM owner)
    RETURNING tenant_id),
session AS (
    INSERT INTO sessions (tenant_id, key, id, shape, owner_id, title, status, artist_id, metadata, configuration,
        chat_count, created_at, updated_at)
    SELECT :tenant_id, :session_key, :session_id, 'multi', owner.id, :title, :status, :artist_id, :metadata, '{}', 1,
        :now, :now
    FROM counted, owner
    RETURNING key),
chat AS (
    INSERT INTO chats (tenant_id, key, id, is_uuid, session_key, owner_id, title, model, metadata, created_at,
        updated_at)
    SELECT :tenant_id, :chat_key, :chat_id, true, session.key, owner.id, :chat_title, :model, '{}', :now, :now
    FROM session, owner
    RETURNING key),
owned AS (
    UPDATE participants p SET chat_count = p.chat_count + 1
    FROM chat, owner WHERE p.tenant_id = :tenant_id AND p.id = owner.id)
SELECT owner.name, EXISTS (SELECT 1 FROM counted) AS is_made FROM owner;

-- name: find_session
-- The session of that id.
SELECT key, id, shape, owner_id, title, status, artist_id, metadata, configuration, created_at, updated_at, lines_added,
    lines_removed
FROM sessions WHERE tenant_id = :tenant_id AND id = :id;

-- name: lock_session
-- The same, held until the end of the transaction: what is merged into it is not lost.
SELECT key, id, shape, owner_id, title, status, artist_id, metadata, configuration, created_at, updated_at, lines_added,
    lines_removed
FROM sessions WHERE tenant_id = :tenant_id AND id = :id FOR NO KEY UPDATE;

-- name: list_sessions
-- The sessions of a shape in order of making, after how many there are.
SELECT CASE WHEN :shape = 'single' THEN t.single_count ELSE t.multi_count END, s.*
FROM tenants t
LEFT JOIN LATERAL (
    SELECT key, id, shape, owner_id, title, status, artist_id, metadata, configuration, created_at, updated_at,
        lines_added, lines_removed
    FROM sessions WHERE tenant_id = :tenant_id AND shape = :shape AND id IS NOT NULL
    ORDER BY key LIMIT :limit OFFSET :offset) s ON true
WHERE t.tenant_id = :tenant_id AND t.name IS NOT NULL ORDER BY s.key;

-- name: list_sessions_reversed
-- The sessions of a shape, the newest first, after how many there are.
SELECT CASE WHEN :shape = 'single' THEN t.single_count ELSE t.multi_count END, s.*
FROM tenants t
LEFT JOIN LATERAL (
    SELECT key, id, shape, owner_id, title, status, artist_id, metadata, configuration, created_at, updated_at,
        lines_added, lines_removed
    FROM sessions WHERE tenant_id = :tenant_id AND shape = :shape AND id IS NOT NULL
    ORDER BY key DESC LIMIT :limit OFFSET :offset) s ON true
WHERE t.tenant_id = :tenant_id AND t.name IS NOT NULL ORDER BY s.key DESC;

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

-- name: session_room
-- The shape of a session and how many chats it has, to say why it takes no more.
SELECT shape, chat_count FROM sessions WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL;

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

-- name: join_members
-- New places in a session; who had left comes back with the settings of this time, who is a member keeps the old ones.
INSERT INTO members (tenant_id, session_key, participant_id, join_key, observe_me, observe_others, joined_at)
SELECT :tenant_id, :session_key, j.participant_id, j.join_key, j.observe_me, j.observe_others, :now
FROM unnest(CAST(:participant_ids AS uuid[]), CAST(:join_keys AS uuid[]), CAST(:observe_me AS boolean[]),
    CAST(:observe_others AS boolean[])) AS j (participant_id, join_key, observe_me, observe_others)
ON CONFLICT (tenant_id, session_key, participant_id) DO UPDATE
SET left_at = NULL, joined_at = excluded.joined_at, join_key = excluded.join_key, observe_me = excluded.observe_me,
    observe_others = excluded.observe_others
WHERE members.left_at IS NOT NULL;

-- name: count_observers
-- How many members of a session observe others.
SELECT count(*) FROM members
WHERE tenant_id = :tenant_id AND session_key = :session_key AND left_at IS NULL AND observe_others;

-- name: list_members
-- Who is a member now, the longest first, after how many there are.
SELECT n.total, m.id, m.kind, m.name, m.metadata, m.configuration, m.created_at
FROM (
    SELECT count(*) AS total
    FROM members m
    JOIN sessions s ON s.tenant_id = m.tenant_id AND s.key = m.session_key AND s.id IS NOT NULL
    JOIN participants p ON p.tenant_id = m.tenant_id AND p.id = m.participant_id
    WHERE m.tenant_id = :tenant_id AND m.session_key = :session_key AND m.left_at IS NULL AND p.kind = 'peer') n
LEFT JOIN LATERAL (
    SELECT p.id, p.kind, p.name, p.metadata, p.configuration, p.created_at, m.join_key
    FROM members m
    JOIN sessions s ON s.tenant_id = m.tenant_id AND s.key = m.session_key AND s.id IS NOT NULL
    JOIN participants p ON p.tenant_id = m.tenant_id AND p.id = m.participant_id
    WHERE m.tenant_id = :tenant_id AND m.session_key = :session_key AND m.left_at IS NULL AND p.kind = 'peer'
    ORDER BY m.join_key LIMIT :limit OFFSET :offset) m ON true
ORDER BY m.join_key;

-- name: list_members_reversed
-- Who is a member now, the newest first, after how many there are.
SELECT n.total, m.id, m.kind, m.name, m.metadata, m.configuration, m.created_at
FROM (
    SELECT count(*) AS total
    FROM members m
    JOIN sessions s ON s.tenant_id = m.tenant_id AND s.key = m.session_key AND s.id IS NOT NULL
    JOIN participants p ON p.tenant_id = m.tenant_id AND p.id = m.participant_id
    WHERE m.tenant_id = :tenant_id AND m.session_key = :session_key AND m.left_at IS NULL AND p.kind = 'peer') n
LEFT JOIN LATERAL (
    SELECT p.id, p.kind, p.name, p.metadata, p.configuration, p.created_at, m.join_key
    FROM members m
    JOIN sessions s ON s.tenant_id = m.tenant_id AND s.key = m.session_key AND s.id IS NOT NULL
    JOIN participants p ON p.tenant_id = m.tenant_id AND p.id = m.participant_id
    WHERE m.tenant_id = :tenant_id AND m.session_key = :session_key AND m.left_at IS NULL AND p.kind = 'peer'
    ORDER BY m.join_key DESC LIMIT :limit OFFSET :offset) m ON true
ORDER BY m.join_key DESC;

-- name: change_session
-- What was given, the rest as it was.
UPDATE sessions
SET title = coalesce(CAST(:title AS text), title), status = coalesce(CAST(:status AS text), status),
    lines_added = coalesce(CAST(:lines_added AS bigint), lines_added),
    lines_removed = coalesce(CAST(:lines_removed AS bigint), lines_removed),
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
        ORDER BY c.updated_at DESC, c.key DESC LIMIT 1),
    EXISTS (SELECT 1 FROM chats c
        LEFT JOIN reads r ON r.tenant_id = c.tenant_id AND r.chat_key = c.key AND r.participant_id = :owner_id
        WHERE c.tenant_id = s.tenant_id AND c.session_key = s.key AND c.id IS NOT NULL
            AND c.last_answer_at IS NOT NULL AND (r.read_at IS NULL OR date_trunc('milliseconds', c.last_answer_at) > date_trunc('milliseconds', r.read_at))),
    EXISTS (SELECT 1 FROM chats c
        WHERE c.tenant_id = s.tenant_id AND c.session_key = s.key AND c.id IS NOT NULL AND c.active_turn IS NOT NULL)
FROM sessions s
WHERE s.tenant_id = :tenant_id AND s.owner_id = :owner_id AND s.shape = 'multi' AND s.id IS NOT NULL
    AND (CAST(:is_archived AS boolean) IS NULL OR (s.status = 'archived') = :is_archived)
ORDER BY s.key DESC LIMIT :limit OFFSET :offset;

-- name: rename_session
-- Another title; nothing when the session is not as it was seen.
UPDATE sessions SET title = :title, updated_at = :now
WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL
    AND (CAST(:seen_at AS timestamptz) IS NULL OR updated_at = :seen_at)
RETURNING key, id, shape, owner_id, title, status, artist_id, metadata, configuration, created_at, updated_at,
    lines_added, lines_removed;

-- name: is_session_attached
-- Whether the session still has an id.
SELECT 1 FROM sessions WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL;
