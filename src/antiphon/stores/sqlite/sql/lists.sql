-- name: filter_tenants
-- scope: system, a part of the tenants that a filter lets through, after how many those are.
WITH found AS (
    SELECT t.tenant_id AS at, t.tenant_id, t.name, t.created_at, t.agent_name, t.metadata, t.configuration
    FROM tenants t WHERE t.name IS NOT NULL AND /* where */ true)
SELECT (SELECT count(*) FROM found), page.*
FROM (SELECT 1) one LEFT JOIN (
    SELECT * FROM found ORDER BY at /* way */ LIMIT :limit OFFSET :offset) page ON true
ORDER BY page.at /* way */;

-- name: filter_participants
-- A part of the participants of a kind, or (NULL) of all kinds, whom somebody has named and a filter lets through, after
-- how many those are.
WITH found AS (
    SELECT p.num AS at, p.id, p.kind, p.name, p.metadata, p.configuration, p.created_at
    FROM participants p
    JOIN tenants t ON t.tenant_id = p.tenant_id AND t.name IS NOT NULL
    WHERE p.tenant_id = :tenant_id AND p.kind <> 'gone' AND NOT p.is_implied AND (:kind IS NULL OR p.kind = :kind)
        AND /* where */ true)
SELECT (SELECT count(*) FROM found), page.*
FROM (SELECT 1) one LEFT JOIN (
    SELECT * FROM found ORDER BY at /* way */ LIMIT :limit OFFSET :offset) page ON true
ORDER BY page.at /* way */;

-- name: filter_sessions
-- A part of the single sessions that a filter lets through, of all or of those in which somebody is or was a member,
-- after how many those are.
WITH found AS (
    SELECT s.num AS at, s.key, s.id, s.shape, s.owner_id, s.title, s.status, s.artist_id, s.metadata, s.configuration,
        s.created_at, s.updated_at, s.lines_added, s.lines_removed
    FROM sessions s
    WHERE s.tenant_id = :tenant_id AND s.shape = 'single' AND s.id IS NOT NULL
        AND (:participant_id IS NULL OR EXISTS (
            SELECT 1 FROM members m
            WHERE m.tenant_id = :tenant_id AND m.session_key = s.key AND m.participant_id = :participant_id))
        AND /* where */ true)
SELECT (SELECT count(*) FROM found), page.*
FROM (SELECT 1) one LEFT JOIN (
    SELECT * FROM found ORDER BY at /* way */ LIMIT :limit OFFSET :offset) page ON true
ORDER BY page.at /* way */;

-- name: sessions_of_member
-- A part of the single sessions in which somebody is a member now, in order of joining, after how many those are.
WITH found AS (
    SELECT row_number() OVER (ORDER BY m.joined_at, m.num) AS at, s.key, s.id, s.shape, s.owner_id, s.title, s.status,
        s.artist_id, s.metadata, s.configuration, s.created_at, s.updated_at, s.lines_added, s.lines_removed
    FROM members m
    JOIN sessions s ON s.tenant_id = m.tenant_id AND s.key = m.session_key
    WHERE m.tenant_id = :tenant_id AND m.participant_id = :participant_id AND m.left_at IS NULL
        AND s.shape = 'single' AND s.id IS NOT NULL AND /* where */ true)
SELECT (SELECT count(*) FROM found), page.*
FROM (SELECT 1) one LEFT JOIN (
    SELECT * FROM found ORDER BY at /* way */ LIMIT :limit OFFSET :offset) page ON true
ORDER BY page.at /* way */;

-- name: filter_messages
-- A part of the messages of a chat that a filter lets through, after how many those are.
WITH found AS (
    SELECT m.place AS at, m.id, m.place & 8388607, m.client_id, m.role, m.author, m.text, m.parts,
        m.metadata, m.token_count, m.created_at
    FROM chats c
    JOIN sessions s ON s.tenant_id = c.tenant_id AND s.key = c.session_key
    CROSS JOIN messages m NOT INDEXED ON m.place BETWEEN c.num << 23 AND (c.num << 23) + 8388607 AND m.tenant_id = c.tenant_id
    WHERE c.tenant_id = :tenant_id AND c.key = :key AND c.id IS NOT NULL AND /* where */ true)
SELECT (SELECT count(*) FROM found), page.*
FROM (SELECT 1) one LEFT JOIN (
    SELECT * FROM found ORDER BY at /* way */ LIMIT :limit OFFSET :offset) page ON true
ORDER BY page.at /* way */;

-- name: newest_messages
-- The newest messages of single sessions that a filter lets through, each after the id of its session.
SELECT s.id, m.id, m.place & 8388607, m.client_id, m.role, m.author, m.text, m.parts,
    m.metadata, m.token_count, m.created_at
FROM messages m
JOIN chats c ON c.num = m.place >> 23 AND c.tenant_id = m.tenant_id AND c.id IS NOT NULL
JOIN sessions s ON s.tenant_id = c.tenant_id AND s.key = c.session_key AND s.shape = 'single' AND s.id IS NOT NULL
WHERE m.tenant_id = :tenant_id AND /* where */ true
ORDER BY m.id DESC LIMIT :limit;
