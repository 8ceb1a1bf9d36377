-- name: has_pgvector
-- scope: system, whether the database has the extension that compares vectors.
SELECT to_regtype('vector') IS NOT NULL;

-- name: texts_to_read
-- The texts of some messages of a chat that is there.
SELECT m.seq, m.text FROM chats c
JOIN messages m ON m.tenant_id = c.tenant_id AND m.chat_key = c.key
WHERE c.tenant_id = :tenant_id AND c.key = :key AND c.id IS NOT NULL AND m.seq > :cursor AND m.seq <= :upto
ORDER BY m.seq;

-- name: drop_vectors_between
-- Removes the vectors of some messages of a chat.
DELETE FROM message_vectors
WHERE tenant_id = :tenant_id AND chat_key = :key AND seq > :cursor AND seq <= :upto;

-- name: insert_vector
-- The vector of a message of a chat that is there.
INSERT INTO message_vectors (tenant_id, chat_key, seq, model, vector)
SELECT tenant_id, key, CAST(:seq AS integer), CAST(:model AS text), CAST(:vector AS real[]) FROM chats
WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL;

-- name: nearest_messages
-- The messages of single sessions nearest to a vector that a filter lets through, each after its session's id. All are
-- compared before any is read as a whole.
WITH near AS MATERIALIZED (
    SELECT v.chat_key, v.seq, s.id AS session_id,
        CAST(v.vector AS vector) <=> CAST(CAST(:vector AS real[]) AS vector) AS distance
    FROM message_vectors v
    JOIN messages m ON m.tenant_id = v.tenant_id AND m.chat_key = v.chat_key AND m.seq = v.seq
    JOIN chats c ON c.tenant_id = v.tenant_id AND c.key = v.chat_key AND c.id IS NOT NULL
    JOIN sessions s ON s.tenant_id = c.tenant_id AND s.key = c.session_key AND s.shape = 'single' AND s.id IS NOT NULL
    WHERE v.tenant_id = :tenant_id AND v.model = :model AND cardinality(v.vector) = cardinality(CAST(:vector AS real[]))
        AND /* where */ true
    ORDER BY distance LIMIT :limit)
SELECT n.session_id, m.id, m.seq, m.client_id, m.role, m.author, m.text, m.parts, m.metadata, m.token_count,
    m.created_at, n.distance
FROM near n JOIN messages m ON m.tenant_id = :tenant_id AND m.chat_key = n.chat_key AND m.seq = n.seq
ORDER BY n.distance;

-- name: nearest_messages_plain
-- The same without the extension, some twenty times slower: all vectors have the length one.
WITH near AS MATERIALIZED (
    SELECT v.chat_key, v.seq, s.id AS session_id,
        1 - (SELECT sum(x * y) FROM unnest(v.vector, CAST(:vector AS real[])) AS pair (x, y)) AS distance
    FROM message_vectors v
    JOIN messages m ON m.tenant_id = v.tenant_id AND m.chat_key = v.chat_key AND m.seq = v.seq
    JOIN chats c ON c.tenant_id = v.tenant_id AND c.key = v.chat_key AND c.id IS NOT NULL
    JOIN sessions s ON s.tenant_id = c.tenant_id AND s.key = c.session_key AND s.shape = 'single' AND s.id IS NOT NULL
    WHERE v.tenant_id = :tenant_id AND v.model = :model AND cardinality(v.vector) = cardinality(CAST(:vector AS real[]))
        AND /* where */ true
    ORDER BY distance LIMIT :limit)
SELECT n.session_id, m.id, m.seq, m.client_id, m.role, m.author, m.text, m.parts, m.metadata, m.token_count,
    m.created_at, n.distance
FROM near n JOIN messages m ON m.tenant_id = :tenant_id AND m.chat_key = n.chat_key AND m.seq = n.seq
ORDER BY n.distance;

-- name: nearest_conclusions
-- The conclusions nearest to a vector that a filter lets through.
SELECT c.id, o.name, d.name, s.id, c.content, c.level, c.created_at,
    CAST(c.vector AS vector) <=> CAST(CAST(:vector AS real[]) AS vector) AS distance
