-- name: insert_webhook
-- A webhook, unless the tenant has as many as it may have: then nothing changes.
INSERT INTO webhooks (tenant_id, id, url, events, secret, created_at)
SELECT :tenant_id, :id, :url, :events, :secret, :created_at
WHERE (SELECT count(*) FROM webhooks WHERE tenant_id = :tenant_id) < :webhooks_max;

-- name: find_webhook
-- The webhook of that id.
SELECT id, tenant_id, url, events, secret, created_at, disabled_at FROM webhooks
WHERE tenant_id = :tenant_id AND id = :id
    AND EXISTS (SELECT 1 FROM tenants WHERE tenant_id = :tenant_id AND name IS NOT NULL);

-- name: list_webhooks
-- All webhooks of a tenant, oldest first.
SELECT id, tenant_id, url, events, secret, created_at, disabled_at FROM webhooks
WHERE tenant_id = :tenant_id
    AND EXISTS (SELECT 1 FROM tenants WHERE tenant_id = :tenant_id AND name IS NOT NULL)
ORDER BY id;

-- name: list_events
-- What the webhooks of a tenant want to be told.
SELECT events FROM webhooks WHERE tenant_id = :tenant_id AND disabled_at IS NULL;

-- name: disable_webhook
-- Nothing is told to it any more.
UPDATE webhooks SET disabled_at = :now WHERE tenant_id = :tenant_id AND id = :id;

-- name: enable_webhook
-- It is told again.
UPDATE webhooks SET disabled_at = NULL WHERE tenant_id = :tenant_id AND id = :id;

-- name: delete_deliveries
-- Some deliveries of a webhook that is being removed.
DELETE FROM webhook_deliveries WHERE num IN (
    SELECT num FROM webhook_deliveries WHERE tenant_id = :tenant_id AND webhook_id = :id LIMIT :limit);

-- name: delete_webhook
-- The webhook itself, and deliveries that came meanwhile.
DELETE FROM webhooks WHERE tenant_id = :tenant_id AND id = :id;

-- name: enqueue_event
-- One delivery for each webhook of the tenant that wants the event; in the transaction of what it tells of.
INSERT INTO webhook_deliveries (tenant_id, webhook_id, id, event, body, state, run_after, give_up_at, created_at)
SELECT tenant_id, id, :event_id, :event, :body, 'waiting', CAST(unixepoch('subsec') * 1000000 AS INTEGER),
    CAST(unixepoch('subsec') * 1000000 AS INTEGER) + :patience, :now
FROM webhooks WHERE tenant_id = :tenant_id AND disabled_at IS NULL AND instr(events, :quoted_event) > 0;

-- name: due_webhooks
-- scope: system, tenants with a webhook that nobody holds and whose first waiting delivery may be sent now.
SELECT tenant_id FROM (
    SELECT w.tenant_id, (
        SELECT d.run_after FROM webhook_deliveries d
        WHERE d.tenant_id = w.tenant_id AND d.webhook_id = w.id AND d.state = 'waiting' ORDER BY d.num LIMIT 1
        ) AS run_after
    FROM webhooks w WHERE coalesce(w.lease_until, 0) <= CAST(unixepoch('subsec') * 1000000 AS INTEGER))
WHERE run_after <= CAST(unixepoch('subsec') * 1000000 AS INTEGER)
GROUP BY tenant_id ORDER BY min(run_after);

-- name: claim_webhook
-- Takes the lease of the webhook whose first waiting delivery may be sent, and has been able to for longest.
UPDATE webhooks SET lease_node = :node, lease_until = CAST(unixepoch('subsec') * 1000000 AS INTEGER) + :lease
WHERE tenant_id = :tenant_id AND id = (
    SELECT id FROM (
        SELECT w.id, (
            SELECT d.run_after FROM webhook_deliveries d
            WHERE d.tenant_id = :tenant_id AND d.webhook_id = w.id AND d.state = 'waiting' ORDER BY d.num LIMIT 1
            ) AS run_after
        FROM webhooks w
        WHERE w.tenant_id = :tenant_id AND coalesce(w.lease_until, 0) <= CAST(unixepoch('subsec') * 1000000 AS INTEGER))
    WHERE run_after <= CAST(unixepoch('subsec') * 1000000 AS INTEGER)
    ORDER BY run_after LIMIT 1)
