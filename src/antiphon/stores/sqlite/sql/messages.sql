-- name: advance_chat
-- Takes the next places in a chat and moves its counters; finds nothing once the chat is detached, which is the fence.
-- The last column is the chat's id where a webhook wants to be told.
UPDATE chats
SET last_seq = last_seq + :count, message_count = message_count + :count, text_size = text_size + :size,
    last_message_at = :said_at, last_answer_at = coalesce(:answered_at, last_answer_at), updated_at = :now,
    text_due = coalesce(text_due, :now), vectors_due = coalesce(vectors_due, :now)
WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL
RETURNING num, last_seq, session_key, CASE WHEN EXISTS (
    SELECT 1 FROM webhooks w
    WHERE w.tenant_id = :tenant_id AND w.disabled_at IS NULL
        AND (instr(w.events, '"message.appended"') > 0 OR instr(w.events, '"queue.empty"') > 0)) THEN id END;

-- name: find_speaker
-- The participant of that name, if it is a member of the session now.
SELECT p.id FROM participants p JOIN members m ON m.tenant_id = p.tenant_id AND m.participant_id = p.id
WHERE p.tenant_id = :tenant_id AND p.kind = :kind AND p.name = :name
    AND m.tenant_id = :tenant_id AND m.session_key = :session_key AND m.left_at IS NULL;

-- name: insert_message
-- One message at its place.
INSERT INTO messages (place, tenant_id, id, client_id, role, author_id, author, text, parts, metadata, token_count,
    created_at)
VALUES (:place, :tenant_id, :id, :client_id, :role, :author_id, :author, :text, :parts, :metadata, :token_count,
    :created_at);

-- name: insert_reasoning_mark
-- What a message says of whether something is to be derived from it.
INSERT INTO reasoning_marks (tenant_id, chat_key, message_id, is_on) VALUES (:tenant_id, :key, :id, :is_on);

-- name: chat_head
-- What is needed to find a page of a chat: its number, its last place, how many messages there are and how long they are.
SELECT num, last_seq, message_count, text_size FROM chats
WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL;

-- name: key_of_single
-- The key of the only chat of a single session.
SELECT key FROM chats WHERE tenant_id = :tenant_id AND id IS NOT NULL AND session_key = (
    SELECT key FROM sessions WHERE tenant_id = :tenant_id AND id = :session_id AND shape = 'single');

-- name: messages_between
-- The messages of a range of places; NOT INDEXED makes SQLite walk the table, which is in this order.
SELECT id, place & 8388607, client_id, role, author, text, parts, metadata, token_count, created_at
FROM messages NOT INDEXED WHERE tenant_id = :tenant_id AND place BETWEEN :low AND :high
ORDER BY place LIMIT :limit OFFSET :offset;

-- name: messages_between_reversed
-- The same, the last place first.
SELECT id, place & 8388607, client_id, role, author, text, parts, metadata, token_count, created_at
FROM messages NOT INDEXED WHERE tenant_id = :tenant_id AND place BETWEEN :low AND :high
ORDER BY place DESC LIMIT :limit OFFSET :offset;

-- name: messages_of_span
-- The first messages of a range of places that hold so many characters together, or the first alone. Only sizes are
-- looked at until it is known which they are.
SELECT id, place & 8388607, client_id, role, author, text, parts, metadata, token_count, created_at
FROM messages NOT INDEXED WHERE tenant_id = :tenant_id AND place BETWEEN :low AND (
    SELECT max(place) FROM (
        SELECT place, size, sum(size) OVER (ORDER BY place) AS total FROM (
            SELECT place, length(text) + length(coalesce(parts, '')) + length(metadata) AS size
            FROM messages NOT INDEXED WHERE tenant_id = :tenant_id AND place BETWEEN :low AND :high
            ORDER BY place LIMIT :limit))
    WHERE total <= :characters OR total = size)
ORDER BY place;

-- name: messages_of_span_reversed
-- The same from the last one back.
SELECT id, place & 8388607, client_id, role, author, text, parts, metadata, token_count, created_at
FROM messages NOT INDEXED WHERE tenant_id = :tenant_id AND place BETWEEN (
    SELECT min(place) FROM (
        SELECT place, size, sum(size) OVER (ORDER BY place DESC) AS total FROM (
            SELECT place, length(text) + length(coalesce(parts, '')) + length(metadata) AS size
            FROM messages NOT INDEXED WHERE tenant_id = :tenant_id AND place BETWEEN :low AND :high
            ORDER BY place DESC LIMIT :limit))
    WHERE total <= :characters OR total = size) AND :high
ORDER BY place DESC;

-- name: find_message
-- The message of that id, with the number of its chat first.
SELECT place >> 23, id, place & 8388607, client_id, role, author, text, parts, metadata, token_count, created_at
FROM messages WHERE tenant_id = :tenant_id AND id = :id;

-- name: find_message_by_client_id
-- The message of that client's id, if it is in that chat and the chat has an id.
SELECT id, place & 8388607, client_id, role, author, text, parts, metadata, token_count, created_at
FROM messages WHERE tenant_id = :tenant_id AND client_id = :client_id AND place >> 23 = (
    SELECT num FROM chats WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL);
