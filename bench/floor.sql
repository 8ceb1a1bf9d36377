-- The least that an append, a chat, a page and a new chat could be to PostgreSQL: one statement each, which asks nothing
-- that it does not need. The names after the colon are parameters, of the driver and of pgbench alike.

-- name: append
-- The next place of the chat, and the message on it. All that differs between two messages comes from outside.
WITH advanced AS (
    UPDATE chats
    SET last_seq = last_seq + 1, message_count = message_count + 1, last_message_at = now(), updated_at = now()
    WHERE tenant_id = :tenant_id AND key = :key
    RETURNING last_seq)
INSERT INTO messages (tenant_id, chat_key, id, author_id, created_at, seq, token_count, client_id, role, author, text,
    parts, metadata)
SELECT :tenant_id, :key, uuidv7(), :author_id, now(), last_seq, :token_count, NULL, :role, :author, :text, NULL,
    :metadata
FROM advanced
RETURNING id, seq, created_at;

-- name: chat
-- One row.
SELECT * FROM chats WHERE tenant_id = :tenant_id AND id = :id;

-- name: page
-- The first messages of a chat.
SELECT id, seq, client_id, role, author, text, parts, metadata, token_count, created_at
FROM messages WHERE tenant_id = :tenant_id AND chat_key = :key ORDER BY seq LIMIT :limit;

-- name: create
-- A session and its chat, counted nowhere.
WITH session AS (
    INSERT INTO sessions (tenant_id, key, id, shape, owner_id, title, status, metadata, configuration, chat_count,
        created_at, updated_at)
    SELECT :tenant_id, uuidv7(), :id, 'single', :author_id, :title, 'active', '{}', '{}', 1, now(), now()
    RETURNING key)
INSERT INTO chats (tenant_id, key, id, is_uuid, session_key, owner_id, title, metadata, created_at, updated_at)
SELECT :tenant_id, uuidv7(), :id, true, key, :author_id, :title, '{}', now(), now() FROM session
RETURNING key, created_at;
