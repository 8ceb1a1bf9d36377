-- Webhooks and their deliveries.

-- Who is told of what happens. `secret` is the webhook's own, or says from which secret of the instance its own is made.
-- `lease_until` is judged and moved by the database's clock alone.
CREATE TABLE webhooks (
    tenant_id uuid NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
    id uuid NOT NULL,
    url text NOT NULL,
    events text NOT NULL,
    secret text NOT NULL,
    created_at timestamptz NOT NULL,
    disabled_at timestamptz,
    lease_node uuid,
    lease_until timestamptz,
    PRIMARY KEY (tenant_id, id)
) WITH (fillfactor = 50);

-- What is to be told, in the order of `id` (a UUIDv7) for each webhook; it is the event's, the same for all that are told
-- of it. Never holds what people wrote. `run_after` and `give_up_at` are of the database's clock too.
CREATE TABLE webhook_deliveries (
    tenant_id uuid NOT NULL,
    webhook_id uuid NOT NULL,
    id uuid NOT NULL,
    event text NOT NULL,
    body text NOT NULL,
    state text NOT NULL CHECK (state IN ('waiting', 'delivered', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    run_after timestamptz NOT NULL,
    give_up_at timestamptz NOT NULL,
    last_error text,
    last_status integer,
    created_at timestamptz NOT NULL,
    settled_at timestamptz,
    PRIMARY KEY (tenant_id, webhook_id, id),
    FOREIGN KEY (tenant_id, webhook_id) REFERENCES webhooks (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (tenant_id, webhook_id, id) WHERE state = 'waiting';
CREATE INDEX webhook_deliveries_settled ON webhook_deliveries (tenant_id, webhook_id, settled_at)
    WHERE settled_at IS NOT NULL;
