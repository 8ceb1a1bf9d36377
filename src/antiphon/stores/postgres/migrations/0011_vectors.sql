-- Vectors: what messages and conclusions mean, as numbers of 4 bytes.

-- scope: system, pgvector compares them. Where it is not installed, or may not be made by this role, comparing is slower
-- until somebody makes it: the tables do not need it.
DO $$ BEGIN CREATE EXTENSION IF NOT EXISTS vector; EXCEPTION WHEN OTHERS THEN NULL; END $$;

-- The vector of a message, and the model that made it: only those of one model are compared. There is no foreign key, as
-- with messages.
CREATE TABLE message_vectors (
    tenant_id uuid NOT NULL,
    chat_key uuid NOT NULL,
    seq integer NOT NULL,
    model text NOT NULL,
    vector real[] NOT NULL,
    PRIMARY KEY (tenant_id, chat_key, seq)
);
CREATE INDEX message_vectors_of_model ON message_vectors (tenant_id, model);

-- A conclusion has its own in its row. No model: it is still to be made; a model and no vector: it can have none.
ALTER TABLE conclusions ADD COLUMN model text, ADD COLUMN vector real[];
CREATE INDEX conclusions_without_vector ON conclusions (tenant_id, key) WHERE model IS NULL;
