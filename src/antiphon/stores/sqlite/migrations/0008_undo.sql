-- Undo windows: within one, what a detach has set free can be put back.

-- What a tenant has set for itself, a JSON object.
ALTER TABLE tenants ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';

-- `undo_of` is the deletion within whose window a row is detached, and what stands beside it is what is put back. Only
-- an undo reads it; it goes with its row.
ALTER TABLE tenants ADD COLUMN undo_of BLOB;
ALTER TABLE tenants ADD COLUMN undo_id TEXT;
ALTER TABLE participants ADD COLUMN undo_of BLOB;
ALTER TABLE participants ADD COLUMN undo_id TEXT;
ALTER TABLE participants ADD COLUMN undo_kind TEXT;
ALTER TABLE participants ADD COLUMN undo_metadata TEXT;
ALTER TABLE participants ADD COLUMN undo_configuration TEXT;
ALTER TABLE keys ADD COLUMN undo_of BLOB;
ALTER TABLE sessions ADD COLUMN undo_of BLOB;
ALTER TABLE sessions ADD COLUMN undo_id TEXT;
ALTER TABLE chats ADD COLUMN undo_of BLOB;
ALTER TABLE chats ADD COLUMN undo_id TEXT;
CREATE INDEX participants_by_undo ON participants (tenant_id, undo_of) WHERE undo_of IS NOT NULL;
CREATE INDEX keys_by_undo ON keys (tenant_id, undo_of) WHERE undo_of IS NOT NULL;
CREATE INDEX sessions_by_undo ON sessions (tenant_id, undo_of) WHERE undo_of IS NOT NULL;
CREATE INDEX chats_by_undo ON chats (tenant_id, undo_of) WHERE undo_of IS NOT NULL;

-- For how long, in microseconds, a deletion may be undone once it has taken hold.
ALTER TABLE deletions ADD COLUMN undo_window INTEGER NOT NULL DEFAULT 0;

CREATE INDEX tombstones_of_deletion ON tombstones (tenant_id, deletion_id);
