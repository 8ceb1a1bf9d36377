-- name: page_tenants
-- scope: system, the tenants behind one of them in order of making; asked for by administrators only.
SELECT tenant_id, name, created_at, agent_name, metadata, configuration, settings
FROM tenants WHERE name IS NOT NULL AND (:after IS NULL OR tenant_id > :after) ORDER BY tenant_id LIMIT :limit;

-- name: page_keys
-- The keys of a tenant that are not revoked, behind one of them in order of making.
SELECT k.id, k.tenant_id, k.participant_id, p.name, k.session_id, k.scope, k.label, k.secret_hash, k.created_at,
    k.expires_at, k.revoked_at
FROM keys k
JOIN tenants t ON t.tenant_id = k.tenant_id AND t.name IS NOT NULL
LEFT JOIN participants p ON p.tenant_id = k.tenant_id AND p.id = k.participant_id
WHERE k.tenant_id = :tenant_id AND k.revoked_at IS NULL AND (:after IS NULL OR k.id > :after)
ORDER BY k.id LIMIT :limit;

-- name: page_participants
-- The participants of a kind and a name, or (NULL) of any, behind one of them in order of making.
SELECT p.id, p.kind, p.name, p.metadata, p.configuration, p.created_at, p.is_implied
FROM participants p
JOIN tenants t ON t.tenant_id = p.tenant_id AND t.name IS NOT NULL
WHERE p.tenant_id = :tenant_id AND p.kind <> 'gone' AND (:kind IS NULL OR p.kind = :kind)
    AND (:name IS NULL OR p.name = :name) AND (:after IS NULL OR p.id > :after)
ORDER BY p.id LIMIT :limit;

-- name: page_sessions
-- The sessions of a shape, or (NULL) of both, made before one of them, the newest first.
SELECT s.key, s.id, s.shape, s.owner_id, s.title, s.status, s.artist_id, s.metadata, s.configuration, s.created_at,
    s.updated_at, s.lines_added, s.lines_removed, o.name, s.chat_count
FROM sessions s
JOIN participants o ON o.tenant_id = s.tenant_id AND o.id = s.owner_id
WHERE s.tenant_id = :tenant_id AND s.id IS NOT NULL AND (:shape IS NULL OR s.shape = :shape)
    AND (:before IS NULL OR s.key < :before)
    AND EXISTS (SELECT 1 FROM tenants WHERE tenant_id = :tenant_id AND name IS NOT NULL)
ORDER BY s.key DESC LIMIT :limit;

-- name: page_chosen_sessions
-- The same of what somebody owns, of those of which somebody is a member now, and of one of them; of one owner alone
-- where that is given.
SELECT s.key, s.id, s.shape, s.owner_id, s.title, s.status, s.artist_id, s.metadata, s.configuration, s.created_at,
    s.updated_at, s.lines_added, s.lines_removed, o.name, s.chat_count
FROM sessions s
JOIN participants o ON o.tenant_id = s.tenant_id AND o.id = s.owner_id
WHERE s.tenant_id = :tenant_id AND s.id IS NOT NULL AND s.key IN (
        SELECT key FROM sessions WHERE tenant_id = :tenant_id AND owner_id = :owner_id
        UNION ALL
        SELECT session_key FROM members
        WHERE tenant_id = :tenant_id AND participant_id = :member_id AND left_at IS NULL
        UNION ALL
        SELECT key FROM sessions WHERE tenant_id = :tenant_id AND key = :session_key)
    AND (:only_of IS NULL OR s.owner_id = :only_of) AND (:shape IS NULL OR s.shape = :shape)
    AND (:before IS NULL OR s.key < :before)
    AND EXISTS (SELECT 1 FROM tenants WHERE tenant_id = :tenant_id AND name IS NOT NULL)
ORDER BY s.key DESC LIMIT :limit;

-- name: page_chats
-- The chats made before one of them, the newest first.
SELECT * FROM chat_rows
WHERE tenant_id = :tenant_id AND (:before IS NULL OR key < :before)
    AND EXISTS (SELECT 1 FROM tenants WHERE tenant_id = :tenant_id AND name IS NOT NULL)
ORDER BY key DESC LIMIT :limit;

-- name: page_chosen_chats
-- The same of what somebody owns, of those whose session somebody is a member of now, and of those of a session; of one
-- owner alone where that is given.
SELECT * FROM chat_rows
WHERE tenant_id = :tenant_id AND key IN (
        SELECT key FROM chats WHERE tenant_id = :tenant_id AND owner_id = :owner_id
        UNION ALL
        SELECT c.key FROM members m CROSS JOIN chats c ON c.tenant_id = m.tenant_id AND c.session_key = m.session_key
        WHERE m.tenant_id = :tenant_id AND m.participant_id = :member_id AND m.left_at IS NULL
        UNION ALL
        SELECT key FROM chats WHERE tenant_id = :tenant_id AND session_key = :session_key)
    AND (:only_of IS NULL OR owner_id = :only_of) AND (:before IS NULL OR key < :before)
    AND EXISTS (SELECT 1 FROM tenants WHERE tenant_id = :tenant_id AND name IS NOT NULL)
ORDER BY key DESC LIMIT :limit;
