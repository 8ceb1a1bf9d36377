-- name: list_places
-- Some places of a session, those of who has left among them, in order of joining.
SELECT p.kind, p.name, p.metadata, p.configuration, m.observe_me, m.observe_others, m.joined_at, m.left_at
FROM members m
JOIN sessions s ON s.tenant_id = m.tenant_id AND s.key = m.session_key AND s.id IS NOT NULL
JOIN participants p ON p.tenant_id = m.tenant_id AND p.id = m.participant_id AND p.kind <> 'gone'
WHERE m.tenant_id = :tenant_id AND m.session_key = :session_key
ORDER BY m.joined_at, m.join_key LIMIT :limit OFFSET :offset;

-- name: list_marks
-- Some read marks of a chat.
SELECT p.name, r.read_at
FROM reads r
JOIN chats c ON c.tenant_id = r.tenant_id AND c.key = r.chat_key AND c.id IS NOT NULL
JOIN participants p ON p.tenant_id = r.tenant_id AND p.id = r.participant_id AND p.kind = 'peer'
WHERE r.tenant_id = :tenant_id AND r.chat_key = :key
ORDER BY p.name LIMIT :limit OFFSET :offset;

-- name: list_reasoning_marks
-- What some messages of a chat say of whether something is to be derived from them, where they say it.
SELECT message_id, is_on FROM reasoning_marks
WHERE tenant_id = :tenant_id AND chat_key = :key AND message_id = ANY (:ids)
    AND EXISTS (SELECT 1 FROM chats WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL);

-- name: insert_import
-- A new import, in the hands of nobody yet.
INSERT INTO imports (tenant_id, id, digest, kind, target_id, target_key, session_key, deletion_id, participant_ids,
    state,
    cursor, total, created_at)
VALUES (:tenant_id, :id, :digest, :kind, :target_id, :target_key, :session_key, :deletion_id, :participant_ids, 'writing',
    :cursor, :total, :now);

-- name: find_import
-- The import of that id.
SELECT id, digest, kind, target_id, target_key, state, cursor, done, total, last_error, created_at, settled_at
FROM imports WHERE tenant_id = :tenant_id AND id = :id
    AND EXISTS (SELECT 1 FROM tenants WHERE tenant_id = :tenant_id AND name IS NOT NULL);

-- name: find_import_of_file
-- The import of a file with that checksum.
SELECT id, digest, kind, target_id, target_key, state, cursor, done, total, last_error, created_at, settled_at
FROM imports WHERE tenant_id = :tenant_id AND digest = :digest;

-- name: delete_import
-- Forgets an import that is over.
DELETE FROM imports WHERE tenant_id = :tenant_id AND id = :id AND state <> 'writing';

-- name: find_some_chat
-- A chat that has one of these ids.
SELECT 1 FROM chats WHERE tenant_id = :tenant_id AND id = ANY (:ids) AND id IS NOT NULL LIMIT 1;

-- name: is_there
-- Whether a session or a chat of that key has an id.
SELECT 1 FROM sessions WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL
UNION ALL
SELECT 1 FROM chats WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL
LIMIT 1;

-- name: claim_import
-- Takes the lease of an import that nobody else holds.
UPDATE imports SET lease_node = :node, lease_until = now() + make_interval(secs => :lease_seconds)
WHERE tenant_id = :tenant_id AND id = :id AND state = 'writing'
    AND (lease_node = :node OR lease_until IS NULL OR lease_until <= now())
RETURNING id, digest, kind, target_id, target_key, state, cursor, done, total, last_error, created_at, settled_at;

-- name: hold_import
-- Where an import goes on, if this process holds it; extends the lease.
UPDATE imports SET lease_until = now() + make_interval(secs => :lease_seconds)
WHERE tenant_id = :tenant_id AND id = :id AND state = 'writing' AND lease_node = :node
RETURNING target_key, session_key, chat_key, deletion_id, participant_ids, cursor;

-- name: move_import
-- How far an import has come.
UPDATE imports SET cursor = :cursor, done = done + :count, chat_key = :chat_key
WHERE tenant_id = :tenant_id AND id = :id
RETURNING id, digest, kind, target_id, target_key, state, cursor, done, total, last_error, created_at, settled_at;

-- name: settle_import
-- Ends an import that is being written.
UPDATE imports
SET state = :state, last_error = :error, settled_at = :now, participant_ids = '{}', lease_node = NULL, lease_until = NULL
WHERE tenant_id = :tenant_id AND id = :id AND state = 'writing'
RETURNING id, digest, kind, target_id, target_key, state, cursor, done, total, last_error, created_at, settled_at,
    deletion_id;

-- name: forget_names_in_imports
-- Imports that are being written hold the names of their participants: those with one that is detached end at their next
-- step, which finds somebody who is not there, and until then hold none.
UPDATE imports SET participant_ids = :nobody
WHERE tenant_id = :tenant_id AND state = 'writing' AND position(:who IN participant_ids) > 0;

-- name: release_imports
-- scope: system, the imports of a process that ends, of whichever tenants they are.
UPDATE imports SET lease_node = NULL, lease_until = NULL WHERE state = 'writing' AND lease_node = :node;

-- name: abandoned_imports
-- scope: system, imports with which nobody goes on, wherever they are.
SELECT tenant_id, id FROM imports
WHERE state = 'writing'
    AND coalesce(lease_until, created_at) < now() - make_interval(secs => :abandoned_seconds) LIMIT :limit;

