-- name: create_chat
-- The chat of that id, or a new one in a multi session that has room: counted, stored and given back in one act.
-- Two who make the same one at once meet at the unique index, and the later of them asks again.
WITH there AS (
    SELECT * FROM chat_rows WHERE tenant_id = :tenant_id AND id = :id),
owner AS MATERIALIZED (
    SELECT id, name FROM participants
    WHERE tenant_id = :tenant_id AND id = :owner_id AND kind <> 'gone' FOR KEY SHARE),
counted AS (
    UPDATE sessions SET chat_count = chat_count + 1
    WHERE tenant_id = :tenant_id AND key = :session_key AND id IS NOT NULL AND shape = 'multi'
        AND chat_count < :chats_max AND NOT EXISTS (SELECT 1 FROM there) AND EXISTS (SELECT 1 FROM owner)
    RETURNING id, shape),
made AS (
    INSERT INTO chats (tenant_id, key, id, is_uuid, session_key, owner_id, title, model, metadata, created_at,
        updated_at)
    SELECT :tenant_id, :key, :id, :is_uuid, :session_key, :owner_id, :title, :model, '{}', :now, :now FROM counted
    RETURNING *),
owned AS (
    UPDATE participants p SET chat_count = p.chat_count + 1
    FROM made WHERE p.tenant_id = :tenant_id AND p.id = made.owner_id AND made.is_uuid)
SELECT false AS is_new, there.* FROM there
UNION ALL
SELECT true, made.tenant_id, made.is_uuid, made.session_key,
    made.key, made.id, counted.id, counted.shape, made.owner_id, owner.name, made.title, made.model,
    made.metadata, made.message_count, made.last_seq, made.created_at, made.updated_at, made.last_message_at,
    made.last_answer_at, made.active_turn
FROM made, counted, owner;

-- name: find_chat
-- The chat of that id.
SELECT * FROM chat_rows WHERE tenant_id = :tenant_id AND id = :id;

-- name: find_chat_by_key
-- The chat of that generation, while it has an id.
SELECT * FROM chat_rows WHERE tenant_id = :tenant_id AND key = :key;

-- name: find_chat_of_single
-- The only chat of a single session.
SELECT * FROM chat_rows
WHERE tenant_id = :tenant_id AND session_shape = 'single' AND session_key = (
    SELECT key FROM sessions WHERE tenant_id = :tenant_id AND id = :session_id);

-- name: list_chats_of_session
-- The chats of a session in order of making.
SELECT * FROM chat_rows WHERE tenant_id = :tenant_id AND session_key = :session_key ORDER BY key LIMIT :limit;

-- name: list_chats_of_owner
-- The chats with a UUID as id that the participant of a name owns, in order of making, after how many there are.
SELECT o.chat_count, c.*
FROM participants o
LEFT JOIN LATERAL (
    SELECT * FROM chat_rows WHERE tenant_id = :tenant_id AND owner_id = o.id AND is_uuid
    ORDER BY key LIMIT :limit OFFSET :offset) c ON true
WHERE o.tenant_id = :tenant_id AND o.kind = 'peer' AND o.name = :name
    AND EXISTS (SELECT 1 FROM tenants WHERE tenant_id = :tenant_id AND name IS NOT NULL)
ORDER BY c.key;

-- name: list_chats_of_owner_reversed
-- The same, the newest first.
SELECT o.chat_count, c.*
FROM participants o
LEFT JOIN LATERAL (
    SELECT * FROM chat_rows WHERE tenant_id = :tenant_id AND owner_id = o.id AND is_uuid
    ORDER BY key DESC LIMIT :limit OFFSET :offset) c ON true
WHERE o.tenant_id = :tenant_id AND o.kind = 'peer' AND o.name = :name
    AND EXISTS (SELECT 1 FROM tenants WHERE tenant_id = :tenant_id AND name IS NOT NULL)
ORDER BY c.key DESC;

-- name: lock_chat
-- Holds a chat that has an id, until the end of the transaction: its deletion and what is being done exclude each other.
SELECT id, session_key FROM chats WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL FOR UPDATE;

-- name: list_reads
-- When somebody last read the chats of a session.
SELECT r.chat_key, r.read_at FROM reads r
JOIN chats c ON c.tenant_id = r.tenant_id AND c.key = r.chat_key AND c.id IS NOT NULL
WHERE r.tenant_id = :tenant_id AND c.session_key = :session_key AND r.participant_id = :participant_id;

-- name: upsert_read
-- Moves a read mark; does nothing once the chat or the participant is detached.
WITH chat AS MATERIALIZED (
    SELECT key FROM chats WHERE tenant_id = :tenant_id AND key = :chat_key AND id IS NOT NULL FOR SHARE),
reader AS MATERIALIZED (
    SELECT id FROM participants
    WHERE tenant_id = :tenant_id AND id = :participant_id AND kind <> 'gone' FOR KEY SHARE)
INSERT INTO reads (tenant_id, chat_key, participant_id, read_at)
SELECT :tenant_id, chat.key, reader.id, :now FROM chat, reader
ON CONFLICT (tenant_id, chat_key, participant_id) DO UPDATE SET read_at = excluded.read_at
RETURNING chat_key;

-- name: change_chat
-- What was given, the rest as it was; the chat has changed in any case. Nothing when it is not as it was seen.
UPDATE chats
SET title = coalesce(CAST(:title AS text), title), model = coalesce(CAST(:model AS text), model), updated_at = :now
WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL
    AND (CAST(:seen_at AS timestamptz) IS NULL OR updated_at = :seen_at)
RETURNING session_key;

-- name: list_said_of_owner
-- The chats in which something was said of an owner's multi sessions that are not put away, the last changed first,
-- after their artist: those of one artist, or (NULL) all.
SELECT s.artist_id, c.*
FROM chat_rows c JOIN sessions s ON s.tenant_id = c.tenant_id AND s.key = c.session_key
WHERE c.tenant_id = :tenant_id AND c.owner_id = :owner_id AND c.session_shape = 'multi' AND c.message_count > 0
    AND s.status <> 'archived' AND (CAST(:artist_id AS text) IS NULL OR lower(s.artist_id) = :artist_id)
ORDER BY c.updated_at DESC, c.key DESC LIMIT :limit;

-- name: list_said
-- The same of everybody.
SELECT s.artist_id, c.*
FROM chat_rows c JOIN sessions s ON s.tenant_id = c.tenant_id AND s.key = c.session_key
WHERE c.tenant_id = :tenant_id AND c.session_shape = 'multi' AND c.message_count > 0
    AND s.status <> 'archived' AND (CAST(:artist_id AS text) IS NULL OR lower(s.artist_id) = :artist_id)
ORDER BY c.updated_at DESC, c.key DESC LIMIT :limit;
