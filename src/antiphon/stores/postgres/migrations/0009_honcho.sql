-- Conclusions and cards: what is known of somebody.

-- What an observer knows of an observed one; `key` is the order of making. With a `session_key` it was drawn from that
-- session alone, and goes with it.
CREATE TABLE conclusions (
    tenant_id uuid NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
    key uuid NOT NULL,
    id text NOT NULL,
    observer_id uuid NOT NULL,
    observed_id uuid NOT NULL,
    session_key uuid,
    content text NOT NULL,
    level text NOT NULL,
    times_derived integer NOT NULL,
    metadata text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, key),
    FOREIGN KEY (tenant_id, observer_id) REFERENCES participants (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, observed_id) REFERENCES participants (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, session_key) REFERENCES sessions (tenant_id, key) ON DELETE CASCADE
);
CREATE UNIQUE INDEX conclusions_by_id ON conclusions (tenant_id, id);
CREATE INDEX conclusions_of_pair ON conclusions (tenant_id, observer_id, observed_id, key);
CREATE INDEX conclusions_of_observed ON conclusions (tenant_id, observed_id);
CREATE INDEX conclusions_of_session ON conclusions (tenant_id, session_key) WHERE session_key IS NOT NULL;

-- The lines, a JSON list of texts, that an observer keeps on an observed one.
CREATE TABLE cards (
    tenant_id uuid NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
    observer_id uuid NOT NULL,
    observed_id uuid NOT NULL,
    lines text NOT NULL,
    PRIMARY KEY (tenant_id, observer_id, observed_id),
    FOREIGN KEY (tenant_id, observer_id) REFERENCES participants (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, observed_id) REFERENCES participants (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX cards_of_observed ON cards (tenant_id, observed_id);

-- Messages of which their senders said that nothing is to be derived.
CREATE TABLE quiet_messages (
    tenant_id uuid NOT NULL,
    chat_key uuid NOT NULL,
    message_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, chat_key, message_id),
    FOREIGN KEY (tenant_id, chat_key) REFERENCES chats (tenant_id, key) ON DELETE CASCADE
);
