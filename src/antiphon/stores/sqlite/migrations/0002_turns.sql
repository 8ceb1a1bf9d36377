-- Turns and their events.

-- The chat's slot holds the turn's id, no longer a wire's text for it; `last_turn` is the one that had it last, also
-- when it is over. The view names the column, so it is made anew.
DROP VIEW chat_rows;
ALTER TABLE chats DROP COLUMN active_turn;
ALTER TABLE chats ADD COLUMN active_turn BLOB;
ALTER TABLE chats ADD COLUMN last_turn BLOB;

-- `expires_at` is judged and moved by the database's clock alone. `event_count` is how many events are stored: the next
-- one's sequence.
CREATE TABLE turns (
    num INTEGER PRIMARY KEY,
    tenant_id BLOB NOT NULL,
    id BLOB NOT NULL,
    chat_key BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'completed', 'failed', 'stopped', 'interrupted')),
    node BLOB NOT NULL,
    reply_id BLOB NOT NULL,
    reply_parts TEXT,
    model TEXT,
    agent_name TEXT NOT NULL,
    is_stop_requested INTEGER NOT NULL DEFAULT 0,
    event_count INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    expires_at INTEGER NOT NULL,
    UNIQUE (tenant_id, id),
    FOREIGN KEY (tenant_id, chat_key) REFERENCES chats (tenant_id, key) ON DELETE CASCADE
) STRICT;
CREATE INDEX turns_of_chat ON turns (tenant_id, chat_key, id);
CREATE INDEX turns_of_node ON turns (tenant_id, node) WHERE state = 'running';
-- scope: system, dead turns are looked for over all tenants.
CREATE INDEX turns_running ON turns (expires_at) WHERE state = 'running';

-- What a turn has said so far, some events a row: the partial text after a crash, and the replay for other processes.
CREATE TABLE turn_events (
    num INTEGER PRIMARY KEY,
    tenant_id BLOB NOT NULL,
    turn_id BLOB NOT NULL,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (tenant_id, turn_id, first),
    FOREIGN KEY (tenant_id, turn_id) REFERENCES turns (tenant_id, id) ON DELETE CASCADE
) STRICT;

CREATE VIEW chat_rows AS
SELECT c.tenant_id, c.num, c.session_key,
    c.key, c.id, s.id AS session_id, s.shape AS session_shape, c.owner_id, p.name AS owner_name, c.title, c.model,
    c.metadata, c.message_count, c.last_seq, c.created_at, c.updated_at, c.last_message_at, c.last_answer_at,
    c.active_turn, c.is_uuid
FROM chats c
JOIN sessions s ON s.tenant_id = c.tenant_id AND s.key = c.session_key
JOIN participants p ON p.tenant_id = c.tenant_id AND p.id = c.owner_id
WHERE c.id IS NOT NULL;

-- A turn as the core sees it, while its chat has an id; whether its lease holds is judged when it is read.
CREATE VIEW turn_rows AS
SELECT t.id, t.tenant_id, t.chat_key, t.state, t.node, t.reply_id, t.reply_parts, t.model, t.agent_name,
    t.is_stop_requested, t.event_count, t.error, t.started_at, t.ended_at,
    t.state = 'running' AND t.expires_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS is_live
FROM turns t JOIN chats c ON c.tenant_id = t.tenant_id AND c.key = t.chat_key
WHERE c.id IS NOT NULL;
