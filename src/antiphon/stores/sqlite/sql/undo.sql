-- name: find_taken_id
-- Something that has an id by now which a detach has set free.
SELECT 1 FROM chats mine JOIN chats other ON other.tenant_id = mine.tenant_id AND other.id = mine.undo_id
WHERE mine.tenant_id = :tenant_id AND mine.undo_of = :undo_of
UNION ALL
SELECT 1 FROM sessions mine JOIN sessions other ON other.tenant_id = mine.tenant_id AND other.id = mine.undo_id
WHERE mine.tenant_id = :tenant_id AND mine.undo_of = :undo_of
UNION ALL
SELECT 1 FROM participants mine JOIN participants other
    ON other.tenant_id = mine.tenant_id AND other.kind = mine.undo_kind AND other.name = mine.undo_id
WHERE mine.tenant_id = :tenant_id AND mine.undo_of = :undo_of
LIMIT 1;

-- name: find_gone_owner
-- Somebody of these who is detached.
SELECT 1 FROM participants
WHERE tenant_id = :tenant_id AND id IN (SELECT unhex(value) FROM json_each(:ids)) AND kind = 'gone' LIMIT 1;

-- name: may_come_back
-- Whether something that is not there is kept for an undo, or all of its tenant is.
SELECT 1 FROM chats WHERE tenant_id = :tenant_id AND key = :key AND undo_of IS NOT NULL
UNION ALL
SELECT 1 FROM sessions WHERE tenant_id = :tenant_id AND key = :key AND undo_of IS NOT NULL
UNION ALL
SELECT 1 FROM participants WHERE tenant_id = :tenant_id AND id = :key AND undo_of IS NOT NULL
UNION ALL
SELECT 1 FROM tenants WHERE tenant_id = :tenant_id AND undo_of IS NOT NULL
LIMIT 1;

-- name: put_back_tenant
-- Gives a tenant its name back; the statement that takes the name follows it.
UPDATE tenants SET name = undo_id, undo_of = NULL, undo_id = NULL
WHERE tenant_id = :tenant_id AND undo_of = :undo_of AND name IS NULL RETURNING name;

-- name: put_back_participants
-- Gives a participant back what it was called, and what was said of it.
UPDATE participants
SET kind = undo_kind, name = undo_id, metadata = undo_metadata, configuration = undo_configuration,
    undo_of = NULL, undo_id = NULL, undo_kind = NULL, undo_metadata = NULL, undo_configuration = NULL
WHERE tenant_id = :tenant_id AND undo_of = :undo_of RETURNING kind, is_implied;

-- name: put_back_keys
-- Makes the keys good again that a detach has ended.
UPDATE keys SET revoked_at = NULL, undo_of = NULL WHERE tenant_id = :tenant_id AND undo_of = :undo_of;

-- name: put_back_sessions
-- Gives sessions their ids back.
UPDATE sessions SET id = undo_id, undo_of = NULL, undo_id = NULL
WHERE tenant_id = :tenant_id AND undo_of = :undo_of RETURNING key, shape, owner_id;

-- name: put_back_chats
-- Gives chats their ids back, and the slot to a turn that has not ended: it ends with its lease, as any other.
UPDATE chats SET id = undo_id, undo_of = NULL, undo_id = NULL, active_turn = (
    SELECT id FROM turns t
    WHERE t.tenant_id = :tenant_id AND t.chat_key = chats.key AND t.id = chats.last_turn AND t.state = 'running')
WHERE tenant_id = :tenant_id AND undo_of = :undo_of RETURNING key, session_key, owner_id, is_uuid;

-- name: remove_tombstones
-- What a deletion had noted as deleted is not.
DELETE FROM tombstones WHERE tenant_id = :tenant_id AND deletion_id = :deletion_id;
