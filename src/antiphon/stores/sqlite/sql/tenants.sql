-- name: insert_tenant
-- A new tenant; its name is taken by the statement after it.
INSERT INTO tenants (tenant_id, name, agent_name, metadata, configuration, settings, digest_secret, created_at)
VALUES (:tenant_id, :name, :agent_name, :metadata, :configuration, :settings, :digest_secret, :now);

-- name: take_tenant_name
-- scope: system, a name is unique over all tenants; nothing is inserted when it is taken.
INSERT INTO tenant_names (name, tenant_id) VALUES (:name, :tenant_id) ON CONFLICT (name) DO NOTHING RETURNING name;

-- name: free_tenant_name
-- The name of a tenant that is being detached, set free for another.
DELETE FROM tenant_names WHERE name = :name AND tenant_id = :tenant_id;

-- name: find_tenant
-- The tenant of that id, while it has a name.
SELECT tenant_id, name, created_at, agent_name, metadata, configuration, settings
FROM tenants WHERE tenant_id = :tenant_id AND name IS NOT NULL;

-- name: find_tenant_by_name
-- scope: system, the way from a name to its tenant.
SELECT t.tenant_id, t.name, t.created_at, t.agent_name, t.metadata, t.configuration, t.settings
FROM tenant_names n JOIN tenants t ON t.tenant_id = n.tenant_id WHERE n.name = :name AND t.name IS NOT NULL;

-- name: list_tenants
-- scope: system, all tenants in order of making (their ids are made in that order).
SELECT tenant_id, name, created_at, agent_name, metadata, configuration, settings
FROM tenants WHERE name IS NOT NULL ORDER BY tenant_id LIMIT :limit OFFSET :offset;

-- name: list_tenants_reversed
-- scope: system, all tenants, the newest first.
SELECT tenant_id, name, created_at, agent_name, metadata, configuration, settings
FROM tenants WHERE name IS NOT NULL ORDER BY tenant_id DESC LIMIT :limit OFFSET :offset;

-- name: count_tenants
-- scope: system, how many tenants there are; asked for by administrators only.
SELECT count(*) FROM tenant_names;

-- name: update_tenant
-- Metadata, configuration, settings and the agent's name as given.
UPDATE tenants
SET metadata = :metadata, configuration = :configuration, settings = :settings, agent_name = :agent_name
WHERE tenant_id = :tenant_id AND name IS NOT NULL;

-- name: count_peers
-- Moves the number of peers; finds nothing once the tenant is detached, which fences late makers.
UPDATE tenants SET peer_count = peer_count + :by WHERE tenant_id = :tenant_id AND name IS NOT NULL RETURNING peer_count;

-- name: count_scopes
-- Moves the number of scopes, with the same fence.
UPDATE tenants SET scope_count = scope_count + :by WHERE tenant_id = :tenant_id AND name IS NOT NULL RETURNING scope_count;

-- name: count_single
-- Moves the number of single sessions, with the same fence.
UPDATE tenants SET single_count = single_count + :by
WHERE tenant_id = :tenant_id AND name IS NOT NULL RETURNING single_count;

-- name: count_multi
-- Moves the number of multi sessions, with the same fence.
UPDATE tenants SET multi_count = multi_count + :by
WHERE tenant_id = :tenant_id AND name IS NOT NULL RETURNING multi_count;

-- name: totals
-- The totals of the tenant's unfiltered lists; finds nothing once it is detached.
SELECT peer_count, scope_count, single_count, multi_count FROM tenants WHERE tenant_id = :tenant_id AND name IS NOT NULL;

-- name: detach_tenant
-- The detach itself: from here on no key, name or creation finds the tenant.
UPDATE tenants SET undo_of = :undo_of, undo_id = CASE WHEN :undo_of IS NOT NULL THEN name END, name = NULL
WHERE tenant_id = :tenant_id AND name IS NOT NULL;