-- name: forget_imports
-- scope: system, what has been over for long, wherever it is.
DELETE FROM imports
WHERE state IN ('done', 'failed') AND settled_at < now() - make_interval(secs => :kept_seconds);

-- name: extend_cover
-- Puts off the deletion of what an import has written; nothing when it has begun.
UPDATE deletions
SET undo_until = now() + undo_window,
    run_after = now() + undo_window
WHERE tenant_id = :tenant_id AND id = :id AND mode = 'import' AND state = 'detached'
    AND undo_until > now();

-- name: end_cover
-- Lets the deletion of what an import has written begin.
UPDATE deletions
SET undo_until = now(),
    run_after = now()
WHERE tenant_id = :tenant_id AND id = :id AND mode = 'import' AND state = 'detached';

-- name: drop_cover
-- Takes the deletion of what an import has written away: it is finished, and nothing of it was ever deleted.
DELETE FROM deletions
WHERE tenant_id = :tenant_id AND id = :id AND mode = 'import' AND state = 'detached'
    AND undo_until > now()
RETURNING kind, target_key;

-- name: count_present
-- How many of some participants are there.
SELECT count(*) FROM participants
WHERE tenant_id = :tenant_id AND id = ANY (:ids) AND kind <> 'gone';

-- name: insert_husk_session
-- A session that shows when its import is finished; its chats are counted as they come.
INSERT INTO sessions (tenant_id, key, undo_of, undo_id, shape, owner_id, title, status, artist_id, metadata,
    configuration, chat_count, lines_added, lines_removed, created_at, updated_at)
VALUES (:tenant_id, :key, :undo_of, :id, :shape, :owner_id, :title, :status, :artist_id, :metadata, :configuration,
    :chat_count, :lines_added, :lines_removed, :created_at, :updated_at);

-- name: insert_husk_chat
-- A chat that shows when its import is finished.
INSERT INTO chats (tenant_id, key, undo_of, undo_id, is_uuid, session_key, owner_id, title, model, metadata, created_at,
    updated_at)
VALUES (:tenant_id, :key, :undo_of, :id, :is_uuid, :session_key, :owner_id, :title, :model, :metadata, :created_at,
    :updated_at);

-- name: grow_husk_chat
-- The counters of a chat that is being imported, which is held by this; nothing once it is gone. What is due to be done
-- to its messages is done when it has its id.
UPDATE chats
SET last_seq = greatest(last_seq, CAST(:last_seq AS integer)), message_count = message_count + :count,
    last_message_at = coalesce(:said_at, last_message_at), last_answer_at = coalesce(:answered_at, last_answer_at),
    text_due = coalesce(text_due, :now), vectors_due = coalesce(vectors_due, :now)
WHERE tenant_id = :tenant_id AND key = :key AND undo_of = :undo_of
RETURNING key;

-- name: insert_husk_members
-- Places in a session, where there are none.
INSERT INTO members (tenant_id, session_key, participant_id, join_key, observe_me, observe_others, joined_at, left_at)
SELECT :tenant_id, :session_key, j.participant_id, j.join_key, j.observe_me, j.observe_others, j.joined_at, j.left_at
FROM unnest(CAST(:participant_ids AS uuid[]), CAST(:join_keys AS uuid[]), CAST(:observe_me AS boolean[]),
    CAST(:observe_others AS boolean[]), CAST(:joined_ats AS timestamptz[]), CAST(:left_ats AS timestamptz[]))
    AS j (participant_id, join_key, observe_me, observe_others, joined_at, left_at)
ON CONFLICT (tenant_id, session_key, participant_id) DO NOTHING;

-- name: insert_husk_reads
-- Read marks of a chat, where there are none.
INSERT INTO reads (tenant_id, chat_key, participant_id, read_at)
SELECT :tenant_id, :key, r.participant_id, r.read_at
FROM unnest(CAST(:participant_ids AS uuid[]), CAST(:read_ats AS timestamptz[])) AS r (participant_id, read_at)
ON CONFLICT (tenant_id, chat_key, participant_id) DO NOTHING;

-- name: insert_husk_messages
-- Messages of a chat that is being imported, and held.
WITH given AS (
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:author_ids AS uuid[]), CAST(:created_ats AS timestamptz[]),
        CAST(:seqs AS integer[]), CAST(:token_counts AS integer[]), CAST(:client_ids AS text[]),
        CAST(:roles AS text[]), CAST(:authors AS text[]), CAST(:texts AS text[]), CAST(:parts AS text[]),
        CAST(:metadatas AS text[]), CAST(:are_reasoned AS boolean[]))
    AS m (id, author_id, created_at, seq, token_count, client_id, role, author, text, parts, metadata, is_reasoned)),
marked AS (
    INSERT INTO reasoning_marks (tenant_id, chat_key, message_id, is_on)
    SELECT :tenant_id, :key, id, is_reasoned FROM given WHERE is_reasoned IS NOT NULL)
INSERT INTO messages (tenant_id, chat_key, id, author_id, created_at, seq, token_count, client_id, role, author, text,
    parts, metadata)
SELECT :tenant_id, :key, id, author_id, created_at, seq, token_count, client_id, role, author, text, parts, metadata
FROM given;

-- name: purge_imports_of_tenant
-- Some imports of a tenant.
DELETE FROM imports WHERE tenant_id = :tenant_id AND ctid = ANY (ARRAY (
    SELECT ctid FROM imports WHERE tenant_id = :tenant_id ORDER BY tenant_id, id LIMIT :limit));