RETURNING id, tenant_id, url, events, secret, created_at, disabled_at;

-- name: first_delivery
-- What waits longest for a webhook.
SELECT id, webhook_id, event, body, state, attempts, run_after, last_error, last_status, created_at, settled_at
FROM webhook_deliveries
WHERE tenant_id = :tenant_id AND webhook_id = :webhook_id AND state = 'waiting' ORDER BY num LIMIT 1;

-- name: waiting_farewell
-- Whether a webhook of a tenant is still to be told of a detach that is not older than so long.
SELECT 1 FROM webhook_deliveries d JOIN webhooks w ON w.tenant_id = d.tenant_id AND w.id = d.webhook_id
WHERE d.tenant_id = :tenant_id AND d.state = 'waiting' AND d.event = :event AND w.disabled_at IS NULL
    AND d.created_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER) - :patience LIMIT 1;

-- name: return_webhook
-- Gives back the lease, if this process still holds it.
UPDATE webhooks SET lease_node = NULL, lease_until = NULL
WHERE tenant_id = :tenant_id AND id = :id AND lease_node = :node
    AND lease_until > CAST(unixepoch('subsec') * 1000000 AS INTEGER);

-- name: settle_delivery
-- What came of an attempt: delivered, to be sent again, or given up when the next attempt would be too late.
UPDATE webhook_deliveries
SET attempts = attempts + 1, last_error = :error, last_status = :status,
    run_after = CAST(unixepoch('subsec') * 1000000 AS INTEGER) + :delay,
    state = CASE
        WHEN :error IS NULL THEN 'delivered'
        WHEN :is_last OR CAST(unixepoch('subsec') * 1000000 AS INTEGER) + :delay >= give_up_at THEN 'failed'
        ELSE 'waiting'
    END,
    settled_at = CASE
        WHEN :error IS NULL OR :is_last OR CAST(unixepoch('subsec') * 1000000 AS INTEGER) + :delay >= give_up_at
            THEN CAST(unixepoch('subsec') * 1000000 AS INTEGER)
    END
WHERE tenant_id = :tenant_id AND webhook_id = :webhook_id AND id = :id AND state = 'waiting'
RETURNING state;

-- name: prune_deliveries
-- Some deliveries of a webhook that were settled long ago.
DELETE FROM webhook_deliveries WHERE num IN (
    SELECT num FROM webhook_deliveries
    WHERE tenant_id = :tenant_id AND webhook_id = :webhook_id
        AND settled_at < CAST(unixepoch('subsec') * 1000000 AS INTEGER) - :kept
    ORDER BY settled_at LIMIT :limit);

-- name: release_webhooks
-- scope: system, the webhooks that a process holds, of whichever tenants they are.
UPDATE webhooks SET lease_node = NULL, lease_until = NULL WHERE lease_node = :node;

-- name: list_deliveries
-- Deliveries of a webhook, the newest first, older than a given one.
SELECT id, webhook_id, event, body, state, attempts, run_after, last_error, last_status, created_at, settled_at
FROM webhook_deliveries
WHERE tenant_id = :tenant_id AND webhook_id = :webhook_id
    AND (:before IS NULL OR id < :before)
    AND EXISTS (SELECT 1 FROM tenants WHERE tenant_id = :tenant_id AND name IS NOT NULL)
ORDER BY id DESC LIMIT :limit;

-- name: resend_delivery
-- A delivery waits again as if it were new, in its old place.
UPDATE webhook_deliveries
SET state = 'waiting', attempts = 0, settled_at = NULL, run_after = CAST(unixepoch('subsec') * 1000000 AS INTEGER),
    give_up_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER) + :patience
WHERE tenant_id = :tenant_id AND webhook_id = :webhook_id AND id = :id
    AND EXISTS (SELECT 1 FROM tenants WHERE tenant_id = :tenant_id AND name IS NOT NULL)
RETURNING id, webhook_id, event, body, state, attempts, run_after, last_error, last_status, created_at, settled_at;
