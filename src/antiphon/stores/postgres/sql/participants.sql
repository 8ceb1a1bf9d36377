-- name: find_participant
-- The participant of that kind and name, unless the tenant is detached.
SELECT id, kind, name, metadata, configuration, created_at, is_implied
FROM participants WHERE tenant_id = :tenant_id AND kind = :kind AND name = :name
    AND EXISTS (SELECT 1 FROM tenants WHERE tenant_id = :tenant_id AND name IS NOT NULL);

-- name: find_participants
-- The participants of a kind with these names, unless the tenant is detached.
SELECT id, kind, name, metadata, configuration, created_at, is_implied
FROM participants WHERE tenant_id = :tenant_id AND kind = :kind AND name = ANY (:names)
    AND EXISTS (SELECT 1 FROM tenants WHERE tenant_id = :tenant_id AND name IS NOT NULL);

-- name: find_participant_by_id
-- The participant of that id, unless it or the tenant is detached.
SELECT id, kind, name, metadata, configuration, created_at, is_implied
FROM participants WHERE tenant_id = :tenant_id AND id = :id AND kind <> 'gone'
    AND EXISTS (SELECT 1 FROM tenants WHERE tenant_id = :tenant_id AND name IS NOT NULL);

-- name: insert_participant
-- New participants; those whom somebody else has made meanwhile are missing in the answer.
INSERT INTO participants (tenant_id, id, kind, name, metadata, configuration, created_at, is_implied)
SELECT :tenant_id, made.id, :kind, made.name, :metadata, :configuration, :now, :is_implied
FROM unnest(CAST(:ids AS uuid[]), CAST(:names AS text[])) AS made (id, name)
ON CONFLICT (tenant_id, kind, name) DO NOTHING
RETURNING id;

-- name: hold_implied
-- Those of some whom nobody has named yet; who is being detached is waited for, before anything else is held.
SELECT id FROM participants WHERE tenant_id = :tenant_id AND id = ANY (:ids) AND kind <> 'gone' AND is_implied
ORDER BY id FOR KEY SHARE;

-- name: name_participant
-- Those whom nobody had named are named; whom somebody else has named meanwhile are missing in the answer.
UPDATE participants SET is_implied = false
WHERE tenant_id = :tenant_id AND id = ANY (:ids) AND kind <> 'gone' AND is_implied RETURNING id;

-- name: update_participant
-- Metadata and configuration where they are given, of the participant of that kind and name whom somebody has named,
-- unless the tenant is detached.
UPDATE participants
SET metadata = coalesce(:metadata, metadata), configuration = coalesce(:configuration, configuration)
WHERE tenant_id = :tenant_id AND kind = :kind AND name = :name AND NOT is_implied
    AND EXISTS (SELECT 1 FROM tenants WHERE tenant_id = :tenant_id AND name IS NOT NULL)
RETURNING id, kind, name, metadata, configuration, created_at;

-- name: list_participants
-- Those of a kind whom somebody has named, in order of making, after how many there are.
SELECT CASE WHEN :kind = 'peer' THEN t.peer_count ELSE t.scope_count END, p.*
FROM tenants t
LEFT JOIN LATERAL (
    SELECT id, kind, name, metadata, configuration, created_at
    FROM participants WHERE tenant_id = :tenant_id AND kind = :kind AND NOT is_implied
    ORDER BY id LIMIT :limit OFFSET :offset) p ON true
WHERE t.tenant_id = :tenant_id AND t.name IS NOT NULL ORDER BY p.id;

-- name: list_participants_reversed
-- The same, the newest first.
SELECT CASE WHEN :kind = 'peer' THEN t.peer_count ELSE t.scope_count END, p.*
FROM tenants t
LEFT JOIN LATERAL (
    SELECT id, kind, name, metadata, configuration, created_at
    FROM participants WHERE tenant_id = :tenant_id AND kind = :kind AND NOT is_implied
    ORDER BY id DESC LIMIT :limit OFFSET :offset) p ON true
WHERE t.tenant_id = :tenant_id AND t.name IS NOT NULL ORDER BY p.id DESC;

-- name: lock_owners
-- The owners of chats that are being detached, always in one order.
SELECT id FROM participants WHERE tenant_id = :tenant_id AND id = ANY (:ids) ORDER BY id FOR NO KEY UPDATE;

-- name: count_owned_chats
-- Moves the numbers of chats with a UUID as id that participants own.
UPDATE participants p SET chat_count = p.chat_count + owned.by
FROM unnest(CAST(:ids AS uuid[]), CAST(:counts AS bigint[])) AS owned (id, by)
WHERE p.tenant_id = :tenant_id AND p.id = owned.id;
