-- name: append
-- Several appends to chats of one tenant, each whole or not at all. First the chats are locked in one order (without
-- that two batches deadlock, measured); then each append is judged: `gone` (the chat has no id any more), `lost` (its
-- connection's lease is over), `unready` (an author must first be made or join, or a webhook wants to be told, and this
-- is not where it is), `full`, or `ready`; then the ready ones take the next places of their chats, which are given
-- back. Subqueries instead of joins keep the work in proportion to the batch also where the database has no statistics
-- yet.
WITH asked AS (
    SELECT * FROM unnest(CAST(:chat_keys AS uuid[]), CAST(:connection_ids AS uuid[]), CAST(:sizes AS integer[]),
        CAST(:said_ats AS timestamptz[]), CAST(:answered_ats AS timestamptz[]))
    WITH ORDINALITY AS a (chat_key, connection_id, size, said_at, answered_at, n)),
drafts AS (
    SELECT * FROM unnest(CAST(:appends AS integer[]), CAST(:places AS integer[]), CAST(:ids AS uuid[]),
        CAST(:client_ids AS text[]), CAST(:roles AS text[]), CAST(:authors AS text[]), CAST(:texts AS text[]),
        CAST(:parts AS text[]), CAST(:metadatas AS text[]), CAST(:token_counts AS integer[]),
        CAST(:created_ats AS timestamptz[]), CAST(:are_reasoned AS boolean[]))
    AS d (n, place, id, client_id, role, author, text, parts, metadata, token_count, created_at, is_reasoned)),
locked AS MATERIALIZED (
    SELECT key, id, session_key, last_seq FROM chats
    WHERE tenant_id = :tenant_id AND key = ANY (:chat_keys) AND id IS NOT NULL
    ORDER BY key FOR UPDATE),
spoken AS MATERIALIZED (
    SELECT d.*, (
        SELECT p.id FROM participants p
        JOIN members m ON m.tenant_id = :tenant_id AND m.participant_id = p.id AND m.left_at IS NULL
        WHERE p.tenant_id = :tenant_id AND p.kind = 'peer' AND p.name = d.author AND m.session_key = l.session_key
        ) AS participant_id
    FROM drafts d
    JOIN asked a ON a.n = d.n
    LEFT JOIN locked l ON l.key = a.chat_key),
known AS (
    SELECT n, bool_and(participant_id IS NOT NULL) AS are_all FROM spoken GROUP BY n),
judged AS MATERIALIZED (
    SELECT a.n, a.chat_key, l.id AS chat_id, a.size, a.said_at, a.answered_at, l.last_seq,
        CASE
            WHEN l.key IS NULL THEN 'gone'
            WHEN a.connection_id IS NOT NULL AND NOT coalesce((
                SELECT c.chat_key = a.chat_key AND c.expires_at > now() FROM connections c
                WHERE c.tenant_id = :tenant_id AND c.id = a.connection_id), false) THEN 'lost'
            WHEN NOT k.are_all OR (NOT :is_telling AND EXISTS (
                SELECT 1 FROM webhooks w WHERE w.tenant_id = :tenant_id AND w.disabled_at IS NULL
                    AND (position('"message.appended"' IN w.events) > 0
                        OR position('"queue.empty"' IN w.events) > 0))) THEN 'unready'
            ELSE 'ready'
        END AS state
    FROM asked a
    JOIN known k ON k.n = a.n
    LEFT JOIN locked l ON l.key = a.chat_key),
placed AS (
    SELECT n, chat_key, size, said_at, answered_at,
        last_seq + sum(size) OVER (PARTITION BY chat_key ORDER BY n) - size AS before
    FROM judged WHERE state = 'ready'),
fitting AS MATERIALIZED (
    SELECT n, chat_key, size, said_at, answered_at, before FROM placed WHERE before + size <= :messages_max),
moved AS MATERIALIZED (
    SELECT chat_key, sum(size) AS size, (array_agg(said_at ORDER BY n DESC))[1] AS said_at,
        (array_agg(answered_at ORDER BY n DESC) FILTER (WHERE answered_at IS NOT NULL))[1] AS answered_at
    FROM fitting GROUP BY chat_key),
advanced AS (
    UPDATE chats c
    SET last_seq = c.last_seq + moved.size, message_count = c.message_count + moved.size,
        last_message_at = moved.said_at, last_answer_at = coalesce(moved.answered_at, c.last_answer_at),
        updated_at = :now, text_due = coalesce(c.text_due, :now), vectors_due = coalesce(c.vectors_due, :now)
    FROM moved WHERE c.tenant_id = :tenant_id AND c.key = ANY (:chat_keys) AND c.key = moved.chat_key),
