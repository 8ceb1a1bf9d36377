-- Tenants, participants, sessions, chats, messages, keys, connections, deletions.
--
-- Every table belongs to a tenant but the three marked `scope: system`. Tables that hold what people wrote have a rowid:
-- a clustered one leaves copies of deleted rows behind, even with secure_delete (measured).

-- scope: system, which migrations this database has had.
CREATE TABLE schema_migrations (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT;

-- scope: system, the directory of names: a name must be unique over all tenants, and a request knows nothing else.
CREATE TABLE tenant_names (
    name TEXT PRIMARY KEY,
    tenant_id BLOB NOT NULL
) STRICT;

-- `name` is NULL once the tenant is detached. The counters are the totals of unfiltered lists, and every creation that
-- moves one is fenced by the name.
CREATE TABLE tenants (
    tenant_id BLOB PRIMARY KEY,
    name TEXT,
    agent_name TEXT NOT NULL,
    metadata TEXT NOT NULL,
    configuration TEXT NOT NULL,
    peer_count INTEGER NOT NULL DEFAULT 0,
    scope_count INTEGER NOT NULL DEFAULT 0,
    single_count INTEGER NOT NULL DEFAULT 0,
    multi_count INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL
) STRICT;

-- `chat_count` counts the chats with a UUID as id that the participant owns.
CREATE TABLE participants (
    num INTEGER PRIMARY KEY,
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
    id BLOB NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    metadata TEXT NOT NULL,
    configuration TEXT NOT NULL,
    chat_count INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    UNIQUE (tenant_id, id),
    UNIQUE (tenant_id, kind, name)
) STRICT;
CREATE INDEX participants_in_order ON participants (tenant_id, kind, num);

-- The secret itself is nowhere: `secret_hash` is its SHA-256.
CREATE TABLE keys (
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
    id BLOB NOT NULL,
    participant_id BLOB,
    session_id TEXT,
    scope TEXT NOT NULL,
    label TEXT,
    secret_hash BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, participant_id) REFERENCES participants (tenant_id, id) ON DELETE CASCADE
) STRICT;

-- `id` is NULL once the session is detached; `key` is its generation.
CREATE TABLE sessions (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
    key BLOB NOT NULL,
    id TEXT,
    shape TEXT NOT NULL CHECK (shape IN ('single', 'multi')),
    owner_id BLOB NOT NULL,
    title TEXT NOT NULL,
    status TEXT NOT NULL,
    artist_id TEXT,
    metadata TEXT NOT NULL,
    configuration TEXT NOT NULL,
    chat_count INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (tenant_id, key),
    FOREIGN KEY (tenant_id, owner_id) REFERENCES participants (tenant_id, id) ON DELETE CASCADE
) STRICT;
CREATE UNIQUE INDEX sessions_by_id ON sessions (tenant_id, id) WHERE id IS NOT NULL;
CREATE INDEX sessions_in_order ON sessions (tenant_id, shape, num) WHERE id IS NOT NULL;
CREATE INDEX sessions_by_owner ON sessions (tenant_id, owner_id, shape) WHERE id IS NOT NULL;

-- Who is or was in a session: `left_at` is set when a member leaves.
CREATE TABLE members (
    num INTEGER PRIMARY KEY,
    tenant_id BLOB NOT NULL,
    session_key BLOB NOT NULL,
    participant_id BLOB NOT NULL,
    observe_me INTEGER,
    observe_others INTEGER,
    joined_at INTEGER NOT NULL,
    left_at INTEGER,
    UNIQUE (tenant_id, session_key, participant_id),
    FOREIGN KEY (tenant_id, session_key) REFERENCES sessions (tenant_id, key) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, participant_id) REFERENCES participants (tenant_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX members_by_participant ON members (tenant_id, participant_id);

-- `id` is NULL once the chat is detached. `num` is never used again: it is half of the place of every message.
-- `text_size` is the sum of the characters of its messages, to tell a cheap read from a long one.
CREATE TABLE chats (
    num INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id BLOB NOT NULL,
    key BLOB NOT NULL,
    id TEXT,
    is_uuid INTEGER NOT NULL,
    session_key BLOB NOT NULL,
    owner_id BLOB NOT NULL,
    title TEXT NOT NULL,
    model TEXT,
    metadata TEXT NOT NULL,
    last_seq INTEGER NOT NULL DEFAULT 0,
    message_count INTEGER NOT NULL DEFAULT 0,
    text_size INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    last_message_at INTEGER,
    last_answer_at INTEGER,
    active_turn TEXT,
    UNIQUE (tenant_id, key),
    FOREIGN KEY (tenant_id, session_key) REFERENCES sessions (tenant_id, key) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, owner_id) REFERENCES participants (tenant_id, id) ON DELETE CASCADE
) STRICT;
CREATE UNIQUE INDEX chats_by_id ON chats (tenant_id, id) WHERE id IS NOT NULL;
CREATE INDEX chats_of_session ON chats (tenant_id, session_key, num);
CREATE INDEX chats_of_owner ON chats (tenant_id, owner_id, num) WHERE id IS NOT NULL AND is_uuid = 1;

