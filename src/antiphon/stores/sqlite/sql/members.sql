-- name: set_message_metadata
-- The metadata of a message.
UPDATE messages SET metadata = :metadata WHERE tenant_id = :tenant_id AND id = :id;

-- name: leave_members
-- Some members leave a session, or all but some; their rows stay, for what they were.
UPDATE members AS m SET left_at = :now
WHERE m.tenant_id = :tenant_id AND m.session_key = :session_key AND m.left_at IS NULL AND EXISTS (
    SELECT 1 FROM participants p
    WHERE p.tenant_id = :tenant_id AND p.id = m.participant_id AND p.kind = :kind
        AND (p.name IN (SELECT value FROM json_each(:names))) <> :is_staying);

-- name: member_settings
-- How somebody who is or was in a session that is there observes and is observed.
SELECT m.observe_me, m.observe_others FROM members m
JOIN sessions s ON s.tenant_id = m.tenant_id AND s.key = m.session_key AND s.id IS NOT NULL
JOIN participants p ON p.tenant_id = m.tenant_id AND p.id = m.participant_id AND p.kind = 'peer'
WHERE m.tenant_id = :tenant_id AND m.session_key = :session_key AND p.name = :name;

-- name: set_member
-- A member's settings where they are given.
UPDATE members
SET observe_me = coalesce(:observe_me, observe_me),
    observe_others = coalesce(:observe_others, observe_others)
WHERE tenant_id = :tenant_id AND session_key = :session_key AND participant_id = :participant_id;

-- name: drop_members
-- All places in a session, to make room for those of another.
DELETE FROM members WHERE tenant_id = :tenant_id AND session_key = :session_key;

-- name: copy_members
-- The places of one session, with all that is in them, in another.
INSERT INTO members (tenant_id, session_key, participant_id, observe_me, observe_others, joined_at, left_at)
SELECT tenant_id, :session_key, participant_id, observe_me, observe_others, joined_at, left_at
FROM members WHERE tenant_id = :tenant_id AND session_key = :source_key ORDER BY num;
