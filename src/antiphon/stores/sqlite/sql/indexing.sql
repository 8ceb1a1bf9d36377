-- name: tenants_behind_text
-- scope: system, some tenants with chats that are due: found for whoever does the work, whichever process appended.
SELECT DISTINCT tenant_id FROM chats
WHERE text_due IS NOT NULL AND id IS NOT NULL AND text_due <= :now
LIMIT :limit;

-- name: chats_behind_text
-- The chats of a tenant that are due, longest first.
SELECT key, text_seq, last_seq FROM chats
WHERE tenant_id = :tenant_id AND text_due IS NOT NULL AND id IS NOT NULL AND text_due <= :now
ORDER BY text_due LIMIT :limit;

-- name: claim_text
-- Makes a chat that is due now, and whose cursor is here, due later: one of those who try finds it.
UPDATE chats SET text_due = :due
WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL AND text_seq = :cursor AND text_due <= :now;

-- name: put_off_text
-- Makes a chat due later.
UPDATE chats SET text_due = :due
WHERE tenant_id = :tenant_id AND key = :key AND text_due IS NOT NULL;

-- name: settle_text
-- Moves a cursor; finds nothing when the chat is gone or its cursor is elsewhere by now, which is the fence.
UPDATE chats
SET text_seq = :upto, text_due = CASE WHEN last_seq > :upto THEN :now END
WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL AND text_seq = :cursor;

-- name: backlog_of_text
-- scope: system, how much waits in all: chats, messages at most, and for how long the first.
SELECT count(*), coalesce(sum(last_seq - text_seq), 0), coalesce(:now - min(text_due), 0)
FROM chats WHERE text_due IS NOT NULL AND id IS NOT NULL;

-- name: tenants_behind_vectors
-- scope: system, some tenants with chats that are due: found for whoever does the work, whichever process appended.
SELECT DISTINCT tenant_id FROM chats
WHERE vectors_due IS NOT NULL AND id IS NOT NULL AND vectors_due <= :now
LIMIT :limit;

-- name: chats_behind_vectors
-- The chats of a tenant that are due, longest first.
SELECT key, vectors_seq, last_seq FROM chats
WHERE tenant_id = :tenant_id AND vectors_due IS NOT NULL AND id IS NOT NULL AND vectors_due <= :now
ORDER BY vectors_due LIMIT :limit;

-- name: claim_vectors
-- Makes a chat that is due now, and whose cursor is here, due later: one of those who try finds it.
UPDATE chats SET vectors_due = :due
WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL AND vectors_seq = :cursor AND vectors_due <= :now;

-- name: put_off_vectors
-- Makes a chat due later.
UPDATE chats SET vectors_due = :due
WHERE tenant_id = :tenant_id AND key = :key AND vectors_due IS NOT NULL;

-- name: settle_vectors
-- Moves a cursor; finds nothing when the chat is gone or its cursor is elsewhere by now, which is the fence.
UPDATE chats
SET vectors_seq = :upto, vectors_due = CASE WHEN last_seq > :upto THEN :now END
WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL AND vectors_seq = :cursor;

-- name: backlog_of_vectors
-- scope: system, how much waits in all: chats, messages at most, and for how long the first.
SELECT count(*), coalesce(sum(last_seq - vectors_seq), 0), coalesce(:now - min(vectors_due), 0)
FROM chats WHERE vectors_due IS NOT NULL AND id IS NOT NULL;

-- name: rewind_indexing
-- What is done to messages is done again from one that has changed on. A cursor that is before it moves all the same, so
-- that work which has read the old text is refused.
UPDATE chats
SET text_seq = max(min(text_seq, :seq) - 1, -1), text_due = coalesce(text_due, :now),
    vectors_seq = max(min(vectors_seq, :seq) - 1, -1), vectors_due = coalesce(vectors_due, :now)
WHERE tenant_id = :tenant_id AND key = :key;
