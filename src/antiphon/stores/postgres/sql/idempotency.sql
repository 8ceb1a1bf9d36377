-- name: drop_stale_answer
-- What stands under a digest, if it does not count for the request any more: by its age, or because what it tells of is
-- not there. A claim whose lease is over still says which request it was.
DELETE FROM idempotency i WHERE i.tenant_id = :tenant_id AND i.digest = :digest AND (
    (i.expires_at <= now() AND (i.answer IS NOT NULL OR i.request = :request))
    OR i.expires_at <= now() - make_interval(secs => :lifetime_seconds)
    OR (i.chat_key IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM chats c WHERE c.tenant_id = :tenant_id AND c.key = i.chat_key AND c.id IS NOT NULL))
    OR (i.session_key IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM sessions s WHERE s.tenant_id = :tenant_id AND s.key = i.session_key AND s.id IS NOT NULL))
    OR (i.participant_id IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM participants p WHERE p.tenant_id = :tenant_id AND p.id = i.participant_id AND p.kind <> 'gone')));

-- name: claim_answer
-- The claim of a request that begins; nothing when the tenant is gone, or something stands there.
WITH home AS MATERIALIZED (
    SELECT tenant_id FROM tenants WHERE tenant_id = :tenant_id AND name IS NOT NULL FOR KEY SHARE)
INSERT INTO idempotency (tenant_id, digest, request, holder, expires_at)
SELECT tenant_id, :digest, :request, :holder, now() + make_interval(secs => :lease_seconds) FROM home
ON CONFLICT (tenant_id, digest) DO NOTHING;

-- name: find_answer
-- What stands under a digest.
SELECT request, answer FROM idempotency WHERE tenant_id = :tenant_id AND digest = :digest;

-- name: renew_claim
-- A longer lease for the request that is under way.
UPDATE idempotency SET expires_at = now() + make_interval(secs => :lease_seconds)
WHERE tenant_id = :tenant_id AND digest = :digest AND holder = :holder AND answer IS NULL;

-- name: keep_answer
-- The answer in the place of the claim, while all that it tells of is there; a detach of that comes before or after.
WITH chat AS MATERIALIZED (
    SELECT 1 FROM chats
    WHERE tenant_id = :tenant_id AND key = CAST(:chat_key AS uuid) AND id IS NOT NULL FOR KEY SHARE),
session AS MATERIALIZED (
    SELECT 1 FROM sessions
    WHERE tenant_id = :tenant_id AND key = CAST(:session_key AS uuid) AND id IS NOT NULL FOR KEY SHARE),
participant AS MATERIALIZED (
    SELECT 1 FROM participants
    WHERE tenant_id = :tenant_id AND id = CAST(:participant_id AS uuid) AND kind <> 'gone' FOR KEY SHARE)
UPDATE idempotency
SET answer = :answer, chat_key = :chat_key, session_key = :session_key, participant_id = :participant_id,
    expires_at = now() + make_interval(secs => :lifetime_seconds)
WHERE tenant_id = :tenant_id AND digest = :digest AND holder = :holder AND answer IS NULL
    AND (CAST(:chat_key AS uuid) IS NULL OR EXISTS (SELECT 1 FROM chat))
    AND (CAST(:session_key AS uuid) IS NULL OR EXISTS (SELECT 1 FROM session))
    AND (CAST(:participant_id AS uuid) IS NULL OR EXISTS (SELECT 1 FROM participant));

-- name: release_claim
-- A claim whose request has no answer to keep.
DELETE FROM idempotency WHERE tenant_id = :tenant_id AND digest = :digest AND holder = :holder AND answer IS NULL;

-- name: tenants_with_late_answers
-- scope: system, whose kept answers have had their time, from some of the oldest.
SELECT DISTINCT tenant_id FROM (
    SELECT tenant_id FROM idempotency
    WHERE expires_at <= now()
        AND (answer IS NOT NULL OR expires_at <= now() - make_interval(secs => :lifetime_seconds))
    ORDER BY expires_at LIMIT :limit) page;

-- name: sweep_answers
-- Some kept answers of the tenant that have had their time; those that another sweep is at are left to it.
DELETE FROM idempotency WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM idempotency
    WHERE tenant_id = :tenant_id AND expires_at <= now()
        AND (answer IS NOT NULL OR expires_at <= now() - make_interval(secs => :lifetime_seconds))
    ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED));
