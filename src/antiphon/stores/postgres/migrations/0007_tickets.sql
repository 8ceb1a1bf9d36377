-- Tickets: a key for one connection, within a minute.

-- What a ticket is good for stands in its own text, of which this is the digest: so the row tells nothing of anybody.
CREATE TABLE tickets (
    tenant_id uuid NOT NULL,
    digest bytea NOT NULL,
    key_id uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, digest),
    FOREIGN KEY (tenant_id, key_id) REFERENCES keys (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX tickets_of_key ON tickets (tenant_id, key_id);
CREATE INDEX tickets_by_end ON tickets (tenant_id, expires_at);
