-- Answers that are kept, so that a request which is sent again has one effect and one answer.

-- `digest` stands for the request's `Idempotency-Key` and where it was used, `request` for what it said, and `answer` is
-- sealed under a secret that only who sent that key knows: so the row tells nothing of anybody. Without an answer it is
-- the claim of the request that is under way, and `expires_at` the end of its lease.
CREATE TABLE idempotency (
    tenant_id uuid NOT NULL,
    digest bytea NOT NULL,
    request bytea NOT NULL,
    holder uuid NOT NULL,
    answer bytea,
    chat_key uuid,
    session_key uuid,
    participant_id uuid,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, digest),
    FOREIGN KEY (tenant_id) REFERENCES tenants (tenant_id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, chat_key) REFERENCES chats (tenant_id, key) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, session_key) REFERENCES sessions (tenant_id, key) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, participant_id) REFERENCES participants (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX idempotency_by_end ON idempotency (expires_at, tenant_id);
CREATE INDEX idempotency_of_chat ON idempotency (tenant_id, chat_key) WHERE chat_key IS NOT NULL;
CREATE INDEX idempotency_of_session ON idempotency (tenant_id, session_key) WHERE session_key IS NOT NULL;
CREATE INDEX idempotency_of_participant ON idempotency (tenant_id, participant_id) WHERE participant_id IS NOT NULL;
