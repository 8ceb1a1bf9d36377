-- name: insert_ticket
-- A ticket of a key that may be used, and when it ends by the database's clock.
WITH maker AS MATERIALIZED (
    SELECT id FROM keys WHERE tenant_id = :tenant_id AND id = :key_id AND revoked_at IS NULL FOR KEY SHARE)
INSERT INTO tickets (tenant_id, digest, key_id, expires_at)
SELECT :tenant_id, :digest, id, now() + make_interval(secs => :lifetime_seconds) FROM maker
RETURNING expires_at;

-- name: redeem_ticket
-- Takes a ticket away, so that nobody has it twice; tells whether it was still good.
DELETE FROM tickets WHERE tenant_id = :tenant_id AND digest = :digest RETURNING expires_at > now();

-- name: sweep_tickets
-- Some tickets of the tenant that nobody has used in time; those that another sweep is at are left to it.
DELETE FROM tickets WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM tickets
    WHERE tenant_id = :tenant_id AND expires_at <= now() ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED));
