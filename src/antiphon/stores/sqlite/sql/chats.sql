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
