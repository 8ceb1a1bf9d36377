-- Sandboxes: the life of the place where a session's agent runs commands.

-- A session without a row has one that was never made. `place` names where its directory is, and is set before that is
-- made and unset after it is removed: so no directory is ever forgotten. The rest is as `domain.sandboxes` says.
CREATE TABLE sandboxes (
    tenant_id uuid NOT NULL,
    session_key uuid NOT NULL,
    place text,
    is_named boolean NOT NULL,
    state text,
    version integer NOT NULL,
    last_activity_at timestamptz,
    expires_at timestamptz,
    runtime_expires_at timestamptz,
    hibernate_after timestamptz,
    run_id text,
    error text,
    PRIMARY KEY (tenant_id, session_key),
    FOREIGN KEY (tenant_id, session_key) REFERENCES sessions (tenant_id, key)
);
-- scope: system, the search for sandboxes whose worker is dead, whosever they are.
CREATE INDEX sandboxes_awake ON sandboxes (place, hibernate_after) WHERE state IN ('active', 'hibernating');
