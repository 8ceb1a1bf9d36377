-- name: insert_ticket
-- A ticket of a key that may be used, and when it ends by the database's clock.
INSERT INTO tickets (tenant_id, digest, key_id, expires_at)
SELECT :tenant_id, :digest, :key_id, CAST(unixepoch('subsec') * 1000000 AS INTEGER) + :lifetime FROM keys
WHERE tenant_id = :tenant_id AND id = :key_id AND revoked_at IS NULL
RETURNING expires_at;

-- name: redeem_ticket
-- Takes a ticket away, so that nobody has it twice; tells whether it was still good.
DELETE FROM tickets WHERE tenant_id = :tenant_id AND digest = :digest
RETURNING expires_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER);

-- name: sweep_tickets
-- Some tickets of the tenant that nobody has used in time.
DELETE FROM tickets WHERE (tenant_id, digest) IN (
    SELECT tenant_id, digest FROM tickets
    WHERE tenant_id = :tenant_id AND expires_at <= CAST(unixepoch('subsec') * 1000000 AS INTEGER) LIMIT :limit);
