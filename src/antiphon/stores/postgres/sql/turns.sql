-- name: chat_to_claim
-- What a claim of the chat's slot looks at, while the chat has an id; held, as an append and the detach hold it.
SELECT message_count, active_turn, last_turn FROM chats
WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL FOR UPDATE;

-- name: lease_of_turn
-- Whether the lease of a turn is over; nothing once the turn itself is.
SELECT expires_at <= now() FROM turns
WHERE tenant_id = :tenant_id AND id = :id AND state = 'running';

-- name: count_live_turns
-- How many turns of the tenant run under a lease that holds.
SELECT count(*) FROM turns
WHERE tenant_id = :tenant_id AND state = 'running'
    AND expires_at > now();

-- name: messages_after
-- How many messages stand after a place, counted up to a limit, and how long they are together.
SELECT count(*), coalesce(sum(size), 0) FROM (
    SELECT length(text) + length(coalesce(parts, '')) + length(metadata) AS size FROM messages
    WHERE tenant_id = :tenant_id AND chat_key = :key AND seq > :seq LIMIT :limit) m;

-- name: delete_messages_after
-- Removes what stands after a place.
DELETE FROM messages WHERE tenant_id = :tenant_id AND chat_key = :key AND seq > :seq;

-- name: rewind_chat
-- Moves the counters of a chat whose last message is the one of that place again; the places after it stay used.
UPDATE chats
SET message_count = message_count - :removed,
    last_message_at = (
        SELECT created_at FROM messages WHERE tenant_id = :tenant_id AND chat_key = :key AND seq = :seq),
    last_answer_at = (
        SELECT created_at FROM messages
        WHERE tenant_id = :tenant_id AND chat_key = :key AND seq <= :seq AND role = 'assistant'
        ORDER BY seq DESC LIMIT 1)
WHERE tenant_id = :tenant_id AND key = :key;

-- name: place_before
-- The last place that is taken before one, in the same chat.
SELECT seq FROM messages WHERE tenant_id = :tenant_id AND chat_key = :key AND seq < :seq ORDER BY seq DESC LIMIT 1;

-- name: replace_message
-- Gives a stored message another content; who said it, when, and under which ids stays.
UPDATE messages SET text = :text, parts = :parts, metadata = :metadata, token_count = :token_count
WHERE tenant_id = :tenant_id AND id = :id
RETURNING id, seq, client_id, role, author, text, parts, metadata, token_count, created_at;

-- name: insert_turn
-- A new turn with its lease.
INSERT INTO turns (tenant_id, id, chat_key, state, node, reply_id, reply_parts, model, agent_name, started_at,
    expires_at)
VALUES (:tenant_id, :id, :chat_key, 'running', :node, :reply_id, :reply_parts, :model, :agent_name, :now,
    now() + make_interval(secs => :lease_seconds));

-- name: take_slot
-- Gives the chat's slot to a turn.
UPDATE chats
SET active_turn = :turn_id, last_turn = :turn_id, title = coalesce(CAST(:title AS text), title), updated_at = :now
WHERE tenant_id = :tenant_id AND key = :key;

-- name: free_slot
-- Takes the chat's slot from a turn, if it still has it.
UPDATE chats SET active_turn = NULL WHERE tenant_id = :tenant_id AND key = :key AND active_turn = :turn_id;

-- name: note_answer
-- An answer of the chat was gone on with.
UPDATE chats SET last_answer_at = :answered_at, updated_at = :now WHERE tenant_id = :tenant_id AND key = :key;

-- name: delete_events
-- Removes the events of a turn.
DELETE FROM turn_events WHERE tenant_id = :tenant_id AND turn_id = :turn_id;

-- name: append_events
-- Takes the next numbers for events of a turn that runs in this process, and stores them, under a lock that the chat's
-- detach excludes. Nothing comes back when the turn is over, the chat is gone, or the numbers are not the next.
WITH chat AS MATERIALIZED (
    SELECT key FROM chats
    WHERE id IS NOT NULL AND key = (SELECT chat_key FROM turns WHERE tenant_id = :tenant_id AND id = :id)
        AND tenant_id = :tenant_id FOR SHARE),
