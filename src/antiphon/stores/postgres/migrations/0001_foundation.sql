-- Tenants, participants, sessions, chats, messages, keys, connections, deletions.
--
-- Every table belongs to a tenant but the one marked `scope: system` (and `schema_migrations`, which is made before).
-- What a distributed PostgreSQL asks for holds throughout: `tenant_id` leads every primary key and is in every unique
-- index, foreign keys lead with it on both sides, there is no trigger and no sequence. Keys made by the application
-- (UUIDv7) give the order of making. JSON is text, kept as it was given: the order of its keys and the digits of its
-- numbers survive.

-- scope: system, the directory of names: a name must be unique over all tenants, and a request knows nothing else.
CREATE TABLE tenant_names (
    name text PRIMARY KEY,
    tenant_id uuid NOT NULL
);

-- `name` is NULL once the tenant is detached. The counters are the totals of unfiltered lists, and every creation that
-- moves one is fenced by the name. Rows that are updated often leave room on their page for their next version.
CREATE TABLE tenants (
    tenant_id uuid PRIMARY KEY,
    name text,
    agent_name text NOT NULL,
    metadata text NOT NULL,
    configuration text NOT NULL,
    peer_count bigint NOT NULL DEFAULT 0,
    scope_count bigint NOT NULL DEFAULT 0,
    single_count bigint NOT NULL DEFAULT 0,
    multi_count bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- `chat_count` counts the chats with a UUID as id that the participant owns.
CREATE TABLE participants (
    tenant_id uuid NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
    id uuid NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    metadata text NOT NULL,
    configuration text NOT NULL,
    chat_count bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX participants_by_name ON participants (tenant_id, kind, name);
CREATE INDEX participants_in_order ON participants (tenant_id, kind, id);

-- The secret itself is nowhere: `secret_hash` is its SHA-256.
CREATE TABLE keys (
    tenant_id uuid NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
    id uuid NOT NULL,
    participant_id uuid,
    session_id text,
    scope text NOT NULL,
    label text,
    secret_hash bytea NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, participant_id) REFERENCES participants (tenant_id, id) ON DELETE CASCADE
);

-- `id` is NULL once the session is detached; `key` is its generation, and the order of making.
CREATE TABLE sessions (
    tenant_id uuid NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
    key uuid NOT NULL,
    id text,
    shape text NOT NULL CHECK (shape IN ('single', 'multi')),
    owner_id uuid NOT NULL,
    title text NOT NULL,
    status text NOT NULL,
    artist_id text,
    metadata text NOT NULL,
    configuration text NOT NULL,
    chat_count integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, key),
    FOREIGN KEY (tenant_id, owner_id) REFERENCES participants (tenant_id, id) ON DELETE CASCADE
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX sessions_by_id ON sessions (tenant_id, id) WHERE id IS NOT NULL;
CREATE INDEX sessions_in_order ON sessions (tenant_id, shape, key) WHERE id IS NOT NULL;
CREATE INDEX sessions_by_owner ON sessions (tenant_id, owner_id, shape) WHERE id IS NOT NULL;

-- Who is or was in a session: `left_at` is set when a member leaves. `join_key` is a UUIDv7 of the joining: those who
-- join in one act stand in the order in which they were named.
CREATE TABLE members (
    tenant_id uuid NOT NULL,
    session_key uuid NOT NULL,
    participant_id uuid NOT NULL,
    join_key uuid NOT NULL,
    observe_me boolean,
    observe_others boolean,
    joined_at timestamptz NOT NULL,
    left_at timestamptz,
    PRIMARY KEY (tenant_id, session_key, participant_id),
    FOREIGN KEY (tenant_id, session_key) REFERENCES sessions (tenant_id, key) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, participant_id) REFERENCES participants (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX members_by_participant ON members (tenant_id, participant_id, session_key);

-- `id` is NULL once the chat is detached; `key` is its generation, and the order of making.
CREATE TABLE chats (
    tenant_id uuid NOT NULL,
    key uuid NOT NULL,
    id text,
    is_uuid boolean NOT NULL,
    session_key uuid NOT NULL,
    owner_id uuid NOT NULL,
    title text NOT NULL,
    model text,
    metadata text NOT NULL,
    last_seq integer NOT NULL DEFAULT 0,
    message_count integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    last_message_at timestamptz,
    last_answer_at timestamptz,
    active_turn text,
    PRIMARY KEY (tenant_id, key),
    FOREIGN KEY (tenant_id, session_key) REFERENCES sessions (tenant_id, key) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, owner_id) REFERENCES participants (tenant_id, id) ON DELETE CASCADE
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX chats_by_id ON chats (tenant_id, id) WHERE id IS NOT NULL;
CREATE INDEX chats_of_session ON chats (tenant_id, session_key, key);
CREATE INDEX chats_of_owner ON chats (tenant_id, owner_id, key) WHERE id IS NOT NULL AND is_uuid;

-- `author` repeats the participant's name, which never changes: a page needs no join. There is no foreign key to the
-- chat: every append holds the chat's lock, and a purge removes the messages first, so a check of each row by the
-- database would only cost.
CREATE TABLE messages (
    tenant_id uuid NOT NULL,
    chat_key uuid NOT NULL,
    id uuid NOT NULL,
    author_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    seq integer NOT NULL,
    token_count integer,
    client_id text,
    role text NOT NULL,
    author text NOT NULL,
    text text NOT NULL,
    parts text,
    metadata text NOT NULL,
    PRIMARY KEY (tenant_id, chat_key, seq)
);
CREATE UNIQUE INDEX messages_by_id ON messages (tenant_id, id);
CREATE UNIQUE INDEX messages_by_client_id ON messages (tenant_id, chat_key, client_id) WHERE client_id IS NOT NULL;

-- When a participant last read a chat.
CREATE TABLE reads (
    tenant_id uuid NOT NULL,
    chat_key uuid NOT NULL,
    participant_id uuid NOT NULL,
    read_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, chat_key, participant_id),
    FOREIGN KEY (tenant_id, chat_key) REFERENCES chats (tenant_id, key) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, participant_id) REFERENCES participants (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX reads_by_participant ON reads (tenant_id, participant_id);

-- Live sockets; `expires_at` is judged and moved by the database's clock alone.
CREATE TABLE connections (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    chat_key uuid NOT NULL,
    participant_id uuid NOT NULL,
    node uuid NOT NULL,
    opened_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, chat_key) REFERENCES chats (tenant_id, key) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, participant_id) REFERENCES participants (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX connections_of_chat ON connections (tenant_id, chat_key);
CREATE INDEX connections_of_node ON connections (node, tenant_id);
CREATE INDEX connections_of_participant ON connections (tenant_id, participant_id);

-- No foreign key to the tenant: deleting a tenant must not erase the proof of it.
CREATE TABLE deletions (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL,
    target_key uuid NOT NULL,
    mode text NOT NULL,
    state text NOT NULL,
    requested_at timestamptz NOT NULL,
    detached_at timestamptz NOT NULL,
    purged_at timestamptz,
    counts text NOT NULL DEFAULT '{}',
    attempts integer NOT NULL DEFAULT 0,
    run_after timestamptz NOT NULL,
    last_error text,
    lease_node uuid,
    lease_until timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX deletions_waiting ON deletions (tenant_id, run_after, id) WHERE state = 'purging';

-- A chat as the core sees it, after three columns for the store's own use (tenant_id is one of them).
CREATE VIEW chat_rows AS
SELECT c.tenant_id, c.is_uuid, c.session_key,
    c.key, c.id, s.id AS session_id, s.shape AS session_shape, c.owner_id, p.name AS owner_name, c.title, c.model,
    c.metadata, c.message_count, c.last_seq, c.created_at, c.updated_at, c.last_message_at, c.last_answer_at,
    c.active_turn
FROM chats c
JOIN sessions s ON s.tenant_id = c.tenant_id AND s.key = c.session_key
JOIN participants p ON p.tenant_id = c.tenant_id AND p.id = c.owner_id
WHERE c.id IS NOT NULL;
