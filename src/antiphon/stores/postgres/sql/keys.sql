-- name: insert_key
-- A new credential, unless the tenant or the participant is detached.
WITH tenant AS MATERIALIZED (
    SELECT tenant_id FROM tenants WHERE tenant_id = :tenant_id AND name IS NOT NULL FOR SHARE),
bearer AS MATERIALIZED (
    SELECT id FROM participants
    WHERE tenant_id = :tenant_id AND id = :participant_id AND kind <> 'gone' FOR KEY SHARE)
INSERT INTO keys (tenant_id, id, participant_id, session_id, scope, label, secret_hash, created_at, expires_at)
SELECT :tenant_id, :id, :participant_id, :session_id, :scope, :label, :secret_hash, :created_at, :expires_at FROM tenant
WHERE CAST(:participant_id AS uuid) IS NULL OR EXISTS (SELECT 1 FROM bearer)
RETURNING id;

-- name: find_key
-- A key of a tenant that is there, unless it is revoked.
SELECT k.id, k.tenant_id, k.participant_id, p.name, k.session_id, k.scope, k.label, k.secret_hash, k.created_at,
    k.expires_at, k.revoked_at
FROM keys k
JOIN tenants t ON t.tenant_id = k.tenant_id AND t.name IS NOT NULL
LEFT JOIN participants p ON p.tenant_id = k.tenant_id AND p.id = k.participant_id
WHERE k.tenant_id = :tenant_id AND k.id = :id AND k.revoked_at IS NULL;

-- name: list_keys
-- All keys of a tenant that are not revoked, oldest first; none once it is detached.
SELECT k.id, k.tenant_id, k.participant_id, p.name, k.session_id, k.scope, k.label, k.secret_hash, k.created_at,
    k.expires_at, k.revoked_at
FROM keys k
JOIN tenants t ON t.tenant_id = k.tenant_id AND t.name IS NOT NULL
LEFT JOIN participants p ON p.tenant_id = k.tenant_id AND p.id = k.participant_id
WHERE k.tenant_id = :tenant_id AND k.revoked_at IS NULL ORDER BY k.id;

-- name: revoke_key
-- Ends a key for good; one that is ended already stays as it was, also when its participant comes back.
UPDATE keys SET revoked_at = coalesce(revoked_at, :now), undo_of = NULL
WHERE tenant_id = :tenant_id AND id = :id RETURNING id;

-- name: load_keys
-- The usable ones of some keys, with tenant and participant: what a request needs to know of its caller.
SELECT k.id, k.tenant_id, k.participant_id, p.name, k.session_id, k.scope, k.label, k.secret_hash, k.created_at,
    k.expires_at, k.revoked_at, t.name, t.agent_name
FROM keys k
JOIN tenants t ON t.tenant_id = k.tenant_id AND t.name IS NOT NULL
LEFT JOIN participants p ON p.tenant_id = k.tenant_id AND p.id = k.participant_id
WHERE k.tenant_id = :tenant_id AND k.id = ANY (:ids) AND k.revoked_at IS NULL;
