-- name: chat_to_index
-- The number of a chat whose texts are indexed up to here.
SELECT num FROM chats WHERE tenant_id = :tenant_id AND key = :key AND id IS NOT NULL AND text_seq = :cursor;

-- name: place_over
-- The first message of a range with which more than so many characters would be taken; the first of all is taken anyway.
SELECT min(place) FROM (
    SELECT place, size, sum(size) OVER (ORDER BY place) AS total FROM (
        SELECT place, length(text) AS size FROM messages NOT INDEXED
        WHERE tenant_id = :tenant_id AND place BETWEEN :low AND :high))
WHERE total > :characters AND total > size;

-- name: index_texts
-- Puts the texts of a range into the index; what is there is replaced.
INSERT OR REPLACE INTO texts (rowid, whose, text)
SELECT place, :whose, lowered(text) FROM messages NOT INDEXED
WHERE tenant_id = :tenant_id AND place BETWEEN :low AND :high;

-- name: search_texts
-- How many messages the index finds (at most so many), and beside it, if it finds fewer, the newest of them, and of
-- those that it does not have yet, that a filter lets through: each after the id of its session.
WITH hits AS MATERIALIZED (
    SELECT rowid AS place FROM texts WHERE texts MATCH :runs AND rowid BETWEEN :low AND :high LIMIT :hits_max),
tail AS MATERIALIZED (
    SELECT m.place FROM chats c
    CROSS JOIN messages m NOT INDEXED
        ON m.place BETWEEN (c.num << 23) + c.text_seq + 1 AND (c.num << 23) + 8388607 AND m.tenant_id = c.tenant_id
    WHERE c.tenant_id = :tenant_id AND c.text_due IS NOT NULL AND c.id IS NOT NULL
        AND c.num BETWEEN :low >> 23 AND :high >> 23)
SELECT head.count, page.* FROM (SELECT count(*) AS count FROM hits) head LEFT JOIN (
    SELECT s.id, m.id AS at, m.place & 8388607, m.client_id, m.role, m.author, m.text, m.parts,
        m.metadata, m.token_count, m.created_at
    FROM (
        SELECT place FROM (SELECT place FROM hits UNION SELECT place FROM tail)
        WHERE (SELECT count(*) FROM hits) < :hits_max) found
    CROSS JOIN messages m ON m.place = found.place
    JOIN chats c ON c.num = m.place >> 23 AND c.tenant_id = m.tenant_id AND c.id IS NOT NULL
    JOIN sessions s ON s.tenant_id = c.tenant_id AND s.key = c.session_key AND s.shape = 'single' AND s.id IS NOT NULL
    WHERE m.tenant_id = :tenant_id AND /* where */ true
    ORDER BY m.id DESC LIMIT :limit) page ON true
ORDER BY page.at DESC;

-- name: purge_texts
-- scope: system, what the index has of some places: a place is of one message alone, and the caller knows whose.
DELETE FROM texts WHERE rowid IN (SELECT value FROM json_each(:places));

-- name: purge_texts_between
-- scope: system, what the index has of a range of places, those of one chat.
DELETE FROM texts WHERE rowid BETWEEN :low AND :high;

-- name: purge_texts_of_chat
-- scope: system, some of what the index has of a range of places, those of one chat.
DELETE FROM texts WHERE rowid IN (SELECT id FROM texts_docsize WHERE id BETWEEN :low AND :high LIMIT :limit);

-- name: purge_texts_of_tenant
-- Some of what the index has of a tenant.
DELETE FROM texts WHERE rowid IN (
    SELECT d.id FROM messages m JOIN texts_docsize d ON d.id = m.place WHERE m.tenant_id = :tenant_id LIMIT :limit);

-- name: deleted_texts
-- scope: system, whether the index holds words of deleted rows still: beside each part of it stands which rows of it are
-- deleted, until it is written anew.
SELECT 1 FROM texts_data WHERE id >= :first LIMIT 1;

-- name: set_deletemerge
-- scope: system, from how many deleted rows in a hundred on a step writes a part anew; 0: none for that reason.
INSERT INTO texts (texts, rank) VALUES ('deletemerge', :percent);

-- name: merge_texts
-- scope: system, one step of writing parts of the index anew, so many pages (negative: begins with all of them).
INSERT INTO texts (texts, rank) VALUES ('merge', :pages);

-- name: look_at_texts
-- scope: system, before the check of the whole file, which also checks the index: by a connection that has read it
-- earlier, SQLite 3.54 would compare it with how it was built then, and report damage that is none.
SELECT rowid FROM texts LIMIT 1;