counted AS (
    UPDATE turns SET event_count = event_count + :count
    WHERE tenant_id = :tenant_id AND id = :id AND node = :node AND state = 'running' AND event_count = :first
        AND EXISTS (SELECT 1 FROM chat)
    RETURNING id, is_stop_requested),
stored AS (
    INSERT INTO turn_events (tenant_id, turn_id, first, count, body)
    SELECT :tenant_id, counted.id, :first, :count, :body FROM counted)
SELECT is_stop_requested FROM counted;

-- name: insert_events
-- Some events of a turn.
INSERT INTO turn_events (tenant_id, turn_id, first, count, body) VALUES (:tenant_id, :turn_id, :first, :count, :body);

-- name: chat_of_turn
-- The chat of a turn, while it has an id, held as a claim holds it; and the message that the turn makes.
SELECT c.key, c.last_seq, t.reply_id, c.id
FROM turns t JOIN chats c ON c.tenant_id = t.tenant_id AND c.key = t.chat_key
WHERE c.tenant_id = :tenant_id AND t.tenant_id = :tenant_id AND t.id = :id AND c.id IS NOT NULL FOR UPDATE OF c;

-- name: end_turn
-- Ends a turn that runs: for its own process, or, without one, when its lease is over.
UPDATE turns SET state = :state, error = :error, event_count = event_count + :count, ended_at = :now
WHERE tenant_id = :tenant_id AND id = :id AND state = 'running' AND (
    node = :node OR (CAST(:node AS uuid) IS NULL AND expires_at <= now()))
RETURNING event_count;

-- name: renew_turns
-- Extends the leases of all turns that a process runs, while their chats have ids; also those that nobody has closed.
UPDATE turns SET expires_at = now() + make_interval(secs => :lease_seconds)
WHERE tenant_id = :tenant_id AND node = :node AND state = 'running' AND EXISTS (
    SELECT 1 FROM chats c WHERE c.tenant_id = :tenant_id AND c.key = turns.chat_key AND c.id IS NOT NULL)
RETURNING id;

-- name: request_stop
-- Asks the process that runs a turn to stop it.
UPDATE turns SET is_stop_requested = true WHERE tenant_id = :tenant_id AND id = :id AND state = 'running';

-- name: stopping_turns
-- The turns of a process that somebody asked to stop.
SELECT id FROM turns WHERE tenant_id = :tenant_id AND node = :node AND state = 'running' AND is_stop_requested;

-- name: find_turn
-- The turn of that id.
SELECT * FROM turn_rows WHERE tenant_id = :tenant_id AND id = :id;

-- name: find_last_turn
-- The turn that had a chat's slot last.
SELECT * FROM turn_rows
WHERE tenant_id = :tenant_id AND id = (SELECT last_turn FROM chats WHERE tenant_id = :tenant_id AND key = :chat_key);

-- name: events_of_turn
-- A turn, and its chunks from the one that holds an event on: their columns as three arrays in order.
WITH chunks AS MATERIALIZED (
    SELECT first, count, body FROM turn_events
    WHERE tenant_id = :tenant_id AND turn_id = :id AND first + count > :first AND first >= coalesce((
        SELECT max(first) FROM turn_events WHERE tenant_id = :tenant_id AND turn_id = :id AND first <= :first), 0)
    ORDER BY first LIMIT :limit)
SELECT ARRAY(SELECT first FROM chunks ORDER BY first), ARRAY(SELECT count FROM chunks ORDER BY first),
    ARRAY(SELECT body FROM chunks ORDER BY first), t.*
FROM turn_rows t WHERE t.tenant_id = :tenant_id AND t.id = :id;

-- name: expired_turns
-- scope: system, turns whose processes are dead, of whichever tenants they are, while their chats have ids.
SELECT t.tenant_id, t.id FROM turns t JOIN chats c ON c.tenant_id = t.tenant_id AND c.key = t.chat_key
WHERE t.state = 'running' AND t.expires_at <= now() AND c.id IS NOT NULL
ORDER BY t.expires_at LIMIT :limit;
