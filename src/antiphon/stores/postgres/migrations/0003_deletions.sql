-- The whole deletion engine: more states, participants as targets, tombstones, receipts and their keys.

-- A deletion may wait before it takes hold (`detached_at`), be undone, and ends with a receipt. `target_id` stands there
-- until the end, then only its digest. `total` is about how many rows will go; `cursor` is where a step goes on.
ALTER TABLE deletions ALTER COLUMN detached_at DROP NOT NULL;
ALTER TABLE deletions ADD COLUMN target_id text;
ALTER TABLE deletions ADD COLUMN target_digest text NOT NULL DEFAULT '';
ALTER TABLE deletions ADD COLUMN reason text;
ALTER TABLE deletions ADD COLUMN undo_until timestamptz;
ALTER TABLE deletions ADD COLUMN scrubbed_at timestamptz;
ALTER TABLE deletions ADD COLUMN total integer NOT NULL DEFAULT 0;
ALTER TABLE deletions ADD COLUMN bytes text;
ALTER TABLE deletions ADD COLUMN receipt_id uuid;
ALTER TABLE deletions ADD COLUMN cursor text;
DROP INDEX deletions_waiting;
CREATE INDEX deletions_waiting ON deletions (tenant_id, run_after, id) WHERE state NOT IN ('done', 'undone');
CREATE INDEX deletions_of_target ON deletions (tenant_id, target_key);

-- Digests of ids are keyed by a secret of the tenant, which goes with the tenant: afterwards nobody can try names. A
-- tenant that is older than this gets its own at its first deletion.
ALTER TABLE tenants ADD COLUMN digest_secret bytea;

-- A participant that is removed is looked for in every table that refers to it, also by the server itself.
DROP INDEX sessions_by_owner;
CREATE INDEX sessions_by_owner ON sessions (tenant_id, owner_id, shape);
DROP INDEX chats_of_owner;
CREATE INDEX chats_of_owner ON chats (tenant_id, owner_id, key);
CREATE INDEX keys_of_participant ON keys (tenant_id, participant_id) WHERE participant_id IS NOT NULL;

-- What was deleted, so that it can be known and never be restored. No foreign key to the tenant, as above.
CREATE TABLE tombstones (
    tenant_id uuid NOT NULL,
    kind text NOT NULL,
    key uuid NOT NULL,
    digest text NOT NULL,
    deletion_id uuid NOT NULL,
    deleted_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, kind, key)
);
CREATE INDEX tombstones_by_digest ON tombstones (tenant_id, kind, digest);

-- Signed statements of what deletions removed, a chain per tenant; `hash` is that of `body`, which the next one names.
CREATE TABLE receipts (
    tenant_id uuid NOT NULL,
    sequence integer NOT NULL,
    id uuid NOT NULL,
    deletion_id uuid NOT NULL,
    kid text NOT NULL,
    body text NOT NULL,
    hash text NOT NULL,
    issued_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, sequence),
    UNIQUE (tenant_id, id)
);
-- scope: system, what a key has signed is looked for over all tenants.
CREATE INDEX receipts_by_key ON receipts (kid, issued_at);

-- The newest receipt of each tenant: locked by whoever appends one. `tenant_digest` stands in every receipt: it is made
-- with the tenant's secret while there is one.
CREATE TABLE receipt_heads (
    tenant_id uuid PRIMARY KEY,
    tenant_digest text NOT NULL,
    sequence integer NOT NULL,
    hash text NOT NULL
);

-- scope: system, the public keys with which receipts were signed: they outlive every tenant.
CREATE TABLE signing_keys (
    kid text PRIMARY KEY,
    public_key text NOT NULL,
    created_at timestamptz NOT NULL,
    retired_at timestamptz
);
