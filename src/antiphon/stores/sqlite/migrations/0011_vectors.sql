-- Vectors: what messages and conclusions mean, as numbers of 4 bytes.

-- The vector of a message, at the message's place, and the model that made it: only those of one model are compared.
CREATE TABLE message_vectors (
    place INTEGER PRIMARY KEY,
    tenant_id BLOB NOT NULL,
    model TEXT NOT NULL,
    vector BLOB NOT NULL
) STRICT;
CREATE INDEX message_vectors_of_model ON message_vectors (tenant_id, model);

-- A conclusion has its own in its row. No model: it is still to be made; a model and no vector: it can have none.
ALTER TABLE conclusions ADD COLUMN model TEXT;
ALTER TABLE conclusions ADD COLUMN vector BLOB;
CREATE INDEX conclusions_without_vector ON conclusions (tenant_id, num) WHERE model IS NULL;
