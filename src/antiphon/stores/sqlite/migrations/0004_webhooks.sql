-- Webhooks and their deliveries.

-- Who is told of what happens. `secret` is the webhook's own, or says from which secret of the instance its own is made.
-- `lease_until` is judged and moved by the database's clock alone.
CREATE TABLE webhooks (
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
    id BLOB NOT NULL,
    url TEXT NOT NULL,
    events TEXT NOT NULL,
    secret TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    disabled_at INTEGER,
    lease_node BLOB,
    lease_until INTEGER,
    PRIMARY KEY (tenant_id, id)
) STRICT;

-- What is to be told, in the order of `num` for each webhook; `id` is the event's, the same for all that are told of it.
-- Never holds what people wrote. `run_after` and `give_up_at` are of the database's clock too.
CREATE TABLE webhook_deliveries (
    num INTEGER PRIMARY KEY,
    tenant_id BLOB NOT NULL,
    webhook_id BLOB NOT NULL,
    id BLOB NOT NULL,
    event TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0,
    run_after INTEGER NOT NULL,
    give_up_at INTEGER NOT NULL,
    last_error TEXT,
    last_status INTEGER,
    created_at INTEGER NOT NULL,
    settled_at INTEGER,
    UNIQUE (tenant_id, webhook_id, id),
    FOREIGN KEY (tenant_id, webhook_id) REFERENCES webhooks (tenant_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX webhook_deliveries_in_order ON webhook_deliveries (tenant_id, webhook_id, num);
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (tenant_id, webhook_id, num) WHERE state = 'waiting';
CREATE INDEX webhook_deliveries_settled ON webhook_deliveries (tenant_id, webhook_id, settled_at)
    WHERE settled_at IS NOT NULL;
