-- Imports of what exports wrote, and moves of a whole instance.

-- What an import has written so far is a husk, which a deletion of its own (`deletion_id`, mode `import`) would remove
-- when its window ends: the end of the import takes that deletion away and gives the husk its ids. `cursor` is the place
-- in the file, `chat_key` the chat, at which the next step goes on; `participant_ids` stand there by kind and name. The lease is
-- judged by the database's clock alone.
CREATE TABLE imports (
    tenant_id uuid NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
    id uuid NOT NULL,
    digest text NOT NULL,
    kind text NOT NULL,
    target_id text NOT NULL,
    target_key uuid NOT NULL,
    session_key uuid NOT NULL,
    chat_key uuid,
    deletion_id uuid NOT NULL,
    participant_ids text NOT NULL,
    state text NOT NULL CHECK (state IN ('writing', 'done', 'failed')),
    cursor bigint NOT NULL,
    done integer NOT NULL DEFAULT 0,
    total integer NOT NULL,
    last_error text,
    created_at timestamptz NOT NULL,
    settled_at timestamptz,
    lease_node uuid,
    lease_until timestamptz,
    PRIMARY KEY (tenant_id, id)
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX imports_by_digest ON imports (tenant_id, digest);
-- scope: system, what is over, or abandoned, is looked for over all tenants.
CREATE INDEX imports_by_age ON imports (state, created_at);

-- scope: system, a whole instance moves. How far an unfinished move into this database has come, a row for each table.
CREATE TABLE moves (
    source text NOT NULL,
    name text NOT NULL,
    rows_done bigint NOT NULL,
    PRIMARY KEY (source, name)
);
