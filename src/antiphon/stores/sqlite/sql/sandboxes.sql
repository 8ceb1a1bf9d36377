-- name: find_sandbox
-- The sandbox of a multi session that is there, whether it has a row or not.
SELECT s.tenant_id, s.key, s.id, b.place, coalesce(b.is_named, 0), b.session_key IS NOT NULL, b.state,
    coalesce(b.version, 0), b.last_activity_at, b.expires_at, b.runtime_expires_at, b.hibernate_after, b.run_id, b.error,
    EXISTS (SELECT 1 FROM chats c
        WHERE c.tenant_id = s.tenant_id AND c.session_key = s.key AND c.active_turn IS NOT NULL),
    s.updated_at
FROM sessions s LEFT JOIN sandboxes b ON b.tenant_id = s.tenant_id AND b.session_key = s.key
WHERE s.tenant_id = :tenant_id AND s.key = :session_key AND s.id IS NOT NULL AND s.shape = 'multi'
    AND EXISTS (SELECT 1 FROM tenants t WHERE t.tenant_id = :tenant_id AND t.name IS NOT NULL);

-- name: session_with_sandbox
-- The session of a chat, if it ever had a sandbox.
SELECT b.session_key FROM chats c
JOIN sandboxes b ON b.tenant_id = c.tenant_id AND b.session_key = c.session_key
WHERE c.tenant_id = :tenant_id AND c.key = :chat_key AND c.id IS NOT NULL;

-- name: put_sandbox
-- A sandbox as it is now.
INSERT INTO sandboxes (tenant_id, session_key, place, is_named, state, version, last_activity_at, expires_at,
    runtime_expires_at, hibernate_after, run_id, error)
VALUES (:tenant_id, :session_key, :place, :is_named, :state, :version, :last_activity_at, :expires_at,
    :runtime_expires_at, :hibernate_after, :run_id, :error)
ON CONFLICT (tenant_id, session_key) DO UPDATE
SET place = excluded.place, is_named = excluded.is_named, state = excluded.state, version = excluded.version,
    last_activity_at = excluded.last_activity_at, expires_at = excluded.expires_at,
    runtime_expires_at = excluded.runtime_expires_at, hibernate_after = excluded.hibernate_after,
    run_id = excluded.run_id, error = excluded.error;

-- name: touch_session
-- The session has changed.
UPDATE sessions SET updated_at = :now WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL;

-- name: is_placed
-- Whether a session's sandbox has a directory, the session being there or not.
SELECT 1 FROM sandboxes WHERE tenant_id = :tenant_id AND session_key = :session_key AND place IS NOT NULL;

-- name: overdue_sandboxes
-- scope: system, the sandboxes of a place that should have hibernated by now, whosever they are.
SELECT tenant_id, session_key FROM sandboxes
WHERE place = :place AND state IN ('active', 'hibernating') AND hibernate_after < :now
ORDER BY hibernate_after LIMIT :limit;

-- name: files_of_session
-- The sandbox of a detached session whose directory must go first.
SELECT session_key, place FROM sandboxes
WHERE tenant_id = :tenant_id AND session_key = :key AND place IS NOT NULL LIMIT :limit;

-- name: files_of_owner
-- Those of a participant's detached sessions.
SELECT b.session_key, b.place FROM sessions s
JOIN sandboxes b ON b.tenant_id = s.tenant_id AND b.session_key = s.key
WHERE s.tenant_id = :tenant_id AND s.owner_id = :key AND s.id IS NULL AND b.place IS NOT NULL LIMIT :limit;

-- name: files_of_tenant
-- Those of a whole tenant.
SELECT session_key, place FROM sandboxes WHERE tenant_id = :tenant_id AND place IS NOT NULL LIMIT :limit;

-- name: clear_files
-- The directory is gone.
UPDATE sandboxes SET place = NULL WHERE tenant_id = :tenant_id AND session_key = :session_key;

-- name: purge_sandboxes_of_session
-- The sandbox of a session, once its directory is gone.
DELETE FROM sandboxes WHERE tenant_id = :tenant_id AND session_key = :key AND place IS NULL AND :limit > 0;

-- name: purge_sandboxes_of_tenant
-- Some sandboxes of a tenant, likewise.
DELETE FROM sandboxes WHERE (tenant_id, session_key) IN (
    SELECT tenant_id, session_key FROM sandboxes WHERE tenant_id = :tenant_id AND place IS NULL LIMIT :limit);