FROM conclusions c
JOIN participants o ON o.tenant_id = c.tenant_id AND o.id = c.observer_id AND o.kind <> 'gone'
JOIN participants d ON d.tenant_id = c.tenant_id AND d.id = c.observed_id AND d.kind <> 'gone'
JOIN tenants t ON t.tenant_id = c.tenant_id AND t.name IS NOT NULL
LEFT JOIN sessions s ON s.tenant_id = c.tenant_id AND s.key = c.session_key
WHERE c.tenant_id = :tenant_id AND (c.session_key IS NULL OR s.id IS NOT NULL)
    AND c.model = :model AND cardinality(c.vector) = cardinality(CAST(:vector AS real[])) AND /* where */ true
ORDER BY distance LIMIT :limit;

-- name: nearest_conclusions_plain
-- The same without the extension, some twenty times slower: all vectors have the length one.
SELECT c.id, o.name, d.name, s.id, c.content, c.level, c.created_at,
    1 - (
        SELECT sum(x * y) FROM unnest(c.vector, CAST(:vector AS real[])) AS pair (x, y)) AS distance
FROM conclusions c
JOIN participants o ON o.tenant_id = c.tenant_id AND o.id = c.observer_id AND o.kind <> 'gone'
JOIN participants d ON d.tenant_id = c.tenant_id AND d.id = c.observed_id AND d.kind <> 'gone'
JOIN tenants t ON t.tenant_id = c.tenant_id AND t.name IS NOT NULL
LEFT JOIN sessions s ON s.tenant_id = c.tenant_id AND s.key = c.session_key
WHERE c.tenant_id = :tenant_id AND (c.session_key IS NULL OR s.id IS NOT NULL)
    AND c.model = :model AND cardinality(c.vector) = cardinality(CAST(:vector AS real[])) AND /* where */ true
ORDER BY distance LIMIT :limit;

-- name: conclusions_without_vector
-- scope: system, some conclusions, of whatever tenants, that have no vector yet.
SELECT tenant_id, id, content FROM conclusions WHERE model IS NULL LIMIT :limit;

-- name: keep_conclusion_vector
-- The vector of a conclusion, if it is there.
UPDATE conclusions SET model = :model, vector = CAST(:vector AS real[]) WHERE tenant_id = :tenant_id AND id = :id;

-- name: chats_of_other_models
-- scope: system, some chats, of whatever tenants, that have vectors of another model.
SELECT DISTINCT v.tenant_id, v.chat_key
FROM tenants t JOIN message_vectors v ON v.tenant_id = t.tenant_id AND (v.model < :model OR v.model > :model)
LIMIT :limit;

-- name: drop_vectors_of_chat
-- All vectors of a chat.
DELETE FROM message_vectors WHERE tenant_id = :tenant_id AND chat_key = :key;

-- name: begin_vectors_again
-- Makes a chat due as if it had never had vectors.
UPDATE chats SET vectors_seq = 0, vectors_due = now() WHERE tenant_id = :tenant_id AND key = :key;

-- name: forget_conclusion_vectors
-- scope: system, some conclusions, of whatever tenants, lose their vectors of another model.
UPDATE conclusions c SET model = NULL, vector = NULL
FROM (SELECT tenant_id, key FROM conclusions WHERE model <> :model LIMIT :limit) o
WHERE c.tenant_id = o.tenant_id AND c.key = o.key
RETURNING c.key;

-- name: purge_message_vectors_of_chat
-- Some vectors of the messages of chats.
DELETE FROM message_vectors WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM message_vectors
    WHERE tenant_id = :tenant_id AND chat_key = ANY (:keys) ORDER BY chat_key, seq LIMIT :limit));

-- name: purge_message_vectors_of_tenant
-- Some vectors of a tenant's messages.
DELETE FROM message_vectors WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM message_vectors WHERE tenant_id = :tenant_id ORDER BY tenant_id, chat_key, seq LIMIT :limit));

-- name: drop_vectors
-- The vectors of some messages, one by one.
DELETE FROM message_vectors WHERE tenant_id = :tenant_id AND chat_key = :key AND seq = ANY (CAST(:seqs AS integer[]));
