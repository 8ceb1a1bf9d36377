-- name: insert_deletion
-- The job, and the beginning of the tenant's chain of receipts where it has none: its digest can be made while the tenant
-- is there. When the job may run is said by the clock that claims it. Of a participant more may have to be detached at
-- once, also within an undo window.
WITH chain AS (
    INSERT INTO receipt_heads (tenant_id, tenant_digest, sequence, hash) VALUES (:tenant_id, :tenant_digest, 0, :hash)
    ON CONFLICT (tenant_id) DO NOTHING)
INSERT INTO deletions (tenant_id, id, kind, target_key, target_id, target_digest, mode, reason, state, requested_at,
    detached_at, undo_window, undo_until, total, run_after)
VALUES (:tenant_id, :id, CAST(:kind AS text), :target_key, :target_id, :target_digest, :mode, :reason,
    CAST(:state AS text), :now, :detached_at, make_interval(secs => :undo_seconds),
    CASE WHEN CAST(:state AS text) = 'detached' THEN now() + make_interval(secs => :undo_seconds) END, :total,
    now() + CASE WHEN CAST(:state AS text) = 'detached' AND CAST(:kind AS text) <> 'participant'
        THEN make_interval(secs => :undo_seconds) ELSE interval '0' END)
RETURNING id, tenant_id, kind, target_key, target_id, target_digest, mode, reason, state, requested_at, detached_at,
    undo_until, purged_at, scrubbed_at, counts, total, attempts, run_after, last_error, bytes, receipt_id;

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
    AND (CAST(:states AS text[]) = '{}' OR state = ANY (:states))
    AND (CAST(:overdue_seconds AS double precision) IS NULL OR (state NOT IN ('done', 'undone')
        AND coalesce(undo_until, requested_at) < now() - make_interval(secs => :overdue_seconds)))
ORDER BY id DESC LIMIT :limit;

-- name: due_deletions
-- scope: system, tenants with work and in how many seconds the first of it may run: how workers find the work of others.
SELECT tenant_id, extract(epoch FROM min(greatest(run_after, lease_until)) - now())::double precision
FROM deletions WHERE state NOT IN ('done', 'undone') GROUP BY tenant_id;

-- name: claim_deletion
-- Takes the lease of the tenant's oldest job that may run and that nobody holds.
UPDATE deletions SET lease_node = :node, lease_until = now() + make_interval(secs => :lease_seconds)
WHERE tenant_id = :tenant_id AND id = ANY (ARRAY (
    SELECT id FROM deletions
    WHERE tenant_id = :tenant_id AND state NOT IN ('done', 'undone') AND state <> 'scrubbing' AND run_after <= now()
        AND (lease_until IS NULL OR lease_until <= now())
    ORDER BY run_after, id LIMIT 1 FOR UPDATE SKIP LOCKED))
RETURNING id, state;

-- name: claim_scrubs
-- Takes the leases of the tenant's jobs of which only bytes are left: one scrub serves them all.
UPDATE deletions SET lease_node = :node, lease_until = now() + make_interval(secs => :lease_seconds)
WHERE tenant_id = :tenant_id AND id = ANY (ARRAY (
    SELECT id FROM deletions
    WHERE tenant_id = :tenant_id AND state NOT IN ('done', 'undone') AND state = 'scrubbing' AND run_after <= now()
        AND (lease_until IS NULL OR lease_until <= now())
    ORDER BY run_after, id LIMIT :limit FOR UPDATE SKIP LOCKED))
RETURNING id, state;

-- name: hold_deletion
-- Extends the lease of a job, if this process still holds it.
UPDATE deletions SET lease_until = now() + make_interval(secs => :lease_seconds)
WHERE tenant_id = :tenant_id AND id = :id AND state NOT IN ('done', 'undone') AND lease_node = :node
    AND lease_until > now()
RETURNING kind, target_key, target_id, state, counts, cursor, undo_window > interval '0',
    coalesce(undo_until > now(), false);

-- name: move_deletion
-- How far a deletion has come: what it has removed, where it goes on, and its state. An undo window begins when it
-- takes hold.
UPDATE deletions
SET counts = :counts, cursor = :cursor, state = CAST(:state AS text),
    detached_at = CASE
        WHEN CAST(:state AS text) = 'purging' OR CAST(:state AS text) = 'detached' AND kind <> 'participant'
        THEN coalesce(detached_at, :now) ELSE detached_at END,
    undo_until = CASE WHEN CAST(:state AS text) = 'detached'
        THEN coalesce(undo_until, now() + undo_window) ELSE undo_until END,
    purged_at = CASE WHEN CAST(:state AS text) = 'scrubbing' THEN coalesce(purged_at, :now) END,
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
SET attempts = attempts + CASE WHEN CAST(:error AS text) IS NULL THEN 0 ELSE 1 END,
    last_error = coalesce(:error, last_error), lease_node = NULL, lease_until = NULL,
    run_after = CASE WHEN state = 'detached' AND CAST(:error AS text) IS NULL
        THEN undo_until ELSE now() + make_interval(secs => :delay_seconds) END
WHERE tenant_id = :tenant_id AND id = :id AND lease_node = :node;

-- name: retry_deletion
-- Lets a job that waits run now; an undo window stays.
UPDATE deletions SET run_after = now()
WHERE tenant_id = :tenant_id AND id = :id AND state NOT IN ('done', 'undone', 'detached') AND run_after > now();

-- name: release_deletions
-- scope: system, the jobs of a process that ends, of whichever tenants they are.
UPDATE deletions SET lease_node = NULL, lease_until = NULL WHERE state NOT IN ('done', 'undone') AND lease_node = :node;

-- name: pending_deletions
-- scope: system, how many deletions wait anywhere, and for how many seconds the oldest; not imports that go on.
SELECT count(*), coalesce(extract(epoch FROM now() - min(requested_at)), 0)::double precision
FROM deletions WHERE state NOT IN ('done', 'undone') AND NOT (mode = 'import' AND state = 'detached');

-- name: overdue_deletions
-- scope: system, how many deletions anywhere should have been done by now.
SELECT count(*) FROM deletions
WHERE state NOT IN ('done', 'undone')
    AND coalesce(undo_until, requested_at) < now() - make_interval(secs => CAST(:overdue_seconds AS double precision));

-- name: call_off_deletion
-- Ends a deletion that still waits as undone, its name with it: nothing was taken. Comes before the undo, since one that
-- takes hold meanwhile is within its window then.
UPDATE deletions
SET state = 'undone', target_id = NULL, last_error = NULL, cursor = NULL, lease_node = NULL, lease_until = NULL
WHERE tenant_id = :tenant_id AND id = :id AND state = 'waiting';

-- name: undo_deletion
-- Ends a deletion within its window as undone, if it is still there: its name with it. Who would go on with it waits.
UPDATE deletions
SET state = 'undone', target_id = NULL, last_error = NULL, cursor = NULL, lease_node = NULL, lease_until = NULL
WHERE tenant_id = :tenant_id AND id = :id AND state = 'detached' AND undo_until > now()
RETURNING kind, target_key;
