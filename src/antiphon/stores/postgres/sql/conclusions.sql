-- name: insert_conclusion
-- A new conclusion.
INSERT INTO conclusions (tenant_id, key, id, observer_id, observed_id, session_key, content, level, times_derived,
    metadata, created_at)
VALUES (:tenant_id, :key, :id, :observer_id, :observed_id, :session_key, :content, :level, 1, '{}', :now);

-- name: filter_conclusions
-- A part of the conclusions that a filter lets through, after how many those are.
WITH found AS (
    SELECT c.key AS at, c.id AS id, o.name AS observer, d.name AS observed, s.id AS session_id, c.content, c.level,
        c.created_at
    FROM conclusions c
    JOIN participants o ON o.tenant_id = c.tenant_id AND o.id = c.observer_id AND o.kind <> 'gone'
    JOIN participants d ON d.tenant_id = c.tenant_id AND d.id = c.observed_id AND d.kind <> 'gone'
    JOIN tenants t ON t.tenant_id = c.tenant_id AND t.name IS NOT NULL
    LEFT JOIN sessions s ON s.tenant_id = c.tenant_id AND s.key = c.session_key
    WHERE c.tenant_id = :tenant_id AND (c.session_key IS NULL OR s.id IS NOT NULL) AND /* where */ true)
SELECT (SELECT count(*) FROM found), page.*
FROM (SELECT 1) one LEFT JOIN (
    SELECT * FROM found ORDER BY at /* way */ LIMIT :limit OFFSET :offset) page ON true
ORDER BY page.at /* way */;

-- name: delete_conclusion
-- A conclusion that is there: one of a session that is detached is not.
DELETE FROM conclusions WHERE tenant_id = :tenant_id AND id = :id AND (session_key IS NULL OR EXISTS (
    SELECT 1 FROM sessions s WHERE s.tenant_id = :tenant_id AND s.key = conclusions.session_key AND s.id IS NOT NULL))
RETURNING id;

-- name: find_card
-- The card that an observer keeps on an observed one.
SELECT k.lines FROM cards k
JOIN participants o ON o.tenant_id = k.tenant_id AND o.id = k.observer_id AND o.kind <> 'gone'
JOIN participants d ON d.tenant_id = k.tenant_id AND d.id = k.observed_id AND d.kind <> 'gone'
JOIN tenants t ON t.tenant_id = k.tenant_id AND t.name IS NOT NULL
WHERE k.tenant_id = :tenant_id AND k.observer_id = :observer_id AND k.observed_id = :observed_id;

-- name: put_card
-- A card, in place of the one there was.
INSERT INTO cards (tenant_id, observer_id, observed_id, lines)
VALUES (:tenant_id, :observer_id, :observed_id, :lines)
ON CONFLICT (tenant_id, observer_id, observed_id) DO UPDATE SET lines = excluded.lines;

-- name: purge_conclusions_of_session
-- Some conclusions of sessions.
DELETE FROM conclusions WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM conclusions
    WHERE tenant_id = :tenant_id AND session_key = ANY (:keys) ORDER BY key LIMIT :limit));

-- name: purge_conclusions_of_participant
-- Some conclusions of a participant.
DELETE FROM conclusions WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM conclusions
    WHERE tenant_id = :tenant_id AND (observer_id = :key OR observed_id = :key) ORDER BY key LIMIT :limit));

-- name: purge_conclusions_of_tenant
-- Some conclusions of a tenant.
DELETE FROM conclusions WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM conclusions
    WHERE tenant_id = :tenant_id ORDER BY key LIMIT :limit));

-- name: purge_cards_of_participant
-- Some cards of a participant.
DELETE FROM cards WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM cards
    WHERE tenant_id = :tenant_id AND (observer_id = :key OR observed_id = :key) ORDER BY observer_id, observed_id LIMIT :limit));

-- name: purge_cards_of_tenant
-- Some cards of a tenant.
DELETE FROM cards WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM cards
    WHERE tenant_id = :tenant_id ORDER BY observer_id, observed_id LIMIT :limit));
