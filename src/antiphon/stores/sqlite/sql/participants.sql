-- name: find_participant
-- The participant of that kind and name, unless the tenant is detached.
SELECT id, kind, name, metadata, configuration, created_at, is_implied
FROM participants WHERE tenant_id = :tenant_id AND kind = :kind AND name = :name
    AND EXISTS (SELECT 1 FROM tenants WHERE tenant_id = :tenant_id AND name IS NOT NULL);

-- name: find_participant_by_id
-- The participant of that id, unless it or the tenant is detached.
SELECT id, kind, name, metadata, configuration, created_at, is_implied
FROM participants WHERE tenant_id = :tenant_id AND id = :id AND kind <> 'gone'
    AND EXISTS (SELECT 1 FROM tenants WHERE tenant_id = :tenant_id AND name IS NOT NULL);

-- name: insert_participant
-- A new participant.
INSERT INTO participants (tenant_id, id, kind, name, metadata, configuration, created_at, is_implied)
VALUES (:tenant_id, :id, :kind, :name, :metadata, :configuration, :now, :is_implied);

-- name: name_participant
-- One whom nobody had named is named.
UPDATE participants SET is_implied = 0 WHERE tenant_id = :tenant_id AND id = :id;

-- name: update_participant
-- Metadata and configuration where they are given.
UPDATE participants
SET metadata = coalesce(:metadata, metadata), configuration = coalesce(:configuration, configuration)
WHERE tenant_id = :tenant_id AND id = :id;

-- name: list_participants
-- Those of a kind whom somebody has named, in order of making.
SELECT id, kind, name, metadata, configuration, created_at
FROM participants WHERE tenant_id = :tenant_id AND kind = :kind AND NOT is_implied
ORDER BY num LIMIT :limit OFFSET :offset;

-- name: list_participants_reversed
-- The same, the newest first.
SELECT id, kind, name, metadata, configuration, created_at
FROM participants WHERE tenant_id = :tenant_id AND kind = :kind AND NOT is_implied
ORDER BY num DESC LIMIT :limit OFFSET :offset;

-- name: count_owned_chats
-- Moves the number of chats with a UUID as id that a participant owns.
UPDATE participants SET chat_count = chat_count + :by WHERE tenant_id = :tenant_id AND id = :id;

-- name: owned_chats
-- How many chats with a UUID as id the participant of that name owns, and its id.
SELECT id, chat_count FROM participants WHERE tenant_id = :tenant_id AND kind = 'peer' AND name = :name
    AND EXISTS (SELECT 1 FROM tenants WHERE tenant_id = :tenant_id AND name IS NOT NULL);
