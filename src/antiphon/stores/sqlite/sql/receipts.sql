-- name: open_chain
-- A tenant's chain of receipts begins before its first link: its digest can be made while the tenant is there.
INSERT INTO receipt_heads (tenant_id, tenant_digest, sequence, hash) VALUES (:tenant_id, :tenant_digest, 0, :hash)
ON CONFLICT (tenant_id) DO NOTHING;

-- name: chain_head
-- The newest link of a tenant's chain.
SELECT tenant_digest, sequence, hash FROM receipt_heads WHERE tenant_id = :tenant_id;

-- name: find_chain_head
-- The hash of the newest link of a tenant's chain, for who only looks.
SELECT hash FROM receipt_heads WHERE tenant_id = :tenant_id;

-- name: move_chain_head
-- A new link is the newest.
UPDATE receipt_heads SET sequence = :sequence, hash = :hash WHERE tenant_id = :tenant_id;

-- name: insert_receipt
-- A new link.
INSERT INTO receipts (tenant_id, sequence, id, deletion_id, kid, body, hash, issued_at)
VALUES (:tenant_id, :sequence, :id, :deletion_id, :kid, :body, :hash, :issued_at);

-- name: find_receipt
-- The receipt of that id.
SELECT tenant_id, sequence, id, deletion_id, kid, body, hash, issued_at
FROM receipts WHERE tenant_id = :tenant_id AND id = :id;

-- name: list_receipts
-- The links of a tenant's chain after one, in order.
SELECT tenant_id, sequence, id, deletion_id, kid, body, hash, issued_at
FROM receipts WHERE tenant_id = :tenant_id AND sequence > :after ORDER BY sequence LIMIT :limit;

-- name: receipts_of_key
-- scope: system, what a key has signed since a moment: to write again what a crash kept from the file.
SELECT tenant_id, sequence, id, deletion_id, kid, body, hash, issued_at
FROM receipts WHERE kid = :kid AND issued_at >= :after ORDER BY issued_at, id LIMIT :limit;

-- name: insert_signing_key
-- scope: system, a public key belongs to a process, not to a tenant.
INSERT INTO signing_keys (kid, public_key, created_at, retired_at) VALUES (:kid, :public_key, :created_at, :retired_at)
ON CONFLICT (kid) DO NOTHING;

-- name: retire_signing_key
-- scope: system, a key that signs no more is still needed to verify.
UPDATE signing_keys SET retired_at = coalesce(retired_at, :now) WHERE kid = :kid;

-- name: list_signing_keys
-- scope: system, all public keys: whoever verifies needs those of every process.
SELECT kid, public_key, created_at, retired_at FROM signing_keys ORDER BY created_at, kid;
