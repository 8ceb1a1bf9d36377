-- name: count_units
-- The messages of single sessions, all or one, of all authors or one, from which something may be derived: how many say
-- nothing of it themselves, and how many say that it is.
SELECT s.key, s.id, s.configuration, count(*) - count(r.is_on), count(r.is_on)
FROM sessions s
JOIN chats c ON c.tenant_id = s.tenant_id AND c.session_key = s.key AND c.id IS NOT NULL
JOIN messages m ON m.tenant_id = c.tenant_id AND m.chat_key = c.key
LEFT JOIN reasoning_marks r ON r.tenant_id = m.tenant_id AND r.chat_key = c.key AND r.message_id = m.id
WHERE s.tenant_id = :tenant_id AND s.shape = 'single' AND s.id IS NOT NULL
    AND (CAST(:session_id AS text) IS NULL OR s.id = :session_id) AND (CAST(:author AS text) IS NULL OR m.author = :author)
    AND r.is_on IS NOT FALSE
GROUP BY s.key, s.id, s.configuration;

-- name: configurations_of_chat
-- What the session of a chat, if it is a single one, and the tenant say of how things are done.
SELECT s.configuration, t.configuration FROM chats c
JOIN sessions s ON s.tenant_id = c.tenant_id AND s.key = c.session_key AND s.shape = 'single' AND s.id IS NOT NULL
JOIN tenants t ON t.tenant_id = c.tenant_id
WHERE c.tenant_id = :tenant_id AND c.key = :key;

-- name: purge_reasoning_marks_of_chat
-- Some marks of messages of chats.
DELETE FROM reasoning_marks WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM reasoning_marks
    WHERE tenant_id = :tenant_id AND chat_key = ANY (:keys) ORDER BY chat_key, message_id LIMIT :limit));

-- name: purge_reasoning_marks_of_tenant
-- Some marks of messages of a tenant.
DELETE FROM reasoning_marks WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM reasoning_marks WHERE tenant_id = :tenant_id ORDER BY chat_key, message_id LIMIT :limit));
