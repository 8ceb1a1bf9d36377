-- name: count_units
-- The messages of single sessions, all or one, of all authors or one, from which something may be derived: how many say
-- nothing of it themselves, and how many say that it is.
SELECT s.key, s.id, s.configuration, count(*) - count(r.is_on), count(r.is_on)
FROM sessions s
JOIN chats c ON c.tenant_id = s.tenant_id AND c.session_key = s.key AND c.id IS NOT NULL
CROSS JOIN messages m NOT INDEXED ON m.place BETWEEN c.num << 23 AND (c.num << 23) + 8388607 AND m.tenant_id = c.tenant_id
LEFT JOIN reasoning_marks r ON r.tenant_id = m.tenant_id AND r.chat_key = c.key AND r.message_id = m.id
WHERE s.tenant_id = :tenant_id AND s.shape = 'single' AND s.id IS NOT NULL
    AND (:session_id IS NULL OR s.id = :session_id) AND (:author IS NULL OR m.author = :author)
    AND r.is_on IS NOT FALSE
GROUP BY s.key, s.id, s.configuration;

-- name: configurations_of_chat
-- What the session of a chat, if it is a single one, and the tenant say of how things are done.
SELECT s.configuration, t.configuration FROM chats c
JOIN sessions s ON s.tenant_id = c.tenant_id AND s.key = c.session_key AND s.shape = 'single' AND s.id IS NOT NULL
JOIN tenants t ON t.tenant_id = c.tenant_id
WHERE c.tenant_id = :tenant_id AND c.key = :key;

-- name: purge_reasoning_marks_of_chat
-- Some marks of messages of a chat.
DELETE FROM reasoning_marks WHERE (tenant_id, chat_key, message_id) IN (
    SELECT tenant_id, chat_key, message_id FROM reasoning_marks
    WHERE tenant_id = :tenant_id AND chat_key = :key LIMIT :limit);

-- name: purge_reasoning_marks_of_tenant
-- Some marks of messages of a tenant.
DELETE FROM reasoning_marks WHERE (tenant_id, chat_key, message_id) IN (
    SELECT tenant_id, chat_key, message_id FROM reasoning_marks WHERE tenant_id = :tenant_id LIMIT :limit);
