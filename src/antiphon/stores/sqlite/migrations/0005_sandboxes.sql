-- Sandboxes: the life of the place where a session's agent runs commands.

-- A session without a row has one that was never made. `place` names where its directory is, and is set before that is
-- made and unset after it is removed: so no directory is ever forgotten. The rest is as `domain.sandboxes` says.
CREATE TABLE sandboxes (
    tenant_id BLOB NOT NULL,
    session_key BLOB NOT NULL,
    place TEXT,
    is_named INTEGER NOT NULL,
    state TEXT,
    version INTEGER NOT NULL,
    last_activity_at INTEGER,
    expires_at INTEGER,
    runtime_expires_at INTEGER,
    hibernate_after INTEGER,
    run_id TEXT,
    error TEXT,
    PRIMARY KEY (tenant_id, session_key),
    FOREIGN KEY (tenant_id, session_key) REFERENCES sessions (tenant_id, key)
) STRICT;
-- scope: system, the search for sandboxes whose worker is dead, whosever they are.
CREATE INDEX sandboxes_awake ON sandboxes (place, hibernate_after) WHERE state IN ('active', 'hibernating');
