-- Work that is done to messages after they were stored, and the index of their texts.

-- For each kind of work: the sequence up to which it is done in a chat, and since when, or until when at least, the rest
-- waits (NULL: nothing waits). An append sets the second where it is NULL.
ALTER TABLE chats ADD COLUMN text_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE chats ADD COLUMN text_due INTEGER;
ALTER TABLE chats ADD COLUMN vectors_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE chats ADD COLUMN vectors_due INTEGER;
-- scope: system, what was said before is found too.
UPDATE chats SET text_due = updated_at, vectors_due = updated_at WHERE last_seq > 0;
CREATE INDEX chats_by_text_due ON chats (tenant_id, text_due) WHERE text_due IS NOT NULL AND id IS NOT NULL;
CREATE INDEX chats_by_vectors_due ON chats (tenant_id, vectors_due) WHERE vectors_due IS NOT NULL AND id IS NOT NULL;

-- scope: system, a virtual table has one key: the place of the message. `whose` is a mark of the tenant, which keeps the
-- postings of others out of what is read. Runs of three characters of the text in lowercase, without their positions
-- (`detail=none`): what is found is looked at before it is shown.
CREATE VIRTUAL TABLE texts USING fts5 (
    whose, text, content = '', contentless_delete = 1, detail = none, tokenize = 'trigram case_sensitive 1');
-- scope: system, a setting of the table: deleted rows go with the scrub, not at a moment of the index's own choice.
INSERT INTO texts (texts, rank) VALUES ('deletemerge', 0);