stored AS (
    INSERT INTO messages (tenant_id, chat_key, id, author_id, created_at, seq, token_count, client_id, role, author,
        text, parts, metadata)
    SELECT :tenant_id, f.chat_key, s.id, s.participant_id, s.created_at, f.before + s.place, s.token_count,
        s.client_id, s.role, s.author, s.text, s.parts, s.metadata
    FROM fitting f JOIN spoken s ON s.n = f.n),
marked AS (
    INSERT INTO reasoning_marks (tenant_id, chat_key, message_id, is_on)
    SELECT :tenant_id, f.chat_key, s.id, s.is_reasoned FROM fitting f JOIN spoken s ON s.n = f.n
    WHERE s.is_reasoned IS NOT NULL)
SELECT CASE WHEN j.state = 'ready' AND f.n IS NULL THEN 'full' ELSE j.state END, CAST(f.before AS integer), j.chat_id
FROM judged j LEFT JOIN fitting f ON f.n = j.n ORDER BY j.n;

-- name: append_one
-- One message, where nothing else waits: the same as above in its cheapest form. Nothing comes back when it cannot be
-- done at once, for whatever reason; the chat's place otherwise.
WITH speaker AS (
    SELECT p.id FROM participants p
    JOIN members m ON m.tenant_id = :tenant_id AND m.participant_id = p.id AND m.left_at IS NULL
    WHERE p.tenant_id = :tenant_id AND p.kind = 'peer' AND p.name = :author AND m.session_key = (
        SELECT session_key FROM chats WHERE tenant_id = :tenant_id AND key = :chat_key)),
advanced AS (
    UPDATE chats
    SET last_seq = last_seq + 1, message_count = message_count + 1, last_message_at = :said_at,
        last_answer_at = coalesce(:answered_at, last_answer_at), updated_at = :now,
        text_due = coalesce(text_due, :now), vectors_due = coalesce(vectors_due, :now)
    WHERE tenant_id = :tenant_id AND key = :chat_key AND id IS NOT NULL AND last_seq < :messages_max
        AND EXISTS (SELECT 1 FROM speaker)
        AND NOT EXISTS (
            SELECT 1 FROM webhooks w WHERE w.tenant_id = :tenant_id AND w.disabled_at IS NULL
                AND (position('"message.appended"' IN w.events) > 0 OR position('"queue.empty"' IN w.events) > 0))
        AND (CAST(:connection_id AS uuid) IS NULL OR EXISTS (
            SELECT 1 FROM connections
            WHERE tenant_id = :tenant_id AND id = :connection_id AND chat_key = :chat_key AND expires_at > now()))
    RETURNING last_seq),
stored AS (
    INSERT INTO messages (tenant_id, chat_key, id, author_id, created_at, seq, token_count, client_id, role, author,
        text, parts, metadata)
    SELECT :tenant_id, :chat_key, :id, speaker.id, :said_at, advanced.last_seq, :token_count, :client_id, :role,
        :author, :text, :parts, :metadata
    FROM advanced, speaker)
SELECT last_seq FROM advanced;

-- name: messages_of_span
-- The first messages of a range of sequences that hold so many characters together, or the first alone; one row of
-- nothing when there is none, no row when the chat is gone. Only sizes are looked at until it is known which they are.
SELECT m.*
FROM (SELECT key FROM chats WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL) head
LEFT JOIN LATERAL (
    SELECT id, seq, client_id, role, author, text, parts, metadata, token_count, created_at
    FROM messages
    WHERE tenant_id = :tenant_id AND chat_key = :key AND seq BETWEEN :first AND (
        SELECT max(seq) FROM (
            SELECT seq, size, sum(size) OVER (ORDER BY seq) AS total FROM (
                SELECT seq, length(text) + length(coalesce(parts, '')) + length(metadata) AS size
                FROM messages WHERE tenant_id = :tenant_id AND chat_key = :key AND seq BETWEEN :first AND :last
                ORDER BY seq LIMIT :limit) sized) summed
        WHERE total <= :characters OR total = size)) m ON true
ORDER BY m.seq;

-- name: messages_of_span_reversed
-- The same from the last one back.
SELECT m.*
FROM (SELECT key FROM chats WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL) head
LEFT JOIN LATERAL (
    SELECT id, seq, client_id, role, author, text, parts, metadata, token_count, created_at
    FROM messages
    WHERE tenant_id = :tenant_id AND chat_key = :key AND seq BETWEEN (
        SELECT min(seq) FROM (
            SELECT seq, size, sum(size) OVER (ORDER BY seq DESC) AS total FROM (
                SELECT seq, length(text) + length(coalesce(parts, '')) + length(metadata) AS size
                FROM messages WHERE tenant_id = :tenant_id AND chat_key = :key AND seq BETWEEN :first AND :last
                ORDER BY seq DESC LIMIT :limit) sized) summed
        WHERE total <= :characters OR total = size) AND :last) m ON true
