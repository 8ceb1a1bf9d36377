-- Conclusions and cards: what is known of somebody.

-- What an observer knows of an observed one. With a `session_key` it was drawn from that session alone, and goes with it.
CREATE TABLE conclusions (
    num INTEGER PRIMARY KEY,
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    observer_id BLOB NOT NULL,
    observed_id BLOB NOT NULL,
    session_key BLOB,
    content TEXT NOT NULL,
    level TEXT NOT NULL,
    times_derived INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (tenant_id, id),
    FOREIGN KEY (tenant_id, observer_id) REFERENCES participants (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, observed_id) REFERENCES participants (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, session_key) REFERENCES sessions (tenant_id, key) ON DELETE CASCADE
) STRICT;
CREATE INDEX conclusions_of_pair ON conclusions (tenant_id, observer_id, observed_id, num);
CREATE INDEX conclusions_of_observed ON conclusions (tenant_id, observed_id);
CREATE INDEX conclusions_of_session ON conclusions (tenant_id, session_key) WHERE session_key IS NOT NULL;

-- The lines, a JSON list of texts, that an observer keeps on an observed one.
CREATE TABLE cards (
    num INTEGER PRIMARY KEY,
    tenant_id BLOB NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
    observer_id BLOB NOT NULL,
    observed_id BLOB NOT NULL,
    lines TEXT NOT NULL,
    UNIQUE (tenant_id, observer_id, observed_id),
    FOREIGN KEY (tenant_id, observer_id) REFERENCES participants (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, observed_id) REFERENCES participants (tenant_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX cards_of_observed ON cards (tenant_id, observed_id);

-- Messages of which their senders said that nothing is to be derived.
CREATE TABLE quiet_messages (
    tenant_id BLOB NOT NULL,
    chat_key BLOB NOT NULL,
    message_id BLOB NOT NULL,
    PRIMARY KEY (tenant_id, chat_key, message_id),
    FOREIGN KEY (tenant_id, chat_key) REFERENCES chats (tenant_id, key) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
