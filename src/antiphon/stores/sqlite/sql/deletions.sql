-- name: insert_deletion
-- The job; when it may run is said by the clock that claims it (it knows milliseconds only). Of a participant more may
-- have to be detached at once, also within an undo window.
INSERT INTO deletions (tenant_id, id, kind, target_key, target_id, target_digest, mode, reason, state, requested_at,
    detached_at, undo_window, undo_until, total, run_after)
VALUES (:tenant_id, :id, :kind, :target_key, :target_id, :target_digest, :mode, :reason, :state, :now, :detached_at,
    :window, CASE WHEN :state = 'detached' THEN CAST(unixepoch('subsec') * 1000000 AS INTEGER) + :window END, :total,
    CAST(unixepoch('subsec') * 1000000 AS INTEGER)
        + CASE WHEN :state = 'detached' AND :kind <> 'participant' THEN :window ELSE 0 END);

-- name: find_deletion
-- The deletion of that id.
SELECT id, tenant_id, kind, target_key, target_id, target_digest, mode, reason, state, requested_at, detached_at,
    undo_until, purged_at, scrubbed_at, counts, total, attempts, run_after, last_error, bytes, receipt_id
FROM deletions WHERE tenant_id = :tenant_id AND id = :id;

-- name: list_deletions
-- The newest deletions of a tenant that were requested before a moment, in some states (none: in any).
SELECT id, tenant_id, kind, target_key, target_id, target_digest, mode, reason, state, requested_at, detached_at,
    undo_until, purged_at, scrubbed_at, counts, total, attempts, run_after, last_error, bytes, receipt_id
FROM deletions
WHERE tenant_id = :tenant_id AND id < :before AND NOT (mode = 'import' AND state = 'detached')
    AND (:states = '[]' OR state IN (SELECT value FROM json_each(:states)))
    AND (:overdue IS NULL OR (state NOT IN ('done', 'undone')
        AND coalesce(undo_until, requested_at) < CAST(unixepoch('subsec') * 1000000 AS INTEGER) - :overdue))
ORDER BY id DESC LIMIT :limit;

-- name: due_deletions
-- scope: system, tenants with work and in how long the first of it may run: how workers find the work of others.
SELECT tenant_id, min(max(run_after, coalesce(lease_until, 0))) - CAST(unixepoch('subsec') * 1000000 AS INTEGER)
FROM deletions WHERE state NOT IN ('done', 'undone') GROUP BY tenant_id;

-- name: claim_deletion
-- Takes the lease of the tenant's oldest job that may run and that nobody holds.
UPDATE deletions SET lease_node = :node, lease_until = CAST(unixepoch('subsec') * 1000000 AS INTEGER) + :lease
WHERE tenant_id = :tenant_id AND id = (
    SELECT id FROM deletions
    WHERE tenant_id = :tenant_id AND state NOT IN ('done', 'undone', 'scrubbing')
        AND run_after <= CAST(unixepoch('subsec') * 1000000 AS INTEGER)
        AND coalesce(lease_until, 0) <= CAST(unixepoch('subsec') * 1000000 AS INTEGER)
    ORDER BY run_after, id LIMIT 1)
RETURNING id, state;

-- name: claim_scrubs
-- Takes the leases of the tenant's jobs of which only bytes are left: one scrub serves them all.
UPDATE deletions SET lease_node = :node, lease_until = CAST(unixepoch('subsec') * 1000000 AS INTEGER) + :lease
WHERE tenant_id = :tenant_id AND id IN (
    SELECT id FROM deletions
    WHERE tenant_id = :tenant_id AND state = 'scrubbing' AND state NOT IN ('done', 'undone')
        AND run_after <= CAST(unixepoch('subsec') * 1000000 AS INTEGER)
        AND coalesce(lease_until, 0) <= CAST(unixepoch('subsec') * 1000000 AS INTEGER)
    ORDER BY run_after, id LIMIT :limit)
RETURNING id, state;

-- name: hold_deletion
-- Extends the lease of a job, if this process still holds it.
UPDATE deletions SET lease_until = CAST(unixepoch('subsec') * 1000000 AS INTEGER) + :lease
WHERE tenant_id = :tenant_id AND id = :id AND state NOT IN ('done', 'undone') AND lease_node = :node
    AND lease_until > CAST(unixepoch('subsec') * 1000000 AS INTEGER)