ORDER BY m.seq DESC;

-- name: messages_between
-- A page of a chat in order, after how many messages there are; one row of that alone when the page is empty, none
-- when the chat is gone. While nothing was removed from the middle an offset is a place to start from.
WITH head AS MATERIALIZED (
    SELECT message_count, message_count = last_seq AS is_whole FROM chats
    WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL)
SELECT head.message_count, m.*
FROM head
LEFT JOIN LATERAL (
    SELECT id, seq, client_id, role, author, text, parts, metadata, token_count, created_at
    FROM messages
    WHERE tenant_id = :tenant_id AND chat_key = :key
        AND seq > (SELECT CASE WHEN is_whole THEN CAST(:offset AS bigint) ELSE 0 END FROM head)
    ORDER BY seq LIMIT :limit
    OFFSET (SELECT CASE WHEN is_whole THEN 0 ELSE CAST(:offset AS bigint) END FROM head)) m ON true
ORDER BY m.seq;

-- name: messages_between_reversed
-- The same, the last message first.
WITH head AS MATERIALIZED (
    SELECT message_count, last_seq, message_count = last_seq AS is_whole FROM chats
    WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL)
SELECT head.message_count, m.*
FROM head
LEFT JOIN LATERAL (
    SELECT id, seq, client_id, role, author, text, parts, metadata, token_count, created_at
    FROM messages
    WHERE tenant_id = :tenant_id AND chat_key = :key
        AND seq <= (SELECT last_seq - CASE WHEN is_whole THEN CAST(:offset AS bigint) ELSE 0 END FROM head)
    ORDER BY seq DESC LIMIT :limit
    OFFSET (SELECT CASE WHEN is_whole THEN 0 ELSE CAST(:offset AS bigint) END FROM head)) m ON true
ORDER BY m.seq DESC;

-- name: messages_of_single
-- The same of the only chat of a single session.
WITH head AS MATERIALIZED (
    SELECT key, message_count, message_count = last_seq AS is_whole FROM chats
    WHERE tenant_id = :tenant_id AND id IS NOT NULL AND session_key = (
        SELECT key FROM sessions WHERE tenant_id = :tenant_id AND id = :session_id AND shape = 'single'))
SELECT head.message_count, m.*
FROM head
LEFT JOIN LATERAL (
    SELECT id, seq, client_id, role, author, text, parts, metadata, token_count, created_at
    FROM messages
    WHERE tenant_id = :tenant_id AND chat_key = head.key
        AND seq > (SELECT CASE WHEN is_whole THEN CAST(:offset AS bigint) ELSE 0 END FROM head)
    ORDER BY seq LIMIT :limit
    OFFSET (SELECT CASE WHEN is_whole THEN 0 ELSE CAST(:offset AS bigint) END FROM head)) m ON true
ORDER BY m.seq;

-- name: messages_of_single_reversed
-- The same, the last message first.
WITH head AS MATERIALIZED (
    SELECT key, message_count, last_seq, message_count = last_seq AS is_whole FROM chats
    WHERE tenant_id = :tenant_id AND id IS NOT NULL AND session_key = (
        SELECT key FROM sessions WHERE tenant_id = :tenant_id AND id = :session_id AND shape = 'single'))
SELECT head.message_count, m.*
FROM head
LEFT JOIN LATERAL (
    SELECT id, seq, client_id, role, author, text, parts, metadata, token_count, created_at
    FROM messages
    WHERE tenant_id = :tenant_id AND chat_key = head.key
        AND seq <= (SELECT last_seq - CASE WHEN is_whole THEN CAST(:offset AS bigint) ELSE 0 END FROM head)
    ORDER BY seq DESC LIMIT :limit
    OFFSET (SELECT CASE WHEN is_whole THEN 0 ELSE CAST(:offset AS bigint) END FROM head)) m ON true
ORDER BY m.seq DESC;

-- name: find_message
-- The message of that id, if it is in that chat and the chat has an id.
SELECT m.id, m.seq, m.client_id, m.role, m.author, m.text, m.parts, m.metadata, m.token_count, m.created_at
FROM messages m JOIN chats c ON c.tenant_id = m.tenant_id AND c.key = m.chat_key
WHERE m.tenant_id = :tenant_id AND m.id = :id AND c.key = :key AND c.id IS NOT NULL;

-- name: find_message_by_client_id
-- The message of that client's id, if it is in that chat and the chat has an id.
SELECT m.id, m.seq, m.client_id, m.role, m.author, m.text, m.parts, m.metadata, m.token_count, m.created_at
FROM messages m JOIN chats c ON c.tenant_id = m.tenant_id AND c.key = m.chat_key
WHERE m.tenant_id = :tenant_id AND m.client_id = :client_id AND c.key = :key AND c.id IS NOT NULL;
