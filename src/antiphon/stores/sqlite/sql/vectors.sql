-- name: texts_to_read
-- The texts of some messages of a chat that is there.
SELECT m.place & 8388607, m.text
FROM chats c
CROSS JOIN messages m NOT INDEXED ON m.place > (c.num << 23) + :cursor AND m.place <= (c.num << 23) + :upto
    AND m.tenant_id = c.tenant_id
WHERE c.tenant_id = :tenant_id AND c.key = :key AND c.id IS NOT NULL
ORDER BY m.place;

-- name: drop_vectors_between
-- Removes the vectors of some messages of a chat.
DELETE FROM message_vectors
WHERE tenant_id = :tenant_id AND place > (SELECT num << 23 FROM chats WHERE tenant_id = :tenant_id AND key = :key) + :cursor
    AND place <= (SELECT num << 23 FROM chats WHERE tenant_id = :tenant_id AND key = :key) + :upto;

-- name: insert_vector
-- The vector of a message of a chat that is there.
INSERT INTO message_vectors (place, tenant_id, model, vector)
SELECT (num << 23) + :seq, tenant_id, :model, :vector FROM chats
WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL;

-- name: nearest_messages
-- The messages of single sessions nearest to a vector that a filter lets through, each after its session's id. All are
-- compared before any is read as a whole.
WITH near AS MATERIALIZED (
    SELECT v.place, s.id AS session_id, vec_distance_cosine(v.vector, :vector) AS distance
    FROM message_vectors v
    JOIN chats c ON c.num = v.place >> 23 AND c.tenant_id = v.tenant_id AND c.id IS NOT NULL
    JOIN sessions s ON s.tenant_id = c.tenant_id AND s.key = c.session_key AND s.shape = 'single' AND s.id IS NOT NULL
    CROSS JOIN messages m NOT INDEXED ON m.place = v.place AND m.tenant_id = v.tenant_id
    WHERE v.tenant_id = :tenant_id AND v.model = :model AND length(v.vector) = length(:vector) AND /* where */ true
    ORDER BY distance LIMIT :limit)
SELECT n.session_id, m.id, m.place & 8388607, m.client_id, m.role, m.author, m.text, m.parts,
    m.metadata, m.token_count, m.created_at, n.distance
FROM near n CROSS JOIN messages m NOT INDEXED ON m.place = n.place AND m.tenant_id = :tenant_id
ORDER BY n.distance;

-- name: nearest_conclusions
-- The conclusions nearest to a vector that a filter lets through.
SELECT c.id, o.name, d.name, s.id, c.content, c.level, c.created_at, vec_distance_cosine(c.vector, :vector) AS distance
FROM conclusions c
JOIN participants o ON o.tenant_id = c.tenant_id AND o.id = c.observer_id AND o.kind <> 'gone'
JOIN participants d ON d.tenant_id = c.tenant_id AND d.id = c.observed_id AND d.kind <> 'gone'
JOIN tenants t ON t.tenant_id = c.tenant_id AND t.name IS NOT NULL
LEFT JOIN sessions s ON s.tenant_id = c.tenant_id AND s.key = c.session_key
WHERE c.tenant_id = :tenant_id AND (c.session_key IS NULL OR s.id IS NOT NULL)
    AND c.model = :model AND length(c.vector) = length(:vector) AND /* where */ true
ORDER BY distance LIMIT :limit;

-- name: conclusions_without_vector
-- scope: system, some conclusions, of whatever tenants, that have no vector yet.
SELECT tenant_id, id, content FROM conclusions WHERE model IS NULL LIMIT :limit;

-- name: keep_conclusion_vector
-- The vector of a conclusion, if it is there.
UPDATE conclusions SET model = :model, vector = :vector WHERE tenant_id = :tenant_id AND id = :id;

-- name: chats_of_other_models
-- scope: system, some chats, of whatever tenants, that have vectors of another model.
SELECT DISTINCT v.tenant_id, v.place >> 23
FROM tenants t JOIN message_vectors v ON v.tenant_id = t.tenant_id AND (v.model < :model OR v.model > :model)
LIMIT :limit;

-- name: drop_vectors_of_chat
-- All vectors of a chat.
DELETE FROM message_vectors
WHERE tenant_id = :tenant_id AND place BETWEEN CAST(:num AS INTEGER) << 23 AND (CAST(:num AS INTEGER) << 23) + 8388607;

-- name: begin_vectors_again
-- Makes a chat due as if it had never had vectors.
UPDATE chats SET vectors_seq = 0, vectors_due = :now
WHERE tenant_id = :tenant_id AND num = :num;

-- name: forget_conclusion_vectors
-- scope: system, some conclusions, of whatever tenants, lose their vectors of another model.
UPDATE conclusions SET model = NULL, vector = NULL WHERE num IN (
    SELECT num FROM conclusions WHERE model <> :model LIMIT :limit);

-- name: purge_message_vectors_of_chat
-- Some vectors of a chat's messages.
DELETE FROM message_vectors WHERE place IN (
    SELECT place FROM message_vectors NOT INDEXED
    WHERE tenant_id = :tenant_id AND place BETWEEN :low AND :high LIMIT :limit);

-- name: purge_message_vectors_of_tenant
-- Some vectors of a tenant's messages.
DELETE FROM message_vectors WHERE place IN (SELECT place FROM message_vectors WHERE tenant_id = :tenant_id LIMIT :limit);

-- name: drop_vectors
-- The vectors of some messages, one by one.
DELETE FROM message_vectors WHERE tenant_id = :tenant_id AND place IN (SELECT value FROM json_each(:places));
