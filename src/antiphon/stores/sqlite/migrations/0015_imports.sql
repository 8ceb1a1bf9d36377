-- Imports of what exports wrote, and moves of a whole instance.

-- What an import has written so far is a husk, which a deletion of its own (`deletion_id`, mode `import`) would remove
-- when its window ends: the end of the import takes that deletion away and gives the husk its ids. `cursor` is the place
-- in the file, `chat_key` the chat, at which the next step goes on; `participant_ids` stand there by kind and name. The lease is
-- judged by the database's clock alone.
CREATE TABLE imports (
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
    id BLOB NOT NULL,
    digest TEXT NOT NULL,
    kind TEXT NOT NULL,
    target_id TEXT NOT NULL,
    target_key BLOB NOT NULL,
    session_key BLOB NOT NULL,
    chat_key BLOB,
    deletion_id BLOB NOT NULL,
    participant_ids TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('writing', 'done', 'failed')),
    cursor INTEGER NOT NULL,
    done INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL,
    last_error TEXT,
    created_at INTEGER NOT NULL,
    settled_at INTEGER,
    lease_node BLOB,
    lease_until INTEGER,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, digest)
) STRICT;
-- scope: system, what is over, or abandoned, is looked for over all tenants.
CREATE INDEX imports_by_age ON imports (state, created_at);

-- scope: system, a whole instance moves. How far an unfinished move into this database has come, a row for each table.
CREATE TABLE moves (
    source TEXT NOT NULL,
    name TEXT NOT NULL,
    rows_done INTEGER NOT NULL,
    PRIMARY KEY (source, name)
) STRICT;
