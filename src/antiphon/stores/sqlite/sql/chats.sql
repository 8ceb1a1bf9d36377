-- name: insert_chat
-- A new chat.
INSERT INTO chats (tenant_id, key, id, is_uuid, session_key, owner_id, title, model, metadata, created_at, updated_at)
VALUES (:tenant_id, :key, :id, :is_uuid, :session_key, :owner_id, :title, :model, :metadata, :now, :now);

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
SELECT * FROM chat_rows WHERE tenant_id = :tenant_id AND session_key = :session_key ORDER BY num LIMIT :limit;

-- name: list_chats_of_owner
-- The chats with a UUID as id that somebody owns, in order of making.
SELECT * FROM chat_rows WHERE tenant_id = :tenant_id AND owner_id = :owner_id AND is_uuid = 1
ORDER BY num LIMIT :limit OFFSET :offset;

-- name: list_chats_of_owner_reversed
-- The chats with a UUID as id that somebody owns, the newest first.
SELECT * FROM chat_rows WHERE tenant_id = :tenant_id AND owner_id = :owner_id AND is_uuid = 1
ORDER BY num DESC LIMIT :limit OFFSET :offset;

-- name: list_reads
-- When somebody last read the chats of a session.
SELECT r.chat_key, r.read_at FROM reads r
JOIN chats c ON c.tenant_id = r.tenant_id AND c.key = r.chat_key AND c.id IS NOT NULL
WHERE r.tenant_id = :tenant_id AND c.session_key = :session_key AND r.participant_id = :participant_id;

-- name: upsert_read
-- Moves a read mark.
INSERT INTO reads (tenant_id, chat_key, participant_id, read_at) VALUES (:tenant_id, :chat_key, :participant_id, :now)
ON CONFLICT (tenant_id, chat_key, participant_id) DO UPDATE SET read_at = excluded.read_at;

-- name: is_chat_attached
-- Whether the chat still has an id.
SELECT 1 FROM chats WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL;

-- name: change_chat
-- What was given, the rest as it was; the chat has changed in any case. Nothing when it is not as it was seen.
UPDATE chats SET title = coalesce(:title, title), model = coalesce(:model, model), updated_at = :now
WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL
    AND (:seen_at IS NULL OR updated_at = :seen_at)
RETURNING session_key;

-- name: list_said_of_owner
-- The chats in which something was said of an owner's multi sessions that are not put away, the last changed first,
-- after their artist: those of one artist, or (NULL) all.
SELECT s.artist_id, c.*
FROM chat_rows c JOIN sessions s ON s.tenant_id = c.tenant_id AND s.key = c.session_key
WHERE c.tenant_id = :tenant_id AND c.owner_id = :owner_id AND c.session_shape = 'multi' AND c.message_count > 0
    AND s.status <> 'archived' AND (:artist_id IS NULL OR lower(s.artist_id) = :artist_id)
ORDER BY c.updated_at DESC, c.key DESC LIMIT :limit;

-- name: list_said
-- The same of everybody.
SELECT s.artist_id, c.*
FROM chat_rows c JOIN sessions s ON s.tenant_id = c.tenant_id AND s.key = c.session_key
WHERE c.tenant_id = :tenant_id AND c.session_shape = 'multi' AND c.message_count > 0
    AND s.status <> 'archived' AND (:artist_id IS NULL OR lower(s.artist_id) = :artist_id)
ORDER BY c.updated_at DESC, c.key DESC LIMIT :limit;
