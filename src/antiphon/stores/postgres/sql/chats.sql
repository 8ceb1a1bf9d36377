-- name: create_chat
-- The chat of that id, or a new one in a multi session that has room: counted, stored and given back in one act.
-- Two who make the same one at once meet at the unique index, and the later of them asks again.
WITH there AS (
    SELECT * FROM chat_rows WHERE tenant_id = :tenant_id AND id = :id),
counted AS (
    UPDATE sessions SET chat_count = chat_count + 1
    WHERE tenant_id = :tenant_id AND key = :session_key AND id IS NOT NULL AND shape = 'multi'
        AND chat_count < :chats_max AND NOT EXISTS (SELECT 1 FROM there)
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
    made.key, made.id, counted.id, counted.shape, made.owner_id, p.name, made.title, made.model,
    made.metadata, made.message_count, made.last_seq, made.created_at, made.updated_at, made.last_message_at,
    made.last_answer_at, made.active_turn
FROM made, counted, participants p WHERE p.tenant_id = :tenant_id AND p.id = :owner_id;

-- name: find_chat
-- The chat of that id.
SELECT * FROM chat_rows WHERE tenant_id = :tenant_id AND id = :id;

-- name: find_chat_by_key
-- The chat of that generation, while it has an id.
SELECT * FROM chat_rows WHERE tenant_id = :tenant_id AND key = :key;

-- name: find_chat_of_single
-- The only chat of a single session.
SELECT * FROM chat_rows WHERE tenant_id = :tenant_id AND session_shape = 'single' AND session_id = :session_id;

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
WHERE o.tenant_id = :tenant_id AND o.kind = 'peer' AND o.name = :name ORDER BY c.key;

-- name: list_chats_of_owner_reversed
-- The same, the newest first.
SELECT o.chat_count, c.*
FROM participants o
LEFT JOIN LATERAL (
    SELECT * FROM chat_rows WHERE tenant_id = :tenant_id AND owner_id = o.id AND is_uuid
    ORDER BY key DESC LIMIT :limit OFFSET :offset) c ON true
WHERE o.tenant_id = :tenant_id AND o.kind = 'peer' AND o.name = :name ORDER BY c.key DESC;

-- name: lock_chat
-- Holds a chat that has an id, until the end of the transaction: its deletion and what is being done exclude each other.
SELECT id, session_key FROM chats WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL FOR UPDATE;

-- name: list_reads
-- When somebody last read the chats of a session.
SELECT r.chat_key, r.read_at FROM reads r
JOIN chats c ON c.tenant_id = r.tenant_id AND c.key = r.chat_key AND c.id IS NOT NULL
WHERE r.tenant_id = :tenant_id AND c.session_key = :session_key AND r.participant_id = :participant_id;

-- name: upsert_read
-- Moves a read mark; does nothing once the chat is detached.
WITH chat AS (
    SELECT key FROM chats WHERE tenant_id = :tenant_id AND key = :chat_key AND id IS NOT NULL FOR SHARE)
INSERT INTO reads (tenant_id, chat_key, participant_id, read_at)
SELECT :tenant_id, chat.key, :participant_id, :now FROM chat
ON CONFLICT (tenant_id, chat_key, participant_id) DO UPDATE SET read_at = excluded.read_at
RETURNING chat_key;
