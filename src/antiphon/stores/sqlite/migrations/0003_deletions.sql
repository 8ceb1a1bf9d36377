-- The whole deletion engine: more states, participants as targets, tombstones, receipts and their keys.

-- A deletion may wait before it takes hold (`detached_at`), be undone, and ends with a receipt. `target_id` stands there
-- until the end, then only its digest. `total` is about how many rows will go; `cursor` is where a step goes on.
CREATE TABLE deletions_anew (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    kind TEXT NOT NULL,
    target_key BLOB NOT NULL,
    target_id TEXT,
    target_digest TEXT NOT NULL DEFAULT '',
    mode TEXT NOT NULL,
    reason TEXT,
    state TEXT NOT NULL,
    requested_at INTEGER NOT NULL,
    detached_at INTEGER,
    undo_until INTEGER,
    purged_at INTEGER,
    scrubbed_at INTEGER,
    counts TEXT NOT NULL DEFAULT '{}',
    total INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    run_after INTEGER NOT NULL,
    last_error TEXT,
    bytes TEXT,
    receipt_id BLOB,
    cursor TEXT,
    lease_node BLOB,
    lease_until INTEGER,
    PRIMARY KEY (tenant_id, id)
) STRICT;
-- scope: system, all deletions move.
INSERT INTO deletions_anew (tenant_id, id, kind, target_key, mode, state, requested_at, detached_at, purged_at, counts,
    attempts, run_after, last_error, lease_node, lease_until)
SELECT tenant_id, id, kind, target_key, mode, state, requested_at, detached_at, purged_at, counts, attempts, run_after,
    last_error, lease_node, lease_until FROM deletions;
DROP TABLE deletions;
ALTER TABLE deletions_anew RENAME TO deletions;
CREATE INDEX deletions_waiting ON deletions (tenant_id, run_after) WHERE state NOT IN ('done', 'undone');
CREATE INDEX deletions_of_target ON deletions (tenant_id, target_key);

-- What a participant owns is looked for also when it is detached, and by the foreign keys when the participant goes.
DROP INDEX sessions_by_owner;
CREATE INDEX sessions_by_owner ON sessions (tenant_id, owner_id, shape);
DROP INDEX chats_of_owner;
CREATE INDEX chats_of_owner ON chats (tenant_id, owner_id, num);
CREATE INDEX keys_by_participant ON keys (tenant_id, participant_id);

-- Digests of ids are keyed by a secret of the tenant, which goes with the tenant: afterwards nobody can try names.
ALTER TABLE tenants ADD COLUMN digest_secret BLOB;
-- scope: system, every tenant gets one.
UPDATE tenants SET digest_secret = randomblob(32);

-- What was deleted, so that it can be known and never be restored. No foreign key to the tenant, as above.
CREATE TABLE tombstones (
    tenant_id BLOB NOT NULL,
    kind TEXT NOT NULL,
    key BLOB NOT NULL,
    digest TEXT NOT NULL,
    deletion_id BLOB NOT NULL,
    deleted_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, kind, key)
) STRICT;
CREATE INDEX tombstones_by_digest ON tombstones (tenant_id, kind, digest);

-- Signed statements of what deletions removed, a chain per tenant; `hash` is that of `body`, which the next one names.
CREATE TABLE receipts (
    tenant_id BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    id BLOB NOT NULL,
    deletion_id BLOB NOT NULL,
    kid TEXT NOT NULL,
    body TEXT NOT NULL,
    hash TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, sequence),
    UNIQUE (tenant_id, id)
) STRICT;
-- scope: system, what a key has signed is looked for over all tenants.
CREATE INDEX receipts_by_key ON receipts (kid, issued_at);

-- The newest receipt of each tenant: locked by whoever appends one. `tenant_digest` stands in every receipt: it is made
-- with the tenant's secret while there is one.
CREATE TABLE receipt_heads (
    tenant_id BLOB PRIMARY KEY,
    tenant_digest TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    hash TEXT NOT NULL
) STRICT;

-- scope: system, the public keys with which receipts were signed: they outlive every tenant.
CREATE TABLE signing_keys (
    kid TEXT PRIMARY KEY,
    public_key TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    retired_at INTEGER
) STRICT;