RETURNING kind, target_key, target_id, state, counts, cursor, undo_window > 0,
    coalesce(undo_until > CAST(unixepoch('subsec') * 1000000 AS INTEGER), 0);

-- name: move_deletion
-- How far a deletion has come: what it has removed, where it goes on, and its state. An undo window begins when it
-- takes hold.
UPDATE deletions
SET counts = :counts, cursor = :cursor, state = :state,
    detached_at = CASE WHEN :state = 'purging' OR :state = 'detached' AND kind <> 'participant'
        THEN coalesce(detached_at, :now) ELSE detached_at END,
    undo_until = CASE WHEN :state = 'detached'
        THEN coalesce(undo_until, CAST(unixepoch('subsec') * 1000000 AS INTEGER) + undo_window) ELSE undo_until END,
    purged_at = CASE WHEN :state = 'scrubbing' THEN coalesce(purged_at, :now) END,
    last_error = NULL
WHERE tenant_id = :tenant_id AND id = :id;

-- name: finish_deletion
-- Nothing is left of the target, its name included.
UPDATE deletions
SET state = 'done', target_id = NULL, scrubbed_at = :now, bytes = :bytes, receipt_id = :receipt_id, last_error = NULL,
    cursor = NULL, lease_node = NULL, lease_until = NULL
WHERE tenant_id = :tenant_id AND id = :id;

-- name: postpone_deletion
-- Gives a job back; after a failure (not while it only waits for something live, or for the end of its window) it shows
-- the error.
UPDATE deletions
SET attempts = attempts + (:error IS NOT NULL), last_error = coalesce(:error, last_error), lease_node = NULL,
    lease_until = NULL,
    run_after = CASE WHEN state = 'detached' AND :error IS NULL
        THEN undo_until ELSE CAST(unixepoch('subsec') * 1000000 AS INTEGER) + :delay END
WHERE tenant_id = :tenant_id AND id = :id AND lease_node = :node;

-- name: retry_deletion
-- Lets a job that waits run now; an undo window stays.
UPDATE deletions SET run_after = CAST(unixepoch('subsec') * 1000000 AS INTEGER)
WHERE tenant_id = :tenant_id AND id = :id AND state NOT IN ('done', 'undone', 'detached')
    AND run_after > CAST(unixepoch('subsec') * 1000000 AS INTEGER);

-- name: release_deletions
-- scope: system, the jobs of a process that ends, of whichever tenants they are.
UPDATE deletions SET lease_node = NULL, lease_until = NULL
WHERE state NOT IN ('done', 'undone') AND lease_node = :node;

-- name: pending_deletions
-- scope: system, how many deletions wait anywhere, and since when the oldest; an import that goes on is none.
SELECT count(*), min(requested_at) FROM deletions
WHERE state NOT IN ('done', 'undone') AND NOT (mode = 'import' AND state = 'detached');

-- name: overdue_deletions
-- scope: system, how many deletions anywhere should have been done by now.
SELECT count(*) FROM deletions
WHERE state NOT IN ('done', 'undone')
    AND coalesce(undo_until, requested_at) < CAST(unixepoch('subsec') * 1000000 AS INTEGER) - :overdue;

-- name: call_off_deletion
-- Ends a deletion that still waits as undone, its name with it: nothing was taken. Comes before the undo, since one that
-- takes hold meanwhile is within its window then.
UPDATE deletions
SET state = 'undone', target_id = NULL, last_error = NULL, cursor = NULL, lease_node = NULL, lease_until = NULL
WHERE tenant_id = :tenant_id AND id = :id AND state = 'waiting';

-- name: undo_deletion
-- Ends a deletion within its window as undone, if it is still there: its name with it.
UPDATE deletions
SET state = 'undone', target_id = NULL, last_error = NULL, cursor = NULL, lease_node = NULL, lease_until = NULL
WHERE tenant_id = :tenant_id AND id = :id AND state = 'detached'
    AND undo_until > CAST(unixepoch('subsec') * 1000000 AS INTEGER)
RETURNING kind, target_key;
