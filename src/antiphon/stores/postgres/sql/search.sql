-- name: texts_to_index
-- The texts of a range of messages, as many as hold so many characters together, or the first alone; after the first
-- sequence that is left for the next time.
SELECT over.seq, m.seq, m.text
FROM (
    SELECT min(seq) AS seq FROM (
        SELECT seq, size, sum(size) OVER (ORDER BY seq) AS total FROM (
            SELECT seq, length(text) AS size FROM messages
            WHERE tenant_id = :tenant_id AND chat_key = :chat_key AND seq > :cursor AND seq <= :upto) sizes) sums
    WHERE total > :characters AND total > size) over
LEFT JOIN messages m
    ON m.tenant_id = :tenant_id AND m.chat_key = :chat_key AND m.seq > :cursor AND m.seq <= :upto
    AND (over.seq IS NULL OR m.seq < over.seq)
ORDER BY m.seq;

-- name: index_texts
-- Puts what is known of texts into the index, if their messages are there still; what is there is replaced.
INSERT INTO texts (tenant_id, chat_key, seq, grams)
SELECT m.tenant_id, m.chat_key, m.seq, CAST(given.grams AS integer[])
FROM unnest(CAST(:seqs AS integer[]), CAST(:grams AS text[])) AS given (seq, grams)
JOIN messages m ON m.tenant_id = :tenant_id AND m.chat_key = :chat_key AND m.seq = given.seq
ON CONFLICT (tenant_id, chat_key, seq) DO UPDATE SET grams = excluded.grams;

-- name: search_texts
-- How many messages the index finds (at most so many), and beside it, if it finds fewer, the newest of them, and of
-- those that it does not have yet, that a filter lets through: each after the id of its session. OFFSET makes it look
-- each of them up by its key, also where the database has no statistics yet.
WITH hits AS MATERIALIZED (
    SELECT t.chat_key, t.seq FROM texts t
    WHERE t.tenant_id = :tenant_id AND t.grams @> CAST(:grams AS integer[])
        AND (CAST(:chat_key AS uuid) IS NULL OR t.chat_key = :chat_key)
    LIMIT :hits_max),
tail AS MATERIALIZED (
    SELECT m.chat_key, m.seq FROM chats c
    CROSS JOIN LATERAL (
        SELECT chat_key, seq FROM messages
        WHERE tenant_id = :tenant_id AND chat_key = c.key AND seq > c.text_seq OFFSET 0) m
    WHERE c.tenant_id = :tenant_id AND c.text_due IS NOT NULL AND c.id IS NOT NULL
        AND (CAST(:chat_key AS uuid) IS NULL OR c.key = :chat_key))
SELECT head.count, page.* FROM (SELECT count(*) AS count FROM hits) head LEFT JOIN LATERAL (
    SELECT s.id, m.id AS at, m.seq, m.client_id, m.role, m.author, m.text, m.parts, m.metadata,
        m.token_count, m.created_at
    FROM (SELECT chat_key, seq FROM hits UNION SELECT chat_key, seq FROM tail) found
    CROSS JOIN LATERAL (
        SELECT * FROM messages
        WHERE tenant_id = :tenant_id AND chat_key = found.chat_key AND seq = found.seq OFFSET 0) m
    CROSS JOIN LATERAL (
        SELECT * FROM chats WHERE tenant_id = :tenant_id AND key = m.chat_key AND id IS NOT NULL OFFSET 0) c
    CROSS JOIN LATERAL (
        SELECT * FROM sessions
        WHERE tenant_id = :tenant_id AND key = c.session_key AND shape = 'single' AND id IS NOT NULL OFFSET 0) s
    WHERE head.count < :hits_max AND /* where */ true
    ORDER BY m.id DESC LIMIT :limit) page ON true
ORDER BY page.at DESC;

-- name: purge_texts_after
-- What the index has of messages that stand after a place.
DELETE FROM texts WHERE tenant_id = :tenant_id AND chat_key = :key AND seq > :seq;

-- name: purge_texts
-- What the index has of some messages of a chat.
DELETE FROM texts WHERE tenant_id = :tenant_id AND chat_key = :key AND seq = ANY (:seqs);

-- name: purge_texts_of_chat
-- Some of what the index has of chats.
DELETE FROM texts WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM texts
    WHERE tenant_id = :tenant_id AND chat_key = ANY (:keys) ORDER BY chat_key, seq LIMIT :limit));

-- name: purge_texts_of_tenant
-- Some of what the index has of a tenant.
DELETE FROM texts WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM texts WHERE tenant_id = :tenant_id ORDER BY chat_key, seq LIMIT :limit));
