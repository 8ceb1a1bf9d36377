-- name: drop_stale_answer
-- What stands under a digest, if it does not count for the request any more: by its age, or because what it tells of is
-- not there. A claim whose lease is over still says which request it was.
DELETE FROM idempotency WHERE tenant_id = :tenant_id AND digest = :digest AND (
    (expires_at <= CAST(unixepoch('subsec') * 1000000 AS INTEGER) AND (answer IS NOT NULL OR request = :request))
    OR expires_at <= CAST(unixepoch('subsec') * 1000000 AS INTEGER) - :lifetime
    OR (chat_key IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM chats WHERE tenant_id = :tenant_id AND key = idempotency.chat_key AND id IS NOT NULL))
    OR (session_key IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM sessions WHERE tenant_id = :tenant_id AND key = idempotency.session_key AND id IS NOT NULL))
    OR (participant_id IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM participants
        WHERE tenant_id = :tenant_id AND id = idempotency.participant_id AND kind <> 'gone')));

-- name: claim_answer
-- The claim of a request that begins; nothing when the tenant is gone, or something stands there.
INSERT INTO idempotency (tenant_id, digest, request, holder, expires_at)
SELECT tenant_id, :digest, :request, :holder, CAST(unixepoch('subsec') * 1000000 AS INTEGER) + :lease FROM tenants
WHERE tenant_id = :tenant_id AND name IS NOT NULL
ON CONFLICT (tenant_id, digest) DO NOTHING;

-- name: find_answer
-- What stands under a digest.
SELECT request, answer FROM idempotency WHERE tenant_id = :tenant_id AND digest = :digest;

-- name: renew_claim
-- A longer lease for the request that is under way.
UPDATE idempotency SET expires_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER) + :lease
WHERE tenant_id = :tenant_id AND digest = :digest AND holder = :holder AND answer IS NULL;

-- name: keep_answer
-- The answer in the place of the claim, while all that it tells of is there.
UPDATE idempotency
SET answer = :answer, chat_key = :chat_key, session_key = :session_key, participant_id = :participant_id,
    expires_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER) + :lifetime
WHERE tenant_id = :tenant_id AND digest = :digest AND holder = :holder AND answer IS NULL
    AND (:chat_key IS NULL OR EXISTS (
        SELECT 1 FROM chats WHERE tenant_id = :tenant_id AND key = :chat_key AND id IS NOT NULL))
    AND (:session_key IS NULL OR EXISTS (
        SELECT 1 FROM sessions WHERE tenant_id = :tenant_id AND key = :session_key AND id IS NOT NULL))
    AND (:participant_id IS NULL OR EXISTS (
        SELECT 1 FROM participants WHERE tenant_id = :tenant_id AND id = :participant_id AND kind <> 'gone'));

-- name: release_claim
-- A claim whose request has no answer to keep.
DELETE FROM idempotency WHERE tenant_id = :tenant_id AND digest = :digest AND holder = :holder AND answer IS NULL;

-- name: tenants_with_late_answers
-- scope: system, whose kept answers have had their time, from some of the oldest.
SELECT DISTINCT tenant_id FROM (
    SELECT tenant_id FROM idempotency
    WHERE expires_at <= CAST(unixepoch('subsec') * 1000000 AS INTEGER)
        AND (answer IS NOT NULL OR expires_at <= CAST(unixepoch('subsec') * 1000000 AS INTEGER) - :lifetime)
    ORDER BY expires_at LIMIT :limit) page;

-- name: sweep_answers
-- Some kept answers of the tenant that have had their time.
DELETE FROM idempotency WHERE (tenant_id, digest) IN (
    SELECT tenant_id, digest FROM idempotency
    WHERE tenant_id = :tenant_id AND expires_at <= CAST(unixepoch('subsec') * 1000000 AS INTEGER)
        AND (answer IS NOT NULL OR expires_at <= CAST(unixepoch('subsec') * 1000000 AS INTEGER) - :lifetime)
    LIMIT :limit);