-- `place` is the chat's `num` times 2^23 plus the message's seq: a page is one range of the table itself, and deleted
-- rows leave no copy behind. `author` repeats the participant's name, which never changes: a page needs no join.
CREATE TABLE messages (
    place INTEGER PRIMARY KEY,
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    client_id TEXT,
    role TEXT NOT NULL,
    author_id BLOB NOT NULL,
    author TEXT NOT NULL,
    text TEXT NOT NULL,
    parts TEXT,
    metadata TEXT NOT NULL,
    token_count INTEGER,
    created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX messages_by_id ON messages (tenant_id, id);
CREATE UNIQUE INDEX messages_by_client_id ON messages (tenant_id, place >> 23, client_id) WHERE client_id IS NOT NULL;

-- When a participant last read a chat.
CREATE TABLE reads (
    tenant_id BLOB NOT NULL,
    chat_key BLOB NOT NULL,
    participant_id BLOB NOT NULL,
    read_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, chat_key, participant_id),
    FOREIGN KEY (tenant_id, chat_key) REFERENCES chats (tenant_id, key) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, participant_id) REFERENCES participants (tenant_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX reads_by_participant ON reads (tenant_id, participant_id);

-- Live sockets; `expires_at` is judged and moved by the database's clock alone.
CREATE TABLE connections (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    chat_key BLOB NOT NULL,
    participant_id BLOB NOT NULL,
    node BLOB NOT NULL,
    opened_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, chat_key) REFERENCES chats (tenant_id, key) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, participant_id) REFERENCES participants (tenant_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX connections_of_chat ON connections (tenant_id, chat_key);
CREATE INDEX connections_of_node ON connections (tenant_id, node);
CREATE INDEX connections_of_participant ON connections (tenant_id, participant_id);

-- No foreign key to the tenant: deleting a tenant must not erase the proof of it.
CREATE TABLE deletions (
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    kind TEXT NOT NULL,
    target_key BLOB NOT NULL,
    mode TEXT NOT NULL,
    state TEXT NOT NULL,
    requested_at INTEGER NOT NULL,
    detached_at INTEGER NOT NULL,
    purged_at INTEGER,
    counts TEXT NOT NULL DEFAULT '{}',
    attempts INTEGER NOT NULL DEFAULT 0,
    run_after INTEGER NOT NULL,
    last_error TEXT,
    lease_node BLOB,
    lease_until INTEGER,
    PRIMARY KEY (tenant_id, id)
) STRICT;
CREATE INDEX deletions_waiting ON deletions (tenant_id, run_after) WHERE state = 'purging';

-- A chat as the core sees it, after three columns for the store's own use.
CREATE VIEW chat_rows AS
SELECT c.tenant_id, c.num, c.session_key,
    c.key, c.id, s.id AS session_id, s.shape AS session_shape, c.owner_id, p.name AS owner_name, c.title, c.model,
    c.metadata, c.message_count, c.last_seq, c.created_at, c.updated_at, c.last_message_at, c.last_answer_at,
    c.active_turn, c.is_uuid
FROM chats c
JOIN sessions s ON s.tenant_id = c.tenant_id AND s.key = c.session_key
JOIN participants p ON p.tenant_id = c.tenant_id AND p.id = c.owner_id
WHERE c.id IS NOT NULL;
